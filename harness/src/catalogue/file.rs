//! One file of the catalogue: what is common to its rules, the rules, and the cases that
//! check them.

use std::collections::BTreeMap;

use callrig_reports::{Level, Requirement};
use serde::Deserialize;
use thiserror::Error;

use super::rows::{Row, Rows, fill, fill_id, unfilled};
use super::{Entry, Side};
use crate::validate::service::faults::FaultText;
use crate::validate::service::script::{CaseText, StageText};
use crate::validate::service::shapes::ResourceText;

/// Why a file of the catalogue cannot be read.
#[derive(Debug, Error)]
pub enum FileError {
    /// It is not of the shape.
    #[error("catalogue/{file}: {source}")]
    Shape {
        /// Which file.
        file: String,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
    /// Something in it says too little.
    #[error("catalogue/{file}: {id}: {problem}")]
    Text {
        /// Which file.
        file: String,
        /// Which rule or case.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// What holds for the rules of a file that say nothing else.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Defaults {
    level: Option<Level>,
    binds: Option<Side>,
    source: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    defaults: Defaults,
    #[serde(default)]
    rows: BTreeMap<String, Rows>,
    #[serde(default)]
    enums: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    rule: Vec<RuleText>,
    #[serde(default)]
    resource: Vec<ResourceText>,
    #[serde(default)]
    stage: Vec<StageText>,
    #[serde(default)]
    case: Vec<CaseText>,
    #[serde(default)]
    fault: Vec<FaultText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    id: String,
    level: Option<Level>,
    binds: Option<Side>,
    source: Option<String>,
    sentence: String,
    wrong: Option<String>,
    unchecked: Option<String>,
    rows: Option<Rows>,
}

/// A file, read.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// Its name.
    pub(crate) name: String,
    /// Its rules, families as their members.
    pub(crate) rules: Vec<Entry>,
    /// Rows with a name.
    pub(crate) rows: BTreeMap<String, Rows>,
    /// Members of enumerations.
    pub(crate) enums: BTreeMap<String, Vec<String>>,
    /// Shapes of resources.
    pub(crate) resources: Vec<ResourceText>,
    /// What cases begin with.
    pub(crate) stages: Vec<StageText>,
    /// Cases of `callrig validate --service`.
    pub(crate) cases: Vec<CaseText>,
    /// Faults that those must find.
    pub(crate) faults: Vec<FaultText>,
}

impl File {
    /// Something in it says too little.
    pub(crate) fn complain(&self, id: &str, problem: String) -> FileError {
        FileError::Text { file: self.name.clone(), id: id.to_owned(), problem }
    }
}

/// Reads one.
pub(crate) fn read(name: &str, text: &str) -> Result<File, FileError> {
    let refuse = |source| FileError::Shape { file: name.to_owned(), source: Box::new(source) };
    let text: FileText = toml::from_str(text).map_err(refuse)?;
    let mut file = File { name: name.to_owned(), ..File::default() };
    for rule in &text.rule {
        let complain = |problem: String| FileError::Text {
            file: name.to_owned(),
            id: rule.id.clone(),
            problem,
        };
        for row in rows_of(rule.rows.as_ref(), &text.rows).map_err(complain)? {
            file.rules.push(entry(rule, &row, &text.defaults).map_err(complain)?);
        }
    }
    (file.rows, file.enums, file.faults) = (text.rows, text.enums, text.fault);
    (file.resources, file.stages, file.cases) = (text.resource, text.stage, text.case);
    Ok(file)
}

/// The rows of a family; one without words for what is none.
pub(crate) fn rows_of(
    rows: Option<&Rows>,
    named: &BTreeMap<String, Rows>,
) -> Result<Vec<Row>, String> {
    let Some(rows) = rows else { return Ok(vec![Row::new()]) };
    rows.find(named).ok_or_else(|| format!("there are no rows {rows:?}"))
}

fn entry(rule: &RuleText, row: &Row, defaults: &Defaults) -> Result<Entry, String> {
    let missing = |what: &str| format!("{what} is missing, and the file has no default");
    let filled = |text: &String| match fill(text, row) {
        text if unfilled(&text).is_some() => Err(format!("{text:?} has a name without a word")),
        text => Ok(text),
    };
    let source = rule.source.as_ref().or(defaults.source.as_ref());
    let requirement = Requirement {
        id: fill_id(&rule.id, row),
        level: rule.level.or(defaults.level).ok_or_else(|| missing("level"))?,
        citation: filled(source.ok_or_else(|| missing("source"))?)?,
        sentence: filled(&rule.sentence)?,
    };
    let side = rule.binds.or(defaults.binds).ok_or_else(|| missing("binds"))?;
    Ok(Entry {
        wrong: rule.wrong.as_ref().map(filled).transpose()?,
        unchecked: rule.unchecked.as_ref().map(filled).transpose()?,
        ..Entry::new(requirement, side)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_a_member_for_each_row() {
        let text = r#"
            [defaults]
            level = "must"
            binds = "service"
            source = "a page"
            [rows]
            tones = ["tone0", "pound"]
            [[rule]]
            id = "service/tone/{it}"
            sentence = "{it} is a tone."
            rows = "tones"
            [[rule]]
            id = "bot/tone"
            level = "should"
            binds = "bot"
            sentence = "A bot knows tones."
            wrong = "They are taken for digits."
        "#;
        let file = read("tones.toml", text).expect("it is sound");
        let ids: Vec<&str> = file.rules.iter().map(|rule| &*rule.id).collect();
        assert_eq!(ids, ["service/tone/tone0", "service/tone/pound", "bot/tone"]);
        assert_eq!(file.rules[1].sentence, "pound is a tone.");
        assert_eq!((file.rules[2].side, file.rules[2].level), (Side::Bot, Level::Should));
    }

    #[test]
    fn what_is_missing_is_named_with_its_place() {
        for (text, expected) in [
            ("[[rule]]\nid = 'a'\nsentence = 'b'", "level is missing"),
            ("[[rule]]\nid = 'a'\nsentence = 'b'\nwords = 7", "unknown field `words`"),
            (
                "[[rule]]\nid='a'\nlevel='must'\nbinds='bot'\nsource='c'\nsentence='{b}'",
                "a name without a word",
            ),
            ("[[rule]]\nid = 'a'\nsentence = 'b'\nrows = 'none'", "there are no rows"),
        ] {
            let error = read("x.toml", text).expect_err(text).to_string();
            assert!(error.starts_with("catalogue/x.toml:") && error.contains(expected), "{error}");
        }
    }
}
