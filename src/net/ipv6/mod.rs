//! The IPv6 addresses, routers and DNS servers of an interface.
//!
//! smoltcp makes interface identifiers of the card's address, detects no duplicates, believes every advertisement and
//! learns neighbours from whatever arrives. Hence [`Discovery`] sees neighbour discovery instead of it: duplicate
//! address detection (RFC 4862 §5.4), stable identifiers (RFC 7217), router advertisements (RFC 4861 §6.3, RFC 4862 §5.5,
//! RFC 8106), and the answers to solicitations. What smoltcp needs to know is written into its tables: the addresses, the
//! default route, and a neighbour when one that was asked for has answered.
//!
//! Everything is bounded: a link-local address, a fixed one, two from router advertisements, two routers, three DNS
//! servers, 16 neighbours that are asked for. A neighbour is known only if it was asked for, has completed a TCP
//! handshake, or is a router in use: solicitations and unsolicited advertisements, however many, change nothing, and a
//! neighbour with a new Ethernet address is asked for when its entry has expired. Redirects are ignored.

mod local;
mod message;

use core::net::Ipv6Addr;

use sha2::{Digest, Sha256};
use smoltcp::wire::{EthernetAddress, Icmpv6Message};

use super::filter::Reason;
use super::slots::NEVER;
use super::{Ipv6Config, Ipv6Static};
pub(super) use local::{Assigned, Ipv6State, MAX_ADDRESSES, MAX_SERVERS, is_host, is_link_local};
pub(super) use message::solicited;
use message::{Message, Received};

/// The largest packet of an Ethernet.
pub(super) const MAX_MTU: u16 = 1500;
/// The least that every link carries (RFC 8200 §5).
pub(super) const MIN_MTU: u16 = 1280;
/// The routers that are known at a time.
const MAX_ROUTERS: usize = 2;
/// The neighbours that are asked for at a time.
const MAX_ASKED: usize = 16;
/// An answer counts for so long after the question, in microseconds: three solicitations a second apart (RFC 4861 §10).
const ANSWER_TIME: i64 = 3 * SECOND;
/// How long duplicate address detection waits for an objection, in microseconds (RFC 4862 §5.1).
const DAD_TIME: i64 = SECOND;
/// How many identifiers are tried (RFC 7217 §6).
const IDENTIFIERS: u8 = 3;
/// Router solicitations, and their interval in microseconds (RFC 4861 §10).
const SOLICITATIONS: u8 = 3;
const SOLICITATION_INTERVAL: i64 = 4 * SECOND;
/// A lifetime is never shortened below this, in microseconds (RFC 4862 §5.5.3 e).
const TWO_HOURS: i64 = 7200 * SECOND;
/// At most one answer to MLD queries in so long, in microseconds.
const REPORT_INTERVAL: i64 = SECOND;
const SECOND: i64 = 1_000_000;

/// The places of the addresses; from [`ADVERTISED`] on those of router advertisements.
const LINK_LOCAL: usize = 0;
const FIXED: usize = 1;
const ADVERTISED: usize = 2;

/// Sends a frame.
pub(super) type Send<'a> = &'a mut dyn FnMut(&[u8]);

/// The progress of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Its probe is to be sent.
    New,
    /// In use if nothing objects before this time, in microseconds.
    Tentative(i64),
    Assigned,
    /// In use, and its probe is to be sent again: the link may be another one.
    Stale,
    /// In use unless something objects before this time, in microseconds.
    Probed(i64),
    /// Another host has it. It stays here so that the prefix does not begin anew.
    Duplicate,
}

impl Progress {
    fn in_use(self) -> bool {
        matches!(self, Self::Assigned | Self::Stale | Self::Probed(_))
    }
}

/// An address and its lifetime.
#[derive(Debug, Clone, Copy)]
struct Entry {
    address: Ipv6Addr,
    /// As in [`Assigned::prefix`].
    prefix: u8,
    progress: Progress,
    /// How often its identifier was replaced.
    attempt: u8,
    /// When it is no longer used for new connections, in microseconds.
    preferred: i64,
    /// When it is no longer used at all.
    valid: i64,
}

/// A router or a DNS server, until when it is one, in microseconds.
type Expiring = Option<(Ipv6Addr, i64)>;

/// A neighbour and its Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Neighbor {
    pub(super) address: Ipv6Addr,
    pub(super) mac: EthernetAddress,
    /// Whether it has answered, so that an older entry is replaced.
    pub(super) asked: bool,
}

