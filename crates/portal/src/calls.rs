//! The calls of the published API, one file for each group.
#![expect(unused_qualifications, reason = "the macro that describes a call writes them")]

pub mod balance;
pub mod buy_pack;
pub mod buy_subscription;
pub mod cancel_subscription;
pub mod checkout_session;
pub mod monthly;
pub mod payments;
pub mod pending_payment;
pub mod stats;
pub mod subscription;
pub mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response};
use utoipa::{IntoParams, IntoResponses};

use crate::account::Account;
use crate::caller::Caller;
use crate::history::{AccountKey, History, HistoryError};
use crate::lists;
use crate::portal::Portal;

/// The account of a call.
#[derive(Clone, Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes the path in the OpenAPI document; `Caller` reads it")]
pub struct AccountPath {
    /// Namespace of the Subscription.
    namespace: String,
    /// Name of the Subscription.
    subscription: String,
}

/// The errors of every call about an account.
pub struct AccountErrors;

/// The statuses of errors, with their descriptions.
pub(crate) const ERRORS: [(u16, &str); 13] = [
    (400, "A parameter, the body or the request itself cannot be accepted"),
    (401, "The token is missing, malformed or not accepted by Kubernetes"),
    (403, "The caller may not do this"),
    (404, "The Subscription or another object does not exist"),
    (405, "The path has no call with this method"),
    (408, "The body was not complete in time"),
    (409, "The idempotency key was used with another body, or another client changed the object"),
    (413, "The body is too large"),
    (415, "The body is not JSON"),
    (429, "Too many requests, or the packs of the month are used up"),
    (500, "The server failed"),
    (503, "Kubernetes does not answer"),
    (504, "The request took too long"),
];

impl IntoResponses for AccountErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let error = |(status, description): (u16, &str)| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Failure"))).build();
            let response =
                ResponseBuilder::new().description(description).content("application/json", content);
            (status.to_string(), response.build().into())
        };
        ERRORS.into_iter().map(error).collect()
    }
}

/// Returns the routes of all calls.
pub(crate) fn routes() -> Router<Portal> {
    let account = Router::new()
        .route("/credits/balance", get(balance::get_credits_balance))
        .route("/credits/transactions", get(transactions::get_credits_transactions))
        .route("/credits/stats/monthly", get(monthly::get_credits_monthly_stats))
        .route("/credits/packs", get(lists::get_credits_packs))
        .route("/credits/rates", get(lists::get_credits_rates))
        .route("/credits/packs/buy", post(buy_pack::buy_credits_pack))
        .route("/subscriptions", get(lists::get_subscriptions))
        .route("/subscriptions/my", get(subscription::get_my_subscription))
        .route("/subscriptions/buy", post(buy_subscription::buy_subscription))
        .route("/subscriptions/payments", get(payments::get_payments))
        .route("/subscriptions/cancel", post(cancel_subscription::cancel_subscription))
        .route("/subscriptions/portal", post(subscription::create_billing_portal))
        .route("/subscriptions/checkout-session/{id}", get(checkout_session::get_checkout_session_status))
        .route(
            "/subscriptions/pending-payment",
            get(pending_payment::get_pending_payment).delete(pending_payment::cancel_pending_payment),
        )
        .route("/v2/stats/credits", get(stats::get_credit_stats))
        .route("/v2/stats/credits/breakdown/{by}", get(stats::breakdown::get_credit_breakdown));
    Router::new().nest("/api/{namespace}/{subscription}", account)
}

impl Portal {
    /// Returns the history and the account in it, if there is a history.
    pub(crate) fn with_history(
        &self,
        caller: &Caller,
        account: &Account,
    ) -> Option<(Arc<dyn History>, AccountKey)> {
        let key = AccountKey {
            namespace: caller.namespace.clone(),
            name: caller.name.clone(),
            account: account.book.known().map(|book| book.ledger.account_id.clone()),
        };
        Some((Arc::clone(self.history.as_ref()?), key))
    }
}

/// Logs that the history cannot be read. The call then answers as if there were none.
pub(crate) fn log_history(error: &HistoryError) {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::warn!(cause, "the history cannot be read: answers have only what the ledger keeps");
}
