//! What one sees and hears of a conference on several lines: those who spoke last, whoever was
//! asked for, and speakers apart from each other; each by the `sourceId` that rosters have.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use callrig_media::codec::h264::{Config, Decoder, Encoder};
use callrig_media::description::{Description, Direction, MediaDescription};
use callrig_media::event::Event;
use callrig_media::rtcp::{Application, View};
use callrig_media::video::Picture;
use callrig_media::video::nal::{self, Header};
use callrig_signaling::graph::ChangeType;
use callrig_signaling::id::UserId;
use callrig_signaling::service::Destination;

use crate::groups::{create, join, world};
use crate::world::{Narrow, World};

/// Ticks of the video's clock in a frame.
const FRAME: u32 = 3_000;

/// A key frame, which is all that is ever sent here.
fn key_frame() -> Bytes {
    let mut encoder = Encoder::new(&Config::default()).expect("there is an encoder");
    let picture = Picture {
        width: 64,
        height: 48,
        y: vec![90; 64 * 48],
        u: vec![128; 32 * 24],
        v: vec![128; 32 * 24],
        timestamp: 0,
    };
    let encoded = encoder.encode(&picture, core::time::Duration::ZERO).expect("it encodes");
    encoded.expect("the first picture is kept").data
}

/// Somebody joins with these lines.
pub(crate) fn come(world: &mut World, who: &str, media: Vec<MediaDescription>) -> SocketAddr {
    let address = world.address();
    let local = Description::new(address, media);
    let to = Destination::Meeting("19:x".to_owned());
    let came = world.service.join(world.now, &UserId::new(who), &to, local.clone());
    world.add_person(came.expect("the meeting is there").leg, &local);
    world.drain();
    world.run_ms(100);
    address
}

/// Somebody with a camera.
fn camera(world: &mut World, who: &str) -> SocketAddr {
    come(world, who, vec![MediaDescription::audio("a"), MediaDescription::video("v")])
}

/// Somebody who listens and looks on this many lines beside the mix.
fn watcher(world: &mut World, videos: usize, speakers: usize) -> SocketAddr {
    let only =
        |line: MediaDescription| MediaDescription { direction: Direction::ReceiveOnly, ..line };
    let mut media = vec![MediaDescription::audio("a")];
    media.extend((0..videos).map(|n| only(MediaDescription::video(format!("v{n}")))));
    media.extend((0..speakers).map(|n| only(MediaDescription::audio(format!("s{n}")))));
    come(world, "ann", media)
}

/// Asks for somebody's pictures on a line.
fn view(media: usize, source: u32) -> Application {
    Application::view(View { media, source, lines_max: None })
}

/// Everybody shows a second of pictures, with or without sound.
fn show(world: &mut World, cameras: &[SocketAddr], from: &mut u32) {
    let unit = key_frame();
    for _ in 0..30 {
        for camera in cameras {
            let sent = world
                .with_session(*camera, |session, now| session.send_frame(now, 1, &unit, *from));
            sent.expect("the line is negotiated");
        }
        *from += FRAME;
        world.run_ms(33);
    }
}

/// What a watcher was sent since the last time: by line, who contributed last, and how much of
/// it there was.
fn seen(world: &mut World, watcher: SocketAddr) -> BTreeMap<usize, (Vec<u32>, usize)> {
    let heard = core::mem::take(&mut world.person(watcher).heard);
    let stats = world.with_session(watcher, |session, _| session.stats());
    let lines: BTreeMap<u32, usize> =
        stats.inbound.iter().map(|stream| (stream.ssrc, stream.media)).collect();
    let mut seen: BTreeMap<usize, (Vec<u32>, usize)> = BTreeMap::new();
    for event in heard {
        match event {
            Event::Contributors { ssrc, csrcs } => {
                seen.entry(lines[&ssrc]).or_default().0 = csrcs.to_vec();
            }
            Event::Frame(frame) => seen.entry(lines[&frame.ssrc]).or_default().1 += 1,
            Event::Audio(audio) if audio.level().minus_dbov() < 40 => {
                seen.entry(lines[&audio.ssrc]).or_default().1 += 1;
            }
            _ => {}
        }
    }
    seen
}

