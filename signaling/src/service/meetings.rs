//! Online meetings: made, found, changed and deleted by apps for their users. What is not
//! documented is ours: ids and links are made of random bits, and a link has the shape
//! that apps take apart (`meetup-join/{thread}/{message}?context={Tid, Oid}`).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Service;
use super::api::Asked;
use super::directory::Permission;
use super::reply::{ApiError, Reply};
use super::route::{Owner, form_decode, percent_decode};
use super::view::collection;
use crate::clock;
use crate::graph::{
    ChatInfo, ItemBody, JoinMeetingIdSettings, MeetingParticipantInfo, MeetingParticipants,
    OnlineMeeting,
};
use crate::id::{MeetingId, TenantId, UserId};

/// Meetings of one user (documented: in a month).
const MEETINGS_PER_USER_MAX: usize = 2000;

/// How long a meeting is that does not say so.
const DEFAULT_SECONDS: i64 = 3600;

/// A meeting that is kept.
#[derive(Clone, Debug)]
pub(super) struct Meeting {
    pub(super) organizer: UserId,
    pub(super) shown: OnlineMeeting,
}

/// All meetings.
#[derive(Debug, Default)]
pub(crate) struct Meetings {
    by_id: BTreeMap<MeetingId, Meeting>,
    by_user: BTreeMap<UserId, usize>,
    /// By what else names one: the link, the thread, the number to join by.
    by_name: BTreeMap<String, MeetingId>,
}

/// What names a meeting beside its id. None of it changes.
fn names(meeting: &Meeting) -> impl Iterator<Item = String> {
    let shown = &meeting.shown;
    let number = shown.join_meeting_id_settings.as_ref();
    [
        shown.join_web_url.as_deref(),
        shown.chat_info.as_ref().and_then(|chat| chat.thread_id.as_deref()),
        number.and_then(|settings| settings.join_meeting_id.as_deref()),
    ]
    .into_iter()
    .flatten()
    .map(str::to_owned)
    .collect::<Vec<_>>()
    .into_iter()
}

impl Meetings {
    /// By its id, its link, its thread or the number to join by.
    pub(super) fn named(&self, text: &str) -> Option<&Meeting> {
        let by_id = self.by_id.get(&MeetingId::new(text));
        by_id.or_else(|| self.by_id.get(self.by_name.get(text)?))
    }

    /// By the thread of its chat.
    pub(super) fn by_thread(&self, thread: &str) -> Option<&Meeting> {
        self.named(thread)
    }

    /// By the number to join by; people write it in groups.
    pub(super) fn by_join_id(&self, number: &str) -> Option<&Meeting> {
        let digits: String = number.chars().filter(|c| !c.is_whitespace()).collect();
        self.named(&digits)
    }

    fn of(&self, id: &str, organizer: Option<&UserId>) -> Option<&Meeting> {
        let meeting = self.by_id.get(&MeetingId::new(id))?;
        organizer.is_none_or(|organizer| *organizer == meeting.organizer).then_some(meeting)
    }

    fn insert(&mut self, id: MeetingId, meeting: Meeting) {
        *self.by_user.entry(meeting.organizer.clone()).or_insert(0) += 1;
        self.by_name.extend(names(&meeting).map(|name| (name, id.clone())));
        self.by_id.insert(id, meeting);
    }

    fn remove(&mut self, id: &str) {
        let Some(meeting) = self.by_id.remove(&MeetingId::new(id)) else { return };
        for name in names(&meeting) {
            self.by_name.remove(&name);
        }
        if let Some(count) = self.by_user.get_mut(&meeting.organizer) {
            *count -= 1;
            if *count == 0 {
                self.by_user.remove(&meeting.organizer);
            }
        }
    }

    fn are_full_for(&self, user: &UserId) -> bool {
        self.by_user.get(user).copied().unwrap_or(0) >= MEETINGS_PER_USER_MAX
    }
}

/// Start and end that fit one another; what is missing is filled in.
fn times(start: Option<&str>, end: Option<&str>, now: i64) -> Result<(Option<i64>, i64), ApiError> {
    let read = |name: &str, text: &str| {
        let bad = || ApiError::bad_request(format!("{name} is no point in time."));
        clock::parse_rfc3339(text).ok_or_else(bad)
    };
    match (start, end) {
        (None, None) => Ok((None, now + DEFAULT_SECONDS)),
        (Some(start), None) => {
            let start = read("startDateTime", start)?;
            Ok((Some(start), start + DEFAULT_SECONDS))
        }
        (None, Some(_)) => Err(ApiError::bad_request("endDateTime needs a startDateTime.")),
        (Some(start), Some(end)) => {
            let (start, end) = (read("startDateTime", start)?, read("endDateTime", end)?);
            if end < start {
                return Err(ApiError::bad_request("endDateTime is before startDateTime."));
            }
            Ok((Some(start), end))
        }
    }
}

