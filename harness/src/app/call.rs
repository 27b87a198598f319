//! One call in the hands of whoever handles it: each method does one thing and comes back
//! when it is done. What happens meanwhile waits.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use callrig_media::time::Instant;
use callrig_signaling::bot::{self, ActionId, AnswerMedia, Bot, Event, MediaFile, Record, Target};
use callrig_signaling::graph;
use callrig_signaling::id::CallId;
use tokio::sync::mpsc;

use super::media::{Lines, Media, Opened};
use super::{CallError, Line};

/// A call.
#[derive(Debug)]
pub struct Call {
    id: CallId,
    details: Box<graph::Call>,
    line: Line,
    events: mpsc::Receiver<Event>,
    waiting: VecDeque<Event>,
    over: bool,
}

impl Call {
    pub(super) const fn new(
        id: CallId,
        details: Box<graph::Call>,
        line: Line,
        events: mpsc::Receiver<Event>,
    ) -> Self {
        Self { id, details, line, events, waiting: VecDeque::new(), over: false }
    }

    /// Which.
    #[must_use]
    pub const fn id(&self) -> CallId {
        self.id
    }

    /// As the platform described it when it began.
    #[must_use]
    pub fn details(&self) -> &graph::Call {
        &self.details
    }

    /// Who called, by name, if the bot may know.
    #[must_use]
    pub fn caller(&self) -> Option<&str> {
        let identity = self.details.source.as_ref()?.identity.as_ref()?;
        identity.primary()?.display_name.as_deref()
    }

    /// The next thing that happens; `None` once the call is over.
    pub async fn event(&mut self) -> Option<Event> {
        if let Some(event) = self.waiting.pop_front() {
            return Some(event);
        }
        let event = if self.over { None } else { self.events.recv().await };
        self.over |= matches!(event, None | Some(Event::Ended { .. }));
        event
    }

    /// Waits for something to happen; everything else waits its turn.
    async fn until<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> Result<T, CallError> {
        for at in 0..self.waiting.len() {
            if let Some(found) = self.waiting.get(at).and_then(&wanted) {
                self.waiting.remove(at);
                return Ok(found);
            }
        }
        while !self.over {
            match self.events.recv().await {
                Some(event) => match wanted(&event) {
                    Some(found) => return Ok(found),
                    None => {
                        self.over |= matches!(event, Event::Ended { .. });
                        self.waiting.push_back(event);
                    }
                },
                None => self.over = true,
            }
        }
        Err(CallError::Over)
    }

    /// Anything that a bot can do to a call, and its completion where it begins an
    /// operation.
    ///
    /// # Errors
    /// It was refused, or failed.
    pub async fn perform(
        &self,
        act: impl FnOnce(&mut Bot, Instant, CallId) -> Result<ActionId, bot::CommandError>
        + Send
        + 'static,
    ) -> Result<graph::Operation, CallError> {
        let id = self.id;
        Ok(self.line.act(move |bot, now| act(bot, now, id)).await?.operation())
    }

    /// Answers, with the platform handling media, and waits until it flows.
    ///
    /// # Errors
    /// It was refused, or the caller is gone.
    pub async fn answer(&mut self) -> Result<(), CallError> {
        let media = AnswerMedia::ServiceHosted { pre_fetch: Vec::new() };
        self.perform(move |bot, now, call| bot.answer(now, call, &media)).await?;
        self.media_active().await
    }

    /// Answers, with media that the bot handles itself, and waits until it flows.
    ///
    /// # Errors
    /// There is no such media, it was refused, or the caller is gone.
    pub async fn answer_with(&mut self, lines: Lines) -> Result<Media, CallError> {
        let Opened { offer, backing, media } = self.line.host.open(lines).await?;
        self.line.back(self.id, backing).await?;
        self.perform(move |bot, now, call| bot.answer(now, call, &offer)).await?;
        self.media_active().await?;
        Ok(media)
    }

    /// Waits until the call is over.
    pub async fn over(&mut self) {
        while self.event().await.is_some() {}
    }

