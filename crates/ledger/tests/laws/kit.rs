//! A life: one account whose operator decides at every instant that matters, unless it is down.

use std::collections::{BTreeMap, BTreeSet};

use flashgate_ledger::Credits;
use flashgate_ledger::adjustment::AdjustmentOutcome;
use flashgate_ledger::catalog::{
    BillingPeriod, Catalog, Offer, Pack, PackPurchases, PaymentMode, Plan, Policies, Rate,
};
use flashgate_ledger::decide::{
    AdjustmentVerdict, Decision, PackVerdict, PaymentVerdict, ReportVerdict, Verdict, Waiting as _, decide,
};
use flashgate_ledger::entry::{Detail, Entry};
use flashgate_ledger::facts::{
    Adjustment, Asked, Facts, PackOrder, Payment, PaymentState, Renewal, Report, Request, Subscription,
    UsageTotal,
};
use flashgate_ledger::grant::Grant;
use flashgate_ledger::ledger::{Ledger, UNACKNOWLEDGED_LIMIT};
use flashgate_ledger::payment::PaymentOutcome;
use flashgate_ledger::period::Window;
use flashgate_ledger::purchase::OrderState;
use flashgate_ledger::refusal::{Refusal, RefusalReason};
use flashgate_ledger::statement::Book;
use jiff::Timestamp;

pub(crate) const HOUR: i64 = 3_600;
pub(crate) const DAY: i64 = 86_400;

/// Reads `2026-01-31`, `2026-01-31T10:00` or `2026-01-31T10:00:05`, in UTC.
pub(crate) fn time(text: &str) -> Timestamp {
    let rest = match text.len() {
        10 => "T00:00:00Z",
        16 => ":00Z",
        _ => "Z",
    };
    format!("{text}{rest}").parse().expect("time")
}

pub(crate) fn credits(text: &str) -> Credits {
    text.parse().expect("amount")
}

pub(crate) fn after(start: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(start.as_second() + seconds).expect("time")
}

/// The window between two times.
pub(crate) fn window(start: &str, end: &str) -> Window {
    Window { start_time: time(start), end_time: time(end) }
}

fn offer(amount: &str, price: &str) -> Offer {
    Offer { credits: credits(amount), price: credits(price) }
}

fn plan(name: &str, monthly: Offer, yearly: Option<Offer>) -> Plan {
    let is_paid = yearly.is_some();
    Plan {
        name: name.to_owned(),
        display_name: name.to_owned(),
        pack_purchases: if is_paid { PackPurchases::Allowed } else { PackPurchases::Refused },
        lapses_to: is_paid.then(|| "organization-free".to_owned()),
        monthly: Some(monthly),
        yearly,
    }
}

fn pack(name: &str, amount: &str, price: &str) -> Pack {
    Pack {
        name: name.to_owned(),
        display_name: name.to_owned(),
        credits: credits(amount),
        price: credits(price),
        expires_after_days: None,
    }
}

fn rate(node_type: &str, operation: &str, unit: &str, amount: &str) -> Rate {
    Rate {
        node_type: node_type.to_owned(),
        operation: operation.to_owned(),
        unit: unit.parse().expect("unit"),
        credits: credits(amount),
    }
}

/// The catalog of billing.md, section 2.
pub(crate) fn shipped() -> Catalog {
    Catalog {
        currency: "USD".to_owned(),
        rates: vec![
            rate("Public", "StorageEgress", "1G", "10"),
            rate("Public", "TokensOut", "1", "0.001"),
            rate("Private", "StorageEgress", "1G", "1"),
            rate("Private", "TokensOut", "1", "0.00005"),
        ],
        plans: vec![
            plan("individual", offer("10", "0"), None),
            plan("organization-free", offer("40", "0"), None),
            plan("starter", offer("1100", "100"), Some(offer("15000", "1000"))),
            plan("growth", offer("9500", "300"), Some(offer("130000", "3000"))),
            plan("scale", offer("89000", "1000"), Some(offer("1125000", "10000"))),
        ],
        packs: vec![
            pack("plus-100", "100", "20"),
            pack("plus-500", "500", "50"),
            pack("plus-1000", "1000", "100"),
        ],
        policies: Policies::default(),
    }
}

