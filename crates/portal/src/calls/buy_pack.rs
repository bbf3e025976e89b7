//! `buyCreditsPack`.

use axum::extract::{Request, State};
use flashgate_api::{CreditPack, CreditPackSpec, CreditPackState, READY, SubscriptionRef, condition};
use flashgate_ledger::catalog::{Pack, PackLimitScope, PackPurchases};
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AccountErrors, AccountPath};
use crate::account::Account;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::kubernetes::CallError;
use crate::manifest;
use crate::number::Success;
use crate::orders::{idempotency_key, key_hash, new_ulid, order_name};
use crate::portal::Portal;
use crate::refused::{ErrorCode, Refused};
use crate::verdict::{SessionStatus, Wait, checkout_url};
use crate::{body, sessions};

/// The pack to buy.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuyPackBody {
    /// Identifier of a pack, as `credits/packs` lists it.
    pack_id: String,
}

/// The order of a pack.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuyPackAnswer {
    #[schema(value_type = bool)]
    success: Success,
    /// Page on which the order is paid. Null if nothing is left to pay.
    #[schema(required)]
    checkout_url: Option<String>,
    /// Identifier of the session: the number of the invoice, or `pack_` and the name of the CreditPack.
    session_id: String,
    /// State of the session.
    status: SessionStatus,
}

/// Buys a pack: creates a CreditPack, and waits up to 5 seconds for the verdict. The header `Idempotency-Key` marks
/// repetitions, which never buy again.
#[utoipa::path(
    post,
    path = "/api/{namespace}/{subscription}/credits/packs/buy",
    operation_id = "buyCreditsPack",
    tag = "credits",
    params(
        AccountPath,
        ("Idempotency-Key" = Option<String>, Header, description = "Key that all repetitions of this order have"),
    ),
    request_body = BuyPackBody,
    responses((status = 200, description = "The order", body = BuyPackAnswer), AccountErrors),
    security(("token" = []))
)]
pub(crate) async fn buy_credits_pack(
    State(portal): State<Portal>,
    caller: Caller,
    request: Request,
) -> Result<Answer<BuyPackAnswer>, Refused> {
    let key = idempotency_key(request.headers())?;
    let account = portal.account(&caller).await?;
    let BuyPackBody { pack_id } = body::json(request).await?;
    let ordered = portal.buy_pack(&caller, &account, &pack_id, key.as_deref()).await?;
    answer(&portal, &ordered).map(Answer)
}

/// An order of a pack.
#[derive(Clone, Debug)]
pub(crate) struct Ordered {
    /// Name of the CreditPack.
    pub name: String,
    /// The CreditPack with its verdict. Absent if there is none in time.
    pub decided: Option<CreditPack>,
}

impl Portal {
    /// Orders a pack, and waits for the verdict. Repetitions with the same idempotency key buy once.
    ///
    /// # Errors
    /// When a call fails, the operator would refuse the order, or the key was used with another pack.
    pub(crate) async fn buy_pack(
        &self,
        caller: &Caller,
        account: &Account,
        pack_id: &str,
        key: Option<&str>,
    ) -> Result<Ordered, Refused> {
        let unique = match key {
            Some(key) => key_hash(&caller.namespace, &caller.name, key),
            None => new_ulid(self.clock.now()).map_err(|_| no_random_numbers())?,
        };
        let name = order_name(&caller.name, &unique);
        // A repetition gets the answer of the first request, whatever happened since.
        let known = match key {
            Some(_) => self.order(caller, &name).await?,
            None => None,
        };
        let order = if let Some(order) = known {
            same_order(caller, pack_id, order)?
        } else {
            let pack = self.catalog().pack(pack_id).ok_or_else(|| unknown_pack(self))?;
            check_status(self, account, pack)?;
            self.create_order(caller, &name, pack_id).await?
        };
        let decided = self.decided_order(caller, order).await?;
        Ok(Ordered { name, decided })
    }

