//! The log as UDP syslog (RFC 3164): `<14>Sep 11 15:20:33 host bitvisor: text`.
//!
//! The tag is the one that the BitVisor guide shows, so that the rules people have for its log serve this one as well.

use core::convert::Infallible;
use core::fmt::Write;
use core::future::{Future, poll_fn};
use core::net::IpAddr;
use core::task::Poll;
use core::time::Duration;

use der::DateTime;
use heapless::String;
use smoltcp::socket::udp;
use smoltcp::wire::IpEndpoint;

use super::Netif;
use crate::config::{self, is_host_address};
use crate::pki::text::{ENCODED, encode};

/// The port of syslog servers, and the one that we send from (RFC 3164, 2).
pub const PORT: u16 = 514;
/// The longest text of a line, in bytes; what is longer is cut off.
pub const MAX_TEXT: usize = 900;
/// The longest packet (RFC 3164, 4.1).
const MAX_PACKET: usize = 1024;
/// "User-level messages" (RFC 3164, 4.1.1).
const FACILITY: u8 = 1;
const TAG: &str = "bitvisor";

/// Where lines come from.
pub trait Source {
    /// Waits for the next line, puts it into `text` (which is empty), and returns its level and its age in seconds.
    fn next(&mut self, text: &mut String<MAX_TEXT>) -> impl Future<Output = (log::Level, u64)>;
}

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The address to send from; `None`: the interface's own.
    pub source: Option<IpAddr>,
    /// The server's address.
    pub destination: IpAddr,
}

impl Settings {
    /// The configured syslog client; `None` if syslog is off or has no server.
    pub fn from_config(syslog: &config::Syslog) -> Option<Self> {
        let destination = syslog.dst_ipaddr.filter(|&address| is_host_address(address))?;
        syslog.enable.then_some(Self {
            source: syslog.src_ipaddr.filter(|&address| is_host_address(address)),
            destination,
        })
    }
}

/// Sends every line of `lines`, for ever. `host` is our name (without spaces); `clock` gives the seconds since 1970, UTC.
/// Lines wait while there is no address or no room, so `lines` must cope with not being asked.
pub async fn run(
    netif: Netif,
    settings: Settings,
    host: &str,
    clock: fn() -> Option<u64>,
    mut lines: impl Source,
) -> Infallible {
    let mut text = String::new();
    let mut packet = String::new();
    loop {
        text.clear();
        let (level, age) = lines.next(&mut text).await;
        let time = clock().map(|now| now.saturating_sub(age));
        format(&mut packet, level, time, host, &text);
        netif.configured().await;
        send(netif, settings, packet.as_bytes()).await;
    }
}

async fn send(netif: Netif, settings: Settings, packet: &[u8]) {
    let shared = netif.shared;
    poll_fn(|context| {
        let mut set = shared.common.borrow_mut();
        let socket = set.get_mut::<udp::Socket<'_>>(shared.udp);
        if !socket.is_open() {
            // Port 514 is not 0, and nothing else uses the socket.
            let _ = socket.bind(PORT);
        }
        if !socket.can_send() {
            socket.register_send_waker(context.waker());
            return Poll::Pending;
        }
        let mut to = udp::UdpMetadata::from(IpEndpoint::new(settings.destination.into(), PORT));
        to.local_address = match settings.source {
            Some(source) => Some(source.into()),
            None => shared.source(settings.destination.into()),
        };
        match socket.send_slice(packet, to) {
            // Room for the packet's place in the queue, but not for its bytes.
            Err(udp::SendError::BufferFull) => {
                socket.register_send_waker(context.waker());
                return Poll::Pending;
            }
            Err(udp::SendError::Unaddressable) => shared.count(|counters| counters.udp_dropped += 1),
            Ok(()) => {}
        }
        drop(set);
        shared.common_dirty.set(true);
        shared.pool.wake();
        Poll::Ready(())
    })
    .await;
}

/// Writes one packet.
fn format(packet: &mut String<MAX_PACKET>, level: log::Level, time: Option<u64>, host: &str, text: &str) {
    // RFC 3164, 4.1.1: 3 error, 4 warning, 6 informational, 7 debug.
    let severity = match level {
        log::Level::Error => 3,
        log::Level::Warn => 4,
        log::Level::Info => 6,
        log::Level::Debug | log::Level::Trace => 7,
    };
    let time = Timestamp::from_unix(time.unwrap_or(0));
    packet.clear();
    // A host's name is far shorter than what the text leaves free; if not, the line is cut there.
    let _ = write!(packet, "<{}>{time} {host} {TAG}: ", FACILITY * 8 + severity);
    for character in text.chars() {
        if packet.push_str(encode(character, &mut [0; ENCODED])).is_err() {
            break;
        }
    }
}

/// A date as syslog writes it: `Sep  1 05:02:33`.
struct Timestamp(DateTime);

impl Timestamp {
    fn from_unix(seconds: u64) -> Self {
        Self(DateTime::from_unix_duration(Duration::from_secs(seconds)).unwrap_or(DateTime::INFINITY))
    }
}

impl core::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let Self(date) = self;
        let month = MONTHS.get(usize::from(date.month()).wrapping_sub(1)).unwrap_or(&"Dec");
        let (hour, minute, second) = (date.hour(), date.minutes(), date.seconds());
        write!(f, "{month} {:2} {hour:02}:{minute:02}:{second:02}", date.day())
    }
}

#[cfg(test)]
mod tests;
