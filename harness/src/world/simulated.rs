//! A world of virtual time: actors, the links between them, and a queue of what is due.
//! Nothing here waits, and nothing depends on the machine: what is due at the same moment
//! happens in the order in which it was decided, so the same seed gives the same trace.
//!
//! Datagrams go through links and are subject to them. Requests and responses go over a
//! reliable, ordered path with a fixed delay: TCP's recovery is not what is tested here.

use core::cmp::Reverse;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BinaryHeap};

use callrig_media::datagram::Datagram;
use callrig_media::time::Instant;
use callrig_signaling::http::{Failure, Request, RequestId, Response};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::actor::{Actor, ActorId, Input, Output};
use crate::clock::Clock;
use crate::drive::{self, Stopwatch};
use crate::link::{self, Cause, Fate, Link};
use crate::said::Said;
use crate::seed::Seed;
use crate::trace::{PathId, Trace};

/// How many actors a world has room for.
pub const ACTORS_MAX: usize = 4_096;
/// How much may be under way at once; what is sent beyond it is dropped and said so.
pub const PARCELS_MAX: usize = 1 << 20;
/// How many steps one moment may take before the world is called stuck: nobody who asks
/// for "now" again and again may hold up time for ever.
pub const STEPS_PER_MOMENT_MAX: u32 = 1_000_000;

/// How a world is set up.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How long a request or response travels.
    pub exchange_delay: Duration,
    /// Whether the trace keeps the datagrams that crossed.
    pub keep_crossings: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { exchange_delay: Duration::from_millis(1), keep_crossings: true }
    }
}

/// Why an actor or a link cannot be put into a world.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PlaceError {
    /// [`ACTORS_MAX`] are there already.
    #[error("a world has room for {ACTORS_MAX} actors")]
    Full,
    /// The address is somebody else's.
    #[error("{0} belongs to another actor already")]
    Address(SocketAddr),
    /// The host is somebody else's.
    #[error("host {0} belongs to another actor already")]
    Host(String),
    /// The link cannot be.
    #[error(transparent)]
    Link(#[from] link::ConfigError),
}

/// Why a world stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stop {
    /// Nothing is under way and nobody waits for anything.
    Quiet,
    /// The time that it was given is over.
    Limit,
    /// Time does not move on: see [`STEPS_PER_MOMENT_MAX`].
    Stuck(ActorId),
}

/// A simulated world.
pub struct World {
    config: Config,
    seed: Seed,
    now: Instant,
    due: BinaryHeap<Reverse<Due>>,
    decided: u64,
    parcels: Vec<Option<Parcel>>,
    free: Vec<u32>,
    residents: Vec<Resident>,
    addresses: BTreeMap<SocketAddr, ActorId>,
    hosts: BTreeMap<String, ActorId>,
    links: BTreeMap<(ActorId, ActorId), Link>,
    routes: BTreeMap<(SocketAddr, SocketAddr), Route>,
    asked: BTreeMap<RequestId, (ActorId, RequestId)>,
    next_request: u64,
    outputs: Vec<Output>,
    trace: Trace,
}

/// What is due, ordered by time and then by when it was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    decided: u64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Wake(ActorId),
    Parcel(u32),
}

struct Parcel {
    to: ActorId,
    input: Input,
}

struct Resident {
    actor: Box<dyn Actor>,
    clock: Clock,
    /// When it wants to be woken next, by the world's clock.
    deadline: Option<Instant>,
    /// The earliest wake in the queue: deadlines that move away leave it there.
    scheduled: Option<Instant>,
    stopwatch: Stopwatch,
    last_route: Option<((SocketAddr, SocketAddr), Route)>,
}

#[derive(Clone, Copy, Debug)]
struct Route {
    path: PathId,
    to: Option<ActorId>,
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new(config: Config, seed: Seed) -> Self {
        Self {
            config,
            seed,
            now: Instant::ZERO,
            due: BinaryHeap::new(),
            decided: 0,
            parcels: Vec::new(),
            free: Vec::new(),
            residents: Vec::new(),
            addresses: BTreeMap::new(),
            hosts: BTreeMap::new(),
            links: BTreeMap::new(),
            routes: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_request: 0,
            outputs: Vec::new(),
            trace: Trace::default(),
        }
    }

