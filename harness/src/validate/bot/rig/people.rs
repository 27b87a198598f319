//! What people of a rig do and meet.

use callrig_media::time::Instant;
use callrig_signaling::event::Event;
use callrig_signaling::exchange;
use callrig_signaling::graph::Tone;
use callrig_signaling::id::{AppId, UserId};

use super::super::capture::Way;
use super::super::script::Act;
use super::super::transcript::What;
use super::person::Notices;
use super::wire::Losing;
use super::{ANN, BEN, Count, Does, END_AFTER, Later, Rig, TAKES_AFTER};

const ANN_IS: usize = 0;
const BEN_IS: usize = 1;

impl Rig {
    pub(super) fn person(&self, now: Instant, who: usize, does: Does) {
        self.write(now, What::Person(who as u8, does));
    }

    pub(super) fn act(&mut self, now: Instant, act: &Act) {
        match act {
            Act::Ring => self.ring(now),
            Act::Press(key) => self.press(now, *key),
            Act::HangUp => self.hang_up(now, ANN_IS),
            Act::BenLeaves => self.hang_up(now, BEN_IS),
            Act::BenComes => self.ben_comes(now),
            Act::BenMutes(muted) => self.mute(now, *muted),
            Act::BenEndsIt => self.end_for_all(now),
            Act::LetIn => self.open_door(now, true),
            Act::TurnAway => self.open_door(now, false),
            Act::Speak(length) => {
                self.person(now, ANN_IS, Does::Speaks(*length));
                self.people[ANN_IS].speak(now, *length);
            }
            Act::Say(samples) => {
                let length = super::person::length_of(samples);
                self.person(now, ANN_IS, Does::Speaks(length));
                self.people[ANN_IS].say(now, samples);
            }
            Act::Hide(length) => {
                self.person(now, ANN_IS, Does::Hides(*length));
                self.people[ANN_IS].hide(now, *length);
            }
            Act::AskForKeyFrames => {
                self.person(now, ANN_IS, Does::AsksForKeyFrames);
                self.people[ANN_IS].ask_for_key_frames(now);
            }
            Act::Lose { every, length } => {
                self.losing = Some(Losing::new(now + *length, *every));
            }
            Act::Invite => self.invite(now),
            Act::Meet => self.meet(now),
            Act::Gather => self.gather(now),
            Act::Post(post) => self.post(now, *post),
            Act::NewKey => {
                let added = self.service.add_key(now, self.setup.others[1].clone());
                if let Err(error) = added {
                    self.written().fault = Some(format!("no new key: {error}"));
                }
            }
        }
    }

    fn ring(&mut self, now: Instant) {
        let offer = self.people[ANN_IS].offer().clone();
        let app = AppId::new(&self.setup.app);
        self.began = true;
        self.call = None;
        self.person(now, ANN_IS, Does::Rings);
        match self.service.ring_bot(now, &UserId::new(ANN), &app, offer) {
            Ok(ringing) => {
                self.people[ANN_IS].leg = Some(ringing.leg);
                self.call = Some(ringing.call);
            }
            Err(error) => self.person(now, ANN_IS, Does::Failed(error.to_string())),
        }
    }

    fn press(&mut self, now: Instant, key: char) {
        self.person(now, ANN_IS, Does::Presses(key));
        let (leg, tone) = (self.people[ANN_IS].leg, Tone::from_key(&key.to_string()));
        if let (Some(leg), Some(tone)) = (leg, tone)
            && let Err(error) = self.service.press(now, leg, &tone)
        {
            self.person(now, ANN_IS, Does::Failed(error.to_string()));
        }
    }

    fn hang_up(&mut self, now: Instant, who: usize) {
        let Some(leg) = self.people[who].leg else { return };
        self.person(now, who, Does::HangsUp);
        if let Err(error) = self.service.hang_up(now, leg) {
            self.person(now, who, Does::Failed(error.to_string()));
        }
    }

    /// Ben mutes himself, where he is in a conference.
    fn mute(&mut self, now: Instant, muted: bool) {
        let Some(leg) = self.people[BEN_IS].leg else { return };
        self.person(now, BEN_IS, Does::Mutes(muted));
        if let Err(error) = self.service.set_muted(now, leg, muted) {
            self.person(now, BEN_IS, Does::Failed(error.to_string()));
        }
    }

