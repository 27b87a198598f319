//! A crowd: more people speak at once than are heard at once. Who is louder than all but three is
//! heard, everybody is named who is heard, and nobody hears themselves. What was said is known of
//! each, so the mix can be taken apart into voices ([`voices`]).

use core::ops::Range;
use std::collections::BTreeMap;

use callrig_media::description::Codec;
use callrig_reports::metric::registry as metrics;
use callrig_reports::{Finding, Metric};

use super::super::rule::Rule;
use super::super::{Evidence, Judgement, view};
use super::{decibels, played};
use crate::actor::ActorId;
use crate::measure::arrivals::{self, Arrived};
use crate::measure::heard::Playback;
use crate::measure::mouth_to_ear::Spoken;
use crate::measure::voices;

/// All rules of this file.
pub(super) const RULES: &[Rule] = &[LOUDEST, NAMED, NOT_ONESELF];

const LOUDEST: Rule = Rule::must(
    "meeting/crowd/loudest-are-heard",
    "RFC 7667 section 3.6.1; this project",
    "Of many who speak at once, whoever has been 6 dB louder than all but three others for 400 ms is heard within half a second.",
);
const NAMED: Rule = Rule::must(
    "meeting/crowd/named",
    "RFC 3550 section 7.1",
    "The contributing sources of a packet of the mix are those who are heard in it.",
);
const NOT_ONESELF: Rule = Rule::must(
    "meeting/crowd/not-oneself",
    "RFC 7667 section 3.6.1; this project",
    "The mix that a speaker gets, who speaks with others, is without the speaker.",
);

/// How many are heard at once.
const AT_ONCE: usize = 4;
/// 6 dB, in power.
const CLEARLY: f64 = 4.0;
/// Frames of 20 ms that are taken apart together.
const STRETCH: usize = 5;
/// In so many of five stretches something has to be wrong.
const WRONG_MIN: usize = 3;
/// What is sent more unevenly than that is stretched when it is played.
const UNEVEN_S: f64 = 0.05;
/// So many frames are 400 ms.
const OF_LATE: usize = 20;
/// A voice with less gain is not heard, and one with more is.
const HEARD: (f64, f64) = (0.25, 0.6);
/// −40 dBov as a mean square: louder voices are named.
const VOICE: f64 = 107_374.0;

/// What somebody in the crowd hears, and what everybody says meanwhile.
struct Crowd {
    rate: u32,
    /// In one channel, from the first frame on that is played after the first word.
    heard: Vec<i16>,
    /// Who is named in each 20 ms.
    names: Vec<Vec<u32>>,
    voices: Vec<Voice>,
}

/// One of those who speak, as long as what is heard.
struct Voice {
    samples: Vec<i16>,
    /// Of each 20 ms, as a mean square.
    powers: Vec<f64>,
    /// How many samples later it is heard; none if neither half of it is found.
    lag: Option<isize>,
}

impl Voice {
    /// Moves what was said to where it is heard: `from` is where its first sample would be heard at
    /// once, and `parts` those of it that are looked for, until one is found.
    fn place(
        spoken: &Spoken,
        parts: [Range<usize>; 2],
        from: isize,
        (heard, rate): (&[i16], u32),
    ) -> Self {
        // Later than that it is the next speaker, who says the same.
        let is_own = |lag: &isize| *lag < (rate / 2) as isize;
        let lag = parts.into_iter().find_map(|part| {
            let start = from + part.start as isize;
            let (before, after) = (start.min(0).unsigned_abs(), start.max(0).unsigned_abs());
            let samples = spoken.samples.get(part.start + before..part.end)?.to_vec();
            let said = Spoken { samples, began: spoken.began };
            said.lag(heard.get(after..)?, rate).filter(is_own)
        });
        let begins = from + lag.unwrap_or(0);
        let sample = |place: usize| {
            let said = usize::try_from(place as isize - begins).ok();
            said.and_then(|said| spoken.samples.get(said)).copied().unwrap_or(0)
        };
        let samples: Vec<i16> = (0..heard.len()).map(sample).collect();
        let frame = (rate / 50) as usize;
        let mean = |part: &[i16]| super::energy(part) / frame as f64;
        let powers = samples.chunks_exact(frame).map(mean).collect();
        Self { samples, powers, lag }
    }

