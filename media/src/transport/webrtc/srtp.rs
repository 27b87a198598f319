//! SRTP and SRTCP (RFC 3711; AES-GCM by RFC 7714), one context for each way. The ciphers
//! are those of `rtc-srtp`, whose crypto traits this is the one file to name; the contexts
//! are our own for three reasons: `rtc-srtp`'s give every packet memory of its own where
//! these work in place, they remember any SSRC that a forged packet names where these
//! remember authenticated ones only, and they protect another packet under a number that was
//! used before, which gives AES-GCM's key away (RFC 7714 section 11.1). In the tests
//! `rtc-srtp` judges both ways.

use bytes::{BufMut, BytesMut};
use rtc_srtp::crypto::{
    AeadAlgorithm, AeadCipher, CryptoError, HmacAlgorithm, Mac, RTCCrypto, StreamCipher,
    StreamCipherAlgorithm, constant_time_eq,
};

use super::Profile;
use crate::event::DropReason;
use crate::rtp::FIXED_HEADER_LENGTH;

/// How many sources a context remembers, each way.
const SOURCES_MAX: usize = 128;

/// A packet so far behind the newest of its source is not taken (RFC 3711 section 3.3.2).
const WINDOW: u64 = 1024;

/// So many packets back, a packet may be sent again as it was.
const REPEATABLE: u64 = 512;

/// What a packet becomes longer by, at most: the tag of AES-GCM and SRTCP's index.
pub(super) const GROWTH_MAX: usize = GCM_TAG + INDEX;

const GCM_TAG: usize = 16;
const SHA1_TAG: usize = 10;
const INDEX: usize = 4;
/// Header and SSRC of an RTCP packet: what SRTCP leaves readable.
const RTCP_CLEAR: usize = 8;
const ENCRYPTED: u32 = 1 << 31;

/// Key and salt of one way, out of what DTLS exports.
#[derive(Clone, Copy)]
pub(super) struct Master<'a> {
    pub(super) key: &'a [u8],
    pub(super) salt: &'a [u8],
}

impl Profile {
    pub(super) const KEY: usize = 16;

    pub(super) const fn salt(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 12,
            Self::Aes128CmSha1 => 14,
        }
    }
}

/// Why a packet is not protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is no packet.
    Malformed,
    /// Another one with its number has left, or so much later ones that nobody knows.
    Reused,
    /// There are as many sources as can be remembered.
    TooManySources,
    /// The cipher refuses.
    Cipher,
}

/// The first label of RFC 3711 section 4.3.1 for each kind of packet.
#[derive(Clone, Copy)]
enum Labels {
    Rtp = 0,
    Rtcp = 3,
}

enum Cipher {
    Gcm { aead: Box<dyn AeadCipher>, salt: [u8; 12] },
    Counter { stream: Box<dyn StreamCipher>, mac: Box<dyn Mac>, salt: [u8; 14] },
}

impl Cipher {
    fn new(
        profile: Profile,
        master: Master<'_>,
        labels: Labels,
        crypto: &dyn RTCCrypto,
    ) -> Result<Self, CryptoError> {
        let mut key = [0; Profile::KEY];
        derive(master, labels as u8, &mut key, crypto)?;
        match profile {
            Profile::AeadAes128Gcm => {
                let mut salt = [0; 12];
                derive(master, labels as u8 + 2, &mut salt, crypto)?;
                Ok(Self::Gcm { aead: crypto.new_aead(AeadAlgorithm::Aes128Gcm, &key)?, salt })
            }
            Profile::Aes128CmSha1 => {
                let (mut salt, mut auth) = ([0; 14], [0; 20]);
                derive(master, labels as u8 + 1, &mut auth, crypto)?;
                derive(master, labels as u8 + 2, &mut salt, crypto)?;
                let stream = crypto.new_stream_cipher(StreamCipherAlgorithm::Aes128Ctr, &key)?;
                Ok(Self::Counter {
                    stream,
                    mac: crypto.new_hmac(HmacAlgorithm::Sha1, &auth)?,
                    salt,
                })
            }
        }
    }

    /// Bytes that SRTP appends.
    const fn tag(&self) -> usize {
        match self {
            Self::Gcm { .. } => GCM_TAG,
            Self::Counter { .. } => SHA1_TAG,
        }
    }

