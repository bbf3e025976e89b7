//! Conversion between custom resources and the types of the laws.

#[path = "../../../src/operator/convert.rs"]
pub mod convert;
