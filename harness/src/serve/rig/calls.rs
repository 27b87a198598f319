//! Calls: a person calls a bot; which calls there are.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::routing::{get, post};
use callrig_media::description::Description;
use callrig_signaling::id::{AppId, CallId, LegId, UserId};
use callrig_signaling::service::directory::{App, User};
use callrig_signaling::service::{CallLine, Directory, Ringing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Operation, Outcome, bad, command, missing};
use crate::serve::Live;
use crate::serve::api::{self, Problem};
use crate::world::live::people::{PhoneId, Switchboard as _};
use crate::world::live::phone::{Program, Then};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::POST,
            "/rig/calls",
            (
                "callBot",
                "A person calls a bot. Without a body, the first person calls the first bot.",
            ),
            post(call).get(list),
        )
        .takes::<CallBot>()
        .answers::<Called>(StatusCode::CREATED),
        Operation::listed(Method::GET, "/rig/calls", ("listCalls", "The calls that are not over."))
            .answers::<Vec<Value>>(StatusCode::OK),
        Operation::new(Method::GET, "/rig/calls/{call}", ("getCall", "One call."), get(one))
            .answers::<Value>(StatusCode::OK),
    ]
}

/// What a person says, and how a phone is set up.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Speech {
    /// The id of a recording (`GET /rig/recordings`) that is played once the call is there.
    #[serde(default)]
    pub play: Option<String>,
    /// What follows its end.
    #[serde(default)]
    pub then: Then,
    /// Whether what comes back is decoded and kept (`GET /rig/legs/{leg}/heard.wav`).
    #[serde(default)]
    pub listen: bool,
}

/// A person calls a bot.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallBot {
    /// Who calls: an id or a name; the first person if it is left out.
    #[serde(default)]
    pub user: Option<String>,
    /// Whose bot is called: an id or a name; the first app with a webhook if it is left out.
    #[serde(default)]
    pub app: Option<String>,
    /// Whether the person has a phone that sends and receives; without, the call is
    /// signaling alone.
    #[serde(default = "yes")]
    pub media: bool,
    /// The id of a recording (`GET /rig/recordings`) that is played once the call is there.
    #[serde(default)]
    pub play: Option<String>,
    /// What follows its end.
    #[serde(default)]
    pub then: Then,
    /// Whether what comes back is decoded and kept (`GET /rig/legs/{leg}/heard.wav`).
    #[serde(default)]
    pub listen: bool,
}

const fn yes() -> bool {
    true
}

/// The bot is being told.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Called {
    /// The bot's call.
    pub call: String,
    /// The person's leg: the handle for everything the person does from now on.
    pub leg: String,
    /// Who called.
    pub user: String,
    /// Whose bot was called.
    pub app: String,
}

async fn call(
    State(live): State<Arc<Live>>,
    request: Request,
) -> Outcome<(StatusCode, Json<Called>)> {
    if live.is_draining() {
        return Err(crate::world::live::shard::Unavailable::Gone.into());
    }
    let asked: CallBot = command(request).await?;
    let directory = who(&live).await?;
    let user = find_user(&directory, asked.user.as_deref())?.id.clone();
    let app = find_app(&directory, asked.app.as_deref())?.id.clone();
    if !asked.media && (asked.play.is_some() || asked.listen) {
        return Err(bad("Without media nothing can be played or heard."));
    }
    let speech = Speech { play: asked.play, then: asked.then, listen: asked.listen };
    let ringing = match asked.media {
        true => ring_with_phone(&live, &user, &app, &speech).await?,
        false => ring(&live, &user, &app, silence(), None).await?,
    };
    let called = Called {
        call: ringing.call.to_string(),
        leg: ringing.leg.to_string(),
        user: user.to_string(),
        app: app.to_string(),
    };
    Ok((StatusCode::CREATED, Json(called)))
}

/// What somebody without a phone offers: sound that goes nowhere (RFC 863's port).
fn silence() -> Description {
    let nowhere = core::net::SocketAddr::from((core::net::Ipv4Addr::LOCALHOST, 9));
    Description::audio(nowhere)
}

async fn ring_with_phone(
    live: &Arc<Live>,
    user: &UserId,
    app: &AppId,
    speech: &Speech,
) -> Outcome<Ringing> {
    let program = program(live, speech).await?;
    let listens = speech.listen;
    let opened = live.people.ask(move |people| people.open_phone(program, listens)).await?;
    let (phone, offer) = opened?;
    let ringing = ring(live, user, app, offer, Some(phone)).await;
    if ringing.is_err() {
        live.people.tell(move |people| people.discard_phone(phone))?;
    }
    ringing
}

