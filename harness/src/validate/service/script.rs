//! A case as it is written: what has to be so before it begins, and then steps, each of
//! which does something or waits for something and says what is expected of it. Rules are
//! named where they are checked, so that a case cannot claim more than it looks at.

use core::time::Duration;
use std::collections::BTreeMap;

use callrig_signaling::http::Headers;
use serde::Deserialize;

use super::expect::Expectation;
use crate::catalogue::{Row, Rows, fill, fill_id};

/// How long a case waits for a notification unless it says otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// A stable path of words.
    pub id: String,
    /// What it finds out, in a line.
    pub title: String,
    /// What the app may do; everything without a list.
    pub grants: Option<Vec<String>>,
    /// Steps that only bring it about that there is something to look at.
    pub stage: Vec<Step>,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Case {
    /// The rules that it checks, in the order in which it does.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().flat_map(|step| step.checks.iter().map(|(rule, _)| rule.as_str()))
    }

    /// How long it waits at the longest, for everything to be as it should.
    #[must_use]
    pub fn waits(&self) -> Duration {
        self.stage.iter().chain(&self.steps).map(|step| step.waits).sum()
    }

    /// Whether people have to do something.
    #[must_use]
    pub fn needs_people(&self) -> bool {
        let mut steps = self.stage.iter().chain(&self.steps);
        steps.any(|step| matches!(step.deed, Deed::People(_)))
    }
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is done.
    pub deed: Deed,
    /// What is expected of it, by rule.
    pub checks: Vec<(String, Expectation)>,
    /// Words to be kept for later steps: name and path.
    pub save: Vec<(String, String)>,
    /// How long it takes where all is well and it has to wait.
    waits: Duration,
}

/// What is done.
#[derive(Clone, Debug)]
pub enum Deed {
    /// A request is sent.
    Ask {
        /// Its method.
        method: String,
        /// Its path; without a slash in front below the API's root.
        path: String,
        /// Who asks: the app, or what [`super::ground`] knows besides.
        by: String,
        /// Further headers.
        headers: Headers,
        /// Its body.
        body: Option<String>,
    },
    /// A notification of which this is true is waited for; those before it are passed over.
    Hear {
        /// What is true of it.
        of: String,
        /// For how long.
        within: Duration,
    },
    /// Time passes; those notifications of which this is true are counted meanwhile.
    Watch {
        /// What is true of them.
        of: String,
        /// How long.
        time: Duration,
    },
    /// Those notifications of the case so far of which this is true are counted.
    Tally {
        /// What is true of them.
        of: String,
    },
    /// Somebody does something: `ann rings`, `ben answers`, `ann presses 1#`.
    People(String),
    /// How the webhook answers from now on: a status, `never`, `close`; for so many
    /// notifications, if a number follows.
    Webhook(String),
}

/// How it stands in a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseText {
    id: String,
    title: String,
    stage: Option<String>,
    grants: Option<Vec<String>>,
    rows: Option<Rows>,
    #[serde(default)]
    step: Vec<StepText>,
}

/// Steps that several cases begin with.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageText {
    id: String,
    on: Option<String>,
    #[serde(default)]
    step: Vec<StepText>,
}

impl StageText {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StepText {
    get: Option<String>,
    post: Option<String>,
    put: Option<String>,
    patch: Option<String>,
    delete: Option<String>,
    by: Option<String>,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    hear: Option<String>,
    within: Option<String>,
    watch: Option<String>,
    of: Option<String>,
    tally: Option<String>,
    people: Option<String>,
    webhook: Option<String>,
    save: BTreeMap<String, String>,
    check: BTreeMap<String, Checks>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Checks {
    One(String),
    Several(Vec<String>),
}

/// The stages that cases can begin on, by their ids.
#[derive(Debug, Default)]
pub struct Stages(BTreeMap<String, Vec<Step>>);

impl Stages {
    /// Takes one in, which may stand on one before it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(&mut self, text: &StageText) -> Result<(), String> {
        let mut steps = match &text.on {
            Some(on) => self.steps(on)?,
            None => Vec::new(),
        };
        for step in &text.step {
            if !step.check.is_empty() {
                return Err("a stage checks nothing".to_owned());
            }
            steps.push(read(step, &Row::new())?);
        }
        self.0.insert(text.id.clone(), steps);
        Ok(())
    }

