//! Every kind of handshake, with its messages cut, dropped, doubled, swapped.

use postern_peers::middle::{End, Item, Middle, between};
use postern_peers::world::{Kind, of};
use postern_peers::{clock, rng};
use postern_tls::crypto::kx::Group;
use postern_tls::pki::verify::ServerName;
use postern_tls::{
    ClientAuth, ClientConfig, Connection, Error, Progress, ServerConfig, SessionCache, Tickets, Versions,
};

/// A kind of handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Full13,
    Full12,
    Resumed13,
    Resumed12,
    Retry13,
    Auth13,
    Auth12,
}

use Scenario::*;

const SCENARIOS: [Scenario; 7] = [Full13, Full12, Resumed13, Resumed12, Retry13, Auth13, Auth12];

impl Scenario {
    fn is_tls13(self) -> bool {
        !matches!(self, Full12 | Resumed12 | Auth12)
    }

    /// Runs `test` with the configurations of a client and a server. Where it is about a resumption, they have shaken
    /// hands before.
    fn with<T>(self, test: impl FnOnce(ClientConfig<'_>, ServerConfig<'_>) -> T) -> T {
        const GROUPS: [Group; 2] = [Group::X25519, Group::Secp256r1];
        let world = of(Kind::P256);
        let tickets = Tickets::new(&mut rng(4), clock().now).unwrap();
        let sessions = SessionCache::new();
        let trust = world.authority.trust();
        let mut server = world.server.server().with_tickets(&tickets).with_groups(&GROUPS);
        let mut client = ClientConfig::new(trust, Some(ServerName::Dns("localhost")), clock())
            .with_groups(&GROUPS)
            .with_sessions(&sessions)
            .with_identity(world.client.identity())
            .with_versions(if self.is_tls13() {
                Versions::Tls13
            } else {
                Versions::Tls12
            });
        match self {
            Full13 | Full12 => {}
            Resumed13 | Resumed12 => {
                between(client, server, |middle| middle.establish());
                assert!(!sessions.is_empty());
            }
            Retry13 => server = server.with_groups(&GROUPS[1..]),
            Auth13 | Auth12 => {
                server = server.with_client_auth(ClientAuth::Required(trust));
                client = client.with_protocols(&[b"echo"]);
                server = server.with_protocols(&[b"echo"]);
            }
        }
        test(client, server)
    }

