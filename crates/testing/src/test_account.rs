//! One account under test. It applies actions, decides at every relevant instant, and checks each decision.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use flashgate_ledger::Credits;
use flashgate_ledger::catalog::{BillingPeriod, Catalog};
use flashgate_ledger::decide::{
    AdjustmentVerdict, Decision, PackVerdict, PaymentVerdict, ReportVerdict, Verdict, Wait, Waiting as _,
    decide,
};
use flashgate_ledger::entry::{Detail, Entry};
use flashgate_ledger::facts::{
    Adjustment, Asked, Facts, PackOrder, Payment, PaymentState, Renewal, Report, Request, Subscription,
};
use flashgate_ledger::grant::Grant;
use flashgate_ledger::invoice::Invoice;
use flashgate_ledger::ledger::{Ledger, Totals, UNACKNOWLEDGED_LIMIT};
use flashgate_ledger::period::{Window, seconds_after};
use flashgate_ledger::statement::Book;
use jiff::Timestamp;

use crate::action::{Action, InvoiceChoice, UsageLine};
use crate::catalog::{external, monthly, shipped};
use crate::change::{Change, totals};
use crate::receipts::{confirm_receipts, remove_judged};
use crate::summary::Summary as _;
use crate::values::{HOUR, credits, time};

/// Most decisions at one instant until nothing is left to do.
const DECISIONS: usize = 1_000;

/// Reason of each adjustment. It has characters that JSON must escape.
const REASON: &str = "outage \"2026-11-02\"\n";

/// The argument that stands for the present time of the account.
const NOW: &str = "now";

/// One account, the facts about it, and the results of all decisions.
#[derive(Clone, Debug)]
pub struct TestAccount {
    /// The catalog in force.
    pub catalog: Catalog,
    /// The catalogs that [`Action::ChangeCatalog`] puts in force.
    pub editions: Vec<Catalog>,
    /// The present time.
    pub now: Timestamp,
    /// The ledger, once the account has begun.
    pub ledger: Option<Ledger>,
    /// The objects that exist and have no final state yet, as the operator sees them.
    pub facts: Facts,
    /// All decisions since the last action as one: every entry, and the last verdict on each object.
    pub decision: Decision,
    /// Every entry so far.
    pub entries: Vec<Entry>,
    /// Every gap that had to close, by source.
    pub gaps: Vec<(String, Window)>,
    /// Number of commits so far.
    pub commits: usize,
    /// The last verdict on each report, by name.
    pub reports: BTreeMap<String, ReportVerdict>,
    /// The last verdict on each pack, by name.
    pub packs: BTreeMap<String, PackVerdict>,
    /// The last verdict on each payment, by name.
    pub payments: BTreeMap<String, PaymentVerdict>,
    /// The last verdict on each adjustment, by name.
    pub adjustments: BTreeMap<String, AdjustmentVerdict>,
    /// A short text of the last verdict on each object, by UID.
    pub summaries: BTreeMap<String, String>,
    /// Number, start and plan of every period, and true if it is yearly.
    pub periods: Vec<(u32, i64, String, bool)>,
    /// Reason and state of every invoice so far.
    pub invoice_states: BTreeMap<u32, String>,
    /// Sums of all entries so far.
    pub sums: Totals,
    /// Sums and closing balance of every month in which credits moved, such as `2026-03`.
    pub months: BTreeMap<String, (Totals, Credits)>,
    /// The sums of every period: granted, purchased, adjusted, refunded, consumed, expired.
    pub books: BTreeMap<u32, [Credits; 6]>,
    /// True if the next decision is the first since the last action.
    begins_action: bool,
    is_down: bool,
    confirms_receipts: bool,
    objects: u32,
}

/// Returns the number of a month such as `2026-03`, counted from the year 0.
fn months_of(month: &str) -> u32 {
    let (year, month) = month.split_once('-').expect("a month");
    year.parse::<u32>().expect("a year") * 12 + month.parse::<u32>().expect("a month")
}

