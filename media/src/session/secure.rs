//! A session over WebRTC: what it sends leaves through a transport, what comes in came
//! through it. The session itself sees plain packets, as everywhere.

use std::collections::VecDeque;

use super::{Config, ConfigError, Output};
use crate::datagram::Datagram;
use crate::event::{Event, TransportEvent};
use crate::time::Instant;
use crate::transport::webrtc::{self, Transport};

/// A transport, and what has passed it.
#[derive(Debug)]
pub(super) struct Secure {
    transport: Transport,
    outputs: VecDeque<Output>,
    started: bool,
    pub(super) unsent: u64,
}

impl Secure {
    /// What the two descriptions agree on; none for plain RTP.
    pub(super) fn new(config: &Config) -> Result<Option<Self>, ConfigError> {
        let (local, remote) = match (&config.local.secure, &config.remote.secure) {
            (None, None) => return Ok(None),
            (Some(local), Some(remote)) => (local, remote),
            _ => return Err(ConfigError::OneSideSecure),
        };
        let certificate = config.certificate.clone().ok_or(ConfigError::NoCertificate)?;
        let (local, remote) = ((**local).clone(), (**remote).clone());
        let transport = webrtc::Config {
            setup_max: config.setup_max,
            silence_max: config.consent_max,
            ..webrtc::Config::new(config.local.address, local, remote, certificate)
        };
        let transport = Transport::new(transport)?;
        Ok(Some(Self { transport, outputs: VecDeque::new(), started: false, unsent: 0 }))
    }

    /// Takes a datagram, or the time; packets for the session go into `media`.
    pub(super) fn handle_input(
        &mut self,
        now: Instant,
        input: webrtc::Input,
        mut media: impl FnMut(bytes::Bytes),
    ) {
        self.started = true;
        self.transport.handle_input(now, input);
        while let Some(output) = self.transport.poll_output() {
            match output {
                webrtc::Output::Media(payload) => media(payload),
                webrtc::Output::Datagram(datagram) => {
                    self.outputs.push_back(Output::Datagram(datagram));
                }
                webrtc::Output::Event(event) => {
                    self.outputs.push_back(Output::Event(match event {
                        TransportEvent::Dropped(dropped) => Event::Dropped(dropped),
                        event => Event::Transport(event),
                    }));
                }
            }
        }
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.transport.is_connected()
    }

    /// The datagram as it leaves; none while there is nobody to send it to.
    pub(super) fn protect(&mut self, datagram: &Datagram) -> Option<Datagram> {
        let protected = self.transport.protect(&datagram.payload).ok();
        self.unsent += u64::from(protected.is_none());
        protected
    }

    /// Says goodbye, behind what is still to be sent.
    pub(super) fn close(&mut self, now: Instant, last: impl IntoIterator<Item = Output>) {
        for output in last {
            match output {
                Output::Datagram(datagram) => {
                    let protected = self.protect(&datagram);
                    self.outputs.extend(protected.map(Output::Datagram));
                }
                Output::Event(event) => self.outputs.push_back(Output::Event(event)),
            }
        }
        self.transport.close(now);
        self.handle_input(now, webrtc::Input::Timeout, |_| {});
    }

    /// The first moment is now: its clock starts with it.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.started { self.transport.poll_timeout() } else { Some(Instant::ZERO) }
    }
}
