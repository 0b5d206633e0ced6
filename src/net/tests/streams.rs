//! Streams and listeners between two well-behaved stacks.

use std::future::poll_fn;

use embassy_futures::join::join;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embedded_io_async::{Read, Write};

use super::*;

/// Echoes until FIN, then says FIN and waits until everything has arrived.
pub(super) async fn echo(mut stream: TcpStream) -> Result<(), Error> {
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        stream.write_all(&buffer[..count]).await?;
    }
    stream.shutdown();
    stream.drained().await;
    Ok(())
}

/// Sends `data`, shuts down its side, and returns everything received.
pub(super) async fn exchange(stream: &mut TcpStream, data: &[u8]) -> Vec<u8> {
    let mut back = Vec::new();
    let (mut reader, mut writer) = stream.split();
    let write = async {
        writer.write_all(data).await.unwrap();
        writer.shutdown();
    };
    let read = async {
        let mut buffer = [0; 3000];
        loop {
            match reader.read(&mut buffer).await.unwrap() {
                0 => break,
                count => back.extend_from_slice(&buffer[..count]),
            }
        }
    };
    join(read, write).await;
    back
}

#[test]
fn a_megabyte_comes_back_identical_and_both_slots_are_free_again() {
    let mut world = World::new(&[PLAN, PLAN]);
    let listener = Rc::new(world.netif(1).listen(7).unwrap());
    let (mut client, server) = world.pair(0, 1, &listener);
    assert_eq!(client.peer(), SocketAddrV4::new(address(1), 7).into());
    assert_eq!(client.peer(), server.local());
    assert_eq!(client.local(), server.peer());
    world.spawn(async move { echo(server).await.unwrap() });
    let data = pattern(1 << 20, 1);
    let sent = data.clone();
    let back = world.run(async move {
        let back = exchange(&mut client, &sent).await;
        client.drained().await;
        back
    });
    assert!(back == data);
    world.pass(30_000_000);
    for host in 0..2 {
        assert_eq!(world.netif(host).status().free, PLAN.slots());
    }
}

#[test]
fn the_card_is_restocked_when_connections_open_and_close_and_not_for_their_data() {
    let mut world = World::new(&[PLAN, PLAN]);
    let listener = Rc::new(world.netif(1).listen(7).unwrap());
    let restocks = world.hosts[1].port.clone();
    assert_eq!(restocks.restocks.get(), 0);
    let (mut client, server) = world.pair(0, 1, &listener);
    let opened = restocks.restocks.get();
    assert!(opened > 0);
    world.spawn(async move { echo(server).await.unwrap() });
    let mut client = world.run(async move {
        let mut back = [0; 5000];
        client.write_all(&[7; 5000]).await.unwrap();
        client.read_exact(&mut back).await.unwrap();
        client
    });
    assert_eq!(restocks.restocks.get(), opened);
    world.run(async move {
        client.shutdown();
        client.drained().await;
    });
    assert!(restocks.restocks.get() > opened);
}

/// One host that listens, as many others as there are plans beside the first.
fn listening(plans: &[Plan]) -> (World, Rc<TcpListener>) {
    let world = World::new(plans);
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    (world, listener)
}

#[test]
fn half_close_is_honoured_both_ways() {
    let (mut world, listener) = listening(&[PLAN, PLAN]);
    let (mut client, mut server) = world.pair(1, 0, &listener);
    world.run(async move {
        let mut buffer = [0; 64];
        client.write_all(b"question").await.unwrap();
        client.shutdown();
        assert_eq!(client.write(b"x").await, Err(Error::Closed));
        assert_eq!(server.read(&mut buffer).await, Ok(8));
        assert_eq!(server.read(&mut buffer).await, Ok(0));
        assert_eq!(server.read(&mut buffer).await, Ok(0));
        // The other direction goes on.
        for _ in 0..100 {
            server.write_all(&[5; 1000]).await.unwrap();
            let mut rest = [0; 1000];
            client.read_exact(&mut rest).await.unwrap();
            assert_eq!(rest, [5; 1000]);
        }
        server.shutdown();
        server.drained().await;
        assert_eq!(client.read(&mut buffer).await, Ok(0));
        client.drained().await;
    });
}

#[test]
fn what_was_written_before_a_drop_after_shutdown_arrives() {
    let (mut world, listener) = listening(&[PLAN, PLAN]);
    let (mut client, mut server) = world.pair(1, 0, &listener);
    // The client still sends when the server has said its last words and gone: no RST may swallow them.
    world.run(async move {
        server.write_all(b"alert").await.unwrap();
        server.shutdown();
        drop(server);
        // More than any buffer holds.
        client.write_all(&[1; 200_000]).await.unwrap();
        let mut buffer = [0; 64];
        assert_eq!(client.read(&mut buffer).await, Ok(5));
        assert_eq!(client.read(&mut buffer).await, Ok(0));
        client.shutdown();
        client.drained().await;
    });
    world.pass(15_000_000);
    assert_eq!(world.netif(0).status().free, PLAN.slots());
    assert_eq!(world.netif(1).status().free, PLAN.slots());
    assert_eq!(world.netif(1).counters().reset, 0);
}

