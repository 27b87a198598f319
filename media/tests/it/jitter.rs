//! The jitter buffer against libopus itself, against networks, and against nonsense.

use core::time::Duration;

use bytes::Bytes;
use callrig_media::audio::{Audio, Kind};
use callrig_media::codec::g711::Law;
use callrig_media::codec::opus::{self, Decoder, Encoder};
use callrig_media::description::Codec;
use callrig_media::jitter::{Cause, Config, GivenUp, Playout, Push, Stats};
use callrig_media::rtp;
use callrig_media::time::Instant;
use proptest::prelude::*;

use crate::audio::voice;

const OPUS: Codec = Codec::Opus { stereo: false };

/// A packet on its way.
#[derive(Clone, Debug)]
struct Sent {
    at: Instant,
    sequence: u64,
    packet: rtp::Packet,
    codec: Codec,
}

fn rtp_packet(timestamp: u32, payload: Bytes) -> rtp::Packet {
    let header = rtp::Header { timestamp, ..rtp::Header::default() };
    rtp::Packet { header, payload }
}

/// `milliseconds` of speech in packets of `frame_ms`, each sent as soon as it is whole.
fn opus_stream(config: &opus::Config, frame_ms: usize, milliseconds: usize) -> Vec<Sent> {
    let mut encoder = Encoder::new(config).expect("a valid configuration");
    let channels = usize::from(config.channels);
    let mono = voice(config.rate, milliseconds);
    let samples: Vec<i16> = mono.iter().flat_map(|&s| core::iter::repeat_n(s, channels)).collect();
    let frame = frame_ms * config.rate as usize / 1000 * channels;
    let codec = Codec::Opus { stereo: channels == 2 };
    samples
        .chunks_exact(frame)
        .enumerate()
        .map(|(n, chunk)| {
            let mut packet = [0; 1500];
            let length = encoder.encode(chunk, &mut packet).expect("a valid frame");
            let payload = Bytes::copy_from_slice(&packet[..length]);
            Sent {
                at: Instant::from_millis(((n + 1) * frame_ms) as u64),
                sequence: 1_000 + n as u64,
                packet: rtp_packet(5_000 + (n * frame_ms * 48) as u32, payload),
                codec,
            }
        })
        .collect()
}

fn g711_stream(law: Law, milliseconds: usize) -> Vec<Sent> {
    let codec = if law == Law::A { Codec::Pcma } else { Codec::Pcmu };
    voice(8_000, milliseconds)
        .chunks_exact(160)
        .enumerate()
        .map(|(n, chunk)| {
            let mut payload = Vec::new();
            law.encode_into(chunk, &mut payload);
            Sent {
                at: Instant::from_millis((n as u64 + 1) * 20),
                sequence: 7 + n as u64,
                packet: rtp_packet((n * 160) as u32, payload.into()),
                codec,
            }
        })
        .collect()
}

struct Played {
    frames: Vec<Audio>,
    given_up: Vec<GivenUp>,
    stats: Stats,
}

impl Played {
    fn samples(&self) -> Vec<i16> {
        self.frames.iter().flat_map(|audio| audio.samples.iter().copied()).collect()
    }
}

/// Plays a stream on the playout's own ticks until `end`.
fn play(config: &Config, mut sent: Vec<Sent>, end: Instant) -> Played {
    sent.sort_by_key(|sent| sent.at);
    let mut playout = Playout::new(config, 1).expect("a valid configuration");
    let mut frames = Vec::new();
    let mut sent = sent.into_iter().peekable();
    loop {
        let due = playout.poll_timeout().filter(|&due| due < end);
        let arrival = sent.peek().map(|sent| sent.at).filter(|&at| at < end);
        match (due, arrival) {
            (None, None) => break,
            (due, Some(at)) if due.is_none_or(|due| at <= due) => {
                let next = sent.next().expect("peeked");
                let _ = playout.push(at, next.sequence, &next.packet, next.codec);
            }
            (Some(due), _) => {
                let mut audio = Audio::default();
                if playout.pull(due, &mut audio) {
                    frames.push(audio);
                }
            }
            (None, Some(_)) => unreachable!("the arm before takes it"),
        }
        assert!(playout.stats().is_conserved(), "{:?}", playout.stats());
    }
    let given_up = core::iter::from_fn(|| playout.poll_given_up()).collect();
    Played { frames, given_up, stats: playout.stats() }
}

