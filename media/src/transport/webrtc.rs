//! WebRTC's way for media: ICE-lite answers the peer's checks (`ice`), DTLS agrees on keys
//! with the holder of the announced certificate (`dtls`), SRTP protects what flows
//! (`srtp`). Datagrams on one side, plain RTP and RTCP on the other, so that a
//! [`Session`](crate::session::Session) runs over it as it runs over plain RTP. Packets are
//! told apart by their first byte (RFC 7983); nothing but checks is taken from an address
//! that has not passed one, and nothing a stranger sends takes memory. Many transports share
//! a socket behind a [`Demultiplexer`]. Deviation: no checks of our own, consent included (RFC
//! 7675): a peer whose checks stop for [`Config::silence_max`] is taken to be gone.

mod demultiplexer;
mod dtls;
mod hello;
mod ice;
mod srtp;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use arrayvec::ArrayVec;
use bytes::{BufMut, Bytes, BytesMut};
use rtc_srtp::crypto::{HashAlgorithm, RTCCryptoProvider};
use serde::{Deserialize, Serialize};

pub use demultiplexer::{Demultiplexer, Stray};
pub use dtls::{Certificate, CryptoError};
use dtls::{Dtls, Progress};
use ice::Responder;
use srtp::{GROWTH_MAX, Master, Opener, Protector, Refusal};

use crate::datagram::Datagram;
use crate::description::secure::Candidate;
use crate::description::{Secure, Setup};
use crate::event::{CloseReason, DropReason, Dropped, TransportEvent};
use crate::rtp::{Demultiplexed, demultiplex};
use crate::time::Instant;

/// How many addresses of one peer are remembered.
pub const WAYS_MAX: usize = 8;

/// Memory from which datagrams are cut; used again when all of them are gone.
const ARENA: usize = 64 * 1024;

