//! Wires that lose, swap, double and damage frames, and links that come and go.

use embassy_futures::join::join;
use embedded_io_async::{Read, Write};
use smoltcp::iface::SocketHandle;

use super::streams::{echo, exchange};
use super::*;

/// A megabyte to an echo and back over a bad wire; the counters of both ends.
fn megabyte(faults: Faults, len: usize) -> [Counters; 2] {
    let mut world = World::new(&[PLAN, PLAN]);
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    let (mut client, server) = world.pair(1, 0, &listener);
    world.spawn(async move {
        let _ = echo(server).await;
    });
    world.faults = faults;
    let data = pattern(len, 21);
    let sent = data.clone();
    assert!(world.run(async move { exchange(&mut client, &sent).await }) == data);
    world.faults = Faults::default();
    world.pass(100_000_000);
    assert_eq!(world.netif(0).status().free, PLAN.slots());
    assert_eq!(world.netif(1).status().free, PLAN.slots());
    [world.netif(0).counters(), world.netif(1).counters()]
}

#[test]
fn a_megabyte_survives_loss() {
    megabyte(
        Faults {
            lose: 20,
            ..Faults::default()
        },
        1 << 20,
    );
}

#[test]
fn a_megabyte_survives_frames_out_of_order_and_twice() {
    megabyte(
        Faults {
            swap: 100,
            double: 100,
            ..Faults::default()
        },
        1 << 20,
    );
}

#[test]
fn a_megabyte_survives_damage_which_is_counted() {
    let counters = megabyte(
        Faults {
            damage: 20,
            ..Faults::default()
        },
        1 << 20,
    );
    for counters in counters {
        assert!(counters.checksum > 0, "{counters:?}");
    }
}

#[test]
fn all_of_it_at_once() {
    megabyte(
        Faults {
            lose: 30,
            swap: 50,
            double: 50,
            damage: 30,
        },
        200_000,
    );
}

#[test]
fn a_full_card_only_slows_down() {
    let mut world = World::new(&[PLAN, PLAN]);
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    let (mut client, server) = world.pair(1, 0, &listener);
    world.spawn(async move { echo(server).await.unwrap() });
    for host in &world.hosts {
        host.port.room.set(2);
    }
    let data = pattern(500_000, 2);
    let sent = data.clone();
    assert!(world.run(async move { exchange(&mut client, &sent).await }) == data);
    assert!(world.netif(1).counters().no_buffer > 0);
}

#[test]
fn a_syn_that_was_there_first_is_answered_as_soon_as_there_is_an_address() {
    // The peer's ARP request went unanswered; then the announcement comes, and nothing has to be asked again.
    let mut world = World::new(&[PLAN]);
    let client = world.netif(0);
    let (log, seen) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
    let attempt = log.clone();
    world.spawn(async move {
        let stream = client
            .connect(SocketAddrV4::new(address(1), 7).into(), Duration::from_secs(20))
            .await;
        attempt.borrow_mut().push(stream.is_ok());
        std::mem::forget(stream);
    });
    world.pass(100_000);
    assert!(log.borrow().is_empty());
    let frames = seen.clone();
    world.tap = Some(Box::new(move |_| {
        frames.set(frames.get() + 1);
        true
    }));
    let start = world.now;
    world.add(config(1), PLAN);
    let _listener = world.netif(1).listen(7).unwrap();
    world.pass(1_100_000);
    assert_eq!(*log.borrow(), [true]);
    assert!(seen.get() > 0);
    // (smoltcp, unlike other stacks, does not learn from announcements, so here the client's next request decides.)
    assert!(world.now - start < 1_200_000);
}

#[test]
fn an_address_is_announced_at_the_first_poll_and_when_the_link_comes_up() {
    let mut world = World::new(&[]);
    let frames = Rc::new(RefCell::new(Vec::new()));
    let seen = frames.clone();
    world.tap = Some(Box::new(move |frame| {
        seen.borrow_mut().push(frame.to_vec());
        true
    }));
    let host = world.add(config(0), PLAN);
    assert_eq!(world.netif(host).address(), Some(address(0)));
    let announced = |frames: &[Vec<u8>]| {
        let own =
            |frame: &&Vec<u8>| frame[..6] == [0xff; 6] && frame[12..14] == [8, 6] && frame[28..32] == frame[38..42];
        frames.iter().filter(own).count()
    };
    assert_eq!(announced(&frames.borrow()), 1);
    // The router is resolved before it is needed.
    assert!(frames.borrow().iter().any(|frame| frame[38..42] == [10, 0, 2, 2]));
    world.hosts[host].port.link.set(Link::Down);
    world.settle();
    world.hosts[host].port.link.set(Link::Up(1000));
    world.settle();
    assert_eq!(announced(&frames.borrow()), 2);
}

