//! A client and a server of the engine, connected without a heap.

use std::borrow::BorrowMut;
use std::convert::Infallible;

use postern_tls::crypto::key::SigningKey;
use postern_tls::pki::verify::{Clock, Trust};
use postern_tls::{
    ClientConfig, Connection, Error, FULL_INBOUND, Handshake, Identity, MIN_INBOUND, Progress, ServerConfig,
};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// When everything happens.
pub const CLOCK: Clock = Clock {
    now: 1_767_225_600,
    floor: 0,
};

/// A generator that counts.
pub struct Rng(pub u64);

impl rand_core::TryRng for Rng {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|number| number as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Ok(self.0 ^ self.0 >> 29)
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            *byte = self.try_next_u64()? as u8;
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Rng {}

/// A CA, and a certificate of `localhost` for both roles.
pub struct Pki {
    anchor: [&'static [u8]; 1],
    chain: [&'static [u8]; 1],
    key: SigningKey,
}

impl Pki {
    /// With the keys that `pair` gives.
    pub fn new(pair: impl Fn() -> KeyPair) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "CA");
        let ca = CertifiedIssuer::self_signed(params, pair()).unwrap();
        let key = pair();
        let leaf = CertificateParams::new(["localhost".to_string()]).unwrap();
        let leaf = leaf.signed_by(&key, &ca).unwrap();
        let forever = |der: &[u8]| -> &'static [u8] { Box::leak(der.into()) };
        Self {
            anchor: [forever(ca.der())],
            chain: [forever(leaf.der())],
            key: SigningKey::from_der("PRIVATE KEY", &key.serialize_der()).unwrap(),
        }
    }

    pub fn trust(&self) -> Trust<'_> {
        Trust::new(&self.anchor)
    }

    /// The bytes of the certificates that it shows.
    pub fn chain_len(&self) -> usize {
        self.chain.iter().map(|certificate| certificate.len()).sum()
    }

    pub fn identity(&self) -> Identity<'_> {
        Identity::new(&self.chain, &self.key).unwrap()
    }
}

/// The buffers of both ends.
pub struct Buffers {
    pub client: [Vec<u8>; 2],
    pub server: [Vec<u8>; 2],
}

impl Buffers {
    /// For records of full size, or as small as they may be.
    pub fn new(full: bool, client: &ClientConfig<'_>, server: &ServerConfig<'_>) -> Self {
        let inbound = if full { FULL_INBOUND } else { MIN_INBOUND };
        let (more, less) = (client.flight_len().max(inbound), server.flight_len().max(inbound));
        Self {
            client: [vec![0; inbound], vec![0; more]],
            server: [vec![0; inbound], vec![0; less]],
        }
    }
}

/// A connection, both of its ends.
pub struct Ends<'a> {
    pub client: Connection<'a>,
    pub server: Connection<'a>,
    rng: Rng,
}

impl<'a> Ends<'a> {
    pub fn new(buffers: &'a mut Buffers, client: ClientConfig<'a>, server: ServerConfig<'a>) -> Self {
        let mut rng = Rng(1);
        let [inbound, outbound] = &mut buffers.client;
        let client = Connection::client(client, inbound, outbound, &mut rng).unwrap();
        let [inbound, outbound] = &mut buffers.server;
        let server = Connection::server(server, inbound, outbound).unwrap();
        Self { client, server, rng }
    }

    /// Brings bytes to and fro until there are none and neither end does anything more. `step` is around all that an
    /// end does; it is told whether that is the server.
    pub fn settle(&mut self, mut step: impl FnMut(bool, &mut dyn FnMut())) {
        loop {
            let mut moved = carry(&mut self.client, &mut self.server);
            moved |= carry(&mut self.server, &mut self.client);
            for (is_server, end) in [(false, &mut self.client), (true, &mut self.server)] {
                let rng = &mut self.rng;
                step(is_server, &mut || moved |= advance(end, rng).unwrap());
            }
            if !moved && self.client.pending().is_empty() && self.server.pending().is_empty() {
                return;
            }
        }
    }

    /// The handshake; then data both ways, as much as a record takes; then both close.
    pub fn live(&mut self, mut step: impl FnMut(bool, &mut dyn FnMut())) {
        self.settle(&mut step);
        assert!(!self.client.is_handshaking() && !self.server.is_handshaking());
        for _ in 0..4 {
            for (is_server, end) in [(false, &mut self.client), (true, &mut self.server)] {
                step(is_server, &mut || assert!(end.write(&[b'x'; 16_384]).unwrap() > 0));
            }
            self.settle(&mut step);
        }
        self.client.close();
        self.server.close();
        self.settle(&mut step);
    }
}

/// What one end has for the other. Whether that was anything.
pub fn carry<'a, 'b, A, B>(from: &mut Connection<'a, A>, to: &mut Connection<'b, B>) -> bool
where
    A: BorrowMut<Handshake<'a>>,
    B: BorrowMut<Handshake<'b>>,
{
    let (bytes, space) = (from.pending(), to.space());
    let count = bytes.len().min(space.len());
    space[..count].copy_from_slice(&bytes[..count]);
    to.received(count);
    from.sent(count);
    count > 0
}

/// Lets an end go on, and takes the data that it has. Whether it had any.
fn advance(end: &mut Connection<'_>, rng: &mut Rng) -> Result<bool, Error> {
    let mut any = false;
    while end.advance(rng)? == Progress::Data {
        assert!(end.data().iter().all(|byte| *byte == b'x'));
        let count = end.data().len();
        end.consume(count);
        any = true;
    }
    Ok(any)
}
