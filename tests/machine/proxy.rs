//! Connections through HTTP proxies: tinyproxy, mitmproxy, and broken ones.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use super::client::{converse, s_server};
use super::common::machine::{Machine, Setup};
use super::common::pki::{Session, USER_NETWORK, strings};
use super::common::process::Process;
use super::common::telnet::Telnet;
use super::common::{Scratch, accept, poll};

/// A machine of the session that uses the proxy at that port of this host.
fn machine(session: &Session, port: u16, login: &str, tls: &str) -> Machine {
    configured(&format!("{}{}", session.tls(tls), place(port, login)))
}

fn configured(more: &str) -> Machine {
    Setup::new()
        .ports(&[23])
        .defconfig(format!("{USER_NETWORK}{more}"))
        .ready()
}

/// The `.proxy` group. This host is 10.0.2.2 to the machine.
fn place(port: u16, login: &str) -> String {
    format!(".proxy = {{ .ipaddr = {{ 10, 0, 2, 2 }}, .port = {port}, {login} }},\n")
}

const LOGIN: &str = ".user = \"postern\", .password = \"open sesame\",";

/// The credentials of the session's server, as files.
fn credentials(session: &Session) -> (PathBuf, PathBuf) {
    match &session.identity("server")[..] {
        [_, certificate, _, key] => (certificate.into(), key.into()),
        other => panic!("{other:?}"),
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until a program that prints nothing listens.
fn listens(process: &mut Process, port: u16) {
    poll("a listening proxy", || {
        assert!(process.ended().is_none(), "the proxy has ended");
        TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
    });
}

/// tinyproxy, with these lines in its configuration, and its port.
fn tinyproxy(scratch: &Scratch, more: &str) -> (Process, u16) {
    let port = free_port();
    let text = format!("Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 20\nLogLevel Info\n{more}");
    let file = scratch.file(&format!("tinyproxy-{port}.conf"), text);
    let mut process = Process::start(Command::new("tinyproxy").arg("-d").arg("-c").arg(file));
    listens(&mut process, port);
    (process, port)
}

/// A fake proxy for one connection after the other: reads the request's head, then calls the closure.
fn play(mut answer: impl FnMut(TcpStream, String) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
                head.push(byte[0]);
            }
            answer(stream, String::from_utf8(head).unwrap());
        }
    });
    port
}

fn prompt(machine: &Machine, name: &str) -> Telnet {
    let mut shell = machine.shell();
    shell.command(name);
    shell
}

