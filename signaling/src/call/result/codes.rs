//! Every code and subcode that the platform writes, or that is known from elsewhere, in
//! words for whoever has to find out why a call ended: the one table from which the
//! results are made and the page `docs/result-codes.md` is written.

use core::fmt::Write as _;

use serde::Serialize;

/// Where a pair of numbers is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The documentation of the API.
    Documented,
    /// Raw traffic and threads of bot developers.
    Seen,
    /// Azure Communication Services, which numbers by the same rule; that the API means
    /// the same by it is our inference.
    Family,
    /// Ours: for ends that no document speaks of. Their subcodes are 90000 and above.
    Ours,
}

impl Source {
    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::Seen => "seen",
            Self::Family => "inferred",
            Self::Ours => "ours",
        }
    }
}

/// What a result is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// `resultInfo` of a call.
    Call,
    /// `resultInfo` of an operation.
    Operation,
    /// `error.code` in the body of an answer.
    Answer,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultCode {
    /// What it is of.
    pub subject: Subject,
    /// 2xx well, 4xx by a fault of the caller, 5xx of the service; for an answer its HTTP
    /// status.
    pub code: u16,
    /// The case; of an answer the error code, as it is written there.
    pub subcode: &'static str,
    /// Where it is known from.
    pub source: Source,
    /// Whether this platform writes it.
    pub produced: bool,
    /// What has happened.
    pub meaning: &'static str,
    /// What usually brings it about.
    pub cause: &'static str,
    /// What to do about it.
    pub action: &'static str,
}

impl ResultCode {
    /// The subcode, where it is a number.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        self.subcode.parse().ok()
    }
}

/// A pair that the platform writes as a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair(pub(crate) u16, pub(crate) u32);

macro_rules! table {
    (
        results { $($subject:ident $name:ident = $code:literal / $subcode:literal
            $source:ident, $meaning:literal, $cause:literal, $action:literal;)* }
        known { $($known_code:literal / $known_subcode:literal $known_source:ident,
            $known_meaning:literal, $known_cause:literal, $known_action:literal;)* }
        answers { $($status:literal $error:literal $answer_source:ident,
            $answer_meaning:literal, $answer_cause:literal, $answer_action:literal;)* }
    ) => {
        $(pub(crate) const $name: Pair = Pair($code, $subcode);)*

        static ROWS: &[ResultCode] = &[
            $(ResultCode {
                subject: Subject::$subject, code: $code, subcode: stringify!($subcode),
                source: Source::$source, produced: true,
                meaning: $meaning, cause: $cause, action: $action,
            },)*
            $(ResultCode {
                subject: Subject::Call, code: $known_code, subcode: stringify!($known_subcode),
                source: Source::$known_source, produced: false,
                meaning: $known_meaning, cause: $known_cause, action: $known_action,
            },)*
            $(ResultCode {
                subject: Subject::Answer, code: $status, subcode: $error,
                source: Source::$answer_source, produced: true,
                meaning: $answer_meaning, cause: $answer_cause, action: $answer_action,
            },)*
        ];

        #[cfg(test)]
        const PRODUCED: &[(&str, Pair)] = &[$((stringify!($name), $name),)*];
    };
}

