//! Second ClientHellos and early data that must be refused.

use postern_peers::client::Client;
use postern_peers::hello::*;
use postern_peers::probe::{Buffers, Probe};
use postern_peers::server_config;
use postern_tls::error::{InvalidMessage, PeerMisbehaved};
use postern_tls::{AlertDescription as Alert, ContentType, Error, ExtensionType, HandshakeType, NamedGroup};

/// What the first hello of every test holds besides the necessary.
fn first() -> Hello {
    Hello::new(&[])
        .and(0x0a0a, [])
        .and(0x5555, [1, 2, 3])
        .and(PADDING, [0; 5])
}

/// The server's verdict on `second` after a retry for X25519.
#[track_caller]
fn second_refused(change: impl FnOnce(Hello) -> Hello, error: impl Into<Error>, alert: Alert) {
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    let mut client = Client::with_hello(first(), None);
    let hello = client.hello_record();
    probe.feed(&hello).unwrap();
    let group = client.read_retry(&mut probe);
    client.retry(group);
    let hello = change(client.hello.clone());
    probe.refuses(None, &hello.record(), error, alert);
}

#[test]
fn what_may_not_change() {
    let changes: &[fn(Hello) -> Hello] = &[
        |hello| hello.changed(|hello| hello.version = 0x0302),
        |hello| hello.changed(|hello| hello.random[31] ^= 1),
        |hello| hello.changed(|hello| hello.session_id[0] ^= 1),
        |hello| hello.changed(|hello| hello.session_id.truncate(31)),
        |hello| hello.changed(|hello| hello.session_id.clear()),
        |hello| hello.changed(|hello| hello.suites.reverse()),
        |hello| hello.changed(|hello| hello.suites.truncate(1)),
        |hello| hello.changed(|hello| hello.suites.push(0x1304)),
        |hello| hello.with(SERVER_NAME, server_name(b"otherhost")),
        |hello| hello.without(SERVER_NAME),
        |hello| hello.with(SUPPORTED_VERSIONS, [4, 3, 4, 3, 3]),
        |hello| hello.with(SUPPORTED_GROUPS, numbers16(&[X25519])),
        |hello| hello.with(SUPPORTED_GROUPS, numbers16(&[SECP256R1, X25519])),
        |hello| hello.with(SIGNATURE_ALGORITHMS, numbers16(&[0x0403])),
        |hello| hello.with(PSK_KEY_EXCHANGE_MODES, [2, 1, 0]),
        |hello| hello.without(0x0a0a),
        |hello| hello.with(0x0a0a, [0]),
        |hello| hello.with(0x5555, [1, 2, 4]),
        |hello| hello.and(0x5556, []),
        |hello| {
            hello.changed(|hello| {
                hello
                    .extensions
                    .iter_mut()
                    .for_each(|extension| extension.0 ^= u16::from(extension.0 == 0x5555));
            })
        },
        |hello| hello.changed(|hello| hello.extensions.swap(0, 1)),
        // The bytes of two extensions, cut elsewhere.
        |hello| hello.without(0x5555).and(0x5555, [1, 2]).and(3, []),
    ];
    for change in changes {
        second_refused(change, PeerMisbehaved::ChangedClientHello, Alert::ILLEGAL_PARAMETER);
    }
}

#[test]
fn the_share_that_was_not_asked_for() {
    let shares: &[&[(u16, &[u8])]] = &[
        &[],
        &[(SECP256R1, &[4; 65])],
        &[(X25519, &[9; 32]), (SECP256R1, &[4; 65])],
        &[(SECP256R1, &[4; 65]), (X25519, &[9; 32])],
    ];
    for shares in shares {
        second_refused(
            |hello| hello.with(KEY_SHARE, key_shares(shares)),
            PeerMisbehaved::WrongRetryKeyShare,
            Alert::ILLEGAL_PARAMETER,
        );
    }
    second_refused(
        |hello| hello.with(KEY_SHARE, key_shares(&[(X25519, &[0; 32])])),
        PeerMisbehaved::InvalidKeyShare(NamedGroup::X25519),
        Alert::ILLEGAL_PARAMETER,
    );
    second_refused(
        |hello| hello.without(KEY_SHARE),
        PeerMisbehaved::MissingExtension(ExtensionType::KEY_SHARE),
        Alert::MISSING_EXTENSION,
    );
}

