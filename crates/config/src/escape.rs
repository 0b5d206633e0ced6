//! The escapes in strings of C.

use super::error::Fault;

/// Calls `each` with every byte that `literal` stands for, and where in it that stands (C11 §6.4.4.4, §6.4.5).
/// An error comes with the place at which it was found.
pub(super) fn unescape<E: From<EscapeFault>>(
    literal: &[u8],
    mut each: impl FnMut(usize, u8) -> Result<(), E>,
) -> Result<(), (usize, E)> {
    let mut at = 0;
    while let Some((&first, rest)) = literal.get(at..).and_then(<[u8]>::split_first) {
        let (byte, length) = match (first, rest) {
            (b'\\', [b'\r', b'\n', ..]) => (None, 3),
            (b'\\', [b'\n', ..]) => (None, 2),
            (b'\\', _) => {
                let (byte, length) = escape(rest).ok_or((at, E::from(EscapeFault)))?;
                (Some(byte), 1 + length)
            }
            _ => (Some(first), 1),
        };
        if let Some(byte) = byte {
            each(at, byte).map_err(|error| (at, error))?;
        }
        at += length;
    }
    Ok(())
}

/// A backslash and what is no escape.
pub(super) struct EscapeFault;

impl From<EscapeFault> for Fault {
    fn from(_: EscapeFault) -> Self {
        Fault::Escape
    }
}

/// While looking for a place that was reached before, escapes are known to be right.
impl From<EscapeFault> for (usize, ()) {
    fn from(_: EscapeFault) -> Self {
        (0, ())
    }
}

/// The byte that the escape stands for, and how many bytes it takes without its backslash.
fn escape(text: &[u8]) -> Option<(u8, usize)> {
    let digits = |text: &[u8], radix| {
        text.iter()
            .take_while(|&&byte| char::from(byte).is_digit(radix))
            .count()
    };
    let value = |text: &[u8], radix| u8::from_str_radix(core::str::from_utf8(text).ok()?, radix).ok();
    Some(match text {
        [b'x', hex @ ..] => {
            let length = digits(hex, 16);
            (value(hex.get(..length)?, 16)?, length + 1)
        }
        [b'0'..=b'7', ..] => {
            let length = digits(text, 8).min(3);
            (value(text.get(..length)?, 8)?, length)
        }
        [letter, ..] => {
            let byte = match letter {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'a' => 0x07,
                b'b' => 0x08,
                b'v' => 0x0b,
                b'f' => 0x0c,
                b'"' | b'\\' | b'\'' | b'?' => *letter,
                _ => return None,
            };
            (byte, 1)
        }
        [] => return None,
    })
}
