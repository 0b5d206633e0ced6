//! Issuing of certificates and revocation lists.

use std::fs;
use std::net::IpAddr;

use postern_tls::pki::cert::{Certificate, Date};
use postern_tls::pki::{crl, own};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, PublicKeyData, SanType,
};
use zeroize::Zeroizing;

use crate::arguments::{Request, attributes};
use crate::certificate::{Leaf, List, hex, push};
use crate::database::{number, offset};
use crate::key::{self, NO_KEY, PrivateKey};
use crate::pki::Pki;
use crate::{Result, fail, now, say};

const DAY: u64 = 24 * 60 * 60;
/// How long before its creation a certificate or list becomes valid, in seconds, since clocks differ.
const EARLIER: u64 = 3600;

/// The properties of a new certificate, unless an option overrides them.
pub(crate) struct Order<'a> {
    /// `server`, `client` or `peer`.
    pub(crate) usage: &'a str,
    pub(crate) san: &'a str,
    pub(crate) kind: Option<&'a str>,
    /// The file of the key, if the key is reused.
    pub(crate) key: Option<Zeroizing<Vec<u8>>>,
}

/// 64 bits, 62 of them random: positive, and always of 16 digits.
fn random_serial() -> Result<String> {
    let mut bytes = key::random::<8>()?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(hex(&bytes))
}

fn params(serial: &str, days: u64, end: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = offset(Date(now() - EARLIER));
    params.not_after = offset(Date((now() + days * DAY).min(end)));
    params.serial_number = number(serial);
    params.distinguished_name = DistinguishedName::new();
    params
}

/// A self-signed CA certificate, in PEM.
pub(crate) fn ca(name: &str, days: u64, key: &PrivateKey) -> Result<String> {
    let mut params = params(&random_serial()?, days, u64::MAX);
    for (kind, value) in attributes(name) {
        let last = match kind {
            "CN" => 3,
            "C" => 6,
            "L" => 7,
            "ST" => 8,
            "O" => 10,
            _ => 11,
        };
        let printable = (kind == "C")
            .then(|| value.try_into().ok().map(DnValue::PrintableString))
            .flatten();
        // id-at is 2.5.4.
        push(
            &mut params.distinguished_name,
            &[0x55, 4, last],
            printable.unwrap_or_else(|| value.into()),
        );
    }
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    match params.self_signed(&key.0) {
        Ok(certificate) => Ok(certificate.pem()),
        Err(error) => fail!("cannot sign a certificate: {error}"),
    }
}

/// The CA in rcgen's form.
fn issuer<'k>(ca: &Leaf, key: &'k PrivateKey) -> Issuer<'static, &'k rcgen::KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name = ca.distinguished_name();
    params.key_identifier_method = key_identifier(ca);
    Issuer::new(params, &key.0)
}

fn key_identifier(ca: &Leaf) -> KeyIdMethod {
    ca.key_identifier
        .clone()
        .map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified)
}

/// Issues the requested certificate and stores it with its key in the PKI.
pub(crate) fn issue(pki: &mut Pki, ca_key: &PrivateKey, request: &Request, order: &Order<'_>) -> Result<()> {
    let (shown, name) = (pki.shown.clone(), &request.name);
    let order_key = order.key.as_deref();
    let Some(kind) = request.option("--key").or(order.kind) else {
        fail!("the certificate of '{name}' or of the CA has an unknown key type; use --key");
    };
    let Some(key) = order.key.as_ref().map_or_else(
        || PrivateKey::generate(kind).map(Some),
        |text| Ok(PrivateKey::from_pem(text)),
    )?
    else {
        fail!("{shown}/{name}.key is {NO_KEY}; `rotate` creates a new one");
    };
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    let order = Order {
        usage: order.usage,
        san: order.san,
        kind: Some(kind),
        key: None,
    };
    let text = match order_key {
        Some(text) => text,
        None => &key.pem(),
    };
    certify(
        pki,
        ca_key,
        request,
        &order,
        (subject, &key.0),
        (format!("{name}.key"), text),
    )
}