    /// How loud it is in a stretch, on average.
    fn now(&self, stretch: usize) -> f64 {
        self.powers[stretch..stretch + STRETCH].iter().sum::<f64>() / STRETCH as f64
    }

    /// How loud it was at the softest in a stretch.
    fn softest(&self, stretch: usize) -> f64 {
        self.powers[stretch..stretch + STRETCH].iter().copied().fold(f64::MAX, f64::min)
    }

    /// How loud it has been of late, at the end of a stretch.
    fn of_late(&self, stretch: usize) -> f64 {
        let end = stretch + STRETCH;
        let late = &self.powers[end.saturating_sub(OF_LATE)..end];
        late.iter().sum::<f64>() / OF_LATE as f64
    }
}

impl Crowd {
    /// As somebody hears it; none where there is nothing that could be told apart: several speak from
    /// one phone, or unevenly.
    fn of(evidence: &Evidence<'_>, who: ActorId) -> Option<Self> {
        let mix = played(evidence, who)?;
        let rate = mix.track.rate;
        let spoken = super::spoken(evidence, rate)?;
        let first = mix.frames.iter().position(|(at, _)| *at >= spoken.began)?;
        let origin = mix.frames[first].0;
        let frames = &mix.frames[first..];
        let one = |(_, heard)| super::channel(mix.samples(heard), mix.track.channels);
        let heard: Vec<i16> = frames.iter().map(|(at, heard)| (at, heard)).flat_map(one).collect();
        let sound = |speaker| view::sound(evidence, speaker, evidence.cast.platform);
        let own = sound(evidence.cast.user);
        let began = own.first()?.sent;
        if !is_even(&own, evidence) {
            return None;
        }
        let voice = |(number, speaker): (u16, ActorId)| {
            let later = sound(speaker).first()?.sent.signed_nanos_since(began);
            let nanos = spoken.began.signed_nanos_since(origin) + later;
            let from = i128::from(nanos) * i128::from(rate) / 1_000_000_000;
            // Of the first the beginning, of the last the end: fewer speak then.
            let (middle, end) = (spoken.samples.len() / 2, spoken.samples.len());
            let mut parts = [0..middle, middle..end];
            if number > evidence.cast.others / 2 {
                parts.reverse();
            }
            Some(Voice::place(&spoken, parts, from as isize, (&heard, rate)))
        };
        let voices = (0..).zip(evidence.cast.speakers()).map(voice);
        let voices = voices.collect::<Option<Vec<Voice>>>()?;
        let names = names(evidence, who, &mix, first);
        Some(Self { rate, heard, names, voices })
    }

    /// Where each stretch begins, in frames.
    fn stretches(&self) -> impl Iterator<Item = usize> + use<> {
        let frames = self.voices.iter().map(|voice| voice.powers.len()).min();
        (0..frames.unwrap_or(0) / STRETCH).map(|index| index * STRETCH)
    }

    /// What a stretch of it consists of.
    fn apart(&self, stretch: usize) -> voices::Parts {
        let frame = (self.rate / 50) as usize;
        let range = stretch * frame..(stretch + STRETCH) * frame;
        let voices: Vec<Option<&[i16]>> = self
            .voices
            .iter()
            .map(|voice| voice.lag.map(|_| &voice.samples[range.clone()]))
            .collect();
        voices::apart(&self.heard[range], &voices)
    }

    /// Whether a voice has to be heard in a stretch.
    fn is_due(&self, index: usize, stretch: usize) -> bool {
        let own = &self.voices[index];
        let of_late = own.of_late(stretch);
        let others = (0..).zip(&self.voices).filter(|(other, _)| *other != index);
        let rivals = others.filter(|(_, other)| other.of_late(stretch) * CLEARLY > of_late);
        own.softest(stretch) > VOICE && rivals.count() < AT_ONCE
    }

