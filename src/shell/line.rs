//! The line editor: keys in, a line and what the terminal must show out.
//!
//! Emacs keys, history and completion on one screen line, which scrolls sideways where the text is wider. The editor
//! does no input or output of its own, so that dropping a session half way through a line loses nothing but the line.

use core::fmt::Write as _;

use super::console::{Text, width};
use super::history::History;
use super::keys::Key;

/// Bytes in a line. A longer one is refused as a whole, never executed cut.
pub(super) const LINE: usize = 256;

/// What one key may send to the terminal: at most one redrawn line of the widest terminal and a list of completions.
pub(super) type Echo = Text<2048>;

/// Given the text before the cursor, offers each word that may stand in place of its last.
pub(super) type Completer<'a> = dyn Fn(&str, &mut dyn FnMut(&'static str)) + 'a;

/// What the editor needs to know of its surroundings.
pub(super) struct Scene<'a> {
    pub(super) prompt: &'a str,
    pub(super) columns: u16,
    /// Whether to show anything. Without it Tab is a blank.
    pub(super) visible: bool,
    pub(super) complete: &'a Completer<'a>,
}

/// What a key led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The line goes on.
    Editing,
    /// A line is complete; [`Editor::line`] has it.
    Line,
    /// A line is complete and had more than [`LINE`] bytes.
    TooLong,
    /// Control-C: the line is given up.
    Abandoned,
    /// Control-D on an empty line.
    End,
}

/// The line being edited, and what outlives it.
pub(super) struct Editor {
    line: heapless::String<LINE>,
    /// A character boundary of `line`.
    cursor: usize,
    overflow: bool,
    killed: heapless::String<LINE>,
    history: History,
    /// How many lines back in history the line came from; 0 is the line itself.
    back: usize,
    /// The line as it was before going back in history.
    draft: heapless::String<LINE>,
}

impl Editor {
    pub(super) const fn new() -> Self {
        Editor {
            line: heapless::String::new(),
            cursor: 0,
            overflow: false,
            killed: heapless::String::new(),
            history: History::new(),
            back: 0,
            draft: heapless::String::new(),
        }
    }

    /// The line, complete after [`Event::Line`].
    pub(super) fn line(&self) -> &str {
        &self.line
    }

    /// Begins an empty line.
    pub(super) fn begin(&mut self) {
        self.line.clear();
        (self.cursor, self.back, self.overflow) = (0, 0, false);
    }

    /// Takes a key. What the terminal is to show is added to `echo`.
    pub(super) fn key(&mut self, key: Key, scene: &Scene<'_>, echo: &mut Echo) -> Event {
        match key {
            Key::Enter => return self.enter(scene, echo),
            Key::Ctrl(b'c') => {
                show(scene, echo, "^C\r\n");
                return Event::Abandoned;
            }
            Key::Ctrl(b'd') if self.line.is_empty() && !self.overflow => {
                show(scene, echo, "\r\n");
                return Event::End;
            }
            Key::Char(c) => return self.insert(c, scene, echo),
            Key::Tab if scene.visible => return self.complete(scene, echo),
            Key::Tab => return self.insert(' ', scene, echo),
            _ => {}
        }
        match self.edit(key) {
            true => self.redraw(scene, echo, key == Key::Ctrl(b'l')),
            false => show(scene, echo, "\x07"),
        }
        Event::Editing
    }

    fn enter(&mut self, scene: &Scene<'_>, echo: &mut Echo) -> Event {
        show(scene, echo, "\r\n");
        if self.overflow {
            return Event::TooLong;
        }
        self.history.push(&self.line);
        Event::Line
    }

    fn insert(&mut self, c: char, scene: &Scene<'_>, echo: &mut Echo) -> Event {
        if !insert(&mut self.line, self.cursor, c.encode_utf8(&mut [0; 4])) {
            self.overflow = true;
            show(scene, echo, "\x07");
            return Event::Editing;
        }
        self.cursor += c.len_utf8();
        let at_end = self.cursor == self.line.len();
        if at_end && columns(scene.prompt) + columns(&self.line) < usize::from(scene.columns) {
            show(scene, echo, c.encode_utf8(&mut [0; 4]));
        } else {
            self.redraw(scene, echo, false);
        }
        Event::Editing
    }

