//! The command line: what can be asked for, with examples and exit codes in `--help`.

use core::net::SocketAddr;
use std::path::PathBuf;

use callrig_reports::Level;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::catalogue::Side;

mod validate;

pub use validate::{Bot, KillMatrix, Strictness, Validate, ValidateService};

/// What the process returns; stable, and the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// All went as it should.
    Ok = 0,
    /// callrig could not do what it was asked: a file cannot be read or written, or
    /// something could not be judged.
    Error = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// A case failed.
    Failed = 3,
    /// Nothing was selected, so nothing ran.
    NothingRan = 4,
    /// A gate found something worse than before, or a load broke its objectives.
    Regressed = 5,
    /// Nothing was found, but something took away the power to find it: never green.
    Inconclusive = 6,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  all went as it should
  1  callrig could not do its work: a file cannot be read or written, something could
     not be judged
  2  the command line cannot be understood
  3  a case failed
  4  nothing was selected, so nothing ran
  5  a gate found something worse than before, or a load broke its objectives
  6  inconclusive: nothing was found, but something took away the power to find it";

const RUN_EXAMPLES: &str = "\
Examples:
  callrig run
      Every recording of the corpora, each under the networks that suit it, every case.
      The report is target/callrig/report.html.
  callrig run call.pcapng
      Somebody's capture: its RTP flows are found, shown, and called with.
  callrig run call.pcap --payload 96=h264/90000 --flow ssrc=0x1a2b3c4d
      The same, where you know better than the guess, and want one flow only.
  callrig run video.264 --network loss-5 burst --case 'media/video/**'
      An H.264 stream under two networks, judged by the cases about video.
  callrig run recordings/ --network all --seed 7 --jobs 2 --out /tmp/report
      A folder, under every network, reproducible by its seed.
  callrig run --fleet nats://queue:4222
      Shared with every `callrig worker --fleet nats://queue:4222`; the same report.

Exit codes:
  0  every case passed, or warned only
  1  callrig could not do its work: a file cannot be read or written, something could
     not be judged
  2  the command line cannot be understood
  3  a case failed
  4  nothing was selected, so nothing ran";

const SERVE_EXAMPLES: &str = "\
Examples:
  callrig serve
      The demonstration: one tenant, one app, two people; it prints what to do next.
  callrig serve --bot http://localhost:3978/api/calls
      The same, with your bot's webhook.
  callrig serve --print-config > rig.toml && callrig serve rig.toml
      Settings of your own: tenants, people, apps, permissions, limits, certificates.
  callrig serve rig.toml --listen-tls 0.0.0.0:443 --write-ca ca.pem
      For a bot that insists on graph.microsoft.com: point its DNS here, and have it
      trust ca.pem.
  callrig serve --listen 127.0.0.1:0 --log warn --log-format json
      For tests: a free port (read the first line), quiet, logs for machines.

Ring the bot, from another terminal:
  curl -X POST http://127.0.0.1:9440/rig/calls

Ctrl-C ends every call, delivers what is to be told of it, and stops; a second one stops
at once.

Exit codes:
  0  stopped when it was told to
  1  it could not be started: an address is taken, a certificate cannot be read
  2  the command line or the settings cannot be understood";

/// Media benchmark and conformance harness for Microsoft Graph calling bots.
#[derive(Debug, Parser)]
#[command(name = "callrig", version, about, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Call a bot with recordings, judge and measure what arrives, and report.
    Run(Box<Run>),
    /// Judge again what happened in runs that were traced.
    Judge(Judge),
    /// Show the cases, their requirements, and the network presets.
    List(List),
    /// Look after the recordings: list, verify, import, make.
    Corpus(Corpus),
    /// Render a report again from its JSON.
    Report(Report),
    /// Be the calling platform, over HTTP and UDP, for a bot at your desk.
    Serve(Box<Serve>),
    /// Compare with a baseline, and say whether something got worse.
    Gate(Box<Gate>),
    /// Call a service or a URL at a stated rate, and judge latencies from the intended time.
    Load(Box<Load>),
    /// Take shares of runs that a fleet does (or, without options, do what a gate says).
    Worker(Worker),
    /// Judge a bot, or a service that implements the API: a verdict for every rule.
    Validate(Box<Validate>),
    /// Be one of the sample bots.
    Bot(Bot),
    /// Judge bots with a fault each: what the cases find, and what they miss.
    #[command(hide = true)]
    KillMatrix(KillMatrix),
}

