//! What a bot with service-hosted media can do: play prompts, record, hear tones, press
//! keys, and cancel all that. Prompts, recordings and tones wait in one queue per call
//! and go on in order; listening for tones is outside of it.

use core::time::Duration;

use bytes::Bytes;
use callrig_media::prompt::{PROMPTS_MAX, Wav};
use callrig_media::recorder::{self, CompletionReason, Recorded, Recorder};
use callrig_media::time::Instant;

use super::api::{Asked, checked_context};
use super::reply::{ApiError, Reply};
use super::{Party, Service, Timer};
use crate::attach;
use crate::call::operation::{Kind, Operation};
use crate::call::queue::{Entry, PromptKey, TONES_MAX, Work};
use crate::call::result::EndResult;
use crate::call::state::State;
use crate::call::{Call, Hosting};
use crate::event::Event;
use crate::fault::{self, Fault};
use crate::graph::{self, ChangeType, OperationStatus, RecordCompletionReason, Tone};
use crate::id::{CallId, LegId, OperationId, RecordingId};

/// How long a tone of `sendDtmfTones` sounds.
const TONE_LENGTH: Duration = Duration::from_millis(160);

/// The pause between tones where the app names none.
const TONE_PAUSE: Duration = Duration::from_millis(240);

/// The longest pause between tones.
const TONE_PAUSE_MAX: Duration = Duration::from_secs(10);

/// How many recordings of a call are kept.
const RECORDINGS_PER_CALL_MAX: usize = 16;

/// A recording that its bot can fetch.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub(crate) token: String,
    pub(crate) wav: Bytes,
}

impl Service {
    /// A call of the caller that is established and whose media is the platform's.
    fn service_hosted(&self, asked: &Asked<'_>, id: CallId) -> Result<&Call, ApiError> {
        let call = self.owned(asked, id)?;
        let action = asked.located.route.name();
        if matches!(call.hosting, Hosting::App { .. }) {
            return Err(ApiError::service_hosted_only(action));
        }
        match call.state() {
            State::Established => Ok(call),
            state => Err(ApiError::wrong_state(action, state)),
        }
    }

    pub(super) fn new_operation_id(&mut self) -> OperationId {
        OperationId::from_u128(self.random_bits())
    }

    /// Takes a running operation in; the reply shows it.
    pub(super) fn begin_operation(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        operation: Operation,
    ) -> Result<Reply, ApiError> {
        let reply = self.take_operation(asked, id, operation, 200)?;
        let location = reply.location.clone().unwrap_or_default();
        Ok(if asked.is_old() { Reply::empty(202).at(location) } else { reply })
    }

    /// Takes an operation in; the reply has this status and shows it, whenever it is
    /// asked.
    pub(super) fn take_operation(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        operation: Operation,
        code: u16,
    ) -> Result<Reply, ApiError> {
        let (operation_id, kind) = (operation.id, operation.kind);
        let shown = operation.to_graph();
        let status = operation.status.clone();
        let ended = operation.has_ended();
        let call = self.calls.get_mut(&id).ok_or_else(ApiError::call_not_found)?;
        let taken = call.operations.push(operation);
        taken.map_err(|error| ApiError::too_many(error.to_string(), 1))?;
        self.say(Event::OperationStarted { call: id, operation: operation_id, kind });
        if ended {
            let result = EndResult::action_completed();
            self.say(Event::OperationEnded {
                call: id,
                operation: operation_id,
                kind,
                status,
                result,
            });
        }
        let rest = format!("/operations/{operation_id}");
        let location = asked.location(&self.config.base_url, id, &rest);
        Ok(Reply::json(code, &shown).at(location))
    }

    /// An operation that is done as soon as it is asked for: its answer says so, and no
    /// notification follows.
    pub(super) fn complete_at_once(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        kind: Kind,
        context: Option<String>,
    ) -> Result<Reply, ApiError> {
        let operation_id = self.new_operation_id();
        let mut operation = Operation::running(operation_id, kind, context);
        if asked.is_old() {
            let reply = self.begin_operation(asked, id, operation)?;
            let (status, result) = (OperationStatus::Completed, EndResult::action_completed());
            self.end_operation(asked.now, id, operation_id, status, result);
            return Ok(reply);
        }
        operation.status = OperationStatus::Completed;
        self.begin_operation(asked, id, operation)
    }

