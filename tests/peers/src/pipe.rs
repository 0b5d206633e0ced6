//! A transport in memory with speed and capacity, and rustls at its other end.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::rc::Rc;
use std::task::Poll;

use embedded_io_async::{ErrorType, Read, Write};

#[derive(Default)]
struct Channel {
    bytes: VecDeque<u8>,
    capacity: usize,
    ended: bool,
    /// The next operation is put off once.
    put_off: bool,
    stutters: bool,
}

/// One direction of a transport.
#[derive(Clone)]
pub struct Pipe(Rc<RefCell<Channel>>);

impl Pipe {
    /// A pipe that holds `capacity` bytes. Where it `stutters`, every other poll finds it not ready.
    pub fn new(capacity: usize, stutters: bool) -> Self {
        Self(Rc::new(RefCell::new(Channel {
            capacity,
            stutters,
            put_off: stutters,
            ..Channel::default()
        })))
    }

    /// Puts in what there is room for and returns how much that was.
    pub fn push(&self, bytes: &[u8]) -> usize {
        let mut channel = self.0.borrow_mut();
        let count = bytes.len().min(channel.capacity - channel.bytes.len());
        channel.bytes.extend(&bytes[..count]);
        count
    }

    /// Takes out everything.
    pub fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().bytes.drain(..).collect()
    }

    /// Nothing more will be put in.
    pub fn end(&self) {
        self.0.borrow_mut().ended = true;
    }

    /// Whether this poll is put off.
    fn puts_off(&self) -> bool {
        let mut channel = self.0.borrow_mut();
        channel.put_off = channel.stutters && !channel.put_off;
        channel.stutters && !channel.put_off
    }
}

impl ErrorType for Pipe {
    type Error = Infallible;
}

impl Read for Pipe {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        assert!(!buffer.is_empty());
        poll_fn(|_| {
            if self.puts_off() {
                return Poll::Pending;
            }
            let mut channel = self.0.borrow_mut();
            let count = buffer.len().min(channel.bytes.len());
            if count == 0 && !channel.ended {
                return Poll::Pending;
            }
            for (to, from) in buffer.iter_mut().zip(channel.bytes.drain(..count)) {
                *to = from;
            }
            Poll::Ready(Ok(count))
        })
        .await
    }
}

impl Write for Pipe {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        assert!(!bytes.is_empty());
        poll_fn(|_| {
            if self.puts_off() {
                return Poll::Pending;
            }
            match self.push(bytes) {
                0 => Poll::Pending,
                count => Poll::Ready(Ok(count)),
            }
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        poll_fn(|_| {
            if self.puts_off() {
                Poll::Pending
            } else {
                Poll::Ready(Ok(()))
            }
        })
        .await
    }
}

/// Both directions, the way a server sees them.
pub struct Transport {
    /// From the peer.
    pub input: Pipe,
    /// To the peer.
    pub output: Pipe,
}

impl Transport {
    /// Its two halves.
    pub fn halves(&mut self) -> (Pipe, Pipe) {
        (self.input.clone(), self.output.clone())
    }
}

impl ErrorType for Transport {
    type Error = Infallible;
}

impl Read for Transport {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        self.input.read(buffer).await
    }
}

impl Write for Transport {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.output.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        self.output.flush().await
    }
}

/// rustls at the other end.
pub struct Peer {
    /// rustls itself.
    pub client: rustls::ClientConnection,
    /// What it has received.
    pub received: Vec<u8>,
    /// What it still has to send.
    pub to_send: VecDeque<u8>,
    /// How it failed.
    pub failure: Option<rustls::Error>,
    /// After how many bytes sent it asks for a new key, time and again.
    pub update_every: usize,
    input: Pipe,
    output: Pipe,
    wire: VecDeque<u8>,
    sent: usize,
}

impl Peer {
    /// A peer and the transport to it.
    pub fn new(client: rustls::ClientConnection, capacity: usize, stutters: bool) -> (Self, Transport) {
        let (input, output) = (Pipe::new(capacity, stutters), Pipe::new(capacity, stutters));
        let peer = Self {
            client,
            received: Vec::new(),
            to_send: VecDeque::new(),
            failure: None,
            update_every: usize::MAX,
            input: output.clone(),
            output: input.clone(),
            wire: VecDeque::new(),
            sent: 0,
        };
        (peer, Transport { input, output })
    }

    /// Moves on as far as the pipes allow.
    pub fn turn(&mut self) {
        self.send();
        self.receive();
    }

    /// Sends, without receiving anything.
    pub fn send(&mut self) {
        if !self.client.is_handshaking() && self.wire.is_empty() && !self.to_send.is_empty() {
            let count = self.to_send.len().min(16384);
            let piece: Vec<u8> = self.to_send.drain(..count).collect();
            self.client.writer().write_all(&piece).unwrap();
            let before = self.sent / self.update_every;
            self.sent += count;
            if self.sent / self.update_every != before {
                self.client.refresh_traffic_keys().unwrap();
            }
        }
        while self.client.wants_write() {
            let mut bytes = Vec::new();
            self.client.write_tls(&mut bytes).unwrap();
            self.wire.extend(bytes);
        }
        let count = self.output.push(self.wire.make_contiguous());
        self.wire.drain(..count);
    }

    /// Puts `bytes` in behind what it sends, unprotected.
    pub fn inject(&mut self, bytes: &[u8]) {
        self.wire.extend(bytes);
    }

    fn receive(&mut self) {
        let bytes = self.input.take();
        let mut left = &bytes[..];
        while !left.is_empty() && self.failure.is_none() {
            self.client.read_tls(&mut left).unwrap();
            self.failure = self.client.process_new_packets().err();
            let mut buffer = [0; 20_000];
            while let Ok(count @ 1..) = self.client.reader().read(&mut buffer) {
                self.received.extend_from_slice(&buffer[..count]);
            }
        }
    }
}