    /// Encrypts behind `clear` and appends the tag; its first bytes.
    fn seal_rtp(
        &mut self,
        packet: &mut BytesMut,
        clear: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<u32, CryptoError> {
        match self {
            Self::Gcm { aead, salt } => {
                let mut tag = [0; GCM_TAG];
                let nonce = gcm_nonce(salt, ssrc, index);
                let (head, body) = packet.split_at_mut(clear);
                aead.seal_in_place(&nonce, head, body, &mut tag)?;
                packet.put_slice(&tag);
                Ok(u32::from_be_bytes([tag[0], tag[1], tag[2], tag[3]]))
            }
            Self::Counter { stream, mac, salt } => {
                let counter = counter(salt, ssrc, index);
                stream.apply_keystream(&counter, &mut packet[clear..])?;
                let mut tag = [0; 20];
                mac.sign(&[packet, &((index >> 16) as u32).to_be_bytes()], &mut tag)?;
                packet.put_slice(&tag[..SHA1_TAG]);
                Ok(u32::from_be_bytes([tag[0], tag[1], tag[2], tag[3]]))
            }
        }
    }

    /// Checks the tag, takes it off, and decrypts behind `clear`.
    fn open_rtp(
        &mut self,
        packet: &mut BytesMut,
        clear: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), CryptoError> {
        let end = packet.len() - self.tag();
        match self {
            Self::Gcm { aead, salt } => {
                let nonce = gcm_nonce(salt, ssrc, index);
                let (rest, tag) = packet.split_at_mut(end);
                let (head, body) = rest.split_at_mut(clear);
                aead.open_in_place(&nonce, head, body, tag)?;
            }
            Self::Counter { stream, mac, salt } => {
                let mut tag = [0; 20];
                mac.sign(&[&packet[..end], &((index >> 16) as u32).to_be_bytes()], &mut tag)?;
                if !constant_time_eq(&tag[..SHA1_TAG], &packet[end..]) {
                    return Err(CryptoError::AuthenticationFailed);
                }
                stream.apply_keystream(&counter(salt, ssrc, index), &mut packet[clear..end])?;
            }
        }
        packet.truncate(end);
        Ok(())
    }

    fn seal_rtcp(
        &mut self,
        packet: &mut BytesMut,
        ssrc: u32,
        index: u32,
    ) -> Result<(), CryptoError> {
        let word = (ENCRYPTED | index).to_be_bytes();
        match self {
            Self::Gcm { aead, salt } => {
                let mut tag = [0; GCM_TAG];
                let nonce = gcm_nonce(salt, ssrc, index.into());
                let known = rtcp_known(packet, word);
                aead.seal_in_place(&nonce, &known, &mut packet[RTCP_CLEAR..], &mut tag)?;
                packet.put_slice(&tag);
                packet.put_slice(&word);
            }
            Self::Counter { stream, mac, salt } => {
                let counter = counter(salt, ssrc, index.into());
                stream.apply_keystream(&counter, &mut packet[RTCP_CLEAR..])?;
                packet.put_slice(&word);
                let mut tag = [0; 20];
                mac.sign(&[packet], &mut tag)?;
                packet.put_slice(&tag[..SHA1_TAG]);
            }
        }
        Ok(())
    }

    /// Where the index of a packet of SRTCP stands.
    const fn rtcp_index_at(&self, length: usize) -> Option<usize> {
        match self {
            Self::Gcm { .. } => length.checked_sub(INDEX),
            Self::Counter { .. } => length.checked_sub(INDEX + SHA1_TAG),
        }
    }

    fn open_rtcp(
        &mut self,
        packet: &mut BytesMut,
        ssrc: u32,
        index_at: usize,
        word: [u8; INDEX],
    ) -> Result<(), CryptoError> {
        let index = u64::from(u32::from_be_bytes(word) & !ENCRYPTED);
        let end = match self {
            Self::Gcm { aead, salt } => {
                let nonce = gcm_nonce(salt, ssrc, index);
                let known = rtcp_known(packet, word);
                let end = index_at.checked_sub(GCM_TAG).filter(|end| *end >= RTCP_CLEAR);
                let end = end.ok_or(CryptoError::AuthenticationFailed)?;
                let (rest, tag) = packet[..index_at].split_at_mut(end);
                aead.open_in_place(&nonce, &known, &mut rest[RTCP_CLEAR..], tag)?;
                end
            }
            Self::Counter { stream, mac, salt } => {
                let mut tag = [0; 20];
                let signed = index_at + INDEX;
                mac.sign(&[&packet[..signed]], &mut tag)?;
                if !constant_time_eq(&tag[..SHA1_TAG], &packet[signed..]) {
                    return Err(CryptoError::AuthenticationFailed);
                }
                let counter = counter(salt, ssrc, index);
                stream.apply_keystream(&counter, &mut packet[RTCP_CLEAR..index_at])?;
                index_at
            }
        };
        packet.truncate(end);
        Ok(())
    }
}

/// RFC 3711 section 4.3.1 and 4.3.3: the keystream under the salt with the label in it. The
/// shorter salts of AES-GCM are filled up with zeros (RFC 7714 section 11).
fn derive(
    master: Master<'_>,
    label: u8,
    out: &mut [u8],
    crypto: &dyn RTCCrypto,
) -> Result<(), CryptoError> {
    let mut start = [0; 16];
    start[..master.salt.len()].copy_from_slice(master.salt);
    start[7] ^= label;
    out.fill(0);
    let mut cipher = crypto.new_stream_cipher(StreamCipherAlgorithm::Aes128Ctr, master.key)?;
    cipher.apply_keystream(&start, out)
}

/// RFC 7714 section 8.1 for RTP; section 9.1 has the same shape for RTCP, whose index has
/// two bytes less.
fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let mut nonce = *salt;
    let value = u128::from(ssrc) << 48 | u128::from(index);
    for (byte, value) in nonce.iter_mut().rev().zip(value.to_le_bytes()) {
        *byte ^= value;
    }
    nonce
}

