//! HTTP proxies: outgoing connections through a tunnel (CONNECT).
//!
//! Of a [`Proxy`] a tunnel is asked with CONNECT (RFC 9110 §9.3.6), with a login if it has one (Basic, RFC 7617). The
//! target is sent as it was given: a host's name is looked up by the proxy, not here. [`ResponseHead`] parses the
//! answer, without I/O.
//!
//! The way to the proxy is TCP alone: it sees the login, and whatever goes through the tunnel without TLS.

use core::fmt::{self, Write as _};

use base64ct::{Base64, Encoding as _};
use embassy_time::{Duration, with_timeout};
use zeroize::Zeroizing;

use super::host::{Authority, Host, OwnedHost};
use super::open::{OpenError, open};
use crate::config::{self, MAX_NAME, MAX_PASSWORD, MAX_USER};
use crate::net::{self, Network, Transport};
use crate::pki::text::Text;

/// How long a proxy may take to answer: it connects to the host meanwhile.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest head of an answer, in bytes: status line, header fields, and the empty line.
pub const MAX_HEAD: usize = 4096;

/// The longest status line, in bytes.
const MAX_STATUS: usize = 256;

/// The longest `host:port`.
const AUTHORITY: usize = MAX_NAME + 6;

/// The longest login in base64 (RFC 7617 §2): user, colon, password.
const LOGIN: usize = (MAX_USER + 1 + MAX_PASSWORD).div_ceil(3) * 4;

/// An HTTP proxy. What it displays is where it is, `10.0.2.2:3128`.
pub struct Proxy {
    host: OwnedHost,
    port: u16,
    /// User and password, as they are sent; empty: none.
    login: Zeroizing<[u8; LOGIN]>,
    login_len: usize,
    random: fn() -> u64,
}

impl Proxy {
    /// The proxy of a configuration that was found good; `None`: there is none. `random` returns unpredictable
    /// numbers, with which its name is looked up.
    pub fn from_config(config: &config::Proxy, random: fn() -> u64) -> Option<Self> {
        if !config.is_set() {
            return None;
        }
        let mut proxy = Proxy {
            host: OwnedHost::new(Host::of(config.ipaddr, &config.host))?,
            port: config.port,
            login: Zeroizing::new([0; LOGIN]),
            login_len: 0,
            random,
        };
        let (user, password) = (config.user.as_bytes(), config.password.as_bytes());
        if !user.is_empty() {
            let mut plain = Zeroizing::new([0; MAX_USER + 1 + MAX_PASSWORD]);
            let parts = user.iter().chain(b":").chain(password);
            let length = plain.iter_mut().zip(parts).map(|(slot, byte)| *slot = *byte).count();
            // It fits: the parts are no longer than that.
            proxy.login_len = plain
                .get(..length)
                .and_then(|plain| Some(Base64::encode(plain, proxy.login.as_mut_slice()).ok()?.len()))
                .unwrap_or(0);
        }
        Some(proxy)
    }

    /// Whether it is given a login.
    pub fn has_login(&self) -> bool {
        self.login_len > 0
    }

    /// The login in base64; empty: none.
    fn login(&self) -> &[u8] {
        self.login.get(..self.login_len).unwrap_or_default()
    }

    /// A connection to `host` through the proxy: what is read from it, from its first byte on, is the host's.
    pub(super) async fn tunnel<N: Network>(
        &self,
        network: &N,
        host: Host<'_>,
        port: u16,
    ) -> Result<N::Stream, ProxyError>
    where
        N::Stream: Transport<Error = net::Error>,
    {
        let mut stream = open(network, self.host.get(), self.port, self.random)
            .await
            .map_err(ProxyError::Open)?;
        match with_timeout(EXCHANGE_TIMEOUT, self.ask(&mut stream, host, port)).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ProxyError::TimedOut),
        }
    }

    async fn ask<S: Transport<Error = net::Error>>(
        &self,
        stream: &mut S,
        host: Host<'_>,
        port: u16,
    ) -> Result<(), ProxyError> {
        let mut authority = heapless::String::<AUTHORITY>::new();
        // Nothing that is configured or typed is longer.
        write!(authority, "{}", Authority(host, port)).map_err(|_| ProxyError::TooLong)?;
        let authority = authority.as_bytes();
        // RFC 9112 §3.2.3; RFC 9110 §7.2 wants the same as Host.
        for piece in [b"CONNECT ", authority, b" HTTP/1.1\r\nHost: ", authority, b"\r\n"] {
            stream.write_all(piece).await?;
        }
        if self.has_login() {
            for piece in [b"Proxy-Authorization: Basic ", self.login(), b"\r\n"] {
                stream.write_all(piece).await?;
            }
        }
        stream.write_all(b"\r\n").await?;
        stream.flush().await?;
        let mut answer = ResponseHead::new();
        loop {
            // A byte at a time: what follows the head is the host's, and stays where it is.
            let mut byte = [0];
            let count = stream.read(&mut byte).await?;
            let [byte] = byte;
            if count == 0 {
                return Err(self.classify(answer.cut_short()));
            }
            match answer.take(byte) {
                None => {}
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) => return Err(self.classify(error)),
            }
        }
    }
}

