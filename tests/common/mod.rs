//! Shared by the tests of the whole machine: machines in QEMU, and peers for them.
//!
//! Nothing here waits for a fixed time: every wait is for an event, with the time limit [`LIMIT`].
#![allow(dead_code, reason = "each test program uses a part of this")]

pub mod dhcp;
pub mod dns;
pub mod machine;
pub mod pki;
pub mod process;
pub mod tap;
pub mod telnet;
pub mod tls;
pub mod wire;
pub mod wizard;

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The time limit of a wait for an event, far above the usual time on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(120);

/// The image under test: `POSTERN_IMAGE`, otherwise the one that cargo built for the tests.
pub fn image() -> PathBuf {
    std::env::var_os("POSTERN_IMAGE").map_or_else(|| env!("CARGO_BIN_EXE_postern").into(), PathBuf::from)
}

/// The CA of the throw-away PKI built into the image.
pub fn baked_ca() -> PathBuf {
    Path::new(env!("POSTERN_PKI")).join("RootCA.pem")
}

/// Retries until there is a result.
pub fn poll<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The resources that a peer can occupy, by `status`: slots, workers, memory and heap. Equal before and after an attack.
pub fn resources(status: &str) -> Vec<&str> {
    let kept = ["  slots: ", "connections: ", "memory: ", "rsa heap: "];
    let lines = status
        .lines()
        .filter(|line| kept.iter().any(|start| line.starts_with(start)));
    // The peak of the heap does not fall.
    let lines: Vec<_> = lines.map(|line| line.split(" in use, ").next().unwrap()).collect();
    assert!(lines.len() >= kept.len(), "{status}");
    lines
}

/// The next connection to a listener, with the timeout [`LIMIT`].
pub fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let stream = poll("a connection", || match listener.accept() {
        Ok((stream, _)) => Some(stream),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Pseudorandom bytes, reproducible by seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    use rand_core::{Rng as _, SeedableRng as _};
    let mut bytes = vec![0; len];
    chacha20::ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// A directory that is removed on drop.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Short: the path of a Unix socket has at most 107 bytes.
        let path = std::env::temp_dir().join(format!("postern-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A file in it.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
