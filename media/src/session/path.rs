//! The path to the peer: how much it carries, as far as the peer's feedback tells
//! ([`crate::bandwidth`]), and what leaves when. Packets are marked when they leave: with a
//! number over the whole transport, or the time, whichever the peer's feedback needs. Where
//! the peer gives neither kind of feedback, its reports give an estimate for the statistics,
//! and nothing is held back: loss alone does not tell a full path from a bad one. What a path
//! carries counts the headers of IP and UDP; what is said of it outside does not, as in
//! webrtc-stats.

use core::time::Duration;

use arrayvec::ArrayVec;
use bytes::{BufMut, BytesMut};

use super::Config;
use super::lines::{Line, Lines};
use super::losses::Losses;
use super::outbox::Outbox;
use super::pacer::{BELOW, Pacer, Waiting};
use super::thin::Room;
use crate::bandwidth::Estimator;
use crate::bandwidth::meter::Meter;
use crate::bandwidth::probe::Prober;
use crate::bandwidth::reports::Reported;
use crate::description::MediaKind;
use crate::event::Event;
use crate::fault::{self, Fault};
use crate::rtcp::TransportFeedback;
use crate::rtp::{self, extension};
use crate::time::{Epoch, Instant, earlier};

/// A change of the estimate is told that is greater than this share of it, and not more often
/// than once in so long.
const TOLD_SHARE: u64 = 20;
const TOLD_INTERVAL: Duration = Duration::from_millis(200);

/// Everything that is offered counts as fitting with so much of the estimate to spare.
const MARGIN: f64 = 1.05;

/// What receivers think is seldom more than what comes, and some mean pictures alone: so much
/// more than that, and this besides, is no cause to leave anything out.
const HEADROOM: f64 = 1.25;
const SOUND: u64 = 64_000;

/// The same packet is not sent again within this time, however often it is asked for; nor within
/// this share of the time after which packets are told of, where that is known, lest copies of it
/// fill a queue in which the first one still is. At most so long: a copy may have been lost too.
const RESEND_MIN: Duration = Duration::from_millis(10);
const RESEND_SHARE: f64 = 0.6;
const RESEND_MAX: Duration = Duration::from_millis(500);

/// The last of the ranks.
const LAST: usize = 1;

/// What a packet was marked with when it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    number: [u8; 2],
    time: [u8; 3],
}

/// Under which numbers the marks of a line's packets travel.
#[derive(Clone, Copy, Debug, Default)]
struct Extensions {
    number: Option<u8>,
    time: Option<u8>,
}

impl Extensions {
    fn of(line: &Line, means: Means) -> Self {
        match means {
            Means::Transport => Self { number: line.transport_extension, time: None },
            Means::Receiver => Self { number: None, time: line.send_time_extension },
            Means::Reports => Self::default(),
        }
    }

    fn elements(self, marks: &Marks) -> ArrayVec<(u8, &[u8]), 2> {
        let number = self.number.map(|id| (id, &marks.number[..]));
        let time = self.time.map(|id| (id, &marks.time[..]));
        number.into_iter().chain(time).collect()
    }
}

/// What tells how much the path carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    /// When each packet arrived.
    Transport,
    /// What the receiver thinks.
    Receiver,
    /// What the receiver misses.
    Reports,
}

impl Means {
    fn of(lines: &Lines) -> Self {
        let sends = || lines.iter().map(|(_, line)| line).filter(|line| line.sends);
        if sends().any(|line| line.transport_extension.is_some()) {
            Self::Transport
        } else if sends().any(|line| line.remb) {
            Self::Receiver
        } else {
            Self::Reports
        }
    }
}

/// One session's way out.
#[derive(Debug)]
pub(super) struct Path {
    means: Means,
    extensions: Vec<Extensions>,
    next_number: u16,
    estimator: Estimator,
    reported: Reported,
    prober: Prober,
    pub(super) pacer: Pacer,
    /// What was to be sent, whether or not it was let in, by [`rank`]; what has left.
    offered: [Meter; 2],
    left: Meter,
    /// The headers below of what has left, and their bits per second when that was looked at last.
    below: Meter,
    below_rate: u64,
    /// Bits per second that would be sent if the path carried them.
    aim: u64,
    /// What the estimate was when it was told last, and when.
    told: Option<(u64, Instant)>,
    losses: Losses,
    /// Whether there is a stream in which padding can be sent.
    pub(super) pads: bool,
    pub(super) probes: u64,
}

impl Path {
    pub(super) fn new(config: &Config, lines: &Lines) -> Self {
        let means = Means::of(lines);
        let mut pacer = Pacer::default();
        pacer.set_rate(config.estimate.start);
        Self {
            means,
            extensions: lines.iter().map(|(_, line)| Extensions::of(line, means)).collect(),
            next_number: 0,
            estimator: Estimator::new(config.estimate),
            reported: Reported::new(config.estimate),
            prober: Prober::new(config.estimate),
            pacer,
            offered: Default::default(),
            left: Meter::default(),
            below: Meter::default(),
            below_rate: 0,
            aim: 0,
            told: None,
            losses: Losses::default(),
            pads: false,
            probes: 0,
        }
    }

