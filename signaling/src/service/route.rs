//! Paths of the API and what they mean: v1.0 and beta, `/communications` and the older
//! `/app`, action names plain and with their namespace, names in any case and ids in any
//! spelling.

use std::borrow::Cow;

use crate::http::{Method, Request};
use crate::id::{CallId, LegId, OperationId, RecordingId};

/// Longest path that is looked at, in bytes.
const PATH_BYTES_MAX: usize = 2048;

/// Which version of the API a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// `/v1.0`
    V1,
    /// `/beta`
    Beta,
}

impl Version {
    pub(crate) const fn segment(self) -> &'static str {
        match self {
            Self::V1 => "v1.0",
            Self::Beta => "beta",
        }
    }
}

/// An action on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Answer,
    Reject,
    Redirect,
    Transfer,
    KeepAlive,
    PlayPrompt,
    RecordResponse,
    SubscribeToTone,
    CancelMediaProcessing,
    SendDtmfTones,
    Mute,
    Unmute,
    ChangeScreenSharingRole,
    UpdateRecordingStatus,
    UpdateMetadata,
    AddLargeGalleryView,
    StartRecording,
    StopRecording,
    StartTranscription,
    StopTranscription,
    RaiseHand,
    LowerHand,
}

/// Name in the path, what it means, its name in traces.
const ACTIONS: &[(&str, Action)] = &[
    ("answer", Action::Answer),
    ("reject", Action::Reject),
    ("redirect", Action::Redirect),
    ("transfer", Action::Transfer),
    ("keepAlive", Action::KeepAlive),
    ("playPrompt", Action::PlayPrompt),
    ("recordResponse", Action::RecordResponse),
    ("record", Action::RecordResponse),
    ("subscribeToTone", Action::SubscribeToTone),
    ("cancelMediaProcessing", Action::CancelMediaProcessing),
    ("sendDtmfTones", Action::SendDtmfTones),
    ("mute", Action::Mute),
    ("unmute", Action::Unmute),
    ("changeScreenSharingRole", Action::ChangeScreenSharingRole),
    ("updateRecordingStatus", Action::UpdateRecordingStatus),
    ("updateMetadata", Action::UpdateMetadata),
    ("addLargeGalleryView", Action::AddLargeGalleryView),
    ("startRecording", Action::StartRecording),
    ("stopRecording", Action::StopRecording),
    ("startTranscription", Action::StartTranscription),
    ("stopTranscription", Action::StopTranscription),
    ("raiseHand", Action::RaiseHand),
    ("lowerHand", Action::LowerHand),
];

/// An action on the participants of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RosterAction {
    Invite,
    MuteAll,
    ConfigureMixer,
    AdmitAllFromLobby,
    LowerAllHands,
}

const ROSTER_ACTIONS: &[(&str, RosterAction)] = &[
    ("invite", RosterAction::Invite),
    ("muteAll", RosterAction::MuteAll),
    ("configureMixer", RosterAction::ConfigureMixer),
    ("admitAllFromLobby", RosterAction::AdmitAllFromLobby),
    ("lowerAllHands", RosterAction::LowerAllHands),
];

/// An action on one participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParticipantAction {
    Mute,
    StartHoldMusic,
    StopHoldMusic,
    AdmitFromLobby,
    RemoveFromLobby,
    LowerHand,
    ReportSyntheticMedia,
}

const PARTICIPANT_ACTIONS: &[(&str, ParticipantAction)] = &[
    ("mute", ParticipantAction::Mute),
    ("startHoldMusic", ParticipantAction::StartHoldMusic),
    ("stopHoldMusic", ParticipantAction::StopHoldMusic),
    ("admitFromLobby", ParticipantAction::AdmitFromLobby),
    ("removeFromLobby", ParticipantAction::RemoveFromLobby),
    ("lowerHand", ParticipantAction::LowerHand),
    ("reportSyntheticMedia", ParticipantAction::ReportSyntheticMedia),
];

/// Whose meetings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// `/me`
    Me,
    /// `/users/{id}`
    User(String),
    /// `/communications` or `/app`: of the app itself.
    Application,
}

/// What a path means. Ids that are no GUIDs are kept apart: they name nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Calls,
    LogDeviceQuality,
    Call(CallId),
    CallAction(CallId, Action),
    Operations(CallId),
    Operation(CallId, OperationId),
    Participants(CallId),
    RosterAction(CallId, RosterAction),
    Participant(CallId, LegId),
    ParticipantAction(CallId, LegId, ParticipantAction),
    RoutingGroups(CallId),
    RoutingGroup(CallId, String),
    ContentSharingSessions(CallId),
    ContentSharingSession(CallId, String),
    Meetings(Owner),
    MeetingCreateOrGet(Owner),
    Meeting(Owner, String),
    Recording(RecordingId),
}

