//! A reference model of conferences against the platform: any interleaving of bots that
//! call several, join meetings (as themselves and as guests), invite, mute, remove, admit
//! and leave, of people who answer, decline, join, wait and leave, of peer-to-peer calls
//! that grow, and of time. The model says who is in which conference and how each call
//! ends; the platform's rosters, answers and ends have to agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use callrig_media::description::Description;
use callrig_signaling::event::Event;
use callrig_signaling::graph::ChangeType;
use callrig_signaling::http::Method;
use callrig_signaling::id::{CallId, LegId, UserId};
use callrig_signaling::service::{Config, Destination, Load};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use serde_json::{Value, json};

use crate::groups::{call_to, join, user};
use crate::world::{SERVICE_HOSTED, WEBHOOK, World, accept, config, items, json};

const USERS: [&str; 3] = ["ann", "ben", "cleo"];
const THREADS: [&str; 2] = ["19:one", "19:two"];
const ROOMS_MAX: usize = 4;
const LEGS_MAX: usize = 12;
const CALLS_MAX: usize = 8;

const RINGING_MS: u64 = 60_000;
const LOBBY_MS: u64 = 30 * 60_000;
const ALONE_MS: u64 = 30 * 60_000;
const KEEP_ALIVE_MS: u64 = 45 * 60_000;

/// Where the model believes a leg to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Ringing { until: u64, invitation: Option<usize> },
    Lobby { until: u64 },
    In,
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Leg {
    /// What rosters call it.
    name: &'static str,
    call: Option<usize>,
    standing: Standing,
    muted: bool,
}

/// A conference, or a peer-to-peer call that may become one.
#[derive(Clone, Debug)]
struct Room {
    thread: Option<usize>,
    /// Still a peer-to-peer call.
    small: bool,
    /// Grew from one: no rosters.
    quiet: bool,
    peopled: bool,
    /// Until when it waits for people: a meeting, that has not waited for too long.
    alone_until: Option<u64>,
    legs: Vec<Leg>,
    over: bool,
}

#[derive(Clone, Debug)]
struct Call {
    room: usize,
    alive_until: u64,
    ended: Option<u32>,
}

/// An invitation: whose, how many are awaited, whether any came; ended, once it has.
#[derive(Clone, Debug)]
struct Invitation {
    call: usize,
    waiting: usize,
    joined: usize,
    ended: Option<bool>,
}

#[derive(Clone, Debug, Default)]
struct Model {
    now: u64,
    rooms: Vec<Room>,
    calls: Vec<Call>,
    invitations: Vec<Invitation>,
    /// The status that the last request should have had.
    expected: Option<u16>,
}

#[derive(Clone, Debug)]
enum Step {
    /// A bot calls these.
    Group(Vec<usize>),
    /// A bot joins a meeting, as a guest or as itself.
    Join {
        thread: usize,
        guest: bool,
    },
    /// Ann calls the bot, which answers.
    Small,
    /// A person joins a meeting.
    Come {
        who: usize,
        thread: usize,
    },
    /// Whoever rings answers or declines: the n-th leg of a room.
    Answer {
        room: usize,
        leg: usize,
    },
    Decline {
        room: usize,
        leg: usize,
    },
    Leave {
        room: usize,
        leg: usize,
    },
    Admit {
        room: usize,
        leg: usize,
    },
    Invite {
        call: usize,
        who: usize,
    },
    Mute {
        call: usize,
        leg: usize,
    },
    MuteSelf {
        call: usize,
        muted: bool,
    },
    Remove {
        call: usize,
        leg: usize,
    },
    Delete {
        call: usize,
    },
    KeepAlive {
        call: usize,
    },
    Wait(u64),
}

impl Model {
    fn room_of(&self, thread: usize) -> Option<usize> {
        self.rooms.iter().position(|room| !room.over && room.thread == Some(thread))
    }

    fn settle(&mut self, invitation: Option<usize>, came: bool) {
        let Some(invitation) = invitation.map(|index| &mut self.invitations[index]) else { return };
        if invitation.ended.is_some() {
            return;
        }
        invitation.waiting -= 1;
        invitation.joined += usize::from(came);
        if invitation.waiting == 0 {
            invitation.ended = Some(invitation.joined > 0);
        }
    }

