//! Stack and heap used by the heaviest handshakes, in both roles.

use std::net::TcpListener;

use postern::crypto::kx::Group;
use postern::pki::verify::{Mode, ServerName, Trust};
use postern::tls::{ClientAuth, ClientConfig, Identity, ServerConfig, Versions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::client::{connected, echoctl_tls};
use super::common::accept;
use super::common::machine::{Machine, Setup};
use super::common::pki::{ECHO, USER_NETWORK, strings};
use super::engine::{self, Peer, forever};
use super::keys::{Heap, numbers, rsa};

/// The groups whose key exchange is heavy, the heaviest first.
const GROUPS: [Group; 2] = [Group::X25519MlKem768, Group::Secp384r1];

/// A chain of RSA-4096 keys: a root, two CAs in between, and a leaf.
struct Chain {
    root: String,
    /// From the leaf upwards.
    sent: String,
    key: String,
}

impl Chain {
    fn new() -> Self {
        // One key serves all CAs. The leaf needs its own, which distinguishes it from the CAs.
        let (key, issuing) = (rsa(4096), rsa(4096).serialize_pem());
        let pair = || KeyPair::from_pem(&issuing).unwrap();
        let called = |name: &str| {
            let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let ca = |name: &str| {
            let mut params = called(name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let root = CertifiedIssuer::self_signed(ca("root"), pair()).unwrap();
        let one = CertifiedIssuer::signed_by(ca("one"), pair(), &root).unwrap();
        let two = CertifiedIssuer::signed_by(ca("two"), pair(), &one).unwrap();
        let leaf = called("leaf").signed_by(&key, &two).unwrap();
        Self {
            root: root.pem(),
            sent: [leaf.pem(), two.pem(), one.pem()].concat(),
            key: key.serialize_pem(),
        }
    }

    fn identity(&self) -> Identity<'static> {
        engine::identity(&self.sent, &self.key)
    }

    /// Strict trust in the root.
    fn trust(&self) -> &'static Trust<'static> {
        forever(engine::trust(&self.root).with_mode(Mode::Strict))
    }
}

#[test]
fn the_heaviest_handshakes_leave_a_quarter_of_the_stack() {
    let chain = Chain::new();
    let [sent, key, root] = [&chain.sent, &chain.key, &chain.root].map(|pem| strings(pem));
    let text = format!(
        "{USER_NETWORK}{ECHO}.tls = {{ .srv_cert =\n{sent},\n.srv_key =\n{key},\n.cli_cert =\n{sent},\n.cli_key =\n{key},\n\
         .ca_cert =\n{root},\n.client_auth = \"required\", .verify = \"strict\", .handshake_timeout = 60 }}",
    );
    let machine = Setup::new().defconfig(text).ready();
    let before = Heap::of(&machine.ask("status"));
    for versions in [Versions::Tls13, Versions::Tls12] {
        for group in &GROUPS {
            if versions == Versions::Tls12 && *group == Group::X25519MlKem768 {
                continue; // TLS 1.3 alone has it
            }
            to_the_server(&machine, &chain, versions, group);
            to_the_client(&machine, &chain, versions, group);
        }
    }
    let status = machine.ask("status");
    let [deepest, size] = numbers(&status, "stack: ")[..] else {
        panic!("{status}")
    };
    let after = Heap::of(&status);
    println!("stack: {deepest} of {size}; {before:?}, then {after:?}");
    assert!(deepest > 0 && deepest < size * 3 / 4, "{deepest} of {size}");
    assert!(after.used == before.used && after.peak < after.size / 2, "{after:?}");
}

/// The machine is the server: it signs and verifies the client's chain.
fn to_the_server(machine: &Machine, chain: &Chain, versions: Versions, group: &'static Group) {
    let config = ClientConfig::new(chain.trust(), ServerName::parse("localhost"), engine::clock())
        .with_identity(chain.identity())
        .with_versions(versions)
        .with_groups(std::slice::from_ref(group));
    let mut peer = Peer::client(machine.at(10007), config);
    peer.handshake().unwrap();
    assert_eq!(peer.info().group, Some(*group));
    peer.assert_echoes(b"heavy");
}

/// The machine is the client: it verifies the server's chain and signs.
fn to_the_client(machine: &Machine, chain: &Chain, versions: Versions, group: &'static Group) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = || {
        let config = ServerConfig::new(forever([chain.identity()]), engine::clock())
            .unwrap()
            .with_client_auth(ClientAuth::Required(chain.trust()))
            .with_versions(versions)
            .with_groups(std::slice::from_ref(group));
        let mut peer = Peer::server(accept(&listener), config);
        peer.handshake().unwrap();
        assert_eq!(peer.info().peer.unwrap().subject.as_str(), "CN=leaf");
        // Until the client closes.
        assert_eq!(peer.read().unwrap(), b"");
    };
    std::thread::scope(|scope| {
        scope.spawn(serve);
        let mut shell = echoctl_tls(machine);
        let agreed = connected(&mut shell, port, " name=localhost");
        assert!(
            agreed.contains(&format!(" {}, server CN=leaf", group.name())),
            "{agreed}"
        );
        assert_eq!(shell.command("client close"), "Done.\n");
    });
}
