//! stub
use super::text::Text;
/// stub
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    anchors: &'a [&'a [u8]],
}
impl<'a> Trust<'a> {
    /// stub
    pub const fn new(anchors: &'a [&'a [u8]]) -> Self {
        Self { anchors }
    }
    /// stub
    pub fn verify(&self, chain: &[&[u8]], _purpose: Purpose<'_>, _clock: Clock) -> Result<(), CertificateError> {
        if chain.is_empty() || self.anchors.is_empty() {
            return Err(CertificateError::EmptyChain);
        }
        Ok(())
    }
}
/// stub
#[derive(Debug, Clone, Copy)]
pub enum Purpose<'a> {
    /// stub
    Server(Option<ServerName<'a>>),
    /// stub
    Client,
}
/// stub
#[derive(Debug, Clone, Copy)]
pub enum ServerName<'a> {
    /// stub
    Dns(&'a str),
    /// stub
    Ip(core::net::IpAddr),
}
/// stub
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    /// stub
    pub now: u64,
    /// stub
    pub floor: u64,
}
/// stub
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// stub
    EmptyChain,
}
impl core::fmt::Display for CertificateError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("stub")
    }
}
/// stub
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerIdentity {
    /// stub
    pub fingerprint: [u8; 32],
    /// stub
    pub not_after: u64,
    /// stub
    pub subject: Text<96>,
}
impl PeerIdentity {
    /// stub
    pub fn from_leaf(der: &[u8]) -> Result<Self, CertificateError> {
        let _ = der;
        Ok(Self {
            fingerprint: [0; 32],
            not_after: u64::MAX,
            subject: Text::new("stub"),
        })
    }
}
/// stub
pub fn leaf_public_key(der: &[u8]) -> Result<&[u8], CertificateError> {
    Ok(super::cert::Certificate::from_der(der)
        .map_err(|_| CertificateError::EmptyChain)?
        .public_key
        .der)
}
/// stub
pub fn matches_name(_leaf: &[u8], _host: &str) -> bool {
    true
}
