//! `tls`, `tls csr`, `tls reload`: the TLS configuration, and its replacement.

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::{Mutex, MutexGuard};
use embassy_time::{Duration, Instant, with_deadline};
use zeroize::Zeroize as _;

use super::command::{self, Request};
use super::console::Console;
use super::echoctl::Routing;
use super::pager::Piece;
use super::{Exit, Host, Report, Session};
use crate::client::ConnectOptions;
use crate::dial::Authority;
use crate::net::Kind;
use crate::pki::own::Role;
use crate::pki::text::Count;

/// How long a paste may pause.
pub(super) const PAUSE: Duration = Duration::from_secs(60);

/// How long a paste may have the buffer: other sessions wait for it. The whole of it takes five minutes at 9,600 bit/s.
pub(super) const PASTE_MAX: Duration = Duration::from_secs(600);

/// The buffer for a pasted configuration. There is one, used by one session at a time. It is wiped
/// when that session is done with it, however that ends: there may be private keys on it.
pub struct PasteBuffer<'a> {
    bytes: MutexGuard<'a, NoopRawMutex, &'static mut [u8]>,
    len: usize,
}

impl<'a> PasteBuffer<'a> {
    /// Takes the paper, if no other session has it.
    pub fn take(paper: &'a Mutex<NoopRawMutex, &'static mut [u8]>) -> Option<Self> {
        let bytes = paper.try_lock().ok()?;
        Some(Self { bytes, len: 0 })
    }

    /// Its contents.
    pub fn text(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// All of it, to be written on.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Sets how many bytes of the space hold the text.
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(self.bytes.len());
    }

    /// Adds a byte, if it fits.
    fn push(&mut self, byte: u8) -> bool {
        let Some(space) = self.bytes.get_mut(self.len) else {
            return false;
        };
        *space = byte;
        self.len += 1;
        true
    }
}

impl Drop for PasteBuffer<'_> {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// How a paste ended.
enum Pasted {
    /// With its full stop.
    Whole,
    /// With its full stop, but it had not fit.
    TooLong,
    /// With its full stop, but after [`PASTE_MAX`].
    TooSlow,
    /// By Control-C or Control-D.
    Abandoned,
    /// Nothing came for [`PAUSE`].
    Late,
    /// The input has ended.
    Closed,
}

