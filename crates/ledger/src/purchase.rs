//! Purchases of packs in the ledger (Laws 14, 15).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Credits;
use crate::period::{months_begun, seconds_after};
use crate::refusal::{Refusal, RefusalReason};
use crate::shared::Shared;

/// Months for which a purchase is kept in full. Its name is kept permanently.
pub const PURCHASES_KEPT_MONTHS: u32 = 24;

/// Hours for which an order without a Subscription is pending (Laws 15, 25).
pub const ORDER_WAITS_HOURS: i64 = 24;

/// Returns the last instant at which the account of an order that arrived at `arrival` can begin in time.
#[must_use]
pub fn order_waits_until(arrival: Timestamp) -> Timestamp {
    seconds_after(arrival, ORDER_WAITS_HOURS.saturating_mul(3_600))
}

/// Packs that were bought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purchases {
    /// Purchases of the last months, in the order in which they were decided.
    pub records: Shared<Vec<Purchase>>,
    /// Names of all earlier purchases.
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
    /// Arrival of the CreditPack. The purchase counts in the month of this instant.
    pub arrival: Timestamp,
    /// Credits at the time of the sale.
    pub credits: Credits,
    /// Price at the time of the sale.
    pub price: Credits,
    /// Currency of the price.
    pub currency: String,
    /// Days after which the credits expire, at the time of the sale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_after_days: Option<u32>,
    /// Number of its invoice. Absent if it was free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice: Option<u32>,
    /// Its state.
    pub state: PurchaseState,
}

/// The state of a purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum PurchaseState {
    /// Its invoice is open. It counts in its month.
    AwaitingPayment,
    /// Its credits were granted.
    Granted {
        /// Instant of the grant.
        time: Timestamp,
    },
    /// Its payment was cancelled or overdue. It no longer counts in its month.
    Refused {
        /// Cancelled or overdue.
        reason: RefusalReason,
    },
    /// Its money was returned, and the rest of its credits was taken back. It still counts in its month.
    Refunded {
        /// Instant of the grant.
        grant_time: Timestamp,
    },
}

impl PurchaseState {
    /// Returns true if the purchase counts towards the limit of its month (Law 14).
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

/// FNV-1a. It is the same on all versions and platforms; the hasher of the standard library does not guarantee
/// this.
fn fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The state of an order as its CreditPack shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderState {
    /// It awaits its payment.
    AwaitingPayment(Purchase),
    /// Its credits were granted.
    Granted(Purchase),
    /// Its credits were granted so long ago that only its name is known.
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

    /// Returns the number of purchases that count in month `month`; only those of `pack` if it is given.
    #[must_use]
    pub fn places_taken(&self, start: Timestamp, month: u32, pack: Option<&str>) -> u32 {
        let taken = self.records.iter().filter(|purchase| {
            purchase.state.holds_a_place()
                && months_begun(start, purchase.arrival) == month
                && pack.is_none_or(|pack| purchase.pack == pack)
        });
        u32::try_from(taken.count()).unwrap_or(u32::MAX)
    }

    /// Keeps only the names of purchases that have a final state and are older than the kept months.
    pub(crate) fn forget_before(&mut self, at: Timestamp) {
        let names = &mut self.names;
        self.records.retain(|purchase| {
            let old = months_begun(purchase.arrival, at) >= PURCHASES_KEPT_MONTHS
                && purchase.state != PurchaseState::AwaitingPayment;
            if old {
                // A refused order bought no pack, so its name counts as used and never as granted.
                let pack = if purchase.state.holds_a_place() { purchase.pack.as_str() } else { "" };
                names.push(OrderName::of(&purchase.name, pack));
            }
            !old
        });
    }
}
