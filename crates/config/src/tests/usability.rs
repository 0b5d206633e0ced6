//! Errors and warnings on unusable CAs, revocation lists and own certificates.

use std::process::Command;
use std::vec;

use postern_testing::lists;
use rcgen::{CustomExtension, ExtendedKeyUsagePurpose, KeyUsagePurpose, PKCS_RSA_SHA256};

use super::*;

/// What [`Config::warnings`] says of a text that is good.
fn warnings(text: &str) -> Vec<String> {
    assert_eq!(fault(text), "");
    let mut said = Vec::new();
    read(text).warnings(&mut |warning| said.push(warning.at("defconfig").to_string()));
    said
}

fn issuer(change: impl FnOnce(&mut CertificateParams)) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "RootCA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn openssl(arguments: &str) -> String {
    let output = Command::new("openssl").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn unusable_cas_are_refused_with_the_reason() {
    let ca = |pem: &str| fault(&format!(".tls.ca_cert =\n{}", strings(pem)));
    let made = |change: fn(&mut CertificateParams)| ca(&issuer(change).pem());
    let start = "defconfig:1:5: .tls.ca_cert: certificate 1 cannot be used as a CA: ";
    for (key, reason) in [
        ("rsa:1024", "its key is RSA with 1024 bits (2048 to 4096 are supported)"),
        (
            "ec -pkeyopt ec_paramgen_curve:P-521",
            "its key has an unsupported type (supported: P-256, P-384, Ed25519, RSA)",
        ),
        (
            "ed448",
            "its key has an unsupported type (supported: P-256, P-384, Ed25519, RSA)",
        ),
    ] {
        let pem = openssl(&format!("req -x509 -nodes -keyout /dev/null -subj /CN=x -newkey {key}"));
        assert_eq!(ca(&pem), format!("{start}{reason}. Remove it"));
    }
    assert_eq!(
        made(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
        format!("{start}it may not sign certificates (keyUsage lacks keyCertSign). Remove it")
    );
    assert_eq!(
        made(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]),
        format!("{start}its extendedKeyUsage has neither serverAuth nor clientAuth. Remove it")
    );
    assert_eq!(
        made(|params| {
            let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
            extension.set_criticality(true);
            params.custom_extensions = vec![extension];
        }),
        format!("{start}it has an unsupported critical extension (1.2.3.4). Remove it")
    );
    assert_eq!(
        made(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]),
        ""
    );
}

#[test]
fn a_ca_that_is_none_is_a_warning() {
    let leaf = issuer(|params| params.is_ca = IsCa::ExplicitNoCa);
    let text = format!(".tls.ca_cert =\n{}", strings(&leaf.pem()));
    assert_eq!(
        warnings(&text),
        [
            "defconfig:1:5: .tls.ca_cert: certificate 1 is not a CA certificate (it lacks basicConstraints CA:TRUE): it only \
             trusts a peer that presents exactly this certificate. Configure its issuer to trust other certificates as \
             well"
        ]
    );
    let good = format!(".tls.ca_cert =\n{}", strings(&Pki::new("RootCA").ca.pem()));
    assert!(warnings(&good).is_empty());
}

/// Everything that is said of these lists and this CA, at build and reload.
fn list_fault(ca: &str, list: &str, bundle: bool) -> String {
    let key = if bundle { ".tls.root_certs" } else { ".tls.ca_cert" };
    let text = format!(".tls.crl =\n{},\n{key} =\n{}", strings(list), strings(ca));
    let mut config = read(&text);
    if bundle {
        let (mut ders, mut scratch) = (Vec::new(), Box::new(Scratch::new()));
        let bundle = &mut config.tls.root_certs;
        let mut add = |der: &[u8]| ders.push(&*der.to_vec().leak());
        bundle.read(text.as_bytes(), &mut scratch, &mut add).unwrap();
        bundle.keep(ders.leak());
    }
    let checked = config.check(NOW, NOW).and_then(|()| config.check_list_dates(NOW));
    checked.map_or_else(|error| error.to_string(), |()| String::new())
}

