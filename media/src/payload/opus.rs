//! What an Opus packet says of itself before anything is decoded: RFC 6716 section 3 (the
//! table-of-contents byte and frame packing, rules R1 to R7) and section 4.2.4 (whether it
//! carries the previous frame once more as error correction). RFC 7587 puts exactly one
//! such packet into an RTP payload.

use core::time::Duration;

/// The most frames a packet holds: 120 ms of 2.5 ms each.
pub const FRAMES_MAX: usize = 48;

/// The largest frame (rule R2).
pub const FRAME_BYTES_MAX: usize = 1275;

/// The longest packet, in ticks of the 48 kHz RTP clock (rule R5).
pub const TICKS_MAX: u32 = 5_760;

/// Which part of Opus a packet is coded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// The linear-prediction part, for speech.
    Silk,
    /// Both parts at once.
    Hybrid,
    /// The transform part, for music and short delay.
    Celt,
}

/// How high the sound reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bandwidth {
    /// To 4 kHz.
    Narrow,
    /// To 6 kHz.
    Medium,
    /// To 8 kHz.
    Wide,
    /// To 12 kHz.
    SuperWide,
    /// To 20 kHz.
    Full,
}

/// The first byte of a packet, taken apart (section 3.1). Every byte is a valid one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Toc(u8);

impl Toc {
    /// Of the packet's first byte.
    #[must_use]
    pub const fn parse(byte: u8) -> Self {
        Self(byte)
    }

    /// The configuration number, 0 to 31 (table 2 of RFC 6716).
    #[must_use]
    pub const fn config(self) -> u8 {
        self.0 >> 3
    }

    /// Which part of Opus.
    #[must_use]
    pub const fn mode(self) -> Mode {
        match self.config() {
            0..=11 => Mode::Silk,
            12..=15 => Mode::Hybrid,
            _ => Mode::Celt,
        }
    }

    /// How high it reaches.
    #[must_use]
    pub const fn bandwidth(self) -> Bandwidth {
        match self.config() {
            0..=3 | 16..=19 => Bandwidth::Narrow,
            4..=7 => Bandwidth::Medium,
            8..=11 | 20..=23 => Bandwidth::Wide,
            12..=13 | 24..=27 => Bandwidth::SuperWide,
            _ => Bandwidth::Full,
        }
    }

    /// Whether two channels are coded.
    #[must_use]
    pub const fn is_stereo(self) -> bool {
        self.0 & 0b100 != 0
    }

    /// How long each frame lasts, in ticks of the 48 kHz RTP clock.
    #[must_use]
    pub const fn frame_ticks(self) -> u32 {
        let config = self.config() as usize;
        match self.mode() {
            Mode::Silk => [480, 960, 1920, 2880][config % 4],
            Mode::Hybrid => [480, 960][config % 2],
            Mode::Celt => [120, 240, 480, 960][config % 4],
        }
    }
}

/// Why bytes are not an Opus packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not even a first byte (R1).
    #[error("an Opus packet of no bytes")]
    Empty,
    /// Two frames of the same size in an odd number of bytes (R3).
    #[error("two equal frames cannot share {bytes} bytes")]
    OddBytes {
        /// After the first byte.
        bytes: usize,
    },
    /// A frame is larger than [`FRAME_BYTES_MAX`] (R2).
    #[error("frame {index} has {bytes} bytes, more than {FRAME_BYTES_MAX}")]
    FrameTooLarge {
        /// Counted from 0.
        index: usize,
        /// Its size.
        bytes: usize,
    },
    /// A frame's stated length reaches beyond the packet, or the packet ends within it
    /// (R4, R7).
    #[error("the packet ends within frame {index} or its length")]
    Truncated {
        /// Counted from 0.
        index: usize,
    },
    /// The byte that counts the frames is missing (R6, R7).
    #[error("the packet ends before its count of frames")]
    NoFrameCount,
    /// It counts no frames, or more than 120 ms of them (R5).
    #[error("{count} frames of {ticks} ticks each: not within 1 frame to 120 ms")]
    FrameCount {
        /// As stated.
        count: u8,
        /// Each, at 48 kHz.
        ticks: u32,
    },
    /// The padding is longer than what is left of the packet (R6, R7).
    #[error("padding reaches beyond the packet")]
    Padding,
    /// Frames of equal size do not divide the bytes there are (R6).
    #[error("{count} equal frames cannot share {bytes} bytes")]
    UnevenBytes {
        /// Of frames.
        count: u8,
        /// For all of them.
        bytes: usize,
    },
}

/// How the frames of a packet are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing<'a> {
    /// All of the same size.
    Equal { bytes: usize },
    /// Each but the last with its length coded here.
    Coded { lengths: &'a [u8] },
}

/// A packet, checked against every rule of section 3; the frames borrow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    toc: Toc,
    frame_count: u8,
    packing: Packing<'a>,
    data: &'a [u8],
    padding: usize,
}

