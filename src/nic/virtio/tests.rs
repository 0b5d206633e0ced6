//! The driver against the fake device.

use std::sync::Arc;

use smoltcp::wire::Ipv4Packet;

use super::*;
use crate::nic::RingSizes;
use crate::nic::fake::virtio::{FakeVirtio, OFFERED};
use crate::nic::fake::{Count, Delivery, MAC, frames};

const SMALL: RingSizes = RingSizes { rx: 64, tx: 32 };
const LARGE: RingSizes = RingSizes { rx: 256, tx: 256 };

fn card(rings: RingSizes) -> (VirtioNet<FakeVirtio>, FakeVirtio) {
    let (fake, config) = FakeVirtio::new(rings);
    let card = VirtioNet::new(fake.clone(), config, || fake.enable_bus_master()).unwrap();
    (card, fake)
}

/// A card whose device offers nothing but these features and the necessary ones.
fn card_with(features: u64) -> (VirtioNet<FakeVirtio>, FakeVirtio) {
    let (fake, config) = FakeVirtio::new(SMALL);
    fake.offer(features | F_VERSION_1 | F_MAC);
    let card = VirtioNet::new(fake.clone(), config, || fake.enable_bus_master()).unwrap();
    (card, fake)
}

/// Everything received so far, as the stack would take it.
fn drain(card: &mut VirtioNet<FakeVirtio>) -> Vec<(Vec<u8>, bool)> {
    let mut frames = Vec::new();
    while let Some(frame) = card.received() {
        frames.push((frame.bytes.to_vec(), frame.verified));
        card.release();
    }
    frames
}

fn send(card: &mut VirtioNet<FakeVirtio>, frame: &[u8]) -> bool {
    card.send(frame.len(), |buffer| buffer.copy_from_slice(frame)).is_some()
}

/// A frame as it arrives: padded to 60 bytes.
fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(60), 0);
    frame
}

/// Both directions work.
fn assert_works(card: &mut VirtioNet<FakeVirtio>, fake: &FakeVirtio) {
    fake.sent();
    assert!(send(card, &frames::tcp(b"out")));
    card.kick();
    assert_eq!(fake.sent(), [frames::tcp(b"out")]);
    assert_eq!(fake.deliver(&frames::tcp(b"in"), DATA_VALID), Delivery::Stored);
    assert_eq!(drain(card), [(padded(frames::tcp(b"in")), true)]);
}

#[test]
fn comes_up_in_the_order_of_the_standard() {
    let (mut card, fake) = card(SMALL);
    let expected = [
        "status 0",
        "status 1",
        "status 3",
        "features",
        "accept",
        "status 11",
        "route",
        "queue 0 of 64",
        "queue 1 of 32",
        "status 15",
    ];
    assert_eq!(fake.steps(), expected);
    assert_eq!((card.mac(), card.link()), (MAC, Link::Up(1000)));
    assert_eq!(
        fake.accepted(),
        F_VERSION_1 | F_MAC | F_STATUS | F_SPEED_DUPLEX | F_CSUM | F_GUEST_CSUM
    );
    assert!(card.received().is_none() && card.can_send());
    assert_eq!(fake.receive_buffers(), 64);
    assert_eq!((fake.notified(RECEIVE), fake.notified(TRANSMIT)), (1, 0));
    assert!(!fake.interrupts_wanted(RECEIVE) && !fake.interrupts_wanted(TRANSMIT));
    fake.deliver(&frames::arp(), 0);
    assert_eq!(card.stats(), Stats::default());
    assert!(card.interrupt.poll());
}

