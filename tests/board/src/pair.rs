//! A client and a server connected in memory.

use core::cell::RefCell;
use core::convert::Infallible;

use postern_tls::{ClientConfig, Connection, FULL_INBOUND, Handshake, Progress, ServerConfig};
use rand_core::{TryCryptoRng, TryRng};

use super::stack::depth;

/// A generator that counts.
pub struct Rng(pub u64);

impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|number| number as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Ok(self.0 ^ self.0 >> 29)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            *byte = self.try_next_u64()? as u8;
        }
        Ok(())
    }
}

impl TryCryptoRng for Rng {}

/// Inbound and outbound of both ends.
pub struct Buffers([[u8; FULL_INBOUND]; 4]);

impl Buffers {
    /// Lends the buffers, which are in static memory.
    pub fn with(work: impl FnOnce(&mut Self)) {
        struct OneCore(RefCell<Buffers>);
        // SAFETY: the program has one thread and no interrupts.
        unsafe impl Sync for OneCore {}
        static BUFFERS: OneCore = OneCore(RefCell::new(Buffers([[0; FULL_INBOUND]; 4])));
        work(&mut BUFFERS.0.borrow_mut());
    }
}

/// One end, whose handshake is in a place of its own.
type End<'s, 'a> = Connection<'a, &'s mut Handshake<'a>>;

/// A connection, both of its ends.
pub struct Ends<'s, 'a> {
    client: End<'s, 'a>,
    pub server: End<'s, 'a>,
    rng: Rng,
}

impl<'s, 'a> Ends<'s, 'a> {
    /// Both ends before the handshake. `most` is what making them took of the stack.
    pub fn new(
        buffers: &'a mut Buffers,
        places: &'s mut [Handshake<'a>; 2],
        client: ClientConfig<'a>,
        server: ServerConfig<'a>,
        most: &mut [usize; 2],
    ) -> Self {
        let mut rng = Rng(1);
        let [client_in, client_out, server_in, server_out] = &mut buffers.0;
        let [client_place, server_place] = places;
        let mut ends = (None, None);
        let mut of_client = Some((client_place, client_in, client_out));
        let mut of_server = Some((server_place, server_in, server_out));
        most[0] = depth(&mut || {
            let (place, inbound, outbound) = of_client.take().unwrap();
            ends.0 = Some(End::client_in(place, client, inbound, outbound, &mut rng).unwrap());
        });
        most[1] = depth(&mut || {
            let (place, inbound, outbound) = of_server.take().unwrap();
            ends.1 = Some(End::server_in(place, server, inbound, outbound).unwrap());
        });
        let (client, server) = (ends.0.unwrap(), ends.1.unwrap());
        Self { client, server, rng }
    }

    /// The handshake, data both ways, the end. `most` grows to what client and server took of the stack.
    pub fn live(&mut self, most: &mut [usize; 2]) {
        self.settle(most);
        assert!(!self.client.is_handshaking() && !self.server.is_handshaking());
        for (end, most) in [&mut self.client, &mut self.server].into_iter().zip(most.iter_mut()) {
            let taken = depth(&mut || assert!(end.write(&[b'x'; 1024]).unwrap() > 0));
            *most = taken.max(*most);
        }
        self.settle(most);
        self.client.close();
        self.server.close();
        self.settle(most);
    }

    /// Brings bytes to and fro until there are none and neither end does anything more.
    fn settle(&mut self, most: &mut [usize; 2]) {
        loop {
            let mut moved = carry(&mut self.client, &mut self.server);
            moved |= carry(&mut self.server, &mut self.client);
            for (end, most) in [&mut self.client, &mut self.server].into_iter().zip(most.iter_mut()) {
                let rng = &mut self.rng;
                let taken = depth(&mut || moved |= advance(end, rng));
                *most = taken.max(*most);
            }
            if !moved && self.client.pending().is_empty() && self.server.pending().is_empty() {
                return;
            }
        }
    }
}

/// What one end has for the other. Whether that was anything.
fn carry(from: &mut End<'_, '_>, to: &mut End<'_, '_>) -> bool {
    let (bytes, space) = (from.pending(), to.space());
    let count = bytes.len().min(space.len());
    space[..count].copy_from_slice(&bytes[..count]);
    to.received(count);
    from.sent(count);
    count > 0
}

/// Lets an end go on, and takes the data that it has. Whether it had any.
fn advance(end: &mut End<'_, '_>, rng: &mut Rng) -> bool {
    let mut any = false;
    while end.advance(rng).unwrap() == Progress::Data {
        let count = end.data().len();
        end.consume(count);
        any = true;
    }
    any
}
