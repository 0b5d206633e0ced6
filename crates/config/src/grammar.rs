//! The text of a defconfig: tokens, designators, values.
//!
//! By hand rather than with parser combinators: there is no alternative to try and nothing to go back to, and every
//! single failure has a place, a key and a remedy of its own.

use core::net::Ipv4Addr;

use heapless::{String, Vec, VecView};
use zeroize::Zeroize;

use super::error::{Error, Fault, FileFault, Found, Name, PemSource};
use super::escape::unescape;
use super::keys::{Kind, Path, Position};
use super::{
    Config, Ders, Key, MAX_CERTIFICATES, MAX_CRLS, MAX_REVERSES, MAX_STRING, MAX_TEXT, Reverse, Slot, Subject, is_name,
};
use postern_tls::crypto::key::KeyError;
use postern_tls::pki::allow::KEY_HASH_PREFIX;
use postern_tls::pki::pem::{self, Block, PemError, PemFault};

/// Where `_file` keys are read from.
pub trait Files {
    /// Puts the content of the file `name` into `content` (empty at first), or says why it cannot.
    fn read(&mut self, name: &str, content: &mut Vec<u8, MAX_STRING>) -> Result<(), FileFault>;

    /// The content of the file `name`, which may be as long as [`MAX_TEXT`], or why it cannot be had.
    fn bundle(&mut self, name: &str) -> Result<&[u8], FileFault>;
}

/// The space in which strings are joined, wiped after each use. (32 KiB: meant for a static.)
#[derive(Default)]
pub struct Scratch {
    bytes: Vec<u8, MAX_STRING>,
}

impl Scratch {
    /// Empty space.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    #[cfg(test)]
    pub(super) fn bytes_are_wiped(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn bytes(&mut self) -> &mut Vec<u8, MAX_STRING> {
        &mut self.bytes
    }

    pub(super) fn wipe(&mut self) {
        self.bytes.as_mut_slice().zeroize();
        self.bytes.clear();
    }
}

impl Config {
    /// Reads `text`, as at boot: `_file` keys are refused. What `text` does not set has its default. After an error
    /// everything has.
    pub fn parse(&mut self, text: &[u8], scratch: &mut Scratch) -> Result<(), Error> {
        self.parse_from(text, scratch, None)
    }

    /// Reads `text`, as at build time: `_file` keys are read from `files`.
    pub fn parse_with_files(&mut self, text: &[u8], scratch: &mut Scratch, files: &mut dyn Files) -> Result<(), Error> {
        self.parse_from(text, scratch, Some(files))
    }

    /// Reads `text` into what is there already: what `text` sets takes the place of what was set.
    pub(super) fn parse_more(&mut self, text: &[u8], scratch: &mut Scratch) -> Result<(), Error> {
        self.places = super::Places::default();
        self.parse_into(text, scratch, None)
    }

    fn parse_from(&mut self, text: &[u8], scratch: &mut Scratch, files: Option<&mut dyn Files>) -> Result<(), Error> {
        self.reset();
        self.parse_into(text, scratch, files)
    }

