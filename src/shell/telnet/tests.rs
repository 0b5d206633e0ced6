use super::*;
use crate::net::fake::{Stream, connection};
use crate::testing::block_on;
use embassy_futures::select::{Either, select};
use std::vec::Vec;

const OFFERS: &[u8] = &[IAC, WILL, ECHO, IAC, WILL, SUPPRESS_GO_AHEAD, IAC, DO, NAWS];

fn telnet() -> (Stream, Telnet<Stream>) {
    let (peer, stream) = connection(40_000, 23, 4096);
    (peer, Telnet::new(stream))
}

/// What the session reads of `sent`, the peer closing after it.
fn typed(telnet: &mut Telnet<Stream>) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buf = [0; 7];
    while let Ok(count @ 1..) = block_on(telnet.read(&mut buf)) {
        all.extend_from_slice(&buf[..count]);
    }
    all
}

fn answers(sent: &[u8]) -> (Vec<u8>, Vec<u8>) {
    use crate::net::Transport as _;
    let (mut peer, mut telnet) = telnet();
    block_on(telnet.flush()).unwrap();
    peer.say(sent);
    peer.shutdown();
    let typed = typed(&mut telnet);
    telnet.get_mut().shutdown();
    let mut said = vec![0; 4096];
    let count = block_on(peer.read(&mut said)).unwrap();
    assert_eq!(&said[..OFFERS.len()], OFFERS);
    (typed, said[OFFERS.len()..count].to_vec())
}

#[test]
fn our_offers_accepted_need_no_answer() {
    let sent = [IAC, DO, ECHO, IAC, DO, SUPPRESS_GO_AHEAD, IAC, WILL, NAWS, b'x'];
    assert_eq!(answers(&sent), (b"x".to_vec(), vec![]));
}

#[test]
fn what_linux_telnet_asks_is_answered_once_each() {
    let sent = [
        [IAC, DO, SUPPRESS_GO_AHEAD],
        [IAC, WILL, 24], // terminal type
        [IAC, WILL, NAWS],
        [IAC, WILL, 34], // line mode
        [IAC, DO, 5],    // status
        [IAC, WILL, SUPPRESS_GO_AHEAD],
        [IAC, DONT, 5],
        [IAC, WONT, 24],
        [IAC, DO, 6], // timing mark, sent after each interrupt
    ]
    .concat();
    let expected = [
        [IAC, DONT, 24],
        [IAC, DONT, 34],
        [IAC, WONT, 5],
        [IAC, DO, 3],
        [IAC, WONT, 6],
    ]
    .concat();
    assert_eq!(answers(&sent), (vec![], expected));
}

#[test]
fn repeated_demands_do_not_loop() {
    let sent = [
        [IAC, DO, ECHO],
        [IAC, DO, ECHO],
        [IAC, DONT, ECHO],
        [IAC, DONT, ECHO],
        [IAC, DO, ECHO],
    ]
    .concat();
    assert_eq!(answers(&sent).1, [[IAC, WONT, ECHO], [IAC, WILL, ECHO]].concat());
}

#[test]
fn escapes_line_ends_and_commands_split_anywhere() {
    let sent = [
        &b"a\r\0b\r\nc\n"[..],
        &[IAC, IAC, b'd', IAC, 241, IAC, IP, IAC, EC, IAC, EL],
        &[IAC, SB, 24, 0, b'x', IAC, IAC, IAC, SE, b'e'],
        &[IAC, SB, NAWS, 0, 132, 0, 43, IAC, SE, b'f'],
    ]
    .concat();
    let expected = b"a\rb\rc\n\xffd\x03\x7f\x15ef";
    assert_eq!(answers(&sent).0, expected);
    for split in 0..sent.len() {
        let (mut peer, mut telnet) = telnet();
        peer.say(&sent[..split]);
        let mut got = Vec::new();
        let mut buf = [0; 64];
        while got.len() < expected.len() {
            let read = block_on(async {
                use embassy_futures::select::{Either, select};
                match select(telnet.read(&mut buf), embassy_futures::yield_now()).await {
                    Either::First(count) => count.unwrap(),
                    Either::Second(()) => 0,
                }
            });
            if read == 0 {
                peer.say(&sent[split..]);
                crate::net::Transport::shutdown(&mut peer);
                got.extend(typed(&mut telnet));
                break;
            }
            got.extend_from_slice(&buf[..read]);
        }
        assert_eq!(got, expected, "split at {split}");
        assert_eq!(telnet.size(), Size { columns: 132, rows: 43 });
    }
}