/// `callrig run`
#[derive(Debug, Default, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct Run {
    /// Captures (pcap, pcapng, rtpdump), H.264 (Annex B), WAV, Ogg Opus, or folders of them;
    /// without any, the recordings of the corpora.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Where the report goes.
    #[arg(long, value_name = "DIR", default_value = "target/callrig")]
    pub out: PathBuf,
    /// All random choices follow from it: the same seed gives the same results.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How many runs at once; as many as there are cores unless stated.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Network presets by name, or `all`; each recording has a sensible set of its own.
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    pub network: Vec<String>,
    /// Only cases whose id matches: `*` stays within a part of the path, `**` does not.
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    pub case: Vec<String>,
    /// Only recordings of the corpora whose id matches.
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    pub recording: Vec<String>,
    /// Which reports to write; several with commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Format::ALL)]
    pub format: Vec<Format>,
    /// What a payload type of a capture stands for (`111=opus/48000`, `96=h264`), or a port
    /// that carries RTP (`5004`), where the guess is wrong; several with commas.
    #[arg(long, value_name = "PT=CODEC[/CLOCK]")]
    pub payload: Vec<String>,
    /// Only flows of a capture with this SSRC (`ssrc=0x1a2b`), and what they carry:
    /// `ssrc=..,pt=..,codec=..,clock=..`; `pt`, `codec` and `clock` are optional.
    #[arg(long, value_name = "ssrc=..[,pt=..,codec=..,clock=..]")]
    pub flow: Vec<String>,
    /// Also write what happened in each run: trace.jsonl, which `callrig judge` reads, and
    /// trace.pcap for Wireshark.
    #[arg(long, conflicts_with = "fleet")]
    pub trace: bool,
    /// Who does it.
    #[command(flatten)]
    pub fleet: Fleet,
    /// Where the corpora are.
    #[command(flatten)]
    pub corpora: CorporaDir,
}

/// Several machines for one run.
#[derive(Clone, Debug, Default, Args)]
pub struct Fleet {
    /// Share the work with every `callrig worker` of this fleet: a NATS server with JetStream
    /// (`nats-server -js`).
    #[arg(long, value_name = "nats://HOST:PORT")]
    pub fleet: Option<String>,
    /// A worker that is not heard of for so long is lost, and its share done again.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = patience, requires = "fleet")]
    pub fleet_patience: core::time::Duration,
}

/// From a second to an hour.
fn patience(text: &str) -> Result<core::time::Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match time.as_secs() {
        1..=3_600 => Ok(time),
        _ => Err("a fleet's patience is from 1s to 1h".to_owned()),
    }
}

const JUDGE_EXAMPLES: &str = "\
Examples:
  callrig run --trace --recording audio/double-talk --network wifi
      Writes target/callrig/traces/*/trace.jsonl, one for each call.
  callrig judge target/callrig/traces
      The same verdicts and exact metrics, from these files and the recordings that they
      name; another callrig, with other judges, may differ.
  callrig judge traces/*double-talk*/trace.jsonl --case 'media/audio/**' --out again

What the steps cost in real time is not in a trace, so the cost cases are left out.

Exit codes: as those of `callrig run`.";

/// `callrig judge`
#[derive(Debug, Args)]
#[command(after_help = JUDGE_EXAMPLES)]
pub struct Judge {
    /// Files that `callrig run --trace` wrote (trace.jsonl), or folders of them.
    #[arg(value_name = "TRACE", required = true)]
    pub traces: Vec<PathBuf>,
    /// Only cases whose id matches: `*` stays within a part of the path, `**` does not.
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    pub case: Vec<String>,
    /// Where the report goes; without it the verdicts are only shown.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Which reports to write; several with commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Format::ALL)]
    pub format: Vec<Format>,
    /// Where the corpora are.
    #[command(flatten)]
    pub corpora: CorporaDir,
}

