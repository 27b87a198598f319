//! What becomes of the media of a call.

use core::time::Duration;
use std::sync::Arc;

use callrig_media::dtmf::Tone;
use callrig_media::event::EndReason;

use super::lane::Lane;

/// How much of it waits for a bot that does not look: the oldest goes.
pub(super) const STATUS_MAX: usize = 256;

/// How a stream is doing, once a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Bits per second that came in on the line.
    pub received: u64,
    /// Bits per second that went out.
    pub sent: u64,
    /// The share of what was sent that the other side misses, 0 to 1, if it has said so.
    pub lost: Option<f64>,
    /// How long it takes there and back, if that is known.
    pub round_trip: Option<Duration>,
}

/// What has happened. Lines are counted as in the offer: sound is 0, then come the videos,
/// then the screen, then the speakers.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// Media flows from now on.
    Connected,
    /// A source begins to send on a line.
    Began {
        /// Which line.
        line: usize,
        /// The source.
        source: u32,
    },
    /// A source sends no more.
    Stopped {
        /// Which line.
        line: usize,
        /// The source.
        source: u32,
        /// Why.
        reason: EndReason,
    },
    /// Of those in a conference somebody else speaks loudest now.
    Speaker {
        /// The `sourceId` of their sound in rosters.
        source: u32,
    },
    /// Somebody else is seen on a line of a conference now.
    Shown {
        /// Which line.
        line: usize,
        /// The `sourceId` of their video, or screen, in rosters.
        source: u32,
    },
    /// The other side wants a key frame.
    KeyFrameAsked {
        /// Of which line.
        line: usize,
    },
    /// A key was pressed.
    Tone(Tone),
    /// How a line is doing; once a second.
    Quality {
        /// Which line.
        line: usize,
        /// How.
        quality: Quality,
    },
    /// The bot was too slow: what had waited longest is lost.
    Dropped {
        /// On which line.
        line: usize,
        /// How much so far.
        all: u64,
    },
    /// Packets came faster than the call's task could take them.
    Overrun {
        /// How many were lost so far.
        all: u64,
    },
    /// Nothing comes or goes any more.
    Ended {
        /// Why, for people.
        reason: String,
    },
}

/// Says what becomes of the media of a call.
pub struct StatusSocket {
    lane: Arc<Lane<Status>>,
}

impl core::fmt::Debug for StatusSocket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StatusSocket").finish_non_exhaustive()
    }
}

impl StatusSocket {
    pub(super) const fn new(lane: Arc<Lane<Status>>) -> Self {
        Self { lane }
    }

    /// The next thing that happens; `None` once the call is over.
    pub async fn next(&mut self) -> Option<Status> {
        self.lane.pop().await
    }
}