/// Issues the requested certificate with that subject, for that public key, and stores it in the PKI together with another
/// file.
pub(crate) fn certify(
    pki: &mut Pki,
    ca_key: &PrivateKey,
    request: &Request,
    order: &Order<'_>,
    (subject, key): (DistinguishedName, &impl PublicKeyData),
    (file, text): (String, &[u8]),
) -> Result<()> {
    let (shown, name, days) = (pki.shown.clone(), &request.name, request.days("--days", 365));
    let kind = order.kind.unwrap_or_default();
    let serial = random_serial()?;
    let mut params = params(&serial, days, pki.ca.not_after.0);
    if now() + days * DAY > pki.ca.not_after.0 {
        say!("the CA expires on {}, and so does the certificate", pki.ca.not_after);
    }
    params.distinguished_name = subject;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = match order.usage {
        "server" => vec![ExtendedKeyUsagePurpose::ServerAuth],
        "client" => vec![ExtendedKeyUsagePurpose::ClientAuth],
        "peer" => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        _ => fail!(
            "the certificate of '{name}' is neither for servers nor for clients and was not created by the wizard"
        ),
    };
    params.subject_alt_names = alternatives(request.option("--san").unwrap_or(order.san))?;
    let certificate = match params.signed_by(key, &issuer(&pki.ca, ca_key)) {
        Ok(certificate) => certificate,
        Err(error) => fail!("cannot sign a certificate: {error}"),
    };
    let Some(leaf) = Leaf::from_der(certificate.der().to_vec()) else {
        fail!("the new certificate cannot be read; nothing was changed");
    };
    verify(pki, &leaf)?;

    let pem = certificate.pem();
    let stage = pki.stage()?;
    if let Some(old) = pki
        .path
        .join(format!("{name}.pem"))
        .is_file()
        .then(|| pki.leaf(name))
        .transpose()?
    {
        for kind in ["pem", "key", "csr"] {
            // The key or the request does not exist.
            if let Ok(text) = fs::read(pki.path.join(format!("{name}.{kind}"))).map(Zeroizing::new) {
                stage.add(&format!("old/{name}-{}.{kind}", old.serial), &text)?;
            }
        }
    }
    stage.add(&format!("ca/issued/{serial}.pem"), pem.as_bytes())?;
    stage.add(&file, text)?;
    stage.add(&format!("{name}.pem"), pem.as_bytes())?;
    pki.database.add(&serial, leaf.not_after, name);
    stage.add("ca/index.txt", pki.database.text().as_bytes())?;
    stage.commit(&pki.path)?;
    let Leaf {
        not_after, key_hash, ..
    } = leaf;
    let usage = order.usage;
    say!("{shown}/{name}.pem: {usage} '{name}', {kind}, serial {serial}, valid until {not_after}, key hash {key_hash}");
    Ok(())
}

/// The names of `--san`.
fn alternatives(san: &str) -> Result<Vec<SanType>> {
    let mut names = Vec::new();
    for entry in san.split(',').filter(|entry| !entry.is_empty()) {
        let (_, value) = entry.split_once(':').unwrap_or_default();
        names.push(match (value.parse::<IpAddr>(), value.try_into()) {
            (Ok(address), _) => SanType::IpAddress(address),
            (_, Ok(host)) => SanType::DnsName(host),
            _ => fail!("{value} is not a valid host name for DNS:"),
        });
    }
    Ok(names)
}

/// Verifies a new certificate as peers will, before it is written.
fn verify(pki: &Pki, leaf: &Leaf) -> Result<()> {
    let shown = &pki.shown;
    let (Ok(certificate), Ok(ca)) = (Certificate::from_der(&leaf.der), Certificate::from_der(&pki.ca.der)) else {
        fail!("the new certificate cannot be read; nothing was changed");
    };
    if let Err(error) = own::check_link(&certificate, &ca, 0) {
        fail!("{shown}/ca.pem and {shown}/ca.key do not issue valid certificates ({error}); nothing was changed");
    }
    if certificate.issuer != ca.subject {
        fail!(
            "the name in {shown}/ca.pem is not supported: an attribute occurs more than twice, one part has several attributes, or a string type is unusual"
        );
    }
    Ok(())
}

/// Creates a revocation list from the database and stores both in the PKI.
pub(crate) fn revocation_list(pki: &Pki, ca_key: &PrivateKey, days: u64) -> Result<()> {
    let shown = &pki.shown;
    let path = pki.path.join("ca/crlnumber");
    let current = fs::read_to_string(&path)
        .ok()
        .and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    let Some((current, next)) = current.and_then(|current| Some((current, current.checked_add(1)?))) else {
        fail!("cannot read '{shown}/ca/crlnumber': it contains no hexadecimal number");
    };
    let list = CertificateRevocationListParams {
        this_update: offset(Date(now() - EARLIER)),
        next_update: offset(Date(now() + days * DAY)),
        crl_number: current.into(),
        issuing_distribution_point: None,
        revoked_certs: pki.database.entries()?,
        key_identifier_method: key_identifier(&pki.ca),
    };
    let list = match list.signed_by(&issuer(&pki.ca, ca_key)) {
        Ok(list) => list,
        Err(error) => fail!("cannot sign a revocation list: {error}"),
    };
    match crl::check(list.der(), std::iter::once(&pki.ca.der[..]), now()) {
        Ok(crl::CrlIssuer::Configured) => {}
        Ok(crl::CrlIssuer::Unknown) => fail!("the name in {shown}/ca.pem is not supported; nothing was changed"),
        Err(error) => {
            fail!(
                "{shown}/ca.pem and {shown}/ca.key do not issue valid revocation lists ({error}); nothing was changed"
            )
        }
    }
    let Ok(pem) = list.pem() else {
        fail!("cannot write a revocation list in PEM")
    };
    let stage = pki.stage()?;
    let mut digits = format!("{next:X}");
    if digits.len() % 2 == 1 {
        digits.insert(0, '0');
    }
    stage.add("ca/index.txt", pki.database.text().as_bytes())?;
    stage.add("ca/crlnumber", (digits + "\n").as_bytes())?;
    stage.add("crl.pem", pem.as_bytes())?;
    stage.commit(&pki.path)?;
    let List { number, next_update } = List::read(&pki.path.join("crl.pem"), &format!("{shown}/crl.pem"))?;
    say!(
        "{shown}/crl.pem: revocation list {number}, next update due {next_update}; after that it refuses every certificate of this CA"
    );
    Ok(())
}
