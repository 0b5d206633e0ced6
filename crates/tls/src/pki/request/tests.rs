//! Requests and self-signed certificates: their bytes, and how they are read.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::string::{String, ToString as _};
use std::vec;
use std::vec::Vec;

use super::*;
use crate::pki::cert::{CertError, Certificate};
use crate::pki::error::CertificateError;
use crate::pki::own::{check_leaf, check_link};
use crate::pki::pem::Encoded;
use crate::support::{Dir, Rng, element};

const SUBJECT: &str = "CN=machine 7,OU=Gates,O=Example,C=JP";
const NAMES: [Alternative<'_>; 3] = [
    Alternative::Dns("echo.example"),
    Alternative::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15))),
    Alternative::Ip(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x15))),
];

const SERVER: Request<'_> = Request {
    subject: SUBJECT,
    names: &NAMES,
    role: Role::Server,
};
const CLIENT: Request<'_> = Request {
    subject: "CN=machine",
    names: &[],
    role: Role::Client,
};

fn key(seed: u64) -> SigningKey {
    SigningKey::generate(&mut Rng(seed))
}

fn sign(request: &Request<'_>, key: &SigningKey) -> Vec<u8> {
    request.sign(key, &mut Rng(9), &mut [0; 1024]).unwrap().to_vec()
}

/// One RDN of a UTF8String, or of a PrintableString for C.
fn rdn(arc: u8, value: &str) -> Vec<u8> {
    let tag = if arc == 6 { 0x13 } else { 0x0c };
    let attribute = [&[6, 3, 0x55, 4, arc][..], &element(tag, &[value.as_bytes()])].concat();
    element(0x31, &[&element(0x30, &[&attribute])])
}

