//! Purchases of packs, as the ledger keeps them (Laws 14, 15).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Credits;
use crate::period::{months_begun, seconds_after};
use crate::refusal::{Refusal, RefusalReason};
use crate::shared::Shared;

/// Months for which a purchase is kept in full; its name is kept permanently.
pub const PURCHASES_KEPT_MONTHS: u32 = 24;

/// Hours that an order waits for its Subscription (Laws 15, 25).
pub const ORDER_WAITS_HOURS: i64 = 24;

/// Returns the last instant at which an order that arrived at `arrival` finds an account in time.
#[must_use]
pub fn order_waits_until(arrival: Timestamp) -> Timestamp {
    seconds_after(arrival, ORDER_WAITS_HOURS.saturating_mul(3_600))
}

/// Packs that were bought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purchases {
    /// Purchases of the last months, in the order in which they were decided.
    pub records: Shared<Vec<Purchase>>,
    /// Names of all earlier ones.
    pub names: Shared<Vec<OrderName>>,
}

/// One purchase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Purchase {
    /// Name of the CreditPack.
    pub name: String,
    /// Pack of the catalog.
    pub pack: String,
    /// Arrival of the CreditPack; its month is the purchase's.
    pub arrival: Timestamp,
    /// Credits, as sold.
    pub credits: Credits,
    /// Price, as sold.
    pub price: Credits,
    /// Currency of the price.
    pub currency: String,
    /// Days after which the credits expire, as sold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_after_days: Option<u32>,
    /// Number of its invoice, unless it was free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice: Option<u32>,
    /// Its state.
    pub state: PurchaseState,
}

/// The state of a purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum PurchaseState {
    /// Its invoice is open; it holds its place in the month.
    AwaitingPayment,
    /// Its credits were granted.
    Granted {
        /// Instant of the grant.
        time: Timestamp,
    },
    /// Its payment was cancelled or overdue; its place is free again.
    Refused {
        /// Which of the two.
        reason: RefusalReason,
    },
    /// Its money was returned and what was left of its credits taken; its place stays taken.
    Refunded {
        /// Instant at which it had been granted.
        grant_time: Timestamp,
    },
}

impl PurchaseState {
    /// Returns whether the purchase counts against its month's limit (Law 14).
    #[must_use]
    pub const fn holds_a_place(self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

/// Bytes of an [`OrderName`] in a stored ledger.
pub const ORDER_NAME_BYTES: usize = 20;

/// The name of an old order or adjustment, as two hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderName {
    /// Hash of the name.
    pub name: u64,
    /// Hash of the pack it bought, or of the credits it gave.
    pub pack: u16,
}

impl OrderName {
    /// Returns the hashes of an order's name and pack, or of an adjustment's name and credits.
    #[must_use]
    pub fn of(name: &str, pack: &str) -> Self {
        let [.., high, low] = fnv1a(pack).to_be_bytes();
        Self { name: fnv1a(name), pack: u16::from_be_bytes([high, low]) }
    }
}

/// FNV-1a: stable over versions and platforms, which the standard library's hasher does not promise.
fn fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The state of an order, as its CreditPack shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderState {
    /// It waits for its payment.
    AwaitingPayment(Purchase),
    /// Its credits were granted.
    Granted(Purchase),
    /// The same, so long ago that only its name is known.
    GrantedLongAgo,
    /// Its money was returned.
    Refunded(Purchase),
    /// It was refused.
    Refused(Refusal),
}

impl Purchases {
    /// Returns the purchase called `name`, if it is kept in full.
    #[must_use]
    pub fn record(&self, name: &str) -> Option<&Purchase> {
        self.records.iter().find(|purchase| purchase.name == name)
    }

    /// Returns how many places of month `month` are taken; of `pack` alone, when given.
    #[must_use]
    pub fn places_taken(&self, start: Timestamp, month: u32, pack: Option<&str>) -> u32 {
        let taken = self.records.iter().filter(|purchase| {
            purchase.state.holds_a_place()
                && months_begun(start, purchase.arrival) == month
                && pack.is_none_or(|pack| purchase.pack == pack)
        });
        u32::try_from(taken.count()).unwrap_or(u32::MAX)
    }

    /// Keeps only the names of purchases that are settled one way or another and older than the kept months.
    pub(crate) fn forget_before(&mut self, at: Timestamp) {
        let names = &mut self.names;
        self.records.retain(|purchase| {
            let old = months_begun(purchase.arrival, at) >= PURCHASES_KEPT_MONTHS
                && purchase.state != PurchaseState::AwaitingPayment;
            if old {
                // A refused order bought no pack: its name comes back as used, never as granted.
                let pack = if purchase.state.holds_a_place() { purchase.pack.as_str() } else { "" };
                names.push(OrderName::of(&purchase.name, pack));
            }
            !old
        });
    }
}
