//! Media that a bot handles itself, judged packet by packet as it came to the platform, and by
//! what a telephone with Opus and pictures made of it. One call serves most cases: Ann speaks,
//! shows her camera, asks for key frames, and hangs up; in another one packets are lost; in a
//! third her telephone knows G.711 first; in a fourth she hides before she speaks.

mod ear;
mod packets;
mod pictures;
mod sound;
mod sync;

use core::time::Duration;

use callrig_media::event::DropReason;
use callrig_media::time::Instant;

use super::super::case::{Case, Seen};
use super::super::profile::{OwnMedia, Profile, Sends};
use super::super::script::{Act, Script, When, cue};
use super::super::transcript::{Kind, Person};
use super::{CALL_STANDS, seconds};

/// How long after media flows Ann begins to speak, and for how long.
const SPEAKS_AFTER_MS: u64 = 800;
const SPEAKS_FOR: Duration = Duration::from_secs(2);
/// When she asks for key frames.
const ASKS_AFTER_MS: u64 = 3_500;
/// When packets begin to be lost, how many, and for how long.
const LOSES_AFTER_MS: u64 = 2_000;
const LOSES_EVERY: u32 = 5;
const LOSES_FOR: Duration = Duration::from_millis(800);

/// What everything about packets stands on.
const FLOWS: &str = "bot/own-media/flows";

pub(super) fn cases(profile: &Profile) -> Vec<Case> {
    let scripts = Scripts {
        own: own(profile).map(|_| ()),
        call: call(profile),
        loss: loss(profile),
        plain: plain(profile),
        sync: sync::script(profile),
        media: profile.media.clone().unwrap_or_default(),
    };
    let mut cases = packets::cases(&scripts);
    cases.extend(sound::cases(&scripts));
    cases.extend(pictures::cases(&scripts));
    cases.extend(sync::cases(&scripts));
    cases.into_iter().map(|case| case.after(CALL_STANDS)).collect()
}

type Play = Result<Script, String>;

/// What is played to a bot with media of its own.
struct Scripts {
    own: Result<(), String>,
    call: Play,
    loss: Play,
    plain: Play,
    sync: Play,
    media: OwnMedia,
}

impl Scripts {
    /// The call, if the bot does this on its video.
    fn pictures(&self, script: &Play, wanted: &[Sends]) -> Play {
        self.own.clone()?;
        match wanted.contains(&self.media.video) {
            true => script.clone(),
            false => Err("the bot does not do this with pictures, as its profile says".to_owned()),
        }
    }

    /// The call, if the bot does this with sound.
    fn sound(&self, script: &Play, wanted: &[Sends]) -> Play {
        self.own.clone()?;
        match wanted.contains(&self.media.sound) {
            true => script.clone(),
            false => Err("the bot does not do this with sound, as its profile says".to_owned()),
        }
    }
}

fn own(profile: &Profile) -> Result<&OwnMedia, String> {
    let words = "the platform handles the bot's media, as its profile says";
    profile.media.as_ref().ok_or_else(|| words.to_owned())
}

/// Ann speaks, shows her camera, and asks for key frames.
fn call(profile: &Profile) -> Play {
    own(profile)?;
    let mut script = profile.call()?;
    let flows = When::Told(Kind::MediaActive, 1);
    script.pictures = true;
    script.cues.push(cue(flows, SPEAKS_AFTER_MS, Act::Speak(SPEAKS_FOR)));
    script.cues.push(cue(flows, ASKS_AFTER_MS, Act::AskForKeyFrames));
    script.patience = seconds(6);
    Ok(script)
}

/// Packets of the bot's are lost for a while.
fn loss(profile: &Profile) -> Play {
    own(profile)?;
    let mut script = profile.call()?;
    let loses = Act::Lose { every: LOSES_EVERY, length: LOSES_FOR };
    script.pictures = true;
    script.cues.push(cue(When::Told(Kind::MediaActive, 1), LOSES_AFTER_MS, loses));
    script.patience = seconds(6);
    Ok(script)
}

/// Ann speaks on a telephone that likes G.711 best.
fn plain(profile: &Profile) -> Play {
    own(profile)?;
    let mut script = profile.call()?;
    let flows = When::Told(Kind::MediaActive, 1);
    script.cues.push(cue(flows, SPEAKS_AFTER_MS, Act::Speak(SPEAKS_FOR)));
    script.patience = seconds(5);
    Ok(script)
}

/// When media may flow: the bot has been told so, and Ann is in the call.
fn may_flow(seen: &Seen<'_>) -> Option<Instant> {
    let told = seen.transcript.first_told(&Kind::MediaActive)?.at;
    let joined = seen.transcript.person(|does| *does == Person::Joined)?;
    Some(told.max(joined))
}

/// When the call began to end: nothing after it is judged.
fn ends(seen: &Seen<'_>) -> Instant {
    let hung_up = seen.transcript.person(|does| *does == Person::HangsUp);
    let told = seen.transcript.first_told(&Kind::Terminated).map(|told| told.at);
    let last = seen.transcript.entries.last().map(|entry| entry.at);
    hung_up.or(told).or(last).unwrap_or_default()
}

/// The first thing that the platform dropped for one of these reasons.
fn dropped(seen: &Seen<'_>, reasons: &[DropReason]) -> Option<(Instant, String)> {
    let wire = &seen.transcript.wire;
    let meant = || wire.dropped.iter().filter(|dropped| reasons.contains(&dropped.reason));
    let first = meant().next()?;
    let mut words = format!("{:?}, {} times", first.reason, meant().count());
    if let Some(ssrc) = first.ssrc {
        words.push_str(&format!(", first in source {ssrc:#010x}"));
    }
    if let Some(number) = first.sequence_number {
        words.push_str(&format!(" at number {number}"));
    }
    Some((first.arrived, words))
}

fn millis(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1e3)
}
