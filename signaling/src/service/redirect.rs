//! `redirect`: a bot sends a call that rings at it elsewhere: to a person, a bot, a
//! voicemail box, or to up to 25 of them together. The bot's own call is over when
//! somebody takes it; if nobody does within the timeout, or the only target declines, it
//! ends with a result that says so, and so does the caller's (no document says what
//! happens then).

use core::time::Duration;

use callrig_media::time::Instant;

use super::Service;
use super::api::Asked;
use super::directory::Permission;
use super::fork::{HOPS_MAX, Hop, Telling};
use super::reply::{ApiError, Reply};
use super::target::{Target, within};
use crate::call::result::EndResult;
use crate::call::state::{State, Trigger};
use crate::graph::{self, IdentitySet, ParticipantInfo, RoutingType};
use crate::id::CallId;

/// How many targets may ring together.
const TARGETS_MAX: usize = 25;

/// For how many seconds it may ring, and does unless told otherwise: at one, at several.
const TIMEOUT_SECONDS: core::ops::RangeInclusive<i64> = 15..=90;
const TIMEOUT_OF_ONE: u64 = 55;
const TIMEOUT_OF_MANY: u64 = 60;

impl Service {
    /// `POST …/redirect`
    pub(super) fn redirect_call(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let body: graph::Redirect = asked.parse()?;
        self.check_callback(body.callback_uri.as_deref())?;
        if let Some(other) = body.target_disposition.as_ref().filter(|d| !d.is_known()) {
            return Err(ApiError::bad_request(format!("'{other}' is no targetDisposition.")));
        }
        let named = body.targets.as_deref().unwrap_or_default();
        if named.is_empty() {
            return Err(ApiError::missing("targets"));
        }
        if named.len() > TARGETS_MAX {
            let message =
                format!("targets has {} entries; the limit is {TARGETS_MAX}.", named.len());
            return Err(ApiError::bad_request(message));
        }
        // 2018 knew no bounds; its example rings for 99 seconds.
        let timeout = match body.timeout {
            Some(graph::Number(seconds)) if asked.is_old() => Some(seconds.clamp(15, 90) as u64),
            other => within("timeout", other, TIMEOUT_SECONDS)?,
        };
        let (state, tenant, app) = {
            let call = self.owned(asked, id)?;
            (call.state(), call.tenant.clone(), call.app.clone())
        };
        if state != State::Incoming {
            return Err(ApiError::wrong_state("redirect", state));
        }
        self.check_permission(asked, &tenant, &[Permission::Initiate])?;
        let mut targets: Vec<Target> = Vec::with_capacity(named.len());
        for info in named {
            let target = self.target_of(info, "targets")?;
            self.check_same_tenant(&target, &tenant)?;
            if target == Target::App(app.clone()) {
                return Err(ApiError::bad_request("A call cannot be redirected to its own bot."));
            }
            if targets.contains(&target) {
                return Err(ApiError::bad_request("A target is there twice."));
            }
            targets.push(target);
        }
        let conversation = self.owned(asked, id)?.conversation;
        if self.is_conference(conversation) {
            return Err(ApiError::bad_request("An invitation to a group call is not redirected."));
        }
        if self.is_far(conversation) {
            let message = format!("The call has been redirected {HOPS_MAX} times.");
            return Err(ApiError::bad_request(message));
        }
        if let (Some(uri), Some(call)) = (body.callback_uri, self.calls.get_mut(&id)) {
            call.callback_uri = uri;
        }
        let default = if targets.len() == 1 { TIMEOUT_OF_ONE } else { TIMEOUT_OF_MANY };
        let rings = Duration::from_secs(timeout.unwrap_or(default));
        let masks = (body.mask_caller.unwrap_or(false), body.mask_callee.unwrap_or(false));
        self.begin_redirect(asked.now, id, &targets, rings, masks, asked.is_old());
        Ok(Reply::empty(202))
    }

    fn begin_redirect(
        &mut self,
        now: Instant,
        id: CallId,
        targets: &[Target],
        rings: Duration,
        (mask_caller, mask_callee): (bool, bool),
        old: bool,
    ) {
        self.move_call(id, Trigger::Redirect);
        if old {
            self.notify_state(now, id);
        }
        let Some(call) = self.calls.get(&id) else { return };
        let (conversation, bot, app) = (call.conversation, call.leg, call.app.clone());
        let modalities = call.modalities.clone();
        let Some((anchor, leg)) = self.peer_of(call) else { return };
        // A bot that was itself rung by a redirect passes on no more than it was told.
        let nested = self.conversations.get(&conversation).is_some_and(|held| held.fork.is_some());
        let caller = if nested { call.source.clone() } else { leg.info.clone() };
        let caller = if mask_caller { self.masked(caller) } else { caller };
        let original = self.directory.app_info(&app).identity;
        let telling: Vec<(Target, Telling)> = targets
            .iter()
            .map(|target| {
                let route = graph::CallRoute {
                    original: original.clone(),
                    destination: self.identity_of(target),
                    routing_type: Some(RoutingType::Forwarded),
                    ..graph::CallRoute::typed()
                };
                let telling = Telling {
                    source: caller.clone(),
                    modalities: modalities.clone(),
                    routes: vec![route],
                    context: None,
                };
                (target.clone(), telling)
            })
            .collect();
        let hop = Hop { by: id, old, mask_callee };
        self.redirect_to(now, conversation, (anchor, bot), hop, &telling, rings);
    }

    /// Somebody as one who must not be known.
    pub(super) fn masked(&mut self, info: ParticipantInfo) -> ParticipantInfo {
        let hidden = format!("{:032x}", self.random_bits());
        ParticipantInfo { identity: Some(IdentitySet::of_encrypted(&hidden)), ..info }
    }

    /// A target took the call: the bot's own is over, without a result, as documented.
    pub(super) fn redirected(
        &mut self,
        now: Instant,
        hop: Hop,
        answered_by: Option<ParticipantInfo>,
    ) {
        let answered_by = match answered_by {
            Some(info) if hop.mask_callee => Some(self.masked(info)),
            other => other,
        };
        self.finish_call(now, hop.by, Trigger::End, &EndResult::redirected(), |shown| {
            shown.result_info = None;
            shown.answered_by = answered_by;
            shown.termination_reason = hop.old.then(|| "AppRedirected".to_owned());
        });
    }
}
