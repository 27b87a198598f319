//! What somebody sees who is far away from a camera that shows the same in several sizes: one of
//! them at a time, whole and from a key frame on, and the largest that the path carries.

use core::time::Duration;

use callrig_media::event::Event;
use callrig_media::time::Instant;
use callrig_reports::metric::registry as metrics;
use callrig_reports::{Finding, Metric};

use super::super::meeting::began;
use super::super::rule::Rule;
use super::super::sound::milliseconds;
use super::super::{Evidence, Judgement};
use super::{Viewer, after_a_gap, answers_at_once};
use crate::critic::{units_of, video_sources};
use crate::measure::arrivals;
use crate::measure::latency::{Capture, Freezes};
use crate::measure::units::{self, Unit};
use crate::said::Said;
use crate::subject::Subject;

/// All rules of this file.
pub(super) const RULES: &[Rule] = &[AS_SENT, KEY_FRAME_FIRST, LARGEST, CARRIED];

const AS_SENT: Rule = Rule::must(
    "watching/layers/as-sent",
    "RFC 8853 section 3; RFC 7667 section 3.7",
    "A frame that is seen is one of a layer that was shown, to the last byte, and in that layer's order; a key frame perhaps without what is ahead of it and shows nothing.",
);
const KEY_FRAME_FIRST: Rule = Rule::must(
    "watching/layers/key-frame-first",
    "ITU-T H.264 section 8.2.1; this project",
    "A layer is seen from one of its key frames on, without a frame of it left out that others may refer to, until another one is seen.",
);
const LARGEST: Rule = Rule::should(
    "watching/layers/largest-on-a-wide-path",
    "RFC 8853 section 3; this project",
    "Where the path carries all layers and little is lost, the largest is seen from six seconds after the first picture on.",
);
const CARRIED: Rule = Rule::should(
    "watching/layers/one-that-fits",
    "RFC 8853 section 3; this project",
    "Where a path carries the smallest layer twice but not all of them, at least 80 % of the frames are seen from six seconds after the first picture on.",
);

/// What a path carries has to be learnt, and a key frame to come.
const LEARNING: Duration = Duration::from_secs(6);
const SEEN_MIN: f64 = 0.8;

/// Whether one camera of a recording shows the same in several sizes.
pub(super) fn has_layers(subject: &Subject) -> bool {
    subject.media.iter().any(|line| line.simulcast.is_some())
}

/// One size of the pictures.
struct Layer {
    units: Vec<(u32, Unit)>,
    began: Vec<Option<Instant>>,
    /// Bits per second, with the headers of IP and UDP.
    bits: f64,
}

/// Smallest first.
fn layers(evidence: &Evidence<'_>) -> Vec<Layer> {
    let sent = arrivals::sent(evidence.trace, evidence.cast.user, evidence.cast.platform);
    let layer = |ssrc: u32| {
        let units = units_of(evidence.subject, ssrc);
        let began = began(&units, &Capture::of(&sent, ssrc, 90_000));
        let bits = arrivals::bit_rate(sent.iter().filter(|packet| packet.ssrc == ssrc));
        Layer { units, began, bits: bits.unwrap_or(0.0) }
    };
    let mut layers: Vec<Layer> = video_sources(evidence.subject).into_iter().map(layer).collect();
    layers.sort_by(|one, other| one.bits.total_cmp(&other.bits));
    layers
}

/// A frame that is seen: when, of which layer, and which of its units.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    layer: usize,
    place: usize,
}

pub(super) fn judge(evidence: &Evidence<'_>, viewer: Viewer) -> Judgement {
    let mut judgement = Judgement::default();
    let layers = layers(evidence);
    let mut next = vec![0; layers.len()];
    let mut seen: Vec<Seen> = Vec::new();
    for (at, said) in evidence.trace.said_by(viewer.who) {
        let Said::Media(_, event) = said else { continue };
        let Event::Frame(frame) = &**event else { continue };
        let found = layers.iter().enumerate().find_map(|(layer, of)| {
            let is_it = |&place: &usize| units::is_as_passed_on(&of.units, place, &frame.data);
            Some((layer, (next[layer]..of.units.len()).find(is_it)?))
        });
        match found {
            Some((layer, place)) => {
                next[layer] = place + 1;
                seen.push(Seen { at, layer, place });
            }
            None => {
                let line = format!("frame at {:.3} ms", milliseconds(at));
                let found = format!("{} bytes that were not sent, or before", frame.data.len());
                judgement.findings.push(
                    AS_SENT.broken("a frame of one of the layers", found).with_evidence([line]),
                );
            }
        }
    }
    judgement.findings.extend(seen.chunk_by(same_layer).find_map(|run| without_key(run, &layers)));
    judgement.findings.extend(late(evidence, &layers, &seen));
    judgement.metrics.extend(figures(&layers, &seen, viewer));
    judgement
}

