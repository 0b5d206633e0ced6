//! The second implementation: embedded-tls as a client of our server.
//!
//! embedded-tls 0.19 reports an established connection also when a server leaves out Certificate and
//! CertificateVerify: only what comes is shown to its verifier. So the verifier here keeps a record of what it was
//! shown, and the test fails unless both came and were good.

use digest_010::Digest as _;
use embedded_tls::{
    Aes128GcmSha256, CertificateEntryRef, CertificateRef, CertificateVerifyRef, CryptoProvider, CryptoRngCore,
    TlsCipherSuite, TlsConfig, TlsConnection, TlsContext, TlsError, TlsVerifier,
};
use rand_core::CryptoRng;

use super::pipe::End;
use super::{Failure, MESSAGE};
use crate::crypto::hash::MAX_HASH;
use crate::crypto::sign::SignatureScheme;
use crate::crypto::verify::verify;
use crate::pki::verify::{Clock, DerList, Trust, leaf_public_key};
use crate::tls::ProtocolVersion;

/// The least length of the buffer for what embedded-tls sends, in bytes: its ClientHello, and what it keeps free.
pub(super) const OUTBOUND: usize = 1024;

/// Shakes hands, has [`MESSAGE`] echoed, and closes.
pub(super) async fn client(
    end: End<'_, '_>,
    verifier: Verifier<'_>,
    inbound: &mut [u8],
    outbound: &mut [u8],
    random: &mut dyn CryptoRng,
) -> Result<(), Failure> {
    let config = TlsConfig::new().enable_rsa_signatures();
    let mut provider = Provider {
        random: Random(random),
        verifier,
    };
    let mut connection = TlsConnection::<_, Aes128GcmSha256>::new(end, inbound, outbound);
    let opened = connection.open(TlsContext::new(&config, &mut provider)).await;
    provider.verifier.verdict(opened)?;

    let mut rest = MESSAGE;
    while !rest.is_empty() {
        let count = connection.write(rest).await.map_err(Failure::Independent)?;
        rest = rest.get(count..).unwrap_or_default();
    }
    connection.flush().await.map_err(Failure::Independent)?;
    let mut expected = MESSAGE;
    while !expected.is_empty() {
        let mut buffer = [0; MESSAGE.len()];
        let count = connection.read(&mut buffer).await.map_err(Failure::Independent)?;
        let came = buffer.get(..count).unwrap_or_default();
        expected = expected.strip_prefix(came).ok_or(Failure::Differs)?;
    }
    connection
        .close()
        .await
        .map(|_| ())
        .map_err(|(_, error)| Failure::Independent(error))
}

/// The verifier of the server's certificates and signature for embedded-tls.
pub(super) struct Verifier<'a> {
    /// The chain that has to come.
    chain: DerList<'a>,
    /// The CA that must have issued it; with `None` it is enough that the chain is the right one.
    trust: Option<&'a Trust<'a>>,
    clock: Clock,
    /// The hash of the transcript up to the server's Certificate, once that has come and was good.
    transcript: Option<heapless::Vec<u8, MAX_HASH>>,
    /// CertificateVerify has come and was good.
    signed: bool,
    failure: Option<Failure>,
}

impl<'a> Verifier<'a> {
    pub(super) fn new(chain: DerList<'a>, trust: Option<&'a Trust<'a>>, clock: Clock) -> Self {
        Self {
            chain,
            trust,
            clock,
            transcript: None,
            signed: false,
            failure: None,
        }
    }

    /// The verdict on a connection that embedded-tls reports as opened, or not.
    fn verdict(&self, opened: Result<(), TlsError>) -> Result<(), Failure> {
        match (self.failure, opened) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(Failure::Independent(error)),
            (None, Ok(())) if self.transcript.is_none() => Err(Failure::Missing("Certificate")),
            (None, Ok(())) if !self.signed => Err(Failure::Missing("CertificateVerify")),
            (None, Ok(())) => Ok(()),
        }
    }

    fn certificate(&self, came: &[CertificateEntryRef<'_>]) -> Result<(), Failure> {
        let right = |(came, configured): (&CertificateEntryRef<'_>, &[u8])| match came {
            CertificateEntryRef::X509(der) => *der == configured,
            CertificateEntryRef::RawPublicKey(_) => false,
        };
        if came.len() != self.chain.len() || !came.iter().zip(self.chain.iter()).all(right) {
            return Err(Failure::OtherChain);
        }
        match self.trust {
            Some(trust) => super::verify(trust, self.chain, self.clock).map_err(Failure::Certificate),
            None => Ok(()),
        }
    }

    fn signature(&self, came: &CertificateVerifyRef<'_>) -> Result<(), Failure> {
        // RFC 8446 §4.4.3: what is signed.
        const CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\0";
        let transcript = self.transcript.as_ref().ok_or(Failure::Missing("Certificate"))?;
        let mut content = heapless::Vec::<u8, { 64 + CONTEXT.len() + MAX_HASH }>::new();
        for part in [&[b' '; 64], CONTEXT, transcript] {
            content.extend_from_slice(part).map_err(|_| Failure::Signature)?;
        }
        let scheme = SignatureScheme::from_id(came.signature_scheme.as_u16()).ok_or(Failure::Signature)?;
        let leaf = self.chain.first().ok_or(Failure::OtherChain)?;
        let key = leaf_public_key(leaf).map_err(Failure::Certificate)?;
        verify(scheme, ProtocolVersion::TLS13, key, &content, came.signature).map_err(|_| Failure::Signature)
    }

    /// Keeps the failure, of which embedded-tls learns only that there is one.
    fn note(&mut self, result: Result<(), Failure>) -> Result<(), TlsError> {
        result.map_err(|failure| {
            self.failure.get_or_insert(failure);
            TlsError::InvalidCertificate
        })
    }
}

impl TlsVerifier<Aes128GcmSha256> for Verifier<'_> {
    fn set_hostname_verification(&mut self, _hostname: &str) -> Result<(), TlsError> {
        Ok(())
    }

    fn verify_certificate(
        &mut self,
        transcript: &<Aes128GcmSha256 as TlsCipherSuite>::Hash,
        certificate: CertificateRef<'_>,
    ) -> Result<(), TlsError> {
        let result = self.certificate(&certificate.entries);
        self.note(result)?;
        self.transcript = Some(transcript.clone().finalize().iter().copied().take(MAX_HASH).collect());
        Ok(())
    }

    fn verify_signature(&mut self, signature: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        let result = self.signature(&signature);
        self.note(result)?;
        self.signed = true;
        Ok(())
    }
}

struct Provider<'a> {
    random: Random<'a>,
    verifier: Verifier<'a>,
}

impl CryptoProvider for Provider<'_> {
    type CipherSuite = Aes128GcmSha256;
    // No client certificate is asked for, so nothing is signed.
    type Signature = [u8; 0];

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut self.random
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Aes128GcmSha256>, TlsError> {
        Ok(&mut self.verifier)
    }
}

/// Our generator by the traits that embedded-tls knows.
struct Random<'a>(&'a mut dyn CryptoRng);

impl rand_core_06::RngCore for Random<'_> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl rand_core_06::CryptoRng for Random<'_> {}

#[cfg(test)]
mod tests;
