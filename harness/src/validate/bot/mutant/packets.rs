//! Faults in the media of a bot: packets that are changed, lost, doubled or held back on their
//! way from a bot that is in order. They travel as plain RTP in simulated worlds, so that a
//! fault is a few bytes.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use callrig_media::codec::g711::Law;
use callrig_media::datagram::Datagram;
use callrig_media::time::Instant;

/// Which packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Those of sound.
    Sound,
    /// Those of pictures.
    Pictures,
}

/// What is wrong with the media of a bot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WireChange {
    /// One of so many packets is not sent.
    Drops(Line, u32),
    /// Nothing is sent from so many milliseconds after the first packet on.
    StopsAfter(Line, u64),
    /// Nothing is sent until so many milliseconds after the first packet.
    Waits(Line, u64),
    /// At every hundredth packet, numbers go on so much higher.
    NumberJumps(Line, u16),
    /// Each packet is numbered so much more than the one before.
    NumberStep(Line, u16),
    /// One of so many packets is sent twice.
    Twice(Line, u32),
    /// One of so many packets is sent after the next one.
    Overtaken(Line, u32),
    /// Another source from the nth packet on.
    SourceChanges(Line, u32),
    /// Two sources in turn.
    TwoSources(Line),
    /// Timestamps grow at so many hundredths of the right pace.
    Pace(Line, u32),
    /// Timestamps are so many milliseconds ahead of what reports say.
    Ahead(Line, u32),
    /// Timestamps stand still.
    TimeStands(Line),
    /// Each packet has a timestamp of its own.
    TimeOfItsOwn(Line),
    /// Timestamps go back by a second at every hundredth packet.
    TimeGoesBack(Line),
    /// Packets leave together, so many milliseconds' worth of them.
    Bursts(Line, u64),
    /// Once a second, nothing leaves for so many milliseconds.
    Stalls(Line, u64),
    /// Another payload type.
    PayloadType(Line, u8),
    /// Another version of RTP.
    Version(Line, u8),
    /// Cut off after so many bytes.
    CutOff(Line, usize),
    /// Padding is said to be there, and is not.
    Padding(Line),
    /// Fifteen contributing sources are said to be there, and are not.
    Sources(Line),
    /// A header extension is said to be there, and is longer than the packet.
    Extension(Line),
    /// The marker bit of every packet.
    Marker(Line, bool),
    /// The payload is left out.
    Empty(Line),
    /// The payload is random bytes.
    Garbage(Line),
    /// What was sent so many packets before is sent instead.
    Behind(u32),
    /// The same again and again: nothing of what is heard.
    Frozen,
    /// G.711 louder or quieter, in hundredths.
    Scaled(u32),
    /// The begin of fragments is not marked.
    NoFragmentStart,
    /// The end of fragments is not marked.
    NoFragmentEnd,
    /// Units are of another type.
    UnitType(u8),
    /// The forbidden bit is set.
    Forbidden,
    /// Units of this type look like another: nobody can use them.
    HidesUnit(u8),
    /// The sequence parameter set names another profile.
    Profile(u8),
    /// Slices say that they are of type B.
    BSlices,
    /// Of the pictures that come, every second is left out.
    EverySecondPicture,
    /// No reports.
    NoReports,
    /// Reports of another version.
    ReportVersion,
    /// Reports whose length does not fit.
    ReportLength,
    /// What the other side reports and asks for is not heard.
    Deaf,
    /// It is heard so many milliseconds late.
    HearsLate(u64),
    /// After the end, the last packet is sent again and again.
    NeverStops,
}

/// So many packets of a source are left as they are, where the rest cannot be read.
const BEGINS: u32 = 10;

/// What waits to be sent, or to be heard.
pub(super) enum Held {
    /// By the platform.
    Out(Datagram),
    /// By the bot.
    In(Datagram),
}

/// The media of a bot, as the fault leaves it.
pub(super) struct Spoiler {
    change: WireChange,
    count: BTreeMap<u32, u32>,
    first: BTreeMap<u32, (Instant, u32)>,
    before: VecDeque<Bytes>,
    held: Option<Datagram>,
    last: Option<Datagram>,
    pictures: (u32, u32),
    /// Packets that were left out, and are not missed by their numbers.
    left_out: u16,
}

/// What becomes of a datagram.
pub(super) type Fate = Vec<(Duration, Held)>;

impl Spoiler {
    pub(super) const fn new(change: WireChange) -> Self {
        Self {
            change,
            count: BTreeMap::new(),
            first: BTreeMap::new(),
            before: VecDeque::new(),
            held: None,
            last: None,
            pictures: (0, 0),
            left_out: 0,
        }
    }

