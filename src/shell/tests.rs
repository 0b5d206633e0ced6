//! Sessions as their users see them.

mod paste;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::string::String;
use std::vec::Vec;

use super::*;
use crate::client::{Client, Protocol};
use crate::dial::Proxy;
use crate::endpoint::traces::{LOG_SIZE, Slot};
use crate::net::fake::{FakeNetwork, Stream, beside, connection, settle};
use crate::net::{Network, Transport};
use crate::serve::{Limits, Service, WorkerSlot};
use crate::testing::Script;
use crate::testing::block_on;
use crate::tls::trace::{Event, Milestone, Trace as _};

/// A machine with a network, an echo service without workers, a client, and a log.
struct Machine {
    network: FakeNetwork,
    service: Service<FakeNetwork>,
    client: Client,
    tls_client: Client,
    /// What the clients were asked for.
    targets: RefCell<Vec<String>>,
    records: RefCell<Vec<String>>,
    power: Cell<Option<Power>>,
    traces: &'static Traces,
    proxy: Option<&'static Proxy>,
    paper: Mutex<NoopRawMutex, &'static mut [u8]>,
    /// The configurations that were taken, or refused for `bad` in them.
    taken: RefCell<Vec<String>>,
    /// `.vmm.telnet_reload`
    telnet_reload: Cell<bool>,
}

impl Machine {
    fn new() -> Self {
        let network = FakeNetwork::default();
        let workers: &'static [WorkerSlot<Stream>] = &[];
        let service = Service::new(std::vec![network.clone()].leak(), workers, Limits::default());
        service.set_tls(Ok(()));
        service.set_mutual_tls(Ok(()));
        let slots: Vec<_> = (0..2).map(|_| Slot::new(Vec::leak(std::vec![0; LOG_SIZE]))).collect();
        let slots: &'static [Slot] = slots.leak();
        let records = (0..40).map(|n| std::format!("record {n}")).collect();
        Machine {
            network,
            service,
            client: Client::new(Kind::Plain),
            tls_client: Client::new(Kind::Tls),
            targets: RefCell::default(),
            records: RefCell::new(records),
            power: Cell::new(None),
            traces: Box::leak(Box::new(Traces::new(slots))),
            proxy: None,
            paper: Mutex::new(std::vec![0; 100].leak()),
            taken: RefCell::default(),
            telnet_reload: Cell::new(true),
        }
    }

    fn client(&self, kind: Kind) -> &Client {
        match kind {
            Kind::Plain => &self.client,
            Kind::Tls | Kind::Https => &self.tls_client,
        }
    }

    /// Runs `work` beside the tasks that a machine has.
    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let networks = [self.network.clone()];
        block_on(beside(
            work,
            std::vec![
                Box::pin(async {
                    self.service.listen().await;
                }),
                Box::pin(async {
                    self.service.dial(|| 0).await;
                }),
                Box::pin(async {
                    self.client.run(&networks, Protocol::<Script>::Plain, || 0).await;
                }),
                Box::pin(async {
                    let protocol = Protocol::<Script>::Unable("no CA is configured: .tls.ca_cert is empty");
                    self.tls_client.run(&networks, protocol, || 0).await;
                }),
            ],
        ))
    }

    /// The output of `nc` with `script` piped into it: no negotiation, everything at once, then the end.
    fn piped(&self, script: impl AsRef<[u8]>) -> String {
        let (mut peer, stream) = connection(40_000, 23, 1 << 16);
        peer.say(script);
        peer.shutdown();
        let mut telnet = telnet::Telnet::new(stream);
        self.run(run(&mut telnet, self, Origin::Telnet)).unwrap();
        plain(&peer.arrived())
    }
}

/// Without the telnet offers (which are no UTF-8), and with plain line ends.
fn plain(text: &str) -> String {
    let text = text.trim_start_matches(|c| c != '>');
    text.replace("\r\n", "\n")
}

