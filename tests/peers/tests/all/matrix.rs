//! Every handshake that both sides support, against rustls and the engine itself.
//!
//! Versions, suites, groups, kinds of keys, resumption and client authentication, in both roles.

use std::sync::Arc;

use postern_peers::middle::between;
use postern_peers::world::{Kind, World, of};
use postern_peers::{clock, drive, rng};
use postern_tls::crypto::kx::Group;
use postern_tls::crypto::suite::CipherSuite;
use postern_tls::pki::verify::ServerName;
use postern_tls::{
    ClientAuth, ClientConfig, Connection, FULL_INBOUND, Info, Progress, ProtocolVersion, ServerConfig, SessionCache,
    Tickets, Versions,
};
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;

/// What a server wants to know of its client, and whether that has a certificate to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Auth {
    Off,
    OptionalNone,
    Optional,
    Required,
}

const AUTHS: [Auth; 4] = [Auth::Off, Auth::OptionalNone, Auth::Optional, Auth::Required];

impl Auth {
    /// Whether a client that is authenticated like this is known in the end.
    fn is_known(self) -> bool {
        matches!(self, Self::Optional | Self::Required)
    }

    fn of_server(self, world: &World) -> ClientAuth<'static> {
        match self {
            Self::Off => ClientAuth::Off,
            Self::OptionalNone | Self::Optional => ClientAuth::Optional(world.authority.trust()),
            Self::Required => ClientAuth::Required(world.authority.trust()),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) suite: CipherSuite,
    pub(crate) group: Group,
    pub(crate) auth: Auth,
}

impl Cell {
    pub(crate) fn is_tls13(self) -> bool {
        self.suite.version() == ProtocolVersion::TLS13
    }

    fn versions(self) -> Versions {
        if self.is_tls13() {
            Versions::Tls13
        } else {
            Versions::Tls12
        }
    }

    /// Whether both sides support it.
    fn is_supported(self) -> bool {
        let authentication = self.suite.authentication();
        authentication.is_none_or(|needed| needed == self.kind.authentication())
            && (self.is_tls13() || self.group.in_tls12())
    }

    #[track_caller]
    fn check(self, info: &Info<'_>, resumed: bool, is_server: bool) {
        assert_eq!(info.suite, Some(self.suite), "{self:?}");
        assert_eq!(info.version, Some(self.suite.version()), "{self:?}");
        assert_eq!(info.resumed, resumed, "{self:?}");
        let group = (self.is_tls13() || !resumed).then_some(self.group);
        assert_eq!(info.group, group, "{self:?}");
        assert_eq!(info.scheme.is_some(), !resumed, "{self:?}");
        assert_eq!(info.peer.is_some(), !is_server || self.auth.is_known(), "{self:?}");
    }
}

/// All cells with these groups that are supported. The keys that are slow have to do with fewer.
pub(crate) fn cells(groups: &[Group]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for kind in Kind::ALL {
        for suite in CipherSuite::ALL {
            for &group in groups {
                for auth in AUTHS {
                    let cell = Cell {
                        kind,
                        suite,
                        group,
                        auth,
                    };
                    let first = group == Group::X25519 && suite.aead() == CipherSuite::ALL[0].aead();
                    let wanted = match kind {
                        Kind::P256 => true,
                        // Every suite, every group and every authentication, but not each with each.
                        Kind::P384 | Kind::Ed25519 => {
                            auth == Auth::Required || (group == Group::X25519 && auth == Auth::Off) || first
                        }
                        Kind::Rsa2048 => (group == Group::X25519 && auth == Auth::Off) || first,
                        Kind::Rsa4096 => first && matches!(auth, Auth::Off | Auth::Required),
                    };
                    if cell.is_supported() && wanted {
                        cells.push(cell);
                    }
                }
            }
        }
    }
    cells
}

/// The groups that everybody has: rustls with ring, OpenSSL 3.0, GnuTLS.
pub(crate) const CLASSIC_GROUPS: [Group; 3] = [Group::X25519, Group::Secp256r1, Group::Secp384r1];

fn provider(cell: Cell, client: bool) -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = ring::default_provider();
    provider
        .cipher_suites
        .retain(|other| u16::from(other.suite()) == cell.suite.id());
    provider.kx_groups = ring::ALL_KX_GROUPS.to_vec();
    // TLS 1.2: the client lists the curve of the certificate as well (RFC 8422 §5.1.1), behind the one that is meant.
    let curve = crate::programs::curve(cell.kind).filter(|_| client && cell.versions() == Versions::Tls12);
    let listed = |id: u16| id == cell.group.id() || curve.is_some_and(|curve| curve.id() == id);
    provider.kx_groups.retain(|other| listed(other.name().into()));
    provider
        .kx_groups
        .sort_by_key(|other| u16::from(other.name()) != cell.group.id());
    Arc::new(provider)
}

