//! The whole suite: every case of the catalogue, played on grounds of its own, and the
//! verdicts by rule.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use callrig_reports::{CaseResult, Finding};
use rayon::iter::{
    IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _,
};

use super::faults::{Fault, Faulty};
use super::live::{Live, LiveError, Subject};
use super::play::{Outcome, Played, play};
use super::script::Case;
use super::shapes::Shapes;
use super::simulated::Simulated;
use crate::catalogue::{self, Catalogue, Check, Checking};

/// Findings of one rule that a report keeps.
const FINDINGS_MAX: usize = 3;

/// The cases and the shapes.
#[derive(Debug, Default)]
pub struct Suite {
    /// Cases, in the order of the files.
    pub cases: Vec<Case>,
    /// Resources.
    pub shapes: Shapes,
    /// Faults of services that the cases must find.
    pub faults: Vec<Fault>,
}

static SUITE: LazyLock<Suite> = LazyLock::new(|| {
    catalogue::suite().unwrap_or_else(|error| panic!("the catalogue's cases: {error}"))
});

/// The suite of the catalogue.
#[must_use]
pub fn suite() -> &'static Suite {
    &SUITE
}

impl Suite {
    /// Which case checks what.
    pub(crate) fn checkings(&self) -> Vec<Checking> {
        let cases = self.cases.iter().map(|case| Checking {
            check: Check { case: case.id.clone(), title: case.title.clone() },
            rules: case.rules().map(str::to_owned).collect(),
        });
        let shapes = self.shapes.rules().map(|(name, rules)| Checking {
            check: Check {
                case: format!("service/shapes/{}", catalogue::kebab(name)),
                title: format!("every {name} that is told in any case has the declared shape"),
            },
            rules: rules.into_iter().map(str::to_owned).collect(),
        });
        cases.chain(shapes).collect()
    }
}

/// Cases of which any says enough of every resource: those who look for a wrong shape need
/// not play all.
const SHAPELY: [&str; 8] = [
    "service/answer",
    "service/ends/by-the-person",
    "service/group/comes-and-goes",
    "service/invite/taken",
    "service/meetings/life",
    "service/participants",
    "service/tones/sequence",
    "service/transfer/taken",
];

impl Suite {
    /// The cases that have to find a fault.
    #[must_use]
    pub fn against(&self, fault: &Fault) -> Vec<&Case> {
        let is_shape = fault.caught_by.starts_with("service/resources/");
        let names = |case: &&Case| match is_shape {
            true => SHAPELY.contains(&case.id.as_str()),
            false => case.rules().any(|rule| rule == fault.caught_by),
        };
        self.cases.iter().filter(names).collect()
    }

    /// Whether the cases find a fault: the rule that it breaks is found broken.
    #[must_use]
    pub fn finds(&self, fault: &Fault, seed: u64) -> bool {
        let ledger = simulate(&self.against(fault), &self.shapes, seed, Some(fault));
        ledger.is_broken(&fault.caught_by)
    }
}

/// What is known of every rule.
#[derive(Debug, Default)]
pub struct Ledger {
    rules: BTreeMap<String, Known>,
}

#[derive(Debug, Default)]
struct Known {
    kept: u64,
    broken: Vec<(String, Outcome)>,
    unsupported: Option<String>,
    unjudged: Option<String>,
    took: Duration,
}

impl Ledger {
    /// Takes in what a case found out, and what its bodies are like.
    pub fn take(&mut self, case: &str, played: &Played, shapes: &Shapes) {
        for (rule, outcome) in &played.outcomes {
            self.note(case, rule, outcome.clone(), played.took);
        }
        for (source, body) in &played.bodies {
            for (rule, outcome) in shapes.judge(source, body) {
                self.note(case, &rule, outcome, Duration::ZERO);
            }
        }
    }

