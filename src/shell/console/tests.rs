use super::*;
use core::fmt::Write as _;

#[test]
fn text_is_cut_at_a_character() {
    let mut text = TextBuffer::<5>::new();
    text.write_str("abcé").unwrap();
    assert_eq!((text.as_str(), text.is_cut()), ("abcé", false));
    text.clear();
    text.write_str("abcdé").unwrap();
    text.write_str("f").unwrap();
    assert_eq!((text.as_str(), text.is_cut()), ("abcd", true));
}

#[test]
fn sizes_that_terminals_claim_are_bounded() {
    assert_eq!(Size::clamped(0, 0), Size::DEFAULT);
    assert_eq!(Size::clamped(132, 43), Size { columns: 132, rows: 43 });
    assert_eq!(Size::clamped(1, 1), Size { columns: 24, rows: 3 });
    assert_eq!(
        Size::clamped(65535, 65535),
        Size {
            columns: 250,
            rows: 500
        }
    );
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let mut out = [0u8; 64];
    let mut rest = &mut out[..];
    crate::testing::block_on(write_text(&mut rest, "a\x1b[2J\nb\tc\u{61c}é")).unwrap();
    let left = rest.len();
    assert_eq!(&out[..64 - left], "a\\u{1b}[2J\r\nb\tc\\u{61c}é".as_bytes());
}
