//! Open-loop load: ten patterns of stalls whose percentiles are known in closed form, in
//! simulated time; the same live; and `callrig load` as CI meets it.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use callrig::load::live::{self, Limits, Watch};
use callrig::load::pace::{Pace, Part};
use callrig::load::schedule::Schedule;
use callrig::load::target::{Plain, Target};
use callrig_reports::load::objective::Objective;
use callrig_reports::load::outcome::{Answer, judge};
use callrig_reports::load::samples::{Sample, Samples};

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use crate::command_line::{callrig, folder, recording, says};

/// Calls per second, and for how many seconds.
const RATE: f64 = 2_000.0;
const LENGTH: f64 = 100.0;
/// What an answer takes where nothing stalls.
const SERVICE: f64 = 0.002;

/// A server, or a generator, that stalls; and the latency that a part of all calls does not
/// exceed, in closed form.
struct Stall {
    name: &'static str,
    /// When the generator is asked again after that time, at the earliest.
    generator: fn(f64) -> f64,
    /// When an answer comes to what was asked then.
    server: fn(f64) -> f64,
    truth: fn(f64) -> f64,
}

const fn at_once(time: f64) -> f64 {
    time
}

/// Nothing comes between `from` and `to`; what waits comes then.
fn stalled(time: f64, from: f64, to: f64) -> f64 {
    if time >= from && time < to { to } else { time }
}

/// A part `hit` of all calls waits, evenly spread from 0 to `most`; the others do not.
fn spread(part: f64, hit: f64, most: f64) -> f64 {
    SERVICE + if part <= 1.0 - hit { 0.0 } else { most * (part - (1.0 - hit)) / hit }
}

/// Seconds of calls that wait longer than each latency, turned round: how long the worst `worst`
/// seconds of calls wait at least.
fn worst(part: f64, longest: fn(f64) -> f64) -> f64 {
    SERVICE + longest(LENGTH * (1.0 - part)).max(0.0)
}

const STALLS: &[Stall] = &[
    Stall { name: "none", generator: at_once, server: |t| t + SERVICE, truth: |_| SERVICE },
    Stall {
        name: "one second once",
        generator: at_once,
        server: |t| stalled(t, 40.0, 41.0) + SERVICE,
        truth: |q| spread(q, 0.01, 1.0),
    },
    Stall {
        name: "half a second in each ten",
        generator: at_once,
        server: |t| {
            let within = t % 10.0;
            (if within < 0.5 { t - within + 0.5 } else { t }) + SERVICE
        },
        truth: |q| spread(q, 0.05, 0.5),
    },
    Stall {
        name: "at the very begin",
        generator: at_once,
        server: |t| stalled(t, 0.0, 3.0) + SERVICE,
        truth: |q| spread(q, 0.03, 3.0),
    },
    Stall {
        name: "over the end",
        generator: at_once,
        server: |t| stalled(t, 98.0, 100.0) + SERVICE,
        truth: |q| spread(q, 0.02, 2.0),
    },
    Stall {
        name: "a long one and a short one",
        generator: at_once,
        server: |t| stalled(stalled(t, 20.0, 22.0), 60.0, 61.0) + SERVICE,
        // Longer than x waits (2 - x) s, and (1 - x) s more below 1.
        truth: |q| worst(q, |tail| if tail <= 1.0 { 2.0 - tail } else { (3.0 - tail) / 2.0 }),
    },
    Stall {
        name: "batches: a key frame each 250 ms",
        generator: at_once,
        server: |t| ((t + 1e-9) / 0.25).floor().mul_add(0.25, 0.25) + SERVICE,
        truth: |q| SERVICE + 0.25 * q,
    },
    Stall {
        name: "a queue that fills at half speed and drains at twice",
        generator: at_once,
        // From 50 s on, for a second, every call takes two places; then half of one.
        server: |t| {
            let since = t - 50.0;
            let wait = match since {
                _ if !(0.0..1.5).contains(&since) => 0.0,
                _ if since < 0.5 => since,
                _ => 0.75 - since / 2.0,
            };
            t + wait + SERVICE
        },
        truth: |q| spread(q, 0.015, 0.5),
    },
    Stall {
        name: "the generator itself, for a second",
        generator: |t| stalled(t, 70.0, 71.0),
        server: |t| t + SERVICE,
        truth: |q| spread(q, 0.01, 1.0),
    },
    Stall {
        name: "the server, and the generator into it",
        generator: |t| stalled(t, 30.5, 32.0),
        server: |t| stalled(t, 30.0, 31.0) + SERVICE,
        // Half a second of calls waits from 0.5 to 1 s, another one and a half from 0 to 1.5 s.
        truth: |q| {
            worst(q, |tail| match tail {
                _ if tail <= 0.5 => 1.5 - tail,
                _ if tail <= 1.5 => (2.5 - tail) / 2.0,
                _ => 2.0 - tail,
            })
        },
    },
];

