//! str0m calls: another stack's ICE, DTLS, SRTP and SDP, its packetizers and its jitter buffers.

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use callrig_media::codec::h264::{Config, Encoder};
use callrig_media::datagram::Datagram;
use callrig_media::event::{Event, TransportEvent};
use callrig_media::session::{self, Session};
use callrig_media::time::{Epoch, Instant};
use callrig_media::transport::sdp;
use callrig_media::transport::webrtc::Certificate;
use callrig_media::video::Picture;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, Frequency, KeyframeRequestKind, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Input, Output, Rtc};

use super::world::{self, World};
use super::{MS, Server, able};

const PEER: ([u8; 4], u16) = ([192, 0, 2, 78], 40_000);
/// Of the server's lines.
const VIDEO: usize = 1;
const FRAME: Duration = Duration::from_millis(33);
const TICKS: u32 = 3_000;

struct Peer {
    rtc: Rtc,
    audio: Mid,
    video: Mid,
    connected: bool,
    heard: Vec<Bytes>,
    seen: Vec<Bytes>,
    key_frames_asked: usize,
    address: SocketAddr,
    #[expect(clippy::disallowed_types, reason = "str0m wants one")]
    base: std::time::Instant,
    #[expect(clippy::disallowed_types, reason = "str0m names one")]
    timeout: std::time::Instant,
}

impl Peer {
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "a moment to count from; nothing else is had of the clock"
    )]
    fn new() -> (Self, String, SdpPendingOffer) {
        let base = std::time::Instant::now();
        let address = SocketAddr::from(PEER);
        let rtc = Rtc::builder().clear_codecs().enable_opus(true, false).enable_h264(true);
        let mut rtc = rtc.build(base);
        let candidate = Candidate::host(address, "udp").expect("an address");
        rtc.add_local_candidate(candidate);
        let mut changes = rtc.sdp_api();
        let both = Direction::SendRecv;
        let audio = changes.add_media(MediaKind::Audio, both, None, None, None);
        let video = changes.add_media(MediaKind::Video, both, None, None, None);
        let (offer, pending) = changes.apply().expect("there is something to offer");
        let peer = Self {
            rtc,
            audio,
            video,
            connected: false,
            heard: Vec::new(),
            seen: Vec::new(),
            key_frames_asked: 0,
            address,
            base,
            timeout: base,
        };
        (peer, offer.to_sdp_string(), pending)
    }

    fn answered(&mut self, pending: SdpPendingOffer, text: &str) {
        let answer = SdpAnswer::from_sdp_string(text).expect("it is SDP");
        self.rtc.sdp_api().accept_answer(pending, answer).expect("it answers the offer");
    }

    /// Sends a packet's or an access unit's worth of something.
    fn say(&mut self, now: Instant, mid: Mid, codec: Codec, time: MediaTime, data: &[u8]) {
        let at = self.base + now.elapsed();
        let writer = self.rtc.writer(mid).expect("the line is there");
        let known = writer.payload_params().find(|one| one.spec().codec == codec);
        let payload_type = known.expect("it was negotiated").pt();
        writer.write(payload_type, at, time, data.to_vec()).expect("it is connected");
    }
}

