//! The invariants of a run, checked after every write and at the end.
//!
//! The oracle sees only the writes, and keeps its own record of charges and grants. It shares one part of the
//! operator's code: the ledger's decoder.

mod gate;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use flashgate_api::{CreditLedger, PaymentSpec, Subscription, UsageReport};
use flashgate_ledger::Credits;
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::ledger::{Charge, Ledger, Totals};
use flashgate_ledger::period::{Window, months_begun, seconds_after};
use flashgate_ledger::purchase::{OrderName, PurchaseState};
use flashgate_ledger::rating::rate;
use flashgate_preview::convert::{ledger_from_wire, report_fact};
use flashgate_testing::simulated::{Change, Object, ObjectKey, ObjectKind, Store, Writer};
use jiff::Timestamp;
use serde_json::Value;

/// Namespace of all objects that the oracle checks.
pub const NAMESPACE: &str = "sim";

/// Maximum clock difference in seconds before commits are held, plus a margin for the duration of a commit.
const TOLERANCE_SECONDS: i64 = 60 + 15;

/// Hours that an order waits for its Subscription.
const ORDER_WAITS_HOURS: i64 = 24;

/// Returns the key of an object in the checked namespace.
pub fn key(kind: ObjectKind, name: &str) -> ObjectKey {
    ObjectKey::new(kind, NAMESPACE, name)
}

/// A violated invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

/// Returns a violation with `text`, unless `holds`.
fn ensure(holds: bool, text: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation(text())) }
}

/// The oracle's record of one ledger.
#[derive(Clone, Debug)]
struct LedgerHistory {
    ledger: Ledger,
    /// The ledger before its last commit, if any.
    previous: Option<Ledger>,
    /// Whether a Subscription has referred to the ledger, or was deleted. Until then only the first commit is
    /// allowed.
    is_named: bool,
    hash: String,
    entries: Vec<String>,
    charges: BTreeMap<String, Charge>,
    /// The times of the commits.
    charge_times: BTreeMap<String, Timestamp>,
    windows: BTreeMap<String, Vec<Window>>,
    /// Grants that may be given only once: `plan/3`, `CreditPack/top-up`.
    granted_once: BTreeSet<String>,
    /// Grants in the first commit.
    first_grants: BTreeSet<String>,
    invoices: u32,
}

/// Checks the invariants of a run.
#[derive(Clone, Debug)]
pub struct Oracle {
    catalog: Catalog,
    /// Ledgers by UID.
    histories: BTreeMap<String, LedgerHistory>,
    /// UIDs of the ledgers of each account, in order.
    accounts: BTreeMap<String, Vec<String>>,
    /// Every report that ever existed, by UID.
    reports: HashMap<String, UsageReport>,
    /// Reports that have shown `Charged`, by UID.
    receipted: HashSet<String>,
    /// The time of the first refusal of each report, by UID.
    refusal_times: HashMap<String, Timestamp>,
    /// Objects whose status was removed, by UID.
    pub wiped: HashSet<String>,
    /// Names that the operator's sweep deleted.
    pub swept: BTreeSet<ObjectKey>,
    /// Orders that ever existed, by kind and name, with the requested amounts.
    orders: BTreeSet<(ObjectKind, String, String)>,
    reset: BTreeSet<String>,
}

impl Oracle {
    /// Returns an oracle without any history.
    pub fn new(catalog: Catalog) -> Self {
        Self {
            catalog,
            histories: BTreeMap::new(),
            accounts: BTreeMap::new(),
            reports: HashMap::new(),
            receipted: HashSet::new(),
            refusal_times: HashMap::new(),
            wiped: HashSet::new(),
            swept: BTreeSet::new(),
            orders: BTreeSet::new(),
            reset: BTreeSet::new(),
        }
    }

    /// Records that an administrator reset an account.
    pub fn note_reset(&mut self, account: &str) {
        self.reset.insert(account.to_owned());
    }

    /// Returns the accounts that were reset.
    pub const fn resets(&self) -> &BTreeSet<String> {
        &self.reset
    }

