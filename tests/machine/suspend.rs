//! Time and random numbers after a stop, or a resume from a snapshot.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use der::DateTime;

use super::common::machine::{Machine, Setup};
use super::common::process::Process;
use super::common::telnet::Telnet;
use super::common::tls::{self, Hello, s_client};
use super::common::{LIMIT, Scratch, baked_ca, poll};

/// How long the machine is stopped: longer than its date may differ from the host's when it runs. QEMU starts the RTC's
/// seconds when it starts itself, up to a second behind the host's.
const STOPPED: Duration = Duration::from_secs(8);

#[test]
fn after_a_stop_connections_continue_and_the_date_catches_up() {
    let mut machine = Setup::new().arguments(&["-rtc", "base=utc,clock=host"]).ready();
    let mut plain = TcpStream::connect(machine.at(10008)).unwrap();
    plain.set_read_timeout(Some(LIMIT)).unwrap();
    assert_echoes(&mut plain, b"before");
    let mut tls = s_client(machine.at(10007), &baked_ca(), [""; 0]);
    tls.write(b"before\n");
    tls.out.wait_for("\nbefore\n");
    let mut shell = machine.shell();
    assert!(behind(&mut shell) < STOPPED / 2);
    // In its first second it reads the RTC often.
    poll("two seconds of uptime", || {
        let status = shell.command("status");
        let (_, seconds) = status.split_once("uptime: 00:00:").expect(&status);
        (seconds.get(..2) >= Some("02")).then_some(())
    });

    machine.monitor("stop");
    let start = Instant::now();
    poll("a few seconds of the host", || {
        (start.elapsed() > STOPPED).then_some(())
    });
    machine.monitor("cont");

    assert_echoes(&mut plain, b"after");
    tls.write(b"after\n");
    tls.out.wait_for("\nafter\n");
    poll("the date of the host", || {
        (behind(&mut shell) < STOPPED / 2).then_some(())
    });
    tls::assert_serves(machine.at(10007), &baked_ca());
}

#[test]
fn machines_resumed_from_one_snapshot_draw_different_numbers() {
    let scratch = Scratch::new();
    let snapshot = scratch.path("snapshot");
    let mut machine = Setup::new().ready();
    tls::assert_serves(machine.at(10007), &baked_ca());
    save(&mut machine, &snapshot);
    let clones = [resume(Setup::new(), &snapshot), resume(Setup::new(), &snapshot)];
    // The first connection of each: the same bytes, answered from the same state.
    let [(random, share), (other_random, other_share)] = clones.each_ref().map(|clone| server_hello(clone.at(10007)));
    assert_ne!(random, other_random);
    assert_ne!(share, other_share);
    let [ticket, other_ticket] = clones
        .each_ref()
        .map(|clone| ticket(clone.at(10007), &scratch.path("session")));
    assert_ne!(ticket, other_ticket);
    for clone in &clones {
        tls::assert_serves(clone.at(10007), &baked_ca());
        assert!(!clone.ask("status").contains("do not resume a snapshot twice"));
    }
}

#[test]
fn a_new_generation_id_is_mixed_in_without_rdrand() {
    let scratch = Scratch::new();
    let snapshot = scratch.path("snapshot");
    // No RDRAND and RDSEED: without an ID only the TSC differs.
    let devices = ["-device", "virtio-rng-pci", "-device", "vmgenid"];
    let setup = |devices: &[&str]| Setup::new().cpu("qemu64").arguments(devices);
    let machine = setup(&devices[..2]).ready();
    let warning = "do not resume a snapshot twice";
    assert!(machine.ask("status").contains(warning));
    let mut machine = setup(&devices).ready();
    let status = machine.ask("status");
    let mixed = "generator: the VM generation ID is mixed in at each use\n";
    assert!(status.contains(mixed) && !status.contains(warning), "{status}");
    save(&mut machine, &snapshot);
    let clones = [0; 2].map(|_| resume(setup(&devices), &snapshot));
    let [(random, share), (other_random, other_share)] = clones.each_ref().map(|clone| server_hello(clone.at(10007)));
    assert!(random != other_random && share != other_share);
    for clone in &clones {
        clone.wait_for("entropy: new VM generation ID, reseeded from all sources");
        tls::assert_serves(clone.at(10007), &baked_ca());
    }
}

