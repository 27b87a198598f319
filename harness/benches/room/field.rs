//! The same packets for as many viewers by stacks of others, each viewer's connection with a peer
//! of the same make at the other end: str0m (with the cryptography of AWS-LC, its fastest) and the
//! `rtc` peer connection. Both are used as a selective forwarder uses them: packets are handed in
//! as they are, everything they have to send is asked for, and leaves by one system call each.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Instant as Clock;

use bytes::{Bytes, BytesMut};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MediaEngine};
use rtc::peer_connection::event::RTCPeerConnectionEvent;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtp_transceiver::RTCRtpSenderId;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::sansio::Protocol as _;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Input, Output, Rtc};

use crate::LOCALHOST;

/// One packet of pictures.
pub(crate) struct Cut {
    pub(crate) payload: Bytes,
    pub(crate) shared: Arc<[u8]>,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
}

/// Which end of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Forwarder,
    Viewer,
}

/// A datagram, and where it comes from or goes to.
pub(crate) type Bare<'a> = (&'a [u8], SocketAddr);

/// A connection with one viewer: both its ends, which have agreed on what is sent.
pub(crate) trait Stack: Sized {
    const NAME: &str;

    fn new(base: Clock, forwarder: SocketAddr, viewer: SocketAddr) -> Self;

    /// An end takes what came, or the time, and sends.
    fn take(
        &mut self,
        end: End,
        now: Clock,
        came: Option<Bare<'_>>,
        send: &mut impl FnMut(Bare<'_>),
    );

    fn is_connected(&self) -> bool;

    fn write(&mut self, now: Clock, number: u16, cut: &Cut);
}

pub(crate) struct Str0m {
    /// The forwarder's, the viewer's.
    ends: [Rtc; 2],
    addresses: [SocketAddr; 2],
    connected: [bool; 2],
    mid: Mid,
    payload_type: Pt,
    number: u64,
}

impl Stack for Str0m {
    const NAME: &str = "str0m";

    fn new(base: Clock, forwarder: SocketAddr, viewer: SocketAddr) -> Self {
        let addresses = [forwarder, viewer];
        let mut ends = addresses.map(|address| {
            let rtc = Rtc::builder().clear_codecs().enable_h264(true).set_rtp_mode(true);
            let mut rtc = rtc.build(base);
            rtc.add_local_candidate(Candidate::host(address, "udp").expect("an address"));
            rtc
        });
        let [sends, sees] = &mut ends;
        let mut changes = sends.sdp_api();
        let mid = changes.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
        let (offer, pending) = changes.apply().expect("there is something to offer");
        let answer = sees.sdp_api().accept_offer(offer).expect("it knows what it offers");
        sends.sdp_api().accept_answer(pending, answer).expect("it knows what it answers");
        let media = sends.media(mid).expect("it is negotiated");
        let known = media.remote_pts().first().copied();
        let payload_type = known.expect("there is a payload type");
        Self { ends, addresses, connected: [false; 2], mid, payload_type, number: 0 }
    }

