//! The machine as the debug shell sees it: reports, and what the commands drive.

use core::fmt::{self, Write};

use crate::client::fetch::{self, FetchError};
use crate::client::{self, Client, ClientError, ConnectOptions};
use crate::dial::{self, DialError, Proxy, reach};
use crate::endpoint::traces::Traces;
use crate::log;
use crate::machine::{clock, cpu, descriptors, entropy, executor, interrupts, power, rtc, serial};
use crate::memory::HeapUse;
use crate::net::{DhcpState, Kind, Netif, find_network};
use crate::pki::text::Count;
use crate::pki::verify::ServerName;
use crate::selftest;
use crate::serve::reverse::{self, ReverseError};
use crate::serve::{Service, StartError, StopError};
use crate::settings::{self, TlsConfigs};
use crate::shell::{Host, PasteBuffer, Power, Refused, Report, ReportWriter};

/// Everything that the shell reads and drives.
pub struct Machine {
    /// The interfaces.
    pub netifs: &'static [Netif],
    /// The echo service.
    pub service: &'static Service<Netif>,
    /// The plain echo client.
    pub plain_client: &'static Client,
    /// The TLS echo client.
    pub tls_client: &'static Client,
    /// The proxy for outgoing connections.
    pub proxy: Option<&'static Proxy>,
    /// Where the self-test is requested.
    pub selftest: &'static selftest::Requests,
    /// The narrations of connections.
    pub traces: &'static Traces,
    /// The TLS configurations.
    pub tls_configs: &'static TlsConfigs,
    /// `.vmm.telnet_reload`.
    pub telnet_reload: bool,
    /// All the RAM, in bytes.
    pub ram: u64,
    /// The part of it that was free after the start, in bytes.
    pub free: usize,
    /// How full the heap is.
    pub heap: fn() -> HeapUse,
}

impl Machine {
    async fn status<W: ReportWriter>(&self, out: &mut W) -> Result<(), W::Error> {
        out.section(|out| self.overview(out)).await?;
        out.section(entropy_report).await?;
        for netif in self.netifs {
            out.section(|out| interface(netif, out)).await?;
        }
        out.section(|out| self.ports(out)).await?;
        for client in [self.tls_client, self.plain_client] {
            out.section(|out| client.write_status(out)).await?;
        }
        for target in self.service.reverse_targets() {
            out.section(|out| write!(out, "{target}")).await?;
        }
        out.section(|out| self.live(out)).await?;
        for connection in self.service.live() {
            out.section(|out| writeln!(out, "{connection}")).await?;
        }
        Ok(())
    }

    fn overview(&self, out: &mut dyn Write) -> fmt::Result {
        version(out)?;
        writeln!(out, "uptime: {}", Uptime(clock::now()))?;
        date(out)?;
        writeln!(out, "clock: {}", clock::Description)?;
        let times = executor::times();
        let busy = clock::now().saturating_sub(times.asleep).saturating_sub(times.watching);
        writeln!(
            out,
            "cpu: busy {} ms, watching the card {} ms, asleep {} ms",
            busy / 1000,
            times.watching / 1000,
            times.asleep / 1000
        )?;
        let [longest, recent] = executor::longest_polls();
        writeln!(
            out,
            "longest poll: {} us ({}); in the last minute {} us ({})",
            longest.micros, longest.task, recent.micros, recent.task
        )?;
        writeln!(
            out,
            "memory: {} KiB, {} KiB not needed",
            self.ram / 1024,
            self.free / 1024
        )?;
        let HeapUse { used, peak, size } = (self.heap)();
        writeln!(out, "rsa heap: {used} of {size} bytes in use, {peak} at most")?;
        let (deepest, size) = descriptors::main_stack();
        writeln!(out, "stack: {deepest} of {size} bytes used at most")?;
        let (unexpected, last) = interrupts::unexpected();
        write!(out, "interrupts: {unexpected} unexpected")?;
        if let Some(vector) = last {
            write!(out, ", the last at vector {vector:#x}")?;
        }
        writeln!(out)?;
        writeln!(out, "console: {} dropped", Count(serial::dropped(), "line"))
    }