/// The `sourceId` of somebody's stream by its label, as the last roster has it.
pub(crate) fn source_id(world: &World, who: &str, label: &str) -> u32 {
    let mut rosters = world.told().into_iter().filter(|(change, url, _)| {
        *change == ChangeType::Updated && url.ends_with("/participants")
    });
    let (_, _, roster) = rosters.next_back().expect("a roster was told");
    let people = roster.as_array().expect("a roster is an array");
    let of = |person: &&serde_json::Value| person["info"]["identity"]["user"]["id"] == who;
    let person = people.iter().find(of).unwrap_or_else(|| panic!("{who} in {roster}"));
    let streams = person["mediaStreams"].as_array().expect("they have streams");
    let stream = streams.iter().find(|stream| stream["label"] == label);
    let stream = stream.unwrap_or_else(|| panic!("{label} in {person}"));
    stream["sourceId"].as_str().expect("a text").parse().expect("a number")
}

#[test]
fn on_several_lines_one_sees_several_and_whoever_was_asked_for() {
    let mut world = world();
    create(&mut world, &join("19:x"));
    world.run_ms(200);
    let cameras: Vec<SocketAddr> =
        ["ben", "cleo", "dora"].map(|who| camera(&mut world, who)).to_vec();
    let watcher = watcher(&mut world, 2, 0);
    let id = |world: &World, who: &str| source_id(world, who, "main-video");
    let (ben, cleo, dora) = (id(&world, "ben"), id(&world, "cleo"), id(&world, "dora"));
    let mut at = 0;
    show(&mut world, &cameras, &mut at);
    let first = seen(&mut world, watcher);
    assert_eq!((&first[&1].0, &first[&2].0), (&vec![ben], &vec![cleo]), "{first:?}");
    assert!(first[&1].1 > 20 && first[&2].1 > 20, "{first:?}");
    // Who speaks is seen; who is seen already stays where it was.
    world.person(cameras[2]).speaks = true;
    show(&mut world, &cameras, &mut at);
    let second = seen(&mut world, watcher);
    assert_eq!(second[&2].0, [dora], "Cleo had been silent longest: {second:?}");
    assert!(second[&1].0.is_empty() && second[&1].1 > 20, "Ben is seen as before: {second:?}");
    // Whoever is asked for is seen, whoever speaks.
    world.with_session(watcher, |session, now| {
        session.send_application(now, view(1, cleo)).expect("it is open");
        // No such line, nobody, and something else: nothing comes of it.
        session.send_application(now, view(9, cleo)).expect("it is open");
        session.send_application(now, view(2, 4_000_000)).expect("it is open");
        let other = Application { name: *b"nope", ..view(2, cleo) };
        session.send_application(now, other).expect("it is open");
    });
    show(&mut world, &cameras, &mut at);
    let third = seen(&mut world, watcher);
    assert_eq!(third[&1].0, [cleo], "{third:?}");
    assert!(third.get(&2).is_some_and(|(_, frames)| *frames > 20), "{third:?}");
    // And nobody in particular again.
    world.with_session(watcher, |session, now| {
        session.send_application(now, view(1, 0)).expect("it is open");
    });
    world.person(cameras[2]).speaks = false;
    world.person(cameras[0]).speaks = true;
    show(&mut world, &cameras, &mut at);
    let last = seen(&mut world, watcher);
    assert_eq!(last[&1].0, [ben], "{last:?}");
}

/// A camera in front of something that moves.
pub(crate) struct Film {
    pub(crate) encoder: Encoder,
    picture: Picture,
    frames: u32,
}

impl Film {
    pub(crate) fn new((width, height): (u16, u16), bit_rate: u32) -> Self {
        let config = Config { bit_rate, ..Config::default() };
        let samples = usize::from(width) * usize::from(height);
        let (y, u, v) = (vec![90; samples], vec![128; samples / 4], vec![128; samples / 4]);
        let picture = Picture { width, height, y, u, v, timestamp: 0 };
        let encoder = Encoder::new(&config).expect("there is an encoder");
        Self { encoder, picture, frames: 0 }
    }

