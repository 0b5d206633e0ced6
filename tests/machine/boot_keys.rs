//! Keys made at boot, and their certificates by the wizard and by OpenSSL.

use std::net::TcpListener;
use std::process::Command;

use rcgen::{CertificateParams, DnType, KeyPair};

use super::client::s_server;
use super::common::accept;
use super::common::machine::{Machine, Setup};
use super::common::pki::{ECHO, USER_NETWORK, strings};
use super::common::process::Process;
use super::common::telnet::Telnet;
use super::common::tls::{assert_serves, s_client};
use super::common::wizard::{Wizard, end};
use super::identities::Ca;

/// Enables `tls reload` on telnet.
const RELOAD: &str = ".vmm.telnet_reload = 1,\n";

/// What a CA knows about its requests.
const NAMES: &str = ".srv_key = \"generate\", .names = { \"localhost\", \"10.0.2.15\", \"2001:db8::15\" },";

/// Why TLS is closed.
const CLOSED: &str =
    "no certificate for the server's key yet; have the request that `tls csr` prints signed, then use `tls reload`";

fn setup(tls: &str, more: &str) -> Setup {
    let text = format!("{USER_NETWORK}{RELOAD}{ECHO}{more}.tls = {{ {tls} }},\n");
    Setup::new().ports(&[23, 992, 10007, 10008]).defconfig(text)
}

/// The request that the shell prints, and the text before it.
fn request(shell: &mut Telnet, command: &str) -> (String, String) {
    let answer = shell.command(command);
    let at = answer.find("-----BEGIN CERTIFICATE REQUEST-----\n").expect(&answer);
    assert!(answer.ends_with("-----END CERTIFICATE REQUEST-----\n"), "{answer}");
    let (before, pem) = answer.split_at(at);
    (before.to_owned(), pem.to_owned())
}

/// The hash after `sha256:`.
fn hash(text: &str) -> String {
    let (_, rest) = text.split_once("sha256:").expect(text);
    rest.chars().take_while(char::is_ascii_hexdigit).collect()
}

fn paste(shell: &mut Telnet, text: &str) -> String {
    shell.send(b"tls reload\r\n");
    shell.send(text.as_bytes());
    shell.command("\r\n.")
}

/// The ways to have a request signed: with a certificate of a server or a client.
type Signer = fn(&Wizard, &str, &str) -> String;

fn by_wizard(wizard: &Wizard, request: &str, usage: &str) -> String {
    wizard.scratch.file("request.pem", request);
    let (_, err) = wizard.run(&["sign", "pki", usage, "request.pem", "--usage", usage, "--yes"]);
    assert!(err.contains("key: p256, hash "), "{err}");
    std::fs::read_to_string(wizard.file(&format!("{usage}.pem"))).unwrap()
}

/// As docs/keys.md has it.
fn by_openssl(wizard: &Wizard, request: &str, usage: &str) -> String {
    wizard.scratch.file("request.pem", request);
    let (status, text) = wizard.openssl("req -in ../request.pem -verify -noout -text");
    let purpose = if usage == "server" {
        "TLS Web Server"
    } else {
        "TLS Web Client"
    };
    assert!(status == 0 && text.contains(purpose), "{text}");
    let (status, text) = wizard.openssl(
        "x509 -req -in ../request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -copy_extensions copyall -out o.pem",
    );
    assert_eq!(status, 0, "{text}");
    std::fs::read_to_string(wizard.file("o.pem")).unwrap()
}

