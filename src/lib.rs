//! Kubernetes operator that bills usage in credits: exact, once, and explained.

pub mod admission;
pub mod api;
pub mod catalog;
pub mod crdgen;
pub mod operator;
