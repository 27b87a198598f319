//! Every number on the page is one of the JSON's, written by the same function.

use std::collections::BTreeMap;

use callrig_reports::metric::{Metric, registry};
use callrig_reports::render::{html, json};
use callrig_reports::report::{CaseResult, Report};
use callrig_reports::{Verdict, number};
use proptest::prelude::*;

use crate::sample;

/// The quoted value of an attribute in a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let length = tag[start..].find('"')?;
    Some(&tag[start..start + length])
}

/// Metric, machine's text and people's text, as often as each occurs in the tables of metrics.
fn on_the_page(page: &str) -> BTreeMap<(String, String, String), usize> {
    let mut found = BTreeMap::new();
    for row in page.split("<tr data-m=").skip(1) {
        let row = row.split("</tr>").next().unwrap_or(row);
        let name = row.split('"').nth(1).unwrap_or_default();
        for cell in row.split("<td").skip(1) {
            let Some(value) = attribute(cell, "data-v") else { continue };
            let text = cell.split("</").next().unwrap_or(cell);
            let text = text.rsplit('>').next().unwrap_or(text);
            *found.entry((name.into(), value.into(), text.into())).or_insert(0) += 1;
        }
    }
    found
}

fn in_the_json(report: &Report) -> BTreeMap<(String, String, String), usize> {
    let text = json::render(report);
    let raw: serde_json::Value = serde_json::from_str(&text).expect("a report is JSON");
    let mut found = BTreeMap::new();
    for result in raw["results"].as_array().expect("results are a list") {
        for metric in result["metrics"].as_array().expect("metrics are a list") {
            let machine = match &metric["value"] {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let metric: Metric = serde_json::from_value(metric.clone()).expect("a metric parses");
            *found.entry((metric.full_name(), machine, metric.shown())).or_insert(0) += 1;
        }
    }
    found
}

#[test]
fn the_tables_hold_every_metric_and_no_other() {
    let report = sample::sample();
    let page = on_the_page(&html::render(&report));
    assert!(page.len() > 500, "{} distinct values were found", page.len());
    assert_eq!(page, in_the_json(&report));
}

#[test]
fn the_matrix_shows_values_of_the_json() {
    let report = sample::sample();
    let page = html::render(&report);
    let known = in_the_json(&report);
    let mut seen = 0;
    let matrix = page.split("<table class=\"heat\">").nth(1).expect("there is a matrix");
    let matrix = matrix.split("</table>").next().unwrap_or(matrix);
    for tag in matrix.split("<span").skip(1) {
        let (Some(name), Some(value)) = (attribute(tag, "data-m"), attribute(tag, "data-v")) else {
            continue;
        };
        let text = tag.split("</").next().and_then(|text| text.split('>').nth(1)).unwrap_or("");
        assert!(
            known.contains_key(&(name.into(), value.into(), text.into())),
            "{name} {value} {text}"
        );
        seen += 1;
    }
    assert!(seen >= 3 * 8 * 13, "only {seen} values");
}

#[test]
fn the_totals_are_the_jsons() {
    let report = sample::sample();
    let page = html::render(&report);
    for verdict in Verdict::WORST_FIRST {
        let count = number::digits(report.totals.count(verdict) as f64);
        let shown = format!("<b data-total=\"{}\">{count}</b>", verdict.word());
        assert!(page.contains(&shown), "{shown}");
    }
}

proptest! {
    /// A gate compares what was measured now with what was written before: one bit of difference
    /// that only the writing made would be a regression.
    #[test]
    fn what_is_written_and_read_again_is_the_same_to_the_last_bit(
        value in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
    ) {
        let mut report = Report::new("1", "2027-01-01T00:00:00Z", 1);
        let mut result = CaseResult::error("a/case", "none");
        result.metrics = vec![Metric::new(&registry::R_FACTOR, value)];
        report.results.push(result);
        let text = json::render(&report.finish());
        let read: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let read = read["results"][0]["metrics"][0]["value"].as_f64().expect("a number");
        prop_assert_eq!(read.to_bits(), value.to_bits(), "{}", text);
    }
}
