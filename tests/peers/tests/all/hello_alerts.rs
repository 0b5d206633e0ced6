//! ClientHellos that must be refused, each with its error and its alert.

use postern_peers::client::Client;
use postern_peers::hello::*;
use postern_peers::probe::{Buffers, Probe};
use postern_peers::server_config;
use postern_tls::crypto::kx::Group;
use postern_tls::crypto::suite::CipherSuite;
use postern_tls::error::{InvalidMessage, PeerIncompatible, PeerMisbehaved};
use postern_tls::{
    AlertDescription as Alert, Error, ExtensionType, HandshakeType, NamedGroup, Progress, ProtocolVersion, ServerConfig,
};

/// A correct hello with a share for X25519.
fn hello() -> Hello {
    Client::new(X25519).hello
}

#[track_caller]
fn refused_bytes(config: ServerConfig<'_>, bytes: &[u8], error: impl Into<Error>, alert: Alert) {
    let error = error.into();
    let mut buffers = Buffers::new();
    Probe::new(config, &mut buffers).refuses(None, bytes, error, alert);
    // The same if it comes byte by byte.
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(config, &mut buffers);
    assert_eq!(probe.feed_by(bytes, 1), Err(error));
    probe.alerted(None, alert);
    probe.is_over(error);
}

#[track_caller]
fn refused(hello: &Hello, error: impl Into<Error>, alert: Alert) {
    refused_bytes(server_config(), &hello.record(), error, alert);
}

#[test]
fn older_versions() {
    // RFC 8446 §4.2.1, §E.5 and §6.2 protocol_version.
    for (version, highest) in [(0x0301, 0x0301), (0x0302, 0x0302), (0x0303, 0x0303), (0x0304, 0x0303)] {
        let hello = hello()
            .without(SUPPORTED_VERSIONS)
            .changed(|hello| hello.version = version);
        refused(
            &hello,
            PeerIncompatible::Version(Some(ProtocolVersion(highest))),
            Alert::PROTOCOL_VERSION,
        );
        let bare = hello.changed(|hello| hello.extensions.clear());
        refused(
            &bare,
            PeerIncompatible::Version(Some(ProtocolVersion(highest))),
            Alert::PROTOCOL_VERSION,
        );
    }
    for (list, highest) in [
        (&[2, 3, 3][..], Some(0x0303)),
        (&[6, 3, 1, 3, 3, 3, 2], Some(0x0303)),
        (&[4, 0x0a, 0x0a, 3, 1], Some(0x0301)),
        (&[2, 0x7f, 0x1c], None),
        (&[2, 3, 0], Some(0x0300)),
    ] {
        refused(
            &hello().with(SUPPORTED_VERSIONS, list),
            PeerIncompatible::Version(highest.map(ProtocolVersion)),
            Alert::PROTOCOL_VERSION,
        );
    }
    // A hello without an extension block, as in old versions.
    let message = hello().changed(|hello| hello.extensions.clear()).message();
    let body = &message[4..message.len() - 2];
    refused_bytes(
        server_config(),
        &record(22, &postern_peers::hello::message(1, body)),
        PeerIncompatible::Version(Some(ProtocolVersion::TLS12)),
        Alert::PROTOCOL_VERSION,
    );
}

#[test]
fn ssl_3_and_ssl_2() {
    refused(
        &hello().changed(|hello| hello.version = 0x0300),
        PeerMisbehaved::Ssl3,
        Alert::PROTOCOL_VERSION,
    );
    refused(
        &hello()
            .without(SUPPORTED_VERSIONS)
            .changed(|hello| hello.version = 0x0300),
        PeerMisbehaved::Ssl3,
        Alert::PROTOCOL_VERSION,
    );
    // An SSL 2.0 CLIENT-HELLO (RFC 6176).
    refused_bytes(
        server_config(),
        &[0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10],
        InvalidMessage::ContentType(0x80),
        Alert::UNEXPECTED_MESSAGE,
    );
}

#[test]
fn what_is_not_tls() {
    for request in [
        "GET / HTTP/1.1\r\n",
        "POST /x HTTP/1.0\r\n",
        "HEAD ",
        "OPTIONS *",
        "CONNECT a:1",
    ] {
        refused_bytes(
            server_config(),
            request.as_bytes(),
            InvalidMessage::Http,
            Alert::UNEXPECTED_MESSAGE,
        );
    }
    for byte in (0..=255).filter(|byte| !(20..24).contains(byte)) {
        refused_bytes(
            server_config(),
            &[byte, 0xff],
            InvalidMessage::ContentType(byte),
            Alert::UNEXPECTED_MESSAGE,
        );
    }
    let mut buffers = Buffers::new();
    Probe::new(server_config(), &mut buffers).refuses(
        None,
        &[22, 2, 0, 0, 1],
        InvalidMessage::RecordVersion(ProtocolVersion(0x0200)),
        Alert::PROTOCOL_VERSION,
    );
}