/// A load in simulated time.
fn simulated(stall: &Stall) -> Samples {
    let length = Duration::from_secs_f64(LENGTH);
    let schedule = Schedule::parse(&RATE.to_string(), length, None).expect("it makes sense");
    let mut pace = Pace::new(&schedule, Part::WHOLE);
    let mut samples = Samples::default();
    while let Some(next) = pace.poll_timeout() {
        let now = Duration::from_secs_f64((stall.generator)(next.as_secs_f64()));
        while let Some(due) = pace.poll(now.max(next)) {
            let asked = (due.intended + due.late).as_secs_f64();
            let latency = (stall.server)(asked) - due.intended.as_secs_f64();
            samples.calls.push(Sample {
                intended: due.intended.as_nanos() as u64,
                late: due.late.as_nanos() as u64,
                latency: (latency * 1e9) as u64,
                ..Sample::default()
            });
        }
    }
    samples
}

#[test]
fn every_stall_is_seen_as_long_as_it_was() {
    assert_eq!(STALLS.len(), 10);
    for stall in STALLS {
        let samples = simulated(stall);
        assert_eq!(
            samples.calls.len(),
            (RATE * LENGTH) as usize,
            "{}: none is left out",
            stall.name
        );
        let windows = samples.windows();
        let latencies = samples.latencies(None, &windows, u64::MAX);
        for part in [0.5, 0.9, 0.99, 0.995, 0.999] {
            let seen = latencies.histogram.value_at_quantile(part) as f64 / 1e9;
            let truth = (stall.truth)(part);
            // The call at the very place may be the one before it: 1 / RATE.
            let off = (seen - truth).abs();
            assert!(
                off <= 0.02 * truth + 1.0 / RATE,
                "{}: p{}: {seen} s seen, {truth} s true",
                stall.name,
                100.0 * part
            );
        }
    }
}

#[test]
fn windows_in_which_the_generator_was_late_are_void() {
    let objective = Objective::parse("p(99)<20ms", &[]).expect("it is one");
    let of = |name: &str| STALLS.iter().find(|one| one.name == name).expect("there is one");
    let judged = judge(&objective, &simulated(of("the generator itself, for a second")), None);
    assert_eq!(judged.answer, Answer::Met, "one of a hundred windows is void: {judged:?}");
    assert!(judged.why.contains("1 of 100 windows void"), "{judged:?}");
    let judged = judge(&objective, &simulated(of("at the very begin")), None);
    assert_eq!(judged.answer, Answer::Broken, "the server's stall is its own: {judged:?}");
    let always = Stall { name: "", generator: |t| t + 0.005, server: at_once, truth: at_once };
    let judged = judge(&objective, &simulated(&always), None);
    assert_eq!(judged.answer, Answer::Met, "10 ms at most, whoever was late: {judged:?}");
    assert!(judged.why.contains("100 of 100 windows void"), "{judged:?}");
    assert!(judged.why.contains("lateness added"), "{judged:?}");
    let later = Stall { name: "", generator: |t| t + 0.012, server: at_once, truth: at_once };
    let judged = judge(&objective, &simulated(&later), None);
    assert_eq!(judged.answer, Answer::NotMeasurable, "{judged:?}");
    // Three times 12 ms may be the generator's: as it began, asked, and saw the answer.
    let slow = |server| Stall { server, ..later };
    let judged = judge(&objective, &simulated(&slow(|t| t + 0.030)), None);
    assert_eq!(judged.answer, Answer::NotMeasurable, "42 ms: {judged:?}");
    let judged = judge(&objective, &simulated(&slow(|t| t + 0.050)), None);
    assert_eq!(judged.answer, Answer::Broken, "62 ms: {judged:?}");
    assert!(judged.why.contains("lateness taken off"), "{judged:?}");
}

