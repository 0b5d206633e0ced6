//! The command line: commands, options and their checks.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::database::REASONS;
use crate::key::KINDS;
use crate::{Result, Stop};

pub(crate) const USAGE: &str = include_str!("usage.txt");

/// A command: its name, the name of its argument after DIR, its options.
pub(crate) struct Command(pub(crate) &'static str, &'static str, &'static [&'static str]);

const COMMANDS: [Command; 11] = [
    Command("init", "", &["--key", "--days", "--name"]),
    Command("server", "NAME", &["--key", "--days", "--san"]),
    Command("client", "NAME", &["--key", "--days", "--san"]),
    Command("peer", "NAME", &["--key", "--days", "--san"]),
    Command("sign", "NAME FILE", &["--usage", "--days", "--san", "--yes"]),
    Command("rotate", "NAME", &["--key", "--days", "--san"]),
    Command("renew", "NAME", &["--days", "--san"]),
    Command("revoke", "NAME|SERIAL", &["--crl-days"]),
    Command("crl", "", &["--crl-days"]),
    Command("list", "", &[]),
    Command(
        "defconfig",
        "SERVER",
        &[
            "--client",
            "--client-auth",
            "--verify",
            "--roots",
            "--telnet",
            "--dhcp",
            "--out",
        ],
    ),
];

/// The task given by the arguments.
pub(crate) enum Task {
    Help,
    Ask,
    Run(Request),
}

/// A command with its arguments, all of which have passed their checks.
pub(crate) struct Request {
    pub(crate) command: &'static str,
    /// DIR, without slashes at its end.
    pub(crate) directory: String,
    /// NAME, SERVER or SERIAL; empty for commands without.
    pub(crate) name: String,
    pub(crate) reason: String,
    /// FILE; empty for commands without.
    pub(crate) file: String,
    pub(crate) options: BTreeMap<&'static str, String>,
}

impl Request {
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }

    /// A number of days: that of the option, or the default.
    pub(crate) fn days(&self, name: &str, default: u64) -> u64 {
        self.option(name).and_then(|days| days.parse().ok()).unwrap_or(default)
    }
}

/// A check returns the fault.
pub(crate) type Check = std::result::Result<(), String>;

fn misused<T>(why: impl Into<String>) -> Result<T> {
    Err(Stop::Misused(why.into()))
}

pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Task> {
    let mut arguments: std::collections::VecDeque<String> = match arguments.map(OsString::into_string).collect() {
        Ok(arguments) => arguments,
        Err(argument) => return misused(format!("{argument:?} is not UTF-8")),
    };
    let mut ask = false;
    if arguments.is_empty() {
        if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
            return misused(
                "no command given, and standard input is not a terminal; use --ask to read answers from standard input",
            );
        }
        ask = true;
    }
    let (mut words, mut options) = (Vec::new(), BTreeMap::new());
    while let Some(argument) = arguments.pop_front() {
        if !argument.starts_with('-') {
            words.push(argument);
            continue;
        }
        let (option, mut value) = match argument.split_once('=') {
            Some((option, value)) if option.len() > 2 && option.starts_with("--") => (option, Some(value.to_owned())),
            _ => (&*argument, None),
        };
        let known = COMMANDS
            .iter()
            .flat_map(|command| command.2)
            .find(|known| **known == option);
        let is_flag = matches!(option, "-h" | "--help" | "--ask" | "--telnet" | "--dhcp" | "--yes");
        if is_flag && value.is_some() {
            return misused(format!("{option} takes no value"));
        }
        match (option, known) {
            ("-h" | "--help", _) => return Ok(Task::Help),
            ("--ask", _) => ask = true,
            (_, Some(known)) => {
                if !is_flag {
                    value = value.or_else(|| arguments.pop_front());
                    let Some(value) = &value else {
                        return misused(format!("{option} takes a value"));
                    };
                    check_option(option, value).map_err(|wrong| Stop::Misused(format!("{option}: {wrong}")))?;
                }
                options.insert(*known, value.unwrap_or_default());
            }
            _ => return misused(format!("unknown option {}", quote(option))),
        }
    }
    if ask {
        return match words.is_empty() && options.is_empty() {
            true => Ok(Task::Ask),
            false => misused("--ask takes no other arguments"),
        };
    }
    request(words, options).map(Task::Run)
}

fn request(words: Vec<String>, options: BTreeMap<&'static str, String>) -> Result<Request> {
    let mut words = words.into_iter();
    let Some(word) = words.next() else {
        return misused("no command given");
    };
    let Some(Command(command, follows, takes)) = COMMANDS.iter().find(|command| command.0 == word) else {
        return misused(format!("unknown command {}", quote(&word)));
    };
    if let Some(option) = options.keys().find(|option| !takes.contains(option)) {
        return misused(format!("{command} does not take {option}"));
    }
    let usage = format!("pki/wizard {command} DIR {follows}");
    let Some(directory) = words.next() else {
        return misused(format!("{command} takes a directory: {}", usage.trim_end()));
    };
    is_path(&directory).map_err(Stop::Misused)?;
    let root = directory.get(..1).unwrap_or_default();
    let directory = match directory.trim_end_matches('/') {
        "" => root.to_owned(),
        directory => directory.to_owned(),
    };
    let (mut name, mut reason) = (String::new(), "unspecified".to_owned());
    if !follows.is_empty() {
        let Some(word) = words.next() else {
            return misused(format!("{command} takes a name: {usage}"));
        };
        if !(*command == "revoke" && is_serial(&word)) {
            is_name(&word).map_err(Stop::Misused)?;
        }
        name = word;
    }
    if *command == "revoke" {
        reason = words.next().unwrap_or(reason);
        is_reason(&reason).map_err(Stop::Misused)?;
    }
    let mut file = String::new();
    if *command == "sign" {
        let Some(word) = words.next() else {
            return misused(format!("{command} takes a file: {usage}"));
        };
        is_path(&word).map_err(Stop::Misused)?;
        file = word;
    }
    match words.next() {
        Some(word) => misused(format!("{command} does not take {}", quote(&word))),
        None => Ok(Request {
            command,
            directory,
            name,
            reason,
            file,
            options,
        }),
    }
}