#[test]
fn each_list_that_cannot_be_used_is_refused_with_the_reason() {
    let ca = Pki::new("RootCA").ca;
    for (list, reason) in lists::unusable(&ca) {
        for bundle in [false, true] {
            let message = list_fault(&ca.pem(), &list, bundle);
            let start = format!("1:5: .tls.crl: revocation list 1 {reason}");
            assert!(message.starts_with(&start), "{message}");
        }
    }
    assert_eq!(list_fault(&ca.pem(), &lists::good(&ca), false), "");
    // The list may be that of an intermediate, whose signature is looked at when it comes.
    let other = Pki::new("Other").ca;
    assert_eq!(list_fault(&other.pem(), &lists::good(&ca), false), "");
    // Handshakes verify that with each path: as many as their signature checks allow. Those of configured CAs they do not.
    assert_eq!(list_fault(&other.pem(), &lists::good(&ca).repeat(6), false), "");
    assert_eq!(
        list_fault(&other.pem(), &lists::good(&ca).repeat(7), false),
        "1:5: .tls.crl: revocation list 7 is one too many: its CA is not configured, and of such a CA handshakes verify 6. \
         Use the newest list of that CA"
    );
    for bundle in [false, true] {
        assert_eq!(list_fault(&ca.pem(), &lists::good(&ca).repeat(8), bundle), "");
    }

    let may_not = issuer(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    assert_eq!(
        list_fault(&may_not.pem(), &lists::good(&may_not), false),
        "1:5: .tls.crl: revocation list 1 is signed by a CA that may not sign revocation lists (keyUsage lacks cRLSign). \
         Give the CA's certificate keyUsage cRLSign, or remove the list"
    );
}

#[test]
fn chains_are_followed_as_a_peer_does() {
    let (root, namesake) = (Pki::new("RootCA"), Pki::new("RootCA"));
    let key = KeyPair::generate().unwrap();
    let (leaf, pem) = (root.issue(&key, 2026, 2027), key.serialize_pem());
    let good = format!("{leaf}{}", root.ca.pem());
    assert!(warnings(&server(&good, &pem)).is_empty());
    assert_eq!(
        fault(&server(&format!("{leaf}{}", namesake.ca.pem()), &pem)),
        "defconfig:2:1: .tls.srv_cert: certificate 1 was not signed by the key of certificate 2, which has the name of its \
         issuer. Use the issuer's certificate for the key that has signed it"
    );
    for (certificates, numbers) in [
        (format!("{leaf}{good}"), "certificate 2 is the same as certificate 1"),
        (
            format!("{good}{}", root.ca.pem()),
            "certificate 3 is the same as certificate 2",
        ),
    ] {
        assert_eq!(
            fault(&server(&certificates, &pem)),
            format!("defconfig:2:1: .tls.srv_cert: {numbers}. Remove it")
        );
    }
    // Two chains may have an intermediate in common.
    let other = KeyPair::generate().unwrap();
    let two = format!("{good}{}{}", root.issue(&other, 2026, 2027), root.ca.pem());
    assert!(warnings(&server(&two, &(pem.clone() + &other.serialize_pem()))).is_empty());

    // A renewed certificate in front of the old chain.
    let renewed = root.issue(&key, 2026, 2028);
    assert_eq!(
        warnings(&server(&format!("{renewed}{good}"), &pem)),
        [
            "defconfig:2:1: .tls.srv_cert: certificate 1 is sent without its issuer, certificate 3, which is in another \
             chain. Put the issuer after it as well"
        ]
    );
    // Intermediates that are none.
    let chain = |change: fn(&mut CertificateParams)| {
        let middle = issuer(change);
        let params = CertificateParams::new(["localhost".to_string()]).unwrap();
        let leaf = params.signed_by(&key, &middle).unwrap().pem();
        warnings(&server(&format!("{leaf}{}", middle.pem()), &pem))
    };
    let start = "defconfig:2:1: .tls.srv_cert: peers will refuse certificate 1: ";
    let end = ". Have it reissued by a CA that peers accept";
    for (said, reason) in [
        (
            chain(|params| params.is_ca = IsCa::ExplicitNoCa),
            "issuer is not a CA: CN=RootCA",
        ),
        (
            chain(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
            "issuer may not sign certificates (keyUsage lacks keyCertSign): CN=RootCA",
        ),
    ] {
        assert_eq!(said, [format!("{start}{reason}{end}")]);
    }
}

#[test]
fn certificates_that_peers_refuse_are_a_warning() {
    let root = Pki::new("RootCA").ca;
    let key = KeyPair::generate().unwrap();
    let leaf = |purposes: &[ExtendedKeyUsagePurpose], usages: &[KeyUsagePurpose]| {
        let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
        (params.extended_key_usages, params.key_usages) = (purposes.to_vec(), usages.to_vec());
        server(&params.signed_by(&key, &root).unwrap().pem(), &key.serialize_pem())
    };
    let client = |text: String| text.replace(".srv_", ".cli_");
    let (for_server, for_client) = (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
    let unknown = {
        let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions = vec![extension];
        server(&params.signed_by(&key, &root).unwrap().pem(), &key.serialize_pem())
    };
    for (text, message) in [
        (
            unknown,
            ".tls.srv_cert: peers will refuse certificate 1: certificate has an unsupported critical extension. \
             Reissue it without that extension, or with it not critical",
        ),
        (
            leaf(std::slice::from_ref(&for_client), &[]),
            ".tls.srv_cert: peers will refuse certificate 1: certificate is for client authentication, not for server \
             authentication. Reissue it with extendedKeyUsage serverAuth, or without any",
        ),
        (
            client(leaf(std::slice::from_ref(&for_server), &[])),
            ".tls.cli_cert: peers will refuse certificate 1: certificate is for server authentication, not for client \
             authentication. Reissue it with extendedKeyUsage clientAuth, or without any",
        ),
        (
            leaf(&[], &[KeyUsagePurpose::KeyEncipherment]),
            ".tls.srv_cert: peers will refuse certificate 1: certificate's keyUsage does not include digitalSignature. \
             Reissue it with keyUsage digitalSignature, or without any",
        ),
    ] {
        assert_eq!(warnings(&text), [format!("defconfig:2:1: {message}")]);
    }
    for good in [
        leaf(&[], &[]),
        leaf(
            &[for_server.clone(), for_client.clone()],
            &[KeyUsagePurpose::DigitalSignature],
        ),
        client(leaf(&[for_client], &[])),
    ] {
        assert!(warnings(&good).is_empty());
    }

    // sha256WithRSAEncryption, called sha1WithRSAEncryption.
    let rsa = openssl("genpkey -algorithm RSA");
    let rsa = KeyPair::from_pem_and_sign_algo(&rsa, &PKCS_RSA_SHA256).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "RSA");
    let root = CertifiedIssuer::self_signed(params, rsa).unwrap();
    let params = CertificateParams::new(["localhost".to_string()]).unwrap();
    let mut der = params.signed_by(&key, &root).unwrap().der().to_vec();
    let sha256 = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
    while let Some(at) = der.windows(9).position(|window| window == sha256) {
        der[at + 8] = 5;
    }
    let pem = pem_rfc7468::encode_string("CERTIFICATE", pem_rfc7468::LineEnding::LF, &der).unwrap();
    assert_eq!(
        warnings(&server(&pem, &key.serialize_pem())),
        [
            "defconfig:2:1: .tls.srv_cert: peers will refuse certificate 1: it is signed with SHA-1. Have it reissued by a \
             CA that peers accept"
        ]
    );
}
