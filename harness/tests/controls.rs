//! Controls: each deliberately broken stage of the product is found out by the case that
//! names its fault. One bug is switched on at a time, a recording is played through it, and
//! the judges look at what happened: without the bug the case passes, with it the very rule
//! is broken. Which rules no control breaks is written down, with the reason.

use core::time::Duration;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use callrig::case::{self, Case, Evidence, Judgement};
use callrig::link::{self, PartsPerMillion, Reordering};
use callrig::network::{self, Network};
use callrig::seed::Seed;
use callrig::stage::{self, Stage};
use callrig::subject::{About, Subject};
use callrig_corpora::manifest::Manifest;
use callrig_corpora::open_path;
use callrig_media::fault::{self as media, Fault as Media};
use callrig_reports::{CaseResult, Level, Verdict};
use callrig_signaling::fault::{self as signaling, Fault as Signaling};
use rayon::prelude::*;

/// One bug, of either crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Media(Media),
    Signaling(Signaling),
}

impl Fault {
    /// Does something with the bug switched on in this thread.
    fn during<T>(self, act: impl FnOnce() -> T) -> T {
        match self {
            Self::Media(fault) => {
                let _guard = media::switch_on(fault);
                act()
            }
            Self::Signaling(fault) => {
                let _guard = signaling::switch_on(fault);
                act()
            }
        }
    }
}

/// A bug, what is played where, and the rule that is broken by it.
struct Control {
    fault: Fault,
    recording: &'static str,
    network: &'static str,
    rule: &'static str,
}

const fn control(
    fault: Media,
    recording: &'static str,
    network: &'static str,
    rule: &'static str,
) -> Control {
    Control { fault: Fault::Media(fault), recording, network, rule }
}

const fn calls(fault: Signaling, recording: &'static str, rule: &'static str) -> Control {
    watched(fault, recording, "clean", rule)
}

const fn watched(
    fault: Signaling,
    recording: &'static str,
    network: &'static str,
    rule: &'static str,
) -> Control {
    Control { fault: Fault::Signaling(fault), recording, network, rule }
}

const OPUS: &str = "audio/opus-20ms-24k-swb-ru";
const WRAP: &str = "audio/opus-wrap-en";
const PCMU: &str = "audio/pcmu-silence";
const MUSIC: &str = "audio/pcmu-10ms-music";
const STEREO: &str = "audio/opus-20ms-64k-stereo-music";
const LONG: &str = "audio/pcmu-20ms-en";
/// Cut into packets here: no sender is more even.
const EVEN: &str = "audio/speech-en";
const LAYERS: &str = "video/h264-three-layers";
const SCREEN: &str = "video/call-camera-screen-layers";
const LONGEST: &str = "dtmf/long-presses";
const KEYS: &str = "dtmf/events-alone";
const REPEATED_ENDS: &str = "dtmf/short-presses";
const LOST_ENDS: &str = "dtmf/lost-ends";
const INBAND: &str = "dtmf/inband-over-opus";
const SMALL: &str = "video/h264-180p-single-nal";
const AGGREGATES: &str = "video/h264-180p-stap-a";
const WIDE: &str = "video/h264-cb-360p-fua";
const FRAGMENTS: &str = "video/h264-ipv6";

