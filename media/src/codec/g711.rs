//! G.711, both laws, by table. The tables are computed at compile time from the formulas
//! of ITU-T G.711 (the decision and reconstruction values of tables 1 and 2 there); the
//! wire order of bits is that of RFC 3551: A-law with even bits inverted, µ-law with all.

use serde::{Deserialize, Serialize};

/// Samples per second of G.711.
pub const RATE: u32 = 8_000;

/// Which of the two companding laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Law {
    /// A-law: PCMA.
    A,
    /// µ-law: PCMU.
    Mu,
}

static A_DECODED: [i16; 256] = decoded(Law::A);
static MU_DECODED: [i16; 256] = decoded(Law::Mu);
/// By the 13 (A) or 14 (µ) upper bits of a 16-bit sample.
static A_ENCODED: [u8; 1 << 13] = encoded_a();
static MU_ENCODED: [u8; 1 << 14] = encoded_mu();

impl Law {
    /// One sample, 16 bits wide.
    #[must_use]
    pub fn decode(self, byte: u8) -> i16 {
        match self {
            Self::A => A_DECODED[usize::from(byte)],
            Self::Mu => MU_DECODED[usize::from(byte)],
        }
    }

    /// One byte from a 16-bit sample.
    #[must_use]
    pub fn encode(self, sample: i16) -> u8 {
        let bits = sample.cast_unsigned();
        match self {
            Self::A => A_ENCODED[usize::from(bits >> 3)],
            Self::Mu => MU_ENCODED[usize::from(bits >> 2)],
        }
    }

    /// One sample per byte, as far as there are both.
    pub fn decode_to(self, bytes: &[u8], samples: &mut [i16]) {
        let table = match self {
            Self::A => &A_DECODED,
            Self::Mu => &MU_DECODED,
        };
        for (sample, &byte) in samples.iter_mut().zip(bytes) {
            *sample = table[usize::from(byte)];
        }
    }

    /// Appends one byte per sample.
    pub fn encode_into(self, samples: &[i16], bytes: &mut Vec<u8>) {
        bytes.extend(samples.iter().map(|&sample| self.encode(sample)));
    }
}

const fn decoded(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match law {
            Law::A => expand_a(byte as u8),
            Law::Mu => expand_mu(byte as u8),
        };
        byte += 1;
    }
    table
}

/// A-law: 13-bit values, left-aligned in 16.
const fn expand_a(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (segment, step) = (byte >> 4 & 7, (byte & 0x0f) as i16);
    // The middle of the interval; the two lowest segments share their step size.
    let magnitude = match segment {
        0 => 2 * step + 1,
        _ => (2 * step + 33) << (segment - 1),
    } << 3;
    if byte & 0x80 != 0 { magnitude } else { -magnitude }
}

/// µ-law: 14-bit values, left-aligned in 16.
const fn expand_mu(byte: u8) -> i16 {
    let byte = !byte;
    let (segment, step) = (byte >> 4 & 7, (byte & 0x0f) as i16);
    let magnitude = (((2 * step + 33) << segment) - 33) << 2;
    if byte & 0x80 != 0 { -magnitude } else { magnitude }
}

const fn encoded_a() -> [u8; 1 << 13] {
    let mut table = [0; 1 << 13];
    let mut index = 0;
    while index < 1 << 13 {
        // The index is the two's complement of the value in 13 bits.
        let value = if index < 1 << 12 { index as i16 } else { index as i16 - (1 << 13) };
        table[index] = compress_a(value);
        index += 1;
    }
    table
}

const fn compress_a(value: i16) -> u8 {
    // Intervals of negative values are those of positive ones mirrored about zero, so
    // −1 falls into the first negative interval as 0 falls into the first positive one.
    let (sign, magnitude) = if value >= 0 { (0x80, value) } else { (0, -value - 1) };
    let mut segment = 0_u8;
    while segment < 7 && magnitude >= 32 << segment {
        segment += 1;
    }
    let step = if segment == 0 { magnitude >> 1 } else { magnitude >> segment };
    (sign | segment << 4 | (step & 0x0f) as u8) ^ 0x55
}

const fn encoded_mu() -> [u8; 1 << 14] {
    let mut table = [0; 1 << 14];
    let mut index = 0;
    while index < 1 << 14 {
        let value = if index < 1 << 13 { index as i16 } else { index as i16 - (1 << 14) };
        table[index] = compress_mu(value);
        index += 1;
    }
    table
}

const fn compress_mu(value: i16) -> u8 {
    let (sign, magnitude) = if value >= 0 { (0, value) } else { (0x80, -value) };
    // The bias of 33 makes every segment begin at a power of two; what would overflow the
    // last one is clipped to its end.
    let biased = if magnitude > 8158 { 8191 } else { magnitude + 33 };
    let mut segment = 0_u8;
    while segment < 7 && biased >= 64 << segment {
        segment += 1;
    }
    !(sign | segment << 4 | (biased >> (segment + 1) & 0x0f) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_scale_are_those_of_the_recommendation() {
        assert_eq!(Law::A.decode(0xaa), 32_256);
        assert_eq!(Law::A.decode(0x2a), -32_256);
        assert_eq!(Law::A.decode(0xd5), 8);
        assert_eq!(Law::Mu.decode(0x80), 32_124);
        assert_eq!(Law::Mu.decode(0x00), -32_124);
        assert_eq!(Law::Mu.decode(0xff), 0);
    }

    #[test]
    fn what_was_decoded_encodes_to_the_same_byte() {
        for byte in 0..=255 {
            assert_eq!(Law::A.encode(Law::A.decode(byte)), byte);
            // µ-law has two zeros, and the encoder knows only the positive one.
            let expected = if byte == 0x7f { 0xff } else { byte };
            assert_eq!(Law::Mu.encode(Law::Mu.decode(byte)), expected);
        }
    }
}