#[test]
fn nothing_in_common() {
    refused(
        &hello().changed(|hello| hello.suites = vec![0x1304, 0x1305, 0xc02b]),
        PeerIncompatible::CipherSuite,
        Alert::HANDSHAKE_FAILURE,
    );
    let only = [CipherSuite::Aes256GcmSha384];
    refused_bytes(
        server_config().with_suites(&only),
        &hello().changed(|hello| hello.suites = vec![0x1301]).record(),
        PeerIncompatible::CipherSuite,
        Alert::HANDSHAKE_FAILURE,
    );
    refused(
        &hello()
            .with(SUPPORTED_GROUPS, numbers16(&[0x0019, 0x001e]))
            .with(KEY_SHARE, key_shares(&[])),
        PeerIncompatible::Group,
        Alert::HANDSHAKE_FAILURE,
    );
    let only = [Group::Secp256r1];
    refused_bytes(
        server_config().with_groups(&only),
        &hello().with(SUPPORTED_GROUPS, numbers16(&[X25519])).record(),
        PeerIncompatible::Group,
        Alert::HANDSHAKE_FAILURE,
    );
    for schemes in [&[0x0804, 0x0503][..], &[0x0401], &[0x0203]] {
        refused(
            &hello().with(SIGNATURE_ALGORITHMS, numbers16(schemes)),
            PeerIncompatible::SignatureScheme,
            Alert::HANDSHAKE_FAILURE,
        );
    }
}

#[test]
fn missing_extensions() {
    // RFC 8446 §9.2.
    for kind in [SUPPORTED_GROUPS, SIGNATURE_ALGORITHMS, KEY_SHARE] {
        refused(
            &hello().without(kind),
            PeerMisbehaved::MissingExtension(ExtensionType(kind)),
            Alert::MISSING_EXTENSION,
        );
        // An unknown PSK does not make up for it.
        refused(
            &hello()
                .without(kind)
                .with(PRE_SHARED_KEY, pre_shared_key(b"ticket", &[0; 32])),
            PeerMisbehaved::MissingExtension(ExtensionType(kind)),
            Alert::MISSING_EXTENSION,
        );
    }
    // §4.2.9.
    refused(
        &hello()
            .without(PSK_KEY_EXCHANGE_MODES)
            .with(PRE_SHARED_KEY, pre_shared_key(b"ticket", &[0; 32])),
        PeerMisbehaved::MissingExtension(ExtensionType::PSK_KEY_EXCHANGE_MODES),
        Alert::MISSING_EXTENSION,
    );
}

#[test]
fn duplicates() {
    for (kind, body) in hello().extensions {
        refused(
            &hello().and(kind, body),
            PeerMisbehaved::DuplicateExtension(ExtensionType(kind)),
            Alert::ILLEGAL_PARAMETER,
        );
    }
    for kind in [0x0a0a, 0xffff, 8191, 8192] {
        refused(
            &hello().and(kind, []).and(12345, []).and(kind, [1]),
            PeerMisbehaved::DuplicateExtension(ExtensionType(kind)),
            Alert::ILLEGAL_PARAMETER,
        );
    }
    // The last of 4,000 once more.
    let many = (10_000..14_000).fold(hello(), |hello, kind| hello.and(kind, []));
    refused(
        &many.and(13_999, []),
        PeerMisbehaved::DuplicateExtension(ExtensionType(13_999)),
        Alert::ILLEGAL_PARAMETER,
    );
    let public = [9; 32];
    refused(
        &hello().with(KEY_SHARE, key_shares(&[(X25519, &public), (X25519, &public)])),
        PeerMisbehaved::DuplicateKeyShare(NamedGroup::X25519),
        Alert::ILLEGAL_PARAMETER,
    );
    let names = [&[0][..], &vector16(b"a"), &[0], &vector16(b"b")].concat();
    refused(
        &hello().with(SERVER_NAME, vector16(&names)),
        PeerMisbehaved::IllegalParameter("server_name"),
        Alert::ILLEGAL_PARAMETER,
    );
}

