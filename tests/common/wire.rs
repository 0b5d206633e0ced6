//! The other end of the network cable: any frame, and a correct TCP peer.
//!
//! The correct peer is at 10.0.2.2, where smoltcp connects to the machine on behalf of clients on this host
//! ([`Wire::forward`]). All other addresses are *ghosts*: frames for them are recorded for the test ([`Wire::seen`]), which
//! may answer or not.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, HardwareAddress,
    IpAddress, IpCidr, IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

use super::LIMIT;
use super::dhcp::{self, DhcpServer};

/// The machine's address.
pub const MACHINE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The peer's address, the machine's gateway.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The Ethernet address of all peers.
const MAC: EthernetAddress = EthernetAddress([0x02, 0, 0, 0, 0, 0x02]);

/// The cable, cut on drop.
pub struct Wire {
    socket: Arc<UdpSocket>,
    shared: Arc<Shared>,
    streams: Sender<(TcpStream, u16, Reading)>,
    forwards: Mutex<Vec<SocketAddr>>,
}

/// The reading speed of a client's end of the cable.
#[derive(Debug, Clone, Copy)]
pub enum Reading {
    /// As fast as the client does.
    Fast,
    /// This many bytes, then one in each interval, or none. Its window is one kilobyte.
    Slow(usize, Option<Duration>),
}

/// The state shared by the test and the cable's thread.
#[derive(Default)]
pub struct Shared {
    stop: AtomicBool,
    /// See [`Wire::delay`], in microseconds.
    delay: AtomicU64,
    /// Frames of the correct peer, in the order in which they are due.
    delayed: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    /// See [`Wire::serve_dhcp`].
    dhcp: Mutex<Option<DhcpServer>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The machine's Ethernet address, and the address of QEMU's end of the cable: known from the first frame on.
    machine: Option<(EthernetAddress, SocketAddr)>,
    seen: VecDeque<Segment>,
    /// Segments to ghosts.
    answered: u32,
}

