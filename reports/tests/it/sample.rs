//! A report with values as a real run has them, for the tests and for looking at.

use callrig_reports::environment::Environment;
use callrig_reports::mark::{self, Mark, MarkKind};
use callrig_reports::metric::{Metric, Unit, registry as m};
use callrig_reports::render;
use callrig_reports::report::{CaseResult, Flow, Network, Recording, Report};
use callrig_reports::stats;
use callrig_reports::{Finding, Histogram, Level, Requirement, Series};

/// Small pseudo-random numbers, the same on every machine.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Between 0 and 1.
    pub(crate) fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

struct Preset {
    name: &'static str,
    description: &'static str,
    parameters: &'static [(&'static str, &'static str)],
    loss: f64,
    jitter_ms: f64,
    base_ms: f64,
}

const fn preset(
    name: &'static str,
    description: &'static str,
    parameters: &'static [(&'static str, &'static str)],
    [loss, jitter_ms, base_ms]: [f64; 3],
) -> Preset {
    Preset { name, description, parameters, loss, jitter_ms, base_ms }
}

const PRESETS: [Preset; 13] = [
    preset("clean", "Nothing is done to the packets.", &[], [0.0, 0.3, 5.0]),
    preset(
        "lan",
        "A quiet office network.",
        &[("delay", "1 ms"), ("jitter", "0.5 ms")],
        [0.0, 0.8, 6.0],
    ),
    preset(
        "wifi",
        "A busy access point.",
        &[("delay", "4 ms"), ("jitter", "8 ms"), ("loss", "0.5 %")],
        [0.005, 9.0, 12.0],
    ),
    preset(
        "lte",
        "A phone on the move.",
        &[("delay", "45 ms"), ("jitter", "15 ms"), ("loss", "1 %")],
        [0.01, 16.0, 52.0],
    ),
    preset(
        "loss-5",
        "One packet in twenty is lost, at random.",
        &[("loss", "5 %")],
        [0.05, 0.5, 5.0],
    ),
    preset(
        "bursts",
        "Losses come in bursts (Gilbert-Elliott).",
        &[("p", "1 %"), ("r", "25 %"), ("loss in bad", "60 %")],
        [0.04, 0.9, 5.0],
    ),
    preset(
        "jitter-40",
        "Every packet waits up to 80 ms.",
        &[("delay", "40 ms"), ("jitter", "±40 ms")],
        [0.0, 40.0, 40.0],
    ),
    preset(
        "reordering",
        "One packet in ten is overtaken by three.",
        &[("reorder", "10 %")],
        [0.0, 12.0, 6.0],
    ),
    preset(
        "duplication",
        "One packet in ten comes twice.",
        &[("duplicate", "10 %")],
        [0.0, 0.5, 5.0],
    ),
    preset(
        "bottleneck",
        "64 kbit/s with a queue of 200 ms.",
        &[("rate", "64 kbit/s"), ("queue", "200 ms")],
        [0.015, 30.0, 80.0],
    ),
    preset("outage", "Two seconds of nothing.", &[("outage", "2 s")], [0.1, 0.6, 5.0]),
    preset(
        "drift-plus",
        "The sender's clock is 200 ppm fast.",
        &[("drift", "+200 ppm")],
        [0.0, 0.5, 5.0],
    ),
    preset(
        "drift-minus",
        "The sender's clock is 200 ppm slow.",
        &[("drift", "−200 ppm")],
        [0.0, 0.5, 5.0],
    ),
];

const AUDIO: [(&str, &str); 5] = [
    ("speech-en-opus-32k", "A woman reads, English, Opus 32 kbit/s mono"),
    ("speech-de-opus-16k-fec", "A man reads, German, Opus 16 kbit/s with in-band FEC"),
    ("music-opus-64k-stereo", "Tones and chords, Opus 64 kbit/s stereo"),
    ("silence-opus-dtx", "Breathing and silence, Opus with DTX"),
    ("speech-fr-pcma", "A woman reads, French, PCMA"),
];
const VIDEO: [(&str, &str); 3] = [
    ("talking-head-360p-fua", "A moving test picture, 360p, 30 frames/s, FU-A"),
    ("screen-720p-5fps", "A document scrolls, 720p, 5 frames/s, several slices"),
    ("talking-head-1080p-main", "A moving test picture, 1080p, main profile"),
];

/// The report that is looked at: eight recordings under all presets.
pub(crate) fn sample() -> Report {
    of_size(8, 13, Series::DETAILED)
}