fn end_of(sent: &[Sent]) -> Instant {
    sent.iter().map(|sent| sent.at).max().expect("not empty") + Duration::from_millis(20)
}

/// What libopus itself makes of the packets; `None` is a loss of `lost` samples.
fn reference(rate: u32, channels: u8, packets: &[Option<Bytes>], lost: usize) -> Vec<i16> {
    let mut decoder = ::opus::Decoder::new(
        rate,
        if channels == 2 { ::opus::Channels::Stereo } else { ::opus::Channels::Mono },
    )
    .expect("valid");
    let mut out = Vec::new();
    for packet in packets {
        let mut samples = vec![0; 5_760 * usize::from(channels)];
        let decoded = match packet {
            Some(packet) => decoder.decode(packet, &mut samples, false),
            None => decoder.decode(&[], &mut samples[..lost * usize::from(channels)], false),
        };
        let decoded = decoded.expect("valid packets");
        out.extend_from_slice(&samples[..decoded * usize::from(channels)]);
    }
    out
}

#[test]
fn clean_opus_is_played_bit_for_bit_as_libopus_decodes_it() {
    for (rate, channels) in [(48_000, 1), (16_000, 1), (48_000, 2)] {
        for frame_ms in [10, 20, 40, 60] {
            let coding = opus::Config { rate, channels, ..opus::Config::default() };
            let sent = opus_stream(&coding, frame_ms, 3_000);
            let packets: Vec<_> = sent.iter().map(|s| Some(s.packet.payload.clone())).collect();
            let expected = reference(rate, channels, &packets, 0);
            let end = end_of(&sent);
            let played = play(&Config { rate, ..Config::default() }, sent, end);
            let samples = played.samples();
            assert!(samples.len() > expected.len() * 9 / 10, "{frame_ms} ms");
            assert_eq!(samples, expected[..samples.len()], "{frame_ms} ms at {rate}");
            assert_eq!(played.stats.concealed_samples, 0);
            assert!(played.frames.iter().all(|audio| audio.kind == Kind::Played));
        }
    }
}

#[test]
fn loss_sounds_exactly_as_libopus_conceals_it() {
    let sent = opus_stream(&opus::Config::default(), 20, 4_000);
    let lost = |n: usize| matches!(n % 50, 13 | 30 | 31 | 40..=43);
    let packets: Vec<_> = sent
        .iter()
        .enumerate()
        .map(|(n, s)| (!lost(n)).then(|| s.packet.payload.clone()))
        .collect();
    let expected = reference(48_000, 1, &packets, 960);
    let end = end_of(&sent);
    let kept = sent.into_iter().enumerate().filter(|(n, _)| !lost(*n)).map(|(_, s)| s).collect();
    let played = play(&Config::default(), kept, end);
    let samples = played.samples();
    assert!(samples.len() > 180_000);
    assert_eq!(samples, expected[..samples.len()]);
    assert_eq!(played.stats.concealment_events, 4 * 3);
    assert_eq!(played.stats.concealed_samples, 4 * 7 * 960);
}

#[test]
fn a_loss_is_recovered_from_the_next_packet_as_libopus_recovers_it() {
    let coding = opus::Config {
        rate: 16_000,
        bitrate: Some(24_000),
        fec: true,
        expected_loss: 25,
        ..opus::Config::default()
    };
    let sent = opus_stream(&coding, 20, 4_000);
    let lost = |n: usize| n < 190 && (n % 10 == 7 || n % 50 == 48);
    let mut decoder = Decoder::new(48_000, 1).expect("valid");
    let mut expected = Vec::new();
    let mut recovered = 0;
    for (n, next) in sent.iter().enumerate() {
        let mut samples = [0; 960];
        if !lost(n) {
            decoder.decode(&next.packet.payload, &mut samples).expect("valid");
        } else if sent.get(n + 1).is_some() && !lost(n + 1) {
            let next = callrig_media::payload::opus::Packet::parse(&sent[n + 1].packet.payload);
            recovered += u64::from(next.expect("ours").has_error_correction());
            decoder.recover(&sent[n + 1].packet.payload, &mut samples).expect("valid");
        } else {
            decoder.conceal(&mut samples).expect("valid");
        }
        expected.extend_from_slice(&samples);
    }
    let end = end_of(&sent);
    let kept = sent.into_iter().enumerate().filter(|(n, _)| !lost(*n)).map(|(_, s)| s).collect();
    let played = play(&Config::default(), kept, end);
    let samples = played.samples();
    assert!(samples.len() > 180_000);
    assert_eq!(samples, expected[..samples.len()]);
    let stats = played.stats;
    assert!(recovered > 10);
    assert_eq!(stats.recovered_samples, recovered * 960, "{stats:?}");
    // What waits at the end is not decided yet.
    let used = stats.fec_packets_received - stats.fec_packets_discarded;
    assert!((recovered..=recovered + stats.queued).contains(&used), "{stats:?}");
}

