//! RFC 8448's example handshakes, byte for byte: schedule, records, messages.

mod traces;

use p256::ecdsa::signature::Verifier as _;

use super::codec::Writer;
use super::config::{Identity, ServerConfig};
use super::connection::{Connection, Progress};
use super::error::{Error, PeerMisbehaved};
use super::inbound::MIN_INBOUND;
use super::msg::certificate::CertificateTls13;
use super::msg::client_hello::ClientHello;
use super::msg::{Emit, Finished, HANDSHAKE_HEADER_LEN};
use super::record::{HEADER_LEN, Header, Protected, RecordKey};
use super::registry::{ContentType, ProtocolVersion};
use super::schedule::{KeySchedule, TrafficSecret};
use super::transcript::Transcript;
use crate::crypto::kx::Group;
use crate::crypto::suite::CipherSuite;
use crate::support::{Script, unhex};
use traces::{client_auth, compatible, retry, simple};

const SUITE: CipherSuite = CipherSuite::Aes128GcmSha256;

/// The servers' ephemeral private keys.
const SIMPLE_PRIVATE: &str = "b1580eeadf6dd589b8ef4f2d5652578cc810e9980191ec8d058308cea216a21e";
const RETRY_PRIVATE: &str = "8c510601f9765bfb8ed693449a48989859b5cfa879cb9f5443c41c5ff10634ed";
const CLIENT_AUTH_PRIVATE: &str = "7382a5ad1cdd2056ae18cc708bd007d98130dbe2cd4d9ead9b96952becbb0888";
const COMPATIBLE_PRIVATE: &str = "017c38a3647921ca2d9ed6bd7ae7132b94211b1331bb208c8ccdd51556409995";

/// `content` of the application data records in §3.
fn content() -> Vec<u8> {
    (0..=0x31).collect()
}

/// The handshake message of an unprotected record.
fn message(record: &str) -> Vec<u8> {
    unhex(record).split_off(HEADER_LEN)
}

/// Everything that follows from the two hellos of a trace.
struct Secrets {
    transcript: Transcript,
    schedule: KeySchedule,
    client: TrafficSecret,
    server: TrafficSecret,
}

/// Runs the schedule up to the handshake's traffic secrets; `retry` is the first ClientHello and the retry request.
fn secrets(private: &str, group: Group, retry: Option<[&str; 2]>, client_hello: &str, server_hello: &str) -> Secrets {
    let client_hello = message(client_hello);
    let hello = ClientHello::parse(&client_hello[HANDSHAKE_HEADER_LEN..]).unwrap();
    let public = hello.key_shares.unwrap().get(group.id()).unwrap();
    let (_, shared) = group.respond(public, &mut Script(unhex(private))).unwrap();
    let mut transcript = Transcript::with(SUITE.hash());
    if let Some([first, request]) = retry {
        transcript.add(&message(first));
        transcript.replace_by_message_hash(SUITE.hash()).unwrap();
        transcript.add(&message(request));
    }
    transcript.add(&client_hello);
    transcript.add(&message(server_hello));
    let hash = transcript.hash(SUITE.hash()).unwrap();
    let schedule = KeySchedule::early(SUITE, None).handshake(shared.as_ref()).unwrap();
    Secrets {
        client: schedule.traffic("c hs traffic", &hash).unwrap(),
        server: schedule.traffic("s hs traffic", &hash).unwrap(),
        schedule,
        transcript,
    }
}

fn open(key: &mut RecordKey, record: &[u8]) -> (ContentType, Vec<u8>) {
    let mut record = record.to_vec();
    let header = Header::parse(&record, Protected::Tls13).unwrap().unwrap();
    let payload = &mut record[HEADER_LEN..];
    assert_eq!(payload.len(), header.length);
    let (content, range) = key.open(header, payload).unwrap();
    (content, payload[range].to_vec())
}

