//! `buySubscription`.

use axum::extract::{Request, State};
use flashgate_api::{READY, Renewal, Subscription, condition};
use flashgate_ledger::catalog::BillingPeriod;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::buy_pack::reused_key;
use super::{AccountErrors, AccountPath};
use crate::account::{Account, AccountInvoice, InvoicePurpose};
use crate::answer::Answer;
use crate::caller::Caller;
use crate::changes::Change;
use crate::number::Success;
use crate::offers::{offered, plan_name};
use crate::orders::{idempotency_key, key_hash};
use crate::portal::Portal;
use crate::refused::{ErrorCode, Refused};
use crate::requests::{PlanRequest, PlanRequests, REQUESTS};
use crate::verdict::{SessionStatus, checkout_url, of_invoice};
use crate::{body, sessions};

/// The billing period to subscribe to.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuySubscriptionBody {
    /// Identifier of a billing period of a plan, as `subscriptions` lists it.
    subscription_period_id: String,
}

/// The change of a plan.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuySubscriptionAnswer {
    #[schema(value_type = bool)]
    success: Success,
    /// Page on which the invoice is paid. Null if nothing is to be paid now.
    #[schema(required)]
    checkout_url: Option<String>,
    /// Identifier of the session: the number of the invoice, `change_` or `free_sub_`.
    session_id: String,
    /// Whether another plan was in force before.
    is_subscription_change: bool,
    /// Plan in force before. Null if there was none.
    #[schema(required)]
    previous_subscription: Option<PlanReference>,
    /// Whether the requested plan is free.
    is_free_subscription: bool,
    /// State of the session.
    status: SessionStatus,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlanReference {
    /// Name of the plan in the catalog.
    id: String,
    /// Display name.
    name: String,
}

/// A request of a plan that the catalog offers.
struct Wanted {
    id: String,
    plan: String,
    billing_period: BillingPeriod,
    is_free: bool,
    key: Option<String>,
}

/// Requests a plan: changes the Subscription, and waits up to 5 seconds for the decision. An upgrade begins at once or
/// with its payment, and a downgrade at the end of the period. The header `Idempotency-Key` marks repetitions.
#[utoipa::path(
    post,
    path = "/api/{namespace}/{subscription}/subscriptions/buy",
    operation_id = "buySubscription",
    tag = "subscriptions",
    params(
        AccountPath,
        ("Idempotency-Key" = Option<String>, Header, description = "Key that all repetitions of this change have"),
    ),
    request_body = BuySubscriptionBody,
    responses((status = 200, description = "The change", body = BuySubscriptionAnswer), AccountErrors),
    security(("token" = []))
)]
pub(crate) async fn buy_subscription(
    State(portal): State<Portal>,
    caller: Caller,
    request: Request,
) -> Result<Answer<BuySubscriptionAnswer>, Refused> {
    let key = idempotency_key(request.headers())?;
    let before = portal.account(&caller).await?;
    let BuySubscriptionBody { subscription_period_id: id } = body::json(request).await?;
    let (wanted, made, decided) = portal.request_plan(&caller, &before, id, key).await?;
    answer(&portal, &wanted, &made, decided.as_ref()).map(Answer)
}

impl Portal {
    /// Requests a plan, and waits for the decision. Repetitions with the same idempotency key change nothing.
    async fn request_plan(
        &self,
        caller: &Caller,
        before: &Account,
        id: String,
        key: Option<String>,
    ) -> Result<(Wanted, PlanRequest, Option<Account>), Refused> {
        let (plan, billing_period, offer) =
            offered(self.catalog(), &id).ok_or_else(|| unknown_period(self))?;
        let wanted = Wanted {
            plan: plan.name.clone(),
            billing_period,
            is_free: offer.price.is_zero(),
            key: key.map(|key| key_hash(&caller.namespace, &caller.name, &key)),
            id,
        };
        if !wanted.is_repeated(&before.subscription)? && wanted.must_ask_again(before) {
            withdraw(self, caller).await?;
        }
        let mut made = None;
        let decide = |account: &Account| {
            made = Some(wanted.request(account));
            if wanted.is_repeated(&account.subscription)? {
                return Ok(None);
            }
            Ok(wanted.change(account))
        };
        let (account, changed) = self.change_account(caller, decide).await?;
        let made = made.unwrap_or_else(|| wanted.request(&account));
        // Other clients may have changed the Subscription since: then a later generation is decided on.
        let generation = if account.subscription.metadata.generation == changed.metadata.generation {
            made.generation
        } else {
            changed.metadata.generation.unwrap_or(made.generation)
        };
        let decided = self.decided(caller, generation).await?;
        Ok((wanted, made, decided))
    }

