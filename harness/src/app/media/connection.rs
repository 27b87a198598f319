//! The way to a platform on a network: a peer connection of the `webrtc` crate does SDP, ICE,
//! DTLS and SRTP, a session of ours does what is inside. One task per call owns both. The
//! session sees plain RTP between two addresses that nobody else knows.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::time::{Instant as Monotonic, SystemTime};

use bytes::Bytes;
use callrig_media::datagram::Datagram;
use callrig_media::description::Description;
use callrig_media::rtp::{Demultiplexed, demultiplex};
use callrig_media::session::{self, Decode, Session};
use callrig_media::time::{Epoch, Instant, NtpTime};
use callrig_media::transport::sdp;
use callrig_signaling::bot::{AnswerMedia, Offer};
use rand::RngExt as _;
use rtc::interceptor::Slot;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::interceptor_registry::Registry;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters,
    RTCRtpEncodingParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::shared::marshal::Unmarshal as _;
use tokio::sync::mpsc;
use webrtc::media_stream::track_local::TrackLocal as _;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription, SettingEngineBuilder,
};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

use super::desk::{self, Desk};
use super::sound::SAMPLE_RATE;
use super::tap::Tap;
use super::{Backing, Control, Lines, MediaError, Opened};

/// How long it may take to find out where this machine can be reached.
const GATHERED_WITHIN: Duration = Duration::from_secs(5);
/// The longest sleep: what comes wakes the task anyway.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// What the session takes for its own address and the platform's.
const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 1);
const THERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 1);
/// How loud a packet is, in its header (RFC 6464).
const LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

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

fn webrtc_error(error: impl core::fmt::Display) -> MediaError {
    MediaError::WebRtc(error.to_string())
}

/// Opens a connection at this address of the machine's (all of them if it is unspecified).
pub(super) async fn open(address: IpAddr, lines: Lines) -> Result<Opened, MediaError> {
    let (said, mut states) = mpsc::channel(16);
    let (tap, packets, tapped) = Tap::new();
    let built = build(address, tap, Listener(said)).await?;
    let peer: Arc<dyn PeerConnection> = built;
    let tracks = add_lines(&*peer, lines).await?;
    let offer = peer.create_offer(None).await.map_err(webrtc_error)?;
    peer.set_local_description(offer).await.map_err(webrtc_error)?;
    let gathered = async { while !matches!(states.recv().await, None | Some(State::Gathered)) {} };
    let _ = tokio::time::timeout(GATHERED_WITHIN, gathered).await;
    let described = peer.local_description().await;
    let described = described.ok_or_else(|| webrtc_error("it has no description of itself"))?;
    let sdp = if lines.screen { mark_screen(&described.sdp) } else { described.sdp };
    let offer = Offer::new(&sdp).map_err(webrtc_error)?;
    let local = inside(sdp::parse(&sdp).map_err(webrtc_error)?, HERE);
    let (desk, media) = desk::lay(lines);
    let (control, controls) = mpsc::channel(8);
    let connection = Connection {
        peer,
        tracks,
        local,
        desk,
        session: None,
        connected: false,
        began: Monotonic::now(),
        tapped,
        lost: 0,
    };
    tokio::spawn(connection.run(controls, states, packets));
    let offer = AnswerMedia::Offered(offer);
    Ok(Opened { offer, backing: Backing::Elsewhere(control), media })
}

async fn build(
    address: IpAddr,
    tap: Tap,
    listener: Listener,
) -> Result<Arc<dyn PeerConnection>, MediaError> {
    let mut media_engine = MediaEngine::default();
    for codec in codecs() {
        let audio = codec.rtp_codec.mime_type.starts_with("audio/");
        let kind = if audio { RtpCodecKind::Audio } else { RtpCodecKind::Video };
        media_engine.register_codec(codec, kind).map_err(webrtc_error)?;
    }
    let level = RTCRtpHeaderExtensionCapability { uri: LEVEL_URI.to_owned() };
    let audio = RtpCodecKind::Audio;
    media_engine.register_header_extension(level, audio, None).map_err(webrtc_error)?;
    let settings =
        SettingEngineBuilder::new().with_include_loopback_candidate(address.is_loopback()).build();
    let peer = PeerConnectionBuilder::new()
        .with_media_engine(media_engine)
        .with_setting_engine(settings)
        .with_interceptor_registry(Registry::new().with(Slot::NackGenerator, tap))
        .with_handler(Arc::new(listener))
        .with_udp_addrs(vec![SocketAddr::from((address, 0))])
        .build()
        .await
        .map_err(webrtc_error)?;
    Ok(Arc::new(peer))
}

