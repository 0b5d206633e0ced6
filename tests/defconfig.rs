//! The build of a defconfig into the image: faults, and generated files.
//!
//! The build script itself is run here, as cargo runs it, in a directory of its own: a fault costs milliseconds and not
//! a build.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use postern::config::{self, Config, Scratch};
use postern::pki::cert::{Certificate, Date};
use postern::pki::crl::Crl;
use postern::pki::own::Role;
use postern_testing::lists;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, PKCS_ECDSA_P384_SHA384, date_time_ymd,
};

/// A target directory with one package in it.
struct Build {
    directory: PathBuf,
}

impl Build {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("defconfig-{}-{number}", std::process::id()));
        fs::create_dir_all(directory.join("package")).unwrap();
        let build = Self { directory };
        build.write("target/CACHEDIR.TAG", "");
        for profile in ["debug", "release"] {
            fs::create_dir_all(build.out(profile)).unwrap();
        }
        build
    }

    fn out(&self, profile: &str) -> PathBuf {
        self.directory
            .join("target")
            .join(profile)
            .join("build/postern-0123456789abcdef/out")
    }

    fn pki(&self) -> PathBuf {
        self.directory.join("target/pki")
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, profile: &str) -> Command {
        let mut command = Command::new(env!("POSTERN_BUILD_SCRIPT"));
        command
            .env("CARGO_MANIFEST_DIR", self.directory.join("package"))
            .env("CARGO_PKG_VERSION", "1.2.3")
            .env("CARGO_FEATURE_IMAGE", "1")
            .env("OUT_DIR", self.out(profile))
            .env_remove("POSTERN_DEFCONFIG")
            .env_remove("SOURCE_DATE_EPOCH")
            .current_dir(self.directory.join("package"));
        command
    }

    fn run(&self) -> Output {
        self.command("debug").output().unwrap()
    }

    /// Builds with this as `defconfig`; it is refused, with this message.
    fn refused(&self, defconfig: &str) -> String {
        self.write("package/defconfig", defconfig);
        let output = self.run();
        let error = String::from_utf8(output.stderr).unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(
            shown
                .lines()
                .any(|line| line == format!("cargo::error={}", error.trim_end())),
            "{shown}\n{error}"
        );
        assert!(!self.out("debug").join("defconfig.baked").exists());
        error.trim_end().to_owned()
    }

    /// Builds with this as `defconfig`; returns the build script's output for cargo.
    fn accepted(&self, defconfig: &str) -> String {
        self.write("package/defconfig", defconfig);
        succeed(self.run())
    }

    /// What the image will read.
    fn baked(&self) -> Box<Config> {
        let path = self.out("debug").join("defconfig.baked");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (mut config, mut scratch) = (Box::new(Config::new()), Box::new(Scratch::new()));
        config.parse(&fs::read(path).unwrap(), &mut scratch).unwrap();
        config
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn succeed(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A CA, and leaves of it.
struct Pki(CertifiedIssuer<'static, KeyPair>);

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "RootCA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, key: &KeyPair, from: i32, until: i32) -> String {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        params.signed_by(key, &self.0).unwrap().pem()
    }
}

/// A PEM as strings of C.
fn strings(pem: &str) -> String {
    pem.lines().map(|line| format!("\n    \"{line}\\n\"")).collect()
}

const FILES: &str = ".tls = {
  .srv_cert_file = \"../pki/server.pem\",
  .srv_key_file = \"../pki/server.key\",
},
";

