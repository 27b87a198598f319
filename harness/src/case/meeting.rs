//! What others hear and see in a meeting of what a person says and shows: through the mixer and
//! the forwarding of pictures, not past them. What comes has other numbers, times and (sound)
//! another encoding than what was sent, so it is recognised by what it is.

use callrig_media::description::{Codec, MediaKind};
use callrig_media::time::Instant;
use callrig_reports::metric::registry as metrics;
use callrig_reports::{Finding, Metric};
use hdrhistogram::Histogram as Hdr;

use super::rule::{Rule, requirements};
use super::sound::{is_undamaged, milliseconds};
use super::{Case, Evidence, Judgement, view};
use crate::actor::ActorId;
use crate::critic::{sources_of, units_of};
use crate::measure::arrivals::{self, Arrived};
use crate::measure::direct::channel;
use crate::measure::heard::{self, Playback};
use crate::measure::latency::{Capture, Freezes};
use crate::measure::mouth_to_ear::Spoken;
use crate::measure::payloads::{self, Carried};
use crate::measure::reports::{self, Packet};
use crate::measure::speech::{self, SegmentalSnr};
use crate::measure::units::{self, IsIt, Unit};
use crate::network::Network;
use crate::stage::{Stage, guest_comes};
use crate::subject::Subject;

mod crowd;

/// All cases of this file, and of those below it.
pub const CASES: &[Case] = &[
    Case {
        id: "meeting/hearing",
        title: "what a person says in a meeting is heard by others, as loud and soon, and not by oneself",
        requirements: || requirements(&[HEARD, NOT_ONESELF, AS_LOUD, SHORT]),
        stage: Stage::Meeting,
        applies: |subject, network| {
            subject.has_audio() && view::is_regular(subject) && is_lively(network)
        },
        judge: hearing,
    },
    Case {
        id: "meeting/seeing",
        title: "what a person shows in a meeting is seen by others as it was sent",
        requirements: || requirements(&[AS_SENT, ALL]),
        stage: Stage::Meeting,
        applies: |subject, network| {
            subject.has_video() && view::is_regular(subject) && is_lively(network)
        },
        judge: seeing,
    },
    Case {
        id: "meeting/coming-late",
        title: "who comes late into a meeting sees what is shown from its next key frame on",
        requirements: || requirements(&[KEY_FRAME_FIRST, ASKED_FOR, FROM_THEN_ON]),
        stage: Stage::Meeting,
        applies: |subject, network| {
            subject.has_video() && view::is_regular(subject) && is_lively(network)
        },
        judge: coming_late,
    },
    Case {
        id: "meeting/crowd",
        title: "of many who speak at once in a meeting the loudest are heard, and named",
        requirements: || requirements(crowd::RULES),
        stage: Stage::Crowd,
        applies: |subject, network| {
            let speaks = subject.kind == "audio" && subject.tags.iter().any(|tag| tag == "speech");
            speaks && is_undamaged(subject) && network.name == "clean"
        },
        judge: crowd::judge,
    },
];

const HEARD: Rule = Rule::must(
    "meeting/hearing/heard",
    "RFC 7667 section 3.6.1; this project",
    "On a clean network the mix that others get is like what one speaker says.",
);
const NOT_ONESELF: Rule = Rule::must(
    "meeting/hearing/not-oneself",
    "RFC 7667 section 3.6.1; this project",
    "The mix that a speaker gets is without the speaker: 40 dB below, at least.",
);
const AS_LOUD: Rule = Rule::should(
    "meeting/hearing/as-loud",
    "this project",
    "On a clean network a single speaker is heard as loud as spoken, within 3 dB.",
);
const SHORT: Rule = Rule::should(
    "meeting/hearing/at-most-400-ms",
    "ITU-T G.114",
    "Sound is heard at most 400 ms after it was spoken, the link's own delay apart.",
);
const AS_SENT: Rule = Rule::must(
    "meeting/seeing/as-sent",
    "RFC 7667 section 3.7; this project",
    "A frame that is seen in a meeting is one that was sent, to the last byte, a key frame perhaps with parameter sets ahead that had been sent, and in the order of sending.",
);
const ALL: Rule = Rule::must(
    "meeting/seeing/all-on-clean",
    "RFC 7667 section 3.7; this project",
    "On a clean network every whole frame that was sent is seen, from the first key frame on.",
);

