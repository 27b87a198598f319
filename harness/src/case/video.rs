//! Pictures: that nothing damaged is ever called whole or shown, that what came whole is
//! shown, that every frame is accounted for, and how late, how often and how well.

use std::collections::{BTreeMap, BTreeSet};

use callrig_media::event::Event;
use callrig_media::stats::Track;
use callrig_media::time::Instant;
use callrig_media::video::{DropCause, Frame, nal};
use callrig_reports::metric::Unit as MetricUnit;
use callrig_reports::metric::registry as metrics;
use callrig_reports::{Finding, Histogram, Mark, MarkKind, Metric, Series, mark};
use hdrhistogram::Histogram as Hdr;

use super::rule::{Rule, requirements};
use super::sound::milliseconds;
use super::view;
use super::{Case, Evidence, Judgement};
use crate::critic::{units_of, video_sources};
use crate::measure::arrivals;
use crate::measure::latency::{Capture, Freezes};
use crate::measure::reports::{self, Packet};
use crate::measure::units::{self, Unit};
use crate::network::Network;
use crate::said::Said;
use crate::stage::Stage;
use crate::subject::Subject;
use crate::trace::{Seen, What};

/// All cases of this file.
pub const CASES: &[Case] = &[
    Case {
        id: "video/no-damaged-frame",
        title: "no frame is handed out as whole that differs from what was sent",
        requirements: || requirements(&[UNDAMAGED, ONCE, REFERENCE]),
        stage: Stage::Listen,
        applies,
        judge: no_damaged_frame,
    },
    Case {
        id: "video/no-wrong-picture",
        title: "every picture that is shown is the one that was sent",
        requirements: || requirements(&[RIGHT]),
        stage: Stage::Listen,
        applies: regular,
        judge: no_wrong_picture,
    },
    Case {
        id: "video/conservation",
        title: "every frame of which a packet arrived is handed out or dropped by a cause",
        requirements: || requirements(&[ACCOUNTED]),
        stage: Stage::Listen,
        applies: regular,
        judge: conservation,
    },
    Case {
        id: "video/all-shown-on-clean",
        title: "without a network in between, all that was sent whole is handed out and decoded",
        requirements: || requirements(&[ALL_WHOLE, DIGEST]),
        stage: Stage::Listen,
        applies: |subject, network| regular(subject, network) && network.name == "clean",
        judge: all_shown,
    },
    Case {
        id: "video/key-frame-request",
        title: "a receiver that cannot go on asks for a key frame, soon and not too often",
        requirements: || requirements(&[ASKS, ASKS_SELDOM]),
        stage: Stage::Listen,
        applies: regular,
        judge: key_frame_request,
    },
    Case {
        id: "video/watching",
        title: "how late pictures are shown, how often they freeze, and how like the sent ones they are",
        requirements: || requirements(&[NOT_BEFORE]),
        stage: Stage::Listen,
        applies: regular,
        judge: watching,
    },
];

const UNDAMAGED: Rule = Rule::must(
    "video/no-damaged-frame/byte-for-byte",
    "RFC 6184 sections 5.6 to 5.8; this project",
    "A frame handed out as whole has exactly the NAL units that were sent under its timestamp; a key frame perhaps parameter sets ahead that had been sent.",
);
const ONCE: Rule =
    Rule::must("video/no-damaged-frame/once", "this project", "A frame is handed out once.");
