//! Round trips and hostile bytes of batches.
