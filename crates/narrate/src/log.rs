//! The events of one connection, recorded in a bounded buffer.

use core::cell::RefCell;

use postern_tls::ContentType;
use postern_tls::record::HEADER_LEN;
use postern_tls::trace::{DATA_SHOWN, Event, Milestone, Protection, Record, Secret, Trace};
use zeroize::Zeroize as _;

/// The number of application data records that are recorded; later ones are only counted.
pub const MAX_DATA_RECORDS: u32 = 16;
/// The space at the end of the buffer that is reserved for the end of the connection, in bytes.
pub const RESERVE: usize = 512;

/// The bytes before each entry: kind, flags, length of the payload.
const HEAD: usize = 4;
const RECORD: u8 = 0;
const MESSAGE: u8 = 1;
const MILESTONE: u8 = 2;
/// Flag of records, messages and some milestones: of this side.
const SENT: u8 = 1;

/// Records what a connection reports, as far as its buffer reaches: a usual handshake takes half of 12 KiB. Events that
/// do not fit are counted; of a message that does not fit the front is kept.
pub struct EventLog<'b> {
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

impl<'b> EventLog<'b> {
    /// An empty log in this buffer.
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

    /// Empties the log and overwrites what it held.
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

    /// Records nothing more until the log is cleared.
    pub fn stop(&self) {
        if let Ok(mut inner) = self.inner.try_borrow_mut() {
            inner.stopped = true;
        }
    }

    /// Reads the events recorded so far.
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

impl Trace for EventLog<'_> {
    fn event(&self, event: &Event<'_>) {
        // Borrowed only during `read`, and no connection runs meanwhile.
        let Ok(mut inner) = self.inner.try_borrow_mut() else {
            return;
        };
        if !inner.stopped {
            inner.record(event);
        }
    }
}

impl Inner<'_> {
    fn record(&mut self, event: &Event<'_>) {
        match event {
            Event::Record(record) => self.record_layer(record),
            Event::Message { sent, whole } => self.put(MESSAGE, flag(*sent), &[whole], true, RESERVE),
            Event::Milestone(milestone) => self.milestone(milestone),
        }
    }

    fn record_layer(&mut self, record: &Record<'_>) {
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
        // Alerts end a connection and may use the reserve.
        let reserve = if record.content == ContentType::ALERT {
            0
        } else {
            RESERVE
        };
        self.put(RECORD, flag(record.sent) | protection << 1, &parts, false, reserve);
    }

    fn milestone(&mut self, milestone: &Milestone<'_>) {
        match *milestone {
            Milestone::Role { server } => self.put(MILESTONE, flag(server), &[&[0]], false, RESERVE),
            Milestone::KeyPair { group, public } => {
                self.put(MILESTONE, 0, &[&[1], &group.to_be_bytes(), public], false, RESERVE);
            }
            Milestone::Shared { group } => self.put(MILESTONE, 0, &[&[2], &group.to_be_bytes()], false, RESERVE),
            Milestone::Resumed => self.put(MILESTONE, 0, &[&[3]], false, RESERVE),
            Milestone::Secret { secret, hash, value } => {
                let parts = [&[4][..], &[secret as u8], &length_byte(hash), hash, value];
                self.put(MILESTONE, 0, &parts, false, RESERVE);
            }
            Milestone::Signature { sent, hash } => self.put(MILESTONE, flag(sent), &[&[5], hash], false, RESERVE),
            Milestone::Finished { sent, hash } => self.put(MILESTONE, flag(sent), &[&[6], hash], false, RESERVE),
            Milestone::Trusted { subject } => self.put(MILESTONE, 0, &[&[7], subject.as_bytes()], false, RESERVE),
            Milestone::Done => self.put(MILESTONE, 0, &[&[8]], false, RESERVE),
            Milestone::Failed { reason } => self.put(MILESTONE, 0, &[&[9], reason.as_bytes()], false, 0),
            Milestone::Stapled => self.put(MILESTONE, 0, &[&[10]], false, RESERVE),
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

/// The events of a log, in their order.
#[derive(Clone, Copy)]
pub struct Events<'t> {
    rest: &'t [u8],
    lost: u32,
    data_records: u32,
    data_bytes: u64,
}

impl Events<'_> {
    /// The number of events that did not fit, or only in part.
    pub fn lost(&self) -> u32 {
        self.lost
    }

    /// The number of application data records, and of the bytes in them.
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
            _ => milestone(sent, payload).map(Event::Milestone),
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

fn milestone(flag: bool, payload: &[u8]) -> Option<Milestone<'_>> {
    let (&kind, rest) = payload.split_first()?;
    let text = |bytes| core::str::from_utf8(bytes).unwrap_or_default();
    Some(match kind {
        0 => Milestone::Role { server: flag },
        1 => {
            let (group, public) = rest.split_first_chunk()?;
            let group = u16::from_be_bytes(*group);
            Milestone::KeyPair { group, public }
        }
        2 => Milestone::Shared {
            group: u16::from_be_bytes(*rest.first_chunk()?),
        },
        3 => Milestone::Resumed,
        4 => {
            let (&[secret, length], rest) = rest.split_first_chunk()?;
            let (hash, value) = rest.split_at_checked(length.into())?;
            let secret = *Secret::ALL.get(usize::from(secret))?;
            Milestone::Secret { secret, hash, value }
        }
        5 => Milestone::Signature { sent: flag, hash: rest },
        6 => Milestone::Finished { sent: flag, hash: rest },
        7 => Milestone::Trusted { subject: text(rest) },
        8 => Milestone::Done,
        10 => Milestone::Stapled,
        _ => Milestone::Failed { reason: text(rest) },
    })
}
