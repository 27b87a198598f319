//! Sessions talking to each other over links of ours: conservation, reports, feedback,
//! relaying, and what hostile peers can do.

use core::net::SocketAddr;
use core::time::Duration;

use bytes::{Bytes, BytesMut};
use callrig_media::datagram::Datagram;
use callrig_media::description::{
    Codec, Description, Direction, MediaDescription, MediaKind, ParameterSets, Payload,
};
use callrig_media::dtmf::Tone;
use callrig_media::event::{DropReason, EndReason, Event, Order};
use callrig_media::rtcp::{self, Packet, Rules};
use callrig_media::rtp;
use callrig_media::session::{Config, ConfigError, Decode, Input, Output, SendError, Session};
use callrig_media::stats::Track;
use callrig_media::time::{Epoch, Instant, NtpTime};
use callrig_media::video::nal;
use proptest::collection::vec;
use proptest::prelude::*;

const A: ([u8; 4], u16) = ([10, 0, 0, 1], 4_000);
const B: ([u8; 4], u16) = ([10, 0, 0, 2], 5_000);

fn describe(at: ([u8; 4], u16), media: &[MediaDescription]) -> Description {
    Description::new(SocketAddr::from(at), media.to_vec())
}

fn config(media: &[MediaDescription]) -> Config {
    Config::new(describe(A, media), describe(B, media))
}

fn mirrored(config: &Config) -> Config {
    Config { local: config.remote.clone(), remote: config.local.clone(), ..config.clone() }
}

fn epoch() -> Epoch {
    Epoch { ntp: NtpTime::from_bits(0xe000_0000_0000_0000) }
}

fn session(config: Config, seed: u64) -> Session {
    Session::new(config, epoch(), seed).expect("the configuration is sound")
}

fn to(config: &Config, payload: Bytes) -> Input {
    let (source, destination) = (config.remote.address, config.local.address);
    Input::Datagram(Datagram { source, destination, payload })
}

fn audio_packet(ssrc: u32, number: u16, timestamp: u32) -> rtp::Packet {
    rtp::Packet {
        header: rtp::Header {
            payload_type: 0,
            sequence_number: number,
            timestamp,
            ssrc,
            ..rtp::Header::default()
        },
        payload: Bytes::from_static(&[0xff; 160]),
    }
}

fn drain(session: &mut Session) -> (Vec<Bytes>, Vec<Event>) {
    let (mut datagrams, mut events) = (Vec::new(), Vec::new());
    while let Some(output) = session.poll_output() {
        match output {
            Output::Datagram(datagram) => datagrams.push(datagram.payload),
            Output::Event(event) => events.push(event),
        }
    }
    (datagrams, events)
}

/// Runs the timers of a session up to a moment.
fn run_until(session: &mut Session, until: Instant) -> (Vec<Bytes>, Vec<Event>) {
    let (mut datagrams, mut events) = drain(session);
    while let Some(due) = session.poll_timeout().filter(|due| *due <= until) {
        session.handle_input(due, Input::Timeout);
        let (more_datagrams, more_events) = drain(session);
        datagrams.extend(more_datagrams);
        events.extend(more_events);
        assert!(session.poll_timeout().is_none_or(|next| next > due), "timers must move on");
    }
    (datagrams, events)
}

fn receive(session: &mut Session, config: &Config, ms: u64, packet: &rtp::Packet) -> Vec<Event> {
    session.handle_input(Instant::from_millis(ms), to(config, packet.to_bytes()));
    drain(session).1
}

fn reasons(events: &[Event]) -> Vec<DropReason> {
    let reason = |event: &Event| match event {
        Event::Dropped(dropped) => Some(dropped.reason),
        _ => None,
    };
    events.iter().filter_map(reason).collect()
}

fn rtcp_of(datagrams: &[Bytes]) -> Vec<Packet> {
    let parsed =
        datagrams.iter().filter(|datagram| rtp::demultiplex(datagram) == rtp::Demultiplexed::Rtcp);
    parsed.flat_map(|d| rtcp::parse(d, Rules::Compound).expect("ours are valid")).collect()
}

fn bytes(packet: &Packet) -> Bytes {
    let mut out = BytesMut::new();
    packet.write(&mut out);
    out.freeze()
}

