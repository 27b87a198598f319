//! What the bot listened to: each source with its packets, what was played of it, and what
//! the bot's session said about it. The judges of sound begin here.

use callrig_media::description::Codec;
use callrig_media::event::{DropReason, Event};
use callrig_media::jitter;
use callrig_media::stats::{Inbound, Track};
use callrig_media::time::Instant;
use callrig_reports::{Mark, mark};

use super::{Evidence, Judgement, view};
use crate::measure::arrivals::{self, Arrived};
use crate::measure::direct::Decoded;
use crate::measure::heard::{self, Playback};
use crate::measure::latency::Capture;
use crate::measure::payloads::{self, Carried};
use crate::measure::reception::Reception;
use crate::said::Said;
use crate::subject::Subject;

/// The recording was made without damage.
pub(super) fn is_undamaged(subject: &Subject) -> bool {
    let tagged = |word: &str| subject.tags.iter().any(|tag| tag == word);
    // What was put into packets here had no network yet.
    let made_here = subject.flows.iter().all(|flow| flow.source == "file");
    !tagged("damaged") && (tagged("clean") || made_here)
}

/// One source that the bot listened to.
pub(super) struct Sound<'a> {
    /// Its synchronisation source.
    pub ssrc: u32,
    /// Ticks of its RTP clock in a second.
    pub clock_rate: u32,
    /// How long its packets usually are, in ticks, as they were sent.
    pub ticks: i64,
    /// What was played of it, by layout.
    pub playbacks: Vec<Playback<'a>>,
    /// What the bot's session said about it; twice, if it ended and came back.
    pub inbound: Vec<&'a Inbound>,
    /// Its packets of sound that reached the bot, as they arrived.
    pub delivered: Vec<Carried>,
}

/// A source with one codec, one layout and one run of numbers: all but the recordings that
/// are about changes.
pub(super) struct Plain<'s, 'a> {
    pub codec: Codec,
    pub playback: &'s Playback<'a>,
    pub reception: Reception,
}

impl<'a> Sound<'a> {
    pub(super) fn label(&self) -> String {
        format!("{:#010x}", self.ssrc)
    }

    /// A counter of the playout.
    pub(super) fn count(&self, counter: impl Fn(&jitter::Stats) -> u64) -> u64 {
        self.playouts().map(counter).sum()
    }

    pub(super) fn playouts(&self) -> impl Iterator<Item = &'a jitter::Stats> + '_ {
        self.inbound.iter().filter_map(|stream| match &stream.track {
            Track::Sound { playout, .. } => Some(playout),
            _ => None,
        })
    }

    pub(super) fn plain(&self, subject: &Subject) -> Option<Plain<'_, 'a>> {
        let codec = view::codec(subject, self.delivered.first()?.packet.payload_type)?;
        let same = |carried: &Carried| view::codec(subject, carried.packet.payload_type);
        let [playback] = &self.playbacks[..] else { return None };
        if self.delivered.iter().any(|carried| same(carried) != Some(codec)) {
            return None;
        }
        let packets: Vec<Arrived> = self.delivered.iter().map(|one| one.packet).collect();
        let reception = Reception::of(&packets, self.ssrc, self.clock_rate);
        reception.one_run.then_some(Plain { codec, playback, reception })
    }
}

/// Everything that the bot listened to, or why that cannot be known.
pub(super) fn sounds<'a>(evidence: &Evidence<'a>) -> Result<Vec<Sound<'a>>, String> {
    let stats = view::bot_stats(evidence).ok_or("the bot's session gave no account of itself")?;
    let cast = evidence.cast;
    let delivered = payloads::delivered(evidence.trace, cast.platform, cast.bot);
    let is_sound = |carried: &&Carried| {
        let codec = view::codec(evidence.subject, carried.packet.payload_type);
        codec.is_some_and(Codec::is_audio)
    };
    // Of what arrives of a stream that loses every other packet, the usual step is two.
    let mut sent = arrivals::sent(evidence.trace, cast.user, cast.platform);
    sent.retain(|one| view::codec(evidence.subject, one.payload_type).is_some_and(Codec::is_audio));
    let mut list: Vec<Sound<'a>> = Vec::new();
    for stream in &stats.inbound {
        if !matches!(stream.track, Track::Sound { .. }) {
            continue;
        }
        if let Some(sound) = list.iter_mut().find(|sound| sound.ssrc == stream.ssrc) {
            sound.inbound.push(stream);
            continue;
        }
        let of_it = |carried: &&Carried| carried.packet.ssrc == stream.ssrc;
        list.push(Sound {
            ssrc: stream.ssrc,
            clock_rate: stream.clock_rate,
            ticks: Capture::of(&sent, stream.ssrc, stream.clock_rate).step(),
            playbacks: Vec::new(),
            inbound: vec![stream],
            delivered: delivered.iter().filter(is_sound).filter(of_it).cloned().collect(),
        });
    }
    for playback in heard::by(evidence.trace, cast.bot) {
        match list.iter_mut().find(|sound| sound.ssrc == playback.track.ssrc) {
            Some(sound) => sound.playbacks.push(playback),
            None => {
                return Err(format!("no stream has what was heard of {}", playback.track.ssrc));
            }
        }
    }
    Ok(list)
}

/// Judges each source by `check`.
pub(super) fn each_sound(
    evidence: &Evidence<'_>,
    mut check: impl FnMut(&Sound<'_>, &mut Judgement),
) -> Judgement {
    let sounds = match sounds(evidence) {
        Ok(sounds) => sounds,
        Err(reason) => return Judgement::error(reason),
    };
    let mut judgement = Judgement::default();
    for sound in &sounds {
        check(sound, &mut judgement);
    }
    judgement.marks = mark::bounded(core::mem::take(&mut judgement.marks), Mark::MAX_PER_KIND);
    judgement
}

/// Packets that the bot's session dropped as late: when, and their numbers.
pub(super) fn late(evidence: &Evidence<'_>, ssrc: u32) -> Vec<(Instant, u16)> {
    let dropped = evidence.trace.said_by(evidence.cast.bot).filter_map(|(at, said)| match said {
        Said::Media(_, event) => match &**event {
            Event::Dropped(dropped) if dropped.ssrc == Some(ssrc) => Some((at, *dropped)),
            _ => None,
        },
        _ => None,
    });
    dropped
        .filter(|(_, dropped)| dropped.reason == DropReason::Late)
        .filter_map(|(at, dropped)| Some((at, dropped.sequence_number?)))
        .collect()
}

pub(super) fn milliseconds(at: Instant) -> f64 {
    at.as_nanos() as f64 / 1e6
}

/// What the person's phone sent in one codec.
pub(super) fn sent_in(evidence: &Evidence<'_>, codec: Codec) -> Vec<Carried> {
    let cast = evidence.cast;
    let mut sent = payloads::sent(evidence.trace, cast.user, cast.platform);
    sent.retain(|one| view::codec(evidence.subject, one.packet.payload_type) == Some(codec));
    sent
}

/// Packets of a source in their order, decoded without a network.
pub(super) fn decoded(sent: &[Carried], ssrc: u32, codec: Codec, rate: u32) -> Option<Decoded> {
    let packets = payloads::in_sequence(sent, ssrc);
    let packets = packets.iter().map(|(_, one)| (one.packet.timestamp, &one.payload[..]));
    Decoded::of(packets, codec, rate)
}
