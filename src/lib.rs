//! Kubernetes operator that bills usage in credits: exact, once, and explained.

pub mod admission;
#[cfg(test)]
mod arrows;
pub mod backup;
pub mod catalog;
#[cfg(test)]
mod cited_laws;
pub mod cli;
mod grid;
pub mod metrics;
pub mod operator;
pub mod payments;
#[cfg(test)]
mod plain_words;
pub mod preview;
pub mod server;
pub mod simulate;
#[cfg(test)]
mod source_tree;
mod statement;
pub mod telemetry;
pub mod text_file;
pub mod throttle;