#[test]
fn a_request_has_the_bytes_of_rfc_2986() {
    let key = key(1);
    let SigningKey::EcdsaP256(secret) = &key else {
        panic!("not P-256")
    };
    let point = secret.verifying_key().to_sec1_point(false);
    let spki = element(0x30, &[P256_KEY, &element(3, &[&[0], point.as_bytes()])]);
    assert_eq!(spki.len(), SPKI);
    let extension = |oid: &[u8], critical: &[u8], value: &[u8]| {
        element(
            0x30,
            &[&element(6, &[b"\x55\x1d", oid]), critical, &element(4, &[value])],
        )
    };
    const CRITICAL: &[u8] = &[1, 1, 0xff];
    let purpose = |last| element(0x30, &[&element(6, &[b"\x2b\x06\x01\x05\x05\x07\x03", &[last]])]);
    let names = element(
        0x30,
        &[
            &element(0x82, &[b"echo.example"]),
            &element(0x87, &[&[10, 0, 2, 15]]),
            &element(0x87, &[b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x15"]),
        ],
    );
    let info = |subject: &[Vec<u8>], purpose: &[u8], names: &[u8]| {
        let extensions = [
            extension(&[19], CRITICAL, &[0x30, 0]),
            extension(&[15], CRITICAL, &[3, 2, 7, 0x80]),
            extension(&[37], &[], purpose),
            names.to_vec(),
        ];
        let extensions = element(0x30, &[&extensions.concat()]);
        let attribute = element(0x30, &[EXTENSION_REQUEST, &element(0x31, &[&extensions])]);
        let subject = element(0x30, &[&subject.concat()]);
        element(0x30, &[&[2, 1, 0], &subject, &spki, &element(0xa0, &[&attribute])])
    };
    let subject = [rdn(6, "JP"), rdn(10, "Example"), rdn(11, "Gates"), rdn(3, "machine 7")];
    let of_server = info(&subject, &purpose(1), &extension(&[17], &[], &names));
    let of_client = info(&[rdn(3, "machine")], &purpose(2), &[]);
    for (request, info) in [(SERVER, of_server), (CLIENT, of_client)] {
        let der = sign(&request, &key);
        let (signed, rest) = der[4..].split_at(info.len());
        assert_eq!(signed, info);
        assert!(rest.starts_with(ECDSA_WITH_SHA256));
    }
    assert_eq!(key_hash(&key).unwrap().0, <[u8; 32]>::from(Sha256::digest(&spki)));
}

#[test]
fn requests_are_read_and_verified() {
    let key = key(2);
    let der = sign(&SERVER, &key);
    let request = ReceivedRequest::from_der(&der).unwrap();
    assert_eq!(request.subject.to_string(), SUBJECT);
    assert!(key.public_key_matches(request.public_key.der));
    assert_eq!(request.names().flatten().collect::<Vec<_>>(), NAMES);
    assert_eq!((request.ca, request.verify()), (false, Ok(())));
    let der = sign(&CLIENT, &key);
    let request = ReceivedRequest::from_der(&der).unwrap();
    assert_eq!((request.names().count(), request.verify()), (0, Ok(())));

    // A bit of each byte that is signed.
    for at in 4..der.len() {
        let mut broken = der.clone();
        broken[at] ^= 1;
        let verdict = ReceivedRequest::from_der(&broken).map(|request| request.verify());
        assert_ne!(verdict, Ok(Ok(())), "{at}");
    }
    for length in 0..der.len() {
        assert!(ReceivedRequest::from_der(&der[..length]).is_err(), "{length}");
    }
    assert!(ReceivedRequest::from_der(&[&der[..], &[0]].concat()).is_err());
}

#[test]
fn requests_of_openssl_are_read() {
    let dir = Dir::new();
    let request = |arguments: &str| {
        dir.openssl(&format!(
            "req -new -outform DER -out r.der -subj /O=Example/CN=x -noenc -keyout k.pem {arguments}"
        ));
        dir.read("r.der")
    };
    let der = request("-newkey rsa:2048 -addext subjectAltName=DNS:a.example,email:a@b.example,IP:::1");
    let read = ReceivedRequest::from_der(&der).unwrap();
    assert_eq!(read.subject.to_string(), "CN=x,O=Example");
    assert_eq!(read.names().filter(Option::is_none).count(), 1);
    assert_eq!(read.names().count(), 3);
    #[cfg(feature = "rsa")]
    assert_eq!(read.verify(), Ok(()));
    let der = request("-newkey rsa:1024");
    assert_eq!(
        ReceivedRequest::from_der(&der).unwrap().verify(),
        Err(CertificateError::UnsupportedSignatureAlgorithm)
    );
    let der = request("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -addext basicConstraints=CA:TRUE");
    let read = ReceivedRequest::from_der(&der).unwrap();
    assert_eq!((read.ca, read.verify()), (true, Ok(())));
}

#[test]
fn an_extension_that_occurs_twice_is_refused() {
    let constraints = element(0x30, &[b"\x06\x03\x55\x1d\x13", &element(4, &[&[0x30, 0]])]);
    let extensions = element(0x30, &[&constraints, &constraints]);
    let attribute = element(0x30, &[EXTENSION_REQUEST, &element(0x31, &[&extensions])]);
    let key = element(0x30, &[P256_KEY, &[3, 2, 0, 4]]);
    let info = |attributes: &[&[u8]]| {
        let info = element(0x30, &[&[2, 1, 0, 0x30, 0], &key, &element(0xa0, attributes)]);
        element(0x30, &[&info, ECDSA_WITH_SHA256, &[3, 2, 0, 1]])
    };
    let fault = |der: &[u8]| ReceivedRequest::from_der(der).unwrap_err();
    assert_eq!(fault(&info(&[&attribute])), CertError::RepeatedExtension);
    let once = element(0x30, &[EXTENSION_REQUEST, &element(0x31, &[&element(0x30, &[])])]);
    assert!(ReceivedRequest::from_der(&info(&[&once])).is_ok());
    assert_eq!(fault(&info(&[&once, &once])), CertError::RepeatedExtension);
}

#[test]
fn a_self_signed_certificate_verifies_as_one_of_a_server() {
    let key = key(3);
    let dates = [Date(1_800_000_000), Date(1_802_592_000)];
    let mut buffer = [0; 1024];
    let der = SERVER.self_sign(&key, dates, &mut Rng(4), &mut buffer).unwrap();
    let certificate = Certificate::from_der(der).unwrap();
    assert_eq!(certificate.version, 3);
    assert_eq!([certificate.not_before, certificate.not_after], dates);
    assert_eq!(certificate.subject.to_string(), SUBJECT);
    assert!(certificate.is_self_issued() && !certificate.is_ca());
    assert_eq!(certificate.alternatives().collect::<Vec<_>>(), NAMES);
    assert_eq!(certificate.serial.len(), SERIAL);
    assert_eq!(check_leaf(&certificate, Role::Server), Ok(()));
    assert!(key.public_key_matches(certificate.public_key.der));
    // Signed by its own key, which is no CA's.
    assert!(matches!(
        check_link(&certificate, &certificate, 0),
        Err(CertificateError::NotACa { .. })
    ));
    let later = [Date(2_500_000_000), Date(2_600_000_000)];
    let der = CLIENT.self_sign(&key, later, &mut Rng(5), &mut buffer).unwrap();
    let certificate = Certificate::from_der(der).unwrap();
    assert_eq!([certificate.not_before, certificate.not_after], later);
    assert_eq!(check_leaf(&certificate, Role::Client), Ok(()));
}

#[test]
fn openssl_reads_requests_and_certificates() {
    let (dir, key) = (Dir::new(), key(6));
    let der = sign(&SERVER, &key);
    let mut pem = String::from("-----BEGIN CERTIFICATE REQUEST-----\n");
    pem += &Encoded(&der).to_string();
    pem += "-----END CERTIFICATE REQUEST-----\n";
    dir.write("r.pem", pem);
    dir.openssl("req -in r.pem -verify -noout -text -out text");
    let text = String::from_utf8(dir.read("text")).unwrap();
    for part in [
        "Subject: C = JP, O = Example, OU = Gates, CN = machine 7",
        "ASN1 OID: prime256v1",
        "CA:FALSE",
        "Digital Signature",
        "TLS Web Server Authentication",
        "DNS:echo.example, IP Address:10.0.2.15, IP Address:2001:DB8:0:0:0:0:0:15",
        "Signature Algorithm: ecdsa-with-SHA256",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let dates = [Date(1_700_000_000), Date(4_000_000_000)];
    let mut buffer = [0; 1024];
    let der = SERVER.self_sign(&key, dates, &mut Rng(7), &mut buffer).unwrap();
    dir.write("c.der", der);
    dir.openssl("x509 -in c.der -inform DER -out c.pem");
    dir.openssl("verify -x509_strict -check_ss_sig -purpose sslserver -verify_ip 2001:db8::15 -CAfile c.pem c.pem");
    dir.openssl("verify -partial_chain -trusted c.pem -verify_hostname echo.example c.pem");
}

#[test]
fn subjects_are_what_they_are_displayed_as() {
    for good in ["CN=a", SUBJECT, "CN=日本,O=a b", "C=JP,ST=a,L=b,O=c,OU=d,OU=e,CN=f"] {
        assert!(is_subject(good), "{good}");
        let request = Request {
            subject: good,
            ..CLIENT
        };
        let der = sign(&request, &key(8));
        assert_eq!(ReceivedRequest::from_der(&der).unwrap().subject.to_string(), good);
    }
    let long = std::format!("CN={}", "a".repeat(65));
    for bad in [
        "",
        "CN",
        "CN=",
        "cn=a",
        "X=a",
        "CN=a,",
        "CN=a,,O=b",
        "CN= a",
        "CN=a ",
        "CN=#a",
        "CN=a+O=b",
        "CN=a\\",
        "CN=a\n",
        "C=J",
        "C=jp",
        "CN=a, O=b",
        &long,
    ] {
        assert!(!is_subject(bad), "{bad}");
    }
}

#[test]
fn what_cannot_be_made_is_refused() {
    let key = key(10);
    let whole = sign(&SERVER, &key).len();
    let mut shortest = 0;
    for length in 0..=whole + 8 {
        match SERVER.sign(&key, &mut Rng(9), &mut vec![0; length]) {
            Ok(_) => break,
            Err(error) => assert_eq!(error, RequestError::TooLong, "{length}"),
        }
        shortest = length;
    }
    assert!(shortest < whole, "{shortest} {whole}");
    let wrong = Request {
        subject: "CN",
        ..CLIENT
    };
    assert_eq!(
        wrong.sign(&key, &mut Rng(9), &mut [0; 1024]).unwrap_err(),
        RequestError::Subject
    );
    let dates = [Date(0), Date(u64::MAX)];
    assert_eq!(
        CLIENT.self_sign(&key, dates, &mut Rng(9), &mut [0; 1024]).unwrap_err(),
        RequestError::Date
    );
    #[cfg(feature = "ed25519")]
    {
        let other = SigningKey::from_der("PRIVATE KEY", &crate::support::unhex(ED25519_KEY)).unwrap();
        assert_eq!(
            CLIENT.sign(&other, &mut Rng(9), &mut [0; 1024]).unwrap_err(),
            RequestError::Key
        );
    }
}

/// RFC 8410 §10.3.
#[cfg(feature = "ed25519")]
const ED25519_KEY: &str =
    "302e020100300506032b657004220420d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842";

#[test]
fn keys_are_wiped_on_drop() {
    fn is_wiped<T: zeroize::ZeroizeOnDrop>() {}
    is_wiped::<p256::ecdsa::SigningKey>();
    assert_ne!(key_hash(&key(1)), key_hash(&key(2)));
}
