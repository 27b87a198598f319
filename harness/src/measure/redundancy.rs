//! Whether a packet of Opus carries the sound before it once more, read off its bits by the judges
//! themselves (RFC 6716 sections 3.1 and 4.2.3). Nothing of the product is used here, on purpose.

/// What a packet says of its sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redundancy {
    /// Its encoder took it for speech.
    pub is_spoken: bool,
    /// It carries the sound before it once more.
    pub repeats: bool,
}

/// Of a packet with one frame of 10 or 20 ms in one channel, which is what can be read without
/// decoding; `None` of another one, and of one in a mode that carries no such thing.
#[must_use]
pub fn of(packet: &[u8]) -> Option<Redundancy> {
    let [toc, first, ..] = *packet else { return None };
    let (mode, is_stereo, frames) = (toc >> 3, toc & 0x04 != 0, toc & 0x03);
    let is_short = match mode {
        0..12 => mode % 4 < 2,
        12..16 => true,
        _ => return None,
    };
    // The first bits of a frame: whether it is spoken, and whether there is a frame before it.
    let (is_spoken, repeats) = (first & 0x80 != 0, first & 0x40 != 0);
    (is_short && !is_stereo && frames == 0).then_some(Redundancy { is_spoken, repeats })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bits_say_it() {
        let of = |packet: &[u8]| of(packet).map(|one| (one.is_spoken, one.repeats));
        // SILK, 20 ms, wide band.
        assert_eq!(of(&[0x48, 0xc0]), Some((true, true)));
        assert_eq!(of(&[0x48, 0x80]), Some((true, false)));
        // Hybrid, 20 ms.
        assert_eq!(of(&[0x78, 0x40]), Some((false, true)));
        for other in [&[0x48][..], &[0x4c, 0xc0], &[0x49, 0xc0], &[0x50, 0xc0], &[0xf8, 0xc0]] {
            assert_eq!(of(other), None, "{other:02x?}");
        }
    }
}