impl<'a> Packet<'a> {
    /// Takes an RTP payload apart.
    ///
    /// # Errors
    /// Which rule is broken, and where.
    pub fn parse(payload: &'a [u8]) -> Result<Self, ParseError> {
        let (&first, body) = payload.split_first().ok_or(ParseError::Empty)?;
        let toc = Toc::parse(first);
        match first & 0b11 {
            0 => Self::equal(toc, 1, body, 0),
            1 if body.len() % 2 == 1 => Err(ParseError::OddBytes { bytes: body.len() }),
            1 => Self::equal(toc, 2, body, 0),
            2 => Self::coded(toc, 2, body, 0),
            _ => Self::parse_counted(toc, body),
        }
    }

    fn parse_counted(toc: Toc, body: &'a [u8]) -> Result<Self, ParseError> {
        let (&counts, mut body) = body.split_first().ok_or(ParseError::NoFrameCount)?;
        let count = counts & 0x3f;
        let ticks = toc.frame_ticks();
        if count == 0 || u32::from(count) * ticks > TICKS_MAX {
            return Err(ParseError::FrameCount { count, ticks });
        }
        let mut padding = 0_usize;
        if counts & 0x40 != 0 {
            loop {
                let (&byte, rest) = body.split_first().ok_or(ParseError::Padding)?;
                body = rest;
                // 255 stands for 254 bytes and a further length byte.
                padding += usize::from(byte.min(254));
                if byte != 255 {
                    break;
                }
            }
        }
        let data = body.len().checked_sub(padding).ok_or(ParseError::Padding)?;
        let body = &body[..data];
        if counts & 0x80 != 0 {
            return Self::coded(toc, count, body, padding);
        }
        if !body.len().is_multiple_of(usize::from(count)) {
            return Err(ParseError::UnevenBytes { count, bytes: body.len() });
        }
        Self::equal(toc, count, body, padding)
    }

    fn equal(
        toc: Toc,
        frame_count: u8,
        data: &'a [u8],
        padding: usize,
    ) -> Result<Self, ParseError> {
        let bytes = data.len() / usize::from(frame_count);
        if bytes > FRAME_BYTES_MAX {
            return Err(ParseError::FrameTooLarge { index: 0, bytes });
        }
        Ok(Self { toc, frame_count, packing: Packing::Equal { bytes }, data, padding })
    }

    fn coded(
        toc: Toc,
        frame_count: u8,
        body: &'a [u8],
        padding: usize,
    ) -> Result<Self, ParseError> {
        let last = usize::from(frame_count) - 1;
        let (mut position, mut stated) = (0, 0);
        for index in 0..last {
            let (bytes, taken) =
                coded_length(&body[position..]).ok_or(ParseError::Truncated { index })?;
            position += taken;
            stated += bytes;
            if position + stated > body.len() {
                return Err(ParseError::Truncated { index });
            }
        }
        let (lengths, data) = body.split_at(position);
        let bytes = data.len() - stated;
        if bytes > FRAME_BYTES_MAX {
            return Err(ParseError::FrameTooLarge { index: last, bytes });
        }
        Ok(Self { toc, frame_count, packing: Packing::Coded { lengths }, data, padding })
    }

    /// The first byte.
    #[must_use]
    pub const fn toc(&self) -> Toc {
        self.toc
    }

    /// How many frames there are, at least one and at most [`FRAMES_MAX`].
    #[must_use]
    pub const fn frame_count(&self) -> usize {
        self.frame_count as usize
    }

    /// How long the packet lasts, in ticks of the 48 kHz RTP clock.
    #[must_use]
    pub const fn ticks(&self) -> u32 {
        self.toc.frame_ticks() * self.frame_count as u32
    }