/// What a path is, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) version: Version,
    pub(crate) route: Route,
    /// The query, without its question mark.
    pub(crate) query: String,
}

/// Why a path means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RouteError {
    /// No version in front.
    Version(String),
    /// No such place, or too long.
    Segment(String),
    /// A call of this id is not there, since it is no id.
    Call,
    /// A resource of this id is not there, since it is no id.
    Resource,
    /// No such action, or one on a thing that has none.
    Action(String),
}

impl Route {
    /// Its name in traces and metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::LogDeviceQuality => "logTeleconferenceDeviceQuality",
            Self::Call(_) => "call",
            Self::CallAction(_, action) => name_of(ACTIONS, *action),
            Self::Operations(_) => "operations",
            Self::Operation(..) => "operation",
            Self::Participants(_) => "participants",
            Self::RosterAction(_, action) => name_of(ROSTER_ACTIONS, *action),
            Self::Participant(..) => "participant",
            Self::ParticipantAction(_, _, action) => name_of(PARTICIPANT_ACTIONS, *action),
            Self::RoutingGroups(_) => "audioRoutingGroups",
            Self::RoutingGroup(..) => "audioRoutingGroup",
            Self::ContentSharingSessions(_) => "contentSharingSessions",
            Self::ContentSharingSession(..) => "contentSharingSession",
            Self::Meetings(_) => "onlineMeetings",
            Self::MeetingCreateOrGet(_) => "createOrGet",
            Self::Meeting(..) => "onlineMeeting",
            Self::Recording(_) => "recording",
        }
    }

    /// Which methods it knows.
    pub(crate) const fn methods(&self) -> &'static [Method] {
        match self {
            Self::Calls
            | Self::LogDeviceQuality
            | Self::CallAction(..)
            | Self::RosterAction(..)
            | Self::ParticipantAction(..)
            | Self::MeetingCreateOrGet(_) => &[Method::Post],
            Self::Call(_) | Self::Participant(..) => &[Method::Get, Method::Delete],
            Self::RoutingGroups(_) | Self::Meetings(_) => &[Method::Get, Method::Post],
            Self::RoutingGroup(..) | Self::Meeting(..) => {
                &[Method::Get, Method::Patch, Method::Delete]
            }
            Self::Operations(_)
            | Self::Operation(..)
            | Self::Participants(_)
            | Self::ContentSharingSessions(_)
            | Self::ContentSharingSession(..)
            | Self::Recording(_) => &[Method::Get],
        }
    }
}

fn name_of<A: Copy + PartialEq>(table: &[(&'static str, A)], action: A) -> &'static str {
    table.iter().find(|(_, known)| *known == action).map_or("", |(name, _)| *name)
}

fn action_of<A: Copy>(table: &[(&'static str, A)], segment: &str) -> Result<A, RouteError> {
    let bare = match segment.split_at_checked("microsoft.graph.".len()) {
        Some((namespace, rest)) if namespace.eq_ignore_ascii_case("microsoft.graph.") => rest,
        _ => segment,
    };
    // OData writes `name()` for operations without parameters.
    let bare = bare.strip_suffix("()").unwrap_or(bare);
    table
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(bare))
        .map(|(_, action)| *action)
        .ok_or_else(|| RouteError::Action(segment.to_owned()))
}

/// Undoes percent-encoding; what is no UTF-8 afterwards is replaced.
pub(crate) fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (bytes[index], hex(index + 1), hex(index + 2)) {
            decoded.push((high * 16 + low) as u8);
            index += 3;
        } else {
            decoded.push(bytes[index]);
            index += 1;
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// Path and query of a URI that may be absolute.
pub(super) fn path_and_query(uri: &str) -> (&str, &str) {
    // What begins with its path may well have a link in its query.
    let rest = match uri.split_once("://").filter(|_| !uri.starts_with('/')) {
        Some((_, after)) => after.find('/').map_or("/", |slash| &after[slash..]),
        None => uri,
    };
    let rest = rest.split('#').next().unwrap_or(rest);
    rest.split_once('?').unwrap_or((rest, ""))
}

/// The segments of a path; `None` if it is too long to be looked at.
pub(super) fn segments(path: &str) -> Option<Vec<Cow<'_, str>>> {
    let short = path.len() <= PATH_BYTES_MAX;
    short.then(|| path.split('/').filter(|s| !s.is_empty()).map(percent_decode).collect())
}

/// One value of a query or a form, in which a plus is a space.
pub(crate) fn form_decode(text: &str) -> String {
    percent_decode(&text.replace('+', " ")).into_owned()
}

/// The first value of this name in a query.
pub(super) fn query_value(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (form_decode(key) == name).then(|| form_decode(value))
    })
}

/// Scheme and host that a request was sent to, as far as it says so itself; else those
/// of `base`.
pub(super) fn origin(request: &Request, base: &str) -> String {
    let authority_ends = |rest: &str| rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if let Some((scheme, rest)) = request.uri.split_once("://")
        && !request.uri.starts_with('/')
    {
        return format!("{scheme}://{}", &rest[..authority_ends(rest)]);
    }
    let scheme = base.split_once("://").map_or("https", |(scheme, _)| scheme);
    let is_host = |host: &&str| {
        !host.is_empty()
            && host.len() <= 261
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b))
    };
    match request.header("host").filter(is_host) {
        Some(host) => format!("{scheme}://{host}"),
        None => base.trim_end_matches('/').to_owned(),
    }
}

