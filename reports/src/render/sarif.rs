//! The report as SARIF 2.1.0, for code scanning: a result for each finding, a rule for each
//! requirement. Findings are about what crossed, not about lines of a file, so each is placed at
//! the case that found it.

use serde_json::{Value, json};

use super::findings::place;
use crate::report::Report;
use crate::verdict::{Finding, Level, Verdict};

/// The report as SARIF.
#[must_use]
pub fn render(report: &Report) -> String {
    let rules: Vec<Value> = report
        .requirements
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": { "text": rule.sentence },
                "help": { "text": format!("Written in: {}", rule.citation) },
                "properties": { "level": rule.level },
            })
        })
        .collect();
    let results: Vec<Value> = report
        .results
        .iter()
        .filter(|result| !matches!(result.verdict, Verdict::Pass | Verdict::Unsupported))
        .flat_map(|result| {
            result.findings.iter().map(|finding| {
                json!({
                    "ruleId": finding.requirement,
                    "level": level(finding.level),
                    "message": { "text": message(finding) },
                    "partialFingerprints": { "case": format!("{}/{}", result.id, finding.requirement) },
                    "locations": [{
                        "logicalLocations": [{ "fullyQualifiedName": result.id, "kind": "case" }],
                    }],
                })
            })
        })
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": report.tool.name, "version": report.tool.version, "rules": rules,
            }},
            "results": results,
        }],
    });
    let mut text = serde_json::to_string_pretty(&log).expect("every key is a string");
    text.push('\n');
    text
}

/// As GitHub's workflow commands: an annotation for each finding.
#[must_use]
pub fn annotations(report: &Report) -> String {
    let escape = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| escape(text).replace(':', "%3A").replace(',', "%2C");
    let mut lines = String::new();
    for result in &report.results {
        for finding in &result.findings {
            let kind = if finding.level == Level::Must { "error" } else { "warning" };
            let title = property(&format!("{} ({})", result.id, finding.level.word()));
            lines.push_str(&format!("::{kind} title={title}::{}\n", escape(&message(finding))));
        }
    }
    lines
}

/// What a badge shows, in the form of shields.io's endpoints.
#[must_use]
pub fn badge(report: &Report) -> String {
    let totals = &report.totals;
    let judged = totals.pass + totals.warn + totals.fail;
    let (message, color) = match totals.worst() {
        None => ("nothing ran".to_owned(), "lightgrey"),
        Some(Verdict::Fail) => (format!("{} of {judged} fail", totals.fail), "red"),
        Some(Verdict::Error) => (format!("{} not judged", totals.error), "orange"),
        Some(Verdict::Warn) => (format!("{judged} cases, {} warnings", totals.warn), "yellow"),
        Some(_) => (format!("{judged} cases pass"), "brightgreen"),
    };
    let badge = json!({
        "schemaVersion": 1, "label": report.tool.name, "message": message, "color": color,
    });
    format!("{badge}\n")
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::Must => "error",
        Level::Should => "warning",
        Level::May => "note",
    }
}

fn message(finding: &Finding) -> String {
    let mut evidence = finding.evidence.join("\n");
    if let Some(file) = &finding.media {
        evidence.push_str("\nMedia that crossed, decrypted: ");
        evidence.push_str(file);
    }
    let place = place(&finding.requirement);
    evidence.push_str(&format!("\nIn the report: report.html#{place}"));
    format!(
        "{} Expected: {}. Seen: {}. Written in: {}.\n{evidence}",
        finding.sentence, finding.expected, finding.actual, finding.citation
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::CaseResult;
    use crate::verdict::Requirement;

    fn report() -> Report {
        let rule = Requirement {
            id: "bot/x".to_owned(),
            level: Level::Must,
            citation: "somewhere".to_owned(),
            sentence: "It does.".to_owned(),
        };
        let finding = rule.broken("100 %", "none: it\nfails").with_evidence(["line"]);
        let mut report = Report::new("1", "2026-01-01T00:00:00Z", 1);
        report.requirements = vec![rule];
        report.results =
            vec![CaseResult::judged("case/a", vec![finding]), CaseResult::judged("case/b", vec![])];
        report.finish()
    }

    #[test]
    fn findings_become_results_with_their_rules() {
        let log: Value = serde_json::from_str(&render(&report())).expect("it is JSON");
        let run = &log["runs"][0];
        assert_eq!(run["results"].as_array().map(Vec::len), Some(1));
        assert_eq!(run["results"][0]["ruleId"], run["tool"]["driver"]["rules"][0]["id"]);
        assert_eq!(run["results"][0]["level"], "error");
    }

    #[test]
    fn an_annotation_is_one_line_whatever_is_in_it() {
        let text = annotations(&report());
        assert_eq!(text.lines().count(), 1);
        assert!(text.starts_with("::error title=case/a (Must)::"), "{text}");
        assert!(text.contains("100 %25"), "{text}");
    }

    #[test]
    fn a_badge_says_the_worst() {
        let badge: Value = serde_json::from_str(&badge(&report())).expect("it is JSON");
        assert_eq!(
            (badge["message"].as_str(), badge["color"].as_str()),
            (Some("1 of 2 fail"), Some("red"))
        );
    }
}