impl Host for Machine {
    async fn report<W: ReportWriter>(&self, report: Report, out: &mut W) -> Result<(), W::Error> {
        if report != Report::Status {
            return out.section(|out| writeln!(out, "{report:?}")).await;
        }
        for piece in 0..3 {
            out.section(|out| writeln!(out, "status piece {piece}")).await?;
        }
        Ok(())
    }
    fn traces(&self) -> &'static Traces {
        self.traces
    }
    fn log_end(&self) -> u64 {
        self.records.borrow().len() as u64
    }
    fn telnet_may_reload(&self) -> bool {
        self.telnet_reload.get()
    }
    fn log_record(&self, from: u64, secrets: bool, out: &mut dyn fmt::Write) -> Option<u64> {
        // The first ten have been overwritten.
        let number = from.max(10);
        let records = self.records.borrow();
        let record = records.get(number as usize)?;
        let _ = out.write_str(if secrets || !record.contains("secret") {
            record
        } else {
            "left out"
        });
        Some(number + 1)
    }
    async fn log_grown(&self, from: u64) {
        while self.log_end() <= from {
            embassy_futures::yield_now().await;
        }
    }
    fn server_start(&self, kind: Kind, port: u16, netif: Option<&str>) -> Result<(), StartError> {
        self.service.start(kind, port, netif)
    }
    async fn server_stop(&self, kind: Kind, port: u16) -> Result<(), StopError> {
        self.service.stop(kind, port).await
    }
    fn server_port(&self, kind: Kind, n: usize) -> Option<u16> {
        self.service.port(kind, n).map(|(port, _)| port)
    }
    fn server_reverse(&self, kind: Kind, target: reverse::ReverseOptions<'_>) -> Result<(), ReverseError> {
        self.service.reverse(kind, target)
    }
    async fn server_reverse_stop(&self, kind: Kind, target: Option<(dial::Host<'_>, u16)>) -> Result<(), ReverseError> {
        self.service.reverse_stop(kind, target).await
    }
    fn server_reverses(&self, kind: Kind) -> usize {
        self.service.reverses(kind)
    }
    fn interface(&self, n: usize) -> Option<&str> {
        ["vm0", "vm1"].get(n).copied()
    }
    fn proxy(&self) -> Option<&Proxy> {
        self.proxy
    }
    async fn client_connect(
        &self,
        kind: Kind,
        target: ConnectOptions<'_>,
    ) -> Result<Option<client::Negotiated>, ClientError> {
        let ConnectOptions {
            host,
            port,
            name,
            netif,
            ..
        } = target;
        self.targets
            .borrow_mut()
            .push(std::format!("{kind} {host}:{port} {name:?} {netif:?}"));
        self.client(kind).connect(target).await
    }
    async fn client_send(&self, kind: Kind, text: &[u8]) -> Result<(), ClientError> {
        self.client(kind).send(text).await
    }
    async fn client_close(&self, kind: Kind) -> Result<(), ClientError> {
        self.client(kind).close().await
    }
    async fn selftest(&self, piece: usize, out: &mut dyn fmt::Write) -> Option<usize> {
        embassy_futures::yield_now().await;
        let _ = writeln!(out, "check {piece}: ok");
        (piece < 2).then_some(piece + 1)
    }
    fn tls_paste_buffer(&self) -> Result<PasteBuffer<'_>, &'static str> {
        PasteBuffer::take(&self.paper).ok_or("another session is at it")
    }
    async fn tls_fetch(&self, target: ConnectOptions<'_>, paper: &mut PasteBuffer<'_>) -> Result<(), FetchError> {
        let ConnectOptions {
            host,
            port,
            name,
            netif,
            ..
        } = target;
        let text = std::format!("{host}:{port} {name:?} {netif:?}");
        if port == 1 {
            return Err(FetchError::Truncated);
        }
        paper.space()[..text.len()].copy_from_slice(text.as_bytes());
        paper.set_len(text.len());
        Ok(())
    }
    fn tls_replace(&self, paper: &PasteBuffer<'_>, out: &mut dyn fmt::Write) -> Result<(), Refused> {
        let text = String::from_utf8(paper.text().to_vec()).unwrap();
        let bad = text.contains("bad");
        let _ = out.write_str(match (bad, text.ends_with("?\n")) {
            (true, true) => "1:1: it is bad. Did you mean good?",
            (true, false) => "1:1: it is bad",
            (false, _) => ".vmm is ignored.\n",
        });
        self.taken.borrow_mut().push(text);
        if bad { Err(Refused) } else { Ok(()) }
    }
    fn power(&self, power: Power) {
        self.power.set(Some(power));
    }
}

#[test]
fn the_guide_step_by_step() {
    let machine = Machine::new();
    let shown = machine.piped("echoctl_tls\nhelp\nserver start 10007\n\nexit\n");
    let expected = "\
> echoctl_tls> usage:
  client connect <ipaddr> <port> [netif]  Connect to echo server.
  client send                             Send a message to client.
  server start <port> [netif]             Start echo server.
  client connect <host> <port> [name=N]   Connect and verify this name.
  client connect <host> <port> proxy=off  Connect without the proxy.
  client send <text>                      Send this text.
  client close                            Close the client's connection.
  server stop [port]                      Stop an echo server, or all.
  server reverse stop [<host> <port>]     Stop dialling this host, or all.
  server reverse <ipaddr> <port> [netif] [every SECONDS] [role ROLE]
                                          Dial a host and serve echo to it.
  server reverse <host> <port> proxy=off  Dial without the proxy.
  trace [on|off]                          Trace handshakes, or list the traces.
  trace show <N>                          Show a trace, step by step.
  help [command]                          Show this list, or help on a command.
  exit                                    Go back (same as an empty line).
echoctl_tls> Starting TLS server (Port: 10007)...
Done.
echoctl_tls> > ";
    assert_eq!(shown, expected);
    assert!(machine.network.dial(10007, 100).is_some(), "Done means listening");
}

#[test]
fn servers_start_and_stop_or_report_why_not() {
    let machine = Machine::new();
    let shown = machine.piped(
        "echoctl_tls\nserver start 10007\nserver start 10007\nserver start 10008 vm0\nserver start 1 vm9\n\
         server stop 7\nserver stop\nserver stop\n\nechoctl\nserver start 7\nserver stop 7\nserver stop 7\n",
    );
    let expected = "\
> echoctl_tls> Starting TLS server (Port: 10007)...
Done.
echoctl_tls> Starting TLS server (Port: 10007)...
Failed: port 10007 is already in use.
echoctl_tls> Starting TLS server (Port: 10008)...
Done.
echoctl_tls> Starting TLS server (Port: 1)...
Failed: no network interface of that name.
Interfaces: vm0 vm1
echoctl_tls> Stopping TLS server (Port: 7)...
Failed: no server of this kind is running on port 7.
echoctl_tls> Stopping TLS server (Port: 10007)...
Done.
Stopping TLS server (Port: 10008)...
Done.
echoctl_tls> No TLS server is running.
echoctl_tls> > echoctl> Starting server (Port:7)...
Done.
echoctl> Stopping server (Port: 7)...
Done.
echoctl> Stopping server (Port: 7)...
Failed: no server of this kind is running on port 7.
echoctl> \n";
    assert_eq!(shown, expected);
    machine
        .service
        .set_tls(Err("no server certificate configured: set .tls.srv_cert"));
    let shown = machine.piped("echoctl_tls\nserver start 10007\n");
    assert!(
        shown.contains("\nFailed: no server certificate configured: set .tls.srv_cert.\n"),
        "{shown}"
    );
}

