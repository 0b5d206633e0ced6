//! The debug shell, on telnet and on the serial console.
//!
//! It follows BitVisor's: the prompt `> `, `echoctl` and `echoctl_tls` with prompts of their own that an empty line
//! leaves, the same usage text and the same words when a server starts. What it reads and drives is a [`Host`]; nothing
//! calls the shell.
//!
//! * [`run`] is one session on one [`Console`].
//! * [`telnet_server`] and [`serial`] serve sessions; [`tls`] serves them to authenticated clients.
//! * [`telnet`] is the protocol; the line editor, the pager and the table of commands have a file each.
#![expect(
    async_fn_in_trait,
    reason = "one executor on one core: no future is sent to another thread"
)]

mod command;
mod console;
mod echoctl;
mod history;
mod keys;
mod line;
mod pager;
mod reload;
mod server;
pub mod telnet;
#[cfg(test)]
mod tests;
pub mod tls;
mod trace;

use core::fmt;

use embassy_futures::select::{Either, select};

pub use console::{Console, Serial, Size, TextBuffer};
pub use reload::PasteBuffer;
pub use server::{serial, telnet_server};

use crate::client::fetch::FetchError;
use crate::client::{self, ClientError, ConnectOptions};
use crate::dial::{self, Proxy};
use crate::endpoint::traces::Traces;
use crate::net::Kind;
use crate::pki::own::Role;
use crate::serve::request_line::RequestLine;
use crate::serve::reverse::{self, ReverseError};
use crate::serve::{StartError, StopError};
use command::{Action, Help, Request, Spec, Usage, Wrong};
use console::{Input, write_text};
use keys::Keys;
use line::{Echo, Editor, Event, Scene};
use pager::{Pager, Piece};

/// The reports of `status`, `counters` and similar commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Uptime, memory, entropy sources, addresses, link, listeners, each connection.
    Status,
    /// The counters since boot.
    Counters,
    /// Interfaces and addresses.
    Ip,
    /// Date and time.
    Date,
    /// Name and version.
    Version,
    /// The certificates and trust of TLS.
    Tls,
    /// A certificate request for the key of that role.
    Request(Role),
}

/// A way to end the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Start again.
    Reboot,
    /// Switch off.
    Off,
}

/// Where a report goes, section by section: it may be longer than any buffer, and the peer may read as slowly as it likes.
pub trait ReportWriter {
    /// Why no more can be written.
    type Error;

    /// Writes what `section` writes: whole lines, of at most 1,024 bytes together.
    ///
    /// # Errors
    /// When the session has ended.
    async fn section(&mut self, section: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> Result<(), Self::Error>;
}

/// The machine, as the shell sees it.
pub trait Host {
    /// Writes a report.
    ///
    /// # Errors
    /// Those of `out`.
    async fn report<W: ReportWriter>(&self, report: Report, out: &mut W) -> Result<(), W::Error>;

    /// The number that the next record of the log will have.
    fn log_end(&self) -> u64;
    /// Writes the oldest record that is still there and whose number is `from` or more, as one line without its end;
    /// gives the number after it, or `None` if there is no such record. Without `secrets` a line of the key log has its
    /// secret left out.
    fn log_record(&self, from: u64, secrets: bool, out: &mut dyn fmt::Write) -> Option<u64>;
    /// Waits until a record numbered `from` exists. Cancel-safe.
    async fn log_grown(&self, from: u64);

