//! One number decides every random choice of a run. Each part of a run draws from
//! its own stream, named by words, so that adding a recording, a preset or an actor
//! leaves the choices of all the others as they were.

use core::fmt;

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::SeedableRng;

/// The seed of a run, or of a named part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// The seed as the command line gives it.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed of the part called `name`: FNV-1a over the words, then the finaliser
    /// of splitmix64 so that neighbouring seeds share nothing.
    #[must_use]
    pub fn derive(self, name: &str) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ mix(self.0);
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(mix(hash))
    }

    /// The bare number, for the machines of the product.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// A generator that starts here.
    #[must_use]
    pub fn generator(self) -> Pcg64Mcg {
        Pcg64Mcg::seed_from_u64(self.0)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_with_different_names_draw_from_different_streams() {
        let seed = Seed::new(1);
        assert_ne!(seed.derive("uplink"), seed.derive("downlink"));
        assert_ne!(seed.derive("uplink"), Seed::new(2).derive("uplink"));
        assert_eq!(seed.derive("uplink"), Seed::new(1).derive("uplink"));
    }
}
