//! Faults of embedded-tls 0.19, and how our client reacts to the same input.
//!
//! This is why embedded-tls can be the other side of the self-test, and not the stack; and why the self-test's
//! verifier keeps a record of what it was shown.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};

use embedded_tls::blocking::{
    Aes128GcmSha256, CertificateRef, CertificateVerifyRef, CryptoProvider, TlsCipherSuite, TlsConfig, TlsConnection,
    TlsContext, TlsError, TlsVerifier,
};
use postern_peers::impostor::{Flight, Impostor};
use postern_peers::{clock, pki, rng};
use postern_tls::crypto::kx::Group;
use postern_tls::error::{InvalidMessage, PeerMisbehaved};
use postern_tls::pki::verify::{ServerName, Trust};
use postern_tls::{AlertDescription, ClientConfig, Connection, Error, FULL_INBOUND, HandshakeType};
use ring::rand::{SecureRandom as _, SystemRandom};

/// A verifier that knows the server's certificate and nothing else.
#[derive(Default)]
struct Verifier {
    certificates: usize,
    signatures: usize,
}

impl TlsVerifier<Aes128GcmSha256> for Verifier {
    fn set_hostname_verification(&mut self, _: &str) -> Result<(), TlsError> {
        Ok(())
    }

    fn verify_certificate(
        &mut self,
        _: &<Aes128GcmSha256 as TlsCipherSuite>::Hash,
        certificate: CertificateRef<'_>,
    ) -> Result<(), TlsError> {
        self.certificates += 1;
        match &certificate.entries[..] {
            [embedded_tls::CertificateEntryRef::X509(der)] if *der == pki().server => Ok(()),
            _ => Err(TlsError::InvalidCertificate),
        }
    }

    fn verify_signature(&mut self, _: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        self.signatures += 1;
        Err(TlsError::InvalidSignature)
    }
}

struct Random;

impl rand_core_06::RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        rand_core_06::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core_06::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        SystemRandom::new().fill(bytes).unwrap();
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl rand_core_06::CryptoRng for Random {}

#[derive(Default)]
struct Provider(Verifier);

impl CryptoProvider for Provider {
    type CipherSuite = Aes128GcmSha256;
    type Signature = [u8; 0];

    fn rng(&mut self) -> impl embedded_tls::CryptoRngCore {
        Random
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Aes128GcmSha256>, TlsError> {
        Ok(&mut self.0)
    }
}

/// The way from a client to the impostor.
struct Wire<'i>(&'i mut Impostor);

impl embedded_io::ErrorType for Wire<'_> {
    type Error = Infallible;
}

impl embedded_io::Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let count = buffer.len().min(self.0.output.len());
        buffer[..count].copy_from_slice(&self.0.output[..count]);
        self.0.output.drain(..count);
        Ok(count)
    }
}

impl embedded_io::Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.0.feed(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

const SECRET: &[u8] = b"the combination is 31-7-19";

/// embedded-tls shakes hands with the impostor and confides in him, if it thinks that it may.
fn confide_by_embedded_tls(impostor: &mut Impostor) -> (Result<(), TlsError>, Verifier) {
    let (mut inbound, mut outbound) = (vec![0; 16640], vec![0; 16640]);
    let mut provider = Provider::default();
    let config = TlsConfig::new().with_server_name("localhost");
    let mut connection = TlsConnection::<_, Aes128GcmSha256>::new(Wire(impostor), &mut inbound, &mut outbound);
    let result = connection
        .open(TlsContext::new(&config, &mut provider))
        .and_then(|()| connection.write(SECRET))
        .and_then(|_| connection.flush());
    (result, provider.0)
}

/// Our client does. Its verdict, and whether it took the connection for established.
fn confide_by_ours(impostor: &mut Impostor) -> (Result<(), Error>, bool) {
    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; 20_000]);
    let anchors = [&pki().ca[..]];
    let trust = Trust::new(&anchors);
    let name = ServerName::parse("localhost");
    let config = ClientConfig::new(&trust, name, clock()).with_groups(&[Group::Secp256r1]);
    let mut random = rng(1);
    let mut connection = Connection::client(config, &mut inbound, &mut outbound, &mut random).unwrap();
    let verdict = loop {
        let result = connection.advance(&mut random);
        let pending = connection.pending().to_vec();
        connection.sent(pending.len());
        impostor.feed(&pending);
        if let Err(error) = result {
            break Err(error);
        }
        if !connection.is_handshaking() {
            break Ok(());
        }
        let count = impostor.output.len();
        assert_ne!(count, 0, "each waits for the other");
        connection.space()[..count].copy_from_slice(&impostor.output);
        impostor.output.clear();
        connection.received(count);
    };
    let established = connection.write(SECRET).is_ok();
    (verdict, established)
}

