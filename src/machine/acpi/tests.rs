use super::*;

struct Tables(std::vec::Vec<(u64, std::vec::Vec<u8>)>);

impl PhysicalMemory for Tables {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        self.0.iter().find_map(|(start, bytes)| {
            let offset = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(offset..offset.checked_add(len)?)
        })
    }
}

fn table_of(signature: &[u8; 4], body: &[u8]) -> std::vec::Vec<u8> {
    let mut table = std::vec![0; HEADER];
    table[..4].copy_from_slice(signature);
    table[4..8].copy_from_slice(&((HEADER + body.len()) as u32).to_le_bytes());
    table.extend_from_slice(body);
    table[9] = 0u8.wrapping_sub(sum(&table));
    table
}

fn rsdp(revision: u8, rsdt: u32, xsdt: u64) -> std::vec::Vec<u8> {
    let mut rsdp = std::vec![0; 36];
    rsdp[..8].copy_from_slice(b"RSD PTR ");
    rsdp[15] = revision;
    rsdp[16..20].copy_from_slice(&rsdt.to_le_bytes());
    rsdp[24..32].copy_from_slice(&xsdt.to_le_bytes());
    rsdp[8] = 0u8.wrapping_sub(sum(&rsdp[..20]));
    rsdp
}

/// With the root pointer at that address.
fn parse(tables: &Tables, rsdp: u64) -> Acpi {
    Acpi::parse(tables, RootPointer::At(rsdp))
}

/// A body with `values` at their offsets in the table.
fn body(len: usize, values: &[(usize, &[u8])]) -> std::vec::Vec<u8> {
    let mut body = std::vec![0; len - HEADER];
    for (at, value) in values {
        body[at - HEADER..at - HEADER + value.len()].copy_from_slice(value);
    }
    body
}