    /// Requests a plan, and waits for the decision. Returns the id of its session. Repetitions with the same idempotency
    /// key change nothing.
    ///
    /// # Errors
    /// When a call fails, the catalog does not offer the plan, the operator refuses it, or the key was used with another
    /// plan.
    pub(crate) async fn buy_plan(
        &self,
        caller: &Caller,
        before: &Account,
        period_id: String,
        key: String,
    ) -> Result<String, Refused> {
        let (wanted, made, decided) = self.request_plan(caller, before, period_id, Some(key)).await?;
        Ok(answer(self, &wanted, &made, decided.as_ref())?.session_id)
    }
}

/// Sets `renewal: None` and waits for the operator. A request whose invoice became void has no effect until the
/// Subscription requests something else (Law 16).
async fn withdraw(portal: &Portal, caller: &Caller) -> Result<(), Refused> {
    let none = |_: &Account| Ok(Some(Change::of_spec(json!({"renewal": Renewal::None}))));
    let (_, changed) = portal.change_account(caller, none).await?;
    let generation = changed.metadata.generation.unwrap_or_default();
    match portal.decided(caller, generation).await? {
        Some(_) => Ok(()),
        None => Err(Refused::new(
            ErrorCode::Unavailable,
            "the operator does not answer: send the request again later",
        )),
    }
}

impl Wanted {
    /// Returns whether the request with this key was made before.
    ///
    /// # Errors
    /// When the key was used for another plan.
    fn is_repeated(&self, subscription: &Subscription) -> Result<bool, Refused> {
        match self.known(subscription) {
            Some(known) if known.period != self.id => Err(reused_key()),
            known => Ok(known.is_some()),
        }
    }

    fn known(&self, subscription: &Subscription) -> Option<PlanRequest> {
        PlanRequests::of(subscription).find(self.key.as_deref()?).cloned()
    }

    /// Returns the earlier request with this key, or the one that is made now.
    fn request(&self, account: &Account) -> PlanRequest {
        self.known(&account.subscription).unwrap_or_else(|| {
            let generation = account.subscription.metadata.generation.unwrap_or_default();
            let changes_spec = !self.spec(&account.subscription).is_empty();
            PlanRequest {
                key: self.key.clone().unwrap_or_default(),
                period: self.id.clone(),
                // The API server adds 1 for a patch that changes the spec.
                generation: if changes_spec { generation + 1 } else { generation },
                from: account.status().plan,
                last_invoice: account.invoices().pop().map(|invoice| invoice.number),
            }
        })
    }

    /// Returns the fields of the spec that differ from the request.
    fn spec(&self, subscription: &Subscription) -> Map<String, Value> {
        let spec = &subscription.spec;
        let fields = [
            ("plan", json!(self.plan), json!(spec.plan)),
            ("billingPeriod", json!(self.billing_period), json!(spec.billing_period)),
            ("renewal", json!(Renewal::Automatic), json!(spec.renewal)),
        ];
        let differing = fields.into_iter().filter(|(_, wanted, current)| wanted != current);
        differing.map(|(name, wanted, _)| (name.to_owned(), wanted)).collect()
    }

    /// Returns the change that makes the request, or `None` if it is made already.
    fn change(&self, account: &Account) -> Option<Change> {
        let spec = self.spec(&account.subscription);
        let annotations = self.key.as_ref().map(|_| {
            let text = PlanRequests::of(&account.subscription).with(self.request(account));
            json!({ REQUESTS: text })
        });
        let is_made = spec.is_empty() && annotations.is_none();
        (!is_made).then_some(Change { spec: Value::Object(spec), annotations })
    }

