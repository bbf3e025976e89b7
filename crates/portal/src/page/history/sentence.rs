//! Sentences that explain the entries of an account.

use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::{Credits, Quantity};

use super::detail::{Detail, credits};
use crate::book::EntryContent;
use crate::history::records::ChargedLine;
use crate::history::{Record, RecordContent};
use crate::offers::{STORAGE_EGRESS, TOKENS_OUT};
use crate::page::format;
use crate::page::rates::{nodes_name, operation_name, quantity_text};

/// Most rates that the sentence of a charge names.
const MOST_RATES: usize = 3;

/// Returns the sentence that explains a record.
pub(crate) fn sentence(catalog: &Catalog, record: &Record) -> String {
    match &record.content {
        RecordContent::Entry(entry, lines) => entry_sentence(catalog, entry, lines),
        RecordContent::Opening => {
            "The history begins here. It has no earlier entries, and the balance is the one at that time."
                .to_owned()
        }
        RecordContent::Gap { first, last } => format!(
            "The history has lost the entries {first} to {last}. The balance is the one after them, and is exact."
        ),
    }
}

fn entry_sentence(catalog: &Catalog, entry: &EntryContent, lines: &[ChargedLine]) -> String {
    let detail = Detail::of(catalog, entry);
    let object = || detail.object().unwrap_or_default();
    match entry.kind.as_str() {
        "Granted" => {
            let period = detail.number("periodNumber");
            format!("{}, period {period}: {}{}.", detail.plan(), detail.credits("amount"), arrival(detail))
        }
        "Purchased" => {
            format!("{}: pack {}, {}{}.", object(), pack(detail), detail.credits("amount"), arrival(detail))
        }
        "Adjusted" => {
            let reason = detail.text("reason").unwrap_or_default();
            format!("{}: {}{}. Reason: {reason}", object(), detail.credits("amount"), arrival(detail))
        }
        "Charged" => charge(entry, detail, lines),
        "Expired" => format!("{} of {} expired.", detail.credits("amount"), detail.grant()),
        "SettlementClosed" => format!(
            "Late usage can no longer use the {} of {} that expired before.",
            detail.credits("amount"),
            detail.grant()
        ),
        "Threshold" => {
            format!("Consumption reached {} % of the credits of the period.", detail.number("percent"))
        }
        "Accepted" => format!(
            "An administrator accepted the stored ledger with sequence {}. Earlier entries do not explain its balance.",
            detail.number("sequence")
        ),
        "Refused" => {
            let message = detail.text("message").unwrap_or_default();
            format!("{} was refused ({}): {message}", object(), detail.text("reason").unwrap_or_default())
        }
        "PlanChanged" | "Renewed" | "Lapsed" => plan_sentence(&entry.kind, detail),
        "Invoiced" | "Settled" | "Voided" | "Refunded" => invoice_sentence(&entry.kind, detail),
        kind => format!("An entry of the kind {kind}, which this version cannot explain."),
    }
}

/// Returns the part of a sentence about arrived credits: their invoice, the debt that they repaid, their expiration.
fn arrival(detail: Detail<'_>) -> String {
    let invoice = detail.text("invoice").map(|invoice| format!(", paid by invoice {invoice}"));
    let repaid = detail.positive("debtRepaid").map(|repaid| format!("; {} repaid debt", credits(repaid)));
    let expiration = match detail.time_text("expirationTime") {
        Some(time) => format!("; the rest expires on {time}"),
        None => "; they never expire".to_owned(),
    };
    [invoice, repaid, Some(expiration)].into_iter().flatten().collect()
}

fn pack(detail: Detail<'_>) -> String {
    crate::offers::pack_name(detail.catalog, detail.text("pack").unwrap_or_default())
}

