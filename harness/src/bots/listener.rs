//! A bot with application-hosted media that answers and listens.

use callrig_media::description::Description;
use callrig_media::time::Instant;
use callrig_signaling::bot::{AnswerMedia, Bot, Event};

use super::{Will, refused};

/// Answers every call and listens.
pub struct Listener {
    /// Where it listens, and to what.
    pub media: Description,
}

impl Will for Listener {
    fn heed(&mut self, now: Instant, bot: &mut Bot, event: &Event) -> Result<(), String> {
        if let Some(refusal) = refused(event) {
            return Err(refusal);
        }
        if let Event::Incoming { call, .. } = event {
            let media = AnswerMedia::AppHosted(self.media.clone());
            bot.answer(now, *call, &media).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
