//! Pages of transactions, and sums by bucket.

use flashgate_history::query::{Buckets, Transaction, TransactionFilter};
use flashgate_history::{Store, StoredAccount};
use jiff::{Timestamp, ToSpan};
use serde_json::json;

use crate::on_both_stores;
use crate::stores::ledger::{Ledger, amount, time};
use crate::stores::place::Place;

on_both_stores!(
    pages_are_newest_first_and_join_without_a_gap,
    each_filter_selects_its_transactions,
    labels_select_exactly_their_value,
    superseded_rows_are_left_out,
    buckets_add_up_to_what_was_charged_and_credited,
    the_account_is_that_of_the_id_or_the_last_one,
);

fn all() -> TransactionFilter {
    TransactionFilter { credits: true, usage: true, from: None, to: None, label: None }
}

/// Returns a ledger with 3 grants, 1 purchase, and 4 charges with 6 rows of usage and one charge without any.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new("acme");
    ledger.grant("1100");
    ledger.charge(
        "one",
        &[
            ("StorageEgress", &[("repo", "media")], "12000000000", "120"),
            ("TokensOut", &[("repo", "chat"), ("model", "llama-70b")], "1000", "1"),
        ],
    );
    ledger.commit("Purchased", "100", json!({"amount": "100", "pack": "plus-100"}));
    ledger.commit("Expired", "-5", json!({"amount": "5", "grant": "plan/1"}));
    ledger.charge("two", &[("StorageEgress", &[("repo", "media"), ("bucket", "video")], "1000000000", "10")]);
    ledger.commit("Charged", "-7", json!({"amount": "7", "object": "UsageReport/lost"}));
    ledger.charge(
        "three",
        &[("TokensOut", &[], "500", "0.5"), ("StorageEgress", &[("repo", "a\"b,\\")], "100000000", "1")],
    );
    ledger.grant("2");
    for (hours, usage) in (0..).zip(&mut ledger.usage) {
        usage.window.end_time = usage.window.end_time.checked_add(hours.hours()).unwrap();
    }
    ledger
}

async fn recorded(place: &Place, ledger: &Ledger) -> StoredAccount {
    place.store.record(&[ledger.batch()]).await.unwrap();
    place.store.account_of("team", "acme", Some("1f3a9c2e")).await.unwrap().unwrap()
}

/// Returns the amounts of the transactions of a page, and the total.
async fn amounts(
    store: &Store,
    account: &StoredAccount,
    filter: &TransactionFilter,
    offset: u64,
    limit: u32,
) -> (Vec<String>, u64) {
    let page = store.transactions(account, filter, offset, limit).await.unwrap();
    let amount = |transaction: &Transaction| match transaction {
        Transaction::Entry { entry, .. } if entry.kind == "Charged" => {
            format!("-{}", entry.credits.negated())
        }
        Transaction::Entry { entry, .. } => entry.credits.to_string(),
        Transaction::Usage { usage, .. } => format!("-{}", usage.credits),
    };
    (page.transactions.iter().map(amount).collect(), page.total)
}

async fn pages_are_newest_first_and_join_without_a_gap(place: Place) {
    let account = recorded(&place, &ledger()).await;
    let (whole, total) = amounts(&place.store, &account, &all(), 0, 50).await;
    assert_eq!(total, 9);
    // Rows of one charge have no order of time.
    let mut sorted = whole.clone();
    sorted[1..3].sort();
    sorted[6..8].sort();
    assert_eq!(sorted, ["2", "-0.5", "-1", "-7", "-10", "100", "-1", "-120", "1100"]);
    let mut joined = Vec::new();
    for page in 0..5 {
        let (amounts, total) = amounts(&place.store, &account, &all(), page * 2, 2).await;
        assert_eq!(total, 9);
        joined.extend(amounts);
    }
    assert_eq!(joined, whole);
    assert_eq!(amounts(&place.store, &account, &all(), 100, 2).await, (Vec::new(), 9));
    assert_eq!(amounts(&place.store, &account, &all(), u64::MAX, 2).await, (Vec::new(), 9));
}

async fn each_filter_selects_its_transactions(place: Place) {
    let ledger = ledger();
    let account = recorded(&place, &ledger).await;
    let count = async |filter: TransactionFilter| amounts(&place.store, &account, &filter, 0, 50).await.1;
    assert_eq!(count(TransactionFilter { usage: false, ..all() }).await, 3);
    assert_eq!(count(TransactionFilter { credits: false, ..all() }).await, 6);
    assert_eq!(count(TransactionFilter { credits: false, usage: false, ..all() }).await, 0);
    let (second, purchase) = (ledger.entries[1].time, ledger.entries[2].time);
    assert_eq!(count(TransactionFilter { from: Some(second), to: Some(purchase), ..all() }).await, 3);
    let after: Timestamp = time("2100-01-01T00:00:00Z");
    assert_eq!(count(TransactionFilter { from: Some(after), ..all() }).await, 0);
}

