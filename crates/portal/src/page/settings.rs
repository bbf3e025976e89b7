//! The settings of an account: billing details, renewal, and alert thresholds. Each form changes one field of the
//! Subscription.

mod details;
mod renewal;
mod thresholds;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use self::details::Details;
use self::thresholds::Thresholds;
use super::layout::{Part, page};
use super::problem::{Problem, sentence};
use super::visitor::Visitor;
use super::writes::{Changed, Way, change, instructions};
use crate::account::Account;
use crate::changes::Change;
use crate::hash::short_hash;
use crate::portal::Portal;
use crate::refused::{ErrorCode, Refused};

/// Bytes of the hash of a field that a form was made for.
const HASH_BYTES: usize = 16;

/// Returns the routes of this part.
pub(crate) fn routes() -> Router<Portal> {
    Router::new()
        .route("/{namespace}/{subscription}/settings", get(show))
        .merge(details::routes())
        .merge(thresholds::routes())
        .merge(renewal::routes())
}

/// The parameters of the page.
#[derive(Deserialize)]
struct Parameters {
    /// The form that was saved.
    saved: Option<String>,
}

/// The forms of the page, as they are shown. After a failed attempt one of them has the typed texts and the problem.
struct Forms {
    details: Details,
    thresholds: Thresholds,
    saved: bool,
}

impl Forms {
    fn of(account: &Account) -> Self {
        Self { details: Details::of(account), thresholds: Thresholds::of(account), saved: false }
    }
}

async fn show(
    State(portal): State<Portal>,
    visitor: Visitor,
    Query(parameters): Query<Parameters>,
) -> Result<Markup, Problem> {
    let account = portal.account(&visitor.caller).await?;
    let way = Way::of_change(&portal, &visitor.caller).await?;
    let forms = Forms { saved: parameters.saved.is_some(), ..Forms::of(&account) };
    Ok(draw(&portal, &visitor, &account, &way, &forms))
}

fn draw(portal: &Portal, visitor: &Visitor, account: &Account, way: &Way, forms: &Forms) -> Markup {
    let button = match way {
        Way::Write => "Save",
        Way::Manifest(_) => "Show the manifest",
    };
    let content = html! {
        h1 { "Settings" }
        @if forms.saved { p class="notice" role="status" { "Saved." } }
        div class="settings" {
            (forms.details.form(visitor, button))
            (renewal::section(visitor, account))
            (forms.thresholds.form(portal, visitor, button))
        }
    };
    page(visitor, Part::Settings, "Settings", &content)
}

/// A form of one field of the Subscription.
trait FieldForm {
    /// Returns the field of the spec as it is, which is part of the form's hash.
    fn current(account: &Account) -> Value;

    /// Returns the hash of the field that the form was made for.
    fn seen(&self) -> &str;

    /// Returns the merge patch of the spec that the form asks for.
    ///
    /// # Errors
    /// When a text of the form is invalid.
    fn patch(&self) -> Result<Value, Refused>;
}

/// Returns the hash of a field, which a form keeps to notice the changes of others.
fn hash_of(field: &Value) -> String {
    short_hash(field.to_string(), HASH_BYTES)
}

/// Saves a form. After a failed attempt, `failed` returns the forms with the typed texts.
async fn save<F: FieldForm>(
    portal: &Portal,
    visitor: &Visitor,
    form: &F,
    failed: impl FnOnce(Forms, String) -> Forms,
) -> Result<Response, Problem> {
    let decide = |account: &Account| {
        let patch = form.patch()?;
        if hash_of(&F::current(account)) != form.seen() {
            let message =
                "somebody else changed this since you opened it: compare with the overview, and save again";
            return Err(Refused::new(ErrorCode::Conflict, message));
        }
        Ok(Some(Change::of_spec(patch)))
    };
    match change(portal, &visitor.caller, decide).await {
        Ok(Changed::Made(_)) => {
            Ok(Redirect::to(&format!("{}?saved=1", visitor.part(Part::Settings))).into_response())
        }
        Ok(Changed::Shown(object, reason)) => {
            let content = html! {
                h1 { "Change the settings" }
                (instructions(visitor, &object, &reason, None))
                p { a class="button" href=(visitor.part(Part::Settings)) { "Back to the settings" } }
            };
            Ok(page(visitor, Part::Settings, "Change the settings", &content).into_response())
        }
        Err(refused) if is_about_the_form(refused.code) => {
            let account = portal.account(&visitor.caller).await?;
            let forms = failed(Forms::of(&account), explain(&refused.message));
            let shown = draw(portal, visitor, &account, &Way::Write, &forms);
            Ok((status_of(refused.code), shown).into_response())
        }
        Err(refused) => Err(refused.into()),
    }
}

/// Returns whether the visitor can correct a refused form.
const fn is_about_the_form(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::InvalidBody | ErrorCode::InvalidParameter | ErrorCode::Conflict)
}

fn status_of(code: ErrorCode) -> StatusCode {
    if code == ErrorCode::InvalidBody { StatusCode::UNPROCESSABLE_ENTITY } else { code.status() }
}

/// The fields of the forms, as admission and as the page names them.
const FIELDS: [(&str, &str); 5] = [
    ("spec.billingDetails.name", "Legal name"),
    ("spec.billingDetails.email", "Email address"),
    ("spec.billingDetails.taxID", "Tax number"),
    ("spec.billingDetails.address", "Postal address"),
    ("spec.alertThresholdsPercent", "Thresholds"),
];

/// Returns the message of an admission error in the words of the page.
fn explain(message: &str) -> String {
    let (_, reason) = message.split_once("is invalid: ").unwrap_or(("", message));
    let named = FIELDS.iter().fold(reason.to_owned(), |text, (field, name)| text.replace(field, name));
    sentence(&without_value(&named))
}

/// Returns the message of an admission error without the value, which the form still shows.
fn without_value(message: &str) -> String {
    let found = message.split_once("Invalid value: \"").and_then(|(before, after)| {
        let (_, reason) = after.split_once("\": ")?;
        Some(format!("{before}{reason}"))
    });
    found.unwrap_or_else(|| message.to_owned())
}

/// Returns the error of a form.
fn error(id: &str, problem: Option<&String>) -> Markup {
    html! { @if let Some(problem) = problem { p class="notice bad" role="alert" id=(id) { (problem) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admission_error_is_shown_in_the_words_of_the_page() {
        let message = "Subscription.billing.flashgate.dev \"acme\" is invalid: spec.billingDetails.email: Invalid value: \
                       \"bad address\": must be one address without spaces";
        assert_eq!(explain(message), "Email address: must be one address without spaces.");
        let message = "Subscription \"acme\" is invalid: spec.billingDetails.taxID: Too long: may not be more than 64 bytes";
        assert_eq!(explain(message), "Tax number: Too long: may not be more than 64 bytes.");
        assert_eq!(explain("the form is too old"), "The form is too old.");
    }
}