#[test]
fn each_fault_of_the_text_stops_the_build() {
    let build = Build::new();
    for (text, message) in [
        (
            ".tls = {\n  .srv_kye = \"\",\n}",
            "defconfig:2:3: .tls.srv_kye: there is no such key. Did you mean `.tls.srv_key`?",
        ),
        (
            ".vmm = {\n  .telnet_dbgsh = 1\n  .panic_reboot = 0\n}",
            "defconfig:2:20: .vmm.telnet_dbgsh: a comma is missing after this value. Put a comma here",
        ),
        (
            ".echo = {\n  .tls_port = 1,\n  .tls_port = 2\n}",
            "defconfig:3:3: .echo.tls_port: this is set twice, first at 2:3. Keep one of the two",
        ),
        (
            ".echo.tls_port = 65536",
            "defconfig:1:18: .echo.tls_port: 65536 is out of range: expected a number from 0 to 65535. \
             Choose a number in that range",
        ),
        (
            ".ip.ipaddr = { 10, 0, 2, 256 }",
            "defconfig:1:26: .ip.ipaddr: 256 does not fit into an address. Each of the four numbers is from 0 to 255",
        ),
        (
            ".ip6.ipaddr = \"2001:db8:::9\"",
            "defconfig:1:15: .ip6.ipaddr: expected an IPv6 address in a string, like `\"2001:db8::15\"`, found \
             \"2001:db8:::9\". Write it in a string: `\"2001:db8::15\"`, or `\"\"` for none",
        ),
        (
            ".tls.ca_cert = \"-----BEGIN",
            "defconfig:1:16: .tls.ca_cert: the string is not closed on its line. \
             Close it with `\"`; a longer text is several strings, one per line",
        ),
        (
            ".ip = { }, /*",
            "defconfig:1:12: the comment is not closed. Close it with `*/`",
        ),
        (".ip = {", "defconfig:1:8: .ip: the `{` at 1:7 is not closed. Add a `}`"),
        (
            ".ip = 1",
            "defconfig:1:7: .ip: expected keys in braces, like `{ .name = value, }`, found the number 1. \
             Write `.ip = { .use_dhcp = ..., }`",
        ),
        (
            ".tls = { .ca_cert = \"-----BEGIN CERTIFICATE-----\\n\"\n\"AQ!D\\n\" \"-----END CERTIFICATE-----\\n\" }",
            "defconfig:2:4: .tls.ca_cert: the PEM block contains invalid base64 (block 1). \
             Copy the PEM again, whole; as strings, each line ends in `\\n`",
        ),
        (
            ".ip = { .use_dhcp = 0 }",
            "defconfig:1:1: .ip.ipaddr: without DHCP the machine has no address. \
             Set `.ip.ipaddr` to the machine's own, or `.ip.use_dhcp` to 1",
        ),
        (
            ".ip = { .use_dhcp = 0, .ipaddr = { 10, 0, 0, 1 },\n.netmask = { 0, 255, 0, 0 } }",
            "defconfig:2:1: .ip.netmask: the netmask has a hole in it. \
             Write ones, then zeroes, like `{ 255, 255, 255, 0 }`",
        ),
        (
            ".echo = { .tls_port = 7, .plain_port = 7 }",
            "defconfig:1:26: .echo.plain_port: this port is taken by `.echo.tls_port`. \
             Choose another port, or 0 for none",
        ),
    ] {
        assert_eq!(build.refused(text), message, "{text}");
    }
}

