//! The regressions that are put in, as data.

use callrig::gate::worker::{Injection, Kind};
use callrig_media::fault::Fault;

/// A regression of cost: where, what, and how much in each so-manieth unit.
pub(crate) struct Seed {
    pub(crate) stage: &'static str,
    pub(crate) inject: Injection,
}

const fn seed(stage: &'static str, kind: Kind, amount: u32, every: u32) -> Seed {
    Seed { stage, inject: Injection { kind, amount, every } }
}

/// Costs: for each stage one of each kind, of a size that a reviewer would object to. `every` 100
/// is a tail: one unit in a hundred takes much longer.
pub(crate) const COSTS: &[Seed] = &[
    seed("rtp/parse", Kind::Cpu, 20, 1),
    seed("rtp/parse", Kind::Allocation, 1, 1),
    seed("rtp/parse", Kind::Lock, 1, 1),
    seed("rtp/parse", Kind::Copy, 1_200, 1),
    seed("rtp/parse", Kind::Syscall, 1, 1),
    seed("rtp/parse", Kind::Cpu, 2_000, 100),
    seed("rtp/parse", Kind::Leak, 64, 1),
    seed("rtp/write", Kind::Cpu, 20, 1),
    seed("rtp/write", Kind::Allocation, 1, 1),
    seed("rtp/write", Kind::Lock, 1, 1),
    seed("rtp/write", Kind::Copy, 1_200, 1),
    seed("rtp/write", Kind::Syscall, 1, 1),
    seed("rtp/write", Kind::Cpu, 2_000, 100),
    seed("rtp/write", Kind::Leak, 64, 1),
    seed("rtp/reception", Kind::Cpu, 40, 1),
    seed("rtp/reception", Kind::Allocation, 1, 1),
    seed("rtp/reception", Kind::Lock, 1, 1),
    seed("rtp/reception", Kind::Copy, 1_200, 1),
    seed("rtp/reception", Kind::Syscall, 1, 1),
    seed("rtp/reception", Kind::Cpu, 4_000, 100),
    seed("rtp/reception", Kind::Leak, 64, 1),
    seed("srtp/protect", Kind::Cpu, 100, 1),
    seed("srtp/protect", Kind::Allocation, 2, 1),
    seed("srtp/protect", Kind::Lock, 4, 1),
    seed("srtp/protect", Kind::Copy, 4_800, 1),
    seed("srtp/protect", Kind::Syscall, 1, 1),
    seed("srtp/protect", Kind::Cpu, 10_000, 100),
    seed("srtp/protect", Kind::Leak, 64, 1),
    seed("jitter/clean", Kind::Cpu, 100, 1),
    seed("jitter/clean", Kind::Allocation, 2, 1),
    seed("jitter/clean", Kind::Lock, 4, 1),
    seed("jitter/clean", Kind::Copy, 4_800, 1),
    seed("jitter/clean", Kind::Syscall, 1, 1),
    seed("jitter/clean", Kind::Cpu, 10_000, 100),
    seed("jitter/clean", Kind::Leak, 64, 1),
    seed("h264/depacketize", Kind::Cpu, 100, 1),
    seed("h264/depacketize", Kind::Allocation, 2, 1),
    seed("h264/depacketize", Kind::Lock, 4, 1),
    seed("h264/depacketize", Kind::Copy, 4_800, 1),
    seed("h264/depacketize", Kind::Syscall, 1, 1),
    seed("h264/depacketize", Kind::Cpu, 10_000, 100),
    seed("h264/depacketize", Kind::Leak, 64, 1),
    seed("session/receive", Kind::Cpu, 200, 1),
    seed("session/receive", Kind::Allocation, 4, 1),
    seed("session/receive", Kind::Lock, 10, 1),
    seed("session/receive", Kind::Copy, 10_000, 1),
    seed("session/receive", Kind::Syscall, 2, 1),
    seed("session/receive", Kind::Cpu, 20_000, 100),
    seed("session/receive", Kind::Leak, 64, 1),
    seed("opus/decode", Kind::Cpu, 2_000, 1),
    seed("opus/decode", Kind::Allocation, 60, 1),
    seed("opus/decode", Kind::Lock, 150, 1),
    seed("opus/decode", Kind::Copy, 100_000, 1),
    seed("opus/decode", Kind::Syscall, 20, 1),
    seed("opus/decode", Kind::Cpu, 40_000, 20),
    seed("opus/decode", Kind::Leak, 4_096, 1),
    seed("mixer/3-of-50", Kind::Cpu, 3_000, 1),
    seed("mixer/3-of-50", Kind::Allocation, 80, 1),
    seed("mixer/3-of-50", Kind::Lock, 200, 1),
    seed("mixer/3-of-50", Kind::Copy, 150_000, 1),
    seed("mixer/3-of-50", Kind::Syscall, 20, 1),
    seed("mixer/3-of-50", Kind::Cpu, 60_000, 20),
    seed("mixer/3-of-50", Kind::Leak, 4_096, 1),
];

/// A regression of what comes out: a bug of the media path, a recording on a network where it
/// shows, and the stages that may be named for it.
pub(crate) struct Bug {
    pub(crate) fault: Fault,
    pub(crate) recording: &'static str,
    pub(crate) network: &'static str,
    pub(crate) stages: &'static [&'static str],
}

