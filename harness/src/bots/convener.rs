//! A bot with application-hosted media that makes a meeting, joins it, and listens to what the
//! others say and show there until they are gone.

use callrig_media::description::Description;
use callrig_media::time::Instant;
use callrig_signaling::bot::{AnswerMedia, Bot, Event, Join};
use callrig_signaling::graph::OnlineMeeting;
use callrig_signaling::id::UserId;
use serde_json::json;

use super::{Will, refused};

/// Holds a meeting that everybody may come into.
pub struct Convener {
    organizer: UserId,
    media: Description,
    /// Whether somebody else has been there.
    had_guests: bool,
}

impl Convener {
    /// A bot that holds a meeting in the name of a person, and listens at this address.
    #[must_use]
    pub const fn new(organizer: UserId, media: Description) -> Self {
        Self { organizer, media, had_guests: false }
    }
}

impl Will for Convener {
    fn begin(&mut self, now: Instant, bot: &mut Bot) -> Result<(), String> {
        let open =
            json!({ "subject": "all of us", "lobbyBypassSettings": { "scope": "everyone" } });
        let meeting: OnlineMeeting =
            serde_json::from_value(open).map_err(|error| error.to_string())?;
        bot.create_meeting(now, &self.organizer, &meeting);
        Ok(())
    }

    fn heed(&mut self, now: Instant, bot: &mut Bot, event: &Event) -> Result<(), String> {
        if let Some(refusal) = refused(event) {
            return Err(refusal);
        }
        match event {
            Event::Answered { body, .. } => {
                if let Some(join) = body["joinWebUrl"].as_str().and_then(Join::from_link) {
                    bot.join(now, &join, &AnswerMedia::AppHosted(self.media.clone()));
                }
            }
            Event::RosterChanged { call, participants } => {
                let others = participants.len() > 1;
                if self.had_guests && !others {
                    bot.hang_up(now, *call).map_err(|error| error.to_string())?;
                }
                self.had_guests |= others;
            }
            _ => {}
        }
        Ok(())
    }
}
