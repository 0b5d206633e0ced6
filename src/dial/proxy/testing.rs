//! A proxy for the tests of its users.

use super::*;
use crate::config::{Config, Scratch};
use std::boxed::Box;

/// The proxy that such keys make, if they make one.
pub(crate) fn configured(keys: &str) -> Option<Proxy> {
    let (mut config, mut scratch) = (Box::new(Config::new()), Box::new(Scratch::new()));
    let text = std::format!(".proxy = {{ {keys} }}");
    config.parse(text.as_bytes(), &mut scratch).unwrap();
    config.check(1, 0).unwrap();
    Proxy::from_config(&config.proxy, || 0)
}

/// The proxy at 10.0.2.2, port 3128.
pub(crate) fn proxy() -> &'static Proxy {
    Box::leak(Box::new(configured(".ipaddr = { 10, 0, 2, 2 }, .port = 3128").unwrap()))
}
