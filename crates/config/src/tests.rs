//! The grammar, the keys, and what is said about each fault.

use core::net::{IpAddr, Ipv4Addr};
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

use super::*;

mod boot_key;
mod bundle;
mod certificates;
mod rotate;
mod usability;

/// 2026-06-01 12:00:00 UTC.
const NOW: u64 = 1_780_315_200;

/// The parser's answer to `text`, as a person sees it; empty if there is no fault.
fn fault(text: &str) -> String {
    fault_at(text.as_bytes(), NOW, NOW)
}

fn fault_at(text: &[u8], now: u64, built: u64) -> String {
    let (mut config, mut scratch) = (Box::new(Config::new()), Box::new(Scratch::new()));
    let result = config.parse(text, &mut scratch).and_then(|()| config.check(now, built));
    assert!(scratch.bytes_are_wiped());
    result
        .err()
        .map(|error| error.at("defconfig").to_string())
        .unwrap_or_default()
}

/// Reads `text`, which has no fault.
fn read(text: &str) -> Box<Config> {
    let (mut config, mut scratch) = (Box::new(Config::new()), Box::new(Scratch::new()));
    config.parse(text.as_bytes(), &mut scratch).unwrap();
    config
}

/// Each text, and what is said about it.
fn assert_faults(faults: &[(&str, &str)]) {
    for (text, message) in faults {
        assert_eq!(fault(text), *message, "\n{text}");
    }
}

/// A PEM as the strings of C that the guide shows, one a line.
fn strings(pem: &str) -> String {
    pem.lines().map(|line| format!("\"{line}\\n\"\n")).collect()
}

struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2036, 1, 1));
        Self {
            ca: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
        }
    }

    /// A certificate for `key`, good from the first to the second year's beginning.
    fn issue(&self, key: &KeyPair, from: i32, until: i32) -> String {
        let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "server");
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        params.signed_by(key, &self.ca).unwrap().pem()
    }
}

fn server(certificates: &str, key: &str) -> String {
    format!(
        ".tls = {{\n.srv_cert =\n{},\n.srv_key =\n{},\n}}",
        strings(certificates),
        strings(key)
    )
}

#[test]
fn the_shipped_defconfig_is_good_and_sets_every_key_that_has_a_default() {
    let text = include_str!("../../../defconfig");
    assert_eq!(fault(text), "");
    let config = read(text);
    assert!(config.vmm.telnet_dbgsh && !config.vmm.panic_reboot && !config.ip.use_dhcp);
    assert_eq!(config.ip.ipaddr, Ipv4Addr::new(10, 0, 2, 15));
    assert_eq!(config.ip.gateway, Some(Ipv4Addr::new(10, 0, 2, 2)));
    assert_eq!((config.echo.tls_port, config.echo.plain_port), (10007, 10008));
    assert!(config.tls.srv_cert.is_empty() && config.tls.srv_key.is_empty());
    assert_eq!(
        (config.tls.client_auth, config.tls.verify),
        (ClientAuth::Off, Verify::Pinned)
    );
    for &path in Path::ALL {
        let pem = matches!(
            path.kind(),
            Kind::Certificates | Kind::Bundle | Kind::Crls | Kind::PrivateKeys | Kind::File(_)
        );
        // The list of reverse connections is there, and empty.
        let in_list = path.parent() == Some(Path::Reverse);
        assert_eq!(config.places.get(path).is_some(), !pem && !in_list, "{path}");
    }
}

#[test]
fn every_key_reaches_its_field() {
    let config = read(
        ".vmm = { .telnet_dbgsh = 1, .tty_syslog = { .enable = 1, .src_ipaddr = { 1, 2, 3, 4 }, \
         .dst_ipaddr = { 5, 6, 7, 8 } }, .panic_reboot = 1 }, \
         .ip = { .use_dhcp = 0, .ipaddr = { 9, 10, 11, 12 }, .netmask = { 255, 0, 0, 0 }, \
         .gateway = { 13, 14, 15, 16 }, .dns = { 17, 18, 19, 20 } }, \
         .tls = { .handshake_timeout = 17, .client_auth = \"opt\" \"ional\", .verify = \"strict\", \
         .keylog = 1, .selftest = 1, \
         .allow = { \"CN=alice\", \"CN=a \\\"b\\\"\" \",O=c\", } }, \
         .echo = { .tls_port = 18, .plain_port = 19, .https_port = 22, .connections = 20, .idle_timeout = 21 }, \
         .vmm.tls_dbgsh = 992",
    );
    assert_eq!(config.vmm.tls_dbgsh, 992);
    assert!(config.vmm.telnet_dbgsh && config.vmm.tty_syslog.enable && config.vmm.panic_reboot);
    assert_eq!(config.vmm.tty_syslog.src_ipaddr, Some(IpAddr::from([1, 2, 3, 4])));
    assert_eq!(config.vmm.tty_syslog.dst_ipaddr, Some(IpAddr::from([5, 6, 7, 8])));
    assert!(!config.ip.use_dhcp);
    assert_eq!(config.ip.ipaddr, Ipv4Addr::new(9, 10, 11, 12));
    assert_eq!(config.ip.netmask, Ipv4Addr::new(255, 0, 0, 0));
    assert_eq!(config.ip.gateway, Some(Ipv4Addr::new(13, 14, 15, 16)));
    assert_eq!(config.ip.dns, Some(Ipv4Addr::new(17, 18, 19, 20)));
    assert_eq!(config.tls.handshake_timeout, 17);
    assert_eq!(
        (config.tls.client_auth, config.tls.verify),
        (ClientAuth::Optional, Verify::Strict)
    );
    assert!(config.tls.keylog && config.tls.selftest);
    assert_eq!(config.tls.allow, "CN=alice\nCN=a \"b\",O=c\n");
    assert_eq!(read(".tls.verify = \"pki\"").tls.verify, Verify::Pki);
    for (name, auth) in [
        ("off", ClientAuth::Off),
        ("optional", ClientAuth::Optional),
        ("required", ClientAuth::Required),
    ] {
        assert_eq!(read(&format!(".tls.client_auth = \"{name}\"")).tls.client_auth, auth);
        assert_eq!(auth.name(), name);
    }
    assert_eq!(read(".tls.verify = \"pinned\"").tls.verify, Verify::Pinned);
    assert_eq!((config.echo.tls_port, config.echo.plain_port), (18, 19));
    assert_eq!(config.echo.https_port, 22);
    assert_eq!(
        (config.echo.connections, config.echo.idle_timeout),
        (Some(20), Some(21))
    );
}

