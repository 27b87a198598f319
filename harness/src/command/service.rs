//! `callrig validate --service`: a verdict for every rule that binds a service.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::anyhow;
use callrig_reports::{CaseResult, Report};

use super::report::{show, write};
use super::validate::{advice, exit_code, wanted};
use super::{Failure, say};
use crate::case::Selection;
use crate::catalogue;
use crate::cli::{ExitCode, Validate};
use crate::progress::Progress;
use crate::seed::Seed;
use crate::validate::bot::deviations::Deviations;
use crate::validate::service::live::Subject;
use crate::validate::service::script::Case;
use crate::validate::service::suite::{self, Ledger, simulate, suite};
use crate::{environment, output};

/// The word for our own service in virtual time.
const SIMULATED: &str = "simulated";

/// Judges a service and reports.
pub(super) fn judge(arguments: &Validate, service: &str) -> Result<ExitCode, Failure> {
    let (started_at, began) = (environment::now(), Instant::now());
    let (globs, seed) = wanted(arguments)?;
    let selection = Selection::new(&globs).map_err(Failure::usage)?;
    let suite = suite();
    let cases: Vec<&Case> = suite.cases.iter().filter(|case| selection.takes(&case.id)).collect();
    if cases.is_empty() {
        return Err(Failure::nothing(
            "no case was selected; `callrig list --requirements 'service/**'` shows what there is",
        ));
    }
    let catalogue = catalogue::all();
    let rules: Vec<&str> = catalogue.entries().iter().map(|rule| rule.id.as_str()).collect();
    let known = arguments.deviations.as_deref().map(|path| Deviations::read(path, &rules));
    let known = known.transpose().map_err(Failure::usage)?.unwrap_or_default();
    output::make(&arguments.out)?;
    let ledger = match service {
        SIMULATED => simulate(&cases, &suite.shapes, seed.get(), None),
        url => over_http(arguments, url, &cases)?,
    };
    let today = started_at.get(..10).unwrap_or_default().to_owned();
    let mut report = Report::new(env!("CARGO_PKG_VERSION"), started_at, seed.get());
    fill(&mut report, &ledger, &cases);
    report.results = known.weigh(core::mem::take(&mut report.results), &today);
    report.advice = advice(&report.results);
    repeatable(&mut report.results, arguments, service, seed);
    report.took_ms = u64::try_from(began.elapsed().as_millis()).ok();
    let report = report.finish();
    report.check()?;
    write(&report, &arguments.out, &arguments.format)?;
    show(&report)?;
    let files: Vec<&str> = arguments.format.iter().map(|format| format.file()).collect();
    say(&format!("\nwritten to {}: {}\n", arguments.out.display(), files.join(", ")))?;
    Ok(exit_code(&report, arguments.level))
}

/// Each finding says how it is seen again: its evidence begins with the case that found it.
fn repeatable(results: &mut [CaseResult], arguments: &Validate, service: &str, seed: Seed) {
    let rig = arguments.service.rig.as_ref().map(|rig| format!(" --rig {rig}"));
    let rig = rig.unwrap_or_default();
    for finding in results.iter_mut().flat_map(|result| &mut result.findings) {
        let case = finding.evidence.first().and_then(|line| line.strip_prefix("case "));
        if let Some(case) = case {
            let again =
                format!("again: callrig validate --service {service}{rig} --replay {case}@{seed}");
            finding.evidence.push(again);
        }
    }
}

fn over_http(arguments: &Validate, url: &str, cases: &[&Case]) -> Result<Ledger, Failure> {
    for (option, text) in [("--service", Some(url)), ("--rig", arguments.service.rig.as_deref())] {
        let good = |text: &str| url::Url::parse(text).is_ok_and(|url| url.has_host());
        if let Some(text) = text.filter(|text| !good(text)) {
            let message = format!("{option} {text:?} is no address: http://host:port is one");
            return Err(Failure::usage(anyhow!("{message}")));
        }
    }
    let app = match (&arguments.app_id, &arguments.secret, &arguments.service.tenant) {
        (Some(app), Some(secret), Some(tenant)) => {
            Some((app.clone(), secret.clone(), tenant.clone()))
        }
        _ => None,
    };
    let subject = Subject {
        service: url.to_owned(),
        rig: arguments.service.rig.clone(),
        rig_token: arguments.service.rig_token.clone(),
        webhook: arguments.service.webhook.clone(),
        listen: arguments.listen,
        app,
        users: arguments.service.user.clone(),
    };
    let progress = Progress::new(cases.len(), "cases");
    let done = |case: &Case| progress.done(case.id.clone(), 0);
    let pace = (arguments.service.patience, usize::from(arguments.service.at_once));
    let judged = suite::validate(cases, &suite().shapes, subject, pace, &done);
    progress.finish();
    judged.map_err(Failure::usage)
}

/// A result for each rule that the cases look at.
fn fill(report: &mut Report, ledger: &Ledger, cases: &[&Case]) {
    let catalogue = catalogue::all();
    let mut rules: BTreeSet<&str> = cases.iter().flat_map(|case| case.rules()).collect();
    // Shapes are judged by whatever is told: all of them by the whole suite, and otherwise
    // those of which something was told.
    let is_whole = cases.len() == suite().cases.len();
    let shaped = suite().shapes.rules().flat_map(|(_, rules)| rules);
    rules.extend(shaped.filter(|rule| is_whole || ledger.knows(rule)));
    let rules: Vec<&str> = rules.into_iter().collect();
    report.environment = environment::current();
    report.requirements = rules
        .iter()
        .filter_map(|rule| catalogue.get(rule))
        .map(|rule| rule.requirement())
        .collect();
    report.results = ledger.results(catalogue, &rules);
}
