//! Connections narrated: at the shell, beside what Wireshark sees, and in a browser.

use std::path::Path;
use std::process::Command;

use super::client::{echoctl_tls, s_server};
use super::common::machine::{Machine, Setup};
use super::common::pki::USER_NETWORK;
use super::common::process::Said;
use super::common::tls::{echo, s_client};
use super::common::{Scratch, baked_ca, poll};

/// A narration without its blanks, in which bytes can be looked for.
fn packed(narration: &str) -> String {
    narration.split_whitespace().collect()
}

/// The bytes alone, which stand first on their lines: those of a field that is taken apart hang together then.
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

#[test]
fn connections_are_narrated_while_it_is_on() {
    let scratch = Scratch::new();
    let machine = Setup::new().ready();
    let mut shell = echoctl_tls(&machine);
    assert_eq!(shell.command("trace"), "Tracing is off.\n");
    // Nobody listens yet.
    assert_eq!(
        echo(machine.at(10007), &baked_ca(), &[], b"unheard\n".to_vec()),
        b"unheard\n"
    );
    assert_eq!(shell.command("trace"), "Tracing is off.\n");
    assert_eq!(
        shell.command("trace on"),
        "Done. The next handshakes are narrated, the last 4 are kept.\n"
    );
    for (number, version, name) in [(1, "-tls1_3", "TLSv1.3"), (2, "-tls1_2", "TLSv1.2")] {
        let keys = scratch.path(name);
        let arguments = ["-quiet", "-no_ign_eof", version, "-keylogfile", keys.to_str().unwrap()];
        let mut client = s_client(machine.at(10007), &baked_ca(), arguments);
        client.write(b"ping\n");
        client.out.wait_for("ping");
        // The end of its input makes it say close_notify.
        drop(client.take_stdin());
        client.wait();
        // The client's end is told as well, once it has come.
        let narration = poll("the end of the narration", || {
            let narration = shell.command(&format!("trace show {number}"));
            (narration.matches("close_notify (").count() == 2).then_some(narration)
        });
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

    // One that fails is told, too.
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
        "Failed: there is no trace 5; 'trace' lists those there are.\n"
    );
}

/// Waits for all lines of the key log of one connection, and gives them.
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
fn wireshark_decrypts_what_the_narration_tells() {
    let scratch = Scratch::new();
    let capture = scratch.path("capture.pcap");
    let pki = Path::new(env!("POSTERN_PKI"));
    let pem = |name: &str| super::common::pki::strings(&std::fs::read_to_string(pki.join(name)).unwrap());
    let text = format!(
        "{USER_NETWORK}.echo = {{ .tls_port = 10007 }},\n\
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
        // The secrets are told, for they are logged.
        for line in std::fs::read_to_string(&keys).unwrap().lines() {
            let secret = line.rsplit_once(' ').unwrap().1;
            assert!(narration.contains(secret), "{line}");
        }
        assert!(narration.contains("shown,becausesecretsarelogged"));

        // QEMU writes each packet as it passes. The first connection of all is that of the shell.
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
        // What Wireshark reads is what the narration says.
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
    // Without the key log it sees nothing of the kind.
    let sealed = tshark(&capture, None, &["-z", "follow,tls,ascii,1", "-q"]);
    assert!(!sealed.contains("the secret of"), "{sealed}");
}

/// What tshark says of a capture.
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

/// The page, as OpenSSL's client gets it with this request.
fn get(machine: &Machine, request: &str, arguments: &[&str]) -> String {
    let mut client = s_client(machine.at(443), &baked_ca(), ["-quiet"].iter().chain(arguments));
    client.write(request.as_bytes());
    client.wait();
    client.out.text()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn a_page_shows_the_connection_that_delivers_it() {
    let scratch = Scratch::new();
    let machine = Setup::new().ports(&[443, 23]).ready();
    machine.wait_for("https server listens on port 443 of vm0");
    assert!(machine.ask("status").contains("\nhttps server on port 443 of vm0\n"));
    for (version, name) in [("-tls1_3", "TLS 1.3"), ("-tls1_2", "TLS 1.2")] {
        let keys = scratch.path(name);
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
            ],
        );
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(page.ends_with("</html>\n\r\n0\r\n\r\n"), "{page}");
        assert!(page.contains(&format!("shook hands over {name}")), "{page}");
        let content = unchunked(page.split_once("\r\n\r\n").unwrap().1);
        assert!(packed(&content).contains(&client_random(&keys)), "this very connection");
    }
    for (request, status) in [
        ("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"),
        (
            "PUT / HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP/1.1 405 Method Not Allowed\r\n",
        ),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
        ("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
    ] {
        let answer = get(&machine, request, &[]);
        assert!(answer.starts_with(status), "{answer}");
    }
    // A browser that speaks HTTP/2 alone is told so, by the alert for it.
    let mut client = s_client(machine.at(443), &baked_ca(), ["-alpn", "h2"]);
    client.wait();
    client.err.wait_for("no application protocol");
    // Many at once, more than are kept: each gets its page or is told to come again.
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

/// What a browser sees that trusts the CA. It takes Chromium and certutil, which are large; `qemu/test browser` installs
/// and runs it.
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
    let port = machine.at(443).port();
    let browse = |home: &Path| {
        let output = Command::new("chromium")
            .env("HOME", home)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--virtual-time-budget=10000",
            ])
            .arg(format!("--user-data-dir={}", home.join("profile").display()))
            .args(["--dump-dom", &format!("https://localhost:{port}/")])
            .output()
            .expect("chromium is needed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let page = browse(&scratch.path(""));
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
    // Without the CA it is refused.
    let stranger = Scratch::new();
    let page = browse(&stranger.path(""));
    assert!(!page.contains("illustrated"), "{page}");
}
