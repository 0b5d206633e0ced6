use super::*;

fn block(len: usize) -> DmaMemory {
    let memory: &'static mut [u8] = Box::leak(vec![0; len].into_boxed_slice());
    let address = memory.as_ptr() as u64;
    // SAFETY: nothing but the test reads these addresses.
    unsafe { DmaMemory::new(memory, address) }
}

#[test]
fn parts_are_aligned_and_do_not_overlap() {
    let mut memory = block(64 * 1024);
    let ring = memory.descriptors(8).unwrap();
    let buffers = memory.buffers(4).unwrap();
    assert_eq!(ring.ring.len(), 8);
    assert_eq!(ring.address % RING_ALIGN, 0);
    assert_eq!(buffers.address(0) % BUFFER_SIZE as u64, 0);
    assert!(buffers.address(0) >= ring.address + 8 * 16);
    assert_eq!(buffers.address(3), buffers.address(0) + 3 * BUFFER_SIZE as u64);
}

#[test]
fn a_block_that_is_too_small_gives_nothing() {
    let mut memory = block(4096);
    assert!(memory.descriptors(512).is_none());
    assert!(memory.buffers(4).is_none());
    assert!(memory.buffers(usize::MAX).is_none());
    assert!(memory.descriptors(8).is_some());
}
