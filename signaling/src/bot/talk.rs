//! A bot's own media: its session is opened once the platform's answer is there (in the
//! blob of a notification or of a GET), and ends with the call.

use callrig_media::datagram::Datagram;
use callrig_media::description::Description;
use callrig_media::session::{Config, Input, Output as SessionOutput, Session};
use callrig_media::time::Instant;
use rand::RngExt as _;

use super::{Bot, DropReason, Event, Output, Timer};
use crate::attach::blob;
use crate::graph;
use crate::id::CallId;

/// Whose the media of a call is, where it is not the platform's.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Own {
    /// Sessions of the bot's own, which describes itself so.
    Bots(Box<Description>),
    /// The owner's, who was told this answer of the platform's last.
    Owners { answered: String },
}

/// A session, and the platform's answer that it was opened with.
#[derive(Debug)]
pub(super) struct Talk {
    session: Session,
    blob: String,
}

impl Bot {
    /// Does something with the media session of a call, and takes care of what it then
    /// has to send and when it wants to be called again. `None` if the call has none:
    /// its media is the platform's, or the platform's answer has not come yet.
    pub fn with_media<R>(
        &mut self,
        now: Instant,
        call: CallId,
        act: impl FnOnce(&mut Session) -> R,
    ) -> Option<R> {
        let talk = self.calls.get_mut(&call)?.session.as_mut()?;
        let result = act(&mut talk.session);
        self.pump(now, call);
        Some(result)
    }

    /// The platform's answer, if there is one in what it says of a call's media.
    pub(super) fn take_media_answer(
        &mut self,
        now: Instant,
        call: CallId,
        config: &graph::MediaConfig,
    ) {
        let graph::MediaConfig::AppHosted(config) = config else { return };
        let (Some(held), Some(text)) = (self.calls.get_mut(&call), config.blob.as_deref()) else {
            return;
        };
        let known = held.session.as_ref().is_some_and(|talk| talk.blob == text);
        let local = match held.own.clone() {
            Some(Own::Bots(local)) if !known => local,
            Some(Own::Owners { answered }) if answered != text => {
                return self.hand_over_answer(call, text);
            }
            _ => return,
        };
        // Before the other side has answered, the platform shows the bot its own offer.
        let answer = match blob::parse(text) {
            Ok(answer) if answer == *local => return,
            Ok(answer) => answer,
            Err(_) => {
                let reason = DropReason::UnusableMedia;
                self.say(Event::Dropped { call: Some(call), reason });
                return;
            }
        };
        let mut session_config = Config::new((*local).clone(), answer);
        self.shape_session(&mut session_config);
        let seed = self.random.random();
        match Session::new(session_config, self.epoch, seed) {
            Ok(session) => {
                self.close_media(now, call);
                self.by_address.insert(local.address, call);
                if let Some(held) = self.calls.get_mut(&call) {
                    held.session = Some(Talk { session, blob: text.to_owned() });
                }
                self.pump(now, call);
            }
            Err(_) => {
                let reason = DropReason::UnusableMedia;
                self.say(Event::Dropped { call: Some(call), reason });
            }
        }
    }

    /// The platform's answer to an offer of the owner's.
    fn hand_over_answer(&mut self, call: CallId, text: &str) {
        match blob::unwrap(text) {
            // Before the other side has answered, the platform shows the bot its own offer.
            Ok((blob::Kind::Offer, _)) => {}
            Ok((blob::Kind::Answer, sdp)) => {
                if let Some(held) = self.calls.get_mut(&call) {
                    held.own = Some(Own::Owners { answered: text.to_owned() });
                }
                self.say(Event::MediaAnswer { call, sdp });
            }
            Err(_) => {
                let reason = DropReason::UnusableMedia;
                self.say(Event::Dropped { call: Some(call), reason });
            }
        }
    }

    fn shape_session(&self, config: &mut Config) {
        config.decode = self.config.decode;
        config.packet_events = self.config.packet_events;
        config.output_rate = self.config.output_rate;
        config.cname = self.config.app.to_string();
    }

    pub(super) fn take_datagram(&mut self, now: Instant, datagram: Datagram) {
        let call = self.by_address.get(&datagram.destination).copied();
        let talk = call.and_then(|call| self.calls.get_mut(&call)?.session.as_mut());
        let (Some(call), Some(talk)) = (call, talk) else {
            let reason = DropReason::NoSuchSession;
            self.say(Event::Dropped { call: None, reason });
            return;
        };
        talk.session.handle_input(now, Input::Datagram(datagram));
        self.pump(now, call);
    }

    pub(super) fn media_due(&mut self, now: Instant, call: CallId) {
        self.with_media(now, call, |session| session.handle_input(now, Input::Timeout));
    }

    /// Passes on what a session has to say.
    fn pump(&mut self, _now: Instant, call: CallId) {
        let Some(talk) = self.calls.get_mut(&call).and_then(|held| held.session.as_mut()) else {
            return;
        };
        while let Some(output) = talk.session.poll_output() {
            self.outputs.push_back(match output {
                SessionOutput::Datagram(datagram) => Output::Datagram(datagram),
                SessionOutput::Event(event) => Output::Event(Event::Media { call, event }),
            });
        }
        self.timers.set_or_cancel(Timer::Media(call), talk.session.poll_timeout());
    }

    /// Ends a call's session, if it has one.
    pub(super) fn close_media(&mut self, now: Instant, call: CallId) {
        self.with_media(now, call, |session| session.close(now));
        self.timers.cancel(Timer::Media(call));
        let Some(held) = self.calls.get_mut(&call) else { return };
        if let Some(Own::Bots(local)) = &held.own
            && self.by_address.get(&local.address) == Some(&call)
        {
            self.by_address.remove(&local.address);
        }
        if let Some(talk) = held.session.take() {
            let stats = Box::new(talk.session.stats());
            self.say(Event::MediaEnded { call, stats });
        }
    }
}