#[test]
fn a_reset_in_the_middle_frees_the_slot_and_is_reported() {
    let mut world = World::new(&[PLAN, PLAN]);
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    for _ in 0..50 {
        let (mut client, server) = world.pair(1, 0, &listener);
        let end = world.run(async move {
            let (_, end) = join(
                async move {
                    client.write_all(&[7; 100_000]).await.unwrap();
                    client.abort();
                },
                echo_no_write(server),
            )
            .await;
            end
        });
        assert_eq!(end, Err(Error::Reset));
        world.settle();
        assert_eq!(world.netif(0).status().free, PLAN.slots());
        assert_eq!(world.netif(1).status().free, PLAN.slots());
    }
    assert_eq!(world.netif(0).counters().reset, 50);
}

async fn echo_no_write(mut stream: TcpStream) -> Result<(), Error> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? != 0 {}
    Ok(())
}

#[test]
fn connections_that_are_shut_at_once_leave_nothing_behind() {
    let mut world = World::new(&[PLAN, PLAN]);
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    for _ in 0..50 {
        let (mut client, server) = world.pair(1, 0, &listener);
        world.spawn(async move { echo(server).await.unwrap() });
        assert_eq!(world.run(async move { exchange(&mut client, b"").await }), b"");
        world.pass(20_000);
        assert_eq!(world.netif(0).status().free, PLAN.slots());
    }
}

#[test]
fn a_link_that_goes_and_comes_leaves_connections_alone() {
    let mut world = World::new(&[PLAN, PLAN]);
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    let (mut client, server) = world.pair(1, 0, &listener);
    world.spawn(async move { echo(server).await.unwrap() });
    world.hosts[0].port.link.set(Link::Down);
    world.tap = Some(Box::new(|_| false));
    world.pass(5_000_000);
    world.hosts[0].port.link.set(Link::Up(1000));
    world.tap = None;
    assert_eq!(
        world.run(async move { exchange(&mut client, b"again").await }),
        b"again"
    );
}

#[test]
fn syslog_lines_arrive_with_the_configured_source() {
    struct Lines(Vec<&'static str>);
    impl syslog::Source for Lines {
        async fn next(&mut self, text: &mut heapless::String<{ syslog::MAX_TEXT }>) -> (log::Level, u64) {
            match self.0.pop() {
                Some(line) => {
                    text.push_str(line).unwrap();
                    (log::Level::Info, 40)
                }
                None => core::future::pending().await,
            }
        }
    }
    let mut world = World::new(&[PLAN, PLAN]);
    let packets = Rc::new(RefCell::new(Vec::new()));
    let seen = packets.clone();
    world.tap = Some(Box::new(move |frame| {
        if frame[12..14] == [8, 0] && frame[23] == 17 {
            let ip = Ipv4Packet::new_checked(&frame[14..]).unwrap();
            let udp = UdpPacket::new_checked(ip.payload()).unwrap();
            let text = String::from_utf8(udp.payload().to_vec()).unwrap();
            seen.borrow_mut()
                .push((ip.src_addr(), udp.src_port(), udp.dst_port(), text));
        }
        true
    }));
    let settings = syslog::Settings {
        source: Some(Ipv4Addr::new(10, 0, 2, 200).into()),
        destination: address(1).into(),
    };
    let netif = world.netif(0);
    let lines = Lines((0..40).map(|_| "Received.").collect());
    world.spawn(async move {
        syslog::run(netif, settings, "postern", || Some(100), lines).await;
    });
    world.pass(5_000_000);
    let packets = packets.borrow();
    assert_eq!(packets.len(), 40);
    let first = (
        Ipv4Addr::new(10, 0, 2, 200),
        514,
        514,
        "<14>Jan  1 00:01:00 postern bitvisor: Received.".into(),
    );
    assert!(packets.iter().all(|packet| *packet == first));
    let _: SocketHandle = netif.shared.udp;
}
