//! Reception statistics of one source, computed afterwards from its packets with all of
//! them in view: loss (RFC 3550 A.3), jitter (6.4.1), reordering (RFC 4737), duplicates,
//! delay variation (RFC 5481), bursts (RFC 3611), and the drift of its clock. The product
//! computes the same while packets come in, and has to agree.

use std::collections::BTreeMap;

use callrig_media::time::Instant;

use super::arrivals::Arrived;

/// What one source's packets amount to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reception {
    /// All packets, duplicates included.
    pub received: u64,
    /// Highest extended number minus that of the first packet to arrive, plus one, as RFC
    /// 3550 A.3 has it: what was sent before that one is not expected.
    pub expected: u64,
    /// Numbers of which no packet came.
    pub missing: u64,
    /// Packets whose number had come before.
    pub duplicated: u64,
    /// Packets below the highest number that were no duplicates.
    pub reordered: u64,
    /// The greatest distance of one of those from the highest number at its arrival.
    pub reordering_extent_max: u64,
    /// Bytes of payload, duplicates included.
    pub bytes: u64,
    /// Interarrival jitter after each packet, in timestamp units.
    pub jitter_ticks: Vec<f64>,
    /// Runs of missing numbers, by extended number of the first one and length.
    pub holes: Vec<(i64, u64)>,
    /// Whether all numbers belong to one run: no step of 3000 or more. The comparison
    /// with an online algorithm has no meaning otherwise.
    pub one_run: bool,
    /// Each packet in the order of arrival with its extended number and timestamp.
    pub packets: Vec<Extended>,
}

/// A packet with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    /// When it was sent.
    pub sent: Instant,
    /// When it arrived.
    pub at: Instant,
    /// Sequence number without wraps, relative to the first packet.
    pub sequence: i64,
    /// Timestamp without wraps, relative to the first packet.
    pub timestamp: i64,
    /// Whether its number had come before.
    pub duplicate: bool,
}

/// MAX_DROPOUT of RFC 3550 A.1.
const RUN_STEP_MAX: i64 = 3_000;

impl Reception {
    /// Of the packets of `ssrc` among those that arrived.
    #[must_use]
    pub fn of(packets: &[Arrived], ssrc: u32, clock_rate: u32) -> Self {
        let mut reception = Self { one_run: true, ..Self::default() };
        let mut seen: BTreeMap<i64, ()> = BTreeMap::new();
        let (mut highest, mut timestamp, mut jitter) = (0i64, 0i64, 0f64);
        let mut before: Option<&Arrived> = None;
        let first = packets.iter().find(|packet| packet.ssrc == ssrc);
        let first = first.map_or(0, |packet| packet.sequence_number);
        for packet in packets.iter().filter(|packet| packet.ssrc == ssrc) {
            let sequence = match before {
                None => 0,
                Some(_) => highest + step16(packet.sequence_number, first, highest),
            };
            if let Some(before) = before {
                let ticks =
                    i64::from(packet.timestamp.wrapping_sub(before.timestamp).cast_signed());
                timestamp += ticks;
                let spacing = packet.at.signed_nanos_since(before.at) as f64;
                let difference = spacing * f64::from(clock_rate) / 1e9 - ticks as f64;
                jitter += (difference.abs() - jitter) / 16.0;
            }
            let duplicate = seen.insert(sequence, ()).is_some();
            reception.received += 1;
            reception.bytes += packet.payload_length as u64;
            reception.one_run &= (sequence - highest).abs() < RUN_STEP_MAX;
            if duplicate {
                reception.duplicated += 1;
            } else if sequence < highest {
                reception.reordered += 1;
                let extent = (highest - sequence) as u64;
                reception.reordering_extent_max = reception.reordering_extent_max.max(extent);
            }
            highest = highest.max(sequence);
            reception.jitter_ticks.push(jitter);
            reception.packets.push(Extended {
                sent: packet.sent,
                at: packet.at,
                sequence,
                timestamp,
                duplicate,
            });
            before = Some(packet);
        }
        if reception.received > 0 {
            reception.expected = (highest + 1) as u64;
        }
        reception.count_holes(seen.keys().copied());
        reception
    }