/// IPv6 on an interface.
pub(super) struct Discovery {
    name: &'static str,
    mac: EthernetAddress,
    config: Ipv6Config,
    entries: [Option<Entry>; MAX_ADDRESSES],
    routers: [Expiring; MAX_ROUTERS],
    servers: [Expiring; MAX_SERVERS],
    mtu: u16,
    asked: [Expiring; MAX_ASKED],
    solicitations: u8,
    solicit_at: i64,
    report_at: i64,
}

impl Discovery {
    pub(super) fn new(name: &'static str, mac: EthernetAddress, config: Ipv6Config) -> Self {
        Self {
            name,
            mac,
            config,
            entries: [None; MAX_ADDRESSES],
            routers: [None; MAX_ROUTERS],
            servers: [None; MAX_SERVERS],
            mtu: MAX_MTU,
            asked: [None; MAX_ASKED],
            solicitations: 0,
            solicit_at: NEVER,
            report_at: 0,
        }
    }

    /// What the rest of the interface sees.
    pub(super) fn state(&self, now: i64) -> Ipv6State {
        let mut state = Ipv6State::new(true);
        for (place, entry) in state.addresses.iter_mut().zip(self.entries) {
            *place = entry.filter(|entry| entry.progress.in_use()).map(|entry| Assigned {
                address: entry.address,
                prefix: entry.prefix,
                preferred: now < entry.preferred,
            });
        }
        let fixed = self.config.fixed.and_then(|fixed| fixed.gateway);
        state.router = fixed.or(self.routers.into_iter().flatten().map(|(router, _)| router).next());
        state.servers = self.servers.map(|server| server.map(|(server, _)| server));
        state.mtu = self.mtu;
        state
    }

    /// The link came up: addresses are probed, and routers solicited. Addresses in use stay so meanwhile: connections
    /// outlive a cable that was pulled for a moment.
    pub(super) fn link_up(&mut self, now: i64, send: Send<'_>) {
        if self.entries.iter().all(Option::is_none) {
            self.put(LINK_LOCAL, self.identify(LINK_LOCAL_PREFIX, 0), 64, (NEVER, NEVER));
            let usable =
                |fixed: &Ipv6Static| is_host(fixed.address) && !is_link_local(fixed.address) && fixed.prefix <= 128;
            if let Some(Ipv6Static { address, prefix, .. }) = self.config.fixed.filter(usable) {
                self.put(FIXED, address, prefix, (NEVER, NEVER));
            }
            return;
        }
        for place in 0..MAX_ADDRESSES {
            let Some(mut entry) = self.entries.get(place).copied().flatten() else {
                continue;
            };
            match entry.progress {
                progress if progress.in_use() => entry.progress = Progress::Stale,
                Progress::Duplicate => {
                    entry.progress = Progress::New;
                    entry.attempt = 0;
                    if place != FIXED {
                        entry.address = self.identify(entry.address.to_bits() >> 64, 0);
                    }
                }
                _ => entry.progress = Progress::New,
            }
            if let Some(place) = self.entries.get_mut(place) {
                *place = Some(entry);
            }
        }
        if self.link_local().is_some() {
            self.solicit(now);
            self.report(send);
        }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: i64, send: Send<'_>) {
        self.expire(now);
        for place in 0..MAX_ADDRESSES {
            let Some(entry) = self.entries.get_mut(place).and_then(Option::as_mut) else {
                continue;
            };
            match entry.progress {
                Progress::New | Progress::Stale => {
                    let until = now.saturating_add(DAD_TIME);
                    entry.progress = match entry.progress {
                        Progress::New => Progress::Tentative(until),
                        _ => Progress::Probed(until),
                    };
                    let target = entry.address;
                    self.report(send);
                    send(message::neighbor_solicitation(self.mac, None, target).bytes());
                }
                Progress::Tentative(until) if until <= now => {
                    entry.progress = Progress::Assigned;
                    log::info!("{}: address {}", self.name, entry.address);
                    if place == LINK_LOCAL {
                        self.solicit(now);
                        self.report(send);
                    }
                }
                Progress::Probed(until) if until <= now => entry.progress = Progress::Assigned,
                _ => {}
            }
        }
        if self.solicit_at <= now {
            self.solicitations = self.solicitations.saturating_sub(1);
            self.solicit_at = match self.solicitations {
                0 => NEVER,
                _ => now.saturating_add(SOLICITATION_INTERVAL),
            };
            if let Some(from) = self.link_local() {
                send(message::router_solicitation(self.mac, from).bytes());
            }
        }
    }

