use super::*;

const IMAGE: Range = Range {
    start: 0x10_0000,
    end: 0x18_0000,
};
const INFO: usize = 0x6000;
const MAP: usize = 0x6100;
const MODULES: usize = 0x6800;
const LINE: usize = 0x7000;

struct Low(std::vec::Vec<u8>);

impl PhysicalMemory for Low {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(address).ok()?;
        self.0.get(start..start.checked_add(len)?)
    }
}

impl Low {
    fn new(map: &[(u64, u64, u32)]) -> Self {
        let mut low = Self(std::vec![0; 0x8000]);
        low.put(INFO, &MAGIC.to_le_bytes());
        low.put(INFO + 4, &1u32.to_le_bytes());
        low.put(INFO + 40, &(MAP as u64).to_le_bytes());
        low.put(INFO + 48, &(map.len() as u32).to_le_bytes());
        for (index, (start, size, kind)) in map.iter().enumerate() {
            low.put(MAP + 24 * index, &start.to_le_bytes());
            low.put(MAP + 24 * index + 8, &size.to_le_bytes());
            low.put(MAP + 24 * index + 16, &kind.to_le_bytes());
        }
        low
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn module(mut self, start: u64, size: u64) -> Self {
        self.put(INFO + 12, &1u32.to_le_bytes());
        self.put(INFO + 16, &(MODULES as u64).to_le_bytes());
        self.put(MODULES, &start.to_le_bytes());
        self.put(MODULES + 8, &size.to_le_bytes());
        self
    }

    fn line(mut self, line: &[u8]) -> Self {
        self.put(INFO + 24, &(LINE as u64).to_le_bytes());
        self.put(LINE, line);
        self
    }

    fn parse(&self) -> Result<BootInfo, BootInfoError> {
        BootInfo::parse(self, INFO as u64, IMAGE)
    }
}

const Q35: &[(u64, u64, u32)] = &[
    (0, 0x9fc00, 1),
    (0x9fc00, 0x400, 2),
    (0xf0000, 0x10000, 2),
    (0x10_0000, 0x7ee_0000, 1),
    (0x7fe_0000, 0x2_0000, 2),
    (0xb000_0000, 0x1000_0000, 2),
];

#[test]
fn an_ordinary_map_gives_whole_pages_without_the_first() {
    let boot = Low::new(Q35).parse().unwrap();
    let ram = [Range::new(0x1000, 0x9f000), Range::new(0x10_0000, 0x7fe_0000)];
    assert_eq!(boot.ram.as_slice(), ram);
    assert_eq!((boot.unused, boot.module, boot.module_fault), (0, None, None));
    assert_eq!(boot.ram_bytes(), 0x9e000 + 0x7ee_0000);
}

#[test]
fn entries_out_of_order_touching_and_overlapping_are_merged() {
    let map = [
        (0x30_0000, 0x10_0000, 1),
        (0x10_0000, 0x10_0000, 1),
        (0x18_0000, 0x18_0000, 1),
    ];
    let boot = Low::new(&map).parse().unwrap();
    assert_eq!(boot.ram.as_slice(), [Range::new(0x10_0000, 0x40_0000)]);
}

#[test]
fn what_any_entry_reserves_is_not_ram() {
    let map = [
        (0x10_0000, 0x30_0000, 1),
        (0x20_0800, 0x100, 2),
        (0x3f_f000, u64::MAX, 2),
    ];
    let boot = Low::new(&map).parse().unwrap();
    let ram = [Range::new(0x10_0000, 0x20_0000), Range::new(0x20_1000, 0x3f_f000)];
    assert_eq!(boot.ram.as_slice(), ram);
}

#[test]
fn ram_out_of_reach_is_counted_and_not_used() {
    let map = [
        (0x10_0000, 0x40_0000, 1),
        (MAX_ADDRESS - 0x2000, 0x5000, 1),
        (u64::MAX - 5, u64::MAX, 1),
    ];
    let boot = Low::new(&map).parse().unwrap();
    assert_eq!(boot.ram.last(), Some(&Range::new(MAX_ADDRESS - 0x2000, MAX_ADDRESS)));
    assert_eq!(boot.unused, 0x3000);
}

#[test]
fn more_ranges_than_fit_are_counted_and_not_used() {
    let map: std::vec::Vec<_> = (0..40).map(|n| (0x10_0000 + n * 0x20_0000, 0x10_0000, 1)).collect();
    let boot = Low::new(&map).parse().unwrap();
    assert_eq!(boot.ram.len(), MAX_RANGES);
    assert_eq!(boot.unused, (40 - MAX_RANGES as u64) * 0x10_0000);
}

#[test]
fn a_bad_start_info_is_named() {
    let mut low = Low::new(Q35);
    low.put(INFO, &[0]);
    assert_eq!(low.parse().unwrap_err(), BootInfoError::BadMagic(0x336e_c500));
    assert_eq!(
        BootInfo::parse(&low, u64::MAX, IMAGE).unwrap_err(),
        BootInfoError::Unreadable
    );
    let mut low = Low::new(Q35);
    low.put(INFO + 4, &[0]);
    assert_eq!(low.parse().unwrap_err(), BootInfoError::NoMemoryMap);
    let mut low = Low::new(Q35);
    low.put(INFO + 40, &u64::MAX.to_le_bytes());
    assert_eq!(low.parse().unwrap_err(), BootInfoError::BadMemoryMap);
    assert_eq!(Low::new(&[]).parse().unwrap_err(), BootInfoError::BadMemoryMap);
    assert_eq!(Low::new(&Q35[..3]).parse().unwrap_err(), BootInfoError::ImageOutsideRam);
}

#[test]
fn a_module_within_ram_is_found() {
    let boot = Low::new(Q35).module(0x700_0123, 0x1234).parse().unwrap();
    assert_eq!(boot.module, Some(Range::new(0x700_0123, 0x700_1357)));
}

#[test]
fn a_module_that_cannot_be_true_is_refused() {
    let fault = |start, size| Low::new(Q35).module(start, size).parse().unwrap().module_fault.unwrap();
    assert_eq!(fault(0x700_0000, 0), ModuleFault::BadSize(0));
    assert_eq!(fault(0x700_0000, MAX_MODULE + 1), ModuleFault::BadSize(MAX_MODULE + 1));
    assert_eq!(fault(0x7fd_f000, 0x2000), ModuleFault::OutsideRam);
    assert_eq!(fault(0, 0x100), ModuleFault::OutsideRam);
    assert_eq!(fault(u64::MAX, 0x100), ModuleFault::OutsideRam);
    assert_eq!(fault(IMAGE.end - 1, 2), ModuleFault::OverlapsImage);
    let mut low = Low::new(Q35).module(0x700_0000, 1);
    low.put(INFO + 16, &u64::MAX.to_le_bytes());
    assert_eq!(low.parse().unwrap().module_fault, Some(ModuleFault::UnreadableList));
}

#[test]
fn the_command_line_is_cut_cleaned_and_searched() {
    let boot = Low::new(Q35)
        .line(b"a exit-device  log=debug \x1b[2J\0rest")
        .parse()
        .unwrap();
    assert_eq!(boot.command_line, "a exit-device  log=debug ?[2J");
    assert!(boot.has_word("exit-device") && !boot.has_word("exit"));
    assert_eq!((boot.value_of("log"), boot.value_of("lo")), (Some("debug"), None));
    let boot = Low::new(Q35).line(&[b'x'; MAX_COMMAND_LINE + 1]).parse().unwrap();
    assert_eq!(
        (boot.command_line.len(), boot.command_line_cut),
        (MAX_COMMAND_LINE, true)
    );
    let mut low = Low::new(Q35);
    low.put(INFO + 24, &0x7ffeu64.to_le_bytes());
    low.put(0x7ffe, b"ab");
    assert_eq!(low.parse().unwrap().command_line, "ab");
}
