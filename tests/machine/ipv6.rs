//! IPv6 with Linux on the other end of the cable, over pairs of card and machine.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use super::common::dns::DnsServer;
use super::common::machine::{Machine, Setup};
use super::common::tap::{self, HOST, HOST_V4};
use super::common::{LIMIT, accept, baked_ca, noise, tls};
use super::{client, echo, families, trace, vmm};

/// Every server of the image, and the log to [`HOST`].
const SERVERS: &str = "\
.echo = { .tls_port = 10007, .plain_port = 10008, .https_port = 443, },
.vmm = { .telnet_dbgsh = 1, .tty_syslog = { .enable = 1, .dst_ipaddr = \"2001:db8:7::1\", }, },
";

/// Servers on [`HOST`] that the machine finds without being configured to.
struct Services {
    dns: DnsServer,
    syslog: UdpSocket,
    _router: super::common::process::Process,
}

impl Services {
    fn new() -> Self {
        let syslog = UdpSocket::bind((HOST, 514)).unwrap();
        syslog.set_read_timeout(Some(LIMIT)).unwrap();
        let dead = Ipv6Addr::from_bits(HOST.to_bits() | 0xdead);
        let [host, host_v4] = [IpAddr::V6(HOST), IpAddr::V4(HOST_V4)];
        let hosts = vec![
            ("v6.example", vec![host]),
            ("half.example", vec![dead.into(), host_v4]),
            ("closed.example", vec![host, host, host, host_v4, host_v4, host_v4]),
        ];
        Self {
            dns: DnsServer::new((HOST, 53).into(), hosts),
            syslog,
            _router: tap::router(),
        }
    }

    /// Waits for a line of the machine's log.
    fn logged(&self, text: &str) {
        let mut packet = [0; 2048];
        loop {
            let len = self
                .syslog
                .recv(&mut packet)
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            if String::from_utf8_lossy(&packet[..len]).contains(text) {
                return;
            }
        }
    }
}

/// Waits for the machine's address in the prefix of [`HOST`].
fn advertised(machine: &Machine) -> Ipv6Addr {
    machine
        .console()
        .wait_until("an address by router advertisement", |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let (_, rest) = text.split_once("vm0: address 2001:db8:7:")?;
            let (rest, _) = rest.split_once('\r')?;
            format!("2001:db8:7:{rest}").parse().ok()
        })
}

/// Echo, shell, page, client and reverse connection, with this host at `host`.
fn assert_services(machine: &Machine, host: IpAddr) {
    let on_host = |port: u16| SocketAddr::new(host, port);
    tls::assert_serves(machine.at(10007), &baked_ca());
    let data = noise(6, 1_000_000);
    assert!(echo::plain(machine.at(10008), data.clone()) == data);
    let page = trace::get(machine, trace::GET, &[]);
    assert!(
        page.contains("HTTP/1.1 200 OK\r\n") && page.ends_with("</html>\n\r\n0\r\n\r\n"),
        "{page}"
    );

    let [certificate, key] = ["server.pem", "server.key"].map(|name| baked_ca().with_file_name(name));
    let (mut server, port) = families::s_server(host, certificate, key, &[]);
    let mut shell = client::echoctl_tls(machine);
    let answer = shell.command(&format!("client connect {host} {port}"));
    assert!(
        answer.contains(&format!("TLS server at {}", on_host(port))) && answer.contains("\nDone.\n"),
        "{answer}"
    );
    client::converse(machine, &mut shell, &mut server);
    assert_eq!(shell.command("client close"), "Done.\n");

    let listener = TcpListener::bind(on_host(0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut shell = machine.shell();
    shell.command("echoctl");
    let answer = shell.command(&format!("server reverse {host} {port}"));
    assert!(answer.ends_with("Done.\n"), "{answer}");
    assert_echoes(accept(&listener));
    let answer = shell.command(&format!("server reverse stop {host} {port}"));
    assert!(answer.ends_with("Done.\n"), "{answer}");
}

/// One message there and back.
fn assert_echoes(mut stream: TcpStream) {
    stream.write_all(b"hello").unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"hello");
}

/// Dials `name` from the shell's plain client; the shell's answer, and the connection.
fn dial(machine: &Machine, name: &str, listener: &TcpListener) -> (String, TcpStream) {
    let port = listener.local_addr().unwrap().port();
    let mut shell = machine.shell();
    shell.command("echoctl");
    let answer = shell.command(&format!("client connect {name} {port}"));
    let stream = accept(listener);
    assert_eq!(shell.command("client close"), "Done.\n");
    (answer, stream)
}

#[test]
fn ipv6_alone_suffices_with_virtio_on_a_microvm() {
    if !tap::enter("ipv6::ipv6_alone_suffices_with_virtio_on_a_microvm") {
        return;
    }
    let services = Services::new();
    // There is no DHCP server.
    let mut machine = Setup::new()
        .microvm(vmm::FIRECRACKER)
        .word(&vmm::date())
        .tap()
        .defconfig(format!("{SERVERS}.ip.use_dhcp = 1,\n"))
        .ready();
    let address = advertised(&machine);
    machine.reach(address.into());
    tap::ping(address);
    let ip = machine.ask("ip");
    assert!(ip.contains(&format!("{address}/64")) && ip.contains("fe80::1"), "{ip}");
    assert_services(&machine, HOST.into());
    services.logged("https server listens on port 443 of vm0");

    let listener = TcpListener::bind((HOST, 0)).unwrap();
    let (answer, _) = dial(&machine, "v6.example", &listener);
    assert!(answer.contains("\nDone.\n"), "{answer}");
    // Addresses of a family that the machine does not have are not requested.
    assert_eq!(services.dns.asked(), [("v6.example".to_owned(), 28)]);
    let counters = machine.ask("counters");
    for name in ["in, damaged", "in, wrong checksum", "wrong checksum"] {
        let line = counters.lines().find(|line| line.trim_start().starts_with(name));
        assert!(line.is_none_or(|line| line.ends_with(" 0")), "{name}: {counters}");
    }
}

#[test]
fn both_families_serve_and_race_with_an_82574l_on_q35() {
    if !tap::enter("ipv6::both_families_serve_and_race_with_an_82574l_on_q35") {
        return;
    }
    let _services = Services::new();
    // Nothing answers at the first DNS server.
    let text = ".ip = { .use_dhcp = 0, .ipaddr = { 10, 0, 2, 15 }, .netmask = { 255, 255, 255, 0 }, .dns = { 10, 0, 2, 99 } },\n\
                .ip6 = { .dns = \"2001:db8:7::1\" },\n";
    let mut machine = Setup::new()
        .e1000e()
        .tap()
        .defconfig(format!("{SERVERS}{text}"))
        .ready();
    let address = advertised(&machine);
    for (own, host) in [
        (IpAddr::V6(address), IpAddr::V6(HOST)),
        (IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15)), IpAddr::V4(HOST_V4)),
    ] {
        machine.reach(own);
        assert_services(&machine, host);
    }
    // Nothing answers for the IPv6 address of this name.
    let listener = TcpListener::bind((HOST_V4, 0)).unwrap();
    let (answer, stream) = dial(&machine, "half.example", &listener);
    assert!(answer.contains("\nDone.\n"), "{answer}");
    assert_eq!(
        stream.peer_addr().unwrap().ip(),
        IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15))
    );
    // Four of six addresses are tried, in turn.
    let mut shell = machine.shell();
    shell.command("echoctl");
    let answer = shell.command("client connect closed.example 9");
    let refused = [HOST.into(), HOST_V4.into(), HOST.into(), HOST_V4.into()]
        .map(|address: IpAddr| format!("connection refused ({})", SocketAddr::new(address, 9)));
    assert!(
        answer.contains(&format!("Failed: {}.\n", refused.join("; "))),
        "{answer}"
    );
}
