//! What somebody sees who is far away from a camera that shows the same in several sizes: one of
//! them at a time, whole and from a key frame on, and the largest that the path carries.

use callrig_media::description::MediaKind;
use callrig_reports::Finding;

use super::super::rule::Rule;
use super::super::{Evidence, Judgement};
use super::line::Line;
use super::{Viewer, answers_at_once};
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
    "Where the path carries all layers and little is lost, the largest is seen from the first key frame on that begins six seconds after the first picture.",
);
const CARRIED: Rule = Rule::should(
    "watching/layers/one-that-fits",
    "RFC 8853 section 3; this project",
    "Where a path carries the smallest layer twice but not all of them, at least 80 % of the frames are seen from the first key frame on that begins six seconds after the first picture.",
);

const SEEN_MIN: f64 = 0.8;

/// Whether the one camera of a recording shows the same in several sizes, and nothing else is
/// shown.
pub(super) fn has_layers(subject: &Subject) -> bool {
    let mut lines = subject.media.iter().filter(|line| line.kind.is_video());
    let first = lines.next().is_some_and(|line| line.simulcast.is_some());
    first && lines.next().is_none()
}

pub(super) fn judge(evidence: &Evidence<'_>, viewer: Viewer) -> Judgement {
    let mut judgement = Judgement::default();
    let line = Line::of(evidence, viewer, MediaKind::Video);
    judgement.findings.extend(line.strange(&AS_SENT));
    judgement.findings.extend(line.without_key(&KEY_FRAME_FIRST));
    judgement.findings.extend(late(evidence, &line));
    judgement.metrics.extend(line.figures(viewer.label));
    judgement
}

/// What is seen once the path is known, against what it carries.
fn late(evidence: &Evidence<'_>, line: &Line) -> Option<Finding> {
    let late = line.late()?;
    if answers_at_once(evidence.network) {
        let found = late.falls_short()?;
        return Some(LARGEST.broken("frames of the largest layer", found));
    }
    let carried = evidence.network.link.bottleneck?.bits_per_second as f64;
    let fits = carried >= 2.0 * line.smallest() && carried < line.all();
    (fits && late.share() < SEEN_MIN).then(|| {
        let expected = format!("at least {:.0} % of the frames", SEEN_MIN * 100.0);
        CARRIED.broken(expected, format!("{:.0} %", late.share() * 100.0))
    })
}
