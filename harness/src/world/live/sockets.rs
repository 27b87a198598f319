//! The UDP sockets of one thread: one for each address that media is expected at. The
//! thread sleeps here, until a datagram comes, its inbox is filled, or time is up.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use callrig_media::datagram::Datagram;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

/// The largest datagram that is taken; RTP stays within an MTU.
pub const DATAGRAM_BYTES_MAX: usize = 2_048;
/// So many datagrams of one socket are taken before the next one has its turn.
const TURN: usize = 64;
/// Datagrams share memory in chunks of this size.
const CHUNK_BYTES: usize = 64 * 1_024;
/// How many sockets are told of at once.
const EVENTS: usize = 1_024;
/// The kernel's buffers for a socket: a burst of a video frame fits.
const BUFFER_BYTES: usize = 256 * 1_024;
const WAKE: Token = Token(usize::MAX);

/// What went nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Larger than [`DATAGRAM_BYTES_MAX`].
    pub too_large: u64,
    /// Refused by the system: no room, no way to the destination.
    pub unsent: u64,
    /// From an address at which there is no socket (any more).
    pub unroutable: u64,
}

/// The sockets of one thread.
#[derive(Debug)]
pub struct Sockets {
    poll: Poll,
    events: Events,
    open: Slab<Open>,
    by_address: HashMap<SocketAddr, usize>,
    ready: VecDeque<usize>,
    room: BytesMut,
    counts: Counts,
}

#[derive(Debug)]
struct Open {
    socket: UdpSocket,
    address: SocketAddr,
    ready: bool,
}

impl Sockets {
    /// No sockets yet, and what wakes the thread that waits for them.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new() -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let sockets = Self {
            poll,
            events: Events::with_capacity(EVENTS),
            open: Slab::new(),
            by_address: HashMap::new(),
            ready: VecDeque::new(),
            room: BytesMut::new(),
            counts: Counts::default(),
        };
        Ok((sockets, waker))
    }

    /// Receives at an address from now on; port 0 asks the system for a free one. Says
    /// which address it became.
    ///
    /// # Errors
    /// The address is taken, is not this machine's, or there are no descriptors left.
    pub fn open(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        if self.by_address.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        // Smaller buffers are no reason not to talk.
        let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(BUFFER_BYTES);
        socket.bind(&address.into())?;
        let mut socket = UdpSocket::from_std(socket.into());
        let address = socket.local_addr()?;
        let entry = self.open.vacant_entry();
        self.poll.registry().register(&mut socket, Token(entry.key()), Interest::READABLE)?;
        self.by_address.insert(address, entry.key());
        entry.insert(Open { socket, address, ready: false });
        Ok(address)
    }

    /// Receives no more at an address.
    pub fn close(&mut self, address: SocketAddr) {
        if let Some(key) = self.by_address.remove(&address) {
            let mut open = self.open.remove(key);
            // Closing the descriptor takes it out of the poll anyway.
            let _ = self.poll.registry().deregister(&mut open.socket);
        }
    }

    /// How many sockets are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// What crossed so far, and what did not.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Waits, at most for `timeout`, and takes what has come. Each socket has its turn.
    ///
    /// # Errors
    /// The system's poll fails: nothing can go on.
    pub fn receive(
        &mut self,
        timeout: Option<Duration>,
        into: &mut Vec<Datagram>,
    ) -> io::Result<()> {
        let timeout = if self.ready.is_empty() { timeout } else { Some(Duration::ZERO) };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
            let Token(key) = event.token();
            if let Some(open) = self.open.get_mut(key).filter(|open| !open.ready) {
                open.ready = true;
                self.ready.push_back(key);
            }
        }
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else { break };
            let Some(open) = self.open.get_mut(key).filter(|open| open.ready) else { continue };
            if drain(open, &mut self.room, &mut self.counts, into) {
                self.ready.push_back(key);
            } else {
                open.ready = false;
            }
        }
        Ok(())
    }

    /// Sends each datagram from the socket at its source. What cannot be sent at once is
    /// lost, as in any network.
    pub fn send(&mut self, batch: &mut Vec<Datagram>) {
        for datagram in batch.drain(..) {
            let open = self.by_address.get(&datagram.source).and_then(|key| self.open.get(*key));
            let Some(open) = open else {
                self.counts.unroutable += 1;
                continue;
            };
            match open.socket.send_to(&datagram.payload, datagram.destination) {
                Ok(_) => self.counts.sent += 1,
                Err(_) => self.counts.unsent += 1,
            }
        }
    }
}

