//! Rosters: who is in a conference, told to its bots after each change. What changes in
//! one moment (everything between an input and the last output that follows from it) is
//! told once. A roster is the array of all participants, in the order in which they came;
//! for calls with `isDeltaRosterEnabled` it is a `deltaParticipants` with those that
//! changed since the roster before, and first with all.

use std::collections::BTreeSet;

use callrig_media::description::MediaKind;
use callrig_media::time::Instant;
use serde_json::Value;

use super::Service;
use super::conference::{Leg, Party, Standing};
use super::people::modalities_of;
use crate::attach::source_id;
use crate::graph::{
    self, ChangeType, DeltaParticipants, MediaDirection, MediaStream, Modality, Number,
};
use crate::id::{CallId, ConversationId, LegId};

/// What of a conference's roster was not told yet.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// How many rosters there were.
    sequence: i64,
    changed: BTreeSet<LegId>,
    /// As they were shown last, with the reason.
    removed: Vec<graph::Participant>,
}

impl Service {
    /// Something about a leg changed that rosters show.
    pub(super) fn roster_changed(&mut self, now: Instant, leg: LegId) {
        let Some(id) = self.legs.get(&leg).copied() else { return };
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if conversation.legs.get(&leg).is_none_or(|leg| leg.place.hidden) {
            return;
        }
        if let Some(conference) = conversation.conference.as_deref_mut() {
            conference.roster.changed.insert(leg);
            self.rosters_due.insert(id, now);
        }
    }

    /// A leg that rosters showed is gone.
    pub(super) fn roster_lost(
        &mut self,
        now: Instant,
        id: ConversationId,
        leg: LegId,
        was: &Leg,
        reason: &str,
    ) {
        if was.place.hidden {
            return;
        }
        let mut shown = self.participant(leg, was);
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if let Some(conference) = conversation.conference.as_deref_mut() {
            conference.roster.changed.remove(&leg);
            let state =
                graph::RemovedState { reason: Some(reason.to_owned()), ..Default::default() };
            shown.removed_state = Some(state);
            conference.roster.removed.push(shown);
            self.rosters_due.insert(id, now);
        }
    }

    /// Tells every roster that is due.
    pub(super) fn tell_rosters(&mut self) {
        while let Some((id, now)) = self.rosters_due.pop_first() {
            self.tell_roster(now, id);
        }
    }

    fn tell_roster(&mut self, now: Instant, id: ConversationId) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let Some(conference) = conversation.conference.as_deref_mut() else { return };
        let changed = core::mem::take(&mut conference.roster.changed);
        let removed = core::mem::take(&mut conference.roster.removed);
        if conference.quiet {
            return;
        }
        conference.roster.sequence += 1;
        let sequence = conference.roster.sequence;
        let mut told: Vec<(CallId, bool)> = Vec::new();
        for leg in conversation.legs.values_mut().filter(|leg| leg.standing == Standing::Joined) {
            if let Party::Bot(call) = leg.party {
                told.push((call, core::mem::replace(&mut leg.place.roster_told, true)));
            }
        }
        let Some(conversation) = self.conversations.get(&id) else { return };
        let present = conversation.present();
        let all: Vec<(LegId, graph::Participant)> =
            present.into_iter().map(|(id, leg)| (id, self.participant(id, leg))).collect();
        let mut whole: Option<Value> = None;
        for (call, before) in told {
            let Some(held) = self.calls.get(&call) else { continue };
            let data = if held.options.is_delta_roster_enabled == Some(true) {
                let some = all.iter().filter(|(id, _)| !before || changed.contains(id));
                let some = some.map(|(_, shown)| shown);
                delta(sequence, some.chain(removed.iter().filter(|_| before)))
            } else {
                whole.get_or_insert_with(|| array(all.iter().map(|(_, shown)| shown))).clone()
            };
            self.notify(now, call, ChangeType::Updated, "/participants", &data);
        }
    }

    /// One participant.
    pub(super) fn participant(&self, id: LegId, leg: &Leg) -> graph::Participant {
        let mut shown = graph::Participant {
            id: Some(id.to_string()),
            info: Some(leg.info.clone()),
            is_in_lobby: Some(leg.standing == Standing::Lobby),
            is_muted: Some(leg.place.is_muted()),
            media_streams: Some(streams(leg)),
            metadata: leg.place.metadata.clone(),
            recording_info: leg.place.recording.as_deref().cloned(),
            ..graph::Participant::typed()
        };
        if leg.place.hand_raised {
            // As it stands on the wire; no page declares it.
            let states = serde_json::json!([{ "type": "raiseHands" }]);
            shown.other.insert("publishedStates".into(), states);
        }
        shown
    }
}

fn array<'a>(participants: impl Iterator<Item = &'a graph::Participant>) -> Value {
    let participants: Vec<&graph::Participant> = participants.collect();
    serde_json::to_value(participants).expect("the API's types have string keys")
}

fn delta<'a>(sequence: i64, participants: impl Iterator<Item = &'a graph::Participant>) -> Value {
    let numbered = participants.map(|shown| graph::Participant {
        roster_sequence_number: Some(Number(sequence)),
        ..shown.clone()
    });
    let delta = DeltaParticipants {
        sequence_number: Some(Number(sequence)),
        participants: Some(numbered.collect()),
        ..DeltaParticipants::typed()
    };
    serde_json::to_value(delta).expect("the API's types have string keys")
}

/// A leg's streams: sound always, the others as it described them.
fn streams(leg: &Leg) -> Vec<MediaStream> {
    let mut modalities = match &leg.description {
        // As the documentation of the gallery shows it: it hears, and is to be seen.
        _ if leg.party == Party::Gallery => vec![Modality::Audio, Modality::Video],
        Some(description) => modalities_of(description),
        None => vec![Modality::Audio],
    };
    let screen = Modality::VideoBasedScreenSharing;
    if leg.place.sharing.is_some() && !modalities.contains(&screen) {
        modalities.push(screen);
    }
    let stream = |modality: Modality| {
        let screen = "applicationsharing-video";
        let (kind, label, direction) = match modality {
            Modality::Video => (MediaKind::Video, "main-video", MediaDirection::SendReceive),
            Modality::VideoBasedScreenSharing if leg.place.sharing.is_some() => {
                (MediaKind::ScreenSharing, screen, MediaDirection::SendOnly)
            }
            Modality::VideoBasedScreenSharing => {
                (MediaKind::ScreenSharing, screen, MediaDirection::ReceiveOnly)
            }
            _ if leg.party == Party::Gallery => {
                (MediaKind::Audio, "main-audio", MediaDirection::ReceiveOnly)
            }
            _ => (MediaKind::Audio, "main-audio", MediaDirection::SendReceive),
        };
        MediaStream {
            label: Some(label.to_owned()),
            source_id: Some(source_id(leg.place.number, kind).to_string()),
            direction: Some(direction),
            server_muted: Some(kind == MediaKind::Audio && leg.place.server_muted),
            media_type: Some(modality),
            ..MediaStream::typed()
        }
    };
    modalities.into_iter().map(stream).collect()
}