#[test]
fn compression() {
    for methods in [&[1][..], &[0, 1], &[1, 0], &[0, 0], &[64]] {
        refused(
            &hello().changed(|hello| hello.compression = methods.to_vec()),
            PeerMisbehaved::Compression,
            Alert::ILLEGAL_PARAMETER,
        );
    }
    refused(
        &hello().changed(|hello| hello.compression.clear()),
        InvalidMessage::IllegalValue("legacy_compression_methods"),
        Alert::DECODE_ERROR,
    );
}

#[test]
fn pre_shared_keys() {
    let psk = pre_shared_key(b"ticket", &[0; 32]);
    // RFC 8446 §4.2.11: last, and nowhere else.
    let mut middle = hello();
    middle.extensions.insert(2, (PRE_SHARED_KEY, psk.clone()));
    refused(&middle, PeerMisbehaved::PskNotLast, Alert::ILLEGAL_PARAMETER);
    refused(
        &hello().and(PRE_SHARED_KEY, psk.clone()).and(0x1a1a, []),
        PeerMisbehaved::PskNotLast,
        Alert::ILLEGAL_PARAMETER,
    );
    refused(
        &hello()
            .and(PRE_SHARED_KEY, psk.clone())
            .and(PRE_SHARED_KEY, psk.clone()),
        PeerMisbehaved::DuplicateExtension(ExtensionType(PRE_SHARED_KEY)),
        Alert::ILLEGAL_PARAMETER,
    );
    let identity = |name: &[u8]| [vector16(name), vec![0; 4]].concat();
    let two = [identity(b"a"), identity(b"b")].concat();
    let one = identity(b"a");
    let binder = vector8(&[0; 32]);
    refused(
        &hello().with(PRE_SHARED_KEY, [vector16(&two), vector16(&binder)].concat()),
        PeerMisbehaved::IllegalParameter("pre_shared_key"),
        Alert::ILLEGAL_PARAMETER,
    );
    for (body, error) in [
        (
            [vector16(&[]), vector16(&binder)].concat(),
            InvalidMessage::IllegalValue("pre_shared_key"),
        ),
        (
            [vector16(&identity(b"")), vector16(&binder)].concat(),
            InvalidMessage::IllegalValue("PskIdentity"),
        ),
        // binders<33..2^16-1>: one at least.
        (
            [vector16(&one), vector16(&[])].concat(),
            InvalidMessage::IllegalValue("binders"),
        ),
        (
            [vector16(&one), vector16(&vector8(&[0; 31]))].concat(),
            InvalidMessage::IllegalValue("PskBinderEntry"),
        ),
        (
            [vector16(&one[..5]), vector16(&binder)].concat(),
            InvalidMessage::MissingData("PskIdentity"),
        ),
        (
            [vector16(&one), vector16(&binder[..9])].concat(),
            InvalidMessage::MissingData("PskBinderEntry"),
        ),
        (
            [vector16(&one), vector16(&binder), vec![0]].concat(),
            InvalidMessage::TrailingData("pre_shared_key"),
        ),
        (vector16(&one), InvalidMessage::MissingData("pre_shared_key")),
        (vec![], InvalidMessage::MissingData("pre_shared_key")),
    ] {
        refused(&hello().with(PRE_SHARED_KEY, body), error, Alert::DECODE_ERROR);
    }
}

#[test]
fn key_shares_that_are_none() {
    for (group, public) in [
        (X25519, vec![0; 32]),
        (X25519, vec![9; 31]),
        (X25519, vec![9; 33]),
        (SECP256R1, vec![4; 65]),
        (SECP256R1, vec![0]),
        (SECP256R1, [&[2][..], &[7; 32]].concat()),
    ] {
        refused(
            &hello().with(KEY_SHARE, key_shares(&[(group, &public)])),
            PeerMisbehaved::InvalidKeyShare(NamedGroup(group)),
            Alert::ILLEGAL_PARAMETER,
        );
    }
    // RFC 8446 §4.2.8.
    refused(
        &hello()
            .with(SUPPORTED_GROUPS, numbers16(&[SECP256R1]))
            .with(KEY_SHARE, key_shares(&[(X25519, &[9; 32])])),
        PeerMisbehaved::KeyShareOutsideGroups(NamedGroup::X25519),
        Alert::ILLEGAL_PARAMETER,
    );
}