    /// Applies an editing key; `false` if there was nothing to do.
    fn edit(&mut self, key: Key) -> bool {
        match key {
            Key::Left | Key::Ctrl(b'b') => self.go(self.left(self.cursor)),
            Key::Right | Key::Ctrl(b'f') => self.go(self.right(self.cursor)),
            Key::Home | Key::Ctrl(b'a') => {
                self.cursor = 0;
                true
            }
            Key::End | Key::Ctrl(b'e') => {
                self.cursor = self.line.len();
                true
            }
            Key::WordLeft => self.go(self.word_left()),
            Key::WordRight => self.go(self.word_right()),
            Key::Backspace => self.remove(self.left(self.cursor), self.cursor, false),
            Key::Delete | Key::Ctrl(b'd') => self.remove(self.cursor, self.right(self.cursor), false),
            Key::Ctrl(b'k') => self.remove(self.cursor, self.line.len(), true),
            Key::Ctrl(b'u') => self.remove(0, self.cursor, true),
            Key::Ctrl(b'w') => self.remove(self.blank_left(), self.cursor, true),
            Key::KillWordBack => self.remove(self.word_left(), self.cursor, true),
            Key::KillWord => self.remove(self.cursor, self.word_right(), true),
            Key::Ctrl(b'y') => {
                let fits = insert(&mut self.line, self.cursor, &self.killed);
                self.cursor += if fits { self.killed.len() } else { 0 };
                fits
            }
            Key::Ctrl(b't') => self.transpose(),
            Key::Up | Key::Ctrl(b'p') => self.recall(self.back + 1),
            Key::Down | Key::Ctrl(b'n') => self.back > 0 && self.recall(self.back - 1),
            Key::Ctrl(b'l') => true,
            _ => false,
        }
    }

    fn go(&mut self, to: usize) -> bool {
        core::mem::replace(&mut self.cursor, to) != to
    }

    fn remove(&mut self, from: usize, to: usize, kill: bool) -> bool {
        let Some(gone) = self.line.get(from..to).filter(|gone| !gone.is_empty()) else {
            return false;
        };
        if kill {
            self.killed.clear();
            // The same capacity as the line: it fits.
            let _ = self.killed.push_str(gone);
        }
        let mut rest = heapless::String::<LINE>::new();
        let _ = rest.push_str(self.line.get(to..).unwrap_or(""));
        self.line.truncate(from);
        let _ = self.line.push_str(&rest);
        self.cursor = from;
        // Whoever shortens a line that was too long has seen the bell, and decides what stands in it.
        self.overflow = false;
        true
    }

    fn transpose(&mut self) -> bool {
        let right = if self.cursor == self.line.len() {
            self.left(self.cursor)
        } else {
            self.cursor
        };
        let left = self.left(right);
        let end = self.right(right);
        let mut swapped = heapless::String::<8>::new();
        let parts = [self.line.get(right..end), self.line.get(left..right)];
        if parts.iter().any(|part| part.is_none_or(str::is_empty)) {
            return false;
        }
        for part in parts.into_iter().flatten() {
            let _ = swapped.push_str(part);
        }
        let killed_nothing = self.remove(left, end, false) && insert(&mut self.line, left, &swapped);
        self.cursor = end;
        killed_nothing
    }

    fn recall(&mut self, back: usize) -> bool {
        if self.back == 0 && back > 0 {
            self.draft.clone_from(&self.line);
        }
        let found = match back.checked_sub(1) {
            None => Some(self.draft.as_str()),
            Some(index) => self.history.back(index),
        };
        let Some(found) = found else { return false };
        self.line.clear();
        let _ = self.line.push_str(found);
        self.cursor = self.line.len();
        (self.back, self.overflow) = (back, false);
        true
    }

