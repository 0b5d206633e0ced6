//! The driver against the fake card.

use std::sync::Arc;

use smoltcp::wire::Ipv4Packet;

use super::*;
use crate::nic::RingSizes;
use crate::nic::fake::{Count, Delivery, Fake, MAC, frames};
use crate::nic::hang::HANG;
use crate::nic::ring::RX_DD;

const SMALL: RingSizes = RingSizes { rx: 64, tx: 32 };
const LARGE: RingSizes = RingSizes { rx: 256, tx: 256 };

fn card(rings: RingSizes, signal: Signal) -> (E1000e<Fake>, Fake) {
    let (fake, config) = Fake::new(rings, signal);
    let card = E1000e::new(fake.clone(), config, || fake.enable_bus_master()).unwrap();
    (card, fake)
}

/// Everything received so far, as the stack would take it.
fn drain(card: &mut E1000e<Fake>) -> Vec<(Vec<u8>, bool)> {
    let mut frames = Vec::new();
    while let Some(frame) = card.received() {
        frames.push((frame.bytes.to_vec(), frame.verified));
        card.release();
    }
    frames
}

/// The counters as of now.
fn stats(card: &E1000e<Fake>) -> Stats {
    card.read_hardware(Instant::now());
    card.stats()
}

fn send(card: &mut E1000e<Fake>, frame: &[u8]) -> bool {
    card.send(frame.len(), |buffer| buffer.copy_from_slice(frame)).is_some()
}

/// A frame as it arrives: padded to 60 bytes.
fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(60), 0);
    frame
}

#[test]
fn comes_up_silent_and_ready() {
    let (mut card, fake) = card(LARGE, Signal::MsiX);
    assert_eq!(card.mac(), MAC);
    assert_eq!(card.link(), Link::Up(1000));
    assert!(!card.has_work());
    assert!(card.received().is_none());
    assert!(card.can_send());
    assert_eq!(fake.peek(IMS), ICR_OTHER | ICR_LSC | ICR_RXO);
    assert!((0..MTA_LEN).all(|index| fake.peek(MTA + 4 * index) == 0));
    assert_eq!((fake.peek(ITR), fake.peek(EITR0), fake.peek(RDTR)), (0, 0, 0));
    assert_eq!(fake.receive_buffers(), 255);
    assert_eq!(stats(&card), Stats::default());
    fake.deliver(&frames::arp());
    assert_eq!(stats(&card).interrupts, 0);
    assert!(card.has_work());
}

#[test]
fn each_failed_start_has_its_error() {
    let attempt = |prepare: &dyn Fn(&Fake, &mut Config)| {
        let (fake, mut config) = Fake::new(SMALL, Signal::MsiX);
        prepare(&fake, &mut config);
        E1000e::new(fake.clone(), config, || fake.enable_bus_master()).err()
    };
    assert_eq!(attempt(&|fake, _| fake.set_mac(None)), Some(Error::NoMac));
    assert_eq!(attempt(&|fake, _| fake.set_mac(Some([0; 6]))), Some(Error::NoMac));
    assert_eq!(attempt(&|fake, _| fake.set_mac(Some([0xff; 6]))), Some(Error::NoMac));
    assert_eq!(attempt(&|fake, _| fake.break_reset()), Some(Error::ResetTimedOut));
    assert_eq!(attempt(&|fake, _| fake.remove()), Some(Error::NoRegisters));
    for rx in [0, 8, 100, 2048] {
        assert_eq!(
            attempt(&|_, config| config.rings.rx = rx),
            Some(Error::RingSizes),
            "{rx}"
        );
    }
    assert!(
        matches!(attempt(&|_, config| config.rings = LARGE), Some(Error::Memory { needed, given }) if needed > given)
    );
    assert!(Error::NotFound.to_string().contains("-nic user,model=e1000e"));
}

#[test]
fn ring_sizes_follow_the_memory() {
    assert_eq!(RingSizes::for_ram(16 << 20), LARGE);
    assert_eq!(RingSizes::for_ram(4 << 20), SMALL);
    assert!(SMALL.bytes() < 200 << 10);
    card(RingSizes { rx: 16, tx: 16 }, Signal::Msi);
    card(RingSizes { rx: 1024, tx: 1024 }, Signal::Msi);
}

