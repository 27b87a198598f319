//! Faults of what a bot does: whom it believes, how it takes trouble, what it does twice,
//! what keys lead to, what is heard.

use super::super::super::transcript::Kind;
use super::{AskChange, Change, FileChange, Lapse, List, TOLD, To};

/// Checks that are left out.
pub(super) fn tokens(list: &mut List) {
    let lapses = [
        ("missing", Lapse::Missing),
        ("garbage", Lapse::Garbage),
        ("scheme", Lapse::Scheme),
        ("alg-none", Lapse::AlgNone),
        ("alg-hmac", Lapse::AlgHmac),
        ("other-key", Lapse::Signature),
        ("unknown-key", Lapse::UnknownKey),
        ("unsigned", Lapse::Unsigned),
        ("expired", Lapse::Expired),
        ("not-yet", Lapse::NotYet),
        ("audience", Lapse::Audience),
        ("issuer", Lapse::Issuer),
        ("no-expiry", Lapse::NoExpiry),
        ("no-tenant", Lapse::NoTenant),
    ];
    for (name, lapse) in lapses {
        let incoming = format!("bot/tokens/incoming/{name}");
        list.must("ivr", Change::Gullible(lapse, None), incoming.clone());
        list.must("doorman", Change::Gullible(lapse, None), incoming);
        let ended = format!("bot/tokens/ended/{name}");
        list.must("ivr", Change::Gullible(lapse, Some(Kind::Terminated)), ended.clone());
        list.must("reminder", Change::Gullible(lapse, Some(Kind::Terminated)), ended);
    }
    for name in ["missing", "alg-none", "expired", "audience"] {
        let lapse = lapses.iter().find(|(known, _)| *known == name).map(|(_, lapse)| *lapse);
        if let Some(lapse) = lapse {
            let key = format!("bot/tokens/key/{name}");
            list.must("ivr", Change::Gullible(lapse, Some(Kind::Tone)), key);
        }
    }
    let tampered = Change::Gullible(Lapse::Tampered, None);
    list.must("recorder", tampered, "bot/tokens/incoming/tampered");
    let own = Change::Gullible(Lapse::ApiToken, None);
    list.must("ivr", own, "bot/tokens/ended/api-token");
    list.should("ivr", Change::KeysOnce, "bot/tokens/new-key");
    list.should("recorder", Change::KeysOnce, "bot/tokens/new-key");
}

/// How refusals are taken.
pub(super) fn troubles(list: &mut List) {
    let actions = [
        ("ivr", "answer"),
        ("ivr", "subscribeToTone"),
        ("ivr", "playPrompt"),
        ("recorder", "recordResponse"),
        ("reminder", "create"),
    ];
    for (bot, action) in actions {
        let case = |name: &str| format!("bot/troubles/{action}/{name}");
        let resend = |status, pause_ms, times| Change::Resend { action, status, pause_ms, times };
        list.must(bot, resend(429, 0, 1), case("429"));
        list.must(bot, resend(503, 1_000, 2), case("503"));
        list.must(bot, resend(429, 150, 20), case("429-lasting"));
        list.must(bot, resend(503, 200, 20), case("503-lasting"));
        list.must(bot, resend(500, 100, 20), case("500-lasting"));
        for status in [400, 403, 404, 409] {
            list.must(bot, resend(status, 700, 6), case(&status.to_string()));
        }
        list.should(bot, Change::Mistakes(action, 429, 403), case("429"));
        list.should(bot, Change::Mistakes(action, 503, 403), case("503"));
        list.should(bot, Change::Mistakes(action, 401, 403), case("401"));
        list.must(bot, Change::Impatient(action, 1_500), case("late"));
    }
    for status in [503, 429, 500] {
        let case = format!("bot/troubles/token/{status}");
        list.should("ivr", Change::Ask("token", 2, AskChange::Drop), case.clone());
    }
    let storm = Change::Resend { action: "token", status: 503, pause_ms: 100, times: 20 };
    list.must("ivr", storm, "bot/troubles/token/lasting");
    let deaf = Change::Ask("metadata", 2, AskChange::Drop);
    list.should("incident", deaf, "bot/tokens/keys-unavailable");
}