    fn at(&self, index: usize, stretch: usize) -> String {
        format!("speaker {} at {:.1} s", index + 1, stretch as f64 / 50.0)
    }
}

/// Whether packets were sent as evenly as they are played: otherwise a voice is played faster or
/// slower now and then, and is not found where it is looked for.
fn is_even(sent: &[Arrived], evidence: &Evidence<'_>) -> bool {
    let Some(first) = sent.first() else { return false };
    let rate = view::codec(evidence.subject, first.payload_type).map_or(48_000, Codec::clock_rate);
    let early = sent.iter().map(|packet| {
        let ticks = packet.timestamp.wrapping_sub(first.timestamp);
        f64::from(ticks) / f64::from(rate) - packet.sent.since(first.sent).as_secs_f64()
    });
    let (least, most) =
        early.fold((0.0_f64, 0.0_f64), |(a, b), early| (a.min(early), b.max(early)));
    most - least < UNEVEN_S
}

/// Who is named in each frame that somebody is played.
fn names(evidence: &Evidence<'_>, who: ActorId, mix: &Playback<'_>, first: usize) -> Vec<Vec<u32>> {
    let crossings = evidence.trace.crossings(evidence.cast.platform, who);
    let named: BTreeMap<u32, Vec<u32>> = crossings
        .filter_map(|(at, crossed)| {
            let packet = arrivals::read(at, &crossed.payload)?;
            (packet.ssrc == mix.track.ssrc)
                .then(|| (packet.timestamp, arrivals::contributors(&crossed.payload)))
        })
        .collect();
    let of = |timestamp: Option<u32>| named.get(&timestamp?).cloned();
    let frames = mix.frames[first..].iter();
    frames.map(|(_, heard)| of(heard.timestamp).unwrap_or_default()).collect()
}

pub(super) fn judge(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let Some(crowd) = Crowd::of(evidence, evidence.cast.bot) else { return judgement };
    let parts: Vec<(usize, voices::Parts)> =
        crowd.stretches().map(|stretch| (stretch, crowd.apart(stretch))).collect();
    judgement.findings.extend(drowned(&crowd, &parts));
    judgement.findings.extend(misnamed(&crowd, &parts));
    judgement.findings.extend(oneself(evidence));
    let mut lags: Vec<isize> = crowd.voices.iter().filter_map(|voice| voice.lag).collect();
    lags.sort_unstable();
    let seconds = |lag: &isize| *lag as f64 / f64::from(crowd.rate);
    let loud = |stretch: usize| crowd.voices.iter().any(|voice| voice.now(stretch) > VOICE);
    let snr: Vec<f64> = parts
        .iter()
        .filter(|(stretch, _)| loud(*stretch))
        .map(|(_, parts)| -decibels(parts.rest))
        .collect();
    let mean = (!snr.is_empty()).then(|| snr.iter().sum::<f64>() / snr.len() as f64);
    judgement.metrics.extend(
        [
            Metric::new(&metrics::MOUTH_TO_EAR_P50, lags.get(lags.len() / 2).map(seconds)),
            Metric::new(&metrics::SEGMENTAL_SNR, mean),
        ]
        .map(|metric| metric.labelled("in a crowd")),
    );
    judgement
}

/// Where something is wrong for a while: in three stretches of half a second, and right in none. A
/// shorter while may be one in which a voice is played a little sooner or later than elsewhere.
fn lasting(wrong: &[(usize, Option<bool>)]) -> Option<usize> {
    let is_bad = |window: &&[(usize, Option<bool>)]| {
        let count = |which: bool| window.iter().filter(|(_, wrong)| *wrong == Some(which)).count();
        count(true) >= WRONG_MIN && count(false) == 0
    };
    wrong.windows(STRETCH).find(is_bad).map(|window| window[0].0)
}

