//! Everything that is asked of anybody, in one list: of a service that claims to be the
//! calls and online meetings API, of a bot that talks to it, of both, and of media.
//!
//! Rules stand in `catalogue/*.toml`, one file a subject, beside the cases of
//! `callrig validate --service` that check them; the rules of the cases in Rust
//! ([`crate::case`]) appear in the same list. How a rule is checked is never written down
//! by hand: it follows from the cases that name it. A rule that no case names says why.

mod advice;
mod file;
mod nearest;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use callrig_reports::{Finding, Level, Requirement};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::case;
use crate::validate::bot;
use crate::validate::service::script::Stages;
use crate::validate::service::shapes::Shapes;
use crate::validate::service::suite::Suite;

pub use file::FileError;
pub use rows::{Row, Rows, fill, kebab};

pub(crate) use file::{File, read, rows_of};
pub(crate) use rows::{fill_id, fill_with};

/// The files of the catalogue, with their names for messages.
const FILES: &[(&str, &str)] = &[
    ("stages.toml", include_str!("../catalogue/stages.toml")),
    ("resources.toml", include_str!("../catalogue/resources.toml")),
    ("actions.toml", include_str!("../catalogue/actions.toml")),
    ("reads.toml", include_str!("../catalogue/reads.toml")),
    ("calls.toml", include_str!("../catalogue/calls.toml")),
    ("media.toml", include_str!("../catalogue/media.toml")),
    ("groups.toml", include_str!("../catalogue/groups.toml")),
    ("meetings.toml", include_str!("../catalogue/meetings.toml")),
    ("tokens.toml", include_str!("../catalogue/tokens.toml")),
    ("delivery.toml", include_str!("../catalogue/delivery.toml")),
    ("faults.toml", include_str!("../catalogue/faults.toml")),
];

/// Who has to keep a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// A service that implements the API.
    Service,
    /// A bot.
    Bot,
    /// Whoever of them does it.
    Both,
    /// Whoever sends or receives media.
    Media,
}

impl Side {
    /// The word by which it is chosen and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Bot => "bot",
            Self::Both => "both",
            Self::Media => "media",
        }
    }
}

/// A case that checks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The case's id.
    pub case: String,
    /// What it finds out, in a line.
    pub title: String,
}

/// A case and the rules that it names: what each kind of case hands in.
#[derive(Clone, Debug)]
pub struct Checking {
    /// The case.
    pub check: Check,
    /// The ids of the rules that it can find broken.
    pub rules: Vec<String>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// A stable path of words, never a position.
    pub id: String,
    /// How strongly it binds.
    pub level: Level,
    /// Whom.
    pub side: Side,
    /// Where it is written.
    pub source: String,
    /// What it asks, in a sentence of our own.
    pub sentence: String,
    /// What usually goes wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
    /// Why no case checks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unchecked: Option<String>,
    /// The cases that check it.
    pub checks: Vec<Check>,
    /// Changes when what it asks changes: 12 hexadecimal digits.
    pub hash: String,
}

impl Entry {
    /// A rule that no case is known to check yet.
    #[must_use]
    pub fn new(requirement: Requirement, side: Side) -> Self {
        let Requirement { id, level, citation, sentence } = requirement;
        let mut digest = Sha256::new();
        for part in [level.word(), side.word(), &citation, &sentence] {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        let hash = digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let (wrong, unchecked, checks) = (None, None, Vec::new());
        Self { id, level, side, source: citation, sentence, wrong, unchecked, checks, hash }
    }

    /// As reports carry it.
    #[must_use]
    pub fn requirement(&self) -> Requirement {
        Requirement {
            id: self.id.clone(),
            level: self.level,
            citation: self.source.clone(),
            sentence: self.sentence.clone(),
        }
    }

    /// It was broken.
    #[must_use]
    pub fn broken(&self, expected: impl Into<String>, actual: impl Into<String>) -> Finding {
        self.requirement().broken(expected, actual)
    }

    /// Whether any case checks it.
    #[must_use]
    pub const fn is_checked(&self) -> bool {
        !self.checks.is_empty()
    }
}

/// Why the catalogue cannot be used.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Two rules of one id.
    #[error("{0} is there twice")]
    Twice(String),
    /// An id that is no path of words.
    #[error("{0:?} is no path of words: small letters, digits and hyphens between slashes")]
    Id(String),
    /// A sentence, source or reason without words.
    #[error("{id}: {what} has no words")]
    Empty {
        /// The rule.
        id: String,
        /// What is empty.
        what: &'static str,
    },
    /// A case or an advice names a rule that is not there.
    #[error("{case} names the rule {rule}, which is not there{}", or(.nearest))]
    Unknown {
        /// The case.
        case: String,
        /// The rule.
        rule: String,
        /// The nearest one that is there.
        nearest: Option<String>,
    },
    /// Neither a case nor a reason.
    #[error("{0}: no case checks it, and `unchecked` does not say why")]
    Neither(String),
    /// Both a case and a reason.
    #[error("{0}: `unchecked` gives a reason, but {1} checks it")]
    BothOf(String, String),
}

