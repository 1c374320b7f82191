//! Control frames, byte for byte.
