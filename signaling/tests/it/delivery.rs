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
                response.headers.push(("Location".into(), to.clone()));
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
        response.headers.push(("Retry-After".into(), "3".into()));
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
