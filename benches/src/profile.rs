//! A sampling profiler for the image, by QEMU's monitor.
//!
//! A sample is the instruction at which the virtual CPU is stopped, and, for a copying routine, which has no frame of its
//! own, its caller. The first pattern of [`ROOMS`] that matches a frame, from the innermost out, names the room.

use std::collections::BTreeMap;
use std::io::{Error, Read, Result, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::guest::{Guest, Machine, System};
use crate::load::{Connector, Protocol, Tls};

/// A load, by name.
pub struct Load {
    /// Its name.
    pub name: &'static str,
    protocol: Protocol,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Connections,
    Bulk,
    RoundTrips,
}

impl Kind {
    fn unit(self) -> &'static str {
        match self {
            Self::Connections => "connection",
            Self::Bulk => "MiB",
            Self::RoundTrips => "round trip",
        }
    }

    /// Units a second.
    fn run(self, connector: &Connector, time: Duration) -> Result<f64> {
        match self {
            Self::Connections => connector.rate(1, time),
            Self::Bulk => connector.bulk(time),
            Self::RoundTrips => Ok(1e6 / connector.round_trip(time)?),
        }
    }
}

const fn load(name: &'static str, kind: Kind, protocol: Protocol) -> Load {
    Load { name, protocol, kind }
}

/// All loads.
pub const LOADS: &[Load] = &[
    load("handshake", Kind::Connections, Protocol::Tls(Tls::USUAL)),
    load(
        "handshake-rsa",
        Kind::Connections,
        Protocol::Tls(Tls {
            rsa: true,
            ..Tls::USUAL
        }),
    ),
    load(
        "resumed",
        Kind::Connections,
        Protocol::Tls(Tls {
            resume: true,
            ..Tls::USUAL
        }),
    ),
    load("tcp", Kind::Connections, Protocol::Plain),
    load("bulk", Kind::Bulk, Protocol::Tls(Tls::USUAL)),
    load("bulk-plain", Kind::Bulk, Protocol::Plain),
    load("round-trip", Kind::RoundTrips, Protocol::Tls(Tls::USUAL)),
];

/// Rooms by patterns of their functions' names and files.
const ROOMS: &[(&str, &[&str])] = &[
    ("X25519", &["curve25519", "x25519"]),
    ("P-256, P-384", &["p256", "p384", "primeorder"]),
    ("ML-KEM", &["ml_kem", "ml-kem", "keccak", "sha3"]),
    ("RSA", &["crypto_bigint", "crypto-bigint", "crypto/rsa", "/rsa-"]),
    ("SHA-2", &["sha2"]),
    ("HMAC, HKDF", &["hkdf", "hmac"]),
    (
        "AES, GHASH",
        &["/aes-", "ghash", "polyval", "aes_gcm", "aes-gcm", "/ctr-"],
    ),
    ("ChaCha20, Poly1305", &["chacha", "poly1305"]),
    ("certificates", &["webpki", "/der-", "tls/src/pki"]),
    ("tls", &["crates/tls/src"]),
    ("smoltcp", &["smoltcp"]),
    ("nic", &["src/nic"]),
    ("net", &["src/net"]),
    ("serve", &["src/serve", "src/endpoint"]),
    ("executor", &["embassy", "src/machine/executor"]),
    ("machine", &["src/machine"]),
];
/// The routines that copy, fill and compare memory.
const COPIES: &[&str] = &["memcpy", "memmove", "memset", "memcmp", "bcmp"];

/// The CPU time for each unit of `load` in microseconds, by room.
///
/// # Errors
/// If the image does not boot or has no symbols, or the load fails.
pub fn run(machine: &Machine, image: &Path, defconfig: &Path, load: &Load, samples: usize) -> Result<()> {
    let scratch = defconfig.with_file_name("monitor");
    // A socket of an earlier run.
    let _ = std::fs::remove_file(&scratch);
    let monitor = format!("unix:{},server,nowait", scratch.display());
    let system = System::Image {
        image: image.into(),
        defconfig: defconfig.into(),
    };
    let guest = Guest::boot(machine, &system, &["-monitor", &monitor])?;
    let connector = guest.connector(load.protocol);
    // Undisturbed first: how fast it is, and what the CPU takes for it.
    let (start, before) = (Instant::now(), guest.virtual_cpu()?);
    let rate = load.kind.run(&connector, Duration::from_secs(5))?;
    let busy = (guest.virtual_cpu()? - before) / start.elapsed().as_secs_f64();
    let mut monitor = Monitor::connect(&scratch)?;
    let stopped = std::thread::scope(|scope| {
        let client = scope.spawn(|| load.kind.run(&connector, Duration::from_secs(3600)));
        std::thread::sleep(Duration::from_millis(500));
        let stopped = monitor.sample(samples);
        if client.is_finished() {
            return Err(client
                .join()
                .expect("no panic")
                .err()
                .unwrap_or(Error::other("the load ended early")));
        }
        // The load fails with the guest.
        drop(guest);
        stopped
    })?;
    report(image, load, busy * 1e6 / rate, &stopped)
}

/// An instruction and the word on top of the stack; `None` when the CPU was halted.
type Stop = Option<(u64, u64)>;

