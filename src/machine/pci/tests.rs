use super::*;

#[test]
fn the_size_of_a_bar_follows_from_its_mask() {
    let narrow = (0, u32::MAX);
    let bar = bar_range(0, (0xfebc_0000, 0xfffe_0000), narrow);
    assert_eq!(bar, Ok(Range::new(0xfebc_0000, 0xfebe_0000)));
    let bar = bar_range(4, (0x0000_400c, 0xffff_c00c), (0x80, 0xffff_ffff));
    assert_eq!(bar, Ok(Range::new(0x80_0000_4000, 0x80_0000_8000)));
    let bar = bar_range(4, (0xc, 0xc), (0x80, 0xffff_fff0));
    assert_eq!(bar, Err(Error::NoMemoryBar(4)));
}

#[test]
fn what_is_no_memory_is_no_region() {
    let narrow = (0, u32::MAX);
    assert_eq!(bar_range(1, (0xc041, 0xffff_ffe1), narrow), Err(Error::NoMemoryBar(1)));
    assert_eq!(bar_range(1, (0, 0), narrow), Err(Error::NoMemoryBar(1)));
    assert_eq!(bar_range(0, (0, 0xfffe_0000), narrow), Err(Error::Unassigned(0)));
    assert_eq!(
        bar_range(0, (0xffff_fff4, 0xffff_fff4), (u32::MAX, u32::MAX)),
        Err(Error::NoMemoryBar(0))
    );
}

/// Functions with a configuration space of 64 words, and the writes to it.
struct Fake {
    functions: [(DeviceFunction, [u32; 64]); 2],
    writes: std::vec::Vec<(DeviceFunction, u8, u32)>,
}

impl ConfigurationAccess for Fake {
    fn read_word(&self, address: DeviceFunction, at: u8) -> u32 {
        let found = self.functions.iter().find(|(function, _)| *function == address);
        found.map_or(u32::MAX, |(_, words)| words[usize::from(at) / 4])
    }

    fn write_word(&mut self, address: DeviceFunction, at: u8, value: u32) {
        self.writes.push((address, at, value));
    }

    unsafe fn unsafe_clone(&self) -> Self {
        unreachable!()
    }
}

const CARD: DeviceFunction = DeviceFunction {
    bus: 1,
    device: 0,
    function: 0,
};
const PORT: DeviceFunction = DeviceFunction {
    bus: 0,
    device: 2,
    function: 0,
};

/// A card behind a root port, with this type of port, and this Link Status and Control.
fn link(kind: u32, link: u32) -> Fake {
    let mut words = [0; 64];
    words[1] = STATUS_CAPABILITIES << 16;
    words[0x34 / 4] = 0x40;
    words[0x40 / 4] = 0x5005;
    words[0x50 / 4] = 0x10 | kind << PCIE_TYPE_SHIFT;
    words[0x60 / 4] = link;
    Fake {
        functions: [(CARD, words), (PORT, words)],
        writes: std::vec::Vec::new(),
    }
}

#[test]
fn aspm_is_switched_off_and_the_rest_of_link_control_is_left() {
    for aspm in 1..=3 {
        let mut space = link(0, 0xffff_0140 | aspm);
        disable_aspm(&mut space, CARD);
        disable_aspm(&mut space, PORT);
        assert_eq!(space.writes, [(CARD, 0x60, 0x140), (PORT, 0x60, 0x140)]);
    }
}

#[test]
fn without_a_link_or_aspm_nothing_is_written() {
    for mut space in [link(9, 3), link(10, 3), link(0, 0x1011_0140)] {
        disable_aspm(&mut space, CARD);
        assert_eq!(space.writes, []);
    }
    // No such function, no capabilities, none of PCIe, and a circle.
    let mut space = link(0, 3);
    disable_aspm(&mut space, DeviceFunction { bus: 7, ..CARD });
    space.functions[0].1[1] = 0;
    space.functions[1].1[0x40 / 4] = 0x4005;
    disable_aspm(&mut space, CARD);
    disable_aspm(&mut space, PORT);
    assert_eq!(space.writes, []);
}

#[test]
fn all_capabilities_of_a_kind_are_found_in_order() {
    let mut space = link(0, 0);
    let found = |space: &Fake| -> std::vec::Vec<u8> {
        let own = capabilities(space, CARD).filter(|(_, header)| *header as u8 == 9);
        own.map(|(at, _)| at).collect()
    };
    let words = &mut space.functions[0].1;
    (words[0x40 / 4], words[0x50 / 4], words[0x60 / 4]) = (0x5009, 0x6005, 9);
    assert_eq!(found(&space), [0x40, 0x60]);
    // A circle ends after as many as fit.
    space.functions[0].1[0x60 / 4] = 0x4009;
    assert_eq!(found(&space).len(), MAX_CAPABILITIES * 2 / 3);
}

#[test]
fn a_selector_names_the_register() {
    let address = DeviceFunction {
        bus: 2,
        device: 3,
        function: 4,
    };
    assert_eq!(selector(address, 0x13), 0x8002_1c10);
    assert_eq!(std::format!("{address}"), "02:03.4");
}
