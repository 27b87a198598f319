//! Where a recording is played: which bot the person calls, and how far the media is
//! taken apart there. [`Stage`] is a plain value, so that cases which want the same one
//! share a performance; [`perform`] builds the world, lets the call happen in it, and
//! hands over what happened.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use callrig_media::description::{Description, MediaDescription};
use callrig_media::session::Decode;
use callrig_media::time::{Epoch, Instant, NtpTime};
use callrig_signaling::bot::{self, Bot};
use callrig_signaling::id::{AppId, TenantId, UserId};
use callrig_signaling::service::{self, Directory, directory};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::actor::{Actor, ActorId};
use crate::bots::Living;
use crate::bots::convener::Convener;
use crate::bots::echo::Echo;
use crate::bots::listener::Listener;
use crate::bots::menu::Menu;
use crate::clock::Clock;
use crate::critic::Reviewer;
use crate::drive::Stopwatch;
use crate::link;
use crate::network::{self, Network};
use crate::platform::Platform;
use crate::schedule::Schedule;
use crate::seed::Seed;
use crate::subject::{Subject, offer};
use crate::trace::Trace;
use crate::user::{self, User};
use crate::world::simulated::{self, PlaceError, Stop, World};

/// When simulated worlds begin: 2026-01-01 00:00 UTC, in nanoseconds since 1970.
pub const EPOCH_NANOS: u64 = 1_767_225_600_000_000_000;
/// How long a world may run beyond its recording before it is stopped.
const PATIENCE: Duration = Duration::from_secs(120);

const API_HOST: &str = "graph.test";
const BOT_HOST: &str = "bot.test";
const APP: &str = "11111111-1111-4111-8111-111111111111";
const PERSON: &str = "22222222-2222-4222-8222-222222222222";
const GUEST: &str = "22222222-2222-4222-8222-222222222223";
/// How many speak in a crowd: three more than are heard at once.
const CROWD: u16 = 7;
/// The phone of who comes late.
const GUEST_AT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 4)), 4_000);
const TENANT: &str = "33333333-3333-4333-8333-333333333333";

/// Where those on a stage are, and how long a person waits.
#[derive(Clone, Debug)]
pub(crate) struct Venue {
    /// The person's phone.
    pub(crate) person: SocketAddr,
    /// The platform, for media. A few ports are enough: a world has one call.
    pub(crate) platform: Ipv4Addr,
    pub(crate) ports: core::ops::RangeInclusive<u16>,
    /// The bot, for media.
    pub(crate) bot: SocketAddr,
    /// From the last packet to hanging up: what is under way arrives and is played.
    pub(crate) linger: Duration,
}

impl Venue {
    /// A simulated world's.
    fn simulated() -> Self {
        Self {
            person: SocketAddr::from(([10, 0, 0, 1], 4_000)),
            platform: Ipv4Addr::new(10, 0, 0, 2),
            ports: 20_000..=20_015,
            bot: SocketAddr::from(([10, 0, 0, 3], 5_000)),
            linger: Duration::from_secs(3),
        }
    }
}

/// Those on a stage.
pub(crate) struct Troupe {
    pub(crate) platform: Platform,
    pub(crate) bot: Box<dyn Actor>,
    pub(crate) user: User,
}

impl Troupe {
    /// The hosts in the URIs of platform and bot.
    pub(crate) const HOSTS: [&str; 2] = [API_HOST, BOT_HOST];

    /// The same for every world; `platform` is the platform's place in it.
    ///
    /// # Errors
    /// One of them cannot be configured.
    pub(crate) fn assemble(
        subject: &Subject,
        stage: Stage,
        seed: Seed,
        venue: &Venue,
        platform: ActorId,
    ) -> Result<Self, StageError> {
        let person = person(subject, stage, platform, venue);
        let config = platform_config(venue);
        Ok(Self {
            platform: Platform::new(config, epoch(), seed.derive("platform").get())?,
            bot: bot(subject, stage, seed, venue)?,
            user: User::new(person, epoch(), seed.derive("user").get()),
        })
    }
}

