//! The UDP sockets of one actor: one for each address that media is expected at. Its thread
//! sleeps here, until a datagram comes, its inbox is filled, or time is up. What has
//! come is taken many datagrams at a time, and what leaves one socket leaves together, where the
//! kernel can (`recvmmsg`, GRO; `sendmmsg`, GSO).

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use callrig_media::datagram::Datagram;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use slab::Slab;

use self::leave::Leaving;
use super::streams::Streams;

#[cfg(target_os = "linux")]
mod leave;
#[cfg(not(target_os = "linux"))]
#[path = "sockets/leave_singly.rs"]
mod leave;

/// The largest datagram that is taken; RTP stays within an MTU.
pub const DATAGRAM_BYTES_MAX: usize = 2_048;
/// So many times the kernel is asked for datagrams of one socket before the next one has its
/// turn.
const TURN: usize = 4;
/// Room for what the kernel hands over in one piece: a datagram, or a row of them.
const PIECE_BYTES: usize = 64 * 1_024;
/// How many pieces are taken at once.
const PIECES: usize = if BATCH_SIZE < 16 { BATCH_SIZE } else { 16 };
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
    registry: Registry,
    open: Slab<Open>,
    by_address: HashMap<SocketAddr, usize>,
    ready: VecDeque<usize>,
    streams: Streams,
    taking: Taking,
    counts: Counts,
}

/// What a thread sleeps in until something comes to its sockets, and what woke it.
#[derive(Debug)]
pub struct Sleeper {
    poll: Poll,
    events: Events,
}

impl Sleeper {
    /// Sleeps, at most so long, until something has come.
    ///
    /// # Errors
    /// The system's poll fails: nothing can go on.
    pub fn sleep(&mut self, most: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, most) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether an address is nobody's yet. Any other trouble with it is left to [`Sockets::open`],
/// which can say what it is.
#[must_use]
pub fn is_free(address: SocketAddr) -> bool {
    let bound = std::net::UdpSocket::bind(address);
    !bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// Where datagrams are put.
#[derive(Debug)]
struct Taking {
    pieces: Vec<u8>,
    meta: [RecvMeta; PIECES],
    room: BytesMut,
}

#[derive(Debug)]
struct Open {
    socket: UdpSocket,
    state: UdpSocketState,
    leaving: Leaving,
    address: SocketAddr,
    ready: bool,
}

impl Sockets {
    /// No sockets yet, what their thread sleeps in, and what wakes it.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new() -> io::Result<(Self, Sleeper, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let sockets = Self {
            registry: poll.registry().try_clone()?,
            open: Slab::new(),
            by_address: HashMap::new(),
            ready: VecDeque::new(),
            streams: Streams::default(),
            taking: Taking {
                pieces: vec![0; PIECES * PIECE_BYTES],
                meta: [RecvMeta::default(); PIECES],
                room: BytesMut::new(),
            },
            counts: Counts::default(),
        };
        Ok((sockets, Sleeper { poll, events: Events::with_capacity(EVENTS) }, waker))
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
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let mut socket = UdpSocket::from_std(socket.into());
        let address = socket.local_addr()?;
        let entry = self.open.vacant_entry();
        self.registry.register(&mut socket, Token(entry.key()), Interest::READABLE)?;
        self.by_address.insert(address, entry.key());
        let leaving = Leaving::new(state.max_gso_segments());
        entry.insert(Open { socket, state, leaving, address, ready: false });
        Ok(address)
    }

    /// Receives datagrams over TCP at an address from now on, which has to be another one than
    /// those of UDP: a way is known by its two ends. Port 0 asks the system for a free one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        self.streams.listen(address, &self.registry)
    }

    /// Receives no more at an address.
    pub fn close(&mut self, address: SocketAddr) {
        if let Some(key) = self.by_address.remove(&address) {
            let mut open = self.open.remove(key);
            // Closing the descriptor takes it out of the poll anyway.
            let _ = self.registry.deregister(&mut open.socket);
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

    /// Whether something has come that nobody has taken yet.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.ready.is_empty() || !self.streams.ready.is_empty()
    }

    /// Takes what has come. Each socket has its turn.
    pub fn receive(&mut self, woken: &Sleeper, into: &mut Vec<Datagram>) {
        for event in &woken.events {
            if self.streams.wake(event.token(), &self.registry) {
                continue;
            }
            let Token(key) = event.token();
            if let Some(open) = self.open.get_mut(key).filter(|open| !open.ready) {
                open.ready = true;
                self.ready.push_back(key);
            }
        }
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else { break };
            let Some(open) = self.open.get_mut(key).filter(|open| open.ready) else { continue };
            if drain(open, &mut self.taking, &mut self.counts, into) {
                self.ready.push_back(key);
            } else {
                open.ready = false;
            }
        }
        self.streams.receive(&self.registry, &mut self.counts, into);
    }

    /// Sends each datagram from the socket at its source, or by the connection between its
    /// ends. What cannot be sent at once is
    /// lost, as in any network.
    pub fn send(&mut self, batch: &mut Vec<Datagram>) {
        let mut rest = batch.as_slice();
        while let Some(first) = rest.first() {
            if self.streams.send(first, &mut self.counts) {
                rest = &rest[1..];
                continue;
            }
            let key = self.by_address.get(&first.source);
            let open = key.and_then(|key| self.open.get_mut(*key));
            let Some(open) = open else {
                self.counts.unroutable += 1;
                rest = &rest[1..];
                continue;
            };
            let theirs = rest.iter().position(|datagram| datagram.source != first.source);
            let (group, others) = rest.split_at(theirs.unwrap_or(rest.len()));
            rest = others;
            open.leaving.send(&open.socket, group, &mut self.counts);
        }
        batch.clear();
    }
}

