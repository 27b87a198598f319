//! Two reports differ where they differ, and only there.

use callrig_reports::Verdict;
use callrig_reports::compare::{Trend, compare};
use callrig_reports::metric::{Repeatability, Value};

use crate::sample;

#[test]
fn a_report_is_the_same_as_itself() {
    let report = sample::of_size(2, 2, 20);
    let found = compare(&report, &report);
    assert!(found.is_same() && !found.is_worse(), "{found:?}");
    assert!(found.compared > 50 && found.noisy > 0, "{found:?}");
}

#[test]
fn a_metric_that_moves_is_found_with_its_direction() {
    let base = sample::of_size(2, 2, 20);
    let mut head = base.clone();
    let metrics = head.results.iter_mut().flat_map(|result| &mut result.metrics);
    for metric in metrics {
        match &*metric.name {
            "mos" => metric.value = metric.value.number().map(|mos| mos - 0.01).into(),
            "packetsLate" => metric.value = Value::from(10_u32),
            "decodedDigest" => metric.value = Value::from("other"),
            "packetsPerCoreSecond" => metric.value = Value::from(1.0),
            _ => {}
        }
    }
    let found = compare(&base, &head);
    assert!(found.is_worse());
    assert!(found.verdicts.is_empty());
    let trend_of = |name: &str| {
        found.metrics.iter().find(|change| change.metric == name).map(|change| change.trend)
    };
    assert_eq!(trend_of("mos"), Some(Trend::Worse));
    assert_eq!(trend_of("packetsLate"), Some(Trend::Worse));
    assert_eq!(trend_of("decodedDigest"), Some(Trend::Changed));
    assert_eq!(trend_of("packetsPerCoreSecond"), None);
    assert!(compare(&head, &base).metrics.iter().any(|change| change.trend == Trend::Better));
}

#[test]
fn a_stated_tolerance_is_not_a_difference() {
    let mut base = sample::of_size(1, 1, 20);
    for definition in &mut base.metric_definitions {
        definition.to_mut().tolerance = 0.05;
    }
    let mut head = base.clone();
    let metrics = head.results.iter_mut().flat_map(|result| &mut result.metrics);
    for metric in metrics.filter(|metric| metric.name == "mos") {
        metric.value = metric.value.number().map(|mos| mos - 0.01).into();
    }
    assert!(compare(&base, &head).is_same());
}

#[test]
fn a_result_that_is_gone_or_red_is_worse() {
    let base = sample::of_size(2, 2, 20);
    let mut fewer = base.clone();
    fewer.results.pop();
    assert!(compare(&base, &fewer).is_worse());
    assert!(!compare(&fewer, &base).is_worse());

    let mut red = base.clone();
    red.results[0].verdict = Verdict::Fail;
    let found = compare(&base, &red);
    assert_eq!(found.verdicts.len(), 1);
    assert_eq!(found.verdicts[0].head, Some(Verdict::Fail));
    assert!(found.is_worse());
}

#[test]
fn another_seed_is_named_and_noise_is_left_out() {
    let base = sample::of_size(1, 1, 20);
    let mut head = base.clone();
    head.seed += 1;
    for metric in head.results.iter_mut().flat_map(|result| &mut result.metrics) {
        metric.repeatability = Repeatability::Noisy;
        metric.value = Value::from(1.0);
    }
    let found = compare(&base, &head);
    assert_eq!(found.setup.len(), 1);
    assert_eq!((found.setup[0].what, found.compared), ("seed", 0));
    assert!(found.metrics.is_empty());
}
