//! The roles of a configuration as tasks use them, with their buffers.

use super::time::now;
use super::tls_config::{ClientRole, Roles, ServerRole};
use super::tls_configs::TlsConfigs;
use crate::client::{Protocol, TlsClient, outbound_len};
use crate::config::Config;
use crate::endpoint::traces::Traces;
use crate::machine::memory::{Arena, OutOfMemory};
use crate::machine::{clock, entropy};
use crate::memory::{OUTBOUND, WORKER_INBOUND};
use crate::net::Netif;
use crate::nic;
use crate::pki::verify::Trust;
use crate::selftest::{self, SelfTest};
use crate::serve::Service;
use crate::serve::tls::TlsWorker;
use crate::shell::tls::SESSION_SLOTS;
use crate::tls::{MIN_OUTBOUND, ServerConfig};

/// The least bytes of any outbound buffer: where the configuration may change, it has to hold what others send.
fn least_outbound(configs: &TlsConfigs) -> usize {
    if configs.can_change() { OUTBOUND } else { 0 }
}

/// The outbound buffer of a worker, in bytes.
pub fn worker_outbound(configs: &'static TlsConfigs) -> usize {
    let flight = |server: ServerRole<'_>| {
        let dialled = server.mutual.map_or(0, |mutual| mutual.client.flight_len());
        server.config.flight_len().max(dialled).max(OUTBOUND)
    };
    let needed = configs.in_use().roles().server().map_or(0, flight);
    needed.max(least_outbound(configs))
}

/// Sets what the service can serve from now on.
pub fn set_tls(service: &Service<Netif>, configs: &'static TlsConfigs) {
    let tls_config = configs.in_use();
    let roles = tls_config.roles();
    let server = roles.server();
    service.set_tls(server.map(drop));
    service.set_mutual_tls(server.and_then(|server| server.mutual.map(drop)));
}

/// A worker of the echo service; without TLS where that cannot be served.
pub fn worker<'a>(
    roles: &'a Roles<'_>,
    (traces, pages): (&'static Traces, &'static Traces),
    [inbound, outbound]: [&'a mut [u8]; 2],
) -> TlsWorker<'a, entropy::Rng> {
    let Ok(ServerRole { config, mutual, rng }) = roles.server() else {
        return TlsWorker::plain(inbound);
    };
    match TlsWorker::new(config, now, inbound, outbound, rng) {
        Ok(worker) => worker.with_mutual(mutual.ok()).with_traces(traces, pages),
        // The buffers are as large as it needs.
        Err(error) => {
            ::log::error!("TLS worker: {error}");
            TlsWorker::plain(&mut [])
        }
    }
}

/// The buffers of the TLS client.
///
/// # Errors
/// When the memory does not suffice.
pub fn client_buffers(configs: &'static TlsConfigs, arena: &mut Arena) -> Result<[&'static mut [u8]; 2], OutOfMemory> {
    let outbound = configs
        .in_use()
        .roles()
        .client()
        .map_or(0, |client| outbound_len(&client.config));
    let outbound = outbound.max(least_outbound(configs));
    Ok([arena.buffer(WORKER_INBOUND)?, arena.buffer(outbound)?])
}

/// The protocol of the TLS client, or why it has none.
pub fn client_protocol<'a>(
    roles: &'a Roles<'_>,
    traces: &'static Traces,
    [inbound, outbound]: [&'a mut [u8]; 2],
) -> Protocol<'a, entropy::Rng> {
    match roles.client() {
        Ok(ClientRole { config, named, rng, .. }) => Protocol::Tls(
            TlsClient::new(config, now, roles.handshake, rng, inbound, outbound)
                .with_names(named)
                .with_traces(traces),
        ),
        Err(why) => Protocol::Unable(why),
    }
}

/// The buffer of the self-test.
///
/// # Errors
/// When the memory does not suffice.
pub fn selftest_buffer(configs: &'static TlsConfigs, arena: &mut Arena) -> Result<&'static mut [u8], OutOfMemory> {
    let least = selftest::buffer_len(&configs.in_use().roles().server().map(|server| server.config));
    // Any configuration that can be loaded later can be tested.
    let most = match configs.can_change() {
        true => selftest::buffer_len_for(OUTBOUND),
        false => 0,
    };
    arena.buffer(least.max(most))
}

/// The self-test of a configuration.
pub fn selftest<'a>(roles: &'a Roles<'_>, buffer: &'a mut [u8]) -> SelfTest<'a, entropy::Rng> {
    SelfTest {
        buffer,
        server: roles.server().map(|server| server.config),
        trust: roles.trust().copied().unwrap_or(Trust::new(&[])),
        clock: now,
        random: || entropy::rng().map_err(|_| "no entropy"),
        micros: clock::now,
    }
}

/// The buffers of the session slots of the debug shell over TLS, for each of so many cards; none where it is not
/// configured, or impossible.
///
/// # Errors
/// When the memory does not suffice.
pub fn secure_shell(
    config: &Config,
    configs: &'static TlsConfigs,
    cards: usize,
    arena: &mut Arena,
) -> Result<heapless::Vec<[[&'static mut [u8]; 2]; SESSION_SLOTS], { nic::MAX_CARDS }>, OutOfMemory> {
    let mut all = heapless::Vec::new();
    if config.vmm.tls_dbgsh == 0 {
        return Ok(all);
    }
    let flight = match session_slot(&configs.in_use().roles()) {
        Ok((config, _)) => config.flight_len(),
        Err(why) if configs.awaits_certificate().is_some() && configs.can_change() => {
            ::log::warn!("debug shell over TLS not started yet: {why}");
            0
        }
        Err(why) => {
            ::log::error!("debug shell over TLS not started: {why}");
            return Ok(all);
        }
    };
    let outbound = flight.max(MIN_OUTBOUND).max(least_outbound(configs));
    for _ in 0..cards {
        let mut slots = heapless::Vec::<_, SESSION_SLOTS>::new();
        for _ in 0..SESSION_SLOTS {
            let slot = [arena.buffer(WORKER_INBOUND)?, arena.buffer(outbound)?];
            let _ = slots.push(slot); // there are as many as fit
        }
        if let Ok(slots) = slots.into_array() {
            let _ = all.push(slots); // there are no more cards than fit
        }
    }
    Ok(all)
}

/// The server of a session slot of the debug shell over TLS.
///
/// # Errors
/// Why there is none.
pub fn session_slot<'a>(roles: &'a Roles<'_>) -> Result<(ServerConfig<'a>, entropy::Rng), &'static str> {
    let server = roles.server()?;
    Ok((server.mutual?.server, server.rng))
}
