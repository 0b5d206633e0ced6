//! The outcome of a self-test.

use core::fmt;

use embedded_tls::TlsError;

use crate::pki::verify::CertificateError;
use crate::tls::{ConfigError, Error};

/// A check. The texts name the kind of the server's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// SHA-2, HMAC, HKDF, the AEADs and X25519, by known answers.
    KnownAnswers,
    /// The random generator.
    Generator,
    /// The handshakes, where there is no server to have them with.
    Server,
    /// The certificates of an identity of the server.
    Certificates(&'static str),
    /// embedded-tls as a client of TLS 1.3, our server.
    Independent(&'static str),
    /// Our client and our server, TLS 1.3.
    Tls13(&'static str),
    /// Our client and our server, TLS 1.2.
    Tls12(&'static str),
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KnownAnswers => f.write_str("known answers of hashes, AEADs and X25519"),
            Self::Generator => f.write_str("random generator"),
            Self::Server => f.write_str("handshakes with our server"),
            Self::Certificates(key) => write!(f, "server certificate, {key}"),
            Self::Independent(key) => write!(f, "tls 1.3, embedded-tls against our server, {key}"),
            Self::Tls13(key) => write!(f, "tls 1.3, our client against our server, {key}"),
            Self::Tls12(key) => write!(f, "tls 1.2, our client against our server, {key}"),
        }
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy)]
pub enum Verdict {
    /// All is well.
    Passed,
    /// It could not be checked, for this reason; not a failure.
    Skipped(&'static str),
    /// It is not well.
    Failed(Failure),
}

impl From<Result<(), Failure>> for Verdict {
    fn from(result: Result<(), Failure>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Passed)
    }
}

/// Why a check failed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Failure {
    /// This algorithm gave another answer than it must.
    Known(&'static str),
    /// There are no random numbers, or they failed; the text has the reason.
    Generator(&'static str),
    /// A certificate is refused.
    Certificate(CertificateError),
    /// The server sent another chain than the configured one.
    OtherChain,
    /// The server's signature does not verify with the key in its certificate: the private key belongs to another.
    Signature,
    /// embedded-tls took the connection for established although this message never came.
    Missing(&'static str),
    /// Unexpected version, suite or peer.
    OtherTerms,
    /// Other bytes came back than were sent.
    Differs,
    /// Our server gave up.
    Server(Error),
    /// Our client gave up.
    Client(Error),
    /// embedded-tls gave up.
    Independent(TlsError),
    /// A connection could not be made from the configuration.
    Config(ConfigError),
    /// The buffer is smaller than [`super::buffer_len`].
    NoBuffer,
    /// Each side waits for the other.
    Stalled,
    /// The two sides went on and on.
    Endless,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(name) => write!(f, "wrong answer from {name}"),
            Self::Generator(why) => f.write_str(why),
            Self::Certificate(error) => error.fmt(f),
            Self::OtherChain => f.write_str("the server did not send the configured certificates"),
            Self::Signature => f.write_str("the signature does not verify: does .tls.srv_key belong to .tls.srv_cert?"),
            Self::Missing(message) => write!(f, "the server sent no {message}"),
            Self::OtherTerms => f.write_str("unexpected version, suite or peer"),
            Self::Differs => f.write_str("the echo differs from what was sent"),
            Self::Server(error) => write!(f, "our server: {error}"),
            Self::Client(error) => write!(f, "our client: {error}"),
            Self::Independent(error) => write!(f, "embedded-tls: {error:?}"),
            Self::Config(error) => error.fmt(f),
            Self::NoBuffer => f.write_str("buffer too small"),
            Self::Stalled => f.write_str("each side waits for the other"),
            Self::Endless => f.write_str("handshake does not finish"),
        }
    }
}

impl core::error::Error for Failure {}

/// One check, how it ended, and how long it took.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// The check.
    pub check: Check,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took of the processor, in microseconds.
    pub micros: u64,
}

impl Outcome {
    pub(super) fn failed(check: Check, failure: Failure) -> Self {
        Self {
            check,
            verdict: Verdict::Failed(failure),
            micros: 0,
        }
    }

    pub(super) fn skipped(check: Check, why: &'static str) -> Self {
        Self {
            check,
            verdict: Verdict::Skipped(why),
            micros: 0,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Passed => write!(f, "{}: ok, {}", self.check, Millis(self.micros)),
            Verdict::Skipped(why) => write!(f, "{}: skipped, {why}", self.check),
            Verdict::Failed(failure) => write!(f, "{}: FAILED, {failure}", self.check),
        }
    }
}

/// A self-test in one line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Checks that passed.
    pub passed: usize,
    /// Checks that could not be made.
    pub skipped: usize,
    /// Checks that failed.
    pub failed: usize,
    /// How long all took of the processor, in microseconds.
    pub micros: u64,
}

impl Summary {
    /// Takes an outcome into account.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome.verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Skipped(_) => self.skipped += 1,
            Verdict::Failed(_) => self.failed += 1,
        }
        self.micros = self.micros.saturating_add(outcome.micros);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failed {
            0 => write!(f, "passed, {} checks", self.passed)?,
            failed => write!(f, "FAILED, {failed} of {} checks", failed + self.passed)?,
        }
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        write!(f, ", {}", Millis(self.micros))
    }
}

/// Microseconds as milliseconds, with a decimal where it matters.
struct Millis(u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            micros @ 0..10_000 => write!(f, "{}.{} ms", micros / 1000, micros % 1000 / 100),
            micros => write!(f, "{} ms", micros / 1000),
        }
    }
}
