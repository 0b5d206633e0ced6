//! PEM blocks and their DER (RFC 7468, lax grammar).
//!
//! White space is allowed around every line and within the base64, whose lines may have any length (RFC 7468 §2, §3),
//! since mail programs, editors and tools on other systems write it. BEGIN and END still need lines of their own.

use core::fmt;
use core::ops::Range;

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroize as _;

/// The start of a BEGIN line (RFC 7468 §2).
const BEGIN: &[u8] = b"-----BEGIN ";
/// The start of an END line.
const END: &[u8] = b"-----END ";
/// The end of both lines.
const DASHES: &[u8] = b"-----";
/// The byte order mark of UTF-8, which some editors put in front of a file.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// The number of base64 characters decoded at a time: a multiple of four.
const CHUNK: usize = 64;

/// Whether a line, without its line end, starts like the END line of a block.
pub fn is_end(line: &[u8]) -> bool {
    bare(line).starts_with(END)
}

/// Whether a line, without its line end, starts like the BEGIN line of a block.
pub fn is_begin(line: &[u8]) -> bool {
    bare(line).starts_with(BEGIN)
}

/// The blocks of a PEM text, in order. Text around them, as `openssl x509 -text` prints it, is skipped.
///
/// The iterator ends after an error.
pub fn blocks(text: &[u8]) -> Blocks<'_> {
    Blocks { text, at: 0, number: 0 }
}

/// The certificates of a PEM text, in order. A block with another label is an error, and so is a text without blocks.
pub fn certificates(text: &[u8]) -> impl Iterator<Item = Result<Block<'_>, PemError>> {
    only(text, PemFault::NoCertificate, |block| match block.label {
        "CERTIFICATE" => Ok(true),
        _ => Err(PemFault::NotACertificate),
    })
}

/// The revocation lists of a PEM text, in order, with errors as in [`certificates`].
pub fn crls(text: &[u8]) -> impl Iterator<Item = Result<Block<'_>, PemError>> {
    only(text, PemFault::NoCrl, |block| match block.label {
        "X509 CRL" => Ok(true),
        _ => Err(PemFault::NotACrl),
    })
}

/// The private keys of a PEM text, in order. Certificates and EC parameters beside them are skipped; a text without a
/// key is an error.
pub fn private_keys(text: &[u8]) -> impl Iterator<Item = Result<Block<'_>, PemError>> {
    only(text, PemFault::NoKey, |block| match block.label {
        "CERTIFICATE" | "EC PARAMETERS" => Ok(false),
        label if label.ends_with("PRIVATE KEY") => Ok(true),
        _ => Err(PemFault::NotAKey),
    })
}

/// The one private key of a PEM text. Certificates and EC parameters beside it are skipped.
pub fn private_key(text: &[u8]) -> Result<Block<'_>, PemError> {
    let mut found = None;
    for block in private_keys(text) {
        let block = block?;
        if found.is_some() {
            return Err(block.error(PemFault::SecondKey));
        }
        found = Some(block);
    }
    found.ok_or(PemError::whole(PemFault::NoKey))
}

/// The blocks that `wanted` selects; the error `none` if it selects none.
fn only<'a>(
    text: &'a [u8],
    none: PemFault,
    wanted: fn(&Block<'a>) -> Result<bool, PemFault>,
) -> impl Iterator<Item = Result<Block<'a>, PemError>> {
    let mut blocks = blocks(text);
    let mut none = Some(PemError::whole(none));
    core::iter::from_fn(move || {
        for block in blocks.by_ref() {
            let picked = block.and_then(|block| {
                let picked = wanted(&block).map_err(|fault| block.error(fault))?;
                Ok(Some(block).filter(|_| picked))
            });
            if let Some(result) = picked.transpose() {
                none = None;
                return Some(result);
            }
        }
        none.take().map(Err)
    })
}

/// The iterator over the blocks of a text.
#[derive(Debug, Clone)]
pub struct Blocks<'a> {
    text: &'a [u8],
    /// The position of the search: at most `text.len()`.
    at: usize,
    /// The number of blocks begun.
    number: usize,
}