    /// Starts an echo server; on success the port is listening.
    fn server_start(&self, kind: Kind, port: u16, netif: Option<&str>) -> Result<(), StartError>;
    /// Stops an echo server; on success the port is closed. Connections go on.
    async fn server_stop(&self, kind: Kind, port: u16) -> Result<(), StopError>;
    /// The n-th listening port of that kind.
    fn server_port(&self, kind: Kind, n: usize) -> Option<u16>;
    /// Dials, and serves the echo there, again and again.
    fn server_reverse(&self, kind: Kind, target: reverse::ReverseOptions<'_>) -> Result<(), ReverseError>;
    /// Dials that host and port no more, or none at all. Connections go on.
    async fn server_reverse_stop(&self, kind: Kind, target: Option<(dial::Host<'_>, u16)>) -> Result<(), ReverseError>;
    /// How many are dialled for that kind of echo.
    fn server_reverses(&self, kind: Kind) -> usize;

    /// The name of the n-th network interface.
    fn interface(&self, n: usize) -> Option<&str>;

    /// The proxy through which is dialled, if there is one.
    fn proxy(&self) -> Option<&Proxy>;
    /// Connects the echo client of that kind, which stays connected when the session ends. Cancel-safe. Gives what was
    /// agreed upon, if that is anything.
    async fn client_connect(
        &self,
        kind: Kind,
        target: ConnectOptions<'_>,
    ) -> Result<Option<client::Negotiated>, ClientError>;
    /// Sends from the echo client of that kind.
    async fn client_send(&self, kind: Kind, text: &[u8]) -> Result<(), ClientError>;
    /// Closes the connection of the echo client of that kind.
    async fn client_close(&self, kind: Kind) -> Result<(), ClientError>;

    /// Writes that piece of the outcome of a self-test, once it is there, and returns where the next begins; `None` after
    /// the last. The first is 0, which also starts the test unless one is under way. Whole lines, at most 1,024 bytes.
    /// Cancel-safe.
    async fn selftest(&self, piece: usize, out: &mut dyn fmt::Write) -> Option<usize>;

    /// Whether a session on telnet may replace the configuration and see secrets: `.vmm.telnet_reload`.
    fn telnet_may_reload(&self) -> bool;

    /// Where TLS connections are narrated.
    fn traces(&self) -> &'static Traces;

    /// The buffer for a pasted configuration; or why there is none.
    fn tls_paste_buffer(&self) -> Result<PasteBuffer<'_>, &'static str>;
    /// Fetches a configuration over TLS from a host that the current one trusts. Cancel-safe.
    async fn tls_fetch(&self, target: ConnectOptions<'_>, paper: &mut PasteBuffer<'_>) -> Result<(), FetchError>;
    /// Puts the `.tls` of the defconfig in that buffer, or its PEM blocks, into use, for connections from now on. What
    /// there is to say of it is written to `out`, as whole lines.
    ///
    /// # Errors
    /// When anything is wrong with it. Nothing has changed then, and `out` has the reason, without an end of line.
    fn tls_replace(&self, paper: &PasteBuffer<'_>, out: &mut dyn fmt::Write) -> Result<(), Refused>;

    /// Restarts or switches off. It returns only if the machine would not.
    fn power(&self, power: Power);
}

/// Where a session comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The serial console, which belongs to the host.
    Serial,
    /// Telnet, without authentication.
    Telnet,
    /// TLS, with a client certificate that was verified.
    Tls,
}

/// A configuration was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The input ended.
    End,
    /// By `exit` or Control-D.
    Exit,
    /// The first line was an HTTP request line: a web page has made a browser connect, and what follows is of its making.
    Http,
    /// By `reboot` or `poweroff`, which the caller carries out after the session.
    Power(Power),
}

/// Runs one session until it ends. Dropping it at any point is fine.
pub async fn run<C: Console, H: Host>(console: &mut C, host: &H, origin: Origin) -> Result<Exit, C::Error> {
    let mut session = Session {
        origin,
        console,
        host,
        input: Input::new(),
        keys: Keys::new(),
        editor: Editor::new(),
        request_line: RequestLine::new(),
    };
    let exit = session.top().await;
    session.console.flush().await?;
    exit
}

/// A session: its console, its origin, and its input.
struct Session<'a, C, H> {
    origin: Origin,
    console: &'a mut C,
    host: &'a H,
    input: Input,
    keys: Keys,
    editor: Editor,
    /// Of the first line.
    request_line: RequestLine,
}

/// The result of `read_line`.
enum Line {
    Typed,
    /// Nothing to be done with it; ask again.
    Nothing,
    /// Control-D.
    End,
    /// The input has ended.
    Closed,
    /// The first line is an HTTP request line.
    Http,
}

impl<C: Console, H: Host> Session<'_, C, H> {
    async fn top(&mut self) -> Result<Exit, C::Error> {
        loop {
            match self.read_line("> ", command::TOP).await? {
                Line::Typed => {}
                Line::Nothing => continue,
                Line::End => return Ok(Exit::Exit),
                Line::Closed => return Ok(Exit::End),
                Line::Http => return Ok(Exit::Http),
            }
            // Taken out of the editor: a command may need the session as a whole.
            let line = self.line();
            let request = match command::parse(command::TOP, &line) {
                Ok(request) => request,
                Err(wrong) => {
                    self.explain(wrong, command::TOP, "").await?;
                    continue;
                }
            };
            if let Some(exit) = self.execute(request).await? {
                return Ok(exit);
            }
        }
    }

    /// Whether the session may replace what TLS trusts, and see secrets.
    fn is_trusted(&self) -> bool {
        self.origin != Origin::Telnet || self.host.telnet_may_reload()
    }

