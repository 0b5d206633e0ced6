use super::super::telnet::Telnet;
use super::*;
use crate::net::Transport as _;
use crate::net::fake::connection;
use crate::testing::block_on;
use embedded_io_async::Write as _;
use std::format;
use std::string::String;

/// What is sent of 30 lines to a screen of ten lines when `keys` are pressed; and whether that was enough.
fn shown(offer: [u8; 3], keys: &[u8]) -> (String, bool) {
    let (mut peer, stream) = connection(1, 23, 65536);
    let mut telnet = Telnet::new(stream);
    let window = [255, 250, 31, 0, 80, 0, 10, 255, 240, b'!'];
    peer.say([&offer[..], &window, keys].concat());
    peer.shutdown();
    let mut input = Input::new();
    assert_eq!(block_on(input.byte(&mut telnet)).unwrap(), Some(b'!'));
    let mut pager = Pager::new(&mut telnet, &mut input);
    block_on(async {
        for n in 1..=30 {
            pager.print(format_args!("line {n}\n")).await.unwrap();
        }
    });
    let quit = pager.quit();
    block_on(telnet.flush()).unwrap();
    let said = peer.arrived();
    (
        said.split_once("line").map(|(_, tail)| format!("line{tail}")).unwrap(),
        quit,
    )
}

const DO_ECHO: [u8; 3] = [255, 253, 1];
const DONT_ECHO: [u8; 3] = [255, 254, 1];

#[test]
fn a_full_screen_waits_for_a_key() {
    let (said, quit) = shown(DO_ECHO, b"x q");
    assert!(quit);
    assert_eq!(said.matches("--More--").count(), 2);
    assert!(said.ends_with("line 18\r\n--More--\r        \r"), "{said}");
    let (said, quit) = shown(DO_ECHO, b" \r\r  ");
    assert!(!quit);
    assert_eq!(said.matches("--More--").count(), 5);
    assert!(said.contains("line 18\r\n--More--\r        \rline 19\r\n--More--\r        \rline 20\r\n--More--"));
    assert!(said.ends_with("line 30\r\n"));
}

#[test]
fn the_end_of_the_input_ends_the_output() {
    let (said, quit) = shown(DO_ECHO, b" ");
    assert!(quit && said.contains("line 18") && !said.contains("line 19"));
}

#[test]
fn a_script_is_never_kept_waiting() {
    let (said, quit) = shown(DONT_ECHO, b"next command");
    assert!(!quit && !said.contains("More") && said.ends_with("line 30\r\n"));
}

#[test]
fn long_lines_count_as_the_rows_they_take() {
    let (mut peer, stream) = connection(1, 23, 65536);
    let mut telnet = Telnet::new(stream);
    peer.say([&DO_ECHO[..], &[255, 250, 31, 0, 40, 0, 10, 255, 240, b'!', b'q']].concat());
    peer.shutdown();
    let mut input = Input::new();
    block_on(input.byte(&mut telnet)).unwrap();
    let mut pager = Pager::new(&mut telnet, &mut input);
    for _ in 0..8 {
        block_on(pager.print(format_args!("{}\n", "x".repeat(100)))).unwrap();
    }
    assert!(pager.quit());
    block_on(telnet.flush()).unwrap();
    assert_eq!(peer.arrived().matches("\r\n").count(), 3);
}
