//! The shared test kit. [`Action`] is the one language for the things that users do about an account.
//!
//! - [`TestAccount`] applies actions to facts and decides at every instant that matters. It checks each
//!   decision.
//! - [`Script`](script::Script) is a list of actions with their times; [`script`] also has the random ones.
//! - [`catalog`] has the shipped catalog and its editions as values.
//!
//! - [`objects`] converts actions to the objects that users create. [`simulated`] is a cluster in memory with the API
//!   server's rules, and [`failpoints`] break the calls to a real one. These need the feature `cluster`; without it the crate knows the ledger alone.
//!
//! Only tests depend on this crate.

#![expect(clippy::missing_panics_doc, reason = "a test kit reports each failure by a panic")]
#![expect(clippy::must_use_candidate, reason = "a test looks at the values that it needs")]

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