    /// Runs `work` until it is done or Control-C is typed; `None` in the latter case. What else is typed stays.
    async fn interruptible<T>(&mut self, work: impl Future<Output = T>) -> Result<Option<T>, C::Error> {
        self.console.flush().await?;
        match select(work, self.input.interrupt(self.console)).await {
            Either::First(result) => Ok(Some(result)),
            Either::Second(interrupted) => {
                interrupted?;
                self.print(format_args!("Cancelled.\n")).await?;
                Ok(None)
            }
        }
    }

    async fn execute(&mut self, request: Request<'_>) -> Result<Option<Exit>, C::Error> {
        match request.action {
            Action::Help => self.help(command::TOP, &request).await?,
            Action::Status => self.report(Report::Status).await?,
            Action::Counters => self.report(Report::Counters).await?,
            Action::Ip => self.report(Report::Ip).await?,
            Action::Date => self.report(Report::Date).await?,
            Action::Version => self.report(Report::Version).await?,
            Action::Log => self.log(&request).await?,
            Action::SelfTest => self.selftest().await?,
            Action::Tls => self.tls(&request).await?,
            Action::TlsCsr => self.tls_csr(&request).await?,
            Action::TlsReload => return self.tls_reload(&request).await,
            Action::EnterPlain => return self.echoctl(Kind::Plain).await,
            Action::EnterTls => return self.echoctl(Kind::Tls).await,
            Action::Reboot => {
                self.print(format_args!("Rebooting.\n")).await?;
                return Ok(Some(Exit::Power(Power::Reboot)));
            }
            Action::PowerOff => {
                self.print(format_args!("Switching off.\n")).await?;
                return Ok(Some(Exit::Power(Power::Off)));
            }
            Action::Exit => return Ok(Some(Exit::Exit)),
            // These are not in the table of this prompt.
            Action::ClientConnect
            | Action::ClientSend
            | Action::ClientClose
            | Action::ServerStart
            | Action::ServerStop
            | Action::Reverse
            | Action::ReverseStop
            | Action::Trace
            | Action::TraceShow => {}
        }
        Ok(None)
    }

    async fn report(&mut self, report: Report) -> Result<(), C::Error> {
        let mut pager = Pager::new(self.console, &mut self.input);
        self.host.report(report, &mut pager).await
    }

    /// `selftest`: each outcome as it comes.
    async fn selftest(&mut self) -> Result<(), C::Error> {
        let mut next = Some(0);
        while let Some(at) = next {
            let mut piece = Piece::new();
            let host = self.host;
            let Some(after) = self.interruptible(host.selftest(at, &mut piece)).await? else {
                return Ok(());
            };
            next = after;
            write_text(self.console, piece.as_str()).await?;
            self.console.flush().await?;
        }
        Ok(())
    }

    /// `help`, and `help` of a command.
    async fn help(&mut self, specs: &'static [Spec], request: &Request<'_>) -> Result<(), C::Error> {
        match request.argument(0) {
            None => {}
            Some(word) if command::is_known(specs, word) => return self.usage(specs, request.text()).await,
            Some(word) => return self.explain(Wrong::Unknown(word), specs, "").await,
        }
        // A piece for each command: all of them are more than one holds.
        let mut pager = Pager::new(self.console, &mut self.input);
        pager.print(Help(&[])).await?;
        for line in command::help_lines(specs) {
            pager.print(format_args!("{line}\n")).await?;
        }
        Ok(())
    }

    /// `log`, `log N` and `log follow`.
    async fn log(&mut self, request: &Request<'_>) -> Result<(), C::Error> {
        let from = match request.argument(0) {
            None => 0,
            Some("follow") => return self.follow().await,
            Some(number) => match number.parse::<u64>() {
                Ok(last) => self.host.log_end().saturating_sub(last),
                Err(_) => {
                    self.print(format_args!("'{number}' is neither a number nor 'follow'.\n"))
                        .await?;
                    return self.usage(command::TOP, request.spec.words).await;
                }
            },
        };
        // Only what is there now: records that the showing itself makes must not keep it going.
        let (end, secrets) = (self.host.log_end(), self.is_trusted());
        let mut pager = Pager::new(self.console, &mut self.input);
        let mut at = from;
        while at < end && !pager.quit() {
            let mut piece = Piece::new();
            let Some(next) = self.host.log_record(at, secrets, &mut piece) else {
                break;
            };
            // A number that does not grow would never end.
            at = next.max(at + 1);
            let _ = fmt::Write::write_str(&mut piece, "\n");
            pager.show(&piece).await?;
        }
        Ok(())
    }

