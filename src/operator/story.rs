//! Accounts that live through something, for tests: facts go in as they would on a cluster, `decide` does the rest.

use flashgate_ledger::catalog::{BillingPeriod, Catalog, PaymentMode};
use flashgate_ledger::decide::{
    AdjustmentVerdict, Decision, PackVerdict, PaymentVerdict, ReportVerdict, Verdict, decide,
};
use flashgate_ledger::entry::Entry;
use flashgate_ledger::facts::{
    Adjustment, Facts, PackOrder, Payment, PaymentState, Renewal, Report, Request, Subscription, UsageTotal,
};
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::period::{Window, seconds_after};
use flashgate_ledger::purchase::OrderState;
use jiff::Timestamp;
use proptest::prelude::*;

use super::convert::new_account_id;

/// Returns the time that `text` states.
pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().expect("time")
}

/// An account, what was stated about it, and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) catalog: Catalog,
    pub(crate) ledger: Option<Ledger>,
    pub(crate) now: Timestamp,
    pub(crate) facts: Facts,
    /// Everything that happened since the last commit.
    pub(crate) entries: Vec<Entry>,
    /// Objects stated so far; their UIDs.
    stated: usize,
}

impl Story {
    /// Begins an account called `acme` on `plan` at `start`.
    pub(crate) fn begin(plan: &str, start: &str) -> Self {
        let mut story = Self::before(crate::catalog::shipped(), start);
        story.subscribe(plan, BillingPeriod::Monthly);
        story
    }

    /// Begins the same where a payment agent settles invoices.
    pub(crate) fn begin_unpaid(plan: &str, start: &str) -> Self {
        let mut catalog = crate::catalog::shipped();
        catalog.policies.payments.mode = PaymentMode::External;
        let mut story = Self::before(catalog, start);
        story.subscribe(plan, BillingPeriod::Monthly);
        story
    }

    /// Begins with nothing but a catalog and a time.
    pub(crate) fn before(catalog: Catalog, now: &str) -> Self {
        let facts = Facts { name: "acme".to_owned(), ..Facts::default() };
        Self { catalog, ledger: None, now: time(now), facts, entries: Vec::new(), stated: 0 }
    }

    /// Creates the Subscription now.
    pub(crate) fn subscribe(&mut self, plan: &str, billing_period: BillingPeriod) -> Decision {
        self.facts.subscription = Some(Subscription {
            uid: self.uid(),
            generation: 1,
            arrival: self.now,
            request: Request { plan: plan.to_owned(), billing_period, renewal: Renewal::Automatic },
            start_time: None,
            alert_thresholds_percent: None,
        });
        self.decide()
    }

    /// Edits the Subscription now.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Request)) -> Decision {
        if let Some(subscription) = &mut self.facts.subscription {
            subscription.generation += 1;
            change(&mut subscription.request);
        }
        self.decide()
    }

    /// Lets time pass up to `now`.
    pub(crate) fn until(&mut self, now: &str) -> Decision {
        self.now = time(now);
        self.decide()
    }

    /// Reports usage of the hour before `now`.
    pub(crate) fn report(&mut self, source: &str, operation: &str, quantity: &str) -> Decision {
        let window = Window { start_time: seconds_after(self.now, -3_600), end_time: self.now };
        self.report_window(source, operation, quantity, window)
    }

    /// Reports usage of a window.
    pub(crate) fn report_window(
        &mut self,
        source: &str,
        operation: &str,
        quantity: &str,
        window: Window,
    ) -> Decision {
        let uid = self.uid();
        self.facts.reports.insert(Report {
            name: format!("report-{uid}"),
            uid,
            arrival: self.now,
            source: source.to_owned(),
            window,
            usage: vec![UsageTotal {
                node_type: "Public".to_owned(),
                operation: operation.to_owned(),
                quantity: quantity.parse().expect("quantity"),
                first_line: 0,
            }],
        });
        self.decide()
    }

    /// Orders a pack.
    pub(crate) fn buy(&mut self, name: &str, pack: &str) -> Decision {
        let order =
            PackOrder { name: name.to_owned(), uid: self.uid(), arrival: self.now, pack: pack.to_owned() };
        self.facts.packs.push(order);
        self.decide()
    }

    /// Gives credits by hand.
    pub(crate) fn adjust(
        &mut self,
        name: &str,
        credits: &str,
        expiration_time: Option<Timestamp>,
    ) -> Decision {
        let uid = self.uid();
        self.facts.adjustments.push(Adjustment {
            name: name.to_owned(),
            uid,
            arrival: self.now,
            credits: credits.parse().expect("credits"),
            reason: "outage \"2026-11-02\"\n".to_owned(),
            expiration_time,
        });
        self.decide()
    }

    /// Reports what happened to the account's `number`th invoice; nothing where there is no such.
    pub(crate) fn pay(&mut self, number: u32, state: PaymentState) -> Option<Decision> {
        let ledger = self.ledger.as_ref()?;
        let invoice = ledger.invoices.iter().find(|invoice| invoice.number == number)?;
        let (name, amount, currency) =
            (ledger.invoice_name(number), invoice.amount, invoice.currency.clone());
        let uid = self.uid();
        self.facts.payments.push(Payment {
            name: format!("payment-{uid}"),
            uid,
            arrival: self.now,
            invoice: name,
            state,
            amount,
            currency,
        });
        Some(self.decide())
    }

    /// Decides, commits, and takes away what has its verdict.
    pub(crate) fn decide(&mut self) -> Decision {
        self.facts.new_account_id = new_account_id("subscription", self.now);
        let mut decision =
            decide(self.ledger.as_ref(), &self.facts, &self.catalog, self.now).expect("invariants");
        self.entries.clone_from(&decision.entries);
        if let Some(commit) = decision.commit.take() {
            self.ledger = Some(*commit.clone());
            decision.commit = Some(commit);
        }
        let is_done = |name: &str, done: &[&String]| done.iter().any(|other| *other == name);
        let done = names(&decision.reports, |verdict| !matches!(verdict, ReportVerdict::Waits(_)));
        self.facts.reports.retain(|report| !is_done(&report.name, &done));
        self.facts.acknowledged.extend(self.ledger.iter().flat_map(|ledger| {
            ledger.unacknowledged.iter().map(|charge| (charge.name.clone(), charge.uid.clone()))
        }));
        let done = names(&decision.packs, |verdict| {
            !matches!(verdict, PackVerdict::Waits(_) | PackVerdict::Ordered(OrderState::AwaitingPayment(_)))
        });
        self.facts.packs.retain(|pack| !is_done(&pack.name, &done));
        let done = names(&decision.payments, |verdict| !matches!(verdict, PaymentVerdict::Waits(_)));
        self.facts.payments.retain(|payment| !is_done(&payment.name, &done));
        let done = names(&decision.adjustments, |verdict| !matches!(verdict, AdjustmentVerdict::Waits(_)));
        self.facts.adjustments.retain(|adjustment| !is_done(&adjustment.name, &done));
        decision
    }

    /// Returns the ledger, which must have been opened.
    pub(crate) fn book(&self) -> &Ledger {
        self.ledger.as_ref().expect("an account")
    }

    fn uid(&mut self) -> String {
        self.stated += 1;
        format!("uid-{}", self.stated)
    }
}

