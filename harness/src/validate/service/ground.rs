//! Where a case is played: a service somewhere, the app of the case with a webhook of its
//! own, people who do as they are told, and time. The simulated ground holds a service of
//! ours and jumps through time; the live one speaks HTTP.

use core::time::Duration;
use std::collections::BTreeMap;

use callrig_signaling::http::Headers;
use serde_json::Value;

/// A request as it is to be sent.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Header lines.
    pub headers: Headers,
    /// Its body, if it has one.
    pub body: Option<String>,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its header lines.
    pub headers: Headers,
    /// Its body; what is no JSON as a text.
    pub body: Value,
}

/// One POST to the webhook.
#[derive(Clone, Debug)]
pub struct Told {
    /// When it came, since the case began.
    pub at: Duration,
    /// Where to.
    pub path: String,
    /// Its header lines.
    pub headers: Headers,
    /// Its body; what is no JSON as a text.
    pub body: Value,
}

/// What the webhook does with notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Answers with this status, these headers.
    Answer(u16, Headers),
    /// Says nothing.
    Never,
    /// Closes the connection.
    Close,
}

/// Why somebody did not do as told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeopleError {
    /// There are no people here.
    Unsupported(String),
    /// They cannot.
    Refused(String),
}

/// The ground of one case.
pub trait Ground {
    /// Words that cases use: `app`, `secret`, `tenant`, `webhook`, the ids of people.
    fn words(&self) -> BTreeMap<String, String>;

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// No answer came, or none that can be read.
    fn ask(&mut self, ask: &Ask) -> Result<Answer, String>;

    /// The next notification, if one comes within this time.
    fn hear(&mut self, within: Duration) -> Option<Told>;

    /// Somebody does something; what is to be known of it afterwards comes back.
    ///
    /// # Errors
    /// They do not.
    fn people(&mut self, act: &str) -> Result<BTreeMap<String, String>, PeopleError>;

    /// What the webhook does with the next `count` notifications (all without a number).
    fn webhook(&mut self, conduct: Conduct, count: Option<u32>);

    /// Since the case began.
    fn now(&self) -> Duration;

    /// How much longer than it should take something is waited for, since machines have
    /// other work as well; nothing where time is made up.
    fn slack(&self) -> Duration {
        Duration::ZERO
    }
}
