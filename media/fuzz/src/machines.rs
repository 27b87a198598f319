//! Bytes as operations on what keeps a state: digits, the jitter buffer, a session.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use bytes::{Bytes, BytesMut};
use callrig_media::audio::Audio;
use callrig_media::datagram::Datagram;
use callrig_media::description::{Codec, Description, MediaDescription};
use callrig_media::dtmf::{self, Tone};
use callrig_media::event::{DropReason, Event};
use callrig_media::jitter::{Config, Playout};
use callrig_media::session::{self, Decode, Input, Output, Session};
use callrig_media::time::{Epoch, Instant, NtpTime};
use callrig_media::{jitter, rtp, stats};

/// Reports of keys, by anybody: each packet says at most two keys, none for longer than
/// there were segments, and once nothing more is heard none is held.
pub fn dtmf(data: &[u8]) {
    let _ = keys(&mut Unstructured::new(data));
}

fn keys(input: &mut Unstructured<'_>) -> Result<()> {
    let clock_rate = *input.choose(&[8_000, 16_000, 48_000, 1, u32::MAX])?;
    let mut receiver = dtmf::receive::Receiver::new(clock_rate);
    let (mut now, mut timestamp, mut packets) = (Instant::ZERO, 0_u32, 0_u32);
    while !input.is_empty() {
        now += Duration::from_millis(input.int_in_range(0..=300)?);
        receiver.handle_timeout(now);
        timestamp = match input.int_in_range(0..=3)? {
            0 => timestamp,
            1 => timestamp.wrapping_add(u32::from(input.arbitrary::<u16>()?)),
            2 => timestamp.wrapping_sub(u32::from(input.arbitrary::<u16>()?)),
            _ => input.arbitrary()?,
        };
        let header =
            rtp::Header { timestamp, marker: input.arbitrary()?, ..rtp::Header::default() };
        let length = input.int_in_range(0..=6_usize)?.min(input.len());
        let payload = Bytes::copy_from_slice(input.bytes(length)?);
        packets += 1;
        let _ = receiver.push(now, &rtp::Packet { header, payload });
        let mut said = 0;
        while let Some(tone) = receiver.poll() {
            said += 1;
            let ticks = u64::from(packets) * 0x1_0000;
            let most = ticks * 1_000_000_000 / u64::from(clock_rate);
            assert!(tone.duration <= Duration::from_nanos(most), "{tone:?}");
        }
        // The one whose end was lost before this packet, and two by it.
        assert!(said <= 3, "{said} keys by one packet");
    }
    receiver.handle_timeout(now + dtmf::receive::SILENCE_MAX);
    assert_eq!(receiver.poll_timeout(), None);
    Ok(())
}

/// The jitter buffer under any operations.
pub fn jitter(data: &[u8]) {
    let _ = play(&mut Unstructured::new(data));
}

fn any_codec(input: &mut Unstructured<'_>) -> Result<Codec> {
    let rare = [
        Codec::Opus { stereo: true },
        Codec::Pcmu,
        Codec::Pcma,
        Codec::TelephoneEvent { clock_rate: 8_000 },
    ];
    let first: u8 = input.arbitrary()?;
    Ok(rare.get(usize::from(first)).copied().unwrap_or(Codec::Opus { stereo: false }))
}