/// The shipped catalog with payments by a payment agent.
pub(crate) fn external() -> Catalog {
    let mut catalog = shipped();
    catalog.policies.payments.mode = PaymentMode::External;
    catalog
}

/// One account, what is stated about it, and what became of it.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) catalog: Catalog,
    pub(crate) now: Timestamp,
    pub(crate) ledger: Option<Ledger>,
    /// What exists and has no final state yet, as the operator sees it.
    pub(crate) facts: Facts,
    pub(crate) entries: Vec<Entry>,
    pub(crate) gaps: Vec<(String, Window)>,
    pub(crate) commits: usize,
    pub(crate) reports: BTreeMap<String, ReportVerdict>,
    pub(crate) packs: BTreeMap<String, PackVerdict>,
    pub(crate) payments: BTreeMap<String, PaymentVerdict>,
    pub(crate) adjustments: BTreeMap<String, AdjustmentVerdict>,
    /// What was said last about each object, by UID.
    pub(crate) said: BTreeMap<String, String>,
    /// Number, start, plan and whether yearly, of every period.
    pub(crate) periods: Vec<(u32, i64, String, bool)>,
    /// Reason and state of every invoice that ever was.
    pub(crate) invoice_states: BTreeMap<u32, String>,
    /// What was booked in every period: granted, purchased, adjusted, refunded, consumed, expired.
    pub(crate) books: BTreeMap<u32, [Credits; 6]>,
    is_down: bool,
    acknowledges: bool,
    objects: u32,
}

impl Life {
    pub(crate) fn new(catalog: Catalog) -> Self {
        Self {
            catalog,
            now: time("2020-01-01"),
            ledger: None,
            facts: Facts { name: "acme".into(), new_account_id: "1f3a9c2e".into(), ..Facts::default() },
            entries: Vec::new(),
            gaps: Vec::new(),
            commits: 0,
            reports: BTreeMap::new(),
            packs: BTreeMap::new(),
            payments: BTreeMap::new(),
            adjustments: BTreeMap::new(),
            said: BTreeMap::new(),
            periods: Vec::new(),
            invoice_states: BTreeMap::new(),
            books: BTreeMap::new(),
            is_down: false,
            acknowledges: true,
            objects: 0,
        }
    }

    /// An account of `plan`, Monthly, that starts at `at`.
    pub(crate) fn of(plan: &str, at: &str) -> Self {
        let mut life = Self::new(shipped());
        life.subscribe(at, plan);
        life
    }

    // ---- time

    /// Lives on to `at`: the operator wakes whenever it asked to.
    pub(crate) fn until(&mut self, at: &str) -> &mut Self {
        self.live_until(time(at));
        self
    }

    pub(crate) fn live_until(&mut self, until: Timestamp) {
        self.live_up_to(until);
        self.seen();
    }

    /// Lives on to `until`, the decisions of that very instant excluded.
    pub(crate) fn live_up_to(&mut self, until: Timestamp) {
        assert!(self.now <= until, "a life must not go back from {} to {until}", self.now);
        if !self.is_down && self.now < until {
            while let Some(wake) = self.settle().wake_time.filter(|wake| *wake < until) {
                assert!(wake > self.now, "woken at {} for {wake}: it would never sleep", self.now);
                self.now = wake;
            }
        }
        self.now = until;
    }

    /// Lives on to the creation of an object, which takes its turn among what else happens at that instant.
    fn arrive(&mut self, at: &str) -> &mut Self {
        self.live_up_to(time(at));
        self
    }

    /// The operator stops at `at`.
    pub(crate) fn goes_down(&mut self, at: &str) -> &mut Self {
        self.until(at);
        self.is_down = true;
        self
    }

    /// The operator is back at `at` and catches up.
    pub(crate) fn comes_back(&mut self, at: &str) -> &mut Self {
        self.is_down = false;
        self.now = time(at);
        self.settle();
        self
    }

