//! What Ann shows: a recording of 15 pictures a second, again and again. Whoever asks for a key
//! frame gets the last one, from which it goes on.

use core::time::Duration;
use std::sync::LazyLock;

use bytes::Bytes;
use callrig_corpora::format::annexb::AnnexB;
use callrig_media::time::Instant;

/// 180p, baseline: small, so that many calls can be simulated.
static FILE: &[u8] =
    include_bytes!("../../../../../corpora/recordings/video/zoom-180p-baseline.264");
/// Ticks of the video's clock in a second, and from one picture to the next.
const CLOCK_RATE: u32 = 90_000;
const TICKS: u32 = CLOCK_RATE / 15;
const INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / 15);

static FILM: LazyLock<Vec<(Bytes, bool)>> = LazyLock::new(|| {
    let stream = AnnexB::read(Bytes::from_static(FILE)).expect("a recording of ours is sound");
    let units = stream.access_units().into_iter().filter(|unit| unit.picture);
    units.map(|unit| (unit.data, unit.key_frame)).collect()
});

/// A camera.
pub(super) struct Camera {
    at: usize,
    timestamp: u32,
    due: Instant,
}

impl Camera {
    pub(super) const fn new() -> Self {
        Self { at: 0, timestamp: 90_000, due: Instant::ZERO }
    }

    /// The next picture, if it is time.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Bytes, u32)> {
        if now < self.due {
            return None;
        }
        let first = self.due == Instant::ZERO || now.since(self.due) > INTERVAL;
        self.due = if first { now } else { self.due } + INTERVAL;
        let (unit, _) = FILM.get(self.at)?;
        let timestamp = self.timestamp;
        self.timestamp = timestamp.wrapping_add(TICKS);
        self.at = (self.at + 1) % FILM.len();
        Some((unit.clone(), timestamp))
    }

    /// Nothing is shown until then; the clock goes on.
    pub(super) fn pause(&mut self, until: Instant) {
        let skipped = until.since(self.due).as_secs_f64() * f64::from(CLOCK_RATE);
        self.timestamp = self.timestamp.wrapping_add(skipped as u32);
        self.due = until;
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// The last key frame is shown next.
    pub(super) fn go_back(&mut self) {
        let past = FILM.get(..=self.at).unwrap_or_default();
        self.at = past.iter().rposition(|(_, key_frame)| *key_frame).unwrap_or(0);
    }
}
