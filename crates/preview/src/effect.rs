//! The effect of a change on an account before it is made, by the operator's own decisions.
//!
//! A [`Preview`] is an account that is brought up to date. Its effect of a change is what the operator decides with the
//! change among the facts. A change that awaits a payment is paid, and a change at the end of the period is decided at
//! that time. Later usage is unknown, so there is none.

#[cfg(test)]
mod tests;

use flashgate_api::{CreditPack, Subscription, UsageReport};
use flashgate_ledger::Credits;
use flashgate_ledger::catalog::{BillingPeriod, Catalog};
use flashgate_ledger::decide::{Decision, PackVerdict, ReportVerdict, decide};
use flashgate_ledger::entry::{Detail, Entry};
use flashgate_ledger::facts::{Facts, PackOrder, Payment, PaymentState, Renewal, Request};
use flashgate_ledger::invoice::InvoiceState;
use flashgate_ledger::ledger::{Ledger, RequestState, Violation};
use flashgate_ledger::purchase::OrderState;
use flashgate_ledger::reports::Reports;
use jiff::Timestamp;

use crate::account_clock::AccountClock;
use crate::convert::{self, ConvertError};
use crate::facts::{arrive_by_test_clock, is_there, not_before_arrivals};
use crate::stated_kind::StatedKind;

/// Name of the pack and payment of a change. It cannot be the name of an object.
const PREVIEWED: &str = "(previewed)";

/// Most decisions until an account is up to date. Each one charges up to 128 reports.
const DECISIONS: usize = 64;

/// The objects of an account.
#[derive(Clone, Copy, Debug)]
pub struct Objects<'a> {
    /// The Subscription.
    pub subscription: &'a Subscription,
    /// The account in its CreditLedger, if there is one.
    pub ledger: Option<&'a Ledger>,
    /// Each CreditPack. Those with a final state are ignored.
    pub packs: &'a [CreditPack],
    /// Each UsageReport. Those with a verdict are ignored.
    pub reports: &'a [UsageReport],
}

/// A change that a user considers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A plan and billing period, which renews. It takes back `renewal: None`.
    Plan {
        /// Name of the plan.
        plan: String,
        /// Length of its periods.
        billing_period: BillingPeriod,
    },
    /// Another renewal at the end of the period.
    Renewal(Renewal),
    /// The purchase of a pack.
    Pack {
        /// Pack of the catalog.
        pack: String,
    },
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    /// The amount, in units of the currency.
    pub amount: Credits,
    /// The currency, such as `USD`.
    pub currency: String,
}

/// The time at which a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It changes nothing.
    Never,
    /// At once.
    Now,
    /// When its invoice is paid.
    AfterPayment,
    /// When the first period of the account begins.
    FirstPeriod,
    /// At this time.
    At(Timestamp),
}

/// The effect of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// When it takes effect.
    pub takes_effect: When,
    /// Credits that arrive then.
    pub granted: Credits,
    /// Credits of today's balance that expire until then.
    pub expired: Credits,
    /// Today's balance without the credits that expire. Negative for debt.
    pub kept: Credits,
    /// Balance afterwards.
    pub balance: Credits,
    /// The invoice that it issues. Absent if nothing is owed.
    pub invoice: Option<Money>,
    /// The plan in force afterwards. Absent if there is none.
    pub plan: Option<String>,
    /// End of the period that runs afterwards. Absent if there is none.
    pub period_end: Option<Timestamp>,
}

/// The result of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The operator follows it.
    Accepted(Effect),
    /// The operator refuses it, for this reason.
    Refused(String),
}

/// Why an effect cannot be computed.
#[derive(Debug, thiserror::Error)]
pub enum EffectError {
    /// A field of an object is invalid.
    #[error(transparent)]
    Field(#[from] ConvertError),
    /// An invariant of the account does not hold, so the operator decides nothing about it.
    #[error("the account is frozen: {0}")]
    Frozen(#[from] Violation),
}

/// An account that is brought up to date, for the effects of several changes.
#[derive(Clone, Debug)]
pub struct Preview<'a>(PreviewedAccount<'a>);

impl<'a> Preview<'a> {
    /// Returns the preview of the account of `objects`. `wall_time` is the present time; an account with a test clock has
    /// its own.
    ///
    /// # Errors
    /// When a field of an object is invalid, or an invariant of the account does not hold.
    pub fn of(
        objects: &Objects<'_>,
        catalog: &'a Catalog,
        wall_time: Timestamp,
    ) -> Result<Self, EffectError> {
        let mut account = PreviewedAccount::of(objects, catalog, wall_time)?;
        account.decide_until_done()?;
        account.facts.reports = Reports::default();
        Ok(Self(account))
    }

