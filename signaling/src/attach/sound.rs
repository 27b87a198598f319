//! A prompt's sound.

/// A prompt's sound: one channel at 16 kHz.
#[derive(Debug)]
pub(crate) struct Sound {
    bytes: usize,
}

impl Sound {
    pub(crate) fn parse(bytes: &bytes::Bytes) -> Result<Self, String> {
        Ok(Self { bytes: bytes.len() })
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}
