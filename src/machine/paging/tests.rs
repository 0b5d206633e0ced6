use super::*;

const MIB: u64 = 1 << 20;

fn mapper(pages: usize, large: bool) -> Mapper {
    let memory = Vec::leak((0..pages).map(|_| Table([u64::MAX; 512])).collect());
    let start = memory.as_ptr().addr() as u64;
    // SAFETY: leaked memory of this test alone.
    unsafe { Mapper::new(Range::new(start, start + pages as u64 * PAGE), large) }.unwrap()
}

#[test]
fn each_page_is_what_it_was_mapped_for_and_its_neighbours_are_not() {
    let mut mapper = mapper(8, false);
    mapper.map(Range::new(0x10_0000, 0x10_3000), MemoryKind::Code).unwrap();
    mapper
        .map(Range::new(0x10_3000, 0x10_4000), MemoryKind::ReadOnly)
        .unwrap();
    mapper.map(Range::new(0x10_5000, 0x60_0000), MemoryKind::Data).unwrap();
    mapper
        .map(Range::new(0xfee0_0000, 0xfee0_1000), MemoryKind::Device)
        .unwrap();
    let at = |address| mapper.lookup(address);
    assert_eq!(at(0xf_ffff), None);
    assert_eq!(
        (at(0x10_0000), at(0x10_2fff)),
        (Some(MemoryKind::Code), Some(MemoryKind::Code))
    );
    assert_eq!((at(0x10_3000), at(0x10_4000)), (Some(MemoryKind::ReadOnly), None));
    assert_eq!(
        (at(0x10_5000), at(0x5f_ffff), at(0x60_0000)),
        (Some(MemoryKind::Data), Some(MemoryKind::Data), None)
    );
    assert_eq!((at(0xfee0_0fff), at(0xfee0_1000)), (Some(MemoryKind::Device), None));
}

#[test]
fn large_pages_save_tables() {
    let before = |mapper: &Mapper| mapper.spare.len() / PAGE;
    let mut with = mapper(3, true);
    with.map(Range::new(4 * GIB, 64 * GIB), MemoryKind::Data).unwrap();
    assert_eq!(before(&with), 1);
    assert_eq!(
        (with.lookup(64 * GIB - 1), with.lookup(64 * GIB)),
        (Some(MemoryKind::Data), None)
    );
    let mut without = mapper(3, false);
    assert_eq!(
        without.map(Range::new(4 * GIB, 64 * GIB), MemoryKind::Data),
        Err(MapError::NoTables)
    );
}

#[test]
fn the_estimate_of_tables_suffices() {
    let ram = [
        Range::new(0x1000, 0x9f000),
        Range::new(MIB, 2047 * MIB + 0x7000),
        Range::new(4 * GIB, 18 * GIB + 0x20_3000),
    ];
    for large in [false, true] {
        let mut mapper = mapper(Mapper::pages_for(&ram, large, 0) as usize, large);
        for range in ram {
            mapper.map(range, MemoryKind::Data).unwrap();
            assert_eq!(mapper.lookup(range.end - 1), Some(MemoryKind::Data));
            assert_eq!(mapper.lookup(range.end), None);
        }
    }
}

#[test]
fn mapping_twice_changes_nothing_and_mapping_otherwise_is_refused() {
    let mut mapper = mapper(8, false);
    mapper.map(Range::new(2 * MIB, 6 * MIB), MemoryKind::Data).unwrap();
    mapper
        .map(Range::new(2 * MIB + 0x1000, 2 * MIB + 0x3000), MemoryKind::Data)
        .unwrap();
    mapper.map(Range::new(5 * MIB, 7 * MIB), MemoryKind::Data).unwrap();
    assert_eq!(mapper.lookup(7 * MIB - 1), Some(MemoryKind::Data));
    let conflict = mapper.map(Range::new(3 * MIB, 3 * MIB + 0x1000), MemoryKind::Device);
    assert_eq!(conflict, Err(MapError::Conflict(3 * MIB)));
}

#[test]
fn the_first_page_and_ragged_ranges_are_refused() {
    let mut mapper = mapper(8, false);
    assert_eq!(
        mapper.map(Range::new(0, PAGE), MemoryKind::Data),
        Err(MapError::FirstPage)
    );
    assert_eq!(
        mapper.map(Range::new(0x1001, 0x2000), MemoryKind::Data),
        Err(MapError::BadRange)
    );
    assert_eq!(
        mapper.map(Range::new(1 << 47, (1 << 47) + PAGE), MemoryKind::Data),
        Err(MapError::BadRange)
    );
}

#[test]
fn nothing_is_both_writable_and_executable() {
    for kind in MemoryKind::ALL {
        assert!(
            kind.flags() & WRITABLE == 0 || kind.flags() & NO_EXECUTE != 0,
            "{kind:?}"
        );
    }
}
