//! What `callrig serve` is told: one TOML file, with a default for everything. A mistake
//! is named with its file, line and key; what is not understood is refused, not ignored.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::num::NonZero;
use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use callrig_signaling::id::AppId;
use callrig_signaling::service::directory::{App, Tenant};
use callrig_signaling::service::{Delivery, Directory, Limits, UriPolicy};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

/// What `--print-config` prints, and what is used without a file: a demonstration tenant.
pub const DEMONSTRATION: &str = include_str!("demonstration.toml");

/// A settings file that is larger is not one.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The longest message that a voicemail box takes.
const VOICEMAIL_MAX: Duration = Duration::from_secs(120);
/// The shortest reign of a key that is followed by others.
const ROTATION_MIN: Duration = Duration::from_secs(15 * 60);

/// Everything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where HTTP is served; the two of [`Listener::usual`] without any.
    pub listeners: Vec<Listener>,
    /// Certificates.
    pub tls: Tls,
    /// How the server guards itself.
    pub server: Server,
    /// Where media flows.
    pub media: Media,
    /// Where the platform may call.
    pub callbacks: Callbacks,
    /// How notifications are delivered.
    pub delivery: DeliverySettings,
    /// Windows and limits of the API.
    pub limits: LimitSettings,
    /// What bots are shown beyond the documentation's letter.
    pub quirks: Quirks,
    /// What organisations let their apps do beyond grants.
    pub policies: Policies,
    /// Tokens of apps and of notifications.
    pub tokens: Tokens,
    /// The control API.
    pub rig: Rig,
    /// Organisations, their people and what they let apps do.
    pub tenants: Vec<Tenant>,
    /// Apps and their bots.
    pub apps: Vec<App>,
}

/// A place where HTTP is served.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Address and port; port 0 asks the system for a free one.
    pub address: SocketAddr,
    /// Whether TLS is spoken.
    #[serde(default)]
    pub tls: bool,
}

impl Listener {
    /// Plain HTTP and TLS, both on this machine alone.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        vec![Self { address: at(9440), tls: false }, Self { address: at(9443), tls: true }]
    }
}

/// Certificates.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// A certificate chain in PEM; generated without one.
    pub certificate: Option<PathBuf>,
    /// Its private key in PEM.
    pub key: Option<PathBuf>,
    /// Where the generated authority is kept, so that it is the same the next time.
    pub authority: Option<PathBuf>,
    /// Further names of the generated certificate.
    pub names: Vec<String>,
}

/// How the server guards itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Scheme and host in `Location` headers; the first listener's without it.
    pub base_url: Option<String>,
    /// How many threads hold calls; as many as cores, at most 16, without it.
    pub shards: Option<NonZero<u16>>,
    /// How many connections at once.
    pub connections_max: usize,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Bytes of a request's headers.
    pub header_bytes_max: usize,
    /// How long the headers of a request may take.
    #[serde(deserialize_with = "span")]
    pub header_timeout: Duration,
    /// How long its body may take.
    #[serde(deserialize_with = "span")]
    pub body_timeout: Duration,
    /// How long ends of calls are delivered when the server stops.
    #[serde(deserialize_with = "span")]
    pub grace: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            base_url: None,
            shards: None,
            connections_max: 20_000,
            body_bytes_max: 1 << 20,
            header_bytes_max: 32 << 10,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(20),
            grace: Duration::from_secs(10),
        }
    }
}

/// Where media flows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Media {
    /// The address that bots and phones are told; one of this machine's.
    pub address: IpAddr,
    /// Where WebRTC peers find the platform beside that address. Without it, where this
    /// machine is on its network, so that a browser elsewhere can call.
    pub webrtc: Option<Vec<IpAddr>>,
    /// Whether WebRTC peers find the platform by TCP as well (RFC 6544), at a port of its own:
    /// for those whom UDP does not reach.
    pub tcp: bool,
    /// On which ports, such as `20000-32767`.
    #[serde(deserialize_with = "ports")]
    pub ports: RangeInclusive<u16>,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            webrtc: None,
            tcp: true,
            ports: 20_000..=32_767,
        }
    }
}

/// Which URIs the platform calls, by name.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Uris {
    /// `https`, and `http` to this machine.
    #[default]
    HttpsOrLoopback,
    /// `https` alone, as the real platform has it.
    HttpsOnly,
    /// Either, anywhere.
    Any,
}

impl From<Uris> for UriPolicy {
    fn from(uris: Uris) -> Self {
        match uris {
            Uris::HttpsOrLoopback => Self::HttpsOrLoopback,
            Uris::HttpsOnly => Self::HttpsOnly,
            Uris::Any => Self::Any,
        }
    }
}

