//! Meetings and group calls: people join them, let others in, mute themselves, share a
//! screen, raise a hand, ask somebody in, end them for all. Leaving is hanging up.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use callrig_media::time::Instant;
use callrig_media::transport::sdp;
use callrig_signaling::id::{CallId, LegId};
use callrig_signaling::service::{CommandError, Destination, Service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calls::{Means, Speech, begin, find_app, find_user, shard_of, who, yes};
use super::{Answers, Operation, Outcome, bad, command, leg, missing};
use crate::serve::Live;
use crate::serve::api::Problem;
use crate::world::live::phone::Then;
use crate::world::live::shard::Unavailable;
use crate::world::live::wire::Transport;

/// The shard of all meetings, so that those who join them meet.
const MEETINGS: u16 = 0;

pub(super) fn operations() -> Vec<Operation> {
    let post_to = |path, words, handler| Operation::new(Method::POST, path, words, handler);
    vec![
        post_to(
            "/rig/legs",
            ("join", "A person joins a meeting or a group call, or waits in its lobby."),
            post(join),
        )
        .takes::<Join>()
        .answers::<Joined>(StatusCode::CREATED),
        Operation {
            answers: Answers::Other("application/sdp"),
            ..Operation::new(
                Method::GET,
                "/rig/legs/{leg}/answer.sdp",
                ("getAnswer", "What a phone elsewhere is answered, once its call is there."),
                get(answer),
            )
        },
        post_to(
            "/rig/legs/{leg}/admit",
            ("admit", "Somebody who waits in a lobby is let in."),
            plain(Service::admit),
        ),
        post_to(
            "/rig/legs/{leg}/refuse",
            ("refuse", "Somebody who waits in a lobby is turned away."),
            plain(Service::refuse),
        ),
        post_to(
            "/rig/legs/{leg}/mute",
            ("mute", "The person mutes or unmutes themselves."),
            switched(Service::set_muted),
        )
        .takes::<Switch>(),
        post_to(
            "/rig/legs/{leg}/raiseHand",
            ("raiseHand", "The person raises or lowers a hand."),
            switched(Service::raise_hand),
        )
        .takes::<Switch>(),
        post_to(
            "/rig/legs/{leg}/shareScreen",
            ("shareScreen", "The person begins or ends sharing a screen."),
            switched(Service::share_screen),
        )
        .takes::<Switch>(),
        post_to(
            "/rig/legs/{leg}/invite",
            (
                "invite",
                "The person asks another one or a bot in; a call of two becomes a group call.",
            ),
            post(invite),
        )
        .takes::<Invite>()
        .answers::<Invited>(StatusCode::CREATED),
        post_to(
            "/rig/legs/{leg}/endForAll",
            ("endForAll", "The person ends the meeting or group call for everybody."),
            plain(Service::end_for_all),
        ),
    ]
}

/// A person joins.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Join {
    /// A meeting: its id, link, number to join by, or thread. Either this or `call`.
    #[serde(default)]
    pub meeting: Option<String>,
    /// A bot's call that is part of a group call. Either this or `meeting`.
    #[serde(default)]
    pub call: Option<String>,
    /// Who: an id or a name; the first person if it is left out.
    #[serde(default)]
    pub user: Option<String>,
    /// Whether the person has a phone that sends and receives.
    #[serde(default = "yes")]
    pub media: bool,
    /// An offer in SDP, by the phone that the person has elsewhere: a browser's, of WebRTC, or
    /// one of plain RTP; the answer is at `GET /rig/legs/{leg}/answer.sdp`, at once or after
    /// the lobby.
    #[serde(default)]
    pub offer: Option<String>,
    /// The id of a recording (`GET /rig/recordings`) that is played once the person is in.
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

/// The person has come.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// The person's leg: the handle for everything the person does from now on.
    pub leg: String,
    /// Who joined.
    pub user: String,
    /// Whether the person waits in the lobby: somebody has to `admit` the leg.
    pub waits: bool,
}

/// Something that is on or off.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Switch {
    /// Which; on without it.
    #[serde(default = "yes")]
    pub on: bool,
}

/// Who is asked in.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Invite {
    /// A person: an id or a name. Either this or `app`.
    #[serde(default)]
    pub user: Option<String>,
    /// An app whose bot is asked: an id or a name. Either this or `user`.
    #[serde(default)]
    pub app: Option<String>,
}

/// Who was asked in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invited {
    /// The person's leg, which rings now, unless the person is busy or away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leg: Option<String>,
    /// The bot's call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

