//! A peer connection of the `webrtc` crate, for who has packets to send: it does SDP, ICE, DTLS
//! and SRTP, and gives and takes plain RTP and RTCP. Bots have their media by it on a network, and
//! so have people whose telephone speaks WebRTC. What is inside of the packets is the business of
//! a session of ours, which sees plain RTP between two addresses that nobody else knows.

mod tap;

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use callrig_media::datagram::Datagram;
use callrig_media::description::{
    Codec, Description, Direction, Extension, MediaDescription, MediaKind, Payload,
};
use callrig_media::rtp::{Demultiplexed, demultiplex};
use callrig_media::transport::sdp;
use rand::RngExt as _;
use rtc::interceptor::Slot;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::interceptor_registry::Registry;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters,
    RTCRtpEncodingParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use thiserror::Error;
use tokio::sync::mpsc;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription, SettingEngineBuilder,
};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

use tap::Tap;

/// How long it may take to find out where this machine can be reached.
const GATHERED_WITHIN: Duration = Duration::from_secs(5);
/// Ta of RFC 8445, section 14.2. The library looks four times less often, and a call is silent for
/// two of these: until a way is chosen, and until DTLS begins on it.
const ICE_PACE: Duration = Duration::from_millis(50);
/// As long as the library tries.
const ICE_ATTEMPTS: u16 = 28;
/// What a session takes for its own address and the other side's.
const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 1);
const THERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 1);

/// What the crate refuses, or what cannot be understood.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("WebRTC: {0}")]
pub struct PeerError(String);