fn q35() -> Tables {
    let fadt = body(
        244,
        &[
            (40, &0x3000u32.to_le_bytes()),
            (64, &0x604u32.to_le_bytes()),
            (76, &0x608u32.to_le_bytes()),
            (91, &[4]),
            (108, &[0x32]),
            (112, &(1u32 << 10).to_le_bytes()),
            (116, &[1, 8, 0, 0, 0xf9, 0x0c]),
            (128, &[0x0f]),
        ],
    );
    let dsdt = b"..._S5_X\x08_S5_\x12\x06\x04\x0a\x05\x01\x00\x00";
    let mut madt = std::vec![0; 8];
    madt.extend_from_slice(&[0, 8, 0, 0, 1, 0, 0, 0]);
    madt.extend_from_slice(&[1, 12, 1, 0, 0, 0x10, 0xc0, 0xfe, 24, 0, 0, 0]);
    madt.extend_from_slice(&[1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    madt.extend_from_slice(&[2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
    madt.extend_from_slice(&[2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0]);
    let root: std::vec::Vec<u8> = [0x2000u32, 0x4000].iter().flat_map(|n| n.to_le_bytes()).collect();
    Tables(std::vec![
        (0x500, rsdp(0, 0x1000, 0)),
        (0x1000, table_of(b"RSDT", &root)),
        (0x2000, table_of(b"FACP", &fadt)),
        (0x3000, table_of(b"DSDT", dsdt)),
        (0x4000, table_of(b"APIC", &madt)),
    ])
}

#[test]
fn an_ordinary_pc_is_understood() {
    let acpi = parse(&q35(), 0x500);
    let timer = PmTimer {
        port: 0x608,
        wide: false,
    };
    assert_eq!(
        (acpi.pm_timer, acpi.pm1a_control, acpi.pm1b_control),
        (Some(timer), Some(0x604), None)
    );
    assert_eq!((acpi.s5, acpi.century), (Some((5, 1)), 0x32));
    let io_apics = [(0xfec0_1000, 24), (0xfec0_0000, 0)].map(|(address, first_input)| IoApic { address, first_input });
    assert_eq!(acpi.io_apics, io_apics);
    let reset = Register {
        space: Space::Io,
        address: 0xcf9,
    };
    assert_eq!((acpi.reset, acpi.sleep_control), (Some((reset, 0x0f)), None));
    assert_eq!(acpi.overrides.len(), 2);
    assert_eq!((acpi.overrides[0].irq, acpi.overrides[0].input), (0, 2));
    assert!(acpi.overrides[1].level && !acpi.overrides[1].active_low);
}

#[test]
fn the_generation_id_is_found_in_the_table_of_that_name() {
    let with = |oem: &[u8; 8], aml: &[u8], blob: u64| {
        let mut ssdt = table_of(b"SSDT", aml);
        ssdt[16..24].copy_from_slice(oem);
        ssdt[9] = 0;
        ssdt[9] = 0u8.wrapping_sub(sum(&ssdt));
        let mut tables = q35();
        tables.0[1].1 = table_of(b"RSDT", &0x5000u32.to_le_bytes());
        tables.0.push((0x5000, ssdt));
        tables.0.push((blob, std::vec![0; 4096]));
        parse(&tables, 0x500).generation_id
    };
    let aml = b"..\x08VGIA\x0c\x00\x60\x00\x00..";
    assert_eq!(with(b"VMGENID\0", aml, 0x6000), Some(0x6028));
    // Another table, no address yet, no such memory, an address that is not aligned, a name that is cut.
    assert_eq!(with(b"BXPC\0\0\0\0", aml, 0x6000), None);
    assert_eq!(with(b"VMGENID\0", b"\x08VGIA\x0c\0\0\0\0", 0x6000), None);
    assert_eq!(with(b"VMGENID\0", aml, 0x7000), None);
    assert_eq!(with(b"VMGENID\0", b"\x08VGIA\x0c\x01\x60\0\0", 0x6000), None);
    assert_eq!(with(b"VMGENID\0", b"\x08VGIA\x0c\x00\x60", 0x6000), None);
}

/// `Device (VRnn)` as QEMU's microvm and Firecracker write it.
fn virtio_aml(base: u32, len: u32, input: u32) -> std::vec::Vec<u8> {
    let mut aml =
        b"\x5b\x82\x35VR00\x08_HID\x0dLNRO0005\x00\x08_UID\x00\x08_CRS\x11\x19\x0a\x16\x86\x09\x00\x01".to_vec();
    aml.extend(base.to_le_bytes());
    aml.extend(len.to_le_bytes());
    aml.extend(b"\x89\x06\x00\x01\x01");
    aml.extend(input.to_le_bytes());
    aml.extend(b"\x79\x00");
    aml
}

#[test]
fn virtio_devices_are_found_with_their_resources() {
    let found = |dsdt: &[u8]| {
        let mut tables = q35();
        tables.0[3].1 = table_of(b"DSDT", dsdt);
        parse(&tables, 0x500).virtio
    };
    let place = |start: u64, input| Place {
        range: Range::new(start, start + 512),
        input,
    };
    let two = [virtio_aml(0xfeb0_0000, 512, 24), virtio_aml(0xfeb0_0200, 512, 25)].concat();
    assert_eq!(found(&two), [place(0xfeb0_0000, 24), place(0xfeb0_0200, 25)]);
    assert_eq!(found(b"nothing"), []);
    // One that is cut has no part of the next.
    let cut = [&virtio_aml(0, 0, 0)[..30], &virtio_aml(0xfeb0_0200, 512, 25)].concat();
    assert_eq!(found(&cut), [place(0xfeb0_0200, 25)]);
    // Without its end tag a device is whole.
    for len in 0..two.len() - 2 {
        assert!(found(&two[..len]).len() < 2, "{len}");
    }
    let top = found(&virtio_aml(u32::MAX, u32::MAX, u32::MAX));
    assert_eq!(top[0].range, Range::new(u32::MAX.into(), 2 * u64::from(u32::MAX)));
    assert_eq!(found(&virtio_aml(0xfeb0_0000, 512, 5).repeat(40)).len(), MAX_DEVICES);
}

#[test]
fn hardware_reduced_acpi_has_a_sleep_register_and_no_ports() {
    let fadt = body(
        268,
        &[
            (64, &0x604u32.to_le_bytes()),
            (112, &(1u32 << 20).to_le_bytes()),
            (140, &0x3000u64.to_le_bytes()),
            (244, &[0, 8, 0, 0, 0, 2, 0xa0, 0xfe]),
        ],
    );
    let tables = Tables(std::vec![
        (0x500, rsdp(2, 0, 0x1000)),
        (0x1000, table_of(b"XSDT", &0x2000u64.to_le_bytes())),
        (0x2000, table_of(b"FACP", &fadt)),
        (0x3000, table_of(b"DSDT", b"_S5_\x12\x04\x01\x0a\x05")),
    ]);
    let acpi = parse(&tables, 0x500);
    let register = Register {
        space: Space::Memory,
        address: 0xfea0_0200,
    };
    assert_eq!(
        (acpi.sleep_control, acpi.pm1a_control, acpi.s5),
        (Some(register), None, Some((5, 5)))
    );
}

#[test]
fn the_root_pointer_is_searched_for_where_the_loader_does_not_know_it() {
    let mut tables = q35();
    let mut area = std::vec![0; 0x2_0000];
    area[0x1230..0x1230 + 36].copy_from_slice(&rsdp(0, 0x1000, 0));
    // One that only looks like it comes first.
    area[0x100..0x108].copy_from_slice(b"RSD PTR ");
    area[0x110] = 1;
    tables.0[0] = (BIOS_AREA.start, area);
    assert_eq!(Acpi::parse(&tables, RootPointer::Unknown).pm1a_control, Some(0x604));
    assert_eq!(parse(&tables, 0x500).pm1a_control, Some(0x604));
}

#[test]
fn a_copy_of_the_root_pointer_serves_and_a_damaged_one_is_not_believed() {
    let mut tables = q35();
    let mut copy: [u8; 36] = tables.0.remove(0).1.try_into().unwrap();
    assert_eq!(Acpi::parse(&tables, RootPointer::Copy(copy)).pm1a_control, Some(0x604));
    copy[9] ^= 1;
    assert_eq!(Acpi::parse(&tables, RootPointer::Copy(copy)), Acpi::default());
}

#[test]
fn damaged_tables_are_ignored_one_by_one() {
    for damaged in 0..5 {
        let mut tables = q35();
        tables.0[damaged].1[10] ^= 0xff;
        let acpi = parse(&tables, 0x500);
        assert_eq!(acpi.pm1a_control.is_some(), damaged > 2, "{damaged}");
        assert_eq!(acpi.s5.is_some(), damaged > 3, "{damaged}");
        assert_eq!(!acpi.io_apics.is_empty(), damaged == 2 || damaged == 3, "{damaged}");
    }
}

#[test]
fn tables_cut_anywhere_do_no_harm() {
    for index in 0..5 {
        for len in 0..q35().0[index].1.len() {
            let mut tables = q35();
            tables.0[index].1.truncate(len);
            // With the length put right, so that the parser goes on.
            if index > 0 && len >= HEADER {
                let table = &mut tables.0[index].1;
                table[4..8].copy_from_slice(&(len as u32).to_le_bytes());
                table[9] = 0;
                table[9] = 0u8.wrapping_sub(sum(table));
            }
            parse(&tables, 0x500);
        }
    }
}

#[test]
fn a_table_of_io_apics_without_end_is_cut() {
    let mut tables = q35();
    let mut madt = std::vec![0; 8];
    for n in 0..200 {
        madt.extend_from_slice(&[1, 12, n, 0, 0, 0, n, 0xfe, n, 0, 0, 0]);
    }
    tables.0[4].1 = table_of(b"APIC", &madt);
    assert_eq!(parse(&tables, 0x500).io_apics.len(), MAX_IO_APICS);
}

#[test]
fn sleep_types_are_found_only_in_packages() {
    assert_eq!(sleep_types(b"_S5_\x12\x06\x04\x00\x01\x00"), Some((0, 1)));
    assert_eq!(sleep_types(b"_S5_\x12\x46\x00\x04\x0a\x07\x0a\x06"), Some((7, 6)));
    assert_eq!(sleep_types(b"_S5_\x12\x06\x04\x0a\xff"), None);
    assert_eq!(sleep_types(b"_S5_\x12"), None);
    assert_eq!(sleep_types(b""), None);
}
