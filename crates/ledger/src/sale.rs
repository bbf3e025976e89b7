//! The sale of packs: eligibility, the monthly limit, and the name as idempotency key (Laws 14, 15).

use jiff::Timestamp;

use crate::account::Account;
use crate::catalog::{Pack, PackLimit, PackLimitScope, PackPurchases};
use crate::entry::{Detail, ObjectName};
use crate::facts::{FactKind, PackOrder};
use crate::grant::{Expiration, Grant, GrantSource};
use crate::invoice::Purpose;
use crate::ledger::{Ledger, Violation};
use crate::period::{DAY_SECONDS, Window, months_after, months_begun, seconds_after};
use crate::purchase::{OrderName, OrderState, Purchase, PurchaseState};
use crate::refusal::{Refusal, RefusalReason};

/// The packs of one month of an account, counted from its start (Law 14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackAllowance {
    /// Purchases that count in the month.
    pub used: u32,
    /// Limit of a month.
    pub max: u32,
    /// Time window of the month.
    pub month: Window,
}

impl PackAllowance {
    /// Returns the time from which the next pack can be bought, if the limit of the month is reached (Law 14).
    #[must_use]
    pub fn next_available_time(self) -> Option<Timestamp> {
        (self.used >= self.max).then_some(self.month.end_time)
    }
}

impl Ledger {
    /// Returns the month of packs that contains `at`, counted from the start of the account (Law 14).
    #[must_use]
    pub fn pack_month(&self, at: Timestamp) -> Window {
        let month = months_begun(self.start_time, at);
        let boundary = |months| months_after(self.start_time, months);
        Window { start_time: boundary(month), end_time: boundary(month.saturating_add(1)) }
    }

    /// Returns the allowance of the month that contains `at` (Law 14). If `limit` counts each pack by itself,
    /// it is the allowance of `pack`, or of the pack with the most purchases if `pack` is absent.
    #[must_use]
    pub fn pack_allowance(&self, limit: PackLimit, pack: Option<&str>, at: Timestamp) -> PackAllowance {
        let month = months_begun(self.start_time, at);
        let taken = |pack| self.purchases.places_taken(self.start_time, month, pack);
        let used = match (limit.scope, pack) {
            (PackLimitScope::AllPacks, _) => taken(None),
            (PackLimitScope::PerPack, Some(pack)) => taken(Some(pack)),
            (PackLimitScope::PerPack, None) => {
                let packs = self.purchases.records.iter().map(|purchase| purchase.pack.as_str());
                packs.map(|pack| taken(Some(pack))).max().unwrap_or_default()
            }
        };
        PackAllowance { used, max: limit.max, month: self.pack_month(at) }
    }
}

/// The outcome of an order.
pub(crate) enum OrderOutcome {
    /// It has this state.
    Decided(OrderState),
    /// It is pending until the first period of the account, or until its Subscription exists again.
    Waits,
}

