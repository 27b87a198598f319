//! What a dynamic payload type carries, by the look of its first packets.
//!
//! Telephone-events (RFC 4733 section 2.3) by their four bytes, Opus (RFC 7587) by the duration in
//! each packet against the step of its timestamps, H.264 (RFC 6184) by the structure of its NAL
//! units, and the clock rate by timestamps against arrival.

use crate::arrival::Arrival;
use crate::codec::Codec;
use crate::flow::{Confidence, FlowPayload};
use crate::opus_packet;
use crate::rtp::{self, Class, Header};

/// Packets of a payload type that are looked at.
const SAMPLES_MAX: usize = 256;
/// Clock rates in use (RFC 3551 section 4 and its successors), in Hz.
const RATES: [u32; 9] = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 90_000];
/// A shorter time says nothing about the rate of a clock.
const CLOCK_NANOS_MIN: u64 = 100_000_000;

/// What a payload type seems to stand for.
pub(crate) struct Guess {
    pub(crate) codec: Option<Codec>,
    pub(crate) clock_rate: Option<u32>,
    pub(crate) confidence: Confidence,
    pub(crate) reason: String,
}

/// The first packets of a payload type, and the course of its clock.
pub(crate) struct Samples {
    indices: Vec<u32>,
    last_timestamp: u32,
    /// Since the first packet, unwrapped.
    ticks: i64,
    /// The furthest that the clock came, and when.
    furthest: (i64, u64),
    first_at: u64,
}

impl Samples {
    pub(crate) fn new(header: &Header, at: u64) -> Self {
        Self {
            indices: Vec::new(),
            last_timestamp: header.timestamp,
            ticks: 0,
            furthest: (0, at),
            first_at: at,
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, header: &Header, at: u64, index: u32) {
        if self.indices.len() < SAMPLES_MAX {
            self.indices.push(index);
        }
        let step = header.timestamp.wrapping_sub(self.last_timestamp) as i32;
        self.ticks += i64::from(step);
        self.last_timestamp = header.timestamp;
        if self.ticks > self.furthest.0 {
            self.furthest = (self.ticks, at);
        }
    }

    pub(crate) fn guess(&self, arrivals: &[Arrival], shares_ssrc: bool) -> Guess {
        let packets: Vec<Packet<'_>> = self
            .indices
            .iter()
            .filter_map(|index| Packet::of(&arrivals[*index as usize]))
            .collect();
        let clock = self.clock_rate();
        telephone_event(&packets, shares_ssrc)
            .or_else(|| opus(&packets))
            .or_else(|| h264(&packets, clock))
            .unwrap_or_else(|| unknown(&packets, clock))
    }

    /// Ticks against arrival, if that comes close to a rate in use.
    fn clock_rate(&self) -> Option<u32> {
        let (ticks, at) = self.furthest;
        let nanos = at.checked_sub(self.first_at).filter(|nanos| *nanos >= CLOCK_NANOS_MIN)?;
        let rate = ticks as f64 * 1e9 / nanos as f64;
        let off = |known: u32| (rate / f64::from(known) - 1.0).abs();
        RATES
            .into_iter()
            .filter(|known| off(*known) < 0.045)
            .min_by(|a, b| off(*a).total_cmp(&off(*b)))
    }
}

struct Packet<'a> {
    header: Header,
    at: u128,
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    fn of(arrival: &'a Arrival) -> Option<Self> {
        let cut = arrival.missing > 0;
        let Class::Rtp(header) = rtp::classify(&arrival.payload, cut) else {
            return None;
        };
        let payload = &arrival.payload[rtp::payload(&arrival.payload, cut)?];
        Some(Self { header, at: arrival.offset.as_nanos(), payload })
    }
}

fn percent(part: usize, whole: usize) -> usize {
    part * 100 / whole.max(1)
}

/// Events have four bytes: event, end bit and volume, duration; the reserved bit is zero.
fn telephone_event(packets: &[Packet<'_>], shares_ssrc: bool) -> Option<Guess> {
    let event = |packet: &&Packet<'_>| {
        packet.payload.len() == 4 && packet.payload[0] <= 16 && packet.payload[1] & 0x40 == 0
    };
    let events = packets.iter().filter(event).count();
    if events == 0 || percent(events, packets.len()) < 95 {
        return None;
    }
    // The packets of one event repeat its timestamp while its duration grows.
    let duration = |packet: &Packet<'_>| match packet.payload {
        [_, _, high, low] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    let grows = packets.windows(2).any(|pair| {
        pair[0].header.timestamp == pair[1].header.timestamp
            && pair[0].payload.first() == pair[1].payload.first()
            && duration(&pair[0]) <= duration(&pair[1])
    });
    if !grows && !shares_ssrc {
        return None;
    }
    let confidence = if grows { Confidence::High } else { Confidence::Medium };
    Some(Guess {
        codec: Some(Codec::TelephoneEvent),
        clock_rate: event_clock(packets, duration),
        confidence,
        reason: format!("{events} of {} payloads are events of four bytes", packets.len()),
    })
}

/// How fast the durations of events grow while they last.
fn event_clock(packets: &[Packet<'_>], duration: impl Fn(&Packet<'_>) -> u16) -> Option<u32> {
    let (mut ticks, mut nanos) = (0.0, 0.0);
    for pair in packets.windows(2) {
        let [first, second] = pair else { continue };
        let grown = duration(second).saturating_sub(duration(first));
        // The repeated ends of an event do not grow, and come at any time.
        if first.header.timestamp == second.header.timestamp && grown > 0 {
            ticks += f64::from(grown);
            nanos += second.at.saturating_sub(first.at) as f64;
        }
    }
    let rate = (nanos > 0.0).then_some(ticks * 1e9 / nanos)?;
    [8_000, 16_000, 48_000].into_iter().find(|known| (rate / f64::from(*known) - 1.0).abs() < 0.3)
}

