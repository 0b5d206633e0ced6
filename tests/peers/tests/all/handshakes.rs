//! Handshakes of an independent client, in every shape of RFC 8446.

use postern_peers::client::Client;
use postern_peers::hello::{
    COOKIE, EARLY_DATA, Hello, KEY_SHARE, PADDING, PRE_SHARED_KEY, SECP256R1, SERVER_NAME, SIGNATURE_ALGORITHMS,
    SUPPORTED_GROUPS, SUPPORTED_VERSIONS, X25519, key_shares, message, numbers16, pre_shared_key, record,
};
use postern_peers::middle::between;
use postern_peers::probe::{Buffers, Probe};
use postern_peers::world::{Kind, of};
use postern_peers::{clock, hello, server_config};
use postern_tls::crypto::kx::Group;
use postern_tls::crypto::suite::CipherSuite;
use postern_tls::error::InvalidMessage;
use postern_tls::pki::verify::ServerName;
use postern_tls::{
    ClientAuth, ClientConfig, ConfigError, Connection, Error, FULL_INBOUND, HandshakeType, Identity, MIN_INBOUND,
    MIN_OUTBOUND, Progress, ServerConfig, Versions,
};

use crate::client_alerts;
use crate::tickets::client_hello;

/// Data both ways, close_notify both ways.
#[track_caller]
fn works(client: &mut Client, probe: &mut Probe<'_>) {
    let record = client.seal(23, b"to the server");
    assert_eq!(probe.feed(&record), Ok(Progress::NeedInput));
    assert_eq!(std::mem::take(&mut probe.data), b"to the server");
    probe.write(b"to the client").unwrap();
    assert_eq!(client.open(probe), (23, b"to the client".to_vec()));
    let close = client.seal(21, &[1, 0]);
    assert_eq!(probe.feed(&close), Ok(Progress::Closed));
    // Half-closed: our side may go on.
    probe.write(b"last words").unwrap();
    assert_eq!(client.open(probe), (23, b"last words".to_vec()));
    probe.server.close();
    assert_eq!(client.open(probe), (21, vec![1, 0]));
    assert!(probe.is_silent());
}

/// The handshake of a client with `hello`'s changes has to go through.
#[track_caller]
fn accepted(change: impl FnOnce(Hello) -> Hello) {
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    let mut client = Client::new(X25519);
    client.hello = change(client.hello.clone());
    client.handshake(&mut probe);
    works(&mut client, &mut probe);
}

#[test]
fn every_suite_and_group() {
    for suite in CipherSuite::TLS13 {
        for group in [Group::X25519, Group::Secp256r1] {
            for session_id in [0, 1, 32] {
                let mut buffers = Buffers::new();
                let mut probe = Probe::new(server_config(), &mut buffers);
                let mut client = Client::new(group.id());
                client.hello.suites = vec![suite.id()];
                client.hello.session_id.truncate(session_id);
                client.handshake(&mut probe);
                assert_eq!(probe.server.info().suite, Some(suite));
                assert_eq!(probe.server.info().group, Some(group));
                works(&mut client, &mut probe);
            }
        }
    }
}

#[test]
fn with_a_retry_and_change_cipher_spec_wherever_it_is_allowed() {
    for suite in CipherSuite::TLS13 {
        for session_id in [0, 32] {
            for ccs in [false, true] {
                let ccs = if ccs { record(20, &[1]) } else { Vec::new() };
                let mut buffers = Buffers::new();
                let mut probe = Probe::new(server_config(), &mut buffers);
                let mut client = Client::with_hello(Hello::new(&[]), None);
                client.hello.suites = vec![suite.id()];
                client.hello.session_id.truncate(session_id);
                let hello = client.hello_record();
                probe.feed(&[&hello[..], &ccs].concat()).unwrap();
                let group = client.read_retry(&mut probe);
                assert_eq!(group, X25519);
                client.retry(group);
                let hello = client.hello_record();
                probe.feed(&[&ccs[..], &hello, &ccs].concat()).unwrap();
                client.read_flight(&mut probe, false);
                let finished = client.finish();
                probe.feed(&[&ccs[..], &finished].concat()).unwrap();
                assert!(!probe.server.is_handshaking() && probe.server.info().retried);
                works(&mut client, &mut probe);
            }
        }
    }
}