table! {
    results {
        Call TRANSFER_COMPLETED = 0 / 7015 Documented,
            "The transfer is complete: the other side talks to its target now.",
            "The bot asked for a blind transfer and the target took it.",
            "Nothing: the call is over for the bot, and went well.";
        Call CALLER_GAVE_UP = 200 / 4097 Documented,
            "The other party ended the call before it was answered.",
            "The caller hung up while the bot still thought about its answer.",
            "Answer sooner. An answer that comes later gets 404 with code 8522.";
        Call ENDED_BY_OTHER_PARTY = 200 / 4521 Documented,
            "The other party hung up.",
            "The person, or the other bot, has ended a peer-to-peer call.",
            "Nothing. Operations that still went on have failed with 8508.";
        Call CONVERSATION_ENDED = 200 / 5001 Documented,
            "The conversation has ended for everybody.",
            "Its organizer ended it, or it was closed behind the last participant.",
            "Nothing.";
        Call NOBODY_LEFT = 200 / 5002 Documented,
            "All other participants have left.",
            "The bot was the last one in the group call.",
            "Nothing. Hang up yourself when the roster shows nobody else if you do not want to \
             wait for it.";
        Call NOBODY_JOINED = 200 / 5013 Documented,
            "Nobody joined.", "None of the invited came, or nobody to the meeting in time.",
            "Invite again.";
        Call REMOVED = 200 / 5300 Documented,
            "The bot was removed by another participant.",
            "Somebody with the right to do so took it out of the call.",
            "Do not join again by yourself: somebody wanted the bot gone.";
        Call REPLACED = 200 / 18503 Documented,
            "The other party of a peer-to-peer call left.",
            "An invitation with replacesCallId brought the person into another call.",
            "Nothing: go on with the other call.";
        Call MAY_NOT_JOIN = 403 / 90008 Ours,
            "The call has become a group call, which the app may not be in.",
            "A person brought others into a peer-to-peer call; the app has neither \
             Calls.JoinGroupCall.All nor Calls.JoinGroupCallAsGuest.All.",
            "Have one of the two granted.";
        Call LOBBY_TIMEOUT = 200 / 5855 Documented,
            "Removed from the lobby after waiting for too long.",
            "Nobody admitted the bot.",
            "Have the organizer let the bot pass the lobby, or tell people that it waits.";
        Call ENDED_BY_BOT = 200 / 7000 Documented,
            "The bot hung up.",
            "DELETE of the call.",
            "Nothing.";
        Call KEEP_ALIVE_TIMEOUT = 408 / 8537 Documented,
            "No keepAlive came for 45 minutes.",
            "The bot lost track of the call: it restarted, or its timer died.",
            "Ask keepAlive every 15 to 45 minutes for each call, and read the calls again after \
             a restart.";
        Call NOT_ANSWERED_IN_TIME = 408 / 10057 Documented,
            "Nothing was heard from the called side in time.",
            "The bot did not answer, reject or redirect within 15 seconds (5 for recording by \
             policy): a cold start, a debugger, or a webhook that answers 202 and forgets.",
            "Answer first and think later; keep one instance warm.";
        Call NO_ENDPOINTS = 480 / 10037 Documented,
            "The called person has no endpoint.",
            "Signed in nowhere, or not reachable by calls at all.",
            "Try later, or call somebody else. In a test: the person's presence is offline.";
        Call UNREACHABLE = 480 / 10076 Documented,
            "The called person's endpoint cannot be reached.",
            "It is known, but silent: asleep, or without a network.",
            "Try later. In a test: the person's presence is unreachable.";
        Call ACCEPTED_ELSEWHERE = 487 / 10003 Family,
            "Somebody else took the call.",
            "It rang at several targets together, and another one was faster.",
            "Nothing.";
        Call NOT_ACCEPTED_IN_TIME = 487 / 10004 Family,
            "It rang, and nobody answered in time.",
            "The person is not there, or did not hear it.",
            "Try later, ring longer (ringingTimeoutInSeconds, beta, up to 115), or redirect to \
             voicemail.";
        Call DECLINED = 487 / 10024 Family,
            "The called side declined.",
            "The person pressed decline, or the bot rejected the call.",
            "Nothing; do not call again at once.";
        Call BUSY = 486 / 90004 Ours,
            "The called person is in another call.",
            "People take one call at a time here, unless configured otherwise.",
            "Try later. In a test: raise `limits.calls_per_person_max`.";
        Call DO_NOT_DISTURB = 480 / 90005 Ours,
            "The called person does not want to be disturbed.",
            "The person's presence says so; nothing has rung.",
            "Try later, or leave a message in voicemail.";
        Call FORBIDDEN = 403 / 90006 Ours,
            "The bot rejected the call as forbidden.",
            "reject with reason forbidden.",
            "Ask the bot's owner who may call it.";
        Call NO_TARGET_ANSWERED = 480 / 90007 Ours,
            "None of the targets took the redirected call.",
            "All declined, were busy or away, or did not answer within the redirect's timeout.",
            "Redirect to voicemail, or to more targets.";
        Call REDIRECTED = 200 / 90010 Ours,
            "The bot redirected the call, and a target took it.",
            "redirect. Said in traces only: the notification carries no result, as documented.",
            "Nothing.";
        Call CONSULTED = 200 / 90011 Ours,
            "The transfer by consultation is complete.",
            "transfer with replacesCallId: both calls of the bot are over and their people talk \
             to each other. Said in traces only: the notification carries a \
             terminationReason instead.",
            "Nothing.";
        Call VOICEMAIL_FULL = 200 / 90012 Ours,
            "The voicemail box has heard enough.",
            "A message may be three minutes long (`limits.voicemail`).",
            "Be brief.";
        Call MEDIA_UNREACHABLE = 500 / 1005 Documented,
            "The bot's media cannot be reached.",
            "The session description in the blob does not fit, or its addresses are wrong.",
            "Read the message: it says what did not fit. Compare the blob with an example.";
        Call TRANSFER_FAILED = 500 / 7000 Documented,
            "The blind transfer came to nothing; the call goes on.",
            "The target declined, was busy or away, or did not answer.",
            "Talk on: the state is established again. Try another target.";
        Call CONSULTATION_FAILED = 500 / 7700 Documented,
            "The transfer by consultation came to nothing; the call goes on.",
            "The call to be replaced is gone, not established, or not the target's.",
            "Make sure that replacesCallId is an established call of this bot to that target.";
        Call CALLBACK_UNDELIVERABLE = 500 / 90001 Ours,
            "A notification could not be delivered, so the call was ended.",
            "The webhook answered with an error, did not answer, or redirected without end; \
             the message says which.",
            "Answer every notification with 2xx within five seconds and work afterwards.";
        Call CALLBACK_BACKLOG = 500 / 90002 Ours,
            "More notifications wait than are kept.",
            "The webhook hangs while a lot happens: tones, rosters.",
            "Answer at once and put the notification into a queue of your own.";
        Call SHUTTING_DOWN = 503 / 90003 Ours,
            "The platform is shutting down.",
            "Somebody stopped it.",
            "Start it again.";
        Call MEDIA_LOST = 500 / 90013 Ours,
            "The media path of a WebRTC peer is gone.",
            "It never came, its checks stopped, its certificate was not the announced one, or \
             it said goodbye; the message says which.",
            "Make sure that the peer reaches the platform's media port by UDP.";
        Operation ACTION_COMPLETED = 200 / 0 Documented,
            "Done.",
            "The prompt was played to its end, or the action did what it was to do.",
            "Nothing.";
        Operation MAX_SILENCE = 200 / 8513 Family,
            "The recording ended because nobody spoke on.",
            "maxSilenceTimeoutInSeconds passed after the last word.",
            "Fetch the recording.";
        Operation STOP_TONE = 200 / 8514 Family,
            "The recording ended with a stop tone.",
            "The caller pressed one of stopTones.",
            "Fetch the recording.";
        Operation MAX_RECORD_DURATION = 200 / 8515 Documented,
            "The recording is as long as it may be.",
            "maxRecordDurationInSeconds has passed.",
            "Fetch the recording; allow up to 120 seconds.";
        Operation ACTION_CANCELLED = 400 / 8508 Documented,
            "The operation was cancelled.",
            "cancelMediaProcessing, a recording with bargeInAllowed, or the end of the call.",
            "Nothing, if you cancelled it.";
        Operation INITIAL_SILENCE = 400 / 8510 Family,
            "Nobody said anything.",
            "initialSilenceTimeoutInSeconds passed without a word, or no media came.",
            "Ask again, and wait longer.";
        Operation PROMPT_FAILED = 400 / 8511 Family,
            "The prompt could not be played.",
            "The message says why.",
            "Check the file and the call's media.";
        Operation INVALID_PROMPT_FILE = 400 / 8535 Family,
            "The prompt's file is not usable.",
            "It is not WAV with one channel, 16 bits and 16 kHz, or it is too large.",
            "Convert it: `ffmpeg -i in -ac 1 -ar 16000 -sample_fmt s16 out.wav`.";
        Operation PROMPT_NOT_DOWNLOADED = 400 / 8536 Family,
            "The prompt's file could not be fetched.",
            "Its URI does not answer with 200 in time.",
            "Fetch it yourself from where the platform runs.";
    }
    known {
        200 / 5000 Documented, "Removed by another participant.", "As 5300.", "As 5300.";
        200 / 5003 Documented, "The conversation has ended.", "As 5001.", "Nothing.";
        200 / 5007 Documented, "The initiator has left.",
            "The one who began the group call is gone.", "Nothing.";
        200 / 5010 Documented, "One participant was left.",
            "A group call ends when only one remains.", "Nothing.";
        200 / 5012 Documented, "Nobody is in the roster.", "Everybody has left.", "Nothing.";
        200 / 5014 Documented, "No host was found.",
            "The meeting waits for somebody who may begin it.", "Join when it has begun.";
        200 / 5020 Documented, "Only hidden participants are left.",
            "Everybody who is shown has left.", "Nothing.";
        200 / 5030 Documented, "The breakout room was closed.",
            "The organizer ended the breakout.", "Nothing.";
        200 / 10550 Documented, "The bot hung up.", "As 7000.", "Nothing.";
        200 / 540000 Documented, "The person on the telephone hung up.",
            "The call went over the telephone network.", "Nothing.";
        200 / 560000 Documented, "The person on the telephone hung up.",
            "The call went over the telephone network.", "Nothing.";
        400 / 2203 Seen, "The join was refused as a bad request.",
            "Meeting coordinates that no longer fit the link's form.",
            "Read threadId, messageId, tenant and organizer from the join link again.";
        403 / 10151 Seen, "The telephone number may not be called.",
            "No application instance with a telephone licence, or a policy.",
            "Give the bot a resource account that may call the telephone network.";
        408 / 1106 Documented, "The acceptance was not acknowledged in time.",
            "The caller's endpoint vanished while the bot answered.", "Nothing.";
        408 / 13025 Seen, "The call timed out.", "Not known.", "Call again.";
        410 / 301005 Documented, "The media connection was lost.",
            "The bot's media stopped, or a firewall cut it off.",
            "Check the network and the load of the machine; join again.";
        412 / 9999 Seen, "A precondition failed.",
            "An invitation over the telephone network without its prerequisites.",
            "Check the resource account and its licence.";
        412 / 10073 Seen, "The call cannot be routed to the telephone network.",
            "As 9999.", "As 9999.";
        480 / 10134 Documented, "The call cannot be routed.",
            "No way leads to the called person.", "Check the identity and its organisation.";
        480 / 10199 Documented, "Private calling is disabled.",
            "A policy forbids the person calls from one to one.",
            "Ask the administrator of the called person.";
        487 / 0 Family, "The caller cancelled.", "The caller hung up while it rang.", "Nothing.";
        500 / 3002 Seen, "The bot's media platform cannot be reached.",
            "Port, certificate or name of the media endpoint are wrong.",
            "Check the certificate's name against the service's name, and the TCP port.";
        500 / 3003 Seen, "The handshake with the bot's media platform failed.",
            "As 3002, mostly the certificate.", "Check the certificate and its chain.";
        500 / 7106 Seen, "The media platform answered with an error.",
            "As 3002; written 3002#7106.", "As 3002.";
        500 / 1203002 Seen, "The bot's media platform cannot be reached.", "As 3002.",
            "As 3002.";
        500 / 1203003 Seen, "The handshake with the bot's media platform failed.",
            "As 3003.", "As 3003.";
        603 / 0 Family, "The called side declined.", "As 10024.", "Nothing.";
    }
    answers {
        400 "BadRequest" Seen, "The request cannot be understood.",
            "JSON that cannot be read, a property that is missing, of a wrong type or out of \
             its range; a path that names no resource or action.",
            "Read the message: it names the property.";
        401 "InvalidAuthenticationToken" Seen, "The token is not good.",
            "None, expired, for another audience, or of an unknown app.",
            "Get a token for the API with client credentials, and again before it expires.";
        403 "7503" Seen, "The application is not registered.",
            "The bot registration has no webhook for calling. Comes wrapped in an UnknownError.",
            "Enable calling on the bot registration and set its webhook.";
        403 "7504" Seen, "The organisation has not granted a permission.",
            "No consent, or consent in another organisation; the message names what is missing.",
            "Grant the application permission and have an administrator consent.";
        403 "7505" Seen, "The tenants do not match.",
            "tenantId of the call is not that of its target, or a target is of another \
             organisation.",
            "Send the tenant of the people whom you call.";
        403 "10151" Seen, "Telephone numbers cannot be called.",
            "There is no connection to the telephone network here.",
            "Call users and bots.";
        400 "8506" Seen, "The call does not record by policy.",
            "updateRecordingStatus on a call that came without a recording policy.",
            "Only report recording on calls with an observed participant.";
        404 "8522" Seen, "The call is not there.",
            "It has ended, it is another app's, or the id is no id. After a cold start: the 15 \
             seconds to answer were over.",
            "Forget the call. Keep one instance warm.";
        404 "NotFound" Seen, "The resource is not there.",
            "An operation, participant, person or app of that id does not exist.",
            "Check the id.";
        405 "MethodNotAllowed" Seen, "The resource does not know this method.", "PUT, mostly.",
            "See which methods the page of the resource names.";
        409 "Conflict" Ours, "The call is not in a state for this.",
            "An answered call is answered again, or media is asked for before it is established.",
            "Wait for the notification that says the state.";
        413 "RequestEntityTooLarge" Seen, "The body is too large.", "More than a megabyte.",
            "Send less.";
        415 "UnsupportedMediaType" Seen, "The body is not JSON in UTF-8.",
            "A wrong Content-Type.", "Send `application/json`.";
        429 "TooManyRequests" Seen, "Too many requests, or too many calls.",
            "More than 100 calls at once, more requests a second than an app may make, or the \
             monthly limit of calls. Comes with Retry-After.",
            "Wait for as long as Retry-After says.";
        500 "9999" Seen, "Tones cannot be subscribed to.",
            "subscribeToTone on a call with app-hosted media.",
            "Hear tones in your own media.";
        501 "NotImplemented" Ours, "This platform does not do it.",
            "An action without a public description, or one that is not built yet.",
            "Do without.";
        503 "ServiceUnavailable" Ours, "Every port for media is taken.",
            "More calls than the range of media ports has room for.",
            "Give it more ports, or end calls.";
    }
}

