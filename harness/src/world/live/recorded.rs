//! A performance in a live world: the same platform, bot and person as in a simulated one,
//! each on a thread with sockets, with the machine's clock and the machine's network between
//! them. What crossed and what was said is written down by each in turn and put together at
//! the end into a trace that the same judges read, which is how it is known that what `run`
//! measures is what `serve` does.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;

use callrig_media::datagram::Datagram;
use callrig_media::time::Instant;
use callrig_signaling::http::{Failure, Request, Response};
use thiserror::Error;
use tokio::runtime;

use super::Time;
use super::shard::{self, Handle, Hands, Inbox, Inside};
use crate::actor::{Actor, ActorId, Input, Output};
use crate::drive::Stopwatch;
use crate::link::{Cause, Counters, Fate};
use crate::order::Order;
use crate::said::Said;
use crate::seed::Seed;
use crate::stage::{self, Cast, Performance, Stage, StageError, Troupe, Venue};
use crate::subject::Subject;
use crate::trace::Trace;
use crate::world::simulated::Stop;

/// How long a person stays on the line after the last packet.
const LINGER: Duration = Duration::from_millis(400);
/// How long what is still under way after the end of the call is waited for.
const SETTLE: Duration = Duration::from_millis(250);
/// How long a performance may take beyond its recording.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many ports the platform has, and where they are looked for.
const PORTS: u16 = 8;
const PORTS_FROM: u16 = 33_000;
const PORTS_TO: u16 = 60_000;

const CAST: Cast =
    Cast { platform: ActorId(0), bot: ActorId(1), user: ActorId(2), guest: None, others: 0 };
const NAMES: [&str; 3] = ["platform", "bot", "user"];

