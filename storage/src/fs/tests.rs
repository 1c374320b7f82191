//! The contract of the disk, held by both implementations.