    /// Puts an actor into the world, who is first asked when it wants to be woken when the
    /// world [runs](Self::run).
    ///
    /// # Errors
    /// The world is full.
    pub fn place(
        &mut self,
        name: &str,
        actor: Box<dyn Actor>,
        clock: Clock,
    ) -> Result<ActorId, PlaceError> {
        if self.residents.len() >= ACTORS_MAX {
            return Err(PlaceError::Full);
        }
        let id = ActorId(self.residents.len() as u16);
        self.residents.push(Resident {
            actor,
            clock,
            deadline: None,
            scheduled: None,
            stopwatch: Stopwatch::new(false),
            last_route: None,
        });
        self.trace.name(id, name);
        Ok(id)
    }

    /// Measures the real time that the steps of an actor take.
    pub fn measure(&mut self, actor: ActorId) {
        self.residents[usize::from(actor.0)].stopwatch = Stopwatch::new(true);
    }

    /// Datagrams for `address` arrive at `actor`.
    ///
    /// # Errors
    /// It is somebody else's.
    pub fn give_address(&mut self, actor: ActorId, address: SocketAddr) -> Result<(), PlaceError> {
        match self.addresses.insert(address, actor) {
            Some(other) if other != actor => Err(PlaceError::Address(address)),
            _ => Ok(()),
        }
    }

    /// Requests for `host` (with its port, as in a URI) arrive at `actor`.
    ///
    /// # Errors
    /// It is somebody else's.
    pub fn give_host(&mut self, actor: ActorId, host: &str) -> Result<(), PlaceError> {
        match self.hosts.insert(host.to_ascii_lowercase(), actor) {
            Some(other) if other != actor => Err(PlaceError::Host(host.to_owned())),
            _ => Ok(()),
        }
    }

    /// Datagrams from one actor to the other pass a link; without one they arrive at once.
    ///
    /// # Errors
    /// The configuration asks for what no link can do.
    pub fn connect(
        &mut self,
        from: ActorId,
        to: ActorId,
        config: link::Config,
    ) -> Result<(), PlaceError> {
        let name = format!("link from {} to {}", self.trace.actor(from), self.trace.actor(to));
        let link = Link::new(config, self.seed.derive(&name))?;
        self.links.insert((from, to), link);
        Ok(())
    }

    /// Lets the world run until nothing is left to do, or until `limit`.
    pub fn run(&mut self, limit: Instant) -> Stop {
        for index in 0..self.residents.len() {
            let resident = &mut self.residents[index];
            resident.deadline = resident
                .actor
                .poll_timeout()
                .map(|deadline| resident.clock.world(deadline).max(self.now));
            self.schedule(ActorId(index as u16));
        }
        let mut steps = 0;
        while let Some(&Reverse(due)) = self.due.peek() {
            if self.is_forgotten(due) {
                self.due.pop();
                continue;
            }
            if due.at > limit {
                self.now = limit;
                return Stop::Limit;
            }
            self.due.pop();
            steps = if due.at > self.now { 0 } else { steps + 1 };
            self.now = due.at;
            let actor = match due.what {
                What::Wake(actor) => {
                    self.wake(actor, due.at);
                    actor
                }
                What::Parcel(slot) => self.hand_over(slot),
            };
            if steps >= STEPS_PER_MOMENT_MAX {
                return Stop::Stuck(actor);
            }
        }
        Stop::Quiet
    }

    /// The time in the world.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// What has happened so far.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// To tell the trace what to look at while it records.
    pub const fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// What the link between two actors did.
    #[must_use]
    pub fn link(&self, from: ActorId, to: ActorId) -> Option<link::Counters> {
        self.links.get(&(from, to)).map(Link::counters)
    }

