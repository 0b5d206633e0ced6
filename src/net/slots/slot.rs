//! A connection slot: a TCP socket in a set of its own.

use core::cell::{Cell, RefCell};

use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::{Socket, tcp};

use super::list::Links;
use super::{Class, CloseReason, ConnectRequest, ConnectionKey, NEVER, NO_LISTENER, NONE};
use crate::nic::MAX_FRAME;

/// A connection slot.
pub(in crate::net) struct TcpSlot {
    /// The socket, alone in its set.
    pub(in crate::net) set: RefCell<SocketSet<'static>>,
    handle: SocketHandle,
    pub(super) large: bool,
    pub(in crate::net) key: Cell<Option<ConnectionKey>>,
    /// Whether the table finds the slot by its key.
    pub(super) hashed: Cell<bool>,
    pub(super) chain: Cell<u16>,
    pub(super) class: Cell<Class>,
    pub(super) links: Links,
    /// In the list of slots that have something to send or to look at.
    pub(super) dirty: Cell<bool>,
    pub(super) dirty_links: Links,
    /// In the accept queue of its listener.
    pub(super) ready: Cell<bool>,
    pub(super) ready_links: Links,
    /// Counts the uses of the slot, so that a handle can tell whether the slot is still its own.
    pub(in crate::net) generation: Cell<u32>,
    pub(in crate::net) listener: Cell<u8>,
    /// Whether we opened the connection.
    pub(in crate::net) outbound: Cell<bool>,
    /// Whether a stream belongs to it.
    pub(in crate::net) owned: Cell<bool>,
    /// Whether the owner has shut the write side.
    pub(in crate::net) shut: Cell<bool>,
    pub(in crate::net) end: Cell<CloseReason>,
    pub(in crate::net) request: Cell<Option<ConnectRequest>>,
    /// Whether it waits for an answer of its neighbour.
    pub(in crate::net) blocked: Cell<bool>,
    /// When the socket wants to be polled, in microseconds.
    pub(in crate::net) poll_at: Cell<i64>,
    /// When its class runs out, in microseconds.
    pub(in crate::net) deadline: Cell<i64>,
    /// The state in which it was last seen.
    pub(in crate::net) state: Cell<tcp::State>,
    /// When the connection began, in microseconds.
    pub(in crate::net) since: Cell<i64>,
    /// Bytes taken from the socket's receive buffer.
    pub(in crate::net) bytes_in: Cell<u64>,
    /// Bytes put into the socket's transmit buffer.
    pub(in crate::net) bytes_out: Cell<u64>,
    /// The peer's initial sequence number.
    pub(in crate::net) irs: Cell<u32>,
    /// Ours.
    pub(in crate::net) iss: Cell<u32>,
    /// No challenge ACK goes out before this, in microseconds.
    pub(in crate::net) challenge_at: Cell<i64>,
    /// The last IPv4 identification; `None` while packets must not be fragmented.
    pub(in crate::net) identification: Cell<Option<u16>>,
    /// The largest IPv6 packet that its path carries, in bytes.
    pub(in crate::net) path_mtu: Cell<u16>,
}

impl TcpSlot {
    /// A free slot around `socket`, for which `storage` is the place.
    pub(in crate::net) fn new(
        storage: &'static mut [SocketStorage<'static>],
        socket: tcp::Socket<'static>,
        large: bool,
    ) -> Self {
        let mut set = SocketSet::new(storage);
        let handle = set.add(socket);
        Self {
            set: RefCell::new(set),
            handle,
            large,
            key: Cell::new(None),
            hashed: Cell::new(false),
            chain: Cell::new(NONE),
            class: Cell::new(Class::FreeLarge),
            links: Links::new(),
            dirty: Cell::new(false),
            dirty_links: Links::new(),
            ready: Cell::new(false),
            ready_links: Links::new(),
            generation: Cell::new(0),
            listener: Cell::new(NO_LISTENER),
            outbound: Cell::new(false),
            owned: Cell::new(false),
            shut: Cell::new(false),
            end: Cell::new(CloseReason::None),
            request: Cell::new(None),
            blocked: Cell::new(false),
            poll_at: Cell::new(NEVER),
            deadline: Cell::new(NEVER),
            state: Cell::new(tcp::State::Closed),
            since: Cell::new(0),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            irs: Cell::new(0),
            iss: Cell::new(0),
            challenge_at: Cell::new(0),
            identification: Cell::new(None),
            path_mtu: Cell::new(u16::MAX),
        }
    }

    /// Runs `f` on the socket. `f` must not come back here for the same slot.
    pub(in crate::net) fn with<R>(&self, f: impl FnOnce(&mut tcp::Socket<'static>) -> R) -> R {
        f(self.set.borrow_mut().get_mut::<tcp::Socket<'_>>(self.handle))
    }

    /// The longest frame that may go out.
    pub(in crate::net) fn longest(&self) -> usize {
        // An Ethernet header comes before the packet.
        MAX_FRAME.min(14 + usize::from(self.path_mtu.get()))
    }

    pub(in crate::net) fn class(&self) -> Class {
        self.class.get()
    }

    pub(in crate::net) fn is_free(&self) -> bool {
        matches!(self.class.get(), Class::FreeLarge | Class::FreeSmall)
    }

    pub(in crate::net) fn wake_at(&self) -> i64 {
        self.poll_at.get().min(self.deadline.get())
    }

    /// Brings the socket back to where it was when new. What smoltcp remembers beside the socket (that the last peer's
    /// neighbour did not answer) would otherwise hold up the next connection for a second.
    pub(super) fn renew(&self) {
        let mut set = self.set.borrow_mut();
        {
            let socket = set.get_mut::<tcp::Socket<'_>>(self.handle);
            // Only `listen` clears everything, and only on a socket that is not open.
            socket.abort();
            let _ = socket.listen(1);
            socket.close();
            socket.set_congestion_control(tcp::CongestionControl::Reno);
        }
        if self.blocked.get()
            && let Socket::Tcp(socket) = set.remove(self.handle)
        {
            set.add(socket);
        }
    }
}