    fn take(
        &mut self,
        end: End,
        now: Clock,
        came: Option<Bare<'_>>,
        send: &mut impl FnMut(Bare<'_>),
    ) {
        let rtc = &mut self.ends[end as usize];
        let input = match came {
            Some((data, from)) => {
                let to = self.addresses[end as usize];
                let Ok(received) = Receive::new(Protocol::Udp, from, to, data) else { return };
                Input::Receive(now, received)
            }
            None => Input::Timeout(now),
        };
        rtc.handle_input(input).expect("it takes what its like sends");
        loop {
            match rtc.poll_output().expect("it goes on") {
                Output::Timeout(_) => break,
                Output::Transmit(out) => send((&out.contents, out.destination)),
                Output::Event(str0m::Event::Connected) => self.connected[end as usize] = true,
                Output::Event(_) => {}
            }
        }
    }

    fn is_connected(&self) -> bool {
        self.connected == [true; 2]
    }

    fn write(&mut self, now: Clock, _: u16, cut: &Cut) {
        let mut api = self.ends[0].direct_api();
        let stream = api.stream_tx_by_mid(self.mid, None).expect("it is negotiated");
        let (number, payload) = (self.number.into(), Arc::clone(&cut.shared));
        self.number += 1;
        let packet = RtpWrite::new(self.payload_type, number, cut.timestamp, now, payload);
        stream.write_rtp(packet.marker(cut.marker).nackable(true));
    }
}

pub(crate) struct PeerConnection {
    ends: [RTCPeerConnection; 2],
    addresses: [SocketAddr; 2],
    connected: [bool; 2],
    video: RTCRtpSenderId,
    payload_type: Option<u8>,
}

const SSRC: u32 = 0x0b0b_0b0b;

impl PeerConnection {
    fn track() -> MediaStreamTrack {
        let codec = RTCRtpCodec {
            mime_type: MIME_TYPE_H264.to_owned(),
            clock_rate: 90_000,
            channels: 0,
            sdp_fmtp_line: String::new(),
            rtcp_feedback: Vec::new(),
        };
        let coding = RTCRtpCodingParameters { ssrc: Some(SSRC), ..Default::default() };
        let encoding =
            RTCRtpEncodingParameters { rtp_coding_parameters: coding, codec, ..Default::default() };
        let (stream, id, label) = ("stream".to_owned(), "track".to_owned(), "video".to_owned());
        MediaStreamTrack::new(stream, id, label, RtpCodecKind::Video, vec![encoding])
    }

    fn end(base: Clock, address: SocketAddr) -> RTCPeerConnection {
        let mut media = MediaEngine::default();
        media.register_default_codecs().expect("they are its own");
        let builder = RTCPeerConnectionBuilder::new().with_media_engine(media);
        let mut connection = builder.build(base).expect("it can be built");
        let base_config = CandidateConfig {
            network: "udp".to_owned(),
            address: address.ip().to_string(),
            port: address.port(),
            component: 1,
            ..Default::default()
        };
        let candidate = CandidateHostConfig { base_config, ..Default::default() };
        let candidate = candidate.new_candidate_host().expect("an address");
        let candidate = RTCIceCandidate::from(&candidate).to_json().expect("an address");
        connection.add_local_candidate(candidate).expect("an address");
        connection
    }
}

impl Stack for PeerConnection {
    const NAME: &str = "rtc";

    fn new(base: Clock, forwarder: SocketAddr, viewer: SocketAddr) -> Self {
        let addresses = [forwarder, viewer];
        let mut ends = addresses.map(|address| Self::end(base, address));
        let [sends, sees] = &mut ends;
        let video = sends.add_track(Self::track()).expect("a track");
        let offer = sends.create_offer(None).expect("it has a track");
        sends.set_local_description(base, offer.clone()).expect("its own");
        sees.set_remote_description(base, offer).expect("it knows what it offers");
        let answer = sees.create_answer(None).expect("there is an offer");
        sees.set_local_description(base, answer.clone()).expect("its own");
        sends.set_remote_description(base, answer).expect("it knows what it answers");
        Self { ends, addresses, connected: [false; 2], video, payload_type: None }
    }

    fn take(
        &mut self,
        end: End,
        now: Clock,
        came: Option<Bare<'_>>,
        send: &mut impl FnMut(Bare<'_>),
    ) {
        let connection = &mut self.ends[end as usize];
        match came {
            Some((data, from)) => {
                let transport = TransportContext {
                    local_addr: self.addresses[end as usize],
                    peer_addr: from,
                    ecn: None,
                    transport_protocol: TransportProtocol::UDP,
                };
                let message = BytesMut::from(data);
                let read = connection.handle_read(TaggedBytesMut { now, transport, message });
                read.expect("it takes what its like sends");
            }
            None => connection.handle_timeout(now).expect("it goes on"),
        }
        while let Some(event) = connection.poll_event() {
            if let RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) = event {
                self.connected[end as usize] |= state == RTCPeerConnectionState::Connected;
            }
        }
        while connection.poll_read().is_some() {}
        while let Some(out) = connection.poll_write() {
            send((&out.message, out.transport.peer_addr));
        }
    }

    fn is_connected(&self) -> bool {
        self.connected == [true; 2]
    }

