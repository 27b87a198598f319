//! The catalogue on the terminal: chosen, counted, explained.

use callrig_reports::Level;
use serde_json::json;

use super::super::{Failure, say};
use crate::case::Selection;
use crate::catalogue::{self, Catalogue, Entry};
use crate::cli::{ExitCode, List};

/// Shows the rules that were chosen, and how many there are.
pub(super) fn list(globs: &[String], arguments: &List) -> Result<ExitCode, Failure> {
    let selection = Selection::new(globs).map_err(|error| {
        Failure::usage(anyhow::anyhow!("{}", error.to_string().replace("--case", "--requirements")))
    })?;
    let chosen: Vec<&Entry> = catalogue::all()
        .entries()
        .iter()
        .filter(|entry| selection.takes(&entry.id))
        .filter(|entry| arguments.level.is_none_or(|level| level.level() == entry.level))
        .filter(|entry| arguments.binds.is_none_or(|side| side.side() == entry.side))
        .filter(|entry| !arguments.checked || entry.is_checked())
        .filter(|entry| !arguments.unchecked || !entry.is_checked())
        .collect();
    if chosen.is_empty() {
        return Err(Failure::nothing(nothing(globs)));
    }
    let counts = Counts::of(&chosen);
    if arguments.json {
        let value = json!({
            "requirements": chosen,
            "counts": { "all": counts.all, "checked": counts.checked },
        });
        say(&format!("{}\n", serde_json::to_string_pretty(&value)?))?;
        return Ok(ExitCode::Ok);
    }
    let width = chosen.iter().map(|entry| entry.id.len()).max().unwrap_or(0).min(64);
    let mut text = String::new();
    for entry in &chosen {
        let mark = if entry.is_checked() { ' ' } else { '-' };
        text.push_str(&format!(
            "{mark} {:<6} {:<7} {:<width$}  {}\n",
            entry.level.word(),
            entry.side.word(),
            entry.id,
            entry.sentence
        ));
    }
    say(&format!("{text}\n{counts}\n"))?;
    Ok(ExitCode::Ok)
}

/// How many rules there are, and how many of them are checked.
struct Counts {
    all: usize,
    checked: usize,
    must: usize,
    should: usize,
}

impl Counts {
    fn of(entries: &[&Entry]) -> Self {
        let count = |is: fn(&&&Entry) -> bool| entries.iter().filter(is).count();
        Self {
            all: entries.len(),
            checked: count(|entry| entry.is_checked()),
            must: count(|entry| entry.level == Level::Must),
            should: count(|entry| entry.level == Level::Should),
        }
    }
}

impl core::fmt::Display for Counts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { all, checked, must, should } = self;
        let share = 100.0 * *checked as f64 / (*all).max(1) as f64;
        write!(
            f,
            "{all} requirements ({must} Must, {should} Should, {} May), {checked} of them ({share:.1} %) \
             with a case; those marked - have none, `callrig list --explain ID` says why",
            all - must - should
        )
    }
}

fn nothing(globs: &[String]) -> String {
    let nearest = match globs {
        [one] => catalogue::all().nearest(one),
        _ => Vec::new(),
    };
    let hint = match nearest.as_slice() {
        [] => "see `callrig list --requirements`".to_owned(),
        near => format!("did you mean {}?", near.join(", ")),
    };
    format!("no requirement was selected; {hint}")
}

/// Prints one rule with all that is known of it.
pub(super) fn explain(id: &str, as_json: bool) -> Result<ExitCode, Failure> {
    let catalogue = catalogue::all();
    let Some(entry) = catalogue.get(id.trim()) else {
        return Err(Failure::usage(anyhow::anyhow!("{}", unknown(catalogue, id))));
    };
    let text = match as_json {
        true => format!("{}\n", serde_json::to_string_pretty(entry)?),
        false => explained(entry),
    };
    say(&text)?;
    Ok(ExitCode::Ok)
}

fn unknown(catalogue: &Catalogue, id: &str) -> String {
    let near = catalogue.nearest(id);
    let hint = match near.as_slice() {
        [] => "`callrig list --requirements` shows all of them".to_owned(),
        near => format!("did you mean {}?", near.join(", ")),
    };
    format!("there is no requirement {id:?}; {hint}")
}

fn explained(entry: &Entry) -> String {
    let whom = match entry.side {
        catalogue::Side::Service => "a service that implements the API",
        catalogue::Side::Bot => "a bot",
        catalogue::Side::Both => "whichever of service and bot does it",
        catalogue::Side::Media => "whoever sends or receives media",
    };
    let mut text = format!("{}\n\n  {}\n\n", entry.id, entry.sentence);
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<9} {value}\n"));
    line("level", entry.level.word());
    line("binds", whom);
    line("written", &written(&entry.source));
    line("hash", &entry.hash);
    for (number, check) in entry.checks.iter().enumerate() {
        let name = if number == 0 { "checked" } else { "" };
        line(name, &format!("{}: {}", check.case, check.title));
    }
    if let Some(why) = &entry.unchecked {
        line("unchecked", why);
    }
    if let Some(wrong) = &entry.wrong {
        line("mistakes", wrong);
    }
    text
}

/// A page of the reference by its address.
fn written(source: &str) -> String {
    match source.split_once("api-reference/") {
        Some(("", page)) => {
            let (version, page) = page.split_once('/').unwrap_or(("v1.0", page));
            let page = page.split_once('/').map_or(page, |(_, name)| name);
            format!("https://learn.microsoft.com/graph/api/{page}?view=graph-rest-{version}")
                .replace("graph-rest-v1.0", "graph-rest-1.0")
        }
        _ => source.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_reference_is_named_by_its_address() {
        assert_eq!(
            written("api-reference/v1.0/api/call-answer"),
            "https://learn.microsoft.com/graph/api/call-answer?view=graph-rest-1.0"
        );
        assert_eq!(
            written("api-reference/beta/resources/call"),
            "https://learn.microsoft.com/graph/api/call?view=graph-rest-beta"
        );
        assert_eq!(written("RFC 3550 section 5.1"), "RFC 3550 section 5.1");
    }

    #[test]
    fn every_rule_can_be_explained() {
        for entry in catalogue::all().entries() {
            let text = explained(entry);
            assert!(text.contains(&entry.sentence) && text.contains("written"), "{text}");
            assert!(text.contains("checked"), "{text}");
        }
    }
}