#[test]
fn the_rest_is_checked_as_in_the_first() {
    second_refused(
        |hello| hello.and(EARLY_DATA, []),
        PeerMisbehaved::EarlyDataAfterRetry,
        Alert::ILLEGAL_PARAMETER,
    );
    second_refused(
        |hello| hello.changed(|hello| hello.compression = vec![0, 1]),
        PeerMisbehaved::Compression,
        Alert::ILLEGAL_PARAMETER,
    );
    second_refused(
        |hello| hello.and(SERVER_NAME, server_name(b"localhost")),
        PeerMisbehaved::DuplicateExtension(ExtensionType(SERVER_NAME)),
        Alert::ILLEGAL_PARAMETER,
    );
    second_refused(
        |hello| hello.and(PRE_SHARED_KEY, pre_shared_key(b"a", &[0; 32])).and(1, []),
        PeerMisbehaved::PskNotLast,
        Alert::ILLEGAL_PARAMETER,
    );
    second_refused(
        |hello| hello.with(COOKIE, []),
        InvalidMessage::MissingData("cookie"),
        Alert::DECODE_ERROR,
    );
}

#[test]
fn other_things_in_its_place() {
    let waiting = |test: &dyn Fn(&mut Probe<'_>)| {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        let mut client = Client::with_hello(first(), None);
        let hello = client.hello_record();
        probe.feed(&hello).unwrap();
        client.read_retry(&mut probe);
        test(&mut probe);
    };
    let unexpected = Alert::UNEXPECTED_MESSAGE;
    for kind in [0, 2, 8, 11, 15, 20, 24, 254] {
        waiting(&|probe| {
            let bytes = record(22, &message(kind, &[0; 32]));
            probe.refuses(
                None,
                &bytes,
                PeerMisbehaved::UnexpectedHandshake(HandshakeType(kind)),
                unexpected,
            );
        });
    }
    // No early data was announced.
    waiting(&|probe| {
        let bytes = record(23, &[0; 40]);
        probe.refuses(
            None,
            &bytes,
            PeerMisbehaved::UnexpectedRecord(ContentType::APPLICATION_DATA),
            unexpected,
        );
    });
    waiting(&|probe| {
        let error = Error::AlertReceived(Alert::ILLEGAL_PARAMETER);
        assert_eq!(probe.feed(&record(21, &[2, 47])), Err(error));
        probe.is_over(error);
    });
    waiting(&|probe| {
        assert_eq!(probe.end(), Err(Error::Truncated));
        probe.is_over(Error::Truncated);
    });
}

#[test]
fn part_of_a_second_hello_right_behind_the_first() {
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    let mut client = Client::with_hello(first(), None);
    let hello = client.hello_record();
    let bytes = record(22, &[&hello[5..], &[1]].concat());
    // No HelloRetryRequest is sent before that is checked.
    let error = PeerMisbehaved::MessageAcrossKeyChange;
    probe.refuses(None, &bytes, error, Alert::UNEXPECTED_MESSAGE);
}

#[test]
fn too_much_early_data() {
    let psk = pre_shared_key(b"ticket", &[0; 32]);
    for retry in [false, true] {
        for size in [0, 1, 17, 5000, 16640] {
            let mut buffers = Buffers::new();
            let mut probe = Probe::new(server_config(), &mut buffers);
            let mut client = if retry {
                Client::with_hello(first(), None)
            } else {
                Client::new(X25519)
            };
            client.hello = client
                .hello
                .clone()
                .and(EARLY_DATA, [])
                .and(PRE_SHARED_KEY, psk.clone());
            let hello = client.hello_record();
            probe.feed(&hello).unwrap();
            if retry {
                client.read_retry(&mut probe);
            } else {
                client.read_flight(&mut probe, true);
            }
            let early = record(23, &vec![0x5a; size]);
            let many = early.repeat(2 * 16384 / early.len());
            probe.feed(&many).unwrap();
            let error = PeerMisbehaved::TooMuchEarlyData;
            probe.refuses(client.read.as_mut(), &early, error, Alert::BAD_RECORD_MAC);
        }
    }
}

#[test]
fn early_data_after_what_ends_it() {
    // Once Finished has come nothing is skipped any more.
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    let mut client = Client::new(X25519);
    let psk = pre_shared_key(b"ticket", &[0; 32]);
    client.hello = client.hello.clone().and(EARLY_DATA, []).and(PRE_SHARED_KEY, psk);
    client.handshake(&mut probe);
    let early = record(23, &[0x5a; 50]);
    let error = PeerMisbehaved::BadRecordMac;
    probe.refuses(client.read.as_mut(), &early, error, Alert::BAD_RECORD_MAC);
}
