use super::*;
use crate::machine::boot_info::{MAX_COMMAND_LINE, MAX_MODULE, ModuleFault};
use std::vec::Vec;

const IMAGE: Range = Range::new(0x10_0000, 0x18_0000);
const AT: u64 = 0x7f00_0008;

/// Memory with nothing but the boot information.
struct High(Vec<u8>);

impl PhysicalMemory for High {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(address.checked_sub(AT)?).ok()?;
        self.0.get(start..start.checked_add(len)?)
    }
}

impl High {
    fn new(tags: &[(u32, &[u8])]) -> Self {
        let mut info = std::vec![0; 8];
        for (kind, body) in tags.iter().chain(&[(END, &[][..])]) {
            info.resize(info.len().next_multiple_of(8), 0xaa);
            info.extend_from_slice(&kind.to_le_bytes());
            info.extend_from_slice(&(8 + body.len() as u32).to_le_bytes());
            info.extend_from_slice(body);
        }
        let size = info.len() as u32;
        info[..4].copy_from_slice(&size.to_le_bytes());
        Self(info)
    }

    fn parse(&self) -> Result<BootInfo, BootInfoError> {
        BootInfo::parse_multiboot2(self, AT, IMAGE)
    }
}

/// A memory map with entries of 24 bytes.
fn map(entries: &[(u64, u64, u32)]) -> Vec<u8> {
    let mut map = Vec::new();
    map.extend_from_slice(&24u32.to_le_bytes());
    map.extend_from_slice(&0u32.to_le_bytes());
    for (start, size, kind) in entries {
        map.extend_from_slice(&start.to_le_bytes());
        map.extend_from_slice(&size.to_le_bytes());
        map.extend_from_slice(&kind.to_le_bytes());
        map.extend_from_slice(&[0xee; 4]);
    }
    map
}

fn module(start: u32, end: u32) -> Vec<u8> {
    [&start.to_le_bytes()[..], &end.to_le_bytes(), b"defconfig\0"].concat()
}

/// As under OVMF with 4 GiB: half of it above the fourth.
fn ovmf() -> Vec<u8> {
    map(&[
        (0, 0xa_0000, 1),
        (0x10_0000, 0x7e00_0000, 1),
        (0x7e10_0000, 0x10_0000, 3),
        (0x7e20_0000, 0x10_0000, 2),
        (0x7e30_0000, 0xd0_0000, 1),
        (0x1_0000_0000, 0x8000_0000, 1),
    ])
}

#[test]
fn all_boot_information_is_read() {
    let mut rsdp = [7; 36];
    rsdp[..8].copy_from_slice(b"RSD PTR ");
    let tags = [
        (2, &b"GRUB 2.06\0"[..]),
        (COMMAND_LINE, b"exit-device log=debug \x1b\0"),
        (MODULE, &module(0x7e31_0000, 0x7e31_0123)),
        (MODULE, &module(0x7e40_0000, 0x7e40_0001)),
        (ACPI_OLD, &[1; 20]),
        (MEMORY_MAP, &ovmf()),
        (ACPI_NEW, &rsdp),
    ];
    let boot = High::new(&tags).parse().unwrap();
    let ram = [
        Range::new(0x1000, 0xa_0000),
        Range::new(0x10_0000, 0x7e10_0000),
        Range::new(0x7e30_0000, 0x7f00_0000),
        Range::new(0x1_0000_0000, 0x1_8000_0000),
    ];
    assert_eq!(boot.ram.as_slice(), ram);
    assert_eq!(boot.command_line, "exit-device log=debug ?");
    assert_eq!(boot.module, Some(Range::new(0x7e31_0000, 0x7e31_0123)));
    assert_eq!((boot.module_fault, boot.unused), (None, 0));
    assert_eq!(boot.rsdp, RootPointer::Copy(rsdp));
}

#[test]
fn the_least_is_a_memory_map() {
    let boot = High::new(&[(MEMORY_MAP, &ovmf())]).parse().unwrap();
    assert_eq!(
        (boot.module, boot.command_line.as_str(), boot.rsdp),
        (None, "", RootPointer::Unknown)
    );
    let old = High::new(&[(MEMORY_MAP, &ovmf()), (ACPI_OLD, &[3; 20])]);
    let RootPointer::Copy(copy) = old.parse().unwrap().rsdp else {
        panic!("no copy");
    };
    assert_eq!((&copy[..20], &copy[20..]), (&[3; 20][..], &[0; 16][..]));
    let long = [b'x'; MAX_COMMAND_LINE + 1];
    let long = High::new(&[(MEMORY_MAP, &ovmf()), (COMMAND_LINE, &long)]);
    assert!(long.parse().unwrap().command_line_cut);
}

