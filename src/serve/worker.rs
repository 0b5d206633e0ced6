//! A worker, which serves one connection at a time, to its end.

use core::fmt;
use core::ops::Deref;
use core::pin::pin;

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, with_timeout};
use embedded_io_async::{Error as _, Write as _};

use super::pump::{Buffered, pump};
use super::registry::{ConnectionState, Entry, Eviction, Guard};
use super::request_line::RequestLine;
use super::reverse_target::OutgoingCall;
use super::server::Service;
use super::session::{AcceptedSession, NO_CLOSE_NOTIFY, TlsAcceptor, transport_cause};
use super::slot::{Job, WorkerSlot};
use crate::config::Role;
use crate::endpoint::{HandshakeError, wipe};
use crate::net::{End, Kind, Network, Transport};
use crate::web;

/// A connection that a worker serves.
struct ActiveConnection<'a> {
    guard: Guard<'a>,
    /// Where it is reported, and the role in TLS, if it was opened from here.
    call: Option<(OutgoingCall<'a>, Role)>,
}

impl ActiveConnection<'_> {
    /// The detector of HTTP requests, where the peer has connected to the machine: a web page may have made it do so.
    fn watch(&self) -> Option<RequestLine> {
        self.call.is_none().then(RequestLine::new)
    }
}

impl<'a> Deref for ActiveConnection<'a> {
    type Target = Guard<'a>;

    fn deref(&self) -> &Guard<'a> {
        &self.guard
    }
}

