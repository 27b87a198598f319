//! What crossed of media that a bot handles itself: every packet as it came to the platform,
//! what went nowhere, and what Ann, whose telephone shows pictures, heard and saw of it.

use callrig_media::description::{Codec, MediaKind};
use callrig_media::event::{Dropped, PacketEvent, RemoteReport};
use callrig_media::stats::Stats;
use callrig_media::time::Instant;
use callrig_media::video::{DropCause, Frame};

/// How much of each list is kept; more is counted.
pub const KEPT_MAX: usize = 20_000;

/// Sound is heard from this level on (root mean square of 16 bits): -55 dB.
pub const AUDIBLE: u16 = 60;

/// Root mean square.
#[must_use]
pub fn level_of(samples: &[i16]) -> u16 {
    let energy: u64 = samples.iter().map(|s| u64::from(s.unsigned_abs()).pow(2)).sum();
    (energy / samples.len().max(1) as u64).isqrt() as u16
}

/// A packet of the bot's.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// When it came to the platform.
    pub at: Instant,
    /// What it is.
    pub packet: PacketEvent,
}

/// A source of the bot's.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// When it began.
    pub at: Instant,
    /// Its number.
    pub ssrc: u32,
    /// What it shows.
    pub kind: MediaKind,
    /// How it is coded.
    pub codec: Codec,
}

/// 20 ms that Ann heard, or said.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// When.
    pub at: Instant,
    /// Root mean square.
    pub level: u16,
    /// Whether nobody sent it: it was made up.
    pub made_up: bool,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// Sources of the bot's, as they began; one more where the codec changed.
    pub sources: Vec<Source>,
    /// What the bot sent.
    pub packets: Vec<Packet>,
    /// Of that, what the platform could do nothing with.
    pub dropped: Vec<Dropped>,
    /// What of it Ann's telephone could do nothing with.
    pub unusable: Vec<Dropped>,
    /// What the bot said of what it gets.
    pub reports: Vec<(Instant, RemoteReport)>,
    /// Pictures that Ann saw.
    pub seen: Vec<Frame>,
    /// Pictures that Ann could not see, and why.
    pub unseen: Vec<(Instant, DropCause)>,
    /// What Ann heard.
    pub heard: Vec<Level>,
    /// What Ann said.
    pub said: Vec<Level>,
    /// When Ann showed a picture.
    pub shown: Vec<Instant>,
    /// When Ann asked for key frames.
    pub asked: Vec<Instant>,
    /// When packets of the bot's were lost on purpose.
    pub lost: Vec<Instant>,
    /// What the platform counted of the bot's media.
    pub stats: Option<Box<Stats>>,
    /// When the bot's media ended.
    pub ended: Option<Instant>,
    /// Datagrams that came from the bot after that.
    pub late: Vec<Instant>,
    /// How much found no room.
    pub left_out: usize,
}

impl Wire {
    /// Keeps something in one of the lists, if there is room.
    pub fn keep<T>(list: &mut Vec<T>, left_out: &mut usize, item: T) {
        if list.len() < KEPT_MAX {
            list.push(item);
        } else {
            *left_out += 1;
        }
    }

    /// The numbers of the sources that show this.
    #[must_use]
    pub fn sources_of(&self, kind: MediaKind) -> Vec<u32> {
        let mut list: Vec<u32> = Vec::new();
        for source in self.sources.iter().filter(|source| source.kind == kind) {
            if !list.contains(&source.ssrc) {
                list.push(source.ssrc);
            }
        }
        list
    }

    /// The codec of a source, at first.
    #[must_use]
    pub fn codec_of(&self, ssrc: u32) -> Option<Codec> {
        self.sources.iter().find(|source| source.ssrc == ssrc).map(|source| source.codec)
    }

    /// The packets of a source, in the order in which they came.
    pub fn packets_of(&self, ssrc: u32) -> impl Iterator<Item = &Packet> {
        self.packets.iter().filter(move |packet| packet.packet.ssrc == ssrc)
    }
}
