use super::*;

const RATE: u64 = 1000;

fn sample(task: &'static str, cycles: u64) -> Sample {
    Sample { task, cycles }
}

#[test]
fn the_longest_poll_is_kept_with_its_task() {
    let mut polls = Polls::new();
    for (task, start, end) in [("a", 10, 12), ("b", 12, 112), ("c", 112, 150), ("d", 200, 190)] {
        polls.add(task, start, end, RATE);
    }
    assert_eq!(polls.longest, sample("b", 100));
    assert_eq!(polls.recent(200, RATE), sample("b", 100));
}

#[test]
fn a_recent_poll_is_forgotten_after_a_minute_or_two() {
    let mut polls = Polls::new();
    polls.add("boot", 0, 500, RATE);
    polls.add("a", 30_000, 30_040, RATE);
    polls.add("b", 59_990, 60_000, RATE);
    // The window before this one still counts.
    assert_eq!(polls.recent(60_000, RATE), sample("boot", 500));
    polls.add("c", 119_980, 120_000, RATE);
    assert_eq!(polls.recent(120_000, RATE), sample("c", 20));
    // Nothing runs for long: nothing is recent.
    assert_eq!(polls.recent(179_999, RATE), sample("c", 20));
    assert_eq!(polls.recent(180_000, RATE), sample("c", 20));
    assert_eq!(polls.recent(240_000, RATE), Sample::NONE);
    polls.add("d", 400_000, 400_001, RATE);
    assert_eq!(polls.recent(400_002, RATE), sample("d", 1));
    assert_eq!(polls.longest, sample("boot", 500));
}

#[test]
fn a_poll_of_a_task_is_timed() {
    let result = crate::testing::block_on(Timed::new("a test", async {
        embassy_futures::yield_now().await;
        7
    }));
    assert_eq!(result, 7);
    assert!(with(|polls| polls.longest.cycles) > 0);
}
