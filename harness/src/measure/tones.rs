//! Keys pressed, as the packets of telephone events say it (RFC 4733), put together by the
//! judges themselves with all packets in view: a key is known by its timestamp, however
//! many reports of it came, in whatever order.

use std::collections::BTreeMap;

use bytes::Bytes;
use callrig_media::time::Instant;

/// What a telephone sends for the event codes 0 to 16 (RFC 4733 section 3.2).
const KEYS: [char; 17] =
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D', '!'];

/// A segment of a long event is this long at most, in ticks (section 2.5.1.3).
const SEGMENT_MAX: i64 = 0xffff;

/// One report of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// When it arrived.
    pub at: Instant,
    /// RTP timestamp: when the event, or its segment, began.
    pub timestamp: u32,
    /// The marker bit: an event begins.
    pub marker: bool,
    /// The key.
    pub key: char,
    /// Whether the event is over.
    pub end: bool,
    /// Of the segment so far, in ticks.
    pub duration: u16,
}

impl Report {
    /// From the payload of a packet; `None` if it is no event, or no key of a telephone.
    #[must_use]
    pub fn read(at: Instant, timestamp: u32, marker: bool, payload: &Bytes) -> Option<Self> {
        let [event, flags, high, low] = *payload.first_chunk()?;
        Some(Self {
            at,
            timestamp,
            marker,
            key: *KEYS.get(usize::from(event))?,
            end: flags & 0x80 != 0,
            duration: u16::from_be_bytes([high, low]),
        })
    }
}

/// One key, pressed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pressed {
    /// Which.
    pub key: char,
    /// RTP timestamp of its beginning.
    pub timestamp: u32,
    /// All reports of it, in the order of their arrival.
    pub reports: Vec<Report>,
    /// The beginning of each segment, in ticks from the first, ascending.
    segments: Vec<i64>,
}

impl Pressed {
    /// The longest that it is known to have been held by `until`, in ticks, and whether its
    /// end is known.
    #[must_use]
    pub fn held_by(&self, until: Instant) -> (i64, bool) {
        let heard = self.reports.iter().filter(|report| report.at <= until);
        let mut held = (0, false);
        for report in heard {
            let start = i64::from(report.timestamp.wrapping_sub(self.timestamp));
            let last = self.segments.last() == Some(&start);
            held.0 = held.0.max(start + i64::from(report.duration));
            held.1 |= report.end && last;
        }
        held
    }

    /// When the first report of it arrived.
    #[must_use]
    pub fn first_heard(&self) -> Option<Instant> {
        self.reports.first().map(|report| report.at)
    }

    /// When the last report of it arrived.
    #[must_use]
    pub fn last_heard(&self) -> Option<Instant> {
        self.reports.last().map(|report| report.at)
    }
}

/// The keys of one source, in the order of their timestamps, from reports in the order of
/// their arrival.
#[must_use]
pub fn pressed(reports: &[Report]) -> Vec<Pressed> {
    let mut by_time: BTreeMap<i64, Vec<Report>> = BTreeMap::new();
    let (mut last, mut extended) = (None, 0i64);
    for report in reports {
        let step = last.map_or(0, |last| report.timestamp.wrapping_sub(last).cast_signed());
        extended += i64::from(step);
        last = Some(report.timestamp);
        by_time.entry(extended).or_default().push(*report);
    }
    let mut list: Vec<(i64, Pressed)> = Vec::new();
    for (time, reports) in by_time {
        let (Some(first), marked) = (reports.first(), reports.iter().any(|one| one.marker)) else {
            continue;
        };
        if let Some((start, before)) = list.last_mut()
            && before.key == first.key
            && !marked
            && joins(before, time - *start)
        {
            before.segments.push(time - *start);
            before.reports.extend(reports);
            before.reports.sort_by_key(|report| report.at);
            continue;
        }
        let (key, timestamp) = (first.key, first.timestamp);
        list.push((time, Pressed { key, timestamp, reports, segments: vec![0] }));
    }
    list.into_iter().map(|(_, pressed)| pressed).collect()
}

/// Whether what begins so many ticks after a key was pressed goes on with it: it begins
/// where the last segment ended, or would have ended at the latest.
fn joins(before: &Pressed, start: i64) -> bool {
    let last = before.segments.last().copied().unwrap_or(0);
    let reached = before
        .reports
        .iter()
        .filter(|report| i64::from(report.timestamp.wrapping_sub(before.timestamp)) == last)
        .map(|report| i64::from(report.duration))
        .max();
    let step = start - last;
    step == SEGMENT_MAX || (Some(step) == reached && step > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(at_ms: u64, timestamp: u32, key: char, duration: u16, end: bool) -> Report {
        let (at, marker) = (Instant::from_millis(at_ms), duration == 160);
        Report { at, timestamp, marker, key, end, duration }
    }

    #[test]
    fn a_payload_says_key_end_and_duration() {
        let payload = Bytes::from_static(&[11, 0x8a, 0x03, 0x20]);
        let report = Report::read(Instant::ZERO, 7, true, &payload).expect("a pound sign");
        assert_eq!((report.key, report.end, report.duration), ('#', true, 800));
        let fax = Bytes::from_static(&[36, 0, 0, 0]);
        assert_eq!(Report::read(Instant::ZERO, 7, true, &fax), None);
        assert_eq!(Report::read(Instant::ZERO, 7, true, &Bytes::from_static(&[1, 2])), None);
    }

    #[test]
    fn reports_in_any_order_are_one_key_each() {
        let start = u32::MAX - 100;
        let next = start.wrapping_add(1_600);
        let list = [
            report(0, start, '5', 160, false),
            report(40, start, '5', 480, true),
            report(41, start, '5', 320, false),
            report(60, start, '5', 480, true),
            report(200, next, '5', 160, false),
        ];
        let keys = pressed(&list);
        assert_eq!(keys.len(), 2);
        assert_eq!((keys[0].timestamp, keys[1].timestamp), (start, next));
        assert_eq!(keys[0].held_by(Instant::from_millis(100)), (480, true));
        assert_eq!(keys[0].held_by(Instant::from_millis(10)), (160, false));
        assert_eq!(keys[1].held_by(Instant::from_millis(300)), (160, false));
    }

    #[test]
    fn segments_of_a_long_press_are_joined_and_the_next_press_is_not() {
        let list = [
            report(0, 1_000, '9', 0xffff, false),
            report(9_000, 1_000 + 0xffff, '9', 400, false),
            report(9_050, 1_000 + 0xffff, '9', 800, true),
            report(9_100, 1_000 + 0xffff + 800, '9', 160, false),
        ];
        let keys = pressed(&list);
        assert_eq!(keys.len(), 2, "the marker begins another press");
        assert_eq!(keys[0].held_by(Instant::from_millis(9_060)), (0xffff + 800, true));
        assert_eq!(keys[0].first_heard(), Some(Instant::ZERO));
    }
}
