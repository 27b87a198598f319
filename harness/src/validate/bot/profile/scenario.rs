//! A vendor's own scenario, in the profile: given, when, expect, with media.
//!
//! ```toml
//! [[scenario]]
//! name = "the hours are read out"
//! when = [{ hears = 1, after = "200ms", press = "1" }]
//! expect = [{ hears = 2, within = "3s" }, { asks = "playPrompt", times = 2 }]
//!
//! [[scenario]]
//! name = "who asks for help by voice is shown how"
//! when = [{ quiet = 1, play = "help-me.wav" }]
//! expect = [{ hears = 2, within = "2s" }, { sees = "change", within = "4s" }]
//! ```

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::super::script::{Act, Cue, Script, Tweaks, When};
use super::super::transcript::Kind;
use super::{key, recording, span};

/// A scenario.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows.
    pub name: String,
    /// How the platform is set up.
    #[serde(default)]
    pub given: Tweaks,
    /// What people do.
    #[serde(default)]
    pub when: Vec<Step>,
    /// What is to be seen.
    pub expect: Vec<Expect>,
    /// How long people stay, if the bot does not hang up.
    #[serde(default = "stay", deserialize_with = "span")]
    pub lasts: Duration,
}

/// What somebody does after something.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// After the bot was told of this.
    pub told: Option<Kind>,
    /// After the caller hears something for the nth time.
    pub hears: Option<u32>,
    /// After the caller hears nothing any more for the nth time.
    pub quiet: Option<u32>,
    /// How long after it.
    #[serde(deserialize_with = "span")]
    pub after: Duration,
    /// A key is pressed.
    #[serde(deserialize_with = "some_key")]
    pub press: Option<char>,
    /// The caller speaks for so long: a buzz in syllables.
    #[serde(deserialize_with = "some_span")]
    pub speak: Option<Duration>,
    /// The caller plays a recording: a WAV file of one channel and 16 bits, named from where the
    /// profile is.
    pub play: Option<PathBuf>,
    /// What is in that file, at 8,000 samples a second.
    #[serde(skip)]
    pub recording: Arc<[i16]>,
    /// The caller hangs up.
    pub hang_up: bool,
    /// The caller asks somebody else in.
    pub invite: bool,
}

/// What is to be seen.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The caller hears something for the nth time.
    pub hears: Option<u32>,
    /// The caller hears this key.
    #[serde(deserialize_with = "some_key")]
    pub hears_key: Option<char>,
    /// What the caller sees: the telephone then shows pictures.
    pub sees: Option<Sees>,
    /// The bot asks for this: `playPrompt`, `hangUp`.
    pub asks: Option<String>,
    /// So often, at least.
    pub times: Option<u32>,
    /// The call is over.
    pub over: bool,
    /// How soon after the last step, or after the call stood if there is none.
    #[serde(deserialize_with = "some_span")]
    pub within: Option<Duration>,
}

/// What a caller sees.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Sees {
    /// A picture.
    Picture,
    /// A picture that is not like the one before.
    Change,
}

impl Scenario {
    /// Reads the recordings that are played, from the folder in which the profile is.
    ///
    /// # Errors
    /// One cannot be played: the message names the file.
    pub fn read_recordings(&mut self, folder: &Path) -> Result<(), String> {
        for step in &mut self.when {
            if let Some(file) = &step.play {
                step.recording = recording::read(&folder.join(file))?;
            }
        }
        Ok(())
    }

    /// What is played to the bot.
    ///
    /// # Errors
    /// A step says nothing that could be done.
    pub fn script(&self) -> Result<Script, String> {
        let cues = self.when.iter().enumerate().map(|(index, step)| {
            step.cue().ok_or_else(|| {
                format!(
                    "step {}: it needs one of told, hears, quiet (after what) and one of press, \
                     speak, play, hang_up, invite (what is done)",
                    index + 1
                )
            })
        });
        let cues = cues.collect::<Result<Vec<_>, _>>()?;
        if self.expect.is_empty() {
            return Err("nothing is expected of it".to_owned());
        }
        let one = |one: &Expect| {
            let said = [
                one.hears.is_some(),
                one.hears_key.is_some(),
                one.sees.is_some(),
                one.asks.is_some(),
                one.over,
            ];
            said.into_iter().filter(|said| *said).count() == 1
        };
        if let Some(index) = self.expect.iter().position(|expect| !one(expect)) {
            let words = "it needs one of hears, hears_key, sees, asks, over";
            return Err(format!("expectation {}: {words}", index + 1));
        }
        let platform = self.given.clone();
        let pictures = self.expect.iter().any(|expect| expect.sees.is_some());
        Ok(Script { cues, platform, patience: self.lasts, pictures, ..Script::default() })
    }
}

impl Step {
    fn cue(&self) -> Option<Cue> {
        let when = match (self.told, self.hears, self.quiet) {
            (Some(kind), None, None) => When::Told(kind, 1),
            (None, Some(nth), None) => When::Hears(nth),
            (None, None, Some(nth)) => When::Quiet(nth),
            _ => return None,
        };
        let play = self.play.as_ref().map(|_| Arc::clone(&self.recording));
        let act = match (self.press, self.speak, play, self.hang_up, self.invite) {
            (Some(key), None, None, false, false) => Act::Press(key),
            (None, Some(length), None, false, false) => Act::Speak(length),
            (None, None, Some(samples), false, false) => Act::Say(samples),
            (None, None, None, true, false) => Act::HangUp,
            (None, None, None, false, true) => Act::Invite,
            _ => return None,
        };
        Some(Cue { when, after: self.after, act })
    }
}

const fn stay() -> Duration {
    Duration::from_secs(12)
}

fn some_span<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    span(d).map(Some)
}

fn some_key<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<char>, D::Error> {
    key(d).map(Some)
}