/// A TCP segment from the machine to a ghost.
#[derive(Debug, Clone)]
pub struct Segment {
    /// The ghost.
    pub to: (Ipv4Addr, u16),
    /// The machine's port.
    pub port: u16,
    /// SYN, FIN, RST, PSH.
    pub control: TcpControl,
    /// Sequence number.
    pub seq: TcpSeqNumber,
    /// Acknowledgement.
    pub ack: Option<TcpSeqNumber>,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Wire {
    /// A new cable, not connected to a machine yet.
    pub fn new() -> Self {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let shared = Arc::<Shared>::default();
        let (streams, new_streams) = channel();
        let peer = Peer {
            socket: Arc::clone(&socket),
            shared: Arc::clone(&shared),
            pending: VecDeque::new(),
        };
        std::thread::spawn(move || peer.run(new_streams));
        Self {
            socket,
            shared,
            streams,
            forwards: Mutex::default(),
        }
    }

    /// For `Setup::wire`.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Listens on this host and forwards connections to that port of the machine.
    pub fn forward(&self, port: u16) -> SocketAddr {
        self.forward_reading(port, Reading::Fast)
    }

    /// As [`Wire::forward`], for clients with this reading speed.
    pub fn forward_reading(&self, port: u16, reading: Reading) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (shared, streams) = (Arc::clone(&self.shared), self.streams.clone());
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if shared.stop.load(Ordering::Relaxed) || streams.send((stream, port, reading)).is_err() {
                    return;
                }
            }
        });
        self.forwards.lock().unwrap().push(address);
        address
    }

    /// The round-trip time of the correct peer: its frames reach the machine this much later. Frames of ghosts are not
    /// delayed.
    pub fn delay(&self, round_trip: Duration) {
        let micros = u64::try_from(round_trip.as_micros()).unwrap();
        self.shared.delay.store(micros, Ordering::Relaxed);
    }

    /// Starts a DHCP server that replies at once to each message of the machine.
    pub fn serve_dhcp(&self, server: DhcpServer) {
        *self.shared.dhcp.lock().unwrap() = Some(server);
    }

    /// Waits for the machine's first frame, which shows its address.
    pub fn connected(&self) {
        let state = self.shared.state.lock().unwrap();
        let wait = self
            .shared
            .changed
            .wait_timeout_while(state, LIMIT, |state| state.machine.is_none());
        assert!(!wait.unwrap().1.timed_out(), "the machine sends nothing");
    }

    /// Sends a frame unchanged.
    pub fn send(&self, frame: &[u8]) {
        let (_, address) = self
            .shared
            .state
            .lock()
            .unwrap()
            .machine
            .expect("connected() comes first");
        self.socket.send_to(frame, address).unwrap();
    }

    /// A frame to the machine that carries `payload`.
    pub fn frame(&self, protocol: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
        let (machine, _) = self
            .shared
            .state
            .lock()
            .unwrap()
            .machine
            .expect("connected() comes first");
        ethernet(machine, protocol, payload)
    }

    /// A TCP segment from a ghost to the machine, as a frame.
    pub fn segment(&self, from: (Ipv4Addr, u16), port: u16, change: impl FnOnce(&mut TcpRepr<'_>)) -> Vec<u8> {
        let mut segment = TcpRepr {
            src_port: from.1,
            dst_port: port,
            control: TcpControl::None,
            seq_number: TcpSeqNumber(1000),
            ack_number: None,
            window_len: 65535,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        change(&mut segment);
        let packet = Ipv4Repr {
            src_addr: from.0,
            dst_addr: MACHINE,
            next_header: IpProtocol::Tcp,
            payload_len: segment.buffer_len(),
            hop_limit: 64,
        };
        let checksums = ChecksumCapabilities::default();
        let mut bytes = vec![0; packet.buffer_len() + segment.buffer_len()];
        let mut view = Ipv4Packet::new_unchecked(&mut bytes);
        packet.emit(&mut view, &checksums);
        let (from, to) = (from.0.into(), MACHINE.into());
        segment.emit(
            &mut TcpPacket::new_unchecked(view.payload_mut()),
            &from,
            &to,
            &checksums,
        );
        self.frame(EthernetProtocol::Ipv4, &bytes)
    }

    /// A SYN from a ghost.
    pub fn syn(&self, from: (Ipv4Addr, u16), port: u16) {
        self.send(&self.segment(from, port, |segment| {
            segment.control = TcpControl::Syn;
            segment.max_seg_size = Some(1460);
        }));
    }

    /// The ghost's answer to a SYN-ACK, which opens the connection, with `payload`.
    pub fn acknowledge(&self, syn_ack: &Segment, payload: &[u8]) {
        // TcpRepr borrows the payload for less long than a closure could promise.
        let frame = self.segment(syn_ack.to, syn_ack.port, |segment| {
            segment.seq_number = TcpSeqNumber(1001);
            segment.ack_number = Some(syn_ack.seq + 1);
            segment.control = TcpControl::Psh;
        });
        let frame = if payload.is_empty() {
            frame
        } else {
            with_payload(&frame, payload)
        };
        self.send(&frame);
    }

    /// One byte from the ghost of an open connection, in a separate segment, after `sent` others.
    pub fn say_byte(&self, syn_ack: &Segment, sent: usize, byte: u8) {
        let frame = self.segment(syn_ack.to, syn_ack.port, |segment| {
            segment.seq_number = TcpSeqNumber(1001) + sent;
            segment.ack_number = Some(syn_ack.seq + 1);
            segment.control = TcpControl::Psh;
        });
        self.send(&with_payload(&frame, &[byte]));
    }

    /// The number of segments from the machine to ghosts; they are removed.
    pub fn ghosts_answered(&self) -> u32 {
        let mut state = self.shared.state.lock().unwrap();
        state.seen.clear();
        state.answered
    }

    /// Waits for a segment to a ghost that `wanted` accepts; earlier ones are removed.
    pub fn seen(&self, what: &str, mut wanted: impl FnMut(&Segment) -> bool) -> Segment {
        self.seen_within(LIMIT, &mut wanted)
            .unwrap_or_else(|| panic!("{what}: not seen"))
    }

    /// As above, or `None` if there is none.
    pub fn seen_within(&self, limit: Duration, mut wanted: impl FnMut(&Segment) -> bool) -> Option<Segment> {
        let start = Instant::now();
        let mut state = self.shared.state.lock().unwrap();
        loop {
            while let Some(segment) = state.seen.pop_front() {
                if wanted(&segment) {
                    return Some(segment);
                }
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return None;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // The listeners notice new connections.
        for address in self.forwards.lock().unwrap().drain(..) {
            let _ = TcpStream::connect(address);
        }
    }
}

/// An Ethernet frame from here.
fn ethernet(to: EthernetAddress, protocol: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
    let header = EthernetRepr {
        src_addr: MAC,
        dst_addr: to,
        ethertype: protocol,
    };
    let mut frame = vec![0; header.buffer_len() + payload.len()];
    let mut view = EthernetFrame::new_unchecked(&mut frame);
    header.emit(&mut view);
    view.payload_mut().copy_from_slice(payload);
    frame
}

/// The frame of a TCP segment, with that payload instead of none.
fn with_payload(frame: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut frame = [frame, payload].concat();
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
    let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
    let len = packet.total_len() + u16::try_from(payload.len()).unwrap();
    packet.set_total_len(len);
    packet.fill_checksum();
    let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
    TcpPacket::new_unchecked(packet.payload_mut()).fill_checksum(&from, &to);
    frame
}

/// The cable's thread.
struct Peer {
    socket: Arc<UdpSocket>,
    shared: Arc<Shared>,
    /// Frames for the correct peer.
    pending: VecDeque<Vec<u8>>,
}

/// Bytes of a socket's buffer, each way.
const BUFFER: usize = 64 * 1024;

/// A client on this host and its connection to the machine.
struct Pair {
    client: TcpStream,
    socket: SocketHandle,
    /// Whether the client, and the machine, have sent everything.
    ended: (bool, bool),
    reading: Reading,
    /// When a slow client reads its next byte.
    next: Instant,
}

impl Peer {
    fn run(mut self, streams: Receiver<(TcpStream, u16, Reading)>) {
        let config = Config::new(HardwareAddress::Ethernet(MAC));
        let now = || smoltcp::time::Instant::from_micros(i64::try_from(epoch().elapsed().as_micros()).unwrap());
        let mut interface = Interface::new(config, &mut self, now());
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::from(GATEWAY), 24)).unwrap();
        });
        let mut storage: Vec<SocketStorage<'_>> = (0..256).map(|_| SocketStorage::EMPTY).collect();
        let mut sockets = SocketSet::new(&mut storage[..]);
        let mut pairs: Vec<Pair> = Vec::new();
        let mut port = 20_000;
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.receive();
            self.send_delayed();
            while let Ok((client, to, reading)) = streams.try_recv() {
                client.set_nonblocking(true).unwrap();
                let _ = client.set_nodelay(true);
                // Leaked: there are few, and the process ends soon.
                let buffer = |len: usize| tcp::SocketBuffer::new(vec![0_u8; len].leak());
                let window = match reading {
                    Reading::Fast => BUFFER,
                    Reading::Slow(..) => 1024,
                };
                let mut socket = tcp::Socket::new(buffer(window), buffer(BUFFER));
                socket.set_nagle_enabled(false);
                socket.connect(interface.context(), (MACHINE, to), port).unwrap();
                port += 1;
                let socket = sockets.add(socket);
                pairs.push(Pair {
                    client,
                    socket,
                    ended: (false, false),
                    reading,
                    next: Instant::now(),
                });
            }
            interface.poll(now(), &mut self, &mut sockets);
            pairs.retain_mut(|pair| {
                let alive = pair.pump(sockets.get_mut(pair.socket));
                if !alive {
                    sockets.get_mut::<tcp::Socket<'_>>(pair.socket).abort();
                    interface.poll(now(), &mut self, &mut sockets);
                    sockets.remove(pair.socket);
                }
                alive
            });
            interface.poll(now(), &mut self, &mut sockets);
        }
    }

    /// Receives frames: waits for the first and takes the queued ones.
    fn receive(&mut self) {
        let mut buffer = [0; 2048];
        for turn in 0..64 {
            if turn == 1 {
                self.socket.set_nonblocking(true).unwrap();
            }
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => self.sort(&buffer[..len], from),
                Err(_) => break,
            }
        }
        self.socket.set_nonblocking(false).unwrap();
    }

    /// Sends the frames that are due.
    fn send_delayed(&self) {
        let mut delayed = self.shared.delayed.lock().unwrap();
        let Some((_, address)) = self.shared.state.lock().unwrap().machine else {
            return;
        };
        while delayed.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let _ = delayed
                .pop_front()
                .map(|(_, frame)| self.socket.send_to(&frame, address));
        }
    }

    /// Dispatches a frame by its destination.
    fn sort(&mut self, frame: &[u8], from: SocketAddr) {
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else {
            return;
        };
        {
            let mut state = self.shared.state.lock().unwrap();
            state.machine = Some((ethernet.src_addr(), from));
            self.shared.changed.notify_all();
        }
        match ethernet.ethertype() {
            EthernetProtocol::Arp => {
                self.answer_arp(&ethernet, from);
                self.pending.push_back(frame.to_vec());
            }
            EthernetProtocol::Ipv4 => {
                let Ok(packet) = Ipv4Packet::new_checked(ethernet.payload()) else {
                    return;
                };
                if let Some(server) = &mut *self.shared.dhcp.lock().unwrap()
                    && packet.next_header() == IpProtocol::Udp
                    && let Some(reply) = dhcp::reply(&packet, server)
                {
                    let reply = self::ethernet(ethernet.src_addr(), EthernetProtocol::Ipv4, &reply);
                    let _ = self.socket.send_to(&reply, from);
                    return;
                }
                if packet.dst_addr() != GATEWAY
                    && let Ok(segment) = TcpPacket::new_checked(packet.payload())
                {
                    self.keep(packet.dst_addr(), &segment);
                    return;
                }
                self.pending.push_back(frame.to_vec());
            }
            _ => {}
        }
    }

    /// Answers ARP for every address except the machine's.
    fn answer_arp(&self, ethernet: &EthernetFrame<&[u8]>, from: SocketAddr) {
        let Ok(packet) = ArpPacket::new_checked(ethernet.payload()) else {
            return;
        };
        let Ok(ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        }) = ArpRepr::parse(&packet)
        else {
            return;
        };
        if target_protocol_addr == MACHINE {
            return;
        }
        let reply = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: MAC,
            source_protocol_addr: target_protocol_addr,
            target_hardware_addr: source_hardware_addr,
            target_protocol_addr: source_protocol_addr,
        };
        let mut bytes = vec![0; reply.buffer_len()];
        reply.emit(&mut ArpPacket::new_unchecked(&mut bytes));
        let _ = self.socket.send_to(&ethernet_to(source_hardware_addr, &bytes), from);
    }

    fn keep(&self, to: Ipv4Addr, segment: &TcpPacket<&[u8]>) {
        let control = match (segment.syn(), segment.fin(), segment.rst(), segment.psh()) {
            (true, ..) => TcpControl::Syn,
            (_, true, ..) => TcpControl::Fin,
            (_, _, true, _) => TcpControl::Rst,
            (.., true) => TcpControl::Psh,
            _ => TcpControl::None,
        };
        let mut state = self.shared.state.lock().unwrap();
        state.answered += 1;
        state.seen.push_back(Segment {
            to: (to, segment.dst_port()),
            port: segment.src_port(),
            control,
            seq: segment.seq_number(),
            ack: segment.ack().then(|| segment.ack_number()),
            payload: segment.payload().to_vec(),
        });
        self.shared.changed.notify_all();
    }
}

