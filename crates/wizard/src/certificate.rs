//! Parsing of certificates and revocation lists.

use std::path::Path;

use der::{Decode as _, Header, Reader as _, SliceReader, Tag, TagNumber};
use postern_tls::pki::cert::{Alternative, Certificate, Date, PublicKey};
use postern_tls::pki::crl::Crl;
use postern_tls::pki::pem;
use rcgen::{DistinguishedName, DnType, DnValue};
use sha2::{Digest as _, Sha256};

use crate::{Result, fail, now};

/// The bytes of the identifiers of two extensions and two purposes (RFC 5280 §4.2.1.2, §4.2.1.12).
const SUBJECT_KEY_ID: &[u8] = b"\x55\x1d\x0e";
const EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1d\x25";
const SERVER_AUTH: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03\x01";
const CLIENT_AUTH: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03\x02";

/// The fields of a certificate that the wizard needs.
pub(crate) struct Leaf {
    pub(crate) der: Vec<u8>,
    /// As OpenSSL prints it.
    pub(crate) serial: String,
    /// The key type as in `--key`; `None` for any other.
    pub(crate) kind: Option<String>,
    /// `server`, `client`, `peer` for both, or `other`.
    pub(crate) usage: &'static str,
    /// In the form of `--san`.
    pub(crate) san: String,
    pub(crate) not_before: Date,
    pub(crate) not_after: Date,
    /// SHA-256 of the SubjectPublicKeyInfo, in hexadecimal.
    pub(crate) key_hash: String,
    pub(crate) key_identifier: Option<Vec<u8>>,
    /// The Name of the subject.
    pub(crate) subject: Vec<u8>,
}

impl Leaf {
    /// Reads a file; `shown` is its name in messages.
    pub(crate) fn read(path: &Path, shown: &str) -> Result<Self> {
        let leaf = std::fs::read(path)
            .ok()
            .and_then(|text| Self::from_der(block(&text, "CERTIFICATE")?));
        match leaf {
            Some(leaf) => Ok(leaf),
            None => fail!("cannot read '{shown}' as a PEM certificate; check its permissions and content"),
        }
    }

    pub(crate) fn from_der(der: Vec<u8>) -> Option<Self> {
        let certificate = Certificate::from_der(&der).ok()?;
        let purposes: Vec<&[u8]> = extension(&certificate, EXTENDED_KEY_USAGE)
            .and_then(|value| elements(value).next())
            .map_or(Vec::new(), |(_, list)| {
                elements(list).map(|(_, purpose)| purpose).collect()
            });
        let usage = match (purposes.contains(&SERVER_AUTH), purposes.contains(&CLIENT_AUTH)) {
            (true, true) => "peer",
            (true, false) => "server",
            (false, true) => "client",
            (false, false) => "other",
        };
        let san: Vec<String> = certificate
            .alternatives()
            .map(|name| match name {
                Alternative::Dns(name) => format!("DNS:{name}"),
                Alternative::Ip(address) => format!("IP:{address}"),
            })
            .collect();
        let identifier = extension(&certificate, SUBJECT_KEY_ID).and_then(|value| elements(value).next());
        Some(Self {
            serial: hex(without_zeros(certificate.serial)),
            kind: kind(&certificate.public_key),
            usage,
            san: san.join(","),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            key_hash: hex(&Sha256::digest(certificate.public_key.der)).to_lowercase(),
            key_identifier: identifier.map(|(_, identifier)| identifier.to_vec()),
            subject: certificate.subject.der.to_vec(),
            der,
        })
    }

    pub(crate) fn has_expired(&self) -> bool {
        self.not_after.0 <= now()
    }

    /// The subject in rcgen's form.
    pub(crate) fn distinguished_name(&self) -> DistinguishedName {
        distinguished_name(&self.subject)
    }
}

