//! Machine checks: hardware errors (Intel SDM volume 3, chapter 16).
//!
//! Unless they are switched on, one resets the CPU silently.

use super::cpu;
use core::fmt;
use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::model_specific::Msr;

/// The most banks of error registers that are used: as many as have an MSR (0x400 to 0x47f).
const MAX_BANKS: u32 = 32;

const IA32_MCG_CAP: u32 = 0x179;
const IA32_MCG_STATUS: u32 = 0x17a;
const IA32_MCG_CTL: u32 = 0x17b;
/// Of bank 0; each further bank has its four MSRs behind.
const IA32_MC0_CTL: u32 = 0x400;
const IA32_MC0_STATUS: u32 = 0x401;
const IA32_MC0_ADDR: u32 = 0x402;

/// MCG_CAP: there is IA32_MCG_CTL.
const MCG_CTL_P: u64 = 1 << 8;
/// MCi_STATUS: it holds an error.
const STATUS_VALID: u64 = 1 << 63;
/// MCi_STATUS: there is an address.
const STATUS_ADDRESS_VALID: u64 = 1 << 58;

/// The CPU's report of a machine check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MachineCheck {
    /// IA32_MCG_STATUS.
    global: u64,
    /// The first bank with an error: its number, IA32_MCi_STATUS, and the address concerned.
    bank: Option<(u32, u64, Option<u64>)>,
}

impl fmt::Display for MachineCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "global status {:#x}", self.global)?;
        let Some((bank, status, address)) = self.bank else {
            return Ok(());
        };
        write!(f, ", bank {bank}: status {status:#x}")?;
        match address {
            Some(address) => write!(f, ", address {address:#x}"),
            None => Ok(()),
        }
    }
}

/// Switches machine checks on, where the CPU has them. The interrupt table has to be loaded.
pub(super) fn init() {
    let Some(leaf) = cpu::leaf(1).filter(|leaf| leaf.edx & CPUID_MCE != 0) else {
        return;
    };
    if has_banks() {
        let capabilities = read(IA32_MCG_CAP);
        if capabilities & MCG_CTL_P != 0 {
            enable(IA32_MCG_CTL);
        }
        // Bank 0 is the firmware's on some older models (16.8).
        let (family, model) = (leaf.eax >> 8 & 0xf, leaf.eax >> 4 & 0xf | leaf.eax >> 12 & 0xf0);
        let first = u32::from(family == 6 && model < 0x1a);
        for bank in first..banks(capabilities) {
            enable(IA32_MC0_CTL + 4 * bank);
            // SAFETY: the CPU has the bank; zero clears an error of before.
            unsafe { Msr::new(IA32_MC0_STATUS + 4 * bank).write(0) };
        }
    }
    // SAFETY: the CPU has the bit. A machine check goes to its vector, which ends in a panic.
    unsafe { Cr4::update(|cr4| cr4.insert(Cr4Flags::MACHINE_CHECK_EXCEPTION)) };
}

/// The CPU's report of the machine check that has just occurred.
pub(super) fn find() -> Option<MachineCheck> {
    has_banks().then(|| find_by(read))
}

fn find_by(read: impl Fn(u32) -> u64) -> MachineCheck {
    let mut errors = (0..banks(read(IA32_MCG_CAP))).filter_map(|bank| {
        let status = read(IA32_MC0_STATUS + 4 * bank);
        let address = (status & STATUS_ADDRESS_VALID != 0).then(|| read(IA32_MC0_ADDR + 4 * bank));
        (status & STATUS_VALID != 0).then_some((bank, status, address))
    });
    MachineCheck {
        global: read(IA32_MCG_STATUS),
        bank: errors.next(),
    }
}

const CPUID_MCE: u32 = 1 << 7;
const CPUID_MCA: u32 = 1 << 14;

fn has_banks() -> bool {
    cpu::leaf(1).is_some_and(|leaf| leaf.edx & CPUID_MCA != 0)
}

/// The number of banks in MCG_CAP.
fn banks(capabilities: u64) -> u32 {
    (capabilities as u32 & 0xff).min(MAX_BANKS)
}

/// Has all errors of a control register reported.
fn enable(control: u32) {
    // SAFETY: one of the control registers above, which the CPU has: all ones is a value that each takes.
    unsafe { Msr::new(control).write(u64::MAX) };
}

fn read(msr: u32) -> u64 {
    // SAFETY: one of the MSRs above, which the CPU has; reading them changes nothing.
    unsafe { Msr::new(msr).read() }
}

#[cfg(test)]
mod tests;