    fn end_call(&mut self, call: usize, subcode: u32) {
        if self.calls[call].ended.is_some() {
            return;
        }
        self.calls[call].ended = Some(subcode);
        for invitation in self.invitations.iter_mut().filter(|i| i.call == call) {
            invitation.ended.get_or_insert(false);
        }
        let room = self.calls[call].room;
        if let Some(leg) = self.rooms[room].legs.iter_mut().find(|leg| leg.call == Some(call)) {
            leg.standing = Standing::Gone;
        }
        self.left(room, subcode);
    }

    fn person_gone(&mut self, room: usize, leg: usize) {
        let standing = self.rooms[room].legs[leg].standing;
        if let Standing::Ringing { invitation, .. } = standing {
            self.settle(invitation, false);
        }
        self.rooms[room].legs[leg].standing = Standing::Gone;
        self.left(room, 4521);
    }

    /// Somebody has left a room: whether it goes on.
    fn left(&mut self, index: usize, result: u32) {
        let room = &self.rooms[index];
        if room.over {
            return;
        }
        let person = |leg: &&Leg| leg.call.is_none();
        let legs = || room.legs.iter().filter(|leg| leg.standing != Standing::Gone);
        let is_ringing = |leg: &&Leg| matches!(leg.standing, Standing::Ringing { .. });
        let end = if room.small {
            Some(result)
        } else {
            let people = legs().filter(person).any(|leg| !is_ringing(&leg));
            let rung = legs().filter(person).any(|leg| is_ringing(&leg));
            let bots = legs().any(|leg| leg.call.is_some() && leg.standing == Standing::In);
            let lobby = legs().any(|leg| matches!(leg.standing, Standing::Lobby { .. }));
            let waits = (bots || lobby) && room.alone_until.is_some() && !room.peopled;
            let goes_on = people || waits || (bots && rung);
            (!goes_on).then_some(if room.peopled { 5002 } else { 5013 })
        };
        let Some(end) = end else { return };
        self.rooms[index].over = true;
        for leg in 0..self.rooms[index].legs.len() {
            if let Standing::Ringing { invitation, .. } = self.rooms[index].legs[leg].standing {
                self.settle(invitation, false);
            }
            if self.rooms[index].legs[leg].call.is_none() {
                self.rooms[index].legs[leg].standing = Standing::Gone;
            }
        }
        for leg in 0..self.rooms[index].legs.len() {
            if let Some(call) = self.rooms[index].legs[leg].call {
                self.end_call(call, end);
            }
        }
    }