/// A report of so many recordings and presets.
pub(crate) fn of_size(recordings: usize, presets: usize, points: usize) -> Report {
    let mut report = Report::new("0.1.0", "2026-11-23T18:00:00Z", 42);
    report.took_ms = Some(81_430);
    report.corpora_digest = Some("7f3a90c4d1e2b8a65540ce1f".repeat(2) + "0123456789abcdef");
    report.environment = environment();
    report.networks = PRESETS
        .iter()
        .take(presets)
        .map(|one| Network {
            name: one.name.into(),
            description: one.description.into(),
            parameters: one.parameters.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect(),
        })
        .collect();
    let all: Vec<(&str, &str, bool)> = AUDIO
        .iter()
        .map(|(id, title)| (*id, *title, false))
        .chain(VIDEO.iter().map(|(id, title)| (*id, *title, true)))
        .collect();
    for number in 0..recordings {
        let (id, title, video) = all[number % all.len()];
        let id = if number < all.len() { id.into() } else { format!("{id}-{number}") };
        report.recordings.push(recording(&id, title, video));
        for preset in PRESETS.iter().take(presets) {
            let mut dice = Dice::new(
                (number * 31 + preset.name.len() * 7 + 1) as u64 + (preset.loss * 1e4) as u64,
            );
            report.results.extend(results(&id, preset, video, points, &mut dice));
        }
    }
    report.results.push(CaseResult::error(
        "corpora/truth/outside",
        "The folder of outside recordings is not there.",
    ));
    report.results.push(CaseResult::unsupported(
        "media/webrtc/ice-lite",
        "Plain RTP only: no WebRTC transport.",
    ));
    let report = report.finish();
    report.check().expect("the sample is sound");
    report
}

