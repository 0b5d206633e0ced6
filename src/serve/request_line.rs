//! A detector of HTTP request lines at the beginning of a connection.
//!
//! A web page can make a browser send a request to any host and port, with a body of the page's choice. A service that
//! reads lines would run the body as commands, and one that echoes would return it as if it were the page's own
//! content.

/// Watches the first line of a connection for `method SP request-target SP HTTP/` (RFC 9112 §3). It holds no text, so
/// that a target of any length is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLine {
    state: LineState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineState {
    /// In the line that a server ignores before a request (RFC 9112 §2.2), or before the method.
    Start,
    Method,
    Target,
    /// After the blank behind the target; so many bytes of [`VERSION`] have come.
    Version(usize),
    /// The line is a request line.
    Http,
    /// The first line is something else.
    Other,
}

/// The HTTP version after the target (RFC 9112 §2.3).
const VERSION: &[u8] = b"HTTP/";

impl RequestLine {
    /// Before the first byte.
    pub const fn new() -> Self {
        Self {
            state: LineState::Start,
        }
    }

    /// Takes one byte; returns whether the first line is known to be a request line.
    pub fn push(&mut self, byte: u8) -> bool {
        self.state = match (self.state, byte) {
            (LineState::Http, _) => LineState::Http,
            (LineState::Other, _) => LineState::Other,
            (LineState::Start, b'\r' | b'\n') => LineState::Start,
            (LineState::Start | LineState::Method, byte) if is_token(byte) => LineState::Method,
            (LineState::Method | LineState::Target, b' ') => match self.state {
                LineState::Method => LineState::Target,
                _ => LineState::Version(0),
            },
            (LineState::Target, 0x21..=0x7e | 0x80..) => LineState::Target,
            (LineState::Version(count), byte) if VERSION.get(count) == Some(&byte) => match count + 1 {
                count if count == VERSION.len() => LineState::Http,
                count => LineState::Version(count),
            },
            _ => LineState::Other,
        };
        self.state == LineState::Http
    }

    /// Takes bytes up to the end of a request line's `HTTP/`; returns whether the first line is known to be one.
    pub fn push_all(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            if self.is_decided() {
                break;
            }
            self.push(*byte);
        }
        self.state == LineState::Http
    }

    /// Whether further bytes change nothing.
    pub fn is_decided(&self) -> bool {
        matches!(self.state, LineState::Http | LineState::Other)
    }
}

impl Default for RequestLine {
    fn default() -> Self {
        Self::new()
    }
}

/// `tchar` (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