    /// Receipts are no longer confirmed from here on.
    pub(crate) fn loses_receipts(&mut self) {
        self.acknowledges = false;
    }

    /// Receipts are confirmed again.
    pub(crate) fn finds_receipts(&mut self) {
        self.acknowledges = true;
        self.confirm_receipts();
        self.settle();
    }

    fn confirm_receipts(&mut self) {
        let charges = self.ledger.iter().flat_map(|ledger| &ledger.unacknowledged);
        self.facts.acknowledged = charges.map(|charge| (charge.name.clone(), charge.uid.clone())).collect();
    }

    // ---- deciding

    /// Decides until nothing is left to do at this instant; then deciding again must change nothing.
    pub(crate) fn settle(&mut self) -> Decision {
        for _ in 0..1_000 {
            let decision = self.decide();
            let is_stuck = !self.acknowledges && decision.has_more;
            let is_quiet = decision.commit.is_none() && !decision.has_more;
            self.take(&decision);
            if is_quiet || is_stuck && decision.commit.is_none() {
                return decision;
            }
        }
        unreachable!("it never becomes quiet at {}", self.now)
    }

    pub(crate) fn decide(&self) -> Decision {
        let decision = self.decide_about(&self.facts);
        self.asking_decides_nothing(&decision);
        self.no_wait_is_slept_through(&decision);
        decision
    }

    /// An account is woken by the time at which what a report waits for ends by itself.
    fn no_wait_is_slept_through(&self, decision: &Decision) {
        let ends = decision.reports.iter().filter_map(|verdict| verdict.verdict.wait()?.ends());
        if let Some(end) = ends.min() {
            let next = after(self.now, i64::from(self.facts.instant_is_open));
            assert!(
                decision.wake_time.is_some_and(|wake| wake <= end.max(next)),
                "until {end}: {decision:?}"
            );
        }
    }

    fn decide_about(&self, facts: &Facts) -> Decision {
        decide(self.ledger.as_ref(), facts, &self.catalog, self.now).expect("every invariant holds")
    }

    /// Whichever reports are asked about: the same happens, at the same time, and those that are give the same answer.
    fn asking_decides_nothing(&self, all: &Decision) {
        let waits = |verdict: &&Verdict<ReportVerdict>| matches!(verdict.verdict, ReportVerdict::Waits(_));
        let asked = all.reports.iter().filter(waits).step_by(2);
        let asked: BTreeSet<_> = asked.map(|verdict| (verdict.name.clone(), verdict.uid.clone())).collect();
        let facts = Facts { asked: Asked::Only(asked.clone()), ..self.facts.clone() };
        let some = self.decide_about(&facts);
        let answered = |verdict: &&Verdict<ReportVerdict>| {
            !waits(verdict) || asked.contains(&(verdict.name.clone(), verdict.uid.clone()))
        };
        let answers = |decision: &Decision| -> BTreeMap<String, ReportVerdict> {
            let answered = decision.reports.iter().filter(answered);
            answered.map(|verdict| (verdict.uid.clone(), verdict.verdict.clone())).collect()
        };
        assert_eq!((some.commit.as_ref(), &some.entries), (all.commit.as_ref(), &all.entries));
        assert_eq!(answers(&some), answers(all));
        assert_eq!(some.reports.len(), answers(all).len(), "nothing is said of the others");
        assert_eq!((some.wake_time, some.has_more), (all.wake_time, all.has_more));
        assert_eq!((some.waits_for_receipts, some.wait_basis), (all.waits_for_receipts, all.wait_basis));
    }

