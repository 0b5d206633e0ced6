//! Links the image, and bakes in what it needs beside its code.
//!
//! Nothing of this is done for the engine alone (`default-features = false`).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "image")]
    {
        link_image();
        postern::bake::bake();
    }
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
        pub mod allow;
        pub mod anchor;
        pub mod cert;
        pub mod crl;
        pub mod error;
        pub mod limits;
        pub mod own;
        pub mod pem;
        pub mod signed;
        pub mod text;
        pub mod throwaway;
        pub mod usage;
        pub mod work;
    }
    #[path = "crypto"]
    pub mod crypto {
        pub mod hash;
        pub mod key;
        pub mod rsa;
        pub mod sign;
        pub mod verify;

        /// As in the room itself.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct CryptoError;
    }
}

#[cfg(feature = "image")]
use postern::{config, crypto, pki};

/// Makes the binary `postern` a freestanding image: no start files, no libraries, our linker script. Nothing else of
/// the package is touched, so that tests, benches and documentation build as ever.
#[cfg(feature = "image")]
fn link_image() {
    let script = format!(
        "{}/src/boot/link.ld",
        std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")
    );
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rerun-if-changed=src/boot/entry.s");
    println!("cargo::rerun-if-changed=src/boot/memory.s");
    let mut arguments = vec![
        "-nostartfiles".to_owned(),
        "-nostdlib".to_owned(),
        "-static".to_owned(),
        "-no-pie".to_owned(),
        "-Wl,--build-id=none".to_owned(),
        "-Wl,--no-eh-frame-hdr".to_owned(),
        "-Wl,-z,max-page-size=4096".to_owned(),
        "-Wl,-z,noexecstack".to_owned(),
        format!("-Wl,-T,{script}"),
    ];
    // Symbols are for the debugger, and would be half of the file.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        arguments.push("-Wl,--strip-all".to_owned());
    }
    for argument in arguments {
        println!("cargo::rustc-link-arg-bin=postern={argument}");
    }
}