    /// `POST …/playPrompt`
    pub(super) fn play_prompt(&mut self, asked: &Asked<'_>, id: CallId) -> Result<Reply, ApiError> {
        let body: graph::PlayPrompt = asked.parse()?;
        let context = checked_context(body.client_context)?;
        let prompts = body.prompts.unwrap_or_default();
        if prompts.is_empty() {
            return Err(ApiError::missing("prompts"));
        }
        self.service_hosted(asked, id)?;
        let operation = self.new_operation_id();
        let files = self.prompt_files(id, operation, &prompts, PROMPTS_MAX)?;
        let running = Operation::running(operation, Kind::PlayPrompt, context);
        let reply = self.begin_operation(asked, id, running)?;
        let repeat = body.repeat.unwrap_or(false);
        let prompts = self.fetch_all(asked.now, id, files);
        self.enqueue(asked.now, id, operation, Work::Play { prompts, repeat });
        Ok(reply)
    }

    /// Keys and URIs of the files that prompts name.
    fn prompt_files(
        &self,
        id: CallId,
        operation: OperationId,
        prompts: &[graph::Prompt],
        most: usize,
    ) -> Result<Vec<(PromptKey, String)>, ApiError> {
        if prompts.len() > most {
            let message = format!("prompts has {} entries; the limit is {most}.", prompts.len());
            return Err(ApiError::bad_request(message));
        }
        let call = self.calls.get(&id).ok_or_else(ApiError::call_not_found)?;
        let mut files = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            let info = prompt.media_info.as_ref();
            let info = info.ok_or_else(|| ApiError::missing("prompts/mediaInfo"))?;
            files.push(self.prompt_key(&call.app, operation, info)?);
        }
        Ok(files)
    }

    fn fetch_all(
        &mut self,
        now: Instant,
        call: CallId,
        files: Vec<(PromptKey, String)>,
    ) -> Vec<PromptKey> {
        let mut keys = Vec::with_capacity(files.len());
        for (key, uri) in files {
            self.fetch_prompt(now, call, key.clone(), uri);
            keys.push(key);
        }
        keys
    }

    fn enqueue(&mut self, now: Instant, id: CallId, operation: OperationId, work: Work) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.queue.push(Entry { operation, work });
        }
        self.advance_queue(now, id);
    }

    /// `POST …/recordResponse`
    pub(super) fn record_response(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let body: graph::RecordResponse = asked.parse_or_default()?;
        let context = checked_context(body.client_context.clone())?;
        let rules = record_rules(&body, asked.is_old())?;
        self.service_hosted(asked, id)?;
        let operation = self.new_operation_id();
        let prompts = body.prompts.unwrap_or_default();
        let files = self.prompt_files(id, operation, &prompts, 1)?;
        let running = Operation::running(operation, Kind::Record, context);
        let reply = self.begin_operation(asked, id, running)?;
        if body.barge_in_allowed.unwrap_or(false) {
            self.cancel_queue(asked.now, id);
        }
        let prompts = self.fetch_all(asked.now, id, files);
        self.enqueue(asked.now, id, operation, Work::Record { prompts, rules });
        Ok(reply)
    }

    /// `POST …/subscribeToTone`
    pub(super) fn subscribe_to_tone(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let body: graph::ClientContext = asked.parse_or_default()?;
        let context = checked_context(body.client_context)?;
        if matches!(self.owned(asked, id)?.hosting, Hosting::App { .. }) {
            // As the real platform answers on app-hosted calls.
            let message = "Encountered Exception during ToneSubscription";
            return Err(ApiError::new(500, "9999", message));
        }
        self.service_hosted(asked, id)?;
        if fault::is(Fault::SubscriptionRefused) {
            return Err(ApiError::call_not_found());
        }
        let reply = self.complete_at_once(asked, id, Kind::SubscribeToTone, context)?;
        if let Some(call) = self.calls.get_mut(&id) {
            call.tones.subscribed = true;
        }
        Ok(reply)
    }

    /// `POST …/cancelMediaProcessing`
    pub(super) fn cancel_media_processing(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let body: graph::ClientContext = asked.parse_or_default()?;
        let context = checked_context(body.client_context)?;
        self.service_hosted(asked, id)?;
        let reply = self.complete_at_once(asked, id, Kind::CancelMediaProcessing, context)?;
        self.cancel_queue(asked.now, id);
        Ok(reply)
    }

    /// `POST …/sendDtmfTones`
    pub(super) fn send_dtmf_tones(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let body: graph::SendDtmfTones = asked.parse()?;
        let context = checked_context(body.client_context)?;
        let tones = body.tones.unwrap_or_default();
        if tones.is_empty() || tones.len() > TONES_MAX {
            let message = format!("tones must have 1 to {TONES_MAX} entries.");
            return Err(ApiError::bad_request(message));
        }
        if let Some(tone) = tones.iter().find(|tone| !tone.is_known()) {
            return Err(ApiError::bad_request(format!("'{tone}' is no tone.")));
        }
        let pause = match body.delay_between_tones_ms.map(|number| number.0) {
            None => TONE_PAUSE,
            Some(ms) if (0..=TONE_PAUSE_MAX.as_millis() as i64).contains(&ms) => {
                Duration::from_millis(ms.unsigned_abs())
            }
            Some(_) => {
                return Err(ApiError::bad_request("delayBetweenTonesMs is not 0 to 10000."));
            }
        };
        self.service_hosted(asked, id)?;
        let operation = self.new_operation_id();
        let running = Operation::running(operation, Kind::SendDtmfTones, context);
        let reply = self.begin_operation(asked, id, running)?;
        self.enqueue(asked.now, id, operation, Work::Tones { tones, pause });
        Ok(reply)
    }

    /// Cancels everything in the queue.
    fn cancel_queue(&mut self, now: Instant, id: CallId) {
        let queued = self.calls.get(&id).map(|call| call.queue.operations());
        for operation in queued.unwrap_or_default() {
            self.stop_work(now, id, operation);
            self.say_cancelled(now, id, operation);
        }
    }

    /// A cancelled operation has failed, except that the sending of tones is completed
    /// with a reason (documented so).
    fn say_cancelled(&mut self, now: Instant, id: CallId, operation: OperationId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(held) = call.operations.get_mut(operation) else { return };
        let (status, result) = match held.kind {
            Kind::SendDtmfTones => {
                held.completion_reason = Some("mediaOperationCanceled".to_owned());
                (OperationStatus::Completed, EndResult::action_completed())
            }
            Kind::Record => {
                let reason = RecordCompletionReason::OperationCanceled;
                held.completion_reason = Some(reason.to_string());
                (OperationStatus::Failed, EndResult::action_cancelled())
            }
            _ => (OperationStatus::Failed, EndResult::action_cancelled()),
        };
        self.end_operation(now, id, operation, status, result);
    }

    /// Takes an operation's work out of the queue, and stops it if it has begun.
    pub(super) fn stop_work(&mut self, now: Instant, id: CallId, operation: OperationId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.queue.remove(operation) == Some(true) {
            self.timers.cancel(Timer::Tones(id, operation));
            if let Some(leg) = self.sounding_leg(id) {
                self.media.stop(now, leg);
                self.media_moved(leg);
            }
        }
    }

    /// An operation's work came to nothing.
    pub(super) fn fail_work(
        &mut self,
        now: Instant,
        id: CallId,
        operation: OperationId,
        result: EndResult,
    ) {
        self.stop_work(now, id, operation);
        if let Some(held) = self.calls.get_mut(&id).and_then(|c| c.operations.get_mut(operation))
            && held.kind == Kind::Record
        {
            held.completion_reason = Some(RecordCompletionReason::PlayPromptFailed.to_string());
        }
        self.end_operation(now, id, operation, OperationStatus::Failed, result);
        self.advance_queue(now, id);
    }

    /// Begins the first entry of the queue if nothing goes on and its files are there.
    pub(super) fn advance_queue(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(entry) = call.queue.waiting().cloned() else { return };
        if !entry.work.prompts().iter().all(|key| self.prompts.is_ready(key)) {
            return;
        }
        call.queue.begin();
        let Some(leg) = self.sounding_leg(id) else { return };
        let sounds = entry.work.prompts().iter().filter_map(|key| self.prompts.get(key));
        let sounds: Vec<Wav> = sounds.collect();
        match &entry.work {
            Work::Play { repeat, .. } => self.media.play(now, leg, sounds, *repeat),
            Work::Record { rules, .. } => {
                self.media.record(now, leg, sounds.into_iter().next(), rules.clone());
            }
            Work::Tones { .. } => self.timers.set(Timer::Tones(id, entry.operation), now),
        }
        self.media_moved(leg);
        self.drain_media(now);
    }

    /// The next tone of `sendDtmfTones`, or its end.
    pub(super) fn next_tone(&mut self, now: Instant, id: CallId, operation: OperationId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some((tone, pause)) = call.queue.take_tone(operation) else {
            call.queue.remove(operation);
            if let Some(held) = call.operations.get_mut(operation) {
                held.completion_reason = Some("completedSuccessfully".to_owned());
            }
            let (status, result) = (OperationStatus::Completed, EndResult::action_completed());
            self.end_operation(now, id, operation, status, result);
            self.advance_queue(now, id);
            return;
        };
        self.timers.set(Timer::Tones(id, operation), now + TONE_LENGTH + pause);
        if let Some(leg) = self.sounding_leg(id) {
            self.media.send_tone(now, leg, &tone, TONE_LENGTH);
            self.media_moved(leg);
            self.drain_media(now);
        }
    }

    /// What a leg's media says.
    pub(super) fn media_said(&mut self, now: Instant, leg: LegId, event: attach::Event) {
        if self.voicemail_said(now, leg, &event) {
            return;
        }
        match (event, self.call_beside(leg)) {
            (attach::Event::Session(event), call) => self.say(Event::Media { leg, call, event }),
            (attach::Event::Ended(stats), call) => {
                self.say(Event::MediaEnded { leg, call, stats });
            }
            (attach::Event::RelayDropped { payload_type, reason }, _) => {
                self.say(Event::RelayDropped { leg, payload_type, reason });
            }
            (attach::Event::Tone(tone), _) => self.tone_heard(now, leg, &tone),
            (attach::Event::Lost(reason), call) => {
                let result = EndResult::media_lost(&reason.to_string());
                match (self.leg(leg).map(|held| &held.party), call) {
                    (Some(Party::Bot(_)), Some(call)) => self.end_call(now, call, &result),
                    _ => self.person_gone(now, leg, &result),
                }
            }
            (attach::Event::Played, Some(call)) => {
                self.work_done(now, call, EndResult::action_completed());
            }
            (attach::Event::Recorded(recorded), Some(call)) => self.recorded(now, call, recorded),
            (attach::Event::Failed(reason), Some(call)) => {
                let current = self.calls.get(&call).and_then(|call| call.queue.current());
                if let Some(operation) = current.map(|entry| entry.operation) {
                    self.fail_work(now, call, operation, EndResult::prompt_failed(&reason));
                }
            }
            (
                attach::Event::Played | attach::Event::Recorded(_) | attach::Event::Failed(_),
                None,
            ) => {}
        }
    }

    fn work_done(&mut self, now: Instant, id: CallId, result: EndResult) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(operation) = call.queue.current().map(|entry| entry.operation) else { return };
        call.queue.remove(operation);
        self.end_operation(now, id, operation, OperationStatus::Completed, result);
        self.advance_queue(now, id);
    }

    fn recorded(&mut self, now: Instant, id: CallId, recorded: Recorded) {
        let (status, result, reason) = end_of(recorded.reason);
        let completed = status == OperationStatus::Completed;
        let recording = RecordingId::new(self.config.shard, self.random_bits());
        let token = format!("{:032x}", self.random_bits());
        let location =
            format!("{}/v1.0/communications/recordings/{recording}", self.config.base_url);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(operation) = call.queue.current().map(|entry| entry.operation) else { return };
        call.queue.remove(operation);
        if let Some(held) = call.operations.get_mut(operation) {
            held.completion_reason = Some(reason.to_string());
            held.recording_location = Some(if completed { location } else { String::new() });
            held.recording_access_token =
                Some(if completed { token.clone() } else { String::new() });
        }
        if completed {
            let wav = recorded.file.unwrap_or_default();
            self.keep_recording(id, recording, Recording { token, wav });
        }
        self.end_operation(now, id, operation, status, result);
        self.advance_queue(now, id);
    }

    fn keep_recording(&mut self, call: CallId, id: RecordingId, recording: Recording) {
        let Some(held) = self.calls.get_mut(&call) else { return };
        if held.recordings.len() >= RECORDINGS_PER_CALL_MAX {
            let oldest = held.recordings.remove(0);
            self.recordings.remove(&oldest);
        }
        held.recordings.push(id);
        self.recordings.insert(id, recording);
    }

    /// The recordings of a call that is over can be fetched for a while.
    pub(super) fn let_recordings_go(&mut self, now: Instant, call: CallId) {
        let until = now + self.config.limits.recording_kept;
        let held = self.calls.get_mut(&call).map(|held| core::mem::take(&mut held.recordings));
        for id in held.unwrap_or_default() {
            self.timers.set(Timer::Recording(id), until);
        }
    }

    /// `GET` of a recording, with the token that came with it.
    pub(super) fn fetch_recording(
        &self,
        id: RecordingId,
        bearer: Option<&str>,
    ) -> Result<Reply, ApiError> {
        let found = self.recordings.get(&id).ok_or_else(|| ApiError::not_found("Recording"))?;
        if bearer != Some(found.token.as_str()) {
            return Err(ApiError::unauthenticated("The recording needs its own access token."));
        }
        Ok(Reply::octets(found.wav.clone()))
    }

    /// The leg with which what a service-hosted bot plays and records is kept: the other
    /// side's, in a conference its own.
    fn sounding_leg(&self, id: CallId) -> Option<LegId> {
        let call = self.calls.get(&id)?;
        match self.media.is_seated(call.leg) {
            true => Some(call.leg),
            false => self.peer_of(call).map(|(leg, _)| leg),
        }
    }

    /// A key was pressed: the bots that asked are told, a recording may end.
    pub(super) fn tone_heard(&mut self, now: Instant, leg: LegId, tone: &Tone) {
        for id in self.calls_that_hear(leg) {
            self.say(Event::ToneHeard { leg, call: id, tone: tone.clone() });
            if let Some(sounding) = self.sounding_leg(id) {
                self.media.key_pressed(now, sounding, tone);
                self.media_moved(sounding);
                self.drain_media(now);
            }
            self.tell_tone(now, id, tone);
        }
    }

    fn tell_tone(&mut self, now: Instant, id: CallId, tone: &Tone) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !call.tones.subscribed || !call.state().is_connected() {
            return;
        }
        call.tones.told += 1;
        call.version += 1;
        let mut number = call.tones.told;
        if fault::is(Fault::ToneNotTold) && number % 2 == 0 {
            return;
        }
        if fault::is(Fault::ToneNumberStandsStill) {
            number = 1;
        }
        let info = graph::ToneInfo {
            sequence_id: Some(graph::Number(number)),
            tone: Some(tone.clone()),
            ..graph::ToneInfo::typed()
        };
        self.notify_call(now, id, ChangeType::Updated, |shown| shown.tone_info = Some(info));
    }
}