    /// The next frame, if the encoder keeps it.
    pub(crate) fn frame(&mut self) -> Option<Bytes> {
        self.frames += 1;
        let mut noise = self.frames.wrapping_mul(2_654_435_761) | 1;
        for sample in &mut self.picture.y {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            *sample = 90 + (noise % 24) as u8;
        }
        let at = core::time::Duration::from_millis(u64::from(self.frames) * 33);
        self.encoder.encode(&self.picture, at).expect("it encodes").map(|encoded| encoded.data)
    }
}

/// The units of an access unit that are parameter sets, or those that are not.
fn sets(unit: &Bytes, are: bool) -> Vec<Bytes> {
    let is_set = |unit: &Bytes| Header::from_byte(unit[0]).unit_type().is_parameter_set();
    nal::shared_units(unit).filter(|unit| is_set(unit) == are).collect()
}

#[test]
fn who_comes_later_gets_the_parameter_sets_that_were_sent_once() {
    let mut world = world();
    create(&mut world, &join("19:x"));
    world.run_ms(200);
    let ben = camera(&mut world, "ben");
    let early = watcher(&mut world, 1, 0);
    let mut film = Film::new((320, 180), 300_000);
    let joined = |units: &[Bytes]| -> Bytes {
        units.iter().flat_map(|unit| [&nal::START_CODE, &unit[..]].concat()).collect()
    };
    let (mut from, mut late) = (0, None);
    let mut seen: Vec<Vec<(Bytes, bool)>> = vec![Vec::new(), Vec::new()];
    for round in 0..120 {
        if round == 45 {
            late = Some(camera(&mut world, "dora"));
        }
        let mut heard = core::mem::take(&mut world.person(ben).heard).into_iter();
        if heard.any(|event| matches!(event, Event::KeyFrameRequested { .. })) {
            film.encoder.request_key_frame();
        }
        if let Some(unit) = film.frame() {
            // Ahead of the very first key frame, as a unit of their own, and never again.
            let parts = [joined(&sets(&unit, true)), joined(&sets(&unit, false))];
            for part in parts.iter().skip(usize::from(round > 0)) {
                let sent =
                    world.with_session(ben, |session, now| session.send_frame(now, 1, part, from));
                sent.expect("the line is negotiated");
                from += 1;
            }
        }
        from += FRAME;
        world.run_ms(33);
        for (seen, who) in seen.iter_mut().zip([Some(early), late]) {
            let Some(who) = who else { continue };
            for event in core::mem::take(&mut world.person(who).heard) {
                let Event::Frame(frame) = event else { continue };
                assert_eq!(frame.resolution, Some((320, 180)));
                seen.push((frame.data, frame.key_frame));
            }
        }
    }
    for (seen, least) in seen.iter().zip([100, 60]) {
        assert!(seen.len() > least, "{} frames", seen.len());
        let mut decoder = Decoder::new().expect("there is memory");
        for (frame, is_key) in seen {
            assert_eq!(sets(frame, true).len(), if *is_key { 2 } else { 0 });
            assert!(decoder.decode(frame, 0).is_ok_and(|picture| picture.is_some()));
        }
    }
}