#[test]
fn reverse_connections_start_and_stop_or_report_why_not() {
    let machine = Machine::new();
    machine.network.refuse(crate::net::ConnectError::Refused);
    let shown = machine.piped(
        "echoctl_tls\nserver reverse 10.0.2.2 20001\nserver reverse 10.0.2.2 20001 every 5\n\
         server reverse home.example. 1 vm0 role client every 7\nserver reverse 10.0.2.2 2 vm9\n\
         server reverse stop 10.0.2.3 20001\nserver reverse stop 10.0.2.2 20001\nserver reverse stop\n\
         server reverse stop\nserver reverse home.example 1\nserver start 7\nserver stop\nserver stop\n\n\
         echoctl\nserver reverse 10.0.2.2 20001 every 86400\nserver stop\n",
    );
    let expected = "\
> echoctl_tls> Starting TLS server (dialling 10.0.2.2:20001 (0a000202), every 10 s)...
Done.
echoctl_tls> Starting TLS server (dialling 10.0.2.2:20001 (0a000202), every 5 s)...
Failed: already dialling this host; use 'server reverse stop' first.
echoctl_tls> Starting TLS server (dialling home.example:1, every 7 s)...
Done.
echoctl_tls> Starting TLS server (dialling 10.0.2.2:2 (0a000202), every 10 s)...
Failed: no network interface of that name.
Interfaces: vm0 vm1
echoctl_tls> Stopping TLS server (dialling 10.0.2.3:20001)...
Failed: no reverse connection of this kind to that host and port.
echoctl_tls> Stopping TLS server (dialling 10.0.2.2:20001)...
Done.
echoctl_tls> Stopping TLS server (dialling 1 host)...
Done.
echoctl_tls> No TLS server is dialling a host.
echoctl_tls> Starting TLS server (dialling home.example:1, every 10 s)...
Done.
echoctl_tls> Starting TLS server (Port: 7)...
Done.
echoctl_tls> Stopping TLS server (Port: 7)...
Done.
Stopping TLS server (dialling 1 host)...
Done.
echoctl_tls> No TLS server is running.
echoctl_tls> > echoctl> Starting server (dialling 10.0.2.2:20001 (0a000202), every 86400 s)...
Done.
echoctl> Stopping server (dialling 1 host)...
Done.
echoctl> \n";
    assert_eq!(shown, expected);
    machine
        .service
        .set_mutual_tls(Err("no CA is configured: .tls.ca_cert is empty"));
    let shown = machine.piped("echoctl_tls\nserver reverse 10.0.2.2 1\n");
    assert!(
        shown.contains("\nFailed: no CA is configured: .tls.ca_cert is empty.\n"),
        "{shown}"
    );
}

#[test]
fn wrong_words_about_reverse_connections_dial_nothing() {
    let machine = Machine::new();
    let shown = machine.piped(
        "echoctl_tls\nserver reverse\nserver reverse 10.0.2 1\nserver reverse 10.0.2.2 0\n\
         server reverse 10.0.2.2 1 every\nserver reverse 10.0.2.2 1 every 0\nserver reverse 10.0.2.2 1 every 86401\n\
         server reverse 10.0.2.2 1 vm0 vm1\nserver reverse 10.0.2.2 1 every 1 every 2\n\
         server reverse 10.0.2.2 1 role x\nserver reverse stop 10.0.2.2\nserver reverse stop a..b 1\n\
         server reverse stop 10.0.2.2 x\n\nechoctl\nserver reverse 10.0.2.2 1 role client\n",
    );
    for expected in [
        "'10.0.2' is neither an IP address nor the name of a host.\nusage:\n",
        "'0' is not a port (1 to 65535).\nusage:\n",
        "'' is not a number of seconds (1 to 86400).\nusage:\n",
        "'86401' is not a number of seconds",
        "'x' is not a TLS role (either, server or client).\nusage:\n",
        "'a..b' is neither",
        "'x' is not a port",
    ] {
        assert!(shown.contains(expected), "{expected:?} is missing in {shown}");
    }
    assert_eq!(shown.matches("usage:").count(), 13, "{shown}");
    assert!(
        !shown.contains("ing server") && !shown.contains("ing TLS server"),
        "{shown}"
    );
    assert_eq!(
        machine.service.reverses(Kind::Tls) + machine.service.reverses(Kind::Plain),
        0
    );
}

#[test]
fn the_plain_client_sends_its_greeting() {
    let machine = Machine::new();
    let shown = machine.piped(
        "echoctl\nclient send\nclient connect 10.0.2.2 10007\nclient send\nclient send two  words\nclient close\nclient close\n",
    );
    let expected = "\
> echoctl> Sending a message...
Failed: not connected.
echoctl> Connecting to server at 10.0.2.2:10007 (0a000202)
Done.
echoctl> Sending a message...
Done.
echoctl> Sending a message...
Done.
echoctl> Done.
echoctl> Failed: not connected.
echoctl> \n";
    assert_eq!(shown, expected);
    assert_eq!(
        machine.network.answered().unwrap().arrived(),
        "Hello, BitVisor!\ntwo  words\n"
    );
    machine.network.refuse(crate::net::ConnectError::Refused);
    let shown = machine.piped("echoctl\nclient connect 192.168.40.50 10007 vm0\n");
    assert!(
        shown.contains("> Connecting to server at 192.168.40.50:10007 (c0a82832) vm0\nFailed: connection refused.\n"),
        "{shown}"
    );
}

#[test]
fn the_tls_client_reports_what_it_lacks() {
    let machine = Machine::new();
    let shown = machine.piped("echoctl_tls\nclient connect 192.168.40.50 10007\nclient send\nclient close\n");
    let expected = "\
> echoctl_tls> Connecting to TLS server at 192.168.40.50:10007 (c0a82832)
Failed: no CA is configured: .tls.ca_cert is empty.
echoctl_tls> Sending a message...
Failed: not connected.
echoctl_tls> Failed: not connected.
echoctl_tls> \n";
    assert_eq!(shown, expected);
}

