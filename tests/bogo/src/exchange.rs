//! One connection with the runner, from the socket to its end.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpStream};

use chacha20::ChaCha20Rng;
use postern_tls::pki::verify::{Clock, PeerIdentity, ServerName, Trust};
use postern_tls::{
    ClientAuth, ClientConfig, ConfigError, Connection, Error, FULL_INBOUND, Identity, Info, Progress, ProtocolVersion,
    ServerConfig, SessionCache, Tickets,
};

use crate::files;
use crate::recorder::Recorder;
use crate::settings::{Credential, Settings};

/// What the chain and the requests of the runner may be long, beyond an ordinary record.
const LONG_MESSAGES: usize = 64 << 10;
/// A CA that has issued nothing, for where the runner names none.
const OTHER_CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/other-ca.pem");

/// Why a test fails, or what it was to fail with.
pub enum Failure {
    /// The engine's verdict.
    Tls(Error),
    /// The configuration.
    Config(ConfigError),
    /// The socket, or a file.
    Io(io::Error),
    /// A flag's expectation is not met.
    Unmet(String),
    /// The engine does not have this.
    Unimplemented(&'static str),
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::Io(error) => write!(f, "input or output: {error}"),
            Self::Unmet(what) => write!(f, "expectation not met: {what}"),
            Self::Unimplemented(what) => write!(f, "not here: {what}"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Tls(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Our side of one connection.
#[derive(Clone, Copy)]
pub struct Side<'s> {
    pub settings: &'s Settings,
    pub resumption: bool,
    /// In seconds since 1970.
    pub now: u64,
}

/// Sets the preferences named by flags; the others keep the engine's defaults.
macro_rules! with_preferences {
    ($config:expr, $settings:expr, $protocols:expr, $recorder:expr) => {{
        let mut config = $config
            .with_versions($settings.versions().unwrap_or_default())
            .with_protocols($protocols)
            .with_extended_master_secret_required($settings.extended_master_secret)
            .with_trace($recorder)
            .with_key_log(Some($recorder));
        if !$settings.suites.is_empty() {
            config = config.with_suites(&$settings.suites);
        }
        if !$settings.groups.is_empty() {
            config = config.with_groups(&$settings.groups);
        }
        if !$settings.schemes.is_empty() {
            config = config.with_schemes(&$settings.schemes);
        }
        config
    }};
}

impl Side<'_> {
    /// Connects, runs the test, and ends the connection.
    pub fn run(self, tickets: &Tickets, sessions: &SessionCache, rng: &mut ChaCha20Rng) -> Result<(), Failure> {
        let settings = self.settings;
        if self.resumption && !settings.server && sessions.is_empty() {
            return Err(unmet("no session to resume"));
        }
        let clock = Clock {
            now: self.now,
            floor: 0,
        };
        let recorder = Recorder::default();
        let protocols: Vec<&[u8]> = settings.protocols.iter().map(Vec::as_slice).collect();

        let anchors = files::certificates(
            settings
                .trust
                .as_deref()
                .filter(|path| !path.is_empty())
                .unwrap_or(OTHER_CA),
        )?;
        let anchors: Vec<&[u8]> = anchors.iter().map(Vec::as_slice).collect();
        let mut trust = Trust::new(&anchors);
        if settings.verify_fail {
            // The application's own decision is an allow-list.
            trust = trust.with_allowed("").with_servers_allowed();
        }
        let mut credentials = Vec::new();
        for Credential { chain, key } in settings.credentials.iter().chain([&settings.default_credential]) {
            if !chain.is_empty() {
                let key = files::key(key)?.ok_or(Failure::Unimplemented("a kind or size of key"))?;
                credentials.push((files::certificates(chain)?, key));
            }
        }
        let chains: Vec<Vec<&[u8]>> = credentials.iter().map(|(chain, _)| slices(chain)).collect();
        let identities = chains
            .iter()
            .zip(&credentials)
            .map(|(chain, (_, key))| Identity::new(chain, key));
        let identities = identities.collect::<Result<Vec<_>, _>>()?;

        let mut inbound = vec![0; FULL_INBOUND + LONG_MESSAGES];
        let mut outbound;
        let connection = if settings.server {
            let mut config = with_preferences!(ServerConfig::new(&identities, clock)?, settings, &protocols, &recorder);
            config = config.with_client_auth(match (settings.request_certificate, settings.require_certificate) {
                (true, _) => ClientAuth::Optional(&trust),
                (false, true) => ClientAuth::Required(&trust),
                (false, false) => ClientAuth::Off,
            });
            if !settings.no_ticket {
                config = config.with_tickets(tickets);
            }
            outbound = vec![0; config.flight_len() + LONG_MESSAGES];
            Connection::server(config, &mut inbound, &mut outbound)?
        } else {
            let name = settings.host_name.as_deref().map(ServerName::Dns);
            let mut config = with_preferences!(ClientConfig::new(&trust, name, clock), settings, &protocols, &recorder);
            if let [identity, ..] = identities[..] {
                config = config.with_identity(identity);
            }
            if !settings.no_ticket {
                config = config.with_sessions(sessions);
            }
            outbound = vec![0; config.flight_len() + LONG_MESSAGES];
            Connection::client(config, &mut inbound, &mut outbound, rng)?
        };
        let mut exchange = Exchange {
            socket: self.connect()?,
            connection,
            rng,
            settings,
            held_back: false,
        };
        let result = exchange
            .handshake()
            .and_then(|()| self.check(exchange.connection.info(), &recorder, &credentials))
            .and_then(|()| exchange.talk(&recorder))
            .and_then(|()| {
                compare(
                    "messages",
                    &settings.expect.messages,
                    &Some(recorder.messages.borrow().clone()),
                )
            });
        exchange.end();
        result?;
        self.check_session(exchange.connection.info(), sessions)
    }

    fn connect(self) -> Result<TcpStream, Failure> {
        let Settings {
            port, shim_id, ipv6, ..
        } = *self.settings;
        let mut socket = match ipv6 {
            true => TcpStream::connect((Ipv6Addr::LOCALHOST, port))?,
            false => TcpStream::connect((Ipv4Addr::LOCALHOST, port))?,
        };
        socket.set_nodelay(true)?;
        socket.write_all(&shim_id.to_le_bytes())?;
        Ok(socket)
    }

    /// Compares what was agreed upon with what the flags expect.
    fn check<K>(self, info: &Info<'_>, recorder: &Recorder, credentials: &[(Vec<Vec<u8>>, K)]) -> Result<(), Failure> {
        let expect = &self.settings.expect;
        if expect.never_done {
            return Err(unmet("the handshake was done"));
        }
        if info.resumed != (self.resumption && !expect.session_miss) {
            return Err(unmet(format!("resumed: {}", info.resumed)));
        }
        let version = info.version.map_or(0, |version| version.0);
        compare("version", &expect.version, &Some(version))?;
        compare("suite", &expect.suite, &info.suite.map(|suite| suite.id()))?;
        if info.version == Some(ProtocolVersion::TLS13) || !info.resumed {
            compare("group", &expect.group, &info.group.map(|group| group.id()))?;
        }
        if !info.resumed {
            let by_server = info.scheme.map(|scheme| scheme.id());
            let (own, scheme) = match self.settings.server {
                true => (by_server, recorder.peer_scheme.get()),
                false => (recorder.own_scheme.get(), by_server),
            };
            let allowed = &self.settings.own_schemes;
            if !allowed.is_empty() && own.is_some_and(|own| !allowed.contains(&own)) {
                return Err(Failure::Unimplemented("a choice of the schemes of our own signatures"));
            }
            compare("scheme", &expect.scheme, &scheme)?;
        }
        compare("retried", &expect.retry, &Some(info.retried))?;
        let protocol = info
            .protocol
            .as_ref()
            .map(|protocol| String::from_utf8_lossy(protocol).into_owned());
        compare("protocol", &expect.protocol, &protocol)?;
        let name = info.server_name.as_ref().map(|name| name.to_string());
        compare("server name", &expect.server_name, &name)?;
        if expect.no_server_name && name.is_some() {
            return Err(unmet(format!("server name: {name:?}")));
        }
        if let Some(list) = &expect.offered_protocols
            && !contains(&recorder.client_hello.borrow(), list.as_bytes())
        {
            return Err(unmet("offered protocols"));
        }

        let presented = info.peer.is_some();
        if presented && expect.no_peer_certificate
            || !presented && !expect.no_peer_certificate && (!self.settings.server || self.settings.require_certificate)
        {
            return Err(unmet(format!("certificate of the peer: {presented}")));
        }
        if let Some(path) = &expect.peer_certificate {
            let chain = files::certificates(path)?;
            let leaf = chain.first().map(|leaf| PeerIdentity::from_leaf(leaf)).transpose();
            compare(
                "certificate",
                &leaf.map_err(|error| unmet(format!("{path}: {error}")))?,
                &info.peer,
            )?;
        }
        if let Some(number) = expect.credential {
            // With -1 it is the default one, which comes last.
            let index = usize::try_from(number).unwrap_or(self.settings.credentials.len());
            let leaf = credentials.get(index).and_then(|(chain, _)| chain.first());
            let sent = recorder.own_certificate.borrow();
            if !leaf.is_some_and(|leaf| contains(&sent, leaf)) {
                return Err(unmet(format!("credential {number}")));
            }
        }
        Ok(())
    }

    /// Whether a client has got a ticket where it was to. In TLS 1.2 a session may also go on without one.
    fn check_session(self, info: &Info<'_>, sessions: &SessionCache) -> Result<(), Failure> {
        let Settings { expect, .. } = self.settings;
        if self.settings.server || self.settings.no_ticket || self.settings.shuts_down {
            return Ok(());
        }
        let expected = !expect.no_session;
        if info.version == Some(ProtocolVersion::TLS13) || expect.no_session || expect.ticket_renewal {
            compare("session to resume", &Some(expected), &Some(!sessions.is_empty()))?;
        }
        Ok(())
    }
}

/// The bytes between socket and engine.
struct Exchange<'a, 's> {
    socket: TcpStream,
    connection: Connection<'a>,
    rng: &'s mut ChaCha20Rng,
    settings: &'s Settings,
    /// What is pending waits until data has come.
    held_back: bool,
}

impl Exchange<'_, '_> {
    fn handshake(&mut self) -> Result<(), Failure> {
        while self.connection.is_handshaking() {
            if self.advance()? == Progress::NeedInput && self.connection.is_handshaking() {
                self.receive()?;
            }
        }
        Ok(())
    }

    /// What the flags have the shim send, and an echo of all that comes, inverted.
    fn talk(&mut self, recorder: &Recorder) -> Result<(), Failure> {
        let settings = self.settings;
        if settings.export_traffic_secrets {
            let (client, server) = (recorder.client_secret.borrow(), recorder.server_secret.borrow());
            let (read, written) = if settings.server {
                (client, server)
            } else {
                (server, client)
            };
            let length = u16::try_from(read.len()).map_err(io::Error::other)?;
            self.write(&[&length.to_le_bytes()[..], &read, &written].concat())?;
        }
        if settings.write_many_sizes {
            for size in [0, 1, 255, 256, 257, 16383, 16384, 16385, 32767, 32768, 32769] {
                self.write(&vec![0x42; size])?;
            }
        } else if settings.writes_first || settings.reads_before_write_is_sent {
            let text = settings.first_write.as_deref().unwrap_or("hello").as_bytes();
            if settings.reads_before_write_is_sent {
                self.connection.write(text)?;
                let first = self.connection.pending().get(..1).unwrap_or_default();
                self.socket.write_all(first)?;
                self.connection.sent(1);
                self.held_back = true;
            } else {
                for _ in 0..settings.first_writes {
                    self.write(text)?;
                }
            }
        }
        if settings.shuts_down {
            self.connection.close();
            if !settings.awaits_close_notify {
                return Ok(());
            }
        }
        loop {
            match self.advance()? {
                Progress::NeedInput => self.receive()?,
                Progress::Closed => return Ok(()),
                Progress::Data if settings.shuts_down => return Err(unmet("data after close_notify")),
                Progress::Data => {
                    self.held_back = false;
                    let data = self.connection.data();
                    let piece = data.get(..settings.read_size).unwrap_or(data);
                    let reply: Vec<u8> = piece.iter().map(|byte| byte ^ 0xff).collect();
                    self.connection.consume(reply.len());
                    self.write(&reply)?;
                }
            }
        }
    }

    fn write(&mut self, mut data: &[u8]) -> Result<(), Failure> {
        while !data.is_empty() {
            let count = self.connection.write(data)?;
            data = data.get(count..).unwrap_or_default();
            self.flush();
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Progress, Failure> {
        let result = self.connection.advance(self.rng);
        self.flush();
        Ok(result?)
    }

    /// Sends pending data. If the runner accepts no more, its earlier messages show why.
    fn flush(&mut self) {
        if self.held_back {
            return;
        }
        let count = self.connection.pending().len();
        let _ = self.socket.write_all(self.connection.pending());
        self.connection.sent(count);
    }

    fn receive(&mut self) -> Result<(), Failure> {
        let space = self.connection.space();
        let length = if self.settings.dribble {
            space.len().min(1)
        } else {
            space.len()
        };
        match self.socket.read(space.get_mut(..length).unwrap_or_default())? {
            0 => self.connection.received_end(),
            count => self.connection.received(count),
        }
        Ok(())
    }

    /// Ends our direction and reads what still comes, so that no reset overtakes an alert.
    fn end(&mut self) {
        self.held_back = false;
        self.connection.close();
        self.flush();
        let _ = self.socket.shutdown(Shutdown::Write);
        let _ = io::copy(&mut self.socket, &mut io::sink());
    }
}

fn slices(vectors: &[Vec<u8>]) -> Vec<&[u8]> {
    vectors.iter().map(Vec::as_slice).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len().max(1)).any(|window| window == part)
}

fn unmet(what: impl Into<String>) -> Failure {
    Failure::Unmet(what.into())
}

fn compare<T: PartialEq + fmt::Debug>(what: &str, expected: &Option<T>, found: &Option<T>) -> Result<(), Failure> {
    match expected {
        Some(_) if expected != found => Err(unmet(format!("{what}: {found:?} instead of {expected:?}"))),
        _ => Ok(()),
    }
}
