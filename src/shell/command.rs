//! The commands: their words, usage lines, completion, and arguments.

use core::fmt;
use core::net::IpAddr;

use embassy_time::Duration;

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Help,
    Status,
    Counters,
    Log,
    Ip,
    Date,
    Version,
    EnterPlain,
    EnterTls,
    Reboot,
    PowerOff,
    SelfTest,
    Tls,
    TlsReload,
    TlsCsr,
    Exit,
    ClientConnect,
    ClientSend,
    ClientClose,
    ServerStart,
    ServerStop,
    Reverse,
    ReverseStop,
    Trace,
    TraceShow,
}

/// A command as it is typed and explained.
pub(super) struct Spec {
    /// Its words, one blank between.
    pub(super) words: &'static str,
    /// A word that means the same, and is not listed.
    alias: &'static str,
    /// Its arguments, as the usage line shows them.
    arguments: &'static str,
    /// Words that may be completed as the first argument.
    choices: &'static [&'static str],
    help: &'static str,
    pub(super) action: Action,
    /// Fewest and most arguments. The last takes the rest of the line where there is no limit.
    takes: (usize, usize),
}

const fn spec(words: &'static str, action: Action, help: &'static str) -> Spec {
    Spec {
        words,
        alias: "",
        arguments: "",
        choices: &[],
        help,
        action,
        takes: (0, 0),
    }
}

impl Spec {
    const fn with(mut self, arguments: &'static str, fewest: usize, most: usize) -> Spec {
        self.arguments = arguments;
        self.takes = (fewest, most);
        self
    }

    const fn or(mut self, alias: &'static str) -> Spec {
        self.alias = alias;
        self
    }

    /// Whether its first word is that, or the one that means the same.
    fn begins_with(&self, word: &str) -> bool {
        !word.is_empty() && (self.words.split(' ').next() == Some(word) || self.alias == word)
    }

    fn usage_len(&self) -> usize {
        self.words.len() + usize::from(!self.arguments.is_empty()) + self.arguments.len()
    }
}

/// The commands at `> `.
pub(super) const TOP: &[Spec] = &[
    HELP,
    spec(
        "status",
        Action::Status,
        "Show uptime, memory, addresses, ports, connections.",
    ),
    spec("counters", Action::Counters, "Show counters since boot."),
    Spec {
        choices: &["follow"],
        ..spec("log", Action::Log, "Show the log, its last N lines, or new lines.")
    }
    .with("[N|follow]", 0, 1),
    spec("ip", Action::Ip, "Show interfaces and addresses."),
    spec("date", Action::Date, "Show date and time (UTC)."),
    spec("version", Action::Version, "Show the version."),
    spec(
        "selftest",
        Action::SelfTest,
        "Test TLS: algorithms, certificates, handshakes.",
    ),
    // Before the next, which takes any word.
    spec(
        "tls reload",
        Action::TlsReload,
        "Load new certificates, keys or CRLs (paste).",
    )
    .with("", 0, 0),
    spec("tls reload", Action::TlsReload, "Load them from a host over TLS.").with(
        "<host> <port> [netif] [name=N]",
        2,
        4,
    ),
    Spec {
        choices: &["client"],
        ..spec(
            "tls csr",
            Action::TlsCsr,
            "Print a certificate request for a key made at boot.",
        )
    }
    .with("[client]", 0, 1),
    Spec {
        choices: &["status", "reload"],
        ..spec("tls", Action::Tls, "Show certificates, trust and expiry dates.")
    }
    .with("[status]", 0, 1),
    spec("echoctl", Action::EnterPlain, "Control echo over plain TCP."),
    spec("echoctl_tls", Action::EnterTls, "Control echo over TLS."),
    spec("reboot", Action::Reboot, "Restart the machine."),
    spec("poweroff", Action::PowerOff, "Power off the machine."),
    spec("exit", Action::Exit, "End this session.").or("quit"),
];

const CONNECT: Spec =
    spec("client connect", Action::ClientConnect, "Connect to echo server.").with("<ipaddr> <port> [netif]", 2, 3);
const CONNECT_BY_NAME: Spec =
    spec("client connect", Action::ClientConnect, "Connect and verify this name.").with("<host> <port> [name=N]", 2, 4);
const CONNECT_BY_HOST: Spec =
    spec("client connect", Action::ClientConnect, "Connect by host name.").with("<host> <port> [netif]", 2, 3);
const CONNECT_DIRECT: Spec =
    spec("client connect", Action::ClientConnect, "Connect without the proxy.").with("<host> <port> proxy=off", 2, 5);
