//! A DNS server with a fixed list of names (RFC 1035, RFC 3596).

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

/// A name and its addresses.
pub type Host = (&'static str, Vec<IpAddr>);

/// A running server; it ends with the process.
pub struct DnsServer {
    asked: Arc<Mutex<Vec<(String, u16)>>>,
}

impl DnsServer {
    /// Serves these hosts.
    pub fn new(at: SocketAddr, hosts: Vec<Host>) -> Self {
        let socket = UdpSocket::bind(at).unwrap();
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut message = [0; 512];
            while let Ok((len, from)) = socket.recv_from(&mut message) {
                let Some((name, kind)) = question(&message[..len]) else {
                    continue;
                };
                let answer = answer(&message[..len], &hosts, &name, kind);
                seen.lock().unwrap().push((name, kind));
                let _ = socket.send_to(&answer, from);
            }
        });
        Self { asked }
    }

    /// The names that were asked for, with the types of their records, in order.
    pub fn asked(&self) -> Vec<(String, u16)> {
        self.asked.lock().unwrap().clone()
    }
}

/// The only question of a message: its name and type.
fn question(message: &[u8]) -> Option<(String, u16)> {
    let mut labels = Vec::new();
    let mut rest = message.get(12..)?;
    loop {
        let (&len, after) = rest.split_first()?;
        if len == 0 {
            rest = after;
            break;
        }
        let (label, after) = after.split_at_checked(len.into())?;
        labels.push(String::from_utf8(label.to_vec()).ok()?);
        rest = after;
    }
    Some((labels.join("."), u16::from_be_bytes(*rest.first_chunk()?)))
}

/// The answer to a question: the addresses of its type, or NXDOMAIN.
fn answer(question: &[u8], hosts: &[Host], name: &str, kind: u16) -> Vec<u8> {
    let host = hosts.iter().find(|(known, _)| *known == name);
    let records: Vec<Vec<u8>> = host
        .map_or(&[][..], |(_, addresses)| addresses)
        .iter()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(address), 1) => Some(address.octets().to_vec()),
            (IpAddr::V6(address), 28) => Some(address.octets().to_vec()),
            _ => None,
        })
        .collect();
    let mut message = question.to_vec();
    // Response, recursion desired and available.
    message[2..4].copy_from_slice(&[0x81, if host.is_some() { 0x80 } else { 0x83 }]);
    message[7] = u8::try_from(records.len()).unwrap();
    for data in records {
        // The name of the question; class IN, 60 s.
        message.extend_from_slice(&[0xc0, 12, 0, u8::try_from(kind).unwrap(), 0, 1, 0, 0, 0, 60, 0]);
        message.push(u8::try_from(data.len()).unwrap());
        message.extend_from_slice(&data);
    }
    message
}
