//! What a phone sends, and when: every datagram of a recording with its offset, ready to
//! be replayed under any number of networks without another look at the file. Captures
//! are sent as they were recorded; files without packets (Annex B, WAV, Ogg Opus) go
//! through the product's own packetizer and encoder first.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use callrig_media::codec::opus;
use callrig_media::payload::h264::{PacketizationMode, PacketizeError, Packetizer};
use callrig_media::rtp;
use callrig_media::video::output_order;
use thiserror::Error;

/// How many datagrams one schedule may hold: a day of 1.5 Mbit/s video.
pub const DEPARTURES_MAX: usize = 1 << 24;

/// One datagram and when it departs, counted from the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Since the first departure.
    pub after: Duration,
    /// The whole datagram.
    pub payload: Bytes,
}

/// All that a phone sends, in order of time.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Schedule {
    departures: Arc<[Departure]>,
}

/// Why something cannot be sent.
#[derive(Debug, Error)]
pub enum ScheduleError {
    /// There is nothing in it.
    #[error("there is nothing in it to send")]
    Empty,
    /// More than [`DEPARTURES_MAX`].
    #[error("it has more than {DEPARTURES_MAX} packets")]
    TooLong,
    /// An access unit cannot be carried.
    #[error("access unit {index} cannot be sent: {source}")]
    AccessUnit {
        /// Counted from 0.
        index: usize,
        /// Why.
        source: PacketizeError,
    },
    /// The sound cannot be encoded.
    #[error("the sound cannot be encoded: {0}")]
    Encoder(String),
}

/// How the packets of a stream that is not a capture are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbering {
    /// Synchronisation source.
    pub ssrc: u32,
    /// Of every packet.
    pub payload_type: u8,
    /// Of the first packet.
    pub sequence_number: u16,
    /// Of the first packet.
    pub timestamp: u32,
}

impl Default for Numbering {
    fn default() -> Self {
        Self {
            ssrc: 0x0ca1_1719,
            payload_type: 111,
            sequence_number: 0xff00,
            timestamp: 0xffff_0000,
        }
    }
}

/// How video without times is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoFormat {
    /// How units are put into packets.
    pub mode: PacketizationMode,
    /// Bytes of payload in a packet, at most.
    pub payload_bytes_max: usize,
    /// Pictures in a second.
    pub frames_per_second: u32,
}

impl Default for VideoFormat {
    fn default() -> Self {
        Self {
            mode: PacketizationMode::NonInterleaved,
            payload_bytes_max: 1_188,
            frames_per_second: 30,
        }
    }
}

impl Schedule {
    /// Of datagrams in order of time.
    ///
    /// # Errors
    /// There are none, or too many.
    pub fn new(departures: Vec<Departure>) -> Result<Self, ScheduleError> {
        if departures.is_empty() {
            return Err(ScheduleError::Empty);
        }
        if departures.len() > DEPARTURES_MAX {
            return Err(ScheduleError::TooLong);
        }
        debug_assert!(departures.is_sorted_by_key(|departure| departure.after));
        Ok(Self { departures: departures.into() })
    }

    /// Of access units (Annex B): one at each tick of the frame rate, all its packets at
    /// once, timestamps in decoding order.
    ///
    /// # Errors
    /// An access unit that RTP cannot carry.
    pub fn of_access_units(
        units: &[Bytes],
        format: VideoFormat,
        numbering: Numbering,
    ) -> Result<Self, ScheduleError> {
        let mut packetizer = Packetizer::new(format.mode, format.payload_bytes_max)
            .map_err(|error| ScheduleError::Encoder(error.to_string()))?;
        let mut departures = Vec::new();
        let mut fragments = Vec::new();
        let mut writer = Writer::new(numbering);
        let rate = u64::from(format.frames_per_second.max(1));
        for ((index, unit), place) in units.iter().enumerate().zip(output_order::places(units)) {
            packetizer
                .packetize(unit, &mut fragments)
                .map_err(|source| ScheduleError::AccessUnit { index, source })?;
            let after = Duration::from_nanos(index as u64 * 1_000_000_000 / rate);
            // Sent as they are decoded, with the time at which they are seen.
            let ticks = (place as u64 * 90_000 / rate) as u32;
            for fragment in fragments.drain(..) {
                let marker = fragment.marker;
                departures.push(writer.packet(after, ticks, marker, fragment.into_payload()));
            }
            if departures.len() > DEPARTURES_MAX {
                return Err(ScheduleError::TooLong);
            }
        }
        Self::new(departures)
    }

