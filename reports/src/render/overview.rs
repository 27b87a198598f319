//! What every rendering says first: the headline, the scope, and what went wrong, grouped by what
//! was asked for.

use std::collections::BTreeMap;

use crate::metric::Value;
use crate::number;
use crate::report::{CaseResult, Report};
use crate::stats;
use crate::verdict::{Finding, Verdict};

use super::cells::{Cell, Cells};

/// The outcome in one short sentence.
pub(super) fn headline(report: &Report) -> String {
    let totals = &report.totals;
    let digits = |count: u64| number::digits(count as f64);
    let (fail, error, all) = (digits(totals.fail), digits(totals.error), digits(totals.all()));
    match totals.worst() {
        None => "Nothing was run.".into(),
        Some(Verdict::Fail) if totals.error > 0 => {
            format!("{fail} of {all} failed, {error} could not be judged.")
        }
        Some(Verdict::Fail) => format!("{fail} of {all} failed."),
        Some(Verdict::Error) => format!("{error} of {all} could not be judged."),
        Some(Verdict::Warn) if totals.warn == 1 => "Passed, with 1 warning.".into(),
        Some(Verdict::Warn) => format!("Passed, with {} warnings.", digits(totals.warn)),
        Some(Verdict::Unsupported) if totals.pass == 0 => "Nothing could be judged.".into(),
        Some(Verdict::Unsupported | Verdict::Pass) => "Everything passed.".into(),
    }
}

/// What was run, in one sentence.
pub(super) fn scope(report: &Report) -> String {
    let count = |count: usize, one: &str, more: &str| {
        format!("{} {}", number::digits(count as f64), if count == 1 { one } else { more })
    };
    let mut scope = count(report.results.len(), "result", "results");
    if !report.recordings.is_empty() {
        scope += &format!(" from {}", count(report.recordings.len(), "recording", "recordings"));
    }
    if !report.networks.is_empty() {
        let networks = count(report.networks.len(), "network condition", "network conditions");
        scope += &format!(" under {networks}");
    }
    scope + "."
}

/// The results that broke one requirement, or could not be judged for one reason.
pub(super) struct Group<'a> {
    /// `Fail`, `Error` or `Warn`.
    pub(super) verdict: Verdict,
    /// What was asked for, or the reason.
    pub(super) title: &'a str,
    /// The first finding, with its evidence; `None` for an error without one.
    pub(super) finding: Option<&'a Finding>,
    /// The results, in the order of the report; never empty.
    pub(super) results: Vec<&'a CaseResult>,
}

/// Everything that is not green, grouped, worst first, and within a verdict what occurs most often.
pub(super) fn groups(report: &Report) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<(Verdict, &str), Group<'_>> = BTreeMap::new();
    let mut add = |verdict, id, title, finding, result| {
        let group = Group { verdict, title, finding, results: Vec::new() };
        let group = groups.entry((verdict, id)).or_insert(group);
        if group
            .results
            .last()
            .is_none_or(|last: &&CaseResult| last.key() != CaseResult::key(result))
        {
            group.results.push(result);
        }
    };
    for result in &report.results {
        for finding in &result.findings {
            // What is known to deviate is no more than the warning that its result is.
            let known = result.verdict == Verdict::Warn;
            let verdict =
                finding.level.when_broken().min(if known { Verdict::Warn } else { Verdict::Fail });
            if verdict > Verdict::Pass {
                add(
                    verdict,
                    finding.requirement.as_str(),
                    &*finding.sentence,
                    Some(finding),
                    result,
                );
            }
        }
        let untold = result.findings.is_empty() && result.verdict >= Verdict::Warn;
        if result.verdict == Verdict::Error || untold {
            let reason = result.reason.as_deref().unwrap_or("No reason was given.");
            add(result.verdict, reason, reason, None, result);
        }
    }
    let mut groups: Vec<Group<'_>> = groups.into_values().collect();
    groups.sort_by(|a, b| b.verdict.cmp(&a.verdict).then(b.results.len().cmp(&a.results.len())));
    groups
}

