//! Media of calls: prompts, tones and recordings of service-hosted ones, the relay of
//! app-hosted ones.

use std::time::Duration;

use callrig_media::description::{Codec, Description, MediaDescription, Payload};
use callrig_media::dtmf::Tone;
use callrig_media::event::Event as MediaEvent;
use callrig_signaling::bot::{self, AnswerMedia, MediaFile, Record};
use callrig_signaling::event::Event;
use callrig_signaling::graph::{self, OperationStatus};
use callrig_signaling::http::{Method, Request, RequestId};
use callrig_signaling::id::CallId;

use crate::world::{World, wav};

fn file(name: &str) -> MediaFile {
    MediaFile { uri: format!("https://files.test/{name}"), resource_id: Some(name.to_owned()) }
}

/// Ann calls; the bot answers with service-hosted media.
fn service_hosted(seed: u64) -> (World, CallId, std::net::SocketAddr) {
    let mut world = World::new(seed);
    for (name, ms) in [("beep.wav", 500), ("long.wav", 5000)] {
        world.files.insert(format!("https://files.test/{name}"), wav(ms));
    }
    world.files.insert("https://files.test/bad.wav".into(), "no sound".into());
    let (call, ann) = world.ring();
    world.run_ms(50);
    let media = AnswerMedia::ServiceHosted { pre_fetch: Vec::new() };
    world.with_bot(|bot, now| bot.answer(now, call, &media)).expect("it rings");
    world.run_ms(500);
    (world, call, ann)
}

fn completed(world: &World) -> Vec<(OperationStatus, i64, i64)> {
    world
        .bot_said
        .iter()
        .filter_map(|(_, event)| match event {
            bot::Event::OperationCompleted { operation, .. } => {
                let result = operation.result_info.clone().unwrap_or_default();
                Some((
                    operation.status.clone().unwrap_or(OperationStatus::NotStarted),
                    result.code.and_then(|code| code.number()).unwrap_or_default(),
                    result.subcode.and_then(|code| code.number()).unwrap_or_default(),
                ))
            }
            _ => None,
        })
        .collect()
}

fn sound_heard(world: &mut World, address: std::net::SocketAddr) -> usize {
    let heard = &world.person(address).heard;
    heard
        .iter()
        .filter(|event| match event {
            MediaEvent::Audio(audio) => audio.level().minus_dbov() < 40,
            _ => false,
        })
        .count()
}

#[test]
fn a_prompt_is_fetched_once_played_and_its_end_is_told() {
    let (mut world, call, ann) = service_hosted(1);
    world.with_bot(|bot, now| bot.play_prompt(now, call, &[file("beep.wav")])).expect("there");
    world.run_ms(2000);
    assert_eq!(completed(&world), [(OperationStatus::Completed, 200, 0)]);
    let heard = sound_heard(&mut world, ann);
    assert!((20..=32).contains(&heard), "25 frames of 20 ms were played, {heard} heard");
    world.with_bot(|bot, now| bot.play_prompt(now, call, &[file("beep.wav")])).expect("there");
    world.run_ms(2000);
    assert_eq!(completed(&world).len(), 2);
    assert_eq!(world.fetched, ["https://files.test/beep.wav"]);
    let actions = world.bot_said.iter().filter_map(|(_, event)| match event {
        bot::Event::OperationCompleted { action, .. } => Some(action.is_some()),
        _ => None,
    });
    assert!(actions.into_iter().all(|known| known), "the bot knows what each belongs to");
}

#[test]
fn prompts_wait_for_one_another_and_are_cancelled_together() {
    let (mut world, call, _) = service_hosted(2);
    for _ in 0..3 {
        world.with_bot(|bot, now| bot.play_prompt(now, call, &[file("long.wav")])).expect("there");
    }
    world.run_ms(6000);
    assert_eq!(completed(&world), [(OperationStatus::Completed, 200, 0)]);
    world.with_bot(|bot, now| bot.cancel_media_processing(now, call)).expect("there");
    world.run_ms(1000);
    let cancelled = (OperationStatus::Failed, 400, 8508);
    let done = completed(&world);
    // The cancelling itself is complete in its own answer.
    assert_eq!(done.len(), 4);
    assert_eq!(done.iter().filter(|end| **end == cancelled).count(), 2);
    world.run_ms(10_000);
    assert_eq!(completed(&world).len(), 4);
}

