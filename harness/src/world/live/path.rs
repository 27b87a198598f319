//! The network between a phone and the platform, in real time: each datagram is late, or lost,
//! or comes twice, as a preset says. (Sockets know nothing of it: kernels without netem do.)

use std::collections::BTreeMap;

use callrig_media::datagram::Datagram;
use callrig_media::time::Instant;
use serde::Serialize;

use super::people::PhoneId;
use crate::link::{Counters, Fate, Link};
use crate::network::Network;
use crate::seed::Seed;

/// How many datagrams may be on their way at once; more are lost as if a queue were full.
const TRAVELLING_MAX: usize = 100_000;

/// What lies between one phone and the platform.
#[derive(Debug)]
pub struct Path {
    name: &'static str,
    outward: Link,
    inward: Link,
}

/// A path, for who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PathLine {
    /// The preset.
    pub name: &'static str,
    /// What became of datagrams of the phone.
    pub outward: Counters,
    /// What became of datagrams of the platform.
    pub inward: Counters,
}

impl Path {
    /// A path as this network has it; `None` if it asks for what no link can do.
    #[must_use]
    pub fn new(network: &'static Network, seed: Seed) -> Option<Self> {
        let link = |way| Link::new(network.link, seed.derive(way)).ok();
        Some(Self { name: network.name, outward: link("outward")?, inward: link("inward")? })
    }

    /// What it has done so far.
    #[must_use]
    pub const fn line(&self) -> PathLine {
        PathLine {
            name: self.name,
            outward: self.outward.counters(),
            inward: self.inward.counters(),
        }
    }
}

/// What is on its way.
#[derive(Debug, Default)]
pub struct Travelling {
    queue: BTreeMap<(Instant, u64), (PhoneId, Way, Datagram)>,
    departed: u64,
}

/// To where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the platform.
    Outward,
    /// To the phone.
    Inward,
}

impl Travelling {
    /// A datagram departs.
    pub fn depart(
        &mut self,
        now: Instant,
        (phone, path): (PhoneId, &mut Path),
        way: Way,
        datagram: Datagram,
    ) {
        if self.queue.len() >= TRAVELLING_MAX {
            return;
        }
        let link = match way {
            Way::Outward => &mut path.outward,
            Way::Inward => &mut path.inward,
        };
        match link.send(now, datagram.payload.len()) {
            Fate::Delivered(at) => self.put(at, (phone, way, datagram)),
            Fate::Duplicated(at, again) => {
                self.put(at, (phone, way, datagram.clone()));
                self.put(again, (phone, way, datagram));
            }
            Fate::Dropped(_) => {}
        }
    }

    fn put(&mut self, at: Instant, what: (PhoneId, Way, Datagram)) {
        self.departed += 1;
        self.queue.insert((at, self.departed), what);
    }

    /// Something that has arrived by now.
    pub fn arrive(&mut self, now: Instant) -> Option<(PhoneId, Way, Datagram)> {
        let first = self.queue.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    /// When something arrives next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }
}
