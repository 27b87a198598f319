//! Where a recording is played: which bot the person calls, and how far the media is
//! taken apart there. [`Stage`] is a plain value, so that cases which want the same one
//! share a performance.

use serde::Serialize;

use crate::actor::ActorId;

/// A stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// The person calls a bot with application-hosted media that listens: it decodes all
    /// it gets and says every packet.
    Listen,
    /// As [`Listen`](Self::Listen), but nothing is decoded: the cost of the path alone.
    Relay,
    /// The person calls a bot with service-hosted media that plays prompts and waits for
    /// tones.
    Menu,
    /// The person calls a bot with application-hosted media that sends back all it gets.
    Echo,
}

impl Stage {
    /// What reports and file names call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Relay => "relay",
            Self::Menu => "menu",
            Self::Echo => "echo",
        }
    }
}

/// Who is who in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// The person with the phone that plays the recording.
    pub user: ActorId,
    /// The calling platform.
    pub platform: ActorId,
    /// The bot.
    pub bot: ActorId,
}
