//! Who there is: people, apps, what apps may do; and what people do when it rings. Every
//! shard has the same directory, and is told of every change.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::routing::{get, put};
use callrig_signaling::id::{AppId, TenantId, UserId};
use callrig_signaling::service::directory::{App, Permission, User};
use callrig_signaling::service::{Directory, Presence, UriPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::calls::{Speech, find_app, find_user, program, who};
use super::{Operation, Outcome, bad, command, missing};
use crate::network;
use crate::serve::Live;
use crate::world::live::people::Habit;
use crate::world::live::phone::Then;
use crate::world::live::platform::Platform;
use crate::world::live::shard::Inside;
use crate::world::live::wire::Transport;

/// How many people, and how many apps, can be brought along.
const MEMBERS_MAX: usize = 100_000;
/// The longest a phone rings by habit.
const RINGING_MAX: Duration = Duration::from_secs(600);

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/rig/directory",
            (
                "getDirectory",
                "Tenants with their people and grants, and apps without their secrets.",
            ),
            get(list),
        )
        .answers::<Value>(StatusCode::OK),
        Operation::new(
            Method::PUT,
            "/rig/users/{user}",
            ("putUser", "Takes a person in, or replaces one."),
            put(put_user).delete(remove_user),
        )
        .takes::<PutUser>(),
        Operation::listed(
            Method::DELETE,
            "/rig/users/{user}",
            ("removeUser", "Forgets a person; calls that go on are not touched."),
        ),
        Operation::new(
            Method::PUT,
            "/rig/users/{user}/habit",
            ("setHabit", "What a person does from now on when a bot calls."),
            put(set_habit),
        )
        .takes::<SetHabit>(),
        Operation::new(
            Method::PUT,
            "/rig/users/{user}/presence",
            ("setPresence", "What a person's endpoints say when somebody calls."),
            put(set_presence),
        )
        .takes::<SetPresence>(),
        Operation::new(
            Method::PUT,
            "/rig/users/{user}/network",
            ("setNetwork", "What lies between a person's phones and the platform, at once."),
            put(set_network),
        )
        .takes::<SetNetwork>(),
        Operation::new(
            Method::PUT,
            "/rig/users/{user}/recorder",
            ("setRecorder", "Which bot records a person by policy; without one, none does."),
            put(set_recorder),
        )
        .takes::<SetRecorder>(),
        Operation::new(
            Method::PUT,
            "/rig/apps/{app}",
            ("putApp", "Takes an app in, or replaces one."),
            put(put_app).delete(remove_app),
        )
        .takes::<PutApp>(),
        Operation::listed(
            Method::DELETE,
            "/rig/apps/{app}",
            ("removeApp", "Forgets an app and what it was granted."),
        ),
        Operation::new(
            Method::PUT,
            "/rig/tenants/{tenant}/grants/{app}",
            ("grant", "Replaces what an organisation lets an app do."),
            put(grant),
        )
        .takes::<Grant>(),
    ]
}

/// A person.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutUser {
    /// The organisation; the first one if it is left out.
    #[serde(default)]
    pub tenant: Option<String>,
    /// For people to read.
    pub name: String,
    /// Such as `en-US`.
    #[serde(default)]
    pub language: Option<String>,
    /// Two letters, such as `DE`.
    #[serde(default)]
    pub country: Option<String>,
}

/// An app.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutApp {
    /// For people to read.
    pub name: String,
    /// Where its bot is told of calls.
    #[serde(default)]
    pub webhook: Option<String>,
    /// What it proves itself with at the token endpoint.
    #[serde(default)]
    pub secret: Option<String>,
}

/// What an app may do.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// By their names in Microsoft's reference, such as `Calls.Initiate.All`.
    #[schemars(with = "Vec<String>")]
    pub permissions: BTreeSet<Permission>,
}

