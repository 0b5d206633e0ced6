//! DHCP servers with unusable leases, rejections or timers that cause storms.

use smoltcp::wire::{DhcpMessageType, DhcpOption};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::common::machine::Setup;
use super::common::poll;
use super::common::telnet::Telnet;
use super::common::wire::Wire;

/// The time and type of each message to the server.
type Asked = Arc<Mutex<Vec<(Instant, DhcpMessageType)>>>;

/// DISCOVERs with unusable offers, then messages with rejections, before the server behaves correctly.
const USELESS: usize = 3;
const REJECTED: usize = 12;

#[test]
fn a_dhcp_server_cannot_raise_the_message_rate() {
    let wire = Wire::new();
    let asked = Asked::default();
    let list = asked.clone();
    wire.serve_dhcp(Box::new(move |kind, reply| {
        let mut list = list.lock().unwrap();
        list.push((Instant::now(), kind));
        if list.len() <= USELESS {
            reply.lease_duration = Some(0);
        } else if list.len() <= USELESS + REJECTED {
            if kind == DhcpMessageType::Request {
                reply.message_type = DhcpMessageType::Nak;
            }
        } else {
            // T1 (RFC 2132 §9.11).
            reply.additional_options = &[DhcpOption {
                kind: 58,
                data: &[0; 4],
            }];
        }
    }));
    let defconfig = ".vmm = { .telnet_dbgsh = 1, },\n.ip = { .use_dhcp = 1, },\n.echo = { .plain_port = 10008, },\n";
    let machine = Setup::new().wire(wire.address()).defconfig(defconfig).boot();
    machine.wait_for("vm0: address 10.0.2.15/24, gateway 10.0.2.2");
    let mut shell = Telnet::connect(wire.forward(23));
    let log = shell.command("log");
    let refused = "vm0: refused reply from DHCP server 10.0.2.2: lease of 0 s is shorter than 60 s";
    assert!(log.contains(refused), "{log}");
    let counters = poll("refused replies are counted", || {
        let counters = shell.command("counters");
        counters.contains("DHCP replies refused").then_some(counters)
    });
    assert!(!counters.contains("malformed"), "{counters}");
    let asked = asked.lock().unwrap();
    let (useless, rest) = asked.split_at(USELESS);
    assert!(useless.iter().all(|(_, kind)| *kind == DhcpMessageType::Discover));
    // A DISCOVER each three seconds; with rejections at most seven messages before the first pause, then one each
    // two seconds or more.
    let took = |messages: &[(Instant, DhcpMessageType)]| messages.last().unwrap().0 - messages[0].0;
    assert!(took(useless) >= Duration::from_secs(5), "{useless:?}");
    assert!(took(&rest[..REJECTED]) >= Duration::from_secs(10), "{rest:?}");
    // A DISCOVER and one or two REQUESTs, then nothing: the lease is renewed after half of its time.
    assert!(rest.len() - REJECTED <= 4, "{rest:?}");
}