    fn count_holes(&mut self, numbers: impl Iterator<Item = i64>) {
        let mut last: Option<i64> = None;
        for number in numbers {
            if let Some(last) = last {
                let hole = (number - last - 1) as u64;
                self.missing += hole;
                if hole > 0 {
                    self.holes.push((last + 1, hole));
                }
            }
            last = Some(number);
        }
    }

    /// Expected minus received, as receiver reports have it: duplicates lower it.
    #[must_use]
    pub fn lost(&self) -> i64 {
        self.expected as i64 - self.received as i64
    }

    /// From the first arrival to the last.
    #[must_use]
    pub fn span_seconds(&self) -> f64 {
        match (self.packets.first(), self.packets.last()) {
            (Some(first), Some(last)) => last.at.since(first.at).as_secs_f64(),
            _ => 0.0,
        }
    }

    /// Jitter after the last packet, in timestamp units.
    #[must_use]
    pub fn jitter_last(&self) -> f64 {
        self.jitter_ticks.last().copied().unwrap_or(0.0)
    }

    /// Mean over all packets, in timestamp units.
    #[must_use]
    pub fn jitter_mean(&self) -> f64 {
        if self.jitter_ticks.is_empty() {
            return 0.0;
        }
        self.jitter_ticks.iter().sum::<f64>() / self.jitter_ticks.len() as f64
    }

    /// The greatest, in timestamp units.
    #[must_use]
    pub fn jitter_max(&self) -> f64 {
        self.jitter_ticks.iter().copied().fold(0.0, f64::max)
    }

    /// Mean length of a run of missing packets over the length it would have if the same
    /// share were lost at random (BurstR of G.107); 1 without loss.
    #[must_use]
    pub fn burst_ratio(&self) -> f64 {
        if self.holes.is_empty() || self.expected == 0 {
            return 1.0;
        }
        let mean = self.missing as f64 / self.holes.len() as f64;
        let share = self.missing as f64 / self.expected as f64;
        (mean * (1.0 - share)).max(1.0)
    }

    /// Delay of each packet above the least of the stream, in ns (the one-way delay
    /// variation of RFC 5481 section 4.2, PDV), by timestamp: the sender's clock rate is
    /// taken at its word.
    #[must_use]
    pub fn delay_variation_nanos(&self, clock_rate: u32) -> Vec<u64> {
        let transit = |packet: &Extended| {
            let captured = i128::from(packet.timestamp) * 1_000_000_000 / i128::from(clock_rate);
            i128::from(packet.at.as_nanos()) - captured
        };
        let least = self.packets.iter().map(transit).min().unwrap_or(0);
        self.packets.iter().map(|packet| (transit(packet) - least) as u64).collect()
    }

    /// How much faster the sender's clock runs than the receiver's, in parts per million:
    /// the slope through the packets of least delay in each of 16 parts of the stream
    /// (a least-squares line), so that queues do not count as drift. `None` below 2 s.
    #[must_use]
    pub fn drift_ppm(&self, clock_rate: u32) -> Option<f64> {
        const PARTS: usize = 16;
        let (first, last) = (self.packets.first()?, self.packets.last()?);
        let span = last.at.signed_nanos_since(first.at);
        if span < 2_000_000_000 || self.packets.len() < 2 * PARTS {
            return None;
        }
        let points: Vec<(f64, f64)> = self
            .packets
            .chunks(self.packets.len().div_ceil(PARTS))
            .filter_map(|part| {
                part.iter()
                    .map(|packet| {
                        let at = packet.at.signed_nanos_since(first.at) as f64 / 1e9;
                        let captured = packet.timestamp as f64 / f64::from(clock_rate);
                        (at, at - captured)
                    })
                    .min_by(|a, b| a.1.total_cmp(&b.1))
            })
            .collect();
        slope(&points).map(|delay_per_second| -delay_per_second * 1e6)
    }
}