#[test]
fn each_failed_start_has_its_error() {
    let attempt = |prepare: &dyn Fn(&FakeVirtio, &mut Config)| {
        let (fake, mut config) = FakeVirtio::new(SMALL);
        prepare(&fake, &mut config);
        VirtioNet::new(fake.clone(), config, || fake.enable_bus_master()).err()
    };
    assert_eq!(attempt(&|_, _| ()), None);
    assert_eq!(
        attempt(&|fake, _| fake.offer(OFFERED & !F_VERSION_1)),
        Some(Error::NotModern)
    );
    assert_eq!(attempt(&|fake, _| fake.refuse_features()), Some(Error::Features));
    assert_eq!(attempt(&|fake, _| fake.offer(OFFERED & !F_MAC)), Some(Error::NoMac));
    assert_eq!(attempt(&|fake, _| fake.set_mac([0; 6])), Some(Error::NoMac));
    assert_eq!(attempt(&|fake, _| fake.set_mac([0xff; 6])), Some(Error::NoMac));
    assert_eq!(attempt(&|fake, _| fake.break_reset(true)), Some(Error::ResetTimedOut));
    assert_eq!(attempt(&|fake, _| fake.refuse_vectors()), Some(Error::NoQueue));
    for max in [[0, 256], [256, 0], [8, 256], [256, 15]] {
        assert_eq!(attempt(&|fake, _| fake.set_max(max)), Some(Error::NoQueue), "{max:?}");
    }
    for rx in [0, 8, 100, 2048] {
        assert_eq!(attempt(&|_, config| config.rings.rx = rx), Some(Error::RingSizes));
    }
    assert!(
        matches!(attempt(&|_, config| config.rings = LARGE), Some(Error::Memory { needed, given }) if needed > given)
    );
    assert!(Error::NoMsix.to_string().contains("-device virtio-net-pci,netdev=net0"));
}

#[test]
fn a_device_that_cannot_be_used_is_marked_failed() {
    let (fake, config) = FakeVirtio::new(SMALL);
    fake.refuse_features();
    VirtioNet::new(fake.clone(), config, || fake.enable_bus_master())
        .err()
        .unwrap();
    let failed = format!("status {}", ACKNOWLEDGE | DRIVER | FAILED);
    assert_eq!(fake.steps().last(), Some(&failed));
}

#[test]
fn a_device_with_small_queues_gets_no_more() {
    let (fake, config) = FakeVirtio::new(LARGE);
    // The second is no power of two.
    fake.set_max([16, 100]);
    let mut card = VirtioNet::new(fake.clone(), config, || fake.enable_bus_master()).unwrap();
    assert_eq!((card.rx.len(), card.tx.len()), (16, 64));
    for _ in 0..50 {
        assert_works(&mut card, &fake);
        card.service();
    }
}

#[test]
fn a_change_of_the_configuration_tears_no_address() {
    for changes in 0..20u8 {
        let (fake, config) = FakeVirtio::new(SMALL);
        fake.change_while_read(changes.into());
        let card = VirtioNet::new(fake.clone(), config, || fake.enable_bus_master()).unwrap();
        if usize::from(changes) < CONFIG_READS - 1 {
            assert_eq!(card.mac(), MAC.map(|byte| byte.wrapping_add(2 * changes)));
        }
    }
}

#[test]
fn frames_arrive_whole_and_in_order() {
    let (mut card, fake) = card(LARGE);
    let sent = [
        frames::arp(),
        frames::tcp(b"hello"),
        frames::udp(&[7; 1472]),
        frames::tcp(&[9; 1460]),
    ];
    for frame in &sent {
        assert_eq!(fake.deliver(frame, DATA_VALID), Delivery::Stored);
    }
    let first = card.received().unwrap().bytes.to_vec();
    assert_eq!(card.received().unwrap().bytes, first);
    assert_eq!(drain(&mut card), sent.map(|frame| (padded(frame), true)));
    let stats = card.stats();
    assert_eq!((stats.rx_packets, stats.rx_errors), (4, 0));
    assert_eq!(stats.rx_bytes, 60 + 60 + 1514 + 1514);
}

