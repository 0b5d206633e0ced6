//! Certificate verification: PEM, X.509, chains, names, dates, revocation.

pub mod allow;
pub mod anchor;
pub mod cert;
mod constraints;
pub mod crl;
pub mod der_list;
pub mod error;
pub mod limits;
mod name;
#[cfg(feature = "ocsp")]
mod ocsp;
pub mod own;
mod path;
pub mod pem;
mod pinned;
#[cfg(feature = "request")]
pub mod request;
mod revocation;
pub mod signed;
#[cfg(feature = "ocsp")]
pub mod staple;
#[cfg(not(feature = "ocsp"))]
#[path = "no_staple.rs"]
pub(crate) mod staple;
mod strict;
pub mod text;
mod usage;
mod validity;
pub mod verify;
pub mod work;