impl<C: Console, H: Host> Session<'_, C, H> {
    /// `tls` and `tls status`.
    pub(super) async fn tls(&mut self, request: &Request<'_>) -> Result<(), C::Error> {
        match request.argument(0) {
            None | Some("status") => self.report(Report::Tls).await,
            Some(_) => self.usage(command::TOP, request.spec.words).await,
        }
    }

    /// `tls csr`, which shows no secret.
    pub(super) async fn tls_csr(&mut self, request: &Request<'_>) -> Result<(), C::Error> {
        match request.argument(0) {
            None => self.report(Report::Request(Role::Server)).await,
            Some("client") => self.report(Report::Request(Role::Client)).await,
            Some(_) => self.usage(command::TOP, request.spec.words).await,
        }
    }

    /// `tls reload`, pasted or fetched.
    pub(super) async fn tls_reload(&mut self, request: &Request<'_>) -> Result<Option<Exit>, C::Error> {
        let host = self.host;
        let trusted = self.is_trusted();
        if request.argument(0).is_some() {
            if !trusted {
                return self.outcome(Err(UNTRUSTED)).await.map(|()| None);
            }
            let Some(destination) = self.destination(request).await? else {
                return Ok(None);
            };
            return self.fetch(destination).await.map(|()| None);
        }
        let paper = if trusted {
            host.tls_paste_buffer()
        } else {
            Err(UNTRUSTED)
        };
        let until = Instant::now().saturating_add(PASTE_MAX);
        match &paper {
            Ok(_) => {
                let prompt = self.print(format_args!(
                    "Paste a defconfig (only its .tls section is used) or PEM blocks: certificates, private keys, CRLs.\n\
                     End with a line containing only \".\"; Ctrl-C cancels. Input is not echoed.\n"
                ));
                match with_deadline(until, prompt).await {
                    Ok(printed) => printed?,
                    // The peer reads too slowly.
                    Err(_) => return Ok(Some(Exit::End)),
                }
            }
            // A script sends its paste all the same: private keys, which must not be run as commands.
            Err(why) => {
                self.print(format_args!(
                    "Failed: {why}.\n\
                     Input is ignored up to a line containing only \".\"; Ctrl-C ends this.\n"
                ))
                .await?;
            }
        }
        let mut paper = paper.ok();
        let pasted = self.paste(&mut paper, until).await;
        self.input.wipe();
        self.console.wipe();
        match (pasted?, paper) {
            (Pasted::TooSlow, None) => {
                let seconds = PASTE_MAX.as_secs();
                self.print(format_args!(
                    "Failed: no line containing only \".\" within {seconds} s. {UNCHANGED}\n"
                ))
                .await?;
            }
            (Pasted::Closed, None) => return Ok(Some(Exit::End)),
            (_, None) => self.print(format_args!("{UNCHANGED}\n")).await?,
            (pasted, Some(paper)) => return self.pasted(pasted, paper).await,
        }
        Ok(None)
    }

    /// Takes what was pasted, or prints why it is refused. The buffer is free before anything is printed, which takes as
    /// long as the peer likes.
    async fn pasted(&mut self, pasted: Pasted, mut paper: PasteBuffer<'_>) -> Result<Option<Exit>, C::Error> {
        if matches!(pasted, Pasted::Whole) {
            return self.take(paper).await.map(|()| None);
        }
        let most = paper.space().len();
        drop(paper);
        match pasted {
            Pasted::Whole => {}
            Pasted::TooLong => {
                self.print(format_args!(
                    "Failed: the text is longer than {most} bytes. {UNCHANGED}\n"
                ))
                .await?;
            }
            Pasted::Abandoned => self.print(format_args!("Cancelled. {UNCHANGED}\n")).await?,
            Pasted::Late => {
                let seconds = PAUSE.as_secs();
                self.print(format_args!(
                    "Failed: no input for {seconds} s, and no line containing only \".\". {UNCHANGED}\n"
                ))
                .await?;
            }
            // The paper was given back.
            Pasted::TooSlow => {}
            Pasted::Closed => {
                self.print(format_args!(
                    "\nFailed: the input ended without a line containing only \".\". {UNCHANGED}\n"
                ))
                .await?;
                return Ok(Some(Exit::End));
            }
        }
        Ok(None)
    }

    /// Reads up to a line that is a full stop. What does not fit, or without paper everything, is read all the same: it must
    /// not be taken for commands. At `until` the paper is given back.
    async fn paste(&mut self, paper: &mut Option<PasteBuffer<'_>>, until: Instant) -> Result<Pasted, C::Error> {
        // Of the line at hand: where it begins, how long it is, and whether it begins with a full stop.
        let (mut start, mut length, mut stop) = (0, 0_usize, false);
        let (mut after_cr, mut fits, mut slow) = (false, true, false);
        loop {
            let next = async {
                if self.input.is_empty() {
                    self.console.flush().await?;
                }
                self.input.byte(self.console).await
            };
            let pause = Instant::now().saturating_add(PAUSE);
            let limit = if paper.is_some() { until.min(pause) } else { pause };
            let byte = match with_deadline(limit, next).await {
                Ok(byte) => byte?,
                Err(_) if limit < pause => {
                    (*paper, slow) = (None, true);
                    continue;
                }
                Err(_) if slow => return Ok(Pasted::TooSlow),
                Err(_) => return Ok(Pasted::Late),
            };
            let lf_of_crlf = core::mem::replace(&mut after_cr, byte == Some(b'\r')) && byte == Some(b'\n');
            match byte {
                None => return Ok(Pasted::Closed),
                Some(0x03 | 0x04) => return Ok(Pasted::Abandoned),
                Some(0) => {}
                Some(b'\n') if lf_of_crlf => {}
                Some(b'\r' | b'\n') => {
                    if (length, stop) == (1, true) {
                        if let Some(paper) = paper {
                            paper.set_len(start);
                        }
                        return Ok(match (slow, fits) {
                            (true, _) => Pasted::TooSlow,
                            (_, true) => Pasted::Whole,
                            (_, false) => Pasted::TooLong,
                        });
                    }
                    fits &= paper.as_mut().is_none_or(|paper| paper.push(b'\n'));
                    (start, length, stop) = (paper.as_ref().map_or(0, |paper| paper.len), 0, false);
                }
                Some(byte) => {
                    stop |= (length, byte) == (0, b'.');
                    length = length.saturating_add(1);
                    // The line of the full stop needs no place.
                    let pushed = paper.as_mut().is_none_or(|paper| paper.push(byte));
                    if !pushed && (length, stop) != (1, true) {
                        fits = false;
                    }
                }
            }
        }
    }

    /// The host to fetch from; prints what is wrong with the arguments otherwise.
    async fn destination<'r>(&mut self, request: &Request<'r>) -> Result<Option<ConnectOptions<'r>>, C::Error> {
        let specs = command::TOP;
        let Some((host, zone)) = self.host_argument(specs, request).await? else {
            return Ok(None);
        };
        let Some(port) = self.port(specs, request, 1).await? else {
            return Ok(None);
        };
        let routing = self.route_arguments(Kind::Tls, specs, request, zone).await?;
        Ok(routing.map(|Routing { netif, name, direct }| ConnectOptions {
            host,
            port,
            name: name.or(host.name()),
            netif,
            direct,
        }))
    }

    async fn fetch(&mut self, target: ConnectOptions<'_>) -> Result<(), C::Error> {
        let host = self.host;
        self.print(format_args!(
            "Fetching from {}...\n",
            Authority(target.host, target.port)
        ))
        .await?;
        // The buffer is taken when the peer has read that.
        self.console.flush().await?;
        let mut paper = match host.tls_paste_buffer() {
            Ok(paper) => paper,
            Err(why) => return self.outcome(Err(why)).await,
        };
        let Some(fetched) = self.interruptible(host.tls_fetch(target, &mut paper)).await? else {
            return self.print(format_args!("{UNCHANGED}\n")).await;
        };
        match fetched {
            Ok(()) => self.take(paper).await,
            Err(why) => {
                drop(paper);
                self.print(format_args!("Failed: {why}. {UNCHANGED}\n")).await?;
                self.list_interfaces(target.netif).await
            }
        }
    }

    async fn take(&mut self, paper: PasteBuffer<'_>) -> Result<(), C::Error> {
        let count = paper.text().len();
        let mut said = Piece::new();
        let taken = self.host.tls_replace(&paper, &mut said);
        drop(paper);
        let said = said.as_str();
        self.print(format_args!("Read {}.\n", Count::of(count, "byte"))).await?;
        match taken {
            Ok(()) => {
                // Idle workers take it up, so that the report counts connections only.
                for _ in 0..2 {
                    embassy_futures::yield_now().await;
                }
                self.print(format_args!("{said}")).await?;
                self.report(Report::Tls).await?;
                self.print(format_args!("Done.\n")).await
            }
            Err(_) => {
                // A remedy may be a question.
                let end = if said.ends_with(['.', '?']) { "" } else { "." };
                self.print(format_args!("Failed: {said}{end} {UNCHANGED}\n")).await
            }
        }
    }
}

/// The end of each failure's message.
const UNCHANGED: &str = "The current configuration is unchanged.";

/// Why a session on telnet may not replace the configuration, nor see secrets.
pub(super) const UNTRUSTED: &str = "not over telnet, which does not authenticate: use the serial console or the debug shell over TLS, or set \
                                    .vmm.telnet_reload = 1";
