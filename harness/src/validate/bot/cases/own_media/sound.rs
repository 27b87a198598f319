//! What a bot's own sound is like.

use core::time::Duration;

use callrig_media::description::Codec;
use callrig_media::event::DropReason;
use callrig_media::time::Instant;

use super::super::super::case::{Case, Outcome, Seen, judged};
use super::super::super::profile::Sends;
use super::super::super::transcript::Person;
use super::super::super::wire::level_of;
use super::super::media::{QUIET_LEVEL, clipped, decibels};
use super::ear::{Piece, pieces};
use super::packets::sound as packets;
use super::{FLOWS, SPEAKS_FOR, Scripts, may_flow, millis};
use crate::case::rule::Rule;

const CLOCK: Rule = Rule::must(
    "bot/own-media/sound-clock",
    "RFC 3550 section 5.1; RFC 7587 section 4.1; RFC 3551 section 4.5",
    "The timestamp of sound grows with the samples that are sent, at the rate of the codec: \
     48,000 a second for Opus, 8,000 for G.711.",
);
const DECODES: Rule = Rule::must(
    "bot/own-media/sound-decodes",
    "RFC 6716 section 3.4; RFC 3551 section 4.5.14",
    "What comes can be decoded by the codec that was agreed on.",
);
const PLAYS: Rule = Rule::must(
    "bot/own-media/is-heard",
    "the bot's profile",
    "A bot that plays something is heard within four seconds.",
);
const ECHOES: Rule = Rule::must(
    "bot/own-media/echoes",
    "the bot's profile",
    "What the caller says comes back as it was said.",
);
const ECHO_DELAY: Rule = Rule::should(
    "bot/own-media/echo-delay",
    "ITU-T G.114: 400 ms there and back",
    "What comes back does so within 400 ms.",
);
const LOUDNESS: Rule = Rule::should(
    "bot/own-media/loudness",
    "ITU-T P.56; this project: -40 dB of full scale",
    "What a bot sends is loud enough to be understood.",
);
const CLIPPED: Rule = Rule::should(
    "bot/own-media/clipping",
    "this project: less than one sample in a hundred",
    "What a bot sends is not driven into the ends of the scale.",
);

/// How much of what was said has to come back, as the correlation of loudness over time.
const ALIKE_MIN: f64 = 0.5;
/// The longest way back that is looked for.
const DELAY_MAX: Duration = Duration::from_secs(3);
/// How much of what the bot sends is listened to, from when the caller begins to speak.
const LISTENS_FOR: Duration = Duration::from_secs(10);
const FRAME: Duration = Duration::from_millis(20);

pub(super) fn cases(scripts: &Scripts) -> Vec<Case> {
    let heard = [Sends::Plays, Sends::Echoes, Sends::Changes];
    let numbers = "bot/own-media/sequence-numbers";
    let decodes = "bot/own-media/sound-decodes";
    let call = &scripts.call;
    let plain = &scripts.plain;
    vec![
        Case::new(
            "bot/own-media/sound-clock",
            "timestamps of sound follow its samples",
            &[CLOCK],
            call.clone(),
            clock,
        )
        .timed()
        .after(&[FLOWS, numbers]),
        Case::new(decodes, "sound can be decoded", &[DECODES], call.clone(), decodable)
            .timed()
            .after(&[FLOWS]),
        Case::new(
            "bot/own-media/is-heard",
            "what the bot plays is heard",
            &[PLAYS],
            scripts.sound(plain, &[Sends::Plays]),
            plays,
        )
        .timed()
        .after(&[FLOWS, decodes]),
        Case::new(
            "bot/own-media/echoes",
            "what is said comes back",
            &[ECHOES, ECHO_DELAY],
            scripts.sound(call, &[Sends::Echoes]),
            echoes,
        )
        .timed()
        .after(&[FLOWS, decodes, numbers, "bot/own-media/sound-clock"]),
        Case::new(
            "bot/own-media/loudness",
            "what the bot sends is loud enough",
            &[LOUDNESS],
            scripts.sound(plain, &heard),
            loudness,
        )
        .after(&[FLOWS, decodes]),
        Case::new(
            "bot/own-media/clipping",
            "what the bot sends is not clipped",
            &[CLIPPED],
            scripts.sound(plain, &heard),
            clipping,
        )
        .after(&[FLOWS, decodes]),
    ]
}