/// How packets are protected (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Profile {
    /// `SRTP_AEAD_AES_128_GCM`, which is preferred.
    AeadAes128Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80`, which everybody has.
    Aes128CmSha1,
}

impl Profile {
    /// Its name as IANA has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::Aes128CmSha1 => "SRTP_AES128_CM_HMAC_SHA1_80",
        }
    }
}

/// What a transport is built from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our address. What we send comes from where the peer has found us, which may be another
    /// one of those that we announced.
    pub address: SocketAddr,
    /// What we have told the peer.
    pub local: Secure,
    /// What the peer has told us.
    pub remote: Secure,
    /// The certificate whose fingerprint we have told.
    pub certificate: Certificate,
    /// How long it may take from the first thing that happens until media can flow.
    pub setup_max: Duration,
    /// For how long the peer's checks may stay away (RFC 7675 section 5.1).
    pub silence_max: Duration,
}

impl Config {
    /// The usual configuration: 30 seconds for either.
    #[must_use]
    pub const fn new(
        address: SocketAddr,
        local: Secure,
        remote: Secure,
        certificate: Certificate,
    ) -> Self {
        let limit = Duration::from_secs(30);
        Self { address, local, remote, certificate, setup_max: limit, silence_max: limit }
    }
}

/// What our side says of itself: lite, reached at `address`, with credentials that follow
/// from the seed and do not give it away.
///
/// # Errors
/// The machine's cryptography refuses.
pub fn describe(
    certificate: &Certificate,
    address: SocketAddr,
    seed: u64,
) -> Result<Secure, CryptoError> {
    let provider = dtls::provider()?;
    let word = |what: &[u8], length: usize| {
        let text = [what, &seed.to_be_bytes()].concat();
        let hash = provider.crypto().hash(HashAlgorithm::Sha256, &text).map_err(CryptoError::of)?;
        // 64 characters of RFC 8839's alphabet would do; hexadecimal ones read better.
        Ok::<_, CryptoError>(hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            .map(|word| word[..length].to_owned())
    };
    Ok(Secure {
        ufrag: word(b"user fragment", 12)?,
        password: word(b"password", 32)?,
        ice_lite: true,
        fingerprint: certificate.fingerprint(),
        setup: Setup::ActPass,
        candidates: vec![Candidate::host(address)],
    })
}

/// Why a transport cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nobody would send checks.
    #[error("both sides are ICE-lite: neither looks for the other")]
    BothLite,
    /// Both would begin the handshake, or neither.
    #[error("a=setup:{} here and a=setup:{} there: one has to begin the handshake", local.name(), remote.name())]
    Setup {
        /// Ours.
        local: Setup,
        /// The peer's.
        remote: Setup,
    },
    /// Our description announces another certificate.
    #[error("the certificate is not the one announced")]
    Certificate,
    /// The machine's cryptography refuses.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// What a transport is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A datagram arrived.
    Datagram(Datagram),
    /// The moment that `poll_timeout` named has come; the first one starts the clock.
    Timeout,
}

/// What a transport answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A datagram to send now.
    Datagram(Datagram),
    /// RTP or RTCP of the peer, in the clear.
    Media(Bytes),
    /// Something happened.
    Event(TransportEvent),
}

/// An address from which the peer has passed a check, and the one of ours that it came to: a
/// platform with several is answered from where it was asked.
#[derive(Clone, Copy, Debug)]
struct Way {
    address: SocketAddr,
    local: SocketAddr,
    checked: Instant,
}

/// One peer.
pub struct Transport {
    address: SocketAddr,
    setup_max: Duration,
    silence_max: Duration,
    provider: Arc<dyn RTCCryptoProvider>,
    responder: Responder,
    dtls: Dtls,
    srtp: Option<Box<(Protector, Opener)>>,
    /// With the chosen one first.
    ways: ArrayVec<Way, WAYS_MAX>,
    started: Option<Instant>,
    closed: bool,
    outputs: VecDeque<Output>,
    arena: BytesMut,
}

impl core::fmt::Debug for Transport {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Transport")
            .field("address", &self.address)
            .field("ways", &self.ways)
            .field("connected", &self.is_connected())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// A transport that nothing has come to yet.
    ///
    /// # Errors
    /// Descriptions that do not lead to each other, and cryptography that refuses.
    #[expect(clippy::needless_pass_by_value, reason = "all machines are built in one way")]
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let Config { local, remote, certificate, .. } = &config;
        if local.ice_lite && remote.ice_lite {
            return Err(ConfigError::BothLite);
        }
        if local.fingerprint != certificate.fingerprint() {
            return Err(ConfigError::Certificate);
        }
        let begins =
            match (local.setup, remote.setup) {
                (Setup::Active, Setup::ActPass | Setup::Passive)
                | (Setup::ActPass, Setup::Passive) => true,
                (Setup::Passive, Setup::ActPass | Setup::Active)
                | (Setup::ActPass, Setup::Active) => false,
                (local, remote) => return Err(ConfigError::Setup { local, remote }),
            };
        let provider = dtls::provider()?;
        Ok(Self {
            address: config.address,
            setup_max: config.setup_max,
            silence_max: config.silence_max,
            responder: Responder::new(&local.ufrag, &local.password, &remote.ufrag),
            dtls: Dtls::new(certificate, remote.fingerprint, begins, provider.clone())?,
            provider,
            srtp: None,
            ways: ArrayVec::new(),
            started: None,
            closed: false,
            outputs: VecDeque::new(),
            arena: BytesMut::new(),
        })
    }

    /// Both sides have new credentials (an ICE restart, RFC 8445 section 9): checks have to
    /// know these from now on; keys, and the way in use until another is chosen, stay.
    pub fn restart(&mut self, local: &Secure, remote: &Secure) {
        self.responder = Responder::new(&local.ufrag, &local.password, &remote.ufrag);
    }

    /// Takes what arrives, and the time. Cannot fail: what is wrong with a datagram is a
    /// [`TransportEvent::Dropped`].
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.started.get_or_insert(now);
        match input {
            Input::Datagram(datagram) => self.receive(now, &datagram),
            Input::Timeout if self.closed => {}
            Input::Timeout => self.handle_timeout(now),
        }
    }

    /// What there is to send, to hand on or to say, in order. Drain to `None` after every
    /// input and every command.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        [self.limit().map(|(at, _)| at), self.dtls.poll_timeout()].into_iter().flatten().min()
    }

    /// When to give up, and why.
    fn limit(&self) -> Option<(Instant, CloseReason)> {
        match (self.is_connected(), self.ways.iter().map(|way| way.checked).max()) {
            (true, Some(checked)) => Some((checked + self.silence_max, CloseReason::Silence)),
            _ => Some((self.started? + self.setup_max, CloseReason::NotReached)),
        }
    }

    /// Whether media can flow.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.srtp.is_some()
    }

    /// Where the peer is, as far as it has shown.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.ways.first().map(|way| way.address)
    }

    /// The datagram that a packet of RTP or RTCP leaves in.
    ///
    /// # Errors
    /// Before there is a way and keys, after the end, and what must not be protected.
    #[inline]
    pub fn protect(&mut self, packet: &[u8]) -> Result<Datagram, SendError> {
        if self.closed {
            return Err(SendError::Closed);
        }
        let (Some(srtp), Some(way)) = (&mut self.srtp, self.ways.first()) else {
            return Err(SendError::NotConnected);
        };
        reserve(&mut self.arena, packet.len() + GROWTH_MAX);
        self.arena.put_slice(packet);
        let protected = match demultiplex(packet) {
            Demultiplexed::Rtp => srtp.0.rtp(&mut self.arena),
            Demultiplexed::Rtcp => srtp.0.rtcp(&mut self.arena),
            Demultiplexed::Other => Err(Refusal::Malformed),
        };
        if let Err(refusal) = protected {
            self.arena.clear();
            return Err(match refusal {
                Refusal::Malformed => SendError::Malformed,
                Refusal::Reused => SendError::NumberReused,
                Refusal::TooManySources => SendError::TooManySources,
                Refusal::Cipher => SendError::Cipher,
            });
        }
        let payload = self.arena.split().freeze();
        Ok(Datagram { source: way.local, destination: way.address, payload })
    }

    /// Says goodbye and stops: nothing is taken or sent any more.
    pub fn close(&mut self, now: Instant) {
        if !self.closed {
            self.dtls.close(now);
            self.flush();
            self.closed = true;
        }
    }

    #[inline]
    fn receive(&mut self, now: Instant, datagram: &Datagram) {
        if self.closed {
            return self.drop(now, DropReason::Closed, &[]);
        }
        let first = datagram.payload.first().copied();
        if let Some(0..=3) = first {
            return self.check(now, datagram);
        }
        if !self.knows(datagram.source) {
            return self.drop(now, DropReason::ForeignAddress, &datagram.payload);
        }
        match first {
            Some(128..=191) => self.open(now, &datagram.payload),
            Some(20..=63) => self.shake_hands(now, &datagram.payload),
            _ => self.drop(now, DropReason::NotRtp, &[]),
        }
    }

    /// A packet of SRTP or SRTCP.
    #[inline]
    fn open(&mut self, now: Instant, packet: &[u8]) {
        let Some(srtp) = &mut self.srtp else {
            return self.drop(now, DropReason::NotKeyed, packet);
        };
        reserve(&mut self.arena, packet.len());
        self.arena.put_slice(packet);
        let opened = match demultiplex(packet) {
            Demultiplexed::Rtp => srtp.1.rtp(&mut self.arena),
            Demultiplexed::Rtcp => srtp.1.rtcp(&mut self.arena),
            Demultiplexed::Other => Err(DropReason::NotRtp),
        };
        match opened {
            Ok(()) => self.outputs.push_back(Output::Media(self.arena.split().freeze())),
            Err(reason) => {
                self.arena.clear();
                self.drop(now, reason, packet);
            }
        }
    }

    fn check(&mut self, now: Instant, datagram: &Datagram) {
        let (source, payload) = (datagram.source, &datagram.payload);
        let check = match self.responder.check(source, payload, self.provider.crypto()) {
            Ok(Some(check)) => check,
            Ok(None) => return,
            Err(reason) => return self.drop(now, reason, &[]),
        };
        let local = datagram.destination;
        let answer = check.answer.into();
        let answer = Datagram { source: local, destination: source, payload: answer };
        self.outputs.push_back(Output::Datagram(answer));
        if check.passed {
            let first = self.ways.is_empty();
            self.passed(Way { address: source, local, checked: now }, check.nominated);
            if first && self.dtls.start(now).is_err() {
                return self.end(CloseReason::HandshakeFailed);
            }
            self.flush();
        }
    }

    /// The peer is at this address.
    fn passed(&mut self, way: Way, nominated: bool) {
        let Way { address, local, .. } = way;
        let known = |known: &Way| known.address == address && known.local == local;
        let index = match self.ways.iter().position(known) {
            Some(index) => index,
            None => {
                self.make_room();
                let is_new = !self.knows(address);
                self.ways.push(way);
                if is_new {
                    self.say(TransportEvent::WayFound { address });
                }
                self.ways.len() - 1
            }
        };
        self.ways[index] = way;
        if nominated && index > 0 {
            self.ways.swap(0, index);
            self.say(TransportEvent::WayChosen { address });
        }
    }

    fn knows(&self, address: SocketAddr) -> bool {
        self.ways.iter().any(|way| way.address == address)
    }

    /// The way that has shown itself least lately goes, never the chosen one.
    fn make_room(&mut self) {
        if !self.ways.is_full() {
            return;
        }
        let others = self.ways.iter().enumerate().skip(1);
        let oldest = others.min_by_key(|(_, way)| way.checked).map(|(index, _)| index);
        let address = self.ways.remove(oldest.unwrap_or(1)).address;
        if !self.knows(address) {
            self.say(TransportEvent::WayLost { address });
        }
    }

    fn shake_hands(&mut self, now: Instant, datagram: &[u8]) {
        let progress = self.dtls.receive(now, datagram);
        self.flush();
        match progress {
            Ok(Progress::Going) => {}
            Ok(Progress::Done) => self.key(),
            Ok(Progress::Closed) => self.end(CloseReason::Peer),
            Ok(Progress::Failed) => self.end(CloseReason::HandshakeFailed),
            Err(reason) => self.drop(now, reason, &[]),
        }
    }

    /// The handshake is over: its keys become SRTP's (RFC 5764 section 4.2).
    fn key(&mut self) {
        let Some(exported) = self.dtls.export() else {
            return self.end(CloseReason::HandshakeFailed);
        };
        let (profile, crypto) = (exported.profile, self.provider.crypto());
        let (keys, salts) = exported.material.as_ref().split_at(2 * Profile::KEY);
        let (client_key, server_key) = keys.split_at(Profile::KEY);
        let (client_salt, server_salt) = salts.split_at(profile.salt());
        let client = Master { key: client_key, salt: client_salt };
        let server = Master { key: server_key, salt: server_salt };
        let (out, incoming) = if exported.is_client { (client, server) } else { (server, client) };
        let contexts = Protector::new(profile, out, crypto)
            .and_then(|protector| Ok((protector, Opener::new(profile, incoming, crypto)?)));
        match contexts {
            Ok(contexts) => {
                self.srtp = Some(Box::new(contexts));
                self.say(TransportEvent::Connected { profile });
            }
            Err(_) => self.end(CloseReason::HandshakeFailed),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some((at, reason)) = self.limit().filter(|(at, _)| *at <= now) {
            debug_assert!(at <= now);
            return self.end(reason);
        }
        if self.dtls.poll_timeout().is_some_and(|due| due <= now) && !self.dtls.handle_timeout(now)
        {
            return self.end(CloseReason::HandshakeFailed);
        }
        self.flush();
    }

    fn end(&mut self, reason: CloseReason) {
        if !self.closed {
            self.closed = true;
            self.say(TransportEvent::Closed { reason });
        }
    }

    /// Sends what the handshake has to send.
    fn flush(&mut self) {
        while let Some(message) = self.dtls.poll_transmit() {
            if let Some(way) = self.ways.first() {
                let (source, destination, payload) = (way.local, way.address, message.freeze());
                self.outputs.push_back(Output::Datagram(Datagram { source, destination, payload }));
            }
        }
    }

    fn say(&mut self, event: TransportEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    #[cold]
    fn drop(&mut self, now: Instant, reason: DropReason, packet: &[u8]) {
        let fixed =
            packet.first_chunk::<12>().filter(|_| demultiplex(packet) == Demultiplexed::Rtp);
        let ssrc = fixed.map(|head| u32::from_be_bytes([head[8], head[9], head[10], head[11]]));
        let sequence_number = fixed.map(|head| u16::from_be_bytes([head[2], head[3]]));
        let dropped = Dropped { reason, ssrc, sequence_number, arrived: now };
        self.say(TransportEvent::Dropped(dropped));
    }
}

#[inline]
fn reserve(arena: &mut BytesMut, length: usize) {
    if arena.capacity() < length {
        arena.reserve(length.max(ARENA));
    }
}

/// Why a packet is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The transport is closed.
    #[error("the transport is closed")]
    Closed,
    /// There is no way to the peer yet, or no keys.
    #[error("the peer is not connected yet")]
    NotConnected,
    /// Neither RTP nor RTCP.
    #[error("it is neither RTP nor RTCP")]
    Malformed,
    /// Another packet has left under its SSRC and number: sending both would give the key
    /// away.
    #[error("another packet has left under its SSRC and sequence number")]
    NumberReused,
    /// As many sources are sent as can be remembered.
    #[error("too many sources")]
    TooManySources,
    /// The cipher refuses.
    #[error("the cipher refuses")]
    Cipher,
}