const REFERENCE: Rule = Rule::must(
    "video/no-damaged-frame/nothing-after-a-lost-reference",
    "ITU-T H.264 section 8.2.1; this project",
    "After a frame that others may refer to is lost, no frame is handed out before the next key frame.",
);
const RIGHT: Rule = Rule::must(
    "video/no-wrong-picture/like-a-clean-decoding",
    "ITU-T H.264; this project",
    "A picture shown equals, sample for sample, the decoding of what was sent without loss.",
);
const ACCOUNTED: Rule = Rule::must(
    "video/conservation/one-fate",
    "this project",
    "Every frame of which a packet arrived in time is handed out, or dropped by a cause, and only one of them.",
);
const ALL_WHOLE: Rule = Rule::must(
    "video/all-shown-on-clean/whole-frames",
    "RFC 6184 section 7.1",
    "Frames of which every packet arrives are handed out, from the first key frame on.",
);
const DIGEST: Rule = Rule::must(
    "video/all-shown-on-clean/digest",
    "ITU-T H.264; the recording's manifest entry",
    "The pictures have the digest that another decoder's have.",
);
const ASKS: Rule = Rule::should(
    "video/key-frame-request/asks",
    "RFC 4585 section 6.3.1",
    "A receiver that drops frames because a reference is gone sends a PLI within a second.",
);
const ASKS_SELDOM: Rule = Rule::should(
    "video/key-frame-request/seldom",
    "RFC 4585 section 6.3.1; RFC 5104 section 3.5.1",
    "A receiver asks for a key frame at most ten times a second.",
);
const NOT_BEFORE: Rule = Rule::must(
    "video/watching/not-before-it-was-sent",
    "this project",
    "No picture is shown before its frame was sent.",
);

fn applies(subject: &Subject, _: &Network) -> bool {
    subject.has_video()
}

fn regular(subject: &Subject, network: &Network) -> bool {
    applies(subject, network) && view::is_regular(subject)
}

/// The frames that the bot's session handed out.
fn frames<'a>(evidence: &Evidence<'a>) -> impl Iterator<Item = (Instant, &'a Frame)> {
    evidence.trace.said_by(evidence.cast.bot).filter_map(|(at, said)| match said {
        Said::Media(_, event) => match &**event {
            Event::Frame(frame) => Some((at, frame)),
            _ => None,
        },
        _ => None,
    })
}

/// The frames that it dropped.
fn drops<'a>(evidence: &Evidence<'a>) -> impl Iterator<Item = (Instant, u32, u32, DropCause)> + 'a {
    evidence.trace.said_by(evidence.cast.bot).filter_map(|(at, said)| match said {
        Said::Media(_, event) => match &**event {
            Event::FrameDropped { ssrc, timestamp, cause } => Some((at, *ssrc, *timestamp, *cause)),
            _ => None,
        },
        _ => None,
    })
}

fn seen<'a>(evidence: &Evidence<'a>) -> impl Iterator<Item = (Instant, &'a Seen)> {
    let bot = evidence.cast.bot;
    evidence.trace.facts().iter().filter_map(move |fact| match &fact.what {
        What::Seen(seen) if evidence.trace.screens()[usize::from(seen.screen)].who == bot => {
            Some((fact.at, seen))
        }
        _ => None,
    })
}

fn no_damaged_frame(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    for ssrc in video_sources(evidence.subject) {
        if view::is_regular(evidence.subject) {
            judgement.findings.extend(after_lost_reference(evidence, ssrc));
        }
        let units = units_of(evidence.subject, ssrc);
        let places: BTreeMap<u32, usize> =
            units.iter().enumerate().map(|(place, (stamp, _))| (*stamp, place)).collect();
        let mut handed_out: BTreeSet<u32> = BTreeSet::new();
        for (at, frame) in frames(evidence).filter(|(_, frame)| frame.ssrc == ssrc) {
            let line = format!(
                "frame of timestamp {} handed out at {:.3} ms",
                frame.timestamp,
                milliseconds(at)
            );
            match places.get(&frame.timestamp) {
                Some(&place) if units::is_as_sent(&units, place, &frame.data) => {}
                Some(&place) => {
                    let unit = &units[place].1;
                    judgement.findings.push(
                        UNDAMAGED
                            .broken(
                                format!("{} bytes, whole: {}", unit.data.len(), unit.is_whole),
                                format!("{} bytes{}", frame.data.len(), difference(unit, frame)),
                            )
                            .with_evidence([line.clone()]),
                    );
                }
                None => judgement.findings.push(
                    UNDAMAGED
                        .broken("a frame that was sent", "one that never was")
                        .with_evidence([line.clone()]),
                ),
            }
            if !handed_out.insert(frame.timestamp) {
                judgement.findings.push(ONCE.broken("once", "again").with_evidence([line]));
            }
        }
    }
    judgement
}