#[test]
fn a_key_made_at_boot_is_certified_and_served() {
    for sign in [by_wizard as Signer, by_openssl] {
        let wizard = Wizard::init(&[]);
        let ca = std::fs::read_to_string(wizard.file("ca.pem")).unwrap();
        let tls = format!("{NAMES} .verify = \"strict\", .ca_cert =\n{},\n", strings(&ca));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let reverse = format!(".echo.reverse = {{ {{ .ipaddr = {{ 10, 0, 2, 2 }}, .port = {port}, .every = 1 }} }},\n");
        let machine = setup(&tls, &format!(".vmm.tls_dbgsh = 992,\n{reverse}")).ready();
        machine.wait_for(&format!(".echo.reverse 1: 10.0.2.2:{port} is not dialled: {CLOSED}"));
        let console = machine.console().text();
        let hash = hash(&console);
        let made = format!("tls: server key made at boot: ECDSA P-256, sha256:{hash}");
        assert!(hash.len() == 64 && console.contains(&made), "{console}");
        for what in [
            "tls echo server on port 10007 not started",
            "debug shell over TLS not started yet",
        ] {
            assert!(console.contains(&format!("{what}: {CLOSED}")), "{console}");
        }
        let mut shell = machine.shell();
        let status = shell.command("status");
        assert!(status.contains(&format!("\nTLS is closed: {CLOSED}\n")), "{status}");
        assert!(
            !status.contains("on port 10007") && status.contains("on port 10008"),
            "{status}"
        );
        let tls = shell.command("tls");
        assert!(
            tls.contains(&format!(
                "\nserves nothing: {CLOSED}\nserver key made at boot: sha256:{hash}\n"
            )),
            "{tls}"
        );
        let start = shell.command("echoctl_tls") + &shell.command("server start 10009") + &shell.command("");
        assert!(start.contains(CLOSED), "{start}");
        let mut refused = s_client(machine.at(10007), &wizard.file("ca.pem"), ["-quiet"]);
        assert!(!refused.wait().success());

        let (before, csr) = request(&mut shell, "tls csr");
        assert_eq!(
            before,
            format!(
                "Request for the server key of this boot, sha256:{hash}.\nA restart makes another key. Have this signed, then \
                 load the certificate with `tls reload`.\n"
            )
        );
        let answer = shell.command("tls csr client");
        assert_eq!(
            answer,
            "Failed: the client's key was not made at boot; set .tls.cli_key = \"generate\" and restart.\n"
        );
        assert!(shell.command("tls csr x").starts_with("usage:\n  tls csr [client]"));

        // The certificate of another key is refused, and nothing changes.
        let foreign = Ca::new().issue("localhost", 1, &KeyPair::generate().unwrap());
        let answer = paste(&mut shell, &foreign);
        let why = "Failed: 1:1: .tls.srv_cert: the certificate is not for the key that was made at this boot. Sign the request \
                   that `tls csr` prints now. The current configuration is unchanged.\n";
        assert!(answer.contains(why), "{answer}");

        let certificate = sign(&wizard, &csr, "server");
        let answer = paste(&mut shell, &certificate);
        assert!(answer.contains("\nserves CN=localhost, serial "), "{answer}");
        assert!(
            answer.contains(&format!("\nserver key made at boot: sha256:{hash}\n")),
            "{answer}"
        );
        assert!(answer.ends_with("\nDone.\n") && !answer.contains("Warning"), "{answer}");
        machine.wait_for("tls echo server listens on port 10007");
        machine.wait_for("debug shell over TLS on port 992 of vm0");
        drop(accept(&listener));
        assert_serves(machine.at(10007), &wizard.file("ca.pem"));
        assert!(!shell.command("status").contains("TLS is closed"));
        let (status, text) = wizard.openssl(&format!(
            "verify -x509_strict -CAfile ca.pem -verify_ip 10.0.2.15 {}",
            if wizard.file("o.pem").exists() {
                "o.pem"
            } else {
                "server.pem"
            }
        ));
        assert_eq!(status, 0, "{text}");
        // The shell over TLS is there too.
        wizard.run(&["client", "pki", "operator"]);
        let identity = wizard.identity("operator");
        let mut secure = s_client(
            machine.at(992),
            &wizard.file("ca.pem"),
            identity.iter().map(String::as_str).chain(["-quiet"]),
        );
        secure.out.wait_for("> ");
        secure.write(b"tls csr\n");
        secure.out.wait_for("-----END CERTIFICATE REQUEST-----");

        replace(&machine, &mut shell, &wizard, sign, &certificate);
    }
}

/// A certificate for the same key is loaded again, then another key with its certificate.
fn replace(machine: &Machine, shell: &mut Telnet, wizard: &Wizard, sign: Signer, certificate: &str) {
    let again = sign(wizard, &request(shell, "tls csr").1, "server");
    assert!(again != certificate && paste(shell, &again).ends_with("\nDone.\n"));
    assert_serves(machine.at(10007), &wizard.file("ca.pem"));
    // A pasted key takes its place.
    wizard.run(&["server", "pki", "pasted"]);
    let read = |name| std::fs::read_to_string(wizard.file(name)).unwrap();
    let answer = paste(shell, &(read("pasted.pem") + &read("pasted.key")));
    assert!(
        answer.contains("\nserves CN=pasted, ") && !answer.contains("made at boot"),
        "{answer}"
    );
    assert_serves(machine.at(10007), &wizard.file("ca.pem"));
    let answer = shell.command("tls csr");
    assert_eq!(
        answer,
        "Failed: the server's key was not made at boot; set .tls.srv_key = \"generate\" and restart.\n"
    );
}