    /// Waits until media flows: whoever was called has answered.
    ///
    /// # Errors
    /// The call is over.
    pub async fn media_active(&mut self) -> Result<(), CallError> {
        self.until(|event| matches!(event, Event::MediaActive { .. }).then_some(())).await
    }

    /// Rejects.
    ///
    /// # Errors
    /// It was refused.
    pub async fn reject(&self, reason: graph::RejectReason) -> Result<(), CallError> {
        self.perform(move |bot, now, call| bot.reject(now, call, reason)).await.map(drop)
    }

    /// Sends the caller elsewhere.
    ///
    /// # Errors
    /// It was refused.
    pub async fn redirect(&self, target: Target) -> Result<(), CallError> {
        self.perform(move |bot, now, call| bot.redirect(now, call, &[target], None)).await.map(drop)
    }

    /// Hands the call on.
    ///
    /// # Errors
    /// It was refused.
    pub async fn transfer(&self, target: Target) -> Result<(), CallError> {
        self.perform(move |bot, now, call| bot.transfer(now, call, &target, None, None))
            .await
            .map(drop)
    }

    /// Plays a file to its end: one that the bot keeps by its name, or any by its URL.
    ///
    /// # Errors
    /// It was refused, or could not be played.
    pub async fn play(&self, file: &str) -> Result<graph::Operation, CallError> {
        let file = MediaFile { uri: self.line.url(file), resource_id: None };
        self.perform(move |bot, now, call| bot.play_prompt(now, call, &[file])).await
    }

    /// Records what the other side says; the operation names where it can be fetched.
    ///
    /// # Errors
    /// It was refused, or nothing could be recorded.
    pub async fn record(&self, record: Record) -> Result<graph::Operation, CallError> {
        self.perform(move |bot, now, call| bot.record_response(now, call, &record)).await
    }

    /// Fetches what [`Call::record`] recorded: a WAV file.
    ///
    /// # Errors
    /// It was refused, or nothing was recorded.
    pub async fn recording(&self, recorded: &graph::Operation) -> Result<Bytes, CallError> {
        let nothing = || CallError::Failed("nothing was recorded".to_owned());
        let location = recorded.recording_location.clone().ok_or_else(nothing)?;
        let token = recorded.recording_access_token.clone().ok_or_else(nothing)?;
        let id = self.id;
        let act = move |bot: &mut Bot, now| Ok(bot.fetch_recording(now, id, &location, &token));
        Ok(self.line.act(act).await?.file())
    }

    /// Asks to be told of keys; then [`Call::tone`] waits for them.
    ///
    /// # Errors
    /// It was refused.
    pub async fn subscribe_to_tone(&self) -> Result<(), CallError> {
        self.perform(|bot, now, call| bot.subscribe_to_tone(now, call)).await.map(drop)
    }

    /// The next key that the other side presses.
    ///
    /// # Errors
    /// The call is over.
    pub async fn tone(&mut self) -> Result<graph::Tone, CallError> {
        self.until(|event| match event {
            Event::Tone { tone, .. } => Some(tone.clone()),
            _ => None,
        })
        .await
    }

    /// Waits for so long, whatever happens to the call meanwhile.
    ///
    /// # Errors
    /// The bot was stopped.
    pub async fn pause(&self, length: Duration) -> Result<(), CallError> {
        self.line.pause(length).await
    }

    /// The next key, if it comes within this time.
    ///
    /// # Errors
    /// The call is over.
    pub async fn tone_within(&mut self, time: Duration) -> Result<Option<graph::Tone>, CallError> {
        let line = self.line.clone();
        tokio::select! {
            // In this order, so that a world of virtual time repeats itself.
            biased;
            tone = self.tone() => tone.map(Some),
            paused = line.pause(time) => paused.map(|()| None),
        }
    }

    /// Hangs up.
    ///
    /// # Errors
    /// It was refused: the other side was quicker.
    pub async fn hang_up(&self) -> Result<(), CallError> {
        self.perform(|bot, now, call| bot.hang_up(now, call)).await.map(drop)
    }
}