impl world::Peer for Peer {
    fn take(&mut self, now: Instant, datagram: Option<Datagram>) -> Vec<Datagram> {
        let at = self.base + now.elapsed();
        let input = match &datagram {
            Some(Datagram { source, payload, .. }) => {
                let received = Receive::new(Protocol::Udp, *source, self.address, payload);
                Input::Receive(at, received.expect("it knows what we send"))
            }
            None => Input::Timeout(at),
        };
        self.rtc.handle_input(input).expect("it takes what we send");
        let mut sent = Vec::new();
        loop {
            match self.rtc.poll_output().expect("it goes on") {
                Output::Timeout(at) => {
                    self.timeout = at;
                    return sent;
                }
                Output::Transmit(out) => {
                    let payload = Bytes::copy_from_slice(&out.contents);
                    let (source, destination) = (out.source, out.destination);
                    sent.push(Datagram { source, destination, payload });
                }
                Output::Event(str0m::Event::Connected) => self.connected = true,
                Output::Event(str0m::Event::MediaData(media)) => {
                    let data = Bytes::copy_from_slice(&media.data);
                    match media.mid == self.audio {
                        true => self.heard.push(data),
                        false => self.seen.push(data),
                    }
                }
                Output::Event(str0m::Event::KeyframeRequest(asked)) => {
                    assert_eq!(asked.mid, self.video);
                    assert_eq!(asked.kind, KeyframeRequestKind::Pli);
                    self.key_frames_asked += 1;
                }
                Output::Event(_) => {}
            }
        }
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let since = self.timeout.saturating_duration_since(self.base);
        Some(Instant::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
    }
}

fn world(loss: f64) -> World<Peer> {
    let certificate = Certificate::generate().expect("cryptography works");
    let (mut peer, text, pending) = Peer::new();
    let offer = sdp::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    // As the platform describes itself to such peers: what is lost comes in a stream of its own.
    let mut able = able(&certificate, 1);
    for (line, number) in able.media.iter_mut().zip(0x0e0e_0e00..) {
        *line = line.clone().for_webrtc();
        line.retransmission_ssrc = Some(number);
    }
    let answer = able.answer(&offer);
    peer.answered(pending, &sdp::write(&answer, 1));
    let certificate = Some(certificate);
    let mut config = session::Config { certificate, ..session::Config::new(answer, offer) };
    // As long as the platform waits for what is sent again.
    config.assembly.reorder_wait = Duration::from_millis(250);
    let session = Session::new(config, Epoch::default(), 7).expect("the descriptions fit");
    let server = Server { session, events: Vec::new() };
    let mut world = World::new(server, peer, loss);
    while world.connected().is_none() || !world.peer.connected {
        assert!(world.now < Instant::from_millis(15_000), "{:?}", world.server.said());
        world.run(10 * MS);
    }
    world
}

/// Pictures of a moving edge, encoded; one of them a key frame.
fn pictures(count: u32) -> Vec<Bytes> {
    let (width, height) = (320_usize, 180_usize);
    let mut encoder = Encoder::new(&Config::default()).expect("there is an encoder");
    let mut units = Vec::new();
    for number in 0..count {
        let edge = number as usize * 4;
        let luma = |at: usize| if at % width < edge { 200 } else { (at / width) as u8 };
        let picture = Picture {
            width: width as u16,
            height: height as u16,
            y: (0..width * height).map(luma).collect(),
            u: vec![100; width * height / 4],
            v: vec![150; width * height / 4],
            timestamp: number * TICKS,
        };
        let encoded = encoder.encode(&picture, FRAME * number).expect("it encodes");
        units.extend(encoded.map(|encoded| encoded.data));
    }
    units
}

/// What is in an access unit, without its start codes.
fn nals(unit: &[u8]) -> Vec<Bytes> {
    callrig_media::video::nal::shared_units(&Bytes::copy_from_slice(unit)).collect()
}

#[test]
fn sound_and_pictures_go_both_ways_unchanged() {
    let mut world = world(0.0);
    let units = pictures(40);
    let opus = |number: u8| [0xf8, 0xff, 0xfe, number];
    for (number, unit) in (0_u32..).zip(&units) {
        let now = world.now;
        let time = MediaTime::new(u64::from(number) * 960, Frequency::FORTY_EIGHT_KHZ);
        let (audio, video) = (world.peer.audio, world.peer.video);
        world.peer.say(now, audio, Codec::Opus, time, &opus(number as u8));
        let ticks = number * TICKS;
        let time = MediaTime::new(u64::from(ticks), Frequency::NINETY_KHZ);
        world.peer.say(now, video, Codec::H264, time, unit);
        let session = &mut world.server.session;
        let sound = Bytes::copy_from_slice(&opus(number as u8));
        session.send_encoded_audio(now, &sound, 960, false).expect("Opus is negotiated");
        session.send_frame(now, VIDEO, unit, ticks).expect("H.264 is negotiated");
        let sent = world.server.drain();
        world.send(sent);
        let sent = world::Peer::take(&mut world.peer, now, None);
        world.send(sent);
        world.run(FRAME);
    }
    let stream = world.server.session.stats().inbound.iter().find(|s| s.media == VIDEO).cloned();
    let ssrc = stream.expect("pictures came").ssrc;
    world.server.session.request_key_frame(world.now, ssrc).expect("PLI is negotiated");
    let sent = world.server.drain();
    world.send(sent);
    world.run(Duration::from_millis(500));
    let frames = world.server.events.iter().filter_map(|event| match event {
        Event::Frame(frame) => Some(nals(&frame.data)),
        _ => None,
    });
    let wanted: Vec<Vec<Bytes>> = units.iter().map(|unit| nals(unit)).collect();
    assert_eq!(frames.collect::<Vec<_>>(), wanted, "what it packetized came whole");
    let seen: Vec<Vec<Bytes>> = world.peer.seen.iter().map(|unit| nals(unit)).collect();
    assert_eq!(seen, wanted, "what we packetized came whole");
    assert_eq!(world.peer.heard.len(), units.len());
    assert!((0_u8..).zip(&world.peer.heard).all(|(number, heard)| **heard == opus(number)));
    assert_eq!(world.peer.key_frames_asked, 1);
    let said = world.server.said();
    let drops = said.iter().filter(|event| matches!(event, TransportEvent::Dropped(_)));
    assert_eq!(drops.count(), 0, "{said:?}");
}

#[test]
fn what_is_lost_is_asked_for_and_sent_again_both_ways() {
    let mut world = world(0.05);
    let units = pictures(60);
    for (number, unit) in (0_u32..).zip(&units) {
        let (now, ticks) = (world.now, number * TICKS);
        let time = MediaTime::new(u64::from(ticks), Frequency::NINETY_KHZ);
        let video = world.peer.video;
        world.peer.say(now, video, Codec::H264, time, unit);
        world.server.session.send_frame(now, VIDEO, unit, ticks).expect("it is negotiated");
        let sent = world.server.drain();
        world.send(sent);
        let sent = world::Peer::take(&mut world.peer, now, None);
        world.send(sent);
        world.run(FRAME);
    }
    world.run(Duration::from_millis(1_500));
    let wanted: Vec<Vec<Bytes>> = units.iter().map(|unit| nals(unit)).collect();
    let frames = world.server.events.iter().filter_map(|event| match event {
        Event::Frame(frame) => Some(nals(&frame.data)),
        _ => None,
    });
    let came = frames.inspect(|frame| assert!(wanted.contains(frame), "a picture that is wrong"));
    let came = came.count();
    // Nothing is shown that is not right, and little is missing: what comes too late is lost.
    assert!(came * 10 >= units.len() * 9, "{came} of {}", units.len());
    let stats = world.server.session.stats();
    let video = stats.inbound.iter().find(|stream| stream.media == VIDEO).expect("they came");
    assert!(video.nack_count > 0, "{video:?}");
    let again: u64 = stats.outbound.iter().map(|stream| stream.retransmitted_packets_sent).sum();
    assert!(again > 0, "it asks as well");
    let seen: Vec<Vec<Bytes>> = world.peer.seen.iter().map(|unit| nals(unit)).collect();
    assert!(seen.iter().all(|unit| wanted.contains(unit)), "a picture that is wrong");
    assert!(seen.len() * 10 >= units.len() * 9, "{} of {}", seen.len(), units.len());
}