impl Proxy {
    /// A proxy that was sent a login refuses that one. (tinyproxy returns 401, as a server would, instead of 407.)
    fn classify(&self, error: ProxyError) -> ProxyError {
        match error {
            ProxyError::WantsLogin | ProxyError::Refused(401, _) if self.has_login() => ProxyError::WrongLogin,
            error => error,
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Authority(self.host.get(), self.port).fmt(f)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Why a proxy gave no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyError {
    /// No TCP connection to the proxy came about.
    Open(OpenError),
    /// The TCP connection to the proxy failed.
    Tcp(net::Error),
    /// It closed the connection before its answer was complete.
    Closed,
    /// It did not answer within [`EXCHANGE_TIMEOUT`].
    TimedOut,
    /// The response is not HTTP/1 (RFC 9112 §4).
    NotHttp,
    /// The head of its answer is longer than [`MAX_HEAD`], or the status line longer than it may be.
    TooLong,
    /// It wants a login (407), and none is configured.
    WantsLogin,
    /// It refuses the configured login (407).
    WrongLogin,
    /// It refused with this status and reason (RFC 9110 §15).
    Refused(u16, Text<64>),
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::Open(error @ (OpenError::Resolve(_) | OpenError::NoAddress)) => {
                write!(f, "cannot resolve the proxy's name: {error}")
            }
            ProxyError::Open(error) => write!(f, "the proxy: {error}"),
            ProxyError::Tcp(error) => write!(f, "the proxy: {error}"),
            ProxyError::Closed => f.write_str("the proxy closed the connection before its response was complete"),
            ProxyError::TimedOut => write!(f, "the proxy did not answer within {} s", EXCHANGE_TIMEOUT.as_secs()),
            ProxyError::NotHttp => f.write_str("the proxy's response is not HTTP/1"),
            ProxyError::TooLong => write!(f, "the proxy's response is longer than {MAX_HEAD} bytes"),
            ProxyError::WantsLogin => {
                f.write_str("the proxy requires authentication: set .proxy.user and .proxy.password")
            }
            ProxyError::WrongLogin => {
                f.write_str("the proxy rejected .proxy.user and .proxy.password (or accepts no Basic authentication)")
            }
            ProxyError::Refused(status, reason) if reason.is_empty() => write!(f, "the proxy refused: {status}"),
            ProxyError::Refused(status, reason) => write!(f, "the proxy refused: {status} {reason}"),
        }
    }
}

impl core::error::Error for ProxyError {}

impl From<net::Error> for ProxyError {
    fn from(error: net::Error) -> Self {
        ProxyError::Tcp(error)
    }
}

/// The head of a proxy's answer, taken a byte at a time.
pub struct ResponseHead {
    /// The status line, with room for the empty line by which httparse knows the end.
    status: heapless::Vec<u8, { MAX_STATUS + 2 }>,
    /// The meaning of the status line, once it is complete.
    verdict: Option<Verdict>,
    /// Bytes of the present line without its end.
    line: usize,
    /// The last byte was CR.
    returned: bool,
    /// Bytes in all.
    taken: usize,
}

#[derive(Clone, Copy)]
enum Verdict {
    /// 1xx: another answer follows (RFC 9110 §15.2).
    Interim,
    Final(Result<(), ProxyError>),
}

impl ResponseHead {
    /// Before the first byte.
    pub fn new() -> Self {
        ResponseHead {
            status: heapless::Vec::new(),
            verdict: None,
            line: 0,
            returned: false,
            taken: 0,
        }
    }

    /// Takes the next byte. `Some` with the last one of the head: the tunnel is open, or why not. What comes after a
    /// tunnel's head is not the proxy's any more.
    pub fn take(&mut self, byte: u8) -> Option<Result<(), ProxyError>> {
        self.taken = self.taken.saturating_add(1);
        if self.taken > MAX_HEAD {
            return Some(Err(ProxyError::TooLong));
        }
        if self.verdict.is_none() {
            // RFC 9112 §2.3: the name of the protocol comes first. A peer with another protocol may never end a line.
            let wanted = b"HTTP/1.".get(self.status.len());
            if wanted.is_some_and(|wanted| *wanted != byte) {
                return Some(Err(ProxyError::NotHttp));
            }
            if self.status.len() == MAX_STATUS {
                return Some(Err(ProxyError::TooLong));
            }
            let _ = self.status.push(byte); // there is room
        }
        if byte != b'\n' {
            self.line = self.line.saturating_add(1);
            self.returned = byte == b'\r';
            return None;
        }
        // RFC 9112 §2.2: CR LF, or LF alone.
        let empty = self.line == usize::from(self.returned);
        (self.line, self.returned) = (0, false);
        match self.verdict {
            None => match verdict(&mut self.status) {
                Some(verdict) => self.verdict = Some(verdict),
                None => return Some(Err(ProxyError::NotHttp)),
            },
            Some(Verdict::Interim) if empty => {
                self.verdict = None;
                self.status.clear();
            }
            Some(Verdict::Final(verdict)) if empty => return Some(verdict),
            Some(_) => {}
        }
        None
    }

    /// The error if the response ends here.
    fn cut_short(&self) -> ProxyError {
        match self.verdict {
            // The reason is known all the same.
            Some(Verdict::Final(Err(error))) => error,
            _ => ProxyError::Closed,
        }
    }
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self::new()
    }
}

/// The meaning of a status line with its end; `None` if it is none.
fn verdict(line: &mut heapless::Vec<u8, { MAX_STATUS + 2 }>) -> Option<Verdict> {
    line.extend_from_slice(b"\r\n").ok()?;
    let mut response = httparse::Response::new(&mut []);
    response.parse(line).ok()?.is_complete().then_some(())?;
    let reason = response.reason.unwrap_or("").trim();
    Some(match response.code? {
        // A tunnel is no other protocol, for which 101 would be.
        100 | 102..=199 => Verdict::Interim,
        200..=299 => Verdict::Final(Ok(())),
        407 => Verdict::Final(Err(ProxyError::WantsLogin)),
        code => Verdict::Final(Err(ProxyError::Refused(code, Text::new(reason)))),
    })
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
