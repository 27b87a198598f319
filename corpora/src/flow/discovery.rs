//! Finds RTP among UDP datagrams, by what RFC 3550 appendix A.1 checks: version, a steady SSRC,
//! and sequence numbers that go on from where they were.

use std::collections::HashMap;
use std::time::Duration;

use super::description::Descriptions;
use super::guess::{self, Samples};
use super::{CANDIDATES_MAX, Confidence, Flow, FlowId, FlowPayload, Hints, PAYLOADS_MAX};
use crate::arrival::{Arrival, ArrivalKind};
use crate::recording::{Route, RouteId};
use crate::rtp::{self, Class, Header};

/// A step of the sequence number up to this, in either direction, counts as going on.
const STEP_MAX: u16 = 16;
/// From so many packets on a flow is told with high confidence.
const PACKETS_SURE: u64 = 10;

/// Places for recently seen candidates.
const RECENT: usize = 64;

/// What became of a datagram.
pub(crate) struct Observed {
    pub(crate) kind: ArrivalKind,
    /// Index of the candidate until flows are told from candidates.
    pub(crate) candidate: Option<FlowId>,
    pub(crate) dropped_source: bool,
}

/// The flows, and which candidate became which.
pub(crate) struct Verdicts {
    pub(crate) flows: Vec<Flow>,
    pub(crate) of_candidate: Vec<Option<FlowId>>,
}

/// An SSRC on a route that may be a flow.
struct Candidate {
    route: RouteId,
    ssrc: u32,
    packets: u64,
    bytes: u64,
    /// Packets whose sequence number goes on from that of the packet before.
    steady: u64,
    last_sequence: u16,
    first_at: u64,
    last_at: u64,
    payloads: Vec<PayloadOf>,
}

struct PayloadOf {
    payload_type: u8,
    packets: u64,
    samples: Samples,
}

/// Follows all SSRCs while a file is read.
pub(crate) struct Discovery {
    candidates: Vec<Candidate>,
    by_source: HashMap<(RouteId, u32), FlowId>,
    /// Recently seen candidates, by a hash of a few instructions: a capture has few at a time.
    recent: [Option<FlowId>; RECENT],
}

impl Discovery {
    pub(crate) fn new() -> Self {
        Self { candidates: Vec::new(), by_source: HashMap::new(), recent: [None; RECENT] }
    }

    #[inline]
    pub(crate) fn observe(
        &mut self,
        route: RouteId,
        at: u64,
        index: u32,
        datagram: &[u8],
        cut: bool,
    ) -> Observed {
        let header = match rtp::classify(datagram, cut) {
            Class::Rtp(header) => header,
            class => {
                let rtcp = matches!(class, Class::Rtcp(_));
                let kind = if rtcp { ArrivalKind::Rtcp } else { ArrivalKind::Other };
                return Observed { kind, candidate: None, dropped_source: false };
            }
        };
        let Some(id) = self.candidate(route, &header, at) else {
            let kind = ArrivalKind::Other;
            return Observed { kind, candidate: None, dropped_source: true };
        };
        let candidate = &mut self.candidates[usize::from(id.0)];
        candidate.add(&header, at, index, datagram.len());
        Observed { kind: ArrivalKind::Rtp, candidate: Some(id), dropped_source: false }
    }

    #[inline]
    fn candidate(&mut self, route: RouteId, header: &Header, at: u64) -> Option<FlowId> {
        let mixed = (header.ssrc ^ (u32::from(route.0) << 7)).wrapping_mul(0x9e37_79b1);
        let slot = (mixed >> 26) as usize % RECENT;
        if let Some(id) = self.recent[slot] {
            let known = &self.candidates[usize::from(id.0)];
            if known.ssrc == header.ssrc && known.route == route {
                return Some(id);
            }
        }
        let id = match self.by_source.get(&(route, header.ssrc)) {
            Some(id) => *id,
            None if self.candidates.len() >= CANDIDATES_MAX => return None,
            None => {
                let id = FlowId(self.candidates.len() as u16);
                self.candidates.push(Candidate::new(route, header, at));
                self.by_source.insert((route, header.ssrc), id);
                id
            }
        };
        self.recent[slot] = Some(id);
        Some(id)
    }

