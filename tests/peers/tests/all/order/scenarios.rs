//! Handshakes of every kind, seen by one of their ends, up to each message.

use std::collections::HashMap;
use std::sync::LazyLock;

use postern_peers::hello::message;
use postern_peers::middle::{End, Item, Middle, between};
use postern_peers::ocsp::{Says, response};
use postern_peers::world::{Kind, World, of};
use postern_peers::{clock, rng};
use postern_tls::crypto::kx::Group;
use postern_tls::pki::verify::ServerName;
use postern_tls::{ClientAuth, ClientConfig, Progress, ServerConfig, SessionCache, Tickets, Versions};

use super::table::{CLIENT, Input, SERVER, State, Table};
use crate::client_alerts::server_hello;

/// How a handshake differs from the simplest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// The server speaks TLS 1.2 only.
    Server12,
    /// The server asks for a certificate, or demands it.
    Optional,
    Required,
    /// The client has none.
    Anonymous,
    /// The server wants another group.
    Retry,
    /// There are tickets.
    Tickets,
    /// And one of them is used.
    Resumed,
    /// The ServerHello of TLS 1.2 promises the status of the certificate; and it comes.
    PromisedStatus,
    Status,
    /// A resumption of TLS 1.2 comes with a new ticket.
    NewTicket,
}

use Setup::*;
use State as S;

/// A handshake that one end receives, `path` being the states it goes through.
pub struct Scenario {
    pub name: &'static str,
    pub to_client: bool,
    pub versions: Versions,
    pub setup: &'static [Setup],
    pub path: &'static [State],
}

macro_rules! scenarios {
    ($($name:literal $to_client:literal $versions:ident [$($setup:ident),*] [$($state:ident)*],)*) => {
        &[$(Scenario {
            name: $name,
            to_client: $to_client,
            versions: Versions::$versions,
            setup: &[$($setup),*],
            path: &[$(S::$state),*],
        },)*]
    };
}

#[rustfmt::skip]
pub const SCENARIOS: &[Scenario] = scenarios! {
    "client, TLS 1.3" true Tls13 [] [Hello Extensions RequestOrCertificate Verify Finished Connected],
    "client, asked" true Tls13 [Required] [Hello Extensions RequestOrCertificate Certificate Verify Finished Connected],
    "client, retry" true Tls13 [Retry] [Hello SecondHello Extensions RequestOrCertificate Verify Finished Connected],
    "client, resumed" true Tls13 [Tickets, Resumed] [Hello ExtensionsOfResumption Finished Connected],
    "client, retry and resumed" true Tls13 [Tickets, Resumed, Retry] [Hello SecondHello ExtensionsOfResumption Finished Connected],
    "client of either" true Both [] [HelloOfEither Extensions RequestOrCertificate Verify Finished Connected],
    "client of either, retry" true Both [Retry] [HelloOfEither SecondHello Extensions RequestOrCertificate Verify Finished Connected],
    "client of either, TLS 1.2" true Both [Server12] [HelloOfEither Certificate12 Exchange12 RequestOrDone12 ChangeCipherSpec12 Finished12 Connected12],
    "client, TLS 1.2" true Tls12 [] [Hello12 Certificate12 Exchange12 RequestOrDone12 ChangeCipherSpec12 Finished12 Connected12],
    "client, TLS 1.2, ticket" true Tls12 [Tickets] [Hello12 Certificate12 Exchange12 RequestOrDone12 Ticket12 ChangeCipherSpec12 Finished12 Connected12],
    "client, TLS 1.2, asked" true Tls12 [Required] [Hello12 Certificate12 Exchange12 RequestOrDone12 Done12 ChangeCipherSpec12 Finished12 Connected12],
    "client, TLS 1.2, asked, ticket" true Tls12 [Required, Tickets] [Hello12 Certificate12 Exchange12 RequestOrDone12 Done12 Ticket12 ChangeCipherSpec12 Finished12 Connected12],
    "client, TLS 1.2, status" true Tls12 [PromisedStatus, Status] [Hello12 Certificate12 StatusOrExchange12 Exchange12 RequestOrDone12 ChangeCipherSpec12 Finished12 Connected12],
    "client, TLS 1.2, promised status" true Tls12 [PromisedStatus] [Hello12 Certificate12 StatusOrExchange12 RequestOrDone12 ChangeCipherSpec12 Finished12 Connected12],
    "client, TLS 1.2, resumed" true Tls12 [Tickets, Resumed] [Hello12 ChangeCipherSpec12 Finished12 Connected12],
    "client, TLS 1.2, resumed, new ticket" true Tls12 [Tickets, Resumed, NewTicket] [Hello12 Ticket12 ChangeCipherSpec12 Finished12 Connected12],
    "server, TLS 1.3" false Tls13 [] [Hello Finished Connected],
    "server, required" false Tls13 [Required] [Hello Certificate Verify Finished Connected],
    "server, optional" false Tls13 [Optional] [Hello CertificateOrNone Verify Finished Connected],
    "server, optional, none" false Tls13 [Optional, Anonymous] [Hello CertificateOrNone Finished Connected],
    "server, retry" false Tls13 [Retry] [Hello SecondHello Finished Connected],
    "server, retry, required" false Tls13 [Retry, Required] [Hello SecondHello Certificate Verify Finished Connected],
    "server, resumed" false Tls13 [Tickets, Resumed] [Hello Finished Connected],
    "server, required, resumed" false Tls13 [Required, Tickets, Resumed] [Hello Finished Connected],
    "server, TLS 1.2" false Tls12 [] [Hello Exchange12 ChangeCipherSpec12 Finished12 Connected12],
    "server, TLS 1.2, required" false Tls12 [Required] [Hello Certificate12 SignedExchange12 Verify12 ChangeCipherSpec12 Finished12 Connected12],
    "server, TLS 1.2, optional" false Tls12 [Optional] [Hello CertificateOrNone12 SignedExchange12 Verify12 ChangeCipherSpec12 Finished12 Connected12],
    "server, TLS 1.2, optional, none" false Tls12 [Optional, Anonymous] [Hello CertificateOrNone12 Exchange12 ChangeCipherSpec12 Finished12 Connected12],
    "server, TLS 1.2, resumed" false Tls12 [Tickets, Resumed] [Hello ChangeCipherSpec12 Finished12 Connected12],
    "server, TLS 1.2, required, resumed" false Tls12 [Required, Tickets, Resumed] [Hello ChangeCipherSpec12 Finished12 Connected12],
};

