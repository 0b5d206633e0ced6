//! smoltcp sockets with chosen initial sequence numbers.
//!
//! smoltcp draws a sequence number from its interface's generator, when a SYN is processed and in `connect`. So for
//! these two an interface is made with the seed from which it draws the wanted number, and then forgotten. It is one of
//! the IP layer: no neighbours, no cache.

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{ConnectError, Socket};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use super::super::device::Scratch;
use super::{Flow, HalfOpen, packet};
use crate::nic::MAX_FRAME;

/// The multiplier of smoltcp's generator (`smoltcp::rand`, a 64-bit PCG).
const MULTIPLIER: u64 = 0xbb2e_fcec_3c39_611d;
/// Its increment.
const INCREMENT: u64 = 0x7590_ef39;
/// The inverse of the multiplier modulo 2^64, by Newton's iteration.
const INVERSE: u64 = {
    let (mut inverse, mut step) = (MULTIPLIER, 0);
    while step < 6 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(MULTIPLIER.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
};
/// The output is the state shifted by this, where its three uppermost bits are zero.
const SHIFT: u32 = 29;

/// The seed of an interface that draws `iss` next. When it is made it draws another number first, until one is not zero
/// in its lower half.
fn seed(iss: u32) -> u64 {
    let before = |state: u64| state.wrapping_sub(INCREMENT).wrapping_mul(INVERSE);
    let draw = |state: u64| (state >> (SHIFT - (state >> 61) as u32)) as u32;
    let identification = |number: u32| (number ^ (number >> 16)) as u16;
    let states = (0..8).map(|low| before(u64::from(iss) << SHIFT | low));
    let good = { states }.find(|&state| identification(draw(state)) != 0);
    before(good.unwrap_or_default())
}

fn interface(iss: u32, device: &mut Nowhere<'_>, now: Instant) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed(iss);
    Interface::new(config, device, now)
}

/// Opens a connection of ours with the sequence number `iss`; the SYN goes out when the socket is next polled.
pub(in crate::net) fn connect(
    socket: &mut Socket<'_>,
    flow: &Flow,
    iss: u32,
    scratch: &mut Scratch,
    now: i64,
) -> Result<(), ConnectError> {
    let mut device = Nowhere { syn: None, scratch };
    let mut interface = interface(iss, &mut device, Instant::from_micros(now));
    socket.connect(interface.context(), flow.remote, flow.local)
}

/// Brings the listening socket in `set` to where it would be had it answered the SYN of `entry` when that came. `scale`:
/// whether window scaling was agreed on.
pub(in crate::net) fn replay(
    set: &mut SocketSet<'_>,
    flow: &Flow,
    entry: &HalfOpen,
    scale: bool,
    scratch: &mut Scratch,
    now: i64,
) {
    let mut syn = [0; packet::MAX_LEN];
    let len = packet::syn(&mut syn, flow, entry, scale);
    let mut device = Nowhere {
        syn: syn.get(..len),
        scratch,
    };
    // Its first estimate of the round-trip time comes from here.
    let then = Instant::from_micros(now.saturating_sub(entry.age(now)));
    let mut interface = interface(entry.iss, &mut device, then);
    interface.update_ip_addrs(|addresses| {
        let bits = match flow.local.addr {
            IpAddress::Ipv4(_) => 32,
            IpAddress::Ipv6(_) => 128,
        };
        let _ = addresses.push(IpCidr::new(flow.local.addr, bits));
    });
    interface.poll_ingress_single(then, &mut device, set);
    interface.poll_egress(then, &mut device, set);
}

/// A device from which a SYN comes, and whose answer goes nowhere.
struct Nowhere<'a> {
    syn: Option<&'a [u8]>,
    scratch: &'a mut Scratch,
}

impl Device for Nowhere<'_> {
    type RxToken<'t>
        = Syn<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Sink<'t>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Syn<'_>, Sink<'_>)> {
        let syn = self.syn.take()?;
        Some((Syn(syn), Sink(self.scratch)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sink<'_>> {
        Some(Sink(self.scratch))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = packet::MTU;
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
    }
}

struct Syn<'t>(&'t [u8]);

impl RxToken for Syn<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

struct Sink<'t>(&'t mut Scratch);

impl TxToken for Sink<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        f(&mut self.0[..len.min(MAX_FRAME)])
    }
}
