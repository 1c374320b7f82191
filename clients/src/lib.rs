//! Producer, consumer and admin client, and the change events that cross the log.
