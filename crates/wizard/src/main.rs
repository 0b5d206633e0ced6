//! `pki/wizard`: an internal PKI and the defconfig for the image.
//!
//! The directory has the layout of the shell script that preceded it: `ca.pem`, `ca.key`, `NAME.pem`, `NAME.key`,
//! `crl.pem`, and in `ca/` the database of `openssl ca`, in OpenSSL's format.

#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

mod arguments;
mod ask;
mod certificate;
mod commands;
mod database;
mod defconfig;
mod files;
mod issue;
mod key;
mod pki;
mod sign;
mod signals;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::SystemTime;

use arguments::Task;

/// Why a command stops.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Wrong usage.
    Misused(String),
    /// Any other failure.
    Failed(String),
    /// A signal, before anything was changed.
    Signal(u8),
}

pub(crate) type Result<T> = std::result::Result<T, Stop>;

/// Stops a command with a message.
macro_rules! fail {
    ($($format:tt)+) => { return Err($crate::Stop::Failed(format!($($format)+))) };
}
pub(crate) use fail;

/// Prints a message on standard error.
macro_rules! say {
    ($($format:tt)+) => { $crate::print_message(&format!($($format)+)) };
}
pub(crate) use say;

pub(crate) fn print_message(text: &str) {
    // An error here cannot be reported.
    let _ = writeln!(std::io::stderr(), "pki/wizard: {text}");
}

/// Writes to standard output. A closed pipe is not an error.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            fail!("cannot write to standard output: {error}")
        }
        _ => Ok(()),
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs())
}

fn main() -> ExitCode {
    signals::install();
    let result = arguments::parse(std::env::args_os().skip(1)).and_then(|task| match task {
        Task::Help => print(arguments::USAGE),
        Task::Ask => ask::ask(),
        Task::Run(request) => commands::run(&request),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Misused(why)) => {
            say!("{why}");
            say!("`pki/wizard --help` lists commands and options");
            ExitCode::from(2)
        }
        Err(Stop::Failed(why)) => {
            say!("{why}");
            ExitCode::FAILURE
        }
        Err(Stop::Signal(number)) => {
            say!("stopped; nothing was changed");
            ExitCode::from(128 + number)
        }
    }
}
