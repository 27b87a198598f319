//! Requests to the API: who asks, for what, and which handler answers. Every request is
//! answered at once and exactly once; what it sets in motion is told by notifications.

use std::collections::BTreeSet;

use bytes::Bytes;
use callrig_media::time::Instant;
use serde::Serialize;

use super::directory::Permission;
use super::query::Query;
use super::reply::{ApiError, Reply};
use super::route::{self, Action, Located, ParticipantAction, RosterAction, Route, Version};
use super::{Output, Service};
use crate::call::Call;
use crate::call::operation::Kind;
use crate::event::Event;
use crate::graph;
use crate::http::{Method, Request};
use crate::id::{AppId, CallId, ConversationId, LegId, TenantId};

/// How long a `clientContext` may be, in characters.
const CLIENT_CONTEXT_CHARACTERS_MAX: usize = 256;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) app: AppId,
    /// For which organisation its token is; any, where the platform goes by names.
    pub(crate) tenant: Option<TenantId>,
    /// What its token allows; everything that the directory does, where the platform goes
    /// by names.
    pub(crate) roles: Option<BTreeSet<Permission>>,
}

/// A request, understood as far as its path goes.
pub(crate) struct Asked<'a> {
    pub(crate) now: Instant,
    pub(crate) caller: Caller,
    pub(crate) located: Located,
    pub(crate) method: Method,
    pub(crate) body: &'a Bytes,
    /// Whether the path began with `/app`.
    pub(crate) old_root: bool,
    /// What the app ties its requests and callbacks together by.
    pub(crate) scenario: Option<&'a str>,
    /// In which language texts for people are wanted.
    pub(crate) language: Option<&'a str>,
}

impl Asked<'_> {
    /// The body as what the route needs.
    pub(crate) fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, ApiError> {
        Ok(graph::parse(self.body)?)
    }

    /// The body, or nothing where there is none.
    pub(crate) fn parse_or_default<T>(&self) -> Result<T, ApiError>
    where
        T: serde::de::DeserializeOwned + Default,
    {
        match graph::parse(self.body) {
            Err(graph::ParseError::Empty) => Ok(T::default()),
            other => Ok(other?),
        }
    }

    /// What the calls of a new conversation are tied together by: what the app says, in
    /// the call or in the header that its library sends.
    pub(crate) fn chain(&self, body: &graph::Call) -> Option<ConversationId> {
        let named = body.call_chain_id.as_deref().and_then(ConversationId::parse);
        named.or_else(|| self.scenario.and_then(ConversationId::parse))
    }

    /// Whether it is asked as in 2018: operations then began with 202 and a `Location`
    /// alone, and were told of when they ended, however soon that was.
    pub(crate) fn is_old(&self) -> bool {
        self.old_root && self.located.version == Version::Beta
    }

    /// What a resource is, as `@odata.context` says it of `rest`, a path of the metadata.
    fn context(&self, rest: &str) -> String {
        let rest = match rest.strip_prefix("communications/") {
            Some(below) if self.old_root => format!("app/{below}"),
            _ => rest.to_owned(),
        };
        format!("https://graph.microsoft.com/{}/$metadata#{rest}", self.located.version.segment())
    }

    /// A resource, as far as the query asks for it.
    pub(crate) fn resource(
        &self,
        status: u16,
        context: &str,
        resource: &impl Serialize,
    ) -> Result<Reply, ApiError> {
        let context = self.context(context);
        let shown = InContext { context: &context, resource };
        if self.located.query.is_empty() || self.method != Method::Get {
            return Ok(Reply::json(status, &shown));
        }
        let query = Query::parse(&self.located.query, false)?;
        let whole = serde_json::to_value(&shown).expect("the API's types have string keys");
        Ok(Reply::json(status, &query.shown(whole)))
    }

    /// A collection, as far as the query asks for it.
    pub(crate) fn collection(
        &self,
        context: &str,
        resources: &[impl Serialize],
    ) -> Result<Reply, ApiError> {
        let query = Query::parse(&self.located.query, true)?;
        Ok(Reply::json(200, &query.collection(&self.context(context), resources)))
    }

    /// Where a resource of a call is, as `Location` names it.
    pub(crate) fn location(&self, base: &str, call: CallId, rest: &str) -> String {
        let root = if self.old_root { "app" } else { "communications" };
        format!("{base}/{}/{root}/calls/{call}{rest}", self.located.version.segment())
    }
}

/// A resource with what it is in front.
#[derive(Serialize)]
struct InContext<'a, R> {
    #[serde(rename = "@odata.context")]
    context: &'a str,
    #[serde(flatten)]
    resource: &'a R,
}

