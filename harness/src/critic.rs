//! Looks at every picture that is shown and says how like it is to what was sent: the same
//! access units, decoded without a network in between. It decodes along with the call, so
//! that no picture has to be kept.

use std::collections::VecDeque;

use callrig_media::codec::h264::Decoder;
use callrig_media::description::{MediaDescription, MediaKind};
use callrig_media::rtp;
use callrig_media::video::Picture;

use crate::measure::picture::{psnr_db, ssim};
use crate::measure::units::{self, Sent, Unit};
use crate::subject::{self, Subject};
use crate::trace::{Critic, Likeness};

/// How many pictures behind the newest shown one are kept: the reordering of a stream.
const BEHIND_MAX: usize = 40;

/// Compares with a clean decoding of the one video stream of a recording.
pub struct Reviewer {
    /// Access units in the order of sending, with their timestamps.
    units: VecDeque<(u32, Unit)>,
    decoder: Option<Decoder>,
    /// Decoded and not yet passed by what is shown.
    pictures: VecDeque<Picture>,
    is_finished: bool,
}

/// The packets of a source as its phone sends them.
#[must_use]
pub fn packets_of(subject: &Subject, ssrc: u32) -> Vec<rtp::Packet> {
    subject
        .schedule
        .departures()
        .iter()
        .filter_map(|departure| rtp::Packet::parse(departure.payload.clone()).ok())
        .filter(|packet| packet.header.ssrc == ssrc)
        .collect()
}

/// The access units of a source as its phone sends them, in the order of sending.
#[must_use]
pub fn units_of(subject: &Subject, ssrc: u32) -> Vec<(u32, Unit)> {
    let packets = packets_of(subject, ssrc);
    let sent: Vec<Sent<'_>> = packets
        .iter()
        .map(|packet| Sent {
            sequence_number: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            payload: &packet.payload,
        })
        .collect();
    let mut units: Vec<(u32, Unit)> = units::of(&sent).into_iter().collect();
    units.sort_by_key(|(_, unit)| unit.numbers.first().copied());
    units
}

/// The sources of a recording that carry pictures.
#[must_use]
pub fn video_sources(subject: &Subject) -> Vec<u32> {
    subject
        .flows
        .iter()
        .filter(|flow| flow.payloads.iter().any(|payload| payload.codec == "h264"))
        .map(|flow| flow.ssrc)
        .collect()
}

/// The sources of a recording that carry pictures of one kind.
#[must_use]
pub fn sources_of(subject: &Subject, kind: MediaKind) -> Vec<u32> {
    let is_of = |flow: &&subject::Flow| {
        let named = subject.media.iter().find(|line| line.ssrc == Some(flow.ssrc));
        // The layers of a line have no source that is known beforehand.
        let takes = |line: &&MediaDescription| {
            flow.payloads.iter().any(|of| line.payload(of.payload_type).is_some())
        };
        named.or_else(|| subject.media.iter().find(takes)).is_some_and(|line| line.kind == kind)
    };
    let all = video_sources(subject);
    let flows = subject.flows.iter().filter(|flow| all.contains(&flow.ssrc));
    flows.filter(is_of).map(|flow| flow.ssrc).collect()
}

impl Reviewer {
    /// A reviewer of a recording with one video stream that arrived undamaged in it;
    /// there is nothing to compare with otherwise.
    #[must_use]
    pub fn of(subject: &Subject) -> Option<Self> {
        let sources = video_sources(subject);
        let [ssrc] = sources[..] else { return None };
        let units = units_of(subject, ssrc);
        if units.is_empty() || !units.iter().all(|(_, unit)| unit.is_whole) {
            return None;
        }
        Some(Self {
            units: units.into(),
            decoder: Some(Decoder::new().ok()?),
            pictures: VecDeque::new(),
            is_finished: false,
        })
    }

    /// Decodes until a picture of this timestamp is there.
    fn advance(&mut self, timestamp: u32) {
        while !self.is_finished
            && !self.pictures.iter().any(|picture| picture.timestamp == timestamp)
        {
            let Some(decoder) = &mut self.decoder else { return };
            match self.units.pop_front() {
                Some((stamp, unit)) => {
                    // What a clean decoding refuses has no picture to compare with.
                    if let Ok(Some(decoded)) = decoder.decode(&unit.data, stamp) {
                        self.pictures.push_back(decoded.to_picture());
                    }
                }
                None => {
                    self.is_finished = true;
                    if let Ok(rest) = decoder.finish() {
                        self.pictures.extend(rest.iter().map(|decoded| decoded.to_picture()));
                    }
                }
            }
            while self.pictures.len() > BEHIND_MAX && !self.is_finished {
                self.pictures.pop_front();
            }
        }
    }
}

impl Critic for Reviewer {
    fn compare(&mut self, _: u32, picture: &Picture) -> Option<Likeness> {
        self.advance(picture.timestamp);
        let place = self.pictures.iter().position(|one| one.timestamp == picture.timestamp)?;
        // What was shown is past: nothing older is shown after it.
        self.pictures.drain(..place);
        let reference = self.pictures.pop_front()?;
        if (reference.width, reference.height) != (picture.width, picture.height) {
            return Some(Likeness { psnr: 0.0, ssim: 0.0 });
        }
        let (width, height) = (usize::from(picture.width), usize::from(picture.height));
        let chroma = reference.u == picture.u && reference.v == picture.v;
        if chroma && reference.y == picture.y {
            return Some(Likeness { psnr: crate::measure::picture::PSNR_MAX_DB, ssim: 1.0 });
        }
        Some(Likeness {
            psnr: psnr_db(&reference.y, &picture.y)?,
            ssim: ssim(&reference.y, &picture.y, width, height)?,
        })
    }
}
