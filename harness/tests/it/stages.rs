//! The calls of the main job, one of each stage: rung, answered, spoken into, heard, and
//! hung up, all through the platform.

use callrig::network;
use callrig::said::Said;
use callrig::seed::Seed;
use callrig::stage::{self, Performance, Stage};
use callrig::trace::What;
use callrig::world::simulated::Stop;
use callrig_media::event::Event;

use crate::subjects;

fn perform(id: &str, network: &str, stage: Stage) -> Performance {
    let subject = &subjects(&[id])[0];
    let network = network::find(network).expect("a preset");
    let performance =
        stage::perform(subject, network, stage, Seed::new(3)).expect("the stage can be built");
    assert_eq!(performance.fault(), None);
    assert_eq!(performance.stop, Stop::Quiet);
    performance
}

/// Media events of the bot, or of the platform.
fn said(performance: &Performance, wanted: impl Fn(&Event) -> bool) -> usize {
    let facts = performance.trace.facts().iter();
    facts
        .filter(|fact| matches!(&fact.what, What::Said(_, Said::Media(_, event)) if wanted(event)))
        .count()
}

#[test]
fn a_listening_bot_gets_every_packet_of_a_clean_call() {
    let performance = perform("audio/opus-20ms-32k-mono-en", "clean", Stage::Listen);
    let packets = performance.trace.facts().iter();
    let packets =
        packets.filter(|fact| matches!(&fact.what, What::Said(_, Said::Packet(..)))).count() as u64;
    assert_eq!(packets, performance.uplink.sent - rtcp_sent(&performance));
    let heard: usize = performance.trace.tracks().iter().map(|track| track.samples.len()).sum();
    assert!(heard > 48_000, "{heard} samples");
}

/// RTCP of the person's phone.
fn rtcp_sent(performance: &Performance) -> u64 {
    let cast = performance.cast;
    let crossings = performance.trace.crossings(cast.user, cast.platform);
    let rtcp = |payload: &[u8]| payload.get(1).is_some_and(|kind| (192..=223).contains(kind));
    crossings.filter(|(_, crossed)| rtcp(&crossed.payload)).count() as u64
}

#[test]
fn pictures_are_seen_and_digested() {
    let performance = perform("video/h264-180p-stap-a", "clean", Stage::Listen);
    let screens = performance.trace.screens();
    assert_eq!(screens.len(), 1);
    assert!(screens[0].pictures > 0);
    assert_eq!(said(&performance, |event| matches!(event, Event::FrameDropped { .. })), 0);
}

#[test]
fn a_menu_is_told_the_keys_that_the_platform_hears() {
    let performance = perform("dtmf/all-sixteen-over-pcmu", "clean", Stage::Menu);
    let tones = performance.trace.said_by(performance.cast.bot).filter(|(_, said)| {
        matches!(said, Said::Bot(event) if matches!(**event, callrig_signaling::bot::Event::Tone { .. }))
    });
    assert_eq!(tones.count(), 16);
}

#[test]
fn an_echo_is_heard_by_the_person_who_called() {
    let performance = perform("audio/pcmu-20ms-en", "lan", Stage::Echo);
    let user = performance.cast.user;
    let heard = performance.trace.tracks().iter().find(|track| track.who == user);
    assert!(heard.is_some_and(|track| track.samples.iter().any(|sample| *sample != 0)));
}

#[test]
fn nothing_flows_without_a_call() {
    let performance = perform("audio/pcmu-20ms-en", "wifi", Stage::Listen);
    let facts = performance.trace.facts();
    let first = |wanted: &dyn Fn(&What) -> bool| facts.iter().position(|fact| wanted(&fact.what));
    let asked = first(&|what| matches!(what, What::Asked(_))).expect("the bot was rung");
    let crossed = first(&|what| matches!(what, What::Crossed(_))).expect("media flowed");
    assert!(asked < crossed);
}