    fn write(&mut self, now: Clock, number: u16, cut: &Cut) {
        let mut sender = self.ends[0].rtp_sender(self.video).expect("its own");
        let payload_type = *self.payload_type.get_or_insert_with(|| {
            let codecs = &sender.get_parameters().rtp_parameters.codecs;
            let known = codecs.iter().find(|codec| codec.rtp_codec.mime_type == MIME_TYPE_H264);
            known.expect("it knows H.264").payload_type
        });
        let header = rtc::rtp::header::Header {
            version: 2,
            marker: cut.marker,
            payload_type,
            sequence_number: number,
            timestamp: cut.timestamp,
            ssrc: SSRC,
            ..Default::default()
        };
        let packet = rtc::rtp::packet::Packet { header, payload: cut.payload.clone() };
        sender.write_rtp(now, packet).expect("it is connected");
    }
}

/// A forwarder with such connections, at a socket; its viewers are at sockets of their own.
pub(crate) struct Field<S> {
    socket: UdpSocket,
    viewers: Vec<(S, UdpSocket)>,
    base: Clock,
    now: Duration,
    number: u16,
    room: Vec<u8>,
}

fn bound() -> UdpSocket {
    let socket = UdpSocket::bind(LOCALHOST).expect("a port");
    socket.set_nonblocking(true).expect("it can be asked");
    socket
}

impl<S: Stack> Field<S> {
    pub(crate) fn new(viewers: usize) -> Self {
        let (socket, base) = (bound(), Clock::now());
        let forwarder = socket.local_addr().expect("it is bound");
        let viewer = |_| {
            let own = bound();
            let stack = S::new(base, forwarder, own.local_addr().expect("it is bound"));
            (stack, own)
        };
        let viewers = (0..viewers).map(viewer).collect();
        let mut field =
            Self { socket, viewers, base, now: Duration::ZERO, number: 1, room: vec![0; 2_048] };
        for _ in 0..500 {
            field.exchange();
            if field.viewers.iter().all(|(stack, _)| stack.is_connected()) {
                return field;
            }
        }
        panic!("{} does not connect to its like", S::NAME);
    }

    /// What the two ends have to say to each other besides pictures, for 10 ms; not measured.
    fn exchange(&mut self) {
        self.now += Duration::from_millis(10);
        let now = self.base + self.now;
        let forwarder = self.socket.local_addr().expect("it is bound");
        for (stack, own) in &mut self.viewers {
            let viewer = own.local_addr().expect("it is bound");
            let mut back = Vec::new();
            let said = &mut |(data, _): Bare<'_>| back.push(data.to_vec());
            stack.take(End::Viewer, now, None, said);
            while let Ok((bytes, _)) = own.recv_from(&mut self.room) {
                stack.take(End::Viewer, now, Some((&self.room[..bytes], forwarder)), said);
            }
            let socket = &self.socket;
            let sends = &mut |(data, to): Bare<'_>| drop(socket.send_to(data, to));
            stack.take(End::Forwarder, now, None, sends);
            for data in back {
                stack.take(End::Forwarder, now, Some((&data, viewer)), sends);
            }
        }
    }

    /// Forwards frames to everybody; nanoseconds a packet, and how many packets there were.
    pub(crate) fn round(&mut self, frames: &[Vec<Cut>], frame: Duration) -> (f64, u64) {
        let (mut took, mut packets) = (Duration::ZERO, 0);
        for cuts in frames {
            let now = self.base + self.now;
            let socket = &self.socket;
            let mut left = 0;
            let began = Clock::now();
            for (stack, _) in &mut self.viewers {
                for (cut, number) in cuts.iter().zip(0..) {
                    stack.write(now, self.number.wrapping_add(number), cut);
                    stack.take(End::Forwarder, now, None, &mut |(data, to)| {
                        left += u64::from(socket.send_to(data, to).is_ok());
                    });
                }
            }
            took += began.elapsed();
            packets += left;
            self.number = self.number.wrapping_add(cuts.len() as u16);
            let until = self.now + frame;
            while self.now < until {
                self.exchange();
            }
        }
        (took.as_nanos() as f64 / packets.max(1) as f64, packets)
    }
}
