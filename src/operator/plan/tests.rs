//! A table of situations and the step that the plan returns for each. Each situation is planned twice.

use std::sync::Arc;

use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription, UsageReport};
use flashgate_cluster::AccountKey;
use flashgate_ledger::Credits;
use flashgate_ledger::facts::Facts;
use flashgate_preview::convert::{
    Commit, Recording, ledger_from_wire, ledger_to_wire, new_account_id, subscription_fact,
};
use flashgate_testing::values::time;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::catalog;
use crate::operator::cache::Cache;
use crate::operator::memory::RecordedLedger;
use crate::operator::stored_ledger::{ACCEPT_SEQUENCE, StoredLedger};

const START: &str = "2026-01-31T10:00:00Z";

/// The input of a plan for the account `sim/acme`.
struct Situation {
    catalog: Catalog,
    subscription: Option<Subscription>,
    ledger: Option<CreditLedger>,
    cache: Cache,
    now: jiff::Timestamp,
    reads: Vec<Part>,
    is_paused: bool,
    trusts_the_clock: bool,
    history: HistoryMode,
    memory: Memory,
}

type Change = fn(&mut Situation);

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("object")
}

/// An object of the account, created a minute after its start.
fn stated<T: serde::de::DeserializeOwned>(name: &str, mut spec: Value) -> T {
    spec["subscriptionRef"] = json!({"name": "acme"});
    of(json!({
        "metadata": {
            "name": name, "namespace": "sim", "uid": format!("{name}-1"), "generation": 1, "resourceVersion": "7",
            "creationTimestamp": "2026-01-31T10:01:00Z",
        },
        "spec": spec,
    }))
}

impl Situation {
    /// An account without objects, two minutes after its usual start.
    fn new() -> Self {
        Self {
            catalog: catalog::shipped(),
            subscription: None,
            ledger: None,
            cache: Cache::default(),
            now: time(START) + SignedDuration::from_mins(2),
            reads: Vec::new(),
            is_paused: false,
            trusts_the_clock: true,
            history: HistoryMode::Off,
            memory: Memory::default(),
        }
    }

    fn subscribe(&mut self) {
        self.subscription = Some(of(json!({
            "metadata": {
                "name": "acme", "namespace": "sim", "uid": "subscription-1", "generation": 1, "resourceVersion": "5",
                "creationTimestamp": START,
            },
            "spec": {"plan": "starter"},
        })));
    }

    /// Commits the decision at the account's start.
    fn begin(&mut self) {
        let subscription = subscription_fact(self.subscription.as_ref().expect("subscribed")).expect("fact");
        let facts = Facts {
            name: "acme".to_owned(),
            new_account_id: new_account_id(&subscription.uid, time(START)),
            instant_is_open: true,
            subscription: Some(subscription),
            ..Facts::default()
        };
        let decision = decide(None, &facts, &self.catalog, time(START)).expect("invariants");
        let ledger = decision.commit.expect("a commit");
        let spec = ledger_to_wire(&ledger, None, &decision.entries, Commit::of("sim/acme", "test"));
        let mut object = CreditLedger::new("acme", spec);
        object.metadata.namespace = Some("sim".to_owned());
        object.metadata.uid = Some("ledger-1".to_owned());
        object.metadata.resource_version = Some("6".to_owned());
        self.ledger = Some(object);
    }

    /// Sets `status.ledger` of the Subscription to `sequence` and `uid`.
    fn show(&mut self, uid: &str, sequence: i64) {
        let hash = self.ledger.as_ref().map_or_else(String::new, |ledger| ledger.spec.hash.clone());
        let status = json!({"ledger": {"uid": uid, "sequence": sequence, "hash": hash}});
        self.subscription.as_mut().expect("subscribed").status = Some(of(status));
    }

    fn stored(&mut self) -> &mut CreditLedger {
        self.ledger.as_mut().expect("begun")
    }

    fn object(&mut self) -> &mut Subscription {
        self.subscription.as_mut().expect("subscribed")
    }

