//! To come.
use super::{Config, ConfigError, Push, Stats};
use crate::audio::Audio;
use crate::description::Codec;
use crate::rtp;
use crate::time::Instant;

/// The most packets that wait.
pub const PACKETS_MAX: usize = 256;

/// The jitter buffer of one stream.
#[derive(Debug)]
pub struct Playout {
    stats: Stats,
}

impl Playout {
    /// A buffer for one stream.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn new(config: &Config, ssrc: u32) -> Result<Self, ConfigError> {
        config.validate()?;
        let _ = ssrc;
        Ok(Self { stats: Stats::default() })
    }

    /// Takes a packet and its extended sequence number; only its timestamp and its
    /// payload (shared, not copied) are looked at.
    pub fn push(
        &mut self,
        now: Instant,
        sequence: u64,
        packet: &rtp::Packet,
        codec: Codec,
    ) -> Push {
        let _ = (now, sequence, packet, codec);
        Push::Queued
    }

    /// Says that a packet with this sequence number came that is not for the ear (an
    /// RFC 4733 event), so that its place in the sequence is not taken for a loss.
    pub fn skip(&mut self, now: Instant, sequence: u64) {
        let _ = (now, sequence);
    }

    /// Plays the next 20 ms into `audio`. False, and silence, if nothing plays yet or any
    /// more; then nothing is counted.
    pub fn pull(&mut self, now: Instant, audio: &mut Audio) -> bool {
        let _ = (now, audio);
        false
    }

    /// When to pull next, if the stream plays. An owner with a tick of its own (a
    /// conference) may ignore this and pull every 20 ms.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Forgets the stream but not the counters: the sender started anew.
    pub fn reset(&mut self) {}

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }
}
