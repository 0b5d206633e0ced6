use super::*;
use std::vec::Vec;

fn keys(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Keys::new();
    bytes.iter().filter_map(|byte| keys.push(*byte)).collect()
}

#[test]
fn one_line_end_however_it_is_written() {
    assert_eq!(keys(b"\r\n\n\r\r\n"), [Key::Enter; 4]);
}

#[test]
fn arrows_home_end_delete_and_words() {
    assert_eq!(
        keys(b"\x1b[A\x1bOB\x1b[C\x1b[D\x1b[H\x1b[4~\x1b[3~\x1b[1;5C\x1b[1;3D\x1bb\x1bf\x1bd\x1b\x7f"),
        [
            Key::Up,
            Key::Down,
            Key::Right,
            Key::Left,
            Key::Home,
            Key::End,
            Key::Delete,
            Key::WordRight,
            Key::WordLeft,
            Key::WordLeft,
            Key::WordRight,
            Key::KillWord,
            Key::KillWordBack,
        ]
    );
}

#[test]
fn a_sequence_never_swallows_the_line_after_it() {
    assert_eq!(keys(b"\x1b\r"), [Key::Enter]);
    assert_eq!(keys(b"\x1b[12\rx"), [Key::Enter, Key::Char('x')]);
    let mut endless = b"\x1b[".to_vec();
    endless.extend([b'9'; 100]);
    assert!(keys(&endless).iter().all(|key| *key == Key::Char('9')));
    assert!(!keys(&endless).is_empty(), "an endless sequence must end");
}

#[test]
fn utf8_is_assembled_and_rubbish_is_dropped() {
    assert_eq!(
        keys("é日🦀".as_bytes()),
        [Key::Char('é'), Key::Char('日'), Key::Char('🦀')]
    );
    assert_eq!(
        keys(b"\xe6\x97a\xffb\x80\xc0\xafc"),
        [Key::Char('a'), Key::Char('b'), Key::Char('c')]
    );
    assert_eq!(
        keys("\u{9b}\u{202e}31m".as_bytes()),
        [Key::Char('3'), Key::Char('1'), Key::Char('m')]
    );
}

#[test]
fn every_pair_of_bytes_after_every_beginning_is_survived() {
    for prefix in [&b""[..], b"\x1b", b"\x1b[", b"\x1bO", b"\x1b[1;", b"\xf0\x9f"] {
        for pair in 0..=u16::MAX {
            let mut decoder = Keys::new();
            for byte in prefix.iter().copied().chain(pair.to_be_bytes()) {
                decoder.push(byte);
            }
            decoder.push(b'\r');
            assert_eq!(decoder.push(b'k'), Some(Key::Char('k')));
        }
    }
}
