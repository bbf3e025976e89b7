//! `getCreditsBalance`.

use axum::extract::State;
use flashgate_api::UsageReport;
use flashgate_ledger::Credits;
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::rating;
use flashgate_preview::convert::report_fact;
use serde::Serialize;
use utoipa::ToSchema;

use super::{AccountErrors, AccountPath};
use crate::account::Account;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::kubernetes::{CallError, pending_fields};
use crate::number::{Number, Success, Time};
use crate::offers::STORAGE_EGRESS;
use crate::portal::Portal;
use crate::refused::Refused;

/// The balance of an account.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BalanceAnswer {
    #[schema(value_type = bool)]
    success: Success,
    data: Balance,
    /// Rights that the caller lacks. The parts that need them are left out. Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing_rights: Vec<&'static str>,
}

/// Credits of an account.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the published API has these names")]
pub struct Balance {
    /// Credits left, minus debt. Negative while there is debt.
    #[schema(value_type = f64)]
    credit_balance: Number,
    /// Time up to which consumption is charged. Null if there is no charge yet, or the caller may not know it.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    date_balance: Option<Time>,
    /// Credits left when the pending consumption is charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<f64>)]
    realtime_balance: Option<Number>,
    /// Consumption of reports that arrived and are not charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<f64>)]
    pending_consumption: Option<Number>,
    /// The pending consumption by its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    breakdown: Option<Breakdown>,
}

/// Pending consumption by its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Breakdown {
    /// Credits for storage egress.
    #[schema(value_type = f64)]
    storage: Number,
    /// Credits for everything else.
    #[schema(value_type = f64)]
    ai: Number,
}

/// Returns the credits of an account, and what its pending reports consume.
#[utoipa::path(
    get,
    path = "/api/{namespace}/{subscription}/credits/balance",
    operation_id = "getCreditsBalance",
    tag = "credits",
    params(AccountPath),
    responses((status = 200, description = "The balance", body = BalanceAnswer), AccountErrors),
    security(("token" = []))
)]
pub(crate) async fn get_credits_balance(
    State(portal): State<Portal>,
    caller: Caller,
) -> Result<Answer<BalanceAnswer>, Refused> {
    let account = portal.account(&caller).await?;
    let pending = pending(&portal, &caller).await?;
    Ok(Answer(balance(&account, pending)))
}

/// Returns the consumption of the pending reports, or `None` if the caller may not list them.
async fn pending(portal: &Portal, caller: &Caller) -> Result<Option<Breakdown>, Refused> {
    let Caller { token, namespace, name } = caller;
    let fields = pending_fields::<UsageReport>(name);
    let mut sums = Breakdown::default();
    let add = |report: UsageReport| sums.add(portal.catalog(), &report);
    match portal.kubernetes.list::<UsageReport>(token, namespace, &fields, add).await {
        Ok(()) => Ok(Some(sums)),
        Err(CallError::Forbidden { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Breakdown {
    /// Adds the cost of a report at the rates of the catalog (Law 1). A report that will be refused as a whole costs
    /// nothing.
    fn add(&mut self, catalog: &Catalog, report: &UsageReport) {
        if let Some(cost) = cost(catalog, report)
            && let (Ok(storage), Ok(ai)) =
                (self.storage.0.checked_add(cost.storage.0), self.ai.0.checked_add(cost.ai.0))
        {
            *self = Self { storage: storage.into(), ai: ai.into() };
        }
    }

    /// Returns the sum of both kinds.
    fn total(self) -> Credits {
        self.storage.0.checked_add(self.ai.0).unwrap_or_default()
    }
}

fn cost(catalog: &Catalog, report: &UsageReport) -> Option<Breakdown> {
    let fact = report_fact(report).ok()?;
    let (mut storage, mut ai) = (Credits::ZERO, Credits::ZERO);
    for total in &fact.usage {
        let rate = catalog.rate(&total.node_type, &total.operation)?;
        let credits = rating::rate(total.quantity, rate).ok()?;
        let kind = if total.operation == STORAGE_EGRESS { &mut storage } else { &mut ai };
        *kind = kind.checked_add(credits).ok()?;
    }
    Some(Breakdown { storage: storage.into(), ai: ai.into() })
}

fn balance(account: &Account, pending: Option<Breakdown>) -> BalanceAnswer {
    let book = account.book.known();
    let of_status = || {
        let shown = account.subscription.status.as_ref()?.credits.as_ref()?;
        shown.balance.as_str().parse().ok()
    };
    let of_ledger = book.and_then(|book| book.ledger.balance().ok());
    let balance: Credits = of_ledger.or_else(of_status).unwrap_or_default();
    let realtime = pending.and_then(|pending| balance.checked_sub(pending.total()).ok());
    let lacks_reports = pending.is_none().then_some("list usagereports");
    BalanceAnswer {
        success: Success,
        data: Balance {
            credit_balance: balance.into(),
            date_balance: book.map(|book| book.ledger.clock_time.into()),
            realtime_balance: realtime.map(Number),
            pending_consumption: pending.map(|pending| pending.total().into()),
            breakdown: pending,
        },
        missing_rights: account.book.missing_right().into_iter().chain(lacks_reports).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::accounts::{forbidden, known, without_ledger};
    use crate::tests::report;

    fn answer(account: &Account, pending: Option<Breakdown>) -> Value {
        serde_json::to_value(balance(account, pending)).expect("JSON")
    }

    fn breakdown(storage: &str, ai: &str) -> Breakdown {
        let number = |text: &str| Number(text.parse().expect("amount"));
        Breakdown { storage: number(storage), ai: number(ai) }
    }

    #[test]
    fn the_balance_is_the_ledgers_and_realtime_is_it_minus_what_is_pending() {
        let expected = json!({
            "success": true,
            "data": {
                "creditBalance": 1100, "dateBalance": "2026-01-31T10:00:00.000Z", "realtimeBalance": 969.75,
                "pendingConsumption": 130.25, "breakdown": {"storage": 120, "ai": 10.25},
            },
        });
        assert_eq!(answer(&known("starter"), Some(breakdown("120", "10.25"))), expected);
    }

    #[test]
    fn without_rights_the_status_is_shown_and_the_missing_parts_are_left_out() {
        let expected = json!({
            "success": true,
            "data": {"creditBalance": 900.5, "dateBalance": null},
            "missingRights": ["get creditledgers", "list usagereports"],
        });
        assert_eq!(answer(&forbidden("900.5"), None), expected);
    }

    #[test]
    fn a_new_account_has_zero_credits_at_no_date() {
        let found = answer(&without_ledger(), Some(Breakdown::default()));
        assert_eq!(found["data"]["creditBalance"], 0);
        assert_eq!(found["data"]["dateBalance"], Value::Null);
    }

    #[test]
    fn pending_reports_are_rated_by_kind_and_a_report_that_will_be_refused_costs_nothing() {
        let catalog = flashgate_testing::catalog::shipped();
        let mut sums = Breakdown::default();
        for lines in [
            json!([
                {"nodeType": "Public", "operation": "StorageEgress", "quantity": "12G"},
                {"nodeType": "Private", "operation": "TokensOut", "quantity": 250_000},
            ]),
            json!([{"nodeType": "Public", "operation": "TokensOut", "quantity": "1k"}]),
            json!([
                {"nodeType": "Public", "operation": "StorageEgress", "quantity": "1G"},
                {"nodeType": "Edge", "operation": "StorageEgress", "quantity": "1G"},
            ]),
        ] {
            sums.add(&catalog, &report(&lines));
        }
        assert_eq!(sums, breakdown("120", "13.5"));
    }
}