#[test]
fn frames_arrive_whole_and_in_order() {
    let (mut card, fake) = card(LARGE, Signal::MsiX);
    let sent = [
        frames::arp(),
        frames::tcp(b"hello"),
        frames::udp(&[7; 1472]),
        frames::icmp(),
        frames::tcp(&[9; 1460]),
    ];
    for frame in &sent {
        assert_eq!(fake.deliver(frame), Delivery::Stored);
    }
    let first = card.received().unwrap().bytes.to_vec();
    assert_eq!(card.received().unwrap().bytes, first);
    let frames = drain(&mut card);
    assert_eq!(frames, sent.map(|frame| (padded(frame), true)));
    let stats = stats(&card);
    assert_eq!(stats.rx_packets, 5);
    assert_eq!(stats.rx_bytes, 60 + 60 + 1514 + 60 + 1514);
    assert_eq!(stats.rx_errors, 0);
}

#[test]
fn frames_that_the_card_could_not_verify_are_marked() {
    let (mut card, fake) = card(LARGE, Signal::MsiX);
    let mut fragment = frames::tcp(b"hello");
    fragment[20] = 0x20;
    Ipv4Packet::new_unchecked(&mut fragment[14..]).fill_checksum();
    let mut no_checksum = frames::udp(b"hello");
    no_checksum[40..42].fill(0);
    for frame in [&fragment, &no_checksum] {
        fake.deliver(frame);
    }
    assert_eq!(
        drain(&mut card)
            .iter()
            .map(|(_, verified)| *verified)
            .collect::<Vec<_>>(),
        [false, false]
    );
}

#[test]
fn the_rings_go_round_many_times() {
    for rings in [RingSizes { rx: 16, tx: 16 }, SMALL, LARGE] {
        let (mut card, fake) = card(rings, Signal::MsiX);
        let mut number = 0u32;
        for turn in 0..400 {
            // Never more than the ring holds while a batch is kept back.
            let burst = turn % (rings.rx * 3 / 4) + 1;
            let expected: Vec<_> = (0..burst as u32)
                .map(|nth| frames::tcp(&(number + nth).to_be_bytes()))
                .collect();
            for frame in &expected {
                assert_eq!(fake.deliver(frame), Delivery::Stored);
            }
            number += burst as u32;
            let got = drain(&mut card);
            assert!(
                got.iter()
                    .map(|(frame, _)| frame)
                    .eq(&expected.iter().cloned().map(padded).collect::<Vec<_>>())
            );
            for (frame, _) in got.iter().take(rings.tx) {
                send(&mut card, &frame[..58]);
            }
            card.kick();
            assert_eq!(fake.sent().len(), burst.min(rings.tx));
            card.service();
        }
        assert_eq!(stats(&card).rx_packets, u64::from(number));
        assert_eq!((stats(&card).rx_dropped, stats(&card).tx_dropped), (0, 0));
    }
}

#[test]
fn a_full_ring_loses_frames_and_recovers() {
    let (mut card, fake) = card(SMALL, Signal::MsiX);
    let mut stored = 0;
    while fake.deliver(&frames::tcp(&[stored])) == Delivery::Stored {
        stored += 1;
    }
    assert_eq!(stored, 63);
    assert_eq!(fake.deliver(&frames::tcp(b"lost")), Delivery::Missed);
    assert_eq!(drain(&mut card).len(), 63);
    assert_eq!(stats(&card).rx_dropped, 2);
    assert_eq!(stats(&card).rx_dropped, 2, "reading the counters twice counts once");
    assert!(
        fake.receive_buffers() >= 63 - 16,
        "only {} buffers",
        fake.receive_buffers()
    );
    assert_eq!(fake.deliver(&frames::tcp(b"again")), Delivery::Stored);
    assert_eq!(drain(&mut card), [(padded(frames::tcp(b"again")), true)]);
}

