//! The measured handshakes.

use postern_tls::crypto::key::SigningKey;
use postern_tls::crypto::kx::Group;
use postern_tls::pki::verify::{Clock, ServerName, Trust};
use postern_tls::{ClientConfig, Connection, Handshake, Identity, ServerConfig, SessionCache, Tickets, Versions};
use semihosting::println;

use super::pair::{Buffers, Ends, Rng};

const CLOCK: Clock = Clock {
    now: 1_767_225_600,
    floor: 0,
};
static CA: [&[u8]; 1] = [include_bytes!(concat!(env!("OUT_DIR"), "/ca.der"))];
static LEAF: [&[u8]; 1] = [include_bytes!(concat!(env!("OUT_DIR"), "/leaf.der"))];
static KEY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/leaf.key"));

/// Each handshake, full and then resumed, as a line `NAME CLIENT SERVER CLIENT SERVER` of bytes; before them
/// `Connection BYTES BYTES`, the second with a handshake that is lent.
#[cortex_m_rt::entry]
fn main() -> ! {
    println!(
        "Connection {} {}",
        size_of::<Connection<'_>>(),
        size_of::<Connection<'_, &mut Handshake<'_>>>()
    );
    for (name, versions, group) in [
        ("TLS_1.3-X25519MLKEM768", Versions::Tls13, Group::X25519MlKem768),
        ("TLS_1.3-X25519", Versions::Tls13, Group::X25519),
        ("TLS_1.3-P-256", Versions::Tls13, Group::Secp256r1),
        ("TLS_1.2-X25519", Versions::Tls12, Group::X25519),
    ] {
        let [full, resumed] = deepest(versions, group);
        println!("{name} {} {} {} {}", full[0], full[1], resumed[0], resumed[1]);
    }
    semihosting::process::exit(0);
}

/// How deep the stack of client and server gets, in a full handshake and in a resumed one.
fn deepest(versions: Versions, group: Group) -> [[usize; 2]; 2] {
    let (trust, groups) = (Trust::new(&CA), [group]);
    let key = SigningKey::from_der("PRIVATE KEY", KEY).unwrap();
    let identities = [Identity::new(&LEAF, &key).unwrap()];
    let (tickets, sessions) = (Tickets::new(&mut Rng(2), CLOCK.now).unwrap(), SessionCache::new());
    let server = ServerConfig::new(&identities, CLOCK)
        .unwrap()
        .with_versions(versions)
        .with_groups(&groups)
        .with_tickets(&tickets);
    // TLS 1.2: the client lists the curves of certificates as well (RFC 8422 §5.1.1).
    let curves = [group, Group::Secp256r1];
    let client = ClientConfig::new(&trust, ServerName::parse("localhost"), CLOCK)
        .with_versions(versions)
        .with_groups(if versions == Versions::Tls12 { &curves } else { &groups })
        .with_sessions(&sessions);
    [false, true].map(|resumed| {
        let mut most = [0; 2];
        Buffers::with(|buffers| {
            let mut places = [Handshake::new(), Handshake::new()];
            let mut ends = Ends::new(buffers, &mut places, client, server, &mut most);
            ends.live(&mut most);
            assert_eq!(ends.server.info().resumed, resumed);
        });
        most
    })
}
