use std::string::ToString;

use super::*;

#[test]
fn short_text_is_unchanged() {
    let text = Text::<8>::new("localhos");
    assert_eq!((text.as_str(), text.is_empty()), ("localhos", false));
    assert_eq!(text.to_string(), "localhos");
    assert_eq!(
        std::format!("{text:?} {:>4}|", Text::<8>::new("a")),
        "\"localhos\"    a|"
    );
    assert!(Text::<8>::new("").is_empty());
    assert_eq!(text, Text::of("localhos"));
}

#[test]
fn long_text_is_cut_between_characters() {
    assert_eq!(Text::<8>::new("localhost").as_str(), "local…");
    assert_eq!(Text::<8>::new("ééééé").as_str(), "éé…");
    assert_eq!(Text::<3>::new("abcd").as_str(), "…");
    assert_eq!(Text::<8>::new("abcd中中").as_str(), "abcd…");
    assert_eq!(Text::<9>::new("abcdef\u{1b}").as_str(), "abcdef…");
    assert_eq!(Text::<16>::new("abcdef\u{1b}\u{1b}").as_str(), "abcdef\\u{1b}…");
    assert_eq!(Text::<15>::new("abcdef\u{1b}\u{1b}").as_str(), "abcdef\\u{1b}…");
    assert_eq!(Text::<14>::new("abcdef\u{1b}\u{1b}").as_str(), "abcdef…");
    assert_eq!(Text::<96>::new(&"x".repeat(500)).as_str().len(), 96);
}

#[test]
fn bytes_are_shown_in_hexadecimal() {
    let hex = Hex(&[0x0a, 0xff, 0]);
    assert_eq!(std::format!("{hex} {hex:#} {}", Hex(&[])), "0aff00 0a ff 00 ");
}

#[test]
fn one_is_singular() {
    let count = |number| Count::of(number, "line").to_string();
    assert_eq!([count(0), count(1), count(2)], ["0 lines", "1 line", "2 lines"]);
}

#[test]
fn terminal_controls_are_escaped() {
    assert_eq!(
        Text::<64>::new("a\u{1b}[2J\n\u{9b}\u{202e}b").as_str(),
        "a\\u{1b}[2J\\n\\u{9b}\\u{202e}b"
    );
    for harmful in [
        '\0',
        '\u{7f}',
        '\u{ad}',
        '\u{61c}',
        '\u{180e}',
        '\u{200b}',
        '\u{200c}',
        '\u{200d}',
        '\u{200e}',
        '\u{200f}',
        '\u{2028}',
        '\u{202a}',
        '\u{202e}',
        '\u{2060}',
        '\u{2065}',
        '\u{2066}',
        '\u{206f}',
        '\u{feff}',
        '\u{fffb}',
        '\u{e0041}',
    ] {
        let text = Text::<16>::of(harmful);
        assert!(text.as_str().starts_with('\\') && text.as_str().is_ascii(), "{text}");
    }
    for harmless in ['a', '\\', 'é', '日', '🦀', '\u{301}', '\u{10ffff}'] {
        assert_eq!(encode(harmless, &mut [0; ENCODED]), harmless.to_string());
    }
}