#[test]
fn a_packet_that_is_none_counts_as_lost_sound() {
    let mut sent = opus_stream(&opus::Config::default(), 20, 1_000);
    sent[20].packet.payload = Bytes::from_static(&[0x0b, 0x07, 0]);
    let end = end_of(&sent);
    let stats = play(&Config::default(), sent, end).stats;
    assert_eq!((stats.discarded.malformed, stats.concealed_samples), (1, 960), "{stats:?}");
}

#[test]
fn clean_g711_is_played_bit_for_bit() {
    for law in [Law::A, Law::Mu] {
        let sent = g711_stream(law, 2_000);
        let expected: Vec<i16> =
            sent.iter().flat_map(|s| s.packet.payload.iter().map(|&b| law.decode(b))).collect();
        let end = end_of(&sent);
        let played = play(&Config { rate: 8_000, ..Config::default() }, sent, end);
        let samples = played.samples();
        assert!(samples.len() > 15_000);
        assert_eq!(samples, expected[..samples.len()]);
    }
}

#[test]
fn g711_is_played_at_the_rate_that_was_asked_for() {
    let sent = g711_stream(Law::Mu, 2_000);
    let end = end_of(&sent);
    let played = play(&Config::default(), sent, end);
    assert!(played.frames.iter().all(|a| a.samples.len() == 960 && a.rate == 48_000));
    assert_eq!(played.stats.total_samples_received, 960 * played.frames.len() as u64);
    assert_eq!(played.stats.jitter_buffer_emitted_count, played.stats.total_samples_received);
}

#[test]
fn a_lost_g711_packet_is_concealed_and_a_long_loss_falls_silent() {
    let sent = g711_stream(Law::A, 3_000);
    let end = end_of(&sent);
    let lost = |n: usize| n == 20 || (50..100).contains(&n);
    let kept = sent.into_iter().enumerate().filter(|(n, _)| !lost(*n)).map(|(_, s)| s).collect();
    let played = play(&Config { rate: 8_000, ..Config::default() }, kept, end);
    let energy = |audio: &Audio| audio.samples.iter().map(|&s| i64::from(s).pow(2)).sum::<i64>();
    assert_eq!(played.frames[20].kind, Kind::Concealed);
    assert!(energy(&played.frames[20]) > energy(&played.frames[19]) / 10);
    assert_eq!(played.frames[60].kind, Kind::Silence);
    assert_eq!(energy(&played.frames[60]), 0);
    assert_eq!(played.frames[101].kind, Kind::Played);
}

/// A small generator of numbers, so that a failure is the same everywhere.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn a_drifting_clock_is_followed_without_concealment() {
    for ppm in [-500_i64, -200, 200, 500] {
        let mut sent = opus_stream(&opus::Config::default(), 20, 60_000);
        for sent in &mut sent {
            let nanos = sent.at.as_nanos() as i64;
            sent.at = Instant::from_nanos((nanos + nanos * ppm / 1_000_000) as u64);
        }
        let end = end_of(&sent);
        let played = play(&Config::default(), sent, end);
        let stats = played.stats;
        assert_eq!(stats.concealed_samples, 0, "{ppm} ppm: {stats:?}");
        let moved = stats.inserted_samples_for_deceleration as i64
            - stats.removed_samples_for_acceleration as i64;
        // Over 60 s, less what the band takes up.
        let drifted = ppm * 60 * 48_000 / 1_000_000;
        assert!((moved - drifted).abs() < 48 * 45, "{ppm} ppm: moved {moved} of {drifted}");
        let delay = stats.jitter_buffer_delay / stats.jitter_buffer_emitted_count as f64;
        assert!((0.010..0.060).contains(&delay), "{ppm} ppm: {delay} s");
    }
}

