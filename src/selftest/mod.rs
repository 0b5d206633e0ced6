//! The power-on self-test: known answers, and handshakes with two implementations.
//!
//! It uses `tls`, `crypto` and `pki`, and nothing else of ours; what it needs of the machine it is given. Checked are,
//! in this order, the algorithms by known answers, the random generator, and for each identity of the server: its
//! certificates, a handshake with an independent implementation (embedded-tls) as the client, and one each of TLS 1.3
//! and TLS 1.2 with our own client. `docs/selftest.md` describes what that shows and what it does not.
//!
//! [`SelfTest::run`] runs it once; [`SelfTest::serve`] whenever the [`Requests`] is asked.

mod handshake;
mod independent;
mod known;
mod outcome;
mod pipe;
mod requests;
#[cfg(test)]
mod tests;

use core::pin::pin;

use embassy_futures::select::{Either, select};
use rand_core::CryptoRng;

pub use outcome::{Check, Failure, Outcome, Summary, Verdict};
pub use requests::Requests;

use crate::crypto::kx::Group;
use crate::crypto::suite::CipherSuite;
use crate::pki::staple::requires_staple;
use crate::pki::verify::{CertificateError, Clock, DerList, MAX_CHAIN, Purpose, Trust};
use crate::tls::{ClientAuth, Identity, MIN_INBOUND, MIN_OUTBOUND, ServerConfig, Versions};
use handshake::{TLS12, TLS13, Want};
use independent::Verifier;
use pipe::Link;

/// How many identities of a server are tested.
pub const MAX_IDENTITIES: usize = 4;
/// The most outcomes of a self-test.
pub const MAX_OUTCOMES: usize = 2 + 4 * MAX_IDENTITIES;

/// The data sent and echoed over each connection.
const MESSAGE: &[u8] = b"The quick brown fox jumps over the lazy dog. 0123456789 times.";

/// Each direction of the connection in memory, in bytes.
const PIPE: usize = 1024;

/// The subject of the self-test, and its means.
pub struct SelfTest<'a, R> {
    /// The server's configuration, or why there is none.
    pub server: Result<ServerConfig<'a>, &'static str>,
    /// The configured CAs. A server whose certificate comes from elsewhere is compared with its configuration instead.
    pub trust: Trust<'a>,
    /// The time at which certificates are verified.
    pub clock: fn() -> Clock,
    /// The generator, or why there is none.
    pub random: fn() -> Result<R, &'static str>,
    /// A clock that counts microseconds.
    pub micros: fn() -> u64,
    /// As many bytes as [`buffer_len`] says.
    pub buffer: &'a mut [u8],
}

/// How many bytes a self-test of that server takes; 0 where there is none.
pub fn buffer_len(server: &Result<ServerConfig<'_>, &'static str>) -> usize {
    server.as_ref().map_or(0, |server| Sizes::of(server).iter().sum())
}

/// How many bytes a self-test takes of any server whose [`ServerConfig::flight_len`] is at most `flight`.
pub fn buffer_len_for(flight: usize) -> usize {
    Sizes::of_flight(flight).iter().sum()
}

