//! The events of a connection, in steps.

mod computed;
mod steps;
mod summary;

use postern_tls::crypto::hash::HashAlgorithm;
use postern_tls::crypto::suite::CipherSuite;
use postern_tls::trace::{Event, Milestone, Protection, Record, views};
use postern_tls::{ContentType, HandshakeType, ProtocolVersion};

pub use self::steps::Steps;
pub use self::summary::Summary;
use crate::fields::{self, Item, Meaning};
use crate::log::Events;

/// The side that a step is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The client sends.
    Client,
    /// The server sends.
    Server,
    /// Nothing is sent: something is computed or verified here.
    Local,
}

/// A step of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Step<'t> {
    /// Its number, from 1.
    pub number: usize,
    /// The side that it is of.
    pub actor: Actor,
    /// Whether this side is that one.
    pub ours: bool,
    /// Its title, a few words.
    pub title: &'static str,
    /// What it is, and why.
    pub note: &'static str,
    /// The reason of a failure, else empty.
    pub reason: &'t str,
    /// The length of the message or the content, in bytes.
    pub length: usize,
    /// Whether it was sent under protection.
    pub protected: bool,
    /// The index of its first event.
    at: usize,
    event: Event<'t>,
}

/// The narrative of one connection.
#[derive(Clone, Copy)]
pub struct Narrative<'t> {
    events: Events<'t>,
    server: bool,
    version: ProtocolVersion,
    suite: Option<CipherSuite>,
    resumed: bool,
}

impl<'t> Narrative<'t> {
    /// The narrative of these events.
    pub fn of(events: Events<'t>) -> Self {
        let mut narrative = Self {
            events,
            server: false,
            version: ProtocolVersion::TLS12,
            suite: None,
            resumed: false,
        };
        for event in events {
            match event {
                Event::Milestone(Milestone::Role { server }) => narrative.server = server,
                Event::Milestone(Milestone::Resumed) => narrative.resumed = true,
                Event::Message { whole, .. } if views::kind(whole) == HandshakeType::SERVER_HELLO => {
                    if let Ok(hello) = views::server_hello(whole) {
                        narrative.suite = CipherSuite::from_id(hello.suite);
                        narrative.version = hello.version;
                    }
                }
                _ => {}
            }
        }
        narrative
    }

    /// The steps, in their order.
    pub fn steps(&self) -> Steps<'t> {
        Steps::of(*self)
    }

    /// The number of application data records, and of the bytes in them.
    pub fn data(&self) -> (u32, u64) {
        self.events.data()
    }

    /// Visits what a step consists of: the headers of its records first, then the message or content, then what was
    /// computed from it.
    pub fn visit_items(&self, step: &Step<'t>, visit: &mut dyn FnMut(&Item<'_>)) {
        match step.event {
            Event::Message { sent, whole } => {
                self.records_of(step.at, sent, &mut |record| fields::record(record, visit));
                fields::message(whole, self.version, visit);
                self.computed_from(step.at, sent, whole, visit);
            }
            Event::Record(record) => {
                fields::record(&record, visit);
                fields::content(&record, visit);
            }
            Event::Milestone(_) => self.computation(step.at, visit),
        }
    }

    /// The records that a message was received or sent in, without those that belong to an earlier message.
    fn records_of(&self, at: usize, sent: bool, visit: &mut dyn FnMut(&Record<'t>)) {
        let carries = |record: &Record<'_>| record.content == ContentType::HANDSHAKE && record.sent == sent;
        let is_message = |event: &Event<'_>| matches!(event, Event::Message { sent: other, .. } if *other == sent);
        if !sent {
            let since = self.events.take(at).enumerate().filter(|(_, event)| is_message(event));
            let since = since.last().map_or(0, |(index, _)| index + 1);
            for event in self.events.take(at).skip(since) {
                if let Event::Record(record) = event
                    && carries(&record)
                {
                    visit(&record);
                }
            }
            return;
        }
        let before = self.events.take(at).fold(false, |open, event| match event {
            Event::Record(record) if carries(&record) => false,
            event => open || is_message(&event),
        });
        if before {
            return;
        }
        let mut begun = false;
        for event in self.events.skip(at + 1) {
            match event {
                Event::Record(record) if carries(&record) => {
                    begun = true;
                    visit(&record);
                }
                event if begun && is_message(&event) => return,
                _ => {}
            }
        }
    }

    /// Whether the last record of a message was protected: the record before it, or after it if it was sent.
    fn is_protected(&self, at: usize, sent: bool) -> bool {
        let records = |event| match event {
            Event::Record(record) if record.content == ContentType::HANDSHAKE && record.sent == sent => Some(record),
            _ => None,
        };
        let record = if sent {
            self.events.skip(at).find_map(records)
        } else {
            self.events.take(at).filter_map(records).last()
        };
        record.is_some_and(|record| record.protection != Protection::None)
    }

    fn hash_name(&self) -> Meaning<'static> {
        match self.suite.map(CipherSuite::hash) {
            Some(HashAlgorithm::Sha256) => Meaning::Words("SHA-256"),
            Some(HashAlgorithm::Sha384) => Meaning::Words("SHA-384"),
            None => Meaning::None,
        }
    }

    fn sender(&self, sent: bool) -> Actor {
        if sent == self.server {
            Actor::Server
        } else {
            Actor::Client
        }
    }
}