/// Where the corpora are.
#[derive(Clone, Debug, Default, Args)]
pub struct CorporaDir {
    /// The folder with manifest.toml; found as `corpora` in this folder or one above unless
    /// stated.
    #[arg(long = "corpora", value_name = "DIR", env = "CALLRIG_CORPORA", global = true)]
    pub dir: Option<PathBuf>,
}

/// A kind of report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// report.json
    Json,
    /// report.html
    Html,
    /// junit.xml
    Junit,
    /// summary.md
    Markdown,
    /// findings.sarif, for code scanning
    Sarif,
    /// annotations.txt: workflow commands of GitHub
    Github,
    /// badge.json, for shields.io
    Badge,
}

impl Format {
    /// Those that are written unless others are asked for.
    pub const ALL: [Self; 4] = [Self::Json, Self::Html, Self::Junit, Self::Markdown];

    /// The name of its file.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Json => "report.json",
            Self::Html => "report.html",
            Self::Junit => "junit.xml",
            Self::Markdown => "summary.md",
            Self::Sarif => "findings.sarif",
            Self::Github => "annotations.txt",
            Self::Badge => "badge.json",
        }
    }
}

const LIST_EXAMPLES: &str = "\
Examples:
  callrig list
      The cases of `callrig run`, and the networks.
  callrig list --requirements
      Everything that is asked of a service, a bot or media; the last line counts.
  callrig list --requirements 'service/answer/**' --level must
      Some of it: `*` stays within a part of the path, `**` does not.
  callrig list --requirements --unchecked
      What no case checks.
  callrig list --explain service/answer/accepted
      One rule: where it is written, who checks it, what usually goes wrong.

Exit codes:
  0  shown
  1  callrig could not do its work
  2  the command line cannot be understood, or there is no such requirement
  4  no requirement was selected";

/// `callrig list`
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub struct List {
    /// Show the catalogue: every rule whose id matches one of the globs; all without any.
    #[arg(long, value_name = "GLOB", num_args = 0..)]
    pub requirements: Option<Vec<String>>,
    /// Explain one rule of the catalogue.
    #[arg(long, value_name = "ID", conflicts_with = "requirements")]
    pub explain: Option<String>,
    /// Only rules of this level.
    #[arg(long, value_enum, requires = "requirements")]
    pub level: Option<RuleLevel>,
    /// Only rules that bind this side.
    #[arg(long, value_enum, value_name = "SIDE", requires = "requirements")]
    pub binds: Option<RuleSide>,
    /// Only rules that a case checks.
    #[arg(long, requires = "requirements")]
    pub checked: bool,
    /// Only rules that no case checks.
    #[arg(long, requires = "requirements", conflicts_with = "checked")]
    pub unchecked: bool,
    /// Show how calls and operations end, and what requests are answered: every code and
    /// subcode in words, as Markdown.
    #[arg(long, conflicts_with_all = ["requirements", "explain"])]
    pub result_codes: bool,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// How strongly a rule binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuleLevel {
    /// Absolutely.
    Must,
    /// Unless there is a good reason.
    Should,
    /// As anybody likes.
    May,
}

impl RuleLevel {
    /// As the catalogue has it.
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::Must => Level::Must,
            Self::Should => Level::Should,
            Self::May => Level::May,
        }
    }
}

/// Whom a rule binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuleSide {
    /// A service that implements the API.
    Service,
    /// A bot.
    Bot,
    /// Whoever of them does it.
    Both,
    /// Whoever sends or receives media.
    Media,
}

impl RuleSide {
    /// As the catalogue has it.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Self::Service => Side::Service,
            Self::Bot => Side::Bot,
            Self::Both => Side::Both,
            Self::Media => Side::Media,
        }
    }
}

