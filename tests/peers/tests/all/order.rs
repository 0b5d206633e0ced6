//! The order of messages: every illegal one in every state, with true keys.

mod scenarios;
mod table;

use std::collections::HashSet;

use postern_peers::hello::{message, record};
use postern_peers::middle::{End, Epoch, Item};
use postern_tls::error::{InvalidMessage, PeerMisbehaved};
use postern_tls::{AlertDescription as Alert, ContentType, Error, Progress};

use scenarios::{Met, SCENARIOS, Scenario};
use table::{CLIENT, ChangeCipherSpec, ENDS, Edge, Input, MESSAGES, Protection, SERVER, State};

/// What has to come of a case.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// This error and this alert, and nothing else.
    Refused(Error, Alert),
    /// That the body ends too early, or that one of its fields cannot be.
    Malformed,
    /// An alert ends the connection, and is not answered.
    Ended(Alert),
    /// It continues, or ends in the regular way.
    Accepted,
    Closed,
}

use Expected::{Accepted, Closed, Ended, Malformed, Refused};

fn refused(error: impl Into<Error>) -> Expected {
    Refused(error.into(), Alert::UNEXPECTED_MESSAGE)
}

/// The cases run, and the ones with another result.
#[derive(Default)]
struct Cases {
    count: usize,
    failed: Vec<String>,
}

impl Cases {
    fn check(&mut self, name: impl FnOnce() -> String, end: &mut End<'_>, expected: Expected) {
        self.count += 1;
        let result = end.result;
        let sent: Vec<Item> = end.outbox.drain(..).collect();
        let as_expected = match (expected, result) {
            (Refused(error, alert), Err(ended)) => ended == error && sent == [Item::Alert(2, alert)],
            (
                Malformed,
                Err(Error::InvalidMessage(
                    InvalidMessage::MissingData(_) | InvalidMessage::TrailingData(_) | InvalidMessage::IllegalValue(_),
                )),
            ) => sent == [Item::Alert(2, Alert::DECODE_ERROR)],
            (Ended(alert), Err(ended)) => ended == Error::AlertReceived(alert) && sent.is_empty(),
            (Accepted, Ok(progress)) => progress == Progress::NeedInput,
            (Closed, Ok(progress)) => progress == Progress::Closed,
            _ => false,
        };
        // A connection that has failed is none: no data either way, and nothing brings it back.
        let is_over = result.is_ok() || {
            end.end();
            let silent = end.outbox.is_empty() && end.data.is_empty();
            silent && end.result == result && !end.is_established() && end.connection.write(b"x") == result.map(|_| 0)
        };
        if !as_expected || !is_over {
            let sent: Vec<String> = sent.iter().map(described).collect();
            self.failed
                .push(format!("{}: {result:?}, sent {sent:?}; expected {expected:?}", name()));
        }
    }

    #[track_caller]
    fn finish(self) {
        let failed = self.failed.len();
        assert_eq!(failed, 0, "of {} cases:\n{}", self.count, self.failed.join("\n"));
        println!("{} cases", self.count);
    }
}

fn described(item: &Item) -> String {
    match Input::of(item) {
        Some(input) => format!("{input:?}"),
        None => format!("{item:?}"),
    }
}

/// Each state of each scenario, with the number of items that lead to it.
fn states() -> impl Iterator<Item = (&'static Scenario, usize, State)> {
    SCENARIOS.iter().flat_map(|scenario| {
        let path = scenario.path.iter().enumerate();
        path.map(move |(count, state)| (scenario, count, *state))
    })
}

/// Each legal edge of either role once, with a scenario and the number of items that lead to it.
fn edges() -> Vec<(&'static Scenario, usize, Edge)> {
    let mut edges = Vec::new();
    let mut seen = HashSet::new();
    for scenario in SCENARIOS {
        let last = scenario.path.len() - 1;
        let given = scenario.up_to(last, |met| met.given.clone());
        assert_eq!(given.len(), last, "{}", scenario.name);
        for (count, (item, states)) in given.iter().zip(scenario.path.windows(2)).enumerate() {
            let input = Input::of(item).unwrap();
            let edge = scenario.table().next(states[0], input).find(|edge| edge.2 == states[1]);
            let edge = edge.unwrap_or_else(|| panic!("{}: {input:?} in {states:?}", scenario.name));
            if seen.insert((scenario.to_client, *edge)) {
                edges.push((scenario, count, *edge));
            }
        }
    }
    for (scenario, count, state) in states() {
        for edge in scenario.table().edges {
            if (edge.0, edge.2) == (state, state) && seen.insert((scenario.to_client, *edge)) {
                edges.push((scenario, count, *edge));
            }
        }
    }
    edges
}

