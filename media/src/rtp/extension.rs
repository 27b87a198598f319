//! Header extensions (RFC 8285), kept as they came and read when asked for: one-byte and
//! two-byte elements, and the ones this project knows: sound level (RFC 6464), absolute
//! send time, MID (RFC 9143), transport-wide sequence number. A block of another profile
//! is passed through untouched.

use bytes::{BufMut, Bytes, BytesMut};

/// The profile word of blocks with one-byte element headers.
const ONE_BYTE: u16 = 0xbede;

/// Bytes that a block can have: its length field counts 32-bit words.
const DATA_MAX: usize = 4 * u16::MAX as usize;

/// The header extension of a packet; absent by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    profile: Option<u16>,
    /// A multiple of four bytes.
    data: Bytes,
}

/// Level of the sound in a packet (RFC 6464).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// −dBov: 0 is the loudest, 127 silence.
    pub level: u8,
    /// Whether the sender takes it for speech.
    pub voice: bool,
}

impl AudioLevel {
    /// From the byte of the extension.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self { level: byte & 0x7f, voice: byte & 0x80 != 0 }
    }

    /// The byte of the extension.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        (self.voice as u8) << 7 | self.level & 0x7f
    }
}

impl Extensions {
    /// A block as it stands in a packet: the profile word and whole 32-bit words of data.
    /// Bytes beyond the last whole word are cut off.
    #[must_use]
    pub fn from_raw(profile: u16, mut data: Bytes) -> Self {
        data.truncate(data.len().min(DATA_MAX) & !3);
        Self { profile: Some(profile), data }
    }

    /// Builds a block of these elements: with one-byte headers where they suffice, with
    /// two-byte headers otherwise. `scratch` provides the memory.
    ///
    /// # Errors
    /// Id 0, which means padding, and elements or blocks that are too long.
    pub fn build(elements: &[(u8, &[u8])], scratch: &mut BytesMut) -> Result<Self, BuildError> {
        if elements.is_empty() {
            return Ok(Self::default());
        }
        let mut small = true;
        let mut length = 0;
        for (id, data) in elements {
            if *id == 0 {
                return Err(BuildError::PaddingId);
            }
            if data.len() > 255 {
                return Err(BuildError::ElementTooLong { id: *id, length: data.len() });
            }
            small &= *id <= 14 && (1..=16).contains(&data.len());
            length += 2 + data.len();
        }
        if length > DATA_MAX {
            return Err(BuildError::BlockTooLong { length });
        }
        scratch.reserve(length + 3);
        for (id, data) in elements {
            if small {
                scratch.put_u8(id << 4 | (data.len() - 1) as u8);
            } else {
                scratch.put_slice(&[*id, data.len() as u8]);
            }
            scratch.put_slice(data);
        }
        while !scratch.len().is_multiple_of(4) {
            scratch.put_u8(0);
        }
        let profile = if small { ONE_BYTE } else { 0x1000 };
        Ok(Self { profile: Some(profile), data: scratch.split().freeze() })
    }