const CONTROLS: &[Control] = &[
    control(Media::SequenceOffByOne, WRAP, "clean", "rtp/extended-sequence/as-on-the-wire"),
    control(Media::WrapNotCounted, WRAP, "clean", "rtp/extended-sequence/as-on-the-wire"),
    control(
        Media::RestartIgnored,
        "quirks/same-ssrc-restarts",
        "clean",
        "rtp/recorded-truth/counts",
    ),
    control(Media::JitterInMilliseconds, OPUS, "wifi", "rtp/jitter/formula"),
    control(Media::JitterDivisorEight, OPUS, "wifi", "rtp/jitter/formula"),
    control(Media::JitterSecondsAtEightKilohertz, OPUS, "wifi", "rtp/jitter/in-timestamp-units"),
    control(Media::LossIgnoresDuplicates, OPUS, "duplicate", "rtp/loss/cumulative"),
    control(Media::ReorderedCountedMissing, OPUS, "reorder", "rtp/loss/numbers-without-packet"),
    control(Media::DuplicateCountedReordered, OPUS, "duplicate", "rtp/order/duplicated"),
    control(Media::DuplicateCountedReordered, OPUS, "duplicate", "rtp/order/reordered"),
    control(Media::GapMinHalved, LONG, "loss-5", "rtp/bursts/gmin-16"),
    control(Media::FractionLostInPercent, LONG, "loss-5", "rtcp/reception-reports/fraction-lost"),
    control(Media::ExpectedOffByOne, OPUS, "clean", "rtcp/reception-reports/cumulative-loss"),
    control(Media::ReportedJitterUnscaled, OPUS, "wifi", "rtcp/reception-reports/jitter"),
    control(
        Media::ReportedHighestWithoutCycles,
        WRAP,
        "clean",
        "rtcp/reception-reports/highest-sequence",
    ),
    control(
        Media::DelaySinceReportInMilliseconds,
        LONG,
        "clean",
        "rtcp/reception-reports/round-trip",
    ),
    control(Media::ReportsNeverSent, LONGEST, "clean", "rtcp/reception-reports/sent"),
    control(Media::CanonicalNameMissing, OPUS, "clean", "rtcp/compound/has-a-name"),
    control(Media::ReportNotFirst, OPUS, "clean", "rtcp/compound/begins-with-a-report"),
    control(Media::SenderReportASecondLate, LOST_ENDS, "clean", "rtcp/sender-reports/clocks"),
    control(Media::OctetsWithHeaders, LOST_ENDS, "clean", "rtcp/sender-reports/counts"),
    control(Media::GoodbyeForgotten, KEYS, "clean", "rtcp/farewell/said"),
    control(Media::GoodbyeTooEarly, KEYS, "clean", "rtcp/farewell/nothing-follows"),
    control(Media::ReceivedAskedFor, FRAGMENTS, "reorder", "rtcp/nack/missing-only"),
    control(Media::AskedForWithoutEnd, FRAGMENTS, "loss-5", "rtcp/nack/bounded"),
    control(Media::NeverAskedFor, SMALL, "loss-5", "recovery/sent-again/asked-for"),
    control(Media::NeverSentAgain, SMALL, "loss-5", "recovery/sent-again/answered"),
    control(Media::SentAgainChanged, SMALL, "loss-5", "recovery/sent-again/unchanged"),
    control(Media::RecoveredKeptBack, SMALL, "loss-5", "recovery/sent-again/passed-on"),
    control(Media::PictureTouched, SMALL, "loss-5", "recovery/watching/like-a-clean-decoding"),
    control(Media::OneselfHeard, LONG, "clean", "meeting/hearing/not-oneself"),
    calls(Signaling::MixNeverSent, LONG, "meeting/hearing/heard"),
    control(Media::SoftestHeard, LONG, "clean", "meeting/crowd/loudest-are-heard"),
    control(Media::OneselfHeard, LONG, "clean", "meeting/crowd/not-oneself"),
    calls(Signaling::LoudestNotNamed, LONG, "meeting/crowd/named"),
    calls(Signaling::PictureCutShort, SMALL, "meeting/seeing/as-sent"),
    calls(Signaling::PicturesLeftOut, SMALL, "meeting/seeing/all-on-clean"),
    calls(Signaling::PicturesLeftOut, SMALL, "meeting/coming-late/all-from-then-on"),
    calls(Signaling::PictureWithoutKeyFrame, SMALL, "meeting/coming-late/key-frame-first"),
    calls(Signaling::KeyFrameNotAskedFor, SMALL, "meeting/coming-late/asked-for"),
    watched(Signaling::PictureCutShort, SMALL, "wifi", "watching/seeing/as-sent"),
    watched(
        Signaling::PicturesLeftOut,
        SMALL,
        "wifi",
        "watching/seeing/nothing-after-a-reference-left-out",
    ),
    control(Media::NeverSentAgain, SMALL, "loss-5", "watching/sent-again/answered"),
    control(Media::SentAgainChanged, SMALL, "loss-5", "watching/sent-again/unchanged"),
    control(Media::PathIgnored, WIDE, "bottleneck-300k", "watching/narrow-path/short-queue"),
    control(Media::PathIgnored, WIDE, "bottleneck-300k", "watching/narrow-path/little-lost"),
    watched(Signaling::PictureCutShort, LAYERS, "wifi", "watching/layers/as-sent"),
    watched(Signaling::PictureWithoutKeyFrame, LAYERS, "lte", "watching/layers/key-frame-first"),
    watched(
        Signaling::SmallestLayerChosen,
        LAYERS,
        "lte",
        "watching/layers/largest-on-a-wide-path",
    ),
    watched(
        Signaling::LayerTooLargeChosen,
        LAYERS,
        "bottleneck-300k",
        "watching/layers/one-that-fits",
    ),
    watched(Signaling::PictureCutShort, SCREEN, "wifi", "watching/screen/as-sent"),
    watched(Signaling::PictureWithoutKeyFrame, SCREEN, "lte", "watching/screen/key-frame-first"),
    watched(
        Signaling::SmallestLayerChosen,
        SCREEN,
        "lte",
        "watching/screen/largest-on-a-wide-path",
    ),
    control(Media::ScreenLikeCamera, SCREEN, "bottleneck-300k", "watching/screen/screen-first"),
    control(Media::SoundStampedTwiceAsFast, LONG, "lte", "watching/hearing/one-stream"),
    control(Media::LossUnheeded, OPUS, "loss-20", "watching/hearing/protected-from-loss"),
    control(Media::DatagramNotCounted, OPUS, "clean", "rtp/conservation/every-datagram-was-seen"),
    control(Media::DropNotSaid, "hostile/truncated-headers", "clean", "hostile/says-why/each-said"),
    control(Media::LatePacketPlayed, LONG, "late", "audio/late-packets-not-played/given-up"),
    control(Media::DuplicatePlayed, OPUS, "duplicate", "audio/in-order/forward"),
    control(Media::OvertakenPlayed, LONG, "late", "audio/in-order/forward"),
    control(Media::JitterNotFollowed, OPUS, "jitter-80", "audio/adapts/few-late-packets"),
    control(Media::DriftNotFollowed, LONG, "fast", "audio/adapts/delay-does-not-drift"),
    control(Media::DriftNotFollowed, EVEN, "slow", "audio/adapts/no-concealment-for-drift"),
    control(Media::LeftoverTakenForReserve, EVEN, "slow", "audio/adapts/no-concealment-for-drift"),
    control(Media::PacketForgotten, LONG, "late", "audio/conservation/packets"),
    control(Media::SamplesUncounted, OPUS, "loss-5", "audio/conservation/samples"),
    control(Media::ConcealedThoughPresent, OPUS, "clean", "audio/bit-exact-on-clean/untouched"),
    control(
        Media::ConcealedThoughPresent,
        OPUS,
        "clean",
        "audio/concealment-only-for-loss/none-on-clean",
    ),
    control(Media::SamplesUncounted, OPUS, "loss-5", "audio/conservation/made-up-samples"),
    control(Media::PacketForgotten, LONG, "late", "rtp/conservation/received-is-accounted-for"),
    control(Media::PacketForgotten, "hostile/replays", "late", "hostile/survives/conserved"),
    control(Media::PlayoutAddsDelay, OPUS, "clean", "audio/delay/at-most-400-ms"),
    control(Media::PlayedOneTooLoud, PCMU, "clean", "audio/bit-exact-on-clean/as-decoded"),
    control(Media::LawsSwapped, MUSIC, "clean", "audio/bit-exact-on-clean/as-decoded"),
    control(Media::ChannelsSwapped, STEREO, "clean", "audio/bit-exact-on-clean/as-decoded"),
    control(Media::DigitAgainAtEachEnd, REPEATED_ENDS, "clean", "dtmf/exactly-once/said"),
    control(Media::StarTakenForPound, KEYS, "clean", "dtmf/exactly-once/no-other"),
    control(Media::DigitAgainAtEachEnd, REPEATED_ENDS, "clean", "dtmf/exactly-once/as-recorded"),
    control(Media::LostEndNeverReported, LOST_ENDS, "clean", "dtmf/exactly-once/said"),
    control(Media::TicksTakenForMilliseconds, KEYS, "clean", "dtmf/duration/largest-reported"),
    control(Media::EndAlwaysLost, KEYS, "clean", "dtmf/duration/end"),
    control(Media::FragmentEndDropped, FRAGMENTS, "clean", "video/no-damaged-frame/byte-for-byte"),
    control(Media::GapIgnored, FRAGMENTS, "loss-5", "video/no-damaged-frame/byte-for-byte"),
    control(Media::AggregateCut, AGGREGATES, "clean", "video/no-damaged-frame/byte-for-byte"),
    control(Media::ParameterSetsDropped, SMALL, "clean", "video/all-shown-on-clean/whole-frames"),
    control(Media::FrameTwice, SMALL, "clean", "video/no-damaged-frame/once"),
    control(Media::MarkerIgnored, SMALL, "clean", "video/all-shown-on-clean/whole-frames"),
    control(Media::PictureTouched, SMALL, "clean", "video/no-wrong-picture/like-a-clean-decoding"),
    control(
        Media::LostReferenceIgnored,
        SMALL,
        "loss-5",
        "video/no-damaged-frame/nothing-after-a-lost-reference",
    ),
    control(Media::KeyFrameNeverAskedFor, SMALL, "loss-5", "video/key-frame-request/asks"),
    control(Media::KeyFrameAskedForAlways, FRAGMENTS, "loss-5", "video/key-frame-request/seldom"),
    control(Media::FrameLostSilently, SMALL, "loss-5", "video/conservation/one-fate"),
    control(Media::PlanesSwapped, SMALL, "clean", "video/all-shown-on-clean/digest"),
    calls(Signaling::NotificationsOutOfOrder, KEYS, "calls/notifications/media-active"),
    calls(Signaling::EndNeverTold, KEYS, "calls/notifications/states-in-order"),
    calls(Signaling::NextBeforeAnswer, KEYS, "calls/notifications/one-at-a-time"),
    calls(Signaling::MediaActiveNeverSaid, KEYS, "calls/notifications/media-active"),
    calls(Signaling::EndToldTooEarly, KEYS, "calls/notifications/nothing-after-deletion"),
    calls(Signaling::EndToldTooEarly, PCMU, "calls/media/only-within-a-call"),
    calls(Signaling::OperationEndsTwice, KEYS, "calls/operations/completed-once"),
    calls(Signaling::PromptEndLost, KEYS, "calls/operations/completed-once"),
    calls(Signaling::LocationMissing, KEYS, "calls/operations/location"),
    calls(Signaling::EndWithoutResult, PCMU, "calls/hang-up/result-info"),
    calls(Signaling::EndWithoutResult, "hostile/garbage", "hostile/survives/ends-well"),
    calls(Signaling::EnvelopeUntyped, KEYS, "calls/notifications/envelope"),
    calls(Signaling::ResourceUnnamed, KEYS, "calls/notifications/resource"),
    calls(Signaling::NotificationRefused, KEYS, "calls/notifications/taken"),
    calls(Signaling::MediaNotRelayed, PCMU, "calls/media/arrives"),
    calls(Signaling::AnswerNeverSent, PCMU, "calls/answer/within-15-seconds"),
    calls(Signaling::ToneNumberStandsStill, INBAND, "dtmf/notified/sequence-rises-from-1"),
    calls(Signaling::ToneNotTold, INBAND, "dtmf/notified/every-key"),
    calls(Signaling::SubscriptionRefused, KEYS, "dtmf/notified/subscription-answered"),
];

