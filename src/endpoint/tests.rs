//! A TLS connection as its two ends see it.

use std::boxed::Box;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

use core::cell::Cell;

use embassy_futures::join::join;
use embassy_time::{Duration, Instant};
use embedded_io_async::{Read, Write};

use super::{Endpoint, HandshakeError};
use crate::crypto::key::SigningKey;
use crate::net::fake::{Stream, connection};
use crate::pki::verify::{Clock, Trust};
use crate::testing::{Script, block_on};
use crate::tls::{ClientConfig, Connection, FULL_INBOUND, Identity, ServerConfig};

/// 2030-01-01.
const CLOCK: Clock = Clock {
    now: 1_893_456_000,
    floor: 0,
};
const SHORT: Duration = Duration::from_millis(30);

fn random(seed: u8) -> Script {
    Script((0..2000u32).map(|n| (n * 37 + n / 7) as u8 ^ seed).collect())
}

fn buffer(len: usize) -> &'static mut [u8] {
    Vec::leak(vec![0; len])
}

/// A server of a.example and a client that trusts its CA, each with `capacity` bytes of room on the wire; when the
/// server last read.
fn ends(
    capacity: usize,
) -> (
    Endpoint<'static, Stream>,
    Endpoint<'static, Stream>,
    &'static Cell<Instant>,
) {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["a.example".to_string()]).unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap();
    let key = Box::leak(Box::new(
        SigningKey::from_der("PRIVATE KEY", &key.serialize_der()).unwrap(),
    ));
    let chain: &[&[u8]] = Vec::leak(vec![&*Vec::leak(certificate.der().to_vec())]);
    let identities = Vec::leak(vec![Identity::new(chain, key).unwrap()]);
    let config = ServerConfig::new(identities, CLOCK).unwrap();
    let server = Connection::server(config, buffer(FULL_INBOUND), buffer(17_000)).unwrap();
    let cas: &[&[u8]] = Vec::leak(vec![&*Vec::leak(ca.der().to_vec())]);
    let trust = Box::leak(Box::new(Trust::new(cas)));
    let config = ClientConfig::new(trust, None, CLOCK);
    let client = Connection::client(config, buffer(FULL_INBOUND), buffer(17_000), &mut random(2)).unwrap();
    let (near, far) = connection(40_000, 10007, capacity);
    let last_read = Box::leak(Box::new(Cell::new(Instant::MIN)));
    (
        Endpoint::new(far, server, Some(last_read)),
        Endpoint::new(near, client, None),
        last_read,
    )
}

async fn finish_handshake(server: &mut Endpoint<'_, Stream>, client: &mut Endpoint<'_, Stream>) {
    let (mut for_server, mut for_client) = (random(1), random(3));
    let handshakes = join(
        server.handshake(&mut for_server, Instant::MAX),
        client.handshake(&mut for_client, Instant::MAX),
    );
    assert_eq!(handshakes.await, (Ok(()), Ok(())));
}

#[test]
fn both_ends_finish_the_handshake_and_name_their_peer() {
    let (mut server, mut client, last_read) = ends(1 << 14);
    block_on(async {
        finish_handshake(&mut server, &mut client).await;
        assert!(last_read.get() > Instant::MIN);
        assert!(server.proof().is_none(), "no certificate was asked for");
        let proof = client.proof().unwrap().to_string();
        assert!(proof.contains(", by "), "{proof}");
        client.write_all(b"Hello").await.unwrap();
        client.close(SHORT).await;
        let mut text = [0; 9];
        assert_eq!(server.read(&mut text).await.unwrap(), 5);
        assert_eq!(server.read(&mut text).await.unwrap(), 0, "close_notify");
        assert!(server.transport().finished());
    });
}

#[test]
fn a_failed_handshake_ends_with_an_alert_and_fin_but_no_reset() {
    let (mut server, _, _) = ends(1 << 14);
    let (mut peer, stream) = connection(40_000, 10007, 1 << 14);
    *server.transport() = stream;
    peer.say("GET / HTTP/1.1\r\n");
    let result = block_on(server.handshake(&mut random(1), Instant::MAX));
    assert!(matches!(result, Err(HandshakeError::Failed(_))), "{result:?}");
    drop(server);
    let mut said = [0; 100];
    assert_eq!(block_on(peer.read(&mut said)), Ok(7));
    assert_eq!(said[..7], [21, 3, 3, 0, 2, 2, 10]);
    assert!(peer.finished() && !peer.was_reset());
}

#[test]
fn a_silent_peer_is_reset_after_the_deadline() {
    let (mut server, mut client, last_read) = ends(1 << 14);
    let result = block_on(server.handshake(&mut random(1), Instant::now() + SHORT));
    assert_eq!(result, Err(HandshakeError::TimedOut));
    assert_eq!(last_read.get(), Instant::MIN);
    drop(server);
    assert!(client.transport().was_reset());
}

#[test]
fn closing_does_not_wait_for_a_peer_that_reads_nothing() {
    let (mut server, mut client, _) = ends(1 << 12);
    block_on(async {
        finish_handshake(&mut server, &mut client).await;
        server.write_all(&[0; 10_000]).await.unwrap();
        server.close(SHORT).await;
        assert!(client.transport().finished());
    });
}
