//! Shared test code: OpenSSL, generators, tables of pages, DER, hexadecimal.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test uses a part of this")]

mod openssl;
mod random;
mod table;

pub use openssl::{Dir, rsa_key};
pub use random::{Rng, Script};
pub use table::check_table;

/// The bytes of a hexadecimal text; everything in it that is no digit is skipped.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A DER element.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match content.len() {
        length @ ..0x80 => Vec::from([length as u8]),
        length @ ..0x100 => Vec::from([0x81, length as u8]),
        length => Vec::from([0x82, (length >> 8) as u8, length as u8]),
    };
    [&[tag][..], &length, &content].concat()
}