    /// Something goes to the bot.
    pub(super) fn comes(&self, datagram: Datagram) -> Fate {
        let is_report = is_report(&datagram.payload);
        match self.change {
            WireChange::Deaf if is_report => Vec::new(),
            WireChange::HearsLate(ms) if is_report => {
                vec![(Duration::from_millis(ms), Held::In(datagram))]
            }
            _ => vec![(Duration::ZERO, Held::In(datagram))],
        }
    }

    /// Something comes from the bot.
    pub(super) fn goes(&mut self, now: Instant, datagram: Datagram) -> Fate {
        if is_report(&datagram.payload) {
            return self.report(&datagram);
        }
        let Some(line) = line_of(&datagram.payload) else { return at_once(datagram) };
        let source = word(&datagram.payload, 8);
        let count = self.count.entry(source).or_insert(0);
        *count += 1;
        let nth = *count;
        let first = self.first.entry(source).or_insert((now, word(&datagram.payload, 4))).0;
        self.last = Some(datagram.clone());
        match self.change {
            WireChange::Scaled(_) | WireChange::Behind(_) | WireChange::Frozen
                if line == Line::Sound =>
            {
                at_once(self.other_sound(&datagram))
            }
            WireChange::Drops(on, _)
            | WireChange::StopsAfter(on, _)
            | WireChange::Waits(on, _)
            | WireChange::Twice(on, _)
            | WireChange::Overtaken(on, _)
            | WireChange::Bursts(on, _)
            | WireChange::Stalls(on, _)
                if on == line =>
            {
                self.otherwise(now, nth, now.since(first), datagram)
            }
            WireChange::EverySecondPicture if line == Line::Pictures => {
                let timestamp = word(&datagram.payload, 4);
                if timestamp != self.pictures.0 {
                    self.pictures = (timestamp, self.pictures.1 + 1);
                }
                // The first is a key frame.
                if self.pictures.1 > 3 && self.pictures.1.is_multiple_of(2) {
                    self.left_out = self.left_out.wrapping_add(1);
                    return Vec::new();
                }
                let mut bytes = datagram.payload.to_vec();
                put_number(&mut bytes, self.left_out.wrapping_neg());
                at_once(Datagram { payload: bytes.into(), ..datagram })
            }
            _ => self.edited(line, nth, &datagram),
        }
    }

    /// A packet that is lost, doubled or late, but whole.
    fn otherwise(&mut self, now: Instant, nth: u32, age: Duration, datagram: Datagram) -> Fate {
        let soon = Duration::from_micros(10);
        let only = |sent: bool, datagram| if sent { at_once(datagram) } else { Vec::new() };
        match self.change {
            WireChange::Drops(_, every) => only(!nth.is_multiple_of(every), datagram),
            WireChange::StopsAfter(_, ms) => only(age < Duration::from_millis(ms), datagram),
            WireChange::Waits(_, ms) => only(age >= Duration::from_millis(ms), datagram),
            WireChange::Twice(_, every) if nth.is_multiple_of(every) => {
                vec![(Duration::ZERO, Held::Out(datagram.clone())), (soon, Held::Out(datagram))]
            }
            WireChange::Overtaken(_, every) if nth.is_multiple_of(every) => {
                self.held = Some(datagram);
                Vec::new()
            }
            WireChange::Overtaken(..) => {
                let mut fate = at_once(datagram);
                fate.extend(self.held.take().map(|held| (soon, Held::Out(held))));
                fate
            }
            WireChange::Bursts(_, ms) => {
                let into = now.elapsed().as_millis() as u64 % ms;
                vec![(Duration::from_millis(ms - into), Held::Out(datagram))]
            }
            WireChange::Stalls(_, ms) => {
                let into = now.elapsed().as_millis() as u64 % 1_000;
                vec![(Duration::from_millis(ms.saturating_sub(into)), Held::Out(datagram))]
            }
            _ => at_once(datagram),
        }
    }

    /// The call is over: what comes nevertheless.
    pub(super) fn after_end(&self) -> Fate {
        let (WireChange::NeverStops, Some(last)) = (self.change, &self.last) else {
            return Vec::new();
        };
        let again = |index: u64| (Duration::from_millis(index * 20), Held::Out(last.clone()));
        (1..=100).map(again).collect()
    }

