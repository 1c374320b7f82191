//! The recovery of a segment file.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::segment(input));
