//! What usually goes wrong where a bot breaks a rule: `catalogue/advice.toml`. The rules of
//! cases in Rust stand in the code, and their advice apart from it, where whoever knows bots
//! can mend it.

use std::collections::BTreeMap;

use super::FileError;

/// The file, with its name for messages.
const FILE: (&str, &str) = ("advice.toml", include_str!("../../catalogue/advice.toml"));

/// Texts by the ids of rules.
pub(super) fn read() -> Result<BTreeMap<String, String>, FileError> {
    let (name, text) = FILE;
    let refuse = |source| FileError::Shape { file: name.to_owned(), source: Box::new(source) };
    type Subjects = BTreeMap<String, BTreeMap<String, String>>;
    let sides: BTreeMap<String, Subjects> = toml::from_str(text).map_err(refuse)?;
    let mut advice = BTreeMap::new();
    for (side, subjects) in sides {
        for (subject, texts) in subjects {
            for (rule, text) in texts {
                advice.insert(format!("{side}/{subject}/{rule}"), text);
            }
        }
    }
    Ok(advice)
}