/// RFC 3711 section 4.1.1.
fn counter(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut padded = [0; 16];
    padded[..14].copy_from_slice(salt);
    let value = u128::from(ssrc) << 64 | u128::from(index) << 16;
    (u128::from_be_bytes(padded) ^ value).to_be_bytes()
}

/// What AES-GCM authenticates besides the ciphertext of an RTCP packet (RFC 7714 section
/// 9.2); the caller has seen to it that there is a header.
fn rtcp_known(packet: &[u8], word: [u8; INDEX]) -> [u8; RTCP_CLEAR + INDEX] {
    let mut known = [0; RTCP_CLEAR + INDEX];
    known[..RTCP_CLEAR].copy_from_slice(&packet[..RTCP_CLEAR]);
    known[RTCP_CLEAR..].copy_from_slice(&word);
    known
}

/// SSRC, sequence number and length of the header of an RTP packet.
#[inline]
fn rtp_head(packet: &[u8]) -> Option<(u32, u16, usize)> {
    let fixed = packet.first_chunk::<FIXED_HEADER_LENGTH>()?;
    let mut clear = FIXED_HEADER_LENGTH + 4 * usize::from(fixed[0] & 0x0f);
    if fixed[0] & 0x10 != 0 {
        let [_, _, high, low] = *packet.get(clear..)?.first_chunk::<4>()?;
        clear += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
    }
    let ssrc = u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
    let number = u16::from_be_bytes([fixed[2], fixed[3]]);
    (clear <= packet.len()).then_some((ssrc, number, clear))
}

fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let [_, _, _, _, ssrc @ ..] = *packet.first_chunk::<RTCP_CLEAR>()?;
    Some(u32::from_be_bytes(ssrc))
}

/// The whole number of a packet of which 16 bits are known (RFC 3711 section 3.3.1); before
/// the first wrap there is nothing to be behind of.
#[inline]
fn whole_number(newest: Option<u64>, number: u16) -> u64 {
    let Some(newest) = newest else { return number.into() };
    let (wraps, low) = (newest >> 16, newest as u16);
    let ahead = number.wrapping_sub(low).cast_signed();
    let wraps = match number < low {
        true if ahead > 0 => wraps + 1,
        false if ahead < 0 => wraps.saturating_sub(1),
        _ => wraps,
    };
    wraps << 16 | u64::from(number)
}

/// What is kept by SSRC, in order; most packets are of the source of the one before.
struct BySource<T> {
    sources: Vec<(u32, T)>,
    last: usize,
}

impl<T> BySource<T> {
    const fn new() -> Self {
        Self { sources: Vec::new(), last: 0 }
    }

