//! `getCheckoutSessionStatus`.

use std::collections::HashMap;

use axum::extract::{Path, State};
use flashgate_api::{CreditPack, CreditPackState, READY, condition};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{AccountErrors, AccountPath};
use crate::account::{Account, AccountInvoice, InvoicePurpose, observes};
use crate::answer::Answer;
use crate::caller::{Caller, is_object_name};
use crate::history::InvoiceRecord;
use crate::number::Success;
use crate::portal::Portal;
use crate::refused::{ErrorCode, Refused};
use crate::sessions::{self, Session};
use crate::verdict::{PaymentStatus, SessionStatus, of_invoice};

/// The session of a call.
#[derive(Clone, Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes the path in the OpenAPI document")]
pub struct SessionPath {
    /// Identifier of a session: the number of an invoice, or the `sessionId` of a purchase.
    id: String,
}

/// The state of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionAnswer {
    #[schema(value_type = bool)]
    success: Success,
    /// Identifier of the session.
    id: String,
    /// State of the session.
    status: SessionStatus,
    /// State of its payment.
    payment_status: PaymentStatus,
    /// Plan that the session is for. Null for a pack, or if it is not known any more.
    #[serde(rename = "subscriptionId")]
    #[schema(required)]
    subscription_id: Option<String>,
}

/// Returns the state of a purchase or of an invoice.
#[utoipa::path(
    get,
    path = "/api/{namespace}/{subscription}/subscriptions/checkout-session/{id}",
    operation_id = "getCheckoutSessionStatus",
    tag = "subscriptions",
    params(AccountPath, SessionPath),
    responses((status = 200, description = "The session", body = SessionAnswer), AccountErrors),
    security(("token" = []))
)]
pub(crate) async fn get_checkout_session_status(
    State(portal): State<Portal>,
    caller: Caller,
    Path(path): Path<HashMap<String, String>>,
) -> Result<Answer<SessionAnswer>, Refused> {
    let account = portal.account(&caller).await?;
    let id = path.get("id").map(String::as_str).unwrap_or_default();
    let Found(status, payment_status, subscription_id) = portal.session(&caller, &account, id).await?;
    Ok(Answer(SessionAnswer { success: Success, id: id.to_owned(), status, payment_status, subscription_id }))
}

impl Portal {
    /// Returns the state of the session with this id.
    ///
    /// # Errors
    /// When a call fails, or the account has no such session.
    pub(crate) async fn session(
        &self,
        caller: &Caller,
        account: &Account,
        id: &str,
    ) -> Result<Found, Refused> {
        match sessions::parse(id) {
            Session::Order(name) if is_object_name(name) => {
                let order = self.order(caller, name).await?.ok_or_else(invalid)?;
                of_order(account, &order).ok_or_else(invalid)
            }
            Session::Order(_) => Err(invalid()),
            Session::Change(generation) => of_change(account, generation, false).ok_or_else(invalid),
            Session::Free(generation) => of_change(account, generation, true).ok_or_else(invalid),
            Session::Invoice(number) => match of_number(account, number) {
                Some(state) => Ok(state),
                None => older(self, caller, account, number).await.ok_or_else(invalid),
            },
        }
    }
}

/// The states of a session and of its payment, and its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found(pub SessionStatus, pub PaymentStatus, pub Option<String>);

/// Returns the state of an order of this account, and `None` for an order of another one.
fn of_order(account: &Account, order: &CreditPack) -> Option<Found> {
    if Some(&order.spec.subscription_ref.name) != account.subscription.metadata.name.as_ref() {
        return None;
    }
    let status = order.status.clone().unwrap_or_default();
    let is_owed = status.invoice.is_some();
    let paid = if is_owed { PaymentStatus::Paid } else { PaymentStatus::NoPaymentRequired };
    Some(match status.state {
        None | Some(CreditPackState::AwaitingPayment) => {
            Found(SessionStatus::Open, PaymentStatus::Unpaid, None)
        }
        Some(CreditPackState::Granted | CreditPackState::Refunded) => {
            Found(SessionStatus::Complete, paid, None)
        }
        Some(CreditPackState::Refused) => Found(SessionStatus::Expired, PaymentStatus::Unpaid, None),
    })
}

/// Returns the state of the change that a generation of the Subscription requested.
fn of_change(account: &Account, generation: i64, is_free: bool) -> Option<Found> {
    let subscription = &account.subscription;
    if generation > subscription.metadata.generation.unwrap_or_default() {
        return None;
    }
    let requested = Some(subscription.spec.plan.clone());
    if !observes(subscription, generation) {
        let unpaid = if is_free { PaymentStatus::NoPaymentRequired } else { PaymentStatus::Unpaid };
        return Some(Found(SessionStatus::Open, unpaid, requested));
    }
    let status = account.status();
    let ready = condition(&status.conditions, READY);
    let is_refused = ready.is_some_and(|ready| {
        matches!(ready.reason.as_str(), "PlanNotFound" | "BillingPeriodNotOffered" | "LedgerFull")
    });
    if is_refused {
        return Some(Found(SessionStatus::Expired, PaymentStatus::Unpaid, requested));
    }
    let invoices = account.invoices();
    let open = invoices.iter().find(|invoice| invoice.is_open_plan_invoice());
    if open.is_some() && !is_free {
        return Some(Found(SessionStatus::Open, PaymentStatus::Unpaid, requested));
    }
    Some(Found(SessionStatus::Complete, PaymentStatus::NoPaymentRequired, requested))
}

