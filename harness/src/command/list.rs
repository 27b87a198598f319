//! `callrig list`: what there is to choose from, and what result codes mean.

use callrig_signaling::call::result::codes;
use serde_json::json;

use super::{Failure, say};
use crate::case;
use crate::cli::{ExitCode, List};
use crate::network::NETWORKS;

/// Shows cases and networks.
pub(super) fn list(arguments: &List) -> Result<ExitCode, Failure> {
    if arguments.result_codes {
        let text = match arguments.json {
            true => format!("{}\n", serde_json::to_string_pretty(&codes::table())?),
            false => codes::markdown(),
        };
        say(&text)?;
        return Ok(ExitCode::Ok);
    }
    if arguments.json {
        return as_json(arguments.requirements);
    }
    let mut text = String::from("Cases\n");
    for case in case::all() {
        text.push_str(&format!("  {:<44} {}\n", case.id, case.title));
        if arguments.requirements {
            for requirement in (case.requirements)() {
                text.push_str(&format!(
                    "      {:<7} {}\n              {} [{}]\n",
                    requirement.level.word(),
                    requirement.id,
                    requirement.sentence,
                    requirement.citation
                ));
            }
        }
    }
    text.push_str("\nNetworks\n");
    for network in &NETWORKS {
        text.push_str(&format!("  {:<20} {}\n", network.name, network.description));
    }
    say(&text)?;
    Ok(ExitCode::Ok)
}

fn as_json(requirements: bool) -> Result<ExitCode, Failure> {
    let cases: Vec<_> = case::all()
        .iter()
        .map(|case| {
            let mut value = json!({ "id": case.id, "title": case.title, "stage": case.stage });
            if requirements {
                value["requirements"] = json!((case.requirements)());
            }
            value
        })
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
    say(&format!("{}\n", serde_json::to_string_pretty(&value)?))?;
    Ok(ExitCode::Ok)
}
