//! From facts to lines.

use std::borrow::Cow;
use std::io::{self, Write};

use bytes::Bytes;
use callrig_media::event::Event;
use callrig_media::rtp;
use callrig_media::time::Instant;

use super::format::{
    AnsweredLine, AskedLine, Base64, Body, CrossedLine, EndedLine, FrameLine, Head, HeardLine,
    LikenessLine, Line, MediaEvent, MediaLine, PacketLine, RtpLine, ScreenLine, SeenLine, ToldLine,
    TrackLine, WordsLine,
};
use super::{Staged, VERSION};
use crate::actor::ActorId;
use crate::link::Fate;
use crate::said::{Leg, Said};
use crate::stage::Performance;
use crate::trace::{Answered, Asked, Crossed, Fact, Heard, Seen, Trace, What};

/// Writes all of it.
///
/// # Errors
/// Those of the writer.
pub fn write<W: Write>(staged: &Staged, performance: &Performance, mut to: W) -> io::Result<W> {
    let trace = &performance.trace;
    line(&mut to, &head(staged, performance))?;
    for fact in trace.facts() {
        if let Some(value) = of(trace, fact) {
            line(&mut to, &value)?;
        }
    }
    Ok(to)
}

fn line<W: Write>(to: &mut W, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, value)?;
    to.write_all(b"\n")
}

fn head<'a>(staged: &'a Staged, performance: &'a Performance) -> Head<'a> {
    let trace = &performance.trace;
    let tracks = trace.tracks().iter().map(|track| TrackLine {
        who: track.who,
        leg: track.leg.0,
        ssrc: track.ssrc,
        rate: track.rate,
        channels: track.channels,
    });
    let screens = trace.screens().iter().map(|screen| ScreenLine {
        who: screen.who,
        leg: screen.leg.0,
        pictures: screen.pictures,
        digest: screen.digest().iter().map(|byte| format!("{byte:02x}")).collect(),
    });
    Head {
        callrig_trace: VERSION,
        facts: trace.facts().iter().filter(|fact| of(trace, fact).is_some()).count() as u64,
        staged: Cow::Borrowed(staged),
        cast: performance.cast,
        uplink: performance.uplink,
        downlink: performance.downlink,
        stop: performance.stop,
        waiting: Cow::Borrowed(&performance.waiting),
        actors: Cow::Borrowed(trace.actors()),
        paths: Cow::Borrowed(trace.paths()),
        tracks: tracks.collect(),
        screens: screens.collect(),
    }
}

fn of<'a>(trace: &'a Trace, fact: &'a Fact) -> Option<Line<'a>> {
    let at = fact.at;
    let name = |who: ActorId| Cow::Borrowed(trace.actor(who));
    Some(match &fact.what {
        What::Crossed(crossed) => Line::Crossed(crossing(at, crossed)),
        What::Asked(asked) => {
            let Asked { from, to, request } = &**asked;
            Line::Asked(AskedLine {
                at,
                from: name(*from),
                to: to.map(name),
                id: request.id,
                method: request.method,
                uri: Cow::Borrowed(&request.uri),
                headers: Cow::Borrowed(&request.headers),
                body: Body::of(&request.body),
            })
        }
        What::Answered(answered) => {
            let Answered { from, to, response } = &**answered;
            Line::Answered(AnsweredLine {
                at,
                from: name(*from),
                to: name(*to),
                id: response.id,
                status: response.status,
                headers: Cow::Borrowed(&response.headers),
                body: Body::of(&response.body),
            })
        }
        What::Heard(heard) => Line::Heard(sound(trace, at, heard)),
        What::Seen(seen) => Line::Seen(picture(at, seen)),
        What::Said(who, said) => return self::said(at, name(*who), said),
    })
}

fn crossing(at: Instant, crossed: &Crossed) -> CrossedLine {
    let (delivered_at, dropped) = match crossed.fate {
        Fate::Delivered(at) => (vec![at], None),
        Fate::Duplicated(first, second) => (vec![first, second], None),
        Fate::Dropped(cause) => (Vec::new(), Some(cause)),
    };
    let payload = Base64(crossed.payload.clone());
    CrossedLine { at, path: crossed.path, delivered_at, dropped, rtp: header(crossed), payload }
}

fn header(crossed: &Crossed) -> Option<RtpLine> {
    if rtp::demultiplex(&crossed.payload) != rtp::Demultiplexed::Rtp {
        return None;
    }
    let header = rtp::Packet::parse(crossed.payload.clone()).ok()?.header;
    Some(RtpLine {
        ssrc: header.ssrc,
        sequence_number: header.sequence_number,
        timestamp: header.timestamp,
        payload_type: header.payload_type,
        marker: header.marker,
    })
}