#[test]
fn entries_of_another_size_are_read_all_the_same() {
    let mut wide = std::vec![32, 0, 0, 0, 0, 0, 0, 0];
    for entry in ovmf()[8..].chunks(24) {
        wide.extend_from_slice(entry);
        wide.extend_from_slice(&[0xee; 8]);
    }
    let boot = High::new(&[(MEMORY_MAP, &wide)]).parse().unwrap();
    assert_eq!(boot.ram.len(), 4);
}

#[test]
fn what_cannot_be_is_named() {
    let error = |tags: &[(u32, &[u8])]| High::new(tags).parse().unwrap_err();
    assert_eq!(error(&[]), BootInfoError::NoMemoryMap);
    assert_eq!(error(&[(MEMORY_MAP, &[24, 0, 0, 0])]), BootInfoError::BadMemoryMap);
    assert_eq!(error(&[(MEMORY_MAP, &map(&[]))]), BootInfoError::BadMemoryMap);
    for size in [0, 19, u32::MAX] {
        let mut bad = ovmf();
        bad[..4].copy_from_slice(&size.to_le_bytes());
        assert_eq!(error(&[(MEMORY_MAP, &bad)]), BootInfoError::BadMemoryMap, "{size}");
    }
    let elsewhere = map(&[(0x10_0000, 0x7_0000, 1)]);
    assert_eq!(error(&[(MEMORY_MAP, &elsewhere)]), BootInfoError::ImageOutsideRam);
    for size in [0, 7, MAX_SIZE + 1, u32::MAX] {
        let mut high = High::new(&[(MEMORY_MAP, &ovmf())]);
        high.0[..4].copy_from_slice(&size.to_le_bytes());
        assert_eq!(high.parse().unwrap_err(), BootInfoError::BadSize(size));
    }
    let mut high = High::new(&[(MEMORY_MAP, &ovmf())]);
    high.0[..4].copy_from_slice(&MAX_SIZE.to_le_bytes());
    assert_eq!(high.parse().unwrap_err(), BootInfoError::Unreadable);
    assert_eq!(High(Vec::new()).parse().unwrap_err(), BootInfoError::Unreadable);
    assert_eq!(
        BootInfo::parse_multiboot2(&high, u64::MAX, IMAGE).unwrap_err(),
        BootInfoError::Unreadable
    );
}

#[test]
fn a_module_that_cannot_be_true_is_refused() {
    let fault = |body: &[u8]| {
        let boot = High::new(&[(MEMORY_MAP, &ovmf()), (MODULE, body)]).parse().unwrap();
        assert_eq!(boot.module, None);
        boot.module_fault.unwrap()
    };
    assert_eq!(fault(&module(0x7e30_0000, 0x7e30_0000)), ModuleFault::BadSize(0));
    assert_eq!(fault(&module(0x7e30_0000, 0x10_0000)), ModuleFault::BadSize(0));
    assert_eq!(fault(&[0, 0, 0x30]), ModuleFault::BadSize(0));
    let large = MAX_MODULE as u32 + 1;
    assert_eq!(
        fault(&module(0x20_0000, 0x20_0000 + large)),
        ModuleFault::BadSize(large.into())
    );
    assert_eq!(fault(&module(0x7e10_0000, 0x7e10_0100)), ModuleFault::OutsideRam);
    assert_eq!(fault(&module(0x17_ff00, 0x18_0100)), ModuleFault::OverlapsImage);
}

/// Cut, and with every byte changed: an answer of some kind, and no panic.
#[test]
fn a_broken_structure_does_no_harm() {
    let whole = High::new(&[
        (COMMAND_LINE, b"words\0"),
        (MODULE, &module(0x7e31_0000, 0x7e31_0123)),
        (MEMORY_MAP, &ovmf()),
        (ACPI_NEW, &[1; 36]),
    ]);
    assert!(whole.parse().is_ok());
    for len in 0..whole.0.len() {
        let mut cut = High(whole.0[..len].to_vec());
        assert!(cut.parse().is_err(), "{len}");
        if len >= 4 {
            cut.0[..4].copy_from_slice(&(len as u32).to_le_bytes());
            let _ = cut.parse();
        }
    }
    for at in 0..whole.0.len() {
        for value in [0, 1, 7, 8, 0x7f, 0x80, 0xff] {
            let mut changed = High(whole.0.clone());
            changed.0[at] = value;
            let _ = changed.parse();
        }
    }
}
