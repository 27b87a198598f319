//! What a service says has happened: the vocabulary of traces. Everything that crosses
//! is said by the world; these are the things that only the platform knows.

use core::net::SocketAddr;
use core::time::Duration;

use callrig_media::description::Description;
use callrig_media::event::Event as MediaEvent;
use callrig_media::stats::Stats;

use crate::call::operation::Kind;
use crate::call::result::EndResult;
use crate::call::state::State;
use crate::graph::{OperationStatus, Tone};
use crate::http::RequestId;
use crate::id::{AppId, CallId, LegId, OperationId, UserId};

/// What has happened in a service.
#[derive(Clone, Debug)]
pub enum Event {
    /// A call stands somewhere else; also said of a new call, with its first state.
    CallStateChanged {
        /// Which.
        call: CallId,
        /// Whose bot.
        app: AppId,
        /// Where it stands.
        state: State,
    },
    /// A call is over; nothing follows about it but the delivery of what was said.
    CallEnded {
        /// Which.
        call: CallId,
        /// How.
        result: EndResult,
    },
    /// A person's telephone rings: answer with [`crate::service::Service::answer`].
    UserRung {
        /// The person's leg.
        leg: LegId,
        /// The call that brought it, unless a person asked.
        call: Option<CallId>,
        /// Who.
        user: UserId,
        /// What the platform offers: where to send media, in which codecs.
        offer: Description,
    },
    /// A person's call was answered, or the person has come into a conference: media goes
    /// to this description's address.
    UserAnswered {
        /// The bot's call, of a peer-to-peer call.
        call: Option<CallId>,
        /// The person's leg.
        leg: LegId,
        /// The platform's answer to what the person offered.
        description: Description,
    },
    /// A person waits in a lobby.
    UserWaits {
        /// The person's leg.
        leg: LegId,
    },
    /// A person is no longer in a call, or never came into it.
    LegEnded {
        /// The person's leg.
        leg: LegId,
        /// How.
        result: EndResult,
    },
    /// A voicemail box has hung up, or its caller has.
    VoicemailLeft {
        /// The box's leg.
        leg: LegId,
        /// Whose box.
        user: UserId,
        /// A WAV file, if anything was said.
        message: Option<bytes::Bytes>,
    },
    /// A leg has an address of the platform's: media for it arrives there from now on.
    /// Said before anybody is told of the address.
    AddressTaken {
        /// Whose.
        leg: LegId,
        /// Where.
        address: SocketAddr,
    },
    /// Nothing is expected at the address any more.
    AddressReleased {
        /// Whose it was.
        leg: LegId,
        /// Where.
        address: SocketAddr,
    },
    /// A media session of the platform says something.
    Media {
        /// Whose leg.
        leg: LegId,
        /// The bot's call that the leg belongs to or talks to, if there is one: people
        /// may be left to themselves.
        call: Option<CallId>,
        /// What.
        event: MediaEvent,
    },
    /// A media session of the platform has ended.
    MediaEnded {
        /// Whose leg.
        leg: LegId,
        /// The bot's call that the leg belongs to or talks to, if there is one: people
        /// may be left to themselves.
        call: Option<CallId>,
        /// What it counted.
        stats: Box<Stats>,
    },
    /// A packet of one leg cannot be relayed to the other: it does not take the codec.
    RelayDropped {
        /// Whose packet.
        leg: LegId,
        /// Its payload type.
        payload_type: u8,
        /// Why.
        reason: RelayDropReason,
    },
    /// A key was pressed, on a call that is told of its tones or not.
    ToneHeard {
        /// Whose leg.
        leg: LegId,
        /// The bot's call.
        call: CallId,
        /// Which key.
        tone: Tone,
    },
    /// An action began an operation.
    OperationStarted {
        /// On which call.
        call: CallId,
        /// Which.
        operation: OperationId,
        /// Of what kind.
        kind: Kind,
    },
    /// An operation has ended; said once of every operation.
    OperationEnded {
        /// On which call.
        call: CallId,
        /// Which.
        operation: OperationId,
        /// Of what kind.
        kind: Kind,
        /// Completed or failed.
        status: OperationStatus,
        /// How.
        result: EndResult,
    },
    /// A notification is on its way (again).
    NotificationSent {
        /// About which call.
        call: CallId,
        /// The number of the request.
        request: RequestId,
        /// Which notification of this call, counted from 1.
        sequence: u64,
        /// Which attempt, counted from 1.
        attempt: u32,
    },
    /// A notification was taken.
    NotificationDelivered {
        /// About which call.
        call: CallId,
        /// Which notification of this call, counted from 1.
        sequence: u64,
        /// How many attempts it took.
        attempts: u32,
        /// From its making to its being taken.
        took: Duration,
    },
    /// A notification was given up.
    NotificationGivenUp {
        /// About which call.
        call: CallId,
        /// Which notification of this call, counted from 1.
        sequence: u64,
        /// How many attempts were made.
        attempts: u32,
        /// Why.
        reason: String,
    },
    /// A request was answered.
    RequestServed {
        /// Its number.
        request: RequestId,
        /// What it asked for: the name of the route.
        route: &'static str,
        /// With which status.
        status: u16,
    },
    /// Something that goes nowhere.
    Dropped {
        /// Why.
        reason: DropReason,
    },
}

/// Why a packet is not relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RelayDropReason {
    /// The other side has no payload type for its codec.
    NotNegotiated,
    /// The other side's session refused it.
    Refused,
}

/// Why something goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// A datagram for an address at which no leg is.
    NoSuchLeg,
    /// A response to a request that nobody waits for: too late, or never sent.
    UnexpectedResponse,
    /// A prompt's file is larger than the cache.
    PromptCacheFull,
}
