//! Digits: RFC 4733 over bad networks, and tones in sound with noise and voices around.

use core::time::Duration;

use bytes::Bytes;
use callrig_media::dtmf::detect::Detector;
use callrig_media::dtmf::receive::{ReceiveError, Receiver, SILENCE_MAX};
use callrig_media::dtmf::send::{Config, Report, Sender};
use callrig_media::dtmf::synthesize::synthesize;
use callrig_media::dtmf::{Tone, ToneEvent};
use callrig_media::payload::dtmf::TelephoneEvent;
use callrig_media::rtp;
use callrig_media::time::Instant;
use proptest::prelude::*;

use crate::audio::voice;

fn packet(report: &Report) -> rtp::Packet {
    rtp::Packet {
        header: rtp::Header {
            marker: report.marker,
            timestamp: report.timestamp,
            ..rtp::Header::default()
        },
        payload: Bytes::copy_from_slice(&report.event.to_bytes()),
    }
}

/// Every report of a tone, with its time.
fn reports(
    config: Config,
    tone: Tone,
    ms: u64,
    start: Instant,
    timestamp: u32,
) -> Vec<(Instant, Report)> {
    let duration = Duration::from_millis(ms);
    let mut sender = Sender::new(config, tone, duration, start, timestamp).expect("valid");
    let mut all = Vec::new();
    while let Some(due) = sender.poll_timeout() {
        while let Some(report) = sender.pull(due) {
            all.push((due, report));
        }
    }
    all
}

/// Lets a receiver hear these, and nothing more for a while.
fn hear(clock_rate: u32, heard: &[(Instant, Report)]) -> Vec<ToneEvent> {
    let mut receiver = Receiver::new(clock_rate);
    let mut events = Vec::new();
    let mut last = Instant::ZERO;
    for (at, report) in heard {
        receiver.handle_timeout(*at);
        let _ = receiver.push(*at, &packet(report));
        events.extend(core::iter::from_fn(|| receiver.poll()));
        last = last.max(*at);
    }
    receiver.handle_timeout(last + SILENCE_MAX);
    events.extend(core::iter::from_fn(|| receiver.poll()));
    assert_eq!(receiver.poll_timeout(), None);
    events
}

#[test]
fn a_tone_goes_out_with_one_marker_updates_and_three_ends() {
    let config = Config { clock_rate: 8_000, ..Config::default() };
    let sent = reports(config, Tone::Star, 100, Instant::from_millis(7), 555);
    let shape: Vec<_> = sent
        .iter()
        .map(|(at, r)| (at.as_nanos() / 1_000_000, r.marker, r.event.end, r.event.duration))
        .collect();
    assert_eq!(
        shape,
        [
            (7, true, false, 160),
            (27, false, false, 320),
            (47, false, false, 480),
            (67, false, false, 640),
            (87, false, true, 800),
            (107, false, true, 800),
            (127, false, true, 800),
        ]
    );
    assert!(sent.iter().all(|(_, r)| r.timestamp == 555 && r.event.code == 10));
}

#[test]
fn every_tone_arrives_once_with_its_duration() {
    for (tone, clock_rate) in Tone::ALL.into_iter().zip([8_000, 48_000].into_iter().cycle()) {
        let config = Config { clock_rate, ..Config::default() };
        let events = hear(clock_rate, &reports(config, tone, 120, Instant::ZERO, 9));
        let duration = Duration::from_millis(120);
        let expected = ToneEvent { tone, timestamp: 9, duration, end_lost: false, in_band: false };
        assert_eq!(events, [expected]);
    }
}

#[test]
fn a_tone_longer_than_a_segment_is_still_one() {
    let config = Config { clock_rate: 48_000, ..Config::default() };
    let sent = reports(config, Tone::Tone5, 5_000, Instant::ZERO, u32::MAX - 10_000);
    assert!(sent.iter().any(|(_, report)| report.event.duration == 0xffff));
    let events = hear(48_000, &sent);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].duration, Duration::from_secs(5));
    // The report that completes a segment may be lost as well.
    let lossy: Vec<_> = sent.into_iter().filter(|(_, r)| r.event.duration < 0xf000).collect();
    let events = hear(48_000, &lossy);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].duration, Duration::from_secs(5));
}

