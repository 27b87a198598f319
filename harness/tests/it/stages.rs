//! The calls of the main job, one of each stage: rung, answered, spoken into, heard, and
//! hung up, all through the platform.

use callrig::actor::ActorId;
use callrig::case::recovery;
use callrig::critic::units_of;
use callrig::measure::recovery::{Sendings, Source};
use callrig::network;
use callrig::said::Said;
use callrig::seed::Seed;
use callrig::stage::{self, Cast, Performance, Stage};
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

#[test]
fn a_phone_that_sends_again_brings_every_picture_through_loss() {
    let (id, network) = ("video/h264-180p-mode0-ffmpeg", "loss-5");
    let (once, again) = (perform(id, network, Stage::Listen), perform(id, network, Stage::Recover));
    let pictures = |performance: &Performance| performance.trace.screens()[0].pictures;
    assert!(pictures(&once) < 100, "{}", pictures(&once));
    assert_eq!(pictures(&again), 120);
    let cast = again.cast;
    let source = recovery::sources(&subjects(&[id])[0]).remove(0);
    assert!(source.again.is_some() && !source.payload_types.is_empty(), "{source:?}");
    let sendings = Sendings::of(&again.trace, (cast.user, cast.platform), &source);
    let lost = sendings.lost().count();
    assert!(lost > 3 && sendings.lost().all(|(_, _, back)| back.is_some()), "{lost}");
    // Nothing is sent again under its own number where there is a stream for it.
    let same =
        Sendings::of(&again.trace, (cast.user, cast.platform), &Source { again: None, ..source });
    assert_eq!(same.again().0, 0);
    assert!(sendings.again().0 >= lost as u64);
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
fn in_a_meeting_others_hear_the_speaker_and_the_speaker_does_not() {
    let performance = perform("audio/pcmu-20ms-en", "clean", Stage::Meeting);
    let Cast { user, bot, .. } = performance.cast;
    let loudest = |who: ActorId| {
        let tracks = performance.trace.tracks().iter().filter(|track| track.who == who);
        tracks.flat_map(|track| &track.samples).map(|sample| sample.unsigned_abs()).max()
    };
    assert!(loudest(bot).is_some_and(|peak| peak > 3_000), "{:?}", loudest(bot));
    assert!(loudest(user).is_none_or(|peak| peak < 30), "{:?}", loudest(user));
}

#[test]
fn in_a_meeting_every_frame_is_seen_as_it_was_sent() {
    let performance = perform("video/h264-180p-stap-a", "clean", Stage::Meeting);
    let subject = &subjects(&["video/h264-180p-stap-a"])[0];
    let units = units_of(subject, subject.flows[0].ssrc);
    let frames: Vec<_> = performance
        .trace
        .said_by(performance.cast.bot)
        .filter_map(|(_, said)| match said {
            Said::Media(_, event) => match &**event {
                Event::Frame(frame) => Some(frame.data.clone()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    let sent: Vec<_> = units.iter().map(|(_, unit)| unit.data.clone()).collect();
    assert!(frames == sent, "{} of {}", frames.len(), sent.len());
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