/// Times without any, and how long they take.
fn random_stalls(random: &mut Pcg64Mcg, most: usize, longest: f64) -> Vec<(f64, f64)> {
    let count = random.random_range(0..=most);
    let mut stall = || {
        let from = random.random_range(0.0..SEARCHED);
        (from, from + longest * random.random_range(0.0..1.0_f64).powi(3))
    };
    let mut stalls: Vec<_> = (0..count).map(|_| stall()).collect();
    stalls.sort_by(|one, other| one.0.total_cmp(&other.0));
    stalls
}

/// How long a load is that is judged at random, in seconds; a hundred calls in each.
const SEARCHED: f64 = 40.0;

#[test]
fn no_verdict_is_wrong_however_late_the_generator_is() {
    let objective = Objective::parse("p(99)<20ms", &[]).expect("it is one");
    let (mut seen, mut late_and_broken) = ([0_u32; 3], 0);
    for seed in 0..1_000 {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        // The generator under a burner, or hardly ever late; a server that stalls now and then.
        let most = if seed % 2 == 0 { 60 } else { 1 };
        let generator = random_stalls(&mut random, most, 0.06);
        let server = random_stalls(&mut random, 8, 0.5);
        let through = |stalls: &[(f64, f64)], time: f64| {
            stalls.iter().fold(time, |time, (from, to)| stalled(time, *from, *to))
        };
        // One answer after the other, each of which takes its time.
        let answered = |asked: f64, before: &mut f64| {
            *before = before.max(through(&server, asked)) + SERVICE;
            *before
        };
        let (mut samples, mut slow) = (Samples::default(), 0_u32);
        let (mut really, mut truly) = (0.0, 0.0);
        let calls = (SEARCHED * 100.0) as u32;
        for number in 0..calls {
            let intended = f64::from(number) / 100.0;
            let begun = through(&generator, intended);
            // What comes while the generator is away is seen when it is back.
            let latency = through(&generator, answered(begun, &mut really)) - intended;
            slow += u32::from(answered(intended, &mut truly) - intended > 0.02);
            samples.calls.push(Sample {
                intended: (intended * 1e9) as u64,
                late: ((begun - intended) * 1e9) as u64,
                latency: (latency * 1e9) as u64,
                ..Sample::default()
            });
        }
        let truth = f64::from(slow) / f64::from(calls);
        let judged = judge(&objective, &samples, None);
        seen[judged.answer as usize] += 1;
        late_and_broken += u32::from(judged.why.contains("taken off"));
        match judged.answer {
            Answer::Met => assert!(truth <= 0.01, "{seed}: {truth} are slow, {judged:?}"),
            // Up to 2 % of the windows are left out, which may have been the fast ones.
            Answer::Broken => assert!(truth > 0.0097, "{seed}: {truth} are slow, {judged:?}"),
            Answer::NotMeasurable => {}
        }
    }
    assert!(seen.iter().all(|times| *times >= 50), "each of the three comes about: {seen:?}");
    assert!(late_and_broken >= 50, "so does what a late generator calls broken: {late_and_broken}");
}

#[test]
fn confidence_is_a_third_answer() {
    let judged = |above: usize, text: &str| {
        let call = |number: usize| Sample {
            intended: number as u64 * 10_000_000,
            late: 0,
            latency: if number < above { 30_000_000 } else { 1_000_000 },
            ..Sample::default()
        };
        let samples = Samples { calls: (0..1_000).map(call).collect(), ..Samples::default() };
        judge(&Objective::parse(text, &[]).expect("it is one"), &samples, None).answer
    };
    // Of a thousand, ten may be above the 99th percentile.
    assert_eq!(judged(9, "p(99)<20ms"), Answer::Met);
    assert_eq!(judged(9, "p(99)<20ms @95%"), Answer::NotMeasurable);
    assert_eq!(judged(2, "p(99)<20ms @95%"), Answer::Met);
    assert_eq!(judged(25, "p(99)<20ms @95%"), Answer::Broken);
    assert_eq!(judged(0, "p(99.9)<20ms"), Answer::NotMeasurable, "too few for so far a tail");
    assert_eq!(judged(0, "p(99.9)<20ms min 1000"), Answer::Met);
    assert_eq!(judged(0, "p(99)<1.2*twin"), Answer::NotMeasurable, "there is no twin");
}