fn version(cell: Cell) -> &'static rustls::SupportedProtocolVersion {
    if cell.is_tls13() {
        &rustls::version::TLS13
    } else {
        &rustls::version::TLS12
    }
}

fn rustls_client(cell: Cell, world: &World) -> rustls::ClientConfig {
    let builder = rustls::ClientConfig::builder_with_provider(provider(cell, true))
        .with_protocol_versions(&[version(cell)])
        .unwrap()
        .with_root_certificates(world.authority.roots());
    if cell.auth.is_known() {
        let (chain, key) = world.client.rustls();
        builder.with_client_auth_cert(chain, key).unwrap()
    } else {
        builder.with_no_client_auth()
    }
}

fn rustls_server(cell: Cell, world: &World) -> rustls::ServerConfig {
    let verifier =
        || WebPkiClientVerifier::builder_with_provider(Arc::new(world.authority.roots()), provider(cell, false));
    let builder = rustls::ServerConfig::builder_with_provider(provider(cell, false))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .unwrap();
    let builder = match cell.auth {
        Auth::Off => builder.with_no_client_auth(),
        Auth::OptionalNone | Auth::Optional => {
            builder.with_client_cert_verifier(verifier().allow_unauthenticated().build().unwrap())
        }
        Auth::Required => builder.with_client_cert_verifier(verifier().build().unwrap()),
    };
    let (chain, key) = world.server.rustls();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.ticketer = ring::Ticketer::new().unwrap();
    config
}

#[test]
fn our_server_and_rustls_client() {
    let mut count = 0;
    for cell in cells(&CLASSIC_GROUPS) {
        let world = of(cell.kind);
        let mut random = rng(1);
        let tickets = Tickets::new(&mut random, clock().now).unwrap();
        let groups = [cell.group];
        let config = world
            .server
            .server()
            .with_tickets(&tickets)
            .with_groups(&groups)
            .with_client_auth(cell.auth.of_server(world));
        let client = Arc::new(rustls_client(cell, world));
        for resumed in [false, true, true] {
            let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; 20_000]);
            let mut server = Connection::server(config, &mut inbound, &mut outbound).unwrap();
            let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
            let mut client = rustls::ClientConnection::new(client.clone(), name).unwrap().into();
            let progress = drive(&mut server, &mut client, &mut random, 10_000);
            assert_eq!(progress, Ok(Progress::NeedInput), "{cell:?}");
            assert!(!client.is_handshaking() && !server.is_handshaking(), "{cell:?}");
            cell.check(server.info(), resumed, true);
            count += 1;
        }
    }
    println!("{count} handshakes");
}

#[test]
fn our_client_and_rustls_server() {
    let mut count = 0;
    for cell in cells(&CLASSIC_GROUPS) {
        let world = of(cell.kind);
        let server = Arc::new(rustls_server(cell, world));
        let sessions = SessionCache::new();
        let config = our_client(cell, world).with_sessions(&sessions);
        let mut random = rng(1);
        for resumed in [false, true, true] {
            let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; 20_000]);
            let mut client = Connection::client(config, &mut inbound, &mut outbound, &mut random).unwrap();
            let mut server: rustls::Connection = rustls::ServerConnection::new(server.clone()).unwrap().into();
            let progress = drive(&mut client, &mut server, &mut random, 10_000);
            assert_eq!(progress, Ok(Progress::NeedInput), "{cell:?}");
            assert!(!client.is_handshaking() && !server.is_handshaking(), "{cell:?}");
            cell.check(client.info(), resumed, false);
            assert_eq!(server.peer_certificates().is_some(), cell.auth.is_known(), "{cell:?}");
            count += 1;
        }
    }
    println!("{count} handshakes");
}

fn our_client(cell: Cell, world: &'static World) -> ClientConfig<'static> {
    let config = ClientConfig::new(world.authority.trust(), Some(ServerName::Dns("localhost")), clock())
        .with_versions(cell.versions());
    if cell.auth.is_known() {
        config.with_identity(world.client.identity())
    } else {
        config
    }
}

#[test]
fn our_client_and_our_server() {
    let mut count = 0;
    for cell in cells(&Group::ALL) {
        let world = of(cell.kind);
        let tickets = Tickets::new(&mut rng(1), clock().now).unwrap();
        let (suites, groups) = ([cell.suite], [cell.group]);
        let server: ServerConfig<'_> = world
            .server
            .server()
            .with_tickets(&tickets)
            .with_suites(&suites)
            .with_groups(&groups)
            .with_client_auth(cell.auth.of_server(world));
        let sessions = SessionCache::new();
        let client = our_client(cell, world).with_sessions(&sessions);
        for resumed in [false, true, true] {
            between(client, server, |middle| {
                middle.establish();
                cell.check(middle.client.connection.info(), resumed, false);
                cell.check(middle.server.connection.info(), resumed, true);
                middle.works();
            });
            count += 1;
        }
    }
    println!("{count} handshakes");
}
