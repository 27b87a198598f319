//! A search for what breaks a bot: random sequences of what people do and what goes wrong,
//! judged by rules that hold whatever happens. What breaks it is made as short as it can be.

use core::time::Duration;

use callrig_reports::Finding;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rand_pcg::Pcg64Mcg;

use super::case::{Outcome, Seen};
use super::cases::whatever_happens;
use super::profile::Profile;
use super::script::{Act, Body, Cue, How, On, Post, Roster, Script, Token, Trouble, When, cue};
use super::transcript::{Kind, Transcript};
use crate::seed::Seed;

/// How long a sequence is at most.
const STEPS_MAX: usize = 8;
/// How many shorter ones are tried.
const SHRINKS_MAX: usize = 200;

/// One step of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Somebody does something.
    Cue(Cue),
    /// Something goes wrong.
    Trouble(Trouble),
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The shortest sequence that was found to do it.
    pub steps: Vec<Step>,
    /// What it breaks.
    pub findings: Vec<Finding>,
    /// How many sequences were tried before it.
    pub tried: usize,
}

/// Searches through so many sequences; `play` plays one to the bot.
///
/// # Errors
/// Nobody can begin a call with the bot.
pub fn explore(
    profile: &Profile,
    rounds: usize,
    seed: Seed,
    mut play: impl FnMut(&Script) -> Transcript,
) -> Result<Option<Broken>, String> {
    let base = profile.contact()?;
    let mut generator = seed.derive("explore").generator();
    let mut judge = |steps: &[Step]| {
        let script = script(&base, steps);
        let transcript = play(&script);
        let seen = Seen {
            transcript: &transcript,
            profile,
            script: &script,
            plain: None,
            slack: Duration::from_millis(500),
        };
        match whatever_happens(&seen) {
            Outcome::Judged(findings) => findings,
            Outcome::NotJudged(_) | Outcome::NotMeasurable(_) => Vec::new(),
        }
    };
    for tried in 1..=rounds {
        let count = generator.random_range(1..=STEPS_MAX);
        let steps: Vec<Step> = (0..count).map(|_| step(&mut generator)).collect();
        let findings = judge(&steps);
        if !findings.is_empty() {
            let (steps, findings) = shrink(steps, findings, &mut judge);
            return Ok(Some(Broken { steps, findings, tried }));
        }
    }
    Ok(None)
}

/// Fewer steps, and shorter waits, as long as the same rule is broken.
fn shrink(
    mut steps: Vec<Step>,
    mut findings: Vec<Finding>,
    judge: &mut impl FnMut(&[Step]) -> Vec<Finding>,
) -> (Vec<Step>, Vec<Finding>) {
    let rule = findings.first().map(|finding| finding.requirement.clone()).unwrap_or_default();
    let mut tries = 0;
    loop {
        let without = (0..steps.len()).map(|index| {
            let mut fewer = steps.clone();
            fewer.remove(index);
            fewer
        });
        let sooner = (0..steps.len()).filter_map(|index| {
            let mut simpler = steps.clone();
            let Step::Cue(cue) = simpler.get_mut(index)? else { return None };
            let half = Duration::from_millis(u64::try_from(cue.after.as_millis()).ok()? / 2);
            if half < Duration::from_millis(50) {
                return None;
            }
            cue.after = half;
            Some(simpler)
        });
        let simpler: Vec<Vec<Step>> = without.chain(sooner).collect();
        let next = simpler.into_iter().find_map(|steps| {
            tries += 1;
            if tries > SHRINKS_MAX {
                return None;
            }
            let findings = judge(&steps);
            findings.iter().any(|f| f.requirement == rule).then_some((steps, findings))
        });
        match next {
            Some(found) => (steps, findings) = found,
            None => return (steps, findings),
        }
    }
}

