//! The console of a session: input byte by byte, output as text.

use core::fmt;

use embedded_io_async::{ErrorType, Read, Write};
use unicode_width::UnicodeWidthChar as _;
use zeroize::Zeroize as _;

use crate::pki::text::{ENCODED, encode, needs_escape};

/// A terminal, near or far.
pub trait Console: Read + Write {
    /// Whether a person at a terminal has left echoing and editing to us. Where not (`nc`, a script, telnet in line
    /// mode), nothing typed is echoed and no output waits for a key.
    fn interactive(&self) -> bool;
    /// Columns and rows.
    fn size(&self) -> Size;
    /// Wipes what was read of the input and handed out: it may have been a secret.
    fn wipe(&mut self) {}
}

/// The size of a terminal, in characters. Never so small that a prompt would not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: u16,
    /// Lines on the screen.
    pub rows: u16,
}

/// The narrowest and the widest terminal that is taken at its word. The widest bounds what one key may redraw.
const COLUMNS: core::ops::RangeInclusive<u16> = 24..=250;
/// The lowest and the highest likewise.
const ROWS: core::ops::RangeInclusive<u16> = 3..=500;

impl Size {
    /// The size of a terminal that reports none.
    pub const DEFAULT: Size = Size { columns: 80, rows: 24 };

    /// Brings what a terminal claims within bounds; 0 stands for "unknown" (RFC 1073).
    pub fn clamped(columns: u16, rows: u16) -> Size {
        let bound = |value: u16, default, range: core::ops::RangeInclusive<u16>| match value {
            0 => default,
            _ => value.clamp(*range.start(), *range.end()),
        };
        Size {
            columns: bound(columns, Size::DEFAULT.columns, COLUMNS),
            rows: bound(rows, Size::DEFAULT.rows, ROWS),
        }
    }
}

/// A serial line as a console: interactive, 80 by 24.
pub struct Serial<S>(pub S);

impl<S: ErrorType> ErrorType for Serial<S> {
    type Error = S::Error;
}
impl<S: Read> Read for Serial<S> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, S::Error> {
        self.0.read(buf).await
    }
}
impl<S: Write> Write for Serial<S> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, S::Error> {
        self.0.write(buf).await
    }
    async fn flush(&mut self) -> Result<(), S::Error> {
        self.0.flush().await
    }
}
impl<S: Read + Write> Console for Serial<S> {
    fn interactive(&self) -> bool {
        true
    }
    fn size(&self) -> Size {
        Size::DEFAULT
    }
}

/// Control-C, as a terminal sends it.
pub(super) const CONTROL_C: u8 = 0x03;

/// Bytes of input held at a time; what comes beyond stays with the connection.
const INPUT: usize = 128;

/// The input of a session. What was typed ahead stays here until it is read.
pub(super) struct Input {
    bytes: [u8; INPUT],
    /// `start <= end <= INPUT`
    start: usize,
    end: usize,
    /// The last byte was CR.
    after_cr: bool,
}

impl Input {
    pub(super) const fn new() -> Self {
        Input {
            bytes: [0; INPUT],
            start: 0,
            end: 0,
            after_cr: false,
        }
    }

    /// Whether nothing is left of what was typed ahead, as far as it was taken from the console.
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Wipes what was taken: it may have been a secret.
    pub(super) fn wipe(&mut self) {
        self.bytes.get_mut(..self.start).unwrap_or_default().zeroize();
    }

    /// Waits for Control-C, and takes it and what was typed before it. What is typed meanwhile is kept as far as there is
    /// room; the end of the input interrupts nothing. Cancel-safe if the console's read is.
    pub(super) async fn interrupt<C: Read>(&mut self, console: &mut C) -> Result<(), C::Error> {
        loop {
            let waiting = self.bytes.get(self.start..self.end).unwrap_or_default();
            if let Some(at) = waiting.iter().position(|byte| *byte == CONTROL_C) {
                self.start += at + 1;
                return Ok(());
            }
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let count = match self.bytes.get_mut(self.end..) {
                Some(room @ [_, ..]) => console.read(room).await?,
                _ => 0,
            };
            if count == 0 {
                return core::future::pending().await;
            }
            self.end = self.end.saturating_add(count).min(INPUT);
        }
    }

