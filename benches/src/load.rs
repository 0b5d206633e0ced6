//! Loads on an echo server: handshakes, bulk data, round trips, open connections.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, DigitallySignedStruct, NamedGroup, SignatureScheme, StreamOwned,
    SupportedProtocolVersion, version,
};

/// A server that answers nothing for so long has failed.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes under way in a bulk echo. Less than the sockets of both ends store, so that blocking writes come to an end.
const WINDOW: usize = 128 * 1024;

/// The protocol of a load.
#[derive(Clone, Copy)]
pub enum Protocol {
    /// TCP alone.
    Plain,
    /// TLS with these parameters.
    Tls(Tls),
}

/// The parameters that a client allows.
#[derive(Clone, Copy)]
pub struct Tls {
    /// TLS 1.2 instead of 1.3.
    pub tls12: bool,
    /// The cipher suite of TLS 1.3.
    pub suite: CipherSuite,
    /// The group of the key exchange. With TLS 1.2, P-256 is offered as well, for the curve of the certificate.
    pub group: NamedGroup,
    /// The certificate's key: RSA instead of ECDSA.
    pub rsa: bool,
    /// Resume the session of the connection before.
    pub resume: bool,
}

impl Tls {
    /// TLS 1.3, ECDSA, X25519, AES-128-GCM, full handshakes.
    pub const USUAL: Self = Self {
        tls12: false,
        suite: CipherSuite::TLS13_AES_128_GCM_SHA256,
        group: NamedGroup::X25519,
        rsa: false,
        resume: false,
    };

    fn config(self) -> Arc<ClientConfig> {
        let mut provider = ring::default_provider();
        provider.cipher_suites.retain(|suite| match suite.suite() {
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => self.tls12,
            other => other == self.suite && !self.tls12,
        });
        provider
            .kx_groups
            .retain(|group| group.name() == self.group || (self.tls12 && group.name() == NamedGroup::secp256r1));
        let versions: &[&SupportedProtocolVersion] = if self.tls12 {
            &[&version::TLS12]
        } else {
            &[&version::TLS13]
        };
        let provider = Arc::new(provider);
        let verifier = Arc::new(AnyCertificate {
            provider: provider.clone(),
            rsa: self.rsa,
        });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("each version has its suites")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.resumption = if self.resume {
            Resumption::in_memory_sessions(1)
        } else {
            Resumption::disabled()
        };
        Arc::new(config)
    }
}

/// Accepts any chain, and verifies the signature of the handshake: only the server is measured.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
    rsa: bool,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        if self.rsa {
            vec![SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256]
        } else {
            vec![SignatureScheme::ECDSA_NISTP256_SHA256]
        }
    }
}

/// What makes connections to one server with one protocol.
pub struct Connector {
    server: SocketAddr,
    protocol: Protocol,
    /// With the sessions to be resumed.
    config: Option<Arc<ClientConfig>>,
}

impl Connector {
    /// For `server`.
    pub fn new(server: SocketAddr, protocol: Protocol) -> Self {
        let config = match protocol {
            Protocol::Plain => None,
            Protocol::Tls(tls) => Some(tls.config()),
        };
        Self {
            server,
            protocol,
            config,
        }
    }