#[test]
fn each_fault_of_certificates_stops_the_build() {
    let build = Build::new();
    let pki = Pki::new();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let files = |certificate: &str, key: &str| {
        build.write("pki/server.pem", certificate);
        build.write("pki/server.key", key);
        build.refused(FILES)
    };
    let good = pki.issue(&key, 2020, 2120);

    assert_eq!(
        files(&pki.issue(&key, 2023, 2024), &key.serialize_pem()),
        "defconfig:2:3: .tls.srv_cert_file: certificate 1 expired 2024-01-01. \
         Renew it; a longer life is `openssl x509 -days N`"
    );
    let early = files(&pki.issue(&key, 2110, 2120), &key.serialize_pem());
    assert!(
        early.starts_with(
            "defconfig:2:3: .tls.srv_cert_file: certificate 1 is not valid before 2110-01-01 00:00:00 UTC, and now is "
        ) && early.ends_with(". Wait until then, set the clock, or have the certificate issued again"),
        "{early}"
    );
    assert_eq!(
        files(&good, &other.serialize_pem()),
        "defconfig:3:3: .tls.srv_key_file: this private key does not belong to the certificate. \
         Use the key with which the request for the certificate was made"
    );
    assert_eq!(
        files(&format!("{}{good}", pki.0.pem()), &key.serialize_pem()),
        "defconfig:2:3: .tls.srv_cert_file: certificate 1 belongs to none of the private keys, but certificate 2 does. \
         Put that certificate first, then the one that issued it, and so on"
    );
    assert_eq!(
        files(&good[..good.len() / 2], &key.serialize_pem()),
        "defconfig:2:20: .tls.srv_cert_file: line 1 of ../pki/server.pem: the PEM block has no END line (block 1). \
         Copy the PEM whole, from `-----BEGIN` to the last dashes of `-----END`"
    );
    let stray = good.replacen("MII", "M!I", 1);
    assert_eq!(
        files(&stray, &key.serialize_pem()),
        "defconfig:2:20: .tls.srv_cert_file: line 2 of ../pki/server.pem: the PEM block contains invalid base64 \
         (block 1). Copy the PEM again, whole"
    );
    assert_eq!(
        files(&format!("{good}x{good}"), &key.serialize_pem()),
        format!(
            "defconfig:2:20: .tls.srv_cert_file: line {} of ../pki/server.pem: the BEGIN line of the PEM block is malformed \
             or not on its own line (block 2). Put it on a line of its own, with five dashes on both sides",
            good.lines().count() + 1
        )
    );
    build.write("pki/roots.pem", &good.replacen("MII", "M!I", 1));
    assert_eq!(
        build.refused(".tls.root_certs_file = \"../pki/roots.pem\""),
        "defconfig:1:24: .tls.root_certs_file: line 2 of ../pki/roots.pem: the PEM block contains invalid base64 \
         (block 1). Copy the PEM again, whole"
    );
    assert_eq!(
        files(&good, "not a key"),
        "defconfig:3:19: .tls.srv_key_file: it contains no PEM private key. \
         `.tls.srv_key_file` takes PEM blocks that begin with `-----BEGIN PRIVATE KEY-----`, or \"generate\""
    );
    let two = format!("{}{}", key.serialize_pem(), other.serialize_pem());
    assert_eq!(
        files(&good, &two),
        "defconfig:3:3: .tls.srv_key_file: none of the certificates belongs to private key 2. \
         Put its certificate into `.tls.srv_cert`, or remove the key"
    );
    build.write("pki/server.pem", &good);
    build.write("pki/server.key", &key.serialize_pem());
    assert_eq!(
        build.refused(&FILES.replace("\n},", "\n  .client_auth = \"required\",\n},")),
        "defconfig:4:3: .tls.client_auth: there is no CA to verify client certificates with. \
         Set `.tls.ca_cert` as well"
    );
    build.write("pki/ca.pem", &pki.issue(&other, 2020, 2021));
    assert_eq!(
        build.refused(&FILES.replace("\n},", "\n  .ca_cert_file = \"../pki/ca.pem\",\n},")),
        "defconfig:4:3: .tls.ca_cert_file: certificate 1 expired 2021-01-01. \
         Renew it; a longer life is `openssl x509 -days N`"
    );
    fs::remove_file(build.directory.join("pki/server.key")).unwrap();
    assert_eq!(
        build.refused(FILES),
        "defconfig:3:19: .tls.srv_key_file: cannot read ../pki/server.key: there is no such file. \
         Put the PEM file there, or correct the name: it is relative to the directory of this defconfig"
    );
    assert_eq!(
        build.refused(&format!(".tls = {{\n  .srv_cert = {} }}", strings(&good))),
        "defconfig:2:3: .tls.srv_cert: there is no private key for this certificate. Set `.tls.srv_key` as well"
    );
    assert_eq!(
        build.refused(&format!(".tls = {{\n  .srv_key = {} }}", strings(&key.serialize_pem()))),
        "defconfig:2:3: .tls.srv_key: there is no certificate for this private key. Set `.tls.srv_cert` as well"
    );
}

#[test]
fn lists_and_cas_that_cannot_be_used_stop_the_build_and_unwise_ones_are_a_warning() {
    let build = Build::new();
    let pki = Pki::new();
    let text = ".tls = {\n  .ca_cert_file = \"../pki/ca.pem\",\n  .crl_file = \"../pki/list.pem\",\n},\n";
    build.write("pki/ca.pem", &pki.0.pem());
    for (list, reason) in lists::unusable(&pki.0) {
        build.write("pki/list.pem", &list);
        let message = build.refused(text);
        let start = format!("defconfig:3:3: .tls.crl_file: revocation list 1 {reason}");
        assert!(message.starts_with(&start), "{message}");
    }
    build.write("pki/list.pem", &lists::good(&pki.0));
    assert!(!build.accepted(text).contains("cargo::warning"));
    fs::remove_file(build.out("debug").join("defconfig.baked")).unwrap();
    // By a CA of the bundle as well.
    let bundle = text.replace("ca_cert_file", "root_certs_file");
    let (list, reason) = &lists::unusable(&pki.0)[0];
    build.write("pki/list.pem", list);
    assert!(build.refused(&bundle).contains(reason));

    build.write("pki/list.pem", &lists::good(&pki.0));
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let own = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    build.write("pki/ca.pem", &own.pem());
    let told = build.accepted(text);
    let warning = "cargo::warning=defconfig:2:3: .tls.ca_cert_file: certificate 1 is not a CA certificate ";
    assert!(told.contains(warning), "{told}");
}