impl<R: CryptoRng> SelfTest<'_, R> {
    /// Checks everything once. The outcomes go to `requests` as they come, and to the log.
    ///
    /// The processor is given to other tasks between the flights of each handshake.
    pub async fn run(&mut self, requests: &Requests) -> Summary {
        requests.begin();
        let report = |outcome: Outcome| {
            if let Verdict::Failed(_) = outcome.verdict {
                log::error!("self-test: {outcome}");
            } else {
                log::info!("self-test: {outcome}");
            }
            requests.add(outcome);
        };
        report(self.timed(Check::KnownAnswers, |_| known::check().into()));
        report(self.timed(Check::Generator, |this| generator(this.random).into()));
        match self.server {
            Err(why) => report(Outcome::skipped(Check::Server, why)),
            Ok(server) => {
                for identity in server.identities().iter().take(MAX_IDENTITIES) {
                    // The clients here have no certificates, and their secrets need no log.
                    let server = server
                        .with_identity(identity)
                        .with_client_auth(ClientAuth::Off)
                        .with_key_log(None);
                    let key = identity.key().algorithm();
                    let mut issuer = Issuer::Unknown;
                    report(self.timed(Check::Certificates(key), |this| {
                        let (verdict, by) = this.certificates(identity);
                        issuer = by;
                        verdict
                    }));
                    report(self.independent(server, identity, &issuer).await);
                    report(self.ours(server, identity, &issuer, Check::Tls13(key), TLS13).await);
                    report(self.ours(server, identity, &issuer, Check::Tls12(key), TLS12).await);
                }
            }
        }
        let summary = requests.summary();
        log::info!("self-test: {summary}");
        requests.end();
        summary
    }

    /// Runs it at each request, until `renewed`, and then to the end of the one under way.
    pub async fn serve(&mut self, requests: &Requests, renewed: impl Future<Output = ()>) {
        let mut renewed = pin!(renewed);
        while let Either::Second(()) = select(renewed.as_mut(), requests.wanted()).await {
            self.run(requests).await;
        }
    }

    fn timed(&self, check: Check, work: impl FnOnce(&Self) -> Verdict) -> Outcome {
        let begin = (self.micros)();
        let verdict = work(self);
        Outcome {
            check,
            verdict,
            micros: (self.micros)().saturating_sub(begin),
        }
    }

    /// Whether a client that trusts the configured CAs will believe this identity.
    fn certificates(&self, identity: &Identity<'_>) -> (Verdict, Issuer) {
        let verify = |trust: &Trust<'_>| verify(trust, identity.chain(), (self.clock)());
        match verify(&self.trust) {
            Ok(()) => (Verdict::Passed, Issuer::ConfiguredCa),
            Err(CertificateError::NoTrustAnchors | CertificateError::UnknownIssuer { .. }) => {
                let last = identity.chain().iter().last();
                match verify(&Trust::new(last.as_slice())) {
                    Ok(()) => (Verdict::Skipped("not issued under .tls.ca_cert"), Issuer::OwnChain),
                    Err(CertificateError::NoTrustAnchors | CertificateError::UnknownIssuer { .. }) => {
                        (Verdict::Skipped("not issued under .tls.ca_cert"), Issuer::Unknown)
                    }
                    Err(error) => (Verdict::Failed(Failure::Certificate(error)), Issuer::Unknown),
                }
            }
            Err(error) => (Verdict::Failed(Failure::Certificate(error)), Issuer::Unknown),
        }
    }

    /// embedded-tls as the client.
    async fn independent(&mut self, server: ServerConfig<'_>, identity: &Identity<'_>, issuer: &Issuer) -> Outcome {
        let check = Check::Independent(identity.key().algorithm());
        let (clock, random, micros) = ((self.clock)(), self.random, self.micros);
        // All that embedded-tls knows.
        let server = server
            .with_clock(clock)
            .with_versions(Versions::Tls13)
            .with_suites(&[CipherSuite::Aes128GcmSha256])
            .with_groups(&[Group::Secp256r1]);
        let sizes = Sizes::of(&server);
        let (mut here, mut there) = match (random(), random()) {
            (Ok(here), Ok(there)) => (here, there),
            (Err(why), _) | (_, Err(why)) => return Outcome::failed(check, Failure::Generator(why)),
        };
        let Some([up, down, server_in, server_out, client_in, client_out]) = split(self.buffer, sizes) else {
            return Outcome::failed(check, Failure::NoBuffer);
        };
        let last = identity.chain().iter().last();
        let by_chain = Trust::new(last.as_slice());
        let trust = match issuer {
            Issuer::ConfiguredCa => Some(&self.trust),
            Issuer::OwnChain => Some(&by_chain),
            Issuer::Unknown => None,
        };
        let verifier = Verifier::new(identity.chain(), trust, clock);
        let link = Link::new(up, down);
        let (result, micros) = link
            .join(
                micros,
                independent::client(link.caller(), verifier, client_in, client_out, &mut here),
                handshake::server(server, link.called(), server_in, server_out, &mut there),
            )
            .await;
        Outcome {
            check,
            verdict: result.into(),
            micros,
        }
    }

    /// Our own client.
    async fn ours(
        &mut self,
        server: ServerConfig<'_>,
        identity: &Identity<'_>,
        issuer: &Issuer,
        check: Check,
        want: Want,
    ) -> Outcome {
        let (clock, random, micros) = ((self.clock)(), self.random, self.micros);
        let server = server
            .with_clock(clock)
            .with_versions(want.versions)
            .with_suites(want.suites)
            .with_groups(want.groups);
        let sizes = Sizes::of(&server);
        let last = identity.chain().iter().last();
        let by_chain = Trust::new(last.as_slice());
        let trust = match issuer {
            Issuer::ConfiguredCa => &self.trust,
            Issuer::OwnChain => &by_chain,
            Issuer::Unknown => return Outcome::skipped(check, "no CA to verify the server with"),
        };
        if identity.chain().first().is_some_and(requires_staple) {
            return Outcome::skipped(
                check,
                "the certificate requires a stapled OCSP response, and none is configured",
            );
        }
        let (mut here, mut there) = match (random(), random()) {
            (Ok(here), Ok(there)) => (here, there),
            (Err(why), _) | (_, Err(why)) => return Outcome::failed(check, Failure::Generator(why)),
        };
        let Some([up, down, server_in, server_out, client_in, client_out]) = split(self.buffer, sizes) else {
            return Outcome::failed(check, Failure::NoBuffer);
        };
        let link = Link::new(up, down);
        let config = want.of(trust, clock);
        let (result, micros) = link
            .join(
                micros,
                handshake::client(want, config, link.caller(), client_in, client_out, &mut here),
                handshake::server(server, link.called(), server_in, server_out, &mut there),
            )
            .await;
        Outcome {
            check,
            verdict: result.into(),
            micros,
        }
    }
}