/// Where the platform may call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Callbacks {
    /// Which URIs.
    pub uris: Uris,
    /// Networks that may be called although they are nobody's or somebody's own.
    pub networks: Vec<IpNet>,
    /// Certificates of authorities that are trusted beside the system's and our own.
    pub trust: Vec<PathBuf>,
    /// How many requests are under way at once.
    pub requests_max: usize,
}

impl Default for Callbacks {
    fn default() -> Self {
        Self { uris: Uris::default(), networks: Vec::new(), trust: Vec::new(), requests_max: 1_024 }
    }
}

/// See [`Delivery`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the same as those of Delivery")]
pub struct DeliverySettings {
    #[serde(deserialize_with = "span")]
    pub attempt_timeout: Duration,
    pub attempts_max: u32,
    #[serde(deserialize_with = "span")]
    pub backoff_first: Duration,
    #[serde(deserialize_with = "span")]
    pub backoff_max: Duration,
    pub jitter_percent: u32,
    pub backlog_max: usize,
    pub redirects_max: u32,
    pub batch_max: usize,
    pub legacy_first: bool,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        let usual = Delivery::default();
        Self {
            attempt_timeout: usual.attempt_timeout,
            attempts_max: usual.attempts_max,
            backoff_first: usual.backoff_first,
            backoff_max: usual.backoff_max,
            jitter_percent: usual.jitter_percent,
            backlog_max: usual.backlog_max,
            redirects_max: usual.redirects_max,
            batch_max: usual.batch_max,
            legacy_first: usual.legacy_first,
        }
    }
}

impl From<&DeliverySettings> for Delivery {
    fn from(settings: &DeliverySettings) -> Self {
        Self {
            attempt_timeout: settings.attempt_timeout,
            attempts_max: settings.attempts_max,
            backoff_first: settings.backoff_first,
            backoff_max: settings.backoff_max,
            jitter_percent: settings.jitter_percent,
            backlog_max: settings.backlog_max,
            redirects_max: settings.redirects_max,
            batch_max: settings.batch_max,
            legacy_first: settings.legacy_first,
            ..Self::default()
        }
    }
}

/// See [`Limits`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the same as those of Limits")]
pub struct LimitSettings {
    #[serde(deserialize_with = "span")]
    pub answer_window: Duration,
    #[serde(deserialize_with = "span")]
    pub recording_answer_window: Duration,
    #[serde(deserialize_with = "span")]
    pub keep_alive: Duration,
    #[serde(deserialize_with = "span")]
    pub ringing: Duration,
    #[serde(deserialize_with = "span")]
    pub lobby: Duration,
    #[serde(deserialize_with = "span")]
    pub alone: Duration,
    pub calls_per_app_max: usize,
    pub calls_per_person_max: usize,
    #[serde(deserialize_with = "span")]
    pub voicemail: Duration,
    pub calls_per_month_max: u64,
    pub requests_per_second_max: u32,
    pub legs_max: usize,
    pub prompt_bytes_max: usize,
    pub prompt_cache_bytes_max: usize,
    #[serde(deserialize_with = "span")]
    pub prompt_fetch: Duration,
    #[serde(deserialize_with = "span")]
    pub recording_kept: Duration,
}

impl Default for LimitSettings {
    fn default() -> Self {
        let usual = Limits::default();
        Self {
            answer_window: usual.answer_window,
            recording_answer_window: usual.recording_answer_window,
            keep_alive: usual.keep_alive,
            ringing: usual.ringing,
            lobby: usual.lobby,
            alone: usual.alone,
            calls_per_app_max: usual.calls_per_app_max,
            calls_per_person_max: usual.calls_per_person_max,
            voicemail: usual.voicemail,
            calls_per_month_max: usual.calls_per_month_max,
            requests_per_second_max: usual.requests_per_second_max,
            legs_max: usual.legs_max,
            prompt_bytes_max: usual.prompt_bytes_max,
            prompt_cache_bytes_max: usual.prompt_cache_bytes_max,
            prompt_fetch: usual.prompt_fetch,
            recording_kept: usual.recording_kept,
        }
    }
}

impl From<&LimitSettings> for Limits {
    fn from(settings: &LimitSettings) -> Self {
        Self {
            answer_window: settings.answer_window,
            recording_answer_window: settings.recording_answer_window,
            keep_alive: settings.keep_alive,
            ringing: settings.ringing,
            lobby: settings.lobby,
            alone: settings.alone,
            calls_per_app_max: settings.calls_per_app_max,
            calls_per_person_max: settings.calls_per_person_max,
            voicemail: settings.voicemail,
            calls_per_month_max: settings.calls_per_month_max,
            requests_per_second_max: settings.requests_per_second_max,
            legs_max: settings.legs_max,
            prompt_bytes_max: settings.prompt_bytes_max,
            prompt_cache_bytes_max: settings.prompt_cache_bytes_max,
            prompt_fetch: settings.prompt_fetch,
            recording_kept: settings.recording_kept,
        }
    }
}

