//! The alert thresholds of an account.

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

/// Most thresholds that the CRD allows.
const MOST: usize = 10;

pub(super) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/settings/thresholds", get(settings).post(post))
}

/// Leads to the settings after a sign-in, where the form is.
async fn settings(visitor: Visitor) -> Redirect {
    Redirect::to(&visitor.part(Part::Settings))
}

async fn post(
    State(portal): State<Portal>,
    visitor: Visitor,
    Sent(form): Sent<Thresholds>,
) -> Result<Response, Problem> {
    let typed = form.clone();
    save(&portal, &visitor, &form, |forms, problem| {
        let seen = forms.thresholds.seen;
        Forms { thresholds: Thresholds { problem: Some(problem), seen, ..typed }, ..forms }
    })
    .await
}

/// The form of the thresholds: whole percent, separated by commas. An empty text takes those of the catalog.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Thresholds {
    #[serde(rename = "thresholds")]
    typed: String,
    seen: String,
    #[serde(skip)]
    problem: Option<String>,
}

impl FieldForm for Thresholds {
    fn current(account: &Account) -> Value {
        json!(account.subscription.spec.alert_thresholds_percent)
    }

    fn seen(&self) -> &str {
        &self.seen
    }

    fn patch(&self) -> Result<Value, Refused> {
        let refused = || {
            Refused::parameter(
                "thresholds",
                "1 to 10 different whole numbers from 1 to 1000, such as '50, 80, 100'",
            )
        };
        let text = self.typed.trim();
        if text.is_empty() {
            return Ok(json!({"alertThresholdsPercent": null}));
        }
        let percent = |part: &str| {
            let number = part.trim().trim_end_matches('%').trim_end().parse::<u32>().ok();
            number.filter(|number| (1..=1_000).contains(number)).ok_or_else(refused)
        };
        let mut numbers = text.split(',').map(percent).collect::<Result<Vec<u32>, Refused>>()?;
        let given = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() != given || given > MOST {
            return Err(refused());
        }
        Ok(json!({ "alertThresholdsPercent": numbers }))
    }
}

impl Thresholds {
    pub(super) fn of(account: &Account) -> Self {
        let own = account.subscription.spec.alert_thresholds_percent.clone().unwrap_or_default();
        Self { typed: joined(&own), seen: hash_of(&Self::current(account)), problem: None }
    }

    /// Returns the form.
    pub(super) fn form(&self, portal: &Portal, visitor: &Visitor, button: &str) -> Markup {
        let of_catalog = joined(&portal.catalog().policies.alert_thresholds_percent);
        html! {
            section class="card" aria-labelledby="alerts" {
                h2 id="alerts" { "Alert thresholds" }
                (error("thresholds-error", self.problem.as_ref()))
                form method="post" action=(visitor.path("settings/thresholds")) {
                    (visitor.site.secret_field())
                    input type="hidden" name="seen" value=(self.seen);
                    div class="field" {
                        label for="thresholds" { "Percent of a period's credits" }
                        input id="thresholds" name="thresholds" value=(self.typed) maxlength="100"
                            inputmode="numeric" autocomplete="off" aria-describedby="thresholds-hint"
                            aria-invalid=[self.problem.as_ref().map(|_| "true")];
                        p class="hint" id="thresholds-hint" {
                            "Whole numbers separated by commas. Kubernetes has an Event when consumption reaches one of them. "
                            @if of_catalog.is_empty() { "Leave it empty for no alerts." }
                            @else { "Leave it empty for the default, " (of_catalog) "." }
                        }
                    }
                    button class="button primary" type="submit" { (button) }
                }
            }
        }
    }
}

/// Returns numbers separated by commas.
fn joined(numbers: &[impl ToString]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(text: &str) -> Result<Value, Refused> {
        Thresholds { typed: text.to_owned(), ..Thresholds::default() }.patch()
    }

    #[test]
    fn percents_are_separated_by_commas_and_an_empty_text_removes_them() {
        assert_eq!(patch("80, 100,50 %"), Ok(json!({"alertThresholdsPercent": [50, 80, 100]})));
        assert_eq!(patch(" "), Ok(json!({"alertThresholdsPercent": null})));
    }

    #[test]
    fn other_texts_are_refused_with_the_required_form() {
        for bad in
            ["0", "1001", "1.5", "-1", "eighty", "80,,100", "80, 80", "1,2,3,4,5,6,7,8,9,10,11", "80;100"]
        {
            let refused = patch(bad).expect_err(bad);
            assert!(refused.message.starts_with("`thresholds` must be 1 to 10"), "{refused}");
        }
    }
}