    fn note(&mut self, case: &str, rule: &str, outcome: Outcome, took: Duration) {
        let known = self.rules.entry(rule.to_owned()).or_default();
        known.took = known.took.max(took);
        match outcome {
            Outcome::Kept => known.kept += 1,
            Outcome::Broken { .. } if known.broken.len() < FINDINGS_MAX => {
                known.broken.push((case.to_owned(), outcome));
            }
            Outcome::Broken { .. } => {}
            Outcome::Unsupported(why) => known.unsupported = Some(why),
            Outcome::Unjudged(why) => known.unjudged = Some(format!("{case}: {why}")),
        }
    }

    /// Whether anything was found out about a rule.
    #[must_use]
    pub fn knows(&self, rule: &str) -> bool {
        self.rules.contains_key(rule)
    }

    /// Whether a rule was found broken.
    #[must_use]
    pub fn is_broken(&self, rule: &str) -> bool {
        self.rules.get(rule).is_some_and(|known| !known.broken.is_empty())
    }

    /// The rules that were found broken.
    pub fn broken(&self) -> impl Iterator<Item = &str> {
        let broken = self.rules.iter().filter(|(_, known)| !known.broken.is_empty());
        broken.map(|(rule, _)| rule.as_str())
    }

    /// A result for each of these rules.
    #[must_use]
    pub fn results(&self, catalogue: &Catalogue, rules: &[&str]) -> Vec<CaseResult> {
        rules.iter().map(|rule| self.result(catalogue, rule)).collect()
    }

    fn result(&self, catalogue: &Catalogue, rule: &str) -> CaseResult {
        let Some(known) = self.rules.get(rule) else {
            return CaseResult::unsupported(rule, "the service never told anything of it");
        };
        let findings = known.broken.iter().filter_map(|(case, outcome)| {
            let Outcome::Broken { expected, actual, evidence } = outcome else { return None };
            let lines = evidence.iter().flat_map(|text| text.lines().map(str::to_owned));
            let lines = core::iter::once(format!("case {case}")).chain(lines);
            let broken = catalogue.get(rule)?.broken(expected.clone(), actual.clone());
            Some(broken.with_evidence(lines))
        });
        let findings: Vec<Finding> = findings.collect();
        let result = match (&known.unjudged, &known.unsupported) {
            _ if !findings.is_empty() => CaseResult::judged(rule, findings),
            (Some(why), _) => CaseResult::error(rule, why.clone()),
            (None, Some(why)) if known.kept == 0 => CaseResult::unsupported(rule, why.clone()),
            _ => CaseResult::judged(rule, findings),
        };
        CaseResult { duration_ms: known.took.as_secs_f64() * 1e3, ..result }
    }
}

/// Plays these cases against a service somewhere, so many at once; those that would take
/// longer than `patience` by themselves are left out, and say so.
///
/// # Errors
/// The webhook cannot listen.
pub fn validate(
    cases: &[&Case],
    shapes: &Shapes,
    subject: Subject,
    (patience, jobs): (Duration, usize),
    done: &(dyn Fn(&Case) + Sync),
) -> Result<Ledger, LiveError> {
    let live = Arc::new(Live::new(subject)?);
    let judge = |case: &&Case| {
        let played = if case.waits() > patience {
            let takes = humantime::format_duration(case.waits());
            let why = format!("it takes {takes}; give --patience more to have it judged");
            unplayed(case, &Outcome::Unsupported(why))
        } else {
            match live.ground(case.grants.as_deref(), case.waits()) {
                Ok(mut ground) => play(case, &mut ground),
                Err(why) => unplayed(case, &Outcome::Unjudged(why)),
            }
        };
        done(case);
        (case.id.clone(), played)
    };
    // The longest first, so that nobody waits for them at the end.
    let mut order: Vec<&Case> = cases.to_vec();
    order.sort_by_key(|case| core::cmp::Reverse(case.waits()));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build();
    let pool = pool.map_err(|error| LiveError::Listen(std::io::Error::other(error)))?;
    let mut played: Vec<(String, Played)> =
        pool.install(|| order.par_iter().with_max_len(1).map(judge).collect());
    played.sort_by(|one, other| one.0.cmp(&other.0));
    let mut ledger = Ledger::default();
    for (case, played) in &played {
        ledger.take(case, played, shapes);
    }
    Ok(ledger)
}

