//! What somebody sees and hears who is far away, in a meeting or in a call whose media is relayed:
//! the platform keeps what it forwards and sends it again, and of pictures that the path does not
//! carry it sends fewer, whole ones that can be decoded, so that what is sent does not wait.

use core::time::Duration;

use callrig_media::description::{Codec, MediaKind};
use callrig_media::time::Instant;
use callrig_reports::Metric;
use callrig_reports::metric::registry as metrics;
use hdrhistogram::Histogram as Hdr;

use super::meeting::{self, Shown};
use super::recovery::{self, Tally};
use super::rule::{Rule, requirements};
use super::sound::milliseconds;
use super::{Case, Evidence, Judgement, video, view};
use crate::actor::ActorId;
use crate::critic::units_of;
use crate::link::{Cause, Fate, OVERHEAD_BYTES, PartsPerMillion};
use crate::measure::arrivals::{self, Arrived};
use crate::measure::latency::Capture;
use crate::measure::recovery::{Sendings, Source};
use crate::measure::reports;
use crate::measure::units::{self, Unit};
use crate::network::Network;
use crate::stage::{self, Stage};

mod hearing;
mod layers;
mod line;
mod screen;

/// All cases of this file, and of those below it.
pub const CASES: &[Case] = &[
    Case {
        id: "watching/seeing",
        title: "over a network, what is seen in a meeting is what was shown, and can be decoded",
        requirements: || requirements(&[AS_SENT, DECODABLE, AGAIN]),
        stage: Stage::Watch,
        applies: recovery::applies,
        judge: |evidence| in_meeting(evidence, seeing),
    },
    Case {
        id: "watching/sent-again",
        title: "what is lost on the way to somebody in a meeting is sent again as it was",
        requirements: || requirements(&[UNCHANGED, ANSWERED]),
        stage: Stage::Watch,
        applies: recovery::applies,
        judge: |evidence| in_meeting(evidence, sent_again),
    },
    Case {
        id: "watching/narrow-path",
        title: "where a path carries less than is shown, less is sent, and little of it waits or is lost",
        requirements: || requirements(&[SHORT_QUEUE, LITTLE_LOST]),
        stage: Stage::Watch,
        applies: |subject, network| recovery::applies(subject, network) && network.is_narrow(),
        judge: |evidence| in_meeting(evidence, narrow_path),
    },
    Case {
        id: "watching/hearing",
        title: "what is said in a meeting is heard over a network soon, in one stream",
        requirements: || requirements(hearing::RULES),
        stage: Stage::Watch,
        applies: |subject, network| {
            subject.has_audio() && view::is_regular(subject) && network.name != "clean"
        },
        judge: |evidence| in_meeting(evidence, hearing::judge),
    },
    Case {
        id: "watching/call-hearing",
        title: "what is said in a call is heard over a network soon",
        requirements: || requirements(hearing::IN_CALL),
        stage: Stage::Deliver,
        applies: |subject, network| {
            subject.has_audio() && view::is_regular(subject) && network.name != "clean"
        },
        judge: |evidence| in_call(evidence, hearing::heard),
    },
    Case {
        id: "watching/layers",
        title: "of a camera that shows the same in several sizes, the largest that the path carries is seen",
        requirements: || requirements(layers::RULES),
        stage: Stage::Watch,
        applies: |subject, _| layers::has_layers(subject),
        judge: |evidence| in_meeting(evidence, layers::judge),
    },
    Case {
        id: "watching/screen",
        title: "a screen is seen beside a camera, and first of all where the path does not carry both",
        requirements: || requirements(screen::RULES),
        stage: Stage::Watch,
        applies: |subject, network| screen::has_both(subject) && network.name != "clean",
        judge: |evidence| in_meeting(evidence, screen::judge),
    },
    Case {
        id: "watching/call-seeing",
        title: "over a network, what is seen in a call is what was shown, and can be decoded",
        requirements: || requirements(&[AS_SENT, DECODABLE, AGAIN]),
        stage: Stage::Deliver,
        applies: recovery::applies,
        judge: |evidence| in_call(evidence, seeing),
    },
    Case {
        id: "watching/call-sent-again",
        title: "what is lost on the way to the other side of a call is sent again as it was",
        requirements: || requirements(&[UNCHANGED, ANSWERED]),
        stage: Stage::Deliver,
        applies: recovery::applies,
        judge: |evidence| in_call(evidence, sent_again),
    },
    Case {
        id: "watching/call-narrow-path",
        title: "where a path carries less than is shown in a call, less is sent, and little waits or is lost",
        requirements: || requirements(&[SHORT_QUEUE, LITTLE_LOST]),
        stage: Stage::Deliver,
        applies: |subject, network| recovery::applies(subject, network) && network.is_narrow(),
        judge: |evidence| in_call(evidence, narrow_path),
    },
];