    /// How long the packet lasts.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        Duration::from_nanos(self.ticks() as u64 * 1_000_000_000 / 48_000)
    }

    /// Bytes of padding at the end.
    #[must_use]
    pub const fn padding(&self) -> usize {
        self.padding
    }

    /// The frames, first to last. An empty one is a pause (section 3.1).
    pub fn frames(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (mut data, packing) = (self.data, self.packing);
        let (mut lengths, count) = match packing {
            Packing::Equal { .. } => (&[][..], self.frame_count),
            Packing::Coded { lengths } => (lengths, self.frame_count),
        };
        (0..count).map(move |index| {
            let bytes = match packing {
                Packing::Equal { bytes } => bytes,
                Packing::Coded { .. } if index + 1 == count => data.len(),
                Packing::Coded { .. } => {
                    let (bytes, taken) = coded_length(lengths).expect("checked by parse");
                    lengths = &lengths[taken..];
                    bytes
                }
            };
            let (frame, rest) = data.split_at(bytes);
            data = rest;
            frame
        })
    }

    /// Whether nothing is coded in it: the sender pauses (discontinuous transmission).
    #[must_use]
    pub fn is_pause(&self) -> bool {
        // A frame of one byte codes nothing either: libopus' decoder takes it for a pause.
        self.data.len() <= usize::from(self.frame_count) && self.frames().all(|f| f.len() <= 1)
    }

    /// Whether it carries the sound before it once more, so that a decoder can make good
    /// the loss of the previous packet.
    #[must_use]
    pub fn has_error_correction(&self) -> bool {
        if matches!(self.toc.mode(), Mode::Celt) {
            return false;
        }
        let Some(&first) = self.frames().next().and_then(|frame| frame.first()) else {
            return false;
        };
        // The header of a linear-prediction frame: per channel one flag of voice activity
        // for each 20 ms, then the flag that is asked for. All are coded at even odds, so
        // they stand at the top of the first byte as they are.
        let flags = (self.toc.frame_ticks() / 960).max(1);
        let mid = first >> (7 - flags) & 1;
        let side = if self.toc.is_stereo() { first >> (6 - 2 * flags) & 1 } else { 0 };
        mid | side == 1
    }
}

/// A frame length of one or two bytes (section 3.2.1), and how many it took.
fn coded_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*bytes.first()?);
    if first < 252 {
        return Some((first, 1));
    }
    Some((usize::from(*bytes.get(1)?) * 4 + first, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(payload: &[u8]) -> Vec<usize> {
        Packet::parse(payload).expect("a valid packet").frames().map(<[u8]>::len).collect()
    }

    #[test]
    fn every_configuration_states_the_duration_of_table_two() {
        let ticks: Vec<u32> = (0..32).map(|c| Toc::parse(c << 3).frame_ticks()).collect();
        let silk = [480, 960, 1920, 2880];
        let celt = [120, 240, 480, 960];
        assert_eq!(ticks[..12], [silk, silk, silk].concat());
        assert_eq!(ticks[12..16], [480, 960, 480, 960]);
        assert_eq!(ticks[16..], [celt, celt, celt, celt].concat());
    }

    #[test]
    fn one_frame_is_all_that_follows_the_first_byte() {
        assert_eq!(frames(&[0x08, 1, 2, 3]), [3]);
        assert_eq!(frames(&[0x08]), [0]);
        assert!(Packet::parse(&[0x08]).expect("valid").is_pause());
    }

    #[test]
    fn two_frames_share_or_state_their_bytes() {
        assert_eq!(frames(&[0x09, 1, 2, 3, 4]), [2, 2]);
        assert_eq!(frames(&[0x0a, 1, 7, 8, 9]), [1, 2]);
        assert_eq!(Packet::parse(&[0x09, 1, 2, 3]), Err(ParseError::OddBytes { bytes: 3 }));
        assert_eq!(Packet::parse(&[0x0a, 4, 7, 8, 9]), Err(ParseError::Truncated { index: 0 }));
    }

    #[test]
    fn counted_frames_come_with_padding_and_lengths() {
        assert_eq!(frames(&[0x0b, 0x03, 1, 2, 3]), [1, 1, 1]);
        assert_eq!(frames(&[0x0b, 0x43, 2, 1, 2, 3, 0, 0]), [1, 1, 1]);
        assert_eq!(frames(&[0x0b, 0x83, 0, 2, 1, 2, 3]), [0, 2, 1]);
        let padded = [&[0x0b, 0x41, 255, 1][..], &[9; 3], &[0; 255]].concat();
        assert_eq!(frames(&padded), [3]);
        assert_eq!(Packet::parse(&padded).expect("valid").padding(), 255);
    }

    #[test]
    fn a_lying_packet_is_told_which_rule_it_breaks() {
        assert_eq!(Packet::parse(&[]), Err(ParseError::Empty));
        assert_eq!(Packet::parse(&[0x0b]), Err(ParseError::NoFrameCount));
        assert_eq!(
            Packet::parse(&[0x0b, 0x00]),
            Err(ParseError::FrameCount { count: 0, ticks: 960 })
        );
        assert_eq!(
            Packet::parse(&[0x0b, 0x07, 0]),
            Err(ParseError::FrameCount { count: 7, ticks: 960 })
        );
        assert_eq!(Packet::parse(&[0x0b, 0x42, 255]), Err(ParseError::Padding));
        assert_eq!(Packet::parse(&[0x0b, 0x42, 3, 0]), Err(ParseError::Padding));
        assert_eq!(
            Packet::parse(&[0x0b, 0x02, 0]),
            Err(ParseError::UnevenBytes { count: 2, bytes: 1 })
        );
        let large = [&[0x08][..], &[0; 1276]].concat();
        assert_eq!(Packet::parse(&large), Err(ParseError::FrameTooLarge { index: 0, bytes: 1276 }));
    }
}
