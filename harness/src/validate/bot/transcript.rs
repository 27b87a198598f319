//! What crossed between the platform and the bot, and what people did and met, in order.
//! Judges read nothing else, so a disputed verdict can be judged again.

use core::time::Duration;

use callrig_media::time::Instant;
use callrig_signaling::http::{Method, Request, Response};
use serde_json::Value;

use super::capture::Capture;
use super::wire::Wire;

/// How much is kept of what crossed; more is counted.
pub const ENTRIES_MAX: usize = 4_000;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// By the platform's clock.
    pub at: Instant,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// The platform sends the bot a notification, or fetches a file from it.
    Sent(Sent),
    /// That was answered, or not.
    Replied(Replied),
    /// The bot asks the platform for something.
    Asked(Asked),
    /// That was answered.
    Answered(Answered),
    /// A person does or meets something.
    Person(u8, Person),
    /// Where the platform has a call.
    State(String),
    /// An operation began, or ended.
    Operation {
        /// `playPrompt` and its like.
        kind: String,
        /// How it stands now.
        status: &'static str,
    },
    /// The platform gave a notification up.
    GaveUp(String),
}

/// Something to the bot.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Ties it to its reply.
    pub number: u64,
    /// As it left.
    pub request: Request,
    /// Why it is not simply what the platform says: the name of a stimulus.
    pub stimulus: Option<&'static str>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Replied {
    /// That of what it answers.
    pub number: u64,
    /// Or why there is none.
    pub outcome: Result<Response, String>,
}

/// Something from the bot.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Ties it to its answer.
    pub number: u64,
    /// What it asks for: see [`action_of`].
    pub action: &'static str,
    /// As it came.
    pub request: Request,
}

/// What it was told.
#[derive(Clone, Debug)]
pub struct Answered {
    /// That of what it answers.
    pub number: u64,
    /// As it left.
    pub response: Response,
    /// Why it is not what the platform says: the name of a stimulus.
    pub stimulus: Option<&'static str>,
}

/// What a person does or meets.
#[derive(Clone, Debug, PartialEq)]
pub enum Person {
    /// Calls the bot.
    Rings,
    /// Is called.
    Rung,
    /// Takes the call.
    Answers,
    /// Does not.
    Declines,
    /// Is in a call.
    Joined,
    /// Hears something.
    Hears,
    /// Hears nothing any more: how it was.
    Quiet(Sound),
    /// Hears a key that somebody else presses.
    HearsKey(char),
    /// Presses a key.
    Presses(char),
    /// Begins to speak, for so long.
    Speaks(Duration),
    /// Covers the camera, for so long.
    Hides(Duration),
    /// Asks for key frames.
    AsksForKeyFrames,
    /// Hangs up.
    HangsUp,
    /// Asks somebody else in.
    Invites,
    /// Mutes themselves, or no longer.
    Mutes(bool),
    /// Ends the conference for everybody.
    EndsIt,
    /// Is no longer in a call: with which code.
    Left(u16, String),
    /// Could not do it.
    Failed(String),
}

/// A stretch of sound.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sound {
    /// How long.
    pub length: Duration,
    /// The loudest sample, of 32767.
    pub peak: u16,
    /// Root mean square.
    pub level: u16,
    /// How many samples stand at the end of the scale.
    pub clipped: u32,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// In order.
    pub entries: Vec<Entry>,
    /// How many found no room.
    pub left_out: usize,
    /// What crossed of media that the bot handles itself.
    pub wire: Wire,
    /// Media as it crossed.
    pub capture: Capture,
    /// Whether the script has come to its end.
    pub finished: bool,
    /// Why nothing can be concluded from it, if so.
    pub fault: Option<String>,
}

/// A notification item, with what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// When it left.
    pub at: Instant,
    /// As it left.
    pub sent: &'a Sent,
    /// When and how it was answered, if it was.
    pub reply: Option<(Instant, &'a Result<Response, String>)>,
}