impl PeerError {
    fn new(error: impl core::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// What is heard of a connection.
#[derive(Debug)]
pub enum Heard {
    /// Media can flow.
    Connected,
    /// It is over, and why.
    Ended(&'static str),
    /// An RTP or RTCP packet, in the clear.
    Packet(Bytes),
}

/// What the connection says of itself.
enum State {
    Gathered,
    Connected,
    Ended(&'static str),
}

/// Hears what the connection says of itself.
struct Listener(mpsc::Sender<State>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Listener {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.0.try_send(State::Gathered);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let state = match state {
            RTCPeerConnectionState::Connected => State::Connected,
            RTCPeerConnectionState::Failed => State::Ended("the platform cannot be reached"),
            RTCPeerConnectionState::Closed => State::Ended("the connection was closed"),
            _ => return,
        };
        let _ = self.0.try_send(state);
    }
}

/// A connection.
pub struct Peer {
    connection: Arc<dyn PeerConnection>,
    /// By which everything leaves: see [`Envelope`].
    track: Arc<TrackLocalStaticRTP>,
    envelope: Envelope,
    states: mpsc::Receiver<State>,
    packets: mpsc::Receiver<Bytes>,
    dropped: Arc<AtomicU64>,
}

/// A connection that nobody has answered, and what it says of itself.
pub struct Offered {
    /// The connection.
    pub peer: Peer,
    /// What it offers, in SDP.
    pub sdp: String,
    /// The same, understood.
    pub offer: Description,
}

impl Offered {
    /// What a session inside is to take for its own side.
    #[must_use]
    pub fn inside(&self) -> Description {
        inside(self.offer.clone(), HERE)
    }
}

/// A description as a session sees it: plain RTP at an address of its own.
fn inside(description: Description, address: SocketAddr) -> Description {
    Description { secure: None, address, ..description }
}

/// What came, as a session sees it.
#[must_use]
pub const fn arrived(payload: Bytes) -> Datagram {
    Datagram { source: THERE, destination: HERE, payload }
}

impl Peer {
    /// Opens a connection at this address of the machine's (all of them if it is unspecified), with
    /// these lines. Their names and the numbers of their header extensions are the crate's to give.
    ///
    /// # Errors
    /// Whatever the crate refuses, and lines of which none sends.
    pub async fn open(address: IpAddr, lines: &[MediaDescription]) -> Result<Offered, PeerError> {
        let (said, mut states) = mpsc::channel(16);
        let (tap, packets, dropped) = Tap::new();
        let connection = build(address, lines, tap, Listener(said)).await?;
        let (track, envelope) = add_lines(&*connection, lines).await?;
        let offer = connection.create_offer(None).await.map_err(PeerError::new)?;
        connection.set_local_description(offer).await.map_err(PeerError::new)?;
        let gathered =
            async { while !matches!(states.recv().await, None | Some(State::Gathered)) {} };
        let _ = tokio::time::timeout(GATHERED_WITHIN, gathered).await;
        let described = connection.local_description().await;
        let described = described.ok_or_else(|| PeerError::new("no description of itself"))?;
        let sdp = mark_screens(&described.sdp, lines);
        let offer = sdp::parse(&sdp).map_err(PeerError::new)?;
        let peer = Self { connection, track, envelope, states, packets, dropped };
        Ok(Offered { peer, sdp, offer })
    }

    /// The other side's answer, in SDP; what a session inside is to take for its peer.
    ///
    /// # Errors
    /// It cannot be understood, or does not fit.
    pub async fn take_answer(&self, sdp: &str) -> Result<Description, PeerError> {
        let remote = inside(sdp::parse(sdp).map_err(PeerError::new)?, THERE);
        let answer = RTCSessionDescription::answer(announce(sdp)).map_err(PeerError::new)?;
        self.connection.set_remote_description(answer).await.map_err(PeerError::new)?;
        Ok(remote)
    }

    /// The next thing to hear. Nothing is lost if it is given up halfway.
    pub async fn hear(&mut self) -> Heard {
        loop {
            tokio::select! {
                biased;
                state = self.states.recv() => match state {
                    Some(State::Connected) => return Heard::Connected,
                    Some(State::Ended(reason)) => return Heard::Ended(reason),
                    Some(State::Gathered) => {}
                    None => return Heard::Ended("the connection is gone"),
                },
                Some(packet) = self.packets.recv() => return Heard::Packet(packet),
            }
        }
    }

    /// A packet that has come already.
    pub fn next_packet(&mut self) -> Option<Bytes> {
        self.packets.try_recv().ok()
    }

    /// How many packets were not taken in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Sends an RTP or RTCP packet, as it is.
    ///
    /// # Errors
    /// It is neither, or the connection is closed.
    pub async fn send(&self, mut packet: Bytes) -> Result<(), PeerError> {
        match demultiplex(&packet) {
            Demultiplexed::Rtp => self.track.write_rtp(self.envelope.around(packet)).await,
            _ => {
                let packets = rtc::rtcp::packet::unmarshal(&mut packet).map_err(PeerError::new)?;
                self.track.write_rtcp(packets).await
            }
        }
        .map_err(PeerError::new)
    }

    /// Ends it.
    pub async fn close(&self) {
        let _ = self.connection.close().await;
    }
}

/// A track sends only under its one source, with what was agreed on for its line, and looks that up
/// for each packet. What a session sends has sources, lines and payload types of its own, so it goes
/// in an envelope of the track's, which the [`Tap`] takes off behind it.
#[derive(Clone, Copy)]
struct Envelope {
    ssrc: u32,
    payload_type: u8,
}

impl Envelope {
    fn around(self, payload: Bytes) -> rtc::rtp::Packet {
        let Self { ssrc, payload_type } = self;
        let header =
            rtc::rtp::Header { version: 2, ssrc, payload_type, ..rtc::rtp::Header::default() };
        rtc::rtp::Packet { header, payload }
    }
}

const fn kind_of(media: &MediaDescription) -> RtpCodecKind {
    match media.kind {
        MediaKind::Audio => RtpCodecKind::Audio,
        MediaKind::Video | MediaKind::ScreenSharing | MediaKind::Data => RtpCodecKind::Video,
    }
}

async fn build(
    address: IpAddr,
    lines: &[MediaDescription],
    tap: Tap,
    listener: Listener,
) -> Result<Arc<dyn PeerConnection>, PeerError> {
    let mut engine = MediaEngine::default();
    let mut known = BTreeSet::new();
    for media in lines {
        for payload in &media.payloads {
            if known.insert(payload.payload_type) {
                engine
                    .register_codec(parameters(payload), kind_of(media))
                    .map_err(PeerError::new)?;
            }
        }
    }
    let uri = Extension::AudioLevel.uri().to_owned();
    let level = RTCRtpHeaderExtensionCapability { uri };
    let audio = RtpCodecKind::Audio;
    engine.register_header_extension(level, audio, None).map_err(PeerError::new)?;
    let settings = SettingEngineBuilder::new()
        .with_include_loopback_candidate(address.is_loopback())
        .with_ice_connection_attempts(Some(ICE_PACE), Some(ICE_ATTEMPTS))
        .build();
    let connection = PeerConnectionBuilder::new()
        .with_media_engine(engine)
        .with_setting_engine(settings)
        .with_interceptor_registry(Registry::new().with(Slot::NackGenerator, tap))
        .with_handler(Arc::new(listener))
        .with_udp_addrs(vec![SocketAddr::from((address, 0))])
        .build()
        .await
        .map_err(PeerError::new)?;
    Ok(Arc::new(connection))
}

/// A payload type in the crate's words.
fn parameters(payload: &Payload) -> RTCRtpCodecParameters {
    let codec = payload.codec;
    let class = if codec.is_video() { "video" } else { "audio" };
    let sdp_fmtp_line = match codec {
        Codec::Opus { stereo } => {
            let stereo = if stereo { ";stereo=1" } else { "" };
            format!("minptime=10;useinbandfec=1{stereo}")
        }
        Codec::TelephoneEvent { .. } => "0-15".to_owned(),
        Codec::H264 { packetization_mode: mode } => {
            let [profile, constraints, level] =
                payload.profile_level_id.unwrap_or([0x42, 0xe0, 0x1f]);
            format!(
                "level-asymmetry-allowed=1;packetization-mode={mode};\
                 profile-level-id={profile:02x}{constraints:02x}{level:02x}"
            )
        }
        Codec::Pcmu | Codec::Pcma => String::new(),
    };
    let feedback = [
        (payload.feedback.nack, "nack", ""),
        (payload.feedback.pli, "nack", "pli"),
        (payload.feedback.fir, "ccm", "fir"),
    ];
    let feedback =
        feedback.into_iter().filter(|(wanted, ..)| *wanted).map(|(_, typ, parameter)| {
            RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() }
        });
    let rtp_codec = RTCRtpCodec {
        mime_type: format!("{class}/{}", codec.name()),
        clock_rate: codec.clock_rate(),
        channels: if codec.is_video() { 0 } else { codec.rtpmap_channels().into() },
        sdp_fmtp_line,
        rtcp_feedback: feedback.collect(),
    };
    RTCRtpCodecParameters { rtp_codec, payload_type: payload.payload_type }
}

/// A track for each line that sends, under the source that it names if it names one; says by which
/// packets leave.
async fn add_lines(
    connection: &dyn PeerConnection,
    lines: &[MediaDescription],
) -> Result<(Arc<TrackLocalStaticRTP>, Envelope), PeerError> {
    let mut way = None;
    for (index, media) in lines.iter().enumerate() {
        let kind = kind_of(media);
        if !media.direction.sends() {
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                ..RTCRtpTransceiverInit::default()
            };
            let added = connection.add_transceiver_from_kind(kind, Some(init)).await;
            added.map_err(PeerError::new)?;
            continue;
        }
        let first = media.payloads.first().ok_or_else(|| PeerError::new("a line of no codec"))?;
        let ssrc = media.ssrc.unwrap_or_else(|| rand::rng().random_range(1..=u32::MAX));
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(ssrc),
                ..RTCRtpCodingParameters::default()
            },
            codec: parameters(first).rtp_codec,
            ..RTCRtpEncodingParameters::default()
        };
        let name = format!("line-{index}");
        let track =
            MediaStreamTrack::new("callrig".to_owned(), name.clone(), name, kind, vec![encoding]);
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        let direction = match media.direction {
            Direction::SendOnly => RTCRtpTransceiverDirection::Sendonly,
            _ => RTCRtpTransceiverDirection::Sendrecv,
        };
        let init = RTCRtpTransceiverInit { direction, ..RTCRtpTransceiverInit::default() };
        let shared: Arc<dyn TrackLocal> = track.clone();
        let added = connection.add_transceiver_from_track(shared, Some(init)).await;
        // Otherwise the line would be offered in the codec of its track alone.
        added
            .map_err(PeerError::new)?
            .set_codec_preferences(Vec::new())
            .await
            .map_err(PeerError::new)?;
        let envelope = Envelope { ssrc, payload_type: first.payload_type };
        way.get_or_insert((track, envelope));
    }
    way.ok_or_else(|| PeerError::new("no line sends"))
}