fn send_one(socket: &UdpSocket, datagram: &Datagram, counts: &mut Counts) {
    match socket.send_to(&datagram.payload, datagram.destination) {
        Ok(_) => counts.sent += 1,
        Err(_) => counts.unsent += 1,
    }
}

/// Takes a turn's worth of datagrams; whether there may be more.
fn drain(open: &Open, taking: &mut Taking, counts: &mut Counts, into: &mut Vec<Datagram>) -> bool {
    let Taking { pieces, meta, room } = taking;
    for _ in 0..TURN {
        let mut chunks = pieces.chunks_mut(PIECE_BYTES);
        let mut slices: [IoSliceMut<'_>; PIECES] =
            core::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let taken = match open.state.recv(UdpSockRef::from(&open.socket), &mut slices, meta) {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            // What ICMP says of a packet that was sent earlier; the socket is as good as before.
            Err(_) => continue,
        };
        for (slice, meta) in slices.iter().zip(meta.iter()).take(taken) {
            let bytes = &slice[..meta.len];
            // An empty datagram is one as well.
            let count = bytes.len().div_ceil(meta.stride.max(1)).max(1);
            for index in 0..count {
                let from = index * meta.stride;
                let part = &bytes[from..(from + meta.stride).min(bytes.len())];
                if part.len() > DATAGRAM_BYTES_MAX {
                    counts.too_large += 1;
                    continue;
                }
                counts.received += 1;
                if room.capacity() < part.len() {
                    room.reserve(CHUNK_BYTES);
                }
                room.extend_from_slice(part);
                let payload: Bytes = room.split().freeze();
                into.push(Datagram { source: meta.addr, destination: open.address, payload });
            }
        }
        if taken < PIECES {
            return false;
        }
    }
    true
}

#[cfg(test)]
pub(super) mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    /// So often a test waits for something.
    pub(in super::super) const TURNS_MAX: usize = 200;

    /// Takes what comes within a moment.
    pub(in super::super) fn turn(
        sockets: &mut Sockets,
        sleeper: &mut Sleeper,
        into: &mut Vec<Datagram>,
    ) {
        let more = sockets.has_more().then_some(Duration::ZERO);
        sleeper.sleep(more.or(Some(Duration::from_millis(50)))).expect("it polls");
        sockets.receive(sleeper, into);
    }

    pub(in super::super) fn receive(
        sockets: &mut Sockets,
        sleeper: &mut Sleeper,
        count: usize,
    ) -> Vec<Datagram> {
        let mut arrived = Vec::new();
        for _ in 0..TURNS_MAX {
            turn(sockets, sleeper, &mut arrived);
            if arrived.len() >= count {
                break;
            }
        }
        arrived
    }

    #[test]
    fn what_is_sent_from_one_address_arrives_at_the_other_whole_and_in_order() {
        let (mut sockets, mut sleeper, _waker) = Sockets::new().expect("a poll");
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
        assert_eq!(receive(&mut sockets, &mut sleeper, 150), expected);
        assert_eq!((sockets.counts().sent, sockets.counts().received), (150, 150));
    }

    #[test]
    fn what_is_too_large_or_from_nowhere_is_counted() {
        let (mut sockets, mut sleeper, _waker) = Sockets::new().expect("a poll");
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
        let arrived = receive(&mut sockets, &mut sleeper, 1);
        assert_eq!(arrived.len(), 1);
        assert_eq!(arrived[0].payload.len(), DATAGRAM_BYTES_MAX);
        assert_eq!((sockets.counts().too_large, sockets.counts().unroutable), (1, 1));
    }

    #[test]
    fn bursts_to_several_places_arrive_whole_and_in_order() {
        let (mut sockets, mut sleeper, _waker) = Sockets::new().expect("a poll");
        let one = sockets.open(ANY).expect("a port");
        let others = [sockets.open(ANY).expect("a port"), sockets.open(ANY).expect("a port")];
        let mut batch: Vec<_> = (0..60_usize)
            .map(|index| Datagram {
                source: one,
                destination: others[index / 10 % 2],
                payload: Bytes::from(vec![index as u8; if index % 10 == 9 { 300 } else { 1_200 }]),
            })
            .collect();
        let expected = batch.clone();
        sockets.send(&mut batch);
        assert_eq!(sockets.counts().sent, 60);
        let arrived = receive(&mut sockets, &mut sleeper, 60);
        for other in others {
            let to = |datagrams: &[Datagram]| -> Vec<Datagram> {
                datagrams.iter().filter(|d| d.destination == other).cloned().collect()
            };
            assert_eq!(to(&arrived), to(&expected));
        }
    }

    #[test]
    fn a_closed_address_can_be_opened_again() {
        let (mut sockets, _sleeper, _waker) = Sockets::new().expect("a poll");
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
        let (mut sockets, mut sleeper, waker) = Sockets::new().expect("a poll");
        let began = std::time::Instant::now();
        waker.wake().expect("it can be woken");
        let mut arrived = Vec::new();
        sleeper.sleep(Some(Duration::from_secs(20))).expect("it polls");
        sockets.receive(&sleeper, &mut arrived);
        assert!(arrived.is_empty() && began.elapsed() < Duration::from_secs(10));
    }
}