/// `callrig corpus`
#[derive(Debug, Args)]
pub struct Corpus {
    /// What to do with the recordings.
    #[command(subcommand)]
    pub action: CorpusAction,
    /// Where the corpora are.
    #[command(flatten)]
    pub corpora: CorporaDir,
}

/// What can be done with recordings.
#[derive(Debug, Subcommand)]
pub enum CorpusAction {
    /// Show them.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check every file against its digest and its truth.
    Verify,
    /// Take a file in: a copy below recordings/, and its entry in the manifest.
    Import(Import),
    /// Record a leg of a live call of `callrig serve`, decrypted, and take it in.
    Record(Record),
    /// Make recordings again by their recipes (with real encoders and senders).
    Make {
        /// Only these; an id may end in `*`. All of them without any.
        #[arg(value_name = "ID")]
        recording: Vec<String>,
    },
}

/// `callrig corpus import`
#[derive(Debug, Args)]
pub struct Import {
    /// A capture, Annex B, WAV or Ogg file.
    pub file: PathBuf,
    /// What to call it; `imported/` and the file's name unless stated.
    #[arg(long)]
    pub id: Option<String>,
    /// What is said of it.
    #[command(flatten)]
    pub entry: NewEntry,
}

/// What is said of a recording that joins the corpora, and how its file is read.
#[derive(Debug, Args)]
pub struct NewEntry {
    /// Under which licence it may be used, as an SPDX expression.
    #[arg(long, value_name = "SPDX", default_value = "LicenseRef-unknown")]
    pub licence: String,
    /// Where it comes from.
    #[arg(long, value_name = "WORDS")]
    pub origin: Option<String>,
    /// Words to select it by.
    #[arg(long, value_name = "WORD", num_args = 1..)]
    pub tag: Vec<String>,
    /// What a payload type stands for (`111=opus/48000`), or a port that carries RTP.
    #[arg(long, value_name = "PT=CODEC[/CLOCK]")]
    pub payload: Vec<String>,
    /// Keep the addresses of a capture instead of replacing them.
    #[arg(long)]
    pub keep_addresses: bool,
}

const RECORD_EXAMPLES: &str = "\
Examples:
  callrig serve & curl -X POST http://127.0.0.1:9440/rig/calls -d '{\"play\": \"audio/pcmu-20ms-en\"}'
  callrig corpus record --id video/my-browser --duration 8s --licence MIT --tag browser video
      What the one person who is in a call sends, as RTP in the clear: below recordings/, with
      an entry in the manifest. Whole or not at all: a call that ends sooner makes a shorter
      recording, packets that were lost on the way to the file make none.
  callrig corpus record --id audio/to-ben --leg 000000000000000000000000000000a1 --way out
      What the platform sends on another leg (`curl http://127.0.0.1:9440/rig/legs`).

Exit codes: 0 recorded, 1 nothing was (no such leg, no RTP in it, the id is taken), 2 usage.";

/// `callrig corpus record`
#[derive(Debug, Args)]
#[command(after_help = RECORD_EXAMPLES)]
pub struct Record {
    /// What to call it: a folder and a name.
    #[arg(long)]
    pub id: String,
    /// Which leg; the only one of a person unless stated.
    #[arg(long)]
    pub leg: Option<String>,
    /// For how long, at most.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub duration: core::time::Duration,
    /// Which way packets go: what the peer of the platform sends, or what it is sent.
    #[arg(long, value_enum, default_value_t)]
    pub way: crate::world::live::capture::Way,
    /// Where the platform's control API is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9440")]
    pub rig: String,
    /// The bearer token of the control API, if it wants one.
    #[arg(long, env = "CALLRIG_RIG_TOKEN")]
    pub token: Option<String>,
    /// What is said of it.
    #[command(flatten)]
    pub entry: NewEntry,
}

const REPORT_EXAMPLES: &str = "\
Examples:
  callrig report target/callrig/report.json --format html --out /tmp
      The same findings, rendered again.
  callrig report history.jsonl
      What `callrig gate --history` kept: what changed, and in which commit.
  callrig report history.jsonl --metric 'mos of media/audio/*'
      The same of some metrics, and the course of the first few.";

