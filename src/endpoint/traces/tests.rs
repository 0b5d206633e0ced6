use super::*;
use crate::tls::trace::Milestone;
use core::net::{IpAddr, Ipv4Addr};
use std::boxed::Box;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)), 40_000);

fn traces(count: usize) -> &'static Traces {
    let slots = (0..count).map(|_| Slot::new(Vec::leak(vec![0; 2000])));
    Box::leak(Box::new(Traces::new(slots.collect::<Vec<_>>().leak())))
}

#[test]
fn the_oldest_gives_way_and_is_not_written_to_any_more() {
    let traces = traces(2);
    assert!(traces.begin(PEER, None).is_none(), "off at first");
    traces.switch(true);
    let first = traces.begin(PEER, Some(443)).unwrap();
    let second = traces.begin(PEER, None).unwrap();
    first.event(&Event::Milestone(Milestone::Role { server: true }));
    assert_eq!(first.read(|events| events.count()), Some(1));
    let third = traces.begin(PEER, None).unwrap();
    assert_eq!(first.read(|events| events.count()), None);
    first.event(&Event::Milestone(Milestone::Done));
    assert!(first.hold().is_none());
    assert_eq!(third.read(|events| events.count()), Some(0));
    third.event(&Event::Milestone(Milestone::Done));
    assert_eq!(third.read(|events| events.count()), Some(1));
    assert_eq!([second.number(), third.number()], [2, 3]);
    let list = |from| traces.next(from).map(|narrator| narrator.number());
    assert_eq!([list(0), list(2), list(3), list(4)], [Some(2), Some(2), Some(3), None]);
    assert_eq!(third.to_string(), "   3  -> 10.0.2.2:40000, 0 s ago: done, 1 step");
    second.clear();
    assert_eq!([list(0), list(3)], [Some(3); 2]);
    assert!(second.read(|_| ()).is_none());
    traces.switch(false);
    assert!(traces.begin(PEER, None).is_none());
    assert!(third.read(|_| ()).is_some(), "what is there stays there");
}

#[test]
fn what_is_held_stays_as_it_is() {
    let traces = traces(2);
    traces.switch(true);
    let [first, second] = [(); 2].map(|()| traces.begin(PEER, None).unwrap());
    first.event(&Event::Milestone(Milestone::Done));
    let held = first.hold().unwrap();
    first.event(&Event::Milestone(Milestone::Done));
    // The oldest does not give way, and what it says does not change.
    assert_eq!(traces.begin(PEER, None).unwrap().number(), 3);
    assert_eq!(second.read(|_| ()), None);
    assert_eq!(first.read(|events| events.count()), Some(1));
    let other = traces.next(3).unwrap().hold().unwrap();
    assert!(traces.begin(PEER, None).is_none(), "all are held");
    drop(held);
    assert_eq!(traces.begin(PEER, None).unwrap().number(), 4);
    assert_eq!(first.read(|_| ()), None);
    drop(other);
    assert_eq!(traces.begin(PEER, None).unwrap().number(), 5);
}

#[test]
fn a_log_whose_peer_takes_nothing_is_given_to_a_new_connection() {
    let traces = traces(2);
    traces.switch(true);
    let held = [(); 2].map(|()| traces.begin(PEER, None).unwrap().hold().unwrap());
    let now = Instant::now();
    let (stalled, slow) = (now + STALLED, now + SLOW);
    held.iter().for_each(|held| held.0.slot.held.set(Some((now, now))));
    assert!(traces.begin_at(now, PEER, None).is_none());
    held[0].0.slot.held.set(Some((now, stalled)));
    assert_eq!(traces.begin_at(stalled, PEER, None).unwrap().number(), 3);
    assert!(held[0].progress() && !held[1].progress(), "the first is read");
    let third = traces.next(3).unwrap().hold().unwrap();
    drop(held);
    assert!(third.progress(), "it is not given back by the one before");
    // A connection that began a moment ago keeps its log while there is one that is not read.
    let fresh = traces.begin_at(now, PEER, None).unwrap();
    third.0.slot.held.set(Some((now, now)));
    assert_eq!(traces.begin_at(stalled, PEER, None).unwrap().number(), 5);
    assert!(fresh.read(|_| ()).is_some() && !third.progress());
    let third = traces.next(5).unwrap().hold().unwrap();
    // One that is read too slowly gives way as well.
    let fourth = traces.begin_at(now, PEER, None).unwrap().hold().unwrap();
    third.0.slot.held.set(Some((now, slow)));
    fourth.0.slot.held.set(Some((slow, slow)));
    assert_eq!(traces.begin_at(slow, PEER, None).unwrap().number(), 7);
    assert!(fourth.progress() && !third.progress());
}

#[test]
fn without_memory_there_is_nothing_to_begin() {
    let traces = traces(0);
    traces.switch(true);
    assert!(traces.begin(PEER, None).is_none() && traces.next(0).is_none());
}
