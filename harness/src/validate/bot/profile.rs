//! What a bot does, as its vendor declares it: what cannot be known from outside. What is
//! declared is probed; nothing becomes "unsupported" by failing.

use core::time::Duration;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use thiserror::Error;

use super::script::Script;

mod recording;
pub mod scenario;

/// A profile that is larger is none.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Profiles for the usual kinds of bots, by name.
pub const READY: &[(&str, &str)] = &[
    ("ivr", include_str!("../../../profiles/ivr.toml")),
    ("recorder", include_str!("../../../profiles/recorder.toml")),
    ("reminder", include_str!("../../../profiles/reminder.toml")),
    ("group", include_str!("../../../profiles/group.toml")),
    ("incident", include_str!("../../../profiles/incident.toml")),
    ("policy", include_str!("../../../profiles/policy.toml")),
    ("operator", include_str!("../../../profiles/operator.toml")),
    ("doorman", include_str!("../../../profiles/doorman.toml")),
    ("echo", include_str!("../../../profiles/echo.toml")),
    ("playback", include_str!("../../../profiles/playback.toml")),
    ("colours", include_str!("../../../profiles/colours.toml")),
    ("meeting", include_str!("../../../profiles/meeting.toml")),
    ("gallery", include_str!("../../../profiles/gallery.toml")),
];

/// A profile.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What the bot is, for people.
    pub name: String,
    /// What it does when it is called.
    #[serde(default)]
    pub calls: Reaction,
    /// What is heard first.
    #[serde(default)]
    pub greets: Option<Greets>,
    /// What keys lead to.
    #[serde(default, rename = "key")]
    pub keys: Vec<Key>,
    /// What it records of a caller.
    #[serde(default)]
    pub records: Option<Records>,
    /// Whom it calls when it is asked to.
    #[serde(default)]
    pub outgoing: Option<Outgoing>,
    /// Which meetings it joins when it is asked to.
    #[serde(default)]
    pub joins: Option<Joins>,
    /// It handles media itself.
    #[serde(default)]
    pub media: Option<OwnMedia>,
    /// It records people by policy.
    #[serde(default)]
    pub policy: bool,
    /// It keeps calls that nobody hangs up, for hours if need be.
    #[serde(default)]
    pub holds: bool,
    /// The vendor's own scenarios.
    #[serde(default, rename = "scenario")]
    pub scenarios: Vec<scenario::Scenario>,
}

/// What a bot does when it is called.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    /// It answers.
    #[default]
    Answers,
    /// It rejects.
    Rejects,
    /// It sends the caller elsewhere.
    Redirects,
    /// Nobody calls it: it only calls.
    Never,
}

/// What is heard first.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Greets {
    /// How long after the call stands.
    #[serde(deserialize_with = "span")]
    pub within: Duration,
}

/// What a key leads to.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Which: 0 to 9, * or #.
    #[serde(deserialize_with = "key")]
    pub press: char,
    /// To what.
    pub then: Then,
    /// How soon.
    #[serde(default = "soon", deserialize_with = "span")]
    pub within: Duration,
}

/// What a key leads to.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// Something is played.
    Plays,
    /// The caller is recorded.
    Records,
    /// The bot hangs up.
    HangsUp,
    /// The caller is put through to somebody.
    Transfers,
    /// Somebody else is asked in.
    Invites,
    /// Nothing: the call goes on.
    Nothing,
}

/// What a bot records.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// Whether it plays what was said back to the caller.
    #[serde(default)]
    pub plays_back: bool,
}

/// Media that a bot handles itself.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct OwnMedia {
    /// What is heard.
    #[serde(default)]
    pub sound: Sends,
    /// What is seen.
    #[serde(default)]
    pub video: Sends,
    /// Whether a screen is shared as well.
    #[serde(default)]
    pub screen: bool,
}

/// What a bot sends on a line.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Sends {
    /// Nothing, or nothing that could be told in advance.
    #[default]
    Anything,
    /// What it gets.
    Echoes,
    /// What it gets, changed.
    Changes,
    /// Something of its own, from the beginning of the call.
    Plays,
}

/// Whom a bot calls when it is asked to.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Outgoing {
    /// Where it is asked, over its own HTTP: a path.
    pub ask: String,
    /// With what: JSON.
    #[serde(default)]
    pub body: String,
    /// Whether several are called, as a group.
    #[serde(default)]
    pub group: bool,
    /// Whether whoever takes the call hears something.
    #[serde(default)]
    pub speaks: bool,
    /// Whether the bot hangs up by itself.
    #[serde(default)]
    pub hangs_up: bool,
}

/// How a bot is asked to join a meeting.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Joins {
    /// The path of the bot's own HTTP to which is posted.
    pub ask: String,
    /// With which JSON: `{link}`, `{thread}`, `{organizer}`, `{tenant}`, `{number}` and
    /// `{passcode}` in it stand for those of the meeting.
    pub body: String,
    /// Whether those in the meeting hear something of it.
    #[serde(default)]
    pub speaks: bool,
}