const KEY_FRAME_FIRST: Rule = Rule::must(
    "meeting/coming-late/key-frame-first",
    "RFC 7667 section 3.7; this project",
    "The first frame that is sent to somebody who comes late is a key frame: without one nothing can be decoded.",
);
const ASKED_FOR: Rule = Rule::should(
    "meeting/coming-late/asked-for",
    "RFC 4585 section 6.3.1; this project",
    "Within 100 ms of somebody's coming the sender of a picture is asked for a key frame (PLI).",
);
const FROM_THEN_ON: Rule = Rule::must(
    "meeting/coming-late/all-from-then-on",
    "RFC 7667 section 3.7; this project",
    "On a clean network, who came late sees every whole frame from the first key frame on that begins 100 ms after the coming or later.",
);

/// How soon after somebody's coming a key frame is asked for, and what is sent is seen.
const SOON_NANOS: i64 = 100_000_000;
/// What is heard of oneself, against what was said.
const ONESELF_DB_MAX: f64 = -40.0;
const LOUDNESS_DB: f64 = 3.0;
const DELAY_MAX_S: f64 = 0.4;
/// Below this root mean square (−60 dBov) nothing was said.
const SILENCE_RMS: f64 = 32.768;
/// One segment in so many is compared: it takes long, and neighbours are alike.
const SEGMENTS_APART: usize = 5;

/// Where people can talk at all.
fn is_lively(network: &Network) -> bool {
    !network.is_narrow() && network.name != "outage-2s"
}

/// Nothing was lost before, and nothing starts afresh in it.
pub(super) fn is_plain(evidence: &Evidence<'_>) -> bool {
    is_undamaged(evidence.subject) && evidence.subject.kind != "quirks"
}

/// What the one source of sound of a recording said; none if there are several, or changes.
pub(super) fn spoken(evidence: &Evidence<'_>, rate: u32) -> Option<Spoken> {
    let cast = evidence.cast;
    let sent = payloads::sent(evidence.trace, cast.user, cast.platform);
    Spoken::of(sent, |payload_type| view::codec(evidence.subject, payload_type), rate)
}

/// What somebody was played longest.
pub(super) fn played<'a>(evidence: &Evidence<'a>, who: ActorId) -> Option<Playback<'a>> {
    heard::by(evidence.trace, who).into_iter().max_by_key(|playback| playback.frames.len())
}

/// What was heard from a moment on, in one channel.
pub(super) fn heard_from(playback: &Playback<'_>, from: Instant) -> Vec<i16> {
    let rate = i128::from(playback.track.rate);
    let mut samples: Vec<i16> = Vec::new();
    for (at, heard) in &playback.frames {
        let after = i128::from(at.signed_nanos_since(from)) * rate / 1_000_000_000;
        let Ok(place) = usize::try_from(after) else { continue };
        // Frames follow each other but for what a clock's rounding makes of it.
        if samples.is_empty() {
            samples.resize(place, 0);
        }
        samples.extend(channel(playback.samples(heard), playback.track.channels));
    }
    samples
}

fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|&sample| f64::from(sample) * f64::from(sample)).sum()
}

fn decibels(ratio: f64) -> f64 {
    10.0 * ratio.max(1e-12).log10()
}

