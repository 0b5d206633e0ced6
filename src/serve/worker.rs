//! A worker: it serves one connection at a time, to its end.

use core::fmt;
use core::ops::Deref;
use core::pin::pin;

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, with_timeout};
use embedded_io_async::{Error as _, Write as _};

use super::pump::{Buffered, pump};
use super::registry::{Entry, Eviction, Guard, State};
use super::request_line::RequestLine;
use super::reverse_target::Call;
use super::server::Service;
use super::session::{NO_GOODBYE, Secure, Session, transport_cause};
use super::slot::{Desk, Job};
use crate::config::Role;
use crate::endpoint::{HandshakeError, wipe};
use crate::net::{End, Kind, Network, Transport};
use crate::web;

/// A connection, and for whom its worker has it.
struct Visit<'a> {
    guard: Guard<'a>,
    /// Where it is reported, if it was opened from here; and which role is taken in TLS.
    call: Option<(Call<'a>, Role)>,
}

impl Visit<'_> {
    /// What looks for an HTTP request where the peer has connected to the machine: a web page may have made it do so.
    fn watch(&self) -> Option<RequestLine> {
        self.call.is_none().then(RequestLine::new)
    }
}

impl<'a> Deref for Visit<'a> {
    type Target = Guard<'a>;

    fn deref(&self) -> &Guard<'a> {
        &self.guard
    }
}

impl<N: Network> Service<N> {
    /// Serves connections at that place until [`Service::renew`], and then to the end of the connection at hand. Each
    /// worker task runs this again and again, with TLS buffers of its own.
    pub async fn work_at<T: Secure<N::Stream>>(&self, desk: &Desk<N::Stream>, tls: &mut T) {
        desk.renewed.reset();
        loop {
            if !desk.mailbox.signaled() {
                desk.idle.set(true);
                self.changed.signal(());
            }
            // In this order: a connection that has come after the renewal waits in the mailbox for the other TLS.
            match select(desk.renewed.wait(), desk.mailbox.wait()).await {
                Either::First(()) => return,
                Either::Second(job) => {
                    let kind = job.kind;
                    self.serve(&desk.entry, job, tls).await;
                    match kind {
                        // What has come lies at the beginning.
                        Kind::Plain => {
                            let len = usize::try_from(desk.entry.flow().received()).unwrap_or(usize::MAX);
                            let scratch = tls.scratch();
                            let len = len.min(scratch.len());
                            wipe(scratch.get_mut(..len).unwrap_or_default());
                        }
                        Kind::Tls | Kind::Https => tls.wipe(),
                    }
                }
            }
        }
    }

    async fn serve<T: Secure<N::Stream>>(&self, entry: &Entry, job: Job<N::Stream>, tls: &mut T) {
        let Job {
            mut stream,
            kind,
            dialled,
        } = job;
        let call = dialled.and_then(|dialled| Some((self.lines.get(dialled.line)?.call(dialled.number), dialled.role)));
        let visit = Visit {
            guard: entry.occupy(kind, stream.local().port(), stream.peer()),
            call,
        };
        if visit.call.is_some() {
            visit.mark_dialled();
        }
        let ended = {
            let mut conversation = pin!(self.converse(&visit, kind, &mut stream, tls));
            loop {
                // In this order: what has arrived meanwhile speaks for the connection.
                match select(conversation.as_mut(), visit.asked()).await {
                    Either::First(ended) => break ended,
                    Either::Second(why) if visit.yields(why) => break Ended::Evicted(why),
                    Either::Second(_) => self.changed.signal(()),
                }
            }
        };
        if let Ended::Evicted(why) = ended {
            let state = visit.state();
            match state {
                State::Established => self.tally.evicted_established.one(),
                _ => self.tally.evicted.one(),
            }
            let why = match (why, state) {
                (Eviction::Share, _) => "its address has the most connections",
                (_, State::Established) => "idle",
                (_, State::Silent) => "nothing received",
                (_, State::Handshake) => "handshake not finished",
                (_, State::Closing | State::Vacant) => "closing",
            };
            let age = visit.since().elapsed().as_millis();
            self.complain(
                &visit,
                format_args!("evicted for a newer connection after {age} ms ({why})"),
            );
        }
        if kind != Kind::Https {
            self.tally.echoed.add(visit.flow().echoed());
        }
        if let Some((call, _)) = visit.call {
            call.ended(visit.flow());
        }
        match ended {
            // Without an owner, the rest of the words and the end are delivered yet.
            Ended::InOrder => stream.shutdown(),
            Ended::Evicted(_) if visit.state() == State::Closing => stream.shutdown(),
            // Dropping it sends RST.
            Ended::Evicted(_) | Ended::Lost => drop(stream),
        }
    }

    async fn converse<T: Secure<N::Stream>>(
        &self,
        visit: &Visit<'_>,
        kind: Kind,
        stream: &mut N::Stream,
        tls: &mut T,
    ) -> Ended {
        match kind {
            Kind::Plain => self.plain(visit, stream, tls.scratch()).await,
            Kind::Tls | Kind::Https => self.secure(visit, stream, tls).await,
        }
    }

