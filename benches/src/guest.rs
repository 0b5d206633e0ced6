//! A machine in QEMU under measurement: the image, or the Linux peer.

use std::io::{Error, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::{Connector, Protocol, Tls};

/// Ports of the peer and of the image for TLS with an ECDSA certificate, TLS with an RSA certificate, and plain TCP.
/// The image has one port for both certificates.
const PEER_PORTS: [u16; 3] = [10007, 10008, 10009];
const IMAGE_PORTS: [u16; 3] = [10007, 10007, 10008];
/// A machine that has not echoed by then will not.
const BOOT_TIMEOUT: Duration = Duration::from_secs(60);
/// Hundredths of a second: the unit of `/proc/PID/stat` on x86-64 and Arm.
const TICKS: f64 = 100.0;

/// What boots.
#[derive(Clone)]
pub enum System {
    /// The image, with a boot module.
    Image { image: PathBuf, defconfig: PathBuf },
    /// Linux with OpenSSL.
    Peer { kernel: PathBuf, initrd: PathBuf },
}

/// The virtual machine.
#[derive(Clone)]
pub struct Machine {
    /// QEMU's accelerator.
    pub accel: String,
    /// QEMU's name of the network card.
    pub card: String,
    /// Memory in MiB.
    pub memory: u32,
}

/// A running machine, which ends with this value.
pub struct Guest {
    qemu: Child,
    /// Where the host forwards [`PEER_PORTS`] or [`IMAGE_PORTS`] from.
    ports: [u16; 3],
    /// From the start of QEMU to the first TLS echo.
    pub boot: Duration,
}

impl Guest {
    /// Boots `system` and waits for its first echo over TLS.
    ///
    /// # Errors
    /// If QEMU does not start or the guest does not serve.
    pub fn boot(machine: &Machine, system: &System, more: &[&str]) -> Result<Self> {
        let (kernel, module, words, guest_ports) = match system {
            System::Image { image, defconfig } => (image, defconfig, "", IMAGE_PORTS),
            System::Peer { kernel, initrd } => (
                kernel,
                initrd,
                "console=ttyS0 quiet panic=-1 mitigations=off nokaslr random.trust_cpu=on net.ifnames=0",
                PEER_PORTS,
            ),
        };
        let ports = free_ports()?;
        let mut network = "user,id=net0".to_owned();
        for (host, guest) in ports.iter().zip(guest_ports) {
            network += &format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}");
        }
        let memory = format!("{}M", machine.memory);
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-M", "q35", "-cpu", if machine.accel == "kvm" { "host" } else { "max" }]);
        command.args(["-accel", &machine.accel, "-m", &memory]);
        // Not by -nic, which gives a virtio card no MSI-X.
        command.args(["-netdev", &network, "-device"]);
        command.arg(format!("{},netdev=net0,romfile=", machine.card));
        command.args([
            "-name",
            "guest,debug-threads=on",
            "-nodefaults",
            "-display",
            "none",
            "-serial",
            "null",
            "-no-reboot",
        ]);
        command.arg("-kernel").arg(kernel).arg("-initrd").arg(module);
        command.args(["-append", words]).args(more).stdin(Stdio::null());
        let start = Instant::now();
        let qemu = command
            .spawn()
            .map_err(|error| Error::other(format!("qemu-system-x86_64: {error}")))?;
        let mut guest = Self {
            qemu,
            ports,
            boot: Duration::ZERO,
        };
        guest
            .connector(Protocol::Tls(Tls::USUAL))
            .first_echo(BOOT_TIMEOUT)
            .map_err(|error| Error::other(format!("{} does not serve: {error}", kernel.display())))?;
        guest.boot = start.elapsed();
        Ok(guest)
    }

    /// What makes connections with `protocol`.
    pub fn connector(&self, protocol: Protocol) -> Connector {
        let [ecdsa, rsa, plain] = self.ports;
        let port = match protocol {
            Protocol::Plain => plain,
            Protocol::Tls(Tls { rsa: true, .. }) => rsa,
            Protocol::Tls(_) => ecdsa,
        };
        Connector::new(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), protocol)
    }

    /// The time that the virtual CPU has taken up to now, in seconds.
    ///
    /// # Errors
    /// If QEMU is gone.
    pub fn virtual_cpu(&self) -> Result<f64> {
        let process = self.qemu.id();
        for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
            let thread = thread?.path();
            if std::fs::read_to_string(thread.join("comm"))?.starts_with("CPU 0") {
                let id = thread.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return cpu_of(&format!("{process}/task/{id}"));
            }
        }
        Err(Error::other("QEMU has no thread of the virtual CPU"))
    }

    /// The CPU time of QEMU up to now, in seconds.
    ///
    /// # Errors
    /// If QEMU is gone.
    pub fn cpu(&self) -> Result<f64> {
        cpu_of(&self.qemu.id().to_string())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It is gone already, or ends now.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// The CPU time of a process, and that of its children which have ended, in seconds; `process` is an id or `self`.
///
/// # Errors
/// If there is none.
pub fn cpu_of(process: &str) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // proc(5): the second field ends with a parenthesis; utime and stime are the 14th and 15th.
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(2);
    Ok(fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS)
}

/// The CPU time that all processes of the host have taken, in seconds.
///
/// # Errors
/// If the host does not say.
pub fn cpu_of_host() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    // user, nice, system, idle, iowait, irq, softirq, steal
    let fields: Vec<f64> = stat
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    match fields[..] {
        [user, nice, system, _, _, irq, softirq, steal] => Ok((user + nice + system + irq + softirq + steal) / TICKS),
        _ => Err(Error::other("/proc/stat has no line of all processors")),
    }
}

/// Ports that are free now.
fn free_ports() -> Result<[u16; 3]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners = [listen()?, listen()?, listen()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Writes the configuration of the image to `directory`, which contains the keys: both identities, the echo servers, the address of QEMU's user network.
///
/// # Errors
/// If a file is missing.
pub fn defconfig(directory: &Path, connections: Option<usize>) -> Result<PathBuf> {
    let pem = |name: &str| -> Result<String> {
        let text = std::fs::read_to_string(directory.join(name))?;
        Ok(text.lines().map(|line| format!("\"{line}\\n\"\n")).collect())
    };
    let connections = connections.map_or_else(String::new, |count| format!(".connections = {count},"));
    let text = format!(
        ".ip = {{ .use_dhcp = 0, .ipaddr = {{ 10, 0, 2, 15 }}, .netmask = {{ 255, 255, 255, 0 }}, .gateway = {{ 10, 0, 2, 2 }}, }},\n\
         .echo = {{ .tls_port = 10007, .plain_port = 10008, {connections} }},\n\
         .tls = {{ .srv_cert =\n{}{},\n.srv_key =\n{}{}, }}\n",
        pem("ec.crt")?,
        pem("rsa.crt")?,
        pem("ec.key")?,
        pem("rsa.key")?,
    );
    let path = directory.join("defconfig");
    std::fs::write(&path, text)?;
    Ok(path)
}

/// QEMU's version.
///
/// # Errors
/// If QEMU does not start.
pub fn qemu_version() -> Result<String> {
    let output = Command::new("qemu-system-x86_64").arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split_whitespace().nth(3).unwrap_or_default().into())
}
