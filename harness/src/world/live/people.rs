//! The people of a live world, on a thread of their own: so that what their phones cost is
//! not the platform's. Each phone has a socket; the platform tells of calls that ring, are
//! answered or end, and a person without anybody at the controls follows a habit.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use callrig_media::datagram::Datagram;
use callrig_media::description::Description;
use callrig_media::dtmf::Tone;
use callrig_media::event::Event as MediaEvent;
use callrig_media::stats::Stats;
use callrig_media::time::{Epoch, Instant};
use callrig_signaling::id::{CallId, LegId, UserId};
use callrig_signaling::service::CommandError;
use serde::Serialize;
use thiserror::Error;
use tokio::runtime;

use super::path::{Path, PathLine, Travelling, Way};
use super::phone::{self, Exchanged, Phone, PhoneError, Program, Timing};
use super::platform::Platform;
use super::shard::{Handle, Inside, Unavailable};
use super::wire::{Connection, Transport};
use crate::actor::{Actor, Input, Output};
use crate::network::Network;
use crate::peer::{self, PeerError};
use crate::seed::Seed;

/// How many phones there may be.
pub const PHONES_MAX: usize = 20_000;
/// How many phones whose call is over are kept for their statistics and what they heard.
pub const ENDED_MAX: usize = 64;

/// What a person does when the phone rings.
#[derive(Clone, Debug, Default)]
pub enum Habit {
    /// Lets it ring: somebody at the controls answers, or the time runs out.
    #[default]
    LetRing,
    /// Answers after a while, with something to say.
    Answer {
        /// How long it rings.
        after: Duration,
        /// What is played.
        program: Option<Program>,
        /// Whether what comes back is kept.
        listens: bool,
        /// What the phone speaks.
        transport: Transport,
    },
    /// Declines after a while.
    Decline {
        /// How long it rings.
        after: Duration,
    },
}

/// A call that rings at a person.
#[derive(Clone, Debug)]
struct Ringing {
    user: UserId,
    call: Option<CallId>,
    offer: Description,
    answer_at: Option<Instant>,
}

/// A call that rings at a person, for who asks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RingingLine {
    /// The person's leg.
    pub leg: LegId,
    /// Who.
    pub user: UserId,
    /// The bot's call, if one brought it: people may also be called to others.
    pub call: Option<CallId>,
}

/// A phone, for who asks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PhoneLine {
    /// What it speaks.
    pub transport: Transport,
    /// Where it sends from and listens; with WebRTC, the first of those places.
    pub address: SocketAddr,
    /// What is being played.
    pub playing: Option<String>,
    /// Whether its call is over.
    pub ended: bool,
    /// How many milliseconds of what was heard are kept.
    pub heard_ms: usize,
    /// How many packets of recordings could not be sent by WebRTC: they are no RTP, or came faster
    /// than the connection took them.
    pub unsent: u64,
    /// What its session counted.
    pub stats: Option<Stats>,
    /// How soon something came, and how long pictures stood still.
    pub timing: Timing,
    /// The network that it is on, if that is none of this machine's.
    pub network: Option<PathLine>,
}

