//! A machine in QEMU that runs the image.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use super::process::{Process, Said};
use super::telnet::Telnet;
use super::{Scratch, poll};

/// The console's line once everything that starts at boot has started.
pub const READY: &str = "ready after ";
/// QEMU's exit status after a panic.
pub const PANIC: i32 = 35;

/// The settings of a machine.
pub struct Setup {
    board: String,
    cpu: String,
    memory: u32,
    image: PathBuf,
    defconfig: Option<Vec<u8>>,
    words: String,
    cards: Vec<Card>,
    ports: Vec<u16>,
    address: Ipv4Addr,
    restarts: bool,
    exit_device: bool,
    unread_console: bool,
    arguments: Vec<String>,
}

/// A network card.
struct Card {
    kind: CardKind,
    network: Network,
}

/// The kinds of network cards.
#[derive(Clone, Copy)]
enum CardKind {
    E1000e,
    Virtio,
    VirtioMmio,
}

impl CardKind {
    /// QEMU's name of the device, with properties by which both kinds report the same link.
    fn device(self) -> &'static str {
        match self {
            Self::E1000e => "e1000e,romfile=",
            Self::Virtio => "virtio-net-pci,romfile=,speed=1000,duplex=full",
            Self::VirtioMmio => "virtio-net-device,speed=1000,duplex=full",
        }
    }
}

/// The network of a card.
enum Network {
    /// QEMU's user network, with forwarded ports.
    User,
    /// A UDP socket, with one frame in each datagram.
    Wire(SocketAddr),
    /// The tap device of a namespace: see [`super::tap`].
    Tap,
}

/// Whether `POSTERN_NIC` selects virtio cards: it is `e1000e`, as if it is not set, or `virtio`.
pub fn nic_is_virtio() -> bool {
    match std::env::var("POSTERN_NIC").as_deref() {
        Err(_) | Ok("e1000e") => false,
        Ok("virtio") => true,
        Ok(other) => panic!("POSTERN_NIC is e1000e or virtio, not {other}"),
    }
}

/// A card of the kind that `POSTERN_NIC` selects.
fn card(network: Network) -> Card {
    let kind = if nic_is_virtio() {
        CardKind::Virtio
    } else {
        CardKind::E1000e
    };
    Card { kind, network }
}

impl Setup {
    /// The machine of `qemu/run`: q35, one card in the user network, the built-in configuration. With `POSTERN_NIC=virtio`
    /// in the environment, cards are virtio cards unless a test wants another.
    pub fn new() -> Self {
        Self {
            board: "q35".into(),
            cpu: "max".into(),
            memory: 64,
            image: super::image(),
            defconfig: None,
            words: "exit-device".into(),
            cards: vec![card(Network::User)],
            ports: vec![10007, 10008, 23],
            address: Ipv4Addr::new(10, 0, 2, 15),
            restarts: false,
            exit_device: true,
            unread_console: false,
            arguments: Vec::new(),
        }
    }

    /// Another board than q35.
    pub fn board(mut self, board: &str) -> Self {
        self.board = board.into();
        self
    }

    /// QEMU's microvm with these options, such as `acpi=off`, and a virtio card with the modern interface on MMIO.
    pub fn microvm(self, options: &str) -> Self {
        self.board(format!("microvm,{options}").trim_end_matches(','))
            .kind(CardKind::VirtioMmio)
            .arguments(&["-global", "virtio-mmio.force-legacy=false"])
    }

    /// Another CPU than `max`.
    pub fn cpu(mut self, cpu: &str) -> Self {
        self.cpu = cpu.into();
        self
    }

    /// Memory in MiB.
    pub fn memory(mut self, mib: u32) -> Self {
        self.memory = mib;
        self
    }

    /// Another image than [`super::image`].
    pub fn image(mut self, image: impl Into<PathBuf>) -> Self {
        self.image = image.into();
        self
    }

    /// A boot module.
    pub fn defconfig(mut self, text: impl AsRef<[u8]>) -> Self {
        self.defconfig = Some(text.as_ref().to_vec());
        self
    }

    /// Adds a word to the image's command line.
    pub fn word(mut self, word: &str) -> Self {
        let _ = write!(self.words, " {word}");
        self
    }