#[test]
fn what_may_change_in_the_second_hello_may_change() {
    let changes: [fn(Hello) -> Hello; 5] = [
        |hello| hello,
        |hello| hello.with(PADDING, [0; 100]),
        |hello| hello.with(COOKIE, numbers16(&[1])),
        |hello| hello.without(PADDING),
        |hello| hello.and(PRE_SHARED_KEY, pre_shared_key(b"ticket", &[8; 32])),
    ];
    for change in changes {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        let first = Hello::new(&[])
            .with(PADDING, [0; 7])
            .with(EARLY_DATA, [])
            .with(PRE_SHARED_KEY, pre_shared_key(b"ticket", &[9; 32]));
        let mut client = Client::with_hello(first, None);
        let hello = client.hello_record();
        probe.feed(&hello).unwrap();
        let group = client.read_retry(&mut probe);
        client.retry(group);
        client.hello = change(client.hello.clone().without(EARLY_DATA).without(PRE_SHARED_KEY));
        let hello = client.hello_record();
        probe.feed(&hello).unwrap();
        client.read_flight(&mut probe, false);
        let finished = client.finish();
        probe.feed(&finished).unwrap();
        works(&mut client, &mut probe);
    }
}

#[test]
fn a_share_for_a_worse_group_goes_before_a_round_trip() {
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    let mut client = Client::new(SECP256R1);
    client.handshake(&mut probe);
    assert_eq!(probe.server.info().group, Some(Group::Secp256r1));
    assert!(!probe.server.info().retried);
    works(&mut client, &mut probe);
}

/// RFC 8701: reserved values wherever a client may put them.
#[test]
fn grease_everywhere() {
    accepted(|hello| {
        let share = hello
            .extensions
            .iter()
            .find(|extension| extension.0 == KEY_SHARE)
            .unwrap();
        let public = share.1[6..].to_vec();
        let mut hello = hello
            .with(SUPPORTED_VERSIONS, [6, 0x3a, 0x3a, 3, 4, 3, 3])
            .with(SUPPORTED_GROUPS, numbers16(&[0x4a4a, X25519, SECP256R1]))
            .with(SIGNATURE_ALGORITHMS, numbers16(&[0x5a5a, 0x0403]))
            .with(KEY_SHARE, key_shares(&[(0x4a4a, &[0]), (X25519, &public)]))
            .and(0x6a6a, [])
            .and(0x7a7a, [0]);
        hello.suites.insert(0, 0x0a0a);
        hello.extensions.insert(0, (0xfafa, vec![]));
        hello
    });
}

#[test]
fn unknown_things_are_ignored() {
    // An unknown PSK is no reason to refuse (RFC 8446 §4.2.11), nor are unknown extensions, however many.
    accepted(|hello| hello.with(PRE_SHARED_KEY, pre_shared_key(b"who are you", &[1; 48])));
    accepted(|hello| (1000..4000).fold(hello, |hello, kind| hello.and(kind, [])));
    // The old fields say what they like (§4.1.2); record versions, too (§5.1).
    accepted(|hello| hello.changed(|hello| hello.version = 0x0301));
    accepted(|hello| hello.changed(|hello| hello.version = 0x0304));
    accepted(|hello| hello.without(SERVER_NAME));
    accepted(|hello| hello.with(SUPPORTED_VERSIONS, [12, 3, 0, 3, 1, 3, 2, 3, 3, 0x7f, 0x1c, 3, 4]));
    for minor in [0, 1, 2, 3, 4, 255] {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        let mut client = Client::new(X25519);
        let mut hello = client.hello_record();
        hello[2] = minor;
        probe.feed(&hello).unwrap();
        client.read_flight(&mut probe, true);
        let finished = client.finish();
        probe.feed(&finished).unwrap();
        works(&mut client, &mut probe);
    }
}

#[test]
fn early_data_is_skipped_with_and_without_a_retry() {
    for retry in [false, true] {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        let psk = pre_shared_key(b"another server's ticket", &[1; 32]);
        let mut client = if retry {
            Client::with_hello(Hello::new(&[]), None)
        } else {
            Client::new(X25519)
        };
        client.hello = client.hello.clone().with(EARLY_DATA, []).with(PRE_SHARED_KEY, psk);
        // The server has no key for these: one large record, some small ones.
        let early = [
            record(23, &[0x5a; 16401]),
            record(23, &[0x5a; 17]),
            record(23, &[0x5a; 700]),
        ]
        .concat();
        let hello = client.hello_record();
        probe.feed(&[&hello[..], &record(20, &[1]), &early].concat()).unwrap();
        if retry {
            let group = client.read_retry(&mut probe);
            client.retry(group);
            client.hello = client.hello.clone().without(EARLY_DATA);
            let hello = client.hello_record();
            probe.feed(&hello).unwrap();
        }
        client.read_flight(&mut probe, !retry);
        let finished = client.finish();
        probe.feed(&finished).unwrap();
        works(&mut client, &mut probe);
    }
}

