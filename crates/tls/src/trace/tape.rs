//! The events of one connection, taken down in a bounded buffer.

use core::cell::RefCell;

use zeroize::Zeroize as _;

use super::{Event, Fact, Protection, Record, Secret, Trace};
use crate::record::HEADER_LEN;
use crate::registry::ContentType;

/// How much of the content of a record of application data is taken down, in bytes.
pub const DATA_SHOWN: usize = 64;
/// How many records of application data are taken down; later ones are counted only.
pub const MAX_DATA_RECORDS: u32 = 16;
/// What is kept free at the end of the buffer for how the connection ended, in bytes.
pub const RESERVE: usize = 512;

/// The bytes before each entry: kind, flags, length of the payload.
const HEAD: usize = 4;
const RECORD: u8 = 0;
const MESSAGE: u8 = 1;
const FACT: u8 = 2;
/// Flag of records and messages, and of some facts: ours.
const SENT: u8 = 1;

/// Takes down what a connection reports, as far as its buffer reaches: 12 KiB hold a usual handshake with room to
/// spare. What does not fit is counted; of a message that does not fit the front is kept.
pub struct Tape<'b> {
    inner: RefCell<Inner<'b>>,
}

struct Inner<'b> {
    buffer: &'b mut [u8],
    len: usize,
    /// Events that did not fit.
    lost: u32,
    /// Records of application data.
    data_records: u32,
    /// Their content, in bytes.
    data_bytes: u64,
    stopped: bool,
}

impl<'b> Tape<'b> {
    /// An empty tape on this buffer.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            inner: RefCell::new(Inner {
                buffer,
                len: 0,
                lost: 0,
                data_records: 0,
                data_bytes: 0,
                stopped: false,
            }),
        }
    }

    /// Wipes the tape, to begin anew.
    pub fn clear(&self) {
        let Ok(mut inner) = self.inner.try_borrow_mut() else {
            return;
        };
        let len = inner.len;
        inner.buffer.get_mut(..len).unwrap_or_default().zeroize();
        inner.len = 0;
        inner.lost = 0;
        inner.data_records = 0;
        inner.data_bytes = 0;
        inner.stopped = false;
    }

    /// Takes nothing down from now on, until it is cleared.
    pub fn stop(&self) {
        if let Ok(mut inner) = self.inner.try_borrow_mut() {
            inner.stopped = true;
        }
    }

    /// Reads what is there.
    pub fn read<T>(&self, read: impl FnOnce(Events<'_>) -> T) -> T {
        let inner = self.inner.borrow();
        read(Events {
            rest: inner.buffer.get(..inner.len).unwrap_or_default(),
            lost: inner.lost,
            data_records: inner.data_records,
            data_bytes: inner.data_bytes,
        })
    }
}

impl Trace for Tape<'_> {
    fn event(&self, event: &Event<'_>) {
        // Borrowed only while somebody reads, and nobody runs a connection meanwhile.
        let Ok(mut inner) = self.inner.try_borrow_mut() else {
            return;
        };
        if !inner.stopped {
            inner.take(event);
        }
    }
}

impl Inner<'_> {
    fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Record(record) => self.record(record),
            Event::Message { sent, whole } => self.put(MESSAGE, flag(*sent), &[whole], true, RESERVE),
            Event::Fact(fact) => self.fact(fact),
        }
    }

    fn record(&mut self, record: &Record<'_>) {
        let data = record.content == ContentType::APPLICATION_DATA;
        if data {
            self.data_records = self.data_records.saturating_add(1);
            self.data_bytes = self.data_bytes.saturating_add(record.length.into());
            if self.data_records > MAX_DATA_RECORDS {
                return;
            }
        }
        let protection = match record.protection {
            Protection::None => 0,
            Protection::Tls13 => 1,
            Protection::Tls12 => 2,
            Protection::Unknown => 3,
        };
        let shown = record.text.get(..record.text.len().min(DATA_SHOWN)).unwrap_or_default();
        let nonce = length_byte(record.nonce);
        let tag = length_byte(record.tag);
        let parts = [
            record.header,
            &[record.content.0][..],
            &record.number.to_be_bytes(),
            &record.padding.to_be_bytes(),
            &record.length.to_be_bytes(),
            &nonce,
            record.nonce,
            &tag,
            record.tag,
            shown,
        ];
        // How it ended is worth the reserve.
        let reserve = if record.content == ContentType::ALERT {
            0
        } else {
            RESERVE
        };
        self.put(RECORD, flag(record.sent) | protection << 1, &parts, false, reserve);
    }

    fn fact(&mut self, fact: &Fact<'_>) {
        match *fact {
            Fact::Role { server } => self.put(FACT, flag(server), &[&[0]], false, RESERVE),
            Fact::KeyPair { group, public } => self.put(FACT, 0, &[&[1], &group.to_be_bytes(), public], false, RESERVE),
            Fact::Shared { group } => self.put(FACT, 0, &[&[2], &group.to_be_bytes()], false, RESERVE),
            Fact::Resumed => self.put(FACT, 0, &[&[3]], false, RESERVE),
            Fact::Secret { secret, hash, value } => {
                let parts = [&[4][..], &[secret as u8], &length_byte(hash), hash, value];
                self.put(FACT, 0, &parts, false, RESERVE);
            }
            Fact::Signature { sent, hash } => self.put(FACT, flag(sent), &[&[5], hash], false, RESERVE),
            Fact::Finished { sent, hash } => self.put(FACT, flag(sent), &[&[6], hash], false, RESERVE),
            Fact::Trusted { subject } => self.put(FACT, 0, &[&[7], subject.as_bytes()], false, RESERVE),
            Fact::Done => self.put(FACT, 0, &[&[8]], false, RESERVE),
            Fact::Failed { why } => self.put(FACT, 0, &[&[9], why.as_bytes()], false, 0),
            Fact::Stapled => self.put(FACT, 0, &[&[10]], false, RESERVE),
        }
    }

    /// Appends an entry that leaves `reserve` bytes free, or the front of it if it may be `cut`.
    fn put(&mut self, kind: u8, flags: u8, parts: &[&[u8]], cut: bool, reserve: usize) {
        let wanted: usize = parts.iter().map(|part| part.len()).sum();
        let room = self.buffer.len().saturating_sub(self.len + reserve + HEAD);
        let room = room.min(usize::from(u16::MAX));
        if wanted > room {
            self.lost = self.lost.saturating_add(1);
            if !cut || room == 0 {
                return;
            }
        }
        let length = wanted.min(room);
        let [.., high, low] = length.to_be_bytes();
        let bytes = [kind, flags, high, low]
            .into_iter()
            .chain(parts.iter().flat_map(|part| part.iter().copied()))
            .take(HEAD + length);
        let space = self.buffer.get_mut(self.len..).unwrap_or_default();
        for (to, from) in space.iter_mut().zip(bytes) {
            *to = from;
        }
        self.len += HEAD + length;
    }
}