/// Returns the state of an invoice that the ledger or the status knows.
fn of_number(account: &Account, number: &str) -> Option<Found> {
    let invoice = account.invoices().into_iter().find(|invoice| invoice.number == number)?;
    let (status, payment) = of_invoice(invoice.state);
    Some(Found(status, payment, plan_of(account, &invoice)))
}

/// Returns the plan that an invoice is for.
fn plan_of(account: &Account, invoice: &AccountInvoice) -> Option<String> {
    if invoice.purpose == InvoicePurpose::Pack {
        return None;
    }
    match account.plan_of_invoice(&invoice.number) {
        Some(paid) => Some(paid.plan),
        None => Some(account.subscription.spec.plan.clone()).filter(|_| invoice.is_open_plan_invoice()),
    }
}

/// Returns the state of an invoice that only the history knows.
async fn older(portal: &Portal, caller: &Caller, account: &Account, number: &str) -> Option<Found> {
    let (history, key) = portal.with_history(caller, account)?;
    let found = history.invoices(&key).await.inspect_err(super::log_history).ok()?;
    let is_asked_for = |invoice: &InvoiceRecord| invoice.number == number;
    let (status, payment) = of_invoice(found.into_iter().find(is_asked_for)?.state);
    Some(Found(status, payment, None))
}

fn invalid() -> Refused {
    let message = "this account has no such session: take the identifier from the answer to a purchase";
    Refused::new(ErrorCode::InvalidSession, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::accounts::{known, unpaid, without_ledger};

    fn order(subscription: &str, status: &serde_json::Value) -> CreditPack {
        let object = json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "CreditPack", "metadata": {"name": "one"},
            "spec": {"subscriptionRef": {"name": subscription}, "pack": "plus-100"}, "status": status,
        });
        serde_json::from_value(object).expect("order")
    }

    #[test]
    fn each_state_of_an_order_is_a_state_of_its_session() {
        let account = known("starter");
        for (status, expected) in [
            (json!(null), (SessionStatus::Open, PaymentStatus::Unpaid)),
            (
                json!({"state": "AwaitingPayment", "invoice": "a"}),
                (SessionStatus::Open, PaymentStatus::Unpaid),
            ),
            (json!({"state": "Granted", "invoice": "a"}), (SessionStatus::Complete, PaymentStatus::Paid)),
            (json!({"state": "Granted"}), (SessionStatus::Complete, PaymentStatus::NoPaymentRequired)),
            (json!({"state": "Refunded", "invoice": "a"}), (SessionStatus::Complete, PaymentStatus::Paid)),
            (json!({"state": "Refused"}), (SessionStatus::Expired, PaymentStatus::Unpaid)),
        ] {
            let found = of_order(&account, &order("acme", &status));
            assert_eq!(found, Some(Found(expected.0, expected.1, None)), "{status}");
        }
        assert_eq!(of_order(&account, &order("other", &json!(null))), None, "another account's order");
    }

    #[test]
    fn a_change_is_open_until_it_is_decided_and_paid() {
        let starter = || Some("starter".to_owned());
        let open = Some(Found(SessionStatus::Open, PaymentStatus::Unpaid, starter()));
        assert_eq!(of_change(&without_ledger(), 1, false), open, "not observed");
        assert_eq!(of_change(&unpaid("starter"), 1, false), open, "its invoice is open");
        let complete = Some(Found(SessionStatus::Complete, PaymentStatus::NoPaymentRequired, starter()));
        assert_eq!(of_change(&known("starter"), 1, false), complete);
        assert_eq!(of_change(&known("starter"), 2, false), None, "no such generation");
    }

    #[test]
    fn an_invoice_is_a_session_with_its_plan() {
        let paid = of_number(&known("starter"), "acme-1f3a9c2e-0001");
        let plan = Some("starter".to_owned());
        assert_eq!(paid, Some(Found(SessionStatus::Complete, PaymentStatus::Paid, plan.clone())));
        let open = of_number(&unpaid("starter"), "acme-1f3a9c2e-0001");
        assert_eq!(open, Some(Found(SessionStatus::Open, PaymentStatus::Unpaid, plan)));
        assert_eq!(of_number(&known("starter"), "acme-1f3a9c2e-0002"), None);
    }
}
