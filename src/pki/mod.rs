//! Certificates in, verdicts out: PEM, X.509, chains, names, dates, purposes, revocation.

pub mod allow;
pub mod cert;
pub mod crl;
pub mod error;
mod name;
mod ocsp;
pub mod pem;
mod pinned;
mod revocation;
mod signed;
pub mod staple;
mod strict;
pub mod text;
mod usage;
pub mod verify;
