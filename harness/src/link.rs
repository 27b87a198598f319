//! One direction of a network, without any I/O: told when a datagram departs and how
//! long it is, it answers when the datagram arrives, or why it never does. Everything
//! it does is drawn from its own seeded stream and computed in whole numbers, so the
//! same seed gives the same fates on every machine and in every build.
//!
//! A datagram passes, in this order: outage, bottleneck and its queue, random loss,
//! burst loss (Gilbert-Elliott), delay and jitter, reordering, duplication.

use core::time::Duration;

use callrig_media::time::Instant;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng as _;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::seed::Seed;

/// What IPv4 and UDP add to a payload on a bottleneck, in bytes.
pub const OVERHEAD_BYTES: usize = 28;
/// The longest delay, jitter, outage or queue that a link models.
pub const DURATION_MAX: Duration = Duration::from_secs(3_600);

/// A probability in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct PartsPerMillion(pub u32);

impl PartsPerMillion {
    /// Certainty.
    pub const ONE: Self = Self(1_000_000);

    /// A probability given in per cent.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self(percent * 10_000)
    }
}

/// How the delay of a datagram varies around its middle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Jitter {
    /// The most that a datagram may be early or late.
    pub spread: Duration,
    /// How likely each delay within the spread is.
    pub shape: Shape,
    /// May a datagram overtake the one sent before it? Queues do not let it, parallel
    /// paths do.
    pub overtaking: bool,
}

/// The distribution of [`Jitter`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Shape {
    /// Every delay within the spread is equally likely.
    #[default]
    Uniform,
    /// A bell: the sum of twelve uniform draws; its standard deviation is a sixth of the
    /// spread.
    Bell,
}

/// The two-state loss model of Gilbert and Elliott; it moves once for each datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GilbertElliott {
    /// From good to bad.
    pub worsen: PartsPerMillion,
    /// From bad to good; the mean burst lasts the inverse of it.
    pub recover: PartsPerMillion,
    /// Loss while good.
    pub loss_good: PartsPerMillion,
    /// Loss while bad.
    pub loss_bad: PartsPerMillion,
}

/// A slow stretch of the path with a queue before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bottleneck {
    /// Bits a second, headers of IP and UDP included.
    pub bits_per_second: u64,
    /// How long a datagram may wait before it; one that would wait longer is dropped.
    pub queue_max: Duration,
}

/// Datagrams held back so that later ones overtake them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reordering {
    /// How many are held back.
    pub share: PartsPerMillion,
    /// For at least this long...
    pub hold_min: Duration,
    /// ...and at most this long.
    pub hold_max: Duration,
}

/// Datagrams that arrive twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Duplication {
    /// How many are doubled.
    pub share: PartsPerMillion,
    /// How much later than the first the copy arrives.
    pub lag: Duration,
}

/// A time during which nothing passes, counted from the first datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// When it begins.
    pub start: Duration,
    /// How long it lasts.
    pub length: Duration,
}

/// What one direction of a network does. The default does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// The middle of the delay.
    pub delay: Duration,
    /// How the delay varies; datagrams never arrive before they depart.
    pub jitter: Jitter,
    /// Loss, each datagram on its own.
    pub loss: PartsPerMillion,
    /// Loss in bursts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bursts: Option<GilbertElliott>,
    /// A slow stretch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bottleneck: Option<Bottleneck>,
    /// Datagrams held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reordering: Option<Reordering>,
    /// Datagrams doubled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplication: Option<Duplication>,
    /// A time without any network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage: Option<Outage>,
}

/// Why a [`Config`] describes no link.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// A probability above one.
    #[error("{what} is {parts} parts per million, more than 1000000")]
    Probability {
        /// Of what.
        what: &'static str,
        /// The value found.
        parts: u32,
    },
    /// A bottleneck through which nothing passes.
    #[error("the bottleneck passes 0 bit/s; use an outage for that")]
    Rate,
    /// A duration beyond [`DURATION_MAX`].
    #[error("{what} is longer than an hour")]
    Duration {
        /// Of what.
        what: &'static str,
    },
    /// The shortest hold of a reordering exceeds its longest.
    #[error("reordering holds for at least longer than at most")]
    Hold,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrived.
    Delivered(Instant),
    /// It arrived twice.
    Duplicated(Instant, Instant),
    /// It never arrived.
    Dropped(Cause),
}

