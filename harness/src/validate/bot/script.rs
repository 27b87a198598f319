//! What happens to a bot in a case: what people do and when, and what goes otherwise than
//! it should on the way. A script is data, so that a case, a vendor's scenario and a random
//! search are the same thing.

use core::time::Duration;
use std::sync::Arc;

use serde::Deserialize;

use super::transcript::Kind;

/// A script.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// How it begins.
    pub begins: Begins,
    /// What people do.
    pub cues: Vec<Cue>,
    /// What goes otherwise than it should.
    pub troubles: Vec<Trouble>,
    /// How the platform is set up.
    pub platform: Tweaks,
    /// When people hang up, if the call has not ended by itself.
    pub patience: Duration,
    /// How long the bot is watched after the end.
    pub aftermath: Duration,
    /// Whether Ann's telephone speaks Opus and shows pictures, and what crosses of media is noted.
    pub pictures: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            begins: Begins::Ring,
            cues: Vec::new(),
            troubles: Vec::new(),
            platform: Tweaks::default(),
            patience: Duration::from_secs(12),
            aftermath: Duration::from_secs(4),
            pictures: false,
        }
    }
}

/// How a script begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Begins {
    /// Ann calls the bot.
    Ring,
    /// The bot is asked to do something, over its own HTTP; whom it calls answers as told.
    Ask {
        /// Where.
        path: String,
        /// With what.
        body: String,
    },
    /// Ann, who is recorded by policy, comes into a meeting.
    Policy,
    /// Ann and Ben are in a meeting, and the bot is asked, over its own HTTP, to join it.
    Meeting {
        /// Where.
        path: String,
        /// With what: `{link}`, `{thread}`, `{organizer}`, `{tenant}`, `{number}` and
        /// `{passcode}` stand for those of the meeting.
        body: String,
    },
    /// Nobody does anything: only what the cues say.
    Nothing,
}

/// What somebody does, when.
#[derive(Clone, Debug, PartialEq)]
pub struct Cue {
    /// After what.
    pub when: When,
    /// How long after it.
    pub after: Duration,
    /// What.
    pub act: Act,
}

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The beginning.
    Start,
    /// The bot has taken the nth notification of this kind.
    Told(Kind, u32),
    /// The bot asked for the nth time for this.
    Asked(&'static str, u32),
    /// Somebody hears something, for the nth time.
    Hears(u32),
    /// Somebody hears nothing any more, for the nth time.
    Quiet(u32),
    /// So much has crossed, both ways together.
    Crossed(u32),
    /// The call is over.
    Over,
}

/// What is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Ann presses a key.
    Press(char),
    /// Ann hangs up.
    HangUp,
    /// Ann speaks.
    Speak(Duration),
    /// Ann says what was recorded: 16 bits, 8,000 samples a second.
    Say(Arc<[i16]>),
    /// Ann's camera shows nothing for so long.
    Hide(Duration),
    /// Ann asks for key frames of all pictures that she sees.
    AskForKeyFrames,
    /// For so long, one of so many packets of the bot's is lost.
    Lose {
        /// Of how many.
        every: u32,
        /// For how long.
        length: Duration,
    },
    /// Ann asks Ben in: the call becomes a conference.
    Invite,
    /// Ann calls, or calls again.
    Ring,
    /// Ann, who is recorded by policy, and Ben come into a meeting.
    Meet,
    /// Ann and Ben come into a meeting, and the bot is asked to come, too.
    Gather,
    /// The bot, which waits in the lobby, is let in.
    LetIn,
    /// The bot, which waits in the lobby, is turned away.
    TurnAway,
    /// Ben comes into the conference that the bot is in.
    BenComes,
    /// Ben, who is in the same conference, mutes himself, or no longer.
    BenMutes(bool),
    /// Ben, who is in the same conference, leaves.
    BenLeaves,
    /// Ben ends the conference for everybody.
    BenEndsIt,
    /// Somebody posts something to the bot that the platform would not.
    Post(Post),
    /// The platform publishes another key and signs with it from now on.
    NewKey,
}

/// Something that the platform would not send, or not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Post {
    /// What it is called in the transcript.
    pub name: &'static str,
    /// What it says.
    pub body: Body,
    /// With which token.
    pub token: Token,
}