/// Methods accept times in the form of [`time`], or `now`.
impl TestAccount {
    /// Returns an account called `acme` without a Subscription.
    pub fn new(catalog: Catalog) -> Self {
        let facts = Facts { name: "acme".into(), new_account_id: "1f3a9c2e".into(), ..Facts::default() };
        let now = time("2020-01-01");
        let decision = decide(None, &facts, &catalog, now).expect("every invariant holds");
        Self {
            editions: vec![catalog.clone()],
            catalog,
            now,
            ledger: None,
            facts,
            decision,
            entries: Vec::new(),
            gaps: Vec::new(),
            commits: 0,
            reports: BTreeMap::new(),
            packs: BTreeMap::new(),
            payments: BTreeMap::new(),
            adjustments: BTreeMap::new(),
            summaries: BTreeMap::new(),
            periods: Vec::new(),
            invoice_states: BTreeMap::new(),
            sums: Totals::default(),
            months: BTreeMap::new(),
            books: BTreeMap::new(),
            begins_action: true,
            is_down: false,
            confirms_receipts: true,
            objects: 0,
        }
    }

    /// Returns an account without a Subscription, whose catalog changes between `editions`. The first edition
    /// is in force.
    pub fn with_editions(editions: &[Catalog]) -> Self {
        Self { editions: editions.to_vec(), ..Self::new(editions[0].clone()) }
    }

    /// Returns an account of `plan`, Monthly, that starts at `at`.
    pub fn on_plan(plan: &str, at: &str) -> Self {
        let mut account = Self::new(shipped());
        account.subscribe(at, plan);
        account
    }

    /// Returns an account of `plan`, Monthly, that is requested at `at` and starts with its payment.
    pub fn unpaid(plan: &str, at: &str) -> Self {
        let mut account = Self::new(external());
        account.subscribe(at, plan);
        account
    }

    // ---- time

    fn instant(&self, at: &str) -> Timestamp {
        if at == NOW { self.now } else { time(at) }
    }

    /// Advances the time to `at`. The operator decides at each time of its next decision, and at the end.
    pub fn until(&mut self, at: &str) -> &mut Self {
        self.live_until(self.instant(at));
        self
    }

    /// Advances the time to `until`. The operator decides at each time of its next decision, and at the end.
    pub fn live_until(&mut self, until: Timestamp) {
        self.live_up_to(until);
        self.decide_unless_down();
    }

    /// Advances the time to `until`, without the decisions of that instant.
    pub fn live_up_to(&mut self, until: Timestamp) {
        assert!(self.now <= until, "time must not go back from {} to {until}", self.now);
        self.begins_action = true;
        if !self.is_down && self.now < until {
            while let Some(wake) = self.go_on().filter(|wake| *wake < until) {
                assert!(wake > self.now, "woken at {} for {wake}: the operator would never sleep", self.now);
                self.now = wake;
            }
        }
        self.now = until;
    }

    /// Advances the time to the creation of an object, which is ordered among the other events of that instant.
    fn arrive(&mut self, at: &str) -> &mut Self {
        self.live_up_to(self.instant(at));
        self
    }

    /// Stops the operator at `at`.
    pub fn operator_stops(&mut self, at: &str) -> &mut Self {
        self.until(at);
        self.is_down = true;
        self
    }

    /// Starts the operator at `at`, which then catches up. Its clock can be behind the creation of the last
    /// object.
    pub fn operator_starts(&mut self, at: &str) -> &mut Self {
        self.is_down = false;
        self.jump_to(self.instant(at));
        self
    }

    /// Sets the time and decides, like an operator that was down until then.
    pub fn jump_to(&mut self, now: Timestamp) -> &mut Self {
        self.now = now;
        self.settle();
        self
    }

    /// Stops the confirmation of receipts.
    pub fn receipts_stop(&mut self) {
        self.confirms_receipts = false;
    }

    /// Confirms receipts again.
    pub fn receipts_resume(&mut self) {
        self.confirms_receipts = true;
        confirm_receipts(&mut self.facts, self.ledger.as_ref());
        self.settle();
    }

    // ---- deciding

