//! Interactive mode: questions, and the commands built from the answers.

use std::io::Write as _;
use std::path::Path;

use crate::arguments::{self, Check, Task, quote};
use crate::commands::{self, parent_of};
use crate::key::KINDS;
use crate::{Result, fail, say};

pub(crate) fn ask() -> Result<()> {
    say!("creates a CA, a server, a client and the defconfig. Press Return to accept the value in brackets");
    let dir = question("Directory", "session-pki", is_new_directory)?;
    let kind = question(&format!("Key type ({})", KINDS.join(", ")), "p256", arguments::is_key)?;
    let name = question(
        "Name of the CA, like \"CN=my session,O=Example\"",
        "default",
        |answer| unless(answer == "default", || arguments::is_subject(answer)),
    )?;
    let server = question("Name of the server", "server", arguments::is_name)?;
    let text = "Its names and addresses, like DNS:echo.example,IP:192.0.2.7; the default includes localhost";
    let san = question(text, "default", |answer| {
        unless(answer == "default", || arguments::is_san(answer))
    })?;
    let client = question("Name of a client, or none", "client", |answer| match answer == server {
        true => Err(format!("'{answer}' is the server's name; choose another")),
        false => unless(answer == "none", || arguments::is_name(answer)),
    })?;
    let default = if client == "none" { "off" } else { "required" };
    let auth = question(
        "Client authentication (off, optional, required)",
        default,
        arguments::is_client_auth,
    )?;
    let telnet = question(
        "Debug shell on telnet too, without a password (yes, no)",
        "no",
        |answer| {
            unless(["yes", "no"].contains(&answer), || {
                Err(format!("the answer must be yes or no, not {}", quote(answer)))
            })
        },
    )?;

    let given = |option: &str, answer: &str| match answer {
        "default" => Vec::new(),
        _ => vec![option.to_owned(), answer.to_owned()],
    };
    let word = str::to_owned;
    run([
        vec![word("init"), dir.clone(), word("--key"), kind],
        given("--name", &name),
    ]
    .concat())?;
    run([vec![word("server"), dir.clone(), server.clone()], given("--san", &san)].concat())?;
    if client != "none" {
        run(vec![word("client"), dir.clone(), client])?;
    }
    let out = format!("{dir}/defconfig");
    let telnet = if telnet == "yes" {
        vec![word("--telnet")]
    } else {
        Vec::new()
    };
    run([
        vec![
            word("defconfig"),
            dir,
            server,
            word("--client-auth"),
            auth,
            word("--out"),
            out,
        ],
        telnet,
    ]
    .concat())
}

fn run(words: Vec<String>) -> Result<()> {
    match arguments::parse(words.into_iter().map(Into::into))? {
        Task::Run(request) => commands::run(&request),
        Task::Help | Task::Ask => Ok(()),
    }
}

fn unless(good: bool, check: impl FnOnce() -> Check) -> Check {
    if good { Ok(()) } else { check() }
}

/// Asks until the answer passes the check. An empty answer selects the default.
pub(crate) fn question(text: &str, default: &str, check: impl Fn(&str) -> Check) -> Result<String> {
    loop {
        let mut err = std::io::stderr();
        let _ = write!(err, "{text} [{default}]: ");
        let mut line = String::new();
        if !std::io::stdin().read_line(&mut line).is_ok_and(|length| length > 0) {
            let _ = writeln!(err);
            fail!("input ended at the question '{text}'; nothing was created");
        }
        let answer = match line.trim_end_matches(['\r', '\n']) {
            "" => default,
            answer => answer,
        };
        match check(answer) {
            Ok(()) => return Ok(answer.to_owned()),
            Err(wrong) => say!("{wrong}"),
        }
    }
}

fn is_new_directory(answer: &str) -> Check {
    arguments::is_path(answer)?;
    let parent = parent_of(answer);
    match Path::new(answer).exists() {
        true => Err(format!("'{answer}' already exists; choose another")),
        false if !Path::new(parent).is_dir() => Err(format!(
            "its parent directory '{parent}' does not exist; create it first or choose another"
        )),
        false => Ok(()),
    }
}
