//! The effect of a change, computed by the operator's own decisions before the change is made.

use flashgate_api::fact::FactObject;
use flashgate_api::{CreditPack, UsageReport};
use flashgate_cluster::Kind;
use flashgate_preview::effect::{Change, Effect, EffectError, Objects, Outcome, Preview, When};
use maud::{Markup, html};

use super::format::{credits, money, signed, time};
use super::layout::missing;
use super::problem::sentence;
use crate::account::Account;
use crate::caller::Caller;
use crate::kubernetes::{CallError, Kubernetes, pending_fields};
use crate::offers::plan_name;
use crate::portal::Portal;
use crate::refused::Refused;

/// An account whose pending objects are decided on, for the effects of several changes. Without one there is a reason.
pub(crate) struct Outlook<'p>(Result<Preview<'p>, String>);

/// The effect of a change, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The operator follows the change.
    Accepted(Box<Effect>),
    /// The operator refuses it, for this reason.
    Refused(String),
    /// It cannot be computed, for this reason.
    Unknown(String),
}

impl<'p> Outlook<'p> {
    /// Reads the pending objects of an account with the caller's token. Kinds that the caller may not list are left
    /// out.
    ///
    /// # Errors
    /// When a call fails.
    pub(crate) async fn of(portal: &'p Portal, caller: &Caller, account: &Account) -> Result<Self, Refused> {
        if let Some(right) = account.book.missing_right() {
            return Ok(Self(Err(format!("You lack the right '{right}'."))));
        }
        let (packs, reports): (Vec<CreditPack>, Vec<UsageReport>) =
            futures::try_join!(pending(&portal.kubernetes, caller), pending(&portal.kubernetes, caller))?;
        let objects = Objects {
            subscription: &account.subscription,
            ledger: account.book.known().map(|book| &book.ledger),
            packs: &packs,
            reports: &reports,
        };
        Ok(Self(Preview::of(&objects, portal.catalog(), portal.clock.now()).map_err(|error| unknown(&error))))
    }

    /// Returns the effect of a change.
    pub(crate) fn effect(&self, change: &Change) -> Known {
        let preview = match &self.0 {
            Ok(preview) => preview,
            Err(reason) => return Known::Unknown(reason.clone()),
        };
        match preview.effect(change) {
            Ok(Outcome::Accepted(effect)) => Known::Accepted(Box::new(effect)),
            Ok(Outcome::Refused(reason)) => Known::Refused(reason),
            Err(error) => Known::Unknown(unknown(&error)),
        }
    }
}

fn unknown(error: &EffectError) -> String {
    format!("it cannot be computed: {error}")
}

/// Lists the pending objects of an account, or none if the caller may not list them.
async fn pending<K: Kind + FactObject>(
    kubernetes: &Kubernetes,
    caller: &Caller,
) -> Result<Vec<K>, CallError> {
    let mut found = Vec::new();
    let fields = pending_fields::<K>(&caller.name);
    match kubernetes.list(&caller.token, &caller.namespace, &fields, |object| found.push(object)).await {
        Ok(()) | Err(CallError::Forbidden { .. }) => Ok(found),
        Err(error) => Err(error),
    }
}

/// Returns the time at which a change takes effect, as the beginning of a sentence.
fn when(takes_effect: When) -> Markup {
    match takes_effect {
        When::Never => html! { "Changes nothing" },
        When::Now => html! { "At once" },
        When::AfterPayment => html! { "When the invoice is paid" },
        When::FirstPeriod => html! { "When the first period begins" },
        When::At(instant) => html! { "On " (time(instant)) },
    }
}

/// Returns an effect in one line, for a list of choices.
pub(crate) fn summary(known: &Known) -> Markup {
    match known {
        Known::Accepted(effect) => html! {
            (when(effect.takes_effect))
            @if effect.granted.is_positive() { ": " (signed(effect.granted)) " credits" }
            @if let Some(invoice) = &effect.invoice { ", " (money(invoice.amount, &invoice.currency)) }
        },
        Known::Refused(reason) => html! { (sentence(reason)) },
        Known::Unknown(_) => html! { "The effect is not known." },
    }
}

/// Returns the notice that effects cannot be shown because a right is missing.
pub(crate) fn unknown_notice(right: Option<&str>) -> Markup {
    html! {
        @if let Some(right) = right {
            (missing(
                &format!("You lack the right '{right}'."),
                "The effects of changes cannot be shown. The operator decides when you confirm.",
            ))
        }
    }
}

/// Returns the whole effect as a list of facts.
pub(crate) fn details(portal: &Portal, known: &Known) -> Markup {
    let effect = match known {
        Known::Accepted(effect) => effect,
        Known::Refused(reason) => {
            return html! { p class="notice bad" data-testid="effect" { (sentence(reason)) } };
        }
        Known::Unknown(reason) => {
            return html! {
                p class="notice" data-testid="effect" {
                    "The effect cannot be shown. " (sentence(reason))
                    " The operator decides when you confirm."
                }
            };
        }
    };
    html! {
        dl class="facts effect" data-testid="effect" {
            div { dt { "Takes effect" } dd { (when(effect.takes_effect)) } }
            div { dt { "Credits that arrive" } dd { (signed(effect.granted)) } }
            div {
                dt { "Invoice" }
                dd {
                    @if let Some(invoice) = &effect.invoice { (money(invoice.amount, &invoice.currency)) }
                    @else { "None" }
                }
            }
            div { dt { "Credits of today that you keep" } dd { (credits(effect.kept)) } }
            @if effect.expired.is_positive() {
                div { dt { "Credits of today that expire" } dd { (credits(effect.expired)) } }
            }
            div class="total" { dt { "Balance afterwards" } dd { (credits(effect.balance)) } }
            div {
                dt { "Plan afterwards" }
                dd {
                    @if let Some(plan) = &effect.plan { (plan_name(portal.catalog(), plan)) } @else { "None" }
                }
            }
            @if let Some(end) = effect.period_end { div { dt { "That period ends" } dd { (time(end)) } } }
        }
    }
}
