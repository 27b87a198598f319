//! What somebody hears who is far away: the mix, in one stream whoever speaks, soon, again after an
//! outage, and protected from loss where its listener can make use of that.

use callrig_media::description::Codec;
use callrig_media::time::Instant;
use callrig_reports::metric::registry as metrics;
use callrig_reports::{Finding, Metric};

use super::super::meeting;
use super::super::rule::Rule;
use super::super::sound::{is_undamaged, milliseconds};
use super::super::{Evidence, Judgement, view};
use super::{RECOVERED, Viewer};
use crate::actor::ActorId;
use crate::link::PartsPerMillion;
use crate::measure::arrivals;
use crate::measure::heard;
use crate::measure::mouth_to_ear::Spoken;
use crate::measure::payloads;
use crate::measure::redundancy::{self, Redundancy};
use crate::stage;

/// All rules of this file.
pub(super) const RULES: &[Rule] = &[ONE_STREAM, SOON, HEARD_AGAIN, PROTECTED];
/// Those that a call is judged by: its sound is relayed as it comes.
pub(super) const IN_CALL: &[Rule] = &[SOON, HEARD_AGAIN];

const ONE_STREAM: Rule = Rule::must(
    "watching/hearing/one-stream",
    "RFC 3550 section 5.1",
    "The packets of a mix are numbered one after the other, and their timestamps go with the clock, within 100 ms, whoever speaks.",
);
const SOON: Rule = Rule::should(
    "watching/hearing/at-most-400-ms",
    "ITU-T G.114",
    "Where a path carries the sound it is heard, beside pictures too, at most 400 ms after it was spoken, the link's own delay apart.",
);
const HEARD_AGAIN: Rule = Rule::should(
    "watching/hearing/again-after-an-outage",
    "this project",
    "What is said a second or more after the path is whole again is heard, and as soon as before.",
);
const PROTECTED: Rule = Rule::should(
    "watching/hearing/protected-from-loss",
    "RFC 7587 section 6.1; RFC 6716 section 2.1.7",
    "Three seconds after the first packet at the latest, whoever loses a twentieth or more and makes use of in-band FEC is sent it with most of what is spoken.",
);

const DELAY_MAX_S: f64 = 0.4;
/// How far the timestamps of a mix may be from the clock.
const ASTRAY_S: f64 = 0.1;
/// What is softer is not heard.
const SILENCE: u16 = 100;
/// So much sound can be recognised.
const RECOGNISED_S: usize = 2;
/// How long it may take to learn of loss.
const LEARNT_S: f64 = 3.0;
/// So much of what is spoken shows whether it is protected: a second.
const SPOKEN_MIN: usize = 50;

pub(super) fn judge(evidence: &Evidence<'_>, viewer: Viewer) -> Judgement {
    let mut judgement = Judgement::default();
    for who in [evidence.cast.user, viewer.who] {
        judgement.findings.extend(astray(evidence, who));
    }
    judgement.findings.extend(unprotected(evidence, viewer.who));
    let Judgement { findings, metrics, .. } = heard(evidence, viewer);
    judgement.findings.extend(findings);
    judgement.metrics.extend(metrics);
    judgement
}

/// When and how well it is heard.
pub(super) fn heard(evidence: &Evidence<'_>, viewer: Viewer) -> Judgement {
    let mut judgement = Judgement::default();
    let Some(mix) = meeting::played(evidence, viewer.who) else { return judgement };
    let rate = mix.track.rate;
    let Some(mut spoken) = meeting::spoken(evidence, rate) else { return judgement };
    let loudest = spoken.samples.iter().map(|sample| sample.unsigned_abs()).max();
    if loudest.unwrap_or(0) < SILENCE {
        return judgement;
    }
    let link = evidence.network.link;
    let heard_after = |spoken: &Spoken| {
        let heard = meeting::heard_from(&mix, spoken.began);
        Some((spoken.lag(&heard, rate)?, heard))
    };
    let seconds = |lag: isize| lag as f64 / f64::from(rate);
    let own = (link.delay + link.jitter.spread).as_secs_f64();
    // What had been damaged before has delays of its own.
    let is_due = is_undamaged(evidence.subject) && is_carried(evidence, viewer.who);
    let is_late = |lag: isize| is_due && seconds(lag) - own > DELAY_MAX_S;
    let expected = || format!("at most {DELAY_MAX_S} s above the link's");
    let found = |lag: isize| format!("{:.3} s", seconds(lag));
    // Otherwise there is too little of it to be recognised, or the network took it.
    if let Some((lag, heard)) = heard_after(&spoken) {
        if is_late(lag) {
            judgement.findings.push(SOON.broken(expected(), found(lag)));
        }
        let snr = meeting::likeness(&spoken.samples, &heard, (lag, rate));
        let (concealed, _) = heard::concealment(mix.spoken());
        judgement.metrics.extend(
            [
                Metric::new(&metrics::MOUTH_TO_EAR_P50, seconds(lag)),
                Metric::new(&metrics::SEGMENTAL_SNR, snr.mean_db()),
                Metric::new(&metrics::CONCEALED_SAMPLES, concealed),
            ]
            .map(|metric| metric.labelled(viewer.label)),
        );
    }
    let Some(outage) = link.outage else { return judgement };
    spoken.forget(Instant::ZERO + outage.start + outage.length + RECOVERED, rate);
    if spoken.samples.len() > RECOGNISED_S * rate as usize {
        match heard_after(&spoken) {
            None => judgement
                .findings
                .push(HEARD_AGAIN.broken("what is said then", "nothing that is like it")),
            Some((lag, _)) if is_late(lag) => {
                judgement.findings.push(HEARD_AGAIN.broken(expected(), found(lag)));
            }
            Some(_) => {}
        }
    }
    judgement
}

