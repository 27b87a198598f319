//! Judging bots: the samples are in order, faulty ones are found out, hostile ones do no
//! harm, and the same is found every time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use axum::routing::post;
use callrig::app::hosted::Program;
use callrig::app::{App, Settings, Task};
use callrig::bots::samples;
use callrig::case::Selection;
use callrig::seed::Seed;
use callrig::validate::bot::explore::{Step, explore};
use callrig::validate::bot::live::{self, Subject};
use callrig::validate::bot::mutant::{Change, Mutant, To, faults, matrix};
use callrig::validate::bot::profile::{Profile, READY};
use callrig::validate::bot::run::{Plan, Rigour};
use callrig::validate::bot::script::Script;
use callrig::validate::bot::simulate;
use callrig_reports::{CaseResult, Verdict};
use callrig_signaling::bot::Bot;
use callrig_signaling::graph::Tone;

const APP: &str = "11111111-1111-4111-8111-111111111111";

fn selection(globs: &[&str]) -> Selection {
    let globs: Vec<String> = globs.iter().map(|&glob| glob.to_owned()).collect();
    Selection::new(&globs).expect("the patterns are sound")
}

/// What the cases find about a sample, in virtual time.
fn about(name: &str, globs: &[&str], seed: u64) -> Vec<CaseResult> {
    let sample = samples::find(name).expect("it is there");
    let profile = Profile::named(sample.profile).expect("ready profiles are sound");
    let plan = Plan::new(&profile, &selection(globs));
    let seed = Seed::new(seed);
    let play = |script| simulate::play(script, simulate::bot(sample.program, seed), seed);
    let transcripts: Vec<_> = plan.scripts.iter().map(play).collect();
    plan.judge(&transcripts, &Rigour::default())
}

/// What is wrong, in words.
fn wrong(results: &[CaseResult]) -> String {
    let wrong = results
        .iter()
        .filter(|result| !matches!(result.verdict, Verdict::Pass | Verdict::Unsupported));
    let words = wrong.map(|result| {
        let findings = result.findings.iter().map(|finding| {
            let evidence = finding.evidence.join("\n      ");
            format!("\n    {} / {}\n      {evidence}", finding.expected, finding.actual)
        });
        let findings: String = findings.collect();
        format!("{} {} {:?}{findings}\n", result.id, result.verdict.word(), result.reason)
    });
    words.collect()
}

#[test]
fn every_sample_is_in_order() {
    for sample in samples::ALL {
        // Media costs time even where it is virtual: all of it is tried with the kill matrix.
        let own = Profile::named(sample.profile).is_ok_and(|profile| profile.media.is_some());
        let globs: &[&str] = if own { &["bot/own-media/**", "bot/answer/**"] } else { &[] };
        let results = about(sample.name, globs, 1);
        assert_eq!(wrong(&results), "", "{}", sample.name);
        let passed = results.iter().filter(|result| result.verdict == Verdict::Pass).count();
        assert!(passed >= 10, "{}: only {passed} cases passed", sample.name);
    }
}

#[test]
fn a_verdict_is_the_same_a_hundred_times() {
    let once = || {
        let globs = ["bot/tokens/incoming/**", "bot/notifications/twice/**"];
        serde_json::to_string(&about("ivr", &globs, 7)).expect("results are JSON")
    };
    let first = once();
    assert!(first.len() > 1_000);
    for round in 1..100 {
        assert_eq!(once(), first, "round {round}");
    }
}

#[test]
fn faulty_bots_are_found_out_by_the_case_that_is_about_their_fault() {
    let chosen: Vec<_> = faults::all().into_iter().step_by(37).collect();
    let rows = matrix::all(&chosen, Seed::new(1), |_| {});
    let alive = rows.iter().filter(|row| !row.killed).count();
    assert!(alive * 20 <= rows.len(), "{}", matrix::missed(&rows));
}

#[test]
fn every_fault_is_of_a_case_that_there_is() {
    let ids = |bot: &str| -> Vec<String> {
        let sample = samples::find(bot).expect("faults are of samples");
        let profile = Profile::named(sample.profile).expect("ready profiles are sound");
        let plan = Plan::new(&profile, &selection(&[]));
        let applies = plan.cases.iter().filter(|case| case.script.is_ok());
        applies.map(|case| case.id.clone()).collect()
    };
    for sample in samples::ALL {
        let known = ids(sample.name);
        for fault in faults::all().iter().filter(|fault| fault.bot == sample.name) {
            let name = fault.name();
            assert!(known.contains(&fault.caught_by), "{name}: no case {}", fault.caught_by);
        }
    }
}

