//! The states of a call and the only ways between them. The names are those of the API's
//! `callState`; the edges follow the notifications that its documentation shows. A
//! trigger without an edge changes nothing: who pulls it is told so.

use serde::{Deserialize, Serialize};

use crate::graph::CallState;

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It rings at the bot.
    Incoming,
    /// It is being set up.
    Establishing,
    /// It rings at the person whom the bot called.
    Ringing,
    /// The sides hear one another.
    Established,
    /// On hold.
    Hold,
    /// The bot asked for a transfer.
    Transferring,
    /// The other side took the transfer.
    TransferAccepted,
    /// The bot sent the caller elsewhere.
    Redirecting,
    /// The bot hung up.
    Terminating,
    /// Over.
    Terminated,
}

/// What moves a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trigger {
    /// The bot answers.
    Answer,
    /// The bot rejects.
    Reject,
    /// The bot redirects.
    Redirect,
    /// It begins to ring at the other side.
    Ring,
    /// The sides are joined.
    Connect,
    /// Put on hold.
    Hold,
    /// Taken from hold, or done with a transfer out of a group.
    Resume,
    /// The bot transfers.
    Transfer,
    /// The transfer is taken.
    AcceptTransfer,
    /// The transfer came to nothing.
    FailTransfer,
    /// The bot hangs up.
    HangUp,
    /// What the bot asked to end has ended.
    Finish,
    /// Somebody else ended it, or the platform did.
    End,
}

/// Every edge there is.
pub const TABLE: &[(State, Trigger, State)] = {
    use State::{
        Established, Establishing, Hold, Incoming, Redirecting, Ringing, Terminated, Terminating,
        TransferAccepted, Transferring,
    };
    &[
        (Incoming, Trigger::Answer, Establishing),
        (Incoming, Trigger::Reject, Terminated),
        (Incoming, Trigger::Redirect, Redirecting),
        (Incoming, Trigger::HangUp, Terminating),
        (Incoming, Trigger::End, Terminated),
        (Establishing, Trigger::Ring, Ringing),
        (Establishing, Trigger::Connect, Established),
        (Establishing, Trigger::HangUp, Terminating),
        (Establishing, Trigger::End, Terminated),
        (Ringing, Trigger::Connect, Established),
        (Ringing, Trigger::HangUp, Terminating),
        (Ringing, Trigger::End, Terminated),
        (Established, Trigger::Hold, Hold),
        (Established, Trigger::Transfer, Transferring),
        (Established, Trigger::HangUp, Terminating),
        (Established, Trigger::End, Terminated),
        (Hold, Trigger::Resume, Established),
        (Hold, Trigger::Transfer, Transferring),
        (Hold, Trigger::HangUp, Terminating),
        (Hold, Trigger::End, Terminated),
        (Transferring, Trigger::AcceptTransfer, TransferAccepted),
        (Transferring, Trigger::FailTransfer, Established),
        (Transferring, Trigger::HangUp, Terminating),
        (Transferring, Trigger::End, Terminated),
        (TransferAccepted, Trigger::FailTransfer, Established),
        // Of a group call from which somebody else was transferred.
        (TransferAccepted, Trigger::Resume, Established),
        (TransferAccepted, Trigger::HangUp, Terminating),
        (TransferAccepted, Trigger::End, Terminated),
        (Redirecting, Trigger::End, Terminated),
        (Terminating, Trigger::Finish, Terminated),
    ]
};

impl State {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Incoming,
        Self::Establishing,
        Self::Ringing,
        Self::Established,
        Self::Hold,
        Self::Transferring,
        Self::TransferAccepted,
        Self::Redirecting,
        Self::Terminating,
        Self::Terminated,
    ];

    /// Where a trigger leads from here, if anywhere.
    #[must_use]
    pub fn next(self, trigger: Trigger) -> Option<Self> {
        TABLE.iter().find(|(from, by, _)| *from == self && *by == trigger).map(|(_, _, to)| *to)
    }

    /// Whether nothing leads from here.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Terminated)
    }

    /// Whether the sides were joined and are not parted yet.
    #[must_use]
    pub const fn is_connected(self) -> bool {
        matches!(self, Self::Established | Self::Hold | Self::Transferring | Self::TransferAccepted)
    }

    /// As the API names it.
    #[must_use]
    pub const fn to_graph(self) -> CallState {
        match self {
            Self::Incoming => CallState::Incoming,
            Self::Establishing => CallState::Establishing,
            Self::Ringing => CallState::Ringing,
            Self::Established => CallState::Established,
            Self::Hold => CallState::Hold,
            Self::Transferring => CallState::Transferring,
            Self::TransferAccepted => CallState::TransferAccepted,
            Self::Redirecting => CallState::Redirecting,
            Self::Terminating => CallState::Terminating,
            Self::Terminated => CallState::Terminated,
        }
    }

    /// From the API's name; `None` for a state of tomorrow.
    #[must_use]
    pub fn from_graph(state: &CallState) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.to_graph() == *state)
    }
}

impl Trigger {
    /// Every trigger.
    pub const ALL: [Self; 13] = [
        Self::Answer,
        Self::Reject,
        Self::Redirect,
        Self::Ring,
        Self::Connect,
        Self::Hold,
        Self::Resume,
        Self::Transfer,
        Self::AcceptTransfer,
        Self::FailTransfer,
        Self::HangUp,
        Self::Finish,
        Self::End,
    ];
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_edge_is_there_once_and_every_state_can_end() {
        for (index, (from, by, _)) in TABLE.iter().enumerate() {
            let twice = TABLE[index + 1..].iter().any(|(f, b, _)| f == from && b == by);
            assert!(!twice, "{from:?} by {by:?} is there twice");
        }
        for state in State::ALL {
            let ends = [Trigger::End, Trigger::Finish].iter().any(|t| state.next(*t).is_some());
            assert_eq!(ends, !state.is_final(), "{state:?}");
        }
    }

    #[test]
    fn every_state_has_the_api_name_it_came_from() {
        for state in State::ALL {
            assert_eq!(State::from_graph(&state.to_graph()), Some(state));
        }
        assert_eq!(State::from_graph(&CallState::Other("levitating".into())), None);
    }

    proptest! {
        #[test]
        fn any_sequence_of_triggers_stays_in_the_table_and_nothing_follows_the_end(
            outgoing in any::<bool>(),
            steps in proptest::collection::vec(0..Trigger::ALL.len(), 0..40),
        ) {
            let mut state = if outgoing { State::Establishing } else { State::Incoming };
            let mut over = false;
            for step in steps {
                let trigger = Trigger::ALL[step];
                if let Some(next) = state.next(trigger) {
                    prop_assert!(!over, "{:?} left the final state", trigger);
                    prop_assert!(TABLE.contains(&(state, trigger, next)));
                    state = next;
                }
                over = state.is_final();
            }
        }
    }
}
