//! `tls reload`: new certificates and revocation lists while connections last.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use postern_testing::lists;
use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};

use super::common::machine::{Machine, Setup};
use super::common::pki::{ECHO, USER_NETWORK, strings};
use super::common::process::Process;
use super::common::telnet::Telnet;
use super::common::tls::s_client;
use super::common::{Scratch, accept};
use super::identities::Ca;

/// The output after any failure.
const UNCHANGED: &str = "The current configuration is unchanged.\n> ";

/// Enables it on telnet.
const RELOAD: &str = ".vmm.telnet_reload = 1,\n";

/// A CA with files for programs, and the common key.
struct World {
    ca: Ca,
    key: KeyPair,
    scratch: Scratch,
}

impl World {
    fn new() -> Self {
        let (ca, key, scratch) = (Ca::new(), KeyPair::generate().unwrap(), Scratch::new());
        scratch.file("ca.pem", ca.0.pem());
        scratch.file("key.pem", key.serialize_pem());
        Self { ca, key, scratch }
    }

    fn ca(&self) -> PathBuf {
        self.scratch.path("ca.pem")
    }

    /// A `.tls` whose server has that name and serial number.
    fn tls(&self, name: &str, serial: u64, more: &str) -> String {
        format!(
            ".tls = {{ .srv_cert =\n{},\n.srv_key =\n{},\n.ca_cert =\n{},\n{more} }},\n",
            strings(&self.ca.issue(name, serial, &self.key)),
            strings(&self.key.serialize_pem()),
            strings(&self.ca.0.pem()),
        )
    }

    fn machine(&self, more: &str) -> Machine {
        let text = format!("{USER_NETWORK}{RELOAD}{ECHO}{}", self.tls("first.test", 1, more));
        Setup::new().defconfig(text).ready()
    }

    /// The arguments that identify a program as a client with that serial number.
    fn identity(&self, serial: u64) -> [String; 4] {
        let file = |path: &Path| path.to_str().unwrap().to_owned();
        let name = format!("client{serial}");
        let certificate = self.ca.issue(&format!("{name}.test"), serial, &self.key);
        let certificate = self.scratch.file(&name, certificate);
        let key = self.scratch.path("key.pem");
        ["-cert".into(), file(&certificate), "-key".into(), file(&key)]
    }

    /// A client that prints the server's certificate.
    fn client(&self, machine: &Machine, arguments: &[&str]) -> Process {
        s_client(machine.at(10007), &self.ca(), arguments)
    }

    /// A server with a certificate of that CA, which sends `text` to the first client, then close_notify. Its address for the
    /// machine is returned. (OpenSSL's `s_server` closes the socket without close_notify when its input ends.)
    fn serve(&self, ca: &Ca, text: &[u8], version: &str) -> (Process, u16) {
        const SERVER: &str = "\
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
context.maximum_version = ssl.TLSVersion[sys.argv[5]]
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
connection = context.wrap_socket(listener.accept()[0], server_side=True)
connection.sendall(open(sys.argv[4], 'rb').read())
connection.unwrap()
";
        let port = free_port();
        let certificate = self
            .scratch
            .file(&format!("host{port}.pem"), ca.issue("host.test", 50, &self.key));
        let mut command = Command::new("python3");
        command.args(["-c", SERVER, &port.to_string()]).arg(certificate);
        command.arg(self.scratch.path("key.pem"));
        command
            .arg(self.scratch.file(&format!("text{port}"), text))
            .arg(version);
        let server = Process::start(&mut command);
        super::common::poll("the server", || listens(port).then_some(()));
        (server, port)
    }
}

/// A free port.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether the port is in use; does not connect, since the first connection is served.
fn listens(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.contains(&format!("0100007F:{port:04X} 00000000:0000 0A"))
}

/// The shell's output for a pasted text.
fn paste(shell: &mut Telnet, text: &str) -> String {
    shell.send(b"tls reload\r\n");
    shell.send(text.as_bytes());
    shell.command("\r\n.")
}

/// The next line typed is echoed.
fn assert_echoes(client: &mut Process, line: &str) {
    let mark = client.out.mark();
    client.write(format!("{line}\n").as_bytes());
    client.out.wait_from(mark, line);
}

/// A new client gets that server's certificate.
fn assert_served(world: &World, machine: &Machine, name: &str) {
    let mut client = world.client(machine, &[]);
    client.out.wait_for(&format!("subject=CN = {name}\n"));
    assert_echoes(&mut client, "are you there");
}

