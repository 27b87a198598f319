//! Participants of a call and their streams: what rosters are made of.

use super::shape::graph_struct;
use super::{
    IdentitySet, MediaDirection, Modality, Number, ParticipantInfo, RecordingStatus, RoutingMode,
};

graph_struct! {
    /// One stream of a participant.
    MediaStream("mediaStream") {
        /// What it shows.
        media_type: Option<Modality>,
        /// Its name: main-audio, main-video, applicationsharing-video, data.
        label: Option<String>,
        /// Its media source id, a decimal number.
        source_id: Option<String>,
        /// Which way it flows.
        direction: Option<MediaDirection>,
        /// Silenced by the service.
        server_muted: Option<bool>,
    }
}

graph_struct! {
    /// What a recorder says of a participant's recording.
    RecordingInfo("recordingInfo") {
        /// Who records.
        initiator: Option<IdentitySet>,
        /// Whether.
        recording_status: Option<RecordingStatus>,
    }
}

graph_struct! {
    /// Why a participant is gone (delta rosters).
    RemovedState("removedState") {
        /// The reason.
        reason: Option<String>,
    }
}

graph_struct! {
    /// One participant.
    Participant("participant") {
        /// Its leg.
        id: Option<String>,
        /// Who and where.
        info: Option<ParticipantInfo>,
        /// Waiting to be let in.
        is_in_lobby: Option<bool>,
        /// Silenced, by itself or the service.
        is_muted: Option<bool>,
        /// Its streams.
        media_streams: Option<Vec<MediaStream>>,
        /// A free text that an app attached.
        metadata: Option<String>,
        /// Its recording.
        recording_info: Option<RecordingInfo>,
        /// Why it is gone (delta rosters).
        removed_state: Option<RemovedState>,
        /// Which roster told of it (delta rosters).
        roster_sequence_number: Option<Number>,
    }
}

graph_struct! {
    /// The participants that changed since the roster before.
    DeltaParticipants("deltaParticipants") {
        /// Its id.
        id: Option<String>,
        /// Number of this roster.
        sequence_number: Option<Number>,
        /// Who changed.
        participants: Option<Vec<Participant>>,
    }
}

graph_struct! {
    /// Who hears whom.
    AudioRoutingGroup("audioRoutingGroup") {
        /// Its id.
        id: Option<String>,
        /// How.
        routing_mode: Option<RoutingMode>,
        /// Who is heard.
        sources: Option<Vec<String>>,
        /// Who hears.
        receivers: Option<Vec<String>>,
    }
}