    fn take(&mut self, decision: &Decision) {
        if let Some(ledger) = &decision.commit {
            self.commits += 1;
            ledger.check().expect("every invariant holds");
            assert!(ledger.unacknowledged.len() <= UNACKNOWLEDGED_LIMIT);
            assert_eq!(ledger.sequence, self.ledger.as_ref().map_or(0, |before| before.sequence) + 1);
            self.ledger = Some((**ledger).clone());
            self.keep(ledger);
        }
        for entry in &decision.entries {
            if let Detail::Voided { invoice, .. } = &entry.detail {
                self.forget_open(invoice);
            }
        }
        self.entries.extend(decision.entries.iter().cloned());
        self.gaps.extend(decision.closed_gaps.iter().cloned());
        if self.acknowledges {
            self.confirm_receipts();
        }
        self.note(decision);
    }

    /// Keeps the record of periods and invoices that the ledger may forget.
    fn keep(&mut self, ledger: &Ledger) {
        let known = self.periods.last().map_or(0, |(number, ..)| *number);
        for period in ledger.statements.kept.iter().filter(|period| period.period_number > known) {
            let yearly = period.billing_period == BillingPeriod::Yearly;
            let start = period.start_time.as_second();
            self.periods.push((period.period_number, start, period.plan.clone(), yearly));
        }
        for statement in &ledger.statements.kept {
            let Book { granted, purchased, adjusted, refunded, consumed, expired, .. } = statement.book;
            let lines = [granted, purchased, adjusted, refunded, consumed, expired];
            self.books.insert(statement.period_number, lines);
        }
        for invoice in &ledger.invoices {
            let shown = format!("{}:{}", invoice.reason().as_str(), invoice.state.as_str());
            self.invoice_states.insert(invoice.number, shown);
        }
    }

    /// Keeps that `invoice` became void, also where the ledger forgot it with that very commit.
    fn forget_open(&mut self, invoice: &str) {
        let number = invoice.rsplit('-').next().and_then(|number| number.parse().ok()).expect("a number");
        if let Some(shown) = self.invoice_states.get_mut(&number) {
            *shown = shown.replace(":Open", ":Void");
        }
    }

    /// Notes the verdicts; what has a final one leaves the operator's sight.
    fn note(&mut self, decision: &Decision) {
        let Decision { reports, packs, payments, adjustments, .. } = decision;
        self.said.extend(reports.iter().map(|v| (v.uid.clone(), v.verdict.said())));
        self.said.extend(packs.iter().map(|v| (v.uid.clone(), v.verdict.said())));
        self.said.extend(payments.iter().map(|v| (v.uid.clone(), v.verdict.said())));
        self.said.extend(adjustments.iter().map(|v| (v.uid.clone(), v.verdict.said())));
        let is_final = |verdict: &ReportVerdict| !matches!(verdict, ReportVerdict::Waits(_));
        let done: Vec<&str> =
            decision.reports.iter().filter(|v| is_final(&v.verdict)).map(|v| v.uid.as_str()).collect();
        self.facts.reports.retain(|report| !done.contains(&report.uid.as_str()));
        let is_final = |verdict: &PackVerdict| matches!(verdict, PackVerdict::Ordered(state) if !matches!(state, OrderState::AwaitingPayment(_)));
        let done: Vec<&str> =
            decision.packs.iter().filter(|v| is_final(&v.verdict)).map(|v| v.uid.as_str()).collect();
        self.facts.packs.retain(|pack| !done.contains(&pack.uid.as_str()));
        let is_judged = |verdict: &PaymentVerdict| matches!(verdict, PaymentVerdict::Judged(_));
        let done: Vec<&str> =
            decision.payments.iter().filter(|v| is_judged(&v.verdict)).map(|v| v.uid.as_str()).collect();
        self.facts.payments.retain(|payment| !done.contains(&payment.uid.as_str()));
        let is_judged = |verdict: &AdjustmentVerdict| matches!(verdict, AdjustmentVerdict::Judged(_));
        let done: Vec<&str> =
            decision.adjustments.iter().filter(|v| is_judged(&v.verdict)).map(|v| v.uid.as_str()).collect();
        self.facts.adjustments.retain(|adjustment| !done.contains(&adjustment.uid.as_str()));
        self.reports.extend(decision.reports.iter().map(|v| (v.name.clone(), v.verdict.clone())));
        self.packs.extend(decision.packs.iter().map(|v| (v.name.clone(), v.verdict.clone())));
        self.payments.extend(decision.payments.iter().map(|v| (v.name.clone(), v.verdict.clone())));
        self.adjustments.extend(decision.adjustments.iter().map(|v| (v.name.clone(), v.verdict.clone())));
    }

