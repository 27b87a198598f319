//! The proof that `run` measures what `serve` runs: the same recording through a simulated
//! world and through a live one, with threads, sockets and the machine's clock, is judged by
//! the same cases, with the same verdicts and the same counts. What is made of time differs
//! between the two, and is not compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use callrig::case;
use callrig::deviation::Deviations;
use callrig::network;
use callrig::plan::{self, Planned};
use callrig::seed::Seed;
use callrig::stage::{self, Stage};
use callrig::subject::Subject;
use callrig::world::live::recorded;
use callrig_reports::metric::{Unit, Value};
use callrig_reports::{CaseResult, Verdict};

use crate::subjects;

/// Verdicts by case, and counts by case and metric.
type Compared = (BTreeMap<String, Verdict>, BTreeMap<String, String>);

fn planned(subject: &Arc<Subject>, stage: Stage) -> Planned {
    let network = network::find("clean").expect("a preset");
    let applies = |case: &&case::Case| case.stage == stage && (case.applies)(subject, network);
    let cases = case::all().iter().filter(applies).copied().collect();
    Planned { subject: Arc::clone(subject), network, stage, cases }
}

/// Packets, frames, bytes and digests are the same whatever the clock does; times are not, and
/// neither is what is made of them (samples that fill a pause, figures of quality).
fn compared(results: Vec<CaseResult>) -> Compared {
    let counts = |unit| matches!(unit, Unit::Packets | Unit::Frames | Unit::Bytes | Unit::Text);
    let mut verdicts = BTreeMap::new();
    let mut metrics = BTreeMap::new();
    for result in results {
        for metric in result.metrics.iter().filter(|metric| counts(metric.unit)) {
            let value = match &metric.value {
                Value::Text(text) => text.clone(),
                other => format!("{other:?}"),
            };
            metrics.insert(format!("{} {}", result.id, metric.full_name()), value);
        }
        verdicts.insert(result.id.clone(), result.verdict);
    }
    (verdicts, metrics)
}

fn agree(id: &str, stage: Stage) {
    let subject = &subjects(&[id])[0];
    let planned = planned(subject, stage);
    assert!(!planned.cases.is_empty(), "{id}: somebody judges it");
    let none = Deviations::default();
    let simulated = stage::perform(subject, planned.network, stage, Seed::new(3));
    let simulated = plan::judge(&planned, &simulated.expect("it can be staged"), &none);
    let live = recorded::perform(subject, stage, Seed::new(3)).expect("it can be staged");
    assert_eq!(live.fault(), None);
    let live = plan::judge(&planned, &live, &none);
    let ((verdicts, counts), (live_verdicts, live_counts)) = (compared(simulated), compared(live));
    assert_eq!(verdicts, live_verdicts, "{id}");
    assert_eq!(counts, live_counts, "{id}");
    assert!(counts.len() >= 3, "{id}: {counts:?}");
    println!("{id}: {} verdicts and {} counts agree", verdicts.len(), counts.len());
}

#[test]
fn sound_is_judged_alike_in_both_worlds() {
    agree("dtmf/short-presses", Stage::Listen);
}

#[test]
fn pictures_are_judged_alike_in_both_worlds() {
    agree("video/h264-180p-stap-a", Stage::Listen);
}
