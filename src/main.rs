//! The binary `headrace`.
fn main() {}