/// What bots are shown beyond the documentation's letter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quirks {
    /// Whether calls that ring at people are announced as `ringing`.
    pub announce_ringing: bool,
    /// Whether `established` is told before `establishing`.
    pub established_first: bool,
    /// Whether members of enumerations are written in PascalCase.
    pub pascal_case: bool,
    /// Whether rosters are told once a peer-to-peer call has become a conference.
    pub rosters_after_escalation: bool,
}

/// What organisations let their apps do beyond grants.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policies {
    /// The apps that may remove participants; all of them without it.
    pub may_remove_participants: Option<BTreeSet<AppId>>,
}

/// Tokens of apps and of notifications.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// Whether the API asks for tokens of the login service, and notifications carry one.
    /// Without, the bearer token is the app's id.
    pub required: bool,
    /// A private RSA key (PKCS #8, PEM) that signs them; made at the start without it.
    pub key: Option<PathBuf>,
    /// How long a key that is added is published before it signs.
    #[serde(deserialize_with = "span")]
    pub announced: Duration,
    /// How often another key takes over; zero for never.
    #[serde(deserialize_with = "span")]
    pub rotate_every: Duration,
}

impl Default for Tokens {
    fn default() -> Self {
        let announced = Duration::from_secs(300);
        Self { required: true, key: None, announced, rotate_every: Duration::ZERO }
    }
}

/// The control API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rig {
    /// A bearer token that it asks for.
    pub token: Option<String>,
    /// How much is remembered of what happened, for who looks in later.
    pub history_max: usize,
    /// The folder with `manifest.toml` whose recordings people can speak; found as
    /// `corpora` in this folder or one above without it.
    pub corpora: Option<PathBuf>,
    /// How many bytes of recordings can be brought along.
    pub recordings_bytes_max: usize,
}

impl Default for Rig {
    fn default() -> Self {
        Self { token: None, history_max: 1_000, corpora: None, recordings_bytes_max: 256 << 20 }
    }
}

/// Why settings cannot be used; one line.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It says something that is not understood.
    #[error("{file}:{line}:{column}: {key}{message}")]
    Parse {
        /// Which.
        file: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// The key, if the place has one.
        key: String,
        /// What is wrong there.
        message: String,
    },
    /// It contradicts itself.
    #[error("{file}: {key}: {message}")]
    Value {
        /// Which.
        file: String,
        /// The key.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
}

impl Settings {
    /// From a file.
    ///
    /// # Errors
    /// It cannot be read, or not be understood.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let refuse = |source| SettingsError::Read { path: path.to_owned(), source };
        let length = std::fs::metadata(path).map_err(refuse)?.len();
        if length > FILE_BYTES_MAX {
            return Err(refuse(std::io::Error::other(format!("it has {length} bytes"))));
        }
        let text = std::fs::read_to_string(path).map_err(refuse)?;
        let mut settings = Self::parse(&path.display().to_string(), &text)?;
        settings.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(settings)
    }

    /// Files are named as seen from the folder of the file that names them.
    fn resolve(&mut self, folder: &Path) {
        let tls = &mut self.tls;
        let named = [&mut tls.certificate, &mut tls.key, &mut tls.authority];
        let more = [&mut self.tokens.key, &mut self.rig.corpora];
        let one_by_one = named.into_iter().chain(more).flatten();
        for path in one_by_one.chain(&mut self.callbacks.trust) {
            *path = folder.join(&*path);
        }
    }

    /// From text; `file` is what errors call it.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn parse(file: &str, text: &str) -> Result<Self, SettingsError> {
        let settings: Self = toml::from_str(text).map_err(|error| describe(file, text, &error))?;
        settings.check(file)?;
        Ok(settings)
    }

    /// Who there is.
    #[must_use]
    pub fn directory(&self) -> Directory {
        Directory { tenants: self.tenants.clone(), apps: self.apps.clone() }
    }

    fn check(&self, file: &str) -> Result<(), SettingsError> {
        let refuse = |key, message: &str| {
            Err(SettingsError::Value { file: file.to_owned(), key, message: message.to_owned() })
        };
        if self.media.ports.is_empty() {
            return refuse("media.ports", "the first port is after the last");
        }
        if *self.media.ports.start() == 0 {
            return refuse("media.ports", "there is no port 0");
        }
        if self.media.address.is_unspecified() {
            return refuse(
                "media.address",
                "peers have to be told an address of this machine, not all of them",
            );
        }
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            return refuse("tls", "certificate and key belong together");
        }
        for (key, zero) in [
            ("server.connections_max", self.server.connections_max == 0),
            ("server.body_bytes_max", self.server.body_bytes_max == 0),
            ("server.header_timeout", self.server.header_timeout.is_zero()),
            ("server.body_timeout", self.server.body_timeout.is_zero()),
            ("callbacks.requests_max", self.callbacks.requests_max == 0),
            ("delivery.attempts_max", self.delivery.attempts_max == 0),
            ("delivery.backlog_max", self.delivery.backlog_max == 0),
            ("delivery.attempt_timeout", self.delivery.attempt_timeout.is_zero()),
            ("limits.answer_window", self.limits.answer_window.is_zero()),
        ] {
            if zero {
                return refuse(key, "it must not be zero");
            }
        }
        // Eight keys are there at once at most, and each stays while tokens of its live.
        if (Duration::from_nanos(1)..ROTATION_MIN).contains(&self.tokens.rotate_every) {
            return refuse("tokens.rotate_every", "it must be 0s (never), or 15 minutes or more");
        }
        if self.limits.voicemail > VOICEMAIL_MAX {
            return refuse("limits.voicemail", "it must be 2 minutes or less");
        }
        if self.server.header_bytes_max < 8 << 10 {
            return refuse("server.header_bytes_max", "it must be 8192 or more");
        }
        Ok(())
    }
}