fn check_option(option: &str, value: &str) -> Check {
    match option {
        "--key" => is_key(value),
        "--days" | "--crl-days" => is_days(value),
        "--name" => is_subject(value),
        "--san" => is_san(value),
        "--client" => is_name(value),
        "--usage" => is_usage(value),
        "--client-auth" => is_client_auth(value),
        "--verify" => is_verify(value),
        _ => is_path(value),
    }
}

fn require(good: bool, wrong: impl FnOnce() -> String) -> Check {
    if good { Ok(()) } else { Err(wrong()) }
}

pub(crate) fn is_key(kind: &str) -> Check {
    require(KINDS.contains(&kind), || {
        format!("the key type must be one of {}, not {}", KINDS.join(", "), quote(kind))
    })
}

fn is_days(days: &str) -> Check {
    let good = (1..=4).contains(&days.len()) && days.bytes().all(|byte| byte.is_ascii_digit());
    require(good && days.bytes().any(|byte| byte != b'0'), || {
        format!("the number of days must be 1 to 9999, not {}", quote(days))
    })
}

/// The name of a certificate: of its files, its common name, and often of a host.
pub(crate) fn is_name(name: &str) -> Check {
    let good = (1..=60).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    require(good, || {
        let name = quote(name);
        format!(
            "a name must be 1 to 60 letters, digits, dots, hyphens and underscores, starting with a letter or digit, not {name}"
        )
    })?;
    require(!["ca", "crl", "old"].contains(&name), || {
        format!("the name '{name}' is reserved for a file of the CA; choose another")
    })?;
    require(!is_serial(name), || {
        format!("'{name}' looks like a serial number; choose another name")
    })
}

pub(crate) fn is_serial(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether it is valid as a DNS name in subjectAltName.
pub(crate) fn is_dns(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    postern_config::is_name(name) && !name.contains('_')
}

pub(crate) fn is_san(list: &str) -> Check {
    let form = || {
        let list = quote(list);
        format!("the list must look like DNS:echo.example,IP:192.0.2.7, without empty entries or blanks, not {list}")
    };
    require(!list.contains('\n'), form)?;
    list.split(',').try_for_each(|entry| match entry.split_once(':') {
        Some(("DNS", name)) => require(is_dns(name), || format!("{name} is not a valid host name for DNS:")),
        Some(("IP", address)) => {
            let good = address.parse::<Ipv4Addr>().is_ok() || address.parse::<Ipv6Addr>().is_ok();
            require(good, || format!("{address} is not an IPv4 or IPv6 address"))
        }
        _ => Err(form()),
    })
}

/// The name of a CA: attributes separated by commas.
pub(crate) fn is_subject(name: &str) -> Check {
    let form = || {
        let name = quote(name);
        format!(
            "the name of a CA must look like 'CN=my session,O=Example', with C, ST, L, O, OU and CN, each at most twice, without / + \\ or \", not {name}"
        )
    };
    require(
        !name.contains(|c: char| c.is_ascii_control() || "/+\\\"".contains(c)),
        form,
    )?;
    let parts = || attributes(name).map(|(kind, _)| kind);
    attributes(name).try_for_each(|(kind, value)| {
        let good = ["C", "ST", "L", "O", "OU", "CN"].contains(&kind)
            && !value.is_empty()
            && !value.starts_with(' ')
            && !value.contains('=');
        require(good && parts().filter(|other| *other == kind).count() <= 2, form)?;
        let length = match kind {
            "C" => value.len() == 2 && value.bytes().all(|byte| byte.is_ascii_uppercase()),
            _ => value.len() <= 64,
        };
        require(length, || {
            format!("{kind}={value} is too long (at most 64 bytes; C has exactly two letters)")
        })
    })
}

/// The attributes of a CA's name: type and value.
pub(crate) fn attributes(name: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = name.split(',').map(|part| part.strip_prefix(' ').unwrap_or(part));
    parts.map(|part| part.split_once('=').unwrap_or((part, "")))
}

pub(crate) fn is_client_auth(word: &str) -> Check {
    require(["off", "optional", "required"].contains(&word), || {
        format!(
            "client authentication must be off, optional or required, not {}",
            quote(word)
        )
    })
}

pub(crate) fn is_usage(word: &str) -> Check {
    require(["server", "client", "peer"].contains(&word), || {
        format!("the purpose must be server, client or peer, not {}", quote(word))
    })
}

fn is_verify(word: &str) -> Check {
    require(["strict", "pinned", "pki"].contains(&word), || {
        format!("the mode must be strict, pinned or pki, not {}", quote(word))
    })
}

fn is_reason(reason: &str) -> Check {
    require(REASONS.contains(&reason), || {
        format!(
            "the reason must be one of {}, not {}",
            REASONS.join(", "),
            quote(reason)
        )
    })
}

pub(crate) fn is_path(path: &str) -> Check {
    require(
        !path.is_empty() && !path.contains(|c: char| c.is_ascii_control()),
        || "the name of a directory or file must not be empty or contain line ends".into(),
    )
}

/// A word quoted for bash.
pub(crate) fn quote(word: &str) -> String {
    if !word.contains(|c: char| c.is_control()) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    format!("$'{}'", word.escape_default())
}

/// A word as typed in a shell: quoted if necessary.
pub(crate) fn typed(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:=,@%+-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        quote(word)
    }
}
