//! BitVisor's guide to a TLS connection, with the commands of `docs/guide.md`.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Output};

use super::client::{connected, converse, echoctl_tls, refused, s_server};
use super::common::machine::{READY, Setup};
use super::common::process::Process;
use super::common::telnet::Telnet;
use super::common::{Scratch, image, poll};

const PAGE: &str = include_str!("../../docs/guide.md");

/// As in the guide, without `[req]`.
const ROOT_CA_CNF: &str = "\
distinguished_name      = req_distinguished_name
x509_extensions         = v3_ca
prompt                  = no

[ req_distinguished_name ]
CN                      = RootCA

[ v3_ca ]
basicConstraints        = critical, CA:TRUE
subjectKeyIdentifier    = hash
authorityKeyIdentifier  = keyid:always, issuer:always
keyUsage                = critical, cRLSign, digitalSignature, keyCertSign
";

/// As in the guide.
const SERVER_CNF: &str = "\
[req]
default_bits            = 2048
distinguished_name      = req_distinguished_name
x509_extensions         = v3_server
prompt                  = no

[ req_distinguished_name ]
C                       = JP
ST                      = TOKYO
L                       = TOKYO
O                       = ABCCOMPANY
CN                      = *

[ v3_server ]
basicConstraints        = critical, CA:TRUE
subjectKeyIdentifier    = hash
authorityKeyIdentifier  = keyid:always, issuer:always
keyUsage                = critical, nonRepudiation, digitalSignature, keyEncipherment, keyAgreement
extendedKeyUsage        = critical, serverAuth
";

/// The guide's commands, to the letter.
const COMMANDS: &str = "\
openssl genpkey -algorithm RSA -out RootCA.key
openssl req -new -x509 -days 3650 -key RootCA.key -out RootCA.pem -config RootCA.cnf
openssl genpkey -algorithm RSA -out server.key
openssl req -new -key server.key -out server.csr -config server.cnf
openssl x509 -req -days 365 -in server.csr -CA RootCA.pem -CAkey RootCA.key -CAcreateserial -out server.pem -extensions v3_server
";

/// The subject of the guide's server certificate.
const SUBJECT: &str = "CN=*,O=ABCCOMPANY,L=TOKYO,ST=TOKYO,C=JP";

