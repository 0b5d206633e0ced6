//! Certificates by the guide's OpenSSL commands, and `openssl ca -gencrl`.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;

const ROOT: &str = "\
distinguished_name = req_distinguished_name
x509_extensions = v3_ca
prompt = no
[ req_distinguished_name ]
CN = RootCA
[ v3_ca ]
basicConstraints = critical, CA:TRUE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always, issuer:always
keyUsage = critical, cRLSign, digitalSignature, keyCertSign
";

const SERVER: &str = "\
[req]
default_bits = 2048
distinguished_name = req_distinguished_name
x509_extensions = v3_server
prompt = no
[ req_distinguished_name ]
C = JP
ST = TOKYO
L = TOKYO
O = ABCCOMPANY
CN = *
[ v3_server ]
basicConstraints = critical, CA:TRUE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always, issuer:always
keyUsage = critical, nonRepudiation, digitalSignature, keyEncipherment, keyAgreement
extendedKeyUsage = critical, serverAuth
[ good ]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:10.0.2.15
";

const CA: &str = "\
[ ca ]
default_ca = ours
[ ours ]
database = index.txt
default_md = sha256
default_crl_days = 30
";

fn now() -> Clock {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Clock {
        now,
        floor: NOW - 365 * DAY,
    }
}

/// The guide's CA and certificate request, with keys that `genpkey` makes of `algorithm`.
fn guide(algorithm: &str) -> Dir {
    let dir = Dir::new();
    dir.write("RootCA.cnf", ROOT);
    dir.write("server.cnf", SERVER);
    dir.openssl(&std::format!("genpkey -algorithm {algorithm} -out RootCA.key"));
    dir.openssl("req -new -x509 -days 3650 -key RootCA.key -out RootCA.pem -config RootCA.cnf");
    dir.openssl(&std::format!("genpkey -algorithm {algorithm} -out server.key"));
    dir.openssl("req -new -key server.key -out server.csr -config server.cnf");
    dir
}

/// The guide's last command, with `options` appended.
fn issue(dir: &Dir, options: &str) -> Vec<u8> {
    dir.openssl(&std::format!(
        "x509 -req -days 365 -in server.csr -CA RootCA.pem -CAkey RootCA.key -CAcreateserial -out server.pem {options}"
    ));
    dir.openssl("x509 -in server.pem -outform DER -out server.der");
    dir.read("server.der")
}

fn root_der(dir: &Dir) -> Vec<u8> {
    dir.openssl("x509 -in RootCA.pem -outform DER -out RootCA.der");
    dir.read("RootCA.der")
}

/// Accepts the guide's certificate, revokes it, and requires its refusal.
fn follow_the_guide(algorithm: &str) {
    let dir = guide(algorithm);
    let root = root_der(&dir);
    let anchors = [&root[..]];
    let trust = Trust::new(&anchors);
    let both = |trust: Trust<'_>, leaf: &[u8], purpose: Purpose<'_>| {
        let verify = |trust: Trust<'_>| trust.verify(&[leaf], purpose, now());
        (verify(trust), verify(trust.with_mode(Mode::Pinned)))
    };

    let leaf = issue(&dir, "-extensions v3_server");
    // OpenSSL before 3.4 makes version 1 of this, as the extensions are in no file that it was given.
    if Certificate::from_der(&leaf).unwrap().version == 1 {
        assert_eq!(
            both(trust, &leaf, ANY_SERVER),
            (Err(CertificateError::V1Certificate { pinned: true }), Ok(()))
        );
    } else {
        assert_eq!(both(trust, &leaf, ANY_SERVER), (Ok(()), Ok(())));
    }
    let (_, named) = both(trust, &leaf, server("localhost"));
    assert_eq!(
        named.unwrap_err().to_string(),
        "certificate does not match localhost: it is for CN=*"
    );

    let as_meant = issue(&dir, "-extfile server.cnf -extensions v3_server");
    assert_eq!(
        both(trust, &as_meant, ANY_SERVER),
        (Err(CertificateError::CaUsedAsEndEntity { pinned: true }), Ok(()))
    );
    assert!(matches!(
        both(trust, &as_meant, Purpose::Client).1,
        Err(CertificateError::WrongPurpose { .. })
    ));

    let good = issue(&dir, "-extfile server.cnf -extensions good");
    for name in ["localhost", "10.0.2.15"] {
        assert_eq!(both(trust, &good, server(name)), (Ok(()), Ok(())));
    }

    // `openssl ca` makes lists of version 1 by default.
    dir.write("ca.cnf", CA);
    dir.write("index.txt", "");
    dir.write(
        "v2.cnf",
        std::format!("{CA}crl_extensions = crl\n[ crl ]\nauthorityKeyIdentifier = keyid\n"),
    );
    dir.openssl("ca -config ca.cnf -keyfile RootCA.key -cert RootCA.pem -revoke server.pem");
    for (config, version) in [("ca.cnf", 1), ("v2.cnf", 2)] {
        dir.openssl(&std::format!(
            "ca -config {config} -keyfile RootCA.key -cert RootCA.pem -gencrl -out crl.pem"
        ));
        dir.openssl("crl -in crl.pem -outform DER -out crl.der");
        let crl = dir.read("crl.der");
        assert_eq!(crl::Crl::from_der(&crl).unwrap().version, version);
        let crls = [&crl[..]];
        let (strict, pinned) = both(trust.with_crls(&crls), &good, ANY_SERVER);
        assert!(matches!(strict, Err(CertificateError::Revoked { .. })), "{strict:?}");
        assert_eq!(strict, pinned);
        assert_eq!(both(trust.with_crls(&crls), &as_meant, ANY_SERVER).1, Ok(()));
    }
}

