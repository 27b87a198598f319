//! A world of real time. One [`shard`] is one actor with its sockets and its timers; others
//! reach it through a bounded inbox. One at a time works for it: its thread whenever a
//! datagram or a deadline comes, and whoever brings a request. Nothing on the way of a packet
//! is shared with other shards, and one lock is taken for all packets that came together.

pub mod capture;
pub mod path;
pub mod people;
pub mod phone;
pub mod platform;
pub mod recorded;
pub mod shard;
pub mod sockets;
mod streams;
pub mod wire;

use std::time::{Instant as Monotonic, SystemTime};

use callrig_media::time::{Epoch, Instant, NtpTime};

/// The clock of a live world: the machine's monotonic one, counted from when the world
/// began. Every thread of a world has a copy of it, so their times compare.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    began: Monotonic,
    epoch: Epoch,
}

impl Time {
    /// Time begins.
    #[must_use]
    pub fn begin() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { began: Monotonic::now(), epoch: Epoch { ntp: NtpTime::from_unix(wall) } }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Instant {
        let nanos = self.began.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// What the wall clock said when time began.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }
}