/// Why there is no performance.
#[derive(Debug, Error)]
pub enum LiveError {
    /// The stage cannot be built.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// No socket, thread or runtime.
    #[error("the live world has no {what}: {source}")]
    Machine {
        /// What is missing.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Something that somebody wrote down.
#[derive(Debug)]
enum Entry {
    Sent(Datagram),
    Came(Datagram),
    Asked(Option<ActorId>, Request),
    Answered(ActorId, Response),
    Said(Said),
    Cost(Box<Stopwatch>),
}

/// What was written down, when and by whom.
type Line = (Instant, ActorId, Entry);

/// An actor, and who writes down what crosses and what it says.
struct Watched {
    who: ActorId,
    actor: Box<dyn Actor>,
    now: Instant,
    log: mpsc::Sender<Line>,
}

impl Watched {
    fn note(&self, entry: Entry) {
        // Whoever reads it may have lost patience.
        let _ = self.log.send((self.now, self.who, entry));
    }
}

impl Actor for Watched {
    fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = now;
        if let Input::Datagram(datagram) = &input {
            self.note(Entry::Came(datagram.clone()));
        }
        self.actor.handle_input(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        loop {
            match self.actor.poll_output()? {
                Output::Said(said) => self.note(Entry::Said(said)),
                Output::Datagram(datagram) => {
                    self.note(Entry::Sent(datagram.clone()));
                    return Some(Output::Datagram(datagram));
                }
                other => return Some(other),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.actor.poll_timeout()
    }
}

/// Carries requests and orders from one to another.
struct Messenger {
    who: ActorId,
    handles: Vec<Handle<Watched>>,
    runtime: runtime::Handle,
    time: Time,
    log: mpsc::Sender<Line>,
    over: tokio::sync::mpsc::UnboundedSender<()>,
}

impl Messenger {
    fn ask(&self, now: Instant, request: Request) {
        let host = request.uri.split('/').nth(2).unwrap_or_default();
        let place = Troupe::HOSTS.iter().position(|known| *known == host);
        let to = place.map(|place| ActorId(place as u16));
        let _ = self.log.send((now, self.who, Entry::Asked(to, request.clone())));
        let (id, from, time, log) = (request.id, self.who, self.time, self.log.clone());
        let asker = self.handles[usize::from(from.0)].clone();
        let asked = to.map(|to| (to, self.handles[usize::from(to.0)].clone()));
        self.runtime.spawn(async move {
            let outcome = match asked {
                None => Err("nobody lives there".to_owned()),
                Some((to, handle)) => match handle.request(request).await {
                    Ok(response) => Ok((to, Response { id, ..response })),
                    Err(error) => Err(error.to_string()),
                },
            };
            let outcome = match outcome {
                Ok((to, response)) => {
                    let _ = log.send((time.now(), to, Entry::Answered(from, response.clone())));
                    Ok(response)
                }
                Err(reason) => Err(Failure { id, reason }),
            };
            asker.outcome(outcome).await;
        });
    }

    fn tell(&self, to: ActorId, order: Box<Order>) {
        let (from, ends) =
            (self.who, matches!(*order, Order::Ended { .. } | Order::Refused { .. }));
        let Some(handle) = self.handles.get(usize::from(to.0)) else { return };
        // A thread that has ended needs no orders.
        let _ = handle.tell(move |inside| {
            inside.actor.handle_input(inside.now, Input::Order(from, order));
        });
        if ends {
            let _ = self.over.send(());
        }
    }
}

impl Hands<Watched> for Messenger {
    fn carry_out(&mut self, output: Output, inside: &mut Inside<'_, Watched>) -> bool {
        match output {
            Output::Request(request) => self.ask(inside.now, request),
            Output::Order(to, order) => self.tell(to, order),
            Output::Datagram(_) | Output::Response(_) | Output::Said(_) => {}
        }
        false
    }
}

/// Lets a person call a bot with a recording, in real time, on this machine's own network.
///
/// # Errors
/// The stage cannot be built, or the machine lacks something.
pub fn perform(subject: &Subject, stage: Stage, seed: Seed) -> Result<Performance, LiveError> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .map_err(|source| LiveError::Machine { what: "runtime", source })?;
    let (log, lines) = mpsc::channel();
    let (over, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let mut handles = Vec::new();
    let mut inboxes = Vec::new();
    for _ in NAMES {
        let (handle, inbox) = shard::inbox::<Watched>()
            .map_err(|source| LiveError::Machine { what: "sockets", source })?;
        handles.push(handle);
        inboxes.push(inbox);
    }
    let venue =
        open(&mut inboxes).map_err(|source| LiveError::Machine { what: "ports", source })?;
    let Troupe { platform, bot, user } =
        Troupe::assemble(subject, stage, seed, &venue, CAST.platform)?;
    let actors: [Box<dyn Actor>; 3] = [Box::new(platform), bot, Box::new(user)];
    let time = Time::begin();
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for ((place, inbox), actor) in (0..).zip(inboxes).zip(actors) {
        let who = ActorId(place);
        let hands = Messenger {
            who,
            handles: handles.clone(),
            runtime: runtime.handle().clone(),
            time,
            log: log.clone(),
            over: over.clone(),
        };
        let watched = Watched { who, actor, now: Instant::ZERO, log: log.clone() };
        let thread = shard::spawn(NAMES[usize::from(place)], inbox, time, watched, hands)
            .map_err(|source| LiveError::Machine { what: "thread", source })?;
        threads.push(thread);
    }
    drop((log, over));
    let patience = PATIENCE + subject.duration();
    let stop = runtime.block_on(async {
        let stop = match tokio::time::timeout(patience, ended.recv()).await {
            Ok(_) => Stop::Quiet,
            Err(_) => Stop::Limit,
        };
        tokio::time::sleep(SETTLE).await;
        for handle in &handles {
            // A thread that failed is found by what is missing in the trace.
            let _ = handle
                .ask(|inside| inside.actor.note(Entry::Cost(Box::new(inside.cost.clone()))))
                .await;
            handle.stop().await;
        }
        stop
    });
    drop(handles);
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a thread of a live performance panicked");
        }
    }
    drop(runtime);
    Ok(put_together(lines.into_iter().collect(), subject, stage, stop))
}

/// Addresses of this machine for everybody: platform, bot and user.
fn open(inboxes: &mut [Inbox<Watched>]) -> io::Result<Venue> {
    let host = Ipv4Addr::LOCALHOST;
    let [platform, bot, user] = inboxes else {
        return Err(io::Error::other("a stage has three people on it"));
    };
    let person = user.open(SocketAddr::from((host, 0)))?;
    let bot = bot.open(SocketAddr::from((host, 0)))?;
    // Somewhere else each time: other performances may go on beside this one.
    let mut first = PORTS_FROM + person.port() % (PORTS_TO - PORTS_FROM);
    let mut failed = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..64 {
        let ports = first..=first + PORTS - 1;
        let opened = ports.clone().map(|port| platform.open(SocketAddr::from((host, port))));
        match opened.collect::<io::Result<Vec<_>>>() {
            Ok(_) => return Ok(Venue { person, platform: host, ports, bot, linger: LINGER }),
            Err(error) => failed = error,
        }
        first = PORTS_FROM + (first - PORTS_FROM + 97) % (PORTS_TO - PORTS_FROM);
    }
    Err(failed)
}

/// From what each of them wrote down to one trace, in the order of the clock.
fn put_together(mut lines: Vec<Line>, subject: &Subject, stage: Stage, stop: Stop) -> Performance {
    lines.sort_by_key(|(at, _, _)| *at);
    let mut trace = Trace::default();
    for (place, name) in (0..).zip(NAMES) {
        trace.name(ActorId(place), name);
    }
    stage::prepare(&mut trace, CAST, subject, stage);
    let mut arrivals = arrivals(&mut lines);
    let mut paths = BTreeMap::new();
    let mut counters: BTreeMap<(ActorId, ActorId), Counters> = BTreeMap::new();
    let mut costs = vec![Stopwatch::new(false); NAMES.len()];
    for (at, who, entry) in lines {
        match entry {
            Entry::Sent(datagram) => {
                let ends = (datagram.source, datagram.destination);
                let came = arrivals.get_mut(&ends).and_then(|queue| take(queue, &datagram));
                let to = came.map(|(_, to)| to);
                let path = *paths.entry(ends).or_insert_with(|| trace.path(who, to, ends));
                let counted = counters.entry((who, to.unwrap_or(who))).or_default();
                counted.sent += 1;
                counted.delivered += u64::from(came.is_some());
                let fate = match came {
                    Some((at, _)) => Fate::Delivered(at),
                    None => Fate::Dropped(Cause::Unreachable),
                };
                trace.cross(at, path, fate, &datagram.payload);
            }
            Entry::Asked(to, request) => trace.request(at, who, to, &request),
            Entry::Answered(to, response) => trace.response(at, who, to, &response),
            Entry::Said(said) => trace.say(at, who, said),
            Entry::Cost(cost) => costs[usize::from(who.0)] = *cost,
            Entry::Came(_) => {}
        }
    }
    let link = |from, to| counters.get(&(from, to)).copied().unwrap_or_default();
    Performance {
        uplink: link(CAST.user, CAST.platform),
        downlink: link(CAST.platform, CAST.user),
        trace,
        cast: CAST,
        stop,
        waiting: Vec::new(),
        costs,
    }
}

/// What came where, of each path in order; taken out of the lines.
type Arrivals = BTreeMap<(SocketAddr, SocketAddr), VecDeque<(Instant, ActorId, Datagram)>>;

fn arrivals(lines: &mut Vec<Line>) -> Arrivals {
    let mut arrivals = Arrivals::new();
    lines.retain(|(at, who, entry)| {
        let Entry::Came(datagram) = entry else { return true };
        let ends = (datagram.source, datagram.destination);
        arrivals.entry(ends).or_default().push_back((*at, *who, datagram.clone()));
        false
    });
    arrivals
}

/// The arrival of what was sent; what came before it of which nobody knows is skipped never,
/// since one path keeps its order.
fn take(
    queue: &mut VecDeque<(Instant, ActorId, Datagram)>,
    sent: &Datagram,
) -> Option<(Instant, ActorId)> {
    let (at, who, came) = queue.front()?;
    if came.payload != sent.payload {
        return None;
    }
    let found = (*at, *who);
    queue.pop_front();
    Some(found)
}
