//! The line editor: keys in, a line and terminal output out.
//!
//! Emacs keys, history and completion on one screen line, which scrolls sideways where the text is wider. The editor
//! does no input or output of its own, so that dropping a session half way through a line loses nothing but the line.

use core::fmt::Write as _;

use super::console::{TextBuffer, width};
use super::history::History;
use super::keys::Key;

/// Bytes in a line. A longer one is refused as a whole, never executed cut.
pub(super) const LINE: usize = 256;

/// The most that one key sends to the terminal: one redrawn line of the widest terminal and a list of completions.
pub(super) type Echo = TextBuffer<2048>;

/// Given the text before the cursor, offers each word that may stand in place of its last.
pub(super) type Completer<'a> = dyn Fn(&str, &mut dyn FnMut(&'static str)) + 'a;

/// The editor's view of the session.
pub(super) struct Scene<'a> {
    pub(super) prompt: &'a str,
    pub(super) columns: u16,
    /// Whether to show anything. Without it Tab is a blank.
    pub(super) visible: bool,
    pub(super) complete: &'a Completer<'a>,
}

/// The effect of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The line goes on.
    Editing,
    /// A line is complete; [`Editor::line`] has it.
    Line,
    /// A line is complete and had more than [`LINE`] bytes.
    TooLong,
    /// Control-C: the line is cancelled.
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
        // A shortened line is within the limit again.
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

    /// Redraws prompt and line: the part around the cursor that fits, the cursor in its place.
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
mod tests;
