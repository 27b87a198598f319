//! Two legs that are joined anew while their media flows, as after a transfer: what can
//! be passed on is turned to the other leg, what is taken apart already meets in a room
//! of two. No session that can be kept begins anew, so a person hears no gap and sees no
//! other address.

use callrig_media::description::Description;
use callrig_media::session::ConfigError;

use super::{Attachments, Event, Output, Purpose};
use crate::id::LegId;

impl Attachments {
    /// Whether a leg's session is open.
    pub(crate) fn is_open(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|attached| attached.open.is_some())
    }

    /// Whether a leg has its place in a room.
    pub(crate) fn is_seated(&self, leg: LegId) -> bool {
        self.seated.contains_key(&leg)
    }

    /// Whether what an open leg brings is passed on as it is.
    pub(crate) fn passes_on(&self, leg: LegId) -> bool {
        let open = self.legs.get(&leg).and_then(|attached| attached.open.as_deref());
        open.is_some_and(|open| open.purpose == Purpose::Relay)
    }

    /// What the peer of an open leg described.
    pub(crate) fn described(&self, leg: LegId) -> Option<&Description> {
        Some(&self.legs.get(&leg)?.open.as_deref()?.sides.1)
    }

    /// What comes in on one of two open legs goes out on the other from now on.
    pub(crate) fn join(&mut self, one: LegId, other: LegId) {
        let sides = |leg: LegId| Some(self.legs.get(&leg)?.open.as_deref()?.sides.clone());
        if let (Some(of_one), Some(of_other)) = (sides(one), sides(other)) {
            self.relay((one, &of_one), (other, &of_other));
        }
    }

    /// A leg hears nobody, and nobody hears it, until it is joined again.
    pub(crate) fn part(&mut self, leg: LegId) {
        self.unseat(leg);
        if let Some(open) = self.open_mut(leg) {
            open.relay = None;
            open.doing = None;
        }
    }

    /// The platform is the other side of a leg from now on. A session that relayed goes on by
    /// the same transport, with streams of its own.
    pub(crate) fn take_apart(&mut self, leg: LegId, seed: u64) -> Result<(), ConfigError> {
        let (epoch, certificate) = (self.epoch, self.shared.certificate().cloned());
        let Some(open) = self.open_mut(leg) else { return Ok(()) };
        open.relay = None;
        if open.purpose == Purpose::Terminate {
            return Ok(());
        }
        let stats = Box::new(open.session.stats());
        open.retarget(epoch, certificate.as_ref(), seed)?;
        open.purpose = Purpose::Terminate;
        self.outputs.push_back(Output::Event(leg, Event::Ended(stats)));
        Ok(())
    }
}
