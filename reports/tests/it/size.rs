//! A page stays small enough to open, whatever it is about.

use callrig_reports::metric::Unit;
use callrig_reports::render::html;
use callrig_reports::report::Report;
use callrig_reports::{Level, Mark, MarkKind, Requirement, Series, Verdict};

use crate::sample::{self, Dice};

#[test]
fn fifty_recordings_under_thirteen_networks_stay_below_fifteen_megabytes() {
    assert_small("usual", &sample::of_size(50, 13, Series::COMPACT));
}

#[test]
fn a_page_of_full_series_marks_and_findings_stays_below_fifteen_megabytes() {
    let mut report = sample::of_size(50, 13, Series::MAX_POINTS);
    let mut dice = Dice::new(7);
    let requirement = Requirement {
        id: "media/jitter/delay-bound".into(),
        level: Level::Must,
        citation: "ITU-T G.114 section 2".into(),
        sentence: "Speech reaches the ear within 150 ms.".into(),
    };
    for result in report.results.iter_mut().filter(|one| one.id == "media/rtp/statistics") {
        for name in ["a", "b", "c", "d"] {
            let points = (0..2_000).map(|at| (f64::from(at) * 10.0, dice.roll()));
            let points: Vec<(f64, f64)> = points.collect();
            result.series.push(Series::sampled(
                name,
                name,
                Unit::Ratio,
                points,
                Series::MAX_POINTS,
            ));
        }
        for kind in MarkKind::ALL {
            let marks = (0..Mark::MAX_PER_KIND).map(|at| Mark::at(kind, at as f64 * 50.0));
            result.marks.extend(marks);
        }
        for _ in 0..5 {
            let evidence =
                (0..50).map(|line| format!("packet {line} arrived 12.5 ms after its time"));
            result.findings.push(requirement.broken("150 ms", "170 ms").with_evidence(evidence));
        }
        result.verdict = Verdict::Fail;
    }
    assert_small("full", &report.finish());
}

fn assert_small(name: &str, report: &Report) {
    let page = html::render(report);
    println!("{name}: {} bytes", page.len());
    assert!(page.len() < 15_000_000, "{name}: {} bytes", page.len());
    if let Some(folder) = std::env::var_os("CALLRIG_KEEP_PAGES") {
        let file = std::path::Path::new(&folder).join(format!("{name}.html"));
        std::fs::write(file, page).expect("the folder asked for can be written to");
    }
}

#[test]
fn the_page_needs_nothing_else() {
    let page = html::render(&sample::sample());
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside} is on the page");
    }
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("<style").count(), 1);
}