/// Whether the path carries the sound alone: what one is sent who takes G.711 only cannot be less.
fn is_carried(evidence: &Evidence<'_>, who: ActorId) -> bool {
    let Some(bottleneck) = evidence.network.link.bottleneck else { return true };
    let sent = view::sound(evidence, evidence.cast.platform, who);
    arrivals::bit_rate(&sent).is_none_or(|bits| bits <= bottleneck.bits_per_second as f64)
}

/// Where the sound that somebody is sent is no stream of its own: the first packet whose number or
/// timestamp is not where those before it lead.
fn astray(evidence: &Evidence<'_>, who: ActorId) -> Option<Finding> {
    let sent = view::sound(evidence, evidence.cast.platform, who);
    let first = *sent.first()?;
    let rate = f64::from(view::codec(evidence.subject, first.payload_type)?.clock_rate());
    for (index, packet) in (0_u16..).zip(&sent) {
        let clock = packet.sent.since(first.sent).as_secs_f64();
        let stamp = f64::from(packet.timestamp.wrapping_sub(first.timestamp)) / rate;
        let number = first.sequence_number.wrapping_add(index);
        let broken = if packet.ssrc != first.ssrc {
            ONE_STREAM.broken(format!("source {:08x}", first.ssrc), format!("{:08x}", packet.ssrc))
        } else if packet.sequence_number != number {
            ONE_STREAM.broken(format!("number {number}"), packet.sequence_number.to_string())
        } else if (stamp - clock).abs() > ASTRAY_S {
            let found = format!("{:+.1} ms", (stamp - clock) * 1e3);
            ONE_STREAM.broken("timestamps that go with the clock", found)
        } else {
            continue;
        };
        let (name, at) = (evidence.trace.actor(who), milliseconds(packet.sent));
        return Some(broken.with_evidence([format!("packet {index} to {name} at {at:.3} ms")]));
    }
    None
}

/// Where somebody loses much and is not sent what helps.
fn unprotected(evidence: &Evidence<'_>, who: ActorId) -> Option<Finding> {
    if evidence.network.link.loss < PartsPerMillion::percent(5) {
        return None;
    }
    let lines = stage::watching(evidence.subject);
    let makes_use = |payload_type: u8| {
        let mut payloads = lines.iter().flat_map(|line| &line.payloads);
        payloads.any(|payload| {
            let is_opus = matches!(payload.codec, Codec::Opus { .. });
            payload.payload_type == payload_type && is_opus && payload.in_band_fec
        })
    };
    let mut sent = payloads::sent(evidence.trace, evidence.cast.platform, who);
    sent.retain(|carried| makes_use(carried.packet.payload_type));
    let first = sent.first()?.packet.sent;
    sent.retain(|carried| carried.packet.sent.since(first).as_secs_f64() >= LEARNT_S);
    let of = |carried: &payloads::Carried| redundancy::of(&carried.payload);
    let said: Vec<Redundancy> = sent.iter().filter_map(of).collect();
    let spoken = said.iter().filter(|one| one.is_spoken).count();
    let protected = said.iter().filter(|one| one.is_spoken && one.repeats).count();
    (spoken >= SPOKEN_MIN && protected * 2 < spoken).then(|| {
        PROTECTED.broken(
            "in-band FEC in more than half of what is spoken",
            format!("in {protected} of {spoken} packets"),
        )
    })
}