/// The script on the page that contains `part`.
fn script(part: &str) -> &'static str {
    let mut scripts = PAGE
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```\n"));
    let found = scripts.find(|(script, _)| script.contains(part));
    found
        .unwrap_or_else(|| panic!("docs/guide.md has no script with {part}"))
        .0
}

/// The directory in which the page's commands run.
struct Walk(Scratch);

impl Walk {
    /// With the guide's files, and the files made by its commands.
    fn new() -> Self {
        let walk = Self(Scratch::new());
        walk.run(script("cat >RootCA.cnf"));
        assert_eq!(walk.read("RootCA.cnf"), ROOT_CA_CNF);
        assert_eq!(walk.read("server.cnf"), SERVER_CNF);
        walk.run(COMMANDS);
        walk
    }

    /// Runs a script to its end and returns its output.
    fn run(&self, script: &str) -> String {
        let mut command = Command::new("bash");
        command.args(["-e", "-c", script]).current_dir(self.0.path(""));
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        assert!(status.success(), "{script}{said}");
        said
    }

    /// Starts a command of the page, with other ports.
    fn start(&self, command: &str, ports: &[(u16, u16)]) -> Process {
        assert!(
            PAGE.contains(&format!("$ {command}\n")),
            "docs/guide.md has no {command}"
        );
        let mut command = command.to_owned();
        for (of_page, here) in ports {
            command = command.replace(&of_page.to_string(), &here.to_string());
        }
        let mut words = command.split(' ');
        let mut start = Command::new(words.next().unwrap());
        Process::start(start.args(words).current_dir(self.0.path("")))
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path(name)).unwrap()
    }

    /// The page's configuration of that name.
    fn defconfig(&self, name: &str) -> String {
        self.run(script(&format!("cat >{name} ")));
        self.read(name)
    }
}

/// Free ports of this host, for programs that cannot choose one.
fn free_ports<const N: usize>() -> [u16; N] {
    // All are bound before any is released; otherwise a port could be returned twice.
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

#[test]
fn the_page_has_the_guide_s_commands_and_they_make_what_it_says() {
    assert_eq!(script("genpkey"), COMMANDS);
    let walk = Walk::new();
    let text = walk.run("openssl x509 -in RootCA.pem -noout -text");
    assert!(text.contains("Version: 3") && text.contains("CA:TRUE"), "{text}");
    // -extensions without -extfile: v3_server has no effect.
    let text = walk.run("openssl x509 -in server.pem -noout -text");
    assert!(!text.contains("CA:TRUE") && !text.contains("Key Usage"), "{text}");
    if walk.run("openssl version").starts_with("OpenSSL 3.0.") {
        assert!(text.contains("Version: 1 (0x0)"), "{text}");
        assert!(
            walk.run(COMMANDS)
                .contains("Warning: ignoring -extensions option without -extfile")
        );
    }
    walk.run(script("-extfile"));
    let text = walk.run("openssl x509 -in server.pem -noout -text");
    for part in [
        "Version: 3",
        "CA:FALSE",
        "DNS:localhost, IP Address:127.0.0.1",
        "TLS Web Server Authentication",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn as_the_server() {
    let walk = Walk::new();
    let machine = Setup::new().defconfig(walk.defconfig("server.defconfig")).ready();
    machine.wait_for(&format!("tls: serving {SUBJECT}, RSA, valid until "));

    let mut telnet = walk.start("telnet localhost -- -11123", &[(11123, machine.at(23).port())]);
    telnet
        .out
        .wait_for("Connected to localhost.\nEscape character is '^]'.\n");
    telnet.out.wait_for("> ");
    let mut say = |line: &str, answer: &str| {
        let mark = telnet.out.mark();
        telnet.write(format!("{line}\n").as_bytes());
        telnet.out.wait_from(mark, answer)
    };
    say("echoctl_tls", "echoctl_tls> ");
    say(
        "help",
        "usage:\r\n  client connect <ipaddr> <port> [netif]  Connect to echo server.\r\n  \
         client send                             Send a message to client.\r\n  \
         server start <port> [netif]             Start echo server.\r\n",
    );
    say(
        "server start 10007",
        "Starting TLS server (Port: 10007)...\r\nDone.\r\n",
    );

    // Another RootCA by the same commands: the same name, another key.
    walk.run("openssl genpkey -algorithm RSA -out wrong.key\nopenssl req -new -x509 -days 3650 -key wrong.key -out wrong.pem -config RootCA.cnf");
    let ports = [(10007, machine.at(10007).port())];
    let plain = "openssl s_client -connect localhost:10007 -tls1_2";
    for (arguments, verification) in [
        (
            "",
            &["Verification error: unable to verify the first certificate\n"][..],
        ),
        (" -CAfile RootCA.pem", &["Verification: OK\n"]),
        (
            " -CAfile wrong.pem",
            // If certificates name their issuer's key, OpenSSL does not even try this one.
            &[
                "Verification error: certificate signature failure\n",
                "Verification error: unable to verify the first certificate\n",
            ],
        ),
    ] {
        let mut client = walk.start(&format!("{plain}{arguments}"), &ports);
        client.out.wait_for("    Extended master secret: yes\n---\n");
        let session = client.out.text();
        assert!(session.contains("SSL handshake has read "), "{session}");
        assert!(verification.iter().any(|line| session.contains(line)), "{session}");
        assert!(session.contains("    Protocol  : TLSv1.2\n"), "{session}");
        // The connection is established anyway.
        let mark = client.out.mark();
        client.write(b"hello text\n");
        client.out.wait_from(mark, "hello text\n");
        client.write(b"Q\n");
        assert!(client.wait().success());
    }
    // With another name it cannot even be tried.
    walk.run("openssl req -new -x509 -days 3650 -key wrong.key -out other.pem -subj /CN=OtherCA");
    let address = machine.at(10007).to_string();
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &address, "-tls1_3", "-CAfile"])
        .arg(walk.0.path("other.pem"));
    let client = Process::start(&mut command);
    client
        .out
        .wait_for("Verification error: unable to verify the first certificate\n");
}

#[test]
fn as_the_client_with_the_log_in_rsyslog() {
    let walk = Walk::new();
    let rsyslog = Rsyslog::new(&walk);
    let capture = walk.0.path("capture");
    let dump = format!("filter-dump,id=dump,netdev=net0,file={}", capture.display());
    let setup = Setup::new().ports(&[23]).defconfig(walk.defconfig("client.defconfig"));
    let machine = setup.arguments(&["-object", &dump]).ready();

    assert!(PAGE.contains("$ openssl s_server -key server.key -cert server.pem -tls1_2 -accept 10009\n"));
    let files = ["server.pem", "server.key"].map(|name| walk.0.path(name));
    let [certificate, key] = files;
    let (mut server, port) = s_server(certificate, key, &["-tls1_2"]);
    assert!(
        server
            .out
            .text()
            .starts_with("Using default temp DH parameters\nACCEPT")
    );
    let mut shell = echoctl_tls(&machine);
    let agreed = connected(&mut shell, port, "");
    let expected = format!("TLSv1.2 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 x25519, server {SUBJECT} (no name verified)");
    assert_eq!(agreed, expected);
    converse(&machine, &mut shell, &mut server);

    let log = rsyslog.lines(&capture, "Test 123 Message from server.");
    let lines = log.lines().collect::<Vec<_>>();
    let at = lines.iter().position(|line| line.ends_with(" Received.")).expect(&log);
    for (line, text) in [
        (lines[at], "Received."),
        (lines[at + 1], "Test 123 Message from server."),
    ] {
        // `Sep 11 15:20:33 warg bitvisor: Received.`
        let (time, rest) = line.split_at(15);
        assert_eq!(rest, format!(" postern bitvisor: {text}"));
        let (month, rest) = time.split_at(3);
        assert!(
            "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".contains(month),
            "{line}"
        );
        let digits = rest.replace(|c: char| c.is_ascii_digit(), "0");
        assert!([" 00 00:00:00", "  0 00:00:00"].contains(&&digits[..]), "{line}");
    }
    // From the first line on, although there was no address yet.
    assert!(lines[0].contains(" postern bitvisor: postern 0."), "{log}");
}

/// A syslog server, configured as on the page except for its port: 514 needs root and exists only once.
struct Rsyslog<'a> {
    walk: &'a Walk,
    address: SocketAddr,
    _process: Process,
}

impl<'a> Rsyslog<'a> {
    fn new(walk: &'a Walk) -> Self {
        walk.run(script("imudp"));
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let configuration = walk.read("rsyslog.conf");
        assert!(configuration.contains("port=\"514\""));
        walk.0.file(
            "rsyslog.conf",
            configuration.replace("port=\"514\"", &format!("port=\"{}\"", address.port())),
        );
        let mut command = Command::new("/usr/sbin/rsyslogd");
        command.arg("-n").arg("-f").arg(walk.0.path("rsyslog.conf"));
        let process = Process::start(command.arg("-i").arg(walk.0.path("rsyslog.pid")));
        let rsyslog = Self {
            walk,
            address,
            _process: process,
        };
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        poll("rsyslogd to listen", || {
            let _ = socket.send_to(b"<14>Jan  1 00:00:00 test test: are you there", address);
            rsyslog.written().contains("are you there").then_some(())
        });
        rsyslog
    }

    fn written(&self) -> String {
        std::fs::read_to_string(self.walk.0.path("syslog")).unwrap_or_default()
    }

    /// Passes it every datagram that the machine sent to 10.0.2.2:514, from the card's capture, until it has
    /// written `text`. Returns the machine's lines.
    fn lines(&self, capture: &Path, text: &str) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut taken = 0;
        poll("the line in rsyslog's file", || {
            let bytes = std::fs::read(capture).unwrap();
            for datagram in datagrams(&bytes, [10, 0, 2, 2], 514).skip(taken) {
                socket.send_to(datagram, self.address).unwrap();
                taken += 1;
            }
            let written = self.written();
            let lines = written.lines().filter(|line| !line.contains("are you there"));
            let lines = lines.collect::<Vec<_>>().join("\n");
            lines.contains(text).then_some(lines)
        })
    }
}

/// The payloads of the UDP datagrams to this address in a capture of Ethernet frames (`pcap`, little-endian).
fn datagrams(capture: &[u8], address: [u8; 4], port: u16) -> impl Iterator<Item = &[u8]> {
    let mut rest = capture.get(24..).unwrap_or_default();
    let frames = std::iter::from_fn(move || {
        let len = u32::from_le_bytes(*rest.get(8..)?.first_chunk()?);
        let (frame, next) = rest.get(16..)?.split_at_checked(usize::try_from(len).unwrap())?;
        rest = next;
        Some(frame)
    });
    frames.filter_map(move |frame| {
        // IPv4 without options, UDP.
        let packet = frame
            .get(12..)?
            .strip_prefix(&[8, 0])
            .filter(|packet| packet.first() == Some(&0x45))?;
        let udp = packet.get(20..)?;
        let here = packet.get(9) == Some(&17) && packet.get(16..20)? == address && udp.get(2..4)? == port.to_be_bytes();
        let len = usize::from(u16::from_be_bytes(*udp.get(4..)?.first_chunk()?));
        udp.get(8..len).filter(|_| here)
    })
}

#[test]
fn the_guide_s_certificates_are_accepted_only_when_pinned() {
    let walk = Walk::new();
    let (mut server, port) = s_server(walk.0.path("server.pem"), walk.0.path("server.key"), &["-tls1_2"]);
    // With [ v3_server ] applied, which has CA:TRUE.
    walk.run(
        &COMMANDS
            .lines()
            .last()
            .unwrap()
            .replace("-extensions", "-extfile server.cnf -extensions"),
    );
    let (_server, with_extensions) = s_server(walk.0.path("server.pem"), walk.0.path("server.key"), &["-tls1_2"]);
    let config = walk.defconfig("client.defconfig");
    let machine = |verify: &str| {
        let text = config.replace(".tls = {\n", &format!(".tls = {{\n    .verify = \"{verify}\",\n"));
        Setup::new().ports(&[23]).defconfig(text).ready()
    };
    let pinned = machine("pinned");
    let mut shell = echoctl_tls(&pinned);
    let agreed = connected(&mut shell, port, "");
    assert!(agreed.starts_with("TLSv1.2 TLS_ECDHE_RSA_"), "{agreed}");
    converse(&pinned, &mut shell, &mut server);
    shell.command("client close");
    // Its CN is `*`, which matches no name.
    let reason = refused(&mut shell, port, " name=localhost");
    assert!(reason.starts_with("certificate does not match localhost"), "{reason}");
    // CA:TRUE on a server is tolerated.
    let _ = connected(&mut shell, with_extensions, "");
    if walk.run("openssl version").starts_with("OpenSSL 3.0.") {
        let reason = refused(&mut echoctl_tls(&machine("strict")), port, "");
        assert!(
            reason.contains("X.509 version 1") && reason.contains("pinned"),
            "{reason}"
        );
    }
}

#[test]
fn the_better_commands_pass_name_checks() {
    let walk = Walk::new();
    walk.run(script("-extfile"));
    let text = walk.defconfig("server.defconfig");
    let text = text.replace(
        ".tls = {\n",
        ".echo = { .tls_port = 10007 },\n.tls = {\n    .verify = \"strict\",\n",
    );
    let machine = Setup::new().defconfig(text).ready();
    for version in ["-tls1_2", "-tls1_3"] {
        let echo = super::common::tls::echo(
            machine.at(10007),
            &walk.0.path("RootCA.pem"),
            &[version],
            b"x\n".to_vec(),
        );
        assert_eq!(echo, b"x\n");
    }
    let (mut server, port) = s_server(walk.0.path("server.pem"), walk.0.path("server.key"), &["-tls1_2"]);
    let mut shell = echoctl_tls(&machine);
    let agreed = connected(&mut shell, port, " name=localhost");
    assert!(!agreed.contains("no name verified"), "{agreed}");
    converse(&machine, &mut shell, &mut server);
}

#[test]
fn big_files_come_back() {
    let walk = Walk::new();
    let text = walk
        .defconfig("server.defconfig")
        .replace(".tls = {\n", ".echo = { .tls_port = 10007 },\n.tls = {\n");
    let machine = Setup::new().defconfig(text).ready();
    let commands = script("cmp big back");
    assert!(commands.contains("localhost:10007 "));
    let commands = commands.replace("localhost:10007", &machine.at(10007).to_string());
    assert!(walk.run(&commands).ends_with("the same\n"));
    assert_eq!(std::fs::metadata(walk.0.path("back")).unwrap().len(), 50_000_000);
    assert!(!walk.read("verification").contains("verify error"));
}

#[test]
fn by_uefi_it_boots_reboots_and_switches_off() {
    let walk = Walk::new();
    walk.defconfig("server.defconfig");
    let run = Uefi::new(&walk);
    let ports: [u16; 3] = free_ports();
    let [tls, plain, telnet] = ports.map(|port| port.to_string());
    let mut command = run.command();
    command.args([
        "--defconfig",
        "server.defconfig",
        "--tls",
        &tls,
        "--plain",
        &plain,
        "--telnet",
        &telnet,
    ]);
    let mut machine = Process::start(&mut command);
    machine.out.wait_for("the screen shows nothing more.");
    machine.out.wait_for(&format!(
        "configured by the boot module ({} bytes)",
        walk.read("server.defconfig").len()
    ));
    machine.out.wait_for(&format!("tls: serving {SUBJECT}, RSA, "));
    machine.out.wait_for(READY);
    machine.out.wait_for("vm0: address ");
    assert!(!machine.out.text().contains("warning:"), "{}", machine.out.text());
    let mut shell = Telnet::connect(([127, 0, 0, 1], ports[2]).into());
    // All of the 4096 MiB except the firmware's, on both sides of the hole below 4 GiB.
    let status = shell.command("status");
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("memory: ")?.split_once(" KiB, "));
    let memory: u64 = memory.expect(&status).0.parse().unwrap();
    assert!((3900 * 1024..4096 * 1024).contains(&memory), "{status}");
    shell.command("echoctl_tls");
    assert_eq!(
        shell.command("server start 10007"),
        "Starting TLS server (Port: 10007)...\nDone.\n"
    );
    let ports = [(10007, ports[0])];
    let mut client = walk.start(
        "openssl s_client -connect localhost:10007 -tls1_2 -CAfile RootCA.pem",
        &ports,
    );
    client.out.wait_for("Verification: OK\n");
    client.write(b"under UEFI\n");
    client.out.wait_for("\nunder UEFI\n");

    let mark = machine.out.mark();
    machine.write(b"\rreboot\r");
    let mark = machine.out.wait_from(mark, "Rebooting.");
    let mark = machine.out.wait_from(mark, "Welcome to GRUB!");
    let mark = machine.out.wait_from(mark, READY);
    machine.out.wait_from(mark, "vm0: address ");
    machine.write(b"\rpoweroff\r");
    assert!(machine.wait().success());

    // With the built-in configuration, on a minimal CPU, and with a device whose registers are above 4 GiB.
    let mut command = run.command();
    command.args([
        "--memory=256",
        "--tls",
        &tls,
        "--plain",
        &plain,
        "--telnet",
        &telnet,
        "--",
    ]);
    let mut machine = Process::start(command.args(["-cpu", "qemu64", "-device", "virtio-rng-pci"]));
    machine.out.wait_for("entropy: virtio-rng healthy");
    machine.out.wait_for("tls echo server listens on port 10007 of vm0");
    machine.out.wait_for(READY);
    assert!(!machine.out.text().contains("configured by the boot module"));
    machine.write(b"\rpoweroff\r");
    assert!(machine.wait().success());

    // The guide's own command, from the page, with TCG instead of KVM.
    let mut lines = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("$ qemu-system-x86_64 "));
    let line = lines.next().unwrap();
    assert!(line.starts_with("-cpu host -enable-kvm -bios ") && line.ends_with(" -M q35 -m 4096"));
    let line = line.replace("-cpu host -enable-kvm", "-cpu max -accel tcg");
    let line = line
        .replace(":11123-", &format!(":{telnet}-"))
        .replace(":10007-", &format!(":{tls}-"));
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(line.split(' '))
        .args(["-serial", "stdio", "-display", "none"]);
    let mut machine = Process::start(command.current_dir(run.target.join("guide")));
    machine.out.wait_for(READY);
    machine.out.wait_for("vm0: address ");
    machine.write(b"\rpoweroff\r");
    assert!(machine.wait().success());
}

/// `qemu/run --uefi` with the image under test.
struct Uefi<'a> {
    walk: &'a Walk,
    target: std::path::PathBuf,
}

impl<'a> Uefi<'a> {
    fn new(walk: &'a Walk) -> Self {
        let target = walk.0.path("target");
        std::fs::create_dir_all(target.join("release")).unwrap();
        std::fs::create_dir_all(target.join("guide")).unwrap();
        std::os::unix::fs::symlink(image(), target.join("release/postern")).unwrap();
        Self { walk, target }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("qemu/run"));
        command.args(["--uefi", "--no-build", "--accel", "tcg"]);
        command
            .current_dir(self.walk.0.path(""))
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }
}