#[test]
fn a_certificate_is_rotated_by_paste_and_connections_continue() {
    let world = World::new();
    let machine = world.machine("");
    let mut shell = machine.shell();
    let status = shell.command("tls");
    assert!(status.contains("configuration 0: of the start, "), "{status}");
    let line = "\nserves CN=first.test, serial 01, valid until 2100-02-03, ECDSA P-256";
    assert!(status.contains(line), "{status}");
    assert!(status.contains("\ntrusts CN=CA of a test, serial "), "{status}");
    assert_eq!(shell.command("tls status now").lines().next(), Some("usage:"));
    let mut old = world.client(&machine, &[]);
    old.out.wait_for("subject=CN = first.test\n");
    assert_echoes(&mut old, "before");

    // A whole defconfig.
    let text = format!(
        "{USER_NETWORK}{ECHO}{}",
        world.tls("second.test", 2, ".handshake_timeout = 7,")
    );
    let answer = paste(&mut shell, &text);
    assert!(
        answer.contains("\n.vmm is ignored: it takes effect at a start only.\n"),
        "{answer}"
    );
    assert!(answer.contains("configuration 1: by tls reload, "), "{answer}");
    assert!(
        answer.contains("configuration 0 is still used by 1 connection\n"),
        "{answer}"
    );
    assert!(answer.contains("7 s for a handshake\n"), "{answer}");
    assert!(answer.contains("\nserves CN=second.test, serial 02, "), "{answer}");
    assert!(answer.ends_with("\nDone.\n"), "{answer}");
    assert!(!answer.contains("BEGIN"), "{answer}");
    machine.wait_for("tls: configuration 1 is used for new connections");
    assert_served(&world, &machine, "second.test");
    assert_echoes(&mut old, "between");

    // A chain and its key alone.
    let pem = world.ca.issue("third.test", 3, &world.key) + &world.key.serialize_pem();
    let answer = paste(&mut shell, &pem);
    assert!(answer.contains("\nserves CN=third.test, "), "{answer}");
    assert!(answer.contains("7 s for a handshake\n"), "{answer}");
    assert_served(&world, &machine, "third.test");
    assert_echoes(&mut old, "after");
    let outcome = shell.command("selftest");
    assert!(outcome.contains("passed, ") && !outcome.contains("FAILED"), "{outcome}");

    // The text is neither in the history nor in the log.
    let key = world.key.serialize_pem();
    let secret = key.lines().nth(1).unwrap();
    assert!(!shell.command("log").contains(secret));
    assert!(!machine.console().text().contains(secret));
    // The next line is a command again.
    assert!(shell.command("version").starts_with("postern "));
}

#[test]
fn the_serial_console_does_not_echo_the_paste() {
    let world = World::new();
    let mut machine = world.machine("");
    machine.type_in("tls reload\r");
    machine.wait_for("Input is not echoed.");
    let pem = world.ca.issue("second.test", 2, &world.key) + &world.key.serialize_pem();
    for line in pem.lines() {
        machine.type_in(&format!("{line}\r"));
    }
    machine.type_in(".\r");
    machine.wait_for("serves CN=second.test");
    assert!(!machine.console().text().contains("BEGIN"));
    assert_served(&world, &machine, "second.test");
}

#[test]
fn there_may_be_more_reloads_than_slots() {
    let world = World::new();
    let machine = world.machine("");
    let mut shell = machine.shell();
    for serial in 2..12 {
        let pem = world.ca.issue(&format!("s{serial}.test"), serial, &world.key);
        let answer = paste(&mut shell, &pem);
        assert!(answer.contains(&format!("serial {serial:02x}, ")), "{answer}");
        assert!(!answer.contains("still used"), "{answer}");
    }
    assert_served(&world, &machine, "s11.test");
    // A connection of each keeps all of them.
    let mut clients = Vec::new();
    for serial in 12..15 {
        let mut client = world.client(&machine, &[]);
        assert_echoes(&mut client, "stay");
        clients.push(client);
        if serial < 14 {
            let pem = world.ca.issue(&format!("s{serial}.test"), serial, &world.key);
            assert!(paste(&mut shell, &pem).ends_with("Done.\n"));
        }
    }
    let pem = world.ca.issue("last.test", 20, &world.key);
    let answer = paste(&mut shell, &pem);
    let why = "Failed: 2 connections still use earlier configurations, of which there are 3 at most; close them or \
     wait";
    assert!(answer.contains(why), "{answer}");
    assert_served(&world, &machine, "s13.test");
    for client in &mut clients {
        assert_echoes(client, "still here");
    }
    clients.remove(0).write(b"Q\n");
    super::common::poll("the end of the connection", || {
        (shell.command("tls").matches("still used").count() == 1).then_some(())
    });
    assert!(paste(&mut shell, &pem).ends_with("Done.\n"));
    assert_served(&world, &machine, "last.test");
    for client in &mut clients[..1] {
        assert_echoes(client, "still here");
    }
}