    fn report(&self, datagram: &Datagram) -> Fate {
        let mut bytes = datagram.payload.to_vec();
        match self.change {
            WireChange::NoReports => return Vec::new(),
            WireChange::ReportVersion => bytes[0] = (bytes[0] & 0x3f) | 0x40,
            WireChange::ReportLength => {
                if let Some(low) = bytes.get_mut(3) {
                    *low = low.wrapping_add(1);
                }
            }
            _ => {}
        }
        at_once(Datagram { payload: bytes.into(), ..*datagram })
    }

    fn other_sound(&mut self, datagram: &Datagram) -> Datagram {
        let bytes = &datagram.payload;
        let header = header_length(bytes);
        let (head, body) = (bytes.slice(..header), bytes.slice(header..));
        let body = match self.change {
            WireChange::Behind(by) => {
                self.before.push_back(body);
                let full = self.before.len() > by as usize;
                let first = self.before.front().cloned().unwrap_or_default();
                if full { self.before.pop_front().unwrap_or_default() } else { first }
            }
            WireChange::Frozen => {
                if self.before.is_empty() {
                    self.before.push_back(body);
                }
                self.before.front().cloned().unwrap_or_default()
            }
            WireChange::Scaled(hundredths) if head[1] & 0x7f == 0 => {
                let scaled = body.iter().map(|byte| {
                    let sample = i32::from(Law::Mu.decode(*byte));
                    let sample = sample.saturating_mul(hundredths.cast_signed()) / 100;
                    Law::Mu.encode(sample.clamp(-32_768, 32_767) as i16)
                });
                scaled.collect()
            }
            _ => body,
        };
        let payload = [&head[..], &body[..]].concat();
        Datagram { payload: payload.into(), ..*datagram }
    }

    fn edited(&self, line: Line, nth: u32, datagram: &Datagram) -> Fate {
        let mut bytes = datagram.payload.to_vec();
        let first = self.first.get(&word(&bytes, 8)).map_or(0, |(_, first)| *first);
        header(self.change, line, nth, first, &mut bytes);
        // What is broken from the beginning is never taken for a stream at all.
        if nth > BEGINS {
            broken(self.change, line, &mut bytes);
        }
        let length = header_length(&bytes);
        if line == Line::Pictures {
            picture(self.change, &mut bytes[length..]);
        }
        at_once(Datagram { payload: bytes.into(), ..*datagram })
    }
}

/// Changes numbers, sources, timestamps and types.
fn header(change: WireChange, line: Line, nth: u32, first: u32, bytes: &mut [u8]) {
    let timestamp = word(bytes, 4);
    match change {
        WireChange::NumberJumps(on, by) if on == line => {
            put_number(bytes, by.wrapping_mul((nth / 100) as u16));
        }
        WireChange::NumberStep(on, step) if on == line => {
            put_number(bytes, step.wrapping_sub(1).wrapping_mul(nth as u16));
        }
        WireChange::SourceChanges(on, at) if on == line && nth >= at => bytes[8] ^= 0x55,
        WireChange::TwoSources(on) if on == line && nth.is_multiple_of(2) => bytes[8] ^= 0x55,
        WireChange::Pace(on, hundredths) if on == line => {
            let since = u64::from(timestamp.wrapping_sub(first));
            let since = since * u64::from(hundredths) / 100;
            put_word(bytes, 4, first.wrapping_add(since as u32));
        }
        WireChange::Ahead(on, ms) if on == line => {
            let rate = if on == Line::Sound { 48 } else { 90 };
            put_word(bytes, 4, timestamp.wrapping_add(ms * rate));
        }
        WireChange::TimeStands(on) if on == line => put_word(bytes, 4, first),
        WireChange::TimeOfItsOwn(on) if on == line => {
            put_word(bytes, 4, timestamp.wrapping_add(nth * 7));
        }
        WireChange::TimeGoesBack(on) if on == line => {
            let rate = if line == Line::Sound { 48_000 } else { 90_000 };
            put_word(bytes, 4, timestamp.wrapping_sub(nth / 100 * rate));
        }
        WireChange::PayloadType(on, other) if on == line => bytes[1] = (bytes[1] & 0x80) | other,
        WireChange::Marker(on, set) if on == line => {
            bytes[1] = (bytes[1] & 0x7f) | (u8::from(set) << 7);
        }
        _ => {}
    }
}

