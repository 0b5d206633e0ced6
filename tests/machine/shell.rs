//! The debug shell: the guide's commands and Postern's own.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use super::common::machine::Setup;
use super::common::process::Process;
use super::common::telnet::Telnet;
use super::common::{accept, baked_ca, tls};

#[test]
fn the_guide_s_server_steps_work() {
    let machine = Setup::new().ports(&[23, 10007, 10017]).ready();
    let mut shell = machine.shell();
    assert_eq!(shell.at_prompt(), "> ");
    assert_eq!(shell.command("echoctl_tls"), "");
    assert_eq!(shell.at_prompt(), "echoctl_tls> ");
    let help = shell.command("help");
    assert!(
        help.starts_with(
            "usage:\n\
             \x20 client connect <ipaddr> <port> [netif]  Connect to echo server.\n\
             \x20 client send                             Send a message to client.\n\
             \x20 server start <port> [netif]             Start echo server.\n"
        ),
        "{help}"
    );
    assert_eq!(
        shell.command("server start 10017"),
        "Starting TLS server (Port: 10017)...\nDone.\n"
    );
    tls::assert_serves(machine.at(10017), &baked_ca());
    // The server started at boot.
    let taken = "Starting TLS server (Port: 10007)...\nFailed: port 10007 is already in use.\n";
    assert_eq!(shell.command("server start 10007"), taken);
    assert_eq!(
        shell.command("server stop 10007"),
        "Stopping TLS server (Port: 10007)...\nDone.\n"
    );
    assert_eq!(
        shell.command("server start 10007"),
        "Starting TLS server (Port: 10007)...\nDone.\n"
    );
    tls::assert_serves(machine.at(10007), &baked_ca());
    assert_eq!(shell.command(""), "");
    assert_eq!(shell.at_prompt(), "> ");
}

#[test]
fn a_stopped_server_closes_and_its_connections_continue() {
    let machine = Setup::new().ready();
    let mut client = tls::s_client(machine.at(10007), &baked_ca(), ["-quiet"]);
    client.write(b"before\n");
    client.out.wait_for("before\n");
    let mut shell = machine.shell();
    shell.command("echoctl_tls");
    assert_eq!(
        shell.command("server stop"),
        "Stopping TLS server (Port: 10007)...\nDone.\n"
    );
    assert_eq!(shell.command("server stop"), "No TLS server is running.\n");
    let gone = shell.command("server stop 10007");
    assert!(
        gone.ends_with("Failed: no server of this kind is running on port 10007.\n"),
        "{gone}"
    );
    let mut refused = tls::s_client(machine.at(10007), &baked_ca(), [""; 0]);
    assert!(!refused.wait().success());
    client.write(b"after\n");
    client.out.wait_for("after\n");
}

#[test]
fn the_plain_client_sends_and_logs_what_it_receives() {
    let machine = Setup::new().ready();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut shell = machine.shell();
    shell.command("echoctl");
    assert_eq!(shell.at_prompt(), "echoctl> ");
    let answer = shell.command(&format!("client connect 10.0.2.2 {port}"));
    assert_eq!(
        answer,
        format!("Connecting to server at 10.0.2.2:{port} (0a000202)\nDone.\n")
    );
    let mut server = accept(&listener);
    assert!(shell.command("client send").ends_with("Done.\n"));
    let mut hello = [0; 17];
    server.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"Hello, BitVisor!\n");
    server.write_all(b"Test 123 Message from server.\n").unwrap();
    machine.wait_for("Received.");
    machine.wait_for("Test 123 Message from server.");
    assert!(shell.command("client send two  words").ends_with("Done.\n"));
    let mut words = [0; 11];
    server.read_exact(&mut words).unwrap();
    assert_eq!(&words, b"two  words\n");
    assert_eq!(shell.command("client close"), "Done.\n");
    assert_eq!(server.read(&mut words).unwrap(), 0);
    assert!(shell.command("client send").ends_with("Failed: not connected.\n"));
}

#[test]
fn client_errors_are_shown_at_the_prompt() {
    let machine = Setup::new().ready();
    let mut shell = machine.shell();
    shell.command("echoctl");
    // A closed port of this host.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let answer = shell.command(&format!("client connect 10.0.2.2 {port}"));
    assert!(answer.ends_with("Failed: connection refused.\n"), "{answer}");
    let answer = shell.command("client connect 10.0.2.2 7 vm7");
    assert!(
        answer.ends_with("Failed: no such network interface.\nInterfaces: vm0\n"),
        "{answer}"
    );
    let answer = shell.command("client connect no.such.name.invalid 7");
    assert!(
        answer.starts_with("Connecting to server at no.such.name.invalid:7\nFailed: "),
        "{answer}"
    );
}

#[test]
fn wrong_lines_are_answered_with_usage() {
    let machine = Setup::new().ready();
    let mut shell = machine.shell();
    assert_eq!(
        shell.command("reset"),
        "'reset' is not a command; type 'help' for a list.\n"
    );
    assert_eq!(shell.command("   "), "");
    assert!(
        shell
            .command("log yesterday")
            .starts_with("'yesterday' is neither a number nor 'follow'.\nusage:\n")
    );
    shell.command("echoctl_tls");
    let usage = "usage:\n  server start <port> [netif]             Start echo server.\n";
    assert_eq!(shell.command("server start"), usage);
    assert_eq!(
        shell.command("server start 0"),
        format!("'0' is not a port (1 to 65535).\n{usage}")
    );
    assert_eq!(
        shell.command("server start 65536"),
        format!("'65536' is not a port (1 to 65535).\n{usage}")
    );
    let long = "x".repeat(1000);
    assert!(shell.command(&long).starts_with("Line ignored: longer than "));
    assert!(shell.command("status").contains("an empty line to go back"));
}