    fn plan(&self) -> String {
        let key = AccountKey { namespace: "sim".to_owned(), name: "acme".to_owned() };
        let mut view = View::of(&self.cache, &key, self.now);
        view.subscription = self.subscription.clone().map(Arc::new);
        view.ledger = self.ledger.clone().map(|object| Arc::new(StoredLedger::new(object)));
        for part in &self.reads {
            match part {
                Part::Time => {}
                Part::Ledger => view.take_ledger(view.ledger.clone()),
                Part::Subscription => view.take_subscription(view.subscription.clone()),
            }
        }
        let context = Context {
            catalog: &self.catalog,
            is_paused: self.is_paused,
            trusts_the_clock: self.trusts_the_clock,
            history: self.history,
            allows_test_clocks: false,
        };
        let planned = name(&plan(&view, &self.memory, &context));
        assert_eq!(name(&plan(&view, &self.memory, &context)), planned, "planned again");
        planned
    }
}

/// Returns the name of a step in the table.
fn name(planned: &Result<Step, ConvertError>) -> String {
    let trouble = |trouble: &Trouble| {
        let shown = format!("{trouble:?}");
        shown.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
    };
    match planned {
        Err(_) => "cannot be understood".to_owned(),
        Ok(Step::Rest) => "rest".to_owned(),
        Ok(Step::Read(part)) => format!("read {part:?}"),
        Ok(Step::NameLedger(_)) => "name the ledger".to_owned(),
        Ok(Step::Accept) => "accept".to_owned(),
        Ok(Step::Report(reported)) => format!("report {}", trouble(reported)),
        Ok(Step::Act(action)) if action.decision.commit.is_some() => "commit".to_owned(),
        Ok(Step::Act(_)) => "write what is due".to_owned(),
    }
}

// The objects that exist.

fn subscribed(situation: &mut Situation) {
    situation.subscribe();
}

fn starts_later(situation: &mut Situation) {
    situation.object().spec.start_time = Some(time("2026-03-01T00:00:00Z"));
}

fn is_of_a_fraction(situation: &mut Situation) {
    situation.object().spec.start_time = Some(time("2026-01-31T10:00:00.5Z"));
}

/// An account whose Subscription names the ledger.
fn begun(situation: &mut Situation) {
    situation.subscribe();
    situation.begin();
    situation.show("ledger-1", 1);
}

fn is_not_named(situation: &mut Situation) {
    situation.object().status = None;
}

fn another_is_named(situation: &mut Situation) {
    situation.show("ledger-0", 1);
}

fn a_later_one_was_shown(situation: &mut Situation) {
    situation.show("ledger-1", 2);
}

fn the_ledger_is_gone(situation: &mut Situation) {
    situation.ledger = None;
}

fn the_subscription_is_gone(situation: &mut Situation) {
    situation.subscription = None;
}

fn the_subscription_is_being_deleted(situation: &mut Situation) {
    let deletion = of(json!("2026-01-31T10:01:30Z"));
    situation.object().metadata.deletion_timestamp = Some(deletion);
}

fn the_subscription_is_another(situation: &mut Situation) {
    situation.object().metadata.uid = Some("subscription-2".to_owned());
}

fn the_subscription_is_older(situation: &mut Situation) {
    situation.object().metadata.generation = Some(0);
}

fn an_upgrade_is_asked_for(situation: &mut Situation) {
    let subscription = situation.object();
    subscription.metadata.generation = Some(2);
    "growth".clone_into(&mut subscription.spec.plan);
}

fn thresholds_are_edited(situation: &mut Situation) {
    let subscription = situation.object();
    subscription.metadata.generation = Some(2);
    subscription.spec.alert_thresholds_percent = Some(vec![10]);
}

fn the_period_is_over(situation: &mut Situation) {
    situation.now = time("2026-03-01T00:00:00Z");
}

fn the_ledger_was_edited(situation: &mut Situation) {
    situation.stored().spec.writer.push_str(" and somebody else");
}

fn the_ledger_is_of_a_later_format(situation: &mut Situation) {
    situation.stored().spec.format_version = 99;
}

fn an_amount_is_none(situation: &mut Situation) {
    situation.stored().spec.debt = of(json!("many"));
}

fn the_content_is_accepted(situation: &mut Situation) {
    let sequence = situation.stored().spec.sequence.to_string();
    situation.stored().metadata.annotations = Some([(ACCEPT_SEQUENCE.to_owned(), sequence)].into());
}

