//! Joining two legs that are not a person and the bot that they call: people that a bot
//! has put through to each other, two bots, a voicemail box; and legs whose media flows
//! already. What both sides can pass on is passed on; where the platform plays or listens
//! on one side the other is taken apart; otherwise the two meet in a room of two.

use callrig_media::description::{Description, MediaDescription};
use callrig_media::time::Instant;

use super::Service;
use super::api::Asked;
use super::conference::{Party, Standing};
use super::reply::{ApiError, Reply};
use crate::attach::{self, Purpose, Sides};
use crate::call::Hosting;
use crate::call::state::{State, Trigger};
use crate::event::Event;
use crate::graph;
use crate::id::{CallId, ConversationId, LegId};

/// What a leg brings to a joining.
enum Brings {
    /// A session that is open.
    Open,
    /// A person's offer, which waits for its answer.
    Offer(Description),
    /// Both sides, of a person who has just answered.
    Both(Box<Sides>),
    /// An app's offer.
    App(Description),
    /// Nothing: a bot whose media is the platform's, or a voicemail box.
    Nothing,
}

impl Service {
    /// Joins the media of two legs of one conversation and says so; what has been
    /// `answered` are both sides of a person who has just taken the call.
    pub(super) fn pair(
        &mut self,
        now: Instant,
        one: LegId,
        other: LegId,
        answered: Option<(LegId, Sides)>,
    ) -> Result<(), String> {
        let mut answered = answered;
        let mut brings = |leg: LegId| match answered.take_if(|(of, _)| *of == leg) {
            Some((_, sides)) => Brings::Both(Box::new(sides)),
            None => self.brought_by(leg),
        };
        let (of_one, of_other) = (brings(one), brings(other));
        let passes = |leg: LegId, brought: &Brings| match brought {
            Brings::Open => self.media.passes_on(leg),
            Brings::Nothing => false,
            _ => true,
        };
        let relay = passes(one, &of_one) && passes(other, &of_other);
        let media_of = |leg: LegId, brought: &Brings| match brought {
            _ if !relay => attach::service_hosted(),
            Brings::Open => self.media.described(leg).map(|d| d.media.clone()).unwrap_or_default(),
            Brings::Offer(theirs) | Brings::App(theirs) => theirs.media.clone(),
            Brings::Both(sides) => sides.1.media.clone(),
            Brings::Nothing => Vec::new(),
        };
        let (media_of_one, media_of_other) = (media_of(one, &of_one), media_of(other, &of_other));
        let sounds = |brought: &Brings| !matches!(brought, Brings::Nothing);
        let both_sound = (sounds(&of_one), sounds(&of_other));
        let purpose = if relay { Purpose::Relay } else { Purpose::Terminate };
        self.open_side(one, of_one, &media_of_other, purpose)?;
        self.open_side(other, of_other, &media_of_one, purpose)?;
        let seed = self.random_bits() as u64;
        match both_sound {
            (true, true) if relay => self.media.join(one, other),
            (true, false) | (false, true) => {
                let leg = if both_sound.0 { one } else { other };
                self.media.part(leg);
                self.media.take_apart(leg, seed).map_err(|error| error.to_string())?;
            }
            _ => {
                self.take_seat(now, one)?;
                self.take_seat(now, other)?;
            }
        }
        for leg in [one, other] {
            if let Some(held) = self.leg_mut(leg) {
                held.standing = Standing::Joined;
            }
            self.media_moved(leg);
        }
        self.drain_media(now);
        Ok(())
    }

    fn brought_by(&self, leg: LegId) -> Brings {
        if self.media.is_open(leg) {
            return Brings::Open;
        }
        let Some(held) = self.leg(leg) else { return Brings::Nothing };
        match (&held.party, &held.description) {
            (Party::User(_), Some(offer)) => Brings::Offer(offer.clone()),
            (Party::Bot(call), _) => match self.calls.get(call).map(|call| &call.hosting) {
                Some(Hosting::App { offer, .. }) => Brings::App((**offer).clone()),
                _ => Brings::Nothing,
            },
            _ => Brings::Nothing,
        }
    }

    /// Opens the session of a leg that has none yet, and says where its media goes.
    fn open_side(
        &mut self,
        leg: LegId,
        brought: Brings,
        media: &[MediaDescription],
        purpose: Purpose,
    ) -> Result<(), String> {
        let (sides, is_person) = match brought {
            Brings::Open | Brings::Nothing => return Ok(()),
            Brings::Both(sides) => (*sides, true),
            Brings::Offer(theirs) => {
                let at = self.media.place_of(leg).cloned().ok_or("the leg has no place")?;
                let ours = answer_at(&at, media, &theirs, purpose)?;
                ((ours, theirs), true)
            }
            Brings::App(theirs) => {
                let at = match self.media.place_of(leg).cloned() {
                    Some(at) => at,
                    None => self.allot_for(leg, &theirs).map_err(|error| error.message)?,
                };
                let ours = answer_at(&at, media, &theirs, purpose)?;
                self.answer_app(leg, &ours);
                ((ours, theirs), false)
            }
        };
        let seed = self.random_bits() as u64;
        let ours = sides.0.clone();
        let theirs = sides.1.clone();
        self.media.open(leg, sides, purpose, seed).map_err(|error| error.to_string())?;
        if is_person {
            if let Some(held) = self.leg_mut(leg) {
                held.description = Some(theirs);
            }
            let call = self.call_beside(leg);
            self.say(Event::UserAnswered { call, leg, description: ours });
        }
        Ok(())
    }