    /// Goes on where another one, to the same peer, stops.
    pub(super) fn take_over(&mut self, other: &mut Self) {
        if self.means == other.means {
            core::mem::swap(self, other);
            core::mem::swap(&mut self.extensions, &mut other.extensions);
            self.pacer.clear();
        }
    }

    /// Whether what leaves is kept to the estimate.
    pub(super) fn is_paced(&self) -> bool {
        match self.means {
            _ if fault::is(Fault::PathIgnored) => false,
            Means::Transport => true,
            // Who agrees to say what it thinks need not do so.
            Means::Receiver => self.reported.has_receiver(),
            Means::Reports => false,
        }
    }

    /// Bits per second that the path carries, once anything is known; without the headers below.
    pub(super) fn estimate(&self) -> Option<u64> {
        self.carries().map(|bits| self.net(bits))
    }

    /// The same with them, where those are known to count.
    fn carries(&self) -> Option<u64> {
        match self.means {
            Means::Transport => self.told.map(|_| self.by_transport()),
            Means::Receiver | Means::Reports => self.reported.estimate(),
        }
    }

    /// What is left of an estimate for packets.
    fn net(&self, bits: u64) -> u64 {
        match self.means {
            Means::Transport => bits.saturating_sub(self.below_rate).max(bits / 2),
            Means::Receiver | Means::Reports => bits,
        }
    }

    /// Whether sound is to be protected from loss.
    pub(super) fn is_lossy(&self) -> bool {
        self.losses.is_lossy() && !fault::is(Fault::LossUnheeded)
    }

    /// Between two copies of a packet.
    pub(super) fn resend_interval(&self) -> Duration {
        match (self.means, self.told) {
            (Means::Transport, Some(_)) => {
                let round_trip = self.estimator.round_trip().mul_f64(RESEND_SHARE);
                round_trip.clamp(RESEND_MIN, RESEND_MAX)
            }
            _ => RESEND_MIN,
        }
    }

    /// What was offered of this rank until now says nothing of what comes.
    pub(super) fn begin_anew(&mut self, kind: MediaKind) {
        self.offered[rank(kind)] = Meter::default();
    }

    /// Bits per second that are offered, down to this rank.
    fn offered(&mut self, now: Instant, rank: usize) -> u64 {
        self.offered[..=rank].iter_mut().map(|meter| meter.rate(now)).sum()
    }

    /// So much would be sent if the path carried it: more than is offered, where less is chosen
    /// because of the path.
    pub(super) const fn set_aim(&mut self, bits: u64) {
        self.aim = bits;
    }

    /// Bits per second to choose by what is sent: none where the estimate grows only with what
    /// is sent, for whoever chose less by it would never learn that there is room for more.
    pub(super) fn available(&self) -> Option<u64> {
        (self.means == Means::Transport && self.pads).then(|| self.net(self.by_transport()))
    }

    /// Whoever tells when packets arrive may say what it thinks as well: that is a limit.
    fn by_transport(&self) -> u64 {
        let estimate = self.estimator.estimate();
        let most = self.reported.estimate().filter(|_| self.reported.has_receiver());
        most.map_or(estimate, |most| estimate.min(most))
    }

    /// What there is room for of such pictures.
    pub(super) fn room(&mut self, now: Instant, kind: MediaKind) -> Room {
        if !self.is_paced() {
            return Room {
                backlog: Duration::ZERO,
                fits: true,
                shown_by_pictures: false,
                is_guess: false,
            };
        }
        let fits = match self.carries() {
            Some(estimate) => {
                self.allowed(estimate) >= self.offered(now, rank(kind)) as f64 * MARGIN
            }
            None => true,
        };
        let shown_by_pictures = self.means == Means::Transport && !self.pads;
        let is_guess = self.prober.is_learning(now);
        Room { backlog: self.pacer.backlog(now), fits, shown_by_pictures, is_guess }
    }

    /// How much may leave, with this estimate.
    fn allowed(&self, estimate: u64) -> f64 {
        match self.means {
            Means::Transport | Means::Reports => estimate as f64,
            Means::Receiver => estimate as f64 * HEADROOM + SOUND as f64,
        }
    }

    /// So much of the path is to be taken, if there is room.
    pub(super) fn offer(&mut self, now: Instant, kind: MediaKind, bytes: usize) {
        if self.means != Means::Reports {
            self.offered[rank(kind)].add(now, bytes);
        }
    }