#[test]
fn broken_structures() {
    let decode_error = |hello: &Hello, error: InvalidMessage| refused(hello, error, Alert::DECODE_ERROR);
    decode_error(
        &hello().changed(|hello| hello.session_id = vec![0; 33]),
        InvalidMessage::IllegalValue("legacy_session_id"),
    );
    decode_error(
        &hello().changed(|hello| hello.suites.clear()),
        InvalidMessage::IllegalValue("cipher_suites"),
    );
    for (kind, what) in [
        (SUPPORTED_GROUPS, "supported_groups"),
        (SIGNATURE_ALGORITHMS, "signature_algorithms"),
    ] {
        let illegal = InvalidMessage::IllegalValue(what);
        decode_error(&hello().with(kind, []), InvalidMessage::MissingData(what));
        decode_error(&hello().with(kind, [0, 0]), illegal);
        decode_error(&hello().with(kind, [0, 1, 4]), illegal);
        decode_error(&hello().with(kind, [0, 3, 4, 3, 8]), illegal);
        decode_error(&hello().with(kind, [0, 4, 4, 3]), InvalidMessage::MissingData(what));
        decode_error(&hello().with(kind, [0, 2, 4, 3, 0]), InvalidMessage::TrailingData(what));
    }
    for (body, error) in [
        (&[][..], InvalidMessage::MissingData("supported_versions")),
        (&[0], InvalidMessage::IllegalValue("supported_versions")),
        (&[1, 3], InvalidMessage::IllegalValue("supported_versions")),
        (&[3, 3, 4, 3], InvalidMessage::IllegalValue("supported_versions")),
        (&[4, 3, 4], InvalidMessage::MissingData("supported_versions")),
        (&[2, 3, 4, 0], InvalidMessage::TrailingData("supported_versions")),
    ] {
        decode_error(&hello().with(SUPPORTED_VERSIONS, body), error);
    }
    for (body, error) in [
        (&[][..], InvalidMessage::MissingData("key_share")),
        (&[0, 1, 0], InvalidMessage::MissingData("KeyShareEntry")),
        (&[0, 4, 0, 29, 0, 0], InvalidMessage::IllegalValue("key_exchange")),
        (&[0, 4, 0, 29, 0, 1], InvalidMessage::MissingData("KeyShareEntry")),
        (&[0, 0, 0], InvalidMessage::TrailingData("key_share")),
    ] {
        decode_error(&hello().with(KEY_SHARE, body), error);
    }
    for (body, error) in [
        (&[][..], InvalidMessage::MissingData("server_name")),
        (&[0, 0], InvalidMessage::IllegalValue("server_name")),
        (&[0, 3, 0, 0, 0], InvalidMessage::IllegalValue("server_name")),
        (&[0, 3, 0, 0, 1], InvalidMessage::MissingData("server_name")),
        (&[0, 4, 0, 0, 1, 97, 0], InvalidMessage::TrailingData("server_name")),
    ] {
        decode_error(&hello().with(SERVER_NAME, body), error);
    }
    for (kind, body, error) in [
        (EARLY_DATA, &[0][..], InvalidMessage::TrailingData("early_data")),
        (
            PSK_KEY_EXCHANGE_MODES,
            &[0],
            InvalidMessage::IllegalValue("psk_key_exchange_modes"),
        ),
        (
            PSK_KEY_EXCHANGE_MODES,
            &[2, 1],
            InvalidMessage::MissingData("psk_key_exchange_modes"),
        ),
        (
            PSK_KEY_EXCHANGE_MODES,
            &[1, 1, 1],
            InvalidMessage::TrailingData("psk_key_exchange_modes"),
        ),
        (COOKIE, &[0, 0], InvalidMessage::IllegalValue("cookie")),
        (COOKIE, &[0, 2, 1], InvalidMessage::MissingData("cookie")),
        (COOKIE, &[0, 1, 1, 1], InvalidMessage::TrailingData("cookie")),
    ] {
        decode_error(&hello().with(kind, body), error);
    }
}

#[test]
fn lengths_that_lie() {
    let whole = hello().message();
    let body = &whole[4..];
    let refused_body = |body: &[u8], error: InvalidMessage| {
        let record = record(22, &message(1, body));
        refused_bytes(server_config(), &record, error, Alert::DECODE_ERROR);
    };
    refused_body(&[], InvalidMessage::MissingData("ClientHello"));
    refused_body(&body[..33], InvalidMessage::MissingData("ClientHello"));
    refused_body(&body[..body.len() - 1], InvalidMessage::MissingData("ClientHello"));
    refused_body(&[body, &[0]].concat(), InvalidMessage::TrailingData("ClientHello"));
    // An extension that extends beyond the block.
    let mut long = body.to_vec();
    let at = long.len() - key_shares(&[(X25519, &[0; 32])]).len() - 1;
    long[at] += 1;
    refused_body(&long, InvalidMessage::MissingData("extensions"));
}