#[test]
fn a_tone_whose_end_is_lost_is_reported_when_the_next_begins() {
    let config = Config { clock_rate: 8_000, ..Config::default() };
    let mut sent = reports(config, Tone::Tone1, 100, Instant::ZERO, 0);
    sent.retain(|(_, report)| !report.event.end);
    sent.extend(reports(config, Tone::Tone1, 100, Instant::from_millis(150), 1_200));
    let events = hear(8_000, &sent);
    let heard: Vec<_> = events.iter().map(|e| (e.timestamp, e.end_lost)).collect();
    assert_eq!(heard, [(0, true), (1_200, false)]);
    assert_eq!(events[0].duration, Duration::from_millis(80));
}

#[test]
fn a_tone_is_reported_when_its_marker_or_all_but_its_end_is_lost() {
    let config = Config { clock_rate: 8_000, ..Config::default() };
    let sent = reports(config, Tone::Pound, 100, Instant::ZERO, 0);
    for kept in [&sent[1..], &sent[4..5], &sent[6..]] {
        let events = hear(8_000, kept);
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!((events[0].tone, events[0].end_lost), (Tone::Pound, false));
    }
}

#[test]
fn what_is_no_digit_is_said_to_be_none() {
    let mut receiver = Receiver::new(8_000);
    let mut report = reports(Config::default(), Tone::Tone1, 40, Instant::ZERO, 0)[0].1;
    report.event.code = 36;
    let pushed = receiver.push(Instant::ZERO, &packet(&report));
    assert_eq!(pushed, Err(ReceiveError::NotATone(36)));
    report.event.code = 1;
    assert_eq!(receiver.push(Instant::ZERO, &packet(&report)), Ok(()));
    report.event.code = 2;
    let (known, stated) = (Tone::Tone1, Tone::Tone2);
    let pushed = receiver.push(Instant::ZERO, &packet(&report));
    assert_eq!(pushed, Err(ReceiveError::Contradiction { timestamp: 0, known, stated }));
}

