//! Nothing from outside is markup, a column or a command, whatever it is.

use callrig_reports::escape::{MAX_CHARS, markdown_code, visible};
use callrig_reports::metric::{Metric, Unit, registry as m};
use callrig_reports::render::{html, json, junit, markdown, text};
use callrig_reports::report::{CaseResult, Flow, Network, Recording, Report};
use callrig_reports::{Level, Mark, MarkKind, Requirement, Series, Verdict};
use proptest::prelude::*;

/// A report in which every string that may come from outside is this one.
fn report_of(text: &str, verdict: Verdict) -> Report {
    let mut report = Report::new(text, text, 7);
    let own = || text.to_owned();
    report.corpora_digest = Some(own());
    report.environment.cpu_model = Some(own());
    report.environment.commit = Some(own());
    report.environment.codec_versions.insert(own(), own());
    let flow = Flow {
        codec: own(),
        source: own(),
        destination: own(),
        guessed: Some(own()),
        ..Flow::default()
    };
    report.recordings.push(Recording {
        id: own(),
        title: own(),
        kind: own(),
        sha256: Some(own()),
        flows: vec![flow],
        ..Recording::default()
    });
    let parameters = [(own(), own())].into();
    report.networks.push(Network { name: own(), description: own(), parameters });
    let requirement =
        Requirement { id: own(), level: Level::Must, citation: own(), sentence: own() };
    let mut finding = requirement.broken(text, text).with_evidence([text, text]);
    finding.media = Some(own());
    let mut result = CaseResult::error(text, text).about(Some(text), Some(text));
    result.verdict = verdict;
    result.findings.push(finding);
    result.metrics = vec![Metric::new(&m::DIGITS, text).labelled(own()), Metric::new(&m::MOS, 4.2)];
    result.series = vec![Series::sampled(own(), own(), Unit::Seconds, [(0.0, 1.0), (9.0, 2.0)], 9)];
    result.marks = vec![Mark::at(MarkKind::Digit, 1.0).labelled(text)];
    report.results.push(result);
    report.finish()
}

fn hostile() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "<script>alert(1)</script>",
        "</style>",
        "\" onload=\"x",
        "' x='",
        "&amp;",
        "]]>",
        "-->",
        "\u{1b}[31m",
        "\u{1b}]0;title\u{7}",
        "\u{9b}2J",
        "\r",
        "\n",
        "\t",
        "|",
        "`",
        "``",
        "\\",
        "*",
        "_",
        "[a](javascript:x)",
        "@everyone",
        "#1",
        "\u{0}",
        "\u{202e}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{2028}",
        "e\u{301}",
        "你好",
        "👩‍👩‍👧",
        "$x$",
        "~~",
        "\u{200b}",
        "\u{feff}",
        "{{",
        "${x}",
    ]);
    prop_oneof![
        3 => prop::collection::vec(nasty, 0..6).prop_map(|parts| parts.concat()),
        1 => any::<String>(),
        1 => proptest::char::any().prop_map(String::from),
    ]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop::sample::select(Verdict::WORST_FIRST.to_vec())
}

