//! An echo server over TLS on a common operating system, to see the engine.
//!
//! The engine knows byte streams, not sockets: here is all that it takes to put its [`Stream`] upon a
//! `std::net::TcpStream`. Connections are served one after the other, and block as they like. It is built with the
//! tests against other TLS implementations, without the machine around the engine:
//!
//! ```text
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout target/key.pem -out target/cert.pem \
//!     -subj /CN=localhost -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE
//! cargo run -p postern-tls --features rsa --example s_server -- -accept 10007 -cert target/cert.pem -key target/key.pem
//! openssl s_client -connect 127.0.0.1:10007 -CAfile target/cert.pem
//! ```

mod shared;

use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::pin::pin;
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use postern_tls::{ClientAuth, Connection, Identity, ServerConfig, Stream, StreamError, Tickets};
use shared::{Options, Result, SystemRng, clock, describe, end, linger, misuse, number, slices, trust};

const USAGE: &str = "usage: s_server -cert FILE -key FILE [OPTIONS]
  -accept PORT          on 127.0.0.1 [0: any free port]
  -verify, -Verify      request certificates of clients; require them
  -no_ticket            resume nothing
";

/// The time after which a silent client is disconnected.
const SILENT_PEER_TIMEOUT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    end(run(), USAGE)
}

fn run() -> Result<()> {
    let mut options = Options::default();
    let (mut port, mut ask, mut require, mut resume) = (0_u16, false, false, true);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match &*name {
            "-accept" => port = number(&name, &mut arguments)?,
            "-verify" => ask = true,
            "-Verify" => (ask, require) = (true, true),
            "-no_ticket" => resume = false,
            "-help" => {
                print!("{USAGE}{}", Options::USAGE);
                return Ok(());
            }
            _ if options.take(&name, &mut arguments)? => {}
            _ => return Err(misuse(format!("there is no option {name}"))),
        }
    }
    options.check()?;
    if options.identities.is_empty() {
        return Err(misuse("-cert and -key are needed"));
    }

    // The engine owns nothing: what it is configured with stays here.
    let mut rng = SystemRng::new()?;
    let chains: Vec<Vec<&[u8]>> = options.identities.iter().map(|(chain, _)| slices(chain)).collect();
    let identities = chains
        .iter()
        .zip(&options.identities)
        .map(|(chain, (_, key))| Identity::new(chain, key))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let (anchors, crls, protocols) = (
        slices(&options.anchors),
        slices(&options.crls),
        slices(&options.protocols),
    );
    let trust = ask.then(|| trust(&anchors, &crls, options.mode)).transpose()?;
    let tickets = Tickets::new(&mut rng, clock()?.now)?;
    let mut config = ServerConfig::new(&identities, clock()?)?
        .with_versions(options.versions)
        .with_protocols(&protocols)
        .with_client_auth(match &trust {
            None => ClientAuth::Off,
            Some(trust) if require => ClientAuth::Required(trust),
            Some(trust) => ClientAuth::Optional(trust),
        });
    if resume {
        config = config.with_tickets(&tickets);
    }
    if let Some(groups) = &options.groups {
        config = config.with_groups(groups);
    }
    if let Some(suites) = &options.suites {
        config = config.with_suites(suites);
    }
    config = config.with_key_log(options.key_log());

    let mut inbound = vec![0; options.inbound()];
    let mut outbound = vec![0; config.flight_len().max(20_000)];
    let listener = TcpListener::bind(("127.0.0.1", port)).map_err(|error| format!("port {port}: {error}"))?;
    println!("listening on {}", listener.local_addr()?);
    for socket in listener.incoming() {
        let socket = socket?;
        socket.set_read_timeout(Some(SILENT_PEER_TIMEOUT))?;
        let config = config.with_clock(clock()?);
        let connection = Connection::server(config, &mut inbound, &mut outbound)?;
        let mut stream = Stream::new(Socket(socket), connection);
        match block_on(echo(&mut stream, &mut rng)) {
            Ok(count) => println!("echoed {count} bytes"),
            Err(error) => println!("failed: {error}"),
        }
        linger(&mut stream.transport().0);
    }
    Ok(())
}

/// One connection, from its ClientHello to its end. Returns how many bytes were echoed.
async fn echo(
    stream: &mut Stream<'_, Socket>,
    rng: &mut SystemRng,
) -> std::result::Result<u64, StreamError<ErrorKind>> {
    stream.handshake(rng).await?;
    println!("{}", describe(stream.info()));
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

/// A blocking socket as an async transport: its futures are always ready.
struct Socket(TcpStream);

impl ErrorType for Socket {
    type Error = ErrorKind;
}

impl Read for Socket {
    async fn read(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, ErrorKind> {
        self.0.read(buffer).map_err(kind)
    }
}

impl Write for Socket {
    async fn write(&mut self, bytes: &[u8]) -> std::result::Result<usize, ErrorKind> {
        self.0.write(bytes).map_err(kind)
    }

    async fn flush(&mut self) -> std::result::Result<(), ErrorKind> {
        self.0.flush().map_err(kind)
    }
}

fn kind(error: io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::ConnectionReset => ErrorKind::ConnectionReset,
        io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
        io::ErrorKind::Interrupted => ErrorKind::Interrupted,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ErrorKind::TimedOut,
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
