//! The WebRTC transport against peers: itself turned around where nobody else is needed,
//! and the `rtc` peer connection and str0m as somebody else. Time is made up.

mod hostile;
mod offers;
mod pair;
mod rtc_peer;
mod str0m_peer;
mod world;

use core::net::SocketAddr;
use core::time::Duration;

use callrig_media::datagram::Datagram;
use callrig_media::description::{Description, MediaDescription};
use callrig_media::event::{Event, TransportEvent};
use callrig_media::session::{self, Session};
use callrig_media::time::{Epoch, Instant};
use callrig_media::transport::webrtc::{Certificate, describe};

/// A session over WebRTC, as a server holds it.
pub(crate) struct Server {
    pub(crate) session: Session,
    pub(crate) events: Vec<Event>,
}

pub(crate) const SERVER: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1)), 3478);

/// What a server can do.
pub(crate) fn able(certificate: &Certificate, seed: u64) -> Description {
    let secure = describe(certificate, SERVER, seed).expect("cryptography works");
    // Some peers take only what is announced.
    let media = vec![
        MediaDescription::audio("a").with_ssrc(0x0c0c_0c0c),
        MediaDescription::video("v").with_ssrc(0x0d0d_0d0d),
    ];
    Description::new(SERVER, media).with_secure(secure)
}

impl Server {
    /// Between our description and the peer's.
    pub(crate) fn new(certificate: &Certificate, local: Description, remote: Description) -> Self {
        let certificate = Some(certificate.clone());
        let config = session::Config { certificate, ..session::Config::new(local, remote) };
        let session = Session::new(config, Epoch::default(), 7).expect("the descriptions fit");
        Self { session, events: Vec::new() }
    }

    /// Takes a datagram, or the time; what is to be sent.
    pub(crate) fn take(&mut self, now: Instant, datagram: Option<Datagram>) -> Vec<Datagram> {
        match datagram {
            Some(datagram) => self.session.handle_input(now, session::Input::Datagram(datagram)),
            None if self.session.poll_timeout().is_some_and(|at| at <= now) => {
                self.session.handle_input(now, session::Input::Timeout);
            }
            None => {}
        }
        self.drain()
    }

    /// What is to be sent.
    pub(crate) fn drain(&mut self) -> Vec<Datagram> {
        let mut sent = Vec::new();
        while let Some(output) = self.session.poll_output() {
            match output {
                session::Output::Datagram(datagram) => sent.push(datagram),
                session::Output::Event(event) => self.events.push(event),
            }
        }
        sent
    }

    /// What happened below the session.
    pub(crate) fn said(&self) -> Vec<TransportEvent> {
        let said = self.events.iter().filter_map(|event| match event {
            Event::Transport(event) => Some(*event),
            Event::Dropped(dropped) => Some(TransportEvent::Dropped(*dropped)),
            _ => None,
        });
        said.collect()
    }
}

pub(crate) const MS: Duration = Duration::from_millis(1);
