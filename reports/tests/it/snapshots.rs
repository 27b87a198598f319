//! What people read, kept word for word.

use callrig_reports::render::{markdown, text};

use crate::sample;

#[test]
fn the_summary_reads_like_this() {
    insta::assert_snapshot!("summary-md", markdown::render(&sample::of_size(2, 11, 20)));
}

#[test]
fn the_terminal_reads_like_this() {
    let report = sample::of_size(2, 11, 20);
    insta::assert_snapshot!("terminal-100", text::render(&report, text::Options::default()));
    let narrow = text::Options { width: 60, color: false };
    insta::assert_snapshot!("terminal-60", text::render(&report, narrow));
}

#[test]
fn colour_changes_nothing_but_colour() {
    let report = sample::of_size(2, 11, 20);
    let plain = text::render(&report, text::Options { width: 80, color: false });
    let mut coloured = text::render(&report, text::Options { width: 80, color: true });
    assert!(coloured.contains('\u{1b}'));
    while let Some(start) = coloured.find('\u{1b}') {
        let length = coloured[start..].find('m').expect("every sequence ends");
        coloured.replace_range(start..=start + length, "");
    }
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&plain), trimmed(&coloured));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    use unicode_width::UnicodeWidthStr as _;
    let report = sample::sample();
    for width in [40, 60, 80, 200] {
        for line in text::render(&report, text::Options { width, color: false }).lines() {
            assert!(line.width() <= width, "{width}: {line:?}");
        }
    }
}

#[test]
fn the_headline_says_the_worst_first_and_never_calls_nothing_a_success() {
    use callrig_reports::report::{CaseResult, Report};
    let headline = |verdicts: &[callrig_reports::Verdict]| {
        let mut report = Report::new("0.1.0", "", 1);
        for (place, verdict) in verdicts.iter().enumerate() {
            let mut result = CaseResult::error(format!("case/{place}"), "why");
            result.verdict = *verdict;
            report.results.push(result);
        }
        let text = text::render(&report.finish(), text::Options::default());
        text.lines().next().unwrap_or_default().to_owned()
    };
    use callrig_reports::Verdict::{Error, Fail, Pass, Unsupported, Warn};
    assert_eq!(headline(&[]), "Nothing was run.");
    assert_eq!(headline(&[Unsupported]), "Nothing could be judged.");
    assert_eq!(headline(&[Pass, Unsupported]), "Everything passed.");
    assert_eq!(headline(&[Pass, Warn]), "Passed, with 1 warning.");
    assert_eq!(headline(&[Pass, Warn, Error]), "1 of 3 could not be judged.");
    assert_eq!(headline(&[Fail, Pass]), "1 of 2 failed.");
    assert_eq!(headline(&[Fail, Error, Pass]), "1 of 3 failed, 1 could not be judged.");
}
