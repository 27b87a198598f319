//! What a bot's own pictures are like: H.264 (ITU-T H.264) in RTP (RFC 6184).

use core::time::Duration;
use std::collections::BTreeMap;

use callrig_media::description::MediaKind;
use callrig_media::time::Instant;
use callrig_media::video::access_unit::is_bidirectional;
use callrig_media::video::nal::{Header, UnitType, units};
use callrig_media::video::parameter_sets::ParameterSets;
use callrig_media::video::{DropCause, Frame};
use callrig_signaling::blob;
use serde_json::Value;

use super::super::super::case::{Case, Outcome, Seen, judged};
use super::super::super::profile::Sends;
use super::super::super::wire::Packet;
use super::{FLOWS, Play, Scripts, ends, may_flow, millis};
use crate::case::rule::Rule;

const SHOWS: Rule = Rule::must(
    "bot/own-media/shows",
    "the bot's profile",
    "A bot that shows something is seen within four seconds, and as long as the call stands.",
);
const SHARES: Rule = Rule::must(
    "bot/own-media/shares",
    "the bot's profile",
    "A bot that shares a screen sends it on the line of the shared screen.",
);
const RETURNS: Rule = Rule::must(
    "bot/own-media/returns-pictures",
    "the bot's profile",
    "Of the pictures that the caller shows, nine of ten come back.",
);
const FORM: Rule = Rule::must(
    "bot/own-media/h264-packets",
    "RFC 6184 sections 5.3 to 5.8",
    "Each packet holds a NAL unit, an aggregate, or a fragment whose begin and end are marked, \
     of a type that the packetization mode has.",
);
const SIZE: Rule = Rule::should(
    "bot/own-media/packet-size",
    "RFC 6184 section 5.7; this project: 1,400 bytes of payload",
    "Packets are small enough not to be cut on the way.",
);
const MARKER: Rule = Rule::should(
    "bot/own-media/marker",
    "RFC 6184 section 5.1",
    "The last packet of an access unit, and no other, has the marker bit: decoding waits for it.",
);
const CLOCK: Rule = Rule::must(
    "bot/own-media/video-clock",
    "RFC 6184 section 5.1",
    "All packets of an access unit have one timestamp, of a clock of 90,000 a second.",
);
const SETS: Rule = Rule::must(
    "bot/own-media/parameter-sets",
    "ITU-T H.264 section 7.4.1.2.1; RFC 6184 section 8.4",
    "A key frame brings its sequence and picture parameter sets, before its first slice: whoever \
     joins late has no others.",
);
const PROFILE: Rule = Rule::must(
    "bot/own-media/profile",
    "RFC 6184 section 8.1, profile-level-id",
    "Pictures are of a profile that the bot's own description names.",
);
const NO_B: Rule = Rule::must(
    "bot/own-media/no-b-pictures",
    "Real-time media platform: H.264 constrained baseline; ITU-T H.264 annex A.2.1",
    "No picture refers to a later one: B slices are not of the baseline profiles, and delay a call.",
);
const KEY_FRAME: Rule = Rule::must(
    "bot/own-media/key-frame",
    "RFC 4585 section 6.3.1; this project: within one second",
    "Who asks for a key frame gets one soon.",
);
const RECOVERS: Rule = Rule::should(
    "bot/own-media/recovers",
    "RFC 4585 sections 6.2.1 and 6.3.1; this project: within two seconds",
    "After loss, the picture is whole again soon: what is missing comes again, or a key frame.",
);

const SHOWN: [Sends; 3] = [Sends::Echoes, Sends::Changes, Sends::Plays];
const FORM_CASE: &str = "bot/own-media/h264-packets";
const SHOWS_CASE: &str = "bot/own-media/shows";
const SETS_CASE: &str = "bot/own-media/parameter-sets";

