//! The stages of the hot path, each as a piece of work that can be done any number of times: by
//! the gate's worker, under callgrind, and by criterion at the desk (`cargo bench --bench
//! stages`). A stage that has a limit, the least that its job can cost, names the stage that is
//! it.

mod audio;
mod video;
mod whole;
mod wire;

/// Does so many units of work, the same ones each time.
pub type Work = Box<dyn FnMut(u32)>;

/// One stage.
#[derive(Clone, Copy)]
pub struct Stage {
    /// `opus/decode`
    pub name: &'static str,
    /// What one unit of its work is.
    pub unit: &'static str,
    /// The stage that is the least this one can cost for the same unit.
    pub limit: Option<&'static str>,
    /// Makes what the work needs.
    pub build: fn() -> Work,
}

const fn stage(
    name: &'static str,
    unit: &'static str,
    limit: Option<&'static str>,
    build: fn() -> Work,
) -> Stage {
    Stage { name, unit, limit, build }
}

/// All of them, from the wire to the whole. `limit/...` are no code of ours: they are measured
/// beside the others, and gated by nobody.
pub const STAGES: &[Stage] = &[
    stage("limit/copy", "packet of 92 B", None, wire::copy_small),
    stage("limit/copy-1200", "packet of 1200 B", None, wire::copy_large),
    stage("limit/cipher", "packet of 160 B", None, wire::cipher),
    stage("limit/opus-decode", "packet of 20 ms", None, audio::libopus_decode),
    stage("rtp/parse", "packet", Some("limit/copy"), wire::parse),
    stage("rtp/write", "packet", Some("limit/copy"), wire::write),
    stage("rtp/reception", "packet", None, wire::reception),
    stage("srtp/protect", "packet of 160 B", Some("limit/cipher"), wire::protect),
    stage("srtp/open", "packet of 160 B", Some("limit/cipher"), wire::open),
    stage("jitter/clean", "packet", None, audio::jitter_clean),
    stage("jitter/impaired", "packet", None, audio::jitter_impaired),
    stage("opus/decode", "packet of 20 ms", Some("limit/opus-decode"), audio::decode),
    stage("opus/encode", "20 ms", None, audio::encode),
    stage("opus/capture-to-pcm", "packet of 20 ms", Some("limit/opus-decode"), audio::to_pcm),
    stage("mixer/3-of-50", "20 ms of 50 speakers", None, audio::mix),
    stage("h264/packetize", "packet of 1200 B", Some("limit/copy-1200"), video::packetize),
    stage("h264/depacketize", "packet of 1200 B", Some("limit/copy-1200"), video::depacketize),
    stage("h264/assemble", "packet of 1200 B", Some("limit/copy-1200"), video::assemble),
    stage("h264/decode", "picture of 320x180", None, video::decode),
    stage("h264/encode", "picture of 320x180", None, video::encode),
    stage("session/receive", "packet", Some("rtp/parse"), wire::receive),
    stage("session/relay", "packet", Some("rtp/parse"), wire::relay),
    stage("whole/call", "call of 1 s, simulated", None, whole::call),
];

/// The stage of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Stage> {
    STAGES.iter().find(|stage| stage.name == name)
}

impl Stage {
    /// Whether it is somebody else's code, measured as a yardstick.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        self.name.starts_with("limit/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_works_and_every_limit_is_a_stage() {
        for stage in STAGES {
            let mut work = (stage.build)();
            work(3);
            // Once more: the worker asks again and again.
            work(40);
            assert!(stage.limit.is_none_or(|limit| find(limit).is_some()), "{}", stage.name);
        }
    }
}