#[test]
fn a_hello_in_fragments_of_every_size() {
    for size in 1..64 {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        let mut client = Client::new(X25519);
        let hello = client.hello_record();
        for piece in hello[5..].chunks(size) {
            probe.feed(&record(22, piece)).unwrap();
        }
        client.read_flight(&mut probe, true);
        let finished = client.finished.clone();
        for piece in finished.chunks(size) {
            let piece = client.seal(22, piece);
            probe.feed(&piece).unwrap();
        }
        client.write = client.traffic.take();
        works(&mut client, &mut probe);
    }
}

#[test]
fn a_hello_as_long_as_the_buffer_takes() {
    let length = |hello: &Hello| hello.message().len();
    accepted(|hello| {
        let rest = 16384 - length(&hello) - 4;
        hello.with(PADDING, vec![0; rest])
    });
}

#[test]
fn padding_inside_records_is_taken_off() {
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    let mut client = Client::new(X25519);
    client.hello(&mut probe);
    let padded = [&client.finished[..], &[22], &[0; 500]].concat();
    let record = client.seal_inner(&padded);
    probe.feed(&record).unwrap();
    client.write = client.traffic.take();
    for (text, zeros) in [(0, 16384), (1, 16383), (16384, 0), (16383, 1), (5, 0), (0, 0)] {
        let inner = [&vec![7; text][..], &[23], &vec![0; zeros]].concat();
        let record = client.seal_inner(&inner);
        assert_eq!(probe.feed(&record), Ok(Progress::NeedInput));
        assert_eq!(std::mem::take(&mut probe.data), vec![7; text]);
    }
    // A whole message in a record with as much padding as fits.
    let inner = [&message(24, &[0])[..], &[22], &[0; 16379]].concat();
    let record = client.seal_inner(&inner);
    assert_eq!(probe.feed(&record), Ok(Progress::NeedInput));
    client.write.as_mut().unwrap().update();
    works(&mut client, &mut probe);
}

#[test]
fn the_outbound_buffer_may_be_as_small_as_flight_len_says() {
    let pki = postern_peers::pki();
    for size in (0..40).chain([1000, 15_000, 16_000, 16_384, 17_000, 40_000, 64_000]) {
        let filler = vec![0x30; size];
        let chain = [&pki.server[..], &filler];
        for suite in CipherSuite::TLS13 {
            for groups in [&Group::ALL[..], &[Group::Secp256r1, Group::X25519]] {
                let suites = [suite];
                let identities = [Identity::new(&chain, &pki.key).unwrap()];
                let config = ServerConfig::new(&identities, clock())
                    .unwrap()
                    .with_suites(&suites)
                    .with_groups(groups);
                let least = config.flight_len().max(MIN_OUTBOUND);
                let mut buffers = Buffers::sized(FULL_INBOUND, least);
                let mut probe = Probe::new(config, &mut buffers);
                let mut client = Client::new(SECP256R1);
                client.handshake(&mut probe);
                works(&mut client, &mut probe);

                let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; least - 1]);
                assert_eq!(
                    Connection::server(config, &mut inbound, &mut outbound).err(),
                    Some(ConfigError::OutboundTooSmall(least))
                );
            }
        }
    }
}

#[test]
fn configurations_that_cannot_serve() {
    let pki = postern_peers::pki();
    assert_eq!(ServerConfig::new(&[], clock()).err(), Some(ConfigError::NoCertificate));
    assert_eq!(Identity::new(&[], &pki.key).err(), Some(ConfigError::NoCertificate));
    let long = vec![0x30; 0xffff - 4];
    assert_eq!(
        Identity::new(&[&long[..]], &pki.key).err(),
        Some(ConfigError::ChainTooLong)
    );
    Identity::new(&[&long[1..]], &pki.key).unwrap();
    let (mut inbound, mut outbound) = (vec![0; MIN_INBOUND - 1], vec![0; 17000]);
    assert_eq!(
        Connection::server(server_config(), &mut inbound, &mut outbound).err(),
        Some(ConfigError::InboundTooSmall(MIN_INBOUND))
    );
}

/// A handshake of ours with ours over buffers of `inbound` bytes; how each end stands after it.
fn between_ours(client: ClientConfig<'_>, server: ServerConfig<'_>, inbound: usize) -> [Result<Progress, Error>; 2] {
    let mut buffers = [0; 4].map(|_: u8| vec![0; inbound.max(80_000)]);
    let [client_in, client_out, server_in, server_out] = &mut buffers;
    let mut rngs = [postern_peers::rng(1), postern_peers::rng(2)];
    let mut ends = [
        Connection::client(client, &mut client_in[..inbound], client_out, &mut rngs[0]).unwrap(),
        Connection::server(server, &mut server_in[..inbound], server_out).unwrap(),
    ];
    let mut results = [Ok(Progress::NeedInput); 2];
    loop {
        let mut moved = false;
        for (from, to) in [(0, 1), (1, 0)] {
            let mut wire = ends[from].pending().to_vec();
            ends[from].sent(wire.len());
            while !wire.is_empty() && results[to].is_ok() {
                let space = ends[to].space();
                let count = space.len().min(wire.len());
                space[..count].copy_from_slice(&wire[..count]);
                wire.drain(..count);
                ends[to].received(count);
                results[to] = ends[to].advance(&mut rngs[to]);
                moved = true;
            }
        }
        if !moved {
            let done = ends.iter().all(|end| !end.is_handshaking());
            assert_eq!(done, results.iter().all(Result::is_ok));
            return results;
        }
    }
}

