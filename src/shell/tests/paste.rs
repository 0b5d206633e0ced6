//! How long a session of `tls reload` has the buffer.

use core::pin::pin;

use embassy_futures::select::{Either, select};
use embassy_time::Duration;

use super::*;
use crate::shell::reload::{PASTE_MAX, PAUSE};
use crate::testing::pass;

/// What a session on telnet has printed when its peer has done `drive`.
fn session(machine: &Machine, capacity: usize, drive: impl AsyncFnOnce(&Stream)) -> String {
    let (peer, stream) = connection(40_000, 23, capacity);
    let mut telnet = telnet::Telnet::new(stream);
    machine.run(async {
        let session = pin!(run(&mut telnet, machine, Origin::Telnet));
        match select(session, drive(&peer)).await {
            Either::First(exit) => panic!("{exit:?}"),
            Either::Second(()) => {}
        }
    });
    plain(&peer.arrived())
}

fn is_free(machine: &Machine) -> bool {
    machine
        .paper
        .try_lock()
        .is_ok_and(|paper| paper.iter().all(|byte| *byte == 0))
}

#[test]
fn a_paste_that_pauses_loses_the_buffer() {
    let machine = Machine::new();
    let said = session(&machine, 1 << 16, async |peer| {
        peer.say("tls reload\nsecret");
        settle().await;
        assert!(!is_free(&machine));
        pass(PAUSE.into());
        settle().await;
        assert!(is_free(&machine));
    });
    let why =
        "Failed: no input for 60 s, and no line containing only \".\". The current configuration is unchanged.\n> ";
    assert!(said.contains(why), "{said}");
}

#[test]
fn a_paste_that_trickles_loses_the_buffer_after_ten_minutes_and_is_read_to_its_end() {
    let machine = Machine::new();
    let step = PAUSE - Duration::from_secs(1);
    let said = session(&machine, 1 << 16, async |peer| {
        peer.say("tls reload\n");
        settle().await;
        let mut held = Duration::from_secs(0);
        while !is_free(&machine) {
            pass(step.into());
            held += step;
            peer.say("x");
            settle().await;
        }
        assert!(held >= PASTE_MAX && held < PASTE_MAX + step, "{} s", held.as_secs());
        peer.say("\nreboot\n.\nversion\n");
        settle().await;
    });
    let why =
        "Failed: no line containing only \".\" within 600 s. The current configuration is unchanged.\n> Version\n";
    assert!(said.contains(why), "{said}");
    assert_eq!(machine.power.get(), None, "the rest is not run");
    assert_eq!(machine.taken.take(), [""; 0]);
}

#[test]
fn a_peer_that_hardly_reads_loses_the_buffer() {
    let machine = Machine::new();
    let step = telnet::WRITE_TIMEOUT - Duration::from_secs(1);
    session(&machine, 1, async |peer| {
        peer.say("tls reload\n");
        while is_free(&machine) {
            peer.arrived();
            settle().await;
        }
        // From now on a byte now and then.
        let mut held = Duration::from_secs(0);
        while !is_free(&machine) {
            pass(step.into());
            held += step;
            peer.arrived();
            settle().await;
        }
        assert!(held >= PAUSE && held < PAUSE + step, "{} s", held.as_secs());
    });
}