const AS_SENT: Rule = Rule::must(
    "watching/seeing/as-sent",
    "RFC 7667 section 3.7; this project",
    "Over any network a frame that is seen is one that was shown, to the last byte, and in that order; a key frame perhaps without what is ahead of it and shows nothing.",
);
const DECODABLE: Rule = Rule::must(
    "watching/seeing/nothing-after-a-reference-left-out",
    "ITU-T H.264 section 8.2.1; this project",
    "After a frame that others may refer to was lost or left out, none is handed out before the next key frame.",
);
const AGAIN: Rule = Rule::should(
    "watching/seeing/again-after-an-outage",
    "this project",
    "Of the key frames that begin a second or more after the path is whole again, the first is seen.",
);
const UNCHANGED: Rule = Rule::must(
    "watching/sent-again/unchanged",
    "RFC 4588 section 4; RFC 4585 section 6.2.1",
    "A packet that is sent again to whoever watches has the number, timestamp, marker and payload that it had.",
);
const ANSWERED: Rule = Rule::should(
    "watching/sent-again/answered",
    "RFC 4585 section 6.2.1; this project",
    "Where little is lost and the path carries all that is shown, one of the last 500 packets that is asked for is sent again at once, unless that was done less than a round trip ago and may be on its way.",
);
const SHORT_QUEUE: Rule = Rule::should(
    "watching/narrow-path/short-queue",
    "RFC 8836 section 2; this project",
    "From three seconds after the first picture on, 95 % of the packets wait at most 250 ms before a narrow path.",
);
const LITTLE_LOST: Rule = Rule::should(
    "watching/narrow-path/little-lost",
    "RFC 8836 section 2; this project",
    "From three seconds after the first picture on, at most 5 % of the packets find the queue before a narrow path full.",
);

/// How much a path is, has to be learnt.
const LEARNING: Duration = Duration::from_secs(3);
const QUEUE_MAX: Duration = Duration::from_millis(250);
const LOST_MAX: f64 = 0.05;
/// So long after an outage a key frame is due.
const RECOVERED: Duration = Duration::from_secs(1);
/// When packets are told of, after they came.
const TOLD_WITHIN: Duration = Duration::from_millis(100);

/// Who watches, and what is said of what was measured.
#[derive(Clone, Copy)]
struct Viewer {
    who: ActorId,
    label: &'static str,
    /// The same of a screen.
    screen: &'static str,
}

impl Viewer {
    const fn in_meeting(who: ActorId) -> Self {
        Self { who, label: "far away", screen: "far away, screen" }
    }

    const fn in_call(who: ActorId) -> Self {
        Self { who, label: "far away in a call", screen: "far away in a call, screen" }
    }
}

fn in_meeting(evidence: &Evidence<'_>, judge: fn(&Evidence<'_>, Viewer) -> Judgement) -> Judgement {
    match evidence.cast.guest {
        Some(who) => judge(evidence, Viewer::in_meeting(who)),
        None => Judgement::unsupported("nobody watches from far away in this world"),
    }
}

fn in_call(evidence: &Evidence<'_>, judge: fn(&Evidence<'_>, Viewer) -> Judgement) -> Judgement {
    judge(evidence, Viewer::in_call(evidence.cast.bot))
}

fn seeing(evidence: &Evidence<'_>, viewer: Viewer) -> Judgement {
    let mut judgement = Judgement::default();
    for (kind, ssrc) in meeting::shown_alone(evidence.subject) {
        seeing_one(evidence, viewer, (kind, ssrc), &mut judgement);
    }
    judgement
}

