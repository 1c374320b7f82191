//! The cluster's own state, decided without input or output: which topics there are, which producer ids
//! are given out. `partition::registry` keeps it on disk and carries out what follows from it.

pub mod image;
pub mod resource;
pub mod topic_name;
