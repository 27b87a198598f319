//! Where calls go, in any order: people and bots call, answer, redirect, transfer, pick
//! up, decline, hang up, and time passes. A model that knows no more than where each call
//! stands predicts every status; whatever happens, a call ends once and nothing follows,
//! whoever was rung is answered or told, and nothing outlives what it belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use callrig_media::description::Description;
use callrig_signaling::call::state::State;
use callrig_signaling::event::Event;
use callrig_signaling::graph::ChangeType;
use callrig_signaling::http::Method;
use callrig_signaling::id::{AppId, CallId, LegId, UserId};
use callrig_signaling::service::Load;
use proptest::prelude::*;

use crate::redirect::{app, user, world};
use crate::world::{SERVICE_HOSTED, World, items};

#[derive(Clone, Debug)]
enum Step {
    /// Ann calls a bot.
    Ring(bool),
    /// The bot calls somebody.
    Dial(Target),
    /// A bot acts on one of all calls there ever were.
    Answer(usize, bool),
    Reject(usize),
    Delete(usize),
    Redirect(usize, Vec<Target>),
    Transfer(usize, Target, Option<usize>),
    /// A person acts on one of all legs there ever were.
    PickUp(usize),
    Decline(usize),
    HangUp(usize),
    Wait(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Ann,
    Ben,
    Cleo,
    Bot,
    Other,
    Voicemail,
}

impl Target {
    fn json(self) -> String {
        match self {
            Self::Ann => user("ann"),
            Self::Ben => user("ben"),
            Self::Cleo => user("cleo"),
            Self::Bot => app("bot"),
            Self::Other => app("other"),
            Self::Voicemail => {
                r#"{"endpointType":"voicemail","identity":{"user":{"id":"ben"}}}"#.to_owned()
            }
        }
    }
}

fn target() -> impl Strategy<Value = Target> + Clone {
    use Target::{Ann, Ben, Bot, Cleo, Other, Voicemail};
    prop_oneof![
        1 => Just(Ann), 4 => Just(Ben), 3 => Just(Cleo), 2 => Just(Bot), 3 => Just(Other),
        1 => Just(Voicemail)
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Counted from the newest: what has just begun is what most is done with.
    let call = prop_oneof![5 => Just(0_usize), 3 => Just(1), 2 => 2_usize..6];
    let leg = prop_oneof![5 => Just(0_usize), 3 => Just(1), 2 => 2_usize..8];
    let step = prop_oneof![
        3 => any::<bool>().prop_map(Step::Ring),
        2 => target().prop_map(Step::Dial),
        8 => (call.clone(), any::<bool>()).prop_map(|(c, a)| Step::Answer(c, a)),
        1 => call.clone().prop_map(Step::Reject),
        1 => call.clone().prop_map(Step::Delete),
        4 => (call.clone(), proptest::collection::vec(target(), 1..4))
            .prop_map(|(c, t)| Step::Redirect(c, t)),
        5 => (call.clone(), target(), proptest::option::weighted(0.3, call))
            .prop_map(|(c, t, r)| Step::Transfer(c, t, r)),
        8 => leg.clone().prop_map(Step::PickUp),
        1 => leg.clone().prop_map(Step::Decline),
        2 => leg.prop_map(Step::HangUp),
        3 => (10_u64..3_000).prop_map(Step::Wait),
        1 => (10_000_u64..70_000).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What the events have said so far.
#[derive(Default)]
struct Known {
    calls: Vec<(CallId, AppId)>,
    states: BTreeMap<CallId, State>,
    legs: Vec<LegId>,
    offers: BTreeMap<LegId, Description>,
    over: BTreeSet<CallId>,
    gone: BTreeSet<LegId>,
    read: usize,
}

impl Known {
    fn read(&mut self, world: &World) -> Result<(), TestCaseError> {
        for (_, event) in &world.said[self.read..] {
            match event {
                Event::CallStateChanged { call, app, state } => {
                    prop_assert!(!self.over.contains(call), "{call} moves after its end");
                    if self.states.insert(*call, *state).is_none() {
                        self.calls.push((*call, app.clone()));
                    }
                }
                Event::CallEnded { call, .. } => {
                    prop_assert!(self.over.insert(*call), "{call} ends twice");
                }
                Event::UserRung { leg, offer, .. } => {
                    self.legs.push(*leg);
                    self.offers.insert(*leg, offer.clone());
                }
                Event::LegEnded { leg, .. } => {
                    prop_assert!(self.gone.insert(*leg), "{leg} ends twice");
                }
                Event::UserAnswered { leg, .. } => {
                    prop_assert!(!self.gone.contains(leg), "{leg} is answered after its end");
                }
                _ => {}
            }
        }
        self.read = world.said.len();
        Ok(())
    }

    /// The status of an action that is possible in these states alone.
    fn expect(&self, call: CallId, possible: &[State], good: u16) -> u16 {
        match self.states.get(&call) {
            _ if self.over.contains(&call) => 404,
            Some(state) if possible.contains(state) => good,
            _ => 409,
        }
    }
}

fn app_hosted() -> String {
    let offer = Description::audio(([127, 0, 0, 3], 5000).into());
    let blob = callrig_signaling::blob::write(callrig_signaling::blob::Kind::Offer, &offer);
    format!(
        r##"{{"callbackUri":"https://bot.test/api/calls","mediaConfig":{{"@odata.type":"#microsoft.graph.appHostedMediaConfig","blob":"{blob}"}}}}"##
    )
}

struct Run {
    world: World,
    known: Known,
}

impl Run {
    fn act(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let call = |index: usize| self.known.calls.iter().rev().nth(index).cloned();
        match step {
            Step::Ring(other) => {
                let address = self.world.address();
                let offer = Description::audio(address);
                let app = AppId::new(if *other { "other" } else { "bot" });
                let ann = UserId::new("ann");
                let rings = self.world.service.ring_bot(self.world.now, &ann, &app, offer.clone());
                let rings = rings.expect("the bot can be rung");
                self.world.add_person(rings.leg, &offer);
                self.known.legs.push(rings.leg);
            }
            Step::Dial(target) => {
                let body = format!(
                    r#"{{"callbackUri":"https://bot.test/api/calls","mediaConfig":{{}},"targets":[{}]}}"#,
                    target.json()
                );
                let expected = if *target == Target::Bot { 400 } else { 201 };
                let status = self.world.api(Method::Post, "/communications/calls", &body).status;
                prop_assert_eq!(status, expected);
            }
            Step::Answer(index, service) => {
                let Some((call, app)) = call(*index) else { return Ok(()) };
                let body = if *service { SERVICE_HOSTED.to_owned() } else { app_hosted() };
                let expected = self.known.expect(call, &[State::Incoming], 202);
                self.ask(call, &app, "answer", &body, &[expected])?;
            }
            Step::Reject(index) => {
                let Some((call, app)) = call(*index) else { return Ok(()) };
                let expected = self.known.expect(call, &[State::Incoming], 202);
                self.ask(call, &app, "reject", "{}", &[expected])?;
            }
            Step::Delete(index) => {
                let Some((call, app)) = call(*index) else { return Ok(()) };
                let all: Vec<State> =
                    State::ALL.into_iter().filter(|s| *s != State::Redirecting).collect();
                let expected = self.known.expect(call, &all, 204);
                let path = format!("/communications/calls/{call}");
                let status = self.world.api_as(app.as_str(), Method::Delete, &path, "").status;
                prop_assert_eq!(status, expected);
            }
            Step::Redirect(index, targets) => {
                let Some((call, app)) = call(*index) else { return Ok(()) };
                let named: Vec<String> = targets.iter().map(|target| target.json()).collect();
                let body = format!(r#"{{"targets":[{}]}}"#, named.join(","));
                let own = if app.as_str() == "bot" { Target::Bot } else { Target::Other };
                let distinct: BTreeSet<Target> = targets.iter().copied().collect();
                let good = distinct.len() == targets.len() && !distinct.contains(&own);
                let status = if good { 202 } else { 400 };
                let expected = self.known.expect(call, &[State::Incoming], status);
                self.ask(call, &app, "redirect", &body, &[expected])?;
            }
            Step::Transfer(index, target, replaced) => {
                let Some((call, app)) = call(*index) else { return Ok(()) };
                let replaces = replaced.and_then(|index| self.known.calls.iter().rev().nth(index));
                let replaces = replaces
                    .map_or(String::new(), |(id, _)| format!(r#""replacesCallId":"{id}","#));
                let json = target.json();
                let body =
                    format!(r#"{{"transferTarget":{{{replaces}{}}}"#, json.trim_start_matches('{'));
                let own = if app.as_str() == "bot" { Target::Bot } else { Target::Other };
                let expected = self.known.expect(call, &[State::Established], 202);
                // Itself, the own bot, or another bot as the one to be transferred: 400.
                let allowed = match expected {
                    202 if *target == own => vec![400],
                    202 => vec![202, 400],
                    other => vec![other],
                };
                self.ask(call, &app, "transfer", &body, &allowed)?;
            }
            Step::PickUp(index) => self.pick_up(*index)?,
            Step::Decline(index) => {
                let Some(leg) = self.known.legs.iter().rev().nth(*index).copied() else {
                    return Ok(());
                };
                let _ = self.world.service.decline(self.world.now, leg);
            }
            Step::HangUp(index) => {
                let Some(leg) = self.known.legs.iter().rev().nth(*index).copied() else {
                    return Ok(());
                };
                let there = !self.known.gone.contains(&leg);
                let gone = self.world.service.hang_up(self.world.now, leg);
                prop_assert_eq!(gone.is_ok(), there, "{}", leg);
            }
            Step::Wait(ms) => self.world.run(Duration::from_millis(*ms)),
        }
        self.world.drain();
        self.known.read(&self.world)
    }

    fn pick_up(&mut self, index: usize) -> Result<(), TestCaseError> {
        let Some(leg) = self.known.legs.iter().rev().nth(index).copied() else { return Ok(()) };
        let Some(offer) = self.known.offers.get(&leg).cloned() else { return Ok(()) };
        let address = self.world.address();
        let answer = Description::audio(address).answer(&offer);
        self.world.people.retain(|_, person| person.leg != leg || person.session.is_some());
        if self.world.people.values().all(|person| person.leg != leg) {
            self.world.add_person(leg, &answer);
        }
        let taken = self.world.service.answer(self.world.now, leg, answer);
        let known = self.world.said.iter().any(|(_, event)| match event {
            Event::UserAnswered { leg: of, .. } | Event::LegEnded { leg: of, .. } => *of == leg,
            _ => false,
        });
        prop_assert!(taken.is_ok() || known, "{} cannot be picked up", leg);
        Ok(())
    }

    fn ask(
        &mut self,
        call: CallId,
        app: &AppId,
        action: &str,
        body: &str,
        expected: &[u16],
    ) -> Result<(), TestCaseError> {
        let path = format!("/communications/calls/{call}/{action}");
        let status = self.world.api_as(app.as_str(), Method::Post, &path, body).status;
        prop_assert!(expected.contains(&status), "{action}: {status}, not {expected:?}");
        Ok(())
    }
}

/// Notifications of each call are in order, and nothing follows its deletion.
fn in_order(world: &World) -> Result<(), TestCaseError> {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut deleted = BTreeSet::new();
    for (change, url, data) in world.notifications.iter().flat_map(|(_, request)| items(request)) {
        let call = url.split('/').nth(3).expect("it names a call").to_owned();
        prop_assert!(!deleted.contains(&call), "{url} is told of after its call's end");
        let etag = data["@odata.etag"].as_str().unwrap_or_default();
        let digits = etag.trim_matches(|c: char| !c.is_ascii_digit());
        let version = digits.parse().unwrap_or(0);
        let before = last.insert(call.clone(), version);
        prop_assert!(version == 0 || before.is_none_or(|before| before < version), "{url}");
        if change == ChangeType::Deleted && url.matches('/').count() == 3 {
            deleted.insert(call);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn wherever_calls_go_they_end_once_and_nothing_outlives_them(steps in steps(), seed in 0_u64..4) {
        let mut run = Run { world: world(seed), known: Known::default() };
        for step in &steps {
            run.act(step)?;
            let load = run.world.service.load();
            prop_assert_eq!(load.calls, run.known.calls.len() - run.known.over.len());
        }
        // Whatever was on its way has come to something by now.
        run.world.run(Duration::from_secs(120));
        run.known.read(&run.world)?;
        for (call, state) in &run.known.states {
            prop_assert!(
                run.known.over.contains(call) || *state == State::Established,
                "{call} is still {state:?}"
            );
        }
        run.world.service.shut_down(run.world.now);
        run.world.drain();
        run.world.run(Duration::from_secs(60));
        run.known.read(&run.world)?;
        prop_assert_eq!(run.world.service.load(), Load::default());
        prop_assert_eq!(run.known.calls.len(), run.known.over.len());
        for leg in &run.known.legs {
            prop_assert!(run.known.gone.contains(leg), "{} was never told of its end", leg);
        }
        in_order(&run.world)?;
    }
}

/// A model that never gets anywhere would prove nothing.
#[test]
fn the_steps_lead_to_every_end_that_there_is() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut ends: BTreeMap<(u16, u32), usize> = BTreeMap::new();
    let (mut failed, mut messages) = (0, 0);
    for _ in 0..400 {
        let steps = steps().new_tree(&mut runner).expect("it is simple").current();
        let mut run = Run { world: world(1), known: Known::default() };
        for step in &steps {
            run.act(step).expect("the model is right");
        }
        for (code, subcode) in run.world.ended() {
            *ends.entry((code, subcode)).or_insert(0) += 1;
        }
        messages += run
            .world
            .said
            .iter()
            .filter(|(_, event)| matches!(event, Event::VoicemailLeft { .. }))
            .count();
        let told = run.world.told().into_iter();
        failed += told
            .filter(|(_, _, data)| data["state"] == "established" && !data["resultInfo"].is_null())
            .count();
    }
    println!("{ends:?}, {failed} transfers failed, {messages} messages");
    for end in [
        (0, 7015),
        (200, 90_010),
        (200, 4521),
        (200, 4097),
        (200, 7000),
        (408, 10_057),
        (486, 90_004),
        (487, 10_003),
        (487, 10_004),
        (487, 10_024),
        (480, 90_007),
    ] {
        assert!(ends.contains_key(&end), "no call ended with {end:?}: {ends:?}");
    }
    assert!(failed > 5 && messages > 0, "{failed} transfers failed, {messages} messages");
}