    fn steps(&self, id: &str) -> Result<Vec<Step>, String> {
        self.0.get(id).cloned().ok_or_else(|| format!("there is no stage {id:?}"))
    }
}

impl CaseText {
    /// Its id, as it stands.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The members of the family that it is, or itself.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn cases(
        &self,
        named: &BTreeMap<String, Rows>,
        stages: &Stages,
    ) -> Result<Vec<Case>, String> {
        crate::catalogue::rows_of(self.rows.as_ref(), named)?
            .iter()
            .map(|row| self.case(row, stages))
            .collect()
    }

    fn case(&self, row: &Row, stages: &Stages) -> Result<Case, String> {
        let grants = self.grants.as_ref().map(|names| {
            let filled = names.iter().map(|name| fill(name, row));
            filled.filter(|name| !name.is_empty()).collect()
        });
        let stage = match &self.stage {
            Some(stage) => stages.steps(&fill(stage, row))?,
            None => Vec::new(),
        };
        let steps = self.step.iter().map(|step| read(step, row)).collect::<Result<_, _>>()?;
        let (id, title) = (fill_id(&self.id, row), fill(&self.title, row));
        Ok(Case { id, title, grants, stage, steps })
    }
}

fn read(text: &StepText, row: &Row) -> Result<Step, String> {
    let filled = |text: &String| fill(text, row);
    let mut checks = Vec::new();
    for (rule, expected) in &text.check {
        let several = match expected {
            Checks::One(one) => core::slice::from_ref(one),
            Checks::Several(several) => several,
        };
        for expected in several {
            // Words of the run are not known yet; those of the language are.
            Expectation::parse(&filled(expected))?;
            checks.push((fill_id(rule, row), Expectation::parse(&filled(expected))?));
        }
    }
    let (deed, waits) = deed(text, row)?;
    let save = text.save.iter().map(|(name, path)| (name.clone(), filled(path))).collect();
    Ok(Step { deed, checks, save, waits })
}

fn deed(text: &StepText, row: &Row) -> Result<(Deed, Duration), String> {
    let filled = |text: &String| fill(text, row);
    let asks = [
        ("GET", &text.get),
        ("POST", &text.post),
        ("PUT", &text.put),
        ("PATCH", &text.patch),
        ("DELETE", &text.delete),
    ];
    let asked = asks.into_iter().filter_map(|(method, path)| Some((method, path.as_ref()?)));
    let mut deeds: Vec<(Deed, Duration)> = asked
        .map(|(method, path)| {
            let headers = text.headers.iter().map(|(name, value)| (name, filled(value)));
            let ask = Deed::Ask {
                method: method.to_owned(),
                path: filled(path),
                by: text.by.as_ref().map_or_else(|| "app".to_owned(), filled),
                headers: headers.collect(),
                body: text.body.as_ref().map(filled),
            };
            (ask, Duration::ZERO)
        })
        .collect();
    if let Some(of) = &text.hear {
        let within = text.within.as_ref().map(|text| span(&filled(text))).transpose()?;
        let of = filled(of);
        Expectation::parse(&of)?;
        // What is heard in time takes none; only long waits are counted as such.
        let waits = within.filter(|within| *within > PATIENCE).unwrap_or_default();
        deeds.push((Deed::Hear { of, within: within.unwrap_or(PATIENCE) }, waits));
    }
    if let Some(time) = &text.watch {
        let time = span(&filled(time))?;
        let of = text.of.as_ref().map_or_else(|| "changeType is present".to_owned(), filled);
        Expectation::parse(&of)?;
        deeds.push((Deed::Watch { of, time }, time));
    }
    if let Some(of) = &text.tally {
        Expectation::parse(&filled(of))?;
        deeds.push((Deed::Tally { of: filled(of) }, Duration::ZERO));
    }
    if let Some(people) = &text.people {
        deeds.push((Deed::People(filled(people)), Duration::ZERO));
    }
    if let Some(webhook) = &text.webhook {
        deeds.push((Deed::Webhook(filled(webhook)), Duration::ZERO));
    }
    match (deeds.pop(), deeds.is_empty()) {
        (Some(deed), true) => Ok(deed),
        _ => Err("a step does one thing: get, post, patch, put, delete, hear, watch, tally, people or webhook".into()),
    }
}

fn span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{text:?} is no time: {error}"))
}
