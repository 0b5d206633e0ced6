//! Shared test code: a PKI, handshakes with rustls in memory, our own client.
//!
//! [`hello`], [`client`] and [`probe`] are a TLS 1.3 client that follows only the rules it is given, built on ring and
//! nothing of Postern's, so that both would have to be wrong in the same way for a test not to see it. [`middle`] stands
//! between two connections of ours, has the keys of both, and changes what it likes.

pub mod client;
pub mod hello;
pub mod impostor;
mod keys12;
pub mod middle;
pub mod ocsp;
pub mod pipe;
pub mod probe;
pub mod tools;
pub mod world;

use std::io::{Read as _, Write as _};
use std::sync::{Arc, LazyLock};

use chacha20::ChaCha20Rng;
use postern_tls::crypto::key::SigningKey;
use postern_tls::pki::verify::Clock;
use postern_tls::{Connection, Error, Identity, Progress, ServerConfig, Versions};
use rand_core::SeedableRng as _;
use rustls::pki_types::{CertificateDer, ServerName};

/// A CA and a server certificate for `localhost` under it, both ECDSA P-256.
pub struct Pki {
    /// The CA's certificate in DER.
    pub ca: Vec<u8>,
    /// The server's certificate in DER.
    pub server: Vec<u8>,
    /// The server's private key.
    pub key: SigningKey,
    /// The same as PKCS#8 in DER.
    pub key_der: Vec<u8>,
    /// The server's public key: an uncompressed point.
    pub public: Vec<u8>,
    /// The CA's certificate, the server's, and the server's key, in PEM.
    pub pem: [String; 3],
}

impl Pki {
    /// Makes one.
    pub fn new() -> Self {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::new([]).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        ca.distinguished_name.push(rcgen::DnType::CommonName, "Test CA");
        let issuer = rcgen::CertifiedIssuer::self_signed(ca, ca_key).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut server = rcgen::CertificateParams::new(["localhost".to_string()]).unwrap();
        server.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
        let server = server.signed_by(&key, &issuer).unwrap();
        Self {
            ca: issuer.der().to_vec(),
            server: server.der().to_vec(),
            key: SigningKey::from_der("PRIVATE KEY", &key.serialize_der()).unwrap(),
            key_der: key.serialize_der(),
            public: key.public_key_raw().to_vec(),
            pem: [issuer.pem(), server.pem(), key.serialize_pem()],
        }
    }

    /// What a rustls client needs that trusts the CA, with `provider`'s suites and groups.
    pub fn client_config(&self, provider: rustls::crypto::CryptoProvider, tls13: bool) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(self.ca.clone())).unwrap();
        let version = if tls13 {
            &rustls::version::TLS13
        } else {
            &rustls::version::TLS12
        };
        rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// A rustls client of TLS 1.3 that trusts the CA, with `provider`'s suites and groups.
    pub fn client(&self, provider: rustls::crypto::CryptoProvider) -> rustls::ClientConnection {
        let config = self.client_config(provider, true);
        rustls::ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap()
    }
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

/// A generator that gives the same numbers for the same seed.
pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Moves bytes between a rustls client and our server, `chunk` bytes at a time, until neither has more to say.
pub fn exchange(
    client: &mut rustls::ClientConnection,
    server: &mut Connection<'_>,
    rng: &mut ChaCha20Rng,
    chunk: usize,
) -> Result<Progress, Error> {
    let mut progress = Progress::NeedInput;
    loop {
        let mut moved = false;
        let mut to_server = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut to_server).unwrap();
        }
        let mut left = &to_server[..];
        while !left.is_empty() {
            let space = server.space();
            let count = left.len().min(chunk).min(space.len());
            assert_ne!(count, 0, "no space although all data was consumed");
            space[..count].copy_from_slice(&left[..count]);
            left = &left[count..];
            server.received(count);
            progress = server.advance(rng)?;
            moved = true;
            assert!(
                progress != Progress::Data || left.is_empty(),
                "exchange() is for handshakes"
            );
        }
        let to_client = server.pending().to_vec();
        server.sent(to_client.len());
        for piece in to_client.chunks(chunk) {
            let mut piece = piece;
            while !piece.is_empty() {
                client.read_tls(&mut piece).unwrap();
                client.process_new_packets().unwrap();
            }
            moved = true;
        }
        if !moved {
            return Ok(progress);
        }
    }
}

