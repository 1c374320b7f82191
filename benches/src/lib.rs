//! The load generator, and the benchmarks beside it.
