//! Legs: what a person does in a call, or with one that rings.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use callrig_corpora::format::wav;
use callrig_media::dtmf;
use callrig_signaling::graph::Tone;
use callrig_signaling::service::{CommandError, LegLine};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::calls::{LISTED_MAX, Speech, connection, program, shard_of};
use super::{Answers, Operation, Outcome, bad, command, leg, missing};
use crate::serve::Live;
use crate::world::live::people::Switchboard as _;
use crate::world::live::phone::{self, Then};

/// How many keys one command presses.
const KEYS_MAX: usize = 32;

pub(super) fn operations() -> Vec<Operation> {
    let post_to = |path, id, handler| Operation::new(Method::POST, path, id, handler);
    vec![
        Operation::new(
            Method::GET,
            "/rig/legs",
            ("listLegs", "The legs of all calls, and what rings at people."),
            get(list),
        )
        .answers::<Value>(StatusCode::OK),
        Operation::new(
            Method::GET,
            "/rig/legs/{leg}",
            (
                "getLeg",
                "One leg, with what its phone and the platform send and count; for a while after \
                 its end too.",
            ),
            get(one),
        )
        .answers::<Value>(StatusCode::OK),
        Operation {
            answers: Answers::Other("audio/wav"),
            ..Operation::new(
                Method::GET,
                "/rig/legs/{leg}/heard.wav",
                ("getHeard", "What a phone that listens has heard, at most its first ten minutes."),
                get(heard),
            )
        },
        Operation::new(
            Method::GET,
            "/rig/legs/{leg}/mouthToEar",
            (
                "getMouthToEar",
                "How long after a phone that listens said something it hears it: of a bot that \
                 sends back what it gets.",
            ),
            get(mouth_to_ear),
        )
        .answers::<MouthToEar>(StatusCode::OK),
        post_to(
            "/rig/legs/{leg}/answer",
            (
                "answer",
                "The person takes the call of a bot, with a phone of ours or one that is elsewhere.",
            ),
            post(answer),
        )
        .takes::<Speech>(),
        post_to(
            "/rig/legs/{leg}/decline",
            ("decline", "The person declines the call of a bot."),
            post(decline),
        ),
        post_to(
            "/rig/legs/{leg}/hangUp",
            (
                "hangUp",
                "The person hangs up or leaves a meeting, in the call or before it is answered.",
            ),
            post(hang_up),
        ),
        post_to(
            "/rig/legs/{leg}/press",
            ("press", "The person presses keys, one after the other."),
            post(press),
        )
        .takes::<Press>(),
        post_to(
            "/rig/legs/{leg}/play",
            ("play", "The person says something, instead of what is being said."),
            post(play),
        )
        .takes::<Play>(),
        post_to(
            "/rig/legs/{leg}/askForKeyFrame",
            (
                "askForKeyFrame",
                "The person's phone asks for a key frame (PLI) of what it is shown; `getLeg` says \
                 how long that took.",
            ),
            post(ask_for_key_frame),
        ),
        post_to(
            "/rig/legs/{leg}/silence",
            ("fallSilent", "The person says nothing more."),
            post(silence),
        ),
    ]
}

/// Keys to press.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Press {
    /// Out of `0` to `9`, `*`, `#` and `A` to `D`.
    pub keys: String,
    /// How the platform hears of them.
    #[serde(default)]
    pub how: How,
}

/// How the platform hears of a key.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// As telephone events (RFC 4733) of the phone, if it has any; otherwise directly.
    #[default]
    Phone,
    /// Directly, as if its tone had been heard.
    Direct,
}

/// Something to say.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Play {
    /// The id of a recording (`GET /rig/recordings`).
    pub play: String,
    /// What follows its end.
    #[serde(default)]
    pub then: Then,
}

/// How long it takes from mouth to ear.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MouthToEar {
    /// In milliseconds; none if nothing that was heard is like what was said.
    pub delay_ms: Option<f64>,
}

async fn list(State(live): State<Arc<Live>>) -> Outcome<Json<Value>> {
    let mut lines: Vec<LegLine> = Vec::new();
    for shard in &live.shards {
        let some =
            shard.ask(|inside| inside.actor.service.legs().take(LISTED_MAX).collect::<Vec<_>>());
        lines.extend(some.await?);
    }
    let ringing = live.people.ask(|people| people.actor.ringing().collect::<Vec<_>>()).await?;
    Ok(Json(json!({ "legs": lines, "ringing": ringing })))
}

async fn one(State(live): State<Arc<Live>>, Path(text): Path<String>) -> Outcome<Json<Value>> {
    let id = leg(&text)?;
    let line = shard_of(&live, id)?.ask(move |inside| inside.actor.service.leg_line(id)).await?;
    let phone = live.people.ask(move |people| people.actor.phone(id)).await?;
    if line.is_none() && phone.is_none() {
        return Err(missing("leg"));
    }
    let counted =
        shard_of(&live, id)?.ask(move |inside| inside.actor.service.leg_stats(id)).await?;
    Ok(Json(json!({ "leg": line, "phone": phone, "platform": { "stats": counted } })))
}

