//! What people are told in a case, taken apart: `ann rings`, `ben answers`,
//! `ann presses 12#`, `cleo joins {meeting}`, `ann admits ben`.

/// Whoever plays in cases, in the order of their numbers.
pub const PEOPLE: [&str; 4] = ["ann", "ben", "cleo", "dora"];

/// One thing that somebody does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Who.
    pub who: String,
    /// What.
    pub verb: Verb,
}

/// What somebody does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Calls the bot.
    Rings,
    /// Takes the call that rings.
    Answers,
    /// Declines it.
    Declines,
    /// Hangs up, or leaves.
    HangsUp,
    /// Presses keys.
    Presses(String),
    /// Joins a meeting, or the group call of a bot's call.
    Joins(String),
    /// Lets somebody in.
    Admits(String),
    /// Turns somebody away.
    Refuses(String),
    /// Mutes or unmutes.
    Mutes(bool),
    /// Raises or lowers a hand.
    RaisesHand(bool),
    /// Begins or ends sharing a screen.
    Shares(bool),
    /// Asks another person, or the bot, in.
    Invites(String),
    /// Ends it for all.
    EndsForAll,
    /// Is `available`, `doNotDisturb`, `offline` or `unreachable` from now on.
    Is(String),
    /// Is recorded by the bot from now on.
    IsRecorded,
}

impl Act {
    /// Reads one.
    ///
    /// # Errors
    /// It is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let who = words.next().unwrap_or_default().to_owned();
        let verb = words.next().unwrap_or_default();
        let rest = words.collect::<Vec<_>>().join(" ");
        let verb = match (verb, rest.as_str()) {
            ("rings", "") => Verb::Rings,
            ("answers", "") => Verb::Answers,
            ("declines", "") => Verb::Declines,
            ("hangs", "up") => Verb::HangsUp,
            ("presses", keys) if !keys.is_empty() => Verb::Presses(rest),
            ("joins", place) if !place.is_empty() => Verb::Joins(rest),
            ("admits", other) if !other.is_empty() => Verb::Admits(rest),
            ("refuses", other) if !other.is_empty() => Verb::Refuses(rest),
            ("mutes", "") => Verb::Mutes(true),
            ("unmutes", "") => Verb::Mutes(false),
            ("raises", "a hand") => Verb::RaisesHand(true),
            ("lowers", "a hand") => Verb::RaisesHand(false),
            ("shares", "a screen") => Verb::Shares(true),
            ("stops", "sharing") => Verb::Shares(false),
            ("invites", other) if !other.is_empty() => Verb::Invites(rest),
            ("ends", "it for all") => Verb::EndsForAll,
            ("is", "recorded") => Verb::IsRecorded,
            ("is", presence) if !presence.is_empty() => Verb::Is(rest),
            _ => return Err(format!("{text:?} is nothing that people do")),
        };
        match PEOPLE.contains(&who.as_str()) {
            true => Ok(Self { who, verb }),
            false => Err(format!("nobody is called {who:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_do_what_is_understood() {
        let act = Act::parse("ann presses 1 2").expect("keys");
        assert_eq!(act, Act { who: "ann".into(), verb: Verb::Presses("1 2".into()) });
        assert!(Act::parse("ann hangs up").is_ok());
        for text in ["", "ann", "ann flies", "zoe rings", "ann hangs"] {
            assert!(Act::parse(text).is_err(), "{text}");
        }
    }
}
