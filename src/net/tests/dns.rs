//! Names, and servers of all kinds.

use smoltcp::wire::{ArpOperation, DnsPacket, Ipv4Packet};

use super::frames::{arp, ipv4};
use super::*;
use crate::net::dns::is_name;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 4);
const ECHO: Ipv4Addr = Ipv4Addr::new(192, 168, 40, 50);
const SHORT: Duration = Duration::from_millis(20);

/// A question as a server sees it.
struct Asked {
    server: Ipv4Addr,
    port: u16,
    message: Vec<u8>,
}

/// Answers a question: flags with RCODE, and records after the question.
fn answer(asked: &Asked, flags: u16, records: &[&[u8]]) -> Vec<u8> {
    let mut message = asked.message.clone();
    message[2..4].copy_from_slice(&flags.to_be_bytes());
    message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    records.iter().for_each(|record| message.extend_from_slice(record));
    message
}

/// A record: its name on the wire, type and data.
fn record(name: &[u8], kind: u8, data: &[u8]) -> Vec<u8> {
    [name, &[0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8], data].concat()
}

/// A datagram to host 0.
fn datagram(from: Ipv4Addr, from_port: u16, port: u16, message: &[u8]) -> Vec<u8> {
    let length = (8 + message.len()) as u16;
    let header = [
        from_port.to_be_bytes(),
        port.to_be_bytes(),
        length.to_be_bytes(),
        [0; 2],
    ]
    .concat();
    ipv4(from, address(0), IpProtocol::Udp, &[&header[..], message].concat())
}

/// A host that asks, and what the world answers it.
struct Network {
    world: World,
    asked: Vec<Asked>,
}

impl Network {
    fn new(dns: Option<Ipv4Addr>) -> Self {
        let mut world = World::new(&[]);
        let dns = [dns.map(Into::into), None];
        world.add(Config { dns, ..config(0) }, PLAN);
        Network {
            world,
            asked: Vec::new(),
        }
    }

    /// Asks for `name`; `react` receives each question and returns the datagrams of the answer.
    fn resolve(&mut self, name: &str, react: impl FnMut(&Asked) -> Vec<Vec<u8>>) -> Result<Ipv4Addr, ResolveError> {
        match self.resolve_all(name, Family::V4, react)?.first() {
            Some(&IpAddr::V4(address)) => Ok(address),
            other => panic!("{other:?}"),
        }
    }

    fn resolve_all(
        &mut self,
        name: &str,
        family: Family,
        mut react: impl FnMut(&Asked) -> Vec<Vec<u8>>,
    ) -> Result<Addresses, ResolveError> {
        let netif = self.world.netif(0);
        let mut asking = std::pin::pin!(netif.resolve_within(name, family, 0x1234_5678_9abc, SHORT));
        let start = std::time::Instant::now();
        loop {
            if let Poll::Ready(result) = asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return result;
            }
            self.world.now += 1000;
            let now = self.world.now;
            let host = &mut self.world.hosts[0];
            while host.runner.poll(now).busy {}
            let frames: Vec<_> = host.port.tx.borrow_mut().drain(..).collect();
            for frame in frames {
                let frame = EthernetFrame::new_checked(&frame[..]).unwrap();
                if frame.ethertype() == EthernetProtocol::Arp {
                    // All hosts have one Ethernet address.
                    let wanted = Ipv4Addr::from(<[u8; 4]>::try_from(&frame.payload()[24..28]).unwrap());
                    host.port.deliver(arp(ArpOperation::Reply, wanted));
                    continue;
                }
                let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
                let Ok(datagram) = UdpPacket::new_checked(packet.payload()) else {
                    continue;
                };
                if datagram.dst_port() != 53 {
                    continue;
                }
                let asked = Asked {
                    server: packet.dst_addr(),
                    port: datagram.src_port(),
                    message: datagram.payload().to_vec(),
                };
                react(&asked).into_iter().for_each(|frame| host.port.deliver(frame));
                self.asked.push(asked);
            }
            assert!(start.elapsed() < std::time::Duration::from_secs(60));
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
    }

    /// Asks the server for `name`, which answers with these flags and records.
    fn answer(&mut self, name: &str, flags: u16, records: &[&[u8]]) -> Result<Ipv4Addr, ResolveError> {
        self.resolve(name, |asked| {
            vec![datagram(asked.server, 53, asked.port, &answer(asked, flags, records))]
        })
    }
}

/// Where the question's name begins, as a pointer.
const POINTER: [u8; 2] = [0xc0, 12];