/// Connects by name through the proxy and returns the output.
fn connect(shell: &mut Telnet, proxy: u16, port: u16, more: &str) -> String {
    let answer = shell.command(&format!("client connect localhost {port}{more}"));
    let start = format!("Connecting to TLS server at localhost:{port}\nThrough the proxy 10.0.2.2:{proxy}\n");
    let rest = answer.strip_prefix(&start);
    rest.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn tls_in_both_versions_goes_through_tinyproxy_with_a_login() {
    let (session, scratch) = (Session::new("CA of a test"), Scratch::new());
    let (proxy, at) = tinyproxy(&scratch, "BasicAuth postern sesame\n");
    let login = ".user = \"postern\", .password = \"sesame\",";
    let machine = machine(&session, at, login, ".verify = \"strict\",");
    machine.wait_for(&format!("proxy: 10.0.2.2:{at}, with a login"));
    let (certificate, key) = credentials(&session);
    let mut shell = prompt(&machine, "echoctl_tls");
    for version in ["-tls1_2", "-tls1_3"] {
        // The name is this host for the proxy, but not for the machine.
        let (mut server, port) = s_server(certificate.clone(), key.clone(), &[version]);
        let answer = connect(&mut shell, at, port, "");
        let agreed = answer.strip_prefix("Done.\n").unwrap_or_else(|| panic!("{answer}"));
        assert!(agreed.ends_with(", server CN=server\n"), "{agreed}");
        converse(&machine, &mut shell, &mut server);
        proxy.out.wait_for(&format!("CONNECT localhost:{port} HTTP/1.1"));
        let status = machine.ask("status");
        for line in [
            format!("proxy for connections from here: 10.0.2.2:{at}, with a login\n"),
            format!("tls echo client connected to localhost:{port} through the proxy, in 30 out 26, "),
        ] {
            assert!(status.contains(&line), "{status}");
        }
        shell = prompt(&machine, "echoctl_tls");
        assert_eq!(shell.command("client close"), "Done.\n");
        assert!(connect(&mut shell, at, port, "").contains(", resumed, "));
        assert_eq!(shell.command("client close"), "Done.\n");
        // Without the proxy it is another path to the same server.
        let direct = shell.command(&format!("client connect 10.0.2.2 {port} name=localhost proxy=off"));
        let start = format!("Connecting to TLS server at 10.0.2.2:{port} (0a000202)\nDone.\n");
        assert!(direct.starts_with(&start), "{direct}");
        assert_eq!(shell.command("client close"), "Done.\n");
        let wrong = connect(&mut shell, at, port, " name=other.example");
        assert!(
            wrong.starts_with("Failed: certificate does not match other.example: it is for localhost."),
            "{wrong}"
        );
    }
    let said = [machine.console().text(), machine.ask("log"), machine.ask("status")].concat();
    assert!(
        !said.contains("sesame") && !said.contains("cG9zdGVybjpzZXNhbWU"),
        "{said}"
    );
}

#[test]
fn tinyproxy_s_refusals_are_reported() {
    let (session, scratch) = (Session::new("CA of a test"), Scratch::new());
    let dead = free_port();
    let (_closed, at) = tinyproxy(&scratch, &format!("BasicAuth postern sesame\nConnectPort {dead}\n"));
    for (login, port, expected) in [
        (
            "",
            dead,
            "the proxy requires authentication: set .proxy.user and .proxy.password",
        ),
        (
            LOGIN,
            dead,
            "the proxy rejected .proxy.user and .proxy.password (or accepts no Basic authentication)",
        ),
        (
            ".user = \"postern\", .password = \"sesame\",",
            dead,
            "the proxy refused: 500 Unable to connect",
        ),
        (
            ".user = \"postern\", .password = \"sesame\",",
            22,
            "the proxy refused: 403 Access violation",
        ),
    ] {
        let machine = machine(&session, at, login, "");
        let mut shell = prompt(&machine, "echoctl_tls");
        assert_eq!(connect(&mut shell, at, port, ""), format!("Failed: {expected}.\n"));
        machine.wait_for(&format!("tls client: localhost:{port} through the proxy: {expected}"));
    }
    let nobody = machine(&session, dead, "", "");
    let mut shell = prompt(&nobody, "echoctl_tls");
    assert_eq!(
        connect(&mut shell, dead, 7, ""),
        "Failed: the proxy: connection refused.\n"
    );
}

#[test]
fn servers_that_are_not_proxies_time_out() {
    let (session, mut number) = (Session::new("CA of a test"), 0);
    let at = play(move |mut stream, asked| {
        assert!(
            asked.starts_with("CONNECT localhost:7 HTTP/1.1\r\nHost: localhost:7\r\n"),
            "{asked}"
        );
        assert!(!asked.contains("Authorization"), "{asked}");
        number += 1;
        let _ = match number {
            1 => stream.write_all(b"220 mail.example ESMTP\r\n"),
            2 => stream.write_all(&b"HTTP/1.1 200 OK\r\nX-Filler: yes\r\n".repeat(200)),
            3 => stream.write_all(b"HTTP/1.1 200 OK\r\n"),
            4 => stream.write_all(b"HTTP/1.1 503 Not \x1b[2J today\r\n\r\n"),
            5 => {
                // Sends nothing until the machine times out.
                let _ = stream.read(&mut [0]);
                Ok(())
            }
            _ => {
                // Slow, with data right after the head: the answer of a TLS server.
                for byte in b"HTTP/1.1 200 OK\r\nVia: x\r\n" {
                    let _ = stream.write_all(&[*byte]);
                    std::thread::yield_now();
                }
                stream.write_all(b"\r\n\x15\x03\x03\x00\x02\x02\x28")
            }
        };
    });
    let machine = machine(&session, at, "", "");
    let mut shell = prompt(&machine, "echoctl_tls");
    for expected in [
        "the proxy's response is not HTTP/1",
        "the proxy's response is longer than 4096 bytes",
        "the proxy closed the connection before its response was complete",
        "the proxy's response is not HTTP/1",
        "the proxy did not answer within 20 s",
        "the server refused: handshake_failure",
    ] {
        assert_eq!(connect(&mut shell, at, 7, ""), format!("Failed: {expected}.\n"));
    }
}

#[test]
fn reverse_connections_go_through_tinyproxy() {
    let (session, scratch) = (Session::new("CA of a test"), Scratch::new());
    let (proxy, at) = tinyproxy(&scratch, "");
    let (certificate, key) = credentials(&session);
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain_port = plain.local_addr().unwrap().port();
    let ca = session.ca();
    let verify = ["-Verify", "1", "-verify_return_error", "-CAfile", ca.to_str().unwrap()];
    let (mut server, port) = s_server(certificate, key, &verify);
    let machine = configured(&format!(
        "{}{}.echo.reverse = {{ {{ .host = \"localhost\", .port = {port}, .every = 1 }}, \
         {{ .host = \"localhost\", .port = {plain_port}, .every = 1, .plain = 1 }} }},\n",
        session.tls(""),
        place(at, "")
    ));
    server.write(b"over there\n");
    server.out.wait_for("\nover there\n");
    proxy.out.wait_for(&format!("CONNECT localhost:{port} HTTP/1.1"));
    let mut stream = accept(&plain);
    stream.write_all(b"plain").unwrap();
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"plain");
    poll("both in the status", || {
        let status = machine.ask("status");
        let served = |kind: &str, port| {
            let line = format!("{kind} reverse to localhost:{port} through the proxy, every 1 s: serving");
            status.contains(&line)
        };
        (served("tls", port) && served("plain", plain_port)).then_some(())
    });
    // Without the proxy there is no path, which is reported as well.
    drop(proxy);
    drop(stream);
    poll("the failure", || {
        let status = machine.ask("status");
        status.contains("s ago: the proxy: connection refused\n").then_some(())
    });
    // To a local host there is one.
    let near = TcpListener::bind("127.0.0.1:0").unwrap();
    let near_port = near.local_addr().unwrap().port();
    let mut shell = prompt(&machine, "echoctl");
    let answer = shell.command(&format!("server reverse 10.0.2.2 {near_port} proxy=off"));
    assert!(answer.ends_with("Done.\n"), "{answer}");
    let mut stream = accept(&near);
    stream.write_all(b"plain").unwrap();
    stream.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"plain");
    let status = machine.ask("status");
    let line = format!("plain reverse to 10.0.2.2:{near_port}, every ");
    assert!(status.contains(&line), "{status}");
}

