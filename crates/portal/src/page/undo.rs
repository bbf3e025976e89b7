//! The undoing of a change that is not in effect yet.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use flashgate_api::Renewal;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::forms::Sent;
use super::layout::{Part, page};
use super::problem::Problem;
use super::visitor::Visitor;
use super::writes::{Changed, change, instructions};
use crate::account::{Account, AccountInvoice};
use crate::calls::pending_payment::{is_of_change, plan_in_force};
use crate::changes::Change;
use crate::portal::Portal;

/// Returns the route of the undoing.
pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/{namespace}/{subscription}/undo", get(overview).post(undo))
}

/// The form of the undoing, which has no fields of its own.
#[derive(Deserialize)]
struct UndoForm {}

/// Returns the form that undoes a pending change.
pub(crate) fn form(visitor: &Visitor) -> Markup {
    html! {
        form method="post" action=(visitor.path("undo")) {
            (visitor.site.secret_field())
            button type="submit" data-testid="undo" { "Undo" }
        }
    }
}

/// Returns the open invoice of an upgrade or a reactivation, which an undoing voids.
pub(crate) fn invoice_of_change(account: &Account) -> Option<AccountInvoice> {
    account.invoices().into_iter().find(|invoice| invoice.is_open_plan_invoice() && is_of_change(invoice))
}

/// Leads to the overview after a sign-in, where the form is.
async fn overview(visitor: Visitor) -> Redirect {
    Redirect::to(&visitor.part(Part::Overview))
}

async fn undo(
    State(portal): State<Portal>,
    visitor: Visitor,
    Sent(UndoForm {}): Sent<UndoForm>,
) -> Result<Response, Problem> {
    match change(&portal, &visitor.caller, |account| Ok(request_in_force(account))).await? {
        Changed::Made(changed) => {
            let generation = changed.metadata.generation.unwrap_or_default();
            portal.decided(&visitor.caller, generation).await?;
            Ok(Redirect::to(&visitor.part(Part::Overview)).into_response())
        }
        Changed::Shown(object, reason) => {
            let content = html! {
                h1 { "Undo the pending change" }
                (instructions(&visitor, &object, &reason, None))
            };
            Ok(page(&visitor, Part::Overview, "Undo the pending change", &content).into_response())
        }
    }
}

/// Returns the change that requests the plan in force, or nothing if that is requested already. A plan that would end
/// with its period renews again.
fn request_in_force(account: &Account) -> Option<Change> {
    let (plan, billing_period) = plan_in_force(account)?;
    let spec = &account.subscription.spec;
    let mut fields = serde_json::Map::new();
    if spec.plan != plan || spec.billing_period != billing_period {
        fields.insert("plan".to_owned(), json!(plan));
        fields.insert("billingPeriod".to_owned(), json!(billing_period));
    }
    let is_upgrade = invoice_of_change(account).is_some();
    if spec.renewal == Renewal::None && !is_upgrade {
        fields.insert("renewal".to_owned(), json!(Renewal::Automatic));
    }
    (!fields.is_empty()).then(|| Change::of_spec(fields.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::tests::accounts::{known, upgrading};

    fn fields(account: &Account) -> Value {
        request_in_force(account).map(|change| change.spec).unwrap_or_default()
    }

    #[test]
    fn an_unpaid_upgrade_is_undone_by_requesting_the_plan_in_force_and_the_renewal_stays() {
        let mut account = upgrading("starter", "growth");
        assert_eq!(fields(&account), json!({"plan": "starter", "billingPeriod": "Monthly"}));
        account.subscription.spec.renewal = Renewal::None;
        assert_eq!(fields(&account), json!({"plan": "starter", "billingPeriod": "Monthly"}));
    }

    #[test]
    fn a_plan_that_ends_with_its_period_renews_again() {
        let mut account = known("starter");
        assert_eq!(fields(&account), Value::Null, "nothing is pending");
        account.subscription.spec.renewal = Renewal::None;
        assert_eq!(fields(&account), json!({"renewal": "Automatic"}));
        account.subscription.spec.plan = "individual".to_owned();
        let expected = json!({"plan": "starter", "billingPeriod": "Monthly", "renewal": "Automatic"});
        assert_eq!(fields(&account), expected);
    }
}
