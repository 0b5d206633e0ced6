use super::*;

#[test]
fn what_has_a_name_shows_it_with_its_number() {
    assert_eq!(
        ExtensionType::SIGNATURE_ALGORITHMS.to_string(),
        "signature_algorithms (13)"
    );
    assert_eq!(HandshakeType(20).to_string(), "finished (20)");
    assert_eq!(ContentType(99).to_string(), "99");
    assert_eq!(ProtocolVersion::TLS13.to_string(), "TLS 1.3");
    assert_eq!(ProtocolVersion(0x0305).to_string(), "version 0x0305");
}

#[test]
fn what_is_only_named_is_not_handled() {
    assert!(ContentType::ALERT.is_handled());
    assert!(!ContentType::HEARTBEAT.is_handled());
    assert!(!ExtensionType::ENCRYPT_THEN_MAC.is_handled());
    assert!(!ProtocolVersion::TLS11.is_handled());
}

#[test]
fn the_sixteen_numbers_of_grease_are_known() {
    let grease = (0..=u16::MAX).filter(|&number| is_grease(number));
    assert!(grease.eq((0..16).map(|index| 0x0a0a + 0x1010 * index)));
}