fn play(input: &mut Unstructured<'_>) -> Result<()> {
    let rate = *input.choose(&[8_000, 16_000, 48_000])?;
    let config = Config {
        rate,
        decode: input.arbitrary()?,
        stretch: input.arbitrary()?,
        fec: input.arbitrary()?,
        delay_max: Duration::from_millis(input.int_in_range(40..=2_000)?),
        ..Config::default()
    };
    let mut playout = Playout::new(&config, 1).expect("within the limits");
    let (mut now, mut audio) = (Instant::ZERO, Audio::default());
    let (mut sequence, mut timestamp) = (0_u64, 0_u32);
    let (mut pulls, mut given_up) = (0, 0);
    while !input.is_empty() {
        now += Duration::from_micros(input.int_in_range(0..=50_000)?);
        match input.arbitrary::<u8>()? {
            0..=119 => {
                let step: i8 = input.arbitrary()?;
                sequence = sequence.saturating_add_signed(i64::from(step) / 16 + 1);
                timestamp = timestamp.wrapping_add_signed((i32::from(step) / 16 + 1) * 960);
                push(&mut playout, now, sequence, timestamp, input)?;
            }
            120..=124 => {
                (sequence, timestamp) = (input.arbitrary()?, input.arbitrary()?);
                push(&mut playout, now, sequence, timestamp, input)?;
            }
            125..=127 => playout.skip(now, input.arbitrary()?),
            128 => playout.reset(),
            _ => {
                pulls += u64::from(playout.pull(now, &mut audio));
                let samples = rate as usize / 50 * usize::from(audio.channels);
                assert!(!config.decode || audio.samples.len() == samples);
            }
        }
        given_up += core::iter::from_fn(|| playout.poll_given_up()).count() as u64;
        check(&playout.stats(), pulls * u64::from(rate) / 50, given_up);
    }
    Ok(())
}

fn push(
    playout: &mut Playout,
    now: Instant,
    sequence: u64,
    timestamp: u32,
    input: &mut Unstructured<'_>,
) -> Result<()> {
    let codec = any_codec(input)?;
    let payload = match input.arbitrary::<u8>()? {
        0..=99 => Bytes::from_static(&[0x78, 0xff, 0xfe]),
        100..=119 => Bytes::from_static(&[0x08]),
        120..=159 => Bytes::from(vec![0xff; 160]),
        length => {
            let length = usize::from(length - 160).min(input.len());
            Bytes::copy_from_slice(input.bytes(length)?)
        }
    };
    let header = rtp::Header { timestamp, ..rtp::Header::default() };
    // Not of the input, which would mean something else for what was found before.
    playout.set_drowned((sequence % 4 < 2).then_some(60));
    let level = (!timestamp.is_multiple_of(3)).then_some(timestamp as u8 & 127);
    let _ = playout.push_at(now, sequence, &rtp::Packet { header, payload }, (codec, level));
    Ok(())
}

fn check(stats: &jitter::Stats, samples: u64, given_up: u64) {
    assert!(stats.is_conserved(), "{stats:?}");
    assert!(stats.queued <= jitter::playout::PACKETS_MAX as u64);
    assert_eq!(stats.total_samples_received, samples);
    let parts = stats.jitter_buffer_emitted_count + stats.concealed_samples + stats.comfort_samples;
    assert_eq!(parts, samples, "{stats:?}");
    assert!(stats.drowned_samples <= stats.jitter_buffer_emitted_count);
    assert!(stats.silent_concealed_samples <= stats.concealed_samples);
    assert!(stats.discarded.total() >= given_up, "{given_up} given up: {stats:?}");
}

/// A session of sound and pictures with its peer's datagrams, timers and commands.
pub fn session(data: &[u8]) {
    let _ = talk(&mut Unstructured::new(data));
}

fn describe(port: u16) -> Description {
    let address = SocketAddr::from(([10, 0, 0, 1], port));
    Description::audio(address).with(MediaDescription::video("v"))
}

