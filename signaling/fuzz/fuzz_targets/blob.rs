#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| callrig_signaling_fuzz::graph::blob(data));