struct Monitor(UnixStream);

impl Monitor {
    fn connect(path: &Path) -> Result<Self> {
        let mut monitor = Self(UnixStream::connect(path)?);
        monitor.answer()?;
        Ok(monitor)
    }

    /// Everything up to the prompt.
    fn answer(&mut self) -> Result<String> {
        let mut text = Vec::new();
        while !text.ends_with(b"(qemu) ") {
            let mut part = [0; 4096];
            match self.0.read(&mut part)? {
                0 => return Err(Error::other("QEMU's monitor has closed")),
                count => text.extend_from_slice(&part[..count]),
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        self.0.write_all(format!("{line}\n").as_bytes())?;
        self.answer()
    }

    fn sample(&mut self, count: usize) -> Result<Vec<Stop>> {
        let mut stops = Vec::new();
        for _ in 0..count {
            // So that the registers and the stack are of one moment.
            self.ask("stop")?;
            let registers = self.ask("info registers")?;
            stops.push(if registers.contains("HLT=1") {
                None
            } else {
                let rip = after(&registers, "RIP=").ok_or(Error::other("no RIP"))?;
                let rsp = after(&registers, "RSP=").ok_or(Error::other("no RSP"))?;
                let top = self.ask(&format!("x /1gx {rsp:#x}"))?;
                Some((rip, after(&top, ": 0x").unwrap_or_default()))
            });
            self.ask("cont")?;
            std::thread::sleep(Duration::from_millis(3));
        }
        Ok(stops)
    }
}

/// The hexadecimal number that follows `name`.
fn after(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(name)?;
    let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
    u64::from_str_radix(&rest[..end], 16).ok()
}

/// The frames at each address, innermost first, as `function file:line`.
fn frames(image: &Path, addresses: &[u64]) -> Result<BTreeMap<u64, Vec<String>>> {
    let output = Command::new("addr2line")
        .args(["-f", "-C", "-i", "-a", "-e"])
        .arg(image)
        .args(addresses.iter().map(|address| format!("{address:#x}")))
        .output()
        .map_err(|error| Error::other(format!("addr2line: {error}")))?;
    let (mut found, mut at) = (BTreeMap::<u64, Vec<String>>::new(), 0);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(address) = line.strip_prefix("0x") {
            at = u64::from_str_radix(address, 16).map_err(Error::other)?;
        } else {
            let frame = format!("{line} {}", lines.next().unwrap_or_default());
            found.entry(at).or_default().push(frame);
        }
    }
    Ok(found)
}

/// The room of an instruction, and its line.
fn place(found: &BTreeMap<u64, Vec<String>>, (rip, caller): (u64, u64)) -> (String, String) {
    let of = |address| found.get(&address).map_or(&[][..], Vec::as_slice);
    let own = |frames: &[String]| {
        let frame = frames.iter().find(|frame| !frame.contains("/library/core/"));
        let frame = frame.or(frames.first()).map_or("?", String::as_str);
        let (function, file) = frame.rsplit_once(' ').unwrap_or((frame, ""));
        format!("{function} {}", file.rsplit('/').next().unwrap_or_default())
    };
    let frames = of(rip);
    let routine = frames
        .first()
        .and_then(|frame| frame.split_whitespace().next())
        .unwrap_or("?");
    if COPIES.iter().any(|copy| routine.ends_with(copy)) {
        return ("copies".into(), format!("{routine} for {}", own(of(caller))));
    }
    let room = frames.iter().find_map(|frame| {
        let mut rooms = ROOMS.iter();
        rooms.find(|(_, patterns)| patterns.iter().any(|pattern| frame.contains(pattern)))
    });
    (room.map_or("other", |(room, _)| room).into(), own(frames))
}

fn report(image: &Path, load: &Load, each: f64, stops: &[Stop]) -> Result<()> {
    let awake: Vec<(u64, u64)> = stops.iter().flatten().copied().collect();
    let mut addresses: Vec<u64> = awake.iter().flat_map(|&(rip, caller)| [rip, caller]).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let found = frames(image, &addresses)?;
    if !found.values().flatten().any(|frame| frame.contains(".rs:")) {
        return Err(Error::other(
            "the image has no line numbers: qemu/profile builds one that has",
        ));
    }
    let (mut rooms, mut lines) = (BTreeMap::new(), BTreeMap::new());
    for &stop in &awake {
        let (room, line) = place(&found, stop);
        *rooms.entry(room).or_insert(0_usize) += 1;
        *lines.entry(line).or_insert(0_usize) += 1;
    }
    println!(
        "{}: {each:.0} us of CPU time for each {}; {} samples, {} of them halted\n",
        load.name,
        load.kind.unit(),
        stops.len(),
        stops.len() - awake.len(),
    );
    for (title, counts, most) in [("room", rooms, 20), ("line", lines, 25)] {
        println!("| {title} | us | share |\n|---|---|---|");
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| core::cmp::Reverse(*count));
        for (name, count) in counts.into_iter().take(most) {
            let share = count as f64 / awake.len().max(1) as f64;
            println!("| {name} | {:.1} | {:.1} % |", share * each, share * 100.0);
        }
        println!();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
