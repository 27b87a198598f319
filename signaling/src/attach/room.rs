//! How much room there is for pictures on the way to those who see them, as their sources
//! are told of it: an encoder that keeps to it spares its viewers pictures that are left out.
//! A source is told what the best of its viewers has room for; who has less sees less (the
//! media session to it leaves pictures out).

use callrig_media::time::Instant;

use super::{Attachments, Output};
use crate::id::LegId;

/// Of what a way carries, so much is kept for sound and for what is sent again.
const KEPT: u64 = 64_000;

/// Less than this no source is asked to send: a camera shows nothing with it.
const LEAST: u64 = 50_000;

/// A change that is less than this share of what was told is not told.
const SHARE: u64 = 10;

/// What was learnt of one leg, and told to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// What the way to it carries.
    carries: Option<u64>,
    /// What it was told that its viewers have room for.
    limit: Option<u64>,
}

impl Attachments {
    /// The way to a leg carries so much: whoever it sees is told.
    pub(super) fn tell_sources(&mut self, now: Instant, leg: LegId, bits: u64) {
        let Some(open) = self.open_mut(leg) else { return };
        open.room.carries = Some(bits);
        let partner = open.relay.as_ref().map(|relay| relay.to());
        let seen = self.seen_by(leg);
        for source in partner.into_iter().chain(seen) {
            self.tell_source(now, source, partner.map(|_| leg));
        }
    }

    /// Tells a source what the best of those who see it has room for; nothing while that of
    /// one of them is not known.
    fn tell_source(&mut self, now: Instant, source: LegId, only: Option<LegId>) {
        let viewers = match only {
            Some(leg) => vec![leg],
            None => self.viewers_of(source),
        };
        let carries = |leg: &LegId| self.legs.get(leg)?.open.as_ref()?.room.carries;
        let known: Option<Vec<u64>> = viewers.iter().map(carries).collect();
        let Some(most) = known.and_then(|known| known.into_iter().max()) else { return };
        let most = most.saturating_sub(KEPT).max(LEAST);
        let Some(open) = self.open_mut(source) else { return };
        if open.room.limit.is_some_and(|told| told.abs_diff(most) <= told / SHARE) {
            return;
        }
        // Whoever sends layers spares everybody what they have no room for; all of them are wanted
        // as soon as there is room again.
        if open.sides.0.media.iter().any(|line| line.simulcast.is_some()) {
            return;
        }
        if !open.sides.0.media.iter().any(|line| line.kind.is_video() && !line.rejected) {
            return;
        }
        open.room.limit = Some(most);
        // A closed session has nobody to be told.
        let _ = open.session.limit_sender(now, most);
        self.pump_sent(source);
        self.outputs.push_back(Output::Moved(source));
    }
}
