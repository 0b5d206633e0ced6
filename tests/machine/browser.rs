//! Requests that a web page can make a browser send to a port of the machine.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use super::common::machine::{Machine, Setup};
use super::common::pki::{ECHO, Session, USER_NETWORK};
use super::common::tls::s_client;
use super::common::{LIMIT, Scratch};

/// The log line for a request at the debug shell.
const ENDED: &str = "HTTP request instead of a command";

/// The whole answer to a request.
fn answer(machine: &Machine, port: u16, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(machine.at(port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // The end of the connection, or a reset if data was unread.
    let _ = stream.read_to_end(&mut answer);
    let _ = stream.shutdown(Shutdown::Both);
    answer
}

#[test]
fn an_http_request_to_a_text_port_is_neither_run_nor_echoed() {
    let machine = Setup::new().ready();
    let request = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 24\r\n\r\n\r\nserver stop\r\npoweroff\r\n";
    assert!(
        !answer(&machine, 23, request)
            .windows(9)
            .any(|bytes| bytes == b"Switching")
    );
    machine.wait_for(&format!(": debug shell closed: {ENDED}"));
    assert_eq!(answer(&machine, 10008, request), b"");
    machine.wait_for("HTTP request on an echo port");
    assert!(machine.ask("version").starts_with("postern "));
}

#[test]
fn tls_ports_refuse_other_application_protocols() {
    let session = Session::new("session");
    let text = format!(
        "{USER_NETWORK}{ECHO}.vmm.tls_dbgsh = 992,\n{}",
        session.tls(".client_auth = \"off\",")
    );
    let machine = Setup::new().ports(&[23, 992, 10007]).defconfig(text).ready();
    let identity = session.identity("client");
    let come = |port, more: &[&str]| {
        let arguments = identity.iter().map(String::as_str).chain(["-quiet"]);
        s_client(machine.at(port), &session.ca(), arguments.chain(more.iter().copied()))
    };
    for port in [10007, 992] {
        // A browser's ALPN (RFC 7301 §3.2: no_application_protocol).
        let mut browser = come(port, &["-alpn", "h2,http/1.1"]);
        browser.err.wait_for("no application protocol");
        assert!(!browser.wait().success());
        // A request under the certificate of the page.
        let mut client = come(port, &[]);
        client.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\npoweroff\r\n");
        client.wait();
        assert!(!client.out.text().contains("HTTP/1.1"), "{}", client.out.text());
    }
    machine.wait_for(&format!("debug shell over TLS refused: {ENDED}"));
    // The port's own protocol, or none.
    for more in [&["-alpn", "echo"][..], &[]] {
        let mut client = come(10007, more);
        client.write(b"are you there\n");
        client.out.wait_for("are you there\n");
    }
    let shell = come(992, &["-alpn", "telnet"]);
    shell.out.wait_for("> ");
}

/// A foreign page, in a browser on the host. `qemu/test browser` installs Chromium and runs this.
#[test]
#[ignore = "takes Chromium: qemu/test browser"]
fn chromium_cannot_drive_the_debug_shell() {
    let (machine, scratch) = (Setup::new().ready(), Scratch::new());
    let page = format!(
        "<!DOCTYPE html><title>attack</title><script>
        const send = (port) => fetch(`http://127.0.0.1:${{port}}/`,
            {{method: 'POST', mode: 'no-cors', body: '\\r\\nserver stop\\r\\npoweroff\\r\\n'}}).catch(() => 0);
        Promise.all([send({}), send({})]).then(() => document.title = 'sent');
        </script>",
        machine.at(23).port(),
        machine.at(10008).port()
    );
    let page = scratch.file("attack.html", page);
    super::trace::chromium(
        &scratch.path(""),
        &["--dump-dom", &format!("file://{}", page.display())],
    );
    machine.wait_for(&format!(": debug shell closed: {ENDED}"));
    machine.wait_for("HTTP request on an echo port");
    assert!(machine.ask("version").starts_with("postern "));
}
