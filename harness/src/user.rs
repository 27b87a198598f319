//! A person with a phone: rings a bot, plays a recording into the call, listens to what
//! comes back, and hangs up when the recording is over. The phone sends exactly what was
//! recorded, or what it sends goes through a session of the product as what it receives does,
//! which sends lost packets again.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use callrig_media::datagram::Datagram;
use callrig_media::description::Description;
use callrig_media::rtp::{Demultiplexed, Packet, demultiplex};
use callrig_media::session::{self, Decode, Session};
use callrig_media::time::{Epoch, Instant, earlier};
use callrig_signaling::id::{AppId, LegId, UserId};

use crate::actor::{Actor, ActorId, Input, Output};
use crate::order::Order;
use crate::replay::Replay;
use crate::said::{Leg, Said};
use crate::schedule::Schedule;

/// How a person calls.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is.
    pub user: UserId,
    /// Whose bot is rung, or holds the meeting.
    pub app: AppId,
    /// Whether it is a meeting.
    pub joins: bool,
    /// Where the platform lives in the world.
    pub platform: ActorId,
    /// What the phone offers; its address is where the phone sends from and listens.
    pub offer: Description,
    /// What is played.
    pub schedule: Schedule,
    /// From the beginning of the world to the ring.
    pub ring_after: Duration,
    /// From the answer to the first packet: a person draws breath, and both ends are open.
    pub speak_after: Duration,
    /// From the last packet to hanging up: what is under way arrives and is played.
    pub linger: Duration,
    /// How far to take apart what comes back.
    pub decode: Decode,
    /// Whether what is lost on the way is sent again when it is asked for.
    pub sends_again: bool,
}

/// A person in a world.
pub struct User {
    config: Config,
    epoch: Epoch,
    seed: u64,
    standing: Standing,
    leg: Option<LegId>,
    waiting: VecDeque<Output>,
}

enum Standing {
    /// Has not rung yet.
    Idle,
    /// Waits for the answer.
    Ringing,
    /// Plays the recording.
    Talking(Box<Talk>),
    /// Has hung up and waits for the platform to say so.
    HangingUp,
    /// Nothing more to do.
    Over,
}

struct Talk {
    from: SocketAddr,
    to: SocketAddr,
    replay: Replay,
    session: Session,
    hang_up_at: Instant,
}

impl User {
    /// A person who will ring.
    #[must_use]
    pub const fn new(config: Config, epoch: Epoch, seed: u64) -> Self {
        let waiting = VecDeque::new();
        Self { config, epoch, seed, standing: Standing::Idle, leg: None, waiting }
    }

    fn ring(&mut self) {
        let Config { user, app, offer, platform, .. } = &self.config;
        let (user, app, offer) = (user.clone(), app.clone(), offer.clone());
        let order = match self.config.joins {
            true => Order::Join { user, app, offer },
            false => Order::Ring { user, app, offer },
        };
        self.waiting.push_back(Output::Order(*platform, Box::new(order)));
        self.standing = Standing::Ringing;
    }

    fn told(&mut self, now: Instant, order: Order) {
        match order {
            Order::Ringing { leg } => self.leg = Some(leg),
            Order::Answered { description } => self.talk(now, description),
            Order::Refused { reason } => self.over(format!("the call was refused: {reason}")),
            Order::Ended { code, message } => match self.standing {
                Standing::HangingUp => self.standing = Standing::Over,
                _ => self.over(format!("the call ended too soon: {code} {message}")),
            },
            Order::Ring { .. } | Order::Join { .. } | Order::HangUp { .. } => {}
        }
    }

    fn talk(&mut self, now: Instant, remote: Description) {
        let (from, to) = (self.config.offer.address, remote.address);
        let config = session::Config {
            decode: self.config.decode,
            cname: "user".to_owned(),
            ..session::Config::new(self.config.offer.clone(), remote)
        };
        let session = match Session::new(config, self.epoch, self.seed) {
            Ok(session) => session,
            Err(error) => return self.over(format!("the phone cannot talk: {error}")),
        };
        let begin = now + self.config.speak_after;
        let schedule = self.config.schedule.clone();
        let hang_up_at = begin + schedule.duration() + self.config.linger;
        let replay = Replay::new(schedule, begin);
        let talk = Talk { from, to, replay, session, hang_up_at };
        self.standing = Standing::Talking(Box::new(talk));
    }

    fn hang_up(&mut self) {
        self.standing = Standing::HangingUp;
        if let Some(leg) = self.leg {
            let order = Box::new(Order::HangUp { leg });
            self.waiting.push_back(Output::Order(self.config.platform, order));
        }
    }

    /// Something went otherwise than staged: nothing can be concluded about the recording.
    fn over(&mut self, fault: String) {
        self.standing = Standing::Over;
        self.waiting.push_back(Output::Said(Said::Fault(fault)));
    }

    fn tick(&mut self, now: Instant) {
        match &mut self.standing {
            Standing::Idle => self.ring(),
            Standing::Talking(talk) if talk.hang_up_at <= now => self.hang_up(),
            Standing::Talking(talk) => talk.session.handle_input(now, session::Input::Timeout),
            Standing::Ringing | Standing::HangingUp | Standing::Over => {}
        }
        self.speak(now);
    }

    /// Sends what is due of the recording.
    fn speak(&mut self, now: Instant) {
        let Standing::Talking(talk) = &mut self.standing else { return };
        let (source, destination) = (talk.from, talk.to);
        while let Some(payload) = talk.replay.poll(now) {
            if self.config.sends_again && talk.forward(now, &payload) {
                continue;
            }
            let datagram = Datagram { source, destination, payload };
            self.waiting.push_back(Output::Datagram(datagram));
        }
    }
}

impl Talk {
    /// Sends a packet of the recording through the session, which remembers it; whether it took
    /// it. It reports by itself on what it sends: recorded reports are left out.
    fn forward(&mut self, now: Instant, datagram: &Bytes) -> bool {
        match demultiplex(datagram) {
            Demultiplexed::Rtp => Packet::parse(datagram.clone())
                .is_ok_and(|packet| self.session.forward(now, packet.into()).is_ok()),
            Demultiplexed::Rtcp => true,
            Demultiplexed::Other => false,
        }
    }
}

impl Actor for User {
    fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Timeout => self.tick(now),
            Input::Order(_, order) => self.told(now, *order),
            Input::Datagram(datagram) => {
                if let Standing::Talking(talk) = &mut self.standing {
                    talk.session.handle_input(now, session::Input::Datagram(datagram));
                }
            }
            Input::Request(_) | Input::Response(_) | Input::Failed(_) => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.waiting.pop_front() {
            return Some(output);
        }
        let Standing::Talking(talk) = &mut self.standing else { return None };
        Some(match talk.session.poll_output()? {
            session::Output::Datagram(datagram) => Output::Datagram(datagram),
            session::Output::Event(event) => Output::Said(Said::media(Leg(0), event)),
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.standing {
            Standing::Idle => Some(Instant::ZERO + self.config.ring_after),
            Standing::Talking(talk) => {
                let media = earlier(talk.replay.poll_timeout(), talk.session.poll_timeout());
                earlier(media, Some(talk.hang_up_at))
            }
            Standing::Ringing | Standing::HangingUp | Standing::Over => None,
        }
    }
}
