use super::*;

fn hex(bytes: &[u8]) -> String {
    crate::pki::text::Hex(bytes).to_string()
}

#[test]
fn fips_180_4_examples() {
    assert_eq!(
        hex(HashAlgorithm::Sha256.hash(b"abc").as_ref()),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(
        hex(HashAlgorithm::Sha384.hash(b"abc").as_ref()),
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"
    );
}

#[test]
fn a_clone_is_a_fork() {
    let mut hasher = Hasher::new(HashAlgorithm::Sha256);
    hasher.update(b"ab");
    let fork = hasher.clone();
    hasher.update(b"c");
    assert_eq!(hasher.finish().as_ref(), HashAlgorithm::Sha256.hash(b"abc").as_ref());
    assert_eq!(fork.finish().as_ref(), HashAlgorithm::Sha256.hash(b"ab").as_ref());
}