/// Reads a request's URI.
pub(crate) fn parse(uri: &str) -> Result<Located, RouteError> {
    let (path, query) = path_and_query(uri);
    let segments = segments(path)
        .ok_or_else(|| RouteError::Segment("(a path that is too long)".to_owned()))?;
    let mut segments = segments.iter().map(AsRef::as_ref);
    let version = match segments.next() {
        Some("v1.0") => Version::V1,
        Some(text) if text.eq_ignore_ascii_case("beta") => Version::Beta,
        other => return Err(RouteError::Version(other.unwrap_or_default().to_owned())),
    };
    let rest: Vec<&str> = segments.collect();
    Ok(Located { version, route: parse_route(&rest)?, query: query.to_owned() })
}

fn is(segment: &str, name: &str) -> bool {
    segment.eq_ignore_ascii_case(name)
}

fn parse_route(segments: &[&str]) -> Result<Route, RouteError> {
    match segments {
        [root, calls, rest @ ..]
            if (is(root, "communications") || is(root, "app")) && is(calls, "calls") =>
        {
            parse_calls(rest)
        }
        [root, meetings, rest @ ..]
            if (is(root, "communications") || is(root, "app"))
                && is(meetings, "onlineMeetings") =>
        {
            parse_meetings(Owner::Application, rest)
        }
        [root, recordings, id] if is(root, "communications") && is(recordings, "recordings") => {
            RecordingId::parse(id).map(Route::Recording).ok_or(RouteError::Resource)
        }
        [me, meetings, rest @ ..] if is(me, "me") && is(meetings, "onlineMeetings") => {
            parse_meetings(Owner::Me, rest)
        }
        [users, user, meetings, rest @ ..]
            if is(users, "users") && is(meetings, "onlineMeetings") =>
        {
            parse_meetings(Owner::User((*user).to_owned()), rest)
        }
        other => Err(RouteError::Segment(other.first().copied().unwrap_or_default().to_owned())),
    }
}

fn parse_meetings(owner: Owner, rest: &[&str]) -> Result<Route, RouteError> {
    match rest {
        [] => Ok(Route::Meetings(owner)),
        [one] => match action_of(&[("createOrGet", ())], one) {
            Ok(()) => Ok(Route::MeetingCreateOrGet(owner)),
            Err(_) => Ok(Route::Meeting(owner, (*one).to_owned())),
        },
        [_, segment, ..] => Err(RouteError::Segment((*segment).to_owned())),
    }
}

fn parse_calls(rest: &[&str]) -> Result<Route, RouteError> {
    let (id, rest) = match rest {
        [] => return Ok(Route::Calls),
        [one] if action_of(&[("logTeleconferenceDeviceQuality", ())], one).is_ok() => {
            return Ok(Route::LogDeviceQuality);
        }
        [id, rest @ ..] => (*id, rest),
    };
    let call = CallId::parse(id).ok_or(RouteError::Call)?;
    match rest {
        [] => Ok(Route::Call(call)),
        [name, rest @ ..] if is(name, "participants") => parse_participants(call, rest),
        [name] if is(name, "operations") => Ok(Route::Operations(call)),
        [name, id] if is(name, "operations") => {
            let id = OperationId::parse(id).ok_or(RouteError::Resource)?;
            Ok(Route::Operation(call, id))
        }
        [name] if is(name, "audioRoutingGroups") => Ok(Route::RoutingGroups(call)),
        [name, id] if is(name, "audioRoutingGroups") => {
            Ok(Route::RoutingGroup(call, (*id).to_owned()))
        }
        [name] if is(name, "contentSharingSessions") => Ok(Route::ContentSharingSessions(call)),
        [name, id] if is(name, "contentSharingSessions") => {
            Ok(Route::ContentSharingSession(call, (*id).to_owned()))
        }
        [action] => Ok(Route::CallAction(call, action_of(ACTIONS, action)?)),
        [_, segment, ..] => Err(RouteError::Segment((*segment).to_owned())),
    }
}

