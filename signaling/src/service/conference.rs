//! Conversations: the legs that hear one another. A peer-to-peer call is a conversation
//! of two, and what the API shows as participants is made from the legs and from nothing
//! else, so that a conversation can grow without anything being carried over.

use std::collections::BTreeMap;

use callrig_media::description::Description;
use serde::{Deserialize, Serialize};

use crate::graph;
use crate::id::{CallId, LegId, TenantId, UserId};

/// Who a leg belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Party {
    /// A person of the directory.
    User(UserId),
    /// A bot, by its call.
    Bot(CallId),
}

/// Where a leg stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is being called.
    Ringing,
    /// It called, and waits for an answer.
    Calling,
    /// It is in.
    Joined,
}

/// One leg.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) party: Party,
    pub(crate) standing: Standing,
    pub(crate) info: graph::ParticipantInfo,
    /// What the person described (offered, or answered).
    pub(crate) description: Option<Description>,
}

/// The legs that hear one another.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) tenant: TenantId,
    pub(crate) legs: BTreeMap<LegId, Leg>,
}

impl Conversation {
    pub(crate) const fn new(tenant: TenantId) -> Self {
        Self { tenant, legs: BTreeMap::new() }
    }

    /// The calls of its bots.
    pub(crate) fn calls(&self) -> Vec<CallId> {
        self.legs
            .values()
            .filter_map(|leg| match leg.party {
                Party::Bot(call) => Some(call),
                Party::User(_) => None,
            })
            .collect()
    }

    /// The legs of its people.
    pub(crate) fn people(&self) -> Vec<LegId> {
        self.legs
            .iter()
            .filter(|(_, leg)| matches!(leg.party, Party::User(_)))
            .map(|(id, _)| *id)
            .collect()
    }
}
