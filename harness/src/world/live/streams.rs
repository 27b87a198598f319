//! Datagrams over TCP, for peers that UDP does not reach: framed by their lengths (RFC 4571),
//! at passive host candidates (RFC 6544), so that we only ever listen. A connection is known by
//! its two ends, as a way is. Its first frame has to be a check (RFC 8489); who says something
//! else, or nothing, is let go, and there are never more than [`CONNECTIONS_MAX`].

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::time::Instant;

use bytes::{Buf as _, BufMut as _, BytesMut};
use callrig_media::datagram::Datagram;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use slab::Slab;

use super::sockets::{Counts, DATAGRAM_BYTES_MAX};

/// How many connections there may be.
pub(super) const CONNECTIONS_MAX: usize = 1_024;
/// How long a connection may be silent at first.
const SILENT_MAX: Duration = Duration::from_secs(10);
/// How much may wait for a slow reader; beyond, datagrams are lost, as in any network.
const WAITING_BYTES_MAX: usize = 128 * 1_024;
/// How much is read at once, and how often before others have their turn.
const READ_BYTES: usize = 16 * 1_024;
const TURN: usize = 8;
/// Bytes in front of a datagram.
const LENGTH: usize = 2;
/// After so long without a word the system looks whether the peer is there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Tokens of listeners, and of connections, begin here.
const LISTENERS: usize = 1 << 24;
const CONNECTIONS: usize = 1 << 25;

/// What of a thread is reached by TCP.
#[derive(Debug, Default)]
pub(super) struct Streams {
    listeners: Vec<(TcpListener, SocketAddr)>,
    connections: Slab<Connection>,
    by_ends: HashMap<(SocketAddr, SocketAddr), usize>,
    /// Connections from which not everything was read.
    pub(super) ready: Vec<usize>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    local: SocketAddr,
    peer: SocketAddr,
    began: Instant,
    /// A check has come.
    spoke: bool,
    incoming: BytesMut,
    outgoing: BytesMut,
}

/// Whether a connection is still of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// All was read for now.
    Waits,
    /// There may be more to read.
    HasMore,
    Ended,
}

impl Streams {
    /// Listens at an address; says which it became.
    pub(super) fn listen(
        &mut self,
        address: SocketAddr,
        registry: &Registry,
    ) -> io::Result<SocketAddr> {
        let mut listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let token = Token(LISTENERS + self.listeners.len());
        registry.register(&mut listener, token, Interest::READABLE)?;
        self.listeners.push((listener, address));
        Ok(address)
    }

    /// Something happened at this token; whether it is one of ours.
    pub(super) fn wake(&mut self, Token(token): Token, registry: &Registry) -> bool {
        if token >= CONNECTIONS {
            let key = token - CONNECTIONS;
            // The waker's is the greatest of all.
            if !self.connections.contains(key) {
                return false;
            }
            if self.connections[key].flush().is_err() {
                self.remove(key, registry);
            } else if !self.ready.contains(&key) {
                self.ready.push(key);
            }
            return true;
        }
        if token >= LISTENERS {
            self.accept(token - LISTENERS, registry);
            return true;
        }
        false
    }

    fn accept(&mut self, listener: usize, registry: &Registry) {
        loop {
            let Some((listener, local)) = self.listeners.get(listener) else { return };
            let (mut stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // That one is gone; the next may not be. Without descriptors there is no next.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return tracing::warn!(%error, "a connection for media is lost"),
            };
            let local = *local;
            if !self.make_room(registry) {
                continue;
            }
            // Packets of sound are small and in a hurry.
            let _ = stream.set_nodelay(true);
            let alive = socket2::TcpKeepalive::new().with_time(KEEP_ALIVE);
            let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&alive);
            let entry = self.connections.vacant_entry();
            let key = entry.key();
            let interest = Interest::READABLE | Interest::WRITABLE;
            if registry.register(&mut stream, Token(CONNECTIONS + key), interest).is_err() {
                continue;
            }
            let (incoming, outgoing) = (BytesMut::new(), BytesMut::new());
            let began = Instant::now();
            let spoke = false;
            entry.insert(Connection { stream, local, peer, began, spoke, incoming, outgoing });
            self.by_ends.insert((local, peer), key);
            self.ready.push(key);
        }
    }

    /// Lets go of who never said anything; of the oldest of those too if there is no room.
    fn make_room(&mut self, registry: &Registry) -> bool {
        let silent = self.connections.iter().filter(|(_, c)| !c.spoke);
        let silent: Vec<(usize, Instant)> = silent.map(|(key, c)| (key, c.began)).collect();
        for (key, _) in silent.iter().filter(|(_, began)| began.elapsed() >= SILENT_MAX) {
            self.remove(*key, registry);
        }
        if self.connections.len() < CONNECTIONS_MAX {
            return true;
        }
        let oldest = silent.iter().min_by_key(|(_, began)| *began);
        if let Some((key, _)) = oldest {
            self.remove(*key, registry);
        }
        oldest.is_some()
    }

    fn remove(&mut self, key: usize, registry: &Registry) {
        if let Some(mut connection) = self.connections.try_remove(key) {
            let ends = (connection.local, connection.peer);
            if self.by_ends.get(&ends) == Some(&key) {
                self.by_ends.remove(&ends);
            }
            // Closing the descriptor takes it out of the poll anyway.
            let _ = registry.deregister(&mut connection.stream);
        }
        self.ready.retain(|ready| *ready != key);
    }

    /// Takes what has come.
    pub(super) fn receive(
        &mut self,
        registry: &Registry,
        counts: &mut Counts,
        into: &mut Vec<Datagram>,
    ) {
        for key in core::mem::take(&mut self.ready) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            match connection.receive(counts, into) {
                Standing::Waits => {}
                Standing::HasMore => self.ready.push(key),
                Standing::Ended => self.remove(key, registry),
            }
        }
    }

    /// Whether a datagram goes by one of the connections; then it is sent, or lost.
    pub(super) fn send(&mut self, datagram: &Datagram, counts: &mut Counts) -> bool {
        if self.by_ends.is_empty() {
            return false;
        }
        let ends = (datagram.source, datagram.destination);
        let Some(connection) =
            self.by_ends.get(&ends).and_then(|key| self.connections.get_mut(*key))
        else {
            return false;
        };
        match connection.send(&datagram.payload) {
            true => counts.sent += 1,
            false => counts.unsent += 1,
        }
        true
    }
}

