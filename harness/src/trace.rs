//! Everything that happened in one run: what crossed the network and what the machines
//! said, in order, by the world's clock. Judges and measures read nothing else. It is
//! kept compact: packets share the bytes of their recording, sound is kept once per
//! listener, and pictures are looked at and let go.

pub mod lines;
pub mod pcap;

use core::fmt;
use core::net::SocketAddr;

use bytes::Bytes;
use callrig_media::audio::{self, Audio};
use callrig_media::event::Event;
use callrig_media::time::Instant;
use callrig_media::video::Picture;
use callrig_signaling::http::{Request, Response};
use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};

use crate::actor::ActorId;
use crate::link::Fate;
use crate::said::{Leg, Said};

/// How many samples one listener keeps: three hours at 48 kHz. Beyond it sound is counted
/// and no longer kept.
pub const SAMPLES_MAX: usize = 3 * 3_600 * 48_000;

/// For how many facts memory is taken before they are there: a recording may state anything.
const FACTS_RESERVED_MAX: usize = 1 << 20;

/// What happened, when.
#[derive(Clone, Debug)]
pub struct Fact {
    /// By the world's clock.
    pub at: Instant,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// A datagram was sent, and the network decided about it.
    Crossed(Crossed),
    /// A request was sent.
    Asked(Box<Asked>),
    /// A response was sent.
    Answered(Box<Answered>),
    /// Somebody said something.
    Said(ActorId, Said),
    /// Somebody was played 20 ms of sound.
    Heard(Heard),
    /// Somebody was shown a picture.
    Seen(Seen),
}

/// A datagram on a link.
#[derive(Clone, Debug)]
pub struct Crossed {
    /// Between whom.
    pub path: PathId,
    /// What the link did with it.
    pub fate: Fate,
    /// What it carried.
    pub payload: Bytes,
}

/// A request under way.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asks.
    pub from: ActorId,
    /// Who is asked, if anybody lives there.
    pub to: Option<ActorId>,
    /// With the asker's number.
    pub request: Request,
}

/// A response under way.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Who answers.
    pub from: ActorId,
    /// Who had asked.
    pub to: ActorId,
    /// With the asker's number.
    pub response: Response,
}

/// 20 ms of sound that a session handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// By whom, of which source: see [`Trace::tracks`].
    pub track: u16,
    /// Where it begins in the samples of its track.
    pub start: u32,
    /// How many samples it has, all channels together.
    pub samples: u32,
    /// RTP timestamp of the first sample, if it came from the wire and was not made up.
    pub timestamp: Option<u32>,
    /// Where the samples come from.
    pub kind: audio::Kind,
    /// How many samples per channel nobody sent.
    pub concealed: u32,
}

/// A picture that a session handed out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// By whom, on which leg: see [`Trace::screens`].
    pub screen: u16,
    /// Counted from 0 on each screen.
    pub index: u32,
    /// RTP timestamp of the access unit.
    pub timestamp: u32,
    /// In luma samples.
    pub width: u16,
    /// In luma samples.
    pub height: u16,
    /// How like the reference it is, if there is one.
    pub likeness: Option<Likeness>,
}

/// How like its reference a picture is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likeness {
    /// Peak signal-to-noise ratio of luma, in dB; infinite for equal pictures.
    pub psnr: f64,
    /// Structural similarity of luma, 0 to 1.
    pub ssim: f64,
}

/// Compares pictures with a reference while they pass, because nobody can keep them all.
pub trait Critic: Send {
    /// How like the reference is this picture, the `index`th on its screen?
    fn compare(&mut self, index: u32, picture: &Picture) -> Option<Likeness>;
}

/// The path of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PathId(pub u16);

/// From where to where datagrams went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Path {
    /// Who sends.
    pub from: ActorId,
    /// Who lives at the destination.
    pub to: Option<ActorId>,
    /// The sender's address.
    pub source: SocketAddr,
    /// The receiver's address.
    pub destination: SocketAddr,
}

/// What one listener was played of one source.
#[derive(Clone, Debug)]
pub struct Track {
    /// Who listened.
    pub who: ActorId,
    /// On which leg.
    pub leg: Leg,
    /// To which source.
    pub ssrc: u32,
    /// Samples per second of each channel.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// All of it, interleaved, one after the other.
    pub samples: Vec<i16>,
}

/// What one viewer was shown.
#[derive(Clone)]
pub struct Screen {
    /// Who looked.
    pub who: ActorId,
    /// On which leg.
    pub leg: Leg,
    /// How many pictures there were.
    pub pictures: u32,
    digest: Digesting,
}

/// The digest of a screen: under way, or as a saved trace has it.
#[derive(Clone)]
enum Digesting {
    Open(Sha1),
    Closed([u8; 20]),
}

