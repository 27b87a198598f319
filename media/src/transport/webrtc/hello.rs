//! The first message of a DTLS client, looked into before the handshake begins: which
//! profiles of SRTP it names (RFC 5764 section 4.1.1). Browsers' hellos hold a post-quantum
//! key share and come in two datagrams; those wait here until the message is whole.

const RECORD_HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;
const CLIENT_HELLO: u8 = 1;
const USE_SRTP: u16 = 14;
const AEAD_AES_128_GCM: [u8; 2] = [0, 7];

/// So many datagrams wait; a hello that is not whole by then is not waited for.
const HELD_MAX: usize = 8;

/// What is known of the hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// More has to come.
    Part,
    /// All of it, or as much as is waited for.
    Whole {
        /// Whether it names `SRTP_AEAD_AES_128_GCM`.
        names_aes_gcm: bool,
    },
}

/// A hello that comes in.
#[derive(Debug, Default)]
pub(super) struct Hello {
    held: Vec<Vec<u8>>,
}

impl Hello {
    /// Keeps a datagram, whose records and fragments have been found to be in order.
    pub(super) fn push(&mut self, datagram: &[u8]) -> Seen {
        self.held.push(datagram.to_vec());
        match self.message() {
            Some(message) => {
                let profiles = srtp_profiles(&message).unwrap_or_default();
                let names_aes_gcm = profiles.as_chunks::<2>().0.contains(&AEAD_AES_128_GCM);
                Seen::Whole { names_aes_gcm }
            }
            None if self.held.len() < HELD_MAX => Seen::Part,
            None => Seen::Whole { names_aes_gcm: false },
        }
    }

    /// What was held back, in order of arrival.
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.held)
    }

    /// The message, if all of its fragments are there.
    fn message(&self) -> Option<Vec<u8>> {
        let mut parts: Vec<(usize, usize, &[u8])> =
            self.held.iter().filter_map(|datagram| fragment(datagram)).collect();
        parts.sort_by_key(|(_, offset, _)| *offset);
        let length = parts.first()?.0;
        let mut message = Vec::with_capacity(length);
        for (_, offset, part) in parts {
            // What was sent again is there already.
            let new = part.get(message.len().checked_sub(offset)?..).unwrap_or_default();
            message.extend_from_slice(new);
        }
        (message.len() == length).then_some(message)
    }
}

/// Length of the whole hello, offset of this part of it, and the part.
fn fragment(datagram: &[u8]) -> Option<(usize, usize, &[u8])> {
    let header = datagram.get(RECORD_HEADER..)?.first_chunk::<HANDSHAKE_HEADER>()?;
    let three = |at: usize| {
        usize::from(header[at]) << 16
            | usize::from(header[at + 1]) << 8
            | usize::from(header[at + 2])
    };
    let (length, offset, here) = (three(1), three(6), three(9));
    let part = datagram[RECORD_HEADER + HANDSHAKE_HEADER..].get(..here)?;
    (header[0] == CLIENT_HELLO).then_some((length, offset, part))
}

/// The profiles that a hello names (RFC 5246 section 7.4.1.2, RFC 6347 section 4.2.1).
fn srtp_profiles(hello: &[u8]) -> Option<&[u8]> {
    // Version and random; then session, cookie, ciphers and compressions by their lengths.
    let mut rest = hello.get(34..)?;
    for length_bytes in [1, 1, 2, 1] {
        rest = counted(rest, length_bytes)?.1;
    }
    let (mut extensions, _) = counted(rest, 2)?;
    while let Some((kind, behind)) = extensions.split_first_chunk::<2>() {
        let (data, after) = counted(behind, 2)?;
        if u16::from_be_bytes(*kind) == USE_SRTP {
            return Some(counted(data, 2)?.0);
        }
        extensions = after;
    }
    None
}

/// What a length of so many bytes counts, and what is behind it.
fn counted(bytes: &[u8], length_bytes: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(length_bytes)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hello that names these profiles, behind an extension as long as a key share.
    fn hello(profiles: &[u8]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend([7; 32]);
        body.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
        let mut extensions = vec![0, 51, 4, 0];
        extensions.extend([0; 1_024]);
        let length = profiles.len() as u8;
        extensions.extend([0, 14, 0, length + 3, 0, length]);
        extensions.extend(profiles);
        extensions.push(0);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        body
    }

    fn datagram(message: &[u8], from: usize, to: usize) -> Vec<u8> {
        let three = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
        let mut datagram = vec![22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
        datagram.extend(((to - from + HANDSHAKE_HEADER) as u16).to_be_bytes());
        datagram.push(CLIENT_HELLO);
        datagram.extend(three(message.len()));
        datagram.extend([0, 0]);
        datagram.extend(three(from));
        datagram.extend(three(to - from));
        datagram.extend(&message[from..to]);
        datagram
    }

    #[test]
    fn a_hello_is_read_whole_in_whatever_parts_it_comes() {
        let message = hello(&[0, 1, 0, 8, 0, 7]);
        let (whole, end) = (Seen::Whole { names_aes_gcm: true }, message.len());
        assert_eq!(Hello::default().push(&datagram(&message, 0, end)), whole);
        let mut parts = Hello::default();
        assert_eq!(parts.push(&datagram(&message, 900, end)), Seen::Part);
        assert_eq!(parts.push(&datagram(&message, 900, end)), Seen::Part);
        assert_eq!(parts.push(&datagram(&message, 0, 1_000)), whole);
        assert_eq!(parts.take().len(), 3, "all of it goes into the handshake");
    }

    #[test]
    fn a_hello_without_it_or_that_never_ends_is_not_waited_for() {
        let without = Seen::Whole { names_aes_gcm: false };
        let message = hello(&[0, 1]);
        assert_eq!(Hello::default().push(&datagram(&message, 0, message.len())), without);
        let mut parts = Hello::default();
        for _ in 1..HELD_MAX {
            assert_eq!(parts.push(&datagram(&message, 900, message.len())), Seen::Part);
        }
        assert_eq!(parts.push(&[]), without);
    }

    #[test]
    fn no_bytes_are_too_few() {
        let message = hello(&[0, 1]);
        let datagram = datagram(&message, 0, message.len());
        for length in 0..datagram.len() {
            assert_eq!(Hello::default().push(&datagram[..length]), Seen::Part);
            let _ = srtp_profiles(&message[..length.min(message.len())]);
        }
    }
}
