//! Peers that open connections without using them, beside honest clients.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use smoltcp::wire::{TcpControl, TcpSeqNumber};

use super::common::machine::{Machine, Setup};
use super::common::pki::{Pki, USER_NETWORK};
use super::common::telnet::Telnet;
use super::common::tls::{self, Hello};
use super::common::wire::{Segment, Wire};
use super::common::{LIMIT, Scratch, poll, resources};

/// A machine at the end of a cable, and the addresses of its services for honest clients.
struct Site {
    machine: Machine,
    wire: Wire,
    pki: Pki,
    scratch: Scratch,
    /// `status` before the attack.
    before: String,
}

impl Site {
    fn new(echo: &str) -> Self {
        let (wire, pki) = (Wire::new(), Pki::new());
        let tls = pki.tls().replace(".tls = {", ".tls = { .handshake_timeout = 2,");
        let defconfig = format!("{USER_NETWORK}{tls}.echo = {{ .tls_port = 10007, .plain_port = 10008, {echo} }},\n");
        let machine = Setup::new().wire(wire.address()).defconfig(defconfig).ready();
        wire.connected();
        let before = Telnet::connect(wire.forward(23)).command("status");
        Self {
            machine,
            wire,
            pki,
            scratch: Scratch::new(),
            before,
        }
    }

    fn assert_serves(&self) {
        let ca = self.scratch.file("RootCA.pem", &self.pki.ca);
        tls::assert_serves(self.wire.forward(10007), &ca);
    }

    fn shell(&self) -> Telnet {
        Telnet::connect(self.wire.forward(23))
    }

    /// Opens a connection from a ghost.
    fn open(&self, ghost: (Ipv4Addr, u16), port: u16) -> Segment {
        self.wire.syn(ghost, port);
        self.syn_ack(ghost)
    }

    fn syn_ack(&self, ghost: (Ipv4Addr, u16)) -> Segment {
        self.wire.seen("a SYN-ACK", |segment| {
            segment.to == ghost && segment.control == TcpControl::Syn
        })
    }

    /// A segment of an open connection, after `sent` bytes from the ghost and `received` from the machine.
    fn say(&self, syn_ack: &Segment, control: TcpControl, sent: usize, received: usize) {
        self.wire.send(&self.wire.segment(syn_ack.to, syn_ack.port, |segment| {
            segment.control = control;
            segment.seq_number = TcpSeqNumber(1001) + sent;
            segment.ack_number = Some(syn_ack.seq + 1 + received);
        }));
    }

    /// All resources that were free before the attack are free again.
    fn assert_rested(&self) {
        let mut shell = self.shell();
        poll("the resources as they were", || {
            (resources(&shell.command("status")) == resources(&self.before)).then_some(())
        });
    }
}

/// The n-th host behind the gateway.
fn ghost(n: u32) -> (Ipv4Addr, u16) {
    (Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 1, 0, 1)) + n), 30_000)
}

#[test]
fn a_thousand_abnormal_ends_leave_the_pool_unchanged() {
    let site = Site::new("");
    site.assert_rested();
    let hello = Hello::default().record();
    let (half, _) = hello.split_at(hello.len() / 2);
    for n in 0..1000 {
        let ghost = ghost(n);
        match n % 10 {
            // A SYN and nothing more.
            0 => site.wire.syn(ghost, 10007),
            // RST instead of the ACK.
            1 => {
                let syn_ack = site.open(ghost, 10007);
                site.say(&syn_ack, TcpControl::Rst, 0, 0);
            }
            // Connected, then silence.
            2 => site.wire.acknowledge(&site.open(ghost, 10007), b""),
            // Half a hello, then silence.
            3 => site.wire.acknowledge(&site.open(ghost, 10007), half),
            // Half a hello, then RST.
            4 => {
                let syn_ack = site.open(ghost, 10007);
                site.wire.acknowledge(&syn_ack, half);
                site.say(&syn_ack, TcpControl::Rst, half.len(), 0);
            }
            // A whole hello, then FIN, and whatever comes is not acknowledged.
            5 => {
                let syn_ack = site.open(ghost, 10007);
                site.wire.acknowledge(&syn_ack, &hello);
                site.say(&syn_ack, TcpControl::Fin, hello.len(), 0);
            }
            // A whole hello; RST in the middle of the answer.
            6 => {
                let syn_ack = site.open(ghost, 10007);
                site.wire.acknowledge(&syn_ack, &hello);
                site.wire.seen("the answer", |segment| {
                    segment.to == ghost && !segment.payload.is_empty()
                });
                site.say(&syn_ack, TcpControl::Rst, hello.len(), 0);
            }
            // A whole hello; the answer is acknowledged, and that was all.
            7 => {
                let syn_ack = site.open(ghost, 10007);
                site.wire.acknowledge(&syn_ack, &hello);
                let answer = |segment: &Segment| segment.to == ghost && !segment.payload.is_empty();
                let answer = site.wire.seen("the answer", answer);
                site.say(&syn_ack, TcpControl::None, hello.len(), answer.payload.len());
            }
            // Plain echo, then RST with the echo on its way.
            8 => {
                let syn_ack = site.open(ghost, 10008);
                site.wire.acknowledge(&syn_ack, b"to be echoed");
                site.say(&syn_ack, TcpControl::Rst, 12, 0);
            }
            // FIN at once, and never an answer to the machine's own.
            _ => {
                let syn_ack = site.open(ghost, 10008);
                site.say(&syn_ack, TcpControl::Fin, 0, 0);
            }
        }
        if n % 100 == 99 {
            site.assert_serves();
        }
    }
    site.assert_rested();
    site.assert_serves();
    let said = site.machine.console().text();
    assert!(said.contains(": handshake not finished in 2 s"), "{said}");
}

