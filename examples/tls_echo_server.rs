//! An echo server over TLS 1.3 on a common operating system, to see the engine.
//!
//! The engine knows byte streams, not sockets: here is all that it takes to put it upon a `std::net::TcpStream`. Each
//! connection has a thread, two buffers, and blocks as it likes. It is built with the tests against other TLS
//! implementations, without the machine around the engine:
//!
//! ```text
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout key.pem -out cert.pem -subj /CN=localhost
//! cargo run -p postern-peers --bin tls_echo_server -- 10007 cert.pem key.pem
//! openssl s_client -connect 127.0.0.1:10007 -CAfile cert.pem
//! ```

use std::error::Error;
use std::fs::{self, File};
use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use postern::crypto::key::SigningKey;
use postern::pki::pem;
use postern::tls::{Connection, MIN_INBOUND, ServerConfig, Stream, StreamError};
use rand_core::{TryCryptoRng, TryRng};

/// Enough for one record of the largest size, and for the certificate chain in the handshake.
const OUTBOUND: usize = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(port), Some(certificate), Some(key), None) =
        (arguments.next(), arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: tls_echo_server PORT CERTIFICATE.pem KEY.pem".into());
    };
    let chain = read_chain(&certificate)?;
    let key = read_key(&key)?;
    let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>()?))?;
    println!("listening on {}", listener.local_addr()?);

    std::thread::scope(|scope| {
        for socket in listener.incoming() {
            let (chain, key) = (&chain, &key);
            scope.spawn(move || {
                let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
                match socket.map_err(Into::into).and_then(|socket| serve(socket, &chain, key)) {
                    Ok(count) => println!("echoed {count} bytes"),
                    Err(error) => println!("failed: {error}"),
                }
            });
        }
    });
    Ok(())
}

/// One connection, from its ClientHello to its end. Returns how many bytes were echoed.
fn serve(socket: TcpStream, chain: &[&[u8]], key: &SigningKey) -> Result<u64, Box<dyn Error>> {
    let mut rng = SystemRng(File::open("/dev/urandom")?);
    let mut inbound = vec![0; MIN_INBOUND];
    let mut outbound = vec![0; OUTBOUND];
    let config = ServerConfig::new(chain, key)?;
    let connection = Connection::server(config, &mut inbound, &mut outbound)?;
    let mut stream = Stream::new(Socket(socket), connection);
    let result = block_on(echo(&mut stream, &mut rng));
    linger(&mut stream.transport().0);
    Ok(result?)
}

async fn echo(stream: &mut Stream<'_, Socket>, rng: &mut SystemRng) -> Result<u64, StreamError<ErrorKind>> {
    stream.handshake(rng).await?;
    let info = *stream.info();
    let names = (
        info.suite.map(|suite| suite.name()),
        info.group.map(|group| group.name()),
    );
    println!(
        "{} {} {}",
        info.version(),
        names.0.unwrap_or_default(),
        names.1.unwrap_or_default()
    );

    let mut total = 0;
    let mut buffer = [0; 16384];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            // The client has said close_notify: so do we.
            stream.close().await?;
            return Ok(total);
        }
        let mut left = buffer.get(..count).unwrap_or_default();
        while !left.is_empty() {
            let count = stream.write(left).await?;
            left = left.get(count..).unwrap_or_default();
        }
        stream.flush().await?;
        total += count as u64;
    }
}

/// Ends our direction and reads what the client still sends, for a while: closing a socket with unread input would
/// reset the connection, and the reset could overtake the alert that says why.
fn linger(socket: &mut TcpStream) {
    let _ = socket.shutdown(Shutdown::Write);
    let _ = socket.set_read_timeout(Some(Duration::from_secs(2)));
    let _ = io::copy(&mut socket.take(1 << 20), &mut io::sink());
}

/// A blocking socket as an async transport: its futures are always ready.
struct Socket(TcpStream);

impl ErrorType for Socket {
    type Error = ErrorKind;
}

impl Read for Socket {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(buffer).map_err(kind)
    }
}

impl Write for Socket {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(bytes).map_err(kind)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        self.0.flush().map_err(kind)
    }
}

fn kind(error: io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::ConnectionReset => ErrorKind::ConnectionReset,
        io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
        io::ErrorKind::Interrupted => ErrorKind::Interrupted,
        _ => ErrorKind::Other,
    }
}

/// Runs a future that blocks where others would wait.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// The certificates of a PEM file as DER, the server's own first.
fn read_chain(path: &str) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let text = fs::read(path)?;
    pem::certificates(&text).map(|block| decode(block?)).collect()
}

fn read_key(path: &str) -> Result<SigningKey, Box<dyn Error>> {
    let text = fs::read(path)?;
    let block = pem::private_key(&text)?;
    Ok(SigningKey::from_der(block.label, &decode(block)?)?)
}

fn decode(block: pem::Block<'_>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut der = vec![0; 64 << 10];
    let count = block.decode(&mut der)?;
    der.truncate(count);
    Ok(der)
}

/// The operating system's generator. Without it there can be no TLS, so a failure ends the thread.
struct SystemRng(File);

impl TryRng for SystemRng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read_exact(bytes).expect("/dev/urandom gives bytes");
        Ok(())
    }
}

impl TryCryptoRng for SystemRng {}
