//! Reaching a host: straight, or through an HTTP proxy.

pub mod proxy;