/// A description in parts: what is said of all, and each line.
fn sections(sdp: &str) -> Vec<String> {
    sdp.split_inclusive('\n').fold(vec![String::new()], |mut sections, line| {
        if line.starts_with("m=") {
            sections.push(String::new());
        }
        if let Some(last) = sections.last_mut() {
            last.push_str(line);
        }
        sections
    })
}

/// Says of lines that show a screen that they do (RFC 4796), for which the crate has no word.
fn mark_screens(sdp: &str, lines: &[MediaDescription]) -> String {
    let mut sections = sections(sdp);
    for (section, media) in sections.iter_mut().skip(1).zip(lines) {
        if media.kind == MediaKind::ScreenSharing {
            let end = section.find("a=").unwrap_or(section.len());
            section.insert_str(end, "a=content:slides\r\n");
        }
    }
    sections.concat()
}

/// Names a source on each line that names none: the crate refuses an answer of several lines
/// otherwise, while platforms that relay know the sources only when they send.
fn announce(sdp: &str) -> String {
    let mut sections = sections(sdp);
    for (section, number) in sections.iter_mut().skip(1).zip(1_u32..) {
        if !section.contains("a=ssrc:") {
            section.push_str(&format!("a=ssrc:{number} cname:platform\r\n"));
        }
    }
    sections.concat()
}