    async fn plain(&self, visit: &Visit<'_>, stream: &mut N::Stream, buffer: &mut [u8]) -> Ended {
        if let Some((call, _)) = visit.call {
            call.established(None);
        }
        // The first bytes tell a peer that means it from one that only connected.
        let first = match with_timeout(self.idle(visit), embedded_io_async::Read::read(stream, buffer)).await {
            Ok(Ok(count)) => count,
            Ok(Err(error)) => return self.failed(visit, transport_cause(error.kind()), &error),
            Err(_) => return self.failed(visit, "idle", &format_args!("nothing sent")),
        };
        stream.mark_established();
        self.established(visit);
        let (reader, mut writer) = stream.split();
        let mut reader = Buffered::new(reader, buffer, first);
        if first == 0 {
            // The end came at once.
            self.tally.finished.one();
            return Ended::InOrder;
        }
        let end = pump(&mut reader, &mut writer, self.idle(visit), visit.flow(), visit.watch()).await;
        self.pumped(visit, end, |error| transport_cause(error.kind()))
    }

    async fn secure<T: Secure<N::Stream>>(&self, visit: &Visit<'_>, stream: &mut N::Stream, tls: &mut T) -> Ended {
        let role = visit.call.map(|(_, role)| role);
        let limits = self.limits.get();
        let deadline = Instant::now().saturating_add(limits.handshake);
        let mut session = match tls.accept(stream, &visit.guard, role, deadline).await {
            Ok(session) => session,
            Err(HandshakeError::Failed(error)) => {
                self.tally.fault(T::cause(&error));
                self.complain(visit, format_args!("handshake failed: {error}"));
                return Ended::InOrder;
            }
            Err(HandshakeError::TimedOut) => {
                let seconds = limits.handshake.as_secs();
                return self.failed(
                    visit,
                    "handshake deadline",
                    &format_args!("handshake not finished in {seconds} s"),
                );
            }
        };
        self.tally.handshakes.one();
        session.mark_established();
        self.established(visit);
        visit.describe(session.description());
        if let Some((call, _)) = visit.call {
            call.established(session.subject());
        }
        let page = session.page();
        let end = match session.split() {
            Ok((mut reader, mut writer)) => {
                let end = match visit.kind() {
                    Kind::Https => {
                        web::serve(
                            &mut reader,
                            &mut writer,
                            page,
                            visit.peer(),
                            visit.flow(),
                            self.limits.get().idle,
                        )
                        .await
                    }
                    _ => pump(&mut reader, &mut writer, self.idle(visit), visit.flow(), visit.watch()).await,
                };
                if let End::Read(_) = end {
                    // The alert that says why.
                    visit.advance(State::Closing);
                    let _ = with_timeout(self.limits.get().goodbye, writer.flush()).await;
                }
                end
            }
            Err(error) => End::Read(error),
        };
        // A browser that has connected in advance may change its mind, and says no goodbye then.
        let end = match end {
            End::Read(error) if visit.kind() == Kind::Https && T::cause(&error) == NO_GOODBYE => End::Finished,
            end => end,
        };
        if matches!(end, End::Finished | End::Idle | End::Http) {
            visit.advance(State::Closing);
            session.close(self.limits.get().goodbye).await;
        }
        self.pumped(visit, end, T::cause)
    }

    fn idle(&self, visit: &Visit<'_>) -> Duration {
        let limits = self.limits.get();
        if visit.call.is_some() {
            limits.idle_dialled
        } else {
            limits.idle
        }
    }

    fn established(&self, visit: &Visit<'_>) {
        visit.advance(State::Established);
        // If all are now, whoever waits for a place waits in vain.
        self.changed.signal(());
    }

    fn pumped<E: fmt::Display>(&self, visit: &Visit<'_>, end: End<E, E>, cause: fn(&E) -> &'static str) -> Ended {
        let idle = self.idle(visit).as_secs();
        match end {
            End::Finished => {
                self.tally.finished.one();
                Ended::InOrder
            }
            End::Idle => {
                self.failed(visit, "idle", &format_args!("nothing came for {idle} s"));
                Ended::InOrder
            }
            End::Http => {
                self.failed(visit, "HTTP on an echo port", &"HTTP request on an echo port");
                Ended::InOrder
            }
            End::Displaced => self.failed(
                visit,
                "page evicted",
                &"evicted for another page: the answer is read too slowly",
            ),
            End::Stalled if visit.kind() == Kind::Https => {
                let seconds = web::DELIVERY.min(self.limits.get().idle).as_secs();
                self.failed(
                    visit,
                    "stalled",
                    &format_args!("the answer was not taken in {seconds} s"),
                )
            }
            End::Stalled => self.failed(visit, "stalled", &format_args!("nothing was taken for {idle} s")),
            End::Read(error) | End::Write(error) => {
                self.tally.fault(cause(&error));
                self.complain(visit, format_args!("connection failed: {error}"));
                // An alert may be on its way; a connection that is gone makes this end at once.
                Ended::InOrder
            }
        }
    }

    fn failed(&self, visit: &Visit<'_>, cause: &'static str, why: &dyn fmt::Display) -> Ended {
        self.tally.fault(cause);
        self.complain(visit, format_args!("{why}"));
        Ended::Lost
    }

    /// Logs what a peer did, but no flood of it.
    fn complain(&self, visit: &Visit<'_>, what: fmt::Arguments<'_>) {
        match visit.call {
            Some((call, _)) => call.failed(what),
            None => self
                .failures
                .log(::log::Level::Warn, format_args!("{}: {what}", visit.peer())),
        }
    }
}

/// How a conversation ended.
enum Ended {
    /// Close the connection properly.
    InOrder,
    /// Reset it.
    Lost,
    /// It makes room for another.
    Evicted(Eviction),
}
