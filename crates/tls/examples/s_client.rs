//! A client over TLS on a common operating system, to see the engine.
//!
//! Standard input goes to the server, what comes from there goes to standard output, and what happens is told on
//! standard error. Here is how the engine is used without async: [`Connection`] takes bytes and gives bytes, and two
//! threads bring it those of the socket and of the terminal.
//!
//! ```text
//! cargo run -p postern-tls --features rsa --example s_client -- -connect 127.0.0.1:10007 -CAfile target/cert.pem -name localhost
//! ```

mod shared;

use std::io::{self, Read, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use postern_tls::pki::verify::ServerName;
use postern_tls::{ClientConfig, Connection, Error, Identity, Progress, SessionCache};
use shared::{Options, Result, SystemRng, clock, describe, end, linger, misuse, number, slices, trust, value};

const USAGE: &str = "usage: s_client -connect HOST:PORT -CAfile FILE [OPTIONS]
  -name NAME            expect (and ask for) this name or address [HOST]
  -noname               take any certificate of those CAs
  -text TEXT            send TEXT, wait for as many bytes, and end; else standard input is sent
  -repeat N             once more N times, resuming the session where the server lets us
";

/// The time after which the connection to a silent server ends.
const SILENT_PEER_TIMEOUT: Duration = Duration::from_secs(60);

/// What comes from outside.
enum Event {
    Received(Vec<u8>),
    ServerEnded,
    Typed(Vec<u8>),
    InputEnded,
}

fn main() -> ExitCode {
    end(run(), USAGE)
}

fn run() -> Result<()> {
    let mut options = Options::default();
    let (mut address, mut name, mut any_name, mut text, mut repeat) = (None, None, false, None, 0_usize);
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        match &*option {
            "-connect" => address = Some(value(&option, &mut arguments)?),
            "-name" => name = Some(value(&option, &mut arguments)?),
            "-noname" => any_name = true,
            "-text" => text = Some(value(&option, &mut arguments)?),
            "-repeat" => repeat = number(&option, &mut arguments)?,
            "-help" => {
                print!("{USAGE}{}", Options::USAGE);
                return Ok(());
            }
            _ if options.take(&option, &mut arguments)? => {}
            _ => return Err(misuse(format!("there is no option {option}"))),
        }
    }
    options.check()?;
    let address = address.ok_or_else(|| misuse("-connect is needed"))?;
    if options.anchors.is_empty() {
        return Err(misuse("-CAfile is needed"));
    }
    let host = address.rsplit_once(':').map_or(&*address, |(host, _)| host);
    let name = name.as_deref().unwrap_or(host);
    let name = match any_name {
        true => None,
        false => {
            let wrong = || misuse(format!("{name} is neither a host name nor an address"));
            Some(ServerName::parse(name).ok_or_else(wrong)?)
        }
    };

    // The engine owns nothing: what it is configured with stays here.
    let mut rng = SystemRng::new()?;
    let (anchors, crls, protocols) = (
        slices(&options.anchors),
        slices(&options.crls),
        slices(&options.protocols),
    );
    let trust = trust(&anchors, &crls, options.mode)?;
    let sessions = SessionCache::new();
    let mut config = ClientConfig::new(&trust, name, clock()?)
        .with_versions(options.versions)
        .with_protocols(&protocols)
        .with_sessions(&sessions);
    let identity = options.identities.first().map(|(chain, key)| (slices(chain), key));
    if let Some((chain, key)) = &identity {
        config = config.with_identity(Identity::new(chain, key)?);
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
    for _ in 0..=repeat {
        let config = config.with_clock(clock()?);
        let connection = Connection::client(config, &mut inbound, &mut outbound, &mut rng)?;
        let (sender, events) = channel();
        let socket = TcpStream::connect(&address).map_err(|error| format!("{address}: {error}"))?;
        socket.set_read_timeout(Some(SILENT_PEER_TIMEOUT))?;
        spawn_reader(socket.try_clone()?, sender.clone(), Event::Received, || {
            Event::ServerEnded
        });
        if text.is_none() {
            spawn_reader(io::stdin(), sender, Event::Typed, || Event::InputEnded);
        }
        let mut client = Client {
            connection,
            socket,
            events,
        };
        let result = client.run(text.as_deref(), &mut rng);
        // Whatever happened, the last alert has to go out.
        let sent = client.send();
        linger(&mut client.socket);
        result.and(sent)?;
    }
    Ok(())
}

/// Starts a thread that sends everything read from `source` as events.
fn spawn_reader(
    mut source: impl Read + Send + 'static,
    events: Sender<Event>,
    bytes: fn(Vec<u8>) -> Event,
    end: fn() -> Event,
) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16384];
        while let Ok(count @ 1..) = source.read(&mut buffer) {
            let read = buffer.get(..count).unwrap_or_default().to_vec();
            if events.send(bytes(read)).is_err() {
                return;
            }
        }
        let _ = events.send(end());
    });
}