/// `$filter=joinWebUrl eq '…'`: the property and the value.
fn parse_filter(query: &str) -> Option<(String, String)> {
    let decoded = query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let name = percent_decode(name);
        let is_filter = name.trim_start_matches('$').eq_ignore_ascii_case("filter");
        is_filter.then(|| form_decode(value))
    })?;
    let (property, rest) = decoded.trim().split_once(' ')?;
    let rest = rest.trim();
    let operator = rest.get(..3).filter(|text| text.eq_ignore_ascii_case("eq "))?;
    let value = rest[operator.len()..].trim();
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    Some((property.to_ascii_lowercase(), value.replace("''", "'")))
}

fn percent_encode(text: &str) -> String {
    use core::fmt::Write as _;
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02x}");
        }
    }
    encoded
}

impl Service {
    /// Whose meetings a path names, if the app may have to do with them.
    fn meeting_owner(
        &self,
        asked: &Asked<'_>,
        owner: &Owner,
        writes: bool,
    ) -> Result<Option<UserId>, ApiError> {
        let user = match owner {
            Owner::Me => {
                return Err(ApiError::bad_request(
                    "/me request is only valid with delegated authentication flow.",
                ));
            }
            Owner::Application => return Ok(None),
            Owner::User(user) => UserId::new(user),
        };
        self.check_meeting_permission(asked, &user, writes)?;
        Ok(Some(user))
    }

    fn check_meeting_permission(
        &self,
        asked: &Asked<'_>,
        user: &UserId,
        writes: bool,
    ) -> Result<TenantId, ApiError> {
        let tenant = self.directory.user(user).map(|(tenant, _)| tenant.clone());
        let tenant = tenant.ok_or_else(|| ApiError::not_found("User"))?;
        let may = |permission| self.caller_may(&asked.caller, &tenant, permission);
        let granted = may(Permission::OnlineMeetingsReadWrite)
            || (!writes && may(Permission::OnlineMeetingsRead));
        if granted {
            Ok(tenant)
        } else {
            let needed = Permission::OnlineMeetingsReadWrite.name();
            Err(ApiError::insufficient_permissions(needed))
        }
    }

    /// The organizer of a meeting that the app makes in its own name.
    fn organizer_of(owner: Option<UserId>, body: &OnlineMeeting) -> Result<UserId, ApiError> {
        let named = || {
            let organizer = body.participants.as_ref()?.organizer.as_ref()?;
            organizer.identity.as_ref()?.user_id()
        };
        owner.or_else(named).ok_or_else(|| ApiError::missing("participants/organizer"))
    }

    /// `POST …/onlineMeetings`
    pub(super) fn create_meeting(
        &mut self,
        asked: &Asked<'_>,
        owner: &Owner,
    ) -> Result<Reply, ApiError> {
        let body: OnlineMeeting = asked.parse_or_default()?;
        let owner = self.meeting_owner(asked, owner, true)?;
        let organizer = Self::organizer_of(owner, &body)?;
        let shown = self.make_meeting(asked, organizer, body)?;
        Ok(Reply::json(201, &shown))
    }

    /// `POST …/onlineMeetings/createOrGet`
    pub(super) fn create_or_get_meeting(
        &mut self,
        asked: &Asked<'_>,
        owner: &Owner,
    ) -> Result<Reply, ApiError> {
        let body: OnlineMeeting = asked.parse()?;
        let owner = self.meeting_owner(asked, owner, true)?;
        let organizer = Self::organizer_of(owner, &body)?;
        let external = body.external_id.clone().filter(|id| !id.is_empty());
        let external = external.ok_or_else(|| ApiError::missing("externalId"))?;
        let known = self.meetings.by_id.values().find(|meeting| {
            meeting.organizer == organizer
                && meeting.shown.external_id.as_deref() == Some(external.as_str())
        });
        if let Some(known) = known {
            return Ok(Reply::json(200, &known.shown));
        }
        let shown = self.make_meeting(asked, organizer, body)?;
        Ok(Reply::json(201, &shown))
    }

