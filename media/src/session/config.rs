//! What a session is built from, and what it refuses to be built from.

use core::net::SocketAddr;
use core::time::Duration;

use crate::description::{Codec, Description, MEDIA_MAX, MediaKind, PAYLOADS_MAX};
use crate::transport::webrtc::{self, Certificate};
use crate::video::assembly;
use crate::{bandwidth, jitter, rtp::sequence::Limits};

/// How long a lost packet of pictures is waited for where it is sent again, which takes longer
/// than being late: at 20 % loss and 60 ms there and back, six requests fit in and 1 packet of
/// 400 stays lost.
const RETRANSMISSION_WAIT: Duration = Duration::from_millis(500);

/// How far a session takes the media apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Decode {
    /// Sound and pictures.
    Everything,
    /// Sound; video stays access units.
    #[default]
    Audio,
    /// Neither: packets are counted, reported on and handed through (a relay).
    Nothing,
}

/// What a session is built from.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Our side of the negotiation.
    pub local: Description,
    /// The peer's side: as many media lines as `local`, in the same order.
    pub remote: Description,
    /// How sound is buffered and played.
    pub playout: jitter::Config,
    /// How video packets are put together.
    pub assembly: assembly::Config,
    /// Samples per second of [`Event::Audio`](crate::event::Event::Audio) and of what is
    /// given to `send_audio`: 8, 12, 16, 24 or 48 kHz.
    pub output_rate: u32,
    /// How far to take the media apart.
    pub decode: Decode,
    /// Whether packets are only checked, counted and handed out by
    /// [`poll_packet`](super::Session::poll_packet), for another session to
    /// [`forward`](super::Session::forward); nothing is buffered or decoded then.
    pub relay: bool,
    /// Whether to say each RTP packet that arrives as an event.
    pub packet_events: bool,
    /// Whether to listen for tones in the sound as well.
    pub in_band_tones: bool,
    /// Canonical name in RTCP SDES (RFC 7022), at most 255 bytes.
    pub cname: String,
    /// What is taken for one run of sequence numbers.
    pub sequence_limits: Limits,
    /// How many sources may send to us at once.
    pub streams_max: usize,
    /// How many RTP packets are kept for retransmission, per stream that we send.
    pub send_cache_max: usize,
    /// How long a missing packet may still be late before it is asked for.
    pub nack_delay: Duration,
    /// How often a missing packet is asked for before it is given up.
    pub nack_retries_max: u8,
    /// Bits per second of the whole session, of which RTCP takes a twentieth (RFC 3550
    /// section 6.2).
    pub bandwidth: u64,
    /// Where the estimate of what the way to the peer carries begins, and what it stays
    /// between.
    pub estimate: bandwidth::Config,
    /// Least mean time between two reports; RFC 3550 section 6.2 has 5 s, or less for
    /// fast sessions.
    pub report_interval_min: Duration,
    /// Bytes of an RTP packet, header included.
    pub mtu: usize,
    /// Without packets for so long, a stream has ended.
    pub stream_silence_max: Duration,
    /// The certificate that `local` announces, for WebRTC.
    pub certificate: Option<Certificate>,
    /// How long it may take until a WebRTC peer is connected.
    pub setup_max: Duration,
    /// For how long the checks of a WebRTC peer may stay away (RFC 7675).
    pub consent_max: Duration,
}

impl Config {
    /// The usual configuration between two described sides.
    #[must_use]
    pub fn new(local: Description, remote: Description) -> Self {
        let mut assembly = assembly::Config::default();
        if local.secure.is_some() || (sends_again(&local) && sends_again(&remote)) {
            assembly.reorder_wait = RETRANSMISSION_WAIT;
        }
        Self {
            local,
            remote,
            playout: jitter::Config::default(),
            assembly,
            output_rate: 48_000,
            decode: Decode::Audio,
            relay: false,
            packet_events: false,
            in_band_tones: false,
            cname: "callrig".to_owned(),
            sequence_limits: Limits::default(),
            streams_max: 32,
            send_cache_max: 512,
            nack_delay: Duration::from_millis(10),
            nack_retries_max: 10,
            bandwidth: 2_000_000,
            estimate: bandwidth::Config::default(),
            report_interval_min: Duration::from_secs(1),
            mtu: 1_200,
            stream_silence_max: Duration::from_secs(30),
            certificate: None,
            setup_max: Duration::from_secs(30),
            consent_max: Duration::from_secs(30),
        }
    }

