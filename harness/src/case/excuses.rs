//! Why sound may have been made up: what the network took, held back or mixed up, and what
//! the sender left out itself. More concealment than that is the player's own fault.

use super::sound::{Plain, Sound, is_undamaged, late};
use super::{Evidence, view};
use crate::measure::payloads::{self, Carried};

/// A sender whose packets come this evenly is played without being touched: it is less than
/// the least delay of the jitter buffer.
const EVEN_SECONDS_MAX: f64 = 0.015;

/// Why sound may have been made up, in seconds of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Excuses {
    /// Between packets that were played, where one is missing.
    lost: f64,
    /// Between packets of sound that the sender meant to be apart: it paused without saying
    /// so, or pressed a key. A receiver cannot tell until it is over.
    pub(super) paused: f64,
    /// By how much the slowest packet was behind the fastest.
    waiting: f64,
    /// What was taken out to catch up, and may have to be waited for again.
    removed: f64,
    /// Packets that were discarded in time, which the conservation of packets answers for.
    discarded: f64,
    /// Packets that others overtook: the sound before them had to be made up, and what was
    /// left of theirs was played.
    overtaken: f64,
}

impl Excuses {
    /// The most that may be made up: all of it, and a frame at each end.
    pub(super) fn seconds(&self) -> f64 {
        let network = self.lost + self.paused + self.waiting + self.overtaken;
        network + self.removed + self.discarded + 0.04
    }
}

/// A packet of sound that can be played.
#[derive(Clone, Copy, Debug)]
struct Usable {
    number: i64,
    timestamp: u32,
    ticks: i64,
}

/// Seconds without sound between packets, where a number is missing in between and where
/// none is. `numbers` are those of which anything arrived; both ascend.
fn gaps(packets: &[Usable], numbers: &[i64], clock_rate: u32) -> (f64, f64) {
    let (mut lost, mut paused) = (0, 0);
    for pair in packets.windows(2) {
        let step = i64::from(pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed());
        let gap = (step - pair[0].ticks).max(0);
        let between = (pair[1].number - pair[0].number - 1) as usize;
        let from = numbers.partition_point(|number| *number <= pair[0].number);
        let to = numbers.partition_point(|number| *number < pair[1].number);
        *(if to - from == between { &mut paused } else { &mut lost }) += gap;
    }
    let seconds = |ticks: i64| ticks as f64 / f64::from(clock_rate.max(1));
    (seconds(lost), seconds(paused))
}

pub(super) fn excuses(
    evidence: &Evidence<'_>,
    sound: &Sound<'_>,
    plain: &Plain<'_, '_>,
) -> Excuses {
    let given_up: Vec<u16> = late(evidence, sound.ssrc).iter().map(|(_, number)| *number).collect();
    let cast = evidence.cast;
    let all = payloads::delivered(evidence.trace, cast.platform, cast.bot);
    let is_usable = |one: &Carried| !given_up.contains(&one.packet.sequence_number);
    let all = payloads::in_sequence(&all, sound.ssrc);
    let numbers: Vec<i64> =
        all.iter().filter(|(_, one)| is_usable(one)).map(|(number, _)| *number).collect();
    let ticks = sound.ticks;
    let is_sound =
        |one: &Carried| view::codec(evidence.subject, one.packet.payload_type) == Some(plain.codec);
    let usable: Vec<Usable> = all
        .iter()
        .filter(|(_, one)| is_usable(one) && is_sound(one))
        .map(|(number, one)| Usable { number: *number, timestamp: one.packet.timestamp, ticks })
        .collect();
    let (lost, paused) = gaps(&usable, &numbers, sound.clock_rate);
    let rate = f64::from(plain.playback.track.rate);
    let removed = sound.count(|playout| playout.removed_samples_for_acceleration);
    let packets = |count: u64| count as f64 * ticks as f64 / f64::from(sound.clock_rate.max(1));
    Excuses {
        lost,
        paused,
        waiting: variation_seconds(sound, plain),
        removed: removed as f64 / rate,
        discarded: packets(sound.count(|playout| playout.discarded.total())),
        overtaken: packets(plain.reception.reordered),
    }
}

/// By how much the slowest packet was behind the fastest.
fn variation_seconds(sound: &Sound<'_>, plain: &Plain<'_, '_>) -> f64 {
    let variation = plain.reception.delay_variation_nanos(sound.clock_rate);
    variation.iter().max().copied().unwrap_or(0) as f64 / 1e9
}

/// The recording has no damage and no network did any.
pub(super) fn is_untouched(
    evidence: &Evidence<'_>,
    sound: &Sound<'_>,
    plain: &Plain<'_, '_>,
) -> bool {
    view::is_clean(evidence) && is_undamaged(evidence.subject) && is_even(sound, plain)
}

/// The packets came evenly enough for a jitter buffer of the least delay: then there is no
/// reason to touch anything. Some senders do not keep time themselves.
pub(super) fn is_even(sound: &Sound<'_>, plain: &Plain<'_, '_>) -> bool {
    variation_seconds(sound, plain) <= EVEN_SECONDS_MAX
}

/// As [`is_even`], with the sender's clock allowed for: a drift is no unevenness, however
/// far it leads.
pub(super) fn is_even_by_its_clock(sound: &Sound<'_>, plain: &Plain<'_, '_>) -> bool {
    let drift = plain.reception.drift_ppm(sound.clock_rate).unwrap_or(0.0) / 1e6;
    let rate = f64::from(sound.clock_rate.max(1));
    let packets = plain.reception.packets.iter();
    let transits = packets.map(|packet| {
        let at = packet.at.as_nanos() as f64 / 1e9;
        at * (1.0 + drift) - packet.timestamp as f64 / rate
    });
    let (least, most) = transits.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), one| {
        (least.min(one), most.max(one))
    });
    most - least <= EVEN_SECONDS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_told_from_a_pause_and_from_a_key_press() {
        // 20 ms packets at 8 kHz. Number 3 is missing; a pause of 100 ms follows 4; 6 and 7
        // are telephone events of 40 ms.
        let usable = |number, timestamp| Usable { number, timestamp, ticks: 160 };
        let packets =
            [usable(1, 0), usable(2, 160), usable(4, 480), usable(5, 1_440), usable(8, 1_920)];
        let numbers = [1, 2, 4, 5, 6, 7, 8];
        let (lost, paused) = gaps(&packets, &numbers, 8_000);
        assert!((lost - 0.02).abs() < 1e-9, "{lost}");
        assert!((paused - 0.14).abs() < 1e-9, "{paused}");
        assert_eq!(gaps(&packets[..2], &numbers, 8_000), (0.0, 0.0));
        assert_eq!(gaps(&[], &[], 8_000), (0.0, 0.0));
    }

    #[test]
    fn excuses_add_up() {
        let excuses = Excuses {
            lost: 0.02,
            paused: 0.03,
            waiting: 0.1,
            removed: 0.01,
            discarded: 0.04,
            overtaken: 0.06,
        };
        assert!((excuses.seconds() - 0.3).abs() < 1e-9);
    }
}
