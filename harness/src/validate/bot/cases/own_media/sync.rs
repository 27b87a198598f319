//! Lip sync: Ann shows nothing and says nothing for a while, then speaks and shows herself in
//! the same moment, like the clap of a clapperboard. What an echo sends back of the two belongs
//! together as it did, by the clock to which the bot's own reports tie both (RFC 3550 section
//! 6.4.1); a receiver has nothing else to go by.

use core::time::Duration;

use callrig_media::description::MediaKind;
use callrig_media::rtcp::{self, Rules, SenderReport};
use callrig_media::time::Instant;

use super::super::super::capture::Way;
use super::super::super::case::{Case, Outcome, Seen, judged};
use super::super::super::profile::{Profile, Sends};
use super::super::super::script::{Act, When, cue};
use super::super::super::transcript::Kind;
use super::super::super::wire::{AUDIBLE, Packet, level_of};
use super::super::seconds;
use super::ear::{Piece, pieces};
use super::{FLOWS, Play, Scripts, own};
use crate::case::rule::Rule;

const TOGETHER: Rule = Rule::should(
    "bot/own-media/lip-sync",
    "ITU-R BT.1359-1; RFC 3550 section 6.4.1",
    "Sound and pictures that belong together come at most 90 ms (sound first) or 185 ms (sound \
     last) apart, by the clock that sender reports tie both to.",
);

/// When Ann is silent and not to be seen, for how long, and how long she then speaks.
const HIDES_AFTER_MS: u64 = 1_400;
const HIDES_FOR: Duration = Duration::from_millis(600);
const SPEAKS_FOR: Duration = Duration::from_secs(1);
/// Sound may be so much ahead of its picture, or behind it.
const AHEAD_MAX: f64 = 0.090;
const BEHIND_MAX: f64 = 0.185;
/// A pause in the pictures that is no accident.
const PAUSE_MIN: Duration = Duration::from_millis(350);

pub(super) fn cases(scripts: &Scripts) -> Vec<Case> {
    let both = scripts.pictures(&scripts.sync, &[Sends::Echoes, Sends::Changes]);
    let both = both.and_then(|script| scripts.sound(&Ok(script), &[Sends::Echoes]));
    let case = Case::new(
        "bot/own-media/lip-sync",
        "sound and pictures that belong together come back together",
        &[TOGETHER],
        both,
        together,
    );
    let needs =
        ["bot/own-media/echoes", "bot/own-media/returns-pictures", "bot/own-media/video-clock"];
    vec![case.timed().after(&[FLOWS]).after(&needs)]
}

/// The clap.
pub(super) fn script(profile: &Profile) -> Play {
    own(profile)?;
    let mut script = profile.call()?;
    let flows = When::Told(Kind::MediaActive, 1);
    let speaks = HIDES_AFTER_MS + HIDES_FOR.as_millis() as u64;
    script.pictures = true;
    script.cues.push(cue(flows, HIDES_AFTER_MS, Act::Hide(HIDES_FOR)));
    script.cues.push(cue(flows, speaks, Act::Speak(SPEAKS_FOR)));
    script.patience = seconds(6);
    Ok(script)
}

/// A packet of the bot's: when it came, and its timestamp.
#[derive(Clone, Copy)]
struct Moment {
    at: Instant,
    ssrc: u32,
    timestamp: u32,
    rate: u32,
}

impl Moment {
    /// In seconds, by the clock of a report.
    fn by(self, report: &SenderReport) -> f64 {
        let since = self.timestamp.wrapping_sub(report.rtp_timestamp).cast_signed();
        let whole = report.ntp.to_bits() as f64 / 2_f64.powi(32);
        whole + f64::from(since) / f64::from(self.rate)
    }
}

/// Where each report puts a moment, against the first.
fn drift(reports: &[(Instant, SenderReport)], of: &str, moment: Moment) -> Vec<String> {
    let mut reports = reports.iter().filter(|(_, report)| report.ssrc == moment.ssrc).peekable();
    let Some(first) = reports.peek().map(|(_, report)| moment.by(report)) else { return vec![] };
    let line = |(at, report): &(Instant, SenderReport)| {
        let moved = (moment.by(report) - first) * 1e3;
        let at = at.elapsed().as_secs_f64();
        format!("the report of the {of} at {at:.3} s puts it {moved:+.0} ms from the first one")
    };
    reports.map(line).collect()
}