    /// The next thing that happens by itself, until then.
    fn next_due(&self, until: u64) -> Option<(u64, Due)> {
        // At one moment legs go first, then meetings, then calls.
        let mut due: Vec<(u64, Due)> = Vec::new();
        for (index, room) in self.rooms.iter().enumerate().filter(|(_, room)| !room.over) {
            if let Some(at) = room.alone_until.filter(|_| !room.peopled) {
                due.push((at, Due::Alone(index)));
            }
            for (leg, held) in room.legs.iter().enumerate() {
                match held.standing {
                    Standing::Ringing { until, .. } => due.push((until, Due::Leg(index, leg))),
                    Standing::Lobby { until } => due.push((until, Due::Leg(index, leg))),
                    Standing::In | Standing::Gone => {}
                }
            }
        }
        for (index, call) in self.calls.iter().enumerate().filter(|(_, c)| c.ended.is_none()) {
            due.push((call.alive_until, Due::KeepAlive(index)));
        }
        let rank = |due: &Due| match due {
            Due::Leg(..) => 0,
            Due::Alone(_) => 1,
            Due::KeepAlive(_) => 2,
        };
        let is_due = due.into_iter().filter(|(at, _)| *at <= until);
        is_due.min_by_key(|(at, due)| (*at, rank(due)))
    }

    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        while let Some((at, due)) = self.next_due(until) {
            self.now = at;
            match due {
                // It waits no longer, except for who is rung.
                Due::Alone(room) => {
                    self.rooms[room].alone_until = None;
                    self.left(room, 5013);
                }
                Due::Leg(room, leg) => match self.rooms[room].legs[leg].call {
                    Some(call) => self.end_call(call, 5855),
                    None => self.person_gone(room, leg),
                },
                Due::KeepAlive(call) => self.end_call(call, 8537),
            }
        }
        self.now = until;
    }

    /// A bot's call into a room.
    fn add_call(&mut self, room: usize, name: &'static str, standing: Standing) -> usize {
        let call = self.calls.len();
        self.calls.push(Call { room, alive_until: self.now + KEEP_ALIVE_MS, ended: None });
        self.rooms[room].legs.push(Leg { name, call: Some(call), standing, muted: false });
        call
    }

    fn ring(&mut self, room: usize, who: usize, invitation: Option<usize>) {
        let standing = Standing::Ringing { until: self.now + RINGING_MS, invitation };
        let (name, muted) = (USERS[who], false);
        self.rooms[room].legs.push(Leg { name, call: None, standing, muted });
    }

    fn meeting(&mut self, thread: usize) -> usize {
        self.room_of(thread).unwrap_or_else(|| {
            self.rooms.push(Room {
                thread: Some(thread),
                alone_until: Some(self.now + ALONE_MS),
                ..Room::new()
            });
            self.rooms.len() - 1
        })
    }

    /// What a roster shows: name, in the lobby, muted.
    fn roster(&self, room: usize) -> Vec<(String, bool, bool)> {
        let shown = self.rooms[room].legs.iter().filter_map(|leg| match leg.standing {
            Standing::Lobby { .. } => Some((leg.name.to_owned(), true, leg.muted)),
            Standing::In => Some((leg.name.to_owned(), false, leg.muted)),
            _ => None,
        });
        shown.collect()
    }

    /// The call's leg and room, if it is in.
    fn own(&self, call: usize) -> Option<(usize, usize)> {
        let held = self.calls.get(call).filter(|call| call.ended.is_none())?;
        let leg = self.rooms[held.room].legs.iter().position(|leg| leg.call == Some(call))?;
        Some((held.room, leg))
    }

    /// The status of an action that a call takes in a conference: 404 of one that is over,
    /// 400 in a peer-to-peer call, 409 while it waits.
    fn group_status(&self, call: usize, good: u16) -> u16 {
        match self.own(call) {
            None => 404,
            Some((room, _)) if self.rooms[room].small => 400,
            Some((room, leg)) if self.rooms[room].legs[leg].standing != Standing::In => 409,
            Some(_) => good,
        }
    }

    /// The same for one that is about somebody whom rosters show.
    fn leg_status(&self, call: usize, leg: usize, good: u16) -> u16 {
        match (self.group_status(call, good), self.own(call)) {
            (status, Some((room, _))) if status == good => {
                let held = self.rooms[room].legs.get(leg).map(|leg| leg.standing);
                match held {
                    Some(Standing::In | Standing::Lobby { .. }) => good,
                    _ => 404,
                }
            }
            (status, _) => status,
        }
    }

    fn enter(&mut self, room: usize, leg: usize) {
        let was = core::mem::replace(&mut self.rooms[room].legs[leg].standing, Standing::In);
        if self.rooms[room].legs[leg].call.is_none() {
            self.rooms[room].peopled = true;
        }
        if let Standing::Ringing { invitation, .. } = was {
            self.settle(invitation, true);
        }
    }

    fn invite(&mut self, call: usize, who: usize) -> u16 {
        let Some((room, leg)) = self.own(call) else { return 404 };
        if self.rooms[room].legs[leg].standing != Standing::In {
            return 409;
        }
        self.rooms[room].quiet |= self.rooms[room].small;
        self.rooms[room].small = false;
        self.invitations.push(Invitation { call, waiting: 1, joined: 0, ended: None });
        self.ring(room, who, Some(self.invitations.len() - 1));
        200
    }

    fn standing(&self, room: usize, leg: usize) -> Option<Standing> {
        self.rooms.get(room)?.legs.get(leg).map(|leg| leg.standing)
    }
}

impl Room {
    fn new() -> Self {
        Self {
            thread: None,
            small: false,
            quiet: false,
            peopled: false,
            alone_until: None,
            legs: Vec::new(),
            over: false,
        }
    }
}