/// What is done twice because it was told twice.
pub(super) fn repeated(list: &mut List) {
    for (kind, action, name) in [
        (Kind::Incoming, "answer", "incoming"),
        (Kind::Establishing, "subscribeToTone", "establishing"),
        (Kind::Established, "subscribeToTone", "established"),
        (Kind::MediaActive, "playPrompt", "media-active"),
        (Kind::Operation, "playPrompt", "operation"),
        (Kind::Terminated, "playPrompt", "terminated"),
    ] {
        list.must("ivr", Change::Again(kind, action), format!("bot/notifications/twice/{name}"));
        // Nothing comes after the end that could be taken for the last.
        if kind != Kind::Terminated {
            let stale = format!("bot/notifications/stale/{name}");
            list.must("ivr", Change::Forgets(kind, action), stale);
        }
    }
    for (kind, name) in TOLD {
        if matches!(kind, Kind::MediaActive | Kind::Operation | Kind::Terminated) {
            let case = format!("bot/notifications/twice/{name}");
            list.must("recorder", Change::Again(kind, "playPrompt"), case.clone());
            list.must("incident", Change::Again(kind, "playPrompt"), case);
        }
    }
    list.must("ivr", Change::Again(Kind::Tone, "playPrompt"), "bot/keys/told-twice");
}

/// What keys lead to.
pub(super) fn keys(list: &mut List) {
    let ask = |action, from, change| Change::Ask(action, from, change);
    list.must("ivr", ask("subscribeToTone", 1, AskChange::Drop), "bot/keys/subscribes");
    list.must("incident", ask("subscribeToTone", 1, AskChange::Drop), "bot/keys/subscribes");
    list.must("ivr", ask("playPrompt", 2, AskChange::Drop), "bot/keys/leads/1");
    list.must("ivr", ask("playPrompt", 2, AskChange::Late(5_000)), "bot/keys/leads/1");
    list.must("ivr", ask("transfer", 1, AskChange::Drop), "bot/keys/leads/2");
    list.must("ivr", ask("transfer", 1, AskChange::Late(5_000)), "bot/keys/leads/2");
    let nowhere = AskChange::NoMember("/transferTarget");
    list.must("ivr", ask("transfer", 1, nowhere), "bot/keys/leads/2");
    list.must("ivr", ask("hangUp", 1, AskChange::Drop), "bot/keys/leads/9");
    list.must("incident", ask("invite", 1, AskChange::Drop), "bot/keys/leads/1");
    let nobody = AskChange::Member("/participants", "[]");
    list.must("incident", ask("invite", 1, nobody), "bot/keys/leads/1");
    list.must("incident", ask("hangUp", 1, AskChange::Drop), "bot/keys/leads/9");
    list.must("ivr", Change::Deaf(Kind::Tone, 1), "bot/keys/leads/1");
    list.must("incident", Change::Deaf(Kind::Tone, 1), "bot/keys/leads/1");
    list.should("ivr", Change::Deaf(Kind::Tone, 2), "bot/keys/burst");
    for status in [400, 500] {
        // The first key that leads to nothing.
        let other = To::Text("\"tone\":\"tone0\"");
        list.must("ivr", Change::Reply(other, status), "bot/keys/undeclared");
        list.must("incident", Change::Reply(other, status), "bot/keys/undeclared");
    }
}

