//! The manifest of a snapshot.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::manifest(input));