    fn ports(&self, out: &mut dyn Write) -> fmt::Result {
        for kind in [Kind::Tls, Kind::Plain, Kind::Https] {
            for (port, netif) in (0..).map_while(|n| self.service.port(kind, n)) {
                writeln!(out, "{} on port {port} of {netif}", kind.server())?;
            }
        }
        if let Some(why) = self.tls_configs.awaits_certificate() {
            writeln!(out, "TLS is closed: {why}")?;
        }
        if let Some(proxy) = self.proxy {
            let login = if proxy.has_login() { ", with a login" } else { "" };
            writeln!(out, "proxy for connections from here: {proxy}{login}")?;
        }
        Ok(())
    }

    fn live(&self, out: &mut dyn Write) -> fmt::Result {
        writeln!(
            out,
            "connections: {} of {}",
            self.service.live().count(),
            self.service.capacity()
        )
    }

    fn client(&self, kind: Kind) -> &'static Client {
        match kind {
            Kind::Tls | Kind::Https => self.tls_client,
            Kind::Plain => self.plain_client,
        }
    }

    async fn counters<W: ReportWriter>(&self, out: &mut W) -> Result<(), W::Error> {
        out.section(|out| write!(out, "echo:\n{}", self.service.tally()))
            .await?;
        for netif in self.netifs {
            out.section(|out| card_counters(netif, out)).await?;
            out.section(|out| stack_counters(netif, out)).await?;
        }
        Ok(())
    }

    async fn ip<W: ReportWriter>(&self, out: &mut W) -> Result<(), W::Error> {
        if self.netifs.is_empty() {
            out.section(|out| writeln!(out, "there is no network card")).await?;
        }
        for netif in self.netifs {
            out.section(|out| interface(netif, out)).await?;
        }
        Ok(())
    }
}

impl Host for Machine {
    async fn report<W: ReportWriter>(&self, report: Report, out: &mut W) -> Result<(), W::Error> {
        match report {
            Report::Status => self.status(out).await,
            Report::Counters => self.counters(out).await,
            Report::Ip => self.ip(out).await,
            Report::Tls => self.tls_configs.report(out).await,
            Report::Request(role) => self.tls_configs.write_request(role, out).await,
            Report::Date => out.section(date).await,
            Report::Version => out.section(version).await,
        }
    }

    fn log_end(&self) -> u64 {
        log::next_number()
    }

    fn log_record(&self, from: u64, secrets: bool, out: &mut dyn Write) -> Option<u64> {
        let line = log::read_from(from)?;
        match line.missed {
            0 => {}
            missed => drop(writeln!(out, "[... {} overwritten ...]", Count(missed, "line"))),
        }
        let _ = match secrets || !line.text.starts_with(settings::KEY_LOG) {
            true => write!(out, "{line}"),
            false => write!(out, "(key log: on the serial console and over TLS only)"),
        };
        Some(line.number + 1)
    }

    async fn log_grown(&self, from: u64) {
        log::news(from).await;
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
        self.netifs.get(n).map(Netif::name)
    }

    fn proxy(&self) -> Option<&Proxy> {
        self.proxy
    }

    async fn client_connect(
        &self,
        kind: Kind,
        target: ConnectOptions<'_>,
    ) -> Result<Option<client::Negotiated>, ClientError> {
        self.client(kind).connect(target).await
    }

    async fn client_send(&self, kind: Kind, text: &[u8]) -> Result<(), ClientError> {
        self.client(kind).send(text).await
    }

    async fn client_close(&self, kind: Kind) -> Result<(), ClientError> {
        self.client(kind).close().await
    }

