//! Conversations: the legs that hear one another. A peer-to-peer call is a conversation
//! of two, a group call or a meeting is a [`Conference`] of any number. What the API
//! shows as participants is made from the legs and from nothing else, so that a
//! peer-to-peer conversation grows into a conference without anything being carried over.

use std::collections::BTreeMap;

use callrig_media::description::Description;
use serde::{Deserialize, Serialize};

use super::fork::Fork;
use super::roster::Roster;
use crate::attach::Level;
use crate::call::result::EndResult;
use crate::graph;
use crate::id::{CallId, ConversationId, LegId, OperationId, TenantId, UserId};

mod entry;
mod escalation;
mod features;
mod group;
mod hold;
mod invite;
mod join;
mod leaving;
mod lobby;
mod participants;
mod people;
mod recording;
mod routing;
mod sharing;

pub use people::{Arrival, Destination};

/// Who a leg belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Party {
    /// A person of the directory.
    User(UserId),
    /// A bot, by its call.
    Bot(CallId),
    /// The platform itself: the large gallery view.
    Gallery,
    /// A person's voicemail box.
    Voicemail(UserId),
}

/// Where a leg stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// It is being called.
    Ringing,
    /// It called, and waits for an answer.
    Calling,
    /// It waits to be let in.
    Lobby,
    /// It is in.
    Joined,
}

impl Standing {
    /// Whether rosters show it.
    pub(crate) const fn is_present(self) -> bool {
        matches!(self, Self::Lobby | Self::Joined)
    }
}

/// What others see of a leg beside who it is. Only conferences make use of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// Counts the legs of the conversation in the order in which they came; its streams
    /// are numbered after it.
    pub(crate) number: u64,
    /// Silenced by the service.
    pub(crate) server_muted: bool,
    /// Silenced by itself.
    pub(crate) self_muted: bool,
    pub(crate) hand_raised: bool,
    /// No roster shows it.
    pub(crate) hidden: bool,
    /// Not in the default audio routing group.
    pub(crate) apart: bool,
    /// What its recorder says.
    pub(crate) recording: Option<Box<graph::RecordingInfo>>,
    /// A text that its app attached.
    pub(crate) metadata: Option<String>,
    /// It shows its screen: the id of the content sharing session.
    pub(crate) sharing: Option<String>,
    /// Which invitation brought it, until it is settled.
    pub(crate) invited_by: Option<OperationId>,
    /// Why it is over before it has rung, if it is.
    pub(crate) refused: Option<EndResult>,
    /// Of a bot: whether it was told of the roster before.
    pub(crate) roster_told: bool,
}

impl Place {
    /// Whether the others do not hear it.
    pub(crate) const fn is_muted(&self) -> bool {
        self.server_muted || self.self_muted
    }
}

/// One leg.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) party: Party,
    pub(crate) standing: Standing,
    pub(crate) info: graph::ParticipantInfo,
    /// What the person or the app described (offered, or answered).
    pub(crate) description: Option<Description>,
    pub(crate) place: Place,
}

impl Leg {
    /// One that has not described its media yet.
    pub(crate) fn new(party: Party, standing: Standing, info: graph::ParticipantInfo) -> Self {
        Self { party, standing, info, description: None, place: Place::default() }
    }

    /// The same with what it described.
    pub(crate) fn describing(mut self, description: Description) -> Self {
        self.description = Some(description);
        self
    }

    /// Whether it is a person's, or a person's box.
    pub(crate) const fn is_person(&self) -> bool {
        matches!(self.party, Party::User(_) | Party::Voicemail(_))
    }

    /// Of a bot: its call.
    pub(crate) const fn call(&self) -> Option<CallId> {
        match self.party {
            Party::Bot(call) => Some(call),
            Party::User(_) | Party::Voicemail(_) | Party::Gallery => None,
        }
    }
}