fn or(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |id| format!("; {id} is"))
}

/// All rules, in the order of their ids.
#[derive(Debug)]
pub struct Catalogue {
    entries: Vec<Entry>,
}

static ALL: LazyLock<Catalogue> = LazyLock::new(|| {
    Catalogue::load().unwrap_or_else(|error| panic!("the catalogue contradicts itself: {error}"))
});

/// The catalogue.
#[must_use]
pub fn all() -> &'static Catalogue {
    &ALL
}

/// The parsed files of the catalogue; those who find cases in them read them too.
pub(crate) fn files() -> Result<Vec<File>, FileError> {
    #[cfg(test)]
    if let Some(folder) = std::env::var_os("CALLRIG_CATALOGUE") {
        return from(std::path::Path::new(&folder));
    }
    FILES.iter().map(|(name, text)| read(name, text)).collect()
}

/// The rules of the resources in the files, whose shapes are taken in.
fn shaped(files: &[File], shapes: &mut Shapes) -> Result<Vec<Entry>, FileError> {
    files.iter().for_each(|file| shapes.enumerate(&file.enums));
    let mut rules = Vec::new();
    for file in files {
        for resource in &file.resources {
            let complain = |problem| file.complain(resource.name(), problem);
            rules.extend(shapes.take(resource).map_err(complain)?);
        }
    }
    Ok(rules)
}

/// The cases and shapes of the files, for those who play them.
pub(crate) fn suite() -> Result<Suite, FileError> {
    let (files, mut suite, mut stages) = (files()?, Suite::default(), Stages::default());
    shaped(&files, &mut suite.shapes)?;
    for file in &files {
        for stage in &file.stages {
            stages.take(stage).map_err(|problem| file.complain(stage.id(), problem))?;
        }
    }
    for file in &files {
        for case in &file.cases {
            let cases = case.cases(&file.rows, &stages);
            suite.cases.extend(cases.map_err(|problem| file.complain(case.id(), problem))?);
        }
        for fault in &file.faults {
            let faults = fault.faults(&file.rows);
            suite.faults.extend(faults.map_err(|problem| file.complain(fault.id(), problem))?);
        }
    }
    Ok(suite)
}

/// The files of a folder: whoever writes cases need not build for each attempt.
#[cfg(test)]
fn from(folder: &std::path::Path) -> Result<Vec<File>, FileError> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    let text = |name: &String| std::fs::read_to_string(folder.join(name)).expect("it is text");
    names.iter().map(|name| read(name, &text(name))).collect()
}

impl Catalogue {
    /// Reads the files and asks every kind of case what it checks.
    ///
    /// # Errors
    /// The first thing that contradicts another.
    pub fn load() -> Result<Self, CatalogueError> {
        let (files, mut shapes) = (files()?, Shapes::default());
        let mut entries: Vec<Entry> = files.iter().flat_map(|file| file.rules.clone()).collect();
        entries.extend(shaped(&files, &mut shapes)?);
        let of_bots = bot::cases::everywhere();
        entries.extend(advised(of_cases(&of_bots))?);
        Self::of(entries, checkings(of_bots, &suite()?))
    }