    // ---- the Subscription

    pub(crate) fn subscribe(&mut self, at: &str, plan: &str) -> &mut Self {
        self.subscribe_with(at, plan, |_| {})
    }

    /// Creates the Subscription at `at`, Monthly and Automatic unless `set` says otherwise.
    pub(crate) fn subscribe_with(
        &mut self,
        at: &str,
        plan: &str,
        set: impl FnOnce(&mut Subscription),
    ) -> &mut Self {
        self.arrive(at);
        let request = Request {
            plan: plan.to_owned(),
            billing_period: BillingPeriod::Monthly,
            renewal: Renewal::Automatic,
        };
        let mut subscription = Subscription {
            uid: self.uid(),
            generation: 1,
            arrival: time(at),
            request,
            start_time: None,
            alert_thresholds_percent: None,
        };
        set(&mut subscription);
        self.facts.subscription = Some(subscription);
        self.seen()
    }

    pub(crate) fn unsubscribe(&mut self, at: &str) -> &mut Self {
        self.arrive(at);
        self.facts.subscription = None;
        self.seen()
    }

    pub(crate) fn edit(&mut self, at: &str, edit: impl FnOnce(&mut Subscription)) -> &mut Self {
        self.arrive(at);
        let subscription = self.facts.subscription.as_mut().expect("a Subscription");
        edit(subscription);
        subscription.generation += 1;
        self.seen()
    }

    /// Asks for another plan, Monthly.
    pub(crate) fn ask(&mut self, at: &str, plan: &str) -> &mut Self {
        self.ask_for(at, plan, BillingPeriod::Monthly)
    }

    pub(crate) fn ask_for(&mut self, at: &str, plan: &str, billing_period: BillingPeriod) -> &mut Self {
        self.edit(at, |subscription| {
            plan.clone_into(&mut subscription.request.plan);
            subscription.request.billing_period = billing_period;
        })
    }

    pub(crate) fn set_renewal(&mut self, at: &str, renewal: Renewal) -> &mut Self {
        self.edit(at, |subscription| subscription.request.renewal = renewal)
    }

    // ---- objects

    /// Uses `amount` credits in the hour before `at`, reported at `at` by a source of its own.
    pub(crate) fn consume(&mut self, at: &str, amount: &str) -> ReportVerdict {
        let end_time = time(at);
        let source = format!("meter-{}", self.objects);
        self.report(at, &source, Window { start_time: after(end_time, -HOUR), end_time }, amount)
    }

    /// A report over `amount` credits (Private egress of as many GB) that arrives at `at`.
    pub(crate) fn report(&mut self, at: &str, source: &str, window: Window, amount: &str) -> ReportVerdict {
        self.report_of(at, source, window, &[("Private", "StorageEgress", &format!("{amount}G"))])
    }

    pub(crate) fn report_of(
        &mut self,
        at: &str,
        source: &str,
        window: Window,
        usage: &[(&str, &str, &str)],
    ) -> ReportVerdict {
        self.arrive(at);
        let name = format!("report-{}", self.objects);
        let mut report = a_report(&name, &self.uid(), time(at), source, window);
        report.usage = (0..)
            .zip(usage)
            .map(|(first_line, (node_type, operation, quantity))| UsageTotal {
                node_type: (*node_type).to_owned(),
                operation: (*operation).to_owned(),
                quantity: quantity.parse().expect("quantity"),
                first_line,
            })
            .collect();
        self.facts.reports.insert(report);
        self.seen();
        self.reports.get(&name).cloned().unwrap_or(UNSEEN)
    }