/// mitmproxy's own CA signs the certificates that it sends in place of the server's.
#[test]
fn mitmproxy_is_refused_unless_its_root_is_configured() {
    if Command::new("mitmdump").arg("--version").output().is_err() {
        println!("mitmdump is not installed: left out");
        return;
    }
    let (session, scratch) = (Session::new("CA of a test"), Scratch::new());
    let (certificate, key) = credentials(&session);
    let at = free_port();
    let mut command = Command::new("mitmdump");
    command.args(["--listen-host", "127.0.0.1", "--listen-port", &at.to_string()]);
    command
        .arg("--set")
        .arg(format!("confdir={}", scratch.path("mitm").display()));
    // Whatever the server's certificate and version.
    command.args([
        "--ssl-insecure",
        "--tcp-hosts",
        ".*",
        "--proxyauth",
        "postern:open sesame",
    ]);
    let mut proxy = Process::start(&mut command);
    listens(&mut proxy, at);
    let root = std::fs::read_to_string(scratch.path("mitm").join("mitmproxy-ca-cert.pem")).unwrap();
    let (mut server, port) = s_server(certificate, key, &[]);
    let refusing = machine(&session, at, LOGIN, ".verify = \"strict\",");
    let mut shell = prompt(&refusing, "echoctl_tls");
    let answer = connect(&mut shell, at, port, "");
    assert_eq!(answer, "Failed: issuer unknown: O=mitmproxy,CN=mitmproxy.\n");
    drop(refusing);
    let trusting = configured(&format!(
        ".tls = {{ .verify = \"strict\", .root_certs =\n{},\n}},\n{}",
        strings(&root),
        place(at, LOGIN)
    ));
    let mut shell = prompt(&trusting, "echoctl_tls");
    let answer = connect(&mut shell, at, port, "");
    assert!(answer.starts_with("Done.\nTLSv1.3 "), "{answer}");
    converse(&trusting, &mut shell, &mut server);
    assert_eq!(shell.command("client close"), "Done.\n");
    // Its certificate contains any requested name, whatever the server's contains (docs/proxy.md).
    let answer = connect(&mut shell, at, port, " name=other.example");
    assert!(answer.starts_with("Done.\n"), "{answer}");
}
