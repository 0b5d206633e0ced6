//! A DNS stub resolver, with the configured servers or those of the network.
//!
//! RFC 1035 and RFC 3596, over UDP alone: one question at a time for each family of addresses, asked again while no answer
//! comes. An answer counts if it comes from a server that was asked, to the port and with the number and the name of the
//! question. An attacker on the path can forge it nevertheless; what must not be forged belongs under TLS.

use core::cell::Cell;
use core::fmt;
use core::future::poll_fn;
use core::net::{IpAddr, Ipv4Addr};
use core::task::Poll;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embassy_time::{Duration, with_timeout};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::wire::{
    DnsFlags, DnsOpcode, DnsPacket, DnsQueryType, DnsQuestion, DnsRcode, DnsRecord, DnsRecordData, DnsRepr, IpEndpoint,
};

use super::{Arena, Netif, Shared, ipv6, is_host};
pub use crate::config::{MAX_NAME, is_name};
use crate::nic::Link;

/// How long the first answer is waited for; each further one a second longer.
pub const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The servers that DHCP names.
pub(super) type Servers = [Option<Ipv4Addr>; 3];

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4, and A records (RFC 1035 §3.4.1).
    V4,
    /// IPv6, and AAAA records (RFC 3596 §2.1).
    V6,
}

impl Family {
    /// The type of its records.
    fn query(self) -> DnsQueryType {
        match self {
            Family::V4 => DnsQueryType::A,
            Family::V6 => DnsQueryType::Aaaa,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

/// The most addresses of a name that are returned.
pub const MAX_ADDRESSES: usize = 8;

/// The addresses of a name, in the order in which the server returned them.
pub type Addresses = heapless::Vec<IpAddr, MAX_ADDRESSES>;

/// How often a question is asked, each time of the next server.
const ATTEMPTS: usize = 4;
/// Where servers listen.
const PORT: u16 = 53;
/// The longest message over UDP (RFC 1035 §4.2.1), in bytes.
const MESSAGE: usize = 512;
/// The longest name on the wire, in bytes.
const WIRE_NAME: usize = 255;

/// Why the address of a name is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolveError {
    /// It is no name that a host can have.
    NotAName,
    /// No server is configured, and neither DHCP nor a router has named one.
    NoServer,
    /// The link is down.
    NoLink,
    /// The interface has no address yet, or no route to the server.
    Unreachable,
    /// There is no host of that name.
    NoSuchName,
    /// The name exists, but no address of this family belongs to it.
    NoAddress(Family),
    /// No answer came from this server, nor from any other.
    TimedOut(IpAddr),
    /// This server would not or could not answer: its RCODE (RFC 1035 §4.1.1).
    Failed(IpAddr, u8),
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveError::NotAName => f.write_str("invalid host name"),
            ResolveError::NoServer => {
                f.write_str("no DNS server: none in .ip.dns or .ip6.dns, and none from DHCP or a router")
            }
            ResolveError::NoLink => f.write_str("the link is down"),
            ResolveError::Unreachable => f.write_str("no address yet, or no route to the DNS server"),
            ResolveError::NoSuchName => f.write_str("host not found"),
            ResolveError::NoAddress(family) => write!(f, "host has no {family} address"),
            ResolveError::TimedOut(server) => write!(f, "no answer from DNS server {server}"),
            ResolveError::Failed(server, rcode) => {
                write!(f, "DNS server {server} returned ")?;
                match rcode {
                    1 => f.write_str("FORMERR"),
                    2 => f.write_str("SERVFAIL"),
                    4 => f.write_str("NOTIMP"),
                    5 => f.write_str("REFUSED"),
                    other => write!(f, "RCODE {other}"),
                }
            }
        }
    }
}

impl core::error::Error for ResolveError {}

impl Netif {
    /// The addresses of the host `name` (without a dot at its end) in one family, at least one. `nonce` makes the question
    /// hard to guess, and is to be different each time. Other callers that ask for the same family wait meanwhile; one
    /// question for each family can be under way. Cancel-safe.
    ///
    /// # Errors
    /// See [`ResolveError`]; at the latest after some ten seconds.
    pub async fn resolve(&self, name: &str, family: Family, nonce: u64) -> Result<Addresses, ResolveError> {
        self.resolve_within(name, family, nonce, FIRST_WAIT).await
    }

