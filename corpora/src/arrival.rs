//! One datagram of a recording, as it arrived.

use std::time::Duration;

use bytes::Bytes;

use crate::flow::FlowId;
use crate::recording::RouteId;

/// A UDP payload, and when and where it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Since the first arrival of the recording.
    pub offset: Duration,
    /// From whom to whom.
    pub route: RouteId,
    /// The flow that it belongs to; of RTCP, the flow of its sender; `None` if there is none.
    pub flow: Option<FlowId>,
    /// What it is.
    pub kind: ArrivalKind,
    /// Bytes of its end that the capture lacks (at most 65,535).
    pub missing: u16,
    /// The UDP payload: a slice of the file.
    pub payload: Bytes,
}

/// What a datagram is, as far as its first bytes and its neighbours tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArrivalKind {
    /// RTP of a flow that was found.
    Rtp,
    /// RTCP.
    Rtcp,
    /// Anything else, damaged RTP included; it takes the same route as its neighbours.
    Other,
}