/// Whether somebody is heard; none if it cannot be told.
fn is_heard(gain: Option<f64>) -> Option<bool> {
    let (soft, loud) = HEARD;
    match gain? {
        gain if gain < soft => Some(false),
        gain if gain > loud => Some(true),
        _ => None,
    }
}

/// Where somebody is not heard who has to be.
fn drowned(crowd: &Crowd, parts: &[(usize, voices::Parts)]) -> Option<Finding> {
    crowd.voices.iter().enumerate().find_map(|(index, voice)| {
        let wrong: Vec<(usize, Option<bool>)> = parts
            .iter()
            .map(|(stretch, parts)| {
                // Of a voice that is not found nothing is heard.
                let gain = parts.gains[index].or(voice.lag.is_none().then_some(0.0));
                let heard = is_heard(gain).filter(|_| crowd.is_due(index, *stretch));
                (*stretch, heard.map(|heard| !heard))
            })
            .collect();
        let stretch = lasting(&wrong)?;
        Some(LOUDEST.broken("heard", "not heard").with_evidence([crowd.at(index, stretch)]))
    })
}

/// Where somebody is heard and not named, or named and not heard. Whose name is whose is what fits
/// best.
fn misnamed(crowd: &Crowd, parts: &[(usize, voices::Parts)]) -> Option<Finding> {
    let names = |stretch: usize| crowd.names.get(stretch..stretch + STRETCH).unwrap_or_default();
    let is_named = |name: u32, stretch: usize| {
        let frames = names(stretch).iter().filter(|frame| frame.contains(&name)).count();
        match frames {
            0 => Some(false),
            STRETCH => Some(true),
            // Somebody begins or ends.
            _ => None,
        }
    };
    let mut all: Vec<u32> = crowd.names.iter().flatten().copied().collect();
    all.sort_unstable();
    all.dedup();
    let mut owners: BTreeMap<usize, u32> = BTreeMap::new();
    for name in all {
        let agrees = |index: usize| -> i32 {
            let votes = parts.iter().map(|(stretch, parts)| {
                match (is_named(name, *stretch), is_heard(parts.gains[index])) {
                    (Some(named), Some(heard)) if named == heard => 1,
                    (Some(_), Some(_)) => -1,
                    _ => 0,
                }
            });
            votes.sum()
        };
        let owner = (0..crowd.voices.len()).max_by_key(|index| agrees(*index))?;
        owners.entry(owner).or_insert(name);
    }
    crowd.voices.iter().enumerate().find_map(|(index, voice)| {
        let name = owners.get(&index).copied();
        let right = |stretch: usize, gain: Option<f64>| {
            let named = name.map_or(Some(false), |name| is_named(name, stretch))?;
            let heard = is_heard(gain).filter(|_| voice.softest(stretch) > VOICE)?;
            Some((named, heard))
        };
        let broken = |heard: bool| {
            let wrong: Vec<(usize, Option<bool>)> = parts
                .iter()
                .map(|(stretch, parts)| {
                    let right = right(*stretch, parts.gains[index]).filter(|one| one.1 == heard);
                    (*stretch, right.map(|(named, heard)| named != heard))
                })
                .collect();
            let words = |named: bool| if named { "named" } else { "not named" };
            let stretch = lasting(&wrong)?;
            let finding = NAMED.broken(words(heard), words(!heard));
            Some(finding.with_evidence([crowd.at(index, stretch)]))
        };
        broken(true).or_else(|| broken(false))
    })
}

/// Where the first speaker is heard by itself.
fn oneself(evidence: &Evidence<'_>) -> Option<Finding> {
    let crowd = Crowd::of(evidence, evidence.cast.user)?;
    // It has a place there only if it is found, and that only if it is heard.
    let heard = |stretch| (stretch, is_heard(crowd.apart(stretch).gains[0]));
    let stretch = lasting(&crowd.stretches().map(heard).collect::<Vec<_>>())?;
    Some(NOT_ONESELF.broken("not heard", "heard").with_evidence([crowd.at(0, stretch)]))
}