fn seeing_one(
    evidence: &Evidence<'_>,
    viewer: Viewer,
    (kind, ssrc): (MediaKind, u32),
    judgement: &mut Judgement,
) {
    let cast = evidence.cast;
    let units = units_of(evidence.subject, ssrc);
    let sent = arrivals::sent(evidence.trace, cast.user, cast.platform);
    let capture = Capture::of(&sent, ssrc, 90_000);
    let shown = Shown::to(evidence, viewer.who, (kind, &units), units::is_as_passed_on);
    judgement.findings.extend(shown.strange(&AS_SENT));
    let places: Vec<usize> = shown.places().collect();
    if let Some((lost, place)) = after_a_gap(&units, &places) {
        judgement.findings.push(DECODABLE.broken(
            format!("none of frames {lost} to the next key frame"),
            format!("frame {place}"),
        ));
    }
    if let Some(outage) = evidence.network.link.outage {
        let whole = Instant::ZERO + outage.start + outage.length + RECOVERED;
        let began = meeting::began(&units, &capture);
        let is_due = |&place: &usize| {
            let unit = &units[place].1;
            let late = began[place].is_some_and(|at| at >= whole);
            late && unit.is_key_frame && unit.is_whole
        };
        let due = (0..units.len()).find(is_due);
        if let Some(due) = due.filter(|due| places.binary_search(due).is_err()) {
            let at = began[due].map_or(0.0, milliseconds);
            let expected = format!("the key frame that began at {at:.3} ms, frame {due}");
            judgement.findings.push(AGAIN.broken(expected, "it was not seen"));
        }
    }
    let label = match kind {
        MediaKind::ScreenSharing => viewer.screen,
        _ => viewer.label,
    };
    let metrics = shown.metrics(&units, &capture);
    judgement.metrics.extend(metrics.map(|metric| metric.labelled(label)));
}

/// The first frame that was seen although one before it that it may refer to was not: that one,
/// and it.
fn after_a_gap(units: &[(u32, Unit)], seen: &[usize]) -> Option<(usize, usize)> {
    let mut gap = None;
    for (place, (_, unit)) in units.iter().enumerate() {
        let is_seen = seen.binary_search(&place).is_ok();
        match gap {
            _ if is_seen && unit.is_key_frame => gap = None,
            Some(gap) if is_seen => return Some((gap, place)),
            None if !is_seen && video::is_reference(&unit.data) => gap = Some(place),
            _ => {}
        }
    }
    None
}

/// The streams of pictures that a viewer is sent, with where they are sent again: by the payload
/// types that the viewer offered.
fn sources(evidence: &Evidence<'_>, sent: &[Arrived]) -> Vec<Source> {
    let lines = stage::watching(evidence.subject);
    let lines = lines.iter().filter(|line| line.kind.is_video());
    let pairs: Vec<(u8, u8)> = lines
        .flat_map(|line| &line.payloads)
        .filter_map(|payload| Some((payload.retransmission?, payload.payload_type)))
        .collect();
    let of = |wanted: u8| {
        let is_it = move |packet: &&Arrived| packet.payload_type == wanted;
        sent.iter().find(is_it).map(|packet| packet.ssrc)
    };
    let source = |&(again, payload_type): &(u8, u8)| {
        let payload_types = vec![(again, payload_type)];
        Some(Source { ssrc: of(payload_type)?, again: of(again), payload_types })
    };
    pairs.iter().filter_map(source).collect()
}

fn sent_again(evidence: &Evidence<'_>, viewer: Viewer) -> Judgement {
    let mut judgement = Judgement::default();
    let mut tally = Tally::default();
    let platform = evidence.cast.platform;
    let heard = reports::arrived(evidence.trace, viewer.who, platform);
    let sent = arrivals::sent(evidence.trace, platform, viewer.who);
    for source in sources(evidence, &sent) {
        let sendings = Sendings::of(evidence.trace, (platform, viewer.who), &source);
        tally.take(&sendings);
        judgement.findings.extend(recovery::changed(&sendings, &UNCHANGED));
        if answers_at_once(evidence.network) {
            let asked = recovery::asked(&heard, &source, &sendings);
            let link = evidence.network.link;
            let round_trip = 2 * (link.delay + link.jitter.spread) + TOLD_WITHIN;
            let found = recovery::not_answered(&sendings, &asked, round_trip, &ANSWERED);
            judgement.findings.extend(found);
        }
    }
    let asked = Metric::new(&metrics::NACK_COUNT, recovery::messages(&heard));
    let metrics = tally.metrics().into_iter().chain([asked]);
    judgement.metrics.extend(metrics.map(|metric| metric.labelled(viewer.label)));
    judgement
}

/// Where too much is shown as it is, or all that was lost in a while comes at once, it has to wait;
/// and where more than a tenth is lost, less is sent.
fn answers_at_once(network: &Network) -> bool {
    let link = &network.link;
    !network.is_narrow() && link.outage.is_none() && link.loss <= PartsPerMillion::percent(10)
}

