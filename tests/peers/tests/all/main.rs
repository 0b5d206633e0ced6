//! All tests against other implementations, in one program: it is linked once.

mod established;
mod handshakes;
mod hello_alerts;
mod mangling;
mod matrix;
mod record_alerts;
mod retry_alerts;
mod rustls_client;
mod stream;
mod tools;