#[test]
fn jitter_of_forty_milliseconds_costs_little_sound_and_little_delay() {
    let mut state = 1;
    let mut sent = opus_stream(&opus::Config::default(), 20, 60_000);
    for sent in &mut sent {
        sent.at += Duration::from_micros(random(&mut state) % 80_000);
    }
    let end = end_of(&sent);
    let stats = play(&Config::default(), sent, end).stats;
    let concealed = stats.concealed_samples as f64 / stats.total_samples_received as f64;
    assert!(concealed < 0.02, "{concealed}: {stats:?}");
    let delay = stats.jitter_buffer_delay / stats.jitter_buffer_emitted_count as f64;
    assert!(delay < 0.070, "{delay}: {stats:?}");
}

#[test]
fn after_an_outage_the_delay_returns() {
    let mut sent = opus_stream(&opus::Config::default(), 20, 20_000);
    // Everything sent within one second arrives at its end.
    for sent in &mut sent[250..300] {
        sent.at = Instant::from_millis(6_000);
    }
    let end = end_of(&sent);
    let played = play(&Config::default(), sent, end);
    let stats = played.stats;
    assert!(stats.discarded.excess > 0 && stats.discarded.excess < 50, "{stats:?}");
    assert_eq!(played.given_up.len() as u64, stats.discarded.excess);
    assert!(played.given_up.iter().all(|g| g.cause == Cause::Excess && g.sequence >= 1_250));
    assert!(stats.removed_samples_for_acceleration > 48 * 100, "{stats:?}");
    let last = played.frames.last().expect("played");
    let media = last.timestamp.expect("played").wrapping_sub(5_000);
    let delay = end.as_nanos() as i64 / 1_000_000 - i64::from(media) / 48;
    assert!(delay < 200, "{delay} ms");
}

#[test]
fn numbers_wrap_and_nothing_is_heard_of_it() {
    let mut sent = opus_stream(&opus::Config::default(), 20, 2_000);
    let packets: Vec<_> = sent.iter().map(|s| Some(s.packet.payload.clone())).collect();
    let expected = reference(48_000, 1, &packets, 0);
    for (n, sent) in sent.iter_mut().enumerate() {
        sent.sequence = 65_520 + n as u64;
        sent.packet.header.timestamp = (u32::MAX - 20_000).wrapping_add(n as u32 * 960);
    }
    let end = end_of(&sent);
    let played = play(&Config::default(), sent, end);
    let samples = played.samples();
    assert_eq!(samples, expected[..samples.len()]);
    assert_eq!(played.frames[30].timestamp, Some((u32::MAX - 20_000).wrapping_add(30 * 960)));
}

#[test]
fn a_jump_of_the_timestamp_is_followed_without_a_gap() {
    let mut sent = opus_stream(&opus::Config::default(), 20, 4_000);
    let packets: Vec<_> = sent.iter().map(|s| Some(s.packet.payload.clone())).collect();
    let expected = reference(48_000, 1, &packets, 0);
    for sent in &mut sent[100..] {
        sent.packet.header.timestamp = sent.packet.header.timestamp.wrapping_add(1 << 30);
    }
    let end = end_of(&sent);
    let played = play(&Config::default(), sent, end);
    let samples = played.samples();
    assert_eq!(samples, expected[..samples.len()]);
    assert_eq!(played.stats.discontinuities, 1);
}

#[test]
fn a_sender_that_counts_anew_is_followed_without_a_gap() {
    let mut sent = opus_stream(&opus::Config::default(), 20, 4_000);
    let packets: Vec<_> = sent.iter().map(|s| Some(s.packet.payload.clone())).collect();
    let expected = reference(48_000, 1, &packets, 0);
    for sent in &mut sent[100..] {
        sent.sequence += 2 << 16;
        sent.packet.header.timestamp = sent.packet.header.timestamp.wrapping_add(1 << 30);
    }
    let end = end_of(&sent);
    let played = play(&Config::default(), sent, end);
    let samples = played.samples();
    assert_eq!(samples, expected[..samples.len()]);
    assert_eq!(played.stats.discarded.total(), 0);
}