async fn join(
    State(live): State<Arc<Live>>,
    request: Request,
) -> Outcome<(StatusCode, Json<Joined>)> {
    if live.is_draining() {
        return Err(Unavailable::Gone.into());
    }
    let asked: Join = command(request).await?;
    let (shard, destination) = match (asked.meeting, asked.call) {
        (Some(meeting), None) => (MEETINGS, Destination::Meeting(meeting)),
        (None, Some(call)) => {
            let call = CallId::parse(&call).filter(|call| live.shard(call.shard()).is_ok());
            let call = call.ok_or_else(|| missing("call"))?;
            (call.shard(), Destination::Call(call))
        }
        _ => return Err(bad("Either meeting or call says where to.")),
    };
    let user = find_user(&who(&live).await?, asked.user.as_deref())?.id.clone();
    let Join { play, then, listen, transport, offer, .. } = asked;
    let speech = Speech { play, then, listen, transport, offer };
    let means = Means { user: user.clone(), media: asked.media, speech };
    let comes = user.clone();
    let came = begin(&live, shard, means, move |service, now, offer| {
        let arrival = service.join(now, &comes, &destination, offer)?;
        Ok((arrival.leg, arrival.waits))
    });
    let (leg, waits) = came.await?;
    let joined = Joined { leg: leg.to_string(), user: user.to_string(), waits };
    Ok((StatusCode::CREATED, Json(joined)))
}

async fn answer(State(live): State<Arc<Live>>, Path(text): Path<String>) -> Outcome<Response> {
    let id = leg(&text)?;
    let found = shard_of(&live, id)?.ask(move |inside| inside.actor.elsewhere.get(&id).cloned());
    let description = found.await?.ok_or_else(|| missing("phone elsewhere"))?.ok_or_else(|| {
        let message = "The call was not answered yet.";
        Problem::new(StatusCode::CONFLICT, "NotAnswered", message)
    })?;
    // Numbers of sessions have to fit into 63 bits (RFC 8829, section 5.2.1).
    let session = (id.as_u128() as u64) >> 1;
    let text = sdp::write(&description, session);
    Ok(([(header::CONTENT_TYPE, "application/sdp")], text).into_response())
}

type Plain = fn(&mut Service, Instant, LegId) -> Result<(), CommandError>;
type Switched = fn(&mut Service, Instant, LegId, bool) -> Result<(), CommandError>;

/// Something that is done at a leg.
fn plain(act: Plain) -> MethodRouter<Arc<Live>> {
    post(move |State(live): State<Arc<Live>>, Path(text): Path<String>| async move {
        let id = leg(&text)?;
        let shard = shard_of(&live, id)?;
        shard.ask(move |inside| act(&mut inside.actor.service, inside.now, id)).await??;
        Ok::<_, Problem>(StatusCode::NO_CONTENT)
    })
}

/// Something that is on or off at a leg.
fn switched(act: Switched) -> MethodRouter<Arc<Live>> {
    post(
        move |State(live): State<Arc<Live>>, Path(text): Path<String>, request: Request| async move {
            let id = leg(&text)?;
            let Switch { on } = command(request).await?;
            let shard = shard_of(&live, id)?;
            shard.ask(move |inside| act(&mut inside.actor.service, inside.now, id, on)).await??;
            Ok::<_, Problem>(StatusCode::NO_CONTENT)
        },
    )
}

async fn invite(
    State(live): State<Arc<Live>>,
    Path(text): Path<String>,
    request: Request,
) -> Outcome<(StatusCode, Json<Invited>)> {
    let id = leg(&text)?;
    let asked: Invite = command(request).await?;
    let directory = who(&live).await?;
    let shard = shard_of(&live, id)?;
    let invited = match (&asked.user, &asked.app) {
        (Some(user), None) => {
            let user = find_user(&directory, Some(user))?.id.clone();
            let rung =
                shard.ask(move |inside| inside.actor.service.invite_user(inside.now, id, &user));
            Invited { leg: Some(rung.await??.to_string()), call: None }
        }
        (None, Some(app)) => {
            let app = find_app(&directory, Some(app))?.id.clone();
            let rung =
                shard.ask(move |inside| inside.actor.service.invite_bot(inside.now, id, &app));
            Invited { leg: None, call: Some(rung.await??.to_string()) }
        }
        _ => return Err(bad("Either user or app says who is asked in.")),
    };
    Ok((StatusCode::CREATED, Json(invited)))
}