/// Where in the text an error is, and at which key.
fn describe(file: &str, text: &str, error: &toml::de::Error) -> SettingsError {
    let start = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let here = text.lines().nth(line - 1).unwrap_or_default();
    let key = here.split_once('=').map(|(key, _)| key.trim());
    let table = before
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix('[').map(|name| name.trim_matches(['[', ']'])));
    let key = match (table, key) {
        (Some(table), Some(key)) => format!("{table}.{key}: "),
        (None, Some(key)) => format!("{key}: "),
        _ => String::new(),
    };
    let message = error.message().replace('\n', " ");
    SettingsError::Parse { file: file.to_owned(), line, column, key, message }
}

/// `15s`, `500ms`, `45min`.
fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|_| serde::de::Error::custom(format!("{text:?} is no time, such as \"15s\"")))
}

/// `20000-32767`.
fn ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RangeInclusive<u16>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let range = text
        .split_once('-')
        .and_then(|(first, last)| Some(first.trim().parse().ok()?..=last.trim().parse().ok()?));
    range.ok_or_else(|| {
        serde::de::Error::custom(format!("{text:?} is no range of ports, such as \"20000-32767\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demonstration_says_what_the_defaults_are() {
        let shown = Settings::parse("demonstration", DEMONSTRATION).expect("it is ours");
        let usual = Settings::default();
        assert_eq!(shown.listeners, Listener::usual());
        for (shown, usual) in [
            (format!("{:?}", shown.server), format!("{:?}", usual.server)),
            (format!("{:?}", shown.tls), format!("{:?}", usual.tls)),
            (format!("{:?}", shown.media), format!("{:?}", usual.media)),
            (format!("{:?}", shown.callbacks), format!("{:?}", usual.callbacks)),
            (format!("{:?}", shown.delivery), format!("{:?}", usual.delivery)),
            (format!("{:?}", shown.limits), format!("{:?}", usual.limits)),
            (format!("{:?}", shown.quirks), format!("{:?}", usual.quirks)),
            (format!("{:?}", shown.policies), format!("{:?}", usual.policies)),
            (format!("{:?}", shown.tokens), format!("{:?}", usual.tokens)),
            (format!("{:?}", shown.rig), format!("{:?}", usual.rig)),
        ] {
            assert_eq!(shown, usual);
        }
        assert!(!shown.tenants.is_empty() && !shown.apps.is_empty());
    }

    #[test]
    fn mistakes_are_named_with_file_line_and_key() {
        for (text, says) in [
            (
                "[server]\nbody_bytes_maxx = 3\n",
                "f.toml:2:1: server.body_bytes_maxx: unknown field",
            ),
            ("[limits]\nringing = \"soon\"\n", "f.toml:2:11: limits.ringing: \"soon\" is no time"),
            ("[media]\nports = \"9-\"\n", "media.ports: \"9-\" is no range"),
            ("[media]\nports = \"9-3\"\n", "f.toml: media.ports: the first port is after the last"),
            ("[tls]\nkey = \"k.pem\"\n", "f.toml: tls: certificate and key belong together"),
            ("[limits]\nvoicemail = \"3min\"\n", "f.toml: limits.voicemail: it must be 2 min"),
            ("[[apps]]\nid = 3\n", "f.toml:2:6: apps.id: invalid type"),
            ("nonsense", "f.toml:1:"),
        ] {
            let error = Settings::parse("f.toml", text).expect_err(text).to_string();
            assert!(error.contains(says), "{error:?} does not say {says:?}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Settings::read(Path::new("/nowhere/rig.toml")).expect_err("it is not there");
        assert!(error.to_string().starts_with("cannot read /nowhere/rig.toml: "), "{error}");
    }
}