#[test]
fn files_that_cannot_be_had_or_used_fail_their_prompt_and_the_next_goes_on() {
    let (mut world, call, _) = service_hosted(3);
    for name in ["missing.wav", "bad.wav", "beep.wav"] {
        world.with_bot(|bot, now| bot.play_prompt(now, call, &[file(name)])).expect("there");
    }
    world.run_ms(3000);
    assert_eq!(
        completed(&world),
        [
            (OperationStatus::Failed, 400, 8536),
            (OperationStatus::Failed, 400, 8535),
            (OperationStatus::Completed, 200, 0)
        ]
    );
}

#[test]
fn files_named_in_the_answer_are_fetched_before_they_are_needed() {
    let mut world = World::new(4);
    world.files.insert("https://files.test/beep.wav".into(), wav(100));
    let (call, _) = world.ring();
    world.run_ms(50);
    let media = AnswerMedia::ServiceHosted { pre_fetch: vec![file("beep.wav")] };
    world.with_bot(|bot, now| bot.answer(now, call, &media)).expect("it rings");
    world.run_ms(500);
    assert_eq!(world.fetched.len(), 1);
    world.with_bot(|bot, now| bot.play_prompt(now, call, &[file("beep.wav")])).expect("there");
    world.run_ms(500);
    assert_eq!((world.fetched.len(), completed(&world).len()), (1, 1));
}

fn tones(world: &World) -> Vec<(i64, graph::Tone)> {
    world
        .bot_said
        .iter()
        .filter_map(|(_, event)| match event {
            bot::Event::Tone { sequence, tone, .. } => Some((*sequence, tone.clone())),
            _ => None,
        })
        .collect()
}

#[test]
fn keys_that_the_caller_presses_are_told_once_each_in_order() {
    let (mut world, call, ann) = service_hosted(5);
    world.person(ann).speaks = true;
    world.run_ms(300);
    world
        .with_session(ann, |session, now| {
            session.send_tone(now, Tone::Tone9, Duration::from_millis(100))
        })
        .expect("telephone events were negotiated");
    world.run_ms(1000);
    assert!(tones(&world).is_empty(), "nobody asked for tones yet");
    world.with_bot(|bot, now| bot.subscribe_to_tone(now, call)).expect("there");
    world.run_ms(100);
    for tone in [Tone::Tone1, Tone::Tone1, Tone::Pound] {
        world
            .with_session(ann, |session, now| {
                session.send_tone(now, tone, Duration::from_millis(100))
            })
            .expect("telephone events were negotiated");
        world.run_ms(400);
    }
    world.run_ms(1000);
    use graph::Tone::{Pound, Tone1};
    assert_eq!(tones(&world), [(1, Tone1), (2, Tone1), (3, Pound)]);
}

#[test]
fn a_recording_ends_with_its_stop_tone_and_can_be_fetched() {
    let (mut world, call, ann) = service_hosted(6);
    world.person(ann).speaks = true;
    let record = Record {
        max_duration: Some(Duration::from_secs(30)),
        stop_tones: vec!["#".into()],
        ..Record::default()
    };
    world.with_bot(|bot, now| bot.record_response(now, call, &record)).expect("there");
    world.run_ms(3000);
    assert!(completed(&world).is_empty());
    let leg = world.person(ann).leg;
    world.service.press(world.now, leg, &graph::Tone::Pound).expect("in a call");
    world.drain();
    world.run_ms(500);
    assert_eq!(completed(&world), [(OperationStatus::Completed, 200, 8514)]);
    let operation = world.bot_said.iter().find_map(|(_, event)| match event {
        bot::Event::OperationCompleted { operation, .. } => Some(operation.clone()),
        _ => None,
    });
    let operation = operation.expect("it is complete");
    assert_eq!(operation.completion_reason.as_deref(), Some("stopToneDetected"));
    let uri = operation.recording_location.expect("it is somewhere");
    let token = operation.recording_access_token.expect("with a token");
    let fetch = |world: &mut World, token: &str| {
        world.request(Request {
            id: RequestId(0),
            method: Method::Get,
            uri: uri.clone(),
            headers: [("Authorization", format!("Bearer {token}"))].into(),
            body: bytes::Bytes::new(),
        })
    };
    let response = fetch(&mut world, &token);
    assert_eq!(response.status, 200);
    assert_eq!(&response.body[..4], b"RIFF");
    let seconds = (response.body.len() - 44) as f64 / 32_000.0;
    assert!((2.0..3.2).contains(&seconds), "{seconds} s were recorded");
    assert_eq!(fetch(&mut world, "another").status, 401);
    world.hang_up(ann);
    world.run(Duration::from_secs(130));
    assert_eq!(fetch(&mut world, &token).status, 404);
    world.assert_nothing_left();
}