async fn mouth_to_ear(
    State(live): State<Arc<Live>>,
    Path(text): Path<String>,
) -> Outcome<Json<MouthToEar>> {
    let id = leg(&text)?;
    let exchanged = live.people.ask(move |people| people.actor.exchanged(id)).await?;
    let exchanged = exchanged.ok_or_else(|| missing("phone that said and heard something"))?;
    // Decodes and compares: not on a thread that serves.
    let delay = tokio::task::spawn_blocking(move || exchanged.mouth_to_ear()).await;
    let delay = delay.map_err(|error| bad(error.to_string()))?;
    Ok(Json(MouthToEar { delay_ms: delay.map(|delay| delay * 1e3) }))
}

async fn heard(State(live): State<Arc<Live>>, Path(text): Path<String>) -> Outcome<Response> {
    let id = leg(&text)?;
    let samples = live.people.ask(move |people| people.actor.heard(id)).await?;
    let samples = samples.ok_or_else(|| missing("phone"))?;
    let mut file = std::io::Cursor::new(Vec::new());
    wav::write_pcm(&mut file, phone::HEARD_RATE, 1, samples)
        .map_err(|error| bad(format!("What was heard cannot be written: {error}.")))?;
    Ok(([(header::CONTENT_TYPE, "audio/wav")], file.into_inner()).into_response())
}

async fn answer(
    State(live): State<Arc<Live>>,
    Path(text): Path<String>,
    request: Request,
) -> Outcome<StatusCode> {
    let id = leg(&text)?;
    let speech: Speech = command(request).await?;
    if let Some(offer) = speech.elsewhere()? {
        let answered = shard_of(&live, id)?.ask(move |inside| {
            inside.actor.service.answer(inside.now, id, offer)?;
            inside.actor.elsewhere.insert(id, None);
            Ok::<_, CommandError>(())
        });
        answered.await??;
        live.people.tell(move |people| people.taken_elsewhere(id))?;
        return Ok(StatusCode::ACCEPTED);
    }
    let program = program(&live, &speech).await?;
    let connection = connection(&live, &speech, program.as_ref()).await?;
    let listens = speech.listen;
    live.people.ask(move |people| people.answer(id, program, listens, connection)).await??;
    Ok(StatusCode::ACCEPTED)
}

async fn decline(State(live): State<Arc<Live>>, Path(text): Path<String>) -> Outcome<StatusCode> {
    let id = leg(&text)?;
    let shard = shard_of(&live, id)?;
    shard.ask(move |inside| inside.actor.service.decline(inside.now, id)).await??;
    Ok(StatusCode::NO_CONTENT)
}

async fn hang_up(State(live): State<Arc<Live>>, Path(text): Path<String>) -> Outcome<StatusCode> {
    let id = leg(&text)?;
    let shard = shard_of(&live, id)?;
    shard.ask(move |inside| inside.actor.service.hang_up(inside.now, id)).await??;
    Ok(StatusCode::NO_CONTENT)
}

async fn press(
    State(live): State<Arc<Live>>,
    Path(text): Path<String>,
    request: Request,
) -> Outcome<StatusCode> {
    let id = leg(&text)?;
    let asked: Press = command(request).await?;
    let keys: Option<Vec<dtmf::Tone>> = asked.keys.chars().map(dtmf::Tone::from_key).collect();
    let keys = keys
        .filter(|keys| (1..=KEYS_MAX).contains(&keys.len()))
        .ok_or_else(|| bad(format!("keys are 1 to {KEYS_MAX} of 0 to 9, *, #, A to D.")))?;
    let shard = shard_of(&live, id)?;
    if asked.how == How::Phone {
        let pressed = keys.clone();
        let done = live.people.ask(move |people| people.actor.press(people.now, id, &pressed));
        if done.await?? {
            return Ok(StatusCode::ACCEPTED);
        }
    }
    let tones = keys.into_iter().filter_map(|key| Tone::from_code(key as u8));
    let tones: Vec<Tone> = tones.collect();
    let pressed = shard.ask(move |inside| {
        tones.iter().try_for_each(|tone| inside.actor.service.press(inside.now, id, tone))
    });
    pressed.await??;
    Ok(StatusCode::ACCEPTED)
}

async fn play(
    State(live): State<Arc<Live>>,
    Path(text): Path<String>,
    request: Request,
) -> Outcome<StatusCode> {
    let id = leg(&text)?;
    let asked: Play = command(request).await?;
    let speech = Speech { play: Some(asked.play), then: asked.then, ..Speech::default() };
    let program = program(&live, &speech).await?;
    live.people.ask(move |people| people.actor.play(people.now, id, program)).await??;
    Ok(StatusCode::ACCEPTED)
}

async fn ask_for_key_frame(
    State(live): State<Arc<Live>>,
    Path(text): Path<String>,
) -> Outcome<StatusCode> {
    let id = leg(&text)?;
    live.people.ask(move |people| people.actor.ask_for_key_frame(people.now, id)).await??;
    Ok(StatusCode::ACCEPTED)
}

async fn silence(State(live): State<Arc<Live>>, Path(text): Path<String>) -> Outcome<StatusCode> {
    let id = leg(&text)?;
    live.people.ask(move |people| people.actor.play(people.now, id, None)).await??;
    Ok(StatusCode::NO_CONTENT)
}
