//! Unusable revocation lists and their errors, for tests of build and machine.

use rcgen::{CertifiedIssuer, KeyPair, SigningKey as _};

use postern_tls::pki::cert::Certificate;

/// `thisUpdate` and `nextUpdate` of a current list.
const TODAY: [&str; 2] = ["200101000000Z", "490101000000Z"];
/// ecdsa-with-SHA256 (RFC 5758 §3.2), as an AlgorithmIdentifier.
const SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// ecdsa-with-SHA1 (RFC 3279 §2.2.3).
const SHA1: &[u8] = &[0x30, 9, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
/// The identifier of issuingDistributionPoint (RFC 5280 §5.2.5).
const POINT: &[u8] = &[0x55, 0x1d, 28];

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let mut der = match length {
        0..0x80 => Vec::from([tag, length as u8]),
        0x80..0x100 => Vec::from([tag, 0x81, length as u8]),
        _ => Vec::from([tag, 0x82, (length >> 8) as u8, length as u8]),
    };
    der.extend(content);
    der
}

/// A list of `ca` with these dates, extensions and algorithm, signed by `key`, as PEM.
fn list(
    ca: &CertifiedIssuer<'static, KeyPair>,
    dates: &[&str],
    extensions: &[(&[u8], bool, &[u8])],
    algorithm: &[u8],
    key: &KeyPair,
) -> String {
    let dates: Vec<_> = dates.iter().map(|date| der(0x17, &[date.as_bytes()])).collect();
    let extensions: Vec<_> = extensions
        .iter()
        .map(|(oid, critical, value)| {
            let critical: &[u8] = if *critical { &[1, 1, 0xff] } else { &[] };
            der(0x30, &[&der(6, &[oid]), critical, &der(4, &[value])])
        })
        .collect();
    let extensions = match extensions.is_empty() {
        true => Vec::new(),
        false => der(0xa0, &[&der(0x30, &[&extensions.concat()])]),
    };
    let issuer = Certificate::from_der(ca.der()).unwrap().subject.der;
    let tbs = der(0x30, &[&[2, 1, 1], algorithm, issuer, &dates.concat(), &extensions]);
    let signature = key.sign(&tbs).unwrap();
    let whole = der(0x30, &[&tbs, algorithm, &der(3, &[&[0], &signature])]);
    pem_rfc7468::encode_string("X509 CRL", pem_rfc7468::LineEnding::LF, &whole).unwrap()
}

/// A valid list, as made by `openssl ca -gencrl` without `crlnumber`.
pub fn good(ca: &CertifiedIssuer<'static, KeyPair>) -> String {
    list(ca, &TODAY, &[], SHA256, ca.key())
}

/// Unusable lists of `ca`, each with the text after `.tls.crl: revocation list 1 `.
pub fn unusable(ca: &CertifiedIssuer<'static, KeyPair>) -> Vec<(String, &'static str)> {
    let other = KeyPair::generate().unwrap();
    let with = |extension| list(ca, &TODAY, &[extension], SHA256, ca.key());
    let dated = |dates: &[&str]| list(ca, dates, &[], SHA256, ca.key());
    Vec::from([
        (
            with((&[0x55, 0x1d, 27], true, &[2, 1, 1])),
            "is not supported: delta CRL. Use a complete list of one CA, as `openssl ca -gencrl` makes it",
        ),
        (
            with((POINT, true, &[0x30, 3, 0x84, 1, 0xff])),
            "is not supported: indirect CRL. Use a complete list",
        ),
        (
            with((POINT, true, &[0x30, 4, 0x83, 2, 6, 0x40])),
            "is not supported: CRL limited to some reasons. Use a complete list",
        ),
        (
            with((&[0x2a, 3, 4], true, &[5, 0])),
            "is not supported: critical extension 1.2.3.4. Use a complete list",
        ),
        (
            list(ca, &TODAY, &[], SHA256, &other),
            "was not signed by the CA that it names. Use the list of this CA, or remove it",
        ),
        (
            list(ca, &TODAY, &[], SHA1, ca.key()),
            "is signed with an algorithm or key that is not supported. Have the CA sign it with SHA-256",
        ),
        (
            dated(&["200101000000Z", "210101000000Z"]),
            "expired 2021-01-01 00:00:00 UTC (it is ",
        ),
        (
            dated(&["480101000000Z", "490101000000Z"]),
            "is not valid before 2048-01-01 00:00:00 UTC (it is ",
        ),
        (
            dated(&["200101000000Z"]),
            "has no nextUpdate and is more than 30 days old: issued 2020-01-01 00:00:00 UTC (it is ",
        ),
        (
            format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", "MAMCAQA="),
            "is broken. Use a complete list of one CA, as `openssl ca -gencrl` makes it",
        ),
    ])
}
