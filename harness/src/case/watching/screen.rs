//! What somebody sees who is far away where a camera and a screen are shown side by side: each on
//! its own line, and where the path does not carry both, the screen.

use callrig_media::description::MediaKind;
use callrig_reports::Finding;

use super::super::rule::Rule;
use super::super::{Evidence, Judgement, view};
use super::line::Line;
use super::{Viewer, answers_at_once};
use crate::measure::arrivals;
use crate::subject::Subject;

/// All rules of this file.
pub(super) const RULES: &[Rule] = &[AS_SENT, KEY_FRAME_FIRST, LARGEST, SCREEN_FIRST];

const AS_SENT: Rule = Rule::must(
    "watching/screen/as-sent",
    "RFC 4796 section 4; RFC 7667 section 3.7",
    "A frame that is seen on the line of a screen is one that was shown of a screen, and on that of a camera one of a camera, to the last byte, and in the order of its layer; a key frame perhaps without what is ahead of it and shows nothing.",
);
const KEY_FRAME_FIRST: Rule = Rule::must(
    "watching/screen/key-frame-first",
    "ITU-T H.264 section 8.2.1; this project",
    "A layer of the screen, or of the camera, is seen from one of its key frames on, without a frame of it left out that others may refer to, until another one is seen.",
);
const LARGEST: Rule = Rule::should(
    "watching/screen/largest-on-a-wide-path",
    "RFC 8853 section 3; this project",
    "Where the path carries everything and little is lost, the largest layers of screen and camera are seen from the first key frame on that begins six seconds after the first picture.",
);
const SCREEN_FIRST: Rule = Rule::should(
    "watching/screen/screen-first",
    "RFC 8836 section 2; this project",
    "Where a path carries what is said and the smallest layer of the screen one and a half times, but not everything, at least 80 % of the screen's frames are seen from the first key frame on that begins six seconds after its first picture, whatever the camera shows.",
);

const SEEN_MIN: f64 = 0.8;
/// How often a path carries what has to be seen over it.
const ROOM: f64 = 1.5;

/// Whether a screen is shown beside a camera.
pub(super) fn has_both(subject: &Subject) -> bool {
    let lines = |kind| subject.media.iter().filter(|line| line.kind == kind).count();
    lines(MediaKind::Video) == 1 && lines(MediaKind::ScreenSharing) == 1
}

pub(super) fn judge(evidence: &Evidence<'_>, viewer: Viewer) -> Judgement {
    let mut judgement = Judgement::default();
    let screen = Line::of(evidence, viewer, MediaKind::ScreenSharing);
    let camera = Line::of(evidence, viewer, MediaKind::Video);
    for (line, label) in [(&screen, viewer.screen), (&camera, viewer.label)] {
        judgement.findings.extend(line.strange(&AS_SENT));
        judgement.findings.extend(line.without_key(&KEY_FRAME_FIRST));
        judgement.metrics.extend(line.figures(label));
    }
    match answers_at_once(evidence.network) {
        true => judgement.findings.extend([&screen, &camera].into_iter().filter_map(smaller)),
        false => judgement.findings.extend(screen_first(evidence, viewer, &screen, &camera)),
    }
    judgement
}

fn smaller(line: &Line) -> Option<Finding> {
    Some(LARGEST.broken("frames of the largest layer", line.late()?.falls_short()?))
}

/// What is seen of the screen once the path is known, against what that carries.
fn screen_first(
    evidence: &Evidence<'_>,
    viewer: Viewer,
    screen: &Line,
    camera: &Line,
) -> Option<Finding> {
    let carried = evidence.network.link.bottleneck?.bits_per_second as f64;
    let said = view::sound(evidence, evidence.cast.platform, viewer.who);
    let said = arrivals::bit_rate(said.iter()).unwrap_or(0.0);
    let has_room = carried >= ROOM * (said + screen.smallest());
    let is_narrow = carried < said + screen.all() + camera.all();
    let share = screen.late()?.share();
    (has_room && is_narrow && share < SEEN_MIN).then(|| {
        let expected = format!("at least {:.0} % of the screen's frames", SEEN_MIN * 100.0);
        SCREEN_FIRST.broken(expected, format!("{:.0} %", share * 100.0))
    })
}
