//! Bounds of a catalog's numbers, for the reader and the schema alike.

use std::ops::RangeInclusive;

/// Characters of a name that people read; longer ones break tables.
pub(super) const DISPLAY_NAME_LENGTH: usize = 100;
/// A hundred years; later is as good as never.
pub(super) const EXPIRES_AFTER_DAYS: RangeInclusive<u32> = 1..=36_500;
/// More packs a month than any account buys would only make its ledger grow.
pub(super) const PACK_LIMIT: RangeInclusive<u32> = 0..=1_000;
/// Up to four months, during which expired grants stay in the ledger.
pub(super) const SETTLEMENT_GRACE_SECONDS: RangeInclusive<u32> = 0..=10_000_000;
/// A minute to three years.
pub(super) const ACCEPT_FOR_SECONDS: RangeInclusive<u32> = 60..=100_000_000;
/// A minute to a second less than 28 days, the shortest period: what is due after its period's end would be void before.
pub(super) const DUE_WITHIN_SECONDS: RangeInclusive<u32> = 60..=2_419_199;
/// At once to three years; from 31 days on, every window that the API server admits is in time.
pub(super) const ACCEPT_AHEAD_SECONDS: RangeInclusive<u32> = 0..=100_000_000;
/// At once to thirty years.
pub(super) const KEEP_FOR_SECONDS: RangeInclusive<u32> = 0..=1_000_000_000;
/// Debt makes more than 100 % possible.
pub(super) const ALERT_THRESHOLD_PERCENT: RangeInclusive<u32> = 1..=1_000;
/// Each gives an event of its own; more say nothing.
pub(super) const ALERT_THRESHOLDS: usize = 10;
/// Rates, plans and packs, each: an account's ledger has room for so many.
pub(super) const ITEMS: usize = 256;