/// Rules that must be kept and that no control breaks, with the reason.
const UNCOVERED: &[(&str, &str)] = &[
    (
        "audio/bit-exact-on-clean/digest",
        "it is about the recording: the judges decode it themselves",
    ),
    (
        "audio/concealment-only-for-loss/bounded",
        "what the playout says it threw away excuses what it made up instead",
    ),
    ("audio/delay/not-before-it-arrived", "in this world nobody has what has not arrived"),
    ("audio/quality/like-the-reference", "no recording states how like its reference it must be"),
    (
        "hostile/says-why/good-taken",
        "a receiver may be as strict as it says; none is dishonest here",
    ),
    ("hostile/says-why/rubbish-refused", "taking rubbish for a stream needs a sender of it"),
    ("hostile/survives/bounded", "no recording has more sources than streams are kept"),
    ("recovery/watching/not-before-it-was-sent", "in this world nobody has what was not sent"),
    ("video/watching/not-before-it-was-sent", "in this world nobody has what was not sent"),
];

/// Networks of the controls' own, beside the presets.
fn network(name: &str) -> Network {
    let clean = *network::find("clean").expect("a preset");
    match name {
        "late" => {
            // A few packets, and by so much that nobody waits for them.
            let reordering = Some(Reordering {
                share: PartsPerMillion::percent(1),
                hold_min: Duration::from_millis(300),
                hold_max: Duration::from_millis(400),
            });
            Network { name: "late", link: link::Config { reordering, ..clean.link }, ..clean }
        }
        "jitter-80" => {
            let spread = Duration::from_millis(80);
            let jitter = link::Jitter { spread, overtaking: true, ..link::Jitter::default() };
            let delay = Duration::from_millis(200);
            // The name by which judges know that jitter is to be followed.
            Network {
                name: "jitter-40",
                link: link::Config { delay, jitter, ..clean.link },
                ..clean
            }
        }
        "fast" => Network { name: "fast", drift_ppm: 8_000, ..clean },
        // Ten times the worst of clocks, so that fifteen seconds show what minutes would.
        "slow" => Network { name: "slow", drift_ppm: -4_000, ..clean },
        preset => *network::find(preset).expect("a preset"),
    }
}

