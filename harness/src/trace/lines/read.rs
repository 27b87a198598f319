//! From lines to facts. A saved trace is anybody's file: what it refers to has to be there,
//! and it takes memory in proportion to its length.

use std::io::{self, BufRead, Read as _};

use callrig_media::event::Event;
use callrig_media::time::Instant;
use callrig_media::video::Frame;
use callrig_signaling::http::{Request, Response};
use thiserror::Error;

use super::format::{
    Body, CrossedLine, FrameLine, Head, HeardLine, Line, MediaEvent, SeenLine, Version,
};
use super::{LINE_BYTES_MAX, Saved, VERSION};
use crate::actor::ActorId;
use crate::link::Fate;
use crate::said::{Ended, Leg, Said, Told};
use crate::stage::Performance;
use crate::trace::{
    Answered, Asked, Crossed, Fact, Heard, Likeness, SAMPLES_MAX, Screen, Seen, Trace, Track, What,
};

/// Why a file is not a trace that can be judged again.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("line {line}: {source}")]
    Read {
        /// Counted from 1.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
    /// A line longer than [`LINE_BYTES_MAX`].
    #[error("line {line} is longer than {LINE_BYTES_MAX} bytes")]
    TooLong {
        /// Counted from 1.
        line: u64,
    },
    /// A line that is not what stands there in a trace.
    #[error("line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Another format, or none.
    #[error(
        "it is a trace of version {found}, and this callrig reads version {VERSION}; \
         `callrig run --trace` with the same seed writes it again"
    )]
    Version {
        /// What it says of itself.
        found: u32,
    },
    /// It ends too early, or goes on.
    #[error("it has {found} facts where its first line announces {announced}: a part is missing")]
    Cut {
        /// As the first line says.
        announced: u64,
        /// As there are.
        found: u64,
    },
}

/// Reads all of it.
///
/// # Errors
/// It is not a whole trace of this version.
pub fn read<R: BufRead>(from: R) -> Result<Saved, ReadError> {
    let mut lines = Lines { from, line: 0, text: Vec::new() };
    let head = head(&mut lines)?;
    let mut reading = Reading::new(&head).map_err(|problem| lines.wrong(problem))?;
    while let Some(text) = lines.next()? {
        let line = serde_json::from_slice(text).map_err(|error| error.to_string());
        let fact = line.and_then(|line| reading.fact(line));
        let fact = fact.map_err(|problem| lines.wrong(problem))?;
        reading.facts.push(fact);
    }
    let found = reading.facts.len() as u64;
    if found != head.facts {
        return Err(ReadError::Cut { announced: head.facts, found });
    }
    let performance = Performance {
        cast: head.cast,
        uplink: head.uplink,
        downlink: head.downlink,
        stop: head.stop,
        waiting: head.waiting.into_owned(),
        costs: Vec::new(),
        trace: Trace::restored(
            head.actors.into_owned(),
            head.paths.into_owned(),
            reading.tracks,
            reading.screens,
            reading.facts,
        ),
    };
    Ok(Saved { staged: head.staged.into_owned(), performance })
}

struct Lines<R> {
    from: R,
    line: u64,
    text: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<&[u8]>, ReadError> {
        self.line += 1;
        self.text.clear();
        let line = self.line;
        let mut limited = (&mut self.from).take(LINE_BYTES_MAX);
        limited
            .read_until(b'\n', &mut self.text)
            .map_err(|source| ReadError::Read { line, source })?;
        match self.text.last() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(&self.text)),
            Some(_) if self.text.len() as u64 == LINE_BYTES_MAX => Err(ReadError::TooLong { line }),
            Some(_) => Err(self.wrong("the file ends in the middle of it".to_owned())),
        }
    }

    const fn wrong(&self, problem: String) -> ReadError {
        ReadError::Line { line: self.line, problem }
    }
}

fn head<R: BufRead>(lines: &mut Lines<R>) -> Result<Head<'static>, ReadError> {
    let foreign = "expected the first line of a callrig trace: {\"callrigTrace\":2,..}";
    let Some(text) = lines.next()? else {
        return Err(lines.wrong(format!("{foreign}, found nothing")));
    };
    let text = text.to_vec();
    let version: Version =
        serde_json::from_slice(&text).map_err(|_| lines.wrong(foreign.to_owned()))?;
    if version.callrig_trace != VERSION {
        return Err(ReadError::Version { found: version.callrig_trace });
    }
    serde_json::from_slice(&text).map_err(|error| lines.wrong(error.to_string()))
}