pub(super) fn cases(scripts: &Scripts) -> Vec<Case> {
    let case = |id: &str, title: &str, rules: &[Rule], judge: fn(&Seen<'_>) -> Outcome| {
        let script = scripts.pictures(&scripts.call, &SHOWN);
        Case::new(id, title, rules, script, judge)
    };
    let screen: Play = match scripts.media.screen {
        true => scripts.call.clone(),
        false => scripts.own.clone().and(Err("the bot shares no screen".to_owned())),
    };
    let numbers = "bot/own-media/sequence-numbers";
    let clock = "bot/own-media/video-clock";
    let mut cases = vec![
        case(FORM_CASE, "pictures are packed as they should be", &[FORM, SIZE], form)
            .after(&[clock]),
        case(SETS_CASE, "key frames can be decoded by themselves", &[SETS], sets)
            .after(&[FORM_CASE, clock]),
        case(SHOWS_CASE, "pictures are seen", &[SHOWS], shows)
            .timed()
            .after(&[FORM_CASE, SETS_CASE, clock]),
        Case::new("bot/own-media/shares", "the screen is seen", &[SHARES], screen, shares)
            .after(&[FORM_CASE, SETS_CASE]),
        case("bot/own-media/marker", "the end of a picture is marked", &[MARKER], marker)
            .after(&[clock]),
        case(clock, "timestamps of pictures follow the clock", &[CLOCK], video_clock),
        case("bot/own-media/profile", "pictures are of the profile agreed on", &[PROFILE], profile)
            .after(&[FORM_CASE, SETS_CASE]),
        case("bot/own-media/no-b-pictures", "no picture refers to a later one", &[NO_B], no_b)
            .after(&[FORM_CASE]),
        case(
            "bot/own-media/key-frame",
            "a key frame comes when asked for",
            &[KEY_FRAME],
            key_frame,
        )
        .timed()
        .after(&[FORM_CASE, SETS_CASE, SHOWS_CASE]),
        Case::new(
            "bot/own-media/recovers",
            "the picture is whole again after loss",
            &[RECOVERS],
            scripts.pictures(&scripts.loss, &SHOWN),
            recovers,
        )
        .timed()
        .after(&[FORM_CASE, SETS_CASE, SHOWS_CASE, "bot/own-media/key-frame"]),
        Case::new(
            "bot/own-media/returns-pictures",
            "the caller's pictures come back",
            &[RETURNS],
            scripts.pictures(&scripts.call, &[Sends::Echoes, Sends::Changes]),
            returns,
        )
        .after(&[FORM_CASE, SETS_CASE, SHOWS_CASE]),
    ];
    for case in &mut cases {
        case.needs.extend([FLOWS, numbers]);
    }
    cases
}

/// The packets of pictures, in the order in which they came, source by source.
fn packets<'a>(seen: &Seen<'a>) -> BTreeMap<u32, Vec<&'a Packet>> {
    let wire = &seen.transcript.wire;
    let end = ends(seen);
    let mut sources = wire.sources_of(MediaKind::Video);
    sources.extend(wire.sources_of(MediaKind::ScreenSharing));
    let of = |ssrc| wire.packets_of(ssrc).filter(|packet| packet.at <= end).collect();
    sources.into_iter().map(|ssrc| (ssrc, of(ssrc))).collect()
}

/// Pictures of this kind that were seen until the call began to end.
fn frames<'a>(seen: &Seen<'a>, kind: MediaKind) -> Vec<&'a Frame> {
    let wire = &seen.transcript.wire;
    let (sources, end) = (wire.sources_of(kind), ends(seen));
    wire.seen
        .iter()
        .filter(|frame| sources.contains(&frame.ssrc) && frame.arrived_last <= end)
        .collect()
}

fn all_frames<'a>(seen: &Seen<'a>) -> Vec<&'a Frame> {
    let mut all = frames(seen, MediaKind::Video);
    all.extend(frames(seen, MediaKind::ScreenSharing));
    all
}

fn form(seen: &Seen<'_>) -> Outcome {
    let wire = &seen.transcript.wire;
    let causes = [DropCause::Malformed, DropCause::MissingPacket, DropCause::TooLarge];
    let end = ends(seen);
    let bad = wire.unseen.iter().find(|(at, cause)| causes.contains(cause) && *at <= end);
    if let Some((at, cause)) = bad {
        let actual = format!("a picture that was not: {}", cause.name());
        return judged(Some(seen.broken(&FORM, *at, "pictures that can be put together", actual)));
    }
    let reason = callrig_media::event::DropReason::MalformedPayload;
    let unusable =
        wire.unusable.iter().chain(&wire.dropped).find(|dropped| dropped.reason == reason);
    if let Some(dropped) = unusable {
        let actual = format!("a payload that cannot be, at number {:?}", dropped.sequence_number);
        return judged(Some(seen.broken(&FORM, dropped.arrived, "NAL units", actual)));
    }
    let large = packets(seen).into_values().flatten().find(|p| p.packet.payload_length > 1_400);
    judged(large.map(|packet| {
        let actual = format!("{} bytes of payload", packet.packet.payload_length);
        seen.broken(&SIZE, packet.at, "1,400 bytes of payload at most", actual)
    }))
}