/// Every row: what ends calls, what ends operations, what answers requests, each by code.
#[must_use]
pub fn table() -> Vec<&'static ResultCode> {
    let mut rows: Vec<&ResultCode> = ROWS.iter().collect();
    rows.sort_by_key(|row| (row.subject, row.code, row.number(), row.subcode));
    rows
}

/// The row of a result, if it is known.
#[must_use]
pub fn find(subject: Subject, code: u16, subcode: &str) -> Option<&'static ResultCode> {
    ROWS.iter().find(|row| row.subject == subject && row.code == code && row.subcode == subcode)
}

/// The page `docs/result-codes.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for (subject, heading, numbers) in [
        (Subject::Call, "How calls end", "code / subcode"),
        (Subject::Operation, "How operations end", "code / subcode"),
        (Subject::Answer, "What requests are answered", "status and `error.code`"),
    ] {
        let _ = write!(
            page,
            "\n## {heading}\n\n| {numbers} | what it means | what usually causes it | what to do | \
             known from |\n|---|---|---|---|---|\n"
        );
        for row in table().into_iter().filter(|row| row.subject == subject) {
            let joint = if subject == Subject::Answer { " " } else { "/" };
            let star = if row.produced { "" } else { " ◦" };
            let _ = writeln!(
                page,
                "| **{}{joint}{}**{star} | {} | {} | {} | {} |",
                row.code,
                row.subcode,
                row.meaning,
                row.cause,
                row.action,
                row.source.name()
            );
        }
    }
    page
}