/// Why a profile cannot be used.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// Neither a file nor a ready one.
    #[error(
        "there is no profile {0:?}: it is neither a file nor one of the ready ones ({known})",
        known = READY.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    )]
    Unknown(String),
    /// The file cannot be read.
    #[error("cannot read the profile {0}: {1}")]
    Read(String, String),
    /// It is not a profile.
    #[error("{0}: {1}")]
    Parse(String, String),
}

impl Profile {
    /// A ready one by its name, or any by its file.
    ///
    /// # Errors
    /// There is none, or it cannot be understood: the message names file, line and key.
    pub fn named(name: &str) -> Result<Self, ProfileError> {
        if let Some((known, text)) = READY.iter().find(|(known, _)| *known == name) {
            return Self::parse(&format!("profile {known}"), text);
        }
        let path = Path::new(name);
        if !path.exists() {
            return Err(ProfileError::Unknown(name.to_owned()));
        }
        let refuse = |error: String| ProfileError::Read(name.to_owned(), error);
        let size = path.metadata().map_err(|error| refuse(error.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(refuse(format!(
                "it has {size} bytes; a profile has {FILE_BYTES_MAX} at most"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        let mut profile = Self::parse(name, &text)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for scenario in &mut profile.scenarios {
            let read = scenario.read_recordings(folder);
            read.map_err(|problem| {
                let problem = format!("scenario {:?}: {problem}", scenario.name);
                ProfileError::Parse(name.to_owned(), problem)
            })?;
        }
        Ok(profile)
    }

    /// From TOML; `origin` is what messages call it.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ProfileError> {
        let refuse = |problem: String| ProfileError::Parse(origin.to_owned(), problem);
        let profile: Self = toml::from_str(text).map_err(|error| refuse(error.to_string()))?;
        for scenario in &profile.scenarios {
            scenario
                .script()
                .map_err(|problem| refuse(format!("scenario {:?}: {problem}", scenario.name)))?;
        }
        let begins = profile.outgoing.is_some() || profile.joins.is_some() || profile.policy;
        if profile.calls == Reaction::Never && !begins {
            let words = "calls = \"never\" needs [outgoing], [joins], or policy = true";
            return Err(refuse(words.to_owned()));
        }
        Ok(profile)
    }

    /// The script of any dealing with this bot: a call, or the attempt of one.
    ///
    /// # Errors
    /// Nobody deals with it.
    pub fn contact(&self) -> Result<Script, String> {
        self.call().or_else(|reason| match self.calls {
            Reaction::Rejects | Reaction::Redirects => Ok(Script::default()),
            _ => Err(reason),
        })
    }

    /// The script by which a call with this bot begins, and goes well.
    ///
    /// # Errors
    /// Nobody can begin a call with it.
    pub fn call(&self) -> Result<Script, String> {
        match (self.calls, &self.outgoing) {
            (Reaction::Answers, _) => Ok(Script::default()),
            (_, Some(outgoing)) => Ok(outgoing.script()),
            (_, None) if self.joins.is_some() => self.meeting(),
            (Reaction::Never, None) if self.policy => Ok(super::cases::recorded()),
            (Reaction::Rejects, _) => Err("the bot rejects calls, as its profile says".to_owned()),
            (Reaction::Redirects, _) => {
                Err("the bot redirects calls, as its profile says".to_owned())
            }
            (Reaction::Never, None) => Err("the bot has no calls, as its profile says".to_owned()),
        }
    }

    /// The script by which the bot joins a meeting.
    ///
    /// # Errors
    /// It joins none.
    pub fn meeting(&self) -> Result<Script, String> {
        let joins = self.joins.as_ref();
        let joins = joins.ok_or("the bot joins no meetings, as its profile says")?;
        let begins =
            super::script::Begins::Meeting { path: joins.ask.clone(), body: joins.body.clone() };
        Ok(Script { begins, ..Script::default() })
    }
}

impl Outgoing {
    /// The bot is asked, and whoever it calls takes the call.
    #[must_use]
    pub fn script(&self) -> Script {
        let begins = super::script::Begins::Ask { path: self.ask.clone(), body: self.body.clone() };
        Script { begins, ..Script::default() }
    }
}

const fn soon() -> Duration {
    Duration::from_secs(4)
}

/// `4s`, `500ms`.
pub(super) fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|error| serde::de::Error::custom(format!("{text:?} is no time: {error}")))
}

/// A key of a telephone.
pub(super) fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<char, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.chars().collect::<Vec<_>>()[..] {
        [key @ ('0'..='9' | '*' | '#')] => Ok(key),
        _ => Err(serde::de::Error::custom(format!("{text:?} is no key: 0 to 9, * or #"))),
    }
}
