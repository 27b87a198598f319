//! What crossed, in lines that people can read: what led to a finding, and a little of what
//! followed, of HTTP and of media.

use callrig_media::time::Instant;
use callrig_signaling::http::Response;
use serde_json::Value;

use super::transcript::{Entry, Person, Transcript, What, items};

/// How many lines before the moment are kept.
const BEFORE: usize = 14;
/// How many after it.
const AFTER: usize = 4;
/// How many characters of a body are shown.
const BODY_SHOWN: usize = 400;

/// What happened around a moment.
#[must_use]
pub fn around(transcript: &Transcript, at: Instant) -> Vec<String> {
    let shown = |entry: &&Entry| !is_noise(&entry.what);
    let (before, after): (Vec<_>, Vec<_>) =
        transcript.entries.iter().filter(shown).partition(|entry| entry.at <= at);
    let skipped = before.len().saturating_sub(BEFORE);
    let told = before.iter().skip(skipped).chain(after.iter().take(AFTER));
    let mut lines: Vec<(Instant, String)> = told.map(|entry| (entry.at, line(entry))).collect();
    let media = transcript.capture.around(at).into_iter();
    lines.extend(media.map(|(at, words)| (at, timed(at, &words))));
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn timed(at: Instant, words: &str) -> String {
    format!("{:9.3} s  {words}", at.elapsed().as_secs_f64())
}

/// Tokens and keys are looked up all the time, and lead to nothing.
fn is_noise(what: &What) -> bool {
    matches!(what, What::Asked(asked) if matches!(asked.action, "metadata" | "keys"))
}

/// One entry, in a line.
#[must_use]
pub fn line(entry: &Entry) -> String {
    let words = match &entry.what {
        What::Sent(sent) => {
            let stimulus = sent.stimulus.map(|name| format!(" ({name})")).unwrap_or_default();
            let path = crate::app::hosted::path_of(&sent.request.uri);
            let said = said(&sent.request.body);
            format!(
                "platform > bot  #{} {} {path}{stimulus} {said}",
                sent.number, sent.request.method
            )
        }
        What::Replied(replied) => {
            let how = match &replied.outcome {
                Ok(response) => answer(response),
                Err(reason) => format!("no answer: {reason}"),
            };
            format!("bot > platform  #{} {how}", replied.number)
        }
        What::Asked(asked) => {
            let path = crate::app::hosted::path_of(&asked.request.uri);
            let secret = asked.action == "token";
            let body = if secret { String::new() } else { text(&asked.request.body) };
            format!("bot > platform  #{} {} {path} {body}", asked.number, asked.request.method)
        }
        What::Answered(answered) => {
            let stimulus = answered.stimulus.map(|name| format!(" ({name})")).unwrap_or_default();
            let how = answer(&answered.response);
            format!("platform > bot  #{} {how}{stimulus}", answered.number)
        }
        What::Person(who, person) => {
            let name = if *who == 0 { "Ann" } else { "Ben" };
            format!("{name}  {}", does(person))
        }
        What::State(state) => format!("platform  the call is {state}"),
        What::Operation { kind, status } => format!("platform  {kind} is {status}"),
        What::GaveUp(reason) => format!("platform  gives a notification up: {reason}"),
    };
    let line = timed(entry.at, &words);
    callrig_reports::escape::visible(line.trim_end()).into_owned()
}

fn answer(response: &Response) -> String {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    if body["access_token"].is_string() {
        return format!("{} (a token)", response.status);
    }
    let body = if body["keys"].is_array() { String::new() } else { text(&response.body) };
    format!("{} {body}", response.status).trim_end().to_owned()
}

fn does(person: &Person) -> String {
    match person {
        Person::Rings => "calls the bot".to_owned(),
        Person::Rung => "is called".to_owned(),
        Person::Answers => "takes the call".to_owned(),
        Person::Declines => "declines".to_owned(),
        Person::Joined => "is in the call".to_owned(),
        Person::Hears => "hears something".to_owned(),
        Person::Quiet(sound) => format!(
            "hears nothing any more: {:.2} s of sound, level {}, peak {}",
            sound.length.as_secs_f64(),
            sound.level,
            sound.peak
        ),
        Person::HearsKey(key) => format!("hears the key {key}"),
        Person::Presses(key) => format!("presses {key}"),
        Person::Speaks(length) => format!("speaks for {:.1} s", length.as_secs_f64()),
        Person::Hides(length) => format!("covers the camera for {:.1} s", length.as_secs_f64()),
        Person::AsksForKeyFrames => "asks for key frames".to_owned(),
        Person::HangsUp => "hangs up".to_owned(),
        Person::Invites => "asks Ben in".to_owned(),
        Person::Mutes(true) => "mutes himself".to_owned(),
        Person::Mutes(false) => "is no longer muted".to_owned(),
        Person::EndsIt => "ends the conference for everybody".to_owned(),
        Person::Left(code, message) => format!("is no longer in the call: {code} {message}"),
        Person::Failed(reason) => format!("could not: {reason}"),
    }
}

/// What a notification says, in short.
fn said(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let short: Vec<String> = items(&value)
        .map(|item| {
            let change = item["changeType"].as_str().unwrap_or("?");
            let url = item["resourceUrl"].as_str().unwrap_or_default();
            let below = url.splitn(5, '/').nth(4).unwrap_or("call");
            let data = &item["resourceData"];
            let state = data["state"].as_str().or_else(|| data["status"].as_str());
            let tone = data["toneInfo"]["tone"].as_str().unwrap_or_default();
            let audio = data["mediaState"]["audio"].as_str().map(|a| format!("audio {a}"));
            let words = [change, below, state.unwrap_or_default(), tone];
            let mut words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            words.extend(audio.as_deref());
            words.join(" ")
        })
        .collect();
    if short.is_empty() { text(body) } else { short.join("; ") }
}

/// A body as it is, cut.
fn text(body: &[u8]) -> String {
    let start = &body[..body.len().min(64)];
    if start.contains(&0) || (body.len() <= 64 && core::str::from_utf8(body).is_err()) {
        return format!("({} bytes)", body.len());
    }
    let whole = String::from_utf8_lossy(&body[..body.len().min(4 * BODY_SHOWN)]);
    let mut shown: String = whole.chars().take(BODY_SHOWN).collect();
    if shown.len() < body.len() {
        shown.push_str(&format!("… ({} bytes)", body.len()));
    }
    shown
}
