//! Quartiles.

use super::quartiles;

#[test]
fn quartiles_lie_between_neighbours() {
    assert_eq!(quartiles(vec![3.0, 1.0, 2.0]), [1.5, 2.0, 2.5]);
    assert_eq!(quartiles(vec![4.0, 2.0, 1.0, 3.0, 5.0]), [2.0, 3.0, 4.0]);
    assert_eq!(quartiles(vec![7.0]), [7.0; 3]);
}