/// The first frame that was handed out although one that it may refer to was not.
fn after_lost_reference(evidence: &Evidence<'_>, ssrc: u32) -> Option<Finding> {
    let of_source = frames(evidence).filter(|(_, frame)| frame.ssrc == ssrc);
    let handed_out: BTreeSet<u32> = of_source.map(|(_, frame)| frame.timestamp).collect();
    let mut lost = None;
    for (stamp, unit) in units_of(evidence.subject, ssrc) {
        match (handed_out.contains(&stamp), lost) {
            (true, _) if unit.is_key_frame => lost = None,
            (true, Some(lost)) => {
                return Some(REFERENCE.broken(
                    format!("no frame between that of timestamp {lost} and a key frame"),
                    format!("that of timestamp {stamp}"),
                ));
            }
            (false, None) if unit.is_whole && is_reference(&unit.data) => lost = Some(stamp),
            _ => {}
        }
    }
    None
}

/// Whether a picture of this access unit may be referred to (ITU-T H.264 section 7.4.1).
pub(super) fn is_reference(access_unit: &[u8]) -> bool {
    nal::units(access_unit).any(|unit| {
        let header = nal::Header::from_byte(unit[0]);
        header.unit_type().is_picture() && header.reference() != 0
    })
}

fn difference(unit: &Unit, frame: &Frame) -> String {
    let place = unit.data.iter().zip(&frame.data[..]).position(|(a, b)| a != b);
    place.map_or_else(String::new, |place| format!(", other from byte {place} on"))
}

fn no_wrong_picture(evidence: &Evidence<'_>) -> Judgement {
    Judgement { findings: wrong_pictures(evidence, &RIGHT), ..Judgement::default() }
}

/// The pictures shown that are not those that were sent, as breaches of `rule`.
pub(super) fn wrong_pictures(evidence: &Evidence<'_>, rule: &Rule) -> Vec<Finding> {
    let wrong = seen(evidence).filter_map(|(at, seen)| {
        let likeness = seen.likeness.filter(|likeness| likeness.ssim < 1.0)?;
        let found = format!("PSNR {:.1} dB", likeness.psnr);
        Some(rule.broken("the picture that was sent", found).with_evidence([format!(
            "picture {} of timestamp {} at {:.3} ms",
            seen.index,
            seen.timestamp,
            milliseconds(at)
        )]))
    });
    wrong.collect()
}