#[test]
fn a_subnegotiation_without_end_is_given_up() {
    let mut sent = vec![IAC, SB, NAWS];
    sent.extend([b'x'; SUB_LIMIT + 2]);
    sent.extend(b"hello");
    let (typed, _) = answers(&sent);
    assert!(typed.ends_with(b"hello") && typed.len() < 16, "{typed:?}");
}

#[test]
fn a_window_size_of_the_wrong_length_is_ignored() {
    let (peer, mut telnet) = telnet();
    peer.say([
        IAC, SB, NAWS, 0, 132, 0, IAC, SE, IAC, SB, NAWS, 0, 100, 0, 30, 9, IAC, SE, b'.',
    ]);
    assert_eq!(block_on(telnet.read(&mut [0; 8])).unwrap(), 1);
    assert_eq!(telnet.size(), Size::DEFAULT);
    peer.say([IAC, SB, NAWS, 0, IAC, IAC, 0, 30, IAC, SE, b'.']);
    assert_eq!(block_on(telnet.read(&mut [0; 8])).unwrap(), 1);
    assert_eq!(telnet.size(), Size { columns: 250, rows: 30 });
}

#[test]
fn output_is_escaped_and_longer_than_any_buffer() {
    let (peer, mut telnet) = telnet();
    let text: Vec<u8> = (0..2000).map(|n| if n % 7 == 0 { IAC } else { b'a' }).collect();
    block_on(super::super::console::write_all(&mut telnet, &text)).unwrap();
    block_on(telnet.flush()).unwrap();
    let mut said = vec![0; 4096];
    let mut peer = peer;
    let count = block_on(peer.read(&mut said)).unwrap();
    let expected: Vec<u8> = text
        .iter()
        .flat_map(|byte| if *byte == IAC { vec![IAC, IAC] } else { vec![*byte] })
        .collect();
    assert_eq!(said[OFFERS.len()..count], expected);
}

/// A stream that sends what was written when it is flushed, as TLS does.
struct Held(Stream, Vec<u8>);

impl ErrorType for Held {
    type Error = crate::net::Error;
}

impl Read for Held {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        self.0.read(buf).await
    }
}

impl Write for Held {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.1.extend_from_slice(buf);
        Ok(buf.len())
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.write_all(&self.1).await?;
        self.1.clear();
        Ok(())
    }
}

#[test]
fn answers_are_sent_before_the_next_input_is_awaited() {
    let (mut peer, stream) = connection(40_000, 992, 4096);
    let mut telnet = Telnet::new(Held(stream, Vec::new()));
    block_on(telnet.flush()).unwrap();
    peer.say([IAC, AYT]);
    let mut said = [0; OFFERS.len() + ANSWER.len()];
    let mut byte = [0];
    let first = block_on(select(telnet.read(&mut byte), peer.read_exact(&mut said)));
    assert!(matches!(first, Either::Second(Ok(()))));
    assert_eq!(said, *[OFFERS, ANSWER].concat());
}

#[test]
fn a_flood_of_demands_is_answered_in_bounded_memory() {
    let sent: Vec<u8> = [IAC, DO, 99, IAC, AYT].repeat(300);
    let (mut peer, mut telnet) = telnet();
    peer.say(&sent);
    crate::net::Transport::shutdown(&mut peer);
    assert_eq!(typed(&mut telnet), b"");
    let mut said = vec![0; 4096];
    let count = block_on(peer.read(&mut said)).unwrap();
    assert_eq!(
        said[OFFERS.len()..count],
        [&[IAC, WONT, 99], ANSWER].concat().repeat(300)
    );
}
