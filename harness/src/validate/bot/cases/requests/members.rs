//! What the bodies of actions have to hold: the metadata of v1.0, as far as a bot can get
//! it wrong.

use serde_json::Value;

/// What is wrong with the body of an action: what was expected, and what is there.
pub(super) fn fault(action: &str, body: &Value) -> Option<(String, String)> {
    match action {
        "answer" => config(body).or_else(|| list(body, "acceptedModalities", 0, 5)),
        "create" => config(body)
            .or_else(|| text(body, "callbackUri"))
            .or_else(|| list(body, "requestedModalities", 1, 5))
            .or_else(|| destination(body)),
        "reject" => one_of(body, "reason", &["none", "busy", "forbidden"]),
        "redirect" => list(body, "targets", 1, 25).or_else(|| seconds(body, "timeout", 15, 90)),
        "transfer" => target(&body["transferTarget"], "transferTarget"),
        "playPrompt" => list(body, "prompts", 1, 20).or_else(|| prompts(body)),
        "recordResponse" => list_if(body, "prompts", 1)
            .or_else(|| prompts(body))
            .or_else(|| seconds(body, "initialSilenceTimeoutInSeconds", 1, 120))
            .or_else(|| seconds(body, "maxSilenceTimeoutInSeconds", 1, 120))
            .or_else(|| seconds(body, "maxRecordDurationInSeconds", 1, 120)),
        "invite" => list(body, "participants", 1, 5),
        "sendDtmfTones" => list(body, "tones", 1, usize::MAX),
        "updateRecordingStatus" => {
            one_of(body, "status", &["notRecording", "recording", "failed", "unknown"])
                .or_else(|| text(body, "status"))
        }
        "changeScreenSharingRole" => {
            one_of(body, "role", &["viewer", "sharer"]).or_else(|| text(body, "role"))
        }
        _ => None,
    }
}

fn wrong(expected: impl Into<String>, actual: &Value) -> Option<(String, String)> {
    let actual = match actual {
        Value::Null => "none".to_owned(),
        other => other.to_string().chars().take(200).collect(),
    };
    Some((expected.into(), actual))
}

fn text(body: &Value, name: &str) -> Option<(String, String)> {
    let value = &body[name];
    match value.as_str() {
        Some(text) if !text.is_empty() => None,
        _ => wrong(format!("{name}: a text"), value),
    }
}

fn one_of(body: &Value, name: &str, members: &[&str]) -> Option<(String, String)> {
    let value = &body[name];
    if value.is_null() {
        return None;
    }
    let known = value
        .as_str()
        .is_some_and(|text| members.iter().any(|member| member.eq_ignore_ascii_case(text)));
    if known { None } else { wrong(format!("{name}: one of {}", members.join(", ")), value) }
}

fn list(body: &Value, name: &str, least: usize, most: usize) -> Option<(String, String)> {
    let value = &body[name];
    if least == 0 && value.is_null() {
        return None;
    }
    match value.as_array().map(Vec::len) {
        Some(length) if (least..=most).contains(&length) => None,
        _ if most == usize::MAX => wrong(format!("{name}: a list of {least} or more"), value),
        _ => wrong(format!("{name}: a list of {least} to {most}"), value),
    }
}

fn list_if(body: &Value, name: &str, most: usize) -> Option<(String, String)> {
    if body[name].is_null() { None } else { list(body, name, 0, most) }
}

fn seconds(body: &Value, name: &str, least: i64, most: i64) -> Option<(String, String)> {
    let value = &body[name];
    match (value, value.as_i64()) {
        (Value::Null, _) => None,
        (_, Some(count)) if (least..=most).contains(&count) => None,
        _ => wrong(format!("{name}: {least} to {most} seconds, as a number"), value),
    }
}

fn config(body: &Value) -> Option<(String, String)> {
    let config = &body["mediaConfig"];
    let name = config["@odata.type"].as_str().unwrap_or_default();
    let known =
        ["#microsoft.graph.serviceHostedMediaConfig", "#microsoft.graph.appHostedMediaConfig"];
    if !known.contains(&name) {
        return wrong(
            "mediaConfig with an @odata.type: serviceHostedMediaConfig or appHostedMediaConfig",
            config,
        );
    }
    if name.ends_with("appHostedMediaConfig") && !config["blob"].is_string() {
        return wrong("mediaConfig.blob: a text", &config["blob"]);
    }
    None
}

fn destination(body: &Value) -> Option<(String, String)> {
    let meeting = body["meetingInfo"].is_object() || body["chatInfo"].is_object();
    if meeting && body["targets"].is_null() {
        return None;
    }
    if let Some(fault) = list(body, "targets", 1, 5) {
        return Some(fault);
    }
    body["targets"].as_array()?.iter().find_map(|one| target(one, "targets"))
}

fn target(value: &Value, name: &str) -> Option<(String, String)> {
    let identities = value["identity"].as_object();
    let named = identities.is_some_and(|set| {
        set.iter().any(|(key, one)| !key.starts_with('@') && one["id"].is_string())
    });
    if named { None } else { wrong(format!("{name}: an identity with an id"), value) }
}

fn prompts(body: &Value) -> Option<(String, String)> {
    body["prompts"].as_array()?.iter().find_map(|prompt| {
        if prompt["@odata.type"] != "#microsoft.graph.mediaPrompt" {
            return wrong("prompts: of the type #microsoft.graph.mediaPrompt", prompt);
        }
        let uri = prompt["mediaInfo"]["uri"].as_str().unwrap_or_default();
        let absolute = uri.starts_with("https://") || uri.starts_with("http://");
        if absolute { None } else { wrong("mediaInfo.uri: an absolute URI", &prompt["mediaInfo"]) }
    })
}
