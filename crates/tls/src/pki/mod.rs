//! Certificates in, verdicts out: PEM, X.509, chains, names, dates, purposes, revocation.

pub mod allow;
pub mod anchor;
pub mod cert;
mod constraints;
pub mod crl;
pub mod error;
pub mod limits;
mod name;
mod ocsp;
pub mod own;
mod path;
pub mod pem;
mod pinned;
mod revocation;
pub mod signed;
pub mod staple;
mod strict;
pub mod text;
mod usage;
mod validity;
pub mod verify;
pub mod work;
