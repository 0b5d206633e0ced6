use super::*;

fn queue(len: usize, direction: Direction) -> Queue {
    let bytes = Queue::bytes(len).next_multiple_of(BUFFER_SIZE) + (len + 1) * BUFFER_SIZE;
    let memory: &'static mut [u8] = Box::leak(vec![0xa5; bytes].into_boxed_slice());
    let address = memory.as_ptr() as u64;
    // SAFETY: nothing but the test reads these addresses.
    let mut memory = unsafe { DmaMemory::new(memory, address) };
    let mut queue = Queue::new(&mut memory, len, direction).unwrap();
    queue.reset(len as u16);
    queue
}

/// Does what the device does to return descriptor `id`.
fn return_descriptor(queue: &Queue, id: u32, len: u32) {
    let index = queue.index().load(Ordering::Acquire);
    let at = ELEMENTS + 4 * usize::from(index % queue.len);
    for (half, value) in [(0, id), (2, len)] {
        queue.used.words[at + half].store(value as u16, Ordering::Relaxed);
        queue.used.words[at + half + 1].store((value >> 16) as u16, Ordering::Relaxed);
    }
    queue.index().store(index.wrapping_add(1), Ordering::Release);
}

#[test]
fn a_buffer_belongs_to_one_side() {
    let mut queue = queue(16, Direction::Receive);
    assert!(queue.buffer(5).is_some());
    queue.lend(5, BUFFER_SIZE);
    assert!(queue.buffer(5).is_none());
    queue.lend(5, BUFFER_SIZE);
    assert_eq!((queue.unpublished(), queue.outstanding()), (1, 0));
    assert!(queue.publish());
    assert_eq!((queue.unpublished(), queue.outstanding()), (0, 1));
    queue.lend(5, BUFFER_SIZE);
    assert!(queue.buffer(5).is_none() && !queue.publish());
    return_descriptor(&queue, 5, 100);
    assert_eq!(queue.take(), Ok(Some((5, 100))));
    assert_eq!(queue.take(), Ok(None));
    assert!(queue.buffer(5).is_some());
    assert_eq!((queue.outstanding(), queue.returned()), (0, 1));
}

#[test]
fn what_was_not_published_cannot_come_back() {
    let mut queue = queue(16, Direction::Receive);
    queue.lend(0, BUFFER_SIZE);
    queue.publish();
    queue.lend(3, BUFFER_SIZE);
    return_descriptor(&queue, 3, 100);
    assert_eq!(queue.take(), Err(Broken));
    assert!(queue.buffer(3).is_none());
}

#[test]
fn lengths_count_only_where_the_device_writes() {
    for (direction, len, expected) in [
        (Direction::Receive, 2048, Ok(Some((0, 2048)))),
        (Direction::Receive, 2049, Err(Broken)),
        (Direction::Receive, 0x1_0000, Err(Broken)),
        (Direction::Transmit, 0, Ok(Some((0, 0)))),
        (Direction::Transmit, u32::MAX, Ok(Some((0, 0)))),
    ] {
        let mut queue = queue(16, direction);
        queue.lend(0, 60);
        queue.publish();
        return_descriptor(&queue, 0, len);
        assert_eq!(queue.take(), expected, "{direction:?} {len}");
    }
}

#[test]
fn a_device_with_fewer_descriptors_gets_the_first_ones() {
    let mut queue = queue(64, Direction::Transmit);
    for (max, len) in [(256, 64), (64, 64), (63, 32), (16, 16), (1, 1), (0, 0), (u16::MAX, 64)] {
        let at = queue.reset(max);
        assert_eq!((at.len, queue.len()), (len, len));
        assert!(queue.buffer(len).is_none());
        assert_eq!(queue.buffer(0).is_some(), len > 0);
        queue.lend(len, 60);
        assert_eq!(queue.unpublished(), 0);
    }
}

#[test]
fn a_reset_takes_everything_back() {
    let mut queue = queue(16, Direction::Receive);
    for id in 0..16 {
        queue.lend(id, BUFFER_SIZE);
    }
    queue.publish();
    return_descriptor(&queue, 1, 60);
    queue.set_interrupts(true);
    queue.reset(16);
    assert_eq!((queue.outstanding(), queue.take()), (0, Ok(None)));
    assert_eq!(queue.available.words[FLAGS].load(Ordering::Relaxed), NO_INTERRUPT);
    assert!((0..16).all(|id| queue.buffer(id).is_some()));
}

#[test]
fn a_set_has_what_was_put_into_it() {
    let mut set = Set::default();
    let members = [0, 63, 64, 1023];
    for id in members.into_iter().chain([1024, u16::MAX]) {
        set.insert(id);
    }
    assert!((0..=u16::MAX).all(|id| set.contains(id) == members.contains(&id)));
    let mut other = Set::default();
    other.insert(100);
    set.move_from(&mut other, 128);
    assert!(set.contains(100) && !other.contains(100));
    set.remove(63);
    assert!(!set.contains(63) && set.contains(64));
}