/// Runs OpenSSL in the directory `pki`.
fn openssl(build: &Build, command: &str) {
    let directory = build.directory.join("pki");
    fs::create_dir_all(&directory).unwrap();
    let output = Command::new("openssl")
        .args(command.split(' '))
        .current_dir(&directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// BitVisor's guide to the letter: an RSA key, and a certificate which `-extensions` without `-extfile` leaves at X.509
/// version 1.
#[test]
fn the_guides_commands_make_what_can_be_served() {
    let build = Build::new();
    let distinguished = "[req]\ndistinguished_name = dn\nprompt = no\nx509_extensions = v3\n[dn]\nCN = ";
    build.write(
        "pki/RootCA.cnf",
        &format!(
            "{distinguished}RootCA\n[v3]\nbasicConstraints = critical, CA:TRUE\n\
             keyUsage = critical, cRLSign, digitalSignature, keyCertSign\n"
        ),
    );
    build.write(
        "pki/server.cnf",
        &format!(
            "{}*\n[v3_server]\nbasicConstraints = critical, CA:TRUE\n",
            distinguished.replace("= v3", "= v3_server")
        ),
    );
    for command in [
        "genpkey -algorithm RSA -out RootCA.key",
        "req -new -x509 -days 3650 -key RootCA.key -out RootCA.pem -config RootCA.cnf",
        "genpkey -algorithm RSA -out server.key",
        "req -new -key server.key -out server.csr -config server.cnf",
        "x509 -req -days 365 -in server.csr -CA RootCA.pem -CAkey RootCA.key -CAcreateserial -out server.pem \
         -extensions v3_server",
    ] {
        openssl(&build, command);
    }
    let files = FILES.replace("\n},", "\n  .ca_cert_file = \"../pki/RootCA.pem\",\n},");
    build.accepted(&files);
    let config = build.baked();
    let found = config.server().unwrap();
    assert_eq!(found.keys.first().map(|key| key.algorithm()), Some("RSA"));
    let leaf = Certificate::from_der(config.tls.srv_cert.iter().next().unwrap()).unwrap();
    assert_eq!((leaf.version, config.tls.ca_cert.len()), (1, 1));
}

/// OpenSSL's ways to write keys of each kind, with and without text between.
#[test]
fn openssls_keys_and_certificates_are_baked() {
    let build = Build::new();
    for (make, kind) in [
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out server.key",
            "ECDSA P-256",
        ),
        ("ecparam -name prime256v1 -genkey -out server.key", "ECDSA P-256"),
        ("ecparam -name secp384r1 -genkey -out server.key", "ECDSA P-384"),
        ("genpkey -algorithm ED25519 -out server.key", "Ed25519"),
        ("genrsa -traditional -out server.key 2048", "RSA"),
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -out server.key",
            "RSA",
        ),
    ] {
        openssl(&build, make);
        openssl(
            &build,
            "req -new -x509 -days 365 -key server.key -subj /C=JP/O=A/CN=x -text -out server.pem",
        );
        build.accepted(FILES);
        let config = build.baked();
        assert_eq!(config.tls.srv_cert.len(), 1);
        assert_eq!(
            config.server().unwrap().keys.first().map(|key| key.algorithm()),
            Some(kind)
        );
    }
}