#[test]
fn hosts_are_dialled_by_name_and_names_expected() {
    let machine = Machine::new();
    let shown = machine.piped(
        "echoctl_tls\nclient connect echo.example. 10007 vm0\nclient connect 10.0.2.2 7 name=other.example\n\
         client connect echo.example 7 name=10.0.2.2 vm0\n\necho\nechoctl\nclient connect none.example 7\n\
         client connect silent.example 7\nclient connect home.example 7\n",
    );
    let expected = "\
> echoctl_tls> Connecting to TLS server at echo.example:10007 vm0
Failed: no CA is configured: .tls.ca_cert is empty.
echoctl_tls> Connecting to TLS server at 10.0.2.2:7 (0a000202)
Failed: no CA is configured: .tls.ca_cert is empty.
echoctl_tls> Connecting to TLS server at echo.example:7 vm0
Failed: no CA is configured: .tls.ca_cert is empty.
echoctl_tls> > 'echo' is not a command; type 'help' for a list.
> echoctl> Connecting to server at none.example:7
Failed: host not found.
echoctl> Connecting to server at silent.example:7
Failed: no DNS server: none in .ip.dns or .ip6.dns, and none from DHCP or a router.
echoctl> Connecting to server at home.example:7
Done.
echoctl> \n";
    assert_eq!(shown, expected);
    let targets = [
        "tls echo.example:10007 Some(\"echo.example\") Some(\"vm0\")",
        "tls 10.0.2.2:7 Some(\"other.example\") None",
        "tls echo.example:7 Some(\"10.0.2.2\") Some(\"vm0\")",
        "plain none.example:7 None None",
        "plain silent.example:7 None None",
        "plain home.example:7 None None",
    ];
    assert_eq!(*machine.targets.borrow(), targets);
    let mut status = String::new();
    machine.client.write_status(&mut status).unwrap();
    assert!(
        status.starts_with("plain echo client connected to home.example:7 (10.0.2.2), in 0 "),
        "{status}"
    );
}

#[test]
fn ipv6_addresses_may_have_brackets_and_a_zone() {
    let machine = Machine::new();
    let shown = machine.piped(
        "echoctl\nclient connect 2001:DB8::1 7\nclient close\nclient connect [2001:db8::1] 7 vm0\nclient close\n\
         client connect fe80::1%vm0 7\nserver reverse fe80::1%vm0 7 every 9\nserver reverse stop fe80::1 7\n\
         client connect fe80::1%vm0 7 vm1\nclient connect 10.0.2.2%vm0 7\nclient connect [::1]:7\n[2001:db8::1]:7\n",
    );
    let expected = "\
> echoctl> Connecting to server at [2001:db8::1]:7
Done.
echoctl> Done.
echoctl> Connecting to server at [2001:db8::1]:7 vm0
Done.
echoctl> Done.
echoctl> Connecting to server at [fe80::1]:7 vm0
Done.
echoctl> Starting server (dialling [fe80::1]:7, every 9 s)...
Done.
echoctl> Stopping server (dialling [fe80::1]:7)...
Done.
echoctl> usage:
";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(
        shown.contains("'10.0.2.2%vm0' is neither an IP address nor the name of a host.\n"),
        "{shown}"
    );
    let targets = [
        "plain 2001:db8::1:7 None None",
        "plain 2001:db8::1:7 None Some(\"vm0\")",
        "plain fe80::1:7 None Some(\"vm0\")",
    ];
    assert_eq!(*machine.targets.borrow(), targets);
}

#[test]
fn a_proxy_is_named_and_can_be_passed_by() {
    let machine = Machine {
        proxy: Some(dial::proxy::testing::proxy()),
        ..Machine::new()
    };
    let proxy = dial::proxy::testing::proxy();
    machine.service.set_proxy(proxy);
    machine.tls_client.set_proxy(proxy);
    let shown = machine.piped(
        "echoctl_tls\nclient connect none.example 7\nclient connect 10.0.2.2 7 vm0\n\
         client connect echo.example 7 proxy=off\nclient connect 10.0.2.2 7 name=a vm0 proxy=off\n\
         server reverse none.example 7\nserver reverse 10.0.2.2 7 proxy=off every 5\nserver reverse a 7 proxy=on\n",
    );
    let expected = "\
> echoctl_tls> Connecting to TLS server at none.example:7
Through the proxy 10.0.2.2:3128
Failed: no CA is configured: .tls.ca_cert is empty.
echoctl_tls> Connecting to TLS server at 10.0.2.2:7 (0a000202) vm0
Through the proxy 10.0.2.2:3128
Failed: no CA is configured: .tls.ca_cert is empty.
echoctl_tls> Connecting to TLS server at echo.example:7
Failed: no CA is configured: .tls.ca_cert is empty.
echoctl_tls> Connecting to TLS server at 10.0.2.2:7 (0a000202) vm0
Failed: no CA is configured: .tls.ca_cert is empty.
echoctl_tls> Starting TLS server (dialling none.example:7 through the proxy 10.0.2.2:3128, every 10 s)...
Done.
echoctl_tls> Starting TLS server (dialling 10.0.2.2:7 (0a000202), every 5 s)...
Done.
echoctl_tls> 'proxy=on': only 'proxy=off' is allowed; ";
    assert!(shown.starts_with(expected), "{shown}");
    assert_eq!(
        *machine.targets.borrow(),
        [
            "tls none.example:7 Some(\"none.example\") None",
            "tls 10.0.2.2:7 None Some(\"vm0\")",
            "tls echo.example:7 Some(\"echo.example\") None",
            "tls 10.0.2.2:7 Some(\"a\") Some(\"vm0\")",
        ]
    );
}

#[test]
fn invalid_addresses_and_names_are_refused() {
    let machine = Machine::new();
    let shown = machine.piped(
        "echoctl_tls\nclient connect 10.0.2 7\nclient connect a..b 7\nclient connect 10.0.2.2 7 name=\n\
         client connect 10.0.2.2 7 name=a_b.example name=b\nclient connect 10.0.2.2 7 vm0 vm1\n\
         client connect 10.0.2.2 0\nclient connect 10.0.2.2\nclient connect 10.0.2.2 7 proxy=on\nclient connect 10.0.2.2 7 nome=a\n\nechoctl\nclient connect 10.0.2.2 7 name=a\n",
    );
    for expected in [
        "'10.0.2' is neither an IP address nor the name of a host.\nusage:\n  client connect <ipaddr> ",
        "'a..b' is neither",
        "'name=': not a host name or IP address.\nusage:",
        "'name=a': names are verified only over TLS.\nusage:",
        "'0' is not a port (1 to 65535).\n",
        "'proxy=on': only 'proxy=off' is allowed; without it, a configured proxy is used.\nusage:",
        "'nome=a' is neither name=N nor proxy=off.\nusage:",
    ] {
        assert!(shown.contains(expected), "{expected:?} is missing in {shown}");
    }
    assert_eq!(shown.matches("usage:").count(), 10);
    assert!(machine.targets.borrow().is_empty() && !shown.contains("Connecting"));
}

