//! The processor that a race is run on.

#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// As long as it lives, this thread, and the processes that it starts, keep to one processor: the
/// last of those that they may use, since the first one often serves the devices. Where the system
/// cannot do that, or will not, they run where they would.
pub(super) struct Kept {
    #[cfg(target_os = "linux")]
    before: Option<CpuSet>,
}

#[cfg(target_os = "linux")]
impl Kept {
    pub(super) fn to_one() -> Self {
        let before = sched_getaffinity(None).ok().filter(|allowed| {
            let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu));
            last.is_some_and(|last| {
                let mut one = CpuSet::new();
                one.set(last);
                sched_setaffinity(None, &one).is_ok()
            })
        });
        Self { before }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // What was allowed before is allowed still, but for processors that went away.
            let _ = sched_setaffinity(None, before);
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Kept {
    pub(super) const fn to_one() -> Self {
        Self {}
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn allowed() -> Vec<usize> {
        let set = sched_getaffinity(None).expect("the system says");
        (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
    }

    #[test]
    fn it_is_one_as_long_as_it_is_kept_and_also_for_who_is_started() {
        let before = allowed();
        let kept = Kept::to_one();
        assert_eq!(allowed(), [*before.last().expect("there is a processor")]);
        assert_eq!(std::thread::spawn(allowed).join().expect("it ends").len(), 1);
        drop(kept);
        assert_eq!(allowed(), before);
    }
}