#[test]
fn clients_revoked_meanwhile_are_refused_even_with_a_ticket() {
    let world = World::new();
    let machine = world.machine(".client_auth = \"required\",");
    let (good, bad) = (world.identity(6), world.identity(7));
    let mut shell = machine.shell();
    let mut sessions = Vec::new();
    for version in ["-tls1_3", "-tls1_2"] {
        let session = world.scratch.path(&format!("session{version}"));
        let session = session.to_str().unwrap().to_owned();
        let with = |option| -> Vec<&str> {
            let bad = bad.iter().map(String::as_str);
            bad.chain([version, option, session.as_str()]).collect()
        };
        let mut first = world.client(&machine, &with("-sess_out"));
        assert_echoes(&mut first, "let me in");
        first.write(b"Q\n");
        assert!(first.wait().success());
        // So far the ticket is accepted.
        let mut again = world.client(&machine, &with("-sess_in"));
        again.out.wait_for("Reused, ");
        assert_echoes(&mut again, "and again");
        again.write(b"Q\n");
        assert!(again.wait().success());
        sessions.push((version, session));
    }
    let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
    let mut inside = world.client(&machine, &bad);
    assert_echoes(&mut inside, "inside");

    let answer = paste(&mut shell, &world.ca.revoke(7));
    assert!(
        answer.contains("\nrevocation list 1 of CN=CA of a test, next update 2100-01-01"),
        "{answer}"
    );
    // The list of another CA does not replace it.
    let answer = paste(&mut shell, &Ca::called("Stranger").revoke(8));
    for line in [
        "\nrevocation list 1 of CN=Stranger (no configured CA; it may be that of an intermediate), next update ",
        "\nrevocation list 1 of CN=CA of a test, next update ",
    ] {
        assert!(answer.contains(line), "{answer}");
    }
    machine.wait_for("warning: tls: the revocation list of CN=Stranger is not of a configured CA");
    // Nor does an older one of the same CA.
    let newer = world.ca.revoke_with(2, 7);
    let older = world.tls("one.test", 9, &format!(".crl =\n{},", strings(&world.ca.revoke(9))));
    assert!(paste(&mut shell, &newer).contains("\nrevocation list 2 of CN=CA of a test, "));
    for text in [&older, &world.ca.revoke(9)] {
        let answer = paste(&mut shell, text);
        let why = ".tls.crl: revocation list 1 is older than the current one of that CA. Use the newest";
        assert!(answer.contains(why), "{answer}");
    }
    assert!(answer.contains("client authentication required"), "{answer}");
    for (version, session) in &sessions {
        for arguments in [vec![*version], vec![*version, "-sess_in", session]] {
            let client = world.client(&machine, &[&bad[..], &arguments].concat());
            client.err.wait_for("alert certificate revoked");
            assert!(!client.out.text().contains("Reused, "));
        }
    }
    machine.wait_for("certificate revoked: serial number 07");
    // Connected clients stay connected, and others are accepted.
    assert_echoes(&mut inside, "still inside");
    let good: Vec<&str> = good.iter().map(String::as_str).collect();
    assert_echoes(&mut world.client(&machine, &good), "let me in");
}

#[test]
fn a_configuration_is_fetched_from_a_host_of_the_ca() {
    let world = World::new();
    let machine = world.machine("");
    let mut shell = machine.shell();
    let mut old = world.client(&machine, &[]);
    assert_echoes(&mut old, "before");
    for (serial, more, name) in [
        (2, "TLSv1_3", " name=host.test"),
        (3, "TLSv1_2", " vm0 name=host.test"),
        (4, "TLSv1_3", " name=localhost"),
    ] {
        let text = world.tls(&format!("s{serial}.test"), serial, "");
        let (_server, port) = world.serve(&world.ca, text.as_bytes(), more);
        let answer = shell.command(&format!("tls reload 10.0.2.2 {port}{name}"));
        assert!(
            answer.starts_with(&format!(
                "Fetching from 10.0.2.2:{port}...\nRead {} bytes.\n",
                text.len()
            )),
            "{answer}"
        );
        assert!(answer.ends_with("Done.\n"), "{answer}");
        assert_served(&world, &machine, &format!("s{serial}.test"));
    }
    assert_echoes(&mut old, "after");
}

