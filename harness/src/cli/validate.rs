//! The commands about bots: `validate`, `bot`, and `kill-matrix` for those who work on the
//! cases.

use core::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Format;

const VALIDATE_EXAMPLES: &str = "\
Examples:
  callrig validate --bot http://localhost:3978/api/calls --profile ivr
      Your bot, in any language: callrig is the platform, at http://127.0.0.1:9440 (give the
      bot this instead of https://graph.microsoft.com and https://login.microsoftonline.com),
      plays people and troubles, and judges what crosses.
  callrig validate --bot http://localhost:3978/api/calls --profile my-bot.toml --case 'bot/keys/**'
      With your own profile: what the bot does; and only some of the cases.
  callrig validate --sample ivr
      One of the bots that come with callrig, in virtual time: a second or two.
  callrig validate --sample echo --case 'bot/own-media/**'
      Media that a bot handles itself, packet by packet: numbers, timestamps, pace, H.264, key
      frames, loss. With --bot, the same over WebRTC in real time (profiles echo, playback).
  callrig validate --sample ivr --replay bot/keys/leads/1@1
      One case with its seed, and everything that crossed.
  callrig validate --sample ivr --explore 500
      Random sequences of keys, faults and hang-ups; the shortest that breaks the bot.
  callrig validate --service simulated
      Our own service: every case in a few seconds, the same bytes each time.
  callrig serve & callrig validate --service http://127.0.0.1:9440 --rig http://127.0.0.1:9440
      A service over HTTP that has callrig's control API: each case gets an app and people of
      its own there.
  callrig validate --service https://calls.example.com --app-id ID --secret SECRET \\
      --tenant ID --user ID --user ID --listen 0.0.0.0:8443 --webhook https://me.example.com
      Any other service; cases that need people who answer or call say that they are
      unsupported.
  callrig validate --bot ... --format junit,sarif,github,badge --deviations known.toml
      In CI: what is known fails only when its day is over, or when it is no longer true.

What there is to choose from: `callrig list --requirements 'service/**'`, or 'bot/**'.
The ready profiles are printed by --print-profile NAME: copy one, and say what your bot does.

Exit codes:
  0  every rule was kept (with --level should, the Should rules too; with may, all)
  1  callrig could not do its work, or something could not be judged
  2  the command line or the profile cannot be understood
  3  a rule was broken
  4  nothing was selected, so nothing ran";

/// `callrig validate`
#[derive(Debug, Args)]
#[command(after_help = VALIDATE_EXAMPLES)]
pub struct Validate {
    /// Judge the bot with this calling webhook.
    #[arg(long, value_name = "URL", group = "subject")]
    pub bot: Option<String>,
    /// Judge a sample bot, in virtual time; `callrig bot --list` shows them.
    #[arg(long, value_name = "NAME", group = "subject")]
    pub sample: Option<String>,
    /// A service, and how it is judged.
    #[command(flatten)]
    pub service: ValidateService,
    /// What the bot does: a ready profile (ivr, ...) or a TOML file; a sample has its own.
    #[arg(long, value_name = "NAME|FILE")]
    pub profile: Option<String>,
    /// Print a ready profile, and stop.
    #[arg(long, value_name = "NAME")]
    pub print_profile: Option<String>,
    /// The app's id: a bot's is that of the demonstration unless stated.
    #[arg(long, value_name = "ID")]
    pub app_id: Option<String>,
    /// Its secret: a bot's is `demonstration` unless stated.
    #[arg(long, value_name = "SECRET", env = "CALLRIG_SECRET")]
    pub secret: Option<String>,
    /// Where the platform listens for the bot (127.0.0.1:9440 unless stated), or our webhook
    /// for the service (a free port of this machine).
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Only cases whose id matches: `*` stays within a part of the path, `**` does not.
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    pub case: Vec<String>,
    /// What counts: broken Must rules alone, Should rules too, or all.
    #[arg(long, value_enum, default_value_t = Strictness::Must)]
    pub level: Strictness,
    /// All random choices follow from it: the same seed gives the same results.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Print everything that crossed in each script that was played.
    #[arg(long)]
    pub transcript: bool,
    /// Repeat what a finding's evidence names: CASE@SEED, with everything that crossed.
    #[arg(long, value_name = "CASE@SEED", conflicts_with = "case")]
    pub replay: Option<String>,
    /// Known deviations (TOML): case, reason, expires; what is over or no longer true fails.
    #[arg(long, value_name = "FILE")]
    pub deviations: Option<PathBuf>,
    /// Search with so many random sequences for one that breaks the bot, and print the
    /// shortest.
    #[arg(long, value_name = "N", conflicts_with_all = ["case", "replay", "service"])]
    pub explore: Option<usize>,
    /// Where the report goes.
    #[arg(long, value_name = "DIR", default_value = "target/callrig")]
    pub out: PathBuf,
    /// Which reports to write; several with commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Format::ALL)]
    pub format: Vec<Format>,
}