const SEND: Spec = spec("client send", Action::ClientSend, "Send a message to client.");
const SEND_TEXT: Spec = spec("client send", Action::ClientSend, "Send this text.").with("<text>", 1, usize::MAX);
const CLOSE: Spec = spec("client close", Action::ClientClose, "Close the client's connection.");
const START: Spec = spec("server start", Action::ServerStart, "Start echo server.").with("<port> [netif]", 1, 2);
const STOP: Spec = spec("server stop", Action::ServerStop, "Stop an echo server, or all.").with("[port]", 0, 1);
// Before the next, which takes any host.
const REVERSE_STOP: Spec = spec(
    "server reverse stop",
    Action::ReverseStop,
    "Stop dialling this host, or all.",
)
.with("[<host> <port>]", 0, 2);
const REVERSE: Spec = Spec {
    choices: &["stop"],
    ..spec("server reverse", Action::Reverse, "Dial a host and serve echo to it.")
}
.with("<ipaddr> <port> [netif] [every SECONDS] [role ROLE]", 2, 7);
const PLAIN_REVERSE: Spec = Spec {
    choices: &["stop"],
    ..spec("server reverse", Action::Reverse, "Dial a host and serve echo to it.")
}
.with("<ipaddr> <port> [netif] [every SECONDS]", 2, 5);
const REVERSE_DIRECT: Spec =
    spec("server reverse", Action::Reverse, "Dial without the proxy.").with("<host> <port> proxy=off", 2, 8);
const TRACE: Spec = Spec {
    choices: &["on", "off"],
    ..spec("trace", Action::Trace, "Trace handshakes, or list the traces.")
}
.with("[on|off]", 0, 1);
const TRACE_SHOW: Spec = spec("trace show", Action::TraceShow, "Show a trace, step by step.").with("<N>", 1, 1);
const HELP: Spec = spec("help", Action::Help, "Show this list, or help on a command.")
    .with("[command]", 0, usize::MAX)
    .or("?");
const LEAVE: Spec = spec("exit", Action::Exit, "Go back (same as an empty line).").or("quit");

/// The commands at `echoctl> `: BitVisor's three in its order, then ours.
pub(super) const PLAIN: &[Spec] = &[
    CONNECT,
    SEND,
    START,
    CONNECT_BY_HOST,
    CONNECT_DIRECT,
    SEND_TEXT,
    CLOSE,
    STOP,
    REVERSE_STOP,
    PLAIN_REVERSE,
    REVERSE_DIRECT,
    HELP,
    LEAVE,
];

/// The commands at `echoctl_tls> `, likewise.
pub(super) const TLS: &[Spec] = &[
    CONNECT,
    SEND,
    START,
    CONNECT_BY_NAME,
    CONNECT_DIRECT,
    SEND_TEXT,
    CLOSE,
    STOP,
    REVERSE_STOP,
    REVERSE,
    REVERSE_DIRECT,
    TRACE,
    TRACE_SHOW,
    HELP,
    LEAVE,
];

/// The help text: for the echo prompts its first lines are BitVisor's, to the letter.
pub(super) struct Help(pub(super) &'static [Spec]);

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("usage:\n")?;
        help_lines(self.0).try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The help text after its heading, a command at a time, without the ends of lines.
pub(super) fn help_lines(specs: &'static [Spec]) -> impl Iterator<Item = impl fmt::Display> {
    let width = usage_width(specs);
    specs.iter().map(move |spec| UsageLine(spec, width))
}

/// One line of the help, and the columns that its table gives to usages.
struct UsageLine<'a>(&'a Spec, usize);

impl fmt::Display for UsageLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UsageLine(
            Spec {
                words, arguments, help, ..
            },
            width,
        ) = self;
        let gap = if arguments.is_empty() { "" } else { " " };
        write!(f, "  {words}{gap}{arguments}")?;
        match width.checked_sub(self.0.usage_len()) {
            Some(pad) => write!(f, "{:pad$}  {help}", ""),
            // Too long for the table: below.
            None => write!(f, "\n  {:width$}  {help}", ""),
        }
    }
}

/// The longest usage that has its explanation beside it.
const WIDEST: usize = 38;

/// Columns that usages take: 38 at the echo prompts, as BitVisor has it.
fn usage_width(specs: &[Spec]) -> usize {
    let lengths = specs.iter().map(Spec::usage_len);
    lengths.filter(|length| *length <= WIDEST).max().unwrap_or(0)
}

/// A line taken apart.
pub(super) struct Request<'a> {
    pub(super) action: Action,
    pub(super) spec: &'static Spec,
    /// The arguments as typed, without the blanks around them.
    rest: &'a str,
}

impl<'a> Request<'a> {
    /// The n-th argument.
    pub(super) fn argument(&self, n: usize) -> Option<&'a str> {
        self.rest.split_whitespace().nth(n)
    }

    /// All arguments as typed.
    pub(super) fn text(&self) -> &'a str {
        self.rest
    }
}

