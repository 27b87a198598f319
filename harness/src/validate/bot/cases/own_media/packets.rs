//! RTP and RTCP of a bot, whatever they carry.

use core::time::Duration;

use callrig_media::description::MediaKind;
use callrig_media::event::{DropReason, Order};
use callrig_media::time::Instant;

use super::super::super::case::{Case, Outcome, Seen, judged};
use super::super::super::wire::Packet;
use super::{FLOWS, Scripts, dropped, ends, may_flow, millis};
use crate::case::rule::Rule;

const BEGINS: Rule = Rule::must(
    "bot/own-media/begins",
    "this project: within two seconds of the notification that media is active",
    "A bot that handles media itself sends sound as soon as the call stands: until then the \
     caller hears a dead line.",
);
const GOES_ON: Rule = Rule::must(
    "bot/own-media/goes-on",
    "this project: no pause above one second",
    "Sound flows until the call ends, silence included: a line that stops is taken for dead.",
);
const WELL_FORMED: Rule = Rule::must(
    "bot/own-media/rtp-header",
    "RFC 3550 section 5.1 and appendix A.1",
    "A packet has version 2, and its CSRC count, header extension and padding fit into it.",
);
const NUMBERS: Rule = Rule::must(
    "bot/own-media/sequence-numbers",
    "RFC 3550 section 5.1",
    "The sequence number grows by one with each packet that is sent: nobody can tell a jump \
     from loss.",
);
const ONE_SOURCE: Rule = Rule::must(
    "bot/own-media/one-source-a-line",
    "RFC 3550 sections 5.1 and 8.1",
    "A line keeps its SSRC for the whole call, and no two lines have the same one.",
);
const PAYLOAD_TYPE: Rule = Rule::must(
    "bot/own-media/payload-type",
    "RFC 3264 section 6.1; RFC 3551 section 3",
    "Packets have payload types of the answer, on the line that the answer gives them.",
);
const REPORTS: Rule = Rule::must(
    "bot/own-media/reports",
    "RFC 3550 section 6.2",
    "Who sends RTP sends RTCP reports, at least every few seconds.",
);
const REPORT_FORM: Rule = Rule::must(
    "bot/own-media/report-form",
    "RFC 3550 section 6.1 and appendix A.2",
    "An RTCP compound has version 2 throughout, lengths that add up, and begins with a report.",
);
const SILENT_AFTER_END: Rule = Rule::must(
    "bot/own-media/stops",
    "Graph API: call, state terminated",
    "A second after the end of a call was told, nothing of its media comes any more.",
);
const PACE: Rule = Rule::should(
    "bot/own-media/pace",
    "Real-time media platform: frames of 20 ms; RFC 7587 section 4.2",
    "Sound leaves every 20 ms, not in bursts: nine gaps of ten are within 10 ms of that.",
);
const NO_PAUSE: Rule = Rule::should(
    "bot/own-media/no-pause",
    "this project: 100 ms, what jitter buffers bridge",
    "No gap between two packets of sound is longer than 100 ms.",
);

/// How much may come after the end: what was on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(1);
const FRAME: Duration = Duration::from_millis(20);

pub(super) fn cases(scripts: &Scripts) -> Vec<Case> {
    let case = |id: &str, title: &str, rules: &[Rule], judge: fn(&Seen<'_>) -> Outcome| {
        Case::new(id, title, rules, scripts.call.clone(), judge)
    };
    let form = "bot/own-media/rtp-header";
    let first = case(FLOWS, "sound flows from the beginning to the end", &[BEGINS, GOES_ON], flows);
    vec![
        case(form, "packets can be read", &[WELL_FORMED], header),
        first.after(&[form]),
        case(
            "bot/own-media/payload-type",
            "packets are what was agreed on",
            &[PAYLOAD_TYPE],
            payload_type,
        ),
        case(
            "bot/own-media/sequence-numbers",
            "packets are numbered without a gap",
            &[NUMBERS],
            numbers,
        )
        .after(&[form, FLOWS, "bot/own-media/source"]),
        case("bot/own-media/source", "each line has a source of its own", &[ONE_SOURCE], sources)
            .after(&[form, "bot/own-media/payload-type"]),
        case("bot/own-media/pace", "sound leaves every 20 ms", &[PACE, NO_PAUSE], pace)
            .timed()
            .after(&[form, FLOWS, "bot/own-media/sequence-numbers"]),
        case("bot/own-media/report-form", "reports can be read", &[REPORT_FORM], report_form),
        case("bot/own-media/reports", "reports are sent", &[REPORTS], reports)
            .after(&[FLOWS, "bot/own-media/report-form"]),
        case("bot/own-media/stops", "nothing comes after the end", &[SILENT_AFTER_END], stops),
    ]
}

