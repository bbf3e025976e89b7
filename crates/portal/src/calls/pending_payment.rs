//! `getPendingPayment` and `cancelPendingPayment`.

use axum::extract::State;
use flashgate_ledger::catalog::BillingPeriod;
use flashgate_ledger::invoice::InvoiceState;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{AccountErrors, AccountPath};
use crate::account::{Account, AccountInvoice, InvoicePurpose, InvoicedPlan};
use crate::answer::Answer;
use crate::caller::Caller;
use crate::changes::Change;
use crate::number::{Number, Success, Time};
use crate::offers::{PeriodType, period_id, plan_description, plan_name};
use crate::portal::Portal;
use crate::refused::{ErrorCode, Refused};
use crate::verdict::{SessionStatus, Wait, checkout_url};

/// The open plan invoice.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PendingPaymentAnswer {
    #[schema(value_type = bool)]
    success: Success,
    data: PendingPayment,
}

/// An open plan invoice. An account has at most one.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingPayment {
    /// Number of the invoice.
    id: String,
    /// Number of the invoice: the reference that a payment provider gets.
    stripe_payment_id: String,
    /// Amount in units of the currency.
    #[schema(value_type = f64)]
    amount: Number,
    /// Currency in lower case, such as `usd`.
    currency: String,
    /// State of the payment.
    status: PendingState,
    /// Time at which the invoice was issued.
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
    /// Plan that the invoice is for.
    subscription: PendingPlan,
    /// Billing period that the invoice is for.
    subscription_period: PendingPeriod,
    /// Page on which the invoice is paid. Null if the catalog names none.
    #[schema(required)]
    checkout_url: Option<String>,
    /// State of the session of the invoice.
    #[schema(required)]
    session_status: Option<SessionStatus>,
}

/// State of the payment of an open invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PendingState {
    /// It is not paid.
    Pending,
}

/// A plan of an invoice.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PendingPlan {
    /// Name of the plan in the catalog.
    id: String,
    /// Display name.
    name: String,
    /// Description in a sentence. Empty if the catalog no longer has the plan.
    description: String,
}

/// A billing period of an invoice.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingPeriod {
    /// Identifier.
    id: String,
    /// Length of the period.
    period_type: PeriodType,
    /// Price of the period in units of the currency.
    #[schema(value_type = f64)]
    price: Number,
}

/// Returns the open plan invoice.
#[utoipa::path(
    get,
    path = "/api/{namespace}/{subscription}/subscriptions/pending-payment",
    operation_id = "getPendingPayment",
    tag = "subscriptions",
    params(AccountPath),
    responses((status = 200, description = "The open invoice", body = PendingPaymentAnswer), AccountErrors),
    security(("token" = []))
)]
pub(crate) async fn get_pending_payment(
    State(portal): State<Portal>,
    caller: Caller,
) -> Result<Answer<PendingPaymentAnswer>, Refused> {
    let account = portal.account(&caller).await?;
    let invoice = open_invoice(&account)?;
    Ok(Answer(PendingPaymentAnswer { success: Success, data: show(&portal, &account, invoice) }))
}

/// Returns the open plan invoice.
fn open_invoice(account: &Account) -> Result<AccountInvoice, Refused> {
    let open = account.invoices().into_iter().find(AccountInvoice::is_open_plan_invoice);
    open.ok_or_else(|| Refused::new(ErrorCode::NoPendingPayment, "no invoice of a plan is open"))
}

fn show(portal: &Portal, account: &Account, invoice: AccountInvoice) -> PendingPayment {
    let catalog = portal.catalog();
    let of_spec = || requested(account, &invoice);
    let InvoicedPlan { plan, billing_period, price } =
        account.plan_of_invoice(&invoice.number).unwrap_or_else(of_spec);
    PendingPayment {
        stripe_payment_id: invoice.number.clone(),
        amount: invoice.amount.into(),
        currency: invoice.currency.to_lowercase(),
        status: PendingState::Pending,
        created_at: invoice.time.into(),
        subscription: PendingPlan {
            name: plan_name(catalog, &plan),
            description: plan_description(catalog, &plan),
            id: plan.clone(),
        },
        subscription_period: PendingPeriod {
            id: period_id(&plan, billing_period),
            period_type: billing_period.into(),
            price: price.into(),
        },
        checkout_url: checkout_url(catalog, &invoice.number),
        session_status: Some(SessionStatus::Open),
        id: invoice.number,
    }
}

/// Returns the plan that the Subscription requests, or the one in force for a renewal. It is the plan of an invoice
/// whose ledger the caller may not read.
fn requested(account: &Account, invoice: &AccountInvoice) -> InvoicedPlan {
    let (spec, status) = (&account.subscription.spec, account.status());
    let in_force =
        status.plan.zip(status.billing_period).filter(|_| invoice.purpose == InvoicePurpose::Renewal);
    let (plan, billing_period) = in_force.unwrap_or_else(|| (spec.plan.clone(), spec.billing_period));
    InvoicedPlan { plan, billing_period, price: invoice.amount }
}

/// The confirmation of a cancelled payment.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CancelledPaymentAnswer {
    #[schema(value_type = bool)]
    success: Success,
    /// The effect in a sentence.
    message: String,
    data: CancelledPayment,
}

