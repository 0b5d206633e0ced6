//! The engine alone: it builds without `std`, and links without a heap.

use std::path::Path;
use std::process::Command;

/// The repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn cargo(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(directory)
        // The settings of the present build do not apply to this one.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}\n{text}\n{errors}");
    text
}

#[test]
fn nothing_that_the_engine_stands_on_wants_std() {
    for (features, heap) in [("", false), ("rsa", true)] {
        let tree = cargo(
            Path::new(ROOT),
            &[
                "tree",
                "--offline",
                "--package=postern-tls",
                &format!("--features={features}"),
                "--edges=features,no-dev,no-build",
                "--prefix=none",
            ],
        );
        assert!(tree.lines().count() > 50, "{tree}");
        for line in tree.lines() {
            assert!(!line.contains("feature \"std\""), "{line}");
            assert!(heap || !line.contains("feature \"alloc\""), "{line}");
        }
    }
}

/// A server and a client, in a program without a heap.
const PROGRAM: &str = r#"
#![no_std]

use postern_tls::crypto::key::SigningKey;
use postern_tls::pki::verify::{Clock, ServerName, Trust};
use postern_tls::{ClientConfig, Connection, Error, Identity, Progress, ServerConfig, SessionCache, Tickets};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

pub fn serve(
    certificate: &[u8],
    key: &SigningKey,
    input: &[u8],
    buffers: [&mut [u8]; 2],
    rng: &mut dyn rand_core::CryptoRng,
) -> Result<Progress, Error> {
    const UNUSABLE: Error = Error::Internal("unusable");
    let chain = [certificate];
    let identities = [Identity::new(&chain, key).map_err(|_| UNUSABLE)?];
    let tickets = Tickets::new(rng, 0)?;
    let config = ServerConfig::new(&identities, Clock::default()).map_err(|_| UNUSABLE)?.with_tickets(&tickets);
    let [inbound, outbound] = buffers;
    let mut server = Connection::server(config, inbound, outbound).map_err(|_| UNUSABLE)?;
    server.space()[..input.len()].copy_from_slice(input);
    server.received(input.len());
    let progress = server.advance(rng)?;
    server.write(b"data")?;
    Ok(progress)
}

pub fn connect(
    anchor: &[u8],
    input: &[u8],
    buffers: [&mut [u8]; 2],
    rng: &mut dyn rand_core::CryptoRng,
) -> Result<Progress, Error> {
    let anchors = [anchor];
    let (trust, sessions) = (Trust::new(&anchors), SessionCache::new());
    let config = ClientConfig::new(&trust, ServerName::parse("localhost"), Clock::default()).with_sessions(&sessions);
    let [inbound, outbound] = buffers;
    let client = Connection::client(config, inbound, outbound, rng);
    let mut client = client.map_err(|_| Error::Internal("unusable"))?;
    client.space()[..input.len()].copy_from_slice(input);
    client.received(input.len());
    client.advance(rng)
}

type Rng<'a> = &'a mut dyn rand_core::CryptoRng;
#[used]
static SERVE: fn(&[u8], &SigningKey, &[u8], [&mut [u8]; 2], Rng<'_>) -> Result<Progress, Error> = serve;
#[used]
static CONNECT: fn(&[u8], &[u8], [&mut [u8]; 2], Rng<'_>) -> Result<Progress, Error> = connect;
"#;

#[test]
fn without_rsa_it_links_without_a_heap() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alone");
    std::fs::create_dir_all(directory.join("src")).unwrap();
    let manifest = format!(
        r#"
[package]
name = "alone"
edition = "2024"

[lib]
crate-type = ["staticlib"]

[dependencies]
postern-tls = {{ path = "{ROOT}/crates/tls" }}
rand_core = {{ version = "0.10", default-features = false }}

[profile.dev]
panic = "abort"
debug = false

[workspace]
"#
    );
    // Unchanged crates are not rebuilt.
    for (name, content) in [("Cargo.toml", &manifest[..]), ("src/lib.rs", PROGRAM)] {
        let path = directory.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|old| old == content) {
            continue;
        }
        std::fs::write(path, content).unwrap();
    }
    std::fs::copy(Path::new(ROOT).join("Cargo.lock"), directory.join("Cargo.lock")).unwrap();
    // A crate that wants a heap stops this with "no global memory allocator found".
    cargo(&directory, &["build", "--offline", "--quiet"]);
}