impl Screen {
    /// As a saved trace has it.
    pub(crate) const fn closed(who: ActorId, leg: Leg, pictures: u32, digest: [u8; 20]) -> Self {
        Self { who, leg, pictures, digest: Digesting::Closed(digest) }
    }

    /// SHA-1 of all pictures in output order: I420, visible area, Y then U then V.
    #[must_use]
    pub fn digest(&self) -> [u8; 20] {
        match &self.digest {
            Digesting::Open(digest) => digest.clone().finalize().into(),
            Digesting::Closed(digest) => *digest,
        }
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Screen")
            .field("who", &self.who)
            .field("leg", &self.leg)
            .field("pictures", &self.pictures)
            .finish_non_exhaustive()
    }
}

/// The record of a run.
#[derive(Default)]
pub struct Trace {
    actors: Vec<String>,
    paths: Vec<Path>,
    facts: Vec<Fact>,
    tracks: Vec<Track>,
    screens: Vec<Screen>,
    critic: Option<Box<dyn Critic>>,
    /// Whose sound is counted and not kept: see [`Self::ignore_sound_of`].
    deaf: Vec<ActorId>,
    /// Whose frames are said and not kept: see [`Self::ignore_frames_of`].
    blind: Vec<ActorId>,
}

impl Trace {
    /// All facts, in order.
    #[must_use]
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// The names of all actors; an [`ActorId`] is the place in it.
    #[must_use]
    pub fn actors(&self) -> &[String] {
        &self.actors
    }

    /// The name of an actor.
    #[must_use]
    pub fn actor(&self, id: ActorId) -> &str {
        self.actors.get(usize::from(id.0)).map_or("?", String::as_str)
    }

    /// The actor of this name.
    #[must_use]
    pub fn actor_named(&self, name: &str) -> Option<ActorId> {
        self.actors.iter().position(|known| known == name).map(|index| ActorId(index as u16))
    }

    /// Where datagrams of this path came from and went.
    ///
    /// # Panics
    /// The path is of another trace.
    #[must_use]
    pub fn path_of(&self, id: PathId) -> &Path {
        &self.paths[usize::from(id.0)]
    }

    /// All paths; a [`PathId`] is the place in it.
    #[must_use]
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// What was heard; [`Heard::track`] is the place in it.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// What was seen; [`Seen::screen`] is the place in it.
    #[must_use]
    pub fn screens(&self) -> &[Screen] {
        &self.screens
    }

    /// Datagrams that crossed from one actor to another, with the time of sending.
    pub fn crossings(
        &self,
        from: ActorId,
        to: ActorId,
    ) -> impl Iterator<Item = (Instant, &Crossed)> {
        self.facts.iter().filter_map(move |fact| match &fact.what {
            What::Crossed(crossed) => {
                let path = self.path_of(crossed.path);
                (path.from == from && path.to == Some(to)).then_some((fact.at, crossed))
            }
            _ => None,
        })
    }

    /// What somebody said.
    pub fn said_by(&self, who: ActorId) -> impl Iterator<Item = (Instant, &Said)> {
        self.facts.iter().filter_map(move |fact| match &fact.what {
            What::Said(speaker, said) if *speaker == who => Some((fact.at, said)),
            _ => None,
        })
    }

