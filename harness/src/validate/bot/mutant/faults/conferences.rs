//! What goes wrong where several are in a call.

use super::super::super::transcript::Kind;
use super::super::{AskChange, Change, To};
use super::List;

/// How rosters are taken.
pub(super) fn rosters(list: &mut List) {
    let told = To::Kind(Kind::Roster);
    for bot in ["ivr", "recorder", "incident"] {
        // In the call itself, where it grows, and where one is told by itself.
        let everyday = "bot/conference/rosters/everyday";
        for status in [500, 503] {
            list.must(bot, Change::Reply(told, status), everyday);
        }
        list.should(bot, Change::Reply(told, 404), everyday);
        list.must(bot, Change::NoReply(told), everyday);
        list.must(bot, Change::HangsUp(told), everyday);
    }
    for bot in ["group", "meeting", "gallery"] {
        for status in [400, 500] {
            list.must(bot, Change::Reply(told, status), "bot/notifications/taken");
        }
        list.must(bot, Change::NoReply(told), "bot/notifications/taken");
    }
    let unusual = [
        ("large", "Person 299"),
        ("tomorrow", "kindOfTomorrow"),
        ("empty", "\"resourceData\":[]"),
        ("delta", "deltaParticipants"),
        ("shapeless", "\"resourceData\":{\"@odata.type\":\"#microsoft.graph.participant\"}"),
    ];
    for (name, text) in unusual {
        let case = format!("bot/conference/rosters/{name}");
        let to = To::Text(text);
        for bot in ["ivr", "recorder", "incident"] {
            for status in [500, 503] {
                list.must(bot, Change::Reply(to, status), case.clone());
            }
            list.must(bot, Change::NoReply(to), case.clone());
            list.must(bot, Change::Dies(to), case.clone());
            if name != "shapeless" {
                list.should(bot, Change::Reply(to, 400), case.clone());
            }
        }
        for bot in ["ivr", "incident"] {
            list.must(bot, Change::HangsUp(to), case.clone());
        }
    }
    for bot in ["ivr", "incident"] {
        // The roster is as before once Ben has gone.
        let again = Change::Again(Kind::Roster, "playPrompt");
        list.must(bot, again, "bot/conference/comes-and-goes");
    }
}

/// What goes wrong in meetings that a bot is asked into.
pub(super) fn meetings(list: &mut List) {
    let ask = |action, change| Change::Ask(action, 1, change);
    let joins = "bot/meeting/joins";
    for bot in ["meeting", "gallery"] {
        list.must(bot, ask("create", AskChange::Drop), "bot/meeting/asks");
        list.must(bot, ask("create", AskChange::Twice), joins);
        list.must(bot, Change::AfterEnd("create"), joins);
        let nowhere = AskChange::Member("/chatInfo/threadId", "\"19:meeting_none@thread.v2\"");
        list.must(bot, ask("create", nowhere), joins);
    }
    list.must("meeting", ask("playPrompt", AskChange::Drop), "bot/meeting/speaks");
    let again = Change::AfterEnd("playPrompt");
    list.must("meeting", again, "bot/ending/leaves-dead-calls");
}
