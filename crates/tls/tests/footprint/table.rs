//! The table of what a connection costs, in README.md: it is what is measured here.

use std::fmt::Write as _;
use std::mem::size_of;
#[cfg(feature = "rsa")]
use std::process::Command;

use postern_tls::crypto::kx::Group;
use postern_tls::pki::verify::{ServerName, Trust};
use postern_tls::{
    ClientAuth, ClientConfig, Connection, FULL_INBOUND, Handshake, MIN_INBOUND, MIN_OUTBOUND, ServerConfig,
    SessionCache, Tickets, Versions,
};
use rcgen::KeyPair;

use super::pair::{Buffers, CLOCK, Ends, Pki, Rng};
use super::stack::depth;
use super::support::check_table;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

#[test]
fn the_table_of_bytes_is_true() {
    let pki = Pki::new(|| KeyPair::generate().unwrap());
    let (trust, identities) = (pki.trust(), [pki.identity()]);
    let server = ServerConfig::new(&identities, CLOCK).unwrap();
    let client = ClientConfig::new(&trust, ServerName::parse("localhost"), CLOCK);
    let (connection, idle) = (
        size_of::<Connection<'_>>(),
        size_of::<Connection<'_, &mut Handshake<'_>>>(),
    );
    assert!(idle <= IDLE, "{idle}");
    let mut table = String::from("| bytes | records of 16 KiB | small records |\n|---|--:|--:|\n");
    let mut row = |name: &str, full: usize, small: usize| {
        writeln!(table, "| {name} | {full} | {small} |").unwrap();
    };
    row(
        "`Connection` with its handshake, which it holds for good",
        connection,
        connection,
    );
    row("`Connection` with a handshake that is lent", idle, idle);
    row(
        "`Handshake`, while one lasts",
        size_of::<Handshake<'_>>(),
        size_of::<Handshake<'_>>(),
    );
    row(
        "its inbound buffer (`FULL_INBOUND`, `MIN_INBOUND`)",
        FULL_INBOUND,
        MIN_INBOUND,
    );
    // What a certificate takes is not the same from one key to the next.
    let certificate = pki.chain_len();
    let flight = (server.flight_len() - certificate).next_multiple_of(64);
    let hello = client.flight_len().next_multiple_of(64);
    row(
        "its outbound buffer, a server's, beside the certificates",
        flight.max(MIN_OUTBOUND),
        flight.max(MIN_OUTBOUND),
    );
    row("its outbound buffer, a client's without a certificate", hello, hello);
    row(
        "`Tickets`, one for a server",
        size_of::<Tickets>(),
        size_of::<Tickets>(),
    );
    row(
        "`SessionCache`, one for a server that a client resumes with",
        size_of::<SessionCache>(),
        size_of::<SessionCache>(),
    );
    row(
        "`Trust`, beside the certificates",
        size_of::<Trust<'_>>(),
        size_of::<Trust<'_>>(),
    );

    check_table(PAGE, "tests/footprint", &table);
}

/// The most that an idle connection may take, in bytes.
const IDLE: usize = 3 << 10;

/// The most that an end may take of the stack, in bytes: what README.md promises.
fn promised(group: Group) -> usize {
    match group {
        Group::X25519MlKem768 => 56 << 10,
        _ => 48 << 10,
    }
}

#[test]
fn the_stack_is_as_deep_as_promised() {
    #[cfg(feature = "rsa")]
    let rsa = || {
        let output = Command::new("openssl")
            .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"])
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl genpkey");
        KeyPair::from_pem(&String::from_utf8(output.stdout).unwrap()).unwrap()
    };
    let kinds = [
        ("ECDSA P-256", Pki::new(|| KeyPair::generate().unwrap())),
        (
            "ECDSA P-384",
            Pki::new(|| KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap()),
        ),
        (
            "Ed25519",
            Pki::new(|| KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()),
        ),
        #[cfg(feature = "rsa")]
        ("RSA-4096", Pki::new(rsa)),
    ];
    for (name, pki) in &kinds {
        for versions in [Versions::Tls13, Versions::Tls12] {
            for group in [Group::X25519MlKem768, Group::Secp384r1, Group::X25519] {
                if versions == Versions::Tls12 && !group.in_tls12() {
                    continue;
                }
                let [full, resumed] = deepest(pki, versions, group);
                println!(
                    "{name}, {versions:?}, {}: client {}, server {}; resumed: client {}, server {} bytes of stack",
                    group.name(),
                    full[0],
                    full[1],
                    resumed[0],
                    resumed[1]
                );
                let most = full.into_iter().chain(resumed).max().unwrap();
                assert!(
                    most > 0 && most <= promised(group),
                    "{name}, {versions:?}, {}: {most}",
                    group.name()
                );
            }
        }
    }
}

/// The stack that client and server take, in a full handshake and a resumed one, with the data after it; both show
/// certificates where they can.
fn deepest(pki: &Pki, versions: Versions, group: Group) -> [[usize; 2]; 2] {
    let (trust, identities, groups) = (pki.trust(), [pki.identity()], [group]);
    let (tickets, sessions) = (Tickets::new(&mut Rng(2), CLOCK.now).unwrap(), SessionCache::new());
    let server = ServerConfig::new(&identities, CLOCK)
        .unwrap()
        .with_versions(versions)
        .with_groups(&groups)
        .with_client_auth(ClientAuth::Optional(&trust))
        .with_tickets(&tickets);
    // TLS 1.2: the client lists the curves of certificates as well (RFC 8422 §5.1.1).
    let curves = [group, Group::Secp256r1, Group::Secp384r1];
    let listed = if versions == Versions::Tls12 {
        &curves[..]
    } else {
        &groups
    };
    let mut client = ClientConfig::new(&trust, ServerName::parse("localhost"), CLOCK)
        .with_groups(listed)
        .with_sessions(&sessions);
    if versions == Versions::Tls13 {
        client = client.with_identity(pki.identity());
    }
    [false, true].map(|resumed| {
        let mut buffers = Buffers::new(true, &client, &server);
        let mut ends = Ends::new(&mut buffers, client, server);
        let mut most = [0; 2];
        ends.live(|is_server, work| {
            let place = &mut most[usize::from(is_server)];
            *place = depth(work).max(*place);
        });
        assert_eq!(ends.server.info().resumed, resumed);
        most
    })
}
