//! What the rig notes of media that the bot handles itself.

use callrig_media::datagram::Datagram;
use callrig_media::event::{DropReason, Dropped, Event as Media};
use callrig_media::time::Instant;
use callrig_signaling::event::Event;
use callrig_signaling::exchange;

use super::super::capture::Way;
use super::super::transcript::Transcript;
use super::super::wire::{Packet, Source, Wire};
use super::Rig;
use super::person::Noted;

/// Packets of the bot's that are being lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Losing {
    until: Instant,
    every: u32,
    count: u32,
}

impl Losing {
    pub(super) const fn new(until: Instant, every: u32) -> Self {
        Self { until, every, count: 0 }
    }
}

impl Rig {
    /// Something of the bot's media comes in, unless it is lost on purpose.
    pub(super) fn take_datagram(&mut self, now: Instant, datagram: Datagram) {
        if let Some(losing) = self.losing.as_mut().filter(|losing| now < losing.until) {
            losing.count += 1;
            if losing.count.is_multiple_of(losing.every) {
                let mut written = self.written();
                let wire = &mut written.wire;
                return Wire::keep(&mut wire.lost, &mut wire.left_out, now);
            }
        }
        {
            let mut written = self.written();
            let wire = &mut written.wire;
            if wire.ended.is_some() {
                Wire::keep(&mut wire.late, &mut wire.left_out, now);
            }
        }
        self.service.handle_input(now, exchange::Input::Datagram(datagram));
    }

    /// What the platform says of the bot's media.
    pub(super) fn hear_of_media(&self, now: Instant, event: Event) {
        let mut written = self.written();
        let Transcript { wire, capture, .. } = &mut *written;
        match event {
            Event::Media { event: Media::Passed { outgoing, datagram }, .. } => {
                let way = if outgoing { Way::ToBot } else { Way::FromBot };
                capture.keep(now, way, &datagram);
            }
            Event::Media { leg, event, .. }
                if self.people.iter().all(|who| who.leg != Some(leg)) =>
            {
                note(wire, now, &event);
            }
            Event::RelayDropped { leg, .. }
                if self.people.iter().all(|who| who.leg != Some(leg)) =>
            {
                let dropped = Dropped {
                    reason: DropReason::NotNegotiated,
                    ssrc: None,
                    sequence_number: None,
                    arrived: now,
                };
                Wire::keep(&mut wire.dropped, &mut wire.left_out, dropped);
            }
            Event::MediaEnded { leg, stats, .. }
                if self.people.iter().all(|who| who.leg != Some(leg)) =>
            {
                wire.ended = Some(now);
                wire.stats = Some(stats);
            }
            _ => {}
        }
    }

    /// What Ann's telephone noted.
    pub(super) fn take_notes(&mut self) {
        let notes = core::mem::take(&mut self.people[0].noted);
        if notes.is_empty() {
            return;
        }
        let mut written = self.written();
        let wire = &mut written.wire;
        let left_out = &mut wire.left_out;
        for note in notes {
            match note {
                Noted::Heard(level) => Wire::keep(&mut wire.heard, left_out, level),
                Noted::Said(level) => Wire::keep(&mut wire.said, left_out, level),
                Noted::Shown(at) => Wire::keep(&mut wire.shown, left_out, at),
                Noted::Asked(at) => Wire::keep(&mut wire.asked, left_out, at),
                Noted::Seen(frame) => Wire::keep(&mut wire.seen, left_out, frame),
                Noted::Unseen(at, cause) => Wire::keep(&mut wire.unseen, left_out, (at, cause)),
                Noted::Unusable(dropped) => Wire::keep(&mut wire.unusable, left_out, dropped),
            }
        }
    }
}

fn note(wire: &mut Wire, at: Instant, event: &Media) {
    let left_out = &mut wire.left_out;
    match event {
        Media::Packet(packet) => {
            Wire::keep(&mut wire.packets, left_out, Packet { at, packet: *packet });
        }
        Media::Dropped(dropped) => Wire::keep(&mut wire.dropped, left_out, *dropped),
        Media::StreamStarted(began) => {
            let (ssrc, kind, codec) = (began.ssrc, began.kind, began.codec);
            Wire::keep(&mut wire.sources, left_out, Source { at, ssrc, kind, codec });
        }
        Media::RemoteReport(report) => Wire::keep(&mut wire.reports, left_out, (at, *report)),
        _ => {}
    }
}
