//! Narrated connections: in the shell, compared with Wireshark, and in a browser.

use std::path::Path;
use std::process::Command;

use rcgen::KeyPair;

use super::client::{connected, echoctl_tls, refused, s_server};
use super::common::machine::{Machine, Setup};
use super::common::pki::{ECHO, USER_NETWORK, strings};
use super::common::process::Said;
use super::common::telnet::Telnet;
use super::common::tls::{echo, s_client};
use super::common::{Scratch, baked_ca, poll};
use super::identities::Ca;

/// A narration without blanks, to search for bytes.
fn packed(narration: &str) -> String {
    narration.split_whitespace().collect()
}

/// Only the bytes, which come first on their lines, so that the bytes of a split field are contiguous.
fn bytes(narration: &str) -> String {
    let is_byte = |word: &&str| word.len() == 2 && word.bytes().all(|digit| digit.is_ascii_hexdigit());
    narration
        .lines()
        .flat_map(|line| line.split_whitespace().take_while(is_byte))
        .collect()
}

/// The client random in a key log file that `openssl -keylogfile` writes, in hexadecimal.
fn client_random(file: &Path) -> String {
    let line = |text: String| text.lines().find_map(|line| line.split(' ').nth(1).map(str::to_owned));
    poll("a line of the key log", || {
        // A comment goes before the first line.
        let text = std::fs::read_to_string(file).ok()?.replace("# ", "#");
        let secrets: Vec<_> = text.lines().filter(|text| !text.starts_with('#')).collect();
        line(secrets.join("\n"))
    })
}

/// No secret of that key log file is in a narration or on a page.
fn assert_keeps_secrets(file: &Path, told: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let secrets: Vec<_> = lines.filter_map(|line| line.split(' ').nth(2)).collect();
    // Four traffic secrets in TLS 1.3, one master secret in TLS 1.2.
    assert!(secrets.len() >= if text.contains("TRAFFIC") { 4 } else { 1 }, "{text}");
    for secret in secrets {
        assert!(secret.len() >= 64 && !packed(told).contains(secret), "{secret}\n{told}");
    }
}

/// The narration of a connection that has ended, or of one that failed.
fn told(shell: &mut Telnet, number: usize) -> String {
    poll("the end of the narration", || {
        let narration = shell.command(&format!("trace show {number}"));
        let whole = narration.matches("close_notify (").count() == 2 || narration.contains("== Failed\n");
        whole.then_some(narration)
    })
}

/// The titles of the steps of a narration, after the arrow.
fn steps(narration: &str) -> Vec<&str> {
    let title = |line: &'_ str| {
        let at = ["->", "<-", "=="].iter().find_map(|arrow| line.find(arrow))?;
        line.get(..at)?.trim().parse::<u32>().ok()?;
        Some(at)
    };
    let titles = narration.lines().filter_map(|line| line.get(title(line)?..));
    titles
        .map(|title| title.split_once(" (").map_or(title, |(title, _)| title))
        .collect()
}

