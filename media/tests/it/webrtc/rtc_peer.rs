//! The `rtc` peer connection offers, as a browser would: its ICE agent is a full one, its
//! SRTP and RTP are its own.

use core::net::SocketAddr;

use bytes::BytesMut;
use callrig_media::datagram::Datagram;
use callrig_media::description::{Codec, Description, Direction};
use callrig_media::event::{Event, TransportEvent};
use callrig_media::session;
use callrig_media::time::{Epoch, Instant};
use callrig_media::transport::sdp;
use callrig_media::transport::webrtc::{Certificate, Profile};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_H264, MIME_TYPE_OPUS, MediaEngine,
};
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::event::RTCPeerConnectionEvent;
use rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtp_transceiver::RTCRtpSenderId;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};

use super::world::Peer as _;
use super::{MS, Server, able};

const PEER: ([u8; 4], u16) = ([192, 0, 2, 77], 40_000);
const AUDIO: u32 = 0x0a0a_0a0a;
const VIDEO: u32 = 0x0b0b_0b0b;

struct Peer {
    connection: RTCPeerConnection,
    audio: RTCRtpSenderId,
    connected: bool,
    received: Vec<(u32, u16)>,
    address: SocketAddr,
    #[expect(clippy::disallowed_types, reason = "rtc wants one")]
    base: std::time::Instant,
}

fn track(kind: RtpCodecKind, name: &str, ssrc: u32, mime: &str, rate: u32) -> MediaStreamTrack {
    let codec = RTCRtpCodec {
        mime_type: mime.to_owned(),
        clock_rate: rate,
        channels: if kind == RtpCodecKind::Audio { 2 } else { 0 },
        sdp_fmtp_line: String::new(),
        rtcp_feedback: Vec::new(),
    };
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
        codec,
        ..Default::default()
    };
    let (stream, id) = ("stream".to_owned(), format!("track-{name}"));
    MediaStreamTrack::new(stream, id, name.to_owned(), kind, vec![encoding])
}

impl Peer {
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "a moment to count from; nothing else is had of the clock"
    )]
    fn new(profiles: Vec<SrtpProtectionProfile>) -> Self {
        let base = std::time::Instant::now();
        let address = SocketAddr::from(PEER);
        let settings = SettingEngineBuilder::new().with_srtp_protection_profiles(profiles);
        let mut media = MediaEngine::default();
        media.register_default_codecs().expect("they are its own");
        let mut connection = RTCPeerConnectionBuilder::new()
            .with_setting_engine(settings.build())
            .with_media_engine(media)
            .build(base)
            .expect("it can be built");
        let audio = track(RtpCodecKind::Audio, "audio", AUDIO, MIME_TYPE_OPUS, 48_000);
        let audio = connection.add_track(audio).expect("a track");
        let video = track(RtpCodecKind::Video, "video", VIDEO, MIME_TYPE_H264, 90_000);
        connection.add_track(video).expect("a track");
        let candidate = CandidateHostConfig {
            base_config: CandidateConfig {
                network: "udp".to_owned(),
                address: address.ip().to_string(),
                port: address.port(),
                component: 1,
                ..Default::default()
            },
            ..Default::default()
        };
        let candidate = candidate.new_candidate_host().expect("an address");
        let candidate = RTCIceCandidate::from(&candidate).to_json().expect("an address");
        connection.add_local_candidate(candidate).expect("an address");
        Self { connection, audio, connected: false, received: Vec::new(), address, base }
    }

    fn offer(&mut self) -> String {
        let offer = self.connection.create_offer(None).expect("it has tracks");
        let base = self.base;
        self.connection.set_local_description(base, offer.clone()).expect("its own");
        offer.sdp
    }

    fn answered(&mut self, now: Instant, answer: String) {
        let answer = RTCSessionDescription::answer(answer).expect("it is SDP");
        let now = self.base + now.elapsed();
        self.connection.set_remote_description(now, answer).expect("it answers the offer");
    }
}

