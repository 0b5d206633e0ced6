//! Signing of certificate requests, whose private keys stay elsewhere.

use std::fs;
use std::path::Path;

use postern_tls::pki::cert::Alternative;
use postern_tls::pki::pem;
use postern_tls::pki::request::{ReceivedRequest, is_subject};
use rcgen::{
    DistinguishedName, DnType, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    PublicKeyData, SignatureAlgorithm,
};
use sha2::{Digest as _, Sha256};

use crate::arguments::{Request, is_dns, is_usage, typed};
use crate::ask::question;
use crate::certificate::{distinguished_name, hex, kind};
use crate::issue::{self, Order};
use crate::key::KINDS;
use crate::pki::Pki;
use crate::{Result, Stop, fail, say};

/// The most bytes of a file with a request.
const MAX_FILE: u64 = 64 * 1024;

/// A public key of one of [`KINDS`].
struct RequestedKey {
    bits: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

/// What a request asks for, as far as a certificate of the wizard can have it.
struct Requested {
    /// RFC 4514; empty if it has none.
    subject: String,
    /// Its Name.
    name: Vec<u8>,
    /// In the form of `--san`.
    san: String,
    kind: String,
    key: RequestedKey,
    key_hash: String,
}

/// Shows what a request asks for, and signs it.
pub(crate) fn sign(request: &Request) -> Result<()> {
    let (name, file) = (&request.name, &request.file);
    let text = read(file)?;
    let requested = parse(&text, file)?;
    show(file, &requested);
    let (mut pki, ca_key) = Pki::write(&request.directory)?;
    let shown = pki.shown.clone();
    if pki.path.join(format!("{name}.key")).exists() {
        fail!(
            "'{shown}' contains a private key of '{name}', for which it issues certificates itself; choose another name"
        );
    }
    warn_of_namesakes(&pki, &requested);
    let usage = usage(request, &requested)?;
    if !request.has("--yes") {
        let text = format!("Sign it as '{name}', for a {usage} (yes, no)");
        let answer = question(&text, "no", |answer| match ["yes", "no"].contains(&answer) {
            true => Ok(()),
            false => Err("the answer must be yes or no".into()),
        })?;
        if answer == "no" {
            fail!("not signed; nothing was changed");
        }
    }
    let subject = match requested.subject.as_str() {
        "" => {
            let mut subject = DistinguishedName::new();
            subject.push(DnType::CommonName, name);
            subject
        }
        _ => distinguished_name(&requested.name),
    };
    let order = Order {
        usage: &usage,
        san: &requested.san,
        kind: Some(&requested.kind),
        key: None,
    };
    let old = pki.leaf(name).ok();
    let stored = (format!("{name}.csr"), &text[..]);
    issue::certify(&mut pki, &ca_key, request, &order, (subject, &requested.key), stored)?;
    if let Some(old) = old.filter(|old| pki.database.revoked(&old.serial).is_none()) {
        let serial = &old.serial;
        say!(
            "the previous one, serial {serial}, is in {shown}/old; unless it has expired, it is valid until `pki/wizard revoke {} {serial}`",
            typed(&shown)
        );
    }
    say!(
        "to load it, type `tls reload` at the machine's debug shell, paste the output of `cat {}/{name}.pem`, and end with a line containing only \".\"",
        typed(&shown)
    );
    Ok(())
}

fn read(file: &str) -> Result<Vec<u8>> {
    match fs::metadata(file) {
        Ok(data) if data.is_file() && data.len() > MAX_FILE => {
            fail!("'{file}' is larger than {} KiB; it is not a request", MAX_FILE / 1024)
        }
        Ok(data) if !data.is_file() => fail!("'{file}' is not a file"),
        _ => {}
    }
    match fs::read(Path::new(file)) {
        Ok(text) => Ok(text),
        Err(error) => fail!("cannot read '{file}': {error}"),
    }
}

/// Parses and verifies the request in a text.
fn parse(text: &[u8], file: &str) -> Result<Requested> {
    let block = pem::blocks(text)
        .map_while(|block| block.ok())
        .find(|block| ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"].contains(&block.label));
    let Some(block) = block else {
        fail!("'{file}' contains no certificate request in PEM; copy all that `tls csr` or `openssl req -new` prints");
    };
    let mut der = vec![0; text.len()];
    let length = match block.decode(&mut der) {
        Ok(length) => length,
        Err(error) => fail!("'{file}': {error}; copy the request again, whole"),
    };
    der.truncate(length);
    let request = match ReceivedRequest::from_der(&der) {
        Ok(request) => request,
        Err(error) => fail!("the request in '{file}' is broken: {error}; copy it again, whole"),
    };
    let key = &request.public_key;
    let Some(kind) = kind(key) else {
        fail!(
            "the key of the request in '{file}' is too weak or of an unsupported type; use one of {}",
            KINDS.join(", ")
        );
    };
    if let Err(error) = request.verify() {
        fail!(
            "the request in '{file}' is not signed by its own key ({error}); copy it again, whole, or make another one"
        );
    }
    if request.ca {
        fail!(
            "the request in '{file}' asks for a CA, which this wizard does not issue; request a certificate without CA:TRUE"
        );
    }
    let subject = request.subject.to_string();
    if !subject.is_empty() && !is_subject(&subject) {
        fail!(
            "the subject of the request in '{file}' is not supported: {subject}; use C, ST, L, O, OU and CN, each value at most 64 bytes, without signs that need an escape"
        );
    }
    let mut names = Vec::new();
    for requested in request.names() {
        match requested {
            Some(Alternative::Dns(host)) if is_dns(host) => names.push(format!("DNS:{host}")),
            Some(Alternative::Ip(address)) => names.push(format!("IP:{address}")),
            Some(Alternative::Dns(host)) => {
                let host = host.escape_default();
                fail!("the request in '{file}' asks for '{host}', which is not a valid host name; correct it")
            }
            None => fail!(
                "the request in '{file}' asks for a name that is neither a host name nor an IP address; remove it from subjectAltName"
            ),
        }
    }
    let algorithm = match kind.as_str() {
        "p256" => &PKCS_ECDSA_P256_SHA256,
        "p384" => &PKCS_ECDSA_P384_SHA384,
        "ed25519" => &PKCS_ED25519,
        _ => &PKCS_RSA_SHA256,
    };
    Ok(Requested {
        subject,
        name: request.subject.der.to_vec(),
        san: names.join(","),
        kind,
        key: RequestedKey {
            bits: key.bits.to_vec(),
            algorithm,
        },
        key_hash: hex(&Sha256::digest(key.der)).to_lowercase(),
    })
}

fn show(file: &str, requested: &Requested) {
    let or_none = |text: &str| if text.is_empty() { "none" } else { text }.to_owned();
    say!("{file} requests a certificate:");
    say!("  subject: {}", or_none(&requested.subject));
    say!("  names: {}", or_none(&requested.san));
    say!("  key: {}, hash {}", requested.kind, requested.key_hash);
    say!("  signature: valid; purpose and dates are set here, other extensions are ignored");
}

/// Prints which valid certificates have the same subject and another key: an allow-list may have it.
fn warn_of_namesakes(pki: &Pki, requested: &Requested) {
    for row in pki.database.rows().filter(|row| row.revoked().is_none()) {
        if let Some(other) = pki.issued(row.serial())
            && !other.has_expired()
            && other.subject == requested.name
            && other.key_hash != requested.key_hash
        {
            let serial = row.serial();
            say!(
                "serial {serial} of '{}' has the same subject and another key",
                row.name()
            );
        }
    }
}

/// `--usage`, or the answer to a question.
fn usage(request: &Request, requested: &Requested) -> Result<String> {
    match request.option("--usage") {
        Some(usage) => Ok(usage.to_owned()),
        None if request.has("--yes") => Err(Stop::Misused("--yes takes --usage as well".into())),
        None => {
            let default = if requested.san.is_empty() { "client" } else { "server" };
            question("For a server, a client or a peer, which is both", default, is_usage)
        }
    }
}
