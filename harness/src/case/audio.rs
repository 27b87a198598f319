//! Sound that the bot's session played, against what the judges decode and count
//! themselves: nothing out of order, nothing twice, nothing made up without a cause, and
//! bit for bit the codec's own where the network did no harm. When and how well it sounded
//! is told by `listening`.

use callrig_media::audio::Kind;
use callrig_media::description::Codec;
use callrig_media::event::{DropReason, Event};
use callrig_media::jitter;
use callrig_media::stats::{Inbound, Track};
use callrig_media::time::Instant;
use callrig_reports::metric::registry as metrics;
use callrig_reports::{Mark, MarkKind, Metric, mark};
use sha1::Digest as _;

use super::rule::{Rule, requirements};
use super::view;
use super::{Case, Evidence, Judgement};
use crate::measure::arrivals::Arrived;
use crate::measure::direct::Decoded;
use crate::measure::heard::{self, Playback};
use crate::measure::latency::Capture;
use crate::measure::payloads::{self, Carried};
use crate::measure::reception::Reception;
use crate::measure::{exact, exact::Exactness};
use crate::network::Network;
use crate::said::Said;
use crate::stage::Stage;
use crate::subject::Subject;
use crate::trace::Heard;

/// All cases of this file.
pub const CASES: &[Case] = &[
    Case {
        id: "audio/in-order",
        title: "what is played never goes back in the sender's time",
        requirements: || requirements(&[FORWARD]),
        stage: Stage::Listen,
        applies,
        judge: in_order,
    },
    Case {
        id: "audio/conservation",
        title: "every packet and every sample of the playout is accounted for",
        requirements: || requirements(&[PACKETS, SAMPLES, MADE_UP]),
        stage: Stage::Listen,
        applies,
        judge: conservation,
    },
    Case {
        id: "audio/bit-exact-on-clean",
        title: "without damage, what is played is what the codec decodes, sample for sample",
        requirements: || requirements(&[EXACT, UNTOUCHED, DIGEST]),
        stage: Stage::Listen,
        applies: |subject, network| regular(subject, network) && network.name == "clean",
        judge: bit_exact,
    },
    Case {
        id: "audio/concealment-only-for-loss",
        title: "sound is made up only where it was lost or late",
        requirements: || requirements(&[BOUNDED, NONE_ON_CLEAN]),
        stage: Stage::Listen,
        applies: regular,
        judge: concealment,
    },
    Case {
        id: "audio/late-packets-not-played",
        title: "what was given up as late is not played after all",
        requirements: || requirements(&[GIVEN_UP]),
        stage: Stage::Listen,
        applies: regular,
        judge: late_packets,
    },
];

/// A sender whose packets come this evenly is played without being touched: it is less than
/// the least delay of the jitter buffer.
const EVEN_SECONDS_MAX: f64 = 0.015;

const FORWARD: Rule = Rule::must(
    "audio/in-order/forward",
    "RFC 3550 section 5.1",
    "Sound is played in the order of its timestamps, and none of it twice.",
);
const PACKETS: Rule = Rule::must(
    "audio/conservation/packets",
    "this project",
    "Packets that entered the jitter buffer were played, late, duplicate, discarded, or still wait.",
);
const SAMPLES: Rule = Rule::must(
    "audio/conservation/samples",
    "webrtc-stats totalSamplesReceived",
    "The samples that are counted as played are those that were handed out.",
);
const MADE_UP: Rule = Rule::must(
    "audio/conservation/made-up-samples",
    "webrtc-stats concealedSamples",
    "Every sample came out of a packet, was concealed, or fills a pause of the sender; the counts say how many.",
);
const EXACT: Rule = Rule::must(
    "audio/bit-exact-on-clean/as-decoded",
    "RFC 6716 section 6; ITU-T G.711",
    "What is played unstretched equals a direct decoding of the packets, sample for sample.",
);
const UNTOUCHED: Rule = Rule::must(
    "audio/bit-exact-on-clean/untouched",
    "this project",
    "Sound that arrives whole and evenly is neither stretched nor concealed once it plays.",
);
const DIGEST: Rule = Rule::must(
    "audio/bit-exact-on-clean/digest",
    "the recording's manifest entry",
    "The packets decode to the samples whose digest the recording states.",
);
const BOUNDED: Rule = Rule::must(
    "audio/concealment-only-for-loss/bounded",
    "webrtc-stats concealedSamples",
    "No more is made up than was lost, late or discarded, and than the playing had to wait for late packets.",
);
const NONE_ON_CLEAN: Rule = Rule::must(
    "audio/concealment-only-for-loss/none-on-clean",
    "webrtc-stats concealedSamples",
    "Without loss and delay nothing is made up between the first and the last packet, but for the sender's pauses.",
);
const GIVEN_UP: Rule = Rule::must(
    "audio/late-packets-not-played/given-up",
    "RFC 3550 section 6.4.1; webrtc-stats packetsDiscarded",
    "A packet that was dropped as late contributes nothing to what is played afterwards.",
);

