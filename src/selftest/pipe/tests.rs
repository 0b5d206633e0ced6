use super::*;
use crate::testing::block_on;

fn no_time() -> u64 {
    0
}

#[test]
fn bytes_arrive_in_order_then_the_end() {
    let (mut up, mut down) = ([0; 7], [0; 5]);
    let link = Link::new(&mut up, &mut down);
    let text: Vec<u8> = (0..=255).collect();
    let (mut here, mut there) = (link.caller(), link.called());
    let mut back = Vec::new();
    let result = block_on(link.join(
        no_time,
        async {
            let mut buffer = [0; 3];
            for piece in text.chunks(11) {
                here.write_all(piece).await.unwrap();
                while back.len() % 11 < piece.len() && back.len() < text.len() {
                    let count = here.read(&mut buffer).await.unwrap();
                    back.extend_from_slice(&buffer[..count]);
                    if back.len() % 11 == 0 {
                        break;
                    }
                }
            }
            Ok(())
        },
        async {
            let mut buffer = [0; 4];
            loop {
                match there.read(&mut buffer).await.unwrap() {
                    0 => return Ok(()),
                    count => there.write_all(&buffer[..count]).await.unwrap(),
                }
            }
        },
    ));
    assert!(matches!(result, (Ok(()), 0)));
    assert_eq!(back, text);
}

#[test]
fn two_that_wait_for_each_other_are_reported() {
    let (mut up, mut down) = ([0; 7], [0; 7]);
    let link = Link::new(&mut up, &mut down);
    let (mut here, mut there) = (link.caller(), link.called());
    let result = block_on(link.join(
        no_time,
        async {
            let _ = here.read(&mut [0]).await;
            Ok(())
        },
        async {
            let _ = there.read(&mut [0]).await;
            Ok(())
        },
    ));
    assert!(matches!(result.0, Err(Failure::Stalled)), "{result:?}");
    // Likewise where both have more to say than fits.
    let (mut up, mut down) = ([0; 7], [0; 7]);
    let link = Link::new(&mut up, &mut down);
    let (mut here, mut there) = (link.caller(), link.called());
    let result = block_on(link.join(
        no_time,
        async {
            let _ = here.write_all(&[1; 20]).await;
            Ok(())
        },
        async {
            let _ = there.write_all(&[1; 20]).await;
            Ok(())
        },
    ));
    assert!(matches!(result.0, Err(Failure::Stalled)), "{result:?}");
}

#[test]
fn two_that_never_end_are_ended() {
    let (mut up, mut down) = ([0; 512], [0; 512]);
    let link = Link::new(&mut up, &mut down);
    let (mut here, mut there) = (link.caller(), link.called());
    let result = block_on(link.join(
        no_time,
        async {
            while here.write_all(&[1; 600]).await.is_ok() {}
            Ok(())
        },
        async {
            while there.read(&mut [0; 600]).await.is_ok() {}
            Ok(())
        },
    ));
    assert!(matches!(result.0, Err(Failure::Endless)), "{result:?}");
}

#[test]
fn the_first_failure_counts_and_lets_the_other_side_end() {
    let (mut up, mut down) = ([0; 7], [0; 7]);
    let link = Link::new(&mut up, &mut down);
    let mut there = link.called();
    let result = block_on(link.join(no_time, async { Err(Failure::Differs) }, async {
        // More than fits, and the reader has stopped.
        let _ = there.write_all(&[1; 20]).await;
        match there.read(&mut [0]).await {
            Ok(0) => Err(Failure::Endless),
            _ => Ok(()),
        }
    }));
    assert!(matches!(result.0, Err(Failure::Differs)), "{result:?}");
}
