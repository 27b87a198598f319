//! Whose datagrams are whose: a capture taken between two hosts holds both directions,
//! and a call has a phone on one side. All that one host sends to another is one phone;
//! where everything happens on one host, all that goes to one port (and to its RTCP
//! neighbour) is.

use core::net::{IpAddr, SocketAddr};

use callrig_corpora::flow::{self, Confidence, FlowId};
use callrig_corpora::manifest::Entry;
use callrig_corpora::recording::{Recording, Route, RouteId};

use crate::schedule::{Departure, Schedule, ScheduleError};
use crate::subject::{Flow, FlowPayload};

/// One phone in a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone {
    routes: Vec<RouteId>,
    flows: Vec<FlowId>,
    /// Only packets of its flows; what else takes the same way is not its business.
    only_flows: bool,
}

/// What tells phones apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Hosts(IpAddr, IpAddr),
    Port(SocketAddr),
}

impl Key {
    fn of(route: Route) -> Self {
        let (from, to) = (route.source, route.destination);
        if from.ip() != to.ip() {
            return Self::Hosts(from.ip(), to.ip());
        }
        // RTCP runs on the odd port above its RTP (RFC 3550 section 11).
        let mut even = to;
        even.set_port(to.port() & !1);
        Self::Port(even)
    }
}

/// The phones that send RTP, in order of their first packet; with `only`, those that send
/// these sources.
#[must_use]
pub fn of(recording: &Recording, only: &[u32]) -> Vec<Phone> {
    let mut phones: Vec<(Key, Phone)> = Vec::new();
    let wanted = |flow: &&flow::Flow| only.is_empty() || only.contains(&flow.ssrc);
    for flow in recording.flows.iter().filter(wanted) {
        let key = Key::of(recording.route(flow.route));
        if let Some((_, phone)) = phones.iter_mut().find(|(known, _)| *known == key) {
            phone.flows.push(flow.id);
            continue;
        }
        let belongs = |index: &u16| Key::of(recording.route(RouteId(*index))) == key;
        let routes = (0..recording.routes.len() as u16).filter(belongs).map(RouteId).collect();
        let phone = Phone { routes, flows: vec![flow.id], only_flows: !only.is_empty() };
        phones.push((key, phone));
    }
    phones.into_iter().map(|(_, phone)| phone).collect()
}

impl Phone {
    /// The flows that it sends, in order of their first packet.
    pub fn sent<'a>(
        &'a self,
        recording: &'a Recording,
    ) -> impl Iterator<Item = &'a flow::Flow> + 'a {
        self.flows.iter().map(|id| recording.flow(*id))
    }

    /// Its streams, as reports show them.
    #[must_use]
    pub fn flows(&self, recording: &Recording, entry: Option<&Entry>) -> Vec<Flow> {
        self.sent(recording).map(|flow| shown(flow, entry)).collect()
    }

    /// All that it sends: RTP, RTCP, and whatever else takes the same way.
    ///
    /// # Errors
    /// There is nothing, or too much.
    pub fn schedule(&self, recording: &Recording) -> Result<Schedule, ScheduleError> {
        let all = !self.only_flows && self.routes.len() == recording.routes.len();
        let mine = recording.arrivals.iter().filter(|arrival| {
            let flow_is_mine = || arrival.flow.is_some_and(|flow| self.flows.contains(&flow));
            all || if self.only_flows {
                flow_is_mine()
            } else {
                self.routes.contains(&arrival.route)
            }
        });
        let mut departures: Vec<Departure> = mine
            .map(|arrival| Departure { after: arrival.offset, payload: arrival.payload.clone() })
            .collect();
        let began = departures.first().map(|departure| departure.after).unwrap_or_default();
        for departure in &mut departures {
            departure.after -= began;
        }
        Schedule::new(departures)
    }
}

fn shown(flow: &flow::Flow, entry: Option<&Entry>) -> Flow {
    let payloads = flow.payloads.iter().map(|payload| FlowPayload {
        payload_type: payload.payload_type,
        codec: payload.codec.as_ref().map_or("?", |codec| codec.name()).to_owned(),
        clock_rate: payload.clock_rate.unwrap_or(0),
        guessed: (payload.confidence != Confidence::Stated)
            .then(|| format!("{} ({} confidence)", payload.reason, payload.confidence)),
    });
    let stated = entry.and_then(|entry| entry.flows.iter().find(|known| known.ssrc == flow.ssrc));
    Flow {
        ssrc: flow.ssrc,
        source: flow.source.to_string(),
        destination: flow.destination.to_string(),
        payloads: payloads.collect(),
        packets: flow.packets,
        truth: stated.and_then(|stated| stated.truth.clone()),
    }
}
