//! Digests as they are written in a manifest: lower-case hexadecimal (FIPS 180-4 algorithms).
//!
//! The SHA-256 of files and of the whole corpora is made here; the SHA-1 of decoded output is
//! only carried, since decoding is the business of `media`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// A text that is not a digest in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no digest: expected {expected} hexadecimal characters")]
pub struct DigestError {
    text: String,
    expected: usize,
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// From the raw bytes, most significant first.
            pub const fn new(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The raw bytes, most significant first.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl std::str::FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                let error = || DigestError {
                    text: text.chars().take(80).collect(),
                    expected: $bytes * 2,
                };
                if text.len() != $bytes * 2 || !text.is_ascii() {
                    return Err(error());
                }
                let mut bytes = [0; $bytes];
                for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let high = (pair[0] as char).to_digit(16).ok_or_else(error)?;
                    let low = (pair[1] as char).to_digit(16).ok_or_else(error)?;
                    *byte = (high * 16 + low) as u8;
                }
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

digest!(
    /// A SHA-256.
    Sha256Digest,
    32
);
digest!(
    /// A SHA-1.
    Sha1Digest,
    20
);

impl Sha256Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_abc_is_the_one_in_fips_180() {
        let written = Sha256Digest::of(b"abc").to_string();
        assert_eq!(written, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(written.parse(), Ok(Sha256Digest::of(b"abc")));
    }

    #[test]
    fn a_digest_of_the_wrong_length_or_alphabet_is_refused() {
        assert!("ba78".parse::<Sha256Digest>().is_err());
        assert!("zz7816bf8f01cfea414140de5dae2223b00361a3".parse::<Sha1Digest>().is_err());
        assert!("äääääääääääääääääääääääääääääääääääääääää".parse::<Sha1Digest>().is_err());
    }
}
