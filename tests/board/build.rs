//! Memory map of the board, and certificates that live as long as the build.

use std::path::PathBuf;
use std::{env, fs};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// The MPS2 board with AN386, a Cortex-M4: two memories of 4 MiB.
const MEMORY: &str = "MEMORY
{
  FLASH : ORIGIN = 0x00000000, LENGTH = 4M
  RAM : ORIGIN = 0x20000000, LENGTH = 4M
}
";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").unwrap() != "none" {
        return;
    }
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    let write = |name: &str, content: &[u8]| fs::write(out.join(name), content).unwrap();
    write("memory.x", MEMORY.as_bytes());
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");

    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "CA");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_string()]).unwrap();
    write("ca.der", ca.der());
    write("leaf.der", leaf.signed_by(&key, &ca).unwrap().der());
    write("leaf.key", &key.serialize_der());
}
