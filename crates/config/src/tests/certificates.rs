//! Certificates, keys and revocation lists: each fault and its message.

use rcgen::{CertificateRevocationListParams, KeyIdMethod, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, RevokedCertParams};

use super::*;

#[test]
fn the_guides_certificates_are_read() {
    let pki = Pki::new("RootCA");
    let key = KeyPair::generate().unwrap();
    let certificate = pki.issue(&key, 2026, 2027);
    let chain = format!("A remark\n{certificate}and another\n{}", pki.ca.pem());
    let text = format!(
        "{},\n.tls.ca_cert = {}",
        server(&chain, &key.serialize_pem()),
        strings(&pki.ca.pem())
    );
    assert_eq!(fault(&text), "");
    let config = read(&text);
    assert_eq!(config.tls.srv_cert.iter().count(), 2);
    assert_eq!(config.tls.ca_cert.iter().collect::<Vec<_>>(), [pki.ca.der().as_ref()]);
    let stored = config.tls.srv_key.first().unwrap();
    assert_eq!(
        (stored.label.as_str(), stored.der.as_slice()),
        ("PRIVATE KEY", key.serialized_der())
    );
    assert_eq!(format!("{stored:?}"), "Key(PRIVATE KEY)");
    let found = config.server().unwrap();
    let whole = Part {
        certificates: 0..2,
        key: 0,
    };
    assert_eq!((found.keys.len(), &found.parts[..]), (1, &[whole][..]));
    assert!(config.client().unwrap().parts.is_empty());
    // The client alone.
    assert_eq!(
        fault(&format!(".tls = {{ .ca_cert = {} }}", strings(&pki.ca.pem()))),
        ""
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table")]
fn faults_of_pem() {
    let pki = Pki::new("RootCA");
    let key = KeyPair::generate().unwrap();
    let (certificate, key) = (pki.issue(&key, 2026, 2027), key.serialize_pem());
    let again = "Copy the PEM again, whole; as strings, each line ends in `\\n`";
    let lines = "Each line of the PEM is a line of its own: as strings, each ends in `\\n`";

    // A letter in the second line of base64 that is none.
    let mut broken = server(&certificate, &key);
    let at = broken.find("MII").unwrap() + "\\n\"\n\"".len() + 64 + 3;
    broken.replace_range(at..=at, "%");
    assert_eq!(
        fault(&broken),
        format!("defconfig:5:5: .tls.srv_cert: the PEM block contains invalid base64 (block 1). {again}")
    );
    // A line is gone.
    let cut: Vec<_> = certificate
        .lines()
        .enumerate()
        .filter(|(number, _)| *number != 3)
        .map(|(_, line)| line)
        .collect();
    assert!(fault(&server(&cut.join("\n"), &key)).contains("certificate 1 is broken: malformed ("));
    // No \n in the strings.
    assert_eq!(
        fault(&server(&certificate, &key).replace("\\n", "")),
        format!(
            "defconfig:3:2: .tls.srv_cert: the BEGIN line of the PEM block is malformed or not on its own line \
             (block 1). {lines}"
        )
    );
    let no_end = certificate.replace("-----END CERTIFICATE-----\n", "");
    assert_eq!(
        fault(&server(&no_end, &key)),
        "defconfig:3:2: .tls.srv_cert: the PEM block has no END line (block 1). \
         Copy the PEM whole, from `-----BEGIN` to the last dashes of `-----END`"
    );
    let end = certificate.lines().count() + 2;
    assert_eq!(
        fault(&server(&certificate.replace("END CERT", "END SERT"), &key)),
        format!(
            "defconfig:{end}:2: .tls.srv_cert: the END line of the PEM block is not on its own line or does not match \
             its BEGIN line (block 1). {lines}"
        )
    );
    assert_eq!(
        fault(".tls = { .srv_cert = \"server.pem\" }"),
        "defconfig:1:23: .tls.srv_cert: it contains no PEM certificate. \
         `.tls.srv_cert` takes PEM blocks that begin with `-----BEGIN CERTIFICATE-----`"
    );
    assert_eq!(
        fault(".tls = { .srv_key = \"server.key\" }"),
        "defconfig:1:22: .tls.srv_key: it contains no PEM private key. \
         `.tls.srv_key` takes PEM blocks that begin with `-----BEGIN PRIVATE KEY-----`, or \"generate\""
    );
    assert_eq!(
        fault(&format!(".tls = {{ .ca_cert =\n{} }}", strings(&key))),
        "defconfig:2:2: .tls.ca_cert: this PEM block is not a certificate (block 1). \
         `.tls.ca_cert` takes PEM blocks that begin with `-----BEGIN CERTIFICATE-----`"
    );
    assert_eq!(
        fault(&format!(".tls.cli_key =\n{}", strings(&key.repeat(2)))),
        format!(
            "defconfig:{}:2: .tls.cli_key: it contains a second private key (block 2). \
             Keep the one that belongs to the certificate",
            2 + key.lines().count()
        )
    );
    assert_eq!(
        fault(&format!(".tls.srv_key =\n{}", strings(&key.repeat(5)))),
        format!(
            "defconfig:{}:2: .tls.srv_key: there are more than 4 private keys in it. \
             Keep those that are needed: one of each kind will do",
            2 + 4 * key.lines().count()
        )
    );
    let encrypted = key.replace("PRIVATE KEY-----\n", "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n");
    let encrypted = encrypted.replacen(
        "-----END PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n",
        "-----END PRIVATE KEY-----\n",
        1,
    );
    assert_eq!(
        fault(&server(&certificate, &encrypted)).split_once(": ").unwrap().1,
        ".tls.srv_key: the key is encrypted with a passphrase (block 1). \
         Decrypt it first: `openssl pkey -in FILE -out NEWFILE`"
    );
    assert_eq!(
        fault(&server(&certificate.repeat(MAX_CERTIFICATES + 1), &key))
            .split_once(": ")
            .unwrap()
            .1,
        ".tls.srv_cert: there are more than 16 PEM blocks in it. \
         Keep the leaf certificates and their intermediates; roots can be left out"
    );
    let block = |label: &str, bytes: usize| {
        format!(
            "-----BEGIN {label}-----\n{}-----END {label}-----\n",
            format!("{}\n", "A".repeat(64)).repeat(bytes / 48)
        )
    };
    assert_eq!(
        fault(&format!(
            ".tls.ca_cert =\n{}",
            strings(&block("CERTIFICATE", MAX_DER + 48))
        )),
        "defconfig:2:2: .tls.ca_cert: its PEM blocks take more than 16384 bytes together. \
         Keep the certificate authorities that are needed"
    );
    assert_eq!(
        fault(&format!(
            ".tls.srv_key =\n{}",
            strings(&block("PRIVATE KEY", MAX_KEY_DER + 48))
        )),
        "defconfig:2:2: .tls.srv_key: the private key takes more than 2560 bytes. \
         Use a key of another kind, or a smaller one; RSA keys go up to 4096 bits"
    );
}

#[test]
fn faults_of_certificates_and_keys() {
    let pki = Pki::new("RootCA");
    let key = KeyPair::generate().unwrap();
    let good = pki.issue(&key, 2026, 2027);
    let key_pem = key.serialize_pem();
    let message = |text: String| fault(&text);
    let ec = "Use ECDSA on P-256: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`";

    assert_eq!(
        message(server(&pki.issue(&key, 2024, 2026), &key_pem)),
        "defconfig:2:1: .tls.srv_cert: certificate 1 expired 2026-01-01. \
         Renew it; a longer life is `openssl x509 -days N`"
    );
    assert_eq!(
        message(server(&pki.issue(&key, 2027, 2028), &key_pem)),
        "defconfig:2:1: .tls.srv_cert: certificate 1 is not valid before 2027-01-01 00:00:00 UTC, \
         and now is 2026-06-01 12:00:00 UTC. Wait until then, set the clock, or have the certificate issued again"
    );
    assert_eq!(
        message(format!(".tls.ca_cert = {}", strings(&pki.issue(&key, 2020, 2021)))),
        "defconfig:1:5: .tls.ca_cert: certificate 1 expired 2021-01-01. \
         Renew it; a longer life is `openssl x509 -days N`"
    );
    assert_eq!(
        fault_at(server(&good, &key_pem).as_bytes(), NOW - 3600, NOW),
        "defconfig:2:1: .tls.srv_cert: the clock reads 2026-06-01 11:00:00 UTC, but the build is of \
         2026-06-01 12:00:00 UTC: dates cannot be verified. Set the machine's clock"
    );
    assert_eq!(
        message(format!(".tls.srv_cert = {}", strings(&good))),
        "defconfig:1:5: .tls.srv_cert: there is no private key for this certificate. Set `.tls.srv_key` as well"
    );
    assert_eq!(
        message(format!(".tls.srv_key = {}", strings(&key_pem))),
        "defconfig:1:5: .tls.srv_key: there is no certificate for this private key. Set `.tls.srv_cert` as well"
    );
    let other = KeyPair::generate().unwrap().serialize_pem();
    let line = 4 + good.lines().count();
    assert_eq!(
        message(server(&good, &other)),
        format!(
            "defconfig:{line}:1: .tls.srv_key: this private key does not belong to the certificate. \
             Use the key with which the request for the certificate was made"
        )
    );
    assert_eq!(
        message(server(&format!("{}{good}", pki.ca.pem()), &key_pem)),
        "defconfig:2:1: .tls.srv_cert: certificate 1 belongs to none of the private keys, but certificate 2 does. \
         Put that certificate first, then the one that issued it, and so on"
    );
    let other = Pki::new("Other CA");
    assert_eq!(
        message(server(&format!("{good}{}", other.ca.pem()), &key_pem)),
        "defconfig:2:1: .tls.srv_cert: certificate 1 was not issued by certificate 2. \
         Order them: the leaf first, then the one that issued it, and so on"
    );
    assert_eq!(
        message(
            ".tls.ca_cert = \"-----BEGIN CERTIFICATE-----\\n\" \"AAAA\\n\" \"-----END CERTIFICATE-----\\n\"".into()
        ),
        "defconfig:1:5: .tls.ca_cert: certificate 1 is broken: malformed (not a DER SEQUENCE). \
         Use X.509 certificates as `openssl req -x509` and `openssl x509` make them"
    );
    for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        assert_eq!(message(server(&pki.issue(&key, 2026, 2027), &key.serialize_pem())), "");
    }
    let rsa = "-----BEGIN RSA PRIVATE KEY-----\nMAMCAQA=\n-----END RSA PRIVATE KEY-----\n";
    assert_eq!(
        message(server(&good, &rsa.replace("RSA", "DSA"))),
        format!("defconfig:{line}:1: .tls.srv_key: DSA keys are not supported yet. {ec}")
    );
    assert_eq!(
        message(server(&good, &format!("{key_pem}{rsa}"))),
        format!(
            "defconfig:{line}:1: .tls.srv_key: private key 2: the DER of the key is malformed. \
             Create a new one: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"
        )
    );
    assert_eq!(
        message(server(&good, &rsa_key(1024))),
        format!(
            "defconfig:{line}:1: .tls.srv_key: RSA keys of 1024 bits are not supported (2048 to 4096 are). \
             Create a new one: `openssl genpkey -algorithm RSA` makes one of 2048 bits"
        )
    );
    let encrypted = rsa.replace("RSA", "ENCRYPTED");
    assert_eq!(
        message(server(&good, &encrypted)),
        format!(
            "defconfig:{line}:1: .tls.srv_key: the key is encrypted with a passphrase. \
             Decrypt it first: `openssl pkey -in FILE -out NEWFILE`"
        )
    );
    assert_eq!(
        message(server(&good, &rsa.replace("RSA", "EC"))),
        format!(
            "defconfig:{line}:1: .tls.srv_key: the DER of the key is malformed. \
             Create a new one: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"
        )
    );
}

/// An RSA key as OpenSSL makes it, PKCS#8 in PEM. (rcgen can make none.)
fn rsa_key(bits: usize) -> String {
    let output = std::process::Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            &format!("rsa_keygen_bits:{bits}"),
        ])
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn several_identities_stand_side_by_side() {
    let (root, middle) = (Pki::new("RootCA"), Pki::new("Middle"));
    let rsa = KeyPair::from_pem(&rsa_key(2048)).unwrap();
    let p256 = KeyPair::generate().unwrap();
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let certificates = [
        middle.issue(&rsa, 2026, 2027),
        middle.ca.pem(),
        root.issue(&ed25519, 2026, 2027),
        root.issue(&p256, 2026, 2027),
        root.ca.pem(),
        // Another name for the same key.
        root.issue(&p256, 2026, 2027),
    ]
    .concat();
    let keys = [&p256, &rsa, &ed25519].map(KeyPair::serialize_pem).concat();
    let text = server(&certificates, &keys);
    assert_eq!(fault(&text), "");
    let found = read(&text).server().unwrap();
    assert_eq!(
        found.keys.iter().map(|key| key.algorithm()).collect::<Vec<_>>(),
        ["ECDSA P-256", "RSA", "Ed25519"]
    );
    let part = |certificates, key| Part { certificates, key };
    assert_eq!(
        found.parts,
        [part(0..2, 1), part(2..3, 2), part(3..5, 0), part(5..6, 0)]
    );
}

