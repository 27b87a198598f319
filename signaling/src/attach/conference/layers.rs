//! Which of the streams that show the same pictures one sees: the largest that is not larger than
//! was asked for and that the path carries. What a stream is like is seen on what comes of it,
//! not taken from what was promised.

use core::time::Duration;

use callrig_media::description::MediaKind;
use callrig_media::event::StreamStarted;
use callrig_media::time::Instant;
use callrig_media::video::Frame;
use callrig_media::video::prelude::Prelude;

/// A stream whose last picture is so much older than another's is not chosen: whoever sends
/// layers stops some of them when its own path is narrow. (In a still scene all of them rest.)
const BEHIND_MAX: Duration = Duration::from_millis(700);

/// Over so long the rate of a stream is measured at least.
const WINDOW: Duration = Duration::from_millis(500);

/// A larger stream is turned to if the path carries so much more than it, and is kept until the
/// path carries so much less.
const MARGIN_UP: f64 = 1.2;
const MARGIN_KEPT: f64 = 0.9;

/// A stream of somebody's in a room.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) ssrc: u32,
    pub(super) kind: MediaKind,
    /// The media line on which it came; others of the same line show the same.
    pub(super) media: usize,
    /// Which layer it is there: the newest source of a layer is the layer.
    layer: Option<u8>,
    /// The shorter side of its pictures; 0 before the first.
    lines: u32,
    /// Bits per second; 0 before they are known.
    bits: u64,
    /// When it began or showed something last.
    shown: Instant,
    /// Since when so many bytes have come.
    window: (Instant, usize),
    /// When a key frame was last asked for.
    pub(super) asked: Option<Instant>,
    /// For who comes to see it later.
    pub(super) prelude: Prelude,
}

impl Stream {
    pub(super) fn new(now: Instant, began: &StreamStarted) -> Self {
        let StreamStarted { ssrc, kind, media, layer, .. } = *began;
        let (lines, bits, asked, prelude) = (0, 0, None, Prelude::default());
        Self { ssrc, kind, media, layer, lines, bits, shown: now, window: (now, 0), asked, prelude }
    }

    /// Whether it goes on where another one was.
    pub(super) fn follows(&self, other: &Self) -> bool {
        self.ssrc == other.ssrc || (self.media, self.layer) == (other.media, other.layer)
    }

    /// A picture of it.
    pub(super) fn show(&mut self, now: Instant, frame: &Frame) {
        self.shown = now;
        self.prelude.remember(&frame.data);
        if let Some((width, height)) = frame.resolution {
            self.lines = u32::from(width.min(height));
        }
        let (since, bytes) = &mut self.window;
        *bytes += frame.data.len();
        let passed = now.since(*since);
        if passed >= WINDOW {
            let bits = (*bytes as f64 * 8.0 / passed.as_secs_f64()) as u64;
            self.bits = if self.bits == 0 { bits } else { u64::midpoint(self.bits, bits) };
            self.window = (now, 0);
        }
    }
}

/// What one can see.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// Pictures of so many lines at most.
    pub(super) lines: Option<u32>,
    /// So many bits per second at most, if that is known.
    pub(super) bits: Option<u64>,
    /// Nothing larger than what is seen now, whatever the path carries.
    pub(super) stays: bool,
}

/// What is chosen, and what would be if the path carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) ssrc: u32,
    /// Bits per second of it.
    pub(super) bits: u64,
    /// Bits per second of what would be.
    pub(super) aim: u64,
    /// Whether the path does not carry what is seen now.
    pub(super) narrow: bool,
}

/// What somebody's pictures of one kind take of a path, in bits per second: 0 before that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    /// The smallest stream.
    pub(super) least: u64,
    /// The largest.
    pub(super) most: u64,
}

impl Claim {
    pub(super) fn of(streams: &[Stream], kind: MediaKind) -> Self {
        let bits = || of_line(streams, kind).map(|s| s.bits).filter(|bits| *bits > 0);
        Self { least: bits().min().unwrap_or(0), most: bits().max().unwrap_or(0) }
    }
}

/// So much of `bits` per second is for one who shares a path with `others` like it: no less than
/// an equal part, and what they have no use for.
pub(super) fn part(bits: u64, others: impl Iterator<Item = Claim>) -> u64 {
    let (count, most) = others.fold((0, 0), |(count, most), of| (count + 1, most + of.most));
    (bits / (count + 1)).max(bits.saturating_sub(most))
}