/// The distribution of one metric over all cells.
pub(super) struct Spread<'a> {
    /// What it is called on the page.
    pub(super) title: &'static str,
    /// Least, median and greatest, with the cells that have them.
    pub(super) least: (f64, &'a Cell<'a>),
    pub(super) median: (f64, &'a Cell<'a>),
    pub(super) greatest: (f64, &'a Cell<'a>),
    /// The metric as one of the cells has it, for its unit and direction.
    pub(super) metric: &'a crate::metric::Metric,
    /// All values, ascending.
    pub(super) values: Vec<f64>,
}

/// The few metrics that sum a run up, of those it has.
pub(super) fn spreads<'a>(cells: &'a Cells<'a>) -> Vec<Spread<'a>> {
    const SHOWN: [(&str, &str); 6] = [
        ("mos", "Speech quality (MOS)"),
        ("mouthToEarDelayP95", "Mouth to ear, 95 %"),
        ("framesRenderedRatio", "Frames shown"),
        ("glassToGlassDelayP95", "Glass to glass, 95 %"),
        ("jitterMean", "Jitter, mean"),
        ("lossRatio", "Packets lost"),
    ];
    let spread = |(name, title): (&str, &'static str)| {
        let mut found: Vec<(f64, &Cell<'_>)> = cells
            .all()
            .filter_map(|cell| Some((cell.metric(name)?.value.number()?, cell)))
            .collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let values: Vec<f64> = found.iter().map(|(value, _)| *value).collect();
        let middle = stats::percentile(&values, 50.0)?;
        let median = *found.iter().find(|(value, _)| *value == middle)?;
        let metric = found[0].1.metric(name)?;
        Some(Spread { title, least: found[0], median, greatest: *found.last()?, metric, values })
    };
    SHOWN.into_iter().filter_map(spread).take(4).collect()
}

/// What a metric is called where there is little room; its name if it has no shorter one.
pub(super) fn short(name: &str) -> &str {
    match name {
        "mos" => "MOS",
        "framesRenderedRatio" => "shown",
        "mouthToEarDelayP95" => "mouth to ear",
        "glassToGlassDelayP95" => "glass to glass",
        "lossRatio" => "lost",
        _ => name,
    }
}

/// The build and the machine, as names and values; only what is known.
pub(super) fn environment(report: &Report) -> Vec<(String, String)> {
    let one = &report.environment;
    let commit = one.commit.as_ref().map(|commit| match one.dirty {
        Some(true) => format!("{commit} with uncommitted changes"),
        _ => commit.clone(),
    });
    let fields = [
        ("Tool", Some(format!("{} {}", report.tool.name, report.tool.version))),
        ("Started", Some(report.started_at.clone())),
        (
            "Took",
            report
                .took_ms
                .map(|ms| number::show_number(ms as f64, crate::metric::Unit::Milliseconds)),
        ),
        ("Seed", Some(report.seed.to_string())),
        ("Corpora", report.corpora_digest.clone()),
        ("Commit", commit),
        ("Profile", one.profile.clone()),
        ("Compiler", one.rustc.clone()),
        ("System", one.os.clone()),
        ("Processor", one.cpu_model.clone()),
        ("Cores", one.cores.map(|cores| cores.to_string())),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let codecs = one.codec_versions.iter().map(|(name, version)| (name.clone(), version.clone()));
    fields.chain(codecs).collect()
}

/// The cells a person should look at first: the worst verdicts, then the worst quality.
pub(super) fn worst_cells<'a>(cells: &'a Cells<'a>, most: usize) -> Vec<&'a Cell<'a>> {
    let badness = |cell: &Cell<'_>| {
        let quality = cell
            .seen_through(super::cells::Lens::Quality)
            .filter(|metric| !matches!(metric.value, Value::Text(_)))
            .and_then(|metric| cells.heat(cell, metric))
            .unwrap_or(0);
        (cell.verdict() >= Verdict::Warn, cell.verdict(), quality)
    };
    let mut all: Vec<&Cell<'_>> =
        cells.all().filter(|cell| badness(cell).0 || badness(cell).2 > 0).collect();
    all.sort_by_key(|cell| std::cmp::Reverse((badness(cell).1, badness(cell).2)));
    all.truncate(most);
    all
}
