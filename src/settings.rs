//! The configuration, in the forms that the rooms take.
//!
//! `boot` reads it at the start, `boot_keys` makes the keys that are in none. `tls_configs` has the TLS configurations, of which each, a [`TlsConfig`], makes
//! the engine's configurations, its [`Roles`]; `roles` gives them to tasks. `network` has the rest.

mod boot;
pub mod boot_keys;
mod network;
mod report;
mod roles;
mod time;
mod tls_config;
mod tls_configs;

pub use self::boot::load;
pub use self::network::{address, dial, dns, ipv6, key, proxy, seed, send_log};
pub use self::roles::{
    client_buffers, client_protocol, secure_shell, selftest, selftest_buffer, session_slot, set_tls, worker,
    worker_outbound,
};
pub use self::time::{now, seconds};
pub use self::tls_config::{ClientRole, KEY_LOG, Roles, ServerRole, TlsConfig};
pub use self::tls_configs::{Changes, InUse, TlsConfigs};
