//! `getMySubscription` and `createBillingPortal`.

use axum::extract::State;
use flashgate_api::Renewal;
use flashgate_ledger::Credits;
use serde::Serialize;
use utoipa::ToSchema;

use super::{AccountErrors, AccountPath};
use crate::account::Account;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::number::{Number, Success, Time};
use crate::offers::{PeriodType, period_id, plan_description, plan_name};
use crate::portal::Portal;
use crate::refused::{ErrorCode, Refused};

/// The plan in force.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MySubscriptionAnswer {
    #[schema(value_type = bool)]
    success: Success,
    /// The plan in force. Null if there is none.
    #[schema(required)]
    data: Option<MySubscription>,
    /// The reason why there is no plan. Otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
}

/// A plan in force.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MySubscription {
    /// Name of the plan in the catalog.
    id: String,
    /// Display name.
    name: String,
    /// Description in a sentence. Empty if the catalog no longer has the plan.
    description: String,
    /// Identifier of the billing period.
    period_id: String,
    /// Length of the period.
    period_type: PeriodType,
    /// Price of a period in units of the catalog's currency.
    #[schema(value_type = f64)]
    price: Number,
    /// Start of the current period.
    #[schema(value_type = String, format = DateTime)]
    date_from: Time,
    /// End of the current period, which is not part of it.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    date_to: Option<Time>,
    /// State of the plan.
    status: PlanStatus,
    /// Whether another period of the plan follows.
    auto_renew: bool,
}

/// State of a plan in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PlanStatus {
    /// It is in force.
    Active,
}

/// Returns the plan in force. Without one, `data` is null and `message` has the reason.
#[utoipa::path(
    get,
    path = "/api/{namespace}/{subscription}/subscriptions/my",
    operation_id = "getMySubscription",
    tag = "subscriptions",
    params(AccountPath),
    responses((status = 200, description = "The plan in force", body = MySubscriptionAnswer), AccountErrors),
    security(("token" = []))
)]
pub(crate) async fn get_my_subscription(
    State(portal): State<Portal>,
    caller: Caller,
) -> Result<Answer<MySubscriptionAnswer>, Refused> {
    let account = portal.account(&caller).await.map_err(|refused| {
        let refused = refused.with_missing_as(ErrorCode::NoOrganization);
        match refused.code {
            ErrorCode::Unauthorized => Refused { code: ErrorCode::UserNotFound, ..refused },
            _ => refused,
        }
    })?;
    Ok(Answer(answer(&portal, &account)))
}

fn answer(portal: &Portal, account: &Account) -> MySubscriptionAnswer {
    let data = in_force(portal, account);
    let message = data.is_none().then(|| reason(account));
    MySubscriptionAnswer { success: Success, data, message }
}

/// Returns the plan in force: that of the ledger, or else of the status.
fn in_force(portal: &Portal, account: &Account) -> Option<MySubscription> {
    let catalog = portal.catalog();
    let (plan, billing_period, price, start, end) = if let Some(book) = account.book.known() {
        let (terms, window) = (book.ledger.terms.as_ref()?, book.ledger.period.window?);
        (terms.plan.clone(), terms.billing_period, terms.price, window.start_time, window.end_time)
    } else {
        let status = account.status();
        let (plan, billing_period, period) = (status.plan?, status.billing_period?, status.period?);
        let offer = catalog.plan(&plan).and_then(|(_, plan)| plan.offer(billing_period));
        let price = offer.map_or(Credits::ZERO, |offer| offer.price);
        (plan, billing_period, price, period.start_time, period.end_time)
    };
    let is_lapsed = account.book.known().is_some_and(|book| book.ledger.lapsed);
    Some(MySubscription {
        name: plan_name(catalog, &plan),
        description: plan_description(catalog, &plan),
        period_id: period_id(&plan, billing_period),
        period_type: billing_period.into(),
        price: price.into(),
        date_from: start.into(),
        date_to: Some(end.into()),
        status: PlanStatus::Active,
        // A plan that follows a lapse renews whatever the Subscription says (Law 16).
        auto_renew: is_lapsed || account.subscription.spec.renewal == Renewal::Automatic,
        id: plan,
    })
}

/// Returns why no plan is in force.
fn reason(account: &Account) -> String {
    let is_unpaid = account.invoices().iter().any(crate::account::AccountInvoice::is_open_plan_invoice);
    let reason = if is_unpaid {
        "No plan is in force until the open invoice is paid."
    } else {
        "No plan is in force: choose one of `subscriptions`."
    };
    reason.to_owned()
}

/// The address of the billing page.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BillingPortalAnswer {
    #[schema(value_type = bool)]
    success: Success,
    /// Absolute URL of the page of this account.
    url: String,
}

/// Returns the URL of the account's billing page. The request has no body.
#[utoipa::path(
    post,
    path = "/api/{namespace}/{subscription}/subscriptions/portal",
    operation_id = "createBillingPortal",
    tag = "subscriptions",
    params(AccountPath),
    responses((status = 200, description = "The URL", body = BillingPortalAnswer), AccountErrors),
    security(("token" = []))
)]
pub(crate) async fn create_billing_portal(
    State(portal): State<Portal>,
    caller: Caller,
) -> Result<Answer<BillingPortalAnswer>, Refused> {
    let found = portal.subscription(&caller).await;
    found.map_err(|refused| refused.with_missing_as(ErrorCode::OrgNotFound))?;
    let url = format!("{}/{}/{}/", portal.settings.public_url, caller.namespace, caller.name);
    Ok(Answer(BillingPortalAnswer { success: Success, url }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::accounts::{forbidden, known, without_ledger};
    use crate::tests::portal;

    fn shown(account: &Account) -> Value {
        serde_json::to_value(answer(&portal(), account)).expect("JSON")
    }

    #[tokio::test]
    async fn the_plan_in_force_has_its_period_and_the_price_of_its_terms() {
        let expected = json!({
            "success": true,
            "data": {
                "id": "starter", "name": "Starter",
                "description": "1100 credits a month or 15000 credits a year; packs can be bought",
                "periodId": "starter-monthly", "periodType": "MONTHLY", "price": 100,
                "dateFrom": "2026-01-31T10:00:00.000Z", "dateTo": "2026-02-28T10:00:00.000Z", "status": "ACTIVE",
                "autoRenew": true,
            },
        });
        assert_eq!(shown(&known("starter")), expected);
        assert_eq!(shown(&forbidden("1100")), expected, "the status has the same");
    }

    #[tokio::test]
    async fn a_plan_that_is_cancelled_does_not_renew() {
        let mut account = known("starter");
        account.subscription.spec.renewal = Renewal::None;
        assert_eq!(shown(&account)["data"]["autoRenew"], false);
    }

    #[tokio::test]
    async fn without_a_plan_data_is_null_and_the_message_says_why() {
        let expected = json!({
            "success": true, "data": null, "message": "No plan is in force: choose one of `subscriptions`.",
        });
        assert_eq!(shown(&without_ledger()), expected);
        let unpaid = crate::tests::accounts::unpaid("starter");
        assert_eq!(shown(&unpaid)["message"], "No plan is in force until the open invoice is paid.");
    }
}