const INTRODUCTION: &str = "\
# Result codes, in words

Written by `callrig list --result-codes` from the table in `src/call/result/codes.rs`; a
test keeps the two the same.

A call that has ended, and an operation that has ended, carry `resultInfo` with a `code` and
a `subcode`. The code is a class: 2xx well, 4xx by a fault of the caller, 5xx by one of the
service (and 0, which means well). The subcode is the case. Requests that are refused are
answered with a status and a body whose `error.code` says the case.

**Known from**: *documented* is in the API's documentation; *seen* in raw traffic and in
threads of bot developers; *inferred* is numbered as in Azure Communication Services, which
shares the family; *ours* is for ends that no document speaks of (90000 and above). What is
marked ◦ is known, but callrig itself never writes it.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_there_once_and_only_ours_are_above_ninety_thousand() {
        let rows = table();
        for (index, row) in rows.iter().enumerate() {
            let twice = rows[index + 1..].iter().any(|other| {
                (other.subject, other.code, other.subcode) == (row.subject, row.code, row.subcode)
            });
            assert!(!twice, "{}/{} is there twice", row.code, row.subcode);
            let ours = row.number().is_some_and(|number| (90_000..100_000).contains(&number));
            if row.subject == Subject::Call {
                assert_eq!(ours, row.source == Source::Ours, "{}/{}", row.code, row.subcode);
            }
            for text in [row.meaning, row.cause, row.action] {
                assert!(text.ends_with('.'), "{text}");
                assert!(!text.contains('|') && !text.contains('\n'), "{text}");
            }
        }
    }

    #[test]
    fn what_is_said_to_be_written_is_what_results_are_made_from() {
        let source = include_str!("../result.rs");
        for (name, _) in PRODUCED {
            assert!(source.contains(&format!("codes::{name}")), "{name} is made nowhere");
        }
        assert!(!source.contains("Self::new("), "a result is made without the table");
    }

    #[test]
    fn the_page_is_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/result-codes.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == markdown(),
            "docs/result-codes.md is not what the table says: write it again with \
             `cargo run -- list --result-codes > signaling/docs/result-codes.md`"
        );
    }
}
