//! Output a screen at a time.

use core::fmt;

use super::ReportWriter;
use super::console::{Console, Input, Size, TextBuffer, width, write_all, write_text};

/// The prompt where the output waits, and the sequence that removes it.
const MORE: &[u8] = b"--More--";
const GONE: &[u8] = b"\r        \r";

/// Bytes of one piece of output; what is longer is cut and marked.
pub(super) const PIECE: usize = 1024;

/// One piece of output, before it goes to the screen.
pub(super) type Piece = TextBuffer<PIECE>;

/// Counts lines, and waits for a key when the screen is full: blank for the next screen, Enter for the next line, `q`
/// for no more. A console without a person never waits.
pub(super) struct Pager<'a, C> {
    console: &'a mut C,
    input: &'a mut Input,
    /// Lines shown since the last key.
    lines: usize,
    column: usize,
    quit: bool,
}

impl<'a, C: Console> Pager<'a, C> {
    pub(super) fn new(console: &'a mut C, input: &'a mut Input) -> Self {
        Pager {
            console,
            input,
            lines: 0,
            column: 0,
            quit: false,
        }
    }

    /// Whether no more is wanted: `q` was pressed, or the input has ended.
    pub(super) fn quit(&self) -> bool {
        self.quit
    }

    /// Shows a piece.
    pub(super) async fn show(&mut self, piece: &Piece) -> Result<(), C::Error> {
        for line in piece.as_str().split_inclusive('\n') {
            if self.column == 0 {
                self.wait().await?;
            }
            if self.quit {
                return Ok(());
            }
            write_text(self.console, line).await?;
            let Size { columns, .. } = self.console.size();
            let columns = usize::from(columns);
            self.column += line.chars().filter(|c| *c != '\n').map(width).sum::<usize>();
            if line.ends_with('\n') {
                self.lines += self.column.saturating_sub(1) / columns + 1;
                self.column = 0;
            }
        }
        if piece.is_cut() {
            write_text(self.console, "...\n").await?;
            (self.lines, self.column) = (self.lines + 1, 0);
        }
        Ok(())
    }

    /// Formats and shows.
    pub(super) async fn print(&mut self, text: impl fmt::Display) -> Result<(), C::Error> {
        let mut piece = Piece::new();
        let _ = fmt::Write::write_fmt(&mut piece, format_args!("{text}"));
        self.show(&piece).await
    }

    async fn wait(&mut self) -> Result<(), C::Error> {
        let screen = usize::from(self.console.size().rows).saturating_sub(1);
        if self.quit || !self.console.interactive() || self.lines < screen {
            return Ok(());
        }
        write_all(self.console, MORE).await?;
        self.console.flush().await?;
        loop {
            match self.input.byte(self.console).await? {
                Some(b' ' | b'f') => self.lines = 0,
                Some(b'\r' | b'\n') => self.lines = screen.saturating_sub(1),
                Some(b'q' | b'Q' | 0x03 | 0x04) | None => self.quit = true,
                Some(_) => continue,
            }
            break;
        }
        write_all(self.console, GONE).await?;
        self.column = 0;
        Ok(())
    }
}

impl<C: Console> ReportWriter for Pager<'_, C> {
    type Error = C::Error;

    async fn section(&mut self, section: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> Result<(), C::Error> {
        if self.quit {
            return Ok(());
        }
        let mut piece = Piece::new();
        let _ = section(&mut piece); // what does not fit is marked
        self.show(&piece).await
    }
}

#[cfg(test)]
mod tests;
