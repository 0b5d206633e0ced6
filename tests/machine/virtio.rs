//! The machine with virtio network cards.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::common::machine::Setup;
use super::common::tls::s_client;
use super::common::{LIMIT, baked_ca, noise};
use super::{client, echo, trace};

/// One message there and back.
fn assert_echoes(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"hello");
}

#[test]
fn echo_and_shell_work() {
    let machine = Setup::new().virtio().ready();
    let mut client = s_client(machine.at(10007), &baked_ca(), [""; 0]);
    client.write(b"over virtio\n");
    client.out.wait_for("\nover virtio\n");
    client.write(b"Q\n");
    assert!(client.wait().success());
    let data = noise(1, 3_000_000);
    assert!(echo::plain(machine.at(10008), data.clone()) == data);
    let ip = machine.ask("ip");
    assert!(ip.contains("vm0: link up, 1000 Mbit/s, 10.0.2.15/24"), "{ip}");
    let counters = machine.ask("counters");
    for name in ["in, damaged", "in, wrong checksum", "out, dropped for want of a buffer"] {
        let line = counters.lines().find(|line| line.trim_start().starts_with(name));
        assert!(line.is_some_and(|line| line.ends_with(" 0")), "{name}: {counters}");
    }
}

#[test]
fn page_client_and_reverse_connection_work() {
    assert_further_services(Setup::new().virtio());
}

/// The page, the client and a reverse connection work.
pub(super) fn assert_further_services(setup: Setup) {
    let machine = setup.ports(&[443, 23]).ready();
    machine.wait_for("https server listens on port 443 of vm0");
    let page = trace::get(&machine, trace::GET, &[]);
    assert!(
        page.contains("HTTP/1.1 200 OK\r\n") && page.ends_with("</html>\n\r\n0\r\n\r\n"),
        "{page}"
    );
    let [certificate, key] = ["server.pem", "server.key"].map(|name| baked_ca().with_file_name(name));
    let (mut server, port) = client::s_server(certificate, key, &[]);
    let mut shell = client::echoctl_tls(&machine);
    client::connected(&mut shell, port, "");
    client::converse(&machine, &mut shell, &mut server);
    drop(shell);
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let mut shell = machine.shell();
    shell.command("echoctl");
    let answer = shell.command(&format!("server reverse 10.0.2.2 {port}"));
    assert!(answer.ends_with("Done.\n"), "{answer}");
    let (mut stream, _) = host.accept().unwrap();
    assert_echoes(&mut stream);
}

#[test]
fn a_connection_survives_the_link_going_down_and_up() {
    let mut machine = Setup::new().virtio().ready();
    let mut stream = TcpStream::connect(machine.at(10008)).unwrap();
    for _ in 0..3 {
        assert_echoes(&mut stream);
        let mark = machine.console().mark();
        machine.monitor("set_link card0 off");
        let mark = machine.console().wait_from(mark, "vm0: link down");
        machine.monitor("set_link card0 on");
        machine.console().wait_from(mark, "vm0: link up, 1000 Mbit/s");
    }
    assert_echoes(&mut stream);
}

#[test]
fn without_a_link_it_boots_and_serves_when_the_link_comes_up() {
    // -S: the machine does not run until the link is down.
    let mut machine = Setup::new().virtio().arguments(&["-S"]).boot();
    machine.monitor("set_link card0 off");
    machine.monitor("cont");
    machine.wait_for("vm0: link down");
    machine.monitor("set_link card0 on");
    machine.wait_for("vm0: link up, 1000 Mbit/s");
    machine.wait_for("vm0: address ");
    assert_echoes(&mut TcpStream::connect(machine.at(10008)).unwrap());
}

#[test]
fn both_kinds_of_cards_work_together() {
    for setup in [
        Setup::new().virtio().second_card().e1000e(),
        Setup::new().e1000e().second_card().virtio(),
        Setup::new().virtio().second_card().virtio(),
    ] {
        let machine = setup.ready();
        machine.wait_for("vm1: address 10.0.2.15/24");
        assert_echoes(&mut TcpStream::connect(machine.at(10008)).unwrap());
        let ip = machine.ask("ip");
        assert!(ip.contains("vm0: link up") && ip.contains("vm1: link up"), "{ip}");
    }
}

#[test]
fn a_small_machine_serves() {
    let machine = Setup::new().virtio().memory(5).ready();
    assert_echoes(&mut TcpStream::connect(machine.at(10008)).unwrap());
    assert!(!machine.console().text().contains("out of memory"));
}

#[test]
fn cards_that_cannot_be_used_are_reported_with_the_remedy() {
    let netdev = ["-netdev", "user,id=net0", "-device"];
    let device = |options| format!("virtio-net-pci,netdev=net0,romfile=,{options}");
    let (legacy, iommu) = (
        device("disable-modern=on,disable-legacy=off"),
        device("disable-legacy=on,iommu_platform=on"),
    );
    for (arguments, reason) in [
        (
            &["-nic", "user,model=virtio-net-pci"][..],
            "has no MSI-X: replace `-nic` by `-netdev user,id=net0 -device virtio-net-pci,netdev=net0`",
        ),
        (
            &[&netdev[..], &[legacy.as_str()]].concat(),
            "has no modern interface: remove `disable-modern=on` from its `-device` option",
        ),
        (
            &[&netdev[..], &[iommu.as_str()]].concat(),
            "requires a feature that is not supported: remove options such as `iommu_platform=on`",
        ),
    ] {
        let machine = Setup::new().no_card().arguments(arguments).boot();
        machine.wait_for(&format!("error: vm0: the virtio network card {reason}"));
    }
}
