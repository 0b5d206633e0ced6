//! What QEMU's monitor and addr2line print.

use std::collections::BTreeMap;

use super::{after, place};

#[test]
fn registers_are_hexadecimal_numbers_after_their_names() {
    let text = "RIP=00000000001a2b3c RFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0\r\n";
    assert_eq!(after(text, "RIP="), Some(0x001a_2b3c));
    assert_eq!(after(text, "RSP="), None);
    assert_eq!(after("x: 0x00000001\r\n", ": 0x"), Some(1));
}

#[test]
fn the_innermost_frame_with_a_room_names_it_and_a_copy_its_caller() {
    let frames = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let found = BTreeMap::from([
        (
            1,
            frames(&[
                "mul /rustc/1/library/core/src/num.rs:1",
                "mul /r/p256-0.14.0/src/a.rs:7",
                "f src/net/mod.rs:3",
            ]),
        ),
        (2, frames(&["memcpy src/machine/memory_routines.rs:4"])),
        (3, frames(&["write crates/tls/src/outbound.rs:9"])),
    ]);
    let named = |stop| {
        let (room, line) = place(&found, stop);
        format!("{room}, {line}")
    };
    assert_eq!(named((1, 3)), "P-256, P-384, mul a.rs:7");
    assert_eq!(named((2, 3)), "copies, memcpy for write outbound.rs:9");
    assert_eq!(named((3, 0)), "tls, write outbound.rs:9");
    assert_eq!(named((9, 9)), "other, ? ");
}