    fn parse_into(&mut self, text: &[u8], scratch: &mut Scratch, files: Option<&mut dyn Files>) -> Result<(), Error> {
        let mut parser = Parser {
            lexer: Lexer { text, at: 0 },
            end: 0,
            config: self,
            scratch,
            files,
        };
        let result = parser.document();
        scratch.wipe();
        if result.is_err() {
            self.reset();
        }
        result
    }
}

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
    fn found(self) -> Found {
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
                // What `is_word` lets through is ASCII.
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

/// Reads a text into a configuration.
struct Parser<'a, 'f> {
    lexer: Lexer<'a>,
    /// Where the last token taken ended.
    end: usize,
    config: &'a mut Config,
    scratch: &'a mut Scratch,
    files: Option<&'f mut dyn Files>,
}

impl<'a> Parser<'a, '_> {
    /// `struct config_data config = { members };`, or `{ members }`, or the members alone.
    fn document(&mut self) -> Result<(), Error> {
        if self.lexer.text.len() > MAX_TEXT {
            return Err(self.lexer.error(0, Fault::TextTooLong));
        }
        let mut declared = false;
        while let (Token::Word(_), _) = self.lexer.peek()? {
            self.take()?;
            declared = true;
        }
        if declared {
            self.expect(b'=', "`=`")?;
        }
        let (token, start) = self.lexer.peek()?;
        if declared || token == Token::Mark(b'{') {
            self.expect(b'{', "`{`")?;
            self.members(None, Some(start))?;
            if let (Token::Mark(b';' | b','), _) = self.lexer.peek()? {
                self.take()?;
            }
        } else {
            self.members(None, None)?;
        }
        match self.lexer.peek()? {
            (Token::End, _) => Ok(()),
            (token, start) => Err(self.lexer.error(start, Fault::AfterEnd(token.found()))),
        }
    }

    /// The members of `group`, up to and with the `}` that closes the `{` at `opened`; without one, to the end.
    fn members(&mut self, group: Option<Path>, opened: Option<usize>) -> Result<(), Error> {
        let at_group = |error: Error| Error {
            key: error.key.or(group),
            ..error
        };
        loop {
            match (self.lexer.peek().map_err(at_group)?, opened) {
                ((Token::Mark(b'}'), _), Some(_)) => return self.take().map(|_| ()),
                ((Token::End, _), None) => return Ok(()),
                ((Token::End, start), Some(opened)) => {
                    let opened = self.lexer.position(opened);
                    return Err(at_group(self.lexer.error(start, Fault::UnclosedBrace { opened })));
                }
                _ => {}
            }
            let path = self.member(group)?;
            let here = |error: Error| Error {
                key: error.key.or(Some(path)),
                ..error
            };
            let (token, start) = self.lexer.peek().map_err(here)?;
            match token {
                Token::Mark(b',') => {
                    self.take()?;
                }
                Token::Mark(b'}') | Token::End => {}
                Token::Mark(b'.' | b'{') | Token::Text(_) | Token::Word(_) | Token::Number(_) => {
                    return Err(here(self.lexer.error(self.end, Fault::MissingComma)));
                }
                _ => return Err(here(self.expected(token, start, "`,`"))),
            }
        }
    }

    /// One member of `group`: `.name = value`, or `.name.name = value`. The key is returned.
    fn member(&mut self, group: Option<Path>) -> Result<Path, Error> {
        let mut group = group;
        loop {
            let in_group = |error: Error| Error {
                key: error.key.or(group),
                ..error
            };
            let dot = self.expect(b'.', "a key, like `.name`").map_err(in_group)?;
            let (token, start) = self.take().map_err(in_group)?;
            let Token::Word(word) = token else {
                return Err(in_group(self.expected(token, start, "a name")));
            };
            let Some(path) = Path::find(group, word) else {
                return Err(in_group(self.lexer.error(dot, Fault::UnknownKey(name(word)))));
            };
            let here = |error: Error| Error {
                key: error.key.or(Some(path)),
                ..error
            };
            let position = self.lexer.position(dot);
            let first = self.config.places.get(path);
            if path.kind() == Kind::Group && self.lexer.peek().map_err(here)?.0 == Token::Mark(b'.') {
                if first.is_none() {
                    self.config.places.set(path, position);
                }
                group = Some(path);
                continue;
            }
            if let Some(first) = first {
                return Err(Error {
                    position,
                    key: Some(path),
                    fault: Fault::Duplicate { first },
                });
            }
            if let Some((other, first)) = path
                .other_form()
                .and_then(|other| Some((other, self.config.places.get(other)?)))
            {
                return Err(Error {
                    position,
                    key: Some(path),
                    fault: Fault::BothForms { other, first },
                });
            }
            self.config.places.set(path, position);
            self.expect(b'=', "`=`").map_err(here)?;
            self.value(path).map_err(here)?;
            return Ok(path);
        }
    }

    /// The value of `path`.
    fn value(&mut self, path: Path) -> Result<(), Error> {
        let kind = path.kind();
        let (token, start) = self.lexer.peek()?;
        match (kind, token) {
            (Kind::Group, Token::Mark(b'{')) => {
                self.take()?;
                self.members(Some(path), Some(start))
            }
            (Kind::Number(min, max), Token::Number(_) | Token::Mark(b'-')) => {
                let (number, text) = self.number()?;
                match number.filter(|number| (min..=max).contains(number)) {
                    Some(number) => self.set_number(path, number),
                    None => return Err(self.lexer.error(start, Fault::Range { number: text, kind })),
                }
                Ok(())
            }
            (Kind::Address, Token::Mark(b'{')) => {
                let address = self.address()?;
                self.set_address(path, address);
                Ok(())
            }
            (Kind::List, Token::Mark(b'{')) => self.list(path),
            (Kind::Subjects, Token::Mark(b'{')) => self.subjects(path),
            (Kind::Name, Token::Text(_)) => {
                self.strings()?;
                self.set_name(path, start)
            }
            (Kind::Text(most), Token::Text(_)) => {
                self.strings()?;
                self.set_text(path, most, start)
            }
            (Kind::Choice(_), Token::Text(_)) => {
                self.strings()?;
                self.choose(path, start)
            }
            (Kind::Certificates | Kind::Crls | Kind::PrivateKeys, Token::Text(_)) => {
                self.strings()?;
                self.set_pem(path, None, start)
            }
            (Kind::Bundle, Token::Text(_)) => {
                let result = self.config.tls.root_certs.take_strings(&mut self.lexer, self.scratch);
                self.end = self.lexer.at;
                result
            }
            (Kind::File(Path::RootCerts), Token::Text(_)) => {
                self.strings()?;
                self.read_bundle(start)
            }
            (Kind::File(target), Token::Text(_)) => {
                self.strings()?;
                let file = self.read_file(start)?;
                self.set_pem(target, Some(file), start)
            }
            _ => Err(self.lexer.error(
                start,
                Fault::Type {
                    kind,
                    found: token.found(),
                },
            )),
        }
    }

    /// `{ { members }, { members } }`.
    fn list(&mut self, path: Path) -> Result<(), Error> {
        let opened = self.expect(b'{', "`{`")?;
        loop {
            let (token, start) = self.lexer.peek()?;
            match token {
                Token::Mark(b'}') => return self.take().map(|_| ()),
                Token::Mark(b'{') => {}
                Token::End => {
                    let opened = self.lexer.position(opened);
                    return Err(self.lexer.error(start, Fault::UnclosedBrace { opened }));
                }
                // One group without braces of its own.
                _ => return Err(self.lexer.error(start, Fault::NotInBraces(token.found()))),
            }
            let full = self.config.echo.reverse.push(Reverse::default()).is_err();
            if full {
                return Err(self.lexer.error(start, Fault::TooManyGroups(MAX_REVERSES)));
            }
            self.config.places.forget(path);
            self.take()?;
            self.members(Some(path), Some(start))?;
            if let Some(fault) = self.config.echo.reverse.last().and_then(incomplete) {
                return Err(self.lexer.error(start, fault));
            }
            match self.lexer.peek()?.0 {
                Token::Mark(b',') => {
                    self.take()?;
                }
                Token::Mark(b'}') | Token::End => {}
                _ => return Err(self.lexer.error(self.end, Fault::MissingComma)),
            }
        }
    }

    /// `{ "CN=alice", "CN=bob" }`.
    fn subjects(&mut self, path: Path) -> Result<(), Error> {
        let opened = self.expect(b'{', "`{`")?;
        loop {
            let (token, start) = self.lexer.peek()?;
            match token {
                Token::Mark(b'}') => return self.take().map(|_| ()),
                Token::Text(_) => {}
                Token::End => {
                    let opened = self.lexer.position(opened);
                    return Err(self.lexer.error(start, Fault::UnclosedBrace { opened }));
                }
                _ => return Err(self.expected(token, start, "a string")),
            }
            self.strings()?;
            let text = core::str::from_utf8(&self.scratch.bytes).unwrap_or_default();
            let fault = match (subject(text), self.config.slot(path)) {
                (Err(fault), _) => Some(fault),
                (Ok(subject), Slot::Subjects(all)) if all.contains(&subject) => Some(Fault::AllowedTwice),
                (Ok(subject), Slot::Subjects(all)) => all.push(subject).is_err().then_some(Fault::TooManyAllowed),
                _ => None, // not of this kind
            };
            self.scratch.wipe();
            if let Some(fault) = fault {
                return Err(self.lexer.error(start, fault));
            }
            match self.lexer.peek()?.0 {
                Token::Mark(b',') => {
                    self.take()?;
                }
                Token::Mark(b'}') | Token::End => {}
                _ => return Err(self.lexer.error(self.end, Fault::MissingComma)),
            }
        }
    }

    /// A number, if it fits, and how it is written.
    fn number(&mut self) -> Result<(Option<u32>, Name), Error> {
        let (mut token, mut start) = self.take()?;
        let mut text = Name::new();
        if token == Token::Mark(b'-') {
            let _ = text.push('-');
            (token, start) = self.take()?;
        }
        let Token::Number(digits) = token else {
            return Err(self.expected(token, start, "a number"));
        };
        digits
            .chars()
            .try_for_each(|letter| text.push(letter))
            .unwrap_or_default();
        match (parse_number(digits), text.starts_with('-')) {
            (None, _) => Err(self.lexer.error(start, Fault::Number(text))),
            (Some(0), _) => Ok((Some(0), text)),
            (Some(_), true) => Ok((None, text)),
            (Some(number), false) => Ok((u32::try_from(number).ok(), text)),
        }
    }

    /// `{ 10, 0, 2, 15 }`.
    fn address(&mut self) -> Result<Ipv4Addr, Error> {
        let opened = self.expect(b'{', "`{`")?;
        let mut parts: Vec<u8, 4> = Vec::new();
        let mut count: usize = 0;
        loop {
            let (token, start) = self.lexer.peek()?;
            match token {
                Token::Mark(b'}') => break,
                Token::End => {
                    let opened = self.lexer.position(opened);
                    return Err(self.lexer.error(start, Fault::UnclosedBrace { opened }));
                }
                _ => {}
            }
            let (number, text) = self.number()?;
            let Some(part) = number.and_then(|number| u8::try_from(number).ok()) else {
                return Err(self.lexer.error(start, Fault::AddressElement(text)));
            };
            let _ = parts.push(part); // the count tells if there are too many
            count += 1;
            match self.lexer.peek()?.0 {
                Token::Mark(b',') => {
                    self.take()?;
                }
                Token::Mark(b'}') | Token::End => {}
                _ => return Err(self.lexer.error(self.end, Fault::MissingComma)),
            }
        }
        self.take()?;
        match (parts.into_array::<4>(), count) {
            (Ok(parts), 4) => Ok(Ipv4Addr::from(parts)),
            _ => Err(self.lexer.error(opened, Fault::AddressLength(count))),
        }
    }

    /// Adjacent strings, joined and unescaped in the scratch space.
    fn strings(&mut self) -> Result<(), Error> {
        self.scratch.wipe();
        while let (Token::Text(literal), start) = self.lexer.peek()? {
            self.take()?;
            let bytes = &mut self.scratch.bytes;
            unescape(literal, |_, byte| bytes.push(byte).map_err(|_| Fault::StringTooLong))
                .map_err(|(at, fault)| self.lexer.error(start + 1 + at, fault))?;
        }
        Ok(())
    }

    /// Takes the scratch space for the name of a file, and what is in that for a bundle.
    fn read_bundle(&mut self, start: usize) -> Result<(), Error> {
        let file = self.file_name();
        let fault = match (&mut self.files, file) {
            (None, _) => Fault::NoFiles,
            (Some(_), None) => Fault::FileName,
            (Some(files), Some(file)) => match files.bundle(&file) {
                Ok(content) => match self.config.tls.root_certs.take_file(content, self.scratch) {
                    Ok(()) => return Ok(()),
                    Err(located) => in_file(content, name(&file), located),
                },
                Err(fault) => Fault::File {
                    name: name(&file),
                    fault,
                },
            },
        };
        Err(self.lexer.error(start, fault))
    }

    /// The scratch space as the name of a file, if it can be one.
    fn file_name(&mut self) -> Option<String<256>> {
        let text = core::str::from_utf8(&self.scratch.bytes).unwrap_or_default();
        let file = String::try_from(text).ok();
        self.scratch.wipe();
        file.filter(|file| !file.is_empty() && !file.contains('\0'))
    }

    /// Takes the scratch space for the name of a file and fills it with that file's content. The name is returned.
    fn read_file(&mut self, start: usize) -> Result<Name, Error> {
        let file = self.file_name();
        let fault = match (&mut self.files, file) {
            (None, _) => Fault::NoFiles,
            (Some(_), None) => Fault::FileName,
            (Some(files), Some(file)) => match files.read(&file, &mut self.scratch.bytes) {
                Ok(()) => return Ok(name(&file)),
                Err(fault) => Fault::File {
                    name: name(&file),
                    fault,
                },
            },
        };
        Err(self.lexer.error(start, fault))
    }

    /// Decodes the PEM in the scratch space, which comes from `file` or from strings, into `target`. `start` is where the
    /// value is in the text.
    fn set_pem(&mut self, target: Path, file: Option<Name>, start: usize) -> Result<(), Error> {
        let text = &self.scratch.bytes;
        // An empty string is as good as no key at all.
        let empty = file.is_none() && text.is_empty();
        let result = match self.config.slot(target) {
            Slot::Ders(ders) if !empty && target.kind() == Kind::Crls => ders.fill(pem::crls(text), MAX_CRLS),
            Slot::Ders(ders) if !empty => ders.fill(pem::certificates(text), MAX_CERTIFICATES),
            Slot::Keys(keys) if !empty => fill(keys, pem::private_keys(text)),
            _ => Ok(()),
        };
        let result = result.map_err(|(offset, fault)| match file {
            Some(file) => (start, in_file(text, file, (offset, fault))),
            None => (self.lexer.locate(start, offset), fault),
        });
        self.scratch.wipe();
        result.map_err(|(offset, fault)| self.lexer.error(offset, fault))
    }

    /// Takes the word in the scratch space as the value of `path`, which starts at `start`.
    fn choose(&mut self, path: Path, start: usize) -> Result<(), Error> {
        let word = core::str::from_utf8(&self.scratch.bytes).unwrap_or_default();
        let known = match self.config.slot(path) {
            Slot::Choice(choice) => choice.choose(word),
            _ => true, // not of this kind
        };
        let word = name(word);
        self.scratch.wipe();
        if known {
            return Ok(());
        }
        let kind = path.kind();
        Err(self.lexer.error(start, Fault::Choice { word, kind }))
    }

    /// Takes the name in the scratch space as the value of `path`, which starts at `start`.
    fn set_name(&mut self, path: Path, start: usize) -> Result<(), Error> {
        let text = core::str::from_utf8(&self.scratch.bytes).unwrap_or("?");
        // A dot at the end of a host's name only says that it is complete.
        let text = text.strip_suffix('.').unwrap_or(text);
        let good = match self.config.slot(path) {
            Slot::Name(slot) => {
                slot.clear();
                text.is_empty() || (is_name(text) && slot.push_str(text).is_ok())
            }
            _ => true, // not of this kind
        };
        let text = name(text);
        self.scratch.wipe();
        if good {
            return Ok(());
        }
        Err(self.lexer.error(start, Fault::NotAName(text)))
    }

    /// Takes the text in the scratch space as the value of `path`, which starts at `start`.
    fn set_text(&mut self, path: Path, most: usize, start: usize) -> Result<(), Error> {
        let bytes = &self.scratch.bytes;
        let fits = match self.config.slot(path) {
            Slot::Text(slot) => {
                slot.clear();
                slot.extend_from_slice(bytes).is_ok()
            }
            _ => true, // not of this kind
        };
        let plain = core::str::from_utf8(bytes).is_ok_and(|text| !text.contains(char::is_control));
        self.scratch.wipe();
        match (fits, plain) {
            (false, _) => Err(self.lexer.error(start, Fault::LongerThan(most))),
            (true, false) => Err(self.lexer.error(start, Fault::NotText)),
            (true, true) => Ok(()),
        }
    }

    fn set_number(&mut self, path: Path, number: u32) {
        let short = u16::try_from(number).unwrap_or(u16::MAX); // the range of each key has been checked
        match self.config.slot(path) {
            Slot::Flag(slot) => *slot = number != 0,
            Slot::Port(slot) => *slot = short,
            Slot::Limit(slot) => *slot = Some(short).filter(|&limit| limit != 0),
            Slot::Number(slot) => *slot = Some(number),
            _ => {} // not of this kind
        }
    }

    fn set_address(&mut self, path: Path, address: Ipv4Addr) {
        match self.config.slot(path) {
            Slot::Address(slot) => *slot = address,
            Slot::OptionalAddress(slot) => *slot = Some(address).filter(|address| !address.is_unspecified()),
            _ => {} // not of this kind
        }
    }

    fn take(&mut self) -> Result<(Token<'a>, usize), Error> {
        let taken = self.lexer.next()?;
        self.end = self.lexer.at;
        Ok(taken)
    }

    /// Takes `mark`, and says where it was.
    fn expect(&mut self, mark: u8, expected: &'static str) -> Result<usize, Error> {
        let (token, start) = self.lexer.peek()?;
        if token != Token::Mark(mark) {
            return Err(self.expected(token, start, expected));
        }
        self.take()?;
        Ok(start)
    }

    fn expected(&self, token: Token<'_>, start: usize, expected: &'static str) -> Error {
        self.lexer.error(
            start,
            Fault::Expected {
                expected,
                found: token.found(),
            },
        )
    }
}

/// One whom `.tls.allow` lets in, as it is compared: a subject, or the hash of a key in small letters.
fn subject(text: &str) -> Result<Subject, Fault> {
    let fault = || Fault::NotASubject(name(text));
    let subject = Subject::try_from(text).map_err(|_| fault())?;
    match subject.strip_prefix(KEY_HASH_PREFIX) {
        Some(hash) if hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            let mut subject = subject;
            subject.make_ascii_lowercase();
            Ok(subject)
        }
        // What was cut to be shown ends in dots: that is no whole subject, and many share it.
        None if subject.contains('=') && !subject.ends_with('…') => Ok(subject),
        _ => Err(fault()),
    }
}