/// A context that is short enough.
pub(crate) fn checked_context(context: Option<String>) -> Result<Option<String>, ApiError> {
    match context {
        Some(text) if text.chars().count() > CLIENT_CONTEXT_CHARACTERS_MAX => {
            Err(ApiError::bad_request(format!(
                "clientContext has more than {CLIENT_CONTEXT_CHARACTERS_MAX} characters."
            )))
        }
        other => Ok(other),
    }
}

impl Service {
    /// Answers one request.
    pub(super) fn serve(&mut self, now: Instant, request: &Request) {
        // The answer goes out before the notifications that the handler queues.
        let place = self.outputs.len();
        let mut name = "unknown";
        let response = match self.serve_login(now, request, &mut name) {
            Some(response) => response,
            None => {
                let outcome = self.handle_request(now, request, &mut name);
                self.respond(now, request, outcome)
            }
        };
        let served =
            Event::RequestServed { request: request.id, route: name, status: response.status };
        self.outputs.insert(place, Output::Response(response));
        self.outputs.insert(place + 1, Output::Event(served));
    }

    fn handle_request(
        &mut self,
        now: Instant,
        request: &Request,
        name: &mut &'static str,
    ) -> Result<Reply, ApiError> {
        let located = route::parse(&request.uri);
        if let Ok(located) = &located {
            *name = located.route.name();
            if let Route::Recording(id) = located.route {
                return self.fetch_recording(id, request.bearer());
            }
        }
        let caller = self.authenticate(now, request)?;
        self.take_request(now, &caller.app)?;
        let located = located?;
        if !located.route.methods().contains(&request.method) {
            return Err(ApiError::method_not_allowed());
        }
        check_content_type(request)?;
        let (path, _) = route::path_and_query(&request.uri);
        let old_root = path.split('/').any(|segment| segment.eq_ignore_ascii_case("app"));
        let method = request.method;
        let language = request.header("accept-language");
        let scenario = request.header("scenario-id");
        let body = &request.body;
        let asked = Asked { now, caller, located, method, body, old_root, scenario, language };
        self.dispatch(&asked)
    }

    fn authenticate(&mut self, now: Instant, request: &Request) -> Result<Caller, ApiError> {
        let token = request.bearer();
        if self.authority.is_some() {
            return Ok(self.caller_of(now, token)?);
        }
        let app = match token {
            Some(token) => self.directory.app(&AppId::new(token)),
            None => self.directory.only_app(),
        };
        let unknown = || ApiError::unauthenticated("The token names no known app.");
        app.map(|app| Caller { app: app.id.clone(), tenant: None, roles: None }).ok_or_else(unknown)
    }

    fn dispatch(&mut self, asked: &Asked<'_>) -> Result<Reply, ApiError> {
        match (&asked.located.route, asked.method) {
            (Route::Calls, _) => self.create_call(asked),
            (Route::Call(call), Method::Get) => self.get_call(asked, *call),
            (Route::Call(call), _) => self.delete_call(asked, *call),
            (Route::CallAction(call, action), _) => self.act(asked, *call, *action),
            (Route::Operations(call), _) => self.list_operations(asked, *call),
            (Route::Operation(call, id), _) => self.get_operation(asked, *call, *id),
            (Route::Participants(call), _) => self.list_participants(asked, *call),
            (Route::Participant(call, leg), Method::Get) => {
                self.get_participant(asked, *call, *leg)
            }
            (Route::Participant(call, leg), _) => self.remove_participant(asked, *call, *leg),
            (Route::RosterAction(call, action), _) => self.act_on_all(asked, *call, *action),
            (Route::ParticipantAction(call, leg, action), _) => {
                self.act_on_one(asked, *call, *leg, *action)
            }
            (Route::ContentSharingSessions(call), _) => self.list_sharing(asked, *call),
            (Route::ContentSharingSession(call, id), _) => self.get_sharing(asked, *call, id),
            (Route::RoutingGroups(call), Method::Post) => self.create_group(asked, *call),
            (Route::RoutingGroups(call), _) => self.list_groups(asked, *call),
            (Route::RoutingGroup(call, name), method) => match method {
                Method::Get => self.get_group(asked, *call, name),
                Method::Patch => self.update_group(asked, *call, name),
                _ => self.delete_group(asked, *call, name),
            },
            (Route::Meetings(owner), Method::Post) => self.create_meeting(asked, owner),
            (Route::Meetings(owner), _) => self.find_meetings(asked, owner),
            (Route::MeetingCreateOrGet(owner), _) => self.create_or_get_meeting(asked, owner),
            (Route::Meeting(owner, id), method) => match method {
                Method::Get => self.get_meeting(asked, owner, id),
                Method::Patch => self.update_meeting(asked, owner, id),
                _ => self.delete_meeting(asked, owner, id),
            },
            (Route::LogDeviceQuality, _) => self.log_device_quality(asked),
            // It is answered before anybody is asked who they are.
            (Route::Recording(_), _) => Err(ApiError::not_found("Recording")),
        }
    }