#[test]
fn a_drop_without_shutdown_and_an_abort_are_resets() {
    let (mut world, listener) = listening(&[PLAN, PLAN]);
    for abort in [false, true] {
        let (mut client, mut server) = world.pair(1, 0, &listener);
        world.run(async move {
            client.write_all(b"x").await.unwrap();
            if abort {
                client.abort();
            } else {
                drop(client);
            }
            let mut buffer = [0; 64];
            let first = server.read(&mut buffer).await;
            let last = if first == Ok(1) {
                server.read(&mut buffer).await.map(|_| ())
            } else {
                first.map(|_| ())
            };
            assert_eq!(last, Err(Error::Reset));
            assert_eq!(server.write(b"y").await, Err(Error::Reset));
            server.drained().await;
        });
    }
    world.pass(1_000);
    assert_eq!(world.netif(0).status().free, PLAN.slots());
    assert_eq!(world.netif(1).status().free, PLAN.slots());
    assert_eq!(world.netif(0).counters().reset, 2);
}

#[test]
fn each_failed_connect_has_its_error() {
    let (mut world, listener) = listening(&[PLAN, PLAN]);
    let client = world.netif(1);
    let connect = |world: &mut World, ip: [u8; 4], port, seconds| {
        world.run(async move {
            let remote = SocketAddrV4::new(ip.into(), port);
            client
                .connect(remote.into(), Duration::from_secs(seconds))
                .await
                .map(|_| ())
        })
    };
    assert_eq!(connect(&mut world, [10, 0, 2, 10], 8, 5), Err(ConnectError::Refused));
    for absent in [[10, 0, 2, 99], [192, 0, 2, 1]] {
        // Neither the host nor the router to it answers ARP.
        let before = world.now;
        assert_eq!(connect(&mut world, absent, 7, 3), Err(ConnectError::NoNeighbor));
        assert!(world.now - before >= 3_000_000);
    }
    for nonsense in [
        [0, 0, 0, 0],
        [255, 255, 255, 255],
        [10, 0, 2, 255],
        [224, 0, 0, 1],
        [127, 0, 0, 1],
        [10, 0, 2, 11],
    ] {
        assert_eq!(connect(&mut world, nonsense, 7, 3), Err(ConnectError::Unreachable));
    }
    assert_eq!(
        connect(&mut world, [10, 0, 2, 10], 0, 3),
        Err(ConnectError::Unreachable)
    );
    // A peer that answers ARP but no SYN.
    world.tap = Some(Box::new(|frame| frame[12..14] == [8, 6]));
    assert_eq!(connect(&mut world, [10, 0, 2, 10], 7, 3), Err(ConnectError::TimedOut));
    world.tap = None;
    assert_eq!(connect(&mut world, [10, 0, 2, 10], 7, 3), Ok(()));
    world.hosts[1].port.link.set(Link::Down);
    world.settle();
    assert_eq!(connect(&mut world, [10, 0, 2, 10], 7, 3), Err(ConnectError::NoLink));
    world.pass(30_000_000);
    assert_eq!(world.netif(1).status().free, PLAN.slots());
    drop(listener);
}

#[test]
fn a_dropped_connect_gives_its_slot_back() {
    let (mut world, _listener) = listening(&[PLAN, PLAN]);
    let client = world.netif(1);
    for _ in 0..100 {
        // Before the runner has seen it, and after.
        let mut attempt = Box::pin(client.connect("10.0.2.77:7".parse().unwrap(), Duration::from_secs(60)));
        assert!(now_or_never(attempt.as_mut()).is_none());
        let second = client.connect("10.0.2.10:7".parse().unwrap(), Duration::from_secs(60));
        assert!(now_or_never(second).is_none());
        world.settle();
        drop(attempt);
        world.settle();
    }
    world.pass(2_000_000);
    assert_eq!(world.netif(1).status().free, PLAN.slots());
}

#[test]
fn connections_of_ours_have_different_ports_and_full_is_an_error() {
    let plan = Plan { large: 4, ..PLAN };
    let (mut world, listener) = listening(&[PLAN, plan]);
    let mut pairs = Vec::new();
    for _ in 0..4 {
        pairs.push(world.pair(1, 0, &listener));
    }
    let mut ports: Vec<_> = pairs.iter().map(|(ours, _)| ours.local().port()).collect();
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), 4);
    assert!(ports.iter().all(|port| *port >= 1024));
    let client = world.netif(1);
    let fifth = world.run(async move {
        client
            .connect("10.0.2.10:7".parse().unwrap(), Duration::from_secs(1))
            .await
            .err()
    });
    assert_eq!(fifth, Some(ConnectError::NoSlot));
}

