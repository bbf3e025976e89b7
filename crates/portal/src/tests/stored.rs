//! Answers with a history, in a store of SQLite.

use std::sync::Arc;

use flashgate_history::{AccountId, Batch, EntryRecord, HistoryUrl, Opening, Store, UsageRecord, chain};
use flashgate_ledger::period::Window;
use flashgate_testing::TestAccount;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::fake::Fake;
use super::{accounts, settings};
use crate::history::History;
use crate::history::store::StoreHistory;

/// The account id of the test ledger.
pub(super) const ACCOUNT: &str = "1f3a9c2e";

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().expect("time")
}

/// Returns the batch of an account: each item is time, kind, change of the balance, and detail.
pub(super) fn batch(account: &str, items: &[(&str, &str, &str, Value)], usage: Vec<UsageRecord>) -> Batch {
    let mut entries: Vec<EntryRecord> = Vec::new();
    for (number, (at, kind, credits, detail)) in (1..).zip(items) {
        let (balance, hash) =
            entries.last().map_or((flashgate_ledger::Credits::ZERO, ""), |last| (last.balance, &last.hash));
        let credits = credits.parse().expect("amount");
        let mut entry = EntryRecord {
            number,
            sequence: number,
            index: 0,
            time: time(at),
            kind: (*kind).to_owned(),
            credits,
            balance: balance.checked_add(credits).expect("balance"),
            detail: detail.clone(),
            hash: String::new(),
        };
        entry.hash = chain::hash(hash, "team/acme", &entry);
        entries.push(entry);
    }
    let opening = Opening {
        number: 0,
        sequence: 0,
        time: time("2026-01-31T10:00:00Z"),
        hash: String::new(),
        balance: flashgate_ledger::Credits::ZERO,
        totals: flashgate_ledger::ledger::Totals::default(),
    };
    let id = AccountId { namespace: "team".to_owned(), name: "acme".to_owned(), account: account.to_owned() };
    Batch { account: id, branch: String::new(), opening, entries, usage }
}

/// Returns usage of the entry 3, whose window ended `ended`.
pub(super) fn usage(
    ended: &str,
    [node_type, operation, quantity, credits]: [&str; 4],
    labels: &[(&str, &str)],
) -> UsageRecord {
    UsageRecord {
        entry: 3,
        report: "gw-1".to_owned(),
        report_uid: "gw-1-uid".to_owned(),
        source: "gw".to_owned(),
        window: Window { start_time: time("2026-02-10T08:00:00Z"), end_time: time(ended) },
        charge_time: time("2026-02-10T11:30:00Z"),
        node_type: node_type.to_owned(),
        operation: operation.to_owned(),
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        labels_known: true,
        quantity: quantity.parse().expect("quantity"),
        credits: credits.parse().expect("amount"),
    }
}

/// Starts a portal whose history has a grant, an invoice, a purchase and a charge with 3 rows of usage.
pub(super) async fn started() -> (Fake, TempDir) {
    let folder = tempfile::tempdir().expect("folder");
    let url = HistoryUrl::Sqlite(folder.path().join("history.db"));
    let store = Store::open(&url).expect("store").expect("a store");
    store.migrate().await.expect("tables");
    let rows = vec![
        usage(
            "2026-02-10T09:00:00Z",
            ["Public", "StorageEgress", "12G", "120"],
            &[("repo", "media"), ("bucket", "video")],
        ),
        usage(
            "2026-02-10T09:00:00Z",
            ["Private", "TokensOut", "250k", "12.5"],
            &[("repo", "chat"), ("model", "llama")],
        ),
        usage("2026-02-10T09:00:00Z", ["Public", "TokensOut", "1k", "1"], &[]),
    ];
    let invoiced = json!({
        "amount": "20", "currency": "USD", "invoice": "acme-1f3a9c2e-0000", "reason": "Pack",
        "dueTime": "2026-02-13T11:40:00Z",
    });
    let items = [
        (
            "2026-01-31T10:00:00Z",
            "Granted",
            "1100",
            json!({"amount": "1100", "plan": "starter", "periodNumber": 1}),
        ),
        ("2026-02-10T11:00:00Z", "Purchased", "100", json!({"amount": "100", "pack": "plus-100"})),
        (
            "2026-02-10T11:30:00Z",
            "Charged",
            "-133.5",
            json!({"amount": "133.5", "object": "UsageReport/gw-1"}),
        ),
        ("2026-02-10T11:40:00Z", "Invoiced", "0", invoiced),
    ];
    store.record(&[batch(ACCOUNT, &items, rows)]).await.expect("recorded");
    // A later account of the same name, which the ledger does not have.
    let later = [(
        "2026-02-10T11:50:00Z",
        "Granted",
        "7",
        json!({"amount": "7", "plan": "other", "periodNumber": 1}),
    )];
    store.record(&[batch("ffffffff", &later, Vec::new())]).await.expect("recorded");
    let history: Arc<dyn History> = Arc::new(StoreHistory::new(store));
    let subscription = json!(accounts::subscription("starter", &accounts::status("1100")));
    let ledger = json!(accounts::ledger(&TestAccount::on_plan("starter", "2026-01-31T10:00:00Z")));
    let objects = [("subscriptions/acme", subscription), ("creditledgers/acme", ledger)];
    (Fake::start_with(settings(), objects, Some(history)), folder)
}