#[test]
fn addresses_of_ipv6_are_strings() {
    let address = |text: &str| -> IpAddr { text.parse().unwrap() };
    let config = read(
        ".ip6 = { .enable = 1, .use_slaac = 0, .ipaddr = \"2001:db8::15\", .prefix = 48, .gateway = \"fe80::1\", \
         .dns = \"2001:DB8:0::53\" }, .proxy = { .ipaddr = \"2001:db8::3\", .port = 1 }, \
         .vmm.tty_syslog = { .src_ipaddr = \"10.0.2.15\", .dst_ipaddr = \"2001:db8::\" \"514\" }, \
         .echo.reverse = { { .ipaddr = \"fe80::2\", .port = 1 } }",
    );
    let ip = &config.ip6;
    assert_eq!((ip.enable, ip.use_slaac, ip.prefix), (true, false, 48));
    assert_eq!(
        [ip.ipaddr, ip.gateway, ip.dns].map(|address| address.map(IpAddr::from)),
        ["2001:db8::15", "fe80::1", "2001:db8::53"].map(|text| Some(address(text)))
    );
    assert_eq!(config.proxy.ipaddr, Some(address("2001:db8::3")));
    assert_eq!(config.vmm.tty_syslog.src_ipaddr, Some(address("10.0.2.15")));
    assert_eq!(config.vmm.tty_syslog.dst_ipaddr, Some(address("2001:db8::514")));
    assert_eq!(config.echo.reverse[0].ipaddr, Some(address("fe80::2")));
    let config = read(
        ".ip6 = { .ipaddr = \"::\", .gateway = \"\" }, .proxy.ipaddr = \"::\", .vmm.tty_syslog.dst_ipaddr = \"0.0.0.0\"",
    );
    let ip = &config.ip6;
    assert_eq!((ip.enable, ip.use_slaac, ip.prefix), (true, true, 64));
    assert_eq!((ip.ipaddr, ip.gateway, ip.dns), (None, None, None));
    assert_eq!((config.proxy.ipaddr, config.vmm.tty_syslog.dst_ipaddr), (None, None));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table")]
fn faults_of_addresses_of_ipv6() {
    let form = "Write it in a string: `\"2001:db8::15\"`, or `\"\"` for none";
    let either = "Write it as four numbers in braces, `{ 10, 0, 2, 2 }`, or in a string, `\"2001:db8::2\"`";
    let own = "Use a global or unique local address (RFC 4193), or `\"\"` for none";
    let router = "Use the router's address, or `\"\"` for none";
    let wanted = "expected an IPv6 address in a string, like `\"2001:db8::15\"`";
    for (text, expected) in [
        (
            ".ip6.ipaddr = { 10, 0, 2, 15 }",
            format!("1:15: .ip6.ipaddr: {wanted}, found `{{`. {form}"),
        ),
        (
            ".ip6.ipaddr = \"10.0.2.15\"",
            format!("1:15: .ip6.ipaddr: {wanted}, found \"10.0.2.15\". {form}"),
        ),
        (
            ".ip6.gateway = \"fe80::1%vm0\"",
            format!("1:16: .ip6.gateway: {wanted}, found \"fe80::1%vm0\". {form}"),
        ),
        (
            ".proxy.ipaddr = \"2001:db8:::1\"",
            format!(
                "1:17: .proxy.ipaddr: expected an address, like `{{ 10, 0, 2, 2 }}` or `\"2001:db8::2\"`, found \
                 \"2001:db8:::1\". {either}"
            ),
        ),
        (
            ".proxy.ipaddr = 10",
            format!(
                "1:17: .proxy.ipaddr: expected an address, like `{{ 10, 0, 2, 2 }}` or `\"2001:db8::2\"`, found the \
                 number 10. {either}"
            ),
        ),
        (
            ".ip6.prefix = 129",
            "1:15: .ip6.prefix: 129 is out of range: expected a number from 1 to 128. Choose a number in that range"
                .into(),
        ),
        (
            ".ip6.ipaddr = \"fe80::15\"",
            "1:5: .ip6.ipaddr: this address is valid on its link only, where the machine makes one by itself. Use a \
             global or unique local address (RFC 4193), or `\"\"` for none"
                .into(),
        ),
        (".ip6.ipaddr = \"ff02::1\"", format!("1:5: .ip6.ipaddr: a machine cannot have this address. {own}")),
        (".ip6.ipaddr = \"::1\"", format!("1:5: .ip6.ipaddr: a machine cannot have this address. {own}")),
        (
            ".ip6.ipaddr = \"::ffff:10.0.2.15\"",
            format!("1:5: .ip6.ipaddr: a machine cannot have this address. {own}"),
        ),
        (".ip6.ipaddr = \"2001:db8::\"", format!("1:5: .ip6.ipaddr: a machine cannot have this address. {own}")),
        (".ip6 = { .ipaddr = \"2001:db8::\", .prefix = 127 }", String::new()),
        (
            ".ip6 = { .ipaddr = \"2001:db8::15\", .gateway = \"2001:db8:0:1::1\" }",
            format!(
                "1:36: .ip6.gateway: the gateway is neither link-local nor inside the prefix of `.ip6.ipaddr`. {router}"
            ),
        ),
        (".ip6 = { .ipaddr = \"2001:db8::15\", .gateway = \"2001:db8::1\" }", String::new()),
        (
            ".ip6 = { .gateway = \"fe80::1\" }",
            "1:10: .ip6.gateway: this gateway is not used: without `.ip6.ipaddr` routers are those that advertise \
             themselves. Set `.ip6.ipaddr` as well, or `\"\"` for none"
                .into(),
        ),
        (
            ".ip6 = { .ipaddr = \"2001:db8::15\",\n.gateway = \"2001:db8::15\" }",
            format!("2:1: .ip6.gateway: the gateway is the machine itself. {router}"),
        ),
        (
            ".ip6 = { .ipaddr = \"2001:db8::15\",\n.dns = \"ff02::1\" }",
            "2:1: .ip6.dns: a machine cannot have this address. Use the address of a DNS server, or `\"\"` for none"
                .into(),
        ),
        (
            ".ip6 = { .use_slaac = 0, .ipaddr = \"2001:db8::15\",\n.dns = \"2001:db8:53::53\" }",
            "2:1: .ip6.dns: the DNS server is outside the prefix, and there is no router. Set `.ip6.gateway` as well, or \
             `.ip6.use_slaac` to 1"
                .into(),
        ),
        (
            ".ip6 = { .use_slaac = 0, .ipaddr = \"2001:db8::15\",\n.dns = \"2001:db8::53\" }",
            String::new(),
        ),
        (
            ".vmm.tty_syslog = { .enable = 1, .dst_ipaddr = \"ff02::1\" }",
            "1:34: .vmm.tty_syslog.dst_ipaddr: a machine cannot have this address. Use the address of the syslog server"
                .into(),
        ),
        (
            ".vmm.tty_syslog = { .enable = 1, .dst_ipaddr = \"fe80::2\", .src_ipaddr = \"::1\" }",
            "1:59: .vmm.tty_syslog.src_ipaddr: a machine cannot have this address. Use an address of the machine, or \
             `{ 0, 0, 0, 0 }` for its own"
                .into(),
        ),
        (
            ".echo.reverse = { { .ipaddr = \"::1\", .port = 1 } }",
            "1:19: .echo.reverse: a machine cannot have this address. Use the address of the host to dial".into(),
        ),
    ] {
        let expected = match expected.as_str() {
            "" => String::new(),
            expected => format!("defconfig:{expected}"),
        };
        assert_eq!(fault(text), expected, "{text}");
    }
}

#[test]
fn those_who_are_allowed_are_a_list() {
    let hash = "0123456789abcdef".repeat(4);
    let config = read(&format!(".tls.allow = {{ \"sha256:{}\" }}", hash.to_uppercase()));
    assert_eq!(config.tls.allow, format!("sha256:{hash}\n").as_str());
    assert!(read(".tls = { .allow = { } }").tls.allow.is_empty());
    let remedy = "Write the whole subject as `status` and the log show it, such as `\"CN=alice,O=Example\"` (at most 93 \
                  bytes), or `\"sha256:...\"` with the 64 hexadecimal digits of the hash";
    let what = "is neither the subject of a certificate nor the hash of a key";
    let long = format!("CN={}", "x".repeat(91));
    let many: String = (0..17).map(|n| format!("\"CN={n}\", ")).collect();
    assert_faults(&[
        (
            ".tls.allow = { \"alice\" }",
            &format!("defconfig:1:16: .tls.allow: \"alice\" {what}. {remedy}"),
        ),
        (
            ".tls.allow = { \"\" }",
            &format!("defconfig:1:16: .tls.allow: \"\" {what}. {remedy}"),
        ),
        (
            ".tls.allow = { \"CN=a\\nCN=b\" }",
            &format!("defconfig:1:16: .tls.allow: \"CN=a\nCN=b\" {what}. {remedy}"),
        ),
        (
            ".tls.allow = { \"sha256:abc\" }",
            &format!("defconfig:1:16: .tls.allow: \"sha256:abc\" {what}. {remedy}"),
        ),
        (
            &format!(".tls.allow = {{ \"{long}\" }}"),
            &format!("defconfig:1:16: .tls.allow: \"{}...\" {what}. {remedy}", &long[..37]),
        ),
        (
            ".tls.allow = { \"CN=a\", \"CN=a\" }",
            "defconfig:1:24: .tls.allow: this client is already on the list. Remove it",
        ),
        (
            &format!(".tls.allow = {{ {many} }}"),
            "defconfig:1:150: .tls.allow: there are more than 16 clients on the list. \
             Allow them by a CA of their own instead",
        ),
        (
            ".tls.allow = \"CN=alice\"",
            "defconfig:1:14: .tls.allow: expected strings in braces, like `{ \"CN=alice\", }`, found a string. \
             Write `.tls.allow = { \"CN=alice\", }`",
        ),
        (
            ".tls.allow = { CN }",
            "defconfig:1:16: .tls.allow: expected a string, found `CN`. Settings have the form `.name = value,`",
        ),
        (
            ".tls.allow = { \"CN=a\" \n",
            "defconfig:2:1: .tls.allow: the `{` at 1:14 is not closed. Add a `}`",
        ),
        (
            ".tls.allow = { \"CN=a\" }",
            "defconfig:1:5: .tls.allow: clients are not asked for certificates. Set `.tls.client_auth = \"required\"` \
             (or \"optional\"), or remove `.tls.allow`",
        ),
    ]);
}

#[test]
fn reverse_connections_are_a_list() {
    let config = read(
        ".echo.reverse = { { .ipaddr = { 10, 0, 2, 2 }, .port = 20001, .every = 5 }, \
         { .host = \"friend.example.\", .port = 1, .netif = \"vm1\", .plain = 1, .role = \"client\", }, }",
    );
    let [home, friend] = &config.echo.reverse[..] else {
        panic!("{:?}", config.echo.reverse)
    };
    assert_eq!((home.ipaddr, home.port), (Some(IpAddr::from([10, 0, 2, 2])), 20001));
    assert_eq!(
        (
            home.every,
            home.plain,
            home.role,
            home.host.as_str(),
            home.netif.as_str()
        ),
        (5, false, Role::Either, "", "")
    );
    assert_eq!((friend.ipaddr, friend.host.as_str()), (None, "friend.example"));
    assert_eq!(
        (
            friend.port,
            friend.every,
            friend.netif.as_str(),
            friend.plain,
            friend.role
        ),
        (1, 10, "vm1", true, Role::Client)
    );
    for none in ["", ".echo.reverse = { }", ".echo = { .reverse = { }, }"] {
        assert!(read(none).echo.reverse.is_empty());
    }
}

#[test]
fn a_proxy_has_a_place_and_perhaps_a_login() {
    let config = read(
        ".proxy = { .host = \"proxy.example.\", .port = 3128, .user = \"J\\303\\274rgen\", \
         .password = \"a:b \\\"c\\\\\" }",
    );
    let proxy = &config.proxy;
    assert!(proxy.is_set());
    assert_eq!(
        (proxy.ipaddr, proxy.host.as_str(), proxy.port),
        (None, "proxy.example", 3128)
    );
    assert_eq!(
        (proxy.user.as_bytes(), proxy.password.as_bytes()),
        ("Jürgen".as_bytes(), &b"a:b \"c\\"[..])
    );
    assert!(!format!("{config:?}").contains("rgen"));
    for none in ["", ".proxy = { }", ".proxy = { .port = 0, .user = \"\" }"] {
        assert!(!read(none).proxy.is_set());
    }
}

#[test]
fn faults_of_proxies() {
    let long = format!(".proxy = {{ .password = \"{}\" }}", "x".repeat(129));
    let remedy = "Use the login that the proxy expects: a short text of letters, digits and signs";
    for (text, expected) in [
        (".proxy.user = 1", "1:15: .proxy.user: expected a text of at most 64 bytes in a string, found the number 1. Put it between quotation marks; adjacent strings are joined".to_string()),
        (".proxy.port = 3128", "1:1: .proxy: there is no host to dial. Set `.ipaddr` or `.host`, and `.port`".into()),
        (
            ".proxy = { .ipaddr = { 1, 2, 3, 4 } }",
            "1:1: .proxy: there is no port to dial. Set `.port` to where the peer listens".into(),
        ),
        (
            ".proxy = { .ipaddr = { 1, 2, 3, 4 }, .host = \"a\", .port = 1 }",
            "1:1: .proxy: both an address and a name are set. Keep one of `.ipaddr` and `.host`".into(),
        ),
        (
            ".proxy = { .ipaddr = { 127, 0, 0, 1 }, .port = 1 }",
            "1:12: .proxy.ipaddr: a machine cannot have this address. Use the address of the proxy".into(),
        ),
        (
            ".proxy = { .host = \"a\", .port = 1, .user = \"u\" }",
            "1:36: .proxy.user: there is no password for this user. Set `.proxy.password` as well".into(),
        ),
        (
            ".proxy = { .host = \"a\", .port = 1, .password = \"p\" }",
            "1:36: .proxy.password: there is no user for this password. Set `.proxy.user` as well".into(),
        ),
        (
            ".proxy = { .host = \"a\", .port = 1, .user = \"u:v\", .password = \"p\" }",
            "1:36: .proxy.user: there is a colon in it, at which the password would begin. Use a user name without \
             one (RFC 7617 §2)"
                .into(),
        ),
        (&long, format!("1:24: .proxy.password: this is longer than 128 bytes. {remedy}")),
        (
            ".proxy = { .user = \"a\\nb\" }",
            format!("1:20: .proxy.user: there are control characters in it, or bytes that are not UTF-8. {remedy}"),
        ),
    ] {
        assert_eq!(fault(text), format!("defconfig:{expected}"), "{text}");
    }
}

#[test]
fn faults_of_reverse_connections() {
    let many = format!(".echo.reverse = {{ {} }}", "{ .host = \"a\", .port = 1 }, ".repeat(9));
    for (text, expected) in [
        (
            ".echo.reverse = 1",
            "1:17: .echo.reverse: expected groups in braces, like `{ { .name = value, }, }`, found the number 1. Write \
             `.echo.reverse = { { .ipaddr = ..., }, }`",
        ),
        (
            ".echo.reverse = { .port = 1 }",
            "1:19: .echo.reverse: expected a group in braces, found `.`. Write \
             `.echo.reverse = { { .ipaddr = ..., }, }`",
        ),
        (
            ".echo.reverse = { { .port = 1 } }",
            "1:19: .echo.reverse: there is no host to dial. Set `.ipaddr` or `.host`, and `.port`",
        ),
        (
            ".echo.reverse = { { .host = \"a\", .port = 1 }, { .host = \"b\" } }",
            "1:47: .echo.reverse: there is no port to dial. Set `.port` to where the peer listens",
        ),
        (
            ".echo.reverse = { { .host = \"a\", .ipaddr = { 1, 2, 3, 4 }, .port = 1 } }",
            "1:19: .echo.reverse: both an address and a name are set. Keep one of `.ipaddr` and `.host`",
        ),
        (
            ".echo.reverse = { { .host = \"1.2.3.4\", .port = 1 } }",
            "1:29: .echo.reverse.host: \"1.2.3.4\" is not a valid name. Write letters, digits, hyphens and dots; an \
             address goes into `.ipaddr`",
        ),
        (
            ".echo.reverse = { { .host = \"a\", .port = 1, .port = 2 } }",
            "1:45: .echo.reverse.port: this is set twice, first at 1:34. Keep one of the two",
        ),
        (
            ".echo.reverse = { { .host = \"a\", .port = 1, .evry = 2 } }",
            "1:45: .echo.reverse.evry: there is no such key. Did you mean `.echo.reverse.every`?",
        ),
        (
            ".echo.reverse = { { .host = \"a\", .port = 1 } { .host = \"b\", .port = 1 } }",
            "1:45: .echo.reverse: a comma is missing after this value. Put a comma here",
        ),
        (
            ".echo.reverse = { { .host = \"a\", .port = 1, .every = 0 } }",
            "1:54: .echo.reverse.every: 0 is out of range: expected a number from 1 to 86400. Choose a number in that \
             range",
        ),
        (
            many.as_str(),
            "1:243: .echo.reverse: there are more than 8 groups in it. Keep those that are needed; the shell can start \
             others in their place",
        ),
    ] {
        assert_eq!(fault(text), format!("defconfig:{expected}"), "{text}");
    }
}

#[test]
fn an_empty_text_is_all_defaults() {
    let config = read("");
    assert!(config.ip.use_dhcp && !config.vmm.telnet_dbgsh && config.echo.connections.is_none());
    assert!(!config.tls.keylog && !config.tls.selftest && config.ip.dns.is_none());
    assert_eq!(config.tls.client_auth, ClientAuth::Off);
    assert_eq!(config.tls.verify, Verify::Pinned);
    assert_eq!(fault(""), "");
}

#[test]
fn all_forms_of_c_are_read() {
    for text in [
        ".echo = { .tls_port = 10007, }",
        ".echo = { .tls_port = 0x2717 }",
        ".echo = { .tls_port = 023427u },",
        ".echo.tls_port = 10007UL",
        "{ .echo.tls_port = 10007 }",
        "{ .echo = { .tls_port = 10007, }, };",
        "struct config_data config = { .echo = { .tls_port = 10007 } };",
        "static const struct config_data config = {\r\n\t.echo = {\r\n\t\t.tls_port = 10007,\r\n\t},\r\n};\r\n",
        "\u{feff}#include <config.h>\n.echo = { /* a { */ .tls_port // ,\n = 10007 }, # äöü",
        ".echo = { .plain_port = 0 }, .echo.tls_port = 10007",
        ".ip.use_dhcp = 1, .echo.tls_port = 10007, .ip.netmask = { 0xff, 255, 0377, 0, }",
    ] {
        assert_eq!(read(text).echo.tls_port, 10007, "{text}");
    }
}

#[test]
fn zeroes_mean_none() {
    let config = read(
        ".ip = { .gateway = { 0, 0, 0, 0 }, .dns = { 0, 0, 0, 0 } }, .echo.connections = 0, .tls = { .srv_cert = \"\" }",
    );
    assert_eq!(
        (config.ip.gateway, config.ip.dns, config.echo.connections),
        (None, None, None)
    );
    assert!(config.tls.srv_cert.is_empty());
}

#[test]
fn faults_of_the_text() {
    assert_faults(&[
        (
            ".vmm = {\n  .telnet_dbgsh = 1;\n}",
            "defconfig:2:20: .vmm.telnet_dbgsh: expected `,`, found `;`. Settings have the form `.name = value,`",
        ),
        (
            ".vmm = {\n  .telnet_dbgsh = 1\n  .panic_reboot = 1\n}",
            "defconfig:2:20: .vmm.telnet_dbgsh: a comma is missing after this value. Put a comma here",
        ),
        (
            ".vmm = { .telnet_dbgsh = 1 }\n.ip = { .use_dhcp = 1 }",
            "defconfig:1:29: .vmm: a comma is missing after this value. Put a comma here",
        ),
        (
            ".vmm = {\n  .telnet_dbgsh = 1,\n",
            "defconfig:3:1: .vmm: the `{` at 1:8 is not closed. Add a `}`",
        ),
        (
            "struct config_data config = {\n  .vmm = { },\n",
            "defconfig:3:1: the `{` at 1:29 is not closed. Add a `}`",
        ),
        (
            ".ip = { .ipaddr = { 10, 0,",
            "defconfig:1:27: .ip.ipaddr: the `{` at 1:19 is not closed. Add a `}`",
        ),
        (
            "{ .vmm = { } };\nreturn",
            "defconfig:2:1: `return` follows the end of the configuration. \
             Move it inside the braces, or remove it",
        ),
        (
            "config { }",
            "defconfig:1:8: expected `=`, found `{`. Settings have the form `.name = value,`",
        ),
        (
            ".vmm { .telnet_dbgsh = 1 }",
            "defconfig:1:6: .vmm: expected `=`, found `{`. Settings have the form `.name = value,`",
        ),
        (
            ".vmm = { telnet_dbgsh = 1 }",
            "defconfig:1:10: .vmm: expected a key, like `.name`, found `telnet_dbgsh`. \
             Settings have the form `.name = value,`",
        ),
        (
            ".vmm = { .1 = 1 }",
            "defconfig:1:11: .vmm: expected a name, found the number 1. Settings have the form `.name = value,`",
        ),
        (
            ".vmm = { .telnet_dbgsh = ",
            "defconfig:1:26: .vmm.telnet_dbgsh: expected 0 or 1, found the end of the text. \
             Write the plain number, without quotation marks or braces",
        ),
        (
            ".vmm = { },\n  % .ip = { }",
            "defconfig:2:3: `%` means nothing here. \
             Remove it; text goes between quotation marks, a comment after `//` or `#`",
        ),
        (
            "/* ä */ \u{1}",
            "defconfig:1:9: the byte 0x01 means nothing here. \
             Remove it; text goes between quotation marks, a comment after `//` or `#`",
        ),
        (
            ".vmm = { },\n/* never closed\n.ip = { }",
            "defconfig:2:1: the comment is not closed. Close it with `*/`",
        ),
        (
            ".tls = {\n  .srv_cert = \"-----BEGIN\n\" }",
            "defconfig:2:15: .tls.srv_cert: the string is not closed on its line. \
             Close it with `\"`; a longer text is several strings, one per line",
        ),
        (
            ".tls.srv_cert = \"abc\\",
            "defconfig:1:17: .tls.srv_cert: the string is not closed on its line. \
             Close it with `\"`; a longer text is several strings, one per line",
        ),
        (
            ".tls.srv_cert = \"ab\\qc\"",
            "defconfig:1:20: .tls.srv_cert: this is not an escape sequence of C. \
             Write `\\n` for a new line and `\\\\` for a backslash",
        ),
        (
            ".tls.srv_cert = \"ok\"\n \"\\x123\"",
            "defconfig:2:3: .tls.srv_cert: this is not an escape sequence of C. \
             Write `\\n` for a new line and `\\\\` for a backslash",
        ),
    ]);
}

#[test]
fn faults_of_keys() {
    assert_faults(&[
        (
            ".tls = {\n  .srv_crt = \"\" }",
            "defconfig:2:3: .tls.srv_crt: there is no such key. Did you mean `.tls.srv_cert`?",
        ),
        (
            ".ip = { .tls_port = 1 }",
            "defconfig:1:9: .ip.tls_port: there is no such key. Did you mean `.echo.tls_port`?",
        ),
        (
            ".telnet_dbgsh = 1",
            "defconfig:1:1: .telnet_dbgsh: there is no such key. Did you mean `.vmm.telnet_dbgsh`?",
        ),
        (
            ".storage = { .keys = 1 }",
            "defconfig:1:1: .storage: there is no such key. There are `.vmm`, `.ip`, `.ip6`, `.proxy`, `.tls`, `.echo`",
        ),
        (
            ".echo = { .x = 1 }",
            "defconfig:1:11: .echo.x: there is no such key. \
             There are `.echo.tls_port`, `.echo.plain_port`, `.echo.https_port`, `.echo.connections`, \
             `.echo.connections_per_address`, `.echo.idle_timeout`, `.echo.reverse`",
        ),
        (
            ".vmm.a_name_that_is_much_longer_than_any_that_there_is_or_will_be = 1",
            "defconfig:1:5: .vmm.a_name_that_is_much_longer_than_any_t...: there is no such key. \
             There are `.vmm.telnet_dbgsh`, `.vmm.telnet_reload`, `.vmm.tls_dbgsh`, `.vmm.tty_syslog`, `.vmm.panic_reboot`",
        ),
        (
            ".echo = {\n  .tls_port = 1,\n  .tls_port = 2,\n}",
            "defconfig:3:3: .echo.tls_port: this is set twice, first at 2:3. Keep one of the two",
        ),
        (
            ".vmm = { },\n.vmm = { }",
            "defconfig:2:1: .vmm: this is set twice, first at 1:1. Keep one of the two",
        ),
        (
            ".ip.use_dhcp = 1, .ip = { }",
            "defconfig:1:19: .ip: this is set twice, first at 1:1. Keep one of the two",
        ),
        (
            ".tls = { .ca_cert = \"\", .ca_cert_file = \"ca.pem\" }",
            "defconfig:1:25: .tls.ca_cert_file: `.tls.ca_cert` at 1:10 sets the same. Keep one of the two",
        ),
        (
            ".tls = { .srv_key_file = \"server.key\" }",
            "defconfig:1:26: .tls.srv_key_file: files can be named at build time only: \
             at boot there is no file system. \
             Put the PEM itself into `.tls.srv_key`",
        ),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table")]
fn faults_of_values() {
    let number = "Write the plain number, without quotation marks or braces";
    assert_faults(&[
        (
            ".vmm.telnet_dbgsh = 2",
            "defconfig:1:21: .vmm.telnet_dbgsh: 2 is out of range: expected 0 or 1. Choose a number in that range",
        ),
        (
            ".echo.tls_port = 0x10000",
            "defconfig:1:18: .echo.tls_port: 0x10000 is out of range: expected a number from 0 to 65535. \
             Choose a number in that range",
        ),
        (
            ".echo.tls_port = 99999999999999999999999",
            "defconfig:1:18: .echo.tls_port: 99999999999999999999999 is out of range: \
             expected a number from 0 to 65535. Choose a number in that range",
        ),
        (
            ".echo.plain_port = -7",
            "defconfig:1:20: .echo.plain_port: -7 is out of range: expected a number from 0 to 65535. \
             Choose a number in that range",
        ),
        (
            ".echo.connections = 1025",
            "defconfig:1:21: .echo.connections: 1025 is out of range: expected a number from 0 to 1024. \
             Choose a number in that range",
        ),
        (
            ".tls.handshake_timeout = 0",
            "defconfig:1:26: .tls.handshake_timeout: 0 is out of range: expected a number from 1 to 3600. \
             Choose a number in that range",
        ),
        (
            ".echo.idle_timeout = 2592001",
            "defconfig:1:22: .echo.idle_timeout: 2592001 is out of range: expected a number from 1 to 2592000. \
             Choose a number in that range",
        ),
        (
            ".echo.tls_port = 089",
            "defconfig:1:18: .echo.tls_port: `089` is not a number. \
             Write it decimal (10), hexadecimal (0x0a) or octal (012)",
        ),
        (
            ".echo.tls_port = 10O7",
            "defconfig:1:18: .echo.tls_port: `10O7` is not a number. \
             Write it decimal (10), hexadecimal (0x0a) or octal (012)",
        ),
        (
            ".echo.tls_port = 0x",
            "defconfig:1:18: .echo.tls_port: `0x` is not a number. \
             Write it decimal (10), hexadecimal (0x0a) or octal (012)",
        ),
        (
            ".echo.tls_port = \"10007\"",
            &format!("defconfig:1:18: .echo.tls_port: expected a number from 0 to 65535, found a string. {number}"),
        ),
        (
            ".vmm.telnet_dbgsh = true",
            &format!("defconfig:1:21: .vmm.telnet_dbgsh: expected 0 or 1, found `true`. {number}"),
        ),
        (
            ".vmm = 1",
            "defconfig:1:8: .vmm: expected keys in braces, like `{ .name = value, }`, found the number 1. \
             Write `.vmm = { .telnet_dbgsh = ..., }`",
        ),
        (
            ".tls.ca_cert = { 1 }",
            "defconfig:1:16: .tls.ca_cert: \
             expected PEM in strings, like `\"-----BEGIN ...\\n\" \"...\\n\"`, found `{`. \
             Put it between quotation marks; adjacent strings are joined",
        ),
        (
            ".tls.ca_cert_file = ca",
            "defconfig:1:21: .tls.ca_cert_file: \
             expected the name of a PEM file in a string, like `\"pki/server.pem\"`, \
             found `ca`. Put it between quotation marks; adjacent strings are joined",
        ),
        (
            ".tls = {\n  .client_auth = \"require\" }",
            "defconfig:2:18: .tls.client_auth: \"require\" is not known: \
             expected \"off\", \"optional\" or \"required\". Write one of these",
        ),
        (
            ".tls.verify = \"\"",
            "defconfig:1:15: .tls.verify: \"\" is not known: expected \"pinned\", \"strict\" or \"pki\". Write one of these",
        ),
        (
            ".tls.verify = strict",
            "defconfig:1:15: .tls.verify: expected \"pinned\", \"strict\" or \"pki\", found `strict`. \
             Put it between quotation marks; adjacent strings are joined",
        ),
        (
            ".tls.keylog = 2",
            "defconfig:1:15: .tls.keylog: 2 is out of range: expected 0 or 1. Choose a number in that range",
        ),
        (
            ".tls.selftest = \"1\"",
            &format!("defconfig:1:17: .tls.selftest: expected 0 or 1, found a string. {number}"),
        ),
        (
            ".ip.dns = { 10, 0, 2 }",
            "defconfig:1:11: .ip.dns: an address has four parts, this one has 3. \
             Write it as four numbers in braces: `{ 10, 0, 2, 15 }`",
        ),
        (
            ".ip.ipaddr = \"10.0.2.15\"",
            "defconfig:1:14: .ip.ipaddr: expected an address, like `{ 10, 0, 2, 15 }`, found a string. \
             Write it as four numbers in braces: `{ 10, 0, 2, 15 }`",
        ),
        (
            ".ip = {\n  .ipaddr = { 10, 0, 256, 15 } }",
            "defconfig:2:22: .ip.ipaddr: 256 does not fit into an address. Each of the four numbers is from 0 to 255",
        ),
        (
            ".ip.ipaddr = { 10, 0, -1, 15 }",
            "defconfig:1:23: .ip.ipaddr: -1 does not fit into an address. Each of the four numbers is from 0 to 255",
        ),
        (
            ".ip.ipaddr = { 10, 0, 2 }",
            "defconfig:1:14: .ip.ipaddr: an address has four parts, this one has 3. \
             Write it as four numbers in braces: `{ 10, 0, 2, 15 }`",
        ),
        (
            ".ip.ipaddr = { 10, 0, 2, 15, 16 }",
            "defconfig:1:14: .ip.ipaddr: an address has four parts, this one has 5. \
             Write it as four numbers in braces: `{ 10, 0, 2, 15 }`",
        ),
        (
            ".ip.ipaddr = { 10, 0 2, 15 }",
            "defconfig:1:21: .ip.ipaddr: a comma is missing after this value. Put a comma here",
        ),
        (
            ".ip.ipaddr = { 10, \"0\", 2, 15 }",
            "defconfig:1:20: .ip.ipaddr: expected a number, found a string. Settings have the form `.name = value,`",
        ),
    ]);
}

#[test]
fn faults_of_length() {
    let long = format!(".tls.srv_cert =\n\"{}\"\n\"{}\"", "a".repeat(MAX_STRING), "b");
    assert_eq!(
        fault(&long),
        "defconfig:3:2: .tls.srv_cert: the strings are longer than 32 KiB together. \
         Keep only the PEM blocks, without the text between them"
    );
    assert_eq!(
        fault(&" ".repeat(MAX_TEXT + 1)),
        "defconfig:1:1: the text is longer than 512 KiB. \
         Remove what is not needed, such as text between certificates"
    );
    assert_eq!(fault(&" ".repeat(MAX_TEXT)), "");
    let deep = "{".repeat(MAX_TEXT);
    assert_eq!(
        fault(&deep),
        "defconfig:1:2: expected a key, like `.name`, found `{`. Settings have the form `.name = value,`"
    );
}

/// The configuration is a fixed part of the memory that the image needs.
#[test]
fn the_configuration_is_as_large_as_it_says() {
    let size = size_of::<Config>();
    assert!((80 * 1024..88 * 1024).contains(&size), "{size}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table")]
fn faults_of_addresses_and_ports() {
    let ip = |rest: &str| format!(".ip = {{\n.use_dhcp = 0,\n{rest}\n}}");
    let own = "Set `.ip.ipaddr` to the machine's own, or `.ip.use_dhcp` to 1";
    let router = "Use the router's address, or `{ 0, 0, 0, 0 }` for none";
    for (rest, message) in [
        (
            "",
            format!("1:1: .ip.ipaddr: without DHCP the machine has no address. {own}"),
        ),
        (
            ".ipaddr = { 10, 0, 2, 15 }",
            "1:1: .ip.netmask: without DHCP the machine has no netmask. \
             Set `.ip.netmask`, or `.ip.use_dhcp` to 1"
                .into(),
        ),
        (
            ".ipaddr = { 10, 0, 2, 15 },\n.netmask = { 255, 0, 255, 0 }",
            "4:1: .ip.netmask: the netmask has a hole in it. Write ones, then zeroes, like `{ 255, 255, 255, 0 }`"
                .into(),
        ),
        (
            ".ipaddr = { 10, 0, 2, 255 },\n.netmask = { 255, 255, 255, 0 }",
            format!("3:1: .ip.ipaddr: a machine cannot have this address. {own}"),
        ),
        (
            ".ipaddr = { 127, 0, 0, 1 },\n.netmask = { 255, 0, 0, 0 }",
            format!("3:1: .ip.ipaddr: a machine cannot have this address. {own}"),
        ),
        (
            ".ipaddr = { 10, 0, 2, 15 }, .netmask = { 255, 255, 255, 0 },\n.gateway = { 10, 0, 3, 2 }",
            format!("4:1: .ip.gateway: the gateway is outside the subnet of `.ip.ipaddr` and `.ip.netmask`. {router}"),
        ),
        (
            ".ipaddr = { 10, 0, 2, 15 }, .netmask = { 255, 255, 255, 0 },\n.gateway = { 10, 0, 2, 15 }",
            format!("4:1: .ip.gateway: the gateway is the machine itself. {router}"),
        ),
        (
            ".ipaddr = { 10, 0, 2, 0 }, .netmask = { 255, 255, 255, 254 }, .gateway = { 10, 0, 2, 1 }",
            String::new(),
        ),
    ] {
        let expected = if message.is_empty() {
            message
        } else {
            format!("defconfig:{message}")
        };
        assert_eq!(fault(&ip(rest)), expected, "{rest}");
    }
    assert_faults(&[
        (
            ".ip = {\n.dns = { 224, 0, 0, 1 } }",
            "defconfig:2:1: .ip.dns: a machine cannot have this address. \
             Use the address of a DNS server, or `{ 0, 0, 0, 0 }` for none",
        ),
        (
            ".ip = { .use_dhcp = 0, .ipaddr = { 10, 0, 2, 15 }, .netmask = { 255, 255, 255, 0 },\n.dns = { 8, 8, 8, 8 } }",
            "defconfig:2:1: .ip.dns: the DNS server is outside the subnet, and there is no gateway. \
             Set `.ip.gateway` as well, or `.ip.dns` to `{ 0, 0, 0, 0 }` for none",
        ),
        (
            ".ip = { .use_dhcp = 0, .ipaddr = { 10, 0, 2, 15 }, .netmask = { 255, 255, 255, 0 }, .dns = { 10, 0, 2, 3 } }",
            "",
        ),
        (".ip.dns = { 8, 8, 8, 8 }", ""),
        // Whether it is the address or DHCP that is meant has to be said.
        (
            ".ip = {\n.ipaddr = { 10, 0, 2, 99 }, .netmask = { 255, 255, 255, 0 } }",
            "defconfig:2:1: .ip.ipaddr: this address is not used: DHCP assigns another. \
             Set `.ip.use_dhcp` to 0 as well, or to 1 if DHCP is meant",
        ),
        (
            ".ip = { .use_dhcp = 1, .ipaddr = { 10, 0, 2, 99 }, .netmask = { 255, 255, 255, 0 } }",
            "",
        ),
        (
            ".echo = { .tls_port = 7,\n.plain_port = 7 }",
            "defconfig:2:1: .echo.plain_port: this port is taken by `.echo.tls_port`. \
             Choose another port, or 0 for none",
        ),
        (
            ".vmm.telnet_dbgsh = 1,\n.echo = { .tls_port = 23 }",
            "defconfig:2:11: .echo.tls_port: port 23 is taken by `.vmm.telnet_dbgsh`. \
             Choose another port, or 0 for none",
        ),
        (
            ".echo = { .plain_port = 443, .tls_port = 444,\n.https_port = 444 }",
            "defconfig:2:1: .echo.https_port: this port is taken by `.echo.tls_port`. \
             Choose another port, or 0 for none",
        ),
        (".echo = { .tls_port = 23 }", ""),
        (
            ".vmm = { .telnet_dbgsh = 1,\n.tls_dbgsh = 23 }",
            "defconfig:2:1: .vmm.tls_dbgsh: port 23 is taken by `.vmm.telnet_dbgsh`. \
             Choose another port, or 0 for none",
        ),
        (
            ".vmm.tls_dbgsh = 7,\n.echo = { .plain_port = 7 }",
            "defconfig:2:11: .echo.plain_port: this port is taken by `.vmm.tls_dbgsh`. \
             Choose another port, or 0 for none",
        ),
        (".echo = { .tls_port = 0, .plain_port = 0 }", ""),
        (
            ".vmm.tty_syslog = { .enable = 1 }",
            "defconfig:1:21: .vmm.tty_syslog.enable: syslog is enabled, but no server is set. \
             Set `.vmm.tty_syslog.dst_ipaddr`",
        ),
        (
            ".vmm.tty_syslog = { .enable = 1, .dst_ipaddr = { 1, 2, 3, 4 } },\n.tls.keylog = 1",
            "defconfig:2:5: .tls.keylog: syslog would send the secrets of every connection unencrypted. \
             Set `.tls.keylog` or `.vmm.tty_syslog.enable` to 0",
        ),
        (".vmm.tty_syslog = { .enable = 0 }, .tls.keylog = 1", ""),
    ]);
}

#[test]
fn files_are_read_where_there_are_any() {
    struct Shelf(String);
    impl Files for Shelf {
        fn read(&mut self, name: &str, content: &mut Vec8) -> Result<(), FileFault> {
            match name {
                "pki/ca.pem" => content
                    .extend_from_slice(self.0.as_bytes())
                    .map_err(|_| FileFault::TooLarge),
                "large" => Err(FileFault::TooLarge),
                _ => Err(FileFault::Missing),
            }
        }

        fn bundle(&mut self, _: &str) -> Result<&[u8], FileFault> {
            Err(FileFault::Missing)
        }
    }
    type Vec8 = heapless::Vec<u8, MAX_STRING>;

    let pki = Pki::new("RootCA");
    let (mut config, mut scratch) = (Box::new(Config::new()), Box::new(Scratch::new()));
    let mut parse = |text: &str, content: &str| {
        let result = config.parse_with_files(text.as_bytes(), &mut scratch, &mut Shelf(content.into()));
        result
            .map(|()| config.tls.ca_cert.iter().count())
            .map_err(|error| error.to_string())
    };
    let text = ".tls = {\n  .ca_cert_file = \"pki/\" \"ca.pem\" }";
    assert_eq!(parse(text, &pki.ca.pem()), Ok(1));
    let broken = parse(text, "nothing").unwrap_err();
    assert_eq!(
        broken,
        "2:19: .tls.ca_cert_file: it contains no PEM certificate. \
         `.tls.ca_cert_file` takes PEM blocks that begin with `-----BEGIN CERTIFICATE-----`"
    );
    assert!(parse(text, "").is_err());
    assert_eq!(
        parse(".tls = {\n  .ca_cert_file = \"other\" }", "").unwrap_err(),
        "2:19: .tls.ca_cert_file: cannot read other: there is no such file. \
         Put the PEM file there, or correct the name: it is relative to the directory of this defconfig"
    );
    assert_eq!(
        parse(".tls.ca_cert_file = \"large\"", "").unwrap_err(),
        "1:21: .tls.ca_cert_file: cannot read large: it is larger than 32 KiB. \
         Keep only the PEM blocks, without the text between them"
    );
    for name in ["", "a\\0b", &"a".repeat(257)] {
        assert_eq!(
            parse(&format!(".tls.ca_cert_file = \"{name}\""), "").unwrap_err(),
            "1:21: .tls.ca_cert_file: this cannot be the name of a file. \
             Name a PEM file, relative to the directory of this defconfig"
        );
    }
}

#[test]
fn after_a_fault_the_defaults_are_back() {
    let (mut config, mut scratch) = (Box::new(Config::new()), Box::new(Scratch::new()));
    config.parse(b".echo.tls_port = 7", &mut scratch).unwrap();
    assert_eq!(config.echo.tls_port, 7);
    config
        .parse(b".echo.plain_port = 8, .ip.x = 1", &mut scratch)
        .unwrap_err();
    assert_eq!((config.echo.tls_port, config.echo.plain_port), (0, 0));
    assert_eq!(config.places.get(Path::PlainPort), None);
}

#[test]
fn paths_find_each_other() {
    for &path in Path::ALL {
        assert_eq!(Path::find(path.parent(), path.name()), Some(path));
        assert_eq!(Path::nearest(path.parent(), path.name()), Some(path));
        assert_eq!(
            path.other_form().and_then(Path::other_form).is_some(),
            path.other_form().is_some()
        );
        assert!(path.name().len() <= 32);
    }
    assert_eq!(Path::nearest(None, "vm"), Some(Path::Vmm));
    assert_eq!(Path::nearest(Some(Path::Tls), "srv_cert_fil"), Some(Path::SrvCertFile));
    assert_eq!(Path::nearest(Some(Path::Ip), "ip_addr"), Some(Path::Ipaddr));
    assert_eq!(Path::nearest(None, ""), None);
}

/// Whatever is put in, there is an answer, and the answer points into the text.
#[test]
fn mutated_texts_never_panic() {
    let pki = Pki::new("RootCA");
    let key = KeyPair::generate().unwrap();
    let chain = format!("{}{}", pki.issue(&key, 2026, 2027), pki.ca.pem());
    let tls = format!(
        "{},\n.tls.ca_cert = {}",
        server(&chain, &key.serialize_pem()),
        strings(&pki.ca.pem())
    );
    let seeds = [include_str!("../../../defconfig").to_string(), tls];
    let (mut config, mut scratch) = (Box::new(Config::new()), Box::new(Scratch::new()));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let interesting = b"\"\\{}.,;=-#/*\n\r\t \0 09axX\xff\x80";
    let (mut good, mut bad) = (0, 0);
    for round in 0..6000 {
        let mut text = seeds[round % seeds.len()].clone().into_bytes();
        for _ in 0..=random(3) {
            let at = random(text.len());
            match random(6) {
                0 => text.truncate(at),
                1 => drop(text.drain(at..(at + random(40)).min(text.len()))),
                2 if !text.is_empty() => text[at] = random(256) as u8,
                3 => text.insert(at, interesting[random(interesting.len())]),
                4 => {
                    let piece = text[at..(at + random(60)).min(text.len())].to_vec();
                    let to = random(text.len());
                    text.splice(to..to, piece);
                }
                _ if !text.is_empty() => text[at] = interesting[random(interesting.len())],
                _ => {}
            }
        }
        match config.parse(&text, &mut scratch).and_then(|()| config.check(NOW, NOW)) {
            Ok(()) => good += 1,
            Err(error) => {
                bad += 1;
                let lines = text.iter().filter(|&&byte| byte == b'\n').count() + 1;
                assert!((1..=lines).contains(&(error.position.line as usize)), "{error}");
                assert!(error.position.column >= 1);
                let shown = error.at("defconfig").to_string();
                assert!(shown.len() < 600 && !shown.contains('\n'), "{shown}");
            }
        }
    }
    assert!(good > 100 && bad > 1000, "{good} good, {bad} bad");
}