fn subject(id: &str) -> Arc<Subject> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpora");
    let manifest = Manifest::read(&corpora.join("manifest.toml")).expect("it is in git");
    let entry = manifest.entry(id).unwrap_or_else(|| panic!("{id} is in the manifest"));
    let opened = open_path(&manifest.path_of(entry)).expect("recordings can be opened");
    let about = About {
        id: id.to_owned(),
        sha256: Some(entry.sha256),
        entry: Some(entry.clone()),
        ..About::default()
    };
    let subjects = Subject::of(&opened, &about).expect("it can be played");
    Arc::new(subjects.into_iter().next().expect("somebody speaks in it"))
}

/// The case that judges a rule.
fn case_of(rule: &str) -> &'static Case {
    let judges = |case: &&Case| (case.requirements)().iter().any(|one| one.id == rule);
    case::all().iter().find(judges).unwrap_or_else(|| panic!("no case judges {rule}"))
}

/// What every case that wants this stage says; a panic is told as text.
fn judged(
    subject: &Subject,
    network: &Network,
    stage: Stage,
    fault: Option<Fault>,
) -> Result<Vec<CaseResult>, String> {
    let perform = || stage::perform(subject, network, stage, Seed::new(11));
    let performance = catch_unwind(AssertUnwindSafe(|| match fault {
        Some(fault) => fault.during(perform),
        None => perform(),
    }))
    .map_err(|_| "a panic".to_owned())?
    .map_err(|error| error.to_string())?;
    let evidence = Evidence {
        subject,
        network,
        trace: &performance.trace,
        cast: performance.cast,
        epoch: stage::epoch(),
        uplink: performance.uplink,
        downlink: performance.downlink,
        stop: performance.stop,
        costs: &performance.costs,
    };
    // A bot that gives up is a finding here: the judges see what crossed all the same.
    let fault = performance.fault().filter(|_| fault.is_none());
    let wanted = case::all().iter().filter(|case| case.stage == stage);
    let wanted = wanted.filter(|case| (case.applies)(subject, network));
    let judge = |case: &Case| match &fault {
        Some(fault) => Judgement::error(fault.clone()),
        None => (case.judge)(&evidence),
    };
    Ok(wanted.map(|case| judge(case).into_result(case, subject, network)).collect())
}

