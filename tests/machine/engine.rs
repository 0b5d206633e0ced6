//! TLS peers on the engine itself, for behaviour that no available program has.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use chacha20::ChaCha20Rng;
use postern::crypto::key::SigningKey;
use postern::pki::pem;
use postern::pki::verify::{Clock, Trust};
use postern::tls::{
    ClientConfig, Connection, Error, FULL_INBOUND, Identity, Info, MIN_OUTBOUND, Progress, ServerConfig,
};
use rand_core::SeedableRng as _;

use super::common::LIMIT;

/// One end of a connection, in this program; its buffers live as long as the program.
pub struct Peer {
    stream: TcpStream,
    connection: Connection<'static>,
    rng: ChaCha20Rng,
}

impl Peer {
    /// Connects and sends a ClientHello.
    pub fn client(address: SocketAddr, config: ClientConfig<'static>) -> Self {
        let mut rng = rng();
        let outbound = buffer(config.flight_len().max(MIN_OUTBOUND));
        let connection = Connection::client(config, buffer(FULL_INBOUND), outbound, &mut rng).unwrap();
        let mut peer = Self::new(TcpStream::connect(address).unwrap(), connection, rng);
        peer.flush();
        peer
    }

    /// Waits for a ClientHello on an accepted connection.
    pub fn server(stream: TcpStream, config: ServerConfig<'static>) -> Self {
        let outbound = buffer(config.flight_len().max(MIN_OUTBOUND));
        let connection = Connection::server(config, buffer(FULL_INBOUND), outbound).unwrap();
        Self::new(stream, connection, rng())
    }

    fn new(stream: TcpStream, connection: Connection<'static>, rng: ChaCha20Rng) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self {
            stream,
            connection,
            rng,
        }
    }

    /// Waits until the other side has answered, without reading the answer.
    pub fn await_answer(&self) {
        assert_eq!(self.stream.peek(&mut [0]).unwrap(), 1, "an end instead of an answer");
    }

    /// Runs the handshake to its end on this side.
    pub fn handshake(&mut self) -> Result<(), Error> {
        while self.connection.is_handshaking() {
            let progress = self.advance()?;
            if self.connection.is_handshaking() && progress == Progress::NeedInput {
                self.receive();
            }
        }
        Ok(())
    }

    /// The next bytes of data; empty at the end.
    pub fn read(&mut self) -> Result<Vec<u8>, Error> {
        loop {
            match self.advance()? {
                Progress::NeedInput => self.receive(),
                Progress::Closed => return Ok(Vec::new()),
                Progress::Data => {
                    let data = self.connection.data().to_vec();
                    self.connection.consume(data.len());
                    return Ok(data);
                }
            }
        }
    }

    /// Sends data and requires the same data back.
    pub fn assert_echoes(&mut self, bytes: &[u8]) {
        let mut left = bytes;
        while !left.is_empty() {
            let count = self.connection.write(left).unwrap();
            left = &left[count..];
            self.flush();
        }
        let mut back = Vec::new();
        while back.len() < bytes.len() {
            let more = self.read().unwrap();
            assert!(!more.is_empty(), "an end after {} bytes", back.len());
            back.extend(more);
        }
        assert!(back == bytes);
    }

    /// The negotiated parameters.
    pub fn info(&self) -> &Info<'_> {
        self.connection.info()
    }

    fn advance(&mut self) -> Result<Progress, Error> {
        let progress = self.connection.advance(&mut self.rng);
        self.flush();
        progress
    }

    fn receive(&mut self) {
        match self.stream.read(self.connection.space()).unwrap() {
            0 => self.connection.received_end(),
            count => self.connection.received(count),
        }
    }

    fn flush(&mut self) {
        while !self.connection.pending().is_empty() {
            // A peer that refused may have closed; its alert can still be read.
            let count = self.connection.pending().len();
            let _ = self.stream.write_all(self.connection.pending());
            self.connection.sent(count);
        }
    }
}

/// The time of this host.
pub fn clock() -> Clock {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Clock { now, floor: 0 }
}

/// Trust in a CA.
pub fn trust(ca: &str) -> &'static Trust<'static> {
    forever(Trust::new(forever(chain(ca))))
}

/// A chain and a key, which need not match.
pub fn identity(certificates: &str, key: &str) -> Identity<'static> {
    let block = pem::private_key(key.as_bytes()).unwrap();
    let key = SigningKey::from_der(block.label, &decode(block)).unwrap();
    Identity::new(forever(chain(certificates)), forever(key)).unwrap()
}

/// Leaks a value, which then lives as long as the program.
pub fn forever<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// A certificate alone.
pub fn der(certificate: &str) -> &'static mut [u8] {
    let mut blocks = pem::blocks(certificate.as_bytes());
    decode(blocks.next().unwrap().unwrap()).leak()
}

fn chain(certificates: &str) -> Vec<&'static [u8]> {
    pem::blocks(certificates.as_bytes())
        .map(|block| &*decode(block.unwrap()).leak())
        .collect()
}

fn decode(block: pem::Block<'_>) -> Vec<u8> {
    let mut der = vec![0; 64 << 10];
    let count = block.decode(&mut der).unwrap();
    der.truncate(count);
    der
}

fn buffer(len: usize) -> &'static mut [u8] {
    vec![0; len].leak()
}

fn rng() -> ChaCha20Rng {
    let mut seed = [0; 32];
    let mut source = std::fs::File::open("/dev/urandom").unwrap();
    source.read_exact(&mut seed).unwrap();
    ChaCha20Rng::from_seed(seed)
}
