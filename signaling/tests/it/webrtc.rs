//! People and bots that speak WebRTC: where they are told to send, and what happens on a
//! platform that has none. That media then flows is proved against real stacks elsewhere.

use callrig_media::datagram::Datagram;
use callrig_media::description::{Description, Setup};
use callrig_media::transport::sdp;
use callrig_media::transport::webrtc::{Certificate, describe};
use callrig_signaling::bot::{self, AnswerMedia};
use callrig_signaling::event::{DropReason, Event};
use callrig_signaling::exchange::Input;
use callrig_signaling::id::{AppId, UserId};
use callrig_signaling::service::{self, CommandError, WebRtc};

use crate::world::{World, bot_config, config};

const SHARED: ([u8; 4], u16) = ([127, 0, 0, 1], 3478);
const LAN: ([u8; 4], u16) = ([192, 0, 2, 1], 3478);

/// An offer as a browser makes one, of sound alone.
fn browser() -> Description {
    let certificate = Certificate::generate().expect("cryptography works");
    let at = ([192, 0, 2, 7], 9).into();
    let mut secure = describe(&certificate, at, 77).expect("cryptography works");
    secure.ice_lite = false;
    Description::audio(at).with_secure(secure)
}

fn reachable() -> service::Config {
    let certificate = Certificate::generate().expect("cryptography works");
    let webrtc = Some(WebRtc {
        address: SHARED.into(),
        others: vec![LAN.into()],
        tcp: Vec::new(),
        certificate,
    });
    service::Config { webrtc, ..config() }
}

fn ring(world: &mut World, offer: Description) -> Result<service::Ringing, CommandError> {
    let (ann, bot) = (UserId::new("ann"), AppId::new("bot"));
    let ringing = world.service.ring_bot(world.now, &ann, &bot, offer);
    world.drain();
    ringing
}

#[test]
fn a_browser_is_answered_at_the_port_that_all_share() {
    let mut world = World::with_bot_of(reachable(), 1, bot_config());
    let ringing = ring(&mut world, browser()).expect("it can be called");
    world.run_ms(50);
    let media = AnswerMedia::ServiceHosted { pre_fetch: Vec::new() };
    world.with_bot(|bot, now| bot.answer(now, ringing.call, &media)).expect("it rings");
    world.run_ms(500);
    let answer = world.said.iter().find_map(|(_, event)| match event {
        Event::UserAnswered { description, .. } => Some(description.clone()),
        _ => None,
    });
    let answer = answer.expect("the bot has answered");
    assert_eq!(answer.address, std::net::SocketAddr::from(SHARED));
    let secure = answer.secure.as_deref().expect("it is WebRTC");
    assert!(secure.ice_lite && secure.setup == Setup::Passive);
    let candidates: Vec<_> = secure.candidates.iter().map(|one| one.address).collect();
    assert_eq!(candidates, [SHARED, LAN].map(std::net::SocketAddr::from));
    assert!(secure.candidates[0].priority > secure.candidates[1].priority);
    assert!(answer.media[0].ssrc.is_some(), "some stacks want it announced");
    assert_eq!(sdp::parse(&sdp::write(&answer, 1)), Ok(answer));
    let stranger = Datagram {
        source: ([192, 0, 2, 9], 1).into(),
        destination: LAN.into(),
        payload: vec![0x80; 40].into(),
    };
    world.service.handle_input(world.now, Input::Datagram(stranger));
    world.drain();
    let dropped = |event: &Event| matches!(event, Event::Dropped { reason: DropReason::NoSuchLeg });
    assert!(world.said.iter().any(|(_, event)| dropped(event)));
    // The person never shows itself: after half a minute the call is over.
    world.run_ms(31_000);
    let gone = world.said.iter().find_map(|(_, event)| match event {
        Event::LegEnded { leg, result } if *leg == ringing.leg => Some(result.message.clone()),
        _ => None,
    });
    let message = gone.expect("the leg has ended");
    assert!(message.contains("could not be reached in time"), "{message}");
    world.run_ms(1_000);
    world.assert_nothing_left();
}

#[test]
fn a_platform_without_webrtc_says_so() {
    let mut world = World::new(2);
    let refused = ring(&mut world, browser()).expect_err("there is no WebRTC");
    assert!(refused.to_string().contains("has no WebRTC"), "{refused}");
    let (call, _) = world.ring();
    world.run_ms(50);
    let media = AnswerMedia::AppHosted(browser());
    world.with_bot(|bot, now| bot.answer(now, call, &media)).expect("it rings");
    world.run_ms(500);
    let refused = world.bot_said.iter().find_map(|(_, event)| match event {
        bot::Event::Refused { status, .. } => Some(*status),
        _ => None,
    });
    assert_eq!(refused, Some(400));
}

#[test]
fn a_side_that_looks_for_nobody_is_refused() {
    let mut world = World::with_bot_of(reachable(), 3, bot_config());
    let mut offer = browser();
    if let Some(secure) = &mut offer.secure {
        secure.ice_lite = true;
    }
    let refused = ring(&mut world, offer).expect_err("both sides are lite");
    assert!(refused.to_string().contains("ICE-lite"), "{refused}");
}
