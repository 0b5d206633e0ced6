//! The state of a handshake that is lent comes back when the handshake is over.

use std::borrow::{Borrow, BorrowMut};
use std::cell::Cell;

use postern_tls::pki::verify::ServerName;
use postern_tls::{ClientConfig, Connection, Handshake, ServerConfig};
use rcgen::KeyPair;

use super::pair::{Buffers, CLOCK, Pki, Rng, carry};

/// A guard of a pool, which counts the returned ones.
struct Guard<'s, 'a>(&'s mut Handshake<'a>, &'s Cell<usize>);

impl<'a> Borrow<Handshake<'a>> for Guard<'_, 'a> {
    fn borrow(&self) -> &Handshake<'a> {
        self.0
    }
}

impl<'a> BorrowMut<Handshake<'a>> for Guard<'_, 'a> {
    fn borrow_mut(&mut self) -> &mut Handshake<'a> {
        self.0
    }
}

impl Drop for Guard<'_, '_> {
    fn drop(&mut self) {
        assert_eq!(format!("{:?}", self.0), "Handshake(none)");
        self.1.set(self.1.get() + 1);
    }
}

#[test]
fn a_lent_handshake_comes_back_when_it_is_over() {
    let pki = Pki::new(|| KeyPair::generate().unwrap());
    let (trust, identities) = (pki.trust(), [pki.identity()]);
    let server = ServerConfig::new(&identities, CLOCK).unwrap();
    for (name, fails) in [("localhost", false), ("a.example", true)] {
        let client = ClientConfig::new(&trust, ServerName::parse(name), CLOCK);
        let mut buffers = Buffers::new(true, &client, &server);
        let (mut places, back, mut rng) = ((Handshake::new(), Handshake::new()), Cell::new(0), Rng(1));
        let [inbound, outbound] = &mut buffers.client;
        let guard = Guard(&mut places.0, &back);
        let mut client = Connection::client_in(guard, client, inbound, outbound, &mut rng).unwrap();
        let [inbound, outbound] = &mut buffers.server;
        let guard = Guard(&mut places.1, &back);
        let mut server = Connection::server_in(guard, server, inbound, outbound).unwrap();
        let mut failures = 0;
        while carry(&mut client, &mut server) | carry(&mut server, &mut client) {
            failures += usize::from(client.advance(&mut rng).is_err());
            failures += usize::from(server.advance(&mut rng).is_err());
            if !client.is_handshaking() && !server.is_handshaking() {
                break;
            }
        }
        assert_eq!((back.get(), failures > 0), (2, fails));
    }
}
