//! The TLS 1.3 server (RFC 8446 §2, §4): from ClientHello to the client's Finished.

use super::{Context, InboundChange, State, Step};
use crate::crypto::hash::HashOutput;
use crate::crypto::kx::{Group, PublicValue, SharedSecret};
use crate::crypto::mac::constant_time_eq;
use crate::crypto::sign::SignatureScheme;
use crate::crypto::suite::CipherSuite;
use crate::tls::codec::Full;
use crate::tls::config::ServerConfig;
use crate::tls::error::{Error, PeerIncompatible, PeerMisbehaved};
use crate::tls::msg::client_hello::{ClientHello, KeyShares};
use crate::tls::msg::server_hello;
use crate::tls::record::RecordKey;
use crate::tls::schedule::{KeySchedule, TrafficSecret};
use crate::tls::transcript::Transcript;

const SSL3: u16 = 0x0300;
const TLS12: u16 = 0x0303;
const TLS13: u16 = 0x0304;

/// The server after its HelloRetryRequest.
pub(crate) struct ExpectSecondClientHello<'a> {
    config: ServerConfig<'a>,
    transcript: Transcript,
    suite: CipherSuite,
    group: Group,
    /// What the second ClientHello has to repeat.
    unchanging: HashOutput,
}

/// The server after its own Finished.
pub(crate) struct ExpectFinished {
    transcript: Transcript,
    client_handshake: TrafficSecret,
    client_application: TrafficSecret,
}

/// Answers the first ClientHello: with the whole flight, or with a HelloRetryRequest.
pub(super) fn client_hello<'a>(
    config: ServerConfig<'a>,
    message: &[u8],
    body: &[u8],
    context: &mut Context<'_, '_>,
) -> Result<Step<'a>, Error> {
    let hello = ClientHello::parse(body)?;
    let offer = Offer::check(&hello)?;
    let suite = choose_suite(&config, &hello)?;
    let scheme = choose_scheme(&config, &offer)?;
    let (group, public) = choose_group(&config, &offer)?;
    let mut transcript = Transcript::new(suite.hash());
    transcript.add(message);
    context.info.suite = Some(suite);
    context.info.group = Some(group);

    let Some(public) = public else {
        context.info.retried = true;
        transcript.replace_by_message_hash();
        context.outbound.handshake(|writer| {
            server_hello::hello_retry_request(writer, hello.session_id, suite, group).map_err(no_space)?;
            transcript.add(writer.since(0));
            Ok(())
        })?;
        if !hello.session_id.is_empty() {
            context.outbound.change_cipher_spec()?;
        }
        let unchanging = hello.unchanging_part();
        return Ok(Step {
            state: Some(State::SecondClientHello(ExpectSecondClientHello {
                config,
                transcript,
                suite,
                group,
                unchanging,
            })),
            inbound: InboundChange::Retry {
                early_data: hello.early_data,
            },
        });
    };
    let flight = Flight {
        config,
        suite,
        group,
        scheme,
        transcript,
        early_data: hello.early_data,
        compatible: true,
    };
    flight.send(&hello, public, context)
}

impl<'a> ExpectSecondClientHello<'a> {
    pub(super) fn client_hello(
        mut self,
        message: &[u8],
        body: &[u8],
        context: &mut Context<'_, '_>,
    ) -> Result<Step<'a>, Error> {
        let hello = ClientHello::parse(body)?;
        let offer = Offer::check(&hello)?;
        if hello.early_data {
            return Err(PeerMisbehaved::EarlyDataAfterRetry.into());
        }
        // RFC 8446 §4.2.8: exactly one share, of the group that was asked for.
        let mut shares = offer.key_shares.iter();
        let public = match (shares.next(), shares.next()) {
            (Some((group, public)), None) if group == self.group.id() => public,
            _ => return Err(PeerMisbehaved::WrongRetryKeyShare.into()),
        };
        if !constant_time_eq(hello.unchanging_part().as_ref(), self.unchanging.as_ref()) {
            return Err(PeerMisbehaved::ChangedClientHello.into());
        }
        let scheme = choose_scheme(&self.config, &offer)?;
        self.transcript.add(message);
        let Self {
            config,
            transcript,
            suite,
            group,
            ..
        } = self;
        // The change_cipher_spec went out after the HelloRetryRequest (RFC 8446 §D.4).
        let flight = Flight {
            config,
            suite,
            group,
            scheme,
            transcript,
            early_data: false,
            compatible: false,
        };
        flight.send(&hello, public, context)
    }
}