/// What is heard, and recorded.
pub(super) fn media(list: &mut List) {
    let file = "bot/media/prompt-file";
    for bot in ["ivr", "recorder", "incident", "reminder"] {
        for change in [
            FileChange::Status(404),
            FileChange::Status(500),
            FileChange::Garbage,
            FileChange::Empty,
            FileChange::Rate,
            FileChange::Stereo,
            FileChange::Bits,
        ] {
            list.must(bot, Change::File(change), file);
        }
        list.should(bot, Change::File(FileChange::Late(2_500)), file);
        list.should(bot, Change::File(FileChange::Quiet), "bot/media/loudness");
        list.should(bot, Change::File(FileChange::Loud), "bot/media/clipping");
    }
    let ask = |action, from, change| Change::Ask(action, from, change);
    list.must("ivr", ask("playPrompt", 1, AskChange::Drop), "bot/media/greeting");
    list.must("incident", ask("playPrompt", 1, AskChange::Late(5_000)), "bot/media/greeting");
    list.must("ivr", Change::Deaf(Kind::MediaActive, 1), "bot/media/greeting");
    list.must("recorder", ask("recordResponse", 1, AskChange::Drop), "bot/media/records");
    list.must("recorder", ask("recording", 1, AskChange::Drop), "bot/media/plays-back");
    let bare = AskChange::NoHeader("Authorization");
    list.must("recorder", ask("recording", 1, bare), "bot/media/plays-back");
    let wrong = AskChange::Header("Authorization", "Bearer another");
    list.must("recorder", ask("recording", 1, wrong), "bot/media/plays-back");
    list.must("recorder", ask("playPrompt", 2, AskChange::Drop), "bot/media/plays-back");
}

/// What is done after the end.
pub(super) fn endings(list: &mut List) {
    let case = "bot/ending/leaves-dead-calls";
    for (bot, actions) in [
        ("ivr", &["answer", "subscribeToTone", "playPrompt"][..]),
        ("recorder", &["playPrompt", "recordResponse", "hangUp"]),
        ("incident", &["playPrompt", "subscribeToTone"]),
        ("reminder", &["playPrompt", "hangUp"]),
    ] {
        for action in actions {
            list.must(bot, Change::AfterEnd(action), case);
        }
    }
    for bot in ["ivr", "recorder", "incident"] {
        list.must(bot, Change::LosesHeart, "bot/ending/hung-up/at-01");
    }
    let never = Change::Ask("keepAlive", 1, AskChange::Drop);
    list.must("incident", never, "bot/ending/kept-alive");
    let late = Change::Ask("keepAlive", 1, AskChange::Late(2_760_000));
    list.must("incident", late, "bot/ending/kept-alive");
    let gone = Change::Resend { action: "playPrompt", status: 404, pause_ms: 400, times: 8 };
    list.must("incident", gone, "bot/ending/unknown-call");
}

/// What goes wrong where people are recorded by policy.
pub(super) fn policy(list: &mut List) {
    let ask = |action, change| Change::Ask(action, 1, change);
    list.must("policy", ask("answer", AskChange::Late(6_000)), "bot/policy/in-time");
    list.must("policy", ask("answer", AskChange::Drop), "bot/policy/in-time");
    let says = "bot/policy/says-recording";
    list.must("policy", ask("updateRecordingStatus", AskChange::Drop), says);
    let other = AskChange::Member("/status", "\"notRecording\"");
    list.must("policy", ask("updateRecordingStatus", other), says);
    let failed = AskChange::Member("/status", "\"failed\"");
    list.must("policy", ask("updateRecordingStatus", failed), says);
}

/// What goes wrong in calls of the bot's own.
pub(super) fn outgoing(list: &mut List) {
    let ask = |action, change| Change::Ask(action, 1, change);
    for bot in ["reminder", "group"] {
        list.must(bot, ask("hangUp", AskChange::Drop), "bot/outgoing/hangs-up");
        list.must(bot, ask("playPrompt", AskChange::Drop), "bot/outgoing/speaks");
        list.must(bot, ask("create", AskChange::Drop), "bot/outgoing/asks");
        list.must(bot, ask("create", AskChange::Twice), "bot/outgoing/calls");
        let nobody = AskChange::Member("/targets/0/identity/user/id", "\"nobody\"");
        list.must(bot, ask("create", nobody), "bot/outgoing/calls");
    }
}
