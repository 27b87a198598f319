//! Packets in order into access units. What is missing is announced between packets, and a
//! unit that could be touched by it is never handed out: where a gap lies between two units,
//! the one behind it passes only if it begins with an access unit delimiter, since nothing
//! else proves that its beginning was not in the gap.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::assembly::{Assembled, Config, Stats};
use super::gate::Gate;
use super::nal::{Header, UnitType};
use super::{DropCause, Frame};
use crate::fault::{self, Fault};
use crate::payload::h264::{DepacketizeError, Depacketizer, first_unit};
use crate::time::Instant;

/// How many results may wait for the owner; more only if the owner does not drain them.
const READY_MAX: usize = 4_096;

/// One packet whose turn it is.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: &'a [u8],
    pub(crate) arrived: Instant,
}

/// What is known about the place between two packets, where no unit is open.
#[derive(Clone, Copy, Debug)]
enum Boundary {
    /// The stream has not begun.
    Start,
    /// Something is missing here.
    Unknown,
    /// A unit has just ended: at a marker on a packet of this timestamp.
    Marker(u32),
    /// A unit has just ended: the next packet has another timestamp.
    Timestamp,
}

#[derive(Debug)]
struct Open {
    timestamp: u32,
    packets: u64,
    first_sequence: u64,
    last_sequence: u64,
    arrived_first: Instant,
    arrived_last: Instant,
    deadline: Instant,
    /// Something is missing behind its last packet.
    gap: Option<DropCause>,
    damage: Option<(DropCause, Option<DepacketizeError>)>,
    /// The owner has been told already that it is dropped.
    is_reported: bool,
    /// Whether a part of a picture was seen, and whether anything others refer to.
    has_picture: bool,
    has_reference: bool,
    /// Something is missing that may not be a part of this unit.
    has_lost_others: bool,
}

/// Builds one stream's access units.
#[derive(Debug)]
pub(crate) struct Builder {
    ssrc: u32,
    config: Config,
    depacketizer: Depacketizer,
    buffer: BytesMut,
    /// Size of the largest unit of late, so that the next one need not grow bit by bit.
    expected_bytes: usize,
    boundary: Boundary,
    trusts_markers: bool,
    open: Option<Open>,
    pub(crate) gate: Gate,
    pub(crate) stats: Stats,
    ready: VecDeque<Assembled>,
}