#[test]
fn reads_and_writes_that_are_dropped_lose_nothing() {
    let (mut world, listener) = listening(&[PLAN, PLAN]);
    let (mut client, mut server) = world.pair(1, 0, &listener);
    let data = pattern(200_000, 3);
    let expected = data.clone();
    world.spawn(async move {
        let mut rest = &data[..];
        while !rest.is_empty() {
            // Polled once, then dropped, whether it wrote or not.
            let part = &rest[..rest.len().min(1234)];
            match now_or_never(client.write(part)) {
                Some(count) => rest = &rest[count.unwrap()..],
                None => embassy_futures::yield_now().await,
            }
        }
        client.shutdown();
        client.drained().await;
    });
    let back = world.run(async move {
        let mut back = Vec::new();
        loop {
            let mut buffer = [0; 777];
            match now_or_never(server.read(&mut buffer)) {
                Some(Ok(0)) => return back,
                Some(count) => back.extend_from_slice(&buffer[..count.unwrap()]),
                None => embassy_futures::yield_now().await,
            }
        }
    });
    assert!(back == expected);
}

#[test]
fn lent_buffers_carry_the_same_bytes() {
    let (mut world, listener) = listening(&[PLAN, PLAN]);
    let (mut client, mut server) = world.pair(1, 0, &listener);
    let data = pattern(300_000, 9);
    let expected = data.clone();
    world.spawn(async move {
        let mut at = 0;
        while at < data.len() {
            at += client
                .write_with(|room| {
                    assert!(!room.is_empty());
                    let count = room.len().min(data.len() - at);
                    room[..count].copy_from_slice(&data[at..at + count]);
                    (count, count)
                })
                .await
                .unwrap();
        }
        client.shutdown();
        client.drained().await;
    });
    let back = world.run(async move {
        let mut back = Vec::new();
        // Only a part of what is lent is used.
        let take = |bytes: &mut [u8]| {
            let count = bytes.len().div_ceil(2);
            (count, bytes[..count].to_vec())
        };
        while let Some(part) = server.read_with(take).await.unwrap() {
            assert!(!part.is_empty());
            back.extend(part);
        }
        back
    });
    assert!(back == expected);
}

#[test]
fn a_peer_that_stops_reading_stalls_no_other_peer() {
    let (mut world, listener) = listening(&[PLAN, PLAN, PLAN]);
    let (mut stalled, server) = world.pair(1, 0, &listener);
    world.spawn(async move { echo(server).await.unwrap() });
    let gate = Rc::new(Signal::<NoopRawMutex, ()>::new());
    let done = Rc::new(Signal::<NoopRawMutex, ()>::new());
    let (wrote, wait, finish) = (Rc::new(Cell::new(0)), gate.clone(), done.clone());
    let counter = wrote.clone();
    world.spawn(async move {
        let data = pattern(400_000, 5);
        let (mut reader, mut writer) = stalled.split();
        let write = async {
            for part in data.chunks(1000) {
                writer.write_all(part).await.unwrap();
                counter.set(counter.get() + part.len());
            }
            writer.shutdown();
        };
        let read = async {
            wait.wait().await;
            let mut back = vec![0; data.len()];
            reader.read_exact(&mut back).await.unwrap();
            assert!(back == data);
        };
        join(write, read).await;
        finish.signal(());
    });
    // It comes to a halt with all buffers full, and the others do not notice.
    for round in 0..5 {
        let (mut client, server) = world.pair(2, 0, &listener);
        world.spawn(async move { echo(server).await.unwrap() });
        let data = pattern(100_000, round);
        let sent = data.clone();
        assert!(world.run(async move { exchange(&mut client, &sent).await }) == data);
    }
    assert!(wrote.get() < 200_000);
    gate.signal(());
    world.run(async move { done.wait().await });
    assert_eq!(wrote.get(), 400_000);
}

#[test]
fn a_window_that_opens_after_a_long_time_is_noticed() {
    let (mut world, listener) = listening(&[PLAN, PLAN]);
    let (mut client, mut server) = world.pair(1, 0, &listener);
    let data = pattern(150_000, 11);
    let sent = data.clone();
    world.spawn(async move {
        client.write_all(&sent).await.unwrap();
        client.shutdown();
        client.drained().await;
    });
    // Minutes of zero window: probes continue and are answered, so neither side times out.
    world.pass(300_000_000);
    let back = world.run(async move {
        let mut back = Vec::new();
        let mut buffer = [0; 5000];
        loop {
            match server.read(&mut buffer).await.unwrap() {
                0 => return back,
                count => back.extend_from_slice(&buffer[..count]),
            }
        }
    });
    assert!(back == data);
}