/// Sends `count` SYNs and calls `answer` with each reply. Some may be unanswered: the cable may drop frames.
fn flood(site: &Site, first: u32, count: u32, mut answer: impl FnMut(&Segment)) {
    for batch in 0..count / 50 {
        let ghosts = first + batch * 50..first + batch * 50 + 50;
        ghosts.clone().for_each(|n| site.wire.syn(ghost(n), 10007));
        for _ in ghosts {
            let syn_ack = |segment: &Segment| segment.control == TcpControl::Syn;
            match site.wire.seen_within(Duration::from_millis(200), syn_ack) {
                Some(segment) => answer(&segment),
                None => break,
            }
        }
    }
}

#[test]
fn behind_ten_thousand_half_open_peers_a_handshake_succeeds() {
    let site = Site::new("");
    for thousand in 0..10 {
        flood(&site, thousand * 1000, 1000, |_| {});
        site.assert_serves();
    }
    let counters = site.shell().command("counters");
    assert!(counters.contains("\n  evicted, half open"), "{counters}");
    site.assert_rested();
}

#[test]
fn in_a_flood_of_five_thousand_syns_a_second_distant_clients_are_served() {
    let site = Site::new("");
    let address = site.wire.forward(10008);
    site.wire.delay(Duration::from_millis(100));
    let done = AtomicBool::new(false);
    let served = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let start = Instant::now();
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) {
                let due = (start.elapsed().as_micros() / 200) as u32;
                (sent..due).for_each(|n| site.wire.syn(ghost(n), 10008));
                sent = due;
                std::thread::sleep(Duration::from_millis(1));
            }
            sent
        });
        // The table is full before the first client connects.
        let full = |count: u32| count >= 40_000;
        poll("the flood", || full(site.wire.ghosts_answered()).then_some(()));
        let clients: Vec<_> = (0..100)
            .map(|n| {
                std::thread::sleep(Duration::from_millis(20));
                let hello = format!("client {n}").into_bytes();
                scope.spawn(move || {
                    let mut client = TcpStream::connect(address).ok()?;
                    client.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
                    client.write_all(&hello).ok()?;
                    let mut echo = vec![0; hello.len()];
                    client.read_exact(&mut echo).ok()?;
                    (echo == hello).then_some(())
                })
            })
            .collect();
        let served = clients.into_iter().filter_map(|client| client.join().unwrap()).count();
        done.store(true, Ordering::Relaxed);
        println!("{served} of 100 in a flood of {} SYNs", flood.join().unwrap());
        served
    });
    assert!(served >= 95, "{served}");
    site.wire.delay(Duration::ZERO);
    site.assert_rested();
}

#[test]
fn behind_ten_thousand_stalled_peers_a_handshake_succeeds() {
    let site = Site::new("");
    let hello = Hello::default().record();
    let (half, _) = hello.split_at(hello.len() / 2);
    for thousand in 0..10 {
        // Every second one sends half of its hello, the others nothing.
        let mut turn = false;
        flood(&site, thousand * 1000, 1000, |syn_ack| {
            turn = !turn;
            site.wire.acknowledge(syn_ack, if turn { half } else { b"" });
        });
        site.assert_serves();
    }
    let counters = site.shell().command("counters");
    assert!(
        !counters.contains("  evicted before established                 0\n"),
        "{counters}"
    );
    site.assert_rested();
}