/// Why a datagram never arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// Random loss.
    Loss,
    /// Loss within a burst.
    Burst,
    /// The queue before the bottleneck was full.
    QueueFull,
    /// There was no network at that time.
    Outage,
    /// Nobody lives at the destination.
    Unreachable,
}

/// One direction of a network.
#[derive(Clone, Debug)]
pub struct Link {
    config: Config,
    random: Pcg64Mcg,
    /// The first departure, from which an outage counts.
    began: Option<Instant>,
    /// When the bottleneck will have sent what it holds.
    busy_until: Instant,
    /// The last arrival that nothing may overtake.
    last_arrival: Instant,
    bad: bool,
    counters: Counters,
}

/// What a link has done so far: `sent = delivered + dropped`, by cause; copies aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Datagrams that departed.
    pub sent: u64,
    /// Datagrams that arrived, copies not counted.
    pub delivered: u64,
    /// Copies that arrived.
    pub duplicated: u64,
    /// Lost at random.
    pub lost: u64,
    /// Lost in a burst.
    pub lost_in_bursts: u64,
    /// Found the queue full.
    pub queue_full: u64,
    /// Departed during an outage.
    pub in_outage: u64,
}

impl Link {
    /// A link that does what `config` says, at random but the same for the same `seed`.
    ///
    /// # Errors
    /// The configuration asks for what no link can do.
    pub fn new(config: Config, seed: Seed) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            config,
            random: seed.generator(),
            began: None,
            busy_until: Instant::ZERO,
            last_arrival: Instant::ZERO,
            bad: false,
            counters: Counters::default(),
        })
    }

    /// A datagram with `length` bytes of payload departs at `now`, which never runs
    /// backwards.
    pub fn send(&mut self, now: Instant, length: usize) -> Fate {
        self.counters.sent += 1;
        let began = *self.began.get_or_insert(now);
        if let Some(outage) = self.config.outage {
            let since = now.since(began);
            if since >= outage.start && since < outage.start + outage.length {
                self.counters.in_outage += 1;
                return Fate::Dropped(Cause::Outage);
            }
        }
        let Some(departure) = self.queue(now, length) else {
            self.counters.queue_full += 1;
            return Fate::Dropped(Cause::QueueFull);
        };
        if let Some(cause) = self.lose() {
            return Fate::Dropped(cause);
        }
        let arrival = self.delay(departure);
        self.counters.delivered += 1;
        if let Some(duplication) = self.config.duplication
            && self.chance(duplication.share)
        {
            self.counters.duplicated += 1;
            return Fate::Duplicated(arrival, arrival + duplication.lag);
        }
        Fate::Delivered(arrival)
    }

    /// What it has done so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// When the bottleneck has sent the datagram; `None` if the queue is full.
    fn queue(&mut self, now: Instant, length: usize) -> Option<Instant> {
        let Some(bottleneck) = self.config.bottleneck else {
            return Some(now);
        };
        let start = self.busy_until.max(now);
        if start.since(now) > bottleneck.queue_max {
            return None;
        }
        let bits = (length + OVERHEAD_BYTES) as u64 * 8;
        let nanos = bits.saturating_mul(1_000_000_000) / bottleneck.bits_per_second;
        self.busy_until = start + Duration::from_nanos(nanos);
        Some(self.busy_until)
    }

    fn lose(&mut self) -> Option<Cause> {
        if self.chance(self.config.loss) {
            self.counters.lost += 1;
            return Some(Cause::Loss);
        }
        let bursts = self.config.bursts?;
        let turn = if self.bad { bursts.recover } else { bursts.worsen };
        if self.chance(turn) {
            self.bad = !self.bad;
        }
        let loss = if self.bad { bursts.loss_bad } else { bursts.loss_good };
        if self.chance(loss) {
            self.counters.lost_in_bursts += 1;
            return Some(Cause::Burst);
        }
        None
    }

    fn delay(&mut self, departure: Instant) -> Instant {
        let jitter = self.config.jitter;
        let middle = departure + self.config.delay;
        let spread = nanos(jitter.spread);
        let arrival = if spread == 0 {
            middle
        } else {
            let early_or_late = match jitter.shape {
                Shape::Uniform => self.below(2 * spread + 1),
                Shape::Bell => self.bell(2 * spread + 1),
            };
            (middle + Duration::from_nanos(early_or_late)) - jitter.spread
        };
        let mut arrival = arrival.max(departure);
        if let Some(reordering) = self.config.reordering
            && self.chance(reordering.share)
        {
            // Whoever is held back is held alone: those behind it pass.
            let range = nanos(reordering.hold_max) - nanos(reordering.hold_min);
            let hold = nanos(reordering.hold_min) + self.below(range + 1);
            return arrival + Duration::from_nanos(hold);
        }
        if !jitter.overtaking {
            arrival = arrival.max(self.last_arrival);
            self.last_arrival = arrival;
        }
        arrival
    }

    /// True with the probability `share`. Certainties draw nothing.
    fn chance(&mut self, share: PartsPerMillion) -> bool {
        share.0 > 0 && self.below(1_000_000) < u64::from(share.0)
    }

    /// A whole number below `limit`, evenly (the bias of at most 2^-32 is of no account).
    fn below(&mut self, limit: u64) -> u64 {
        scale(self.random.next_u64(), limit)
    }

    /// A whole number below `limit`, bell-shaped: the mean of twelve 21-bit draws.
    fn bell(&mut self, limit: u64) -> u64 {
        let mut sum = 0;
        for _ in 0..4 {
            let draw = self.random.next_u64();
            sum += (draw & 0x1f_ffff) + ((draw >> 21) & 0x1f_ffff) + ((draw >> 42) & 0x1f_ffff);
        }
        // The sum is below 12 * 2^21; stretch it to 64 bits, then to the limit.
        scale((sum / 12) << 43, limit)
    }
}