    #[inline]
    fn find(&mut self, ssrc: u32) -> Result<&mut T, usize> {
        let index = match self.sources.get(self.last) {
            Some((known, _)) if *known == ssrc => self.last,
            _ => self.sources.binary_search_by_key(&ssrc, |(known, _)| *known)?,
        };
        self.last = index;
        Ok(&mut self.sources[index].1)
    }

    fn insert(&mut self, index: usize, ssrc: u32, value: T) -> Option<&mut T> {
        if self.sources.len() >= SOURCES_MAX {
            return None;
        }
        self.sources.insert(index, (ssrc, value));
        self.last = index;
        Some(&mut self.sources[index].1)
    }
}

/// What has been sent of a source.
struct Sent {
    newest: Option<u64>,
    /// Of the last packets: lower half of the whole number, first bytes of the tag.
    tags: Vec<(u32, u32)>,
    rtcp_index: u32,
}

impl Sent {
    const fn new() -> Self {
        Self { newest: None, tags: Vec::new(), rtcp_index: 0 }
    }
}

/// The way out.
pub(super) struct Protector {
    rtp: Cipher,
    rtcp: Cipher,
    sources: BySource<Sent>,
}

impl Protector {
    pub(super) fn new(
        profile: Profile,
        master: Master<'_>,
        crypto: &dyn RTCCrypto,
    ) -> Result<Self, CryptoError> {
        let rtp = Cipher::new(profile, master, Labels::Rtp, crypto)?;
        let rtcp = Cipher::new(profile, master, Labels::Rtcp, crypto)?;
        Ok(Self { rtp, rtcp, sources: BySource::new() })
    }

    fn source(&mut self, ssrc: u32) -> Result<&mut Sent, Refusal> {
        match self.sources.find(ssrc) {
            Ok(_) => self.sources.find(ssrc).map_err(|_| Refusal::TooManySources),
            Err(index) => {
                self.sources.insert(index, ssrc, Sent::new()).ok_or(Refusal::TooManySources)
            }
        }
    }

    /// Makes SRTP of an RTP packet. The same packet may be protected again; another one
    /// under the same number may not.
    pub(super) fn rtp(&mut self, packet: &mut BytesMut) -> Result<(), Refusal> {
        let (ssrc, number, clear) = rtp_head(packet).ok_or(Refusal::Malformed)?;
        let sent = self.source(ssrc)?;
        let index = whole_number(sent.newest, number);
        let behind = sent.newest.map_or(0, |newest| newest.saturating_sub(index));
        if behind >= REPEATABLE || index >= 1 << 48 {
            return Err(Refusal::Reused);
        }
        let tag = self.rtp.seal_rtp(packet, clear, ssrc, index).map_err(|_| Refusal::Cipher)?;
        let sent = self.source(ssrc)?;
        if sent.tags.is_empty() {
            // No whole number has this lower half and this place.
            sent.tags.resize(REPEATABLE as usize, (u32::MAX, 0));
            sent.tags[REPEATABLE as usize - 1] = (0, 0);
        }
        let place = &mut sent.tags[(index % REPEATABLE) as usize];
        if place.0 == index as u32 && place.1 != tag {
            return Err(Refusal::Reused);
        }
        *place = (index as u32, tag);
        sent.newest = Some(sent.newest.map_or(index, |newest| newest.max(index)));
        Ok(())
    }

    /// Makes SRTCP of an RTCP compound.
    pub(super) fn rtcp(&mut self, packet: &mut BytesMut) -> Result<(), Refusal> {
        let ssrc = rtcp_ssrc(packet).ok_or(Refusal::Malformed)?;
        let sent = self.source(ssrc)?;
        let index = sent.rtcp_index + 1;
        if index == ENCRYPTED {
            return Err(Refusal::Reused);
        }
        sent.rtcp_index = index;
        self.rtcp.seal_rtcp(packet, ssrc, index).map_err(|_| Refusal::Cipher)
    }
}

/// Which numbers have been taken: a bit for each of the last [`WINDOW`].
struct Window {
    newest: Option<u64>,
    taken: [u64; (WINDOW / 64) as usize],
}

impl Window {
    const fn new() -> Self {
        Self { newest: None, taken: [0; (WINDOW / 64) as usize] }
    }

    const fn place(index: u64) -> (usize, u64) {
        ((index % WINDOW / 64) as usize, 1 << (index % 64))
    }

