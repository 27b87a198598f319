//! `callrig load`: open-loop load, and objectives that are met, broken or not measurable.

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use callrig_media::prompt::Wav;
use callrig_reports::gate::Outcome;
use callrig_reports::load::objective::Objective;
use callrig_reports::load::outcome::{self, About, Load};
use callrig_reports::load::samples::Samples;
use callrig_reports::load::step;
use callrig_reports::render;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::validate::SECRET;
use super::{Failure, fleet, say};
use crate::cli::{self, ExitCode};
use crate::fleet::FleetError;
use crate::fleet::lanes::Lead;
use crate::load::histogram_log;
use crate::load::knee::{Found, Knee};
use crate::load::live::{self, Limits, Measured, Watch};
use crate::load::pace::Part;
use crate::load::schedule::Schedule;
use crate::load::target::{Aim, Manner, Plain, Platform, Target, Theirs};
use crate::validate::bot::simulate;
use crate::{environment, output};

/// A file of arrivals or of a twin larger than this is refused.
const FILE_BYTES_MAX: u64 = 1 << 28;

/// Loads, judges, tells.
pub(super) fn load(arguments: &cli::Load) -> Result<ExitCode, Failure> {
    let objectives = objectives(arguments)?;
    let twin = twin(arguments)?;
    let schedule = schedule(arguments, None)?;
    let aim = aim(arguments)?;
    if let Some(url) = &aim.http {
        Plain::new(url).map_err(|why| Failure::usage(anyhow!("--http {why}")))?;
    }
    if arguments.fleet.fleet.is_some() && aim.http.is_none() && aim.url.is_none() {
        return Err(Failure::usage(anyhow!(
            "--fleet calls a service that every worker can reach: name it with --url or --http"
        )));
    }
    if let Some(folder) = &arguments.out {
        output::make(folder)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that call")?;
    runtime.block_on(async {
        let words = aim.words();
        if let Some(url) = &arguments.fleet.fleet {
            return fleet::load::led(arguments, url, &aim, async |lead: &mut Lead| {
                let maker = Maker::Fleet(lead);
                Session { arguments, objectives, twin, maker, words }.run(schedule).await
            })
            .await;
        }
        let (target, _started) = aim.take(arguments.bot_listen, false).await?;
        let maker = Maker::Own(Arc::new(target));
        Session { arguments, objectives, twin, maker, words }.run(schedule).await
    })
}

fn objectives(arguments: &cli::Load) -> Result<Vec<Objective>, Failure> {
    let steps = if arguments.http.is_some() { Vec::new() } else { Platform::steps() };
    let refuse = |why: String| Failure::usage(anyhow!("--slo {why}"));
    let parse = |text: &String| {
        let objective =
            Objective::parse(text, &steps).map_err(|error| refuse(error.to_string()))?;
        let step = objective.stage.as_deref().and_then(step::find);
        match step {
            Some(step) if step.is_figure && !arguments.media => {
                Err(refuse(format!("{text:?}: {} is of media: add --media", step.name)))
            }
            _ => Ok(objective),
        }
    };
    arguments.objective.iter().map(parse).collect()
}

/// A file of a size that is read.
fn found(path: &Path) -> anyhow::Result<&Path> {
    let meta = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(
        meta.is_file() && meta.len() <= FILE_BYTES_MAX,
        "{} is no file of at most {FILE_BYTES_MAX} bytes",
        path.display()
    );
    Ok(path)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(found(path)?).with_context(|| format!("cannot read {}", path.display()))
}

/// What our bot says.
fn prompt(path: &Path) -> anyhow::Result<Bytes> {
    let bytes = fs::read(found(path)?);
    let bytes = Bytes::from(bytes.with_context(|| format!("cannot read {}", path.display()))?);
    // As the platform will: it would refuse in each call what is refused here once.
    Wav::parse(&bytes).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    Ok(bytes)
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

/// What is called, and how.
fn aim(arguments: &cli::Load) -> Result<Aim, Failure> {
    let usual = Manner::default();
    let say = arguments.say.as_deref().map(prompt).transpose().map_err(Failure::usage)?;
    if let Some(url) = &arguments.bot {
        Plain::new(url).map_err(|why| Failure::usage(anyhow!("--bot {why}")))?;
    }
    if arguments.app_id.is_some() && arguments.bot.is_none() && arguments.url.is_none() {
        let why = "--app-id: whose app is it? Name its bot with --bot, or its service with --url";
        return Err(Failure::usage(anyhow!(why)));
    }
    let theirs = arguments.bot.as_ref().map(|webhook| Theirs {
        webhook: webhook.clone(),
        app: arguments.app_id.clone().unwrap_or_else(|| simulate::APP.to_owned()),
        secret: arguments.secret.clone().unwrap_or_else(|| SECRET.to_owned()),
        listen: arguments.listen,
    });
    Ok(Aim {
        theirs,
        http: arguments.http.clone(),
        url: arguments.url.clone(),
        rig_token: arguments.rig_token.clone(),
        app: arguments.app_id.clone().filter(|_| arguments.bot.is_none()),
        manner: Manner {
            media: arguments.media,
            play: arguments.play.clone(),
            say,
            hold: arguments.hold,
            token: arguments.token.clone().unwrap_or(usual.token),
        },
        timeout: arguments.timeout,
    })
}

/// Who makes the load.
enum Maker<'a> {
    /// This process.
    Own(Arc<Target>),
    /// Every worker.
    Fleet(&'a mut Lead),
}

struct Session<'a> {
    arguments: &'a cli::Load,
    objectives: Vec<Objective>,
    twin: Option<Load>,
    maker: Maker<'a>,
    words: String,
}

impl Session<'_> {
    async fn run(mut self, schedule: Schedule) -> Result<ExitCode, Failure> {
        if self.arguments.find_capacity { self.capacity().await } else { self.once(schedule).await }
    }

    async fn once(&mut self, schedule: Schedule) -> Result<ExitCode, Failure> {
        let began = SystemTime::now();
        let (load, samples) = self.measured(schedule, None).await?;
        self.tell(&load, &samples, began)?;
        Ok(match load.outcome {
            Outcome::Clear => ExitCode::Ok,
            Outcome::Regressed => ExitCode::Regressed,
            Outcome::Inconclusive => ExitCode::Inconclusive,
        })
    }

    /// One load, judged.
    async fn measured(
        &mut self,
        schedule: Schedule,
        rate: Option<f64>,
    ) -> Result<(Load, Samples), Failure> {
        let started_at = environment::now();
        let arrivals = self.arrivals(rate);
        let (Measured { samples, own_cpu }, mut notes) = match &mut self.maker {
            Maker::Own(target) => own(Arc::clone(target), schedule, self.arguments.timeout).await,
            Maker::Fleet(lead) => shared(lead, &schedule).await?,
        };
        if samples.never_begun > 0 {
            notes.push(format!(
                "{} calls never began: {} were under way at once",
                samples.never_begun,
                live::IN_FLIGHT_MAX
            ));
        }
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
        Ok((load, samples))
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

    /// The rate at which half of the loads meet the objectives.
    async fn capacity(&mut self) -> Result<ExitCode, Failure> {
        let first: f64 = self.arguments.rate.parse().map_err(|_| {
            let rate = &self.arguments.rate;
            Failure::usage(anyhow!("--find-capacity begins at one --rate, not at {rate:?}"))
        })?;
        let most = self.arguments.rate_max;
        if !most.is_finite() {
            return Err(Failure::usage(anyhow!(
                "--rate-max {most} is no rate: give calls a second"
            )));
        }
        if !(first > 0.0 && first <= most) {
            return Err(Failure::usage(anyhow!("--rate {first} does not lie from 0 to {most}")));
        }
        let mut knee = Knee::new(first, most);
        let mut best = None;
        while let Found::Try(rate) = knee.poll() {
            let began = SystemTime::now();
            let schedule = schedule(self.arguments, Some(rate))?;
            let (load, samples) = self.measured(schedule, Some(rate)).await?;
            knee.tried(load.outcome);
            let (made, about) = knee.progress();
            let headline = render::load::headline(&load);
            eprintln!("callrig: load {made} of about {about}, {rate:.1}/s: {headline}");
            if load.outcome == Outcome::Clear || best.is_none() {
                best = Some((load, samples, began));
            }
        }
        if let Some((load, samples, began)) = &best {
            self.tell(load, samples, *began)?;
        }
        let (words, code) = match knee.poll() {
            Found::At { rate, within: (low, high), loads, met } => (
                format!(
                    "capacity: {rate:.1}/s (from {low:.1} to {high:.1}/s at 95 %, by {loads} loads \
                     of which {met} met the objectives)"
                ),
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

/// A load of this process, with what is to be said of it.
async fn own(
    target: Arc<Target>,
    schedule: Schedule,
    timeout: Duration,
) -> (Measured, Vec<String>) {
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
    let limits = Limits { call: timeout, ..Limits::default() };
    let began = Instant::now();
    let made = live::run((schedule, Part::WHOLE, began), target, limits, Arc::clone(&watch)).await;
    show.abort();
    stop.abort();
    let stopped = watch.stop.load(Ordering::Relaxed);
    (made, stopped.then(|| "stopped before its end".to_owned()).into_iter().collect())
}

/// A load of every worker, with what is to be said of it.
async fn shared(
    lead: &mut Lead,
    schedule: &Schedule,
) -> Result<(Measured, Vec<String>), FleetError> {
    let merged = lead.load(schedule).await?;
    let calls = merged.workers.iter().map(|(name, calls)| format!("{name} {calls}"));
    let mut notes = vec![format!("calls by worker: {}", calls.collect::<Vec<_>>().join(", "))];
    notes.extend(merged.void.iter().map(|why| format!("begun again: {why}")));
    Ok((Measured { samples: merged.samples, own_cpu: merged.own_cpu }, notes))
}

/// A line that lives, on a terminal.
pub(super) async fn show(watch: Arc<Watch>, length: Duration) {
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
