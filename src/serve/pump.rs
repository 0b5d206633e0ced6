//! The echo: what was read is sent back, in order, under back-pressure.

use core::future::{Future as _, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embassy_time::{Duration, with_timeout};
use embedded_io_async::{BufRead, ErrorType, Read, Write};

use super::request_line::RequestLine;
use crate::net::{End, Flow};

/// Writes to `writer` what `reader` gives, until its end. The caller then ends the output.
///
/// Nothing is read while what was read before is not written: a peer that does not read is slowed down to its own pace,
/// and whatever it sends stays in its own buffers. The writer is flushed only when there is nothing to read, so that
/// a stream of data is sent in full records and segments.
///
/// `watch` ends it when the first line is an HTTP request line: a browser would take the echo for the answer.
pub async fn pump<R: BufRead, W: Write>(
    reader: &mut R,
    writer: &mut W,
    idle: Duration,
    flow: &Flow,
    mut watch: Option<RequestLine>,
) -> End<R::Error, W::Error> {
    // Bytes at the beginning of what is read next that `watch` has seen already.
    let mut watched = 0;
    loop {
        let filled = with_timeout(idle, async {
            let mut fill = pin!(reader.fill_buf());
            poll_fn(|context| {
                if let Poll::Ready(filled) = fill.as_mut().poll(context) {
                    return Poll::Ready(filled.map_err(End::Read));
                }
                // Each time anew: what has been read may call for an answer of its own, such as the refusal of a
                // renegotiation.
                match pin!(writer.flush()).poll(context) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(End::Write(error))),
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
                }
            })
            .await
        });
        let data = match filled.await {
            Ok(Ok(data)) => data,
            Ok(Err(end)) => return end,
            Err(_) => return End::Idle,
        };
        if data.is_empty() {
            break;
        }
        let available = u64::try_from(data.len()).unwrap_or(u64::MAX);
        flow.set_received(flow.echoed().saturating_add(available));
        if let Some(line) = &mut watch {
            if line.push_all(data.get(watched..).unwrap_or_default()) {
                return End::Http;
            }
            watched = data.len();
            watch = watch.filter(|line| !line.is_decided());
        }
        let written = match with_timeout(idle, writer.write(data)).await {
            Ok(Ok(0)) | Err(_) => return End::Stalled,
            Ok(Ok(written)) => written.min(data.len()),
            Ok(Err(error)) => return End::Write(error),
        };
        reader.consume(written);
        watched = watched.saturating_sub(written);
        flow.add_sent(written);
    }
    match with_timeout(idle, writer.flush()).await {
        Ok(Ok(())) => End::Finished,
        Ok(Err(error)) => End::Write(error),
        Err(_) => End::Stalled,
    }
}

/// A reader with a buffer of the caller's.
pub struct Buffered<'a, R> {
    reader: R,
    buffer: &'a mut [u8],
    /// `start <= end <= buffer.len()`
    start: usize,
    end: usize,
}

impl<'a, R> Buffered<'a, R> {
    /// Reads into `buffer`, of which the first `filled` bytes were read already.
    pub fn new(reader: R, buffer: &'a mut [u8], filled: usize) -> Self {
        let end = filled.min(buffer.len());
        Buffered {
            reader,
            buffer,
            start: 0,
            end,
        }
    }
}

impl<R: ErrorType> ErrorType for Buffered<'_, R> {
    type Error = R::Error;
}