    /// Creates a CreditPack called `name`.
    pub(crate) fn buy(&mut self, at: &str, name: &str, pack: &str) -> PackVerdict {
        self.arrive(at);
        let order =
            PackOrder { name: name.to_owned(), uid: self.uid(), arrival: time(at), pack: pack.to_owned() };
        self.facts.packs.push(order);
        self.seen();
        self.packs.get(name).cloned().unwrap_or(PackVerdict::Waits(UNSEEN_WAIT))
    }

    /// Reports what happened to the account's `number`th invoice, with its very amount.
    pub(crate) fn pay(&mut self, at: &str, name: &str, number: u32, state: PaymentState) -> PaymentVerdict {
        let invoices = self.ledger.iter().flat_map(|ledger| &ledger.invoices);
        let amount =
            invoices.filter(|invoice| invoice.number == number).map(|invoice| invoice.amount).next_back();
        let amount = amount.unwrap_or(credits("1")).to_string();
        self.pay_amount(at, name, &format!("acme-1f3a9c2e-{number:04}"), state, &amount)
    }

    pub(crate) fn pay_amount(
        &mut self,
        at: &str,
        name: &str,
        invoice: &str,
        state: PaymentState,
        amount: &str,
    ) -> PaymentVerdict {
        self.arrive(at);
        let payment = Payment {
            name: name.to_owned(),
            uid: self.uid(),
            arrival: time(at),
            invoice: invoice.to_owned(),
            state,
            amount: credits(amount),
            currency: "USD".to_owned(),
        };
        self.facts.payments.push(payment);
        self.seen();
        self.payments.get(name).cloned().unwrap_or(PaymentVerdict::Waits(UNSEEN_WAIT))
    }

    pub(crate) fn adjust(
        &mut self,
        at: &str,
        name: &str,
        amount: &str,
        expiration: Option<&str>,
    ) -> AdjustmentVerdict {
        self.arrive(at);
        let adjustment = Adjustment {
            name: name.to_owned(),
            uid: self.uid(),
            arrival: time(at),
            credits: credits(amount),
            reason: "outage".to_owned(),
            expiration_time: expiration.map(time),
        };
        self.facts.adjustments.push(adjustment);
        self.seen();
        self.adjustments.get(name).cloned().unwrap_or(AdjustmentVerdict::Waits(UNSEEN_WAIT))
    }

    fn uid(&mut self) -> String {
        self.objects += 1;
        format!("uid-{}", self.objects)
    }

    fn seen(&mut self) -> &mut Self {
        if !self.is_down {
            self.settle();
        }
        self
    }

    // ---- looking

    pub(crate) fn book(&self) -> &Ledger {
        self.ledger.as_ref().expect("an account")
    }

    pub(crate) fn balance(&self) -> String {
        self.book().balance().expect("balance").to_string()
    }

    pub(crate) fn settling(&self) -> String {
        self.book().settling().expect("settling").to_string()
    }

    pub(crate) fn plan(&self) -> &str {
        self.book().terms.as_ref().map_or("", |terms| &terms.plan)
    }

    pub(crate) fn period(&self) -> (u32, Window) {
        let period = self.book().period;
        (period.number, period.window.expect("a period"))
    }

    pub(crate) fn grant(&self, id: &str) -> Option<&Grant> {
        self.book().grants.iter().find(|grant| grant.source.to_string() == id)
    }

    /// What is left of the grant `id`, 0 when it is gone.
    pub(crate) fn left(&self, id: &str) -> String {
        self.grant(id).map_or(Credits::ZERO, |grant| grant.remaining).to_string()
    }

    /// Entries of `kind`.
    pub(crate) fn all(&self, kind: &str) -> Vec<&Entry> {
        self.entries.iter().filter(|entry| entry.detail.kind() == kind).collect()
    }

    pub(crate) fn count(&self, kind: &str) -> usize {
        self.all(kind).len()
    }

    /// Times of the entries of `kind`.
    pub(crate) fn times(&self, kind: &str) -> Vec<Timestamp> {
        self.all(kind).iter().map(|entry| entry.time).collect()
    }