#[test]
fn faults_of_several_identities() {
    let (root, middle) = (Pki::new("RootCA"), Pki::new("Middle"));
    let keys: Vec<_> = (0..6).map(|_| KeyPair::generate().unwrap()).collect();
    let leaf = |number: usize| root.issue(&keys[number], 2026, 2027);
    let pems = |numbers: &[usize]| numbers.iter().map(|&n| keys[n].serialize_pem()).collect::<String>();
    let key_line = |certificates: &str| 4 + certificates.lines().count();

    let two = [leaf(0), leaf(1)].concat();
    assert_eq!(fault(&server(&two, &pems(&[1, 0]))), "");
    assert_eq!(
        fault(&server(&two, &pems(&[1, 0, 2]))),
        format!(
            "defconfig:{}:1: .tls.srv_key: none of the certificates belongs to private key 3. \
             Put its certificate into `.tls.srv_cert`, or remove the key",
            key_line(&two)
        )
    );
    assert_eq!(
        fault(&server(&two, &pems(&[1]))),
        "defconfig:2:1: .tls.srv_cert: certificate 1 belongs to none of the private keys, but certificate 2 does. \
         Put that certificate first, then the one that issued it, and so on"
    );
    assert_eq!(
        fault(&server(&two, &pems(&[0]))),
        "defconfig:2:1: .tls.srv_cert: certificate 2 has not issued the one before it, \
         and belongs to none of the private keys. \
         If it begins a chain of its own, its private key is missing in `.tls.srv_key`"
    );
    // The second chain has the wrong intermediate.
    assert_eq!(
        fault(&server(
            &[leaf(0), root.ca.pem(), leaf(1), middle.ca.pem()].concat(),
            &pems(&[0, 1])
        )),
        "defconfig:2:1: .tls.srv_cert: certificate 3 was not issued by certificate 4. \
         Order them: the leaf first, then the one that issued it, and so on"
    );
    let five = [0, 1, 2, 3, 0].map(leaf).concat();
    assert_eq!(
        fault(&server(&five, &pems(&[0, 1, 2, 3]))),
        "defconfig:2:1: .tls.srv_cert: there are more than 4 chains of certificates in it. \
         Keep those that are needed: one for each kind of key will do"
    );
    assert_eq!(
        fault(&server(
            &[leaf(0), root.issue(&keys[1], 2024, 2025)].concat(),
            &pems(&[0, 1])
        )),
        "defconfig:2:1: .tls.srv_cert: certificate 2 expired 2025-01-01. \
         Renew it; a longer life is `openssl x509 -days N`"
    );
}

