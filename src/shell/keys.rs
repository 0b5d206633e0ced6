//! A decoder from bytes to keys: UTF-8, control characters, escape sequences.

use crate::pki::text::needs_escape;

/// A key, or what means the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    WordLeft,
    WordRight,
    KillWord,
    KillWordBack,
    /// Control and a letter, given in lower case, where the terminal gives it no name of its own.
    Ctrl(u8),
}

/// A sequence longer than this is none that a keyboard sends; it is dropped.
const SEQUENCE: u8 = 24;

#[derive(Clone, Copy)]
enum State {
    Ground,
    /// The bytes of a character that is not complete.
    Utf8 {
        bytes: [u8; 4],
        len: usize,
    },
    Escape,
    /// `ESC O`: one more byte.
    Ss3,
    /// `ESC [`: parameters, then one byte from `@` to `~`.
    Csi {
        first: u16,
        second: u16,
        parameters: u8,
        seen: u8,
    },
}

/// The decoder. It takes any bytes, holds a few, and waits for none for ever: a control character ends what was begun.
pub(super) struct Keys {
    state: State,
    after_cr: bool,
}

impl Keys {
    pub(super) const fn new() -> Self {
        Keys {
            state: State::Ground,
            after_cr: false,
        }
    }

    /// Takes one byte. Bytes that complete no key, or are none, give `None`.
    pub(super) fn push(&mut self, byte: u8) -> Option<Key> {
        let after_cr = core::mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            // One end of line, whether it comes as CR, LF or CR LF.
            b'\n' if after_cr => None,
            0x1b => {
                self.state = State::Escape;
                None
            }
            0x00..0x20 | 0x7f if !matches!(self.state, State::Escape) => {
                self.state = State::Ground;
                control(byte)
            }
            _ => self.visible(byte),
        }
    }

    fn visible(&mut self, byte: u8) -> Option<Key> {
        match core::mem::replace(&mut self.state, State::Ground) {
            State::Ground => self.utf8([0; 4], 0, byte),
            State::Utf8 { bytes, len } if byte & 0xc0 == 0x80 => self.utf8(bytes, len, byte),
            // The character before was cut short; this byte starts a new one.
            State::Utf8 { .. } => self.utf8([0; 4], 0, byte),
            State::Escape => match byte {
                b'[' => {
                    self.state = State::Csi {
                        first: 0,
                        second: 0,
                        parameters: 0,
                        seen: 0,
                    };
                    None
                }
                b'O' => {
                    self.state = State::Ss3;
                    None
                }
                b'b' | b'B' => Some(Key::WordLeft),
                b'f' | b'F' => Some(Key::WordRight),
                b'd' | b'D' => Some(Key::KillWord),
                0x08 | 0x7f => Some(Key::KillWordBack),
                0x00..0x20 => control(byte),
                _ => None,
            },
            State::Ss3 => named(byte, false),
            State::Csi {
                first,
                second,
                parameters,
                seen,
            } => self.csi(byte, first, second, parameters, seen),
        }
    }

    fn csi(&mut self, byte: u8, first: u16, second: u16, parameters: u8, seen: u8) -> Option<Key> {
        let digit = u16::from(byte.wrapping_sub(b'0'));
        let append = |value: u16| value.saturating_mul(10).saturating_add(digit);
        match byte {
            b'~' => match first {
                1 | 7 => Some(Key::Home),
                4 | 8 => Some(Key::End),
                3 => Some(Key::Delete),
                _ => None,
            },
            // `ESC [ 1 ; 5 C`: with a modifier (5 Control, 3 Alt).
            0x40..=0x7e => named(byte, matches!(second, 3 | 5)),
            _ if seen >= SEQUENCE => None,
            _ => {
                let (first, second, parameters) = match (byte, parameters) {
                    (b'0'..=b'9', 0) => (append(first), second, 0),
                    (b'0'..=b'9', 1) => (first, append(second), 1),
                    (b';', _) => (first, second, parameters.saturating_add(1)),
                    _ => (first, second, parameters),
                };
                self.state = State::Csi {
                    first,
                    second,
                    parameters,
                    seen: seen + 1,
                };
                None
            }
        }
    }

    fn utf8(&mut self, mut bytes: [u8; 4], len: usize, byte: u8) -> Option<Key> {
        *bytes.get_mut(len)? = byte;
        let len = len + 1;
        match core::str::from_utf8(bytes.get(..len)?) {
            Ok(text) => text.chars().next().filter(|c| !needs_escape(*c)).map(Key::Char),
            Err(error) => {
                if error.error_len().is_none() {
                    self.state = State::Utf8 { bytes, len };
                }
                None
            }
        }
    }
}

fn control(byte: u8) -> Option<Key> {
    match byte {
        0 => None,
        b'\r' | b'\n' => Some(Key::Enter),
        b'\t' => Some(Key::Tab),
        0x08 | 0x7f => Some(Key::Backspace),
        1..=26 => Some(Key::Ctrl(byte | 0x60)),
        _ => None,
    }
}

fn named(byte: u8, modified: bool) -> Option<Key> {
    match (byte, modified) {
        (b'A', _) => Some(Key::Up),
        (b'B', _) => Some(Key::Down),
        (b'C', false) => Some(Key::Right),
        (b'D', false) => Some(Key::Left),
        (b'C', true) => Some(Key::WordRight),
        (b'D', true) => Some(Key::WordLeft),
        (b'H', _) => Some(Key::Home),
        (b'F', _) => Some(Key::End),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