/// What is known while facts are read.
struct Reading {
    actors: Vec<String>,
    paths: usize,
    tracks: Vec<Track>,
    screens: Vec<Screen>,
    facts: Vec<Fact>,
}

impl Reading {
    fn new(head: &Head<'_>) -> Result<Self, String> {
        let known = |who: ActorId| {
            let known = usize::from(who.0) < head.actors.len();
            known.then_some(who).ok_or_else(|| format!("there is no actor {}", who.0))
        };
        for who in [head.cast.platform, head.cast.bot, head.cast.user] {
            known(who)?;
        }
        for path in head.paths.iter() {
            known(path.from)?;
            path.to.map(known).transpose()?;
        }
        let tracks = head.tracks.iter().map(|track| {
            if !(1..=2).contains(&track.channels) || !(50..=192_000).contains(&track.rate) {
                let (channels, rate) = (track.channels, track.rate);
                return Err(format!("there is no sound of {channels} channels at {rate} Hz"));
            }
            Ok(Track {
                who: known(track.who)?,
                leg: Leg(track.leg),
                ssrc: track.ssrc,
                rate: track.rate,
                channels: track.channels,
                samples: Vec::new(),
            })
        });
        let screens = head.screens.iter().map(|screen| {
            let digest =
                digest(&screen.digest).ok_or_else(|| format!("{:?} is no SHA-1", screen.digest))?;
            Ok(Screen::closed(known(screen.who)?, Leg(screen.leg), screen.pictures, digest))
        });
        Ok(Self {
            actors: head.actors.to_vec(),
            paths: head.paths.len(),
            tracks: tracks.collect::<Result<_, String>>()?,
            screens: screens.collect::<Result<_, String>>()?,
            facts: Vec::new(),
        })
    }

    fn actor(&self, name: &str) -> Result<ActorId, String> {
        let place = self.actors.iter().position(|known| known == name);
        place
            .map(|place| ActorId(place as u16))
            .ok_or_else(|| format!("there is no actor {name:?}"))
    }

    fn fact(&mut self, line: Line<'_>) -> Result<Fact, String> {
        let (at, what) = match line {
            Line::Crossed(line) => (line.at, What::Crossed(self.crossing(&line)?)),
            Line::Asked(line) => {
                let request = Request {
                    id: line.id,
                    method: line.method,
                    uri: line.uri.into_owned(),
                    headers: line.headers.into_owned(),
                    body: line.body.map(Body::into_bytes).unwrap_or_default(),
                };
                let to = line.to.map(|to| self.actor(&to)).transpose()?;
                let asked = Asked { from: self.actor(&line.from)?, to, request };
                (line.at, What::Asked(Box::new(asked)))
            }
            Line::Answered(line) => {
                let response = Response {
                    id: line.id,
                    status: line.status,
                    headers: line.headers.into_owned(),
                    body: line.body.map(Body::into_bytes).unwrap_or_default(),
                };
                let (from, to) = (self.actor(&line.from)?, self.actor(&line.to)?);
                (line.at, What::Answered(Box::new(Answered { from, to, response })))
            }
            Line::Heard(line) => (line.at, What::Heard(self.sound(&line)?)),
            Line::Seen(line) => (line.at, What::Seen(self.picture(&line)?)),
            Line::Packet(line) => {
                self.said(line.at, &line.who, Said::Packet(Leg(line.leg), line.packet))?
            }
            Line::Media(line) => {
                let event = Box::new(media(line.event));
                self.said(line.at, &line.who, Said::Media(Leg(line.leg), event))?
            }
            Line::Told(line) => {
                let ended = line.ended;
                let told = Told {
                    words: line.words.into_owned(),
                    answered: line.answered,
                    ended: ended
                        .map(|ended| Ended { leg: ended.leg, stats: ended.stats.into_owned() }),
                };
                self.said(line.at, &line.who, Said::Told(Box::new(told)))?
            }
            Line::Note(line) => {
                self.said(line.at, &line.who, Said::Note(line.words.into_owned()))?
            }
            Line::Fault(line) => {
                self.said(line.at, &line.who, Said::Fault(line.words.into_owned()))?
            }
        };
        Ok(Fact { at, what })
    }

