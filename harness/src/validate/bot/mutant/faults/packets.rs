//! Faults in the media that a bot handles itself.

use super::super::packets::{Line, WireChange};
use super::super::{AskChange, Change};
use super::List;

/// What is wrong with packets, whatever they carry.
pub(super) fn packets(list: &mut List) {
    use Line::{Pictures, Sound};
    use WireChange as W;
    let header = "bot/own-media/rtp-header";
    for line in [Sound, Pictures] {
        list.must("echo", Change::Wire(W::Version(line, 1)), header);
        list.must("echo", Change::Wire(W::Version(line, 3)), header);
        list.must("echo", Change::Wire(W::CutOff(line, 9)), header);
        list.must("echo", Change::Wire(W::Padding(line)), header);
        list.must("echo", Change::Wire(W::Sources(line)), header);
        list.must("echo", Change::Wire(W::Extension(line)), header);
    }
    let flows = "bot/own-media/flows";
    list.must("echo", Change::Wire(W::Drops(Sound, 1)), flows);
    list.must("playback", Change::Wire(W::Drops(Sound, 1)), flows);
    list.must("echo", Change::Wire(W::StopsAfter(Sound, 3_000)), flows);
    list.must("echo", Change::Wire(W::Waits(Sound, 4_000)), flows);
    let numbers = "bot/own-media/sequence-numbers";
    for line in [Sound, Pictures] {
        list.must("echo", Change::Wire(W::NumberJumps(line, 100)), numbers);
        list.must("echo", Change::Wire(W::NumberJumps(line, 5_000)), numbers);
        list.must("echo", Change::Wire(W::NumberStep(line, 2)), numbers);
        list.must("echo", Change::Wire(W::NumberStep(line, 0)), numbers);
        list.must("echo", Change::Wire(W::Twice(line, 20)), numbers);
        list.must("echo", Change::Wire(W::Overtaken(line, 20)), numbers);
        list.must("playback", Change::Wire(W::Drops(line, 50)), numbers);
    }
    let source = "bot/own-media/source";
    for line in [Sound, Pictures] {
        list.must("echo", Change::Wire(W::SourceChanges(line, 100)), source);
        list.must("echo", Change::Wire(W::TwoSources(line)), source);
    }
    let payload_type = "bot/own-media/payload-type";
    for (line, other) in [(Sound, 96), (Sound, 13), (Sound, 9), (Pictures, 96), (Pictures, 120)] {
        list.must("echo", Change::Wire(W::PayloadType(line, other)), payload_type);
    }
    let pace = "bot/own-media/pace";
    for ms in [60, 100, 200] {
        list.should("echo", Change::Wire(W::Bursts(Sound, ms)), pace);
        list.should("playback", Change::Wire(W::Bursts(Sound, ms)), pace);
    }
    for ms in [160, 400] {
        list.should("echo", Change::Wire(W::Stalls(Sound, ms)), pace);
    }
    list.must("echo", Change::Wire(W::NoReports), "bot/own-media/reports");
    list.must("playback", Change::Wire(W::NoReports), "bot/own-media/reports");
    let form = "bot/own-media/report-form";
    // What has another version is taken for nothing that is known.
    list.must("echo", Change::Wire(W::ReportVersion), header);
    list.must("echo", Change::Wire(W::ReportLength), form);
    list.must("playback", Change::Wire(W::ReportLength), form);
    list.must("echo", Change::Wire(W::NeverStops), "bot/own-media/stops");
    list.must("playback", Change::Wire(W::NeverStops), "bot/own-media/stops");
}

