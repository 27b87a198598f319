//! A `callrig serve` that is started for a load.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use callrig_signaling::service::directory::Permission;
use serde_json::json;

use super::{ANN, APP, PlatformError, TENANT, Theirs};

/// How long our own platform may take to start.
const START_MAX: Duration = Duration::from_secs(20);

/// The bot that is called.
pub(in super::super) enum Callee {
    /// Ours, which listens there.
    Ours(SocketAddr),
    /// Somebody else's.
    Theirs(Theirs),
}

impl Callee {
    /// What the platform runs with.
    fn settings(&self) -> String {
        let (listen, app, required) = match self {
            Self::Ours(bot) => {
                let webhook = format!("http://{bot}/");
                let app = json!({ "id": APP, "name": "load", "webhook": webhook });
                ("127.0.0.1:0".to_owned(), app, false)
            }
            Self::Theirs(Theirs { webhook, app, secret, listen }) => {
                let app =
                    json!({ "id": app, "name": "load", "webhook": webhook, "secret": secret });
                (listen.to_string(), app, true)
            }
        };
        let settings = json!({
            "listeners": [{ "address": listen }],
            "limits": {
                "calls_per_app_max": 1_000_000,
                "requests_per_second_max": 0,
                "legs_max": 1_000_000,
            },
            "tokens": { "required": required },
            "callbacks": { "uris": "any" },
            "media": { "ports": "10000-32767" },
            "tenants": [{
                "id": TENANT,
                "users": [{ "id": ANN, "name": "Ann" }],
                "consents": [{ "app": app["id"], "permissions": Permission::ALL }],
            }],
            "apps": [app],
        });
        toml::to_string(&settings).expect("there is nothing in it that TOML has not")
    }
}

/// A platform of our own, in a process of its own, so that what it costs is not the generator's.
pub struct Started {
    child: Child,
    /// Where it is.
    pub base: String,
    _settings: tempfile::NamedTempFile,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `callrig serve` for the load of a bot.
///
/// # Errors
/// It does not start.
pub(in super::super) fn start(callee: &Callee) -> Result<Started, PlatformError> {
    let refuse = |error: std::io::Error| PlatformError::Serve(error.to_string());
    let settings = tempfile::Builder::new().suffix(".toml").tempfile().map_err(refuse)?;
    let text = callee.settings();
    std::fs::write(settings.path(), text).map_err(refuse)?;
    let mut child = Command::new(std::env::current_exe().map_err(refuse)?)
        .arg("serve")
        .arg(settings.path())
        .args(["--log", "warn"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(refuse)?;
    let out = child.stdout.take().map(lines);
    let complaints = child.stderr.take().map(lines);
    let first = out.and_then(|lines| lines.recv_timeout(START_MAX).ok());
    let base = first.as_deref().and_then(|line| line.strip_prefix("listening on "));
    let base = base.map(ToOwned::to_owned);
    let mut started = Started { child, base: String::new(), _settings: settings };
    let why = || {
        // Whoever cannot start says why, and ends.
        let said = complaints.and_then(|lines| lines.recv_timeout(START_MAX).ok());
        let said = said.unwrap_or_else(|| "it did not say where it listens".into());
        PlatformError::Serve(said.trim_start_matches("callrig: ").to_owned())
    };
    started.base = base.ok_or_else(why)?;
    Ok(started)
}

/// The lines of an output, which is read to its end whether anybody wants them or not: it would
/// hold up who writes it.
fn lines(output: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}
