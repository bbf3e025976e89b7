//! The billing details of the customer.

use axum::Router;
use axum::extract::State;
use axum::response::{Redirect, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::forms::Sent;
use super::super::layout::Part;
use super::super::problem::Problem;
use super::super::visitor::Visitor;
use super::{FieldForm, Forms, error, hash_of, save};
use crate::account::Account;
use crate::portal::Portal;
use crate::refused::Refused;

pub(super) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/settings/billing-details", get(settings).post(post))
}

/// Leads to the settings after a sign-in, where the form is.
async fn settings(visitor: Visitor) -> Redirect {
    Redirect::to(&visitor.part(Part::Settings))
}

async fn post(
    State(portal): State<Portal>,
    visitor: Visitor,
    Sent(form): Sent<Details>,
) -> Result<Response, Problem> {
    let typed = form.clone();
    save(&portal, &visitor, &form, |forms, problem| {
        let seen = forms.details.seen;
        Forms { details: Details { problem: Some(problem), seen, ..typed }, ..forms }
    })
    .await
}

/// The form of the billing details. Empty texts are not set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Details {
    name: String,
    email: String,
    tax_id: String,
    address: String,
    seen: String,
    #[serde(skip)]
    problem: Option<String>,
}

impl FieldForm for Details {
    fn current(account: &Account) -> Value {
        json!(account.subscription.spec.billing_details)
    }

    fn seen(&self) -> &str {
        &self.seen
    }

    fn patch(&self) -> Result<Value, Refused> {
        let text = |text: &String| {
            // Forms send line breaks as CR LF.
            let plain = text.trim().replace("\r\n", "\n");
            if plain.is_empty() { Value::Null } else { Value::String(plain) }
        };
        let fields = json!({
            "name": text(&self.name), "email": text(&self.email), "taxID": text(&self.tax_id),
            "address": text(&self.address),
        });
        let is_empty = fields.as_object().is_some_and(|fields| fields.values().all(Value::is_null));
        Ok(json!({"billingDetails": if is_empty { Value::Null } else { fields }}))
    }
}

impl Details {
    pub(super) fn of(account: &Account) -> Self {
        let details = account.subscription.spec.billing_details.clone().unwrap_or_default();
        Self {
            name: details.name.unwrap_or_default(),
            email: details.email.unwrap_or_default(),
            tax_id: details.tax_id.unwrap_or_default(),
            address: details.address.unwrap_or_default(),
            seen: hash_of(&Self::current(account)),
            problem: None,
        }
    }

    /// Returns the form. The limits of its fields are those of the CRD.
    pub(super) fn form(&self, visitor: &Visitor, button: &str) -> Markup {
        html! {
            section class="card" aria-labelledby="details" {
                h2 id="details" { "Billing details" }
                p class="muted" { "They are part of the invoices that are issued from now on." }
                (error("details-error", self.problem.as_ref()))
                form method="post" action=(visitor.path("settings/billing-details"))
                    aria-describedby=[self.problem.as_ref().map(|_| "details-error")] {
                    (visitor.site.secret_field())
                    input type="hidden" name="seen" value=(self.seen);
                    div class="field" {
                        label for="name" { "Legal name" }
                        input id="name" name="name" value=(self.name) maxlength="256" autocomplete="organization";
                    }
                    div class="field" {
                        label for="email" { "Email address for invoices" }
                        input id="email" name="email" value=(self.email) maxlength="254" inputmode="email"
                            autocomplete="email" autocapitalize="none" spellcheck="false";
                    }
                    div class="field" {
                        label for="tax-id" { "Tax number" }
                        input id="tax-id" name="tax_id" value=(self.tax_id) maxlength="64" autocomplete="off";
                    }
                    div class="field" {
                        label for="address" { "Postal address" }
                        // HTML drops a line break right after the tag.
                        textarea id="address" name="address" rows="4" maxlength="1024" autocomplete="street-address" {
                            "\n" (self.address)
                        }
                    }
                    button class="button primary" type="submit" { (button) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_texts_are_removed_and_line_breaks_are_those_of_yaml() {
        let form = Details {
            name: " Acme GmbH ".to_owned(),
            address: "Street 1\r\n12345 Town".to_owned(),
            ..Details::default()
        };
        let fields =
            json!({"name": "Acme GmbH", "email": null, "taxID": null, "address": "Street 1\n12345 Town"});
        assert_eq!(form.patch().expect("patch"), json!({ "billingDetails": fields }));
        assert_eq!(Details::default().patch().expect("patch"), json!({"billingDetails": null}));
    }
}