/// What a person does when a bot calls.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetHabit {
    /// What.
    pub on_ring: OnRing,
    /// How long it rings before.
    #[serde(default)]
    pub after_ms: u32,
    /// The id of a recording that is played once the call is there.
    #[serde(default)]
    pub play: Option<String>,
    /// What follows its end.
    #[serde(default)]
    pub then: Then,
    /// Whether what comes back is decoded and kept.
    #[serde(default)]
    pub listen: bool,
    /// What the person's phone speaks: `rtp` or `webrtc`.
    #[serde(default)]
    pub transport: Transport,
}

/// What a person does.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnRing {
    /// Lets it ring.
    LetRing,
    /// Answers.
    Answer,
    /// Declines.
    Decline,
}

/// What a person's endpoints say.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetPresence {
    /// `available`, `doNotDisturb`, `offline` or `unreachable`.
    #[schemars(with = "String")]
    pub presence: Presence,
}

/// On which network a person is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetNetwork {
    /// A preset (`callrig list` shows them), such as `lte` or `loss-5`; `clean` is none.
    pub network: String,
}

/// Who records a person.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetRecorder {
    /// The bot's app: an id or a name; nobody without it.
    #[serde(default)]
    pub app: Option<String>,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    directory: Directory,
}

async fn list(State(live): State<Arc<Live>>) -> Outcome<Json<Value>> {
    let mut directory = who(&live).await?;
    for app in &mut directory.apps {
        app.secret = None;
    }
    let shown = serde_json::to_value(Shown { directory });
    shown.map(Json).map_err(|error| bad(error.to_string()))
}

/// Does the same on every shard; says what the last one said.
pub(super) async fn everywhere<R: Send + 'static>(
    live: &Live,
    change: impl Fn(&mut Inside<'_, Platform>) -> R + Clone + Send + 'static,
) -> Outcome<R> {
    let (first, rest) = live.shards.split_first().ok_or_else(|| missing("shard"))?;
    let mut outcome = first.ask(change.clone()).await?;
    for shard in rest {
        outcome = shard.ask(change.clone()).await?;
    }
    Ok(outcome)
}

fn short(what: &str, text: &str) -> Outcome<()> {
    match text.len() {
        1..=256 => Ok(()),
        _ => Err(bad(format!("{what} has 1 to 256 bytes."))),
    }
}