/// A server that answers at once but for the first part of each second, when it does not.
async fn stalling(stall: Duration) -> String {
    let began = Instant::now();
    let answer = move || async move {
        let within = Duration::from_nanos((began.elapsed().as_nanos() % 1_000_000_000) as u64);
        if within < stall {
            tokio::time::sleep(stall - within).await;
        }
        "ok"
    };
    let router = axum::Router::new().route("/", axum::routing::get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/")
}

#[test]
fn a_live_stall_is_not_omitted() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("threads").block_on(async {
        let url = stalling(Duration::from_millis(300)).await;
        let target = Arc::new(Target::Plain(Plain::new(&url).expect("a URL")));
        let schedule =
            Schedule::parse("100", Duration::from_secs(4), None).expect("it makes sense");
        let watch = Arc::<Watch>::default();
        let load = (schedule, Part::WHOLE, Instant::now());
        let samples = live::run(load, target, Limits::default(), watch).await.samples;
        assert_eq!(samples.calls.len(), 400, "none is left out");
        assert_eq!(samples.failed().0, 0, "{:?}", samples.failures());
        let latencies = samples.latencies(None, &samples.windows(), u64::MAX).histogram;
        // Three calls of ten wait, evenly from 0 to 300 ms: the 85th percentile is 150 ms, and
        // would be next to nothing for a generator that waits too. A busy machine adds to it.
        let p85 = latencies.value_at_quantile(0.85) as f64 / 1e6;
        assert!((140.0..400.0).contains(&p85), "{p85} ms");
    });
}

#[test]
fn calls_of_our_own_platform_are_made_and_judged() {
    let folder = folder();
    let arguments = [
        "load",
        "--rate",
        "20",
        "--duration",
        "2s",
        "--slo",
        "errors<=0%",
        "--slo",
        "setup.p(50)<20s min 20",
        "--out",
        "load",
    ];
    let ran = callrig(folder.path(), &arguments);
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
    assert!(ran.out.contains("40 of 40 calls succeeded"), "{}", ran.out);
    for step in ["ring", "notified", "answer", "setup", "hangup", "ended"] {
        assert!(ran.out.contains(step), "{step}: {}", ran.out);
    }
    let read = |name: &str| {
        let text = std::fs::read_to_string(folder.path().join("load").join(name)).expect(name);
        assert!(!text.is_empty(), "{name}");
        text
    };
    for name in ["load.html", "load.md", "load-junit.xml"] {
        read(name);
    }
    let log = read("load.hlog");
    let lines = hdrhistogram::serialization::interval_log::IntervalLogIterator::new(log.as_bytes());
    assert!(lines.filter(Result::is_ok).count() > 4, "{log}");
    // What was found is a twin for the next one.
    let arguments = [
        "load",
        "--rate",
        "20",
        "--duration",
        "1s",
        "--twin",
        "load/load.json",
        "--slo",
        "p(50)<1000*twin min 20",
    ];
    let ran = callrig(folder.path(), &arguments);
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
}

/// A callrig in a process of its own, until it is dropped.
struct Beside(std::process::Child);