/// Rings, and gives the leg its phone before anything else can be said of it.
async fn ring(
    live: &Arc<Live>,
    user: &UserId,
    app: &AppId,
    offer: Description,
    phone: Option<PhoneId>,
) -> Outcome<Ringing> {
    let shard = live.shard(api::home_of(live, app.as_str()))?;
    let (user, app, people) = (user.clone(), app.clone(), live.people.clone());
    let rung = shard.ask(move |inside| {
        let rung = inside.actor.service.ring_bot(inside.now, &user, &app, offer);
        if let (Ok(ringing), Some(phone)) = (&rung, phone) {
            let leg = ringing.leg;
            inside.actor.phones.insert(leg);
            if let Err(error) = people.tell(move |people| people.connect_phone(phone, leg)) {
                tracing::error!(%leg, %error, "a leg goes without its phone");
            }
        }
        rung
    });
    Ok(rung.await??)
}

/// What a person is to say, if anything.
///
/// # Errors
/// No such recording, or one that cannot be played.
pub(super) async fn program(live: &Arc<Live>, speech: &Speech) -> Outcome<Option<Program>> {
    let Some(id) = speech.play.clone() else { return Ok(None) };
    let (live, then) = (Arc::clone(live), speech.then);
    // Reads and encodes: not on a thread that serves.
    let found = tokio::task::spawn_blocking(move || live.library.find(&id)).await;
    let subject = found.map_err(|error| bad(error.to_string()))??;
    Ok(Some(Program::of(&subject, then)))
}

/// Who there is.
pub(super) async fn who(live: &Live) -> Outcome<Directory> {
    Ok(live.shard(0)?.ask(|inside| inside.actor.service.directory()).await?)
}

/// A person by id or name, or the first one.
pub(super) fn find_user<'a>(directory: &'a Directory, asked: Option<&str>) -> Outcome<&'a User> {
    let mut users = directory.tenants.iter().flat_map(|tenant| &tenant.users);
    let found = match asked {
        None => users.next(),
        Some(asked) => {
            let id = UserId::new(asked);
            users.find(|user| user.id == id || user.name.eq_ignore_ascii_case(asked))
        }
    };
    found.ok_or_else(|| missing(format!("user: {:?}", asked.unwrap_or("the first one"))))
}

fn find_app<'a>(directory: &'a Directory, asked: Option<&str>) -> Outcome<&'a App> {
    let mut apps = directory.apps.iter();
    let found = match asked {
        None => apps.find(|app| app.webhook.is_some()),
        Some(asked) => {
            let id = AppId::new(asked);
            apps.find(|app| app.id == id || app.name.eq_ignore_ascii_case(asked))
        }
    };
    found.ok_or_else(|| missing(format!("app: {:?}", asked.unwrap_or("one with a webhook"))))
}

/// How many calls or legs are listed, of each shard.
pub(super) const LISTED_MAX: usize = 1_000;

async fn list(State(live): State<Arc<Live>>) -> Outcome<Json<Vec<CallLine>>> {
    let mut lines = Vec::new();
    for shard in &live.shards {
        let some =
            shard.ask(|inside| inside.actor.service.calls().take(LISTED_MAX).collect::<Vec<_>>());
        lines.extend(some.await?);
    }
    Ok(Json(lines))
}

async fn one(State(live): State<Arc<Live>>, Path(call): Path<String>) -> Outcome<Json<Value>> {
    let id = CallId::parse(&call).ok_or_else(|| missing("call"))?;
    let shard = live.shard(id.shard()).map_err(|_| missing("call"))?;
    let found = shard.ask(move |inside| {
        let service = &inside.actor.service;
        let line = service.call_line(id)?;
        let legs: Vec<_> = service.legs_of(line.conversation).collect();
        Some(json!({ "call": line, "legs": legs }))
    });
    found.await?.map(Json).ok_or_else(|| missing("call"))
}

/// The shard of a leg.
pub(super) fn shard_of(
    live: &Live,
    leg: LegId,
) -> Result<&crate::world::live::shard::Handle<crate::world::live::platform::Platform>, Problem> {
    live.shard(leg.shard()).map_err(|_| missing("leg"))
}