/// Makes something of a packet that cannot be read, or decoded.
fn broken(change: WireChange, line: Line, bytes: &mut Vec<u8>) {
    let header = header_length(bytes);
    match change {
        WireChange::Version(on, version) if on == line => {
            bytes[0] = (bytes[0] & 0x3f) | (version << 6);
        }
        WireChange::CutOff(on, length) if on == line => bytes.truncate(length),
        WireChange::Padding(on) if on == line => {
            bytes[0] |= 0x20;
            bytes.truncate(header + 60);
            if let Some(last) = bytes.last_mut() {
                *last = 255;
            }
        }
        WireChange::Sources(on) if on == line => {
            bytes[0] |= 0x0f;
            bytes.truncate(40);
        }
        WireChange::Extension(on) if on == line => {
            bytes[0] |= 0x10;
            bytes.truncate(12);
            bytes.extend([0xbe, 0xde, 0xff, 0xff, 1, 2, 3]);
        }
        WireChange::Empty(on) if on == line => bytes.truncate(header),
        WireChange::Garbage(on) if on == line => {
            for (byte, index) in bytes[header..].iter_mut().zip(1_u32..) {
                *byte = (index.wrapping_mul(2_654_435_761) >> 24) as u8 | 0x03;
            }
        }
        _ => {}
    }
}

/// Changes a payload of H.264; parameter sets may be in an aggregate (STAP-A).
fn picture(change: WireChange, payload: &mut [u8]) {
    let Some(&byte) = payload.first() else { return };
    let unit = byte & 0x1f;
    match change {
        WireChange::NoFragmentStart if unit == 28 => payload[1] &= 0x7f,
        WireChange::NoFragmentEnd if unit == 28 => payload[1] &= 0xbf,
        WireChange::UnitType(other) if !matches!(unit, 7 | 8 | 24) => {
            payload[0] = (byte & 0xe0) | other;
        }
        WireChange::Forbidden => payload[0] |= 0x80,
        WireChange::HidesUnit(kind) => each_unit(payload, |unit| {
            if unit[0] & 0x1f == kind {
                unit[0] = (unit[0] & 0xe0) | 6;
            }
        }),
        WireChange::Profile(other) => each_unit(payload, |unit| {
            if unit[0] & 0x1f == 7 && unit.len() > 3 {
                unit[1] = other;
            }
        }),
        WireChange::BSlices => {
            // A slice begins behind the header of its unit, or that of its first fragment.
            // first_mb_in_slice = 0 is `1`; slice_type 5 (P) is `00110`, 6 (B) is `00111`.
            let begins = match (unit, payload.get(1)) {
                (1, _) => 1,
                (28, Some(0x81)) => 2,
                _ => return,
            };
            if let Some(slice) = payload.get_mut(begins).filter(|byte| **byte & 0xfc == 0x98) {
                *slice |= 0x04;
            }
        }
        _ => {}
    }
}

/// Does something with the unit of a packet, or with each of an aggregate.
fn each_unit(payload: &mut [u8], act: impl Fn(&mut [u8])) {
    if payload[0] & 0x1f != 24 {
        return act(payload);
    }
    let mut at = 1;
    while let Some(size) = payload.get(at..at + 2) {
        let size = usize::from(u16::from_be_bytes([size[0], size[1]]));
        match payload.get_mut(at + 2..at + 2 + size) {
            Some(unit) if size > 0 => act(unit),
            _ => return,
        }
        at += 2 + size;
    }
}

fn at_once(datagram: Datagram) -> Fate {
    vec![(Duration::ZERO, Held::Out(datagram))]
}

/// RTCP, by its packet type (RFC 5761).
fn is_report(bytes: &[u8]) -> bool {
    bytes.len() >= 8 && (192..=223).contains(&bytes[1])
}

fn line_of(bytes: &[u8]) -> Option<Line> {
    if bytes.len() < 12 {
        return None;
    }
    match bytes[1] & 0x7f {
        0 | 8 | 111 => Some(Line::Sound),
        102 | 103 => Some(Line::Pictures),
        _ => None,
    }
}

fn header_length(bytes: &[u8]) -> usize {
    let mut length = 12 + 4 * usize::from(bytes[0] & 0x0f);
    if bytes[0] & 0x10 != 0
        && let Some(words) = bytes.get(length + 2..length + 4)
    {
        length += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    length.min(bytes.len())
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|four| four.first_chunk::<4>());
    four.map_or(0, |four| u32::from_be_bytes(*four))
}

fn put_word(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
}

/// Moves the sequence number on.
fn put_number(bytes: &mut [u8], by: u16) {
    let number = u16::from_be_bytes([bytes[2], bytes[3]]).wrapping_add(by);
    bytes[2..4].copy_from_slice(&number.to_be_bytes());
}
