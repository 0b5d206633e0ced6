use super::*;
use std::format;
use std::string::String;
use std::vec::Vec;

const SIZE: usize = 1024;

/// A buffer of the size of the early one, and one that comes later.
fn both(test: impl Fn(&mut Output)) {
    test(&mut Output::new());
    let mut output = Output::new();
    output.push(b"early\n");
    assert_eq!(output.send(|_| 3), 3);
    output.set_buffer(std::vec![0; SIZE].leak());
    assert_eq!(read(&mut output, usize::MAX), "ly\r\n");
    test(&mut output);
}

/// Sends at most `most` bytes, as a port with a FIFO does: 16 at a time.
fn read(output: &mut Output, most: usize) -> String {
    let mut all = Vec::new();
    while all.len() < most && !output.is_empty() {
        output.send(|bytes| {
            let count = bytes.len().min(16).min(most - all.len());
            all.extend_from_slice(&bytes[..count]);
            count
        });
    }
    String::from_utf8(all).unwrap()
}

#[test]
fn lines_come_out_in_order_with_their_ends() {
    both(|output| {
        output.push(b"one\ntwo\n");
        output.push(b"no end");
        assert_eq!(read(output, usize::MAX), "one\r\ntwo\r\nno end");
        assert_eq!(output.dropped(), 0);
    });
}

#[test]
fn what_waits_moves_to_the_larger_buffer() {
    let mut output = Output::new();
    output.push(&[b'a'; 900]);
    read(&mut output, 800);
    output.push(&[b'b'; 900]);
    output.push(b"a line that does not fit any more\n");
    output.push(b"b\n");
    output.set_buffer(std::vec![0; 4 * SIZE].leak());
    output.push_session(b"$");
    output.push(b"c\n");
    let expected = format!("{}{}$[console: 3 lines dropped]\r\n", "a".repeat(100), "b".repeat(900));
    assert_eq!(read(&mut output, usize::MAX), expected);
}

#[test]
fn a_port_that_takes_nothing_costs_lines_not_room() {
    both(|output| {
        for n in 0..100_000 {
            output.push(format!("line {n}\n").as_bytes());
            assert_eq!(output.send(|_| 0), 0);
        }
        assert!(output.len <= SIZE);
        let said = read(output, usize::MAX);
        let whole = said.lines().filter(|line| line.starts_with("line ")).count() as u64;
        assert_eq!(output.dropped(), 100_000 - whole);
        for (n, line) in said.lines().take(whole as usize).enumerate() {
            assert_eq!(line, format!("line {n}"));
        }
        assert!(said.ends_with(&format!("\r\n[console: {} lines dropped]\r\n", output.dropped())));
    });
}

#[test]
fn the_marker_stands_where_the_lines_are_missing() {
    both(|output| {
        output.push(format!("{}\n", "a".repeat(1000)).as_bytes());
        output.push(b"a line that does not fit any more\n");
        // Shorter, and would fit: but it came later.
        output.push(b"b\n");
        assert_eq!(read(output, 900), "a".repeat(900));
        output.push(b"c\n");
        assert_eq!(
            read(output, usize::MAX),
            format!("{}\r\n[console: 2 lines dropped]\r\nc\r\n", "a".repeat(100))
        );
        output.push(format!("b\n{}\n", "a".repeat(1024)).as_bytes());
        assert_eq!(read(output, usize::MAX), "b\r\n[console: 1 line dropped]\r\n");
        assert_eq!(output.dropped(), 3);
    });
}

#[test]
fn a_session_loses_nothing_and_leaves_room_for_the_log() {
    both(|output| {
        let typed = "x".repeat(1000);
        assert_eq!(output.push_session(typed.as_bytes()), SESSION_SHARE);
        assert_eq!(output.push_session(b"more"), 0);
        output.push(b"a line of the log\n");
        assert_eq!(output.dropped(), 0);
        assert_eq!(read(output, SESSION_SHARE), "x".repeat(SESSION_SHARE));
        // The log's line is still there, but the session need not wait for it to go.
        assert_eq!(output.push_session(b"more"), 4);
        assert_eq!(read(output, usize::MAX), "a line of the log\r\nmore");
    });
}

#[test]
fn a_session_waits_where_the_log_fills_the_buffer() {
    both(|output| {
        for _ in 0..100 {
            output.push(format!("{}\n", "a".repeat(62)).as_bytes());
        }
        assert_eq!(output.push_session(b"typed"), 0);
        read(output, 16);
        assert_eq!(output.push_session(b"typed"), 5);
    });
}
