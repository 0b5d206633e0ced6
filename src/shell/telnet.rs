//! The telnet protocol on a byte stream: negotiation, escaping, window size.
//!
//! Read first: RFC 854 (protocol), 855 (options), 857 (ECHO), 858 (SUPPRESS-GO-AHEAD), 1073 (window size), 1143 (how to
//! negotiate without loops). We offer to echo and to suppress go-ahead, ask for the window size, and refuse the rest. A
//! peer that answers none of it (`nc`) gets plain lines and no echo.

use core::fmt;

use embassy_time::{Duration, with_timeout};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use zeroize::Zeroize as _;

use super::console::{Console, Size};

/// The longest time that a peer may stop reading.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a telnet session's stream ended.
#[derive(Debug)]
pub enum Error<E> {
    /// The connection failed.
    Connection(E),
    /// The peer stopped reading for [`WRITE_TIMEOUT`].
    Stalled,
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Connection(error) => error.fmt(f),
            Error::Stalled => write!(f, "peer stopped reading for {} s", WRITE_TIMEOUT.as_secs()),
        }
    }
}

impl<E: core::error::Error> core::error::Error for Error<E> {}

impl<E: embedded_io_async::Error> embedded_io_async::Error for Error<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Error::Connection(error) => error.kind(),
            Error::Stalled => ErrorKind::TimedOut,
        }
    }
}

/// A telnet stream. Reads return what the peer typed, writes are escaped; both are cancel-safe.
pub struct Telnet<S> {
    stream: S,
    protocol: Protocol,
    /// Bytes from the stream that are not decoded: `start <= end <= INPUT`.
    input: [u8; INPUT],
    start: usize,
    end: usize,
    /// Bytes for the stream that it has not taken: `sent <= output.len()`.
    output: heapless::Vec<u8, OUTPUT>,
    sent: usize,
}

/// Bytes taken from the stream at a time.
const INPUT: usize = 128;
/// Bytes gathered for the stream. A write beyond waits for the stream.
const OUTPUT: usize = 512;

// RFC 854, "TELNET command structure".
const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const EL: u8 = 248;
const EC: u8 = 247;
const AYT: u8 = 246;
const IP: u8 = 244;
const BRK: u8 = 243;
const SE: u8 = 240;

/// RFC 857.
const ECHO: u8 = 1;
/// RFC 858.
const SUPPRESS_GO_AHEAD: u8 = 3;
/// RFC 1073.
const NAWS: u8 = 31;

/// The longest answer to one byte of the peer's: an answer to "are you there".
const ANSWER: &[u8] = b"\r\n[Yes]\r\n";

impl<S> Telnet<S> {
    /// Begins: the offers are sent with the first write.
    pub fn new(stream: S) -> Self {
        let mut output = heapless::Vec::new();
        let offers = [IAC, WILL, ECHO, IAC, WILL, SUPPRESS_GO_AHEAD, IAC, DO, NAWS];
        let _ = output.extend_from_slice(&offers);
        Telnet {
            stream,
            protocol: Protocol::new(),
            input: [0; INPUT],
            start: 0,
            end: 0,
            output,
            sent: 0,
        }
    }

    /// The stream beneath.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream beneath, at the end of the session.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: ErrorType> ErrorType for Telnet<S> {
    type Error = Error<S::Error>;
}

impl<S: Write> Telnet<S> {
    /// Hands everything gathered to the stream. Cancel-safe: what was taken is not sent again.
    async fn send(&mut self) -> Result<(), Error<S::Error>> {
        while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let taken = with_timeout(WRITE_TIMEOUT, self.stream.write(rest))
                .await
                .map_err(|_| Error::Stalled)?;
            match taken.map_err(Error::Connection)? {
                0 => break,
                count => self.sent = (self.sent + count).min(self.output.len()),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(())
    }
}

impl<S: Read + Write> Read for Telnet<S> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        loop {
            let mut count = 0;
            while self.start < self.end && count < buf.len() {
                // One byte may ask for an answer; decode only while there is room for it.
                if self.output.capacity() - self.output.len() < ANSWER.len() {
                    break;
                }
                let byte = self.input.get(self.start).copied().unwrap_or(0);
                self.start += 1;
                let output = &mut self.output;
                let decoded = self.protocol.take(byte, &mut |answer| {
                    let _ = output.extend_from_slice(answer);
                });
                if let (Some(decoded), Some(slot)) = (decoded, buf.get_mut(count)) {
                    *slot = decoded;
                    count += 1;
                }
            }
            if count > 0 || buf.is_empty() {
                return Ok(count);
            }
            if !self.output.is_empty() {
                // The answer must not wait for the next output: nothing may come before it.
                self.flush().await?;
            }
            if self.start == self.end {
                let count = self.stream.read(&mut self.input).await.map_err(Error::Connection)?;
                if count == 0 {
                    return Ok(0);
                }
                (self.start, self.end) = (0, count.min(INPUT));
            }
        }
    }
}

impl<S: Write> Write for Telnet<S> {
    /// Takes text; it is on its way after a [`flush`](Write::flush).
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        // Twice the room that any one byte needs.
        if self.output.capacity() - self.output.len() < 4 {
            self.send().await?;
        }
        let mut count = 0;
        for byte in buf {
            if self.output.capacity() - self.output.len() < 2 {
                break;
            }
            let _ = self.output.push(*byte);
            if *byte == IAC {
                let _ = self.output.push(IAC);
            }
            count += 1;
        }
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.send().await?;
        let flushed = with_timeout(WRITE_TIMEOUT, self.stream.flush())
            .await
            .map_err(|_| Error::Stalled)?;
        flushed.map_err(Error::Connection)
    }
}