#[test]
fn wrong_input_is_explained() {
    let shown = Machine::new().piped(
        "frobnicate\nserver start 1\nlog x\nlog 1 2\nechoctl\nstatus\nserver start 70000\nclient connect 1.2 7\nserver\n",
    );
    for expected in [
        "> 'frobnicate' is not a command; type 'help' for a list.\n",
        "> 'server' is a command of 'echoctl_tls' and 'echoctl'; type one of these first, alone.\n",
        "> 'x' is neither a number nor 'follow'.\nusage:\n  log [N|follow]  ",
        "> usage:\n  log [N|follow]  ",
        "echoctl> 'status' is not a command; type 'help' for a list, or an empty line to go back.\n",
        "'70000' is not a port (1 to 65535).\nusage:\n  server start <port> [netif]             Start echo server.\n",
        "'1.2' is neither an IP address nor the name of a host.\nusage:\n  client connect <ipaddr> <port> [netif]  Connect to echo server.\n",
        "echoctl> usage:\n  server start <port> [netif]             Start echo server.\n  server stop",
    ] {
        assert!(shown.contains(expected), "{expected:?} is missing in {shown}");
    }
    let long = [&b"x".repeat(line::LINE + 1)[..], b"\nversion\n"].concat();
    let shown = Machine::new().piped(long);
    assert_eq!(shown, "> Line ignored: longer than 256 bytes.\n> Version\n> \n");
}

#[test]
fn reports_come_in_pieces_and_the_log_from_any_point() {
    let machine = Machine::new();
    let shown = machine.piped("status\ncounters\nlog 2\nlog 0\nlog 99999999999999999999\n");
    assert!(
        shown.starts_with(
            "> status piece 0\nstatus piece 1\nstatus piece 2\n> Counters\n> record 38\nrecord 39\n> > '9999"
        ),
        "{shown}"
    );
    let shown = machine.piped("log\n");
    assert_eq!(shown.matches("record").count(), 30);
    assert!(shown.starts_with("> record 10\n") && shown.ends_with("record 39\n> \n"));
}

#[test]
fn reboot_poweroff_and_exit_end_the_session() {
    let machine = Machine::new();
    let ends = |script: &str| {
        let (peer, stream) = connection(1, 23, 4096);
        peer.say(script);
        machine
            .run(run(&mut telnet::Telnet::new(stream), &machine, Origin::Telnet))
            .unwrap()
    };
    assert_eq!(ends("reboot\nstatus\n"), Exit::Power(Power::Reboot));
    assert_eq!(ends("poweroff\r\n"), Exit::Power(Power::Off));
    assert_eq!(ends("exit\r\0"), Exit::Exit);
    assert_eq!(ends("echoctl\nexit\n\x04"), Exit::Exit);
    assert_eq!(machine.power.get(), None, "that is for the caller of the session");
}

#[test]
fn any_bytes_at_all_leave_a_session_that_works() {
    let machine = Machine::new();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..50 {
        let mut script: Vec<u8> = (0..2000)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                // Without the bytes that end the session on purpose: Control-D (and the letters of commands).
                match (seed >> 9) as u8 {
                    0x04 | b'a'..=b'z' => 255,
                    byte => byte,
                }
            })
            .collect();
        // Out of whatever the rubbish began: a subnegotiation, a command, an escape sequence, a prompt.
        script.extend([255, 240, b'x', 0x03, b'\n', b'\n']);
        script.extend(b"\n\nversion\nexit\n");
        assert!(machine.piped(&script).contains("Version\n"));
    }
}

/// A person at a terminal: a telnet that agrees to be echoed.
struct Person {
    stream: Stream,
    seen: String,
}

impl Person {
    fn sits_down(network: &FakeNetwork) -> Self {
        let stream = network.dial(23, 1 << 16).unwrap();
        stream.say([
            255, 253, 1, 255, 253, 3, 255, 251, 31, 255, 250, 31, 0, 80, 0, 12, 255, 240,
        ]);
        Person {
            stream,
            seen: String::new(),
        }
    }

    /// Types, and gives what the screen then got.
    async fn types(&mut self, keys: impl AsRef<[u8]>) -> String {
        self.stream.say(keys);
        settle().await;
        let shown = self.stream.arrived();
        self.seen.push_str(&shown);
        shown
    }
}

fn with_telnet<T>(machine: &Machine, work: impl AsyncFnOnce() -> T) -> T {
    let listener = machine.network.listen(23).unwrap();
    block_on(beside(
        async {
            settle().await;
            work().await
        },
        std::vec![Box::pin(async {
            telnet_server(&listener, machine).await;
        })],
    ))
}

#[test]
fn a_person_is_echoed_edits_completes_and_pages() {
    let machine = Machine::new();
    with_telnet(&machine, async || {
        let mut person = Person::sits_down(&machine.network);
        assert!(person.types("").await.ends_with("> "));
        assert_eq!(person.types("ver").await, "ver");
        assert_eq!(person.types("\t").await, "\r> version \x1b[K\r\x1b[10C");
        assert_eq!(person.types("\r\0").await, "\r\nVersion\r\n> ");
        assert_eq!(person.types("\x10").await, "\r> version \x1b[K\r\x1b[10C");
        assert_eq!(person.types("\x03").await, "^C\r\n> ");
        let page = person.types("log\r\0").await;
        assert!(
            page.contains("record 20\r\n--More--") && !page.contains("record 21"),
            "{page}"
        );
        assert_eq!(person.types("\r\0").await, "\r        \rrecord 21\r\n--More--");
        assert_eq!(person.types("q").await, "\r        \r> ");
        assert_eq!(
            person.types("log follow\r\0").await,
            "log follow\r\nFollowing the log; press any key to stop.\r\n"
        );
        machine.records.borrow_mut().push("news\x1b[2J".into());
        assert_eq!(person.types("").await, "news\\u{1b}[2J\r\n");
        assert_eq!(person.types(" ").await, "> ");
        person.types("exit\r\0").await;
        assert!(person.stream.finished() && !person.stream.was_reset());
    });
}

