//! The HTTP proxy of a configuration, and the login there.

use core::fmt;
use core::net::IpAddr;

use heapless::{String, Vec};
use zeroize::Zeroize;

use super::MAX_NAME;

/// The most bytes of a user's name at the proxy.
pub const MAX_USER: usize = 64;
/// The most bytes of a password at the proxy.
pub const MAX_PASSWORD: usize = 128;

/// `.proxy`.
#[derive(Debug, Default)]
pub struct Proxy {
    /// `.ipaddr`: its address.
    pub ipaddr: Option<IpAddr>,
    /// `.host`: or its name.
    pub host: String<MAX_NAME>,
    /// `.port`: its port; 0: none.
    pub port: u16,
    /// `.user`: the user's name there (RFC 7617); empty: no login.
    pub user: Secret<MAX_USER>,
    /// `.password`: the user's password.
    pub password: Secret<MAX_PASSWORD>,
}

impl Proxy {
    pub(super) const fn new() -> Self {
        Self {
            ipaddr: None,
            host: String::new(),
            port: 0,
            user: Secret(Vec::new()),
            password: Secret(Vec::new()),
        }
    }

    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        self.ipaddr.is_some() || !self.host.is_empty() || self.port != 0 || !self.user.0.is_empty()
    }
}

/// A text that is never shown. Wiped from memory on drop.
#[derive(Default)]
pub struct Secret<const N: usize>(pub(super) Vec<u8, N>);

impl<const N: usize> Secret<N> {
    /// The text: UTF-8 without control characters.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
