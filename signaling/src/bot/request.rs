//! What a bot asks of the platform. Every request has a number ([`ActionId`]); its
//! answer is said as accepted or refused, and what it began as completed, by the client
//! context that the bot gives it.

use core::time::Duration;

use callrig_media::description::Description;
use callrig_media::time::Instant;
use callrig_media::transport::sdp;
use serde::Serialize;

use super::talk::Own;
use super::{ActionId, Bot, Step, What};
use crate::attach::blob;
use crate::fault::{self, Fault};
use crate::graph;
use crate::http::Method;
use crate::id::CallId;

/// A file to be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaFile {
    /// Where it is: WAV, one channel, 16 bits, 16 kHz.
    pub uri: String,
    /// The key under which the platform keeps it.
    pub resource_id: Option<String>,
}

impl MediaFile {
    pub(super) fn to_graph(&self) -> graph::MediaInfo {
        graph::MediaInfo {
            uri: Some(self.uri.clone()),
            resource_id: self.resource_id.clone(),
            ..graph::MediaInfo::typed()
        }
    }
}

/// Who handles a call's media.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerMedia {
    /// The platform.
    ServiceHosted {
        /// Files that will be needed soon.
        pre_fetch: Vec<MediaFile>,
    },
    /// The bot; its address is where it receives media.
    AppHosted(Description),
    /// The bot's owner, by means of his own: this is his offer, and the platform's answer is
    /// [`Event::MediaAnswer`](super::Event::MediaAnswer).
    Offered(Offer),
}

/// An offer of the owner's own making, in the form of a blob.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    blob: String,
    description: Box<Description>,
}

impl Offer {
    /// From SDP, as WebRTC stacks write it.
    ///
    /// # Errors
    /// What in it the platform could not use.
    pub fn new(sdp: &str) -> Result<Self, sdp::ParseError> {
        let description = Box::new(sdp::parse(sdp)?);
        Ok(Self { blob: blob::wrap(blob::Kind::Offer, sdp), description })
    }
}

impl AnswerMedia {
    pub(super) fn to_graph(&self) -> graph::MediaConfig {
        match self {
            Self::ServiceHosted { pre_fetch } => {
                let files: Vec<_> = pre_fetch.iter().map(MediaFile::to_graph).collect();
                graph::MediaConfig::ServiceHosted(graph::ServiceHostedMediaConfig {
                    pre_fetch_media: Some(files).filter(|files| !files.is_empty()),
                    ..graph::ServiceHostedMediaConfig::typed()
                })
            }
            Self::AppHosted(description) => {
                graph::MediaConfig::app_hosted(blob::write(blob::Kind::Offer, description))
            }
            Self::Offered(offer) => graph::MediaConfig::app_hosted(offer.blob.clone()),
        }
    }

    pub(super) fn own(&self) -> Option<Own> {
        match self {
            Self::ServiceHosted { .. } => None,
            Self::AppHosted(description) => Some(Own::Bots(Box::new(description.clone()))),
            Self::Offered(_) => Some(Own::Owners { answered: String::new() }),
        }
    }

    pub(super) fn modalities(&self) -> Vec<graph::Modality> {
        match self {
            Self::ServiceHosted { .. } => vec![graph::Modality::Audio],
            Self::AppHosted(description) => crate::service::modalities_of(description),
            Self::Offered(offer) => crate::service::modalities_of(&offer.description),
        }
    }
}

/// How to record what the other side says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Played before.
    pub prompt: Option<MediaFile>,
    /// Takes the place of what plays or records now.
    pub barge_in: bool,
    /// How long to wait for the first word; the platform's 5 s if `None`.
    pub initial_silence: Option<Duration>,
    /// How long to wait for another word; the platform's 5 s if `None`.
    pub max_silence: Option<Duration>,
    /// How long at most; the platform's 5 s if `None`.
    pub max_duration: Option<Duration>,
    /// Beep before; the platform does if `None`.
    pub beep: Option<bool>,
    /// Keys that end it.
    pub stop_tones: Vec<String>,
}

