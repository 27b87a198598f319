//! Voicemail boxes. No document says how one behaves towards a bot, so this is ours: it
//! rings for a second, takes the call, beeps, and records until the caller hangs up,
//! presses #, is silent for ten seconds, or two minutes are full (`limits.voicemail`).
//! Then it hangs up; [`Event::VoicemailLeft`] has the message.

use callrig_media::recorder;
use callrig_media::time::Instant;

use super::Service;
use super::conference::Party;
use crate::attach;
use crate::call::result::EndResult;
use crate::event::Event;
use crate::graph::Tone;
use crate::id::{ConversationId, LegId};

/// For how many seconds a caller may be silent.
const SILENCE_SECONDS: u32 = 10;

/// A box that records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recording {
    /// The box's own leg.
    voicemail: LegId,
    /// The caller has hung up: what is there is the message, and nothing ends any more.
    hung_up: bool,
}

impl Service {
    /// A box has rung for long enough.
    pub(super) fn voicemail_answers(&mut self, now: Instant, leg: LegId) {
        if let Some(id) = self.legs.get(&leg).copied() {
            self.take_call(now, id, leg, None);
        }
    }

    pub(super) fn is_voicemail(&self, leg: LegId) -> bool {
        self.leg(leg).is_some_and(|leg| matches!(leg.party, Party::Voicemail(_)))
    }

    /// If one of two who were joined is a box, it beeps and records the other.
    pub(super) fn begin_voicemail(&mut self, now: Instant, one: LegId, other: LegId) {
        let (voicemail, caller) = match (self.is_voicemail(one), self.is_voicemail(other)) {
            (true, _) => (one, other),
            (false, true) => (other, one),
            (false, false) => return,
        };
        // A caller without a session is a bot whose sound comes from its seat.
        let at = if self.media.is_open(caller) { caller } else { voicemail };
        let most = self.config.limits.voicemail.as_secs().clamp(1, recorder::SECONDS_MAX.into());
        let rules = recorder::Config {
            initial_silence_timeout_in_seconds: SILENCE_SECONDS,
            max_silence_timeout_in_seconds: SILENCE_SECONDS,
            max_record_duration_in_seconds: most as u32,
            play_beep: true,
            stop_tones: vec!["#".to_owned()],
        };
        self.voicemails.insert(at, Recording { voicemail, hung_up: false });
        self.media.record(now, at, None, rules);
        self.media_moved(at);
        self.drain_media(now);
    }

    /// What was recorded is the message. `true` if a box was meant.
    pub(super) fn voicemail_said(
        &mut self,
        now: Instant,
        at: LegId,
        event: &attach::Event,
    ) -> bool {
        let Some(recording) = self.voicemails.get(&at).copied() else { return false };
        let message = match event {
            attach::Event::Recorded(recorded) => recorded.file.clone(),
            attach::Event::Failed(_) => None,
            _ => return false,
        };
        let full = matches!(event, attach::Event::Recorded(recorded)
            if recorded.reason == recorder::CompletionReason::MaxRecordDurationReached);
        self.voicemails.remove(&at);
        let leg = recording.voicemail;
        if let Some(Party::Voicemail(user)) = self.leg(leg).map(|leg| leg.party.clone()) {
            self.say(Event::VoicemailLeft { leg, user, message });
        }
        if !recording.hung_up {
            let result = match full {
                true => EndResult::voicemail_full(),
                false => EndResult::ended_by_other_party(),
            };
            if let Some(id) = self.legs.get(&leg).copied() {
                self.end_conversation(now, id, &result);
            }
        }
        true
    }

    /// A conversation is about to end: a box in it keeps what it has heard.
    pub(super) fn close_voicemail(&mut self, now: Instant, id: ConversationId) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        if self.voicemails.is_empty() || conversation.conference.is_some() {
            return;
        }
        let found = conversation.legs.keys().copied().find(|leg| self.voicemails.contains_key(leg));
        let Some(at) = found else { return };
        if let Some(recording) = self.voicemails.get_mut(&at) {
            recording.hung_up = true;
        }
        self.media.key_pressed(now, at, &Tone::Pound);
        self.drain_media(now);
        self.voicemails.remove(&at);
    }
}
