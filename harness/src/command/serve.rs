//! `callrig serve`: the platform at your desk.

use std::io::IsTerminal as _;

use anyhow::{Context as _, anyhow};
use tokio::signal;

use super::{Failure, say};
use crate::cli::{ExitCode, LogFormat, Serve};
use crate::serve::settings::{DEMONSTRATION, Listener, Settings};
use crate::serve::{self, Running, tls};

/// Serves until it is told to stop.
pub(super) fn serve(arguments: &Serve) -> Result<ExitCode, Failure> {
    if arguments.print_config {
        say(DEMONSTRATION)?;
        return Ok(ExitCode::Ok);
    }
    let settings = settings(arguments)?;
    if arguments.check {
        say("the settings can be used\n")?;
        return Ok(ExitCode::Ok);
    }
    log(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that serve")?;
    runtime.block_on(run(arguments, settings))
}

async fn run(arguments: &Serve, settings: Settings) -> Result<ExitCode, Failure> {
    let running = serve::start(settings).await?;
    if let Some(path) = &arguments.write_ca {
        let authority = running.live().authority.as_deref();
        let pem = authority.ok_or_else(|| {
            Failure::usage(anyhow!(
                "--write-ca: the certificate is your own; its authority is not known here"
            ))
        })?;
        tls::write_authority(path, pem)?;
    }
    say(&welcome(arguments, &running))?;
    stopped().await?;
    tracing::info!("stopping: calls are ended and their bots told; again to stop at once");
    tokio::select! {
        left = running.stop() => {
            if left > 0 {
                tracing::warn!(calls = left, "could not be told to their bots in time");
            }
        }
        again = stopped() => again?,
    }
    Ok(ExitCode::Ok)
}

/// Ctrl-C, or what an init system sends.
async fn stopped() -> Result<(), Failure> {
    #[cfg(unix)]
    {
        let mut terminated = signal::unix::signal(signal::unix::SignalKind::terminate())
            .context("cannot wait for SIGTERM")?;
        tokio::select! {
            pressed = signal::ctrl_c() => pressed.context("cannot wait for Ctrl-C")?,
            _ = terminated.recv() => {}
        }
    }
    #[cfg(not(unix))]
    signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    Ok(())
}

fn settings(arguments: &Serve) -> Result<Settings, Failure> {
    let read = match &arguments.config {
        Some(path) => Settings::read(path),
        None => Settings::parse("the demonstration", DEMONSTRATION),
    };
    let mut settings = read.map_err(Failure::usage)?;
    if !arguments.listen.is_empty() || !arguments.listen_tls.is_empty() {
        let plain = arguments.listen.iter().map(|address| (*address, false));
        let encrypted = arguments.listen_tls.iter().map(|address| (*address, true));
        settings.listeners =
            plain.chain(encrypted).map(|(address, tls)| Listener { address, tls }).collect();
    }
    if let Some(bot) = &arguments.bot {
        let app = settings.apps.first_mut();
        let app = app.ok_or_else(|| Failure::usage(anyhow!("--bot: the settings have no app")))?;
        app.webhook = Some(bot.clone());
    }
    Ok(settings)
}

fn log(arguments: &Serve) -> Result<(), Failure> {
    // That a browser's hello has extensions which DTLS ignores is no news; whoever wants it
    // names it.
    let filter = format!("rtc_dtls=error,{}", arguments.log);
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|error| Failure::usage(anyhow!("--log {:?}: {error}", arguments.log)))?;
    let ansi = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi);
    match arguments.log_format {
        LogFormat::Text => logs.with_target(false).init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}

/// What a person who has just started it wants to know. The first lines are read by
/// programs too.
fn welcome(arguments: &Serve, running: &Running) -> String {
    use core::fmt::Write as _;
    let mut text = String::new();
    // Writing to a string cannot fail.
    for (address, tls) in running.addresses() {
        let scheme = if *tls { "https" } else { "http" };
        let _ = writeln!(text, "listening on {scheme}://{address}");
    }
    let live = running.live();
    let base = &live.base_url;
    let app = live.settings.apps.first();
    let _ = write!(
        text,
        "\nYour bot
  Graph            {base}/v1.0   (and /beta)
  token endpoint   {base}/<tenant>/oauth2/v2.0/token
"
    );
    if let Some(app) = app {
        let webhook = app.webhook.as_deref().unwrap_or("(none: it cannot be called)");
        let _ = writeln!(text, "  app id           {}", app.id);
        // The demonstration's secret is none.
        if let Some(secret) = app.secret.as_ref().filter(|_| arguments.config.is_none()) {
            let _ = writeln!(text, "  app secret       {secret}");
        }
        let _ = writeln!(text, "  webhook          {webhook}");
    }
    let _ = write!(
        text,
        "
Call it yourself   {base}/   (a softphone, in a browser)
Ring it            curl -X POST {base}/rig/calls
with a recording   curl {base}/rig/calls --json '{{\"play\": \"audio/opus-20ms-32k-mono-en\"}}'
Watch              curl -N {base}/rig/events
Everything else    {base}/rig/openapi.json, {base}/metrics, {base}/health
"
    );
    if arguments.config.is_none() {
        text.push_str("Your own settings  callrig serve --print-config > rig.toml\n");
    }
    text
}
