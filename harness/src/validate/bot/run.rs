//! Which cases apply to a bot, which scripts they need, and what their judges make of what
//! crossed: the same in both worlds. A case whose foundations did not hold is not judged,
//! and says which case to look at first.

use core::time::Duration;
use std::collections::BTreeMap;

use callrig_reports::{CaseResult, Level, Verdict};

use super::case::{Case, Outcome, Seen};
use super::profile::Profile;
use super::script::{Act, On, Script};
use super::transcript::Transcript;
use crate::case::Selection;

/// How the reason of what could not be measured begins.
const UNMEASURED: &str = "not measurable";

/// What there is to do.
pub struct Plan<'a> {
    /// What the bot is said to do.
    pub profile: &'a Profile,
    /// Every case, those that do not apply included.
    pub cases: Vec<Case>,
    /// What has to be played, each once.
    pub scripts: Vec<Script>,
    selected: Vec<bool>,
}

/// How strict judgement is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rigour {
    /// How far the clock may be off.
    pub slack: Duration,
    /// Whether the machine was too busy for times to mean anything, and how that shows.
    pub busy: Option<Duration>,
}

impl<'a> Plan<'a> {
    /// Cases that were asked for, and those that they need.
    #[must_use]
    pub fn new(profile: &'a Profile, selection: &Selection) -> Self {
        let cases = super::cases::all(profile);
        let mut selected: Vec<bool> = cases.iter().map(|case| selection.takes(&case.id)).collect();
        let mut wanted = selected.clone();
        // Needs come before what needs them, or are found in another round.
        loop {
            let before = wanted.clone();
            for (index, case) in cases.iter().enumerate().filter(|(index, _)| before[*index]) {
                let _ = index;
                for need in &case.needs {
                    if let Some(at) = cases.iter().position(|other| other.id == *need) {
                        wanted[at] = true;
                    }
                }
            }
            if wanted == before {
                break;
            }
        }
        let mut scripts: Vec<Script> = profile.contact().into_iter().collect();
        for (case, _) in cases.iter().zip(&wanted).filter(|(_, wanted)| **wanted) {
            if let Ok(script) = &case.script
                && !scripts.contains(script)
            {
                scripts.push(script.clone());
            }
        }
        selected.resize(cases.len(), false);
        Self { profile, cases, scripts, selected }
    }

    /// Leaves out what real time does not show: what takes longer than this, and what a bot
    /// that runs does once for all its calls.
    #[must_use]
    pub fn in_real_time(mut self, longest: Duration) -> Self {
        let once = |on| matches!(on, On::Asked("token" | "metadata"));
        let why = |script: &Script| {
            if script.patience > longest {
                let minutes = script.patience.as_secs() / 60;
                Some(format!("it takes {minutes} minutes: judged in virtual time only"))
            } else if script.troubles.iter().any(|trouble| once(trouble.on))
                || script.cues.iter().any(|cue| cue.act == Act::NewKey)
            {
                let words = "a bot that runs has its token and the keys already";
                Some(format!("{words}: judged in virtual time only"))
            } else {
                None
            }
        };
        for case in &mut self.cases {
            if let Some(reason) = case.script.as_ref().ok().and_then(why) {
                case.script = Err(reason);
            }
        }
        self.scripts.retain(|script| why(script).is_none());
        self
    }

    /// Which of the scripts a case is judged by.
    #[must_use]
    pub fn script_of(&self, case: &str) -> Option<usize> {
        let case = self.cases.iter().find(|known| known.id == case)?;
        let script = case.script.as_ref().ok()?;
        self.scripts.iter().position(|known| known == script)
    }

    /// How many cases were asked for and apply.
    #[must_use]
    pub fn count(&self) -> usize {
        let applies = |(case, selected): &(&Case, &bool)| **selected && case.script.is_ok();
        self.cases.iter().zip(&self.selected).filter(applies).count()
    }

    /// What the judges conclude from what crossed: transcripts in the order of
    /// [`Plan::scripts`].
    #[must_use]
    pub fn judge(&self, transcripts: &[Transcript], rigour: &Rigour) -> Vec<CaseResult> {
        let plain = self.profile.contact().ok();
        let plain = plain.and_then(|script| self.find(&script, transcripts));
        let mut verdicts: BTreeMap<&str, Verdict> = BTreeMap::new();
        let mut results = BTreeMap::new();
        let mut left: Vec<usize> = (0..self.cases.len()).collect();
        while !left.is_empty() {
            let before = left.len();
            left.retain(|index| {
                let case = &self.cases[*index];
                let known = |need: &&str| {
                    verdicts.contains_key(*need) || !self.cases.iter().any(|c| c.id == **need)
                };
                if !case.needs.iter().all(known) {
                    return true;
                }
                let result = self.result(case, transcripts, plain, &verdicts, rigour);
                // What could not be measured says nothing against what stands on it.
                let unmeasured =
                    result.reason.as_deref().is_some_and(|reason| reason.starts_with(UNMEASURED));
                let verdict = if unmeasured { Verdict::Unsupported } else { result.verdict };
                verdicts.insert(&case.id, verdict);
                results.insert(*index, result);
                false
            });
            if left.len() == before {
                // Cases that need each other: a mistake of ours, which must not hang.
                break;
            }
        }
        let chosen = |(index, result): (usize, CaseResult)| self.selected[index].then_some(result);
        results.into_iter().filter_map(chosen).collect()
    }

    fn find<'t>(&self, script: &Script, transcripts: &'t [Transcript]) -> Option<&'t Transcript> {
        let index = self.scripts.iter().position(|known| known == script)?;
        transcripts.get(index)
    }

    fn result(
        &self,
        case: &Case,
        transcripts: &[Transcript],
        plain: Option<&Transcript>,
        verdicts: &BTreeMap<&str, Verdict>,
        rigour: &Rigour,
    ) -> CaseResult {
        let script = match &case.script {
            Ok(script) => script,
            Err(reason) => return CaseResult::unsupported(&case.id, reason),
        };
        let fallen = |need: &&&str| {
            verdicts.get(**need).is_some_and(|v| matches!(v, Verdict::Fail | Verdict::Error))
        };
        if let Some(need) = case.needs.iter().find(fallen) {
            let reason = format!("not judged: look at {need} first");
            return CaseResult::error(&case.id, reason);
        }
        let Some(transcript) = self.find(script, transcripts) else {
            return CaseResult::error(&case.id, "its script was not played");
        };
        if let Some(fault) = &transcript.fault {
            return CaseResult::error(&case.id, format!("the rig failed: {fault}"));
        }
        let seen = Seen { transcript, profile: self.profile, script, plain, slack: rigour.slack };
        let result = match (case.judge)(&seen) {
            Outcome::Judged(mut findings) => {
                findings.retain(|finding| finding.level >= Level::Should);
                match rigour.busy.filter(|_| case.timed && !findings.is_empty()) {
                    Some(late) => {
                        let reason = format!("{UNMEASURED}: this machine is {late:?} late itself");
                        CaseResult::error(&case.id, reason)
                    }
                    None => CaseResult::judged(&case.id, findings),
                }
            }
            Outcome::NotJudged(reason) => {
                CaseResult::error(&case.id, format!("not judged: {reason}"))
            }
            Outcome::NotMeasurable(reason) => {
                CaseResult::error(&case.id, format!("{UNMEASURED}: {reason}"))
            }
        };
        let end = transcript.entries.last().map_or(0.0, |entry| entry.at.elapsed().as_secs_f64());
        CaseResult { duration_ms: end * 1e3, ..result }
    }
}