    async fn selftest(&self, piece: usize, out: &mut dyn Write) -> Option<usize> {
        if piece == 0 {
            self.selftest.ask();
        }
        let Some(outcome) = self.selftest.outcome(piece).await else {
            let _ = writeln!(out, "{}", self.selftest.summary());
            return None;
        };
        let _ = writeln!(out, "{outcome}");
        Some(piece + 1)
    }

    fn telnet_may_reload(&self) -> bool {
        self.telnet_reload
    }

    fn traces(&self) -> &'static Traces {
        self.traces
    }

    fn tls_paste_buffer(&self) -> Result<PasteBuffer<'_>, &'static str> {
        self.tls_configs.paste_buffer()
    }

    async fn tls_fetch(&self, target: ConnectOptions<'_>, paper: &mut PasteBuffer<'_>) -> Result<(), FetchError> {
        let netif = find_network(self.netifs, target.netif).ok_or(ClientError::Dial(DialError::NoSuchInterface))?;
        let name = match target.name.map(ServerName::parse) {
            Some(None) => return Err(ClientError::NotAName.into()),
            name => name.flatten(),
        };
        let tls_config = self.tls_configs.in_use();
        let roles = tls_config.roles();
        let client = roles.client().map_err(ClientError::NoTls)?;
        let config = client.fetch.map_err(ClientError::NoTls)?;
        let proxy = self.proxy.filter(|_| !target.direct);
        let stream = reach(netif, proxy, target.host, target.port, settings::seed).await;
        let stream = stream.map_err(ClientError::from)?;
        let name = name.or(match target.host {
            dial::Host::Address(address) => Some(ServerName::Ip(address)),
            // The shell gives the name that the certificate must contain.
            dial::Host::Name(_) => return Err(ClientError::NotAName.into()),
        });
        let config = config.with_name(name).with_clock(settings::now());
        let mut buffers = self
            .tls_configs
            .buffers()
            .ok_or(ClientError::NoTls("another session is fetching a configuration"))?;
        let [inbound, outbound] = &mut *buffers;
        let fetched = fetch::fetch(
            stream,
            config,
            client.rng,
            [&mut *inbound, &mut *outbound],
            paper.space(),
        )
        .await;
        paper.set_len(fetched?);
        Ok(())
    }

    fn tls_replace(&self, paper: &PasteBuffer<'_>, out: &mut dyn Write) -> Result<(), Refused> {
        let result = self.tls_configs.replace(paper.text(), out);
        match result {
            Ok(()) => {
                settings::set_tls(self.service, self.tls_configs);
                self.service.renew(self.tls_configs.in_use().roles().handshake);
                self.tls_client.renew();
                self.tls_configs.announce();
            }
            Err(_) => ::log::warn!(target: log::SECURITY, "tls: reload refused"),
        }
        result
    }

    fn power(&self, power: Power) {
        // From here on log lines are written at once.
        serial::flush();
        match power {
            Power::Reboot => {
                ::log::info!(target: log::SECURITY, "restarting");
                power::reboot()
            }
            Power::Off => {
                ::log::info!(target: log::SECURITY, "powering off");
                power::poweroff()
            }
        }
    }
}

fn version(out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "postern {}", env!("POSTERN_VERSION"))
}

fn date(out: &mut dyn Write) -> fmt::Result {
    match clock::unix_time() {
        Ok(now) => writeln!(out, "date: {} UTC", rtc::Date::of(now)),
        Err(error) => writeln!(out, "date: {error}"),
    }
}