/// Why a person cannot do something with a phone.
#[derive(Debug, Error)]
pub enum PeopleError {
    /// [`PHONES_MAX`] are there already.
    #[error("there are {PHONES_MAX} phones already")]
    Full,
    /// No socket for it.
    #[error("no address for a phone: {0}")]
    Socket(#[from] std::io::Error),
    /// No phone belongs to the leg.
    #[error("the leg has no phone")]
    NoPhone,
    /// Nothing rings there.
    #[error("nothing rings at this leg")]
    NotRinging,
    /// The phone refuses.
    #[error(transparent)]
    Phone(#[from] PhoneError),
    /// No connection by WebRTC.
    #[error(transparent)]
    Connection(#[from] PeerError),
    /// The platform refuses.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The platform cannot be reached.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Tells one phone from another, before it has a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Phone(PhoneId),
    Habit(LegId),
}

/// Told what sessions of phones say.
pub type Ear = Box<dyn FnMut(LegId, &MediaEvent) + Send>;

/// The people and their phones.
pub struct People {
    host: IpAddr,
    epoch: Epoch,
    shards: Vec<Handle<Platform>>,
    ear: Ear,
    phones: BTreeMap<PhoneId, Held>,
    by_leg: HashMap<LegId, PhoneId>,
    by_address: HashMap<SocketAddr, PhoneId>,
    ringing: BTreeMap<LegId, Ringing>,
    habits: HashMap<UserId, Habit>,
    networks: HashMap<UserId, &'static Network>,
    travelling: Travelling,
    timers: BTreeSet<(Instant, Due)>,
    /// Legs whose call is over, oldest first.
    ended: VecDeque<LegId>,
    /// Legs at which a habit is due, and that need the sockets.
    due: Vec<LegId>,
    outputs: VecDeque<Output>,
    made: u64,
}

struct Held {
    phone: Phone,
    user: UserId,
    address: SocketAddr,
    path: Option<Box<Path>>,
    /// Whether the socket is ours still: its port may be somebody else's afterwards.
    open: bool,
    transport: Transport,
    /// Instead of a socket, for as long as the call lasts.
    connection: Option<Connection>,
    /// Packets that the connection did not take in time.
    unsent: u64,
    leg: Option<LegId>,
    deadline: Option<Instant>,
    /// What we answered, until the platform says that the call is there.
    answer: Option<Description>,
}

impl People {
    /// Nobody has a phone yet. Phones are at `host`; `shards` are where calls are.
    #[must_use]
    pub fn new(host: IpAddr, epoch: Epoch, shards: Vec<Handle<Platform>>, ear: Ear) -> Self {
        Self {
            host,
            epoch,
            shards,
            ear,
            phones: BTreeMap::new(),
            by_leg: HashMap::new(),
            by_address: HashMap::new(),
            ringing: BTreeMap::new(),
            habits: HashMap::new(),
            networks: HashMap::new(),
            travelling: Travelling::default(),
            timers: BTreeSet::new(),
            ended: VecDeque::new(),
            due: Vec::new(),
            outputs: VecDeque::new(),
            made: 0,
        }
    }

    /// What a person does from now on when the phone rings.
    pub fn set_habit(&mut self, user: UserId, habit: Habit) {
        match habit {
            Habit::LetRing => self.habits.remove(&user),
            habit => self.habits.insert(user, habit),
        };
    }

    /// On which network the phones of a person are from now on, those of calls that stand
    /// among them. Its drift aside: there is one clock here.
    pub fn set_network(&mut self, user: UserId, network: &'static Network) {
        for (id, held) in self.phones.iter_mut().filter(|(_, held)| held.user == user) {
            held.path = Path::new(network, Seed::new(id.0)).map(Box::new);
        }
        self.networks.insert(user, network);
    }

    /// How many phones there are.
    #[must_use]
    pub fn phones(&self) -> usize {
        self.phones.len()
    }

    /// What rings.
    pub fn ringing(&self) -> impl Iterator<Item = RingingLine> + '_ {
        self.ringing.iter().map(|(leg, ringing)| RingingLine {
            leg: *leg,
            user: ringing.user.clone(),
            call: ringing.call,
        })
    }

    /// A leg's phone.
    #[must_use]
    pub fn phone(&self, leg: LegId) -> Option<PhoneLine> {
        let held = self.phones.get(self.by_leg.get(&leg)?)?;
        Some(PhoneLine {
            transport: held.transport,
            address: held.address,
            playing: held.phone.playing().map(ToOwned::to_owned),
            ended: self.ended.contains(&leg),
            heard_ms: held.phone.heard().len() * 1_000 / phone::HEARD_RATE as usize,
            unsent: held.unsent + held.phone.unsent(),
            stats: held.phone.stats(),
            timing: held.phone.timing(),
            network: held.path.as_ref().map(|path| path.line()),
        })
    }

    /// What a leg's phone heard.
    #[must_use]
    pub fn heard(&self, leg: LegId) -> Option<Vec<i16>> {
        let held = self.phones.get(self.by_leg.get(&leg)?)?;
        Some(held.phone.heard().to_vec())
    }

    /// What a leg's phone said last and what it heard.
    #[must_use]
    pub fn exchanged(&self, leg: LegId) -> Option<Exchanged> {
        self.phones.get(self.by_leg.get(&leg)?)?.phone.exchanged()
    }

    /// Plays something into a call, or nothing any more.
    ///
    /// # Errors
    /// No phone, or one that refuses.
    pub fn play(
        &mut self,
        now: Instant,
        leg: LegId,
        program: Option<Program>,
    ) -> Result<(), PeopleError> {
        let id = self.id(leg)?;
        let held = self.phones.get_mut(&id).ok_or(PeopleError::NoPhone)?;
        match program {
            Some(program) => held.phone.play(now, program)?,
            None => held.phone.fall_silent(),
        }
        self.pump(now, id);
        Ok(())
    }

    /// Presses keys in a call; `false` if the phone has none, and somebody has to say it
    /// to the platform beside the media.
    ///
    /// # Errors
    /// The phone refuses.
    pub fn press(&mut self, now: Instant, leg: LegId, keys: &[Tone]) -> Result<bool, PeopleError> {
        let Some(held) = self.by_leg.get(&leg).and_then(|id| self.phones.get_mut(id)) else {
            return Ok(false);
        };
        if !held.phone.has_keys() {
            return Ok(false);
        }
        held.phone.press(now, keys)?;
        let id = self.id(leg)?;
        self.pump(now, id);
        Ok(true)
    }

    /// Asks for a key frame of what is shown in a call.
    ///
    /// # Errors
    /// No phone, or one that refuses.
    pub fn ask_for_key_frame(&mut self, now: Instant, leg: LegId) -> Result<(), PeopleError> {
        let id = self.id(leg)?;
        let held = self.phones.get_mut(&id).ok_or(PeopleError::NoPhone)?;
        held.phone.ask_for_key_frame(now)?;
        self.pump(now, id);
        Ok(())
    }

    fn id(&self, leg: LegId) -> Result<PhoneId, PeopleError> {
        self.by_leg.get(&leg).copied().ok_or(PeopleError::NoPhone)
    }

    fn shard_of(&self, shard: u16) -> Option<&Handle<Platform>> {
        self.shards.get(usize::from(shard))
    }

    /// Passes on what a phone has to say, and remembers when it wants to come back.
    fn pump(&mut self, now: Instant, id: PhoneId) {
        let Some(held) = self.phones.get_mut(&id) else { return };
        let mut hangs_up = false;
        while let Some(output) = held.phone.poll_output(now) {
            match (output, held.leg) {
                (phone::Output::Datagram(datagram), _) => match held.path.as_deref_mut() {
                    Some(path) => self.travelling.depart(now, (id, path), Way::Outward, datagram),
                    None => held.send(datagram, &mut self.outputs),
                },
                (phone::Output::Event(event), Some(leg)) => (self.ear)(leg, &event),
                (phone::Output::HangUp, Some(_)) => hangs_up = true,
                (_, None) => {}
            }
        }
        let deadline = held.phone.poll_timeout();
        if held.deadline != deadline {
            if let Some(at) = held.deadline {
                self.timers.remove(&(at, Due::Phone(id)));
            }
            if let Some(at) = deadline {
                self.timers.insert((at, Due::Phone(id)));
            }
            held.deadline = deadline;
        }
        if let Some(leg) = held.leg.filter(|_| hangs_up) {
            self.hang_up(leg);
        }
    }

    fn hang_up(&self, leg: LegId) {
        let Some(shard) = self.shard_of(leg.shard()) else { return };
        // A platform that is too busy to be told will hear of it by the call's end.
        let told = shard.tell(move |inside| {
            let _ = inside.actor.service.hang_up(inside.now, leg);
        });
        if let Err(error) = told {
            tracing::warn!(%leg, %error, "a person could not hang up");
        }
    }

    /// Lets go of a phone; says which socket is to be closed.
    fn forget(&mut self, id: PhoneId) -> Option<SocketAddr> {
        let held = self.phones.remove(&id)?;
        if let Some(at) = held.deadline {
            self.timers.remove(&(at, Due::Phone(id)));
        }
        if let Some(leg) = held.leg {
            self.by_leg.remove(&leg);
        }
        let socket = held.open && held.transport == Transport::Rtp;
        if socket {
            self.by_address.remove(&held.address);
        }
        socket.then_some(held.address)
    }

    /// Something has come for a phone.
    fn take(&mut self, now: Instant, id: PhoneId, datagram: Datagram) {
        match self.phones.get_mut(&id) {
            Some(Held { path: Some(path), .. }) => {
                self.travelling.depart(now, (id, path), Way::Inward, datagram);
            }
            Some(held) => {
                held.phone.handle_datagram(now, datagram);
                self.pump(now, id);
            }
            None => {}
        }
    }
}

impl Held {
    /// Sends something, past any network.
    fn send(&mut self, datagram: Datagram, outputs: &mut VecDeque<Output>) {
        match (self.transport, &self.connection) {
            (Transport::Rtp, _) => outputs.push_back(Output::Datagram(datagram)),
            (Transport::Webrtc, Some(connection)) => {
                self.unsent += u64::from(!connection.send(datagram.payload));
            }
            // The call is over.
            (Transport::Webrtc, None) => {}
        }
    }
}

/// What is done on the thread of the people, where their sockets are.
pub trait Switchboard {
    /// A new phone of a person's, and what it offers. It has a connection by WebRTC that was opened
    /// for it, or gets a socket.
    ///
    /// # Errors
    /// There are too many, or no socket.
    fn open_phone(
        &mut self,
        user: UserId,
        program: Option<Program>,
        listens: bool,
        connection: Option<Connection>,
    ) -> Result<(PhoneId, Description), PeopleError>;
    /// The phone is of this leg.
    fn connect_phone(&mut self, phone: PhoneId, leg: LegId);
    /// The phone is not needed.
    fn discard_phone(&mut self, phone: PhoneId);
    /// A bot calls a person.
    fn rung(&mut self, leg: LegId, call: Option<CallId>, user: UserId, offer: Description);
    /// A person takes the call of a bot.
    ///
    /// # Errors
    /// Nothing rings there, or there is no phone to be had.
    fn answer(
        &mut self,
        leg: LegId,
        program: Option<Program>,
        listens: bool,
        connection: Option<Connection>,
    ) -> Result<(), PeopleError>;
    /// A person has taken a call with a phone that is none of ours.
    fn taken_elsewhere(&mut self, leg: LegId);
    /// This is the other side of a phone's connection.
    fn agreed(&mut self, phone: PhoneId, remote: Description);
    /// Media flows by a phone's connection.
    fn connected(&mut self, phone: PhoneId);
    /// Packets came by a phone's connection.
    fn arrived(&mut self, phone: PhoneId, packets: Vec<Bytes>);
    /// A phone's connection has ended by itself: the person hangs up.
    fn disconnected(&mut self, phone: PhoneId, reason: &str);
    /// The call of a leg is there.
    fn answered(&mut self, leg: LegId, description: Description);
    /// The call of a leg is over.
    fn ended(&mut self, leg: LegId);
}

impl Switchboard for Inside<'_, People> {
    fn open_phone(
        &mut self,
        user: UserId,
        program: Option<Program>,
        listens: bool,
        connection: Option<Connection>,
    ) -> Result<(PhoneId, Description), PeopleError> {
        let people = &mut *self.actor;
        if people.phones.len() >= PHONES_MAX {
            return Err(PeopleError::Full);
        }
        people.made += 1;
        let id = PhoneId(people.made);
        let (transport, address, phone) = match &connection {
            Some(connection) => {
                connection.belongs(id);
                let address = connection.address();
                let phone = Phone::new(address, program, listens);
                (Transport::Webrtc, address, phone.over(connection.offer.clone()))
            }
            None => {
                let address = self.sockets.open(SocketAddr::new(people.host, 0))?;
                people.by_address.insert(address, id);
                (Transport::Rtp, address, Phone::new(address, program, listens))
            }
        };
        let offer = phone.offer().clone();
        let network = people.networks.get(&user);
        let path = network.and_then(|network| Path::new(network, Seed::new(id.0)));
        let held = Held {
            phone,
            user,
            address,
            path: path.map(Box::new),
            open: true,
            transport,
            connection,
            unsent: 0,
            leg: None,
            deadline: None,
            answer: None,
        };
        people.phones.insert(id, held);
        Ok((id, offer))
    }

    fn connect_phone(&mut self, phone: PhoneId, leg: LegId) {
        if let Some(held) = self.actor.phones.get_mut(&phone) {
            held.leg = Some(leg);
            self.actor.by_leg.insert(leg, phone);
        }
    }

    fn discard_phone(&mut self, phone: PhoneId) {
        if let Some(address) = self.actor.forget(phone) {
            self.sockets.close(address);
        }
    }

    fn rung(&mut self, leg: LegId, call: Option<CallId>, user: UserId, offer: Description) {
        let people = &mut *self.actor;
        let after = match people.habits.get(&user) {
            Some(Habit::Answer { after, .. } | Habit::Decline { after }) => Some(*after),
            Some(Habit::LetRing) | None => None,
        };
        let answer_at = after.map(|after| self.now + after);
        if let Some(at) = answer_at {
            people.timers.insert((at, Due::Habit(leg)));
        }
        people.ringing.insert(leg, Ringing { user, call, offer, answer_at });
    }

    fn answer(
        &mut self,
        leg: LegId,
        program: Option<Program>,
        listens: bool,
        connection: Option<Connection>,
    ) -> Result<(), PeopleError> {
        let ringing = self.actor.ringing.get(&leg).ok_or(PeopleError::NotRinging)?.clone();
        let shard = self.actor.shard_of(leg.shard()).ok_or(Unavailable::Gone)?.clone();
        let secure = connection.is_some();
        let (phone, ours) = self.open_phone(ringing.user, program, listens, connection)?;
        // The platform offers plain RTP: who speaks WebRTC says what to, and is answered.
        let answer = if secure { ours } else { ours.answer(&ringing.offer) };
        self.connect_phone(phone, leg);
        if let Some(held) = self.actor.phones.get_mut(&phone) {
            held.answer = Some(answer.clone());
        }
        self.actor.stop_ringing(leg);
        let told = shard.tell(move |inside| {
            inside.actor.phones.insert(leg);
            if let Err(error) = inside.actor.service.answer(inside.now, leg, answer) {
                // The caller gave up in the same moment: the phone hears of the end.
                tracing::debug!(%leg, %error, "a person could not answer");
            }
        });
        if told.is_err() {
            self.discard_phone(phone);
        }
        Ok(told?)
    }

    fn taken_elsewhere(&mut self, leg: LegId) {
        self.actor.stop_ringing(leg);
    }

    fn answered(&mut self, leg: LegId, description: Description) {
        let people = &mut *self.actor;
        let Ok(id) = people.id(leg) else { return };
        let Some(held) = people.phones.get_mut(&id) else { return };
        if held.transport == Transport::Webrtc {
            if let Some(connection) = &held.connection {
                connection.answer(description);
            }
            return;
        }
        let ours = held.answer.take().unwrap_or_else(|| held.phone.offer().clone());
        let seed = leg.as_u128() as u64;
        if let Err(error) = held.phone.begin(self.now, ours, description, people.epoch, seed) {
            tracing::error!(%leg, %error, "a phone cannot talk");
        }
        people.pump(self.now, id);
    }

    fn ended(&mut self, leg: LegId) {
        self.actor.stop_ringing(leg);
        let Ok(id) = self.actor.id(leg) else { return };
        if let Some(held) = self.actor.phones.get_mut(&id) {
            held.phone.end(self.now);
            // The goodbye that the session may still say is not sent: nobody listens.
            held.open = false;
            match held.transport {
                Transport::Webrtc => held.connection = None,
                Transport::Rtp => {
                    self.sockets.close(held.address);
                    self.actor.by_address.remove(&held.address);
                }
            }
        }
        self.actor.pump(self.now, id);
        self.actor.ended.push_back(leg);
        if self.actor.ended.len() > ENDED_MAX
            && let Some(oldest) = self.actor.ended.pop_front()
            && let Ok(id) = self.actor.id(oldest)
        {
            self.discard_phone(id);
        }
    }

    fn agreed(&mut self, id: PhoneId, remote: Description) {
        let people = &mut *self.actor;
        let Some(held) = people.phones.get_mut(&id).filter(|held| held.open) else { return };
        let Some(connection) = &held.connection else { return };
        let ours = connection.local.clone();
        let began = held.phone.begin(self.now, ours, remote, people.epoch, id.0);
        if let Err(error) = began {
            tracing::error!(%error, "a phone cannot talk");
        }
        people.pump(self.now, id);
    }

    fn connected(&mut self, id: PhoneId) {
        if let Some(held) = self.actor.phones.get_mut(&id).filter(|held| held.open) {
            held.phone.connected(self.now);
        }
        self.actor.pump(self.now, id);
    }

    fn arrived(&mut self, id: PhoneId, packets: Vec<Bytes>) {
        for packet in packets {
            self.actor.take(self.now, id, peer::arrived(packet));
        }
    }

    fn disconnected(&mut self, id: PhoneId, reason: &str) {
        let Some(held) = self.actor.phones.get(&id).filter(|held| held.open) else { return };
        let Some(leg) = held.leg else { return };
        tracing::warn!(%leg, reason, "a phone has lost its connection");
        self.actor.hang_up(leg);
    }
}

impl People {
    fn stop_ringing(&mut self, leg: LegId) {
        if let Some(ringing) = self.ringing.remove(&leg)
            && let Some(at) = ringing.answer_at
        {
            self.timers.remove(&(at, Due::Habit(leg)));
        }
    }