    /// Checks one write.
    pub fn check(&mut self, change: &Change, store: &Store) -> Result<(), Violation> {
        match (&change.before, &change.after) {
            (before, Some(Object::CreditLedger(after))) => self.check_commit(before.as_ref(), after, store),
            (_, None) => self.check_deletion(change),
            (None, Some(object)) => {
                self.note_order(object);
                Ok(())
            }
            (Some(_), Some(after)) if change.writer == Writer::User => {
                self.wiped.insert(after.uid().to_owned());
                Ok(())
            }
            (Some(_), Some(after)) => self.check_status(after, store),
        }
    }

    fn note_order(&mut self, object: &Object) {
        let key = object.key();
        let asks = match object {
            Object::UsageReport(report) => {
                self.reports.insert(object.uid().to_owned(), (**report).clone());
                return;
            }
            Object::CreditPack(pack) => {
                format!("{} {}", pack.spec.subscription_ref.name, pack.spec.pack)
            }
            Object::CreditAdjustment(adjustment) => {
                format!("{} {}", adjustment.spec.subscription_ref.name, adjustment.spec.credits)
            }
            Object::Payment(payment) => {
                let PaymentSpec { subscription_ref, invoice, state, amount, .. } = &payment.spec;
                format!("{} {invoice} {state:?} {}", subscription_ref.name, amount.0)
            }
            Object::Subscription(_) | Object::CreditLedger(_) => return,
        };
        self.orders.insert((key.kind, key.name, asks));
    }

    fn check_deletion(&mut self, change: &Change) -> Result<(), Violation> {
        let Some(before) = &change.before else { return Ok(()) };
        if change.writer == Writer::User {
            if let Object::Subscription(gone) = before
                && let Some(history) = self.last_history(gone.metadata.name.as_deref().unwrap_or_default())
            {
                history.is_named = true;
            }
            return Ok(());
        }
        let is_charged = self.charge_of(before.uid()).is_some();
        let is_rejected = before.state() == Some("Rejected");
        self.swept.insert(before.key());
        let may_be_refused = || self.may_be_refused(before) || self.was_refused_long_before(before.uid());
        let holds = if is_rejected { !is_charged || may_be_refused() } else { is_charged };
        ensure(holds && before.state().is_some(), || {
            format!("I6: {} was deleted as {:?}, charged: {is_charged}", before.key(), before.state())
        })
    }

    fn check_commit(
        &mut self,
        before: Option<&Object>,
        after: &CreditLedger,
        store: &Store,
    ) -> Result<(), Violation> {
        let (name, uid) =
            (after.metadata.name.clone().unwrap_or_default(), after.metadata.uid.clone().unwrap_or_default());
        let ledger = ledger_from_wire(&name, &after.spec)
            .map_err(|error| Violation(format!("ledger of {name} cannot be read: {error}")))?;
        ledger.check().map_err(|error| Violation(format!("ledger of {name}: {error}")))?;
        check_conservation(&name, &ledger)?;
        let limit = seconds_after(store.now(), TOLERANCE_SECONDS);
        let spec = &after.spec;
        ensure(spec.clock_time <= limit, || {
            format!("{name} was committed with the clock at {}, and it is {}", spec.clock_time, store.now())
        })?;
        let history = if let (Some(_), Some(history)) = (before, self.histories.get(&uid)) {
            if history.hash == spec.hash {
                return Ok(());
            }
            check_chain(&name, history, &ledger, &spec.previous_hash)?;
            ensure(history.is_named, || {
                format!("{name} has a second commit before its Subscription refers to it")
            })?;
            self.histories.remove(&uid)
        } else {
            self.check_beginning(&name, spec.sequence, &spec.previous_hash)?;
            self.accounts.entry(name.clone()).or_default().push(uid.clone());
            None
        };
        let mut history = history.unwrap_or_else(|| LedgerHistory::before(&ledger));
        self.check_charges(&name, &mut history, &ledger, store)?;
        Self::check_entries(&name, &mut history, &ledger, &spec.entries)?;
        if before.is_none() {
            history.first_grants.clone_from(&history.granted_once);
        }
        self.check_packs(&name, &ledger)?;
        history.hash.clone_from(&spec.hash);
        history.entries.clone_from(&spec.entries);
        let previous = std::mem::replace(&mut history.ledger, ledger);
        history.previous = before.is_some().then_some(previous);
        history.is_named |= store.get(&key(ObjectKind::Subscription, &name)).is_none();
        self.histories.insert(uid, history);
        Ok(())
    }

