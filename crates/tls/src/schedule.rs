//! The key schedule of TLS 1.3 (RFC 8446 §7.1).

use super::error::Error;
use crate::crypto::hash::{HashAlgorithm, HashOutput};
use crate::crypto::mac::{constant_time_eq, hkdf_expand, hkdf_extract, hmac};
use crate::crypto::suite::CipherSuite;

/// The chain of Extract operations: Early Secret, then Handshake Secret, then Master Secret.
///
/// A secret is wiped when it is dropped.
pub(crate) struct KeySchedule {
    suite: CipherSuite,
    secret: HashOutput,
}

impl KeySchedule {
    /// The Early Secret, from a PSK or from zeros.
    pub(crate) fn early(suite: CipherSuite, psk: Option<&[u8]>) -> Self {
        let zeros = HashOutput::zero(suite.hash().output_len());
        let secret = hkdf_extract(suite.hash(), zeros.as_ref(), psk.unwrap_or(zeros.as_ref()));
        Self { suite, secret }
    }

    /// The Handshake Secret, from the key exchange.
    pub(crate) fn handshake(&self, shared: &[u8]) -> Result<Self, Error> {
        self.next(shared)
    }

    /// The Master Secret.
    pub(crate) fn master(&self) -> Result<Self, Error> {
        let zeros = HashOutput::zero(self.suite.hash().output_len());
        self.next(zeros.as_ref())
    }

    /// The secret of the binder of a resumption PSK, which is a base key like that of a Finished (RFC 8446 §4.2.11.2).
    pub(crate) fn binder(&self) -> Result<TrafficSecret, Error> {
        self.traffic("res binder", &self.suite.hash().hash(&[]))
    }

    /// The PSK of a ticket with this nonce, from a resumption master secret (RFC 8446 §4.6.1).
    pub(crate) fn ticket_psk(resumption: &TrafficSecret, nonce: &[u8]) -> Result<HashOutput, Error> {
        let hash = resumption.suite.hash();
        let mut psk = HashOutput::zero(hash.output_len());
        expand_label(hash, &resumption.secret, "resumption", nonce, psk.as_mut())?;
        Ok(psk)
    }

    /// Derive-Secret: a traffic secret for `label` and the hash of the transcript.
    pub(crate) fn traffic(&self, label: &str, transcript: &HashOutput) -> Result<TrafficSecret, Error> {
        let mut secret = HashOutput::zero(self.suite.hash().output_len());
        expand_label(
            self.suite.hash(),
            &self.secret,
            label,
            transcript.as_ref(),
            secret.as_mut(),
        )?;
        Ok(TrafficSecret {
            suite: self.suite,
            secret,
        })
    }

    #[cfg(test)]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.secret.as_ref()
    }

    fn next(&self, input: &[u8]) -> Result<Self, Error> {
        let hash = self.suite.hash();
        let mut salt = HashOutput::zero(hash.output_len());
        expand_label(hash, &self.secret, "derived", hash.hash(&[]).as_ref(), salt.as_mut())?;
        Ok(Self {
            suite: self.suite,
            secret: hkdf_extract(hash, salt.as_ref(), input),
        })
    }
}

/// A secret from which the keys of one direction are derived.
#[derive(Clone)]
pub(crate) struct TrafficSecret {
    suite: CipherSuite,
    secret: HashOutput,
}

impl TrafficSecret {
    #[cfg(any(test, feature = "trace"))]
    /// A secret that was derived before.
    pub(crate) fn new(suite: CipherSuite, secret: &[u8]) -> Self {
        Self {
            suite,
            secret: HashOutput::new(secret),
        }
    }

    pub(crate) fn suite(&self) -> CipherSuite {
        self.suite
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.secret.as_ref()
    }

    /// HKDF-Expand-Label with an empty context.
    pub(crate) fn expand(&self, label: &str, out: &mut [u8]) -> Result<(), Error> {
        expand_label(self.suite.hash(), &self.secret, label, &[], out)
    }

    /// The secret after a KeyUpdate (RFC 8446 §7.2).
    pub(crate) fn next_generation(&self) -> Result<Self, Error> {
        let mut secret = HashOutput::zero(self.suite.hash().output_len());
        self.expand("traffic upd", secret.as_mut())?;
        Ok(Self {
            suite: self.suite,
            secret,
        })
    }

    /// `verify_data` of the Finished sent under this secret (RFC 8446 §4.4.4).
    pub(crate) fn verify_data(&self, transcript: &HashOutput) -> Result<HashOutput, Error> {
        let hash = self.suite.hash();
        let mut key = HashOutput::zero(hash.output_len());
        self.expand("finished", key.as_mut())?;
        Ok(hmac(hash, key.as_ref(), &[transcript.as_ref()]))
    }

    /// Whether `verify_data` is that of a Finished over `transcript`; in constant time.
    pub(crate) fn is_finished(&self, transcript: &HashOutput, verify_data: &[u8]) -> Result<bool, Error> {
        Ok(constant_time_eq(self.verify_data(transcript)?.as_ref(), verify_data))
    }
}

impl core::fmt::Debug for TrafficSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "TrafficSecret({:?})", self.suite)
    }
}

/// HKDF-Expand-Label (RFC 8446 §7.1).
fn expand_label(
    hash: HashAlgorithm,
    secret: &HashOutput,
    label: &str,
    context: &[u8],
    out: &mut [u8],
) -> Result<(), Error> {
    const TOO_LONG: Error = Error::Internal("HKDF label out of range");
    const PREFIX: &str = "tls13 ";
    let length = u16::try_from(out.len()).map_err(|_| TOO_LONG)?.to_be_bytes();
    let label_length = u8::try_from(PREFIX.len().saturating_add(label.len())).map_err(|_| TOO_LONG)?;
    let context_length = u8::try_from(context.len()).map_err(|_| TOO_LONG)?;
    let info = [
        &length[..],
        &[label_length],
        PREFIX.as_bytes(),
        label.as_bytes(),
        &[context_length],
        context,
    ];
    hkdf_expand(hash, secret.as_ref(), &info, out).map_err(|_| TOO_LONG)
}