impl Builder {
    pub(crate) fn new(ssrc: u32, config: Config) -> Self {
        Self {
            ssrc,
            depacketizer: Depacketizer::new(config.mode),
            buffer: BytesMut::new(),
            expected_bytes: 0,
            boundary: Boundary::Start,
            trusts_markers: true,
            open: None,
            gate: Gate::new(config.gate),
            stats: Stats::default(),
            ready: VecDeque::new(),
            config,
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Assembled> {
        self.ready.pop_front()
    }

    /// When the open unit has waited too long.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.open.as_ref().filter(|open| open.damage.is_none()).map(|open| open.deadline)
    }

    /// How many packets are in the open unit, and whether it counts as open.
    pub(crate) fn open(&self) -> (u64, u64) {
        self.open.as_ref().map_or((0, 0), |open| (open.packets, u64::from(!open.is_reported)))
    }

    /// Packets are missing here, for good.
    pub(crate) fn gap(&mut self, missing: u64, cause: DropCause) {
        self.stats.packets_missing += missing;
        if fault::is(Fault::GapIgnored) {
            return;
        }
        match &mut self.open {
            Some(open) => open.gap = Some(cause),
            None => {
                self.boundary = Boundary::Unknown;
                self.gate.lose();
            }
        }
    }

    /// Takes the packet that follows on the one before, or on a gap.
    #[inline]
    pub(crate) fn push(&mut self, piece: Piece<'_>) {
        if piece.payload.is_empty() {
            // Padding alone, sent to probe the path; it belongs to no unit.
            self.stats.packets_empty += 1;
            return;
        }
        if let Some(open) = &mut self.open {
            let is_same = open.timestamp == piece.timestamp;
            let gap = open.gap.take();
            if let Some(cause) = gap {
                open.has_lost_others |= !is_same;
                self.damage(cause, None);
            }
            if !is_same {
                self.close(if gap.is_some() { Boundary::Unknown } else { Boundary::Timestamp });
            }
        }
        if self.open.is_none() {
            self.begin(&piece);
        }
        self.append(&piece);
        if piece.marker && self.trusts_markers && !fault::is(Fault::MarkerIgnored) {
            self.close(Boundary::Marker(piece.timestamp));
        }
    }

    /// The open unit has waited too long, or the stream is over.
    pub(crate) fn time_out(&mut self) {
        let gap = self.open.as_mut().and_then(|open| open.gap.take());
        self.damage(gap.unwrap_or(DropCause::TimedOut), None);
        let Some(open) = &mut self.open else { return };
        if let (false, Some((cause, fault))) = (open.is_reported, open.damage) {
            open.is_reported = true;
            let (timestamp, first_sequence) = (open.timestamp, open.first_sequence);
            self.gate.lose();
            self.report(timestamp, first_sequence, cause, fault);
        }
    }

    /// The stream is over, or another one begins under its name.
    pub(crate) fn finish(&mut self) {
        self.time_out();
        self.close(Boundary::Unknown);
    }

    /// A stream has to begin somewhere. Only a delimiter proves that nothing came before, but
    /// senders without delimiters begin with parameter sets, or with messages (SEI) before
    /// them, as x264 does: if sets were lost there, none are known yet, and the gate refuses
    /// the unit. Or, if those came by another way, with whatever may begin a unit.
    pub(crate) fn may_begin_stream(&self, payload: &[u8]) -> bool {
        first_unit(payload).is_some_and(|first| match first.0.unit_type() {
            UnitType::DELIMITER | UnitType::SPS | UnitType::SEI => true,
            _ => self.gate.has_provided_sets && may_begin_unit(first),
        })
    }

    fn begin(&mut self, piece: &Piece<'_>) {
        let first = first_unit(piece.payload);
        let first_type = first.map(|(header, _)| header.unit_type());
        let damage = match self.boundary {
            Boundary::Timestamp => None,
            Boundary::Marker(ended) if ended == piece.timestamp => {
                // Two fields of a frame may share a timestamp. But if this continues the
                // unit that a marker has ended, this sender's markers mean nothing.
                let begins = first.is_some_and(may_begin_unit);
                self.trusts_markers &= begins;
                (!begins).then_some(DropCause::AfterMarker)
            }
            Boundary::Marker(_) => None,
            Boundary::Start if self.may_begin_stream(piece.payload) => None,
            Boundary::Start | Boundary::Unknown => {
                (first_type != Some(UnitType::DELIMITER)).then_some(DropCause::MissingPacket)
            }
        };
        self.stats.frames_started += 1;
        if damage.is_some() && matches!(self.boundary, Boundary::Start) {
            // Nobody can ask for what was ahead of the first packet that came: whatever else comes
            // of this picture, it will not be whole.
            self.gate.want_key_frame();
        }
        if damage.is_none() {
            self.buffer.reserve(self.expected_bytes);
        }
        self.open = Some(Open {
            timestamp: piece.timestamp,
            packets: 0,
            first_sequence: piece.sequence,
            last_sequence: piece.sequence,
            arrived_first: piece.arrived,
            arrived_last: piece.arrived,
            deadline: piece.arrived + self.config.frame_wait,
            gap: None,
            damage: damage.map(|cause| (cause, None)),
            is_reported: false,
            has_picture: false,
            has_reference: false,
            has_lost_others: false,
        });
    }

    #[inline]
    fn append(&mut self, piece: &Piece<'_>) {
        let Some(open) = &mut self.open else { return };
        open.packets += 1;
        open.last_sequence = piece.sequence;
        open.arrived_first = open.arrived_first.min(piece.arrived);
        open.arrived_last = open.arrived_last.max(piece.arrived);
        let header = Header::from_byte(piece.payload[0]);
        open.has_reference |= header.reference() != 0;
        open.has_picture |= carries_picture(piece.payload);
        if open.damage.is_some() {
            return;
        }
        if fault::is(Fault::ParameterSetsDropped) && header.unit_type().is_parameter_set() {
            return;
        }
        match self.depacketizer.push(piece.payload, &mut self.buffer) {
            Err(fault) => self.damage(DropCause::Malformed, Some(fault)),
            Ok(()) if self.buffer.len() > self.config.frame_bytes_max => {
                self.damage(DropCause::TooLarge, None);
            }
            Ok(()) => {}
        }
    }

    /// The open unit will not be handed out. The first cause stays.
    fn damage(&mut self, cause: DropCause, fault: Option<DepacketizeError>) {
        if let Some(open) = &mut self.open {
            open.damage.get_or_insert((cause, fault));
            self.buffer.clear();
            self.depacketizer.clear();
        }
    }

    fn close(&mut self, boundary: Boundary) {
        if let Err(fault) = self.depacketizer.finish() {
            self.damage(DropCause::Malformed, Some(fault));
        }
        let Some(open) = self.open.take() else { return };
        self.boundary = boundary;
        if let Some((cause, fault)) = open.damage {
            let is_disposable = open.has_picture && !open.has_reference && !open.has_lost_others;
            if !is_disposable {
                self.gate.lose();
            }
            self.drop_unit(&open, cause, fault);
            return;
        }
        let judged = self.gate.judge(self.depacketizer.units(), &self.buffer);
        self.depacketizer.clear();
        match judged {
            Ok(_) if self.ready.len() >= READY_MAX => {
                self.buffer.clear();
                self.gate.lose();
                self.drop_unit(&open, DropCause::Overflow, None);
            }
            Ok(passed) => {
                let mut data = self.buffer.split().freeze();
                // Falls slowly, so that one key frame does not make every unit reserve alike.
                self.expected_bytes = data.len().max(self.expected_bytes - self.expected_bytes / 8);
                if passed.key_frame {
                    data = self.gate.repay(data, self.config.frame_bytes_max);
                }
                self.stats.packets_used += open.packets;
                self.stats.frames_emitted += 1;
                self.stats.key_frames += u64::from(passed.key_frame);
                let frame = Frame {
                    ssrc: self.ssrc,
                    timestamp: open.timestamp,
                    data,
                    key_frame: passed.key_frame,
                    first_sequence: open.first_sequence,
                    last_sequence: open.last_sequence,
                    arrived_first: open.arrived_first,
                    arrived_last: open.arrived_last,
                    resolution: passed.resolution,
                };
                if fault::is(Fault::FrameTwice) {
                    self.ready.push_back(Assembled::Frame(frame.clone()));
                }
                self.ready.push_back(Assembled::Frame(frame));
            }
            Err(cause) => {
                self.buffer.clear();
                self.drop_unit(&open, cause, None);
            }
        }
    }

    fn drop_unit(&mut self, open: &Open, cause: DropCause, fault: Option<DepacketizeError>) {
        self.stats.packets_discarded.add(cause, open.packets);
        if !open.is_reported {
            self.report(open.timestamp, open.first_sequence, cause, fault);
        }
    }

    fn report(
        &mut self,
        timestamp: u32,
        first_sequence: u64,
        cause: DropCause,
        fault: Option<DepacketizeError>,
    ) {
        self.stats.frames_dropped.add(cause, 1);
        if self.ready.len() < READY_MAX && !fault::is(Fault::FrameLostSilently) {
            self.ready.push_back(Assembled::Dropped { timestamp, first_sequence, cause, fault });
        }
    }
}

/// Whether a payload that holds this as its first unit may begin an access unit.
fn may_begin_unit((header, rest): (Header, &[u8])) -> bool {
    let unit_type = header.unit_type();
    if unit_type.has_slice_header() {
        // The address of the first macroblock is 0 exactly if the first bit is set.
        return rest.first().is_some_and(|byte| byte & 0x80 != 0);
    }
    unit_type.begins_access_unit() || unit_type == UnitType::PREFIX
}

/// Whether a payload surely carries a part of a picture; an aggregate is not looked into.
#[inline]
fn carries_picture(payload: &[u8]) -> bool {
    const FU_A: u8 = 28;
    match Header::from_byte(payload[0]).unit_type().value() {
        FU_A => payload.get(1).is_some_and(|&fu| Header::from_byte(fu).unit_type().is_picture()),
        value => (1..=5).contains(&value),
    }
}
