//! Consumer groups.

pub mod group;
pub mod groups;

#[cfg(test)]
mod tests;
