//! The offers of a TLS 1.3 ClientHello, and the choice among them.

use crate::codec::U16List;
use crate::config::ServerConfig;
use crate::crypto::hash::{HashAlgorithm, HashOutput};
use crate::crypto::kx::Group;
use crate::crypto::suite::CipherSuite;
use crate::error::{Error, PeerIncompatible, PeerMisbehaved};
use crate::msg::client_hello::{ClientHello, KeyShares};
use crate::registry::{ExtensionType, NamedGroup, ProtocolVersion};
use crate::session::SessionState;

use super::super::session_suffices;

/// The most PSKs of a client that are considered.
const MAX_PSKS: usize = 4;

/// What a ClientHello must contain for a TLS 1.3 key exchange (RFC 8446 §9.2).
pub(super) struct Offer<'a> {
    groups: U16List<'a>,
    pub(super) key_shares: KeyShares<'a>,
}

impl<'a> Offer<'a> {
    pub(super) fn check(hello: &ClientHello<'a>) -> Result<Self, Error> {
        if hello.compression_methods != [0] {
            return Err(PeerMisbehaved::Compression.into());
        }
        if hello.psks.is_some() && hello.psk_modes.is_none() {
            return Err(PeerMisbehaved::MissingExtension(ExtensionType::PSK_KEY_EXCHANGE_MODES).into());
        }
        let groups = hello
            .supported_groups
            .ok_or(PeerMisbehaved::MissingExtension(ExtensionType::SUPPORTED_GROUPS))?;
        let key_shares = hello
            .key_shares
            .ok_or(PeerMisbehaved::MissingExtension(ExtensionType::KEY_SHARE))?;
        if hello.psks.is_none() && hello.signature_algorithms.is_none() {
            return Err(PeerMisbehaved::MissingExtension(ExtensionType::SIGNATURE_ALGORITHMS).into());
        }
        if let Some(group) = key_shares.first_outside(groups) {
            return Err(PeerMisbehaved::KeyShareOutsideGroups(NamedGroup(group)).into());
        }
        Ok(Self { groups, key_shares })
    }
}

pub(super) fn choose_suite(config: &ServerConfig<'_>, hello: &ClientHello<'_>) -> Result<CipherSuite, Error> {
    let common =
        |suite: &CipherSuite| suite.version() == ProtocolVersion::TLS13 && hello.cipher_suites.contains(suite.id());
    Ok(config
        .preferences
        .suites
        .iter()
        .copied()
        .find(common)
        .ok_or(PeerIncompatible::CipherSuite)?)
}

/// Chooses the group, with the client's share. A group with a share precedes a preferred one that needs a retry.
pub(super) fn choose_group<'m>(
    config: &ServerConfig<'_>,
    offer: &Offer<'m>,
) -> Result<(Group, Option<&'m [u8]>), Error> {
    let common = || {
        config
            .preferences
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

/// The content of `pre_shared_key` in the first ClientHello. The second may drop only PSKs that do not fit the suite, and
/// may add none (RFC 8446 §4.1.2).
pub(super) enum FirstPsks {
    /// There was no such extension.
    Absent,
    /// It had no session that could be resumed with this suite.
    Unfit,
    /// It had such a session: the hash of its identity.
    Fit(HashOutput),
}

impl FirstPsks {
    pub(super) fn of(config: &ServerConfig<'_>, suite: CipherSuite, hello: &ClientHello<'_>) -> Self {
        if hello.psks.is_none() {
            return Self::Absent;
        }
        match sessions(config, suite, hello).next() {
            Some(session) => Self::Fit(HashAlgorithm::Sha256.hash(session.identity)),
            None => Self::Unfit,
        }
    }

    pub(super) fn check(&self, second: &ClientHello<'_>) -> Result<(), Error> {
        let kept = match (self, second.psks) {
            (Self::Absent, psks) => psks.is_none(),
            (Self::Unfit, _) => true,
            (Self::Fit(_), None) => false,
            (Self::Fit(first), Some(psks)) => psks
                .iter()
                .any(|(identity, _)| HashAlgorithm::Sha256.hash(identity).as_ref() == first.as_ref()),
        };
        if kept {
            Ok(())
        } else {
            Err(PeerMisbehaved::ChangedClientHello.into())
        }
    }
}

/// An offered session, whose binder is not verified yet.
pub(super) struct Offered<'m> {
    identity: &'m [u8],
    pub(super) binder: &'m [u8],
    pub(super) resumed: Resumed,
}

/// The offered sessions that could be resumed with `suite`.
pub(super) fn sessions<'m>(
    config: &ServerConfig<'_>,
    suite: CipherSuite,
    hello: &ClientHello<'m>,
) -> impl Iterator<Item = Offered<'m>> {
    let psks = hello.psks.filter(|_| hello.psk_dhe_ke());
    let offers = psks.into_iter().flat_map(|psks| (0..).zip(psks.iter().take(MAX_PSKS)));
    offers.filter_map(move |(number, (identity, binder))| {
        let state = config
            .tickets?
            .open(identity, || config.session_context(), config.preferences.clock.now)?;
        let fits = state.version == ProtocolVersion::TLS13
            && state.suite.hash() == suite.hash()
            && state.is_for(hello.server_name)
            && session_suffices(config, state.identity.as_ref());
        fits.then_some(Offered {
            identity,
            binder,
            resumed: Resumed { number, state },
        })
    })
}

/// An offered session of this server.
pub(super) struct Resumed {
    /// Its index in the offer.
    pub(super) number: u16,
    pub(super) state: SessionState,
}