impl<S: Read + Write> Console for Telnet<S> {
    fn interactive(&self) -> bool {
        self.protocol.us_echo == OptionState::Yes
    }
    fn size(&self) -> Size {
        self.protocol.size
    }
    fn wipe(&mut self) {
        self.input.get_mut(..self.start).unwrap_or_default().zeroize();
    }
}

/// One side's state of an option (RFC 1143, without the queue bits: we never change our mind).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OptionState {
    No,
    /// We have asked and wait for the answer.
    Asked,
    Yes,
}

#[derive(Clone, Copy)]
enum ParserState {
    Data,
    /// After CR, which NUL or LF completes (RFC 854, "The NVT printer and keyboard").
    Cr,
    Command,
    Option(u8),
    /// The option of the subnegotiation comes next.
    Sub,
    SubData,
    SubCommand,
}

/// Longest subnegotiation kept: the four bytes of a window size. What is beyond is counted, not kept.
const SUB: usize = 4;
/// A subnegotiation longer than this never ends as far as we care, and what follows is taken as typed.
const SUB_LIMIT: usize = 1024;

/// The protocol without its stream.
struct Protocol {
    state: ParserState,
    us_echo: OptionState,
    us_suppress: OptionState,
    peer_suppress: OptionState,
    peer_naws: OptionState,
    sub_option: u8,
    sub: [u8; SUB],
    sub_len: usize,
    size: Size,
}

impl Protocol {
    fn new() -> Self {
        Protocol {
            state: ParserState::Data,
            us_echo: OptionState::Asked,
            us_suppress: OptionState::Asked,
            peer_suppress: OptionState::No,
            peer_naws: OptionState::Asked,
            sub_option: 0,
            sub: [0; SUB],
            sub_len: 0,
            size: Size::DEFAULT,
        }
    }

    /// Takes one byte from the peer; gives what it means as typed input, and the answer it demands, if any.
    fn take(&mut self, byte: u8, answer: &mut dyn FnMut(&[u8])) -> Option<u8> {
        match core::mem::replace(&mut self.state, ParserState::Data) {
            ParserState::Cr if matches!(byte, 0 | b'\n') => None,
            ParserState::Data | ParserState::Cr => match byte {
                IAC => {
                    self.state = ParserState::Command;
                    None
                }
                _ => {
                    if byte == b'\r' {
                        self.state = ParserState::Cr;
                    }
                    Some(byte)
                }
            },
            ParserState::Command => self.command(byte, answer),
            ParserState::Option(verb) => {
                self.negotiate(verb, byte, answer);
                None
            }
            ParserState::Sub => {
                (self.sub_option, self.sub_len) = (byte, 0);
                self.state = ParserState::SubData;
                None
            }
            ParserState::SubData if byte == IAC => {
                self.state = ParserState::SubCommand;
                None
            }
            ParserState::SubData => {
                self.sub_byte(byte);
                None
            }
            ParserState::SubCommand => match byte {
                IAC => {
                    self.sub_byte(IAC);
                    None
                }
                SE => {
                    self.sub_end();
                    None
                }
                // No SE: the command stands for itself, the subnegotiation is lost.
                _ => self.command(byte, answer),
            },
        }
    }

    fn command(&mut self, byte: u8, answer: &mut dyn FnMut(&[u8])) -> Option<u8> {
        match byte {
            IAC => Some(IAC),
            WILL | WONT | DO | DONT => {
                self.state = ParserState::Option(byte);
                None
            }
            SB => {
                self.state = ParserState::Sub;
                None
            }
            IP | BRK => Some(0x03),
            EC => Some(0x7f),
            EL => Some(0x15),
            AYT => {
                answer(ANSWER);
                None
            }
            // Data mark, abort output, go-ahead, no operation, and what RFC 854 does not define.
            _ => None,
        }
    }

    /// RFC 1143, section 7: a request that changes nothing is not answered, so no loop can arise; a refusal answers
    /// every request, since `telnet` waits for one after each DO TIMING-MARK.
    fn negotiate(&mut self, verb: u8, option: u8, answer: &mut dyn FnMut(&[u8])) {
        let ours = matches!(verb, DO | DONT);
        let side = match (ours, option) {
            (true, ECHO) => Some(&mut self.us_echo),
            (true, SUPPRESS_GO_AHEAD) => Some(&mut self.us_suppress),
            (false, SUPPRESS_GO_AHEAD) => Some(&mut self.peer_suppress),
            (false, NAWS) => Some(&mut self.peer_naws),
            _ => None,
        };
        let (agree, refuse) = if ours { (WILL, WONT) } else { (DO, DONT) };
        let wanted = matches!(verb, DO | WILL);
        match (side, wanted) {
            (None, true) => answer(&[IAC, refuse, option]),
            (None, false) => {}
            (Some(side), wanted) => {
                let before = core::mem::replace(side, if wanted { OptionState::Yes } else { OptionState::No });
                match (before, wanted) {
                    (OptionState::No, true) => answer(&[IAC, agree, option]),
                    (OptionState::Yes, false) => answer(&[IAC, refuse, option]),
                    _ => {}
                }
            }
        }
    }

    fn sub_byte(&mut self, byte: u8) {
        if let Some(slot) = self.sub.get_mut(self.sub_len) {
            *slot = byte;
        }
        self.sub_len += 1;
        if self.sub_len <= SUB_LIMIT {
            self.state = ParserState::SubData;
        }
    }

    fn sub_end(&mut self) {
        if self.sub_option == NAWS && self.sub_len == SUB {
            let [c1, c0, r1, r0] = self.sub;
            self.size = Size::clamped(u16::from_be_bytes([c1, c0]), u16::from_be_bytes([r1, r0]));
        }
    }
}

#[cfg(test)]
mod tests;
