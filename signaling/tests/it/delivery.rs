//! Notifications are delivered in order, one at a time, again after faults, and not for
//! ever.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use callrig_media::time::Instant;
use callrig_signaling::event::Event;
use callrig_signaling::http::{Method, Request, Response};
use proptest::prelude::*;

use crate::world::{SERVICE_HOSTED, World, accept, config, items};

/// A webhook that answers with these statuses in turn, then with 202. 0 is a refused
/// connection, 1 no answer at all.
fn script(statuses: &[u16]) -> crate::world::Webhook {
    let mut statuses = statuses.to_vec();
    statuses.reverse();
    Box::new(move |request: &Request| match statuses.pop() {
        Some(1) => None,
        Some(status) => Some(Response::empty(request.id, status)),
        None => accept(request),
    })
}

fn attempts(world: &World) -> Vec<(Instant, u64, u32)> {
    world
        .said
        .iter()
        .filter_map(|(at, event)| match event {
            Event::NotificationSent { sequence, attempt, .. } => Some((*at, *sequence, *attempt)),
            _ => None,
        })
        .collect()
}

#[test]
fn faults_are_tried_again_after_pauses_that_grow() {
    let mut world = World::with_webhook(config(), 1, script(&[503, 0, 1, 429]));
    world.ring();
    world.run(Duration::from_secs(14));
    let attempts = attempts(&world);
    assert_eq!(attempts.iter().map(|(_, _, a)| *a).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(attempts.iter().all(|(_, sequence, _)| *sequence == 1));
    let pause = |n: usize| attempts[n + 1].0.since(attempts[n].0);
    let within = |pause: Duration, low: u64, high: u64| {
        assert!((low..=high).contains(&(pause.as_millis() as u64)), "{pause:?}");
    };
    within(pause(0), 520, 620);
    within(pause(1), 1020, 1220);
    // The third attempt had no answer: its five seconds, then the pause.
    within(pause(2), 7000, 7400);
    within(pause(3), 4020, 4820);
}

#[test]
fn what_cannot_be_delivered_ends_the_call_with_a_result_that_says_so() {
    let mut world = World::with_webhook(config(), 2, script(&[500; 100]));
    world.ring();
    world.run(Duration::from_secs(60));
    assert_eq!(world.ended(), [(500, 90001)]);
    let reason = world.said.iter().find_map(|(_, event)| match event {
        Event::NotificationGivenUp { attempts, reason, .. } => Some((*attempts, reason.clone())),
        _ => None,
    });
    assert_eq!(reason, Some((5, "HTTP 500".to_owned())));
    world.assert_nothing_left();
}

#[test]
fn an_answer_that_is_no_fault_ends_the_call_at_once() {
    for status in [400, 401, 403, 404, 410] {
        let mut world = World::with_webhook(config(), 3, script(&[status]));
        world.ring();
        world.run_ms(100);
        assert_eq!(world.ended(), [(500, 90001)], "{status}");
        assert_eq!(world.told_states().last().map(String::as_str), Some("deleted terminated"));
        world.assert_nothing_left();
    }
}

#[test]
fn a_redirect_leads_to_another_deployment_unless_it_is_forbidden_or_endless() {
    let redirect = |to: &str| {
        let to = to.to_owned();
        let webhook = move |request: &Request| {
            let mut response = Response::empty(request.id, 202);
            if request.uri.contains("bot.test") {
                response.status = 302;
                response.headers.push("Location", &to);
            }
            Some(response)
        };
        World::with_webhook(config(), 4, Box::new(webhook))
    };
    let mut world = redirect("https://elsewhere.test/calls");
    world.ring();
    world.run_ms(100);
    assert_eq!(world.notifications[1].1.uri, "https://elsewhere.test/calls");
    assert!(world.ended().is_empty());
    for forbidden in ["http://elsewhere.test/calls", "https://bot.test/again"] {
        let mut world = redirect(forbidden);
        world.ring();
        world.run_ms(500);
        assert_eq!(world.ended(), [(500, 90001)], "{forbidden}");
        assert!(world.notifications.len() <= 8);
    }
}

#[test]
fn retry_after_is_honoured() {
    let webhook = |request: &Request| {
        let mut response = Response::empty(request.id, 429);
        response.headers.push("Retry-After", "3");
        Some(response)
    };
    let mut world = World::with_webhook(config(), 5, Box::new(webhook));
    world.ring();
    world.run(Duration::from_secs(4));
    let attempts = attempts(&world);
    assert_eq!(attempts[1].0.since(attempts[0].0), Duration::from_millis(3020));
}

#[test]
fn a_bot_that_never_answers_leaves_no_endless_backlog() {
    let mut config = config();
    config.delivery.backlog_max = 4;
    config.delivery.attempt_timeout = Duration::from_secs(1000);
    let seen = Rc::new(RefCell::new(0));
    let count = Rc::clone(&seen);
    let webhook = move |request: &Request| {
        *count.borrow_mut() += 1;
        // It takes the incoming call, then hangs.
        (*count.borrow() == 1).then(|| Response::empty(request.id, 202))
    };
    let mut world = World::with_webhook(config, 6, Box::new(webhook));
    let (call, ann) = world.ring();
    world.run_ms(100);
    let path = format!("/communications/calls/{call}");
    assert_eq!(world.api(Method::Post, &format!("{path}/answer"), SERVICE_HOSTED).status, 202);
    assert_eq!(world.api(Method::Post, &format!("{path}/subscribeToTone"), "").status, 200);
    for _ in 0..10 {
        let leg = world.person(ann).leg;
        let _ = world.service.press(world.now, leg, &callrig_signaling::graph::Tone::Tone1);
        world.drain();
    }
    assert_eq!(world.ended(), [(500, 90002)]);
}

/// Whether what the bot was told keeps to the order in which it was made, with nothing
/// after a call's deletion.
fn in_order(world: &World) -> Result<(), TestCaseError> {
    let mut deleted = Vec::new();
    let mut last = std::collections::BTreeMap::new();
    for (_, request) in &world.notifications {
        for (change, url, data) in items(request) {
            let call = url.split('/').nth(3).expect("it names a call").to_owned();
            let etag = data["@odata.etag"].as_str().unwrap_or_default();
            let version: u64 =
                etag.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0);
            let key = (url.clone(), version);
            // An attempt may be made again, but nothing new follows the end.
            let again = last.get(&call) == Some(&key);
            prop_assert!(again || !deleted.contains(&call), "{url} {change} after the end");
            if let Some((_, before)) = last.get(&call) {
                prop_assert!(version >= *before || version == 0, "{url} {version} < {before}");
            }
            if change == callrig_signaling::graph::ChangeType::Deleted
                && url.matches('/').count() == 3
            {
                deleted.push(call.clone());
            }
            last.insert(call, key);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_the_webhook_answers_order_holds_and_everything_ends(
        statuses in proptest::collection::vec(
            prop_oneof![6 => Just(202_u16), 1 => proptest::sample::select(vec![500, 0, 1, 404, 429, 302])],
            0..40,
        ),
        seed in any::<u64>(),
        answer_after_ms in 0_u64..20_000,
        hang_up_after_ms in 0_u64..40_000,
    ) {
        let mut world = World::with_webhook(config(), seed, script(&statuses));
        let (call, ann) = world.ring();
        world.run_ms(answer_after_ms);
        let path = format!("/communications/calls/{call}/answer");
        let answered = world.api(Method::Post, &path, SERVICE_HOSTED).status;
        prop_assert!(matches!(answered, 202 | 404), "{answered}");
        world.run_ms(hang_up_after_ms);
        let leg = world.person(ann).leg;
        let _ = world.service.hang_up(world.now, leg);
        world.drain();
        world.run(Duration::from_secs(120));
        in_order(&world)?;
        prop_assert_eq!(world.ended().len(), 1);
        prop_assert_eq!(world.service.load(), callrig_signaling::service::Load::default());
    }
}

fn body(request: &Request) -> serde_json::Value {
    serde_json::from_slice(&request.body).expect("the platform writes JSON")
}

#[test]
fn a_bot_may_be_told_of_a_call_as_skype_did_and_then_as_today() {
    let mut config = config();
    config.delivery.legacy_first = true;
    let webhook = |request: &Request| {
        let status = if body(request)["callState"] == "incoming" { 204 } else { 202 };
        Some(Response::empty(request.id, status))
    };
    let mut world = World::with_webhook(config.clone(), 7, Box::new(webhook));
    let (call, _) = world.ring();
    world.run_ms(100);
    let legacy = body(&world.notifications[0].1);
    assert_eq!(legacy["id"], call.to_string());
    assert_eq!(legacy["participants"][0]["identity"], "8:orgid:ann");
    assert_eq!(legacy["participants"][0]["originator"], true);
    assert_eq!(legacy["participants"][1]["identity"], "28:bot");
    assert_eq!(legacy["presentedModalityTypes"][0], "audio");
    assert!(legacy["value"].is_null());
    let today = body(&world.notifications[1].1);
    assert_eq!(today["value"][0]["resourceData"]["state"], "incoming");
    // It is one notification, taken at the first attempt; what follows is of today.
    let taken = world.said.iter().find_map(|(_, event)| match event {
        Event::NotificationDelivered { sequence, attempts, .. } => Some((*sequence, *attempts)),
        _ => None,
    });
    assert_eq!(taken, Some((1, 1)));
    let path = format!("/communications/calls/{call}/answer");
    assert_eq!(world.api(Method::Post, &path, SERVICE_HOSTED).status, 202);
    world.run_ms(200);
    assert!(world.notifications[2..].iter().all(|(_, r)| body(r)["value"].is_array()));
    // A bot that takes the old form is not told again.
    let mut world = World::with_webhook(config, 8, Box::new(accept));
    world.ring();
    world.run_ms(100);
    assert_eq!(world.notifications.len(), 1);
}

#[test]
fn notifications_that_wait_may_go_together() {
    let mut config = config();
    config.delivery.batch_max = 3;
    let mut world = World::with_webhook(config, 9, Box::new(accept));
    let (call, ann) = world.ring();
    world.run_ms(100);
    let path = format!("/communications/calls/{call}");
    assert_eq!(world.api(Method::Post, &format!("{path}/answer"), SERVICE_HOSTED).status, 202);
    assert_eq!(world.api(Method::Post, &format!("{path}/subscribeToTone"), "").status, 200);
    let leg = world.person(ann).leg;
    for _ in 0..4 {
        world.service.press(world.now, leg, &callrig_signaling::graph::Tone::Tone1).expect("in");
        world.drain();
    }
    world.run_ms(200);
    let sizes: Vec<usize> =
        world.notifications.iter().map(|(_, request)| items(request).len()).collect();
    // incoming; establishing at once; then what waited, three at a time.
    assert_eq!(sizes, [1, 1, 3, 3]);
    let tones: Vec<i64> = world
        .told()
        .iter()
        .filter_map(|(_, _, data)| data["toneInfo"]["sequenceId"].as_i64())
        .collect();
    assert_eq!(tones, [1, 2, 3, 4]);
    let delivered =
        world.said.iter().filter(|(_, e)| matches!(e, Event::NotificationDelivered { .. }));
    assert_eq!(delivered.count(), 8);
    in_order(&world).expect("order holds");
}

#[test]
fn quirks_of_deployments_come_on_demand() {
    let mut config = config();
    config.delivery.quirks.established_first = true;
    config.delivery.quirks.pascal_case = true;
    let mut world = World::with_webhook(config, 10, Box::new(accept));
    let (call, ann) = world.ring();
    let path = format!("/communications/calls/{call}/answer");
    assert_eq!(world.api(Method::Post, &path, SERVICE_HOSTED).status, 202);
    world.run_ms(300);
    world.hang_up(ann);
    world.run_ms(100);
    let states: Vec<(String, String)> = world
        .notifications
        .iter()
        .map(|(_, request)| {
            let item = body(request)["value"][0].clone();
            let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
            (text(&item["changeType"]), text(&item["resourceData"]["state"]))
        })
        .collect();
    let expected = [
        ("Created", "Incoming"),
        ("Updated", "Established"),
        ("Updated", "Establishing"),
        ("Updated", "Established"),
        ("Deleted", "Terminated"),
    ];
    assert_eq!(states, expected.map(|(c, s)| (c.to_owned(), s.to_owned())));
    let active = body(&world.notifications[3].1);
    assert_eq!(active["value"][0]["resourceData"]["mediaState"]["audio"], "Active");
    // A call that never comes that far is told of in full all the same.
    let (call, ann) = world.ring();
    let path = format!("/communications/calls/{call}");
    world.hang_up(ann);
    world.run_ms(100);
    assert_eq!(world.api(Method::Get, &path, "").status, 404);
    world.assert_nothing_left();
}