/// How the API says that a recording ended.
fn end_of(reason: CompletionReason) -> (OperationStatus, EndResult, RecordCompletionReason) {
    use OperationStatus::{Completed, Failed};
    use RecordCompletionReason as Reason;
    match reason {
        CompletionReason::StopToneDetected => {
            (Completed, EndResult::stop_tone(), Reason::StopToneDetected)
        }
        CompletionReason::MaxRecordDurationReached => {
            (Completed, EndResult::max_record_duration(), Reason::MaxRecordDurationReached)
        }
        CompletionReason::MaxSilenceTimeout => {
            (Completed, EndResult::max_silence(), Reason::MaxSilenceTimeout)
        }
        CompletionReason::InitialSilenceTimeout => {
            (Failed, EndResult::initial_silence(), Reason::InitialSilenceTimeout)
        }
        CompletionReason::MediaReceiveTimeout => {
            (Failed, EndResult::initial_silence(), Reason::MediaReceiveTimeout)
        }
        CompletionReason::OperationCanceled => {
            (Failed, EndResult::action_cancelled(), Reason::OperationCanceled)
        }
        CompletionReason::PlayPromptFailed => {
            (Failed, EndResult::prompt_failed("the prompt"), Reason::PlayPromptFailed)
        }
        CompletionReason::PlayBeepFailed => {
            (Failed, EndResult::prompt_failed("the beep"), Reason::PlayBeepFailed)
        }
        CompletionReason::UnspecifiedError => {
            (Failed, EndResult::prompt_failed("an error"), Reason::UnspecifiedError)
        }
    }
}

