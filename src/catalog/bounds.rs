//! Bounds of a catalog's numbers, for the reader and the schema alike.

use std::ops::RangeInclusive;

/// Characters of a display name. Longer names break tables.
pub(super) const DISPLAY_NAME_LENGTH: usize = 100;
/// Characters of the URL on which an invoice is paid.
pub(super) const CHECKOUT_URL_LENGTH: usize = 500;
/// Up to 100 years.
pub(super) const EXPIRES_AFTER_DAYS: RangeInclusive<u32> = 1..=36_500;
/// Packs per month. A higher limit would only let the ledger grow.
pub(super) const PACK_LIMIT: RangeInclusive<u32> = 0..=1_000;
/// Up to four months, during which expired grants stay in the ledger.
pub(super) const SETTLEMENT_GRACE_SECONDS: RangeInclusive<u32> = 0..=10_000_000;
/// From 1 minute to about 3 years.
pub(super) const ACCEPT_FOR_SECONDS: RangeInclusive<u32> = 60..=100_000_000;
/// From 1 minute to 1 second less than 28 days, the shortest period. An invoice that is due after its period's
/// end would be void before.
pub(super) const DUE_WITHIN_SECONDS: RangeInclusive<u32> = 60..=2_419_199;
/// From 0 seconds to three years. From 31 days on, no window that the API server admits is too early.
pub(super) const ACCEPT_AHEAD_SECONDS: RangeInclusive<u32> = 0..=100_000_000;
/// From 0 seconds to about 30 years.
pub(super) const KEEP_FOR_SECONDS: RangeInclusive<u32> = 0..=1_000_000_000;
/// From 0 seconds to about four months.
pub(super) const GRACE_SECONDS: RangeInclusive<u32> = 0..=10_000_000;
/// Up to a day. A gate whose answers are kept for longer stops too late.
pub(super) const CACHE_SECONDS: RangeInclusive<u32> = 0..=86_400;
/// Debt makes more than 100 % possible.
pub(super) const ALERT_THRESHOLD_PERCENT: RangeInclusive<u32> = 1..=1_000;
/// Most thresholds. Each publishes an Event.
pub(super) const ALERT_THRESHOLDS: usize = 10;
/// Most rates, plans and packs, each. An account's ledger has room for this number.
pub(super) const ITEMS: usize = 256;