    /// Whether the packet has a header extension, be it an empty one.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        self.profile.is_some()
    }

    /// The profile word.
    #[must_use]
    pub const fn profile(&self) -> Option<u16> {
        self.profile
    }

    /// The block's data as it stands in the packet.
    #[must_use]
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// Bytes in a packet, profile and length words included.
    #[must_use]
    pub fn written_length(&self) -> usize {
        if self.is_present() { 4 + self.data.len() } else { 0 }
    }

    /// Appends the block as it stands in a packet; nothing if there is none.
    pub fn write(&self, out: &mut BytesMut) {
        if let Some(profile) = self.profile {
            out.put_u16(profile);
            out.put_u16((self.data.len() / 4) as u16);
            out.put_slice(&self.data);
        }
    }

    /// Bytes that [`write_with`](Self::write_with) appends at most.
    #[must_use]
    pub fn written_length_with(&self, more: &[(u8, &[u8])]) -> usize {
        let more: usize = more.iter().map(|(_, data)| 2 + data.len()).sum();
        self.written_length().max(4) + more + 3
    }

    /// Appends the block with these elements in place of those under their ids: what is
    /// known only when a packet leaves. Elements that a block cannot hold are left out: of
    /// more than 16 bytes or with ids above 14 beside one-byte headers, and all of them in a
    /// block of another profile.
    pub fn write_with(&self, more: &[(u8, &[u8])], out: &mut BytesMut) {
        let small = match self.profile {
            None | Some(ONE_BYTE) => true,
            Some(profile) if profile & 0xfff0 == 0x1000 => false,
            Some(_) => return self.write(out),
        };
        let fits = |(id, data): &(u8, &[u8])| {
            *id != 0
                && if small {
                    *id <= 14 && (1..=16).contains(&data.len())
                } else {
                    data.len() <= 255
                }
        };
        if !more.iter().any(fits) {
            return self.write(out);
        }
        out.put_u16(self.profile.unwrap_or(ONE_BYTE));
        let start = out.len();
        out.put_u16(0);
        let stays = |(id, _): &(u8, &[u8])| !more.iter().any(|(other, _)| other == id);
        for (id, data) in self.iter().filter(stays).chain(more.iter().copied().filter(fits)) {
            if small {
                out.put_u8(id << 4 | (data.len() - 1) as u8);
            } else {
                out.put_slice(&[id, data.len() as u8]);
            }
            out.put_slice(data);
        }
        while !(out.len() - start - 2).is_multiple_of(4) {
            out.put_u8(0);
        }
        let words = ((out.len() - start - 2) / 4) as u16;
        out[start..start + 2].copy_from_slice(&words.to_be_bytes());
    }

    /// The elements in order. Ends early where the block contradicts itself, as RFC 8285
    /// section 4.2 demands.
    #[must_use]
    pub fn iter(&self) -> Elements<'_> {
        let form = match self.profile {
            Some(ONE_BYTE) => Form::OneByte,
            Some(profile) if profile & 0xfff0 == 0x1000 => Form::TwoByte,
            _ => Form::Opaque,
        };
        Elements { form, rest: &self.data }
    }

    /// The first element with this id.
    #[must_use]
    pub fn get(&self, id: u8) -> Option<&[u8]> {
        self.iter().find(|element| element.0 == id).map(|element| element.1)
    }

    /// RFC 6464 under this id.
    #[must_use]
    pub fn audio_level(&self, id: u8) -> Option<AudioLevel> {
        self.get(id)?.first().copied().map(AudioLevel::from_byte)
    }

    /// Absolute send time under this id: 24 bits of 6.18 fixed-point seconds.
    #[must_use]
    pub fn absolute_send_time(&self, id: u8) -> Option<u32> {
        let [a, b, c] = *self.get(id)?.first_chunk::<3>()?;
        Some(u32::from_be_bytes([0, a, b, c]))
    }

    /// RFC 9143 media line name under this id.
    #[must_use]
    pub fn mid(&self, id: u8) -> Option<&str> {
        self.text(id)
    }

    /// RFC 8852 name of a layer under this id.
    #[must_use]
    pub fn stream_id(&self, id: u8) -> Option<&str> {
        self.text(id)
    }

    /// An item of RTCP SDES under this id (RFC 7941).
    fn text(&self, id: u8) -> Option<&str> {
        core::str::from_utf8(self.get(id)?).ok()
    }

    /// Transport-wide sequence number under this id.
    #[must_use]
    pub fn transport_sequence(&self, id: u8) -> Option<u16> {
        self.get(id)?.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))
    }
}

impl<'a> IntoIterator for &'a Extensions {
    type Item = (u8, &'a [u8]);
    type IntoIter = Elements<'a>;

    fn into_iter(self) -> Elements<'a> {
        self.iter()
    }
}

/// The 24 bits of an absolute send time at this wall clock moment.
#[must_use]
pub const fn absolute_send_time(time: crate::time::NtpTime) -> u32 {
    ((time.to_bits() >> 14) & 0x00ff_ffff) as u32
}

#[derive(Clone, Copy, Debug)]
enum Form {
    OneByte,
    TwoByte,
    Opaque,
}

