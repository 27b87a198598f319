//! The platform at real sockets on loopback, and people at sockets of their own, over plain RTP
//! or over WebRTC. Time is the world's in what the sessions know, so all is as fast as it can be.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::Instant as Clock;

use bytes::Bytes;
use callrig::world::live::sockets::{Sleeper, Sockets};
use callrig_media::datagram::Datagram;
use callrig_media::description::{Description, MediaDescription, Setup};
use callrig_media::rtp;
use callrig_media::session::{self, Decode, Session};
use callrig_media::time::{Epoch, Instant};
use callrig_media::transport::webrtc::{Certificate, describe};
use callrig_signaling::event::Event;
use callrig_signaling::exchange::{Input, Output};
use callrig_signaling::http::Request;
use callrig_signaling::id::LegId;
use callrig_signaling::service::{Config, Service, WebRtc};
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;
use rtc_stun::crypto::default_provider;

use crate::pair;

pub(crate) const LOCALHOST: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The platform, and its sockets.
pub(crate) struct Platform {
    pub(crate) service: Service,
    sockets: Sockets,
    sleeper: Sleeper,
    arrived: Vec<Datagram>,
    batch: Vec<Datagram>,
    /// What it asks of others and nobody has answered yet.
    pub(crate) asks: Vec<Request>,
    /// What it answered phones.
    answers: BTreeMap<LegId, Description>,
}

/// What the platform's thread spent.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) work: Duration,
    pub(crate) sockets: Duration,
}

impl Spent {
    pub(crate) fn add(&mut self, other: Self) {
        self.work += other.work;
        self.sockets += other.sockets;
    }
}

impl Platform {
    /// As this configuration has it, with addresses on loopback.
    pub(crate) fn new(config: Config, secure: bool) -> Self {
        let (mut sockets, sleeper, _) = Sockets::new().expect("descriptors");
        let webrtc = secure.then(|| {
            let certificate = Certificate::generate().expect("cryptography works");
            let address = sockets.open(LOCALHOST).expect("a port");
            WebRtc { address, others: Vec::new(), tcp: Vec::new(), certificate }
        });
        let config = Config { is_free: callrig::world::live::sockets::is_free, webrtc, ..config };
        let service = Service::new(config, Epoch::default(), 1).expect("it can be built");
        Self {
            service,
            sockets,
            sleeper,
            arrived: Vec::new(),
            batch: Vec::new(),
            asks: Vec::new(),
            answers: BTreeMap::new(),
        }
    }

    /// Takes what the service has to say; datagrams leave at the end of a [`turn`](Self::turn).
    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.service.poll_output() {
            match output {
                Output::Datagram(datagram) => self.batch.push(datagram),
                Output::Request(request) => self.asks.push(request),
                Output::Event(Event::AddressTaken { address, .. }) => {
                    self.sockets.open(address).expect("the port is free");
                }
                Output::Event(Event::UserAnswered { leg, description, .. }) => {
                    self.answers.insert(leg, description);
                }
                Output::Event(_) | Output::Response(_) => {}
            }
        }
    }

    /// What a phone was answered.
    pub(crate) fn answer(&mut self, leg: LegId) -> Description {
        self.drain();
        self.answers.remove(&leg).expect("it is answered at once")
    }

    /// Takes in what has come, and does what is due until `end`; what both cost. Instructions are
    /// counted with `valgrind --tool=callgrind --toggle-collect='*Platform*turn*'`.
    #[inline(never)]
    pub(crate) fn turn(&mut self, now: &mut Instant, end: Instant) -> Spent {
        let began = Clock::now();
        self.sleeper.sleep(Some(Duration::ZERO)).expect("it polls");
        loop {
            self.sockets.receive(&self.sleeper, &mut self.arrived);
            if !self.sockets.has_more() {
                break;
            }
        }
        let received = Clock::now();
        for datagram in core::mem::take(&mut self.arrived) {
            self.service.handle_input(*now, Input::Datagram(datagram));
            self.drain();
        }
        while let Some(due) = self.service.poll_timeout().filter(|due| *due <= end) {
            *now = due.max(*now);
            self.service.handle_input(*now, Input::Timeout);
            self.drain();
        }
        let worked = Clock::now();
        self.sockets.send(&mut self.batch);
        Spent { work: worked - received, sockets: (received - began) + worked.elapsed() }
    }
}

/// Somebody at a socket, before the platform has answered.
pub(crate) struct Guest {
    socket: UdpSocket,
    address: SocketAddr,
    certificate: Option<Certificate>,
    /// What is offered.
    pub(crate) offer: Description,
}