/// Sends `text` from the client, echoes it in the server, and checks that the client gets the same.
pub fn echo(client: &mut rustls::ClientConnection, server: &mut Connection<'_>, rng: &mut ChaCha20Rng, text: &[u8]) {
    let mut sent = 0;
    let mut back = Vec::new();
    while back.len() < text.len() {
        if sent < text.len() {
            sent += client.writer().write(&text[sent..]).unwrap();
        }
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut left = &wire[..];
        loop {
            let space = server.space();
            let count = left.len().min(space.len());
            space[..count].copy_from_slice(&left[..count]);
            left = &left[count..];
            server.received(count);
            while server.advance(rng).unwrap() == Progress::Data {
                let data = server.data().to_vec();
                server.consume(data.len());
                let mut rest = &data[..];
                while !rest.is_empty() {
                    let count = server.write(rest).unwrap();
                    rest = &rest[count..];
                    let pending = server.pending().to_vec();
                    server.sent(pending.len());
                    let mut pending = &pending[..];
                    while !pending.is_empty() {
                        client.read_tls(&mut pending).unwrap();
                        client.process_new_packets().unwrap();
                    }
                    let mut buffer = [0; 20000];
                    while let Ok(count) = client.reader().read(&mut buffer) {
                        if count == 0 {
                            break;
                        }
                        back.extend_from_slice(&buffer[..count]);
                    }
                }
            }
            if left.is_empty() {
                break;
            }
        }
    }
    assert_eq!(back, text);
}

/// A server's configuration for `pki`; `chain` has to outlive it.
pub fn config<'a>(chain: &'a [&'a [u8]], pki: &'a Pki) -> ServerConfig<'a> {
    let identity = Identity::new(chain, &pki.key).unwrap();
    ServerConfig::new(Box::leak(Box::new([identity])), clock())
        .unwrap()
        .with_versions(Versions::Tls13)
}

/// The time of the first call: that some passes during a test does not count.
pub fn clock() -> Clock {
    static NOW: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let now = *NOW.get_or_init(|| {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    });
    Clock { now, floor: 0 }
}

/// Moves bytes between one of ours and rustls, `chunk` bytes at a time, until neither has more to say.
pub fn drive(
    ours: &mut Connection<'_>,
    theirs: &mut rustls::Connection,
    rng: &mut ChaCha20Rng,
    chunk: usize,
) -> Result<Progress, Error> {
    let mut progress = ours.advance(rng)?;
    loop {
        let mut moved = false;
        let pending = ours.pending().to_vec();
        ours.sent(pending.len());
        for mut piece in pending.chunks(chunk) {
            while !piece.is_empty() {
                theirs.read_tls(&mut piece).unwrap();
                if let Err(error) = theirs.process_new_packets() {
                    eprintln!("rustls: {error}");
                }
            }
            moved = true;
        }
        let mut back = Vec::new();
        while theirs.wants_write() {
            theirs.write_tls(&mut back).unwrap();
        }
        let mut left = &back[..];
        while !left.is_empty() {
            let space = ours.space();
            let count = left.len().min(chunk).min(space.len());
            assert_ne!(count, 0, "no space although all data was consumed");
            space[..count].copy_from_slice(&left[..count]);
            left = &left[count..];
            ours.received(count);
            progress = ours.advance(rng)?;
            moved = true;
            assert!(
                progress != Progress::Data || left.is_empty(),
                "drive() is for handshakes"
            );
        }
        if !moved {
            return Ok(progress);
        }
    }
}

/// Moves bytes between a client and a server of ours, until neither has more to say.
pub fn drive_ours(
    client: &mut Connection<'_>,
    server: &mut Connection<'_>,
    rng: &mut ChaCha20Rng,
) -> (Result<Progress, Error>, Result<Progress, Error>) {
    let mut results = (client.advance(rng), server.advance(rng));
    loop {
        let to_server = transfer(client, server, rng, &mut results.1);
        let to_client = transfer(server, client, rng, &mut results.0);
        if !to_server && !to_client {
            return results;
        }
    }
}

fn transfer(
    from: &mut Connection<'_>,
    to: &mut Connection<'_>,
    rng: &mut ChaCha20Rng,
    result: &mut Result<Progress, Error>,
) -> bool {
    let mut left = from.pending().to_vec();
    from.sent(left.len());
    let mut moved = false;
    while !left.is_empty() && result.is_ok() {
        let space = to.space();
        let count = left.len().min(space.len());
        assert_ne!(count, 0, "no space although all data was consumed");
        space[..count].copy_from_slice(&left[..count]);
        left.drain(..count);
        to.received(count);
        *result = to.advance(rng);
        moved = true;
    }
    moved
}

static PKI: LazyLock<Pki> = LazyLock::new(Pki::new);
static CHAIN: LazyLock<[&'static [u8]; 1]> = LazyLock::new(|| [&PKI.server]);
static IDENTITIES: LazyLock<[Identity<'static>; 1]> = LazyLock::new(|| [Identity::new(&*CHAIN, &PKI.key).unwrap()]);

/// A PKI that all tests of a process share.
pub fn pki() -> &'static Pki {
    &PKI
}

/// A server's configuration for [`pki`]: TLS 1.3 only, without tickets.
pub fn server_config() -> ServerConfig<'static> {
    ServerConfig::new(&*IDENTITIES, clock())
        .unwrap()
        .with_versions(Versions::Tls13)
}