/// What became of one datagram on a narrow path.
struct Passed {
    sent: Instant,
    /// How long it waited; none if there was no room for it.
    waited: Option<Duration>,
    bytes: usize,
}

fn passed(evidence: &Evidence<'_>, viewer: ActorId) -> Vec<Passed> {
    let link = evidence.network.link;
    let bits_per_second = link.bottleneck.map_or(u64::MAX, |bottleneck| bottleneck.bits_per_second);
    // Its own time on the path is no waiting.
    let own = |bytes: usize| {
        let bits = (bytes + OVERHEAD_BYTES) as u64 * 8;
        link.delay + Duration::from_nanos(bits * 1_000_000_000 / bits_per_second.max(1))
    };
    let crossings = evidence.trace.crossings(evidence.cast.platform, viewer);
    let passed = crossings.filter_map(|(sent, crossed)| {
        let waited = match crossed.fate {
            Fate::Delivered(at) | Fate::Duplicated(at, _) => {
                Some(at.since(sent).saturating_sub(own(crossed.payload.len())))
            }
            Fate::Dropped(Cause::QueueFull) => None,
            Fate::Dropped(_) => return None,
        };
        Some(Passed { sent, waited, bytes: crossed.payload.len() })
    });
    passed.collect()
}

fn narrow_path(evidence: &Evidence<'_>, viewer: Viewer) -> Judgement {
    let mut judgement = Judgement::default();
    let sent = arrivals::sent(evidence.trace, evidence.cast.platform, viewer.who);
    let codec = |packet: &&Arrived| view::codec(evidence.subject, packet.payload_type);
    let mut pictures = sent.iter().filter(|packet| codec(packet).is_some_and(Codec::is_video));
    let Some(first) = pictures.next() else { return judgement };
    let last = pictures.next_back().unwrap_or(first);
    let learnt = first.sent + LEARNING;
    let mut passed = passed(evidence, viewer.who);
    passed.retain(|one| (learnt..=last.sent).contains(&one.sent));
    if passed.is_empty() {
        return judgement;
    }
    let mut waited = Hdr::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("sound bounds");
    passed
        .iter()
        .filter_map(|one| one.waited)
        .for_each(|waiting| waited.saturating_record(waiting.as_nanos() as u64));
    let lost = passed.iter().filter(|one| one.waited.is_none()).count();
    let share = lost as f64 / passed.len() as f64;
    let long = Duration::from_nanos(waited.value_at_quantile(0.95));
    let words = |one: Duration| format!("{:.0} ms", one.as_secs_f64() * 1e3);
    if long > QUEUE_MAX {
        let expected = format!("95 % wait at most {}", words(QUEUE_MAX));
        judgement.findings.push(SHORT_QUEUE.broken(expected, words(long)));
    }
    if share > LOST_MAX {
        let found = format!("{lost} of {} packets", passed.len());
        let expected = format!("at most {:.0} %", LOST_MAX * 100.0);
        judgement.findings.push(LITTLE_LOST.broken(expected, found));
    }
    let bits = passed.iter().map(|one| one.bytes as f64 * 8.0).sum::<f64>();
    let span = last.sent.since(learnt).as_secs_f64();
    judgement.metrics.extend(
        [
            Metric::new(&metrics::DELAY_VARIATION_P95, long.as_secs_f64()),
            Metric::new(&metrics::LOSS_RATIO, share),
            Metric::new(&metrics::BITRATE, (span > 0.0).then(|| bits / span)),
        ]
        .map(|metric| metric.labelled(viewer.label)),
    );
    judgement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_refers_to_may_be_left_out_and_what_somebody_does_not() {
        let unit = |header: u8| {
            let data = vec![0, 0, 0, 1, header, 1];
            let is_key_frame = header & 0x1f == 5;
            (0, Unit { data, is_whole: true, is_key_frame, ..Unit::default() })
        };
        let (key, referred, alone) = (0x65, 0x41, 0x01);
        let units = [key, referred, alone, referred, key, referred].map(unit);
        assert_eq!(after_a_gap(&units, &[0, 1, 2, 3, 4, 5]), None);
        assert_eq!(after_a_gap(&units, &[0, 1, 3, 4, 5]), None, "nobody refers to it");
        assert_eq!(after_a_gap(&units, &[0, 2]), Some((1, 2)));
        assert_eq!(after_a_gap(&units, &[0, 4, 5]), None, "all but key frames");
        assert_eq!(after_a_gap(&units, &[1]), Some((0, 1)));
    }
}