fn hearing(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let cast = evidence.cast;
    let mix = played(evidence, cast.bot);
    let rate = mix.as_ref().map_or(48_000, |mix| mix.track.rate);
    // Several voices at once, or none, cannot be told from what is heard alone.
    let Some(spoken) = spoken(evidence, rate) else { return judgement };
    let said = energy(&spoken.samples);
    // Whoever says nothing is not heard.
    if said < SILENCE_RMS * SILENCE_RMS * spoken.samples.len() as f64 {
        return judgement;
    }
    let is_clean = view::is_clean(evidence) && is_plain(evidence);
    let heard = mix.map(|mix| heard_from(&mix, spoken.began)).unwrap_or_default();
    match spoken.lag(&heard, rate) {
        Some(lag) => alike(evidence, (&spoken.samples, &heard), (lag, rate), &mut judgement),
        None if is_clean && spoken.samples.len() > rate as usize * 3 / 2 => {
            judgement.findings.push(HEARD.broken("what was said", "nothing that is like it"));
        }
        // There is too little of it to be recognised, or the network took it.
        None => {}
    }
    if let Some(own) = played(evidence, cast.user) {
        let level = decibels(energy(&heard_from(&own, spoken.began)) / said);
        if level > ONESELF_DB_MAX {
            judgement.findings.push(NOT_ONESELF.broken(
                format!("at most {ONESELF_DB_MAX} dB of what was said"),
                format!("{level:.1} dB"),
            ));
        }
    }
    judgement
}

fn alike(
    evidence: &Evidence<'_>,
    (said, heard): (&[i16], &[i16]),
    (lag, rate): (isize, u32),
    judgement: &mut Judgement,
) {
    let delay = lag as f64 / f64::from(rate);
    let link = evidence.network.link.delay + evidence.network.link.jitter.spread;
    if is_undamaged(evidence.subject) && delay - link.as_secs_f64() > DELAY_MAX_S {
        judgement.findings.push(
            SHORT.broken(
                format!("at most {DELAY_MAX_S} s above the link's"),
                format!("{delay:.3} s"),
            ),
        );
    }
    let snr = likeness(said, heard, (lag, rate));
    let (said, heard) = laid_on_top(said, heard, lag);
    let common = said.len().min(heard.len());
    let level = decibels(energy(&heard[..common]) / energy(&said[..common]).max(1.0));
    let is_clean = view::is_clean(evidence) && is_plain(evidence);
    if is_clean && level.abs() > LOUDNESS_DB {
        judgement
            .findings
            .push(AS_LOUD.broken(format!("within {LOUDNESS_DB} dB"), format!("{level:+.1} dB")));
    }
    judgement.metrics.extend(
        [
            Metric::new(&metrics::MOUTH_TO_EAR_P50, delay),
            Metric::new(&metrics::SEGMENTAL_SNR, snr.mean_db()),
        ]
        .map(|metric| metric.labelled("in a meeting")),
    );
}

/// Both from the same moment of what was said on.
fn laid_on_top<'a>(said: &'a [i16], heard: &'a [i16], lag: isize) -> (&'a [i16], &'a [i16]) {
    // A negative delay is an encoder's look-ahead that nobody waited for.
    let (said_from, heard_from) = (lag.min(0).unsigned_abs(), lag.max(0).unsigned_abs());
    (&said[said_from.min(said.len())..], &heard[heard_from.min(heard.len())..])
}

/// How like what was said it is what is heard so many samples later.
pub(super) fn likeness(said: &[i16], heard: &[i16], (lag, rate): (isize, u32)) -> SegmentalSnr {
    let (said, heard) = laid_on_top(said, heard, lag);
    let mut snr = SegmentalSnr::default();
    let segment = (rate * speech::SEGMENT_MS / 1_000) as usize;
    for (index, part) in heard.chunks_exact(segment).enumerate().step_by(SEGMENTS_APART) {
        snr.push(said, index * segment, part, rate);
    }
    snr
}

fn seeing(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let cast = evidence.cast;
    let sent = arrivals::sent(evidence.trace, cast.user, cast.platform);
    for (kind, ssrc) in shown_alone(evidence.subject) {
        let units = units_of(evidence.subject, ssrc);
        let capture = Capture::of(&sent, ssrc, 90_000);
        let shown = Shown::to(evidence, cast.bot, (kind, &units), units::is_as_sent);
        judgement.findings.extend(shown.strange(&AS_SENT));
        let first = units.iter().position(|(_, unit)| unit.is_key_frame && unit.is_whole);
        if view::is_clean(evidence) && is_plain(evidence) {
            let due = first
                .map_or(0, |first| units[first..].iter().filter(|unit| unit.1.is_whole).count());
            let seen = shown.places().count();
            if seen < due {
                let (due, seen) = (format!("{due} frames"), format!("{seen} frames"));
                judgement.findings.push(ALL.broken(due, seen));
            }
        }
        let label = match kind {
            MediaKind::ScreenSharing => "in a meeting, screen",
            _ => "in a meeting",
        };
        let metrics = shown.metrics(&units, &capture);
        judgement.metrics.extend(metrics.map(|metric| metric.labelled(label)));
    }
    judgement
}

