//! The call: one bot's leg of a conversation.

use super::shape::graph_struct;
use super::{
    CallDirection, CallState, ChatInfo, IdentitySet, InvitationParticipantInfo, MediaConfig,
    MediaState, MeetingInfo, Modality, Number, ParticipantInfo, ResultInfo, RoutingType, Tone,
};

graph_struct! {
    /// Whether media flows.
    CallMediaState("callMediaState") {
        /// Of sound.
        audio: Option<MediaState>,
    }
}

graph_struct! {
    /// How a call came to where it is.
    CallRoute("callRoute") {
        /// Whom it was for.
        original: Option<IdentitySet>,
        /// Where it went.
        #[serde(rename = "final")]
        destination: Option<IdentitySet>,
        /// How.
        routing_type: Option<RoutingType>,
    }
}

graph_struct! {
    /// On whose behalf an incoming call comes.
    IncomingContext("incomingContext") {
        /// Whose leg brought it.
        source_participant_id: Option<String>,
        /// Who is recorded; set for policy recording.
        observed_participant_id: Option<String>,
        /// For whom.
        on_behalf_of: Option<IdentitySet>,
        /// Who transferred it.
        transferor: Option<IdentitySet>,
    }
}

graph_struct! {
    /// A key that the other side pressed.
    ToneInfo("toneInfo") {
        /// Counts up from 1 within a call.
        sequence_id: Option<Number>,
        /// Which key.
        tone: Option<Tone>,
    }
}

graph_struct! {
    /// What an app wants of a call.
    CallOptions("outgoingCallOptions") {
        /// Not shown once the call has grown to a group.
        hide_bot_after_escalation: Option<bool>,
        /// Told when somebody shares content.
        is_content_sharing_notification_enabled: Option<bool>,
        /// Rosters tell only what changed.
        is_delta_roster_enabled: Option<bool>,
        /// Rosters tell of those who only could be asked to join.
        is_interactive_roster_enabled: Option<bool>,
    }
}

graph_struct! {
    /// A call.
    Call("call") {
        /// Its id.
        id: Option<String>,
        /// Where it stands.
        state: Option<CallState>,
        /// Who began it.
        direction: Option<CallDirection>,
        /// Where its notifications go.
        callback_uri: Option<String>,
        /// Shared by the calls of one conversation.
        call_chain_id: Option<String>,
        /// What the app wants.
        call_options: Option<CallOptions>,
        /// How it came here.
        call_routes: Option<Vec<CallRoute>>,
        /// The chat beside it.
        chat_info: Option<ChatInfo>,
        /// On whose behalf it comes.
        incoming_context: Option<IncomingContext>,
        /// Who handles media.
        media_config: Option<MediaConfig>,
        /// Whether media flows.
        media_state: Option<CallMediaState>,
        /// The meeting it joins.
        meeting_info: Option<MeetingInfo>,
        /// The bot's own leg.
        my_participant_id: Option<String>,
        /// Which media are asked for.
        requested_modalities: Option<Vec<Modality>>,
        /// Which media there are.
        active_modalities: Option<Vec<Modality>>,
        /// How it ended.
        result_info: Option<ResultInfo>,
        /// Who calls.
        source: Option<ParticipantInfo>,
        /// Whom.
        targets: Option<Vec<InvitationParticipantInfo>>,
        /// Who took it.
        answered_by: Option<ParticipantInfo>,
        /// What it is about.
        subject: Option<String>,
        /// Whose it is.
        tenant_id: Option<String>,
        /// A key that was pressed.
        tone_info: Option<ToneInfo>,
        /// How long it may ring (beta).
        ringing_timeout_in_seconds: Option<Number>,
        /// Why it ended (2018).
        termination_reason: Option<String>,
    }
}
