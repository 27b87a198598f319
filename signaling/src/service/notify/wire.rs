//! What a POST to a bot holds: the envelope, and the shapes that differ from deployment to
//! deployment: the older one of Skype that some bots are sent first, and enumerations in
//! PascalCase as builds of the C# SDK write them.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::fault::{self, Fault};
use crate::graph::ChangeType;

/// Room for most items: that of a call among them.
const ITEM_BYTES: usize = 1_536;

/// An item of the envelope: a `commsNotification` around a resource that is not looked into.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item<'a, D> {
    #[serde(rename = "@odata.type")]
    pub(super) odata_type: &'a str,
    pub(super) change_type: ChangeType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resource_url: Option<&'a String>,
    pub(super) resource: &'a str,
    pub(super) resource_data: &'a D,
}

impl<'a, D: Serialize> Item<'a, D> {
    /// The same around another resource.
    pub(super) fn with<E>(self, resource_data: &'a E) -> Item<'a, E> {
        let Self { odata_type, change_type, resource_url, resource, .. } = self;
        Item { odata_type, change_type, resource_url, resource, resource_data }
    }

    /// As JSON.
    pub(super) fn written(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(ITEM_BYTES);
        serde_json::to_writer(&mut bytes, self).expect("the API's types have string keys");
        bytes.into()
    }
}

/// The envelope around items that are JSON already.
pub(super) fn envelope<'a>(items: impl Iterator<Item = &'a Bytes>) -> Bytes {
    let mut body = Vec::with_capacity(2048);
    body.extend_from_slice(match fault::is(Fault::EnvelopeUntyped) {
        true => b"{\"value\":[".as_slice(),
        false => b"{\"@odata.type\":\"#microsoft.graph.commsNotifications\",\"value\":[",
    });
    for (index, item) in items.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item);
    }
    body.extend_from_slice(b"]}");
    body.into()
}

/// Properties that hold a member of an enumeration, or an array of them.
const ENUMERATIONS: &[&str] = &[
    "state",
    "direction",
    "audio",
    "status",
    "tone",
    "mediaType",
    "requestedModalities",
    "activeModalities",
    "routingType",
    "endpointType",
    "recordingStatus",
    "completionReason",
    "reason",
    "meetingRole",
];

/// Writes every member of an enumeration as C# names it.
pub(super) fn in_pascal_case(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                match value {
                    Value::String(text) if ENUMERATIONS.contains(&name.as_str()) => {
                        capitalise(text);
                    }
                    Value::Array(values) if ENUMERATIONS.contains(&name.as_str()) => {
                        for value in values {
                            match value {
                                Value::String(text) => capitalise(text),
                                other => in_pascal_case(other),
                            }
                        }
                    }
                    other => in_pascal_case(other),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(in_pascal_case),
        _ => {}
    }
}

pub(super) fn capitalise(text: &mut str) {
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
}

/// An incoming call as Skype told bots of it. A bot that does not know it any more answers
/// 204, and is sent the same in the form of today.
pub(super) fn legacy_incoming(call: &Value) -> Bytes {
    let participant = |info: &Value, originator: bool| {
        let identity = &info["identity"];
        let id = |kind: &str| identity[kind]["id"].as_str();
        let name = match (id("user"), id("application"), id("encrypted")) {
            (Some(user), _, _) => format!("8:orgid:{user}"),
            (None, Some(app), _) => format!("28:{app}"),
            (None, None, Some(hidden)) => format!("8:encrypted:{hidden}"),
            (None, None, None) => String::new(),
        };
        let mut shown = Map::new();
        for (key, value) in [
            ("identity", Value::from(name)),
            ("languageId", info["languageId"].clone()),
            ("region", info["region"].clone()),
            ("tenantId", call["tenantId"].clone()),
            ("originator", originator.into()),
            ("isHidden", false.into()),
            ("endPointType", "default".into()),
        ] {
            if !value.is_null() {
                shown.insert(key.to_owned(), value);
            }
        }
        Value::Object(shown)
    };
    let targets = call["targets"].as_array();
    let mut participants = vec![participant(&call["source"], true)];
    participants.extend(targets.into_iter().flatten().map(|target| participant(target, false)));
    let shown = json!({
        "id": call["id"],
        "participants": participants,
        "isMultiparty": call.get("chatInfo").is_some_and(|chat| !chat.is_null()),
        "presentedModalityTypes": call["requestedModalities"],
        "callState": "incoming",
        "tenantId": call["tenantId"],
    });
    serde_json::to_vec(&shown).expect("it has string keys").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enumerations_are_capitalised_wherever_they_are_and_nothing_else_is() {
        let mut value = json!({"state": "transferAccepted", "id": "abc", "subject": "state",
            "requestedModalities": ["audio", "videoBasedScreenSharing"],
            "mediaState": {"audio": "active"},
            "value": [{"status": "running", "clientContext": "x", "reason": {"state": 7}}]});
        in_pascal_case(&mut value);
        assert_eq!(
            value,
            json!({"state": "TransferAccepted", "id": "abc", "subject": "state",
            "requestedModalities": ["Audio", "VideoBasedScreenSharing"],
            "mediaState": {"audio": "Active"},
            "value": [{"status": "Running", "clientContext": "x", "reason": {"state": 7}}]})
        );
        capitalise(&mut String::new());
        capitalise(&mut "ä".to_owned());
    }

    #[test]
    fn an_envelope_holds_its_items_in_order() {
        let items = [Bytes::from_static(b"{\"a\":1}"), Bytes::from_static(b"{\"b\":2}")];
        let body = envelope(items.iter());
        let value: Value = serde_json::from_slice(&body).expect("it is JSON");
        assert_eq!(value["value"], json!([{"a": 1}, {"b": 2}]));
    }
}
