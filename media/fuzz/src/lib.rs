//! What the fuzz targets do with their bytes. Each exercise takes any bytes, reads them as
//! a file, as a datagram or as a list of operations, and panics if the product breaks a law:
//! what is parsed is written back, what is counted adds up, nothing exceeds its bounds. The
//! targets and the test that replays their corpora (`media/tests/it/fuzz.rs`) both call
//! these very functions.

pub mod machines;
pub mod pictures;
pub mod wire;

/// Something that any bytes must survive.
pub type Exercise = fn(&[u8]);

/// All exercises; each has a target of its name and seeds in `corpus/` under its name.
pub const ALL: &[(&str, Exercise)] = &[
    ("rtp", wire::rtp),
    ("rtcp", wire::rtcp),
    ("sdp", wire::sdp),
    ("opus", wire::opus),
    ("wav", wire::wav),
    ("h264_packets", pictures::packets),
    ("h264_stream", pictures::stream),
    ("dtmf", machines::dtmf),
    ("jitter", machines::jitter),
    ("session", machines::session),
];