/// What is wrong with sound.
pub(super) fn sound(list: &mut List) {
    use Line::Sound;
    use WireChange as W;
    let clock = "bot/own-media/sound-clock";
    for bot in ["echo", "playback"] {
        list.must(bot, Change::Wire(W::Pace(Sound, 50)), clock);
        list.must(bot, Change::Wire(W::Pace(Sound, 200)), clock);
        list.must(bot, Change::Wire(W::TimeStands(Sound)), clock);
        list.must(bot, Change::Wire(W::TimeGoesBack(Sound)), clock);
    }
    let decodes = "bot/own-media/sound-decodes";
    list.must("echo", Change::Wire(W::Empty(Sound)), decodes);
    list.must("echo", Change::Wire(W::Garbage(Sound)), decodes);
    list.must("playback", Change::Wire(W::Garbage(Sound)), decodes);
    let echoes = "bot/own-media/echoes";
    list.must("echo", Change::Wire(W::Frozen), echoes);
    let sync = "bot/own-media/lip-sync";
    for packets in [11, 13] {
        list.should("echo", Change::Wire(W::Behind(packets)), sync);
    }
    for line in [Sound, Line::Pictures] {
        list.should("echo", Change::Wire(W::Ahead(line, 400)), sync);
    }
    list.should("echo", Change::Wire(W::Ahead(Sound, 5_000)), sync);
    list.should("echo", Change::Wire(W::Behind(30)), echoes);
    list.should("echo", Change::Wire(W::Behind(60)), echoes);
    list.must("playback", Change::Wire(W::Scaled(0)), "bot/own-media/is-heard");
    list.should("echo", Change::Wire(W::Scaled(5)), "bot/own-media/loudness");
    list.should("playback", Change::Wire(W::Scaled(5)), "bot/own-media/loudness");
    list.should("echo", Change::Wire(W::Scaled(3_000)), "bot/own-media/clipping");
    list.should("playback", Change::Wire(W::Scaled(3_000)), "bot/own-media/clipping");
}

/// What is wrong with pictures.
pub(super) fn pictures(list: &mut List) {
    use Line::Pictures;
    use WireChange as W;
    let form = "bot/own-media/h264-packets";
    for bot in ["echo", "playback"] {
        list.must(bot, Change::Wire(W::Forbidden), form);
        list.must(bot, Change::Wire(W::UnitType(0)), form);
        list.must(bot, Change::Wire(W::UnitType(31)), form);
    }
    list.must("playback", Change::Wire(W::NoFragmentStart), form);
    list.must("playback", Change::Wire(W::NoFragmentEnd), form);
    let sets = "bot/own-media/parameter-sets";
    for bot in ["echo", "playback"] {
        list.must(bot, Change::Wire(W::HidesUnit(7)), sets);
        list.must(bot, Change::Wire(W::HidesUnit(8)), sets);
    }
    list.must("playback", Change::Wire(W::Profile(100)), "bot/own-media/profile");
    list.must("playback", Change::Wire(W::Profile(77)), "bot/own-media/profile");
    let shows = "bot/own-media/shows";
    list.must("echo", Change::Wire(W::Empty(Pictures)), shows);
    for bot in ["echo", "playback", "colours"] {
        list.must(bot, Change::Wire(W::Drops(Pictures, 1)), shows);
        list.must(bot, Change::Wire(W::StopsAfter(Pictures, 3_000)), shows);
    }
    list.should("echo", Change::Wire(W::Marker(Pictures, false)), "bot/own-media/marker");
    list.should("playback", Change::Wire(W::Marker(Pictures, false)), "bot/own-media/marker");
    list.should("playback", Change::Wire(W::Marker(Pictures, true)), "bot/own-media/marker");
    let clock = "bot/own-media/video-clock";
    for bot in ["echo", "playback"] {
        list.must(bot, Change::Wire(W::Pace(Pictures, 50)), clock);
        list.must(bot, Change::Wire(W::Pace(Pictures, 10)), clock);
        list.must(bot, Change::Wire(W::TimeGoesBack(Pictures)), clock);
    }
    list.must("playback", Change::Wire(W::TimeOfItsOwn(Pictures)), clock);
    list.must("echo", Change::Wire(W::BSlices), "bot/own-media/no-b-pictures");
    let key_frame = "bot/own-media/key-frame";
    // The film of the player has a key frame every two seconds: nobody waits for long.
    for bot in ["echo", "colours"] {
        list.must(bot, Change::Wire(W::Deaf), key_frame);
        list.must(bot, Change::Wire(W::HearsLate(1_500)), key_frame);
    }
    list.must("echo", Change::Wire(W::EverySecondPicture), "bot/own-media/returns-pictures");
}

/// What is wrong with the offer.
pub(super) fn offers(list: &mut List) {
    let accepted = "bot/answer/accepted";
    for blob in
        ["\"\"", "\"hello\"", "\"eyJtcFVyaSI6Im5ldC50Y3A6Ly94OjgvTWVkaWFQcm9jZXNzb3IifQ==\""]
    {
        let change = AskChange::Member("/mediaConfig/blob", blob);
        list.must("echo", Change::Ask("answer", 1, change), accepted);
    }
    list.must("echo", Change::Ask("answer", 1, AskChange::Sdp("m=audio", "m=message")), accepted);
    list.must("echo", Change::Ask("answer", 1, AskChange::Sdp("v=0", "v=7")), accepted);
}