    fn between<T>(self, test: impl FnOnce(&mut Middle<'_>) -> T) -> T {
        self.with(|client, server| between(client, server, test))
    }

    /// What is sent up to the end of the handshake, with where it comes from.
    fn items(self) -> Vec<(bool, Item)> {
        self.between(|middle| {
            let mut items = Vec::new();
            middle.run(|(from_client, _), item| {
                items.push((from_client, item.clone()));
                vec![item]
            });
            middle.works();
            assert_eq!(
                middle.client.connection.info().resumed,
                matches!(self, Resumed13 | Resumed12)
            );
            assert_eq!(middle.client.connection.info().retried, self == Retry13);
            assert_eq!(
                middle.server.connection.info().peer.is_some(),
                matches!(self, Auth13 | Auth12)
            );
            // Tickets of TLS 1.3 come after the handshake.
            items.retain(|(_, item)| !self.is_tls13() || item.kind() != Some(4));
            items
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Drop,
    Double,
    /// With the one after it.
    Swap,
    /// The body without its last byte.
    Cut,
    /// The body with a byte more.
    Grow,
    /// The body gone.
    Empty,
    /// A type that there is not.
    Unknown,
    /// One bit of the body is another, in the middle.
    Flip,
}

const CHANGES: [Change; 8] = [
    Change::Drop,
    Change::Double,
    Change::Swap,
    Change::Cut,
    Change::Grow,
    Change::Empty,
    Change::Unknown,
    Change::Flip,
];

impl Change {
    fn apply(self, item: Item, held: &mut Option<Item>) -> Vec<Item> {
        match (self, &item) {
            (Self::Drop, _) => vec![],
            (Self::Double, _) => vec![item.clone(), item],
            (Self::Swap, _) => {
                *held = Some(item);
                vec![]
            }
            (Self::Unknown, Item::Message(message)) => {
                let mut message = message.clone();
                message[0] = 99;
                vec![Item::Message(message)]
            }
            (_, Item::Message(_)) => vec![item.map(|body| match self {
                Self::Cut => drop(body.pop()),
                Self::Grow => body.push(0),
                Self::Empty => body.clear(),
                _ => {
                    let middle = body.len() / 2;
                    if let Some(byte) = body.get_mut(middle) {
                        *byte ^= 1;
                    }
                }
            })],
            _ => vec![item],
        }
    }

    /// Whether the receiver may nevertheless be content.
    fn is_harmless(self, scenario: Scenario, from_client: bool, forge: bool, item: &Item) -> bool {
        match item {
            // RFC 8446 §5: change_cipher_spec means nothing in TLS 1.3.
            Item::ChangeCipherSpec => scenario.is_tls13() || !matches!(self, Self::Drop | Self::Double | Self::Swap),
            Item::Message(message) => {
                let empty = message.len() == 4;
                // Who can forge a Finished is the server, and need not ask for a certificate.
                let unasked = forge && scenario.is_tls13() && !from_client && message[0] == 13 && self == Self::Drop;
                // A forged Finished is whole again.
                let restored = forge
                    && message[0] == 20
                    && !matches!(self, Self::Drop | Self::Double | Self::Swap | Self::Unknown);
                // A bit of what only Finished protects.
                let unprotected = forge && self == Self::Flip;
                unasked || restored || unprotected || (empty && matches!(self, Self::Cut | Self::Empty | Self::Flip))
            }
            _ => true,
        }
    }
}

#[test]
fn messages_dropped_doubled_swapped_and_changed() {
    let mut runs = 0;
    for scenario in SCENARIOS {
        let items = scenario.items();
        for (from_client, number) in [true, false].into_iter().flat_map(|side| {
            let count = items.iter().filter(|(from_client, _)| *from_client == side).count();
            (0..count).map(move |number| (side, number))
        }) {
            let side = items.iter().filter(|(other, _)| *other == from_client);
            let (_, item) = side.clone().nth(number).unwrap();
            let is_last = side.count() == number + 1;
            for change in CHANGES {
                for forge in [false, true] {
                    // RFC 8446 §5: the change_cipher_spec behind the server's first hello may come before it.
                    let first = !from_client && number == 0 && scenario.is_tls13();
                    if (first && change == Change::Swap) || change.is_harmless(scenario, from_client, forge, item) {
                        continue;
                    }
                    let what = format!(
                        "{scenario:?} {from_client} {number} {:?} {change:?} {forge}",
                        item.kind()
                    );
                    scenario.between(|middle| {
                        middle.forge = forge;
                        let mut held = None;
                        middle.run(|place, item| {
                            if place == (from_client, number) {
                                return change.apply(item, &mut held);
                            }
                            match (place.0 == from_client, held.take()) {
                                (true, Some(earlier)) => vec![item, earlier],
                                (false, earlier) => {
                                    held = earlier;
                                    vec![item]
                                }
                                _ => vec![item],
                            }
                        });
                        runs += 1;
                        let (receiver, sender) = if from_client {
                            (&mut middle.server, &mut middle.client)
                        } else {
                            (&mut middle.client, &mut middle.server)
                        };
                        assert!(!receiver.is_established(), "{what}");
                        match receiver.result {
                            // A changed bit may be for the other end to notice, by the transcript.
                            Err(Error::AlertReceived(_)) if change == Change::Flip => complained(sender, &what),
                            Ok(_) if change == Change::Flip && sender.result.is_err() => complained(sender, &what),
                            Err(_) => complained(receiver, &what),
                            Ok(progress) => {
                                // Something is missing, but this cannot be detected yet.
                                assert_eq!(progress, Progress::NeedInput, "{what}");
                                assert!(is_last || matches!(change, Change::Drop | Change::Swap), "{what}");
                                receiver.end();
                                assert_eq!(receiver.result, Err(Error::Truncated), "{what}");
                            }
                        }
                    });
                }
            }
        }
    }
    println!("{runs} handshakes spoilt");
}

/// This end has an error of its own and has reported it to the other.
#[track_caller]
fn complained(end: &mut End<'_>, what: &str) {
    match end.result {
        Ok(_) | Err(Error::AlertReceived(_) | Error::Internal(_) | Error::Misuse(_) | Error::Truncated) => {
            panic!("{what}: {:?}", end.result)
        }
        Err(error) => {
            // The alert may have been passed on already.
            if let Some(Item::Alert(level, last)) = end.outbox.pop_back() {
                assert_eq!((level, Some(last)), (2, error.alert()), "{what}");
            }
        }
    }
}

/// Moves bytes between the two until neither has more to say. `size` tells how many at once, by which side sends and
/// how many could be moved.
fn pump<'a>(client: &mut Connection<'a>, server: &mut Connection<'a>, mut size: impl FnMut(bool, usize) -> usize) {
    let mut random = rng(9);
    assert_eq!(client.advance(&mut random), Ok(Progress::NeedInput));
    loop {
        let mut moved = false;
        for from_client in [true, false] {
            let (from, to) = if from_client {
                (&mut *client, &mut *server)
            } else {
                (&mut *server, &mut *client)
            };
            while !from.pending().is_empty() {
                let space = to.space();
                let most = from.pending().len().min(space.len());
                let count = size(from_client, most).min(most);
                assert_ne!(count, 0);
                space[..count].copy_from_slice(&from.pending()[..count]);
                from.sent(count);
                to.received(count);
                assert_eq!(to.advance(&mut random), Ok(Progress::NeedInput));
                moved = true;
            }
        }
        if !moved {
            return;
        }
    }
}

/// Runs the handshake with its bytes cut up by `size`.
fn cut(scenario: Scenario, inbound: usize, size: impl FnMut(bool, usize) -> usize) {
    scenario.with(|client, server| {
        let (mut inbounds, mut outbounds) = ([vec![0; inbound], vec![0; inbound]], [vec![0; 20_000], vec![0; 20_000]]);
        let [in0, in1] = &mut inbounds;
        let [out0, out1] = &mut outbounds;
        let mut client = Connection::client(client, in0, out0, &mut rng(3)).unwrap();
        let mut server = Connection::server(server, in1, out1).unwrap();
        pump(&mut client, &mut server, size);
        assert!(!client.is_handshaking() && !server.is_handshaking());
        assert_eq!(client.info().suite, server.info().suite);
        assert_eq!(client.info().resumed, matches!(scenario, Resumed12 | Resumed13));
    });
}

#[test]
fn bytes_one_by_one_and_in_pieces_of_every_size() {
    for scenario in SCENARIOS {
        for inbound in [postern_tls::MIN_INBOUND, postern_tls::FULL_INBOUND] {
            for size in (1..12).chain([16, 17, 61, 64, 127, 255, 256, 511, 1000, 100_000]) {
                cut(scenario, inbound, |_, _| size);
            }
        }
    }
}

#[test]
fn bytes_split_at_each_boundary() {
    for scenario in SCENARIOS {
        // How much each side sends.
        let mut totals = [0; 2];
        cut(scenario, 20_000, |from_client, _| {
            totals[usize::from(from_client)] += 1;
            1
        });
        for from_client in [true, false] {
            let total = totals[usize::from(from_client)];
            // Each byte would take long: the boundaries of records and messages are among the first of each flight.
            let places = (1..total).filter(|place| *place < 64 || place % 11 == 0 || *place + 90 > total);
            for place in places {
                let mut left = place;
                cut(scenario, 20_000, |side, most| {
                    if side != from_client || left == 0 {
                        return usize::MAX;
                    }
                    let count = left.min(most);
                    left -= count;
                    count
                });
            }
        }
    }
}

#[test]
fn streams_that_end_early() {
    for scenario in SCENARIOS {
        let items = scenario.items();
        for last in 0..items.len() {
            scenario.between(|middle| {
                let mut count = 0;
                middle.run(|_, item| {
                    count += 1;
                    if count <= last { vec![item] } else { vec![] }
                });
                for end in [&mut middle.client, &mut middle.server] {
                    end.end();
                    assert_eq!(end.result, Err(Error::Truncated), "{scenario:?} {last}");
                    assert!(end.outbox.iter().all(|item| !matches!(item, Item::Alert(..))));
                }
            });
        }
    }
}
