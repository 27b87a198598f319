//! Nothing is defined that nobody measures.

use std::collections::BTreeSet;

use callrig::case::{self, Selection};
use callrig::deviation::Deviations;
use callrig::network;
use callrig::plan::{self, Networks, Performing, Plan};
use callrig::seed::Seed;
use callrig_reports::metric::{Value, registry};

use crate::subjects;

const RECORDINGS: [&str; 4] = [
    "audio/opus-20ms-24k-fec-en",
    "dtmf/all-sixteen-over-pcmu",
    "hostile/sequence-jumps",
    "video/h264-180p-stap-a",
];

#[test]
fn every_metric_that_is_defined_is_measured() {
    let networks = ["burst", "clean"].map(|name| network::find(name).expect("a preset"));
    let networks = Networks::These(networks.to_vec());
    let selection = Selection::new(&[]).expect("no pattern is a sound pattern");
    let plan = Plan::make(&subjects(&RECORDINGS), &networks, case::all(), &selection);
    let performing = Performing {
        seed: Seed::new(7),
        jobs: 2,
        deviations: &Deviations::default(),
        keep: &|_, _| Ok(()),
        done: &|_, _| {},
    };
    let results = plan::perform(&plan, &performing).expect("threads can be had");
    let metrics = results.iter().flat_map(|result| &result.metrics);
    let measured = metrics.filter(|metric| metric.value != Value::Undefined);
    let measured: BTreeSet<&str> = measured.map(|metric| &*metric.name).collect();
    let defined: BTreeSet<&str> = registry::REGISTRY.iter().map(|one| &*one.name).collect();
    let idle: Vec<_> = defined.difference(&measured).collect();
    assert!(idle.is_empty(), "never measured: {idle:?}");
    let strange: Vec<_> = measured.difference(&defined).collect();
    assert!(strange.is_empty(), "not defined: {strange:?}");
}