#[test]
fn the_clients_identity_is_checked_as_well() {
    let root = Pki::new("RootCA");
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let good = root.issue(&key, 2026, 2027);
    let client =
        |certificates: &str, key: &KeyPair| server(certificates, &key.serialize_pem()).replace(".srv_", ".cli_");
    let text = client(&format!("{good}{}", root.ca.pem()), &key);
    assert_eq!(fault(&text), "");
    let config = read(&text);
    let found = config.client().unwrap();
    assert_eq!((found.keys.len(), found.parts[0].certificates.clone()), (1, 0..2));
    assert!(config.server().unwrap().parts.is_empty());

    let line = 4 + good.lines().count();
    for (text, message) in [
        (
            client(&good, &other),
            format!(
                "{line}:1: .tls.cli_key: this private key does not belong to the certificate. \
                 Use the key with which the request for the certificate was made"
            ),
        ),
        (
            client(&root.issue(&key, 2024, 2026), &key),
            "2:1: .tls.cli_cert: certificate 1 expired 2026-01-01. Renew it; a longer life is `openssl x509 -days N`"
                .into(),
        ),
        (
            client(&good.repeat(2), &key),
            "2:1: .tls.cli_cert: there is more than one chain of certificates in it. \
             Keep those that are needed: one for each kind of key will do"
                .into(),
        ),
        (
            format!(".tls.cli_cert = {}", strings(&good)),
            "1:5: .tls.cli_cert: there is no private key for this certificate. Set `.tls.cli_key` as well".into(),
        ),
        (
            format!(".tls.cli_key = {}", strings(&key.serialize_pem())),
            "1:5: .tls.cli_key: there is no certificate for this private key. Set `.tls.cli_cert` as well".into(),
        ),
    ] {
        assert_eq!(fault(&text), format!("defconfig:{message}"));
    }
}

