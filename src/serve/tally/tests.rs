use super::*;
use std::string::ToString;
use std::vec::Vec;

#[test]
fn causes_are_counted_by_name_in_bounded_memory() {
    let tally = Tally::new();
    let names: Vec<&'static str> = (0..CAUSES + 5).map(|n| &*std::format!("cause {n}").leak()).collect();
    names.iter().chain(&names).for_each(|name| tally.fault(name));
    assert_eq!(
        (
            tally.faults("cause 0"),
            tally.faults("cause 47"),
            tally.faults("cause 48")
        ),
        (2, 2, 0)
    );
    let text = tally.to_string();
    assert!(text.contains("failed: other                            10\n"), "{text}");
    assert!(text.contains("failed: cause 7                          2\n"), "{text}");
}
