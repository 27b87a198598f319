//! What the platform would not send, written out.

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::script::{Body, Roster};

/// Bytes of the padding of [`Body::Padded`].
const PADDING: usize = 1 << 20;
/// How many people are in [`Roster::Large`].
const CROWD: usize = 300;
/// How deep lists nest in [`Body::Deep`].
const DEPTH: usize = 10_000;

/// Whom a post can be about.
pub(super) struct About<'a> {
    /// The call that there is, as notifications spell it; empty if there is none.
    pub(super) call: &'a str,
    /// One that the bot never heard of.
    pub(super) unknown: &'a str,
    /// The bot's app.
    pub(super) app: &'a str,
    /// The caller.
    pub(super) user: &'a str,
    /// The organisation.
    pub(super) tenant: &'a str,
    /// The bot's webhook.
    pub(super) callback: &'a str,
}

impl About<'_> {
    pub(super) fn write(&self, body: Body) -> Bytes {
        let call = self.call;
        match body {
            Body::Garbage => Bytes::from_static(b"{\"value\": [nonsense"),
            Body::Nothing => Bytes::new(),
            Body::Padded => {
                let mut text = vec![b' '; PADDING];
                text.extend_from_slice(self.established(call).to_string().as_bytes());
                text.into()
            }
            Body::Deep => {
                let mut text = vec![b'['; DEPTH];
                text.extend(core::iter::repeat_n(b']', DEPTH));
                text.into()
            }
            Body::WrongShape => json!({ "value": { "no": "list" }, "hello": 1 }).to_string().into(),
            Body::Empty => envelope(&[]).to_string().into(),
            Body::Incoming => envelope(&[self.incoming(self.unknown)]).to_string().into(),
            Body::Ended => envelope(&[item(call, "", "deleted", &call_data(call, "terminated"))])
                .to_string()
                .into(),
            Body::Tone(key) => {
                let mut data = call_data(call, "established");
                data["toneInfo"] = json!({
                    "@odata.type": "#microsoft.graph.toneInfo",
                    "sequenceId": 7_000, "tone": super::tone_name(key),
                });
                envelope(&[item(call, "", "updated", &data)]).to_string().into()
            }
            Body::UnknownCall => self.established(self.unknown).to_string().into(),
            Body::UnknownResource => {
                let data = json!({ "@odata.type": "#microsoft.graph.somethingOfTomorrow" });
                envelope(&[item(call, "/somethingOfTomorrow", "updated", &data)]).to_string().into()
            }
            Body::UnknownChange => {
                envelope(&[item(call, "", "archived", &call_data(call, "established"))])
                    .to_string()
                    .into()
            }
            Body::UnknownMembers => {
                let mut data = call_data(call, "established");
                data["ofTomorrow"] = json!({ "deep": [1, { "x": null }] });
                let mut one = item(call, "", "updated", &data);
                one["ofTomorrow"] = json!("new");
                let mut all = envelope(&[one]);
                all["@odata.context"] = json!("https://graph.microsoft.com/v1.0/$metadata");
                all.to_string().into()
            }
            Body::UnknownState => {
                envelope(&[item(call, "", "updated", &call_data(call, "unknownFutureValue"))])
                    .to_string()
                    .into()
            }
            Body::Mixed => {
                let own = item(call, "", "updated", &call_data(call, "established"));
                let data = call_data(self.unknown, "established");
                let other = item(self.unknown, "", "updated", &data);
                envelope(&[other, own]).to_string().into()
            }
            Body::Roster(roster) => {
                let one = item(call, "/participants", "updated", &self.roster(roster));
                envelope(&[one]).to_string().into()
            }
            Body::Stale => envelope(&[item(call, "", "updated", &call_data(call, "establishing"))])
                .to_string()
                .into(),
        }
    }

    fn roster(&self, roster: Roster) -> Value {
        match roster {
            Roster::Empty => json!([]),
            Roster::Shapeless => json!({ "@odata.type": "#microsoft.graph.participant" }),
            Roster::Everyday => (0..2).map(|index| self.participant(index)).collect(),
            Roster::Large => (0..CROWD).map(|index| self.participant(index)).collect(),
            Roster::Delta => json!({
                "@odata.type": "#microsoft.graph.deltaParticipants",
                "sequenceNumber": 7,
                "participants": [self.participant(1), {
                    "@odata.type": "#microsoft.graph.participant",
                    "id": "ffff0000-0000-4000-9000-000000000002",
                    "removedState": {
                        "@odata.type": "#microsoft.graph.removedState", "reason": "Removed",
                    },
                    "rosterSequenceNumber": 7,
                }],
            }),
            Roster::Tomorrow => {
                let mut strange = self.participant(1);
                strange["info"]["identity"] = json!({
                    "@odata.type": "#microsoft.graph.communicationsIdentitySet",
                    "assertedIdentity": { "kindOfTomorrow": { "id": "1" } },
                });
                strange["mediaStreams"][0]["mediaType"] = json!("hologramOfTomorrow");
                strange["mediaStreams"][0]["direction"] = json!("sideways");
                strange["isHolding"] = json!({ "since": [1, 2, { "x": null }] });
                json!([self.participant(0), strange, {
                    "@odata.type": "#microsoft.graph.participant",
                    "id": "ffff0000-0000-4000-9000-000000000002",
                    "info": null, "mediaStreams": null,
                }, { "@odata.type": "#microsoft.graph.participantOfTomorrow" }])
            }
        }
    }

    fn participant(&self, index: usize) -> Value {
        json!({
            "@odata.type": "#microsoft.graph.participant",
            "id": format!("ffff0000-0000-4000-9000-{index:012x}"),
            "info": {
                "@odata.type": "#microsoft.graph.participantInfo",
                "identity": {
                    "@odata.type": "#microsoft.graph.identitySet",
                    "user": {
                        "@odata.type": "#microsoft.graph.identity",
                        "id": format!("ffff0000-0000-4000-a000-{index:012x}"),
                        "displayName": format!("Person {index}"),
                        "tenantId": self.tenant,
                    },
                },
                "languageId": "en-US",
                "region": "amer",
            },
            "isInLobby": false,
            "isMuted": !index.is_multiple_of(3),
            "mediaStreams": [{
                "@odata.type": "#microsoft.graph.mediaStream",
                "sourceId": (index + 1).to_string(),
                "mediaType": "audio",
                "direction": "sendReceive",
                "serverMuted": false,
            }],
        })
    }

    fn established(&self, call: &str) -> Value {
        envelope(&[item(call, "", "updated", &call_data(call, "established"))])
    }

    fn incoming(&self, call: &str) -> Value {
        let mut data = call_data(call, "incoming");
        data["direction"] = json!("incoming");
        data["callbackUri"] = json!(self.callback);
        data["tenantId"] = json!(self.tenant);
        data["requestedModalities"] = json!(["audio"]);
        data["callChainId"] = json!(self.unknown);
        data["source"] = json!({
            "@odata.type": "#microsoft.graph.participantInfo",
            "identity": {
                "@odata.type": "#microsoft.graph.identitySet",
                "user": {
                    "@odata.type": "#microsoft.graph.identity",
                    "id": self.user, "displayName": "Ann", "tenantId": self.tenant,
                },
            },
        });
        data["targets"] = json!([{
            "@odata.type": "#microsoft.graph.invitationParticipantInfo",
            "identity": {
                "@odata.type": "#microsoft.graph.identitySet",
                "application": { "@odata.type": "#microsoft.graph.identity", "id": self.app },
            },
        }]);
        item(call, "", "created", &data)
    }
}

fn envelope(items: &[Value]) -> Value {
    json!({ "@odata.type": "#microsoft.graph.commsNotifications", "value": items })
}

fn item(call: &str, below: &str, change: &str, data: &Value) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.commsNotification",
        "changeType": change,
        "resource": format!("/app/calls/{call}{below}"),
        "resourceUrl": format!("/communications/calls/{call}{below}"),
        "resourceData": data,
    })
}

fn call_data(call: &str, state: &str) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.call",
        "@odata.id": format!("/communications/calls/{call}"),
        "id": call,
        "state": state,
    })
}
