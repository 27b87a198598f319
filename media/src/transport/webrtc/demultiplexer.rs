//! Whose a datagram is, where many peers share a socket: a check names a user fragment of
//! ours, everything else comes from an address that has passed one. Both are one look into a
//! table. Only peers that know a password get addresses into it, at most
//! [`WAYS_MAX`] each; of two peers at one address the one that showed itself
//! last has it, so that a peer whose address changed hands is found where it is now.

use core::hash::{BuildHasherDefault, Hash};
use core::net::SocketAddr;
use std::hash::DefaultHasher;

use arrayvec::ArrayVec;

use super::{WAYS_MAX, ice};

#[expect(
    clippy::disallowed_types,
    reason = "it is never iterated, its hash is the same in every run, and strangers cannot fill it"
)]
type Table<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Why a datagram is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// A check that names nobody here.
    UnknownUfrag,
    /// It comes from an address that has passed no check.
    UnknownAddress,
}

#[derive(Debug)]
struct Peer {
    ufrag: Box<[u8]>,
    addresses: ArrayVec<SocketAddr, WAYS_MAX>,
}

/// Finds peers, each known to its owner by a key.
#[derive(Debug)]
pub struct Demultiplexer<K> {
    by_ufrag: Table<Box<[u8]>, K>,
    by_address: Table<SocketAddr, K>,
    peers: Table<K, Peer>,
}

impl<K: Copy + Eq + Hash> Default for Demultiplexer<K> {
    fn default() -> Self {
        let (by_ufrag, by_address) = (Table::default(), Table::default());
        Self { by_ufrag, by_address, peers: Table::default() }
    }
}

impl<K: Copy + Eq + Hash> Demultiplexer<K> {
    /// A peer that will send checks to this user fragment of ours; in place of the one that
    /// had this key.
    pub fn insert(&mut self, key: K, ufrag: &str) {
        self.remove(key);
        let ufrag: Box<[u8]> = ufrag.as_bytes().into();
        self.by_ufrag.insert(ufrag.clone(), key);
        self.peers.insert(key, Peer { ufrag, addresses: ArrayVec::new() });
    }

    /// The peer has another user fragment of ours from now on (an ICE restart).
    pub fn rename(&mut self, key: K, ufrag: &str) {
        if let Some(peer) = self.peers.get_mut(&key) {
            self.by_ufrag.remove(&peer.ufrag);
            peer.ufrag = ufrag.as_bytes().into();
            self.by_ufrag.insert(peer.ufrag.clone(), key);
        }
    }

    /// The peer is gone, with its addresses.
    pub fn remove(&mut self, key: K) {
        let Some(peer) = self.peers.remove(&key) else { return };
        self.by_ufrag.remove(&peer.ufrag);
        for address in peer.addresses {
            if self.by_address.get(&address) == Some(&key) {
                self.by_address.remove(&address);
            }
        }
    }

    /// The peer has passed a check from this address.
    pub fn found(&mut self, key: K, address: SocketAddr) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if !peer.addresses.contains(&address) && peer.addresses.try_push(address).is_err() {
            return;
        }
        self.by_address.insert(address, key);
    }

    /// The peer has left this address.
    pub fn lost(&mut self, key: K, address: SocketAddr) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.addresses.retain(|known| *known != address);
        if self.by_address.get(&address) == Some(&key) {
            self.by_address.remove(&address);
        }
    }

    /// Whose a datagram from `source` is.
    ///
    /// # Errors
    /// Nobody's.
    #[inline]
    pub fn route(&self, source: SocketAddr, datagram: &[u8]) -> Result<K, Stray> {
        if let Some(0..=3) = datagram.first() {
            let ufrag = ice::named_ufrag(datagram).unwrap_or_default();
            if let Some(key) = self.by_ufrag.get(ufrag) {
                return Ok(*key);
            }
            // What names nobody may be an answer or a sign of life of somebody we know.
            return self.by_address.get(&source).copied().ok_or(Stray::UnknownUfrag);
        }
        self.by_address.get(&source).copied().ok_or(Stray::UnknownAddress)
    }

    /// How many peers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn check(ufrag: &str) -> Vec<u8> {
        let name = format!("{ufrag}:x");
        let mut bytes = vec![0; 20];
        bytes[1] = 1;
        bytes.extend([0, 6, 0, name.len() as u8]);
        bytes.extend(name.bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn checks_are_found_by_name_and_the_rest_by_address() {
        let mut peers = Demultiplexer::default();
        peers.insert(1, "anna");
        peers.insert(2, "bert");
        assert_eq!(peers.route(at(1), &check("bert")), Ok(2));
        assert_eq!(peers.route(at(1), &check("carl")), Err(Stray::UnknownUfrag));
        assert_eq!(peers.route(at(1), &[0x80]), Err(Stray::UnknownAddress));
        peers.found(2, at(1));
        assert_eq!(peers.route(at(1), &[0x80]), Ok(2));
        assert_eq!(peers.route(at(1), &[]), Ok(2));
    }

    #[test]
    fn an_address_belongs_to_who_showed_itself_there_last() {
        let mut peers = Demultiplexer::default();
        peers.insert(1, "anna");
        peers.insert(2, "bert");
        peers.found(1, at(1));
        peers.found(2, at(1));
        assert_eq!(peers.route(at(1), &[0x80]), Ok(2));
        peers.remove(1);
        assert_eq!(peers.route(at(1), &[0x80]), Ok(2), "what is no longer its own stays");
        peers.lost(2, at(1));
        assert_eq!(peers.route(at(1), &[0x80]), Err(Stray::UnknownAddress));
    }

    #[test]
    fn nothing_is_left_of_peers_that_are_gone() {
        let mut peers = Demultiplexer::default();
        for key in 0..100_u16 {
            peers.insert(key, &format!("peer{key}"));
            for port in 0..20 {
                peers.found(key, at(100 * port + key));
            }
            peers.rename(key, &format!("again{key}"));
        }
        assert!(peers.by_address.len() <= 100 * WAYS_MAX);
        assert_eq!(peers.route(at(60_000), &check("peer7")), Err(Stray::UnknownUfrag));
        assert_eq!(peers.route(at(60_000), &check("again7")), Ok(7));
        for key in 0..100 {
            peers.remove(key);
        }
        assert!(peers.is_empty() && peers.by_address.is_empty() && peers.by_ufrag.is_empty());
    }
}
