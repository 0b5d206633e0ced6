//! One place where suites, groups and signature schemes meet RustCrypto.

pub mod key;