impl Beside {
    /// Runs it, and waits until somebody listens there.
    fn start(arguments: &[&str], listens: std::net::SocketAddr) -> Self {
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_callrig"))
            .args(arguments)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the binary runs");
        let beside = Self(child);
        for _ in 0..400 {
            if std::net::TcpStream::connect(listens).is_ok() {
                return beside;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("nobody listens on {listens}");
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A sample bot beside, its webhook, and where a platform for it may listen.
fn sample(name: &str) -> (Beside, String, String) {
    let (platform, bot) = (crate::free_address(), crate::free_address());
    let base = format!("http://{platform}");
    let arguments = ["bot", name, "--platform", &base, "--listen", &bot.to_string()];
    let beside = Beside::start(&arguments, bot);
    (beside, format!("http://{bot}/api/calls"), platform.to_string())
}

#[test]
fn the_bot_of_an_app_that_a_service_knows_is_called() {
    let folder = folder();
    let (platform, bot) = (crate::free_address(), crate::free_address());
    let (base, webhook) = (format!("http://{platform}"), format!("http://{bot}/api/calls"));
    let listen = ["--listen", &platform.to_string(), "--listen-tls", "127.0.0.1:0"];
    let serve = [&["serve", "--bot", &webhook][..], &listen].concat();
    let _service = Beside::start(&serve, platform);
    let sample = ["bot", "ivr", "--platform", &base, "--listen", &bot.to_string()];
    let _bot = Beside::start(&sample, bot);
    let load = ["load", "--url", &base, "--rate", "4", "--duration", "2s", "--hold", "1s"];
    let objectives = ["--slo", "errors<=0% min 8", "--slo", "setup.p(50)<20s min 8"];
    let known = ["--app-id", "11111111-1111-4111-8111-111111111111"];
    let ran = callrig(folder.path(), &[&load[..], &objectives, &known].concat());
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
    assert!(ran.out.contains("8 of 8 calls succeeded"), "{}", ran.out);
    for step in ["notified", "answer", "setup", "hangup", "ended"] {
        assert!(ran.out.contains(step), "{step}: {}", ran.out);
    }
    let ran = callrig(folder.path(), &[&load[..], &objectives, &["--app-id", "nobody"]].concat());
    assert_eq!(ran.code, 5, "{} {}", ran.out, ran.err);
    assert!(ran.out.contains("nobody"), "{}", ran.out);
}

#[test]
fn the_calls_of_a_bot_that_is_not_ours_are_measured_where_its_media_goes() {
    let folder = folder();
    let (_echo, bot, platform) = sample("echo");
    let speech = recording(folder.path(), "audio/opus-20ms-32k-mono-en.pcap");
    let arguments = [
        &["load", "--bot", &bot, "--listen", &platform, "--rate", "2", "--duration", "3s"][..],
        &["--media", "--play", &speech, "--hold", "4s", "--out", "load"],
        &[
            "--slo",
            "errors<=0% min 6",
            "--slo",
            "setup.p(50)<20s min 5",
            "--slo",
            "media.max<4s min 5",
        ],
        &["--slo", "mouth_to_ear.p(50)<1s min 2", "--slo", "uplink_loss.max<100% min 5"],
    ];
    let ran = callrig(folder.path(), &arguments.concat());
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
    assert!(ran.out.contains("6 of 6 calls succeeded"), "{}", ran.out);
    let load = std::fs::read_to_string(folder.path().join("load/load.json")).expect("it is there");
    let load: callrig_reports::load::outcome::Load =
        serde_json::from_str(&load).expect("it is a load");
    let count = |name: &str| {
        let one = load.latencies.iter().find(|one| one.name == name);
        one.unwrap_or_else(|| panic!("{name}")).count
    };
    for name in ["notified", "answer", "setup", "hangup", "ended", "media", "jitter", "loss"] {
        assert_eq!(count(name), 6, "{name}: {}", ran.out);
    }
    assert!(count("mouth_to_ear") >= 2, "one phone a second listens: {}", ran.out);
    let lived = load.latencies.iter().find(|one| one.name == "mouth_to_ear").expect("an echo");
    assert!(lived.min > 0.02, "sound is captured before it is sent: {lived:?}");
}

#[test]
fn in_the_middle_of_calls_that_show_pictures_a_key_frame_is_asked_for() {
    let folder = folder();
    let (_colours, bot, platform) = sample("colours");
    let shown = recording(folder.path(), "video/h264-cb-360p-fua.pcap");
    let arguments = [
        &["load", "--bot", &bot, "--listen", &platform, "--rate", "1", "--duration", "2s"][..],
        &["--media", "--play", &shown, "--hold", "6s", "--slo", "errors<=0% min 2"],
        // The bot encodes what it shows: it has a key frame whenever it is asked.
        &["--slo", "first_frame.max<4s min 2", "--slo", "key_frame.max<2s min 2"],
    ];
    let ran = callrig(folder.path(), &arguments.concat());
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
    assert!(ran.out.contains("key_frame"), "{}", ran.out);
}

#[test]
fn a_bot_of_ours_says_something_to_everybody() {
    let folder = folder();
    let mut file = std::io::Cursor::new(Vec::new());
    let tone = (0..16_000).map(|at| if at % 40 < 20 { 4_000_i16 } else { -4_000 });
    callrig_corpora::format::wav::write_pcm(&mut file, 16_000, 1, tone).expect("it is a WAV");
    std::fs::write(folder.path().join("tone.wav"), file.into_inner()).expect("there is room");
    let arguments = [
        &["load", "--rate", "4", "--duration", "2s", "--media", "--say", "tone.wav"][..],
        &["--hold", "2s", "--slo", "media.max<2s min 8", "--slo", "errors<=0% min 8"],
    ];
    let ran = callrig(folder.path(), &arguments.concat());
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
    // Without it nothing comes, and of nothing nothing is known.
    let arguments = [
        &["load", "--rate", "4", "--duration", "1s", "--media", "--hold", "1s"][..],
        &["--slo", "jitter.p(50)<1s min 1"],
    ];
    let ran = callrig(folder.path(), &arguments.concat());
    assert_eq!(ran.code, 6, "{} {}", ran.out, ran.err);
}

#[test]
fn what_vanishes_or_makes_no_sense_is_never_green() {
    let folder = folder();
    for (arguments, part) in [
        (vec!["--slo", "p(99<20ms"], "column 5"),
        (vec!["--slo", "hold.p(99)<20ms"], "no step"),
        (vec!["--rate", "fast"], "calls per second"),
        (vec!["--rate", "0"], "not a single call"),
        (vec!["--rate", "1000000", "--duration", "7days"], "more than"),
        (vec!["--replay", "none.txt"], "none.txt"),
        (vec!["--twin", "none.json"], "none.json"),
        (vec!["--http", "ftp://x/"], "only http"),
        (vec!["--http", "no url"], "no url"),
        (vec!["--find-capacity", "--rate", "1..2", "--slo", "max<1s"], "one --rate"),
        (
            vec!["--find-capacity", "--rate-max", "inf", "--rate", "1", "--slo", "max<1s"],
            "--rate-max",
        ),
        (vec!["--slo", "loss.p(99)<1%"], "add --media"),
        (vec!["--media", "--slo", "loss.p(99)<1ms"], "'%'"),
        (vec!["--bot", "no url"], "no url"),
        (vec!["--media", "--say", "none.wav"], "none.wav"),
        (vec!["--app-id", "somebody"], "--url"),
    ] {
        let ran = callrig(folder.path(), &[&["load"], &arguments[..]].concat());
        assert_eq!(ran.code, 2, "{arguments:?}: {} {}", ran.out, ran.err);
        says(&ran, &[part]);
    }
    // Somebody else listens there.
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("there are ports");
    let taken = taken.local_addr().map(|at| (taken, at.to_string())).expect("it is bound");
    let bot = ["load", "--bot", "http://127.0.0.1:9/", "--listen", &taken.1];
    let ran = callrig(folder.path(), &bot);
    assert_eq!(ran.code, 1, "{}", ran.err);
    says(&ran, &["cannot be started", &taken.1]);
    let ran = callrig(folder.path(), &["load", "--media", "--play", "audio/none"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    says(&ran, &["--play audio/none", "no file"]);
    std::fs::write(folder.path().join("bad.json"), "{\"schema_version\": 99")
        .expect("there is room");
    let ran = callrig(folder.path(), &["load", "--twin", "bad.json"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    // Nobody listens: every call fails, and without an objective nothing is known.
    let nobody = ["load", "--http", "http://127.0.0.1:9/", "--rate", "50", "--duration", "1s"];
    let ran = callrig(folder.path(), &nobody);
    assert_eq!(ran.code, 6, "{} {}", ran.out, ran.err);
    let ran = callrig(folder.path(), &[&nobody[..], &["--slo", "errors<1%"]].concat());
    assert_eq!(ran.code, 5, "{} {}", ran.out, ran.err);
    let ran = callrig(folder.path(), &[&nobody[..], &["--slo", "p(99)<1s min 10"]].concat());
    assert_ne!(ran.code, 0, "what fails at once is not fast: {} {}", ran.out, ran.err);
}