    /// The servers that are asked, in this order.
    pub fn dns_servers(&self) -> impl Iterator<Item = IpAddr> {
        let resolver = &self.shared.resolver;
        // Configured servers take precedence.
        let (leased, advertised) = match resolver.configured {
            [None, None] => (resolver.leased.get(), self.shared.ipv6.get().servers),
            _ => ([None; 3], [None; ipv6::MAX_SERVERS]),
        };
        let leased = leased.into_iter().flatten().map(IpAddr::V4);
        let advertised = advertised.into_iter().flatten().map(IpAddr::V6);
        let configured = resolver.configured.into_iter().flatten();
        configured.chain(leased).chain(advertised)
    }

    pub(super) async fn resolve_within(
        &self,
        name: &str,
        family: Family,
        nonce: u64,
        first_wait: Duration,
    ) -> Result<Addresses, ResolveError> {
        let shared = self.shared;
        let name = wire_name(name).ok_or(ResolveError::NotAName)?;
        let servers: heapless::Vec<IpAddr, 3> = self.dns_servers().take(3).collect();
        if servers.is_empty() {
            return Err(ResolveError::NoServer);
        }
        if !matches!(shared.link.get(), Link::Up(_)) {
            return Err(ResolveError::NoLink);
        }
        let _turn = shared.resolver.asker(family).turn.lock().await;
        let question = Question::open(shared, &name, family, nonce);
        let mut failure = None;
        let mut wait = first_wait;
        for &server in servers.iter().cycle().take(ATTEMPTS) {
            if shared.next_hop(server.into()).is_none() {
                failure.get_or_insert(ResolveError::Unreachable);
                continue;
            }
            match with_timeout(wait, question.ask(server, &servers)).await {
                Ok(Ok(addresses)) => return Ok(addresses),
                // Another server may do better.
                Ok(Err(error @ ResolveError::Failed(..))) => failure = Some(error),
                Ok(Err(error)) => return Err(error),
                Err(_) if matches!(failure, None | Some(ResolveError::Unreachable)) => {
                    failure = Some(ResolveError::TimedOut(server));
                }
                Err(_) => {}
            }
            wait += first_wait;
        }
        Err(failure.unwrap_or(ResolveError::NoServer))
    }
}

/// The parts of an interface that resolve names.
pub(super) struct Resolver {
    /// The configured servers.
    configured: [Option<IpAddr>; 2],
    /// The servers from DHCP.
    leased: Cell<Servers>,
    /// For IPv4 and IPv6 addresses.
    askers: [Asker; 2],
}

/// What questions for one family are asked with.
struct Asker {
    socket: SocketHandle,
    /// Held while one asks.
    turn: Mutex<NoopRawMutex, ()>,
}

impl Resolver {
    pub(super) fn new(configured: [Option<IpAddr>; 2], sockets: [SocketHandle; 2]) -> Self {
        let usable = |server: &IpAddr| match server {
            IpAddr::V4(server) => is_host(*server, None),
            IpAddr::V6(server) => ipv6::is_host(*server),
        };
        Self {
            configured: configured.map(|server| server.filter(usable)),
            leased: Cell::new([None; 3]),
            askers: sockets.map(|socket| Asker {
                socket,
                turn: Mutex::new(()),
            }),
        }
    }

    fn asker(&self, family: Family) -> &Asker {
        let [v4, v6] = &self.askers;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    /// Records the servers from DHCP.
    pub(super) fn lease(&self, servers: Servers) {
        self.leased.set(servers);
    }

    #[cfg(test)]
    pub(super) fn socket(&self, family: Family) -> SocketHandle {
        self.asker(family).socket
    }
}

/// The memory of both [`socket`]s, in bytes.
pub(super) const MEMORY: usize = 2 * ((4 + ATTEMPTS) * size_of::<udp::PacketMetadata>() + 3 * MESSAGE);

/// A socket for questions and answers.
pub(super) fn socket(arena: &mut impl Arena) -> Option<udp::Socket<'static>> {
    let mut buffer = |packets, bytes| {
        Some(udp::PacketBuffer::new(
            arena.slice(packets, |_| udp::PacketMetadata::EMPTY)?,
            arena.slice(bytes, |_| 0u8)?,
        ))
    };
    Some(udp::Socket::new(buffer(4, 2 * MESSAGE)?, buffer(ATTEMPTS, MESSAGE)?))
}

/// A question under way. Dropping it closes the socket.
struct Question<'a> {
    shared: &'static Shared,
    name: &'a [u8],
    family: Family,
    number: u16,
    /// Where answers are sent.
    port: u16,
}

impl<'a> Question<'a> {
    fn open(shared: &'static Shared, name: &'a [u8], family: Family, nonce: u64) -> Self {
        const EPHEMERAL: u16 = 0xc000;
        Self {
            shared,
            name,
            family,
            number: (nonce >> 16) as u16,
            port: EPHEMERAL | nonce as u16,
        }
    }