#[test]
fn only_what_the_device_has_verified_is_marked() {
    let verified = |card: &mut VirtioNet<FakeVirtio>| drain(card).into_iter().map(|(_, verified)| verified).next();
    let (mut card, fake) = card(SMALL);
    let mut fragment = frames::tcp(b"hello");
    fragment[20] = 0x20;
    Ipv4Packet::new_unchecked(&mut fragment[14..]).fill_checksum();
    for (frame, flags, expected) in [
        (frames::tcp(b"hello"), 0, false),
        (frames::tcp(b"hello"), DATA_VALID, true),
        (frames::udp(b"hello"), DATA_VALID, true),
        (frames::tcp_with_ip_options(b"hello"), DATA_VALID, true),
        (fragment, DATA_VALID, false),
        (frames::icmp(), DATA_VALID, false),
    ] {
        fake.deliver(&frame, flags);
        assert_eq!(verified(&mut card), Some(expected), "{frame:?} {flags}");
    }
    // From the same host, without a checksum: the header has to mean just the TCP or UDP one.
    for (frame, start, offset, expected) in [
        (frames::tcp(b"hello"), 34, 16, true),
        (frames::tcp_with_ip_options(b"hello"), 38, 16, true),
        (frames::udp(b"hello"), 34, 6, true),
        (frames::tcp(b"hello"), 34, 6, false),
        (frames::tcp(b"hello"), 33, 16, false),
        (frames::udp(b"hello"), 34, 16, false),
        (frames::icmp(), 34, 2, false),
        (frames::tcp(b"hello"), 0xffff, 0xffff, false),
    ] {
        let header = [
            NEEDS_CSUM,
            0,
            0,
            0,
            0,
            0,
            start as u8,
            (start >> 8) as u8,
            offset as u8,
            (offset >> 8) as u8,
            1,
            0,
        ];
        fake.deliver_raw(&header, &padded(frame));
        assert_eq!(verified(&mut card), Some(expected), "{start} {offset}");
    }
    // Without the feature the flags have no meaning.
    let (mut card, fake) = card_with(0);
    fake.deliver_raw(&[DATA_VALID, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], &frames::tcp(&[1; 100]));
    assert_eq!(verified(&mut card), Some(false));
}

#[test]
fn damaged_frames_are_dropped_and_counted() {
    let (mut card, fake) = card(SMALL);
    let header = [0; HEADER];
    // Shorter than the header, than an Ethernet header; longer than a frame; cut short; segments.
    for (header, frame) in [
        (&header[..0], &[][..]),
        (&header[..11], &[]),
        (&header, &[]),
        (&header, &[1; 13]),
        (&header, &[1; 1515]),
        (&header, &[1; 2036]),
        (&header, &frames::tcp(&[1; 200])[..150]),
        (&[0, 1, 0, 0, 180, 5, 0, 0, 0, 0, 1, 0], &frames::tcp(&[1; 1400])),
    ] {
        fake.deliver_raw(header, frame);
        let errors = card.stats().rx_errors;
        assert_eq!(drain(&mut card), []);
        assert_eq!(card.stats().rx_errors, errors + 1, "{header:?} {}", frame.len());
    }
    let mut wrong = frames::tcp(b"hello");
    wrong[26] ^= 0x40;
    fake.deliver(&wrong, DATA_VALID);
    assert_eq!(drain(&mut card), []);
    assert_eq!((card.stats().rx_errors, card.stats().rx_checksum_errors), (9, 1));
    assert_works(&mut card, &fake);
    assert_eq!(card.stats().rx_packets, 1);
}

#[test]
fn checksums_are_right_on_the_wire() {
    for (mut card, fake) in [card(SMALL), card_with(F_GUEST_CSUM)] {
        for turn in 0..200usize {
            let frame = match turn % 5 {
                0 => frames::tcp(&vec![turn as u8; turn * 7]),
                1 => frames::udp(&vec![turn as u8; turn * 7]),
                2 => frames::icmp(),
                3 => frames::arp(),
                _ => frames::tcp_with_ip_options(&vec![turn as u8; turn]),
            };
            let mut blank = frame.clone();
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
            assert_eq!(fake.sent(), [frame], "frame {turn}");
        }
    }
}

#[test]
fn the_queues_go_round_many_times() {
    for rings in [RingSizes { rx: 16, tx: 16 }, SMALL, LARGE] {
        let (mut card, fake) = card(rings);
        let mut number = 0u32;
        // More than 65,536 frames each way, so that the indices wrap.
        while number < 70_000 {
            let burst = number as usize % (rings.rx * 3 / 4) + 1;
            for nth in 0..burst as u32 {
                let frame = frames::tcp(&(number + nth).to_be_bytes());
                assert_eq!(fake.deliver(&frame, DATA_VALID), Delivery::Stored);
            }
            for (frame, _) in drain(&mut card) {
                assert_eq!(frame[54..58], number.to_be_bytes());
                number += 1;
                assert!(send(&mut card, &frame[..58]));
            }
            card.kick();
            assert_eq!(fake.sent().len(), burst);
            card.service();
        }
        assert_eq!(card.stats().rx_packets, u64::from(number));
        assert_eq!(card.stats().tx_packets, u64::from(number));
        assert_eq!((card.stats().tx_dropped, card.stats().rx_errors), (0, 0));
    }
}

