use super::*;

/// RAM for tests: leaked pages of the host.
fn ram(pages: usize) -> Range {
    #[repr(align(4096))]
    struct Page([u8; 4096]);
    let pages = std::vec::Vec::leak((0..pages).map(|_| Page([0xaa; 4096])).collect());
    let start = physical(pages.as_ptr());
    assert_eq!(pages[0].0[0], 0xaa);
    Range::new(start, start + size_of_val(pages) as u64)
}

fn arena(pages: usize) -> Arena {
    // SAFETY: leaked memory of this test alone.
    unsafe { Arena::new(&[ram(pages)], &[]) }
}

#[test]
fn what_is_handed_out_is_zeroed_aligned_and_apart() {
    let mut arena = arena(4);
    let a = arena.bytes(10, 1).unwrap();
    let b = arena.bytes(4096, 4096).unwrap();
    let c = arena.slice(3, |n| n as u64).unwrap();
    assert!(a.iter().chain(b.iter()).all(|&byte| byte == 0));
    assert_eq!(b.as_ptr().addr() % 4096, 0);
    assert_eq!(c, [0, 1, 2]);
    a.fill(1);
    b.fill(2);
    assert_eq!(c, [0, 1, 2]);
    assert_eq!(*arena.value(7u32).unwrap(), 7);
}

#[test]
fn running_out_reports_what_is_left_and_takes_nothing() {
    let mut arena = arena(2);
    arena.bytes(100, 1).unwrap();
    let left = arena.left();
    let error = arena.bytes(8192, 1).unwrap_err();
    assert_eq!((error.wanted, error.largest), (8192, left));
    assert_eq!(arena.left(), left);
    assert!(arena.slice(usize::MAX, |_| 0u64).is_err());
    assert_eq!(arena.bytes(left, 1).unwrap().len(), left);
    assert_eq!(arena.left(), 0);
}

#[test]
fn a_small_piece_serves_small_requests_and_a_large_one_large_requests() {
    let (small, large) = (ram(1), ram(8));
    // SAFETY: leaked memory of this test alone.
    let mut arena = unsafe { Arena::new(&[small, large], &[]) };
    let big = arena.bytes(8192, 4096).unwrap();
    let little = arena.bytes(64, 1).unwrap();
    assert!(large.contains(Range::new(physical(big.as_ptr()), physical(big.as_ptr()) + 8192)));
    assert_eq!(physical(little.as_ptr()), small.start);
}

#[test]
fn small_requests_use_up_what_is_beside_the_largest_piece() {
    let all = ram(16);
    let pieces = [
        Range::new(all.start, all.start + 0x1000),
        Range::new(all.start + 0x2000, all.start + 0x5000),
        Range::new(all.start + 0x6000, all.end),
    ];
    for request in [1, 48, 0x300, 0x1000, 0x3000, 0x8000] {
        // SAFETY: leaked memory of this test alone, and nothing is written to it.
        let mut arena = unsafe { Arena::new(&pieces, &[]) };
        let promised = arena.beside(request);
        let (left, largest) = (arena.left(), arena.largest());
        let mut requested = 0;
        while arena.largest() == largest {
            arena.bytes(request, 1).unwrap();
            requested += request;
        }
        // The last one was of the largest piece.
        assert!(
            requested - request >= promised,
            "{request:#x}: {requested:#x} {promised:#x}"
        );
        assert!(promised <= left - largest);
    }
    // SAFETY: as above.
    let arena = unsafe { Arena::new(&pieces, &[]) };
    assert_eq!(arena.beside(0x300), 0x1000 + 0x3000 - 2 * 0x300);
}

#[test]
fn what_is_taken_is_never_handed_out() {
    let all = ram(8);
    let module = Range::new(all.start + 0x2010, all.start + 0x2020);
    // SAFETY: leaked memory of this test alone.
    let mut arena = unsafe { Arena::new(&[all], &[module, Range::new(all.end - 0x1000, all.end)]) };
    assert_eq!(arena.left(), 6 * 4096);
    while let Ok(page) = arena.bytes(4096, 4096) {
        let page = Range::new(physical(page.as_ptr()), physical(page.as_ptr()) + 4096);
        assert!(!page.overlaps(module) && all.contains(page));
    }
    assert_eq!(arena.left(), 0);
}

#[test]
fn dma_memory_knows_its_address() {
    let mut arena = arena(2);
    let dma = arena.dma(4096, 128).unwrap();
    assert_eq!((dma.physical() % 128, dma.len()), (0, 4096));
    let address = dma.physical();
    assert_eq!(physical(dma.into_slice().as_ptr()), address);
}

#[test]
fn registers_of_a_device_are_no_firmware_table() {
    let device = Range::new(0xfee0_0000, 0xfee0_1000);
    // SAFETY: leaked memory of this test alone.
    let mut mapper = unsafe { Mapper::new(ram(8), false) }.unwrap();
    mapper.map(device, MemoryKind::Device).unwrap();
    // SAFETY: nothing that is mapped in this process is accessed.
    unsafe { set_mapper(mapper) };
    // SAFETY: none of it is read.
    let table = |address| unsafe { firmware(address, 36) };
    assert!(table(device.start).is_none() && table(device.start - 18).is_none());
    assert!(table(0).is_none() && table(u64::MAX).is_none());
    assert!(table(device.end).is_some());
}

#[test]
fn a_hole_cuts_a_range() {
    let range = Range::new(10, 20);
    let cut = |start, end| range.without(Range::new(start, end));
    assert_eq!(cut(12, 15), (Some(Range::new(10, 12)), Some(Range::new(15, 20))));
    assert_eq!(cut(0, 12), (None, Some(Range::new(12, 20))));
    assert_eq!(cut(12, 30), (Some(Range::new(10, 12)), None));
    assert_eq!(cut(0, 30), (None, None));
    assert_eq!(cut(15, 15), (Some(range), None));
    assert_eq!(cut(30, 40).0, Some(range));
}

#[test]
fn registers_of_each_width_share_their_bytes() {
    let registers = Registers::fake(std::vec![0; 2].leak());
    registers.write(0, 0x4433_2211);
    registers.write_u16(4, 0x6655);
    registers.write_u8(6, 0x77);
    assert_eq!((registers.read_u8(3), registers.read_u16(2)), (0x44, 0x4433));
    assert_eq!(registers.read(4), 0x77_6655);
}