#[test]
fn connections_are_recorded_while_trace_is_on() {
    let scratch = Scratch::new();
    let machine = Setup::new().ready();
    let mut shell = echoctl_tls(&machine);
    assert_eq!(shell.command("trace"), "Tracing is off.\n");
    // Nothing is recorded yet.
    assert_eq!(
        echo(machine.at(10007), &baked_ca(), &[], b"unheard\n".to_vec()),
        b"unheard\n"
    );
    assert_eq!(shell.command("trace"), "Tracing is off.\n");
    assert_eq!(
        shell.command("trace on"),
        "Done. Handshakes are traced from now on; the last 4 are kept.\n"
    );
    for (number, version, name) in [(1, "-tls1_3", "TLSv1.3"), (2, "-tls1_2", "TLSv1.2")] {
        let keys = scratch.path(name);
        let arguments = ["-quiet", "-no_ign_eof", version, "-keylogfile", keys.to_str().unwrap()];
        let mut client = s_client(machine.at(10007), &baked_ca(), arguments);
        client.write(b"ping\n");
        client.out.wait_for("ping");
        // At the end of its input it sends close_notify.
        drop(client.take_stdin());
        client.wait();
        // The client's close_notify is narrated as well, once received.
        let narration = told(&mut shell, number);
        assert_keeps_secrets(&keys, &narration);
        for told in [
            "-> ClientHello (client, received, ",
            "<- ServerHello (server, sent, ",
            "<- Certificate (server, sent, ",
            "-> Client Finished (client, received, ",
            "<- Server Finished (server, sent, ",
            "== Handshake done\n",
            "Application data: ping (client, received, 5 bytes, protected)",
            "Application data: pong (server, sent, 5 bytes, protected)",
            "data: \"ping\\n\"",
            "[certificate: CN=localhost,O=Postern throw-away]",
            "kept secret",
        ] {
            assert!(narration.contains(told), "{told}\n{narration}");
        }
        let tickets = narration.matches("<- NewSessionTicket (").count();
        assert_eq!(tickets, if number == 1 { 2 } else { 1 });
        assert!(packed(&narration).contains(&client_random(&keys)));
        let list = shell.command("trace");
        let line = list.lines().nth(number).unwrap();
        assert!(
            line.contains(name) && line.contains(" -> :10007, ") && line.contains(" done, "),
            "{list}"
        );
    }

    // The other role, at a server of OpenSSL's.
    let pki = Path::new(env!("POSTERN_PKI"));
    let (server, port) = s_server(pki.join("server.pem"), pki.join("server.key"), &[]);
    let connected = shell.command(&format!("client connect 10.0.2.2 {port} name=localhost"));
    assert!(connected.contains("Done.\nTLSv1.3"), "{connected}");
    shell.command("client send");
    server.out.wait_for("Hello, BitVisor with TLS!");
    shell.command("client close");
    let narration = shell.command("trace show 3");
    for told in [
        "== Client key generation",
        "[key pair: X25519MLKEM768]",
        "-> ClientHello (client, sent, ",
        "<- ServerHello (server, received, ",
        "= verdict: CN=localhost,O=Postern throw-away",
        "-> Application data: ping (client, sent, 26 bytes, protected)",
        "\"Hello, BitVisor with TLS!\\n\"",
        "-> Alert: close_notify (client, sent, ",
    ] {
        assert!(narration.contains(told), "{told}\n{narration}");
    }

    // A failed handshake is narrated too.
    let mut refused = s_client(
        machine.at(10007),
        &baked_ca(),
        ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
    );
    refused.wait();
    let list = shell.command("trace");
    assert!(
        list.contains("failed: no common version: the peer offers at most TLS 1.1"),
        "{list}"
    );
    let narration = shell.command("trace show 4");
    assert!(narration.contains("description: protocol_version"), "{narration}");

    assert_eq!(shell.command("trace off"), "Done.\n");
    assert_eq!(
        echo(machine.at(10007), &baked_ca(), &[], b"unheard\n".to_vec()),
        b"unheard\n"
    );
    assert_eq!(shell.command("trace").lines().count(), 1 + 4);
    assert_eq!(
        shell.command("trace show 5"),
        "Failed: no trace 5; type 'trace' for a list.\n"
    );
}

/// A machine with an identity for either role and optional client certificates, and the files of its peers.
struct World {
    scratch: Scratch,
    machine: Machine,
    shell: Telnet,
    /// How many connections were narrated.
    count: usize,
}

impl World {
    fn new() -> Self {
        let (scratch, ca, key) = (Scratch::new(), Ca::new(), KeyPair::generate().unwrap());
        let (certificate, secret) = (ca.issue("machine.test", 1, &key), key.serialize_pem());
        let [certificate, secret] = [strings(&certificate), strings(&secret)];
        let text = format!(
            "{USER_NETWORK}{ECHO}.tls = {{ .srv_cert =\n{certificate},\n.srv_key =\n{secret},\n\
             .cli_cert =\n{certificate},\n.cli_key =\n{secret},\n\
             .ca_cert =\n{},\n.client_auth = \"optional\" }}",
            strings(&ca.0.pem()),
        );
        scratch.file("ca.pem", ca.0.pem());
        scratch.file("peer.pem", ca.issue("peer.test", 2, &key));
        scratch.file("stranger.pem", Ca::new().issue("stranger.test", 2, &key));
        scratch.file("peer.key", key.serialize_pem());
        let machine = Setup::new().defconfig(text).ready();
        let mut shell = echoctl_tls(&machine);
        shell.command("trace on");
        Self {
            scratch,
            machine,
            shell,
            count: 0,
        }
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path(name).to_str().unwrap().to_owned()
    }

    /// The narration of the next connection.
    fn next(&mut self) -> String {
        self.count += 1;
        told(&mut self.shell, self.count)
    }