#[test]
fn the_hot_path_makes_few_accesses() {
    let (mut card, fake) = card(LARGE);
    fake.forget_accesses();
    for _ in 0..64 {
        for _ in 0..10 {
            fake.deliver(&frames::tcp(b"ping"), DATA_VALID);
        }
        card.service();
        while card.received().is_some() {
            card.release();
            send(&mut card, &frames::tcp(b"pong"));
        }
        card.kick();
        card.kick();
    }
    assert_eq!(fake.sent().len(), 640);
    assert_eq!(fake.accesses(), 64 + 640 / 32);
}

#[test]
fn a_device_that_looks_by_itself_is_not_notified() {
    let (mut card, fake) = card(SMALL);
    fake.notified(RECEIVE);
    fake.hold(true);
    fake.want_notifications(TRANSMIT, false);
    fake.want_notifications(RECEIVE, false);
    send(&mut card, &frames::arp());
    card.kick();
    for _ in 0..20 {
        fake.deliver(&frames::arp(), 0);
    }
    drain(&mut card);
    assert_eq!((fake.notified(TRANSMIT), fake.notified(RECEIVE)), (0, 0));
    // It has all the same what was published: one frame to send, a batch of buffers.
    fake.complete(usize::MAX);
    assert_eq!(fake.sent().len(), 1);
    assert_eq!(fake.receive_buffers(), 64 - 20 + 16);
    card.restock();
    assert_eq!((fake.receive_buffers(), fake.notified(RECEIVE)), (64, 1));
}

#[test]
fn a_slow_device_makes_the_sender_wait_and_wakes_it() {
    let (mut card, fake) = card(SMALL);
    let count = Arc::new(Count::default());
    fake.hold(true);
    let mut queued = 0;
    while send(&mut card, &frames::arp()) {
        queued += 1;
    }
    assert_eq!((queued, card.stats().tx_dropped), (32, 1));
    assert!(!card.can_send());
    card.arm(&count.clone().into());
    assert!(fake.interrupts_wanted(TRANSMIT));
    assert_eq!(count.take(), 0);
    fake.complete(7);
    assert_eq!(count.take(), 7);
    assert!(card.can_send());
    card.service();
    assert!(!fake.interrupts_wanted(TRANSMIT));
    // Once there is room, no task waits for completions.
    card.arm(&count.clone().into());
    assert!(!fake.interrupts_wanted(TRANSMIT) && fake.interrupts_wanted(RECEIVE));
    fake.complete(100);
    assert_eq!((count.take(), fake.sent().len()), (0, 32));
    // Room that came before arming wakes at once.
    while send(&mut card, &frames::arp()) {}
    fake.complete(100);
    card.arm(&count.clone().into());
    assert_eq!(count.take(), 1);
}

#[test]
fn one_interrupt_then_silence_until_armed_again() {
    let (mut card, fake) = card(LARGE);
    let count = Arc::new(Count::default());
    for _ in 0..3 {
        card.arm(&count.clone().into());
        assert!(fake.interrupts_wanted(RECEIVE));
        assert!(card.received().is_none());
        fake.deliver(&frames::tcp(b"ping"), DATA_VALID);
        assert_eq!(count.take(), 1);
        card.service();
        assert!(!fake.interrupts_wanted(RECEIVE));
        assert_eq!(drain(&mut card).len(), 1);
        // Polled, while no task waits.
        fake.deliver(&frames::tcp(b"ping"), DATA_VALID);
        assert_eq!(count.take(), 0);
        assert_eq!(drain(&mut card).len(), 1);
    }
}