/// Lists of `openssl ca -gencrl`: version 1, and with an option version 2. An expired list is still built in, since
/// handshakes report it.
#[test]
fn revocation_lists_are_baked() {
    let build = Build::new();
    build.write(
        "pki/ca.cnf",
        "[ca]\ndefault_ca = a\n[a]\ndatabase = index\ndefault_md = sha256\n[v2]\nauthorityKeyIdentifier = keyid\n",
    );
    build.write("pki/index", "");
    for command in [
        "req -new -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj /CN=CA -out ca.pem",
        "ca -config ca.cnf -gencrl -crldays 30 -keyfile ca.key -cert ca.pem -out one.pem",
        "ca -config ca.cnf -gencrl -crldays 30 -crlexts v2 -keyfile ca.key -cert ca.pem -out two.pem",
    ] {
        openssl(&build, command);
    }
    let lists = format!("{}{}", read(&build, "pki/one.pem"), read(&build, "pki/two.pem"));
    build.write("pki/crl.pem", &lists);
    let text = ".tls = { .ca_cert_file = \"../pki/ca.pem\", .crl_file = \"../pki/crl.pem\" }";
    build.accepted(text);
    let versions: Vec<_> = build
        .baked()
        .tls
        .crl
        .iter()
        .map(|der| Crl::from_der(der).unwrap().version)
        .collect();
    assert_eq!(versions, [1, 2]);
    build.write("pki/crl.pem", &lists.replace("MI", "MA"));
    fs::remove_file(build.out("debug").join("defconfig.baked")).unwrap();
    let broken = build.refused(text);
    assert!(
        broken.starts_with("defconfig:1:43: .tls.crl_file: revocation list 1 is broken. "),
        "{broken}"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table")]
fn a_configuration_is_baked_whole() {
    let build = Build::new();
    let pki = Pki::new();
    let (key, other) = (
        KeyPair::generate().unwrap(),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
    );
    let second = pki.issue(&other, 2020, 2120);
    build.write(
        "pki/server.pem",
        &format!("{}{}{second}", pki.issue(&key, 2020, 2120), pki.0.pem()),
    );
    build.write(
        "pki/server.key",
        &format!("{}{}", key.serialize_pem(), other.serialize_pem()),
    );
    build.write("pki/client.pem", &second);
    build.write("pki/client.key", &other.serialize_pem());
    build.write("pki/ca.pem", &pki.0.pem());
    let crl = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(2120, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    build.write("pki/crl.pem", &crl.signed_by(&pki.0).unwrap().pem().unwrap());
    let text = "
        .vmm = { .telnet_dbgsh = 1, .panic_reboot = 1,
            .tty_syslog = { .enable = 0, .src_ipaddr = { 1, 2, 3, 4 }, .dst_ipaddr = { 5, 6, 7, 8 } } },
        .ip = { .use_dhcp = 0, .ipaddr = { 10, 0, 0, 9 }, .netmask = { 255, 0, 0, 0 }, .gateway = { 10, 0, 0, 1 },
            .dns = { 10, 0, 0, 2 } },
        .ip6 = { .enable = 0, .use_slaac = 0, .ipaddr = \"2001:DB8::9\", .prefix = 48, .gateway = \"fe80::1\",
            .dns = \"2001:db8::53\" },
        .proxy = { .ipaddr = { 10, 0, 0, 3 }, .port = 3128, .user = \"alice\", .password = \"open\" },
        .tls = { .srv_cert_file = \"../pki/server.pem\", .srv_key_file = \"../pki/server.key\",
            .ca_cert_file = \"../pki/ca.pem\", .cli_cert_file = \"../pki/client.pem\",
            .cli_key_file = \"../pki/client.key\", .crl_file = \"../pki/crl.pem\", .handshake_timeout = 17,
            .client_auth = \"required\", .verify = \"strict\", .keylog = 1, .selftest = 1,
            .root_certs_file = \"../pki/ca.pem\",
            .allow = { \"CN=alice,O=\\\"Example\\\"\", \"CN=a\\\\,b\" } },
        .echo = { .tls_port = 18, .plain_port = 19, .https_port = 22, .connections = 20, .connections_per_address = 7, .idle_timeout = 21 },
    ";
    let told = build.accepted(text);
    let baked = build.baked();
    // As if the files stood in the text.
    let mut inlined = text.to_owned();
    for file in [
        "server.pem",
        "server.key",
        "ca.pem",
        "client.pem",
        "client.key",
        "crl.pem",
    ] {
        inlined = inlined.replace(
            &format!("_file = \"../pki/{file}\""),
            &format!(" = {}", strings(&read(&build, &format!("pki/{file}")))),
        );
    }
    let (mut config, mut scratch) = (Box::new(Config::new()), Box::new(Scratch::new()));
    config.parse(inlined.as_bytes(), &mut scratch).unwrap();
    let all = |config: &Config| {
        let Config {
            vmm,
            ip,
            proxy,
            tls,
            echo,
            ..
        } = config;
        format!("{vmm:?} {ip:?} {proxy:?} {tls:?} {echo:?}")
    };
    assert_eq!(all(&baked), all(&config));
    // The login is no part of what is printed.
    let login = |Config { proxy, .. }: &Config| [proxy.user.as_bytes(), proxy.password.as_bytes()].map(<[u8]>::to_vec);
    assert_eq!(login(&baked), login(&config));
    let keys = |config: &Config| {
        let keys = config.tls.srv_key.iter().chain(&config.tls.cli_key);
        keys.map(|key| key.der.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(keys(&baked), keys(&config));
    assert_eq!(
        (baked.server().unwrap().parts.len(), baked.client().unwrap().parts.len()),
        (2, 1)
    );
    for &path in config::Path::ALL {
        // These are empty, and what is empty is left out.
        let list = [Some(path), path.parent()].contains(&Some(config::Path::Reverse)) || path == config::Path::Names;
        let file = matches!(path.kind(), config::Kind::File(_));
        assert_eq!(baked.places.get(path).is_some(), !file && !list, "{path}");
    }
    // Cargo looks at what was read, and only there.
    for file in [
        "package/defconfig",
        "package/../pki/server.pem",
        "package/../pki/server.key",
        "package/../pki/ca.pem",
        "package/../pki/client.pem",
        "package/../pki/client.key",
        "package/../pki/crl.pem",
    ] {
        let line = format!("cargo::rerun-if-changed={}", build.directory.join(file).display());
        assert!(told.lines().any(|told| told == line), "{line}\n{told}");
    }
    assert!(told.contains("cargo::rustc-env=POSTERN_PKI=\n"), "{told}");
    assert_eq!(fs::read(build.out("debug").join("throwaway.baked")).unwrap(), b"");
    assert!(!build.pki().exists());
}

fn read(build: &Build, name: &str) -> String {
    fs::read_to_string(build.directory.join(name)).unwrap()
}

/// The guide's client needs the CA alone: there is then no server, and no certificate is made up for one.
#[test]
fn a_ca_alone_is_enough_for_a_client() {
    let build = Build::new();
    build.accepted(&format!(".tls = {{ .ca_cert = {}, }},", strings(&Pki::new().0.pem())));
    let config = build.baked();
    assert_eq!((config.tls.srv_cert.len(), config.tls.ca_cert.len()), (0, 1));
    assert!(config.tls.srv_key.is_empty() && !build.pki().exists());
}

#[test]
fn another_defconfig_is_read_where_the_environment_names_one() {
    let build = Build::new();
    let path = build.write("elsewhere/other", FILES);
    let output = build.command("debug").env("POSTERN_DEFCONFIG", &path).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    // Its files are looked for beside it.
    let start = format!(
        "{}:2:20: .tls.srv_cert_file: cannot read ../pki/server.pem: ",
        path.display()
    );
    assert!(error.starts_with(&start), "{error}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("cargo::rerun-if-env-changed=POSTERN_DEFCONFIG\n"));
    let output = build
        .command("debug")
        .env("POSTERN_DEFCONFIG", "nowhere")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stderr).unwrap().trim_end(),
        "cannot read nowhere: No such file or directory (os error 2). \
         POSTERN_DEFCONFIG names it, relative to the package"
    );
    assert_eq!(
        String::from_utf8(build.run().stderr).unwrap().trim_end(),
        "cannot read defconfig: No such file or directory (os error 2). \
         Restore it with `git checkout defconfig`, or name another with POSTERN_DEFCONFIG"
    );
}

#[test]
fn the_build_time_and_version_are_told() {
    let build = Build::new();
    build.write("package/defconfig", "");
    let told = succeed(
        build
            .command("debug")
            .env("SOURCE_DATE_EPOCH", "1234567890")
            .output()
            .unwrap(),
    );
    assert!(
        told.contains("cargo::rustc-env=POSTERN_BUILD_TIME=1234567890\n"),
        "{told}"
    );
    // The commit of the repository that happens to be around is none of this package's.
    assert!(told.contains("cargo::rustc-env=POSTERN_VERSION=1.2.3\n"), "{told}");
    let output = build
        .command("debug")
        .env("SOURCE_DATE_EPOCH", "today")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stderr).unwrap().trim_end(),
        "SOURCE_DATE_EPOCH is not a number of seconds since 1970: today"
    );
}

#[test]
fn without_certificates_throw_away_ones_are_made_and_kept() {
    let build = Build::new();
    let told = build.accepted(".tls = { .handshake_timeout = 7, .client_auth = \"required\" }");
    assert!(
        told.contains("made throw-away certificates, valid until 2") && !told.contains("cargo::warning"),
        "{told}"
    );
    assert!(
        told.contains(&format!("cargo::rustc-env=POSTERN_PKI={}\n", build.pki().display())),
        "{told}"
    );
    let names = [
        "RootCA.pem",
        "RootCA.key",
        "server.pem",
        "server.key",
        "client.pem",
        "client.key",
    ];
    let contents = || names.map(|name| fs::read_to_string(build.pki().join(name)).unwrap());
    let first = contents();
    for name in names {
        let line = format!("cargo::rerun-if-changed={}\n", build.pki().join(name).display());
        assert!(told.contains(&line), "{line}");
        let mode = fs::metadata(build.pki().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if name.ends_with("key") { 0o600 } else { 0o644 }, "{name}");
    }
    let config = build.baked();
    assert_eq!(config.tls.handshake_timeout, 7);
    assert_eq!(config.tls.client_auth, config::ClientAuth::Required);
    assert_eq!((config.server().unwrap().parts.len(), config.tls.ca_cert.len()), (1, 1));
    assert!(config.tls.cli_cert.is_empty() && config.tls.cli_key.is_empty());
    // The same for a boot module that has none.
    let alone = || fs::read(build.out("debug").join("throwaway.baked")).unwrap();
    let (mut module, mut scratch) = (Box::new(Config::new()), Box::new(Scratch::new()));
    module
        .parse(b".tls = { .srv_cert = \"\", .verify = \"strict\" }", &mut scratch)
        .unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!(module.is_anonymous());
    module.take_throw_away(&alone(), &mut scratch, now, now).unwrap();
    let ders = |config: &Config| {
        let tls = &config.tls;
        tls.srv_cert
            .iter()
            .chain(tls.ca_cert.iter())
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    };
    assert_eq!(ders(&module), ders(&config));
    assert_eq!(
        (module.server().unwrap().parts.len(), module.tls.verify),
        (1, config::Verify::Strict)
    );
    // After their time they are not used, and nothing else is lost.
    module.parse(b".echo.plain_port = 7", &mut scratch).unwrap();
    let late = now + 400 * 24 * 60 * 60;
    assert!(module.take_throw_away(&alone(), &mut scratch, late, now).is_err());
    assert!(module.is_anonymous() && module.echo.plain_port == 7);

    // OpenSSL's opinion of them.
    for arguments in [
        &["-purpose", "sslserver", "-verify_hostname", "localhost", "server.pem"][..],
        &["-purpose", "sslserver", "-verify_ip", "127.0.0.1", "server.pem"],
        &["-purpose", "sslserver", "-verify_ip", "10.0.2.15", "server.pem"],
        &["-purpose", "sslclient", "client.pem"],
    ] {
        let output = Command::new("openssl")
            .args(["verify", "-x509_strict", "-CAfile", "RootCA.pem"])
            .args(arguments)
            .current_dir(build.pki())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    // Another profile, another time: the same.
    let told = succeed(build.command("release").output().unwrap());
    assert!(!told.contains("made throw-away"), "{told}");
    assert_eq!(contents(), first);

    // Keys that have become legible to others are put right.
    fs::set_permissions(build.pki().join("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    succeed(build.run());
    assert_eq!(
        fs::metadata(build.pki().join("server.key"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    assert_eq!(contents(), first);
}

#[test]
fn throw_away_certificates_that_do_not_fit_are_made_anew() {
    let build = Build::new();
    build.accepted("");
    let path = |name: &str| build.pki().join(name);
    let contents = || fs::read_to_string(path("RootCA.pem")).unwrap();
    let stranger = Build::new();
    stranger.accepted("");
    let from_stranger = |name: &str| fs::copy(stranger.pki().join(name), path(name)).map(drop).unwrap();

    let damages: [&dyn Fn(); 5] = [
        &|| fs::remove_file(path("client.key")).unwrap(),
        &|| fs::write(path("server.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap(),
        &|| from_stranger("server.key"),
        // The names agree, the signatures do not.
        &|| from_stranger("RootCA.pem"),
        &|| {
            from_stranger("RootCA.pem");
            from_stranger("RootCA.key");
        },
    ];
    for (number, damage) in damages.iter().enumerate() {
        let before = contents();
        damage();
        let told = build.accepted("");
        assert!(told.contains("made throw-away"), "{number}: {told}");
        assert_ne!(contents(), before, "{number}");
        assert!(!build.accepted("").contains("made throw-away"), "{number}");
    }
}

#[test]
fn throw_away_certificates_are_made_anew_before_they_expire() {
    let build = Build::new();
    let (pki, key) = (Pki::new(), KeyPair::generate().unwrap());
    let year = this_year();
    // A set that is in order, but for its dates: valid until last New Year, and the one after the next.
    for (until, kept) in [(year, false), (year + 2, true)] {
        for (name, content) in [
            ("RootCA.pem", pki.0.pem()),
            ("RootCA.key", pki.0.key().serialize_pem()),
            ("server.pem", pki.issue(&key, 2020, until)),
            ("server.key", key.serialize_pem()),
            ("client.pem", pki.issue(&key, 2020, until)),
            ("client.key", key.serialize_pem()),
        ] {
            build.write(&format!("target/pki/{name}"), &content);
        }
        assert_eq!(!build.accepted("").contains("made throw-away"), kept, "{until}");
    }
}

fn this_year() -> i32 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    Date(now).to_string().split('-').next().unwrap().parse().unwrap()
}

#[test]
fn builds_at_the_same_time_agree_on_the_certificates() {
    let build = Build::new();
    build.write("package/defconfig", "");
    let start = |profile| {
        build
            .command(profile)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let builds = ["debug", "release"].map(start);
    let told: Vec<_> = builds
        .into_iter()
        .map(|child| succeed(child.wait_with_output().unwrap()))
        .collect();
    assert_eq!(told.iter().filter(|told| told.contains("made throw-away")).count(), 1);
    let baked = |profile| fs::read_to_string(build.out(profile).join("defconfig.baked")).unwrap();
    assert_eq!(baked("debug"), baked("release"));
    assert!(
        fs::read_dir(build.pki()).unwrap().all(|entry| entry
            .unwrap()
            .path()
            .extension()
            .is_none_or(|end| end != "tmp"))
    );
}

#[test]
fn a_proxy_survives_the_baking() {
    let build = Build::new();
    build.accepted(
        ".proxy = { .host = \"proxy.example\", .port = 3128, .user = \"J\\303\\274rgen\", .password = \"a \\\"b\\\\c:\" },\n\
         .echo.reverse = { { .host = \"friend.example\", .port = 1, .plain = 1, .direct = 1 } },\n",
    );
    let config = build.baked();
    let proxy = &config.proxy;
    assert_eq!(
        (proxy.ipaddr, proxy.host.as_str(), proxy.port),
        (None, "proxy.example", 3128)
    );
    assert_eq!(proxy.user.as_bytes(), "Jürgen".as_bytes());
    assert_eq!(proxy.password.as_bytes(), b"a \"b\\c:");
    assert!(config.echo.reverse[0].direct);
    // None at all is none as well.
    let build = Build::new();
    build.accepted("");
    assert!(!build.baked().proxy.is_set());
}

#[test]
fn reverse_connections_survive_the_baking() {
    let build = Build::new();
    build.accepted(
        ".vmm.tls_dbgsh = 992,\n.echo.reverse = {\n  { .ipaddr = { 10, 0, 2, 2 }, .port = 20001, .every = 5 },\n  \
         { .ipaddr = \"2001:db8::2\", .port = 20002 },\n  { .host = \"friend.example\", .port = 1, .netif = \"vm1\", .plain = 1, .role = \"client\" },\n},\n",
    );
    let config = build.baked();
    assert_eq!(config.vmm.tls_dbgsh, 992);
    let [home, neighbor, friend] = &config.echo.reverse[..] else {
        panic!("{:?}", config.echo.reverse)
    };
    assert_eq!(
        (home.ipaddr, home.port, home.every, home.plain, home.role),
        (Some([10, 0, 2, 2].into()), 20001, 5, false, config::Role::Either)
    );
    assert_eq!((home.host.as_str(), home.netif.as_str()), ("", ""));
    let address = neighbor.ipaddr.map(|address| address.to_string());
    assert_eq!((address.as_deref(), neighbor.port), (Some("2001:db8::2"), 20002));
    assert_eq!(
        (friend.ipaddr, friend.port, friend.every, friend.plain, friend.role),
        (None, 1, 10, true, config::Role::Client)
    );
    assert_eq!((friend.host.as_str(), friend.netif.as_str()), ("friend.example", "vm1"));
}

#[test]
fn a_key_made_at_boot_leaves_no_private_key_in_the_image() {
    let build = Build::new();
    let generate = ".srv_key = \"generate\", .names = { \"echo.example\", \"::1\" }";
    let text = format!(".tls = {{ {generate}, .cli_key = \"generate\", .subject = \"CN=a,O=b\", .self_signed = 1 }}");
    let shown = build.accepted(&text);
    assert!(
        shown.lines().any(|line| line == "cargo::rustc-env=POSTERN_PKI="),
        "{shown}"
    );
    assert!(!build.pki().exists());
    // All that the image takes of a configuration.
    for file in ["defconfig.baked", "throwaway.baked"] {
        let baked = fs::read_to_string(build.out("debug").join(file)).unwrap();
        assert!(!baked.contains("PRIVATE") && !baked.contains("BEGIN"), "{baked}");
    }
    let baked = build.baked();
    assert!(baked.is_generated(Role::Server) && baked.is_generated(Role::Client));
    assert!(baked.server().unwrap().keys.is_empty());
    assert_eq!(
        (baked.tls.names.as_str(), baked.tls.subject.as_str()),
        ("echo.example\n::1\n", "CN=a,O=b")
    );
    assert!(baked.tls.self_signed && baked.tls.ca_cert.is_empty());
    // A client's key alone: the server has the throw-away one.
    build.accepted(".tls = { .cli_key = \"generate\", .subject = \"CN=a\" }");
    assert!(build.baked().is_generated(Role::Client) && !build.baked().is_generated(Role::Server));
    assert!(build.pki().exists());
}
