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
                // Again each time: what has been read may require an answer of its own, such as the refusal of a
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
mod tests;