/// The tags of a page, without their text. Fails on text that still holds a bracket.
fn tags(page: &str) -> Vec<String> {
    let head = page.split("<style>").next().unwrap_or_default();
    let rest = page.split("</style>").nth(1).expect("there is one style");
    assert_eq!(page.matches("</style>").count(), 1);
    assert_eq!(page.matches("</script>").count(), 1);
    let body = rest.split("<script>").next().unwrap_or_default();
    let mut tags = Vec::new();
    for part in [head, body] {
        for piece in part.split('<').skip(1) {
            let (tag, text) = piece.split_once('>').expect("every tag is closed");
            assert!(!text.contains('>'), "{text}");
            // Attribute values go, their names stay.
            let names: Vec<&str> = tag.split('"').step_by(2).collect();
            tags.push(names.join("\"\""));
        }
    }
    tags
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_page_has_the_same_tags_whatever_the_text(text in hostile(), verdict in verdict()) {
        // Blank text has fewer tags of its own accord: compare with text as harmless as possible.
        let plain = if text.is_empty() { "" } else { "x" };
        prop_assert_eq!(
            tags(&html::render(&report_of(&text, verdict))),
            tags(&html::render(&report_of(plain, verdict)))
        );
    }

    #[test]
    fn the_junit_file_holds_only_xml_characters(text in hostile(), verdict in verdict()) {
        let xml = junit::render(&report_of(&text, verdict));
        let bad = xml.chars().find(|one| match one {
            '\n' => false,
            '\u{fffe}' | '\u{ffff}' => true,
            one => one.is_control(),
        });
        prop_assert_eq!(bad, None);
        for piece in xml.split('<').skip(1) {
            let (_, text) = piece.split_once('>').expect("every tag is closed");
            prop_assert!(!text.contains("]]>"));
            for entity in text.split('&').skip(1) {
                let name = entity.split(';').next().unwrap_or_default();
                prop_assert!(matches!(name, "lt" | "gt" | "amp" | "quot" | "apos"), "{}", name);
            }
        }
    }

    #[test]
    fn the_terminal_gets_no_sequence_from_outside(text in hostile(), verdict in verdict()) {
        let report = report_of(&text, verdict);
        let plain = text::render(&report, text::Options { width: 100, color: false });
        prop_assert!(!plain.chars().any(|one| one.is_control() && one != '\n'));
        let harmless = text::render(&report_of("x", verdict), text::Options::default());
        if !text.trim().is_empty() {
            prop_assert_eq!(plain.lines().count(), harmless.lines().count());
        }
    }

    #[test]
    fn the_summary_has_the_same_tables_whatever_the_text(text in hostile(), verdict in verdict()) {
        let summary = markdown::render(&report_of(&text, verdict));
        let harmless = markdown::render(&report_of("x", verdict));
        prop_assert!(!summary.chars().any(|one| one.is_control() && one != '\n'));
        prop_assert_eq!(summary.lines().count(), harmless.lines().count());
        for (ours, plain) in summary.lines().zip(harmless.lines()) {
            if plain.starts_with('|') {
                prop_assert_eq!(ours.matches('|').count(), plain.matches('|').count(), "{}", ours);
            }
        }
    }

    #[test]
    fn code_of_markdown_cannot_be_left(text in hostile()) {
        let code = markdown_code(&text);
        if let Some(entities) = code.strip_prefix("<code>") {
            let inside = entities.strip_suffix("</code>").expect("what is opened is closed");
            prop_assert!(!inside.contains(['<', '>', '|', '`', '*', '_', '[', '\\', '@']));
        } else if code != "–" {
            let fence = code.len() - code.trim_start_matches('`').len();
            prop_assert!(code.ends_with(&"`".repeat(fence)));
            let inside = &code[fence..code.len() - fence];
            let runs = inside.split(|one| one != '`').map(str::len);
            prop_assert!(runs.max().unwrap_or(0) < fence, "{}", code);
            prop_assert!(!inside.contains(['|', '\n']));
        }
    }

    #[test]
    fn what_is_visible_stays_so_and_is_bounded(text in any::<String>()) {
        let once = visible(&text).into_owned();
        prop_assert_eq!(visible(&once), once.as_str());
        prop_assert!(once.chars().count() <= MAX_CHARS + 1);
    }

    #[test]
    fn the_json_keeps_hostile_text_as_it_is(text in hostile(), verdict in verdict()) {
        let report = report_of(&text, verdict);
        let again = json::parse(&json::render(&report)).expect("our own JSON parses");
        prop_assert_eq!(report, again);
    }

    #[test]
    fn reading_any_text_never_panics(text in any::<String>()) {
        prop_assert!(json::parse(&text).is_err());
    }

    #[test]
    fn thinning_keeps_ends_and_extremes(
        values in prop::collection::vec(-1e6..1e6_f64, 1..3_000),
        most in 4_usize..500,
    ) {
        let points = values.iter().enumerate().map(|(at, value)| (at as f64 * 20.0, *value));
        let series = Series::sampled("s", "p", Unit::Seconds, points, most);
        prop_assert!(series.points().len() <= most);
        prop_assert!(series.points().is_sorted_by(|a, b| a.0 <= b.0));
        prop_assert_eq!(series.samples(), values.len() as u64);
        let extreme = |pick: fn(f64, f64) -> f64| {
            let all = values.iter().copied().reduce(pick).expect("there are values");
            let kept = series.points().iter().map(|point| point.1).reduce(pick);
            (kept.expect("there are points") - all).abs() <= all.abs() * 1e-5
        };
        prop_assert!(extreme(f64::min) && extreme(f64::max));
    }
}
