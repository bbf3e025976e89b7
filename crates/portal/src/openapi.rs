//! The OpenAPI 3.1 document of the published API, generated from the calls.

use serde_json::{Map, Value, json};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, OpenApi as Document};
use utoipa::{Modify, OpenApi};

use crate::answer::JSON;
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

/// Returns the JSON Schema of the answers to `method` and `path` with this status, or `None` if the document has none.
/// Paths without a call have the schema of errors.
///
/// The schema refuses fields that the document does not name, so that a test notices an undocumented one. Clients should
/// accept further fields.
///
/// # Errors
/// When the document has no form in JSON.
pub fn answer_schema(method: &str, path: &str, status: u16) -> Result<Option<Value>, serde_json::Error> {
    let document = serde_json::to_value(document())?;
    let method = method.to_lowercase();
    let call = document["paths"]
        .as_object()
        .and_then(|paths| paths.iter().find(|(template, _)| matches(template, path)))
        .and_then(|(_, call)| call.get(&method));
    let schema = match call {
        Some(call) => {
            call["responses"].get(status.to_string()).map(|response| &response["content"][JSON]["schema"])
        }
        None => Some(&document["components"]["schemas"]["Failure"]),
    };
    Ok(schema.map(|schema| {
        let mut whole = closed(schema);
        whole["components"] = closed(&document["components"]);
        whole
    }))
}

/// Returns whether a path of the document, such as `/api/{namespace}`, matches a path of a request.
fn matches(template: &str, path: &str) -> bool {
    let (parts, given): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    parts.len() == given.len()
        && parts.iter().zip(given).all(|(part, given)| part.starts_with('{') || *part == given)
}

/// Returns a schema that refuses fields that it does not name.
fn closed(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let mut fields: Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), closed(value))).collect();
            if fields.get("type") == Some(&json!("object")) {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
            Value::Object(fields)
        }
        Value::Array(items) => Value::Array(items.iter().map(closed).collect()),
        other => other.clone(),
    }
}
