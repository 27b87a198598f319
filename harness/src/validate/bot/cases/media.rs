//! What callers hear, and what the platform fetches to play it; what is recorded of them.

use callrig_signaling::http::Method;

use super::super::case::{Case, Outcome, Seen, judged};
use super::super::profile::Profile;
use super::super::script::{Act, Script, When, cue};
use super::super::transcript::{Kind, Person};
use super::{CALL_STANDS, seconds, status};
use crate::case::rule::Rule;

const GREETS: Rule = Rule::must(
    "bot/media/greeting-is-heard",
    "the bot's profile",
    "Whoever calls hears the greeting, in the time that the profile says.",
);
const FILE: Rule = Rule::must(
    "bot/media/prompt-file",
    "Graph API: mediaInfo",
    "A prompt can be fetched, and is a WAV file of one channel, 16 bits, 16 kHz.",
);
const QUIET: Rule = Rule::should(
    "bot/media/not-too-quiet",
    "ITU-T P.56; this project: -40 dB of full scale",
    "What is played is loud enough to be understood.",
);
const CLIPPED: Rule = Rule::should(
    "bot/media/not-clipped",
    "this project: less than one sample in a hundred",
    "What is played is not driven into the ends of the scale.",
);
const FETCHED_QUICKLY: Rule = Rule::should(
    "bot/media/prompt-comes-quickly",
    "this project",
    "A prompt's file comes within two seconds: until then the caller hears nothing.",
);
const RECORDS: Rule = Rule::must(
    "bot/media/records",
    "the bot's profile",
    "A bot that records its callers asks the platform for it.",
);
const PLAYS_BACK: Rule = Rule::must(
    "bot/media/plays-back",
    "the bot's profile",
    "A bot that plays back what it recorded fetches the recording with its token, and plays it.",
);
const FETCH_TOKEN: Rule = Rule::must(
    "bot/media/recording-token",
    "Graph API: recordOperation, recordingAccessToken",
    "A recording is fetched with the access token of its operation, as a bearer.",
);

/// -40 dB of full scale.
pub(super) const QUIET_LEVEL: u16 = 327;

pub(super) fn cases(profile: &Profile) -> Vec<Case> {
    let greets = || match profile.greets {
        Some(_) => profile.call(),
        None => Err("the bot does not greet, as its profile says".to_owned()),
    };
    let speaks = || match (&profile.greets, &profile.outgoing) {
        (Some(_), _) => profile.call(),
        (None, Some(outgoing)) if outgoing.speaks => profile.call(),
        _ => Err("the bot plays nothing, as its profile says".to_owned()),
    };
    let records = |plays_back: bool| match &profile.records {
        Some(records) if records.plays_back || !plays_back => {
            profile.call().map(|script| speaking(profile, script))
        }
        Some(_) => Err("the bot plays nothing back, as its profile says".to_owned()),
        None => Err("the bot records nothing, as its profile says".to_owned()),
    };
    let cases = [
        Case::new("bot/media/greeting", "the greeting is heard", &[GREETS], greets(), greeting)
            .timed(),
        Case::new(
            "bot/media/prompt-file",
            "prompts are files as the platform wants them",
            &[FILE, FETCHED_QUICKLY],
            speaks(),
            file,
        ),
        Case::new(
            "bot/media/loudness",
            "what is heard is loud enough",
            &[QUIET],
            speaks(),
            loudness,
        ),
        Case::new(
            "bot/media/clipping",
            "what is heard is not clipped",
            &[CLIPPED],
            speaks(),
            clipping,
        ),
        Case::new(
            "bot/media/records",
            "the caller is recorded",
            &[RECORDS],
            records(false),
            recorded,
        ),
        Case::new(
            "bot/media/plays-back",
            "the caller hears what was recorded",
            &[PLAYS_BACK, FETCH_TOKEN],
            records(true),
            plays_back,
        ),
    ];
    cases.into_iter().map(|case| case.after(CALL_STANDS)).collect()
}

/// The caller says something once there is silence to say it in.
fn speaking(profile: &Profile, mut script: Script) -> Script {
    let when = match profile.greets {
        Some(_) => When::Quiet(1),
        None => When::Asked("recordResponse", 1),
    };
    script.cues.push(cue(when, 700, Act::Speak(seconds(2))));
    script.patience = seconds(20);
    script
}

fn greeting(seen: &Seen<'_>) -> Outcome {
    let Some(greets) = &seen.profile.greets else {
        return Outcome::NotJudged("the bot does not greet".to_owned());
    };
    let stands = [Kind::MediaActive, Kind::Established]
        .iter()
        .find_map(|kind| seen.transcript.first_told(kind));
    let Some(stands) = stands else {
        return Outcome::NotJudged("the call never stood".to_owned());
    };
    let deadline = stands.at + greets.within + seen.slack;
    let heard = seen.transcript.person(|does| *does == Person::Hears);
    judged(heard.is_none_or(|heard| heard > deadline).then(|| {
        let actual = match heard {
            Some(heard) => format!("after {:.3} s", heard.since(stands.at).as_secs_f64()),
            None => "nothing".to_owned(),
        };
        let expected = format!("sound within {:.1} s", greets.within.as_secs_f64());
        seen.broken(&GREETS, heard.unwrap_or(deadline), expected, actual)
    }))
}