#[test]
fn a_question_is_asked_and_answered() {
    let mut network = Network::new(Some(SERVER));
    let address = network.answer("Echo.example", 0x8180, &[&record(&POINTER, 1, &ECHO.octets())]);
    assert_eq!(address, Ok(ECHO));
    let asked = &network.asked[0];
    let packet = DnsPacket::new_checked(&asked.message[..]).unwrap();
    assert_eq!(
        (asked.server, asked.port, packet.transaction_id()),
        (SERVER, 0xc000 | 0x9abc, 0x5678)
    );
    assert_eq!(
        &asked.message[2..],
        b"\x01\0\0\x01\0\0\0\0\0\0\x04Echo\x07example\0\0\x01\0\x01"
    );
    // By an alias, after a record of another kind, and in another case.
    let alias = record(&POINTER, 5, b"\x04REAL\x07example\0");
    let address = record(b"\x04real\x07EXAMPLE\0", 1, &ECHO.octets());
    let other = record(&POINTER, 46, b"signature");
    assert_eq!(
        network.answer("echo.example", 0x8180, &[&other, &alias, &address]),
        Ok(ECHO)
    );
}

#[test]
fn addresses_of_either_family_come_in_the_order_of_the_answer_and_bounded() {
    let mut network = Network::new(Some(SERVER));
    let v4: Vec<_> = (1..=12).map(|host| record(&POINTER, 1, &[192, 0, 2, host])).collect();
    let v6: Vec<_> = (1..=2)
        .map(|host| {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host);
            record(&POINTER, 28, &address.octets())
        })
        .collect();
    let records: Vec<&[u8]> = v4.iter().chain(&v6).map(|record| &record[..]).collect();
    let mut all = |family| {
        network
            .resolve_all("two.example", family, |asked| {
                vec![datagram(SERVER, 53, asked.port, &answer(asked, 0x8180, &records))]
            })
            .unwrap()
    };
    let expected = (1..=8).map(|host| IpAddr::from([192, 0, 2, host]));
    assert!(all(Family::V4).into_iter().eq(expected));
    let expected = (1..=2).map(|host| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]));
    assert!(all(Family::V6).into_iter().eq(expected));
    let kinds: Vec<u8> = network.asked.iter().map(|asked| asked.message[26]).collect();
    assert_eq!(kinds, [1, 28]);
}

#[test]
fn questions_for_both_families_are_under_way_at_a_time() {
    let network = Network::new(Some(SERVER));
    let netif = network.world.netif(0);
    let mut first = Box::pin(netif.resolve("a.example", Family::V4, 1));
    let mut second = Box::pin(netif.resolve("a.example", Family::V6, 2));
    let mut third = Box::pin(netif.resolve("b.example", Family::V6, 3));
    let mut context = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    assert!(third.as_mut().poll(&mut context).is_pending());
    let open = |family| {
        let mut set = netif.shared.common.borrow_mut();
        let handle = netif.shared.resolver.socket(family);
        set.get_mut::<udp::Socket<'_>>(handle).endpoint().port
    };
    assert_eq!((open(Family::V4), open(Family::V6)), (0xc001, 0xc002));
}

#[test]
fn every_failure_has_its_own_words() {
    let mut network = Network::new(Some(SERVER));
    assert_eq!(network.answer("no.example", 0x8183, &[]), Err(ResolveError::NoSuchName));
    let v6 = record(&POINTER, 28, &[1; 16]);
    assert_eq!(
        network.answer("v6.example", 0x8180, &[&v6]),
        Err(ResolveError::NoAddress(Family::V4))
    );
    let foreign = record(b"\x01x\0", 1, &ECHO.octets());
    assert_eq!(
        network.answer("a.example", 0x8180, &[&foreign]),
        Err(ResolveError::NoAddress(Family::V4))
    );
    network.asked.clear();
    let refused = network.answer("a.example", 0x8185, &[]).unwrap_err();
    assert_eq!(refused.to_string(), "DNS server 10.0.2.3 returned REFUSED");
    assert_eq!(network.asked.len(), 4, "asked again and again");
    network.asked.clear();
    assert_eq!(
        network.resolve("a.example", |_| vec![]),
        Err(ResolveError::TimedOut(SERVER.into()))
    );
    assert_eq!(network.asked.len(), 4);
    assert_eq!(network.answer("a b", 0, &[]), Err(ResolveError::NotAName));
    network.world.hosts[0].port.link.set(Link::Down);
    network.world.settle();
    assert_eq!(network.answer("a.example", 0, &[]), Err(ResolveError::NoLink));
    assert_eq!(
        Network::new(None).answer("a.example", 0, &[]),
        Err(ResolveError::NoServer)
    );
    let far = Some(Ipv4Addr::new(8, 8, 8, 8));
    let mut lost = Network {
        world: World::new(&[]),
        asked: vec![],
    };
    let address = Address::Static {
        address: address(0),
        prefix: 24,
        gateway: None,
    };
    lost.world.add(
        Config {
            dns: [far.map(Into::into), None],
            address,
            ..config(0)
        },
        PLAN,
    );
    assert_eq!(lost.answer("a.example", 0, &[]), Err(ResolveError::Unreachable));
}