#[test]
fn stalled_peers_do_not_block_the_shell() {
    let site = Site::new(".connections = 4");
    for n in 0..200 {
        site.wire.acknowledge(&site.open(ghost(n), 23), b"");
    }
    site.shell();
    site.assert_serves();
    site.assert_rested();
}

#[test]
fn a_shell_whose_peer_has_vanished_is_replaced() {
    let site = Site::new("");
    let syn_ack = site.open(ghost(0), 23);
    site.wire.acknowledge(&syn_ack, b"status\r\n");
    site.wire.seen("the prompt", |segment| {
        segment.to == ghost(0) && !segment.payload.is_empty()
    });
    // From here on the ghost sends nothing, not even an acknowledgement.
    for _ in 0..5 {
        assert!(site.shell().command("version").starts_with("postern "));
    }
    site.assert_rested();
}

#[test]
fn a_burst_of_syns_as_large_as_the_pool_is_accepted() {
    let site = Site::new(".connections = 100");
    // All before any is answered.
    (0..100).for_each(|n| site.wire.syn(ghost(n), 10008));
    let mut open: Vec<Segment> = (0..100)
        .map(|_| {
            site.wire
                .seen("a SYN-ACK", |segment| segment.control == TcpControl::Syn)
        })
        .collect();
    open.sort_by_key(|segment| segment.to);
    open.dedup_by_key(|segment| segment.to);
    assert_eq!(open.len(), 100);
    for syn_ack in &open {
        site.wire.acknowledge(syn_ack, b"all of us");
    }
    let mut echoed: Vec<_> = (0..100)
        .map(|_| site.wire.seen("an echo", |segment| segment.payload == b"all of us").to)
        .collect();
    echoed.sort();
    echoed.dedup();
    assert_eq!(echoed.len(), 100);
}

#[test]
fn a_hello_in_one_byte_segments_is_answered() {
    let site = Site::new("");
    let syn_ack = site.open(ghost(0), 10007);
    let hello = Hello::default().record();
    for (at, byte) in hello.iter().enumerate() {
        site.wire.say_byte(&syn_ack, at, *byte);
        // At most as many in flight as the cable can certainly hold.
        if at % 32 == 31 {
            let all = syn_ack_of(at + 1);
            site.wire.seen("the acknowledgement", |segment| {
                segment.to == ghost(0) && segment.ack >= Some(all)
            });
        }
    }
    let answer = site.wire.seen("an answer", |segment| {
        segment.to == ghost(0) && !segment.payload.is_empty()
    });
    // A handshake record, a ServerHello.
    assert_eq!((answer.payload[0], answer.payload[5]), (22, 2), "{answer:02x?}");
}

/// The acknowledgement of that many bytes of a ghost.
fn syn_ack_of(bytes: usize) -> TcpSeqNumber {
    TcpSeqNumber(1001) + bytes
}

#[test]
fn silent_handshakes_end_at_the_deadline() {
    let site = Site::new("");
    let mut silent = TcpStream::connect(site.wire.forward(10007)).unwrap();
    // Too short for a record; the rest is never sent.
    silent.write_all(&[22, 3, 1]).unwrap();
    site.machine.wait_for(": handshake not finished in 2 s");
    site.assert_rested();
}

/// The boot and the first session of the shell can still be read.
#[test]
fn a_flood_of_sessions_and_failures_leaves_the_log_readable() {
    let machine = Setup::new().ready();
    let first = machine.ask("version");
    assert!(first.starts_with("postern 0."), "{first}");
    for _ in 0..300 {
        let mut shell = TcpStream::connect(machine.at(23)).unwrap();
        let mut stream = TcpStream::connect(machine.at(10007)).unwrap();
        stream.write_all(b"this is no ClientHello\r\n").unwrap();
        for stream in [&mut stream, &mut shell] {
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            // The shell's greeting, the server's alert.
            let _ = stream.read(&mut [0; 64]);
        }
    }
    let log = machine.ask("log");
    let begins = "debug shell opened";
    for text in [
        "] postern 0.",
        "] memory: ",
        "] ready after ",
        begins,
        "handshake failed: ",
    ] {
        assert!(log.contains(text), "{text}: {log}");
    }
    // The first session, then a burst, in order.
    assert!(log.matches(begins).count() <= 22, "{log}");
    let times: Vec<f64> = log
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split(']').next()?.trim().parse().ok())
        .collect();
    assert!(times.len() > 50 && times.is_sorted(), "{log}");
}
