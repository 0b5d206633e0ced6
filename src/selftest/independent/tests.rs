use super::*;

#[test]
fn a_connection_without_certificate_or_signature_is_no_success() {
    let mut verifier = Verifier::new(DerList::from(&[]), None, Clock::default());
    assert!(matches!(verifier.verdict(Ok(())), Err(Failure::Missing("Certificate"))));
    verifier.transcript = Some(heapless::Vec::new());
    assert!(matches!(
        verifier.verdict(Ok(())),
        Err(Failure::Missing("CertificateVerify"))
    ));
    verifier.signed = true;
    assert!(verifier.verdict(Ok(())).is_ok());
    assert!(matches!(
        verifier.verdict(Err(TlsError::InvalidRecord)),
        Err(Failure::Independent(TlsError::InvalidRecord))
    ));
}
