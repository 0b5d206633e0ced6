//! Peers that occupy workers, slots, pages and buffers (docs/limits.md).

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use smoltcp::wire::{TcpControl, TcpSeqNumber};

use super::common::machine::{Machine, Setup};
use super::common::pki::{Session, USER_NETWORK};
use super::common::process::{Process, find};
use super::common::telnet::Telnet;
use super::common::tls::s_client;
use super::common::wire::{Reading, Wire};
use super::common::{poll, resources};

/// The round-trip time of the honest clients.
const ROUND_TRIP: Duration = Duration::from_millis(100);
/// The number of their handshakes, and how many of them must succeed.
const TRIES: u32 = 100;
const SUCCESSES: u32 = 95;
/// The handshake timeout of the machine.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Concurrent clients, each of which makes its handshakes one after the other.
const CLIENTS: u32 = 4;

struct Site {
    machine: Machine,
    wire: Wire,
    session: Session,
    /// `status` before the attack.
    before: String,
}

impl Site {
    /// A machine with `more` in its `.echo`.
    fn new(more: &str) -> Self {
        Self::boot(more, |setup| setup.ready())
    }

    fn boot(more: &str, boot: impl FnOnce(Setup) -> Machine) -> Self {
        let (wire, session) = (Wire::new(), Session::new("session"));
        let echo = ".tls_port = 10007, .plain_port = 10008, .https_port = 443, .connections = 32, .idle_timeout = 10";
        let text = format!(
            "{USER_NETWORK}.vmm.tls_dbgsh = 992,\n.vmm.telnet_reload = 1,\n.echo = {{ {echo}, {more} }},\n{}",
            session.tls("")
        );
        let machine = boot(Setup::new().wire(wire.address()).defconfig(text));
        wire.connected();
        let before = Telnet::connect(wire.forward(23)).command("status");
        wire.delay(ROUND_TRIP);
        Self {
            machine,
            wire,
            session,
            before,
        }
    }