fn shows(seen: &Seen<'_>) -> Outcome {
    let Some(may) = may_flow(seen) else {
        return Outcome::NotJudged("the call never stood".to_owned());
    };
    let mut moments: Vec<Instant> =
        frames(seen, MediaKind::Video).iter().map(|frame| frame.arrived_last).collect();
    let deadline = may + Duration::from_secs(4) + seen.slack;
    if moments.first().is_none_or(|first| *first > deadline) {
        let packets = packets(seen).into_values().flatten().count();
        let actual = format!("none that could be shown, in {packets} packets");
        return judged(Some(seen.broken(&SHOWS, deadline, "a picture within 4 s", actual)));
    }
    moments.push(ends(seen));
    let allowed = Duration::from_secs(2) + seen.slack;
    let frozen = moments.windows(2).find(|pair| pair[1].since(pair[0]) > allowed);
    judged(frozen.map(|pair| {
        let actual = format!("none for {}", millis(pair[1].since(pair[0])));
        seen.broken(&SHOWS, pair[1], "pictures all the time", actual)
    }))
}

fn shares(seen: &Seen<'_>) -> Outcome {
    let shared = frames(seen, MediaKind::ScreenSharing);
    judged(shared.is_empty().then(|| {
        let at = ends(seen);
        seen.broken(&SHARES, at, "pictures on the line of the shared screen", "none")
    }))
}

fn marker(seen: &Seen<'_>) -> Outcome {
    for list in packets(seen).into_values() {
        for pair in list.windows(2) {
            let (one, next) = (&pair[0].packet, &pair[1].packet);
            let same = one.timestamp == next.timestamp;
            if same == one.marker {
                let actual = match same {
                    true => "a marker before the end of the picture",
                    false => "the last packet of a picture without it",
                };
                let actual = format!("{actual}, at number {}", one.sequence & 0xffff);
                let expected = "the marker bit on the last packet of each picture";
                return judged(Some(seen.broken(&MARKER, pair[0].at, expected, actual)));
            }
        }
    }
    judged(None)
}

fn video_clock(seen: &Seen<'_>) -> Outcome {
    for list in packets(seen).into_values() {
        let mut ticks = 0_i64;
        let marked = list.iter().any(|packet| packet.packet.marker);
        for pair in list.windows(2) {
            let (one, next) = (&pair[0].packet, &pair[1].packet);
            let step = next.timestamp.wrapping_sub(one.timestamp).cast_signed();
            ticks += i64::from(step);
            // Where pictures end is known by the marker, if there ever is one.
            if marked && step != 0 && !one.marker {
                let actual =
                    format!("another one within a picture, at number {}", next.sequence & 0xffff);
                let expected = "one timestamp for all packets of a picture";
                return judged(Some(seen.broken(&CLOCK, pair[1].at, expected, actual)));
            }
            if step < 0 {
                let expected = "a timestamp that does not go back";
                return judged(Some(seen.broken(&CLOCK, pair[1].at, expected, format!("{step}"))));
            }
        }
        let (Some(first), Some(last)) = (list.first(), list.last()) else { continue };
        let lasted = last.at.since(first.at);
        if lasted < Duration::from_secs(2) {
            continue;
        }
        let told = ticks as f64 / 90_000.0;
        let lasted = lasted.as_secs_f64();
        if (told - lasted).abs() > lasted * 0.05 + 0.5 + seen.slack.as_secs_f64() {
            let expected = format!("{lasted:.2} s of a clock of 90,000 a second");
            let actual = format!("{told:.2} s by the timestamps");
            return judged(Some(seen.broken(&CLOCK, last.at, expected, actual)));
        }
    }
    judged(None)
}

fn sets(seen: &Seen<'_>) -> Outcome {
    let wire = &seen.transcript.wire;
    let unseen = wire.unseen.iter().find(|(_, cause)| *cause == DropCause::NoParameterSets);
    if let Some((at, _)) = unseen {
        let actual = "a key frame whose parameter sets never came";
        return judged(Some(seen.broken(&SETS, *at, "parameter sets before key frames", actual)));
    }
    for frame in all_frames(seen).into_iter().filter(|frame| frame.key_frame) {
        let types: Vec<UnitType> =
            units(&frame.data).map(|unit| Header::from_byte(unit[0]).unit_type()).collect();
        let slice = types.iter().position(|unit| unit.is_picture()).unwrap_or(types.len());
        for (set, name) in [(UnitType::SPS, "sequence"), (UnitType::PPS, "picture")] {
            if !types[..slice].contains(&set) {
                let actual = format!("a key frame without a {name} parameter set before it");
                let expected = "both parameter sets before the first slice";
                return judged(Some(seen.broken(&SETS, frame.arrived_last, expected, actual)));
            }
        }
    }
    judged(None)
}

