//! Tests of the history on both databases. They need PostgreSQL, which `control-plane/postgres.sh` finds, and Python
//! for the validator of FOCUS.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod stores {
    pub mod copies;
    pub mod exports;
    pub mod faults;
    pub mod ledger;
    pub mod pages;
    pub mod place;
    pub mod queries;
    pub mod recording;
    pub mod scripts;
    pub mod verification;
}

/// Runs each test on both databases.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::stores::place::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::stores::place::postgres().await).await;
            })*
        }
    };
}
pub(crate) use on_both_stores;