fn seal(key: &mut RecordKey, content: ContentType, text: &[u8]) -> Vec<u8> {
    let mut record = vec![0; HEADER_LEN + text.len() + key.overhead()];
    record[HEADER_LEN..][..text.len()].copy_from_slice(text);
    key.seal(content, text.len(), &mut record).unwrap();
    record
}

/// The handshake messages that stand one after the other in `bytes`.
fn messages(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let [_, high, middle, low, ..] = *bytes {
        let length = HANDSHAKE_HEADER_LEN + usize::from(high) * 65536 + usize::from(middle) * 256 + usize::from(low);
        let (message, rest) = bytes.split_at(length);
        messages.push(message);
        bytes = rest;
    }
    messages
}

fn expanded(secret: &TrafficSecret, label: &str, length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    secret.expand(label, &mut out).unwrap();
    out
}

#[test]
fn every_secret_and_key_of_the_simple_handshake() {
    let mut secrets = secrets(
        SIMPLE_PRIVATE,
        Group::X25519,
        None,
        simple::CLIENT_HELLO,
        simple::SERVER_HELLO,
    );
    assert_eq!(
        KeySchedule::early(SUITE, None).as_bytes(),
        unhex("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a")
    );
    assert_eq!(
        secrets.transcript.hash(SUITE.hash()).unwrap().as_ref(),
        unhex("860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8")
    );
    assert_eq!(
        secrets.schedule.as_bytes(),
        unhex("1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac")
    );
    assert_eq!(
        secrets.client.as_bytes(),
        unhex("b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21")
    );
    assert_eq!(
        secrets.server.as_bytes(),
        unhex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
    );
    assert_eq!(
        expanded(&secrets.server, "key", 16),
        unhex("3fce516009c21727d0f2e4e86ee403bc")
    );
    assert_eq!(expanded(&secrets.server, "iv", 12), unhex("5d313eb2671276ee13000b30"));
    assert_eq!(
        expanded(&secrets.client, "key", 16),
        unhex("dbfaa693d1762c5b666af5d950258d01")
    );
    assert_eq!(expanded(&secrets.client, "iv", 12), unhex("5bd3c71b836e0b76bb73265f"));

    for message in [simple::ENCRYPTED_EXTENSIONS, simple::CERTIFICATE] {
        secrets.transcript.add(&unhex(message));
    }
    let signed = unhex(simple::SIGNED);
    assert_eq!(
        secrets.transcript.hash(SUITE.hash()).unwrap().as_ref(),
        &signed[signed.len() - 32..]
    );
    secrets.transcript.add(&unhex(simple::CERTIFICATE_VERIFY));
    let finished = unhex(simple::FINISHED);
    let verify_data = &finished[HANDSHAKE_HEADER_LEN..];
    let hash = secrets.transcript.hash(SUITE.hash()).unwrap();
    assert_eq!(secrets.server.verify_data(&hash).unwrap().as_ref(), verify_data);
    assert_eq!(secrets.server.is_finished(&hash, verify_data), Ok(true));
    assert_eq!(secrets.client.is_finished(&hash, verify_data), Ok(false));
    assert_eq!(secrets.server.is_finished(&hash, &verify_data[..31]), Ok(false));

    secrets.transcript.add(&finished);
    let hash = secrets.transcript.hash(SUITE.hash()).unwrap();
    assert_eq!(
        secrets.client.verify_data(&hash).unwrap().as_ref(),
        unhex("a8ec436d677634ae525ac1fcebe11a039ec17694fac6e98527b642f2edd5ce61")
    );
    let master = secrets.schedule.master().unwrap();
    assert_eq!(
        master.as_bytes(),
        unhex("18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919")
    );
    let client = master.traffic("c ap traffic", &hash).unwrap();
    let server = master.traffic("s ap traffic", &hash).unwrap();
    assert_eq!(
        client.as_bytes(),
        unhex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5")
    );
    assert_eq!(
        server.as_bytes(),
        unhex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643")
    );
    assert_eq!(expanded(&client, "key", 16), unhex("17422dda596ed5d9acd890e3c63f5051"));
    assert_eq!(expanded(&client, "iv", 12), unhex("5b78923dee08579033e523d9"));
    assert_eq!(expanded(&server, "key", 16), unhex("9f02283b6c9c07efc26bb9f2ac92e356"));
    assert_eq!(expanded(&server, "iv", 12), unhex("cf782b88dd83549aadf1e984"));
}