/// The rules of a recording, with the documented defaults and bounds. In 2018 recordings
/// could be longer; such a wish is cut to what is possible now.
fn record_rules(body: &graph::RecordResponse, is_old: bool) -> Result<recorder::Config, ApiError> {
    let seconds = |name: &str, value: Option<graph::Number>| match value {
        None => Ok(5),
        Some(graph::Number(number)) if is_old => {
            Ok(number.clamp(1, i64::from(recorder::SECONDS_MAX)) as u32)
        }
        Some(graph::Number(number)) => u32::try_from(number)
            .map_err(|_| ApiError::bad_request(format!("{name} is not 1 to 120."))),
    };
    let rules = recorder::Config {
        initial_silence_timeout_in_seconds: seconds(
            "initialSilenceTimeoutInSeconds",
            body.initial_silence_timeout_in_seconds,
        )?,
        max_silence_timeout_in_seconds: seconds(
            "maxSilenceTimeoutInSeconds",
            body.max_silence_timeout_in_seconds,
        )?,
        max_record_duration_in_seconds: seconds(
            "maxRecordDurationInSeconds",
            body.max_record_duration_in_seconds,
        )?,
        play_beep: body.play_beep.unwrap_or(true),
        stop_tones: body.stop_tones.clone().unwrap_or_default(),
    };
    // It knows its own rules.
    Recorder::new(rules.clone(), None, attach::sound::RATE)
        .map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok(rules)
}
