//! The payload of a telephone-event (RFC 4733 section 2.3): which event, whether it has
//! ended, how loud, and for how long so far.

use bytes::{BufMut, BytesMut};

/// Bytes of one event; what follows in the payload is left alone, as section 2.3 allows
/// for more to come.
pub const BYTES: usize = 4;

/// One report on one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TelephoneEvent {
    /// The event code; 0 to 16 are the [tones](crate::dtmf::Tone).
    pub code: u8,
    /// Whether this report is of its end.
    pub end: bool,
    /// Loudness in −dBm0, 0 to 63.
    pub volume: u8,
    /// For how long so far, in ticks of the RTP clock.
    pub duration: u16,
}

/// Why a payload is not a telephone-event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a telephone-event of {bytes} bytes, fewer than {BYTES}")]
pub struct ParseError {
    /// How many there were.
    pub bytes: usize,
}

impl TelephoneEvent {
    /// Reads the first event of a payload. The reserved bit is ignored on receipt.
    ///
    /// # Errors
    /// If there are not enough bytes.
    pub fn parse(payload: &[u8]) -> Result<Self, ParseError> {
        let &[code, flags, high, low] =
            payload.first_chunk::<BYTES>().ok_or(ParseError { bytes: payload.len() })?;
        Ok(Self {
            code,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// Appends the payload.
    pub fn write(&self, bytes: &mut BytesMut) {
        bytes.put_slice(&self.to_bytes());
    }

    /// The payload.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; BYTES] {
        let [high, low] = self.duration.to_be_bytes();
        [self.code, (self.end as u8) << 7 | self.volume & 0x3f, high, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let event = TelephoneEvent { code: 11, end: true, volume: 10, duration: 0x1234 };
        assert_eq!(event.to_bytes(), [11, 0x8a, 0x12, 0x34]);
        assert_eq!(TelephoneEvent::parse(&event.to_bytes()), Ok(event));
    }

    #[test]
    fn the_reserved_bit_and_what_follows_are_ignored() {
        let event = TelephoneEvent::parse(&[1, 0x4a, 0, 1, 99]).expect("long enough");
        assert_eq!(event, TelephoneEvent { code: 1, end: false, volume: 10, duration: 1 });
        assert_eq!(TelephoneEvent::parse(&[1, 2, 3]), Err(ParseError { bytes: 3 }));
    }
}
