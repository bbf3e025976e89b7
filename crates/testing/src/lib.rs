//! Test support: a cluster in memory with the API server's rules, and failpoints for the real one.

pub mod failpoints;
pub mod simulated;
