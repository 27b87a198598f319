//! Operations: what an action on a call started, and how it ended.

use super::shape::graph_struct;
use super::{Code, InvitationParticipantInfo, OperationStatus};

graph_struct! {
    /// How something ended: 2xx well, 4xx by a fault of the caller, 5xx of the service.
    ResultInfo("resultInfo") {
        /// The class.
        code: Option<Code>,
        /// The case.
        #[serde(alias = "subCode")]
        subcode: Option<Code>,
        /// In words.
        message: Option<String>,
    }
}

graph_struct! {
    /// An operation. Its kind is the name in `@odata.type`; the properties that only some
    /// kinds have are here too.
    Operation("commsOperation") {
        /// Its id.
        id: Option<String>,
        /// What the app gave to know it by.
        client_context: Option<String>,
        /// How it ended.
        result_info: Option<ResultInfo>,
        /// Where it stands.
        status: Option<OperationStatus>,
        /// Of an invitation: who.
        participants: Option<Vec<InvitationParticipantInfo>>,
        /// Of a recording: where it can be had.
        recording_location: Option<String>,
        /// Of a recording: with which token.
        recording_access_token: Option<String>,
        /// Of a recording, a prompt (beta) or the sending of tones: why it ended.
        completion_reason: Option<String>,
    }
}