/// A revocation list of `ca`, version 2.
fn crl(ca: &Pki) -> String {
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2026, 2, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::from([RevokedCertParams {
            serial_number: 7.into(),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }]),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&ca.ca).unwrap().pem().unwrap()
}

#[test]
fn revocation_lists_are_read_and_checked() {
    let (root, other) = (Pki::new("RootCA"), Pki::new("Other"));
    let ca = format!(".tls.ca_cert =\n{}", strings(&root.ca.pem()));
    let lists = [crl(&root), crl(&other)].concat();
    // An expired one is no fault here: it is verified when it is used.
    let text = format!("{ca},\n.tls.crl = {}", strings(&lists));
    assert_eq!(fault(&text), "");
    assert_eq!(read(&text).tls.crl.len(), 2);

    let line = 3 + root.ca.pem().lines().count();
    let block = |der: &str| format!("-----BEGIN X509 CRL-----\n{der}\n-----END X509 CRL-----\n");
    for (crl, message) in [
        (
            block("MAMCAQA="),
            format!(
                "{line}:5: .tls.crl: revocation list 1 is broken. \
                 Use a complete list of one CA, as `openssl ca -gencrl` makes it"
            ),
        ),
        (
            block("A!=="),
            format!(
                "{}:3: .tls.crl: the PEM block contains invalid base64 (block 1). \
                 Copy the PEM again, whole; as strings, each line ends in `\\n`",
                line + 1
            ),
        ),
        (
            root.ca.pem(),
            format!(
                "{line}:13: .tls.crl: this PEM block is not a revocation list (block 1). \
                 `.tls.crl` takes PEM blocks that begin with `-----BEGIN X509 CRL-----`"
            ),
        ),
        (
            "none".into(),
            format!(
                "{line}:13: .tls.crl: it contains no PEM revocation list. \
                 `.tls.crl` takes PEM blocks that begin with `-----BEGIN X509 CRL-----`"
            ),
        ),
        (
            lists.repeat(5),
            format!(
                "{}:2: .tls.crl: there are more than 8 PEM blocks in it. Keep the revocation lists that are needed",
                line + 4 * lists.lines().count()
            ),
        ),
    ] {
        let text = format!("{ca},\n.tls.crl = {}", strings(&crl));
        assert_eq!(fault(&text), format!("defconfig:{message}"), "{text}");
    }
    assert_eq!(
        fault(&format!(".tls.crl = {}", strings(&crl(&root)))),
        "defconfig:1:5: .tls.crl: no CA is configured for this revocation list. Set `.tls.ca_cert` as well"
    );
}

