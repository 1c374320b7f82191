//! Views: topics to Redis and search indexes.
