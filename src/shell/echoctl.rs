//! The prompts `echoctl> ` and `echoctl_tls> `.

use core::fmt;
use core::net::IpAddr;

use super::command::{self, Action, Request, Spec};
use super::console::Console;
use super::{Exit, Host, Line, Session};
use crate::client::ConnectOptions;
use crate::config::{Choice as _, Role};
use crate::dial::{self, Authority};
use crate::net::Kind;
use crate::net::dns;
use crate::serve::reverse;

/// The message of the clients, as BitVisor's.
const HELLO: &str = "Hello, BitVisor!\n";
const HELLO_TLS: &str = "Hello, BitVisor with TLS!\n";

/// The prefix of the expected name among the arguments of `client connect`.
const NAME: &str = "name=";

/// Bypasses the configured proxy.
const DIRECT: &str = "proxy=off";
const PROXY: &str = "proxy=";

/// A prompt's text and commands.
pub(super) struct Prompt {
    text: &'static str,
    pub(super) specs: &'static [Spec],
}

/// The arguments after host and port.
pub(super) struct Routing<'r> {
    pub(super) netif: Option<&'r str>,
    /// The name that the certificate must contain.
    pub(super) name: Option<&'r str>,
    /// Without the proxy.
    pub(super) direct: bool,
}

/// A host and its port as the guide shows them: an IPv4 address in hexadecimal as well.
struct Shown<'a>(dial::Host<'a>, u16);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(host, port) = *self;
        Authority(host, port).fmt(f)?;
        match host {
            dial::Host::Address(IpAddr::V4(address)) => write!(f, " ({:08x})", u32::from(address)),
            _ => Ok(()),
        }
    }
}

