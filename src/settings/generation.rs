//! A configuration with its keys.

use embassy_time::Instant;
use postern::config::{Config, Identities, MAX_IDENTITIES};
use postern::machine::entropy;
use postern::pki::verify::SignedCrls;
use postern::tls::Tickets;

/// A configuration with its keys, ready to be used.
pub(crate) struct Generation {
    pub(super) config: Text,
    /// Which one it is: 0 is the one of the start.
    pub(super) number: u32,
    pub(crate) since: Instant,
    pub(crate) server: Result<Identities<MAX_IDENTITIES>, &'static str>,
    pub(crate) client: Result<Identities<1>, &'static str>,
    pub(crate) tickets: Option<Tickets>,
    /// `.tls.root_certs` of the start, which all have; or why there is none.
    pub(crate) roots: Result<&'static [&'static [u8]], &'static str>,
    /// Whose signatures of revocation lists were verified: of the trust in clients, and of that in servers.
    pub(crate) signed_crls: [SignedCrls; 2],
    pub(crate) rng: Result<entropy::Rng, &'static str>,
}

pub(super) enum Text {
    First(&'static Config),
    Later(&'static mut Config),
}

impl Generation {
    pub(super) fn new(config: Text) -> Self {
        const NONE: &str = "there are no keys any more";
        Self {
            config,
            number: 0,
            since: Instant::MIN,
            server: Err(NONE),
            client: Err(NONE),
            tickets: None,
            roots: Ok(&[]),
            signed_crls: Default::default(),
            rng: Err(NONE),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        match &self.config {
            Text::First(config) => config,
            Text::Later(config) => config,
        }
    }

    /// Forgets the keys.
    pub(super) fn wipe(&mut self) {
        if let Text::Later(config) = &mut self.config {
            config.reset();
        }
        const GONE: &str = "there are no keys any more";
        (self.server, self.client, self.tickets) = (Err(GONE), Err(GONE), None);
    }
}
