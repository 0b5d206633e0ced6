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