/// A stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// The person calls a bot with application-hosted media that listens: it decodes all
    /// it gets and says every packet.
    Listen,
    /// As [`Listen`](Self::Listen), but nothing is decoded: the cost of the path alone.
    Relay,
    /// As [`Listen`](Self::Listen), with a phone that sends again what is lost and asked for
    /// (RFC 4585, RFC 4588), as browsers do.
    Recover,
    /// The person comes into a meeting that the bot holds: sound goes through the mixer,
    /// pictures are forwarded as to any other participant. Where there are pictures, somebody else
    /// comes when half of the recording has been played ([`Cast::guest`]).
    Meeting,
    /// As [`Meeting`](Self::Meeting), but the network is between the platform and somebody else
    /// ([`Cast::guest`]), who is there before the person speaks, asks for what is lost and says
    /// what arrives, as browsers do. The person's own way to the platform is clean.
    Watch,
    /// As [`Meeting`](Self::Meeting), but several people ([`Cast::speakers`]) say the same one after
    /// the other, more of them at once than are heard at once. Pictures are shown by all.
    Crowd,
    /// As [`Listen`](Self::Listen), but the network is between the platform and the bot, which asks
    /// for what is lost and says what arrives; pictures are not decoded.
    Deliver,
    /// The person calls a bot with service-hosted media that plays prompts and waits for
    /// tones.
    Menu,
    /// The person calls a bot with application-hosted media that sends back all it gets.
    Echo,
}

impl Stage {
    /// What reports and file names call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Relay => "relay",
            Self::Recover => "recover",
            Self::Meeting => "meeting",
            Self::Watch => "watch",
            Self::Crowd => "crowd",
            Self::Deliver => "deliver",
            Self::Menu => "menu",
            Self::Echo => "echo",
        }
    }

    /// How far the bot takes media apart.
    const fn bot_decodes(self) -> Decode {
        match self {
            Self::Listen | Self::Recover => Decode::Everything,
            Self::Echo | Self::Meeting | Self::Crowd | Self::Deliver => Decode::Audio,
            Self::Relay | Self::Watch | Self::Menu => Decode::Nothing,
        }
    }

    /// How far the person's phone takes media apart.
    const fn person_decodes(self) -> Decode {
        match self {
            Self::Menu | Self::Echo | Self::Meeting | Self::Crowd => Decode::Audio,
            Self::Listen | Self::Relay | Self::Recover | Self::Watch | Self::Deliver => {
                Decode::Nothing
            }
        }
    }

    /// What the person's phone offers.
    fn offers(self, subject: &Subject) -> Vec<MediaDescription> {
        match self {
            Self::Recover => offer::sending_again(&subject.media),
            Self::Listen
            | Self::Relay
            | Self::Meeting
            | Self::Watch
            | Self::Crowd
            | Self::Deliver
            | Self::Menu
            | Self::Echo => subject.media.clone(),
        }
    }

    /// Whether it is played in a meeting that the bot holds.
    const fn is_meeting(self) -> bool {
        matches!(self, Self::Meeting | Self::Watch | Self::Crowd)
    }

    /// How many speak.
    const fn speakers(self) -> u16 {
        match self {
            Self::Crowd => CROWD,
            _ => 1,
        }
    }

    /// Whether somebody else comes.
    fn has_guest(self, subject: &Subject) -> bool {
        self == Self::Watch || (self == Self::Meeting && subject.has_video())
    }

    /// When a person comes into a meeting, or rings.
    fn comes(self) -> Duration {
        match self {
            Self::Meeting | Self::Crowd => COMES,
            Self::Watch => COMES + BREATH,
            _ => Duration::from_millis(10),
        }
    }
}

/// Who is who in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cast {
    /// The calling platform.
    pub platform: ActorId,
    /// The bot.
    pub bot: ActorId,
    /// The person with the phone that plays the recording.
    pub user: ActorId,
    /// Who else comes into a meeting, in simulated worlds: sees and hears, and says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<ActorId>,
    /// How many more say the same, each later than the one before; the actors after the user.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub others: u16,
}

