//! The fields of the messages that concern keys: key exchange, signatures, tickets.

use super::Meaning;
use super::extensions::{Sender, extensions};
use super::walk::{Walk, code, count, number, vector8, vector16};
use crate::names;

pub(super) fn signature(walk: &mut Walk<'_, '_>) {
    walk.leaf(2, "algorithm", |bytes| code(bytes, names::scheme), "");
    vector16(
        walk,
        "signature",
        |_| Meaning::None,
        "Made with the private key of the certificate.",
    );
}

pub(super) fn server_key_exchange(walk: &mut Walk<'_, '_>) {
    walk.word("curve_type", "", |byte| match byte {
        3 => Some("named_curve"),
        _ => None,
    });
    walk.leaf(2, "named_curve", |bytes| code(bytes, names::group), "");
    vector8(
        walk,
        "public",
        |_| Meaning::Words("public key"),
        "The server's public key for the key exchange, made for this connection alone.",
    );
    signature(walk);
}

fn lifetime(walk: &mut Walk<'_, '_>) {
    walk.leaf(
        4,
        "ticket_lifetime",
        |bytes| count(number(bytes), "seconds"),
        "How long the ticket is valid; at most seven days (RFC 8446 §4.6.1).",
    );
}

const TICKET: &str = "The state of this session, encrypted under a key that only the server has: the server stores \
                      nothing itself. The client cannot read it.";

pub(super) fn ticket_tls13(walk: &mut Walk<'_, '_>) {
    lifetime(walk);
    walk.leaf(
        4,
        "ticket_age_add",
        |_| Meaning::None,
        "Random: added to the age that the client will send, so that tickets cannot be linked by it.",
    );
    vector8(
        walk,
        "ticket_nonce",
        |_| Meaning::None,
        "Gives each ticket a key of its own: PSK = HKDF-Expand-Label(resumption_master_secret, \"resumption\", \
         ticket_nonce).",
    );
    vector16(walk, "ticket", |_| Meaning::None, TICKET);
    extensions(walk, Sender::Server);
}

pub(super) fn ticket_tls12(walk: &mut Walk<'_, '_>) {
    lifetime(walk);
    vector16(walk, "ticket", |_| Meaning::None, TICKET);
}