    fn check_beginning(&self, name: &str, sequence: i64, previous_hash: &str) -> Result<(), Violation> {
        let is_reset = self.reset.contains(name);
        ensure(is_reset || !self.accounts.contains_key(name), || format!("{name} was created twice"))?;
        ensure(sequence == 1 && previous_hash.is_empty(), || format!("I5: {name} starts at {sequence}"))
    }

    fn check_charges(
        &self,
        name: &str,
        history: &mut LedgerHistory,
        ledger: &Ledger,
        store: &Store,
    ) -> Result<(), Violation> {
        let mut consumed = history.ledger.totals.consumed;
        for charge in &ledger.unacknowledged {
            if let Some(known) = history.charges.get(&charge.uid) {
                if charge.credits.is_zero() {
                    // Law 9: a charge of nothing covers no window. It may be repeated if its receipt was
                    // lost.
                    continue;
                }
                ensure(known == charge, || format!("I2: receipt of {} changed", charge.uid))?;
                let is_kept = history.ledger.unacknowledged.contains(charge);
                ensure(is_kept, || format!("I2: {} was charged twice", charge.uid))?;
                continue;
            }
            self.check_charge(name, history, charge, ledger, store)?;
            consumed = add(consumed, charge.credits)?;
            history.charges.insert(charge.uid.clone(), charge.clone());
            history.charge_times.insert(charge.uid.clone(), store.now());
        }
        ensure(consumed == ledger.totals.consumed, || {
            format!("I2: {name} consumed {}, the sum of its charges is {consumed}", ledger.totals.consumed)
        })?;
        for charge in &history.ledger.unacknowledged {
            let dropped = !ledger.unacknowledged.contains(charge);
            let report = store.get(&key(ObjectKind::UsageReport, &charge.name));
            let is_gone = report.is_none_or(|report| report.uid() != charge.uid);
            ensure(!dropped || is_gone || self.receipted.contains(&charge.uid), || {
                format!("the receipt of {} was dropped before it was confirmed", charge.uid)
            })?;
        }
        Ok(())
    }

    fn check_charge(
        &self,
        name: &str,
        history: &mut LedgerHistory,
        charge: &Charge,
        ledger: &Ledger,
        store: &Store,
    ) -> Result<(), Violation> {
        let Some(report) = self.reports.get(&charge.uid) else {
            return Err(Violation(format!("{} was charged but never existed", charge.uid)));
        };
        let uid = &charge.uid;
        ensure(report.spec.subscription_ref.name == name, || format!("{uid} was charged to {name}"))?;
        let fact = report_fact(report).map_err(|error| Violation(error.to_string()))?;
        let mut credits = Credits::ZERO;
        for total in &fact.usage {
            let Some(rated) = self.catalog.rate(&total.node_type, &total.operation) else {
                return Err(Violation(format!("{uid} was charged without a rate")));
            };
            let cost = rate(total.quantity, rated).map_err(|error| Violation(error.to_string()))?;
            credits = add(credits, cost)?;
        }
        ensure(credits == charge.credits, || format!("{uid} costs {credits}, not {}", charge.credits))?;
        let window = fact.window;
        let latest = seconds_after(store.now(), TOLERANCE_SECONDS);
        ensure(window.end_time <= latest, || format!("{uid} was charged before the end of its window"))?;
        let accepted = i64::from(self.catalog.policies.accept_usage_for_seconds);
        ensure(seconds_after(window.start_time, accepted) >= fact.arrival, || {
            format!("{uid} was charged too late")
        })?;
        ensure(window.end_time > ledger.start_time, || {
            format!("{uid} is from before the start of the account")
        })?;
        if credits.is_zero() {
            return Ok(());
        }
        let windows = history.windows.entry(fact.source.clone()).or_default();
        ensure(!windows.iter().any(|charged| charged.overlaps(window)), || {
            format!("I2: {uid} overlaps a charge of {}", fact.source)
        })?;
        windows.push(window);
        let is_covered = ledger.coverage.conflict(&fact.source, window).is_some();
        ensure(is_covered, || format!("I2: the window of {uid} can be charged again"))
    }