const fn is_red(result: &CaseResult) -> bool {
    !matches!(result.verdict, Verdict::Pass | Verdict::Unsupported)
}

/// What a control came to.
struct Outcome {
    /// Why it proves nothing, if so.
    failure: Option<String>,
    collateral: Vec<String>,
}

fn attempt(control: &Control, sound: &Result<Vec<CaseResult>, String>) -> Outcome {
    let case = case_of(control.rule);
    let failed = |failure: String| Outcome { failure: Some(failure), collateral: Vec::new() };
    let sound = match sound {
        Ok(results) => results,
        Err(reason) => return failed(format!("without the fault: {reason}")),
    };
    match sound.iter().find(|result| result.id == case.id) {
        None => return failed(format!("{} does not apply", case.id)),
        Some(result) if is_red(result) => {
            return failed(format!(
                "red without the fault: {:?} {:?}",
                result.verdict, result.findings
            ));
        }
        Some(_) => {}
    }
    let subject = subject(control.recording);
    let network = network(control.network);
    let broken = match judged(&subject, &network, case.stage, Some(control.fault)) {
        Ok(results) => results,
        Err(reason) => return failed(format!("with the fault: {reason}")),
    };
    let red_before = |id: &str| sound.iter().any(|result| result.id == id && is_red(result));
    let collateral = broken
        .iter()
        .filter(|result| is_red(result) && result.id != case.id && !red_before(&result.id))
        .map(|result| result.id.clone())
        .collect();
    let result = broken.iter().find(|result| result.id == case.id);
    let findings = result.map(|result| &result.findings[..]).unwrap_or_default();
    let named = findings.iter().any(|finding| finding.requirement == control.rule);
    let found: BTreeSet<&str> =
        findings.iter().map(|finding| finding.requirement.as_str()).collect();
    let failure = (!named)
        .then(|| format!("not found out: {:?}, {found:?}", result.map(|result| result.verdict)));
    Outcome { failure, collateral }
}

