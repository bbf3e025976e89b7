//! Room: refuses usage, orders and changes of plan that the ledger cannot hold (Laws 10 and 26).

use crate::account::Account;
use crate::bounds::{OPEN_GRANTS_FOR_ORDERS, OPEN_GRANTS_LIMIT, ORDER_BYTES};
use crate::credits::Credits;
use crate::facts::Report;
use crate::ledger::{RatedUsage, Totals};
use crate::refusal::Refusal;
use crate::terms::Terms;

/// Most credits that an account may use since its start, and most credits that orders and adjustments may give
/// it. Each is a tenth of the exact range, so that neither takes the room of the other or of plans.
const LIFETIME_LIMIT: Credits = Credits::whole(100_000_000_000_000_000);

/// Most credits of plans with which a change of plan may grant more. Renewals always grant theirs.
const PLAN_LIMIT: Credits = Credits::whole(400_000_000_000_000_000);

impl Account<'_> {
    /// Refuses a report if a sum of the ledger would exceed the exact range (Law 10).
    pub(crate) fn refuses_usage(&self, report: &Report, credits: Credits) -> Option<Refusal> {
        let consumed = self.ledger.totals.consumed.checked_add(credits);
        if consumed.map_or(true, |consumed| consumed > LIFETIME_LIMIT) {
            return Some(Refusal::beyond_lifetime("all usage of this account", LIFETIME_LIMIT));
        }
        if !self.ledger.statements.books_now(report.window.end_time) {
            return None;
        }
        let exceeds = |used: &RatedUsage| {
            report.usage.iter().any(|total| {
                total.node_type == used.node_type
                    && total.operation == used.operation
                    && used.quantity.checked_add(total.quantity).is_err()
            })
        };
        let used = self.ledger.usage.iter().find(|used| exceeds(used))?;
        let end_time = self.ledger.period.window.map(|window| window.end_time);
        Some(Refusal::beyond_period(&used.node_type, &used.operation, end_time))
    }

    /// Refuses an order or adjustment if a sum of the ledger would exceed the exact range (Law 10).
    pub(crate) fn refuses_credits(&self, amount: Credits) -> Option<Refusal> {
        let Totals { purchased, adjusted, .. } = self.ledger.totals;
        let given = Credits::sum([purchased, adjusted, amount]);
        let exceeds = given.map_or(true, |given| given > LIFETIME_LIMIT);
        exceeds.then(|| Refusal::beyond_lifetime("all packs and adjustments of this account", LIFETIME_LIMIT))
    }

    /// Refuses an order or adjustment if the ledger has no room for it (Law 26).
    pub(crate) fn refuses_another_order(&self) -> Option<Refusal> {
        let (grants, unpaid) = (self.ledger.grants.len(), self.ledger.unpaid_orders());
        let waiting = self.waiting_orders.saturating_add(unpaid);
        // An order that is pending until the first period also needs the room of the grant of that period.
        let first = usize::from(self.waiting_orders > 0 && self.first_period_may_come());
        if grants.saturating_add(waiting).saturating_add(first) >= OPEN_GRANTS_FOR_ORDERS {
            return Some(Refusal::too_many_grants(grants, waiting, OPEN_GRANTS_FOR_ORDERS));
        }
        let bytes = self.ledger.order_bytes();
        (bytes >= ORDER_BYTES).then(|| Refusal::too_many_orders(bytes, ORDER_BYTES))
    }

    /// Returns true if a change to `terms` stays pending, because the ledger has no room for its grant (Law
    /// 26).
    pub(crate) fn has_no_room_for(&self, terms: &Terms) -> bool {
        let granted = self.ledger.totals.granted.checked_add(terms.credits);
        terms.credits.is_positive()
            && (self.ledger.grants.len() >= OPEN_GRANTS_LIMIT
                || granted.map_or(true, |granted| granted > PLAN_LIMIT))
    }
}
