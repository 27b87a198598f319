//! The gate's rules: what each finds, what it must never call green, and how often it errs.

use callrig_reports::gate::bounds::{Bound, Bounds};
use callrig_reports::gate::counted::{self, Count};
use callrig_reports::gate::distribution::rate_at_most;
use callrig_reports::gate::held::{self, Held};
use callrig_reports::gate::history::{self, History};
use callrig_reports::gate::paired::{LOOKS, Rule};
use callrig_reports::gate::{DoubtKind, Finding, Findings, Gate, Outcome, Side, Tier, exact};
use callrig_reports::metric::{Direction, Repeatability, Value};
use callrig_reports::render;
use callrig_reports::{Report, Verdict};
use proptest::prelude::*;

use crate::sample::{self, Dice};

fn concluded(found: Findings) -> Gate {
    Gate::conclude("2026-01-01T00:00:00Z", Side::default(), Side::default(), found)
}

fn gate(base: &Report, candidate: &Report) -> Gate {
    concluded(exact::judge(base, candidate, &Bounds::default()))
}

fn change(report: &Report, name: &str, change: impl Fn(&Value) -> Value) -> Report {
    let mut report = report.clone();
    let all = report.results.iter_mut().flat_map(|result| &mut result.metrics);
    for metric in all.filter(|metric| metric.name == name) {
        metric.value = change(&metric.value);
    }
    report
}

fn shifted(by: f64) -> impl Fn(&Value) -> Value {
    move |value| value.number().map(|number| number + by).into()
}