/// What an unusual post says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Somebody calls: a call that the platform does not know.
    Incoming,
    /// The call that there is has ended.
    Ended,
    /// A key was pressed in the call that there is.
    Tone(char),
    /// Something about a call that the bot never heard of.
    UnknownCall,
    /// A resource below the call that there is, of a kind of tomorrow.
    UnknownResource,
    /// A change of a kind of tomorrow.
    UnknownChange,
    /// Members of tomorrow, everywhere.
    UnknownMembers,
    /// A state of tomorrow.
    UnknownState,
    /// An envelope without items.
    Empty,
    /// Two items of the call that there is and of one that is not, in one envelope.
    Mixed,
    /// An old state of the call that there is, again.
    Stale,
    /// Who is in the call that there is, as a roster of this kind.
    Roster(Roster),
    /// No JSON.
    Garbage,
    /// JSON that is no notification.
    WrongShape,
    /// No bytes.
    Nothing,
    /// A megabyte of spaces, and then JSON.
    Padded,
    /// Lists in lists in lists.
    Deep,
}

/// A roster that is not an everyday one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roster {
    /// With two people.
    Everyday,
    /// With three hundred people.
    Large,
    /// With people of kinds, and members, of tomorrow; some say next to nothing of themselves.
    Tomorrow,
    /// With nobody.
    Empty,
    /// As what has changed since another (`deltaParticipants`), which nobody asked for.
    Delta,
    /// That is no list.
    Shapeless,
}

/// The token of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// As it should be.
    Good,
    /// None.
    Missing,
    /// Words that are no token.
    Garbage,
    /// A scheme other than Bearer.
    Scheme,
    /// `alg: none`, without a signature.
    AlgNone,
    /// `alg: HS256`, with the public key as the secret.
    Hmac,
    /// Signed by a key that the platform does not have, under the name of one that it has.
    OtherKey,
    /// Signed by a key that the platform does not have, under its own name.
    UnknownKey,
    /// The claims changed after signing.
    Tampered,
    /// The signature left out.
    Unsigned,
    /// Of yesterday.
    Expired,
    /// Of tomorrow.
    NotYet,
    /// For another bot.
    Audience,
    /// Of another issuer.
    Issuer,
    /// Without a tenant.
    NoTenant,
    /// Without an end.
    NoExpiry,
    /// The bot's own token for the API.
    ApiToken,
}

/// What goes otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// What it is called in the transcript.
    pub name: &'static str,
    /// On what.
    pub on: On,
    /// On which of them, counted from 1; on each without it.
    pub nth: Option<u32>,
    /// On how many from there on.
    pub times: u32,
    /// What happens.
    pub how: How,
}

/// What is troubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Notifications of this kind.
    Told(Kind),
    /// All notifications.
    AnyTold,
    /// Requests of this kind.
    Asked(&'static str),
    /// All requests about calls.
    AnyAsked,
}

/// How it is troubled.
#[derive(Clone, Debug, PartialEq)]
pub enum How {
    /// It comes later.
    Late(Duration),
    /// It comes again, so long after.
    Again(Duration),
    /// The bot's reply is lost, so it is sent again.
    ReplyLost,
    /// The request is answered so, and goes no further.
    Answer {
        /// Status.
        status: u16,
        /// Header, if any.
        header: Option<(&'static str, &'static str)>,
        /// Code of the error in the body; no body without.
        code: &'static str,
    },
    /// The request is carried out, and its answer never comes.
    AnswerLost,
    /// The answer comes later.
    AnswerLate(Duration),
}

/// How the platform is set up otherwise than usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tweaks {
    /// Several notifications may be in one POST.
    pub batched: bool,
    /// An incoming call is told in the form of Skype first.
    pub legacy: bool,
    /// `established` is told before `establishing`.
    pub established_first: bool,
    /// Members of enumerations in PascalCase.
    pub pascal_case: bool,
    /// Ben, who is called, declines.
    pub declines: bool,
    /// Ben, who is called, lets it ring.
    pub lets_ring: bool,
    /// A bot is told who is in a call that grew, as of late; else as the seed of the API has it.
    pub rosters_after_escalation: bool,
    /// Whoever comes into a meeting waits in its lobby, but for who organises it.
    pub lobby: bool,
}

impl Script {
    /// Ann calls, and these things happen.
    #[must_use]
    pub fn with(cues: Vec<Cue>) -> Self {
        Self { cues, ..Self::default() }
    }
}

/// So long after something, somebody does this.
#[must_use]
pub const fn cue(when: When, after_ms: u64, act: Act) -> Cue {
    Cue { when, after: Duration::from_millis(after_ms), act }
}