/// A request of the bot, with what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// When it came.
    pub at: Instant,
    /// As it came.
    pub asked: &'a Asked,
    /// When and how it was answered, if it was.
    pub answer: Option<(Instant, &'a Answered)>,
}

impl Transcript {
    /// Keeps an entry, if there is room.
    pub fn push(&mut self, at: Instant, what: What) {
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push(Entry { at, what });
        } else {
            self.left_out += 1;
        }
    }

    /// Everything that was sent to the bot.
    pub fn sent(&self) -> impl Iterator<Item = Told<'_>> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| match &entry.what {
            What::Sent(sent) => {
                let reply = self.entries[index..].iter().find_map(|later| match &later.what {
                    What::Replied(replied) if replied.number == sent.number => {
                        Some((later.at, &replied.outcome))
                    }
                    _ => None,
                });
                Some(Told { at: entry.at, sent, reply })
            }
            _ => None,
        })
    }

    /// Notifications: what was posted to the bot by the platform itself.
    pub fn told(&self) -> impl Iterator<Item = Told<'_>> {
        self.sent()
            .filter(|told| told.sent.request.method == Method::Post && told.sent.stimulus.is_none())
    }

    /// Everything that the bot asked for.
    pub fn asks(&self) -> impl Iterator<Item = Ask<'_>> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| match &entry.what {
            What::Asked(asked) => {
                let answer = self.entries[index..].iter().find_map(|later| match &later.what {
                    What::Answered(answered) if answered.number == asked.number => {
                        Some((later.at, answered))
                    }
                    _ => None,
                });
                Some(Ask { at: entry.at, asked, answer })
            }
            _ => None,
        })
    }

    /// Requests of one kind.
    pub fn asks_for(&self, action: &'static str) -> impl Iterator<Item = Ask<'_>> {
        self.asks().filter(move |ask| ask.asked.action == action)
    }

    /// Requests about calls: not for tokens, keys and the like.
    pub fn calls_asks(&self) -> impl Iterator<Item = Ask<'_>> {
        self.asks().filter(|ask| !matches!(ask.asked.action, "token" | "metadata" | "keys"))
    }

    /// When somebody did or met this first.
    pub fn person(&self, wanted: impl Fn(&Person) -> bool) -> Option<Instant> {
        self.entries.iter().find_map(|entry| match &entry.what {
            What::Person(_, person) if wanted(person) => Some(entry.at),
            _ => None,
        })
    }

    /// When the platform first told the bot of this, and the notification.
    pub fn first_told(&self, wanted: &Kind) -> Option<Told<'_>> {
        self.told().find(|told| kinds_of(&told.sent.request).contains(wanted))
    }

    /// Whether the call was established at some time.
    #[must_use]
    pub fn was_established(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(&entry.what, What::State(state) if state == "established"))
    }

    /// Stretches of sound that people heard, with their begin.
    pub fn heard(&self) -> Vec<(Instant, Sound)> {
        let mut begun = None;
        let mut list = Vec::new();
        for entry in &self.entries {
            match &entry.what {
                What::Person(_, Person::Hears) => begun = Some(entry.at),
                What::Person(_, Person::Quiet(sound)) => {
                    if let Some(begin) = begun.take() {
                        list.push((begin, *sound));
                    }
                }
                _ => {}
            }
        }
        list
    }
}

/// What a notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Somebody calls.
    Incoming,
    /// The call is being set up.
    Establishing,
    /// It is.
    Established,
    /// Its sound flows.
    MediaActive,
    /// A key.
    Tone,
    /// An operation has ended.
    Operation,
    /// Who is in the call.
    Roster,
    /// The call ends.
    Terminated,
    /// Somebody joins a call that is recorded by policy.
    Joining,
    /// Something else.
    Other,
}

/// What the items of a notification are about.
#[must_use]
pub fn kinds_of(request: &Request) -> Vec<Kind> {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    items(&body).map(kind_of).collect()
}