    /// Who still waits for a moment, and for which one.
    pub fn waiting(&self) -> impl Iterator<Item = (ActorId, Instant)> + '_ {
        let residents = self.residents.iter().enumerate();
        residents.filter_map(|(index, resident)| Some((ActorId(index as u16), resident.deadline?)))
    }

    /// What happened, and how long the steps of each [measured](Self::measure) actor took by the
    /// wall clock.
    #[must_use]
    pub fn finish(self) -> (Trace, Vec<Stopwatch>) {
        let costs = self.residents.into_iter().map(|resident| resident.stopwatch).collect();
        (self.trace, costs)
    }

    /// Whether nobody waits for this any more: deadlines move and are taken back, and
    /// leave their wakes behind in the queue.
    fn is_forgotten(&mut self, due: Due) -> bool {
        let What::Wake(actor) = due.what else { return false };
        let resident = &mut self.residents[usize::from(actor.0)];
        if resident.scheduled != Some(due.at) {
            return true;
        }
        if resident.deadline.is_none() {
            resident.scheduled = None;
            return true;
        }
        false
    }

    fn wake(&mut self, actor: ActorId, at: Instant) {
        let resident = &mut self.residents[usize::from(actor.0)];
        resident.scheduled = None;
        match resident.deadline {
            Some(deadline) if deadline <= at => self.step(actor, Input::Timeout),
            _ => self.schedule(actor),
        }
    }

    fn hand_over(&mut self, slot: u32) -> ActorId {
        let parcel =
            self.parcels[slot as usize].take().expect("a parcel is due once, in its own slot");
        self.free.push(slot);
        self.step(parcel.to, parcel.input);
        parcel.to
    }

    fn step(&mut self, actor: ActorId, input: Input) {
        let resident = &mut self.residents[usize::from(actor.0)];
        let local = resident.clock.local(self.now);
        let deadline = drive::step(
            &mut *resident.actor,
            local,
            input,
            &mut resident.stopwatch,
            &mut self.outputs,
        );
        let now = self.now;
        resident.deadline = deadline.map(|at| resident.clock.world(at).max(now));
        self.schedule(actor);
        let mut outputs = core::mem::take(&mut self.outputs);
        for output in outputs.drain(..) {
            self.carry_out(actor, output);
        }
        self.outputs = outputs;
    }

    /// Puts a wake into the queue unless an earlier one is there already.
    fn schedule(&mut self, actor: ActorId) {
        let resident = &mut self.residents[usize::from(actor.0)];
        let Some(deadline) = resident.deadline else { return };
        if resident.scheduled.is_none_or(|scheduled| deadline < scheduled) {
            resident.scheduled = Some(deadline);
            self.decide(deadline, What::Wake(actor));
        }
    }

    fn decide(&mut self, at: Instant, what: What) {
        self.due.push(Reverse(Due { at, decided: self.decided, what }));
        self.decided += 1;
    }

    fn carry_out(&mut self, from: ActorId, output: Output) {
        match output {
            Output::Datagram(datagram) => self.send(from, datagram),
            Output::Request(request) => self.ask(from, request),
            Output::Response(response) => self.answer(from, response),
            Output::Order(to, order) => {
                self.put(self.now, to, Input::Order(from, order));
            }
            Output::Said(said) => self.trace.say(self.now, from, said),
        }
    }

    fn send(&mut self, from: ActorId, datagram: Datagram) {
        let route = self.route(from, &datagram);
        let fate = match route.to {
            None => Fate::Dropped(Cause::Unreachable),
            Some(_) if self.parcels.len() - self.free.len() >= PARCELS_MAX => {
                Fate::Dropped(Cause::QueueFull)
            }
            Some(to) => match self.links.get_mut(&(from, to)) {
                Some(link) => link.send(self.now, datagram.payload.len()),
                None => Fate::Delivered(self.now),
            },
        };
        if self.config.keep_crossings {
            self.trace.cross(self.now, route.path, fate, &datagram.payload);
        }
        let Some(to) = route.to else { return };
        match fate {
            Fate::Delivered(at) => self.put(at, to, Input::Datagram(datagram)),
            Fate::Duplicated(first, second) => {
                self.put(first, to, Input::Datagram(datagram.clone()));
                self.put(second, to, Input::Datagram(datagram));
            }
            Fate::Dropped(_) => {}
        }
    }

    /// Where a datagram goes. Whoever sends along one path is likely to do so again.
    fn route(&mut self, from: ActorId, datagram: &Datagram) -> Route {
        let ends = (datagram.source, datagram.destination);
        let last = self.residents[usize::from(from.0)].last_route;
        if let Some((known, route)) = last
            && known == ends
        {
            return route;
        }
        let route = match self.routes.get(&ends) {
            Some(route) => *route,
            None => {
                let to = self.addresses.get(&ends.1).copied();
                let route = Route { path: self.trace.path(from, to, ends), to };
                self.routes.insert(ends, route);
                route
            }
        };
        self.residents[usize::from(from.0)].last_route = Some((ends, route));
        route
    }

    fn ask(&mut self, from: ActorId, mut request: Request) {
        let to = host(&request.uri).and_then(|host| self.hosts.get(&host)).copied();
        self.trace.request(self.now, from, to, &request);
        let at = self.now + self.config.exchange_delay;
        let Some(to) = to else {
            let reason = format!("nobody answers at {}", request.uri);
            self.put(at, from, Input::Failed(Failure { id: request.id, reason }));
            return;
        };
        // Two askers may choose the same number: the world gives out its own.
        let number = RequestId(self.next_request);
        self.next_request += 1;
        self.asked.insert(number, (from, request.id));
        request.id = number;
        self.put(at, to, Input::Request(request));
    }

    fn answer(&mut self, from: ActorId, mut response: Response) {
        let Some((to, number)) = self.asked.remove(&response.id) else {
            let note = format!("a response to request {}, which nobody asked", response.id.0);
            self.trace.say(self.now, from, Said::Fault(note));
            return;
        };
        response.id = number;
        self.trace.response(self.now, from, to, &response);
        self.put(self.now + self.config.exchange_delay, to, Input::Response(response));
    }

    fn put(&mut self, at: Instant, to: ActorId, input: Input) {
        let parcel = Some(Parcel { to, input });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.parcels[slot as usize] = parcel;
                slot
            }
            None => {
                self.parcels.push(parcel);
                (self.parcels.len() - 1) as u32
            }
        };
        self.decide(at, What::Parcel(slot));
    }
}

