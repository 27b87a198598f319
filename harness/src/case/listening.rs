//! How it sounded to the bot: how late, how well the playing followed the network and the
//! sender's clock, and what quality that amounts to. Delay is from mouth to ear: a sample
//! was captured when its packet left, less what of the packet came after it.

use std::collections::{BTreeMap, BTreeSet};

use callrig_media::audio::Kind;
use callrig_media::audio::resample::Resampler;
use callrig_media::description::Codec;
use callrig_media::time::Instant;
use callrig_reports::metric::Unit;
use callrig_reports::metric::registry as metrics;
use callrig_reports::{Histogram, Metric, Series};
use hdrhistogram::Histogram as Hdr;

use super::excuses::{excuses, is_even_by_its_clock};
use super::rule::{Rule, requirements};
use super::sound::{Plain, Sound, decoded, each_sound, is_undamaged, late, milliseconds, sent_in};
use super::view;
use super::{Case, Evidence, Judgement};
use crate::measure::align;
use crate::measure::arrivals;
use crate::measure::direct::{Decoded, channel};
use crate::measure::e_model::{Connection, Equipment, mean_opinion_score, rating};
use crate::measure::heard;
use crate::measure::latency::Capture;
use crate::measure::payloads;
use crate::measure::speech::SegmentalSnr;
use crate::network::Network;
use crate::stage::Stage;
use crate::subject::{Reference, Subject};

/// All cases of this file.
pub const CASES: &[Case] = &[
    Case {
        id: "audio/delay",
        title: "how long sound takes from mouth to ear",
        requirements: || requirements(&[CAUSAL, SHORT]),
        stage: Stage::Listen,
        applies,
        judge: delay,
    },
    Case {
        id: "audio/adapts",
        title: "the playing follows the network's jitter and the sender's clock",
        requirements: || requirements(&[FOLLOWS_JITTER, FOLLOWS_CLOCK, CLOCK_COSTS_NOTHING]),
        stage: Stage::Listen,
        applies: |subject, network| {
            applies(subject, network) && (is_jittery(network) || drifts(subject, network))
        },
        judge: adapts,
    },
    Case {
        id: "audio/quality",
        title: "how good the conversation was, and how like the original it sounded",
        requirements: || requirements(&[LIKE_REFERENCE]),
        stage: Stage::Listen,
        applies,
        judge: quality,
    },
];

const CAUSAL: Rule = Rule::must(
    "audio/delay/not-before-it-arrived",
    "this project",
    "No sample is played before its packet has arrived.",
);
const SHORT: Rule = Rule::should(
    "audio/delay/at-most-400-ms",
    "ITU-T G.114",
    "95 % of the samples are played at most 400 ms later than the link alone would have delayed them.",
);
const FOLLOWS_JITTER: Rule = Rule::should(
    "audio/adapts/few-late-packets",
    "this project",
    "Once two seconds have been heard, at most one packet in twenty comes too late to be played.",
);
const FOLLOWS_CLOCK: Rule = Rule::must(
    "audio/adapts/delay-does-not-drift",
    "RFC 7273 section 1; this project",
    "When the sender's clock is fast or slow, the delay at the end is that of the beginning, within 40 ms.",
);
const CLOCK_COSTS_NOTHING: Rule = Rule::must(
    "audio/adapts/no-concealment-for-drift",
    "this project",
    "A clock that is fast or slow by a few hundred parts per million makes nothing concealed.",
);
const LIKE_REFERENCE: Rule = Rule::must(
    "audio/quality/like-the-reference",
    "the recording's manifest entry",
    "On a clean network the sound is as like its reference as the recording states.",
);

/// The most that the playing may add to the link's delay.
const ADDED_MAX_MS: f64 = 400.0;
/// How far the delay may wander under drift.
const WANDER_MAX_MS: f64 = 40.0;
/// The playing has this long to learn the network.
const LEARNING_NANOS: i64 = 2_000_000_000;
/// The share of packets that may be late after that.
const LATE_SHARE_MAX: f64 = 0.05;

fn applies(subject: &Subject, _: &Network) -> bool {
    subject.has_audio() && view::is_regular(subject)
}

fn is_jittery(network: &Network) -> bool {
    ["wifi", "lte", "jitter-40"].contains(&network.name)
}

fn drifts(subject: &Subject, network: &Network) -> bool {
    let recorded = || subject.tags.iter().any(|tag| tag == "drift") && network.name == "clean";
    (network.drift_ppm != 0 && is_undamaged(subject)) || recorded()
}