/// `callrig report`
#[derive(Debug, Args)]
#[command(after_help = REPORT_EXAMPLES)]
pub struct Report {
    /// A report.json that `callrig run` wrote, or a history (.jsonl) that `callrig gate` wrote.
    pub file: PathBuf,
    /// Of a history, only these metrics: `*` stands for anything.
    #[arg(long, value_name = "PATTERN")]
    pub metric: Option<String>,
    /// Where to write; beside the file unless stated.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Which reports to write; several with commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Format::ALL)]
    pub format: Vec<Format>,
}

/// `callrig serve`
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub struct Serve {
    /// Settings (TOML): listeners, tenants, apps, limits; a demonstration without them.
    #[arg(value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Serve plain HTTP here instead; port 0 asks the system for a free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Vec<SocketAddr>,
    /// Serve TLS here instead.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen_tls: Vec<SocketAddr>,
    /// The calling webhook of the first app, instead of the one in the settings.
    #[arg(long, value_name = "URL")]
    pub bot: Option<String>,
    /// Write the certificate of the authority that bots have to trust.
    #[arg(long, value_name = "FILE")]
    pub write_ca: Option<PathBuf>,
    /// Print the default settings, with comments, and stop.
    #[arg(long)]
    pub print_config: bool,
    /// Read the settings, say whether they can be used, and stop.
    #[arg(long)]
    pub check: bool,
    /// What is logged to standard error: a level, or directives such as
    /// `info,callrig=debug`.
    #[arg(long, value_name = "LEVEL", env = "CALLRIG_LOG", default_value = "info")]
    pub log: String,
    /// How it is logged.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

const GATE_EXAMPLES: &str = "\
Examples:
  callrig run --out target/callrig && cp target/callrig/report.json baseline.json
  callrig gate --baseline baseline.json
      Runs the corpora with the baseline's seed and compares everything that repeats
      exactly: counts, digests, simulated delays, quality.
  callrig gate --baseline baseline.json --candidate target/callrig/report.json
      The same with a report that is there already.
  callrig gate --base ../base/target/release/callrig
      Another build of callrig and this one do every stage of the hot path side by side:
      instructions (callgrind), time (pairs), memory that stays. `make gate` builds the
      merge base and does this.
  callrig gate --base old/callrig --layouts old/links new/links --tier time
      By time, over many links of both builds: what is found is the change and not where the
      linker put it. `make gate` makes them.
  callrig gate --base old/callrig --stage 'opus/*' --tier time --format markdown
      Some stages, by time only, for a comment under a pull request.
  callrig gate --baseline baseline.json --history history.jsonl; callrig report history.jsonl
      What changed, and in which commit.

What may change is stated in gate.toml (found beside you, or with --bounds):
  time = 0.025           # part of the base's time that two builds may differ by
  time_layouts = 0.005   # the same with --layouts
  [[bound]]
  metric = \"mos\"         # `*` stands for anything
  absolute = 0.01        # or: relative = 0.05, or: ignore = true
  reason = \"the impairment factors were revised\"

Every run carries twins (the base against itself) and canaries (the base made 5 % worse).

Exit codes:
  0  clear: nothing is worse by more than what the answer says would have been found
  1  callrig could not do its work: a file cannot be written
  2  the command line, or gate.toml, cannot be understood
  5  regressed: something is worse, or changed where equality was promised
  6  inconclusive: no baseline, another schema, set-up or machine, a metric that vanished,
     a twin that alarmed, a canary that was missed, a clock that stood still";

/// `callrig gate`
#[derive(Debug, Args)]
#[command(after_help = GATE_EXAMPLES)]
pub struct Gate {
    /// The report.json to compare with, for what repeats exactly.
    #[arg(long, value_name = "REPORT", required_unless_present = "base")]
    pub baseline: Option<PathBuf>,
    /// The report.json that is compared; without it the corpora are run now.
    #[arg(long, value_name = "REPORT", requires = "baseline")]
    pub candidate: Option<PathBuf>,
    /// Another build of callrig to compare this one with, for what things cost.
    #[arg(long, value_name = "BINARY")]
    pub base: Option<PathBuf>,
    /// Two folders, with more links of that build and of this one in random order: time is then
    /// compared over all of them, so that the placement of code averages out.
    #[arg(long, num_args = 2, value_names = ["BASE", "THIS"], requires = "base")]
    pub layouts: Vec<PathBuf>,
    /// Which costs to compare; several with commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = CostTier::ALL)]
    pub tier: Vec<CostTier>,
    /// Only these stages: `*` stands for anything.
    #[arg(long, value_name = "PATTERN", num_args = 1.., requires = "base")]
    pub stage: Vec<String>,
    /// What may change (TOML); gate.toml in this folder if there is one.
    #[arg(long, value_name = "FILE")]
    pub bounds: Option<PathBuf>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = GateFormat::Text)]
    pub format: GateFormat,
    /// Also write gate.json, gate.md and gate-junit.xml here.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Append what was measured to this file (JSON lines), for `callrig report`.
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// Where the corpora are.
    #[command(flatten)]
    pub corpora: CorporaDir,
}