#[test]
fn every_record_of_the_simple_handshake() {
    let mut secrets = secrets(
        SIMPLE_PRIVATE,
        Group::X25519,
        None,
        simple::CLIENT_HELLO,
        simple::SERVER_HELLO,
    );
    let flight = [
        simple::ENCRYPTED_EXTENSIONS,
        simple::CERTIFICATE,
        simple::CERTIFICATE_VERIFY,
        simple::FINISHED,
    ]
    .map(unhex)
    .concat();
    let key = || RecordKey::new(secrets.server.clone()).unwrap();
    assert_eq!(
        open(&mut key(), &unhex(simple::SERVER_FLIGHT)),
        (ContentType::HANDSHAKE, flight.clone())
    );
    assert_eq!(
        seal(&mut key(), ContentType::HANDSHAKE, &flight),
        unhex(simple::SERVER_FLIGHT)
    );

    secrets.transcript.add(&flight);
    let hash = secrets.transcript.hash(SUITE.hash()).unwrap();
    let mut finished = vec![20, 0, 0, 32];
    finished.extend_from_slice(secrets.client.verify_data(&hash).unwrap().as_ref());
    let mut key = RecordKey::new(secrets.client).unwrap();
    assert_eq!(
        seal(&mut key, ContentType::HANDSHAKE, &finished),
        unhex(simple::CLIENT_FINISHED)
    );

    let master = secrets.schedule.master().unwrap();
    let sides = [("c ap traffic", false), ("s ap traffic", true)];
    for (label, is_server) in sides {
        let secret = master.traffic(label, &hash).unwrap();
        let mut opener = RecordKey::new(secret.clone()).unwrap();
        let mut sealer = RecordKey::new(secret).unwrap();
        if is_server {
            let (content, ticket) = open(&mut opener, &unhex(simple::TICKET));
            assert_eq!((content, ticket[0]), (ContentType::HANDSHAKE, 4));
            assert_eq!(seal(&mut sealer, content, &ticket), unhex(simple::TICKET));
        }
        let (data, close) = if is_server {
            (simple::SERVER_DATA, simple::SERVER_CLOSE)
        } else {
            (simple::CLIENT_DATA, simple::CLIENT_CLOSE)
        };
        assert_eq!(
            open(&mut opener, &unhex(data)),
            (ContentType::APPLICATION_DATA, content())
        );
        assert_eq!(
            seal(&mut sealer, ContentType::APPLICATION_DATA, &content()),
            unhex(data)
        );
        assert_eq!(open(&mut opener, &unhex(close)), (ContentType::ALERT, vec![1, 0]));
        assert_eq!(seal(&mut sealer, ContentType::ALERT, &[1, 0]), unhex(close));
    }
}