    /// A connection after its handshake. `first` is how long the server may take for its first bytes.
    fn connect(&self, first: Duration) -> Result<Stream> {
        let tcp = TcpStream::connect_timeout(&self.server, TIMEOUT)?;
        tcp.set_nodelay(true)?;
        tcp.set_write_timeout(Some(TIMEOUT))?;
        tcp.set_read_timeout(Some(first))?;
        let Some(config) = &self.config else {
            return Ok(Stream::Plain(tcp));
        };
        let name = ServerName::try_from("localhost").map_err(Error::other)?;
        let connection = ClientConnection::new(config.clone(), name).map_err(Error::other)?;
        let mut stream = StreamOwned::new(connection, tcp);
        stream.conn.complete_io(&mut stream.sock)?;
        while stream.conn.is_handshaking() {
            stream.sock.set_read_timeout(Some(TIMEOUT))?;
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// Connects, echoes a byte and closes.
    fn visit(&self, resumed: bool) -> Result<()> {
        let mut stream = self.connect(TIMEOUT)?;
        stream.echo(b"x")?;
        if let Stream::Tls(tls) = &mut stream {
            let kind = tls.conn.handshake_kind();
            if resumed != (kind == Some(rustls::HandshakeKind::Resumed)) {
                return Err(Error::other(format!("unexpected kind of handshake: {kind:?}")));
            }
            tls.conn.send_close_notify();
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(())
    }

    /// Connections a second, each with its handshake, an echoed byte and its end, by `clients` at a time.
    ///
    /// # Errors
    /// That of the first connection that failed.
    pub fn rate(&self, clients: usize, time: Duration) -> Result<f64> {
        let (count, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let start = Instant::now();
        std::thread::scope(|scope| {
            let client = || -> Result<()> {
                // With a session of its own.
                let client = Self::new(self.server, self.protocol);
                let resume = matches!(self.protocol, Protocol::Tls(Tls { resume: true, .. }));
                if resume {
                    client.visit(false)?;
                }
                while start.elapsed() < time && !failed.load(Ordering::Relaxed) {
                    client
                        .visit(resume)
                        .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            };
            let threads: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().expect("no panic"))
        })?;
        Ok(count.into_inner() as f64 / start.elapsed().as_secs_f64())
    }

    /// MiB a second through one connection and back, with [`WINDOW`] bytes under way.
    ///
    /// # Errors
    /// If the connection fails, or other bytes come back.
    pub fn bulk(&self, time: Duration) -> Result<f64> {
        let mut stream = self.connect(TIMEOUT)?;
        stream.longer()?;
        let mut back = vec![0; 64 * 1024];
        let pattern: Vec<u8> = (0..WINDOW + back.len())
            .map(|n| n % WINDOW)
            .map(|n| (n * 31 + n / 251) as u8)
            .collect();
        let (mut sent, mut received) = (0, 0);
        let start = Instant::now();
        while start.elapsed() < time || received < sent {
            if sent - received < WINDOW && start.elapsed() < time {
                let at = sent % WINDOW;
                let len = (WINDOW - (sent - received)).min(16 * 1024);
                stream.write_all(&pattern[at..at + len])?;
                sent += len;
                continue;
            }
            let count = stream.read(&mut back)?;
            let expected = &pattern[received % WINDOW..][..count];
            if count == 0 || back[..count] != *expected {
                return Err(Error::new(ErrorKind::InvalidData, "other bytes came back"));
            }
            received += count;
        }
        Ok(received as f64 / f64::from(1 << 20) / start.elapsed().as_secs_f64())
    }

    /// The median round trip of 16 bytes on one connection, in microseconds.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn round_trip(&self, time: Duration) -> Result<f64> {
        let mut stream = self.connect(TIMEOUT)?;
        stream.longer()?;
        for _ in 0..5 {
            stream.echo(&[b'a'; 16])?;
        }
        let mut times = Vec::new();
        let start = Instant::now();
        while start.elapsed() < time {
            let before = Instant::now();
            stream.echo(&[b'a'; 16])?;
            times.push(before.elapsed().as_secs_f64() * 1e6);
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }

    /// Opens `count` connections, each with an echo, then echoes on each in turn. Returns the seconds for opening all,
    /// and the median and the longest time of the later echoes, in microseconds.
    ///
    /// # Errors
    /// That of the first connection that failed.
    pub fn idle(&self, count: usize) -> Result<[f64; 3]> {
        let start = Instant::now();
        let mut streams = Vec::new();
        for _ in 0..count {
            let mut stream = self.connect(TIMEOUT)?;
            stream.longer()?;
            stream.echo(b"hello")?;
            streams.push(stream);
        }
        let opened = start.elapsed().as_secs_f64();
        let mut times = Vec::new();
        for stream in &mut streams {
            let before = Instant::now();
            stream.echo(b"again")?;
            times.push(before.elapsed().as_secs_f64() * 1e6);
        }
        times.sort_by(f64::total_cmp);
        Ok([opened, times[times.len() / 2], times[times.len() - 1]])
    }

    /// Tries until an echo comes back, every 10 ms. While the server boots, QEMU accepts connections for it, which come to
    /// nothing: an attempt without an answer after 100 ms is over.
    ///
    /// # Errors
    /// When none has come back after `time`.
    pub fn first_echo(&self, time: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let attempt = || self.connect(Duration::from_millis(100))?.echo(b"boot");
            match attempt() {
                Err(error) if start.elapsed() > time => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
                Ok(()) => return Ok(()),
            }
        }
    }
}

/// A connection after its handshake.
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Allows the server its usual time.
    fn longer(&self) -> Result<()> {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &tls.sock,
        }
        .set_read_timeout(Some(TIMEOUT))
    }

    fn echo(&mut self, text: &[u8]) -> Result<()> {
        let mut back = vec![0; text.len()];
        self.write_all(text)?;
        self.read_exact(&mut back)?;
        if back == text {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::InvalidData, "other bytes came back"))
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, data: &[u8]) -> Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(data),
            Self::Tls(tls) => tls.write(data),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
