//! What the fuzz targets do with their bytes: bodies of the API, its paths and requests, and
//! blobs. Each exercise takes any bytes and panics if the product breaks a law. The targets
//! and the test that replays their corpora (`signaling/tests/it/fuzz.rs`) both call these
//! very functions.

pub mod api;
pub mod graph;

/// Something that any bytes must survive.
pub type Exercise = fn(&[u8]);

/// All exercises; each has a target of its name and seeds in `corpus/` under its name.
pub const ALL: &[(&str, Exercise)] =
    &[("graph", graph::bodies), ("blob", graph::blob), ("api", api::requests)];