    /// When [`Discovery::tick`] is next due, in microseconds.
    pub(super) fn next(&self, now: i64) -> i64 {
        let entries = self.entries.iter().flatten().map(|entry| {
            let progress = match entry.progress {
                Progress::New | Progress::Stale => now,
                Progress::Tentative(until) | Progress::Probed(until) => until,
                Progress::Assigned | Progress::Duplicate => NEVER,
            };
            // Past its preferred time only the end counts.
            let preferred = if entry.preferred > now { entry.preferred } else { NEVER };
            progress.min(preferred).min(entry.valid)
        });
        let others = self
            .routers
            .iter()
            .chain(&self.servers)
            .flatten()
            .map(|(_, until)| *until);
        entries.chain(others).fold(self.solicit_at, i64::min)
    }

    /// A neighbour is being asked for: its answer counts.
    pub(super) fn asked(&mut self, neighbor: Ipv6Addr, now: i64) {
        let asked = Some((neighbor, now.saturating_add(ANSWER_TIME)));
        let same = |place: &&mut Expiring| place.is_some_and(|(other, _)| other == neighbor);
        if let Some(place) = self.asked.iter_mut().find(same) {
            *place = asked;
        } else if let Some(place) = self
            .asked
            .iter_mut()
            .min_by_key(|place| place.map_or(0, |(_, until)| until))
        {
            *place = asked;
        }
    }

    /// Asks for a neighbour.
    pub(super) fn ask(&mut self, neighbor: Ipv6Addr, now: i64, send: Send<'_>) {
        let from = self.state(now).source(neighbor).or(self.link_local());
        if from.is_some() {
            self.asked(neighbor, now);
            send(message::neighbor_solicitation(self.mac, from, neighbor).bytes());
        }
    }

    /// Answers an MLD query (RFC 3810 §6.2), whatever group it asks for.
    pub(super) fn query(&mut self, now: i64, send: Send<'_>) {
        if now >= self.report_at {
            self.report_at = now.saturating_add(REPORT_INTERVAL);
            self.report(send);
        }
    }

    /// Takes a message of neighbour discovery in; the filter has verified its IPv6 header and checksum. Returns the
    /// neighbour that is known from now on.
    pub(super) fn receive(&mut self, frame: &[u8], now: i64, send: Send<'_>) -> Result<Option<Neighbor>, Reason> {
        let received = Received::parse(frame)?;
        match received.kind {
            Icmpv6Message::NeighborSolicit => self.solicitation(&received, send).map(|()| None),
            Icmpv6Message::NeighborAdvert => self.advertisement(&received, now),
            Icmpv6Message::RouterAdvert => self.router(&received, now),
            _ => Err(Reason::Discovery),
        }
    }