/// The text of one block.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    /// The label: `CERTIFICATE`, `PRIVATE KEY`, `EC PRIVATE KEY` and so on.
    pub label: &'a str,
    /// Which block of the text it is, from 1.
    pub number: usize,
    /// Where in the text, in bytes, its BEGIN line starts.
    pub offset: usize,
    /// From BEGIN to the end of the END line.
    text: &'a [u8],
    /// Where in `text` the base64 is.
    body: Range<usize>,
}

impl Block<'_> {
    /// Decodes the block into the front of `out` and returns the number of bytes.
    ///
    /// # Errors
    /// [`PemFault::Base64`], [`PemFault::Encrypted`] or [`PemFault::TooLong`].
    pub fn decode(&self, out: &mut [u8]) -> Result<usize, PemError> {
        let body = self.text.get(self.body.clone()).unwrap_or_default();
        let mut letters = heapless::Vec::<u8, CHUNK>::new();
        let mut length = 0_usize;
        for &letter in body.iter().filter(|byte| !is_blank(**byte)) {
            if letters.is_full() {
                // Padding ends the base64.
                if letters.last() == Some(&b'=') {
                    return Err(self.base64(body));
                }
                let free = out.get_mut(length..).unwrap_or_default();
                length = length.saturating_add(self.decode_chunk(&letters, body, free)?);
                letters.clear();
            }
            let _ = letters.push(letter); // there is room: see above
        }
        let free = out.get_mut(length..).unwrap_or_default();
        length = length.saturating_add(self.decode_chunk(&letters, body, free)?);
        letters.as_mut_slice().zeroize();
        if length == 0 {
            return Err(self.base64(body));
        }
        Ok(length)
    }

    fn decode_chunk(&self, letters: &[u8], body: &[u8], out: &mut [u8]) -> Result<usize, PemError> {
        let mut der = [0; CHUNK / 4 * 3];
        let found = Base64::decode(letters, &mut der).map_err(|_| self.base64(body))?;
        let room = out.get_mut(..found.len()).ok_or(self.error(PemFault::TooLong))?;
        room.copy_from_slice(found);
        let length = found.len();
        der.zeroize();
        Ok(length)
    }

    /// An error about this block.
    pub fn error(&self, fault: PemFault) -> PemError {
        PemError {
            number: self.number,
            offset: self.offset,
            fault,
        }
    }

    /// The fault in the base64 of `body`, with its position if it has one.
    fn base64(&self, body: &[u8]) -> PemError {
        // RFC 1421 headers, which OpenSSL writes into keys encrypted the old way.
        if contains(body, b"Proc-Type:") {
            return self.error(PemFault::Encrypted);
        }
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        let stray = body.iter().position(|&byte| !is_blank(byte) && !is_base64(byte));
        PemError {
            offset: self
                .offset
                .saturating_add(stray.map_or(0, |at| self.body.start.saturating_add(at))),
            ..self.error(PemFault::Base64)
        }
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>, PemError>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.find();
        if !matches!(result, Some(Ok(_))) {
            self.at = self.text.len();
        }
        result
    }
}

impl<'a> Blocks<'a> {
    fn find(&mut self) -> Option<Result<Block<'a>, PemError>> {
        let begin = position(self.text, self.at, BEGIN)?;
        self.number = self.number.saturating_add(1);
        let fault = |offset, fault| {
            Some(Err(PemError {
                number: self.number,
                offset,
                fault,
            }))
        };
        if !self.line_starts_at(begin) {
            return fault(begin, PemFault::Begin);
        }
        let line = line(self.text.get(begin..)?);
        let Some(label) = line
            .trim_ascii_end()
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.strip_suffix(DASHES))
            .and_then(|label| core::str::from_utf8(label).ok())
            .filter(|label| {
                label
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ')
            })
        else {
            return fault(begin, PemFault::Begin);
        };
        let body = begin.saturating_add(line.len());
        let Some(end) = position(self.text, body, END) else {
            return fault(begin, PemFault::NoEnd);
        };
        if self.text.get(body..end).is_some_and(|body| contains(body, BEGIN)) {
            return fault(begin, PemFault::NoEnd);
        }
        let last = self::line(self.text.get(end..)?).trim_ascii_end();
        if !self.line_starts_at(end)
            || last.strip_prefix(END).and_then(|rest| rest.strip_suffix(DASHES)) != Some(label.as_bytes())
        {
            return fault(end, PemFault::End);
        }
        self.at = end.saturating_add(last.len());
        let text = self.text.get(begin..self.at)?;
        Some(Ok(Block {
            label,
            number: self.number,
            offset: begin,
            text,
            body: line.len()..end.saturating_sub(begin),
        }))
    }

    /// Whether only white space precedes `at` on its line.
    fn line_starts_at(&self, at: usize) -> bool {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.rsplit(|byte| matches!(byte, b'\r' | b'\n')).next();
        bare(line.unwrap_or_default()).is_empty()
    }
}

