//! Which stage of the path a metric speaks of, so that an answer says where to look.

/// The stage of a metric of the registry, by its name.
#[must_use]
pub fn of(metric: &str) -> &'static str {
    let name = metric.split('{').next().unwrap_or(metric);
    let is = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    match name {
        _ if is(&["jitterBuffer", "packetsLate", "inserted", "removed", "mouthToEar"]) => {
            "jitter buffer"
        }
        _ if is(&["concealed", "concealment", "silentConcealed", "totalSamples"]) => {
            "jitter buffer"
        }
        _ if is(&["fec", "packetsRecoveredByFec"]) => "opus",
        _ if is(&["pliCount", "firCount", "nackCount", "roundTripTime"]) => "rtcp",
        _ if is(&["retransmitted", "packetsRecovered", "recover", "packetsLostOnTheWay"]) => {
            "retransmission"
        }
        _ if is(&[
            "frame",
            "freeze",
            "totalFreezes",
            "keyFrames",
            "glassToGlass",
            "totalInter",
        ]) =>
        {
            "video"
        }
        _ if is(&["psnr", "ssim"]) => "video decoder",
        _ if is(&["mos", "rFactor", "segmentalSnr", "audioLevel"]) => "audio quality",
        _ if is(&["decodedDigest"]) => "decoder",
        _ if is(&["digits"]) => "dtmf",
        _ if is(&["packet", "loss", "reorder", "bytes", "bitrate", "jitter", "burst", "gap"])
            || is(&["longestLoss", "clockDrift", "conservation"]) =>
        {
            "rtp reception"
        }
        _ => "elsewhere",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Repeatability, registry::REGISTRY};

    #[test]
    fn every_exact_metric_has_a_stage() {
        for one in REGISTRY.iter().filter(|one| one.repeatability == Repeatability::Exact) {
            assert_ne!(of(&one.name), "elsewhere", "{}", one.name);
        }
        assert_eq!(of("packetsDiscarded{late}"), "rtp reception");
    }
}