    /// Thresholds reported so far, in order.
    pub(crate) fn thresholds(&self) -> Vec<u32> {
        let percents = self.entries.iter().filter_map(|entry| match entry.detail {
            Detail::Threshold { percent } => Some(percent),
            _ => None,
        });
        percents.collect()
    }

    /// `number:state` of each invoice.
    pub(crate) fn invoices(&self) -> Vec<String> {
        let shown = |invoice: &flashgate_ledger::invoice::Invoice| {
            format!("{}:{}:{}", invoice.number, invoice.reason().as_str(), invoice.state.as_str())
        };
        self.book().invoices.iter().map(shown).collect()
    }
}

const UNSEEN_WAIT: flashgate_ledger::decide::Wait = flashgate_ledger::decide::Wait::Receipts;
const UNSEEN: ReportVerdict = ReportVerdict::Waits(UNSEEN_WAIT);

/// A report over one credit.
pub(crate) fn a_report(name: &str, uid: &str, arrival: Timestamp, source: &str, window: Window) -> Report {
    Report {
        name: name.to_owned(),
        uid: uid.to_owned(),
        arrival,
        source: source.to_owned(),
        window,
        usage: vec![UsageTotal {
            node_type: "Private".to_owned(),
            operation: "StorageEgress".to_owned(),
            quantity: "1G".parse().expect("quantity"),
            first_line: 0,
        }],
    }
}

/// What a verdict says, in a few words: `charged 370`, `DuplicateWindow`, `waits`.
pub(crate) trait Said {
    fn said(&self) -> String;
    fn refusal(&self) -> Option<&Refusal>;
    fn reason(&self) -> Option<RefusalReason> {
        self.refusal().map(|refusal| refusal.reason)
    }
}

impl Said for ReportVerdict {
    fn said(&self) -> String {
        match self {
            Self::Charged(charge) => format!("charged {}", charge.credits),
            Self::Rejected(refusal) => refusal.reason.to_string(),
            Self::Waits(_) => "waits".to_owned(),
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        if let Self::Rejected(refusal) = self { Some(refusal) } else { None }
    }
}

impl Said for PackVerdict {
    fn said(&self) -> String {
        match self {
            Self::Ordered(OrderState::Granted(_)) => "granted".to_owned(),
            Self::Ordered(OrderState::GrantedLongAgo) => "granted long ago".to_owned(),
            Self::Ordered(OrderState::AwaitingPayment(_)) => "awaits payment".to_owned(),
            Self::Ordered(OrderState::Refunded(_)) => "refunded".to_owned(),
            Self::Ordered(OrderState::Refused(refusal)) => refusal.reason.to_string(),
            Self::Waits(_) => "waits".to_owned(),
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        if let Self::Ordered(OrderState::Refused(refusal)) = self { Some(refusal) } else { None }
    }
}

impl Said for PaymentVerdict {
    fn said(&self) -> String {
        match self {
            Self::Judged(PaymentOutcome::Applied) => "applied".to_owned(),
            Self::Judged(PaymentOutcome::RefundDue) => "refund due".to_owned(),
            Self::Judged(PaymentOutcome::Returned) => "returned".to_owned(),
            Self::Judged(PaymentOutcome::Refused(refusal)) => refusal.reason.to_string(),
            Self::Waits(_) => "waits".to_owned(),
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        if let Self::Judged(PaymentOutcome::Refused(refusal)) = self { Some(refusal) } else { None }
    }
}

impl Said for AdjustmentVerdict {
    fn said(&self) -> String {
        match self {
            Self::Judged(AdjustmentOutcome::Granted(record)) => format!("granted {}", record.credits),
            Self::Judged(AdjustmentOutcome::GrantedLongAgo) => "granted long ago".to_owned(),
            Self::Judged(AdjustmentOutcome::Refused(refusal)) => refusal.reason.to_string(),
            Self::Waits(_) => "waits".to_owned(),
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        if let Self::Judged(AdjustmentOutcome::Refused(refusal)) = self { Some(refusal) } else { None }
    }
}