    /// Of Opus packets and how many samples at 48 kHz each of them lasts.
    ///
    /// # Errors
    /// There are none, or too many.
    pub fn of_opus(
        packets: impl IntoIterator<Item = (Bytes, u32)>,
        numbering: Numbering,
    ) -> Result<Self, ScheduleError> {
        let mut writer = Writer::new(numbering);
        let mut samples = 0_u64;
        let mut departures = Vec::new();
        for (payload, lasts) in packets {
            let after = Duration::from_nanos(samples * 1_000_000_000 / 48_000);
            let first = departures.is_empty();
            departures.push(writer.packet(after, samples as u32, first, payload));
            samples += u64::from(lasts);
            if departures.len() > DEPARTURES_MAX {
                return Err(ScheduleError::TooLong);
            }
        }
        Self::new(departures)
    }

    /// Of sound: through the product's Opus encoder, in packets of 20 ms at 32 kbit/s. The
    /// last packet is filled up with silence.
    ///
    /// # Errors
    /// A rate or number of channels that Opus does not have.
    pub fn of_sound(
        samples: &[i16],
        rate: u32,
        channels: u8,
        numbering: Numbering,
    ) -> Result<Self, ScheduleError> {
        let refuse = |error: &dyn core::fmt::Display| ScheduleError::Encoder(error.to_string());
        let config = opus::Config { rate, channels, ..opus::Config::default() };
        let mut encoder = opus::Encoder::new(&config).map_err(|error| refuse(&error))?;
        let frame = rate as usize / 50 * usize::from(channels);
        let mut packets = Vec::new();
        let mut filled = Vec::new();
        let mut packet = [0; 1_275];
        for chunk in samples.chunks(frame.max(1)) {
            let whole = if chunk.len() == frame {
                chunk
            } else {
                filled.extend_from_slice(chunk);
                filled.resize(frame, 0);
                &filled
            };
            let length = encoder.encode(whole, &mut packet).map_err(|error| refuse(&error))?;
            packets.push((Bytes::copy_from_slice(&packet[..length]), 960));
            if packets.len() > DEPARTURES_MAX {
                return Err(ScheduleError::TooLong);
            }
        }
        Self::of_opus(packets, numbering)
    }

    /// The datagrams.
    #[must_use]
    pub fn departures(&self) -> &[Departure] {
        &self.departures
    }

    /// From the first departure to the last.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.departures.last().map_or(Duration::ZERO, |departure| departure.after)
    }
}

/// Numbers packets.
struct Writer {
    header: rtp::Header,
    first_timestamp: u32,
}

impl Writer {
    fn new(numbering: Numbering) -> Self {
        let header = rtp::Header {
            payload_type: numbering.payload_type,
            sequence_number: numbering.sequence_number,
            ssrc: numbering.ssrc,
            ..rtp::Header::default()
        };
        Self { header, first_timestamp: numbering.timestamp }
    }

    fn packet(&mut self, after: Duration, ticks: u32, marker: bool, payload: Bytes) -> Departure {
        self.header.marker = marker;
        self.header.timestamp = self.first_timestamp.wrapping_add(ticks);
        let packet = rtp::Packet { header: self.header.clone(), payload };
        self.header.sequence_number = self.header.sequence_number.wrapping_add(1);
        Departure { after, payload: packet.to_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(departure: &Departure) -> rtp::Packet {
        rtp::Packet::parse(departure.payload.clone()).expect("what was written is RTP")
    }

    #[test]
    fn sound_becomes_a_packet_each_20_ms_and_its_end_is_filled_up() {
        let schedule =
            Schedule::of_sound(&[100; 16_000 / 50 * 3 + 1], 16_000, 1, Numbering::default())
                .expect("16 kHz mono can be encoded");
        let departures = schedule.departures();
        assert_eq!(departures.len(), 4);
        assert_eq!(schedule.duration(), Duration::from_millis(60));
        let (first, last) = (parse(&departures[0]).header, parse(&departures[3]).header);
        assert_eq!(last.timestamp.wrapping_sub(first.timestamp), 3 * 960);
        assert_eq!(last.sequence_number, 0xff03);
    }

    #[test]
    fn an_access_unit_departs_at_once_and_ends_with_the_marker() {
        let unit = |byte: u8| {
            let mut unit = vec![0, 0, 0, 1, 0x09, 0xf0, 0, 0, 0, 1, 0x65, 0x88];
            unit.resize(3_000, byte);
            unit
        };
        let units = [Bytes::from(unit(1)), Bytes::from(unit(2))];
        let numbering = Numbering { payload_type: 102, ..Numbering::default() };
        let schedule = Schedule::of_access_units(&units, VideoFormat::default(), numbering)
            .expect("the stream can be carried");
        let departures = schedule.departures();
        let markers = departures.iter().filter(|one| parse(one).header.marker).count();
        assert_eq!(markers, 2);
        assert_eq!(schedule.duration(), Duration::from_nanos(33_333_333));
        assert!(departures.iter().all(|one| one.payload.len() <= 1_200));
    }

    #[test]
    fn nothing_is_not_a_schedule() {
        let nothing = Schedule::of_sound(&[], 48_000, 1, Numbering::default());
        assert!(matches!(nothing, Err(ScheduleError::Empty)));
    }
}
