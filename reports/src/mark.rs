//! What happened when: losses, concealments, freezes and the like, as marks on the timeline of a case.
//!
//! Marks are bounded: where there are too many, neighbours of one kind become one mark that says how
//! many it stands for, so a picture of them stays true at its scale and the count stays exact.

use serde::{Deserialize, Serialize};

use crate::number;

/// What a mark stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MarkKind {
    /// Packets that never came.
    Lost,
    /// Packets that came after their playout.
    Late,
    /// Packets that came after a later one.
    Reordered,
    /// Packets that came again.
    Duplicate,
    /// Audio that was made up.
    Concealed,
    /// Audio played faster or slower than it was spoken.
    Stretched,
    /// Video that stood still.
    Frozen,
    /// Frames that were not rendered.
    FrameDropped,
    /// Frames that need no other.
    KeyFrame,
    /// Requests for a key frame.
    KeyFrameRequested,
    /// Digits heard.
    Digit,
}

impl MarkKind {
    /// Every kind, in the order in which a timeline shows its rows.
    pub const ALL: [Self; 11] = [
        Self::Lost,
        Self::Late,
        Self::Reordered,
        Self::Duplicate,
        Self::Concealed,
        Self::Stretched,
        Self::Frozen,
        Self::FrameDropped,
        Self::KeyFrameRequested,
        Self::KeyFrame,
        Self::Digit,
    ];

    /// What the row of these marks is called.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Late => "late",
            Self::Reordered => "reordered",
            Self::Duplicate => "duplicate",
            Self::Concealed => "concealed",
            Self::Stretched => "stretched",
            Self::Frozen => "frozen",
            Self::FrameDropped => "frame dropped",
            Self::KeyFrame => "key frame",
            Self::KeyFrameRequested => "key request",
            Self::Digit => "digit",
        }
    }
}

/// One mark on a timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// What it stands for.
    pub kind: MarkKind,
    /// When it began, in milliseconds since the case began.
    #[serde(with = "number::json")]
    pub at_ms: f64,
    /// How long it took, in milliseconds; 0 for a moment.
    #[serde(with = "number::json")]
    pub duration_ms: f64,
    /// How many such things it stands for.
    pub count: u64,
    /// Which one, where that matters: the digit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Mark {
    /// The most marks of one kind that [`bounded`] keeps.
    pub const MAX_PER_KIND: usize = 400;

    /// One thing that happened at a moment.
    #[must_use]
    pub const fn at(kind: MarkKind, at_ms: f64) -> Self {
        Self { kind, at_ms, duration_ms: 0.0, count: 1, label: None }
    }

    /// The same, taking this long.
    #[must_use]
    pub const fn lasting(mut self, duration_ms: f64) -> Self {
        self.duration_ms = duration_ms;
        self
    }

    /// The same, with its name.
    #[must_use]
    pub fn labelled(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    fn end_ms(&self) -> f64 {
        self.at_ms + self.duration_ms
    }
}

/// At most `per_kind` marks of each kind, sorted by time and kind; the counts of all add up to the
/// same sums as before. Marks at times that are not finite numbers are left out.
#[must_use]
pub fn bounded(marks: impl IntoIterator<Item = Mark>, per_kind: usize) -> Vec<Mark> {
    let mut marks: Vec<Mark> = marks
        .into_iter()
        .filter(|mark| mark.at_ms.is_finite() && mark.duration_ms.is_finite())
        .collect();
    marks.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms).then(a.kind.cmp(&b.kind)));
    let mut kept = Vec::new();
    for kind in MarkKind::ALL {
        let of_kind: Vec<&Mark> = marks.iter().filter(|mark| mark.kind == kind).collect();
        kept.extend(merged(&of_kind, per_kind.max(1)));
    }
    kept.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms).then(a.kind.cmp(&b.kind)));
    kept
}

/// Joins the closest neighbours until no more than `most` are left.
fn merged(marks: &[&Mark], most: usize) -> Vec<Mark> {
    if marks.len() <= most {
        return marks.iter().map(|mark| (*mark).clone()).collect();
    }
    // The gap below which neighbours join is the one that leaves exactly `most` groups.
    let gaps: Vec<f64> = marks.windows(2).map(|pair| pair[1].at_ms - pair[0].end_ms()).collect();
    let mut by_size: Vec<usize> = (0..gaps.len()).collect();
    by_size.sort_by(|a, b| gaps[*b].total_cmp(&gaps[*a]).then(a.cmp(b)));
    let mut split_before: Vec<usize> = by_size.iter().take(most - 1).map(|gap| gap + 1).collect();
    split_before.sort_unstable();
    let mut groups = Vec::with_capacity(most);
    let mut start = 0;
    for end in split_before.into_iter().chain([marks.len()]) {
        let group = &marks[start..end];
        let ends_ms = group.iter().map(|mark| mark.end_ms()).fold(f64::MIN, f64::max);
        groups.push(Mark {
            kind: group[0].kind,
            at_ms: group[0].at_ms,
            duration_ms: ends_ms - group[0].at_ms,
            count: group.iter().map(|mark| mark.count).sum(),
            label: if group.len() == 1 { group[0].label.clone() } else { None },
        });
        start = end;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_marks_keep_their_count_and_their_span() {
        let marks = (0..1_000).map(|n| Mark::at(MarkKind::Lost, f64::from(n) * 20.0).lasting(20.0));
        let kept = bounded(marks.chain([Mark::at(MarkKind::Digit, 5.0).labelled("7")]), 10);
        assert_eq!(kept.iter().filter(|mark| mark.kind == MarkKind::Lost).count(), 10);
        assert_eq!(kept.iter().map(|mark| mark.count).sum::<u64>(), 1_001);
        let lost_ms: f64 =
            kept.iter().filter(|m| m.kind == MarkKind::Lost).map(|m| m.duration_ms).sum();
        assert!((lost_ms - 20_000.0).abs() < 1e-6, "{lost_ms}");
        assert!(kept.iter().any(|mark| mark.label.as_deref() == Some("7")));
    }

    #[test]
    fn far_apart_marks_stay_apart() {
        let times = [0.0, 1.0, 2.0, 5_000.0, 9_000.0];
        let kept = bounded(times.map(|at| Mark::at(MarkKind::Late, at)), 3);
        let starts: Vec<f64> = kept.iter().map(|mark| mark.at_ms).collect();
        assert_eq!(starts, [0.0, 5_000.0, 9_000.0]);
    }
}
