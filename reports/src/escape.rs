//! Text from outside, made safe for where it is written.
//!
//! File names, findings and evidence come from captures and from peers, so every one of them may
//! try to be markup, a table column or a terminal command.