fn another_sequence_is_accepted(situation: &mut Situation) {
    situation.stored().metadata.annotations = Some([(ACCEPT_SEQUENCE.to_owned(), "9".to_owned())].into());
}

// The facts.

fn reports(situation: &mut Situation, name: &str, operation: &str, window: (&str, &str)) {
    let report = stated::<UsageReport>(
        name,
        json!({
            "source": name, "window": {"startTime": window.0, "endTime": window.1},
            "usage": [{"nodeType": "Public", "operation": operation, "quantity": "1G"}],
        }),
    );
    situation.cache.reports.put(report).expect("a report");
}

const A_MINUTE: (&str, &str) = ("2026-01-31T10:00:00Z", "2026-01-31T10:01:00Z");

fn usage_is_reported(situation: &mut Situation) {
    reports(situation, "gw", "StorageEgress", A_MINUTE);
}

fn usage_without_a_rate_is_reported(situation: &mut Situation) {
    reports(situation, "unknown", "Teleportation", A_MINUTE);
}

fn usage_of_later_is_reported(situation: &mut Situation) {
    reports(situation, "later", "StorageEgress", ("2026-01-31T10:00:00Z", "2026-01-31T11:00:00Z"));
}

fn usage_of_long_ago_is_reported(situation: &mut Situation) {
    reports(situation, "old", "StorageEgress", ("2025-01-01T00:00:00Z", "2025-01-01T01:00:00Z"));
}

fn a_pack_is_ordered(situation: &mut Situation) {
    let pack = stated::<CreditPack>("top-up", json!({"pack": "plus-100"}));
    situation.cache.packs.put(pack).expect("a pack");
}

fn an_unknown_pack_is_ordered(situation: &mut Situation) {
    let pack = stated::<CreditPack>("huge", json!({"pack": "plus-1000000"}));
    situation.cache.packs.put(pack).expect("a pack");
}

fn credits_are_given(situation: &mut Situation) {
    let adjustment = stated::<CreditAdjustment>("goodwill", json!({"credits": "5", "reason": "a test"}));
    situation.cache.adjustments.put(adjustment).expect("an adjustment");
}

fn money_for_no_invoice_comes(situation: &mut Situation) {
    let spec = json!({"invoice": "acme-0-9999", "state": "Settled", "amount": "1", "currency": "USD"});
    situation.cache.payments.put(stated::<Payment>("payment", spec)).expect("a payment");
}

fn a_day_has_passed(situation: &mut Situation) {
    situation.now = time("2026-02-02T10:00:00Z");
}

// The reads and the rest of the context.

fn ledger_read(situation: &mut Situation) {
    situation.reads.push(Part::Ledger);
}

fn subscription_read(situation: &mut Situation) {
    situation.reads.push(Part::Subscription);
}

fn paused(situation: &mut Situation) {
    situation.is_paused = true;
}

fn the_time_is_not_known(situation: &mut Situation) {
    situation.trusts_the_clock = false;
}

fn a_commit_is_in_doubt(situation: &mut Situation) {
    situation.memory.is_in_doubt = true;
}

/// The history store has none of the ledger's entries, which fill the room for them.
fn the_history_is_behind(situation: &mut Situation) {
    situation.history = HistoryMode::Recorded;
    let stored = situation.stored();
    let ledger = ledger_from_wire("acme", &stored.spec).expect("a ledger");
    let next = Ledger { sequence: ledger.sequence + 1, ..ledger };
    let balance = next.balance().expect("balance");
    let entry = Entry {
        time: time(START),
        credits: Credits::ZERO,
        balance,
        detail: Detail::Threshold { percent: 80 },
    };
    let recording = Recording { store: None, sequence: 0 };
    let commit = Commit { subscription: "sim/acme", writer: "test", recording: Some(&recording) };
    stored.spec = ledger_to_wire(&next, Some(&stored.spec), &vec![entry; 300], commit);
    situation.show("ledger-1", 2);
}

fn the_history_caught_up(situation: &mut Situation) {
    let hash = situation.stored().spec.hash.clone();
    situation.memory.recorded = Some(RecordedLedger { hash, store: "store-1".to_owned() });
}

