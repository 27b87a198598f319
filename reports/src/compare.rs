//! How two reports differ: verdicts that changed, exact metrics that moved.
//!
//! Exact metrics are compared by equality, or within the tolerance of their definition; noisy ones
//! are not compared here at all, because two runs made apart say nothing about them.