/// The packets of sound, in the order in which they came, up to the end of the call.
pub(super) fn sound<'a>(seen: &Seen<'a>) -> Vec<&'a Packet> {
    let wire = &seen.transcript.wire;
    let end = ends(seen);
    let sources = wire.sources_of(MediaKind::Audio);
    wire.packets
        .iter()
        .filter(|packet| sources.contains(&packet.packet.ssrc) && packet.at <= end)
        .collect()
}

fn header(seen: &Seen<'_>) -> Outcome {
    let reasons = [DropReason::MalformedRtp, DropReason::NotRtp];
    judged(
        dropped(seen, &reasons)
            .map(|(at, words)| seen.broken(&WELL_FORMED, at, "packets that can be read", words)),
    )
}

fn flows(seen: &Seen<'_>) -> Outcome {
    let Some(may) = may_flow(seen) else {
        return Outcome::NotJudged("the call never stood".to_owned());
    };
    let packets = sound(seen);
    let deadline = may + Duration::from_secs(2) + seen.slack;
    let first = packets.first().map(|packet| packet.at);
    if first.is_none_or(|first| first > deadline) {
        let actual = match first {
            Some(first) => format!("after {}", millis(first.since(may))),
            None => "none".to_owned(),
        };
        let expected = "packets of sound within 2 s";
        return judged(Some(seen.broken(&BEGINS, first.unwrap_or(deadline), expected, actual)));
    }
    let end = ends(seen);
    let mut moments: Vec<Instant> = packets.iter().map(|packet| packet.at).collect();
    moments.push(end);
    let pause = moments
        .windows(2)
        .find(|pair| pair[1].since(pair[0]) > Duration::from_secs(1) + seen.slack);
    judged(pause.map(|pair| {
        let actual = format!("none for {}", millis(pair[1].since(pair[0])));
        seen.broken(&GOES_ON, pair[1], "packets of sound all the time", actual)
    }))
}

fn payload_type(seen: &Seen<'_>) -> Outcome {
    let reasons = [DropReason::UnknownPayloadType, DropReason::NotNegotiated];
    judged(
        dropped(seen, &reasons).map(|(at, words)| {
            seen.broken(&PAYLOAD_TYPE, at, "payload types of the answer", words)
        }),
    )
}

fn numbers(seen: &Seen<'_>) -> Outcome {
    let wire = &seen.transcript.wire;
    let end = ends(seen);
    let reasons = [DropReason::Jump, DropReason::Probation, DropReason::Duplicate];
    if let Some((at, words)) = dropped(seen, &reasons) {
        return judged(Some(seen.broken(&NUMBERS, at, "numbers that grow by one", words)));
    }
    let mut all: Vec<u32> = wire.sources.iter().map(|source| source.ssrc).collect();
    all.sort_unstable();
    all.dedup();
    for ssrc in all {
        let mut before: Option<u64> = None;
        for packet in wire.packets_of(ssrc).filter(|packet| packet.at <= end) {
            let number = packet.packet.sequence;
            let fault = match (packet.packet.order, before) {
                (Order::Duplicate, _) => Some(format!("{number} twice")),
                (Order::Reordered, Some(before)) => Some(format!("{number} after {before}")),
                (_, Some(before)) if number != before + 1 => {
                    Some(format!("{number} after {before}"))
                }
                _ => None,
            };
            if let Some(fault) = fault {
                let actual = format!("{fault} in source {ssrc:#010x}, where nothing was lost");
                return judged(Some(seen.broken(
                    &NUMBERS,
                    packet.at,
                    "numbers that grow by one",
                    actual,
                )));
            }
            before = Some(number);
        }
    }
    judged(None)
}