/// The `profile-level-id`s in what the bot offered.
fn offered(seen: &Seen<'_>) -> Vec<u32> {
    let asks = seen.transcript.asks().filter(|ask| matches!(ask.asked.action, "answer" | "create"));
    let mut list = Vec::new();
    for ask in asks {
        let body: Value = serde_json::from_slice(&ask.asked.request.body).unwrap_or_default();
        let text = body["mediaConfig"]["blob"].as_str().unwrap_or_default();
        let Ok((_, sdp)) = blob::unwrap(text) else { continue };
        let named = sdp.split("profile-level-id=").skip(1);
        list.extend(named.filter_map(|rest| u32::from_str_radix(rest.get(..6)?, 16).ok()));
    }
    list
}

fn profile(seen: &Seen<'_>) -> Outcome {
    // Where nothing is said, it is baseline (RFC 6184 section 8.1).
    let offered = offered(seen);
    let allowed: Vec<u8> = match offered.is_empty() {
        true => vec![66],
        false => offered.iter().map(|id| (id >> 16) as u8).collect(),
    };
    for frame in all_frames(seen) {
        for unit in units(&frame.data) {
            if Header::from_byte(unit[0]).unit_type() != UnitType::SPS {
                continue;
            }
            let mut sets = ParameterSets::default();
            if let Err(error) = sets.push(unit) {
                let at = frame.arrived_last;
                return judged(Some(seen.broken(
                    &PROFILE,
                    at,
                    "one that can be read",
                    error.to_string(),
                )));
            }
            let found = (0..32).find_map(|id| sets.sps(id)).map(|sps| sps.profile);
            if let Some(found) = found.filter(|found| !allowed.contains(found)) {
                let expected = format!("profile_idc {allowed:?}");
                let actual = format!("profile_idc {found}");
                return judged(Some(seen.broken(&PROFILE, frame.arrived_last, expected, actual)));
            }
        }
    }
    judged(None)
}

fn no_b(seen: &Seen<'_>) -> Outcome {
    let frames = all_frames(seen);
    let found = frames.into_iter().find(|frame| units(&frame.data).any(is_bidirectional));
    judged(found.map(|frame| {
        let actual = format!("a B slice in the picture of timestamp {}", frame.timestamp);
        seen.broken(&NO_B, frame.arrived_last, "I and P slices alone", actual)
    }))
}

fn key_frame(seen: &Seen<'_>) -> Outcome {
    let Some(asked) = seen.transcript.wire.asked.first().copied() else {
        return Outcome::NotJudged("the call did not come so far".to_owned());
    };
    let deadline = asked + Duration::from_secs(1) + seen.slack;
    let all = frames(seen, MediaKind::Video);
    let next = all.iter().find(|frame| frame.key_frame && frame.arrived_first >= asked);
    let came = next.map(|frame| frame.arrived_last);
    judged(came.is_none_or(|came| came > deadline).then(|| {
        let actual = match came {
            Some(came) => format!("after {}", millis(came.since(asked))),
            None => "none".to_owned(),
        };
        seen.broken(&KEY_FRAME, came.unwrap_or(deadline), "a key frame within 1 s", actual)
    }))
}

fn recovers(seen: &Seen<'_>) -> Outcome {
    let Some(last) = seen.transcript.wire.lost.last().copied() else {
        return Outcome::NotJudged("nothing was lost".to_owned());
    };
    let deadline = last + Duration::from_secs(2) + seen.slack;
    let all = frames(seen, MediaKind::Video);
    let whole = all.iter().find(|frame| frame.arrived_first > last).map(|f| f.arrived_last);
    judged(whole.is_none_or(|whole| whole > deadline).then(|| {
        let actual = match whole {
            Some(whole) => format!("after {}", millis(whole.since(last))),
            None => "never".to_owned(),
        };
        seen.broken(&RECOVERS, whole.unwrap_or(deadline), "a whole picture within 2 s", actual)
    }))
}

fn returns(seen: &Seen<'_>) -> Outcome {
    let all = frames(seen, MediaKind::Video);
    let Some(first) = all.first().map(|frame| frame.arrived_first) else {
        return Outcome::NotJudged("no picture came".to_owned());
    };
    let end = ends(seen);
    let shown = seen.transcript.wire.shown.iter().filter(|at| **at >= first && **at <= end);
    let shown = shown.count();
    judged((all.len() * 10 < shown * 9).then(|| {
        let actual = format!("{} of {shown}", all.len());
        seen.broken(&RETURNS, end, "nine of ten pictures", actual)
    }))
}
