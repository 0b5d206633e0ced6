//! ParaQ's secure connections: each use case of docs/paraq.md, by name.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use super::common::machine::{Machine, Setup};
use super::common::pki::{ECHO, Session, USER_NETWORK};
use super::common::process::Process;
use super::common::tls::s_client;
use super::common::{LIMIT, accept, poll};

/// A server of the session, as in the document. `more` is added to its configuration.
fn launch(session: &Session, more: &str) -> Machine {
    let text = format!(
        "{USER_NETWORK}{ECHO}{}{more}",
        session.tls(".client_auth = \"required\",")
    );
    Setup::new().defconfig(text).ready()
}

/// A client of forward connections, with the credentials of that name.
fn client(machine: &Machine, session: &Session, whose: &str, more: &[&str]) -> Process {
    let arguments = session.identity(whose);
    s_client(
        machine.at(10007),
        &session.ca(),
        arguments.iter().map(String::as_str).chain(more.iter().copied()),
    )
}

/// A client that waits for reverse connections, with the credentials of that name, at a port of this host (0: any).
fn waiting_client(session: &Session, whose: &str, port: u16, more: &[&str]) -> (Process, u16) {
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-CAfile"]);
    command.arg(session.ca()).args(session.identity(whose));
    // It requires a valid certificate.
    let server = Process::start(command.args(["-Verify", "1", "-verify_return_error"]).args(more));
    let port = accepting(&server).unwrap_or(port);
    (server, port)
}

/// Waits until `s_server` listens; returns its port, if it was not given.
fn accepting(server: &Process) -> Option<u16> {
    server.out.wait_until("the port", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (_, rest) = text.split_once("ACCEPT")?;
        let (port, _) = rest.split_once('\n')?;
        Some(port.rsplit(':').next()?.trim().parse().ok())
    })
}

/// A typed line is echoed.
fn assert_echoes(client: &mut Process, text: &str) {
    client.write(format!("{text}\n").as_bytes());
    client.out.wait_for(&format!("\n{text}\n"));
}

/// A free port for a later listener.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The output of `echoctl_tls` for a command.
fn ask(machine: &Machine, command: &str) -> String {
    let mut shell = machine.shell();
    shell.command("echoctl_tls");
    shell.command(command)
}

fn dial(machine: &Machine, port: u16, more: &str) {
    let answer = ask(machine, &format!("server reverse 10.0.2.2 {port}{more}"));
    assert!(answer.ends_with("...\nDone.\n"), "{answer}");
}

/// Waits until `status` shows all of that about the host dialled there.
fn wait_for_status(machine: &Machine, port: u16, texts: &[&str]) {
    poll(&format!("{texts:?}"), || {
        let status = machine.ask("status");
        let (_, rest) = status.split_once(&format!("tls reverse to 10.0.2.2:{port}, "))?;
        let lines: String = rest.split_inclusive('\n').take(2).collect();
        texts.iter().all(|text| lines.contains(text)).then_some(())
    });
}