    /// Sends a packet now.
    pub(super) fn leave(&mut self, now: Instant, packet: &Waiting, out: &mut Outbox) -> Marks {
        let extensions = self.extensions.get(packet.line).copied().unwrap_or_default();
        let marks = packet.before.unwrap_or_else(|| {
            let number = self.next_number.to_be_bytes();
            let time = extensions.time.map_or([0; 3], |_| send_time(now));
            Marks { number, time }
        });
        let elements = extensions.elements(&marks);
        let length = match &packet.whole {
            Some(whole) if elements.is_empty() => {
                out.pass_on(whole.clone());
                whole.len()
            }
            _ => {
                let length = packet.length() + 4 + 5 * elements.len();
                out.send(length, |bytes| write(packet, &elements, bytes))
            }
        };
        let taken = length + BELOW;
        if extensions.number.is_some() && packet.before.is_none() {
            self.estimator.sent(now, self.next_number, taken);
            self.next_number = self.next_number.wrapping_add(1);
        }
        if self.is_paced() {
            self.pacer.left(now, taken);
        }
        self.left.add(now, length);
        self.below.add(now, BELOW);
        marks
    }

    /// Whether it can be tried what the path carries, and was not yet.
    pub(super) fn is_untried(&self) -> bool {
        self.pads && self.means == Means::Transport && self.prober.is_fresh()
    }

    /// Tries what the path carries.
    pub(super) fn try_first(&mut self, now: Instant) {
        self.prober.begin_first(now, &mut self.estimator);
    }

    /// The peer says when packets arrived.
    pub(super) fn feedback(
        &mut self,
        now: Instant,
        feedback: &TransportFeedback,
        out: &mut Outbox,
    ) {
        if self.means != Means::Transport {
            return;
        }
        let told = self.estimator.feedback(now, feedback);
        self.losses.count(now, told);
        if self.pads {
            let wanted = self.offered(now, LAST).max(self.aim);
            self.prober.update(now, wanted, &mut self.estimator);
        }
        self.tell(now, out);
    }

    /// The peer says what it thinks.
    pub(super) fn receiver_estimate(&mut self, now: Instant, bits: u64, out: &mut Outbox) {
        self.reported.receiver(bits);
        self.tell(now, out);
    }

    /// The peer says what it misses.
    pub(super) fn lost(&mut self, now: Instant, share: f64, out: &mut Outbox) {
        if self.means == Means::Transport {
            return;
        }
        self.losses.report(now, share);
        let left = self.left.rate(now);
        if left > 0 {
            self.reported.lost(share, left);
            self.tell(now, out);
        }
    }

    /// Says what the estimate is, if that is another one, and one to be kept to: what reports
    /// alone tell grows and falls with what is sent.
    fn tell(&mut self, now: Instant, out: &mut Outbox) {
        if !self.is_paced() {
            return;
        }
        let estimate = match self.means {
            Means::Transport => self.by_transport(),
            Means::Receiver | Means::Reports => match self.reported.estimate() {
                Some(estimate) => estimate,
                None => return,
            },
        };
        self.pacer.set_rate(self.allowed(estimate) as u64);
        self.below_rate = self.below.rate(now);
        let estimate = self.net(estimate);
        let is_news = self.told.is_none_or(|(before, at)| {
            before.abs_diff(estimate) > before / TOLD_SHARE && now.since(at) >= TOLD_INTERVAL
        });
        if is_news {
            self.told = Some((estimate, now));
            out.event(Event::BandwidthEstimated { bits_per_second: estimate });
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.pacer.poll_timeout(), self.prober.poll_timeout())
    }

    /// The next packet that may leave by now.
    pub(super) fn pull(&mut self, now: Instant) -> Option<Waiting> {
        self.pacer.pull(now)
    }

    /// How many bytes of padding are to leave now in a packet, if one is.
    pub(super) fn pull_padding(&mut self, now: Instant) -> Option<u8> {
        self.prober.pull(now, &mut self.estimator)
    }

    /// A packet of nothing but padding, as its header says, to see whether it arrives.
    pub(super) fn padding(
        &mut self,
        now: Instant,
        header: rtp::Header,
        line: usize,
        out: &mut Outbox,
    ) {
        let packet = Waiting {
            header,
            head: ArrayVec::new(),
            body: bytes::Bytes::new(),
            whole: None,
            since: now,
            before: None,
            line,
        };
        self.probes += 1;
        self.leave(now, &packet, out);
    }
}

/// What goes first where the path does not carry everything: sound, and what is shown on a screen,
/// which cannot be guessed from what is said; then cameras.
fn rank(kind: MediaKind) -> usize {
    usize::from(kind == MediaKind::Video && !fault::is(Fault::ScreenLikeCamera))
}

/// When a packet leaves, as its extension says it.
fn send_time(now: Instant) -> [u8; 3] {
    let [_, high, middle, low] =
        extension::absolute_send_time(Epoch::default().ntp_at(now)).to_be_bytes();
    [high, middle, low]
}

fn write(packet: &Waiting, elements: &[(u8, &[u8])], bytes: &mut BytesMut) {
    packet.header.write_with(elements, bytes);
    bytes.put_slice(&packet.head);
    bytes.put_slice(&packet.body);
    if let Some(zeros) = packet.header.padding.checked_sub(1) {
        bytes.put_bytes(0, usize::from(zeros));
        bytes.put_u8(packet.header.padding);
    }
}
