//! The configuration of the start: the boot module's, or the baked one.

#[cfg(test)]
mod tests;

use super::time::now;
use crate::config::{self, Config, Path, Scratch};
use crate::machine::clock;
use crate::machine::memory::Arena;
use crate::pki::text::Count;
use crate::pki::verify::{root_fault, subject_of};

/// The configuration that was baked in when the image was built.
const BAKED: &str = include_str!(concat!(env!("OUT_DIR"), "/defconfig.baked"));

/// The throw-away certificates, as members of a defconfig; nothing where the baked configuration has its own.
const THROW_AWAY: &str = include_str!(concat!(env!("OUT_DIR"), "/throwaway.baked"));

/// The boot module's configuration, if there is a good one; else the baked one.
///
/// # Panics
/// When the memory does not suffice for any.
pub fn load(module: Option<&'static [u8]>, arena: &mut Arena) -> &'static mut Config {
    // Too large for the stack.
    let config = arena.slice(1, |_| Config::new()).map(<[_]>::first_mut);
    let scratch = arena.slice(1, |_| Scratch::new()).map(<[_]>::first_mut);
    let (Ok(Some(config)), Ok(Some(scratch))) = (config, scratch) else {
        panic!("not enough memory for the configuration (use a larger -m)");
    };
    if let Some(text) = module {
        match read(config, text, scratch) {
            Ok(()) => {
                ::log::info!("configured by the boot module ({})", Count::of(text.len(), "byte"));
                lend_throw_away(config, scratch);
                keep_roots(config, text, scratch, arena);
                review(config);
                return config;
            }
            Err(error) => {
                ::log::error!("boot module refused: {}", error.at("defconfig"));
                ::log::error!("using the baked configuration");
            }
        }
        config.reset();
    }
    if let Err(error) = read(config, BAKED.as_bytes(), scratch) {
        // A certificate that was valid at build time can have expired since.
        ::log::error!("baked configuration: {}", error.at("defconfig"));
    }
    keep_roots(config, BAKED.as_bytes(), scratch, arena);
    review(config);
    if !THROW_AWAY.is_empty() {
        ::log::info!("tls: these are throw-away certificates, made by the build: clients trust target/pki/RootCA.pem");
    }
    config
}

/// Gives a boot module without certificates the throw-away ones of the build, if there are any.
fn lend_throw_away(config: &mut Config, scratch: &mut Scratch) {
    // One that names roots has configured what it trusts.
    let trusts = config.places.get(Path::RootCerts).is_some();
    if !config.is_anonymous() || trusts || THROW_AWAY.is_empty() {
        return;
    }
    let (now, built) = (clock::unix_time().unwrap_or(clock::BUILT), clock::BUILT);
    match config.take_throw_away(THROW_AWAY.as_bytes(), scratch, now, built) {
        Ok(()) => ::log::warn!(
            "tls: the boot module has no certificates: using the throw-away ones of the build, whose CA may also issue \
             client certificates (target/pki/RootCA.pem)"
        ),
        Err(error) => ::log::error!("tls: throw-away certificates: {error}"),
    }
}

/// Reports what is unwise in a configuration, and lists of `.tls.root_certs` that cannot be used, which are known only now.
fn review(config: &Config) {
    if !config.tls.root_certs.is_empty()
        && let Err(error) = config.check_lists()
    {
        ::log::error!("tls: {}", error.at("defconfig"));
    }
    config.warnings(&mut |warning| ::log::warn!("tls: {}", warning.at("defconfig")));
}

fn read(config: &mut Config, text: &[u8], scratch: &mut Scratch) -> Result<(), config::Error> {
    config.parse(text, scratch)?;
    // A clock that is wrong is reported where TLS is used.
    config.check(clock::unix_time().unwrap_or(clock::BUILT), clock::BUILT)
}

/// Stores the bundle of `config`, which was read from `text`, in memory of its own.
fn keep_roots(config: &mut Config, text: &[u8], scratch: &mut Scratch, arena: &mut Arena) {
    let bundle = &mut config.tls.root_certs;
    if bundle.is_empty() {
        return;
    }
    let space = arena.buffer(bundle.der_len());
    let ders = arena.slice(bundle.len(), |_| &[][..]);
    let (Ok(mut space), Ok(ders)) = (space, ders) else {
        ::log::error!(
            ".tls.root_certs: {} certificates of {} KiB do not fit into the memory (use a larger -m)",
            bundle.len(),
            bundle.der_len() / 1024
        );
        return;
    };
    let mut places = ders.iter_mut();
    let result = bundle.read(text, scratch, &mut |der| {
        let parts = core::mem::take(&mut space).split_at_mut_checked(der.len());
        // There is as much room as was counted.
        let (Some(place), Some((mine, rest))) = (places.next(), parts) else {
            return;
        };
        mine.copy_from_slice(der);
        (*place, space) = (mine, rest);
    });
    match result {
        Ok(()) => bundle.keep(ders),
        // It was read from the same text before.
        Err(error) => ::log::error!("{}", error.at("defconfig")),
    }
}

/// The certificates of `.tls.root_certs` that can be used; the others are logged.
pub(super) fn usable(config: &Config, arena: &mut Arena) -> Result<&'static [&'static [u8]], &'static str> {
    // As many as are worth reading about.
    const MOST: usize = 8;
    let bundle = &config.tls.root_certs;
    if bundle.is_empty() {
        return Ok(&[]);
    }
    if bundle.ders().is_empty() {
        return Err("not enough memory for .tls.root_certs");
    }
    let mut skipped = 0;
    let mut usable = heapless::Vec::<&'static [u8], { config::MAX_ROOTS }>::new();
    for der in bundle.ders() {
        let Some(fault) = root_fault(der, now().now) else {
            let _ = usable.push(der); // there are no more of them than fit
            continue;
        };
        skipped += 1;
        if skipped <= MOST {
            ::log::warn!("tls: .tls.root_certs: {} is left out: {fault}", subject_of(der));
        }
    }
    if skipped > 0 {
        ::log::warn!("tls: .tls.root_certs: {skipped} of {} are left out", bundle.len());
    }
    if usable.is_empty() && config.tls.ca_cert.is_empty() {
        return Err("there is no CA to verify servers with: none of .tls.root_certs can be used");
    }
    ::log::info!("tls: trusts {} for servers", Count::of(usable.len(), "more CA"));
    let mut iter = usable.iter().copied();
    let list = arena.slice(usable.len(), |_| iter.next().unwrap_or_default());
    Ok(list.map_err(|_| "not enough memory for .tls.root_certs")?)
}