impl super::world::Peer for Peer {
    fn take(&mut self, now: Instant, datagram: Option<Datagram>) -> Vec<Datagram> {
        let now = self.base + now.elapsed();
        match datagram {
            Some(datagram) => {
                let read = self.connection.handle_read(TaggedBytesMut {
                    now,
                    transport: TransportContext {
                        local_addr: self.address,
                        peer_addr: datagram.source,
                        ecn: None,
                        transport_protocol: TransportProtocol::UDP,
                    },
                    message: BytesMut::from(&datagram.payload[..]),
                });
                read.expect("it takes what we send");
            }
            None => self.connection.handle_timeout(now).expect("it goes on"),
        }
        while let Some(event) = self.connection.poll_event() {
            if let RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) = event {
                self.connected |= state == RTCPeerConnectionState::Connected;
            }
        }
        while let Some(TaggedRTCMessage { message, .. }) = self.connection.poll_read() {
            if let RTCMessage::RtpPacket(_, packet) = message {
                self.received.push((packet.header.ssrc, packet.header.sequence_number));
            }
        }
        let mut sent = Vec::new();
        while let Some(message) = self.connection.poll_write() {
            let (source, destination) = (self.address, message.transport.peer_addr);
            sent.push(Datagram { source, destination, payload: message.message.freeze() });
        }
        sent
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let at = self.connection.poll_timeout()?;
        Some(Instant::from_nanos(at.saturating_duration_since(self.base).as_nanos() as u64))
    }
}

impl Peer {
    fn speak(&mut self, now: Instant, number: u16) {
        let mut sender = self.connection.rtp_sender(self.audio).expect("its own");
        let codecs = &sender.get_parameters().rtp_parameters.codecs;
        let opus = codecs.iter().find(|codec| codec.rtp_codec.mime_type == MIME_TYPE_OPUS);
        let payload_type = opus.expect("we know Opus").payload_type;
        let header = rtc::rtp::header::Header {
            version: 2,
            payload_type,
            sequence_number: number,
            timestamp: u32::from(number) * 960,
            ssrc: AUDIO,
            ..Default::default()
        };
        // A packet of silence, as Opus has it.
        let payload = bytes::Bytes::from_static(&[0xf8, 0xff, 0xfe]);
        let packet = rtc::rtp::packet::Packet { header, payload };
        sender.write_rtp(self.base + now.elapsed(), packet).expect("it is connected");
    }
}

struct World {
    world: super::world::World<Peer>,
    sides: (Description, Description),
    certificate: Certificate,
}

impl core::ops::Deref for World {
    type Target = super::world::World<Peer>;

    fn deref(&self) -> &Self::Target {
        &self.world
    }
}

impl core::ops::DerefMut for World {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.world
    }
}

impl World {
    fn new(profiles: Vec<SrtpProtectionProfile>, loss: f64) -> Self {
        let certificate = Certificate::generate().expect("cryptography works");
        let mut peer = Peer::new(profiles);
        let text = peer.offer();
        let offer = sdp::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let answer = able(&certificate, 1).answer(&offer);
        peer.answered(Instant::ZERO, sdp::write(&answer, 1));
        let sides = (answer.clone(), offer.clone());
        let server = Server::new(&certificate, answer, offer);
        Self { world: super::world::World::new(server, peer, loss), sides, certificate }
    }

    fn talk(&mut self, packets: u16) {
        let samples = vec![2_000; 960];
        for number in 0..packets {
            let now = self.now;
            self.peer.speak(now, number);
            self.server.session.send_audio(now, &samples).expect("Opus is negotiated");
            let sent = self.server.drain();
            self.send(sent);
            self.run(20 * MS);
        }
        self.run(200 * MS);
    }
}

