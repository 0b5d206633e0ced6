//! The TLS configurations: the current one, and earlier ones still in use.
//!
//! Each has a slot. A task that serves or makes connections has the current slot [in use](InUse) for as long as they last; a
//! slot is used again when it is in use no longer, and its keys are wiped as soon as that is so. This is checked by the
//! borrow rules, at run time: a use is a `Ref`, and a slot is written through a `RefMut`.

#[cfg(test)]
mod tests;

use core::cell::{Cell, Ref, RefCell};
use core::fmt;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::{Mutex, MutexGuard};
use embassy_sync::watch::{Receiver, Watch};
use embassy_time::Duration;

use super::boot::usable;
use super::boot_keys;
use super::report;
use super::tls_config::{AWAITS_CERTIFICATE, ConfigRef, Roles, TlsConfig, UNUSABLE};
use crate::client::outbound_len;
use crate::config::{self, Config, MAX_REQUEST, Path, Scratch};
use crate::log::SECURITY;
use crate::machine::clock;
use crate::machine::memory::{Arena, OutOfMemory};
use crate::memory::{HeapUse, OUTBOUND};
use crate::nic;
use crate::pki::own::Role;
use crate::pki::pem::Encoded;
use crate::pki::text::Count;
use crate::shell::tls::SESSION_SLOTS;
use crate::shell::{PasteBuffer, Refused, ReportWriter};
use crate::tls::FULL_INBOUND;

/// Slots for configurations beside the one of the start.
const SLOTS: usize = 3;
/// The most bytes of a text that `tls reload` takes: what any defconfig may have, but for a bundle of CAs, which a reload
/// ignores.
const PASTE_BUFFER: usize = 256 * 1024;
/// Below so much free memory there is no room for other configurations than the first, in bytes.
const ENOUGH: usize = 6 * 1024 * 1024;
/// The most heap that a configuration's RSA keys take while they are read and used, in bytes.
const RSA_HEAP: usize = 64 * 1024;
/// The tasks that wait for a change: the slots of the debug shell over TLS, and the self-test.
const WAITERS: usize = SESSION_SLOTS * nic::MAX_CARDS + 1;

/// Bytes of DER that are shown in one section, ten lines.
const SECTION: usize = 480;

/// How long a handshake may take where there is no configuration.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no `tls reload`.
const TOO_SMALL: &str = "not enough memory for a second configuration (use a larger -m)";
/// Why it is refused for now.
const BUSY: &str = "another session is reloading the configuration; try again when it has finished";

/// Waits for changes.
pub type Changes = Receiver<'static, NoopRawMutex, u32, WAITERS>;

/// The configurations of TLS.
pub struct TlsConfigs {
    /// The first is the one of the start, which is never replaced.
    slots: &'static [ConfigSlot],
    current: Cell<usize>,
    changes: Watch<NoopRawMutex, u32, WAITERS>,
    /// How often the configuration was replaced.
    count: Cell<u32>,
    /// The buffers of a reload; `None` where there is no memory for one.
    tools: Option<Tools>,
    heap: fn() -> HeapUse,
}

/// Inbound and outbound.
type Buffers = [&'static mut [u8]; 2];

struct Tools {
    paste: Mutex<NoopRawMutex, &'static mut [u8]>,
    scratch: RefCell<&'static mut Scratch>,
    /// Inbound and outbound, of the connection by which a configuration is fetched.
    buffers: Mutex<NoopRawMutex, Buffers>,
}

struct ConfigSlot {
    users: Cell<usize>,
    tls_config: RefCell<TlsConfig>,
}

/// The use of a configuration, which does not change meanwhile.
pub struct InUse {
    /// Set until the use ends.
    tls_config: Option<Ref<'static, TlsConfig>>,
    configs: &'static TlsConfigs,
    index: usize,
}

impl InUse {
    fn get(&self) -> Option<&TlsConfig> {
        self.tls_config.as_deref()
    }

    /// The TLS roles that this machine has with it.
    pub fn roles(&self) -> Roles<'_> {
        let none = Roles {
            handshake: HANDSHAKE_TIMEOUT,
            parts: Err(UNUSABLE),
        };
        self.get().map_or(none, TlsConfig::roles)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.tls_config = None;
        let Some(slot) = self.configs.slots.get(self.index) else {
            return;
        };
        let left = slot.users.get().saturating_sub(1);
        slot.users.set(left);
        if left == 0 && self.configs.current.get() != self.index {
            self.configs.wipe(self.index);
        }
    }
}