impl Cast {
    /// Who says what was recorded, in the order of beginning.
    pub fn speakers(&self) -> impl Iterator<Item = ActorId> + use<> {
        let ActorId(first) = self.user;
        (first..=first + self.others).map(ActorId)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(count: &u16) -> bool {
    *count == 0
}

/// What happened on a stage.
#[derive(Debug)]
pub struct Performance {
    /// All of it.
    pub trace: Trace,
    /// Who was who.
    pub cast: Cast,
    /// What the link from the person to the platform did.
    pub uplink: link::Counters,
    /// What the link from the platform to the person did.
    pub downlink: link::Counters,
    /// Why the world stopped.
    pub stop: Stop,
    /// Who still waited for what when it stopped.
    pub waiting: Vec<(ActorId, Instant)>,
    /// What the steps of each actor cost in real time, by actor; of the one that is measured.
    pub costs: Vec<Stopwatch>,
}

impl Performance {
    /// Why nothing can be concluded from it, if so.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if let Some((who, fault)) = self.trace.faults().next() {
            return Some(format!("{}: {fault}", self.trace.actor(who)));
        }
        match self.stop {
            Stop::Quiet => None,
            Stop::Limit => {
                let waiting = self.waiting.iter().map(|(who, until)| {
                    format!(
                        "{} until {:.3} s",
                        self.trace.actor(*who),
                        until.elapsed().as_secs_f64()
                    )
                });
                let waiting: Vec<String> = waiting.collect();
                Some(format!("the world did not come to rest: {}", waiting.join(", ")))
            }
            Stop::Stuck(who) => Some(format!("{} does not let time pass", self.trace.actor(who))),
        }
    }
}

