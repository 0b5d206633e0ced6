//! The card as smoltcp devices: one received frame in place, or transmission.
//!
//! smoltcp builds its immediate answers (ARP, ICMP, RST, out-of-order ACK) while the received frame is still lent, and
//! the card can lend only one thing at a time. Those answers, few and small, go through a scratch buffer; data never
//! does.

use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use super::dhcp;
use crate::nic::{Card, MAX_FRAME};

/// Room for one frame that has nowhere else to go.
pub(super) type Scratch = [u8; MAX_FRAME];

/// What the card does for the stack: IPv4, TCP and UDP checksums. ICMP is inserted by smoltcp; what arrives has been
/// checked by `filter` before.
pub(super) fn capabilities() -> DeviceCapabilities {
    let mut checksum = ChecksumCapabilities::ignored();
    checksum.icmpv4 = Checksum::Tx;
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ethernet;
    capabilities.max_transmission_unit = MAX_FRAME;
    capabilities.max_burst_size = None;
    capabilities.checksum = checksum;
    capabilities
}

/// A device that has received exactly one frame.
pub(super) struct OneFrame<'a> {
    frame: Option<&'a [u8]>,
    scratch: &'a mut Scratch,
    reply: usize,
}

impl<'a> OneFrame<'a> {
    /// Lends `frame`; an answer is left in `scratch`.
    pub(super) fn new(frame: &'a [u8], scratch: &'a mut Scratch) -> Self {
        Self {
            frame: Some(frame),
            scratch,
            reply: 0,
        }
    }

    /// The length of the answer in the scratch buffer, 0 if there is none.
    pub(super) fn reply(&self) -> usize {
        self.reply
    }
}

impl Device for OneFrame<'_> {
    type RxToken<'t>
        = RxFrame<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Reply<'t>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(RxFrame<'_>, Reply<'_>)> {
        let frame = self.frame.take()?;
        Some((
            RxFrame(frame),
            Reply {
                scratch: self.scratch,
                reply: &mut self.reply,
            },
        ))
    }

    fn transmit(&mut self, _: Instant) -> Option<Reply<'_>> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}

/// The received frame.
pub(super) struct RxFrame<'t>(&'t [u8]);

impl RxToken for RxFrame<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// The place for an immediate answer.
pub(super) struct Reply<'t> {
    scratch: &'t mut Scratch,
    reply: &'t mut usize,
}

impl TxToken for Reply<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        // smoltcp keeps to its MTU, which is the size of the scratch buffer.
        let len = len.min(self.scratch.len());
        *self.reply = len;
        f(&mut self.scratch[..len])
    }
}

/// A device that only sends, straight into the card's buffers.
pub(super) struct Egress<'a, C: Card> {
    card: &'a mut C,
    scratch: &'a mut Scratch,
    /// Frames that smoltcp wanted to send.
    pub(super) wanted: usize,
    /// Frames that went out and carry what was wanted, not an ARP request in its stead.
    pub(super) sent: usize,
    /// ARP requests that went out.
    pub(super) asked: usize,
    /// Whether the card had no free buffer.
    pub(super) full: bool,
    /// The last DHCP message that went out.
    pub(super) dhcp: Option<dhcp::Sent>,
    /// If set, packets go out without the "don't fragment" bit, and with the next identification each.
    pub(super) identification: Option<u16>,
}

impl<'a, C: Card> Egress<'a, C> {
    pub(super) fn new(card: &'a mut C, scratch: &'a mut Scratch) -> Self {
        Self {
            card,
            scratch,
            wanted: 0,
            sent: 0,
            asked: 0,
            full: false,
            dhcp: None,
            identification: None,
        }
    }
}

impl<'a, C: Card> Device for Egress<'a, C> {
    type RxToken<'t>
        = RxFrame<'t>
    where
        Self: 't;
    type TxToken<'t>
        = TxBuffer<'t, 'a, C>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(RxFrame<'_>, TxBuffer<'_, 'a, C>)> {
        None
    }

    fn transmit(&mut self, _: Instant) -> Option<TxBuffer<'_, 'a, C>> {
        if !self.card.can_send() {
            self.full = true;
            return None;
        }
        self.wanted += 1;
        Some(TxBuffer(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}

/// A free transmit buffer of the card.
pub(super) struct TxBuffer<'t, 'a, C: Card>(&'t mut Egress<'a, C>);

impl<C: Card> TxToken for TxBuffer<'_, '_, C> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let device = self.0;
        let mut fill = Some(f);
        let (mut arp, mut dhcp) = (false, None);
        let identification = &mut device.identification;
        let sent = device.card.send(len, |frame| {
            let result = fill.take().map(|fill| fill(frame));
            arp = frame.get(12..14) == Some(&[0x08, 0x06]);
            dhcp = dhcp::Sent::of(frame);
            if let Some(identification) = identification
                && !arp
            {
                allow_fragments(frame, identification);
            }
            result
        });
        device.dhcp = dhcp.or(device.dhcp);
        if arp {
            device.asked += 1;
        } else {
            device.sent += 1;
        }
        match (sent.flatten(), fill) {
            (Some(result), _) => result,
            // The card changed its mind between `can_send` and `send`: as good as a frame lost on the wire.
            (None, Some(fill)) => fill(&mut device.scratch[..len.min(MAX_FRAME)]),
            (None, None) => unreachable!("a filled frame has a result"),
        }
    }
}

/// Clears the "don't fragment" bit of an IPv4 packet, which then needs an identification of its own (RFC 6864 §4.2). The
/// card inserts the checksum later.
fn allow_fragments(frame: &mut [u8], identification: &mut u16) {
    if let Some(header) = frame.get_mut(18..21) {
        *identification = identification.wrapping_add(1);
        let [high, low] = identification.to_be_bytes();
        header.copy_from_slice(&[high, low, 0]);
    }
}
