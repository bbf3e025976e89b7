//! Tests of the history on both databases. They need PostgreSQL, which `control-plane/postgres.sh` finds, and Python
//! for the validator of FOCUS.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "stores/copies.rs"]
mod copies;
#[path = "stores/exports.rs"]
mod exports;
#[path = "stores/faults.rs"]
mod faults;
#[path = "stores/ledger.rs"]
mod ledger;
#[path = "stores/place.rs"]
mod place;
#[path = "stores/queries.rs"]
mod queries;
#[path = "stores/recording.rs"]
mod recording;
#[path = "stores/scripts.rs"]
mod scripts;
#[path = "stores/verification.rs"]
mod verification;

/// Runs each test on both databases.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::place::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::place::postgres().await).await;
            })*
        }
    };
}
pub(crate) use on_both_stores;