/// Elements of a block: id and data.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    form: Form,
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    fn take(&mut self, id: u8, head: usize, length: usize) -> Option<(u8, &'a [u8])> {
        let Some(data) = self.rest.get(head..head + length) else {
            self.rest = &[];
            return None;
        };
        self.rest = &self.rest[head + length..];
        Some((id, data))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&first, after) = self.rest.split_first()?;
            match self.form {
                Form::Opaque => return None,
                _ if first == 0 => self.rest = after,
                Form::OneByte => {
                    let id = first >> 4;
                    if id == 0 || id == 15 {
                        self.rest = &[];
                        return None;
                    }
                    return self.take(id, 1, usize::from(first & 0x0f) + 1);
                }
                Form::TwoByte => {
                    let length = after.first().copied().unwrap_or(u8::MAX);
                    return self.take(first, 2, usize::from(length));
                }
            }
        }
    }
}

/// Why elements do not make a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// 0 cannot be an id.
    #[error("extension id 0 means padding")]
    PaddingId,
    /// More than 255 bytes.
    #[error("extension {id} has {length} bytes; 255 are possible")]
    ElementTooLong {
        /// Of the element.
        id: u8,
        /// Of its data.
        length: usize,
    },
    /// More than a length field can say.
    #[error("extensions of {length} bytes; {DATA_MAX} are possible")]
    BlockTooLong {
        /// Of all elements.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(profile: u16, data: &[u8]) -> Extensions {
        Extensions::from_raw(profile, Bytes::copy_from_slice(data))
    }

    #[test]
    fn one_byte_elements_are_read_across_padding() {
        let block = raw(ONE_BYTE, &[0x10, 0xff, 0, 0, 0x32, 1, 2, 3]);
        let elements: Vec<_> = block.iter().collect();
        assert_eq!(elements, [(1, &[0xff][..]), (3, &[1, 2, 3][..])]);
        assert_eq!(block.audio_level(1), Some(AudioLevel { level: 127, voice: true }));
        assert_eq!(block.absolute_send_time(3), Some(0x01_0203));
    }

    #[test]
    fn id_15_and_a_long_id_0_end_a_one_byte_block() {
        assert_eq!(raw(ONE_BYTE, &[0xf0, 1, 0x10, 2]).get(1), None);
        assert_eq!(raw(ONE_BYTE, &[0x01, 1, 0x10, 2]).get(1), None);
    }

    #[test]
    fn two_byte_elements_may_be_empty_and_use_any_application_bits() {
        let block = raw(0x1007, &[16, 0, 0, 200, 1, 9, 0, 0]);
        let elements: Vec<_> = block.iter().collect();
        assert_eq!(elements, [(16, &[][..]), (200, &[9][..])]);
    }

    #[test]
    fn an_element_that_overruns_the_block_is_not_read() {
        assert_eq!(raw(ONE_BYTE, &[0x1f, 1, 2, 3]).iter().count(), 0);
        assert_eq!(raw(0x1000, &[1, 9, 2, 3]).iter().count(), 0);
        assert_eq!(raw(0x1000, &[0, 0, 0, 1]).iter().count(), 0);
    }

    #[test]
    fn another_profile_is_passed_through_unread() {
        let block = raw(0x4242, &[0x10, 0xff, 0, 0]);
        assert_eq!(block.iter().count(), 0);
        let mut out = BytesMut::new();
        block.write(&mut out);
        assert_eq!(&out[..], [0x42, 0x42, 0, 1, 0x10, 0xff, 0, 0]);
    }

    #[test]
    fn long_elements_and_high_ids_need_two_byte_headers() {
        let mut scratch = BytesMut::new();
        let block = Extensions::build(&[(15, &[1])], &mut scratch).expect("it fits");
        assert_eq!(block.profile(), Some(0x1000));
        assert_eq!(block.get(15), Some(&[1][..]));
        let block = Extensions::build(&[(3, b"mid")], &mut scratch).expect("it fits");
        assert_eq!(block.profile(), Some(ONE_BYTE));
        assert_eq!(block.mid(3), Some("mid"));
        assert_eq!(Extensions::build(&[(0, b"x")], &mut scratch), Err(BuildError::PaddingId));
    }

    #[test]
    fn an_absolute_send_time_counts_64_seconds_in_24_bits() {
        let time = crate::time::NtpTime::from_bits((65 << 32) | 0x8000_0000);
        assert_eq!(absolute_send_time(time), (1 << 18) | (1 << 17));
    }
}