    /// The frame from which smoltcp learns of a neighbour.
    pub(super) fn teach(&self, neighbor: Neighbor, place: &mut [u8]) -> usize {
        let message: Message = message::neighbor((self.mac, neighbor.mac), neighbor.address, neighbor.asked);
        let bytes = message.bytes();
        match place.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                bytes.len()
            }
            None => 0,
        }
    }

    /// RFC 4861 §7.2.3, RFC 4862 §5.4.3.
    fn solicitation(&mut self, received: &Received<'_>, send: Send<'_>) -> Result<(), Reason> {
        let target = received.target();
        let probe = received.from.is_unspecified();
        let valid =
            !target.is_multicast() && (!probe || received.to.is_multicast() && received.source_link_layer().is_none());
        if !valid {
            return Err(Reason::Discovery);
        }
        let (place, progress) = self.place(target).ok_or(Reason::NotForUs)?;
        match progress {
            progress if progress.in_use() => {
                let to = (!probe).then_some(received.from);
                send(message::neighbor_advertisement((self.mac, received.mac), target, to).bytes());
            }
            // A probe of the machine's own may be sent back to it.
            Progress::New | Progress::Tentative(_) if probe && received.mac != self.mac => self.duplicate(place),
            _ => {}
        }
        Ok(())
    }

    /// RFC 4861 §7.2.5, RFC 4862 §5.4.4.
    fn advertisement(&mut self, received: &Received<'_>, now: i64) -> Result<Option<Neighbor>, Reason> {
        const SOLICITED: u8 = 0x40;
        let target = received.target();
        if target.is_multicast() || received.to.is_multicast() && received.byte(4) & SOLICITED != 0 {
            return Err(Reason::Discovery);
        }
        if let Some((place, progress)) = self.place(target) {
            // The answer to a probe counts, but for the machine's own, sent back to it.
            if matches!(progress, Progress::Assigned | Progress::Duplicate) || received.mac == self.mac {
                return Err(Reason::Discovery);
            }
            self.duplicate(place);
            return Ok(None);
        }
        let answered = |place: &&mut Expiring| place.is_some_and(|(other, until)| other == target && now <= until);
        let asked = self.asked.iter_mut().find(answered).ok_or(Reason::Discovery)?;
        let mac = received.target_link_layer().ok_or(Reason::Discovery)?;
        *asked = None;
        Ok(Some(Neighbor {
            address: target,
            mac,
            asked: true,
        }))
    }

    /// RFC 4861 §6.1.2, §6.3.4.
    fn router(&mut self, received: &Received<'_>, now: i64) -> Result<Option<Neighbor>, Reason> {
        const PREFIX: u8 = 3;
        const MTU: u8 = 5;
        const DNS_SERVERS: u8 = 25;
        if !is_link_local(received.from) {
            return Err(Reason::Discovery);
        }
        if !self.config.slaac || self.link_local().is_none() {
            return Ok(None);
        }
        self.solicit_at = NEVER;
        let lifetime = i64::from(received.byte(6)) << 8 | i64::from(received.byte(7));
        set_lifetime(&mut self.routers, received.from, lifetime, now);
        for (kind, data) in received.options() {
            match kind {
                PREFIX => self.prefix(data, now),
                MTU => {
                    let mtu = number(data, 2);
                    if (i64::from(MIN_MTU)..=i64::from(MAX_MTU)).contains(&mtu) {
                        self.mtu = mtu as u16;
                    }
                }
                DNS_SERVERS => {
                    let lifetime = number(data, 2);
                    for server in data.get(6..).unwrap_or_default().as_chunks::<16>().0 {
                        let server = Ipv6Addr::from(*server);
                        if is_host(server) {
                            set_lifetime(&mut self.servers, server, lifetime, now);
                        }
                    }
                }
                _ => {}
            }
        }
        let known = self
            .routers
            .iter()
            .flatten()
            .any(|(router, _)| *router == received.from);
        Ok(received.source_link_layer().filter(|_| known).map(|mac| Neighbor {
            address: received.from,
            mac,
            asked: false,
        }))
    }

    /// A prefix (RFC 4862 §5.5.3).
    fn prefix(&mut self, data: &[u8], now: i64) {
        const ON_LINK: u8 = 0x80;
        const AUTONOMOUS: u8 = 0x40;
        let Some((&[len, flags], _)) = data.split_first_chunk() else {
            return;
        };
        let (valid, preferred) = (number(data, 2), number(data, 6));
        let Some(octets) = data.get(14..).and_then(|octets| octets.first_chunk::<16>()) else {
            return;
        };
        let prefix = Ipv6Addr::from(*octets);
        let unusable = !is_host(prefix) || is_link_local(prefix) || prefix.is_loopback();
        if flags & AUTONOMOUS == 0 || unusable || preferred > valid || len != 64 {
            return;
        }
        let network = prefix.to_bits() >> 64;
        let on_link = if flags & ON_LINK != 0 { 64 } else { 128 };
        let (valid_until, preferred_until) = (until(valid, now), until(preferred, now));
        let advertised = self.entries.iter_mut().skip(ADVERTISED).flatten();
        for entry in advertised {
            if entry.address.to_bits() >> 64 == network {
                // Without the flag the option says nothing about the link (RFC 4861 §4.6.2).
                entry.prefix = entry.prefix.min(on_link);
                entry.preferred = preferred_until;
                let left = entry.valid.saturating_sub(now);
                if valid_until > now.saturating_add(TWO_HOURS) || valid_until > entry.valid {
                    entry.valid = valid_until;
                } else if left > TWO_HOURS {
                    entry.valid = now.saturating_add(TWO_HOURS);
                }
                return;
            }
        }
        if valid == 0 {
            return;
        }
        let free = (ADVERTISED..MAX_ADDRESSES).find(|&place| self.entries.get(place).is_some_and(Option::is_none));
        if let Some(place) = free {
            self.put(
                place,
                self.identify(network, 0),
                on_link,
                (preferred_until, valid_until),
            );
        }
    }

    fn put(&mut self, place: usize, address: Ipv6Addr, prefix: u8, (preferred, valid): (i64, i64)) {
        if let Some(entry) = self.entries.get_mut(place) {
            *entry = Some(Entry {
                address,
                prefix,
                progress: Progress::New,
                attempt: 0,
                preferred,
                valid,
            });
        }
    }

    /// Another host has the address: the next identifier is tried, if it may be chosen.
    fn duplicate(&mut self, place: usize) {
        let Some(mut entry) = self.entries.get(place).copied().flatten() else {
            return;
        };
        entry.attempt += 1;
        if place != FIXED && entry.attempt < IDENTIFIERS {
            log::warn!("{}: duplicate address {}, trying another", self.name, entry.address);
            entry.address = self.identify(entry.address.to_bits() >> 64, entry.attempt);
            entry.progress = Progress::New;
        } else {
            log::error!("{}: duplicate address {}, not used", self.name, entry.address);
            entry.progress = Progress::Duplicate;
        }
        if let Some(place) = self.entries.get_mut(place) {
            *place = Some(entry);
        }
    }

    /// An address of a network (RFC 7217 §5), whose identifier is none that is reserved (RFC 5453).
    fn identify(&self, network: u128, attempt: u8) -> Ipv6Addr {
        for extra in 0..=u8::MAX {
            let hash: [u8; 32] = Sha256::new()
                .chain_update(self.config.stable_key)
                .chain_update((network as u64).to_be_bytes())
                .chain_update(self.mac.0)
                .chain_update([attempt, extra])
                .finalize()
                .into();
            let identifier = hash.first_chunk().map_or(1, |octets| u64::from_be_bytes(*octets));
            let reserved =
                identifier == 0 || identifier >> 8 == 0x00fd_ffff_ffff_ffff || identifier >> 24 == 0x0002_005e_fffe;
            if !reserved {
                return Ipv6Addr::from_bits(network << 64 | u128::from(identifier));
            }
        }
        Ipv6Addr::from_bits(network << 64 | 1)
    }

    /// Removes what has expired.
    fn expire(&mut self, now: i64) {
        for entry in &mut self.entries {
            if let Some(expired) = entry.take_if(|entry| entry.valid <= now) {
                log::warn!("{}: address {} expired", self.name, expired.address);
            }
        }
        for expiring in self.routers.iter_mut().chain(&mut self.servers) {
            expiring.take_if(|(_, until)| *until <= now);
        }
    }

    fn place(&self, address: Ipv6Addr) -> Option<(usize, Progress)> {
        let mut entries = self.entries.iter().enumerate();
        entries.find_map(|(place, entry)| {
            let entry = entry.filter(|entry| entry.address == address)?;
            Some((place, entry.progress))
        })
    }

    fn link_local(&self) -> Option<Ipv6Addr> {
        let entry = self.entries.get(LINK_LOCAL)?.as_ref()?;
        entry.progress.in_use().then_some(entry.address)
    }

    fn solicit(&mut self, now: i64) {
        if self.config.slaac {
            self.solicitations = SOLICITATIONS;
            self.solicit_at = now;
        }
    }

    fn report(&self, send: Send<'_>) {
        let groups = self.entries.iter().flatten().map(|entry| entry.address);
        send(message::listener_report(self.mac, self.link_local(), groups).bytes());
    }
}

