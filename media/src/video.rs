//! Video as H.264 (ITU-T H.264, RFC 6184): what a stream of packets turns into, and
//! why a part of it does not. [`assembly`] makes access
//! units of packets, [`access_unit`] and [`nal`] take byte streams apart,
//! [`output_order`] tells in which order they are shown, [`parameter_sets`] keeps what slices
//! refer to, and [`prelude`] what whoever comes later has to be given.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::time::Instant;

pub mod access_unit;
pub mod assembly;
pub mod nal;
pub mod output_order;
pub mod parameter_sets;
pub mod prelude;

mod builder;
mod gate;
mod reorder;

/// One whole access unit (ITU-T H.264 section 7.4.1.2), as it left the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The stream it came on.
    pub ssrc: u32,
    /// Its RTP timestamp, in units of 1/90,000 s.
    pub timestamp: u32,
    /// Its NAL units in Annex B form, each behind a four-byte start code; a key frame has those
    /// parameter sets ahead that came with something that was not handed out. The bytes may
    /// share one allocation with neighbouring frames: copy them to keep them for long.
    pub data: Bytes,
    /// Whether decoding can begin here: it holds an IDR picture.
    pub key_frame: bool,
    /// Extended sequence number of its first packet.
    pub first_sequence: u64,
    /// Extended sequence number of its last packet.
    pub last_sequence: u64,
    /// When the first of its packets came in.
    pub arrived_first: Instant,
    /// When the last of its packets came in.
    pub arrived_last: Instant,
    /// Width and height in luma samples after cropping, when the parameter sets that its
    /// slices refer to are known.
    pub resolution: Option<(u16, u16)>,
}

/// One decoded picture: I420, visible area only, rows without padding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Width in luma samples.
    pub width: u16,
    /// Height in luma samples.
    pub height: u16,
    /// Luma, `width` × `height` bytes.
    pub y: Vec<u8>,
    /// First chroma plane (Cb), a quarter of the size of `y`.
    pub u: Vec<u8>,
    /// Second chroma plane (Cr), a quarter of the size of `y`.
    pub v: Vec<u8>,
    /// RTP timestamp of the access unit it was made of.
    pub timestamp: u32,
}

impl Picture {
    /// The same as NV12: luma, then both chroma planes with their samples in turns (Cb, Cr).
    #[must_use]
    pub fn to_nv12(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.y.len() + self.u.len() + self.v.len());
        bytes.extend_from_slice(&self.y);
        bytes.extend(self.u.iter().zip(&self.v).flat_map(|(u, v)| [*u, *v]));
        bytes
    }

    /// From NV12; `None` unless width and height are even, and there are as many bytes as they
    /// ask for.
    #[must_use]
    pub fn from_nv12(width: u16, height: u16, bytes: &[u8], timestamp: u32) -> Option<Self> {
        let luma = usize::from(width) * usize::from(height);
        let even = width.is_multiple_of(2) && height.is_multiple_of(2);
        if !even || bytes.len() != luma + luma / 2 {
            return None;
        }
        let (y, chroma) = bytes.split_at(luma);
        let plane = |first: usize| chroma.iter().skip(first).step_by(2).copied().collect();
        Some(Self { width, height, y: y.to_vec(), u: plane(0), v: plane(1), timestamp })
    }
}

/// Why an access unit that had begun to come in was not handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum DropCause {
    /// A packet of it is missing, or may be: what lies before it was lost, and nothing in
    /// it proves that it begins where the next packet does.
    MissingPacket,
    /// It is whole, but no key frame has come yet.
    NoKeyFrame,
    /// It is whole, but something it may refer to was dropped.
    ReferenceLost,
    /// It is a whole key frame, but refers to parameter sets that have not come.
    NoParameterSets,
    /// A packet of it breaks RFC 6184, or uses a part of it that the negotiated
    /// packetization mode excludes.
    Malformed,
    /// A packet came with the timestamp of a unit whose marker had already ended it.
    AfterMarker,
    /// It grew past the greatest size allowed.
    TooLarge,
    /// Packets came faster than the reordering window or the owner could take them.
    Overflow,
    /// Its end did not come in time, or the stream ended before it.
    TimedOut,
}

impl DropCause {
    /// Every cause, in the order of [`DropCause::index`].
    pub const ALL: [Self; 9] = [
        Self::MissingPacket,
        Self::NoKeyFrame,
        Self::ReferenceLost,
        Self::NoParameterSets,
        Self::Malformed,
        Self::AfterMarker,
        Self::TooLarge,
        Self::Overflow,
        Self::TimedOut,
    ];

    /// Its place in [`DropCause::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// A stable name, for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingPacket => "missing packet",
            Self::NoKeyFrame => "no key frame",
            Self::ReferenceLost => "reference lost",
            Self::NoParameterSets => "no parameter sets",
            Self::Malformed => "malformed",
            Self::AfterMarker => "after marker",
            Self::TooLarge => "too large",
            Self::Overflow => "overflow",
            Self::TimedOut => "timed out",
        }
    }
}