fn talk(input: &mut Unstructured<'_>) -> Result<()> {
    let (local, remote) = (describe(4_000), describe(5_000));
    let config = session::Config {
        streams_max: 3,
        decode: *input.choose(&[Decode::Nothing, Decode::Audio, Decode::Everything])?,
        relay: input.ratio(1, 8)?,
        packet_events: input.arbitrary()?,
        in_band_tones: input.arbitrary()?,
        ..session::Config::new(local.clone(), remote.clone())
    };
    let epoch = Epoch { ntp: NtpTime::from_bits(0xe000_0000_0000_0000) };
    let mut session = Session::new(config, epoch, 1).expect("the configuration is sound");
    let mut now = Instant::ZERO;
    let mut said = BTreeMap::new();
    while !input.is_empty() {
        let until = now + Duration::from_micros(input.int_in_range(0..=200_000)?);
        while let Some(due) = session.poll_timeout().filter(|due| *due <= until) {
            now = now.max(due);
            session.handle_input(now, Input::Timeout);
            drain(&mut session, &mut said);
        }
        now = until;
        match input.arbitrary::<u8>()? {
            0..=199 => {
                let payload = datagram(input)?;
                let (source, destination) = (remote.address, local.address);
                let datagram = Datagram { source, destination, payload };
                session.handle_input(now, Input::Datagram(datagram));
            }
            200..=219 => {
                let _ = session.send_audio(now, &[100; 960]);
            }
            220..=229 => {
                let tone = Tone::from_code(input.int_in_range(0..=20)?).unwrap_or(Tone::Star);
                let duration = Duration::from_millis(input.arbitrary::<u16>()?.into());
                let _ = session.send_tone(now, tone, duration);
            }
            230..=239 => {
                let _ = session.request_key_frame(now, input.arbitrary()?);
            }
            240..=249 => {
                let length = usize::from(input.arbitrary::<u8>()?).min(input.len());
                let unit = [&[0, 0, 0, 1], input.bytes(length)?].concat();
                let _ = session.send_frame(now, 1, &unit.into(), input.arbitrary()?);
            }
            250 => session.close(now),
            _ => {}
        }
        drain(&mut session, &mut said);
        while session.poll_packet().is_some() {}
    }
    session.close(now);
    drain(&mut session, &mut said);
    conserved(&session.stats(), &said);
    Ok(())
}

/// Bytes that often look like RTP or RTCP.
fn datagram(input: &mut Unstructured<'_>) -> Result<Bytes> {
    let form: u8 = input.arbitrary()?;
    let length = usize::from(input.arbitrary::<u8>()?);
    let payload_type = match form / 32 {
        0 => return Ok(Bytes::copy_from_slice(input.bytes(length.min(input.len()))?)),
        1 => {
            let mut report = BytesMut::from(input.bytes(length.min(input.len()) & !3)?);
            if report.len() >= 4 {
                report[0] = 0x80 | report[0] & 0x1f;
                report[1] = 200 + report[1] % 7;
                let words = (report.len() / 4 - 1) as u16;
                report[2..4].copy_from_slice(&words.to_be_bytes());
            }
            return Ok(report.freeze());
        }
        2 => 0,
        3 => 101,
        4 | 5 => 102,
        _ => 111,
    };
    let header = rtp::Header {
        payload_type,
        marker: form % 2 == 1,
        sequence_number: u16::from(input.arbitrary::<u8>()?),
        timestamp: u32::from(input.arbitrary::<u8>()?) * 960,
        ssrc: u32::from(form % 32 / 8),
        ..rtp::Header::default()
    };
    let payload = Bytes::copy_from_slice(input.bytes(length.min(input.len()))?);
    Ok(rtp::Packet { header, payload }.to_bytes())
}

/// Takes everything out, and counts what the session says it dropped.
fn drain(session: &mut Session, said: &mut BTreeMap<DropReason, u64>) {
    while let Some(output) = session.poll_output() {
        match output {
            Output::Event(Event::Dropped(dropped)) => *said.entry(dropped.reason).or_default() += 1,
            Output::Event(Event::Audio(sound)) => session.recycle(sound),
            Output::Event(_) => {}
            Output::Datagram(datagram) => assert!(datagram.payload.len() <= 1_500),
        }
    }
}

/// What was counted adds up, and nothing went without a word.
fn conserved(stats: &stats::Stats, said: &BTreeMap<DropReason, u64>) {
    assert!(stats.is_conserved(), "{stats:#?}");
    assert!(stats.inbound.len() <= 3 + 64);
    for (reason, count) in &stats.dropped {
        // One event stands for all the numbers of a NACK.
        if *reason != DropReason::NotInCache {
            assert_eq!(said.get(reason), Some(count), "{reason:?}");
        }
    }
}
