//! The Kafka wire protocol, one file per API: pure, no input or output.
