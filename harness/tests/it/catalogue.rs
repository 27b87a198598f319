//! The catalogue of everything that is asked, as people read it.

use crate::command_line::{callrig, folder, says};

const RULE: &str = "calls/answer/within-15-seconds";

#[test]
fn a_rule_is_explained_with_its_source_its_level_and_its_cases() {
    let ran = callrig(folder().path(), &["list", "--explain", RULE]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for part in [RULE, "level", "Must", "written", "checked", "answered-within-15-seconds", "hash"]
    {
        assert!(ran.out.contains(part), "{part:?} is not in {}", ran.out);
    }
    let ran = callrig(folder().path(), &["list", "--explain", RULE, "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(value["id"], RULE);
    assert_eq!(value["checks"][0]["case"], "calls/answer/answered-within-15-seconds");
}

#[test]
fn a_rule_that_is_not_there_is_answered_with_those_most_like_it() {
    let ran = callrig(folder().path(), &["list", "--explain", "calls/anwser/within-15-seconds"]);
    assert_eq!(ran.code, 2);
    says(&ran, &["there is no requirement", "did you mean", RULE]);
    let ran = callrig(folder().path(), &["list", "--requirements", "no/such/**"]);
    assert_eq!(ran.code, 4);
    says(&ran, &["no requirement was selected"]);
}

#[test]
fn rules_are_chosen_by_id_level_and_side_and_counted() {
    let listed = |more: &[&str]| {
        let all = [&["list", "--requirements"][..], more].concat();
        let ran = callrig(folder().path(), &all);
        assert_eq!(ran.code, 0, "{more:?}: {}", ran.err);
        ran.out
    };
    let some = listed(&["rtp"]);
    assert!(some.contains("rtp/") && !some.contains("calls/"), "{some}");
    assert!(listed(&["--level", "should"]).lines().next().is_some_and(|l| l.contains("Should")));
    let media = listed(&["--binds", "media"]);
    assert!(!media.contains(RULE) && media.contains("rtp/"));
    let last = listed(&["--checked"]);
    assert!(last.lines().last().is_some_and(|l| l.contains("(100.0 %)")), "{last}");
}

/// What the catalogue is for: everything that can be observed from outside, and a case for
/// nearly all of it.
#[test]
fn the_catalogue_holds_600_rules_and_more_and_cases_check_19_of_20() {
    let entries = callrig::catalogue::all().entries();
    let checked = entries.iter().filter(|entry| entry.is_checked()).count();
    assert!(entries.len() >= 600, "{}", entries.len());
    assert!(checked * 100 >= entries.len() * 95, "{checked} of {}", entries.len());
    let mut sentences: Vec<&str> = entries.iter().map(|entry| &*entry.sentence).collect();
    sentences.sort_unstable();
    let twice = sentences.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None, "two rules ask for the same");
    for entry in entries {
        let first = entry.sentence.chars().next().unwrap_or_default();
        assert!(entry.sentence.ends_with('.'), "{}: {}", entry.id, entry.sentence);
        assert!(!first.is_lowercase(), "{}: {}", entry.id, entry.sentence);
        assert!(!entry.sentence.contains('{'), "{}: {}", entry.id, entry.sentence);
    }
}

/// The same cases give the same verdicts, to the byte, whoever plays them first.
#[test]
fn a_simulated_service_is_judged_alike_every_time() {
    use callrig::validate::service::script::Case;
    use callrig::validate::service::suite::{simulate, suite};
    let suite = suite();
    let cases: Vec<&Case> = suite.cases.iter().step_by(7).collect();
    let judged = |seed| {
        let ledger = simulate(&cases, &suite.shapes, seed, None);
        let rules: Vec<&str> = cases.iter().flat_map(|case| case.rules()).collect();
        let results = ledger.results(callrig::catalogue::all(), &rules);
        serde_json::to_string(&results).expect("results are JSON")
    };
    assert_eq!(judged(1), judged(1));
}
