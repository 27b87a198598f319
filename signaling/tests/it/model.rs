//! A reference model of peer-to-peer calls against the platform: any interleaving of
//! people, the bot's requests (also bad and repeated ones), time, and a webhook that
//! loses, refuses or repeats. While the webhook is well the model predicts every status;
//! whatever it is, order, ends and operations obey their rules.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use callrig_signaling::event::Event;
use callrig_signaling::graph::{ChangeType, Tone};
use callrig_signaling::http::{Method, Request, Response};
use callrig_signaling::id::CallId;
use callrig_signaling::service::Load;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::world::{SERVICE_HOSTED, World, config, items};

const CALLS_MAX: usize = 4;
const ANSWER_MS: u64 = 15_000;
const KEEP_ALIVE_MS: u64 = 45 * 60 * 1000;

/// How a webhook behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Webhook {
    Well,
    Silent,
    Faulty,
    Refusing,
}

/// Where the model believes a call to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Incoming { until: u64 },
    Established,
    Over,
}

#[derive(Clone, Debug)]
struct Call {
    phase: Phase,
    alive_until: u64,
    /// The webhook was ill in its life: it may have ended for that.
    doubtful: bool,
}

#[derive(Clone, Debug)]
struct Model {
    now: u64,
    webhook: Webhook,
    calls: Vec<Call>,
    /// The status that the last request should have had.
    expected: Option<u16>,
}

#[derive(Clone, Debug)]
enum Step {
    Ring,
    Answer(usize),
    Reject(usize),
    Delete(usize),
    KeepAlive(usize),
    Play(usize),
    Record(usize),
    Cancel(usize),
    Subscribe(usize),
    Nonsense(usize),
    Foreign(usize),
    HangUp(usize),
    Press(usize),
    Wait(u64),
    Webhook(Webhook),
}

impl Model {
    /// Time passes: windows close.
    fn pass(&mut self, ms: u64) {
        self.now += ms;
        for call in &mut self.calls {
            let late = match call.phase {
                Phase::Incoming { until } => self.now >= until,
                Phase::Established | Phase::Over => false,
            };
            if late || self.now >= call.alive_until {
                call.phase = Phase::Over;
            }
        }
    }

    fn phase(&self, index: usize) -> Option<Phase> {
        self.calls.get(index).map(|call| call.phase)
    }

    /// The status of an action that a call takes in one phase only.
    fn status(&self, index: usize, wanted: fn(Phase) -> bool, good: u16) -> Option<u16> {
        Some(match self.phase(index)? {
            Phase::Over => 404,
            phase if wanted(phase) => good,
            _ => 409,
        })
    }

    fn set(&mut self, index: usize, phase: Phase) {
        if let Some(call) = self.calls.get_mut(index) {
            call.phase = phase;
        }
    }
}

const fn is_incoming(phase: Phase) -> bool {
    matches!(phase, Phase::Incoming { .. })
}

