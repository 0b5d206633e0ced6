//! The text of a defconfig: designators and values.
//!
//! By hand rather than with parser combinators: there is no alternative to try and nothing to go back to, and every
//! single failure has a place, a key and a remedy of its own.

use core::fmt::Write as _;
use core::net::Ipv4Addr;

use heapless::{String, Vec};
use zeroize::Zeroize;

use super::ders::in_file;
use super::error::{Error, Fault, FileFault, Name, name};
use super::escape::unescape;
use super::host::is_host_address;
use super::keys::{Kind, Path};
use super::lexer::{Lexer, Token, parse_number};
use super::value::{Slot, specified};
use super::{
    Config, MAX_ALLOWED, MAX_NAME, MAX_NAMES, MAX_REVERSES, MAX_STRING, MAX_TEXT, Places, Reverse, alternative,
};
use postern_tls::pki::allow::{KEY_HASH_PREFIX, MAX_ALLOWED_SUBJECT};
use postern_tls::pki::cert::Alternative;

/// Where `_file` keys are read from.
pub trait Files {
    /// Puts the content of the file `name` into `content` (empty at first), or says why it cannot.
    fn read(&mut self, name: &str, content: &mut Vec<u8, MAX_STRING>) -> Result<(), FileFault>;

    /// The content of the file `name`, which may be as long as [`MAX_TEXT`], or why it cannot be read.
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
        self.reset();
        self.parse_into(text, scratch, None)
    }

    /// Reads `text`, as at build time: `_file` keys are read from `files`.
    pub fn parse_with_files(&mut self, text: &[u8], scratch: &mut Scratch, files: &mut dyn Files) -> Result<(), Error> {
        self.reset();
        self.parse_into(text, scratch, Some(files))
    }

    /// Reads `text` over what has been read: what `text` sets replaces what was set.
    pub(super) fn parse_more(&mut self, text: &[u8], scratch: &mut Scratch) -> Result<(), Error> {
        self.places = Places::new();
        self.parse_into(text, scratch, None)
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

/// Reads a text into a configuration.
struct Parser<'a, 'f> {
    lexer: Lexer<'a>,
    /// Where the last token taken ended.
    end: usize,
    config: &'a mut Config,
    scratch: &'a mut Scratch,
    files: Option<&'f mut dyn Files>,
}

/// An error that names no key is about `key`.
fn about(key: impl Into<Option<Path>>) -> impl Fn(Error) -> Error {
    let key = key.into();
    move |error| Error {
        key: error.key.or(key),
        ..error
    }
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
        loop {
            match (self.lexer.peek().map_err(about(group))?, opened) {
                ((Token::Mark(b'}'), _), Some(_)) => return self.take().map(|_| ()),
                ((Token::End, _), None) => return Ok(()),
                ((Token::End, start), Some(opened)) => return Err(about(group)(self.unclosed(opened, start))),
                _ => {}
            }
            let path = self.member(group)?;
            let (token, start) = self.lexer.peek().map_err(about(path))?;
            match token {
                Token::Mark(b',') => {
                    self.take()?;
                }
                Token::Mark(b'}') | Token::End => {}
                Token::Mark(b'.' | b'{') | Token::Text(_) | Token::Word(_) | Token::Number(_) => {
                    return Err(about(path)(self.lexer.error(self.end, Fault::MissingComma)));
                }
                _ => return Err(about(path)(self.expected(token, start, "`,`"))),
            }
        }
    }

    /// One member of `group`: `.name = value`, or `.name.name = value`. The key is returned.
    fn member(&mut self, mut group: Option<Path>) -> Result<Path, Error> {
        loop {
            let dot = self.expect(b'.', "a key, like `.name`").map_err(about(group))?;
            let (token, start) = self.take().map_err(about(group))?;
            let Token::Word(word) = token else {
                return Err(about(group)(self.expected(token, start, "a name")));
            };
            let Some(path) = Path::find(group, word) else {
                let fault = Fault::UnknownKey(name(word));
                return Err(about(group)(self.lexer.error(dot, fault)));
            };
            let places = &mut self.config.places;
            let (position, first) = (self.lexer.position(dot), places.get(path));
            if path.kind() == Kind::Group && self.lexer.peek().map_err(about(path))?.0 == Token::Mark(b'.') {
                if first.is_none() {
                    places.set(path, position);
                }
                group = Some(path);
                continue;
            }
            let other = path.other_form().and_then(|other| Some((other, places.get(other)?)));
            let fault = match (first, other) {
                (Some(first), _) => Some(Fault::Duplicate { first }),
                (None, Some((other, first))) => Some(Fault::BothForms { other, first }),
                (None, None) => None,
            };
            if let Some(fault) = fault {
                return Err(about(path)(self.lexer.error(dot, fault)));
            }
            places.set(path, position);
            self.expect(b'=', "`=`").map_err(about(path))?;
            self.value(path).map_err(about(path))?;
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
            (Kind::Number(min, max, _), Token::Number(_) | Token::Mark(b'-')) => {
                let (number, text) = self.number()?;
                match (number, self.config.slot(path)) {
                    (Some(number), Slot::Number(slot)) if (min..=max).contains(&number) => slot.set(number),
                    _ => return Err(self.lexer.error(start, Fault::Range { number: text, kind })),
                }
                Ok(())
            }
            (Kind::Address | Kind::AnyAddress, Token::Mark(b'{')) => {
                let address = self.address()?;
                if let Slot::Address(slot) = self.config.slot(path) {
                    slot.set(specified(address.into()));
                }
                Ok(())
            }
            (Kind::List, Token::Mark(b'{')) => self.list(path),
            (Kind::Subjects | Kind::Hosts, Token::Mark(b'{')) => self.lines(path),
            (Kind::Bundle, Token::Text(_)) => {
                let result = self.config.tls.root_certs.take_strings(&mut self.lexer, self.scratch);
                self.end = self.lexer.at;
                result
            }
            (Kind::File(target), Token::Text(_)) => {
                self.strings()?;
                self.file(target, start)
            }
            (Kind::Certificates | Kind::Crls | Kind::PrivateKeys, Token::Text(_)) => {
                self.strings()?;
                // An empty string is as good as no key at all.
                match self.scratch.bytes.is_empty() {
                    true => Ok(()),
                    false => self.take_strings(path, start),
                }
            }
            (
                Kind::Name | Kind::Subject | Kind::Text(_) | Kind::Choice(_) | Kind::Address6 | Kind::AnyAddress,
                Token::Text(_),
            ) => {
                self.strings()?;
                self.take_strings(path, start)
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

    /// Sets `path` by the strings in the scratch space, which begin at `start`.
    fn take_strings(&mut self, path: Path, start: usize) -> Result<(), Error> {
        let taken = self.config.slot(path).take(path.kind(), &self.scratch.bytes);
        self.scratch.wipe();
        taken.map_err(|(offset, fault)| {
            let at = offset.map_or(start, |offset| self.lexer.locate(start, offset));
            self.lexer.error(at, fault)
        })
    }

    /// The elements of a list in braces, each read by `each` from its first token on.
    fn elements(
        &mut self,
        mut each: impl FnMut(&mut Self, Token<'a>, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let opened = self.expect(b'{', "`{`")?;
        loop {
            match self.lexer.peek()? {
                (Token::Mark(b'}'), _) => return self.take().map(|_| ()),
                (Token::End, start) => return Err(self.unclosed(opened, start)),
                (token, start) => each(self, token, start)?,
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

    /// `{ { members }, { members } }`.
    fn list(&mut self, path: Path) -> Result<(), Error> {
        self.elements(|parser, token, start| {
            if token != Token::Mark(b'{') {
                // One group without braces of its own.
                return Err(parser.lexer.error(start, Fault::NotInBraces(token.found())));
            }
            let full = parser.config.echo.reverse.push(Reverse::new()).is_err();
            if full {
                return Err(parser.lexer.error(start, Fault::TooManyGroups(MAX_REVERSES)));
            }
            parser.config.places.forget(path);
            parser.take()?;
            parser.members(Some(path), Some(start))?;
            match parser.config.echo.reverse.last().and_then(incomplete) {
                Some(fault) => Err(parser.lexer.error(start, fault)),
                None => Ok(()),
            }
        })
    }

    /// `{ "CN=alice", "CN=bob" }`, or names of hosts.
    fn lines(&mut self, path: Path) -> Result<(), Error> {
        let is_hosts = path.kind() == Kind::Hosts;
        let (most, twice, too_many) = match is_hosts {
            true => (MAX_NAMES, Fault::NameTwice, Fault::TooManyNames),
            false => (MAX_ALLOWED, Fault::AllowedTwice, Fault::TooManyAllowed),
        };
        self.elements(|parser, token, start| {
            if !matches!(token, Token::Text(_)) {
                return Err(parser.expected(token, start, "a string"));
            }
            parser.strings()?;
            let text = core::str::from_utf8(&parser.scratch.bytes).unwrap_or_default();
            let line = if is_hosts { host(text) } else { subject(text) };
            let fault = match (line, parser.config.slot(path)) {
                (Err(fault), _) => Some(fault),
                (Ok(line), Slot::Lines(all)) if all.lines().any(|other| other == line) => Some(twice.clone()),
                (Ok(_), Slot::Lines(all)) if all.lines().count() == most => Some(too_many.clone()),
                (Ok(line), Slot::Lines(all)) => writeln!(all, "{line}").err().map(|_| too_many.clone()),
                _ => None, // not of this kind
            };
            parser.scratch.wipe();
            match fault {
                Some(fault) => Err(parser.lexer.error(start, fault)),
                None => Ok(()),
            }
        })
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
        let (_, opened) = self.lexer.peek()?;
        let (mut parts, mut count) = (Vec::<u8, 4>::new(), 0_usize);
        self.elements(|parser, _, start| {
            let (number, text) = parser.number()?;
            let Some(part) = number.and_then(|number| u8::try_from(number).ok()) else {
                return Err(parser.lexer.error(start, Fault::AddressElement(text)));
            };
            let _ = parts.push(part); // too many are counted below
            count = count.saturating_add(1);
            Ok(())
        })?;
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

    /// Sets `target` by the content of the file that the scratch space names, in a value that begins at `start`.
    fn file(&mut self, target: Path, start: usize) -> Result<(), Error> {
        let text = core::str::from_utf8(&self.scratch.bytes).unwrap_or_default();
        let file = String::<256>::try_from(text).ok();
        self.scratch.wipe();
        let file = file.filter(|file| !file.is_empty() && !file.contains('\0'));
        let taken = match (&mut self.files, file) {
            (None, _) => Err(Fault::NoFiles),
            (Some(_), None) => Err(Fault::FileName),
            (Some(files), Some(file)) => {
                let unreadable = |fault| Fault::File {
                    name: name(&file),
                    fault,
                };
                if target == Path::RootCerts {
                    files.bundle(&file).map_err(unreadable).and_then(|content| {
                        let taken = self.config.tls.root_certs.take_file(content, self.scratch);
                        taken.map_err(|located| in_file(content, name(&file), located))
                    })
                } else {
                    let read = files.read(&file, &mut self.scratch.bytes).map_err(unreadable);
                    read.and_then(|()| {
                        let content = &self.scratch.bytes;
                        let taken = self.config.slot(target).take(target.kind(), content);
                        taken.map_err(|(at, fault)| in_file(content, name(&file), (at.unwrap_or(0), fault)))
                    })
                }
            }
        };
        self.scratch.wipe();
        taken.map_err(|fault| self.lexer.error(start, fault))
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

    /// The text ends at `end`, and the `{` at `opened` is not closed.
    fn unclosed(&self, opened: usize, end: usize) -> Error {
        let opened = self.lexer.position(opened);
        self.lexer.error(end, Fault::UnclosedBrace { opened })
    }
}

/// One of `.tls.names`: a DNS name in small letters, or an address in its usual form.
fn host(text: &str) -> Result<String<MAX_NAME>, Fault> {
    let mut host = String::new();
    let written = match alternative(text) {
        Some(Alternative::Dns(name)) => host.write_str(name),
        Some(Alternative::Ip(address)) => write!(host, "{address}"),
        None => Err(core::fmt::Error),
    };
    host.make_ascii_lowercase();
    written.map_err(|_| Fault::NotAnAlternative(name(text)))?;
    Ok(host)
}

/// One of `.tls.allow`, as it is compared: a subject, or the hash of a key in small letters.
fn subject(text: &str) -> Result<String<MAX_NAME>, Fault> {
    let fault = || Fault::NotASubject(name(text));
    if text.len() > MAX_ALLOWED_SUBJECT {
        return Err(fault());
    }
    let subject = String::try_from(text).map_err(|_| fault())?;
    match subject.strip_prefix(KEY_HASH_PREFIX) {
        Some(hash) if hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            let mut subject = subject;
            subject.make_ascii_lowercase();
            Ok(subject)
        }
        // What was cut to be shown ends in dots: that is no whole subject, and many share it. A control character is shown
        // escaped, so that a line is one client.
        None if subject.contains('=') && !subject.ends_with('…') && !subject.contains(char::is_control) => {
            Ok(subject)
        }
        _ => Err(fault()),
    }
}

/// What a group of `.echo.reverse` lacks.
fn incomplete(reverse: &Reverse) -> Option<Fault> {
    match (reverse.ipaddr, reverse.host.as_str(), reverse.port) {
        (None, "", _) => Some(Fault::NoHostToDial),
        (Some(_), host, _) if !host.is_empty() => Some(Fault::TwoHostsToDial),
        (_, _, 0) => Some(Fault::NoPortToDial),
        (Some(address), ..) if !is_host_address(address) => Some(Fault::NotAHost),
        _ => None,
    }
}
