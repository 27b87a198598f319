#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| callrig_media_fuzz::machines::dtmf(data));