/// A Name, as far as rcgen can write it. rcgen takes each type once, so a second attribute of a type gets a custom
/// type.
pub(crate) fn distinguished_name(der: &[u8]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (_, set) in elements(der).next().into_iter().flat_map(|(_, sets)| elements(sets)) {
        let mut parts = elements(set)
            .next()
            .into_iter()
            .flat_map(|(_, attribute)| elements(attribute));
        let (Some((_, kind)), Some((tag, value))) = (parts.next(), parts.next()) else {
            continue;
        };
        let text = String::from_utf8_lossy(value).into_owned();
        let printable = || text.as_str().try_into().ok().map(DnValue::PrintableString);
        let value = match tag {
            Tag::PrintableString => printable(),
            Tag::Ia5String => text.as_str().try_into().ok().map(DnValue::Ia5String),
            _ => Some(text.clone().into()),
        };
        if let Some(value) = value {
            push(&mut name, kind, value);
        }
    }
    name
}

/// Adds an attribute whose identifier has the bytes `kind`.
pub(crate) fn push(name: &mut DistinguishedName, kind: &[u8], value: DnValue) {
    let oid: Vec<u64> =
        der::asn1::ObjectIdentifier::from_bytes(kind).map_or(Vec::new(), |oid| oid.arcs().map(u64::from).collect());
    let first = DnType::from_oid(&oid);
    let kind = if name.get(&first).is_some() {
        DnType::CustomDnType(oid)
    } else {
        first
    };
    name.push(kind, value);
}

/// The revocation list of a PKI.
pub(crate) struct List {
    pub(crate) number: String,
    pub(crate) next_update: Date,
}

impl List {
    pub(crate) fn read(path: &Path, shown: &str) -> Result<Self> {
        let der = std::fs::read(path)
            .ok()
            .and_then(|text| block(&text, "X509 CRL"))
            .unwrap_or_default();
        match Crl::from_der(&der) {
            Ok(list) => Ok(Self {
                number: list.number.map_or("0".into(), |number| number.to_string()),
                next_update: list.expiry(),
            }),
            Err(_) => fail!("cannot read '{shown}' as a PEM revocation list; check its permissions and content"),
        }
    }

    pub(crate) fn has_expired(&self) -> bool {
        self.next_update.0 <= now()
    }
}

/// The DER of the first block with this label.
fn block(text: &[u8], label: &str) -> Option<Vec<u8>> {
    let block = pem::blocks(text)
        .map_while(|block| block.ok())
        .find(|block| block.label == label)?;
    let mut der = vec![0; text.len()];
    let length = block.decode(&mut der).ok()?;
    der.truncate(length);
    Some(der)
}

/// The elements of DER in order, up to the first malformed one.
fn elements(der: &[u8]) -> impl Iterator<Item = (Tag, &[u8])> {
    let mut reader = SliceReader::new(der).ok();
    std::iter::from_fn(move || {
        let reader = reader.as_mut().filter(|reader| !reader.is_finished())?;
        let header = Header::decode(reader).ok()?;
        Some((header.tag(), reader.read_slice(header.length()).ok()?))
    })
}

/// The value of an extension.
fn extension<'a>(certificate: &Certificate<'a>, identifier: &[u8]) -> Option<&'a [u8]> {
    let wrapper = Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(3),
    };
    let (_, fields) = elements(certificate.tbs).next()?;
    let (_, extensions) = elements(fields).find(|(tag, _)| *tag == wrapper)?;
    let (_, extensions) = elements(extensions).next()?;
    elements(extensions).find_map(|(_, extension)| {
        elements(extension).next().filter(|(_, found)| *found == identifier)?;
        elements(extension).last().map(|(_, value)| value)
    })
}

/// The type of a public key as in `--key`; `None` for any other.
pub(crate) fn kind(key: &PublicKey<'_>) -> Option<String> {
    let parameter = key.parameter.map(|parameter| parameter.to_string());
    match (key.algorithm.to_string().as_str(), parameter.as_deref()) {
        ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => Some("p256".into()),
        ("1.2.840.10045.2.1", Some("1.3.132.0.34")) => Some("p384".into()),
        ("1.3.101.112", _) => Some("ed25519".into()),
        ("1.2.840.113549.1.1.1", _) => {
            let (_, numbers) = elements(key.bits).next()?;
            let (_, modulus) = elements(numbers).next()?;
            let modulus = without_zeros(modulus);
            let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
            Some(format!("rsa{bits}")).filter(|kind| crate::key::KINDS.contains(&kind.as_str()))
        }
        _ => None,
    }
}

fn without_zeros(mut digits: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = digits
        && !rest.is_empty()
    {
        digits = rest;
    }
    digits
}

/// Upper-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
