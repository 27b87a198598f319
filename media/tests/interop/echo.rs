//! Who is called: says and shows again what comes in.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::UdpSocket;
use std::sync::mpsc::Receiver;
use std::time::Instant as Clock;

use bytes::Bytes;
use callrig_media::datagram::Datagram;
use callrig_media::description::{Description, MediaDescription};
use callrig_media::event::{Event, TransportEvent};
use callrig_media::session::{Config, Input, Output, Session};
use callrig_media::stats::Stats;
use callrig_media::time::{Epoch, Instant, NtpTime};
use callrig_media::transport::sdp;
use callrig_media::transport::webrtc::{Certificate, describe};

/// What became of a call.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) transport: Vec<TransportEvent>,
    pub(crate) stats: Stats,
    pub(crate) frames: u64,
    pub(crate) key_frames: u64,
    pub(crate) sounds: u64,
    /// Until keys were there, and until the first sound.
    pub(crate) connected_ms: Option<u128>,
    pub(crate) first_sound_ms: Option<u128>,
}

pub(crate) struct Echo {
    socket: UdpSocket,
    session: Session,
    began: Clock,
    heard: Heard,
}

impl Echo {
    /// Answers an offer.
    pub(crate) fn answer(offer: &str) -> (Self, String) {
        let offer = sdp::parse(offer).unwrap_or_else(|error| panic!("{error}\n{offer}"));
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(2))).expect("a timeout");
        let address = socket.local_addr().expect("it is bound");
        let certificate = Certificate::generate().expect("cryptography works");
        let seed = u64::from(address.port());
        let secure = describe(&certificate, address, seed).expect("cryptography works");
        let media = vec![
            MediaDescription::audio("a").with_ssrc(0x0c0c_0c0c),
            MediaDescription::video("v").with_ssrc(0x0d0d_0d0d),
        ];
        let local = Description::new(address, media).with_secure(secure).answer(&offer);
        let text = sdp::write(&local, seed);
        let config = Config { certificate: Some(certificate), ..Config::new(local, offer) };
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let epoch = Epoch { ntp: NtpTime::from_unix(wall.expect("it is after 1970")) };
        let session = Session::new(config, epoch, seed).expect("the sides fit");
        (Self { socket, session, began: Clock::now(), heard: Heard::default() }, text)
    }

    /// Talks until told to stop.
    pub(crate) fn run(mut self, stop: &Receiver<()>) -> Heard {
        let local = self.socket.local_addr().expect("it is bound");
        let mut room = vec![0; 2048];
        while stop.try_recv().is_err() && self.began.elapsed() < Duration::from_secs(60) {
            if let Ok((length, source)) = self.socket.recv_from(&mut room) {
                let payload = Bytes::copy_from_slice(&room[..length]);
                let datagram = Datagram { source, destination: local, payload };
                let now = self.now();
                self.session.handle_input(now, Input::Datagram(datagram));
                self.drain(now);
            }
            let now = self.now();
            if self.session.poll_timeout().is_some_and(|at| at <= now) {
                self.session.handle_input(now, Input::Timeout);
                self.drain(now);
            }
        }
        self.heard.stats = self.session.stats();
        self.heard
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.began.elapsed().as_nanos() as u64)
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Datagram(datagram) => self.send(&datagram.payload, datagram.destination),
                Output::Event(event) => self.hear(now, event),
            }
        }
    }

    fn send(&self, payload: &[u8], destination: SocketAddr) {
        // A full buffer loses packets, as any network does.
        let _ = self.socket.send_to(payload, destination);
    }

    fn hear(&mut self, now: Instant, event: Event) {
        let since = self.began.elapsed().as_millis();
        match event {
            Event::Audio(audio) if audio.samples.len() == 960 * usize::from(audio.channels) => {
                self.heard.sounds += 1;
                self.heard.first_sound_ms.get_or_insert(since);
                let channels = usize::from(audio.channels);
                let mono: Vec<i16> = audio.samples.iter().step_by(channels).copied().collect();
                self.session.send_audio(now, &mono).expect("sound was negotiated");
            }
            Event::Frame(frame) => {
                self.heard.frames += 1;
                self.heard.key_frames += u64::from(frame.key_frame);
                let sent = self.session.send_frame(now, 1, &frame.data, frame.timestamp);
                sent.expect("pictures were negotiated");
            }
            Event::KeyFrameRequested { .. } => {
                let video = self.session.stats().inbound.into_iter().find(|s| s.codec.is_video());
                if let Some(video) = video {
                    let asked = self.session.request_key_frame(now, video.ssrc);
                    asked.expect("feedback was negotiated");
                }
            }
            Event::Transport(event) => {
                if matches!(event, TransportEvent::Connected { .. }) {
                    self.heard.connected_ms.get_or_insert(since);
                }
                self.heard.transport.push(event);
            }
            _ => {}
        }
    }
}
