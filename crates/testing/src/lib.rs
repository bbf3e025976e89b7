//! The shared test kit. All scenarios use [`Action`] for the actions of users about an account.
//!
//! - [`TestAccount`] applies actions to facts and decides at every relevant instant. It checks each
//!   decision.
//! - [`Script`](script::Script) is a list of actions with their times. [`script`] also generates random
//!   scripts.
//! - [`catalog`] has the shipped catalog and its editions as values.
//! - `objects` converts actions to the objects that users create. `simulated` is a cluster in memory with the API server's
//!   rules. `failpoints` break the calls to a real one. These three need the feature `cluster`.
//!
//! Only tests depend on this crate.

#![expect(clippy::missing_panics_doc, reason = "the test kit reports a failure by a panic")]
#![expect(clippy::must_use_candidate, reason = "a test uses only the values that it needs")]

pub mod action;
pub mod catalog;
pub mod change;
#[cfg(feature = "cluster")]
pub mod failpoints;
#[cfg(feature = "harness")]
pub mod harness;
#[cfg(feature = "cluster")]
pub mod objects;
pub mod random;
pub mod receipts;
pub mod script;
#[cfg(feature = "cluster")]
pub mod simulated;
pub mod summary;
pub mod test_account;
pub mod values;

pub use action::Action;
pub use random::Random;
pub use summary::Summary;
pub use test_account::TestAccount;