    fn check_entries(
        name: &str,
        history: &mut LedgerHistory,
        ledger: &Ledger,
        entries: &[String],
    ) -> Result<(), Violation> {
        let kept = (0..=history.entries.len()).rev();
        let kept = kept
            .filter(|kept| *kept <= entries.len())
            .find(|kept| history.entries[history.entries.len() - kept..] == entries[..*kept]);
        let kept = kept.unwrap_or(0);
        let is_whole = kept > 0 || entries.len() < 20;
        let balance = |ledger: &Ledger| ledger.balance().map_err(|error| Violation(error.to_string()));
        let mut sum = balance(&history.ledger)?;
        let mut granted = history.ledger.totals;
        let mut new = Vec::new();
        for text in &entries[kept..] {
            let entry: Value = serde_json::from_str(text).map_err(|error| Violation(error.to_string()))?;
            let credits = amount(&entry, "/credits")?;
            sum = add(sum, credits)?;
            Self::check_entry(name, history, &entry, &mut granted)?;
            new.push(entry);
        }
        if is_whole {
            gate::check_since(name, &history.ledger, ledger, &new)?;
            ensure(sum == balance(ledger)?, || format!("I1: entries of {name} end at {sum}"))?;
            let (said, held) = (granted, ledger.totals);
            let same = (said.granted, said.purchased, said.adjusted)
                == (held.granted, held.purchased, held.adjusted);
            ensure(same, || format!("I3: entries of {name} sum to {said:?}, totals are {held:?}"))?;
        }
        Ok(())
    }

    fn check_entry(
        name: &str,
        history: &mut LedgerHistory,
        entry: &Value,
        totals: &mut Totals,
    ) -> Result<(), Violation> {
        let kind = entry["kind"].as_str().unwrap_or_default();
        let credits = amount(entry, "/credits")?;
        let object = entry.pointer("/detail/object").and_then(Value::as_str).unwrap_or_default();
        let (what, total) = match kind {
            "Granted" => (format!("plan/{}", entry["detail"]["periodNumber"]), &mut totals.granted),
            "Purchased" => (object.to_owned(), &mut totals.purchased),
            "Adjusted" => (object.to_owned(), &mut totals.adjusted),
            "Invoiced" => {
                history.invoices += 1;
                let number = entry["detail"]["invoice"].as_str().unwrap_or_default().to_owned();
                return ensure(history.granted_once.insert(number.clone()), || {
                    format!("{number} was issued twice")
                });
            }
            _ => return Ok(()),
        };
        *total = add(*total, credits)?;
        ensure(history.granted_once.insert(what.clone()), || format!("I3: {name} got {what} twice"))
    }

    /// Checks I4, and that every granted pack was ordered.
    fn check_packs(&self, name: &str, ledger: &Ledger) -> Result<(), Violation> {
        let limit = self.catalog.policies.pack_limit.max;
        for purchase in &ledger.purchases.records {
            let month = months_begun(ledger.start_time, purchase.arrival);
            let taken = ledger.purchases.places_taken(ledger.start_time, month, None);
            ensure(taken <= limit, || format!("I4: {name} has {taken} packs in month {month}"))?;
            let order = (ObjectKind::CreditPack, purchase.name.clone(), format!("{name} {}", purchase.pack));
            ensure(self.orders.contains(&order), || format!("{name} did not order {}", purchase.name))?;
        }
        for (adjustment, record) in &ledger.adjustments {
            let order =
                (ObjectKind::CreditAdjustment, adjustment.clone(), format!("{name} {}", record.credits));
            ensure(self.orders.contains(&order), || format!("no user created {adjustment} for {name}"))?;
        }
        Ok(())
    }

    /// Returns the current or last ledger of an account.
    fn last_history(&mut self, account: &str) -> Option<&mut LedgerHistory> {
        self.histories.get_mut(self.accounts.get(account)?.last()?)
    }

    /// Returns the ledger before the last commit, if any, and the ledger after it.
    pub fn last_commit(&self, uid: &str) -> Option<(Option<&Ledger>, &Ledger)> {
        self.histories.get(uid).map(|history| (history.previous.as_ref(), &history.ledger))
    }

    /// Returns the charge of a report in any ledger.
    fn charge_of(&self, uid: &str) -> Option<&Charge> {
        self.histories.values().find_map(|history| history.charges.get(uid))
    }

