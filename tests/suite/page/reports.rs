//! Consumption, invoices, history and rates by clicks, each with its figures from the ledger.

use std::collections::BTreeSet;

use flashgate_ledger::Credits;
use serde_json::Value;

use super::account::{self, NAMESPACE};
use super::served::served;
use super::sign_in::signed_in;
use super::tab::{Scripts, Tab};

/// Returns the tab of a customer at a part of the account, or `None` where there is no browser.
async fn at(part: &str, scripts: Scripts) -> Option<Tab> {
    let served = served().await;
    account::account().await;
    let path = format!("/{NAMESPACE}/acme/{part}");
    signed_in(&served.internal, &served.token("customer"), scripts, &path).await
}

/// Returns a shown amount, such as `-1,234.5`.
fn amount(text: &str) -> Credits {
    text.replace([',', '+'], "").parse().expect("amount")
}

#[tokio::test]
async fn consumption_is_shown_by_range_and_label_and_its_file_has_the_same_sum() {
    for (scripts, _) in Scripts::BOTH {
        let Some(tab) = at("consumption", scripts).await else { return };
        tab.press("90d").await;
        let total = amount(&tab.figure().await);
        let ledger = account::account().await.ledger().await;
        let consumed = ledger["totals"]["consumed"].as_str().expect("total");
        assert_eq!(total, amount(consumed), "90 days hold all consumption");
        tab.press("Repository").await;
        let text = tab.text().await;
        for repository in ["docs", "api", "chat"] {
            assert!(text.contains(repository), "{repository}: {text}");
        }
        assert_eq!(amount(&tab.figure().await), total, "each label has the same sum");
        tab.press("Model").await;
        assert!(tab.text().await.contains("(without this label)"));
        let file = tab.download("a[download]").await;
        assert!(file.starts_with("model,") || file.starts_with("Model,"), "{file}");
        let column = file.lines().next().expect("head").split(',').position(|name| name == "credits");
        let column = column.expect("a column of credits");
        let cells = file.lines().skip(1).filter_map(|line| line.split(',').nth(column));
        assert_eq!(Credits::sum(cells.map(amount)).expect("sum"), total, "{file}");
        tab.press("24h").await;
        assert!(amount(&tab.figure().await) < total);
        tab.open(&format!("/{NAMESPACE}/acme/consumption?from=2026-08-01&to=2026-08-01")).await;
        assert!(tab.text().await.contains("2026-08-01"), "{}", tab.text().await);
        tab.is_clean().await;
        tab.open(&format!("/{NAMESPACE}/acme/consumption?from=2026-08-02&to=2026-08-01")).await;
        assert_eq!(tab.find("h1").await.text().await.expect("text"), "The request cannot be accepted");
        tab.close().await;
    }
}

#[tokio::test]
async fn an_invoice_is_opened_from_the_list_and_shows_the_customer_and_the_items() {
    for (scripts, _) in Scripts::BOTH {
        let Some(tab) = at("invoices", scripts).await else { return };
        let rows = tab.all("[data-testid='invoice-row']").await.len();
        let ledger = account::account().await.ledger().await;
        let issued = ledger["invoices"].as_array().map(Vec::len);
        assert_eq!(Some(rows), issued, "{ledger:#}");
        tab.open_first_invoice().await;
        let text = tab.text().await;
        for shown in
            ["ACME GmbH", "10115 Berlin", "DE123456789", "billing@acme.example", "Growth", "300.00 USD"]
        {
            assert!(text.contains(shown), "{shown}: {text}");
        }
        tab.is_clean().await;
        tab.open(&format!("/{NAMESPACE}/acme/invoices/acme-00000000-9999")).await;
        assert_eq!(tab.find("h1").await.text().await.expect("text"), "Not found");
        tab.close().await;
    }
}

#[tokio::test]
async fn the_history_is_filtered_and_its_pages_join_to_the_balance() {
    for (scripts, _) in Scripts::BOTH {
        let Some(tab) = at("history", scripts).await else { return };
        let mut rows = Vec::new();
        loop {
            let page = tab.run(ROWS).await;
            rows.extend(page.as_array().expect("rows").clone());
            tab.is_clean().await;
            if tab.all("a[rel='next']").await.is_empty() {
                break;
            }
            tab.press("Older").await;
        }
        let ids: BTreeSet<String> = rows.iter().map(|row| row[0].to_string()).collect();
        assert_eq!(ids.len(), rows.len(), "each entry is shown once");
        // Newest first: each balance is the one below it and the change.
        let balance = |row: &Value| amount(row[2].as_str().expect("balance"));
        let change = |row: &Value| match row[1].as_str().expect("change") {
            "" => Credits::ZERO,
            text => amount(text),
        };
        for pair in rows.windows(2) {
            let below = balance(&pair[1]).checked_add(change(&pair[0])).expect("sum");
            assert_eq!(balance(&pair[0]), below, "{pair:?}");
        }
        let status =
            account::account().await.get::<flashgate_api::Subscription>("acme").await.expect("status");
        assert_eq!(
            balance(&rows[0]),
            amount(status["status"]["credits"]["balance"].as_str().expect("balance"))
        );
        let kind = tab.field("Kind").await;
        kind.find(fantoccini::Locator::Css("[value='Purchased']"))
            .await
            .expect("kind")
            .click()
            .await
            .expect("chosen");
        tab.press("Filter").await;
        let purchases = tab.run(ROWS).await;
        assert_eq!(purchases.as_array().map(Vec::len), Some(1), "{purchases}");
        assert!(tab.text().await.contains("sprint-credits"));
        let file = tab.download("a[download]").await;
        assert_eq!(file.lines().count(), 2, "{file}");
        tab.press("Clear").await;
        tab.fill("Name or label begins with", "no such entry").await;
        tab.press("Filter").await;
        assert!(tab.text().await.contains("No entries match."));
        tab.is_clean().await;
        tab.close().await;
    }
}

/// Returns identifier, change and balance of each row of the history.
const ROWS: &str = "
    return [...document.querySelectorAll('[data-testid=history-row]')].map(row =>
        [row.id, ...[...row.querySelectorAll('td.number')].map(cell => cell.textContent.trim())]);";

#[tokio::test]
async fn the_calculator_shows_the_price_of_a_quantity() {
    for (scripts, _) in Scripts::BOTH {
        let Some(tab) = at("rates", scripts).await else { return };
        tab.fill("Quantity", "2.5").await;
        tab.press("Calculate").await;
        assert_eq!(tab.find("[role='status'] .figure").await.text().await.expect("text"), "25 credits");
        tab.fill("Quantity", "a lot").await;
        tab.press("Calculate").await;
        assert_eq!(tab.find("h1").await.text().await.expect("text"), "The request cannot be accepted");
        tab.close().await;
    }
}
