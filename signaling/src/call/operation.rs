//! The operations of a call: what an action started, until it has ended, exactly once.
//! Ended ones can be read for a while; how many are kept is bounded.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::result::EndResult;
use crate::graph;
use crate::id::OperationId;

/// How many operations of a call may go on at once.
pub const RUNNING_MAX: usize = 64;

/// How many ended operations of a call can still be read.
pub const ENDED_KEPT_MAX: usize = 64;

/// What an operation does. The names are those of the API's types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is named after the action that starts it")]
pub enum Kind {
    PlayPrompt,
    Record,
    SubscribeToTone,
    CancelMediaProcessing,
    SendDtmfTones,
    MuteParticipant,
    UnmuteParticipant,
    MuteParticipants,
    InviteParticipants,
    UpdateRecordingStatus,
    StartHoldMusic,
    StopHoldMusic,
    AddLargeGalleryView,
    UpdateMetadata,
    StartRecording,
    StopRecording,
    StartTranscription,
    StopTranscription,
    ConfigureMixer,
    Transfer,
}

impl Kind {
    /// Its name in `@odata.type`.
    #[must_use]
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::PlayPrompt => "#microsoft.graph.playPromptOperation",
            Self::Record => "#microsoft.graph.recordOperation",
            Self::SubscribeToTone => "#microsoft.graph.subscribeToToneOperation",
            Self::CancelMediaProcessing => "#microsoft.graph.cancelMediaProcessingOperation",
            Self::SendDtmfTones => "#microsoft.graph.sendDtmfTonesOperation",
            Self::MuteParticipant => "#microsoft.graph.muteParticipantOperation",
            Self::UnmuteParticipant => "#microsoft.graph.unmuteParticipantOperation",
            Self::MuteParticipants => "#microsoft.graph.muteParticipantsOperation",
            Self::InviteParticipants => "#microsoft.graph.inviteParticipantsOperation",
            Self::UpdateRecordingStatus => "#microsoft.graph.updateRecordingStatusOperation",
            Self::StartHoldMusic => "#microsoft.graph.startHoldMusicOperation",
            Self::StopHoldMusic => "#microsoft.graph.stopHoldMusicOperation",
            Self::AddLargeGalleryView => "#microsoft.graph.addLargeGalleryViewOperation",
            Self::StartRecording => "#microsoft.graph.startRecordingOperation",
            Self::StopRecording => "#microsoft.graph.stopRecordingOperation",
            Self::StartTranscription => "#microsoft.graph.startTranscriptionOperation",
            Self::StopTranscription => "#microsoft.graph.stopTranscriptionOperation",
            Self::UpdateMetadata | Self::ConfigureMixer | Self::Transfer => {
                "#microsoft.graph.commsOperation"
            }
        }
    }
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) id: OperationId,
    pub(crate) kind: Kind,
    pub(crate) client_context: Option<String>,
    pub(crate) status: graph::OperationStatus,
    pub(crate) result: Option<EndResult>,
    pub(crate) participants: Option<Vec<graph::InvitationParticipantInfo>>,
    pub(crate) recording_location: Option<String>,
    pub(crate) recording_access_token: Option<String>,
    pub(crate) completion_reason: Option<String>,
}

impl Operation {
    /// One that goes on.
    pub(crate) const fn running(
        id: OperationId,
        kind: Kind,
        client_context: Option<String>,
    ) -> Self {
        Self {
            id,
            kind,
            client_context,
            status: graph::OperationStatus::Running,
            result: None,
            participants: None,
            recording_location: None,
            recording_access_token: None,
            completion_reason: None,
        }
    }

    /// Whether it has ended.
    pub(crate) const fn has_ended(&self) -> bool {
        matches!(self.status, graph::OperationStatus::Completed | graph::OperationStatus::Failed)
    }

