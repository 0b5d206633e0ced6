//! Wires that lose, swap, double and damage frames; links and leases that come and go.

use embassy_futures::join::join;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embedded_io_async::{Read, Write};
use smoltcp::iface::SocketHandle;
use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetRepr, IpRepr, Ipv4Repr, UdpRepr};

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
            .connect(SocketAddrV4::new(address(1), 7), Duration::from_secs(20))
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
    // And the router is asked for before anybody needs it.
    assert!(frames.borrow().iter().any(|frame| frame[38..42] == [10, 0, 2, 2]));
    world.hosts[host].port.link.set(Link::Down);
    world.settle();
    world.hosts[host].port.link.set(Link::Up(1000));
    world.settle();
    assert_eq!(announced(&frames.borrow()), 2);
}

#[test]
fn a_reset_in_the_middle_frees_the_slot_and_is_told() {
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

/// A DHCP server by hand, on the wire of `world`: answers with `lease`, and says what it was asked.
struct Server {
    lease: Rc<RefCell<DhcpRepr<'static>>>,
    asked: Rc<RefCell<Vec<DhcpMessageType>>>,
    from: Ipv4Addr,
}

impl Server {
    fn new() -> Self {
        let own = Ipv4Addr::new(10, 0, 2, 2);
        let lease = DhcpRepr {
            message_type: DhcpMessageType::Offer,
            transaction_id: 0,
            secs: 0,
            client_hardware_address: EthernetAddress(mac(0)),
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: Ipv4Addr::new(10, 0, 2, 15),
            server_ip: own,
            router: Some(own),
            subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(own),
            parameter_request_list: None,
            dns_servers: Some([Ipv4Addr::new(10, 0, 2, 3), Ipv4Addr::BROADCAST].into_iter().collect()),
            max_size: None,
            lease_duration: Some(600),
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        Self {
            lease: Rc::new(RefCell::new(lease)),
            asked: Rc::default(),
            from: own,
        }
    }

    /// Lets time pass and answers what is asked.
    fn serve(&self, world: &mut World, micros: i64) {
        let end = world.now + micros;
        let asked: Rc<RefCell<Vec<(DhcpMessageType, u32)>>> = Rc::default();
        let inbox = asked.clone();
        world.tap = Some(Box::new(move |frame| {
            if let Ok(ip) = Ipv4Packet::new_checked(&frame[14..])
                && frame[12..14] == [8, 0]
                && let Ok(udp) = UdpPacket::new_checked(ip.payload())
                && udp.dst_port() == 67
            {
                let packet = DhcpPacket::new_checked(udp.payload()).unwrap();
                let request = DhcpRepr::parse(&packet).unwrap();
                inbox.borrow_mut().push((request.message_type, request.transaction_id));
            }
            true
        }));
        while world.now < end {
            world.pass(100_000);
            for (kind, id) in asked.borrow_mut().drain(..) {
                self.asked.borrow_mut().push(kind);
                let mut reply = self.lease.borrow().clone();
                reply.transaction_id = id;
                reply.message_type = if kind == DhcpMessageType::Discover {
                    DhcpMessageType::Offer
                } else {
                    DhcpMessageType::Ack
                };
                world.hosts[0].port.deliver(dhcp_frame(self.from, &reply));
            }
        }
        world.tap = None;
    }
}

fn dhcp_frame(from: Ipv4Addr, reply: &DhcpRepr<'_>) -> Vec<u8> {
    let udp = UdpRepr {
        src_port: 67,
        dst_port: 68,
    };
    let ip = Ipv4Repr {
        src_addr: from,
        dst_addr: reply.your_ip,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + reply.buffer_len(),
        hop_limit: 64,
    };
    let mut frame = vec![0; 14 + 20 + ip.payload_len];
    EthernetRepr {
        src_addr: EthernetAddress([2, 0, 0, 0, 9, 9]),
        dst_addr: EthernetAddress(mac(0)),
        ethertype: EthernetProtocol::Ipv4,
    }
    .emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
    let checksums = smoltcp::phy::ChecksumCapabilities::ignored();
    IpRepr::Ipv4(ip).emit(&mut frame[14..], &checksums);
    udp.emit(
        &mut UdpPacket::new_unchecked(&mut frame[34..]),
        &from.into(),
        &reply.your_ip.into(),
        reply.buffer_len(),
        |payload| reply.emit(&mut DhcpPacket::new_unchecked(payload)).unwrap(),
        &checksums,
    );
    insert_checksums(&mut frame);
    frame
}

#[test]
fn dhcp_gives_an_address_renews_it_and_loses_it() {
    let mut world = World::new(&[]);
    let mut config = config(0);
    config.address = Address::Dhcp;
    world.add(config, PLAN);
    let netif = world.netif(0);
    let up = Rc::new(Signal::<NoopRawMutex, Ipv4Addr>::new());
    let signal = up.clone();
    world.spawn(async move { signal.signal(netif.configured().await) });
    assert_eq!((netif.address(), netif.status().dhcp), (None, DhcpState::Searching));
    let server = Server::new();
    // The first question went out before anybody listened.
    server.serve(&mut world, 5_000_000);
    assert_eq!(now_or_never(up.wait()), Some(Ipv4Addr::new(10, 0, 2, 15)));
    let status = netif.status();
    assert_eq!(status.address, Some((Ipv4Addr::new(10, 0, 2, 15), 24)));
    assert_eq!(
        (status.gateway, status.dhcp),
        (Some(Ipv4Addr::new(10, 0, 2, 2)), DhcpState::Bound)
    );
    assert!(netif.dns_servers().eq([Ipv4Addr::new(10, 0, 2, 3)]));
    use DhcpMessageType::{Discover, Request};
    assert_eq!(*server.asked.borrow(), [Discover, Request]);
    // Renewed at half of its time (by broadcast or to the server, which does not answer ARP here), and kept.
    server.serve(&mut world, 2_000_000_000);
    assert_eq!(netif.status().address, Some((Ipv4Addr::new(10, 0, 2, 15), 24)));
    assert!(server.asked.borrow()[2..].iter().all(|kind| *kind == Request));
    assert!(server.asked.borrow().len() > 3);
    // The server falls silent: the address goes when the lease does.
    world.pass(700_000_000);
    assert_eq!((netif.address(), netif.status().dhcp), (None, DhcpState::Searching));
    assert_eq!(netif.dns_servers().count(), 0);
    // A new address after that.
    server.lease.borrow_mut().your_ip = Ipv4Addr::new(10, 0, 2, 77);
    server.serve(&mut world, 10_000_000);
    assert_eq!(netif.address(), Some(Ipv4Addr::new(10, 0, 2, 77)));
}

#[test]
fn a_lease_survives_a_pulled_cable_if_the_server_gives_the_same_again() {
    let mut world = World::new(&[]);
    let mut dynamic = config(0);
    dynamic.address = Address::Dhcp;
    world.add(dynamic, PLAN);
    let server = Server::new();
    // The first question went out before anybody listened.
    server.serve(&mut world, 5_000_000);
    world.add(config(1), PLAN);
    let listener = world.netif(0).listen(7).unwrap();
    let client = world.netif(1);
    let (mut ours, mut theirs) = world.run(async move {
        let remote = "10.0.2.15:7".parse().unwrap();
        let ours = client.connect(remote, Duration::from_secs(5)).await.unwrap();
        (ours, listener.accept().await)
    });
    for lost in [false, true] {
        world.hosts[0].port.link.set(Link::Down);
        world.pass(1_000_000);
        world.hosts[0].port.link.set(Link::Up(1000));
        if lost {
            // No server any more: the address is used for half a minute, not longer.
            world.pass(29_000_000);
            assert!(world.netif(0).address().is_some());
            world.pass(2_000_000);
            assert_eq!(world.netif(0).address(), None);
        } else {
            server.serve(&mut world, 45_000_000);
            (ours, theirs) = world.run(async move {
                ours.write_all(b"x").await.unwrap();
                assert_eq!(theirs.read(&mut [0; 9]).await, Ok(1));
                (ours, theirs)
            });
        }
    }
    world.run(async move {
        assert_eq!(theirs.read(&mut [0; 9]).await, Err(Error::AddressLost));
        drop((ours, theirs));
    });
}

#[test]
fn leases_that_make_no_sense_do_no_harm() {
    for nonsense in 0..6 {
        let mut world = World::new(&[]);
        let mut config = config(0);
        config.address = Address::Dhcp;
        world.add(config, PLAN);
        let mut server = Server::new();
        {
            let mut lease = server.lease.borrow_mut();
            match nonsense {
                0 => server.from = Ipv4Addr::UNSPECIFIED,
                1 => lease.router = Some(Ipv4Addr::UNSPECIFIED),
                2 => lease.router = Some(Ipv4Addr::new(10, 0, 2, 255)),
                3 => lease.your_ip = Ipv4Addr::new(10, 0, 2, 255),
                4 => lease.lease_duration = Some(0),
                _ => lease.subnet_mask = Some(Ipv4Addr::UNSPECIFIED),
            }
        }
        server.serve(&mut world, 30_000_000);
        // Something is sent to beyond the subnet, and the lease is renewed.
        let netif = world.netif(0);
        world.run(async move {
            let _ = netif
                .connect("192.0.2.9:9".parse().unwrap(), Duration::from_secs(3))
                .await
                .map(|_| ());
        });
        server.serve(&mut world, 1_000_000_000);
        match nonsense {
            0 => assert!(netif.address().is_none() && netif.counters().source > 0),
            1 | 2 => assert!(netif.address().is_some() && netif.status().gateway.is_none()),
            3 => assert!(netif.address().is_none()),
            _ => {}
        }
    }
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
        source: Some(Ipv4Addr::new(10, 0, 2, 200)),
        destination: address(1),
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
