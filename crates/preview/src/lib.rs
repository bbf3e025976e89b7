//! Conversion between custom resources and the types of the laws.

pub mod convert;
