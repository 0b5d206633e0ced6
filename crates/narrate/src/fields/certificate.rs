//! The fields of certificates, and of the requests for them.

use postern_tls::ProtocolVersion;

use super::extensions::{Sender, extensions};
use super::walk::{Walk, list, number, numbers, vector8, vector16};
use super::{CONTEXT, Meaning};
use crate::names;

pub(super) fn certificates(walk: &mut Walk<'_, '_>, version: ProtocolVersion) {
    if version.is_tls13() {
        vector8(walk, "certificate_request_context", |_| Meaning::None, CONTEXT);
    }
    let length = walk.length(3, "certificate_list length");
    let depth = walk.depth;
    walk.inner(length, |list| {
        list.depth = depth;
        let mut leaf = true;
        while !list.rest.is_empty() {
            let length = number(list.rest.get(..3).unwrap_or_default());
            let der = list.rest.get(3..3 + length).unwrap_or_default();
            list.group(
                "certificate",
                Meaning::Subject(der),
                if leaf {
                    "The sender's own certificate: it binds a name to a public key, signed by a CA (RFC 5280)."
                } else {
                    "That of the CA that signed the one before."
                },
            );
            leaf = false;
            list.depth = depth.saturating_add(1);
            let length = list.length(3, "length");
            list.depth = depth;
            list.inner(length, |body| certificate(body, der));
            if version.is_tls13() {
                list.depth = depth.saturating_add(1);
                extensions(list, Sender::Server);
                list.depth = depth;
            }
        }
    });
}

/// A certificate in DER: its outer structure.
fn certificate<'t>(walk: &mut Walk<'t, '_>, der: &'t [u8]) {
    let header = der_header(walk.rest);
    walk.leaf(header, "Certificate", |_| Meaning::Words("SEQUENCE"), "");
    let header = der_header(walk.rest);
    walk.leaf(
        header,
        "tbsCertificate",
        |_| Meaning::Words("SEQUENCE"),
        "The part that the CA has signed.",
    );
    if walk.rest.first() == Some(&0xa0) {
        let length = der_len(walk.rest);
        walk.leaf(length, "version", |_| Meaning::Words("v3"), "");
    }
    for (name, note) in [
        ("serialNumber", "The CA's number for it, by which it is revoked."),
        ("signature", "The algorithm of the CA's signature."),
        ("issuer", "The CA that signed it."),
        ("validity", ""),
        ("subject", "Sender it is."),
        ("subjectPublicKeyInfo", "The public key of its owner."),
    ] {
        let length = der_len(walk.rest);
        walk.leaf(
            length,
            name,
            |_| match name {
                "validity" => Meaning::Validity(der),
                "subject" => Meaning::Subject(der),
                _ => Meaning::None,
            },
            note,
        );
    }
    if walk.rest.first() == Some(&0xa3) {
        let length = der_len(walk.rest);
        walk.leaf(
            length,
            "extensions",
            |_| Meaning::None,
            "The names that it is valid for (subjectAltName), the permitted uses of the key, and so on.",
        );
    }
    let length = der_len(walk.rest);
    walk.leaf(length, "signatureAlgorithm", |_| Meaning::None, "");
    let length = der_len(walk.rest);
    walk.leaf(length, "signatureValue", |_| Meaning::None, "The CA's signature.");
}

/// The length of the tag and length of a DER value, in bytes.
fn der_header(bytes: &[u8]) -> usize {
    match bytes.get(1) {
        Some(&long @ 0x81..=0x84) => 2 + usize::from(long & 0x7f),
        _ => 2,
    }
}

/// The length of a DER value with its header, in bytes.
fn der_len(bytes: &[u8]) -> usize {
    let header = der_header(bytes);
    let length = match bytes.get(2..header) {
        Some([]) | None => bytes.get(1).copied().unwrap_or_default().into(),
        Some(long) => number(long),
    };
    header.saturating_add(length)
}

pub(super) fn request_tls12(walk: &mut Walk<'_, '_>) {
    list(walk, 1, "types length", |list| {
        list.word("certificate_type", "", |byte| match byte {
            1 => Some("rsa_sign"),
            64 => Some("ecdsa_sign"),
            _ => Some("obsolete"),
        });
    });
    list(walk, 2, "algorithms length", |list| {
        numbers(list, "scheme", names::scheme);
    });
    vector16(walk, "certificate_authorities", |_| Meaning::None, "");
}
