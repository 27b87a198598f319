//! A server of ours and somebody else, and a network between them that is slow and loses some of
//! what is sent.

use core::time::Duration;
use std::collections::VecDeque;

use callrig_media::datagram::Datagram;
use callrig_media::event::TransportEvent;
use callrig_media::time::Instant;
use callrig_media::transport::webrtc::Profile;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use super::{SERVER, Server};

/// One way.
const DELAY: Duration = Duration::from_millis(15);

/// Somebody else's stack.
pub(super) trait Peer {
    /// Takes a datagram, or the time; what it sends.
    fn take(&mut self, now: Instant, datagram: Option<Datagram>) -> Vec<Datagram>;
    /// When it wants the time.
    fn poll_timeout(&mut self) -> Option<Instant>;
}

/// The two, and what is on its way.
pub(super) struct World<P> {
    pub(super) now: Instant,
    pub(super) server: Server,
    pub(super) peer: P,
    flight: VecDeque<(Instant, Datagram)>,
    loss: f64,
    random: Pcg64Mcg,
}

impl<P: Peer> World<P> {
    pub(super) fn new(server: Server, peer: P, loss: f64) -> Self {
        let (flight, random) = (VecDeque::new(), Pcg64Mcg::seed_from_u64(1));
        Self { now: Instant::ZERO, server, peer, flight, loss, random }
    }

    pub(super) fn send(&mut self, datagrams: Vec<Datagram>) {
        for datagram in datagrams {
            if !self.random.random_bool(self.loss) {
                self.flight.push_back((self.now + DELAY, datagram));
            }
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    pub(super) fn run_until(&mut self, end: Instant) {
        loop {
            let due = [
                self.flight.front().map(|(at, _)| *at),
                self.server.session.poll_timeout(),
                self.peer.poll_timeout(),
            ];
            let next = due.into_iter().flatten().min().unwrap_or(end).max(self.now);
            if next >= end {
                self.now = end;
                return;
            }
            // A machine that names the same moment again must not stop the world.
            self.now = if next == self.now { next + Duration::from_micros(100) } else { next };
            if let Some((_, datagram)) = self.flight.pop_front_if(|(at, _)| *at <= self.now) {
                let sent = match datagram.destination == SERVER {
                    true => self.server.take(self.now, Some(datagram)),
                    false => self.peer.take(self.now, Some(datagram)),
                };
                self.send(sent);
                continue;
            }
            let sent = self.server.take(self.now, None);
            self.send(sent);
            let sent = self.peer.take(self.now, None);
            self.send(sent);
        }
    }

    /// How what flows is protected, once something does.
    pub(super) fn connected(&self) -> Option<Profile> {
        self.server.said().into_iter().find_map(|event| match event {
            TransportEvent::Connected { profile } => Some(profile),
            _ => None,
        })
    }
}
