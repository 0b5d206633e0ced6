//! OCSP responses made by `openssl ocsp`.

use std::process::Command;

use postern_tls::pki::cert::Certificate;

use crate::tools::Files;
use crate::world::{Authority, Party};

/// The status of a certificate in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// It is good.
    Good,
    /// It was revoked on 2026-01-02, its key having been stolen.
    Revoked,
    /// Nothing is known of it.
    Unknown,
}

/// The response of `authority`'s responder about `about`'s certificate, valid for three days. `signer` is the signer's
/// certificate and key, in PEM.
pub fn response(authority: &Authority, signer: &[String; 2], about: &Party, says: Says) -> Vec<u8> {
    let serial = Certificate::from_der(about.chain[0]).unwrap().serial;
    let digits: String = serial.iter().map(|byte| format!("{byte:02X}")).collect();
    let serial = digits.trim_start_matches("00");
    let end = "491231235959Z";
    let index = match says {
        Says::Good => format!("V\t{end}\t\t{serial}\tunknown\t/CN=x\n"),
        Says::Revoked => format!("R\t{end}\t260102030405Z,keyCompromise\t{serial}\tunknown\t/CN=x\n"),
        Says::Unknown => format!("V\t{end}\t\t01\tunknown\t/CN=x\n"),
    };
    let files = Files::new();
    let [certificate, key] = signer;
    let output = Command::new("openssl")
        .args(["ocsp", "-ndays", "3", "-noverify"])
        .args(["-index", &files.write("index.txt", &index)])
        .args(["-CA", &files.write("ca.pem", &authority.pem)])
        .args(["-issuer", &files.path("ca.pem")])
        .args(["-cert", &files.write("about.pem", &about.pem[0])])
        .args(["-rsigner", &files.write("signer.pem", certificate)])
        .args(["-rkey", &files.write("signer.key", key)])
        .args(["-respout", &files.path("response.der")])
        .output()
        .unwrap_or_else(|error| panic!("cannot run openssl: {error}; apt-get install openssl"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(files.path("response.der")).unwrap()
}