    /// Decides until nothing is left to do at this instant. Checks that another decision then changes nothing.
    /// Returns the time of the next decision.
    pub fn settle(&mut self) -> Option<Timestamp> {
        self.begins_action = true;
        self.go_on()
    }

    fn go_on(&mut self) -> Option<Timestamp> {
        for _ in 0..DECISIONS {
            let decision = self.decide();
            let Decision { wake_time, has_more, .. } = decision;
            let is_stuck = !self.confirms_receipts && has_more;
            let commits = decision.commit.is_some();
            self.take(decision);
            if !commits && (is_stuck || !has_more) {
                return wake_time;
            }
        }
        unreachable!("it never becomes quiet at {}", self.now)
    }

    /// Returns the decision at this instant, and checks it. Commits nothing.
    pub fn decide(&self) -> Decision {
        let decision = self.decide_about(&self.facts);
        self.check_that_asking_decides_nothing(&decision);
        self.check_that_no_wait_end_is_missed(&decision);
        decision
    }

    fn decide_about(&self, facts: &Facts) -> Decision {
        decide(self.ledger.as_ref(), facts, &self.catalog, self.now).expect("every invariant holds")
    }

    /// Checks that the next decision is not later than the time at which the wait of a report ends.
    fn check_that_no_wait_end_is_missed(&self, decision: &Decision) {
        let ends = decision.reports.iter().filter_map(|verdict| verdict.verdict.wait()?.ends());
        if let Some(end) = ends.min() {
            let next = seconds_after(self.now, i64::from(self.facts.instant_is_open));
            assert!(
                decision.wake_time.is_some_and(|wake| wake <= end.max(next)),
                "until {end}: {decision:?}"
            );
        }
    }

    /// Decides again, and asks about half of the pending reports. Their verdicts and everything else must be
    /// the same.
    fn check_that_asking_decides_nothing(&self, all: &Decision) {
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
        assert_eq!(some.reports.len(), answers(all).len(), "no verdict on the others");
        assert_eq!((some.wake_time, some.has_more), (all.wake_time, all.has_more));
        assert_eq!((some.waits_for_receipts, some.wait_basis), (all.waits_for_receipts, all.wait_basis));
    }

    /// Commits a decision, writes its receipts, and keeps its results.
    fn take(&mut self, decision: Decision) {
        if let Some(ledger) = &decision.commit {
            self.commits += 1;
            ledger.check().expect("every invariant holds");
            self.check_exhaustion(ledger);
            assert!(ledger.unacknowledged.len() <= UNACKNOWLEDGED_LIMIT);
            assert_eq!(ledger.sequence, self.ledger.as_ref().map_or(0, |before| before.sequence) + 1);
            self.ledger = Some((**ledger).clone());
            self.keep_history(ledger);
        }
        for entry in &decision.entries {
            if let Detail::Voided { invoice, .. } = &entry.detail {
                self.keep_void(invoice);
            }
        }
        self.entries.extend(decision.entries.iter().cloned());
        self.check_sums(&decision.entries);
        self.gaps.extend(decision.closed_gaps.iter().cloned());
        if self.confirms_receipts {
            confirm_receipts(&mut self.facts, self.ledger.as_ref());
        }
        remove_judged(&mut self.facts, &decision);
        self.keep_verdicts(&decision);
        self.add_to_action(decision);
    }

    /// Checks that the ledger says since when its credits are exhausted, and keeps the time while they are (Law 29).
    fn check_exhaustion(&self, ledger: &Ledger) {
        let is_exhausted = ledger.is_exhausted().expect("balance");
        assert_eq!(ledger.exhausted_since.is_some(), is_exhausted, "{ledger:?}");
        let before = self.ledger.as_ref();
        if let Some(since) = ledger.exhausted_since {
            let is_kept = before.and_then(|before| before.exhausted_since) == Some(since);
            let began = before.map_or(ledger.start_time, |before| before.clock_time);
            assert!(is_kept || (began <= since && since <= ledger.clock_time), "{since}: {ledger:?}");
        }
    }

