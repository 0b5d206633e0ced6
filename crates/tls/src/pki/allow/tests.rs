use std::string::ToString;

use super::*;

#[test]
fn a_hash_is_shown_whole_or_in_part() {
    let hash = KeyHash(core::array::from_fn(|at| at as u8));
    let whole = hash.to_string();
    assert_eq!(whole.len(), KEY_HASH_TEXT);
    assert!(whole.starts_with("sha256:000102") && whole.ends_with("1e1f"), "{whole}");
    assert_eq!(std::format!("{hash:.16}"), "sha256:0001020304050607");
}