    /// Opens connections to `port`, one every `pause`, until `stop`; each sends only `payload`. The n-th is from
    /// `ghost(n)`. Returns how many were established.
    fn occupy(&self, port: u16, payload: &[u8], pause: Duration, ghost: Ghost, stop: &AtomicBool) -> u32 {
        let mut open = 0;
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            open += u32::from(self.occupy_once(ghost(n), port, payload));
            std::thread::sleep(pause);
        }
        open
    }

    /// Opens a connection from `ghost` that sends `payload`. Returns whether it was established.
    fn occupy_once(&self, ghost: (Ipv4Addr, u16), port: u16, payload: &[u8]) -> bool {
        self.wire.syn(ghost, port);
        let syn_ack = self.wire.seen_within(Duration::from_millis(500), |segment| {
            segment.to == ghost && segment.control == TcpControl::Syn
        });
        if let Some(syn_ack) = &syn_ack {
            self.wire.acknowledge(syn_ack, payload);
        }
        syn_ack.is_some()
    }

    /// How many of [`TRIES`] clients get `answer` to `request` over TLS while `attack` runs until its argument is set.
    fn served(&self, port: u16, request: &str, answer: &str, attack: impl FnOnce(&AtomicBool) + Send) -> u32 {
        let address = self.wire.forward(port);
        self.successes(CLIENTS, || self.is_served(address, request, answer), attack)
    }

    /// How many of [`TRIES`] calls of `client` return true meanwhile, with a number of concurrent calls.
    fn successes(
        &self,
        at_a_time: u32,
        client: impl Fn() -> bool + Sync,
        attack: impl FnOnce(&AtomicBool) + Send,
    ) -> u32 {
        let (stop, left, served) = (AtomicBool::new(false), AtomicU32::new(TRIES), AtomicU32::new(0));
        std::thread::scope(|scope| {
            let attack = scope.spawn(|| attack(&stop));
            // The machine is full when the clients connect.
            std::thread::sleep(Duration::from_secs(3));
            let clients: Vec<_> = (0..at_a_time)
                .map(|_| {
                    scope.spawn(|| {
                        let next = |left: u32| left.checked_sub(1);
                        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok() {
                            served.fetch_add(client().into(), Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            clients.into_iter().for_each(|client| client.join().unwrap());
            stop.store(true, Ordering::Relaxed);
            attack.join().unwrap();
        });
        let served = served.into_inner();
        println!("{served} of {TRIES}");
        served
    }

    fn client(&self, address: SocketAddr, request: &str) -> Process {
        let identity = self.session.identity("client");
        let arguments = identity.iter().map(String::as_str).chain(["-quiet"]);
        let mut client = s_client(address, &self.session.ca(), arguments);
        client.write(request.as_bytes());
        client
    }

    /// Whether a client gets that answer within the handshake timeout of the machine (10 s).
    fn is_served(&self, address: SocketAddr, request: &str, answer: &str) -> bool {
        let mut client = self.client(address, request);
        let start = Instant::now();
        while start.elapsed() < TIMEOUT {
            // An answer before the end counts.
            let ended = client.ended().is_some();
            if client.out.text().contains(answer) {
                return true;
            }
            if ended {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn counters(&self) -> String {
        Telnet::connect(self.wire.forward(23)).command("counters")
    }

    /// All resources that were free before the attack are free again.
    fn assert_rested(&self) {
        self.wire.delay(Duration::ZERO);
        let mut shell = Telnet::connect(self.wire.forward(23));
        poll("the resources as they were", || {
            (resources(&shell.command("status")) == resources(&self.before)).then_some(())
        });
    }
}

type Ghost = fn(u32) -> (Ipv4Addr, u16);

/// The n-th connection: from one address, or from a separate address each.
const SAME: Ghost = |n| (Ipv4Addr::new(10, 1, 0, 1), 10_000 + n as u16);
const OTHERS: Ghost = |n| (Ipv4Addr::from(0x0a02_0001 + n), 30_000);

/// More connections than the workers of a machine with 256 MiB.
const MANY: u32 = 308;

fn assert_occupied_workers_serve(ghost: Ghost) {
    let site = Site::new("");
    let attack = |stop: &AtomicBool| {
        let open = site.occupy(10008, b"x", Duration::from_millis(20), ghost, stop);
        assert!(open > MANY, "{open} connections established");
    };
    let served = site.served(10007, "are you there\n", "are you there", attack);
    assert!(served >= SUCCESSES, "{served} of {TRIES}");
    let counters = site.counters();
    assert!(
        !counters.contains(&counter("evicted when established", 0)),
        "{counters}"
    );
    let console = site.machine.console().text();
    assert!(console.contains("evicted for a newer connection after "), "{console}");
    site.assert_rested();
}

/// A line of `counters`.
fn counter(name: &str, count: u32) -> String {
    format!("  {name:<40} {count}\n")
}

#[test]
fn idle_connections_of_one_address_do_not_block_others() {
    assert_occupied_workers_serve(SAME);
}

#[test]
fn idle_connections_of_many_addresses_do_not_block_others() {
    assert_occupied_workers_serve(OTHERS);
}

#[test]
fn silent_connections_do_not_block_the_echo_over_tls() {
    let site = Site::new("");
    let attack = |stop: &AtomicBool| {
        site.occupy(10007, b"", Duration::from_millis(20), OTHERS, stop);
    };
    let served = site.served(10007, "are you there\n", "are you there", attack);
    assert!(served >= SUCCESSES, "{served} of {TRIES}");
    let counters = site.counters();
    assert!(
        !counters.contains(&counter("evicted before established", 0)),
        "{counters}"
    );
    site.assert_rested();
}

#[test]
fn failing_handshakes_do_not_block_others_or_the_log() {
    let site = Site::new("");
    let attack = |stop: &AtomicBool| {
        let failed = site.occupy(10007, b"no ClientHello\r\n", Duration::from_millis(10), OTHERS, stop);
        assert!(failed > MANY, "{failed} connections established");
    };
    let served = site.served(10007, "are you there\n", "are you there", attack);
    assert!(served >= SUCCESSES, "{served} of {TRIES}");
    let log = Telnet::connect(site.wire.forward(23)).command("log");
    assert!(
        log.contains("] ready after ") && log.contains("handshake failed: "),
        "{log}"
    );
    site.assert_rested();
}

#[test]
fn failing_handshakes_with_an_unread_serial_port_do_not_block_others() {
    let site = Site::boot("", |setup| setup.unread_console().boot());
    let attack = |stop: &AtomicBool| {
        site.occupy(10007, b"no ClientHello\r\n", Duration::from_millis(10), OTHERS, stop);
    };
    let served = site.served(10007, "are you there\n", "are you there", attack);
    assert!(served >= SUCCESSES, "{served} of {TRIES}");
    site.assert_rested();
}

#[test]
fn blind_resets_and_syns_do_not_block_others() {
    let site = Site::new("");
    let ghost = OTHERS(0);
    let attack = |stop: &AtomicBool| {
        let mut n = 0;
        while !stop.load(Ordering::Relaxed) {
            // A new connection when the last one was closed as idle.
            if n % 5000 == 0 {
                site.occupy_once(ghost, 10008, b"x");
            }
            // In the window, and not the next number.
            let control = [TcpControl::Rst, TcpControl::Syn][n % 2];
            site.wire.send(&site.wire.segment(ghost, 10008, |segment| {
                segment.control = control;
                segment.seq_number = TcpSeqNumber(1003) + n % 1000;
            }));
            n += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(n > 1000, "{n} segments sent");
    };
    let served = site.served(10007, "are you there\n", "are you there", attack);
    assert!(served >= SUCCESSES, "{served} of {TRIES}");
    let counters = site.counters();
    assert!(!counters.contains(&counter("challenge ACKs withheld", 0)), "{counters}");
    site.assert_rested();
}

#[test]
fn an_address_has_no_more_workers_than_its_limit() {
    const LIMIT: usize = 8;
    let site = Site::new(&format!(".connections_per_address = {LIMIT}"));
    let attack = |stop: &AtomicBool| {
        let open = site.occupy(10007, b"\x16", Duration::from_millis(20), SAME, stop);
        assert!(open > MANY, "{open} connections established");
    };
    let most = AtomicUsize::new(0);
    let address = site.wire.forward(10007);
    let shell = Mutex::new(Telnet::connect(site.wire.forward(23)));
    let client = || {
        let status = shell.lock().unwrap().command("status");
        most.fetch_max(status.matches("\n  10.1.0.1:").count(), Ordering::Relaxed);
        site.is_served(address, "are you there\n", "are you there")
    };
    let served = site.successes(CLIENTS, client, attack);
    drop(shell);
    let most = most.into_inner();
    println!("at most {most} workers");
    assert!(served >= SUCCESSES, "{served} of {TRIES}");
    assert!((1..=LIMIT).contains(&most), "{most}");
    // There was always a worker for the clients: only connections of that address were evicted.
    let counters = site.counters();
    assert!(counters.contains(&counter("evicted when established", 0)), "{counters}");
    site.assert_rested();
}

#[test]
fn silent_connections_do_not_block_the_shell_over_tls() {
    let site = Site::new("");
    let attack = |stop: &AtomicBool| {
        site.occupy(992, b"", Duration::from_millis(50), OTHERS, stop);
    };
    let served = site.served(992, "version\nexit\n", "> ", attack);
    assert!(served >= SUCCESSES, "{served} of {TRIES}");
    assert!(!site.machine.console().text().contains("handshake not finished within"));
    site.assert_rested();
}

#[test]
fn one_byte_connections_do_not_block_the_shell_over_tls() {
    let site = Site::new("");
    // The type of a handshake record.
    let attack = |stop: &AtomicBool| {
        site.occupy(992, b"\x16", Duration::from_secs(1), OTHERS, stop);
    };
    let served = site.served(992, "version\nexit\n", "> ", attack);
    assert!(served >= SUCCESSES, "{served} of {TRIES}");
    site.machine
        .wait_for("refused: evicted for a newer connection (handshake not finished)");
    site.assert_rested();
}

/// Whether the debug shell on telnet greets a client in time.
fn is_greeted(address: SocketAddr) -> bool {
    let start = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut all = Vec::new();
    while find(&all, b"> ").is_none() {
        let left = TIMEOUT.saturating_sub(start.elapsed());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return false;
        }
        let mut bytes = [0; 256];
        match stream.read(&mut bytes) {
            Ok(count @ 1..) => all.extend_from_slice(&bytes[..count]),
            _ => return false,
        }
    }
    true
}

#[test]
fn silent_connections_do_not_block_the_shell_on_telnet() {
    let site = Site::new("");
    let address = site.wire.forward(23);
    let attack = |stop: &AtomicBool| {
        site.occupy(23, b"", Duration::from_millis(50), OTHERS, stop);
    };
    let served = site.successes(CLIENTS, || is_greeted(address), attack);
    assert!(served >= SUCCESSES, "{served} of {TRIES}");
    site.assert_rested();
}

#[test]
fn slow_readers_of_the_page_do_not_block_others() {
    const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let site = Site::new("");
    // The handshake and the beginning of the page; then nothing, or a byte in 100 ms.
    let addresses = [None, Some(Duration::from_millis(100))]
        .map(|pause| site.wire.forward_reading(443, Reading::Slow(4096, pause)));
    let attack = |stop: &AtomicBool| {
        let mut readers = Vec::new();
        for address in addresses.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            readers.push(site.client(*address, GET));
            std::thread::sleep(Duration::from_millis(500));
        }
    };
    let address = site.wire.forward(443);
    // There are four pages.
    let served = site.successes(2, || site.is_served(address, GET, "</html>"), attack);
    assert!(served >= SUCCESSES, "{served} of {TRIES}");
    // Each of them got a page and lost it.
    let counters = site.counters();
    let evicted = counters
        .split("failed: page evicted")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let evicted: u32 = evicted.and_then(|count| count.trim().parse().ok()).expect(&counters);
    assert!(evicted >= 4, "{counters}");
    site.assert_rested();
}

#[test]
fn a_paused_paste_is_replaced_and_others_are_refused() {
    let site = Site::new("");
    let address = site.wire.forward(23);
    let mut first = Telnet::connect(address);
    first.send(b"tls reload\r\n.tls = {\r\n");
    first.said.wait_for("Input is not echoed.");
    // The session over TLS requests the buffer as well.
    let held = "Failed: another session is reloading the configuration; try again when it has finished.";
    assert!(site.is_served(site.wire.forward(992), "tls reload\n.\nexit\n", held));
    // The next session on telnet ends the first and gets the buffer at once.
    let mut second = Telnet::connect(address);
    second.send(b"tls reload\r\n\x03");
    let answer = second.prompt();
    assert!(
        answer.ends_with("Cancelled. The current configuration is unchanged.\n"),
        "{answer}"
    );
    drop((first, second));
    site.assert_rested();
}

#[test]
fn an_endless_paste_does_not_block_others() {
    let site = Site::new("");
    let address = site.wire.forward(23);
    let attack = |stop: &AtomicBool| {
        let mut shell = Telnet::connect(address);
        shell.send(b"tls reload\r\n");
        let mut stream = shell.into_stream();
        let lines = b"all work and no play\r\n".repeat(100);
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            stream.write_all(&lines).unwrap();
            sent += lines.len();
        }
        println!("{sent} bytes pasted");
        assert!(sent > 256 << 10, "{sent}");
    };
    let served = site.served(10007, "are you there\n", "are you there", attack);
    assert!(served >= SUCCESSES, "{served} of {TRIES}");
    site.assert_rested();
}