#[test]
fn a_recording_of_silence_fails_and_one_that_is_full_completes() {
    let (mut world, call, ann) = service_hosted(7);
    world.person(ann).speaks = true;
    let record = Record { max_duration: Some(Duration::from_secs(2)), ..Record::default() };
    world.with_bot(|bot, now| bot.record_response(now, call, &record)).expect("there");
    world.run_ms(4000);
    assert_eq!(completed(&world), [(OperationStatus::Completed, 200, 8515)]);
    let (mut world, call, _) = service_hosted(17);
    let record = Record {
        initial_silence: Some(Duration::from_secs(1)),
        max_duration: Some(Duration::from_secs(20)),
        ..Record::default()
    };
    world.with_bot(|bot, now| bot.record_response(now, call, &record)).expect("there");
    world.run_ms(4000);
    assert_eq!(completed(&world), [(OperationStatus::Failed, 400, 8510)]);
}

#[test]
fn operations_of_a_call_that_ends_are_told_before_its_end_and_nothing_after() {
    let (mut world, call, ann) = service_hosted(8);
    for _ in 0..3 {
        world.with_bot(|bot, now| bot.play_prompt(now, call, &[file("long.wav")])).expect("there");
    }
    world.run_ms(1000);
    world.hang_up(ann);
    world.run_ms(2000);
    assert_eq!(completed(&world), vec![(OperationStatus::Failed, 400, 8508); 3]);
    let last = world.told().pop().expect("something was told");
    assert_eq!(
        (last.0, last.1),
        (graph::ChangeType::Deleted, format!("/communications/calls/{call}"))
    );
    let ended =
        world.said.iter().filter(|(_, e)| matches!(e, Event::OperationEnded { .. })).count();
    assert_eq!(ended, 3);
    world.assert_nothing_left();
}

#[test]
fn keys_that_the_bot_presses_reach_the_caller() {
    let (mut world, call, ann) = service_hosted(9);
    let keys = [graph::Tone::Tone4, graph::Tone::Star];
    world.with_bot(|bot, now| bot.send_dtmf_tones(now, call, &keys, None)).expect("there");
    world.run_ms(3000);
    assert_eq!(completed(&world), [(OperationStatus::Completed, 200, 0)]);
    let heard: Vec<Tone> = world
        .person(ann)
        .heard
        .iter()
        .filter_map(|event| match event {
            MediaEvent::Tone(tone) => Some(tone.tone),
            _ => None,
        })
        .collect();
    assert_eq!(heard, [Tone::Tone4, Tone::Star]);
}

/// Ann calls with this offer; the bot handles media with that one.
fn app_hosted(seed: u64, offer: &Description, bot_side: Description) -> (World, CallId) {
    let mut world = World::new(seed);
    let (call, _) = world.ring_with(offer);
    world.run_ms(50);
    let media = AnswerMedia::AppHosted(bot_side);
    world.with_bot(|bot, now| bot.answer(now, call, &media)).expect("it rings");
    world.run_ms(500);
    (world, call)
}

