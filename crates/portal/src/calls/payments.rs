//! `getPayments`.

use std::collections::HashSet;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use flashgate_ledger::invoice::InvoiceState;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{AccountErrors, AccountPath};
use crate::account::Account;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::history::{InvoiceRecord, ledger_only};
use crate::money::smallest_units;
use crate::number::{Success, Time};
use crate::parameters::{parsed, range};
use crate::portal::Portal;
use crate::refused::Refused;

/// Parameters of `getPayments`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub struct PaymentParameters {
    /// First day or time, such as `2026-01-31` or `2026-01-31T10:00:00Z`.
    start_date: Option<String>,
    /// Last day or time. A day is included as a whole.
    end_date: Option<String>,
}

/// The invoices of an account, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentsAnswer {
    #[schema(value_type = bool)]
    success: Success,
    data: Vec<PaymentItem>,
    /// False if there is no history: `data` then has only the invoices that the ledger keeps. Otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    history_available: Option<bool>,
}

/// An invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PaymentItem {
    /// Number of the invoice.
    id: String,
    /// Amount in the currency's smallest unit, such as cents.
    amount: i64,
    /// Currency in lower case, such as `usd`.
    currency: String,
    /// State of the payment.
    status: PaymentState,
    /// Time at which the invoice was issued.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Time,
}

/// State of the payment of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PaymentState {
    /// It is paid. The money may have been returned since.
    Completed,
    /// It awaits payment.
    Pending,
    /// It is no longer owed.
    Cancelled,
}

impl From<InvoiceState> for PaymentState {
    fn from(state: InvoiceState) -> Self {
        match state {
            InvoiceState::Open => Self::Pending,
            InvoiceState::Settled | InvoiceState::RefundDue | InvoiceState::Refunded => Self::Completed,
            InvoiceState::Void => Self::Cancelled,
        }
    }
}

/// Lists the invoices of an account, newest first.
#[utoipa::path(
    get,
    path = "/api/{namespace}/{subscription}/subscriptions/payments",
    operation_id = "getPayments",
    tag = "subscriptions",
    params(AccountPath, PaymentParameters),
    responses((status = 200, description = "The invoices", body = PaymentsAnswer), AccountErrors),
    security(("token" = []))
)]
pub(crate) async fn get_payments(
    State(portal): State<Portal>,
    caller: Caller,
    query: Result<Query<PaymentParameters>, QueryRejection>,
) -> Result<Answer<PaymentsAnswer>, Refused> {
    let account = portal.account(&caller).await?;
    let PaymentParameters { start_date, end_date } = parsed(query)?;
    let range = range(start_date.as_ref(), end_date.as_ref())?;
    let found = match portal.with_history(&caller, &account) {
        Some((history, key)) => history.invoices(&key).await.inspect_err(super::log_history).ok(),
        None => None,
    };
    Ok(Answer(answer(&account, found, range)))
}

/// Returns the invoices of the account and the older ones of the history.
fn answer(
    account: &Account,
    found: Option<Vec<InvoiceRecord>>,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
) -> PaymentsAnswer {
    let has_history = found.is_some();
    // The history is a moment behind the ledger.
    let mut invoices = ledger_only::invoices(account.invoices());
    let known: HashSet<String> = invoices.iter().map(|invoice| invoice.number.clone()).collect();
    invoices.extend(found.unwrap_or_default().into_iter().filter(|invoice| !known.contains(&invoice.number)));
    invoices.retain(|invoice| {
        from.is_none_or(|from| from <= invoice.time) && to.is_none_or(|to| invoice.time <= to)
    });
    // A stable sort: invoices of one instant stay newest first.
    invoices.sort_by_key(|invoice| std::cmp::Reverse(invoice.time));
    PaymentsAnswer {
        success: Success,
        data: invoices.into_iter().map(item).collect(),
        history_available: (!has_history).then_some(false),
    }
}

fn item(invoice: InvoiceRecord) -> PaymentItem {
    PaymentItem {
        amount: smallest_units(invoice.amount, &invoice.currency),
        id: invoice.number,
        currency: invoice.currency.to_lowercase(),
        status: invoice.state.into(),
        timestamp: invoice.time.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::accounts::{forbidden, known};

    fn record(number: &str, time: &str, amount: &str, state: InvoiceState) -> InvoiceRecord {
        InvoiceRecord {
            number: number.to_owned(),
            time: time.parse().expect("time"),
            amount: amount.parse().expect("amount"),
            currency: "USD".to_owned(),
            state,
        }
    }

    fn shown(
        account: &Account,
        found: Option<Vec<InvoiceRecord>>,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Value {
        let time = |text: &str| text.parse::<Timestamp>().expect("time");
        serde_json::to_value(answer(account, found, (from.map(time), to.map(time)))).expect("JSON")
    }

    #[test]
    fn the_ledgers_invoices_are_shown_in_cents_and_the_answer_says_that_there_is_no_history() {
        let expected = json!({
            "success": true,
            "data": [{
                "id": "acme-1f3a9c2e-0001", "amount": 10_000, "currency": "usd", "status": "COMPLETED",
                "timestamp": "2026-01-31T10:00:00.000Z",
            }],
            "historyAvailable": false,
        });
        assert_eq!(shown(&known("starter"), None, None, None), expected);
    }

    #[test]
    fn older_invoices_come_from_the_history_and_the_ledger_decides_on_the_state_of_its_own() {
        let found = vec![
            record("acme-1f3a9c2e-0001", "2026-01-31T10:00:00Z", "100", InvoiceState::Open),
            record("acme-00000000-0002", "2025-12-31T10:00:00Z", "19.999", InvoiceState::Void),
            record("acme-00000000-0001", "2025-11-30T10:00:00Z", "20", InvoiceState::Refunded),
        ];
        let shown = shown(&known("starter"), Some(found), None, None);
        let states: Vec<_> = shown["data"]
            .as_array()
            .expect("list")
            .iter()
            .map(|item| (item["amount"].as_i64(), item["status"].as_str()))
            .collect();
        let expected = [(10_000, "COMPLETED"), (2_000, "CANCELLED"), (2_000, "COMPLETED")]
            .map(|(amount, state)| (Some(amount), Some(state)));
        assert_eq!(states, expected);
        assert_eq!(shown.get("historyAvailable"), None);
    }

    #[test]
    fn both_ends_of_the_range_are_included() {
        let account = known("starter");
        let count = |from, to| shown(&account, None, from, to)["data"].as_array().map(Vec::len);
        let time = "2026-01-31T10:00:00Z";
        assert_eq!(count(Some(time), Some(time)), Some(1));
        assert_eq!(count(Some("2026-01-31T10:00:01Z"), None), Some(0));
        assert_eq!(count(None, Some("2026-01-31T09:59:59Z")), Some(0));
    }

    #[test]
    fn without_invoices_the_list_is_empty() {
        assert_eq!(shown(&forbidden("0"), None, None, None)["data"], json!([]));
    }

    #[test]
    fn every_state_of_an_invoice_is_a_state_of_a_payment() {
        let states = InvoiceState::ALL.map(|state| json!(PaymentState::from(state)));
        assert_eq!(json!(states), json!(["PENDING", "COMPLETED", "CANCELLED", "COMPLETED", "COMPLETED"]));
    }
}