/// Why a bot cannot ask for this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The call is not known, or over.
    #[error("no such call")]
    UnknownCall,
}

impl Bot {
    /// Answers an incoming call.
    ///
    /// # Errors
    /// No such call.
    pub fn answer(
        &mut self,
        now: Instant,
        call: CallId,
        media: &AnswerMedia,
    ) -> Result<ActionId, CommandError> {
        let held = self.calls.get_mut(&call).ok_or(CommandError::UnknownCall)?;
        held.own = media.own();
        let body = graph::Answer {
            callback_uri: Some(self.config.callback_uri.clone()),
            accepted_modalities: Some(media.modalities()),
            media_config: Some(media.to_graph()),
            ..graph::Answer::default()
        };
        if fault::is(Fault::AnswerNeverSent) {
            self.actions += 1;
            return Ok(ActionId(self.actions));
        }
        self.act(now, call, "answer", What::Other, |_| body)
    }

    /// Rejects an incoming call.
    ///
    /// # Errors
    /// No such call.
    pub fn reject(
        &mut self,
        now: Instant,
        call: CallId,
        reason: graph::RejectReason,
    ) -> Result<ActionId, CommandError> {
        let body = graph::Reject { reason: Some(reason), ..graph::Reject::default() };
        self.act(now, call, "reject", What::Other, |_| body)
    }

    /// Says that a call is alive; done by itself where the configuration says how often.
    ///
    /// # Errors
    /// No such call.
    pub fn keep_alive(&mut self, now: Instant, call: CallId) -> Result<ActionId, CommandError> {
        self.known(call)?;
        let path = format!("/communications/calls/{call}/keepAlive");
        Ok(self.send(now, Method::Post, &path, None::<&()>, Some(call), What::Other))
    }

    /// Hangs up.
    ///
    /// # Errors
    /// No such call.
    pub fn hang_up(&mut self, now: Instant, call: CallId) -> Result<ActionId, CommandError> {
        self.known(call)?;
        let path = format!("/communications/calls/{call}");
        Ok(self.send(now, Method::Delete, &path, None::<&()>, Some(call), What::Other))
    }

    /// Asks how a call stands; what the platform answers replaces what is known of it.
    /// Also for a call that this bot does not know, as after a restart.
    pub fn refresh(&mut self, now: Instant, call: CallId) -> ActionId {
        let path = format!("/communications/calls/{call}");
        self.send(now, Method::Get, &path, None::<&()>, Some(call), What::Refresh)
    }

    /// Learns everything that the platform knows of a call: the call itself, who is in
    /// it and its operations. For a call of before a restart; ends with
    /// [`Event::Rehydrated`](super::Event::Rehydrated), or [`Event::Refused`](super::Event::Refused) if it is over.
    pub fn rehydrate(&mut self, now: Instant, call: CallId) -> ActionId {
        let path = format!("/communications/calls/{call}");
        // The number of this action is the next one.
        let first = ActionId(self.actions + 1);
        let what = What::Rehydrate(first, Step::Call);
        self.send(now, Method::Get, &path, None::<&()>, Some(call), what)
    }

    /// Plays prompts.
    ///
    /// # Errors
    /// No such call.
    pub fn play_prompt(
        &mut self,
        now: Instant,
        call: CallId,
        files: &[MediaFile],
    ) -> Result<ActionId, CommandError> {
        let prompts = files.iter().map(prompt).collect();
        self.act(now, call, "playPrompt", What::Operation, |context| graph::PlayPrompt {
            prompts: Some(prompts),
            client_context: Some(context),
            ..graph::PlayPrompt::default()
        })
    }