fn applies(subject: &Subject, _: &Network) -> bool {
    subject.has_audio()
}

fn regular(subject: &Subject, network: &Network) -> bool {
    applies(subject, network) && view::is_regular(subject)
}

/// The recording was made without damage.
pub(super) fn is_undamaged(subject: &Subject) -> bool {
    let tagged = |word: &str| subject.tags.iter().any(|tag| tag == word);
    // What was put into packets here had no network yet.
    let made_here = subject.flows.iter().all(|flow| flow.source == "file");
    !tagged("damaged") && (tagged("clean") || made_here)
}

/// One source that the bot listened to.
pub(super) struct Sound<'a> {
    /// Its synchronisation source.
    pub ssrc: u32,
    /// Ticks of its RTP clock in a second.
    pub clock_rate: u32,
    /// What was played of it, by layout.
    pub playbacks: Vec<Playback<'a>>,
    /// What the bot's session said about it; twice, if it ended and came back.
    pub inbound: Vec<&'a Inbound>,
    /// Its packets of sound that reached the bot, as they arrived.
    pub delivered: Vec<Carried>,
}

/// A source with one codec, one layout and one run of numbers: all but the recordings that
/// are about changes.
pub(super) struct Plain<'s, 'a> {
    pub codec: Codec,
    pub playback: &'s Playback<'a>,
    pub reception: Reception,
}

impl<'a> Sound<'a> {
    pub(super) fn label(&self) -> String {
        format!("{:#010x}", self.ssrc)
    }

    /// A counter of the playout.
    pub(super) fn count(&self, counter: impl Fn(&jitter::Stats) -> u64) -> u64 {
        self.playouts().map(counter).sum()
    }

    pub(super) fn playouts(&self) -> impl Iterator<Item = &'a jitter::Stats> + '_ {
        self.inbound.iter().filter_map(|stream| match &stream.track {
            Track::Sound { playout, .. } => Some(playout),
            _ => None,
        })
    }

    pub(super) fn plain(&self, subject: &Subject) -> Option<Plain<'_, 'a>> {
        let codec = view::codec(subject, self.delivered.first()?.packet.payload_type)?;
        let same = |carried: &Carried| view::codec(subject, carried.packet.payload_type);
        let [playback] = &self.playbacks[..] else { return None };
        if self.delivered.iter().any(|carried| same(carried) != Some(codec)) {
            return None;
        }
        let packets: Vec<Arrived> = self.delivered.iter().map(|one| one.packet).collect();
        let reception = Reception::of(&packets, self.ssrc, self.clock_rate);
        reception.one_run.then_some(Plain { codec, playback, reception })
    }
}

/// Everything that the bot listened to, or why that cannot be known.
pub(super) fn sounds<'a>(evidence: &Evidence<'a>) -> Result<Vec<Sound<'a>>, String> {
    let stats = view::bot_stats(evidence).ok_or("the bot's session gave no account of itself")?;
    let cast = evidence.cast;
    let delivered = payloads::delivered(evidence.trace, cast.platform, cast.bot);
    let is_sound = |carried: &&Carried| {
        let codec = view::codec(evidence.subject, carried.packet.payload_type);
        codec.is_some_and(Codec::is_audio)
    };
    let mut list: Vec<Sound<'a>> = Vec::new();
    for stream in &stats.inbound {
        if !matches!(stream.track, Track::Sound { .. }) {
            continue;
        }
        if let Some(sound) = list.iter_mut().find(|sound| sound.ssrc == stream.ssrc) {
            sound.inbound.push(stream);
            continue;
        }
        let of_it = |carried: &&Carried| carried.packet.ssrc == stream.ssrc;
        list.push(Sound {
            ssrc: stream.ssrc,
            clock_rate: stream.clock_rate,
            playbacks: Vec::new(),
            inbound: vec![stream],
            delivered: delivered.iter().filter(is_sound).filter(of_it).cloned().collect(),
        });
    }
    for playback in heard::by(evidence.trace, cast.bot) {
        match list.iter_mut().find(|sound| sound.ssrc == playback.track.ssrc) {
            Some(sound) => sound.playbacks.push(playback),
            None => {
                return Err(format!("no stream has what was heard of {}", playback.track.ssrc));
            }
        }
    }
    Ok(list)
}