async fn put_user(
    State(live): State<Arc<Live>>,
    Path(user): Path<String>,
    request: Request,
) -> Outcome<StatusCode> {
    let asked: PutUser = command(request).await?;
    short("The id", &user)?;
    short("name", &asked.name)?;
    let directory = who(&live).await?;
    let count: usize = directory.tenants.iter().map(|tenant| tenant.users.len()).sum();
    if count >= MEMBERS_MAX {
        return Err(bad(format!("There are {MEMBERS_MAX} people already.")));
    }
    let tenant = match asked.tenant {
        Some(tenant) => TenantId::new(&tenant),
        None => directory
            .tenants
            .first()
            .map(|one| one.id.clone())
            .ok_or_else(|| bad("There is no organisation yet: name one as tenant."))?,
    };
    let user = User {
        id: UserId::new(&user),
        name: asked.name,
        language: asked.language,
        country: asked.country,
    };
    everywhere(&live, move |inside| {
        inside.actor.service.put_user(tenant.clone(), user.clone());
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_user(
    State(live): State<Arc<Live>>,
    Path(user): Path<String>,
) -> Outcome<StatusCode> {
    let user = UserId::new(&user);
    let gone = everywhere(&live, move |inside| inside.actor.service.remove_user(&user)).await?;
    if gone { Ok(StatusCode::NO_CONTENT) } else { Err(missing("user")) }
}

async fn set_habit(
    State(live): State<Arc<Live>>,
    Path(user): Path<String>,
    request: Request,
) -> Outcome<StatusCode> {
    let asked: SetHabit = command(request).await?;
    let directory = who(&live).await?;
    let user = find_user(&directory, Some(&user))?.id.clone();
    let after = Duration::from_millis(asked.after_ms.into());
    if after > RINGING_MAX {
        return Err(bad(format!("afterMs is at most {}.", RINGING_MAX.as_millis())));
    }
    let habit = match asked.on_ring {
        OnRing::LetRing => Habit::LetRing,
        OnRing::Decline => Habit::Decline { after },
        OnRing::Answer => {
            let SetHabit { play, then, listen, transport, .. } = asked;
            let speech = Speech { play, then, listen, transport, offer: None };
            let program = program(&live, &speech).await?;
            Habit::Answer { after, program, listens: listen, transport }
        }
    };
    live.people.ask(move |people| people.actor.set_habit(user, habit)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_presence(
    State(live): State<Arc<Live>>,
    Path(user): Path<String>,
    request: Request,
) -> Outcome<StatusCode> {
    let presence = command::<SetPresence>(request).await?.presence;
    let user = find_user(&who(&live).await?, Some(&user))?.id.clone();
    let set =
        move |inside: &mut Inside<'_, Platform>| inside.actor.service.set_presence(&user, presence);
    everywhere(&live, set).await??;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_network(
    State(live): State<Arc<Live>>,
    Path(user): Path<String>,
    request: Request,
) -> Outcome<StatusCode> {
    let asked: SetNetwork = command(request).await?;
    let network = network::find(&asked.network).map_err(|error| bad(format!("{error}.")))?;
    let user = find_user(&who(&live).await?, Some(&user))?.id.clone();
    live.people.ask(move |people| people.actor.set_network(user, network)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_recorder(
    State(live): State<Arc<Live>>,
    Path(user): Path<String>,
    request: Request,
) -> Outcome<StatusCode> {
    let asked: SetRecorder = command(request).await?;
    let directory = who(&live).await?;
    let user = find_user(&directory, Some(&user))?.id.clone();
    let app = match &asked.app {
        Some(app) => Some(find_app(&directory, Some(app))?.id.clone()),
        None => None,
    };
    everywhere(&live, move |inside| {
        inside.actor.service.set_recording_policy(user.clone(), app.clone());
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn put_app(
    State(live): State<Arc<Live>>,
    Path(app): Path<String>,
    request: Request,
) -> Outcome<StatusCode> {
    let asked: PutApp = command(request).await?;
    short("The id", &app)?;
    short("name", &asked.name)?;
    let policy = UriPolicy::from(live.settings.callbacks.uris);
    if let Some(webhook) = asked.webhook.as_ref().filter(|webhook| !policy.allows(webhook)) {
        return Err(bad(format!("The webhook {webhook:?} may not be called: see callbacks.uris.")));
    }
    if who(&live).await?.apps.len() >= MEMBERS_MAX {
        return Err(bad(format!("There are {MEMBERS_MAX} apps already.")));
    }
    let app = App {
        id: AppId::new(&app),
        name: asked.name,
        webhook: asked.webhook,
        secret: asked.secret,
    };
    everywhere(&live, move |inside| inside.actor.service.put_app(app.clone())).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_app(State(live): State<Arc<Live>>, Path(app): Path<String>) -> Outcome<StatusCode> {
    let app = AppId::new(&app);
    let gone = everywhere(&live, move |inside| inside.actor.service.remove_app(&app)).await?;
    if gone { Ok(StatusCode::NO_CONTENT) } else { Err(missing("app")) }
}

async fn grant(
    State(live): State<Arc<Live>>,
    Path((tenant, app)): Path<(String, String)>,
    request: Request,
) -> Outcome<StatusCode> {
    let asked: Grant = command(request).await?;
    let (tenant, app) = (TenantId::new(&tenant), AppId::new(&app));
    let granted = everywhere(&live, move |inside| {
        let permissions = asked.permissions.clone();
        inside.actor.service.grant(tenant.clone(), app.clone(), permissions)
    });
    granted.await??;
    Ok(StatusCode::NO_CONTENT)
}
