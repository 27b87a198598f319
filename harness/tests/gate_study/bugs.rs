//! B3, what comes out: queues, qualities and counts, by the exact metrics of simulated time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use callrig::case::{self, Selection};
use callrig::deviation::Deviations;
use callrig::network;
use callrig::plan::{self, Networks, Plan};
use callrig::seed::Seed;
use callrig::subject::{About, Subject};
use callrig_corpora::manifest::Manifest;
use callrig_corpora::open_path;
use callrig_media::fault::{self, Fault};
use callrig_reports::gate::bounds::Bounds;
use callrig_reports::gate::{Gate, Outcome, Side, exact};
use callrig_reports::{Report, report};

use crate::costs::Found;
use crate::seeds::{BUGS, Bug};
use crate::{Study, at_least};

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpora")
}

pub(crate) fn run(study: &mut Study) -> Found {
    study.say("## B3: seeded regressions of what comes out\n");
    let manifest = Manifest::read(&corpora().join("manifest.toml")).expect("the manifest");
    let bugs: Vec<&Bug> =
        if study.full { BUGS.iter().collect() } else { BUGS.iter().step_by(12).collect() };
    let mut found = Found::default();
    let mut missed = Vec::new();
    for bug in bugs {
        let subject = subject(&manifest, bug.recording);
        let base = played(&subject, bug.network, None);
        let broken = played(&subject, bug.network, Some(bug.fault));
        let same = played(&subject, bug.network, None);
        let judged = |candidate: &Report| {
            let found = exact::judge(&base, candidate, &Bounds::default());
            Gate::conclude("", Side::default(), Side::default(), found)
        };
        // The same once more is a change that harms nobody.
        assert_eq!(judged(&same).outcome, Outcome::Clear, "{}", bug.recording);
        let gate = judged(&broken);
        let seen = gate.outcome == Outcome::Regressed;
        let right =
            gate.red().any(|check| bug.stages.iter().any(|stage| check.stage.starts_with(stage)));
        found.all += 1;
        found.found += u64::from(seen);
        found.attributed += u64::from(seen && right);
        if !seen || !right {
            let named: Vec<&str> = gate.red().map(|check| &*check.stage).collect();
            missed.push(format!(
                "- {:?} in {} on {}: {}, named {named:?}",
                bug.fault,
                bug.recording,
                bug.network,
                gate.outcome.word()
            ));
        }
    }
    study.say(&format!(
        "Found {} by exact metrics and verdicts, at the right stage {}.\n",
        at_least(found.found, found.all),
        found.attributed
    ));
    missed.iter().for_each(|line| study.say(line));
    study.say("");
    found
}

fn subject(manifest: &Manifest, id: &str) -> Arc<Subject> {
    let entry = manifest.entry(id).unwrap_or_else(|| panic!("{id} is in the manifest"));
    let opened = open_path(&manifest.path_of(entry)).expect("recordings can be opened");
    let about = About {
        id: id.to_owned(),
        sha256: Some(entry.sha256),
        entry: Some(entry.clone()),
        ..About::default()
    };
    let subjects = Subject::of(&opened, &about).expect("it can be played");
    Arc::new(subjects.into_iter().next().expect("somebody speaks in it"))
}

fn played(subject: &Arc<Subject>, on: &str, bug: Option<Fault>) -> Report {
    let _guard = bug.map(fault::switch_on);
    let network = network::find(on).expect("a preset");
    let everything = Selection::new(&[]).expect("no pattern");
    let subjects = [Arc::clone(subject)];
    let plan = Plan::make(&subjects, &Networks::These(vec![network]), case::all(), &everything);
    let mut report = Report::new("0", "", 11);
    report.recordings =
        vec![report::Recording { id: subject.id.clone(), ..report::Recording::default() }];
    report.networks = vec![report::Network { name: on.to_owned(), ..report::Network::default() }];
    report.results = plan
        .performances
        .iter()
        .flat_map(|planned| {
            // In this thread: a bug is switched on in one thread only.
            let performance =
                callrig::stage::perform(subject, network, planned.stage, Seed::new(11));
            let performance = performance.expect("the stage can be built");
            plan::judge(planned, &performance, &Deviations::default())
        })
        .collect();
    report.finish()
}