impl Config {
    fn check(&self) -> Result<(), ConfigError> {
        let probability = |what, share: PartsPerMillion| {
            if share > PartsPerMillion::ONE {
                return Err(ConfigError::Probability { what, parts: share.0 });
            }
            Ok(())
        };
        let duration = |what, length: Duration| {
            if length > DURATION_MAX {
                return Err(ConfigError::Duration { what });
            }
            Ok(())
        };
        probability("loss", self.loss)?;
        duration("delay", self.delay)?;
        duration("jitter", self.jitter.spread)?;
        if let Some(bursts) = self.bursts {
            probability("worsen", bursts.worsen)?;
            probability("recover", bursts.recover)?;
            probability("loss_good", bursts.loss_good)?;
            probability("loss_bad", bursts.loss_bad)?;
        }
        if let Some(bottleneck) = self.bottleneck {
            duration("queue_max", bottleneck.queue_max)?;
            if bottleneck.bits_per_second == 0 {
                return Err(ConfigError::Rate);
            }
        }
        if let Some(reordering) = self.reordering {
            probability("reordering", reordering.share)?;
            duration("hold_max", reordering.hold_max)?;
            if reordering.hold_min > reordering.hold_max {
                return Err(ConfigError::Hold);
            }
        }
        if let Some(duplication) = self.duplication {
            probability("duplication", duplication.share)?;
            duration("lag", duplication.lag)?;
        }
        if let Some(outage) = self.outage {
            duration("outage start", outage.start)?;
            duration("outage", outage.length)?;
        }
        Ok(())
    }
}

/// `draw`, evenly spread over 64 bits, brought below `limit`.
fn scale(draw: u64, limit: u64) -> u64 {
    ((u128::from(draw) * u128::from(limit)) >> 64) as u64
}

