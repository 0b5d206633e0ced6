//! Boot modules: used as the configuration, or refused at the place of a fault.

use std::net::Ipv4Addr;

use postern_testing::lists;
use rcgen::date_time_ymd;

use super::common::machine::Setup;
use super::common::pki::{ECHO, Pki, USER_NETWORK, strings};
use super::common::{Scratch, baked_ca, poll, tls};
use super::identities::Ca;

#[test]
fn a_boot_module_changes_certificate_address_and_ports() {
    let (pki, scratch) = (Pki::new(), Scratch::new());
    let text = format!(
        ".vmm = {{ .telnet_dbgsh = 1 }},\n\
         .ip = {{ .use_dhcp = 0, .ipaddr = {{ 192, 168, 77, 9 }}, .netmask = {{ 255, 255, 255, 0 }},\n\
         .gateway = {{ 192, 168, 77, 2 }} }},\n{}.echo = {{ .tls_port = 443, .plain_port = 7 }},\n",
        pki.tls()
    );
    let setup = Setup::new()
        .defconfig(&text)
        .address(Ipv4Addr::new(192, 168, 77, 9))
        .ports(&[443, 7, 23]);
    let machine = setup.ready();
    machine.wait_for(&format!("configured by the boot module ({} bytes)", text.len()));
    machine.wait_for("vm0: address 192.168.77.9/24, gateway 192.168.77.2");
    tls::assert_serves(machine.at(443), &scratch.file("ca.pem", &pki.ca));
    assert_eq!(super::echo::plain(machine.at(7), b"seven".to_vec()), b"seven");
    let status = machine.ask("status");
    assert!(
        status.contains("tls echo server on port 443 of vm0\n") && !status.contains("10007"),
        "{status}"
    );
}

#[test]
fn a_faulty_module_is_refused_and_the_built_in_one_used() {
    let pki = Pki::new();
    let expired = Pki::with(|server| {
        server.not_before = date_time_ymd(2020, 1, 1);
        server.not_after = date_time_ymd(2021, 2, 3);
    });
    let mixed = Pki {
        key: Pki::new().key,
        ..Pki::new()
    };
    let ca = Ca::new();
    let (delta, _) = &lists::unusable(&ca.0)[0];
    let delta = format!(
        ".tls = {{ .ca_cert =\n{},\n.crl =\n{} }}",
        strings(&ca.0.pem()),
        strings(delta)
    );
    for (text, refusal) in [
        (
            ".ip = { .use_dhcp = 1 }\n.echo = {}",
            "defconfig:1:24: .ip: a comma is missing after this value",
        ),
        (
            ".vmm = {\n  .telnet_dbgsh = 1,\n  .telent = 1,\n},",
            "defconfig:3:3: .vmm.telent: there is no such key",
        ),
        (
            ".ip = { .ipaddr = { 10, 0, 2 } },",
            "defconfig:1:19: .ip.ipaddr: an address has four parts, this one has 3",
        ),
        (
            ".echo = { .tls_port = 65536 },",
            "defconfig:1:23: .echo.tls_port: 65536 is out of range",
        ),
        (
            ".tls = { .srv_cert_file = \"server.pem\" },",
            "files can be named at build time only",
        ),
        (".tls = { .srv_key = \"no key\" },", ".tls.srv_key: "),
        (&pki.tls()[..pki.tls().len() / 3], ".tls.srv_cert: "),
        (&expired.tls(), ".tls.srv_cert: certificate 1 expired 2021-02-0"),
        (
            &mixed.tls(),
            ".tls.srv_key: this private key does not belong to the certificate",
        ),
        (&delta, ".tls.crl: revocation list 1 is not supported: delta CRL."),
        ("\0\u{1b}[2J", "defconfig:1:1: the byte 0x00 means nothing here"),
    ] {
        let machine = Setup::new().defconfig(text).ready();
        machine.wait_for("boot module refused: defconfig:");
        machine.wait_for(refusal);
        machine.wait_for("using the baked configuration");
        tls::assert_serves(machine.at(10007), &baked_ca());
        let log = machine.ask("log");
        assert!(
            log.contains("boot module refused: ") && log.contains(refusal),
            "{refusal}: {log}"
        );
    }
}