/// Judges each source by `check`.
pub(super) fn each_sound(
    evidence: &Evidence<'_>,
    mut check: impl FnMut(&Sound<'_>, &mut Judgement),
) -> Judgement {
    let sounds = match sounds(evidence) {
        Ok(sounds) => sounds,
        Err(reason) => return Judgement::error(reason),
    };
    let mut judgement = Judgement::default();
    for sound in &sounds {
        check(sound, &mut judgement);
    }
    judgement.marks = mark::bounded(core::mem::take(&mut judgement.marks), Mark::MAX_PER_KIND);
    judgement
}

/// Packets that the bot's session dropped as late: when, and their numbers.
pub(super) fn late(evidence: &Evidence<'_>, ssrc: u32) -> Vec<(Instant, u16)> {
    let dropped = evidence.trace.said_by(evidence.cast.bot).filter_map(|(at, said)| match said {
        Said::Media(_, event) => match &**event {
            Event::Dropped(dropped) if dropped.ssrc == Some(ssrc) => Some((at, *dropped)),
            _ => None,
        },
        _ => None,
    });
    dropped
        .filter(|(_, dropped)| dropped.reason == DropReason::Late)
        .filter_map(|(at, dropped)| Some((at, dropped.sequence_number?)))
        .collect()
}

pub(super) fn milliseconds(at: Instant) -> f64 {
    at.as_nanos() as f64 / 1e6
}

fn in_order(evidence: &Evidence<'_>) -> Judgement {
    each_sound(evidence, |sound, judgement| {
        // Without one clock all through, only the beginnings of frames can be compared.
        let ticks = sound.plain(evidence.subject).map_or(1, |_| sound.clock_rate / 50);
        // A sender whose clock goes back is played in the order of its numbers.
        let counted = sound.count(|playout| playout.discontinuities) as usize;
        let jumps = counted.max(turns(sound));
        for playback in &sound.playbacks {
            let steps = heard::steps_back(&playback.frames, ticks);
            if steps.len() > jumps {
                let lines = steps.iter().take(10).map(|step| {
                    let at = milliseconds(step.at);
                    let (from, to) = (step.reached, step.timestamp);
                    format!("at {at:.3} ms: timestamp {to} although {from} had been reached")
                });
                judgement.findings.push(
                    FORWARD
                        .broken(
                            format!("{}: at most {jumps} jumps of the sender", sound.label()),
                            format!("{} steps back", steps.len()),
                        )
                        .with_evidence(lines),
                );
            }
        }
    })
}

/// How often the sender's own timestamps go back, in the order of its numbers.
fn turns(sound: &Sound<'_>) -> usize {
    let packets = payloads::in_sequence(&sound.delivered, sound.ssrc);
    let stamps: Vec<u32> = packets.iter().map(|(_, one)| one.packet.timestamp).collect();
    stamps.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]).cast_signed() < 0).count()
}

fn conservation(evidence: &Evidence<'_>) -> Judgement {
    each_sound(evidence, |sound, judgement| {
        let label = sound.label();
        for playout in sound.playouts().filter(|playout| !playout.is_conserved()) {
            judgement.findings.push(
                PACKETS
                    .broken(format!("{label}: one fate for each packet"), "none or two for one")
                    .with_evidence([format!("{playout:?}")]),
            );
        }
        let frames: u64 = sound.playbacks.iter().map(handed_out).sum();
        let total = sound.count(|playout| playout.total_samples_received);
        if frames != total {
            judgement
                .findings
                .push(SAMPLES.broken(format!("{label}: {frames} samples"), format!("{total}")));
        }
        let made_up: u64 = sound
            .playbacks
            .iter()
            .flat_map(|playback| &playback.frames)
            .map(|(_, heard)| u64::from(heard.concealed))
            .sum();
        let stated = sound.count(|playout| playout.concealed_samples + playout.comfort_samples);
        let emitted = sound.count(|playout| playout.jitter_buffer_emitted_count);
        if made_up != stated || emitted + stated != total {
            judgement.findings.push(MADE_UP.broken(
                format!("{label}: {made_up} made up, {} out of packets", frames - made_up),
                format!("{stated} made up, {emitted} out of packets"),
            ));
        }
        report_playout(sound, judgement);
    })
}