    /// What the app of a bot's leg is answered.
    fn answer_app(&mut self, leg: LegId, ours: &Description) {
        let Some(id) = self.leg(leg).and_then(super::conference::Leg::call) else { return };
        if let Some(call) = self.calls.get_mut(&id)
            && let Hosting::App { answer, .. } = &mut call.hosting
        {
            *answer = Some(Box::new(ours.clone()));
            call.version += 1;
        }
    }

    /// Whether a call that a bot takes is joined here: the other side is no person who
    /// waits for the first answer.
    pub(super) fn is_paired(&self, id: CallId) -> bool {
        let Some(call) = self.calls.get(&id) else { return false };
        let Some(conversation) = self.conversations.get(&call.conversation) else { return false };
        conversation.fork.is_some() || self.peer_of(call).is_some_and(|(_, leg)| !leg.is_person())
    }

    /// A bot takes such a call.
    pub(super) fn answer_paired(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        callback_uri: Option<String>,
        options: Option<graph::CallOptions>,
        config: &graph::MediaConfig,
        hosting: Hosting,
    ) -> Result<Reply, ApiError> {
        let call = self.calls.get_mut(&id).ok_or_else(ApiError::call_not_found)?;
        let (leg, conversation) = (call.leg, call.conversation);
        let before = core::mem::replace(&mut call.hosting, hosting);
        let partner = self.partner_of(conversation, leg).ok_or_else(ApiError::call_not_found)?;
        if let Err(reason) = self.fits(leg, partner) {
            if let Some(call) = self.calls.get_mut(&id) {
                call.hosting = before;
            }
            return Err(ApiError::bad_request(reason));
        }
        let Some(call) = self.calls.get_mut(&id) else { return Err(ApiError::call_not_found()) };
        if let Some(uri) = callback_uri {
            call.callback_uri = uri;
        }
        if let Some(options) = options {
            call.options = options;
        }
        self.move_call(id, Trigger::Answer);
        self.prefetch(asked.now, id, config);
        self.take_call(asked.now, conversation, leg, None);
        Ok(Reply::empty(202))
    }

    /// Whether an app's offer and what its partner brings have sound in common, so that a
    /// bad offer is refused before anything has changed.
    fn fits(&self, leg: LegId, partner: LegId) -> Result<(), String> {
        let Brings::App(offer) = self.brought_by(leg) else { return Ok(()) };
        let media = match self.brought_by(partner) {
            Brings::Open if self.media.passes_on(partner) => {
                self.media.described(partner).map(|d| d.media.clone()).unwrap_or_default()
            }
            Brings::Offer(theirs) | Brings::App(theirs) => theirs.media,
            _ => attach::service_hosted(),
        };
        self.media.check(&offer).map_err(|error| format!("mediaConfig/blob: {error}"))?;
        let answer = attach::answer(&attach::Place::plain(offer.address), &media, &offer);
        answer.map(|_| ()).map_err(|_| "The two sides have no medium in common.".to_owned())
    }

    /// A leg has taken a call: it is joined with who waits for it, everybody else who was
    /// rung is told, and the calls of the two are established.
    pub(super) fn take_call(
        &mut self,
        now: Instant,
        conversation: ConversationId,
        leg: LegId,
        answered: Option<Sides>,
    ) {
        self.timers.cancel(super::Timer::Ringing(leg));
        let Some(partner) = self.win(now, conversation, leg) else { return };
        let joined = self.pair(now, partner, leg, answered.map(|sides| (leg, sides)));
        if let Err(reason) = joined {
            let result = crate::call::result::EndResult::media_unreachable(&reason);
            self.end_conversation(now, conversation, &result);
            return;
        }
        self.won(now, conversation, leg);
        for side in [partner, leg] {
            let Some(id) = self.leg(side).and_then(super::conference::Leg::call) else { continue };
            self.tell_establishing(now, id);
            self.connect_call(now, id);
        }
        self.begin_voicemail(now, partner, leg);
    }

    /// A bot that was called is told that it is being joined, and one whose app handles
    /// media where to send, before it learns that somebody listens.
    fn tell_establishing(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let begins = matches!(call.state(), State::Establishing | State::Ringing);
        let called = call.direction == graph::CallDirection::Incoming;
        if begins && (called || matches!(&call.hosting, Hosting::App { answer: Some(_), .. })) {
            self.notify_state(now, id);
        }
    }
}

/// What somebody is answered; where the platform itself sends, its sources are announced.
fn answer_at(
    at: &attach::Place,
    media: &[MediaDescription],
    theirs: &Description,
    purpose: Purpose,
) -> Result<Description, String> {
    let media = match purpose {
        Purpose::Terminate => at.announced(media.to_vec(), theirs),
        Purpose::Relay => media.to_vec(),
    };
    attach::answer(at, &media, theirs).map_err(|error| error.to_string())
}