fn entropy_report(out: &mut dyn Write) -> fmt::Result {
    let status = entropy::status();
    for (source, (state, bytes)) in entropy::Source::ALL.iter().zip(status.sources) {
        writeln!(out, "entropy: {} {state}, {}", source.name(), Count(bytes, "byte"))?;
    }
    match entropy::rng() {
        Ok(_) => {
            let (seeded, given) = (Count(status.seeded, "time"), Count(status.given, "byte"));
            writeln!(out, "generator: seeded {seeded}, {given} given")?;
            if status.has_generation_id {
                writeln!(out, "generator: the VM generation ID is mixed in at each use")?;
            } else if status.fresh.is_none() || status.bare > 0 {
                let bare = Count(status.bare, "use");
                writeln!(
                    out,
                    "generator: {bare} with only the time stamp counter mixed in: do not resume a snapshot twice"
                )?;
            }
        }
        Err(error) => writeln!(out, "{error}: no TLS")?,
    }
    writeln!(out, "cpu features: {}", cpu::Features)
}

fn interface(netif: &Netif, out: &mut dyn Write) -> fmt::Result {
    let status = netif.status();
    write!(out, "{}: {}", status.name, status.link)?;
    match status.address {
        Some((address, prefix)) => write!(out, ", {address}/{prefix}")?,
        None => write!(out, ", no address")?,
    }
    match status.gateway {
        Some(gateway) => write!(out, ", gateway {gateway}")?,
        None => write!(out, ", no gateway")?,
    }
    for server in netif.dns_servers() {
        write!(out, ", DNS {server}")?;
    }
    writeln!(
        out,
        "{}",
        match status.dhcp {
            DhcpState::Off => " (static)",
            DhcpState::Searching => " (DHCP: searching)",
            DhcpState::Bound => " (DHCP)",
        }
    )?;
    if let Some((first, prefix)) = status.ipv6.iter().flatten().next() {
        write!(out, "  IPv6 {first}/{prefix}")?;
        for (address, prefix) in status.ipv6.iter().flatten().skip(1) {
            write!(out, ", {address}/{prefix}")?;
        }
        match status.router {
            Some(router) => writeln!(out, ", router {router}")?,
            None => writeln!(out, ", no router")?,
        }
    }
    let card = status.card;
    writeln!(
        out,
        "  in {}, {}, {} dropped, {} damaged; out {}, {}, {} dropped",
        Count(card.rx_packets, "packet"),
        Count(card.rx_bytes, "byte"),
        card.rx_dropped,
        card.rx_errors,
        Count(card.tx_packets, "packet"),
        Count(card.tx_bytes, "byte"),
        card.tx_dropped
    )?;
    writeln!(
        out,
        "  slots: {} in all, {} free, {} half open, {} open, {} established, {} closing",
        status.slots, status.free, status.half_open, status.unmarked, status.established, status.closing
    )
}

fn card_counters(netif: &Netif, out: &mut dyn Write) -> fmt::Result {
    let card = netif.status().card;
    writeln!(out, "{}, card:", netif.name())?;
    for (name, count) in [
        ("packets in", card.rx_packets),
        ("bytes in", card.rx_bytes),
        ("packets out", card.tx_packets),
        ("bytes out", card.tx_bytes),
        ("in, dropped for want of a buffer", card.rx_dropped),
        ("in, damaged", card.rx_errors),
        ("in, wrong checksum", card.rx_checksum_errors),
        ("out, dropped for want of a buffer", card.tx_dropped),
        ("interrupts", card.interrupts),
    ] {
        writeln!(out, "  {name:<40} {count}")?;
    }
    Ok(())
}

fn stack_counters(netif: &Netif, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "{}, stack:", netif.name())?;
    netif
        .counters()
        .iter()
        .filter(|(_, count)| *count > 0)
        .try_for_each(|(name, count)| writeln!(out, "  {name:<40} {count}"))
}

/// Microseconds as days, hours, minutes, seconds.
struct Uptime(u64);

impl fmt::Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000;
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        if days > 0 {
            write!(f, "{days} d ")?;
        }
        write!(
            f,
            "{hours:02}:{minutes:02}:{:02}.{:03}",
            seconds % 60,
            self.0 / 1000 % 1000
        )
    }
}
