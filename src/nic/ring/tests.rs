use super::super::dma::DmaMemory;
use super::*;

fn parts(size: usize) -> (Descriptors, Buffers) {
    let len = size * (16 + BUFFER_SIZE) + 2 * BUFFER_SIZE;
    let memory: &'static mut [u8] = Box::leak(vec![0; len].into_boxed_slice());
    let address = memory.as_ptr() as u64;
    // SAFETY: nothing but the test reads these addresses.
    let mut memory = unsafe { DmaMemory::new(memory, address) };
    (memory.descriptors(size).unwrap(), memory.buffers(size).unwrap())
}

/// Does what the card does at its head.
fn complete_rx(ring: &RxRing, index: usize, len: u16) {
    let descriptor = &ring.ring.ring[index];
    descriptor.low.store(0xdead_beef_dead_beef, Ordering::Relaxed);
    descriptor
        .high
        .store(u64::from(len) << 32 | u64::from(RX_DD | RX_EOP), Ordering::Release);
}

fn complete_tx(ring: &TxRing, index: usize) {
    ring.ring.ring[index].high.fetch_or(TX_DD, Ordering::Release);
}

fn complete_all_tx(ring: &TxRing) {
    for descriptor in ring.ring.ring {
        descriptor
            .high
            .fetch_or(descriptor.high.load(Ordering::Relaxed) << 5 & TX_DD, Ordering::Release);
    }
}

fn rx(size: usize) -> RxRing {
    let (ring, buffers) = parts(size);
    RxRing::new(ring, buffers)
}

fn tx(size: usize) -> TxRing {
    let (ring, buffers) = parts(size);
    TxRing::new(ring, buffers)
}

#[test]
fn a_fresh_receive_ring_gives_the_card_all_but_one() {
    let mut ring = rx(64);
    assert_eq!(ring.reset(), 63);
    assert_eq!(ring.completed(), None);
    for index in 0..64 {
        assert_eq!(
            ring.ring.ring[index].low.load(Ordering::Relaxed),
            ring.buffers.address(index)
        );
    }
}

#[test]
fn what_was_released_can_be_returned_before_the_batch_is_full() {
    let mut ring = rx(64);
    assert_eq!(ring.return_released(), 63);
    for index in 0..3 {
        complete_rx(&ring, index, 60);
        assert_eq!(ring.release(), None);
    }
    assert_eq!(ring.return_released(), 2);
    // The next batch counts from there.
    for index in 3..18 {
        complete_rx(&ring, index, 60);
        assert_eq!(ring.release(), None);
    }
    complete_rx(&ring, 18, 60);
    assert_eq!(ring.release(), Some(18));
}

#[test]
fn a_released_descriptor_gets_its_address_back() {
    let mut ring = rx(16);
    complete_rx(&ring, 0, 60);
    assert_eq!(
        ring.completed(),
        Some(Completion {
            status: RX_DD | RX_EOP,
            len: 60
        })
    );
    ring.release();
    assert_eq!(ring.ring.ring[0].low.load(Ordering::Relaxed), ring.buffers.address(0));
    assert_eq!(ring.ring.ring[0].high.load(Ordering::Relaxed), 0);
    assert_eq!(ring.completed(), None);
}

#[test]
fn receive_descriptors_return_in_batches_all_round_the_ring() {
    let mut ring = rx(256);
    let mut tails = Vec::new();
    for turn in 0..1000 {
        complete_rx(&ring, turn % 256, 60);
        tails.extend(ring.release());
    }
    assert_eq!(tails.len(), 1000 / 32);
    for (nth, tail) in tails.iter().enumerate() {
        assert_eq!(*tail as usize, (32 * (nth + 1) - 1) % 256);
    }
}

#[test]
fn a_drained_receive_ring_has_been_returned_but_for_a_batch() {
    let mut ring = rx(64);
    let mut given = 63;
    for index in 0..63 {
        complete_rx(&ring, index, 60);
    }
    let mut taken = 0;
    while ring.completed().is_some() {
        if let Some(tail) = ring.release() {
            given = 63 + tail as usize + 1;
        }
        taken += 1;
    }
    assert_eq!(taken, 63);
    assert!(given - taken > 63 - 16, "the card was left with {}", given - taken);
}

#[test]
fn descriptors_that_are_not_the_cards_are_not_believed() {
    let mut ring = rx(16);
    for index in 0..16 {
        complete_rx(&ring, index, 60);
    }
    // With every descriptor claimed to be done, the walk goes on no further than there are buffers to be had:
    // each batch released is returned, and rewritten.
    let mut taken = 0;
    while ring.completed().is_some() && taken < 100 {
        ring.release();
        taken += 1;
    }
    assert_eq!(taken, 16);
    assert!(ring.completed().is_none());
}

#[test]
fn one_publication_covers_everything_queued_and_asks_for_one_report() {
    let mut ring = tx(256);
    ring.push_context();
    for _ in 0..10 {
        ring.push(100, Insert::Ipv4Tcp);
    }
    assert_eq!(ring.publish(), Some(11));
    assert_eq!(ring.publish(), None);
    assert_eq!(ring.outstanding(), 11);
    let reports: Vec<_> = (0..11)
        .filter(|&index| ring.ring.ring[index].high.load(Ordering::Relaxed) & TX_RS != 0)
        .collect();
    assert_eq!(reports, [10]);
    ring.reclaim();
    assert_eq!(ring.outstanding(), 11);
    complete_tx(&ring, 10);
    ring.reclaim();
    assert_eq!((ring.outstanding(), ring.free()), (0, 255));
}

#[test]
fn a_full_transmit_ring_takes_no_more_until_a_report_comes() {
    let mut ring = tx(16);
    for _ in 0..15 {
        assert!(ring.buffer().is_some());
        ring.push(100, Insert::Nothing);
    }
    assert!(ring.buffer().is_none());
    ring.push(100, Insert::Nothing);
    assert_eq!(ring.publish(), Some(15));
    complete_all_tx(&ring);
    ring.reclaim();
    assert_eq!(ring.free(), 15);
}

#[test]
fn reports_are_taken_in_order_and_as_far_as_they_go() {
    let mut ring = tx(256);
    for _ in 0..200 {
        ring.push(100, Insert::Nothing);
    }
    assert_eq!(ring.publish(), Some(200));
    complete_tx(&ring, 127); // the second report, before the first
    ring.reclaim();
    assert_eq!(ring.outstanding(), 200);
    complete_tx(&ring, 63);
    ring.reclaim();
    assert_eq!(ring.outstanding(), 72);
    complete_tx(&ring, 191);
    complete_tx(&ring, 199);
    ring.reclaim();
    assert_eq!(ring.outstanding(), 0);
}

#[test]
fn the_transmit_ring_goes_round_and_round() {
    let mut ring = tx(16);
    for turn in 0..1000 {
        let frames = turn % 15 + 1;
        for _ in 0..frames {
            assert!(ring.buffer().is_some());
            ring.push(60 + turn, Insert::Nothing);
        }
        assert!(ring.publish().is_some());
        complete_all_tx(&ring);
        ring.reclaim();
        assert_eq!((ring.free(), ring.outstanding()), (15, 0));
    }
}