#[test]
fn chains_above_16_kib_need_a_larger_buffer() {
    let world = of(Kind::P256);
    let names = |params: &mut rcgen::CertificateParams| {
        params.subject_alt_names.extend((0..600).map(|number| {
            let name = format!("host-{number:03}.department.of-some.organization.example");
            rcgen::SanType::DnsName(name.try_into().unwrap())
        }));
    };
    let [server, somebody] =
        ["localhost", "client.test"].map(|name| world.authority.issue_with(Kind::P256, name, names));
    let length = server.chain[0].len();
    assert!((24_000..32_000).contains(&length), "{length}");
    let trust = world.authority.trust();
    for versions in [Versions::Tls13, Versions::Tls12] {
        let client = ClientConfig::new(trust, Some(ServerName::Dns("localhost")), clock()).with_versions(versions);
        let required = |config: ServerConfig<'static>| config.with_client_auth(ClientAuth::Required(trust));
        let (short, long) = (world.server.server(), server.server());
        let both = (client.with_identity(somebody.identity()), required(long));
        let inbound = FULL_INBOUND + 32_000;
        let done = [Ok(Progress::NeedInput); 2];
        assert_eq!(between_ours(client, long, inbound), done, "{versions:?}");
        assert_eq!(between_ours(both.0, both.1, inbound), done, "{versions:?}");
        // With the usual buffer it is refused at its header, either way.
        for (client, server, refusing) in [
            (client, long, 0),
            (client.with_identity(somebody.identity()), required(short), 1),
        ] {
            let results = between_ours(client, server, FULL_INBOUND);
            match results[refusing] {
                Err(Error::InvalidMessage(InvalidMessage::HandshakeTooLong {
                    kind: HandshakeType::CERTIFICATE,
                    length,
                    limit: 16384,
                })) if length > 24_000 => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn long_protocols_and_server_names_are_reported_whole() {
    // RFC 7301 §3.1: up to 255 bytes, and these differ in the last one.
    let long: [[u8; 255]; 2] = [
        [b'p'; 255],
        core::array::from_fn(|at| if at < 254 { b'p' } else { b'q' }),
    ];
    let (first, second): ([&[u8]; 1], [&[u8]; 2]) = ([&long[1]], [&long[0], &long[1]]);
    // RFC 1035 §2.3.4: a name has at most 253 characters, in labels of at most 63.
    let name = [
        ["x"; 63].concat(),
        ["y"; 63].concat(),
        ["z"; 63].concat(),
        ["t"; 61].concat(),
    ]
    .join(".");
    assert_eq!(name.len(), 253);
    for versions in [Versions::Tls13, Versions::Tls12] {
        let client = client_alerts::client().with_versions(versions).with_protocols(&first);
        let client = client.with_name(Some(ServerName::Dns(&name)));
        let server = client_alerts::server().with_protocols(&second);
        let server_name = |change: &dyn Fn(&mut Vec<u8>)| {
            between(client, server, |middle| {
                middle.forge = true;
                let change = client_hello(|list| {
                    let found = list.iter_mut().find(|(kind, _)| *kind == SERVER_NAME);
                    change(&mut found.unwrap().1);
                });
                middle.run(|(from_client, _), item| match item.kind() {
                    Some(1) if from_client => vec![item.map(&change)],
                    _ => vec![item],
                });
                let info = middle.server.connection.info();
                assert_eq!(info.protocol, Some(&long[1][..]), "{versions:?}");
                // The client goes by the certificate, which is for another name; it has learned the protocol before.
                assert!(middle.client.result.is_err());
                assert_eq!(middle.client.connection.info().protocol, Some(&long[1][..]));
                info.server_name.unwrap().as_str().to_owned()
            })
        };
        assert_eq!(server_name(&|_| {}), name);
        // What is no DNS name is escaped, and cut visibly where it is too long.
        assert_eq!(
            server_name(&|body| *body = hello::server_name(b"a\xff\"b")),
            "a\\xff\\\"b"
        );
        let cut = server_name(&|body| *body = hello::server_name(&[b'x'; 256]));
        assert_eq!(cut, ["x"; 252].concat() + "…");
    }
}
