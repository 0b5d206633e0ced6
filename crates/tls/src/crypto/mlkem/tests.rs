use zeroize::ZeroizeOnDrop;

use super::*;
use crate::support::Script;

#[test]
fn both_sides_share_a_secret_that_is_wiped_when_dropped() {
    fn wiped<T: ZeroizeOnDrop>(value: T) -> T {
        value
    }
    let mut rng = Script((0..=255).collect());
    let seed = wiped(seed(&mut rng));
    let (mut key, mut ciphertext) = (PublicValue::empty(), PublicValue::empty());
    put_encapsulation_key(&seed, &mut key);
    let shared = encapsulate(key.as_ref(), &mut rng, &mut ciphertext).unwrap();
    let same = wiped(decapsulate(&seed, ciphertext.as_ref()).unwrap());
    assert_eq!(wiped(shared).as_ref(), same.as_ref());
}