    /// The narration of a client that sends a line and reads the echo, or is refused.
    fn served(&mut self, arguments: &[&str]) -> String {
        let all = ["-quiet", "-no_ign_eof"].iter().chain(arguments);
        let mut client = s_client(self.machine.at(10007), &self.scratch.path("ca.pem"), all);
        client.write(b"ping\n");
        client.out.wait_for("ping");
        drop(client.take_stdin());
        client.wait();
        self.next()
    }

    /// The narrations of a connection to a server, and of the next, which is resumed, up to the machine's close_notify:
    /// the server may omit its own.
    fn connected(&mut self, arguments: &[&str]) -> [String; 2] {
        let (server, port) = s_server(self.scratch.path("peer.pem"), self.scratch.path("peer.key"), arguments);
        [0, 1].map(|number| {
            connected(&mut self.shell, port, " name=peer.test");
            // Its tickets come before it handles any data.
            self.shell.command("client send");
            let said = || server.out.text().matches("Hello, BitVisor with TLS!").count();
            poll("the text", || (said() > number).then_some(()));
            assert_eq!(self.shell.command("client close"), "Done.\n");
            self.count += 1;
            let narration = self.shell.command(&format!("trace show {}", self.count));
            const END: &str = "-> Alert: close_notify (client, sent";
            let end = narration.find(END).unwrap_or_else(|| panic!("{narration}"));
            narration[..end + END.len()].to_owned()
        })
    }
}

/// A full handshake of TLS 1.3 with a client's certificate, and one that is resumed.
const TLS13: [&str; 2] = [
    "== Client key generation
-> ClientHello
== Server key generation
<- ServerHello
<- ChangeCipherSpec
== Calculation of keys
<- EncryptedExtensions
<- CertificateRequest
<- Certificate
<- CertificateVerify
<- Server Finished
== Calculation of the application keys
-> ChangeCipherSpec
-> Client's Certificate
-> Client's CertificateVerify
-> Client Finished
",
    "== Client key generation
-> ClientHello
== Server key generation
<- ServerHello
<- ChangeCipherSpec
== Calculation of keys
<- EncryptedExtensions
<- Server Finished
== Calculation of the application keys
-> ChangeCipherSpec
-> Client Finished
",
];

/// The same of TLS 1.2.
const TLS12: [&str; 2] = [
    "-> ClientHello
<- ServerHello
== Server key generation
<- Certificate
<- ServerKeyExchange
<- CertificateRequest
<- ServerHelloDone
-> Client's Certificate
-> ClientKeyExchange
== Calculation of keys
-> Client's CertificateVerify
-> ChangeCipherSpec
-> Client Finished
<- NewSessionTicket
<- ChangeCipherSpec
<- Server Finished
",
    "-> ClientHello
<- ServerHello
== Calculation of the master secret
<- ChangeCipherSpec
<- Server Finished
-> ChangeCipherSpec
-> Client Finished
",
];

/// A HelloRetryRequest, to a client without a certificate.
const RETRIED: &str = "== Client key generation
-> ClientHello
<- HelloRetryRequest
<- ChangeCipherSpec
-> ChangeCipherSpec
-> ClientHello, once more
== Server key generation
<- ServerHello
== Calculation of keys
<- EncryptedExtensions
<- CertificateRequest
<- Certificate
<- CertificateVerify
<- Server Finished
== Calculation of the application keys
-> Client's Certificate
-> Client Finished
";

/// TLS 1.3 narrated by the client: a full handshake with a server that requests a certificate, and a resumed one.
const CLIENT13: [&str; 2] = [
    "== Client key generation
-> ClientHello
<- ServerHello
== Calculation of keys
-> ChangeCipherSpec
<- ChangeCipherSpec
<- EncryptedExtensions
<- CertificateRequest
<- Certificate
<- CertificateVerify
<- Server Finished
== Calculation of the application keys
-> Client's Certificate
-> Client's CertificateVerify
-> Client Finished
",
    "== Client key generation
-> ClientHello
<- ServerHello
== Calculation of keys
-> ChangeCipherSpec
<- ChangeCipherSpec
<- EncryptedExtensions
<- Server Finished
== Calculation of the application keys
-> Client Finished
",
];

