//! Plans for small and large memories.

use super::*;

/// A worker's task, about as large as the image's.
const TASK: usize = 20 * 1024;

/// The other things in memory, about as large as the image's.
const FIXED: usize = 150 * 1024;

fn plan(free: usize, wanted: Option<u16>) -> Plan {
    Plan::of(free, FIXED, wanted, 1, OUTBOUND, TASK)
}

/// What the plan hands out for connections and sockets.
fn taken(plan: &Plan) -> usize {
    let worker = WORKER_INBOUND + OUTBOUND + TASK + size_of::<WorkerSlot<TcpStream>>();
    plan.connections * worker + plan.network.iter().sum::<usize>()
}

#[test]
fn no_plan_hands_out_more_than_there_is() {
    for free in (1..200).map(|mib| mib << 20) {
        for wanted in [None, Some(0), Some(1), Some(50), Some(u16::MAX)] {
            for cards in [0, 1, 2] {
                let plan = Plan::of(free, FIXED, wanted, cards, OUTBOUND, TASK);
                assert!(taken(&plan) <= free, "{free} {wanted:?} {cards}");
            }
        }
    }
}

#[test]
fn each_connection_and_some_peers_besides_find_a_slot() {
    for free in (2..200).map(|mib| mib << 20) {
        let plan = plan(free, None);
        assert!(plan.net(0).slots() >= plan.connections + LEAST_SPARE, "{free}");
    }
}

#[test]
fn the_wanted_number_is_served_where_the_memory_suffices() {
    assert_eq!(plan(200 << 20, Some(1024)).connections, 1024);
    assert_eq!(plan(200 << 20, Some(3)).connections, 3);
    assert!(plan(2 << 20, Some(1024)).connections < 100);
    // One connection is served however small the memory is.
    assert_eq!(plan(0, None).connections, 1);
    // More memory never means fewer connections.
    let counts: Vec<_> = (0..300).map(|mib| plan(mib << 20, None).connections).collect();
    assert!(counts.is_sorted(), "{counts:?}");
}

#[test]
fn a_small_memory_narrates_one_connection_for_each_purpose() {
    assert_eq!((plan(3 << 20, None).logs, plan(5 << 20, None).logs), (1, LOGS));
}