/// Host and port of an absolute URI, in lower case.
fn host(uri: &str) -> Option<String> {
    let (_, rest) = uri.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    Some(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use callrig_signaling::http::{Headers, Method};

    use super::*;

    /// Sends a number each 20 ms, `count` times, and says what it receives.
    struct Ticker {
        me: SocketAddr,
        peer: SocketAddr,
        count: u8,
        sent: u8,
        output: Vec<Output>,
    }

    impl Actor for Ticker {
        fn handle_input(&mut self, now: Instant, input: Input) {
            match input {
                Input::Timeout => {
                    self.sent += 1;
                    self.output.push(Output::Datagram(Datagram {
                        source: self.me,
                        destination: self.peer,
                        payload: Bytes::copy_from_slice(&[self.sent]),
                    }));
                }
                Input::Datagram(datagram) => {
                    let note = format!("{} at {}", datagram.payload[0], now.as_nanos());
                    self.output.push(Output::Said(Said::Note(note)));
                }
                other => self.output.push(Output::Said(Said::Fault(format!("{other:?}")))),
            }
        }

        fn poll_output(&mut self) -> Option<Output> {
            self.output.pop()
        }

        fn poll_timeout(&self) -> Option<Instant> {
            (self.sent < self.count).then(|| Instant::from_millis(u64::from(self.sent) * 20))
        }
    }

    /// Asks a host that exists and one that does not; answers whatever it is asked.
    #[derive(Default)]
    struct Asker {
        host: &'static str,
        asked: bool,
        output: Vec<Output>,
    }

    impl Actor for Asker {
        fn handle_input(&mut self, _: Instant, input: Input) {
            match input {
                Input::Timeout => {
                    self.asked = true;
                    self.output.push(Output::Request(Request {
                        id: RequestId(0),
                        method: Method::Get,
                        uri: format!("http://{}/path", self.host),
                        headers: Headers::new(),
                        body: Bytes::new(),
                    }));
                }
                Input::Request(request) => {
                    self.output.push(Output::Response(Response::empty(request.id, 204)));
                }
                Input::Response(response) => {
                    let note = format!("{} for {}", response.status, response.id.0);
                    self.output.push(Output::Said(Said::Note(note)));
                }
                Input::Failed(failure) => {
                    self.output.push(Output::Said(Said::Note(failure.reason)));
                }
                other => self.output.push(Output::Said(Said::Fault(format!("{other:?}")))),
            }
        }

        fn poll_output(&mut self) -> Option<Output> {
            self.output.pop()
        }

        fn poll_timeout(&self) -> Option<Instant> {
            (!self.asked && !self.host.is_empty()).then_some(Instant::ZERO)
        }
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address of the test")
    }

    fn two_tickers(link: link::Config, clock: Clock) -> World {
        let mut world = World::new(Config::default(), Seed::new(5));
        let (alice, bob) = (address("10.0.0.1:1"), address("10.0.0.2:2"));
        let mut place = |name, me, peer, count, clock| {
            let ticker = Ticker { me, peer, count, sent: 0, output: Vec::new() };
            let id = world.place(name, Box::new(ticker), clock).expect("there is room");
            world.give_address(id, me).expect("the address is free");
            id
        };
        let from = place("alice", alice, bob, 3, clock);
        let to = place("bob", bob, alice, 0, Clock::TRUE);
        world.connect(from, to, link).expect("a sound link");
        world
    }

    fn notes(world: &World) -> Vec<String> {
        world.trace().notes().map(str::to_owned).collect()
    }

    #[test]
    fn datagrams_arrive_when_their_link_says() {
        let delay = Duration::from_millis(7);
        let mut world = two_tickers(link::Config { delay, ..Default::default() }, Clock::TRUE);
        assert_eq!(world.run(Instant::from_millis(1_000)), Stop::Quiet);
        assert_eq!(notes(&world), ["1 at 7000000", "2 at 27000000", "3 at 47000000"]);
        assert_eq!(world.now(), Instant::from_millis(47));
    }

    #[test]
    fn a_drifting_actor_lives_by_its_own_clock() {
        let mut world = two_tickers(link::Config::default(), Clock::drifting(-100_000));
        world.run(Instant::from_millis(1_000));
        assert_eq!(notes(&world), ["1 at 0", "2 at 22222223", "3 at 44444445"]);
    }

    #[test]
    fn a_world_stops_at_its_limit_and_goes_on_from_there() {
        let mut world = two_tickers(link::Config::default(), Clock::TRUE);
        assert_eq!(world.run(Instant::from_millis(25)), Stop::Limit);
        assert_eq!(notes(&world).len(), 2);
        assert_eq!(world.run(Instant::from_millis(99)), Stop::Quiet);
        assert_eq!(notes(&world).len(), 3);
    }

    #[test]
    fn an_actor_that_never_lets_time_pass_is_found_out() {
        struct Restless;
        impl Actor for Restless {
            fn handle_input(&mut self, _: Instant, _: Input) {}
            fn poll_output(&mut self) -> Option<Output> {
                None
            }
            fn poll_timeout(&self) -> Option<Instant> {
                Some(Instant::ZERO)
            }
        }
        let mut world = World::new(Config::default(), Seed::new(1));
        let id = world.place("restless", Box::new(Restless), Clock::TRUE).expect("room");
        assert_eq!(world.run(Instant::from_millis(1)), Stop::Stuck(id));
    }

    #[test]
    fn a_deadline_that_was_taken_back_holds_nobody_up() {
        /// Wants to be woken in an hour, until a datagram comes.
        struct Fickle(Option<Instant>);
        impl Actor for Fickle {
            fn handle_input(&mut self, _: Instant, _: Input) {
                self.0 = None;
            }
            fn poll_output(&mut self) -> Option<Output> {
                None
            }
            fn poll_timeout(&self) -> Option<Instant> {
                self.0
            }
        }
        let mut world = World::new(Config::default(), Seed::new(1));
        let fickle = Box::new(Fickle(Some(Instant::from_millis(3_600_000))));
        let fickle = world.place("fickle", fickle, Clock::TRUE).expect("there is room");
        let (me, peer) = (address("10.0.0.1:1"), address("10.0.0.2:2"));
        world.give_address(fickle, peer).expect("the address is free");
        let ticker = Ticker { me, peer, count: 1, sent: 0, output: Vec::new() };
        world.place("ticker", Box::new(ticker), Clock::TRUE).expect("there is room");
        assert_eq!(world.run(Instant::from_millis(1_000)), Stop::Quiet);
        assert_eq!(world.waiting().count(), 0);
    }

    #[test]
    fn requests_find_their_host_and_responses_their_asker() {
        let mut world = World::new(Config::default(), Seed::new(1));
        let mut place = |name, host| {
            let asker = Asker { host, ..Asker::default() };
            world.place(name, Box::new(asker), Clock::TRUE).expect("there is room")
        };
        place("asker", "Server:8080");
        place("other asker", "server:8080");
        place("lost", "nowhere");
        let server = place("server", "");
        world.give_host(server, "server:8080").expect("the host is free");
        assert_eq!(world.run(Instant::from_millis(10)), Stop::Quiet);
        let expected = ["nobody answers at http://nowhere/path", "204 for 0", "204 for 0"];
        assert_eq!(notes(&world), expected);
    }
}