    /// Returns the effect of `change`.
    ///
    /// # Errors
    /// When an invariant of the account does not hold.
    pub fn effect(&self, change: &Change) -> Result<Outcome, EffectError> {
        let before = self.0.ledger.as_ref();
        let mut account = self.0.clone();
        account.add(change);
        let mut entries = account.decide_until_done()?;
        if let Some(reason) = account.refusal(change) {
            return Ok(Outcome::Refused(reason));
        }
        let takes_effect = account.takes_effect(change, before, &entries);
        if let When::At(time) = takes_effect {
            account.now = account.now.max(time);
            entries.extend(account.decide_until_done()?);
        }
        if takes_effect != When::Never && account.pay_open_invoice(&entries) {
            entries.extend(account.decide_until_done()?);
        }
        Ok(Outcome::Accepted(account.effect(takes_effect, before, &entries)?))
    }
}

/// An account on which decisions are made without a commit to the cluster.
#[derive(Clone, Debug)]
struct PreviewedAccount<'a> {
    catalog: &'a Catalog,
    now: Timestamp,
    facts: Facts,
    ledger: Option<Ledger>,
    /// The outcome of the pack of a change at the last decision.
    order: Option<PackVerdict>,
}

impl<'a> PreviewedAccount<'a> {
    fn of(objects: &Objects<'_>, catalog: &'a Catalog, wall_time: Timestamp) -> Result<Self, EffectError> {
        let Objects { subscription, ledger, packs, reports } = *objects;
        let clock = AccountClock::of(Some(subscription), ledger, false, wall_time);
        let mut stated = Some(subscription)
            .filter(|object| is_there(object))
            .map(convert::subscription_fact)
            .transpose()?;
        if clock.is_test {
            arrive_by_test_clock(stated.as_mut(), ledger, clock.now);
        }
        let uid = stated.as_ref().map(|stated| stated.uid.clone()).unwrap_or_default();
        let mut facts = Facts {
            name: subscription.metadata.name.clone().unwrap_or_default(),
            new_account_id: convert::new_account_id(&uid, clock.now),
            has_test_clock: clock.is_test,
            instant_is_open: !clock.is_test,
            subscription: stated,
            ..Facts::default()
        };
        add_pending(&mut facts, packs, clock)?;
        add_pending(&mut facts, reports, clock)?;
        let now = not_before_arrivals(&facts, clock.now);
        Ok(Self { catalog, now, facts, ledger: ledger.cloned(), order: None })
    }

    /// Decides until nothing is left to do at this time. Returns the entries.
    fn decide_until_done(&mut self) -> Result<Vec<Entry>, Violation> {
        let mut entries = Vec::new();
        for _ in 0..DECISIONS {
            let decision = decide(self.ledger.as_ref(), &self.facts, self.catalog, self.now)?;
            let is_over = decision.commit.is_none();
            self.take(decision, &mut entries);
            if is_over {
                break;
            }
        }
        Ok(entries)
    }

    /// Takes a decision as if it were committed and its receipts written.
    fn take(&mut self, decision: Decision, entries: &mut Vec<Entry>) {
        entries.extend(decision.entries);
        let order = decision.packs.into_iter().find(|pack| pack.name == PREVIEWED);
        self.order = order.map(|order| order.verdict);
        for report in &decision.reports {
            if !matches!(report.verdict, ReportVerdict::Waits(_)) {
                self.facts.reports.remove(&report.name, &report.uid);
            }
        }
        let Some(ledger) = decision.commit else { return };
        let charges = ledger.unacknowledged.iter();
        self.facts.acknowledged = charges.map(|charge| (charge.name.clone(), charge.uid.clone())).collect();
        self.ledger = Some(*ledger);
    }

    /// Adds a change to the facts.
    fn add(&mut self, change: &Change) {
        if let Change::Pack { pack } = change {
            self.facts.packs.push(PackOrder {
                name: PREVIEWED.to_owned(),
                uid: PREVIEWED.to_owned(),
                arrival: self.now,
                pack: pack.clone(),
            });
            return;
        }
        let Some(subscription) = &mut self.facts.subscription else { return };
        subscription.generation = subscription.generation.saturating_add(1);
        let Request { plan, billing_period, renewal } = &mut subscription.request;
        match change {
            Change::Plan { plan: asked, billing_period: period } => {
                (*plan, *billing_period, *renewal) = (asked.clone(), *period, Renewal::Automatic);
            }
            Change::Renewal(asked) => *renewal = *asked,
            Change::Pack { .. } => {}
        }
    }

    /// Returns why the operator refuses the change, if it does.
    fn refusal(&self, change: &Change) -> Option<String> {
        let Change::Pack { .. } = change else {
            let request = &self.facts.subscription.as_ref()?.request;
            return refused_request(request, self.ledger.as_ref()?.request.as_ref()?.state, self.catalog);
        };
        match self.order.as_ref()? {
            PackVerdict::Ordered(OrderState::Refused(refusal)) => Some(refusal.message.clone()),
            PackVerdict::Ordered(_) | PackVerdict::Waits(_) => None,
        }
    }