/// What a bot can do, best first.
fn codecs() -> Vec<RTCRtpCodecParameters> {
    let codec = |payload_type, name: &str, clock_rate, channels, fmtp: &str| {
        let feedback = [("nack", ""), ("nack", "pli"), ("ccm", "fir")].map(|(typ, parameter)| {
            RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() }
        });
        let rtp_codec = RTCRtpCodec {
            mime_type: name.to_owned(),
            clock_rate,
            channels,
            sdp_fmtp_line: fmtp.to_owned(),
            rtcp_feedback: if channels == 0 { feedback.to_vec() } else { Vec::new() },
        };
        RTCRtpCodecParameters { rtp_codec, payload_type }
    };
    let h264 = |mode: u8| {
        format!("level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id=42e01f")
    };
    vec![
        codec(111, "audio/opus", 48_000, 2, "minptime=10;useinbandfec=1"),
        codec(0, "audio/PCMU", 8_000, 1, ""),
        codec(8, "audio/PCMA", 8_000, 1, ""),
        codec(110, "audio/telephone-event", 48_000, 1, "0-15"),
        codec(101, "audio/telephone-event", 8_000, 1, "0-15"),
        codec(102, "video/H264", 90_000, 0, &h264(1)),
        codec(103, "video/H264", 90_000, 0, &h264(0)),
    ]
}

/// A track with a source of its own for each line.
async fn add_lines(
    peer: &dyn PeerConnection,
    lines: Lines,
) -> Result<Vec<(u32, Arc<TrackLocalStaticRTP>)>, MediaError> {
    let mut tracks = Vec::new();
    for line in 0..lines.first_speaker() {
        let (kind, codec) = match line {
            0 => (RtpCodecKind::Audio, &codecs()[0]),
            _ => (RtpCodecKind::Video, &codecs()[5]),
        };
        let ssrc = rand::rng().random_range(1..=u32::MAX);
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(ssrc),
                ..RTCRtpCodingParameters::default()
            },
            codec: codec.rtp_codec.clone(),
            ..RTCRtpEncodingParameters::default()
        };
        let name = format!("line-{line}");
        let track =
            MediaStreamTrack::new("callrig".to_owned(), name.clone(), name, kind, vec![encoding]);
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendrecv,
            ..RTCRtpTransceiverInit::default()
        };
        let shared: Arc<dyn webrtc::media_stream::track_local::TrackLocal> = track.clone();
        peer.add_transceiver_from_track(shared, Some(init)).await.map_err(webrtc_error)?;
        tracks.push((ssrc, track));
    }
    for _ in 0..lines.speakers {
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            ..RTCRtpTransceiverInit::default()
        };
        let added = peer.add_transceiver_from_kind(RtpCodecKind::Audio, Some(init)).await;
        added.map_err(webrtc_error)?;
    }
    Ok(tracks)
}

/// Says of the last video that it is a screen (RFC 4796), for which the crate has no word.
fn mark_screen(sdp: &str) -> String {
    match sdp.rfind("m=video") {
        None => sdp.to_owned(),
        Some(at) => {
            let end = sdp[at..].find("a=").map_or(sdp.len(), |attributes| at + attributes);
            format!("{}a=content:slides\r\n{}", &sdp[..end], &sdp[end..])
        }
    }
}

/// Names a source on each line that names none: the crate refuses an answer of several lines
/// otherwise, while platforms that relay know the sources only when they send.
fn announce(sdp: &str) -> String {
    let mut sections = sdp.split_inclusive('\n').fold(vec![String::new()], |mut sections, line| {
        if line.starts_with("m=") {
            sections.push(String::new());
        }
        if let Some(last) = sections.last_mut() {
            last.push_str(line);
        }
        sections
    });
    for (section, number) in sections.iter_mut().skip(1).zip(1_u32..) {
        if !section.contains("a=ssrc:") {
            section.push_str(&format!("a=ssrc:{number} cname:platform\r\n"));
        }
    }
    sections.concat()
}

/// A description as the session sees it: plain RTP at an address of its own.
fn inside(description: Description, address: SocketAddr) -> Description {
    Description { secure: None, address, ..description }
}

/// A call's way to the platform.
struct Connection {
    peer: Arc<dyn PeerConnection>,
    /// By line, with the source that is sent there.
    tracks: Vec<(u32, Arc<TrackLocalStaticRTP>)>,
    local: Description,
    desk: Desk,
    session: Option<Session>,
    connected: bool,
    began: Monotonic,
    /// How many packets were not taken in time.
    tapped: Arc<AtomicU64>,
    /// How many of those were said.
    lost: u64,
}

