//! Two transports, joined by hand: the checks that neither of them makes are made here.
//! Shared with the allocation test and the benches.

use core::net::SocketAddr;

use bytes::Bytes;
use callrig_media::datagram::Datagram;
use callrig_media::description::{Secure, Setup};
use callrig_media::event::TransportEvent;
use callrig_media::time::Instant;
use callrig_media::transport::webrtc::{
    Certificate, Config, Input, Output, Profile, Transport, describe,
};
use rtc_stun::attributes::{ATTR_USE_CANDIDATE, ATTR_USERNAME};
use rtc_stun::crypto::default_provider;
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, Message, Setter};

/// Where the two are.
pub(crate) const LEFT: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1)), 3478);
pub(crate) const RIGHT: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 2)), 40_000);

/// A check as an ICE agent makes it.
pub(crate) fn check(from: &Secure, to: &Secure, nominate: bool) -> Bytes {
    let provider = default_provider().expect("ring is built in");
    let mut message = Message::new();
    message.typ = BINDING_REQUEST;
    message.write_header();
    message.add(ATTR_USERNAME, format!("{}:{}", to.ufrag, from.ufrag).as_bytes());
    if nominate {
        message.add(ATTR_USE_CANDIDATE, &[]);
    }
    let password = to.password.clone();
    MessageIntegrity::new_short_term_integrity_with_provider(password, provider.crypto())
        .add_to(&mut message)
        .expect("it is the first");
    FINGERPRINT.add_to(&mut message).expect("it is the last");
    message.raw.into()
}

/// What the two say of themselves; the left one waits for the right one to begin.
pub(crate) fn sides(certificate: &Certificate) -> (Secure, Secure) {
    let side = |address, seed, setup| {
        let side = describe(certificate, address, seed).expect("cryptography works");
        Secure { ice_lite: false, setup, ..side }
    };
    (side(LEFT, 1, Setup::Passive), side(RIGHT, 2, Setup::Active))
}

/// The two, and what they said.
pub(crate) struct Pair {
    pub(crate) left: Transport,
    pub(crate) right: Transport,
    pub(crate) said: Vec<(SocketAddr, TransportEvent)>,
}

impl Pair {
    /// Not connected yet; `right` is what the left one is told of the right one.
    pub(crate) fn new(certificate: &Certificate, (left, right): (&Secure, &Secure)) -> Self {
        let config = |address, local: &Secure, remote: &Secure| {
            Config::new(address, local.clone(), remote.clone(), certificate.clone())
        };
        let (_, right_itself) = sides(certificate);
        Self {
            left: Transport::new(config(LEFT, left, right)).expect("the sides fit"),
            right: Transport::new(config(RIGHT, &right_itself, left)).expect("the sides fit"),
            said: Vec::new(),
        }
    }

    /// Connected.
    pub(crate) fn connected() -> Self {
        let certificate = Certificate::generate().expect("cryptography works");
        let (left, right) = sides(&certificate);
        let mut pair = Self::new(&certificate, (&left, &right));
        pair.join(&left, &right);
        let profile = Profile::AeadAes128Gcm;
        let connected = TransportEvent::Connected { profile };
        assert_eq!(pair.said.iter().filter(|(_, event)| *event == connected).count(), 2);
        pair
    }

    /// Makes the checks, and carries over what follows.
    pub(crate) fn join(&mut self, left: &Secure, right: &Secure) {
        let to_left = (RIGHT, LEFT, check(right, left, true));
        let to_right = (LEFT, RIGHT, check(left, right, true));
        for (source, destination, payload) in [to_left, to_right] {
            self.carry(Datagram { source, destination, payload });
        }
    }

    /// Hands over a datagram, and all that follow from it.
    pub(crate) fn carry(&mut self, datagram: Datagram) {
        let mut flight = std::collections::VecDeque::from([datagram]);
        while let Some(datagram) = flight.pop_front() {
            let at = datagram.destination;
            let side = if at == LEFT { &mut self.left } else { &mut self.right };
            side.handle_input(Instant::ZERO, Input::Datagram(datagram));
            while let Some(output) = side.poll_output() {
                match output {
                    Output::Datagram(datagram) => flight.push_back(datagram),
                    Output::Event(event) => self.said.push((at, event)),
                    Output::Media(_) => {}
                }
            }
        }
    }
}