/// Returns the sentence of a charge: what was used, and which grants paid.
fn charge(entry: &EntryContent, detail: Detail<'_>, lines: &[ChargedLine]) -> String {
    let amount = detail.amount("amount");
    let used = usage(lines);
    let used = if used.is_empty() { String::new() } else { format!(" for {used}") };
    let payers: Vec<String> =
        detail.payers().iter().map(|(grant, paid)| format!("{grant} ({})", format::credits(*paid))).collect();
    // The balance falls by the whole charge, except by what expired credits paid.
    let settled = amount.checked_add(entry.credits).ok().filter(|settled| settled.is_positive());
    let parts = [
        Some(format!("{}: {}{used}", detail.object().unwrap_or_default(), credits(amount))),
        (!payers.is_empty()).then(|| format!("paid by {}", joined(&payers))),
        detail.positive("debt").map(|debt| format!("{} became debt", credits(debt))),
        settled.map(|paid| format!("{} of it came from expired credits that were settling", credits(paid))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{}.", parts.join("; "))
}

/// Returns the usage of lines by rate, the most expensive first: `1.2 GB on public nodes`.
fn usage(lines: &[ChargedLine]) -> String {
    let mut rates: Vec<(&str, &str, Quantity, Credits)> = Vec::new();
    for ChargedLine { line, credits } in lines {
        let known = rates
            .iter_mut()
            .find(|(node_type, operation, ..)| *node_type == line.node_type && *operation == line.operation);
        match known {
            Some((.., quantity, sum)) => {
                // A report is within the exact range (Law 2).
                *quantity = quantity.checked_add(line.quantity).unwrap_or(*quantity);
                *sum = sum.checked_add(*credits).unwrap_or(*sum);
            }
            None => rates.push((&line.node_type, &line.operation, line.quantity, *credits)),
        }
    }
    rates.sort_by_key(|(.., credits)| std::cmp::Reverse(*credits));
    let mut texts: Vec<String> = rates
        .iter()
        .take(MOST_RATES)
        .map(|(node_type, operation, quantity, _)| {
            let quantity = quantity_text(operation, *quantity);
            let of = match *operation {
                STORAGE_EGRESS | TOKENS_OUT => String::new(),
                other => format!(" of {}", operation_name(other).to_lowercase()),
            };
            format!("{quantity}{of} on {}", nodes_name(node_type))
        })
        .collect();
    let rest = rates.len().saturating_sub(MOST_RATES);
    if rest > 0 {
        texts.push(format!("usage of {rest} more rates"));
    }
    joined(&texts)
}

/// Returns texts as a list: `a`, `a and b`, or `a, b and c`.
fn joined(texts: &[String]) -> String {
    match texts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn plan_sentence(kind: &str, detail: Detail<'_>) -> String {
    match kind {
        "PlanChanged" => {
            let to = detail.plan_within("to").unwrap_or_default();
            let period = detail.number("periodNumber");
            match detail.plan_within("from") {
                Some(from) => format!("The plan changed from {from} to {to}. Period {period} began."),
                None => format!("The plan {to} began with period {period}."),
            }
        }
        "Renewed" => {
            let end = detail.time_text_within("period", "endTime").unwrap_or_default();
            format!(
                "{} was renewed. Period {} began, and ends on {end}.",
                detail.plan(),
                detail.number("periodNumber")
            )
        }
        _ => {
            let from = detail.plan_within("from").unwrap_or_default();
            let cause = match detail.text("cause").unwrap_or_default() {
                "RenewalNone" => "renewal is off",
                "PaymentOverdue" => "its invoice was not paid in time",
                "PlanNotFound" => "the catalog no longer has it",
                other => other,
            };
            let next = detail
                .plan_within("to")
                .map_or_else(|| "No plan follows".to_owned(), |to| format!("{to} follows"));
            format!("{from} ended because {cause}. {next}.")
        }
    }
}

fn invoice_sentence(kind: &str, detail: Detail<'_>) -> String {
    let number = detail.text("invoice").unwrap_or_default();
    let by = detail.object().map(|object| format!(" by {object}")).unwrap_or_default();
    match kind {
        "Invoiced" => {
            let reason = detail.text("reason").unwrap_or_default().to_lowercase();
            let due = match detail.time_text("dueTime") {
                Some(due) => format!("Pay it by {due}."),
                None => "It was settled at once.".to_owned(),
            };
            format!("Invoice {number} of {} was issued ({reason}). {due}", detail.money())
        }
        "Settled" if detail.text("state") == Some("RefundDue") => {
            format!(
                "Invoice {number} of {} was paid{by} although it was void. The money is to be paid back.",
                detail.money()
            )
        }
        "Settled" => format!("Invoice {number} of {} was paid{by}.", detail.money()),
        "Voided" => {
            let cause = match detail.text("cause").unwrap_or_default() {
                "Superseded" => "another invoice replaced it",
                "PaymentCancelled" => "its payment was cancelled",
                "PaymentExpired" => "it was not paid in time",
                other => other,
            };
            format!("Invoice {number} of {} is no longer owed, because {cause}{by}.", detail.money())
        }
        _ => {
            let taken = match detail.text("grant") {
                Some(_) => format!("{} of {} were taken back.", detail.credits("amount"), detail.grant()),
                None => "It had given no credits.".to_owned(),
            };
            format!("Invoice {number} was refunded{by}. {taken}")
        }
    }
}

#[cfg(test)]
mod tests {
    use flashgate_testing::catalog::shipped;
    use serde_json::{Value, json};

    use super::*;
    use crate::history::UsageLine;

    fn explained(kind: &str, credits: &str, detail: Value, lines: &[ChargedLine]) -> String {
        let entry = EntryContent {
            time: "2026-03-04T10:00:00Z".parse().expect("time"),
            kind: kind.to_owned(),
            credits: credits.parse().expect("amount"),
            detail,
        };
        entry_sentence(&shipped(), &entry, lines)
    }

    fn line(node_type: &str, operation: &str, quantity: &str, credits: &str) -> ChargedLine {
        let line = UsageLine {
            node_type: node_type.to_owned(),
            operation: operation.to_owned(),
            quantity: quantity.parse().expect("quantity"),
            labels: std::collections::BTreeMap::new(),
        };
        ChargedLine { line, credits: credits.parse().expect("amount") }
    }

    #[test]
    fn a_charge_names_its_usage_and_the_grants_that_paid() {
        let detail = json!({
            "amount": "12", "object": "UsageReport/gw-1", "source": "gw", "debt": "0",
            "paidBy": [{"grant": "plan/3", "amount": "10"}, {"grant": "pack/order-7", "amount": "2"}],
        });
        let lines =
            vec![line("Public", "StorageEgress", "1G", "10"), line("Public", "StorageEgress", "200M", "2")];
        assert_eq!(
            explained("Charged", "-12", detail, &lines),
            "UsageReport gw-1: 12 credits for 1.2 GB on public nodes; paid by plan period 3 (10) and pack order-7 (2)."
        );
    }

    #[test]
    fn a_charge_says_what_became_debt_and_what_settling_credits_paid() {
        let detail = json!({
            "amount": "30", "object": "UsageReport/gw-1", "debt": "12",
            "paidBy": [{"grant": "adjustment/outage", "amount": "8"}, {"grant": "plan/2", "amount": "10"}],
        });
        assert_eq!(
            explained("Charged", "-20", detail, &[]),
            "UsageReport gw-1: 30 credits; paid by adjustment outage (8) and plan period 2 (10); 12 credits became debt; \
             10 credits of it came from expired credits that were settling."
        );
        let lines = vec![
            line("Public", "TokensOut", "1M", "1000"),
            line("Private", "TokensOut", "1M", "50"),
            line("Edge", "GpuSeconds", "90", "20"),
            line("Edge", "A", "1", "1"),
            line("Edge", "B", "1", "1"),
        ];
        let detail = json!({"amount": "1072", "object": "UsageReport/gw-2", "debt": "0", "paidBy": []});
        assert_eq!(
            explained("Charged", "-1072", detail, &lines),
            "UsageReport gw-2: 1,072 credits for 1,000,000 tokens on public nodes, 1,000,000 tokens on private nodes, \
             90 of gpu seconds on edge nodes and usage of 2 more rates."
        );
    }

    #[test]
    fn arrived_credits_name_their_source_and_their_expiration() {
        let detail = json!({
            "amount": "1100", "grant": "plan/3", "plan": "starter", "billingPeriod": "Monthly", "periodNumber": 3,
            "expirationTime": "2026-04-01T10:00:00Z", "debtRepaid": "30",
        });
        assert_eq!(
            explained("Granted", "1100", detail, &[]),
            "Starter (monthly), period 3: 1,100 credits; 30 credits repaid debt; the rest expires on 1 Apr 2026, 10:00 UTC."
        );
        let detail = json!({
            "amount": "100", "grant": "pack/order-7", "object": "CreditPack/order-7", "pack": "plus-100",
            "invoice": "acme-1f3a9c2e-0007", "debtRepaid": "0",
        });
        assert_eq!(
            explained("Purchased", "100", detail, &[]),
            "CreditPack order-7: pack +100 credits, 100 credits, paid by invoice acme-1f3a9c2e-0007; they never expire."
        );
        let detail = json!({
            "amount": "1", "grant": "adjustment/outage", "object": "CreditAdjustment/outage", "reason": "outage",
            "debtRepaid": "0",
        });
        assert_eq!(
            explained("Adjusted", "1", detail, &[]),
            "CreditAdjustment outage: 1 credit; they never expire. Reason: outage"
        );
    }

    #[test]
    fn every_kind_of_the_laws_has_a_sentence() {
        for kind in flashgate_ledger::entry::Detail::KINDS {
            let sentence = explained(kind, "0", json!({}), &[]);
            assert!(!sentence.contains("cannot explain"), "{kind}: {sentence}");
        }
        assert!(explained("Later", "0", json!({}), &[]).contains("the kind Later"));
    }

    #[test]
    fn changes_of_the_plan_and_of_invoices_are_explained() {
        let starter = json!({"plan": "starter", "billingPeriod": "Monthly"});
        let growth = json!({"plan": "growth", "billingPeriod": "Yearly"});
        let invoice = "acme-1f3a9c2e-0007";
        let paid = json!({
            "amount": "20", "currency": "USD", "invoice": invoice, "state": "Settled", "object": "Payment/evt-1",
        });
        for (kind, detail, expected) in [
            (
                "PlanChanged",
                json!({"from": starter, "to": growth, "periodNumber": 4}),
                "The plan changed from Starter (monthly) to Growth (yearly). Period 4 began.",
            ),
            (
                "PlanChanged",
                json!({"to": starter, "periodNumber": 1}),
                "The plan Starter (monthly) began with period 1.",
            ),
            (
                "Renewed",
                json!({"plan": "starter", "billingPeriod": "Monthly", "periodNumber": 2, "period": {"startTime": "2026-02-01T10:00:00Z", "endTime": "2026-03-01T10:00:00Z"}}),
                "Starter (monthly) was renewed. Period 2 began, and ends on 1 Mar 2026, 10:00 UTC.",
            ),
            (
                "Lapsed",
                json!({"from": starter, "cause": "PaymentOverdue"}),
                "Starter (monthly) ended because its invoice was not paid in time. No plan follows.",
            ),
            (
                "Invoiced",
                json!({"amount": "20", "currency": "USD", "invoice": invoice, "reason": "Pack", "dueTime": "2026-04-01T10:00:00Z"}),
                "Invoice acme-1f3a9c2e-0007 of 20.00 USD was issued (pack). Pay it by 1 Apr 2026, 10:00 UTC.",
            ),
            ("Settled", paid, "Invoice acme-1f3a9c2e-0007 of 20.00 USD was paid by Payment evt-1."),
            (
                "Voided",
                json!({"amount": "20", "currency": "USD", "invoice": invoice, "cause": "PaymentExpired"}),
                "Invoice acme-1f3a9c2e-0007 of 20.00 USD is no longer owed, because it was not paid in time.",
            ),
            (
                "Refunded",
                json!({"amount": "80", "grant": "pack/order-7", "invoice": invoice, "object": "Payment/evt-2"}),
                "Invoice acme-1f3a9c2e-0007 was refunded by Payment evt-2. 80 credits of pack order-7 were taken back.",
            ),
            ("Expired", json!({"amount": "5", "grant": "plan/1"}), "5 credits of plan period 1 expired."),
            ("Threshold", json!({"percent": 80}), "Consumption reached 80 % of the credits of the period."),
            (
                "Refused",
                json!({"object": "CreditPack/p", "reason": "UnknownPack", "message": "the catalog has no pack 'x'"}),
                "CreditPack p was refused (UnknownPack): the catalog has no pack 'x'",
            ),
        ] {
            assert_eq!(explained(kind, "0", detail, &[]), expected);
        }
    }
}