#[test]
fn damaged_frames_are_dropped_and_counted() {
    let (mut card, fake) = card(SMALL, Signal::MsiX);
    let broken = |mut frame: Vec<u8>, at: usize| {
        frame[at] ^= 0x40;
        frame
    };
    // Wrong checksums: IPv4 header, TCP, UDP.
    for frame in [
        broken(frames::tcp(b"a"), 26),
        broken(frames::tcp(&[1; 200]), 100),
        broken(frames::udp(b"hello"), 43),
    ] {
        assert_eq!(fake.deliver(&frame), Delivery::Stored);
    }
    assert_eq!(drain(&mut card), []);
    assert_eq!((stats(&card).rx_errors, stats(&card).rx_checksum_errors), (3, 3));
    // Cut short: the packet says that it is longer.
    fake.deliver(&frames::tcp(&[1; 200])[..150]);
    assert_eq!((drain(&mut card).len(), stats(&card).rx_errors), (0, 4));
    // Too long for the card, and for us.
    assert_eq!(fake.deliver(&frames::udp(&[7; 1480])), Delivery::Refused);
    assert_eq!(fake.deliver(&frames::udp(&[7; 1473])), Delivery::Stored);
    assert_eq!((drain(&mut card).len(), stats(&card).rx_errors), (0, 6));
    // A wrong CRC: the card drops it.
    fake.deliver_wrong_crc();
    assert_eq!((stats(&card).rx_errors, stats(&card).rx_checksum_errors), (7, 3));
    // What comes after them is untouched.
    fake.deliver(&frames::tcp(b"fine"));
    assert_eq!(drain(&mut card), [(padded(frames::tcp(b"fine")), true)]);
    assert_eq!(stats(&card).rx_packets, 1);
}

#[test]
fn frames_larger_than_a_buffer_are_dropped_and_counted_once() {
    let (mut card, fake) = card(SMALL, Signal::MsiX);
    let part = &[7; 2048][..];
    for _ in 0..100 {
        fake.deliver_parts(&[(part, 2048, 0), (part, 2048, 0), (part, 100, RX_EOP)]);
        fake.deliver(&frames::tcp(b"next"));
        assert_eq!(drain(&mut card).len(), 1);
    }
    assert_eq!((stats(&card).rx_packets, stats(&card).rx_errors), (100, 100));
}

#[test]
fn whatever_the_card_writes_back_nothing_breaks() {
    let (mut card, fake) = card(SMALL, Signal::MsiX);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut given = 0;
    for _ in 0..20_000 {
        random = random
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        let (len, status) = ((random >> 48) as u16 >> (random >> 44 & 15), (random >> 8) as u32);
        let frame = frames::tcp(&random.to_be_bytes());
        assert_eq!(fake.deliver_parts(&[(&frame, len, status | RX_DD)]), Delivery::Stored);
        while let Some(frame) = card.received() {
            assert!((MIN_FRAME..=MAX_FRAME).contains(&frame.bytes.len()));
            card.release();
            given += 1;
        }
    }
    assert!(given > 0 && given < 20_000, "{given}");
    fake.deliver_parts(&[(&[], 60, RX_EOP)]);
    drain(&mut card);
    fake.deliver(&frames::tcp(b"fine"));
    assert_eq!(drain(&mut card).len(), 1);
}

#[test]
fn releasing_what_was_not_shown_does_nothing() {
    let (mut card, fake) = card(SMALL, Signal::MsiX);
    card.release();
    fake.deliver(&frames::tcp(b"one"));
    card.release();
    assert_eq!(drain(&mut card).len(), 1);
    for _ in 0..100 {
        card.release();
    }
    assert_eq!(fake.receive_buffers(), 62);
}