/// What happens by itself.
#[derive(Clone, Copy, Debug)]
enum Due {
    Alone(usize),
    Leg(usize, usize),
    KeepAlive(usize),
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let (room, leg, call, who) = (0..ROOMS_MAX, 0..LEGS_MAX, 0..CALLS_MAX, 0..USERS.len());
        let place = (room, leg.clone());
        let thread = 0..THREADS.len();
        prop_oneof![
            2 => proptest::sample::subsequence(vec![0, 1, 2], 2..=3).prop_map(Step::Group),
            3 => (thread.clone(), any::<bool>()).prop_map(|(thread, guest)| Step::Join { thread, guest }),
            1 => Just(Step::Small),
            2 => (who.clone(), thread).prop_map(|(who, thread)| Step::Come { who, thread }),
            6 => place.clone().prop_map(|(room, leg)| Step::Answer { room, leg }),
            2 => place.clone().prop_map(|(room, leg)| Step::Decline { room, leg }),
            3 => place.clone().prop_map(|(room, leg)| Step::Leave { room, leg }),
            3 => place.prop_map(|(room, leg)| Step::Admit { room, leg }),
            4 => (call.clone(), who).prop_map(|(call, who)| Step::Invite { call, who }),
            2 => (call.clone(), leg.clone()).prop_map(|(call, leg)| Step::Mute { call, leg }),
            2 => (call.clone(), any::<bool>()).prop_map(|(call, muted)| Step::MuteSelf { call, muted }),
            1 => (call.clone(), leg).prop_map(|(call, leg)| Step::Remove { call, leg }),
            1 => call.clone().prop_map(|call| Step::Delete { call }),
            1 => call.prop_map(|call| Step::KeepAlive { call }),
            4 => (1_u64..40_000).prop_map(Step::Wait),
            // Not a whole minute: who is rung then would give up just when who waits in a
            // lobby since the beginning does, and either may go first.
            1 => Just(Step::Wait(29 * 60_000 + 7)),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        let room_left = state.rooms.len() < ROOMS_MAX;
        let call_left = state.calls.len() < CALLS_MAX;
        let standing = |room: usize, leg: usize| state.standing(room, leg);
        let person = |room: usize, leg: usize| {
            state.rooms.get(room).and_then(|r| r.legs.get(leg)).is_some_and(|l| l.call.is_none())
        };
        match *step {
            Step::Group(_) | Step::Small => room_left && call_left,
            Step::Join { thread, .. } => {
                call_left && (room_left || state.room_of(thread).is_some())
            }
            Step::Come { thread, .. } => {
                state.room_of(thread).is_some_and(|room| state.rooms[room].legs.len() < LEGS_MAX)
            }
            Step::Answer { room, leg } | Step::Decline { room, leg } => {
                matches!(standing(room, leg), Some(Standing::Ringing { .. }))
            }
            Step::Leave { room, leg } => {
                person(room, leg) && standing(room, leg) != Some(Standing::Gone)
            }
            Step::Admit { room, leg } => {
                matches!(standing(room, leg), Some(Standing::Lobby { .. }))
            }
            Step::Invite { call, .. } => {
                let legs = state.calls.get(call).map(|call| state.rooms[call.room].legs.len());
                legs.is_some_and(|legs| legs < LEGS_MAX)
            }
            Step::Mute { call, leg } | Step::Remove { call, leg } => {
                let held = state.calls.get(call).map(|call| state.rooms[call.room].legs.len());
                held.is_some_and(|legs| leg < legs)
            }
            Step::MuteSelf { call, .. } | Step::Delete { call } | Step::KeepAlive { call } => {
                call < state.calls.len()
            }
            Step::Wait(_) => true,
        }
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.expected = None;
        match step {
            Step::Group(who) => {
                state.rooms.push(Room::new());
                let room = state.rooms.len() - 1;
                state.add_call(room, "bot", Standing::In);
                for who in who {
                    state.ring(room, *who, None);
                }
                state.expected = Some(201);
            }
            Step::Join { thread, guest } => {
                let room = state.meeting(*thread);
                let lobby = Standing::Lobby { until: state.now + LOBBY_MS };
                match guest {
                    true => state.add_call(room, "Guest", lobby),
                    false => state.add_call(room, "bot", Standing::In),
                };
                state.expected = Some(201);
            }
            Step::Small => {
                state.rooms.push(Room { small: true, peopled: true, ..Room::new() });
                let room = state.rooms.len() - 1;
                let leg = Leg { name: "ann", call: None, standing: Standing::In, muted: false };
                state.rooms[room].legs.push(leg);
                state.add_call(room, "bot", Standing::In);
            }
            Step::Come { who, thread } => {
                let room = state.meeting(*thread);
                let leg =
                    Leg { name: USERS[*who], call: None, standing: Standing::In, muted: false };
                state.rooms[room].legs.push(leg);
                state.rooms[room].peopled = true;
            }
            Step::Answer { room, leg } | Step::Admit { room, leg } => state.enter(*room, *leg),
            Step::Decline { room, leg } | Step::Leave { room, leg } => {
                state.person_gone(*room, *leg);
            }
            Step::Invite { call, who } => state.expected = Some(state.invite(*call, *who)),
            Step::Mute { call, leg } => {
                let status = state.leg_status(*call, *leg, 200);
                if let (200, Some((room, _))) = (status, state.own(*call)) {
                    state.rooms[room].legs[*leg].muted = true;
                }
                state.expected = Some(status);
            }
            Step::MuteSelf { call, muted } => {
                let status = state.group_status(*call, 200);
                if let (200, Some((room, leg))) = (status, state.own(*call)) {
                    state.rooms[room].legs[leg].muted = *muted;
                }
                state.expected = Some(status);
            }
            Step::Remove { call, leg } => {
                let status = state.leg_status(*call, *leg, 204);
                if let (204, Some((room, _))) = (status, state.own(*call)) {
                    match state.rooms[room].legs[*leg].call {
                        Some(removed) => state.end_call(removed, 5300),
                        None => state.person_gone(room, *leg),
                    }
                }
                state.expected = Some(status);
            }
            Step::Delete { call } => {
                let is_there = state.own(*call).is_some();
                state.end_call(*call, 7000);
                state.expected = Some(if is_there { 204 } else { 404 });
            }
            Step::KeepAlive { call } => {
                let is_there = state.own(*call).is_some();
                state.calls[*call].alive_until = state.now + KEEP_ALIVE_MS;
                state.expected = Some(if is_there { 200 } else { 404 });
            }
            Step::Wait(ms) => state.pass(*ms),
        }
        state
    }
}