fn parse_participants(call: CallId, rest: &[&str]) -> Result<Route, RouteError> {
    match rest {
        [] => Ok(Route::Participants(call)),
        [one] => match (LegId::parse(one), action_of(ROSTER_ACTIONS, one)) {
            (Some(leg), _) => Ok(Route::Participant(call, leg)),
            (None, Ok(action)) => Ok(Route::RosterAction(call, action)),
            (None, Err(_)) => Err(RouteError::Resource),
        },
        [id, action] => {
            let action = action_of(PARTICIPANT_ACTIONS, action)?;
            let leg = LegId::parse(id).ok_or(RouteError::Resource)?;
            Ok(Route::ParticipantAction(call, leg, action))
        }
        [_, _, segment, ..] => Err(RouteError::Segment((*segment).to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "57dab8b1-894c-409a-b240-bd8beae78896";

    fn call() -> CallId {
        CallId::parse(ID).expect("it is a GUID")
    }

    fn route(uri: &str) -> Result<Route, RouteError> {
        parse(uri).map(|located| located.route)
    }

    #[test]
    fn both_roots_both_versions_and_both_spellings_mean_the_same() {
        let answer = Ok(Route::CallAction(call(), Action::Answer));
        for uri in [
            format!("/v1.0/communications/calls/{ID}/answer"),
            format!("/beta/app/calls/{ID}/microsoft.graph.answer"),
            format!("https://x.test/v1.0/Communications/Calls/{ID}/Microsoft.Graph.Answer?a=b"),
            "/v1.0/communications/calls/57DAB8B1894C409AB240BD8BEAE78896/answer/".to_owned(),
        ] {
            assert_eq!(route(&uri), answer, "{uri}");
        }
    }

    #[test]
    fn places_inside_a_call_are_told_apart() {
        let base = format!("/v1.0/communications/calls/{ID}");
        assert_eq!(route(&base), Ok(Route::Call(call())));
        let participants = format!("{base}/participants");
        assert_eq!(route(&participants), Ok(Route::Participants(call())));
        assert_eq!(
            route(&format!("{participants}/invite")),
            Ok(Route::RosterAction(call(), RosterAction::Invite))
        );
        let leg = LegId::parse(ID).expect("it is a GUID");
        assert_eq!(
            route(&format!("{participants}/{ID}/mute")),
            Ok(Route::ParticipantAction(call(), leg, ParticipantAction::Mute))
        );
        let operation = OperationId::parse(ID).expect("it is a GUID");
        assert_eq!(
            route(&format!("{base}/operations/{ID}")),
            Ok(Route::Operation(call(), operation))
        );
        assert_eq!(
            route(&format!("{base}/microsoft.graph.record")),
            Ok(Route::CallAction(call(), Action::RecordResponse))
        );
    }

    #[test]
    fn what_means_nothing_says_why() {
        assert_eq!(route("/v2.0/communications/calls"), Err(RouteError::Version("v2.0".into())));
        assert_eq!(route("/v1.0/nothing"), Err(RouteError::Segment("nothing".into())));
        assert_eq!(route("/v1.0/communications/calls/7"), Err(RouteError::Call));
        let uri = format!("/v1.0/communications/calls/{ID}/levitate");
        assert_eq!(route(&uri), Err(RouteError::Action("levitate".into())));
    }

    #[test]
    fn encoded_paths_are_decoded() {
        assert_eq!(percent_decode("a%2Fb%zz%4"), "a/b%zz%4");
        let link = "/v1.0/users/ann/onlineMeetings?$filter=JoinWebUrl eq 'https://x.test/l/a'";
        let query = "$filter=JoinWebUrl eq 'https://x.test/l/a'";
        assert_eq!(path_and_query(link), ("/v1.0/users/ann/onlineMeetings", query));
        assert_eq!(path_and_query("https://graph.test"), ("/", ""));
        let uri = "/v1.0/users/a%40b/onlineMeetings";
        assert_eq!(route(uri), Ok(Route::Meetings(Owner::User("a@b".into()))));
    }

    #[test]
    fn every_action_has_a_name() {
        for (name, action) in ACTIONS.iter().filter(|(name, _)| *name != "record") {
            assert_eq!(Route::CallAction(call(), *action).name(), *name);
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(uri in "\\PC{0,80}") {
            let _ = parse(&uri);
            let _ = parse(&format!("/v1.0/communications/calls/{uri}"));
        }
    }
}
