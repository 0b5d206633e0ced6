//! A bundle of CA certificates of the size that Linux distributions ship.
//!
//! It does not fit into [`Config`](super::Config), which stores where it stands in the text and how much memory it takes.
//! The caller reads it again, into memory allocated only then.

use core::fmt;

use heapless::Vec;

use super::ders::{self, Located};
use super::error::{Error, Fault};
use super::lexer::{Lexer, Token};
use super::parser::Scratch;
use super::{MAX_ROOT_DER, MAX_ROOTS, MAX_STRING};
use postern_tls::pki::pem::{self, PemError, PemFault};

/// A bundle of certificates in the text of a configuration.
#[derive(Clone, Copy, Default)]
pub struct Bundle {
    place: Option<Place>,
    count: usize,
    der_len: usize,
    ders: &'static [&'static [u8]],
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle({} of {} bytes)", self.count, self.der_len)
    }
}

/// Where the PEM of a bundle stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In the strings that begin at this byte of the text.
    Strings(usize),
    /// In a file, which is there at build time.
    File,
}

impl Bundle {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            place: None,
            count: 0,
            der_len: 0,
            ders: &[],
        }
    }

    /// How many certificates there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes their DER takes together.
    pub const fn der_len(&self) -> usize {
        self.der_len
    }

    /// Whether they are in a file, rather than in the text.
    pub const fn is_file(&self) -> bool {
        matches!(self.place, Some(Place::File))
    }

    /// The certificates in DER, once [`Bundle::keep`] has them.
    pub const fn ders(&self) -> &'static [&'static [u8]] {
        self.ders
    }

    /// Takes what `read` found, in memory that stays.
    pub const fn keep(&mut self, ders: &'static [&'static [u8]]) {
        self.ders = ders;
    }

    /// Calls `each` with each certificate in DER. `text` is the text of the configuration that this comes from, or of the
    /// file that it names.
    ///
    /// # Errors
    /// Never with that text: it has been read before.
    pub fn read(&self, text: &[u8], scratch: &mut Scratch, each: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        match self.place {
            None => Ok(()),
            Some(Place::Strings(at)) => read_strings(&mut Lexer { text, at }, scratch, each).map(|_| ()),
            Some(Place::File) => {
                let located = |(_, fault)| Lexer { text, at: 0 }.error(0, fault);
                read_file(text, scratch, each).map(|_| ()).map_err(located)
            }
        }
    }

    /// Reads the strings that come next, and takes note of what is in them.
    pub(super) fn take_strings(&mut self, lexer: &mut Lexer<'_>, scratch: &mut Scratch) -> Result<(), Error> {
        let at = lexer.at;
        let mut len = 0;
        let count = read_strings(lexer, scratch, &mut |der| len += der.len())?;
        *self = Self {
            place: Some(Place::Strings(at)),
            count,
            der_len: len,
            ders: &[],
        };
        Ok(())
    }

    /// Reads the content of a file, and takes note of what is in it.
    pub(super) fn take_file(&mut self, content: &[u8], scratch: &mut Scratch) -> Result<(), Located> {
        let mut len = 0;
        let count = read_file(content, scratch, &mut |der| len += der.len())?;
        *self = Self {
            place: Some(Place::File),
            count,
            der_len: len,
            ders: &[],
        };
        Ok(())
    }
}

/// Reads adjacent strings; how many certificates there are in them. Empty strings have none.
fn read_strings(lexer: &mut Lexer<'_>, scratch: &mut Scratch, each: &mut dyn FnMut(&[u8])) -> Result<usize, Error> {
    let start = lexer.at;
    let mut cutter = Cutter::new(scratch, each);
    let mut result = Ok(());
    while let (true, (Token::Text(literal), begin)) = (result.is_ok(), lexer.peek()?) {
        lexer.next()?;
        super::escape::unescape(literal, |_, byte| match result {
            Ok(()) => {
                result = cutter.push(byte);
                Ok(())
            }
            Err(_) => Ok::<_, Fault>(()),
        })
        .map_err(|(at, fault)| lexer.error(begin + 1 + at, fault))?;
    }
    let result = result.and_then(|()| cutter.finish());
    scratch.wipe();
    result.map_err(|(offset, fault)| {
        let lexer = Lexer { at: start, ..*lexer };
        lexer.error(lexer.locate(start, offset), fault)
    })
}

fn read_file(content: &[u8], scratch: &mut Scratch, each: &mut dyn FnMut(&[u8])) -> Result<usize, Located> {
    let mut cutter = Cutter::new(scratch, each);
    let result = content.iter().try_for_each(|&byte| cutter.push(byte));
    let result = result.and_then(|()| cutter.finish());
    scratch.wipe();
    match result {
        Ok(0) => Err(ders::located(nothing())),
        result => result,
    }
}

/// Cuts a text into PEM blocks as its bytes come.
struct Cutter<'s> {
    /// What has come since the last block.
    bytes: &'s mut Vec<u8, MAX_STRING>,
    /// How much came before that.
    before: usize,
    count: usize,
    each: &'s mut dyn FnMut(&[u8]),
}

impl<'s> Cutter<'s> {
    fn new(scratch: &'s mut Scratch, each: &'s mut dyn FnMut(&[u8])) -> Self {
        scratch.wipe();
        Self {
            bytes: scratch.bytes(),
            before: 0,
            count: 0,
            each,
        }
    }

    fn push(&mut self, byte: u8) -> Result<(), Located> {
        self.bytes.push(byte).map_err(|_| (self.before, Fault::StringTooLong))?;
        let is_line_end = |byte: u8| matches!(byte, b'\r' | b'\n');
        let ends = is_line_end(byte) && {
            let line = self.bytes.iter().rev().skip(1);
            let start = self.bytes.len() - 1 - line.take_while(|&&byte| !is_line_end(byte)).count();
            self.bytes.get(start..).is_some_and(pem::is_end)
        };
        if ends { self.cut() } else { Ok(()) }
    }

    /// The end of the text; how many certificates there were.
    fn finish(mut self) -> Result<usize, Located> {
        let rest = self.bytes.as_slice();
        let more = rest.windows(5).any(|window| window == b"-----");
        if more || (self.count == 0 && self.before + rest.len() > 0) {
            self.cut()?;
        }
        Ok(self.count)
    }

    fn cut(&mut self) -> Result<(), Located> {
        let Self {
            bytes,
            before,
            count,
            each,
        } = self;
        for block in pem::certificates(bytes) {
            let mut der = [0; MAX_ROOT_DER];
            let block = block.and_then(|block| Ok((block.offset, block.decode(&mut der)?)));
            let (offset, length) = block.map_err(|error| {
                ders::located(PemError {
                    number: error.number.saturating_add(*count),
                    offset: before.saturating_add(error.offset),
                    ..error
                })
            })?;
            if *count == MAX_ROOTS {
                return Err((before.saturating_add(offset), Fault::TooMany(MAX_ROOTS)));
            }
            *count += 1;
            each(der.get(..length).unwrap_or_default());
        }
        *before += bytes.len();
        bytes.clear();
        Ok(())
    }
}

fn nothing() -> PemError {
    PemError {
        number: 0,
        offset: 0,
        fault: PemFault::NoCertificate,
    }
}