#[test]
fn client_authentication_wants_a_ca() {
    let root = Pki::new("RootCA");
    let key = KeyPair::generate().unwrap();
    let identity = server(&root.issue(&key, 2026, 2027), &key.serialize_pem());
    for mode in ["optional", "required"] {
        let text = format!(
            ".tls.client_auth = \"{mode}\",\n{}",
            identity.replace(".tls = {", "").replace('}', "")
        )
        .replace("\n.srv_", "\n.tls.srv_");
        assert_eq!(
            fault(&text),
            "defconfig:1:5: .tls.client_auth: there is no CA to verify client certificates with. \
             Set `.tls.ca_cert` as well"
        );
        assert_eq!(fault(&format!("{text}.tls.ca_cert = {}", strings(&root.ca.pem()))), "");
        // Then the throw-away certificates serve, and these have a CA.
        assert_eq!(fault(&format!(".tls.client_auth = \"{mode}\"")), "");
    }
}

#[test]
fn where_the_other_end_must_prove_who_it_is_a_ca_is_wanted() {
    let root = Pki::new("RootCA");
    let key = KeyPair::generate().unwrap();
    let identity = server(&root.issue(&key, 2026, 2027), &key.serialize_pem());
    let ca = format!(",\n.tls.ca_cert = {}", strings(&root.ca.pem()));
    for (text, message) in [
        (
            ".vmm.tls_dbgsh = 992",
            ".vmm.tls_dbgsh: there is no CA to verify client certificates with. Set `.tls.ca_cert` as well",
        ),
        (
            ".echo.reverse = { { .host = \"a\", .port = 1 } }",
            ".echo.reverse: there is no CA to verify the peer with. Set `.tls.ca_cert` as well, or `.plain = 1` to do \
             without TLS",
        ),
    ] {
        assert_eq!(
            fault(&format!("{text},\n{identity}")),
            format!(
                "defconfig:1:{}: {message}",
                if text.starts_with(".vmm") { 5 } else { 6 }
            )
        );
        assert_eq!(fault(&format!("{text},\n{identity}{ca}")), "");
        // Then the throw-away certificates serve.
        assert_eq!(fault(text), "");
    }
    let plain = ".echo.reverse = { { .host = \"a\", .port = 1, .plain = 1 } }";
    assert_eq!(fault(&format!("{plain},\n{identity}")), "");
}