/// A cancelled payment.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelledPayment {
    /// Number of the invoice.
    payment_id: String,
    /// Number of the invoice: the reference that a payment provider gets.
    stripe_payment_id: String,
    /// Time of the cancellation.
    #[schema(value_type = String, format = DateTime)]
    cancelled_at: Time,
}

/// Cancels the open invoice of an upgrade or a reactivation: requests the plan in force again, which voids the invoice.
#[utoipa::path(
    delete,
    path = "/api/{namespace}/{subscription}/subscriptions/pending-payment",
    operation_id = "cancelPendingPayment",
    tag = "subscriptions",
    params(AccountPath),
    responses((status = 200, description = "The payment is cancelled", body = CancelledPaymentAnswer), AccountErrors),
    security(("token" = []))
)]
pub(crate) async fn cancel_pending_payment(
    State(portal): State<Portal>,
    caller: Caller,
) -> Result<Answer<CancelledPaymentAnswer>, Refused> {
    let mut cancelled = None;
    let decide = |account: &Account| {
        let invoice = open_invoice(account)?;
        let change = previous_request(account, &invoice)?;
        cancelled = Some(invoice.number);
        Ok(Some(Change::of_spec(change)))
    };
    let (account, changed) = portal.change_account(&caller, decide).await?;
    let number = cancelled.unwrap_or_default();
    let message = if portal.voided(&caller, &number).await? {
        format!("Invoice {number} is void. The plan in force stays.")
    } else {
        format!(
            "Invoice {number} becomes void when the operator decides on generation {}.",
            changed.metadata.generation.unwrap_or_default()
        )
    };
    let data = CancelledPayment {
        payment_id: number.clone(),
        stripe_payment_id: number,
        cancelled_at: account.now.into(),
    };
    Ok(Answer(CancelledPaymentAnswer { success: Success, message, data }))
}

impl Portal {
    /// Waits until an invoice is no longer open. Returns false if it is open for too long.
    async fn voided(&self, caller: &Caller, number: &str) -> Result<bool, Refused> {
        let mut wait = Wait::begin();
        loop {
            let account = self.account(caller).await?;
            let is_open =
                |invoice: &AccountInvoice| invoice.number == number && invoice.state == InvoiceState::Open;
            if !account.invoices().iter().any(is_open) {
                return Ok(true);
            }
            if !wait.pause().await {
                return Ok(false);
            }
        }
    }
}

/// Returns the plan and billing period in force: those of the ledger, or else of the status.
pub(crate) fn plan_in_force(account: &Account) -> Option<(String, BillingPeriod)> {
    match account.terms() {
        Some(terms) => Some((terms.plan.clone(), terms.billing_period)),
        None => account.status().plan.zip(account.status().billing_period),
    }
}

/// Returns whether an invoice is for a change that the owner can take back.
pub(crate) const fn is_of_change(invoice: &AccountInvoice) -> bool {
    matches!(invoice.purpose, InvoicePurpose::Upgrade | InvoicePurpose::Reactivation)
}

/// Returns the fields of the spec that request the plan in force again.
fn previous_request(account: &Account, invoice: &AccountInvoice) -> Result<Value, Refused> {
    match plan_in_force(account).filter(|_| is_of_change(invoice)) {
        Some((plan, billing_period)) => Ok(json!({"plan": plan, "billingPeriod": billing_period})),
        None => Err(Refused::new(
            ErrorCode::PaymentNotCancellable,
            "only the invoice of an upgrade or of a reactivation can be cancelled: others become void at their due time",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::accounts::{known, unpaid, upgrading};
    use crate::tests::portal;

    #[tokio::test]
    async fn the_open_invoice_is_shown_with_the_plan_that_it_is_for() {
        let account = unpaid("starter");
        let invoice = open_invoice(&account).expect("invoice");
        let shown = serde_json::to_value(show(&portal(), &account, invoice)).expect("JSON");
        assert_eq!(
            shown,
            json!({
                "id": "acme-1f3a9c2e-0001", "stripePaymentId": "acme-1f3a9c2e-0001", "amount": 100,
                "currency": "usd", "status": "PENDING", "createdAt": "2026-01-31T10:00:00.000Z",
                "subscription": {
                    "id": "starter", "name": "Starter",
                    "description": "1100 credits a month or 15000 credits a year; packs can be bought",
                },
                "subscriptionPeriod": {"id": "starter-monthly", "periodType": "MONTHLY", "price": 100},
                "checkoutUrl": null, "sessionStatus": "open",
            })
        );
    }

    #[test]
    fn without_an_open_invoice_there_is_no_pending_payment() {
        let refused = open_invoice(&known("starter")).expect_err("refused");
        assert_eq!(refused.code, ErrorCode::NoPendingPayment);
    }

    #[tokio::test]
    async fn an_upgrade_is_cancelled_by_requesting_the_plan_in_force() {
        let account = upgrading("starter", "growth");
        let invoice = open_invoice(&account).expect("invoice");
        assert_eq!(show(&portal(), &account, invoice.clone()).amount.0.to_string(), "300");
        let back = previous_request(&account, &invoice);
        assert_eq!(back, Ok(json!({"plan": "starter", "billingPeriod": "Monthly"})));
    }

    #[test]
    fn the_first_payment_cannot_be_cancelled() {
        let account = unpaid("starter");
        let refused =
            previous_request(&account, &open_invoice(&account).expect("invoice")).expect_err("refused");
        assert_eq!(refused.code, ErrorCode::PaymentNotCancellable);
    }
}