    /// Returns whether a report was charged after it had been refused for the whole retention time. This is a
    /// known limit: only a cache that old does not show the refusal.
    fn was_refused_long_before(&self, uid: &str) -> bool {
        let keep_for_seconds = i64::from(self.catalog.policies.reports.keep_for_seconds);
        let charged = self.histories.values().find_map(|history| history.charge_times.get(uid));
        let refused = self.refusal_times.get(uid);
        refused
            .zip(charged)
            .is_some_and(|(refused, charged)| seconds_after(*refused, keep_for_seconds) <= *charged)
    }

    fn check_status(&mut self, after: &Object, store: &Store) -> Result<(), Violation> {
        match after {
            Object::UsageReport(report) => self.check_receipt(report, store),
            Object::Subscription(subscription) => self.check_subscription(subscription),
            _ => self.check_order(after, store),
        }
    }

    fn check_receipt(&mut self, report: &UsageReport, store: &Store) -> Result<(), Violation> {
        let uid = report.metadata.uid.clone().unwrap_or_default();
        let status = report.status.clone().unwrap_or_default();
        let reason = ready_reason(&status.conditions);
        let state = Object::from(report.clone()).state();
        if state == Some("Rejected") {
            self.refusal_times.entry(uid.clone()).or_insert(store.now());
        }
        match state {
            Some("Charged") => {
                self.receipted.insert(uid.clone());
                let charged = self.charge_of(&uid).map(|charge| charge.credits.to_string());
                let shown = status.credits.map(|credits| credits.0);
                ensure(charged.is_some() && charged == shown, || {
                    format!("{uid} shows {shown:?}, but {charged:?} was charged")
                })
            }
            Some(_) if reason == "TooLate" => {
                let accepted = i64::from(self.catalog.policies.accept_usage_for_seconds);
                let end = seconds_after(report.spec.window.start_time, accepted);
                let now = seconds_after(store.now(), TOLERANCE_SECONDS);
                ensure(now >= end, || {
                    format!("{uid} was refused as too late at {now}, but was in time until {end}")
                })
            }
            _ => Ok(()),
        }
    }

    fn check_order(&self, after: &Object, store: &Store) -> Result<(), Violation> {
        let conditions = match after {
            Object::CreditPack(pack) => pack.status.as_ref().map(|status| &status.conditions),
            Object::CreditAdjustment(adjustment) => {
                adjustment.status.as_ref().map(|status| &status.conditions)
            }
            Object::Payment(payment) => payment.status.as_ref().map(|status| &status.conditions),
            _ => None,
        };
        let reason = conditions.map_or("", |conditions| ready_reason(conditions));
        let arrival = after.metadata().creation_timestamp.as_ref().map(|time| time.0);
        if reason == "SubscriptionNotFound"
            && after.state().is_some()
            && let Some(arrival) = arrival
            && !self.remembers_refusal(after)
        {
            let now = seconds_after(store.now(), TOLERANCE_SECONDS);
            let end = seconds_after(arrival, ORDER_WAITS_HOURS * 3_600);
            return ensure(now >= end, || format!("{} was refused at {now}, before {end}", after.key()));
        }
        Ok(())
    }

    /// Returns whether a ledger remembers that it refused this name. It then refuses it again at once.
    fn remembers_refusal(&self, object: &Object) -> bool {
        let name = object.key().name;
        self.histories
            .values()
            .any(|history| history.ledger.refusals.iter().any(|record| record.name == name))
    }

    fn check_subscription(&mut self, subscription: &Subscription) -> Result<(), Violation> {
        let name = subscription.metadata.name.clone().unwrap_or_default();
        let status = subscription.status.clone().unwrap_or_default();
        if let Some(history) = status.ledger.as_ref().and_then(|shown| self.histories.get_mut(&shown.uid)) {
            history.is_named = true;
        }
        let reason = ready_reason(&status.conditions);
        let is_trouble = matches!(
            reason,
            "LedgerInconsistent" | "LedgerRegression" | "LedgerMissing" | "LedgerNewerFormat" | "Undecodable"
        );
        ensure(!is_trouble || self.reset.contains(&name), || format!("{name} shows {reason}"))
    }