/// What a stage costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CostTier {
    /// Counted by callgrind.
    Instructions,
    /// In pairs.
    Time,
    /// That stays.
    Memory,
}

impl CostTier {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Instructions, Self::Time, Self::Memory];
}

/// How a gate's answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GateFormat {
    /// For the terminal.
    Text,
    /// For machines.
    Json,
    /// For a comment under a pull request.
    Markdown,
    /// Annotations of GitHub Actions.
    Github,
    /// For what collects test results.
    Junit,
}

const LOAD_EXAMPLES: &str = "\
Examples:
  callrig load --rate 50 --duration 60s --slo 'setup.p(99)<50ms' --slo 'errors<0.1%'
      Fifty calls a second against a `callrig serve` of its own: rung by a person, answered
      and hung up by a bot, every step timed from when the call was meant to begin.
  callrig load --rate 10..200 --poisson --duration 5m --slo 'p(99)<100ms @95%'
      A ramp of random arrivals; met or broken only as far as it is proved at 95 %.
  callrig load --rate 20@30s,500@5s,20@30s --slo 'p(99.9)<1s min 5000'
      A spike.
  callrig load --replay day.txt --url http://127.0.0.1:9440 --bot-listen 127.0.0.1:3978
      Arrivals as recorded (a time in seconds on each line) against a service that runs,
      whose app has the webhook http://127.0.0.1:3978/.
  callrig load --bot http://localhost:3978/api/calls --media --play audio/opus-20ms-32k-mono-en --hold 8s \
      --rate 5 --slo 'answer.p(95)<1s' --slo 'media.p(95)<2s' --slo 'loss.p(95)<1%' --out load
      Your bot, in any language: give it http://127.0.0.1:9440 instead of
      https://graph.microsoft.com and https://login.microsoftonline.com. People call it, speak,
      and hang up after eight seconds.
  callrig load --url http://rig:9440 --app-id 9f2c4f0e-6d0b-4a3f-8f2a-5b1c6c1d7e10 --rate 5 --hold 8s
      The same of a bot that a service knows already; by a fleet as well.
  callrig load --media --say prompt.wav --hold 5s --rate 100 --slo 'jitter.p(99)<5ms'
      A prompt to five hundred calls at once.
  callrig load --find-capacity --rate 20 --duration 10s --slo 'setup.p(99)<50ms'
      The rate at which half of the loads meet the objectives.
  callrig load --http http://127.0.0.1:8080/ --rate 1000 --slo 'p(99)<1.2*twin' --twin a/load.json
  callrig load --fleet nats://queue:4222 --workers 4 --url http://rig:9440 --rate 2000
      Every fourth call is made by this process, the others by three of `callrig worker`. A load
      in which one of them is lost is begun again: calls cannot be made up for later.