#[test]
fn the_guide_works_with_ecdsa() {
    follow_the_guide("EC -pkeyopt ec_paramgen_curve:P-256");
}

#[cfg(feature = "rsa")]
#[test]
fn the_guide_works_with_rsa() {
    follow_the_guide("RSA");
}

#[cfg(feature = "rsa")]
#[test]
fn rsa_pss_certificates_pass() {
    let dir = guide("RSA");
    let root = root_der(&dir);
    for hash in ["sha256", "sha384", "sha512"] {
        let leaf = issue(
            &dir,
            &std::format!(
                "-extfile server.cnf -extensions good -{hash} -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest"
            ),
        );
        let verdict = Trust::new(&[&root[..]]).verify(&[&leaf], server("localhost"), now());
        assert_eq!(verdict, Ok(()), "{hash}");
    }
}

#[cfg(feature = "default")]
#[test]
fn ed25519_works_and_weak_or_unknown_algorithms_do_not() {
    let text = "certificate is signed with an unsupported algorithm or key";
    for (algorithm, options, good) in [
        ("ED25519", "", true),
        ("EC -pkeyopt ec_paramgen_curve:P-384", "-sha256", true),
        ("EC -pkeyopt ec_paramgen_curve:P-521", "", false),
        ("EC -pkeyopt ec_paramgen_curve:P-256", "-sha1", false),
        ("EC -pkeyopt ec_paramgen_curve:P-256", "-sha512", true),
        ("RSA -pkeyopt rsa_keygen_bits:1024", "", false),
        ("RSA", "-sha256", cfg!(feature = "rsa")),
        ("RSA", "-sha1", false),
    ] {
        let dir = guide(algorithm);
        let root = root_der(&dir);
        let leaf = issue(&dir, &std::format!("-extfile server.cnf -extensions good {options}"));
        for mode in [Mode::Strict, Mode::Pinned] {
            let verdict = Trust::new(&[&root[..]])
                .with_mode(mode)
                .verify(&[&leaf], ANY_SERVER, now());
            match verdict {
                Ok(()) => assert!(good, "{algorithm} {options}"),
                // The CA itself cannot be used.
                Err(CertificateError::UnusableAnchor {
                    fault: AnchorFault::Key(_),
                    ..
                }) => assert!(!good, "{algorithm} {options}"),
                Err(error) => assert_eq!(
                    (error.to_string().as_str(), good),
                    (text, false),
                    "{algorithm} {options}"
                ),
            }
        }
    }
}

#[test]
fn version_1_roots_are_accepted() {
    let dir = guide("EC -pkeyopt ec_paramgen_curve:P-256");
    dir.openssl("req -new -key RootCA.key -out RootCA.csr -config RootCA.cnf");
    dir.openssl("x509 -req -days 365 -in RootCA.csr -signkey RootCA.key -out RootCA.pem");
    let root = root_der(&dir);
    let leaf = issue(&dir, "-extfile server.cnf -extensions good");
    assert_eq!(
        Trust::new(&[&root[..]]).verify(&[&leaf], server("localhost"), now()),
        Ok(())
    );
    let leaf = issue(&dir, "");
    let trust = Trust::new(&[&root[..]])
        .with_mode(Mode::Pinned)
        .verify(&[&leaf], ANY_SERVER, now());
    assert_eq!(trust, Ok(()));
}

