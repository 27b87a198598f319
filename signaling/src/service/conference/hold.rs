//! Hold music: one participant of a conference at a time hears it, and neither hears nor
//! is heard by the others meanwhile. Both operations are answered 202 and told of when
//! they have ended; a custom prompt is fetched first.

use callrig_media::prompt::Wav;
use callrig_media::time::Instant;

use crate::attach::sound::RATE;
use crate::call::operation::{Kind, Operation};
use crate::call::queue::PromptKey;
use crate::call::result::EndResult;
use crate::graph::{self, OperationStatus};
use crate::id::{CallId, ConversationId, LegId, OperationId};
use crate::service::Service;
use crate::service::api::{Asked, checked_context};
use crate::service::reply::{ApiError, Reply};

/// Who is on hold.
#[derive(Debug)]
pub(crate) struct Hold {
    leg: LegId,
    /// The operation that began it, while its prompt is awaited.
    awaiting: Option<(CallId, OperationId, PromptKey)>,
}

/// The music of who brings none along: a chord, note by note.
fn tune() -> Option<Wav> {
    const NOTES_HZ: [f64; 8] = [262.0, 330.0, 392.0, 523.0, 392.0, 330.0, 349.0, 294.0];
    const NOTE_SAMPLES: u32 = RATE / 2;
    let note = |hertz: f64| {
        (0..NOTE_SAMPLES).map(move |n| {
            let passed = f64::from(n) / f64::from(RATE);
            // It rises in 20 ms and fades, so that notes do not click.
            let loudness = (passed * 50.0).min(1.0) * (1.0 - passed * 2.0);
            ((passed * hertz * core::f64::consts::TAU).sin() * loudness * 6_000.0) as i16
        })
    };
    let samples: Vec<i16> = NOTES_HZ.into_iter().flat_map(note).collect();
    Wav::new(&samples).ok()
}

impl Service {
    fn hold_of(&mut self, id: ConversationId) -> Option<&mut Option<Hold>> {
        let conference = self.conversations.get_mut(&id)?.conference.as_deref_mut()?;
        Some(&mut conference.hold)
    }

    /// `POST …/participants/{id}/startHoldMusic`
    pub(in crate::service) fn start_hold_music(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        leg: LegId,
    ) -> Result<Reply, ApiError> {
        let body: graph::StartHoldMusic = asked.parse_or_default()?;
        let context = checked_context(body.client_context)?;
        let conversation = self.acting_on(asked, id, leg)?;
        let call = self.owned(asked, id)?;
        let app = call.app.clone();
        if leg == call.leg {
            return Err(ApiError::bad_request("A bot cannot put itself on hold."));
        }
        let operation = self.new_operation_id();
        let info = body.custom_prompt.map(|prompt| prompt.media_info.unwrap_or_default());
        let prompt = info.map(|info| self.prompt_key(&app, operation, &info)).transpose()?;
        if self.hold_of(conversation).is_none_or(|hold| hold.is_some()) {
            let message = "Another participant is on hold; only one may be at a time.";
            return Err(ApiError::new(409, "Conflict", message));
        }
        let running = Operation::running(operation, Kind::StartHoldMusic, context);
        let reply = self.take_operation(asked, id, running, 202)?;
        let awaiting = prompt.as_ref().map(|(key, _)| (id, operation, key.clone()));
        if let Some(hold) = self.hold_of(conversation) {
            *hold = Some(Hold { leg, awaiting });
        }
        match prompt {
            Some((key, uri)) => {
                self.fetch_prompt(asked.now, id, key.clone(), uri);
                self.hold_prompt_came(asked.now, id, &key);
            }
            None => {
                self.media.set_music(asked.now, leg, tune());
                self.drain_media(asked.now);
                let (status, result) = (OperationStatus::Completed, EndResult::action_completed());
                self.end_operation(asked.now, id, operation, status, result);
            }
        }
        Ok(reply)
    }

    /// `POST …/participants/{id}/stopHoldMusic`
    pub(in crate::service) fn stop_hold_music(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        leg: LegId,
    ) -> Result<Reply, ApiError> {
        let body: graph::ClientContext = asked.parse_or_default()?;
        let context = checked_context(body.client_context)?;
        let conversation = self.acting_on(asked, id, leg)?;
        let held = self.hold_of(conversation).and_then(|hold| hold.as_ref());
        if held.is_none_or(|hold| hold.leg != leg) {
            return Err(ApiError::new(409, "Conflict", "The participant is not on hold."));
        }
        let operation = Operation::running(self.new_operation_id(), Kind::StopHoldMusic, context);
        let operation_id = operation.id;
        let reply = self.take_operation(asked, id, operation, 202)?;
        self.end_hold(asked.now, conversation, leg);
        let (status, result) = (OperationStatus::Completed, EndResult::action_completed());
        self.end_operation(asked.now, id, operation_id, status, result);
        Ok(reply)
    }

    /// Whatever holds a leg ends; one that was only about to begin is cancelled.
    pub(in crate::service) fn end_hold(&mut self, now: Instant, id: ConversationId, leg: LegId) {
        let Some(slot) = self.hold_of(id) else { return };
        let Some(hold) = slot.take_if(|hold| hold.leg == leg) else { return };
        self.media.set_music(now, leg, None);
        if let Some((call, operation, _)) = hold.awaiting {
            let (status, result) = (OperationStatus::Failed, EndResult::action_cancelled());
            self.end_operation(now, call, operation, status, result);
        }
    }

    fn awaited_by(&mut self, call: CallId, key: &PromptKey) -> Option<(ConversationId, LegId)> {
        let id = self.calls.get(&call)?.conversation;
        let hold = self.hold_of(id)?.as_ref()?;
        let (by, _, awaited) = hold.awaiting.as_ref()?;
        (*by == call && awaited == key).then_some((id, hold.leg))
    }

    /// A file is there: the music begins if it was awaited.
    pub(in crate::service) fn hold_prompt_came(
        &mut self,
        now: Instant,
        call: CallId,
        key: &PromptKey,
    ) {
        let Some((id, leg)) = self.awaited_by(call, key) else { return };
        let Some(music) = self.prompts.get(key) else { return };
        let hold = self.hold_of(id).and_then(|hold| hold.as_mut());
        let Some((_, operation, _)) = hold.and_then(|hold| hold.awaiting.take()) else { return };
        self.media.set_music(now, leg, Some(music));
        self.drain_media(now);
        let (status, result) = (OperationStatus::Completed, EndResult::action_completed());
        self.end_operation(now, call, operation, status, result);
    }

    /// A file will not come: nobody is put on hold by it.
    pub(in crate::service) fn hold_prompt_failed(
        &mut self,
        now: Instant,
        call: CallId,
        key: &PromptKey,
        result: &EndResult,
    ) {
        let Some((id, _)) = self.awaited_by(call, key) else { return };
        let hold = self.hold_of(id).and_then(Option::take);
        if let Some((_, operation, _)) = hold.and_then(|hold| hold.awaiting) {
            self.end_operation(now, call, operation, OperationStatus::Failed, result.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tune_is_there_and_not_too_loud() {
        let tune = super::tune().expect("eight short notes");
        assert_eq!(tune.samples().len(), 64_000);
        assert!(tune.samples().iter().all(|sample| sample.unsigned_abs() <= 6_000));
    }
}