/// The lines of a block between BEGIN and END: base64 of DER, 64 characters a line (RFC 7468 §3). DER may be displayed in
/// parts of multiples of 48 bytes.
#[derive(Debug, Clone, Copy)]
pub struct Encoded<'a>(pub &'a [u8]);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.chunks(CHUNK / 4 * 3) {
            let mut text = [0; CHUNK];
            writeln!(f, "{}", Base64::encode(line, &mut text).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}

/// A fault in a PEM text, and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PemError {
    /// The number of the block, from 1; 0 if the fault concerns the whole text.
    pub number: usize,
    /// The position in the text, in bytes.
    pub offset: usize,
    /// The fault.
    pub fault: PemFault,
}

impl PemError {
    fn whole(fault: PemFault) -> Self {
        Self {
            number: 0,
            offset: 0,
            fault,
        }
    }
}

/// A fault in a PEM text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PemFault {
    /// It contains no certificate.
    NoCertificate,
    /// It contains no private key.
    NoKey,
    /// It contains no revocation list.
    NoCrl,
    /// A block is not a certificate.
    NotACertificate,
    /// A block is not a revocation list.
    NotACrl,
    /// A block is neither a private key nor allowed beside one.
    NotAKey,
    /// It contains a second private key.
    SecondKey,
    /// The BEGIN line is malformed or not on its own line.
    Begin,
    /// The END line is missing.
    NoEnd,
    /// The END line is not on its own line or has another label.
    End,
    /// The base64 between the lines is invalid.
    Base64,
    /// The key is encrypted with a passphrase.
    Encrypted,
    /// It does not fit into the buffer.
    TooLong,
}

impl fmt::Display for PemFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCertificate => "it contains no PEM certificate",
            Self::NoKey => "it contains no PEM private key",
            Self::NoCrl => "it contains no PEM revocation list",
            Self::NotACertificate => "this PEM block is not a certificate",
            Self::NotACrl => "this PEM block is not a revocation list",
            Self::NotAKey => "this PEM block is not a private key",
            Self::SecondKey => "it contains a second private key",
            Self::Begin => "the BEGIN line of the PEM block is malformed or not on its own line",
            Self::NoEnd => "the PEM block has no END line",
            Self::End => "the END line of the PEM block is not on its own line or does not match its BEGIN line",
            Self::Base64 => "the PEM block contains invalid base64",
            Self::Encrypted => "the key is encrypted with a passphrase",
            Self::TooLong => "the PEM block is too long",
        })
    }
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            0 => write!(f, "{}", self.fault),
            number => write!(f, "{} (block {number})", self.fault),
        }
    }
}

impl core::error::Error for PemError {}

/// `text` up to the end of its first line.
fn line(text: &[u8]) -> &[u8] {
    text.split(|byte| matches!(byte, b'\r' | b'\n'))
        .next()
        .unwrap_or_default()
}

/// A line without a byte order mark and the white space in front.
fn bare(line: &[u8]) -> &[u8] {
    line.strip_prefix(MARK).unwrap_or(line).trim_ascii_start()
}

/// White space as RFC 7468 §3 has it: `W`.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Where `what` first is in `text`, at `from` or later.
fn position(text: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let rest = text.get(from..)?;
    from.checked_add(rest.windows(what.len()).position(|window| window == what)?)
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    position(text, 0, what).is_some()
}

#[cfg(test)]
mod tests;