impl<C: Console, H: Host> Session<'_, C, H> {
    /// Serves the prompt until an empty line, `exit` or Control-D leaves it.
    pub(super) async fn echoctl(&mut self, kind: Kind) -> Result<Option<Exit>, C::Error> {
        let prompt = match kind {
            Kind::Plain => Prompt {
                text: "echoctl> ",
                specs: command::PLAIN,
            },
            Kind::Tls | Kind::Https => Prompt {
                text: "echoctl_tls> ",
                specs: command::TLS,
            },
        };
        loop {
            match self.read_line(prompt.text, prompt.specs).await? {
                Line::Typed => {}
                Line::Nothing => continue,
                Line::End => return Ok(None),
                Line::Closed => return Ok(Some(Exit::End)),
                Line::Http => return Ok(Some(Exit::Http)),
            }
            let line = self.line();
            match command::parse(prompt.specs, &line) {
                Err(command::Wrong::Empty) => return Ok(None),
                Err(wrong) => {
                    self.explain(wrong, prompt.specs, ", or an empty line to go back")
                        .await?;
                }
                Ok(request) => match request.action {
                    Action::Exit => return Ok(None),
                    Action::Help => self.help(prompt.specs, &request).await?,
                    Action::ServerStart => self.server_start(kind, &prompt, &request).await?,
                    Action::ServerStop => self.server_stop(kind, &prompt, &request).await?,
                    Action::Reverse => self.reverse(kind, &prompt, &request).await?,
                    Action::ReverseStop => self.reverse_stop(kind, &prompt, &request).await?,
                    Action::ClientConnect => self.client_connect(kind, &prompt, &request).await?,
                    Action::ClientSend => self.client_send(kind, &request).await?,
                    Action::Trace => self.trace(&prompt, &request).await?,
                    Action::TraceShow => self.trace_show(&prompt, &request).await?,
                    Action::ClientClose => {
                        let closed = self.host.client_close(kind).await;
                        self.outcome(closed).await?;
                    }
                    // These are not in the tables of these prompts.
                    _ => {}
                },
            }
        }
    }

    async fn server_start(&mut self, kind: Kind, prompt: &Prompt, request: &Request<'_>) -> Result<(), C::Error> {
        let Some(port) = self.port(prompt.specs, request, 0).await? else {
            return Ok(());
        };
        // The guide's words for TLS; BitVisor's own for plain, which have no blank before the number.
        match kind {
            Kind::Tls | Kind::Https => {
                self.print(format_args!("Starting TLS server (Port: {port})...\n"))
                    .await?;
            }
            Kind::Plain => self.print(format_args!("Starting server (Port:{port})...\n")).await?,
        }
        let started = self.host.server_start(kind, port, request.argument(1));
        self.outcome(started).await?;
        self.list_interfaces(request.argument(1)).await
    }

    async fn server_stop(&mut self, kind: Kind, prompt: &Prompt, request: &Request<'_>) -> Result<(), C::Error> {
        if request.argument(0).is_some() {
            let Some(port) = self.port(prompt.specs, request, 0).await? else {
                return Ok(());
            };
            return self.stop(kind, port).await;
        }
        if self.host.server_port(kind, 0).is_none() && self.host.server_reverses(kind) == 0 {
            return self.print(format_args!("No {} is running.\n", server(kind))).await;
        }
        // Stopping one moves the others up. Another session may start some meanwhile: not without end.
        for _ in 0..crate::serve::LISTENERS {
            let Some(port) = self.host.server_port(kind, 0) else {
                break;
            };
            self.stop(kind, port).await?;
        }
        match self.host.server_reverses(kind) {
            0 => Ok(()),
            count => self.stop_dialling(kind, count).await,
        }
    }

    async fn reverse(&mut self, kind: Kind, prompt: &Prompt, request: &Request<'_>) -> Result<(), C::Error> {
        let Some((host, mut netif)) = self.host_argument(prompt.specs, request).await? else {
            return Ok(());
        };
        let Some(port) = self.port(prompt.specs, request, 1).await? else {
            return Ok(());
        };
        let (mut every, mut role, mut direct) = (None, None, None);
        let mut rest = (2..).map_while(|n| request.argument(n));
        while let Some(word) = rest.next() {
            let set_twice = match word {
                "every" => {
                    let text = rest.next().unwrap_or("");
                    let Some(seconds) = command::seconds(text) else {
                        self.print(format_args!("'{text}' is not a number of seconds (1 to 86400).\n"))
                            .await?;
                        return self.usage(prompt.specs, request.spec.words).await;
                    };
                    every.replace(seconds).is_some()
                }
                "role" if kind == Kind::Tls => {
                    let text = rest.next().unwrap_or("");
                    let mut chosen = Role::default();
                    if !chosen.choose(text) {
                        self.print(format_args!("'{text}' is not a TLS role (either, server or client).\n"))
                            .await?;
                        return self.usage(prompt.specs, request.spec.words).await;
                    }
                    role.replace(chosen).is_some()
                }
                DIRECT => direct.replace(()).is_some(),
                word if word.starts_with(PROXY) => return self.unknown_proxy_word(word, prompt.specs, request).await,
                name => netif.replace(name).is_some(),
            };
            if set_twice {
                return self.usage(prompt.specs, request.spec.words).await;
            }
        }
        let every = every.unwrap_or(reverse::DEFAULT_INTERVAL);
        self.print(format_args!(
            "Starting {} (dialling {}",
            server(kind),
            Shown(host, port)
        ))
        .await?;
        let through = match self.host.proxy() {
            Some(proxy) if direct.is_none() => Some(proxy),
            _ => None,
        };
        if let Some(proxy) = through {
            self.print(format_args!(" through the proxy {proxy}")).await?;
        }
        self.print(format_args!(", every {} s)...\n", every.as_secs())).await?;
        let target = reverse::ReverseOptions {
            host,
            port,
            netif,
            every,
            role: role.unwrap_or_default(),
            direct: direct.is_some(),
        };
        let started = self.host.server_reverse(kind, target);
        self.outcome(started).await?;
        self.list_interfaces(netif).await
    }

    async fn reverse_stop(&mut self, kind: Kind, prompt: &Prompt, request: &Request<'_>) -> Result<(), C::Error> {
        match (request.argument(0), request.argument(1)) {
            (None, _) => match self.host.server_reverses(kind) {
                0 => {
                    self.print(format_args!("No {} is dialling a host.\n", server(kind)))
                        .await
                }
                count => self.stop_dialling(kind, count).await,
            },
            (Some(_), None) => self.usage(prompt.specs, request.spec.words).await,
            (Some(_), Some(_)) => {
                let Some((host, _)) = self.host_argument(prompt.specs, request).await? else {
                    return Ok(());
                };
                let Some(port) = self.port(prompt.specs, request, 1).await? else {
                    return Ok(());
                };
                self.print(format_args!(
                    "Stopping {} (dialling {})...\n",
                    server(kind),
                    Authority(host, port)
                ))
                .await?;
                let stopped = self.host.server_reverse_stop(kind, Some((host, port))).await;
                self.outcome(stopped).await
            }
        }
    }

    async fn stop_dialling(&mut self, kind: Kind, count: usize) -> Result<(), C::Error> {
        let plural = if count == 1 { "" } else { "s" };
        self.print(format_args!(
            "Stopping {} (dialling {count} host{plural})...\n",
            server(kind)
        ))
        .await?;
        let stopped = self.host.server_reverse_stop(kind, None).await;
        self.outcome(stopped).await
    }

    /// The host among the arguments, which is the first, and the interface that is its zone; prints what is wrong
    /// otherwise.
    pub(super) async fn host_argument<'r>(
        &mut self,
        specs: &'static [Spec],
        request: &Request<'r>,
    ) -> Result<Option<(dial::Host<'r>, Option<&'r str>)>, C::Error> {
        let text = request.argument(0).unwrap_or("");
        // A dot at the end of a name only marks it as complete.
        let name = text.strip_suffix('.').unwrap_or(text);
        let host = match command::address(text) {
            Some((address, zone)) => (dial::Host::Address(address), zone),
            None if dns::is_name(name) => (dial::Host::Name(name), None),
            None => {
                match command::host_and_port(text) {
                    Some((host, port)) => {
                        self.print(format_args!(
                            "'{text}': separate host and port with a space: {host} {port}\n"
                        ))
                        .await?;
                    }
                    None => {
                        self.print(format_args!(
                            "'{text}' is neither an IP address nor the name of a host.\n"
                        ))
                        .await?;
                    }
                }
                self.usage(specs, request.spec.words).await?;
                return Ok(None);
            }
        };
        Ok(Some(host))
    }

    async fn stop(&mut self, kind: Kind, port: u16) -> Result<(), C::Error> {
        self.print(format_args!("Stopping {} (Port: {port})...\n", server(kind)))
            .await?;
        let stopped = self.host.server_stop(kind, port).await;
        self.outcome(stopped).await
    }

    async fn client_connect(&mut self, kind: Kind, prompt: &Prompt, request: &Request<'_>) -> Result<(), C::Error> {
        let Some((host, zone)) = self.host_argument(prompt.specs, request).await? else {
            return Ok(());
        };
        let Some(port) = self.port(prompt.specs, request, 1).await? else {
            return Ok(());
        };
        let Some(Routing { netif, name, direct }) = self.route_arguments(kind, prompt.specs, request, zone).await?
        else {
            return Ok(());
        };
        let through = self.host.proxy().filter(|_| !direct);
        self.print(format_args!("Connecting to {} at {}", server(kind), Shown(host, port)))
            .await?;
        let blank = if netif.is_some() { " " } else { "" };
        self.print(format_args!("{blank}{}\n", netif.unwrap_or(""))).await?;
        if let Some(proxy) = through {
            self.print(format_args!("Through the proxy {proxy}\n")).await?;
        }
        let target = ConnectOptions {
            host,
            port,
            name: name.or(host.name()).filter(|_| kind == Kind::Tls),
            netif,
            direct,
        };
        let shell = self.host;
        let Some(connected) = self.interruptible(shell.client_connect(kind, target)).await? else {
            // The client would go on without the session. An attempt that has not begun need not be closed.
            let _ = shell.client_close(kind).await;
            return Ok(());
        };
        match connected {
            Ok(Some(session)) => self.print(format_args!("Done.\n{session}\n")).await,
            other => {
                self.outcome(other.map(drop)).await?;
                self.list_interfaces(netif).await
            }
        }
    }

    /// Prints that only `proxy=off` is allowed.
    async fn unknown_proxy_word(
        &mut self,
        argument: &str,
        specs: &'static [Spec],
        request: &Request<'_>,
    ) -> Result<(), C::Error> {
        self.print(format_args!(
            "'{argument}': only '{DIRECT}' is allowed; without it, a configured proxy is used.\n"
        ))
        .await?;
        self.usage(specs, request.spec.words).await
    }

    /// The arguments after host and port, in any order: an interface (unless the address has a `zone`), `name=N`, and
    /// `proxy=off`. Prints what is wrong with them.
    pub(super) async fn route_arguments<'r>(
        &mut self,
        kind: Kind,
        specs: &'static [Spec],
        request: &Request<'r>,
        zone: Option<&'r str>,
    ) -> Result<Option<Routing<'r>>, C::Error> {
        let (mut netif, mut name, mut direct) = (zone, None, None);
        for argument in (2..).map_while(|n| request.argument(n)) {
            let place = if argument.starts_with(NAME) {
                &mut name
            } else if argument == DIRECT {
                &mut direct
            } else if argument.contains('=') && !argument.starts_with(PROXY) {
                // No interface has such a name.
                self.print(format_args!("'{argument}' is neither name=N nor proxy=off.\n"))
                    .await?;
                self.usage(specs, request.spec.words).await?;
                return Ok(None);
            } else if argument.starts_with(PROXY) {
                self.unknown_proxy_word(argument, specs, request).await?;
                return Ok(None);
            } else {
                &mut netif
            };
            if place.replace(argument).is_some() {
                self.usage(specs, request.spec.words).await?;
                return Ok(None);
            }
        }
        let name = name.and_then(|name| name.strip_prefix(NAME));
        if let Some(name) = name
            && (kind == Kind::Plain || !(dns::is_name(name) || name.parse::<IpAddr>().is_ok()))
        {
            let why = match kind {
                Kind::Plain => "names are verified only over TLS",
                Kind::Tls | Kind::Https => "not a host name or IP address",
            };
            self.print(format_args!("'{NAME}{name}': {why}.\n")).await?;
            self.usage(specs, request.spec.words).await?;
            return Ok(None);
        }
        let direct = direct.is_some();
        Ok(Some(Routing { netif, name, direct }))
    }

    async fn client_send(&mut self, kind: Kind, request: &Request<'_>) -> Result<(), C::Error> {
        let mut text = heapless::String::<{ super::line::LINE + 1 }>::new();
        // A line and its end fit.
        let _ = match (request.text(), kind) {
            ("", Kind::Plain) => text.push_str(HELLO),
            ("", Kind::Tls | Kind::Https) => text.push_str(HELLO_TLS),
            (typed, _) => text.push_str(typed).and_then(|()| text.push('\n')),
        };
        self.print(format_args!("Sending a message...\n")).await?;
        self.console.flush().await?;
        let sent = self.host.client_send(kind, text.as_bytes()).await;
        self.outcome(sent).await
    }

    /// The port among the arguments; prints what is wrong otherwise.
    pub(super) async fn port(
        &mut self,
        specs: &'static [Spec],
        request: &Request<'_>,
        n: usize,
    ) -> Result<Option<u16>, C::Error> {
        let text = request.argument(n).unwrap_or("");
        let port = command::port(text);
        if port.is_none() {
            self.print(format_args!("'{text}' is not a port (1 to 65535).\n"))
                .await?;
            self.usage(specs, request.spec.words).await?;
        }
        Ok(port)
    }

    /// `Done.`, or why not.
    pub(super) async fn outcome<E: fmt::Display>(&mut self, result: Result<(), E>) -> Result<(), C::Error> {
        match result {
            Ok(()) => self.print(format_args!("Done.\n")).await,
            Err(why) => self.print(format_args!("Failed: {why}.\n")).await,
        }
    }
}

fn server(kind: Kind) -> &'static str {
    match kind {
        Kind::Tls | Kind::Https => "TLS server",
        Kind::Plain => "server",
    }
}
