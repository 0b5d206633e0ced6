//! The key schedule of TLS 1.2 (RFC 5246 §5, §6.3, §8.1; RFC 7627).

use zeroize::Zeroizing;

use super::error::Error;
use super::record::{PendingKey, tls12_iv_len};
use super::transcript::joined;
use crate::crypto::aead::{MAX_KEY_LEN, NONCE_LEN};
use crate::crypto::hash::{HashAlgorithm, HashOutput};
use crate::crypto::mac::{constant_time_eq, hmac};
use crate::crypto::suite::CipherSuite;

/// The length of `verify_data`, in bytes (RFC 5246 §7.4.9).
pub(crate) const VERIFY_DATA: usize = 12;
/// The length of the master secret, in bytes (RFC 5246 §8.1).
pub(crate) const MASTER_SECRET: usize = 48;

/// The sender of a Finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// A master secret and its suite; wiped when dropped.
#[derive(Clone)]
pub(crate) struct MasterSecret {
    suite: CipherSuite,
    secret: Zeroizing<[u8; MASTER_SECRET]>,
}

impl MasterSecret {
    /// The extended master secret (RFC 7627 §4): bound to the whole handshake up to ClientKeyExchange.
    pub(crate) fn extended(suite: CipherSuite, premaster: &[u8], session_hash: &HashOutput) -> Self {
        Self::derive(suite, premaster, "extended master secret", [session_hash.as_ref(), &[]])
    }

    /// The original master secret (RFC 5246 §8.1), for peers without the extension.
    pub(crate) fn plain(suite: CipherSuite, premaster: &[u8], client: &[u8; 32], server: &[u8; 32]) -> Self {
        Self::derive(suite, premaster, "master secret", [client, server])
    }

    /// The master secret of a resumed session.
    pub(crate) fn resumed(suite: CipherSuite, secret: &[u8; MASTER_SECRET]) -> Self {
        Self {
            suite,
            secret: Zeroizing::new(*secret),
        }
    }

    pub(crate) fn suite(&self) -> CipherSuite {
        self.suite
    }

    pub(crate) fn as_bytes(&self) -> &[u8; MASTER_SECRET] {
        &self.secret
    }

    /// The keys of both directions (RFC 5246 §6.3), the client's first.
    pub(crate) fn record_keys(&self, client: &[u8; 32], server: &[u8; 32]) -> Result<(PendingKey, PendingKey), Error> {
        const SHORT: Error = Error::Internal("key block too short");
        let aead = self.suite.aead();
        let (key_len, iv_len) = (aead.key_len(), tls12_iv_len(aead));
        let mut block = Zeroizing::new([0; 2 * (MAX_KEY_LEN + NONCE_LEN)]);
        prf(
            self.suite.hash(),
            &*self.secret,
            "key expansion",
            [server, client],
            &mut *block,
        );
        let (client_key, rest) = block.split_at_checked(key_len).ok_or(SHORT)?;
        let (server_key, rest) = rest.split_at_checked(key_len).ok_or(SHORT)?;
        let (client_iv, rest) = rest.split_at_checked(iv_len).ok_or(SHORT)?;
        let server_iv = rest.get(..iv_len).ok_or(SHORT)?;
        Ok((
            PendingKey::new(aead, client_key, client_iv)?,
            PendingKey::new(aead, server_key, server_iv)?,
        ))
    }

    /// `verify_data` of a Finished (RFC 5246 §7.4.9).
    pub(crate) fn verify_data(&self, side: Side, transcript: &HashOutput) -> [u8; VERIFY_DATA] {
        let label = match side {
            Side::Client => "client finished",
            Side::Server => "server finished",
        };
        let mut out = [0; VERIFY_DATA];
        prf(
            self.suite.hash(),
            &*self.secret,
            label,
            [transcript.as_ref(), &[]],
            &mut out,
        );
        out
    }

    /// Whether `verify_data` is that of a Finished over `transcript`; in constant time.
    pub(crate) fn is_finished(&self, side: Side, transcript: &HashOutput, verify_data: &[u8]) -> bool {
        constant_time_eq(&self.verify_data(side, transcript), verify_data)
    }

    fn derive(suite: CipherSuite, premaster: &[u8], label: &str, seed: [&[u8]; 2]) -> Self {
        let mut secret = Zeroizing::new([0; MASTER_SECRET]);
        prf(suite.hash(), premaster, label, seed, &mut *secret);
        Self { suite, secret }
    }
}

/// The longest ServerECDHParams, in bytes: those of P-384.
pub(crate) const MAX_PARAMS: usize = 4 + 97;

/// The content that the signature of a ServerKeyExchange covers (RFC 8422 §5.4).
///
/// # Errors
/// If `params` is longer than [`MAX_PARAMS`]: a part of it must not be verified.
pub(crate) fn signed_params(
    client: &[u8; 32],
    server: &[u8; 32],
    params: &[u8],
) -> Result<heapless::Vec<u8, { 64 + MAX_PARAMS }>, Error> {
    joined([client, server, params])
}

/// The PRF (RFC 5246 §5): P_hash over label and both parts of the seed, into the whole of `out`.
fn prf(hash: HashAlgorithm, secret: &[u8], label: &str, [first, second]: [&[u8]; 2], out: &mut [u8]) {
    let label = label.as_bytes();
    let mut a = hmac(hash, secret, &[label, first, second]);
    for chunk in out.chunks_mut(hash.output_len()) {
        let block = hmac(hash, secret, &[a.as_ref(), label, first, second]);
        for (to, from) in chunk.iter_mut().zip(block.as_ref()) {
            *to = *from;
        }
        a = hmac(hash, secret, &[a.as_ref()]);
    }
}

#[cfg(test)]
mod tests;