Objectives: [STEP|FIGURE.]QUANTITY COMPARISON LIMIT [@ CONFIDENCE%] [min SAMPLES]
  STEP        one of these; the whole call without one, less the time it was held
    ring, notified, setup   from the intended time: it rings, the bot was told, the call stands
    answer                  our bot's answer until it is taken; with --bot, from the telling
                            of the bot to its answering
    hangup, ended           until the hanging up is taken; from there until the call is over
  FIGURE      of media (--media), measured by phones and platform, and so never void
    media, first_frame      from the call's standing to the first packet, to the first picture
    key_frame               from asking for one in mid-call (PLI) to its coming, where pictures
                            come and calls are held for 2 s or longer
    mouth_to_ear            from what is said to its being heard back, of a bot that echoes
    jitter, loss            of what comes to the phone (RFC 3550), over the whole call
    discarded, freeze       sound that came too late to be played, time that pictures stood still
    uplink_jitter, uplink_loss   of what comes from the phone to the platform
  QUANTITY    p(99.9), mean, max; errors, rate of whole calls
  LIMIT       20ms, 0.1%, 50/s, 1.2*twin; per cent for loss, uplink_loss, discarded

One phone a second, and at most 16 at once, decode what they hear: mouth_to_ear is theirs.

A second in which the generator itself was late by more than a tenth of an objective's limit
is void for it; more than 2 % of void seconds leave it not measurable, unless it is met even
with that lateness added to the latencies, or broken even with all taken off that it can have
added.

Exit codes:
  0  every objective was met
  1  callrig could not do its work: a file cannot be written, the service cannot be started
  2  the command line or an objective cannot be understood
  5  an objective was broken
  6  inconclusive: an objective was not measurable, or not a single call succeeded";

/// `callrig load`
#[derive(Debug, Args)]
#[command(after_help = LOAD_EXAMPLES)]
pub struct Load {
    /// Calls per second: `50`, a ramp `10..100`, or pieces `20@30s,500@5s,20@30s`.
    #[arg(long, value_name = "RATE", default_value = "10", conflicts_with = "replay")]
    pub rate: String,
    /// How long, for pieces that do not say it themselves.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub duration: core::time::Duration,
    /// Random arrivals (Poisson) instead of even ones.
    #[arg(long)]
    pub poisson: bool,
    /// Begin calls when this file says: a time in seconds on each line.
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// All random choices follow from it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// A service with people (`callrig serve`); one is started unless stated.
    #[arg(long, value_name = "URL", conflicts_with = "http")]
    pub url: Option<String>,
    /// Where our bot listens; the service's app must have it as its webhook.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub bot_listen: SocketAddr,
    /// The bot's token, where the service asks for one.
    #[arg(long, value_name = "TOKEN", env = "CALLRIG_LOAD_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The token of the service's control API, where it asks for one.
    #[arg(long, value_name = "TOKEN", env = "CALLRIG_RIG_TOKEN", hide_env_values = true)]
    pub rig_token: Option<String>,
    /// Call the bot with this calling webhook, by way of a service that is started for it: what
    /// it does is seen from there, and people hang up.
    #[arg(long, value_name = "URL", conflicts_with_all = ["http", "url", "fleet", "say"])]
    pub bot: Option<String>,
    /// The id of that bot's app: that of the demonstration unless stated. With --url, call the bot
    /// of this app, which the service has, instead of ours.
    #[arg(long, value_name = "ID", conflicts_with_all = ["http", "say"])]
    pub app_id: Option<String>,
    /// Its secret: `demonstration` unless stated.
    #[arg(long, value_name = "SECRET", env = "CALLRIG_SECRET", hide_env_values = true)]
    pub secret: Option<String>,
    /// Where the service listens for that bot.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "bot", default_value = "127.0.0.1:9440")]
    pub listen: SocketAddr,
    /// GET this URL instead of calling.
    #[arg(long, value_name = "URL")]
    pub http: Option<String>,
    /// People have phones that send and receive real media.
    #[arg(long)]
    pub media: bool,
    /// What people say once the call stands: the id of a recording, or a file (WAV, pcap, ...).
    #[arg(long, value_name = "RECORDING", requires = "media")]
    pub play: Option<String>,
    /// What our bot says once the call stands: a WAV file (mono, 16 bit, 16 kHz) that the platform
    /// plays.
    #[arg(long, value_name = "FILE", requires = "media", conflicts_with_all = ["fleet", "http"])]
    pub say: Option<PathBuf>,
    /// How long a call is kept up once it stands.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    pub hold: core::time::Duration,
    /// How long one call may take.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub timeout: core::time::Duration,
    /// An objective, such as `setup.p(99)<50ms`; several are all to be met.
    #[arg(long = "slo", value_name = "OBJECTIVE")]
    pub objective: Vec<String>,
    /// What another load found (load.json), for objectives such as `p(99)<1.2*twin`.
    #[arg(long, value_name = "FILE")]
    pub twin: Option<PathBuf>,
    /// Search the rate at which half of the loads meet the objectives, beginning at --rate.
    #[arg(long, conflicts_with = "replay", requires = "objective")]
    pub find_capacity: bool,
    /// The highest rate that the search tries.
    #[arg(long, value_name = "RATE", default_value_t = 5_000.0, requires = "find_capacity")]
    pub rate_max: f64,
    /// Write load.json, load.html, load.md, load-junit.xml and load.hlog here.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Who else makes a part of the load.
    #[command(flatten)]
    pub fleet: Fleet,
    /// Begin once so many take part, this process among them; otherwise three seconds after the
    /// last has come.
    #[arg(long, value_name = "N", requires = "fleet", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub workers: Option<u64>,
}