impl TlsConfigs {
    /// The configuration of the start, and slots for others if there is memory for them. `heap` says how full the heap is.
    ///
    /// # Errors
    /// When the memory does not suffice.
    pub fn new(
        config: &'static Config,
        heap: fn() -> HeapUse,
        arena: &mut Arena,
    ) -> Result<&'static Self, OutOfMemory> {
        let later = if arena.largest() < ENOUGH { 0 } else { SLOTS };
        let mut configs = arena.slice(later, |_| Config::new())?.iter_mut();
        let tools = match (later, arena.slice(later.min(1), |_| Scratch::new())?) {
            (1.., [scratch]) => Some(Tools {
                paste: Mutex::new(arena.buffer(PASTE_BUFFER)?),
                scratch: RefCell::new(scratch),
                buffers: Mutex::new([arena.buffer(FULL_INBOUND)?, arena.buffer(OUTBOUND)?]),
            }),
            _ => None,
        };
        let roots = usable(config, arena);
        let mut first = Some(config);
        let slots: &'static [ConfigSlot] = arena.slice(1 + later, |_| {
            let text = match first.take() {
                Some(config) => ConfigRef::First(config),
                // There are as many as slots.
                None => configs.next().map_or(ConfigRef::First(config), ConfigRef::Later),
            };
            ConfigSlot {
                users: Cell::new(0),
                tls_config: RefCell::new(TlsConfig::new(text, roots)),
            }
        })?;
        if let Some(slot) = slots.first() {
            slot.tls_config.borrow_mut().prepare();
        }
        let configs: &'static Self = arena.value(Self {
            slots,
            current: Cell::new(0),
            changes: Watch::new(),
            count: Cell::new(0),
            tools,
            heap,
        })?;
        if let Some(tls_config) = configs.in_use().get() {
            tls_config.roles().announce(tls_config);
        }
        if config.awaits_certificate() && !configs.can_change() {
            ::log::error!("tls: a certificate for the key made at boot cannot be loaded: {TOO_SMALL}");
        }
        Ok(configs)
    }

    /// Whether there is a key that was made at boot for the server, and no certificate yet; then that is what to do.
    pub fn awaits_certificate(&'static self) -> Option<&'static str> {
        let why = self.in_use().roles().server().err();
        why.filter(|why| *why == AWAITS_CERTIFICATE)
    }

    /// Whether the configuration can be replaced.
    pub fn can_change(&self) -> bool {
        self.tools.is_some()
    }

    /// Waits for changes from now on.
    pub fn changes(&'static self) -> Option<Changes> {
        self.changes.receiver()
    }

    /// Begins to use the current configuration.
    pub fn in_use(&'static self) -> InUse {
        let index = self.current.get();
        let slot = self.slots.get(index);
        if let Some(slot) = slot {
            slot.users.set(slot.users.get().saturating_add(1));
        }
        InUse {
            // Only slots that are not current are written to.
            tls_config: slot.and_then(|slot| slot.tls_config.try_borrow().ok()),
            configs: self,
            index,
        }
    }

    /// The buffer for the text of another configuration.
    ///
    /// # Errors
    /// When there is none, or another session has it.
    pub fn paste_buffer(&self) -> Result<PasteBuffer<'_>, &'static str> {
        let tools = self.tools.as_ref().ok_or(TOO_SMALL)?;
        PasteBuffer::take(&tools.paste).ok_or(BUSY)
    }

    /// The buffers to fetch a configuration with.
    pub fn buffers(&self) -> Option<MutexGuard<'_, NoopRawMutex, Buffers>> {
        self.tools.as_ref()?.buffers.try_lock().ok()
    }

    /// Replaces the configuration by what `text` sets, in whole or not at all. To `out` goes what was ignored, or why it was
    /// refused.
    ///
    /// # Errors
    /// When it was refused.
    pub fn replace(&'static self, text: &[u8], out: &mut dyn fmt::Write) -> Result<(), Refused> {
        let refuse = |why: fmt::Arguments<'_>, out: &mut dyn fmt::Write| {
            let _ = out.write_fmt(why);
            Refused
        };
        let Some(tools) = &self.tools else {
            return Err(refuse(format_args!("{TOO_SMALL}"), out));
        };
        let current = self.current.get();
        let replaceable = || {
            (0..)
                .zip(self.slots)
                .filter(|(index, _)| *index != 0 && *index != current)
        };
        let Some((index, slot)) = replaceable().find(|(_, slot)| slot.users.get() == 0) else {
            let users = replaceable().map(|(_, slot)| slot.users.get()).sum();
            let why = format_args!(
                "{} still use earlier configurations, of which there are {SLOTS} at most; close them or wait",
                Count::of(users, "connection")
            );
            return Err(refuse(why, out));
        };
        let HeapUse { used, size, .. } = (self.heap)();
        if size.saturating_sub(used) < RSA_HEAP {
            let why = format_args!(
                "the RSA keys of earlier configurations, which connections still use, leave no memory for others; close \
                 the connections or wait"
            );
            return Err(refuse(why, out));
        }
        let (Ok(mut tls_config), Ok(mut scratch)) = (slot.tls_config.try_borrow_mut(), tools.scratch.try_borrow_mut())
        else {
            return Err(refuse(format_args!("{BUSY}"), out));
        };
        if let Err(refused) = self.load(&mut tls_config, &mut scratch, text, out) {
            tls_config.wipe();
            return Err(refused);
        }
        let number = self.count.get().saturating_add(1);
        self.count.set(number);
        tls_config.number = number;
        self.current.set(index);
        if self.slots.get(current).is_some_and(|slot| slot.users.get() == 0) {
            self.wipe(current);
        }
        ::log::info!(target: SECURITY, "tls: configuration {number} is used for new connections");
        Ok(())
    }

    /// Wakes the tasks that wait for a change.
    pub fn announce(&self) {
        self.changes.sender().send(self.count.get());
    }

    /// Reads `text` into a free slot's configuration, and checks that it can replace the current one.
    fn load(
        &'static self,
        tls_config: &mut TlsConfig,
        scratch: &mut Scratch,
        text: &[u8],
        out: &mut dyn fmt::Write,
    ) -> Result<(), Refused> {
        let refuse = |why: &dyn fmt::Display, out: &mut dyn fmt::Write| {
            let _ = write!(out, "{why}");
            Refused
        };
        let running = self.in_use();
        let (ConfigRef::Later(config), Some(running)) = (&mut tls_config.config, running.get()) else {
            return Err(refuse(&BUSY, out));
        };
        let pasted = config::is_pem(text);
        if pasted {
            config.reset();
            config.take_tls(running.config());
            config.take_pem(text).map_err(|error| refuse(&error, out))?;
        } else {
            config.parse(text, scratch).map_err(|error| refuse(&error, out))?;
            let taken = config.take_boot_keys(running.config());
            taken.map_err(|error| refuse(&error, out))?;
            if config.places.get(Path::Tls).is_none() {
                let why = "there is no .tls in it, nor a PEM block at the beginning of a line";
                return Err(refuse(&why, out));
            }
            if config.tls.srv_cert.is_empty() {
                return Err(refuse(
                    &"there is no .tls.srv_cert in it, without which nothing can be served",
                    out,
                ));
            }
            let others = [
                Path::Vmm,
                Path::Ip,
                Path::Proxy,
                Path::Echo,
                Path::Selftest,
                Path::RootCerts,
            ];
            for other in others.into_iter().filter(|path| config.places.get(*path).is_some()) {
                let _ = writeln!(out, "{other} is ignored: it takes effect at a start only.");
            }
        }
        config.take_rest(running.config());
        let now =
            clock::unix_time().map_err(|_| refuse(&"the real-time clock is wrong: dates cannot be verified", out))?;
        let kept = config.keep_crls(running.config(), pasted, now);
        let checked = kept.and_then(|()| config.check(now, clock::BUILT));
        checked.map_err(|error| refuse(&error, out))?;
        config.warnings(&mut |warning| {
            ::log::warn!("tls: {warning}");
            let _ = writeln!(out, "Warning: {warning}.");
        });
        tls_config.prepare();
        let roles = tls_config.roles();
        // A certificate of the client, or a revocation list, may come before the server's certificate.
        let served = !running.config().tls.srv_cert.is_empty() || !tls_config.config().tls.srv_cert.is_empty();
        let server = match roles.server() {
            Ok(server) => Some(server),
            Err(why) if served => return Err(refuse(&why, out)),
            Err(_) => None,
        };
        // No outbound buffer has less where the configuration can change, and the self-test's buffer is for that much.
        let mutual = server.and_then(|server| server.mutual.ok());
        let mutual = mutual.map_or(0, |mutual| mutual.client.flight_len());
        let served = server.map_or(0, |server| server.config.flight_len());
        let client = roles.client().map_or(0, |client| outbound_len(&client.config));
        let needed = served.max(mutual).max(client);
        if needed > OUTBOUND {
            let why = format_args!(
                "certificate chains too long: need {needed} bytes, but the buffers allocated at boot hold {OUTBOUND}; \
                 reboot with this configuration as the boot module"
            );
            return Err(refuse(&why, out));
        }
        roles.announce(tls_config);
        Ok(())
    }

    /// Wipes the keys of a configuration that is no longer used.
    fn wipe(&self, index: usize) {
        let tls_config = self.slots.get(index).map(|slot| slot.tls_config.try_borrow_mut());
        if let Some(Ok(mut tls_config)) = tls_config {
            tls_config.wipe();
        }
    }

    /// Writes what is served and trusted. The configuration is in use for one section at a time, not for as long as the
    /// peer takes to read.
    ///
    /// # Errors
    /// Those of `out`.
    pub async fn report<W: ReportWriter>(&'static self, out: &mut W) -> Result<(), W::Error> {
        let of_current = |section: &dyn Fn(&TlsConfig, &mut dyn fmt::Write) -> fmt::Result,
                          out: &mut dyn fmt::Write| {
            let in_use = self.in_use();
            in_use.get().map_or(Ok(()), |tls_config| section(tls_config, out))
        };
        out.section(|out| of_current(&|tls_config, out| self.write_status(tls_config, out), out))
            .await?;
        out.section(|out| of_current(&report::server, out)).await?;
        out.section(|out| of_current(&report::client, out)).await?;
        for n in 0..config::MAX_CERTIFICATES {
            out.section(|out| of_current(&|tls_config, out| report::authority(tls_config, n, out), out))
                .await?;
        }
        out.section(|out| of_current(&report::roots, out)).await?;
        for n in 0..config::MAX_CRLS {
            out.section(|out| of_current(&|tls_config, out| report::list(tls_config, n, out), out))
                .await?;
        }
        Ok(())
    }

    /// Writes the certificate request for that role, in PEM (RFC 7468 §7).
    ///
    /// # Errors
    /// Those of `out`.
    pub async fn write_request<W: ReportWriter>(&'static self, role: Role, out: &mut W) -> Result<(), W::Error> {
        let mut buffer = [0; MAX_REQUEST];
        let made = {
            let in_use = self.in_use();
            let tls_config = in_use.get().ok_or(UNUSABLE);
            tls_config.and_then(|tls_config| tls_config.request(role, &mut buffer))
        };
        let (der, hash) = match made {
            Ok(made) => made,
            Err(why) => return out.section(|out| writeln!(out, "Failed: {why}.")).await,
        };
        out.section(|out| {
            writeln!(
                out,
                "Request for the {} key of this boot, {hash}.\n\
                 A restart makes another key. Have this signed, then load the certificate with `tls reload`.\n\
                 -----BEGIN CERTIFICATE REQUEST-----",
                boot_keys::name(role)
            )
        })
        .await?;
        for part in der.chunks(SECTION) {
            out.section(|out| write!(out, "{}", Encoded(part))).await?;
        }
        out.section(|out| out.write_str("-----END CERTIFICATE REQUEST-----\n"))
            .await
    }

    /// Which configuration is current since when, and the users of others.
    fn write_status(&self, tls_config: &TlsConfig, out: &mut dyn fmt::Write) -> fmt::Result {
        let seconds = tls_config.since.elapsed().as_secs();
        match tls_config.number {
            0 => writeln!(out, "configuration 0: of the start, {seconds} s ago")?,
            number => writeln!(out, "configuration {number}: by tls reload, {seconds} s ago")?,
        }
        let current = self.current.get();
        for (_, slot) in (0..).zip(self.slots).filter(|(index, _)| *index != current) {
            if let (users @ 1.., Ok(tls_config)) = (slot.users.get(), slot.tls_config.try_borrow()) {
                let (number, users) = (tls_config.number, Count::of(users, "connection"));
                writeln!(out, "configuration {number} is still used by {users}")?;
            }
        }
        report::rules(tls_config, out)
    }
}