    /// Refuses what no session can honour.
    ///
    /// # Errors
    /// The first contradiction found, by name and value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.local.media.len() != self.remote.media.len() {
            return Err(ConfigError::LineCount {
                local: self.local.media.len(),
                remote: self.remote.media.len(),
            });
        }
        if self.local.media.len() > MEDIA_MAX {
            return Err(ConfigError::TooManyLines { count: self.local.media.len() });
        }
        for (index, (local, remote)) in self.local.media.iter().zip(&self.remote.media).enumerate()
        {
            if local.kind != remote.kind {
                return Err(ConfigError::Kind { index, local: local.kind, remote: remote.kind });
            }
            for side in [local, remote] {
                validate_payloads(index, &side.payloads)?;
            }
        }
        if self.local.address == self.remote.address {
            return Err(ConfigError::SameAddress(self.local.address));
        }
        validate_range("cname length", self.cname.len() as u64, 1, 255)?;
        validate_range("streams_max", self.streams_max as u64, 1, 1024)?;
        validate_range("send_cache_max", self.send_cache_max as u64, 0, 1 << 14)?;
        validate_range("bandwidth", self.bandwidth, 1_000, 1_000_000_000_000)?;
        let bandwidth::Config { start, min, max } = self.estimate;
        validate_range("estimate.max", max, 1_000, 1_000_000_000_000)?;
        validate_range("estimate.min", min, 1_000, max)?;
        validate_range("estimate.start", start, min, max)?;
        validate_range("mtu", self.mtu as u64, 64, 65_507)?;
        self.playout.validate()?;
        match self.output_rate {
            8_000 | 12_000 | 16_000 | 24_000 | 48_000 => Ok(()),
            rate => Err(ConfigError::OutputRate { rate }),
        }
    }
}

/// Whether packets that were lost come again in a stream of their own (RFC 4588).
fn sends_again(side: &Description) -> bool {
    side.media.iter().flat_map(|line| &line.payloads).any(|p| p.retransmission.is_some())
}

fn validate_range(name: &'static str, value: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::OutOfRange { name, value, min, max })
}

fn validate_payloads(
    index: usize,
    payloads: &[crate::description::Payload],
) -> Result<(), ConfigError> {
    validate_range("payload types", payloads.len() as u64, 0, PAYLOADS_MAX as u64)?;
    for (position, payload) in payloads.iter().enumerate() {
        let payload_type = payload.payload_type;
        // With rtcp-mux 64 to 95 would be taken for RTCP (RFC 5761 section 4).
        if payload_type > 127 || (64..=95).contains(&payload_type) {
            return Err(ConfigError::PayloadType { index, payload_type });
        }
        if payloads[..position].iter().any(|before| before.payload_type == payload_type) {
            return Err(ConfigError::PayloadTypeTwice { index, payload_type });
        }
        if let Codec::TelephoneEvent { clock_rate: 0 } = payload.codec {
            return Err(ConfigError::ClockRate { index, payload_type });
        }
    }
    Ok(())
}

/// Why a session cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// The two sides do not have the same lines.
    #[error("{local} local media lines but {remote} remote ones")]
    LineCount {
        /// Ours.
        local: usize,
        /// The peer's.
        remote: usize,
    },
    /// More lines than a call has.
    #[error("{count} media lines; at most {MEDIA_MAX} are possible")]
    TooManyLines {
        /// How many there are.
        count: usize,
    },
    /// A line that means different things to the two sides.
    #[error("media line {index} is {local:?} here and {remote:?} there")]
    Kind {
        /// Index of the line.
        index: usize,
        /// Ours.
        local: MediaKind,
        /// The peer's.
        remote: MediaKind,
    },
    /// A payload type beyond 127, or one that looks like RTCP on a shared port.
    #[error("media line {index}: payload type {payload_type} cannot share a port with RTCP")]
    PayloadType {
        /// Index of the line.
        index: usize,
        /// The payload type.
        payload_type: u8,
    },
    /// One payload type for two codecs.
    #[error("media line {index}: payload type {payload_type} is there twice")]
    PayloadTypeTwice {
        /// Index of the line.
        index: usize,
        /// The payload type.
        payload_type: u8,
    },
    /// A clock that stands still.
    #[error("media line {index}: payload type {payload_type} has a clock rate of 0")]
    ClockRate {
        /// Index of the line.
        index: usize,
        /// The payload type.
        payload_type: u8,
    },
    /// We would talk to ourselves.
    #[error("both sides are at {0}")]
    SameAddress(SocketAddr),
    /// One side speaks WebRTC, the other plain RTP.
    #[error("one side describes WebRTC, the other plain RTP")]
    OneSideSecure,
    /// WebRTC needs one.
    #[error("there is no certificate for WebRTC")]
    NoCertificate,
    /// The two sides cannot reach each other.
    #[error("WebRTC: {0}")]
    Transport(#[from] webrtc::ConfigError),
    /// A rate that Opus cannot do.
    #[error("output rate {rate} Hz is none of 8000, 12000, 16000, 24000, 48000")]
    OutputRate {
        /// The rate.
        rate: u32,
    },
    /// A number out of its range.
    #[error("{name} is {value}, not between {min} and {max}")]
    OutOfRange {
        /// Which number.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// The jitter buffer cannot be built.
    #[error("playout: {0}")]
    Playout(#[from] jitter::ConfigError),
    /// A codec could not be set up.
    #[error("codec {codec}: {message}")]
    CodecUnavailable {
        /// Which one.
        codec: &'static str,
        /// What it says.
        message: String,
    },
}