/// One connection.
struct Client<'a> {
    connection: Connection<'a>,
    socket: TcpStream,
    events: Receiver<Event>,
}

impl Client<'_> {
    /// From the ClientHello to the server's close_notify.
    fn run(&mut self, text: Option<&str>, rng: &mut SystemRng) -> Result<()> {
        // What was typed before the handshake is done has to wait.
        let mut typed = text.unwrap_or_default().as_bytes().to_vec();
        let mut missing = typed.len();
        let mut input_ended = false;
        let mut handshaking = true;
        loop {
            self.send()?;
            if handshaking && !self.connection.is_handshaking() {
                handshaking = false;
                eprintln!("{}", describe(self.connection.info()));
            }
            if !handshaking {
                self.write(&typed)?;
                typed.clear();
                if input_ended || (text.is_some() && missing == 0) {
                    self.connection.close();
                    self.send()?;
                }
            }
            let progress = match self.events.recv()? {
                Event::Typed(bytes) => {
                    typed.extend(bytes);
                    continue;
                }
                Event::InputEnded => {
                    input_ended = true;
                    continue;
                }
                Event::ServerEnded => {
                    self.connection.received_end();
                    self.advance(rng, &mut missing)?
                }
                Event::Received(bytes) => self.receive(&bytes, rng, &mut missing)?,
            };
            if progress == Progress::Closed {
                self.connection.close();
                return Ok(());
            }
        }
    }

    /// Gives the engine `bytes` of the server's.
    fn receive(&mut self, mut bytes: &[u8], rng: &mut SystemRng, missing: &mut usize) -> Result<Progress> {
        loop {
            let space = self.connection.space();
            let count = space.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            space.get_mut(..count).unwrap_or_default().copy_from_slice(now);
            self.connection.received(count);
            bytes = later;
            let progress = self.advance(rng, missing)?;
            if bytes.is_empty() || progress == Progress::Closed {
                return Ok(progress);
            }
        }
    }

    /// Lets the engine go on as far as it can. Data goes to standard output.
    fn advance(&mut self, rng: &mut SystemRng, missing: &mut usize) -> Result<Progress> {
        loop {
            let progress = self.connection.advance(rng)?;
            if progress != Progress::Data {
                return Ok(progress);
            }
            let data = self.connection.data();
            let count = data.len();
            io::stdout().write_all(data)?;
            io::stdout().flush()?;
            self.connection.consume(count);
            *missing = missing.saturating_sub(count);
        }
    }

    /// Sends `data` to the server, protected.
    fn write(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let count = self.connection.write(data)?;
            data = data
                .get(count..)
                .ok_or(Error::Internal("more written than there was"))?;
            self.send()?;
        }
        Ok(())
    }

    /// Sends what the engine has for the server.
    fn send(&mut self) -> Result<()> {
        while !self.connection.pending().is_empty() {
            let count = self.socket.write(self.connection.pending())?;
            self.connection.sent(count);
        }
        Ok(())
    }
}