fn streams(world: &World) -> Vec<(u8, Codec)> {
    world
        .bot_said
        .iter()
        .filter_map(|(_, event)| match event {
            bot::Event::Media { event: MediaEvent::StreamStarted(started), .. } => {
                Some((started.payload_type, started.codec))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn packets_are_relayed_under_each_sides_numbers() {
    let ann = std::net::SocketAddr::from(([127, 0, 0, 2], 4100));
    let opus = |number| {
        MediaDescription::audio("x")
            .with_payloads(vec![Payload::new(number, Codec::Opus { stereo: false })])
    };
    let offer = Description::new(ann, vec![MediaDescription::audio("a")]);
    let bot_side = Description::new(([127, 0, 0, 3], 5000).into(), vec![opus(96)]);
    let (mut world, call) = app_hosted(10, &offer, bot_side);
    world.person(ann).speaks = true;
    world.run_ms(1000);
    assert_eq!(streams(&world), [(96, Codec::Opus { stereo: false })]);
    let samples = vec![5000; 960];
    for _ in 0..50 {
        world
            .with_bot(|bot, now| bot.with_media(now, call, |s| s.send_audio(now, &samples)))
            .expect("its session is open")
            .expect("it can be sent");
        world.run_ms(20);
    }
    world.run_ms(200);
    let started = world.person(ann).heard.iter().find_map(|event| match event {
        MediaEvent::StreamStarted(started) => Some((started.payload_type, started.codec)),
        _ => None,
    });
    assert_eq!(started, Some((111, Codec::Opus { stereo: false })));
    world.hang_up(ann);
    world.run_ms(500);
    let stats = world.said.iter().filter(|(_, e)| matches!(e, Event::MediaEnded { .. })).count();
    assert_eq!(stats, 2);
    assert!(world.bot_said.iter().any(|(_, e)| matches!(e, bot::Event::MediaEnded { .. })));
    world.assert_nothing_left();
}

#[test]
fn sides_without_a_codec_in_common_do_not_come_together() {
    let ann = std::net::SocketAddr::from(([127, 0, 0, 2], 4100));
    let only = |number, codec| {
        MediaDescription::audio("x").with_payloads(vec![Payload::new(number, codec)])
    };
    let offer = Description::new(ann, vec![only(0, Codec::Pcmu)]);
    let bot_side = Description::new(([127, 0, 0, 3], 5000).into(), vec![only(8, Codec::Pcma)]);
    let (world, _) = app_hosted(11, &offer, bot_side);
    let refused = world.bot_said.iter().find_map(|(_, event)| match event {
        bot::Event::Refused { status, .. } => Some(*status),
        _ => None,
    });
    assert_eq!(refused, Some(400));
    assert_eq!(world.told_states(), ["created incoming"]);
}

/// A camera whose receiver says what it has room for.
fn camera(mid: &str) -> MediaDescription {
    let mut line = MediaDescription::video(mid);
    for payload in &mut line.payloads {
        payload.feedback.remb = true;
    }
    line
}

#[test]
fn a_source_hears_what_the_way_to_its_viewer_has_room_for_and_key_frames_go_alone() {
    let ann = std::net::SocketAddr::from(([127, 0, 0, 2], 4100));
    let lines = || vec![MediaDescription::audio("a"), camera("v")];
    let offer = Description::new(ann, lines());
    let bot_side = Description::new(([127, 0, 0, 3], 5000).into(), lines());
    let (mut world, call) = app_hosted(12, &offer, bot_side);
    let unit = |key: bool| -> bytes::Bytes {
        [&[0, 0, 0, 1, if key { 0x65 } else { 0x41 }][..], &[9; 5_000]].concat().into()
    };
    let show = |world: &mut World, frames: u32| {
        for frame in 0..frames {
            let timestamp = (world.now.as_nanos() / 1_000_000) as u32 * 90;
            let sent = world.with_session(ann, |session, now| {
                session.send_frame(now, 1, &unit(frame == 0), timestamp)
            });
            sent.expect("it is negotiated");
            world.run_ms(33);
        }
    };
    show(&mut world, 10);
    let told =
        world.with_bot(|bot, now| bot.with_media(now, call, |s| s.limit_sender(now, 300_000)));
    told.expect("its session is open").expect("it is not closed");
    world.run_ms(200);
    let estimates: Vec<u64> = world
        .person(ann)
        .heard
        .iter()
        .filter_map(|event| match event {
            MediaEvent::BandwidthEstimated { bits_per_second } => Some(*bits_per_second),
            _ => None,
        })
        .collect();
    // What is left beside sound, in 18 bits.
    assert!(
        estimates.last().is_some_and(|bits| (235_000..=236_000).contains(bits)),
        "{estimates:?}"
    );
    // The phone's own session keeps to it; one that does not finds the platform's doing so.
    show(&mut world, 60);
    let discarded = |stats: &callrig_media::stats::Stats| -> u64 {
        stats.outbound.iter().map(|stream| stream.frames_discarded).sum()
    };
    let by_phone = world.with_session(ann, |session, _| discarded(&session.stats()));
    assert!(by_phone > 30, "{by_phone}");
    world.hang_up(ann);
    world.run_ms(500);
    world.assert_nothing_left();
}