impl Connection {
    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Lives until the call is over.
    async fn run(
        mut self,
        mut controls: mpsc::Receiver<Control>,
        mut states: mpsc::Receiver<State>,
        mut packets: mpsc::Receiver<Bytes>,
    ) {
        let work = Arc::clone(&self.desk.work);
        let reason = loop {
            let sleep = self.next_moment().map_or(SLEEP_MAX, |at| at.since(self.now()));
            tokio::select! {
                control = controls.recv() => match control {
                    Some(Control::Answer(sdp)) => match self.take_answer(&sdp).await {
                        Ok(()) => {}
                        Err(error) => break error.to_string(),
                    },
                    Some(Control::Close) | None => break "the call is over".to_owned(),
                },
                state = states.recv() => match state {
                    Some(State::Connected) => {
                        tracing::debug!("media of a call is connected");
                        self.connected = true;
                    }
                    Some(State::Ended(reason)) => break reason.to_owned(),
                    Some(State::Gathered) => {}
                    None => break "the connection is gone".to_owned(),
                },
                Some(packet) = packets.recv() => {
                    self.take_packet(packet);
                    // What has come meanwhile is taken with it.
                    while let Ok(packet) = packets.try_recv() {
                        self.take_packet(packet);
                    }
                }
                () = work.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
            if let Err(error) = self.turn().await {
                break error.to_string();
            }
        };
        tracing::info!(reason, "media of a call has ended");
        let now = self.now();
        if let Some(session) = &mut self.session {
            session.close(now);
        }
        let _ = self.drain().await;
        self.desk.end(&reason);
        let _ = self.peer.close().await;
    }

    fn next_moment(&self) -> Option<Instant> {
        let session = self.session.as_ref().and_then(Session::poll_timeout);
        [session, self.desk.poll_timeout()].into_iter().flatten().min()
    }

    async fn take_answer(&mut self, text: &str) -> Result<(), MediaError> {
        let remote = inside(sdp::parse(text).map_err(webrtc_error)?, THERE);
        let mut config = session::Config::new(self.local.clone(), remote);
        config.decode = Decode::Audio;
        config.output_rate = SAMPLE_RATE;
        config.cname = "bot".to_owned();
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let unix = unix.saturating_sub(self.began.elapsed());
        let epoch = Epoch { ntp: NtpTime::from_unix(unix) };
        let session = Session::new(config, epoch, rand::rng().random()).map_err(webrtc_error)?;
        self.session = Some(session);
        let answer = RTCSessionDescription::answer(announce(text)).map_err(webrtc_error)?;
        self.peer.set_remote_description(answer).await.map_err(webrtc_error)
    }

    fn take_packet(&mut self, payload: Bytes) {
        let now = self.now();
        self.desk.look_at(&payload);
        if let Some(session) = &mut self.session {
            let datagram = Datagram { source: THERE, destination: HERE, payload };
            session.handle_input(now, session::Input::Datagram(datagram));
        }
    }

    /// Does what is due, and sends what comes of it.
    async fn turn(&mut self) -> Result<(), MediaError> {
        let now = self.now();
        if let Some(session) = self.session.as_mut().filter(|_| self.connected) {
            self.desk.begin(now);
            if session.poll_timeout().is_some_and(|at| at <= now) {
                session.handle_input(now, session::Input::Timeout);
            }
            self.desk.turn(now, session);
        }
        let tapped = self.tapped.load(Ordering::Relaxed);
        if tapped > self.lost {
            self.lost = tapped;
            self.desk.lost(tapped);
        }
        self.drain().await
    }

    async fn drain(&mut self) -> Result<(), MediaError> {
        loop {
            let Some(session) = &mut self.session else { return Ok(()) };
            match session.poll_output() {
                None => return Ok(()),
                Some(session::Output::Event(event)) => self.desk.hear(session, event),
                Some(session::Output::Datagram(datagram)) if self.connected => {
                    self.send(datagram.payload).await?;
                }
                Some(session::Output::Datagram(_)) => {}
            }
        }
    }

    async fn send(&mut self, payload: Bytes) -> Result<(), MediaError> {
        let mut bytes = payload;
        if demultiplex(&bytes) == Demultiplexed::Rtp {
            let packet = rtc::rtp::Packet::unmarshal(&mut bytes).map_err(webrtc_error)?;
            let track = self.tracks.iter().find(|(ssrc, _)| *ssrc == packet.header.ssrc);
            match track {
                Some((_, track)) => track.write_rtp(packet).await.map_err(webrtc_error),
                // Its number was taken by somebody else, and is another now, which was not
                // announced: the platform would not take it.
                None => Ok(()),
            }
        } else {
            let packets = rtc::rtcp::packet::unmarshal(&mut bytes).map_err(webrtc_error)?;
            match self.tracks.first() {
                Some((_, track)) => track.write_rtcp(packets).await.map_err(webrtc_error),
                None => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use callrig_media::rtcp::{Application, View};

    use super::*;

    #[tokio::test]
    async fn an_offer_has_every_line_in_its_place_and_the_screen_is_marked() {
        let lines = Lines { videos: 2, screen: true, speakers: 1 };
        let opened = open(IpAddr::V4(Ipv4Addr::LOCALHOST), lines).await.expect("it opens");
        assert!(matches!(opened.offer, AnswerMedia::Offered(_)));
        let Backing::Elsewhere(control) = opened.backing else { panic!("it is a connection") };
        let mut media = opened.media;
        control.send(Control::Close).await.expect("it lives");
        assert!(media.sound.receive().await.is_none());
    }

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
    fn the_last_video_is_the_screen() {
        let sdp = "v=0\r\nm=video 9 X 102\r\na=mid:1\r\nm=video 9 X 102\r\nc=IN\r\na=mid:2\r\n";
        let marked = mark_screen(sdp);
        assert!(marked.ends_with("c=IN\r\na=content:slides\r\na=mid:2\r\n"), "{marked}");
        assert_eq!(marked.matches("slides").count(), 1);
    }
}