fn ethernet_to(to: EthernetAddress, arp: &[u8]) -> Vec<u8> {
    ethernet(to, EthernetProtocol::Arp, arp)
}

impl Pair {
    /// The number of bytes that the client reads now.
    fn room(&self) -> usize {
        match self.reading {
            Reading::Fast => usize::MAX,
            Reading::Slow(0, Some(_)) if self.next <= Instant::now() => 1,
            Reading::Slow(first, _) => first,
        }
    }

    fn took(&mut self, count: usize) {
        if let (Reading::Slow(first, pause), 1..) = (&mut self.reading, count) {
            *first = first.saturating_sub(count);
            self.next = Instant::now() + pause.unwrap_or_default();
        }
    }

    /// Moves data in both directions. Returns whether more may follow.
    fn pump(&mut self, socket: &mut tcp::Socket<'_>) -> bool {
        if !self.ended.0 && socket.can_send() {
            let read = socket.send(|room| match self.client.read(room) {
                Ok(0) if !room.is_empty() => (0, Err(ErrorKind::UnexpectedEof)),
                Ok(count) => (count, Ok(())),
                Err(error) => (0, Err(error.kind())),
            });
            match read {
                Ok(Ok(()) | Err(ErrorKind::WouldBlock)) => {}
                // A slow reader is dropped at once.
                Ok(Err(ErrorKind::UnexpectedEof)) if matches!(self.reading, Reading::Slow(..)) => return false,
                Ok(Err(ErrorKind::UnexpectedEof)) => {
                    socket.close();
                    self.ended.0 = true;
                }
                // The client was reset.
                _ => return false,
            }
        }
        if socket.can_recv() {
            let room = self.room();
            let mut taken = 0;
            let written = socket.recv(|data| match self.client.write(&data[..data.len().min(room)]) {
                Ok(count) => {
                    taken = count;
                    (count, Ok(()))
                }
                Err(error) => (0, Err(error.kind())),
            });
            self.took(taken);
            if !matches!(written, Ok(Ok(()) | Err(ErrorKind::WouldBlock))) {
                return false;
            }
        } else if !self.ended.1 && !socket.may_recv() && !matches!(socket.state(), tcp::State::SynSent) {
            self.ended.1 = true;
            let _ = self.client.shutdown(std::net::Shutdown::Write);
        }
        !matches!(socket.state(), tcp::State::Closed | tcp::State::TimeWait)
    }
}

/// The start of its clock.
fn epoch() -> Instant {
    static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

impl Device for Peer {
    type RxToken<'a> = Received;
    type TxToken<'a> = ToSend;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received, ToSend)> {
        let frame = self.pending.pop_front()?;
        Some((Received(frame), ToSend::by(self)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<ToSend> {
        Some(ToSend::by(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// A frame for smoltcp.
pub struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// A frame from smoltcp.
pub struct ToSend(Arc<UdpSocket>, Arc<Shared>);

impl ToSend {
    fn by(peer: &Peer) -> Self {
        Self(Arc::clone(&peer.socket), Arc::clone(&peer.shared))
    }
}

impl TxToken for ToSend {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self(socket, shared) = self;
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        let delay = Duration::from_micros(shared.delay.load(Ordering::Relaxed));
        let mut delayed = shared.delayed.lock().unwrap();
        if !delay.is_zero() || !delayed.is_empty() {
            delayed.push_back((Instant::now() + delay, frame));
        } else if let Some((_, address)) = shared.state.lock().unwrap().machine {
            let _ = socket.send_to(&frame, address);
        }
        result
    }
}