/// The machine connects to an `s_server` that asks for a certificate; what `s_server` prints of it.
fn connects(shell: &mut Telnet, wizard: &Wizard, demand: &str) -> (String, Process) {
    let ca = wizard.file("ca.pem");
    let arguments = [demand, "1", "-CAfile", ca.to_str().unwrap(), "-verify_return_error"];
    let (server, port) = s_server(wizard.file("host.pem"), wizard.file("host.key"), &arguments);
    shell.command("echoctl_tls");
    let answer = shell.command(&format!("client connect 10.0.2.2 {port} name=localhost"));
    shell.command("client close");
    shell.command("");
    (answer, server)
}

#[test]
fn the_client_s_key_is_certified_and_presented() {
    for sign in [by_wizard as Signer, by_openssl] {
        let wizard = Wizard::init(&[]);
        wizard.run(&["server", "pki", "host"]);
        let ca = std::fs::read_to_string(wizard.file("ca.pem")).unwrap();
        let tls = format!(
            "{NAMES} .cli_key = \"generate\", .subject = \"CN=machine 7,O=Example\", .ca_cert =\n{},\n",
            strings(&ca)
        );
        let machine = setup(&tls, "").ready();
        let mut shell = machine.shell();
        // Two keys.
        let (of_server, _) = request(&mut shell, "tls csr");
        let (before, csr) = request(&mut shell, "tls csr client");
        assert!(
            before.starts_with("Request for the client key of this boot, sha256:"),
            "{before}"
        );
        assert_ne!(hash(&before), hash(&of_server));
        // Without a certificate it presents none.
        let (answer, server) = connects(&mut shell, &wizard, "-verify");
        assert!(answer.contains("Done.\n"), "{answer}");
        server.out.wait_for("CIPHER is ");
        assert!(!server.out.text().contains("machine 7"));
        let _refusal = connects(&mut shell, &wizard, "-Verify");
        machine.wait_for("the server refused: certificate_required");

        let answer = paste(&mut shell, &sign(&wizard, &csr, "client"));
        assert!(
            answer.contains("\nclient shows CN=machine 7,O=Example, serial "),
            "{answer}"
        );
        assert!(answer.contains(&format!("\nserves nothing: {CLOSED}\n")), "{answer}");
        assert!(answer.ends_with("\nDone.\n") && !answer.contains("Warning"), "{answer}");
        let (answer, server) = connects(&mut shell, &wizard, "-Verify");
        assert!(answer.contains("Done.\n"), "{answer}");
        server.out.wait_for("subject=O = Example, CN = machine 7");
        // The server's comes later.
        let (_, csr) = request(&mut shell, "tls csr");
        let answer = paste(&mut shell, &sign(&wizard, &csr, "server"));
        assert!(answer.contains("\nserves CN=machine 7,O=Example, serial "), "{answer}");
        assert!(
            answer.contains("\nclient shows CN=machine 7,O=Example, serial "),
            "{answer}"
        );
        assert_serves(machine.at(10007), &wizard.file("ca.pem"));
    }
}