struct Rig {
    world: World,
    calls: Vec<CallId>,
    /// The legs of each room, in the model's order.
    legs: Vec<Vec<LegId>>,
    threads: BTreeMap<usize, usize>,
    /// How many events were looked at.
    seen: usize,
}

impl Rig {
    fn post(&mut self, call: usize, action: &str, body: &Value) -> u16 {
        let path = format!("/communications/calls/{}/{action}", self.calls[call]);
        self.world.api(Method::Post, &path, &body.to_string()).status
    }

    fn create(&mut self, body: &Value) -> (u16, LegId) {
        let made = self.world.api(Method::Post, "/communications/calls", &body.to_string());
        let shown = json(&made);
        let id = shown["id"].as_str().and_then(CallId::parse).expect("a call was made");
        self.calls.push(id);
        let leg = shown["myParticipantId"].as_str().and_then(LegId::parse).expect("a leg");
        (made.status, leg)
    }

    /// The legs that were rung since the last time.
    fn rung(&mut self) -> Vec<LegId> {
        let new = &self.world.said[self.seen..];
        let rung = new.iter().filter_map(|(_, event)| match event {
            Event::UserRung { leg, .. } => Some(*leg),
            _ => None,
        });
        let rung = rung.collect();
        self.seen = self.world.said.len();
        rung
    }

    fn person(&mut self, leg: LegId) -> Description {
        let local = Description::audio(self.world.address());
        self.world.add_person(leg, &local);
        local
    }

