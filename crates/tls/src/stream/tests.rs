use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use core::future::Future as _;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::string::ToString as _;
use std::vec::Vec;

use super::*;
use crate::config::{ClientConfig, Identity, ServerConfig, Versions};
use crate::crypto::key::SigningKey;
use crate::pki::verify::{Clock, Trust};
use crate::support::Rng;
use crate::trace::{Event, Trace};

/// A server in memory, at the other end of the client's transport: it answers before the client reads.
struct Other<'a>(RefCell<Connection<'a>>);

impl ErrorType for &Other<'_> {
    type Error = Infallible;
}

impl Read for &Other<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let mut server = self.0.borrow_mut();
        let count = server.pending().len().min(buffer.len());
        buffer[..count].copy_from_slice(&server.pending()[..count]);
        server.sent(count);
        Ok(count)
    }
}

impl Write for &Other<'_> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, Infallible> {
        let mut server = self.0.borrow_mut();
        let count = server.space().len().min(data.len());
        server.space()[..count].copy_from_slice(&data[..count]);
        server.received(count);
        server.advance(&mut Rng(2)).unwrap();
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Counts the handshake messages received.
struct Messages(Cell<usize>);

impl Trace for Messages {
    fn event(&self, event: &Event<'_>) {
        if matches!(event, Event::Message { sent: false, .. }) {
            self.0.set(self.0.get() + 1);
        }
    }
}

/// One poll processes at most one message, however many of a flight have arrived.
#[test]
fn a_poll_of_a_handshake_processes_one_message_at_most() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_string()]).unwrap();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    let key = SigningKey::from_der("PRIVATE KEY", &key.serialize_der()).unwrap();
    let chain: [&[u8]; 1] = [&der];
    let identities = [Identity::new(&chain, &key).unwrap()];
    let trust = Trust::new(&chain);
    let clock = Clock {
        now: 1_767_225_600,
        floor: 0,
    };
    for (versions, flight) in [(Versions::Tls13, 5), (Versions::Tls12, 5)] {
        let messages = Messages(Cell::new(0));
        let mut buffers = [(); 4].map(|()| Vec::from([0; 18 * 1024]));
        let [a, b, c, d] = &mut buffers;
        let server = ServerConfig::new(&identities, clock).unwrap().with_versions(versions);
        let other = Other(RefCell::new(Connection::server(server, a, b).unwrap()));
        let client = ClientConfig::new(&trust, None, clock)
            .with_versions(versions)
            .with_trace(&messages);
        let mut rng = Rng(1);
        let client = Connection::client(client, c, d, &mut rng).unwrap();
        let mut stream = Stream::new(&other, client);
        let mut handshake = pin!(stream.handshake(&mut rng));
        let mut context = Context::from_waker(Waker::noop());
        let mut polls = 0;
        loop {
            let before = messages.0.get();
            let poll = handshake.as_mut().poll(&mut context);
            polls += 1;
            let processed = messages.0.get() - before;
            assert!(processed <= 1, "{versions:?}: {processed} messages in poll {polls}");
            if let Poll::Ready(result) = poll {
                result.unwrap();
                break;
            }
            assert!(polls < 100, "{versions:?}");
        }
        assert!(messages.0.get() >= flight, "{versions:?}");
    }
}