#[test]
fn every_record_after_a_retry() {
    let mut secrets = secrets(
        RETRY_PRIVATE,
        Group::Secp256r1,
        Some([retry::CLIENT_HELLO, retry::HELLO_RETRY_REQUEST]),
        retry::SECOND_CLIENT_HELLO,
        retry::SERVER_HELLO,
    );
    let mut key = RecordKey::new(secrets.server.clone()).unwrap();
    let (content, flight) = open(&mut key, &unhex(retry::SERVER_FLIGHT));
    assert_eq!(content, ContentType::HANDSHAKE);
    let [extensions, certificate, verify, finished] = messages(&flight)[..] else {
        panic!("four messages")
    };
    secrets.transcript.add(extensions);
    secrets.transcript.add(certificate);
    let signed = unhex(retry::SIGNED);
    assert_eq!(
        secrets.transcript.hash(SUITE.hash()).unwrap().as_ref(),
        &signed[signed.len() - 32..]
    );
    secrets.transcript.add(verify);
    let verify_data = secrets
        .server
        .verify_data(&secrets.transcript.hash(SUITE.hash()).unwrap())
        .unwrap();
    assert_eq!(verify_data.as_ref(), &finished[HANDSHAKE_HEADER_LEN..]);
    secrets.transcript.add(finished);

    let hash = secrets.transcript.hash(SUITE.hash()).unwrap();
    let mut finished = vec![20, 0, 0, 32];
    finished.extend_from_slice(secrets.client.verify_data(&hash).unwrap().as_ref());
    let mut key = RecordKey::new(secrets.client).unwrap();
    assert_eq!(
        seal(&mut key, ContentType::HANDSHAKE, &finished),
        unhex(retry::CLIENT_FINISHED)
    );
    let master = secrets.schedule.master().unwrap();
    for (label, close) in [
        ("c ap traffic", retry::CLIENT_CLOSE),
        ("s ap traffic", retry::SERVER_CLOSE),
    ] {
        let mut key = RecordKey::new(master.traffic(label, &hash).unwrap()).unwrap();
        assert_eq!(seal(&mut key, ContentType::ALERT, &[1, 0]), unhex(close));
    }
}

#[test]
fn the_ecdsa_signature_of_the_client_authentication_handshake() {
    let mut secrets = secrets(
        CLIENT_AUTH_PRIVATE,
        Group::X25519,
        None,
        client_auth::CLIENT_HELLO,
        client_auth::SERVER_HELLO,
    );
    let mut key = RecordKey::new(secrets.server.clone()).unwrap();
    let (_, flight) = open(&mut key, &unhex(client_auth::SERVER_FLIGHT));
    let certificate = unhex(client_auth::CERTIFICATE);
    let before = [
        unhex(client_auth::ENCRYPTED_EXTENSIONS),
        unhex(client_auth::CERTIFICATE_REQUEST),
        certificate.clone(),
    ]
    .concat();
    let verify = unhex(client_auth::CERTIFICATE_VERIFY);
    let finished = unhex(client_auth::FINISHED);
    assert_eq!(flight, [before.clone(), verify.clone(), finished.clone()].concat());

    // The P-256 public key stands at the end of a SubjectPublicKeyInfo: BIT STRING, 66 bytes, none unused, a point.
    let at = certificate
        .windows(4)
        .position(|window| window == [0x03, 0x42, 0x00, 0x04])
        .unwrap();
    let public = p256::ecdsa::VerifyingKey::from_sec1_bytes(&certificate[at + 3..][..65]).unwrap();
    secrets.transcript.add(&before);
    let mut signed = vec![0x20; 64];
    signed.extend_from_slice(b"TLS 1.3, server CertificateVerify\0");
    signed.extend_from_slice(secrets.transcript.hash(SUITE.hash()).unwrap().as_ref());
    assert_eq!(verify[HANDSHAKE_HEADER_LEN..][..2], [0x04, 0x03]);
    let signature = p256::ecdsa::DerSignature::try_from(&verify[HANDSHAKE_HEADER_LEN + 4..]).unwrap();
    public.verify(&signed, &signature).unwrap();

    secrets.transcript.add(&verify);
    let verify_data = secrets
        .server
        .verify_data(&secrets.transcript.hash(SUITE.hash()).unwrap())
        .unwrap();
    assert_eq!(verify_data.as_ref(), &finished[HANDSHAKE_HEADER_LEN..]);
}

