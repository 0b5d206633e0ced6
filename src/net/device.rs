//! The card as smoltcp devices: one received frame in place, or transmission.
//!
//! smoltcp builds its immediate answers (ARP, ICMP, RST, out-of-order ACK) while the received frame is still lent, and
//! the card can lend only one thing at a time. Those answers, few and small, go through a scratch buffer; data never
//! does.

use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use core::net::Ipv6Addr;

use super::{dhcp, ipv6};
use crate::nic::{Card, MAX_FRAME};

/// Room for one frame that has nowhere else to go.
pub(super) type Scratch = [u8; MAX_FRAME];

/// What the card does for the stack: IPv4, TCP and UDP checksums. ICMP's is inserted by smoltcp; what arrives has been
/// checked by `filter` before.
pub(super) fn capabilities() -> DeviceCapabilities {
    let mut checksum = ChecksumCapabilities::ignored();
    checksum.icmpv4 = Checksum::Tx;
    checksum.icmpv6 = Checksum::Tx;
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
    /// Frames that went out and carry what was wanted, not a question for a neighbour in its stead.
    pub(super) sent: usize,
    /// ARP requests and neighbour solicitations that went out.
    pub(super) asked: usize,
    /// The target of the last neighbour solicitation.
    pub(super) solicited: Option<Ipv6Addr>,
    /// The longest frame: TCP segments over IPv6 that are longer go out as two.
    pub(super) longest: usize,
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
            solicited: None,
            longest: MAX_FRAME,
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
        if len > device.longest {
            return device.send_split(len, f);
        }
        let mut fill = Some(f);
        let (mut arp, mut dhcp, mut solicited) = (false, None, None);
        let identification = &mut device.identification;
        let sent = device.card.send(len, |frame| {
            let result = fill.take().map(|fill| fill(frame));
            arp = frame.get(12..14) == Some(&[0x08, 0x06]);
            dhcp = dhcp::Sent::of(frame);
            solicited = ipv6::solicited(frame);
            if let Some(identification) = identification
                && !arp
            {
                allow_fragments(frame, identification);
            }
            result
        });
        device.dhcp = dhcp.or(device.dhcp);
        device.solicited = solicited.or(device.solicited);
        if arp || solicited.is_some() {
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

impl<C: Card> Egress<'_, C> {
    /// Sends a TCP segment over IPv6 as several, none longer than `longest`. What finds no buffer is as good as lost on
    /// the wire.
    fn send_split<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        const TCP: usize = 14 + 40;
        const LAST_ONLY: u8 = 0x01 | 0x08;
        let Self { card, scratch, .. } = self;
        let frame = &mut scratch[..len.min(MAX_FRAME)];
        let result = fill(frame);
        self.sent += 1;
        let ipv6_tcp = frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(20) == Some(&6);
        let header = TCP + frame.get(TCP + 12).map_or(0, |offset| usize::from(offset >> 4) * 4);
        let (Some((headers, data)), Some(most), true) = (
            frame.split_at_checked(header),
            self.longest.checked_sub(header).filter(|&most| most > 0),
            ipv6_tcp,
        ) else {
            card.send(frame.len(), |place| place.copy_from_slice(frame));
            return result;
        };
        let seq = headers.get(TCP + 4..).and_then(|field| field.first_chunk::<4>());
        let mut seq = seq.map_or(0, |field| u32::from_be_bytes(*field));
        let mut pieces = data.chunks(most).peekable();
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            card.send(header + piece.len(), |place| {
                let (front, back) = place.split_at_mut(header);
                front.copy_from_slice(headers);
                back.copy_from_slice(piece);
                let len = (header - TCP + piece.len()) as u16;
                front[18..20].copy_from_slice(&len.to_be_bytes());
                front[TCP + 4..TCP + 8].copy_from_slice(&seq.to_be_bytes());
                if !last {
                    front[TCP + 13] &= !LAST_ONLY;
                }
            });
            seq = seq.wrapping_add(piece.len() as u32);
        }
        result
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