#[test]
fn every_legal_edge_is_taken() {
    let edges = edges();
    for (to_client, table) in [(true, CLIENT), (false, SERVER)] {
        let taken = |edge: &Edge| {
            edges
                .iter()
                .any(|(scenario, _, taken)| (scenario.to_client, taken) == (to_client, edge))
        };
        let left: Vec<&Edge> = table.edges.iter().filter(|edge| !taken(edge)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn messages_in_every_state() {
    let mut cases = Cases::default();
    for (scenario, count, state) in states() {
        for (input, _) in MESSAGES {
            scenario.up_to(count, |met| {
                let name = || format!("{}: {input:?} in {state:?}", scenario.name);
                met.give(input);
                if let Some((error, alert)) = scenario.table().refusal(state, input) {
                    cases.check(name, met.end, Refused(error, alert));
                    return;
                }
                let stays = scenario.table().next(state, input).any(|edge| edge.2 == state);
                if stays || met.coming.first().and_then(Input::of) == Some(input) {
                    cases.check(name, met.end, Accepted);
                }
                if stays {
                    // The rest is as legal as before.
                    for item in std::mem::take(&mut met.coming) {
                        met.end.deliver(item, true);
                    }
                    cases.check(name, met.end, Accepted);
                }
            });
        }
    }
    cases.finish();
}

/// All that a peer might leave out of a flight, above all Certificate, CertificateVerify and Finished.
#[test]
fn messages_left_out() {
    let mut cases = Cases::default();
    for scenario in SCENARIOS {
        let last = scenario.path.len() - 1;
        let mut count = 0;
        while count < last {
            let flight = scenario.up_to(count, |met| met.coming.len()).min(last - count);
            for kept in 0..(1_usize << flight) - 1 {
                scenario.up_to(count, |met| leave_out(&mut cases, scenario, count, flight, kept, met));
            }
            count += flight;
        }
    }
    cases.finish();
}

/// Gives the `kept` ones of a flight, and data after them.
fn leave_out(cases: &mut Cases, scenario: &Scenario, count: usize, flight: usize, kept: usize, met: &mut Met<'_, '_>) {
    let table = scenario.table();
    let mut states = HashSet::from([scenario.path[count]]);
    let mut expected = Accepted;
    let mut left_out = Vec::new();
    let coming: Vec<Item> = met.coming.drain(..flight).collect();
    for (number, item) in coming.into_iter().enumerate() {
        let input = Input::of(&item).unwrap();
        if kept & 1 << number == 0 {
            left_out.push(input);
            continue;
        }
        let next: HashSet<State> = if left_out.is_empty() {
            HashSet::from([scenario.path[count + number + 1]])
        } else {
            let edges = states.iter().flat_map(|state| table.next(*state, input));
            edges.map(|edge| edge.2).collect()
        };
        if next.is_empty() {
            let state = *states.iter().next().unwrap();
            let (error, alert) = table.refusal(state, input).unwrap();
            expected = Refused(error, alert);
            met.end.deliver(item, true);
            break;
        }
        states = next;
        met.end.deliver(item, true);
        met.end.outbox.clear();
    }
    let name = || format!("{}: without {left_out:?}", scenario.name);
    let connected = states
        .iter()
        .any(|state| matches!(state, State::Connected | State::Connected12));
    if matches!(expected, Accepted) && !connected {
        // Something is missing: data does not come through.
        met.end.deliver(Item::Data(b"early".to_vec()), false);
        expected = refused(PeerMisbehaved::UnexpectedRecord(ContentType::APPLICATION_DATA));
    }
    if matches!(expected, Accepted) {
        assert!(met.end.is_established(), "{}", name());
    }
    cases.check(name, met.end, expected);
}

/// What a body has that is one byte too long, and what one has that is empty.
const BODIES: [(Input, &str, Option<&str>); 15] = [
    (Input::HelloRequest, "HelloRequest", None),
    (Input::ClientHello, "ClientHello", Some("ClientHello")),
    (Input::ServerHello, "ServerHello", Some("ServerHello")),
    (Input::HelloRetryRequest, "ServerHello", Some("ServerHello")),
    (Input::NewSessionTicket, "NewSessionTicket", Some("NewSessionTicket")),
    (
        Input::EncryptedExtensions,
        "EncryptedExtensions",
        Some("EncryptedExtensions"),
    ),
    (Input::Certificate, "Certificate", Some("Certificate")),
    (Input::ServerKeyExchange, "ServerKeyExchange", Some("ServerKeyExchange")),
    (
        Input::CertificateRequest,
        "CertificateRequest",
        Some("CertificateRequest"),
    ),
    (Input::ServerHelloDone, "ServerHelloDone", None),
    (Input::CertificateVerify, "CertificateVerify", Some("CertificateVerify")),
    (Input::ClientKeyExchange, "ClientKeyExchange", Some("ClientKeyExchange")),
    (Input::CertificateStatus, "CertificateStatus", Some("CertificateStatus")),
    (Input::Finished, "Finished", Some("Finished")),
    (Input::KeyUpdate, "KeyUpdate", Some("KeyUpdate")),
];

#[test]
fn bodies_that_are_empty_or_too_long_or_too_short() {
    let mut cases = Cases::default();
    for (scenario, count, (state, input, ..)) in edges() {
        // A renegotiation is declined without a look at it.
        if (state, input) == (State::Connected12, Input::ClientHello) {
            continue;
        }
        let Some((_, too_long, empty)) = BODIES.into_iter().find(|body| body.0 == input) else {
            assert!(
                matches!(input, Input::ChangeCipherSpec | Input::NoCertificate),
                "{input:?}"
            );
            continue;
        };
        let decode = |error: InvalidMessage| Refused(error.into(), Alert::DECODE_ERROR);
        let mut case = |what: &str, expected: Expected, change: fn(&mut Vec<u8>)| {
            scenario.up_to(count, |met| {
                let item = met.end.fit(met.find(input)).map(change);
                met.end.deliver(item, false);
                let name = || format!("{}: {input:?} {what} in {state:?}", scenario.name);
                cases.check(name, met.end, expected);
            });
        };
        case("too long", decode(InvalidMessage::TrailingData(too_long)), |body| {
            body.push(0);
        });
        if let Some(what) = empty {
            case("empty", decode(InvalidMessage::MissingData(what)), Vec::clear);
            case("too short", Malformed, |body| body.truncate(body.len() - 1));
        }
    }
    cases.finish();
}

/// Messages in one record: nothing stands behind one after which keys change or the other side sends.
#[test]
fn messages_in_one_record() {
    let mut cases = Cases::default();
    let across = refused(PeerMisbehaved::MessageAcrossKeyChange);
    for (scenario, count, edge @ (_, input, _, ends)) in edges() {
        let mut case = |behind: Item, expected: Expected| {
            scenario.up_to(count, |met| {
                let name = || format!("{}: {} behind {edge:?}", scenario.name, described(&behind));
                met.end.deliver_in_one_record(&[met.find(input), behind.clone()], true);
                cases.check(name, met.end, expected);
            });
        };
        if input == Input::ChangeCipherSpec {
            continue;
        }
        if ends == ENDS {
            for behind in [vec![11], message(0, &[]), message(24, &[0])] {
                case(Item::Message(behind), across);
            }
        } else if let Some(next) = scenario.up_to(count, |met| met.coming.get(1).cloned())
            && next.kind().is_some()
            && edge.0 != edge.2
        {
            case(next, Accepted);
        }
    }
    cases.finish();
}

/// What comes in a record of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    PlainMessage,
    PlainAlert,
    PlainData,
    /// The next message, or data, by other keys.
    By(Epoch),
    ChangeCipherSpec,
    WrongChangeCipherSpec,
    ProtectedChangeCipherSpec,
    Data,
    EmptyData,
    EmptyMessage,
    EmptyAlert,
    LongAlert,
    FatalAlert,
    CloseNotify,
    UnknownContent,
    /// Amid a message.
    DataAmid,
    AlertAmid,
    ChangeCipherSpecAmid,
}

use Form::*;

const FORMS: [Form; 20] = [
    PlainMessage,
    PlainAlert,
    PlainData,
    By(Epoch::Handshake),
    By(Epoch::Application),
    By(Epoch::Next),
    ChangeCipherSpec,
    WrongChangeCipherSpec,
    ProtectedChangeCipherSpec,
    Data,
    EmptyData,
    EmptyMessage,
    EmptyAlert,
    LongAlert,
    FatalAlert,
    CloseNotify,
    UnknownContent,
    DataAmid,
    AlertAmid,
    ChangeCipherSpecAmid,
];

impl Form {
    /// Gives it to the end, or returns false where there is no such thing.
    fn give(self, met: &mut Met<'_, '_>, protection: Protection) -> bool {
        let first = met.coming.first().cloned();
        let next = met.end.fit(first.unwrap_or(Item::Data(b"late".to_vec())));
        let (content, text) = next.content();
        let wire = match self {
            PlainMessage | PlainAlert | PlainData if protection == Protection::None => return false,
            PlainMessage if content == 22 => record(22, &text),
            PlainMessage => record(22, &message(24, &[0])),
            PlainAlert => record(21, &[2, 40]),
            PlainData => record(23, b"some data, and not too little of it"),
            By(_) if matches!(protection, Protection::None | Protection::Tls12) => return false,
            By(Epoch::Handshake) if protection == Protection::Handshake => return false,
            By(Epoch::Application) if protection == Protection::Application => return false,
            By(epoch) => match met.end.protect_by(epoch, content, &text) {
                Some(wire) => wire,
                None => return false,
            },
            ChangeCipherSpec => record(20, &[1]),
            WrongChangeCipherSpec => record(20, &[2]),
            ProtectedChangeCipherSpec => match protection {
                Protection::None => return false,
                _ => met.end.protect(20, &[1]),
            },
            Data => met.end.protect(23, b"data"),
            EmptyData => met.end.protect(23, b""),
            EmptyMessage => met.end.protect(22, b""),
            EmptyAlert => met.end.protect(21, b""),
            LongAlert => met.end.protect(21, &[2, 40, 2, 40]),
            FatalAlert => met.end.protect(21, &[2, 40]),
            CloseNotify => met.end.protect(21, &[1, 0]),
            UnknownContent => record(24, b"heartbeat"),
            DataAmid | AlertAmid | ChangeCipherSpecAmid => {
                let wire = met.end.protect(22, &[20, 0, 0]);
                met.end.feed(&wire);
                match self {
                    DataAmid => met.end.protect(23, b"data"),
                    AlertAmid => met.end.protect(21, &[2, 40]),
                    _ if protection == Protection::Tls12 => met.end.protect(20, &[1]),
                    _ => record(20, &[1]),
                }
            }
        };
        met.end.feed(&wire);
        true
    }

    /// What comes of it. `authenticated`: a protected record has come before.
    fn expected(
        self,
        (protection, rule): (Protection, ChangeCipherSpec),
        to_client: bool,
        connected: bool,
        authenticated: bool,
    ) -> Expected {
        let unexpected = |kind| refused(PeerMisbehaved::UnexpectedRecord(ContentType(kind)));
        let bad_mac = Refused(PeerMisbehaved::BadRecordMac.into(), Alert::BAD_RECORD_MAC);
        let tls12 = protection == Protection::Tls12;
        match self {
            // RFC 5246 §6.2.3: in TLS 1.2 every record is taken for a protected one.
            PlainMessage | PlainAlert | PlainData | ChangeCipherSpec | WrongChangeCipherSpec if tls12 => bad_mac,
            PlainMessage => unexpected(22),
            // A client may not have read the flight.
            PlainAlert if !to_client && !authenticated => Ended(Alert::HANDSHAKE_FAILURE),
            PlainAlert => unexpected(21),
            PlainData | By(_) => bad_mac,
            ChangeCipherSpec if rule != ChangeCipherSpec::Refused => Accepted,
            ChangeCipherSpec | WrongChangeCipherSpec | ProtectedChangeCipherSpec => unexpected(20),
            Data | EmptyData if connected => Accepted,
            Data | EmptyData => unexpected(23),
            EmptyMessage | EmptyAlert => refused(InvalidMessage::EmptyRecord),
            LongAlert => Malformed,
            FatalAlert => Ended(Alert::HANDSHAKE_FAILURE),
            CloseNotify if connected => Closed,
            CloseNotify => Ended(Alert::CLOSE_NOTIFY),
            UnknownContent => refused(InvalidMessage::ContentType(24)),
            DataAmid if protection == Protection::None => unexpected(23),
            DataAmid | AlertAmid | ChangeCipherSpecAmid => refused(PeerMisbehaved::InterleavedHandshake),
        }
    }
}

#[test]
fn records_in_every_state() {
    let mut cases = Cases::default();
    for (scenario, count, state) in states() {
        let rules = scenario.table().rules(state);
        let first_protected = scenario
            .path
            .iter()
            .position(|state| scenario.table().rules(*state).0 != Protection::None);
        let connected = matches!(state, State::Connected | State::Connected12);
        for form in FORMS {
            scenario.up_to(count, |met| {
                if form.give(met, rules.0) {
                    let expected = form.expected(rules, scenario.to_client, connected, first_protected < Some(count));
                    let name = || format!("{}: {form:?} in {state:?}", scenario.name);
                    cases.check(name, met.end, expected);
                }
            });
        }
    }
    cases.finish();
}

/// A record by the keys from before each change of them.
#[test]
fn records_by_old_keys() {
    let mut cases = Cases::default();
    for (scenario, count, state) in states().filter(|state| state.2 == State::Connected) {
        scenario.up_to(count, |met| {
            for (content, text) in [(22, &message(24, &[0])[..]), (23, b"by the old keys")] {
                let wire = met.end.protect(content, text);
                met.end.feed(&wire);
            }
            let bad_mac = Refused(PeerMisbehaved::BadRecordMac.into(), Alert::BAD_RECORD_MAC);
            let name = || format!("{}: data by old keys in {state:?}", scenario.name);
            cases.check(name, met.end, bad_mac);
        });
    }
    cases.finish();
}