    fn act(&mut self, asked: &Asked<'_>, call: CallId, action: Action) -> Result<Reply, ApiError> {
        self.owned(asked, call)?;
        match action {
            Action::Answer => self.answer_call(asked, call),
            Action::Reject => self.reject_call(asked, call),
            Action::KeepAlive => self.keep_alive(asked, call),
            Action::PlayPrompt => self.play_prompt(asked, call),
            Action::RecordResponse => self.record_response(asked, call),
            Action::SubscribeToTone => self.subscribe_to_tone(asked, call),
            Action::CancelMediaProcessing => self.cancel_media_processing(asked, call),
            Action::SendDtmfTones => self.send_dtmf_tones(asked, call),
            Action::Mute => self.mute_self(asked, call, true),
            Action::Unmute => self.mute_self(asked, call, false),
            Action::ChangeScreenSharingRole => self.change_screen_sharing_role(asked, call),
            Action::UpdateMetadata => self.update_metadata(asked, call),
            Action::UpdateRecordingStatus => self.update_recording_status(asked, call),
            Action::AddLargeGalleryView => self.add_large_gallery_view(asked, call),
            Action::StartRecording => self.switch_feature(asked, call, Kind::StartRecording),
            Action::StopRecording => self.switch_feature(asked, call, Kind::StopRecording),
            Action::StartTranscription => {
                self.switch_feature(asked, call, Kind::StartTranscription)
            }
            Action::StopTranscription => self.switch_feature(asked, call, Kind::StopTranscription),
            Action::RaiseHand => self.own_hand(asked, call, true),
            Action::LowerHand => self.own_hand(asked, call, false),
            Action::Redirect => self.redirect_call(asked, call),
            Action::Transfer => self.transfer_call(asked, call),
        }
    }

    fn act_on_all(
        &mut self,
        asked: &Asked<'_>,
        call: CallId,
        action: RosterAction,
    ) -> Result<Reply, ApiError> {
        self.owned(asked, call)?;
        match action {
            RosterAction::Invite => self.invite(asked, call),
            RosterAction::MuteAll => self.mute_all(asked, call),
            RosterAction::AdmitAllFromLobby => self.admit_all(asked, call),
            RosterAction::LowerAllHands => self.lower_hands(asked, call, None),
            RosterAction::ConfigureMixer => self.configure_mixer(asked, call),
        }
    }

    fn act_on_one(
        &mut self,
        asked: &Asked<'_>,
        call: CallId,
        leg: LegId,
        action: ParticipantAction,
    ) -> Result<Reply, ApiError> {
        self.owned(asked, call)?;
        match action {
            ParticipantAction::Mute => self.mute_participant(asked, call, leg),
            ParticipantAction::AdmitFromLobby => self.decide_lobby(asked, call, leg, true),
            ParticipantAction::RemoveFromLobby => self.decide_lobby(asked, call, leg, false),
            ParticipantAction::LowerHand => self.lower_hands(asked, call, Some(leg)),
            ParticipantAction::StartHoldMusic => self.start_hold_music(asked, call, leg),
            ParticipantAction::StopHoldMusic => self.stop_hold_music(asked, call, leg),
            ParticipantAction::ReportSyntheticMedia => {
                Err(ApiError::not_implemented(asked.located.route.name()))
            }
        }
    }

    /// The call, if it is the caller's: a call of somebody else is not there for it.
    pub(super) fn owned(&self, asked: &Asked<'_>, call: CallId) -> Result<&Call, ApiError> {
        let held = self
            .calls
            .get(&call)
            .filter(|call| call.app == asked.caller.app)
            .ok_or_else(ApiError::call_not_found)?;
        match &asked.caller.tenant {
            Some(tenant) if *tenant != held.tenant => Err(ApiError::tenant_mismatch()),
            _ => Ok(held),
        }
    }
}

/// Bodies are JSON in UTF-8; without a content type we believe it.
fn check_content_type(request: &Request) -> Result<(), ApiError> {
    let Some(content_type) = request.header("content-type").filter(|_| !request.body.is_empty())
    else {
        return Ok(());
    };
    let mut parts = content_type.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then_some(value.trim().trim_matches('"'))
    });
    let is_json = kind.eq_ignore_ascii_case("application/json");
    let is_utf8 = charset.is_none_or(|c| {
        ["utf-8", "utf8", "us-ascii"].iter().any(|known| c.eq_ignore_ascii_case(known))
    });
    if is_json && is_utf8 {
        return Ok(());
    }
    let message = format!("The content type '{content_type}' is not application/json in UTF-8.");
    Err(ApiError::new(415, "UnsupportedMediaType", message))
}
