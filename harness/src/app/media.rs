//! Media that a bot handles itself, as sockets with types: [`SoundSocket`] gives and takes
//! 16 kHz sound in frames of 20 ms, as the real platform's library does; [`VideoSocket`]s give
//! and take H.264 access units or raw pictures, of whoever speaks or of whom they are
//! [asked for](VideoSocket::subscribe); [`SpeakerSocket`]s give up to four speakers of a
//! conference, each apart; [`StatusSocket`] says what becomes of the call's media, and who speaks.
//! People are known by the `sourceId`s of rosters. Below is [`Session`](callrig_media::session::Session) for codecs, jitter, loss and
//! reports, and below that the `webrtc` crate for ICE, DTLS and SRTP, or plain RTP in a simulated
//! world: a bot's source is the same in both. Every queue has a maximum; what is dropped is
//! counted, and said.

mod connection;
mod desk;
mod lane;
mod sound;
mod status;
mod video;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU16, Ordering};
use std::sync::Arc;

use callrig_media::description::{Description, Direction, MediaDescription};
use callrig_signaling::bot::AnswerMedia;
use thiserror::Error;
use tokio::sync::mpsc;

pub use sound::{Encoded, SAMPLE_RATE, SoundSocket, SpeakerSocket, Spoken};
pub use status::{Quality, Status, StatusSocket};
pub use video::{Resolution, VideoSocket};

pub(crate) use desk::Desk;

/// How many videos a bot may have, beside a shared screen: as the real platform has it.
pub const VIDEOS_MAX: usize = 10;
/// How many speakers are heard apart from each other: as the real platform has it.
pub const SPEAKERS_MAX: usize = 4;

/// Where bots of simulated worlds receive media: each call at a port of its own.
pub(crate) const SIMULATED: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 2, 1));
/// The first of those ports.
pub(crate) const SIMULATED_PORT: u16 = 6_000;
/// How many there are; the one after the last is the first again.
pub(crate) const SIMULATED_PORTS: u16 = 32;

/// What is said to a connection.
pub(crate) enum Control {
    /// The platform's answer, as SDP.
    Answer(String),
    /// The call is over.
    Close,
}

/// Which lines the media of a call has beside its sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// How many videos, at most [`VIDEOS_MAX`].
    pub videos: usize,
    /// Whether there is a shared screen.
    pub screen: bool,
    /// How many speakers of a conference are heard apart from each other, beside the mix of all:
    /// at most [`SPEAKERS_MAX`].
    pub speakers: usize,
}

impl Lines {
    /// Sound alone.
    pub const SOUND: Self = Self { videos: 0, screen: false, speakers: 0 };
    /// Sound and one video.
    pub const VIDEO: Self = Self { videos: 1, screen: false, speakers: 0 };

    /// The line of the first speaker.
    const fn first_speaker(self) -> usize {
        1 + self.videos + self.screen as usize
    }

    fn describe(self) -> Vec<MediaDescription> {
        let mut media = vec![MediaDescription::audio("0")];
        let videos = (1..=self.videos).map(|index| MediaDescription::video(index.to_string()));
        media.extend(videos);
        if self.screen {
            media.push(MediaDescription::screen_sharing(media.len().to_string()));
        }
        media.extend((0..self.speakers).map(|speaker| MediaDescription {
            direction: Direction::ReceiveOnly,
            ..MediaDescription::audio((self.first_speaker() + speaker).to_string())
        }));
        media
    }
}

/// Why a call's media cannot be had.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MediaError {
    /// More videos than a call has.
    #[error("{0} videos; a call has at most {VIDEOS_MAX}")]
    TooManyVideos(usize),
    /// More speakers than are heard apart.
    #[error("{0} speakers apart; a call has at most {SPEAKERS_MAX}")]
    TooManySpeakers(usize),
    /// The `webrtc` crate refuses.
    #[error("WebRTC: {0}")]
    WebRtc(String),
    /// The media of the call has ended.
    #[error("the media of the call has ended")]
    Ended,
    /// A picture that cannot be encoded.
    #[error("the picture cannot be encoded: {0}")]
    Picture(String),
}

/// The sockets of a call. They are apart from each other, so that each can go to a task of
/// its own.
#[derive(Debug)]
pub struct Media {
    /// Its sound.
    pub sound: SoundSocket,
    /// Its videos, in the order of the lines.
    pub videos: Vec<VideoSocket>,
    /// Its shared screen.
    pub screen: Option<VideoSocket>,
    /// Speakers of a conference, each apart.
    pub speakers: Vec<SpeakerSocket>,
    /// What becomes of them.
    pub status: StatusSocket,
}

/// Who keeps the media of a call going.
pub(crate) enum Backing {
    /// The bot's task, which holds the session, at an address of its own.
    Here(Box<Desk>, SocketAddr),
    /// A task of its own, which holds the connection.
    Elsewhere(mpsc::Sender<Control>),
}

/// Media that is open, and the bot's offer of it.
pub(super) struct Opened {
    pub(super) offer: AnswerMedia,
    pub(super) backing: Backing,
    pub(super) media: Media,
}

/// Where the media of a bot is received.
#[derive(Clone, Debug)]
pub(super) enum Host {
    /// On this machine.
    Real(IpAddr),
    /// In a simulated world.
    Simulated(Arc<AtomicU16>),
}

impl Host {
    pub(super) fn simulated() -> Self {
        Self::Simulated(Arc::new(AtomicU16::new(0)))
    }

    /// Opens the sockets of a call.
    pub(super) async fn open(&self, lines: Lines) -> Result<Opened, MediaError> {
        if lines.videos > VIDEOS_MAX {
            return Err(MediaError::TooManyVideos(lines.videos));
        }
        if lines.speakers > SPEAKERS_MAX {
            return Err(MediaError::TooManySpeakers(lines.speakers));
        }
        match self {
            Self::Real(address) => connection::open(*address, lines).await,
            Self::Simulated(next) => {
                let port = SIMULATED_PORT + next.fetch_add(1, Ordering::Relaxed) % SIMULATED_PORTS;
                let address = SocketAddr::from((SIMULATED, port));
                let (desk, media) = desk::lay(lines);
                let offer = AnswerMedia::AppHosted(Description::new(address, lines.describe()));
                Ok(Opened { offer, backing: Backing::Here(Box::new(desk), address), media })
            }
        }
    }
}