fn flag(sent: bool) -> u8 {
    if sent { SENT } else { 0 }
}

/// The length of a short part, as one byte.
fn length_byte(part: &[u8]) -> [u8; 1] {
    [u8::try_from(part.len()).unwrap_or(u8::MAX)]
}

/// The events on a tape, in their order.
#[derive(Clone, Copy)]
pub struct Events<'t> {
    rest: &'t [u8],
    lost: u32,
    data_records: u32,
    data_bytes: u64,
}

impl Events<'_> {
    /// How many events did not fit, or not whole.
    pub fn lost(&self) -> u32 {
        self.lost
    }

    /// How many records of application data there were, and how many bytes in them.
    pub fn data(&self) -> (u32, u64) {
        (self.data_records, self.data_bytes)
    }
}

impl<'t> Iterator for Events<'t> {
    type Item = Event<'t>;

    fn next(&mut self) -> Option<Event<'t>> {
        let (&[kind, flags, high, low], rest) = self.rest.split_first_chunk::<HEAD>()?;
        let (payload, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
        self.rest = rest;
        let sent = flags & SENT != 0;
        match kind {
            RECORD => record(flags, payload).map(Event::Record),
            MESSAGE => Some(Event::Message { sent, whole: payload }),
            _ => fact(sent, payload).map(Event::Fact),
        }
    }
}

fn record(flags: u8, payload: &[u8]) -> Option<Record<'_>> {
    let (header, rest) = payload.split_first_chunk::<HEADER_LEN>()?;
    let (&content, rest) = rest.split_first()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (padding, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (&nonce, rest) = rest.split_first()?;
    let (nonce, rest) = rest.split_at_checked(nonce.into())?;
    let (&tag, rest) = rest.split_first()?;
    let (tag, text) = rest.split_at_checked(tag.into())?;
    Some(Record {
        sent: flags & SENT != 0,
        header,
        protection: match flags >> 1 {
            0 => Protection::None,
            1 => Protection::Tls13,
            2 => Protection::Tls12,
            _ => Protection::Unknown,
        },
        content: ContentType(content),
        number: u64::from_be_bytes(*number),
        nonce,
        tag,
        padding: u16::from_be_bytes(*padding),
        length: u16::from_be_bytes(*length),
        text,
    })
}

fn fact(flag: bool, payload: &[u8]) -> Option<Fact<'_>> {
    let (&kind, rest) = payload.split_first()?;
    let text = |bytes| core::str::from_utf8(bytes).unwrap_or_default();
    Some(match kind {
        0 => Fact::Role { server: flag },
        1 => {
            let (group, public) = rest.split_first_chunk()?;
            let group = u16::from_be_bytes(*group);
            Fact::KeyPair { group, public }
        }
        2 => Fact::Shared {
            group: u16::from_be_bytes(*rest.first_chunk()?),
        },
        3 => Fact::Resumed,
        4 => {
            let (&[secret, length], rest) = rest.split_first_chunk()?;
            let (hash, value) = rest.split_at_checked(length.into())?;
            let secret = *Secret::ALL.get(usize::from(secret))?;
            Fact::Secret { secret, hash, value }
        }
        5 => Fact::Signature { sent: flag, hash: rest },
        6 => Fact::Finished { sent: flag, hash: rest },
        7 => Fact::Trusted { subject: text(rest) },
        8 => Fact::Done,
        10 => Fact::Stapled,
        _ => Fact::Failed { why: text(rest) },
    })
}
