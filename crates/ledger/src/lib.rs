//! The laws of credit billing as pure functions.

pub mod catalog;
pub mod credits;
pub mod quantity;

pub use credits::Credits;