#[test]
fn a_profile_that_is_not_understood_says_where() {
    let bad = [
        ("name = \"x\"\nkeys = 3\n", "keys"),
        ("name = \"x\"\n[[key]]\npress = \"12\"\nthen = \"plays\"\n", "12"),
        ("name = \"x\"\n[greets]\nwithin = \"soon\"\n", "soon"),
        ("name = \"x\"\n[[scenario]]\nname = \"y\"\nexpect = []\n", "nothing is expected"),
        ("name = \"x\"\ncalls = \"never\"\n", "outgoing"),
    ];
    for (text, word) in bad {
        let error = Profile::parse("my.toml", text).expect_err("it is not sound").to_string();
        assert!(error.contains("my.toml") && error.contains(word), "{error}");
    }
    for (name, text) in READY {
        Profile::parse(name, text).expect("ready profiles are sound");
    }
}

#[test]
fn a_vendors_scenario_is_played_and_judged() {
    let text = format!(
        "{}\n{}",
        READY.iter().find(|(name, _)| *name == "ivr").expect("it is there").1,
        r#"
        [[scenario]]
        name = "the hours are read out"
        when = [{ quiet = 1, after = "200ms", press = "1" }]
        expect = [{ hears = 2, within = "3s" }, { asks = "playPrompt", times = 2 }]

        [[scenario]]
        name = "nobody is hung up on at once"
        expect = [{ over = true, within = "2s" }]
        "#
    );
    let profile = Profile::parse("my.toml", &text).expect("it is sound");
    let sample = samples::find("ivr").expect("it is there");
    let plan = Plan::new(&profile, &selection(&["bot/scenario/**"]));
    let seed = Seed::new(1);
    let play = |script| simulate::play(script, simulate::bot(sample.program, seed), seed);
    let transcripts: Vec<_> = plan.scripts.iter().map(play).collect();
    let results = plan.judge(&transcripts, &Rigour::default());
    let verdicts: Vec<_> =
        results.iter().map(|result| (result.id.as_str(), result.verdict)).collect();
    assert_eq!(
        verdicts,
        [
            ("bot/scenario/the-hours-are-read-out", Verdict::Pass),
            ("bot/scenario/nobody-is-hung-up-on-at-once", Verdict::Fail),
        ],
        "{}",
        wrong(&results)
    );
}

/// What becomes of the scenarios in a profile, written to a file with a recording beside it.
fn scenarios(program: Program, text: &str) -> Vec<CaseResult> {
    let folder = tempfile::tempdir().expect("there is room");
    let speech = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpora/recordings/audio/speech-en.wav");
    std::fs::copy(speech, folder.path().join("speech.wav")).expect("it can be copied");
    let file = folder.path().join("my.toml");
    std::fs::write(&file, text).expect("it can be written");
    let profile = Profile::named(&file.display().to_string());
    let profile = profile.unwrap_or_else(|error| panic!("{error}"));
    let plan = Plan::new(&profile, &selection(&["bot/scenario/**"]));
    let seed = Seed::new(1);
    let play = |script| simulate::play(script, simulate::bot(program, seed), seed);
    let transcripts: Vec<_> = plan.scripts.iter().map(play).collect();
    plan.judge(&transcripts, &Rigour::default())
}

#[test]
fn a_scenario_plays_a_recording_and_looks_at_what_comes_back() {
    let text = r#"
        name = "echo"
        calls = "answers"
        [media]
        sound = "echoes"
        [[scenario]]
        name = "what is said is heard"
        when = [{ told = "media-active", after = "500ms", play = "speech.wav" }]
        expect = [{ hears = 1, within = "2s" }, { sees = "change", within = "2s" }]
        [[scenario]]
        name = "a still picture"
        when = [{ told = "media-active", after = "500ms", speak = "1s" }]
        expect = [{ sees = "picture", within = "2s" }, { hears_key = "7", within = "2s" }]
    "#;
    let echo = samples::find("echo").expect("it is there");
    let results = scenarios(echo.program, text);
    let verdicts: Vec<_> = results.iter().map(|result| result.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Fail], "{}", wrong(&results));
    let expected: Vec<_> = results[1].findings.iter().map(|finding| &finding.expected).collect();
    assert_eq!(expected, ["the key 7 within 2.0 s"]);
}