fn any_tone() -> impl Strategy<Value = Tone> {
    (0..17_u8).prop_map(|code| Tone::from_code(code).expect("in range"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn each_digit_is_heard_exactly_once_whatever_happens_to_its_reports(
        digits in prop::collection::vec((any_tone(), 40..200_u64, 40..200_u64), 1..12),
        first in any::<u32>(),
        fates in prop::collection::vec((0..10_u8, 0..60_u64), 200),
    ) {
        let config = Config { clock_rate: 8_000, ..Config::default() };
        let (mut at, mut sent) = (0, Vec::new());
        let mut fate = fates.iter().cycle();
        let mut expected = Vec::new();
        for (tone, ms, pause) in digits {
            let timestamp = first.wrapping_add(at as u32 * 8);
            let reports = reports(config, tone, ms, Instant::from_millis(at), timestamp);
            let mut survived = false;
            let count = reports.len();
            for (n, (at, report)) in reports.into_iter().enumerate() {
                let (what, late) = *fate.next().expect("a cycle");
                // Three in ten are lost, but of each digit one report comes through.
                let lost = what < 3 && (survived || n + 1 < count);
                for _ in 0..if lost { 0 } else if what == 9 { 2 } else { 1 } {
                    survived = true;
                    sent.push((at + Duration::from_millis(late), report));
                }
            }
            expected.push((tone, timestamp));
            at += ms + pause;
        }
        sent.sort_by_key(|(at, _)| *at);
        let mut heard: Vec<_> =
            hear(8_000, &sent).iter().map(|e| (e.tone, e.timestamp)).collect();
        heard.sort_by_key(|(_, timestamp)| timestamp.wrapping_sub(first));
        prop_assert_eq!(heard, expected);
    }

    #[test]
    fn an_event_that_is_written_is_read_back(
        code in any::<u8>(), end in any::<bool>(), volume in 0..64_u8, duration in any::<u16>(),
    ) {
        let event = TelephoneEvent { code, end, volume, duration };
        prop_assert_eq!(TelephoneEvent::parse(&event.to_bytes()), Ok(event));
        let mut written = bytes::BytesMut::new();
        event.write(&mut written);
        prop_assert_eq!(&written[..], event.to_bytes());
    }

    #[test]
    fn any_reports_are_survived(
        reports in prop::collection::vec((any::<[u8; 4]>(), any::<u32>(), any::<bool>()), 0..60),
        bytes in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut receiver = Receiver::new(8_000);
        for (n, (payload, timestamp, marker)) in reports.iter().enumerate() {
            let event = TelephoneEvent::parse(payload).expect("four bytes");
            let report = Report { event, marker: *marker, timestamp: *timestamp };
            let now = Instant::from_millis(n as u64 * 30);
            receiver.handle_timeout(now);
            let _ = receiver.push(now, &packet(&report));
            let mut count = 0;
            while receiver.poll().is_some() {
                count += 1;
            }
            prop_assert!(count <= 2);
        }
        let parsed = TelephoneEvent::parse(&bytes);
        prop_assert_eq!(parsed.is_ok(), bytes.len() >= 4);
    }

    #[test]
    fn what_is_generated_is_detected_even_in_noise(
        digits in prop::collection::vec((0..16_u8, 40..150_u64, 40..150_u64), 1..6),
        rate in prop::sample::select(vec![8_000_u32, 16_000, 48_000]),
        amplitude in 1_000..10_000_i16,
        seed in any::<u64>(),
    ) {
        let mut samples = vec![0; rate as usize / 20];
        let mut expected = Vec::new();
        for (code, ms, pause) in digits {
            let tone = Tone::from_code(code).expect("in range");
            let duration = Duration::from_millis(ms);
            expected.push((tone, samples.len() as u32, duration));
            synthesize(tone, duration, rate, amplitude, &mut samples);
            samples.resize(samples.len() + (pause * u64::from(rate) / 1000) as usize, 0);
        }
        samples.resize(samples.len() + rate as usize / 10, 0);
        let mut state = seed;
        let noise = i64::from(amplitude) / 5;
        for sample in &mut samples {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = (state >> 33) as i64 % (2 * noise + 1) - noise;
            *sample = (i64::from(*sample) + random) as i16;
        }
        let heard = detect(rate, &samples);
        let tones: Vec<_> = heard.iter().map(|event| event.tone).collect();
        let sought: Vec<_> = expected.iter().map(|(tone, ..)| *tone).collect();
        prop_assert_eq!(tones, sought);
        for (event, (_, start, duration)) in heard.iter().zip(expected) {
            let off = i64::from(event.timestamp) - i64::from(start);
            prop_assert!(off.abs() <= i64::from(rate) / 50, "{} samples", off);
            let longer = event.duration.as_millis() as i64 - duration.as_millis() as i64;
            prop_assert!(longer.abs() <= 25, "{} ms", longer);
        }
    }
}

fn detect(rate: u32, samples: &[i16]) -> Vec<ToneEvent> {
    let mut detector = Detector::new(rate, 1);
    let mut events = Vec::new();
    let frame = rate as usize / 50;
    for (n, chunk) in samples.chunks(frame).enumerate() {
        detector.push(chunk, (n * frame) as u32, rate);
        events.extend(core::iter::from_fn(|| detector.poll()));
    }
    detector.finish();
    events.extend(core::iter::from_fn(|| detector.poll()));
    events
}

/// Two sines, in parts per thousand off the frequencies of a tone.
fn off_tune(per_mille: f64, rows_louder: f64) -> Vec<i16> {
    let (row, column) = (770.0 * (1.0 + per_mille / 1e3), 1_477.0 * (1.0 + per_mille / 1e3));
    (0..4_000)
        .map(|n| {
            let time = core::f64::consts::TAU * f64::from(n) / 8_000.0;
            let sum = rows_louder * (row * time).sin() + (column * time).sin();
            (sum * 4_000.0) as i16
        })
        .collect()
}

#[test]
fn a_tone_may_be_off_by_a_little_and_twisted_by_a_little_but_not_more() {
    for (per_mille, louder) in [(15.0, 1.0), (-15.0, 1.0), (0.0, 1.9), (0.0, 0.67)] {
        assert_eq!(detect(8_000, &off_tune(per_mille, louder)).len(), 1, "{per_mille} {louder}");
    }
    for (per_mille, louder) in [(35.0, 1.0), (-35.0, 1.0), (0.0, 4.0), (0.0, 0.3)] {
        assert_eq!(detect(8_000, &off_tune(per_mille, louder)).len(), 0, "{per_mille} {louder}");
    }
}

#[test]
fn a_voice_is_no_tone() {
    for rate in [8_000, 16_000, 48_000] {
        assert_eq!(detect(rate, &voice(rate, 60_000)), []);
    }
}

#[test]
fn a_tone_too_short_to_be_meant_is_not_heard() {
    let mut samples = vec![0; 800];
    synthesize(Tone::Tone5, Duration::from_millis(20), 8_000, 8_000, &mut samples);
    samples.resize(samples.len() + 800, 0);
    assert_eq!(detect(8_000, &samples), []);
}
