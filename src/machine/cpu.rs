//! The CPU's brand and features, by CPUID.

use core::arch::x86_64::{__cpuid, CpuidResult};
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

/// Instruction set extensions that matter to the ciphers, to entropy and to the clock, as CPUID shows them.
pub const EXTENSIONS: [Extension; 13] = [
    Extension::new("aes", 1, Register::Ecx, 25),
    Extension::new("pclmulqdq", 1, Register::Ecx, 1),
    Extension::new("avx", 1, Register::Ecx, 28),
    Extension::new("avx2", 7, Register::Ebx, 5),
    Extension::new("sha_ni", 7, Register::Ebx, 29),
    Extension::new("vaes", 7, Register::Ecx, 9),
    Extension::new("bmi2", 7, Register::Ebx, 8),
    Extension::new("adx", 7, Register::Ebx, 19),
    Extension::new("rdrand", 1, Register::Ecx, 30),
    Extension::new("rdseed", 7, Register::Ebx, 18),
    Extension::new("tsc_deadline", 1, Register::Ecx, 24),
    Extension::new("pdpe1gb", 0x8000_0001, Register::Edx, 26),
    Extension::new("nonstop_tsc", 0x8000_0007, Register::Edx, 8),
];

/// An extension: its usual name and where CPUID shows it.
#[derive(Debug, Clone, Copy)]
pub struct Extension {
    /// The name, as in Linux's /proc/cpuinfo.
    pub name: &'static str,
    leaf: u32,
    register: Register,
    bit: u32,
}

#[derive(Debug, Clone, Copy)]
enum Register {
    Ebx,
    Ecx,
    Edx,
}

impl Extension {
    const fn new(name: &'static str, leaf: u32, register: Register, bit: u32) -> Self {
        Self {
            name,
            leaf,
            register,
            bit,
        }
    }

    /// Asks the CPU whether it has it.
    fn detect(&self) -> bool {
        let Some(result) = leaf(self.leaf) else {
            return false;
        };
        let register = match self.register {
            Register::Ebx => result.ebx,
            Register::Ecx => result.ecx,
            Register::Edx => result.edx,
        };
        register >> self.bit & 1 == 1
    }
}

/// Those of [`EXTENSIONS`] that the CPU has, a bit for each, and [`DETECTED`]. CPUID is executed for them once: under a
/// hypervisor each one leaves the guest.
static PRESENT: AtomicU32 = AtomicU32::new(0);

/// Set in [`PRESENT`] once the CPU has been asked.
const DETECTED: u32 = 1 << 31;
const _: () = assert!(EXTENSIONS.len() < 31);

fn present() -> u32 {
    let known = PRESENT.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let bits = EXTENSIONS
        .iter()
        .rev()
        .fold(0, |bits, extension| bits << 1 | u32::from(extension.detect()));
    PRESENT.store(bits | DETECTED, Ordering::Relaxed);
    bits | DETECTED
}

/// The names of the extensions that the CPU has.
fn names() -> impl Iterator<Item = &'static str> {
    let present = present();
    let names = EXTENSIONS.iter().enumerate();
    names.filter_map(move |(bit, extension)| (present >> bit & 1 == 1).then_some(extension.name))
}

/// Whether the CPU has the extension of that name (one of [`EXTENSIONS`]).
pub fn has(name: &str) -> bool {
    names().any(|present| present == name)
}

/// A CPUID leaf (subleaf 0), if the CPU has it.
pub fn leaf(number: u32) -> Option<CpuidResult> {
    let highest = cpuid(number & 0xffff_0000).eax;
    (number <= highest && highest >> 16 == number >> 16).then(|| cpuid(number))
}

fn cpuid(leaf: u32) -> CpuidResult {
    #[cfg(test)]
    EXECUTED.with(|executed| executed.set(executed.get() + 1));
    __cpuid(leaf)
}

#[cfg(test)]
std::thread_local! {
    /// How often this thread has executed CPUID by way of this module.
    pub(super) static EXECUTED: core::cell::Cell<u32> = const { core::cell::Cell::new(0) };
}

/// The signature of the hypervisor, such as `KVMKVMKVM` or `TCGTCGTCGTCG`; `None` on bare hardware.
pub fn hypervisor() -> Option<Name<12>> {
    let under = leaf(1).is_some_and(|leaf| leaf.ecx >> 31 == 1);
    let id = under.then(|| leaf(0x4000_0000)).flatten()?;
    Some(Name::of(&[id.ebx, id.ecx, id.edx]))
}

/// The CPU's own name, such as `Intel(R) Xeon(R) …`.
pub fn brand() -> Name<48> {
    let mut words = [0; 12];
    for (number, words) in (0x8000_0002..=0x8000_0004).zip(words.chunks_exact_mut(4)) {
        if let Some(part) = leaf(number) {
            words.copy_from_slice(&[part.eax, part.ebx, part.ecx, part.edx]);
        }
    }
    Name::of(&words)
}

/// The names of the extensions that this CPU has, with blanks between them, when displayed.
#[derive(Debug, Clone, Copy)]
pub struct Features;

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in names().enumerate() {
            let blank = if index == 0 { "" } else { " " };
            write!(f, "{blank}{name}")?;
        }
        Ok(())
    }
}

/// A name of at most `N` bytes that CPUID gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<const N: usize>([u8; N]);

impl<const N: usize> Name<N> {
    fn of(words: &[u32]) -> Self {
        let mut name = [0; N];
        for (word, bytes) in words.iter().zip(name.chunks_exact_mut(4)) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(name)
    }

    /// The name, without blanks and zeros around it; empty where it is not ASCII.
    pub fn as_str(&self) -> &str {
        let name = core::str::from_utf8(&self.0).unwrap_or_default();
        name.trim_matches(|c: char| c == '\0' || c == ' ')
    }
}

impl<const N: usize> fmt::Display for Name<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