    fn complete(&mut self, scene: &Scene<'_>, echo: &mut Echo) -> Event {
        let before = self.line.get(..self.cursor).unwrap_or("");
        let typed = before.rsplit(' ').next().unwrap_or("").len();
        let (mut count, mut common) = (0, "");
        (scene.complete)(before, &mut |word| {
            common = if count == 0 { word } else { common_prefix(common, word) };
            count += 1;
        });
        let missing = common.get(typed..).unwrap_or("");
        let cursor = self.cursor;
        if !missing.is_empty() && insert(&mut self.line, cursor, missing) {
            self.cursor += missing.len();
        }
        if count == 1 && insert(&mut self.line, self.cursor, " ") {
            self.cursor += 1;
        }
        match (count, missing.is_empty()) {
            (0, _) => show(scene, echo, "\x07"),
            (2.., true) => {
                let before = self.line.get(..self.cursor).unwrap_or("");
                show(scene, echo, "\r\n");
                (scene.complete)(before, &mut |word| {
                    let _ = write!(echo, "{word}  ");
                });
                show(scene, echo, "\r\n");
                self.redraw(scene, echo, false);
            }
            _ => self.redraw(scene, echo, false),
        }
        Event::Editing
    }

    /// Draws prompt and line anew: the part around the cursor that fits, the cursor in its place.
    fn redraw(&self, scene: &Scene<'_>, echo: &mut Echo, clear: bool) {
        if !scene.visible {
            return;
        }
        // One column stays free, so that the terminal never wraps.
        let room = usize::from(scene.columns)
            .saturating_sub(columns(scene.prompt) + 1)
            .max(2);
        let mut start = 0;
        while columns(self.line.get(start..self.cursor).unwrap_or("")) >= room {
            start = self.right(start);
        }
        let shown = self.line.get(start..).unwrap_or("");
        let mut used = 0;
        let end = shown.char_indices().find(|(_, c)| {
            used += width(*c);
            used > room
        });
        let shown = end.and_then(|(at, _)| shown.get(..at)).unwrap_or(shown);
        let column = columns(scene.prompt) + columns(self.line.get(start..self.cursor).unwrap_or(""));
        let clear = if clear { "\x1b[H\x1b[2J" } else { "" };
        let _ = write!(echo, "{clear}\r{}{shown}\x1b[K\r", scene.prompt);
        if column > 0 {
            let _ = write!(echo, "\x1b[{column}C");
        }
    }

    fn left(&self, from: usize) -> usize {
        self.line
            .get(..from)
            .and_then(|text| text.char_indices().next_back())
            .map_or(0, |(at, _)| at)
    }

    fn right(&self, from: usize) -> usize {
        from + self
            .line
            .get(from..)
            .and_then(|text| text.chars().next())
            .map_or(0, char::len_utf8)
    }

    fn word_left(&self) -> usize {
        let before = self.line.get(..self.cursor).unwrap_or("");
        let word = before.trim_end_matches(|c: char| !c.is_alphanumeric());
        word.trim_end_matches(char::is_alphanumeric).len()
    }

    fn word_right(&self) -> usize {
        let after = self.line.get(self.cursor..).unwrap_or("");
        let word = after.trim_start_matches(|c: char| !c.is_alphanumeric());
        self.line.len() - word.trim_start_matches(char::is_alphanumeric).len()
    }

    fn blank_left(&self) -> usize {
        self.line
            .get(..self.cursor)
            .unwrap_or("")
            .trim_end()
            .trim_end_matches(|c: char| !c.is_whitespace())
            .len()
    }
}

fn show(scene: &Scene<'_>, echo: &mut Echo, text: &str) {
    if scene.visible {
        let _ = echo.write_str(text);
    }
}

fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// Inserts all of `text` at the boundary `at`, or nothing if it does not fit.
fn insert(line: &mut heapless::String<LINE>, at: usize, text: &str) -> bool {
    if text.is_empty() || line.len() + text.len() > LINE || !line.is_char_boundary(at) {
        return false;
    }
    let mut rest = heapless::String::<LINE>::new();
    let _ = rest.push_str(line.get(at..).unwrap_or(""));
    line.truncate(at);
    let _ = line.push_str(text);
    let _ = line.push_str(&rest);
    true
}