const OPUS: &str = "audio/opus-20ms-24k-swb-ru";
const LONG: &str = "audio/pcmu-20ms-en";
const WRAP: &str = "audio/opus-wrap-en";
const PCMU: &str = "audio/pcmu-silence";
const MUSIC: &str = "audio/pcmu-10ms-music";
const FRAGMENTS: &str = "video/h264-ipv6";
const AGGREGATES: &str = "video/h264-180p-stap-a";
const SMALL: &str = "video/h264-180p-single-nal";

const fn bug(
    fault: Fault,
    recording: &'static str,
    network: &'static str,
    stages: &'static [&'static str],
) -> Bug {
    Bug { fault, recording, network, stages }
}

const RTP: &[&str] = &["rtp reception", "rtp/", "media/rtp", "wire/"];
const JITTER: &[&str] = &["jitter buffer", "audio quality", "decoder", "media/audio"];
const SOUND: &[&str] = &["audio quality", "decoder", "media/audio", "jitter buffer", "opus"];
const RTCP: &[&str] = &["rtcp", "media/rtcp", "rtp reception"];
const VIDEO: &[&str] = &["video", "video decoder", "decoder", "media/video", "rtcp"];

/// Queues, qualities, counts.
pub(crate) const BUGS: &[Bug] = &[
    bug(Fault::WrapNotCounted, WRAP, "clean", RTP),
    bug(Fault::SequenceOffByOne, WRAP, "clean", RTP),
    bug(Fault::JitterInMilliseconds, OPUS, "wifi", RTP),
    bug(Fault::JitterDivisorEight, OPUS, "wifi", RTP),
    bug(Fault::JitterSecondsAtEightKilohertz, OPUS, "wifi", RTP),
    bug(Fault::LossIgnoresDuplicates, OPUS, "duplicate", RTP),
    bug(Fault::ReorderedCountedMissing, OPUS, "reorder", RTP),
    bug(Fault::DuplicateCountedReordered, OPUS, "duplicate", RTP),
    bug(Fault::GapMinHalved, LONG, "loss-5", RTP),
    bug(Fault::FractionLostInPercent, LONG, "loss-5", RTCP),
    bug(Fault::ExpectedOffByOne, OPUS, "clean", RTCP),
    bug(Fault::ReportedJitterUnscaled, OPUS, "wifi", RTCP),
    bug(Fault::ReportedHighestWithoutCycles, WRAP, "clean", RTCP),
    bug(Fault::DelaySinceReportInMilliseconds, LONG, "clean", RTCP),
    bug(Fault::CanonicalNameMissing, OPUS, "clean", RTCP),
    bug(Fault::ReportNotFirst, OPUS, "clean", RTCP),
    bug(Fault::ReceivedAskedFor, FRAGMENTS, "reorder", RTCP),
    bug(Fault::AskedForWithoutEnd, FRAGMENTS, "loss-5", RTCP),
    bug(Fault::DatagramNotCounted, OPUS, "clean", RTP),
    bug(Fault::DuplicatePlayed, OPUS, "duplicate", JITTER),
    bug(Fault::JitterNotFollowed, OPUS, "jitter-40", JITTER),
    bug(Fault::SamplesUncounted, OPUS, "loss-5", JITTER),
    bug(Fault::ConcealedThoughPresent, OPUS, "clean", JITTER),
    bug(Fault::PlayoutAddsDelay, OPUS, "clean", JITTER),
    bug(Fault::PlayoutAddsDelay, LONG, "wifi", JITTER),
    bug(Fault::PlayedOneTooLoud, PCMU, "clean", SOUND),
    bug(Fault::LawsSwapped, MUSIC, "clean", SOUND),
    bug(Fault::LawsSwapped, LONG, "clean", SOUND),
    bug(Fault::ConcealedThoughPresent, OPUS, "wifi", JITTER),
    bug(Fault::JitterNotFollowed, LONG, "jitter-40", JITTER),
    bug(Fault::PlayoutAddsDelay, OPUS, "lte", JITTER),
    bug(Fault::ReceivedAskedFor, AGGREGATES, "reorder", VIDEO),
    bug(Fault::AskedForWithoutEnd, SMALL, "loss-5", VIDEO),
    bug(Fault::FragmentEndDropped, FRAGMENTS, "clean", VIDEO),
    bug(Fault::GapIgnored, FRAGMENTS, "loss-5", VIDEO),
    bug(Fault::AggregateCut, AGGREGATES, "clean", VIDEO),
    bug(Fault::MarkerIgnored, SMALL, "clean", VIDEO),
    bug(Fault::ParameterSetsDropped, SMALL, "clean", VIDEO),
    bug(Fault::LostReferenceIgnored, FRAGMENTS, "loss-5", VIDEO),
    bug(Fault::KeyFrameAskedForAlways, SMALL, "loss-5", VIDEO),
    bug(Fault::FrameTwice, SMALL, "clean", VIDEO),
    bug(Fault::FrameLostSilently, SMALL, "loss-5", VIDEO),
    bug(Fault::PictureTouched, SMALL, "clean", VIDEO),
    bug(Fault::ReorderedCountedMissing, LONG, "reorder", RTP),
    bug(Fault::LossIgnoresDuplicates, LONG, "duplicate", RTP),
    bug(Fault::DuplicateCountedReordered, LONG, "duplicate", RTP),
    bug(Fault::JitterDivisorEight, LONG, "lte", RTP),
];