/// Every duration here is checked to be at most [`DURATION_MAX`], far below 2^64 ns.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACKET: usize = 160;

    fn link(config: Config) -> Link {
        Link::new(config, Seed::new(7)).expect("the configuration is sound")
    }

    /// Sends a packet each 20 ms and returns the fates.
    fn stream(link: &mut Link, packets: u64) -> Vec<(Instant, Fate)> {
        (0..packets)
            .map(|index| {
                let now = Instant::from_millis(index * 20);
                (now, link.send(now, PACKET))
            })
            .collect()
    }

    fn arrivals(fates: &[(Instant, Fate)]) -> Vec<Instant> {
        fates
            .iter()
            .filter_map(|(_, fate)| match fate {
                Fate::Delivered(at) | Fate::Duplicated(at, _) => Some(*at),
                Fate::Dropped(_) => None,
            })
            .collect()
    }

    #[test]
    fn a_clean_link_delivers_at_once() {
        let fates = stream(&mut link(Config::default()), 10);
        assert!(fates.iter().all(|(now, fate)| *fate == Fate::Delivered(*now)));
    }

    #[test]
    fn random_loss_is_near_its_share_and_counted() {
        let mut link = link(Config { loss: PartsPerMillion::percent(5), ..Config::default() });
        stream(&mut link, 100_000);
        let counters = link.counters();
        assert!((4_700..5_300).contains(&counters.lost), "{counters:?}");
        assert_eq!(counters.sent, counters.delivered + counters.lost);
    }

    #[test]
    fn burst_loss_comes_in_bursts_of_the_expected_length() {
        let bursts = GilbertElliott {
            worsen: PartsPerMillion(15_000),
            recover: PartsPerMillion(250_000),
            loss_good: PartsPerMillion(0),
            loss_bad: PartsPerMillion::ONE,
        };
        let mut link = link(Config { bursts: Some(bursts), ..Config::default() });
        let fates = stream(&mut link, 200_000);
        let lost: Vec<bool> =
            fates.iter().map(|(_, fate)| matches!(fate, Fate::Dropped(_))).collect();
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        let losses = lost.iter().filter(|lost| **lost).count();
        // Stationary: 0.015 / (0.015 + 0.25) = 5.66 % lost, in bursts of 4 on average.
        assert!((10_500..12_200).contains(&losses), "{losses}");
        assert!((38..43).contains(&(losses * 10 / bursts)), "{losses} in {bursts}");
    }

    #[test]
    fn ordered_jitter_never_reorders_and_free_jitter_does() {
        let jitter = Jitter { spread: Duration::from_millis(40), ..Jitter::default() };
        let delay = Duration::from_millis(50);
        let kept = arrivals(&stream(&mut link(Config { delay, jitter, ..Config::default() }), 999));
        assert!(kept.is_sorted());
        let jitter = Jitter { overtaking: true, ..jitter };
        let free = arrivals(&stream(&mut link(Config { delay, jitter, ..Config::default() }), 999));
        assert!(!free.is_sorted());
    }

    #[test]
    fn jitter_stays_within_its_spread() {
        for shape in [Shape::Uniform, Shape::Bell] {
            let jitter = Jitter { spread: Duration::from_millis(9), shape, overtaking: true };
            let delay = Duration::from_millis(10);
            let fates = stream(&mut link(Config { delay, jitter, ..Config::default() }), 20_000);
            let delays: Vec<Duration> = fates
                .iter()
                .zip(arrivals(&fates))
                .map(|((sent, _), arrived)| arrived.since(*sent))
                .collect();
            let low = delays.iter().min().expect("packets arrived");
            let high = delays.iter().max().expect("packets arrived");
            assert!(*low >= Duration::from_millis(1) && *high <= Duration::from_millis(19));
            let mean = delays.iter().sum::<Duration>() / 20_000;
            assert!(mean.abs_diff(delay) < Duration::from_micros(200), "{shape:?}: {mean:?}");
        }
    }

    #[test]
    fn a_bottleneck_paces_and_then_overflows() {
        let bottleneck =
            Bottleneck { bits_per_second: 64_000, queue_max: Duration::from_millis(100) };
        let mut link = link(Config { bottleneck: Some(bottleneck), ..Config::default() });
        // 188 bytes on the wire take 23.5 ms of every 20 ms: the queue grows by 3.5 ms each.
        let fates = stream(&mut link, 100);
        assert_eq!(fates[0].1, Fate::Delivered(Instant::from_micros(23_500)));
        assert_eq!(fates[1].1, Fate::Delivered(Instant::from_micros(47_000)));
        let first = fates.iter().position(|(_, fate)| *fate == Fate::Dropped(Cause::QueueFull));
        assert_eq!(first, Some(29));
        let waits = fates.iter().filter_map(|(sent, fate)| match fate {
            Fate::Delivered(at) => Some(at.since(*sent)),
            _ => None,
        });
        assert!(waits.max() <= Some(Duration::from_micros(123_500)));
    }

    #[test]
    fn an_outage_counts_from_the_first_datagram() {
        let outage = Outage { start: Duration::from_secs(1), length: Duration::from_secs(2) };
        let mut link = link(Config { outage: Some(outage), ..Config::default() });
        let late = Instant::from_millis(5_000);
        assert_eq!(link.send(late, PACKET), Fate::Delivered(late));
        for (after, dropped) in [(999, false), (1_000, true), (2_999, true), (3_000, false)] {
            let now = late + Duration::from_millis(after);
            let fate = link.send(now, PACKET);
            assert_eq!(fate == Fate::Dropped(Cause::Outage), dropped, "after {after} ms");
        }
    }

    #[test]
    fn held_datagrams_are_overtaken_and_copies_follow() {
        let reordering = Reordering {
            share: PartsPerMillion::percent(10),
            hold_min: Duration::from_millis(25),
            hold_max: Duration::from_millis(65),
        };
        let duplication =
            Duplication { share: PartsPerMillion::percent(5), lag: Duration::from_millis(1) };
        let mut link = link(Config {
            reordering: Some(reordering),
            duplication: Some(duplication),
            ..Config::default()
        });
        let fates = stream(&mut link, 10_000);
        let reordered = arrivals(&fates).windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert!((700..1_100).contains(&reordered), "{reordered}");
        assert!((420..580).contains(&link.counters().duplicated));
        assert_eq!(link.counters().delivered, 10_000);
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        let config = Config { loss: PartsPerMillion(1_000_001), ..Config::default() };
        let error = Link::new(config, Seed::new(1)).expect_err("more than certain");
        assert_eq!(error.to_string(), "loss is 1000001 parts per million, more than 1000000");
    }

    proptest! {
        #[test]
        fn the_same_seed_gives_the_same_fates_and_nothing_gets_lost_unseen(
            seed: u64,
            loss in 0_u32..300_000,
            spread in 0_u64..100,
            lengths in proptest::collection::vec(0_usize..1_500, 1..200),
        ) {
            let config = Config {
                delay: Duration::from_millis(20),
                jitter: Jitter { spread: Duration::from_millis(spread), ..Jitter::default() },
                loss: PartsPerMillion(loss),
                duplication: Some(Duplication { share: PartsPerMillion(100_000), lag: Duration::ZERO }),
                ..Config::default()
            };
            let run = || {
                let mut link = Link::new(config, Seed::new(seed)).expect("sound");
                let fates: Vec<Fate> = lengths.iter().enumerate()
                    .map(|(index, length)| link.send(Instant::from_millis(index as u64 * 5), *length))
                    .collect();
                (fates, link.counters())
            };
            let (fates, counters) = run();
            prop_assert_eq!(&fates, &run().0);
            prop_assert_eq!(counters.sent, counters.delivered + counters.lost);
            for (index, fate) in fates.iter().enumerate() {
                if let Fate::Delivered(at) | Fate::Duplicated(at, _) = fate {
                    prop_assert!(*at >= Instant::from_millis(index as u64 * 5));
                }
            }
        }
    }
}