impl Connection {
    fn receive(&mut self, counts: &mut Counts, into: &mut Vec<Datagram>) -> Standing {
        for _ in 0..TURN {
            let mut piece = [0; READ_BYTES];
            match self.stream.read(&mut piece) {
                Ok(0) => return Standing::Ended,
                Ok(length) => self.incoming.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Standing::Waits,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Standing::Ended,
            }
            if !self.take_apart(counts, into) {
                return Standing::Ended;
            }
        }
        Standing::HasMore
    }

    /// Takes whole datagrams out of what came; `false` if the peer does not keep to the rules.
    fn take_apart(&mut self, counts: &mut Counts, into: &mut Vec<Datagram>) -> bool {
        while let Some(head) = self.incoming.first_chunk::<LENGTH>() {
            let length = usize::from(u16::from_be_bytes(*head));
            if length > DATAGRAM_BYTES_MAX {
                counts.too_large += 1;
                return false;
            }
            let Some(first) = self.incoming.get(LENGTH) else { return true };
            if !self.spoke && length > 0 && !matches!(first, 0..=3) {
                return false;
            }
            if self.incoming.len() < LENGTH + length {
                return true;
            }
            self.incoming.advance(LENGTH);
            let payload = self.incoming.split_to(length).freeze();
            if length > 0 {
                self.spoke = true;
                counts.received += 1;
                into.push(Datagram { source: self.peer, destination: self.local, payload });
            }
        }
        true
    }

    /// Whether there was room for it.
    fn send(&mut self, payload: &[u8]) -> bool {
        let Ok(length) = u16::try_from(payload.len()) else { return false };
        if self.outgoing.len() + LENGTH + payload.len() > WAITING_BYTES_MAX {
            return false;
        }
        self.outgoing.put_u16(length);
        self.outgoing.put_slice(payload);
        // What is wrong with it shows when it is read.
        let _ = self.flush();
        true
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(length) => self.outgoing.advance(length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // Not connected to the end yet: the poll says when.
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::super::sockets::Sockets;
    use super::super::sockets::tests::{TURNS_MAX, receive, turn};
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn framed(payload: &[u8]) -> Vec<u8> {
        [&(payload.len() as u16).to_be_bytes()[..], payload].concat()
    }

    #[test]
    fn datagrams_come_whole_however_they_are_cut_and_go_back_the_same_way() {
        let (mut sockets, mut sleeper, _waker) = Sockets::new().expect("a poll");
        let here = sockets.listen(ANY).expect("a port");
        let mut peer = TcpStream::connect(here).expect("somebody listens");
        peer.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
        let (check, media) = ([1; 30], [0x80; 1_200]);
        let sent = [framed(&check), framed(&media), framed(&[]), framed(&media)].concat();
        for piece in sent.chunks(7) {
            peer.write_all(piece).expect("it is open");
        }
        let arrived = receive(&mut sockets, &mut sleeper, 3);
        let lengths: Vec<_> = arrived.iter().map(|datagram| datagram.payload.len()).collect();
        assert_eq!(lengths, [30, 1_200, 1_200]);
        assert_eq!(arrived[0].destination, here);
        assert_eq!(arrived[0].source, peer.local_addr().expect("it is connected"));
        let back = |byte: u8| Datagram {
            source: here,
            destination: arrived[0].source,
            payload: vec![byte; 500].into(),
        };
        sockets.send(&mut vec![back(7), back(8)]);
        let mut read = [0; 2 * 502];
        peer.read_exact(&mut read).expect("it comes");
        assert_eq!(read.to_vec(), [framed(&[7; 500]), framed(&[8; 500])].concat());
        drop(peer);
        let gone = (0..TURNS_MAX).any(|_| {
            turn(&mut sockets, &mut sleeper, &mut Vec::new());
            sockets.send(&mut vec![back(9)]);
            sockets.counts().unroutable == 1
        });
        assert!(gone, "nobody is there any more");
    }

    #[test]
    fn who_does_not_begin_with_a_check_or_states_too_much_is_let_go() {
        for wrong in [framed(&[0x80; 40]), vec![0xff, 0xff, 0, 1], b"GET / HTTP/1.1\r\n".to_vec()] {
            let (mut sockets, mut sleeper, _waker) = Sockets::new().expect("a poll");
            let here = sockets.listen(ANY).expect("a port");
            let mut peer = TcpStream::connect(here).expect("somebody listens");
            peer.write_all(&wrong).expect("it is open");
            peer.set_nonblocking(true).expect("a socket");
            let mut arrived = Vec::new();
            let gone = (0..TURNS_MAX).any(|_| {
                turn(&mut sockets, &mut sleeper, &mut arrived);
                // Closed, or reset where something of it was not read.
                match peer.read(&mut [0; 8]) {
                    Ok(length) => length == 0,
                    Err(error) => error.kind() == ErrorKind::ConnectionReset,
                }
            });
            assert!(gone, "{wrong:?}");
            assert_eq!(arrived, []);
        }
    }
}