#[tokio::test]
async fn transactions_have_the_lines_and_labels_of_the_history() {
    let (fake, _folder) = started().await;
    let answer = fake.get("credits/transactions").await;
    assert_eq!(answer.body["pagination"], json!({"total": 5, "page": 1, "limit": 50}));
    assert_eq!(answer.body.get("historyAvailable"), None);
    let items = answer.body["data"].as_array().expect("list");
    let mut amounts: Vec<f64> =
        items.iter().map(|item| item["creditAmount"].as_f64().expect("number")).collect();
    amounts[..3].sort_by(f64::total_cmp);
    assert_eq!(amounts, [-120.0, -12.5, -1.0, 100.0, 1100.0]);
    let egress = items.iter().find(|item| item["repoId"] == "media").expect("egress");
    assert_eq!(
        (&egress["rateType"], &egress["rateUsed"], &egress["unitId"]),
        (&json!("Public Node"), &json!(10), &json!("video"))
    );
    let ids: std::collections::BTreeSet<&str> =
        items.iter().map(|item| item["id"].as_str().expect("id")).collect();
    assert_eq!(ids.len(), 5);
    let pages = [
        fake.get("credits/transactions?limit=2").await,
        fake.get("credits/transactions?limit=2&page=2").await,
    ];
    let joined: Vec<Value> =
        pages.iter().flat_map(|page| page.body["data"].as_array().expect("list").clone()).collect();
    assert_eq!(joined, items[..4]);
    for (query, total) in [
        ("direction=out", 3),
        ("direction=in", 2),
        ("repoId=chat", 1),
        ("repoId=none", 0),
        ("endDate=2026-02-09", 1),
    ] {
        let answer = fake.get(&format!("credits/transactions?{query}")).await;
        assert_eq!(answer.body["pagination"]["total"], total, "{query}");
    }
}

#[tokio::test]
async fn statistics_count_usage_by_the_end_of_its_window_and_credits_by_their_time() {
    let (fake, _folder) = started().await;
    let answer = fake.get("v2/stats/credits?window=24h").await.body;
    assert_eq!(
        (&answer["summary"]["total"], answer["series"].as_array().map(Vec::len)),
        (&json!(133.5), Some(24))
    );
    // Now is 12:00. The window of the usage ended at 09:00, so it is in the bucket from 08:00.
    let bucket =
        answer["series"].as_array().expect("series").iter().find(|point| point["creditsTotal"] == 133.5);
    let bucket = bucket.expect("bucket");
    assert_eq!(bucket["ts"], time("2026-02-10T08:00:00Z").as_millisecond());
    assert_eq!((&bucket["creditsStorage"], &bucket["creditsAi"]), (&json!(120), &json!(13.5)));
    let purchased: Vec<&Value> = answer["series"]
        .as_array()
        .expect("series")
        .iter()
        .filter(|point| point["creditsPurchased"] == 100)
        .collect();
    assert_eq!(purchased.len(), 1);
    assert_eq!(purchased[0]["ts"], time("2026-02-10T10:00:00Z").as_millisecond());
    let month = fake.get("v2/stats/credits?window=30d").await.body;
    let granted: f64 = month["series"]
        .as_array()
        .expect("series")
        .iter()
        .filter_map(|point| point["creditsGranted"].as_f64())
        .sum();
    assert!((granted - 1100.0).abs() < f64::EPSILON);
    let repo = fake.get("v2/stats/credits?window=24h&scope=repo&id=chat").await.body;
    assert_eq!(repo["summary"]["total"], 12.5);
    assert!(repo["series"].as_array().expect("series").iter().all(|point| point["creditsPurchased"] == 0));
    assert_eq!(fake.get("v2/stats/credits?window=24h&aiLlmId=llama").await.body["summary"]["total"], 12.5);
}

