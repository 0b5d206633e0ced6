//! Peers that occupy workers and seats: others are served all the same. The results are in docs/limits.md.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use smoltcp::wire::TcpControl;

use super::common::machine::{Machine, Setup};
use super::common::pki::{Session, USER_NETWORK};
use super::common::poll;
use super::common::telnet::Telnet;
use super::common::tls::s_client;
use super::common::wire::Wire;

/// The round-trip time of the clients that behave.
const ROUND_TRIP: Duration = Duration::from_millis(100);
/// Handshakes of these that are tried, and that have to succeed.
const TRIES: u32 = 100;
const SUCCESSES: u32 = 95;
/// Clients at a time, each of which makes its handshakes one after the other.
const CLIENTS: u32 = 4;

struct Site {
    machine: Machine,
    wire: Wire,
    session: Session,
}

impl Site {
    fn new() -> Self {
        let (wire, session) = (Wire::new(), Session::new("session"));
        let text = format!(
            "{USER_NETWORK}.vmm.tls_dbgsh = 992,\n.echo = {{ .tls_port = 10007, .plain_port = 10008, .connections = 32 }},\n{}",
            session.tls("")
        );
        let machine = Setup::new().wire(wire.address()).defconfig(text).ready();
        wire.connected();
        wire.delay(ROUND_TRIP);
        Self { machine, wire, session }
    }

    /// Opens connections to `port`, one every `pause`, until `stop`; each says `payload` and then no more. The n-th is from
    /// `ghost(n)`. How many came about.
    fn occupy(&self, port: u16, payload: &[u8], pause: Duration, ghost: Ghost, stop: &AtomicBool) -> u32 {
        let mut open = 0;
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let ghost = ghost(n);
            self.wire.syn(ghost, port);
            let syn_ack = self.wire.seen_within(Duration::from_millis(500), |segment| {
                segment.to == ghost && segment.control == TcpControl::Syn
            });
            if let Some(syn_ack) = syn_ack {
                self.wire.acknowledge(&syn_ack, payload);
                open += 1;
            }
            std::thread::sleep(pause);
        }
        open
    }

    /// How many of [`TRIES`] clients are served while `attack` goes on until its argument is set.
    fn served(&self, port: u16, request: &str, answer: &str, attack: impl FnOnce(&AtomicBool) + Send) -> u32 {
        let (stop, left, served) = (AtomicBool::new(false), AtomicU32::new(TRIES), AtomicU32::new(0));
        let address = self.wire.forward(port);
        std::thread::scope(|scope| {
            let attack = scope.spawn(|| attack(&stop));
            // The machine is full when they come.
            std::thread::sleep(Duration::from_secs(3));
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    scope.spawn(|| {
                        let next = |left: u32| left.checked_sub(1);
                        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok() {
                            if self.is_served(address, request, answer) {
                                served.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    })
                })
                .collect();
            clients.into_iter().for_each(|client| client.join().unwrap());
            stop.store(true, Ordering::Relaxed);
            attack.join().unwrap();
        });
        served.into_inner()
    }

    /// Whether a client gets that answer within the handshake timeout of the machine (10 s).
    fn is_served(&self, address: SocketAddr, request: &str, answer: &str) -> bool {
        let identity = self.session.identity("client");
        let arguments = identity.iter().map(String::as_str).chain(["-quiet"]);
        let mut client = s_client(address, &self.session.ca(), arguments);
        client.write(request.as_bytes());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            // What was answered before the end counts.
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

    /// Everything is as it was: nobody is served but this shell, and all slots are free but its own.
    fn assert_rested(&self) {
        self.wire.delay(Duration::ZERO);
        let mut shell = Telnet::connect(self.wire.forward(23));
        poll("the pool as it was", || {
            let status = shell.command("status");
            let rested = status.contains(" 0 half open, 0 open, 1 established, 0 closing\n");
            (rested && status.contains("\nconnections: 0 of ")).then_some(())
        });
    }
}

type Ghost = fn(u32) -> (Ipv4Addr, u16);

/// The n-th connection of one address, and of an address of its own.
const SAME: Ghost = |n| (Ipv4Addr::new(10, 1, 0, 1), 10_000 + n as u16);
const OTHERS: Ghost = |n| (Ipv4Addr::from(0x0a02_0001 + n), 30_000);

fn assert_occupied_workers_serve(ghost: Ghost, least: &str) {
    let site = Site::new();
    let attack = |stop: &AtomicBool| {
        let open = site.occupy(10008, b"x", Duration::from_millis(20), ghost, stop);
        assert!(open > 200, "{open} connections came about");
    };
    let served = site.served(10007, "are you there\n", "are you there", attack);
    assert!(served >= SUCCESSES, "{served} of {TRIES}");
    let counters = Telnet::connect(site.wire.forward(23)).command("counters");
    assert!(!counters.contains(&format!("  {least:<40} 0\n")), "{counters}");
    assert!(
        site.machine
            .console()
            .text()
            .contains("evicted for a newer connection after ")
    );
}

#[test]
fn idle_connections_of_one_address_keep_nobody_out() {
    assert_occupied_workers_serve(SAME, "evicted when established");
}

#[test]
fn idle_connections_of_many_addresses_keep_nobody_out() {
    assert_occupied_workers_serve(OTHERS, "evicted when established");
}

#[test]
fn silent_connections_keep_nobody_out_of_the_shell_over_tls() {
    let site = Site::new();
    let attack = |stop: &AtomicBool| {
        site.occupy(992, b"", Duration::from_millis(50), OTHERS, stop);
    };
    let served = site.served(992, "version\nexit\n", "> ", attack);
    assert!(served >= SUCCESSES, "{served} of {TRIES}");
    assert!(!site.machine.console().text().contains("no handshake within"));
    site.assert_rested();
}

#[test]
fn connections_of_one_byte_keep_nobody_out_of_the_shell_over_tls() {
    let site = Site::new();
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
