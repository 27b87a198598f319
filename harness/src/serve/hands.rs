//! What becomes of what a shard of the live platform does: requests go to the client,
//! events are counted, shown and told to the people, addresses get their sockets.

use std::sync::Arc;

use callrig_media::event::Event as MediaEvent;
use callrig_signaling::event::Event;
use callrig_signaling::http::Request;
use callrig_signaling::id::LegId;
use tokio::runtime;

use super::client::Client;
use super::gauges::{Counting, Gauges};
use super::timeline::{Answer, Exchange, Timeline, What};
use crate::actor::Output;
use crate::said::Said;
use crate::world::live::people::{People, Switchboard as _};
use crate::world::live::platform::{Platform, Voicemail};
use crate::world::live::shard::{self, Handle, Inside};

/// The hands of one shard.
#[derive(Clone)]
pub struct Hands {
    /// Where requests are sent from.
    pub runtime: runtime::Handle,
    /// What sends them.
    pub client: Client,
    /// The shard itself: for what becomes of them.
    pub shard: Handle<Platform>,
    /// The people.
    pub people: Handle<People>,
    /// Those who watch.
    pub timeline: Arc<Timeline>,
    /// Those who count.
    pub gauges: Arc<Gauges>,
}

/// [`Hands`], with what they count.
pub struct Busy {
    hands: Hands,
    counting: Counting,
}

impl Busy {
    /// Hands that have done nothing yet.
    #[must_use]
    pub fn new(hands: Hands) -> Self {
        let counting = Counting::new(&hands.gauges);
        Self { hands, counting }
    }

    fn send(&self, request: Request) {
        let Hands { client, shard, timeline, .. } = self.hands.clone();
        self.hands.runtime.spawn(async move {
            let id = request.id.0;
            timeline.push(|| What::Sent(exchange(id, &request)));
            let began = std::time::Instant::now();
            let outcome = client.send(request).await;
            timeline.push(|| {
                let took = began.elapsed();
                let outcome = match &outcome {
                    Ok(answer) => Ok((answer.status, answer.headers.clone(), answer.body.clone())),
                    Err(failure) => Err(failure.reason.clone()),
                };
                What::Answered(Answer { id, took, outcome })
            });
            shard.outcome(outcome).await;
        });
    }

    /// Whether the platform was touched.
    fn hear(&mut self, event: Event, inside: &mut Inside<'_, Platform>) -> bool {
        if let Event::Media { leg, event: MediaEvent::Passed { outgoing, datagram }, .. } = &event {
            inside.actor.passed(inside.now, *leg, *outgoing, datagram);
            return false;
        }
        self.counting.count(&self.hands.gauges, &event);
        let touched = match &event {
            Event::AddressTaken { leg, address } => match inside.sockets.open(*address) {
                Ok(_) => false,
                Err(error) => {
                    tracing::error!(%address, %error, "no socket for the media of a leg");
                    let reason = format!("no socket at {address}: {error}");
                    inside.actor.service.media_failed(inside.now, *leg, &reason);
                    true
                }
            },
            Event::AddressReleased { address, .. } => {
                inside.sockets.close(*address);
                false
            }
            Event::UserRung { leg, call, user, offer } => {
                inside.actor.phones.insert(*leg);
                let (leg, call, user, offer) = (*leg, *call, user.clone(), offer.clone());
                self.tell(leg, move |people| people.rung(leg, call, user, offer));
                false
            }
            Event::UserAnswered { leg, description, .. } => {
                if let Some(answer) = inside.actor.elsewhere.get_mut(leg) {
                    *answer = Some(description.clone());
                }
                if inside.actor.phones.contains(leg) {
                    let (leg, description) = (*leg, description.clone());
                    self.tell(leg, move |people| people.answered(leg, description));
                }
                false
            }
            Event::VoicemailLeft { leg, user, message: Some(file) } => {
                let (leg, user, file) = (*leg, user.clone(), file.clone());
                inside.actor.keep(Voicemail { leg, user, file });
                false
            }
            Event::LegEnded { leg, .. } => {
                inside.actor.elsewhere.remove(leg);
                inside.actor.untap(*leg);
                if inside.actor.phones.remove(leg) {
                    let leg = *leg;
                    self.tell(leg, move |people| people.ended(leg));
                }
                false
            }
            _ => false,
        };
        log(&event);
        if is_shown(&event) {
            self.hands.timeline.push(|| What::Event(Box::new(event)));
        }
        touched
    }

    fn tell(&self, leg: LegId, command: impl FnOnce(&mut Inside<'_, People>) + Send + 'static) {
        if let Err(error) = self.hands.people.tell(command) {
            tracing::error!(%leg, %error, "a phone cannot be told what happens to its call");
        }
    }
}

impl shard::Hands<Platform> for Busy {
    fn carry_out(&mut self, output: Output, inside: &mut Inside<'_, Platform>) -> bool {
        match output {
            Output::Request(request) => {
                self.send(request);
                false
            }
            Output::Said(Said::Service(event)) => self.hear(*event, inside),
            Output::Datagram(_) | Output::Response(_) | Output::Order(..) | Output::Said(_) => {
                false
            }
        }
    }
}

/// A request, for those who watch.
#[must_use]
pub fn exchange(id: u64, request: &Request) -> Exchange {
    Exchange {
        id,
        method: request.method,
        uri: request.uri.clone(),
        headers: request.headers.clone(),
        body: request.body.clone(),
    }
}

/// Requests and what was sent are shown as themselves, addresses are nobody's interest, and
/// what may be said of every packet is counted, not shown: a flood of packets would be a
/// flood of words, and whoever shows them takes a lock.
const fn is_shown(event: &Event) -> bool {
    match event {
        Event::RequestServed { .. }
        | Event::AddressTaken { .. }
        | Event::AddressReleased { .. }
        | Event::RelayDropped { .. }
        | Event::Dropped { .. } => false,
        Event::Media { event, .. } => matches!(
            event,
            MediaEvent::StreamStarted(_)
                | MediaEvent::StreamEnded { .. }
                | MediaEvent::Tone(_)
                | MediaEvent::BandwidthEstimated { .. }
                | MediaEvent::SourceChanged { .. }
        ),
        _ => true,
    }
}

fn log(event: &Event) {
    match event {
        Event::CallStateChanged { call, app, state } => {
            tracing::info!(%call, %app, ?state, "call");
        }
        Event::CallEnded { call, result } => {
            let (code, subcode) = (result.code, result.subcode);
            tracing::info!(%call, code, subcode, message = %result.message, "call ended");
        }
        Event::NotificationGivenUp { call, attempts, reason, .. } => {
            tracing::warn!(%call, attempts, %reason, "a notification was given up");
        }
        _ => {}
    }
}
