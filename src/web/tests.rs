//! Requests and their answers, as a client of the page sees them.

use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use embassy_futures::join::join3;
use embassy_time::Instant;
use embedded_io_async::{Read as _, Write as _};

use super::chunk::CHUNK;
use super::*;
use crate::crypto::hash::HashAlgorithm;
use crate::crypto::key::SigningKey;
use crate::endpoint::traces::{LOG_SIZE, Slot, Traces};
use crate::narrate::Narrative;
use crate::net::fake::connection;
use crate::net::{Kind, Transport as _};
use crate::pki::verify::{Clock, Trust};
use crate::serve::registry::Entry;
use crate::serve::tls::{INBOUND, TlsWorker};
use crate::serve::{AcceptedSession as _, TlsAcceptor as _};
use crate::testing::{Script, unhex};
use crate::testing::{block_on, pass};
use crate::tls::trace::Event;
use crate::tls::{ClientConfig, Connection, Identity, ServerConfig, Stream, Versions};

/// 2030-01-01.
const CLOCK: Clock = Clock {
    now: 1_893_456_000,
    floor: 0,
};

fn traces(count: usize, size: usize) -> &'static Traces {
    let slots = (0..count).map(|_| Slot::new(Vec::leak(vec![0; size])));
    let traces = Box::leak(Box::new(Traces::new(slots.collect::<Vec<_>>().leak())));
    traces.switch(true);
    traces
}

/// Random enough for a handshake.
fn random(seed: u8) -> Script {
    Script((0..2000u32).map(|n| (n * 37 + n / 7) as u8 ^ seed).collect())
}

/// What the server answers to a request, and the handshake messages that went before; `meanwhile` happens between the
/// handshake and the request.
fn answer_with(
    request: &str,
    versions: Versions,
    pages: &'static Traces,
    meanwhile: impl FnOnce(),
) -> (String, Vec<Vec<u8>>) {
    let (answer, messages) = asked(request, versions, pages, meanwhile, Reading::All);
    (answer.unwrap(), messages)
}

/// What the client reads of the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    All,
    Nothing,
    /// Nothing, and meanwhile another connection takes its log.
    Displaced,
}

