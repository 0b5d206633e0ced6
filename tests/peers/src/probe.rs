//! A server under test: bytes in, records and verdicts out.

use chacha20::ChaCha20Rng;
use postern_tls::{AlertDescription, Connection, Error, FULL_INBOUND, Progress, ServerConfig};

use crate::client::Keys;

/// The buffers of a server.
pub struct Buffers {
    inbound: Vec<u8>,
    outbound: Vec<u8>,
}

impl Buffers {
    /// Room for the longest record either way.
    pub fn new() -> Self {
        Self::sized(FULL_INBOUND, 17000)
    }

    /// Of other sizes.
    pub fn sized(inbound: usize, outbound: usize) -> Self {
        Self {
            inbound: vec![0; inbound],
            outbound: vec![0; outbound],
        }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// A server, driven by hand.
pub struct Probe<'a> {
    /// The server itself.
    pub server: Connection<'a>,
    /// Its generator.
    pub rng: ChaCha20Rng,
    /// The data that it has received.
    pub data: Vec<u8>,
    wire: Vec<u8>,
}

impl<'a> Probe<'a> {
    /// A server that waits for a ClientHello.
    pub fn new(config: ServerConfig<'a>, buffers: &'a mut Buffers) -> Self {
        Self {
            server: Connection::server(config, &mut buffers.inbound, &mut buffers.outbound).unwrap(),
            rng: crate::rng(7),
            data: Vec::new(),
            wire: Vec::new(),
        }
    }

    /// Gives the server `bytes`, all at once as far as it takes them, and processes everything.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Progress, Error> {
        self.feed_by(bytes, usize::MAX)
    }

    /// Gives the server `bytes` in pieces of `chunk` bytes.
    pub fn feed_by(&mut self, mut bytes: &[u8], chunk: usize) -> Result<Progress, Error> {
        loop {
            let space = self.server.space();
            let count = space.len().min(bytes.len()).min(chunk);
            assert!(count > 0 || bytes.is_empty(), "no space although all data was consumed");
            space[..count].copy_from_slice(&bytes[..count]);
            self.server.received(count);
            bytes = &bytes[count..];
            let progress = self.advance()?;
            if bytes.is_empty() || progress == Progress::Closed {
                return Ok(progress);
            }
        }
    }

    /// Tells the server that the byte stream has ended.
    pub fn end(&mut self) -> Result<Progress, Error> {
        self.server.received_end();
        self.advance()
    }

    /// Writes `text`, whole.
    pub fn write(&mut self, mut text: &[u8]) -> Result<(), Error> {
        while !text.is_empty() {
            let count = self.server.write(text)?;
            text = &text[count..];
            self.collect();
        }
        Ok(())
    }

    /// The next record that the server sent, header included.
    pub fn record(&mut self) -> Option<Vec<u8>> {
        self.collect();
        let [_, _, _, high, low] = *self.wire.first_chunk()?;
        let length = 5 + usize::from(u16::from_be_bytes([high, low]));
        assert!(self.wire.len() >= length, "the server sent part of a record");
        Some(self.wire.drain(..length).collect())
    }

    /// Whether the server has sent something that was not looked at.
    pub fn is_silent(&mut self) -> bool {
        self.collect();
        self.wire.is_empty()
    }

    /// `bytes` have to be refused: with this error, which stays; with this alert and nothing else, protected by `keys`
    /// where there are some; and with nothing ever after.
    #[track_caller]
    pub fn refuses(&mut self, keys: Option<&mut Keys>, bytes: &[u8], error: impl Into<Error>, alert: AlertDescription) {
        assert!(self.is_silent(), "the server had something to say before");
        let error = error.into();
        assert_eq!(self.feed(bytes), Err(error));
        assert_eq!(error.alert(), Some(alert));
        self.alerted(keys, alert);
        self.is_over(error);
    }

    /// The server sends this alert and nothing else.
    #[track_caller]
    pub fn alerted(&mut self, keys: Option<&mut Keys>, alert: AlertDescription) {
        let level = if alert == AlertDescription::CLOSE_NOTIFY { 1 } else { 2 };
        let record = self.record().expect("no alert was sent");
        match keys {
            Some(keys) => assert_eq!(keys.open(&record), Ok((21, vec![level, alert.0]))),
            None => assert_eq!(record, [21, 3, 3, 0, 2, level, alert.0]),
        }
        assert!(self.is_silent(), "something followed the alert");
    }

    /// The connection has failed with `error` and stays so.
    #[track_caller]
    pub fn is_over(&mut self, error: impl Into<Error>) {
        let error = error.into();
        for _ in 0..2 {
            assert_eq!(self.server.advance(&mut self.rng), Err(error));
        }
        assert_eq!(self.server.write(b"more"), Err(error));
        self.server.close();
        assert!(self.server.data().is_empty());
        assert!(self.is_silent());
    }

    fn advance(&mut self) -> Result<Progress, Error> {
        loop {
            let progress = self.server.advance(&mut self.rng);
            self.collect();
            if progress != Ok(Progress::Data) {
                return progress;
            }
            let data = self.server.data();
            assert!(!data.is_empty());
            self.data.extend_from_slice(data);
            let count = data.len();
            self.server.consume(count);
        }
    }

    fn collect(&mut self) {
        let pending = self.server.pending();
        self.wire.extend_from_slice(pending);
        let count = pending.len();
        self.server.sent(count);
    }
}