#[test]
fn on_ticks_of_the_owner_clean_sound_is_left_alone_too() {
    let sent = opus_stream(&opus::Config::default(), 20, 3_000);
    let packets: Vec<_> = sent.iter().map(|s| Some(s.packet.payload.clone())).collect();
    let expected = reference(48_000, 1, &packets, 0);
    for phase in 0..20 {
        let mut playout = Playout::new(&Config::default(), 1).expect("valid");
        let (mut audio, mut samples) = (Audio::default(), Vec::new());
        let mut next = sent.iter().peekable();
        for tick in 0..150 {
            let now = Instant::from_millis(tick * 20 + phase);
            while let Some(sent) = next.next_if(|sent| sent.at <= now) {
                let _ = playout.push(sent.at, sent.sequence, &sent.packet, OPUS);
            }
            if playout.pull(now, &mut audio) {
                samples.extend_from_slice(&audio.samples);
            }
        }
        assert!(samples.len() > 960 * 140);
        assert_eq!(samples, expected[..samples.len()], "{phase} ms");
    }
}

#[test]
fn a_change_of_codec_is_played_through() {
    let mut sent = opus_stream(&opus::Config::default(), 20, 1_000);
    let tail = g711_stream(Law::Mu, 1_000);
    for (n, mut packet) in tail.into_iter().enumerate() {
        packet.at = Instant::from_millis(1_020 + n as u64 * 20);
        packet.sequence = 1_050 + n as u64;
        sent.push(packet);
    }
    let end = end_of(&sent);
    let played = play(&Config::default(), sent, end);
    assert_eq!(played.stats.discarded.total(), 0, "{:?}", played.stats);
    assert_eq!(played.stats.concealed_samples, 0, "{:?}", played.stats);
    assert!(played.frames.iter().all(|audio| audio.samples.len() == 960));
}

#[test]
fn pauses_are_filled_with_comfort_and_not_called_loss() {
    let coding = opus::Config { dtx: true, rate: 16_000, ..opus::Config::default() };
    let mut encoder = Encoder::new(&coding).expect("valid");
    let mut samples = voice(16_000, 1_000);
    samples.extend(core::iter::repeat_n(0, 16_000 * 3));
    samples.extend(voice(16_000, 1_000));
    let mut sent = Vec::new();
    let mut paused = false;
    for (n, chunk) in samples.chunks_exact(320).enumerate() {
        let mut packet = [0; 1500];
        let length = encoder.encode(chunk, &mut packet).expect("valid");
        let pause = length <= 2;
        // The first packet of a pause says so; the others are not sent.
        if !(pause && paused) {
            sent.push(Sent {
                at: Instant::from_millis((n as u64 + 1) * 20),
                sequence: sent.len() as u64,
                packet: rtp_packet(n as u32 * 960, Bytes::copy_from_slice(&packet[..length])),
                codec: OPUS,
            });
        }
        paused = pause;
    }
    assert!(sent.len() < 200, "{} packets: no pause was made", sent.len());
    let end = end_of(&sent);
    let stats = play(&Config::default(), sent, end).stats;
    assert_eq!(stats.concealed_samples, 0, "{stats:?}");
    assert!(stats.comfort_samples > 48_000, "{stats:?}");
}

#[test]
fn tones_take_their_place_in_the_sequence_and_are_not_called_loss() {
    let sent = opus_stream(&opus::Config::default(), 20, 2_000);
    let mut playout = Playout::new(&Config::default(), 1).expect("valid");
    let mut audio = Audio::default();
    for (n, sent) in sent.iter().enumerate() {
        if (40..48).contains(&n) {
            playout.skip(sent.at, sent.sequence);
        } else {
            let _ = playout.push(sent.at, sent.sequence, &sent.packet, OPUS);
        }
        if playout.poll_timeout().is_some_and(|due| due <= sent.at) {
            playout.pull(sent.at, &mut audio);
        }
    }
    let stats = playout.stats();
    assert_eq!(stats.concealed_samples, 0, "{stats:?}");
    assert_eq!(stats.comfort_samples, 8 * 960, "{stats:?}");
}

