//! The outside of an Opus packet: how many samples it holds (RFC 6716 section 3).
//!
//! Written again here, apart from the media code, so that durations and flows are told without
//! it. Samples are counted at 48 kHz, whatever the bandwidth.

/// The longest that a packet may be: 120 ms.
const SAMPLES_MAX: u32 = 5_760;

/// Samples per channel in a packet, at 48 kHz, or `None` if its framing is impossible.
pub fn samples(packet: &[u8]) -> Option<u32> {
    let (&toc, rest) = packet.split_first()?;
    let per_frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 if rest.len().is_multiple_of(2) => 2,
        2 => {
            let (length, header) = frame_length(rest)?;
            (length + header <= rest.len()).then_some(2)?
        }
        3 => u32::from(rest.first()? & 0x3f),
        _ => return None,
    };
    let samples = per_frame * frames;
    (frames > 0 && samples <= SAMPLES_MAX).then_some(samples)
}

/// A frame's length, and how many bytes say it (RFC 6716 section 3.2.1).
fn frame_length(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes.first()? {
        first @ 0..=251 => Some((usize::from(first), 1)),
        first => Some((usize::from(*bytes.get(1)?) * 4 + usize::from(first), 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_the_tables_in_rfc_6716() {
        assert_eq!(samples(&[0b0000_1000, 1]), Some(960), "SILK narrowband, 20 ms");
        assert_eq!(samples(&[0b0001_1000, 1]), Some(2_880), "SILK narrowband, 60 ms");
        assert_eq!(samples(&[0b0110_0000, 1]), Some(480), "hybrid, 10 ms");
        assert_eq!(samples(&[0b1110_0000, 1]), Some(120), "CELT fullband, 2.5 ms");
        assert_eq!(samples(&[0b1111_1001, 1, 2]), Some(1_920), "two of 20 ms");
        assert_eq!(samples(&[0b1111_1011, 6]), Some(5_760), "six of 20 ms");
        assert_eq!(samples(&[0b1111_1000]), Some(960), "a lost frame of discontinuous sending");
    }

    #[test]
    fn impossible_framings_have_no_duration() {
        assert_eq!(samples(&[]), None);
        assert_eq!(samples(&[0b1111_1001, 1]), None, "two equal frames in an odd length");
        assert_eq!(samples(&[0b1111_1010, 9, 1]), None, "a frame longer than its packet");
        assert_eq!(samples(&[0b1111_1011, 0]), None, "no frames");
        assert_eq!(samples(&[0b1111_1011, 7]), None, "above 120 ms");
    }
}
