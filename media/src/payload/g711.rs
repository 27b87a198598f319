//! G.711 in RTP (RFC 3551 section 4.5.14): one byte per sample, no header, any duration.

/// The longest payload that is played, in bytes and so in samples at 8 kHz: 200 ms, more
/// than any packet that fits an Ethernet frame.
pub const BYTES_MAX: usize = 1_600;

/// Why a payload is not G.711.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not one sample.
    #[error("a G.711 payload of no bytes")]
    Empty,
    /// More than [`BYTES_MAX`].
    #[error("a G.711 payload of {0} bytes, more than {BYTES_MAX}")]
    TooLong(usize),
}

/// How many ticks of the 8 kHz RTP clock a payload lasts.
///
/// # Errors
/// If it is empty or too long to be played.
pub const fn ticks(payload: &[u8]) -> Result<u32, ParseError> {
    match payload.len() {
        0 => Err(ParseError::Empty),
        bytes if bytes > BYTES_MAX => Err(ParseError::TooLong(bytes)),
        bytes => Ok(bytes as u32),
    }
}
