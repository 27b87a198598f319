//! What judges look for in a trace again and again: who received what, and what the
//! product said about it at the end.

use std::collections::BTreeMap;

use callrig_media::description::{Codec, MediaKind};
use callrig_media::event::Event;
use callrig_media::stats::{Inbound, Stats};
use callrig_media::time::Instant;
use callrig_media::video::Frame;
use callrig_signaling::id::LegId;

use crate::actor::ActorId;
use crate::case::Evidence;
use crate::measure::arrivals::{self, Arrived};
use crate::said::Said;
use crate::subject::Subject;

/// One end of a link: what reached it, and what it made of that.
pub struct Receiver<'a> {
    /// For findings: `the platform`, `the bot`.
    pub name: &'static str,
    /// RTP packets of negotiated payload types that reached it, in order of arrival.
    pub packets: Vec<Arrived>,
    /// What its session said at the end.
    pub stats: &'a Stats,
}

/// The packets of sound that one sent another, whatever became of them.
#[must_use]
pub fn sound(evidence: &Evidence<'_>, from: ActorId, to: ActorId) -> Vec<Arrived> {
    let mut sent = arrivals::sent(evidence.trace, from, to);
    sent.retain(|packet| codec(evidence.subject, packet.payload_type).is_some_and(Codec::is_audio));
    sent
}

/// The frames that somebody is shown of one kind, and when.
pub fn frames<'a>(
    evidence: &Evidence<'a>,
    who: ActorId,
    kind: MediaKind,
) -> impl Iterator<Item = (Instant, &'a Frame)> {
    let mut kinds = BTreeMap::new();
    evidence.trace.said_by(who).filter_map(move |(at, said)| {
        let Said::Media(_, event) = said else { return None };
        match &**event {
            Event::StreamStarted(stream) => {
                kinds.insert(stream.ssrc, stream.kind);
                None
            }
            Event::Frame(frame) => (kinds.get(&frame.ssrc) == Some(&kind)).then_some((at, frame)),
            _ => None,
        }
    })
}

/// The platform's session with the person.
#[must_use]
pub fn platform<'a>(evidence: &Evidence<'a>) -> Option<Receiver<'a>> {
    let cast = evidence.cast;
    Some(Receiver {
        name: "the platform",
        packets: negotiated(arrivals::between(evidence.trace, cast.user, cast.platform), evidence),
        stats: platform_stats(evidence)?,
    })
}

/// The bot's own session, if its media is application-hosted.
#[must_use]
pub fn bot<'a>(evidence: &Evidence<'a>) -> Option<Receiver<'a>> {
    let cast = evidence.cast;
    Some(Receiver {
        name: "the bot",
        packets: negotiated(arrivals::between(evidence.trace, cast.platform, cast.bot), evidence),
        stats: bot_stats(evidence)?,
    })
}

/// All of them.
#[must_use]
pub fn receivers<'a>(evidence: &Evidence<'a>) -> Vec<Receiver<'a>> {
    [platform(evidence), bot(evidence)].into_iter().flatten().collect()
}

/// The leg of the person on the platform.
#[must_use]
pub fn user_leg(evidence: &Evidence<'_>) -> Option<LegId> {
    evidence.trace.said_by(evidence.cast.platform).find_map(|(_, said)| said.answered())
}

/// What the platform's session with the person said at the end.
#[must_use]
pub fn platform_stats<'a>(evidence: &Evidence<'a>) -> Option<&'a Stats> {
    let user = user_leg(evidence)?;
    let mut ended = evidence.trace.said_by(evidence.cast.platform);
    ended
        .find_map(|(_, said)| said.ended().filter(|(leg, _)| *leg == Some(user)))
        .map(|(_, stats)| stats)
}

/// What the bot's session said at the end.
#[must_use]
pub fn bot_stats<'a>(evidence: &Evidence<'a>) -> Option<&'a Stats> {
    let mut said = evidence.trace.said_by(evidence.cast.bot);
    said.find_map(|(_, said)| said.ended()).map(|(_, stats)| stats)
}

impl Receiver<'_> {
    /// The streams of the recording, without the platform's own.
    pub fn streams<'s>(&'s self, subject: &'s Subject) -> impl Iterator<Item = &'s Inbound> {
        self.stats
            .inbound
            .iter()
            .filter(|stream| subject.flows.iter().any(|flow| flow.ssrc == stream.ssrc))
    }
}

/// Neither hostile nor out of the ordinary: online and offline counting must agree.
#[must_use]
pub fn is_regular(subject: &Subject) -> bool {
    subject.kind != "hostile"
}

/// Whether all payload types of a source count time alike. Where they do not, RFC 7160
/// lets jitter start afresh, and the formula over all packets has no meaning.
#[must_use]
pub fn has_one_clock(subject: &Subject, ssrc: u32) -> bool {
    let flow = subject.flows.iter().find(|flow| flow.ssrc == ssrc);
    flow.is_none_or(|flow| {
        let mut rates = flow.payloads.iter().map(|payload| payload.clock_rate);
        let first = rates.next();
        rates.all(|rate| Some(rate) == first)
    })
}

/// Whether anything is lost, delayed by chance, or reordered on this network.
#[must_use]
pub fn is_clean(evidence: &Evidence<'_>) -> bool {
    evidence.network.name == "clean"
}

fn negotiated(mut packets: Vec<Arrived>, evidence: &Evidence<'_>) -> Vec<Arrived> {
    packets.retain(|packet| codec(evidence.subject, packet.payload_type).is_some());
    packets
}

/// What a payload type of the recording stands for.
#[must_use]
pub fn codec(subject: &Subject, payload_type: u8) -> Option<Codec> {
    subject
        .media
        .iter()
        .flat_map(|line| &line.payloads)
        .find(|payload| payload.payload_type == payload_type)
        .map(|payload| payload.codec)
}