fn common_prefix(a: &'static str, b: &'static str) -> &'static str {
    let same = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    a.get(..same).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::super::keys::Keys;
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    const WORDS: [&str; 4] = ["status", "server", "serial", "stop"];

    fn scene(columns: u16, visible: bool) -> Scene<'static> {
        Scene {
            prompt: "> ",
            columns,
            visible,
            complete: &|before, offer| {
                let word = before.rsplit(' ').next().unwrap();
                WORDS
                    .iter()
                    .filter(|candidate| candidate.starts_with(word))
                    .for_each(|candidate| offer(candidate));
            },
        }
    }

    /// A terminal of one line, enough to see what the editor shows.
    #[derive(Default)]
    struct Screen {
        cells: Vec<char>,
        column: usize,
        bells: usize,
    }

    impl Screen {
        fn show(&mut self, text: &str) {
            let mut chars = text.chars();
            while let Some(c) = chars.next() {
                match c {
                    '\r' => self.column = 0,
                    '\n' => {
                        *self = Screen {
                            bells: self.bells,
                            ..Screen::default()
                        }
                    }
                    '\x07' => self.bells += 1,
                    '\x1b' => {
                        assert_eq!(chars.next(), Some('['));
                        let sequence: String = chars.by_ref().take_while(|c| c.is_ascii_digit()).collect::<String>();
                        match sequence.as_str() {
                            // `take_while` has eaten the final letter: K without, C with a number; J and H likewise.
                            "" => self.cells.truncate(self.column),
                            number => self.column = number.parse().unwrap(),
                        }
                    }
                    c => {
                        // A wide character takes two cells, of which the second stays a blank here.
                        for cell in core::iter::once(c).chain(core::iter::once(' ')).take(width(c)) {
                            self.cells.resize(self.cells.len().max(self.column + 1), ' ');
                            self.cells[self.column] = cell;
                            self.column += 1;
                        }
                    }
                }
            }
        }
        fn text(&self) -> String {
            self.cells.iter().collect()
        }
    }

    struct Desk {
        editor: Editor,
        keys: Keys,
        screen: Screen,
        columns: u16,
        visible: bool,
        lines: Vec<String>,
        events: Vec<Event>,
    }

    fn desk() -> Desk {
        let mut editor = Editor::new();
        editor.begin();
        let mut screen = Screen::default();
        screen.show("> ");
        Desk {
            editor,
            keys: Keys::new(),
            screen,
            columns: 80,
            visible: true,
            lines: vec![],
            events: vec![],
        }
    }

    impl Desk {
        fn press(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
            for byte in bytes.as_ref() {
                let Some(key) = self.keys.push(*byte) else { continue };
                let mut echo = Echo::new();
                let event = self.editor.key(key, &scene(self.columns, self.visible), &mut echo);
                assert!(!echo.is_cut());
                self.screen.show(echo.as_str());
                if event == Event::Line {
                    self.lines.push(self.editor.line().into());
                }
                if event != Event::Editing {
                    self.events.push(event);
                    self.editor.begin();
                    self.screen.show("> ");
                }
                assert!(
                    self.screen.cells.len() < usize::from(self.columns),
                    "the terminal would wrap"
                );
            }
            self
        }
    }

    #[test]
    fn the_screen_shows_the_line_and_the_cursor() {
        let mut desk = desk();
        desk.press("sttus\x02\x02\x02a");
        assert_eq!((desk.screen.text().as_str(), desk.screen.column), ("> status", 5));
        desk.press("\x01\x06X\x05!\x08\x01\x04");
        assert_eq!((desk.screen.text().as_str(), desk.screen.column), ("> Xtatus", 2));
        desk.press("\r");
        assert_eq!(desk.lines, ["Xtatus"]);
    }

    #[test]
    fn kill_and_yank() {
        let mut desk = desk();
        desk.press("one two-three\x17\x19\x19\r")
            .press("a b\x15\x19\r")
            .press("abc\x01\x06\x0b\x05\x19\r");
        desk.press("10.0.2.15 x\x1b\x7f\x1b\x7f\r")
            .press("ab\x14\r")
            .press("abc\x01\x06\x14\r");
        desk.press("ab cd ef\x1b[1;5D\x1b[1;5D\x1bd\r");
        assert_eq!(
            desk.lines,
            ["one two-threetwo-three", "a b", "abc", "10.0.2.", "ba", "bac", "ab  ef"]
        );
    }

    #[test]
    fn history_keeps_the_draft() {
        let mut desk = desk();
        desk.press("one\rtwo\rdra\x10\x10\x1b[A");
        assert_eq!((desk.screen.text().as_str(), desk.screen.bells), ("> one", 1));
        desk.press("\x0e\x0eft\r\x10\r");
        assert_eq!(desk.lines, ["one", "two", "draft", "draft"]);
        desk.press("\x1b[B");
        assert_eq!(desk.screen.bells, 2);
    }

    #[test]
    fn tab_completes_as_far_as_it_is_certain() {
        let mut desk = desk();
        desk.press("stat\t");
        assert_eq!(desk.screen.text(), "> status ");
        desk.press("\x15se\t");
        assert_eq!(desk.screen.text(), "> ser");
        desk.press("\tv\tx\x01st\x02\x02\t\r").press("zz\t\r");
        assert_eq!(desk.lines[1], "zz");
        assert_eq!(desk.screen.bells, 1);
        let mut echo = Echo::new();
        desk.editor.line.push_str("se").unwrap();
        desk.editor.cursor = 2;
        desk.editor.key(Key::Tab, &scene(80, true), &mut echo);
        echo.clear();
        desk.editor.key(Key::Tab, &scene(80, true), &mut echo);
        assert!(
            echo.as_str().starts_with("\r\nserver  serial  \r\n\r> ser"),
            "{:?}",
            echo.as_str()
        );
    }

    #[test]
    fn a_line_wider_than_the_terminal_scrolls() {
        let mut desk = desk();
        desk.columns = 24;
        let long: String = ('a'..='z').chain('A'..='Z').collect();
        desk.press(&long);
        assert_eq!(desk.screen.text(), "> GHIJKLMNOPQRSTUVWXYZ");
        desk.press("\x01");
        assert_eq!(
            (desk.screen.text().as_str(), desk.screen.column),
            ("> abcdefghijklmnopqrstu", 2)
        );
        desk.press("日本語\r");
        assert_eq!(desk.lines[0], format!("日本語{long}"));
    }

    #[test]
    fn a_line_too_long_is_refused_and_not_cut() {
        let mut desk = desk();
        desk.press("x".repeat(LINE + 5)).press("\r");
        assert_eq!((desk.events.as_slice(), desk.screen.bells), (&[Event::TooLong][..], 5));
        desk.press("é".repeat(LINE / 2)).press("\x08ab\r");
        assert_eq!(desk.lines[0].len(), LINE);
        desk.press("ok\r");
        assert_eq!(desk.lines[1], "ok");
    }

    #[test]
    fn control_c_gives_the_line_up_and_control_d_ends_an_empty_one() {
        let mut desk = desk();
        desk.press("abc\x03\x04ab\x01\x04\r");
        assert_eq!(desk.events, [Event::Abandoned, Event::End, Event::Line]);
        assert_eq!(desk.lines, ["b"]);
    }

    #[test]
    fn without_a_terminal_nothing_is_shown() {
        let mut desk = desk();
        desk.visible = false;
        let screen = desk.screen.text();
        desk.press("a\tb\x08c\x10\x1b[D\x0c\r");
        assert_eq!(desk.lines, ["a c"]);
        assert_eq!((screen, desk.screen.bells), ("> ".into(), 0));
    }

    #[test]
    fn no_sequence_of_bytes_breaks_the_editor() {
        // A small generator: every run sees the same bytes.
        let mut seed = 0x2545_f491_4f6c_dd1du64;
        let mut desk = desk();
        desk.columns = 24;
        for _ in 0..60_000 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let byte = match seed % 5 {
                0 => (seed >> 8) as u8 % 32,
                1 => b"\x1b[ACD3~\x7f"[(seed >> 8) as usize % 8],
                _ => (seed >> 8) as u8,
            };
            desk.press([byte]);
            assert!(desk.editor.line.is_char_boundary(desk.editor.cursor));
            desk.lines.clear();
        }
    }
}