/// How a service is judged.
#[derive(Clone, Debug, Args)]
pub struct ValidateService {
    /// Judge the service at this address, or `simulated`: ours, in virtual time.
    #[arg(long, value_name = "URL", group = "subject")]
    pub service: Option<String>,
    /// The control API of a service that is a rig.
    #[arg(long, value_name = "URL", requires = "service")]
    pub rig: Option<String>,
    /// The token of the control API.
    #[arg(long, value_name = "TOKEN", requires = "rig", env = "CALLRIG_RIG_TOKEN")]
    pub rig_token: Option<String>,
    /// The organisation of the app, where there is no rig.
    #[arg(long, value_name = "ID", requires = "service")]
    pub tenant: Option<String>,
    /// People who can be called, where there is no rig.
    #[arg(long, value_name = "ID", requires = "service")]
    pub user: Vec<String>,
    /// How the service reaches our webhook, if not at the address where it listens.
    #[arg(long, value_name = "URL", requires = "service")]
    pub webhook: Option<String>,
    /// Cases that have to wait longer than this are left out, and say so.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub patience: core::time::Duration,
    /// How many cases at once, over HTTP.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub at_once: u16,
}

/// What counts as broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Strictness {
    /// Rules that everybody must keep.
    Must,
    /// Those that everybody should keep as well.
    Should,
    /// All of them.
    May,
}

/// `callrig kill-matrix`: for those who work on the cases.
#[derive(Debug, Args)]
pub struct KillMatrix {
    /// How many runs of cases the samples have to get through.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub greens: usize,
    /// Only faults in whose name or case this stands.
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub only: String,
    /// Only every nth fault.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub every: usize,
}

const BOT_EXAMPLES: &str = "\
Examples:
  callrig bot --list
      What there is. The source of each is one file: harness/src/bots/samples/.
  callrig serve & callrig bot ivr
      A voice menu on http://127.0.0.1:3978/api/calls, for the platform of `callrig serve`.
  callrig serve & callrig bot echo
      A bot with media of its own: WebRTC, Opus and H.264. Call it from the page of `callrig
      serve` with a camera, and see yourself.
  callrig bot ivr --listen 127.0.0.1:3978 &
  callrig validate --bot http://127.0.0.1:3978/api/calls --profile ivr
      The same bot, judged in real time.

Exit codes: 0 stopped when it was told to, 1 it could not be started, 2 usage.";

/// `callrig bot`
#[derive(Debug, Args)]
#[command(after_help = BOT_EXAMPLES)]
pub struct Bot {
    /// Which.
    #[arg(required_unless_present = "list")]
    pub name: Option<String>,
    /// Show what there is, and stop.
    #[arg(long)]
    pub list: bool,
    /// Where the platform is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9440")]
    pub platform: String,
    /// Where the bot listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3978")]
    pub listen: SocketAddr,
    /// Where a bot with media of its own receives it: an address of this machine, or 0.0.0.0
    /// for all of them.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub media: IpAddr,
    /// What is logged: a level, or levels by module.
    #[arg(long, value_name = "FILTER", default_value = "error,callrig=info", env = "CALLRIG_LOG")]
    pub log: String,
    /// The bot's app id.
    #[arg(long, value_name = "ID", default_value = "11111111-1111-4111-8111-111111111111")]
    pub app_id: String,
    /// The bot's secret.
    #[arg(long, value_name = "SECRET", default_value = "demonstration")]
    pub secret: String,
}
