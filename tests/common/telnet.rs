//! A telnet client like `nc`: without negotiation the shell does not echo.

use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::process::Said;

/// The end of a prompt.
const PROMPTS: [&str; 3] = ["> ", "echoctl> ", "echoctl_tls> "];

/// A session on the debug shell.
pub struct Telnet {
    stream: TcpStream,
    /// The output of the shell, including telnet commands.
    pub said: Said,
    /// The position up to which it was read.
    seen: usize,
    /// The current prompt.
    at: &'static str,
}

impl Telnet {
    /// Connects and waits for the prompt.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        let said = Said::by(stream.try_clone().unwrap());
        let mut telnet = Self {
            stream,
            said,
            seen: 0,
            at: "",
        };
        telnet.prompt();
        telnet
    }

    /// Sends a line; returns the output before the next prompt, with `\n` at the end of each line.
    pub fn command(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        self.prompt()
    }

    /// Sends bytes unchanged.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Waits for a prompt; returns the output before it.
    pub fn prompt(&mut self) -> String {
        let seen = self.seen;
        let (end, prompt, text) = self.said.wait_until("a prompt", |bytes| {
            let text = without_commands(bytes.get(seen..)?);
            let line = text.rsplit('\n').next()?;
            let prompt = PROMPTS.into_iter().find(|prompt| line == *prompt)?;
            Some((bytes.len(), prompt, text[..text.len() - prompt.len()].to_owned()))
        });
        (self.seen, self.at) = (end, prompt);
        text
    }

    /// The current prompt.
    pub fn at_prompt(&self) -> &'static str {
        self.at
    }

    /// Only the connection; its output is still read.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Closes the sending direction.
    pub fn shutdown(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

/// Text without telnet's commands (RFC 854) and carriage returns.
fn without_commands(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    let mut bytes = bytes.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' | 0 => {}
            255 => match bytes.next() {
                Some(255) => text.push(255),
                Some(251..=254) => drop(bytes.next()),
                Some(250) => while !matches!(bytes.next(), Some(240) | None) {},
                _ => {}
            },
            byte => text.push(byte),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}