fn file(seen: &Seen<'_>) -> Outcome {
    let mut any = false;
    for fetched in seen.transcript.sent().filter(|told| told.sent.request.method == Method::Get) {
        any = true;
        let (at, status) = status(&fetched);
        let bytes = match fetched.reply {
            Some((_, Ok(response))) if response.is_success() => &response.body[..],
            _ => {
                let actual = super::told_so(&fetched);
                let path = crate::app::hosted::path_of(&fetched.sent.request.uri).to_owned();
                let actual = format!("{path}: {actual}");
                return judged(Some(seen.broken(&FILE, at, "200 and a file", actual)));
            }
        };
        if let Some(fault) = wav_fault(bytes) {
            return judged(Some(seen.broken(
                &FILE,
                at,
                "WAV, one channel, 16 bits, 16 kHz",
                fault,
            )));
        }
        let took = at.since(fetched.at);
        if took > seconds(2) + seen.slack {
            let actual = format!("{status} after {:.3} s", took.as_secs_f64());
            return judged(Some(seen.broken(&FETCHED_QUICKLY, at, "within 2 s", actual)));
        }
    }
    match any {
        true => judged(None),
        false => Outcome::NotJudged("the platform fetched no prompt".to_owned()),
    }
}

/// What is wrong with a prompt's file: its header is looked at (RIFF, `fmt `).
fn wav_fault(bytes: &[u8]) -> Option<String> {
    if bytes.get(..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
        return Some("a file that is no WAV".to_owned());
    }
    let at = bytes.windows(4).position(|four| four == b"fmt ").map(|at| at + 8);
    let fields = at.and_then(|at| bytes.get(at..at + 16));
    let Some(fields) = fields else { return Some("a WAV file without a format".to_owned()) };
    let short = |at: usize| u16::from_le_bytes([fields[at], fields[at + 1]]);
    let rate = u32::from_le_bytes([fields[4], fields[5], fields[6], fields[7]]);
    let (format, channels, bits) = (short(0), short(2), short(14));
    let good = matches!(format, 1 | 0xfffe) && channels == 1 && bits == 16 && rate == 16_000;
    (!good).then(|| format!("format {format}, {channels} channels, {bits} bits, {rate} Hz"))
}

fn loudness(seen: &Seen<'_>) -> Outcome {
    let heard = seen.transcript.heard();
    if heard.is_empty() {
        return Outcome::NotJudged("nothing was heard".to_owned());
    }
    let quiet = heard.into_iter().find(|(_, sound)| sound.level < QUIET_LEVEL);
    judged(quiet.map(|(at, sound)| {
        let actual = format!("{:.1} dB", decibels(sound.level));
        seen.broken(&QUIET, at + sound.length, "-40 dB of full scale or more", actual)
    }))
}

fn clipping(seen: &Seen<'_>) -> Outcome {
    clipped(seen, &CLIPPED)
}

/// Whether what a bot sends stays within the scale, as this rule asks.
pub(super) fn clipped(seen: &Seen<'_>, rule: &Rule) -> Outcome {
    let heard = seen.transcript.heard();
    if heard.is_empty() {
        return Outcome::NotJudged("nothing was heard".to_owned());
    }
    // Of G.711's 8,000 samples a second.
    let share = |sound: &super::super::transcript::Sound| {
        f64::from(sound.clipped) / (sound.length.as_secs_f64() * 8_000.0).max(1.0)
    };
    let loud = heard.into_iter().find(|(_, sound)| share(sound) > 0.01);
    judged(loud.map(|(at, sound)| {
        let actual = format!("{:.1} % of the samples", share(&sound) * 100.0);
        seen.broken(rule, at + sound.length, "less than 1 % at the ends of the scale", actual)
    }))
}

pub(super) fn decibels(level: u16) -> f64 {
    20.0 * (f64::from(level.max(1)) / 32_768.0).log10()
}

fn recorded(seen: &Seen<'_>) -> Outcome {
    let asked = seen.transcript.asks_for("recordResponse").next().is_some();
    let end = seen.transcript.entries.last().map(|entry| entry.at).unwrap_or_default();
    judged((!asked).then(|| seen.broken(&RECORDS, end, "recordResponse", "never asked for")))
}

fn plays_back(seen: &Seen<'_>) -> Outcome {
    let spoke = seen.transcript.person(|does| matches!(does, Person::Speaks(_)));
    let Some(spoke) = spoke else {
        return Outcome::NotJudged("the call did not come so far".to_owned());
    };
    let end = seen.transcript.entries.last().map(|entry| entry.at).unwrap_or_default();
    let fetched = seen.transcript.asks_for("recording").next();
    let refused = fetched.and_then(|ask| ask.answer).filter(|(_, a)| !a.response.is_success());
    if let Some((at, answered)) = refused {
        let actual = answered.response.status.to_string();
        return judged(Some(seen.broken(&FETCH_TOKEN, at, "the token of the operation", actual)));
    }
    let played = seen.transcript.asks_for("playPrompt").any(|ask| ask.at > spoke);
    judged((fetched.is_none() || !played).then(|| {
        let actual = match fetched {
            None => "the recording is not fetched",
            Some(_) => "nothing is played afterwards",
        };
        seen.broken(&PLAYS_BACK, end, "the recording is fetched and played", actual)
    }))
}