    /// Returns when the change takes effect, after the `entries` that it caused.
    fn takes_effect(&self, change: &Change, before: Option<&Ledger>, entries: &[Entry]) -> When {
        let Some(ledger) = &self.ledger else {
            let start_time =
                self.facts.subscription.as_ref().and_then(|subscription| subscription.start_time);
            return start_time.map_or(When::Never, When::At);
        };
        let happens = |is_such: fn(&Detail) -> bool| entries.iter().any(|entry| is_such(&entry.detail));
        if happens(gives_or_changes) {
            return When::Now;
        }
        if happens(|detail| matches!(detail, Detail::Invoiced { .. })) {
            return When::AfterPayment;
        }
        if matches!(change, Change::Pack { .. }) {
            return When::FirstPeriod;
        }
        let pending = before.and_then(|before| before.pending_change.as_ref());
        if let Some(change) = ledger.pending_change.as_ref().filter(|change| Some(*change) != pending) {
            return When::At(change.effective_time);
        }
        if pending.is_some() && ledger.pending_change.is_none() || !entries.is_empty() {
            return When::Now;
        }
        let renewal = |ledger: &Ledger| ledger.request.as_ref().map(|decided| decided.request.renewal);
        match ledger.period.window {
            Some(window) if before.and_then(renewal) != renewal(ledger) => When::At(window.end_time),
            _ => When::Never,
        }
    }

    /// Adds a payment of the invoice that the last of `entries` issued. Returns false if there is none that is open.
    fn pay_open_invoice(&mut self, entries: &[Entry]) -> bool {
        let Some(ledger) = &self.ledger else { return false };
        let issued = entries.iter().rev().find_map(|entry| match &entry.detail {
            Detail::Invoiced { invoice, .. } => ledger.invoice(invoice),
            _ => None,
        });
        let Some(invoice) = issued.filter(|invoice| invoice.state == InvoiceState::Open) else {
            return false;
        };
        self.facts.payments.push(Payment {
            name: PREVIEWED.to_owned(),
            uid: PREVIEWED.to_owned(),
            arrival: self.now,
            invoice: ledger.invoice_name(invoice.number),
            state: PaymentState::Settled,
            amount: invoice.amount,
            currency: invoice.currency.clone(),
        });
        true
    }

    /// Returns the effect of all `entries` that the change caused.
    fn effect(
        &self,
        takes_effect: When,
        before: Option<&Ledger>,
        entries: &[Entry],
    ) -> Result<Effect, Violation> {
        let (mut granted, mut expired, mut invoice) = (Credits::ZERO, Credits::ZERO, None);
        for entry in entries {
            match &entry.detail {
                Detail::Granted { amount, .. } | Detail::Purchased { amount, .. } => {
                    granted = granted.checked_add(*amount)?;
                }
                Detail::Expired { amount, .. } => expired = expired.checked_add(*amount)?,
                Detail::Invoiced { amount, currency, .. } => {
                    invoice = Some(Money { amount: *amount, currency: currency.clone() });
                }
                _ => {}
            }
        }
        let balance_of = |ledger: Option<&Ledger>| ledger.map_or(Ok(Credits::ZERO), Ledger::balance);
        let after = self.ledger.as_ref();
        Ok(Effect {
            takes_effect,
            granted,
            expired,
            kept: balance_of(before)?.checked_sub(expired)?,
            balance: balance_of(after)?,
            invoice,
            plan: after.and_then(|ledger| Some(ledger.terms.as_ref()?.plan.clone())),
            period_end: after.and_then(|ledger| Some(ledger.period.window?.end_time)),
        })
    }
}

/// Adds the facts of the objects that are pending.
fn add_pending<K: StatedKind>(
    facts: &mut Facts,
    objects: &[K],
    clock: AccountClock,
) -> Result<(), ConvertError> {
    for object in objects.iter().filter(|object| object.is_pending()) {
        let mut fact = object.fact()?;
        if clock.is_test {
            K::set_arrival(&mut fact, K::arrival_by_test_clock(object.status(), clock.now));
        }
        K::add(facts, fact);
    }
    Ok(())
}

/// Returns whether an entry gives credits or changes the plan.
const fn gives_or_changes(detail: &Detail) -> bool {
    matches!(
        detail,
        Detail::Granted { .. }
            | Detail::Purchased { .. }
            | Detail::PlanChanged { .. }
            | Detail::Lapsed { .. }
    )
}

/// Returns why a request has no effect, if it has none.
fn refused_request(request: &Request, state: RequestState, catalog: &Catalog) -> Option<String> {
    let Request { plan, billing_period, renewal: _ } = request;
    match state {
        RequestState::Decided | RequestState::Lapsed | RequestState::Voided => None,
        RequestState::PlanNotFound => Some(format!("the catalog has no plan '{plan}'")),
        RequestState::BillingPeriodNotOffered => {
            let offered = catalog.plan(plan).map(|(_, plan)| plan).map_or("", |plan| {
                [BillingPeriod::Monthly, BillingPeriod::Yearly]
                    .into_iter()
                    .find(|period| plan.offer(*period).is_some())
                    .map_or("", BillingPeriod::as_str)
            });
            Some(format!("plan '{plan}' has no price for {}: choose {offered}", billing_period.as_str()))
        }
        RequestState::LedgerFull => Some(
            "the account has too many open grants: try again when one of them is used up or expires"
                .to_owned(),
        ),
    }
}