    fn act(&mut self, model: &Model, step: &Step) -> Option<u16> {
        match step {
            Step::Group(who) => {
                let users: Vec<&str> = who.iter().map(|who| USERS[*who]).collect();
                let (status, leg) = self.create(&call_to(&users));
                let mut legs = vec![leg];
                legs.extend(self.rung());
                self.legs.push(legs);
                Some(status)
            }
            Step::Join { thread, guest } => {
                let mut body = join(THREADS[*thread]);
                if *guest {
                    body["source"] = json!({"identity": {"guest": {"displayName": "Guest"}}});
                }
                let (status, leg) = self.create(&body);
                let room = model.calls.last().expect("the model made one").room;
                self.threads.insert(*thread, room);
                if room == self.legs.len() {
                    self.legs.push(Vec::new());
                }
                self.legs[room].push(leg);
                Some(status)
            }
            Step::Small => {
                let (call, address) = self.world.ring();
                let path = format!("/communications/calls/{call}/answer");
                let answered = self.world.api(Method::Post, &path, SERVICE_HOSTED);
                assert_eq!(answered.status, 202);
                let path = format!("/communications/calls/{call}");
                let shown = json(&self.world.api(Method::Get, &path, ""));
                let own = shown["myParticipantId"].as_str().and_then(LegId::parse);
                self.calls.push(call);
                let person = self.world.person(address).leg;
                self.legs.push(vec![person, own.expect("a leg")]);
                None
            }
            Step::Come { who, thread } => {
                let local = Description::audio(self.world.address());
                let (now, to) = (self.world.now, Destination::Meeting(THREADS[*thread].into()));
                let came =
                    self.world.service.join(now, &UserId::new(USERS[*who]), &to, local.clone());
                let came = came.expect("somebody is there");
                self.world.add_person(came.leg, &local);
                let room = self.threads[thread];
                self.legs[room].push(came.leg);
                None
            }
            Step::Answer { room, leg } => {
                let leg = self.legs[*room][*leg];
                let local = self.person(leg);
                self.world.service.answer(self.world.now, leg, local).expect("it rings");
                None
            }
            Step::Decline { room, leg } => {
                let leg = self.legs[*room][*leg];
                self.world.service.decline(self.world.now, leg).expect("it rings");
                None
            }
            Step::Leave { room, leg } => {
                let leg = self.legs[*room][*leg];
                self.world.service.hang_up(self.world.now, leg).expect("it is there");
                None
            }
            Step::Admit { room, leg } => {
                let leg = self.legs[*room][*leg];
                self.world.service.admit(self.world.now, leg).expect("it waits");
                None
            }
            Step::Invite { call, who } => {
                let body = json!({"participants": [user(USERS[*who])]});
                let status = self.post(*call, "participants/invite", &body);
                let rung = self.rung();
                self.legs[model.calls[*call].room].extend(rung);
                Some(status)
            }
            Step::Mute { call, leg } => {
                let leg = self.legs[model.calls[*call].room][*leg];
                Some(self.post(*call, &format!("participants/{leg}/mute"), &json!({})))
            }
            Step::MuteSelf { call, muted } => {
                let action = if *muted { "mute" } else { "unmute" };
                Some(self.post(*call, action, &json!({})))
            }
            Step::Remove { call, leg } => {
                let leg = self.legs[model.calls[*call].room][*leg];
                let call = self.calls[*call];
                let path = format!("/communications/calls/{call}/participants/{leg}");
                Some(self.world.api(Method::Delete, &path, "").status)
            }
            Step::Delete { call } => {
                let path = format!("/communications/calls/{}", self.calls[*call]);
                Some(self.world.api(Method::Delete, &path, "").status)
            }
            Step::KeepAlive { call } => Some(self.post(*call, "keepAlive", &json!({}))),
            Step::Wait(ms) => {
                self.world.run(Duration::from_millis(*ms));
                None
            }
        }
    }

    fn shown(&mut self, call: CallId) -> Vec<(String, bool, bool)> {
        let path = format!("/communications/calls/{call}/participants");
        let listed = json(&self.world.api(Method::Get, &path, ""));
        seen(&listed["value"])
    }
}

fn seen(roster: &Value) -> Vec<(String, bool, bool)> {
    let one = |participant: &Value| {
        let identity = &participant["info"]["identity"];
        let name = identity["user"]["id"]
            .as_str()
            .or_else(|| identity["application"]["id"].as_str())
            .or_else(|| identity["guest"]["displayName"].as_str());
        let flag = |name: &str| participant[name].as_bool().expect("it is always there");
        (name.expect("somebody").to_owned(), flag("isInLobby"), flag("isMuted"))
    };
    roster.as_array().expect("an array").iter().map(one).collect()
}