    /// Forwards these ports of the machine instead of 10007, 10008 and 23.
    pub fn ports(mut self, ports: &[u16]) -> Self {
        self.ports = ports.to_vec();
        self
    }

    /// The machine's address in the user network, if it is not 10.0.2.15.
    pub fn address(mut self, address: Ipv4Addr) -> Self {
        self.address = address;
        self
    }

    /// No network card.
    pub fn no_card(mut self) -> Self {
        self.cards.clear();
        self
    }

    /// Adds a network card in a separate user network.
    pub fn second_card(mut self) -> Self {
        self.cards.push(card(Network::User));
        self
    }

    /// Makes the last card a virtio card.
    pub fn virtio(self) -> Self {
        self.kind(CardKind::Virtio)
    }

    /// Makes the last card an 82574L.
    pub fn e1000e(self) -> Self {
        self.kind(CardKind::E1000e)
    }

    fn kind(mut self, kind: CardKind) -> Self {
        self.cards.last_mut().expect("a card").kind = kind;
        self
    }

    /// Connects the card to a UDP socket.
    pub fn wire(mut self, peer: SocketAddr) -> Self {
        self.cards = vec![card(Network::Wire(peer))];
        self
    }

    /// Connects the last card to the tap device of this namespace.
    pub fn tap(mut self) -> Self {
        self.cards.last_mut().expect("a card").network = Network::Tap;
        self
    }

    /// Lets a restart of the machine restart it instead of ending QEMU.
    pub fn restarts(mut self) -> Self {
        self.restarts = true;
        self
    }

    /// Without the device that ends QEMU with a status.
    pub fn no_exit_device(mut self) -> Self {
        self.exit_device = false;
        self.words = self.words.replace("exit-device", "");
        self
    }

    /// The serial port is not read until [`Machine::read_console`], and stalls after a few hundred bytes.
    pub fn unread_console(mut self) -> Self {
        self.unread_console = true;
        self
    }

    /// Further arguments for QEMU.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Starts the machine.
    pub fn boot(self) -> Machine {
        let scratch = Scratch::new();
        let monitor = scratch.path("qmp");
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-nodefaults", "-display", "none", "-accel", "tcg"])
            .args(["-M", &self.board, "-cpu", &self.cpu, "-m", &self.memory.to_string()])
            .arg("-kernel")
            .arg(&self.image)
            .args(["-append", self.words.trim()])
            .args(["-serial", "chardev:console"])
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", monitor.display()));
        let socket = scratch.path("console");
        if self.unread_console {
            // -S: the image does not run before the unread console is connected.
            let chardev = format!("socket,id=console,path={},server=on,wait=off", socket.display());
            command.args(["-S", "-chardev", &chardev]);
        } else {
            command.args(["-chardev", "stdio,id=console,signal=off"]);
        }
        if let Some(text) = &self.defconfig {
            command.arg("-initrd").arg(scratch.file("defconfig", text));
        }
        if self.exit_device {
            command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
        }
        if !self.restarts {
            command.arg("-no-reboot");
        }
        for (number, card) in self.cards.iter().enumerate() {
            let mut netdev = match card.network {
                Network::User => {
                    let [a, b, c, _] = self.address.octets();
                    format!("user,id=net{number},net={a}.{b}.{c}.0/24,host={a}.{b}.{c}.2")
                }
                Network::Wire(peer) => format!("socket,id=net{number},udp={peer},localaddr=127.0.0.1:0"),
                Network::Tap => format!(
                    "tap,id=net{number},ifname={},script=no,downscript=no",
                    super::tap::DEVICE
                ),
            };
            if let (0, Network::User) = (number, &card.network) {
                for port in &self.ports {
                    // Port 0: QEMU takes a free one and reports it.
                    let _ = write!(netdev, ",hostfwd=tcp:127.0.0.1:0-{}:{port}", self.address);
                }
            }
            command.args(["-netdev", &netdev]);
            command.args([
                "-device",
                &format!("{},netdev=net{number},id=card{number}", card.kind.device()),
            ]);
        }
        command.args(&self.arguments);
        let mut process = Process::start(&mut command);
        let stream = poll("QEMU's monitor", || {
            assert!(process.ended().is_none(), "QEMU did not start");
            UnixStream::connect(&monitor).ok()
        });
        let mut machine = Machine {
            process,
            monitor: BufReader::new(stream),
            forwarded: Vec::new(),
            direct: None,
            unread_console: None,
            _scratch: scratch,
        };
        machine.read_reply();
        machine.execute("qmp_capabilities", "{}");
        machine.forwarded = machine.forwarded_ports();
        if self.unread_console {
            machine.unread_console = Some(UnixStream::connect(&socket).unwrap());
            machine.monitor("cont");
        }
        machine
    }