/// How late each frame was played: when, and by how much.
fn delays(
    evidence: &Evidence<'_>,
    sound: &Sound<'_>,
    plain: &Plain<'_, '_>,
) -> Vec<(Instant, i64)> {
    let cast = evidence.cast;
    let mut sent = arrivals::sent(evidence.trace, cast.user, cast.platform);
    sent.retain(|packet| view::codec(evidence.subject, packet.payload_type) == Some(plain.codec));
    let capture = Capture::of(&sent, sound.ssrc, sound.clock_rate);
    let mut near = 0;
    let mut list = Vec::new();
    for (at, heard) in &plain.playback.frames {
        let Some(timestamp) = heard.timestamp else { continue };
        let Some((captured, extended)) = capture.sample(timestamp, near) else { continue };
        near = extended;
        list.push((*at, at.signed_nanos_since(captured)));
    }
    list
}

fn delay(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let crossed = arrivals::between(evidence.trace, cast.user, cast.platform);
    let fastest = crossed.iter().map(|one| one.at.signed_nanos_since(one.sent)).min().unwrap_or(0);
    let is_strangled = evidence.network.is_narrow()
        || evidence.network.name == "outage-2s"
        || !is_undamaged(evidence.subject);
    each_sound(evidence, |sound, judgement| {
        let Some(plain) = sound.plain(evidence.subject) else { return };
        causality(sound, &plain, judgement);
        let delays = delays(evidence, sound, &plain);
        let mut histogram =
            Hdr::<u64>::new_with_bounds(1, 3_600_000_000_000, 3).expect("the bounds are sound");
        for (_, nanos) in &delays {
            histogram.saturating_record(nanos.max(&0).unsigned_abs());
        }
        if histogram.is_empty() {
            return;
        }
        let label = sound.label();
        let quantile = |share: f64| histogram.value_at_quantile(share) as f64 / 1e9;
        let added = quantile(0.95) * 1e3 - fastest as f64 / 1e6;
        if added > ADDED_MAX_MS && !is_strangled {
            judgement.findings.push(SHORT.broken(
                format!("{label}: at most {ADDED_MAX_MS} ms above the link's own delay"),
                format!("{added:.1} ms"),
            ));
        }
        judgement.metrics.extend(
            [
                Metric::new(&metrics::MOUTH_TO_EAR_P50, quantile(0.5)),
                Metric::new(&metrics::MOUTH_TO_EAR_P95, quantile(0.95)),
                Metric::new(&metrics::MOUTH_TO_EAR_P99, quantile(0.99)),
            ]
            .map(|metric| metric.labelled(label.clone())),
        );
        let name = format!("mouthToEarDelay {label}");
        judgement.histograms.push(Histogram::of(name, Unit::Seconds, 1e-9, &histogram));
        judgement.series.push(Series::sampled(
            format!("mouth to ear {label}"),
            "Mouth-to-ear delay",
            Unit::Milliseconds,
            delays.iter().map(|(at, nanos)| (milliseconds(*at), *nanos as f64 / 1e6)),
            Series::DETAILED,
        ));
    })
}

/// Each frame that begins with a packet's first sample, against that packet's arrival.
fn causality(sound: &Sound<'_>, plain: &Plain<'_, '_>, judgement: &mut Judgement) {
    let mut arrived: BTreeMap<u32, Instant> = BTreeMap::new();
    for carried in &sound.delivered {
        arrived.entry(carried.packet.timestamp).or_insert(carried.packet.at);
    }
    // Sound out of error correction is known by the next packet, which came later.
    let played = plain.playback.frames.iter().filter(|(_, heard)| heard.kind == Kind::Played);
    for (at, heard) in played {
        let Some(came) = heard.timestamp.and_then(|timestamp| arrived.get(&timestamp)) else {
            continue;
        };
        if at < came {
            judgement.findings.push(CAUSAL.broken(
                format!("{}: after {:.3} ms", sound.label(), milliseconds(*came)),
                format!("{:.3} ms", milliseconds(*at)),
            ));
            return;
        }
    }
}

/// Mean delay of the first and of the last third, ms.
fn thirds(delays: &[(Instant, i64)]) -> Option<(f64, f64)> {
    let third = delays.len() / 3;
    let mean = |part: &[(Instant, i64)]| {
        part.iter().map(|(_, nanos)| *nanos as f64 / 1e6).sum::<f64>() / part.len() as f64
    };
    (third > 0).then(|| (mean(&delays[..third]), mean(&delays[delays.len() - third..])))
}