fn same_layer(one: &Seen, other: &Seen) -> bool {
    one.layer == other.layer
}

/// Where some frames of one layer in a row cannot be decoded.
fn without_key(run: &[Seen], layers: &[Layer]) -> Option<Finding> {
    let (first, last) = (run.first()?, run.last()?);
    let units = &layers[first.layer].units;
    let line = |seen: &Seen| [format!("frame at {:.3} ms", milliseconds(seen.at))];
    if !units[first.place].1.is_key_frame {
        return Some(
            KEY_FRAME_FIRST.broken("a key frame", "another frame").with_evidence(line(first)),
        );
    }
    let places: Vec<usize> = run.iter().map(|seen| seen.place - first.place).collect();
    let (lost, place) = after_a_gap(&units[first.place..=last.place], &places)?;
    let seen = run.iter().find(|seen| seen.place == first.place + place)?;
    let expected = format!("none of frames {} to the next key frame", first.place + lost);
    let found = format!("frame {}", seen.place);
    Some(KEY_FRAME_FIRST.broken(expected, found).with_evidence(line(seen)))
}

/// What is seen once the path is known, against what it carries.
fn late(evidence: &Evidence<'_>, layers: &[Layer], seen: &[Seen]) -> Option<Finding> {
    let (smallest, largest) = (layers.first()?, layers.last()?);
    let learnt = largest.began.iter().flatten().min().copied()? + LEARNING;
    let is_due = |began: &Option<Instant>| began.is_some_and(|at| at >= learnt);
    let due = largest.began.iter().filter(|began| is_due(began)).count();
    let late = || seen.iter().filter(|one| is_due(&layers[one.layer].began[one.place]));
    if answers_at_once(evidence.network) {
        let smaller = late().filter(|one| one.layer + 1 < layers.len()).count();
        let count = late().count();
        return (smaller > 0 || (count == 0 && due > 0)).then(|| {
            let found = format!("{smaller} of {count} are of a smaller one");
            LARGEST.broken("frames of the largest layer", found)
        });
    }
    let carried = evidence.network.link.bottleneck?.bits_per_second as f64;
    let all: f64 = layers.iter().map(|layer| layer.bits).sum();
    let share = late().count() as f64 / due.max(1) as f64;
    let fits = carried >= 2.0 * smallest.bits && carried < all;
    (fits && due > 0 && share < SEEN_MIN).then(|| {
        let expected = format!("at least {:.0} % of the frames", SEEN_MIN * 100.0);
        CARRIED.broken(expected, format!("{:.0} %", share * 100.0))
    })
}

/// How much was seen, of all and of the largest, and how often it froze.
fn figures(layers: &[Layer], seen: &[Seen], viewer: Viewer) -> Vec<Metric> {
    let Some(largest) = layers.last() else { return Vec::new() };
    let whole = largest.units.len();
    let share = |count: usize| (whole > 0).then(|| count as f64 / whole as f64);
    let times: Vec<Instant> = seen.iter().map(|one| one.at).collect();
    let freezes = Freezes::of(&times);
    let mut figures = vec![
        Metric::new(&metrics::FRAMES_RENDERED_RATIO, share(seen.len())).labelled(viewer.label),
        Metric::new(&metrics::FREEZE_COUNT, freezes.stands.len()).labelled(viewer.label),
    ];
    for layer in 0..layers.len() {
        let count = seen.iter().filter(|one| one.layer == layer).count();
        let label = format!("{}, layer {} of {}", viewer.label, layer + 1, layers.len());
        figures.push(Metric::new(&metrics::FRAMES_RENDERED_RATIO, share(count)).labelled(label));
    }
    figures
}
