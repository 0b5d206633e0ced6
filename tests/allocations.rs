//! What the heap is used for: by RSA and by nothing else. Counts every byte of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;
#[cfg(feature = "rsa")]
use std::process::Command;

use postern::crypto::key::SigningKey;
#[cfg(feature = "rsa")]
use postern::crypto::sign::SignatureScheme;
use postern::crypto::verify::verify;
use postern::pki::verify::{Clock, Mode, PeerIdentity, Purpose, ServerName, Trust};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};

/// Critical sections, where the image's features need them.
#[cfg(feature = "image")]
#[allow(dead_code)]
#[path = "../src/testing.rs"]
mod testing;

/// What one thread has on the heap.
#[derive(Clone, Copy, Default, Debug)]
struct Heap {
    /// Bytes now.
    now: isize,
    /// The most bytes at once.
    peak: isize,
    /// How often something was allocated.
    calls: usize,
}

thread_local! {
    static HEAP: Cell<Heap> = const { Cell::new(Heap { now: 0, peak: 0, calls: 0 }) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = HEAP.try_with(|heap| {
            let Heap { now, peak, calls } = heap.get();
            let now = now + layout.size() as isize;
            heap.set(Heap {
                now,
                peak: peak.max(now),
                calls: calls + 1,
            });
        });
        // SAFETY: the caller's promise is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = HEAP.try_with(|heap| {
            let mut count = heap.get();
            count.now -= layout.size() as isize;
            heap.set(count);
        });
        // SAFETY: the caller's promise is ours.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` does to the heap: what it leaves there, the most it has there, how often it asks.
fn measure<T>(work: impl FnOnce() -> T) -> (T, Heap) {
    HEAP.set(Heap::default());
    let result = work();
    (result, HEAP.get())
}

/// A generator that counts.
struct Rng(u64);

impl rand_core::TryRng for Rng {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|number| number as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Ok(self.0 ^ self.0 >> 29)
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            *byte = self.try_next_u64()? as u8;
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Rng {}

const MESSAGE: &[u8] = b"a handshake";
const CLOCK: Clock = Clock {
    now: 1_767_225_600,
    floor: 0,
};

#[test]
fn keys_signatures_and_chains_need_no_heap() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let pair = || KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params.clone(), pair()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "One");
        let one = CertifiedIssuer::signed_by(params, pair(), &root).unwrap();
        let leaf_key = pair();
        let (secret, spki) = (leaf_key.serialize_der(), leaf_key.subject_public_key_info());
        let leaf = CertificateParams::new(["localhost".to_string()]).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &one).unwrap();
        let (anchors, chain): ([&[u8]; 1], [&[u8]; 2]) = ([root.der()], [leaf.der(), one.der()]);

        let (verdicts, heap) = measure(|| {
            let key = SigningKey::from_der("PRIVATE KEY", &secret).unwrap();
            assert!(key.public_key_matches(&spki));
            let scheme = key.schemes()[0];
            let signature = key.sign(scheme, MESSAGE, &mut Rng(1)).unwrap();
            let name = ServerName::parse("localhost");
            let trust = Trust::new(&anchors);
            let wrong_name = Purpose::Server(ServerName::parse("a.example"));
            (
                verify(scheme, true, &spki, MESSAGE, &signature).is_ok(),
                verify(scheme, true, &spki, b"another", &signature).is_ok(),
                trust.verify(&chain, Purpose::Server(name), CLOCK).is_ok(),
                trust
                    .with_mode(Mode::Pinned)
                    .verify(&chain[..1], wrong_name, CLOCK)
                    .is_ok(),
                PeerIdentity::from_leaf(chain[0]).is_ok(),
            )
        });
        assert_eq!(verdicts, (true, false, true, false, true));
        assert_eq!(heap.calls, 0, "{algorithm:?}: {heap:?}");
    }
}

/// The most that one signature may take from the arena, and one verification, and that a key keeps, in bytes.
#[cfg(feature = "rsa")]
const RSA_BUDGETS: [(usize, isize, isize, isize); 2] =
    [(2048, 8 << 10, 8 << 10, 4 << 10), (4096, 16 << 10, 16 << 10, 8 << 10)];

#[cfg(feature = "rsa")]
#[test]
fn rsa_keeps_within_its_arena() {
    for (bits, signing, verifying, resident) in RSA_BUDGETS {
        let name = format!("postern-allocations-{}-{bits}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let openssl = |arguments: &str| {
            let output = Command::new("openssl")
                .args(arguments.split(' '))
                .arg(&path)
                .output()
                .unwrap();
            assert!(output.status.success(), "openssl {arguments}");
            output.stdout
        };
        openssl(&format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{bits} -out"));
        let secret = openssl("pkcs8 -topk8 -nocrypt -outform DER -in");
        let spki = openssl("pkey -pubout -outform DER -in");
        std::fs::remove_file(&path).unwrap();

        let (key, heap) = measure(|| SigningKey::from_der("PRIVATE KEY", &secret).unwrap());
        println!(
            "RSA-{bits}: a key keeps {} bytes, and takes {} to read",
            heap.now, heap.peak
        );
        assert!(heap.now <= resident, "{heap:?}");
        for scheme in SignatureScheme::ALL
            .into_iter()
            .filter(|scheme| key.schemes().contains(scheme))
        {
            let (signature, heap) = measure(|| key.sign(scheme, MESSAGE, &mut Rng(1)).unwrap());
            println!(
                "RSA-{bits} {scheme}: signing takes {} bytes in {} allocations",
                heap.peak, heap.calls
            );
            assert!(heap.now == 0 && heap.peak <= signing, "{scheme}: {heap:?}");
            let (verdict, heap) = measure(|| verify(scheme, false, &spki, MESSAGE, &signature));
            println!(
                "RSA-{bits} {scheme}: verifying takes {} bytes in {} allocations",
                heap.peak, heap.calls
            );
            assert!(
                verdict.is_ok() && heap.now == 0 && heap.peak <= verifying,
                "{scheme}: {heap:?}"
            );
        }
    }
}
