//! Room: refuses usage, orders and changes of plan that the ledger cannot hold (Laws 10 and 26).

use crate::account::Account;
use crate::bounds::{OPEN_GRANTS_FOR_ORDERS, OPEN_GRANTS_LIMIT, ORDER_BYTES};
use crate::credits::Credits;
use crate::facts::Report;
use crate::ledger::{RatedUsage, Totals};
use crate::refusal::Refusal;
use crate::terms::Terms;

/// Credits that an account may use over its life, and as many that orders and adjustments may give it: each a tenth of
/// what is held exactly, so that neither takes the room of the other, nor that of plans.
const LIFETIME_LIMIT: Credits = Credits::whole(100_000_000_000_000_000);

/// Credits that plans may have given when a change of plan is to give more; renewals give theirs all the same.
const PLAN_LIMIT: Credits = Credits::whole(400_000_000_000_000_000);

impl Account<'_> {
    /// Refuses a report that would lift a sum of the ledger out of the range that is held exactly (Law 10).
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

    /// Refuses credits by an order or adjustment that would lift a sum of the ledger out of the range that is held
    /// exactly (Law 10).
    pub(crate) fn refuses_credits(&self, amount: Credits) -> Option<Refusal> {
        let Totals { purchased, adjusted, .. } = self.ledger.totals;
        let given = Credits::sum([purchased, adjusted, amount]);
        let exceeds = given.map_or(true, |given| given > LIFETIME_LIMIT);
        exceeds.then(|| Refusal::beyond_lifetime("all packs and adjustments of this account", LIFETIME_LIMIT))
    }

    /// Refuses an order or adjustment for which the ledger has no room (Law 26).
    pub(crate) fn refuses_another_order(&self) -> Option<Refusal> {
        let (grants, unpaid) = (self.ledger.grants.len(), self.ledger.unpaid_orders());
        let waiting = self.waiting_orders.saturating_add(unpaid);
        // An order that waits for the first period finds its grant open.
        let first = usize::from(self.waiting_orders > 0 && self.first_period_may_come());
        if grants.saturating_add(waiting).saturating_add(first) >= OPEN_GRANTS_FOR_ORDERS {
            return Some(Refusal::too_many_grants(grants, waiting, OPEN_GRANTS_FOR_ORDERS));
        }
        let bytes = self.ledger.order_bytes();
        (bytes >= ORDER_BYTES).then(|| Refusal::too_many_orders(bytes, ORDER_BYTES))
    }

    /// Returns whether a change to `terms` has to wait, since its grant finds no room (Law 26).
    pub(crate) fn has_no_room_for(&self, terms: &Terms) -> bool {
        let granted = self.ledger.totals.granted.checked_add(terms.credits);
        terms.credits.is_positive()
            && (self.ledger.grants.len() >= OPEN_GRANTS_LIMIT
                || granted.map_or(true, |granted| granted > PLAN_LIMIT))
    }
}
