//! The debug shell over TLS, for clients with a valid certificate only.

use std::net::TcpStream;

use super::common::machine::{Machine, Setup};
use super::common::pki::{ECHO, Session, USER_NETWORK, strings};
use super::common::process::Process;
use super::common::tls::s_client;

/// A machine of the session with the shell on port 992; the echo does not request certificates.
fn machine(session: &Session) -> Machine {
    let text = format!(
        "{USER_NETWORK}{ECHO}.vmm.tls_dbgsh = 992,\n{}",
        session.tls(".client_auth = \"off\",")
    );
    let machine = Setup::new().ports(&[23, 992, 10007]).defconfig(text).ready();
    machine.wait_for("debug shell over TLS on port 992 of vm0");
    machine
}

/// A quiet `s_client` with the credentials of that name.
fn come(machine: &Machine, session: &Session, whose: &str, more: &[&str]) -> Process {
    let arguments = session.identity(whose);
    let arguments = arguments.iter().map(String::as_str).chain(["-quiet"]);
    s_client(machine.at(992), &session.ca(), arguments.chain(more.iter().copied()))
}

/// Types a command and waits for its output and the next prompt.
fn assert_answers(shell: &mut Process, command: &str, answer: &str) {
    let mark = shell.out.mark();
    shell.write(format!("{command}\n").as_bytes());
    let mark = shell.out.wait_from(mark, answer);
    if !answer.ends_with("> ") {
        shell.out.wait_from(mark, "> ");
    }
}

#[test]
fn s_client_is_served_without_telnet() {
    let session = Session::new("session");
    let machine = machine(&session);
    for version in ["-tls1_3", "-tls1_2"] {
        let mut shell = come(&machine, &session, "client", &[version]);
        shell.out.wait_for("> ");
        machine.wait_for(": debug shell over TLS opened: CN=client");
        let mark = shell.out.mark();
        assert_answers(&mut shell, "version", "postern ");
        assert!(
            !shell.out.text_from(mark).contains("version"),
            "nothing typed is echoed"
        );
        // It is the same shell and drives the same services.
        assert_answers(&mut shell, "echoctl_tls", "echoctl_tls> ");
        assert_answers(
            &mut shell,
            "server stop 10007",
            "Stopping TLS server (Port: 10007)...\r\nDone.\r\n",
        );
        assert_answers(&mut shell, "server start 10007", "Done.\r\n");
        assert_answers(&mut shell, "", "> ");
        shell.write(b"exit\n");
        assert!(shell.wait().success(), "ended by close_notify");
    }
}

#[test]
fn telnet_inside_tls_is_telnet() {
    const IAC: u8 = 255;
    const WILL: u8 = 251;
    const DO: u8 = 253;
    const SB: u8 = 250;
    const SE: u8 = 240;
    let session = Session::new("session");
    let machine = machine(&session);
    let mut shell = come(&machine, &session, "client", &[]);
    // The shell offers echo and suppress-go-ahead and requests the window size; the client agrees.
    let offers = [IAC, WILL, 1, IAC, WILL, 3, IAC, DO, 31];
    shell
        .out
        .wait_until("the offers", |bytes| bytes.starts_with(&offers).then_some(()));
    shell.write(&[
        IAC, DO, 1, IAC, DO, 3, IAC, WILL, 31, IAC, SB, 31, 0, 80, 0, 12, IAC, SE,
    ]);
    // Now it echoes, completes, pages by that size, and answers AYT.
    shell.write(b"ver\t");
    shell.out.wait_for("version ");
    shell.write(b"\r\0");
    shell.out.wait_for("postern ");
    shell.write(b"log\r\0");
    shell.out.wait_for("--More--");
    let mark = shell.out.mark();
    shell.write(b"q");
    // The answer waits for no other output.
    let mark = shell.out.wait_from(mark, "> ");
    shell.write(&[IAC, 246]);
    shell.out.wait_from(mark, "[Yes]");
}

#[test]
fn clients_without_a_valid_certificate_do_not_disturb_sessions() {
    let (session, other) = (Session::new("session"), Session::new("another session"));
    let machine = machine(&session);
    let mut shell = come(&machine, &session, "client", &[]);
    shell.out.wait_for("> ");
    for (version, missing) in [
        ("-tls1_3", "alert certificate required"),
        ("-tls1_2", "alert handshake failure"),
    ] {
        let mut anonymous = s_client(machine.at(992), &session.ca(), ["-quiet", version]);
        anonymous.err.wait_for(missing);
        anonymous.wait();
        assert_eq!(anonymous.out.text(), "");
        let stranger = other.identity("client");
        let arguments = stranger.iter().map(String::as_str).chain(["-quiet", version]);
        let mut stranger = s_client(machine.at(992), &session.ca(), arguments);
        stranger.err.wait_for("alert unknown ca");
        stranger.wait();
        assert_eq!(stranger.out.text(), "");
    }
    machine.wait_for(": debug shell over TLS refused: ");
    // Nor do silent connections, more than there are session slots.
    let _silent: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(machine.at(992)).unwrap()).collect();
    assert_answers(&mut shell, "version", "postern ");
    assert!(!machine.console().text().contains("taken over"));
    // They do not block the next client.
    let mut next = come(&machine, &session, "client", &[]);
    next.out.wait_for("> ");
    assert_answers(&mut next, "version", "postern ");
}

#[test]
fn the_newest_wins() {
    let session = Session::new("session");
    session.issue("friend");
    let machine = machine(&session);
    let mut first = come(&machine, &session, "client", &[]);
    first.out.wait_for("> ");
    for _ in 0..4 {
        let mut next = come(&machine, &session, "friend", &[]);
        next.out.wait_for("> ");
        first.out.wait_for("another session has taken over");
        assert!(first.wait().success());
        assert_answers(&mut next, "version", "postern ");
        first = next;
    }
    machine.wait_for("debug shell over TLS opened: CN=friend");
    // The shell on telnet is separate.
    assert!(machine.ask("version").starts_with("postern "));
    assert_answers(&mut first, "version", "postern ");
}

#[test]
fn without_certificates_it_reports_why_it_does_not_start() {
    let session = Session::new("session");
    let shell = ".vmm.tls_dbgsh = 992,\n";
    let ca = strings(&std::fs::read_to_string(session.ca()).unwrap());
    let ca = format!(".tls.ca_cert =\n{ca},\n");
    let machine = Setup::new()
        .defconfig(format!("{USER_NETWORK}{ECHO}{shell}{ca}"))
        .ready();
    machine.wait_for("debug shell over TLS not started: no server certificate is configured");
    assert!(machine.ask("version").starts_with("postern "));
    let machine = Setup::new()
        .defconfig(format!("{USER_NETWORK}{ECHO}{shell}{}", session.tls_without_ca()))
        .boot();
    machine.wait_for(".vmm.tls_dbgsh: there is no CA to verify client certificates with. Set `.tls.ca_cert` as well");
    machine.wait_for("using the baked configuration");
}
