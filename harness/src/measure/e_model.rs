//! The E-model of ITU-T G.107 (06/2015): a transmission rating `R` and the mean
//! opinion score it predicts, from delay, loss and codec. The whole algorithm is
//! here, so that its published reference value can be checked; callrig varies only
//! the delays and the equipment impairment and leaves the rest at the defaults of
//! table 2. It is a planning model for narrowband telephony: for Opus the
//! impairment factors of [`Equipment::OPUS`] are an assumption of ours, and the
//! score is for comparing runs, not for comparing callrig with listeners.

/// What a codec and its concealment add (G.113 appendix I).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Equipment {
    /// Equipment impairment factor without loss, `Ie`.
    pub ie: f64,
    /// Packet-loss robustness factor, `Bpl`.
    pub bpl: f64,
}

impl Equipment {
    /// G.711 with the packet-loss concealment of its appendix I (G.113 table I.4).
    pub const G711: Self = Self { ie: 0.0, bpl: 25.1 };
    /// Opus: not in G.113. No impairment of its own at telephone bandwidth, and the
    /// robustness of G.711 with concealment; both are assumptions.
    pub const OPUS: Self = Self { ie: 0.0, bpl: 25.1 };
}

/// What differs between two connections. Everything else is at G.107's defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connection {
    /// Absolute one-way delay `Ta`, ms.
    pub delay_ms: f64,
    /// Random packet loss probability `Ppl`, percent, discards of the jitter buffer included.
    pub loss_percent: f64,
    /// Burst ratio: mean burst length over that of random loss; 1 is random.
    pub burst_ratio: f64,
    /// The codec.
    pub equipment: Equipment,
}

// Defaults of G.107 table 2, by the names used there.
const SLR: f64 = 8.0;
const RLR: f64 = 2.0;
const STMR: f64 = 15.0;
const LSTR: f64 = 18.0;
const DS: f64 = 3.0;
const TELR: f64 = 65.0;
const WEPL: f64 = 110.0;
const QDU: f64 = 1.0;
const NC: f64 = -70.0;
const NFOR: f64 = -64.0;
const PS: f64 = 35.0;
const PR: f64 = 35.0;
const ADVANTAGE: f64 = 0.0;
/// Minimum perceivable delay `mT`, ms, and delay sensitivity `sT`, defaults of 2015.
const MT: f64 = 100.0;
const ST: f64 = 1.0;

/// The transmission rating factor `R` (0 to about 93 with these defaults).
#[must_use]
pub fn rating(connection: &Connection) -> f64 {
    let noise = circuit_noise();
    let ro = 15.0 - 1.5 * (SLR + noise);
    let side_tone = side_tone_impairment(connection.delay_ms);
    let simultaneous = loudness_impairment(noise) + side_tone + quantizing_impairment(ro);
    let delay = talker_echo(connection.delay_ms, noise)
        + listener_echo(2.0 * connection.delay_ms, ro)
        + absolute_delay(connection.delay_ms);
    ro - simultaneous - delay - equipment_impairment(connection) + ADVANTAGE
}

/// The estimated mean opinion score of a rating, 1 to 4.5 (G.107 annex B).
#[must_use]
pub fn mean_opinion_score(rating: f64) -> f64 {
    if rating <= 0.0 {
        return 1.0;
    }
    if rating >= 100.0 {
        return 4.5;
    }
    let score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6;
    score.max(1.0)
}

fn power(decibels: f64) -> f64 {
    10f64.powf(decibels / 10.0)
}

/// `No`: the power sum of all circuit and room noise, dBm0p.
fn circuit_noise() -> f64 {
    let olr = SLR + RLR;
    let nos = PS - SLR - DS - 100.0 + 0.004 * (PS - olr - DS - 14.0).powi(2);
    let pre = PR + 10.0 * (1.0 + power(10.0 - LSTR)).log10();
    let nor = RLR - 121.0 + pre + 0.008 * (pre - 35.0).powi(2);
    let nfo = NFOR + RLR;
    10.0 * (power(NC) + power(nos) + power(nor) + power(nfo)).log10()
}

/// `Iolr`: too low an overall loudness.
fn loudness_impairment(noise: f64) -> f64 {
    let x = SLR + RLR + 0.2 * (64.0 + noise - RLR);
    20.0 * ((1.0 + (x / 8.0).powi(8)).powf(1.0 / 8.0) - x / 8.0)
}

