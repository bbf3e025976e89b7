//! The parts of the page about data: consumption, invoices, history and rates.

mod files;
mod hostile;
mod rows;

use std::sync::Arc;

use flashgate_history::{HistoryUrl, Store, UsageRecord};
use flashgate_testing::TestAccount;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::fake::{Answered, Fake, TOKEN};
use super::stored::{ACCOUNT, batch, started};
use super::{accounts, settings};
use crate::history::History;
use crate::history::store::StoreHistory;

/// The parts of these tests.
const PARTS: [&str; 10] = [
    "consumption",
    "consumption?window=24h",
    "consumption?by=rate",
    "consumption?by=repo&window=365d",
    "invoices",
    "history",
    "history?kind=Charged",
    "rates",
    "rates?rate=public-storage-egress&quantity=12&unit=gb",
    "",
];

/// Reads a part of the page of `team/acme` as the tenant.
async fn part(fake: &Fake, path: &str) -> Answered {
    let request = http::Request::builder()
        .uri(format!("/team/acme/{path}"))
        .header("host", "127.0.0.1:8080")
        .header("authorization", format!("Bearer {TOKEN}"));
    fake.send(request.body(axum::body::Body::empty()).expect("request")).await
}

/// Reads a part that is shown.
async fn shown(fake: &Fake, path: &str) -> String {
    let answered = part(fake, path).await;
    assert_eq!(answered.status, 200, "{path}: {}", answered.text);
    answered.text
}

/// Starts a portal whose history has these entries and this usage of entry 3, besides an account on `starter`.
async fn recorded(items: &[(&str, &str, &str, Value)], usage: Vec<UsageRecord>) -> (Fake, TempDir) {
    let folder = tempfile::tempdir().expect("folder");
    let url = HistoryUrl::Sqlite(folder.path().join("history.db"));
    let store = Store::open(&url).expect("store").expect("a store");
    store.migrate().await.expect("tables");
    store.record(&[batch(ACCOUNT, items, usage)]).await.expect("recorded");
    let history: Arc<dyn History> = Arc::new(StoreHistory::new(store));
    (Fake::start_with(settings(), objects(&accounts::status("1100")), Some(history)), folder)
}

/// Returns the objects of an account on `starter` with this status.
fn objects(status: &Value) -> [(&'static str, Value); 2] {
    let subscription = json!(accounts::subscription("starter", status));
    let ledger = json!(accounts::ledger(&TestAccount::on_plan("starter", "2026-01-31T10:00:00Z")));
    [("subscriptions/acme", subscription), ("creditledgers/acme", ledger)]
}

/// Returns the texts between each `begin` and the next `end`.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Vec<&'a str> {
    let parts = text.split(begin).skip(1);
    parts.filter_map(|part| Some(part.split_once(end)?.0)).collect()
}

#[tokio::test]
async fn each_part_shows_the_data_of_the_history() {
    let (fake, _folder) = started().await;
    for (path, expected) in [
        (
            "consumption?window=24h",
            vec!["133.5", "Storage 120, AI 13.5", "Consumption by hour", "10 Feb 2026, 08:00 UTC"],
        ),
        (
            "consumption?by=rate",
            vec!["Storage egress on public nodes", "12 GB", "Tokens out on private nodes", "250,000 tokens"],
        ),
        ("consumption?by=repo", vec!["media", "chat", "(without this label)", "89.9 %", "9.4 %", "0.7 %"]),
        ("consumption?by=bucket&from=2026-02-01&to=2026-02-10", vec!["video", "2026-02-01 to 2026-02-10"]),
        (
            "history",
            vec![
                "UsageReport gw-1: 133.5 credits for 12 GB on public nodes, 250,000 tokens on private nodes and 1,000 tokens on public nodes.",
                "+1,100",
                "-133.5",
                "1,066.5",
                "Invoice acme-1f3a9c2e-0000 of 20.00 USD was issued (pack). Pay it by 13 Feb 2026, 11:40 UTC.",
            ],
        ),
        ("invoices", vec!["acme-1f3a9c2e-0000", "acme-1f3a9c2e-0001", "20.00 USD", "badge warning"]),
        (
            "invoices/acme-1f3a9c2e-0000",
            vec!["Invoice acme-1f3a9c2e-0000", "Open", "20.00 USD", "13 Feb 2026, 11:40 UTC"],
        ),
        (
            "rates",
            vec!["Storage egress on public nodes", "for 1 GB (10^9 bytes)", "for 1M tokens", "Calculator"],
        ),
        (
            "rates?rate=public-storage-egress&quantity=12.5&unit=gb",
            vec![
                "12.5 GB of storage egress on public nodes",
                "125",
                "Balance after it",
                "+100 credits",
                "value=\"12.5\"",
            ],
        ),
        (
            "",
            vec![
                "data-testid=\"burn-down\"",
                "The balance was 1,100 credits on 31 Jan 2026, and is 1,100 credits on 10 Feb 2026.",
                // The history is behind the ledger of this test: its last balance comes before the present one.
                "<time datetime=\"2026-02-10T12:00:00Z\">",
                "80 % used",
            ],
        ),
    ] {
        let text = shown(&fake, path).await;
        for expected in expected {
            assert!(text.contains(expected), "{path} has not {expected}: {text}");
        }
        assert!(!text.contains("There is no history"), "{path}: {text}");
    }
}

