//! Correct and incorrect use of `pki/wizard`; OpenSSL verifies the results.

#[path = "common/mod.rs"]
mod common;

// Critical sections, which the base-point table of P-256 asks for.
use postern_testing as _;

mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use postern::config::{ClientAuth, Config, Scratch as ConfigScratch, Verify};
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
        ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, date_time_ymd,
    };

    use super::common::process::Process;
    use super::common::wizard::{Wizard, end, tree};

    /// OpenSSL's names of the key types that are fast to generate.
    const KINDS: [(&str, &str); 4] = [
        ("p256", "ASN1 OID: prime256v1"),
        ("p384", "ASN1 OID: secp384r1"),
        ("ed25519", "ED25519 Public-Key"),
        ("rsa2048", "Public-Key: (2048 bit)"),
    ];

    /// `openssl x509 -text` of a file.
    fn text(wizard: &Wizard, file: &str) -> String {
        let (status, text) = wizard.openssl(&format!("x509 -in {file} -noout -text"));
        assert_eq!(status, 0, "{text}");
        text
    }

    /// The hash of a key, computed by OpenSSL.
    fn key_hash(wizard: &Wizard, file: &str) -> String {
        let line = "openssl x509 -pubkey -noout -in \"$0\" | openssl pkey -pubin -outform der | sha256sum";
        let (status, out, err) = end(Command::new("sh").args(["-c", line]).arg(wizard.file(file)));
        assert_eq!(status, 0, "{err}");
        out.split(' ').next().unwrap().to_owned()
    }

    /// The line of `list` with this serial number, with single blanks.
    fn row(wizard: &Wizard, serial: &str) -> String {
        let (out, _) = wizard.run(&["list", "pki"]);
        let line = out.lines().find(|line| line.starts_with(serial));
        let words: Vec<&str> = line.expect(&out).split_whitespace().collect();
        words.join(" ")
    }

    /// A defconfig, parsed as by the image.
    fn parse(text: &str) -> Box<Config> {
        let (mut config, mut scratch) = (Box::new(Config::new()), Box::new(ConfigScratch::new()));
        config.parse(text.as_bytes(), &mut scratch).unwrap();
        config
    }

    #[test]
    fn every_key_type_makes_a_valid_pki() {
        for (kind, called) in KINDS {
            let wizard = Wizard::init(&["--key", kind, "--name", "O=Example, CN=CA of a test", "--days=2000"]);
            wizard.run(&["server", "pki", "echo.example"]);
            wizard.run(&["client", "pki", "alice"]);
            wizard.run(&[
                "peer",
                "pki",
                "paul",
                "--san",
                "DNS:*.paul.example,IP:192.0.2.7,IP:2001:db8::7",
            ]);

            let ca = text(&wizard, "ca.pem");
            for part in [
                "Version: 3",
                "Subject: O = Example, CN = CA of a test",
                "Issuer: O = Example, CN = CA of a test",
                "CA:TRUE, pathlen:0",
                "X509v3 Basic Constraints: critical",
                "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n",
                "X509v3 Subject Key Identifier",
                called,
            ] {
                assert!(ca.contains(part), "{kind}: {part} is not in {ca}");
            }
            let both = "TLS Web Server Authentication, TLS Web Client Authentication";
            for (name, purposes, names) in [
                (
                    "echo.example",
                    "TLS Web Server Authentication",
                    "DNS:echo.example, DNS:localhost, IP Address:127.0.0.1, IP Address:10.0.2.15",
                ),
                ("alice", "TLS Web Client Authentication", ""),
                (
                    "paul",
                    both,
                    "DNS:*.paul.example, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7",
                ),
            ] {
                let leaf = text(&wizard, &format!("{name}.pem"));
                for part in [
                    "Version: 3",
                    &format!("Subject: CN = {name}\n"),
                    "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
                    "X509v3 Key Usage: critical\n                Digital Signature\n",
                    &format!("X509v3 Extended Key Usage: \n                {purposes}\n"),
                    "X509v3 Subject Key Identifier",
                    "X509v3 Authority Key Identifier",
                    called,
                ] {
                    assert!(leaf.contains(part), "{kind}: {part} is not in {leaf}");
                }
                let named = format!("X509v3 Subject Alternative Name: \n                {names}\n");
                assert_eq!(leaf.contains("Alternative"), !names.is_empty(), "{leaf}");
                assert!(names.is_empty() || leaf.contains(&named), "{names} is not in {leaf}");
                // The key matches the certificate, and only its owner can read it.
                let (_, of_key) = wizard.openssl(&format!("pkey -in {name}.key -pubout"));
                let (_, of_certificate) = wizard.openssl(&format!("x509 -in {name}.pem -noout -pubkey"));
                assert_eq!(of_key, of_certificate);
                let hash = key_hash(&wizard, &format!("{name}.pem"));
                assert!(row(&wizard, &wizard.serial(name)).ends_with(&format!(" valid {hash}")));
            }
            for (arguments, good) in [
                ("-purpose sslserver -verify_hostname localhost echo.example.pem", true),
                (
                    "-purpose sslserver -verify_hostname echo.example echo.example.pem",
                    true,
                ),
                ("-purpose sslserver -verify_ip 10.0.2.15 echo.example.pem", true),
                (
                    "-purpose sslserver -verify_hostname other.example echo.example.pem",
                    false,
                ),
                ("-purpose sslclient echo.example.pem", false),
                ("-purpose sslclient alice.pem", true),
                ("-purpose sslserver alice.pem", false),
                ("-purpose sslclient paul.pem", true),
                ("-purpose sslserver -verify_hostname a.paul.example paul.pem", true),
                ("-purpose sslserver -verify_ip 2001:db8::7 paul.pem", true),
            ] {
                let (status, said) = wizard.openssl(&format!("verify -x509_strict -CAfile ca.pem {arguments}"));
                assert_eq!(status == 0, good, "{kind}: {arguments}: {said}");
            }
            for (path, _) in tree(&wizard.file("")) {
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                assert_eq!(mode & 0o077, 0, "{path} is not its owner's alone");
            }
        }
    }

    #[test]
    fn large_rsa_keys_are_made() {
        let wizard = Wizard::init(&["--key=rsa3072"]);
        wizard.run(&["server", "pki", "server", "--key=rsa4096"]);
        assert!(text(&wizard, "ca.pem").contains("Public-Key: (3072 bit)"));
        assert!(text(&wizard, "server.pem").contains("Public-Key: (4096 bit)"));
        assert_eq!(wizard.openssl("verify -CAfile ca.pem server.pem").0, 0);
    }

    #[test]
    fn a_key_type_may_differ_from_the_ca_s() {
        let wizard = Wizard::init(&["--key=p384"]);
        wizard.run(&["server", "pki", "server", "--key", "rsa2048", "--days", "7"]);
        let leaf = text(&wizard, "server.pem");
        assert!(leaf.contains("Public-Key: (2048 bit)") && leaf.contains("ecdsa-with-SHA384"));
        assert_eq!(wizard.openssl("x509 -in server.pem -noout -checkend 600000").0, 0);
        assert_eq!(wizard.openssl("x509 -in server.pem -noout -checkend 610000").0, 1);
        // Never valid longer than its CA.
        let (_, said) = wizard.run(&["server", "pki", "long", "--days", "9999"]);
        assert!(said.contains("the CA expires on "), "{said}");
        let end = |file| wizard.openssl(&format!("x509 -in {file} -noout -enddate")).1;
        assert_eq!(end("long.pem"), end("ca.pem"));
        // Two CAs have two names.
        let other = Wizard::init(&[]);
        let name = |wizard: &Wizard| wizard.openssl("x509 -in ca.pem -noout -subject").1;
        assert_ne!(name(&wizard), name(&other));
    }

    #[test]
    fn rotate_changes_the_key_and_renew_does_not() {
        let wizard = Wizard::init(&[]);
        wizard.run(&["peer", "pki", "paul", "--san=DNS:paul.example,IP:2001:db8::7"]);
        let read = |name: &str| fs::read(wizard.file(name)).unwrap();
        let names = "DNS:paul.example, IP Address:2001:DB8:0:0:0:0:0:7";
        for (command, keeps) in [("renew", true), ("rotate", false)] {
            let (key, certificate, serial) = (read("paul.key"), read("paul.pem"), wizard.serial("paul"));
            let hash = key_hash(&wizard, "paul.pem");
            let (_, said) = wizard.run(&[command, "pki", "paul"]);
            assert_eq!(key == read("paul.key"), keeps);
            assert_eq!(hash == key_hash(&wizard, "paul.pem"), keeps);
            assert!(
                said.contains(&format!("key hash {}\n", key_hash(&wizard, "paul.pem"))),
                "{said}"
            );
            assert!(
                said.contains(&format!("the previous one, serial {serial}, is in pki/old")),
                "{said}"
            );
            assert_ne!(wizard.serial("paul"), serial);
            // The old ones are kept and valid.
            assert_eq!(read(&format!("old/paul-{serial}.key")), key);
            assert_eq!(read(&format!("old/paul-{serial}.pem")), certificate);
            assert_eq!(
                wizard
                    .openssl(&format!("verify -CAfile ca.pem old/paul-{serial}.pem paul.pem"))
                    .0,
                0
            );
            assert!(row(&wizard, &serial).ends_with(&format!("valid, replaced {hash}")));
            let leaf = text(&wizard, "paul.pem");
            let both = "TLS Web Server Authentication, TLS Web Client Authentication";
            assert!(leaf.contains(names) && leaf.contains(both), "{leaf}");
        }
        wizard.run(&["rotate", "pki", "paul", "--key", "ed25519", "--san", "DNS:new.example"]);
        let leaf = text(&wizard, "paul.pem");
        assert!(
            leaf.contains("ED25519 Public-Key") && leaf.contains("DNS:new.example"),
            "{leaf}"
        );
        assert!(!leaf.contains("paul.example"), "{leaf}");
    }

    #[test]
    fn revoked_certificates_are_on_a_version_2_list() {
        let wizard = Wizard::init(&[]);
        for name in ["alice", "bob"] {
            wizard.run(&["client", "pki", name]);
        }
        wizard.run(&["crl", "pki", "--crl-days", "7"]);
        let crl = || {
            wizard
                .openssl("crl -in crl.pem -noout -text -crlnumber -CAfile ca.pem")
                .1
        };
        let first = crl();
        for part in ["Version 2 ", "crlNumber=0x01", "No Revoked Certificates", "verify OK"] {
            assert!(first.contains(part), "{part} is not in {first}");
        }
        let check = |file: &str| wizard.openssl(&format!("verify -CAfile ca.pem -CRLfile crl.pem -crl_check {file}"));
        assert_eq!(check("alice.pem").0, 0);

        let alice = wizard.serial("alice");
        wizard.run(&["renew", "pki", "alice"]);
        let renewed = wizard.serial("alice");
        let (_, said) = wizard.run(&["revoke", "pki", &alice.to_lowercase(), "keyCompromise"]);
        assert!(
            said.contains(&format!("serial {renewed} has the same key and is not revoked")),
            "{said}"
        );
        let old = format!("old/alice-{alice}.pem");
        let (status, said) = check(&old);
        assert!(status != 0 && said.contains("certificate revoked"), "{said}");
        assert_eq!(check("alice.pem").0, 0);
        wizard.run(&["revoke", "pki", "alice"]);
        assert_ne!(check("alice.pem").0, 0);
        assert_eq!(check("bob.pem").0, 0);
        let third = crl();
        for part in ["crlNumber=0x03", &alice, &renewed, "Key Compromise", "verify OK"] {
            assert!(third.contains(part), "{part} is not in {third}");
        }
        // The reason "unspecified" has no entry.
        assert_eq!(third.matches("Reason Code").count(), 1);
        assert!(row(&wizard, &alice).contains("revoked, keyCompromise"));
        assert!(row(&wizard, &renewed).contains("revoked, unspecified"));

        // A revoked certificate is not reported as valid when it is replaced.
        let old = wizard.serial("alice");
        let (_, said) = wizard.run(&["rotate", "pki", "alice"]);
        let words = format!("the previous one, serial {old}, is in pki/old and is revoked\n");
        assert!(said.ends_with(&words), "{said}");
        wizard.run(&["revoke", "pki", "alice"]);

        // A second revocation is refused and changes nothing.
        let before = tree(&wizard.file(""));
        for (whom, reason) in [("alice", "unspecified"), (&alice[..], "keyCompromise")] {
            let (status, _, err) = wizard.end(&["revoke", "pki", whom]);
            let why = format!("is already revoked (reason: {reason}); nothing was changed");
            assert!(status == 1 && err.contains(&why), "{err}");
        }
        let (status, _, err) = wizard.end(&["renew", "pki", "alice"]);
        assert!(
            status == 1 && err.contains("is revoked; create a new key with `rotate`"),
            "{err}"
        );
        assert_eq!(tree(&wizard.file("")), before);
        wizard.run(&["rotate", "pki", "alice"]);
        assert_eq!(check("alice.pem").0, 0);
    }

    #[test]
    fn the_defconfig_is_accepted_by_the_image() {
        let wizard = Wizard::init(&[]);
        wizard.run(&["server", "pki", "server"]);
        wizard.run(&["client", "pki", "alice"]);
        let (plain, said) = wizard.run(&["defconfig", "pki", "server"]);
        assert_eq!(said, "");
        let config = parse(&plain);
        assert!(!config.vmm.telnet_dbgsh && !config.ip.use_dhcp);
        assert!(
            parse(&wizard.run(&["defconfig", "pki", "server", "--telnet"]).0)
                .vmm
                .telnet_dbgsh
        );
        assert_eq!((config.echo.tls_port, config.echo.plain_port), (10007, 10008));
        assert_eq!(config.vmm.tls_dbgsh, 992);
        assert_eq!(config.tls.client_auth, ClientAuth::Off);
        assert_eq!(config.tls.verify, Verify::Strict);
        assert!(config.tls.cli_cert.is_empty() && config.tls.crl.is_empty());
        let der = |file: &str| {
            let (_, out) = wizard.openssl(&format!("x509 -in {file} -outform der -out der"));
            assert_eq!(out, "");
            fs::read(wizard.file("der")).unwrap()
        };
        assert!(config.tls.srv_cert.iter().eq([&der("server.pem")[..]]));
        assert!(config.tls.ca_cert.iter().eq([&der("ca.pem")[..]]));
        assert_eq!(config.tls.srv_key.len(), 1);
        assert!(config.server().is_ok());

        wizard.run(&["crl", "pki"]);
        let whole = [
            "--client=alice",
            "--client-auth",
            "optional",
            "--verify=pinned",
            "--dhcp",
        ];
        let (_, said) = wizard.run(&[&["defconfig", "pki", "server", "--out", "my def"], &whole[..]].concat());
        assert!(said.contains("`qemu/run --defconfig 'my def'`"), "{said}");
        let file = wizard.scratch.path("my def");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let config = parse(&fs::read_to_string(&file).unwrap());
        assert!(config.ip.use_dhcp);
        assert_eq!(config.tls.client_auth, ClientAuth::Optional);
        assert_eq!(config.tls.verify, Verify::Pinned);
        assert!(config.tls.cli_cert.iter().eq([&der("alice.pem")[..]]));
        assert_eq!((config.tls.cli_key.len(), config.tls.crl.len()), (1, 1));
        assert!(config.client().is_ok());
    }

    #[test]
    fn a_root_bundle_is_included() {
        let wizard = Wizard::init(&[]);
        wizard.run(&["server", "pki", "server"]);
        wizard.run(&["init", "other"]);
        let root = fs::read_to_string(wizard.scratch.path("other/ca.pem")).unwrap();
        let key = fs::read_to_string(wizard.scratch.path("other/ca.key")).unwrap();
        // With comments, foreign blocks and carriage returns, as in real bundles.
        let bundle = format!("# a root\n{root}{key}");
        wizard.scratch.file("roots.pem", bundle.replace('\n', "\r\n") + &root);
        let defconfig = ["defconfig", "pki", "server", "--verify=pki", "--roots"];
        let (text, said) = wizard.run(&[&defconfig[..], &["roots.pem"]].concat());
        assert_eq!(said, "");
        let config = parse(&text);
        assert_eq!(config.tls.verify, Verify::Pki);
        assert_eq!(config.tls.root_certs.len(), 2);
        assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 4);
        assert_eq!(text.matches("PRIVATE KEY").count(), 2);

        wizard.scratch.file("many.pem", root.repeat(257));
        wizard.scratch.file("key.pem", &key);
        for (file, why) in [
            ("nowhere.pem", "file 'nowhere.pem' for --roots does not exist"),
            ("key.pem", "'key.pem' contains no PEM certificate"),
            (
                "many.pem",
                "'many.pem' contains 257 certificates, but the image takes at most 256",
            ),
        ] {
            let (status, out, err) = wizard.end(&[&defconfig[..], &[file]].concat());
            assert_eq!((status, &out[..]), (1, ""));
            assert!(err.starts_with("pki/wizard: ") && err.contains(why), "{err}");
        }
    }

    #[test]
    fn help_names_every_command_and_option() {
        let wizard = Wizard::new();
        let (out, err) = wizard.run(&["--help"]);
        assert_eq!(err, "");
        for word in [
            "init",
            "server",
            "client",
            "peer",
            "rotate",
            "renew",
            "revoke",
            "crl",
            "list",
            "defconfig",
            "--key",
            "--days",
            "--name",
            "--san",
            "--crl-days",
            "--client",
            "--client-auth",
            "--verify",
            "--roots",
            "--dhcp",
            "--out",
        ] {
            assert!(out.contains(&format!("\n  {word} ")), "{word}");
        }
        assert_eq!(wizard.run(&["-h"]).0, out);
        assert_eq!(wizard.run(&["init", "pki", "--help"]).0, out);
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a flat table")]
    fn usage_errors_name_the_fault_and_the_help() {
        let wizard = Wizard::init(&[]);
        let before = tree(&wizard.file(""));
        let long = "a".repeat(61);
        let name = "a name must be 1 to 60 letters, digits, dots, hyphens and underscores";
        let days = "--days: the number of days must be 1 to 9999, not ";
        let address = "is not an IPv4 or IPv6 address";
        let host = "is not a valid host name for DNS:";
        let san = "--san: the list must look like DNS:echo.example,IP:192.0.2.7";
        let subject = "--name: the name of a CA must look like 'CN=my session,O=Example'";
        let cases: &[(&[&str], &str)] = &[
            (&[], "no command given, and standard input is not a terminal; use --ask"),
            (&["issue", "pki"], "unknown command 'issue'"),
            (&["--fast"], "unknown option '--fast'"),
            (&["--key"], "--key takes a value"),
            (&["--dhcp=yes"], "--dhcp takes no value"),
            (&["--telnet=yes"], "--telnet takes no value"),
            (&["--ask", "pki"], "--ask takes no other arguments"),
            (&["init"], "init takes a directory: pki/wizard init DIR\n"),
            (&["init", ""], "the name of a directory or file must not be empty"),
            (
                &["init", "a\nb"],
                "the name of a directory or file must not be empty or contain line ends",
            ),
            (&["init", "x", "y"], "init does not take 'y'"),
            (&["init", "x", "--san=DNS:a"], "init does not take --san"),
            (
                &["init", "x", "--key=p521"],
                "--key: the key type must be one of p256, p384, ed25519, rsa2048",
            ),
            (&["init", "x", "--key=rsa1024"], "--key: the key type must be one of "),
            (&["init", "x", "--key="], "--key: the key type must be one of "),
            (
                &["init", "x", "--key", "p256, p384"],
                "--key: the key type must be one of ",
            ),
            (&["init", "x", "--name=my CA"], subject),
            (&["init", "x", "--name="], subject),
            (&["init", "x", "--name=CN="], subject),
            (&["init", "x", "--name=CN=a/O=b"], subject),
            (&["init", "x", "--name=CN=a,"], subject),
            (&["init", "x", "--name=CN=a\nO=b"], subject),
            (
                &["init", "x", "--name=C=Deutschland"],
                "--name: C=Deutschland is too long",
            ),
            (&["server", "pki"], "server takes a name: pki/wizard server DIR NAME\n"),
            (&["server", "pki", ""], name),
            (&["server", "pki", "a/b"], name),
            (&["server", "pki", "../a"], name),
            (&["server", "pki", "a b"], name),
            (&["server", "pki", "a'b"], name),
            (&["server", "pki", "a\"b"], name),
            (&["server", "pki", "a\nb"], name),
            (&["server", "pki", "$(id)"], name),
            (&["server", "pki", ".a"], name),
            (&["server", "pki", "\u{e4}"], name),
            (&["server", "pki", &long], name),
            (
                &["server", "pki", "ca"],
                "the name 'ca' is reserved for a file of the CA",
            ),
            (
                &["server", "pki", "crl"],
                "the name 'crl' is reserved for a file of the CA",
            ),
            (
                &["server", "pki", "0123456789abcdef"],
                "'0123456789abcdef' looks like a serial number",
            ),
            (&["server", "pki", "a", "b"], "server does not take 'b'"),
            (&["server", "pki", "a", "--days=0"], days),
            (&["server", "pki", "a", "--days=10000"], days),
            (&["server", "pki", "a", "--days=1e3"], days),
            (&["server", "pki", "a", "--days=-1"], days),
            (&["server", "pki", "a", "--days="], days),
            (&["server", "pki", "a", "--san="], san),
            (&["server", "pki", "a", "--san=localhost"], san),
            (&["server", "pki", "a", "--san=DNS:a,,DNS:b"], san),
            (&["server", "pki", "a", "--san=DNS:a,"], san),
            (&["server", "pki", "a", "--san=DNS:a\n"], san),
            (&["server", "pki", "a", "--san=email:a@b"], san),
            (&["server", "pki", "a", "--san=DNS:"], host),
            (&["server", "pki", "a", "--san=DNS:a..b"], host),
            (&["server", "pki", "a", "--san=DNS:a b"], host),
            (&["server", "pki", "a", "--san=DNS:-a"], host),
            (&["server", "pki", "a", "--san=DNS:a_b"], host),
            (&["server", "pki", "a", "--san=DNS:10.0.2.15"], host),
            (&["server", "pki", "a", "--san=IP:1.2.3"], address),
            (&["server", "pki", "a", "--san=IP:1.2.3.256"], address),
            (&["server", "pki", "a", "--san=IP:01.2.3.4"], address),
            (&["server", "pki", "a", "--san=IP:1::2::3"], address),
            (&["server", "pki", "a", "--san=IP:1:2:3:4:5:6:7"], address),
            (&["server", "pki", "a", "--san=IP:1:2:3:4:5:6:7:8:9"], address),
            (&["server", "pki", "a", "--san=IP:12345::1"], address),
            (&["server", "pki", "a", "--san=IP::1"], address),
            (&["server", "pki", "a", "--san=IP:a.example"], address),
            (&["renew", "pki", "a", "--key=p256"], "renew does not take --key"),
            (
                &["revoke", "pki"],
                "revoke takes a name: pki/wizard revoke DIR NAME|SERIAL\n",
            ),
            (
                &["revoke", "pki", "a", "because"],
                "the reason must be one of unspecified, keyCompromise, ",
            ),
            (
                &["revoke", "pki", "a", "keycompromise"],
                "the reason must be one of unspecified, keyCompromise, ",
            ),
            (
                &["crl", "pki", "--crl-days=x"],
                "--crl-days: the number of days must be 1 to 9999, not 'x'",
            ),
            (&["list", "pki", "a"], "list does not take 'a'"),
            (
                &["defconfig", "pki"],
                "defconfig takes a name: pki/wizard defconfig DIR SERVER\n",
            ),
            (
                &["defconfig", "pki", "a", "--client-auth=on"],
                "--client-auth: client authentication must be off, optional or required, not 'on'",
            ),
            (
                &["defconfig", "pki", "a", "--verify=no"],
                "--verify: the mode must be strict, pinned or pki, not 'no'",
            ),
            (
                &["defconfig", "pki", "a", "--out="],
                "--out: the name of a directory or file must not be empty",
            ),
        ];
        for (arguments, why) in cases {
            let (status, out, err) = wizard.end(arguments);
            assert_eq!((status, &out[..]), (2, ""), "{arguments:?}: {err}");
            let help = "\npki/wizard: `pki/wizard --help` lists commands and options\n";
            let first = err.strip_suffix(help).expect(&err);
            let first = format!("{first}\n");
            assert!(
                first.starts_with("pki/wizard: ") && first.contains(why),
                "{arguments:?}: {why} is not in {first}"
            );
        }
        assert_eq!(tree(&wizard.file("")), before);
    }

    #[test]
    fn impossible_requests_are_refused_with_the_reason() {
        let wizard = Wizard::init(&[]);
        wizard.run(&["server", "pki", "server"]);
        wizard.run(&["client", "pki", "alice"]);
        wizard.scratch.file("file", "");
        fs::create_dir(wizard.scratch.path("full")).unwrap();
        wizard.scratch.file("full/file", "");
        let before = tree(&wizard.scratch.path(""));
        for (arguments, why) in [
            (
                &["init", "pki"][..],
                "'pki' already contains a PKI; nothing was changed",
            ),
            (&["init", "full"], "directory 'full' is not empty"),
            (&["init", "file"], "'file' exists and is not a directory"),
            (&["init", "no/pki"], "directory 'no' for 'no/pki' does not exist"),
            (
                &["list", "no"],
                "directory 'no' does not exist; `pki/wizard init no` creates it",
            ),
            (&["list", "file"], "'file' is not a directory"),
            (&["list", "full"], "'full' is not a PKI"),
            (&["crl", "full"], "'full' is not a PKI"),
            (
                &["server", "pki", "server"],
                "'pki' already contains a certificate of 'server'",
            ),
            (
                &["client", "pki", "server"],
                "'pki' already contains a certificate of 'server'",
            ),
            (
                &["rotate", "pki", "unknown"],
                "'pki' contains no certificate of 'unknown'",
            ),
            (
                &["renew", "pki", "unknown"],
                "'pki' contains no certificate of 'unknown'",
            ),
            (
                &["revoke", "pki", "unknown"],
                "'pki' contains no certificate of 'unknown'",
            ),
            (
                &["revoke", "pki", "0123456789abcdef"],
                "no certificate with serial number 0123456789ABCDEF was issued in 'pki'",
            ),
            (
                &["defconfig", "pki", "unknown"],
                "'pki' contains no certificate of 'unknown'",
            ),
            (
                &["defconfig", "pki", "alice"],
                "the certificate of 'alice' is for a client, not for a server",
            ),
            (
                &["defconfig", "pki", "server", "--client=server"],
                "the certificate of 'server' is for a server, not for a client",
            ),
            (
                &["defconfig", "pki", "server", "--out=no/x"],
                "/no' for 'no/x' does not exist; create it first",
            ),
            (&["defconfig", "pki", "server", "--out=full"], "'full' is a directory"),
        ] {
            let (status, out, err) = wizard.end(arguments);
            assert_eq!((status, &out[..]), (1, ""), "{arguments:?}: {err}");
            assert!(
                err.starts_with("pki/wizard: ") && err.contains(why),
                "{arguments:?}: {err}"
            );
        }
        assert_eq!(tree(&wizard.scratch.path("")), before);

        // A revoked certificate is not put into a defconfig.
        wizard.run(&["revoke", "pki", "server", "superseded"]);
        let (status, _, err) = wizard.end(&["defconfig", "pki", "server"]);
        assert!(
            status == 1 && err.contains("the certificate of 'server' is revoked; `rotate`"),
            "{err}"
        );
        // Issuing needs the CA's key.
        fs::remove_file(wizard.file("ca.key")).unwrap();
        let (status, _, err) = wizard.end(&["rotate", "pki", "server"]);
        assert!(
            status == 1 && err.contains("pki/ca.key does not exist or is not readable"),
            "{err}"
        );
        // An empty directory is accepted.
        fs::create_dir(wizard.scratch.path("empty")).unwrap();
        wizard.run(&["init", "empty"]);
    }

    #[test]
    fn expired_certificates_and_lists_are_named() {
        let wizard = Wizard::init(&["--name=CN=old"]);
        wizard.run(&["server", "pki", "server"]);
        wizard.run(&["crl", "pki"]);
        // The same CA with dates in the past, and its list.
        let key = KeyPair::from_pem(&fs::read_to_string(wizard.file("ca.key")).unwrap()).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "old");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 2, 3);
        let ca = CertifiedIssuer::self_signed(params, key).unwrap();
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2021, 2, 3),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&ca).unwrap().pem().unwrap();
        fs::write(wizard.file("crl.pem"), list).unwrap();
        let (out, _) = wizard.run(&["list", "pki"]);
        assert!(
            out.contains("expired 2021-02-03; `pki/wizard crl pki` creates a new one"),
            "{out}"
        );
        let (status, out, err) = wizard.end(&["defconfig", "pki", "server"]);
        assert_eq!((status, &out[..]), (1, ""));
        assert!(err.contains("pki/crl.pem expired on 2021-02-03"), "{err}");
        wizard.run(&["crl", "pki"]);
        wizard.run(&["defconfig", "pki", "server"]);

        let current = fs::read_to_string(wizard.file("server.pem")).unwrap();
        let key = KeyPair::from_pem(&fs::read_to_string(wizard.file("server.key")).unwrap()).unwrap();
        let mut params = CertificateParams::new(["server".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 2, 3);
        let expired = params.signed_by(&key, &ca).unwrap().pem();
        fs::write(wizard.file("server.pem"), expired).unwrap();
        let (status, out, err) = wizard.end(&["defconfig", "pki", "server"]);
        assert_eq!((status, &out[..]), (1, ""));
        assert!(
            err.contains("the certificate of 'server' expired on 2021-02-03; `renew` or `rotate` it"),
            "{err}"
        );
        fs::write(wizard.file("server.pem"), current).unwrap();

        fs::write(wizard.file("ca.pem"), ca.pem()).unwrap();
        for command in ["rotate", "renew", "revoke", "client", "defconfig"] {
            let name = if command == "client" { "alice" } else { "server" };
            let (status, _, err) = wizard.end(&[command, "pki", name]);
            assert!(
                status == 1 && err.contains("the CA in 'pki' expired on 2021-02-03"),
                "{command}: {err}"
            );
        }
        assert!(wizard.run(&["list", "pki"]).0.contains("(the CA) "));
        assert!(row(&wizard, &wizard.serial("ca")).contains(" 2021-02-03 expired "));
    }

    /// A file system of 1 MiB with one more free page at each try: a command changes nothing until all files fit.
    #[test]
    fn a_full_disk_loses_no_certificate_key_or_revocation() {
        // A command takes at most some 15 pages.
        let script = r#"
            set -eu
            mount -t tmpfs -o size=1m tmpfs "$PWD/disk"
            cp -a pki disk/pki
            sums() { (cd disk && find . ! -name filler ! -name lock -type f -exec sha256sum {} + | sort); }
            check() {
                openssl verify -CAfile "$1/ca.pem" "$1/ca.pem" >/dev/null
                [ "$(openssl x509 -in "$1/ca.pem" -noout -pubkey)" = "$(openssl pkey -in "$1/ca.key" -pubout)" ]
            }
            command() {
                for free in $(seq 0 39); do
                    rm -f disk/filler
                    dd if=/dev/zero of=disk/filler bs=4k 2>/dev/null || true
                    truncate -s "-$((free * 4))k" disk/filler
                    before=$(sums)
                    if "$wizard" "$@" 2>said; then
                        [ "$free" -gt 2 ]
                        return
                    fi
                    if [ "$(sums)" != "$before" ] || ! grep -q 'nothing was changed' said; then
                        echo "$*: $free pages: $(cat said)" >&2
                        exit 1
                    fi
                done
                echo "$*: $(cat said)" >&2
                exit 1
            }
            wizard=$1
            command rotate disk/pki issued
            [ "$(openssl x509 -in disk/pki/issued.pem -noout -pubkey)" = "$(openssl pkey -in disk/pki/issued.key -pubout)" ]
            command revoke disk/pki issued superseded
            command crl disk/pki
            openssl crl -in disk/pki/crl.pem -CAfile disk/pki/ca.pem -noout -text
            "$wizard" list disk/pki
            command init disk/new
            check disk/new
        "#;
        let wizard = Wizard::init(&[]);
        // The name of a file that the wizard once used internally.
        wizard.run(&["server", "pki", "issued"]);
        wizard.run(&["revoke", "pki", "issued"]);
        fs::create_dir(wizard.scratch.path("disk")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "bash", "-c", script, "bash"]);
        command.arg(Wizard::script()).current_dir(wizard.scratch.path(""));
        let (status, out, err) = end(&mut command);
        if err.contains("unshare failed") {
            println!("skipped: this system does not allow unprivileged mount namespaces");
            return;
        }
        assert_eq!(status, 0, "{err}");
        assert_eq!(out.matches("Serial Number: ").count(), 2, "{out}");
        assert_eq!(out.matches(" revoked, ").count(), 2, "{out}");
        assert!(!out.contains("not issued"), "{out}");
    }

    /// Concurrent commands lose nothing.
    #[test]
    fn concurrent_commands_wait_for_each_other() {
        let wizard = Wizard::init(&[]);
        let start =
            |number: usize| Process::start(wizard.command().args(["client", "pki", &format!("client-{number}")]));
        let mut all: Vec<Process> = (0..6).map(start).collect();
        for process in &mut all {
            assert!(process.wait().success(), "{}", process.err.text());
        }
        let (out, _) = wizard.run(&["list", "pki"]);
        assert_eq!(out.matches(" valid ").count(), 7, "{out}");
    }

    #[test]
    fn answers_create_the_whole_pki() {
        let wizard = Wizard::new();
        let answers = "pki\np257\np384\nCN=asked,O=Example\na b\nbox.example\nDNS:box.example,DNS:localhost\n\
                       box.example\nbob\nmaybe\nrequired\nmaybe\nyes\n";
        let mut process = Process::start(wizard.command().arg("--ask"));
        process.write(answers.as_bytes());
        assert!(process.wait().success(), "{}", process.err.text());
        assert_eq!(process.out.text(), "");
        // Invalid answers are asked again.
        let said = process.err.text();
        for again in [
            "not 'p257'\n",
            "not 'a b'\n",
            "'box.example' is the server's name",
            "off, optional or required, not 'maybe'",
            "the answer must be yes or no, not 'maybe'",
        ] {
            assert!(said.contains(again), "{said}");
        }
        let config = parse(&fs::read_to_string(wizard.file("defconfig")).unwrap());
        assert!(config.tls.client_auth == ClientAuth::Required && config.vmm.telnet_dbgsh);
        assert_eq!(wizard.openssl("verify -CAfile ca.pem bob.pem box.example.pem").0, 0);
        let server = text(&wizard, "box.example.pem");
        assert!(
            server.contains("secp384r1") && server.contains("DNS:box.example, DNS:localhost\n"),
            "{server}"
        );

        // The directory exists now, and the answers end.
        let mut process = Process::start(wizard.command().arg("--ask"));
        process.write(b"pki\n");
        drop(process.take_stdin());
        assert_eq!(process.wait().code(), Some(1));
        let said = process.err.text();
        assert!(said.contains("'pki' already exists"), "{said}");
        assert!(
            said.contains("input ended at the question 'Directory'; nothing was created"),
            "{said}"
        );
    }

    /// Without arguments, on a terminal, Return accepts every default.
    #[test]
    fn on_a_terminal_the_wizard_asks() {
        let wizard = Wizard::new();
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-c"]).arg(Wizard::script()).arg("/dev/null");
        let mut process = Process::start(command.current_dir(wizard.scratch.path("")));
        for question in [
            "Directory [session-pki]: ",
            "[p256]: ",
            "[default]: ",
            "Name of the server [server]: ",
            "the default includes localhost [default]: ",
            "Name of a client, or none [client]: ",
            "Client authentication (off, optional, required) [required]: ",
            "Debug shell on telnet too, without a password (yes, no) [no]: ",
        ] {
            process.out.wait_for(question);
            process.write(b"\n");
        }
        process
            .out
            .wait_for("boot with `qemu/run --defconfig session-pki/defconfig`");
        assert!(process.wait().success());
        let text = fs::read_to_string(wizard.scratch.path("session-pki/defconfig")).unwrap();
        let config = parse(&text);
        assert!(config.tls.client_auth == ClientAuth::Required && !config.vmm.telnet_dbgsh);
    }

    /// A certificate request made by OpenSSL, in the scratch directory.
    fn csr(wizard: &Wizard, file: &str, arguments: &str) {
        let line = format!("req -new -noenc -keyout ../{file}.key -out ../{file} {arguments}");
        let (status, text) = wizard.openssl(&line);
        assert_eq!(status, 0, "{text}");
    }

    const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";

    #[test]
    fn requests_are_shown_and_signed() {
        let wizard = Wizard::init(&[]);
        csr(
            &wizard,
            "r.csr",
            &format!(
                "{EC} -subj /O=Example/CN=machine -addext subjectAltName=DNS:echo.example,IP:2001:db8::15 \
                      -addext keyUsage=keyCertSign -addext extendedKeyUsage=codeSigning"
            ),
        );
        let (_, err) = wizard.run(&["sign", "pki", "m1", "r.csr", "--usage", "server", "--yes"]);
        let hash = key_hash(&wizard, "m1.pem");
        for part in [
            "pki/wizard: r.csr requests a certificate:\n",
            "pki/wizard:   subject: CN=machine,O=Example\n",
            "pki/wizard:   names: DNS:echo.example,IP:2001:db8::15\n",
            &format!("pki/wizard:   key: p256, hash {hash}\n"),
            "pki/wizard:   signature: valid; purpose and dates are set here, other extensions are ignored\n",
            "pki/wizard: pki/m1.pem: server 'm1', p256, serial ",
            "paste the output of `cat pki/m1.pem`, and end with a line containing only \".\"\n",
        ] {
            assert!(err.contains(part), "{part} is not in {err}");
        }
        let leaf = text(&wizard, "m1.pem");
        for part in [
            "Subject: O = Example, CN = machine\n",
            "DNS:echo.example, IP Address:2001:DB8:0:0:0:0:0:15\n",
            "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n",
            "X509v3 Key Usage: critical\n                Digital Signature\n",
            "CA:FALSE",
        ] {
            assert!(leaf.contains(part), "{part} is not in {leaf}");
        }
        let (_, of_key) = wizard.openssl("pkey -in ../r.csr.key -pubout");
        let (_, of_certificate) = wizard.openssl("x509 -in m1.pem -noout -pubkey");
        assert_eq!(of_key, of_certificate);
        assert_eq!(wizard.openssl("verify -x509_strict -CAfile ca.pem m1.pem").0, 0);
        assert!(wizard.file("m1.csr").exists() && !wizard.file("m1.key").exists());
        let first = wizard.serial("m1");
        assert!(row(&wizard, &first).starts_with(&format!("{first} m1 server ")));

        // After a restart, another key of the same name.
        csr(&wizard, "s.csr", &format!("{EC} -subj /O=Example/CN=machine"));
        let (_, err) = wizard.run(&[
            "sign",
            "pki",
            "m1",
            "s.csr",
            "--usage=peer",
            "--yes",
            "--san",
            "DNS:b.example",
            "--days=9",
        ]);
        assert!(
            err.contains(&format!(
                "serial {first} of 'm1' has the same subject and another key\n"
            )),
            "{err}"
        );
        assert!(err.contains("  names: none\n"), "{err}");
        assert!(
            err.contains(&format!("the previous one, serial {first}, is in pki/old; ")),
            "{err}"
        );
        assert!(text(&wizard, "m1.pem").contains("DNS:b.example"));
        assert!(wizard.file(&format!("old/m1-{first}.csr")).exists());
        let (_, err) = wizard.run(&["revoke", "pki", &first, "superseded"]);
        assert!(err.contains("is revoked (reason: superseded)"), "{err}");
        wizard.run(&["revoke", "pki", "m1"]);

        // Its key is elsewhere.
        let why = "was signed for the request pki/m1.csr, and its private key is not here: it is where the request was made; \
                   `pki/wizard sign pki m1 FILE` signs another request";
        for command in ["rotate", "renew", "defconfig"] {
            let (status, _, err) = wizard.end(&[command, "pki", "m1"]);
            assert!(status == 1 && err.contains(why), "{command}: {err}");
        }
        wizard.run(&["server", "pki", "own"]);
        let (status, _, err) = wizard.end(&["sign", "pki", "own", "r.csr", "--usage", "server", "--yes"]);
        assert!(status == 1 && err.contains("contains a private key of 'own'"), "{err}");
        let (status, _, err) = wizard.end(&["defconfig", "pki", "own", "--client", "m1"]);
        assert!(status == 1 && err.contains(why), "{err}");
    }

    #[test]
    fn signing_asks_for_purpose_and_confirmation() {
        let wizard = Wizard::init(&[]);
        csr(&wizard, "r.csr", &format!("{EC} -subj /CN=machine"));
        let before = tree(&wizard.file(""));
        let answer = |input: &str, arguments: &[&str]| {
            let mut command = wizard.command();
            command.args(["sign", "pki", "m1", "r.csr"]).args(arguments);
            let mut process = Process::start(&mut command);
            process.write(input.as_bytes());
            drop(process.take_stdin());
            let status = process.wait();
            process.err.finish();
            (status.success(), process.err.text())
        };
        let (good, err) = answer("\n\n", &[]);
        assert!(
            !good && err.contains("For a server, a client or a peer, which is both [client]: "),
            "{err}"
        );
        assert!(err.contains("Sign it as 'm1', for a client (yes, no) [no]: "), "{err}");
        assert!(err.ends_with("pki/wizard: not signed; nothing was changed\n"), "{err}");
        let (good, err) = answer("maybe\n", &["--usage", "peer"]);
        assert!(!good && err.contains("the answer must be yes or no"), "{err}");
        assert!(err.contains("input ended at the question"), "{err}");
        let (good, err) = answer("", &["--yes"]);
        assert!(!good && err.contains("--yes takes --usage as well"), "{err}");
        assert!(tree(&wizard.file("")) == before);
        let (good, err) = answer("yes\n", &["--usage", "client"]);
        assert!(good, "{err}");
        assert!(text(&wizard, "m1.pem").contains("TLS Web Client Authentication"));
        for (arguments, why) in [
            (
                &["sign", "pki", "m1"][..],
                "sign takes a file: pki/wizard sign DIR NAME FILE",
            ),
            (
                &["sign", "pki", "m1", "r.csr", "--usage", "both"],
                "--usage: the purpose must be server, client or peer, not 'both'",
            ),
            (
                &["sign", "pki", "m1", "r.csr", "--key", "p256"],
                "sign does not take --key",
            ),
            (&["sign", "pki", "m1", "r.csr", "x"], "sign does not take 'x'"),
            (&["list", "pki", "--yes"], "list does not take --yes"),
        ] {
            let (status, _, err) = wizard.end(arguments);
            assert!(status == 2 && err.contains(why), "{err}");
        }
    }

    #[test]
    fn unsuitable_requests_are_refused() {
        let wizard = Wizard::init(&[]);
        let before = tree(&wizard.file(""));
        let refused = |file: &str| {
            let (status, _, err) = wizard.end(&["sign", "pki", "m1", file, "--usage", "server", "--yes"]);
            assert_eq!(status, 1, "{err}");
            err
        };
        for (arguments, why) in [
            (
                "-newkey rsa:1024 -subj /CN=a",
                "the key of the request in 'r.csr' is too weak or of an unsupported type; use one of p256, p384, ed25519, ",
            ),
            (
                "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=a -addext basicConstraints=CA:TRUE",
                "the request in 'r.csr' asks for a CA, which this wizard does not issue; request a certificate without CA:TRUE",
            ),
            (
                "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=a -addext subjectAltName=email:a@b.example",
                "asks for a name that is neither a host name nor an IP address; remove it from subjectAltName",
            ),
            (
                "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=a -addext subjectAltName=DNS:a_b",
                "asks for 'a_b', which is not a valid host name; correct it",
            ),
            (
                "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=a+OU=b",
                "the subject of the request in 'r.csr' is not supported: CN=a+OU=b; use C, ST, L, O, OU and CN",
            ),
            (
                "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /emailAddress=a@b.example",
                "the subject of the request in 'r.csr' is not supported: emailAddress=a@b.example; ",
            ),
        ] {
            csr(&wizard, "r.csr", arguments);
            let err = refused("r.csr");
            assert!(err.contains(why), "{err}");
        }
        // A bit of the signature, and what is no request.
        let (status, text) = wizard.openssl(&format!(
            "req -new -noenc -keyout ../k -outform DER -out ../r.der {EC} -subj /CN=a"
        ));
        assert_eq!(status, 0, "{text}");
        let mut der = fs::read(wizard.scratch.path("r.der")).unwrap();
        *der.last_mut().unwrap() ^= 1;
        let pem = pem_rfc7468::encode_string("CERTIFICATE REQUEST", pem_rfc7468::LineEnding::LF, &der).unwrap();
        wizard.scratch.file("r.csr", &pem);
        let err = refused("r.csr");
        assert!(
            err.contains("the request in 'r.csr' is not signed by its own key ("),
            "{err}"
        );
        wizard.scratch.file("cut.csr", &pem[..pem.len() / 2]);
        wizard.scratch.file(
            "short.csr",
            pem_rfc7468::encode_string("CERTIFICATE REQUEST", pem_rfc7468::LineEnding::LF, &der[..99]).unwrap(),
        );
        wizard.scratch.file("large.csr", "a".repeat(65 * 1024));
        for (file, why) in [
            ("cut.csr", "'cut.csr' contains no certificate request in PEM"),
            ("short.csr", "the request in 'short.csr' is broken: "),
            ("large.csr", "'large.csr' is larger than 64 KiB; it is not a request"),
            ("pki/ca.pem", "'pki/ca.pem' contains no certificate request in PEM"),
            ("pki", "'pki' is not a file"),
            ("none", "cannot read 'none': "),
        ] {
            let err = refused(file);
            assert!(err.contains(why), "{err}");
        }
        assert!(tree(&wizard.file("")) == before);
    }
}