#[test]
fn checksums_are_right_on_the_wire() {
    let (mut card, fake) = card(SMALL, Signal::MsiX);
    let expected: Vec<_> = (0..200usize)
        .map(|turn| match turn % 5 {
            0 => frames::tcp(&vec![turn as u8; turn * 7]),
            1 => frames::udp(&vec![turn as u8; turn * 7]),
            2 => frames::icmp(),
            3 => frames::arp(),
            _ => frames::tcp_with_ip_options(&vec![turn as u8; turn]),
        })
        .collect();
    for (turn, frame) in expected.iter().enumerate() {
        let mut blank = frame.clone();
        // What the stack above leaves in the fields.
        let garbage = if turn % 2 == 0 { 0 } else { 0xa5 };
        if frame[12..14] == [8, 0] {
            blank[24..26].fill(garbage);
        }
        match turn % 5 {
            0 => blank[50..52].fill(garbage),
            1 => blank[40..42].fill(garbage),
            4 => blank[54..56].fill(garbage),
            _ => {}
        }
        assert!(send(&mut card, &blank));
        card.kick();
        assert_eq!(fake.sent(), std::slice::from_ref(frame), "frame {turn}");
    }
}

#[test]
fn the_hot_path_reads_no_register_and_writes_few() {
    let (mut card, fake) = card(LARGE, Signal::MsiX);
    fake.forget_accesses();
    // The card's own counters were read just now: keep them from growing old in the course of the test.
    let later = Instant::now() + Duration::from_secs(3600);
    card.hardware.set(Hardware {
        read: later,
        ..card.hardware.get()
    });
    for _ in 0..64 {
        for _ in 0..10 {
            fake.deliver(&frames::tcp(b"ping"));
        }
        card.service();
        while card.has_work() && card.received().is_some() {
            card.release();
            send(&mut card, &frames::tcp(b"pong"));
        }
        card.kick();
        card.kick();
        assert!(card.stats().rx_packets > 0);
    }
    assert_eq!(fake.sent().len(), 640);
    assert_eq!(fake.reads(), 0);
    assert_eq!(fake.writes(TDT0), 64);
    assert_eq!(fake.writes(RDT0), 640 / 32);
    assert_eq!(fake.all_writes(), 64 + 20);
}

#[test]
fn frames_of_impossible_length_are_refused() {
    let (mut card, fake) = card(SMALL, Signal::MsiX);
    for len in [0, 1, 13, 1515, 2048, 2049, usize::MAX] {
        assert!(card.send(len, |_| panic!("filled")).is_none());
    }
    assert!(card.send(14, |frame| frame.fill(0)).is_some());
    assert!(card.send(1514, |frame| frame.fill(0)).is_some());
    card.kick();
    assert_eq!(fake.sent().iter().map(Vec::len).collect::<Vec<_>>(), [14, 1514]);
    assert_eq!(
        (stats(&card).tx_packets, stats(&card).tx_bytes, stats(&card).tx_dropped),
        (2, 1528, 0)
    );
}

#[test]
fn a_burst_longer_than_the_ring_goes_out_without_a_kick() {
    let (mut card, fake) = card(SMALL, Signal::MsiX);
    for _ in 0..100 {
        assert!(card.can_send());
        assert!(send(&mut card, &frames::arp()));
    }
    card.kick();
    assert_eq!(fake.sent().len(), 100);
}

#[test]
fn a_slow_card_makes_the_sender_wait_and_wakes_it() {
    for (signal, cause) in [(Signal::MsiX, ICR_TXQ0), (Signal::Msi, ICR_TXDW)] {
        let (mut card, fake) = card(SMALL, signal);
        let count = Arc::new(Count::default());
        fake.hold(true);
        let mut queued = 0;
        while send(&mut card, &frames::arp()) {
            queued += 1;
        }
        assert_eq!(queued, 31);
        assert_eq!(stats(&card).tx_dropped, 1);
        assert!(!card.can_send());
        card.arm(&count.clone().into());
        assert_ne!(fake.peek(IMS) & cause, 0);
        assert_eq!(count.take(), 0);
        fake.complete(7);
        assert!(!card.can_send(), "nothing was reported yet");
        fake.complete(100);
        assert_eq!(count.take(), 1);
        assert!(card.can_send());
        assert_eq!(fake.sent().len(), 31);
        // Once there is room, no task waits for completions.
        card.service();
        fake.hold(false);
        fake.forget_accesses();
        card.arm(&count.clone().into());
        send(&mut card, &frames::arp());
        card.kick();
        assert_eq!(fake.sent().len(), 1);
        if signal == Signal::MsiX {
            assert_eq!(fake.peek(IMS) & cause, 0);
            assert_eq!(count.take(), 0);
        }
    }
}

