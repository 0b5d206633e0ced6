//! DHCP servers, good and malicious.

use DhcpMessageType::{Ack, Discover, Nak, Offer, Request};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embedded_io_async::{Read, Write};
use smoltcp::wire::{
    ArpOperation, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress, EthernetRepr, IpRepr, Ipv4Repr,
    UdpRepr,
};

use super::frames::arp;
use super::*;
use crate::net::dhcp::{MIN_LEASE, MIN_RENEWAL};

/// What one fault changes in a lease.
type Edit = fn(&mut DhcpRepr<'static>);

/// A DHCP server on the wire of `world`, which replies with `lease` and keeps what it was asked.
struct Server {
    lease: Rc<RefCell<DhcpRepr<'static>>>,
    asked: Rc<RefCell<Vec<DhcpMessageType>>>,
    from: Ipv4Addr,
}

impl Server {
    fn new() -> Self {
        let own = Ipv4Addr::new(10, 0, 2, 2);
        let lease = DhcpRepr {
            message_type: Offer,
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
            inbox.borrow_mut().extend(question(frame));
            true
        }));
        while world.now < end {
            world.pass(100_000);
            for (kind, id) in asked.borrow_mut().drain(..) {
                self.asked.borrow_mut().push(kind);
                let mut reply = self.lease.borrow().clone();
                reply.transaction_id = id;
                reply.message_type = if kind == Discover { Offer } else { Ack };
                world.hosts[0].port.deliver(dhcp_frame(self.from, &reply));
            }
        }
        world.tap = None;
    }
}

