//! Benchmarks, the load generator and the architecture test.
