//! All tests against other implementations, in one program: it is linked once.

mod alone;
mod authentication;
mod client_alerts;
mod established;
mod handshakes;
mod hello_alerts;
mod mangling;
mod matrix;
mod mechanical;
mod order;
mod programs;
mod record_alerts;
mod retry_alerts;
mod rustls_client;
mod staples;
mod stream;
mod tickets;
mod tls12_alerts;
mod tools;