impl Account<'_> {
    /// Decides an order (Laws 14, 15).
    pub(crate) fn purchase(&mut self, order: &PackOrder) -> Result<OrderOutcome, Violation> {
        if let Some(known) = self.known_order(order) {
            return Ok(OrderOutcome::Decided(known));
        }
        self.make_room_for_orders();
        match self.judge_order(order) {
            Judgement::Waits => Ok(OrderOutcome::Waits),
            Judgement::Refused(refusal) => {
                self.refuse(FactKind::CreditPack, &order.name, Some(&order.pack), refusal.clone())?;
                Ok(OrderOutcome::Decided(OrderState::Refused(refusal)))
            }
            Judgement::Accepted(pack) => {
                let state = self.sell(order, &pack)?;
                Ok(OrderOutcome::Decided(state))
            }
        }
    }

    /// Refuses an order for which no account began in time.
    pub(crate) fn run_out_order(
        &mut self,
        order: &PackOrder,
        refusal: Refusal,
    ) -> Result<OrderState, Violation> {
        if let Some(known) = self.known_order(order) {
            return Ok(known);
        }
        self.refuse(FactKind::CreditPack, &order.name, Some(&order.pack), refusal.clone())?;
        Ok(OrderState::Refused(refusal))
    }

    /// Returns the state of an earlier order of that name, if there was one (Law 15).
    pub(crate) fn known_order(&self, order: &PackOrder) -> Option<OrderState> {
        let purchases = &self.ledger.purchases;
        if let Some(purchase) = purchases.record(&order.name)
            && purchase.pack == order.pack
        {
            return Some(self.order_state(purchase));
        }
        if let Some(record) = self.ledger.refusal(FactKind::CreditPack, &order.name) {
            return Some(OrderState::Refused(record.refusal.clone()));
        }
        purchases
            .names
            .contains(&OrderName::of(&order.name, &order.pack))
            .then_some(OrderState::GrantedLongAgo)
    }

    /// Returns the state of a purchase as its CreditPack shows it.
    pub(crate) fn order_state(&self, purchase: &Purchase) -> OrderState {
        let invoice = purchase.invoice.map(|number| self.ledger.invoice_name(number)).unwrap_or_default();
        match purchase.state {
            PurchaseState::AwaitingPayment => OrderState::AwaitingPayment(purchase.clone()),
            PurchaseState::Granted { .. } => OrderState::Granted(purchase.clone()),
            PurchaseState::Refunded { .. } => OrderState::Refunded(purchase.clone()),
            PurchaseState::Refused { reason: RefusalReason::PaymentExpired } => {
                let due = purchase
                    .invoice
                    .and_then(|number| self.ledger.invoices.iter().find(|invoice| invoice.number == number))
                    .and_then(|invoice| invoice.due_time);
                OrderState::Refused(Refusal::payment_expired(&invoice, due.unwrap_or(purchase.arrival)))
            }
            PurchaseState::Refused { reason: RefusalReason::PaymentCancelled } => {
                OrderState::Refused(Refusal::payment_cancelled(&invoice))
            }
            PurchaseState::Refused { .. } => OrderState::Refused(Refusal::payment_failed(&invoice)),
        }
    }

    fn judge_order(&self, order: &PackOrder) -> Judgement {
        let purchases = &self.ledger.purchases;
        let name = OrderName::of(&order.name, &order.pack).name;
        if let Some(purchase) = purchases.record(&order.name) {
            let used_for = format!("used for pack '{}' before", purchase.pack);
            return Judgement::Refused(Refusal::name_already_used(&order.name, &used_for));
        }
        if purchases.names.iter().any(|old| old.name == name) {
            return Judgement::Refused(Refusal::name_already_used(
                &order.name,
                "used for another pack, or refused, long ago",
            ));
        }
        let Some(pack) = self.catalog.pack(&order.pack) else {
            return Judgement::Refused(Refusal::unknown_pack(&order.pack, self.catalog));
        };
        let refusal = if self.first_period_may_come() {
            self.refuses_another_order()
        } else {
            self.plan_refuses_packs()
                .or_else(|| self.month_is_full(order))
                .or_else(|| self.refuses_credits(pack.credits))
                .or_else(|| self.refuses_another_order())
        };
        if let Some(refusal) = refusal {
            return Judgement::Refused(refusal);
        }
        if self.first_period_may_come() || !self.is_attended() {
            return Judgement::Waits;
        }
        Judgement::Accepted(Box::new(pack.clone()))
    }

    fn plan_refuses_packs(&self) -> Option<Refusal> {
        let cause = match &self.ledger.terms {
            None => "without a plan".to_owned(),
            Some(terms) if terms.pack_purchases == PackPurchases::Refused => {
                format!("under plan '{}', which does not allow packs", terms.plan)
            }
            Some(terms) if self.ledger.period.payment_due_time.is_some() => {
                format!("under plan '{}', whose period was not paid", terms.plan)
            }
            Some(_) => return None,
        };
        Some(Refusal::plan_not_eligible(self.time, &cause, self.catalog))
    }

    fn month_is_full(&self, order: &PackOrder) -> Option<Refusal> {
        let limit = self.catalog.policies.pack_limit;
        let kind = match limit.scope {
            PackLimitScope::AllPacks => "packs".to_owned(),
            PackLimitScope::PerPack => format!("packs '{}'", order.pack),
        };
        let allowance = self.ledger.pack_allowance(limit, Some(&order.pack), order.arrival);
        let next = allowance.next_available_time()?;
        Some(Refusal::pack_limit_reached(allowance.used, allowance.max, &kind, next))
    }

    fn sell(&mut self, order: &PackOrder, pack: &Pack) -> Result<OrderState, Violation> {
        let name = order.name.clone();
        self.ledger.purchases.records.push(Purchase {
            name: name.clone(),
            pack: pack.name.clone(),
            arrival: order.arrival,
            credits: pack.credits,
            price: pack.price,
            currency: self.catalog.currency.clone(),
            expires_after_days: pack.expires_after_days,
            invoice: None,
            state: PurchaseState::AwaitingPayment,
        });
        let invoice = self.issue_invoice(Purpose::Pack { name: name.clone() }, pack.price)?;
        if let Some(purchase) = self.purchase_mut(&name) {
            purchase.invoice = invoice.map(|invoice| invoice.number);
        }
        if invoice.is_none_or(|invoice| invoice.is_settled) {
            self.grant_pack(&name)?;
        }
        let purchase = self.ledger.purchases.record(&name);
        let purchase = purchase.ok_or_else(|| Violation::absent(format!("order {name}")))?;
        Ok(self.order_state(purchase))
    }

    /// Grants the credits of the purchase called `name`, which is paid now.
    pub(crate) fn grant_pack(&mut self, name: &str) -> Result<(), Violation> {
        let time = self.time;
        let grace_seconds = self.catalog.policies.settlement_grace_seconds;
        let Some(purchase) = self.purchase_mut(name) else {
            return Err(Violation::absent(format!("order {name}")));
        };
        purchase.state = PurchaseState::Granted { time };
        let purchase = purchase.clone();
        let expiration = purchase.expires_after_days.map(|days| Expiration {
            time: seconds_after(time, i64::from(days).saturating_mul(DAY_SECONDS)),
            grace_seconds,
            passed: false,
        });
        let source = GrantSource::Pack { name: purchase.name.as_str().into() };
        if let Some(invoice) = purchase.invoice.and_then(|number| self.invoice_mut(number)) {
            invoice.grant = Some(source.clone());
        }
        let invoice = purchase.invoice.map(|number| self.ledger.invoice_name(number));
        self.credit(
            Grant {
                source,
                credits: purchase.credits,
                remaining: purchase.credits,
                effective_time: time,
                expiration,
            },
            |grant, debt_repaid| Detail::Purchased {
                amount: grant.credits,
                grant: grant.source.to_string(),
                object: ObjectName { kind: FactKind::CreditPack, name: purchase.name.clone() },
                pack: purchase.pack.clone(),
                invoice,
                expiration_time: grant.expiration.map(|expiration| expiration.time),
                debt_repaid,
            },
        )
    }

    pub(crate) fn purchase_mut(&mut self, name: &str) -> Option<&mut Purchase> {
        self.ledger.purchases.records.iter_mut().find(|purchase| purchase.name == name)
    }
}

enum Judgement {
    Accepted(Box<Pack>),
    Refused(Refusal),
    Waits,
}