/// Lets the machine dial a TLS client of this host: joins connections to the given address with connections to the given
/// port.
fn switchboard() -> (u16, SocketAddr) {
    let (dialled, ours) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let ends = (dialled.local_addr().unwrap().port(), ours.local_addr().unwrap());
    std::thread::spawn(move || {
        while let (Ok((server, _)), Ok((client, _))) = (dialled.accept(), ours.accept()) {
            for (mut from, mut to) in [
                (server.try_clone().unwrap(), client.try_clone().unwrap()),
                (client, server),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    ends
}

#[test]
fn forward_connection() {
    let (session, other) = (Session::new("session"), Session::new("another session"));
    let machine = launch(&session, "");
    machine.wait_for("tls: client authentication required");
    for version in ["-tls1_3", "-tls1_2"] {
        let mut good = client(&machine, &session, "client", &[version]);
        good.out.wait_for("Verification: OK");
        assert_echoes(&mut good, "forward");
        // The server refuses peers outside the session ...
        let required = match version {
            "-tls1_3" => "alert certificate required",
            _ => "alert handshake failure",
        };
        let mut anonymous = s_client(machine.at(10007), &session.ca(), [version]);
        anonymous.err.wait_for(required);
        anonymous.wait();
        let stranger = other.identity("client");
        let arguments = stranger.iter().map(String::as_str).chain([version]);
        let mut stranger = s_client(machine.at(10007), &session.ca(), arguments);
        stranger.err.wait_for("alert unknown ca");
        stranger.wait();
        // ... and so does the client.
        let arguments = session.identity("client");
        let arguments = arguments.iter().map(String::as_str).chain([version]);
        let mut misled = s_client(machine.at(10007), &other.ca(), arguments);
        misled.err.wait_for("certificate verify failed");
        misled.wait();
        // The first client was served all the time.
        assert_echoes(&mut good, "still here");
    }
}

#[test]
fn client_reconnects_to_server() {
    let session = Session::new("session");
    let machine = launch(&session, "");
    for version in ["-tls1_3", "-tls1_2"] {
        let mut first = client(&machine, &session, "client", &[version]);
        assert_echoes(&mut first, "first");
        // Q at the beginning of a line ends s_client.
        first.write(b"Q\n");
        assert!(first.wait().success());
        let mut again = client(&machine, &session, "client", &[version]);
        assert_echoes(&mut again, "again");
    }
}

#[test]
fn friend_connects_to_running_server() {
    let session = Session::new("session");
    let machine = launch(&session, "");
    let mut user = client(&machine, &session, "client", &[]);
    assert_echoes(&mut user, "it is me");
    user.write(b"Q\n");
    assert!(user.wait().success());
    // A copy of the user's credentials.
    let copies = session.copy("client", "copy");
    let mut friend = s_client(machine.at(10007), &session.ca(), &copies);
    assert_echoes(&mut friend, "the same credentials");
    // The alternate: separate credentials, for any number of friends.
    let mut friends: Vec<Process> = ["alice", "bob", "carol"]
        .iter()
        .map(|name| {
            session.issue(name);
            client(&machine, &session, name, &[])
        })
        .collect();
    for friend in &mut friends {
        assert_echoes(friend, "a friend");
    }
    assert_echoes(&mut friend, "all together");
}

#[test]
fn reverse_connection() {
    let (session, other) = (Session::new("session"), Session::new("another session"));
    let machine = launch(&session, "");
    // The side that waits has an SSL socket, as in the document.
    for version in ["-tls1_3", "-tls1_2"] {
        let (mut waiting, port) = waiting_client(&session, "client", 0, &[version]);
        dial(&machine, port, " every 1");
        wait_for_status(&machine, port, &["every 1 s: serving CN=client for "]);
        waiting.out.wait_for("subject=CN = server");
        assert_echoes(&mut waiting, "reverse");
        machine.wait_for(&format!("tls reverse to 10.0.2.2:{port}: serving CN=client"));
        let stopping = ask(&machine, &format!("server reverse stop 10.0.2.2 {port}"));
        assert_eq!(
            stopping,
            format!("Stopping TLS server (dialling 10.0.2.2:{port})...\nDone.\n")
        );
        // Open connections continue.
        assert_echoes(&mut waiting, "to the end");
    }
    // The other end can also be the TLS client.
    for (version, role) in [("-tls1_3", ""), ("-tls1_2", " role server")] {
        let (port, address) = switchboard();
        let arguments = session.identity("client");
        let arguments = arguments.iter().map(String::as_str).chain([version]);
        let mut calling = s_client(address, &session.ca(), arguments);
        dial(&machine, port, &format!(" vm0 every 1{role}"));
        calling.out.wait_for("Verification: OK");
        assert_echoes(&mut calling, "reverse");
        wait_for_status(&machine, port, &["serving CN=client for "]);
        ask(&machine, &format!("server reverse stop 10.0.2.2 {port}"));
    }
    // The server refuses peers outside the session ...
    let (_stranger, port) = waiting_client(&other, "client", 0, &[]);
    dial(&machine, port, " every 1");
    wait_for_status(
        &machine,
        port,
        &["served: 0\n", "handshake failed: issuer unknown: CN=another session"],
    );
    ask(&machine, "server reverse stop");
    let (port, address) = switchboard();
    let anonymous = s_client(address, &session.ca(), [""; 0]);
    dial(&machine, port, " every 1");
    anonymous.err.wait_for("alert certificate required");
    wait_for_status(&machine, port, &["served: 0\n", "handshake failed: "]);
    ask(&machine, "server reverse stop");
    // ... and so does the client.
    let arguments = session.identity("client");
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-accept", "127.0.0.1:0", "-CAfile"])
        .arg(other.ca());
    let misled = Process::start(command.args(arguments).args(["-Verify", "1", "-verify_return_error"]));
    let port = accepting(&misled).unwrap();
    dial(&machine, port, " every 1");
    // It names its CA, and the machine has no certificate of that CA.
    misled.err.wait_for("peer did not return a certificate");
    wait_for_status(&machine, port, &["certificate_required"]);
    assert_eq!(ask(&machine, "server stop").matches("Done.").count(), 2);
    assert!(!machine.ask("status").contains("reverse"));
}

#[test]
fn server_phones_home() {
    let session = Session::new("session");
    let port = free_port();
    let machine = launch(
        &session,
        &format!(".echo.reverse = {{ {{ .ipaddr = {{ 10, 0, 2, 2 }}, .port = {port}, .every = 1 }} }},\n"),
    );
    // Other hosts are not affected.
    let mut forward = client(&machine, &session, "client", &[]);
    assert_echoes(&mut forward, "before");
    machine.wait_for(&format!("tls reverse to 10.0.2.2:{port}: every 1 s, from vm0"));
    machine.wait_for(&format!("tls reverse to 10.0.2.2:{port}: connection refused"));
    wait_for_status(&machine, port, &["served: 0\n", " s ago: connection refused\n"]);
    for round in 1..=3 {
        let (mut home, _) = waiting_client(&session, "client", port, &[]);
        wait_for_status(&machine, port, &["serving CN=client", &format!("served: {round}\n")]);
        assert_echoes(&mut home, &format!("round {round}"));
        // The client disconnects, in order and rudely.
        if round == 2 {
            drop(home);
        } else {
            home.write(b"Q\n");
            home.wait();
        }
        wait_for_status(&machine, port, &["next try in 1 s", " s ago: connection refused\n"]);
    }
    assert_echoes(&mut forward, "after");
    // Until it is stopped.
    assert_eq!(
        ask(&machine, "server reverse stop"),
        "Stopping TLS server (dialling 1 host)...\nDone.\n"
    );
    machine.wait_for(&format!("tls reverse to 10.0.2.2:{port}: stopped"));
    assert!(!machine.ask("status").contains("reverse"));
    // The failure was logged, but not at each of the many tries.
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "still dialling");
}

#[test]
fn server_phones_a_friend() {
    let (session, other) = (Session::new("session"), Session::new("another session"));
    let port = free_port();
    let machine = launch(&session, "");
    let (mut user, _) = waiting_client(&session, "client", port, &[]);
    dial(&machine, port, " every 1");
    wait_for_status(&machine, port, &["serving CN=client"]);
    assert_echoes(&mut user, "home");
    user.write(b"Q\n");
    user.wait();
    // A host outside the session listens there and gets nothing.
    let (stranger, _) = waiting_client(&other, "client", port, &[]);
    wait_for_status(&machine, port, &["served: 1\n", "issuer unknown: CN=another session"]);
    drop(stranger);
    // The friend has a copy of the user's credentials, or (the alternate) separate ones.
    session.copy("client", "copy");
    session.issue("friend");
    for (served, whose, subject) in [(2, "copy", "CN=client"), (3, "friend", "CN=friend")] {
        let (mut friend, _) = waiting_client(&session, whose, port, &[]);
        let texts = [&format!("serving {subject}")[..], &format!("served: {served}\n")];
        wait_for_status(&machine, port, &texts);
        assert_echoes(&mut friend, "hello friend");
        friend.write(b"Q\n");
        friend.wait();
    }
}

/// Without TLS there are no credentials.
#[test]
fn the_plain_echo_dials_as_well() {
    let machine = Setup::new().ready();
    let home = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = home.local_addr().unwrap().port();
    let mut shell = machine.shell();
    shell.command("echoctl");
    let answer = shell.command(&format!("server reverse 10.0.2.2 {port} every 1"));
    assert_eq!(
        answer,
        format!("Starting server (dialling 10.0.2.2:{port} (0a000202), every 1 s)...\nDone.\n")
    );
    for round in 0..3 {
        let stream = accept(&home);
        assert_eq!(
            echo(stream, format!("round {round}").as_bytes()),
            format!("round {round}").as_bytes()
        );
    }
    assert_eq!(shell.command("server stop"), {
        "Stopping server (Port: 10008)...\nDone.\nStopping server (dialling 1 host)...\nDone.\n"
    });
}

/// Sends, closes the sending direction, and returns the echo.
fn echo(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    use std::io::{Read as _, Write as _};
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    back
}

/// Without a CA no peer can be authenticated: no host is dialled, and the shell shows why.
#[test]
fn without_a_session_no_host_is_dialled() {
    let session = Session::new("session");
    let text = format!("{USER_NETWORK}{ECHO}{}", session.tls_without_ca());
    let machine = Setup::new().defconfig(text).ready();
    let answer = ask(&machine, "server reverse 10.0.2.2 20001");
    assert!(
        answer.ends_with("Failed: no CA is configured to verify the peer with: .tls.ca_cert is empty.\n"),
        "{answer}"
    );
}