/// Type and transaction ID of a message to a DHCP server.
fn question(frame: &[u8]) -> Option<(DhcpMessageType, u32)> {
    let ip = Ipv4Packet::new_checked(frame.get(14..)?).ok()?;
    let udp = UdpPacket::new_checked(ip.payload()).ok()?;
    if frame[12..14] != [8, 0] || udp.dst_port() != 67 {
        return None;
    }
    let packet = DhcpPacket::new_checked(udp.payload()).unwrap();
    let question = DhcpRepr::parse(&packet).unwrap();
    Some((question.message_type, question.transaction_id))
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
    world.spawn(async move {
        netif.configured().await;
        signal.signal(netif.address().unwrap());
    });
    assert_eq!((netif.address(), netif.status().dhcp), (None, DhcpState::Searching));
    let server = Server::new();
    // The first DISCOVER was sent before the server listened.
    server.serve(&mut world, 5_000_000);
    assert_eq!(now_or_never(up.wait()), Some(Ipv4Addr::new(10, 0, 2, 15)));
    let status = netif.status();
    assert_eq!(status.address, Some((Ipv4Addr::new(10, 0, 2, 15), 24)));
    assert_eq!(
        (status.gateway, status.dhcp),
        (Some(Ipv4Addr::new(10, 0, 2, 2)), DhcpState::Bound)
    );
    assert!(netif.dns_servers().eq([Ipv4Addr::new(10, 0, 2, 3)]));
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
    // The first DISCOVER was sent before the server listened.
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

/// A host that wants a lease.
fn dynamic() -> (World, Netif) {
    let mut world = World::new(&[]);
    let mut config = config(0);
    config.address = Address::Dhcp;
    world.add(config, PLAN);
    let netif = world.netif(0);
    (world, netif)
}

#[test]
fn leases_that_no_host_can_use_are_refused() {
    let address = |last: u8| Ipv4Addr::new(10, 0, 2, last);
    let refused: [(&str, Edit); 13] = [
        ("network address", |lease| lease.your_ip = Ipv4Addr::new(10, 0, 2, 0)),
        ("broadcast address", |lease| {
            lease.your_ip = Ipv4Addr::new(10, 0, 2, 255);
        }),
        ("limited broadcast", |lease| lease.your_ip = Ipv4Addr::BROADCAST),
        ("multicast", |lease| lease.your_ip = Ipv4Addr::new(224, 0, 0, 1)),
        ("loopback", |lease| lease.your_ip = Ipv4Addr::LOCALHOST),
        ("unspecified", |lease| lease.your_ip = Ipv4Addr::UNSPECIFIED),
        ("lease of 0", |lease| lease.lease_duration = Some(0)),
        ("lease of 59", |lease| lease.lease_duration = Some(MIN_LEASE - 1)),
        ("mask of 0", |lease| lease.subnet_mask = Some(Ipv4Addr::UNSPECIFIED)),
        ("mask with a hole", |lease| {
            lease.subnet_mask = Some(Ipv4Addr::new(255, 0, 255, 0));
        }),
        ("no mask", |lease| lease.subnet_mask = None),
        ("no server", |lease| lease.server_identifier = None),
        ("another client", |lease| {
            lease.client_hardware_address = EthernetAddress(mac(1));
        }),
    ];
    for (what, change) in refused {
        let (mut world, netif) = dynamic();
        let server = Server::new();
        change(&mut server.lease.borrow_mut());
        server.serve(&mut world, 30_000_000);
        let counters = netif.counters();
        assert_eq!(netif.address(), None, "{what}");
        assert!(counters.dhcp + counters.not_for_us > 0, "{what}: {counters:?}");
        // Another server is heard meanwhile.
        Server::new().serve(&mut world, 30_000_000);
        assert_eq!(netif.address(), Some(address(15)), "{what}");
    }
}

#[test]
fn leases_with_parts_that_no_host_can_use_are_used_without_them() {
    let own = Ipv4Addr::new(10, 0, 2, 15);
    let routers = [
        [0, 0, 0, 0],
        [10, 0, 2, 255],
        [10, 0, 2, 0],
        [10, 0, 2, 15],
        [10, 0, 3, 1],
    ];
    for router in routers.map(Ipv4Addr::from) {
        let (mut world, netif) = dynamic();
        let server = Server::new();
        server.lease.borrow_mut().router = Some(router);
        server.lease.borrow_mut().dns_servers = Some([own, Ipv4Addr::UNSPECIFIED].into_iter().collect());
        server.serve(&mut world, 30_000_000);
        // Something is sent to beyond the subnet, and the lease is renewed.
        world.run(async move {
            let _ = netif
                .connect("192.0.2.9:9".parse().unwrap(), Duration::from_secs(3))
                .await
                .map(|_| ());
        });
        server.serve(&mut world, 1_000_000_000);
        assert_eq!((netif.address(), netif.status().gateway), (Some(own), None), "{router}");
        assert_eq!(netif.dns_servers().count(), 0);
    }
    // No lease time: smoltcp takes 120 seconds.
    let (mut world, netif) = dynamic();
    let server = Server::new();
    server.lease.borrow_mut().lease_duration = None;
    server.serve(&mut world, 30_000_000);
    assert_eq!(netif.address(), Some(own));
    world.pass(121_000_000);
    assert_eq!(netif.address(), None);
}

#[test]
fn a_server_without_an_address_is_dropped() {
    let (mut world, netif) = dynamic();
    let mut server = Server::new();
    server.from = Ipv4Addr::UNSPECIFIED;
    server.serve(&mut world, 30_000_000);
    assert!(netif.address().is_none() && netif.counters().source > 0);
}

/// Has a server reply at once to every message for ten minutes, with what `react` makes of a usual reply; the messages
/// that it got, and the frames that the client sent.
fn storm(
    mut react: impl FnMut(DhcpMessageType, &mut Vec<DhcpRepr<'static>>) + 'static,
) -> (Vec<DhcpMessageType>, usize) {
    let (mut world, _) = dynamic();
    let server = Server::new();
    let (asked, mut lease) = (server.asked.clone(), server.lease.borrow().clone());
    lease.your_ip = address(0);
    let port = world.hosts[0].port.clone();
    world.tap = Some(Box::new(move |frame| {
        if frame[12..14] == [8, 6] && frame[38..42] == server.from.octets() {
            port.deliver(arp(ArpOperation::Reply, server.from));
        }
        let Some((kind, id)) = question(frame) else { return true };
        asked.borrow_mut().push(kind);
        let mut reply = lease.clone();
        reply.transaction_id = id;
        reply.message_type = if kind == Discover { Offer } else { Ack };
        let mut replies = vec![reply];
        react(kind, &mut replies);
        for reply in replies {
            port.deliver(dhcp_frame(server.from, &reply));
        }
        true
    }));
    let before = world.frames;
    // The client begins after its first retry.
    world.pass(600_000_000);
    (server.asked.take(), world.frames - before)
}

/// Sets T1 and T2, which smoltcp does not write by itself, after padding and an option of no bytes.
fn set_times(reply: &mut DhcpRepr<'static>, t1: Option<u32>, t2: Option<u32>) {
    let option = |kind, time: Option<u32>| {
        let data: &[u8] = time?.to_be_bytes().to_vec().leak();
        Some(DhcpOption { kind, data })
    };
    let empty = DhcpOption { kind: 80, data: &[] };
    let options = [Some(empty), option(58, t1), option(59, t2)];
    reply.additional_options = options.into_iter().flatten().collect::<Vec<_>>().leak();
}

#[test]
fn no_server_sets_the_rate_of_messages() {
    let times = |t1, t2| {
        move |_: DhcpMessageType, replies: &mut Vec<DhcpRepr<'static>>| {
            set_times(&mut replies[0], t1, t2);
        }
    };
    // A lease of ten minutes is renewed once in five.
    for (t1, t2) in [
        (Some(0), Some(100)),
        (Some(0), None),
        (None, Some(0)),
        (Some(14), Some(500)),
        (Some(1), Some(2)),
        (Some(0), Some(0)),
        (Some(600), None),
        (Some(500), Some(400)),
        (None, Some(u32::MAX)),
        (Some(u32::MAX), Some(u32::MAX)),
    ] {
        let (asked, frames) = storm(times(t1, t2));
        assert!((3..=4).contains(&asked.len()), "{t1:?} {t2:?}: {}", asked.len());
        assert!(frames < 20, "{frames}");
    }
    // The shortest that are accepted.
    let (asked, _) = storm(times(Some(MIN_RENEWAL), None));
    assert!((30..=42).contains(&asked.len()), "{}", asked.len());
    // Offers that cannot be accepted: a DISCOVER each three seconds.
    let (asked, _) = storm(|_, replies| replies[0].lease_duration = Some(0));
    assert!(
        asked.len() <= 201 && asked.iter().all(|kind| *kind == Discover),
        "{}",
        asked.len()
    );
    // Good offers, and leases that cannot be accepted: six messages in twenty seconds.
    let (asked, _) = storm(|kind, replies| {
        if kind == Request {
            replies[0].lease_duration = Some(0);
        }
    });
    assert!(asked.len() <= 186, "{}", asked.len());
    // The shortest lease, and no renewal.
    let (asked, _) = storm(|kind, replies| {
        replies[0].lease_duration = Some(MIN_LEASE);
        set_times(&mut replies[0], Some(MIN_LEASE - 1), None);
        if kind == Request {
            replies.truncate(1);
        }
    });
    assert!(asked.len() <= 25, "{}", asked.len());
}

#[test]
fn a_server_that_rejects_every_request_does_not_set_the_rate_of_messages() {
    // A DISCOVER and five REQUESTs in 12 seconds.
    let (asked, frames) = storm(|kind, replies| {
        if kind == Request {
            replies[0].message_type = Nak;
        }
    });
    assert!((100..=302).contains(&asked.len()), "{}", asked.len());
    assert!(frames < 700, "{frames}");
    // Rejected only when it renews, as soon as it may.
    let mut bound = false;
    let (asked, _) = storm(move |kind, replies| {
        set_times(&mut replies[0], Some(MIN_RENEWAL), None);
        if kind == Request && core::mem::replace(&mut bound, kind == Request) {
            replies[0].message_type = Nak;
            bound = false;
        }
    });
    assert!(asked.len() <= 125, "{}", asked.len());
}

#[test]
fn only_the_first_of_many_replies_counts() {
    // A thousand offers, then as many leases and rejections, of many addresses.
    let (mut world, netif) = dynamic();
    let server = Server::new();
    let lease = server.lease.borrow().clone();
    let port = world.hosts[0].port.clone();
    let asked = server.asked.clone();
    world.tap = Some(Box::new(move |frame| {
        let Some((kind, id)) = question(frame) else { return true };
        asked.borrow_mut().push(kind);
        for number in 0..1000u32 {
            let mut reply = lease.clone();
            // One does not belong to the question.
            reply.transaction_id = if number == 0 { !id } else { id };
            reply.your_ip = Ipv4Addr::new(10, 0, 2, 15 + (number % 100) as u8);
            reply.message_type = match (kind, number) {
                (Discover, _) => Offer,
                (_, 0..900) => Ack,
                _ => Nak,
            };
            port.deliver(dhcp_frame(server.from, &reply));
        }
        true
    }));
    world.pass(10_000_000);
    assert_eq!(netif.address(), Some(Ipv4Addr::new(10, 0, 2, 16)));
    assert_eq!(*server.asked.borrow(), [Discover, Request]);
    assert_eq!(netif.counters().dhcp, 2 * 999);
}

#[test]
fn a_link_that_comes_and_goes_does_not_prolong_a_lease() {
    let (mut world, netif) = dynamic();
    Server::new().serve(&mut world, 5_000_000);
    assert!(netif.address().is_some());
    for _ in 0..16 {
        world.hosts[0].port.link.set(Link::Down);
        world.pass(1_000_000);
        world.hosts[0].port.link.set(Link::Up(1000));
        world.pass(1_000_000);
    }
    assert_eq!(netif.address(), None);
}

#[test]
fn what_hosts_and_routers_can_have_is_the_same_for_leases_and_the_configuration() {
    let network = |bits: u8| Some(Ipv4Cidr::new(Ipv4Addr::new(10, 0, 2, 16), bits));
    let is_host = |last: u8, bits: u8| is_host(Ipv4Addr::new(10, 0, 2, last), network(bits));
    assert!(is_host(17, 28) && !is_host(16, 28) && !is_host(31, 28));
    // In a network of one or two addresses each is a host's (RFC 3021).
    assert!(is_host(16, 31) && is_host(17, 31) && is_host(16, 32));
    // Elsewhere the mask is not known.
    assert!(is_host(32, 28) && is_host(255, 28) && is_host(0, 28));
}
