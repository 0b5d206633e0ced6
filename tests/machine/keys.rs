//! The TLS server with RSA and ECDSA keys of every size, against OpenSSL.

use std::process::Command;

use postern::pki::verify::ServerName;
use postern::tls::{ClientConfig, Versions};
use rcgen::KeyPair;

use super::common::machine::{Machine, Setup};
use super::common::pki::{ECHO, USER_NETWORK, strings};
use super::common::tls::{echo, s_client};
use super::common::{Scratch, noise};
use super::engine::{self, Peer};
use super::identities::Ca;

/// The name of each identity, OpenSSL's name of its signatures, and the bits of its key.
const IDENTITIES: [(&str, &str, u32); 3] = [
    ("rsa2048.test", "RSA", 2048),
    ("rsa4096.test", "RSA", 4096),
    ("p256.test", "ECDSA", 256),
];

/// An RSA key made by OpenSSL.
pub fn rsa(bits: u32) -> KeyPair {
    let bits = format!("rsa_keygen_bits:{bits}");
    let output = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", &bits])
        .output()
        .unwrap();
    assert!(output.status.success());
    KeyPair::from_pem(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

/// The line of `status` about RSA's arena.
#[derive(Debug, PartialEq, Eq)]
pub struct Heap {
    pub used: usize,
    pub peak: usize,
    pub size: usize,
}

impl Heap {
    pub fn of(status: &str) -> Self {
        let numbers = numbers(status, "rsa heap: ");
        let [used, size, peak] = numbers[..] else {
            panic!("{status}")
        };
        Self { used, peak, size }
    }
}

/// The numbers in the line that begins so.
pub fn numbers(status: &str, start: &str) -> Vec<usize> {
    let line = status.lines().find_map(|line| line.strip_prefix(start));
    let words = line.unwrap_or_else(|| panic!("{start}: {status}")).split(' ');
    words.filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn rsa_and_ecdsa_serve_openssl_by_tls_1_2() {
    let (ca, scratch) = (Ca::new(), Scratch::new());
    let keys = [rsa(2048), rsa(4096), KeyPair::generate().unwrap()];
    let certificates: String = (1..)
        .zip(IDENTITIES.iter().zip(&keys))
        .map(|(serial, ((name, ..), key))| ca.issue(name, serial, key))
        .collect();
    let text = format!(
        "{USER_NETWORK}{ECHO}.tls = {{ .srv_cert =\n{},\n.srv_key =\n{},\n.handshake_timeout = 60 }}",
        strings(&certificates),
        strings(&keys.each_ref().map(KeyPair::serialize_pem).concat()),
    );
    let machine = Setup::new().defconfig(text).ready();
    scratch.file("ca.pem", ca.0.pem());
    all_sizes_come_back(&machine, &scratch);
    sessions_are_resumed(&machine, &scratch);
    what_is_too_old_is_refused(&machine, &scratch);
    sixty_four_rsa_handshakes_are_under_way_at_a_time(&machine, &ca);
    // It was not requested.
    assert!(!machine.console().text().contains("keylog"));
}

fn all_sizes_come_back(machine: &Machine, scratch: &Scratch) {
    let trust = scratch.path("ca.pem");
    let large = noise(64, 64 << 20);
    for (name, signature, bits) in IDENTITIES {
        let arguments = ["-tls1_2", "-servername", name];
        let mut client = s_client(machine.at(10007), &trust, arguments);
        client.write(b"who is it\n");
        client.out.wait_for("\nwho is it\n");
        client.write(b"Q\n");
        assert!(client.wait().success());
        let session = client.out.text();
        for part in [
            &format!("subject=CN = {name}\n"),
            &format!("Server public key is {bits} bit\n"),
            &format!("Peer signature type: {signature}"),
            "Verification: OK\n",
            "Verify return code: 0 (ok)\n",
            "Extended master secret: yes\n",
            "Secure Renegotiation IS supported\n",
            "No client certificate CA names sent\n",
            "New, TLSv1.2, Cipher is ECDHE-",
        ] {
            assert!(session.contains(part), "{part}: {session}");
        }
        for len in [1, 16 << 10, large.len()] {
            let back = echo(machine.at(10007), &trust, &arguments, large[..len].to_vec());
            assert!(back == large[..len], "{name}: of {len} bytes {} came back", back.len());
        }
    }
}

fn sessions_are_resumed(machine: &Machine, scratch: &Scratch) {
    let (trust, session) = (scratch.path("ca.pem"), scratch.path("session.pem"));
    let session = session.to_str().unwrap();
    for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        for (name, ..) in IDENTITIES {
            let common = [option, "-servername", name];
            let mut first = s_client(machine.at(10007), &trust, common.iter().chain(&["-sess_out", session]));
            first.write(b"first\n");
            first.out.wait_for("\nfirst\n");
            first.write(b"Q\n");
            assert!(first.wait().success());
            assert!(first.out.text().contains(&format!("New, {version}, ")));
            let mut again = s_client(machine.at(10007), &trust, common.iter().chain(&["-sess_in", session]));
            again.out.wait_for(&format!("Reused, {version}, "));
            again.write(b"again\n");
            again.out.wait_for("\nagain\n");
            let status = machine.ask("status");
            let line = status.lines().find(|line| line.contains(&format!(" {version} ")));
            assert!(line.is_some_and(|line| line.ends_with(" resumed")), "{status}");
            again.write(b"Q\n");
            assert!(again.wait().success());
        }
    }
    // One connection, and five more that resume its session.
    let mut client = s_client(machine.at(10007), &trust, ["-tls1_2", "-reconnect"]);
    client.write(b"six times\n");
    client.out.wait_for("\nsix times\n");
    client.write(b"Q\n");
    assert!(client.wait().success());
    assert_eq!(client.out.text().matches("Reused, TLSv1.2, ").count(), 5);
}

fn what_is_too_old_is_refused(machine: &Machine, scratch: &Scratch) {
    for (version, ciphers, alert) in [
        ("-tls1_1", "ALL:@SECLEVEL=0", "alert protocol version"),
        ("-tls1_2", "ECDHE-RSA-AES128-SHA", "alert handshake failure"),
        ("-tls1_2", "ECDHE-RSA-AES256-SHA384", "alert handshake failure"),
        ("-tls1_2", "DHE-RSA-AES128-GCM-SHA256", "alert handshake failure"),
        ("-tls1_2", "AES128-GCM-SHA256:AES128-SHA", "alert handshake failure"),
    ] {
        let arguments = [version, "-cipher", ciphers, "-servername", "rsa2048.test"];
        let mut client = s_client(machine.at(10007), &scratch.path("ca.pem"), arguments);
        client.err.wait_for(alert);
        assert!(!client.wait().success());
    }
}

/// The server has signed for all of them before any of them continues.
fn sixty_four_rsa_handshakes_are_under_way_at_a_time(machine: &Machine, ca: &Ca) {
    let count = |status: &str, state: &str| {
        let lines = status.lines().filter(|line| line.contains(":10007 tls "));
        lines.filter(|line| line.contains(state)).count()
    };
    let before = Heap::of(&machine.ask("status"));
    let trust = engine::trust(&ca.0.pem());
    let mut peers: Vec<Peer> = (0..64)
        .map(|number| {
            let (name, ..) = IDENTITIES[usize::from(number % 16 == 0)];
            let version = [Versions::Tls12, Versions::Tls13][number / 2 % 2];
            let config = ClientConfig::new(trust, ServerName::parse(name), engine::clock());
            Peer::client(machine.at(10007), config.with_versions(version))
        })
        .collect();
    peers.iter().for_each(Peer::await_answer);
    let status = machine.ask("status");
    assert_eq!(count(&status, " handshake "), peers.len(), "{status}");
    for peer in &mut peers {
        peer.handshake().unwrap();
    }
    for peer in &mut peers {
        peer.assert_echoes(b"one of many");
    }
    let status = machine.ask("status");
    assert_eq!(count(&status, " established "), peers.len(), "{status}");
    let after = Heap::of(&status);
    println!("64 handshakes: {before:?}, then {after:?}");
    // Only the keys remain; one signature is computed at a time, however many are pending.
    assert_eq!(after.used, before.used, "{status}");
    assert!(
        after.peak <= after.used + (16 << 10) && after.peak < after.size / 2,
        "{after:?}"
    );
}
