//! What a connection is not made with.

use super::*;
use crate::pki::verify::Trust;
use crate::support::Script;
use crate::{Connection, Error, FULL_INBOUND};

fn client(set: impl for<'a> FnOnce(ClientConfig<'a>) -> ClientConfig<'a>) -> Option<ConfigError> {
    let trust = Trust::new(&[]);
    let config = set(ClientConfig::new(&trust, None, Clock::default()));
    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; config.flight_len()]);
    let connection = Connection::client(config, &mut inbound, &mut outbound, &mut Script(vec![7; 512]));
    connection.err()
}

fn server(set: impl for<'a> FnOnce(ServerConfig<'a>, &'a Trust<'a>) -> ServerConfig<'a>) -> Option<ConfigError> {
    let key = SigningKey::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[7; 32]));
    let chain = [&b"certificate"[..]];
    let identities = [Identity::new(&chain, &key).unwrap()];
    let trust = Trust::new(&[]);
    let config = set(ServerConfig::new(&identities, Clock::default()).unwrap(), &trust);
    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; config.flight_len()]);
    let connection = Connection::server(config, &mut inbound, &mut outbound);
    connection.err()
}

#[test]
fn empty_lists_are_not_offered() {
    assert_eq!(client(|config| config), None);

    assert_eq!(
        client(|config| config.with_suites(&[])),
        Some(ConfigError::NoCipherSuite)
    );
    assert_eq!(
        client(|config| config.with_versions(Versions::Tls12).with_suites(&CipherSuite::TLS13)),
        Some(ConfigError::NoCipherSuite)
    );
    assert_eq!(client(|config| config.with_groups(&[])), Some(ConfigError::NoGroup));
    assert_eq!(
        client(|config| config
            .with_versions(Versions::Tls12)
            .with_groups(&[Group::X25519MlKem768])),
        Some(ConfigError::NoGroup)
    );
    // With TLS 1.3 it would promise P-521.
    const P521: &[SignatureScheme] = &[SignatureScheme::EcdsaSecp521r1Sha512];
    assert_eq!(
        client(|config| config.with_schemes(P521)),
        Some(ConfigError::NoSignatureScheme)
    );
    assert_eq!(
        client(|config| config.with_schemes(P521).with_versions(Versions::Tls12)),
        None
    );

    // A server lists schemes in CertificateRequest only, and in TLS 1.2 also this one.
    assert_eq!(server(|config, _| config.with_schemes(P521)), None);
    fn asking<'a>(config: ServerConfig<'a>, trust: &'a Trust<'a>) -> ServerConfig<'a> {
        config.with_schemes(P521).with_client_auth(ClientAuth::Required(trust))
    }
    assert_eq!(server(asking), None);
    assert_eq!(
        server(|config, trust| asking(config, trust).with_versions(Versions::Tls13)),
        Some(ConfigError::NoSignatureScheme)
    );
}

/// What a server with client authentication and these schemes finds in the hello of a client with `versions`, if it can
/// hold `room` bytes beside its flights.
fn server_error(versions: Versions, schemes: &[SignatureScheme], room: usize) -> Option<Error> {
    let trust = Trust::new(&[]);
    let mut rng = Script((0..=255).cycle().take(4096).collect());
    let config = ClientConfig::new(&trust, None, Clock::default()).with_versions(versions);
    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; config.flight_len()]);
    let client = Connection::client(config, &mut inbound, &mut outbound, &mut rng).unwrap();

    let key = SigningKey::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[7; 32]));
    let chain = [&b"certificate"[..]];
    let identities = [Identity::new(&chain, &key).unwrap()];
    let config = ServerConfig::new(&identities, Clock::default()).unwrap();
    let config = config
        .with_schemes(schemes)
        .with_client_auth(ClientAuth::Required(&trust));
    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; config.flight_len() + room]);
    let mut server = Connection::server(config, &mut inbound, &mut outbound).unwrap();
    server.space()[..client.pending().len()].copy_from_slice(client.pending());
    server.received(client.pending().len());
    server.advance(&mut rng).err()
}

#[test]
fn a_certificate_request_without_a_scheme_is_not_sent() {
    let of_tls12 = [SignatureScheme::EcdsaSecp521r1Sha512];
    let error = Error::Internal("no signature scheme of TLS 1.3 is configured");
    assert_eq!(server_error(Versions::Tls13, &of_tls12, 1 << 16), Some(error));
    assert_eq!(server_error(Versions::Tls12, &of_tls12, 1 << 16), None);
    // Such a signature covers messages that have to be kept.
    let error = Error::Internal("no room for what the configured signature schemes sign");
    assert_eq!(server_error(Versions::Tls12, &of_tls12, 0), Some(error));
}

#[test]
fn application_protocols_have_1_to_255_bytes() {
    const LONG: &[&[u8]] = &[b"h2", &[b'a'; 256]];
    for protocols in [LONG, &[b"h2", b""]] {
        let wrong = protocols[1].len();
        assert_eq!(
            client(|config| config.with_protocols(protocols)),
            Some(ConfigError::ProtocolLength(wrong))
        );
        assert_eq!(
            server(|config, _| config.with_protocols(protocols)),
            Some(ConfigError::ProtocolLength(wrong))
        );
    }
    const LONGEST: &[&[u8]] = &[&[b'a'; 255], b"b"];
    assert_eq!(client(|config| config.with_protocols(LONGEST)), None);
    assert_eq!(server(|config, _| config.with_protocols(LONGEST)), None);
}