fn conservation(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let arrived = arrivals::between(evidence.trace, cast.platform, cast.bot);
    let mut judgement = Judgement::default();
    let (mut residual, mut dropped) = (0u64, BTreeMap::<&'static str, u64>::new());
    for ssrc in video_sources(evidence.subject) {
        let mut fates: BTreeMap<u32, u32> = BTreeMap::new();
        for (_, frame) in frames(evidence).filter(|(_, frame)| frame.ssrc == ssrc) {
            *fates.entry(frame.timestamp).or_default() += 1;
        }
        for (_, _, stamp, cause) in drops(evidence).filter(|drop| drop.1 == ssrc) {
            *fates.entry(stamp).or_default() += 1;
            *dropped.entry(cause.name()).or_default() += 1;
        }
        let stats = view::bot_stats(evidence);
        let stream = stats.and_then(|stats| stats.inbound.iter().find(|one| one.ssrc == ssrc));
        let (open, late) = match stream.map(|stream| &stream.track) {
            Some(Track::Pictures(track)) => {
                (track.frames_open, track.packets_late + track.packets_empty)
            }
            _ => (0, 0),
        };
        let stamps: BTreeSet<u32> =
            arrived.iter().filter(|packet| packet.ssrc == ssrc).map(|one| one.timestamp).collect();
        let without = stamps.iter().filter(|stamp| !fates.contains_key(stamp)).count() as u64;
        // A frame of which every packet came too late, or carried nothing, had no turn.
        if without > open + late {
            residual += without - open - late;
            judgement.findings.push(ACCOUNTED.broken(
                format!("SSRC {ssrc:#010x}: a fate for each of {} frames", stamps.len()),
                format!("{without} without one"),
            ));
        }
        let twice = fates.values().filter(|count| **count > 1).count() as u64;
        if twice > 0 {
            residual += twice;
            judgement.findings.push(
                ACCOUNTED.broken("one fate for each frame", format!("{twice} with two or more")),
            );
        }
    }
    judgement.metrics.push(Metric::new(&metrics::FRAME_CONSERVATION_RESIDUAL, residual));
    judgement.metrics.extend(
        dropped
            .into_iter()
            .map(|(cause, count)| Metric::new(&metrics::FRAMES_DROPPED, count).labelled(cause)),
    );
    judgement
}

fn all_shown(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    for ssrc in video_sources(evidence.subject) {
        let units = units_of(evidence.subject, ssrc);
        let handed_out: BTreeSet<u32> = frames(evidence)
            .filter(|(_, frame)| frame.ssrc == ssrc)
            .map(|(_, frame)| frame.timestamp)
            .collect();
        // What refers to a frame that the recording itself lost may be held back.
        let intact = units.iter().skip_while(|(_, unit)| !unit.is_key_frame);
        let intact = intact.take_while(|(_, unit)| unit.is_whole);
        let missing: Vec<String> = intact
            .filter(|(stamp, _)| !handed_out.contains(stamp))
            .map(|(stamp, unit)| format!("timestamp {stamp}, {} packets", unit.numbers.len()))
            .collect();
        if !missing.is_empty() {
            judgement.findings.push(
                ALL_WHOLE
                    .broken("every whole frame", format!("{} held back", missing.len()))
                    .with_evidence(missing),
            );
        }
    }
    let trace = evidence.trace;
    let screen = trace.screens().iter().find(|screen| screen.who == evidence.cast.bot);
    if let Some(screen) = screen {
        let digest: String = screen.digest().iter().map(|byte| format!("{byte:02x}")).collect();
        let sources = video_sources(evidence.subject);
        let damaged = evidence.subject.truth.lost.unwrap_or(0) > 0;
        if let Some(expected) = &evidence.subject.truth.decoded_digest
            && sources.len() == 1
            && !damaged
            && expected.to_string() != digest
        {
            judgement.findings.push(DIGEST.broken(expected.to_string(), digest.clone()));
        }
        judgement.metrics.push(Metric::new(&metrics::DECODED_DIGEST, digest));
    }
    judgement
}

fn key_frame_request(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let mut judgement = Judgement::default();
    let mut requests: Vec<(Instant, u32)> = Vec::new();
    for compound in reports::sent(evidence.trace, cast.bot, cast.platform) {
        for packet in &compound.packets {
            if let Packet::Pli { ssrc } = packet {
                requests.push((compound.at, *ssrc));
            }
        }
    }
    let full = view::bot_stats(evidence)
        .map(|stats| stats.inbound.iter().map(|stream| stream.fir_count).sum::<u64>() as f64);
    judgement.metrics.extend([
        Metric::new(&metrics::PLI_COUNT, requests.len()),
        Metric::new(&metrics::FIR_COUNT, full),
    ]);
    let marks =
        requests.iter().map(|(at, _)| Mark::at(MarkKind::KeyFrameRequested, milliseconds(*at)));
    judgement.marks = mark::bounded(marks, Mark::MAX_PER_KIND);
    let ended = evidence.trace.end();
    for ssrc in video_sources(evidence.subject) {
        let gone = drops(evidence).find(|(at, whose, _, cause)| {
            *whose == ssrc
                && matches!(cause, DropCause::ReferenceLost | DropCause::NoKeyFrame)
                && ended.since(*at).as_secs() >= 1
        });
        if let Some((at, ..)) = gone {
            let near = |request: &&(Instant, u32)| {
                request.1 == ssrc && request.0.signed_nanos_since(at).abs() <= 1_000_000_000
            };
            if !requests.iter().any(|request| near(&request)) {
                judgement.findings.push(
                    ASKS.broken(format!("a PLI within 1 s of {:.3} ms", milliseconds(at)), "none"),
                );
            }
        }
        let times: Vec<Instant> =
            requests.iter().filter(|one| one.1 == ssrc).map(|one| one.0).collect();
        let flood = times.windows(11).find(|window| window[10].since(window[0]).as_secs() < 1);
        if let Some(flood) = flood {
            judgement.findings.push(ASKS_SELDOM.broken(
                "at most 10 in a second",
                format!("11 from {:.3} ms on", milliseconds(flood[0])),
            ));
        }
    }
    judgement
}

fn watching(evidence: &Evidence<'_>) -> Judgement {
    watched(evidence, &NOT_BEFORE, "")
}

/// How late pictures are shown, how often they freeze, and how like the sent ones they are;
/// those shown before they were sent are breaches of `not_before`. `call` tells what was measured
/// from that of the plain call.
pub(super) fn watched(evidence: &Evidence<'_>, not_before: &Rule, call: &'static str) -> Judgement {
    let cast = evidence.cast;
    let mut judgement = Judgement::default();
    let sent = arrivals::sent(evidence.trace, cast.user, cast.platform);
    let sources = video_sources(evidence.subject);
    let shown: Vec<(Instant, &Seen)> = seen(evidence).collect();
    let captured: usize =
        sources.iter().map(|ssrc| Capture::of(&sent, *ssrc, 90_000).stamps()).sum();
    let received = frames(evidence).count();
    let keys = frames(evidence).filter(|(_, frame)| frame.key_frame).count();
    let ratio = (captured > 0).then(|| shown.len() as f64 / captured as f64);
    let decoded = view::bot_stats(evidence).map(|stats| {
        let decoded = stats.inbound.iter().filter_map(|stream| match &stream.track {
            Track::Pictures(pictures) => Some(pictures.frames_decoded),
            _ => None,
        });
        decoded.sum::<u64>() as f64
    });
    judgement.metrics.extend([
        Metric::new(&metrics::FRAMES_RECEIVED, received),
        Metric::new(&metrics::FRAMES_DECODED, decoded),
        Metric::new(&metrics::FRAMES_RENDERED, shown.len()),
        Metric::new(&metrics::FRAMES_RENDERED_RATIO, ratio),
        Metric::new(&metrics::KEY_FRAMES_DECODED, keys),
    ]);
    if let [ssrc] = sources[..] {
        let capture = Capture::of(&sent, ssrc, 90_000);
        delays(&capture, &shown, (not_before, call), &mut judgement);
    }
    freezes(&shown, &mut judgement);
    likeness(&shown, &mut judgement);
    let key_marks = frames(evidence)
        .filter(|(_, frame)| frame.key_frame)
        .map(|(at, _)| Mark::at(MarkKind::KeyFrame, milliseconds(at)));
    let drop_marks =
        drops(evidence).map(|(at, ..)| Mark::at(MarkKind::FrameDropped, milliseconds(at)));
    let marks: Vec<Mark> = judgement.marks.drain(..).chain(key_marks).chain(drop_marks).collect();
    judgement.marks = mark::bounded(marks, Mark::MAX_PER_KIND);
    if !call.is_empty() {
        let metrics = judgement.metrics.drain(..).map(|metric| metric.labelled(call)).collect();
        judgement.metrics = metrics;
    }
    judgement
}

fn delays(
    capture: &Capture,
    shown: &[(Instant, &Seen)],
    (not_before, call): (&Rule, &'static str),
    judgement: &mut Judgement,
) {
    let mut histogram =
        Hdr::<u64>::new_with_bounds(1, 3_600_000_000_000, 3).expect("the bounds are sound");
    let (mut near, mut points) = (0, Vec::new());
    for (at, seen) in shown {
        let Some((sent, extended)) = capture.frame(seen.timestamp, near) else { continue };
        near = extended;
        if *at < sent {
            judgement.findings.push(not_before.broken(
                format!("timestamp {} after {:.3} ms", seen.timestamp, milliseconds(sent)),
                format!("at {:.3} ms", milliseconds(*at)),
            ));
        }
        let delay = at.since(sent).as_nanos() as u64;
        histogram.saturating_record(delay);
        points.push((milliseconds(*at), delay as f64 / 1e6));
    }
    if histogram.is_empty() {
        return;
    }
    let quantile = |share: f64| histogram.value_at_quantile(share) as f64 / 1e9;
    judgement.metrics.extend([
        Metric::new(&metrics::GLASS_TO_GLASS_P50, quantile(0.5)),
        Metric::new(&metrics::GLASS_TO_GLASS_P95, quantile(0.95)),
        Metric::new(&metrics::GLASS_TO_GLASS_P99, quantile(0.99)),
    ]);
    let name = format!("glassToGlassDelay {call}").trim_end().to_owned();
    judgement.histograms.push(Histogram::of(name.clone(), MetricUnit::Seconds, 1e-9, &histogram));
    judgement.series.push(Series::sampled(
        name,
        "Delay from glass to glass",
        MetricUnit::Milliseconds,
        points,
        Series::DETAILED,
    ));
}

fn freezes(shown: &[(Instant, &Seen)], judgement: &mut Judgement) {
    let times: Vec<Instant> = shown.iter().map(|(at, _)| *at).collect();
    let freezes = Freezes::of(&times);
    let span = match (times.first(), times.last()) {
        (Some(first), Some(last)) => last.since(*first).as_secs_f64(),
        _ => 0.0,
    };
    let rate = (span > 0.0).then(|| (times.len() - 1) as f64 / span);
    judgement.metrics.extend([
        Metric::new(&metrics::FREEZE_COUNT, freezes.stands.len()),
        Metric::new(&metrics::TOTAL_FREEZES_DURATION, freezes.total_nanos() as f64 / 1e9),
        Metric::new(&metrics::TOTAL_INTER_FRAME_DELAY, freezes.intervals_total as f64 / 1e9),
        Metric::new(&metrics::FRAMES_PER_SECOND, rate),
    ]);
    judgement.marks.extend(freezes.stands.iter().map(|(at, nanos)| {
        Mark::at(MarkKind::Frozen, milliseconds(*at)).lasting(*nanos as f64 / 1e6)
    }));
}

fn likeness(shown: &[(Instant, &Seen)], judgement: &mut Judgement) {
    let compared: Vec<_> = shown.iter().filter_map(|(_, seen)| seen.likeness).collect();
    let count = compared.len() as f64;
    let mean = |of: fn(&crate::trace::Likeness) -> f64| {
        (!compared.is_empty()).then(|| compared.iter().map(of).sum::<f64>() / count)
    };
    judgement.metrics.extend([
        Metric::new(&metrics::PSNR, mean(|likeness| likeness.psnr)),
        Metric::new(&metrics::SSIM, mean(|likeness| likeness.ssim)),
    ]);
    if let Some((_, last)) = shown.last() {
        judgement.metrics.extend([
            Metric::new(&metrics::FRAME_WIDTH, last.width),
            Metric::new(&metrics::FRAME_HEIGHT, last.height),
        ]);
    }
}
