//! `callrig corpus record`: a leg of a live call becomes a recording of the corpora. What
//! comes is kept beside the corpora until all of it is there and is what it should be, so that
//! a recording and its entry are written whole or not at all.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use callrig_corpora::manifest::Content;
use callrig_corpora::manifest::import::Pictures;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use tempfile::NamedTempFile;

use super::corpus::{Newcomer, hints, take_in};
use super::{Failure, say};
use crate::cli::{ExitCode, Record};

/// How long the rig may take to answer at all.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Records, then takes the recording in.
pub(super) fn record(manifest: &Path, arguments: &Record) -> Result<ExitCode, Failure> {
    if !manifest.exists() {
        return Err(anyhow!("{} is not there: see --corpora", manifest.display()).into());
    }
    let hints = hints(&arguments.entry)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let Fetched { file, leg, pictures } = runtime.block_on(fetch(arguments))?;
    let newcomer = Newcomer {
        file: file.path(),
        name: format!("leg {leg}"),
        id: arguments.id.clone(),
        origin: format!("recorded live from leg {leg}"),
        recipe: "none: it was recorded once, by callrig corpus record",
        pcapng: true,
        pictures,
    };
    let text = take_in(manifest, newcomer, &arguments.entry, hints)
        .context("what was recorded is not taken in, and nothing was written")?;
    say(&text)?;
    Ok(ExitCode::Ok)
}

/// A capture, whose it is, and what is known of its pictures.
struct Fetched {
    file: NamedTempFile,
    leg: String,
    pictures: BTreeMap<u32, Pictures>,
}

/// Fetches the capture.
async fn fetch(arguments: &Record) -> anyhow::Result<Fetched> {
    crate::web::choose_cryptography();
    let client = reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(ANSWER_MAX)
        .build()
        .context("cannot set up the HTTP client")?;
    let get = |path: &str| {
        let request = client.get(format!("{}{path}", arguments.rig.trim_end_matches('/')));
        match &arguments.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    };
    let leg = match &arguments.leg {
        Some(leg) => leg.clone(),
        None => {
            let answer = get("/rig/legs").timeout(ANSWER_MAX).send().await;
            let answer = answer.and_then(reqwest::Response::error_for_status);
            let answer = answer.with_context(|| {
                format!("no rig answers at {}; start `callrig serve`", arguments.rig)
            })?;
            only_leg(&answer.json().await.context("the rig's legs are not JSON")?)?
        }
    };
    // The leg may end while it is recorded, and its streams may begin.
    let about = || async {
        let answer = get(&format!("/rig/legs/{leg}")).timeout(ANSWER_MAX).send().await.ok()?;
        Some(pictures(&answer.json().await.ok()?))
    };
    let mut known = about().await.unwrap_or_default();
    let way = match arguments.way {
        crate::world::live::capture::Way::In => "in",
        crate::world::live::capture::Way::Out => "out",
        crate::world::live::capture::Way::Both => "both",
    };
    let seconds = arguments.duration.as_secs_f64();
    let path = format!("/rig/legs/{leg}/capture.pcapng?seconds={seconds}&way={way}");
    let mut answer = get(&path)
        .send()
        .await
        .with_context(|| format!("no rig answers at {}; start `callrig serve`", arguments.rig))?;
    if !answer.status().is_success() {
        let status = answer.status();
        let words = answer.text().await.unwrap_or_default();
        bail!(
            "leg {leg} cannot be recorded: {status} {words}; `curl {}/rig/legs` shows the legs",
            arguments.rig
        );
    }
    let mut file = tempfile::Builder::new()
        .suffix(".pcapng")
        .tempfile()
        .context("no room for what is recorded")?;
    let progress = progress();
    let mut bytes = 0_u64;
    loop {
        let piece = answer.chunk().await.context(
            "the recording broke off, so nothing was written: packets came faster than they were \
             taken, or the server ended",
        )?;
        let Some(piece) = piece else { break };
        file.write_all(&piece).context("no room for what is recorded")?;
        bytes += piece.len() as u64;
        progress.set_position(bytes);
    }
    progress.finish_and_clear();
    file.flush().context("no room for what is recorded")?;
    known.extend(about().await.unwrap_or_default());
    Ok(Fetched { file, leg, pictures: known })
}

/// What the statistics of a leg say of its streams of pictures.
fn pictures(leg: &Value) -> BTreeMap<u32, Pictures> {
    let stats = &leg["platform"]["stats"];
    let streams = ["inbound", "outbound"].map(|way| stats[way].as_array());
    let known = streams.into_iter().flatten().flatten().filter_map(|stream| {
        let ssrc = u32::try_from(stream["ssrc"].as_u64()?).ok()?;
        let layer = stream["rid"].as_str().map(str::to_owned);
        let content = (stream["kind"] == "screenSharing").then_some(Content::Slides);
        Some((ssrc, Pictures { layer, content }))
    });
    known.collect()
}

/// On a terminal, what has come; elsewhere the end is soon enough.
fn progress() -> ProgressBar {
    let shown = std::io::stderr().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("recording  {elapsed}  {bytes}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The leg of a person, where there is one only.
fn only_leg(answer: &Value) -> anyhow::Result<String> {
    let legs = answer["legs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let people = legs.iter().filter(|leg| leg["party"].get("user").is_some());
    let mut found = people.filter_map(|leg| leg["id"].as_str());
    match (found.next(), found.next()) {
        (Some(leg), None) => Ok(leg.to_owned()),
        (None, _) => bail!("nobody is in a call: begin one, or name a leg with --leg"),
        (Some(_), Some(_)) => {
            let list: Vec<_> =
                legs.iter().map(|leg| format!("  {} {}", leg["id"], leg["party"])).collect();
            bail!("several people are in calls; say which with --leg:\n{}", list.join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_statistics_say_of_layers_and_screens_is_kept() {
        let leg = serde_json::json!({ "platform": { "stats": {
            "inbound": [
                { "ssrc": 1, "kind": "video", "rid": "f" },
                { "ssrc": 2, "kind": "screenSharing" },
                { "ssrc": -1, "kind": "video" },
            ],
            "outbound": [{ "ssrc": 3, "kind": "audio" }],
        } } });
        let slides = Pictures { content: Some(Content::Slides), ..Pictures::default() };
        let layer = Pictures { layer: Some("f".to_owned()), ..Pictures::default() };
        let expected = BTreeMap::from([(1, layer), (2, slides), (3, Pictures::default())]);
        assert_eq!(pictures(&leg), expected);
        assert_eq!(pictures(&serde_json::json!([])), BTreeMap::new());
    }
}