#[test]
fn room_that_came_before_arming_wakes_at_once() {
    let (mut card, fake) = card(SMALL, Signal::MsiX);
    let count = Arc::new(Count::default());
    fake.hold(true);
    while send(&mut card, &frames::arp()) {}
    fake.complete(100);
    card.arm(&count.clone().into());
    assert_eq!(count.take(), 1);
}

#[test]
fn one_interrupt_then_silence_until_armed_again() {
    for signal in [Signal::MsiX, Signal::Msi] {
        let (mut card, fake) = card(LARGE, signal);
        let count = Arc::new(Count::default());
        for turn in 1..=3 {
            card.arm(&count.clone().into());
            assert!(!card.has_work());
            assert_eq!(count.take(), 0, "what was polled does not interrupt again");
            for _ in 0..50 {
                fake.deliver(&frames::tcp(b"ping"));
            }
            assert_eq!(count.take(), 1);
            assert_eq!(stats(&card).interrupts, turn);
            card.service();
            assert_eq!(drain(&mut card).len(), 50);
            // Polled, while no task waits.
            fake.deliver(&frames::tcp(b"ping"));
            assert_eq!(count.take(), 0);
            assert_eq!(drain(&mut card).len(), 1);
        }
    }
}

#[test]
fn the_idle_loop_sees_a_frame_without_an_interrupt() {
    let (mut card, fake) = card(SMALL, Signal::MsiX);
    let count = Arc::new(Count::default());
    let interrupt = card.interrupt;
    interrupt.wait(&count.clone().into());
    for _ in 0..100 {
        assert!(!interrupt.poll());
        fake.deliver(&frames::arp());
        assert!(interrupt.poll() && card.has_work());
        assert_eq!(count.take(), 1);
        assert_eq!(drain(&mut card).len(), 1);
    }
    assert_eq!(interrupt.taken(), 0);
    assert!(!Interrupt::new().poll());
}

#[test]
fn an_idle_loop_that_watches_leaves_the_mask_alone() {
    for signal in [Signal::MsiX, Signal::Msi] {
        let (mut card, fake) = card(SMALL, signal);
        let count = Arc::new(Count::default());
        let interrupt = card.interrupt;
        assert!(!interrupt.before_sleep(), "no task waits yet");
        // Frames come while the loop watches.
        fake.forget_accesses();
        for _ in 0..10 {
            card.arm(&count.clone().into());
            fake.deliver(&frames::tcp(b"ping"));
            assert!(interrupt.poll());
            card.service();
            assert_eq!(drain(&mut card).len(), 1);
        }
        assert_eq!((fake.reads(), fake.all_writes(), interrupt.taken()), (0, 0, 0));
        assert_eq!(count.take(), 10);
        // No more: the loop has the interrupt unmasked before it sleeps.
        card.arm(&count.clone().into());
        assert!(interrupt.before_sleep());
        assert_eq!(count.take(), 1);
        card.arm(&count.clone().into());
        assert!(!interrupt.before_sleep());
        fake.deliver(&frames::tcp(b"ping"));
        assert_eq!((interrupt.taken(), count.take()), (1, 1));
        card.service();
        drain(&mut card);
        // A timer may wake the task; the interrupt stays unmasked then.
        card.arm(&count.clone().into());
        assert!(interrupt.before_sleep());
        card.arm(&count.clone().into());
        fake.forget_accesses();
        card.arm(&count.clone().into());
        assert!(!interrupt.before_sleep());
        assert_eq!(fake.all_writes(), 0);
        count.take();
        fake.deliver(&frames::tcp(b"ping"));
        assert_eq!(count.take(), 1);
        // A change of the link is reported at any time.
        card.arm(&count.clone().into());
        fake.set_link(None);
        assert_eq!(count.take(), 1);
        card.service();
        assert_eq!(card.link(), Link::Down);
        // A task that does not wait again does not keep the machine awake.
        card.arm(&count.clone().into());
        assert!(interrupt.before_sleep());
        assert!(!interrupt.before_sleep());
    }
}

