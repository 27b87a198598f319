//! Where a report was made: enough to tell whether two reports may be compared, and to make one again.
//!
//! The harness finds these out; this crate only keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The build and the machine that made a report. What could not be found out is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The commit that was built, as forty hexadecimal digits.
    pub commit: Option<String>,
    /// Whether the working tree had changes that were not committed.
    pub dirty: Option<bool>,
    /// The compiler, as `rustc --version` prints it.
    pub rustc: Option<String>,
    /// The build profile: `debug` or `release`.
    pub profile: Option<String>,
    /// Operating system, its version and the architecture.
    pub os: Option<String>,
    /// The model of the processor, as the system names it.
    pub cpu_model: Option<String>,
    /// How many processors this process may use.
    pub cores: Option<u32>,
    /// Codec libraries and their versions, as they name themselves.
    pub codec_versions: BTreeMap<String, String>,
}
