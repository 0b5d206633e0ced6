//! Certificates, made for one test, and configurations with them.

use std::fmt::Write as _;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A CA and a server certificate for `localhost` under it, ECDSA on P-256, as PEM.
pub struct Pki {
    /// The CA.
    pub ca: String,
    /// The server.
    pub server: String,
    /// The server's private key.
    pub key: String,
}

impl Pki {
    /// Makes one that is good today.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// Makes one whose server certificate is as `change` leaves it.
    pub fn with(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "CA of a test");
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let mut server = CertificateParams::new(["localhost".to_owned()]).unwrap();
        server.distinguished_name.push(DnType::CommonName, "localhost");
        change(&mut server);
        let key = KeyPair::generate().unwrap();
        Self {
            ca: ca.pem(),
            server: server.signed_by(&key, &ca).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// The `.tls` group of a defconfig.
    pub fn tls(&self) -> String {
        format!(
            ".tls = {{\n  .srv_cert =\n{},\n  .srv_key =\n{},\n  .ca_cert =\n{},\n}},\n",
            strings(&self.server),
            strings(&self.key),
            strings(&self.ca)
        )
    }
}

/// A PEM as C strings, one a line.
pub fn strings(pem: &str) -> String {
    let mut text = String::new();
    for line in pem.lines() {
        let _ = writeln!(text, "    \"{line}\\n\"");
    }
    text.trim_end().to_owned()
}

/// `.vmm` and `.ip` as the baked defconfig has them.
pub const USER_NETWORK: &str = "\
.vmm = { .telnet_dbgsh = 1, },
.ip = { .use_dhcp = 0, .ipaddr = { 10, 0, 2, 15 }, .netmask = { 255, 255, 255, 0 }, .gateway = { 10, 0, 2, 2 }, },
";

/// `.echo` as the baked defconfig has it.
pub const ECHO: &str = ".echo = { .tls_port = 10007, .plain_port = 10008, },\n";