    /// A leg at which a person is to follow a habit now: see [`follow_habit`].
    fn next_habit(&mut self) -> Option<LegId> {
        self.due.pop()
    }
}

/// Does what a person does by habit when the phone has rung for a while.
fn follow_habit(habits: &Habits, inside: &mut Inside<'_, People>, leg: LegId) {
    let Some(ringing) = inside.actor.ringing.get(&leg) else { return };
    match inside.actor.habits.get(&ringing.user).cloned().unwrap_or_default() {
        Habit::LetRing => {}
        Habit::Answer { program, listens, transport: Transport::Rtp, .. } => {
            if let Err(error) = inside.answer(leg, program, listens, None) {
                tracing::warn!(%leg, %error, "a person could not answer");
            }
        }
        Habit::Answer { program, listens, transport: Transport::Webrtc, .. } => {
            let (host, people) = (inside.actor.host, habits.people.clone());
            habits.runtime.spawn(async move {
                let answered = match Connection::open(host, program.as_ref(), people.clone()).await
                {
                    Ok(opened) => people
                        .ask(move |people| people.answer(leg, program, listens, Some(opened)))
                        .await
                        .unwrap_or_else(|error| Err(error.into())),
                    Err(error) => Err(error.into()),
                };
                if let Err(error) = answered {
                    tracing::warn!(%leg, %error, "a person could not answer");
                }
            });
        }
        Habit::Decline { .. } => {
            let Some(shard) = inside.actor.shard_of(leg.shard()).cloned() else { return };
            let told = shard.tell(move |inside| {
                // Gone already: the bot was quicker.
                let _ = inside.actor.service.decline(inside.now, leg);
            });
            if let Err(error) = told {
                tracing::warn!(%leg, %error, "a person could not decline");
            }
        }
    }
}

impl Actor for People {
    fn handle_input(&mut self, now: Instant, input: Input) {
        if let Input::Datagram(datagram) = input
            && let Some(id) = self.by_address.get(&datagram.destination).copied()
        {
            self.take(now, id, datagram);
        }
        while let Some((id, way, datagram)) = self.travelling.arrive(now) {
            // What is on its way to a phone whose call is over finds nobody, as on any network.
            match (way, self.phones.get_mut(&id)) {
                (Way::Inward, Some(held)) if held.open => {
                    held.phone.handle_datagram(now, datagram);
                    self.pump(now, id);
                }
                (Way::Outward, Some(held)) if held.open => held.send(datagram, &mut self.outputs),
                _ => {}
            }
        }
        while let Some((at, due)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            match due {
                Due::Phone(id) => {
                    if let Some(held) = self.phones.get_mut(&id) {
                        held.deadline = None;
                        held.phone.handle_timeout(now);
                    }
                    self.pump(now, id);
                }
                Due::Habit(leg) => {
                    self.due.push(leg);
                    // Whoever has the sockets does it: see the hands.
                    let note = crate::said::Said::Note(format!("a person acts at leg {leg}"));
                    self.outputs.push_back(Output::Said(note));
                }
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let timer = self.timers.first().map(|(at, _)| *at);
        [timer, self.travelling.poll_timeout()].into_iter().flatten().min()
    }
}

/// Follows people's habits, where the sockets are.
#[derive(Debug)]
pub struct Habits {
    /// Where connections live.
    pub runtime: runtime::Handle,
    /// Who is told what becomes of them.
    pub people: Handle<People>,
}

impl super::shard::Hands<People> for Habits {
    fn carry_out(&mut self, _: Output, inside: &mut Inside<'_, People>) -> bool {
        let mut touched = false;
        while let Some(leg) = inside.actor.next_habit() {
            follow_habit(self, inside, leg);
            touched = true;
        }
        touched
    }
}
