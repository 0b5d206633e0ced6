use super::*;
use crate::net::fake::{Stream, connection};
use crate::net::{Error, Transport};
use crate::testing::block_on;
use core::cell::Cell;
use embassy_futures::join::join3;
use std::vec::Vec;

const LONG: Duration = Duration::from_secs(30);

async fn echo(stream: &mut Stream, buffer: usize, idle: Duration, flow: &Flow) -> End<Error, Error> {
    let mut buffer = vec![0; buffer];
    let end = {
        let (reader, mut writer) = stream.split();
        pump(
            &mut Buffered::new(reader, &mut buffer, 0),
            &mut writer,
            idle,
            flow,
            Some(RequestLine::new()),
        )
        .await
    };
    stream.shutdown();
    end
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

#[test]
fn exact_bytes_both_ways_at_once_then_the_end() {
    let (mut peer, mut stream) = connection(1, 7, 65_536);
    let flow = Flow::new();
    let data = pattern(64 << 20);
    let (mut reader, mut writer) = peer.split();
    let mut got = Vec::with_capacity(data.len());
    let (end, (), ()) = block_on(join3(
        echo(&mut stream, 16_384, LONG, &flow),
        async {
            for chunk in data.chunks(50_001) {
                writer.write_all(chunk).await.unwrap();
            }
            peer.shutdown();
        },
        async {
            let mut buf = vec![0; 70_000];
            while let count @ 1.. = reader.read(&mut buf).await.unwrap() {
                got.extend_from_slice(&buf[..count]);
            }
        },
    ));
    assert_eq!(end, End::Finished);
    assert!(got == data);
    assert_eq!((flow.received(), flow.echoed()), (64 << 20, 64 << 20));
}

#[test]
fn a_peer_that_does_not_read_is_slowed_down_and_loses_nothing() {
    let (mut peer, mut stream) = connection(1, 7, 1000);
    let flow = Flow::new();
    let data = pattern(20_000);
    let (mut reader, mut writer) = peer.split();
    let mut got = Vec::new();
    let written = Cell::new(0);
    block_on(async {
        let work = async {
            for byte in data.chunks(1) {
                writer.write_all(byte).await.unwrap();
                written.set(written.get() + 1);
            }
            peer.shutdown();
        };
        let read = async {
            crate::net::fake::settle().await;
            // Both connection buffers and the pump's own are full, and no more.
            assert_eq!(written.get(), 2500);
            assert_eq!((flow.received(), flow.echoed()), (1500, 1000));
            let mut buf = [0; 333];
            while let count @ 1.. = reader.read(&mut buf).await.unwrap() {
                got.extend_from_slice(&buf[..count]);
            }
        };
        join3(echo(&mut stream, 500, LONG, &flow), work, read).await
    });
    assert_eq!(got, data);
}

#[test]
fn idle_and_stalled_peers_are_distinguished() {
    let (mut peer, mut stream) = connection(1, 7, 100);
    let short = Duration::from_millis(20);
    assert_eq!(block_on(echo(&mut stream, 64, short, &Flow::new())), End::Idle);
    let (other, mut stream) = connection(1, 7, 100);
    other.say([0; 500]);
    assert_eq!(block_on(echo(&mut stream, 64, short, &Flow::new())), End::Stalled);
    peer.shutdown();
}

#[test]
fn a_reset_is_reported() {
    let (peer, mut stream) = connection(1, 7, 100);
    drop(peer);
    assert_eq!(
        block_on(echo(&mut stream, 64, LONG, &Flow::new())),
        End::Read(Error::Reset)
    );
}

#[test]
fn an_http_request_is_not_sent_back() {
    for pieces in [
        &["POST / HTTP/1.1\r\n\r\n<script>"][..],
        &["GE", "T / HT", "TP/1.1\r\n<script>"],
    ] {
        let (mut peer, mut stream) = connection(1, 7, 100);
        let flow = Flow::new();
        let (end, ()) = block_on(embassy_futures::join::join(echo(&mut stream, 64, LONG, &flow), async {
            for piece in pieces {
                peer.say(piece);
                crate::net::fake::settle().await;
            }
        }));
        assert_eq!(end, End::Http);
        assert!(!peer.arrived().contains("HTTP/"));
        peer.shutdown();
    }
    // Later lines may have any form, also after a peer that reads slowly.
    let (mut peer, mut stream) = connection(1, 7, 4);
    peer.say("GET / HT\nGET / HTTP/1.1\r\n");
    peer.shutdown();
    let mut got = Vec::new();
    let flow = Flow::new();
    let (end, ()) = block_on(embassy_futures::join::join(echo(&mut stream, 64, LONG, &flow), async {
        let mut buf = [0; 3];
        while let count @ 1.. = peer.read(&mut buf).await.unwrap() {
            got.extend_from_slice(&buf[..count]);
        }
    }));
    assert_eq!((end, &got[..]), (End::Finished, &b"GET / HT\nGET / HTTP/1.1\r\n"[..]));
}

/// A writer that keeps everything back until it is flushed.
struct Lazy<'a>(&'a mut Vec<u8>, Vec<u8>, usize);
impl ErrorType for Lazy<'_> {
    type Error = Error;
}
impl Write for Lazy<'_> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.1.extend_from_slice(buf);
        Ok(buf.len())
    }
    async fn flush(&mut self) -> Result<(), Error> {
        self.2 += usize::from(!self.1.is_empty());
        self.0.append(&mut self.1);
        Ok(())
    }
}

#[test]
fn a_buffering_writer_is_flushed_when_there_is_nothing_to_read() {
    let (mut peer, mut stream) = connection(1, 7, 100);
    peer.say([7; 90]);
    let mut out = Vec::new();
    let (reader, _) = stream.split();
    let mut buffer = [0; 30];
    let mut writer = Lazy(&mut out, Vec::new(), 0);
    let end = block_on(async {
        let flow = Flow::new();
        let mut reader = Buffered::new(reader, &mut buffer, 0);
        embassy_futures::join::join(pump(&mut reader, &mut writer, LONG, &flow, None), async {
            crate::net::fake::settle().await;
            peer.shutdown();
        })
        .await
        .0
    });
    assert_eq!((end, writer.2), (End::Finished, 1), "three writes, one flush");
    assert_eq!(out, [7; 90]);
}
