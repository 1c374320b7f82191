//! Bytes on disk: record batches, segments, indexes, recovery.