/// Samples per channel that were handed out.
fn handed_out(playback: &Playback<'_>) -> u64 {
    playback.frames.len() as u64 * u64::from(playback.frame())
}

fn report_playout(sound: &Sound<'_>, judgement: &mut Judgement) {
    let sum = |seconds: fn(&jitter::Stats) -> f64| -> f64 { sound.playouts().map(seconds).sum() };
    let emitted = sound.count(|playout| playout.jitter_buffer_emitted_count);
    let delay = sum(|playout| playout.jitter_buffer_delay);
    let mean = (emitted > 0).then(|| delay / emitted as f64);
    let counters: [(_, fn(&jitter::Stats) -> u64); 5] = [
        (&metrics::JITTER_BUFFER_EMITTED_COUNT, |playout| playout.jitter_buffer_emitted_count),
        (&metrics::TOTAL_SAMPLES_RECEIVED, |playout| playout.total_samples_received),
        (&metrics::INSERTED_SAMPLES, |playout| playout.inserted_samples_for_deceleration),
        (&metrics::REMOVED_SAMPLES, |playout| playout.removed_samples_for_acceleration),
        (&metrics::FEC_PACKETS_RECEIVED, |playout| playout.fec_packets_received),
    ];
    let delays = [
        Metric::new(&metrics::JITTER_BUFFER_DELAY, delay),
        Metric::new(
            &metrics::JITTER_BUFFER_TARGET_DELAY,
            sum(|playout| playout.jitter_buffer_target_delay),
        ),
        Metric::new(
            &metrics::JITTER_BUFFER_MINIMUM_DELAY,
            sum(|playout| playout.jitter_buffer_minimum_delay),
        ),
        Metric::new(&metrics::JITTER_BUFFER_DELAY_MEAN, mean),
    ];
    let counts =
        counters.into_iter().map(|(metric, counter)| Metric::new(metric, sound.count(counter)));
    let recovered = Metric::new(&metrics::FEC_RECOVERED, recovered(sound));
    let all = delays.into_iter().chain(counts).chain([recovered]);
    judgement.metrics.extend(all.map(|metric| metric.labelled(sound.label())));
}

/// Packets whose sound came out of their successors.
fn recovered(sound: &Sound<'_>) -> u64 {
    let packets: Vec<Arrived> = sound.delivered.iter().map(|one| one.packet).collect();
    let step = Capture::of(&packets, sound.ssrc, sound.clock_rate).step().unsigned_abs();
    let rate = sound.playbacks.first().map_or(0, |playback| u64::from(playback.track.rate));
    let samples = step * rate / u64::from(sound.clock_rate.max(1));
    sound.count(|playout| playout.recovered_samples).checked_div(samples).unwrap_or(0)
}

fn bit_exact(evidence: &Evidence<'_>) -> Judgement {
    each_sound(evidence, |sound, judgement| {
        let Some(plain) = sound.plain(evidence.subject) else { return };
        stated_digest(evidence, sound, &plain, judgement);
        let spoken = plain.playback.spoken();
        let Some(first) = spoken.iter().find_map(|(_, heard)| heard.timestamp) else { return };
        let packets = payloads::in_sequence(&sound.delivered, sound.ssrc);
        let played = packets.iter().skip_while(|(_, carried)| carried.packet.timestamp != first);
        let played = played.map(|(_, carried)| (carried.packet.timestamp, &carried.payload[..]));
        let Some(decoded) = Decoded::of(played, plain.codec, plain.playback.track.rate) else {
            judgement.error = Some(format!("{} cannot be decoded directly", sound.label()));
            return;
        };
        let exactness = exact::compare(plain.playback, &decoded, plain.codec);
        report_exactness(evidence, sound, &plain, &exactness, judgement);
        if exactness.touched == 0 {
            let mut digest = sha2::Sha256::new();
            for (_, heard) in spoken {
                for sample in plain.playback.samples(heard) {
                    digest.update(sample.to_le_bytes());
                }
            }
            let digest = hexadecimal(&digest.finalize());
            judgement
                .metrics
                .push(Metric::new(&metrics::DECODED_DIGEST, digest).labelled(sound.label()));
        }
    })
}