#[test]
fn dates_before_the_build_are_refused_and_later_ones_count() {
    for date in ["1970-01-01", "1980-01-01", "1999-12-31"] {
        let machine = at(date);
        machine.wait_for(&format!("warning: date: the clock is wrong: {date} "));
        machine.wait_for("tls echo server on port 10007 not started: the real-time clock is wrong");
        let status = machine.ask("status");
        assert!(
            status.contains(&format!("date: the clock is wrong: {date} ")),
            "{status}"
        );
        let mut plain = TcpStream::connect(machine.at(10008)).unwrap();
        assert_echoes(&mut plain, b"plain");
    }
    // QEMU 7.2 takes 2100 for 1963.
    let machine = at("2069-01-01");
    machine.wait_for("certificate 1 expired 20");
    let status = machine.ask("status");
    assert!(status.contains("date: 2069-01-01 "), "{status}");
}

#[test]
fn status_names_the_clocks() {
    let machine = Setup::new().ready();
    let status = machine.ask("status");
    // QEMU's TCG has no invariant TSC and no kvm-clock.
    let clock = "kHz, measured by the PM timer, not invariant; date by the RTC, read every 10 s\n";
    assert!(status.contains(clock), "{status}");
}

/// A machine whose RTC begins at `date`.
fn at(date: &str) -> Machine {
    let base = format!("base={date}T00:00:00");
    Setup::new().arguments(&["-rtc", &base]).ready()
}

/// How far the machine's date is behind the host's.
fn behind(shell: &mut Telnet) -> Duration {
    let host = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let status = shell.command("status");
    let date = status.split("date: ").nth(1).and_then(|rest| rest.split(" UTC").next());
    let fields: Vec<u16> = date
        .expect(&status)
        .split(['-', ' ', ':'])
        .map(|field| field.parse().expect(&status))
        .collect();
    let field = |index: usize| u8::try_from(fields[index]).expect(&status);
    let date = DateTime::new(fields[0], field(1), field(2), field(3), field(4), field(5)).expect(&status);
    host.saturating_sub(date.unix_duration())
}

/// One message there and back.
fn assert_echoes(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(message).unwrap();
    let mut echo = vec![0; message.len()];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(echo, message);
}

/// Stops the machine, and writes its state to a file.
fn save(machine: &mut Machine, file: &Path) {
    machine.monitor("stop");
    // No blanks: QEMU's monitor would want quotes around them.
    machine.monitor(&format!("migrate -d exec:cat>{}", file.display()));
    poll("the end of the migration", || {
        let state = machine.monitor("info migrate");
        assert!(!state.contains("failed"), "{state}");
        state.contains("Migration status: completed").then_some(())
    });
}

/// The machine in that file, on a separate host.
fn resume(setup: Setup, file: &Path) -> Machine {
    let from = format!("exec:cat {}", file.display());
    let mut machine = setup.arguments(&["-incoming", &from]).boot();
    poll("the end of the migration", || {
        let state = machine.monitor("info status");
        (!state.contains("inmigrate")).then_some(())
    });
    machine.monitor("cont");
    machine
}

/// The random number and the key share of the ServerHello that answers a fixed ClientHello (RFC 8446 §4.1.3).
fn server_hello(address: SocketAddr) -> ([u8; 32], Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(&Hello::default().record()).unwrap();
    let mut header = [0; 5];
    stream.read_exact(&mut header).unwrap();
    assert_eq!(header[..3], [22, 3, 3]);
    let mut message = vec![0; u16::from_be_bytes([header[3], header[4]]).into()];
    stream.read_exact(&mut message).unwrap();
    // Type, length, legacy_version; then the random number, the session ID, the suite and the compression method.
    assert_eq!(message[0], 2, "{message:02x?}");
    let random = message[6..38].try_into().unwrap();
    let mut extensions = &message[39 + usize::from(message[38]) + 3 + 2..];
    loop {
        let [kind, len] = [0, 2].map(|at| u16::from_be_bytes([extensions[at], extensions[at + 1]]));
        let (body, rest) = extensions[4..].split_at(len.into());
        if kind == 51 {
            return (random, body.to_vec());
        }
        extensions = rest;
    }
}

/// The ticket of a new session, in hexadecimal.
fn ticket(address: SocketAddr, file: &Path) -> String {
    let mut client = s_client(address, &baked_ca(), ["-sess_out", file.to_str().unwrap()]);
    client.write(b"a session\n");
    client.out.wait_for("\na session\n");
    client.write(b"Q\n");
    assert!(client.wait().success());
    let mut command = Command::new("openssl");
    let mut openssl = Process::start(command.args(["sess_id", "-noout", "-text", "-in"]).arg(file));
    assert!(openssl.wait().success());
    let said = openssl.out.text();
    let ticket = said.split("TLS session ticket:\n").nth(1).expect(&said);
    ticket.split("\n\n").next().unwrap().to_owned()
}