    fn make_meeting(
        &mut self,
        asked: &Asked<'_>,
        organizer: UserId,
        body: OnlineMeeting,
    ) -> Result<OnlineMeeting, ApiError> {
        let tenant = self.check_meeting_permission(asked, &organizer, true)?;
        if self.meetings.are_full_for(&organizer) {
            return Err(ApiError::too_many("The user has as many meetings as they may.", 3600));
        }
        let wall = self.epoch.ntp_at(asked.now);
        let now = clock::unix_seconds(wall);
        let (start, end) =
            times(body.start_date_time.as_deref(), body.end_date_time.as_deref(), now)?;
        let start = start.map_or_else(|| clock::rfc3339(wall), clock::rfc3339_of_unix);
        let bits = self.random_bits();
        let thread = URL_SAFE_NO_PAD.encode(format!("{:032x}", self.random_bits()));
        let thread = format!("19:meeting_{thread}@thread.v2");
        let context = format!("{{\"Tid\":\"{tenant}\",\"Oid\":\"{organizer}\"}}");
        let link = format!(
            "https://teams.microsoft.com/l/meetup-join/{}/0?context={}",
            percent_encode(&thread),
            percent_encode(&context)
        );
        let id = URL_SAFE_NO_PAD.encode(format!("1*{organizer}*0**{thread}"));
        let shown = OnlineMeeting {
            id: Some(id.clone()),
            creation_date_time: Some(clock::rfc3339(wall)),
            start_date_time: Some(start),
            end_date_time: Some(clock::rfc3339_of_unix(end)),
            join_information: Some(invitation(&link, asked.language)),
            join_web_url: Some(link),
            join_meeting_id_settings: Some(JoinMeetingIdSettings {
                is_passcode_required: Some(true),
                join_meeting_id: Some(format!("{:012}", bits % 1_000_000_000_000)),
                passcode: Some(format!("{:06x}", (bits >> 64) as u32 & 0xff_ffff)),
                ..JoinMeetingIdSettings::typed()
            }),
            video_teleconference_id: Some(format!("{:010}", (bits >> 80) % 10_000_000_000)),
            chat_info: Some(ChatInfo {
                thread_id: Some(thread),
                message_id: Some("0".to_owned()),
                ..ChatInfo::typed()
            }),
            participants: Some(self.everybody(&organizer, body.participants.clone())),
            odata_type: Some(OnlineMeeting::TYPE.to_owned()),
            ..body
        };
        let meeting = Meeting { organizer, shown: shown.clone() };
        self.meetings.insert(MeetingId::new(&id), meeting);
        Ok(shown)
    }

    fn everybody(
        &self,
        organizer: &UserId,
        asked: Option<MeetingParticipants>,
    ) -> MeetingParticipants {
        let identity = self.directory.user_info(organizer).and_then(|info| info.identity);
        MeetingParticipants {
            organizer: Some(MeetingParticipantInfo {
                identity,
                upn: Some(organizer.to_string()),
                ..MeetingParticipantInfo::typed()
            }),
            ..asked.unwrap_or_else(MeetingParticipants::typed)
        }
    }

    /// `GET …/onlineMeetings?$filter=…`
    pub(super) fn find_meetings(
        &self,
        asked: &Asked<'_>,
        owner: &Owner,
    ) -> Result<Reply, ApiError> {
        let owner = self.meeting_owner(asked, owner, false)?;
        let (property, value) = parse_filter(&asked.located.query).ok_or_else(|| {
            ApiError::bad_request(
                "A $filter is needed: JoinWebUrl, VideoTeleconferenceId or \
                 joinMeetingIdSettings/joinMeetingId eq '…'.",
            )
        })?;
        let matches = |meeting: &Meeting| -> Result<bool, ApiError> {
            let shown = &meeting.shown;
            let found = match property.as_str() {
                "joinweburl" => shown.join_web_url.as_deref(),
                "videoteleconferenceid" => shown.video_teleconference_id.as_deref(),
                "joinmeetingidsettings/joinmeetingid" | "joinmeetingid" => shown
                    .join_meeting_id_settings
                    .as_ref()
                    .and_then(|s| s.join_meeting_id.as_deref()),
                other => {
                    return Err(ApiError::bad_request(format!("'{other}' is no filter here.")));
                }
            };
            let same = found == Some(value.as_str())
                || found.is_some_and(|found| percent_decode(found) == percent_decode(&value));
            Ok(same)
        };
        let mut shown = Vec::new();
        for meeting in self.meetings.by_id.values() {
            let theirs = owner.as_ref().is_none_or(|owner| *owner == meeting.organizer);
            let allowed = self.check_meeting_permission(asked, &meeting.organizer, false).is_ok();
            if matches(meeting)? && theirs && allowed {
                shown.push(meeting.shown.clone());
            }
        }
        Ok(Reply::json(200, &collection(&shown)))
    }