/// A bot that presses a key.
fn presses(mut app: App) -> Task {
    Box::pin(async move {
        while let Some(mut call) = app.incoming().await {
            app.line().spawn(async move {
                call.answer().await?;
                let tones = [Tone::Tone7];
                let pause = Duration::from_millis(100);
                let press =
                    move |bot: &mut Bot, now, id| bot.send_dtmf_tones(now, id, &tones, Some(pause));
                call.perform(press).await?;
                call.over().await;
                Ok(())
            });
        }
    })
}

#[test]
fn a_scenario_hears_the_keys_that_a_bot_presses() {
    let text = r#"
        name = "dialler"
        calls = "answers"
        [[scenario]]
        name = "seven is pressed"
        expect = [{ hears_key = "7", within = "4s" }]
        [[scenario]]
        name = "eight is not"
        expect = [{ hears_key = "8", within = "4s" }]
    "#;
    let results = scenarios(presses, text);
    let verdicts: Vec<_> = results.iter().map(|result| result.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Fail], "{}", wrong(&results));
}

#[test]
fn a_recording_that_cannot_be_played_is_named() {
    let folder = tempfile::tempdir().expect("there is room");
    std::fs::write(folder.path().join("x.wav"), b"RIFF\x04\0\0\0WAVE").expect("it can be written");
    for (name, word) in [("none.wav", "none.wav"), ("x.wav", "x.wav")] {
        let text = format!(
            "name = \"x\"\n[[scenario]]\nname = \"y\"\nwhen = [{{ hears = 1, play = \"{name}\" }}]\n\
             expect = [{{ over = true }}]\n"
        );
        let file = folder.path().join("my.toml");
        std::fs::write(&file, text).expect("it can be written");
        let error = Profile::named(&file.display().to_string()).expect_err("it is not sound");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn media_that_crossed_is_kept_with_what_was_found() {
    let fault = faults::all().into_iter().find(|fault| fault.caught_by.ends_with("lip-sync"));
    let fault = fault.expect("there is one");
    let sample = samples::find(fault.bot).expect("faults are of samples");
    let profile = Profile::named(sample.profile).expect("ready profiles are sound");
    let plan = Plan::new(&profile, &selection(&["bot/own-media/lip-sync"]));
    let seed = Seed::new(1);
    let play = |script| {
        let bot = Mutant::new(simulate::bot(sample.program, seed), fault.change.clone());
        simulate::play(script, Box::new(bot), seed)
    };
    let transcripts: Vec<_> = plan.scripts.iter().map(play).collect();
    let results = plan.judge(&transcripts, &Rigour::default());
    assert_eq!(results[0].verdict, Verdict::Warn, "{results:#?}");
    let evidence = &results[0].findings[0].evidence;
    assert!(evidence.iter().any(|line| line.contains("bot > platform  RTP ssrc")), "{evidence:#?}");
    let script = plan.script_of("bot/own-media/lip-sync").expect("it has one");
    let file = transcripts[script].capture.pcapng();
    let opened = callrig_corpora::open_bytes("x.pcapng", file.into());
    let Ok(callrig_corpora::Opened::Recording(recording)) = opened else { panic!("{opened:?}") };
    assert!(recording.arrivals.len() > 300, "{}", recording.arrivals.len());
}

#[test]
fn a_search_finds_the_shortest_that_breaks_a_bot_and_nothing_in_a_sound_one() {
    let profile = Profile::named("ivr").expect("ready profiles are sound");
    let sample = samples::find("ivr").expect("it is there");
    let seed = Seed::new(1);
    let sound = |script: &Script| simulate::play(script, simulate::bot(sample.program, seed), seed);
    let found = explore(&profile, 150, seed, sound).expect("somebody calls it");
    assert!(found.is_none(), "{found:#?}");
    let dies = |script: &Script| {
        let bot = Mutant::new(simulate::bot(sample.program, seed), Change::Dies(To::Garbage));
        simulate::play(script, Box::new(bot), seed)
    };
    let found = explore(&profile, 150, seed, dies).expect("somebody calls it");
    let found = found.expect("garbage is among what is tried");
    let words: Vec<String> = found.steps.iter().map(Step::words).collect();
    assert!(words.len() == 1 && words[0].contains("Garbage"), "{words:?}");
}

/// What the cases find about a bot at a URL, in real time.
async fn live_about(webhook: String, listen: SocketAddr, globs: &[&str]) -> Vec<CaseResult> {
    let profile = Profile::named("ivr").expect("it is sound");
    let plan = Plan::new(&profile, &selection(globs));
    let secret = "demonstration".to_owned();
    let subject = Subject { webhook, app: APP.to_owned(), secret, listen };
    let played = live::play(&subject, &plan.scripts, |_| {}).await.expect("it can be played");
    let slack = played.lateness * 2 + Duration::from_secs(1);
    plan.judge(&played.transcripts, &Rigour { slack, busy: Some(played.lateness) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_in_real_time_gets_the_verdicts_of_virtual_time() {
    let listen = crate::free_address();
    let platform = format!("http://{listen}");
    let mut settings = Settings::new(APP, "demonstration").at(&platform);
    settings.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let app = App::start(settings).await.expect("a bot can be started");
    let webhook = format!("http://{}/api/calls", app.address());
    let ivr = samples::find("ivr").expect("it is there");
    tokio::spawn((ivr.program)(app));
    let globs = ["bot/answer/**", "bot/keys/leads/**", "bot/tokens/incoming/**"];
    let results = live_about(webhook, listen, &globs).await;
    assert_eq!(wrong(&results), "");
    let passed = |results: &[CaseResult]| -> Vec<String> {
        results.iter().filter(|r| r.verdict == Verdict::Pass).map(|r| r.id.clone()).collect()
    };
    assert_eq!(passed(&results), passed(&about("ivr", &globs, 1)));
}

/// A bot that does this with every POST.
async fn hostile<F, R>(reply: F) -> String
where
    F: Fn() -> R + Clone + Send + Sync + 'static,
    R: Future<Output = axum::response::Response> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let router = Router::new().fallback(post(move |_: axum::extract::Request| {
        let reply = reply.clone();
        async move { reply().await }
    }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/api/calls")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_bots_are_findings_in_bounded_time() {
    let silent = hostile(|| async { std::future::pending().await }).await;
    let garbage = hostile(|| async { (http::StatusCode::IM_A_TEAPOT, "\0\u{1}x").into_response() });
    let endless = hostile(|| async {
        let chunk = bytes::Bytes::from(vec![b'x'; 1 << 16]);
        let stream =
            futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
        Body::from_stream(stream).into_response()
    });
    let slow = hostile(|| async {
        let drops = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Some((Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"x")), ()))
        });
        Body::from_stream(drops).into_response()
    });
    let redirects = hostile(|| async {
        let to = [("location", "http://169.254.169.254/latest/meta-data")];
        (http::StatusCode::TEMPORARY_REDIRECT, to).into_response()
    });
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                drop(socket);
            }
        });
        format!("http://{address}/api/calls")
    };
    let nowhere = format!("http://{}/api/calls", crate::free_address());
    let bots = [
        ("silent", silent),
        ("garbage", garbage.await),
        ("endless", endless.await),
        ("slow", slow.await),
        ("redirects", redirects.await),
        ("closed", closed),
        ("nowhere", nowhere),
    ];
    let began = Instant::now();
    let judged = bots.map(|(name, webhook)| async move {
        let globs = ["bot/notifications/taken", "bot/notifications/in-time", "bot/answer/*"];
        (name, live_about(webhook, crate::free_address(), &globs).await)
    });
    for (name, results) in futures_util::future::join_all(judged).await {
        let failed = results.iter().filter(|result| result.verdict == Verdict::Fail);
        let findings: Vec<_> = failed.flat_map(|result| &result.findings).collect();
        assert!(!findings.is_empty(), "{name}: {results:#?}");
        assert!(findings.iter().all(|finding| !finding.evidence.is_empty()), "{name}");
    }
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
}