/// The same of TLS 1.2, which begins like one of TLS 1.3.
const CLIENT12: [&str; 2] = [
    "== Client key generation
-> ClientHello
<- ServerHello
<- Certificate
<- ServerKeyExchange
<- CertificateRequest
<- ServerHelloDone
== Client key generation
-> Client's Certificate
-> ClientKeyExchange
-> Client's CertificateVerify
== Calculation of keys
-> ChangeCipherSpec
-> Client Finished
<- ChangeCipherSpec
<- Server Finished
",
    "== Client key generation
-> ClientHello
<- ServerHello
== Calculation of the master secret
<- ChangeCipherSpec
<- Server Finished
-> ChangeCipherSpec
-> Client Finished
",
];

/// A server that wants another group.
const CLIENT_RETRIED: &str = "== Client key generation
-> ClientHello
<- HelloRetryRequest
== Client key generation
-> ChangeCipherSpec
-> ClientHello, once more
<- ChangeCipherSpec
<- ServerHello
== Calculation of keys
<- EncryptedExtensions
<- Certificate
<- CertificateVerify
<- Server Finished
== Calculation of the application keys
-> Client Finished
";

/// What comes after a handshake of TLS 1.3.
const TICKETS: &str = "<- NewSessionTicket\n<- NewSessionTicket\n";
/// The narration of a server that received `ping` and then close_notify.
const TALK: &str = "== Handshake done
-> Application data: ping
<- Application data: pong
-> Alert: close_notify
<- Alert: close_notify";

#[test]
fn every_kind_of_server_handshake_is_narrated() {
    let mut world = World::new();
    let [certificate, key, session] = ["peer.pem", "peer.key", "session"].map(|name| world.path(name));
    for (version, [full, resumed], tickets) in [("-tls1_3", TLS13, TICKETS), ("-tls1_2", TLS12, "")] {
        let narration = world.served(&[version, "-cert", &certificate, "-key", &key, "-sess_out", &session]);
        assert_eq!(steps(&narration).join("\n"), format!("{full}{tickets}{TALK}"));
        assert!(narration.contains("[certificate: CN=peer.test]"), "{narration}");
        assert!(narration.contains("= verdict: CN=peer.test"), "{narration}");
        let narration = world.served(&[version, "-sess_in", &session]);
        assert_eq!(steps(&narration).join("\n"), format!("{resumed}{tickets}{TALK}"));
        assert!(narration.contains("= session: resumed"), "{narration}");
    }
    let narration = world.served(&["-groups", "P-521:P-256"]);
    assert_eq!(steps(&narration).join("\n"), format!("{RETRIED}{TICKETS}{TALK}"));
    for told in [
        "random: HelloRetryRequest",
        "selected_group: secp256r1",
        "group: secp521r1",
    ] {
        assert!(narration.contains(told), "{told}\n{narration}");
    }
    let list = world.shell.command("trace");
    assert!(list.contains(" resumed done, "), "{list}");

    // A client with a certificate of another CA with the same name is refused.
    let stranger = world.path("stranger.pem");
    let mut client = s_client(
        world.machine.at(10007),
        &world.scratch.path("ca.pem"),
        ["-tls1_3", "-cert", &stranger, "-key", &key],
    );
    client.err.wait_for("alert bad certificate");
    client.wait();
    let narration = world.next();
    let titles = steps(&narration);
    let end = ["-> Client's Certificate", "== Failed", "<- Alert"];
    assert!(titles.ends_with(&end), "{titles:?}");
    assert!(narration.contains("description: bad_certificate"), "{narration}");
    assert!(
        narration.contains("\n       certificate's signature is not its issuer's\n"),
        "{narration}"
    );
}

