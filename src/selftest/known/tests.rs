use super::*;

#[test]
fn the_answers_are_right() {
    check().unwrap();
}

#[test]
fn wrong_answers_are_named() {
    for answer in AEADS {
        let Answer { name, mut tag, .. } = answer;
        tag[3] ^= 0x10;
        let result = Answer { tag, ..answer }.check();
        assert!(
            matches!(result, Err(Failure::Known(wrong)) if wrong == name),
            "{result:?}"
        );
    }
}
