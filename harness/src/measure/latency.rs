//! From mouth to ear and from glass to glass. A recording does not say when its sound was
//! captured, so a packet is taken to leave at the moment its last sample was captured,
//! and a frame to be captured when its first packet leaves: what encoder and sender took
//! before that is not part of the figures.

use std::collections::BTreeMap;

use callrig_media::time::Instant;

use super::arrivals::Arrived;

/// When what was captured, by RTP timestamp, for one source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Capture {
    clock_rate: u32,
    /// Sending of the first packet with each timestamp, by timestamp relative to the
    /// first one.
    sent: BTreeMap<i64, Instant>,
    first: u32,
    /// The usual step from one timestamp to the next: what a packet lasts.
    step: i64,
}

impl Capture {
    /// From all packets that the source sent, in the order of sending.
    #[must_use]
    pub fn of(sent: &[Arrived], ssrc: u32, clock_rate: u32) -> Self {
        let mut capture = Self { clock_rate: clock_rate.max(1), ..Self::default() };
        let (mut last, mut extended) = (None, 0i64);
        for packet in sent.iter().filter(|packet| packet.ssrc == ssrc) {
            match last {
                None => capture.first = packet.timestamp,
                Some(last) => {
                    extended += i64::from(packet.timestamp.wrapping_sub(last).cast_signed());
                }
            }
            last = Some(packet.timestamp);
            capture.sent.entry(extended).or_insert(packet.sent);
        }
        capture.step = capture.usual_step();
        capture
    }

    fn usual_step(&self) -> i64 {
        let mut steps: BTreeMap<i64, u32> = BTreeMap::new();
        let mut stamps = self.sent.keys();
        if let Some(mut last) = stamps.next() {
            for stamp in stamps {
                *steps.entry(stamp - last).or_default() += 1;
                last = stamp;
            }
        }
        steps.iter().max_by_key(|(step, count)| (**count, -**step)).map_or(0, |(step, _)| *step)
    }

    /// What a packet usually lasts, in ticks.
    #[must_use]
    pub const fn step(&self) -> i64 {
        self.step
    }

    /// When the sample with this timestamp was captured. Timestamps are told apart within
    /// half their range of `near`, the extended timestamp last asked for.
    #[must_use]
    pub fn sample(&self, timestamp: u32, near: i64) -> Option<(Instant, i64)> {
        let extended = self.extend(timestamp, near);
        let (start, sent) = self.sent.range(..=extended).next_back()?;
        let within = extended - start;
        // A sample beyond the packet that should hold it was never sent.
        if within >= self.step.max(1) {
            return None;
        }
        let before_sending = self.nanos(self.step - within);
        Some((Instant::from_nanos(sent.as_nanos().saturating_sub(before_sending)), extended))
    }

    /// When the frame with this timestamp was captured.
    #[must_use]
    pub fn frame(&self, timestamp: u32, near: i64) -> Option<(Instant, i64)> {
        let extended = self.extend(timestamp, near);
        self.sent.get(&extended).map(|sent| (*sent, extended))
    }

    /// How many frames or packets with timestamps of their own there were.
    #[must_use]
    pub fn stamps(&self) -> usize {
        self.sent.len()
    }

    fn extend(&self, timestamp: u32, near: i64) -> i64 {
        let relative = timestamp.wrapping_sub(self.first);
        near + i64::from(relative.wrapping_sub(near as u32).cast_signed())
    }

    fn nanos(&self, ticks: i64) -> u64 {
        ticks.max(0) as u64 * 1_000_000_000 / u64::from(self.clock_rate)
    }
}

/// Freezes of a picture as webrtc-stats counts them: an interval of at least three times
/// the mean, or of the mean and 150 ms, whichever is longer, over the last 30 frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Freezes {
    /// When each began, and how long the picture stood, in ns.
    pub stands: Vec<(Instant, u64)>,
    /// The sum of all intervals between frames, in ns.
    pub intervals_total: u64,
}

/// Frames over which the mean is taken.
const MEAN_OVER: usize = 30;

impl Freezes {
    /// From the moments at which pictures were shown.
    #[must_use]
    pub fn of(shown: &[Instant]) -> Self {
        let mut freezes = Self::default();
        let mut recent: Vec<u64> = Vec::with_capacity(MEAN_OVER);
        for (count, pair) in shown.windows(2).enumerate() {
            let interval = pair[1].signed_nanos_since(pair[0]).max(0) as u64;
            freezes.intervals_total += interval;
            if !recent.is_empty() {
                let mean = recent.iter().sum::<u64>() / recent.len() as u64;
                if interval >= (3 * mean).max(mean + 150_000_000) {
                    freezes.stands.push((pair[0], interval));
                }
            }
            if recent.len() < MEAN_OVER {
                recent.push(interval);
            } else {
                recent[count % MEAN_OVER] = interval;
            }
        }
        freezes
    }

    /// The time of all freezes together, in ns.
    #[must_use]
    pub fn total_nanos(&self) -> u64 {
        self.stands.iter().map(|(_, nanos)| nanos).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(timestamp: u32, sent_ms: u64) -> Arrived {
        Arrived {
            sent: Instant::from_millis(sent_ms),
            at: Instant::from_millis(sent_ms),
            ssrc: 7,
            sequence_number: 0,
            timestamp,
            payload_type: 0,
            marker: false,
            payload_length: 0,
        }
    }

    #[test]
    fn a_sample_was_captured_before_its_packet_left() {
        let first = u32::MAX - 100;
        let packets: Vec<Arrived> =
            (0..10).map(|n| packet(first.wrapping_add(n * 160), 100 + u64::from(n) * 20)).collect();
        let capture = Capture::of(&packets, 7, 8_000);
        assert_eq!((capture.step(), capture.stamps()), (160, 10));
        let (at, near) = capture.sample(first, 0).expect("it was sent");
        assert_eq!((at, near), (Instant::from_millis(80), 0));
        let stamp = first.wrapping_add(3 * 160 + 80);
        let (at, near) = capture.sample(stamp, near).expect("it was sent, beyond the wrap");
        assert_eq!((at, near), (Instant::from_millis(150), 560));
    }

    #[test]
    fn what_was_never_sent_was_never_captured() {
        let packets = [packet(0, 0), packet(160, 20), packet(480, 60)];
        let capture = Capture::of(&packets, 7, 8_000);
        assert_eq!(capture.sample(320, 0), None);
        assert_eq!(capture.frame(320, 0), None);
        assert!(capture.frame(480, 0).is_some());
    }

    #[test]
    fn a_freeze_is_an_interval_far_beyond_the_mean() {
        let mut shown: Vec<Instant> = (0..60).map(|n| Instant::from_millis(n * 33)).collect();
        shown.extend((0..30).map(|n| Instant::from_millis(60 * 33 + 500 + n * 33)));
        let freezes = Freezes::of(&shown);
        assert_eq!(freezes.stands, [(Instant::from_millis(59 * 33), 533_000_000)]);
        assert_eq!(freezes.intervals_total, (89 * 33 + 500) * 1_000_000);
        let smooth: Vec<Instant> = (0..60).map(|n| Instant::from_millis(n * 33)).collect();
        assert_eq!(Freezes::of(&smooth).total_nanos(), 0);
    }

    #[test]
    fn slow_pictures_are_no_freezes() {
        let shown: Vec<Instant> = (0..20).map(|n| Instant::from_millis(n * 1_000)).collect();
        assert!(Freezes::of(&shown).stands.is_empty());
    }
}
