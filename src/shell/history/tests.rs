use super::*;
use std::format;

#[test]
fn lines_come_back_newest_first() {
    let mut history = History::new();
    assert_eq!(history.back(0), None);
    for line in ["one", "", "  ", "two", "two", "three"] {
        history.push(line);
    }
    assert_eq!(
        [0, 1, 2, 3].map(|n| history.back(n)),
        [Some("three"), Some("two"), Some("one"), None]
    );
}

#[test]
fn the_oldest_make_room() {
    let mut history = History::new();
    for n in 0..1000 {
        history.push(&format!("command number {n}"));
    }
    assert_eq!(history.back(0), Some("command number 999"));
    let kept = (0..).take_while(|n| history.back(*n).is_some()).count();
    assert!((40..60).contains(&kept), "{kept}");
    assert_eq!(
        history.back(kept - 1),
        Some(format!("command number {}", 1000 - kept).as_str())
    );
    history.push(&"x".repeat(CAPACITY));
    assert_eq!(history.back(0), Some("command number 999"));
}
