//! The calling platform in a live world: [`Service`] behind the one door. People's phones
//! are elsewhere ([`people`](super::people)); it remembers which legs have one, what phones
//! elsewhere are answered, and what was left in voicemail boxes.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use callrig_media::datagram::Datagram;
use callrig_media::description::Description;
use callrig_media::time::Instant;
use callrig_signaling::exchange::{self, Output as Does};
use callrig_signaling::id::{LegId, UserId};
use callrig_signaling::service::Service;

use crate::actor::{Actor, Input, Output};
use crate::said::Said;
use crate::world::live::capture::Tap;

/// How many messages in voicemail boxes are kept; each is up to two minutes.
pub const VOICEMAILS_MAX: usize = 64;

/// A message in a voicemail box.
#[derive(Clone, Debug)]
pub struct Voicemail {
    /// The leg of the box.
    pub leg: LegId,
    /// Whose box.
    pub user: UserId,
    /// A WAV file.
    pub file: Bytes,
}

/// The platform.
#[derive(Debug)]
pub struct Platform {
    /// The machine; commands go straight to it.
    pub service: Service,
    /// Legs whose phone wants to hear of them.
    pub phones: HashSet<LegId>,
    /// Legs whose phone is elsewhere, with what the platform answers it once their call is there.
    pub elsewhere: HashMap<LegId, Option<Description>>,
    voicemails: VecDeque<Voicemail>,
    /// Legs of which somebody wants a recording.
    taps: HashMap<LegId, Tap>,
}

impl Platform {
    /// A platform around a service.
    #[must_use]
    pub fn new(service: Service) -> Self {
        Self {
            service,
            phones: HashSet::new(),
            elsewhere: HashMap::new(),
            voicemails: VecDeque::new(),
            taps: HashMap::new(),
        }
    }

    /// What passes on a leg goes there from now on, and nowhere else; `false` if the leg has no
    /// media.
    pub fn tap(&mut self, now: Instant, leg: LegId, tap: Tap) -> bool {
        let taps = self.service.capture(now, leg, true);
        if taps {
            self.taps.insert(leg, tap);
        }
        taps
    }

    /// Something passed on a leg.
    pub fn passed(&mut self, now: Instant, leg: LegId, outgoing: bool, datagram: &Datagram) {
        if self.taps.get(&leg).is_some_and(|tap| tap.pass(now, outgoing, datagram)) {
            return;
        }
        self.taps.remove(&leg);
        self.service.capture(now, leg, false);
    }

    /// Nothing more passes on a leg.
    pub fn untap(&mut self, leg: LegId) {
        self.taps.remove(&leg);
    }

    /// Keeps a message; the oldest makes room.
    pub fn keep(&mut self, message: Voicemail) {
        if self.voicemails.len() >= VOICEMAILS_MAX {
            self.voicemails.pop_front();
        }
        self.voicemails.push_back(message);
    }

    /// The messages that are kept, oldest first.
    pub fn voicemails(&self) -> impl Iterator<Item = &Voicemail> {
        self.voicemails.iter()
    }
}

impl Actor for Platform {
    fn handle_input(&mut self, now: Instant, input: Input) {
        let input = match input {
            Input::Datagram(datagram) => exchange::Input::Datagram(datagram),
            Input::Request(request) => exchange::Input::Request(request),
            Input::Response(response) => exchange::Input::Response(response),
            Input::Failed(failure) => exchange::Input::Failed(failure),
            // Nobody gives orders in a live world: commands come through the inbox.
            Input::Timeout | Input::Order(..) => exchange::Input::Timeout,
        };
        self.service.handle_input(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        Some(match self.service.poll_output()? {
            Does::Request(request) => Output::Request(request),
            Does::Response(response) => Output::Response(response),
            Does::Datagram(datagram) => Output::Datagram(datagram),
            Does::Event(event) => Output::Said(Said::Service(Box::new(event))),
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.service.poll_timeout()
    }
}
