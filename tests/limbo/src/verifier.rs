//! The verifiers: the engine's, and two others for comparison.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pem_rfc7468::LineEnding;
use postern_tls::pki::verify::{Clock, Purpose, Trust};
use rustls_pki_types::{CertificateDer, DnsName, TrustAnchor, UnixTime};
use webpki::{
    ALL_VERIFICATION_ALGS, CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

use crate::case::{Case, Name, Peer};

/// Refused with these words, or accepted.
pub type Verdict = Result<(), String>;

/// The engine's verifier, with a configuration of these CAs and lists and the default mode.
pub fn engine(case: &Case) -> Verdict {
    let (chain, anchors, crls) = (slices(&case.chain), slices(&case.anchors), slices(&case.crls));
    let purpose = match &case.peer {
        Peer::Server(name) => Purpose::Server(name.as_ref().map(Name::as_server_name)),
        Peer::Client => Purpose::Client,
    };
    let trust = Trust::new(&anchors).with_crls(&crls);
    let clock = Clock {
        now: case.now,
        floor: 0,
    };
    trust
        .verify(&chain, purpose, clock)
        .map_err(|error| format!("{error:?}"))
}

fn slices(ders: &[Vec<u8>]) -> Vec<&[u8]> {
    ders.iter().map(Vec::as_slice).collect()
}

/// rustls-webpki on its own, with the algorithms of ring, used as rustls does.
pub fn webpki(case: &Case) -> Verdict {
    ask_webpki(case).map_err(|error| error.to_string())
}

fn ask_webpki(case: &Case) -> Result<(), Box<dyn Error>> {
    let ders = |ders: &[Vec<u8>]| -> Vec<_> { ders.iter().map(|der| CertificateDer::from(der.clone())).collect() };
    let (chain, anchors) = (ders(&case.chain), ders(&case.anchors));
    // Roots that cannot be read are left out.
    let anchors: Vec<TrustAnchor<'_>> = anchors.iter().flat_map(webpki::anchor_from_trusted_cert).collect();
    let crls = case.crls.iter().map(|der| OwnedCertRevocationList::from_der(der));
    let crls = crls
        .map(|crl| crl.map(CertRevocationList::from))
        .collect::<Result<Vec<_>, _>>()?;
    let crls: Vec<&CertRevocationList<'_>> = crls.iter().collect();
    let revocation = RevocationOptionsBuilder::new(&crls).ok().map(|builder| {
        let strict = builder.with_depth(RevocationCheckDepth::Chain);
        let strict = strict.with_status_policy(UnknownStatusPolicy::Allow);
        strict.with_expiration_policy(ExpirationPolicy::Enforce).build()
    });
    let usage = match case.peer {
        Peer::Server(_) => KeyUsage::server_auth(),
        Peer::Client => KeyUsage::client_auth(),
    };
    let (leaf, others) = chain.split_first().ok_or("no certificate")?;
    let leaf = EndEntityCert::try_from(leaf)?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(case.now));
    leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, others, now, usage, revocation, None)?;
    if let Peer::Server(Some(name)) = &case.peer {
        let name = match name {
            Name::Dns(name) => DnsName::try_from(name.as_str())?.into(),
            Name::Ip(ip) => (*ip).into(),
        };
        leaf.verify_is_valid_for_subject_name(&name)?;
    }
    Ok(())
}

/// `openssl verify`, as strict as the harness of x509-limbo has it. Files are written to `directory`.
pub fn openssl(case: &Case, directory: &Path) -> Result<Verdict, Box<dyn Error>> {
    let write = |name: &str, label: &str, ders: &[Vec<u8>]| -> Result<_, Box<dyn Error>> {
        let pems = ders
            .iter()
            .map(|der| pem_rfc7468::encode_string(label, LineEnding::LF, der));
        let path = directory.join(name);
        fs::write(&path, pems.collect::<Result<String, _>>()?)?;
        Ok(path)
    };
    let (leaf, others) = case.chain.split_at(1);
    let mut command = Command::new("openssl");
    command.args([
        "verify",
        "-x509_strict",
        "-partial_chain",
        "-auth_level",
        "2",
        "-no-CApath",
        "-no-CAstore",
    ]);
    command.args(["-attime", &case.now.to_string(), "-purpose"]);
    match &case.peer {
        Peer::Server(name) => {
            command.arg("sslserver");
            match name {
                Some(Name::Dns(name)) => command.args(["-verify_hostname", name]),
                Some(Name::Ip(ip)) => command.args(["-verify_ip", &ip.to_string()]),
                None => &mut command,
            };
        }
        Peer::Client => {
            command.arg("sslclient");
        }
    }
    command
        .arg("-CAfile")
        .arg(write("anchors", "CERTIFICATE", &case.anchors)?);
    if !others.is_empty() {
        command.arg("-untrusted").arg(write("others", "CERTIFICATE", others)?);
    }
    if !case.crls.is_empty() {
        command.arg("-crl_check_all");
        command.arg("-CRLfile").arg(write("crls", "X509 CRL", &case.crls)?);
    }
    let output = command
        .arg(write("leaf", "CERTIFICATE", leaf)?)
        .stdin(Stdio::null())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let reason = errors
        .lines()
        .find(|line| line.starts_with("error "))
        .unwrap_or("no reason");
    Ok(output.status.success().then_some(()).ok_or_else(|| reason.to_owned()))
}