impl Guest {
    pub(crate) fn new(index: usize, lines: Vec<MediaDescription>, secure: bool) -> Self {
        let socket = UdpSocket::bind(LOCALHOST).expect("a port");
        socket.set_nonblocking(true).expect("it can be asked");
        let address = socket.local_addr().expect("it is bound");
        let mut offer = Description::new(address, lines);
        let certificate = secure.then(|| {
            let certificate = Certificate::generate().expect("cryptography works");
            let seed = 1_000 + index as u64;
            let mut side = describe(&certificate, address, seed).expect("cryptography works");
            side.ice_lite = false;
            offer = offer.clone().with_secure(side);
            certificate
        });
        Self { socket, address, certificate, offer }
    }

    pub(crate) fn enter(self, index: usize, remote: Description) -> Person {
        let Self { socket, address, certificate, offer: mut local } = self;
        if let Some(side) = &mut local.secure {
            side.setup = Setup::Active;
        }
        let config = session::Config {
            decode: Decode::Nothing,
            certificate,
            consent_max: Duration::from_secs(3_600),
            ..session::Config::new(local.clone(), remote.clone())
        };
        let session =
            Session::new(config, Epoch::default(), 7 + index as u64).expect("the sides fit");
        Person { socket, address, session, local, remote, came: 0, payload_bytes: 0 }
    }
}

/// Somebody in a call, outside the platform.
pub(crate) struct Person {
    pub(crate) socket: UdpSocket,
    pub(crate) address: SocketAddr,
    pub(crate) session: Session,
    /// Both sides, if they are secure.
    local: Description,
    remote: Description,
    /// RTP packets that came.
    pub(crate) came: u64,
    pub(crate) payload_bytes: u64,
}

impl Person {
    pub(crate) fn say(&mut self) {
        while let Some(output) = self.session.poll_output() {
            if let session::Output::Datagram(datagram) = output {
                self.socket
                    .send_to(&datagram.payload, datagram.destination)
                    .expect("loopback takes it");
            }
        }
    }

    /// Shows the platform that it is there; and at first itself that the platform is.
    pub(crate) fn check(&mut self, now: Instant, first: bool) {
        let (Some(local), Some(remote)) = (&self.local.secure, &self.remote.secure) else { return };
        let request = pair::check(local, remote, true);
        self.socket.send_to(&request, self.remote.address).expect("loopback takes it");
        if first {
            let payload = pair::check(remote, local, true);
            let (source, destination) = (self.remote.address, self.address);
            let datagram = Datagram { source, destination, payload };
            self.session.handle_input(now, session::Input::Datagram(datagram));
            self.say();
        }
    }

    pub(crate) fn turn(&mut self, now: Instant, room: &mut [u8]) {
        while let Ok((length, source)) = self.socket.recv_from(room) {
            let bytes = &room[..length];
            // Neither RTCP nor a handshake.
            if bytes[0] >> 6 == 2 && !(192..224).contains(&bytes[1]) {
                self.came += 1;
                self.payload_bytes += length as u64;
            }
            let payload = Bytes::copy_from_slice(bytes);
            let datagram = Datagram { source, destination: self.address, payload };
            self.session.handle_input(now, session::Input::Datagram(datagram));
            self.say();
        }
        if self.session.poll_timeout().is_some_and(|due| due <= now) {
            self.session.handle_input(now, session::Input::Timeout);
        }
        self.say();
    }
}

/// The cipher alone, with a context for each listener; nanoseconds a packet.
pub(crate) struct Cipher {
    contexts: Vec<Context>,
    number: u16,
}

impl Cipher {
    pub(crate) fn new(listeners: usize) -> Self {
        let provider = default_provider().expect("ring is built in");
        let context = || {
            let profile = ProtectionProfile::AeadAes128Gcm;
            Context::new(&[7; 16], &[9; 12], profile, None, None, provider.crypto())
                .expect("the key fits")
        };
        Self { contexts: (0..listeners).map(|_| context()).collect(), number: 0 }
    }

    pub(crate) fn round(&mut self, size: usize) -> f64 {
        let began = Clock::now();
        let turns = 64;
        for _ in 0..turns {
            self.number = self.number.wrapping_add(1);
            let header =
                rtp::Header { sequence_number: self.number, ssrc: 7, ..rtp::Header::default() };
            let packet = rtp::Packet { header, payload: vec![0x55; size].into() }.to_bytes();
            for context in &mut self.contexts {
                core::hint::black_box(context.encrypt_rtp(&packet)).expect("it is a packet");
            }
        }
        began.elapsed().as_nanos() as f64 / (turns * self.contexts.len()) as f64
    }
}