    /// Checks the final state.
    pub fn check_final_state(&self, store: &Store) -> Result<(), Violation> {
        for object in store.objects() {
            match object {
                Object::Subscription(subscription) => self.check_final_subscription(subscription, store)?,
                Object::UsageReport(_) => self.check_final_report(object)?,
                Object::CreditPack(_) | Object::Payment(_) | Object::CreditAdjustment(_) => {
                    self.check_final_order(object)?;
                }
                Object::CreditLedger(_) => {}
            }
        }
        for (name, uids) in &self.accounts {
            let held = uids.last().and_then(|uid| self.histories.get(uid));
            let issued = held.map_or(0, |history| history.ledger.next_invoice - 1);
            let said = held.map_or(0, |history| history.invoices);
            ensure(said <= issued, || format!("{name} issued {issued} invoices, but {said} were published"))?;
        }
        Ok(())
    }

    fn check_final_subscription(&self, subscription: &Subscription, store: &Store) -> Result<(), Violation> {
        let name = subscription.metadata.name.clone().unwrap_or_default();
        let shown = subscription.status.as_ref().and_then(|status| status.ledger.clone());
        let held = match store.get(&key(ObjectKind::CreditLedger, &name)) {
            Some(Object::CreditLedger(ledger)) => Some(ledger),
            _ => None,
        };
        let is_same = match (&shown, held) {
            (Some(shown), Some(held)) => shown.hash == held.spec.hash && shown.sequence == held.spec.sequence,
            (None, None) => true,
            _ => false,
        };
        ensure(is_same, || format!("{name} shows {shown:?}"))?;
        match shown.and_then(|shown| self.histories.get(&shown.uid)) {
            Some(history) => {
                let policy = self.catalog.policies.gate;
                gate::check_shown(subscription, &history.ledger, policy, store.now())
            }
            None => Ok(()),
        }
    }

    fn check_final_report(&self, report: &Object) -> Result<(), Violation> {
        let uid = report.uid();
        let charge = self.charge_of(uid);
        match report.state() {
            Some("Charged") => {
                ensure(charge.is_some(), || format!("{uid} shows a charge that does not exist"))
            }
            state => ensure(charge.is_none() || self.may_be_refused(report), || {
                format!("{uid} was charged and shows {state:?}")
            }),
        }
    }

    /// Returns whether a report may be refused although it was charged. A charged report that lost its status
    /// is a duplicate of itself. A reset account has no memory of it.
    fn may_be_refused(&self, report: &Object) -> bool {
        let uid = report.uid();
        let account = match report {
            Object::UsageReport(report) => report.spec.subscription_ref.name.as_str(),
            _ => "",
        };
        self.wiped.contains(uid) && self.receipted.contains(uid) || self.reset.contains(account)
    }

    fn check_final_order(&self, object: &Object) -> Result<(), Violation> {
        let (key, account, pack) = match object {
            Object::CreditPack(pack) => {
                (object.key(), &pack.spec.subscription_ref.name, Some(&pack.spec.pack))
            }
            Object::Payment(payment) => (object.key(), &payment.spec.subscription_ref.name, None),
            Object::CreditAdjustment(adjustment) => {
                (object.key(), &adjustment.spec.subscription_ref.name, None)
            }
            _ => return Ok(()),
        };
        if self.reset.contains(account) {
            return Ok(());
        }
        let history = self.accounts.get(account).and_then(|uids| self.histories.get(uids.last()?));
        if history.is_some_and(|history| history.started_while_refused(object)) {
            return Ok(());
        }
        let ledger = history.map(|history| &history.ledger);
        let holds = ledger.map(|ledger| match key.kind {
            ObjectKind::CreditPack => match ledger.purchases.record(&key.name) {
                Some(purchase) => {
                    pack == Some(&purchase.pack) && !matches!(purchase.state, PurchaseState::Refused { .. })
                }
                // After 24 months only the name is kept.
                None => pack.is_some_and(|pack| {
                    ledger.purchases.names.contains(&OrderName::of(&key.name, pack))
                }),
            },
            ObjectKind::Payment => ledger.invoice_of_payment(&key.name).is_some(),
            _ => ledger.adjustments.get(&key.name).is_some_and(|record| {
                matches!(object, Object::CreditAdjustment(stated) if stated.spec.credits.0 == record.credits.to_string())
            }),
        });
        // Each Payment with this name is decided separately, and the ledger keeps only the name.
        let statements = self.orders.iter().filter(|(kind, name, _)| (*kind, name) == (key.kind, &key.name));
        if key.kind == ObjectKind::Payment && statements.count() > 1 {
            return Ok(());
        }
        let holds = holds.unwrap_or(false);
        let state = object.state();
        let shows = matches!(state, Some("Granted" | "Refunded" | "AwaitingPayment" | "Applied"));
        // Objects that are still waiting are correct: a restarted operator would write nothing.
        let waits = state.is_none();
        ensure(holds == shows || waits || key.kind == ObjectKind::Payment && !holds, || {
            format!("{key} shows {state:?}, in the ledger: {holds}")
        })
    }
}

