//! Certificates, keys and the time.

use std::fs;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use postern_tls::crypto::key::SigningKey;
use postern_tls::pki::pem;

use crate::exchange::Failure;

/// Seconds since 1970.
pub fn now() -> Result<u64, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(now.map_err(io::Error::other)?.as_secs())
}

/// The certificates of a PEM file in DER.
pub fn certificates(path: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let text = fs::read(path)?;
    pem::certificates(&text)
        .map(|block| decode(&block.map_err(io::Error::other)?))
        .collect()
}

/// The private key of a PEM file; `None` if it is of a kind or size that the engine does not have.
pub fn key(path: &str) -> Result<Option<SigningKey>, Failure> {
    let text = fs::read(path)?;
    let block = pem::private_key(&text).map_err(io::Error::other)?;
    Ok(SigningKey::from_der(block.label, &decode(&block)?).ok())
}

fn decode(block: &pem::Block<'_>) -> Result<Vec<u8>, Failure> {
    let mut der = vec![0; 64 << 10];
    let count = block.decode(&mut der).map_err(io::Error::other)?;
    der.truncate(count);
    Ok(der)
}