impl<N: Network> Service<N> {
    /// Serves connections at that place until [`Service::renew`], and then to the end of the connection at hand. Each
    /// worker task runs this again and again, with TLS buffers of its own.
    pub async fn work_at<T: TlsAcceptor<N::Stream>>(&self, slot: &WorkerSlot<N::Stream>, tls: &mut T) {
        slot.renewed.reset();
        loop {
            if !slot.mailbox.signaled() {
                slot.idle.set(true);
                self.changed.signal(());
            }
            // In this order: a connection that has come after the renewal waits in the mailbox for the other TLS.
            match select(slot.renewed.wait(), slot.mailbox.wait()).await {
                Either::First(()) => return,
                Either::Second(job) => {
                    let kind = job.kind;
                    self.serve_connection(&slot.entry, job, tls).await;
                    match kind {
                        // The received bytes are at the beginning.
                        Kind::Plain => {
                            let len = usize::try_from(slot.entry.flow().received()).unwrap_or(usize::MAX);
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

    async fn serve_connection<T: TlsAcceptor<N::Stream>>(&self, entry: &Entry, job: Job<N::Stream>, tls: &mut T) {
        let Job {
            mut stream,
            kind,
            dialled,
        } = job;
        let call =
            dialled.and_then(|dialled| Some((self.reverses.get(dialled.reverse)?.call(dialled.number), dialled.role)));
        let connection = ActiveConnection {
            guard: entry.occupy(kind, stream.local().port(), stream.peer()),
            call,
        };
        if connection.call.is_some() {
            connection.mark_dialled();
        }
        let ended = {
            let mut serving = pin!(self.run_protocol(&connection, kind, &mut stream, tls));
            loop {
                // In this order: what has arrived meanwhile can prevent the eviction.
                match select(serving.as_mut(), connection.asked()).await {
                    Either::First(ended) => break ended,
                    Either::Second(why) if connection.should_evict(why) => break ConnectionEnd::Evicted(why),
                    Either::Second(_) => self.changed.signal(()),
                }
            }
        };
        if let ConnectionEnd::Evicted(why) = ended {
            let state = connection.state();
            match state {
                ConnectionState::Established => self.tally.evicted_established.one(),
                _ => self.tally.evicted.one(),
            }
            let why = match (why, state) {
                (Eviction::Share, _) => "its address has the most connections",
                (_, ConnectionState::Established) => "idle",
                (_, ConnectionState::Silent) => "nothing received",
                (_, ConnectionState::Handshake) => "handshake not finished",
                (_, ConnectionState::Closing | ConnectionState::Vacant) => "closing",
            };
            let age = connection.since().elapsed().as_millis();
            self.log_failure(
                &connection,
                format_args!("evicted for a newer connection after {age} ms ({why})"),
            );
        }
        if kind != Kind::Https {
            self.tally.echoed.add(connection.flow().echoed());
        }
        if let Some((call, _)) = connection.call {
            call.ended(connection.flow());
        }
        match ended {
            // The network delivers what is queued, and FIN, without an owner.
            ConnectionEnd::InOrder => stream.shutdown(),
            ConnectionEnd::Evicted(_) if connection.state() == ConnectionState::Closing => stream.shutdown(),
            // Dropping it sends RST.
            ConnectionEnd::Evicted(_) | ConnectionEnd::Lost => drop(stream),
        }
    }

    async fn run_protocol<T: TlsAcceptor<N::Stream>>(
        &self,
        connection: &ActiveConnection<'_>,
        kind: Kind,
        stream: &mut N::Stream,
        tls: &mut T,
    ) -> ConnectionEnd {
        match kind {
            Kind::Plain => self.serve_plain(connection, stream, tls.scratch()).await,
            Kind::Tls | Kind::Https => self.serve_tls(connection, stream, tls).await,
        }
    }

    async fn serve_plain(
        &self,
        connection: &ActiveConnection<'_>,
        stream: &mut N::Stream,
        buffer: &mut [u8],
    ) -> ConnectionEnd {
        if let Some((call, _)) = connection.call {
            call.established(None);
        }
        // A peer that has sent bytes is established, one that only connected is not.
        let first = match with_timeout(self.idle(connection), embedded_io_async::Read::read(stream, buffer)).await {
            Ok(Ok(count)) => count,
            Ok(Err(error)) => return self.failed(connection, transport_cause(error.kind()), &error),
            Err(_) => {
                let idle = self.idle(connection).as_secs();
                return self.failed(connection, "idle", &format_args!("idle for {idle} s"));
            }
        };
        stream.mark_established();
        self.established(connection);
        let (reader, mut writer) = stream.split();
        let mut reader = Buffered::new(reader, buffer, first);
        if first == 0 {
            // The end came at once.
            self.tally.finished.one();
            return ConnectionEnd::InOrder;
        }
        let end = pump(
            &mut reader,
            &mut writer,
            self.idle(connection),
            connection.flow(),
            connection.watch(),
        )
        .await;
        self.finish(connection, end, |error| transport_cause(error.kind()))
    }

    async fn serve_tls<T: TlsAcceptor<N::Stream>>(
        &self,
        connection: &ActiveConnection<'_>,
        stream: &mut N::Stream,
        tls: &mut T,
    ) -> ConnectionEnd {
        let role = connection.call.map(|(_, role)| role);
        let limits = self.limits.get();
        let deadline = Instant::now().saturating_add(limits.handshake);
        let mut session = match tls.accept(stream, &connection.guard, role, deadline).await {
            Ok(session) => session,
            Err(HandshakeError::Failed(error)) => {
                self.tally.fault(T::cause(&error));
                self.log_failure(connection, format_args!("handshake failed: {error}"));
                return ConnectionEnd::InOrder;
            }
            Err(HandshakeError::TimedOut) => {
                let seconds = limits.handshake.as_secs();
                return self.failed(
                    connection,
                    "handshake deadline",
                    &format_args!("handshake not finished in {seconds} s"),
                );
            }
        };
        self.tally.handshakes.one();
        session.mark_established();
        self.established(connection);
        connection.describe(session.description());
        if let Some((call, _)) = connection.call {
            call.established(session.subject());
        }
        let page = session.page();
        let end = match session.split() {
            Ok((mut reader, mut writer)) => {
                let end = match connection.kind() {
                    Kind::Https => {
                        web::serve(
                            &mut reader,
                            &mut writer,
                            page,
                            connection.peer(),
                            connection.flow(),
                            self.limits.get().idle,
                        )
                        .await
                    }
                    _ => {
                        pump(
                            &mut reader,
                            &mut writer,
                            self.idle(connection),
                            connection.flow(),
                            connection.watch(),
                        )
                        .await
                    }
                };
                if let End::Read(_) = end {
                    // The alert with the reason.
                    connection.advance(ConnectionState::Closing);
                    let _ = with_timeout(self.limits.get().goodbye, writer.flush()).await;
                }
                end
            }
            Err(error) => End::Read(error),
        };
        // A browser that has connected in advance may close the connection without close_notify.
        let end = match end {
            End::Read(error) if connection.kind() == Kind::Https && T::cause(&error) == NO_CLOSE_NOTIFY => {
                End::Finished
            }
            end => end,
        };
        if matches!(end, End::Finished | End::Idle | End::Http) {
            connection.advance(ConnectionState::Closing);
            session.close(self.limits.get().goodbye).await;
        }
        self.finish(connection, end, T::cause)
    }

    fn idle(&self, connection: &ActiveConnection<'_>) -> Duration {
        let limits = self.limits.get();
        if connection.call.is_some() {
            limits.idle_dialled
        } else {
            limits.idle
        }
    }

    fn established(&self, connection: &ActiveConnection<'_>) {
        connection.advance(ConnectionState::Established);
        // If all are now, a waiting connection must be refused.
        self.changed.signal(());
    }

    fn finish<E: fmt::Display>(
        &self,
        connection: &ActiveConnection<'_>,
        end: End<E, E>,
        cause: fn(&E) -> &'static str,
    ) -> ConnectionEnd {
        let idle = self.idle(connection).as_secs();
        match end {
            End::Finished => {
                self.tally.finished.one();
                ConnectionEnd::InOrder
            }
            End::Idle => {
                self.failed(connection, "idle", &format_args!("idle for {idle} s"));
                ConnectionEnd::InOrder
            }
            End::Http => {
                self.failed(connection, "HTTP on an echo port", &"HTTP request on an echo port");
                ConnectionEnd::InOrder
            }
            End::Displaced => self.failed(
                connection,
                "page evicted",
                &"evicted for another page (peer reads too slowly)",
            ),
            End::Stalled if connection.kind() == Kind::Https => {
                let seconds = web::DELIVERY_TIMEOUT.min(self.limits.get().idle).as_secs();
                self.failed(
                    connection,
                    "stalled",
                    &format_args!("page not delivered within {seconds} s"),
                )
            }
            End::Stalled => self.failed(
                connection,
                "stalled",
                &format_args!("peer stopped reading for {idle} s"),
            ),
            End::Read(error) | End::Write(error) => {
                self.tally.fault(cause(&error));
                self.log_failure(connection, format_args!("connection failed: {error}"));
                // An alert may be on its way; a connection that is gone makes this end at once.
                ConnectionEnd::InOrder
            }
        }
    }

    fn failed(&self, connection: &ActiveConnection<'_>, cause: &'static str, why: &dyn fmt::Display) -> ConnectionEnd {
        self.tally.fault(cause);
        self.log_failure(connection, format_args!("{why}"));
        ConnectionEnd::Lost
    }

    /// Logs what a peer did, but no flood of it.
    fn log_failure(&self, connection: &ActiveConnection<'_>, what: fmt::Arguments<'_>) {
        match connection.call {
            Some((call, _)) => call.failed(what),
            None => self
                .failures
                .log(::log::Level::Warn, format_args!("{}: {what}", connection.peer())),
        }
    }
}

/// How a connection ended.
enum ConnectionEnd {
    /// Close the connection properly.
    InOrder,
    /// Reset it.
    Lost,
    /// It is evicted for another.
    Evicted(Eviction),
}
