//! The VM Generation ID, in which a resumed machine differs from its copies.

use crate::machine::acpi::Acpi;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// 16 bytes that the hypervisor replaces before the machine runs on from a snapshot; zeros where there is none.
pub(super) type Id = [u64; 2];

static ID: AtomicPtr<[AtomicU64; 2]> = AtomicPtr::new(core::ptr::null_mut());

/// Reads the ID from now on at ACPI's address.
pub(super) fn init(acpi: &Acpi) {
    let address = acpi.generation_id.unwrap_or(0);
    ID.store(
        core::ptr::with_exposed_provenance_mut(address as usize),
        Ordering::Relaxed,
    );
}

/// The ID as it is now.
pub(super) fn current() -> Id {
    // SAFETY: null, or mapped and aligned by `Acpi`'s word, and of firmware's memory, to which only the hypervisor writes.
    let id = unsafe { ID.load(Ordering::Relaxed).as_ref() };
    id.map_or([0; 2], |id| id.each_ref().map(|half| half.load(Ordering::Relaxed)))
}
