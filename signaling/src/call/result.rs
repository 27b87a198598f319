//! How calls and operations end: the code and subcode pairs that the documentation and
//! raw notifications show. The pairs from 90000 on are ours, for ends that no document
//! speaks of; their messages say what to look at.

use serde::{Deserialize, Serialize};

use crate::graph::{Code, ResultInfo};

/// How something ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndResult {
    /// 2xx well, 4xx by a fault of the caller, 5xx of the service.
    pub code: u16,
    /// The case.
    pub subcode: u32,
    /// In words.
    pub message: String,
}

impl EndResult {
    /// From its parts.
    #[must_use]
    pub fn new(code: u16, subcode: u32, message: impl Into<String>) -> Self {
        Self { code, subcode, message: message.into() }
    }

    /// As the API writes it.
    #[must_use]
    pub fn to_graph(&self) -> ResultInfo {
        ResultInfo {
            code: Some(Code::Number(i64::from(self.code))),
            subcode: Some(Code::Number(i64::from(self.subcode))),
            message: Some(self.message.clone()),
            ..ResultInfo::typed()
        }
    }

    /// The other party of a peer-to-peer call hung up.
    #[must_use]
    pub fn ended_by_other_party() -> Self {
        Self::new(200, 4521, "The call was ended by the other party.")
    }

    /// The bot hung up.
    #[must_use]
    pub fn ended_by_bot() -> Self {
        Self::new(200, 7000, "The call was ended by the bot.")
    }

    /// The conversation is over.
    #[must_use]
    pub fn conversation_ended() -> Self {
        Self::new(200, 5001, "The conversation has ended.")
    }

    /// Nobody else is there any more.
    #[must_use]
    pub fn nobody_left() -> Self {
        Self::new(200, 5002, "All other participants have left.")
    }

    /// Somebody removed the bot.
    #[must_use]
    pub fn removed() -> Self {
        Self::new(200, 5300, "Removed from the call by another participant.")
    }

    /// Waited in the lobby for too long.
    #[must_use]
    pub fn lobby_timeout() -> Self {
        Self::new(200, 5855, "Removed from the lobby after waiting for too long.")
    }

    /// The caller hung up before the bot answered.
    #[must_use]
    pub fn caller_gave_up() -> Self {
        Self::new(200, 4097, "The caller hung up before the call was answered.")
    }

    /// The bot did not answer in its window.
    #[must_use]
    pub fn not_answered_in_time(seconds: u64) -> Self {
        Self::new(408, 10057, format!("The bot did not answer within {seconds} seconds."))
    }

    /// The person did not answer.
    #[must_use]
    pub fn user_did_not_answer() -> Self {
        Self::new(480, 10037, "Nobody answered at the called user's endpoints.")
    }

    /// The person declined.
    #[must_use]
    pub fn user_declined() -> Self {
        Self::new(486, 10003, "The called user declined the call.")
    }

    /// The bot rejected the call.
    #[must_use]
    pub fn rejected(reason: &str) -> Self {
        let (code, subcode) = match reason {
            "busy" => (486, 10003),
            _ => (403, 10004),
        };
        Self::new(code, subcode, format!("The bot rejected the call ({reason})."))
    }

    /// No keepAlive came.
    #[must_use]
    pub fn keep_alive_timeout() -> Self {
        Self::new(408, 8537, "No keepAlive came in time.")
    }

    /// The transfer is complete.
    #[must_use]
    pub fn transfer_completed() -> Self {
        Self::new(0, 7015, "GracefulTransferCompleted")
    }

    /// The media sessions could not be set up.
    #[must_use]
    pub fn media_unreachable(detail: &str) -> Self {
        Self::new(500, 1005, format!("The media session could not be set up: {detail}"))
    }

    /// Ours: a notification could not be delivered.
    #[must_use]
    pub fn callback_undeliverable(detail: &str) -> Self {
        Self::new(
            500,
            90001,
            format!("A notification could not be delivered to the callback URI: {detail}"),
        )
    }

    /// Ours: more notifications wait than the platform keeps.
    #[must_use]
    pub fn callback_backlog(waiting: usize) -> Self {
        Self::new(500, 90002, format!("{waiting} notifications wait for the callback URI."))
    }

    /// Ours: the platform shuts down.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self::new(503, 90003, "The platform is shutting down.")
    }

    /// An operation did what it was to do.
    #[must_use]
    pub fn action_completed() -> Self {
        Self::new(200, 0, "Action completed successfully.")
    }

    /// An operation was cancelled.
    #[must_use]
    pub fn action_cancelled() -> Self {
        Self::new(400, 8508, "Action failed, the operation was cancelled.")
    }

    /// Nobody began to speak.
    #[must_use]
    pub fn initial_silence() -> Self {
        Self::new(400, 8510, "Action failed, initial silence timeout reached.")
    }

    /// The prompt of a recording could not be played.
    #[must_use]
    pub fn prompt_failed(detail: &str) -> Self {
        Self::new(400, 8511, format!("Action failed, the prompt could not be played: {detail}"))
    }

    /// Nobody spoke on.
    #[must_use]
    pub fn max_silence() -> Self {
        Self::new(200, 8513, "Action completed, max silence timeout reached.")
    }

    /// A stop tone was pressed.
    #[must_use]
    pub fn stop_tone() -> Self {
        Self::new(200, 8514, "Action completed, stop tone detected.")
    }

    /// As long as it may be.
    #[must_use]
    pub fn max_record_duration() -> Self {
        Self::new(200, 8515, "Action completed, max record duration reached.")
    }

    /// A prompt's file is not what it must be.
    #[must_use]
    pub fn invalid_prompt_file(detail: &str) -> Self {
        Self::new(400, 8535, format!("Action failed, the media file is not usable: {detail}"))
    }

    /// A prompt's file cannot be had.
    #[must_use]
    pub fn prompt_not_downloaded(detail: &str) -> Self {
        Self::new(400, 8536, format!("Action failed, the media file was not downloaded: {detail}"))
    }
}

impl core::fmt::Display for EndResult {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{} {}", self.code, self.subcode, self.message)
    }
}