    /// Returns the order called `name`, if it exists.
    pub(crate) async fn order(&self, caller: &Caller, name: &str) -> Result<Option<CreditPack>, Refused> {
        match self.kubernetes.get(&caller.token, &caller.namespace, name).await {
            Ok(order) => Ok(Some(order)),
            Err(CallError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the operator has decided on an order. Returns it then, or `None` if there is no decision in time.
    async fn decided_order(&self, caller: &Caller, order: CreditPack) -> Result<Option<CreditPack>, Refused> {
        let (name, mut current, mut wait) = (order.name_any(), Some(order), Wait::begin());
        loop {
            if let Some(decided) = current.filter(is_decided) {
                return Ok(Some(decided));
            }
            if !wait.pause().await {
                return Ok(None);
            }
            current = self.order(caller, &name).await?;
        }
    }

    /// Creates an order. If it was created at the same time, returns that one.
    async fn create_order(&self, caller: &Caller, name: &str, pack: &str) -> Result<CreditPack, Refused> {
        let Caller { token, namespace, name: subscription } = caller;
        let mut order = CreditPack::new(
            name,
            CreditPackSpec {
                subscription_ref: SubscriptionRef { name: subscription.clone() },
                pack: pack.to_owned(),
            },
        );
        order.metadata.namespace = Some(namespace.clone());
        self.check_writes(|| manifest::of_order(namespace, &order))?;
        match self.kubernetes.create(token, namespace, name, &order).await {
            Ok(created) => Ok(created),
            Err(CallError::AlreadyExists { call }) => match self.order(caller, name).await? {
                Some(existing) => same_order(caller, pack, existing),
                None => Err(CallError::Conflict { call }.into()),
            },
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns the order if it is the one that the body asks for.
fn same_order(caller: &Caller, pack: &str, order: CreditPack) -> Result<CreditPack, Refused> {
    if order.spec.pack == pack && order.spec.subscription_ref.name == caller.name {
        Ok(order)
    } else {
        Err(reused_key())
    }
}

/// Refuses an order that the operator would refuse, before it is created. A status that does not show the last edit of
/// the Subscription refuses nothing: the operator decides.
pub(crate) fn check_status(portal: &Portal, account: &Account, pack: &Pack) -> Result<(), Refused> {
    if !account.is_observed() {
        return Ok(());
    }
    if let Some(cause) = plan_refuses_packs(portal, account) {
        return Err(Refused::new(ErrorCode::PlanNotEligible, cause));
    }
    match next_available_time(portal, account, pack) {
        Some(next) => Err(pack_limit_reached(Some(next))),
        None => Ok(()),
    }
}

/// Returns why the plan or period in force does not allow packs, if that is known. A pack that is ordered before the
/// first period is pending, and not refused (Law 14).
fn plan_refuses_packs(portal: &Portal, account: &Account) -> Option<String> {
    let known = account.book.known();
    let of_catalog = || {
        let (_, plan) = portal.catalog().plan(account.status().plan.as_deref()?)?;
        Some(plan.pack_purchases)
    };
    match account.terms().map(|terms| terms.pack_purchases).or_else(of_catalog) {
        None => {
            let has_had_period = known.is_some_and(|book| book.ledger.period.number > 0);
            has_had_period.then(|| {
                "packs need a plan, and none is in force: choose a plan that allows packs".to_owned()
            })
        }
        Some(PackPurchases::Refused) => {
            Some("the plan in force does not allow packs: change to a plan that does".to_owned())
        }
        Some(PackPurchases::Allowed) => {
            let is_unpaid = known.is_some_and(|book| book.ledger.period.payment_due_time.is_some());
            is_unpaid.then(|| "the period in force is not paid: pay its invoice first".to_owned())
        }
    }
}

/// Returns the time from which the next pack can be bought, if the limit of the month is reached (Law 14).
fn next_available_time(portal: &Portal, account: &Account, pack: &Pack) -> Option<Timestamp> {
    let limit = portal.catalog().policies.pack_limit;
    if let Some(book) = account.book.known() {
        return book.ledger.pack_allowance(limit, Some(&pack.name), account.now).next_available_time();
    }
    // The status does not say which pack reached its limit.
    if limit.scope == PackLimitScope::PerPack {
        return None;
    }
    let packs = account.status().packs?;
    packs.next_available_time.filter(|next| *next > account.now)
}

/// Returns whether the operator has decided on an order.
fn is_decided(order: &CreditPack) -> bool {
    order.status.as_ref().is_some_and(|status| status.state.is_some())
}

/// Returns the answer about a decided order, or about one without a verdict.
fn answer(portal: &Portal, ordered: &Ordered) -> Result<BuyPackAnswer, Refused> {
    let Ordered { name, decided } = ordered;
    let decided = decided.as_ref();
    let status = decided.and_then(|order| order.status.as_ref());
    let state = status.and_then(|status| status.state);
    let invoice = status.and_then(|status| status.invoice.clone());
    let open = BuyPackAnswer {
        success: Success,
        checkout_url: None,
        session_id: invoice.clone().unwrap_or_else(|| sessions::of_order(name)),
        status: SessionStatus::Open,
    };
    match state {
        None => Ok(open),
        Some(CreditPackState::AwaitingPayment) => {
            let url = invoice.and_then(|invoice| checkout_url(portal.catalog(), &invoice));
            Ok(BuyPackAnswer { checkout_url: url, ..open })
        }
        Some(CreditPackState::Granted | CreditPackState::Refunded) => {
            Ok(BuyPackAnswer { status: SessionStatus::Complete, ..open })
        }
        Some(CreditPackState::Refused) => Err(refusal(decided)),
    }
}

/// Returns the answer to a refused order.
pub(crate) fn refusal(order: Option<&CreditPack>) -> Refused {
    let status = order.and_then(|order| order.status.as_ref());
    let ready = status.and_then(|status| condition(&status.conditions, READY));
    let unknown = || ("", "the order was refused".to_owned());
    let (reason, message) =
        ready.map_or_else(unknown, |ready| (ready.reason.as_str(), ready.message.clone()));
    match reason {
        "PlanNotEligible" => Refused::new(ErrorCode::PlanNotEligible, message),
        "UnknownPack" => Refused::new(ErrorCode::PackNotFound, message),
        "PackLimitReached" => pack_limit_reached(status.and_then(|status| status.next_available_time)),
        "NameAlreadyUsed" => reused_key(),
        _ => Refused::new(ErrorCode::OrderRefused, message),
    }
}

fn pack_limit_reached(next_available_time: Option<Timestamp>) -> Refused {
    let message = "the packs of this month are used up: buy the next one from `nextAvailableAt` on";
    Refused { next_available_time, ..Refused::new(ErrorCode::PackLimitReached, message) }
}

/// Returns the refusal of a pack that the catalog does not have.
pub(crate) fn unknown_pack(portal: &Portal) -> Refused {
    let known: Vec<&str> = portal.catalog().packs.iter().map(|pack| pack.name.as_str()).collect();
    let message = format!("the catalog has no such pack: `packId` must be one of {}", known.join(", "));
    Refused::new(ErrorCode::PackNotFound, message)
}

/// Returns the refusal of an idempotency key that was used with another body.
pub(crate) fn reused_key() -> Refused {
    let message = "the Idempotency-Key was used with another body: use a new key for a new request";
    Refused::new(ErrorCode::IdempotencyKeyReused, message)
}

/// Returns the refusal of a request that needs random numbers, if there are none.
pub(crate) fn no_random_numbers() -> Refused {
    Refused::new(ErrorCode::InternalError, "the server has no random numbers: send an Idempotency-Key")
}