/// Takes a turn's worth of datagrams; whether there may be more.
fn drain(open: &Open, room: &mut BytesMut, counts: &mut Counts, into: &mut Vec<Datagram>) -> bool {
    for _ in 0..TURN {
        match open.socket.recv_from(space(room)) {
            Ok((length, _)) if length > DATAGRAM_BYTES_MAX => counts.too_large += 1,
            Ok((length, source)) => {
                counts.received += 1;
                let payload: Bytes = room.split_to(length).freeze();
                into.push(Datagram { source, destination: open.address, payload });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            // What ICMP says of a packet that was sent earlier; the socket is as good as before.
            Err(_) => {}
        }
    }
    true
}

/// Room for one datagram, and for a byte that shows that there would have been more.
fn space(room: &mut BytesMut) -> &mut [u8] {
    if room.len() <= DATAGRAM_BYTES_MAX {
        *room = BytesMut::zeroed(CHUNK_BYTES);
    }
    &mut room[..=DATAGRAM_BYTES_MAX]
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn receive(sockets: &mut Sockets, count: usize) -> Vec<Datagram> {
        let mut arrived = Vec::new();
        for _ in 0..200 {
            sockets.receive(Some(Duration::from_millis(50)), &mut arrived).expect("it polls");
            if arrived.len() >= count {
                break;
            }
        }
        arrived
    }

    #[test]
    fn what_is_sent_from_one_address_arrives_at_the_other_whole_and_in_order() {
        let (mut sockets, _waker) = Sockets::new().expect("a poll");
        let one = sockets.open(ANY).expect("a port");
        let other = sockets.open(ANY).expect("a port");
        let datagram = |byte: u8| Datagram {
            source: one,
            destination: other,
            payload: Bytes::from(vec![byte; 200]),
        };
        let mut batch: Vec<_> = (0..150).map(datagram).collect();
        let expected = batch.clone();
        sockets.send(&mut batch);
        assert!(batch.is_empty());
        assert_eq!(receive(&mut sockets, 150), expected);
        assert_eq!((sockets.counts().sent, sockets.counts().received), (150, 150));
    }

    #[test]
    fn what_is_too_large_or_from_nowhere_is_counted() {
        let (mut sockets, _waker) = Sockets::new().expect("a poll");
        let one = sockets.open(ANY).expect("a port");
        let other = sockets.open(ANY).expect("a port");
        let sized = |length: usize, source| Datagram {
            source,
            destination: other,
            payload: Bytes::from(vec![7; length]),
        };
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let mut batch = vec![
            sized(DATAGRAM_BYTES_MAX + 1, one),
            sized(DATAGRAM_BYTES_MAX, one),
            sized(1, nowhere),
        ];
        sockets.send(&mut batch);
        let arrived = receive(&mut sockets, 1);
        assert_eq!(arrived.len(), 1);
        assert_eq!(arrived[0].payload.len(), DATAGRAM_BYTES_MAX);
        assert_eq!((sockets.counts().too_large, sockets.counts().unroutable), (1, 1));
    }

    #[test]
    fn a_closed_address_can_be_opened_again() {
        let (mut sockets, _waker) = Sockets::new().expect("a poll");
        let address = sockets.open(ANY).expect("a port");
        assert_eq!(
            sockets.open(address).map_err(|error| error.kind()),
            Err(io::ErrorKind::AddrInUse)
        );
        sockets.close(address);
        assert!(sockets.is_empty());
        assert_eq!(sockets.open(address).ok(), Some(address));
    }

    #[test]
    fn a_thread_that_waits_is_woken() {
        let (mut sockets, waker) = Sockets::new().expect("a poll");
        let began = std::time::Instant::now();
        waker.wake().expect("it can be woken");
        let mut arrived = Vec::new();
        sockets.receive(Some(Duration::from_secs(20)), &mut arrived).expect("it polls");
        assert!(arrived.is_empty() && began.elapsed() < Duration::from_secs(10));
    }
}