/// The network of link-local addresses, fe80::/64.
const LINK_LOCAL_PREFIX: u128 = 0xfe80_0000_0000_0000;

/// The 32-bit number at `at`.
fn number(data: &[u8], at: usize) -> i64 {
    let octets = data.get(at..).and_then(|octets| octets.first_chunk::<4>());
    octets.map_or(0, |octets| u32::from_be_bytes(*octets).into())
}

/// The end of a lifetime of so many seconds, of which the largest number is endless.
fn until(seconds: i64, now: i64) -> i64 {
    match seconds {
        0xffff_ffff => NEVER,
        _ => now.saturating_add(seconds * SECOND),
    }
}

/// Sets the lifetime of an address in a list, in seconds; 0 removes it. A full list stays as it is: what is known is not
/// displaced.
fn set_lifetime(list: &mut [Expiring], address: Ipv6Addr, lifetime: i64, now: i64) {
    let position = |wanted: Option<Ipv6Addr>| {
        let addresses = list.iter().map(|place| place.map(|(address, _)| address));
        { addresses }.position(|place| place == wanted)
    };
    let Some(index) = position(Some(address)).or_else(|| position(None).filter(|_| lifetime > 0)) else {
        return;
    };
    if let Some(place) = list.get_mut(index) {
        *place = (lifetime > 0).then_some((address, until(lifetime, now)));
    }
}