    #[inline]
    fn is_new(&self, index: u64) -> bool {
        let Some(newest) = self.newest else { return true };
        let (word, bit) = Self::place(index);
        index > newest || newest - index < WINDOW && self.taken[word] & bit == 0
    }

    #[inline]
    fn take(&mut self, index: u64) {
        let newest = self.newest.unwrap_or(index);
        if index > newest {
            if index - newest >= WINDOW {
                self.taken = [0; (WINDOW / 64) as usize];
            } else {
                for passed in newest + 1..index {
                    let (word, bit) = Self::place(passed);
                    self.taken[word] &= !bit;
                }
            }
        }
        let (word, bit) = Self::place(index);
        self.taken[word] |= bit;
        self.newest = Some(newest.max(index));
    }
}

/// The way in.
pub(super) struct Opener {
    rtp: Cipher,
    rtcp: Cipher,
    rtp_sources: BySource<Window>,
    rtcp_sources: BySource<Window>,
}

impl Opener {
    pub(super) fn new(
        profile: Profile,
        master: Master<'_>,
        crypto: &dyn RTCCrypto,
    ) -> Result<Self, CryptoError> {
        let rtp = Cipher::new(profile, master, Labels::Rtp, crypto)?;
        let rtcp = Cipher::new(profile, master, Labels::Rtcp, crypto)?;
        let (rtp_sources, rtcp_sources) = (BySource::new(), BySource::new());
        Ok(Self { rtp, rtcp, rtp_sources, rtcp_sources })
    }

    /// Makes RTP of an SRTP packet.
    pub(super) fn rtp(&mut self, packet: &mut BytesMut) -> Result<(), DropReason> {
        let (ssrc, number, clear) = rtp_head(packet).ok_or(DropReason::MalformedRtp)?;
        if packet.len() < clear + self.rtp.tag() {
            return Err(DropReason::MalformedRtp);
        }
        let source = self.rtp_sources.find(ssrc);
        let index = whole_number(source.as_ref().ok().and_then(|window| window.newest), number);
        if source.as_ref().is_ok_and(|window| !window.is_new(index)) {
            return Err(DropReason::Replayed);
        }
        let source = source.map(|_| ());
        let opened = self.rtp.open_rtp(packet, clear, ssrc, index);
        opened.map_err(|_| DropReason::NotAuthentic)?;
        remember(&mut self.rtp_sources, source, ssrc, index)
    }

    /// Makes RTCP of an SRTCP packet.
    pub(super) fn rtcp(&mut self, packet: &mut BytesMut) -> Result<(), DropReason> {
        let ssrc = rtcp_ssrc(packet).ok_or(DropReason::MalformedRtcp)?;
        let index_at = self.rtcp.rtcp_index_at(packet.len()).filter(|at| *at >= RTCP_CLEAR);
        let index_at = index_at.ok_or(DropReason::MalformedRtcp)?;
        let word = packet[index_at..].first_chunk::<INDEX>().copied();
        let word = word.ok_or(DropReason::MalformedRtcp)?;
        // What is not encrypted is not taken: everybody here encrypts.
        if u32::from_be_bytes(word) & ENCRYPTED == 0 {
            return Err(DropReason::NotAuthentic);
        }
        let index = u64::from(u32::from_be_bytes(word) & !ENCRYPTED);
        let source = self.rtcp_sources.find(ssrc);
        if source.as_ref().is_ok_and(|window| !window.is_new(index)) {
            return Err(DropReason::Replayed);
        }
        let source = source.map(|_| ());
        let opened = self.rtcp.open_rtcp(packet, ssrc, index_at, word);
        opened.map_err(|_| DropReason::NotAuthentic)?;
        remember(&mut self.rtcp_sources, source, ssrc, index)
    }
}

/// An authentic packet has come: from here on its number is taken.
#[inline]
fn remember(
    sources: &mut BySource<Window>,
    place: Result<(), usize>,
    ssrc: u32,
    index: u64,
) -> Result<(), DropReason> {
    let window = match place {
        Ok(()) => sources.find(ssrc).ok(),
        Err(place) => sources.insert(place, ssrc, Window::new()),
    };
    window.ok_or(DropReason::TooManyStreams)?.take(index);
    Ok(())
}

#[cfg(test)]
#[path = "srtp_tests.rs"]
mod tests;