/// What a group of `.echo.reverse` lacks.
fn incomplete(reverse: &Reverse) -> Option<Fault> {
    match (reverse.ipaddr, reverse.host.as_str(), reverse.port) {
        (None, "", _) => Some(Fault::NobodyToDial),
        (Some(_), host, _) if !host.is_empty() => Some(Fault::DialBoth),
        (_, _, 0) => Some(Fault::NoPortToDial),
        _ => None,
    }
}

/// A fault, and at which byte of the value.
pub(super) type Located = (usize, Fault);

impl Ders {
    /// Takes all these blocks, which may be `most`.
    pub(super) fn fill<'p>(
        &mut self,
        blocks: impl Iterator<Item = Result<Block<'p>, PemError>>,
        most: usize,
    ) -> Result<(), Located> {
        self.clear();
        for block in blocks {
            let block = block.map_err(located)?;
            if self.ends.len() == most {
                return Err((block.offset, Fault::TooMany(most)));
            }
            let start = self.der.len();
            let space = self.der.capacity();
            self.der.resize(space, 0).unwrap_or_default(); // the capacity always fits
            let length = block
                .decode(self.der.get_mut(start..).unwrap_or_default())
                .map_err(|error| match error.fault {
                    PemFault::TooLong => (block.offset, Fault::DerTooLong),
                    _ => located(error),
                })?;
            self.der.truncate(start + length);
            let _ = self.ends.push(start + length); // there is space: see above
        }
        Ok(())
    }
}