#[test]
fn connections_that_come_at_once_get_a_prompt_each() {
    let machine = Machine::new();
    with_telnet(&machine, async || {
        let mut all = [(); 4].map(|()| Person::sits_down(&machine.network));
        for person in &mut all {
            let shown = person.types("").await;
            assert!(shown.contains("> "), "{shown}");
        }
    });
}

#[test]
fn the_newest_connection_wins() {
    let machine = Machine::new();
    with_telnet(&machine, async || {
        let mut first = Person::sits_down(&machine.network);
        first.types("echoctl\r\0serv").await;
        let mut second = Person::sits_down(&machine.network);
        assert!(
            second.types("").await.ends_with("> "),
            "a new session begins at the top"
        );
        assert!(
            first
                .types("")
                .await
                .ends_with("\r\nanother session has taken over\r\n")
        );
        assert!(first.stream.finished() && !first.stream.was_reset());
        assert!(second.types("version\r\0").await.contains("Version"));
        second.types("exit\r\0").await;
        let mut third = Person::sits_down(&machine.network);
        assert!(
            third.types("").await.ends_with("> "),
            "after an exit the next is served"
        );
    });
}

#[test]
fn a_peer_that_does_not_read_is_replaced() {
    let machine = Machine::new();
    with_telnet(&machine, async || {
        // Its buffers are full before the prompt is out, and it never reads.
        let stuck = machine.network.dial(23, 4).unwrap();
        settle().await;
        let mut second = Person::sits_down(&machine.network);
        let mut shown = String::new();
        while !shown.ends_with("> ") {
            shown.push_str(&second.types("").await);
        }
        assert!(second.types("version\r\0").await.contains("Version"));
        assert!(stuck.finished() || stuck.was_reset());
    });
}

#[test]
fn poweroff_is_carried_out_after_the_goodbye() {
    let machine = Machine::new();
    with_telnet(&machine, async || {
        let mut person = Person::sits_down(&machine.network);
        assert!(person.types("poweroff\r\0").await.ends_with("Switching off.\r\n"));
        settle().await;
        assert!(person.stream.finished());
        assert_eq!(machine.power.get(), Some(Power::Off));
    });
}

#[test]
fn the_serial_console_has_the_same_shell() {
    let machine = Machine::new();
    let (mut peer, line) = connection(1, 1, 1 << 16);
    let shown = block_on(beside(
        async {
            peer.say("version\rexit\r");
            settle().await;
            let shown = peer.arrived();
            peer.say("echoctl\rclient\t co\t\r");
            settle().await;
            shown + &peer.arrived()
        },
        std::vec![Box::pin(async {
            serial(line, &machine).await;
        })],
    ));
    assert!(shown.starts_with("> version\r\nVersion\r\n> exit\r\n> "), "{shown}");
    assert!(shown.contains("client connect"), "{shown}");
    peer.shutdown();
}

#[test]
fn a_self_test_shows_every_outcome() {
    let machine = Machine::new();
    assert_eq!(
        machine.piped("selftest\nexit\n"),
        "> check 0: ok\ncheck 1: ok\ncheck 2: ok\n> "
    );
}

/// A machine that has narrated this.
fn narrated() -> Machine {
    let machine = Machine::new();
    machine.traces.switch(true);
    let peer = "10.0.2.2:40000".parse().unwrap();
    let narrator = machine.traces.begin(peer, Some(10007)).unwrap();
    for event in [
        Event::Milestone(Milestone::Role { server: true }),
        Event::Message {
            sent: false,
            whole: b"\x01\0\0\x02\x03\x03",
        },
        Event::Milestone(Milestone::Failed {
            reason: "it was cut short",
        }),
    ] {
        narrator.event(&event);
    }
    machine.traces.switch(false);
    machine
}

