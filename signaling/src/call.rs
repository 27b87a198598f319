//! A call as the platform holds it: one bot's leg of a conversation, with its state
//! machine ([`state`]), its operations ([`operation`]) and how it ended ([`result`]).

use callrig_media::description::Description;
use serde_json::{Map, Value};

use crate::graph;
use crate::id::{AppId, CallId, ConversationId, LegId, RecordingId, TenantId};

pub mod operation;
pub mod queue;
pub mod result;
pub mod state;
pub mod timer;

use operation::Operations;
use queue::MediaQueue;
use state::{State, Trigger};

/// Who handles a call's media.
#[derive(Clone, Debug, PartialEq)]
pub enum Hosting {
    /// Nobody yet: the call is not answered.
    Undecided,
    /// The platform plays, listens and records.
    Service,
    /// The app does, on its own media session.
    App {
        /// What the app described in its blob.
        offer: Box<Description>,
        /// What the platform answered, once it could.
        answer: Option<Box<Description>>,
    },
}

/// Which way media is asked for and a bot hears of its tones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tones {
    /// Whether the bot asked to be told.
    pub(crate) subscribed: bool,
    /// How many it was told of.
    pub(crate) told: i64,
}

/// One bot's leg of a conversation.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) app: AppId,
    pub(crate) tenant: TenantId,
    pub(crate) conversation: ConversationId,
    pub(crate) leg: LegId,
    pub(crate) direction: graph::CallDirection,
    state: State,
    /// Counts the changes; the number in `@odata.etag`.
    pub(crate) version: u64,
    pub(crate) callback_uri: String,
    pub(crate) hosting: Hosting,
    pub(crate) modalities: Vec<graph::Modality>,
    pub(crate) subject: Option<String>,
    /// The chat beside it.
    pub(crate) chat: Option<Box<graph::ChatInfo>>,
    /// On whose behalf it comes.
    pub(crate) incoming: Option<Box<graph::IncomingContext>>,
    /// The meeting that it joins, as the app named it or may name it.
    pub(crate) meeting: Option<Box<graph::MeetingInfo>>,
    pub(crate) source: graph::ParticipantInfo,
    pub(crate) targets: Vec<graph::InvitationParticipantInfo>,
    pub(crate) routes: Vec<graph::CallRoute>,
    pub(crate) options: graph::CallOptions,
    pub(crate) pre_fetch: Vec<graph::MediaInfo>,
    /// Properties that the app sent and that we keep for it.
    pub(crate) extra: Map<String, Value>,
    pub(crate) media_active: bool,
    pub(crate) tones: Tones,
    pub(crate) operations: Operations,
    pub(crate) queue: MediaQueue,
    /// What it has recorded and its bot can fetch, oldest first.
    pub(crate) recordings: Vec<RecordingId>,
    pub(crate) result: Option<result::EndResult>,
}

/// What a new call needs to be told.
#[derive(Debug)]
pub(crate) struct NewCall {
    pub(crate) id: CallId,
    pub(crate) app: AppId,
    pub(crate) tenant: TenantId,
    pub(crate) conversation: ConversationId,
    pub(crate) leg: LegId,
    pub(crate) direction: graph::CallDirection,
    pub(crate) callback_uri: String,
    pub(crate) modalities: Vec<graph::Modality>,
    pub(crate) source: graph::ParticipantInfo,
    pub(crate) targets: Vec<graph::InvitationParticipantInfo>,
}

impl Call {
    /// An incoming call rings, an outgoing one is being set up.
    pub(crate) fn new(new: NewCall) -> Self {
        let state = match new.direction {
            graph::CallDirection::Outgoing => State::Establishing,
            _ => State::Incoming,
        };
        Self {
            id: new.id,
            app: new.app,
            tenant: new.tenant,
            conversation: new.conversation,
            leg: new.leg,
            direction: new.direction,
            state,
            version: 1,
            callback_uri: new.callback_uri,
            hosting: Hosting::Undecided,
            modalities: new.modalities,
            subject: None,
            chat: None,
            meeting: None,
            incoming: None,
            source: new.source,
            targets: new.targets,
            routes: Vec::new(),
            options: graph::CallOptions::default(),
            pre_fetch: Vec::new(),
            extra: Map::new(),
            media_active: false,
            tones: Tones::default(),
            operations: Operations::default(),
            queue: MediaQueue::default(),
            recordings: Vec::new(),
            result: None,
        }
    }

    /// Where it stands.
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// Takes an edge of the table; `false`, and nothing changes, where there is none.
    #[must_use]
    pub(crate) fn take(&mut self, trigger: Trigger) -> bool {
        match self.state.next(trigger) {
            Some(next) => {
                self.state = next;
                self.version += 1;
                true
            }
            None => false,
        }
    }
}