#[test]
fn each_broken_stage_is_found_out_by_the_rule_that_names_its_fault() {
    // Controls of one performance share the one without a fault.
    let mut groups: Vec<(&str, &str, Stage, Vec<usize>)> = Vec::new();
    for (index, control) in CONTROLS.iter().enumerate() {
        let stage = case_of(control.rule).stage;
        let key = (control.recording, control.network, stage);
        match groups.iter_mut().find(|group| (group.0, group.1, group.2) == key) {
            Some(group) => group.3.push(index),
            None => groups.push((key.0, key.1, key.2, vec![index])),
        }
    }
    let outcomes: Vec<Vec<(usize, Outcome)>> = groups
        .par_iter()
        .with_max_len(1)
        .map(|(recording, preset, stage, indices)| {
            let sound = judged(&subject(recording), &network(preset), *stage, None);
            indices.iter().map(|&index| (index, attempt(&CONTROLS[index], &sound))).collect()
        })
        .collect();
    let mut outcomes: Vec<(usize, Outcome)> = outcomes.into_iter().flatten().collect();
    outcomes.sort_by_key(|(index, _)| *index);
    let mut sizes: Vec<usize> = Vec::new();
    let mut failures = Vec::new();
    for (index, outcome) in &outcomes {
        let Control { fault, recording, network, rule } = &CONTROLS[*index];
        let verdict = outcome.failure.as_deref().unwrap_or("found out");
        let line = format!("{fault:?} in {recording} on {network}, {rule}: {verdict}");
        println!("{line}; also red: {:?}", outcome.collateral);
        sizes.push(outcome.collateral.len());
        failures.extend(outcome.failure.as_ref().map(|_| line));
    }
    sizes.sort_unstable();
    println!("{} controls, median of others red {}", sizes.len(), sizes[sizes.len() / 2]);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn there_are_enough_controls_and_every_fault_has_one() {
    let used: BTreeSet<Fault> = CONTROLS.iter().map(|control| control.fault).collect();
    assert!(used.len() >= 25, "{}", used.len());
    let faults = Media::ALL.iter().map(|fault| Fault::Media(*fault));
    let faults = faults.chain(Signaling::ALL.iter().map(|fault| Fault::Signaling(*fault)));
    let unused: Vec<Fault> = faults.filter(|fault| !used.contains(fault)).collect();
    assert_eq!(unused, []);
    let rows: BTreeSet<(Fault, &str)> =
        CONTROLS.iter().map(|control| (control.fault, control.rule)).collect();
    assert_eq!(rows.len(), CONTROLS.len(), "no control is there twice");
}

#[test]
fn every_rule_that_must_be_kept_has_a_control_or_a_reason() {
    let covered: BTreeSet<&str> = CONTROLS.iter().map(|control| control.rule).collect();
    let requirements: Vec<_> = case::all().iter().flat_map(|case| (case.requirements)()).collect();
    let musts: BTreeSet<&str> = requirements
        .iter()
        .filter(|one| one.level == Level::Must)
        .map(|one| one.id.as_str())
        .collect();
    let uncovered: BTreeSet<&str> = musts.difference(&covered).copied().collect();
    for (rule, reason) in UNCOVERED {
        println!("no control breaks {rule}: {reason}");
    }
    let stated: BTreeSet<&str> = UNCOVERED.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(uncovered, stated, "of {} rules", musts.len());
}