/// A change of the sample, and what the gate must make of it.
type Sabotage = (&'static str, fn(&mut Report), Outcome, Option<DoubtKind>);

/// Each takes away what the gate needs, or hides a change behind such a thing.
const SABOTAGE: &[Sabotage] = &[
    ("no results at all", |r| r.results.clear(), Outcome::Inconclusive, Some(DoubtKind::Vanished)),
    (
        "one result fewer",
        |r| drop(r.results.pop()),
        Outcome::Inconclusive,
        Some(DoubtKind::Vanished),
    ),
    (
        "a metric renamed",
        |r| each(r, "mos", |m| m.name = "mouthOpinion".into()),
        Outcome::Inconclusive,
        Some(DoubtKind::Vanished),
    ),
    (
        "a metric's label renamed",
        |r| each(r, "mos", |m| m.label = Some("new".into())),
        Outcome::Inconclusive,
        Some(DoubtKind::Vanished),
    ),
    (
        "a metric dropped",
        |r| r.results.iter_mut().for_each(|one| one.metrics.retain(|m| m.name != "mos")),
        Outcome::Inconclusive,
        Some(DoubtKind::Vanished),
    ),
    (
        "a metric without a value",
        |r| each(r, "mos", |m| m.value = Value::Undefined),
        Outcome::Inconclusive,
        Some(DoubtKind::NoSamples),
    ),
    (
        "every metric without a value",
        |r| {
            r.results
                .iter_mut()
                .flat_map(|one| &mut one.metrics)
                .for_each(|m| m.value = Value::Undefined);
        },
        Outcome::Inconclusive,
        None,
    ),
    ("another seed", |r| r.seed += 1, Outcome::Inconclusive, Some(DoubtKind::OtherSetup)),
    (
        "another seed, and worse",
        |r| {
            r.seed += 1;
            each(r, "mos", |m| m.value = Value::from(1.0));
        },
        Outcome::Inconclusive,
        Some(DoubtKind::OtherSetup),
    ),
    (
        "another file under the same name",
        |r| r.recordings[0].sha256 = Some("00".into()),
        Outcome::Inconclusive,
        Some(DoubtKind::OtherSetup),
    ),
    (
        "a network made milder",
        |r| drop(r.networks[0].parameters.insert("loss".into(), "0".into())),
        Outcome::Inconclusive,
        Some(DoubtKind::OtherSetup),
    ),
    (
        "a metric turned round",
        |r| define(r, "mos", |d| d.direction = Direction::LowerIsBetter),
        Outcome::Inconclusive,
        Some(DoubtKind::OtherSetup),
    ),
    (
        "a metric that means something else",
        |r| define(r, "mos", |d| d.description = "Another thing.".into()),
        Outcome::Inconclusive,
        Some(DoubtKind::OtherSetup),
    ),
    (
        "every metric declared noisy",
        |r| {
            let all = r.results.iter_mut().flat_map(|one| &mut one.metrics);
            all.for_each(|m| m.repeatability = Repeatability::Noisy);
        },
        Outcome::Inconclusive,
        Some(DoubtKind::NothingInCommon),
    ),
    (
        "one result could not be judged",
        |r| {
            let good = r.results.iter_mut().find(|one| one.verdict == Verdict::Pass);
            good.expect("one passes").verdict = Verdict::Error;
        },
        Outcome::Inconclusive,
        Some(DoubtKind::NotJudged),
    ),
    (
        "another case's name on every result",
        |r| r.results.iter_mut().for_each(|one| one.id.push('2')),
        Outcome::Inconclusive,
        Some(DoubtKind::NothingInCommon),
    ),
    ("a verdict turned red", |r| r.results[0].verdict = Verdict::Fail, Outcome::Regressed, None),
    (
        "a tolerance slipped in with the change",
        |r| {
            r.metric_definitions.iter_mut().for_each(|d| d.to_mut().tolerance = 1e9);
            each(r, "mos", |m| m.value = Value::from(1.0));
        },
        Outcome::Regressed,
        None,
    ),
];

fn each(report: &mut Report, name: &str, change: impl Fn(&mut callrig_reports::Metric)) {
    let all = report.results.iter_mut().flat_map(|result| &mut result.metrics);
    all.filter(|metric| metric.name == name).for_each(change);
}

fn define(
    report: &mut Report,
    name: &str,
    change: impl Fn(&mut callrig_reports::metric::Definition),
) {
    let all = report.metric_definitions.iter_mut().filter(|one| one.name == name);
    all.for_each(|one| change(one.to_mut()));
}

#[test]
fn no_sabotage_of_a_report_is_green() {
    let base = sample::of_size(2, 2, 20);
    assert_eq!(gate(&base, &base).outcome, Outcome::Clear);
    for (name, sabotage, outcome, doubt) in SABOTAGE {
        let mut candidate = base.clone();
        sabotage(&mut candidate);
        let gate = gate(&base, &candidate);
        assert_eq!(gate.outcome, *outcome, "{name}: {:?}", gate.doubts);
        if let Some(doubt) = doubt {
            assert!(gate.doubts.iter().any(|one| one.kind == *doubt), "{name}: {:?}", gate.doubts);
        }
    }
}

#[test]
fn an_empty_baseline_is_inconclusive() {
    let candidate = sample::of_size(1, 1, 20);
    let mut base = candidate.clone();
    base.results.clear();
    assert_eq!(gate(&base, &candidate).outcome, Outcome::Inconclusive);
    assert_eq!(gate(&base, &base).outcome, Outcome::Inconclusive);
    assert_eq!(concluded(Findings::default()).outcome, Outcome::Inconclusive);
}

#[test]
fn a_tenth_of_a_mos_is_found_with_its_stage_and_its_size() {
    let base = sample::of_size(2, 2, 20);
    let gate = gate(&base, &change(&base, "mos", shifted(-0.1)));
    assert_eq!(gate.outcome, Outcome::Regressed);
    let red: Vec<_> = gate.red().collect();
    assert!(!red.is_empty() && red.iter().all(|check| check.stage == "audio quality"));
    assert!(red.iter().all(|check| check.effect.is_some_and(|one| one.estimate < 0.0)));
    let text = render::gate::text(&gate);
    assert!(text.ends_with(&format!("{}\n", render::gate::headline(&gate))), "{text}");
}

#[test]
fn better_is_clear_and_changed_is_not() {
    let base = sample::of_size(2, 2, 20);
    assert_eq!(gate(&base, &change(&base, "mos", shifted(0.1))).outcome, Outcome::Clear);
    let other = change(&base, "decodedDigest", |_| Value::from("other"));
    let gate = gate(&base, &other);
    assert_eq!(gate.outcome, Outcome::Regressed);
    assert!(gate.red().all(|check| check.finding == Finding::Changed));
}

#[test]
fn a_stated_bound_allows_what_it_says_and_no_more() {
    let base = sample::of_size(2, 2, 20);
    let bound = Bound {
        metric: "mos".into(),
        absolute: Some(0.05),
        reason: "an assumption of the E-model".into(),
        ..Bound::default()
    };
    let bounds = Bounds { bound: vec![bound], ..Bounds::default() };
    let judged = |by| concluded(exact::judge(&base, &change(&base, "mos", shifted(by)), &bounds));
    assert_eq!(judged(-0.04).outcome, Outcome::Clear);
    assert_eq!(judged(-0.06).outcome, Outcome::Regressed);
}

#[test]
fn bounds_that_swallow_everything_leave_no_gate() {
    let base = sample::of_size(2, 2, 20);
    let all =
        Bound { metric: "*".into(), ignore: true, reason: "peace".into(), ..Bound::default() };
    let bounds = Bounds { bound: vec![all], ..Bounds::default() };
    let gate = concluded(exact::judge(&base, &base, &bounds));
    assert_eq!(gate.outcome, Outcome::Inconclusive);
    assert!(gate.doubts.iter().any(|doubt| doubt.kind == DoubtKind::CanaryMissed));
}

#[test]
fn counts_and_memory_have_their_controls() {
    let bounds = Bounds::default();
    let count = |candidate, twin, canary| {
        let stage = "rtp/parse".into();
        concluded(counted::judge(&Count { stage, base: 1e5, twin, canary, candidate }, &bounds))
    };
    assert_eq!(count(100_100.0, 1e5, 105_000.0).outcome, Outcome::Clear);
    assert_eq!(count(100_300.0, 1e5, 105_000.0).outcome, Outcome::Regressed);
    assert_eq!(count(100_300.0, 100_300.0, 105_000.0).outcome, Outcome::Inconclusive, "twin");
    assert_eq!(count(1e5, 1e5, 100_100.0).outcome, Outcome::Inconclusive, "canary");
    for nothing in [0.0, f64::NAN, -1.0] {
        assert_eq!(count(nothing, 1e5, 105_000.0).outcome, Outcome::Inconclusive);
        assert_eq!(count(1e5, nothing, 105_000.0).outcome, Outcome::Inconclusive);
    }
    let held = |candidate, twin, canary| {
        let stage = "jitter".into();
        concluded(held::judge(
            &Held { stage, base: 1.0, twin, canary, candidate, resolution: 1.0 },
            &bounds,
        ))
    };
    assert_eq!(held(2.0, 1.0, 70.0).outcome, Outcome::Clear);
    assert_eq!(held(40.0, 1.0, 70.0).outcome, Outcome::Regressed);
    assert_eq!(held(40.0, 40.0, 70.0).outcome, Outcome::Inconclusive);
    assert_eq!(held(1.0, 1.0, 1.0).outcome, Outcome::Inconclusive);
    assert_eq!(held(f64::NAN, 1.0, 70.0).outcome, Outcome::Inconclusive);
}

/// How the replicas of two alike processes may scatter.
#[derive(Clone, Copy, Debug)]
enum Scatter {
    Normal,
    /// As memory happens to lie: one of two values.
    TwoPlaces,
    /// Rarely far off, as under load.
    Outliers,
}

impl Scatter {
    fn draw(self, dice: &mut Dice) -> f64 {
        // Twelve uniforms make a normal one, near enough.
        let normal = (0..12).map(|_| dice.roll()).sum::<f64>() - 6.0;
        match self {
            Self::Normal => 0.005 * normal,
            Self::TwoPlaces => (if dice.roll() < 0.5 { -0.008 } else { 0.008 }) + 0.001 * normal,
            Self::Outliers if dice.roll() < 0.1 => 0.1 * normal,
            Self::Outliers => 0.004 * normal,
        }
    }
}

/// What the rule ends with, as it does with workers: look by look.
fn decide(rule: Rule, mut draw: impl FnMut() -> f64) -> Finding {
    let mut replicas = Vec::new();
    loop {
        replicas.push(draw());
        if Rule::looks_at(replicas.len())
            && let Some(finding) = rule.look(&replicas).finding
        {
            return finding;
        }
        assert!(replicas.len() <= LOOKS[LOOKS.len() - 1], "it ends");
    }
}

#[test]
fn twins_alarm_no_more_often_than_promised() {
    // Nothing is allowed here: the hardest case. 20,000 trials each bound the rate of a rule
    // that promises 0.1 % within 0.15 %.
    let rule = Rule::for_metrics(1, 0.0, 0.02);
    for scatter in [Scatter::Normal, Scatter::TwoPlaces, Scatter::Outliers] {
        let mut dice = Dice::new(7);
        let trials = 20_000;
        let alarms = (0..trials)
            .filter(|_| decide(rule, || scatter.draw(&mut dice)) == Finding::Worse)
            .count() as u64;
        let bound = rate_at_most(alarms, trials, 0.95);
        assert!(bound <= 0.0015, "{scatter:?}: {alarms} alarms, at most {bound}");
    }
}

#[test]
fn what_is_worse_than_the_target_is_called_clear_no_more_often_than_promised() {
    let rule = Rule::for_metrics(1, 0.025, 0.04);
    let mut dice = Dice::new(9);
    let trials = 4_000;
    let effect = 0.041_f64.ln_1p();
    let missed = (0..trials)
        .filter(|_| {
            let finding = decide(rule, || effect + Scatter::Normal.draw(&mut dice));
            matches!(finding, Finding::Same | Finding::Within | Finding::Better)
        })
        .count() as u64;
    assert!(rate_at_most(missed, trials, 0.95) <= 0.055, "{missed} of {trials}");
}

#[test]
fn the_size_that_is_told_as_detectable_is_found() {
    let rule = Rule::for_metrics(200, 0.025, 0.04);
    let mut dice = Dice::new(11);
    let trials = 1_000;
    let effect = 0.05_f64.ln_1p();
    let found = (0..trials)
        .filter(|_| {
            decide(rule, || effect + 0.5 * Scatter::Normal.draw(&mut dice)) == Finding::Worse
        })
        .count();
    assert!(found * 100 >= trials * 95, "a canary of 5 %: {found} of {trials}");
}

proptest! {
    #[test]
    fn turning_the_ratios_round_turns_the_finding_round(
        replicas in prop::collection::vec(-0.2_f64..0.2, 6..=20),
    ) {
        let rule = Rule::for_metrics(10, 0.02, 0.04);
        let turned: Vec<f64> = replicas.iter().map(|one| -one).collect();
        let (there, back) = (rule.look(&replicas), rule.look(&turned));
        // Exact in logarithms; the allowance is the same on both sides of 1 but for a rounding.
        if there.finding == Some(Finding::Worse) && there.effect.low > 0.03 {
            prop_assert_eq!(back.finding, Some(Finding::Better));
        }
        prop_assert!(there.effect.low <= there.effect.estimate);
        prop_assert!(there.effect.estimate <= there.effect.high);
    }

    #[test]
    fn any_worsening_of_any_exact_metric_is_found(
        place in any::<prop::sample::Index>(),
        by in 1e-6_f64..1e3,
    ) {
        let base = sample::of_size(1, 2, 20);
        let mut candidate = base.clone();
        let mut all: Vec<_> = candidate
            .results
            .iter_mut()
            .flat_map(|result| &mut result.metrics)
            .filter(|m| m.repeatability == Repeatability::Exact && m.value.number().is_some())
            .collect();
        let at = place.index(all.len());
        let sign = if all[at].direction == Direction::HigherIsBetter { -1.0 } else { 1.0 };
        let before = all[at].value.clone();
        all[at].value = before.number().map(|number| number + sign * by).into();
        let moved = all[at].value != before;
        prop_assert_eq!(
            gate(&base, &candidate).outcome,
            if moved { Outcome::Regressed } else { Outcome::Clear }
        );
    }

    #[test]
    fn any_text_may_be_a_history(text in "\\PC{0,300}", lines in prop::collection::vec("[{}\":a-z0-9,]{0,40}", 0..10)) {
        let history = History::parse(&format!("{text}\n{}", lines.join("\n")));
        let _ = render::history::text(&history, Some("*"));
    }
}

#[test]
fn history_names_the_commit_in_which_a_value_changed() {
    let base = sample::of_size(1, 1, 20);
    let mut text = String::new();
    for (commit, by) in [("aaaa", 0.0), ("bbbb", 0.0), ("cccc", -0.5), ("dddd", -0.5)] {
        let report = change(&base, "mos", shifted(by));
        let mut gate = gate(&base, &report);
        gate.candidate.environment.commit = Some(commit.into());
        let entry = History::parse(&text).next(&gate, &history::values(&report));
        assert_eq!(entry.whole, commit == "aaaa");
        text.push_str(&format!("{}\n", serde_json::to_string(&entry).expect("it serializes")));
    }
    let history = History::parse(&text);
    let changes = history.changes();
    assert!(!changes.is_empty());
    for change in &changes {
        assert_eq!(history.entries[change.entry].commit.as_deref(), Some("cccc"));
        assert!(change.name.starts_with("mos"), "{}", change.name);
    }
    let shown = render::history::text(&history, Some("mos*"));
    assert!(shown.contains("cccc"), "{shown}");
    let course = history.course(&changes[0].name);
    assert_eq!((course.len(), course[1] == course[2], course[2] == course[3]), (4, false, true));
}

#[test]
fn a_torn_line_breaks_the_chain_until_the_next_whole_one() {
    let base = sample::of_size(1, 1, 20);
    let gate = gate(&base, &base);
    let whole = History::default().next(&gate, &history::values(&base));
    let line = serde_json::to_string(&whole).expect("it serializes");
    let torn = &line[..line.len() / 2];
    let history = History::parse(&format!("{line}\n{torn}\n"));
    assert_eq!((history.entries.len(), history.broken.clone()), (1, vec![2]));
    let next = history.next(&gate, &history::values(&base));
    assert!(next.whole, "after a break everything is said again");
}

#[test]
fn every_rendering_shows_hostile_names_harmlessly() {
    let base = sample::of_size(1, 1, 20);
    let mut candidate = base.clone();
    let hostile = "x::error::y%0A\n\u{1b}[2J|<script>";
    candidate.results[0].verdict = Verdict::Fail;
    let mut gate = gate(&base, &candidate);
    for check in &mut gate.checks {
        check.metric = hostile.into();
        check.stage = hostile.into();
    }
    assert_eq!(gate.outcome, Outcome::Regressed);
    let github = render::gate::github(&gate);
    assert_eq!(github.lines().filter(|line| line.starts_with("::error")).count(), 1, "{github}");
    for text in [
        &github,
        &render::gate::text(&gate),
        &render::gate::markdown(&gate),
        &render::gate::junit(&gate),
    ] {
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    assert!(!render::gate::markdown(&gate).contains("<script>"));
    let again: Gate = serde_json::from_str(&render::gate::json(&gate)).expect("our own JSON");
    assert_eq!(again, gate);
    assert!(gate.compared[&Tier::Exact] > 10);
}
