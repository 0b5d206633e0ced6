//! The DHCP client: smoltcp's, with checks of replies and link changes added.
//!
//! smoltcp accepts any lease, however short, and starts again at once when it is rejected, so that a server on the link
//! sets the rate of our messages. Hence [`Guard`] sees each reply first. It passes one reply to each message of ours,
//! only a lease that a host can use, and no second rejection within [`NAK_PAUSE`].

use core::fmt;
use core::net::Ipv4Addr;

use smoltcp::socket::dhcpv4::{Event, RetryConfig, Socket};
use smoltcp::time::Duration;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, Ipv4Cidr, Ipv4Packet, UdpPacket,
};

use super::dns::Servers;
use super::filter::Reason;
use super::is_host;
use crate::config;

/// The shortest lease that is accepted, in seconds: RFC 2131 §4.4.5 has a client repeat a request after 60 s at the
/// earliest. smoltcp takes a reply without a lease time for one of 120 s.
pub(super) const MIN_LEASE: u32 = 60;
/// The shortest times to renewal (T1) and rebinding (T2) that are accepted, in seconds: a quarter of the shortest lease.
pub(super) const MIN_RENEWAL: u32 = 15;
/// After a rejection (DHCPNAK) that made the client start again, further ones are dropped for so long, in microseconds.
/// Ten seconds are what RFC 2131 §3.1 (5) has a client wait before it starts again, against loops.
pub(super) const NAK_PAUSE: i64 = 10_000_000;

/// A client that asks again sooner than smoltcp's would: a boot often overtakes its link.
pub(super) fn socket() -> Socket<'static> {
    let mut retry = RetryConfig::default();
    retry.discover_timeout = Duration::from_secs(3);
    retry.initial_request_timeout = Duration::from_secs(2);
    let mut socket = Socket::new();
    socket.set_retry_config(retry);
    socket
}

/// A change of the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// A lease, new or changed.
    Leased {
        /// The address and its network.
        cidr: Ipv4Cidr,
        /// The router, or why there is none: the lease names none, or one that is not another host of the network.
        router: Result<Ipv4Addr, Option<Ipv4Addr>>,
        /// The DNS servers.
        servers: Servers,
    },
    /// No lease any more.
    Lost,
}

/// The last change since the last call.
pub(super) fn poll(socket: &mut Socket<'_>) -> Option<Change> {
    Some(match socket.poll()? {
        Event::Deconfigured => Change::Lost,
        Event::Configured(lease) => {
            let cidr = lease.address;
            let own = cidr.address();
            // Any other router could never be asked for by ARP (smoltcp asserts it).
            let router = match lease.router {
                Some(router) if config::is_router(router, own, cidr.netmask().to_bits()) => Ok(router),
                unusable => Err(unusable),
            };
            let mut servers = lease
                .dns_servers
                .iter()
                .copied()
                .filter(|&server| server != own && is_host(server, Some(cidr)));
            let servers = core::array::from_fn(|_| servers.next());
            Change::Leased { cidr, router, servers }
        }
    })
}

/// A message of ours to which a server may reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    kind: DhcpMessageType,
    transaction_id: u32,
}

impl Sent {
    /// The message in a frame made by smoltcp: IPv4 without options, UDP to port 67. `None` if it is no DHCP message.
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        if frame.get(36..38) != Some(&[0, 67]) || frame.get(23) != Some(&17) {
            return None;
        }
        let packet = DhcpPacket::new_checked(frame.get(42..)?).ok()?;
        let message = DhcpRepr::parse(&packet).ok()?;
        Some(Self {
            kind: message.message_type,
            transaction_id: message.transaction_id,
        })
    }
}

/// The fault of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No message of ours asked for it, or another reply came first.
    Unexpected,
    /// It has no server identifier (RFC 2131 table 3).
    NoServer,
    /// It leases an address that no host can have.
    Address(Ipv4Addr),
    /// It has no subnet mask, or one of no network.
    Mask,
    /// It leases an address for less than [`MIN_LEASE`] seconds.
    Lease(u32),
    /// It is a rejection (DHCPNAK) within [`NAK_PAUSE`] of another.
    Rejection,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected => f.write_str("unexpected"),
            Self::NoServer => f.write_str("no server identifier"),
            Self::Address(address) => write!(f, "{address} is not the address of a host"),
            Self::Mask => f.write_str("no valid subnet mask"),
            Self::Lease(seconds) => write!(f, "lease of {seconds} s is shorter than {MIN_LEASE} s"),
            Self::Rejection => f.write_str("second DHCPNAK within 10 s"),
        }
    }
}