    async fn follow(&mut self) -> Result<(), C::Error> {
        self.print(format_args!("Following the log; press any key to stop.\n"))
            .await?;
        let mut at = self.host.log_end();
        loop {
            self.console.flush().await?;
            match select(self.input.byte(self.console), self.host.log_grown(at)).await {
                Either::First(key) => {
                    key?;
                    return Ok(());
                }
                Either::Second(()) => {}
            }
            let mut piece = Piece::new();
            match self.host.log_record(at, self.is_trusted(), &mut piece) {
                Some(next) => {
                    at = next.max(at + 1);
                    self.print(format_args!("{}\n", piece.as_str())).await?;
                }
                // Said to be there and is not: let the others run rather than ask at once.
                None => embassy_time::Timer::after_millis(100).await,
            }
        }
    }

    /// Shows the prompt and reads a line, which [`Self::line`] then gives.
    async fn read_line(&mut self, prompt: &str, specs: &'static [Spec]) -> Result<Line, C::Error> {
        self.editor.begin();
        write_text(self.console, prompt).await?;
        loop {
            // Everything is sent before waiting; `byte` waits only if nothing was typed ahead.
            if self.input.is_empty() {
                self.console.flush().await?;
            }
            let Some(byte) = self.input.byte(self.console).await? else {
                write_text(self.console, "\n").await?;
                return Ok(Line::Closed);
            };
            // Before the line can be too long, and before anything is run.
            if self.request_line.push(byte) {
                return Ok(Line::Http);
            }
            if byte == b'\r' && self.console.interactive() {
                // A terminal sends the CR LF of a pasted text as CR CR; no user types that fast.
                self.input.skip(b'\r');
            }
            let Some(key) = self.keys.push(byte) else { continue };
            let scene = Scene {
                prompt,
                columns: self.console.size().columns,
                visible: self.console.interactive(),
                complete: &|before, offer| command::complete(specs, before, offer),
            };
            let mut echo = Echo::new();
            let event = self.editor.key(key, &scene, &mut echo);
            console::write_all(self.console, echo.as_str().as_bytes()).await?;
            return Ok(match event {
                Event::Editing => continue,
                Event::Line => Line::Typed,
                Event::End => Line::End,
                Event::Abandoned => Line::Nothing,
                Event::TooLong => {
                    self.print(format_args!("Line ignored: longer than {} bytes.\n", line::LINE))
                        .await?;
                    Line::Nothing
                }
            });
        }
    }

    /// Lists the interfaces, if there is none of that name.
    async fn list_interfaces(&mut self, wanted: Option<&str>) -> Result<(), C::Error> {
        let host = self.host;
        let names = || (0..).map_while(|n| host.interface(n));
        if names().next().is_none() || wanted.is_none_or(|wanted| names().any(|name| name == wanted)) {
            return Ok(());
        }
        self.print(format_args!("Interfaces:")).await?;
        for name in names() {
            self.print(format_args!(" {name}")).await?;
        }
        self.print(format_args!("\n")).await
    }

    fn line(&self) -> heapless::String<{ line::LINE }> {
        heapless::String::try_from(self.editor.line()).unwrap_or_default()
    }

    async fn explain(&mut self, wrong: Wrong<'_>, specs: &'static [Spec], hint: &str) -> Result<(), C::Error> {
        match wrong {
            Wrong::Empty => Ok(()),
            Wrong::Unknown(word @ ("server" | "client")) if hint.is_empty() => {
                self.print(format_args!(
                    "'{word}' is a command of 'echoctl_tls' and 'echoctl'; type one of these first, alone.\n"
                ))
                .await
            }
            Wrong::Unknown(word) => {
                self.print(format_args!(
                    "'{word}' is not a command; type 'help' for a list{hint}.\n"
                ))
                .await
            }
            Wrong::Usage(line) => {
                if let Some((host, port)) = command::host_and_port(line) {
                    self.print(format_args!(
                        "'{host}:{port}': separate host and port with a space: {host} {port}\n"
                    ))
                    .await?;
                }
                self.usage(specs, line).await
            }
        }
    }

    async fn usage(&mut self, specs: &'static [Spec], line: &str) -> Result<(), C::Error> {
        self.print(format_args!("{}", Usage { specs, line })).await
    }

    async fn print(&mut self, text: fmt::Arguments<'_>) -> Result<(), C::Error> {
        let mut piece = Piece::new();
        let _ = fmt::Write::write_fmt(&mut piece, text);
        write_text(self.console, piece.as_str()).await
    }
}
