//! The checkpoint of a clean stop.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::checkpoint(input));