fn adapts(evidence: &Evidence<'_>) -> Judgement {
    let drifts = drifts(evidence.subject, evidence.network);
    each_sound(evidence, |sound, judgement| {
        let Some(plain) = sound.plain(evidence.subject) else { return };
        let label = sound.label();
        if is_jittery(evidence.network) && is_undamaged(evidence.subject) {
            follow_jitter(evidence, sound, judgement);
        }
        if !drifts {
            return;
        }
        if let Some((first, last)) = thirds(&delays(evidence, sound, &plain))
            && (last - first).abs() > WANDER_MAX_MS
        {
            judgement.findings.push(FOLLOWS_CLOCK.broken(
                format!("{label}: {first:.1} ms, within {WANDER_MAX_MS} ms"),
                format!("{last:.1} ms"),
            ));
        }
        let (samples, _) = heard::concealment(plain.playback.spoken());
        let seconds = samples as f64 / f64::from(plain.playback.track.rate);
        let paused = excuses(evidence, sound, &plain).paused;
        // A sender that does not keep time itself may have cost something as well.
        if seconds > paused + 0.000_5 && is_even_by_its_clock(sound, &plain) {
            judgement.findings.push(CLOCK_COSTS_NOTHING.broken(
                format!("{label}: no more than {paused:.3} s, in the sender's own pauses"),
                format!("{seconds:.3} s"),
            ));
        }
    })
}

fn follow_jitter(evidence: &Evidence<'_>, sound: &Sound<'_>, judgement: &mut Judgement) {
    let Some(first) = sound.delivered.first() else { return };
    let learnt = |at: Instant| at.signed_nanos_since(first.packet.at) >= LEARNING_NANOS;
    let late = late(evidence, sound.ssrc).iter().filter(|(at, _)| learnt(*at)).count();
    let all = sound.delivered.iter().filter(|one| learnt(one.packet.at)).count();
    let share = late as f64 / all.max(1) as f64;
    if share > LATE_SHARE_MAX {
        judgement.findings.push(FOLLOWS_JITTER.broken(
            format!("{}: at most {:.0} % late", sound.label(), LATE_SHARE_MAX * 100.0),
            format!("{:.1} % ({late} of {all})", share * 100.0),
        ));
    }
}

/// What never reached the ear.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Loss {
    percent: f64,
    burst_ratio: f64,
}

/// Of the numbers that were played in time, ascending: what is missing between them, and
/// how much more it comes in rows than if it were lost at random (BurstR of G.107).
fn loss(numbers: &BTreeSet<i64>) -> Loss {
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
        return Loss { percent: 100.0, burst_ratio: 1.0 };
    };
    let expected = (last - first + 1) as f64;
    let missing = expected - numbers.len() as f64;
    let holes = numbers.iter().zip(numbers.iter().skip(1)).filter(|(a, b)| **b - **a > 1).count();
    let share = missing / expected;
    let burst_ratio = if holes == 0 { 1.0 } else { (missing / holes as f64) * (1.0 - share) };
    Loss { percent: share * 100.0, burst_ratio: burst_ratio.max(1.0) }
}

fn quality(evidence: &Evidence<'_>) -> Judgement {
    each_sound(evidence, |sound, judgement| {
        let Some(plain) = sound.plain(evidence.subject) else { return };
        let label = sound.label();
        conversation(evidence, sound, &plain, judgement);
        let rate = plain.playback.track.rate;
        let sent = sent_in(evidence, plain.codec);
        let Some(decoded) = decoded(&sent, sound.ssrc, plain.codec, rate) else { return };
        let likeness = likeness(&plain, &decoded);
        let from_packets = Metric::new(&metrics::SEGMENTAL_SNR, likeness.mean_db());
        judgement.metrics.push(from_packets.labelled(format!("{label}, to what was sent")));
        if view::is_clean(evidence) {
            from_source(evidence, sound, &plain, &decoded, judgement);
        }
    })
}

fn conversation(
    evidence: &Evidence<'_>,
    sound: &Sound<'_>,
    plain: &Plain<'_, '_>,
    judgement: &mut Judgement,
) {
    let mut delays: Vec<i64> = delays(evidence, sound, plain).iter().map(|one| one.1).collect();
    delays.sort_unstable();
    let Some(median) = delays.get(delays.len() / 2) else { return };
    let late: Vec<u16> = late(evidence, sound.ssrc).iter().map(|(_, number)| *number).collect();
    // Every number counts, telephone events included: those were not lost either.
    let cast = evidence.cast;
    let all = payloads::delivered(evidence.trace, cast.platform, cast.bot);
    let in_time = payloads::in_sequence(&all, sound.ssrc);
    let in_time = in_time
        .iter()
        .filter(|(_, carried)| !late.contains(&carried.packet.sequence_number))
        .map(|(number, _)| *number);
    let loss = loss(&in_time.collect());
    let equipment = match plain.codec {
        Codec::Opus { .. } => Equipment::OPUS,
        _ => Equipment::G711,
    };
    let rating = rating(&Connection {
        delay_ms: *median as f64 / 1e6,
        loss_percent: loss.percent,
        burst_ratio: loss.burst_ratio,
        equipment,
    });
    judgement.metrics.extend(
        [
            Metric::new(&metrics::R_FACTOR, rating),
            Metric::new(&metrics::MOS, mean_opinion_score(rating)),
        ]
        .map(|metric| metric.labelled(sound.label())),
    );
}

