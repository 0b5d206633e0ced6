//! Output a screen at a time.

use core::fmt;

use super::console::{Console, Input, Size, Text, width, write_all, write_text};

/// What is shown where the output waits, and what removes it.
const MORE: &[u8] = b"--More--";
const GONE: &[u8] = b"\r        \r";

/// Bytes of one piece of output; what is longer is cut and marked.
pub(super) const PIECE: usize = 1024;

/// One piece of output, before it goes to the screen.
pub(super) type Piece = Text<PIECE>;

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

#[cfg(test)]
mod tests {
    use super::super::telnet::Telnet;
    use super::*;
    use crate::net::Transport as _;
    use crate::net::fake::connection;
    use crate::testing::block_on;
    use embedded_io_async::Write as _;
    use std::format;
    use std::string::String;

    /// What is sent of 30 lines to a screen of ten lines, somebody pressing `keys`; and whether that was enough.
    fn shown(offer: [u8; 3], keys: &[u8]) -> (String, bool) {
        let (mut peer, stream) = connection(1, 23, 65536);
        let mut telnet = Telnet::new(stream);
        let window = [255, 250, 31, 0, 80, 0, 10, 255, 240, b'!'];
        peer.say([&offer[..], &window, keys].concat());
        peer.shutdown();
        let mut input = Input::new();
        assert_eq!(block_on(input.byte(&mut telnet)).unwrap(), Some(b'!'));
        let mut pager = Pager::new(&mut telnet, &mut input);
        block_on(async {
            for n in 1..=30 {
                pager.print(format_args!("line {n}\n")).await.unwrap();
            }
        });
        let quit = pager.quit();
        block_on(telnet.flush()).unwrap();
        let said = peer.arrived();
        (
            said.split_once("line").map(|(_, tail)| format!("line{tail}")).unwrap(),
            quit,
        )
    }

    const DO_ECHO: [u8; 3] = [255, 253, 1];
    const DONT_ECHO: [u8; 3] = [255, 254, 1];

    #[test]
    fn a_full_screen_waits_for_a_key() {
        let (said, quit) = shown(DO_ECHO, b"x q");
        assert!(quit);
        assert_eq!(said.matches("--More--").count(), 2);
        assert!(said.ends_with("line 18\r\n--More--\r        \r"), "{said}");
        let (said, quit) = shown(DO_ECHO, b" \r\r  ");
        assert!(!quit);
        assert_eq!(said.matches("--More--").count(), 5);
        assert!(said.contains("line 18\r\n--More--\r        \rline 19\r\n--More--\r        \rline 20\r\n--More--"));
        assert!(said.ends_with("line 30\r\n"));
    }

    #[test]
    fn the_end_of_the_input_ends_the_output() {
        let (said, quit) = shown(DO_ECHO, b" ");
        assert!(quit && said.contains("line 18") && !said.contains("line 19"));
    }

    #[test]
    fn a_script_is_never_kept_waiting() {
        let (said, quit) = shown(DONT_ECHO, b"next command");
        assert!(!quit && !said.contains("More") && said.ends_with("line 30\r\n"));
    }

    #[test]
    fn long_lines_count_as_the_rows_they_take() {
        let (mut peer, stream) = connection(1, 23, 65536);
        let mut telnet = Telnet::new(stream);
        peer.say([&DO_ECHO[..], &[255, 250, 31, 0, 40, 0, 10, 255, 240, b'!', b'q']].concat());
        peer.shutdown();
        let mut input = Input::new();
        block_on(input.byte(&mut telnet)).unwrap();
        let mut pager = Pager::new(&mut telnet, &mut input);
        for _ in 0..8 {
            block_on(pager.print(format_args!("{}\n", "x".repeat(100)))).unwrap();
        }
        assert!(pager.quit());
        block_on(telnet.flush()).unwrap();
        assert_eq!(peer.arrived().matches("\r\n").count(), 3);
    }
}