#[test]
fn a_peer_connection_calls_and_both_hear_each_other() {
    let profiles = vec![
        SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
    ];
    let mut world = World::new(profiles, 0.0);
    world.run_until(Instant::from_millis(3_000));
    assert!(world.peer.connected, "{:?}", world.server.said());
    assert_eq!(world.connected(), Some(Profile::AeadAes128Gcm), "it is preferred");
    world.talk(100);
    let heard = world.server.session.stats();
    assert_eq!(heard.inbound[0].source.packets_received, 100);
    assert_eq!(heard.inbound[0].codec, Codec::Opus { stereo: false });
    assert_eq!(world.peer.received.len(), 100);
    let dropped = |event: &&TransportEvent| matches!(event, TransportEvent::Dropped(_));
    let said = world.server.said();
    let drops: Vec<_> = said.iter().filter(dropped).collect();
    assert!(drops.is_empty(), "{drops:?}");
    assert!(world.server.events.iter().any(|event| matches!(event, Event::Audio(_))));
}

#[test]
fn a_relayed_session_is_taken_apart_later_without_a_new_handshake() {
    let profiles = vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm];
    let mut world = World::new(profiles, 0.0);
    world.run_until(Instant::from_millis(3_000));
    let config = |world: &World, relay: bool| {
        let (local, remote) = world.sides.clone();
        let certificate = Some(world.certificate.clone());
        session::Config { certificate, relay, ..session::Config::new(local, remote) }
    };
    let relayed = config(&world, true);
    world.server.session.retarget(relayed, Epoch::default(), 8).expect("as before");
    let speak = |world: &mut World, numbers: core::ops::Range<u16>| {
        for number in numbers {
            let now = world.now;
            world.peer.speak(now, number);
            // It is asked for what it has to send, since nothing else comes to wake it.
            let sent = world.peer.take(now, None);
            world.send(sent);
            world.run(20 * MS);
        }
    };
    speak(&mut world, 0..20);
    let packets = core::iter::from_fn(|| world.server.session.poll_packet()).count();
    assert!((19..=20).contains(&packets), "{packets}");
    assert!(!world.server.events.iter().any(|event| matches!(event, Event::Audio(_))));
    let mixed = config(&world, false);
    world.server.session.retarget(mixed, Epoch::default(), 9).expect("as before");
    speak(&mut world, 20..60);
    let played = world.server.events.iter().filter(|event| matches!(event, Event::Audio(_)));
    assert!(played.count() > 25);
    assert!(world.peer.connected);
}

#[test]
fn a_peer_without_aes_gcm_is_met_where_it_is() {
    let mut world = World::new(vec![SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80], 0.0);
    world.run_until(Instant::from_millis(3_000));
    assert_eq!(world.connected(), Some(Profile::Aes128CmSha1));
    world.talk(20);
    assert_eq!(world.server.session.stats().inbound[0].source.packets_received, 20);
    assert_eq!(world.peer.received.len(), 20);
}

#[test]
fn loss_delays_the_handshake_and_does_not_stop_it() {
    for percent in [5_u8, 10, 20] {
        let profiles = vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm];
        let mut world = World::new(profiles, f64::from(percent) / 100.0);
        while world.connected().is_none() || !world.peer.connected {
            let now = world.now;
            assert!(now < Instant::from_millis(15_000), "{percent} %: {:?}", world.server.said());
            world.run(10 * MS);
        }
        world.talk(100);
        let received = world.server.session.stats().inbound[0].source.packets_received;
        let least = 90 - u64::from(percent);
        assert!((least..=100).contains(&received), "{percent} %: {received}");
        let heard = world.peer.received.len() as u64;
        assert!((least..=100).contains(&heard), "{percent} %: {heard}");
    }
}

#[test]
fn the_answer_takes_the_audio_and_the_video_of_the_offer() {
    let mut peer = Peer::new(vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm]);
    let offer = sdp::parse(&peer.offer()).expect("it is understood");
    let certificate = Certificate::generate().expect("cryptography works");
    let answer = able(&certificate, 2).answer(&offer);
    assert!(answer.media.iter().all(|line| !line.rejected));
    assert!(answer.media.iter().all(|line| line.direction == Direction::SendReceive));
    let read = sdp::parse(&sdp::write(&answer, 9)).expect("our own text");
    assert_eq!(read, answer);
}