#[test]
fn connections_are_narrated_on_demand() {
    let machine = narrated();
    let said = machine.piped(
        "echoctl_tls\ntrace\ntrace on\ntrace\ntrace off\ntrace show 1\ntrace show 2\ntrace show x\ntrace show\ntrace of\n",
    );
    let one = vec![Slot::new(Vec::leak(std::vec![0; LOG_SIZE]))];
    let alone = Machine {
        traces: Box::leak(Box::new(Traces::new(one.leak()))),
        ..Machine::new()
    };
    let shown = alone.piped("echoctl_tls\ntrace on\n");
    let kept = "Done. Handshakes are traced from now on; the last one is kept.\n";
    assert!(shown.contains(kept), "{shown}");
    let usage = "usage:\n  trace [on|off]                          Trace handshakes, or list the traces.\n  \
                 trace show <N>                          Show a trace, step by step.\n";
    let line = "   1  10.0.2.2:40000 -> :10007, 0 s ago: failed: it was cut short, 2 steps\n";
    let expected = std::format!(
        "> echoctl_tls> Tracing is off.\n{line}\
         echoctl_tls> Done. Handshakes are traced from now on; the last 2 are kept.\n\
         echoctl_tls> Tracing is on.\n{line}\
         echoctl_tls> Done.\n\
         echoctl_tls>  1 -> ClientHello (client, received, 6 bytes)\n"
    );
    assert!(said.starts_with(&expected), "{said}\n{expected}");
    for expected in [
        "     [handshake header]\n       01                       msg_type: client_hello\n",
        "     03 03                    legacy_version: TLS 1.2\n",
        " 2 == Failed\n     The connection has ended, for this reason:\n       it was cut short\n",
        "Failed: no trace 2; type 'trace' for a list.\n",
        "'x' is not a number.\nusage:\n",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    assert_eq!(said.matches(usage).count(), 3, "{said}");
}

/// What `tls reload` says first.
const PASTE: &str = r#"> Paste a defconfig (only its .tls section is used) or PEM blocks: certificates, private keys, CRLs.
End with a line containing only "."; Ctrl-C cancels. Input is not echoed.
"#;

#[test]
fn a_paste_ends_with_a_full_stop_however_lines_end() {
    for ends in ["\n", "\r\n", "\r", "\r\0"] {
        let machine = Machine::new();
        let text =
            std::format!("tls reload{ends}..{ends}. {ends}a\tb{ends}.tls = {{}}{ends}{ends}.{ends}version{ends}");
        let shown = machine.piped(&text);
        let rest = "Read 21 bytes.\n.vmm is ignored.\nTls\nDone.\n> Version\n> \n";
        assert_eq!(shown, std::format!("{PASTE}{rest}"), "{ends:?}");
        assert_eq!(machine.taken.take(), ["..\n. \na\tb\n.tls = {}\n\n"]);
        assert!(machine.paper.try_lock().unwrap().iter().all(|byte| *byte == 0), "wiped");
    }
}

#[test]
fn a_paste_that_is_too_long_is_read_to_its_end_and_refused() {
    let machine = Machine::new();
    // Just what fits, then a byte more; none of it is taken for a command.
    let fits = std::format!("{}\n", "x".repeat(99));
    let shown = machine.piped(std::format!(
        "tls reload\n{fits}.\ntls reload\nreboot\n{fits}reboot\n.\nversion\n"
    ));
    assert!(
        shown.contains("Read 100 bytes.\n.vmm is ignored.\nTls\nDone.\n"),
        "{shown}"
    );
    let refused = "Failed: the text is longer than 100 bytes. The current configuration is unchanged.\n> Version\n";
    assert!(shown.contains(refused), "{shown}");
    assert_eq!(machine.taken.take(), [fits]);
    assert_eq!(machine.power.get(), None);
    assert!(machine.paper.try_lock().unwrap().iter().all(|byte| *byte == 0), "wiped");
}

#[test]
fn a_paste_is_given_up_refused_or_ends_with_the_input() {
    let machine = Machine::new();
    for key in ["\x03", "\x04"] {
        let shown = machine.piped(std::format!("tls reload\nsecret\n{key}version\n"));
        let given_up = "Cancelled. The current configuration is unchanged.\n> Version\n> \n";
        assert_eq!(shown, std::format!("{PASTE}{given_up}"));
    }
    let shown = machine.piped("tls reload\nsecret\n");
    let ended =
        "\nFailed: the input ended without a line containing only \".\". The current configuration is unchanged.\n";
    assert_eq!(shown, std::format!("{PASTE}{ended}"));
    assert_eq!(machine.taken.take(), [""; 0]);
    let shown = machine.piped("tls reload\nbad\n.\n");
    assert!(
        shown.ends_with("Read 4 bytes.\nFailed: 1:1: it is bad. The current configuration is unchanged.\n> \n"),
        "{shown}"
    );
    let shown = machine.piped("tls reload\nbad?\n.\n");
    let asked = "Failed: 1:1: it is bad. Did you mean good? The current configuration is unchanged.\n> \n";
    assert!(shown.ends_with(asked), "{shown}");
    let taken = machine.paper.try_lock().unwrap();
    let shown = machine.piped("tls reload\nreboot\n.\ntls reload 10.0.2.2 443\n");
    assert_eq!(
        shown.matches("Failed: another session is at it.\n").count(),
        2,
        "{shown}"
    );
    assert_eq!(machine.power.get(), None, "the paste is not run");
    drop(taken);
}

#[test]
fn a_configuration_is_fetched_from_the_host_in_the_arguments() {
    let machine = Machine::new();
    let shown = machine.piped(
        "tls reload 10.0.2.2 443\ntls reload echo.example 444 vm0\ntls reload echo.example 445 name=a.test vm1\n\
         tls reload 10.0.2.2 1\ntls reload no.example 1\n",
    );
    assert_eq!(
        machine.taken.take(),
        [
            "10.0.2.2:443 None None",
            "echo.example:444 Some(\"echo.example\") Some(\"vm0\")",
            "echo.example:445 Some(\"a.test\") Some(\"vm1\")",
        ]
    );
    assert!(
        shown.starts_with("> Fetching from 10.0.2.2:443...\nRead 22 bytes.\n"),
        "{shown}"
    );
    let cut = "Failed: the host closed the connection without close_notify; the text may be truncated. The current configuration is";
    assert!(shown.contains(cut), "{shown}");
    let wrong = "tls reload 10.0.2.2\ntls reload 10.0.2.2 0\ntls reload a..b 1\ntls reload 10.0.2.2 1 vm0 vm1\n\
                 tls reload 10.0.2.2 1 name=.\ntls now\ntls status now\n";
    let shown = machine.piped(wrong);
    assert_eq!(shown.matches("usage:\n").count(), 7, "{shown}");
    assert_eq!(machine.piped("tls\ntls status\n"), "> Tls\n> Tls\n> \n");
    // It shows no secret: on telnet as well.
    machine.telnet_reload.set(false);
    assert_eq!(
        machine.piped("tls csr\ntls csr client\n"),
        "> Request(Server)\n> Request(Client)\n> \n"
    );
    let usage = "usage:\n  tls csr [client]  Print a certificate request for a key made at boot.\n\
                 \x20 tls [status]      Show certificates, trust and expiry dates.\n";
    for wrong in ["tls csr server", "tls csr client x"] {
        assert_eq!(machine.piped(std::format!("{wrong}\n")), std::format!("> {usage}> \n"));
    }
}

#[test]
fn on_a_terminal_nothing_of_a_paste_is_echoed_or_remembered() {
    let machine = Machine::new();
    let (mut peer, stream) = connection(40_000, 23, 1 << 16);
    // The other end lets us echo.
    peer.say([255, 253, 1, 255, 253, 3]);
    peer.say("tls reload\r\0secret\r\0.\r\0\x1b[A\x1b[A\r\0");
    peer.shutdown();
    machine
        .run(run(&mut telnet::Telnet::new(stream), &machine, Origin::Telnet))
        .unwrap();
    let shown = peer.arrived();
    assert!(shown.contains("tls reload") && shown.contains("Done."), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
    assert_eq!(machine.taken.take(), ["secret\n"]);
}

#[test]
fn an_http_request_ends_the_session_before_any_of_its_lines_is_run() {
    let long = std::format!("/{}", "x".repeat(10_000));
    for request in [
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n\r\npoweroff\r\n",
        "\r\nGET /?a=b HTTP/1.1\r\npoweroff\r\n",
        &std::format!("POST {long} HTTP/1.1\r\n\r\npoweroff\r\n"),
        &std::format!("{} / HTTP/1.1\r\n\r\npoweroff\r\n", "M".repeat(10_000)),
    ] {
        let machine = Machine::new();
        let (peer, stream) = connection(40_000, 23, 1 << 16);
        peer.say(request);
        let exit = machine
            .run(run(&mut telnet::Telnet::new(stream), &machine, Origin::Telnet))
            .unwrap();
        assert_eq!((exit, machine.power.get()), (Exit::Http, None), "{request:.40}");
    }
    // Later lines are lines like others.
    let machine = Machine::new();
    let shown = machine.piped("version\r\nGET / HTTP/1.1\r\npoweroff\r\n");
    assert!(shown.contains("'GET' is not a command"), "{shown}");
    assert_eq!(machine.power.get(), None);
}

#[test]
fn telnet_neither_replaces_the_configuration_nor_shows_secrets_unless_it_may() {
    let machine = Machine::new();
    machine.records.borrow_mut().push("a secret".into());
    machine.traces.switch(true);
    let narrator = machine
        .traces
        .begin(core::net::SocketAddr::new(crate::net::fake::PEER, 1), None)
        .unwrap();
    let secret = crate::tls::trace::Secret::Master;
    let (hash, value) = (&[1; 32][..], &[2; 48][..]);
    narrator.event(&Event::Milestone(Milestone::Secret { secret, hash, value }));
    let script = "log 1\ntls reload\nreboot\n.\ntls reload 10.0.2.2 443\nechoctl_tls\ntrace show 1\n";
    machine.telnet_reload.set(false);
    let shown = machine.piped(script);
    assert!(shown.starts_with("> left out\n"), "{shown}");
    assert_eq!(shown.matches("Failed: not over telnet").count(), 3, "{shown}");
    assert!(!shown.contains("Paste") && !shown.contains("02 02"), "{shown}");
    assert_eq!((machine.taken.take().len(), machine.power.get()), (0, None));
    machine.telnet_reload.set(true);
    let shown = machine.piped(script);
    assert!(
        shown.starts_with("> a secret\n") && !shown.contains("not over telnet"),
        "{shown}"
    );
    assert_eq!(machine.taken.take(), ["reboot\n", "10.0.2.2:443 None None"]);
    // The others always may.
    machine.telnet_reload.set(false);
    for origin in [Origin::Serial, Origin::Tls] {
        let (mut peer, stream) = connection(40_000, 23, 1 << 16);
        peer.say(script);
        peer.shutdown();
        machine
            .run(run(&mut telnet::Telnet::new(stream), &machine, origin))
            .unwrap();
        let shown = plain(&peer.arrived());
        assert!(
            shown.starts_with("> a secret\n") && !shown.contains("not over telnet"),
            "{shown}"
        );
        assert_eq!(machine.taken.take().len(), 2);
    }
}

#[test]
fn control_c_ends_an_attempt_at_once_and_keeps_what_is_typed_after_it() {
    let machine = Machine::new();
    machine.network.hang();
    let (mut peer, stream) = connection(40_000, 23, 1 << 16);
    peer.say("echoctl\nclient connect 10.0.2.2 7\n");
    let mut telnet = telnet::Telnet::new(stream);
    let shown = machine.run(async {
        let session = async { run(&mut telnet, &machine, Origin::Telnet).await.unwrap() };
        let user = async {
            settle().await;
            assert_eq!(machine.targets.borrow().len(), 1);
            peer.say("typed ahead\x03client send\n\nversion\n");
            settle().await;
            settle().await;
            peer.shutdown();
        };
        embassy_futures::join::join(session, user).await;
        plain(&peer.arrived())
    });
    let after = "\nCancelled.\nechoctl> Sending a message...\nFailed: not connected.\nechoctl> > Version\n";
    assert!(shown.contains(after), "{shown}");
}

#[test]
fn words_of_newcomers_are_understood_or_explained() {
    let machine = Machine::new();
    let said = machine.piped("help status\n? server\nhelp nonsense\nclient connect 10.0.2.2:7\n?\nquit\n");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "> usage:",
            "  status            Show uptime, memory, addresses, ports, connections.",
            "> 'server' is a command of 'echoctl_tls' and 'echoctl'; type one of these first, alone."
        ],
        "{said}"
    );
    assert!(lines[3].starts_with("> 'nonsense' is not a command"), "{said}");
    assert!(said.contains("> usage:\n  help [command]"), "{said}");
    assert!(said.ends_with("End this session.\n> "), "{said}");
    let said = machine.piped(
        "echoctl\nhelp server start\nclient connect 10.0.2.2:7\nclient connect echo.example:7 vm0\nquit\nversion\n",
    );
    for part in [
        "echoctl> usage:\n  server start <port> [netif]             Start echo server.\n",
        "'10.0.2.2:7': separate host and port with a space: 10.0.2.2 7\nusage:\n  client connect",
        "'echo.example:7': separate host and port with a space: echo.example 7\nusage:\n  client connect",
        "echoctl> > Version",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// However the ends of a pasted text's lines arrive, none of them is an empty line, which would leave the prompt.
#[test]
fn lines_pasted_with_crlf_do_not_leave_the_prompt() {
    for end in ["\r\n", "\r\0\n", "\r\n\n", "\r\r", "\r\0\r\0"] {
        let machine = Machine::new();
        with_telnet(&machine, async || {
            let mut person = Person::sits_down(&machine.network);
            person.types("").await;
            let pasted = format!("echoctl{end}help server start{end}help client send{end}");
            let said = person.types(&pasted).await;
            assert!(
                said.contains("Start echo server.\r\nechoctl> help client send"),
                "{end:?}: {said}"
            );
            assert!(
                said.ends_with("\r\nechoctl> ") && !said.contains("echoctl> \r\n"),
                "{end:?}: {said}"
            );
            // Typed, an empty line still leaves it.
            assert!(person.types("\r\0").await.ends_with("\r\n> "), "{end:?}");
        });
    }
}
