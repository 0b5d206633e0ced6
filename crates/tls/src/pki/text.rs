//! Short texts stored by value in errors.

use core::fmt::{self, Write};

/// The end of a text that was cut.
const ELLIPSIS: &str = "…";

/// A text of at most `N` bytes of UTF-8 (`N` is at most 255), held inline. What is too long is cut at the end
/// of a character, and ends in `…`.
///
/// It may come from a peer and go to a terminal, so control characters and those that change the writing direction are
/// escaped, as in `\u{1b}`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<const N: usize = 96> {
    bytes: [u8; N],
    len: u8,
    /// The end of the last character, encoded, behind which there is room for the ellipsis.
    kept: u8,
}

impl<const N: usize> Text<N> {
    /// The start of `text`.
    pub fn new(text: &str) -> Self {
        Self::of(format_args!("{text}"))
    }

    /// The start of the displayed `value`.
    pub fn of(value: impl fmt::Display) -> Self {
        const { assert!(N <= u8::MAX as usize && N >= ELLIPSIS.len()) };
        let mut text = Self {
            bytes: [0; N],
            len: 0,
            kept: 0,
        };
        // Fails when the text is full, which is not an error.
        let _ = write!(text, "{value}");
        text
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends all of `piece` or nothing.
    fn push(&mut self, piece: &str) -> fmt::Result {
        let start = usize::from(self.len);
        let end = start.checked_add(piece.len()).ok_or(fmt::Error)?;
        let room = self.bytes.get_mut(start..end).ok_or(fmt::Error)?;
        room.copy_from_slice(piece.as_bytes());
        self.len = u8::try_from(end).map_err(|_| fmt::Error)?;
        Ok(())
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            if usize::from(self.len).saturating_add(ELLIPSIS.len()) <= N {
                self.kept = self.len;
            }
            if self.push(encode(letter, &mut [0; ENCODED])).is_err() {
                self.len = self.kept;
                self.push(ELLIPSIS)?;
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A number with a noun whose plural ends in `s`: `1 line`, `2 lines`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u64, pub &'static str);

impl Count {
    /// From a length.
    pub fn of(number: usize, noun: &'static str) -> Self {
        Self(u64::try_from(number).unwrap_or(u64::MAX), noun)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, noun) = self;
        write!(f, "{number} {noun}{}", if *number == 1 { "" } else { "s" })
    }
}

/// Bytes in hexadecimal: `0a1b`, or `0a 1b` by `{:#}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if index > 0 && f.alternate() {
                f.write_char(' ')?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The most bytes of an encoded character: those of `\u{10ffff}`.
pub const ENCODED: usize = 10;

/// Whether a terminal would interpret this character instead of showing it: control characters, line and paragraph
/// separators, and format characters (Unicode's Cc, Zl, Zp and Cf, without the visible signs of some scripts).
pub fn needs_escape(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The character in a form that is safe for a terminal: in UTF-8, or escaped, like `\n` or `\u{1b}`. All text that a peer
/// can choose passes through here on its way to the log, the shell or an error.
pub fn encode(letter: char, buffer: &mut [u8; ENCODED]) -> &str {
    let mut len = 0_usize;
    let escaped = letter.escape_default().filter(|_| needs_escape(letter));
    let plain = Some(letter).filter(|_| !needs_escape(letter));
    for part in escaped.chain(plain) {
        let room = buffer.get_mut(len..).unwrap_or_default();
        // An escape is ASCII of at most `ENCODED` bytes.
        if part.len_utf8() <= room.len() {
            len = len.saturating_add(part.encode_utf8(room).len());
        }
    }
    let bytes = buffer.get(..len).unwrap_or_default();
    core::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests;
