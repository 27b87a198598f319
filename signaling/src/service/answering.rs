//! Joining the two sides of a peer-to-peer call: a bot answers a person, or a person
//! answers a bot. With service-hosted media the platform is the other side of the
//! person's session; with app-hosted media each side is answered with what the other one
//! described, and packets are relayed between them.

use callrig_media::description::Description;
use callrig_media::time::Instant;

use super::Service;
use super::api::Asked;
use super::conference::Standing;
use super::directory::Permission;
use super::notify::uri_allowed;
use super::people::CommandError;
use super::reply::{ApiError, Reply};
use super::target::within;
use crate::attach::{self, Purpose, blob};
use crate::call::state::{State, Trigger};
use crate::call::{Call, Hosting};
use crate::graph;
use crate::id::{CallId, LegId, TenantId};

/// Both sides of a call, as the platform answers them.
struct Joined {
    person: LegId,
    to_person: Description,
    from_person: Description,
    /// The platform's side and the bot's, for app-hosted media.
    bot: Option<(Description, Description)>,
}

impl Service {
    /// `POST …/answer`
    pub(super) fn answer_call(&mut self, asked: &Asked<'_>, id: CallId) -> Result<Reply, ApiError> {
        let body: graph::Answer = asked.parse()?;
        let config = body.media_config.clone().ok_or_else(|| ApiError::missing("mediaConfig"))?;
        self.check_callback(body.callback_uri.as_deref())?;
        check_modalities(body.accepted_modalities.as_deref())?;
        within("participantCapacity", body.participant_capacity, 1..=i64::from(i32::MAX))?;
        let state = self.owned(asked, id)?.state();
        if state != State::Incoming {
            return Err(ApiError::wrong_state("answer", state));
        }
        let hosting = self.hosting_of(asked, id, &config)?;
        if self.calls.get(&id).is_some_and(|call| self.is_conference(call.conversation)) {
            return self.answer_invitation(asked, id, body, hosting, &config);
        }
        if self.is_paired(id) {
            return self.answer_paired(
                asked,
                id,
                body.callback_uri,
                body.call_options,
                &config,
                hosting,
            );
        }
        let joined = self.join_incoming(id, &hosting)?;
        let hosting = match (hosting, &joined.bot) {
            (Hosting::App { offer, .. }, Some((answer, _))) => {
                Hosting::App { offer, answer: Some(Box::new(answer.clone())) }
            }
            (hosting, _) => hosting,
        };
        self.take_answer(asked.now, id, body, hosting, &config);
        self.open_and_connect(asked.now, id, joined);
        Ok(Reply::empty(202))
    }

    /// A bot comes into a conference into which it was asked; for that it needs the
    /// permission to join one.
    fn answer_invitation(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        body: graph::Answer,
        hosting: Hosting,
        config: &graph::MediaConfig,
    ) -> Result<Reply, ApiError> {
        let call = self.owned(asked, id)?;
        let leg = call.leg;
        let joining = [Permission::JoinGroupCall, Permission::JoinGroupCallAsGuest];
        self.check_permission(asked, &call.tenant, &joining)?;
        let hosting = self.seat_bot(leg, hosting)?;
        self.take_answer(asked.now, id, body, hosting, config);
        self.enter_bot(asked.now, id);
        Ok(Reply::empty(202))
    }

    /// What an answer says is taken over, and the call is established from now on.
    fn take_answer(
        &mut self,
        now: Instant,
        id: CallId,
        body: graph::Answer,
        hosting: Hosting,
        config: &graph::MediaConfig,
    ) {
        self.move_call(id, Trigger::Answer);
        if let Some(call) = self.calls.get_mut(&id) {
            call.hosting = hosting;
            if let Some(uri) = body.callback_uri {
                call.callback_uri = uri;
            }
            if let Some(options) = body.call_options {
                call.options = options;
            }
        }
        self.set_capacity(id, body.participant_capacity.map(|number| number.0));
        self.keep_apart(id, config);
        self.prefetch(now, id, config);
        self.notify_state(now, id);
    }

    /// Who will handle media, if the app may have it so.
    pub(super) fn hosting_of(
        &self,
        asked: &Asked<'_>,
        id: CallId,
        config: &graph::MediaConfig,
    ) -> Result<Hosting, ApiError> {
        let call = self.calls.get(&id).ok_or_else(ApiError::call_not_found)?;
        self.hosting_for(asked, &call.tenant, config)
    }

    /// The same in an organisation.
    pub(super) fn hosting_for(
        &self,
        asked: &Asked<'_>,
        tenant: &TenantId,
        config: &graph::MediaConfig,
    ) -> Result<Hosting, ApiError> {
        match config {
            graph::MediaConfig::ServiceHosted(_) => Ok(Hosting::Service),
            graph::MediaConfig::AppHosted(config) => {
                self.check_permission(asked, tenant, &[Permission::AccessMedia])?;
                app_hosted(config)
            }
            graph::MediaConfig::Other(_) => {
                Err(ApiError::bad_request("mediaConfig is of an unknown type."))
            }
        }
    }

