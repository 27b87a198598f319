//! `callrig list`: what there is to choose from, what is asked of whom, and what result
//! codes mean.

mod requirements;

use callrig_signaling::call::result::codes;
use serde_json::json;

use super::{Failure, say};
use crate::case;
use crate::cli::{ExitCode, List};
use crate::network::NETWORKS;

/// Shows cases and networks, or what else was asked for.
pub(super) fn list(arguments: &List) -> Result<ExitCode, Failure> {
    if arguments.result_codes {
        let text = match arguments.json {
            true => format!("{}\n", serde_json::to_string_pretty(&codes::table())?),
            false => codes::markdown(),
        };
        say(&text)?;
        return Ok(ExitCode::Ok);
    }
    if let Some(id) = &arguments.explain {
        return requirements::explain(id, arguments.json);
    }
    if let Some(globs) = &arguments.requirements {
        return requirements::list(globs, arguments);
    }
    say(&if arguments.json { as_json()? } else { as_text() })?;
    Ok(ExitCode::Ok)
}

fn as_text() -> String {
    let mut text = String::from("Cases\n");
    for case in case::all() {
        text.push_str(&format!("  {:<44} {}\n", case.id, case.title));
    }
    text.push_str("\nNetworks\n");
    for network in &NETWORKS {
        text.push_str(&format!("  {:<20} {}\n", network.name, network.description));
    }
    text
}

fn as_json() -> Result<String, Failure> {
    let cases: Vec<_> = case::all()
        .iter()
        .map(|case| json!({ "id": case.id, "title": case.title, "stage": case.stage }))
        .collect();
    let networks: Vec<_> = NETWORKS
        .iter()
        .map(|network| {
            json!({
                "name": network.name,
                "description": network.description,
                "parameters": network.parameters(),
            })
        })
        .collect();
    let value = json!({ "cases": cases, "networks": networks });
    Ok(format!("{}\n", serde_json::to_string_pretty(&value)?))
}