#[test]
fn without_decoding_the_timing_and_the_counters_are_the_same() {
    let mut state = 5;
    let mut sent = opus_stream(&opus::Config::default(), 20, 10_000);
    sent.retain(|_| !random(&mut state).is_multiple_of(20));
    let end = end_of(&sent);
    let unstretched = Config { stretch: false, ..Config::default() };
    let heard = play(&unstretched, sent.clone(), end);
    let silent = play(&Config { decode: false, ..unstretched }, sent, end);
    assert_eq!(heard.stats, silent.stats);
    assert!(silent.frames.iter().all(|audio| audio.samples.is_empty()));
    let kinds = |played: &Played| played.frames.iter().map(|a| a.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&heard), kinds(&silent));
}

/// Plays a stream of which the first packets drown, until this one.
fn play_from(sent: &[Sent], first: usize) -> Vec<Audio> {
    let mut playout = Playout::new(&Config::default(), 1).expect("valid");
    let mut frames = Vec::new();
    for (n, sent) in sent.iter().enumerate() {
        let loud = u8::from(n < first) * 60;
        playout.set_drowned(Some(40));
        let pushed = playout.push_at(sent.at, sent.sequence, &sent.packet, (OPUS, Some(loud)));
        assert_eq!(pushed, Push::Queued);
        let mut audio = Audio::default();
        if playout.poll_timeout().is_some_and(|due| due <= sent.at)
            && playout.pull(sent.at, &mut audio)
        {
            frames.push(audio);
        }
    }
    assert_eq!(playout.stats().drowned_samples, 960 * first as u64);
    frames
}

#[test]
fn what_drowns_keeps_its_time_and_what_comes_next_is_as_if_it_had_been_heard() {
    let sent = opus_stream(&opus::Config::default(), 20, 4_000);
    let whole = play_from(&sent, 0);
    let mut worst = f64::INFINITY;
    for first in [1, 2, 3, 10, 37, 58, 90, 111, 150] {
        let partly = play_from(&sent, first);
        assert_eq!(partly.len(), whole.len());
        for (n, (part, all)) in partly.iter().zip(&whole).enumerate() {
            assert_eq!(part.timestamp, all.timestamp, "{n}");
            assert_eq!(part.kind, if n < first { Kind::Drowned } else { Kind::Played }, "{n}");
            assert!(n >= first || part.samples.iter().all(|sample| *sample == 0), "{n}");
        }
        // In the first tenth of a second that is heard what is wrong must be hard to hear.
        let pairs = partly[first..first + 5].iter().zip(&whole[first..]);
        let pairs = pairs.flat_map(|(part, all)| part.samples.iter().zip(&all.samples));
        let (mut signal, mut noise) = (1.0, 1.0);
        for (part, all) in pairs {
            signal += f64::from(*all).powi(2);
            noise += (f64::from(*part) - f64::from(*all)).powi(2);
        }
        worst = worst.min(10.0 * f64::log10(signal / noise));
    }
    assert!(worst > 15.0, "{worst} dB");
}

#[test]
fn nothing_is_made_up_of_what_was_said_long_before() {
    let sent = opus_stream(&opus::Config::default(), 20, 2_000);
    let mut playout = Playout::new(&Config::default(), 1).expect("valid");
    let mut audio = Audio::default();
    for (n, sent) in sent.iter().enumerate() {
        playout.set_drowned((n > 30).then_some(40));
        // One in ten is lost, after a while.
        if n < 50 || !n.is_multiple_of(10) {
            let _ = playout.push_at(sent.at, sent.sequence, &sent.packet, (OPUS, Some(60)));
        }
        if playout.poll_timeout().is_some_and(|due| due <= sent.at) {
            playout.pull(sent.at, &mut audio);
            assert!(n < 40 || audio.samples.iter().all(|sample| *sample == 0), "{n}: {audio:?}");
        }
    }
    assert!(playout.stats().concealed_samples >= 4 * 960, "{:?}", playout.stats());
}