#[tokio::test]
async fn without_a_history_each_part_says_what_it_shows() {
    let mut status = accounts::status("1100");
    status["thisPeriod"] = json!({
        "opening": "0", "granted": "1100", "purchased": "0", "adjusted": "0", "consumed": "120", "refunded": "0",
        "expired": "0", "usedPercent": "10.9",
        "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": "12000000000", "credits": "120"}],
    });
    let fake = Fake::start(settings(), objects(&status));
    for (path, expected) in [
        ("consumption", "There is no history: only the last days that the ledger keeps are shown."),
        ("consumption?by=rate", "There is no history: only the usage of the current period is shown."),
        ("consumption?by=repo", "There is no history: only a history has labels."),
        ("invoices", "There is no history: only the invoices that the ledger keeps are shown."),
        ("history", "There is no history: only the last entries, which the ledger keeps, are shown."),
    ] {
        let text = shown(&fake, path).await;
        assert!(text.contains(expected), "{path}: {text}");
    }
    let rates = shown(&fake, "consumption?by=rate").await;
    assert!(rates.contains("12 GB") && rates.contains("100.0 %"), "{rates}");
    let history = shown(&fake, "history").await;
    assert!(history.contains("Starter (monthly), period 1: 1,100 credits"), "{history}");
    let invoice = shown(&fake, "invoices/acme-1f3a9c2e-0001").await;
    assert!(
        invoice.contains("The account had no billing details") && invoice.contains("Starter, monthly"),
        "{invoice}"
    );
}

#[tokio::test]
async fn without_the_right_to_the_ledger_the_right_is_named() {
    let fake = Fake::start(settings(), objects(&accounts::status("1100")));
    fake.content().forbidden = vec!["get creditledgers"];
    for path in ["consumption", "history"] {
        let text = shown(&fake, path).await;
        assert!(text.contains("get creditledgers"), "{path}: {text}");
    }
    let invoices = shown(&fake, "invoices").await;
    assert!(invoices.contains("only the open invoices and the last 12 are shown"), "{invoices}");
}

#[tokio::test]
async fn an_account_without_data_has_every_part() {
    let subscription = json!(accounts::subscription("starter", &Value::Null));
    let (stored, _folder) = recorded(&[], Vec::new()).await;
    stored.content().objects = [("subscriptions/acme".to_owned(), subscription.clone())].into();
    let fresh = Fake::start(settings(), [("subscriptions/acme", subscription)]);
    for path in PARTS {
        shown(&fresh, path).await;
        shown(&stored, path).await;
    }
    assert!(shown(&stored, "history").await.contains("There are no entries."));
    assert!(shown(&stored, "history?text=x").await.contains("No entries match."));
    assert!(shown(&stored, "invoices").await.contains("There are no invoices."));
    assert!(shown(&stored, "consumption").await.contains("No consumption in this time."));
}

#[tokio::test]
async fn a_negative_balance_is_shown_in_every_part() {
    let mut status = accounts::status("-30.5");
    status["credits"]["debt"] = json!("30.5");
    let fake = Fake::start(settings(), objects(&status));
    fake.content().forbidden = vec!["get creditledgers"];
    let overview = shown(&fake, "").await;
    assert!(
        overview.contains("data-testid=\"burn-down\"") && overview.contains("is -30.5 credits"),
        "{overview}"
    );
    let rates = shown(&fake, "rates?quantity=1").await;
    assert!(rates.contains("-30.5") && rates.contains("-40.5"), "{rates}");
    let items = [(
        "2026-02-01T10:00:00Z",
        "Charged",
        "-30.5",
        json!({"amount": "30.5", "object": "UsageReport/gw-1", "debt": "30.5"}),
    )];
    let (fake, _folder) = recorded(&items, Vec::new()).await;
    let history = shown(&fake, "history").await;
    assert!(
        history.contains("30.5 credits became debt") && history.contains("class=\"negative\""),
        "{history}"
    );
}

#[tokio::test]
async fn other_parameters_give_a_page_that_says_what_is_allowed() {
    let (fake, _folder) = started().await;
    for (path, expected) in [
        ("consumption?window=8d", "`window` must be one of 24h, 7d, 30d, 90d, 180d, 365d"),
        ("consumption?from=x", "`from` must be a date or a time"),
        ("consumption?by=host", "`by` must be one of day, rate, repo"),
        ("consumption?by=day&by=rate", "the query is malformed"),
        ("history?kind=x", "`kind` must be one of granted"),
        ("history?before=x", "`before` must be a whole number"),
        ("invoices?before=a&after=b", "`before` or `after`, and not both"),
        ("rates?rate=x", "`rate` must be one of public-storage-egress"),
        ("rates?quantity=-1", "`quantity` must be a number"),
        ("rates?quantity=1&unit=x", "`unit` must be one of gb"),
    ] {
        let answered = part(&fake, path).await;
        assert_eq!(answered.status, 400, "{path}");
        let text = answered.text.to_lowercase();
        assert!(text.contains(expected), "{path}: {text}");
    }
    let missing = part(&fake, "invoices/acme-1f3a9c2e-9999").await;
    assert_eq!(missing.status, 404);
    assert!(missing.text.contains("The account has no invoice with this number"), "{}", missing.text);
}