/// Extended step of a 16-bit number from the highest one so far.
fn step16(number: u16, first: u16, highest: i64) -> i64 {
    let expected = (i64::from(first) + highest) as u16;
    i64::from(number.wrapping_sub(expected).cast_signed())
}

/// Least-squares slope.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (variance > 0.0).then(|| covariance / variance)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 20 ms at 8 kHz: number, arrival in ms.
    fn packets(list: &[(u16, u64)]) -> Vec<Arrived> {
        list.iter()
            .map(|&(number, at)| Arrived {
                sent: Instant::ZERO,
                at: Instant::from_millis(at),
                ssrc: 7,
                sequence_number: number,
                timestamp: u32::from(number.wrapping_sub(65_530)) * 160,
                payload_type: 0,
                marker: false,
                payload_length: 160,
            })
            .collect()
    }

    #[test]
    fn loss_order_and_duplicates_are_told_apart_across_the_wrap() {
        let list = [(65_534, 0), (65_535, 20), (1, 60), (0, 61), (1, 62), (4, 120)];
        let reception = Reception::of(&packets(&list), 7, 8_000);
        assert_eq!((reception.received, reception.expected), (6, 7));
        assert_eq!((reception.missing, reception.duplicated, reception.reordered), (2, 1, 1));
        assert_eq!(reception.lost(), 1, "the duplicate hides one of two losses");
        assert_eq!(reception.holes, [(4, 2)]);
        assert!(reception.one_run);
    }

    #[test]
    fn what_overtakes_the_first_packet_was_not_expected() {
        let reception = Reception::of(&packets(&[(11, 0), (10, 5), (13, 40)]), 7, 8_000);
        assert_eq!((reception.expected, reception.received, reception.lost()), (3, 3, 0));
        assert_eq!((reception.missing, reception.reordered), (1, 1));
    }

    #[test]
    fn jitter_is_that_of_the_formula() {
        // Two packets 20 ms apart in time stamps and 36 ms apart on arrival: 16 ms are 128
        // ticks, a sixteenth of which is 8.
        let reception = Reception::of(&packets(&[(10, 0), (11, 36)]), 7, 8_000);
        assert_eq!(reception.jitter_ticks, [0.0, 8.0]);
        assert_eq!((reception.jitter_max(), reception.jitter_mean()), (8.0, 4.0));
    }

    #[test]
    fn a_sender_that_gains_200_ppm_is_found_out() {
        let list: Vec<Arrived> = packets(&(0..1_500).map(|n| (n, 0)).collect::<Vec<_>>())
            .into_iter()
            .enumerate()
            .map(|(n, packet)| {
                // Its clock gains: it sends 20 ms of stamps in a little less than 20 ms.
                let nanos = (n as f64 * 20e6 / 1.000_2) as u64 + (n as u64 * 7_919 % 5) * 1_000_000;
                let timestamp = n as u32 * 160;
                Arrived { at: Instant::from_nanos(nanos), timestamp, ..packet }
            })
            .collect();
        let drift = Reception::of(&list, 7, 8_000).drift_ppm(8_000).expect("30 s are enough");
        assert!((drift - 200.0).abs() < 1.0, "{drift}");
    }

    #[test]
    fn bursts_are_longer_than_chance() {
        let numbers: Vec<(u16, u64)> =
            (0..100).filter(|n| !(40..44).contains(n)).map(|n| (n, u64::from(n) * 20)).collect();
        let reception = Reception::of(&packets(&numbers), 7, 8_000);
        assert!((reception.burst_ratio() - 4.0 * 0.96).abs() < 1e-9);
    }
}
