use super::*;

#[test]
fn a_hash_that_does_not_run_is_an_error() {
    let transcript = Transcript::with(HashAlgorithm::Sha256);
    assert_eq!(transcript.hash(HashAlgorithm::Sha256).unwrap().as_ref().len(), 32);
    assert!(matches!(
        transcript.hash(HashAlgorithm::Sha384),
        Err(Error::Internal(_))
    ));
    let mut transcript = transcript;
    assert!(matches!(
        transcript.replace_by_message_hash(HashAlgorithm::Sha384),
        Err(Error::Internal(_))
    ));
}

#[test]
fn what_is_signed_is_whole_or_an_error() {
    let hash = HashAlgorithm::Sha384.hash(b"");
    assert_eq!(signed_content(SERVER_CONTEXT, &hash).unwrap().len(), MAX_SIGNED);
    let longer = format!("{SERVER_CONTEXT}!");
    assert!(matches!(signed_content(&longer, &hash), Err(Error::Internal(_))));
}