/// Whether streams of this kind are a choice at all.
pub(super) fn is_choice(streams: &[Stream], kind: MediaKind) -> bool {
    of_line(streams, kind).nth(1).is_some()
}

/// The streams of the first line of this kind.
fn of_line(streams: &[Stream], kind: MediaKind) -> impl Iterator<Item = &Stream> {
    let first = streams.iter().filter(|s| s.kind == kind).map(|s| s.media).min();
    streams.iter().filter(move |s| s.kind == kind && Some(s.media) == first)
}

/// Chooses among somebody's streams of this kind; `current` is what is seen of them.
pub(super) fn choose(
    streams: &[Stream],
    kind: MediaKind,
    limits: Limits,
    current: Option<u32>,
) -> Option<Choice> {
    let newest = of_line(streams, kind).map(|s| s.shown).max()?;
    let goes_on = |s: &&Stream| newest.since(s.shown) < BEHIND_MAX;
    let mut list: Vec<&Stream> = of_line(streams, kind).filter(goes_on).collect();
    if list.iter().any(|s| s.lines > 0) {
        list.retain(|s| s.lines > 0);
    }
    list.sort_by_key(|s| (s.lines, s.bits, s.ssrc));
    let smallest = *list.first()?;
    if let Some(most) = limits.lines {
        list.retain(|s| s.lines <= most);
    }
    let best = list.last().copied().unwrap_or(smallest);
    let Some(bits) = limits.bits else {
        return Some(Choice { ssrc: best.ssrc, bits: best.bits, aim: best.bits, narrow: false });
    };
    let seen = current.and_then(|ssrc| list.iter().position(|s| s.ssrc == ssrc));
    let fits = |(place, of): &(usize, &&Stream)| {
        let is_kept = seen.is_some_and(|seen| *place <= seen);
        let margin = if is_kept { MARGIN_KEPT } else { MARGIN_UP };
        let may = is_kept || seen.is_none() || !limits.stays;
        // What is seen is not too much as long as nobody knows how much it is.
        let is_known = of.bits > 0 || seen == Some(*place);
        may && is_known && of.bits as f64 * margin <= bits as f64
    };
    let place = list.iter().enumerate().rev().find(fits).map_or(0, |(place, _)| place);
    let narrow = seen.is_some_and(|seen| place < seen);
    let chosen = list.get(place).copied().unwrap_or(smallest);
    Some(Choice { ssrc: chosen.ssrc, bits: chosen.bits, aim: best.bits, narrow })
}

#[cfg(test)]
mod tests {
    use callrig_media::description::Codec;

    use super::*;

    const NOW: Instant = Instant::from_nanos(60_000_000_000);

    fn stream(ssrc: u32, kind: MediaKind) -> Stream {
        let codec = Codec::H264 { packetization_mode: 1 };
        let layer = Some(ssrc as u8);
        let began = StreamStarted { ssrc, payload_type: 102, codec, kind, media: 1, layer };
        Stream::new(NOW, &began)
    }

    fn layer(ssrc: u32, lines: u32, bits: u64) -> Stream {
        Stream { lines, bits, ..stream(ssrc, MediaKind::Video) }
    }

    fn layers() -> Vec<Stream> {
        vec![layer(3, 720, 1_500_000), layer(1, 180, 150_000), layer(2, 360, 500_000)]
    }

    fn chosen(streams: &[Stream], limits: Limits, current: Option<u32>) -> Option<u32> {
        choose(streams, MediaKind::Video, limits, current).map(|choice| choice.ssrc)
    }

    #[test]
    fn the_largest_that_was_asked_for() {
        let of = |lines| Limits { lines, ..Limits::default() };
        let expected = [(None, 3), (Some(1_080), 3), (Some(720), 3), (Some(719), 2), (Some(90), 1)];
        for (lines, ssrc) in expected {
            assert_eq!(chosen(&layers(), of(lines), None), Some(ssrc), "{lines:?}");
        }
        assert_eq!(chosen(&[], of(None), None), None);
        let screen = stream(9, MediaKind::ScreenSharing);
        assert_eq!(chosen(&[screen], of(None), None), None);
    }