/// Why a stage cannot be built.
#[derive(Debug, Error)]
pub enum StageError {
    /// The platform cannot be configured.
    #[error("the platform: {0}")]
    Platform(#[from] service::ConfigError),
    /// The bot cannot be configured.
    #[error("the bot: {0}")]
    Bot(#[from] bot::ConfigError),
    /// The world has no place for somebody.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

/// Lets a person call a bot with a recording, in a world of its own.
///
/// # Errors
/// The stage cannot be built.
pub fn perform(
    subject: &Subject,
    network: &Network,
    stage: Stage,
    seed: Seed,
) -> Result<Performance, StageError> {
    let mut world = World::new(simulated::Config::default(), seed.derive("world"));
    let cast = set(&mut world, subject, network, stage, seed)?;
    prepare(world.trace_mut(), cast, subject, stage);
    // The clock is read for whom a case asks about.
    match stage {
        Stage::Listen => world.measure(cast.bot),
        Stage::Relay => world.measure(cast.platform),
        Stage::Recover
        | Stage::Meeting
        | Stage::Watch
        | Stage::Crowd
        | Stage::Deliver
        | Stage::Menu
        | Stage::Echo => {}
    }
    let patience = PATIENCE + subject.duration() * 2;
    let stop = world.run(Instant::ZERO + patience);
    let uplink = world.link(cast.user, cast.platform).unwrap_or_default();
    let downlink = world.link(cast.platform, cast.user).unwrap_or_default();
    let waiting = world.waiting().collect();
    let (trace, costs) = world.finish();
    Ok(Performance { trace, cast, uplink, downlink, stop, waiting, costs })
}

/// Tells the trace what to look at while it records.
pub(crate) fn prepare(trace: &mut Trace, cast: Cast, subject: &Subject, stage: Stage) {
    // A packet crosses twice, and leads to something that is said or heard.
    trace.reserve(3 * subject.schedule.departures().len());
    // Whoever only passes sound on or plays prompts is not listened to; who comes late does for
    // what is seen.
    trace.ignore_sound_of(cast.platform);
    if let (Some(guest), Stage::Meeting) = (cast.guest, stage) {
        trace.ignore_sound_of(guest);
    }
    if stage == Stage::Relay {
        // Nobody looks at what it is about the cost of.
        trace.ignore_frames_of(cast.bot);
    }
    if stage.bot_decodes() == Decode::Everything
        && let Some(reviewer) = Reviewer::of(subject)
    {
        trace.invite(Box::new(reviewer));
    }
}

fn set(
    world: &mut World,
    subject: &Subject,
    network: &Network,
    stage: Stage,
    seed: Seed,
) -> Result<Cast, StageError> {
    let venue = Venue::simulated();
    let troupe = Troupe::assemble(subject, stage, seed, &venue, ActorId(0))?;
    let platform = world.place("platform", Box::new(troupe.platform), Clock::TRUE)?;
    world.give_host(platform, API_HOST)?;
    for port in venue.ports.clone() {
        world.give_address(platform, SocketAddr::from((venue.platform, port)))?;
    }
    // Who is far away, and who is beside the platform.
    let clean = &network::CLEAN;
    let (persons, bots, guests) = match stage {
        Stage::Watch => (clean, clean, network),
        Stage::Deliver => (clean, network, clean),
        _ => (network, clean, clean),
    };
    let bot = world.place("bot", troupe.bot, Clock::drifting(bots.drift_ppm))?;
    world.give_host(bot, BOT_HOST)?;
    world.give_address(bot, venue.bot)?;
    if stage == Stage::Deliver {
        world.connect(bot, platform, bots.link)?;
        world.connect(platform, bot, bots.link)?;
    }
    let mut settle = |name: &str, user: User, address: SocketAddr, network: &Network| {
        let id = world.place(name, Box::new(user), Clock::drifting(network.drift_ppm))?;
        world.give_address(id, address)?;
        world.connect(id, platform, network.link)?;
        world.connect(platform, id, network.link)?;
        Ok::<ActorId, StageError>(id)
    };
    let user = settle("user", troupe.user, venue.person, persons)?;
    let others = stage.speakers() - 1;
    for number in 1..=others {
        let config = other(subject, stage, platform, &venue, number);
        let (address, name) = (config.offer.address, format!("user {}", number + 1));
        let other = User::new(config, epoch(), seed.derive(&name).get());
        settle(&name, other, address, persons)?;
    }
    let guest = if stage.has_guest(subject) {
        let config = guest(subject, stage, platform, &venue);
        let guest = User::new(config, epoch(), seed.derive("guest").get());
        Some(settle("guest", guest, GUEST_AT, guests)?)
    } else {
        None
    };
    Ok(Cast { platform, bot, user, guest, others })
}

/// What the wall clock says when a world begins.
#[must_use]
pub const fn epoch() -> Epoch {
    Epoch { ntp: NtpTime::from_unix(Duration::from_nanos(EPOCH_NANOS)) }
}

fn platform_config(venue: &Venue) -> service::Config {
    let app = directory::App {
        id: AppId::new(APP),
        name: "bot under test".to_owned(),
        webhook: Some(format!("https://{BOT_HOST}/api/calls")),
        secret: None,
    };
    let consent =
        directory::Consent { app: AppId::new(APP), permissions: directory::Permission::ALL.into() };
    let user = |id: &str, name: &str| directory::User {
        id: UserId::new(id),
        name: name.to_owned(),
        language: None,
        country: None,
    };
    let mut users = vec![user(PERSON, "Ann"), user(GUEST, "Bob")];
    users.extend((1..CROWD).map(|number| user(&other_id(number), &format!("Other {number}"))));
    let tenant = directory::Tenant {
        id: TenantId::new(TENANT),
        name: "callrig".to_owned(),
        users,
        consents: vec![consent],
    };
    service::Config {
        base_url: format!("https://{API_HOST}"),
        media_address: venue.platform.into(),
        media_ports: venue.ports.clone(),
        directory: Directory { apps: vec![app], tenants: vec![tenant] },
        ..service::Config::default()
    }
}

fn bot(
    subject: &Subject,
    stage: Stage,
    seed: Seed,
    venue: &Venue,
) -> Result<Box<dyn Actor>, StageError> {
    let config = bot::Config {
        app: AppId::new(APP),
        api: format!("https://{API_HOST}/v1.0"),
        callback_uri: format!("https://{BOT_HOST}/api/calls"),
        token: Some(APP.to_owned()),
        decode: stage.bot_decodes(),
        packet_events: stage == Stage::Listen,
        ..bot::Config::default()
    };
    let bot = Bot::new(config, epoch(), seed.derive("bot").get())?;
    // The same lines as the phone's, without claiming its sources.
    let lines = match stage {
        Stage::Deliver => watching(subject),
        _ => stage.offers(subject).into_iter().map(without_sources).collect(),
    };
    let media = Description::new(venue.bot, lines);
    Ok(match stage {
        Stage::Listen | Stage::Relay | Stage::Recover | Stage::Deliver => {
            Box::new(Living::new(bot, Listener { media }))
        }
        Stage::Meeting | Stage::Watch | Stage::Crowd => {
            Box::new(Living::new(bot, Convener::new(UserId::new(PERSON), media)))
        }
        Stage::Echo => Box::new(Living::new(bot, Echo::new(media))),
        Stage::Menu => Box::new(Living::new(bot, Menu::new(&format!("https://{BOT_HOST}")))),
    })
}

/// When a person comes into a meeting: it has to be made first.
const COMES: Duration = Duration::from_millis(300);
/// A person draws breath.
const BREATH: Duration = Duration::from_millis(500);

/// When the guest comes into [`Stage::Meeting`].
pub(crate) fn guest_comes(subject: &Subject) -> Instant {
    Instant::ZERO + COMES + BREATH + subject.duration() / 2
}

/// What who watches over a network offers.
pub(crate) fn watching(subject: &Subject) -> Vec<MediaDescription> {
    let lines = offer::sending_again(&subject.media).into_iter();
    lines.map(MediaDescription::with_transport_feedback).map(without_sources).collect()
}

/// A line of somebody who sends nothing that is known beforehand.
fn without_sources(line: MediaDescription) -> MediaDescription {
    MediaDescription { ssrc: None, retransmission_ssrc: None, ..line }
}

/// Who comes in the middle of the recording, or before it; and leaves once its last packet has
/// been sent.
fn guest(subject: &Subject, stage: Stage, platform: ActorId, venue: &Venue) -> user::Config {
    let (lines, comes, stays) = match stage {
        Stage::Watch => {
            // The person comes, draws breath, and speaks.
            let stays = BREATH + BREATH + subject.duration();
            (watching(subject), COMES, stays)
        }
        _ => {
            let lines = subject.media.iter().cloned().map(without_sources).collect();
            (lines, guest_comes(subject).since(Instant::ZERO), subject.duration() / 2)
        }
    };
    user::Config {
        user: UserId::new(GUEST),
        app: AppId::new(APP),
        joins: true,
        platform,
        offer: Description::new(GUEST_AT, lines),
        schedule: Schedule::default(),
        ring_after: comes,
        speak_after: Duration::ZERO,
        linger: stays + venue.linger / 2,
        decode: Decode::Audio,
        sends_again: false,
    }
}

fn person(subject: &Subject, stage: Stage, platform: ActorId, venue: &Venue) -> user::Config {
    user::Config {
        user: UserId::new(PERSON),
        app: AppId::new(APP),
        platform,
        offer: Description::new(venue.person, stage.offers(subject)),
        schedule: subject.schedule.clone(),
        joins: stage.is_meeting(),
        ring_after: stage.comes(),
        speak_after: BREATH,
        linger: venue.linger,
        decode: stage.person_decodes(),
        sends_again: stage == Stage::Recover,
    }
}

/// The name of one of the others in a crowd in the directory.
fn other_id(number: u16) -> String {
    format!("44444444-4444-4444-8444-{number:012}")
}

/// One of the others in a crowd: as the person, but later, so that most of them speak at once in
/// the middle.
fn other(
    subject: &Subject,
    stage: Stage,
    platform: ActorId,
    venue: &Venue,
    number: u16,
) -> user::Config {
    let mut person = person(subject, stage, platform, venue);
    person.user = UserId::new(&other_id(number));
    person.offer.address = SocketAddr::from(([10, 0, 1, number as u8], 4_000));
    person.speak_after += subject.duration() * u32::from(number) / u32::from(CROWD + 1);
    person.decode = Decode::Nothing;
    person
}
