//! What somebody sees on one line: frames of a camera or of a screen that shows the same in one
//! size or in several, recognised by their bytes.

use core::time::Duration;

use callrig_media::description::MediaKind;
use callrig_media::time::Instant;
use callrig_reports::metric::registry as metrics;
use callrig_reports::{Finding, Metric};

use super::super::meeting::began;
use super::super::rule::Rule;
use super::super::sound::milliseconds;
use super::super::{Evidence, view};
use super::{Viewer, after_a_gap};
use crate::critic::{sources_of, units_of};
use crate::measure::arrivals;
use crate::measure::latency::{Capture, Freezes};
use crate::measure::units::{self, Unit};

/// What a path carries has to be learnt, and a key frame to come.
const LEARNING: Duration = Duration::from_secs(6);

/// One size of the pictures.
struct Layer {
    units: Vec<(u32, Unit)>,
    began: Vec<Option<Instant>>,
    /// Bits per second, with the headers of IP and UDP.
    bits: f64,
}

/// A frame that is seen: when, of which layer, and which of its units.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    layer: usize,
    place: usize,
}

/// What one line shows, and what of it is seen.
pub(super) struct Line {
    /// Smallest first.
    layers: Vec<Layer>,
    seen: Vec<Seen>,
    /// Frames that are none of it, or before others: when, and how many bytes.
    strange: Vec<(Instant, usize)>,
}

/// What is seen once the path is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Late {
    /// How many frames were sent, of the largest layer: one at least.
    pub(super) due: usize,
    /// How many are seen, of any.
    pub(super) seen: usize,
    /// How many of them are not of the largest.
    pub(super) smaller: usize,
}

impl Late {
    pub(super) fn share(self) -> f64 {
        self.seen as f64 / self.due as f64
    }

    /// Where it is not all of the largest layer, that as words.
    pub(super) fn falls_short(self) -> Option<String> {
        let Self { seen, smaller, .. } = self;
        (smaller > 0 || seen == 0).then(|| format!("{smaller} of {seen} are of a smaller one"))
    }
}

impl Line {
    /// What `viewer` sees of the pictures of a kind.
    pub(super) fn of(evidence: &Evidence<'_>, viewer: Viewer, kind: MediaKind) -> Self {
        let mut layers = layers(evidence, kind);
        layers.sort_by(|one, other| one.bits.total_cmp(&other.bits));
        let mut next = vec![0; layers.len()];
        let (mut seen, mut strange) = (Vec::new(), Vec::new());
        for (at, frame) in view::frames(evidence, viewer.who, kind) {
            let found = layers.iter().enumerate().find_map(|(layer, of)| {
                let is_it = |&place: &usize| units::is_as_passed_on(&of.units, place, &frame.data);
                Some((layer, (next[layer]..of.units.len()).find(is_it)?))
            });
            match found {
                Some((layer, place)) => {
                    next[layer] = place + 1;
                    seen.push(Seen { at, layer, place });
                }
                None => strange.push((at, frame.data.len())),
            }
        }
        Self { layers, seen, strange }
    }

    /// Frames that were not shown on it, or before, as breaches of `rule`.
    pub(super) fn strange(&self, rule: &Rule) -> impl Iterator<Item = Finding> {
        self.strange.iter().map(|(at, bytes)| {
            let line = format!("frame at {:.3} ms", milliseconds(*at));
            let found = format!("{bytes} bytes that were not sent, or before");
            rule.broken("a frame of one of the layers", found).with_evidence([line])
        })
    }

    /// The first frame that cannot be decoded, as a breach of `rule`.
    pub(super) fn without_key(&self, rule: &Rule) -> Option<Finding> {
        let same_layer = |one: &Seen, other: &Seen| one.layer == other.layer;
        self.seen.chunk_by(same_layer).find_map(|run| self.without_key_in(run, rule))
    }