/// A case that was not played.
fn unplayed(case: &Case, outcome: &Outcome) -> Played {
    let outcomes = case.rules().map(|rule| (rule.to_owned(), outcome.clone())).collect();
    Played { outcomes, ..Played::default() }
}

/// Plays these cases against a service of ours in virtual time.
#[must_use]
pub fn simulate(cases: &[&Case], shapes: &Shapes, seed: u64, fault: Option<&Fault>) -> Ledger {
    let played: Vec<(&str, Played)> = cases
        .par_iter()
        .map(|case| {
            let mut ground = Simulated::new(case.grants.as_deref(), seed);
            let played = match fault {
                Some(fault) => play(case, &mut Faulty::new(&mut ground, fault)),
                None => play(case, &mut ground),
            };
            (case.id.as_str(), played)
        })
        .collect();
    let mut ledger = Ledger::default();
    for (case, played) in &played {
        ledger.take(case, played, shapes);
    }
    ledger
}

#[cfg(test)]
mod tests {
    use callrig_reports::Verdict;

    use super::*;

    #[test]
    fn faults_of_a_service_are_found_by_the_rule_that_they_break() {
        let suite = catalogue::suite().unwrap_or_else(|error| panic!("{error}"));
        // All of them are tried by `make service-kills`.
        let step = std::env::var("CALLRIG_FAULTS").map_or(9, |all| all.parse().unwrap_or(1));
        let faults: Vec<&Fault> = suite.faults.iter().step_by(step).collect();
        let missed: Vec<&str> = faults
            .iter()
            .filter(|fault| !suite.finds(fault, 1))
            .map(|fault| fault.id.as_str())
            .collect();
        let (found, all) = (faults.len() - missed.len(), faults.len());
        let share = 100.0 * found as f64 / all.max(1) as f64;
        println!("missed: {missed:?}\nservice faults found: {found} of {all} ({share:.1} %)");
        assert!(missed.is_empty(), "missed: {missed:#?}");
    }

    #[test]
    fn our_own_service_keeps_every_rule_that_its_cases_look_at() {
        let suite = catalogue::suite().unwrap_or_else(|error| panic!("{error}"));
        let wanted = std::env::var("CALLRIG_CASES").unwrap_or_default();
        let cases: Vec<&Case> =
            suite.cases.iter().filter(|case| case.id.contains(&wanted)).collect();
        let ledger = simulate(&cases, &suite.shapes, 1, None);
        let catalogue = Catalogue::load().unwrap_or_else(|error| panic!("{error}"));
        let checkings = suite.checkings();
        let rules: std::collections::BTreeSet<&str> =
            checkings.iter().flat_map(|checking| &checking.rules).map(String::as_str).collect();
        let rules: Vec<&str> = rules.into_iter().collect();
        let results = ledger.results(&catalogue, &rules);
        let not: Vec<String> = results
            .iter()
            .filter(|result| wanted.is_empty() || result.verdict != Verdict::Unsupported)
            .filter(|result| result.verdict != Verdict::Pass)
            .map(|result| {
                let findings = result.findings.iter().map(|finding| {
                    let Finding { expected, actual, evidence, .. } = finding;
                    format!(
                        "  expected {expected}\n  actual {actual}\n    {}",
                        evidence.join("\n    ")
                    )
                });
                let reason = result.reason.clone().unwrap_or_default();
                let findings = findings.collect::<Vec<_>>().join("\n");
                format!("{} {}: {reason}\n{findings}", result.verdict.word(), result.id)
            })
            .collect();
        assert!(not.is_empty(), "{} of {}:\n{}", not.len(), rules.len(), not.join("\n"));
    }
}