#[test]
fn hellos_over_the_limit_are_refused_at_their_header() {
    let too_long = |length: usize| {
        let [.., high, middle, low] = (length - 4).to_be_bytes();
        refused_bytes(
            server_config(),
            &record(22, &[1, high, middle, low, 3, 3]),
            InvalidMessage::HandshakeTooLong {
                kind: HandshakeType::CLIENT_HELLO,
                length,
                limit: 16384,
            },
            Alert::DECODE_ERROR,
        );
    };
    too_long(16385);
    too_long(4 + 65535);
    too_long(4 + 0xff_ffff);
    // In earnest, in records: the memory is bounded.
    let hello = (0..11_000).fold(hello(), |hello, kind| hello.and(20_000 + kind, []));
    let message = hello.message();
    assert!(message.len() > 44_000);
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    let bytes: Vec<u8> = message.chunks(16384).flat_map(|piece| record(22, piece)).collect();
    probe.refuses(
        None,
        &bytes,
        InvalidMessage::HandshakeTooLong {
            kind: HandshakeType::CLIENT_HELLO,
            length: message.len(),
            limit: 16384,
        },
        Alert::DECODE_ERROR,
    );
}

#[test]
fn other_messages_first() {
    for kind in [0, 2, 4, 5, 8, 11, 13, 15, 16, 20, 24, 254, 255] {
        refused_bytes(
            server_config(),
            &record(22, &message(kind, &[0; 4])),
            PeerMisbehaved::UnexpectedHandshake(HandshakeType(kind)),
            Alert::UNEXPECTED_MESSAGE,
        );
    }
}

#[test]
fn something_after_the_hello_in_its_record() {
    // RFC 8446 §5.1: keys change after the ClientHello, so its record ends there.
    for rest in [&[0][..], &[20], &message(20, &[0; 32]), &hello().message()] {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        let mut client = Client::new(X25519);
        let hello = client.hello_record();
        let bytes = record(22, &[&hello[5..], rest].concat());
        // Nothing of the flight is computed or sent before that is checked.
        let error = PeerMisbehaved::MessageAcrossKeyChange;
        probe.refuses(None, &bytes, error, Alert::UNEXPECTED_MESSAGE);
    }
}

#[test]
fn alerts_instead_of_a_hello() {
    for (level, description) in [(2, 40), (1, 0), (2, 0), (2, 112), (2, 70), (0, 80), (9, 255)] {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        let error = Error::AlertReceived(Alert(description));
        assert_eq!(probe.feed(&record(21, &[level, description])), Err(error));
        // RFC 8446 §6.2: no answer is sent.
        probe.is_over(error);
    }
    // user_canceled is followed by close_notify (§6.1); and a warning may be TLS 1.2's, where it ends nothing.
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    assert_eq!(probe.feed(&record(21, &[1, 90])), Ok(Progress::NeedInput));
    assert_eq!(probe.feed(&record(21, &[1, 112])), Ok(Progress::NeedInput));
    let error = Error::AlertReceived(Alert::CLOSE_NOTIFY);
    assert_eq!(probe.feed(&record(21, &[1, 0])), Err(error));
    probe.is_over(error);
    for broken in [&[2][..], &[2, 40, 0], &[2, 40, 2, 40]] {
        refused_bytes(
            server_config(),
            &record(21, broken),
            InvalidMessage::IllegalValue("Alert"),
            Alert::DECODE_ERROR,
        );
    }
    // Forever is too long.
    let flood = record(21, &[1, 90]).repeat(33);
    refused_bytes(
        server_config(),
        &flood,
        PeerMisbehaved::TooManyEmptyRecords,
        Alert::UNEXPECTED_MESSAGE,
    );
}

#[test]
fn the_stream_ends_early() {
    let record = hello().record();
    for length in [0, 1, 5, 6, 100, record.len() - 1] {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        assert_eq!(probe.feed(&record[..length]), Ok(Progress::NeedInput));
        assert_eq!(probe.end(), Err(Error::Truncated));
        probe.is_over(Error::Truncated);
    }
}