fn sources(seen: &Seen<'_>) -> Outcome {
    let wire = &seen.transcript.wire;
    let end = ends(seen);
    if let Some((at, words)) = dropped(seen, &[DropReason::TooManyStreams, DropReason::OwnSource]) {
        return judged(Some(seen.broken(&ONE_SOURCE, at, "one source a line", words)));
    }
    for kind in [MediaKind::Audio, MediaKind::Video, MediaKind::ScreenSharing] {
        let mut of: Vec<_> =
            wire.sources.iter().filter(|source| source.kind == kind && source.at <= end).collect();
        of.dedup_by_key(|source| source.ssrc);
        if let [first, second, ..] = of[..] {
            let actual = format!("{:#010x}, then {:#010x}", first.ssrc, second.ssrc);
            return judged(Some(seen.broken(&ONE_SOURCE, second.at, "one source a line", actual)));
        }
    }
    // A source that is on two lines changes its codec with every packet.
    let twice = wire.sources.iter().find(|source| {
        let of = |other: &&super::super::super::wire::Source| other.ssrc == source.ssrc;
        wire.sources
            .iter()
            .filter(of)
            .any(|other| other.codec.is_audio() != source.codec.is_audio())
    });
    judged(twice.map(|source| {
        let actual = format!("{:#010x} for sound and for pictures", source.ssrc);
        seen.broken(&ONE_SOURCE, source.at, "a source for each line", actual)
    }))
}

fn pace(seen: &Seen<'_>) -> Outcome {
    let packets = sound(seen);
    let gaps: Vec<(Instant, Duration)> =
        packets.windows(2).map(|pair| (pair[1].at, pair[1].at.since(pair[0].at))).collect();
    if gaps.len() < 50 {
        return Outcome::NotJudged("too little sound came".to_owned());
    }
    let longest = gaps.iter().max_by_key(|(_, gap)| *gap);
    let allowed = Duration::from_millis(100) + seen.slack;
    let pause = longest.filter(|(_, gap)| *gap > allowed).map(|(at, gap)| {
        seen.broken(&NO_PAUSE, *at, "at most 100 ms between two packets", millis(*gap))
    });
    let limit = Duration::from_millis(10) + seen.slack;
    let off: Vec<_> = gaps.iter().filter(|(_, gap)| gap.abs_diff(FRAME) > limit).collect();
    let uneven = (off.len() * 10 > gaps.len()).then(|| {
        let (at, gap) = off[0];
        let share = 100.0 * off.len() as f64 / gaps.len() as f64;
        let actual = format!("{share:.0} % of the gaps are not, the first is {}", millis(*gap));
        seen.broken(&PACE, *at, "gaps of 10 to 30 ms", actual)
    });
    Outcome::Judged(uneven.into_iter().chain(pause).take(1).collect())
}

fn report_form(seen: &Seen<'_>) -> Outcome {
    judged(
        dropped(seen, &[DropReason::MalformedRtcp])
            .map(|(at, words)| seen.broken(&REPORT_FORM, at, "compounds that can be read", words)),
    )
}

fn reports(seen: &Seen<'_>) -> Outcome {
    let Some(stats) = &seen.transcript.wire.stats else {
        return Outcome::NotJudged("the media of the call did not end".to_owned());
    };
    let at = ends(seen);
    judged((stats.rtcp_received == 0).then(|| {
        let actual = format!("{} in the whole call", stats.rtcp_received);
        seen.broken(&REPORTS, at, "a report every few seconds", actual)
    }))
}

fn stops(seen: &Seen<'_>) -> Outcome {
    let wire = &seen.transcript.wire;
    let Some(ended) = wire.ended else {
        return Outcome::NotJudged("the media of the call did not end".to_owned());
    };
    let late = wire.late.iter().find(|at| **at > ended + ON_ITS_WAY + seen.slack);
    judged(late.map(|at| {
        let count = wire.late.len();
        let actual = format!("{count} datagrams, one of them {} later", millis(at.since(ended)));
        seen.broken(&SILENT_AFTER_END, *at, "nothing", actual)
    }))
}