/// The one camera of a recording, and the one screen: which of several is shown is the viewer's
/// choice.
pub(super) fn shown_alone(subject: &Subject) -> impl Iterator<Item = (MediaKind, u32)> {
    [MediaKind::Video, MediaKind::ScreenSharing].into_iter().filter_map(|kind| {
        match sources_of(subject, kind)[..] {
            [ssrc] => Some((kind, ssrc)),
            _ => None,
        }
    })
}

/// The frames that somebody in a meeting was shown of one camera, recognised by their bytes:
/// times and numbers are others than those that were sent.
pub(super) struct Shown {
    /// When, how many bytes, and which of the access units that were sent; none if it is not one
    /// of those after the one before it.
    frames: Vec<(Instant, usize, Option<usize>)>,
}

impl Shown {
    pub(super) fn to(
        evidence: &Evidence<'_>,
        who: ActorId,
        (kind, units): (MediaKind, &[(u32, Unit)]),
        is_it: IsIt,
    ) -> Self {
        let (mut frames, mut next) = (Vec::new(), 0);
        for (at, frame) in view::frames(evidence, who, kind) {
            let place = (next..units.len()).find(|&place| is_it(units, place, &frame.data));
            next = place.map_or(next, |place| place + 1);
            frames.push((at, frame.data.len(), place));
        }
        Self { frames }
    }

    /// Which units those are, ascending.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.frames.iter().filter_map(|(_, _, place)| *place)
    }

    /// Frames that were not sent, or before others that had been shown, as breaches of `rule`.
    pub(super) fn strange(&self, rule: &Rule) -> Vec<Finding> {
        let numbered = (1..).zip(&self.frames).filter(|(_, (.., place))| place.is_none());
        let broken = numbered.map(|(number, (at, bytes, _))| {
            let line = format!("frame {number} at {:.3} ms", milliseconds(*at));
            let found = format!("{bytes} bytes that were not sent, or before");
            rule.broken("a frame that was sent", found).with_evidence([line])
        });
        broken.collect()
    }

    /// How much was seen, how late, and how often it froze.
    pub(super) fn metrics(&self, units: &[(u32, Unit)], capture: &Capture) -> [Metric; 5] {
        let mut delays = Hdr::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("sound bounds");
        let mut near = 0;
        for (at, _, place) in &self.frames {
            let stamp = place.map(|place| units[place].0);
            if let Some((captured, extended)) = stamp.and_then(|stamp| capture.frame(stamp, near)) {
                near = extended;
                delays.saturating_record(at.since(captured).as_nanos() as u64);
            }
        }
        let seen = self.places().count();
        let share = (!units.is_empty()).then(|| seen as f64 / units.len() as f64);
        let times: Vec<Instant> = self.frames.iter().map(|(at, ..)| *at).collect();
        let freezes = Freezes::of(&times);
        let quantile =
            |at: f64| (!delays.is_empty()).then(|| delays.value_at_quantile(at) as f64 / 1e9);
        [
            Metric::new(&metrics::FRAMES_RENDERED_RATIO, share),
            Metric::new(&metrics::FREEZE_COUNT, freezes.stands.len()),
            Metric::new(&metrics::TOTAL_FREEZES_DURATION, freezes.total_nanos() as f64 / 1e9),
            Metric::new(&metrics::GLASS_TO_GLASS_P50, quantile(0.5)),
            Metric::new(&metrics::GLASS_TO_GLASS_P95, quantile(0.95)),
        ]
    }
}

/// When each of some access units began to be sent.
pub(super) fn began(units: &[(u32, Unit)], capture: &Capture) -> Vec<Option<Instant>> {
    let mut near = 0;
    let began = units.iter().map(|(timestamp, _)| {
        let (at, extended) = capture.frame(*timestamp, near)?;
        near = extended;
        Some(at)
    });
    began.collect()
}