fn report_exactness(
    evidence: &Evidence<'_>,
    sound: &Sound<'_>,
    plain: &Plain<'_, '_>,
    exactness: &Exactness,
    judgement: &mut Judgement,
) {
    let label = sound.label();
    if let Some(difference) = &exactness.difference {
        let at = milliseconds(difference.at);
        let (timestamp, sample) = (difference.timestamp, difference.sample);
        let expected = match difference.expected {
            Some(expected) => format!("{label}: {expected}"),
            None => format!("{label}: sound that was sent"),
        };
        judgement.findings.push(
            EXACT.broken(expected, difference.actual.to_string()).with_evidence([
                format!(
                    "sample {sample} of the frame of timestamp {timestamp}, played at {at:.3} ms"
                ),
                format!(
                    "{} frames compared, {} stretched or made up, {} after those",
                    exactness.compared, exactness.touched, exactness.beyond
                ),
            ]),
        );
    }
    // A sender's pause is filled by design.
    let touched = |kind: Kind| kind != Kind::Played && kind != Kind::Comfort;
    let spoken = plain.playback.spoken();
    let touched = |(_, heard): &&(Instant, Heard)| touched(heard.kind);
    let first = spoken.iter().find(touched);
    let touched = spoken.iter().filter(touched).count();
    let paused = excuses(evidence, sound, plain).paused > 0.0;
    if touched > 0 && !paused && is_even(evidence, sound, plain) {
        let line = first.map(|(at, heard)| {
            format!(
                "{:?} at {:.3} ms, timestamp {:?}",
                heard.kind,
                milliseconds(*at),
                heard.timestamp
            )
        });
        judgement.findings.push(
            UNTOUCHED
                .broken(
                    format!("{label}: {} frames as decoded", spoken.len()),
                    format!("{touched} of them stretched or made up"),
                )
                .with_evidence(line),
        );
    }
}