fn clock(seen: &Seen<'_>) -> Outcome {
    let packets = packets(seen);
    let (Some(first), Some(last)) = (packets.first(), packets.last()) else {
        return Outcome::NotJudged("no sound came".to_owned());
    };
    let codec = seen.transcript.wire.codec_of(first.packet.ssrc).unwrap_or(Codec::Pcmu);
    let rate = f64::from(codec.clock_rate());
    let mut ticks = 0_i64;
    for pair in packets.windows(2) {
        let step = pair[1].packet.timestamp.wrapping_sub(pair[0].packet.timestamp).cast_signed();
        ticks += i64::from(step);
        // A pause may be left out, and is marked; a packet lasts 120 ms at most (RFC 7587).
        let longest = (rate * 0.12) as i32;
        let follows = step > 0 && (step <= longest || pair[1].packet.marker);
        if !follows {
            let expected = format!("{:.0} for 20 ms of {}", rate / 50.0, codec.name());
            return judged(Some(seen.broken(&CLOCK, pair[1].at, expected, format!("{step}"))));
        }
    }
    let lasted = last.at.since(first.at);
    if lasted < Duration::from_secs(2) {
        return Outcome::NotJudged("too little sound came".to_owned());
    }
    let told = ticks as f64 / rate;
    let off = (told - lasted.as_secs_f64()).abs();
    let allowed = lasted.as_secs_f64() * 0.02 + 0.1 + seen.slack.as_secs_f64();
    judged((off > allowed).then(|| {
        let expected = format!("{:.2} s of {}", lasted.as_secs_f64(), codec.name());
        seen.broken(&CLOCK, last.at, expected, format!("{told:.2} s by the timestamps"))
    }))
}

fn decodable(seen: &Seen<'_>) -> Outcome {
    let wire = &seen.transcript.wire;
    let sources = wire.sources_of(callrig_media::description::MediaKind::Audio);
    let of_sound = |ssrc: Option<u32>| ssrc.is_none_or(|ssrc| sources.contains(&ssrc));
    let bad = wire
        .unusable
        .iter()
        .chain(&wire.dropped)
        .filter(|dropped| dropped.reason == DropReason::MalformedPayload)
        .find(|dropped| of_sound(dropped.ssrc));
    if let Some(bad) = bad {
        let actual = format!("a payload that cannot be, at number {:?}", bad.sequence_number);
        return judged(Some(seen.broken(&DECODES, bad.arrived, "sound", actual)));
    }
    let made_up = wire.heard.iter().filter(|level| level.made_up).count();
    let all = wire.heard.len();
    judged((all > 50 && made_up * 5 > all).then(|| {
        let at = wire.heard.first().map_or(Instant::ZERO, |level| level.at);
        let actual = format!("{made_up} of {all} frames had to be made up");
        seen.broken(&DECODES, at, "sound in every packet", actual)
    }))
}

fn plays(seen: &Seen<'_>) -> Outcome {
    let Some(may) = may_flow(seen) else {
        return Outcome::NotJudged("the call never stood".to_owned());
    };
    let deadline = may + Duration::from_secs(4) + seen.slack;
    let heard = seen.transcript.person(|does| *does == Person::Hears);
    judged(heard.is_none_or(|heard| heard > deadline).then(|| {
        let actual = match heard {
            Some(heard) => format!("after {}", millis(heard.since(may))),
            None => "nothing".to_owned(),
        };
        seen.broken(&PLAYS, heard.unwrap_or(deadline), "sound within 4 s", actual)
    }))
}

/// Loudness over time, in steps of [`FRAME`], by the timestamps of packets that came from a moment
/// on, and when its first step would have come had all packets been as late as most are. (A burst
/// at the beginning moves nothing; a telephone's jitter buffer would have stretched the rest.)
fn envelope(pieces: impl Iterator<Item = Piece>, from: Instant) -> (Vec<f64>, Instant) {
    let mut pieces = pieces.filter(|piece| piece.at >= from).peekable();
    let Some(first) = pieces.peek() else { return (Vec::new(), from) };
    let (zero, rate) = (first.timestamp, first.rate);
    let (mut sound, mut begins) = (Vec::new(), Vec::new());
    for piece in pieces {
        let place = piece.timestamp.wrapping_sub(zero) as usize;
        let end = place.saturating_add(piece.samples.len());
        if end > (LISTENS_FOR.as_secs() * u64::from(rate)) as usize {
            continue;
        }
        sound.resize(sound.len().max(end), 0);
        sound[place..end].copy_from_slice(&piece.samples);
        let since = Duration::from_secs_f64(place as f64 / f64::from(rate));
        begins.push(piece.at.elapsed().saturating_sub(since));
    }
    begins.sort_unstable();
    let begins = begins.get(begins.len() / 2).copied().unwrap_or_default();
    let steps = sound.chunks((rate / 50) as usize).map(|step| f64::from(level_of(step)));
    (steps.collect(), Instant::ZERO + begins)
}