#[test]
fn a_new_source_starts_a_stream_and_its_packets_are_told_one_by_one() {
    let config = Config { packet_events: true, ..config(&[MediaDescription::audio("a")]) };
    let mut session = session(config.clone(), 1);
    let events = receive(&mut session, &config, 0, &audio_packet(7, 65_535, 1_000));
    let [Event::StreamStarted(started), Event::Packet(first)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((started.ssrc, started.codec), (7, Codec::Pcmu));
    assert_eq!((started.kind, started.media), (MediaKind::Audio, 0));
    assert_eq!((first.order, first.transit), (Order::Advanced, 0));
    // 25 ms later instead of 20: D = 40 ticks, J = 40 / 16.
    let events = receive(&mut session, &config, 25, &audio_packet(7, 0, 1_160));
    let [Event::Packet(second)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(second.sequence, first.sequence + 1);
    assert_eq!((second.jitter, second.transit), (2.5, 40));
}

#[test]
fn a_change_of_payload_type_is_said_and_keeps_the_stream() {
    let config = config(&[MediaDescription::audio("a")]);
    let mut session = session(config.clone(), 1);
    receive(&mut session, &config, 0, &audio_packet(7, 1, 0));
    let mut packet = audio_packet(7, 2, 160);
    packet.header.payload_type = 8;
    let events = receive(&mut session, &config, 20, &packet);
    assert!(matches!(&events[0], Event::StreamStarted(s) if s.codec == Codec::Pcma), "{events:?}");
    assert_eq!(session.stats().inbound.len(), 1);
}

#[test]
fn what_is_not_from_the_peer_or_not_for_us_goes_nowhere_and_says_why() {
    let config = config(&[MediaDescription::audio("a")]);
    let mut session = session(config.clone(), 1);
    let now = Instant::ZERO;
    let mut foreign = to(&config, audio_packet(1, 1, 1).to_bytes());
    if let Input::Datagram(datagram) = &mut foreign {
        datagram.source = SocketAddr::from(([6, 6, 6, 6], 6));
    }
    session.handle_input(now, foreign);
    let mut unknown = audio_packet(1, 1, 1);
    unknown.header.payload_type = 99;
    for payload in [
        Bytes::from_static(&[0, 1, 0, 0]),
        Bytes::from_static(&[0x80, 0, 0]),
        Bytes::from_static(&[0x80, 200, 0, 9]),
        unknown.to_bytes(),
        Bytes::new(),
    ] {
        session.handle_input(now, to(&config, payload));
    }
    use DropReason::{ForeignAddress, MalformedRtcp, MalformedRtp, NotRtp, UnknownPayloadType};
    let expected =
        [ForeignAddress, NotRtp, MalformedRtp, MalformedRtcp, UnknownPayloadType, NotRtp];
    assert_eq!(reasons(&drain(&mut session).1), expected);
    let stats = session.stats();
    assert!(stats.is_conserved(), "{stats:?}");
    assert!(stats.inbound.is_empty());
}

#[test]
fn a_flood_of_sources_takes_no_more_room_than_is_allowed() {
    let config = Config { streams_max: 4, ..config(&[MediaDescription::audio("a")]) };
    let mut session = session(config.clone(), 1);
    for ssrc in 1..=1_000 {
        receive(&mut session, &config, 0, &audio_packet(ssrc, 1, 1));
    }
    let stats = session.stats();
    assert_eq!(stats.inbound.len(), 4);
    assert_eq!(stats.dropped(DropReason::TooManyStreams), 996);
    // Once the first ones have been silent for long, they give way.
    let events = receive(&mut session, &config, 6_000, &audio_packet(5_000, 1, 1));
    let displaced =
        |e: &Event| matches!(e, Event::StreamEnded { reason: EndReason::Displaced, .. });
    assert!(events.iter().any(displaced), "{events:?}");
    assert!(session.stats().is_conserved());
}

#[test]
fn what_waited_too_long_is_told_when_it_is_given_up() {
    let config = config(&[MediaDescription::audio("a")]);
    let mut session = session(config.clone(), 1);
    for number in 0..4 {
        receive(
            &mut session,
            &config,
            20 * u64::from(number),
            &audio_packet(7, number, 160 * u32::from(number)),
        );
    }
    run_until(&mut session, Instant::from_millis(990));
    // A second of sound at once is more than may wait.
    for number in 4..54 {
        let packet = audio_packet(7, number, 160 * u32::from(number));
        assert_eq!(reasons(&receive(&mut session, &config, 1_000, &packet)), []);
    }
    let (_, events) = run_until(&mut session, Instant::from_millis(1_100));
    let told = events.iter().filter_map(|event| match event {
        Event::Dropped(dropped) => Some(*dropped),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    assert!(told.len() > 10, "{told:?}");
    assert!(told.iter().all(|gone| gone.reason == DropReason::Overflow && gone.ssrc == Some(7)));
    assert!(told.iter().all(|gone| gone.arrived == Instant::from_millis(1_000)));
    let stats = session.stats();
    let Track::Sound { playout, .. } = &stats.inbound[0].track else { panic!("{stats:?}") };
    assert_eq!(playout.discarded.excess, told.len() as u64);
    assert_eq!(stats.dropped(DropReason::Overflow), told.len() as u64);
}

#[test]
fn what_waits_of_a_stream_that_makes_room_is_told() {
    let config = Config { streams_max: 1, ..config(&[MediaDescription::audio("a")]) };
    let mut session = session(config.clone(), 1);
    for number in 0..3 {
        receive(&mut session, &config, 0, &audio_packet(7, number, 160 * u32::from(number)));
    }
    let bye = Packet::Bye(rtcp::Bye { sources: vec![7], reason: None });
    session.handle_input(Instant::from_millis(1), to(&config, bytes(&bye)));
    drain(&mut session);
    let events = receive(&mut session, &config, 2, &audio_packet(8, 1, 1));
    assert_eq!(reasons(&events), [DropReason::Overflow; 3]);
    let stats = session.stats();
    assert!(stats.is_conserved());
    let gone = stats.inbound.iter().find(|stream| stream.ssrc == 7).expect("it is remembered");
    let Track::Sound { playout, .. } = &gone.track else { panic!("{gone:?}") };
    assert_eq!((playout.discarded.reset, playout.queued), (3, 0));
}

#[test]
fn a_source_that_says_bye_ends_and_its_stragglers_are_dropped() {
    let config = config(&[MediaDescription::audio("a")]);
    let mut session = session(config.clone(), 1);
    receive(&mut session, &config, 0, &audio_packet(7, 1, 1));
    let bye = Packet::Bye(rtcp::Bye { sources: vec![7], reason: None });
    session.handle_input(Instant::from_millis(1), to(&config, bytes(&bye)));
    let ended = Event::StreamEnded { ssrc: 7, reason: EndReason::Bye };
    assert!(drain(&mut session).1.contains(&ended));
    let events = receive(&mut session, &config, 2, &audio_packet(7, 2, 161));
    assert_eq!(reasons(&events), [DropReason::AfterBye]);
    assert!(session.stats().is_conserved());
}

#[test]
fn a_silent_stream_ends_and_is_still_counted() {
    let config = config(&[MediaDescription::audio("a")]);
    let mut session = session(config.clone(), 1);
    receive(&mut session, &config, 0, &audio_packet(7, 1, 1));
    let (_, events) = run_until(&mut session, Instant::from_millis(31_000));
    assert!(events.contains(&Event::StreamEnded { ssrc: 7, reason: EndReason::Silence }));
    let stats = session.stats();
    assert_eq!(stats.inbound[0].source.packets_received, 1);
    assert!(stats.is_conserved(), "{stats:?}");
}

#[test]
fn a_peer_with_our_number_moves_us_and_a_loop_does_not_go_on_forever() {
    let config = config(&[MediaDescription::audio("a").with_ssrc(7)]);
    let mut session = session(config.clone(), 1);
    let events = receive(&mut session, &config, 0, &audio_packet(7, 1, 1));
    let moved = |e: &Event| matches!(e, Event::SourceChanged { from: 7, .. });
    assert!(events.iter().any(moved), "{events:?}");
    assert_ne!(session.ssrc(0), Some(7));
    let mut changes = 0;
    for number in 0..20 {
        let ours = session.ssrc(0).expect("there is one line");
        let events = receive(&mut session, &config, 1, &audio_packet(ours, number, 1));
        changes += usize::from(events.iter().any(|e| matches!(e, Event::SourceChanged { .. })));
    }
    assert_eq!(changes, 3);
    assert!(session.stats().dropped(DropReason::OwnSource) > 0);
    assert!(session.stats().is_conserved());
}

#[test]
fn round_trip_and_jitter_are_exact_over_a_link_of_known_delay() {
    let config = Config {
        report_interval_min: Duration::from_millis(500),
        ..config(&[MediaDescription::audio("a").with_payloads(vec![Payload::new(0, Codec::Pcmu)])])
    };
    let (mut a, mut b) = (session(config.clone(), 1), session(mirrored(&config), 2));
    let delay = Duration::from_millis(30);
    let mut wire: Vec<(Instant, bool, Bytes)> = Vec::new();
    let mut trips = Vec::new();
    let samples = [1_000; 960];
    for tick in 0..200u64 {
        let start = Instant::from_millis(20 * tick);
        for at in (0..20).map(|ms| start + Duration::from_millis(ms)) {
            if at == start {
                a.send_audio(at, &samples).expect("audio was negotiated");
                b.send_audio(at, &samples).expect("audio was negotiated");
            }
            wire.sort_by_key(|(due, ..)| *due);
            while let Some((due, ..)) = wire.first().filter(|(due, ..)| *due <= at) {
                let due = *due;
                let (_, to_a, payload) = wire.remove(0);
                let (session, config) =
                    if to_a { (&mut a, config.clone()) } else { (&mut b, mirrored(&config)) };
                session.handle_input(due, to(&config, payload));
            }
            for (session, to_a) in [(&mut a, false), (&mut b, true)] {
                let (datagrams, events) = run_until(session, at);
                wire.extend(datagrams.into_iter().map(|payload| (at + delay, to_a, payload)));
                trips.extend(events.iter().filter_map(|event| match event {
                    Event::RemoteReport(report) => report.round_trip_time,
                    _ => None,
                }));
            }
        }
    }
    assert!(trips.len() > 4, "{trips:?}");
    for trip in &trips {
        // Two delays; times travel in units of 1/65536 s, and timers fire between our
        // steps of 1 ms.
        let error = trip.as_secs_f64() - 0.060;
        assert!(error.abs() < 0.003, "{trip:?}");
    }
    let stats = a.stats();
    assert_eq!(stats.inbound[0].source.jitter_ticks, 0.0);
    assert_eq!(stats.inbound[0].source.packets_lost, 0);
    assert!(stats.outbound[0].packets_sent == 200);
    assert!(stats.is_conserved() && b.stats().is_conserved());
}

/// An access unit of an IDR picture, as far as an assembler looks: a delimiter, which
/// proves where it begins, and a slice that no parameter sets would decode.
fn access_unit(bytes: usize) -> Bytes {
    let mut unit = vec![0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1, 0x65, 0x88];
    unit.resize(bytes, 0x55);
    unit.into()
}

fn video_config() -> Config {
    let mut config = config(&[MediaDescription::video("v")]);
    config.assembly.gate = callrig_media::video::assembly::Gate::Open;
    config
}

#[test]
fn a_lost_packet_is_asked_for_and_sent_again() {
    let config = video_config();
    let (mut a, mut b) = (session(config.clone(), 1), session(mirrored(&config), 2));
    a.send_frame(Instant::ZERO, 0, &access_unit(5_000), 0).expect("video was negotiated");
    let (packets, _) = drain(&mut a);
    assert!(packets.len() > 4);
    for (index, payload) in packets.iter().enumerate().filter(|(index, _)| *index != 2) {
        let at = Instant::from_millis(index as u64);
        b.handle_input(at, to(&mirrored(&config), payload.clone()));
    }
    let (datagrams, _) = run_until(&mut b, Instant::from_millis(40));
    let nacks: Vec<u16> = rtcp_of(&datagrams)
        .iter()
        .filter_map(|packet| match packet {
            Packet::Nack(nack) => Some(nack.numbers().collect::<Vec<_>>()),
            _ => None,
        })
        .flatten()
        .collect();
    let lost = u16::from_be_bytes([packets[2][2], packets[2][3]]);
    assert_eq!(nacks, [lost]);
    for datagram in datagrams {
        a.handle_input(Instant::from_millis(41), to(&config, datagram));
    }
    let (resent, _) = drain(&mut a);
    assert!(resent.contains(&packets[2]), "byte for byte the same");
    assert_eq!(a.stats().outbound[0].retransmitted_packets_sent, 1);
    b.handle_input(Instant::from_millis(42), to(&mirrored(&config), packets[2].clone()));
    let (_, events) = run_until(&mut b, Instant::from_millis(43));
    let is_frame = |event: &&Event| matches!(event, Event::Frame(_) | Event::FrameDropped { .. });
    assert_eq!(events.iter().filter(is_frame).count(), 1, "{events:?}");
    assert!(b.stats().is_conserved(), "{:?}", b.stats());
}

#[test]
fn a_packet_that_never_comes_is_given_up_and_a_key_frame_asked_for() {
    let config = Config { nack_retries_max: 2, ..config(&[MediaDescription::video("v")]) };
    let (mut a, mut b) = (session(config.clone(), 1), session(mirrored(&config), 2));
    for frame in 0..2u64 {
        a.send_frame(Instant::ZERO, 0, &access_unit(5_000), 3_000 * frame as u32)
            .expect("video was negotiated");
    }
    let (packets, _) = drain(&mut a);
    for (index, payload) in packets.iter().enumerate().filter(|(index, _)| *index != 2) {
        let at = Instant::from_millis(index as u64);
        b.handle_input(at, to(&mirrored(&config), payload.clone()));
    }
    let (datagrams, events) = run_until(&mut b, Instant::from_millis(1_000));
    let packets = rtcp_of(&datagrams);
    let nacks = packets.iter().filter(|packet| matches!(packet, Packet::Nack(_))).count();
    assert!((1..=2).contains(&nacks), "bounded retries: {nacks}");
    assert!(packets.iter().any(|packet| matches!(packet, Packet::PictureLoss(_))));
    assert!(events.iter().any(|event| matches!(event, Event::FrameDropped { .. })));
    let requests = datagrams.into_iter().fold(0, |count, datagram| {
        a.handle_input(Instant::from_millis(1_000), to(&config, datagram));
        let wanted = |e: &&Event| matches!(e, Event::KeyFrameRequested { .. });
        count + drain(&mut a).1.iter().filter(wanted).count()
    });
    assert!(requests >= 1);
    assert!(b.stats().is_conserved(), "{:?}", b.stats());
}

#[test]
fn parameter_sets_of_the_description_go_ahead_of_the_first_key_frame() {
    // As GStreamer's rtph264pay says it, which then does not send them.
    let stated = "Z0LAFdkBQfsBagwMDUoAAAMAAgAAAwB5HixckA==,aMuMsg==";
    let line = |stated: &str| {
        let mut line = MediaDescription::video("v");
        line.payloads[0].parameter_sets = ParameterSets::from(stated);
        line
    };
    // What the viewer says of its own is nothing that it receives.
    for (stated, viewer, seen) in [(stated, "", 3), ("", stated, 0), ("", "", 0)] {
        let sender = Config::new(describe(A, &[line(stated)]), describe(B, &[line(viewer)]));
        let receiver = mirrored(&sender);
        let (mut a, mut b) = (session(sender, 1), session(receiver.clone(), 2));
        for frame in 0..3_u32 {
            let kind = if frame == 0 { 0x65 } else { 0x41 };
            let unit = [&[0, 0, 0, 1, kind, 0x88, 0x84], &[0x55; 3_000][..]].concat();
            a.send_frame(Instant::ZERO, 0, &unit.into(), 3_000 * frame).expect("it is negotiated");
        }
        for (index, payload) in drain(&mut a).0.into_iter().enumerate() {
            b.handle_input(Instant::from_millis(index as u64), to(&receiver, payload));
        }
        let (_, events) = run_until(&mut b, Instant::from_millis(1_000));
        let frames: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Frame(frame) => Some(frame),
                _ => None,
            })
            .collect();
        assert_eq!(frames.len(), seen, "{stated:?}: {events:?}");
        for (index, frame) in frames.into_iter().enumerate() {
            assert_eq!(frame.resolution, Some((320, 240)));
            let types = nal::units(&frame.data).map(|unit| unit[0] & 0x1f).collect::<Vec<_>>();
            assert_eq!(types, if index == 0 { vec![7, 8, 5] } else { vec![1] });
        }
    }
}

#[test]
fn pictures_that_cannot_be_decoded_do_not_ask_for_key_frames_without_pause() {
    let config = Config { decode: Decode::Everything, ..video_config() };
    let (mut a, mut b) = (session(config.clone(), 1), session(mirrored(&config), 2));
    let mut asked = 0;
    for frame in 0..90 {
        let now = Instant::from_millis(frame * 33);
        a.send_frame(now, 0, &access_unit(200), 3_000 * frame as u32).expect("it was negotiated");
        for payload in run_until(&mut a, now).0 {
            b.handle_input(now, to(&mirrored(&config), payload));
        }
        let packets = rtcp_of(&run_until(&mut b, now).0);
        asked += packets.iter().filter(|packet| matches!(packet, Packet::PictureLoss(_))).count();
    }
    let Track::Pictures(pictures) = &b.stats().inbound[0].track else { panic!("they came") };
    assert!(pictures.decode_errors > 80, "{} of 90 were refused", pictures.decode_errors);
    // Once in half a second.
    assert!((5..=7).contains(&asked), "asked {asked} times in three seconds");
}

#[test]
fn nacks_for_what_was_never_sent_are_counted_and_cost_one_event_each() {
    let config = video_config();
    let mut session = session(config.clone(), 1);
    let ssrc = session.ssrc(0).expect("there is one line");
    let nack = rtcp::Nack::of(9, ssrc, 0..5_000);
    session.handle_input(Instant::ZERO, to(&config, bytes(&Packet::Nack(nack))));
    assert_eq!(reasons(&drain(&mut session).1), [DropReason::NotInCache]);
    assert_eq!(session.stats().dropped(DropReason::NotInCache), 5_000);
}

#[test]
fn keys_arrive_once_each_and_in_order_through_loss_and_duplication() {
    let config = config(&[MediaDescription::audio("a")]);
    let (mut a, mut b) = (session(config.clone(), 1), session(mirrored(&config), 2));
    let keys = [Tone::Tone5, Tone::Tone5, Tone::Star, Tone::Flash];
    for key in keys {
        a.send_tone(Instant::ZERO, key, Duration::from_millis(120)).expect("events negotiated");
    }
    let mut heard = Vec::new();
    let mut count = 0;
    for tick in 0..200u64 {
        let now = Instant::from_millis(10 * tick);
        for payload in run_until(&mut a, now).0 {
            count += 1;
            // Every third packet is lost, every fourth comes twice.
            for _ in 0..[1, 1, 0, 2][count % 4] {
                b.handle_input(now, to(&mirrored(&config), payload.clone()));
            }
        }
        heard.extend(run_until(&mut b, now).1.into_iter().filter_map(|event| match event {
            Event::Tone(tone) => Some(tone.tone),
            _ => None,
        }));
    }
    assert_eq!(heard, keys);
    assert!(b.stats().is_conserved(), "{:#?}", b.stats());
}

#[test]
fn sound_that_is_sent_is_played_in_one_piece() {
    let config = config(&[MediaDescription::audio("a")]);
    let (mut a, mut b) = (session(config.clone(), 1), session(mirrored(&config), 2));
    let mut played = 0;
    for tick in 0..100u64 {
        let now = Instant::from_millis(20 * tick);
        let sample = |i: u64| ((i as f64 * 0.05).sin() * 8_000.0) as i16;
        let samples: Vec<i16> = (0..960).map(|i| sample(960 * tick + i)).collect();
        a.send_audio(now, &samples).expect("Opus was negotiated");
        for payload in run_until(&mut a, now).0 {
            b.handle_input(now, to(&mirrored(&config), payload));
        }
        for event in run_until(&mut b, now).1 {
            if let Event::Audio(audio) = event {
                assert_eq!((audio.rate, audio.samples.len()), (48_000, 960));
                played += 1;
                b.recycle(audio);
            }
        }
    }
    assert!(played >= 95, "{played}");
    let stats = b.stats();
    let Track::Sound { playout, .. } = &stats.inbound[0].track else {
        panic!("{stats:#?}");
    };
    assert_eq!(playout.concealed_samples, 0);
    assert!(stats.is_conserved());
}

#[test]
fn a_relay_keeps_numbers_timestamps_and_sources() {
    let config = Config { relay: true, ..config(&[MediaDescription::audio("a")]) };
    let (mut left, mut right) = (session(config.clone(), 1), session(mirrored(&config), 2));
    for number in [5, 6, 8, 7, 7] {
        let packet = audio_packet(77, number, 160 * u32::from(number));
        let datagram = packet.to_bytes();
        left.handle_input(Instant::ZERO, to(&config, datagram.clone()));
        while let Some(relayed) = left.poll_packet() {
            assert_eq!(*relayed.packet(), packet);
            right.forward(Instant::ZERO, relayed).expect("PCMU was negotiated");
            let left = drain(&mut right).0;
            assert_eq!(left, core::slice::from_ref(&datagram));
            assert_eq!(left[0].as_ptr(), datagram.as_ptr(), "nothing is copied");
        }
    }
    // What was changed on the way is written anew.
    let packet = audio_packet(77, 9, 1_440);
    left.handle_input(Instant::ZERO, to(&config, packet.to_bytes()));
    let mut relayed = left.poll_packet().expect("it is the next one");
    relayed.packet_mut().header.marker = true;
    right.forward(Instant::ZERO, relayed).expect("PCMU was negotiated");
    let mut marked = packet;
    marked.header.marker = true;
    assert_eq!(drain(&mut right).0, [marked.to_bytes()]);
    let outbound = right.stats().outbound;
    assert_eq!((outbound[1].ssrc, outbound[1].packets_sent), (77, 5), "the duplicate stays");
    assert!(left.stats().is_conserved());
}

#[test]
fn commands_that_were_not_negotiated_are_refused() {
    let send_only = MediaDescription::audio("a").with_direction(Direction::SendOnly);
    let config =
        Config::new(describe(A, &[MediaDescription::audio("a")]), describe(B, &[send_only]));
    let mut session = session(config, 1);
    let now = Instant::ZERO;
    assert_eq!(session.send_audio(now, &[0; 960]), Err(SendError::NotNegotiated));
    assert_eq!(
        session.send_audio(now, &[0; 100]),
        Err(SendError::FrameSize { samples: 100, wanted: 960 })
    );
    let unit = access_unit(10);
    assert_eq!(session.send_frame(now, 3, &unit, 0), Err(SendError::NoSuchMedia { media: 3 }));
    assert_eq!(session.send_frame(now, 0, &unit, 0), Err(SendError::NotNegotiated));
    assert_eq!(session.request_key_frame(now, 5), Err(SendError::NoSuchStream { ssrc: 5 }));
    session.close(now);
    assert_eq!(session.send_audio(now, &[0; 960]), Err(SendError::Closed));
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn a_closing_session_says_goodbye_for_its_sources() {
    let config = config(&[MediaDescription::audio("a")]);
    let mut session = session(config, 1);
    let ssrc = session.ssrc(0).expect("there is one line");
    session.close(Instant::ZERO);
    let bye = Packet::Bye(rtcp::Bye { sources: vec![ssrc], reason: None });
    assert!(rtcp_of(&drain(&mut session).0).contains(&bye));
}

#[test]
fn contradictions_are_refused_at_construction() {
    let mut broken = config(&[MediaDescription::audio("a")]);
    broken.remote.media.clear();
    let error = Session::new(broken, epoch(), 1).map(|_| ());
    assert_eq!(error, Err(ConfigError::LineCount { local: 1, remote: 0 }));
    let payloads = vec![Payload::new(72, Codec::Pcmu)];
    let line = MediaDescription::audio("a").with_payloads(payloads);
    let error = Session::new(config(&[line]), epoch(), 1).map(|_| ());
    assert_eq!(error, Err(ConfigError::PayloadType { index: 0, payload_type: 72 }));
}

/// What a network does to a packet.
#[derive(Clone, Copy, Debug)]
struct Fate {
    lost: bool,
    twice: bool,
    delay_ms: u64,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = (0..10u8, 0..10u8, 0..120u64).prop_map(|(lost, twice, delay_ms)| Fate {
        lost: lost == 0,
        twice: twice == 0,
        delay_ms,
    });
    vec(fate, 1..150)
}

/// Arrivals in order of time.
fn damage(packets: &[(u64, Bytes)], fates: &[Fate]) -> Vec<(u64, Bytes)> {
    let mut arrivals = Vec::new();
    for ((sent, payload), fate) in packets.iter().zip(fates.iter().cycle()) {
        if !fate.lost {
            arrivals.push((sent + fate.delay_ms, payload.clone()));
        }
        if fate.twice {
            arrivals.push((sent + fate.delay_ms + 3, payload.clone()));
        }
    }
    arrivals.sort_by_key(|(at, _)| *at);
    arrivals
}

/// Everything a session does with these arrivals.
fn replay(config: &Config, seed: u64, arrivals: &[(u64, Bytes)]) -> (Session, Vec<Output>) {
    let mut session = session(config.clone(), seed);
    let mut outputs = Vec::new();
    for (at, payload) in arrivals {
        let at = Instant::from_millis(*at);
        while let Some(due) = session.poll_timeout().filter(|due| *due < at) {
            session.handle_input(due, Input::Timeout);
            outputs.extend(core::iter::from_fn(|| session.poll_output()));
        }
        session.handle_input(at, to(config, payload.clone()));
        outputs.extend(core::iter::from_fn(|| session.poll_output()));
        assert!(session.stats().is_conserved(), "{:#?}", session.stats());
    }
    (session, outputs)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn sound_is_conserved_under_loss_reordering_and_duplication(fates in fates()) {
        let config = config(&[MediaDescription::audio("a")]);
        let packets: Vec<(u64, Bytes)> = (0..fates.len() as u64)
            .map(|i| (20 * i, audio_packet(7, i as u16, 160 * i as u32).to_bytes()))
            .collect();
        let arrivals = damage(&packets, &fates);
        let (mut session, _) = replay(&config, 1, &arrivals);
        let end = Instant::from_millis(20 * fates.len() as u64 + 5_000);
        run_until(&mut session, end);
        let stats = session.stats();
        prop_assert!(stats.is_conserved(), "{stats:#?}");
        let received: u64 = stats.inbound.iter().map(|s| s.source.packets_received).sum();
        prop_assert_eq!(received, arrivals.len() as u64);
    }

    #[test]
    fn what_is_not_played_is_told_once_when_it_is_given_up(
        fates in fates(),
        held in 0..40_u64,
        odd in vec((0..40_u64, 0..5_000_u32, any::<u8>()), 0..6),
    ) {
        let config = config(&[MediaDescription::audio("a")]);
        let mut packets = Vec::new();
        for i in 0..fates.len() as u64 {
            let mut packet = audio_packet(7, i as u16, 960 * i as u32);
            packet.header.payload_type = 111;
            packet.payload = Bytes::from_static(&[0x78, 0xff, 0xfe]);
            if let Some((_, back, toc)) = odd.iter().find(|(at, ..)| *at == i) {
                packet.header.timestamp = packet.header.timestamp.saturating_sub(*back);
                packet.payload = Bytes::copy_from_slice(&[*toc, 0xff, 0xfe]);
            }
            // The network holds the first of them up and lets them go all at once.
            packets.push((20 * i.max(held), packet.to_bytes()));
        }
        let (mut session, outputs) = replay(&config, 1, &damage(&packets, &fates));
        let events = outputs.into_iter().filter_map(|output| match output {
            Output::Event(event) => Some(event),
            Output::Datagram(_) => None,
        });
        let mut told = reasons(&events.collect::<Vec<_>>());
        told.extend(reasons(&run_until(&mut session, Instant::from_millis(6_000)).1));
        let stats = session.stats();
        for stream in &stats.inbound {
            let Track::Sound { playout, .. } = &stream.track else { continue };
            let fates = playout.late + playout.duplicate + playout.discarded.total();
            let own = [DropReason::Late, DropReason::Duplicate, DropReason::Overflow,
                DropReason::MalformedPayload, DropReason::Discontinuity];
            let told = told.iter().filter(|reason| own.contains(reason)).count() as u64;
            prop_assert_eq!(told, fates, "{:?}", playout);
        }
        for (reason, count) in &stats.dropped {
            let told = told.iter().filter(|told| *told == reason).count() as u64;
            prop_assert_eq!(told, *count, "{:?}", reason);
        }
    }

    #[test]
    fn pictures_are_conserved_and_never_damaged(fates in fates(), sizes in vec(20..4_000usize, 1..12)) {
        let config = video_config();
        let mut sender = session(mirrored(&config), 9);
        let mut packets = Vec::new();
        let mut sent = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            let unit = access_unit(*size);
            sender.send_frame(Instant::ZERO, 0, &unit, 3_000 * index as u32).expect("negotiated");
            sent.push(unit);
            let at = 33 * index as u64;
            packets.extend(drain(&mut sender).0.into_iter().map(|payload| (at, payload)));
        }
        let (mut session, mut outputs) = replay(&config, 1, &damage(&packets, &fates));
        session.close(Instant::from_millis(60_000));
        outputs.extend(core::iter::from_fn(|| session.poll_output()));
        for output in outputs {
            if let Output::Event(Event::Frame(frame)) = output {
                prop_assert_eq!(&frame.data, &sent[frame.timestamp as usize / 3_000]);
            }
        }
        prop_assert!(session.stats().is_conserved(), "{:#?}", session.stats());
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes(fates in fates(), seed in any::<u64>()) {
        let config = Config { decode: Decode::Nothing, packet_events: true, ..config(&[MediaDescription::audio("a")]) };
        let packets: Vec<(u64, Bytes)> = (0..fates.len() as u64)
            .map(|i| (20 * i, audio_packet(7, i as u16, 160 * i as u32).to_bytes()))
            .collect();
        let arrivals = damage(&packets, &fates);
        let (first, again) = (replay(&config, seed, &arrivals), replay(&config, seed, &arrivals));
        prop_assert_eq!(first.1, again.1);
        prop_assert_eq!(first.0.stats(), again.0.stats());
    }

    #[test]
    fn no_datagrams_at_all_break_a_session(
        datagrams in vec((vec(any::<u8>(), 0..200), 0..5u8), 1..60),
    ) {
        let media = [MediaDescription::audio("a"), MediaDescription::video("v")];
        let config = Config { streams_max: 3, ..config(&media) };
        let arrivals: Vec<(u64, Bytes)> = datagrams.into_iter().enumerate().map(|(i, (mut data, kind))| {
            if data.len() > 12 && kind > 0 {
                data[0] = 0x80 | data[0] & 0x3f;
                data[1] = [data[1], 0, 111, 102, 200 + data[1] % 7][usize::from(kind)];
                data[8..11].fill(0);
            }
            (7 * i as u64, data.into())
        }).collect();
        let (mut session, _) = replay(&config, 1, &arrivals);
        run_until(&mut session, Instant::from_millis(2_000));
        session.close(Instant::from_millis(2_000));
        prop_assert!(session.stats().is_conserved(), "{:#?}", session.stats());
    }
}
