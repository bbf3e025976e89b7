//! The operator: facts and the book of an account in, commits, receipts and statuses out, one file per step.

pub mod convert;
pub mod project;
pub mod reason;

#[cfg(test)]
mod story;