/// How alike two courses of loudness are: Pearson's coefficient.
fn alike(one: &[f64], other: &[f64]) -> f64 {
    let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len().max(1) as f64;
    let (mean_one, mean_other) = (mean(one), mean(other));
    let (mut both, mut first, mut second) = (0.0, 0.0, 0.0);
    for (a, b) in one.iter().zip(other) {
        let (a, b) = (a - mean_one, b - mean_other);
        both += a * b;
        first += a * a;
        second += b * b;
    }
    if first * second > 0.0 { both / (first * second).sqrt() } else { 0.0 }
}

fn echoes(seen: &Seen<'_>) -> Outcome {
    let wire = &seen.transcript.wire;
    let Some(began) = wire.said.first().map(|level| level.at) else {
        return Outcome::NotJudged("the call did not come so far".to_owned());
    };
    // What is said is counted, not timed: frames follow each other, however late a busy machine
    // looked at one of them.
    let said: Vec<_> = wire.said.iter().map(|level| f64::from(level.level)).collect();
    let (heard, first) = envelope(pieces(seen), began);
    let first = first.since(began);
    let lags = (DELAY_MAX.as_nanos() / FRAME.as_nanos()) as u32;
    let best = (0..=lags)
        .map_while(|lag| Some((lag, heard.get(lag as usize..)?)))
        .map(|(lag, heard)| {
            let mut heard = heard.to_vec();
            heard.resize(said.len(), 0.0);
            (alike(&said, &heard), first + FRAME * lag)
        })
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let (likeness, delay) = best.unwrap_or_default();
    if likeness < ALIKE_MIN {
        let actual = format!("{:.0} % alike at best", likeness * 100.0);
        let expected = "the same loudness over time";
        return judged(Some(seen.broken(&ECHOES, began + SPEAKS_FOR, expected, actual)));
    }
    let allowed = Duration::from_millis(400) + seen.slack;
    judged(
        (delay > allowed).then(|| {
            seen.broken(&ECHO_DELAY, began + delay, "at most 400 ms later", millis(delay))
        }),
    )
}

fn loudness(seen: &Seen<'_>) -> Outcome {
    let heard = seen.transcript.heard();
    let Some((at, loudest)) = heard.into_iter().max_by_key(|(_, sound)| sound.level) else {
        let at = super::ends(seen);
        return judged(Some(seen.broken(&LOUDNESS, at, "something to be heard", "nothing")));
    };
    judged((loudest.level < QUIET_LEVEL).then(|| {
        let actual = format!("{:.1} dB", decibels(loudest.level));
        seen.broken(&LOUDNESS, at + loudest.length, "-40 dB of full scale or more", actual)
    }))
}

fn clipping(seen: &Seen<'_>) -> Outcome {
    clipped(seen, &CLIPPED)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 ms of one level at 8 kHz, as the n-th packet of a stream that began at `zero`.
    fn piece(zero: u32, n: u32, level: i16, at_ms: u64) -> Piece {
        let timestamp = zero.wrapping_add(n * 160);
        let at = Instant::ZERO + Duration::from_millis(at_ms);
        Piece { at, ssrc: 1, timestamp, rate: 8_000, samples: vec![level; 160] }
    }

    #[test]
    fn a_burst_at_the_beginning_and_a_pause_move_nothing() {
        // The first ten come at once, the twelfth to the fourteenth never.
        let levels: Vec<i16> = (0..40).map(|n| 100 * (n % 7)).collect();
        let numbers = (0..40_u32).filter(|n| !(12..15).contains(n));
        let pieces = numbers.map(|n| {
            let at = 1_000 + u64::from(n.max(10)) * 20;
            piece(u32::MAX - 500, n, levels[n as usize], at)
        });
        let (heard, first) = envelope(pieces, Instant::ZERO);
        let expected: Vec<f64> = (0_usize..40)
            .map(|n| if (12..15).contains(&n) { 0.0 } else { f64::from(levels[n]) })
            .collect();
        assert_eq!(heard, expected);
        assert_eq!(first, Instant::ZERO + Duration::from_secs(1));
    }

    #[test]
    fn what_came_before_or_claims_a_place_far_away_is_left_out() {
        let from = Instant::ZERO + Duration::from_millis(500);
        let early = piece(0, 0, 9, 400);
        let list = [early, piece(0, 5, 7, 600), piece(0, 4, 8, 610), piece(0, 90_000, 6, 620)];
        let (heard, first) = envelope(list.into_iter(), from);
        assert_eq!(heard, [7.0]);
        assert_eq!(first, Instant::ZERO + Duration::from_millis(600));
        assert_eq!(envelope(core::iter::empty(), from), (Vec::new(), from));
    }
}