/// The items of a notification.
pub fn items(body: &Value) -> impl Iterator<Item = &Value> {
    body["value"].as_array().into_iter().flatten()
}

fn kind_of(item: &Value) -> Kind {
    let url = item["resourceUrl"].as_str().or_else(|| item["resource"].as_str());
    let path = url.unwrap_or_default().to_ascii_lowercase();
    let data = &item["resourceData"];
    let odata = data["@odata.type"].as_str().unwrap_or_default();
    if path.contains("/operations") {
        return Kind::Operation;
    }
    if path.contains("/participants") {
        return Kind::Roster;
    }
    if odata.contains("participantJoining") || odata.contains("participantLeft") {
        return Kind::Joining;
    }
    if item["changeType"] == "deleted" {
        return Kind::Terminated;
    }
    if data["toneInfo"].is_object() {
        return Kind::Tone;
    }
    let state = data["state"].as_str().unwrap_or_default();
    match state.to_ascii_lowercase().as_str() {
        "incoming" => Kind::Incoming,
        "establishing" => Kind::Establishing,
        "established" => {
            let audio = data["mediaState"]["audio"].as_str().unwrap_or_default();
            let active = audio.eq_ignore_ascii_case("active");
            if active { Kind::MediaActive } else { Kind::Established }
        }
        "terminated" => Kind::Terminated,
        _ => Kind::Other,
    }
}

/// What a request asks for: the last word of an action, or a word of ours.
#[must_use]
pub fn action_of(method: Method, uri: &str) -> &'static str {
    let path = crate::app::hosted::path_of(uri).to_ascii_lowercase();
    if path.contains("/oauth2/") {
        return "token";
    }
    if path.contains("/.well-known/") {
        return "metadata";
    }
    if path.ends_with("/keys") {
        return "keys";
    }
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let last = last.rsplit('.').next().unwrap_or_default();
    const ACTIONS: [(&str, &str); 23] = [
        ("answer", "answer"),
        ("reject", "reject"),
        ("redirect", "redirect"),
        ("transfer", "transfer"),
        ("playprompt", "playPrompt"),
        ("recordresponse", "recordResponse"),
        ("record", "recordResponse"),
        ("subscribetotone", "subscribeToTone"),
        ("cancelmediaprocessing", "cancelMediaProcessing"),
        ("senddtmftones", "sendDtmfTones"),
        ("keepalive", "keepAlive"),
        ("mute", "mute"),
        ("unmute", "unmute"),
        ("muteall", "muteAll"),
        ("invite", "invite"),
        ("updaterecordingstatus", "updateRecordingStatus"),
        ("changescreensharingrole", "changeScreenSharingRole"),
        ("addlargegalleryview", "addLargeGalleryView"),
        ("updatemetadata", "updateMetadata"),
        ("startholdmusic", "startHoldMusic"),
        ("stopholdmusic", "stopHoldMusic"),
        ("participants", "participants"),
        ("operations", "operations"),
    ];
    if method == Method::Post
        && let Some((_, action)) = ACTIONS.iter().find(|(name, _)| *name == last)
    {
        return action;
    }
    if path.contains("/recordings/") {
        return "recording";
    }
    let about_calls = path.contains("/calls");
    match method {
        Method::Post if last == "calls" => "create",
        Method::Delete if about_calls && path.contains("/participants/") => "remove",
        Method::Delete if about_calls => "hangUp",
        Method::Get if last == "participants" => "listParticipants",
        Method::Get if about_calls => "get",
        _ => "other",
    }
}

/// The id of the call that a request is about, as the path spells it.
#[must_use]
pub fn call_of(uri: &str) -> Option<&str> {
    let path = crate::app::hosted::path_of(uri);
    let mut segments = path.split('/').skip_while(|segment| !segment.eq_ignore_ascii_case("calls"));
    segments.nth(1).filter(|id| !id.is_empty())
}