/// Takes all these private keys.
pub(super) fn fill<'p>(
    keys: &mut VecView<Key>,
    blocks: impl Iterator<Item = Result<Block<'p>, PemError>>,
) -> Result<(), Located> {
    keys.clear();
    for block in blocks {
        let block = block.map_err(located)?;
        let most = keys.capacity();
        if keys.push(Key::empty()).is_err() {
            return Err(match most {
                1 => located(block.error(PemFault::SecondKey)),
                _ => (block.offset, Fault::TooManyKeys),
            });
        }
        // In its place, so that no copy is left elsewhere.
        if let Some(key) = keys.last_mut() {
            key.fill(&block)?;
        }
    }
    Ok(())
}

impl Key {
    pub(super) fn empty() -> Self {
        Self {
            der: Vec::new(),
            label: String::new(),
        }
    }

    /// Takes a private key.
    fn fill(&mut self, block: &Block<'_>) -> Result<(), Located> {
        self.label
            .push_str(block.label)
            .map_err(|_| (block.offset, Fault::Key(None, KeyError::Label)))?;
        let space = self.der.capacity();
        self.der.resize(space, 0).unwrap_or_default(); // the capacity always fits
        let length = block
            .decode(self.der.as_mut_slice())
            .map_err(|error| match error.fault {
                PemFault::TooLong => (block.offset, Fault::KeyTooLong),
                _ => located(error),
            })?;
        self.der.truncate(length);
        Ok(())
    }
}

pub(super) fn located(error: PemError) -> Located {
    (error.offset, Fault::Pem(error, PemSource::Strings))
}

/// The fault of a value that stands in a file: of its PEM the line is named.
fn in_file(text: &[u8], name: Name, (offset, fault): Located) -> Fault {
    match fault {
        Fault::Pem(error, _) => {
            let line = Lexer { text, at: 0 }.position(offset).line;
            Fault::Pem(error, PemSource::File { name, line })
        }
        fault => fault,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// As much of `text` as can be shown.
fn name(text: &str) -> Name {
    let mut name = Name::new();
    let fits = text.chars().try_for_each(|letter| name.push(letter)).is_ok();
    if !fits {
        name.truncate(name.capacity() - 3);
        let _ = name.push_str("...");
    }
    name
}

/// A number of C: decimal, hexadecimal (`0x`) or octal (`0`), perhaps with `u` and `l` behind it (C11 §6.4.4.1). One
/// that is too large comes out as `u64::MAX`.
fn parse_number(text: &str) -> Option<u64> {
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
