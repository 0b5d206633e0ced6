//! IPv6 through QEMU's user network: client, reverse connections, proxy.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

use super::client::echoctl_tls;
use super::common::machine::{Machine, Setup};
use super::common::pki::{Session, USER_NETWORK, strings};
use super::common::process::Process;
use super::common::{Scratch, accept, poll};

const LOOPBACK: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A ready machine with an address by router advertisement, which `ip` shows.
fn machine(more: &str) -> Machine {
    let machine = Setup::new()
        .ports(&[23])
        .defconfig(format!("{USER_NETWORK}{more}"))
        .ready();
    poll("an address by router advertisement", || {
        machine.ask("ip").contains("fec0:").then_some(())
    });
    machine
}

/// `openssl s_server` at an address of this host, and its port.
pub(super) fn s_server(at: IpAddr, certificate: PathBuf, key: PathBuf, arguments: &[&str]) -> (Process, u16) {
    let mut command = Command::new("openssl");
    let family = if at.is_ipv6() { "-6" } else { "-4" };
    command
        .args([
            "s_server",
            family,
            "-accept",
            &SocketAddr::new(at, 0).to_string(),
            "-cert",
        ])
        .arg(certificate);
    let server = Process::start(command.arg("-key").arg(key).args(arguments));
    let port = server.out.wait_until("the port", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (_, rest) = text.split_once("ACCEPT ")?;
        rest.split_once('\n')?.0.rsplit(':').next()?.trim().parse().ok()
    });
    (server, port)
}

#[test]
fn an_ipv6_address_must_be_in_the_certificate() {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "CA of a test");
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let scratch = Scratch::new();
    let issue = |name: &str, address: Option<&str>| {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let address = address.map(|text| text.parse::<IpAddr>().unwrap());
        params.subject_alt_names.extend(address.map(SanType::IpAddress));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        (
            scratch.file(&format!("{name}.pem"), certificate),
            scratch.file(&format!("{name}.key"), key.serialize_pem()),
        )
    };
    let ca = strings(&issuer.pem());
    let machine = machine(&format!(".tls = {{\n  .ca_cert =\n{ca},\n  .verify = \"pki\",\n}},\n"));
    let mut shell = echoctl_tls(&machine);
    for (name, address, end) in [
        ("exact", Some("fec0::2"), "Done.\n"),
        (
            "other",
            Some("fec0::3"),
            "Failed: certificate does not match fec0::2: it is for localhost, fec0::3.\n",
        ),
        (
            "none",
            None,
            "Failed: certificate does not match fec0::2: it is for localhost.\n",
        ),
    ] {
        let (certificate, key) = issue(name, address);
        let (server, port) = s_server(LOOPBACK, certificate, key, &["-tlsextdebug"]);
        let answer = shell.command(&format!("client connect fec0::2 {port}"));
        let start = format!("Connecting to TLS server at [fec0::2]:{port}\n{end}");
        assert!(answer.starts_with(&start), "{answer}");
        // An address is not sent as a server name (RFC 6066 §3).
        let said = server.out.wait_until("extensions", |bytes| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.contains("TLS client extension").then_some(text)
        });
        assert!(!said.contains("\"server name\""), "{said}");
        if address != Some("fec0::2") {
            let answer = shell.command(&format!("client connect [fec0::2] {port} name=localhost vm0"));
            let start = format!("Connecting to TLS server at [fec0::2]:{port} vm0\nDone.\n");
            assert!(answer.starts_with(&start), "{answer}");
        }
        let status = machine.ask("status");
        assert!(
            status.contains(&format!("tls echo client connected to [fec0::2]:{port}, in ")),
            "{status}"
        );
        shell = echoctl_tls(&machine);
        assert_eq!(shell.command("client close"), "Done.\n");
    }
}

#[test]
fn the_machine_dials_home_over_ipv6() {
    let session = Session::new("session");
    let credentials = session.identity("client");
    let [_, certificate, _, key] = &credentials[..] else {
        panic!("{credentials:?}")
    };
    let ca = session.ca();
    let required = ["-CAfile", ca.to_str().unwrap(), "-Verify", "1", "-verify_return_error"];
    let (mut home, port) = s_server(LOOPBACK, certificate.into(), key.into(), &required);
    let machine = machine(&format!(
        "{}.echo.reverse = {{ {{ .ipaddr = \"fec0::2\", .port = {port}, .every = 1 }} }},\n",
        session.tls("")
    ));
    machine.wait_for(&format!("tls reverse to [fec0::2]:{port}: serving CN=client"));
    home.write(b"over IPv6\n");
    home.out.wait_for("\nover IPv6\n");
    let mut shell = echoctl_tls(&machine);
    assert_eq!(
        shell.command(&format!("server reverse stop fec0::2 {port}")),
        format!("Stopping TLS server (dialling [fec0::2]:{port})...\nDone.\n")
    );
}

#[test]
fn a_proxy_is_dialled_over_ipv6_and_given_an_address_in_brackets() {
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let machine = machine(&format!(".proxy = {{ .ipaddr = \"fec0::2\", .port = {port} }},\n"));
    machine.wait_for(&format!("proxy: [fec0::2]:{port}"));
    let proxy = std::thread::spawn(move || {
        let mut stream = accept(&listener);
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
            head.push(byte[0]);
        }
        stream
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .unwrap();
        let mut line = [0; 17];
        stream.read_exact(&mut line).unwrap();
        (String::from_utf8(head).unwrap(), line)
    });
    let mut shell = machine.shell();
    shell.command("echoctl");
    let answer = shell.command("client connect 2001:db8::7 443");
    let start = format!("Connecting to server at [2001:db8::7]:443\nThrough the proxy [fec0::2]:{port}\nDone.\n");
    assert_eq!(answer, start);
    assert_eq!(shell.command("client send"), "Sending a message...\nDone.\n");
    let (head, line) = proxy.join().unwrap();
    assert_eq!(
        head,
        "CONNECT [2001:db8::7]:443 HTTP/1.1\r\nHost: [2001:db8::7]:443\r\n\r\n"
    );
    assert_eq!(&line, b"Hello, BitVisor!\n");
}