impl ExpectFinished {
    pub(super) fn finished<'a>(mut self, message: &[u8], body: &[u8]) -> Result<Step<'a>, Error> {
        let length = self.client_handshake.suite().hash().output_len();
        if body.len() != length {
            let invalid = if body.len() < length {
                crate::tls::error::InvalidMessage::MissingData("Finished")
            } else {
                crate::tls::error::InvalidMessage::TrailingData("Finished")
            };
            return Err(invalid.into());
        }
        if !self.client_handshake.is_finished(&self.transcript.hash(), body)? {
            return Err(PeerMisbehaved::WrongFinished.into());
        }
        self.transcript.add(message);
        let key = RecordKey::new(self.client_application)?;
        Ok(Step {
            state: None,
            inbound: InboundChange::Traffic { key },
        })
    }
}

/// Everything decided, the flight to be sent.
struct Flight<'a> {
    config: ServerConfig<'a>,
    suite: CipherSuite,
    group: Group,
    scheme: SignatureScheme,
    transcript: Transcript,
    early_data: bool,
    /// Whether to send change_cipher_spec to a client that expects it.
    compatible: bool,
}

impl<'a> Flight<'a> {
    fn send(
        mut self,
        hello: &ClientHello<'_>,
        public: &[u8],
        context: &mut Context<'_, '_>,
    ) -> Result<Step<'a>, Error> {
        let (share, shared) = self
            .group
            .respond(public, context.rng)
            .map_err(|_| PeerMisbehaved::InvalidKeyShare(self.group.name()))?;
        self.send_server_hello(hello, &share, context)?;
        let (client_handshake, schedule) = self.change_to_handshake_keys(&shared, context)?;
        self.send_protected_part(&client_handshake.1, context)?;

        let hash = self.transcript.hash();
        let master = schedule.master()?;
        let client_application = master.traffic("c ap traffic", &hash)?;
        context
            .outbound
            .set_key(RecordKey::new(master.traffic("s ap traffic", &hash)?)?);
        let key = RecordKey::new(client_handshake.0.clone())?;
        Ok(Step {
            state: Some(State::Finished(ExpectFinished {
                transcript: self.transcript,
                client_handshake: client_handshake.0,
                client_application,
            })),
            inbound: InboundChange::Handshake {
                key,
                early_data: self.early_data,
            },
        })
    }

    fn send_server_hello(
        &mut self,
        hello: &ClientHello<'_>,
        share: &PublicValue,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let mut random = [0; 32];
        context.rng.fill_bytes(&mut random);
        context.outbound.handshake(|writer| {
            server_hello::server_hello(
                writer,
                &random,
                hello.session_id,
                self.suite,
                self.group,
                share.as_ref(),
            )
            .map_err(no_space)?;
            self.transcript.add(writer.since(0));
            Ok(())
        })?;
        if self.compatible && !hello.session_id.is_empty() {
            context.outbound.change_cipher_spec()?;
        }
        Ok(())
    }

    /// Returns the secrets of both sides' handshake traffic, the client's first, and the schedule.
    fn change_to_handshake_keys(
        &self,
        shared: &SharedSecret,
        context: &mut Context<'_, '_>,
    ) -> Result<((TrafficSecret, TrafficSecret), KeySchedule), Error> {
        let hash = self.transcript.hash();
        let schedule = KeySchedule::early(self.suite, None).handshake(shared.as_ref())?;
        let client = schedule.traffic("c hs traffic", &hash)?;
        let server = schedule.traffic("s hs traffic", &hash)?;
        context.outbound.set_key(RecordKey::new(server.clone())?);
        Ok(((client, server), schedule))
    }

    /// EncryptedExtensions to Finished, together.
    fn send_protected_part(
        &mut self,
        server_handshake: &TrafficSecret,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let Self {
            config,
            transcript,
            scheme,
            group,
            ..
        } = self;
        let rng = &mut *context.rng;
        context.outbound.handshake(|writer| {
            let preferred = config.groups.first() == Some(group);
            let groups = if preferred { None } else { Some(config.groups) };
            server_hello::encrypted_extensions(writer, groups).map_err(no_space)?;
            server_hello::certificate(writer, &[], config.chain).map_err(no_space)?;
            transcript.add(writer.since(0));

            let at = writer.len();
            let signature = config
                .key
                .sign(*scheme, &signed_content(SERVER_CONTEXT, &transcript.hash()), rng)
                .map_err(|_| Error::Internal("the private key did not sign"))?;
            server_hello::certificate_verify(writer, *scheme, &signature).map_err(no_space)?;
            transcript.add(writer.since(at));

            let at = writer.len();
            let verify_data = server_handshake.verify_data(&transcript.hash())?;
            server_hello::finished(writer, verify_data.as_ref()).map_err(no_space)?;
            transcript.add(writer.since(at));
            Ok(())
        })
    }
}