fn together(seen: &Seen<'_>) -> Outcome {
    let wire = &seen.transcript.wire;
    let Some(spoke) = wire.said.first().map(|level| level.at) else {
        return Outcome::NotJudged("the call did not come so far".to_owned());
    };
    let shown = wire.shown.iter().copied().find(|at| *at + HIDES_FOR / 2 >= spoke);
    let (Some(shown), Some(sound)) = (shown, first_sound(seen, spoke)) else {
        return Outcome::NotJudged("what was said did not come back".to_owned());
    };
    let Some(picture) = first_picture(seen, spoke) else {
        let words = "pictures come all the time: which of them shows the clap cannot be told";
        return Outcome::NotJudged(words.to_owned());
    };
    let reports = reports(seen);
    let clock = |moment: Moment| {
        let of = reports.iter().filter(|(_, report)| report.ssrc == moment.ssrc);
        let mut by: Vec<f64> = of.map(|(_, report)| moment.by(report)).collect();
        by.sort_by(f64::total_cmp);
        // Some stand still in a pause and take the last timestamp for that of now; receivers even
        // it out over several reports.
        by.get(by.len().saturating_sub(1) / 2).copied()
    };
    let meant = since(spoke, shown);
    let came = since(sound.at, picture.at) - meant;
    let (apart, by) = match (clock(sound), clock(picture)) {
        (Some(sound), Some(picture)) => {
            let by = format!("by the sender reports ({} when they came)", beside(came));
            (sound - picture - meant, by)
        }
        _ => (came, "by arrival, for want of sender reports".to_owned()),
    };
    let slack = seen.slack.as_secs_f64();
    let wrong = apart > BEHIND_MAX + slack || apart < -AHEAD_MAX - slack;
    judged(wrong.then(|| {
        let actual = format!("sound {} its picture, {by}", beside(apart));
        let expected = "sound 90 ms before to 185 ms after its picture";
        let lines = [("sound", sound), ("picture", picture)].into_iter();
        let lines = lines.flat_map(|(of, moment)| drift(&reports, of, moment));
        seen.broken(&TOGETHER, sound.at, expected, actual).with_evidence(lines)
    }))
}

/// How far sound is from its picture.
fn beside(apart: f64) -> String {
    format!("{:.0} ms {}", apart.abs() * 1e3, if apart > 0.0 { "after" } else { "before" })
}

fn since(one: Instant, other: Instant) -> f64 {
    one.elapsed().as_secs_f64() - other.elapsed().as_secs_f64()
}

/// The first packet of the bot's that is loud, from a moment on.
fn first_sound(seen: &Seen<'_>, from: Instant) -> Option<Moment> {
    let loud = |piece: &Piece| piece.at >= from && level_of(&piece.samples) >= AUDIBLE;
    let Piece { at, ssrc, timestamp, rate, .. } = pieces(seen).find(loud)?;
    Some(Moment { at, ssrc, timestamp, rate })
}

/// The first packet of the bot's pictures after the pause: as its timestamps have it, for some
/// hold a picture back until the next one comes; or else as it came.
fn first_picture(seen: &Seen<'_>, spoke: Instant) -> Option<Moment> {
    let wire = &seen.transcript.wire;
    let ssrc = *wire.sources_of(MediaKind::Video).first()?;
    let packets: Vec<_> = wire.packets_of(ssrc).collect();
    let late_enough = |pair: &&[&Packet]| pair[1].at + HIDES_FOR / 2 >= spoke;
    let ticks = (PAUSE_MIN.as_millis() * 90) as i32;
    let stamped = packets.windows(2).filter(late_enough).find(|pair| {
        let (one, next) = (pair[0].packet.timestamp, pair[1].packet.timestamp);
        next.wrapping_sub(one).cast_signed() >= ticks
    });
    let came = || {
        let mut pairs = packets.windows(2).filter(late_enough);
        pairs.find(|pair| pair[1].at.since(pair[0].at) >= PAUSE_MIN)
    };
    let first = stamped.or_else(came)?.get(1)?;
    Some(Moment { at: first.at, ssrc, timestamp: first.packet.timestamp, rate: 90_000 })
}

/// What the bot says of its clocks, and when.
fn reports(seen: &Seen<'_>) -> Vec<(Instant, SenderReport)> {
    let mut reports = Vec::new();
    for passed in seen.transcript.capture.passed(Way::FromBot) {
        let packets = rtcp::parse(&passed.datagram.payload, Rules::ReducedSize);
        for packet in packets.into_iter().flatten() {
            if let rtcp::Packet::SenderReport(report) = packet {
                reports.push((passed.at, report));
            }
        }
    }
    reports
}
