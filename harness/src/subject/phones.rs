//! Whose datagrams are whose: a capture of a call holds both directions, and a call has
//! a phone on one side. All that one host sends to another is one phone. Where everything
//! happens on one host, all that flows one way is: ports that receive are not its own.
//! Streams that use one payload type for two things cannot share a phone's one port, so
//! they get a phone each.

use core::net::SocketAddr;

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

/// The phones that send RTP, in order of their first packet; with `only`, those that send
/// these sources.
#[must_use]
pub fn of(recording: &Recording, only: &[u32]) -> Vec<Phone> {
    let mut phones: Vec<Phone> = Vec::new();
    let wanted = |flow: &&flow::Flow| only.is_empty() || only.contains(&flow.ssrc);
    for flow in recording.flows.iter().filter(wanted) {
        let route = recording.route(flow.route);
        let fits = |phone: &&mut Phone| {
            phone.sends_like(recording, route)
                && phone.sent(recording).all(|other| is_compatible(flow, other))
        };
        match phones.iter_mut().find(fits) {
            Some(phone) => {
                phone.flows.push(flow.id);
                if !phone.routes.contains(&flow.route) {
                    phone.routes.push(flow.route);
                }
            }
            None => phones.push(Phone {
                routes: vec![flow.route],
                flows: vec![flow.id],
                only_flows: !only.is_empty(),
            }),
        }
    }
    for index in 0..recording.routes.len() as u16 {
        let route = RouteId(index);
        if !recording.flows.iter().any(|flow| flow.route == route)
            && let Some(phone) =
                phones.iter_mut().find(|phone| phone.accompanies(recording, recording.route(route)))
        {
            phone.routes.push(route);
        }
    }
    phones
}

/// Whether two streams can share a port: no payload type means two things.
fn is_compatible(one: &flow::Flow, other: &flow::Flow) -> bool {
    one.payloads.iter().all(|payload| {
        other.payloads.iter().all(|theirs| {
            theirs.payload_type != payload.payload_type
                || (&theirs.codec, theirs.clock_rate) == (&payload.codec, payload.clock_rate)
        })
    })
}

impl Phone {
    /// Whether what takes this route may come from this phone.
    fn sends_like(&self, recording: &Recording, route: Route) -> bool {
        let hosts = |route: Route| (route.source.ip(), route.destination.ip());
        self.routes.iter().map(|known| recording.route(*known)).all(|known| {
            hosts(known) == hosts(route)
                && (route.source.ip() != route.destination.ip()
                    || (known.source != route.destination && known.destination != route.source))
        })
    }

    /// Whether this route goes along with one of its own: the same ports, or those of RTCP
    /// above them (RFC 3550 section 11).
    fn accompanies(&self, recording: &Recording, route: Route) -> bool {
        let even = |mut address: SocketAddr| {
            address.set_port(address.port() & !1);
            address
        };
        self.routes.iter().map(|known| recording.route(*known)).any(|known| {
            known.source.ip() == route.source.ip()
                && even(known.destination) == even(route.destination)
        })
    }

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