#[test]
fn embedded_tls_trusts_a_server_without_certificate() {
    let mut impostor = Impostor::new(Flight::Unauthenticated, &[]);
    let (result, verifier) = confide_by_embedded_tls(&mut impostor);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(
        (verifier.certificates, verifier.signatures),
        (0, 0),
        "the verifier was not called"
    );
    assert!(impostor.believed);
    assert_eq!(impostor.heard, SECRET);
}

#[test]
fn embedded_tls_trusts_a_server_that_shows_the_certificate_of_another() {
    let mut impostor = Impostor::new(Flight::Unsigned, &pki().server);
    let (result, verifier) = confide_by_embedded_tls(&mut impostor);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!((verifier.certificates, verifier.signatures), (1, 0));
    assert!(impostor.believed);
    assert_eq!(impostor.heard, SECRET);
}

#[test]
fn embedded_tls_does_ask_where_there_is_something_to_be_asked() {
    // So the two above do not pass for the wrong reason.
    let mut impostor = Impostor::new(Flight::Unsigned, &pki().ca);
    let (result, verifier) = confide_by_embedded_tls(&mut impostor);
    assert!(matches!(result, Err(TlsError::InvalidCertificate)), "{result:?}");
    assert_eq!(verifier.certificates, 1);
    assert!(!impostor.believed && impostor.heard.is_empty());
}

#[test]
fn our_client_wants_certificate_and_signature() {
    const FINISHED: Error = Error::PeerMisbehaved(PeerMisbehaved::UnexpectedHandshake(HandshakeType::FINISHED));
    for flight in [Flight::Unauthenticated, Flight::Unsigned] {
        let mut impostor = Impostor::new(flight, &pki().server);
        let (verdict, established) = confide_by_ours(&mut impostor);
        assert_eq!(verdict, Err(FINISHED), "{flight:?}");
        assert_eq!(FINISHED.alert(), Some(AlertDescription::UNEXPECTED_MESSAGE));
        assert_eq!(impostor.alert, Some(AlertDescription::UNEXPECTED_MESSAGE.0));
        assert!(!established && !impostor.believed && impostor.heard.is_empty());
    }
}

#[test]
fn an_empty_record_makes_embedded_tls_panic_and_our_client_name_it() {
    let mut impostor = Impostor::new(Flight::Empty, &[]);
    // All its borrowed state is created again below.
    let panic = catch_unwind(AssertUnwindSafe(|| confide_by_embedded_tls(&mut impostor).0));
    let why = panic.expect_err("a panic");
    let why = why.downcast_ref::<&str>().map(ToString::to_string);
    assert_eq!(why.as_deref(), Some("called `Option::unwrap()` on a `None` value"));

    let mut impostor = Impostor::new(Flight::Empty, &[]);
    let (verdict, established) = confide_by_ours(&mut impostor);
    let error = Error::InvalidMessage(InvalidMessage::NoInnerContentType);
    assert_eq!(verdict, Err(error));
    assert_eq!(error.alert(), Some(AlertDescription::UNEXPECTED_MESSAGE));
    assert_eq!(impostor.alert, Some(AlertDescription::UNEXPECTED_MESSAGE.0));
    assert!(!established && !impostor.believed);
}