    fn with<R>(&self, work: impl FnOnce(&mut udp::Socket<'static>) -> R) -> R {
        let mut set = self.shared.common.borrow_mut();
        work(set.get_mut(self.shared.resolver.asker(self.family).socket))
    }

    /// Asks one server, and waits for an answer of any.
    async fn ask(&self, server: IpAddr, servers: &[IpAddr]) -> Result<Addresses, ResolveError> {
        let repr = DnsRepr {
            transaction_id: self.number,
            opcode: DnsOpcode::Query,
            flags: DnsFlags::RECURSION_DESIRED,
            question: DnsQuestion {
                name: self.name,
                type_: self.family.query(),
            },
        };
        let mut message = [0; MESSAGE];
        if let Some(message) = message.get_mut(..repr.buffer_len()) {
            repr.emit(&mut DnsPacket::new_unchecked(&mut *message));
            let mut to = udp::UdpMetadata::from(IpEndpoint::new(server.into(), PORT));
            to.local_address = self.shared.source(server.into());
            self.with(|socket| {
                // The message to a server whose neighbour does not answer would block this one.
                socket.close();
                // The port is not 0, the socket is closed, and there is room.
                let _ = socket.bind(self.port);
                let _ = socket.send_slice(message, to);
            });
            self.shared.common_dirty.set(true);
            self.shared.pool.wake();
        }
        poll_fn(|context| {
            self.with(|socket| {
                while let Ok((message, from)) = socket.recv() {
                    let from_address = IpAddr::from(from.endpoint.addr);
                    if from.endpoint.port == PORT
                        && servers.contains(&from_address)
                        && let Some(answer) = self.parse_answer(message, from_address)
                    {
                        return Poll::Ready(answer);
                    }
                }
                socket.register_recv_waker(context.waker());
                Poll::Pending
            })
        })
        .await
    }

    /// The answer in a message; `None` if it is no answer to it.
    fn parse_answer(&self, message: &[u8], server: IpAddr) -> Option<Result<Addresses, ResolveError>> {
        let packet = DnsPacket::new_checked(message).ok()?;
        let (mut rest, question) = DnsQuestion::parse(packet.payload()).ok()?;
        let answers = packet.transaction_id() == self.number
            && packet.flags().contains(DnsFlags::RESPONSE)
            && packet.opcode() == DnsOpcode::Query
            && packet.question_count() == 1
            && question.type_ == self.family.query()
            && same_name(&packet, question.name, self.name);
        if !answers {
            return None;
        }
        match packet.rcode() {
            DnsRcode::NoError => {}
            DnsRcode::NXDomain => return Some(Err(ResolveError::NoSuchName)),
            other => return Some(Err(ResolveError::Failed(server, other.into()))),
        }
        // An alias comes before what it stands for.
        let mut wanted = self.name;
        let mut found = Addresses::new();
        for _ in 0..packet.answer_record_count() {
            let Ok((after, record)) = DnsRecord::parse(rest) else {
                break;
            };
            rest = after;
            if !same_name(&packet, record.name, wanted) {
                continue;
            }
            match record.data {
                DnsRecordData::A(address) if self.family == Family::V4 => {
                    let _ = found.push(address.into()); // those beyond the list are not needed
                }
                DnsRecordData::Cname(alias) => wanted = alias,
                DnsRecordData::Aaaa(address) if self.family == Family::V6 => {
                    let _ = found.push(address.into());
                }
                DnsRecordData::A(_) | DnsRecordData::Aaaa(_) | DnsRecordData::Other(..) => {}
            }
        }
        Some(match found.is_empty() {
            true => Err(ResolveError::NoAddress(self.family)),
            false => Ok(found),
        })
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.with(|socket| socket.close());
    }
}

/// Whether two names, as they stand in `packet` or alone, are the same (RFC 4343: in any case).
fn same_name(packet: &DnsPacket<&[u8]>, a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (packet.parse_name(a), packet.parse_name(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(Ok(a)), Some(Ok(b))) if a.eq_ignore_ascii_case(b) => {}
            _ => return false,
        }
    }
}

/// A name as it goes over the wire; `None` if it is none by [`is_name`].
fn wire_name(name: &str) -> Option<heapless::Vec<u8, WIRE_NAME>> {
    if !is_name(name) {
        return None;
    }
    let mut wire = heapless::Vec::new();
    for label in name.split('.') {
        wire.push(u8::try_from(label.len()).ok()?).ok()?;
        wire.extend_from_slice(label.as_bytes()).ok()?;
    }
    wire.push(0).ok()?;
    Some(wire)
}
