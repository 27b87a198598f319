//! A bot with application-hosted media that sends back all it hears and sees: sound
//! through its own decoder and encoder, pictures as the access units that came.

use callrig_media::description::Description;
use callrig_media::event::Event as MediaEvent;
use callrig_media::time::Instant;
use callrig_signaling::bot::{Bot, Event};

use super::Will;
use super::listener::Listener;

/// Sends everything back.
pub struct Echo {
    listener: Listener,
    /// One channel of what was heard; keeps its memory.
    mono: Vec<i16>,
}

impl Echo {
    /// A bot that listens at this address.
    #[must_use]
    pub const fn new(media: Description) -> Self {
        Self { listener: Listener { media }, mono: Vec::new() }
    }
}

impl Will for Echo {
    fn heed(&mut self, now: Instant, bot: &mut Bot, event: &Event) -> Result<(), String> {
        self.listener.heed(now, bot, event)?;
        let Event::Media { call, event } = event else { return Ok(()) };
        // What cannot be sent (a line the person does not receive on) is not echoed.
        match event {
            MediaEvent::Audio(audio) if !audio.samples.is_empty() => {
                let channels = usize::from(audio.channels.max(1));
                self.mono.clear();
                self.mono.extend(audio.samples.iter().step_by(channels));
                let mono = &self.mono;
                bot.with_media(now, *call, |session| session.send_audio(now, mono).ok());
            }
            MediaEvent::Frame(frame) => {
                let line =
                    self.listener.media.media.iter().position(|line| {
                        line.payloads.iter().any(|payload| payload.codec.is_video())
                    });
                if let Some(line) = line {
                    bot.with_media(now, *call, |session| {
                        session.send_frame(now, line, &frame.data, frame.timestamp).ok()
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }
}
