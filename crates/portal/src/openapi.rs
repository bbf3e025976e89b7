//! The OpenAPI 3.1 document of the published API, generated from the calls.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, OpenApi as Document};
use utoipa::{Modify, OpenApi};

use crate::{calls, lists, refused};

/// The published API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "flashgate-billing",
        description = "Credits, plans and payments of an account. Credits and prices are numbers, and times are ISO \
                       texts with milliseconds in UTC. 1 GB is 10^9 bytes.",
    ),
    paths(
        calls::balance::get_credits_balance,
        calls::transactions::get_credits_transactions,
        calls::monthly::get_credits_monthly_stats,
        lists::get_credits_packs,
        lists::get_credits_rates,
        calls::buy_pack::buy_credits_pack,
        lists::get_subscriptions,
        calls::subscription::get_my_subscription,
        calls::buy_subscription::buy_subscription,
        calls::payments::get_payments,
        calls::cancel_subscription::cancel_subscription,
        calls::subscription::create_billing_portal,
        calls::checkout_session::get_checkout_session_status,
        calls::pending_payment::get_pending_payment,
        calls::pending_payment::cancel_pending_payment,
        calls::stats::get_credit_stats,
        calls::stats::breakdown::get_credit_breakdown,
    ),
    components(schemas(refused::Failure)),
    tags(
        (name = "credits", description = "Balance, transactions, packs and rates"),
        (name = "subscriptions", description = "Plans and payments"),
        (name = "stats", description = "Consumption over time and by label"),
    ),
    modifiers(&Completion)
)]
struct Api;

/// Adds the parts of the document that no call has.
struct Completion;

impl Modify for Completion {
    fn modify(&self, document: &mut Document) {
        // The macro fills these fields from the manifest of the crate.
        document.info.contact = None;
        document.info.license = None;
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token of Kubernetes. Each call needs the rights of its user."))
            .build();
        let components = document.components.get_or_insert_with(Components::new);
        components.add_security_scheme("token", SecurityScheme::Http(token));
    }
}

/// Returns the document.
#[must_use]
pub fn document() -> Document {
    Api::openapi()
}

/// Returns the document as JSON text, as `docs/reference/openapi.json` has it.
///
/// # Errors
/// When it has no form in JSON.
pub fn json() -> Result<String, serde_json::Error> {
    let document = serde_json::to_value(document())?;
    Ok(format!("{document:#}\n"))
}