#[test]
fn a_new_session_replaces_the_old_one() {
    let machine = Setup::new().ready();
    let first = machine.shell();
    let mut second = machine.shell();
    first.said.wait_for("another session has taken over");
    first.said.finish();
    assert!(second.command("version").starts_with("postern 0."));
}

#[test]
fn exit_ends_the_session_and_another_can_follow() {
    let machine = Setup::new().ready();
    for _ in 0..3 {
        let mut shell = machine.shell();
        shell.send(b"exit\r\n");
        shell.said.finish();
    }
    machine.shell();
}

#[test]
fn telnet_commands_and_noise_are_not_text() {
    let machine = Setup::new().ready();
    let mut shell = machine.shell();
    // Unknown options, a subnegotiation, AYT, and a doubled 255 before a command.
    shell.send(b"\xff\xfb\x2a\xff\xfd\x2a\xff\xfa\x18\x00xterm\xff\xf0\xff\xf6");
    shell.said.wait_for("[Yes]");
    shell.command("");
    assert!(shell.command("version").starts_with("postern 0."));
    shell.send(&super::common::noise(31, 20_000));
    drop(shell);
    assert!(machine.shell().command("version").starts_with("postern 0."));
}

#[test]
fn the_distribution_s_telnet_gets_its_prompt_and_its_echo() {
    let machine = Setup::new().ready();
    let address = machine.at(23);
    let mut command = Command::new("telnet");
    let mut telnet = Process::start(command.args([address.ip().to_string(), address.port().to_string()]));
    telnet.out.wait_for("> ");
    telnet.write(b"echoctl_tls\r\n");
    telnet.out.wait_for("echoctl_tls> ");
    telnet.write(b"help\r\n");
    telnet
        .out
        .wait_for("  server start <port> [netif]             Start echo server.");
}

#[test]
fn the_serial_console_has_editing_completion_and_history() {
    let mut machine = Setup::new().ready();
    machine.type_in("\r");
    let mut mark = machine.console().mark();
    let mut expect = |machine: &mut super::common::machine::Machine, typed: &str, answer: &str| {
        machine.type_in(typed);
        mark = machine.console().wait_from(mark, answer);
    };
    // Tab completes, Backspace and Ctrl-U delete.
    expect(&mut machine, "vers\t\r", "postern 0.");
    expect(&mut machine, "nothing\x15versiom\x7fn\r", "postern 0.");
    // Up: the line before.
    expect(&mut machine, "date\r", " UTC");
    expect(&mut machine, "\x1b[A\r", " UTC");
    // Ctrl-C cancels a line.
    expect(&mut machine, "reboot\x03version\r", "postern 0.");
    expect(&mut machine, "echoctl_\t\r", "echoctl_tls> ");
    expect(&mut machine, "\r", "\n> ");
}

#[test]
fn reports_have_the_expected_content() {
    let machine = Setup::new().ready();
    let mut shell = machine.shell();
    let status = shell.command("status");
    for part in [
        "postern 0.",
        "\nuptime: 00:00:",
        "\nmemory: ",
        "\nentropy: rdrand healthy, ",
        "\nvm0: link up, 1000 Mbit/s, 10.0.2.15/24, gateway 10.0.2.2, DNS 10.0.2.3 (static)\n",
        "\ntls echo server on port 10007 of vm0\n",
        "\nplain echo server on port 10008 of vm0\n",
        "\nconnections: 0 of ",
    ] {
        assert!(status.contains(part), "{part:?}: {status}");
    }
    let log = shell.command("log");
    assert!(log.contains("] postern 0.") && log.contains("ready after "), "{log}");
    let last = shell.command("log 1");
    assert_eq!(last.lines().count(), 1, "{last}");
    assert!(log.ends_with(&last) || last.contains("debug shell"), "{last}");
    assert!(shell.command("date").ends_with(" UTC\n"));
    assert!(shell.command("help").contains("\n  poweroff"));
}

#[test]
fn the_log_can_be_followed() {
    let machine = Setup::new().ready();
    let mut shell = machine.shell();
    shell.send(b"log follow\r\n");
    shell.said.wait_for("Following the log; press any key to stop.");
    let _ = tls::s_client(machine.at(10007), std::path::Path::new("/dev/null"), [""; 0]);
    let mut stream = std::net::TcpStream::connect(machine.at(10007)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    shell
        .said
        .wait_for("handshake failed: not TLS: this is an HTTP request");
    shell.send(b"q");
    shell.prompt();
}

#[test]
fn long_reports_are_complete() {
    let machine = Setup::new().ready();
    let streams: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(machine.at(10008)).unwrap();
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            stream
        })
        .collect();
    let mut shell = Telnet::connect(machine.at(23));
    let status = shell.command("status");
    assert_eq!(
        status.lines().filter(|line| line.contains(" in 1 out 1, ")).count(),
        streams.len(),
        "{status}"
    );
}