/// What was played against what was sent, first channel. Where something was made up, what
/// should have been played in its place is what follows the frame before.
fn likeness(plain: &Plain<'_, '_>, decoded: &Decoded) -> SegmentalSnr {
    let playback = plain.playback;
    let reference = channel(&decoded.samples, decoded.channels);
    let mut snr = SegmentalSnr::default();
    // The RTP clock of a frame; nothing has begun yet.
    let ticks = i64::from(plain.codec.clock_rate() / 50);
    let mut near = -ticks;
    for (_, heard) in playback.spoken() {
        near = match heard.timestamp {
            Some(timestamp) => decoded.extend(timestamp, near),
            None => near + ticks,
        };
        // Into a pause the sender put nothing to compare with.
        let Some(place) = decoded.index_of(near) else { continue };
        let played = channel(playback.samples(heard), playback.track.channels);
        snr.push(&reference, place, &played, playback.track.rate);
    }
    snr
}

/// What was played against what the encoder was given. The encoder's delay is unknown, so
/// the two are laid on top of each other first.
fn from_source(
    evidence: &Evidence<'_>,
    sound: &Sound<'_>,
    plain: &Plain<'_, '_>,
    decoded: &Decoded,
    judgement: &mut Judgement,
) {
    let Some(Reference::Sound { samples, rate, channels }) = evidence.subject.reference.as_deref()
    else {
        return;
    };
    let to = plain.playback.track.rate;
    let Some(source) = brought_to(&channel(samples, *channels), *rate, to) else { return };
    let sent = channel(&decoded.with_holes(), decoded.channels);
    let Some(lag) = align::lag(&source, &sent, to) else { return };
    let mut snr = SegmentalSnr::default();
    let mut near = 0;
    for (_, heard) in plain.playback.spoken() {
        let Some(timestamp) = heard.timestamp else { continue };
        near = decoded.extend(timestamp, near);
        let place = decoded.place_of(near).and_then(|place| place.checked_add_signed(-lag));
        let Some(place) = place else { continue };
        let played = channel(plain.playback.samples(heard), plain.playback.track.channels);
        snr.push(&source, place, &played, to);
    }
    let mean = snr.mean_db();
    judgement.metrics.push(
        Metric::new(&metrics::SEGMENTAL_SNR, mean)
            .labelled(format!("{}, to the original", sound.label())),
    );
    if let (Some(least), Some(mean)) = (evidence.subject.truth.tolerances.snr_db_min, mean)
        && mean < least
    {
        judgement.findings.push(
            LIKE_REFERENCE.broken(
                format!("{}: at least {least:.1} dB", sound.label()),
                format!("{mean:.1} dB"),
            ),
        );
    }
}

fn brought_to(samples: &[i16], from: u32, to: u32) -> Option<Vec<i16>> {
    if from == to {
        return Some(samples.to_vec());
    }
    let mut resampler = Resampler::new(from, to, 1).ok()?;
    let block = from as usize / 100;
    let mut out = Vec::with_capacity(samples.len() * to as usize / from as usize);
    resampler.push(&samples[..samples.len() / block * block], &mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_counted_with_its_rows() {
        // 10 numbers, 4 of them missing in two rows of two.
        let numbers: BTreeSet<i64> = [1, 2, 5, 6, 9, 10].into();
        let loss = loss(&numbers);
        assert!((loss.percent - 40.0).abs() < 1e-9);
        assert!((loss.burst_ratio - 1.2).abs() < 1e-9, "two in a row instead of 1 / (1 - 0.4)");
        let whole: BTreeSet<i64> = (0..10).collect();
        assert_eq!(super::loss(&whole), Loss { percent: 0.0, burst_ratio: 1.0 });
    }

    #[test]
    fn the_thirds_show_a_growing_delay() {
        let grows: Vec<(Instant, i64)> =
            (0..9).map(|n| (Instant::from_millis(n), n as i64 * 1_000_000)).collect();
        assert_eq!(thirds(&grows), Some((1.0, 7.0)));
        assert_eq!(thirds(&grows[..2]), None);
    }

    #[test]
    fn the_first_channel_is_taken() {
        assert_eq!(channel(&[1, 2, 3, 4], 2), [1, 3]);
        assert_eq!(channel(&[1, 2], 1), [1, 2]);
    }
}