    /// Records what the other side says.
    ///
    /// # Errors
    /// No such call.
    pub fn record_response(
        &mut self,
        now: Instant,
        call: CallId,
        record: &Record,
    ) -> Result<ActionId, CommandError> {
        let seconds = |time: Option<Duration>| {
            time.map(|time| graph::Number(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)))
        };
        let stop_tones = Some(record.stop_tones.clone()).filter(|tones| !tones.is_empty());
        self.act(now, call, "recordResponse", What::Operation, |context| graph::RecordResponse {
            prompts: record.prompt.as_ref().map(|file| vec![prompt(file)]),
            barge_in_allowed: Some(record.barge_in),
            initial_silence_timeout_in_seconds: seconds(record.initial_silence),
            max_silence_timeout_in_seconds: seconds(record.max_silence),
            max_record_duration_in_seconds: seconds(record.max_duration),
            play_beep: record.beep,
            stop_tones,
            client_context: Some(context),
            ..graph::RecordResponse::default()
        })
    }

    /// Fetches what [`record_response`](Self::record_response) recorded, by what the completed
    /// operation says of it; [`Event::Fetched`](super::Event::Fetched) brings it. It is kept
    /// for a short while only.
    pub fn fetch_recording(
        &mut self,
        now: Instant,
        call: CallId,
        location: &str,
        token: &str,
    ) -> ActionId {
        let what = What::Fetch(token.to_owned());
        let (uri, body) = (location.to_owned(), None::<&()>);
        self.send_to(now, Method::Get, uri, body, Some(call), what)
    }

    /// Asks to be told of the keys that the other side presses.
    ///
    /// # Errors
    /// No such call.
    pub fn subscribe_to_tone(
        &mut self,
        now: Instant,
        call: CallId,
    ) -> Result<ActionId, CommandError> {
        self.act(now, call, "subscribeToTone", What::Operation, client_context)
    }

    /// Cancels what plays, records or waits to.
    ///
    /// # Errors
    /// No such call.
    pub fn cancel_media_processing(
        &mut self,
        now: Instant,
        call: CallId,
    ) -> Result<ActionId, CommandError> {
        self.act(now, call, "cancelMediaProcessing", What::Operation, client_context)
    }

    /// Presses keys.
    ///
    /// # Errors
    /// No such call.
    pub fn send_dtmf_tones(
        &mut self,
        now: Instant,
        call: CallId,
        tones: &[graph::Tone],
        pause: Option<Duration>,
    ) -> Result<ActionId, CommandError> {
        let pause = pause.and_then(|pause| i64::try_from(pause.as_millis()).ok());
        self.act(now, call, "sendDtmfTones", What::Operation, |context| graph::SendDtmfTones {
            tones: Some(tones.to_vec()),
            delay_between_tones_ms: pause.map(graph::Number),
            client_context: Some(context),
            ..graph::SendDtmfTones::default()
        })
    }

    /// Rejects a call for which there is no room.
    pub(super) fn reject_unknown(&mut self, now: Instant, call: CallId) {
        let reason = graph::RejectReason::Busy;
        let body = graph::Reject { reason: Some(reason), ..graph::Reject::default() };
        let path = format!("/communications/calls/{call}/reject");
        self.send(now, Method::Post, &path, Some(&body), Some(call), What::Other);
    }

    pub(super) fn known(&self, call: CallId) -> Result<(), CommandError> {
        self.calls.contains_key(&call).then_some(()).ok_or(CommandError::UnknownCall)
    }

    /// An action on a call, with the context by which its completion will be known.
    pub(super) fn act<B: Serialize>(
        &mut self,
        now: Instant,
        call: CallId,
        name: &str,
        what: What,
        body: impl FnOnce(String) -> B,
    ) -> Result<ActionId, CommandError> {
        self.known(call)?;
        let context = format!("action-{}", self.actions + 1);
        let operation = what == What::Operation;
        let path = format!("/communications/calls/{call}/{name}");
        let body = body(context.clone());
        let action = self.send(now, Method::Post, &path, Some(&body), Some(call), what);
        if let (true, Some(held)) = (operation, self.calls.get_mut(&call)) {
            held.waiting.insert(context, action);
        }
        Ok(action)
    }
}

pub(super) fn prompt(file: &MediaFile) -> graph::Prompt {
    graph::Prompt { media_info: Some(file.to_graph()), ..graph::Prompt::typed() }
}

pub(super) fn client_context(context: String) -> graph::ClientContext {
    graph::ClientContext { client_context: Some(context), ..graph::ClientContext::default() }
}
