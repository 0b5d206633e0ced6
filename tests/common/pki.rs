//! Certificates made for one test, and configurations with them.

use std::fmt::Write as _;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::Scratch;

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
    /// A PKI with valid certificates.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A PKI whose server certificate is modified by `change`.
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

/// A session as in ParaQ's document: a CA, a server, and any number of clients, with the files that programs need. Its
/// certificates are for servers and clients alike.
pub struct Session {
    issuer: CertifiedIssuer<'static, KeyPair>,
    scratch: Scratch,
}

impl Session {
    /// A session with a server and a client, called `server` and `client`.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let scratch = Scratch::new();
        scratch.file("session.pem", issuer.pem());
        let session = Self { issuer, scratch };
        session.issue("server");
        session.issue("client");
        session
    }

    /// Issues credentials with this name.
    pub fn issue(&self, name: &str) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        self.scratch.file(&format!("{name}.pem"), certificate);
        self.scratch.file(&format!("{name}.key"), key.serialize_pem());
    }

    /// Copies credentials to another name; returns the arguments of OpenSSL's programs for them.
    pub fn copy(&self, from: &str, to: &str) -> Vec<String> {
        for end in ["pem", "key"] {
            let [from, to] = [from, to].map(|name| self.scratch.path(&format!("{name}.{end}")));
            std::fs::copy(from, to).unwrap();
        }
        self.identity(to)
    }

    /// The arguments of OpenSSL's programs for credentials.
    pub fn identity(&self, name: &str) -> Vec<String> {
        let file = |end| self.scratch.path(&format!("{name}.{end}")).to_str().unwrap().to_owned();
        vec!["-cert".into(), file("pem"), "-key".into(), file("key")]
    }

    /// The session's certificate.
    pub fn ca(&self) -> PathBuf {
        self.scratch.path("session.pem")
    }

    /// The `.tls` group of the server's defconfig, with `more` added.
    pub fn tls(&self, more: &str) -> String {
        let ca = strings(&self.issuer.pem());
        self.group(&format!("  .ca_cert =\n{ca},\n  {more}\n"))
    }

    /// The `.tls` group without the session's certificate.
    pub fn tls_without_ca(&self) -> String {
        self.group("")
    }

    fn group(&self, more: &str) -> String {
        let read = |name| strings(&std::fs::read_to_string(self.scratch.path(name)).unwrap());
        format!(
            ".tls = {{\n  .srv_cert =\n{},\n  .srv_key =\n{},\n{more}}},\n",
            read("server.pem"),
            read("server.key")
        )
    }
}

/// A PEM as C strings, one for each line.
pub fn strings(pem: &str) -> String {
    let mut text = String::new();
    for line in pem.lines() {
        let _ = writeln!(text, "    \"{line}\\n\"");
    }
    text.trim_end().to_owned()
}

/// `.vmm` and `.ip` of the built-in defconfig.
pub const USER_NETWORK: &str = "\
.vmm = { .telnet_dbgsh = 1, },
.ip = { .use_dhcp = 0, .ipaddr = { 10, 0, 2, 15 }, .netmask = { 255, 255, 255, 0 }, .gateway = { 10, 0, 2, 2 }, },
";

/// `.echo` of the built-in defconfig.
pub const ECHO: &str = ".echo = { .tls_port = 10007, .plain_port = 10008, },\n";