fn names<T>(verdicts: &[Verdict<T>], is_done: impl Fn(&T) -> bool) -> Vec<&String> {
    verdicts.iter().filter(|verdict| is_done(&verdict.verdict)).map(|verdict| &verdict.name).collect()
}

/// Something that happens to an account.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Wait { hours: i64 },
    Ask { plan: usize, yearly: bool, renews: bool },
    Report { source: u8, hours_ago: i64, megabytes: u32, known: bool },
    Buy { name: u8, pack: usize },
    Adjust { name: u8, credits: u32, expires: bool },
    Pay { invoice: u32, state: u8 },
    DeleteSubscription,
}

/// Returns something that happens to an account.
pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..800_i64).prop_map(|hours| Step::Wait { hours }),
        2 => (0..6_usize, any::<bool>(), prop::bool::weighted(0.8))
            .prop_map(|(plan, yearly, renews)| Step::Ask { plan, yearly, renews }),
        4 => (0..4_u8, 0..900_i64, 0..200_000_u32, prop::bool::weighted(0.9))
            .prop_map(|(source, hours_ago, megabytes, known)| Step::Report { source, hours_ago, megabytes, known }),
        3 => (0..8_u8, 0..4_usize).prop_map(|(name, pack)| Step::Buy { name, pack }),
        1 => (0..4_u8, 1..500_u32, any::<bool>())
            .prop_map(|(name, credits, expires)| Step::Adjust { name, credits, expires }),
        3 => (1..8_u32, 0..4_u8).prop_map(|(invoice, state)| Step::Pay { invoice, state }),
        1 => Just(Step::DeleteSubscription),
    ]
}

impl Story {
    /// Lets one thing happen.
    pub(crate) fn take(&mut self, step: &Step) {
        match step {
            Step::Wait { hours } => {
                self.now = seconds_after(self.now, hours * 3_600);
                self.decide();
            }
            Step::Ask { plan, yearly, renews } => {
                let plans = ["individual", "organization-free", "starter", "growth", "scale", "unknown"];
                let billing_period = if *yearly { BillingPeriod::Yearly } else { BillingPeriod::Monthly };
                let renewal = if *renews { Renewal::Automatic } else { Renewal::None };
                if self.facts.subscription.is_none() {
                    self.subscribe(plans[*plan], billing_period);
                }
                self.edit(|request| {
                    *request = Request { plan: plans[*plan].to_owned(), billing_period, renewal }
                });
            }
            Step::Report { source, hours_ago, megabytes, known } => {
                let end_time = seconds_after(self.now, -hours_ago * 3_600);
                let window = Window { start_time: seconds_after(end_time, -1_800), end_time };
                let operation = if *known { "StorageEgress" } else { "Unknown" };
                self.report_window(
                    &format!("gw-{source}"),
                    operation,
                    &format!("{megabytes}.000001M"),
                    window,
                );
            }
            Step::Buy { name, pack } => {
                self.buy(&format!("order-{name}"), ["plus-100", "plus-500", "plus-1000", "none"][*pack]);
            }
            Step::Adjust { name, credits, expires } => {
                let expiration = expires.then(|| seconds_after(self.now, 100_000));
                self.adjust(&format!("gift-{name}"), &credits.to_string(), expiration);
            }
            Step::Pay { invoice, state } => {
                use PaymentState::{Cancelled, Failed, Refunded, Settled};
                let states = [Settled, Failed, Cancelled, Refunded];
                self.pay(*invoice, states[usize::from(*state)]);
            }
            Step::DeleteSubscription => {
                self.facts.subscription = None;
                self.decide();
            }
        }
    }
}

/// Returns an account that lived through something.
pub(crate) fn any_story() -> impl Strategy<Value = (Story, Vec<Step>)> {
    (any::<bool>(), prop::collection::vec(any_step(), 1..40)).prop_map(|(is_paid, steps)| {
        let start = "2026-01-31T10:00:00Z";
        let story =
            if is_paid { Story::begin("starter", start) } else { Story::begin_unpaid("starter", start) };
        (story, steps)
    })
}