#[test]
fn link_changes_are_noticed_at_the_next_service() {
    for signal in [Signal::MsiX, Signal::Msi] {
        let (mut card, fake) = card(SMALL, signal);
        let count = Arc::new(Count::default());
        for (speed, link) in [(None, Link::Down), (Some(100), Link::Up(100)), (Some(10), Link::Up(10))] {
            card.arm(&count.clone().into());
            fake.set_link(speed);
            assert_eq!(count.take(), 1);
            assert_ne!(card.link(), link);
            card.service();
            assert_eq!(card.link(), link);
            assert_eq!(fake.peek(ICR) & (ICR_LSC | ICR_OTHER), 0);
        }
        // Frames arrive after all that.
        fake.deliver(&frames::arp());
        assert_eq!(drain(&mut card).len(), 1);
    }
}

#[test]
fn an_overrun_does_not_interrupt_for_ever() {
    let (mut card, fake) = card(SMALL, Signal::MsiX);
    let count = Arc::new(Count::default());
    card.arm(&count.clone().into());
    while fake.deliver(&frames::arp()) == Delivery::Stored {}
    assert_eq!(count.take(), 2, "one interrupt for the frames, one for the overrun");
    card.service();
    drain(&mut card);
    card.arm(&count.clone().into());
    assert_eq!(count.take(), 0);
}

#[test]
fn a_card_without_a_link_comes_up_and_waits() {
    let (fake, config) = Fake::new(SMALL, Signal::MsiX);
    fake.set_link(None);
    let mut card = E1000e::new(fake.clone(), config, || fake.enable_bus_master()).unwrap();
    assert_eq!(card.link(), Link::Down);
    let count = Arc::new(Count::default());
    card.arm(&count.clone().into());
    fake.set_link(Some(1000));
    assert_eq!(count.take(), 1);
    card.service();
    assert_eq!(card.link(), Link::Up(1000));
}

#[test]
fn a_card_that_hangs_is_reset() {
    let (mut card, fake) = card(SMALL, Signal::MsiX);
    let start = Instant::from_secs(1);
    fake.hold(true);
    for _ in 0..20 {
        send(&mut card, &frames::arp());
    }
    card.kick();
    fake.deliver(&frames::arp());
    card.watch(|| start);
    card.watch(|| start + HANG);
    assert_eq!(card.tx.outstanding(), 21, "with the context");
    // Without a link it is no hang.
    card.link = Link::Down;
    card.watch(|| start + HANG * 2);
    card.link = Link::Up(1000);
    card.watch(|| start + HANG * 3);
    assert_eq!(card.tx.outstanding(), 21);
    fake.hold(false);
    card.watch(|| start + HANG * 4);
    assert_eq!(card.tx.outstanding(), 1);
    card.service();
    assert_eq!(card.tx.outstanding(), 0);
    assert_eq!(stats(&card).tx_dropped, 21);
    assert_eq!(fake.sent().len(), 0);
    // Both directions work again.
    send(&mut card, &frames::tcp(b"hello"));
    card.kick();
    assert_eq!(fake.sent(), [frames::tcp(b"hello")]);
    assert_eq!(fake.deliver(&frames::arp()), Delivery::Stored);
    assert_eq!(drain(&mut card).len(), 1);
}

#[test]
fn a_card_that_cannot_be_reset_is_tried_again_later() {
    let (mut card, fake) = card(SMALL, Signal::MsiX);
    let start = Instant::from_secs(1);
    fake.hold(true);
    send(&mut card, &frames::arp());
    card.kick();
    fake.break_reset();
    card.watch(|| start);
    card.watch(|| start + HANG * 2);
    fake.forget_accesses();
    card.watch(|| start + HANG * 3);
    assert_eq!(fake.reads(), 0);
}

#[test]
fn multicasts_are_received() {
    let (_card, fake) = card(SMALL, Signal::MsiX);
    let mut frame = frames::arp();
    frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
    assert_eq!(fake.deliver(&frame), Delivery::Stored);
    frame[..6].copy_from_slice(&[0x52, 0x54, 0, 0, 0, 99]);
    assert_eq!(fake.deliver(&frame), Delivery::Refused);
}
