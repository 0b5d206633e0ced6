//! Certificates in, verdicts out: PEM, X.509.

pub mod cert;
pub mod pem;