#[test]
fn a_packet_that_comes_twice_or_too_late_is_counted_and_not_played() {
    let sent = opus_stream(&opus::Config::default(), 20, 400);
    let mut playout = Playout::new(&Config::default(), 1).expect("valid");
    let mut audio = Audio::default();
    let push = |playout: &mut Playout, n: usize, ms: u64| {
        playout.push(Instant::from_millis(ms), sent[n].sequence, &sent[n].packet, OPUS)
    };
    assert_eq!(push(&mut playout, 0, 20), Push::Queued);
    assert_eq!(push(&mut playout, 0, 21), Push::Duplicate);
    assert_eq!(push(&mut playout, 2, 60), Push::Queued);
    assert!(playout.pull(Instant::from_millis(60), &mut audio));
    assert_eq!(push(&mut playout, 0, 61), Push::Duplicate);
    assert!(playout.pull(Instant::from_millis(80), &mut audio));
    assert_eq!(audio.kind, Kind::Concealed);
    assert_eq!(push(&mut playout, 1, 90), Push::Late);
    assert_eq!(push(&mut playout, 1, 91), Push::Duplicate);
    assert!(playout.pull(Instant::from_millis(100), &mut audio));
    assert_eq!(audio.timestamp, Some(sent[2].packet.header.timestamp));
    let far = rtp_packet(0, sent[3].packet.payload.clone());
    assert_eq!(push(&mut playout, 3, 101), Push::Queued);
    let pushed = playout.push(Instant::from_millis(102), 9_999, &far, OPUS);
    assert_eq!(pushed, Push::Discarded(Cause::Overflow));
    assert!(playout.stats().is_conserved());
    assert_eq!(playout.stats().duplicate, 3);
}

#[test]
fn a_stream_that_stops_is_no_longer_due_and_starts_anew() {
    let sent = opus_stream(&opus::Config::default(), 20, 400);
    let config = Config { idle: Duration::from_secs(2), ..Config::default() };
    let mut resumed = sent.clone();
    for sent in &mut resumed {
        sent.at += Duration::from_secs(60);
        sent.sequence += 20;
        sent.packet.header.timestamp += 60 * 48_000;
    }
    let end = end_of(&resumed);
    let played = play(&config, [sent, resumed].concat(), end);
    assert!(played.frames.len() < 200, "{}", played.frames.len());
    assert_eq!(played.stats.played, 38, "{:?}", played.stats);
}

/// A sender whose clock is this much slower than ours, with packets of `frame_ms`; once,
/// the network holds everything up for `held_ms`.
fn drifting(ppm: i64, frame_ms: u64, milliseconds: u64, held_ms: u64) -> Vec<Sent> {
    let samples = frame_ms as usize * 8;
    let held = Instant::from_millis(2_000)..Instant::from_millis(2_000 + held_ms);
    voice(8_000, milliseconds as usize)
        .chunks_exact(samples)
        .enumerate()
        .map(|(n, chunk)| {
            let mut payload = Vec::new();
            Law::Mu.encode_into(chunk, &mut payload);
            let nanos = (n as i64 + 1) * (frame_ms * 1_000_000) as i64;
            let at = Instant::from_nanos((nanos + nanos * ppm / 1_000_000) as u64);
            Sent {
                at: if held.contains(&at) { held.end } else { at },
                sequence: n as u64,
                packet: rtp_packet((n * samples) as u32, payload.into()),
                codec: Codec::Pcmu,
            }
        })
        .collect()
}

/// Samples that were made up once everything had settled.
fn made_up_later(played: &Played) -> u32 {
    played.frames.iter().skip(500).map(|audio| audio.concealed).sum()
}

#[test]
fn a_slow_clock_is_followed_however_much_a_stretch_left_over() {
    for frame_ms in [10, 20, 30, 40, 60] {
        for ppm in [200, 500] {
            let sent = drifting(ppm, frame_ms, 200_000, 0);
            let end = sent.last().expect("minutes of it").at;
            let played = play(&Config { rate: 8_000, ..Config::default() }, sent, end);
            assert_eq!(made_up_later(&played), 0, "{frame_ms} ms, {ppm} ppm: {:?}", played.stats);
            assert!(played.stats.inserted_samples_for_deceleration > 0, "{frame_ms} ms, {ppm} ppm");
        }
    }
}

/// One thing that may happen to a playout.
#[derive(Clone, Debug)]
enum Step {
    Push { after: u64, sequence: u64, timestamp: u32, payload: Vec<u8>, codec: Codec },
    Pull { after: u64 },
    Skip { sequence: u64 },
    Reset,
}