fn script(base: &Script, steps: &[Step]) -> Script {
    let mut script = base.clone();
    for step in steps {
        match step {
            Step::Cue(cue) => script.cues.push(cue.clone()),
            Step::Trouble(trouble) => script.troubles.push(trouble.clone()),
        }
    }
    script.cues.push(cue(When::Over, 1_500, Act::Ring));
    script.cues.push(cue(When::Told(Kind::MediaActive, 2), 1_000, Act::HangUp));
    script.patience = Duration::from_secs(30);
    script.platform.rosters_after_escalation = true;
    script
}

fn step(generator: &mut Pcg64Mcg) -> Step {
    if generator.random_range(0..3) == 0 {
        return Step::Trouble(trouble(generator));
    }
    let when = match generator.random_range(0..4) {
        0 => When::Crossed(generator.random_range(1..=16)),
        1 => When::Hears(1),
        2 => When::Told(Kind::Established, 1),
        _ => When::Told(Kind::MediaActive, 1),
    };
    let keys = ['0', '1', '2', '3', '5', '9', '*', '#'];
    let posts = [
        Body::UnknownResource,
        Body::UnknownChange,
        Body::UnknownMembers,
        Body::UnknownState,
        Body::UnknownCall,
        Body::Mixed,
        Body::Empty,
        Body::Stale,
        Body::Garbage,
        Body::WrongShape,
        Body::Nothing,
        Body::Roster(Roster::Everyday),
        Body::Roster(Roster::Large),
        Body::Roster(Roster::Tomorrow),
        Body::Roster(Roster::Empty),
        Body::Roster(Roster::Delta),
        Body::Roster(Roster::Shapeless),
    ];
    let act = match generator.random_range(0..10) {
        0 => Act::HangUp,
        1 => Act::Invite,
        2 => Act::Speak(Duration::from_millis(generator.random_range(1..=15) * 200)),
        3 | 4 => {
            let body = *posts.choose(generator).unwrap_or(&Body::Empty);
            Act::Post(Post { name: "of tomorrow", body, token: Token::Good })
        }
        // Nothing comes of these where Ben was not asked in.
        5 => Act::BenLeaves,
        6 => Act::BenMutes(true),
        _ => Act::Press(*keys.choose(generator).unwrap_or(&'1')),
    };
    let after = Duration::from_millis(generator.random_range(0..60) * 50);
    Step::Cue(Cue { when, after, act })
}

fn trouble(generator: &mut Pcg64Mcg) -> Trouble {
    let kinds = [
        Kind::Incoming,
        Kind::Establishing,
        Kind::Established,
        Kind::MediaActive,
        Kind::Operation,
        Kind::Tone,
        Kind::Roster,
        Kind::Terminated,
    ];
    let actions = ["answer", "subscribeToTone", "playPrompt", "recordResponse", "hangUp", "create"];
    let told = On::Told(*kinds.choose(generator).unwrap_or(&Kind::Incoming));
    let asked = On::Asked(actions.choose(generator).copied().unwrap_or("answer"));
    let while_ = Duration::from_millis(generator.random_range(1..=30) * 100);
    let status = [400, 401, 403, 404, 409, 429, 500, 503];
    let status = *status.choose(generator).unwrap_or(&500);
    let (on, how) = match generator.random_range(0..6) {
        0 => (told, How::Again(while_)),
        1 => (told, How::Late(while_)),
        2 => (told, How::ReplyLost),
        3 => (asked, How::AnswerLate(while_)),
        4 => (asked, How::AnswerLost),
        _ => (asked, How::Answer { status, header: None, code: "Test" }),
    };
    Trouble { name: "on purpose", on, nth: Some(1), times: 1, how }
}

impl Step {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Cue(cue) => {
                let after = cue.after.as_secs_f64();
                format!("{after:.2} s after {:?}: {:?}", cue.when, cue.act)
            }
            Self::Trouble(trouble) => format!("{:?} goes wrong: {:?}", trouble.on, trouble.how),
        }
    }
}