#[test]
fn an_address_by_dhcp() {
    let text = format!(
        ".vmm = {{ .telnet_dbgsh = 1 }},\n.ip = {{ .use_dhcp = 1 }},\n{}{ECHO}",
        Pki::new().tls()
    );
    let machine = Setup::new().defconfig(text).ready();
    machine.wait_for("vm0: address 10.0.2.15/24, gateway 10.0.2.2");
    let ip = machine.ask("ip");
    assert!(ip.lines().next().unwrap().ends_with("(DHCP)"), "{ip}");
}

#[test]
fn without_certificates_the_throw_away_ones_are_used_with_a_warning() {
    let machine = Setup::new().defconfig(format!("{USER_NETWORK}{ECHO}")).ready();
    machine.wait_for("warning: tls: the boot module has no certificates: using the throw-away ones of the build");
    machine.wait_for("tls: serving CN=localhost,O=Postern throw-away, ");
    tls::assert_serves(machine.at(10007), &baked_ca());
    assert_eq!(super::echo::plain(machine.at(10008), b"plain".to_vec()), b"plain");
}

#[test]
fn risky_settings_warn_and_an_expired_list_refuses_only_its_ca() {
    let ca = Ca::new();
    let lists = lists::unusable(&ca.0);
    let (expired, _) = lists.iter().find(|(_, reason)| reason.starts_with("expired ")).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyEncipherment];
    let text = format!(
        "{USER_NETWORK}{ECHO}.tls = {{ .srv_cert =\n{},\n.srv_key =\n{},\n.ca_cert =\n{},\n.crl =\n{} }}",
        strings(&params.signed_by(&key, &ca.0).unwrap().pem()),
        strings(&key.serialize_pem()),
        strings(&ca.0.pem()),
        strings(expired),
    );
    let machine = Setup::new().defconfig(&text).ready();
    machine.wait_for(&format!("configured by the boot module ({} bytes)", text.len()));
    machine.wait_for(
        "warning: tls: defconfig:4:10: .tls.srv_cert: peers will refuse certificate 1: certificate's keyUsage does not \
         include digitalSignature",
    );
    machine.wait_for(
        "warning: tls: certificates of CN=CA of a test are refused until .tls.crl has another list: revocation list \
         expired 2021-01-01",
    );
}

#[test]
fn telnet_is_open_only_if_configured() {
    let text = format!(
        "{}{ECHO}",
        USER_NETWORK.replace(".telnet_dbgsh = 1", ".telnet_dbgsh = 0")
    );
    let machine = Setup::new().defconfig(text).ready();
    // QEMU accepts for the machine and closes the connection when the machine has refused it.
    let mut stream = std::net::TcpStream::connect(machine.at(23)).unwrap();
    stream.set_read_timeout(Some(super::common::LIMIT)).unwrap();
    assert!(matches!(std::io::Read::read(&mut stream, &mut [0; 16]), Ok(0) | Err(_)));
}

#[test]
fn the_log_goes_to_the_syslog_server() {
    let scratch = Scratch::new();
    let capture = scratch.path("capture");
    let syslog = ".telnet_dbgsh = 1, .tty_syslog = { .enable = 1, .dst_ipaddr = { 10, 0, 2, 2 } },";
    let text = format!("{}{ECHO}", USER_NETWORK.replace(".telnet_dbgsh = 1,", syslog));
    let dump = format!("filter-dump,id=dump,netdev=net0,file={}", capture.display());
    let machine = Setup::new().defconfig(text).arguments(&["-object", &dump]).ready();
    // A new log line, so that the address is certainly configured.
    machine.shell();
    poll("the line in a datagram", || {
        let bytes = std::fs::read(&capture).unwrap();
        super::common::process::find(&bytes, b"debug shell opened").map(|_| ())
    });
    machine.wait_for("debug shell opened");
}