    /// Adds `entries` to the sums, and checks that the ledger has the same sums and months (Laws 21 and 28).
    fn check_sums(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.sums.add_entry(entry).expect("sum");
            if !entry.detail.amount().is_zero() {
                let month = entry.time.to_string()[..7].to_owned();
                let (sums, closing) = self.months.entry(month).or_default();
                sums.add_entry(entry).expect("sum");
                *closing = entry.balance;
            }
        }
        let Some(ledger) = &self.ledger else { return };
        assert_eq!(ledger.totals, self.sums);
        let newest = self.months.keys().next_back().map(|month| months_of(month));
        let is_kept = |month: &str| newest.is_some_and(|newest| newest - months_of(month) < 24);
        let expected = self.months.iter().filter(|(month, _)| is_kept(month));
        let kept =
            ledger.months.iter().map(|month| (month.first_day.to_string(), (month.sums, month.closing)));
        let expected = expected.map(|(month, sums)| (format!("{month}-01"), *sums));
        assert_eq!(kept.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    /// Keeps the periods and invoices that the ledger can drop.
    fn keep_history(&mut self, ledger: &Ledger) {
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

    /// Records that `invoice` became void, even if the ledger dropped it in the same commit.
    fn keep_void(&mut self, invoice: &str) {
        let number = invoice.rsplit('-').next().and_then(|number| number.parse().ok()).expect("a number");
        if let Some(shown) = self.invoice_states.get_mut(&number) {
            *shown = shown.replace(":Open", ":Void");
        }
    }

    fn keep_verdicts(&mut self, decision: &Decision) {
        let Decision { reports, packs, payments, adjustments, .. } = decision;
        self.summaries.extend(reports.iter().map(|v| (v.uid.clone(), v.verdict.summary())));
        self.summaries.extend(packs.iter().map(|v| (v.uid.clone(), v.verdict.summary())));
        self.summaries.extend(payments.iter().map(|v| (v.uid.clone(), v.verdict.summary())));
        self.summaries.extend(adjustments.iter().map(|v| (v.uid.clone(), v.verdict.summary())));
        self.reports.extend(reports.iter().map(|v| (v.name.clone(), v.verdict.clone())));
        self.packs.extend(packs.iter().map(|v| (v.name.clone(), v.verdict.clone())));
        self.payments.extend(payments.iter().map(|v| (v.name.clone(), v.verdict.clone())));
        self.adjustments.extend(adjustments.iter().map(|v| (v.name.clone(), v.verdict.clone())));
    }

    /// Adds a decision to those since the last action.
    fn add_to_action(&mut self, later: Decision) {
        if std::mem::take(&mut self.begins_action) {
            self.decision = later;
            return;
        }
        let before = std::mem::replace(&mut self.decision, later);
        let now = &mut self.decision;
        now.commit = now.commit.take().or(before.commit);
        now.entries.splice(..0, before.entries);
        now.closed_gaps.splice(..0, before.closed_gaps);
        add_earlier(&mut now.reports, before.reports);
        add_earlier(&mut now.packs, before.packs);
        add_earlier(&mut now.payments, before.payments);
        add_earlier(&mut now.adjustments, before.adjustments);
    }

    // ---- actions

    /// Executes `action` now, and decides unless the operator is down.
    pub fn apply(&mut self, action: &Action) -> &mut Self {
        self.begins_action = true;
        self.apply_on_top(action)
    }

    /// Advances the time to `at`, and executes `action`.
    fn apply_at(&mut self, at: &str, action: &Action) {
        self.arrive(at).apply_on_top(action);
    }

    fn apply_on_top(&mut self, action: &Action) -> &mut Self {
        let uid = self.uid();
        if let Some(change) = self.change(action, &uid) {
            self.make(change);
        }
        self.decide_unless_down()
    }

    /// Returns the change that `action` makes now, or `None` if nothing changes. A new object has the UID
    /// `uid`.
    pub fn change(&self, action: &Action, uid: &str) -> Option<Change> {
        let (uid, arrival) = (uid.to_owned(), self.now);
        let subscription = self.facts.subscription.as_ref();
        Some(match action.clone() {
            Action::Rest => return None,
            Action::Subscribe { .. } if subscription.is_some() => return None,
            Action::Subscribe { request, start_time } => Change::Subscription(Subscription {
                uid,
                generation: 1,
                arrival,
                request,
                start_time,
                alert_thresholds_percent: None,
                billing_details: None,
            }),
            Action::Edit { request } => {
                let before = subscription?.clone();
                Change::Subscription(Subscription { request, generation: before.generation + 1, ..before })
            }
            Action::Unsubscribe => Change::Unsubscribed,
            Action::Report { name, source, window, usage } => {
                Change::Report(Report { name, uid, arrival, source, window, usage: totals(&usage) })
            }
            Action::Buy { name, pack } => Change::Pack(PackOrder { name, uid, arrival, pack }),
            Action::Pay { name, invoice, state, amount } => {
                let (invoice, due) = self.invoice(&invoice);
                let (amount, currency) = (amount.unwrap_or(due), "USD".to_owned());
                Change::Payment(Payment { name, uid, arrival, invoice, state, amount, currency })
            }
            Action::Adjust { name, credits, expiration_time } => {
                let reason = REASON.to_owned();
                Change::Adjustment(Adjustment { name, uid, arrival, credits, reason, expiration_time })
            }
            Action::Delete { kind, name } => Change::Deleted(kind, name),
            Action::ChangeCatalog { edition } => Change::Catalog(edition),
        })
    }

    /// Returns name and amount of an invoice. For an account with fewer invoices it is the newest one. For an
    /// account without invoices it is an unknown invoice over 1.
    fn invoice(&self, choice: &InvoiceChoice) -> (String, Credits) {
        let ledger = self.ledger.as_ref();
        let find = |choice: &InvoiceChoice| ledger.and_then(|ledger| choice.find(ledger));
        let numbered = |number: u32| format!("acme-{}-{number:04}", self.facts.new_account_id);
        let found = find(choice).or_else(|| match choice {
            InvoiceChoice::BeforeNewest(_) => find(&InvoiceChoice::BeforeNewest(0)),
            _ => None,
        });
        found.unwrap_or_else(|| match choice {
            InvoiceChoice::Number(number) => (numbered(*number), credits("1")),
            InvoiceChoice::BeforeNewest(_) => (numbered(1), credits("1")),
            InvoiceChoice::Name(name) => (name.clone(), credits("1")),
        })
    }

    /// Makes a change of the facts or the catalog. Decides nothing.
    pub fn make(&mut self, change: Change) {
        if let Change::Catalog(edition) = change {
            self.catalog = self.editions[edition % self.editions.len()].clone();
        }
        change.make(&mut self.facts);
    }

    fn uid(&mut self) -> String {
        self.objects += 1;
        format!("uid-{}", self.objects)
    }

    fn decide_unless_down(&mut self) -> &mut Self {
        if !self.is_down {
            self.go_on();
        }
        self
    }

    // ---- the Subscription

    /// Creates the Subscription at `at`, Monthly and Automatic.
    pub fn subscribe(&mut self, at: &str, plan: &str) -> &mut Self {
        self.subscribe_with(at, plan, |_| {})
    }

    /// Creates the Subscription at `at`, Monthly and Automatic unless `set` changes that. It replaces one
    /// that exists.
    pub fn subscribe_with(&mut self, at: &str, plan: &str, set: impl FnOnce(&mut Subscription)) -> &mut Self {
        self.arrive(at);
        let mut subscription = Subscription {
            uid: self.uid(),
            generation: 1,
            arrival: self.now,
            request: monthly(plan),
            start_time: None,
            alert_thresholds_percent: None,
            billing_details: None,
        };
        set(&mut subscription);
        self.facts.subscription = Some(subscription);
        self.decide_unless_down()
    }

    /// Deletes the Subscription at `at`.
    pub fn unsubscribe(&mut self, at: &str) -> &mut Self {
        self.apply_at(at, &Action::Unsubscribe);
        self
    }

    /// Edits the Subscription at `at`.
    pub fn edit(&mut self, at: &str, edit: impl FnOnce(&mut Subscription)) -> &mut Self {
        self.arrive(at);
        let subscription = self.facts.subscription.as_mut().expect("a Subscription");
        edit(subscription);
        subscription.generation += 1;
        self.decide_unless_down()
    }

    /// Requests another plan, Monthly.
    pub fn ask(&mut self, at: &str, plan: &str) -> &mut Self {
        self.ask_for(at, plan, BillingPeriod::Monthly)
    }

    /// Requests another plan and billing period.
    pub fn ask_for(&mut self, at: &str, plan: &str, billing_period: BillingPeriod) -> &mut Self {
        self.edit(at, |subscription| {
            let renewal = subscription.request.renewal;
            subscription.request = Request { plan: plan.to_owned(), billing_period, renewal };
        })
    }

    /// Requests another renewal.
    pub fn set_renewal(&mut self, at: &str, renewal: Renewal) -> &mut Self {
        self.edit(at, |subscription| subscription.request.renewal = renewal)
    }

    // ---- objects

    /// Uses `amount` credits in the hour before `at`. A separate source reports them at `at`.
    pub fn consume(&mut self, at: &str, amount: &str) -> ReportVerdict {
        let source = format!("meter-{}", self.objects);
        self.report(at, &source, self.hour_before(at), amount)
    }

    /// Returns the hour before `at`.
    pub fn hour_before(&self, at: &str) -> Window {
        let end_time = self.instant(at);
        Window { start_time: seconds_after(end_time, -HOUR), end_time }
    }

    /// Reports `amount` credits (private egress of as many GB) at `at`.
    pub fn report(&mut self, at: &str, source: &str, window: Window, amount: &str) -> ReportVerdict {
        self.report_of(at, source, window, &[("Private", "StorageEgress", &format!("{amount}G"))])
    }

    /// Reports lines of node type, operation and quantity at `at`.
    pub fn report_of(
        &mut self,
        at: &str,
        source: &str,
        window: Window,
        usage: &[(&str, &str, &str)],
    ) -> ReportVerdict {
        let name = format!("report-{}", self.objects);
        let usage = usage.iter();
        let usage =
            usage.map(|(node_type, operation, quantity)| UsageLine::new(node_type, operation, *quantity));
        let (source, usage) = (source.to_owned(), usage.collect());
        self.apply_at(at, &Action::Report { name: name.clone(), source, window, usage });
        self.reports.get(&name).cloned().unwrap_or(ReportVerdict::Waits(UNSEEN))
    }

    /// Reports public usage of the hour before `at`.
    pub fn report_hour(&mut self, at: &str, source: &str, operation: &str, quantity: &str) -> ReportVerdict {
        self.report_of(at, source, self.hour_before(at), &[("Public", operation, quantity)])
    }

    /// Creates a CreditPack.
    pub fn buy(&mut self, at: &str, name: &str, pack: &str) -> PackVerdict {
        self.apply_at(at, &Action::Buy { name: name.to_owned(), pack: pack.to_owned() });
        self.packs.get(name).cloned().unwrap_or(PackVerdict::Waits(UNSEEN))
    }

    /// Reports a payment of the amount of the account's `number`th invoice.
    pub fn pay(&mut self, at: &str, name: &str, number: u32, state: PaymentState) -> PaymentVerdict {
        self.pay_invoice(at, name, InvoiceChoice::Number(number), state, None)
    }

    /// Reports a payment of an amount.
    pub fn pay_amount(
        &mut self,
        at: &str,
        name: &str,
        invoice: &str,
        state: PaymentState,
        amount: &str,
    ) -> PaymentVerdict {
        let invoice = InvoiceChoice::Name(invoice.to_owned());
        self.pay_invoice(at, name, invoice, state, Some(credits(amount)))
    }

    fn pay_invoice(
        &mut self,
        at: &str,
        name: &str,
        invoice: InvoiceChoice,
        state: PaymentState,
        amount: Option<Credits>,
    ) -> PaymentVerdict {
        self.apply_at(at, &Action::Pay { name: name.to_owned(), invoice, state, amount });
        self.payments.get(name).cloned().unwrap_or(PaymentVerdict::Waits(UNSEEN))
    }

    /// Creates a CreditAdjustment.
    pub fn adjust(
        &mut self,
        at: &str,
        name: &str,
        amount: &str,
        expiration: Option<&str>,
    ) -> AdjustmentVerdict {
        let (credits, expiration_time) = (credits(amount), expiration.map(time));
        self.apply_at(at, &Action::Adjust { name: name.to_owned(), credits, expiration_time });
        self.adjustments.get(name).cloned().unwrap_or(AdjustmentVerdict::Waits(UNSEEN))
    }

    // ---- results

    /// Returns the ledger of an account that has begun.
    pub fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().expect("an account")
    }

    /// Returns the balance.
    pub fn balance(&self) -> String {
        self.ledger().balance().expect("balance").to_string()
    }

    /// Returns the credits that late usage of the last period can still use.
    pub fn settling(&self) -> String {
        self.ledger().settling().expect("settling").to_string()
    }

    /// Returns the plan in force, or nothing.
    pub fn plan(&self) -> &str {
        self.ledger().terms.as_ref().map_or("", |terms| &terms.plan)
    }

    /// Returns number and window of the current period.
    pub fn period(&self) -> (u32, Window) {
        let period = self.ledger().period;
        (period.number, period.window.expect("a period"))
    }

    /// Returns the grant `id`, if it exists.
    pub fn grant(&self, id: &str) -> Option<&Grant> {
        self.ledger().grants.iter().find(|grant| grant.source.to_string() == id)
    }

    /// Returns the rest of the grant `id`, or 0 if it no longer exists.
    pub fn left(&self, id: &str) -> String {
        self.grant(id).map_or(Credits::ZERO, |grant| grant.remaining).to_string()
    }

    /// Returns the entries of `kind`.
    pub fn all(&self, kind: &str) -> Vec<&Entry> {
        self.entries.iter().filter(|entry| entry.detail.kind() == kind).collect()
    }

    /// Returns the number of the entries of `kind`.
    pub fn count(&self, kind: &str) -> usize {
        self.all(kind).len()
    }

    /// Returns the times of the entries of `kind`.
    pub fn times(&self, kind: &str) -> Vec<Timestamp> {
        self.all(kind).iter().map(|entry| entry.time).collect()
    }

    /// Returns the thresholds reported so far, in order.
    pub fn thresholds(&self) -> Vec<u32> {
        let percents = self.entries.iter().filter_map(|entry| match entry.detail {
            Detail::Threshold { percent } => Some(percent),
            _ => None,
        });
        percents.collect()
    }

    /// Returns `number:reason:state` of each invoice that the ledger holds.
    pub fn invoices(&self) -> Vec<String> {
        let shown = |invoice: &Invoice| {
            format!("{}:{}:{}", invoice.number, invoice.reason().as_str(), invoice.state.as_str())
        };
        self.ledger().invoices.iter().map(shown).collect()
    }
}

/// The wait of an object before its first decision.
const UNSEEN: Wait = Wait::Receipts;

/// Puts the earlier verdicts on other objects before `verdicts`.
fn add_earlier<T>(verdicts: &mut Vec<Verdict<T>>, mut earlier: Vec<Verdict<T>>) {
    if earlier.is_empty() {
        return;
    }
    let known: HashSet<&str> = verdicts.iter().map(|verdict| verdict.uid.as_str()).collect();
    earlier.retain(|verdict| !known.contains(verdict.uid.as_str()));
    verdicts.splice(..0, earlier);
}

/// Returns a report of one credit: private egress of one GB.
pub fn report_of_a_credit(name: &str, uid: &str, arrival: Timestamp, source: &str, window: Window) -> Report {
    Report {
        name: name.to_owned(),
        uid: uid.to_owned(),
        arrival,
        source: source.to_owned(),
        window,
        usage: totals(&[UsageLine::new("Private", "StorageEgress", "1G")]),
    }
}
