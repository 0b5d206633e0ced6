//! The HTTPS page that shows the connection which delivers it.
//!
//! One request a connection, one page, no JavaScript. The page is made piece by piece while it is sent, from the log
//! on which the connection was narrated, so that it takes as little memory as it would if it were short.

mod chunk;
mod page;
mod request;

use core::fmt::Write as _;
use core::net::SocketAddr;

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer, with_timeout};
use embedded_io_async::{BufRead, Write};

use crate::endpoint::traces::{Held, Narrator};
use crate::net::{End, Flow};
use chunk::Chunk;
use page::Page;
use request::{Parser, Request, Status};

/// The application protocols, by ALPN.
pub(crate) const PROTOCOLS: &[&[u8]] = &[b"http/1.1", b"http/1.0"];
/// How long a browser that connected in advance may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// For the peer to accept the answer: meanwhile no other connection gets its log.
pub(crate) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a delivery looks whether its log is another connection's.
const RECHECK: Duration = Duration::from_millis(100);
/// Reads a request and answers it. The caller then ends the connection.
pub(crate) async fn serve<R: BufRead, W: Write<Error = R::Error>>(
    reader: &mut R,
    writer: &mut W,
    narrator: Option<Narrator>,
    peer: SocketAddr,
    flow: &Flow,
    idle: Duration,
) -> End<R::Error, W::Error> {
    let request = match with_timeout(REQUEST_TIMEOUT.min(idle), read(reader, flow)).await {
        Ok(Ok(Some(request))) => request,
        // A browser that connected in advance may not send one.
        Ok(Ok(None)) | Err(_) => return End::Finished,
        Ok(Err(error)) => return End::Read(error),
    };
    // The trace must not change while it is shown.
    let held = narrator.and_then(|narrator| narrator.hold());
    let page = narrator.filter(|_| held.is_some());
    let request = match (request.status, page) {
        (Status::OK, None) => Request {
            status: Status::UNAVAILABLE,
            ..request
        },
        _ => request,
    };
    let mut answer = Response {
        writer,
        flow,
        held: held.as_ref(),
    };
    let delivery = async {
        match page.filter(|_| request.status == Status::OK) {
            Some(narrator) => answer.page(request, &Page::new(narrator, peer)).await,
            None => answer.refusal(request).await,
        }
    };
    let delivery = with_timeout(DELIVERY_TIMEOUT.min(idle), delivery);
    match select(delivery, displaced(held.as_ref())).await {
        Either::First(Ok(Ok(()))) => End::Finished,
        Either::First(Ok(Err(Some(error)))) => End::Write(error),
        Either::First(Ok(Err(None))) if held.as_ref().is_some_and(|held| !held.is_ours()) => End::Displaced,
        Either::First(Ok(Err(None)) | Err(_)) => End::Stalled,
        // The peer takes nothing, so that no write would notice.
        Either::Second(()) => End::Displaced,
    }
}

/// Waits until another connection has taken the log.
async fn displaced(held: Option<&Held>) {
    let Some(held) = held else {
        return core::future::pending().await;
    };
    while held.is_ours() {
        Timer::after(RECHECK).await;
    }
}

/// The request; `None` when the peer ends without one.
async fn read<R: BufRead>(reader: &mut R, flow: &Flow) -> Result<Option<Request>, R::Error> {
    let mut parser = Parser::new();
    loop {
        let data = reader.fill_buf().await?;
        if data.is_empty() {
            return Ok(None);
        }
        let count = data.len();
        let request = parser.push(data);
        reader.consume(count);
        flow.add_received(count);
        if request.is_some() {
            return Ok(request);
        }
    }
}

/// An answer on its way. Errors are those of the writer, or `None` if it takes nothing.
struct Response<'a, W> {
    writer: &'a mut W,
    flow: &'a Flow,
    /// The log that is shown, if one is.
    held: Option<&'a Held>,
}

impl<W: Write> Response<'_, W> {
    async fn page(&mut self, request: Request, page: &Page) -> Result<(), Option<W::Error>> {
        let mut head = head(Status::OK, "text/html; charset=utf-8");
        // Everything fits: the head is of our making.
        let _ = write!(head, "{}", page.policy());
        if request.chunked {
            let _ = head.push_str("Transfer-Encoding: chunked\r\n");
        }
        let _ = head.push_str("\r\n");
        self.send(head.as_bytes()).await?;
        if !request.head {
            let mut part = Some((0, 0));
            while let Some((number, from)) = part {
                let mut chunk = Chunk::new();
                part = page.write(number, from, &mut chunk);
                self.send(chunk.framed(request.chunked)).await?;
            }
            if request.chunked {
                self.send(b"0\r\n\r\n").await?;
            }
        }
        self.flush().await
    }

    async fn refusal(&mut self, request: Request) -> Result<(), Option<W::Error>> {
        let Request { status, head: bare, .. } = request;
        let mut text = heapless::String::<256>::new();
        let _ = write!(text, "{} {}\n{}\n", status.0, status.reason(), status.words());
        let mut head = head(status, "text/plain; charset=utf-8");
        match status {
            // RFC 9110 §15.5.6.
            Status::METHOD_NOT_ALLOWED => drop(head.push_str("Allow: GET, HEAD\r\n")),
            Status::UNAVAILABLE => drop(head.push_str("Retry-After: 1\r\n")),
            _ => {}
        }
        let _ = write!(
            head,
            "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\nContent-Length: {}\r\n\r\n",
            text.len()
        );
        self.send(head.as_bytes()).await?;
        if !bare {
            self.send(text.as_bytes()).await?;
        }
        self.flush().await
    }

    async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Option<W::Error>> {
        while !bytes.is_empty() {
            let count = match self.writer.write(bytes).await {
                Ok(0) => return Err(None),
                result => result.map_err(Some)?,
            };
            self.flow.add_sent(count);
            // The next events would be of another connection.
            if self.held.is_some_and(|held| !held.progress()) {
                return Err(None);
            }
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Option<W::Error>> {
        self.writer.flush().await.map_err(Some)
    }
}

/// The header fields of every response. There is no Strict-Transport-Security: it would bind all that else serves on the
/// host's name, and this may well be `localhost`.
fn head(status: Status, content: &str) -> heapless::String<1024> {
    let mut head = heapless::String::new();
    let _ = write!(
        head,
        "HTTP/1.1 {} {}\r\nServer: postern\r\nConnection: close\r\nContent-Type: {content}\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Opener-Policy: same-origin\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\n",
        status.0,
        status.reason(),
    );
    head
}

#[cfg(test)]
mod tests;