/// Feeds `input`, all at once, and returns what the server answers.
fn answer(server: &mut Connection<'_>, rng: &mut Script, input: &str) -> Result<Vec<u8>, Error> {
    let input = unhex(input);
    server.space()[..input.len()].copy_from_slice(&input);
    server.received(input.len());
    assert_eq!(server.advance(rng)?, Progress::NeedInput);
    let output = server.pending().to_vec();
    server.sent(output.len());
    Ok(output)
}

/// A server whose generator is prepared to give the `private` key first, then the random of `server_hello`.
fn with_server(
    groups: &[Group],
    private: &str,
    server_hello: &str,
    test: impl FnOnce(&mut Connection<'_>, &mut Script),
) {
    let key = crate::crypto::key::SigningKey::EcdsaP256(p256::ecdsa::SigningKey::from_slice(&[1; 32]).unwrap());
    // The certificate is not verified here.
    let chain: [&[u8]; 1] = [&[0x30, 0]];
    let identities = [Identity::new(&chain, &key).unwrap()];
    let clock = crate::pki::verify::Clock::default();
    let config = ServerConfig::new(&identities, clock).unwrap().with_groups(groups);
    let (mut inbound, mut outbound) = (vec![0; MIN_INBOUND], vec![0; config.flight_len()]);
    let mut server = Connection::server(config, &mut inbound, &mut outbound).unwrap();
    let random = &message(server_hello)[HANDSHAKE_HEADER_LEN + 2..][..32];
    let mut rng = Script([&unhex(private)[..], random].concat());
    test(&mut server, &mut rng);
}

#[test]
fn our_server_answers_the_simple_client_hello_with_the_same_server_hello() {
    with_server(&Group::ALL, SIMPLE_PRIVATE, simple::SERVER_HELLO, |server, rng| {
        let output = answer(server, rng, simple::CLIENT_HELLO).unwrap();
        let expected = unhex(simple::SERVER_HELLO);
        assert_eq!(output[..expected.len()], expected);
        // Both hellos are those of the trace, so the handshake keys are, too.
        let secrets = secrets(
            SIMPLE_PRIVATE,
            Group::X25519,
            None,
            simple::CLIENT_HELLO,
            simple::SERVER_HELLO,
        );
        let mut key = RecordKey::new(secrets.server).unwrap();
        let (content, flight) = open(&mut key, &output[expected.len()..]);
        assert_eq!(content, ContentType::HANDSHAKE);
        let kinds: Vec<u8> = messages(&flight).iter().map(|message| message[0]).collect();
        assert_eq!(kinds, [8, 11, 15, 20]);
        // The trace's client signs off another flight than ours.
        assert_eq!(
            answer(server, rng, simple::CLIENT_FINISHED),
            Err(PeerMisbehaved::WrongFinished.into())
        );
        assert!(server.is_handshaking());
    });
}

#[test]
fn our_server_answers_in_the_compatibility_mode_as_the_trace_does() {
    with_server(
        &Group::ALL,
        COMPATIBLE_PRIVATE,
        compatible::SERVER_HELLO,
        |server, rng| {
            let output = answer(server, rng, compatible::CLIENT_HELLO).unwrap();
            let mut expected = unhex(compatible::SERVER_HELLO);
            // The change_cipher_spec, and the header's first bytes of what follows.
            expected.extend_from_slice(&unhex(compatible::SERVER_FLIGHT)[..HEADER_LEN + 1 + 3]);
            assert_eq!(output[..expected.len()], expected);
            // The client's change_cipher_spec is dropped; its Finished is that of another flight.
            assert_eq!(
                answer(server, rng, compatible::CLIENT_FINISHED),
                Err(PeerMisbehaved::WrongFinished.into())
            );
        },
    );
}

#[test]
fn our_server_retries_as_the_trace_does_but_for_the_cookie() {
    with_server(
        &[Group::Secp256r1],
        RETRY_PRIVATE,
        retry::SERVER_HELLO,
        |server, rng| {
            let mut expected = unhex(retry::HELLO_RETRY_REQUEST);
            let cookie = 4 + 0x74;
            let at = expected.len() - 6 - cookie;
            assert_eq!(expected[at..at + 4], [0, 44, 0, 0x74]);
            expected.drain(at..at + cookie);
            // The lengths of the record, the message and the extensions.
            for low in [4, 8, HEADER_LEN + HANDSHAKE_HEADER_LEN + 2 + 32 + 1 + 2 + 1 + 1] {
                expected[low] -= cookie as u8;
            }
            assert_eq!(answer(server, rng, retry::CLIENT_HELLO).unwrap(), expected);
            // The trace's second hello holds a cookie that we did not give and padding that was not there: both may change.
            let output = answer(server, rng, retry::SECOND_CLIENT_HELLO).unwrap();
            let expected = unhex(retry::SERVER_HELLO);
            assert_eq!(output[..expected.len()], expected);
        },
    );
}

#[test]
fn client_hellos_are_read_as_they_stand() {
    let bytes = message(simple::CLIENT_HELLO);
    let hello = ClientHello::parse(&bytes[HANDSHAKE_HEADER_LEN..]).unwrap();
    assert_eq!(hello.legacy_version, ProtocolVersion::TLS12);
    assert_eq!(hello.random[..4], [0xcb, 0x34, 0xec, 0xb1]);
    assert_eq!(hello.session_id, []);
    assert_eq!(hello.cipher_suites.iter().collect::<Vec<_>>(), [0x1301, 0x1303, 0x1302]);
    assert_eq!(hello.compression_methods, [0]);
    assert_eq!(hello.server_name, Some(&b"server"[..]));
    assert_eq!(
        hello.supported_groups.unwrap().iter().collect::<Vec<_>>(),
        [0x1d, 0x17, 0x18, 0x19, 0x100, 0x101, 0x102, 0x103, 0x104]
    );
    assert_eq!(hello.signature_algorithms.unwrap().iter().count(), 15);
    assert_eq!(hello.supported_versions.unwrap().iter().collect::<Vec<_>>(), [0x0304]);
    assert!(hello.psk_dhe_ke() && hello.psks.is_none() && !hello.early_data);
    assert_eq!(hello.record_size_limit, Some(0x4001));
    let shares: Vec<_> = hello.key_shares.unwrap().iter().collect();
    assert_eq!(shares.len(), 1);
    assert_eq!((shares[0].0, shares[0].1.len()), (0x1d, 32));

    // Every proper beginning of it is refused, and so is a byte too many.
    let body = &bytes[HANDSHAKE_HEADER_LEN..];
    for length in 0..body.len() {
        let cut = ClientHello::parse(&body[..length]);
        // Without the extensions it is a whole ClientHello of older versions.
        assert_eq!(cut.is_ok(), length == 2 + 32 + 1 + 2 + 6 + 2, "{length}");
    }
    assert!(ClientHello::parse(&[body, &[0]].concat()).is_err());
}

#[test]
fn what_we_write_is_what_the_trace_holds() {
    let certificate = unhex(simple::CERTIFICATE);
    // Header, context, list length, entry length; extensions.
    let der = &certificate[HANDSHAKE_HEADER_LEN + 1 + 3 + 3..certificate.len() - 2];
    let mut buffer = [0; 1024];
    let mut writer = Writer::new(&mut buffer);
    let chain = [der];
    let sent = CertificateTls13 {
        context: &[],
        chain: (&chain).into(),
    };
    sent.emit(&mut writer).unwrap();
    assert_eq!(writer.since(0), Ok(&certificate[..]));
    let finished = unhex(simple::FINISHED);
    let mut writer = Writer::new(&mut buffer);
    let sent = Finished {
        verify_data: &finished[HANDSHAKE_HEADER_LEN..],
    };
    sent.emit(&mut writer).unwrap();
    assert_eq!(writer.since(0), Ok(&finished[..]));
}
