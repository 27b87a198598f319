//! The calling platform as an inhabitant of a world: [`Service`] with its hands (requests,
//! responses, datagrams) and its ears (the taps of people on their phones).

use std::collections::VecDeque;

use callrig_media::time::{Epoch, Instant};
use callrig_signaling::event::Event;
use callrig_signaling::exchange::{self, Output as Does};
use callrig_signaling::id::LegId;
use callrig_signaling::service::{CommandError, Config, ConfigError, Destination, Service};

use crate::actor::{Actor, ActorId, Input, Output};
use crate::order::Order;
use crate::said::{Leg, Said};

/// How many people's legs are remembered; the oldest is forgotten first.
const PEOPLE_MAX: usize = 100_000;

/// The platform.
pub struct Platform {
    service: Service,
    people: VecDeque<(LegId, ActorId)>,
    /// Legs in order of first mention: how a trace numbers them.
    legs: Vec<LegId>,
    waiting: VecDeque<Output>,
}

impl Platform {
    /// A platform.
    ///
    /// # Errors
    /// The configuration contradicts itself.
    pub fn new(config: Config, epoch: Epoch, seed: u64) -> Result<Self, ConfigError> {
        Ok(Self {
            service: Service::new(config, epoch, seed)?,
            people: VecDeque::new(),
            legs: Vec::new(),
            waiting: VecDeque::new(),
        })
    }

    fn obey(&mut self, now: Instant, from: ActorId, order: Order) {
        match order {
            Order::Ring { user, app, offer } => {
                let rung = self.service.ring_bot(now, &user, &app, offer);
                self.admit(from, rung.map(|ringing| ringing.leg));
            }
            Order::Join { user, app, offer } => {
                let held = self.service.calls().find(|call| call.app == app);
                let place = held.map(|call| Destination::Call(call.id));
                let joined = place.ok_or(CommandError::NoConference);
                let joined = joined.and_then(|at| self.service.join(now, &user, &at, offer));
                self.admit(from, joined.map(|arrival| arrival.leg));
            }
            Order::HangUp { leg } => {
                // Gone already: the bot was quicker, and the person is told so anyway.
                let _ = self.service.hang_up(now, leg);
            }
            Order::Ringing { .. }
            | Order::Refused { .. }
            | Order::Answered { .. }
            | Order::Ended { .. } => {}
        }
    }

    /// Somebody has a leg, or is told why not.
    fn admit(&mut self, from: ActorId, leg: Result<LegId, CommandError>) {
        let answer = match leg {
            Ok(leg) => {
                if self.people.len() >= PEOPLE_MAX {
                    self.people.pop_front();
                }
                self.people.push_back((leg, from));
                Order::Ringing { leg }
            }
            Err(error) => Order::Refused { reason: error.to_string() },
        };
        self.waiting.push_back(Output::Order(from, Box::new(answer)));
    }

    fn person(&self, leg: LegId) -> Option<ActorId> {
        self.people.iter().find(|(known, _)| *known == leg).map(|(_, actor)| *actor)
    }

    fn leg(&mut self, leg: LegId) -> Leg {
        let place = self.legs.iter().position(|known| *known == leg);
        let place = place.unwrap_or_else(|| {
            self.legs.push(leg);
            self.legs.len() - 1
        });
        Leg(u16::try_from(place).unwrap_or(u16::MAX))
    }

    fn translate(&mut self, event: Event) -> Output {
        match event {
            Event::Media { leg, event, .. } => Output::Said(Said::media(self.leg(leg), event)),
            other => {
                self.tell_person(&other);
                Output::Said(Said::Service(Box::new(other)))
            }
        }
    }

    fn tell_person(&mut self, event: &Event) {
        let (leg, order) = match event {
            Event::UserAnswered { leg, description, .. } => {
                (*leg, Order::Answered { description: description.clone() })
            }
            Event::LegEnded { leg, result } => {
                (*leg, Order::Ended { code: result.code, message: result.message.clone() })
            }
            _ => return,
        };
        if let Some(person) = self.person(leg) {
            self.waiting.push_back(Output::Order(person, Box::new(order)));
        }
    }
}

impl Actor for Platform {
    fn handle_input(&mut self, now: Instant, input: Input) {
        let input = match input {
            Input::Datagram(datagram) => exchange::Input::Datagram(datagram),
            Input::Request(request) => exchange::Input::Request(request),
            Input::Response(response) => exchange::Input::Response(response),
            Input::Failed(failure) => exchange::Input::Failed(failure),
            Input::Timeout => exchange::Input::Timeout,
            Input::Order(from, order) => return self.obey(now, from, *order),
        };
        self.service.handle_input(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.waiting.pop_front() {
            return Some(output);
        }
        Some(match self.service.poll_output()? {
            Does::Request(request) => Output::Request(request),
            Does::Response(response) => Output::Response(response),
            Does::Datagram(datagram) => Output::Datagram(datagram),
            Does::Event(event) => self.translate(event),
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.service.poll_timeout()
    }
}
