//! Sound that the bot's session played, against what the judges decode and count
//! themselves: nothing out of order, nothing twice, nothing made up without a cause, and
//! bit for bit the codec's own where the network did no harm. When and how well it sounded
//! is told by `listening`.

use callrig_media::audio::Kind;
use callrig_media::jitter;
use callrig_media::time::Instant;
use callrig_reports::metric::registry as metrics;
use callrig_reports::{Mark, MarkKind, Metric};
use sha1::Digest as _;

use super::excuses::{excuses, is_untouched};
use super::rule::{Rule, requirements};
use super::sound::{Plain, Sound, each_sound, late, milliseconds};
use super::{Case, Evidence, Judgement, view};
use crate::measure::direct::Decoded;
use crate::measure::exact::{self, Exactness};
use crate::measure::heard::{self, Playback};
use crate::measure::payloads;
use crate::network::Network;
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

/// One count of several.
type Counter<S> = fn(&S) -> u64;

fn applies(subject: &Subject, _: &Network) -> bool {
    subject.has_audio()
}

fn regular(subject: &Subject, network: &Network) -> bool {
    applies(subject, network) && view::is_regular(subject)
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
    let counters: [(_, Counter<jitter::Stats>); 5] = [
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
    report_discarded(sound, judgement);
    let recovered = Metric::new(&metrics::FEC_RECOVERED, recovered(sound));
    let all = delays.into_iter().chain(counts).chain([recovered]);
    judgement.metrics.extend(all.map(|metric| metric.labelled(sound.label())));
}

/// What came in time and was not played, by cause.
fn report_discarded(sound: &Sound<'_>, judgement: &mut Judgement) {
    let causes: [(_, Counter<jitter::Discarded>); 7] = [
        ("overflow", |discarded| discarded.overflow),
        ("malformed", |discarded| discarded.malformed),
        ("notAudio", |discarded| discarded.not_audio),
        ("excess", |discarded| discarded.excess),
        ("reset", |discarded| discarded.reset),
        ("undecodable", |discarded| discarded.undecodable),
        ("timestamp", |discarded| discarded.timestamp),
    ];
    for (cause, counter) in causes {
        let count = sound.count(|playout| counter(&playout.discarded));
        if count > 0 {
            let label = format!("{} {cause}", sound.label());
            judgement.metrics.push(Metric::new(&metrics::PACKETS_DISCARDED, count).labelled(label));
        }
    }
}

/// Packets whose sound came out of their successors.
fn recovered(sound: &Sound<'_>) -> u64 {
    let rate = sound.playbacks.first().map_or(0, |playback| u64::from(playback.track.rate));
    let samples = sound.ticks.unsigned_abs() * rate / u64::from(sound.clock_rate.max(1));
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
    if touched > 0 && !paused && is_untouched(evidence, sound, plain) {
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

/// Power below that of the loudest square wave (RFC 6464); none of digital silence.
fn level_dbov<'a>(samples: impl Iterator<Item = &'a i16>) -> Option<f64> {
    let (mut count, mut power) = (0u64, 0u64);
    for sample in samples {
        count += 1;
        power += u64::from(sample.unsigned_abs()).pow(2);
    }
    let loudest = 32_768f64.powi(2);
    (power > 0).then(|| 10.0 * (power as f64 / count as f64 / loudest).log10())
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
        let played = sound.playbacks.iter().flat_map(|playback| {
            playback.spoken().iter().flat_map(|(_, heard)| playback.samples(heard))
        });
        judgement.metrics.extend(
            [
                Metric::new(&metrics::CONCEALED_SAMPLES, samples),
                Metric::new(&metrics::SILENT_CONCEALED_SAMPLES, silent),
                Metric::new(&metrics::CONCEALMENT_EVENTS, events),
                Metric::new(&metrics::AUDIO_LEVEL, level_dbov(played)),
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
        if seconds > excuses.paused + 0.000_5 && is_untouched(evidence, sound, &plain) {
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
