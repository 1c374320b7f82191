//! Properties of random histories of one group.
