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

struct Bench {
    editor: Editor,
    keys: Keys,
    screen: Screen,
    columns: u16,
    visible: bool,
    lines: Vec<String>,
    events: Vec<Event>,
}

fn bench() -> Bench {
    let mut editor = Editor::new();
    editor.begin();
    let mut screen = Screen::default();
    screen.show("> ");
    Bench {
        editor,
        keys: Keys::new(),
        screen,
        columns: 80,
        visible: true,
        lines: vec![],
        events: vec![],
    }
}

impl Bench {
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
    let mut bench = bench();
    bench.press("sttus\x02\x02\x02a");
    assert_eq!((bench.screen.text().as_str(), bench.screen.column), ("> status", 5));
    bench.press("\x01\x06X\x05!\x08\x01\x04");
    assert_eq!((bench.screen.text().as_str(), bench.screen.column), ("> Xtatus", 2));
    bench.press("\r");
    assert_eq!(bench.lines, ["Xtatus"]);
}

#[test]
fn kill_and_yank() {
    let mut bench = bench();
    bench
        .press("one two-three\x17\x19\x19\r")
        .press("a b\x15\x19\r")
        .press("abc\x01\x06\x0b\x05\x19\r");
    bench
        .press("10.0.2.15 x\x1b\x7f\x1b\x7f\r")
        .press("ab\x14\r")
        .press("abc\x01\x06\x14\r");
    bench.press("ab cd ef\x1b[1;5D\x1b[1;5D\x1bd\r");
    assert_eq!(
        bench.lines,
        ["one two-threetwo-three", "a b", "abc", "10.0.2.", "ba", "bac", "ab  ef"]
    );
}

#[test]
fn history_keeps_the_draft() {
    let mut bench = bench();
    bench.press("one\rtwo\rdra\x10\x10\x1b[A");
    assert_eq!((bench.screen.text().as_str(), bench.screen.bells), ("> one", 1));
    bench.press("\x0e\x0eft\r\x10\r");
    assert_eq!(bench.lines, ["one", "two", "draft", "draft"]);
    bench.press("\x1b[B");
    assert_eq!(bench.screen.bells, 2);
}

#[test]
fn tab_completes_as_far_as_it_is_certain() {
    let mut bench = bench();
    bench.press("stat\t");
    assert_eq!(bench.screen.text(), "> status ");
    bench.press("\x15se\t");
    assert_eq!(bench.screen.text(), "> ser");
    bench.press("\tv\tx\x01st\x02\x02\t\r").press("zz\t\r");
    assert_eq!(bench.lines[1], "zz");
    assert_eq!(bench.screen.bells, 1);
    let mut echo = Echo::new();
    bench.editor.line.push_str("se").unwrap();
    bench.editor.cursor = 2;
    bench.editor.key(Key::Tab, &scene(80, true), &mut echo);
    echo.clear();
    bench.editor.key(Key::Tab, &scene(80, true), &mut echo);
    assert!(
        echo.as_str().starts_with("\r\nserver  serial  \r\n\r> ser"),
        "{:?}",
        echo.as_str()
    );
}

#[test]
fn a_line_wider_than_the_terminal_scrolls() {
    let mut bench = bench();
    bench.columns = 24;
    let long: String = ('a'..='z').chain('A'..='Z').collect();
    bench.press(&long);
    assert_eq!(bench.screen.text(), "> GHIJKLMNOPQRSTUVWXYZ");
    bench.press("\x01");
    assert_eq!(
        (bench.screen.text().as_str(), bench.screen.column),
        ("> abcdefghijklmnopqrstu", 2)
    );
    bench.press("日本語\r");
    assert_eq!(bench.lines[0], format!("日本語{long}"));
}

#[test]
fn a_line_too_long_is_refused_and_not_cut() {
    let mut bench = bench();
    bench.press("x".repeat(LINE + 5)).press("\r");
    assert_eq!(
        (bench.events.as_slice(), bench.screen.bells),
        (&[Event::TooLong][..], 5)
    );
    bench.press("é".repeat(LINE / 2)).press("\x08ab\r");
    assert_eq!(bench.lines[0].len(), LINE);
    bench.press("ok\r");
    assert_eq!(bench.lines[1], "ok");
}

#[test]
fn control_c_gives_the_line_up_and_control_d_ends_an_empty_one() {
    let mut bench = bench();
    bench.press("abc\x03\x04ab\x01\x04\r");
    assert_eq!(bench.events, [Event::Abandoned, Event::End, Event::Line]);
    assert_eq!(bench.lines, ["b"]);
}

#[test]
fn without_a_terminal_nothing_is_shown() {
    let mut bench = bench();
    bench.visible = false;
    let screen = bench.screen.text();
    bench.press("a\tb\x08c\x10\x1b[D\x0c\r");
    assert_eq!(bench.lines, ["a c"]);
    assert_eq!((screen, bench.screen.bells), ("> ".into(), 0));
}

#[test]
fn no_sequence_of_bytes_breaks_the_editor() {
    // A small generator: every run sees the same bytes.
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut bench = bench();
    bench.columns = 24;
    for _ in 0..60_000 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let byte = match seed % 5 {
            0 => (seed >> 8) as u8 % 32,
            1 => b"\x1b[ACD3~\x7f"[(seed >> 8) as usize % 8],
            _ => (seed >> 8) as u8,
        };
        bench.press([byte]);
        assert!(bench.editor.line.is_char_boundary(bench.editor.cursor));
        bench.lines.clear();
    }
}