async fn labels_select_exactly_their_value(place: Place) {
    let account = recorded(&place, &ledger()).await;
    for (name, value, expected) in [
        ("repo", "media", vec!["-10", "-120"]),
        ("repo", "chat", vec!["-1"]),
        ("bucket", "video", vec!["-10"]),
        ("repo", "a\"b,\\", vec!["-1"]),
        ("repo", "med", vec![]),
        ("model", "media", vec![]),
        ("repo", "", vec![]),
    ] {
        let filter = TransactionFilter { label: Some((name.into(), value.into())), ..all() };
        let (found, total) = amounts(&place.store, &account, &filter, 0, 50).await;
        assert_eq!(found, expected, "{name}={value}");
        assert_eq!(total, expected.len() as u64);
    }
}

async fn superseded_rows_are_left_out(place: Place) {
    let mut ledger = ledger();
    recorded(&place, &ledger).await;
    ledger.accept(2, "00000000000000aa", "979");
    ledger.grant("3");
    let account = recorded(&place, &ledger).await;
    let (found, total) = amounts(&place.store, &account, &all(), 0, 50).await;
    assert_eq!((found.first().map(String::as_str), total), (Some("3"), 4), "{found:?}");
    let buckets = Buckets { start: time("2026-01-01T00:00:00Z"), seconds: 86_400, count: 365 };
    let usage = place.store.usage_by_bucket(&account, buckets).await.unwrap();
    assert_eq!(usage.len(), 2, "the usage of the first charge alone: {usage:?}");
}

async fn buckets_add_up_to_what_was_charged_and_credited(place: Place) {
    let ledger = ledger();
    let account = recorded(&place, &ledger).await;
    let buckets = Buckets { start: time("2026-01-01T00:00:00Z"), seconds: 3_600, count: 24 * 365 };
    let usage = place.store.usage_by_bucket(&account, buckets).await.unwrap();
    let sum = usage.iter().fold(amount("0"), |sum, part| sum.checked_add(part.credits).unwrap());
    assert_eq!(sum, amount("132.5"));
    for part in &usage {
        let recorded =
            ledger.usage.iter().find(|row| row.credits == part.credits && row.labels == part.labels).unwrap();
        let end = recorded.window.end_time.as_second() - buckets.start.as_second();
        // A bucket includes its end and excludes its start.
        assert_eq!(part.bucket, (end - 1) / 3_600, "{part:?}");
        assert_eq!(part.operation, recorded.operation);
    }
    let credits = place.store.credits_by_bucket(&account, buckets).await.unwrap();
    let found: Vec<(&str, String)> =
        credits.iter().map(|part| (part.kind.as_str(), part.credits.to_string())).collect();
    let expected = [("Granted", "1100"), ("Purchased", "100"), ("Granted", "2")];
    assert_eq!(found, expected.map(|(kind, credits)| (kind, credits.to_owned())));
    let before = Buckets { start: time("2025-01-01T00:00:00Z"), seconds: 3_600, count: 24 };
    assert_eq!(place.store.usage_by_bucket(&account, before).await.unwrap(), []);
}

async fn the_account_is_that_of_the_id_or_the_last_one(place: Place) {
    let mut first = Ledger::with_entries("acme", 1);
    first.id.account = "ffffffff".into();
    let mut second = Ledger::with_entries("acme", 1);
    second.id.account = "00000000".into();
    let other = Ledger::with_entries("other", 1);
    place.store.record(&[first.batch()]).await.unwrap();
    place.store.record(&[second.batch(), other.batch()]).await.unwrap();
    let of = async |account: Option<&str>| {
        let found = place.store.account_of("team", "acme", account).await.unwrap();
        found.map(|stored| stored.id.account)
    };
    assert_eq!(of(Some("ffffffff")).await.as_deref(), Some("ffffffff"));
    assert_eq!(of(None).await.as_deref(), Some("00000000"), "recorded last");
    assert_eq!(of(Some("12345678")).await.as_deref(), Some("00000000"));
    assert!(place.store.account_of("elsewhere", "acme", None).await.unwrap().is_none());
}
