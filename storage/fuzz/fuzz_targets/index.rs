//! The index files of sealed segments.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::index(input));