/// Each situation, with its construction and the expected step.
const SITUATIONS: &[(&[Change], &str)] = &[
    // Nothing to do.
    (&[], "rest"),
    (&[begun, paused], "rest"),
    (&[begun, usage_is_reported, paused], "rest"),
    (&[begun], "write what is due"),
    // The time.
    (&[begun, the_time_is_not_known], "read Time"),
    (&[begun, ledger_read, subscription_read, the_time_is_not_known], "read Time"),
    (&[the_time_is_not_known], "rest"),
    // A commit whose outcome is unknown.
    (&[begun, a_commit_is_in_doubt], "read Ledger"),
    (&[begun, a_commit_is_in_doubt, ledger_read], "write what is due"),
    (&[begun, a_commit_is_in_doubt, the_time_is_not_known], "read Time"),
    (&[subscribed, a_commit_is_in_doubt], "read Ledger"),
    // The first commit needs a read of the ledger, then of the Subscription.
    (&[subscribed], "read Ledger"),
    (&[subscribed, ledger_read], "read Subscription"),
    (&[subscribed, subscription_read], "read Ledger"),
    (&[subscribed, subscription_read, ledger_read], "read Subscription"),
    (&[subscribed, ledger_read, subscription_read], "commit"),
    (&[subscribed, starts_later], "write what is due"),
    (&[subscribed, is_of_a_fraction], "cannot be understood"),
    (&[subscribed, the_subscription_is_being_deleted], "write what is due"),
    // A charge is written with the cached resource version, so it needs no read.
    (&[begun, usage_is_reported], "commit"),
    (&[begun, usage_is_reported, ledger_read], "commit"),
    (&[begun, usage_of_later_is_reported], "write what is due"),
    (&[begun, credits_are_given], "commit"),
    (&[begun, a_pack_is_ordered], "commit"),
    // While the history is behind, reports wait and everything else goes on.
    (&[begun, the_history_is_behind, usage_is_reported], "read Ledger"),
    (&[begun, the_history_is_behind, usage_is_reported, ledger_read], "write what is due"),
    (&[begun, the_history_is_behind, credits_are_given], "commit"),
    (&[begun, the_history_is_behind, the_history_caught_up, usage_is_reported], "commit"),
    // Refusals are final, so they need a read of the ledger. Refusals of orders then need a read of the
    // Subscription.
    (&[begun, usage_without_a_rate_is_reported], "read Ledger"),
    (&[begun, usage_without_a_rate_is_reported, ledger_read], "write what is due"),
    (&[begun, usage_of_long_ago_is_reported], "read Ledger"),
    (&[begun, usage_of_long_ago_is_reported, ledger_read], "write what is due"),
    (&[begun, usage_is_reported, usage_without_a_rate_is_reported], "read Ledger"),
    (&[begun, usage_is_reported, usage_without_a_rate_is_reported, ledger_read], "commit"),
    (&[begun, an_unknown_pack_is_ordered], "read Subscription"),
    (&[begun, an_unknown_pack_is_ordered, ledger_read], "read Subscription"),
    (&[begun, an_unknown_pack_is_ordered, subscription_read], "commit"),
    (&[begun, an_unknown_pack_is_ordered, subscription_read, ledger_read], "read Subscription"),
    (&[begun, money_for_no_invoice_comes], "read Subscription"),
    (&[begun, money_for_no_invoice_comes, subscription_read], "commit"),
    // Plan changes and period boundaries depend on the Subscription.
    (&[begun, an_upgrade_is_asked_for], "read Subscription"),
    (&[begun, an_upgrade_is_asked_for, subscription_read], "commit"),
    (&[begun, an_upgrade_is_asked_for, subscription_read, ledger_read], "read Subscription"),
    (&[begun, thresholds_are_edited], "write what is due"),
    (&[begun, the_period_is_over], "read Subscription"),
    (&[begun, the_period_is_over, subscription_read], "commit"),
    // A Subscription that is older than the one in the ledger, or another object.
    (&[begun, the_subscription_is_older], "read Subscription"),
    (&[begun, the_subscription_is_older, usage_is_reported], "read Subscription"),
    (&[begun, the_subscription_is_older, subscription_read], "write what is due"),
    (&[begun, the_subscription_is_another], "read Subscription"),
    (&[begun, the_subscription_is_another, subscription_read], "commit"),
    // An account without a Subscription.
    (&[begun, the_subscription_is_gone], "write what is due"),
    (&[begun, the_subscription_is_gone, credits_are_given], "write what is due"),
    (&[begun, the_subscription_is_gone, credits_are_given, a_day_has_passed], "read Subscription"),
    (&[begun, the_subscription_is_gone, credits_are_given, a_day_has_passed, subscription_read], "commit"),
    (&[begun, the_subscription_is_gone, usage_is_reported], "write what is due"),
    (&[begun, the_subscription_is_gone, the_period_is_over], "read Subscription"),
    (&[begun, the_subscription_is_gone, the_period_is_over, subscription_read], "commit"),
    (&[begun, the_subscription_is_being_deleted, usage_is_reported], "write what is due"),
    // The Subscription names the ledger before the next commit.
    (&[begun, is_not_named], "write what is due"),
    (&[begun, is_not_named, usage_is_reported], "name the ledger"),
    (&[begun, is_not_named, an_upgrade_is_asked_for], "read Subscription"),
    (&[begun, is_not_named, an_upgrade_is_asked_for, subscription_read], "name the ledger"),
    (&[begun, another_is_named, usage_is_reported], "name the ledger"),
    // A missing ledger: the plan reads the ledger, then the Subscription that names it, then the ledger again.
    (&[begun, the_ledger_is_gone], "read Ledger"),
    (&[begun, the_ledger_is_gone, ledger_read], "read Subscription"),
    (&[begun, the_ledger_is_gone, ledger_read, subscription_read], "read Ledger"),
    (&[begun, the_ledger_is_gone, ledger_read, subscription_read, ledger_read], "report Missing"),
    (&[begun, the_ledger_is_gone, subscription_read, ledger_read], "report Missing"),
    // A ledger that is older than the one in the status.
    (&[begun, a_later_one_was_shown], "read Ledger"),
    (&[begun, a_later_one_was_shown, ledger_read], "report Regression"),
    (&[begun, a_later_one_was_shown, ledger_read, subscription_read], "read Ledger"),
    (&[begun, a_later_one_was_shown, the_content_is_accepted, ledger_read], "accept"),
    // A ledger that cannot be trusted or read.
    (&[begun, the_ledger_was_edited], "read Ledger"),
    (&[begun, the_ledger_was_edited, ledger_read], "report Inconsistent"),
    (&[begun, the_ledger_was_edited, usage_is_reported, ledger_read], "report Inconsistent"),
    (&[begun, the_ledger_was_edited, the_content_is_accepted], "read Ledger"),
    (&[begun, the_ledger_was_edited, the_content_is_accepted, ledger_read], "accept"),
    (&[begun, the_ledger_was_edited, another_sequence_is_accepted, ledger_read], "report Inconsistent"),
    (&[begun, the_ledger_is_of_a_later_format], "read Ledger"),
    (&[begun, the_ledger_is_of_a_later_format, ledger_read], "report NewerFormat"),
    (&[begun, the_ledger_is_of_a_later_format, the_content_is_accepted, ledger_read], "report NewerFormat"),
    (&[begun, an_amount_is_none, the_content_is_accepted, ledger_read], "report Undecodable"),
    // Facts without an account.
    (&[usage_is_reported], "write what is due"),
    (&[usage_of_long_ago_is_reported], "read Ledger"),
    (&[usage_of_long_ago_is_reported, ledger_read], "write what is due"),
    (&[credits_are_given], "write what is due"),
    (&[credits_are_given, a_day_has_passed], "read Ledger"),
    (&[credits_are_given, a_day_has_passed, ledger_read], "read Subscription"),
    (&[credits_are_given, a_day_has_passed, ledger_read, subscription_read], "write what is due"),
];

#[test]
fn each_situation_has_its_step() {
    assert!(SITUATIONS.len() >= 60);
    let mut wrong = Vec::new();
    for (index, (changes, expected)) in SITUATIONS.iter().enumerate() {
        let mut situation = Situation::new();
        for change in *changes {
            change(&mut situation);
        }
        let planned = situation.plan();
        if planned != *expected {
            wrong.push(format!("row {index}: {planned} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