    /// A meeting that the app may have to do with.
    fn known_meeting(
        &self,
        asked: &Asked<'_>,
        owner: &Owner,
        id: &str,
        writes: bool,
    ) -> Result<&Meeting, ApiError> {
        let owner = self.meeting_owner(asked, owner, writes)?;
        let meeting = self.meetings.of(id, owner.as_ref());
        let meeting = meeting.ok_or_else(|| ApiError::not_found("Meeting"))?;
        self.check_meeting_permission(asked, &meeting.organizer, writes)?;
        Ok(meeting)
    }

    /// `GET …/onlineMeetings/{id}`
    pub(super) fn get_meeting(
        &self,
        asked: &Asked<'_>,
        owner: &Owner,
        id: &str,
    ) -> Result<Reply, ApiError> {
        Ok(Reply::json(200, &self.known_meeting(asked, owner, id, false)?.shown))
    }

    /// `PATCH …/onlineMeetings/{id}`: what the platform made itself stays as it is.
    pub(super) fn update_meeting(
        &mut self,
        asked: &Asked<'_>,
        owner: &Owner,
        id: &str,
    ) -> Result<Reply, ApiError> {
        let changes: OnlineMeeting = asked.parse()?;
        let known = self.known_meeting(asked, owner, id, true)?;
        let organizer = known.organizer.clone();
        let mut shown = known.shown.clone();
        let start = changes.start_date_time.or(shown.start_date_time.take());
        let end = changes.end_date_time.or(shown.end_date_time.take());
        times(start.as_deref(), end.as_deref(), 0)?;
        (shown.start_date_time, shown.end_date_time) = (start, end);
        shown.subject = changes.subject.or(shown.subject.take());
        shown.lobby_bypass_settings =
            changes.lobby_bypass_settings.or(shown.lobby_bypass_settings.take());
        shown.allowed_presenters = changes.allowed_presenters.or(shown.allowed_presenters.take());
        if changes.participants.is_some() {
            shown.participants = Some(self.everybody(&organizer, changes.participants));
        }
        shown.other.extend(changes.other);
        let meeting = Meeting { organizer, shown: shown.clone() };
        self.meetings.by_id.insert(MeetingId::new(id), meeting);
        Ok(Reply::json(200, &shown))
    }

    /// `DELETE …/onlineMeetings/{id}`
    pub(super) fn delete_meeting(
        &mut self,
        asked: &Asked<'_>,
        owner: &Owner,
        id: &str,
    ) -> Result<Reply, ApiError> {
        self.known_meeting(asked, owner, id, true)?;
        self.meetings.remove(id);
        Ok(Reply::empty(204))
    }
}

/// What to write into an invitation, in the language that is asked for, as far as we
/// speak it.
fn invitation(link: &str, language: Option<&str>) -> ItemBody {
    let wanted = language.unwrap_or("en").trim();
    let words = match wanted.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("de") => "Dem Meeting beitreten",
        Some("fr") => "Rejoindre la r\u{e9}union",
        Some("es") => "Unirse a la reuni\u{f3}n",
        _ => "Join the meeting",
    };
    let html = format!("data:text/html,<a href=\"{link}\">{words}</a>");
    ItemBody {
        content: Some(percent_encode(&html)),
        content_type: Some("html".to_owned()),
        ..ItemBody::typed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_filled_in_and_contradictions_refused() {
        assert_eq!(times(None, None, 100), Ok((None, 3700)));
        let start = Some("1970-01-01T01:00:00Z");
        assert_eq!(times(start, None, 0), Ok((Some(3600), 7200)));
        assert!(times(None, start, 0).is_err());
        assert!(times(start, Some("1970-01-01T00:00:00Z"), 0).is_err());
        assert!(times(Some("soon"), None, 0).is_err());
    }

    #[test]
    fn a_filter_names_a_property_and_a_value() {
        let query = "$top=1&$filter=JoinWebUrl%20eq%20'https%3A%2F%2Fx%2F%3Fa%3Db'";
        let expected = ("joinweburl".to_owned(), "https://x/?a=b".to_owned());
        assert_eq!(parse_filter(query), Some(expected));
        assert_eq!(parse_filter("%24filter=a+eq+'o''b'"), Some(("a".into(), "o'b".into())));
        for nonsense in ["", "$filter=", "$filter=a", "$filter=a ne 'b'", "$filter=a eq b"] {
            assert_eq!(parse_filter(nonsense), None, "{nonsense}");
        }
    }
}
