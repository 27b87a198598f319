//! The JSON is what its schema says, and comes back as it went.

use callrig_reports::metric::{Direction, Metric, Repeatability, Unit, Value, registry};
use callrig_reports::render::json;
use callrig_reports::report::{CaseResult, CheckError, Recording, Report};
use callrig_reports::{Finding, Level, Mark, MarkKind, Requirement, Series, Verdict};

use crate::sample;

fn schema() -> serde_json::Value {
    serde_json::from_str(include_str!("../../schema/report.schema.json"))
        .expect("the schema is JSON")
}

fn assert_valid(report: &Report) {
    let validator = jsonschema::validator_for(&schema()).expect("the schema is a schema");
    let instance = serde_json::from_str(&json::render(report)).expect("a report is JSON");
    let faults: Vec<String> = validator
        .iter_errors(&instance)
        .take(5)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Every variant of every enum, every optional field once there and once not.
fn every_variant() -> Report {
    let mut report = Report::new("0.1.0", "2026-11-23T18:00:00Z", u64::MAX);
    let levels = [Level::Must, Level::Should, Level::May];
    let findings: Vec<Finding> = levels
        .into_iter()
        .map(|level| {
            let (id, citation, sentence) = ("a/b".into(), "RFC 3550".into(), "It is so.".into());
            Requirement { id, level, citation, sentence }.broken("yes", "no").with_evidence(["x"])
        })
        .collect();
    for (place, verdict) in Verdict::WORST_FIRST.into_iter().enumerate() {
        let mut result = CaseResult::error(format!("case/{place}"), "a reason");
        result.verdict = verdict;
        result.findings.clone_from(&findings);
        result.series = Unit::ALL
            .map(|unit| Series::sampled("s", "p", unit, [(0.5, 1.0), (2.0, -3.25)], 9))
            .into();
        result.marks = MarkKind::ALL.map(|kind| Mark::at(kind, 1.5).labelled("l")).into();
        let values = [Value::Undefined, Value::from(0.25), Value::from(3_u64), Value::from("t")];
        result.metrics = registry::REGISTRY
            .iter()
            .zip(values.iter().cycle())
            .map(|(definition, value)| Metric::new(definition, value.clone()).labelled("x"))
            .collect();
        report.results.push(result);
    }
    report.results.push(CaseResult::judged("case/plain", Vec::new()));
    report.recordings.push(Recording::default());
    report.finish()
}

#[test]
fn generated_reports_are_valid_against_the_schema() {
    assert_valid(&every_variant());
    assert_valid(&sample::sample());
    assert_valid(&Report::new("0.1.0", "", 0).finish());
}

#[test]
fn the_schema_lists_the_units_we_have() {
    let schema = schema();
    let listed = schema["$defs"]["unit"]["enum"].as_array().expect("an enum is a list");
    let ours: Vec<&str> = Unit::ALL.iter().map(|unit| unit.symbol()).collect();
    assert_eq!(*listed, ours);
    for unit in Unit::ALL {
        assert_eq!(serde_json::to_value(unit).expect("a unit serializes"), unit.symbol());
    }
}

#[test]
fn a_report_comes_back_as_it_went() {
    for report in [every_variant(), sample::sample()] {
        let text = json::render(&report);
        let again = json::parse(&text).expect("our own JSON parses");
        assert_eq!(report, again);
        assert_eq!(text, json::render(&again));
    }
}

#[test]
fn unknown_fields_and_other_versions_are_refused() {
    let mut foreign: serde_json::Value =
        serde_json::from_str(&json::render(&every_variant())).expect("a report is JSON");
    foreign["surprise"] = 1.into();
    let fault = json::parse(&foreign.to_string()).expect_err("an unknown field is refused");
    assert!(fault.to_string().contains("surprise"), "{fault}");

    let mut newer = every_variant();
    newer.schema_version = 2;
    let fault = json::parse(&json::render(&newer)).expect_err("another version is refused");
    assert!(fault.to_string().contains("schema version 2"), "{fault}");
}

#[test]
fn a_report_that_contradicts_itself_is_refused() {
    let sound = every_variant();
    assert!(sound.check().is_ok());

    let mut wrong = sound.clone();
    wrong.totals.pass += 1;
    assert!(matches!(wrong.check(), Err(CheckError::Totals)));

    let mut wrong = sound.clone();
    wrong.results.push(wrong.results[0].clone());
    let wrong = wrong.finish();
    assert!(matches!(wrong.check(), Err(CheckError::Twice(_))));

    let mut wrong = sound.clone();
    wrong.results[0].recording = Some("nowhere".into());
    assert!(matches!(wrong.check(), Err(CheckError::Unlisted { what: "recording", .. })));

    let mut wrong = sound;
    wrong.results[0].metrics[0].unit = Unit::Pixels;
    assert!(matches!(wrong.check(), Err(CheckError::Undefined { .. })));
}

#[test]
fn a_series_that_goes_back_in_time_is_refused() {
    let text = r#"{"name":"s","plot":"p","unit":"ms","samples":2,"points":[[2,1],[1,1]]}"#;
    let fault = serde_json::from_str::<Series>(text).expect_err("time goes forward");
    assert!(fault.to_string().contains("point 1"), "{fault}");
}

#[test]
fn the_repeatable_part_has_neither_moment_nor_machine_nor_noise() {
    let mut one = sample::sample();
    let two = one.clone();
    one.started_at = "2027-01-01T00:00:00Z".into();
    one.took_ms = None;
    one.environment.cores = Some(96);
    for metric in one.results.iter_mut().flat_map(|result| &mut result.metrics) {
        if metric.repeatability == Repeatability::Noisy {
            metric.value = Value::from(1.0);
        }
    }
    assert_ne!(one, two);
    assert_eq!(json::render(&one.repeatable()), json::render(&two.repeatable()));
    assert!(one.repeatable().check().is_ok());
    let exact = one.results.iter_mut().flat_map(|result| &mut result.metrics);
    let moved = exact
        .filter(|metric| metric.direction == Direction::LowerIsBetter)
        .find(|metric| metric.repeatability == Repeatability::Exact);
    moved.expect("the sample has such a metric").value = Value::from(1e6);
    assert_ne!(json::render(&one.repeatable()), json::render(&two.repeatable()));
}