#[test]
fn a_device_that_interrupts_unasked_is_served_all_the_same() {
    // As Firecracker's devices do, which ignore the flag.
    let (mut card, fake) = card(SMALL);
    let count = Arc::new(Count::default());
    for _ in 0..100 {
        fake.deliver(&frames::tcp(b"ping"), DATA_VALID);
        fake.interrupt();
        card.service();
        assert_eq!(drain(&mut card).len(), 1);
        assert!(send(&mut card, &frames::tcp(b"pong")));
        card.kick();
        fake.interrupt();
        card.arm(&count.clone().into());
        assert!(card.received().is_none());
        count.take();
        fake.deliver(&frames::tcp(b"ping"), DATA_VALID);
        assert_eq!(count.take(), 1);
        card.service();
        assert_eq!(drain(&mut card).len(), 1);
    }
    assert_eq!(fake.sent().len(), 100);
}

#[test]
fn no_wake_up_is_lost_between_the_last_look_and_arming() {
    let (mut card, fake) = card(SMALL);
    let count = Arc::new(Count::default());
    assert!(card.received().is_none());
    // It comes now, and does not interrupt; the caller finds it by looking once more.
    fake.deliver(&frames::arp(), 0);
    card.arm(&count.clone().into());
    assert_eq!(count.take(), 0);
    assert!(card.received().is_some());
    // After a reset the device interrupts again once it is armed.
    card.fail();
    assert_eq!(count.take(), 1);
    card.service();
    card.arm(&count.clone().into());
    fake.deliver(&frames::arp(), 0);
    assert_eq!(count.take(), 1);
}

#[test]
fn the_idle_loop_sees_a_frame_without_an_interrupt() {
    let (mut card, fake) = card(SMALL);
    let count = Arc::new(Count::default());
    let interrupt = card.interrupt;
    assert!(!interrupt.before_sleep(), "no task waits yet");
    fake.forget_accesses();
    for _ in 0..10 {
        card.arm(&count.clone().into());
        assert!(!interrupt.poll());
        fake.deliver(&frames::arp(), 0);
        assert!(interrupt.poll());
        card.service();
        assert_eq!(drain(&mut card).len(), 1);
    }
    assert_eq!((interrupt.taken(), count.take(), fake.accesses()), (0, 10, 0));
    // No more: the loop has the interrupt unmasked before it sleeps.
    card.arm(&count.clone().into());
    assert!(interrupt.before_sleep());
    assert_eq!(count.take(), 1);
    card.arm(&count.clone().into());
    assert!(!interrupt.before_sleep());
    fake.deliver(&frames::arp(), 0);
    assert_eq!((interrupt.taken(), count.take()), (1, 1));
}

#[test]
fn link_changes_are_noticed_at_the_next_service() {
    let (mut card, fake) = card(SMALL);
    let count = Arc::new(Count::default());
    for (speed, link) in [
        (None, Link::Down),
        (Some(100), Link::Up(100)),
        (None, Link::Down),
        (Some(u32::MAX), Link::Up(0)),
    ] {
        card.arm(&count.clone().into());
        fake.set_link(speed);
        assert_eq!(count.take(), 1);
        assert_ne!(card.link(), link);
        card.service();
        assert_eq!(card.link(), link);
    }
    assert_works(&mut card, &fake);
}

#[test]
fn a_device_without_link_status_or_speed_is_up() {
    assert_eq!(card_with(0).0.link(), Link::Up(0));
    assert_eq!(card_with(F_STATUS).0.link(), Link::Up(0));
    assert_eq!(card_with(F_STATUS | F_SPEED_DUPLEX).0.link(), Link::Up(1000));
    let (fake, config) = FakeVirtio::new(SMALL);
    fake.set_link(None);
    let mut card = VirtioNet::new(fake.clone(), config, || fake.enable_bus_master()).unwrap();
    assert_eq!(card.link(), Link::Down);
    fake.set_link(Some(10));
    card.service();
    assert_eq!(card.link(), Link::Up(10));
}

/// What no device may do.
type Wrong = fn(&FakeVirtio);

