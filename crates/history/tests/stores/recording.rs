//! Recording: once, in order, or a gap that says so.

use flashgate_history::export::{self, Format};
use flashgate_history::{Filter, Gap, RecordError, Recorded, Store, StoreError, StoredAccount};
use flashgate_ledger::Quantity;
use futures::TryStreamExt;
use serde_json::{Value, json};

use crate::on_both_stores;
use crate::stores::ledger::{Ledger, amount};
use crate::stores::place::{self, Place};

/// Returns the JSON lines of a store.
pub async fn lines(store: &Store) -> Vec<Value> {
    let mut output = Vec::new();
    let mut progress = |_| ();
    export::write(store, Format::JsonLines, &Filter::default(), &mut output, &mut progress).await.unwrap();
    String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns kind and balance of each line, such as `Granted 100`. A gap has its numbers.
pub async fn summary(store: &Store) -> Vec<String> {
    let shown = |line: &Value| {
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        let gap = match (&line["detail"]["first"], &line["detail"]["last"]) {
            (Value::Number(first), Value::Number(last)) => format!(" {first}..{last}"),
            (_, Value::Number(last)) => format!(" ..{last}"),
            _ => String::new(),
        };
        format!("{}{gap} {}", text("kind"), text("balance"))
    };
    lines(store).await.iter().map(shown).collect()
}

pub async fn accounts(store: &Store) -> Vec<StoredAccount> {
    store.accounts(None).try_collect().await.unwrap()
}

pub async fn only_account(store: &Store) -> StoredAccount {
    let mut accounts = accounts(store).await;
    assert_eq!(accounts.len(), 1);
    accounts.remove(0)
}

/// Records what `ledger` holds. Checks the id of the store, and returns the rest of the result.
pub async fn record(store: &Store, ledger: &Ledger) -> Recorded {
    let recorded = store.record(&[ledger.batch()]).await.unwrap().remove(0);
    assert_eq!(recorded.store, store.id().await.unwrap());
    Recorded { store: String::new(), ..recorded }
}

/// Returns a ledger with entries 1 to `last`.
pub fn ledger_of(last: i64) -> Ledger {
    let mut ledger = Ledger::new("acme");
    for _ in 0..last {
        ledger.grant("100");
    }
    ledger
}

async fn recording_again_adds_nothing(place: Place) {
    let mut ledger = ledger_of(1);
    ledger.charge("r1", &[("TokensOut", &[("model", "a")], "5", "1.5"), ("TokensOut", &[], "5", "0.5")]);
    let expected = Recorded { store: String::new(), number: 2, sequence: 4, gap: None };
    for _ in 0..3 {
        assert_eq!(record(&place.store, &ledger).await, expected);
    }
    assert_eq!(summary(&place.store).await, ["Granted 100", "Charged 98"]);
    let account = only_account(&place.store).await;
    assert_eq!(place.store.usage(&account, 1, 9).await.unwrap().len(), 2);
}

async fn lost_entries_become_a_gap_with_the_state_after_them(place: Place) {
    let mut ledger = ledger_of(2);
    record(&place.store, &ledger).await;
    for _ in 0..3 {
        ledger.grant("100");
    }
    ledger.drop_to(4);
    let recorded = record(&place.store, &ledger).await;
    assert_eq!(
        recorded,
        Recorded { store: String::new(), number: 5, sequence: 10, gap: Some(Gap { first: 3, last: 4 }) }
    );
    assert_eq!(record(&place.store, &ledger).await.gap, None);
    assert_eq!(summary(&place.store).await, ["Granted 100", "Granted 200", "Gap 3..4 400", "Granted 500"]);
    assert_eq!(lines(&place.store).await[2]["detail"]["totals"]["granted"], "400");
}

async fn recording_of_an_older_ledger_begins_with_its_state(place: Place) {
    let mut ledger = ledger_of(5);
    ledger.drop_to(4);
    assert_eq!(record(&place.store, &ledger).await.gap, None);
    assert_eq!(summary(&place.store).await, ["Opening ..4 400", "Granted 500"]);
    // A late batch of an operator that had more entries fills it.
    ledger.drop_to(2);
    assert_eq!(record(&place.store, &ledger).await.gap, None);
    assert_eq!(summary(&place.store).await, ["Opening ..2 200", "Granted 300", "Granted 400", "Granted 500"]);
    ledger.drop_to(0);
    record(&place.store, &ledger).await;
    assert_eq!(summary(&place.store).await.len(), 5);
}

async fn an_idle_ledger_is_recorded_as_its_opening(place: Place) {
    let mut ledger = ledger_of(3);
    ledger.drop_to(3);
    assert_eq!(
        record(&place.store, &ledger).await,
        Recorded { store: String::new(), number: 3, sequence: 6, gap: None }
    );
    assert_eq!(summary(&place.store).await, ["Opening ..3 300"]);
    let empty = Ledger::new("new");
    assert_eq!(
        record(&place.store, &empty).await,
        Recorded { store: String::new(), number: 0, sequence: 0, gap: None }
    );
}

async fn another_hash_is_a_conflict_and_nothing_of_the_call_is_recorded(place: Place) {
    record(&place.store, &ledger_of(3)).await;
    let mut other = ledger_of(1);
    other.grant("50");
    other.grant("100");
    let mut new = Ledger::new("new");
    new.grant("1");
    let error = place.store.record(&[new.batch(), other.batch()]).await.unwrap_err();
    assert!(matches!(error, RecordError::Conflict { number: 2, .. }), "{error}");
    assert_eq!(summary(&place.store).await, ["Granted 100", "Granted 200", "Granted 300"]);
    assert_eq!(accounts(&place.store).await.len(), 1);
}

async fn results_are_in_the_order_of_the_batches(place: Place) {
    let ledgers = [("c", 3), ("a", 1), ("b", 2)].map(|(name, entries)| Ledger::with_entries(name, entries));
    let batches = ledgers.map(|ledger| ledger.batch());
    let numbers: Vec<i64> =
        place.store.record(&batches).await.unwrap().iter().map(|recorded| recorded.number).collect();
    assert_eq!(numbers, [3, 1, 2]);
    let names: Vec<String> =
        accounts(&place.store).await.into_iter().map(|account| account.id.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

async fn an_accepted_ledger_supersedes_the_entries_that_it_replaces(place: Place) {
    let mut ledger = ledger_of(4);
    record(&place.store, &ledger).await;
    let former = ledger.clone();
    ledger.accept(2, "00000000000000aa", "70");
    ledger.grant("5");
    assert_eq!(
        record(&place.store, &ledger).await,
        Recorded { store: String::new(), number: 4, sequence: 8, gap: None }
    );
    let expected = ["Granted 100", "Granted 200", "Accepted 70", "Granted 75"];
    assert_eq!(summary(&place.store).await, expected);
    assert_eq!(record(&place.store, &ledger).await.number, 4);
    // A dead operator's batch of the former branch changes nothing.
    let mut late = former.clone();
    late.grant("1");
    assert_eq!(record(&place.store, &late).await.number, 5);
    assert_eq!(summary(&place.store).await, expected);
    assert_eq!(place.execute("UPDATE entries SET kind = kind WHERE superseded").await, 3);
    // Another accepted ledger goes back before the first one.
    ledger.accept(1, "00000000000000bb", "10");
    record(&place.store, &ledger).await;
    assert_eq!(summary(&place.store).await, ["Granted 100", "Accepted 10"]);
}

async fn a_branch_without_its_first_entry_begins_with_its_opening(place: Place) {
    let mut ledger = ledger_of(4);
    record(&place.store, &ledger).await;
    ledger.accept(2, "00000000000000aa", "70");
    ledger.grant("5");
    ledger.grant("5");
    ledger.drop_to(4);
    assert_eq!(record(&place.store, &ledger).await.number, 5);
    let expected = ["Granted 100", "Granted 200", "Granted 300", "Gap 4..4 75", "Granted 80"];
    assert_eq!(summary(&place.store).await, expected);
}

async fn a_former_branch_that_arrives_late_fills_the_opening(place: Place) {
    let mut former = ledger_of(4);
    let mut ledger = former.clone();
    ledger.accept(2, "00000000000000aa", "70");
    record(&place.store, &ledger).await;
    assert_eq!(summary(&place.store).await, ["Opening ..2 200", "Accepted 70"]);
    former.grant("1");
    record(&place.store, &former).await;
    assert_eq!(summary(&place.store).await, ["Granted 100", "Granted 200", "Accepted 70"]);
}

async fn a_hole_in_the_store_is_filled_from_the_ledger(place: Place) {
    let ledger = ledger_of(6);
    record(&place.store, &ledger).await;
    place.execute("DELETE FROM entries WHERE number IN (3, 5, 6)").await;
    assert_eq!(
        record(&place.store, &ledger).await,
        Recorded { store: String::new(), number: 6, sequence: 12, gap: None }
    );
    let account = only_account(&place.store).await;
    let rows: Vec<_> = place.store.rows(&account, &Filter::default()).try_collect().await.unwrap();
    assert_eq!(rows.iter().map(flashgate_history::Row::number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

async fn every_value_is_read_back(place: Place) {
    let mut ledger = Ledger::new("acme");
    ledger.id.account = "a\u{0}\\0 \u{1F600}".into();
    let most = "999999999999999999.999999999";
    ledger.commit_at(
        "-000001-01-01T00:00:00.000000001Z".parse().unwrap(),
        "Adjusted",
        amount(most),
        json!({}),
    );
    let detail = json!({"amount": "0", "text": "nul \u{0}, quote ', \u{2028}", "list": [1, null, {"b": {}, "a": 1.5}]});
    let least = amount("-0.000000001");
    ledger.commit_at("9999-12-29T22:00:00.123456789Z".parse().unwrap(), "Charged", least, detail);
    let labels = [("\u{0}", "\\"), ("model", "\u{0}\u{0}'\"\u{e9}")];
    let exact = "999999999999999.000000000000000001";
    ledger.charge(
        "r\u{0}\\0",
        &[("TokensOut", &labels, exact, "0.000000001"), ("StorageEgress", &[], exact, "0")],
    );
    ledger.usage[0].labels_known = false;
    ledger.usage[0].quantity = Quantity::TOTAL_LIMIT;
    record(&place.store, &ledger).await;

    let account = only_account(&place.store).await;
    assert_eq!(account.id, ledger.id);
    let rows: Vec<_> = place.store.rows(&account, &Filter::default()).try_collect().await.unwrap();
    let entries: Vec<_> = rows
        .into_iter()
        .map(|row| match row.content {
            flashgate_history::RowContent::Entry { entry, totals: None } => entry,
            other => unreachable!("{other:?}"),
        })
        .collect();
    assert_eq!(entries, ledger.entries);
    let mut usage = place.store.usage(&account, 1, 3).await.unwrap();
    usage.sort_by_key(|(_, usage)| std::cmp::Reverse(usage.operation.clone()));
    assert_eq!(usage, ledger.usage.iter().map(|usage| (String::new(), usage.clone())).collect::<Vec<_>>());
}

async fn sums_of_usage_are_exact(place: Place) {
    let most = "999999999999999.000000000000000001";
    let mut ledger = ledger_of(1);
    for _ in 0..9 {
        ledger.charge(
            "r",
            &[
                ("TokensOut", &[("model", "a\u{0}")], most, "99999999999.999999999"),
                ("Egress", &[], "1", "0.1"),
            ],
        );
    }
    // Two accounts, and a former branch.
    let mut other = ledger.clone();
    "other".clone_into(&mut other.id.name);
    place.store.record(&[other.batch(), ledger.batch()]).await.unwrap();
    ledger.accept(8, "00000000000000aa", "0");
    record(&place.store, &ledger).await;
    let account = accounts(&place.store).await.remove(0);
    let (from, to) = (ledger.entries[2].time, ledger.entries[6].time);
    let sums = place.store.usage_sums(&account, from, to).await.unwrap();
    let shown: Vec<String> = sums
        .iter()
        .map(|sum| {
            format!("{} {:?} {} {} {}", sum.operation, sum.labels, sum.charges, sum.quantity, sum.credits)
        })
        .collect();
    let expected = [
        "Egress {} 4 4 0.4",
        r#"TokensOut {"model": "a\0"} 4 3999999999999996.000000000000000004 399999999999.999999996"#,
    ];
    assert_eq!(shown, expected);
    let all = place.store.usage_sums(&account, jiff::Timestamp::MIN, jiff::Timestamp::MAX).await.unwrap();
    assert_eq!(all.iter().map(|sum| sum.charges).collect::<Vec<_>>(), [7, 7]);
}

async fn an_invoice_has_the_state_of_its_last_entry(place: Place) {
    let mut ledger = Ledger::new("acme");
    let invoice = "acme-1f3a9c2e-0001";
    let money = |extra: Value| {
        let mut detail = json!({"amount": "49", "currency": "USD", "invoice": invoice});
        detail.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        detail
    };
    let issued = json!({
        "reason": "Start", "dueTime": "2026-03-02T10:00:00Z", "billingDetails": {"name": "A\u{0}"}, "lines": [1],
    });
    ledger.commit("Invoiced", "0", money(issued));
    ledger.commit("Voided", "0", money(json!({"cause": "Superseded"})));
    ledger.commit("Settled", "0", money(json!({"state": "RefundDue"})));
    ledger.commit("Refunded", "0", json!({"amount": "0", "invoice": invoice, "object": "Payment/p"}));
    // The state first, then the entry that issued the invoice.
    for (opening, last, state) in
        [(2, 3, "RefundDue"), (0, 2, "RefundDue"), (3, 4, "Refunded"), (1, 3, "Refunded")]
    {
        place.store.record(&[ledger.batch_of(opening, last)]).await.unwrap();
        let account = only_account(&place.store).await;
        let row = place.store.invoice(&account, invoice).await.unwrap().unwrap();
        assert_eq!((row.state.as_str(), row.amount, row.currency.as_str()), (state, amount("49"), "USD"));
        assert_eq!(row.reason, if opening == 2 { "" } else { "Start" });
        assert_eq!(place.store.invoices(&account, "").await.unwrap(), std::slice::from_ref(&row));
        if opening != 2 {
            assert_eq!(row.billing_details.as_deref(), Some(r#"{"name":"A\u0000"}"#));
            assert_eq!(
                (row.lines.as_deref(), row.issued_entry, row.time),
                (Some("[1]"), 1, ledger.entries[0].time)
            );
        }
    }
    // An accepted ledger takes the refund back.
    ledger.accept(3, "00000000000000aa", "0");
    record(&place.store, &ledger).await;
    let account = only_account(&place.store).await;
    let row = place.store.invoice(&account, invoice).await.unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.state_entry, row.reason.as_str()), ("RefundDue", 3, "Start"));
}

async fn a_batch_that_contradicts_itself_is_refused(place: Place) {
    let mut ledger = ledger_of(1);
    ledger.charge("r1", &[("TokensOut", &[], "5", "1"), ("TokensOut", &[], "6", "1")]);
    let error = place.store.record(&[ledger.batch()]).await.unwrap_err();
    assert!(matches!(error, RecordError::Invalid { .. }), "{error}");
    let mut batch = ledger.batch();
    batch.usage.clear();
    batch.entries.remove(0);
    assert!(matches!(place.store.record(&[batch]).await, Err(RecordError::Invalid { .. })));
    assert_eq!(accounts(&place.store).await, []);
}

async fn operators_that_record_at_once_agree(place: Place) {
    let ledgers = ["a", "b", "c", "d"].map(|name| Ledger::with_entries(name, 20));
    let other = Store::open(&place.url).unwrap().unwrap();
    let mut calls = Vec::new();
    for last in 1..=20 {
        let mut batches: Vec<_> = ledgers.iter().map(|ledger| ledger.batch_of(0, last)).collect();
        for store in [&place.store, &other] {
            batches.reverse();
            let (store, batches) = (store.clone(), batches.clone());
            calls.push(tokio::spawn(async move { store.record(&batches).await }));
        }
    }
    for call in calls {
        let recorded = call.await.unwrap().unwrap();
        assert!(recorded.iter().all(|recorded| recorded.gap.is_none()));
    }
    let expected: Vec<String> = (1..=20).map(|balance| format!("Granted {balance}")).collect();
    let summary = summary(&place.store).await;
    assert_eq!(summary.chunks(20).collect::<Vec<_>>(), [&expected[..]; 4]);
}

async fn every_statement_uses_an_index(place: Place) {
    let plans = place.store.plans().await.unwrap();
    assert!(plans.len() > 15);
    let scan = if place.is_sqlite() { "SCAN " } else { "Seq Scan" };
    for (name, plan) in plans {
        // The parts of a union or a join are scanned after they are searched.
        let is_part = |line: &&String| {
            ["row_before", "row_after", "row_last", "transactions", "ends"]
                .iter()
                .any(|part| line.contains(part))
        };
        let scans: Vec<&String> = plan.iter().filter(|line| line.contains(scan) && !is_part(line)).collect();
        assert!(scans.is_empty(), "{name}: {plan:#?}");
        let is_search = |line: &String| line.contains("SEARCH") || line.contains("Index");
        assert!(plan.iter().any(is_search), "{name}: {plan:#?}");
    }
}

on_both_stores!(
    recording_again_adds_nothing,
    lost_entries_become_a_gap_with_the_state_after_them,
    recording_of_an_older_ledger_begins_with_its_state,
    an_idle_ledger_is_recorded_as_its_opening,
    another_hash_is_a_conflict_and_nothing_of_the_call_is_recorded,
    results_are_in_the_order_of_the_batches,
    an_accepted_ledger_supersedes_the_entries_that_it_replaces,
    a_branch_without_its_first_entry_begins_with_its_opening,
    a_former_branch_that_arrives_late_fills_the_opening,
    a_hole_in_the_store_is_filled_from_the_ledger,
    every_value_is_read_back,
    sums_of_usage_are_exact,
    an_invoice_has_the_state_of_its_last_entry,
    a_batch_that_contradicts_itself_is_refused,
    operators_that_record_at_once_agree,
    every_statement_uses_an_index,
);

#[tokio::test]
async fn only_a_migration_creates_the_file_and_the_tables() {
    for place in [place::sqlite_without_tables(), place::postgres_without_tables().await] {
        let error = place.store.id().await.unwrap_err();
        if place.is_sqlite() {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        } else {
            assert!(matches!(error, StoreError::NotMigrated), "{error:?}");
        }
        let other = Store::open(&place.url).unwrap().unwrap();
        let (first, second) = tokio::join!(place.store.migrate(), other.migrate());
        first.unwrap();
        second.unwrap();
        let id = place.store.id().await.unwrap();
        assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        place.store.migrate().await.unwrap();
        assert_eq!(other.id().await.unwrap(), id);
    }
}
