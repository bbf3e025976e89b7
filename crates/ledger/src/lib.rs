//! The laws of credit billing as pure functions.
//!
//! [`decide`](decide::decide) takes the [`Ledger`](ledger::Ledger) of an account, the [`Facts`](facts::Facts)
//! about it and the time. It returns the next ledger, its new entries, and a verdict on each fact. Nothing here
//! reads a clock, a file or a cluster. Amounts are rounded only as Law 1 states.
//!
//! | law | where |
//! |---|---|
//! | 0 arrival and the order of facts | `replay`, `queue`, [`reports`] |
//! | 1 exactness, 2 quantities | [`credits`], [`rating`], [`quantity`] |
//! | 3 periods | [`period`] |
//! | 4, 5, 7 plan grants, burn order, settlement | [`grant`], `account` |
//! | 6, 8, 10 debt, late and early, all or nothing | [`charge`] |
//! | 9 once | [`coverage`] |
//! | 11, 19 renewal, deletion | `renewal` |
//! | 12, 13, 17, 20 upgrade, downgrade, start, catalog edits | [`plan_change`] |
//! | 14, 15 packs | [`sale`], [`purchase`] |
//! | 16 lapse | `lapse` |
//! | 18 payments | [`invoice`], [`payment`] |
//! | 21 conservation | [`ledger`], [`totals`] |
//! | 22 statement, 23 thresholds, 24 forecast | [`statement`], [`threshold`], [`forecast`] |
//! | 25 adjustments | [`adjustment`] |
//! | 26 bounds | [`bounds`], `room` |
//! | 27 split over labels, 28 months, 29 overdraft | [`split`], [`month`], [`gate`], [`peak`] |
//!
//! Records of a ledger and details of entries implement serde. Their serialized form is stored, and the hash of
//! the ledger covers it, so the names and the order of their fields are part of the format. The feature
//! `schema` adds the JSON Schema of entries. Its descriptions are the doc comments of [`entry`].

#![cfg_attr(not(test), deny(clippy::float_arithmetic, clippy::arithmetic_side_effects))]

mod account;
pub mod adjustment;
pub mod bounds;
pub mod catalog;
pub mod charge;
pub mod coverage;
pub mod credits;
pub mod decide;
pub mod decision;
pub mod entry;
pub mod facts;
pub mod forecast;
pub mod gate;
pub mod grant;
mod idle;
pub mod invoice;
mod lapse;
pub mod ledger;
pub mod month;
pub mod payment;
pub mod peak;
pub mod period;
pub mod plan_change;
pub mod purchase;
pub mod quantity;
mod queue;
pub mod rating;
pub mod refusal;
pub mod renewal;
mod replay;
pub mod report;
pub mod reports;
mod room;
pub mod sale;
pub mod schema;
pub mod shared;
pub mod split;
pub mod statement;
pub mod terms;
mod text;
pub mod threshold;
pub mod totals;
pub mod verdict;

pub use credits::Credits;
pub use quantity::Quantity;
