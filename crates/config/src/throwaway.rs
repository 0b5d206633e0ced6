//! Certificates for trying things out, made at build time.
//!
//! This is a part of build.rs, not of the image.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use der::DateTime;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use postern_tls::crypto::key::SigningKey;
use postern_tls::pki::cert::{Certificate, Date};
use postern_tls::pki::pem;

/// The certificates and keys, in pairs.
pub(crate) const FILES: [&str; 6] = [
    "RootCA.pem",
    "RootCA.key",
    "server.pem",
    "server.key",
    "client.pem",
    "client.key",
];

/// The host names of the server.
const NAMES: [&str; 1] = ["localhost"];
/// Its addresses: that of the port forwarded on the host, and that of a guest in QEMU's user network.
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 0, 2, 15)];

const DAY: u64 = 24 * 60 * 60;
/// Their validity in seconds.
const LIFE: u64 = 365 * DAY;
/// The remaining validity below which they are reissued.
const MARGIN: u64 = 30 * DAY;

/// Makes certificates in `directory`, unless it has a complete set that belongs together and does not expire soon. Returns
/// the end of validity of new ones. The files get the modification time `stamp`.
///
/// Builds may run at the same time: they are serialized here, and files are replaced, never rewritten.
pub(crate) fn ensure(directory: &Path, now: u64, stamp: Option<SystemTime>) -> io::Result<Option<Date>> {
    fs::create_dir_all(directory)?;
    let lock = File::create(directory.join(".lock"))?;
    lock.lock()?;
    if check(directory, now).is_some() {
        return Ok(None);
    }
    let expiry = Date(now - DAY + LIFE);
    let contents = make(Date(now - DAY), expiry).map_err(io::Error::other)?;
    for (name, content) in FILES.iter().zip(contents) {
        replace(&directory.join(name), content.as_bytes(), stamp)?;
    }
    check(directory, now).ok_or_else(|| io::Error::other("the new certificates are not valid"))?;
    Ok(Some(expiry))
}

/// `Some` if all files are there and fit together.
fn check(directory: &Path, now: u64) -> Option<()> {
    let read = |name: &str| fs::read(directory.join(name)).ok();
    let der = |text: &[u8], key: bool| -> Option<(String, Vec<u8>)> {
        let block = if key {
            pem::private_key(text).ok()?
        } else {
            pem::certificates(text).next()?.ok()?
        };
        let mut der = vec![0; text.len()];
        let length = block.decode(&mut der).ok()?;
        der.truncate(length);
        Some((block.label.to_owned(), der))
    };
    let mut ca = None;
    for pair in FILES.chunks_exact(2) {
        let [certificate, key] = pair else { return None };
        let path = directory.join(key);
        if fs::metadata(&path).ok()?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(&path, Permissions::from_mode(0o600)).ok()?;
        }
        let (label, key) = der(&read(key)?, true)?;
        let (_, der) = der(&read(certificate)?, false)?;
        let certificate = Certificate::from_der(&der).ok()?;
        let whole = SigningKey::from_der(&label, &key)
            .ok()?
            .public_key_matches(certificate.public_key.der)
            && certificate.is_valid_at(Date(now))
            && certificate.is_valid_at(Date(now + MARGIN));
        let (issuer, issuer_key) = ca.get_or_insert_with(|| {
            (
                certificate.subject.der.to_vec(),
                VerifyingKey::from_sec1_bytes(certificate.public_key.bits).ok(),
            )
        });
        let signature = Signature::from_der(certificate.signature).ok()?;
        issuer_key.as_ref()?.verify(certificate.tbs, &signature).ok()?;
        if !whole || certificate.issuer.der != issuer {
            return None;
        }
    }
    Some(())
}

/// The contents of [`FILES`].
fn make(from: Date, until: Date) -> Result<[String; 6], rcgen::Error> {
    let midnight = |date: Date| {
        let time = DateTime::from_unix_duration(Duration::from_secs(date.0)).map_err(|_| rcgen::Error::Time)?;
        Ok(date_time_ymd(time.year().into(), time.month(), time.day()))
    };
    let params = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Postern throw-away");
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = (midnight(from)?, midnight(until)?);
        Ok::<_, rcgen::Error>(params)
    };
    let mut ca = params("RootCA")?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

    let leaf = |name: &str, usage, alternatives: Vec<SanType>| {
        let mut params = params(name)?;
        params.subject_alt_names = alternatives;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok::<_, rcgen::Error>((params.signed_by(&key, &ca)?.pem(), key.serialize_pem()))
    };
    let names = NAMES.iter().map(|&name| Ok(SanType::DnsName(name.try_into()?)));
    let addresses = ADDRESSES.iter().map(|&address| Ok(SanType::IpAddress(address.into())));
    let alternatives = names.chain(addresses).collect::<Result<_, rcgen::Error>>()?;
    let (server, server_key) = leaf(NAMES[0], ExtendedKeyUsagePurpose::ServerAuth, alternatives)?;
    let (client, client_key) = leaf("client", ExtendedKeyUsagePurpose::ClientAuth, Vec::new())?;
    Ok([
        ca.pem(),
        ca.key().serialize_pem(),
        server,
        server_key,
        client,
        client_key,
    ])
}

/// Writes beside `path`, then renames. Keys are for the owner's eyes only.
fn replace(path: &Path, content: &[u8], stamp: Option<SystemTime>) -> io::Result<()> {
    let mode = if path.extension().is_some_and(|extension| extension == "key") {
        0o600
    } else {
        0o644
    };
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)?;
    file.write_all(content)?;
    if let Some(stamp) = stamp {
        file.set_modified(stamp)?;
    }
    drop(file);
    fs::rename(temporary, path)
}
