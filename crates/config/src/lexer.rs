//! The tokens of a defconfig, and their places.

use super::error::{Error, Fault, Found, name};
use super::escape::unescape;
use super::keys::Position;

/// A token of C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// `.`, `=`, `,`, `;`, `{`, `}` or `-`.
    Mark(u8),
    Word(&'a str),
    /// Digits and whatever letters adhere to them.
    Number(&'a str),
    /// A string literal, without its quotation marks, still escaped.
    Text(&'a [u8]),
    End,
}

impl Token<'_> {
    pub(super) fn found(self) -> Found {
        match self {
            Token::Mark(mark) => Found::Mark(char::from(mark)),
            Token::Word(word) => Found::Word(name(word)),
            Token::Number(number) => Found::Number(name(number)),
            Token::Text(_) => Found::Text,
            Token::End => Found::End,
        }
    }
}

/// Cuts a text into tokens. `at` is never beyond the end.
#[derive(Clone, Copy)]
pub(super) struct Lexer<'a> {
    pub(super) text: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Lexer<'a> {
    /// The next token, and where it starts.
    pub(super) fn next(&mut self) -> Result<(Token<'a>, usize), Error> {
        self.skip_blanks()?;
        let start = self.at;
        let rest = self.rest();
        let token = match rest.first() {
            None => Token::End,
            Some(&mark @ (b'.' | b'=' | b',' | b';' | b'{' | b'}' | b'-')) => {
                self.at += 1;
                Token::Mark(mark)
            }
            Some(b'"') => Token::Text(self.literal()?),
            Some(byte) if is_word(*byte) => {
                let length = rest.iter().position(|&byte| !is_word(byte)).unwrap_or(rest.len());
                self.at += length;
                // `is_word` accepts ASCII only.
                let word = rest
                    .get(..length)
                    .and_then(|word| core::str::from_utf8(word).ok())
                    .unwrap_or_default();
                if byte.is_ascii_digit() {
                    Token::Number(word)
                } else {
                    Token::Word(word)
                }
            }
            Some(&byte) => return Err(self.error(start, Fault::StrayByte(byte))),
        };
        Ok((token, start))
    }

    /// The next token, without taking it.
    pub(super) fn peek(&self) -> Result<(Token<'a>, usize), Error> {
        let mut ahead = *self;
        ahead.next()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skips white space and comments: `//` and `#` to the end of the line, `/* */`.
    fn skip_blanks(&mut self) -> Result<(), Error> {
        loop {
            let rest = self.rest();
            match rest {
                [0xef, 0xbb, 0xbf, ..] if self.at == 0 => self.at += 3,
                [b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c, ..] => self.at += 1,
                [b'#', ..] | [b'/', b'/', ..] => {
                    self.at += rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
                }
                [b'/', b'*', comment @ ..] => match comment.windows(2).position(|end| end == b"*/") {
                    Some(length) => self.at += length + 4,
                    None => return Err(self.error(self.at, Fault::UnterminatedComment)),
                },
                _ => return Ok(()),
            }
        }
    }

    /// The string literal that starts here, without its quotation marks.
    fn literal(&mut self) -> Result<&'a [u8], Error> {
        let start = self.at;
        let inner = self.text.get(start + 1..).unwrap_or_default();
        let mut length = 0;
        loop {
            match inner.get(length..).unwrap_or_default() {
                [b'"', ..] => break,
                [b'\\', b'\r', b'\n', ..] => length += 3,
                [b'\\', _, ..] => length += 2,
                [] | [b'\n' | b'\\', ..] => return Err(self.error(start, Fault::UnterminatedString)),
                _ => length += 1,
            }
        }
        self.at = start + length + 2;
        Ok(inner.get(..length).unwrap_or_default())
    }

    /// Line and column of the byte at `offset`.
    pub(super) fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        // UTF-8: bytes that continue a character are not columns of their own.
        let bytes = before.get(start..).unwrap_or_default();
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let column = bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count() + 1;
        Position {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    /// Where in the text the byte at `offset` of the joined strings that begin at `start` comes from.
    pub(super) fn locate(&self, start: usize, offset: usize) -> usize {
        let mut lexer = Lexer { at: start, ..*self };
        let mut left = offset;
        while let Ok((Token::Text(literal), start)) = lexer.next() {
            let found = unescape(literal, |at, _| match left.checked_sub(1) {
                Some(less) => {
                    left = less;
                    Ok(())
                }
                None => Err((at, ())),
            });
            if let Err((_, (at, ()))) = found {
                return start + 1 + at;
            }
        }
        start
    }

    pub(super) fn error(&self, offset: usize, fault: Fault) -> Error {
        Error {
            position: self.position(offset),
            key: None,
            fault,
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A number of C: decimal, hexadecimal (`0x`) or octal (`0`), perhaps with `u` and `l` behind it (C11 §6.4.4.1). One
/// that is too large comes out as `u64::MAX`.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['u', 'U', 'l', 'L']);
    if text.len() - digits.len() > 3 {
        return None;
    }
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    if digits.is_empty() {
        return None;
    }
    digits.chars().try_fold(0u64, |number, digit| {
        Some(
            number
                .saturating_mul(radix.into())
                .saturating_add(digit.to_digit(radix)?.into()),
        )
    })
}