    /// Where some frames of one layer in a row cannot be decoded.
    fn without_key_in(&self, run: &[Seen], rule: &Rule) -> Option<Finding> {
        let (first, last) = (run.first()?, run.last()?);
        let units = &self.layers[first.layer].units;
        let line = |seen: &Seen| [format!("frame at {:.3} ms", milliseconds(seen.at))];
        if !units[first.place].1.is_key_frame {
            return Some(rule.broken("a key frame", "another frame").with_evidence(line(first)));
        }
        let places: Vec<usize> = run.iter().map(|seen| seen.place - first.place).collect();
        let (lost, place) = after_a_gap(&units[first.place..=last.place], &places)?;
        let seen = run.iter().find(|seen| seen.place == first.place + place)?;
        let expected = format!("none of frames {} to the next key frame", first.place + lost);
        let found = format!("frame {}", seen.place);
        Some(rule.broken(expected, found).with_evidence(line(seen)))
    }

    /// What is seen from the first key frame of the smallest layer on that begins when the path is
    /// known; none if none does.
    pub(super) fn late(&self) -> Option<Late> {
        let (smallest, largest) = (self.layers.first()?, self.layers.last()?);
        let learnt = largest.began.iter().flatten().min().copied()? + LEARNING;
        // Who has left something out goes on with a key frame; recordings give none when asked.
        let mut keys = smallest.units.iter().zip(&smallest.began);
        let begins = keys
            .find_map(|((_, unit), began)| began.filter(|at| unit.is_key_frame && *at >= learnt))?;
        let is_due = |began: &Option<Instant>| began.is_some_and(|at| at >= begins);
        let due = largest.began.iter().filter(|began| is_due(began)).count();
        let late =
            || self.seen.iter().filter(|one| is_due(&self.layers[one.layer].began[one.place]));
        let smaller = late().filter(|one| one.layer + 1 < self.layers.len()).count();
        (due > 0).then(|| Late { due, seen: late().count(), smaller })
    }

    /// Bits per second of the smallest layer.
    pub(super) fn smallest(&self) -> f64 {
        self.layers.first().map_or(0.0, |layer| layer.bits)
    }

    /// Bits per second of all layers.
    pub(super) fn all(&self) -> f64 {
        self.layers.iter().map(|layer| layer.bits).sum()
    }

    /// How much was seen, of all and of each layer, and how often it froze.
    pub(super) fn figures(&self, label: &'static str) -> Vec<Metric> {
        let Some(largest) = self.layers.last() else { return Vec::new() };
        let whole = largest.units.len();
        let share = |count: usize| (whole > 0).then(|| count as f64 / whole as f64);
        let times: Vec<Instant> = self.seen.iter().map(|one| one.at).collect();
        let freezes = Freezes::of(&times);
        let mut figures = vec![
            // One may be seen in two sizes.
            Metric::new(&metrics::FRAMES_RENDERED_RATIO, share(self.seen.len().min(whole)))
                .labelled(label),
            Metric::new(&metrics::FREEZE_COUNT, freezes.stands.len()).labelled(label),
        ];
        for layer in 0..self.layers.len() {
            let count = self.seen.iter().filter(|one| one.layer == layer).count();
            let label = format!("{label}, layer {} of {}", layer + 1, self.layers.len());
            figures
                .push(Metric::new(&metrics::FRAMES_RENDERED_RATIO, share(count)).labelled(label));
        }
        figures
    }
}

fn layers(evidence: &Evidence<'_>, kind: MediaKind) -> Vec<Layer> {
    let sent = arrivals::sent(evidence.trace, evidence.cast.user, evidence.cast.platform);
    let layer = |ssrc: u32| {
        let units = units_of(evidence.subject, ssrc);
        let began = began(&units, &Capture::of(&sent, ssrc, 90_000));
        let bits = arrivals::bit_rate(sent.iter().filter(|packet| packet.ssrc == ssrc));
        Layer { units, began, bits: bits.unwrap_or(0.0) }
    };
    sources_of(evidence.subject, kind).into_iter().map(layer).collect()
}
