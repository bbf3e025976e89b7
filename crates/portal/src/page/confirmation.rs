//! The page of a choice: its effect, and a button to confirm it or the object to apply.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde_json::Value;

use super::effects::{Known, details};
use super::format::time;
use super::layout::{Part, page};
use super::problem::sentence;
use super::visitor::Visitor;
use super::writes::{Way, instructions};
use crate::calls::buy_pack::no_random_numbers;
use crate::orders::new_ulid;
use crate::portal::Portal;
use crate::refused::Refused;

/// Returns an idempotency key for a form. Sending the form twice changes nothing twice.
///
/// # Errors
/// When the operating system gives no random numbers.
pub(super) fn new_key(portal: &Portal) -> Result<String, Refused> {
    new_ulid(portal.clock.now()).map_err(|_| no_random_numbers())
}

/// A choice to confirm.
pub(super) struct Confirmation<'a> {
    /// The part of the page that leads here.
    pub part: Part,
    /// The choice as a heading.
    pub title: String,
    /// The text of the button.
    pub button: String,
    /// A remark below the effect.
    pub note: Markup,
    /// Why it cannot be chosen.
    pub refusal: Option<String>,
    /// The effect.
    pub known: Option<Known>,
    /// The object that makes the change.
    pub object: Value,
    /// The way in which it is made.
    pub way: Way,
    /// The idempotency key of the form.
    pub key: &'a str,
    /// Why an attempt failed.
    pub problem: Option<Refused>,
}

impl Confirmation<'_> {
    /// Returns the page. After a failed attempt it has the status of the problem.
    pub(super) fn response(&self, portal: &Portal, visitor: &Visitor, status: StatusCode) -> Response {
        let status = self.problem.as_ref().map_or(status, |refused| refused.code.status());
        (status, page(visitor, self.part, &self.title, &self.content(portal, visitor))).into_response()
    }

    fn content(&self, portal: &Portal, visitor: &Visitor) -> Markup {
        html! {
            h1 { (self.title) }
            @if let Some(problem) = &self.problem {
                p class="notice bad" role="alert" {
                    (sentence(&problem.message))
                    @if let Some(next) = problem.next_available_time { " The next time is " (time(next)) "." }
                }
            }
            section class="card effect-card" aria-labelledby="effect-title" {
                h2 id="effect-title" { "Effect" }
                @if let Some(known) = &self.known { (details(portal, known)) }
                p class="muted" { (self.note) }
                @match (&self.refusal, &self.way) {
                    (Some(refusal), _) => {
                        @if !matches!(self.known, Some(Known::Refused(_))) { p class="notice" { (sentence(refusal)) } }
                        p class="actions" { (back(visitor, self.part)) }
                    }
                    (None, Way::Write) => (self.form(visitor)),
                    (None, Way::Manifest(_)) => p class="actions" { (back(visitor, self.part)) },
                }
            }
            @if let (None, Way::Manifest(reason)) = (&self.refusal, &self.way) {
                @let path = format!("?format=yaml&key={}", self.key);
                (instructions(visitor, &self.object, reason, Some(&path)))
            }
        }
    }

    fn form(&self, visitor: &Visitor) -> Markup {
        html! {
            form method="post" class="actions" {
                (visitor.site.secret_field())
                input type="hidden" name="key" value=(self.key);
                button class="button primary" type="submit" data-testid="confirm" { (self.button) }
                (back(visitor, self.part))
            }
        }
    }
}

fn back(visitor: &Visitor, part: Part) -> Markup {
    html! { a class="button quiet" href=(visitor.part(part)) { "Back" } }
}