    fn end_for_all(&mut self, now: Instant) {
        let Some(leg) = self.people[BEN_IS].leg else { return };
        self.person(now, BEN_IS, Does::EndsIt);
        if let Err(error) = self.service.end_for_all(now, leg) {
            self.person(now, BEN_IS, Does::Failed(error.to_string()));
        }
    }

    fn invite(&mut self, now: Instant) {
        self.person(now, ANN_IS, Does::Invites);
        let Some(leg) = self.people[ANN_IS].leg else { return };
        if let Err(error) = self.service.invite_user(now, leg, &UserId::new(BEN)) {
            self.person(now, ANN_IS, Does::Failed(error.to_string()));
        }
    }

    /// Whoever is rung takes the call.
    pub(super) fn take_call(&mut self, now: Instant, who: usize) {
        let (Some(leg), Some(offer)) = (self.people[who].leg, self.ringing[who].take()) else {
            return;
        };
        if self.script.platform.declines {
            self.person(now, who, Does::Declines);
            // The caller may have given up in the same moment.
            let _ = self.service.decline(now, leg);
            return;
        }
        self.person(now, who, Does::Answers);
        let answer = self.people[who].answer(&offer);
        let _ = self.service.answer(now, leg, answer);
    }

    pub(super) fn hear_of_people(&mut self, now: Instant, event: Event) {
        match event {
            Event::UserRung { leg, user, offer, .. } => {
                let who = if user == UserId::new(BEN) { BEN_IS } else { ANN_IS };
                self.person(now, who, Does::Rung);
                self.people[who].leg = Some(leg);
                self.ringing[who] = Some(offer);
                if !self.script.platform.lets_ring {
                    self.put(now + TAKES_AFTER, Later::Take(who));
                }
            }
            Event::UserAnswered { leg, description, .. } => {
                let Some(who) = self.who(leg) else { return };
                self.person(now, who, Does::Joined);
                if let Err(error) = self.people[who].begin(description, self.setup.epoch) {
                    self.written().fault = Some(format!("a telephone cannot talk: {error}"));
                }
            }
            Event::LegEnded { leg, result } => {
                let Some(who) = self.who(leg) else { return };
                self.ringing[who] = None;
                self.people[who].end();
                self.notice(now, who);
                self.person(now, who, Does::Left(result.code, result.message));
            }
            _ => {}
        }
    }

    fn who(&self, leg: callrig_signaling::id::LegId) -> Option<usize> {
        self.people.iter().position(|person| person.leg == Some(leg))
    }

    /// What telephones send and people notice; whether there was anything.
    pub(super) fn pump_people(&mut self, now: Instant) -> bool {
        let mut moved = false;
        for who in 0..self.people.len() {
            while let Some(datagram) = self.people[who].poll_output(now) {
                moved = true;
                self.written().capture.keep(now, Way::Telephone, &datagram);
                self.service.handle_input(now, exchange::Input::Datagram(datagram));
            }
            self.notice(now, who);
        }
        self.take_notes();
        moved
    }

    fn notice(&mut self, now: Instant, who: usize) {
        for notice in self.people[who].notices() {
            match notice {
                Notices::Sound => {
                    self.person(now, who, Does::Hears);
                    self.count(now, Count::Hears);
                }
                Notices::Key(key) => self.person(now, who, Does::HearsKey(key)),
                Notices::Silence(sound) => {
                    self.person(now, who, Does::Quiet(sound));
                    self.count(now, Count::Quiet);
                }
            }
        }
    }

    /// Whoever is still there hangs up; soon after, the platform ends what is left.
    pub(super) fn lose_patience(&mut self, now: Instant) {
        self.began = true;
        self.later.retain(|_, later| !matches!(later, Later::Act(_)));
        self.cues.clear();
        for who in 0..self.people.len() {
            self.hang_up(now, who);
        }
        self.put(now + END_AFTER, Later::EndAll);
        self.put(now + END_AFTER + self.script.aftermath, Later::Stop);
    }
}