fn environment() -> Environment {
    Environment {
        commit: Some("be33eb7c0ffee0123456789abcdef0123456789a".into()),
        dirty: Some(true),
        rustc: Some("rustc 1.95.0 (0123abcde 2026-10-14)".into()),
        profile: Some("release".into()),
        os: Some("Debian GNU/Linux 12, Linux 6.1, x86_64".into()),
        cpu_model: Some("AMD EPYC 9R14".into()),
        cores: Some(2),
        codec_versions: [("libopus", "1.6.1"), ("OpenH264", "2.6.0")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .into(),
    }
}

fn recording(id: &str, title: &str, video: bool) -> Recording {
    let (codec, clock_rate) = if video { ("H264", 90_000) } else { ("opus", 48_000) };
    let packets = if video { 2_512 } else { 1_000 };
    Recording {
        id: id.into(),
        title: title.into(),
        kind: if video { "video" } else { "audio" }.into(),
        sha256: Some("3b9f1c0d".repeat(8)),
        duration_ms: 20_000.0,
        packets,
        flows: vec![Flow {
            ssrc: 0x1f3a_77c2,
            source: "192.0.2.10:49170".into(),
            destination: "198.51.100.4:5004".into(),
            payload_types: vec![if video { 96 } else { 111 }],
            codec: codec.into(),
            clock_rate,
            packets,
            guessed: video.then(|| "payload type 96, FU-A headers in 200 of 200 packets".into()),
        }],
    }
}

/// One simulated minute of packets: arrival offsets, delays, losses.
struct Course {
    transit: Vec<(f64, f64)>,
    jitter: Vec<(f64, f64)>,
    buffer: Vec<(f64, f64)>,
    target: Vec<(f64, f64)>,
    lost: Vec<f64>,
    late: Vec<f64>,
}

fn course(preset: &Preset, dice: &mut Dice) -> Course {
    let mut out = Course {
        transit: Vec::new(),
        jitter: Vec::new(),
        buffer: Vec::new(),
        target: Vec::new(),
        lost: Vec::new(),
        late: Vec::new(),
    };
    let (mut jitter, mut before, mut target) = (0.0, preset.base_ms, 40.0_f64);
    let mut bad = false;
    for packet in 0..1_000 {
        let sent = f64::from(packet) * 20.0;
        bad = if bad { dice.roll() > 0.25 } else { dice.roll() < 0.01 };
        let lost = match preset.name {
            "bursts" => bad && dice.roll() < 0.6,
            "outage" => (9_000.0..11_000.0).contains(&sent),
            _ => dice.roll() < preset.loss,
        };
        if lost {
            out.lost.push(sent);
            continue;
        }
        let wave = (sent / 2_600.0).sin() * 0.3 + 0.7;
        let delay = preset.base_ms + preset.jitter_ms * wave * dice.roll().powi(2) * 2.0;
        let difference = (delay - before).abs();
        jitter += (difference - jitter) / 16.0;
        before = delay;
        target += (40.0_f64.max(preset.base_ms.min(20.0) + jitter * 5.0) - target) * 0.02;
        let at = sent + delay;
        out.transit.push((at, delay));
        out.jitter.push((at, jitter / 1e3));
        out.buffer.push((at, (target + (dice.roll() - 0.5) * 6.0) / 1e3));
        out.target.push((at, target / 1e3));
        if delay > preset.base_ms + target * 1.35 {
            out.late.push(at);
        }
    }
    out
}

fn results(
    id: &str,
    preset: &Preset,
    video: bool,
    points: usize,
    dice: &mut Dice,
) -> Vec<CaseResult> {
    let about = |result: CaseResult| {
        let mut result = result.about(Some(id), Some(preset.name));
        result.duration_ms = 20_000.0;
        result
    };
    let course = course(preset, dice);
    let wire = about(network_result(&course, points));
    let played = about(if video {
        video_result(&course, dice)
    } else {
        audio_result(&course, preset, dice)
    });
    let mut results = vec![wire, played];
    for case in
        ["rtp/rfc3550-a1/extended-sequence", "rtp/rfc3550-6-4-1/jitter", "rtcp/report/interval"]
    {
        results.push(about(CaseResult::judged(case, Vec::new())));
    }
    if preset.name == "outage" && id.contains("fec") {
        results.push(about(CaseResult::judged(
            "media/jitter/recovers-within-two-seconds",
            vec![late_finding()],
        )));
    }
    if preset.name == "bottleneck" && !video {
        results.push(about(CaseResult::judged("media/jitter/delay-bound", vec![slow_finding()])));
    }
    results
}

fn network_result(course: &Course, points: usize) -> CaseResult {
    let jitters: Vec<f64> = course.jitter.iter().map(|one| one.1).collect();
    let mut delays: Vec<f64> = course.transit.iter().map(|one| one.1 / 1e3).collect();
    delays.sort_by(f64::total_cmp);
    let least = delays.first().copied().unwrap_or(0.0);
    let above = |percent| stats::percentile(&delays, percent).map(|delay| delay - least);
    let (received, lost) = (course.transit.len(), course.lost.len());
    let mut result = CaseResult::judged("media/rtp/statistics", Vec::new());
    result.metrics = vec![
        Metric::new(&m::PACKETS_RECEIVED, received),
        Metric::new(&m::PACKETS_LOST, lost),
        Metric::new(&m::LOSS_RATIO, lost as f64 / (received + lost) as f64),
        Metric::new(&m::PACKETS_LATE, course.late.len()),
        Metric::new(&m::PACKETS_DUPLICATED, 0_u32),
        Metric::new(&m::JITTER, jitters.last().copied()),
        Metric::new(&m::JITTER_MEAN, stats::mean(&jitters)),
        Metric::new(&m::JITTER_MAX, jitters.iter().copied().reduce(f64::max)),
        Metric::new(&m::DELAY_VARIATION_P50, above(50.0)),
        Metric::new(&m::DELAY_VARIATION_P95, above(95.0)),
        Metric::new(&m::DELAY_VARIATION_P99, above(99.0)),
        Metric::new(&m::BITRATE, 31_872.5),
        Metric::new(&m::CLOCK_DRIFT, 0.4),
        Metric::new(&m::PACKETS_DISCARDED, course.late.len()).labelled("late"),
        Metric::new(&m::PROCESSING_PER_PACKET_P50, 31.2e-6),
        Metric::new(&m::PROCESSING_PER_PACKET_P99, 58.7e-6),
        Metric::new(&m::PACKETS_PER_CORE_SECOND, 31_840.0),
        Metric::new(&m::CONSERVATION_RESIDUAL, 0_u32),
    ];
    result.series = vec![
        Series::sampled(
            "transit",
            "Transit above the least",
            Unit::Milliseconds,
            course.transit.iter().copied(),
            points,
        ),
        Series::sampled(
            "jitter",
            "Interarrival jitter",
            Unit::Seconds,
            course.jitter.iter().copied(),
            points,
        ),
    ];
    let lost = course.lost.iter().map(|at| Mark::at(MarkKind::Lost, *at).lasting(20.0));
    let late = course.late.iter().map(|at| Mark::at(MarkKind::Late, *at));
    result.marks = mark::bounded(lost.chain(late), Mark::MAX_PER_KIND);
    result
}

fn audio_result(course: &Course, preset: &Preset, dice: &mut Dice) -> CaseResult {
    let lost = course.lost.len() as f64 / 1_000.0;
    let delays: Vec<f64> = course.buffer.iter().map(|one| one.1 + preset.base_ms / 1e3).collect();
    let mut sorted = delays.clone();
    sorted.sort_by(f64::total_cmp);
    let at = |percent| stats::percentile(&sorted, percent);
    let delay = at(50.0).unwrap_or(0.0);
    let rating = 93.2
        - lost * 640.0 / (1.0 + lost * 8.0)
        - delay * 1e3 * 0.024
        - course.late.len() as f64 * 0.12;
    let mos =
        (1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6).clamp(1.0, 4.5);
    let concealed = course.lost.len() + course.late.len();
    let mut result = CaseResult::judged("media/audio/playout", Vec::new());
    result.metrics = vec![
        Metric::new(&m::MOS, mos),
        Metric::new(&m::R_FACTOR, rating),
        Metric::new(&m::CONCEALED_SAMPLES, concealed * 960),
        Metric::new(&m::CONCEALMENT_EVENTS, concealed),
        Metric::new(&m::JITTER_BUFFER_DELAY, stats::mean(&delays).map(|mean| mean * 960_000.0)),
        Metric::new(&m::JITTER_BUFFER_EMITTED_COUNT, 960_000_u32),
        Metric::new(&m::JITTER_BUFFER_DELAY_MEAN, stats::mean(&delays)),
        Metric::new(&m::INSERTED_SAMPLES, 1_440_u32),
        Metric::new(&m::REMOVED_SAMPLES, 720_u32),
        Metric::new(&m::MOUTH_TO_EAR_P50, at(50.0)),
        Metric::new(&m::MOUTH_TO_EAR_P95, at(95.0)),
        Metric::new(&m::MOUTH_TO_EAR_P99, at(99.0)),
        Metric::new(&m::SEGMENTAL_SNR, if lost == 0.0 { 35.0 } else { 24.0 - lost * 100.0 }),
        Metric::new(&m::DIGITS, "159#"),
        Metric::new(&m::DECODED_DIGEST, "b1946ac92492d2347c6235b4d2611184e3a0a0a9"),
    ];
    let plot = "Jitter buffer";
    result.series = vec![
        Series::sampled(
            "delay",
            plot,
            Unit::Seconds,
            course.buffer.iter().copied(),
            Series::COMPACT,
        ),
        Series::sampled(
            "target",
            plot,
            Unit::Seconds,
            course.target.iter().copied(),
            Series::COMPACT,
        ),
    ];
    let gone = course.lost.iter().chain(&course.late);
    let concealed = gone.map(|at| Mark::at(MarkKind::Concealed, at + 40.0).lasting(20.0));
    let digits = ["1", "5", "9", "#"].into_iter().enumerate();
    let digits = digits.map(|(at, digit)| {
        Mark::at(MarkKind::Digit, 3_000.0 + at as f64 * 1_200.0).labelled(digit)
    });
    result.marks = mark::bounded(concealed.chain(digits), Mark::MAX_PER_KIND);
    result.histograms = vec![histogram("mouthToEarDelay", &delays, dice)];
    result
}

fn video_result(course: &Course, dice: &mut Dice) -> CaseResult {
    let lost = course.lost.len() as u32;
    let dropped = (lost * 3).min(380);
    let mut findings = Vec::new();
    if lost > 90 {
        findings.push(freeze_finding());
    }
    let mut result = CaseResult::judged("media/video/assembly", findings);
    let delays: Vec<f64> = course.transit.iter().map(|one| one.1 / 1e3 + 0.035).collect();
    let mut sorted = delays.clone();
    sorted.sort_by(f64::total_cmp);
    result.metrics = vec![
        Metric::new(&m::FRAMES_RECEIVED, 600 - dropped),
        Metric::new(&m::FRAMES_DECODED, 600 - dropped),
        Metric::new(&m::FRAMES_RENDERED_RATIO, f64::from(600 - dropped) / 600.0),
        Metric::new(&m::FRAMES_DROPPED, lost.min(dropped)).labelled("incomplete"),
        Metric::new(&m::FRAMES_DROPPED, dropped - lost.min(dropped)).labelled("missing reference"),
        Metric::new(&m::KEY_FRAMES_DECODED, 10 + lost / 4),
        Metric::new(&m::FREEZE_COUNT, lost / 9),
        Metric::new(&m::TOTAL_FREEZES_DURATION, f64::from(lost / 9) * 0.31),
        Metric::new(&m::PLI_COUNT, lost / 4),
        Metric::new(&m::NACK_COUNT, lost),
        Metric::new(&m::GLASS_TO_GLASS_P50, stats::percentile(&sorted, 50.0)),
        Metric::new(&m::GLASS_TO_GLASS_P95, stats::percentile(&sorted, 95.0)),
        Metric::new(&m::PSNR, 41.27 - f64::from(lost) * 0.1),
        Metric::new(&m::SSIM, 0.983 - f64::from(lost) * 0.001),
        Metric::new(&m::DECODED_DIGEST, "95d09f2b10159347eece71399a7e2e907ea3df4f"),
    ];
    let interval =
        course.transit.windows(2).step_by(2).map(|pair| (pair[1].0, pair[1].0 - pair[0].0 + 13.3));
    result.series = vec![Series::sampled(
        "interval",
        "Time between frames",
        Unit::Milliseconds,
        interval,
        Series::COMPACT,
    )];
    let lost = || course.lost.iter().step_by(3);
    let dropped = lost().map(|at| Mark::at(MarkKind::FrameDropped, *at));
    let frozen = lost().step_by(3).map(|at| Mark::at(MarkKind::Frozen, *at).lasting(310.0));
    let keys = (0..10).map(|n| Mark::at(MarkKind::KeyFrame, f64::from(n) * 2_000.0));
    let asked = lost().map(|at| Mark::at(MarkKind::KeyFrameRequested, at + 25.0));
    result.marks =
        mark::bounded(dropped.chain(frozen).chain(keys).chain(asked), Mark::MAX_PER_KIND);
    result.histograms = vec![histogram("glassToGlassDelay", &delays, dice)];
    result
}

fn histogram(name: &'static str, seconds: &[f64], dice: &mut Dice) -> Histogram {
    let mut recorded = hdrhistogram::Histogram::<u64>::new(3).expect("three digits is allowed");
    for value in seconds {
        let nanoseconds = (value + 0.004 * dice.roll().powi(6)) * 1e9;
        recorded.record(nanoseconds as u64).expect("an auto-resizing histogram takes any value");
    }
    Histogram::of(name, Unit::Seconds, 1e-9, &recorded)
}

fn late_finding() -> Finding {
    Requirement {
        id: "media/jitter/recovers-within-two-seconds".into(),
        level: Level::Must,
        citation: "this project, playout".into(),
        sentence:
            "After an outage the target delay is back at its former value within two seconds."
                .into(),
    }
    .broken("at most 2.000 s", "3.420 s")
    .with_evidence([
        "    9.000 s  seq 24 310  last packet before the outage, target 40 ms",
        "   11.020 s  seq 24 411  first packet after it, target 220 ms",
        "   13.020 s  seq 24 511  two seconds later, target 141 ms",
        "   14.440 s  seq 24 582  target back at 40 ms",
    ])
}

fn slow_finding() -> Finding {
    Requirement {
        id: "media/jitter/delay-bound".into(),
        level: Level::Should,
        citation: "ITU-T G.114 section 2".into(),
        sentence: "Speech reaches the ear within 150 ms.".into(),
    }
    .broken("p95 at most 150 ms", "p95 171 ms")
    .with_evidence(["ssrc 0x1f3a77c2: 48 of 1000 frames took longer, the longest 203 ms at 14.2 s"])
}

fn freeze_finding() -> Finding {
    Requirement {
        id: "media/video/no-damaged-frame-is-whole".into(),
        level: Level::Must,
        citation: "RFC 6184 section 5.8".into(),
        sentence: "An access unit with a missing fragment is never handed out as whole.".into(),
    }
    .broken("dropped as incomplete", "handed out, 3 of 9 fragments missing")
    .with_evidence((0..30).map(|n| {
        format!(
            "seq {}  ts 1234500  FU-A {}  {}",
            4_711 + n,
            if n == 0 { "S" } else { "." },
            if n % 3 == 1 { "never arrived" } else { "1200 bytes" }
        )
    }))
}

#[test]
fn the_sample_is_written_out_for_people_to_look_at() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("sample");
    std::fs::create_dir_all(&folder).expect("the target folder can be written to");
    let report = sample();
    let files = [
        ("report.json", render::json::render(&report)),
        ("report.html", render::html::render(&report)),
        ("junit.xml", render::junit::render(&report)),
        ("summary.md", render::markdown::render(&report)),
        (
            "summary.txt",
            render::text::render(&report, render::text::Options { width: 110, color: true }),
        ),
    ];
    for (name, text) in files {
        assert!(text.len() > 1_000, "{name} is too short to be a report");
        std::fs::write(folder.join(name), text).expect("the target folder can be written to");
    }
    println!("look at {}", folder.join("report.html").display());
}