    #[test]
    fn the_largest_that_the_path_carries_and_no_other_for_a_little_less() {
        let of = |bits| Limits { bits: Some(bits), ..Limits::default() };
        let list = layers();
        for (bits, ssrc) in [(50_000, 1), (599_999, 1), (600_000, 2), (1_900_000, 3)] {
            assert_eq!(chosen(&list, of(bits), None), Some(ssrc), "{bits}");
        }
        assert_eq!(chosen(&list, of(1_400_000), Some(3)), Some(3));
        assert_eq!(chosen(&list, of(1_300_000), Some(3)), Some(2));
        assert_eq!(chosen(&list, of(1_700_000), Some(2)), Some(2));
        let stays = Limits { stays: true, ..of(5_000_000) };
        assert_eq!(chosen(&list, stays, Some(2)), Some(2));
        assert_eq!(chosen(&list, stays, None), Some(3));
        let mut unknown = layers();
        unknown.iter_mut().for_each(|layer| layer.bits = 0);
        assert_eq!(chosen(&unknown, of(5_000_000), None), Some(1));
        assert_eq!(chosen(&unknown, of(5_000_000), Some(2)), Some(2), "it is not too much yet");
        let choice = choose(&list, MediaKind::Video, of(500_000), None);
        let expected = Choice { ssrc: 1, bits: 150_000, aim: 1_500_000, narrow: false };
        assert_eq!(choice, Some(expected));
        let choice = choose(&list, MediaKind::Video, of(500_000), Some(3));
        let expected = Choice { ssrc: 2, bits: 500_000, aim: 1_500_000, narrow: true };
        assert_eq!(choice, Some(expected));
    }

    #[test]
    fn what_others_have_no_use_for_is_for_who_has() {
        let claim = |most| Claim { least: 50_000, most };
        let part = |others: &[u64]| part(900_000, others.iter().copied().map(claim));
        assert_eq!(part(&[]), 900_000);
        assert_eq!(part(&[100_000]), 800_000);
        assert_eq!(part(&[2_000_000]), 450_000);
        assert_eq!(part(&[100_000, 2_000_000]), 300_000);
        let list = layers();
        assert_eq!(Claim::of(&list, MediaKind::Video), Claim { least: 150_000, most: 1_500_000 });
        assert_eq!(Claim::of(&list, MediaKind::ScreenSharing), Claim::default());
    }

    #[test]
    fn one_that_has_stopped_is_not_chosen_while_another_shows_something() {
        let mut list = layers();
        list[1].shown = NOW + BEHIND_MAX;
        assert_eq!(chosen(&list, Limits::default(), Some(3)), Some(1));
        list[0].shown = NOW + BEHIND_MAX / 2;
        assert_eq!(chosen(&list, Limits::default(), Some(3)), Some(3));
        // Before the first picture nothing is known of any.
        assert_eq!(chosen(&[layer(7, 0, 0)], Limits::default(), None), Some(7));
    }

    #[test]
    fn the_newest_source_of_a_layer_is_the_layer() {
        let [one, two] = [1, 2].map(|ssrc| stream(ssrc, MediaKind::Video));
        assert!(one.follows(&one) && !one.follows(&two));
        assert!(Stream { layer: one.layer, ..two }.follows(&one));
    }

    #[test]
    fn of_two_lines_the_first_is_seen() {
        let mut list = layers();
        list[0].media = 2;
        assert_eq!(chosen(&list, Limits::default(), None), Some(2));
        assert!(is_choice(&list, MediaKind::Video));
        assert!(!is_choice(&list[..1], MediaKind::Video));
        assert!(!is_choice(&list, MediaKind::ScreenSharing));
    }

    #[test]
    fn what_a_stream_is_like_is_seen_on_its_pictures() {
        let mut stream = stream(1, MediaKind::Video);
        for picture in 1..=30_u64 {
            let data = vec![0; 1_250].into();
            let at = NOW + Duration::from_millis(picture * 40);
            let frame = Frame {
                ssrc: 1,
                timestamp: 0,
                data,
                key_frame: false,
                first_sequence: 0,
                last_sequence: 0,
                arrived_first: at,
                arrived_last: at,
                resolution: Some((640, 360)),
            };
            stream.show(at, &frame);
        }
        assert_eq!(stream.lines, 360);
        assert!((240_000..260_000).contains(&stream.bits), "{}", stream.bits);
    }
}
