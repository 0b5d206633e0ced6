//! Sessions on telnet, where the newest wins, and on the serial line.

use core::fmt;

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer, with_timeout};
use embedded_io_async::{Read, Write};

use super::console::{Serial, write_text};
use super::telnet::Telnet;
use super::{Exit, Host, Origin, Power, run};
use crate::log::Limiter;
use crate::log::{Level, SECURITY};
use crate::net::{Listener, Transport};

/// How long a goodbye may take. One session's goodbye keeps the next one waiting.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// How long the serial console rests after an error, so that a line that only fails does not take the CPU.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Sessions on telnet that are logged at once, and how often one is after that: any peer can open them.
const LOGGED: (u32, Duration) = (20, Duration::from_secs(60));

/// Serves telnet for ever: one session at a time, and each new client takes over, as in BitVisor.
pub async fn telnet_server<L: Listener, H: Host>(listener: &L, host: &H) -> ! {
    let mut waiting = None;
    let limiter = Limiter::new(LOGGED.0, LOGGED.1);
    let requests = Limiter::new(20, Duration::from_secs(1));
    loop {
        let stream = match waiting.take() {
            Some(stream) => stream,
            None => listener.accept().await,
        };
        let peer = stream.peer();
        stream.mark_established();
        let logged = limiter.log_as(SECURITY, Level::Info, format_args!("{peer}: debug shell opened"));
        let log_end = |why: fmt::Arguments<'_>| {
            if logged {
                ::log::info!(target: SECURITY, "{peer}: debug shell closed{why}");
            }
        };
        let mut telnet = Telnet::new(stream);
        // The session borrows the stream and goes before the stream does. In this order: it prints its prompt before the
        // next one takes over.
        match select(run(&mut telnet, host, Origin::Telnet), listener.accept()).await {
            Either::Second(next) => {
                log_end(format_args!(": taken over by {}", next.peer()));
                waiting = Some(next);
                goodbye(telnet, Some("\nanother session has taken over\n"))
                    .await
                    .shutdown();
            }
            Either::First(Ok(exit)) => {
                match exit {
                    Exit::Http => requests.log(Level::Warn, format_args!("{peer}: debug shell closed: {HTTP}")),
                    _ => log_end(format_args!("")),
                }
                let mut stream = goodbye(telnet, None).await;
                stream.shutdown();
                if let Exit::Power(power) = exit {
                    // The network goes down with the machine.
                    let _ = with_timeout(CLOSE_TIMEOUT, stream.drained()).await;
                    carry_out(host, power);
                }
            }
            Either::First(Err(error)) => {
                log_end(format_args!(": {error}"));
            }
        }
    }
}

/// Serves the serial line for ever. `exit` ends a session and begins the next.
pub async fn serial<S: Read + Write, H: Host>(line: S, host: &H) -> ! {
    let mut console = Serial(line);
    loop {
        match run(&mut console, host, Origin::Serial).await {
            Ok(Exit::Power(power)) => carry_out(host, power),
            Ok(Exit::Exit | Exit::Http) => {}
            Ok(Exit::End) | Err(_) => Timer::after(RETRY_PAUSE).await,
        }
    }
}

/// Why a session ends with [`Exit::Http`].
pub(super) const HTTP: &str = "HTTP request instead of a command";

pub(super) fn carry_out<H: Host>(host: &H, power: Power) {
    host.power(power);
    ::log::error!("{power} failed: the machine keeps running");
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Power::Reboot => "reboot",
            Power::Off => "poweroff",
        })
    }
}

/// Last words, as far as the peer takes them. What is left is to shut the stream.
pub(super) async fn goodbye<S: Read + Write>(mut telnet: Telnet<S>, words: Option<&str>) -> S {
    let _ = with_timeout(CLOSE_TIMEOUT, async {
        if let Some(words) = words {
            write_text(&mut telnet, words).await?;
        }
        telnet.flush().await
    })
    .await;
    telnet.into_inner()
}