/// What only a conversation of more than two has.
#[derive(Debug, Default)]
pub(crate) struct Conference {
    /// The chat beside it.
    pub(crate) chat: Option<graph::ChatInfo>,
    /// The thread of that chat, by which others find it.
    pub(crate) thread: Option<String>,
    /// What lets who was asked in join a second time.
    pub(crate) token: String,
    /// Its bots wait for people to come: a meeting, until it has waited for too long.
    pub(crate) patient: bool,
    /// Whether a person has been in it.
    pub(crate) peopled: bool,
    /// Its bots are not told of the roster: it grew from a peer-to-peer call.
    pub(crate) quiet: bool,
    /// It is being closed; legs that leave meanwhile change nothing more.
    closing: bool,
    pub(crate) roster: Roster,
    pub(crate) hold: Option<hold::Hold>,
    /// Whether it is recorded.
    pub(crate) recorded: bool,
    /// Whether it is written down, and since when.
    pub(crate) transcribed: Option<(bool, String)>,
    pub(crate) recorders: BTreeMap<CallId, recording::Recorder>,
    pub(crate) groups: BTreeMap<(CallId, String), graph::AudioRoutingGroup>,
    pub(crate) levels: BTreeMap<LegId, Level>,
    pub(crate) invitations: BTreeMap<OperationId, entry::Invitation>,
}

/// How conferences are found that somebody is in.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) by_thread: BTreeMap<String, ConversationId>,
    pub(crate) by_token: BTreeMap<String, ConversationId>,
}

/// The legs that hear one another.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) tenant: TenantId,
    pub(crate) legs: BTreeMap<LegId, Leg>,
    /// What it has beyond a peer-to-peer call.
    pub(crate) conference: Option<Box<Conference>>,
    /// Who is rung for somebody in it.
    pub(crate) fork: Option<Box<Fork>>,
    /// What ties its calls together for its apps, if not its own id.
    pub(crate) chain: Option<ConversationId>,
    /// How many legs it has had.
    counted: u64,
}

impl Conversation {
    /// One of two, without its legs.
    pub(crate) const fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            legs: BTreeMap::new(),
            conference: None,
            fork: None,
            chain: None,
            counted: 0,
        }
    }

    /// One of any number, without its legs.
    pub(crate) fn conference(tenant: TenantId, conference: Conference) -> Self {
        Self { conference: Some(Box::new(conference)), ..Self::new(tenant) }
    }

    /// Takes a leg in, behind all that came before.
    pub(crate) fn insert(&mut self, id: LegId, mut leg: Leg) {
        leg.place.number = self.counted;
        self.counted += 1;
        self.legs.insert(id, leg);
    }

    /// The calls of its bots.
    pub(crate) fn calls(&self) -> Vec<CallId> {
        self.legs.values().filter_map(Leg::call).collect()
    }

    /// The legs of its people.
    pub(crate) fn people(&self) -> Vec<LegId> {
        self.legs.iter().filter(|(_, leg)| leg.is_person()).map(|(id, _)| *id).collect()
    }

    /// The legs that a bot is shown that asks: of a conference those that its rosters have,
    /// else both sides, wherever they stand.
    pub(crate) fn shown(&self) -> Vec<(LegId, &Leg)> {
        match self.conference {
            Some(_) => self.present(),
            None => self.legs.iter().map(|(id, leg)| (*id, leg)).collect(),
        }
    }

    /// One of them.
    pub(crate) fn shown_leg(&self, id: LegId) -> Option<&Leg> {
        let is_shown = |leg: &&Leg| {
            self.conference.is_none() || leg.standing.is_present() && !leg.place.hidden
        };
        self.legs.get(&id).filter(is_shown)
    }

    /// The legs that rosters show, in the order in which they came.
    pub(crate) fn present(&self) -> Vec<(LegId, &Leg)> {
        let mut present: Vec<(LegId, &Leg)> = self
            .legs
            .iter()
            .filter(|(_, leg)| leg.standing.is_present() && !leg.place.hidden)
            .map(|(id, leg)| (*id, leg))
            .collect();
        present.sort_unstable_by_key(|(_, leg)| leg.place.number);
        present
    }
}
