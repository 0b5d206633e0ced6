use super::*;

#[test]
fn names_are_trimmed() {
    let word = |text: &[u8; 4]| u32::from_le_bytes(*text);
    let name = Name::<12>::of(&[word(b"  KV"), word(b"MKVM"), word(b"\0\0\0\0")]);
    assert_eq!(name.as_str(), "KVMKVM");
}

#[test]
fn what_the_standard_library_detects_is_seen() {
    assert_eq!(has("aes"), std::is_x86_feature_detected!("aes"));
    assert_eq!(has("rdrand"), std::is_x86_feature_detected!("rdrand"));
    assert_eq!(has("bmi2"), std::is_x86_feature_detected!("bmi2"));
    assert!(!has("nonsense"));
    assert!(leaf(0x3fff_ffff).is_none());
}