    /// Starts the machine and waits until everything that starts at boot has started and its first card has an address.
    pub fn ready(self) -> Machine {
        let cards = self.cards.len();
        let machine = self.boot();
        machine.wait_for(READY);
        if cards > 0 {
            machine.wait_for("vm0: address ");
        }
        machine
    }
}

/// A running machine, switched off on drop.
pub struct Machine {
    process: Process,
    monitor: BufReader<UnixStream>,
    /// Port of the machine, port of this host.
    forwarded: Vec<(u16, u16)>,
    /// See [`Machine::reach`].
    direct: Option<IpAddr>,
    unread_console: Option<UnixStream>,
    _scratch: Scratch,
}

impl Machine {
    /// The output on its serial console.
    pub fn console(&self) -> &Said {
        &self.process.out
    }

    /// Reads a console that was not read so far.
    pub fn read_console(&self) -> Said {
        let console = self.unread_console.as_ref().expect("the console is read already");
        Said::by(console.try_clone().unwrap())
    }

    /// Waits for a text on the console.
    pub fn wait_for(&self, text: &str) {
        self.console().wait_for(text);
    }

    /// Types on the serial console.
    pub fn type_in(&mut self, text: &str) {
        match &mut self.unread_console {
            Some(console) => console.write_all(text.as_bytes()).unwrap(),
            None => self.process.write(text.as_bytes()),
        }
    }

    /// Without a user network: the address of the machine by which it is reached from now on.
    pub fn reach(&mut self, address: IpAddr) {
        self.direct = Some(address);
    }

    /// The address by which this host reaches a port of the machine.
    pub fn at(&self, port: u16) -> SocketAddr {
        if let Some(address) = self.direct {
            return (address, port).into();
        }
        let found = self.forwarded.iter().find(|(guest, _)| *guest == port);
        let (_, host) = found.unwrap_or_else(|| panic!("port {port} is not forwarded"));
        (Ipv4Addr::LOCALHOST, *host).into()
    }

    /// A session on the debug shell.
    pub fn shell(&self) -> Telnet {
        Telnet::connect(self.at(23))
    }

    /// The debug shell's output for a command.
    pub fn ask(&self, command: &str) -> String {
        self.shell().command(command)
    }

    /// Waits for the end of QEMU and returns its exit status.
    pub fn wait(&mut self) -> i32 {
        self.process.wait().code().expect("QEMU was killed")
    }

    /// QEMU's process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Runs a command of QEMU's human monitor.
    pub fn monitor(&mut self, command: &str) -> String {
        let arguments = format!(r#"{{"command-line": "{command}"}}"#);
        let reply = self.execute("human-monitor-command", &arguments);
        reply.replace("\\r\\n", "\n").replace("\\\"", "\"")
    }

    fn execute(&mut self, command: &str, arguments: &str) -> String {
        let line = format!(r#"{{"execute": "{command}", "arguments": {arguments}}}"#);
        self.monitor.get_mut().write_all(line.as_bytes()).unwrap();
        let reply = self.read_reply();
        assert!(!reply.contains("\"error\""), "{command}: {reply}");
        reply
    }

    /// The next line of the monitor that is not an event.
    fn read_reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.monitor.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "QEMU has ended");
            if !line.contains("\"event\"") {
                return line;
            }
        }
    }

    /// Lines of `info usernet`: `TCP[HOST_FORWARD]  9  127.0.0.1 44653  10.0.2.15 10007  0  0`.
    fn forwarded_ports(&mut self) -> Vec<(u16, u16)> {
        let table = self.monitor("info usernet");
        let lines = table.lines().filter(|line| line.contains("HOST_FORWARD"));
        lines
            .map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                (fields[5].parse().unwrap(), fields[3].parse().unwrap())
            })
            .collect()
    }
}