fn coming_late(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let cast = evidence.cast;
    let Some(guest) = cast.guest else {
        return Judgement::unsupported("nobody comes late in this world");
    };
    let [ssrc] = sources_of(evidence.subject, MediaKind::Video)[..] else { return judgement };
    let came = guest_comes(evidence.subject);
    let units = units_of(evidence.subject, ssrc);
    let sent = arrivals::sent(evidence.trace, cast.user, cast.platform);
    let capture = Capture::of(&sent, ssrc, 90_000);
    // What does not follow on is for the case of those who were there.
    let places: Vec<usize> =
        Shown::to(evidence, guest, (MediaKind::Video, &units), units::is_as_sent)
            .places()
            .collect();
    key_frame_first(evidence, guest, &mut judgement);
    asked_for(evidence, (ssrc, &sent), came, &mut judgement);
    // From when on frames are due: the first key frame that begins late enough.
    let began = began(&units, &capture);
    let is_due = |place: usize| {
        let late = began[place].is_some_and(|at| at.signed_nanos_since(came) > SOON_NANOS);
        late && units[place].1.is_key_frame && units[place].1.is_whole
    };
    if view::is_clean(evidence)
        && is_plain(evidence)
        && let Some(first) = (0..units.len()).find(|&place| is_due(place))
    {
        let due = units[first..].iter().filter(|unit| unit.1.is_whole).count();
        let shown = places.iter().filter(|place| **place >= first).count();
        if shown < due {
            let (due, shown) = (format!("{due} frames"), format!("{shown} frames"));
            judgement.findings.push(FROM_THEN_ON.broken(due, shown));
        }
    }
    judgement
}

/// What is sent to who came: a session of ours would keep back what it cannot decode.
fn key_frame_first(evidence: &Evidence<'_>, guest: ActorId, judgement: &mut Judgement) {
    let codec = |payload_type| view::codec(evidence.subject, payload_type);
    let mut sent = payloads::sent(evidence.trace, evidence.cast.platform, guest);
    sent.retain(|one| codec(one.packet.payload_type).is_some_and(Codec::is_video));
    let Some(first) = sent.first().map(|one| one.packet) else { return };
    let packets: Vec<units::Sent<'_>> = sent
        .iter()
        .filter(|one| one.packet.ssrc == first.ssrc)
        .map(|Carried { packet, payload }| units::Sent {
            sequence_number: packet.sequence_number,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload,
        })
        .collect();
    if !units::of(&packets).get(&first.timestamp).is_some_and(|unit| unit.is_key_frame) {
        let line = format!("frame at {:.3} ms", milliseconds(first.sent));
        let broken = KEY_FRAME_FIRST.broken("a key frame", "another frame");
        judgement.findings.push(broken.with_evidence([line]));
    }
}

/// Whether the platform asks for a key frame for who came, if the sender lets itself be asked.
fn asked_for(
    evidence: &Evidence<'_>,
    (ssrc, sent): (u32, &[Arrived]),
    came: Instant,
    judgement: &mut Judgement,
) {
    // Who shows nothing any more, or not yet, is asked for nothing.
    const NEAR: i64 = 1_000_000_000;
    let of_it = sent.iter().filter(|packet| packet.ssrc == ssrc);
    let after: Vec<i64> = of_it.map(|packet| packet.sent.signed_nanos_since(came)).collect();
    let shows = |range: core::ops::Range<i64>| after.iter().any(|at| range.contains(at));
    if !(shows(1 - NEAR..0) && shows(1..NEAR)) {
        return;
    }
    let asked = reports::sent(evidence.trace, evidence.cast.platform, evidence.cast.user);
    let asked = asked.iter().any(|compound| {
        let about = |packet: &Packet| matches!(packet, Packet::Pli { ssrc: of } if *of == ssrc);
        let after = compound.at.signed_nanos_since(came);
        (0..=SOON_NANOS).contains(&after) && compound.packets.iter().any(about)
    });
    if !asked {
        judgement.findings.push(ASKED_FOR.broken("a PLI within 100 ms", "none"));
    }
}
