//! `cancelSubscription`.

use axum::extract::State;
use flashgate_api::Renewal;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{AccountErrors, AccountPath};
use crate::account::Account;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::changes::Change;
use crate::number::Success;
use crate::portal::Portal;
use crate::refused::Refused;

/// The confirmation of a cancellation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CancelAnswer {
    #[schema(value_type = bool)]
    success: Success,
    /// The effect in a sentence.
    message: String,
}

/// Cancels the renewal. The plan stays in force until the end of the period. The request has no body.
#[utoipa::path(
    post,
    path = "/api/{namespace}/{subscription}/subscriptions/cancel",
    operation_id = "cancelSubscription",
    tag = "subscriptions",
    params(AccountPath),
    responses((status = 200, description = "The plan does not renew", body = CancelAnswer), AccountErrors),
    security(("token" = []))
)]
pub(crate) async fn cancel_subscription(
    State(portal): State<Portal>,
    caller: Caller,
) -> Result<Answer<CancelAnswer>, Refused> {
    let decide = |account: &Account| {
        let is_cancelled = account.subscription.spec.renewal == Renewal::None;
        Ok((!is_cancelled).then(|| Change::of_spec(json!({"renewal": Renewal::None}))))
    };
    let (account, _) = portal.change_account(&caller, decide).await?;
    Ok(Answer(CancelAnswer { success: Success, message: effect(&account) }))
}

/// Returns the effect of a cancellation.
fn effect(account: &Account) -> String {
    match account.status().period {
        Some(period) => format!("The plan does not renew. It stays in force until {}.", period.end_time),
        None => "The plan does not renew.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::accounts::{known, without_ledger};

    #[test]
    fn the_message_says_when_the_plan_ends() {
        let expected = "The plan does not renew. It stays in force until 2026-02-28T10:00:00Z.";
        assert_eq!(effect(&known("starter")), expected);
        assert_eq!(effect(&without_ledger()), "The plan does not renew.");
    }
}