    /// A catalogue of these rules, checked so.
    ///
    /// # Errors
    /// The first thing that contradicts another.
    pub fn of(entries: Vec<Entry>, checkings: Vec<Checking>) -> Result<Self, CatalogueError> {
        let mut by_id: BTreeMap<String, Entry> = BTreeMap::new();
        for entry in entries {
            check_words(&entry)?;
            if let Some(before) = by_id.insert(entry.id.clone(), entry) {
                return Err(CatalogueError::Twice(before.id));
            }
        }
        for Checking { check, rules } in checkings {
            for rule in rules.iter().collect::<BTreeSet<_>>() {
                let Some(entry) = by_id.get_mut(rule) else {
                    let nearest = nearest::to(rule, by_id.keys().map(String::as_str));
                    let nearest = nearest.first().map(|id| (*id).to_owned());
                    let (case, rule) = (check.case, rule.clone());
                    return Err(CatalogueError::Unknown { case, rule, nearest });
                };
                entry.checks.push(check.clone());
            }
        }
        for entry in by_id.values() {
            match (entry.checks.first(), &entry.unchecked) {
                (None, None) => return Err(CatalogueError::Neither(entry.id.clone())),
                (Some(check), Some(_)) => {
                    return Err(CatalogueError::BothOf(entry.id.clone(), check.case.clone()));
                }
                _ => {}
            }
        }
        Ok(Self { entries: by_id.into_values().collect() })
    }

    /// Every rule.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The rule of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Entry> {
        let place = self.entries.binary_search_by(|entry| entry.id.as_str().cmp(id));
        place.ok().map(|place| &self.entries[place])
    }

    /// Ids that are most like this one, the nearest first.
    #[must_use]
    pub fn nearest(&self, id: &str) -> Vec<&str> {
        nearest::to(id, self.entries.iter().map(|entry| entry.id.as_str()))
    }
}

fn check_words(entry: &Entry) -> Result<(), CatalogueError> {
    let word = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !entry.id.split('/').all(word) {
        return Err(CatalogueError::Id(entry.id.clone()));
    }
    for (what, text) in [
        ("sentence", Some(&entry.sentence)),
        ("source", Some(&entry.source)),
        ("wrong", entry.wrong.as_ref()),
        ("unchecked", entry.unchecked.as_ref()),
    ] {
        if text.is_some_and(|text| !text.chars().any(char::is_alphabetic)) {
            return Err(CatalogueError::Empty { id: entry.id.clone(), what });
        }
    }
    Ok(())
}

/// The rules of the cases in Rust, each once.
fn of_cases(of_bots: &[bot::case::Case]) -> Vec<Entry> {
    let mut seen = BTreeSet::new();
    let rules = case::all().iter().flat_map(|case| (case.requirements)());
    let of_bots = of_bots.iter().flat_map(|case| case.rules.iter().cloned());
    rules
        .chain(of_bots)
        .filter(|rule| seen.insert(rule.id.clone()))
        .map(|rule| {
            let side = side_of(&rule.id);
            Entry::new(rule, side)
        })
        .collect()
}

/// The same, with what usually goes wrong.
fn advised(mut entries: Vec<Entry>) -> Result<Vec<Entry>, CatalogueError> {
    let mut advice = advice::read()?;
    for entry in &mut entries {
        entry.wrong = advice.remove(&entry.id);
    }
    match advice.into_keys().next() {
        Some(rule) => {
            let nearest = nearest::to(&rule, entries.iter().map(|entry| entry.id.as_str()));
            let nearest = nearest.first().map(|id| (*id).to_owned());
            Err(CatalogueError::Unknown { case: "advice.toml".to_owned(), rule, nearest })
        }
        None => Ok(entries),
    }
}

/// What usually goes wrong where these rules are broken, by their ids.
#[must_use]
pub fn advice<'a>(broken: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let catalogue = all();
    broken.filter_map(|rule| Some((rule.to_owned(), catalogue.get(rule)?.wrong.clone()?))).collect()
}

/// Whom the rules of the cases in Rust bind: those about calls whoever of the two does it.
fn side_of(id: &str) -> Side {
    match id.split('/').next() {
        Some("bot") => Side::Bot,
        Some("calls") => Side::Both,
        Some("hostile") => Side::Service,
        _ => Side::Media,
    }
}

