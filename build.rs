//! What goes into the image beside its code: configuration, certificates, version.
//!
//! Nothing of this is done for the engine alone (`default-features = false`).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "image")]
    postern::bake::bake();
}

/// The rooms of the image that serve at build time as well: one parser, one reader of certificates.
#[cfg(feature = "image")]
#[allow(dead_code, unused_imports)] // what only the image needs
#[path = "src"]
mod postern {
    #[path = "config/bake.rs"]
    pub mod bake;
    pub mod config;
    #[path = "pki"]
    pub mod pki {
        pub mod cert;
        pub mod pem;
        pub mod throwaway;
    }
    #[path = "crypto"]
    pub mod crypto {
        pub mod key;
    }
}

#[cfg(feature = "image")]
use postern::{config, crypto, pki};