/// Verifies a server's own chain as a client would.
fn verify(trust: &Trust<'_>, chain: DerList<'_>, clock: Clock) -> Result<(), CertificateError> {
    // One more than a client takes, so that it is refused as too long.
    let chain: heapless::Vec<_, { MAX_CHAIN + 1 }> = chain.iter().take(MAX_CHAIN + 1).collect();
    trust.verify(&chain, Purpose::Server(None), clock)
}

/// The issuer of an identity.
enum Issuer {
    /// A configured CA.
    ConfiguredCa,
    /// The last certificate of its own chain.
    OwnChain,
    /// Neither.
    Unknown,
}

/// Two draws that are not what a broken generator gives. Its sources are tested for health as they are drawn from.
fn generator<R: CryptoRng>(random: fn() -> Result<R, &'static str>) -> Result<(), Failure> {
    let mut random = random().map_err(Failure::Generator)?;
    let (mut first, mut second) = ([0; 32], [0; 32]);
    random.fill_bytes(&mut first);
    random.fill_bytes(&mut second);
    let constant = |draw: &[u8; 32]| draw.iter().all(|byte| Some(byte) == draw.first());
    if first == second || constant(&first) || constant(&second) {
        return Err(Failure::Generator("repeated output"));
    }
    Ok(())
}

/// The parts of the buffer.
struct Sizes;

impl Sizes {
    /// Two pipes, the server's two buffers, the client's two buffers, in bytes.
    fn of(server: &ServerConfig<'_>) -> [usize; 6] {
        Self::of_flight(server.flight_len())
    }

    fn of_flight(flight: usize) -> [usize; 6] {
        let flight = flight.max(MIN_OUTBOUND);
        let trust = Trust::new(&[]);
        let hello = [TLS13, TLS12].map(|want| want.of(&trust, Clock::default()).flight_len());
        let hello = hello.into_iter().fold(independent::OUTBOUND, usize::max);
        // The server's flight has to fit: embedded-tls does not put messages together from several records.
        [PIPE, PIPE, MIN_INBOUND, flight, MIN_INBOUND.max(flight + 512), hello]
    }
}

fn split<const N: usize>(buffer: &mut [u8], sizes: [usize; N]) -> Option<[&mut [u8]; N]> {
    let mut parts = [const { None }; N];
    let mut rest = buffer;
    for (part, size) in parts.iter_mut().zip(sizes) {
        let (first, others) = rest.split_at_mut_checked(size)?;
        *part = Some(first);
        rest = others;
    }
    let mut full = parts.into_iter().flatten();
    let parts = core::array::from_fn(|_| full.next().unwrap_or_default());
    Some(parts)
}