/// The same; no answer where the server has left a client that reads nothing.
fn asked(
    request: &str,
    versions: Versions,
    pages: &'static Traces,
    meanwhile: impl FnOnce(),
    reading: Reading,
) -> (Option<String>, Vec<Vec<u8>>) {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_string()]).unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap();
    let (chain, cas) = ([&certificate.der()[..]], [&ca.der()[..]]);
    let key = SigningKey::from_der("PRIVATE KEY", &key.serialize_der()).unwrap();
    let identities = [Identity::new(&chain, &key).unwrap()];
    let config = ServerConfig::new(&identities, CLOCK).unwrap();
    let (mut inbound, mut outbound) = (vec![0; INBOUND], vec![0; 17_000]);
    let worker = TlsWorker::new(config, || CLOCK, &mut inbound, &mut outbound, random(1)).unwrap();
    let mut worker = worker.with_traces(traces(0, 0), pages);
    let (near, mut far) = connection(40_000, 443, 1 << 14);
    let entry = Entry::new();

    let trust = Trust::new(&cas);
    // An offer to look at twice.
    let protocol = match request.contains("HTTP/1.0") {
        true => &b"http/1.0"[..],
        false => b"http/1.1",
    };
    let protocols: [&[u8]; 2] = [b"<script>alert(1)</script>", protocol];
    let config = ClientConfig::new(&trust, None, CLOCK)
        .with_protocols(&protocols)
        .with_versions(versions);
    let (mut inbound, mut outbound) = (vec![0; INBOUND], vec![0; 17_000]);
    let mut rng = random(2);
    let client = Connection::client(config, &mut inbound, &mut outbound, &mut rng).unwrap();
    let mut client = Stream::new(near, client);

    let mut meanwhile = Some(meanwhile);
    let mut messages = Vec::new();
    let reads = reading == Reading::All;
    let taking = async {
        if reading == Reading::Displaced {
            while entry.flow().echoed() == 0 {
                embassy_futures::yield_now().await;
            }
            pass(std::time::Duration::from_secs(1));
            pages.begin("10.0.2.2:1".parse().unwrap(), None).unwrap();
            pass(RECHECK.into());
        }
    };
    let serving = async {
        let guard = entry.occupy(Kind::Https, 443, far.peer());
        let mut session = worker.accept(&mut far, &entry, None, Instant::MAX).await.unwrap();
        let page = session.page();
        meanwhile.take().unwrap()();
        let (mut reader, mut writer) = session.split().unwrap();
        let idle = Duration::from_millis(if reading == Reading::Nothing { 100 } else { 30_000 });
        let end = serve(&mut reader, &mut writer, page, guard.peer(), guard.flow(), idle).await;
        if !reads {
            match reading {
                Reading::Displaced => assert!(matches!(end, End::Displaced), "{end:?}"),
                _ => assert!(matches!(end, End::Stalled), "{end:?}"),
            }
            return None;
        }
        assert!(matches!(end, End::Finished), "{end:?}");
        session.close(DELIVERY_TIMEOUT).await;
        if let Some(page) = page {
            page.read(|events| {
                for event in events {
                    if let Event::Message { whole, .. } = event {
                        messages.push(whole.to_vec());
                    }
                }
            });
        }
        Some((guard.flow().received(), guard.flow().echoed()))
    };
    let asking = async {
        client.handshake(&mut rng).await.unwrap();
        assert_eq!(client.info().protocol, Some(protocol));
        client.write_all(request.as_bytes()).await.unwrap();
        client.flush().await.unwrap();
        if !reads {
            return None;
        }
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match client.read(&mut buffer).await.unwrap() {
                0 => break,
                count => answer.extend_from_slice(&buffer[..count]),
            }
        }
        Some(String::from_utf8(answer).unwrap())
    };
    let (flow, answer, ()) = block_on(join3(serving, asking, taking));
    let lengths = answer
        .as_ref()
        .map(|answer| (request.len() as u64, answer.len() as u64));
    assert_eq!(flow, lengths);
    (answer, messages)
}

fn answer(request: &str) -> String {
    answer_with(request, Versions::Both, traces(1, LOG_SIZE), || ()).0
}

/// Head and content of an answer.
fn taken_apart(answer: &str) -> (&str, &str) {
    answer.split_once("\r\n\r\n").unwrap()
}

/// The content of chunks.
fn unchunked(mut chunks: &str) -> String {
    let mut content = String::new();
    loop {
        let (length, rest) = chunks.split_once("\r\n").unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        let (chunk, rest) = rest.split_at(length);
        content.push_str(chunk);
        chunks = rest.strip_prefix("\r\n").unwrap();
        if length == 0 {
            assert_eq!(chunks, "");
            return content;
        }
    }
}

