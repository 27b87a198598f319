//! Calls: a person calls a bot; which calls there are.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::routing::{get, post};
use callrig_media::description::Description;
use callrig_media::time::Instant;
use callrig_media::transport::sdp;
use callrig_signaling::id::{AppId, CallId, LegId, UserId};
use callrig_signaling::service::directory::{App, User};
use callrig_signaling::service::{CallLine, CommandError, Directory, Service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Operation, Outcome, bad, command, missing};
use crate::serve::Live;
use crate::serve::api::{self, Problem};
use crate::world::live::people::{PeopleError, PhoneId, Switchboard as _};
use crate::world::live::phone::{Program, Then};
use crate::world::live::wire::{Connection, Transport};

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
    /// What the person's phone speaks: `rtp` or `webrtc`.
    #[serde(default)]
    pub transport: Transport,
    /// An offer in SDP, by the phone that the person has elsewhere: a browser's, of WebRTC, or
    /// one of plain RTP; the answer is at `GET /rig/legs/{leg}/answer.sdp`.
    #[serde(default)]
    pub offer: Option<String>,
}

impl Speech {
    /// What a phone elsewhere offers, if the person has one.
    ///
    /// # Errors
    /// It cannot be understood, or is to do what only phones of ours do.
    pub(super) fn elsewhere(&self) -> Outcome<Option<Description>> {
        let Some(text) = &self.offer else { return Ok(None) };
        if self.acts() {
            return Err(bad("A phone that offers has media, and plays and hears for itself."));
        }
        let refuse = |error| bad(format!("offer: {error}."));
        sdp::parse(text).map(Some).map_err(refuse)
    }

    /// Whether a phone of ours is to do something.
    fn acts(&self) -> bool {
        self.play.is_some() || self.listen || self.transport != Transport::default()
    }
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
    /// An offer in SDP, by the phone that the person has elsewhere: a browser's, of WebRTC, or
    /// one of plain RTP; the answer is at `GET /rig/legs/{leg}/answer.sdp` once the bot has
    /// answered.
    #[serde(default)]
    pub offer: Option<String>,
    /// The id of a recording (`GET /rig/recordings`) that is played once the call is there.
    #[serde(default)]
    pub play: Option<String>,
    /// What follows its end.
    #[serde(default)]
    pub then: Then,
    /// Whether what comes back is decoded and kept (`GET /rig/legs/{leg}/heard.wav`).
    #[serde(default)]
    pub listen: bool,
    /// What the person's phone speaks: `rtp` or `webrtc`.
    #[serde(default)]
    pub transport: Transport,
}

pub(super) const fn yes() -> bool {
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
    let CallBot { play, then, listen, transport, offer, .. } = asked;
    let speech = Speech { play, then, listen, transport, offer };
    let means = Means { user: user.clone(), media: asked.media, speech };
    let home = api::home_of(&live, app.as_str());
    let (caller, callee) = (user.clone(), app.clone());
    let rung = begin(&live, home, means, move |service, now, offer| {
        let ringing = service.ring_bot(now, &caller, &callee, offer)?;
        Ok((ringing.leg, ringing.call))
    });
    let (leg, call) = rung.await?;
    let called = Called {
        call: call.to_string(),
        leg: leg.to_string(),
        user: user.to_string(),
        app: app.to_string(),
    };
    Ok((StatusCode::CREATED, Json(called)))
}

/// By what means somebody comes into a call.
pub(super) struct Means {
    /// Who.
    pub user: UserId,
    /// Whether there is anything that sends and receives.
    pub media: bool,
    /// What a phone of ours does, or one elsewhere offers.
    pub speech: Speech,
}

enum Endpoint {
    Nothing,
    Phone(PhoneId),
    Elsewhere,
}

/// What somebody without a phone offers: sound that goes nowhere (RFC 863's port).
fn silence() -> Description {
    let nowhere = core::net::SocketAddr::from((core::net::Ipv4Addr::LOCALHOST, 9));
    Description::audio(nowhere)
}

async fn endpoint(live: &Arc<Live>, means: Means) -> Outcome<(Endpoint, Description)> {
    let Means { user, media, speech } = means;
    match speech.elsewhere()? {
        Some(_) if !media => Err(bad("A phone that offers has media.")),
        Some(offer) => Ok((Endpoint::Elsewhere, offer)),
        None if media => {
            let program = program(live, &speech).await?;
            let connection = connection(live, &speech, program.as_ref()).await?;
            let opened = live
                .people
                .ask(move |people| people.open_phone(user, program, speech.listen, connection));
            let (phone, offer) = opened.await??;
            Ok((Endpoint::Phone(phone), offer))
        }
        None if speech.acts() => Err(bad("Without media nothing can be played or heard.")),
        None => Ok((Endpoint::Nothing, silence())),
    }
}

/// Somebody comes into a call, or begins one: the new leg gets its phone before anything
/// else can be said of it.
pub(super) async fn begin<T: Send + 'static>(
    live: &Arc<Live>,
    shard: u16,
    means: Means,
    command: impl FnOnce(&mut Service, Instant, Description) -> Result<(LegId, T), CommandError>
    + Send
    + 'static,
) -> Outcome<(LegId, T)> {
    let shard = live.shard(shard)?;
    let (endpoint, offer) = endpoint(live, means).await?;
    let people = live.people.clone();
    let phone = match endpoint {
        Endpoint::Phone(phone) => Some(phone),
        Endpoint::Nothing | Endpoint::Elsewhere => None,
    };
    let begun = shard.ask(move |inside| {
        let begun = command(&mut inside.actor.service, inside.now, offer);
        match (&begun, endpoint) {
            (Ok((leg, _)), Endpoint::Phone(phone)) => {
                let leg = *leg;
                inside.actor.phones.insert(leg);
                if let Err(error) = people.tell(move |people| people.connect_phone(phone, leg)) {
                    tracing::error!(%leg, %error, "a leg goes without its phone");
                }
            }
            (Ok((leg, _)), Endpoint::Elsewhere) => {
                inside.actor.elsewhere.insert(*leg, None);
            }
            _ => {}
        }
        begun
    });
    let begun = match begun.await {
        Ok(begun) => begun.map_err(Problem::from),
        Err(error) => Err(error.into()),
    };
    if let (Err(_), Some(phone)) = (&begun, phone) {
        live.people.tell(move |people| people.discard_phone(phone))?;
    }
    begun
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

/// The connection of a phone that speaks WebRTC.
///
/// # Errors
/// It cannot be opened.
pub(super) async fn connection(
    live: &Live,
    speech: &Speech,
    program: Option<&Program>,
) -> Outcome<Option<Connection>> {
    match speech.transport {
        Transport::Rtp => Ok(None),
        Transport::Webrtc => {
            let host = live.settings.media.address;
            let opened = Connection::open(host, program, live.people.clone()).await;
            Ok(Some(opened.map_err(PeopleError::from)?))
        }
    }
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

pub(super) fn find_app<'a>(directory: &'a Directory, asked: Option<&str>) -> Outcome<&'a App> {
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