#[test]
fn fetches_from_other_hosts_and_truncated_texts_are_refused() {
    let world = World::new();
    let machine = world.machine("");
    let mut shell = machine.shell();
    let text = world.tls("evil.test", 66, "");
    let (_other, port) = world.serve(&Ca::new(), text.as_bytes(), "TLSv1_3");
    let mut refused = |arguments: String, why: &str| {
        let answer = shell.command(&format!("tls reload {arguments}"));
        assert!(answer.contains(why), "{why:?}: {answer}");
        assert!(!answer.contains("Done."), "{answer}");
    };
    refused(
        format!("10.0.2.2 {port} name=host.test"),
        "Failed: certificate's signature is not its issuer's",
    );
    // Without a name the address is checked.
    let (_server, port) = world.serve(&world.ca, text.as_bytes(), "TLSv1_3");
    refused(format!("10.0.2.2 {port}"), "10.0.2.2");
    let (_server, port) = world.serve(&world.ca, text.as_bytes(), "TLSv1_3");
    refused(format!("10.0.2.2 {port} name=another.test"), "another.test");
    let port = free_port();
    refused(
        format!("10.0.2.2 {port}"),
        "Failed: connection refused. The current configuration is unchanged.\n",
    );
    refused("10.0.2.2 1 vm9".into(), "Failed: no such network interface");
    refused("10.0.2.2 0".into(), "usage:");
    refused("10.0.2.2".into(), "usage:");
    refused("10.0.2.2 1 name=.".into(), "not a host name or IP address");

    // An attacker on the path truncates it: the whole text arrives, but no close_notify.
    let (_server, port) = world.serve(&world.ca, text.as_bytes(), "TLSv1_2");
    let middle = TcpListener::bind("127.0.0.1:0").unwrap();
    let between = middle.local_addr().unwrap().port();
    let cutter = std::thread::spawn(move || {
        let mut machine = accept(&middle);
        let mut host = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut from, mut to) = (machine.try_clone().unwrap(), host.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        // Records, up to the first alert, which is close_notify.
        loop {
            let mut record = vec![0; 5];
            if host.read_exact(&mut record).is_err() || record[0] == 21 {
                break;
            }
            let len = u16::from_be_bytes([record[3], record[4]]);
            record.resize(5 + usize::from(len), 0);
            host.read_exact(&mut record[5..]).unwrap();
            machine.write_all(&record).unwrap();
        }
        machine.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = machine.read_to_end(&mut Vec::new());
    });
    let why = "Failed: the host closed the connection without close_notify; the text may be truncated.";
    refused(format!("10.0.2.2 {between} name=host.test"), why);
    cutter.join().unwrap();

    // Longer than any defconfig.
    let long = vec![b' '; 256 * 1024 + 1];
    let (_server, port) = world.serve(&world.ca, &long, "TLSv1_3");
    refused(
        format!("10.0.2.2 {port} name=host.test"),
        "Failed: the text is longer than 262144 bytes.",
    );
    assert_served(&world, &machine, "first.test");
}