fn any_codec() -> impl Strategy<Value = Codec> {
    prop_oneof![
        6 => Just(OPUS),
        1 => Just(Codec::Opus { stereo: true }),
        1 => Just(Codec::Pcmu),
        1 => Just(Codec::Pcma),
        1 => Just(Codec::TelephoneEvent { clock_rate: 8_000 }),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let sequence = prop_oneof![8 => 0..600_u64, 1 => any::<u64>()];
    let timestamp = prop_oneof![8 => 0..600_000_u32, 1 => any::<u32>()];
    let payload = prop_oneof![
        Just(vec![0x78, 0xff, 0xfe]),
        Just(vec![0x08]),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop_oneof![
        10 => (0..40_000_000_u64, sequence, timestamp, payload, any_codec()).prop_map(
            |(after, sequence, timestamp, payload, codec)| Step::Push {
                after, sequence, timestamp, payload, codec,
            }
        ),
        10 => (0..40_000_000_u64).prop_map(|after| Step::Pull { after }),
        1 => any::<u64>().prop_map(|sequence| Step::Skip { sequence }),
        1 => Just(Step::Reset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_comes_every_packet_is_accounted_for(
        steps in prop::collection::vec(any_step(), 0..300),
        decode in any::<bool>(),
    ) {
        let config = Config { decode, ..Config::default() };
        let mut playout = Playout::new(&config, 1).expect("valid");
        let (mut now, mut audio, mut pulls) = (Instant::ZERO, Audio::default(), 0);
        for step in steps {
            match step {
                Step::Push { after, sequence, timestamp, payload, codec } => {
                    now += Duration::from_nanos(after);
                    let packet = rtp_packet(timestamp, payload.into());
                    let _ = playout.push(now, sequence, &packet, codec);
                }
                Step::Pull { after } => {
                    now += Duration::from_nanos(after);
                    pulls += u64::from(playout.pull(now, &mut audio));
                    if decode {
                        prop_assert_eq!(audio.samples.len(), 960 * usize::from(audio.channels));
                    }
                }
                Step::Skip { sequence } => playout.skip(now, sequence),
                Step::Reset => playout.reset(),
            }
            let stats = playout.stats();
            prop_assert!(stats.is_conserved(), "{:?}", stats);
            prop_assert!(stats.queued <= 256);
            prop_assert_eq!(stats.total_samples_received, pulls * 960);
            prop_assert_eq!(
                stats.jitter_buffer_emitted_count + stats.concealed_samples + stats.comfort_samples,
                stats.total_samples_received
            );
            prop_assert!(stats.silent_concealed_samples <= stats.concealed_samples);
        }
    }

    #[test]
    fn sound_never_goes_backwards_on_any_network(
        fates in prop::collection::vec((0..120_u64, 0..10_u8), 100..200),
    ) {
        let mut sent = Vec::new();
        for (n, (delay, fate)) in fates.into_iter().enumerate() {
            let at = Instant::from_millis(n as u64 * 20 + delay);
            let packet = rtp_packet(n as u32 * 960, Bytes::from_static(&[0x78, 0xff, 0xfe]));
            let one = Sent { at, sequence: n as u64, packet, codec: OPUS };
            let copies = match fate { 0 => 0, 1 => 2, _ => 1 };
            sent.extend(core::iter::repeat_n(one, copies));
        }
        prop_assume!(!sent.is_empty());
        let end = end_of(&sent);
        let played = play(&Config { decode: false, ..Config::default() }, sent, end);
        let stamps: Vec<u32> = played.frames.iter().filter_map(|a| a.timestamp).collect();
        prop_assert!(stamps.is_sorted(), "{:?}", stamps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_drift_costs_sound_whatever_was_stretched_before(
        ppm in -500..=500_i64,
        frame_ms in prop::sample::select(vec![10_u64, 20, 30, 40, 60]),
        held_ms in 0..400_u64,
        decode in any::<bool>(),
    ) {
        let sent = drifting(ppm, frame_ms, 100_000, held_ms);
        let end = sent.last().expect("minutes of it").at;
        let config = Config { rate: 8_000, decode, ..Config::default() };
        let played = play(&config, sent, end);
        prop_assert_eq!(made_up_later(&played), 0, "{:?}", played.stats);
        let last = played.frames.last().expect("played").timestamp.expect("of a packet");
        let delay = end.as_nanos() as i64 / 1_000_000 - i64::from(last) / 8;
        // What a packet lasts, what the band allows, and what drifted meanwhile.
        let most = frame_ms as i64 + 50 + (ppm.abs() * 100).div_euclid(1_000) + 20;
        prop_assert!(delay <= most, "{} ms, at most {}", delay, most);
    }
}