    /// A callback URI that may be called, if there is one.
    pub(super) fn check_callback(&self, uri: Option<&str>) -> Result<(), ApiError> {
        match uri {
            Some(uri) if !uri_allowed(self.config.uris, uri) => {
                Err(ApiError::bad_request("callbackUri must be an absolute https URI."))
            }
            _ => Ok(()),
        }
    }

    /// What each side is answered when a bot takes a person's call.
    fn join_incoming(&mut self, id: CallId, hosting: &Hosting) -> Result<Joined, ApiError> {
        let call = self.calls.get(&id).ok_or_else(ApiError::call_not_found)?;
        let bot_leg = call.leg;
        let (person, leg) = self.peer_of(call).ok_or_else(ApiError::call_not_found)?;
        let offered = leg.description.clone().ok_or_else(ApiError::call_not_found)?;
        let at_person = self.media.place_of(person).cloned();
        let at_person = at_person.ok_or_else(ApiError::call_not_found)?;
        let refused = |_| ApiError::bad_request("The two sides have no medium in common.");
        match hosting {
            Hosting::App { offer, .. } => {
                let at_bot = self.allot_for(bot_leg, offer)?;
                let to_person = attach::answer(&at_person, &offer.media, &offered);
                let to_bot = attach::answer(&at_bot, &offered.media, offer);
                let both = to_person.and_then(|to_person| Ok((to_person, to_bot?)));
                if both.is_err() {
                    self.media.release(bot_leg);
                }
                let (to_person, to_bot) = both.map_err(refused)?;
                let bot = Some((to_bot, (**offer).clone()));
                Ok(Joined { person, to_person, from_person: offered, bot })
            }
            Hosting::Service | Hosting::Undecided => {
                let ours = at_person.announced(attach::service_hosted(), &offered);
                let to_person = attach::answer(&at_person, &ours, &offered).map_err(refused)?;
                Ok(Joined { person, to_person, from_person: offered, bot: None })
            }
        }
    }

    /// Gives a leg a place at which somebody who describes himself so can be answered.
    pub(super) fn allot_for(
        &mut self,
        leg: LegId,
        offer: &Description,
    ) -> Result<attach::Place, ApiError> {
        if offer.secure.is_none() {
            return self.media.allot(leg).map_err(no_ports);
        }
        let refused = |error: attach::WebRtcError| {
            ApiError::bad_request(format!("mediaConfig/blob: {error}"))
        };
        self.media.check(offer).map_err(refused)?;
        let seed = self.random_bits() as u64;
        self.media.allot_shared(leg, seed).map_err(refused)
    }

    /// Opens the media sessions of both sides and joins them; ends the call if that
    /// cannot be.
    fn open_and_connect(&mut self, now: Instant, id: CallId, joined: Joined) {
        let Some(call) = self.calls.get(&id) else { return };
        let (bot_leg, conversation) = (call.leg, call.conversation);
        if let Err(error) = self.open_media(bot_leg, &joined) {
            let result = crate::call::result::EndResult::media_unreachable(&error);
            self.end_call(now, id, &result);
            return;
        }
        if let Some(bot) = self.leg_mut(bot_leg) {
            bot.standing = Standing::Joined;
        }
        self.say_answered(id, joined.person, joined.to_person);
        self.connect(now, conversation);
        self.drain_media(now);
    }

    fn open_media(&mut self, bot_leg: LegId, joined: &Joined) -> Result<(), String> {
        let seed = self.random_bits() as u64;
        let purpose = if joined.bot.is_some() { Purpose::Relay } else { Purpose::Terminate };
        let sides = (joined.to_person.clone(), joined.from_person.clone());
        let opened = self.media.open(joined.person, sides.clone(), purpose, seed);
        opened.map_err(|error| error.to_string())?;
        self.media_moved(joined.person);
        if let Some(to_bot) = &joined.bot {
            let seed = self.random_bits() as u64;
            let opened = self.media.open(bot_leg, to_bot.clone(), purpose, seed);
            opened.map_err(|error| error.to_string())?;
            self.media.relay((joined.person, &sides), (bot_leg, to_bot));
            self.media_moved(bot_leg);
        }
        Ok(())
    }

    /// What is offered to a person whom a bot calls.
    pub(super) fn offer_to_person(
        &self,
        call: &Call,
        person: LegId,
    ) -> Result<Description, ApiError> {
        let place = self.media.place_of(person).ok_or_else(ApiError::call_not_found)?;
        let media = match &call.hosting {
            Hosting::App { offer, .. } => offer.media.clone(),
            Hosting::Service | Hosting::Undecided => attach::service_hosted(),
        };
        Ok(place.describe(media))
    }

