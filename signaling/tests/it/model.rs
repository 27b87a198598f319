//! A reference model of peer-to-peer calls.