#[test]
fn every_kind_of_client_handshake_is_narrated() {
    let mut world = World::new();
    let ca = world.path("ca.pem");
    let ask = ["-Verify", "1", "-CAfile", &ca];
    for (version, expected, tickets) in [("-tls1_3", CLIENT13, [2, 1]), ("-tls1_2", CLIENT12, [1, 0])] {
        let told = world.connected(&[&[version], &ask[..]].concat());
        for ((narration, expected), tickets) in told.iter().zip(expected).zip(tickets) {
            assert_told(narration, expected, tickets);
        }
        let [full, resumed] = &told;
        assert!(full.contains("= verdict: CN=peer.test"), "{full}");
        assert!(full.contains("[certificate: CN=machine.test]"), "{full}");
        assert!(resumed.contains("= session: resumed"), "{resumed}");
        let text = "data: \"Hello, BitVisor with TLS!\\n\"";
        assert!(full.contains(text) && resumed.contains(text), "{full}");
    }
    let [retried, _] = world.connected(&["-tls1_3", "-groups", "P-384"]);
    assert_told(&retried, CLIENT_RETRIED, 2);
    for told in [
        "random: HelloRetryRequest",
        "selected_group: secp384r1",
        "[key pair: secp384r1]",
    ] {
        assert!(retried.contains(told), "{told}\n{retried}");
    }

    // A server with a certificate of another CA with the same name.
    let (server, port) = s_server(
        world.scratch.path("stranger.pem"),
        world.scratch.path("peer.key"),
        &["-tls1_3"],
    );
    let reason = refused(&mut world.shell, port, "");
    server.err.wait_for("alert bad certificate");
    let narration = world.next();
    let titles = steps(&narration);
    assert!(
        titles.ends_with(&["<- Certificate", "== Failed", "-> Alert"]),
        "{titles:?}"
    );
    assert!(narration.contains("description: bad_certificate"), "{narration}");
    assert!(
        narration.contains(reason.trim_end_matches('.')),
        "{reason}\n{narration}"
    );
}

/// The narration of a client that sends a text; tickets may come at any time.
#[track_caller]
fn assert_told(narration: &str, expected: &str, tickets: usize) {
    let (got, titles): (Vec<_>, Vec<_>) = steps(narration)
        .into_iter()
        .partition(|title| title.contains("NewSessionTicket"));
    assert_eq!(got.len(), tickets, "{narration}");
    let end = "== Handshake done\n-> Application data: ping\n-> Alert: close_notify";
    assert_eq!(titles.join("\n"), format!("{expected}{end}"));
}

/// Waits for all key log lines of one connection and returns them.
fn key_log(console: &Said, mark: usize, lines: usize) -> String {
    console.wait_until("the key log", |said| {
        let text = String::from_utf8_lossy(&said[mark..]);
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let secrets = whole.lines().filter_map(|line| line.split_once("keylog: "));
        let text: String = secrets.map(|(_, secret)| format!("{}\n", secret.trim())).collect();
        (text.lines().count() >= lines).then_some(text)
    })
}

#[test]
fn wireshark_confirms_the_narration() {
    let scratch = Scratch::new();
    let capture = scratch.path("capture.pcap");
    let pki = Path::new(env!("POSTERN_PKI"));
    let pem = |name: &str| strings(&std::fs::read_to_string(pki.join(name)).unwrap());
    // A narration with secrets is shown on telnet only if that is trusted.
    let network = USER_NETWORK.replace(".telnet_dbgsh = 1,", ".telnet_dbgsh = 1, .telnet_reload = 1,");
    let text = format!(
        "{network}.echo = {{ .tls_port = 10007 }},\n\
         .tls = {{ .keylog = 1, .srv_cert =\n{},\n.srv_key =\n{},\n}}",
        pem("server.pem"),
        pem("server.key")
    );
    let machine = Setup::new()
        .defconfig(text)
        .arguments(&[
            "-object",
            &format!("filter-dump,id=pcap,netdev=net0,file={}", capture.display()),
        ])
        .ready();
    let mut shell = echoctl_tls(&machine);
    shell.command("trace on");
    for (number, version, secrets) in [(1, "-tls1_3", 4), (2, "-tls1_2", 1)] {
        let mark = machine.console().mark();
        let said = format!("the secret of {version}\n").into_bytes();
        assert_eq!(echo(machine.at(10007), &baked_ca(), &[version], said.clone()), said);
        let keys = scratch.file("keys", key_log(machine.console(), mark, secrets));
        let narration = shell.command(&format!("trace show {number}"));
        let (narration, bytes) = (packed(&narration), bytes(&narration));
        // Secrets are shown because they are logged.
        for line in std::fs::read_to_string(&keys).unwrap().lines() {
            let secret = line.rsplit_once(' ').unwrap().1;
            assert!(narration.contains(secret), "{line}");
        }
        assert!(narration.contains("shown,becausesecretsarelogged"));

        // QEMU captures each packet. The first connection is the shell's.
        let decrypted = poll("the capture", || {
            let found = tshark(
                &capture,
                Some(&keys),
                &["-z", &format!("follow,tls,ascii,{number}"), "-q"],
            );
            found.contains(&format!("the secret of {version}")).then_some(found)
        });
        assert!(
            decrypted.matches(&format!("the secret of {version}")).count() >= 2,
            "{decrypted}"
        );
        // Wireshark's values match the narration.
        let stream = format!("tcp.stream == {number}");
        let mut fields = vec!["-Y", &stream, "-T", "fields"];
        let names = [
            "tls.handshake.random",
            "tls.handshake.certificate",
            "tls.handshake.sig",
            "tls.handshake.session_ticket",
            "tls.handshake.server_point",
            "tls.handshake.client_point",
            "tls.handshake.extensions_key_share_key_exchange",
        ];
        for name in names {
            fields.extend(["-e", name]);
        }
        let read = tshark(&capture, Some(&keys), &fields);
        let values: Vec<&str> = read
            .split(['\t', '\n', ','])
            .filter(|value| value.len() >= 24)
            .collect();
        // Two randoms, certificate, signature, two public keys, and tickets.
        assert!(values.len() >= 7, "{read}");
        for value in values {
            assert!(
                narration.contains(value) || bytes.contains(value),
                "{value}\n{narration}"
            );
        }
    }
    // Without the key log it decrypts nothing.
    let sealed = tshark(&capture, None, &["-z", "follow,tls,ascii,1", "-q"]);
    assert!(!sealed.contains("the secret of"), "{sealed}");
}