const fn is_established(phase: Phase) -> bool {
    matches!(phase, Phase::Established)
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self { now: 0, webhook: Webhook::Well, calls: Vec::new(), expected: None }).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let call = 0..CALLS_MAX;
        prop_oneof![
            3 => Just(Step::Ring),
            4 => call.clone().prop_map(Step::Answer),
            1 => call.clone().prop_map(Step::Reject),
            1 => call.clone().prop_map(Step::Delete),
            1 => call.clone().prop_map(Step::KeepAlive),
            2 => call.clone().prop_map(Step::Play),
            1 => call.clone().prop_map(Step::Record),
            1 => call.clone().prop_map(Step::Cancel),
            1 => call.clone().prop_map(Step::Subscribe),
            1 => call.clone().prop_map(Step::Nonsense),
            1 => call.clone().prop_map(Step::Foreign),
            1 => call.clone().prop_map(Step::HangUp),
            1 => call.prop_map(Step::Press),
            4 => (0_u64..4_000).prop_map(Step::Wait),
            1 => (10_000_u64..16_000).prop_map(Step::Wait),
            1 => Just(Step::Wait(46 * 60 * 1000)),
            1 => prop_oneof![
                2 => Just(Webhook::Well),
                1 => Just(Webhook::Silent),
                1 => Just(Webhook::Faulty),
                1 => Just(Webhook::Refusing),
            ].prop_map(Step::Webhook),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        match step {
            Step::Ring => state.calls.len() < CALLS_MAX,
            Step::Answer(index)
            | Step::Reject(index)
            | Step::Delete(index)
            | Step::KeepAlive(index)
            | Step::Play(index)
            | Step::Record(index)
            | Step::Cancel(index)
            | Step::Subscribe(index)
            | Step::Nonsense(index)
            | Step::Foreign(index)
            | Step::HangUp(index)
            | Step::Press(index) => *index < state.calls.len(),
            Step::Wait(_) | Step::Webhook(_) => true,
        }
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.expected = match *step {
            Step::Ring => {
                state.calls.push(Call {
                    phase: Phase::Incoming { until: state.now + ANSWER_MS },
                    alive_until: state.now + KEEP_ALIVE_MS,
                    doubtful: state.webhook != Webhook::Well,
                });
                None
            }
            Step::Answer(index) => {
                let expected = state.status(index, is_incoming, 202);
                if expected == Some(202) {
                    state.set(index, Phase::Established);
                }
                expected
            }
            Step::Reject(index) => {
                let expected = state.status(index, is_incoming, 202);
                if expected == Some(202) {
                    state.set(index, Phase::Over);
                }
                expected
            }
            Step::Delete(index) => {
                let expected = state.status(index, |_| true, 204);
                state.set(index, Phase::Over);
                expected
            }
            Step::KeepAlive(index) => {
                let expected = state.status(index, |_| true, 200);
                let until = state.now + KEEP_ALIVE_MS;
                if let Some(call) = state.calls.get_mut(index) {
                    call.alive_until = until;
                }
                expected
            }
            Step::Play(index)
            | Step::Record(index)
            | Step::Cancel(index)
            | Step::Subscribe(index) => state.status(index, is_established, 200),
            Step::Nonsense(index) => state.status(index, |_| true, 400),
            Step::Foreign(_) => Some(404),
            Step::HangUp(index) => {
                state.set(index, Phase::Over);
                None
            }
            Step::Press(_) => None,
            Step::Wait(ms) => {
                state.pass(ms);
                None
            }
            Step::Webhook(webhook) => {
                state.webhook = webhook;
                if webhook != Webhook::Well {
                    state.calls.iter_mut().for_each(|call| call.doubtful = true);
                }
                None
            }
        };
        state
    }
}

struct Rig {
    world: World,
    webhook: Rc<Cell<Webhook>>,
    calls: Vec<(CallId, SocketAddr)>,
}

impl Rig {
    fn ask(&mut self, index: usize, action: &str, body: &str) -> u16 {
        let path = format!("/communications/calls/{}/{action}", self.calls[index].0);
        self.world.api(Method::Post, &path, body).status
    }
}

fn answer_of(webhook: &Cell<Webhook>, request: &Request) -> Option<Response> {
    let status = match webhook.get() {
        Webhook::Well => 202,
        Webhook::Silent => return None,
        Webhook::Faulty => 503,
        Webhook::Refusing => 0,
    };
    Some(Response::empty(request.id, status))
}

const PROMPT: &str =
    r#"{"prompts":[{"mediaInfo":{"uri":"https://files.test/a.wav","resourceId":"a"}}]}"#;

