//! The way to a platform on a network: a [`Peer`] does ICE, DTLS and SRTP, a session of ours does
//! what is inside. One task per call owns both.

use core::net::IpAddr;
use core::time::Duration;
use std::sync::Arc;
use std::time::{Instant as Monotonic, SystemTime};

use bytes::Bytes;
use callrig_media::description::Description;
use callrig_media::session::{self, Decode, Session};
use callrig_media::time::{Epoch, Instant, NtpTime};
use callrig_signaling::bot::{AnswerMedia, Offer};
use rand::RngExt as _;
use tokio::sync::mpsc;

use super::desk::{self, Desk};
use super::sound::SAMPLE_RATE;
use super::{Backing, Control, Lines, MediaError, Opened};
use crate::peer::{self, Heard, Peer, PeerError};

/// The longest sleep: what comes wakes the task anyway.
const SLEEP_MAX: Duration = Duration::from_secs(1);

fn webrtc_error(error: impl core::fmt::Display) -> MediaError {
    MediaError::WebRtc(error.to_string())
}

impl From<PeerError> for MediaError {
    fn from(error: PeerError) -> Self {
        webrtc_error(error)
    }
}

/// Opens a connection at this address of the machine's (all of them if it is unspecified).
pub(super) async fn open(address: IpAddr, lines: Lines) -> Result<Opened, MediaError> {
    let offered = Peer::open(address, &lines.describe()).await?;
    let offer = Offer::new(&offered.sdp).map_err(webrtc_error)?;
    let local = offered.inside();
    let (desk, media) = desk::lay(lines);
    let (control, controls) = mpsc::channel(8);
    let connection = Connection {
        peer: offered.peer,
        local,
        desk,
        session: None,
        connected: false,
        began: Monotonic::now(),
        lost: 0,
    };
    tokio::spawn(connection.run(controls));
    let offer = AnswerMedia::Offered(offer);
    Ok(Opened { offer, backing: Backing::Elsewhere(control), media })
}

/// A call's way to the platform.
struct Connection {
    peer: Peer,
    local: Description,
    desk: Desk,
    session: Option<Session>,
    connected: bool,
    began: Monotonic,
    /// How many packets that were not taken in time were said.
    lost: u64,
}

impl Connection {
    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Lives until the call is over.
    async fn run(mut self, mut controls: mpsc::Receiver<Control>) {
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
                heard = self.peer.hear() => match heard {
                    Heard::Connected => {
                        tracing::debug!("media of a call is connected");
                        self.connected = true;
                    }
                    Heard::Ended(reason) => break reason.to_owned(),
                    Heard::Packet(packet) => {
                        self.take_packet(packet);
                        // What has come meanwhile is taken with it.
                        while let Some(packet) = self.peer.next_packet() {
                            self.take_packet(packet);
                        }
                    }
                },
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
        self.peer.close().await;
    }

    fn next_moment(&self) -> Option<Instant> {
        let session = self.session.as_ref().and_then(Session::poll_timeout);
        [session, self.desk.poll_timeout()].into_iter().flatten().min()
    }

    async fn take_answer(&mut self, text: &str) -> Result<(), MediaError> {
        let remote = self.peer.take_answer(text).await?;
        let mut config = session::Config::new(self.local.clone(), remote);
        config.decode = Decode::Audio;
        config.output_rate = SAMPLE_RATE;
        config.cname = "bot".to_owned();
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let unix = unix.saturating_sub(self.began.elapsed());
        let epoch = Epoch { ntp: NtpTime::from_unix(unix) };
        let session = Session::new(config, epoch, rand::rng().random()).map_err(webrtc_error)?;
        self.session = Some(session);
        Ok(())
    }

    fn take_packet(&mut self, payload: Bytes) {
        let now = self.now();
        self.desk.look_at(&payload);
        if let Some(session) = &mut self.session {
            session.handle_input(now, session::Input::Datagram(peer::arrived(payload)));
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
        let dropped = self.peer.dropped();
        if dropped > self.lost {
            self.lost = dropped;
            self.desk.lost(dropped);
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
                    self.peer.send(datagram.payload).await?;
                }
                Some(session::Output::Datagram(_)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_is_closed_ends_its_sockets() {
        let lines = Lines { videos: 2, screen: true, speakers: 1 };
        let opened = open(IpAddr::V4(Ipv4Addr::LOCALHOST), lines).await.expect("it opens");
        assert!(matches!(opened.offer, AnswerMedia::Offered(_)));
        let Backing::Elsewhere(control) = opened.backing else { panic!("it is a connection") };
        let mut media = opened.media;
        control.send(Control::Close).await.expect("it lives");
        assert!(media.sound.receive().await.is_none());
    }
}
