//! RSA uses the heap, within bounds, and nothing else does.

use postern_tls::crypto::key::SigningKey;
use postern_tls::crypto::kx::Group;
#[cfg(feature = "rsa")]
use postern_tls::crypto::sign::SignatureScheme;
use postern_tls::crypto::verify::verify;
use postern_tls::pki::verify::{Mode, PeerIdentity, Purpose, ServerName, Trust};
use postern_tls::{ClientAuth, ClientConfig, ProtocolVersion, ServerConfig, SessionCache, Tickets, Versions};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};
#[cfg(feature = "rsa")]
use std::process::Command;

use super::allocator::{measure, refusing};
use super::pair::{Buffers, CLOCK, Ends, Pki, Rng};

const MESSAGE: &[u8] = b"a handshake";
#[test]
fn keys_signatures_and_chains_need_no_heap() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let pair = || KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params.clone(), pair()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "One");
        let one = CertifiedIssuer::signed_by(params, pair(), &root).unwrap();
        let leaf_key = pair();
        let (secret, spki) = (leaf_key.serialize_der(), leaf_key.subject_public_key_info());
        let leaf = CertificateParams::new(["localhost".to_string()]).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &one).unwrap();
        let (anchors, chain): ([&[u8]; 1], [&[u8]; 2]) = ([root.der()], [leaf.der(), one.der()]);

        let (verdicts, heap) = measure(|| {
            let key = SigningKey::from_der("PRIVATE KEY", &secret).unwrap();
            assert!(key.public_key_matches(&spki));
            let scheme = key.schemes(ProtocolVersion::TLS13)[0];
            let signature = key.sign(scheme, MESSAGE, &mut Rng(1)).unwrap();
            let name = ServerName::parse("localhost");
            let trust = Trust::new(&anchors);
            let wrong_name = Purpose::Server(ServerName::parse("a.example"));
            (
                verify(scheme, ProtocolVersion::TLS13, &spki, MESSAGE, &signature).is_ok(),
                verify(scheme, ProtocolVersion::TLS13, &spki, b"another", &signature).is_ok(),
                trust.verify(&chain, Purpose::Server(name), CLOCK).is_ok(),
                trust
                    .with_mode(Mode::Pinned)
                    .verify(&chain[..1], wrong_name, CLOCK)
                    .is_ok(),
                PeerIdentity::from_leaf(chain[0]).is_ok(),
            )
        });
        assert_eq!(verdicts, (true, false, true, false, true));
        assert_eq!(heap.calls, 0, "{algorithm:?}: {heap:?}");
    }
}

#[test]
fn connections_need_no_heap() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let pki = Pki::new(|| KeyPair::generate_for(algorithm).unwrap());
        let (trust, identities) = (pki.trust(), [pki.identity()]);
        for (versions, group) in [
            (Versions::Tls13, Group::X25519MlKem768),
            (Versions::Tls13, Group::X25519),
            (Versions::Tls13, Group::Secp256r1),
            (Versions::Tls12, Group::Secp384r1),
            (Versions::Tls12, Group::X25519),
        ] {
            // Buffers of the least size have no room for the messages that Ed25519 signs.
            let known = versions == Versions::Tls13 || algorithm != &rcgen::PKCS_ED25519;
            let version = match versions {
                Versions::Tls12 => ProtocolVersion::TLS12,
                _ => ProtocolVersion::TLS13,
            };
            for full in [true, false] {
                let (tickets, sessions) = (Tickets::new(&mut Rng(2), CLOCK.now).unwrap(), SessionCache::new());
                let groups = [group];
                let server = ServerConfig::new(&identities, CLOCK)
                    .unwrap()
                    .with_versions(versions)
                    .with_groups(&groups)
                    .with_tickets(&tickets)
                    .with_client_auth(ClientAuth::Optional(&trust));
                let mut client =
                    ClientConfig::new(&trust, ServerName::parse("localhost"), CLOCK).with_sessions(&sessions);
                if known {
                    client = client.with_identity(pki.identity());
                }
                // The second goes on where the first has ended.
                for resumed in [false, true] {
                    let mut buffers = Buffers::new(full, &client, &server);
                    let seen = refusing(|| {
                        let mut ends = Ends::new(&mut buffers, client, server);
                        ends.live(|_, work| work());
                        let info = ends.server.info();
                        (info.resumed, info.version, info.peer.is_some())
                    });
                    assert_eq!(seen, (resumed, Some(version), known));
                }
            }
        }
    }
}

/// The most bytes of the arena that a signature, a verification and a key may use.
#[cfg(feature = "rsa")]
const RSA_BUDGETS: [(usize, isize, isize, isize); 2] =
    [(2048, 8 << 10, 8 << 10, 4 << 10), (4096, 16 << 10, 16 << 10, 8 << 10)];

#[cfg(feature = "rsa")]
#[test]
fn rsa_keeps_within_its_arena() {
    for (bits, signing, verifying, resident) in RSA_BUDGETS {
        let name = format!("postern-allocations-{}-{bits}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let openssl = |arguments: &str| {
            let output = Command::new("openssl")
                .args(arguments.split(' '))
                .arg(&path)
                .output()
                .unwrap();
            assert!(output.status.success(), "openssl {arguments}");
            output.stdout
        };
        openssl(&format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{bits} -out"));
        let secret = openssl("pkcs8 -topk8 -nocrypt -outform DER -in");
        let spki = openssl("pkey -pubout -outform DER -in");
        std::fs::remove_file(&path).unwrap();

        let (key, heap) = measure(|| SigningKey::from_der("PRIVATE KEY", &secret).unwrap());
        println!(
            "RSA-{bits}: a key keeps {} bytes, and takes {} to read",
            heap.now, heap.peak
        );
        assert!(heap.now <= resident, "{heap:?}");
        for scheme in SignatureScheme::ALL
            .into_iter()
            .filter(|scheme| key.schemes(ProtocolVersion::TLS12).contains(scheme))
        {
            let (signature, heap) = measure(|| key.sign(scheme, MESSAGE, &mut Rng(1)).unwrap());
            println!(
                "RSA-{bits} {scheme}: signing takes {} bytes in {} allocations",
                heap.peak, heap.calls
            );
            assert!(heap.now == 0 && heap.peak <= signing, "{scheme}: {heap:?}");
            let (verdict, heap) = measure(|| verify(scheme, ProtocolVersion::TLS12, &spki, MESSAGE, &signature));
            println!(
                "RSA-{bits} {scheme}: verifying takes {} bytes in {} allocations",
                heap.peak, heap.calls
            );
            assert!(
                verdict.is_ok() && heap.now == 0 && heap.peak <= verifying,
                "{scheme}: {heap:?}"
            );
        }
    }
}