    fn said(&self, at: Instant, who: &str, said: Said) -> Result<(Instant, What), String> {
        Ok((at, What::Said(self.actor(who)?, said)))
    }

    fn crossing(&self, line: &CrossedLine) -> Result<Crossed, String> {
        if usize::from(line.path.0) >= self.paths {
            return Err(format!("there is no path {}", line.path.0));
        }
        let fate = match (&line.delivered_at[..], line.dropped) {
            ([at], None) => Fate::Delivered(*at),
            ([first, second], None) => Fate::Duplicated(*first, *second),
            ([], Some(cause)) => Fate::Dropped(cause),
            _ => return Err("a datagram arrives once, twice, or is dropped".to_owned()),
        };
        Ok(Crossed { path: line.path, fate, payload: line.payload.0.clone() })
    }

    fn sound(&mut self, line: &HeardLine) -> Result<Heard, String> {
        let track = self.tracks.get_mut(usize::from(line.track));
        let track = track.ok_or_else(|| format!("there is no track {}", line.track))?;
        let (pairs, rest) = line.samples.0.as_chunks::<2>();
        if !rest.is_empty() || track.samples.len() + pairs.len() > SAMPLES_MAX + 2 * 192_000 {
            return Err(format!("{} bytes are no samples of this track", line.samples.0.len()));
        }
        let start = track.samples.len() as u32;
        track.samples.extend(pairs.iter().map(|pair| i16::from_le_bytes(*pair)));
        Ok(Heard {
            track: line.track,
            start,
            samples: pairs.len() as u32,
            timestamp: line.timestamp,
            kind: line.kind,
            concealed: line.concealed,
        })
    }

    fn picture(&self, line: &SeenLine) -> Result<Seen, String> {
        if usize::from(line.screen) >= self.screens.len() {
            return Err(format!("there is no screen {}", line.screen));
        }
        Ok(Seen {
            screen: line.screen,
            index: line.index,
            timestamp: line.timestamp,
            width: line.width,
            height: line.height,
            likeness: line.likeness.as_ref().map(|likeness| Likeness {
                psnr: likeness.psnr.unwrap_or(f64::INFINITY),
                ssim: likeness.ssim,
            }),
        })
    }
}

fn media(event: MediaEvent) -> Event {
    match event {
        MediaEvent::StreamStarted(started) => Event::StreamStarted(started),
        MediaEvent::StreamEnded { ssrc, reason } => Event::StreamEnded { ssrc, reason },
        MediaEvent::Tone(tone) => Event::Tone(tone),
        MediaEvent::Frame(line) => Event::Frame(frame(line)),
        MediaEvent::FrameDropped { ssrc, timestamp, cause } => {
            Event::FrameDropped { ssrc, timestamp, cause }
        }
        MediaEvent::BandwidthEstimated { bits_per_second } => {
            Event::BandwidthEstimated { bits_per_second }
        }
        MediaEvent::KeyFrameRequested { ssrc } => Event::KeyFrameRequested { ssrc },
        MediaEvent::RemoteReport(report) => Event::RemoteReport(report),
        MediaEvent::SourceChanged { from, to } => Event::SourceChanged { from, to },
        MediaEvent::Contributors { ssrc, csrcs } => {
            Event::Contributors { ssrc, csrcs: csrcs.into_iter().collect() }
        }
        MediaEvent::Dropped(dropped) => Event::Dropped(dropped),
    }
}

fn frame(line: FrameLine) -> Frame {
    Frame {
        ssrc: line.ssrc,
        timestamp: line.timestamp,
        data: line.data.0,
        key_frame: line.key_frame,
        first_sequence: line.first_sequence,
        last_sequence: line.last_sequence,
        arrived_first: line.arrived_first,
        arrived_last: line.arrived_last,
        resolution: line.resolution,
    }
}

/// From forty hexadecimal digits.
fn digest(text: &str) -> Option<[u8; 20]> {
    let digits = text.as_bytes();
    if digits.len() != 40 {
        return None;
    }
    let mut bytes = [0; 20];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        let pair = core::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}