    /// What was noted by anybody.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.facts.iter().filter_map(|fact| match &fact.what {
            What::Said(_, Said::Note(note)) => Some(note.as_str()),
            _ => None,
        })
    }

    /// What went wrong on our side; a run with faults cannot be judged.
    pub fn faults(&self) -> impl Iterator<Item = (ActorId, &str)> {
        self.facts.iter().filter_map(|fact| match &fact.what {
            What::Said(who, Said::Fault(fault)) => Some((*who, fault.as_str())),
            _ => None,
        })
    }

    /// When the last thing happened.
    #[must_use]
    pub fn end(&self) -> Instant {
        self.facts.last().map_or(Instant::ZERO, |fact| fact.at)
    }

    /// About so many facts are to come: their memory is taken once.
    pub fn reserve(&mut self, facts: usize) {
        self.facts.reserve(facts.min(FACTS_RESERVED_MAX));
    }

    /// Pictures will be compared by `critic`.
    pub fn invite(&mut self, critic: Box<dyn Critic>) {
        self.critic = Some(critic);
    }

    /// The sound that `who` is played is counted, but its samples are not kept.
    pub fn ignore_sound_of(&mut self, who: ActorId) {
        self.deaf.push(who);
    }

    /// The frames that `who` is handed are told of, but what is in them is not kept.
    pub fn ignore_frames_of(&mut self, who: ActorId) {
        self.blind.push(who);
    }

    /// A trace that was saved. Whoever reads it has made sure that nothing refers to what
    /// is not there.
    pub(crate) const fn restored(
        actors: Vec<String>,
        paths: Vec<Path>,
        tracks: Vec<Track>,
        screens: Vec<Screen>,
        facts: Vec<Fact>,
    ) -> Self {
        Self {
            actors,
            paths,
            facts,
            tracks,
            screens,
            critic: None,
            deaf: Vec::new(),
            blind: Vec::new(),
        }
    }

    pub(crate) fn name(&mut self, id: ActorId, name: &str) {
        let index = usize::from(id.0);
        if self.actors.len() <= index {
            self.actors.resize(index + 1, String::new());
        }
        name.clone_into(&mut self.actors[index]);
    }

    pub(crate) fn path(
        &mut self,
        from: ActorId,
        to: Option<ActorId>,
        (source, destination): (SocketAddr, SocketAddr),
    ) -> PathId {
        // A hostile peer could make us answer ever new addresses: the last path stands for
        // all that do not fit.
        if self.paths.len() > usize::from(u16::MAX) {
            return PathId(u16::MAX);
        }
        self.paths.push(Path { from, to, source, destination });
        PathId((self.paths.len() - 1) as u16)
    }

    pub(crate) fn cross(&mut self, at: Instant, path: PathId, fate: Fate, payload: &Bytes) {
        let crossed = Crossed { path, fate, payload: payload.clone() };
        self.facts.push(Fact { at, what: What::Crossed(crossed) });
    }

    pub(crate) fn request(
        &mut self,
        at: Instant,
        from: ActorId,
        to: Option<ActorId>,
        request: &Request,
    ) {
        let asked = Asked { from, to, request: request.clone() };
        self.facts.push(Fact { at, what: What::Asked(Box::new(asked)) });
    }

    pub(crate) fn response(
        &mut self,
        at: Instant,
        from: ActorId,
        to: ActorId,
        response: &Response,
    ) {
        let answered = Answered { from, to, response: response.clone() };
        self.facts.push(Fact { at, what: What::Answered(Box::new(answered)) });
    }

    pub(crate) fn say(&mut self, at: Instant, who: ActorId, said: Said) {
        let what = match said {
            Said::Media(leg, event) => match *event {
                Event::Audio(audio) => What::Heard(self.hear(who, leg, &audio)),
                Event::Picture(picture) => What::Seen(self.see(who, leg, &picture)),
                Event::Frame(mut frame) if self.blind.contains(&who) => {
                    frame.data = Bytes::new();
                    What::Said(who, Said::media(leg, Event::Frame(frame)))
                }
                other => What::Said(who, Said::media(leg, other)),
            },
            other => What::Said(who, other),
        };
        self.facts.push(Fact { at, what });
    }

    fn hear(&mut self, who: ActorId, leg: Leg, audio: &Audio) -> Heard {
        let same = |track: &Track| {
            track.who == who
                && track.leg == leg
                && track.ssrc == audio.ssrc
                && track.rate == audio.rate
                && track.channels == audio.channels
        };
        let index = self.tracks.iter().position(same).unwrap_or_else(|| {
            self.tracks.push(Track {
                who,
                leg,
                ssrc: audio.ssrc,
                rate: audio.rate,
                channels: audio.channels,
                samples: Vec::new(),
            });
            self.tracks.len() - 1
        });
        let keep = !self.deaf.contains(&who);
        let samples = &mut self.tracks[index].samples;
        let start = samples.len() as u32;
        let kept = if keep && samples.len() < SAMPLES_MAX { audio.samples.len() } else { 0 };
        samples.extend_from_slice(&audio.samples[..kept]);
        Heard {
            track: index as u16,
            start,
            samples: kept as u32,
            timestamp: audio.timestamp,
            kind: audio.kind,
            concealed: audio.concealed,
        }
    }

    fn see(&mut self, who: ActorId, leg: Leg, picture: &Picture) -> Seen {
        let same = |screen: &Screen| screen.who == who && screen.leg == leg;
        let place = self.screens.iter().position(same).unwrap_or_else(|| {
            let digest = Digesting::Open(Sha1::new());
            self.screens.push(Screen { who, leg, pictures: 0, digest });
            self.screens.len() - 1
        });
        let screen = &mut self.screens[place];
        let index = screen.pictures;
        screen.pictures += 1;
        if let Digesting::Open(digest) = &mut screen.digest {
            for plane in [&picture.y, &picture.u, &picture.v] {
                digest.update(plane);
            }
        }
        let likeness = self.critic.as_mut().and_then(|critic| critic.compare(index, picture));
        Seen {
            screen: place as u16,
            index,
            timestamp: picture.timestamp,
            width: picture.width,
            height: picture.height,
            likeness,
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Trace")
            .field("actors", &self.actors)
            .field("facts", &self.facts.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_stays_small_because_there_are_two_for_each_packet() {
        assert!(size_of::<Fact>() <= 96, "{}", size_of::<Fact>());
    }
}