fn sound(trace: &Trace, at: Instant, heard: &Heard) -> HeardLine {
    let track = &trace.tracks()[usize::from(heard.track)];
    let start = heard.start as usize;
    let samples = &track.samples[start..start + heard.samples as usize];
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    HeardLine {
        at,
        track: heard.track,
        kind: heard.kind,
        timestamp: heard.timestamp,
        concealed: heard.concealed,
        samples: Base64(bytes.into()),
    }
}

fn picture(at: Instant, seen: &Seen) -> SeenLine {
    SeenLine {
        at,
        screen: seen.screen,
        index: seen.index,
        timestamp: seen.timestamp,
        width: seen.width,
        height: seen.height,
        likeness: seen.likeness.map(|likeness| LikenessLine {
            psnr: likeness.psnr.is_finite().then_some(likeness.psnr),
            ssim: likeness.ssim,
        }),
    }
}

/// `None` for what the trace has turned into facts of another kind.
fn said<'a>(at: Instant, who: Cow<'a, str>, said: &'a Said) -> Option<Line<'a>> {
    let told = |who, words| {
        let ended = said.ended();
        let ended = ended.map(|(leg, stats)| EndedLine { leg, stats: Cow::Borrowed(stats) });
        // The account of a session stands beside the words; twice is once too often.
        let words = if ended.is_some() { Cow::Borrowed("MediaEnded") } else { words };
        Line::Told(ToldLine { at, who, answered: said.answered(), ended, words })
    };
    // For people: no judge asks for the way below a session.
    if let Said::Media(_, event) = said
        && let Event::Transport(event) = &**event
    {
        return Some(told(who, Cow::Owned(format!("transport: {event}"))));
    }
    Some(match said {
        Said::Packet(Leg(leg), packet) => {
            Line::Packet(PacketLine { at, who, leg: *leg, packet: *packet })
        }
        Said::Media(Leg(leg), event) => {
            Line::Media(MediaLine { at, who, leg: *leg, event: media(event)? })
        }
        Said::Service(event) => told(who, Cow::Owned(format!("{event:?}"))),
        Said::Bot(event) => told(who, Cow::Owned(format!("{event:?}"))),
        Said::Told(words) => told(who, Cow::Borrowed(&words.words)),
        Said::Note(words) => Line::Note(WordsLine { at, who, words: Cow::Borrowed(words) }),
        Said::Fault(words) => Line::Fault(WordsLine { at, who, words: Cow::Borrowed(words) }),
    })
}

fn media(event: &Event) -> Option<MediaEvent> {
    Some(match event {
        Event::StreamStarted(started) => MediaEvent::StreamStarted(*started),
        Event::StreamEnded { ssrc, reason } => {
            MediaEvent::StreamEnded { ssrc: *ssrc, reason: *reason }
        }
        Event::Tone(tone) => MediaEvent::Tone(*tone),
        Event::Frame(frame) => MediaEvent::Frame(FrameLine {
            ssrc: frame.ssrc,
            timestamp: frame.timestamp,
            key_frame: frame.key_frame,
            first_sequence: frame.first_sequence,
            last_sequence: frame.last_sequence,
            arrived_first: frame.arrived_first,
            arrived_last: frame.arrived_last,
            resolution: frame.resolution,
            data: Base64(Bytes::clone(&frame.data)),
        }),
        Event::FrameDropped { ssrc, timestamp, cause } => {
            MediaEvent::FrameDropped { ssrc: *ssrc, timestamp: *timestamp, cause: *cause }
        }
        Event::BandwidthEstimated { bits_per_second } => {
            MediaEvent::BandwidthEstimated { bits_per_second: *bits_per_second }
        }
        Event::KeyFrameRequested { ssrc } => MediaEvent::KeyFrameRequested { ssrc: *ssrc },
        Event::RemoteReport(report) => MediaEvent::RemoteReport(*report),
        Event::SourceChanged { from, to } => MediaEvent::SourceChanged { from: *from, to: *to },
        Event::Contributors { ssrc, csrcs } => {
            MediaEvent::Contributors { ssrc: *ssrc, csrcs: csrcs.to_vec() }
        }
        Event::Dropped(dropped) => MediaEvent::Dropped(*dropped),
        // `Said::media`, `Trace::say` and `said` keep these apart.
        Event::Packet(_)
        | Event::Audio(_)
        | Event::Picture(_)
        | Event::Transport(_)
        // What crosses is in the trace anyway.
        | Event::Application(_)
        | Event::Passed { .. } => return None,
    })
}