    /// A person takes a bot's call.
    pub(super) fn person_answers(
        &mut self,
        now: Instant,
        person: LegId,
        answer: Description,
    ) -> Result<(), CommandError> {
        if self.legs.get(&person).is_some_and(|id| self.is_conference(*id)) {
            return self.person_enters(now, person, answer);
        }
        let id = self.call_beside(person).ok_or(CommandError::UnknownLeg)?;
        let call = self.calls.get(&id).ok_or(CommandError::UnknownLeg)?;
        let bot_leg = call.leg;
        let hosting = call.hosting.clone();
        let offered = self.offer_to_person(call, person);
        let offered = offered.map_err(|error| CommandError::Media(error.message))?;
        let unusable = |error: attach::AnswerError| CommandError::Media(error.to_string());
        let to_person = match answer.secure {
            // A browser cannot answer an offer of plain RTP: what it says is an offer of its
            // own, and what the event says is the answer.
            Some(_) => {
                self.media.check(&answer).map_err(|e| CommandError::Media(e.to_string()))?;
                let seed = self.random_bits() as u64;
                let place = self.media.allot_shared(person, seed);
                let place = place.map_err(|error| CommandError::Media(error.to_string()))?;
                let media = match &hosting {
                    Hosting::App { .. } => offered.media,
                    Hosting::Service | Hosting::Undecided => {
                        place.announced(offered.media, &answer)
                    }
                };
                attach::answer(&place, &media, &answer).map_err(unusable)?
            }
            None => attach::settle(&offered, &answer).map_err(unusable)?,
        };
        let bot = match &hosting {
            Hosting::App { offer, .. } => {
                let at_bot = self.media.place_of(bot_leg).ok_or(CommandError::NoPorts)?;
                let to_bot = attach::answer(at_bot, &answer.media, offer).map_err(unusable)?;
                Some((to_bot, (**offer).clone()))
            }
            Hosting::Service | Hosting::Undecided => None,
        };
        self.timers.cancel(super::Timer::Ringing(person));
        if let (Some((to_bot, _)), Some(call)) = (&bot, self.calls.get_mut(&id))
            && let Hosting::App { answer, .. } = &mut call.hosting
        {
            *answer = Some(Box::new(to_bot.clone()));
            call.version += 1;
            // The bot learns where to send before it learns that somebody listens.
            self.notify_state(now, id);
        }
        if let Some(leg) = self.leg_mut(person) {
            leg.description = Some(answer.clone());
        }
        let joined = Joined { person, to_person, from_person: answer, bot };
        self.open_and_connect(now, id, joined);
        Ok(())
    }

    /// `POST …/reject`
    pub(super) fn reject_call(&mut self, asked: &Asked<'_>, id: CallId) -> Result<Reply, ApiError> {
        let body: graph::Reject = asked.parse_or_default()?;
        self.check_callback(body.callback_uri.as_deref())?;
        let reason = body.reason.unwrap_or(graph::RejectReason::None);
        if !reason.is_known() {
            return Err(ApiError::bad_request(format!("'{reason}' is no reason to reject.")));
        }
        let state = self.owned(asked, id)?.state();
        if state != State::Incoming {
            return Err(ApiError::wrong_state("reject", state));
        }
        if let (Some(uri), Some(call)) = (body.callback_uri, self.calls.get_mut(&id)) {
            call.callback_uri = uri;
        }
        let result = crate::call::result::EndResult::rejected(reason.as_str());
        self.finish_call(asked.now, id, Trigger::Reject, &result, |shown| {
            // Documented: nothing but the id, no state and no result.
            *shown = graph::Call { id: shown.id.take(), ..graph::Call::typed() };
        });
        Ok(Reply::empty(202))
    }
}

/// The app's description, from its blob.
pub(super) fn app_hosted(config: &graph::AppHostedMediaConfig) -> Result<Hosting, ApiError> {
    let blob = config.blob.as_deref().ok_or_else(|| ApiError::missing("mediaConfig/blob"))?;
    let offer = blob::parse(blob)
        .map_err(|error| ApiError::bad_request(format!("mediaConfig/blob: {error}")))?;
    Ok(Hosting::App { offer: Box::new(offer), answer: None })
}

/// Modalities that are known.
pub(super) fn check_modalities(modalities: Option<&[graph::Modality]>) -> Result<(), ApiError> {
    let unknown = modalities.unwrap_or_default().iter().find(|modality| !modality.is_known());
    match unknown {
        Some(modality) => Err(ApiError::bad_request(format!("'{modality}' is no modality."))),
        None => Ok(()),
    }
}

pub(super) fn no_ports(_: attach::PortsExhausted) -> ApiError {
    let message = "Every port for media is taken.";
    ApiError { retry_after_seconds: Some(30), ..ApiError::new(503, "ServiceUnavailable", message) }
}