#[cfg(test)]
mod tests {
    use callrig_media::rtcp::{Application, View};

    use super::*;

    #[test]
    fn what_an_application_says_goes_through_the_crate_unchanged() {
        let view = View { media: 2, source: 41, lines_max: Some(360) };
        let said = Application { ssrc: 7, ..Application::view(view) };
        let report = callrig_media::rtcp::ReceiverReport { ssrc: 7, ..Default::default() };
        let packets = [
            callrig_media::rtcp::Packet::ReceiverReport(report),
            callrig_media::rtcp::Packet::Application(said),
        ];
        let mut bytes = bytes::BytesMut::new();
        callrig_media::rtcp::write(&packets, &mut bytes);
        let before = bytes.freeze();
        let read = rtc::rtcp::packet::unmarshal(&mut before.clone()).expect("it reads it");
        let after = rtc::rtcp::packet::marshal(&read).expect("it writes it");
        assert_eq!(after.freeze(), before);
    }

    #[test]
    fn a_line_without_a_source_gets_one() {
        let sdp = "v=0\r\nm=audio 9\r\na=mid:0\r\nm=video 9\r\na=ssrc:7 cname:x\r\n";
        let announced = announce(sdp);
        assert!(announced.contains("a=mid:0\r\na=ssrc:1 cname:platform\r\nm=video"), "{announced}");
        assert_eq!(announced.matches("a=ssrc:").count(), 2);
    }

    #[test]
    fn only_a_line_with_a_screen_is_marked() {
        let sdp = "v=0\r\nm=video 9 X 102\r\na=mid:1\r\nm=video 9 X 102\r\nc=IN\r\na=mid:2\r\n";
        let lines = [MediaDescription::video("1"), MediaDescription::screen_sharing("2")];
        let marked = mark_screens(sdp, &lines);
        assert!(marked.ends_with("c=IN\r\na=content:slides\r\na=mid:2\r\n"), "{marked}");
        assert_eq!(marked.matches("slides").count(), 1);
    }

    #[tokio::test]
    async fn an_offer_has_every_codec_of_its_lines() {
        let payload = |number| Payload::new(number, Codec::H264 { packetization_mode: 1 });
        let film = MediaDescription::video("").with_payloads(vec![payload(96)]).with_ssrc(7);
        let screen = MediaDescription::screen_sharing("").with_payloads(vec![payload(97)]);
        let ear = MediaDescription::audio("").with_direction(Direction::ReceiveOnly);
        let lines = [MediaDescription::audio(""), film, screen, ear];
        let offered = Peer::open(Ipv4Addr::LOCALHOST.into(), &lines).await.expect("it opens");
        let media = &offered.offer.media;
        assert!(offered.offer.secure.is_some());
        let kinds: Vec<_> = media.iter().map(|line| (line.kind, line.direction)).collect();
        let wanted: Vec<_> = lines.iter().map(|line| (line.kind, line.direction)).collect();
        assert_eq!(kinds, wanted);
        for (offered, line) in media.iter().zip(&lines) {
            for payload in &line.payloads {
                let same = offered.payload(payload.payload_type).map(|offered| offered.codec);
                assert_eq!(same, Some(payload.codec), "{offered:?}");
            }
        }
        assert_eq!(media[1].ssrc, Some(7));
        offered.peer.close().await;
        let refused = Peer::open(Ipv4Addr::LOCALHOST.into(), &lines[3..]).await;
        assert!(refused.is_err(), "nothing could be sent");
    }
}
