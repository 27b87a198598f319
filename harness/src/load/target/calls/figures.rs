//! What phone and platform counted of a call's media, as figures of the call.

use callrig_media::stats::{Inbound, Stats, Track};
use serde::Deserialize;
use serde_json::Value;

use super::{Call, at};

/// What is said of a leg (`GET /rig/legs/{leg}`), as far as it is of use.
#[derive(Deserialize)]
struct Leg {
    phone: Option<Phone>,
    platform: Option<Counted>,
}

#[derive(Deserialize)]
struct Phone {
    stats: Option<Stats>,
    timing: Timing,
}

#[derive(Deserialize)]
struct Counted {
    stats: Option<Stats>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timing {
    first_packet_ms: Option<f64>,
    first_frame_ms: Option<f64>,
    frames: usize,
    frozen_ms: f64,
    key_frame_ms: Option<f64>,
    // Services of before do not know it.
    #[serde(default)]
    key_frame_wanted: bool,
}

/// What came from the bot.
pub(super) struct Came {
    /// Anything.
    pub(super) media: bool,
    /// Pictures.
    pub(super) pictures: bool,
}

/// Notes the figures of a leg.
///
/// # Errors
/// What is said of the leg is not understood.
pub(super) fn note(call: &mut Call, leg: Value) -> Result<Came, String> {
    let leg: Leg = serde_json::from_value(leg).map_err(|error| format!("of a leg: {error}"))?;
    let mut came = Came { media: false, pictures: false };
    if let Some(phone) = leg.phone {
        let timing = phone.timing;
        call.figure(at::MEDIA, timing.first_packet_ms.map(seconds));
        call.figure(at::FIRST_FRAME, timing.first_frame_ms.map(seconds));
        // One frame stands still for ever, or is all there is.
        call.figure(at::FREEZE, (timing.frames > 1).then(|| seconds(timing.frozen_ms)));
        if timing.key_frame_wanted {
            call.never(at::KEY_FRAME);
        } else {
            call.figure(at::KEY_FRAME, timing.key_frame_ms.map(seconds));
        }
        let stats = phone.stats.unwrap_or_default();
        came.media = timing.first_packet_ms.is_some();
        came.pictures = timing.first_frame_ms.is_some();
        call.figure(at::JITTER, jitter(&stats));
        call.figure(at::LOSS, loss(&stats));
        call.figure(at::DISCARDED, discarded(&stats));
    }
    let stats = leg.platform.and_then(|platform| platform.stats).unwrap_or_default();
    call.figure(at::UPLINK_JITTER, jitter(&stats));
    call.figure(at::UPLINK_LOSS, loss(&stats));
    Ok(came)
}

pub(super) fn seconds(ms: f64) -> f64 {
    ms / 1e3
}

/// The greatest of all streams, in seconds.
fn jitter(stats: &Stats) -> Option<f64> {
    stats.inbound.iter().map(|stream| stream.source.jitter).reduce(f64::max)
}

/// The part of all packets that never came.
fn loss(stats: &Stats) -> Option<f64> {
    let sum = |count: fn(&Inbound) -> u64| stats.inbound.iter().map(count).sum::<u64>();
    let missing = sum(|stream| stream.source.packets_missing);
    let came = sum(|stream| {
        stream.source.packets_received.saturating_sub(stream.source.packets_duplicated)
    });
    (came + missing > 0).then(|| missing as f64 / (came + missing) as f64)
}

/// The part of all packets of sound that came too late, or too early, to be played. (Not what was
/// concealed: a sender that falls silent is concealed for a while, too.)
fn discarded(stats: &Stats) -> Option<f64> {
    let playouts = || {
        stats.inbound.iter().filter_map(|stream| match &stream.track {
            Track::Sound { playout, .. } => Some(playout),
            _ => None,
        })
    };
    let all: u64 = playouts().map(|playout| playout.received).sum();
    let discarded: u64 = playouts().map(|playout| playout.packets_discarded).sum();
    (all > 0).then(|| discarded as f64 / all as f64)
}