const WORKER_EXAMPLES: &str = "\
Examples:
  nats-server -js
      On some machine: the queue (Debian's nats-server, or https://nats.io).
  callrig worker --fleet nats://queue:4222
      On every other machine, beside the same callrig and corpora: takes shares of whatever runs,
      as many at once as there are cores, until Ctrl-C.
  callrig run --fleet nats://queue:4222
      Anywhere: the run is shared by all of them, and by this process. The report is the same as
      without --fleet.
  callrig worker --fleet nats://queue:4222 --once
      In CI: does its part of one run, and ends.
  callrig worker --fleet nats://queue:4222 --bot-listen 10.0.0.7:0
      Where load is made: its bot is reached by the service at this address (`callrig load --fleet`).

A worker with another build or other recordings does not take part, and the run says so. One that
is lost costs time, and nothing else. Whoever may publish on the server decides what is run:
give it a user and a password (nats://user:password@queue:4222), or TLS (tls://queue:4222).";

/// `callrig worker`
#[derive(Debug, Args)]
#[command(after_help = WORKER_EXAMPLES)]
pub struct Worker {
    /// Whose shares it takes.
    #[command(flatten)]
    pub fleet: Fleet,
    /// How many shares at once; as many as there are cores unless stated.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), requires = "fleet")]
    pub jobs: Option<u16>,
    /// End when one run or load is over.
    #[arg(long, requires = "fleet")]
    pub once: bool,
    /// Where our bot listens when it takes part in a load: an address that the service reaches.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0", requires = "fleet")]
    pub bot_listen: SocketAddr,
    /// Where the corpora are.
    #[command(flatten)]
    pub corpora: CorporaDir,
    /// Do this piece of work once, for callgrind to look at, and end.
    #[arg(long, value_name = "JSON", hide = true, conflicts_with = "fleet")]
    pub count: Vec<String>,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object on each line.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn several_networks_follow_one_option() {
        let line =
            ["callrig", "run", "a.pcap", "--network", "clean", "loss-5,burst", "--seed", "3"];
        let Command::Run(run) = Cli::parse_from(line).command else { panic!("run was asked for") };
        assert_eq!(run.network, ["clean", "loss-5", "burst"]);
        assert_eq!((run.seed, run.paths.len()), (3, 1));
    }
}