/// Replies that smoltcp may see.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// Our last message, while it has no reply.
    sent: Option<Sent>,
    /// When the next rejection counts, in microseconds.
    nak_at: i64,
}

impl Guard {
    /// Notes that a message went out.
    pub(super) fn sent(&mut self, sent: Sent) {
        self.sent = Some(sent);
    }

    /// Verifies a frame from a DHCP server, of which `filter` has verified the headers; `mac` is our own address. True
    /// if the reply's T1 and T2 are too short and were removed: smoltcp then assumes 1/2 and 7/8 of the lease.
    pub(super) fn check(&mut self, frame: &mut [u8], mac: EthernetAddress, now: i64) -> Result<bool, Reason> {
        let mut frame = EthernetFrame::new_checked(frame).map_err(|_| Reason::TooShort)?;
        let mut packet = Ipv4Packet::new_checked(frame.payload_mut()).map_err(|_| Reason::Malformed)?;
        let mut datagram = UdpPacket::new_checked(packet.payload_mut()).map_err(|_| Reason::Malformed)?;
        let message = datagram.payload_mut();
        let packet = DhcpPacket::new_checked(&*message).map_err(|_| Reason::Malformed)?;
        let reply = DhcpRepr::parse(&packet).map_err(|_| Reason::Malformed)?;
        if reply.client_hardware_address != mac {
            return Err(Reason::NotForUs);
        }
        self.verify(&reply, now).map_err(Reason::Dhcp)?;
        let short = |time: Option<u32>| time.is_some_and(|seconds| seconds < MIN_RENEWAL);
        let remove =
            reply.message_type == DhcpMessageType::Ack && (short(reply.renew_duration) || short(reply.rebind_duration));
        if remove {
            remove_times(message);
        }
        Ok(remove)
    }

    fn verify(&mut self, reply: &DhcpRepr<'_>, now: i64) -> Result<(), Fault> {
        use DhcpMessageType::{Ack, Discover, Nak, Offer, Request};
        let kind = reply.message_type;
        let expected = self.sent.is_some_and(|sent| {
            sent.transaction_id == reply.transaction_id
                && matches!((sent.kind, kind), (Discover, Offer) | (Request, Ack | Nak))
        });
        if !expected {
            return Err(Fault::Unexpected);
        }
        if reply.server_identifier.is_none() {
            return Err(Fault::NoServer);
        }
        if kind == Nak {
            if now < self.nak_at {
                return Err(Fault::Rejection);
            }
            self.nak_at = now.saturating_add(NAK_PAUSE);
        } else {
            verify_lease(reply)?;
        }
        self.sent = None;
        Ok(())
    }
}

/// Verifies an offer or a lease. An offer may come without a mask, which the lease then has (RFC 2131 table 3).
fn verify_lease(reply: &DhcpRepr<'_>) -> Result<(), Fault> {
    let mask = match reply.subnet_mask.map(Ipv4Addr::to_bits) {
        None if reply.message_type == DhcpMessageType::Offer => u32::MAX,
        Some(mask) if config::is_mask(mask) => mask,
        _ => return Err(Fault::Mask),
    };
    if !config::is_host(reply.your_ip, mask) {
        return Err(Fault::Address(reply.your_ip));
    }
    match reply.lease_duration {
        Some(seconds) if seconds < MIN_LEASE => Err(Fault::Lease(seconds)),
        _ => Ok(()),
    }
}

/// Overwrites T1 and T2 in a DHCP message with padding (RFC 2132 §3.1, §9.11, §9.12).
fn remove_times(message: &mut [u8]) {
    const OPTIONS: usize = 240;
    const PAD: u8 = 0;
    const T1: u8 = 58;
    const T2: u8 = 59;
    const END: u8 = 255;
    let mut at = OPTIONS;
    while let Some(&code) = message.get(at)
        && code != END
    {
        let len = match (code, message.get(at + 1)) {
            (PAD, _) => 1,
            (_, Some(&len)) => 2 + usize::from(len),
            (_, None) => break,
        };
        if let (T1 | T2, Some(option)) = (code, message.get_mut(at..at + len)) {
            option.fill(PAD);
        }
        at += len;
    }
}