/// The digest that the recording states: SHA-1 of 16-bit samples, low byte first, at 48 kHz
/// for Opus and 8 kHz for G.711.
fn stated_digest(
    evidence: &Evidence<'_>,
    sound: &Sound<'_>,
    plain: &Plain<'_, '_>,
    judgement: &mut Judgement,
) {
    let subject = evidence.subject;
    let (Some(stated), [_]) = (&subject.truth.decoded_digest, &subject.flows[..]) else { return };
    let cast = evidence.cast;
    let sent = payloads::sent(evidence.trace, cast.user, cast.platform);
    let packets = payloads::in_sequence(&sent, sound.ssrc);
    let packets = packets
        .iter()
        .filter(|(_, one)| view::codec(subject, one.packet.payload_type) == Some(plain.codec))
        .map(|(_, carried)| (carried.packet.timestamp, &carried.payload[..]));
    let Some(decoded) = Decoded::of(packets, plain.codec, plain.codec.clock_rate()) else { return };
    let mut digest = sha1::Sha1::new();
    for sample in &decoded.samples {
        digest.update(sample.to_le_bytes());
    }
    let actual = hexadecimal(&digest.finalize());
    if stated.to_string() != actual {
        judgement.findings.push(DIGEST.broken(stated.to_string(), actual));
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why sound may have been made up, in seconds of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Excuses {
    /// Between packets that were played, where one is missing.
    lost: f64,
    /// Between packets of sound that the sender meant to be apart: it paused without saying
    /// so, or pressed a key. A receiver cannot tell until it is over.
    paused: f64,
    /// By how much the slowest packet was behind the fastest.
    waiting: f64,
    /// What was taken out to catch up, and may have to be waited for again.
    removed: f64,
}

impl Excuses {
    /// The most that may be made up: all of it, and a frame at each end.
    fn seconds(&self) -> f64 {
        self.lost + self.paused + self.waiting + self.removed + 0.04
    }
}

/// A packet of sound that can be played.
#[derive(Clone, Copy, Debug)]
struct Usable {
    number: i64,
    timestamp: u32,
    ticks: i64,
}

/// Seconds without sound between packets, where a number is missing in between and where
/// none is. `numbers` are those of which anything arrived; both ascend.
fn gaps(packets: &[Usable], numbers: &[i64], clock_rate: u32) -> (f64, f64) {
    let (mut lost, mut paused) = (0, 0);
    for pair in packets.windows(2) {
        let step = i64::from(pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed());
        let gap = (step - pair[0].ticks).max(0);
        let between = (pair[1].number - pair[0].number - 1) as usize;
        let from = numbers.partition_point(|number| *number <= pair[0].number);
        let to = numbers.partition_point(|number| *number < pair[1].number);
        *(if to - from == between { &mut paused } else { &mut lost }) += gap;
    }
    let seconds = |ticks: i64| ticks as f64 / f64::from(clock_rate.max(1));
    (seconds(lost), seconds(paused))
}

fn excuses(evidence: &Evidence<'_>, sound: &Sound<'_>, plain: &Plain<'_, '_>) -> Excuses {
    let given_up: Vec<u16> = late(evidence, sound.ssrc).iter().map(|(_, number)| *number).collect();
    let cast = evidence.cast;
    let all = payloads::delivered(evidence.trace, cast.platform, cast.bot);
    let is_usable = |one: &Carried| !given_up.contains(&one.packet.sequence_number);
    let all = payloads::in_sequence(&all, sound.ssrc);
    let numbers: Vec<i64> =
        all.iter().filter(|(_, one)| is_usable(one)).map(|(number, _)| *number).collect();
    let arrived: Vec<Arrived> = sound.delivered.iter().map(|one| one.packet).collect();
    let ticks = Capture::of(&arrived, sound.ssrc, sound.clock_rate).step();
    let is_sound =
        |one: &Carried| view::codec(evidence.subject, one.packet.payload_type) == Some(plain.codec);
    let usable: Vec<Usable> = all
        .iter()
        .filter(|(_, one)| is_usable(one) && is_sound(one))
        .map(|(number, one)| Usable { number: *number, timestamp: one.packet.timestamp, ticks })
        .collect();
    let (lost, paused) = gaps(&usable, &numbers, sound.clock_rate);
    let rate = f64::from(plain.playback.track.rate);
    let removed = sound.count(|playout| playout.removed_samples_for_acceleration);
    let waiting = variation_seconds(sound, plain);
    Excuses { lost, paused, waiting, removed: removed as f64 / rate }
}

/// By how much the slowest packet was behind the fastest.
fn variation_seconds(sound: &Sound<'_>, plain: &Plain<'_, '_>) -> f64 {
    let variation = plain.reception.delay_variation_nanos(sound.clock_rate);
    variation.iter().max().copied().unwrap_or(0) as f64 / 1e9
}

/// The recording has no damage, and its sender kept time well enough for a jitter buffer of
/// the least delay: then there is no reason to touch anything.
fn is_even(evidence: &Evidence<'_>, sound: &Sound<'_>, plain: &Plain<'_, '_>) -> bool {
    view::is_clean(evidence)
        && is_undamaged(evidence.subject)
        && variation_seconds(sound, plain) <= EVEN_SECONDS_MAX
}

fn concealment(evidence: &Evidence<'_>) -> Judgement {
    each_sound(evidence, |sound, judgement| {
        let label = sound.label();
        mark_playout(sound, judgement);
        let spoken = || sound.playbacks.iter().map(Playback::spoken);
        let (samples, events) = spoken()
            .map(heard::concealment)
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let silent: u64 = spoken()
            .flatten()
            .filter(|(_, heard)| heard.kind == Kind::Silence)
            .map(|(_, heard)| u64::from(heard.concealed))
            .sum();
        judgement.metrics.extend(
            [
                Metric::new(&metrics::CONCEALED_SAMPLES, samples),
                Metric::new(&metrics::SILENT_CONCEALED_SAMPLES, silent),
                Metric::new(&metrics::CONCEALMENT_EVENTS, events),
            ]
            .map(|metric| metric.labelled(label.clone())),
        );
        let Some(plain) = sound.plain(evidence.subject) else { return };
        let seconds = samples as f64 / f64::from(plain.playback.track.rate);
        let excuses = excuses(evidence, sound, &plain);
        if seconds > excuses.seconds() {
            judgement.findings.push(
                BOUNDED
                    .broken(
                        format!("{label}: at most {:.3} s made up", excuses.seconds()),
                        format!("{seconds:.3} s"),
                    )
                    .with_evidence([format!("{excuses:?}")]),
            );
        }
        // Half a millisecond is less than anybody conceals.
        if seconds > excuses.paused + 0.000_5 && is_even(evidence, sound, &plain) {
            let paused = excuses.paused;
            judgement.findings.push(NONE_ON_CLEAN.broken(
                format!("{label}: no more than {paused:.3} s, in the sender's own pauses"),
                format!("{seconds:.3} s"),
            ));
        }
    })
}

/// Marks what was not played as it was sent. Frames in a row become one mark.
fn mark_playout(sound: &Sound<'_>, judgement: &mut Judgement) {
    for playback in &sound.playbacks {
        let mut open: Option<Mark> = None;
        for (at, heard) in playback.spoken() {
            let kind = match heard.kind {
                Kind::Concealed | Kind::Silence => Some(MarkKind::Concealed),
                Kind::Stretched => Some(MarkKind::Stretched),
                _ => None,
            };
            match (&mut open, kind) {
                (Some(mark), Some(kind)) if mark.kind == kind => mark.duration_ms += 20.0,
                (_, kind) => {
                    judgement.marks.extend(open.take());
                    open = kind.map(|kind| Mark::at(kind, milliseconds(*at)).lasting(20.0));
                }
            }
        }
        judgement.marks.extend(open);
    }
}

fn late_packets(evidence: &Evidence<'_>) -> Judgement {
    each_sound(evidence, |sound, judgement| {
        let given_up = late(evidence, sound.ssrc);
        let counted = sound.count(|playout| playout.late);
        judgement
            .metrics
            .push(Metric::new(&metrics::PACKETS_LATE, counted).labelled(sound.label()));
        let marks = given_up.iter().map(|(at, _)| Mark::at(MarkKind::Late, milliseconds(*at)));
        judgement.marks.extend(marks);
        let Some(plain) = sound.plain(evidence.subject) else { return };
        for (dropped, number) in given_up {
            let packet = sound
                .delivered
                .iter()
                .map(|one| &one.packet)
                .find(|packet| packet.sequence_number == number && packet.at <= dropped);
            let Some(packet) = packet else { continue };
            let again = plain.playback.frames.iter().find(|(at, heard)| {
                *at > dropped && heard.timestamp == Some(packet.timestamp) && heard.concealed == 0
            });
            if let Some((at, _)) = again {
                judgement.findings.push(
                    GIVEN_UP
                        .broken("silence about it", "its first sample was played")
                        .with_evidence([format!(
                            "packet {number}, timestamp {}, late at {:.3} ms, played at {:.3} ms",
                            packet.timestamp,
                            milliseconds(dropped),
                            milliseconds(*at)
                        )]),
                );
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_told_from_a_pause_and_from_a_key_press() {
        // 20 ms packets at 8 kHz. Number 3 is missing; a pause of 100 ms follows 4; 6 and 7
        // are telephone events of 40 ms.
        let usable = |number, timestamp| Usable { number, timestamp, ticks: 160 };
        let packets =
            [usable(1, 0), usable(2, 160), usable(4, 480), usable(5, 1_440), usable(8, 1_920)];
        let numbers = [1, 2, 4, 5, 6, 7, 8];
        let (lost, paused) = gaps(&packets, &numbers, 8_000);
        assert!((lost - 0.02).abs() < 1e-9, "{lost}");
        assert!((paused - 0.14).abs() < 1e-9, "{paused}");
        assert_eq!(gaps(&packets[..2], &numbers, 8_000), (0.0, 0.0));
        assert_eq!(gaps(&[], &[], 8_000), (0.0, 0.0));
    }

    #[test]
    fn excuses_add_up() {
        let excuses = Excuses { lost: 0.02, paused: 0.03, waiting: 0.1, removed: 0.01 };
        assert!((excuses.seconds() - 0.2).abs() < 1e-9);
    }
}
