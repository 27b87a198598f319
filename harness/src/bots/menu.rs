//! A bot with service-hosted media, like the voice menu of a telephone exchange: it
//! answers, plays a prompt that the platform fetches from it, and is told the keys.

use bytes::Bytes;
use callrig_corpora::format::wav;
use callrig_media::time::Instant;
use callrig_signaling::bot::{AnswerMedia, Bot, Event, MediaFile};
use callrig_signaling::http::{Method, Request, Response};

use super::{Will, refused};

/// Where the prompt lies on the bot's host.
const PROMPT_PATH: &str = "/prompts/menu.wav";
/// Service-hosted prompts are 16 kHz, mono, 16 bits.
const PROMPT_RATE: u32 = 16_000;

/// A voice menu.
pub struct Menu {
    prompt: MediaFile,
    file: Bytes,
}

impl Menu {
    /// A menu whose prompts are fetched from this host (`https://bot.test`).
    #[must_use]
    pub fn new(host: &str) -> Self {
        let prompt = MediaFile {
            uri: format!("{host}{PROMPT_PATH}"),
            resource_id: Some("9d4f2a1e-0d4b-4d0e-9c57-5f0a7a3c6b11".to_owned()),
        };
        Self { prompt, file: prompt_file() }
    }
}

impl Will for Menu {
    fn heed(&mut self, now: Instant, bot: &mut Bot, event: &Event) -> Result<(), String> {
        if let Some(refusal) = refused(event) {
            return Err(refusal);
        }
        let outcome = match event {
            Event::Incoming { call, .. } => {
                let pre_fetch = vec![self.prompt.clone()];
                bot.answer(now, *call, &AnswerMedia::ServiceHosted { pre_fetch })
            }
            Event::MediaActive { call } => bot
                .subscribe_to_tone(now, *call)
                .and_then(|_| bot.play_prompt(now, *call, core::slice::from_ref(&self.prompt))),
            _ => return Ok(()),
        };
        outcome.map(|_| ()).map_err(|error| error.to_string())
    }

    fn serve(&mut self, request: &Request) -> Option<Response> {
        if request.method != Method::Get || !request.uri.ends_with(PROMPT_PATH) {
            return None;
        }
        Some(Response {
            id: request.id,
            status: 200,
            headers: [("Content-Type", "audio/wav")].into(),
            body: self.file.clone(),
        })
    }
}

/// A second of a soft 400 Hz triangle: nobody takes it for a key (Q.23) or for speech.
fn prompt_file() -> Bytes {
    const PERIOD: i32 = PROMPT_RATE.cast_signed() / 400;
    let samples = (0..PROMPT_RATE.cast_signed()).map(|index| {
        let phase = index % PERIOD;
        let rising = if phase < PERIOD / 2 { phase } else { PERIOD - phase };
        ((rising - PERIOD / 4) * 200) as i16
    });
    let samples: Vec<i16> = samples.collect();
    let mut file = std::io::Cursor::new(Vec::new());
    wav::write_pcm(&mut file, PROMPT_RATE, 1, samples).expect("a second of sound fits into memory");
    file.into_inner().into()
}