#[test]
fn a_self_signed_certificate_can_be_pinned() {
    let machine = setup(&format!("{NAMES} .self_signed = 1, .selftest = 1,"), "").ready();
    let console = machine.console().text();
    let hash = hash(&console);
    let wizard = Wizard::init(&[]);
    let mut shell = machine.shell();
    let tls = shell.command("tls");
    assert!(
        tls.contains("\nserves CN=localhost, serial ") && tls.contains(", ECDSA P-256, self-signed\n"),
        "{tls}"
    );
    assert!(
        tls.contains(&format!("\nserver key made at boot: sha256:{hash}\n")),
        "{tls}"
    );
    // Taken from the connection, compared with the hash on the console, then trusted.
    let line = format!(
        "openssl s_client -connect {} </dev/null 2>/dev/null | openssl x509 -out {}",
        machine.at(10007),
        wizard.file("own.pem").display()
    );
    let (status, _, err) = end(Command::new("sh").args(["-c", &line]));
    assert_eq!(status, 0, "{err}");
    let line = "openssl x509 -noout -pubkey -in \"$0\" | openssl pkey -pubin -outform DER | sha256sum";
    let (_, shown, _) = end(Command::new("sh").args(["-c", line]).arg(wizard.file("own.pem")));
    assert!(shown.starts_with(&hash), "{shown}");
    assert_serves(machine.at(10007), &wizard.file("own.pem"));
    // Another one takes its place.
    let (_, csr) = request(&mut shell, "tls csr");
    let answer = paste(&mut shell, &by_wizard(&wizard, &csr, "server"));
    assert!(
        answer.contains("\nserves CN=localhost, serial ") && !answer.contains("self-signed"),
        "{answer}"
    );
    assert_serves(machine.at(10007), &wizard.file("ca.pem"));
}

#[test]
fn each_boot_makes_another_key() {
    let hashes = [(); 2].map(|()| {
        let mut machine = setup(NAMES, "").no_exit_device().restarts().ready();
        let first = hash(&machine.console().text());
        let mark = machine.console().mark();
        machine.type_in("reboot\r");
        let ready = machine.console().wait_from(mark, "server key made at boot: ");
        machine.console().wait_from(ready, "ready after ");
        (first, hash(&machine.console().text_from(mark)))
    });
    let [(a, b), (c, d)] = hashes;
    let mut all = [a, b, c, d];
    all.sort();
    assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "{all:?}");
}

#[test]
fn without_entropy_no_key_is_made() {
    let machine = setup(&format!("{NAMES} .self_signed = 1,"), "").cpu("qemu64").ready();
    machine.wait_for("tls: no keys were made: no entropy: ");
    let mut shell = machine.shell();
    let answer = shell.command("tls csr");
    assert!(
        answer.starts_with("Failed: no entropy: use a CPU with RDRAND"),
        "{answer}"
    );
    let answer = shell.command("status");
    assert!(
        answer.contains(": no TLS\n") && !answer.contains("on port 10007"),
        "{answer}"
    );
}

#[test]
fn without_a_date_nothing_is_signed() {
    let machine = setup(&format!("{NAMES} .self_signed = 1,"), "")
        .arguments(&["-rtc", "base=2001-02-03T04:05:06"])
        .ready();
    machine.wait_for("tls: .tls.self_signed: no certificate was made: the date is not known");
    machine.wait_for("tls echo server on port 10007 not started: the real-time clock is wrong");
}

#[test]
fn a_defconfig_with_generate_keeps_the_key_of_this_boot() {
    let wizard = Wizard::init(&[]);
    let ca = strings(&std::fs::read_to_string(wizard.file("ca.pem")).unwrap());
    let machine = setup(&format!("{NAMES} .ca_cert =\n{ca},\n"), "").ready();
    let mut shell = machine.shell();
    let (before, csr) = request(&mut shell, "tls csr");
    let certificate = by_wizard(&wizard, &csr, "server");
    let text = |tls: &str| format!(".tls = {{ {NAMES} .ca_cert =\n{ca},\n{tls} }}\n");
    let answer = paste(&mut shell, &text(""));
    assert!(answer.contains("there is no .tls.srv_cert in it"), "{answer}");
    let answer = paste(&mut shell, &text(&format!(".srv_cert =\n{},\n", strings(&certificate))));
    assert!(
        answer.contains(&format!("server key made at boot: sha256:{}", hash(&before))),
        "{answer}"
    );
    assert!(answer.ends_with("\nDone.\n"), "{answer}");
    assert_serves(machine.at(10007), &wizard.file("ca.pem"));
    // Of a machine that has none, it asks for a restart.
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "localhost");
    let key = KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap().pem();
    assert!(paste(&mut shell, &(own.clone() + &key.serialize_pem())).ends_with("\nDone.\n"));
    let answer = paste(&mut shell, &text(&format!(".srv_cert =\n{},\n", strings(&own))));
    assert!(
        answer.contains(".tls.srv_key: keys are made at boot, and the current configuration has none"),
        "{answer}"
    );
}