/// Consecutive packets whose timestamps step by the duration that the first one holds.
fn opus(packets: &[Packet<'_>]) -> Option<Guess> {
    let mut pairs = 0;
    let mut exact = 0;
    for pair in packets.windows(2) {
        let [first, second] = pair else { continue };
        let consecutive =
            second.header.sequence_number == first.header.sequence_number.wrapping_add(1);
        if !consecutive {
            continue;
        }
        pairs += 1;
        let step = second.header.timestamp.wrapping_sub(first.header.timestamp);
        // Discontinuous sending leaves out whole packets: a multiple.
        let samples = opus_packet::samples(first.payload);
        exact += usize::from(samples.is_some_and(|samples| {
            step >= samples && step.is_multiple_of(samples) && step / samples <= 50
        }));
    }
    let confidence = match pairs {
        0 => return None,
        _ if percent(exact, pairs) < 80 => return None,
        1..3 => Confidence::Low,
        3..10 => Confidence::Medium,
        _ => Confidence::High,
    };
    Some(Guess {
        codec: Some(Codec::Opus),
        clock_rate: Some(48_000),
        confidence,
        reason: format!("{exact} of {pairs} timestamps step by the duration in the Opus packet"),
    })
}

#[derive(PartialEq, Clone, Copy)]
enum NalLook {
    Impossible,
    Possible,
    /// Structure that hardly comes about by chance: parameter sets, fragments, aggregates.
    Telling,
}

fn nal_look(payload: &[u8]) -> NalLook {
    let [header, rest @ ..] = payload else {
        return NalLook::Impossible;
    };
    if header & 0x80 != 0 {
        return NalLook::Impossible;
    }
    match (header & 0x1f, rest) {
        (1, [_, ..]) | (6 | 9..=12, _) => NalLook::Possible,
        (5, [_, ..]) if header & 0x60 != 0 => NalLook::Possible,
        // A sequence parameter set begins with a profile that exists.
        (7, [66 | 77 | 88 | 100 | 110 | 122 | 244, _, _, ..]) if header & 0x60 != 0 => {
            NalLook::Telling
        }
        (8, [_, ..]) if header & 0x60 != 0 => NalLook::Telling,
        (24, mut rest) => {
            while let [high, low, tail @ ..] = rest {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                match tail.get(length..) {
                    Some(next) if length > 0 && tail[0] & 0x80 == 0 => rest = next,
                    _ => return NalLook::Impossible,
                }
            }
            if rest.is_empty() { NalLook::Telling } else { NalLook::Impossible }
        }
        (28, [fu, _, ..]) => {
            let both = fu & 0xc0 == 0xc0;
            let kind_fits = matches!(fu & 0x1f, 1..=12);
            if both || fu & 0x20 != 0 || !kind_fits {
                NalLook::Impossible
            } else {
                NalLook::Telling
            }
        }
        _ => NalLook::Impossible,
    }
}

fn h264(packets: &[Packet<'_>], clock: Option<u32>) -> Option<Guess> {
    let looks: Vec<NalLook> = packets.iter().map(|packet| nal_look(packet.payload)).collect();
    let possible = looks.iter().filter(|look| **look != NalLook::Impossible).count();
    let telling = looks.iter().filter(|look| **look == NalLook::Telling).count();
    if percent(possible, looks.len()) < 95 || (telling == 0 && clock != Some(90_000)) {
        return None;
    }
    let confidence = match (telling, clock) {
        (4.., _) | (2.., Some(90_000)) => Confidence::High,
        (1.., _) => Confidence::Medium,
        _ => Confidence::Low,
    };
    Some(Guess {
        codec: Some(Codec::H264),
        clock_rate: Some(90_000),
        confidence,
        reason: format!(
            "{possible} of {} payloads look like NAL units, {telling} of them like parameter \
             sets, fragments or aggregates",
            looks.len()
        ),
    })
}

fn unknown(packets: &[Packet<'_>], clock: Option<u32>) -> Guess {
    let per_tick = packets.windows(2).filter(|pair| {
        let step = pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp);
        step as usize == pair[0].payload.len()
    });
    let g711 = packets.len() > 2 && percent(per_tick.count(), packets.len() - 1) >= 80;
    let reason = match clock {
        _ if g711 => {
            "one byte per tick, as in G.711; say which law (PAYLOAD_TYPE=pcmu or =pcma)".to_owned()
        }
        Some(rate) => format!("nothing known fits; the clock runs at about {rate} Hz"),
        None => "nothing known fits".to_owned(),
    };
    Guess { codec: None, clock_rate: clock, confidence: Confidence::Low, reason }
}

/// Events count in the clock of the sound whose SSRC they share (RFC 4733 section 2.1).
pub(crate) fn share_clock(payloads: &mut [FlowPayload]) {
    let shared = payloads
        .iter()
        .filter(|payload| payload.codec != Some(Codec::TelephoneEvent))
        .max_by_key(|payload| payload.packets)
        .and_then(|payload| payload.clock_rate);
    for payload in payloads {
        if payload.codec == Some(Codec::TelephoneEvent) && payload.confidence != Confidence::Stated
        {
            payload.clock_rate = shared.or(payload.clock_rate).or(Some(8_000));
        }
    }
}