impl StateMachineTest for Rig {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        let webhook = Rc::new(Cell::new(Webhook::Well));
        let behaviour = Rc::clone(&webhook);
        let answers = move |request: &Request| answer_of(&behaviour, request);
        let mut world = World::with_webhook(config(), 1, Box::new(answers));
        world.files.insert("https://files.test/a.wav".into(), crate::world::wav(700));
        Self { world, webhook, calls: Vec::new() }
    }

    fn apply(mut rig: Self, model: &Model, step: Step) -> Self {
        let status = match step {
            Step::Ring => {
                let rung = rig.world.ring();
                rig.calls.push(rung);
                None
            }
            Step::Answer(index) => Some((index, rig.ask(index, "answer", SERVICE_HOSTED))),
            Step::Reject(index) => Some((index, rig.ask(index, "reject", ""))),
            Step::Delete(index) => {
                let path = format!("/communications/calls/{}", rig.calls[index].0);
                Some((index, rig.world.api(Method::Delete, &path, "").status))
            }
            Step::KeepAlive(index) => Some((index, rig.ask(index, "keepAlive", ""))),
            Step::Play(index) => Some((index, rig.ask(index, "playPrompt", PROMPT))),
            Step::Record(index) => {
                Some((index, rig.ask(index, "recordResponse", r#"{"bargeInAllowed":true}"#)))
            }
            Step::Cancel(index) => Some((index, rig.ask(index, "cancelMediaProcessing", "{}"))),
            Step::Subscribe(index) => Some((index, rig.ask(index, "subscribeToTone", "{}"))),
            Step::Nonsense(index) => Some((index, rig.ask(index, "answer", "{\"mediaConfig\":7}"))),
            Step::Foreign(index) => {
                let path = format!("/communications/calls/{}", rig.calls[index].0);
                Some((index, rig.world.api_as("other", Method::Delete, &path, "").status))
            }
            Step::HangUp(index) => {
                let leg = rig.world.person(rig.calls[index].1).leg;
                let _ = rig.world.service.hang_up(rig.world.now, leg);
                rig.world.drain();
                None
            }
            Step::Press(index) => {
                let leg = rig.world.person(rig.calls[index].1).leg;
                let _ = rig.world.service.press(rig.world.now, leg, &Tone::Tone1);
                rig.world.drain();
                None
            }
            Step::Wait(ms) => {
                rig.world.run(Duration::from_millis(ms));
                None
            }
            Step::Webhook(webhook) => {
                rig.webhook.set(webhook);
                None
            }
        };
        if let (Some((index, status)), Some(expected)) = (status, model.expected) {
            let excused = model.calls[index].doubtful && status == 404;
            assert!(status == expected || excused, "{status} instead of {expected}");
        }
        rig
    }

    fn check_invariants(rig: &Self, _: &Model) {
        let mut running = BTreeMap::new();
        let mut over = BTreeSet::new();
        for (_, event) in &rig.world.said {
            match event {
                Event::OperationStarted { operation, call, .. } => {
                    assert!(!over.contains(call), "an operation began after the end");
                    assert!(running.insert(*operation, *call).is_none());
                }
                Event::OperationEnded { operation, .. } => {
                    assert!(running.remove(operation).is_some(), "an operation ended twice");
                }
                Event::CallEnded { call, .. } => {
                    assert!(over.insert(*call), "a call ended twice");
                    assert!(running.values().all(|of| of != call), "an operation has no end");
                }
                Event::CallStateChanged { call, .. } | Event::ToneHeard { call, .. } => {
                    assert!(!over.contains(call), "something happened after the end");
                }
                _ => {}
            }
        }
        let load = rig.world.service.load();
        assert_eq!(load.calls, rig.calls.len() - over.len());
        assert!(load.legs <= 2 * load.calls && load.sessions <= load.calls);
    }

    fn teardown(mut rig: Self, _: Model) {
        rig.webhook.set(Webhook::Well);
        rig.world.service.shut_down(rig.world.now);
        rig.world.drain();
        rig.world.run(Duration::from_secs(120));
        assert_eq!(rig.world.service.load(), Load::default(), "something outlived its call");
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        let mut deleted = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for (_, request) in &rig.world.notifications {
            if !seen.insert(request.body.clone()) {
                continue;
            }
            for (change, url, data) in items(request) {
                let call = url.split('/').nth(3).expect("it names a call").to_owned();
                assert!(!deleted.contains(&call), "{url} is told of after its call's end");
                let etag = data["@odata.etag"].as_str().expect("it has a number");
                let version =
                    etag.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("it is one");
                let before = last.insert(call.clone(), version);
                assert!(before.is_none_or(|before| before < version), "{url} is out of order");
                if change == ChangeType::Deleted && url.matches('/').count() == 3 {
                    deleted.insert(call);
                }
            }
        }
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn the_platform_does_what_the_model_of_peer_to_peer_calls_says(sequential 1..40 => Rig);
}