#[test]
fn a_device_that_breaks_the_rules_is_reset() {
    let wrongs: [(&str, Wrong); 11] = [
        ("the receive index jumps", |fake| fake.jump(RECEIVE, 65)),
        ("the receive index goes back", |fake| fake.jump(RECEIVE, u16::MAX)),
        ("an index moves without an element", |fake| {
            fake.put(RECEIVE, 0, 100);
            fake.jump(RECEIVE, 1);
        }),
        ("the transmit index jumps", |fake| fake.jump(TRANSMIT, 1)),
        ("a descriptor is out of range", |fake| fake.put(RECEIVE, 64, 100)),
        ("a descriptor is far out of range", |fake| {
            fake.put(RECEIVE, 0x1_0000, 100);
        }),
        ("a descriptor is used twice", |fake| {
            fake.put(RECEIVE, 3, 100);
            fake.put(RECEIVE, 3, 100);
        }),
        ("nothing was sent", |fake| fake.put(TRANSMIT, 0, 0)),
        ("a frame is longer than its buffer", |fake| fake.put(RECEIVE, 0, 2049)),
        ("a frame is as long as can be", |fake| fake.put(RECEIVE, 0, u32::MAX)),
        ("it needs a reset", FakeVirtio::need_reset),
    ];
    for (name, wrong) in wrongs {
        let (mut card, fake) = card(SMALL);
        let count = Arc::new(Count::default());
        assert_works(&mut card, &fake);
        card.service();
        fake.steps();
        wrong(&fake);
        drain(&mut card);
        card.service();
        assert!(fake.steps().starts_with(&["status 0".into()]), "{name}");
        assert_eq!(card.health, Health::Working, "{name}");
        assert_works(&mut card, &fake);
        // Again, and the device is left alone for some time.
        wrong(&fake);
        drain(&mut card);
        card.service();
        assert_eq!(card.health, Health::Broken, "{name}");
        assert_eq!(fake.steps(), [""; 0], "{name}");
        assert!(!card.can_send() && card.received().is_none());
        fake.forget_accesses();
        card.kick();
        card.restock();
        card.arm(&count.clone().into());
        assert!(!card.interrupt.poll(), "the machine may sleep meanwhile");
        assert_eq!((fake.accesses(), count.take()), (0, 0));
        card.watch(|| Instant::now() + HANG);
        assert_eq!(card.health, Health::Working, "{name}");
        assert_works(&mut card, &fake);
    }
}

#[test]
fn a_fault_that_is_found_after_arming_wakes_the_task() {
    let (mut card, fake) = card(SMALL);
    let count = Arc::new(Count::default());
    // It does not interrupt, since it comes before arming.
    fake.jump(RECEIVE, 65);
    card.arm(&count.clone().into());
    assert_eq!(count.take(), 0);
    assert!(card.received().is_none());
    assert_eq!(count.take(), 1);
    card.service();
    assert_works(&mut card, &fake);
}

#[test]
fn a_device_that_was_reset_by_another_is_brought_up_again() {
    let (mut card, fake) = card(SMALL);
    fake.forget_driver();
    card.service();
    assert_works(&mut card, &fake);
}

#[test]
fn a_frame_that_is_being_looked_at_survives_a_fault() {
    let (mut card, fake) = card(SMALL);
    fake.deliver(&frames::tcp(b"last"), DATA_VALID);
    assert!(card.received().is_some());
    fake.put(TRANSMIT, 0, 0);
    fake.steps();
    card.reclaim();
    assert_eq!(card.health, Health::Broken);
    let frame = card.received().unwrap();
    assert_eq!(frame.bytes, padded(frames::tcp(b"last")));
    fake.forget_accesses();
    card.release();
    assert!(card.received().is_none());
    assert_eq!(fake.accesses(), 0);
    card.service();
    assert_works(&mut card, &fake);
}

