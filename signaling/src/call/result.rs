//! How calls and operations end. The pairs of code and subcode stand in one table,
//! [`codes`], with where each is known from and what to do about it; here are the words
//! that go into the message.

use serde::{Deserialize, Serialize};

use crate::graph::{Code, ResultInfo};

pub mod codes;

use codes::Pair;

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

    /// A row of the table, with its message.
    fn of(Pair(code, subcode): Pair, message: impl Into<String>) -> Self {
        Self { code, subcode, message: message.into() }
    }

    /// What the table says of it.
    #[must_use]
    pub fn explained(&self) -> Option<&'static codes::ResultCode> {
        let subcode = self.subcode.to_string();
        [codes::Subject::Call, codes::Subject::Operation]
            .into_iter()
            .find_map(|subject| codes::find(subject, self.code, &subcode))
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
        Self::of(codes::ENDED_BY_OTHER_PARTY, "The call was ended by the other party.")
    }

    /// The bot hung up.
    #[must_use]
    pub fn ended_by_bot() -> Self {
        Self::of(codes::ENDED_BY_BOT, "The call was ended by the bot.")
    }

    /// The conversation is over.
    #[must_use]
    pub fn conversation_ended() -> Self {
        Self::of(codes::CONVERSATION_ENDED, "The conversation has ended.")
    }

    /// Nobody else is there any more.
    #[must_use]
    pub fn nobody_left() -> Self {
        Self::of(codes::NOBODY_LEFT, "All other participants have left.")
    }

    /// Nobody came.
    #[must_use]
    pub fn nobody_joined() -> Self {
        Self::of(codes::NOBODY_JOINED, "Nobody joined the call.")
    }

    /// Ours: the call has become a conference, which the app may not be in.
    #[must_use]
    pub fn may_not_join() -> Self {
        let message = "The call has become a group call, and the app has no permission to join \
                       one: Calls.JoinGroupCall.All or Calls.JoinGroupCallAsGuest.All is needed.";
        Self::of(codes::MAY_NOT_JOIN, message)
    }

    /// The person of a peer-to-peer call was brought over into another call.
    #[must_use]
    pub fn replaced() -> Self {
        let message = "The other party has left for the call that replaces this one.";
        Self::of(codes::REPLACED, message)
    }

    /// Whoever was asked in cannot be reached.
    #[must_use]
    pub fn invitee_unreachable(detail: &str) -> Self {
        let message = format!("The invited party cannot be reached: {detail}.");
        Self::of(codes::UNREACHABLE, message)
    }

    /// Somebody removed the bot.
    #[must_use]
    pub fn removed() -> Self {
        Self::of(codes::REMOVED, "Removed from the call by another participant.")
    }

    /// Waited in the lobby for too long.
    #[must_use]
    pub fn lobby_timeout() -> Self {
        Self::of(codes::LOBBY_TIMEOUT, "Removed from the lobby after waiting for too long.")
    }

    /// The caller hung up before the bot answered.
    #[must_use]
    pub fn caller_gave_up() -> Self {
        Self::of(codes::CALLER_GAVE_UP, "The caller hung up before the call was answered.")
    }

    /// The bot did not answer in its window.
    #[must_use]
    pub fn not_answered_in_time(seconds: u64) -> Self {
        Self::of(
            codes::NOT_ANSWERED_IN_TIME,
            format!("The bot did not answer within {seconds} seconds."),
        )
    }

    /// The person has no endpoint.
    #[must_use]
    pub fn no_endpoints() -> Self {
        Self::of(codes::NO_ENDPOINTS, "The called user has no endpoint.")
    }

    /// The person's endpoint is silent.
    #[must_use]
    pub fn unreachable() -> Self {
        Self::of(codes::UNREACHABLE, "The called user's endpoint cannot be reached.")
    }

    /// The person is in another call.
    #[must_use]
    pub fn busy() -> Self {
        Self::of(codes::BUSY, "The called user is in another call.")
    }

    /// The person does not want to be disturbed.
    #[must_use]
    pub fn do_not_disturb() -> Self {
        Self::of(codes::DO_NOT_DISTURB, "The called user does not want to be disturbed.")
    }

    /// The person did not answer.
    #[must_use]
    pub fn user_did_not_answer() -> Self {
        Self::of(codes::NOT_ACCEPTED_IN_TIME, "Nobody answered at the called user's endpoints.")
    }

    /// The person declined.
    #[must_use]
    pub fn user_declined() -> Self {
        Self::of(codes::DECLINED, "The called user declined the call.")
    }

    /// Somebody else was faster.
    #[must_use]
    pub fn accepted_elsewhere() -> Self {
        Self::of(codes::ACCEPTED_ELSEWHERE, "The call was accepted elsewhere.")
    }

    /// The bot rejected the call.
    #[must_use]
    pub fn rejected(reason: &str) -> Self {
        let pair = match reason {
            "busy" => codes::BUSY,
            "forbidden" => codes::FORBIDDEN,
            _ => codes::DECLINED,
        };
        Self::of(pair, format!("The bot rejected the call ({reason})."))
    }

    /// Nobody took a redirected call.
    #[must_use]
    pub fn no_target_answered(detail: &str) -> Self {
        Self::of(codes::NO_TARGET_ANSWERED, format!("No target took the call: {detail}"))
    }

    /// The bot sent the call elsewhere.
    #[must_use]
    pub fn redirected() -> Self {
        Self::of(codes::REDIRECTED, "The call was redirected.")
    }

    /// No keepAlive came.
    #[must_use]
    pub fn keep_alive_timeout() -> Self {
        Self::of(codes::KEEP_ALIVE_TIMEOUT, "No keepAlive came in time.")
    }

    /// The transfer is complete.
    #[must_use]
    pub fn transfer_completed() -> Self {
        Self::of(codes::TRANSFER_COMPLETED, "GracefulTransferCompleted")
    }

    /// The transfer with a call that it replaces is complete.
    #[must_use]
    pub fn consulted() -> Self {
        Self::of(codes::CONSULTED, "The call was transferred.")
    }

    /// The transfer came to nothing.
    #[must_use]
    pub fn transfer_failed(detail: &str) -> Self {
        Self::of(codes::TRANSFER_FAILED, format!("The transfer failed: {detail}"))
    }

    /// The transfer with a call that it replaces came to nothing.
    #[must_use]
    pub fn consultation_failed(detail: &str) -> Self {
        Self::of(codes::CONSULTATION_FAILED, format!("The transfer failed: {detail}"))
    }

    /// A message is as long as it may be.
    #[must_use]
    pub fn voicemail_full() -> Self {
        Self::of(codes::VOICEMAIL_FULL, "The message is as long as it may be.")
    }

    /// The media sessions could not be set up.
    #[must_use]
    pub fn media_unreachable(detail: &str) -> Self {
        Self::of(
            codes::MEDIA_UNREACHABLE,
            format!("The media session could not be set up: {detail}"),
        )
    }

    /// Ours: the media path to a peer is gone.
    #[must_use]
    pub fn media_lost(detail: &str) -> Self {
        Self::of(codes::MEDIA_LOST, format!("The media path is gone: {detail}"))
    }

    /// Ours: a notification could not be delivered.
    #[must_use]
    pub fn callback_undeliverable(detail: &str) -> Self {
        Self::of(
            codes::CALLBACK_UNDELIVERABLE,
            format!("A notification could not be delivered to the callback URI: {detail}"),
        )
    }

    /// Ours: more notifications wait than the platform keeps.
    #[must_use]
    pub fn callback_backlog(waiting: usize) -> Self {
        Self::of(
            codes::CALLBACK_BACKLOG,
            format!("{waiting} notifications wait for the callback URI."),
        )
    }

    /// Ours: the platform shuts down.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self::of(codes::SHUTTING_DOWN, "The platform is shutting down.")
    }

    /// An operation did what it was to do.
    #[must_use]
    pub fn action_completed() -> Self {
        Self::of(codes::ACTION_COMPLETED, "Action completed successfully.")
    }

    /// An operation was cancelled.
    #[must_use]
    pub fn action_cancelled() -> Self {
        Self::of(codes::ACTION_CANCELLED, "Action failed, the operation was cancelled.")
    }

    /// Nobody began to speak.
    #[must_use]
    pub fn initial_silence() -> Self {
        Self::of(codes::INITIAL_SILENCE, "Action failed, initial silence timeout reached.")
    }

    /// The prompt of a recording could not be played.
    #[must_use]
    pub fn prompt_failed(detail: &str) -> Self {
        Self::of(
            codes::PROMPT_FAILED,
            format!("Action failed, the prompt could not be played: {detail}"),
        )
    }

    /// Nobody spoke on.
    #[must_use]
    pub fn max_silence() -> Self {
        Self::of(codes::MAX_SILENCE, "Action completed, max silence timeout reached.")
    }

    /// A stop tone was pressed.
    #[must_use]
    pub fn stop_tone() -> Self {
        Self::of(codes::STOP_TONE, "Action completed, stop tone detected.")
    }

    /// As long as it may be.
    #[must_use]
    pub fn max_record_duration() -> Self {
        Self::of(codes::MAX_RECORD_DURATION, "Action completed, max record duration reached.")
    }

    /// A prompt's file is not what it must be.
    #[must_use]
    pub fn invalid_prompt_file(detail: &str) -> Self {
        Self::of(
            codes::INVALID_PROMPT_FILE,
            format!("Action failed, the media file is not usable: {detail}"),
        )
    }

    /// A prompt's file cannot be had.
    #[must_use]
    pub fn prompt_not_downloaded(detail: &str) -> Self {
        Self::of(
            codes::PROMPT_NOT_DOWNLOADED,
            format!("Action failed, the media file was not downloaded: {detail}"),
        )
    }
}

impl core::fmt::Display for EndResult {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{} {}", self.code, self.subcode, self.message)
    }
}