impl StateMachineTest for Rig {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        assert_eq!(WEBHOOK, "https://bot.test/api/calls");
        let mut config = Config { ..config() };
        // Who is busy is not what this model is about.
        config.limits.calls_per_person_max = 0;
        Self {
            world: World::with_webhook(config, 1, Box::new(accept)),
            calls: Vec::new(),
            legs: Vec::new(),
            threads: BTreeMap::new(),
            seen: 0,
        }
    }

    fn apply(mut rig: Self, model: &Model, step: Step) -> Self {
        rig.seen = rig.world.said.len();
        let status = rig.act(model, &step);
        rig.world.drain();
        if let Some(expected) = model.expected {
            assert_eq!(status, Some(expected), "{step:?}");
        }
        // The last roster that each call was told is the model's, and so is what it is shown.
        let mut last: BTreeMap<String, Value> = BTreeMap::new();
        for (_, url, data) in rig.world.told() {
            if let Some(call) = url.strip_suffix("/participants") {
                last.insert(call.to_owned(), data);
            }
        }
        for (index, call) in model.calls.iter().enumerate() {
            let Some((room, leg)) = model.own(index) else { continue };
            let id = rig.calls[index];
            let told = last.get(&format!("/communications/calls/{id}"));
            if model.rooms[room].small || model.rooms[room].quiet {
                assert!(told.is_none(), "a call that grew is told of no roster");
            }
            if model.rooms[room].small || model.rooms[room].legs[leg].standing != Standing::In {
                continue;
            }
            assert_eq!(rig.shown(id), model.roster(room), "{call:?}");
            if !model.rooms[room].quiet && rig.waits_for_nothing(id) {
                assert_eq!(told.map(seen), Some(model.roster(room)), "{call:?}");
            }
        }
        rig
    }

    fn check_invariants(rig: &Self, model: &Model) {
        let mut running = BTreeSet::new();
        let (mut came, mut failed) = (0, 0);
        let mut ended: BTreeMap<CallId, u32> = BTreeMap::new();
        for (_, event) in &rig.world.said {
            match event {
                Event::OperationStarted { operation, call, .. } => {
                    assert!(!ended.contains_key(call), "an operation began after the end");
                    assert!(running.insert(*operation));
                }
                Event::OperationEnded { operation, kind, result, .. } => {
                    assert!(running.remove(operation), "an operation ended twice");
                    if kind.type_name().contains("invite") {
                        came += usize::from(result.code == 200);
                        failed += usize::from(result.code != 200);
                    }
                }
                Event::CallEnded { call, result } => {
                    assert!(ended.insert(*call, result.subcode).is_none(), "a call ended twice");
                }
                Event::CallStateChanged { call, .. } => {
                    assert!(!ended.contains_key(call), "something happened after the end");
                }
                _ => {}
            }
        }
        let invited = |how| model.invitations.iter().filter(|i| i.ended == Some(how)).count();
        assert_eq!((came, failed), (invited(true), invited(false)));
        for (id, call) in rig.calls.iter().zip(&model.calls) {
            assert_eq!(ended.get(id).copied(), call.ended, "{call:?}");
        }
        let rooms = model.rooms.iter().filter(|room| !room.over).count();
        let legs = model.rooms.iter().filter(|room| !room.over).flat_map(|room| &room.legs);
        let legs = legs.filter(|leg| leg.standing != Standing::Gone).count();
        let load = rig.world.service.load();
        assert_eq!((load.conversations, load.legs), (rooms, legs));
    }

    fn teardown(mut rig: Self, model: Model) {
        for (room, legs) in rig.legs.iter().enumerate() {
            for (index, leg) in legs.iter().enumerate() {
                if model.rooms[room].legs[index].call.is_none() {
                    let _ = rig.world.service.hang_up(rig.world.now, *leg);
                }
            }
        }
        rig.world.service.shut_down(rig.world.now);
        rig.world.drain();
        rig.world.run(Duration::from_secs(10));
        assert_eq!(rig.world.service.load(), Load::default(), "something outlived its call");
        let mut deleted = BTreeSet::new();
        for (_, request) in &rig.world.notifications {
            for (change, url, _) in items(request) {
                let call = url.split('/').nth(3).expect("it names a call").to_owned();
                assert!(!deleted.contains(&call), "{url} is told of after its call's end");
                if change == ChangeType::Deleted && url.matches('/').count() == 3 {
                    deleted.insert(call);
                }
            }
        }
        assert_eq!(deleted.len(), rig.calls.len(), "every call's end is told");
    }
}

impl Rig {
    /// Whether everything that was to be told of a call has been sent: what waits behind
    /// an unanswered notification is told later.
    fn waits_for_nothing(&self, call: CallId) -> bool {
        let mut sent = BTreeMap::new();
        for (_, event) in &self.world.said {
            match event {
                Event::NotificationSent { call: of, sequence, .. } if *of == call => {
                    sent.insert(*sequence, false);
                }
                Event::NotificationDelivered { call: of, sequence, .. } if *of == call => {
                    sent.insert(*sequence, true);
                }
                _ => {}
            }
        }
        sent.values().all(|taken| *taken)
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn the_platform_does_what_the_model_of_conferences_says(sequential 1..40 => Rig);
}