/// Why a line is no request.
pub(super) enum Wrong<'a> {
    /// Nothing was typed.
    Empty,
    /// The first word is none of ours.
    Unknown(&'a str),
    /// The word is, but not so: the specs that begin with it say how.
    Usage(&'a str),
}

/// Finds the request in a line.
pub(super) fn parse<'a>(specs: &'static [Spec], line: &'a str) -> Result<Request<'a>, Wrong<'a>> {
    let line = line.trim();
    let first = line.split_whitespace().next().ok_or(Wrong::Empty)?;
    let mut known = false;
    for spec in specs {
        known |= spec.begins_with(first);
        let rest = after_words(line, spec.words);
        let rest = rest.or_else(|| after_words(line, spec.alias).filter(|_| !spec.alias.is_empty()));
        let Some(rest) = rest else {
            continue;
        };
        if (spec.takes.0..=spec.takes.1).contains(&rest.split_whitespace().count()) {
            return Ok(Request {
                action: spec.action,
                spec,
                rest,
            });
        }
    }
    Err(if known {
        Wrong::Usage(line)
    } else {
        Wrong::Unknown(first)
    })
}

/// Whether a command begins with that word.
pub(super) fn is_known(specs: &[Spec], word: &str) -> bool {
    specs.iter().any(|spec| spec.begins_with(word))
}

/// The first word of a line that is written `host:port`, if there is one.
pub(super) fn host_and_port(line: &str) -> Option<(&str, &str)> {
    line.split_whitespace().find_map(|word| {
        let (host, number) = word.rsplit_once(':')?;
        let is_host = address(host).is_some() || crate::net::dns::is_name(host);
        (is_host && port(number).is_some()).then_some((host, number))
    })
}

/// The usage of all commands that `line` may have meant: those whose words it begins with, else those with its first.
pub(super) struct Usage<'a> {
    pub(super) specs: &'static [Spec],
    pub(super) line: &'a str,
}

impl fmt::Display for Usage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("usage:\n")?;
        let exact = |spec: &Spec| after_words(self.line, spec.words).is_some();
        let word = self.line.split_whitespace().next().unwrap_or("");
        let first = |spec: &Spec| spec.begins_with(word);
        let any_exact = self.specs.iter().any(exact);
        let meant = self
            .specs
            .iter()
            .filter(|spec| if any_exact { exact(spec) } else { first(spec) });
        meant
            .into_iter()
            .try_for_each(|spec| writeln!(f, "{}", UsageLine(spec, usage_width(self.specs))))
    }
}

/// The rest of `line` after `words`, if it begins with them.
fn after_words<'a>(line: &'a str, words: &str) -> Option<&'a str> {
    words.split(' ').try_fold(line.trim(), |line, word| {
        let rest = line.strip_prefix(word)?;
        let ended = rest.is_empty() || rest.starts_with(char::is_whitespace);
        ended.then(|| rest.trim_start())
    })
}

/// Offers the words that may stand where the last word of `before` stands.
pub(super) fn complete(specs: &'static [Spec], before: &str, offer: &mut dyn FnMut(&'static str)) {
    let typed = before.rsplit(' ').next().unwrap_or("");
    let done = before.get(..before.len() - typed.len()).unwrap_or("");
    let depth = done.split_whitespace().count();
    // Specs with a first word in common stand apart in the lists: offer each word once.
    let mut offered = heapless::Vec::<&'static str, 16>::new();
    for spec in specs {
        let words = spec.words.split(' ');
        let next = if words.clone().take(depth).eq(done.split_whitespace()) {
            words.clone().nth(depth)
        } else {
            None
        };
        let choices = match after_words(done, spec.words) {
            Some("") if depth == words.count() => spec.choices,
            _ => &[],
        };
        for word in next.into_iter().chain(choices.iter().copied()) {
            if word.starts_with(typed) && !offered.contains(&word) {
                let _ = offered.push(word);
                offer(word);
            }
        }
    }
}

/// A port: 1 to 65535, decimal or hexadecimal with `0x`.
pub(super) fn port(text: &str) -> Option<u16> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    number.filter(|port| *port != 0 && !text.contains('+'))
}

/// A number of seconds: 1 to 86400.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let number = text.parse::<u32>().ok().filter(|_| !text.contains('+'))?;
    (1..=86_400)
        .contains(&number)
        .then(|| Duration::from_secs(number.into()))
}

/// An address, and its zone, which is the name of an interface (RFC 4007 §11). IPv6 may have brackets around it.
pub(super) fn address(text: &str) -> Option<(IpAddr, Option<&str>)> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let (address, zone) = match bare.unwrap_or(text).split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (bare.unwrap_or(text), None),
    };
    match address.parse().ok()? {
        IpAddr::V4(_) if bare.is_some() || zone.is_some() => None,
        _ if zone == Some("") => None,
        address => Some((address, zone)),
    }
}

#[cfg(test)]
mod tests;