#[test]
fn a_peer_that_vanishes_is_noticed_and_an_idle_one_is_kept() {
    let (mut world, listener) = listening(&[PLAN, PLAN]);
    let (client, mut server) = world.pair(1, 0, &listener);
    client.mark_established();
    server.mark_established();
    // Keepalives hold it for as long as both are there.
    world.pass(600_000_000);
    assert_eq!(world.netif(0).established(), 1);
    world.tap = Some(Box::new(|_| false));
    let before = world.now;
    world.run(async move {
        let mut buffer = [0; 10];
        assert_eq!(server.read(&mut buffer).await, Err(Error::TimedOut));
    });
    assert!((40_000_000..=66_000_000).contains(&(world.now - before)));
    assert_eq!(world.netif(0).counters().timed_out, 1);
    world.pass(1_000_000);
    assert_eq!(world.netif(0).status().free, PLAN.slots());
    drop(client);
}

#[test]
fn accept_wakes_one_waiting_task_for_each_connection() {
    let (mut world, listener) = listening(&[PLAN, PLAN]);
    let served = Rc::new(RefCell::new(Vec::new()));
    let polls = Rc::new(Cell::new(0));
    for task in 0..5 {
        let (listener, served, polls) = (listener.clone(), served.clone(), polls.clone());
        world.spawn(async move {
            loop {
                let mut accept = Box::pin(listener.accept());
                let stream = poll_fn(|context| {
                    polls.set(polls.get() + 1);
                    accept.as_mut().poll(context)
                })
                .await;
                served.borrow_mut().push(task);
                let _ = echo(stream).await;
            }
        });
    }
    world.settle();
    let before = polls.get();
    for _ in 0..3 {
        let client = world.netif(1);
        let data = world.run(async move {
            let mut stream = client
                .connect("10.0.2.10:7".parse().unwrap(), Duration::from_secs(5))
                .await
                .unwrap();
            exchange(&mut stream, b"hello").await
        });
        assert_eq!(data, b"hello");
        // Our last acknowledgement may be a delayed one.
        world.pass(20_000);
    }
    assert_eq!(served.borrow().len(), 3);
    // Each connection: one poll that takes it, and one that waits again.
    assert_eq!(polls.get() - before, 6);
}

#[test]
fn a_task_that_is_woken_and_gives_up_passes_the_connection_on() {
    let (mut world, listener) = listening(&[PLAN, PLAN]);
    let accepted = Rc::new(Cell::new(false));
    let mut first = Box::pin({
        let listener = listener.clone();
        async move { listener.accept().await }
    });
    assert!(now_or_never(first.as_mut()).is_none());
    let (second, flag) = (listener.clone(), accepted.clone());
    world.spawn(async move {
        let _stream = second.accept().await;
        flag.set(true);
    });
    world.settle();
    let client = world.netif(1);
    let stream = world.run(async move {
        client
            .connect("10.0.2.10:7".parse().unwrap(), Duration::from_secs(5))
            .await
    });
    world.settle();
    assert!(!accepted.get());
    drop(first);
    world.settle();
    assert!(accepted.get());
    drop(stream);
}

#[test]
fn a_closed_port_refuses_and_can_be_opened_again() {
    let (mut world, listener) = listening(&[PLAN, PLAN]);
    let netif = world.netif(0);
    assert_eq!(netif.listen(7).err(), Some(ListenError::InUse));
    assert_eq!(netif.listen(0).err(), Some(ListenError::InvalidPort));
    let (mut client, server) = world.pair(1, 0, &listener);
    let remote = SocketAddrV4::new(address(0), 7);
    // Not accepted yet when the port closes: reset. Accepted already: goes on.
    let other = world.netif(1);
    let mut pending = world
        .run(async move { other.connect(remote.into(), Duration::from_secs(5)).await })
        .unwrap();
    world.settle();
    drop(listener);
    world.settle();
    world.spawn(async move { echo(server).await.unwrap() });
    world.run(async move {
        assert_eq!(pending.read(&mut [0; 9]).await, Err(Error::Reset));
        assert_eq!(
            other.connect(remote.into(), Duration::from_secs(5)).await.err(),
            Some(ConnectError::Refused)
        );
        assert_eq!(exchange(&mut client, b"still here").await, b"still here");
    });
    let listener = Rc::new(netif.listen(7).unwrap());
    world.pair(1, 0, &listener);
    let all: Vec<_> = (1000..).map_while(|port| netif.listen(port).ok()).collect();
    assert_eq!(all.len(), slots::MAX_LISTENERS - 1);
    assert_eq!(netif.listen(9).err(), Some(ListenError::TooMany));
}