#[test]
fn every_fault_is_reported_and_changes_nothing() {
    let (world, other) = (World::new(), World::new());
    let machine = world.machine("");
    let mut shell = machine.shell();
    let good = world.tls("second.test", 2, "");
    let mismatch = world.ca.issue("second.test", 2, &other.key);
    let broken = good.replacen("-----END CERTIFICATE", "-----AND CERTIFICATE", 1);
    let mut expired = CertificateParams::new(["localhost".to_owned()]).unwrap();
    expired.not_after = rcgen::date_time_ymd(2024, 2, 1);
    let expired = expired.signed_by(&world.key, &world.ca.0).unwrap().pem();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAQIDBA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let no_ca = format!(
        ".tls = {{ .srv_cert =\n{},\n.srv_key =\n{},\n.client_auth = \"required\" }}",
        strings(&world.ca.issue("second.test", 2, &world.key)),
        strings(&world.key.serialize_pem())
    );
    for (text, why) in [
        (format!("{good}.unknown = 1,\n"), ".unknown: "),
        (broken, ".tls.srv_cert: "),
        (mismatch, ".tls.srv_key: "),
        (expired, "expired 2024-02-01"),
        (encrypted.to_owned(), ".tls.srv_key: "),
        (no_ca, ".tls.client_auth: "),
        (ECHO.to_owned(), "there is no .tls in it"),
        (".tls = { .keylog = 1 }".to_owned(), "there is no .tls.srv_cert in it"),
        (format!("{}{{", good), "1:1"),
        (String::new(), "there is no .tls in it"),
        ("x".repeat(300_000), "Failed: the text is longer than 262144 bytes."),
    ] {
        let answer = paste(&mut shell, &text);
        let place = answer.find("Failed: ").unwrap_or_else(|| panic!("{why}: {answer}"));
        if why != "1:1" {
            assert!(answer[place..].contains(why), "{why}: {answer}");
        }
        assert!(answer.ends_with(UNCHANGED.trim_end_matches("> ")), "{answer}");
    }
    // Lists and CAs that handshakes cannot use.
    let list = |list: &str| world.tls("second.test", 2, &format!(".crl =\n{},", strings(list)));
    for (text, reason) in lists::unusable(&world.ca.0) {
        for text in [list(&text), text] {
            let answer = paste(&mut shell, &text);
            let why = format!(".tls.crl: revocation list 1 {reason}");
            assert!(answer.contains(&why), "{why}: {answer}");
            assert!(answer.ends_with(UNCHANGED.trim_end_matches("> ")), "{answer}");
        }
    }
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let no_ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let answer = paste(
        &mut shell,
        &good.replace(&strings(&world.ca.0.pem()), &strings(&no_ca.pem())),
    );
    let why =
        ".tls.ca_cert: certificate 1 cannot be used as a CA: it may not sign certificates (keyUsage lacks keyCertSign)";
    assert!(answer.contains(why), "{answer}");
    shell.send(b"tls reload\r\n.tls = {\r\n\x03");
    let answer = shell.prompt();
    assert!(
        answer.ends_with("Cancelled. The current configuration is unchanged.\n"),
        "{answer}"
    );
    assert!(shell.command("tls").contains("configuration 0: of the start, "));
    assert_served(&world, &machine, "first.test");
    // None of this has changed anything: all slots are free.
    assert!(paste(&mut shell, &good).ends_with("Done.\n"));
    assert_served(&world, &machine, "second.test");
    // A certificate that peers will refuse is accepted, with a warning here and in the log.
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let answer = paste(&mut shell, &params.signed_by(&world.key, &world.ca.0).unwrap().pem());
    let why = ".tls.srv_cert: peers will refuse certificate 1: certificate is for client authentication, not for server \
               authentication. Reissue it with extendedKeyUsage serverAuth, or without any";
    assert!(answer.contains(&format!("\nWarning: 1:1: {why}.\n")), "{answer}");
    assert!(answer.ends_with("Done.\n"), "{answer}");
    machine.wait_for(&format!("warning: tls: 1:1: {why}\r\n"));
    // A list without a number, as `openssl ca -gencrl` makes it, can be used.
    let answer = paste(&mut shell, &lists::good(&world.ca.0));
    assert!(
        answer.contains("\nrevocation list of CN=CA of a test, next update 2049-01-01\n"),
        "{answer}"
    );
    assert!(answer.ends_with("Done.\n"), "{answer}");
}

#[test]
fn a_server_may_be_added_after_the_start() {
    let world = World::new();
    let ca = format!(".tls = {{ .ca_cert =\n{} }},\n", strings(&world.ca.0.pem()));
    let machine = Setup::new()
        .defconfig(format!("{USER_NETWORK}{RELOAD}{ECHO}{ca}"))
        .ready();
    machine.wait_for("tls echo server on port 10007 not started: no server certificate is configured");
    let mut shell = machine.shell();
    let chain = world.ca.issue("late.test", 2, &world.key) + &world.ca.0.pem();
    let answer = paste(&mut shell, &(chain + &world.key.serialize_pem()));
    assert!(answer.contains("\nserves CN=late.test, "), "{answer}");
    assert!(answer.ends_with("Done.\n"), "{answer}");
    let outcome = shell.command("selftest");
    assert!(outcome.contains("passed, ") && !outcome.contains("FAILED"), "{outcome}");

    // Chains that do not fit into the buffers are refused with the exact sizes.
    let mut long = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let names = (0..600).map(|n| rcgen::SanType::DnsName(format!("name-{n:04}.example.test").try_into().unwrap()));
    long.subject_alt_names.extend(names);
    let answer = paste(&mut shell, &long.signed_by(&world.key, &world.ca.0).unwrap().pem());
    let place = answer
        .find("certificate chains too long: need ")
        .unwrap_or_else(|| panic!("{answer}"));
    let figures: Vec<usize> = answer[place..]
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|figure| figure.parse().ok())
        .take(2)
        .collect();
    assert!(figures[0] > figures[1], "{answer}");
}

