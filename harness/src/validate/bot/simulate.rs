//! A script in virtual time: the rig and a bot of ours in a simulated world. Nothing waits,
//! and the same seed gives the same transcript, byte for byte.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::sync::{LazyLock, PoisonError};

use callrig_media::time::Instant;
use callrig_signaling::auth::SigningKey;
use callrig_signaling::service::UriPolicy;
use rand_pcg::rand_core::Rng as _;

use super::rig::{Rig, Setup};
use super::script::Script;
use super::transcript::Transcript;
use crate::actor::Actor;
use crate::app::Settings;
use crate::app::hosted::{Hosted, Program};
use crate::app::media;
use crate::clock::Clock;
use crate::seed::Seed;
use crate::stage::epoch;
use crate::world::simulated::{Config, Stop, World};

/// The host of the platform.
const PLATFORM: &str = "graph.test";
/// The host of the bot.
const BOT: &str = "bot.test";
/// Where the platform receives media.
const MEDIA: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 1, 1));
const PORTS: core::ops::RangeInclusive<u16> = 20_000..=20_063;
/// The bot's app.
pub const APP: &str = "11111111-1111-4111-8111-111111111111";
const SECRET: &str = "secret";
/// How often the world looks whether the script is over.
const STEP: Duration = Duration::from_secs(2);
/// A script that takes longer than its patience by this much is stopped.
const BEYOND: Duration = Duration::from_secs(120);

/// Keys of every simulated platform: made once, always the same.
static KEYS: LazyLock<[SigningKey; 3]> = LazyLock::new(|| {
    ["platform", "stranger", "later"].map(|name| {
        let mut generator = Seed::new(1).derive(name).generator();
        SigningKey::generate(|bytes| generator.fill_bytes(bytes)).expect("there are primes")
    })
});

/// Who the bot is and where everything is, in a simulated world.
#[must_use]
pub fn setup(seed: Seed) -> Setup {
    let [key, stranger, later] = KEYS.clone();
    Setup {
        base: format!("https://{PLATFORM}"),
        bot: format!("https://{BOT}/api/calls"),
        app: APP.to_owned(),
        secret: SECRET.to_owned(),
        shard: 0,
        key,
        others: [stranger, later],
        media: MEDIA,
        ports: PORTS,
        webrtc: None,
        epoch: epoch(),
        seed: seed.derive("rig").get(),
        uris: UriPolicy::HttpsOnly,
    }
}

/// A bot of ours, in a simulated world.
///
/// # Panics
/// The settings of every simulated bot are sound.
#[must_use]
pub fn bot(program: Program, seed: Seed) -> Box<dyn Actor> {
    let settings = Settings { tenant: super::rig::TENANT.to_owned(), ..Settings::new(APP, SECRET) };
    let settings = settings.at(&format!("https://{PLATFORM}"));
    let seed = seed.derive("bot").get();
    let hosted = Hosted::new(&settings, &format!("https://{BOT}"), epoch(), seed, program);
    Box::new(hosted.expect("the settings of every simulated bot are sound"))
}

/// Plays a script to a bot.
#[must_use]
pub fn play(script: &Script, bot: Box<dyn Actor>, seed: Seed) -> Transcript {
    let fault = |fault: String| Transcript { fault: Some(fault), ..Transcript::default() };
    let rig = match Rig::new(setup(seed), script.clone()) {
        Ok(rig) => rig,
        Err(error) => return fault(error.to_string()),
    };
    let written = rig.transcript();
    let config = Config { keep_crossings: false, ..Config::default() };
    let mut world = World::new(config, seed.derive("world"));
    let placed = world.place("platform", Box::new(rig), Clock::TRUE).and_then(|platform| {
        world.give_host(platform, PLATFORM)?;
        for port in PORTS {
            world.give_address(platform, SocketAddr::from((MEDIA, port)))?;
        }
        let bot = world.place("bot", bot, Clock::TRUE)?;
        for port in (0..media::SIMULATED_PORTS).map(|index| media::SIMULATED_PORT + index) {
            world.give_address(bot, SocketAddr::from((media::SIMULATED, port)))?;
        }
        world.give_host(bot, BOT)
    });
    if let Err(error) = placed {
        return fault(error.to_string());
    }
    let limit = script.patience + script.aftermath + BEYOND;
    let mut until = Instant::ZERO;
    let stop = loop {
        until += STEP;
        let stop = world.run(until);
        let finished = written.lock().unwrap_or_else(PoisonError::into_inner).finished;
        if finished || stop != Stop::Limit || until.elapsed() > limit {
            break stop;
        }
    };
    let mut transcript = written.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Stop::Stuck(who) = stop {
        let who = world.trace().actor(who);
        transcript.fault.get_or_insert(format!("{who} does not let time pass"));
    }
    transcript
}
