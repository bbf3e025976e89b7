//! The history without a store: the entries that a ledger keeps.

use jiff::Timestamp;
use serde_json::Value;

use super::{Cause, InvoiceRecord, Transaction, TransactionPage, TransactionQuery, Usage};
use crate::account::AccountInvoice;
use crate::book::{EntryContent, KeptEntry};

/// Returns a page of the transactions among the entries of a ledger, which are oldest first.
#[must_use]
pub fn transactions(entries: &[KeptEntry], query: &TransactionQuery) -> TransactionPage {
    let found: Vec<Transaction> =
        entries.iter().rev().filter_map(transaction).filter(|found| is_requested(found, query)).collect();
    let total = u64::try_from(found.len()).unwrap_or(u64::MAX);
    let offset = usize::try_from(query.offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    TransactionPage { transactions: found.into_iter().skip(offset).take(limit).collect(), total }
}

/// Returns invoices as records of a history, newest first.
#[must_use]
pub fn invoices(invoices: Vec<AccountInvoice>) -> Vec<InvoiceRecord> {
    let record = |invoice: AccountInvoice| {
        let AccountInvoice { number, time, amount, currency, state, purpose: _ } = invoice;
        InvoiceRecord { number, time, amount, currency, state }
    };
    invoices.into_iter().rev().map(record).collect()
}

fn is_requested(transaction: &Transaction, query: &TransactionQuery) -> bool {
    let is_consumption = matches!(transaction.cause, Cause::Usage(_));
    query.has_direction(is_consumption)
        && query.has_time(transaction.time)
        && query.repo.as_deref().is_none_or(|repo| transaction.label("repo") == Some(repo))
}

/// Returns the transaction of an entry, if it is one: credits of plans, packs and adjustments, and consumption.
#[must_use]
pub fn transaction(entry: &KeptEntry) -> Option<Transaction> {
    let KeptEntry { id, number: _, content } = entry;
    let credits = content.amount();
    let (credits, cause) = match content.kind.as_str() {
        "Charged" => (credits.negated(), Cause::Usage(Box::new(usage(content)))),
        kind => (credits, credit_cause(kind, content)?),
    };
    Some(Transaction { id: id.clone(), time: content.time, credits, cause })
}

/// Returns the cause of an entry by which credits arrived.
#[must_use]
pub fn credit_cause(kind: &str, content: &EntryContent) -> Option<Cause> {
    let text = |field: &str| content.text(field).unwrap_or_default().to_owned();
    match kind {
        "Granted" => Some(Cause::Plan {
            plan: text("plan"),
            period_number: content.detail.get("periodNumber").and_then(Value::as_i64).unwrap_or_default(),
        }),
        "Purchased" => Some(Cause::Pack { pack: text("pack") }),
        "Adjusted" => Some(Cause::Adjustment { reason: text("reason") }),
        _ => None,
    }
}

fn usage(content: &EntryContent) -> Usage {
    let instant = |field: &str| {
        let text = content.detail.get("window")?.get(field)?.as_str()?;
        text.parse::<Timestamp>().ok()
    };
    let object = content.text("object").unwrap_or_default();
    Usage {
        report: object.strip_prefix("UsageReport/").unwrap_or(object).to_owned(),
        source: content.text("source").unwrap_or_default().to_owned(),
        window: instant("startTime").zip(instant("endTime")),
        line: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Direction;
    use super::*;

    fn entry(day: u32, kind: &str, credits: &str, detail: Value) -> KeptEntry {
        let content = EntryContent {
            time: format!("2026-03-{day:02}T10:00:00Z").parse().expect("time"),
            kind: kind.to_owned(),
            credits: credits.parse().expect("amount"),
            detail,
        };
        KeptEntry { id: format!("{kind}-{day}"), number: None, content }
    }

    /// Returns one entry of each kind that is a transaction, and of some that are not.
    fn entries() -> Vec<KeptEntry> {
        vec![
            entry(1, "Granted", "1100", json!({"amount": "1100", "plan": "starter", "periodNumber": 2})),
            entry(2, "Invoiced", "0", json!({"amount": "20", "currency": "USD"})),
            entry(2, "Purchased", "100", json!({"amount": "100", "pack": "plus-100"})),
            entry(3, "Adjusted", "5.5", json!({"amount": "5.5", "reason": "outage"})),
            entry(
                4,
                "Charged",
                "-20",
                json!({
                    "amount": "120", "object": "UsageReport/gw-1", "source": "gw",
                    "window": {"startTime": "2026-03-04T08:00:00Z", "endTime": "2026-03-04T09:00:00Z"},
                }),
            ),
            entry(5, "Expired", "-10", json!({"amount": "10"})),
            entry(6, "Refunded", "-10", json!({"amount": "10"})),
        ]
    }

    fn ids(query: &TransactionQuery) -> (Vec<String>, u64) {
        let page = transactions(&entries(), query);
        (page.transactions.into_iter().map(|found| found.id).collect(), page.total)
    }

    fn all() -> TransactionQuery {
        TransactionQuery { limit: 50, ..TransactionQuery::default() }
    }

    #[test]
    fn grants_purchases_adjustments_and_charges_are_transactions_newest_first() {
        let (found, total) = ids(&all());
        assert_eq!(found, ["Charged-4", "Adjusted-3", "Purchased-2", "Granted-1"]);
        assert_eq!(total, 4);
    }

    #[test]
    fn a_charge_has_its_whole_amount_although_settling_credits_paid_a_part() {
        let page = transactions(&entries(), &all());
        assert_eq!(page.transactions[0].credits.to_string(), "-120");
        let Cause::Usage(usage) = &page.transactions[0].cause else { unreachable!("usage") };
        assert_eq!((usage.report.as_str(), usage.source.as_str()), ("gw-1", "gw"));
        assert_eq!(usage.window.expect("window").1.to_string(), "2026-03-04T09:00:00Z");
    }

    #[test]
    fn each_filter_selects_its_transactions_and_total_counts_all_pages() {
        let time = |text: &str| text.parse::<Timestamp>().ok();
        let of = |direction| TransactionQuery { direction, ..all() };
        assert_eq!(ids(&of(Direction::Out)).0, ["Charged-4"]);
        assert_eq!(ids(&of(Direction::In)).0, ["Adjusted-3", "Purchased-2", "Granted-1"]);
        let range = TransactionQuery {
            from: time("2026-03-02T10:00:00Z"),
            to: time("2026-03-03T10:00:00Z"),
            ..all()
        };
        assert_eq!(ids(&range).0, ["Adjusted-3", "Purchased-2"], "both ends are included");
        let page = TransactionQuery { offset: 2, limit: 1, ..all() };
        assert_eq!(ids(&page), (vec!["Purchased-2".to_owned()], 4));
        let beyond = TransactionQuery { offset: u64::MAX, ..all() };
        assert_eq!(ids(&beyond), (Vec::new(), 4));
        let labelled = TransactionQuery { repo: Some("media".to_owned()), ..all() };
        assert_eq!(ids(&labelled), (Vec::new(), 0), "a ledger keeps no labels");
    }
}