/// The end under test, part of the way, its peer having the right keys and a transcript that fits.
pub struct Met<'m, 'a> {
    pub end: &'m mut End<'a>,
    /// What it has received.
    pub given: Vec<Item>,
    /// What it is to receive next, as far as its peer has sent it.
    pub coming: Vec<Item>,
    to_client: bool,
    tls13: bool,
}

impl Met<'_, '_> {
    /// A well-formed one: of this handshake if possible, or else of another one.
    pub fn find(&self, input: Input) -> Item {
        let of_this = self.coming.iter().chain(self.given.iter().rev());
        if let Some(item) = of_this.into_iter().find(|item| Input::of(item) == Some(input)) {
            return item.clone();
        }
        for from_client in [!self.to_client, self.to_client] {
            for tls13 in [self.tls13, !self.tls13] {
                if let Some(item) = RECORDED.get(&(from_client, tls13, input)) {
                    return item.clone();
                }
            }
        }
        let (kind, body) = match input {
            Input::ChangeCipherSpec => return Item::ChangeCipherSpec,
            Input::NoCertificate if self.tls13 => (11, vec![0; 4]),
            Input::NoCertificate => (11, vec![0; 3]),
            Input::CertificateStatus => return status().clone(),
            Input::KeyUpdate => (24, vec![0]),
            Input::HelloVerifyRequest => (3, vec![3, 3, 0]),
            Input::MessageHash => (254, vec![0; 32]),
            Input::CertificateUrl => (21, vec![0, 0, 0]),
            Input::SupplementalData => (23, vec![0, 0, 0]),
            Input::CompressedCertificate => (25, vec![0, 2, 0, 0, 0, 0, 0, 0]),
            Input::NextProtocol => (67, vec![0, 0]),
            Input::Unknown => (99, vec![]),
            Input::HelloRequest => (0, vec![]),
            Input::EndOfEarlyData => (5, vec![]),
            _ => panic!("{input:?} was not recorded"),
        };
        Item::Message(message(kind, &body))
    }

    /// Gives it one, protected and made to fit.
    pub fn give(&mut self, input: Input) {
        let item = self.find(input);
        self.end.deliver(item, true);
    }
}