#[tokio::test]
async fn a_breakdown_leaves_out_usage_without_the_label() {
    let (fake, _folder) = started().await;
    let answer = fake.get("v2/stats/credits/breakdown/repos?window=7d").await.body;
    let names: Vec<&Value> =
        answer["entities"].as_array().expect("list").iter().map(|entity| &entity["entityId"]).collect();
    assert_eq!(json!(names), json!(["media", "chat"]));
    assert_eq!(answer["summary"]["total"], 132.5);
    let models = fake
        .get("v2/stats/credits/breakdown/models?window=7d&includeSeries=true&timeBucketSize=1d")
        .await
        .body;
    assert_eq!(models["meta"]["totalEntities"], 1);
    assert_eq!(models["entities"][0]["series"].as_array().map(Vec::len), Some(7));
}

#[tokio::test]
async fn older_invoices_come_from_the_history() {
    let (fake, _folder) = started().await;
    let answer = fake.get("subscriptions/payments").await.body;
    let numbers: Vec<&Value> =
        answer["data"].as_array().expect("list").iter().map(|item| &item["id"]).collect();
    assert_eq!(json!(numbers), json!(["acme-1f3a9c2e-0000", "acme-1f3a9c2e-0001"]));
    assert_eq!(answer.get("historyAvailable"), None);
    let session = fake.get("subscriptions/checkout-session/acme-1f3a9c2e-0000").await;
    assert_eq!((session.status, &session.body["status"]), (200, &json!("open")));
}

#[tokio::test]
async fn whoever_may_get_the_subscription_sees_its_history_and_no_other_one() {
    let (fake, _folder) = started().await;
    fake.content().forbidden = vec!["get creditledgers"];
    // Without the ledger the last account of that name is shown.
    let answer = fake.get("credits/transactions").await.body;
    assert_eq!((&answer["pagination"]["total"], answer.get("missingRights")), (&json!(1), None));
    fake.content().forbidden = vec!["get subscriptions"];
    assert_eq!(fake.get("credits/transactions").await.status, 403);
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_as_if_there_were_none_and_health_says_so() {
    let folder = tempfile::tempdir().expect("folder");
    let store =
        Store::open(&HistoryUrl::Sqlite(folder.path().join("missing.db"))).expect("store").expect("a store");
    let history: Arc<dyn History> = Arc::new(StoreHistory::new(store.clone()));
    let subscription = json!(accounts::subscription("starter", &accounts::status("1100")));
    let ledger = json!(accounts::ledger(&TestAccount::on_plan("starter", "2026-01-31T10:00:00Z")));
    let objects = [("subscriptions/acme", subscription), ("creditledgers/acme", ledger)];
    let fake = Fake::start_with(settings(), objects, Some(history));
    let probe =
        |path: &str| http::Request::builder().uri(path).body(axum::body::Body::empty()).expect("request");
    assert_eq!(fake.send(probe("/healthz")).await.status, 503);
    assert_eq!(fake.send(probe("/livez")).await.status, 200, "a restart would not help");
    let answer = fake.get("credits/transactions").await.body;
    assert_eq!((&answer["historyAvailable"], &answer["pagination"]["total"]), (&json!(false), &json!(1)));
    store.migrate().await.expect("tables");
    assert_eq!(fake.send(probe("/healthz")).await.status, 200, "it is healthy when it can read");
}