/// A CA may use a hash function other than the one of its curve's size, for certificates and lists.
#[cfg(feature = "default")]
#[test]
fn ecdsa_signatures_with_any_hash_pass() {
    for curve in ["P-256", "P-384"] {
        let dir = guide(&std::format!("EC -pkeyopt ec_paramgen_curve:{curve}"));
        let root = root_der(&dir);
        dir.write("ca.cnf", CA);
        dir.write("index.txt", "");
        for hash in ["sha256", "sha384", "sha512"] {
            let leaf = issue(&dir, &std::format!("-extfile server.cnf -extensions good -{hash}"));
            dir.openssl(&std::format!(
                "ca -config ca.cnf -keyfile RootCA.key -cert RootCA.pem -gencrl -md {hash} -out crl.pem"
            ));
            dir.openssl("crl -in crl.pem -outform DER -out crl.der");
            let crl = dir.read("crl.der");
            assert_eq!(
                crl::check(&crl, [&root[..]].into_iter(), now().now),
                Ok(crl::CrlIssuer::Configured)
            );
            for mode in [Mode::Strict, Mode::Pinned] {
                let (anchors, crls) = ([&root[..]], [&crl[..]]);
                let trust = Trust::new(&anchors).with_crls(&crls).with_mode(mode);
                let verdict = trust.verify(&[&leaf], server("localhost"), now());
                assert_eq!(verdict, Ok(()), "{curve} {hash}");
            }
        }
    }
}

/// A leaf with a short RSA key or an unsupported key type is refused for that.
#[test]
fn unsupported_leaf_keys_are_named() {
    let dir = guide("EC -pkeyopt ec_paramgen_curve:P-256");
    let root = root_der(&dir);
    for (algorithm, text) in [
        (
            "RSA -pkeyopt rsa_keygen_bits:1024",
            "certificate's key is RSA with 1024 bits (2048 to 4096 are supported)",
        ),
        (
            "EC -pkeyopt ec_paramgen_curve:P-521",
            "certificate's key has an unsupported type (supported: P-256, P-384, Ed25519, RSA)",
        ),
    ] {
        if cfg!(not(feature = "rsa")) {
            continue;
        }
        dir.openssl(&std::format!("genpkey -algorithm {algorithm} -out server.key"));
        dir.openssl("req -new -key server.key -out server.csr -config server.cnf");
        let leaf = issue(&dir, "-extfile server.cnf -extensions good");
        for mode in [Mode::Strict, Mode::Pinned] {
            let verdict = Trust::new(&[&root[..]])
                .with_mode(mode)
                .verify(&[&leaf], ANY_SERVER, now());
            assert_eq!(verdict.unwrap_err().to_string(), text);
        }
    }
}

/// RSA signatures whose algorithm has no parameters, not even NULL (RFC 4055 §5).
#[cfg(feature = "rsa")]
#[test]
fn rsa_signatures_without_parameters_pass() {
    let dir = guide("RSA");
    let root = root_der(&dir);
    let with_null = issue(&dir, "-extfile server.cnf -extensions good");
    let with_null = Certificate::from_der(&with_null).unwrap();
    let null: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
    let none: &[u8] = b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";
    // The content of the SEQUENCE, of which the algorithm is a part.
    let content = &with_null.tbs[4..];
    let at = content.windows(null.len()).position(|part| part == null).unwrap();
    let tbs = element(0x30, &[&content[..at], none, &content[at + null.len()..]]);
    dir.write("tbs.der", &tbs);
    dir.openssl("dgst -sha256 -sign RootCA.key -out signature tbs.der");
    let signature = dir.read("signature");
    let bare = element(0x30, &[&tbs, none, &element(3, &[&[0], &signature])]);
    for mode in [Mode::Strict, Mode::Pinned] {
        let trust = [&root[..]];
        let trust = Trust::new(&trust).with_mode(mode);
        assert_eq!(trust.verify(&[&bare], server("localhost"), now()), Ok(()));
    }
}