#[test]
fn one_weak_viewer_costs_the_others_nothing() {
    // Of the ways to them nothing is known at first.
    const SECONDS: u32 = 30;
    const KNOWN: u32 = 22;
    let mut world = world();
    create(&mut world, &join("19:x"));
    world.run_ms(200);
    // Without retransmission, so without padding: only pictures can show how much there is room for.
    let lines = || {
        let audio = MediaDescription::audio("a").with_transport_feedback();
        vec![audio, MediaDescription::video("v").with_transport_feedback()]
    };
    let ben = come(&mut world, "ben", lines());
    let strong = come(&mut world, "cleo", lines());
    let weak = come(&mut world, "dora", lines());
    world.narrow.insert(weak, Narrow::new(250_000));
    let (mut film, mut at, mut sent, mut bits) = (Film::new((320, 240), 1_000_000), 0, 0, 0);
    let frames = |world: &mut World, who| {
        let heard = core::mem::take(&mut world.person(who).heard);
        heard.iter().filter(|event| matches!(event, Event::Frame(_))).count()
    };
    let mut early = 0;
    for frame in 0..SECONDS * 30 {
        if frame == KNOWN * 30 {
            early = frames(&mut world, weak);
            frames(&mut world, strong);
            sent = 0;
        }
        let said = core::mem::take(&mut world.person(ben).heard);
        if said.iter().any(|event| matches!(event, Event::KeyFrameRequested { .. })) {
            film.encoder.request_key_frame();
        }
        if let Some(unit) = film.frame() {
            bits += unit.len() * 8;
            let shown =
                world.with_session(ben, |session, now| session.send_frame(now, 1, &unit, at));
            shown.expect("the line is negotiated");
            sent += 1;
        }
        at += FRAME;
        world.run_ms(33);
    }
    world.run_ms(3_000);
    let rate = bits / SECONDS as usize;
    assert!(rate > 600_000, "it is more than the weak one's way carries: {rate} bit/s");
    let late = frames(&mut world, strong);
    // Some of the frame before were on their way.
    assert!((sent..=sent + 2).contains(&late), "the strong one sees everything: {late} of {sent}");
    let (before, after) = (early, frames(&mut world, weak));
    let wanted = KNOWN as usize / 2..sent;
    assert!(wanted.contains(&before) && after >= 4 && after < sent / 2, "{before}, {after}");
    assert_eq!(world.narrow[&weak].lost, 0, "its queue is never full");
}

#[test]
fn speakers_are_heard_apart_and_the_mix_says_who_is_in_it() {
    let mut world = world();
    create(&mut world, &join("19:x"));
    world.run_ms(200);
    let audio = || vec![MediaDescription::audio("a")];
    let ben = come(&mut world, "ben", audio());
    let cleo = come(&mut world, "cleo", audio());
    let watcher = watcher(&mut world, 0, 2);
    let id = |world: &World, who: &str| source_id(world, who, "main-audio");
    let (ben_id, cleo_id) = (id(&world, "ben"), id(&world, "cleo"));
    world.person(ben).speaks = true;
    world.run_ms(1_000);
    let first = seen(&mut world, watcher);
    assert_eq!((&first[&0].0, &first[&1].0), (&vec![ben_id], &vec![ben_id]), "{first:?}");
    assert!(first[&0].1 > 35 && first[&1].1 > 35, "{first:?}");
    assert!(!first.contains_key(&2), "nobody else has spoken: {first:?}");
    world.person(cleo).speaks = true;
    world.run_ms(1_000);
    let second = seen(&mut world, watcher);
    let mut both = second[&0].0.clone();
    both.sort_unstable();
    assert_eq!(both, [ben_id, cleo_id], "{second:?}");
    assert!(second[&1].0.is_empty() && second[&1].1 > 40, "Ben keeps his line: {second:?}");
    assert_eq!(second[&2].0, [cleo_id], "{second:?}");
    assert!(second[&2].1 > 35, "{second:?}");
    // Nobody hears himself, or that he is heard; and Ben asked for nobody apart.
    let by_ben = seen(&mut world, ben);
    assert_eq!(by_ben[&0].0, [cleo_id], "{by_ben:?}");
    assert_eq!(by_ben.len(), 1, "{by_ben:?}");
    // A line falls silent with its speaker, and the mix names nobody.
    for who in [ben, cleo] {
        world.person(who).speaks = false;
    }
    // What has come is heard to its end.
    world.run_ms(4_000);
    seen(&mut world, watcher);
    world.run_ms(1_000);
    let last = seen(&mut world, watcher);
    assert!(last.values().all(|(_, loud)| *loud == 0), "{last:?}");
}