    /// The next byte, `None` at the end of the input; of CR LF the CR alone. Cancel-safe if the console's read is.
    pub(super) async fn byte<C: Read>(&mut self, console: &mut C) -> Result<Option<u8>, C::Error> {
        loop {
            if self.start == self.end {
                let count = console.read(&mut self.bytes).await?;
                (self.start, self.end) = (0, count.min(INPUT));
            }
            let byte = self.peek();
            self.start += usize::from(byte.is_some());
            if core::mem::replace(&mut self.after_cr, byte == Some(b'\r')) && byte == Some(b'\n') {
                continue;
            }
            if self.after_cr {
                // At once, so that what is left is something to be read.
                self.skip(b'\n');
            }
            return Ok(byte);
        }
    }

    /// Takes the next byte if it is there and is that one. Whether it did.
    pub(super) fn skip(&mut self, expected: u8) -> bool {
        let skipped = self.peek() == Some(expected);
        self.start += usize::from(skipped);
        self.after_cr &= !skipped;
        skipped
    }

    fn peek(&self) -> Option<u8> {
        let waiting = self.bytes.get(self.start..self.end)?;
        waiting.first().copied()
    }
}

/// Text in a buffer of fixed size. What does not fit is cut at a character; writing never fails.
pub struct TextBuffer<const N: usize> {
    bytes: [u8; N],
    /// `len <= N`, and always at a character's end
    len: usize,
    cut: bool,
}

impl<const N: usize> TextBuffer<N> {
    /// An empty text.
    pub const fn new() -> Self {
        TextBuffer {
            bytes: [0; N],
            len: 0,
            cut: false,
        }
    }

    /// The text so far.
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..self.len)
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .unwrap_or("")
    }

    /// Whether something did not fit.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Empties it.
    pub fn clear(&mut self) {
        (self.len, self.cut) = (0, false);
    }
}

impl<const N: usize> Default for TextBuffer<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Write for TextBuffer<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.cut {
            return Ok(());
        }
        let fits = text.floor_char_boundary(N - self.len);
        self.cut = fits < text.len();
        let end = self.len + fits;
        if let (Some(to), Some(from)) = (self.bytes.get_mut(self.len..end), text.as_bytes().get(..fits)) {
            to.copy_from_slice(from);
            self.len = end;
        }
        Ok(())
    }
}

/// Writes all of `bytes`. A writer that takes nothing without an error is treated as one that took all, not looped on.
pub(super) async fn write_all<W: Write>(writer: &mut W, mut bytes: &[u8]) -> Result<(), W::Error> {
    while !bytes.is_empty() {
        match writer.write(bytes).await? {
            0 => break,
            count => bytes = bytes.get(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Writes text, every line ending as CR LF, and escapes what would steer the terminal: a line of the log may carry what
/// a peer sent.
pub(super) async fn write_text<W: Write>(writer: &mut W, text: &str) -> Result<(), W::Error> {
    let mut escape = [0; ENCODED];
    let mut rest = text;
    while let Some((at, found)) = rest.char_indices().find(|(_, c)| needs_escape(*c) && *c != '\t') {
        let (plain, tail) = rest.split_at(at);
        write_all(writer, plain.as_bytes()).await?;
        let shown = if found == '\n' {
            "\r\n"
        } else {
            encode(found, &mut escape)
        };
        write_all(writer, shown.as_bytes()).await?;
        rest = tail.get(found.len_utf8()..).unwrap_or_default();
    }
    write_all(writer, rest.as_bytes()).await
}

/// The columns of a character on a terminal.
pub(super) fn width(c: char) -> usize {
    c.width().unwrap_or(0)
}

#[cfg(test)]
mod tests;
