//! `callrig load`: open-loop load, and objectives that are met, broken or not measurable.

use core::time::Duration;
use std::fs;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use anyhow::{Context as _, anyhow};
use callrig_reports::gate::Outcome;
use callrig_reports::load::objective::Objective;
use callrig_reports::load::outcome::{self, About, Load};
use callrig_reports::load::samples::Samples;
use callrig_reports::render;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Failure, say};
use crate::cli::{self, ExitCode};
use crate::load::histogram_log;
use crate::load::knee::{Found, Knee};
use crate::load::live::{self, Limits, Watch};
use crate::load::schedule::Schedule;
use crate::load::target::{Manner, Plain, Platform, Started, Target, start_platform};
use crate::{environment, output};

/// A file of arrivals or of a twin larger than this is refused.
const FILE_BYTES_MAX: u64 = 1 << 28;

/// Loads, judges, tells.
pub(super) fn load(arguments: &cli::Load) -> Result<ExitCode, Failure> {
    let steps: &[&str] = if arguments.http.is_some() { &[] } else { Platform::STEPS };
    let parse = |text: &String| {
        Objective::parse(text, steps).map_err(|error| Failure::usage(anyhow!("--slo {error}")))
    };
    let objectives: Vec<Objective> =
        arguments.objective.iter().map(parse).collect::<Result<_, _>>()?;
    let twin = twin(arguments)?;
    let schedule = schedule(arguments, None)?;
    if let Some(folder) = &arguments.out {
        output::make(folder)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that call")?;
    runtime.block_on(async {
        let (target, words, started) = target(arguments).await?;
        let session = Session { arguments, objectives, twin, target: Arc::new(target), words };
        let ended = if arguments.find_capacity {
            session.capacity().await
        } else {
            session.once(schedule).await
        };
        drop(started);
        ended
    })
}

fn read(path: &std::path::Path) -> anyhow::Result<String> {
    let meta = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(
        meta.is_file() && meta.len() <= FILE_BYTES_MAX,
        "{} is no file of at most {FILE_BYTES_MAX} bytes",
        path.display()
    );
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn twin(arguments: &cli::Load) -> Result<Option<Load>, Failure> {
    let Some(path) = &arguments.twin else { return Ok(None) };
    let text = read(path).map_err(Failure::usage)?;
    let load: Load = serde_json::from_str(&text)
        .with_context(|| format!("{} is no load.json of this callrig", path.display()))
        .map_err(Failure::usage)?;
    if load.schema_version != outcome::SCHEMA_VERSION {
        let (path, version) = (path.display(), load.schema_version);
        return Err(Failure::usage(anyhow!(
            "{path} has schema version {version}, this reader knows {}",
            outcome::SCHEMA_VERSION
        )));
    }
    Ok(Some(load))
}

fn schedule(arguments: &cli::Load, rate: Option<f64>) -> Result<Schedule, Failure> {
    let poisson = arguments.poisson.then_some(arguments.seed);
    let schedule = match (&arguments.replay, rate) {
        (Some(path), _) => {
            let text = read(path).map_err(Failure::usage)?;
            return Schedule::recorded(&text)
                .map_err(|error| Failure::usage(anyhow!("{}: {error}", path.display())));
        }
        (None, Some(rate)) => Schedule::parse(&rate.to_string(), arguments.duration, poisson),
        (None, None) => Schedule::parse(&arguments.rate, arguments.duration, poisson),
    };
    schedule.map_err(Failure::usage)
}

/// What is called, in words too, and the platform that was started for it.
async fn target(arguments: &cli::Load) -> Result<(Target, String, Option<Started>), Failure> {
    if let Some(url) = &arguments.http {
        let plain = Plain::new(url).map_err(|why| Failure::usage(anyhow!("--http {why}")))?;
        return Ok((Target::Plain(plain), format!("GET {url}"), None));
    }
    let usual = Manner::default();
    let manner = Manner {
        media: arguments.media,
        play: arguments.play.clone(),
        hold: arguments.hold,
        token: arguments.token.clone().unwrap_or(usual.token),
    };
    let platform = Platform::listen(arguments.bot_listen, manner).await?;
    let (base, started) = match &arguments.url {
        Some(url) => (url.clone(), None),
        None => {
            let bot = platform.bot;
            let started = tokio::task::spawn_blocking(move || start_platform(bot)).await??;
            (started.base.clone(), Some(started))
        }
    };
    let words = match started {
        Some(_) => "calls of a `callrig serve` of its own".to_owned(),
        None => format!("calls of {base}"),
    };
    Ok((Target::Platform(platform.at(&base)), words, started))
}

struct Session<'a> {
    arguments: &'a cli::Load,
    objectives: Vec<Objective>,
    twin: Option<Load>,
    target: Arc<Target>,
    words: String,
}

impl Session<'_> {
    async fn once(&self, schedule: Schedule) -> Result<ExitCode, Failure> {
        let began = SystemTime::now();
        let (load, samples) = self.measured(schedule, None).await;
        self.tell(&load, &samples, began)?;
        Ok(match load.outcome {
            Outcome::Clear => ExitCode::Ok,
            Outcome::Regressed => ExitCode::Regressed,
            Outcome::Inconclusive => ExitCode::Inconclusive,
        })
    }

    /// One load, judged.
    async fn measured(&self, schedule: Schedule, rate: Option<f64>) -> (Load, Samples) {
        let started_at = environment::now();
        let arrivals = self.arrivals(rate);
        let (began, before) = (Instant::now(), environment::cpu_time());
        let watch = Arc::new(Watch::default());
        let show = tokio::spawn(show(Arc::clone(&watch), schedule.length()));
        let stop = {
            let watch = Arc::clone(&watch);
            tokio::spawn(async move {
                // Ctrl-C begins no more calls, and judges those that were.
                if tokio::signal::ctrl_c().await.is_ok() {
                    watch.stop.store(true, Ordering::Relaxed);
                }
            })
        };
        let limits = Limits { call: self.arguments.timeout, ..Limits::default() };
        let target = Arc::clone(&self.target);
        let samples = live::run(schedule, target, limits, Arc::clone(&watch)).await;
        show.abort();
        let mut notes = Vec::new();
        if watch.stop.load(Ordering::Relaxed) {
            notes.push("stopped before its end".to_owned());
        }
        stop.abort();
        if samples.never_begun > 0 {
            notes.push(format!(
                "{} calls never began: {} were under way at once",
                samples.never_begun, limits.in_flight
            ));
        }
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get) as f64;
        let own_cpu = before.zip(environment::cpu_time()).map(|(before, after)| {
            (after - before).as_secs_f64() / began.elapsed().as_secs_f64() / cores
        });
        let about = About {
            started_at,
            environment: environment::current(),
            target: self.words.clone(),
            arrivals,
            seed: self.arguments.seed,
            own_cpu,
            notes,
        };
        let load = outcome::conclude(about, &samples, &self.objectives, self.twin.as_ref());
        (load, samples)
    }

    fn arrivals(&self, rate: Option<f64>) -> String {
        let arguments = self.arguments;
        let how = if arguments.poisson { "random (Poisson)" } else { "even" };
        let duration = humantime::format_duration(arguments.duration);
        match (&arguments.replay, rate) {
            (Some(path), _) => format!("as recorded in {}", path.display()),
            (None, Some(rate)) => format!("{rate:.1}/s for {duration}, {how}"),
            (None, None) => format!("{}/s, {how}, for {duration} unless stated", arguments.rate),
        }
    }

    /// The highest rate within the objectives.
    async fn capacity(&self) -> Result<ExitCode, Failure> {
        let first: f64 = self.arguments.rate.parse().map_err(|_| {
            let rate = &self.arguments.rate;
            Failure::usage(anyhow!("--find-capacity begins at one --rate, not at {rate:?}"))
        })?;
        if !(first > 0.0 && first <= self.arguments.rate_max) {
            let most = self.arguments.rate_max;
            return Err(Failure::usage(anyhow!("--rate {first} does not lie from 0 to {most}")));
        }
        let mut knee = Knee::new(first, self.arguments.rate_max);
        let mut best = None;
        while let Found::Try(rate) = knee.poll() {
            let began = SystemTime::now();
            let schedule = schedule(self.arguments, Some(rate))?;
            let (load, samples) = self.measured(schedule, Some(rate)).await;
            eprintln!("callrig: {rate:.1}/s: {}", render::load::headline(&load));
            knee.tried(load.outcome);
            if load.outcome == Outcome::Clear || best.is_none() {
                best = Some((load, samples, began));
            }
        }
        if let Some((load, samples, began)) = &best {
            self.tell(load, samples, *began)?;
        }
        let (words, code) = match knee.poll() {
            Found::Between { good, bad } => (
                format!("capacity: {good:.1}/s (at {bad:.1}/s an objective is broken)"),
                ExitCode::Ok,
            ),
            Found::AtLeast(rate) => (format!("capacity: at least {rate:.1}/s"), ExitCode::Ok),
            Found::NotAt(rate) => {
                (format!("capacity: less than {rate:.1}/s, the first rate"), ExitCode::Regressed)
            }
            Found::NotMeasurable { at, good } => {
                let good = good.map_or_else(String::new, |good| format!("at least {good:.1}/s; "));
                (format!("capacity: {good}not measurable at {at:.1}/s"), ExitCode::Inconclusive)
            }
            Found::Try(_) => unreachable!("the search has ended"),
        };
        say(&format!("{words}\n"))?;
        Ok(code)
    }

    fn tell(&self, load: &Load, samples: &Samples, began: SystemTime) -> Result<(), Failure> {
        if let Some(folder) = &self.arguments.out {
            let file = |name: &str, text: String| (name.to_owned(), text.into_bytes());
            let log = histogram_log::write(samples, began).map_err(|why| anyhow!(why))?;
            let files = [
                file("load.json", render::load::json(load)),
                file("load.html", render::load::html(load)),
                file("load.md", render::load::markdown(load)),
                file("load-junit.xml", render::load::junit(load)),
                ("load.hlog".to_owned(), log),
            ];
            output::write(folder, &files)?;
        }
        say(&render::load::text(load))
    }
}

/// A line that lives, on a terminal.
async fn show(watch: Arc<Watch>, length: Duration) {
    let bar =
        ProgressBar::with_draw_target(Some(length.as_secs().max(1)), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:20} {elapsed}  {wide_msg}") {
        bar.set_style(style);
    }
    let (mut begun, mut ended, mut nanos) = (0, 0, 0);
    let began = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    loop {
        ticks.tick().await;
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let now = (load(&watch.begun), load(&watch.ended), load(&watch.nanos));
        let mean = (now.2 - nanos) as f64 / ((now.1 - ended).max(1)) as f64 / 1e6;
        bar.set_position(began.elapsed().as_secs().min(length.as_secs()));
        bar.set_message(format!(
            "{}/s begun, {}/s ended, {} under way, mean {mean:.1} ms, {} failed, late at most {:.1} ms",
            2 * (now.0 - begun),
            2 * (now.1 - ended),
            load(&watch.in_flight),
            load(&watch.failed),
            load(&watch.late_max) as f64 / 1e6,
        ));
        (begun, ended, nanos) = now;
    }
}