/// What a ClientHello has to hold for TLS 1.3 with certificates (RFC 8446 §9.2).
struct Offer<'a> {
    groups: crate::tls::codec::U16List<'a>,
    schemes: crate::tls::codec::U16List<'a>,
    key_shares: KeyShares<'a>,
}

impl<'a> Offer<'a> {
    fn check(hello: &ClientHello<'a>) -> Result<Self, Error> {
        // RFC 8446 §E.5.
        if hello.legacy_version == SSL3 {
            return Err(PeerMisbehaved::Ssl3.into());
        }
        match hello.supported_versions {
            Some(versions) if versions.contains(TLS13) => {}
            Some(versions) => {
                let highest = versions.iter().filter(|&version| version < TLS13).max();
                return Err(PeerIncompatible::Version(highest.unwrap_or_default()).into());
            }
            None => return Err(PeerIncompatible::Version(hello.legacy_version.min(TLS12)).into()),
        }
        if hello.compression_methods != [0] {
            return Err(PeerMisbehaved::Compression.into());
        }
        if hello.offers_psk && !hello.has_psk_modes {
            return Err(PeerMisbehaved::MissingExtension("psk_key_exchange_modes").into());
        }
        let missing = |name| PeerMisbehaved::MissingExtension(name);
        let groups = hello.supported_groups.ok_or(missing("supported_groups"))?;
        let schemes = hello.signature_algorithms.ok_or(missing("signature_algorithms"))?;
        let key_shares = hello.key_shares.ok_or(missing("key_share"))?;
        if let Some(group) = key_shares.first_outside(groups) {
            return Err(PeerMisbehaved::KeyShareOutsideGroups(group).into());
        }
        Ok(Self {
            groups,
            schemes,
            key_shares,
        })
    }
}

fn choose_suite(config: &ServerConfig<'_>, hello: &ClientHello<'_>) -> Result<CipherSuite, Error> {
    let offered = |suite: &CipherSuite| hello.cipher_suites.contains(suite.id());
    Ok(config
        .suites
        .iter()
        .copied()
        .find(offered)
        .ok_or(PeerIncompatible::CipherSuite)?)
}

fn choose_scheme(config: &ServerConfig<'_>, offer: &Offer<'_>) -> Result<SignatureScheme, Error> {
    let offered = |scheme: &SignatureScheme| offer.schemes.contains(scheme.id());
    Ok(config
        .key
        .schemes()
        .iter()
        .copied()
        .find(offered)
        .ok_or(PeerIncompatible::SignatureScheme)?)
}

/// The group, and the client's share for it. A group with a share goes before a better one that costs a round trip.
fn choose_group<'m>(config: &ServerConfig<'_>, offer: &Offer<'m>) -> Result<(Group, Option<&'m [u8]>), Error> {
    let common = || {
        config
            .groups
            .iter()
            .copied()
            .filter(|group| offer.groups.contains(group.id()))
    };
    common()
        .find_map(|group| offer.key_shares.get(group.id()).map(|public| (group, Some(public))))
        .or_else(|| common().next().map(|group| (group, None)))
        .ok_or(PeerIncompatible::Group.into())
}

const SERVER_CONTEXT: &str = "TLS 1.3, server CertificateVerify";

/// The longest that [`signed_content`] gets, in bytes.
const MAX_SIGNED: usize = 64 + SERVER_CONTEXT.len() + 1 + crate::crypto::hash::MAX_HASH;

/// The content that CertificateVerify signs (RFC 8446 §4.4.3).
fn signed_content(context: &str, transcript: &HashOutput) -> heapless::Vec<u8, MAX_SIGNED> {
    let parts = [&[0x20; 64][..], context.as_bytes(), &[0], transcript.as_ref()];
    parts.into_iter().flatten().copied().collect()
}

/// The outbound buffer holds any flight, which was checked when the connection was made.
fn no_space(_: Full) -> Error {
    Error::Internal("outbound buffer too small for the flight")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::HashAlgorithm;

    #[test]
    fn the_signed_content_is_that_of_rfc_8446_4_4_3() {
        // The RFC's example: 32 bytes of 01 in the place of the transcript hash.
        let signed = signed_content(SERVER_CONTEXT, &HashOutput::new(&[1; 32]));
        let text = "TLS 1.3, server CertificateVerify";
        assert_eq!(signed[..], [&[0x20; 64][..], text.as_bytes(), &[0], &[1; 32]].concat());
        let longest = signed_content(SERVER_CONTEXT, &HashAlgorithm::Sha384.hash(&[]));
        assert_eq!(longest.len(), MAX_SIGNED);
    }
}