/// The text of a page without its tags, which have to be closed in order. A summary has phrases and headings in it
/// only, a list of facts only its pairs.
fn text_of(page: &str) -> String {
    let mut open = Vec::new();
    let mut text = String::new();
    let mut rest = page.split_once("</head>").unwrap().1;
    while let Some((before, after)) = rest.split_once('<') {
        assert!(!before.contains('>'), "{before}");
        text.push_str(before);
        let (tag, after) = after.split_once('>').unwrap();
        rest = after;
        match tag.strip_prefix('/') {
            Some("html") => {}
            Some(name) => assert_eq!(open.pop(), Some(name), "{before}"),
            None => {
                let name = tag.split(' ').next().unwrap();
                match (open.last(), name) {
                    (Some(&"dl"), name) => assert_eq!(name, "div"),
                    (_, "dt" | "dd") => assert!(open.ends_with(&["dl", "div"]), "{open:?}"),
                    (_, "wbr") => continue,
                    _ => {}
                }
                if open.contains(&"summary") {
                    assert!(
                        ["span", "h2", "b", "i", "code", "small"].contains(&name),
                        "{name} in {open:?}"
                    );
                }
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    text + rest
}

/// The bytes that each step of a page shows of what was sent.
fn bytes_of(page: &str) -> Vec<Vec<u8>> {
    let step = |step: &str| {
        let fields = step.split("class=\"field ").filter(|field| field.starts_with("wire"));
        let field = |field: &str| {
            // Long ones stand there twice: their front, then all of it.
            let begin = ["<code class=\"all\">", "<code>"];
            let code = begin.iter().find_map(|begin| field.split_once(begin)).unwrap().1;
            unhex(code.split_once("</code>").unwrap().0)
        };
        fields.flat_map(field).collect()
    };
    page.split("<details class=\"step").skip(1).map(step).collect()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost:10443\r\n\r\n";

#[test]
fn the_page_shows_every_byte_of_the_handshake_that_brought_it() {
    for versions in [Versions::Tls13, Versions::Tls12] {
        let (answer, messages) = answer_with(GET, versions, traces(1, LOG_SIZE), || ());
        let (head, chunks) = taken_apart(&answer);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        for field in [
            "Content-Type: text/html; charset=utf-8",
            "Transfer-Encoding: chunked",
            "Connection: close",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Referrer-Policy: no-referrer",
        ] {
            assert!(head.contains(field), "{field}: {head}");
        }
        let page = unchunked(chunks);
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
        let text = text_of(&page);
        let mut shown = bytes_of(&page);
        // Besides the messages there is the request, and change_cipher_spec.
        shown.retain(|bytes| bytes.len() >= 4 && !bytes.starts_with(b"GET /"));
        assert!(messages.len() >= 6);
        assert_eq!(shown, messages);
        for expected in [
            "ClientHello",
            "Server Finished",
            "http/1.1",
            "Application data: ping",
            "Application data: pong",
        ] {
            assert!(text.contains(expected), "{expected}");
        }
        assert!(text.contains("GET / HTTP/1.1"), "the request is shown");
        // What the client has offered is a text and no tag.
        assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && !page.contains("<script"));
        let version = if versions == Versions::Tls13 {
            "TLS 1.3"
        } else {
            "TLS 1.2"
        };
        assert!(text.contains(&format!("shook hands over {version}")), "{text}");
    }
}

#[test]
fn nothing_may_run_and_only_this_style_applies() {
    let answer = answer(GET);
    let (head, chunks) = taken_apart(&answer);
    let page = unchunked(chunks);
    let (_, style) = page.split_once("<style>").unwrap();
    let (style, _) = style.split_once("</style>").unwrap();
    let policy = head
        .lines()
        .find(|line| line.starts_with("Content-Security-Policy: "))
        .unwrap();
    let hash = HashAlgorithm::Sha256.hash(style.as_bytes());
    let (_, stated) = policy.split_once("style-src 'sha256-").unwrap();
    let (stated, _) = stated.split_once('\'').unwrap();
    use core::fmt::Write as _;
    let engine = pem_rfc7468::encode_string("X", pem_rfc7468::LineEnding::LF, hash.as_ref());
    let mut expected = String::new();
    let _ = write!(expected, "{}", engine.unwrap().lines().nth(1).unwrap());
    assert_eq!(stated, expected);
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src") && !policy.contains("unsafe"));
    for tag in page.split('<').skip(1).filter_map(|tag| tag.split_once('>')) {
        assert!(!tag.0.contains(" on") && !tag.0.contains(" style"), "{}", tag.0);
    }
}

#[test]
fn head_is_the_head_alone() {
    let request = GET.replace("GET", "HEAD");
    let answer = answer(&request);
    let (head, content) = taken_apart(&answer);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Type: text/html"));
    assert_eq!(content, "");
}

#[test]
fn http_1_0_gets_no_chunks() {
    let answer = answer("GET / HTTP/1.0\r\n\r\n");
    let (head, content) = taken_apart(&answer);
    assert!(!head.contains("Transfer-Encoding"));
    assert!(content.starts_with("<!DOCTYPE html>") && content.ends_with("</html>\n"));
    text_of(content);
}

#[test]
fn refusals_have_status_and_reason() {
    for (request, line, field) in [
        ("GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 Not Found", ""),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 405 Method Not Allowed",
            "Allow: GET, HEAD\r\n",
        ),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request", ""),
        ("\x16\x03\x01\n", "HTTP/1.1 400 Bad Request", ""),
        ("BREW / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 501 Not Implemented", ""),
        ("PRI * HTTP/2.0\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported", ""),
    ] {
        let answer = answer(request);
        let (head, content) = taken_apart(&answer);
        assert!(head.starts_with(line), "{head}");
        assert!(head.contains(field) && head.contains("Connection: close"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", content.len())), "{head}");
        assert!(
            content.starts_with(line.strip_prefix("HTTP/1.1 ").unwrap()),
            "{content}"
        );
    }
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", "x".repeat(40_000));
    let answer = answer_with(&long[..33_000], Versions::Both, traces(1, LOG_SIZE), || ()).0;
    assert!(
        answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        "{answer}"
    );
}

#[test]
fn without_its_log_the_page_is_to_be_had_later() {
    // Another connection has taken the only log.
    let pages = traces(1, LOG_SIZE);
    let peer = "10.0.2.2:1".parse().unwrap();
    let (answer, _) = answer_with(GET, Versions::Both, pages, || {
        pages.begin(peer, None).unwrap();
    });
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.contains("Retry-After: 1\r\n"), "{answer}");
    // There is none at all.
    let (answer, _) = answer_with(GET, Versions::Both, traces(0, 0), || ());
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[test]
fn who_does_not_read_is_left_and_keeps_nobody_from_the_page() {
    let pages = traces(1, LOG_SIZE);
    for reading in [Reading::Nothing, Reading::Displaced] {
        let (answer, _) = asked(GET, Versions::Both, pages, || (), reading);
        assert_eq!(answer, None);
    }
    assert!(
        answer_with(GET, Versions::Both, pages, || ())
            .0
            .starts_with("HTTP/1.1 200 OK\r\n")
    );
}

#[test]
fn a_short_log_makes_a_short_page() {
    for size in [600, 1500, 3000] {
        let (answer, _) = answer_with(GET, Versions::Tls13, traces(1, size), || ());
        let page = unchunked(taken_apart(&answer).1);
        assert!(text_of(&page).contains("more events did not fit"), "{size}");
    }
}

#[test]
fn a_chunk_takes_any_window_of_what_is_written() {
    let pages = traces(1, LOG_SIZE);
    let (answer, _) = answer_with(GET, Versions::Tls13, pages, || ());
    let page = unchunked(taken_apart(&answer).1);
    // The log is still there, so that the page can be made again, from one end to the other.
    let narrator = pages.next(0).unwrap();
    let again = Page::new(narrator, "10.0.2.2:40000".parse().unwrap());
    let (mut part, mut bytes, mut lengths) = (Some((0, 0)), Vec::new(), Vec::new());
    while let Some((number, from)) = part {
        let mut chunk = Chunk::new();
        part = again.write(number, from, &mut chunk);
        lengths.push(chunk.len());
        bytes.extend_from_slice(chunk.framed(false));
    }
    assert_eq!(String::from_utf8(bytes).unwrap(), page);
    let (_, full) = lengths.split_last().unwrap();
    assert!(full.iter().all(|length| *length == CHUNK), "{lengths:?}");
    assert!(narrator.read(|events| Narrative::of(events).steps().count()).unwrap() > 12);
}
