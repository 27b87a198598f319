//! Every metric, defined once: name, unit, good direction, repeatability, meaning and source.
//!
//! Names and units are those of the W3C's webrtc-stats and webrtc-provisional-stats where it has
//! them, so cumulative delays are sums in seconds that belong with a count; the others follow its
//! spelling. Repeatability is that of simulated time; the live world marks its delays as noisy.

use std::borrow::Cow;

use super::{Definition, Direction, Repeatability, Unit};

use Direction::{HigherIsBetter as Higher, LowerIsBetter as Lower, Neutral};
use Repeatability::{Exact, Noisy};

macro_rules! definitions {
    ($($ident:ident: $name:literal, $unit:ident, $direction:ident, $repeatability:ident, $source:literal, $description:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $description)]
            pub static $ident: Definition = Definition {
                name: Cow::Borrowed($name),
                unit: Unit::$unit,
                direction: $direction,
                repeatability: $repeatability,
                tolerance: 0.0,
                description: Cow::Borrowed($description),
                source: Cow::Borrowed($source),
            };
        )*

        /// All of them, in the order in which reports list them.
        pub static REGISTRY: &[&Definition] = &[$(&$ident),*];
    };
}

definitions! {
    // Network, as the receiver sees it.
    PACKETS_RECEIVED: "packetsReceived", Packets, Neutral, Exact, "webrtc-stats; RFC 3550 section 6.4.1",
        "RTP packets of the stream that arrived, duplicates and late ones included.";
    PACKETS_EXPECTED: "packetsExpected", Packets, Neutral, Exact, "RFC 3550 appendix A.3",
        "Extended highest sequence number received, less the first, plus one.";
    PACKETS_LOST: "packetsLost", Packets, Lower, Exact, "webrtc-stats; RFC 3550 appendix A.3",
        "Packets expected less packets received; duplicates lower it, so it may be negative.";
    PACKETS_NEVER_ARRIVED: "packetsNeverArrived", Packets, Lower, Exact, "RFC 7680",
        "Sequence numbers between the first and the highest of which no packet arrived at all.";
    LOSS_RATIO: "lossRatio", Ratio, Lower, Exact, "RFC 7680",
        "Packets that never arrived, as a part of the packets expected.";
    PACKETS_LATE: "packetsLate", Packets, Lower, Exact, "webrtc-stats packetsDiscarded, by cause",
        "Packets that arrived after the moment at which they had to be played.";
    PACKETS_DISCARDED: "packetsDiscarded", Packets, Lower, Exact, "webrtc-stats",
        "Packets that arrived and were thrown away by the receiver, by cause.";
    PACKETS_REORDERED: "packetsReordered", Packets, Lower, Exact, "RFC 4737 section 3.3",
        "Packets whose sequence number is below the next one expected at their arrival.";
    REORDERING_EXTENT_MAX: "reorderingExtentMax", Packets, Lower, Exact, "RFC 4737 section 4.2.1",
        "The most packets that overtook a single reordered packet.";
    PACKETS_DUPLICATED: "packetsDuplicated", Packets, Lower, Exact, "RFC 5560",
        "Packets whose sequence number had arrived before.";
    BYTES_RECEIVED: "bytesReceived", Bytes, Neutral, Exact, "webrtc-stats",
        "Octets of RTP payload that arrived, without headers and padding.";
    BITRATE: "bitrate", BitsPerSecond, Neutral, Exact, "derived from webrtc-stats bytesReceived",
        "Octets of RTP payload per second between the first and the last arrival, in bits.";
    JITTER: "jitter", Seconds, Lower, Exact, "webrtc-stats; RFC 3550 section 6.4.1",
        "Interarrival jitter after the last packet, from every packet in order of arrival.";
    JITTER_MEAN: "jitterMean", Seconds, Lower, Exact, "RFC 3550 section 6.4.1",
        "The mean of the interarrival jitter after each packet.";
    JITTER_MAX: "jitterMax", Seconds, Lower, Exact, "RFC 3550 section 6.4.1",
        "The greatest interarrival jitter after any packet.";
    DELAY_VARIATION_P50: "packetDelayVariationP50", Seconds, Lower, Exact, "RFC 5481 section 4.2",
        "Delay above the least delay of the stream: half of the packets had at most this.";
    DELAY_VARIATION_P95: "packetDelayVariationP95", Seconds, Lower, Exact, "RFC 5481 section 4.2",
        "Delay above the least delay of the stream: 95 % of the packets had at most this.";
    DELAY_VARIATION_P99: "packetDelayVariationP99", Seconds, Lower, Exact, "RFC 5481 section 4.2",
        "Delay above the least delay of the stream: 99 % of the packets had at most this.";
    DELAY_VARIATION_MAX: "packetDelayVariationMax", Seconds, Lower, Exact, "RFC 5481 section 4.2",
        "Delay above the least delay of the stream: the most that any packet had.";
    BURST_COUNT: "burstCount", Events, Lower, Exact, "RFC 3611 section 4.7.2, Gmin 16",
        "Stretches in which losses and discards lie closer together than Gmin packets.";
    BURST_DENSITY: "burstDensity", Ratio, Lower, Exact, "RFC 3611 section 4.7.2",
        "Packets lost or discarded within bursts, as a part of the packets expected in them.";
    BURST_DURATION: "burstDuration", Seconds, Lower, Exact, "RFC 3611 section 4.7.2",
        "The mean length of the bursts, their packets taken at the mean spacing of the stream.";
    GAP_DENSITY: "gapDensity", Ratio, Lower, Exact, "RFC 3611 section 4.7.2",
        "Packets lost or discarded within gaps, as a part of the packets expected in them.";
    GAP_DURATION: "gapDuration", Seconds, Higher, Exact, "RFC 3611 section 4.7.2",
        "The mean length of the gaps, the stretches between bursts, their packets taken at the mean spacing of the stream.";
    LONGEST_LOSS: "longestLoss", Packets, Lower, Exact, "RFC 3357 section 4",
        "The most packets lost in a row.";
    CLOCK_DRIFT: "clockDrift", PartsPerMillion, Neutral, Exact, "this project",
        "How much faster the sender's media clock runs than the receiver's clock, from the least delays.";
    ROUND_TRIP_TIME: "roundTripTime", Seconds, Lower, Exact, "webrtc-stats; RFC 3550 section 6.4.1",
        "Round trip from the last report block, by LSR and DLSR.";

    // Jitter buffer and playout of audio.
    JITTER_BUFFER_DELAY: "jitterBufferDelay", Seconds, Lower, Exact, "webrtc-stats",
        "The time that samples spent in the jitter buffer, summed over all samples that left it.";
    JITTER_BUFFER_TARGET_DELAY: "jitterBufferTargetDelay", Seconds, Neutral, Exact, "webrtc-stats",
        "The delay aimed at when each sample left the jitter buffer, summed over all that left it.";
    JITTER_BUFFER_MINIMUM_DELAY: "jitterBufferMinimumDelay", Seconds, Neutral, Exact, "webrtc-stats",
        "The least delay that the network would have allowed, summed over all samples that left.";
    JITTER_BUFFER_EMITTED_COUNT: "jitterBufferEmittedCount", Samples, Neutral, Exact, "webrtc-stats",
        "Samples (or frames of video) that left the jitter buffer.";
    JITTER_BUFFER_DELAY_MEAN: "jitterBufferDelayMean", Seconds, Lower, Exact, "webrtc-stats jitterBufferDelay / jitterBufferEmittedCount",
        "The mean time that a sample spent in the jitter buffer.";
    TOTAL_SAMPLES_RECEIVED: "totalSamplesReceived", Samples, Neutral, Exact, "webrtc-stats",
        "Samples played, concealed ones included.";
    CONCEALED_SAMPLES: "concealedSamples", Samples, Lower, Exact, "webrtc-stats",
        "Samples that were made up because the real ones were missing or late.";
    SILENT_CONCEALED_SAMPLES: "silentConcealedSamples", Samples, Neutral, Exact, "webrtc-stats",
        "Concealed samples that were silence or comfort noise.";
    CONCEALMENT_EVENTS: "concealmentEvents", Events, Lower, Exact, "webrtc-stats",
        "How often concealment began: concealed samples in a row are one event.";
    INSERTED_SAMPLES: "insertedSamplesForDeceleration", Samples, Lower, Exact, "webrtc-stats",
        "Samples added to play more slowly and let the buffer grow.";
    REMOVED_SAMPLES: "removedSamplesForAcceleration", Samples, Lower, Exact, "webrtc-stats",
        "Samples taken out to play faster and let the buffer shrink.";
    FEC_PACKETS_RECEIVED: "fecPacketsReceived", Packets, Neutral, Exact, "webrtc-stats",
        "Packets that carried forward error correction.";
    FEC_RECOVERED: "packetsRecoveredByFec", Packets, Higher, Exact, "this project; RFC 6716 section 2.1.7",
        "Lost packets played from the redundancy in their successor.";

    // Delay from end to end.
    MOUTH_TO_EAR_P50: "mouthToEarDelayP50", Seconds, Lower, Exact, "ITU-T G.114",
        "From a sample's capture at the sender to its playout: half of the samples took at most this.";
    MOUTH_TO_EAR_P95: "mouthToEarDelayP95", Seconds, Lower, Exact, "ITU-T G.114",
        "From a sample's capture at the sender to its playout: 95 % of the samples took at most this.";
    MOUTH_TO_EAR_P99: "mouthToEarDelayP99", Seconds, Lower, Exact, "ITU-T G.114",
        "From a sample's capture at the sender to its playout: 99 % of the samples took at most this.";
    GLASS_TO_GLASS_P50: "glassToGlassDelayP50", Seconds, Lower, Exact, "this project",
        "From a picture's capture at the sender to its rendering: half of the frames took at most this.";
    GLASS_TO_GLASS_P95: "glassToGlassDelayP95", Seconds, Lower, Exact, "this project",
        "From a picture's capture at the sender to its rendering: 95 % of the frames took at most this.";
    GLASS_TO_GLASS_P99: "glassToGlassDelayP99", Seconds, Lower, Exact, "this project",
        "From a picture's capture at the sender to its rendering: 99 % of the frames took at most this.";

    // Video.
    FRAMES_RECEIVED: "framesReceived", Frames, Higher, Exact, "webrtc-stats",
        "Whole frames assembled from packets.";
    FRAMES_DECODED: "framesDecoded", Frames, Higher, Exact, "webrtc-stats",
        "Frames that the decoder took without an error.";
    FRAMES_RENDERED: "framesRendered", Frames, Higher, Exact, "webrtc-provisional-stats",
        "Pictures that came out of the decoder and were shown.";
    FRAMES_RENDERED_RATIO: "framesRenderedRatio", Ratio, Higher, Exact, "this project",
        "Frames rendered, as a part of the frames captured at the sender.";
    FRAMES_DROPPED: "framesDropped", Frames, Lower, Exact, "webrtc-stats, here by cause",
        "Frames that were not shown, by cause.";
    KEY_FRAMES_DECODED: "keyFramesDecoded", Frames, Neutral, Exact, "webrtc-stats",
        "Frames decoded that need no other frame.";
    FRAMES_PER_SECOND: "framesPerSecond", FramesPerSecond, Higher, Exact, "webrtc-stats, here over the whole stream",
        "Frames rendered per second of the stream.";
    FREEZE_COUNT: "freezeCount", Events, Lower, Exact, "webrtc-stats",
        "Intervals between rendered frames of at least 3 times the mean of the last 30, and at least 150 ms above it.";
    TOTAL_FREEZES_DURATION: "totalFreezesDuration", Seconds, Lower, Exact, "webrtc-stats",
        "The total time of the intervals that counted as freezes.";
    TOTAL_INTER_FRAME_DELAY: "totalInterFrameDelay", Seconds, Neutral, Exact, "webrtc-stats",
        "The sum of the intervals between rendered frames.";
    PLI_COUNT: "pliCount", Events, Lower, Exact, "webrtc-stats; RFC 4585 section 6.3.1",
        "Picture Loss Indications sent by the receiver.";
    FIR_COUNT: "firCount", Events, Lower, Exact, "webrtc-stats; RFC 5104 section 4.3.1",
        "Full Intra Requests sent by the receiver.";
    NACK_COUNT: "nackCount", Events, Lower, Exact, "webrtc-stats; RFC 4585 section 6.2.1",
        "Generic NACK packets sent by the receiver.";
    PACKETS_LOST_ON_THE_WAY: "packetsLostOnTheWay", Packets, Neutral, Exact, "RFC 7680",
        "Packets whose first sending never arrived, whether or not they came later.";
    RETRANSMITTED_PACKETS_SENT: "retransmittedPacketsSent", Packets, Neutral, Exact, "webrtc-stats; RFC 4588",
        "Packets sent again because they were asked for.";
    RETRANSMITTED_PACKETS_RECEIVED: "retransmittedPacketsReceived", Packets, Neutral, Exact, "webrtc-stats; RFC 4588",
        "Packets sent again that arrived.";
    PACKETS_RECOVERED: "packetsRecovered", Packets, Neutral, Exact, "this project",
        "Packets lost on the way that arrived when they were sent again.";
    RECOVERED_RATIO: "recoveredRatio", Ratio, Higher, Exact, "this project",
        "Packets recovered, as a part of those lost on the way.";
    RECOVERY_DELAY_P50: "recoveryDelayP50", Seconds, Lower, Exact, "this project",
        "From the first sending of a packet that was lost to the arrival of a copy: half took at most this.";
    RECOVERY_DELAY_P95: "recoveryDelayP95", Seconds, Lower, Exact, "this project",
        "From the first sending of a packet that was lost to the arrival of a copy: 95 % took at most this.";
    FRAME_WIDTH: "frameWidth", Pixels, Neutral, Exact, "webrtc-stats",
        "The width of the last frame, in pixels.";
    FRAME_HEIGHT: "frameHeight", Pixels, Neutral, Exact, "webrtc-stats",
        "The height of the last frame, in pixels.";

    // Quality.
    MOS: "mos", OpinionScore, Higher, Exact, "ITU-T G.107 (E-model) with G.113 impairments",
        "Conversational quality as the E-model predicts it from codec, loss, its burstiness, and delay.";
    R_FACTOR: "rFactor", One, Higher, Exact, "ITU-T G.107",
        "The E-model's transmission rating, 0 to 100, from which the MOS follows.";
    SEGMENTAL_SNR: "segmentalSnr", Decibels, Higher, Exact, "this project",
        "Mean signal-to-noise ratio of 20 ms segments against the recording's truth, each held between -10 and 35 dB. Blind to what an ear forgives: a shift by one sample ruins it.";
    PSNR: "psnr", Decibels, Higher, Exact, "ITU-T J.340",
        "Peak signal-to-noise ratio of the rendered pictures against the reference, luma, mean over frames.";
    SSIM: "ssim", One, Higher, Exact, "Wang et al. 2004",
        "Structural similarity of the rendered pictures with the reference, luma, mean over frames.";
    AUDIO_LEVEL: "audioLevelMean", DecibelsOverload, Neutral, Exact, "RFC 6464",
        "The mean power of what was played while the recording spoke, below that of the loudest square wave.";

    // What must come out exactly.
    CONSERVATION_RESIDUAL: "conservationResidual", Packets, Lower, Exact, "this project",
        "Packets received less those played, late, duplicate, discarded by a cause or still queued. Always 0.";
    FRAME_CONSERVATION_RESIDUAL: "frameConservationResidual", Frames, Lower, Exact, "this project",
        "Frames captured less those rendered or dropped by a cause. Always 0.";
    DIGITS: "digits", Text, Neutral, Exact, "RFC 4733; ITU-T Q.23",
        "The digits heard, in order, each once.";
    DECODED_DIGEST: "decodedDigest", Text, Neutral, Exact, "this project",
        "Digest of the decoded output: SHA-1 of all frames (I420, visible area, output order), or SHA-256 of the samples.";

    // Cost.
    PROCESSING_PER_PACKET_P50: "processingTimePerPacketP50", Seconds, Lower, Noisy, "this project",
        "Real time from a packet's arrival to the end of everything it caused: half took at most this.";
    PROCESSING_PER_PACKET_P99: "processingTimePerPacketP99", Seconds, Lower, Noisy, "this project",
        "Real time from a packet's arrival to the end of everything it caused: 99 % took at most this.";
    PROCESSING_PER_FRAME_P50: "processingTimePerFrameP50", Seconds, Lower, Noisy, "this project",
        "Real time of all steps from one access unit, or 20 ms of sound, to the next that was handed out, decoding included: half took at most this.";
    PROCESSING_PER_FRAME_P99: "processingTimePerFrameP99", Seconds, Lower, Noisy, "this project",
        "Real time of all steps from one access unit, or 20 ms of sound, to the next that was handed out, decoding included: 99 % took at most this.";
    PACKETS_PER_CORE_SECOND: "packetsPerCoreSecond", PacketsPerSecond, Higher, Noisy, "this project",
        "Packets processed per second of one core's time.";
    REAL_TIME_FACTOR: "realTimeFactor", Times, Higher, Noisy, "this project",
        "Seconds of media processed per second of one core's time.";
}

/// The definition with this name.
#[must_use]
pub fn definition(name: &str) -> Option<&'static Definition> {
    REGISTRY.iter().copied().find(|definition| definition.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_defined_once_and_described() {
        let names: BTreeSet<&str> = REGISTRY.iter().map(|one| one.name.as_ref()).collect();
        assert_eq!(names.len(), REGISTRY.len());
        for one in REGISTRY {
            assert!(one.name.chars().all(|c| c.is_ascii_alphanumeric()), "{}", one.name);
            assert!(one.description.ends_with('.'), "{}", one.name);
            assert!(!one.source.is_empty(), "{}", one.name);
            assert_eq!(definition(&one.name).map(|found| &found.name), Some(&one.name));
        }
    }
}
