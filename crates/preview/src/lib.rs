//! The effect of objects on an account, without a client: conversion between custom resources and the types of the laws,
//! and planning. The operator, the portal and the simulation share it.
//!
//! | task | where |
//! |---|---|
//! | objects to facts and back | [`convert`], [`stated_kind`] |
//! | the facts and the clock of an account | [`facts`], [`account_clock`] |
//! | the effect of a change before it is made | [`effect`] |

pub mod account_clock;
pub mod convert;
pub mod effect;
pub mod facts;
pub mod stated_kind;
