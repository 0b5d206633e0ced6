//! ARP: floods, and messages that claim the addresses of others.

use smoltcp::wire::{ArpOperation, TcpControl};

use super::frames::{PEER, arp, handshake, lonely, parse, tcp};
use super::streams::echo;
use super::*;

const FRIEND: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 50);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// An ARP message to host 0 from `sender`, at that Ethernet address.
fn claim(operation: ArpOperation, sender: Ipv4Addr, at: [u8; 6]) -> Vec<u8> {
    let mut frame = arp(operation, sender);
    frame[6..12].copy_from_slice(&at);
    frame[22..28].copy_from_slice(&at);
    frame
}

/// A host that echoes on port 7.
fn echoing() -> (World, Rc<RefCell<Vec<Vec<u8>>>>) {
    let (mut world, sent) = lonely(PLAN);
    let listener = world.netif(0).listen(7).unwrap();
    world.spawn(async move {
        loop {
            let stream = listener.accept().await;
            let _ = echo(stream).await;
        }
    });
    (world, sent)
}

#[test]
fn a_flood_of_arp_gets_an_answer_each_and_evicts_neighbours_that_are_asked_for_again() {
    let (mut world, sent) = echoing();
    let port = world.hosts[0].port.clone();
    port.deliver(arp(ArpOperation::Request, FRIEND));
    let from = SocketAddrV4::new(FRIEND, 4000);
    let (seq, ack) = handshake(&mut world, &sent, from, 7).unwrap();
    for round in 0..20 {
        sent.borrow_mut().clear();
        // More than the cache has entries, and all of them newer.
        for host in 100..250 {
            port.deliver(claim(
                ArpOperation::Request,
                Ipv4Addr::new(10, 0, 2, host),
                [2, 0, 0, 0, 9, host],
            ));
        }
        world.settle();
        let is_arp = |operation: u8| move |frame: &&Vec<u8>| frame[12..14] == [8, 6] && frame[21] == operation;
        assert_eq!(sent.borrow().iter().filter(is_arp(2)).count(), 150);
        assert_eq!(sent.borrow().len(), 150);
        port.deliver(tcp(from, 7, TcpControl::Psh, seq + round, Some(ack + round), b"x"));
        world.settle();
        assert_eq!(sent.borrow().iter().filter(is_arp(1)).count(), 1);
        port.deliver(arp(ArpOperation::Reply, FRIEND));
        world.settle();
        let data = sent
            .borrow()
            .iter()
            .filter_map(|frame| parse(frame))
            .fold(Vec::new(), |all, segment| [all, segment.data].concat());
        assert_eq!(data, b"x", "{round}");
        world.pass(100_000);
    }
}

#[test]
fn only_arp_that_is_aimed_at_the_machine_changes_a_neighbour() {
    const OTHER: [u8; 6] = [2, 0, 0, 0, 6, 6];
    let (mut world, sent) = echoing();
    let port = world.hosts[0].port.clone();
    port.deliver(claim(ArpOperation::Reply, GATEWAY, PEER));
    world.settle();
    let from = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 4000);
    let (seq, ack) = handshake(&mut world, &sent, from, 7).unwrap();
    let mut gratuitous = claim(ArpOperation::Reply, GATEWAY, OTHER);
    gratuitous[..6].fill(0xff);
    gratuitous[38..42].copy_from_slice(&GATEWAY.octets());
    // RFC 826: a message for this host counts, be it an answer or not. The link is trusted.
    let aimed = claim(ArpOperation::Reply, GATEWAY, OTHER);
    for (round, (claim, expected)) in [(gratuitous, PEER), (aimed, OTHER)].into_iter().enumerate() {
        let round = round as i32;
        port.deliver(claim);
        world.settle();
        sent.borrow_mut().clear();
        port.deliver(tcp(from, 7, TcpControl::Psh, seq + round, Some(ack + round), b"x"));
        world.settle();
        let frames = sent.borrow();
        let data = frames
            .iter()
            .find(|frame| parse(frame).is_some_and(|segment| segment.data == b"x"));
        assert_eq!(data.unwrap()[..6], expected);
    }
    assert_eq!(world.netif(0).counters().not_for_us, 1);
}