/// `Ist`: a side tone that is not what people expect.
fn side_tone_impairment(echo_delay_ms: f64) -> f64 {
    let stmr = -10.0 * (power(-STMR) + (-echo_delay_ms / 4.0).exp() * power(-TELR)).log10();
    12.0 * (1.0 + ((stmr - 13.0) / 6.0).powi(8)).powf(1.0 / 8.0)
        - 28.0 * (1.0 + ((stmr + 1.0) / 19.4).powi(35)).powf(1.0 / 35.0)
        - 13.0 * (1.0 + ((stmr - 3.0) / 33.0).powi(13)).powf(1.0 / 13.0)
        + 29.0
}

/// `Iq`: quantizing distortion.
fn quantizing_impairment(ro: f64) -> f64 {
    let q = 37.0 - 15.0 * QDU.log10();
    let g = 1.07 + 0.258 * q + 0.0602 * q * q;
    let y = (ro - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0;
    let z = 46.0 / 30.0 - g / 40.0;
    15.0 * (1.0 + 10f64.powf(y) + 10f64.powf(z)).log10()
}

/// `Idte`: talker echo, none below 1 ms.
fn talker_echo(delay_ms: f64, noise: f64) -> f64 {
    if delay_ms < 1.0 {
        return 0.0;
    }
    let terv = TELR - 40.0 * ((1.0 + delay_ms / 10.0) / (1.0 + delay_ms / 150.0)).log10()
        + 6.0 * (-0.3 * delay_ms * delay_ms).exp();
    let roe = -1.5 * (noise - RLR);
    let re = 80.0 + 2.5 * (terv - 14.0);
    let half = (roe - re) / 2.0;
    (half + (half * half + 100.0).sqrt() - 1.0) * (1.0 - (-delay_ms).exp())
}

/// `Idle`: listener echo over the round trip.
fn listener_echo(round_trip_ms: f64, ro: f64) -> f64 {
    let rle = 10.5 * (WEPL + 7.0) * (round_trip_ms + 1.0).powf(-0.25);
    let half = (ro - rle) / 2.0;
    half + (half * half + 169.0).sqrt()
}

/// `Idd`: delay itself, however clean the echo.
fn absolute_delay(delay_ms: f64) -> f64 {
    if delay_ms <= MT {
        return 0.0;
    }
    let x = (delay_ms / MT).log2();
    let exponent = 6.0 * ST;
    25.0 * ((1.0 + x.powf(exponent)).powf(1.0 / exponent)
        - 3.0 * (1.0 + (x / 3.0).powf(exponent)).powf(1.0 / exponent)
        + 2.0)
}

/// `Ie-eff`: codec and loss together (equation 7-29).
fn equipment_impairment(connection: &Connection) -> f64 {
    let Equipment { ie, bpl } = connection.equipment;
    let loss = connection.loss_percent;
    let burst = connection.burst_ratio.max(1.0);
    ie + (95.0 - ie) * loss / (loss / burst + bpl)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ideal() -> Connection {
        Connection {
            delay_ms: 0.0,
            loss_percent: 0.0,
            burst_ratio: 1.0,
            equipment: Equipment::G711,
        }
    }

    #[test]
    fn the_defaults_rate_as_g107_prints() {
        // G.107 table 2 and annex B: with every parameter at its default R = 93.2, MOS 4.41.
        let r = rating(&ideal());
        assert!((r - 93.2).abs() < 0.05, "{r}");
        assert!((mean_opinion_score(r) - 4.41).abs() < 0.005);
    }

    #[test]
    fn the_score_curve_meets_the_bounds_of_g107_table_b1() {
        // Table B.1: R 90, 80, 70, 60, 50 against MOS 4.34, 4.03, 3.60, 3.10, 2.58.
        for (r, mos) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            assert!((mean_opinion_score(r) - mos).abs() < 0.01, "R {r}");
        }
    }

    #[test]
    fn the_score_is_never_outside_its_scale() {
        for r in -50..150 {
            let score = mean_opinion_score(f64::from(r));
            assert!((1.0..=4.5).contains(&score), "R {r} gives {score}");
        }
    }

    #[test]
    fn loss_follows_the_effective_equipment_impairment() {
        // 95 * 5 / (5 + 25.1) = 15.78 below the loss-free rating.
        let lossy = Connection { loss_percent: 5.0, ..ideal() };
        assert!((rating(&ideal()) - rating(&lossy) - 15.78).abs() < 0.01);
    }

    #[test]
    fn delay_costs_more_and_more() {
        let at = |delay_ms| rating(&Connection { delay_ms, ..ideal() });
        let ratings: Vec<f64> = (0..12).map(|step| at(f64::from(step) * 50.0)).collect();
        assert!(ratings.is_sorted_by(|a, b| a >= b), "{ratings:?}");
        assert!(at(150.0) > 85.0 && at(400.0) < 75.0, "{ratings:?}");
    }
}