/// The output of tshark for a capture.
fn tshark(capture: &Path, keys: Option<&Path>, arguments: &[&str]) -> String {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args(["-d", "tcp.port==10007,tls"]);
    if let Some(keys) = keys {
        command.arg("-o").arg(format!("tls.keylog_file:{}", keys.display()));
    }
    let output = command
        .args(arguments)
        .output()
        .expect("tshark is needed (on Debian and Ubuntu the package is tshark)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The content of chunks (RFC 9112, section 7.1).
fn unchunked(mut chunks: &str) -> String {
    let mut content = String::new();
    while let Some((length, rest)) = chunks.split_once("\r\n") {
        let (chunk, rest) = rest.split_at(usize::from_str_radix(length, 16).unwrap());
        content.push_str(chunk);
        chunks = rest.strip_prefix("\r\n").unwrap();
    }
    content
}

/// The bytes of messages that a page shows, in hexadecimal.
fn shown(page: &str) -> String {
    let bytes = |field: &str| {
        // Long ones occur twice: the beginning, then the whole.
        let begin = ["<code class=\"all\">", "<code>"];
        let code = begin.iter().find_map(|begin| field.split_once(begin)).unwrap().1;
        packed(code.split_once("</code>").unwrap().0)
    };
    let fields = page.split("class=\"field ").filter(|field| field.starts_with("wire"));
    fields.map(bytes).collect()
}

/// The handshake messages in a file of `openssl -msgfile`: type, and bytes in hexadecimal.
fn messages(file: &Path) -> Vec<(String, String)> {
    let mut messages = Vec::<(String, String)>::new();
    let mut wanted = false;
    for line in std::fs::read_to_string(file).unwrap().lines() {
        if line.starts_with(">>>") || line.starts_with("<<<") {
            wanted = line.contains(", Handshake [");
            if wanted {
                messages.push((line.to_owned(), String::new()));
            }
        } else if let (true, Some((_, bytes))) = (wanted, messages.last_mut()) {
            bytes.push_str(&packed(line));
        }
    }
    messages
}

/// The page, as received by OpenSSL's client with this request.
pub(super) fn get(machine: &Machine, request: &str, arguments: &[&str]) -> String {
    let mut client = s_client(machine.at(443), &baked_ca(), ["-quiet"].iter().chain(arguments));
    client.write(request.as_bytes());
    client.wait();
    client.out.text()
}

pub(super) const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn a_page_shows_the_connection_that_delivers_it() {
    let scratch = Scratch::new();
    let machine = Setup::new().ports(&[443, 23]).ready();
    machine.wait_for("https server listens on port 443 of vm0");
    assert!(machine.ask("status").contains("\nhttps server on port 443 of vm0\n"));
    for (version, name) in [("-tls1_3", "TLS 1.3"), ("-tls1_2", "TLS 1.2")] {
        let (keys, messages_file) = (scratch.path(name), scratch.path(&format!("{name} messages")));
        let page = get(
            &machine,
            GET,
            &[
                version,
                "-alpn",
                "http/1.1",
                "-servername",
                "localhost",
                "-keylogfile",
                keys.to_str().unwrap(),
                "-msg",
                "-msgfile",
                messages_file.to_str().unwrap(),
            ],
        );
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(page.ends_with("</html>\n\r\n0\r\n\r\n"), "{page}");
        assert!(page.contains(&format!("shook hands over {name}")), "{page}");
        let content = unchunked(page.split_once("\r\n\r\n").unwrap().1);
        assert!(packed(&content).contains(&client_random(&keys)), "not this connection");
        assert_keeps_secrets(&keys, &content);
        // Each message that OpenSSL has sent or received, in order.
        let (shown, mut at) = (shown(&content), 0);
        let seen = messages(&messages_file);
        assert!(seen.len() >= 9, "{seen:?}");
        for (message, bytes) in seen {
            let found = shown[at..].find(&bytes);
            at += found.unwrap_or_else(|| panic!("{message} {bytes}\n{content}")) + bytes.len();
        }
    }
    for (request, status) in [
        ("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"),
        (
            "PUT / HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP/1.1 405 Method Not Allowed\r\n",
        ),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
        ("\u{1}rubbish\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
        ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
        ("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
    ] {
        let answer = get(&machine, request, &[]);
        assert!(answer.starts_with(status), "{answer}");
    }
    // A browser with only HTTP/2 gets the alert no_application_protocol.
    let mut client = s_client(machine.at(443), &baked_ca(), ["-alpn", "h2"]);
    client.wait();
    client.err.wait_for("no application protocol");
    // More connections than event logs: each gets its page or a 503.
    let pages: Vec<String> = std::thread::scope(|scope| {
        let machine = &machine;
        let threads: Vec<_> = (0..12).map(|_| scope.spawn(move || get(machine, GET, &[]))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let whole = pages
        .iter()
        .filter(|page| page.ends_with("</html>\n\r\n0\r\n\r\n"))
        .count();
    let later = pages.iter().filter(|page| page.starts_with("HTTP/1.1 503 ")).count();
    assert!(whole >= 1 && whole + later == 12, "{whole} {later}: {pages:?}");
    assert!(get(&machine, GET, &[]).ends_with("</html>\n\r\n0\r\n\r\n"));
    assert!(machine.ask("counters").contains("\n"), "the machine is well");
}

/// The page in a browser that trusts the CA. It needs Chromium and certutil, which are large; `qemu/test browser` installs
/// them and runs this.
#[test]
#[ignore = "takes Chromium: qemu/test browser"]
fn chromium_trusts_and_shows_the_page() {
    let scratch = Scratch::new();
    let database = scratch.path(".pki/nssdb");
    std::fs::create_dir_all(&database).unwrap();
    let database = format!("sql:{}", database.display());
    for arguments in [
        &["-N", "--empty-password"][..],
        &["-A", "-t", "C,,", "-n", "postern", "-i", baked_ca().to_str().unwrap()],
    ] {
        let done = Command::new("certutil")
            .args(["-d", &database])
            .args(arguments)
            .status();
        assert!(done.expect("certutil is needed (libnss3-tools)").success());
    }
    let machine = Setup::new().ports(&[443]).ready();
    let url = format!("https://localhost:{}/", machine.at(443).port());
    let page = chromium(&scratch.path(""), &["--dump-dom", &url]);
    for told in [
        "<title>This connection, illustrated</title>",
        "<dd>TLS 1.3</dd>",
        "<dd>\"localhost\"</dd>",
        "<h2>ClientHello</h2>",
        "GREASE",
        "<h2>Client Finished</h2>",
        "<h2>NewSessionTicket</h2>",
        "GET / HTTP/1.1",
    ] {
        assert!(page.contains(told), "{told}\n{page}");
    }
    // Without the CA it refuses the page.
    let stranger = Scratch::new();
    let page = chromium(&stranger.path(""), &["--dump-dom", &url]);
    assert!(!page.contains("illustrated"), "{page}");
}

/// The output of Chromium with that home and these arguments. Its virtual time covers the page's actions.
pub(super) fn chromium(home: &Path, arguments: &[&str]) -> String {
    let output = Command::new("chromium")
        .env("HOME", home)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
        .arg("--virtual-time-budget=10000")
        .arg(format!("--user-data-dir={}", home.join("profile").display()))
        .args(arguments)
        .output()
        .expect("chromium is needed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