/// What every kind of case checks.
fn checkings(of_bots: Vec<bot::case::Case>, suite: &Suite) -> Vec<Checking> {
    let recorded = case::all().iter().map(|case| Checking {
        check: Check { case: case.id.to_owned(), title: case.title.to_owned() },
        rules: (case.requirements)().into_iter().map(|rule| rule.id).collect(),
    });
    let of_bots = of_bots.into_iter().map(|case| Checking {
        rules: case.rules.iter().map(|rule| rule.id.clone()).collect(),
        check: Check { case: case.id, title: case.title },
    });
    recorded.chain(of_bots).chain(suite.checkings()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str) -> Entry {
        let requirement = Requirement {
            id: id.to_owned(),
            level: Level::Must,
            citation: "a page".to_owned(),
            sentence: "A sentence.".to_owned(),
        };
        Entry::new(requirement, Side::Service)
    }

    fn checking(rules: &[&str]) -> Vec<Checking> {
        let check = Check { case: "a/case".into(), title: "it looks".into() };
        vec![Checking { check, rules: rules.iter().map(|&rule| rule.to_owned()).collect() }]
    }

    #[test]
    fn the_catalogue_agrees_with_itself() {
        let catalogue = Catalogue::load().unwrap_or_else(|error| panic!("{error}"));
        assert!(catalogue.entries().is_sorted_by(|one, next| one.id < next.id));
        for entry in catalogue.entries() {
            assert_eq!(catalogue.get(&entry.id), Some(entry));
        }
    }

    #[test]
    fn every_rule_of_bots_says_what_usually_goes_wrong() {
        let silent = all()
            .entries()
            .iter()
            .filter(|entry| entry.id.starts_with("bot/") && entry.wrong.is_none());
        assert_eq!(silent.map(|entry| entry.id.as_str()).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn a_rule_has_a_case_or_a_reason_and_never_both() {
        let reasoned = |id| Entry { unchecked: Some("It is hidden.".into()), ..rule(id) };
        let error = Catalogue::of(vec![rule("a/b")], Vec::new()).expect_err("neither");
        assert!(matches!(error, CatalogueError::Neither(id) if id == "a/b"));
        let error = Catalogue::of(vec![reasoned("a/b")], checking(&["a/b"])).expect_err("both");
        assert!(matches!(error, CatalogueError::BothOf(..)));
        let catalogue = Catalogue::of(vec![rule("a/b"), reasoned("a/c")], checking(&["a/b"]));
        let catalogue = catalogue.expect("each has one of them");
        assert!(catalogue.get("a/b").is_some_and(Entry::is_checked));
        assert!(!catalogue.get("a/c").is_some_and(Entry::is_checked));
    }

    #[test]
    fn a_case_cannot_name_a_rule_that_is_not_there() {
        let error = Catalogue::of(vec![rule("calls/answer")], checking(&["calls/anwser"]));
        let text = error.expect_err("misspelt").to_string();
        assert!(text.contains("calls/anwser") && text.ends_with("; calls/answer is"), "{text}");
    }

    #[test]
    fn ids_are_words_and_sentences_have_some() {
        for id in ["", "a//b", "A/b", "a b", "a/7?"] {
            assert!(matches!(
                Catalogue::of(vec![rule(id)], Vec::new()),
                Err(CatalogueError::Id(_))
            ));
        }
        let mute = Entry { sentence: " .".into(), ..rule("a/b") };
        let error = Catalogue::of(vec![mute], checking(&["a/b"])).expect_err("no words");
        assert_eq!(error.to_string(), "a/b: sentence has no words");
        let error = Catalogue::of(vec![rule("a/b"), rule("a/b")], checking(&["a/b"]));
        assert!(matches!(error, Err(CatalogueError::Twice(_))));
    }

    #[test]
    fn a_hash_changes_with_what_is_asked_alone() {
        let one = rule("a/b");
        assert_eq!(one.hash.len(), 12);
        assert_eq!(one.hash, rule("a/other-name").hash);
        let requirement = Requirement { level: Level::Should, ..one.requirement() };
        assert_ne!(one.hash, Entry::new(requirement, Side::Service).hash);
    }
}
