use super::super::registry::ConnectionState;
use super::*;
use crate::crypto::key::SigningKey;
use crate::endpoint::traces::Slot;
use crate::net::fake::connection;
use crate::testing::Script;
use crate::testing::block_on;
use crate::tls::Identity;
use embedded_io_async::Read as _;
use std::vec::Vec;

/// What a worker answers to a peer that sends `hello` and FIN, how it counts that, and the state of the connection.
fn answer(hello: &[u8]) -> (Vec<u8>, &'static str, ConnectionState) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_string()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let chain = [&certificate.der()[..]];
    let key = SigningKey::from_der("PRIVATE KEY", &key.serialize_der()).unwrap();
    let identities = [Identity::new(&chain, &key).unwrap()];
    let config = ServerConfig::new(&identities, Clock::default()).unwrap();
    let (mut inbound, mut outbound) = (vec![0; INBOUND], vec![0; 17_000]);
    let mut worker = TlsWorker::new(config, Clock::default, &mut inbound, &mut outbound, Script(vec![])).unwrap();
    let (mut peer, mut stream) = connection(40_000, 10007, 65_536);
    peer.say(hello);
    peer.shutdown();
    let entry = Entry::new();
    let _guard = entry.occupy(Kind::Tls, 10007, stream.peer());
    let accepted = block_on(worker.accept(&mut stream, &entry, None, Instant::MAX));
    let Err(HandshakeError::Failed(error)) = accepted else {
        panic!("a handshake that came about, or timed out");
    };
    let mut said = vec![0; 100];
    stream.shutdown();
    let count = block_on(peer.read(&mut said)).unwrap();
    said.truncate(count);
    (
        said,
        <TlsWorker<'_, Script> as TlsAcceptor<crate::net::fake::Stream>>::cause(&error),
        entry.state(),
    )
}

#[test]
fn failures_are_alerted_and_counted_by_their_kind() {
    let alert = |description| vec![21, 3, 3, 0, 2, 2, description];
    let http = answer(b"GET / HTTP/1.1\r\nHost: postern\r\n\r\n");
    assert_eq!(http, (alert(10), "HTTP on a TLS port", ConnectionState::Handshake));
    assert_eq!(answer(&[0x80; 64]), (alert(10), "not TLS", ConnectionState::Handshake));
    assert_eq!(
        answer(&[22, 3, 1, 0, 200, 1]),
        (vec![], "no close_notify", ConnectionState::Handshake)
    );
    assert_eq!(answer(b""), (vec![], "no close_notify", ConnectionState::Silent));
}

#[test]
fn a_worker_overwrites_its_buffers_and_the_page() {
    let key = rcgen::KeyPair::generate().unwrap();
    let key = SigningKey::from_der("PRIVATE KEY", &key.serialize_der()).unwrap();
    let chain: [&[u8]; 1] = [&[0; 500]];
    let identities = [Identity::new(&chain, &key).unwrap()];
    let config = ServerConfig::new(&identities, Clock::default()).unwrap();
    let (mut inbound, mut outbound) = (vec![1; INBOUND], vec![1; 17_000]);
    let mut worker = TlsWorker::new(config, Clock::default, &mut inbound, &mut outbound, Script(vec![])).unwrap();
    let pages = Traces::new(Vec::leak(vec![Slot::new(Vec::leak(vec![0; 2000]))]));
    let pages: &'static Traces = Box::leak(Box::new(pages));
    pages.switch(true);
    worker.narrators.page = pages.begin(connection(40_000, 443, 1).1.peer(), Some(443));
    assert!(pages.next(0).is_some());
    TlsAcceptor::<crate::net::fake::Stream>::wipe(&mut worker);
    assert!(pages.next(0).is_none());
    assert!(inbound.iter().chain(&outbound).all(|byte| *byte == 0));
}

#[test]
fn buffers_too_small_are_refused_at_the_start() {
    let key = rcgen::KeyPair::generate().unwrap();
    let key = SigningKey::from_der("PRIVATE KEY", &key.serialize_der()).unwrap();
    let chain: [&[u8]; 1] = [&[0; 500]];
    let identities = [Identity::new(&chain, &key).unwrap()];
    let config = ServerConfig::new(&identities, Clock::default()).unwrap();
    let error = TlsWorker::new(config, Clock::default, &mut [0; 100], &mut [0; 17_000], Script(vec![])).err();
    assert_eq!(error, Some(ConfigError::InboundTooSmall(crate::tls::MIN_INBOUND)));
}