impl Scenario {
    pub fn table(&self) -> &'static Table {
        if self.to_client { &CLIENT } else { &SERVER }
    }

    pub fn is_tls13(&self) -> bool {
        self.path.last() == Some(&S::Connected)
    }

    fn has(&self, setup: Setup) -> bool {
        self.setup.contains(&setup)
    }

    fn with<T>(&self, test: impl FnOnce(ClientConfig<'_>, ServerConfig<'_>) -> T) -> T {
        const GROUPS: [Group; 2] = [Group::X25519, Group::Secp256r1];
        let world = world();
        let trust = world.authority.trust();
        let (tickets, sessions) = (Tickets::new(&mut rng(4), clock().now).unwrap(), SessionCache::new());
        let mut server = world.server.server().with_groups(&GROUPS);
        let mut client = ClientConfig::new(trust, Some(ServerName::Dns("localhost")), clock())
            .with_groups(&GROUPS)
            .with_versions(self.versions);
        if !self.has(Anonymous) {
            client = client.with_identity(world.client.identity());
        }
        for setup in self.setup {
            server = match setup {
                Server12 => server.with_versions(Versions::Tls12),
                Optional => server.with_client_auth(ClientAuth::Optional(trust)),
                Required => server.with_client_auth(ClientAuth::Required(trust)),
                Tickets => server.with_tickets(&tickets),
                _ => server,
            };
        }
        if self.has(Tickets) {
            client = client.with_sessions(&sessions);
        }
        if self.has(Resumed) {
            between(client, server, |middle| middle.establish());
        }
        if self.has(Retry) {
            server = server.with_groups(&GROUPS[1..]);
        }
        test(client, server)
    }

    /// What becomes of `item` of the server's.
    fn staged(&self, item: Item) -> Vec<Item> {
        let add = |kind: u16| move |item: Item| item.map(server_hello(move |list| list.push((kind, vec![]))));
        match Input::of(&item) {
            Some(Input::ServerHello) if self.has(PromisedStatus) => vec![add(5)(item)],
            Some(Input::ServerHello) if self.has(NewTicket) => vec![add(35)(item)],
            Some(Input::Certificate) if self.has(Status) => vec![item, status().clone()],
            Some(Input::ChangeCipherSpec) if self.has(NewTicket) => {
                vec![Item::Message(message(4, &[0, 0, 14, 16, 0, 3, 1, 2, 3])), item]
            }
            _ => vec![item],
        }
    }

    /// Runs `test` when the receiver has taken `count` items. The change_cipher_spec of TLS 1.3 is not counted.
    pub fn up_to<T>(&self, count: usize, test: impl FnOnce(&mut Met<'_, '_>) -> T) -> T {
        let world = world();
        let meet = |middle: &mut Middle<'_>| {
            middle.forge = true;
            middle.client.peer_key = Some(&world.server.key_der);
            middle.server.peer_key = Some(&world.client.key_der);
            let (mut given, mut coming) = (Vec::new(), Vec::new());
            middle.run(|(from_client, _), item| {
                if from_client == self.to_client {
                    return vec![item];
                }
                let staged = if from_client { vec![item] } else { self.staged(item) };
                let mut passed = Vec::new();
                for item in staged {
                    let counts = !self.is_tls13() || item != Item::ChangeCipherSpec;
                    if given.len() == count {
                        coming.extend(Some(item).filter(|_| counts));
                    } else {
                        given.extend(Some(item.clone()).filter(|_| counts));
                        passed.push(item);
                    }
                }
                passed
            });
            let end = if self.to_client {
                &mut middle.client
            } else {
                &mut middle.server
            };
            assert_eq!(end.result, Ok(Progress::NeedInput), "{}", self.name);
            assert_eq!(given.len(), count, "{}", self.name);
            assert_eq!(end.is_established(), count + 1 >= self.path.len(), "{}", self.name);
            assert!(
                end.is_established() || end.connection.info().peer.is_none(),
                "{}",
                self.name
            );
            end.outbox.clear();
            let met = &mut Met {
                end,
                given,
                coming,
                to_client: self.to_client,
                tls13: self.is_tls13(),
            };
            test(met)
        };
        self.with(|client, server| between(client, server, meet))
    }
}

fn world() -> &'static World {
    of(Kind::P256)
}

/// The CertificateStatus of the server.
fn status() -> &'static Item {
    static STATUS: LazyLock<Item> = LazyLock::new(|| {
        let World { authority, server, .. } = world();
        let response = response(authority, &authority.credentials(), server, Says::Good);
        let length = &(response.len() as u32).to_be_bytes()[1..];
        Item::Message(message(22, &[&[1], length, &response].concat()))
    });
    &STATUS
}

/// One of each kind of message, by where it comes from and by version.
static RECORDED: LazyLock<HashMap<(bool, bool, Input), Item>> = LazyLock::new(|| {
    let mut recorded = HashMap::new();
    let asking = [Required, Tickets];
    for (versions, setup) in [
        (Versions::Tls13, &asking[..]),
        (Versions::Tls13, &[Retry]),
        (Versions::Tls12, &asking),
    ] {
        let scenario = Scenario {
            name: "recorded",
            to_client: true,
            versions,
            setup: leak(setup),
            path: &[],
        };
        scenario.with(|client, server| {
            between(client, server, |middle| {
                middle.run(|(from_client, _), item| {
                    if let Some(input) = Input::of(&item) {
                        let key = (from_client, versions == Versions::Tls13, input);
                        recorded.entry(key).or_insert(item.clone());
                    }
                    vec![item]
                });
            });
        });
    }
    recorded
});

fn leak(setup: &[Setup]) -> &'static [Setup] {
    setup.to_vec().leak()
}