    /// Returns whether the Subscription requests this plan already, and that request has no effect any more: the
    /// account lapsed under it, or its invoice became void.
    fn must_ask_again(&self, account: &Account) -> bool {
        let is_same = self.spec(&account.subscription).is_empty();
        let of_ledger = account.book.known().and_then(|book| book.ledger.request.as_ref());
        let is_remembered = match of_ledger {
            Some(decided) => decided.state.is_remembered(),
            None => matches!(ready_reason(account).as_deref(), Some("PaymentOverdue" | "Lapsed")),
        };
        is_same && is_remembered && account.is_observed()
    }
}

/// Returns the reason of the condition Ready.
fn ready_reason(account: &Account) -> Option<String> {
    condition(&account.status().conditions, READY).map(|ready| ready.reason.clone())
}

/// Returns the answer about a decided request, or about one without a decision.
fn answer(
    portal: &Portal,
    wanted: &Wanted,
    made: &PlanRequest,
    decided: Option<&Account>,
) -> Result<BuySubscriptionAnswer, Refused> {
    let session = sessions::of_change(made.generation, wanted.is_free);
    let mut answer = BuySubscriptionAnswer {
        success: Success,
        checkout_url: None,
        session_id: session,
        is_subscription_change: made.from.is_some(),
        previous_subscription: made
            .from
            .as_ref()
            .map(|plan| PlanReference { id: plan.clone(), name: plan_name(portal.catalog(), plan) }),
        is_free_subscription: wanted.is_free,
        status: SessionStatus::Open,
    };
    let Some(account) = decided else { return Ok(answer) };
    if let Some(refusal) = refusal(account) {
        return Err(refusal);
    }
    answer.status = SessionStatus::Complete;
    let invoice = if wanted.is_free { None } else { invoice_of(account, made) };
    if let Some(AccountInvoice { number, state, .. }) = invoice {
        let (status, _) = of_invoice(state);
        let url = (status == SessionStatus::Open).then(|| checkout_url(portal.catalog(), &number)).flatten();
        answer = BuySubscriptionAnswer { checkout_url: url, session_id: number, status, ..answer };
    }
    Ok(answer)
}

/// Returns the first plan invoice after the request: it is for the change. An open one from before it counts, too: the
/// same plan was requested again.
fn invoice_of(account: &Account, made: &PlanRequest) -> Option<AccountInvoice> {
    let invoices = account.invoices();
    let is_last = |invoice: &AccountInvoice| Some(&invoice.number) == made.last_invoice.as_ref();
    let before = invoices.iter().position(is_last).map_or(0, |index| index + 1);
    let is_for_plan = |invoice: &&AccountInvoice| invoice.purpose != InvoicePurpose::Pack;
    let after = invoices.iter().skip(before).find(is_for_plan);
    after.or_else(|| invoices.iter().find(|invoice| invoice.is_open_plan_invoice())).cloned()
}

/// Returns the refusal of a request that the operator cannot follow.
fn refusal(account: &Account) -> Option<Refused> {
    let status = account.status();
    let ready = condition(&status.conditions, READY)?;
    let is_refused =
        matches!(ready.reason.as_str(), "PlanNotFound" | "BillingPeriodNotOffered" | "LedgerFull");
    is_refused.then(|| Refused::new(ErrorCode::ChangeRefused, ready.message.clone()))
}

/// Returns the refusal of a billing period that the catalog does not offer.
pub(crate) fn unknown_period(portal: &Portal) -> Refused {
    let plans: Vec<&str> = portal.catalog().plans.iter().map(|plan| plan.name.as_str()).collect();
    let message = format!(
        "the catalog has no such billing period: take `subscriptionPeriodId` from `subscriptions`; the plans are {}",
        plans.join(", ")
    );
    Refused::new(ErrorCode::SubscriptionPeriodNotFound, message)
}
