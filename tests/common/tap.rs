//! A network namespace with a tap device, in which a test runs again.
//!
//! Inside, the other end of the machine's cable is the kernel of this host: it resolves neighbours and speaks TCP as on any
//! network, and every program of the test can reach the machine. It takes no privileges where user namespaces are allowed.

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use super::process::Process;

/// The tap device.
pub const DEVICE: &str = "tap0";
/// This host's addresses on the cable.
pub const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 1);
pub const HOST_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Set in the environment of the run inside.
const INSIDE: &str = "POSTERN_NAMESPACE";

/// Whether this is the run inside; if it is not, that takes place now. `name` is the test's, with its module. Without a tap
/// device or a namespace the test is skipped, and standard error says so.
pub fn enter(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        set_up();
        return true;
    }
    if let Err(reason) = available() {
        // Not eprintln: the harness would hide it.
        let _ = writeln!(std::io::stderr(), "{name}: skipped: {reason}");
        return false;
    }
    let output = namespace()
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    print!("{out}");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} failed in its namespace");
    assert!(out.contains(" 1 passed"), "{name} is not the name of the test");
    false
}

fn namespace() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net"]);
    command
}

fn available() -> Result<(), String> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .map_err(|error| format!("/dev/net/tun: {error}"))?;
    let tried = namespace()
        .arg("true")
        .output()
        .map_err(|error| format!("unshare: {error}"))?;
    match tried.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned()),
    }
}

fn set_up() {
    let commands = format!(
        "link set lo up
         tuntap add dev {DEVICE} mode tap
         link set {DEVICE} addrgenmode none
         link set {DEVICE} up
         addr add fe80::1/64 dev {DEVICE} nodad
         addr add {HOST}/64 dev {DEVICE} nodad
         addr add {HOST_V4}/24 dev {DEVICE}\n"
    );
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn();
    let ip = ip
        .as_mut()
        .expect("ip does not start (qemu/test installs what the tests need)");
    ip.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success());
}

/// Answers the router solicitations of the device with one advertisement.
const ROUTER: &str = r#"
import socket, struct, sys
index = socket.if_nametoindex(sys.argv[1])
router = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
group = socket.inet_pton(socket.AF_INET6, "ff02::2") + struct.pack("@I", index)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
print("ready", flush=True)
while True:
    message, _ = router.recvfrom(2048)
    if message[0] == 133:
        router.sendto(bytes.fromhex(sys.argv[2]), ("ff02::1", 0, 0, index))
"#;

/// A router on the cable, as long as this lives: it advertises the prefix of [`HOST`], an MTU of 1400, and [`HOST`] as the
/// DNS server (RFC 4861 §4.2, RFC 8106 §5.1).
pub fn router() -> Process {
    const DAY: [u8; 4] = 86_400_u32.to_be_bytes();
    let prefix = Ipv6Addr::from_bits(HOST.to_bits() >> 64 << 64);
    let advertisement = [
        &[134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &[3, 4, 64, 0xc0],
        &DAY,
        &DAY,
        &[0; 4],
        &prefix.octets(),
        &[5, 1, 0, 0, 0, 0, 0x05, 0x78],
        &[25, 3, 0, 0],
        &DAY,
        &HOST.octets(),
    ]
    .concat();
    let router = Process::start(Command::new("python3").args(["-c", ROUTER, DEVICE, &hex(&advertisement)]));
    router.out.wait_for("ready");
    router
}

/// Sends an echo request and waits for the answer with the same data (RFC 4443 §4).
const PING: &str = r#"
import socket, sys
pinger = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
pinger.settimeout(60)
pinger.sendto(bytes((128, 0, 0, 0, 1, 2, 3, 4)) + b"data", (sys.argv[1], 0))
while pinger.recv(2048)[4:] != bytes((1, 2, 3, 4)) + b"data":
    pass
"#;

/// Panics if `address` does not answer an echo request.
pub fn ping(address: Ipv6Addr) {
    let output = Command::new("python3")
        .args(["-c", PING, &address.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