#[test]
fn rsa_keys_are_added_and_removed() {
    let world = World::new();
    let machine = world.machine("");
    let mut shell = machine.shell();
    let rsa = super::keys::rsa(3072);
    let heap = |shell: &mut Telnet| {
        let status = shell.command("status");
        let line = status.lines().find(|line| line.starts_with("rsa heap: ")).unwrap();
        line.split_whitespace().nth(2).unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(heap(&mut shell), 0);
    let mut used = Vec::new();
    for serial in 2..9 {
        let pem = world.ca.issue("rsa.test", serial, &rsa) + &rsa.serialize_pem();
        let answer = paste(&mut shell, &pem);
        assert!(
            answer.contains(&format!("serves CN=rsa.test, serial {serial:02x}, ")),
            "{answer}"
        );
        used.push(heap(&mut shell));
    }
    assert!(
        used[0] > 0 && used.iter().all(|used_then| *used_then == used[0]),
        "{used:?}"
    );
    assert_served(&world, &machine, "rsa.test");
    let pem = world.ca.issue("ec.test", 10, &world.key) + &world.key.serialize_pem();
    assert!(paste(&mut shell, &pem).ends_with("Done.\n"));
    assert_eq!(heap(&mut shell), 0);
    assert_served(&world, &machine, "ec.test");
}

#[test]
fn a_small_machine_reports_missing_memory() {
    let world = World::new();
    let text = format!("{USER_NETWORK}{RELOAD}{ECHO}{}", world.tls("first.test", 1, ""));
    let machine = Setup::new().memory(6).defconfig(text).ready();
    let mut shell = machine.shell();
    let why = "Failed: not enough memory for a second configuration (use a larger -m).\n";
    // The paste is not run.
    let answer = paste(&mut shell, "poweroff");
    assert!(
        answer.starts_with(why) && answer.ends_with("is unchanged.\n"),
        "{answer}"
    );
    assert!(shell.command("tls").contains("serves CN=first.test, "));
    assert_served(&world, &machine, "first.test");
}

#[test]
fn telnet_is_refused_and_public_cas_are_not_accepted() {
    let world = World::new();
    let public = Ca::called("Public CA");
    let more = format!(".keylog = 1, .root_certs =\n{},\n", strings(&public.0.pem()));
    let text = format!("{USER_NETWORK}{ECHO}{}", world.tls("first.test", 1, &more));
    let mut machine = Setup::new().defconfig(text).ready();
    let mut shell = machine.shell();
    // On telnet nothing changes, the paste is not run, and secrets are omitted.
    let answer = paste(&mut shell, &format!("{}\r\npoweroff", world.tls("evil.test", 66, "")));
    assert!(answer.starts_with("Failed: not over telnet"), "{answer}");
    assert!(
        shell
            .command("tls reload 10.0.2.2 1")
            .starts_with("Failed: not over telnet")
    );
    assert_served(&world, &machine, "first.test");
    machine.wait_for("] keylog: ");
    let log = shell.command("log");
    assert!(log.contains("(key log: ") && !log.contains("keylog: "), "{log}");
    // On the serial console it is allowed, but not from a host of a CA in .tls.root_certs.
    let text = world.tls("second.test", 2, "");
    let (_other, port) = world.serve(&public, text.as_bytes(), "TLSv1_3");
    machine.type_in(&format!("tls reload 10.0.2.2 {port} name=host.test\r"));
    machine.wait_for("The current configuration is unchanged.");
    let (_server, port) = world.serve(&world.ca, text.as_bytes(), "TLSv1_3");
    machine.type_in(&format!("tls reload 10.0.2.2 {port} name=host.test\r"));
    machine.wait_for("tls: configuration 1 is used");
    assert_served(&world, &machine, "second.test");
}