impl<R: Read> Read for Buffered<'_, R> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, R::Error> {
        let data = self.fill_buf().await?;
        let count = data.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), data.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Buffered<'_, R> {
    async fn fill_buf(&mut self) -> Result<&[u8], R::Error> {
        if self.start == self.end {
            let count = self.reader.read(self.buffer).await?;
            (self.start, self.end) = (0, count.min(self.buffer.len()));
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.start = self.start.saturating_add(amount).min(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::fake::{Stream, connection};
    use crate::net::{Error, Transport};
    use crate::testing::block_on;
    use core::cell::Cell;
    use embassy_futures::join::join3;
    use std::vec::Vec;

    const LONG: Duration = Duration::from_secs(30);

    async fn echo(stream: &mut Stream, buffer: usize, idle: Duration, flow: &Flow) -> End<Error, Error> {
        let mut buffer = vec![0; buffer];
        let end = {
            let (reader, mut writer) = stream.split();
            pump(
                &mut Buffered::new(reader, &mut buffer, 0),
                &mut writer,
                idle,
                flow,
                Some(RequestLine::new()),
            )
            .await
        };
        stream.shutdown();
        end
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len as u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect()
    }

    #[test]
    fn exact_bytes_both_ways_at_once_then_the_end() {
        let (mut peer, mut stream) = connection(1, 7, 65_536);
        let flow = Flow::new();
        let data = pattern(64 << 20);
        let (mut reader, mut writer) = peer.split();
        let mut got = Vec::with_capacity(data.len());
        let (end, (), ()) = block_on(join3(
            echo(&mut stream, 16_384, LONG, &flow),
            async {
                for chunk in data.chunks(50_001) {
                    writer.write_all(chunk).await.unwrap();
                }
                peer.shutdown();
            },
            async {
                let mut buf = vec![0; 70_000];
                while let count @ 1.. = reader.read(&mut buf).await.unwrap() {
                    got.extend_from_slice(&buf[..count]);
                }
            },
        ));
        assert_eq!(end, End::Finished);
        assert!(got == data);
        assert_eq!((flow.received(), flow.echoed()), (64 << 20, 64 << 20));
    }

    #[test]
    fn a_peer_that_does_not_read_is_slowed_down_and_loses_nothing() {
        let (mut peer, mut stream) = connection(1, 7, 1000);
        let flow = Flow::new();
        let data = pattern(20_000);
        let (mut reader, mut writer) = peer.split();
        let mut got = Vec::new();
        let written = Cell::new(0);
        block_on(async {
            let work = async {
                for byte in data.chunks(1) {
                    writer.write_all(byte).await.unwrap();
                    written.set(written.get() + 1);
                }
                peer.shutdown();
            };
            let read = async {
                crate::net::fake::settle().await;
                // Both connection buffers and the pump's own are full, and no more.
                assert_eq!(written.get(), 2500);
                assert_eq!((flow.received(), flow.echoed()), (1500, 1000));
                let mut buf = [0; 333];
                while let count @ 1.. = reader.read(&mut buf).await.unwrap() {
                    got.extend_from_slice(&buf[..count]);
                }
            };
            join3(echo(&mut stream, 500, LONG, &flow), work, read).await
        });
        assert_eq!(got, data);
    }

    #[test]
    fn idle_and_stalled_peers_are_told_apart() {
        let (mut peer, mut stream) = connection(1, 7, 100);
        let short = Duration::from_millis(20);
        assert_eq!(block_on(echo(&mut stream, 64, short, &Flow::new())), End::Idle);
        let (other, mut stream) = connection(1, 7, 100);
        other.say([0; 500]);
        assert_eq!(block_on(echo(&mut stream, 64, short, &Flow::new())), End::Stalled);
        peer.shutdown();
    }

    #[test]
    fn a_reset_is_reported() {
        let (peer, mut stream) = connection(1, 7, 100);
        drop(peer);
        assert_eq!(
            block_on(echo(&mut stream, 64, LONG, &Flow::new())),
            End::Read(Error::Reset)
        );
    }

    #[test]
    fn an_http_request_is_not_sent_back() {
        for pieces in [
            &["POST / HTTP/1.1\r\n\r\n<script>"][..],
            &["GE", "T / HT", "TP/1.1\r\n<script>"],
        ] {
            let (mut peer, mut stream) = connection(1, 7, 100);
            let flow = Flow::new();
            let (end, ()) = block_on(embassy_futures::join::join(echo(&mut stream, 64, LONG, &flow), async {
                for piece in pieces {
                    peer.say(piece);
                    crate::net::fake::settle().await;
                }
            }));
            assert_eq!(end, End::Http);
            assert!(!peer.arrived().contains("HTTP/"));
            peer.shutdown();
        }
        // Later lines may have any form, also after a peer that reads slowly.
        let (mut peer, mut stream) = connection(1, 7, 4);
        peer.say("GET / HT\nGET / HTTP/1.1\r\n");
        peer.shutdown();
        let mut got = Vec::new();
        let flow = Flow::new();
        let (end, ()) = block_on(embassy_futures::join::join(echo(&mut stream, 64, LONG, &flow), async {
            let mut buf = [0; 3];
            while let count @ 1.. = peer.read(&mut buf).await.unwrap() {
                got.extend_from_slice(&buf[..count]);
            }
        }));
        assert_eq!((end, &got[..]), (End::Finished, &b"GET / HT\nGET / HTTP/1.1\r\n"[..]));
    }

    /// A writer that keeps everything back until it is flushed.
    struct Lazy<'a>(&'a mut Vec<u8>, Vec<u8>, usize);
    impl ErrorType for Lazy<'_> {
        type Error = Error;
    }
    impl Write for Lazy<'_> {
        async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
            self.1.extend_from_slice(buf);
            Ok(buf.len())
        }
        async fn flush(&mut self) -> Result<(), Error> {
            self.2 += usize::from(!self.1.is_empty());
            self.0.append(&mut self.1);
            Ok(())
        }
    }

    #[test]
    fn a_buffering_writer_is_flushed_when_there_is_nothing_to_read() {
        let (mut peer, mut stream) = connection(1, 7, 100);
        peer.say([7; 90]);
        let mut out = Vec::new();
        let (reader, _) = stream.split();
        let mut buffer = [0; 30];
        let mut writer = Lazy(&mut out, Vec::new(), 0);
        let end = block_on(async {
            let flow = Flow::new();
            let mut reader = Buffered::new(reader, &mut buffer, 0);
            embassy_futures::join::join(pump(&mut reader, &mut writer, LONG, &flow, None), async {
                crate::net::fake::settle().await;
                peer.shutdown();
            })
            .await
            .0
        });
        assert_eq!((end, writer.2), (End::Finished, 1), "three writes, one flush");
        assert_eq!(out, [7; 90]);
    }
}