#[test]
fn forged_and_broken_answers_do_not_count() {
    let mut network = Network::new(Some(SERVER));
    let lie = record(&POINTER, 1, &[6, 6, 6, 6]);
    let truth = record(&POINTER, 1, &ECHO.octets());
    let mut attempt = 0;
    let address = network.resolve("echo.example", |asked| {
        let good = answer(asked, 0x8180, &[&lie]);
        let to = |message: &[u8]| datagram(SERVER, 53, asked.port, message);
        let mut wrong_number = good.clone();
        wrong_number[1] ^= 1;
        let mut wrong_name = good.clone();
        wrong_name[13] ^= 1;
        let mut two_questions = good.clone();
        two_questions[5] = 2;
        // No more at a time than the socket holds.
        let answers = [
            vec![
                datagram(OTHER, 53, asked.port, &good),
                datagram(SERVER, 54, asked.port, &good),
                datagram(SERVER, 53, asked.port ^ 1, &good),
            ],
            vec![to(&wrong_number), to(&wrong_name), to(&two_questions)],
            vec![
                // A question, a pointer in circles, and nothing at all.
                to(&answer(asked, 0x0180, &[&lie])),
                to(&[&good[..12], &[0xc0, 12, 0, 1, 0, 1]].concat()),
                to(&[]),
            ],
            vec![to(&answer(asked, 0x8180, &[&truth]))],
        ];
        attempt += 1;
        answers[attempt - 1].clone()
    });
    assert_eq!(attempt, 4);
    assert_eq!(address, Ok(ECHO));
    // Cut off anywhere it is no answer, or one without an address.
    for length in 0..60 {
        let mut first = true;
        let result = network.resolve("echo.example", |asked| {
            if !core::mem::take(&mut first) {
                return vec![datagram(SERVER, 53, asked.port, &answer(asked, 0x8180, &[&truth]))];
            }
            let mut message = answer(asked, 0x8180, &[&lie]);
            message.truncate(length.min(message.len() - 1));
            vec![datagram(SERVER, 53, asked.port, &message)]
        });
        assert!(
            matches!(result, Ok(ECHO) | Err(ResolveError::NoAddress(Family::V4))),
            "{length}: {result:?}"
        );
    }
}

#[test]
fn aliases_in_circles_and_counts_that_lie_end_with_the_message() {
    let mut network = Network::new(Some(SERVER));
    let (there, back) = (record(&POINTER, 5, b"\x01b\0"), record(b"\x01b\0", 5, &POINTER));
    let circle: Vec<&[u8]> = [&there[..], &back].into_iter().cycle().take(20).collect();
    assert_eq!(
        network.answer("a.example", 0x8180, &circle),
        Err(ResolveError::NoAddress(Family::V4))
    );
    let result = network.resolve("a.example", |asked| {
        let mut message = answer(asked, 0x8180, &circle);
        message[6..8].fill(0xff);
        vec![datagram(asked.server, 53, asked.port, &message)]
    });
    assert_eq!(result, Err(ResolveError::NoAddress(Family::V4)));
}

#[test]
fn a_flood_of_forged_answers_costs_no_more_than_four_questions() {
    let mut network = Network::new(Some(SERVER));
    let forged = |asked: &Asked| {
        let mut lie = answer(asked, 0x8180, &[&record(&POINTER, 1, &[6, 6, 6, 6])]);
        lie[0] ^= 0xff;
        vec![datagram(SERVER, 53, asked.port, &lie); 100]
    };
    assert_eq!(
        network.resolve("echo.example", forged),
        Err(ResolveError::TimedOut(SERVER.into()))
    );
    assert_eq!(network.asked.len(), 4);
    // The true answer, when it is not the only one.
    let result = network.resolve("echo.example", |asked| {
        let truth = answer(asked, 0x8180, &[&record(&POINTER, 1, &ECHO.octets())]);
        [vec![datagram(SERVER, 53, asked.port, &truth)], forged(asked)].concat()
    });
    assert_eq!(result, Ok(ECHO));
}

#[test]
fn a_dropped_question_leaves_the_next_one_free() {
    let mut network = Network::new(Some(SERVER));
    let netif = network.world.netif(0);
    assert!(now_or_never(netif.resolve("a.example", Family::V4, 7)).is_none());
    let address = network.answer("echo.example", 0x8180, &[&record(&POINTER, 1, &ECHO.octets())]);
    assert_eq!(address, Ok(ECHO));
}

#[test]
fn names_that_hosts_can_have() {
    let long = "a".repeat(63);
    let longest = std::format!("{long}.{long}.{long}.{}", "b".repeat(61));
    for good in [
        "a",
        "echo.example",
        "3com.example",
        "_x.a-b",
        "1.2.3.4.in-addr.arpa",
        &longest,
    ] {
        assert!(is_name(good), "{good}");
    }
    let (label, name) = ("a".repeat(64), longest.clone() + "b");
    for bad in [
        "", ".", "a.", ".a", "a..b", "-a", "a-.b", "10.0.2.2", "10.0.2", "a b", "ä", "a/b", &label, &name,
    ] {
        assert!(!is_name(bad), "{bad}");
    }
}