    /// Tells which candidates are flows, and what they carry.
    pub(crate) fn conclude(
        &self,
        arrivals: &[Arrival],
        routes: &[Route],
        hints: &Hints,
        descriptions: &Descriptions,
        start: u64,
    ) -> Verdicts {
        let mut flows = Vec::new();
        let mut of_candidate = vec![None; self.candidates.len()];
        for (candidate, place) in self.candidates.iter().zip(&mut of_candidate) {
            let route = routes[usize::from(candidate.route.0)];
            let ports = (route.source.port(), route.destination.port());
            let described = descriptions.knows(ports.0, ports.1);
            let Some((confidence, reason)) = candidate.judge(ports, hints, described) else {
                continue;
            };
            let id = FlowId(flows.len() as u16);
            *place = Some(id);
            let payloads = candidate.payloads(arrivals, |payload_type| {
                stated(payload_type, ports, hints, descriptions)
            });
            flows.push(Flow {
                id,
                route: candidate.route,
                source: route.source,
                destination: route.destination,
                ssrc: candidate.ssrc,
                payloads,
                packets: candidate.packets,
                bytes: candidate.bytes,
                first: Duration::from_nanos(candidate.first_at.saturating_sub(start)),
                last: Duration::from_nanos(candidate.last_at.saturating_sub(start)),
                confidence,
                reason,
            });
        }
        Verdicts { flows, of_candidate }
    }
}

/// What somebody says a payload type stands for: the user, a description, RFC 3551, in that order.
fn stated(
    payload_type: u8,
    (source, destination): (u16, u16),
    hints: &Hints,
    descriptions: &Descriptions,
) -> Option<guess::Guess> {
    let said = |(codec, rate), reason: &str| guess::Guess {
        codec: Some(codec),
        clock_rate: Some(rate),
        confidence: Confidence::Stated,
        reason: reason.to_owned(),
    };
    if let Some(hint) = hints.payload_types.get(&payload_type) {
        return Some(said(hint.clone(), "given as a hint"));
    }
    if let Some(known) = descriptions.codec(source, destination, payload_type) {
        return Some(said(known, "a session description in the capture says so"));
    }
    let known = crate::codec::Codec::of_static_type(payload_type)?;
    Some(said(known, "RFC 3551 assigns the payload type"))
}

impl Candidate {
    fn new(route: RouteId, header: &Header, at: u64) -> Self {
        Self {
            route,
            ssrc: header.ssrc,
            packets: 0,
            bytes: 0,
            steady: 0,
            last_sequence: header.sequence_number,
            first_at: at,
            last_at: at,
            payloads: Vec::new(),
        }
    }

    #[inline]
    fn add(&mut self, header: &Header, at: u64, index: u32, length: usize) {
        let step = header.sequence_number.wrapping_sub(self.last_sequence);
        let near = step <= STEP_MAX || step.wrapping_neg() <= STEP_MAX;
        self.steady += u64::from(self.packets > 0 && near);
        self.last_sequence = header.sequence_number;
        self.packets += 1;
        self.bytes += length as u64;
        // Captures of several interfaces may run backwards.
        self.first_at = self.first_at.min(at);
        self.last_at = self.last_at.max(at);
        let payload_type = header.payload_type;
        let known = self.payloads.iter().position(|known| known.payload_type == payload_type);
        let place = match known {
            Some(place) => place,
            None if self.payloads.len() >= PAYLOADS_MAX => return,
            None => {
                let samples = Samples::new(header, at);
                self.payloads.push(PayloadOf { payload_type, packets: 0, samples });
                self.payloads.len() - 1
            }
        };
        let payload = &mut self.payloads[place];
        payload.packets += 1;
        payload.samples.add(header, at, index);
    }

    fn judge(
        &self,
        (source, destination): (u16, u16),
        hints: &Hints,
        described: bool,
    ) -> Option<(Confidence, String)> {
        let n = self.packets;
        let hinted = hints.ports.contains(&source) || hints.ports.contains(&destination);
        if !hints.ports.is_empty() && !hinted {
            return None;
        }
        let steps = n - 1;
        let counted = format!("{} of {steps} steps of the sequence number go on", self.steady);
        let plausible = n >= 2 && self.steady * 2 >= steps;
        if hinted && (plausible || n == 1) {
            return Some((Confidence::Stated, format!("the port is given as a hint; {counted}")));
        }
        if described && (plausible || n == 1) {
            let reason = format!("a session description names the port; {counted}");
            return Some((Confidence::Stated, reason));
        }
        let confidence = match n {
            _ if !plausible => return None,
            PACKETS_SURE.. if self.steady * 10 >= steps * 8 => Confidence::High,
            3.. => Confidence::Medium,
            _ => Confidence::Low,
        };
        Some((confidence, format!("RTP version 2, {n} packets of one SSRC; {counted}")))
    }

    fn payloads(
        &self,
        arrivals: &[Arrival],
        stated: impl Fn(u8) -> Option<guess::Guess>,
    ) -> Vec<FlowPayload> {
        let mut payloads: Vec<FlowPayload> = self
            .payloads
            .iter()
            .map(|payload| {
                let guess = stated(payload.payload_type)
                    .unwrap_or_else(|| payload.samples.guess(arrivals, self.payloads.len() > 1));
                FlowPayload {
                    payload_type: payload.payload_type,
                    codec: guess.codec,
                    clock_rate: guess.clock_rate,
                    confidence: guess.confidence,
                    reason: guess.reason,
                    packets: payload.packets,
                }
            })
            .collect();
        guess::share_clock(&mut payloads);
        payloads
    }
}