#[test]
fn whatever_the_device_writes_nothing_breaks() {
    let (mut card, fake) = card(SMALL);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut given, mut resets) = (0, 0);
    for turn in 0..20_000u32 {
        random = random
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        let frame = frames::tcp(&random.to_be_bytes());
        let header: [u8; HEADER] = core::array::from_fn(|at| (random >> at >> 8) as u8 & (random >> 40) as u8);
        match random >> 56 {
            0 => fake.jump(RECEIVE, (random >> 16) as u16),
            1 => fake.put(
                RECEIVE,
                (random >> 16) as u32 >> (random & 31),
                (random >> 20) as u32 >> (random & 31),
            ),
            2 => fake.put(TRANSMIT, (random >> 16) as u32 & 63, 0),
            _ => drop(fake.deliver_raw(&header, &frame)),
        }
        while let Some(frame) = card.received() {
            assert!((MIN_FRAME..=MAX_FRAME).contains(&frame.bytes.len()));
            card.release();
            given += 1;
        }
        send(&mut card, &frame);
        card.kick();
        card.service();
        if card.health != Health::Working {
            resets += 1;
            card.watch(|| Instant::now() + HANG * turn);
        }
    }
    assert!(given > 0 && resets > 0, "{given} {resets}");
    card.retry = Instant::MIN;
    card.fail();
    card.service();
    assert_works(&mut card, &fake);
}

#[test]
fn a_device_that_hangs_is_reset() {
    let (mut card, fake) = card(SMALL);
    let start = Instant::from_secs(1);
    fake.hold(true);
    for _ in 0..20 {
        send(&mut card, &frames::arp());
    }
    card.kick();
    card.watch(|| start);
    card.watch(|| start + HANG);
    assert_eq!(card.tx.outstanding(), 20);
    // A device that sends does not hang, however long its queue is.
    fake.complete(1);
    card.reclaim();
    send(&mut card, &frames::arp());
    card.kick();
    card.watch(|| start + HANG * 2);
    assert_eq!(card.tx.outstanding(), 20);
    // Without a link it is no hang.
    card.link = Link::Down;
    card.watch(|| start + HANG * 4);
    card.link = Link::Up(1000);
    card.watch(|| start + HANG * 5);
    assert_eq!(card.tx.outstanding(), 20);
    fake.hold(false);
    card.watch(|| start + HANG * 6);
    assert_eq!((card.tx.outstanding(), card.stats().tx_dropped), (0, 20));
    assert_works(&mut card, &fake);
}

#[test]
fn a_device_that_cannot_be_reset_is_tried_again_later() {
    let (mut card, fake) = card(SMALL);
    fake.break_reset(true);
    fake.need_reset();
    card.service();
    assert_eq!((card.health, card.link()), (Health::Failed, Link::Down));
    fake.forget_accesses();
    card.service();
    assert!(!send(&mut card, &frames::arp()));
    assert_eq!(fake.accesses(), 0);
    let later = card.retry;
    card.watch(|| later);
    assert_eq!(card.health, Health::Failed);
    // Each time later, up to a limit.
    for _ in 0..5 {
        let later = card.retry;
        card.watch(|| later);
        assert_eq!(card.health, Health::Failed);
        assert!(card.retry > later && card.retry <= later + RETRY_MAX);
    }
    assert_eq!(card.pause, RETRY_MAX);
    fake.break_reset(false);
    let later = card.retry;
    card.watch(|| later);
    assert_eq!((card.health, card.link()), (Health::Working, Link::Up(1000)));
    assert_works(&mut card, &fake);
    // It has worked for long enough.
    card.fail();
    let later = card.retry + RETRY_MAX * 2;
    card.watch(|| later);
    assert_eq!((card.health, card.pause), (Health::Working, HANG));
}

#[test]
fn frames_of_impossible_length_are_refused() {
    let (mut card, fake) = card(SMALL);
    for len in [0, 1, 13, 1515, 2048, 2049, usize::MAX] {
        assert!(card.send(len, |_| panic!("filled")).is_none());
    }
    assert!(card.send(14, |frame| frame.fill(0)).is_some());
    assert!(card.send(1514, |frame| frame.fill(0)).is_some());
    card.kick();
    assert_eq!(fake.sent().iter().map(Vec::len).collect::<Vec<_>>(), [14, 1514]);
}

#[test]
fn releasing_what_was_not_shown_does_nothing() {
    let (mut card, fake) = card(SMALL);
    card.release();
    fake.deliver(&frames::tcp(b"one"), 0);
    card.release();
    assert_eq!(drain(&mut card).len(), 1);
    for _ in 0..100 {
        card.release();
    }
    card.restock();
    assert_eq!(fake.receive_buffers(), 64);
}