    /// 2018's transfers say in words how they went.
    fn result_info(&self, result: &EndResult) -> graph::ResultInfo {
        let mut info = result.to_graph();
        if self.kind == Kind::Transfer && result.code == 200 {
            info.subcode = Some(graph::Code::Word("transferAccepted".to_owned()));
        }
        info
    }

    /// As the API writes it.
    pub(crate) fn to_graph(&self) -> graph::Operation {
        graph::Operation {
            odata_type: Some(self.kind.type_name().to_owned()),
            id: Some(self.id.to_string()),
            client_context: self.client_context.clone(),
            result_info: self.result.as_ref().map(|result| self.result_info(result)),
            status: Some(self.status.clone()),
            participants: self.participants.clone(),
            recording_location: self.recording_location.clone(),
            recording_access_token: self.recording_access_token.clone(),
            completion_reason: self.completion_reason.clone(),
            ..graph::Operation::default()
        }
    }
}

/// The operations of one call, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    all: VecDeque<Operation>,
}

/// As many operations go on as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{RUNNING_MAX} operations of this call are still going on")]
pub struct TooManyOperations;

impl Operations {
    /// Takes one in; the oldest ended ones make room.
    pub(crate) fn push(&mut self, operation: Operation) -> Result<(), TooManyOperations> {
        let running = self.all.iter().filter(|o| !o.has_ended()).count();
        if !operation.has_ended() && running >= RUNNING_MAX {
            return Err(TooManyOperations);
        }
        while self.all.len() - running >= ENDED_KEPT_MAX {
            match self.all.iter().position(Operation::has_ended) {
                Some(oldest) => self.all.remove(oldest),
                None => break,
            };
        }
        self.all.push_back(operation);
        Ok(())
    }

    /// The one with this id.
    pub(crate) fn get(&self, id: OperationId) -> Option<&Operation> {
        self.all.iter().find(|o| o.id == id)
    }

    /// The one with this id, to attach properties to.
    pub(crate) fn get_mut(&mut self, id: OperationId) -> Option<&mut Operation> {
        self.all.iter_mut().find(|o| o.id == id)
    }

    /// Those that go on, oldest first.
    pub(crate) fn running(&self) -> Vec<OperationId> {
        self.all.iter().filter(|o| !o.has_ended()).map(|o| o.id).collect()
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.all.iter()
    }

    /// Ends one. `None` if there is none that goes on: it cannot end twice.
    pub(crate) fn end(
        &mut self,
        id: OperationId,
        status: graph::OperationStatus,
        result: EndResult,
    ) -> Option<&Operation> {
        let operation = self.get_mut(id).filter(|o| !o.has_ended())?;
        operation.status = status;
        operation.result = Some(result);
        Some(operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(id: u128) -> Operation {
        Operation::running(OperationId::from_u128(id), Kind::PlayPrompt, None)
    }

    #[test]
    fn an_operation_ends_once() {
        let mut operations = Operations::default();
        operations.push(running(1)).expect("there is room");
        let id = OperationId::from_u128(1);
        let done = graph::OperationStatus::Completed;
        assert!(operations.end(id, done.clone(), EndResult::action_completed()).is_some());
        assert!(operations.end(id, done, EndResult::action_cancelled()).is_none());
        assert_eq!(operations.get(id).and_then(|o| o.result.clone()).map(|r| r.code), Some(200));
    }

    #[test]
    fn running_operations_are_bounded_and_ended_ones_make_room() {
        let mut operations = Operations::default();
        for id in 0..RUNNING_MAX as u128 {
            operations.push(running(id)).expect("there is room");
        }
        assert_eq!(operations.push(running(1000)), Err(TooManyOperations));
        let done = graph::OperationStatus::Completed;
        for id in 0..2000 {
            operations.end(OperationId::from_u128(id), done.clone(), EndResult::action_completed());
            let _ = operations.push(running(id + RUNNING_MAX as u128));
        }
        assert!(operations.iter().count() <= RUNNING_MAX + ENDED_KEPT_MAX);
    }
}
