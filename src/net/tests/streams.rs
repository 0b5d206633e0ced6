//! Streams and listeners between two well-behaved stacks.

use embassy_futures::join::join;
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

/// Sends `data`, shuts, and gives back everything that came.
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
    assert_eq!(client.peer(), SocketAddrV4::new(address(1), 7));
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