impl LedgerHistory {
    /// Returns the history before the first commit, `first`.
    fn before(first: &Ledger) -> Self {
        Self {
            ledger: Ledger::open(
                first.name.clone(),
                first.account_id.clone(),
                first.subscription.clone(),
                first.start_time,
            ),
            previous: None,
            is_named: false,
            hash: String::new(),
            entries: Vec::new(),
            charges: BTreeMap::new(),
            charge_times: BTreeMap::new(),
            windows: BTreeMap::new(),
            granted_once: BTreeSet::new(),
            first_grants: BTreeSet::new(),
            invoices: 0,
        }
    }

    /// Returns whether an order was refused because no account started in time, although the first commit
    /// granted it. Without a ledger, nothing prevents this race of two operators: one starts the account
    /// while the other sees that the Subscription was deleted.
    fn started_while_refused(&self, order: &Object) -> bool {
        let conditions = match order {
            Object::CreditPack(pack) => pack.status.as_ref().map(|status| &status.conditions),
            Object::CreditAdjustment(adjustment) => {
                adjustment.status.as_ref().map(|status| &status.conditions)
            }
            _ => None,
        };
        let is_refused =
            conditions.is_some_and(|conditions| ready_reason(conditions) == "SubscriptionNotFound");
        let ObjectKey { kind, name, .. } = order.key();
        is_refused && self.first_grants.contains(&format!("{}/{name}", kind.as_str()))
    }
}

/// Checks I1 on the totals.
fn check_conservation(name: &str, ledger: &Ledger) -> Result<(), Violation> {
    let Totals { granted, purchased, adjusted, consumed, expired, refunded } = ledger.totals;
    let current = ledger.grants.iter().filter(|grant| grant.is_current());
    let remaining: i128 = current.map(|grant| grant.remaining.nanos()).sum();
    let came_in = granted.nanos() + purchased.nanos() + adjusted.nanos();
    let is_there = consumed.nanos() + expired.nanos() + refunded.nanos() + remaining - ledger.debt.nanos();
    ensure(came_in == is_there, || format!("I1: {name}: received {came_in}, accounted for {is_there}"))
}

/// Checks I5.
fn check_chain(
    name: &str,
    history: &LedgerHistory,
    next: &Ledger,
    previous_hash: &str,
) -> Result<(), Violation> {
    next.check_follows(&history.ledger).map_err(|error| Violation(format!("I5: {name}: {error}")))?;
    ensure(next.sequence == history.ledger.sequence + 1 && previous_hash == history.hash, || {
        format!("I5: {name} goes from {} to {}", history.ledger.sequence, next.sequence)
    })?;
    ensure(next.account_id == history.ledger.account_id, || format!("I5: {name} has a different ID"))?;
    let (before, after) = (&history.ledger.subscription, &next.subscription);
    ensure(before.uid != after.uid || before.generation <= after.generation, || {
        format!("{name} used generation {} after generation {}", after.generation, before.generation)
    })
}

fn ready_reason(conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]) -> &str {
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    ready.map_or("", |condition| condition.reason.as_str())
}

fn amount(entry: &Value, pointer: &str) -> Result<Credits, Violation> {
    let text = entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    text.parse().map_err(|_| Violation(format!("an entry has no amount at {pointer}: {entry}")))
}

fn add(one: Credits, other: Credits) -> Result<Credits, Violation> {
    one.checked_add(other).map_err(|error| Violation(error.to_string()))
}
