//! The faults, as data: a bot that is in order, what is changed about it, how strongly the
//! rule binds that it then breaks, and the case that must find it.

use callrig_reports::Level;
use callrig_signaling::http::Method;

use super::super::transcript::Kind;
use super::{AskChange, Change, FileChange, Lapse, To};

mod behaviour;
mod conferences;
mod packets;

/// A bot with one fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The sample that is in order but for it.
    pub bot: &'static str,
    /// What is changed.
    pub change: Change,
    /// How strongly the rule binds that it breaks.
    pub level: Level,
    /// The case that must find it.
    pub caught_by: String,
}

impl Fault {
    /// A stable name, for people.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {:?}", self.bot, self.change)
    }
}

/// A list that is being written.
#[derive(Default)]
struct List(Vec<Fault>);

impl List {
    fn must(&mut self, bot: &'static str, change: Change, caught_by: impl Into<String>) {
        self.0.push(Fault { bot, change, level: Level::Must, caught_by: caught_by.into() });
    }

    fn should(&mut self, bot: &'static str, change: Change, caught_by: impl Into<String>) {
        self.0.push(Fault { bot, change, level: Level::Should, caught_by: caught_by.into() });
    }
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Fault> {
    let mut list = List::default();
    replies(&mut list);
    unusual(&mut list);
    requests(&mut list);
    bodies(&mut list);
    answers(&mut list);
    behaviour::tokens(&mut list);
    behaviour::troubles(&mut list);
    behaviour::repeated(&mut list);
    behaviour::keys(&mut list);
    behaviour::media(&mut list);
    behaviour::endings(&mut list);
    behaviour::outgoing(&mut list);
    behaviour::policy(&mut list);
    conferences::rosters(&mut list);
    conferences::meetings(&mut list);
    packets::packets(&mut list);
    packets::sound(&mut list);
    packets::pictures(&mut list);
    packets::offers(&mut list);
    list.0
}

/// Notifications that come in every call with a menu.
const TOLD: [(Kind, &str); 5] = [
    (Kind::Incoming, "incoming"),
    (Kind::Establishing, "establishing"),
    (Kind::MediaActive, "media-active"),
    (Kind::Operation, "operation"),
    (Kind::Terminated, "terminated"),
];

/// How notifications are answered.
fn replies(list: &mut List) {
    const TAKEN: &str = "bot/notifications/taken";
    const IN_TIME: &str = "bot/notifications/in-time";
    for (kind, _) in TOLD {
        let to = To::Kind(kind);
        for status in [400, 401, 403, 404, 409, 500, 503] {
            list.must("ivr", Change::Reply(to, status), TAKEN);
        }
        list.must("ivr", Change::NoReply(to), TAKEN);
        list.must("ivr", Change::ReplyLate(to, 6_500), IN_TIME);
        for late in [1_500, 3_000] {
            list.should("ivr", Change::ReplyLate(to, late), IN_TIME);
        }
        let code = if kind == Kind::Incoming { 201 } else { 204 };
        for status in [code, 206] {
            list.should("ivr", Change::Reply(to, status), "bot/notifications/code");
        }
    }
    for bot in ["recorder", "reminder", "group", "incident", "operator", "doorman"] {
        for status in [404, 500] {
            list.must(bot, Change::Reply(To::Any, status), TAKEN);
        }
        list.must(bot, Change::NoReply(To::Any), TAKEN);
        list.should(bot, Change::ReplyLate(To::Any, 1_300), IN_TIME);
    }
    list.should("ivr", Change::Reply(To::Text("callState"), 202), "bot/notifications/legacy");
    list.should("recorder", Change::Reply(To::Text("callState"), 400), "bot/notifications/legacy");
}

/// How a bot takes what it does not know, and what is no notification.
fn unusual(list: &mut List) {
    let unknown = [
        ("resource", To::Text("somethingOfTomorrow")),
        ("change", To::Text("archived")),
        ("members", To::Text("\"ofTomorrow\"")),
        ("state", To::Text("unknownFutureValue")),
        ("call", To::Stranger),
        ("empty", To::Text("\"value\":[]")),
    ];
    for (name, to) in unknown {
        let case = format!("bot/notifications/unknown/{name}");
        for status in [500, 503] {
            list.must("ivr", Change::Reply(to, status), case.clone());
        }
        list.must("ivr", Change::NoReply(to), case.clone());
        list.must("ivr", Change::HangsUp(to), case.clone());
        list.must("incident", Change::HangsUp(to), case.clone());
        for status in [400, 404] {
            list.should("ivr", Change::Reply(to, status), case.clone());
        }
    }
    let malformed = [
        ("garbage", To::Garbage),
        ("shape", To::Text("\"no\":\"list\"")),
        ("nothing", To::Nothing),
        ("deep", To::Text("[[[[[[[[")),
        ("padded", To::Large),
    ];
    for (name, to) in malformed {
        let case = format!("bot/notifications/malformed/{name}");
        for status in [500, 502] {
            list.must("ivr", Change::Reply(to, status), case.clone());
        }
        list.must("ivr", Change::NoReply(to), case.clone());
        list.must("ivr", Change::Dies(to), case.clone());
        list.must("recorder", Change::Dies(to), case.clone());
        list.must("incident", Change::HangsUp(to), case.clone());
        if name != "padded" {
            list.should("ivr", Change::Reply(to, 202), case);
        }
    }
}

/// What requests look like.
fn requests(list: &mut List) {
    let ask = |action, change| Change::Ask(action, 1, change);
    let (token, json, known) = ("bot/requests/token", "bot/requests/json", "bot/requests/known");
    for action in ["answer", "subscribeToTone", "playPrompt"] {
        list.must("ivr", ask(action, AskChange::NoHeader("Authorization")), token);
        let garbage = AskChange::Header("Authorization", "Bearer no-token");
        list.must("ivr", ask(action, garbage), token);
        let basic = AskChange::Header("Authorization", "Basic dXNlcjpwYXNz");
        list.must("ivr", ask(action, basic), token);
        list.must("ivr", ask(action, AskChange::NoHeader("Content-Type")), json);
        let text = AskChange::Header("Content-Type", "text/plain");
        list.must("ivr", ask(action, text), json);
        let form = AskChange::Header("Content-Type", "application/x-www-form-urlencoded");
        list.must("ivr", ask(action, form), json);
        list.must("ivr", ask(action, AskChange::Body("{\"half\": ")), json);
        list.must("ivr", ask(action, AskChange::Body("[]")), json);
        list.must("ivr", ask(action, AskChange::Method(Method::Put)), known);
    }
    for (action, path) in
        [("answer", "accept"), ("subscribeToTone", "subscribe"), ("playPrompt", "play")]
    {
        list.must("ivr", ask(action, AskChange::Path(path)), known);
    }
    list.must("doorman", ask("reject", AskChange::Path("decline")), known);
    list.must("operator", ask("redirect", AskChange::Path("forward")), known);
    list.must("recorder", ask("recordResponse", AskChange::Path("recording")), known);
    let (context, id) = ("bot/requests/client-context", "bot/requests/client-request-id");
    for action in ["subscribeToTone", "playPrompt"] {
        list.should("ivr", ask(action, AskChange::NoMember("/clientContext")), context);
        let empty = AskChange::Member("/clientContext", "\"\"");
        list.should("ivr", ask(action, empty), context);
    }
    let same = AskChange::Member("/clientContext", "\"always\"");
    list.should("ivr", ask("*", same.clone()), context);
    list.should("recorder", ask("*", same), context);
    list.should("ivr", ask("*", AskChange::NoHeader("Client-Request-Id")), id);
    list.should("ivr", ask("*", AskChange::Header("Client-Request-Id", "one")), id);
    let always = "7d9ee5a4-4d2a-4f0c-9f7a-0f0a4f4a4f4a";
    list.should("ivr", ask("*", AskChange::Header("Client-Request-Id", always)), id);
    for bot in ["ivr", "recorder", "incident"] {
        list.should(bot, Change::TokenEach, "bot/requests/token-reused");
        list.should(bot, Change::Polls(500), "bot/requests/no-polling");
        let beta = AskChange::Version("beta");
        list.should(bot, ask("playPrompt", beta), "bot/requests/one-version");
    }
    for name in ["playPrompt", "subscribeToTone"] {
        let body = match name {
            "playPrompt" => PLAY,
            _ => "{\"clientContext\":\"early\"}",
        };
        list.must("ivr", Change::Premature(name, body), "bot/requests/state");
        list.must("recorder", Change::Premature(name, body), "bot/requests/state");
    }
}

const PLAY: &str = "{\"clientContext\":\"early\",\"prompts\":[{\"@odata.type\":\"#microsoft.graph.mediaPrompt\",\"mediaInfo\":{\"@odata.type\":\"#microsoft.graph.mediaInfo\",\"uri\":\"https://bot.test/files/menu.wav\"}}]}";

/// What the bodies of actions lack.
fn bodies(list: &mut List) {
    let gone = |pointer| AskChange::NoMember(pointer);
    let other = AskChange::Member;
    let changes: [(&str, &str, AskChange); 30] = [
        ("ivr", "answer", gone("/mediaConfig")),
        ("ivr", "answer", gone("/mediaConfig/@odata.type")),
        ("ivr", "answer", other("/mediaConfig", "\"serviceHosted\"")),
        ("ivr", "answer", other("/mediaConfig/@odata.type", "\"#microsoft.graph.mediaConfig\"")),
        ("ivr", "answer", other("/acceptedModalities", "\"audio\"")),
        ("incident", "answer", gone("/mediaConfig")),
        ("recorder", "answer", gone("/mediaConfig/@odata.type")),
        ("ivr", "playPrompt", gone("/prompts")),
        ("ivr", "playPrompt", other("/prompts", "[]")),
        ("ivr", "playPrompt", other("/prompts", "{}")),
        ("ivr", "playPrompt", gone("/prompts/0/@odata.type")),
        ("ivr", "playPrompt", other("/prompts/0/@odata.type", "\"#microsoft.graph.prompt\"")),
        ("ivr", "playPrompt", gone("/prompts/0/mediaInfo")),
        ("ivr", "playPrompt", gone("/prompts/0/mediaInfo/uri")),
        ("ivr", "playPrompt", other("/prompts/0/mediaInfo/uri", "\"menu.wav\"")),
        ("ivr", "playPrompt", other("/prompts/0/mediaInfo/uri", "\"file:///menu.wav\"")),
        ("ivr", "playPrompt", AskChange::Many("/prompts", 21)),
        ("recorder", "recordResponse", other("/maxRecordDurationInSeconds", "0")),
        ("recorder", "recordResponse", other("/maxRecordDurationInSeconds", "600")),
        ("recorder", "recordResponse", other("/maxSilenceTimeoutInSeconds", "121")),
        ("recorder", "recordResponse", other("/initialSilenceTimeoutInSeconds", "-1")),
        ("recorder", "recordResponse", other("/maxRecordDurationInSeconds", "\"ten\"")),
        ("reminder", "create", gone("/targets")),
        ("reminder", "create", other("/targets", "[]")),
        ("reminder", "create", gone("/targets/0/identity")),
        ("reminder", "create", gone("/callbackUri")),
        ("reminder", "create", gone("/mediaConfig")),
        ("reminder", "create", gone("/requestedModalities")),
        ("operator", "redirect", gone("/targets")),
        ("doorman", "reject", other("/reason", "\"tired\"")),
    ];
    for (bot, action, change) in changes {
        list.must(bot, Change::Ask(action, 1, change), "bot/requests/members");
    }
    let six = AskChange::Many("/targets", 6);
    list.must("group", Change::Ask("create", 1, six), "bot/requests/members");
    let many = AskChange::Many("/targets", 26);
    list.must("operator", Change::Ask("redirect", 1, many), "bot/requests/members");
    let hasty = other("/timeout", "5");
    list.must("operator", Change::Ask("redirect", 1, hasty), "bot/requests/members");
}

/// How a call is answered.
fn answers(list: &mut List) {
    let ask = |action, change| Change::Ask(action, 1, change);
    let in_time = "bot/answer/in-time";
    for (bot, action) in [
        ("ivr", "answer"),
        ("recorder", "answer"),
        ("incident", "answer"),
        ("operator", "redirect"),
        ("doorman", "reject"),
    ] {
        list.must(bot, ask(action, AskChange::Drop), in_time);
        list.must(bot, ask(action, AskChange::Late(16_000)), in_time);
        list.should(bot, ask(action, AskChange::Late(7_000)), in_time);
        list.must(bot, ask(action, AskChange::Twice), "bot/answer/once");
        list.must(bot, Change::Deaf(Kind::Incoming, 1), in_time);
    }
    list.must("ivr", ask("answer", AskChange::Path("reject")), "bot/answer/as-declared");
    list.must("recorder", ask("answer", AskChange::Path("reject")), "bot/answer/as-declared");
    let callback = "bot/answer/callback-uri";
    list.should("ivr", ask("answer", AskChange::NoMember("/callbackUri")), callback);
    list.should("recorder", ask("answer", AskChange::NoMember("/callbackUri")), callback);
    let modalities = "bot/answer/modalities";
    list.should("ivr", ask("answer", AskChange::NoMember("/acceptedModalities")), modalities);
    let empty = AskChange::Member("/acceptedModalities", "[]");
    list.should("ivr", ask("answer", empty), modalities);
    let accepted = "bot/answer/accepted";
    let relative = AskChange::Member("/callbackUri", "\"/api/calls\"");
    list.must("ivr", ask("answer", relative), accepted);
    let inside = AskChange::Member("/callbackUri", "\"http://169.254.169.254/latest\"");
    list.must("ivr", ask("answer", inside), accepted);
    let private = AskChange::Member("/callbackUri", "\"https://10.0.0.7/api/calls\"");
    list.must("recorder", ask("answer", private), accepted);
    let nobody = AskChange::Member("/targets/0/identity/user/id", "\"nobody\"");
    list.must("operator", ask("redirect", nobody), accepted);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_more_than_three_hundred_and_no_two_are_alike() {
        let faults = all();
        assert!(faults.len() >= 300, "{}", faults.len());
        for (index, fault) in faults.iter().enumerate() {
            let alike = faults[..index].iter().find(|other| *other == fault);
            assert!(alike.is_none(), "{} is there twice", fault.name());
        }
    }
}
