//! The lists of the catalog, which need no token.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flashgate_ledger::catalog::{Catalog, Plan, Rate};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::JSON;
use crate::calls::AccountPath;
use crate::hash::short_hash;
use crate::number::{Number, Success};
use crate::offers::{BILLING_PERIODS, PeriodType, RateWords, period_id, plan_description};
use crate::portal::Portal;
use crate::refused::Failure;

/// Time for which clients may use a list without asking again. A new catalog needs a restart.
const CACHE_CONTROL: &str = "public, max-age=60";

/// A body that does not change while the process runs, with its entity tag.
#[derive(Clone, Debug)]
pub struct FixedBody {
    body: Vec<u8>,
    content_type: &'static str,
    tag: String,
}

impl FixedBody {
    /// Returns the JSON form of `content`. A content without one is an empty body with an error status.
    fn of(content: &impl Serialize) -> Self {
        Self::new(serde_json::to_vec(content).unwrap_or_default(), JSON)
    }

    /// Returns a body with its entity tag. The tag is weak, because a compressed body has the same one.
    #[must_use]
    pub fn new(body: Vec<u8>, content_type: &'static str) -> Self {
        let hash = short_hash(&body, 16);
        Self { body, content_type, tag: format!("W/\"{hash}\"") }
    }

    /// Returns the answer to a request with these headers: the body, or 304 if the client has it. Clients may use it for
    /// a minute without asking again.
    #[must_use]
    pub fn answer(&self, headers: &HeaderMap) -> Response {
        self.answer_for(headers, CACHE_CONTROL)
    }

    /// Returns the answer to a request with these headers, which caches store as `cache_control` says.
    #[must_use]
    pub fn answer_for(&self, headers: &HeaderMap, cache_control: &'static str) -> Response {
        let is_known = |value: &HeaderValue| {
            let tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
            tags.into_iter().any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.strong_tag())
        };
        let status = if self.body.is_empty() {
            StatusCode::INTERNAL_SERVER_ERROR
        } else if headers.get_all(header::IF_NONE_MATCH).iter().any(is_known) {
            StatusCode::NOT_MODIFIED
        } else {
            StatusCode::OK
        };
        let body = if status == StatusCode::OK { self.body.clone() } else { Vec::new() };
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            headers.insert(header::ETAG, tag);
        }
        headers.remove(header::CONTENT_TYPE);
        if status == StatusCode::OK {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        response
    }

    fn strong_tag(&self) -> &str {
        self.tag.trim_start_matches("W/")
    }
}

/// The lists of a catalog.
#[derive(Clone, Debug)]
pub struct PublicLists {
    packs: FixedBody,
    rates: FixedBody,
    subscriptions: FixedBody,
    /// The OpenAPI document.
    pub openapi: FixedBody,
}

impl PublicLists {
    /// Returns the lists of a catalog.
    #[must_use]
    pub fn of(catalog: &Catalog) -> Self {
        Self {
            packs: FixedBody::of(&packs(catalog)),
            rates: FixedBody::of(&rates(catalog)),
            subscriptions: FixedBody::of(&subscriptions(catalog)),
            openapi: FixedBody::new(crate::openapi::json().unwrap_or_default().into_bytes(), JSON),
        }
    }
}

/// The packs of the catalog.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PacksAnswer {
    #[schema(value_type = bool)]
    success: Success,
    data: Vec<PackItem>,
}

/// A pack of credits.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PackItem {
    /// Identifier, as `packId` in a purchase.
    id: String,
    /// Display name.
    name: String,
    /// Name of the pack in the catalog.
    code: String,
    /// Credits that it gives.
    #[schema(value_type = f64)]
    credits: Number,
    /// Price in units of the catalog's currency.
    #[schema(value_type = f64)]
    price: Number,
}

fn packs(catalog: &Catalog) -> PacksAnswer {
    let item = |pack: &flashgate_ledger::catalog::Pack| PackItem {
        id: pack.name.clone(),
        name: pack.display_name.clone(),
        code: pack.name.clone(),
        credits: pack.credits.into(),
        price: pack.price.into(),
    };
    PacksAnswer { success: Success, data: catalog.packs.iter().map(item).collect() }
}

/// The rates of the catalog.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RatesAnswer {
    #[schema(value_type = bool)]
    success: Success,
    data: Vec<RateItem>,
}

/// A rate.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateItem {
    /// Identifier.
    id: String,
    /// Type of the node, such as `Public Node`.
    #[serde(rename = "type")]
    node: String,
    /// Code of the type, such as `PUBLIC_NODE`.
    type_code: String,
    /// Concept, such as `Per GB Egress`. 1 GB is 10^9 bytes.
    concept: String,
    /// Code of the concept, such as `PER_GB_EGRESS`.
    concept_code: String,
    /// Unit, such as `GB` or `1M tokens`. Null if the rate is for one unit of another operation.
    #[schema(required)]
    unit: Option<&'static str>,
    /// Credits for one unit.
    #[schema(value_type = f64)]
    rate: Number,
}

/// Returns the rates, ordered by operation in the catalog's order, and then by node type.
fn rates(catalog: &Catalog) -> RatesAnswer {
    let mut operations: Vec<&str> = Vec::new();
    for rate in &catalog.rates {
        if !operations.contains(&rate.operation.as_str()) {
            operations.push(&rate.operation);
        }
    }
    let mut data = Vec::new();
    for operation in operations {
        data.extend(catalog.rates.iter().filter(|rate| rate.operation == operation).filter_map(rate_item));
    }
    RatesAnswer { success: Success, data }
}

fn rate_item(rate: &Rate) -> Option<RateItem> {
    let words = RateWords::of(&rate.node_type, &rate.operation);
    let credits = words.rate(rate)?;
    Some(RateItem {
        id: words.id,
        node: words.node,
        type_code: words.node_code,
        concept: words.concept,
        concept_code: words.concept_code,
        unit: words.unit,
        rate: credits.into(),
    })
}

/// The plans of the catalog.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SubscriptionsAnswer {
    #[schema(value_type = bool)]
    success: Success,
    data: Vec<PlanItem>,
}

/// A plan.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PlanItem {
    /// Name of the plan in the catalog.
    id: String,
    /// Display name.
    name: String,
    /// Description in a sentence.
    description: String,
    /// Billing periods that it is offered for.
    periods: Vec<PeriodItem>,
    /// Always empty: the catalog has no capabilities.
    capabilities: Vec<Capability>,
}

/// A capability. The catalog has none.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Capability {}

/// A billing period of a plan.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeriodItem {
    /// Identifier, as `subscriptionPeriodId` in a change of the plan.
    id: String,
    /// Name of the plan.
    subscription_id: String,
    /// Length of the period.
    period_type: PeriodType,
    /// Price of a period in units of the catalog's currency.
    #[schema(value_type = f64)]
    price: Number,
    /// Credits of a period.
    #[schema(value_type = f64)]
    credits_granted: Number,
}

fn subscriptions(catalog: &Catalog) -> SubscriptionsAnswer {
    let item = |plan: &Plan| PlanItem {
        id: plan.name.clone(),
        name: plan.display_name.clone(),
        description: plan_description(catalog, &plan.name),
        periods: BILLING_PERIODS.into_iter().filter_map(|period| period_item(plan, period)).collect(),
        capabilities: Vec::new(),
    };
    SubscriptionsAnswer { success: Success, data: catalog.plans.iter().map(item).collect() }
}

fn period_item(plan: &Plan, billing_period: flashgate_ledger::catalog::BillingPeriod) -> Option<PeriodItem> {
    let offer = plan.offer(billing_period)?;
    Some(PeriodItem {
        id: period_id(&plan.name, billing_period),
        subscription_id: plan.name.clone(),
        period_type: billing_period.into(),
        price: offer.price.into(),
        credits_granted: offer.credits.into(),
    })
}

/// Lists the packs that can be bought. It needs no token.
#[utoipa::path(
    get,
    path = "/api/{namespace}/{subscription}/credits/packs",
    operation_id = "getCreditsPacks",
    tag = "credits",
    params(AccountPath),
    responses((status = 200, description = "The packs", body = PacksAnswer), (status = 500, description = "The list cannot be read", body = Failure))
)]
pub(crate) async fn get_credits_packs(State(portal): State<Portal>, headers: HeaderMap) -> Response {
    portal.lists.packs.answer(&headers)
}

/// Lists the rates. It needs no token.
#[utoipa::path(
    get,
    path = "/api/{namespace}/{subscription}/credits/rates",
    operation_id = "getCreditsRates",
    tag = "credits",
    params(AccountPath),
    responses((status = 200, description = "The rates", body = RatesAnswer), (status = 500, description = "The list cannot be read", body = Failure))
)]
pub(crate) async fn get_credits_rates(State(portal): State<Portal>, headers: HeaderMap) -> Response {
    portal.lists.rates.answer(&headers)
}

/// Lists the plans with their billing periods. It needs no token.
#[utoipa::path(
    get,
    path = "/api/{namespace}/{subscription}/subscriptions",
    operation_id = "getSubscriptions",
    tag = "subscriptions",
    params(AccountPath),
    responses((status = 200, description = "The plans", body = SubscriptionsAnswer), (status = 500, description = "The list cannot be read", body = Failure))
)]
pub(crate) async fn get_subscriptions(State(portal): State<Portal>, headers: HeaderMap) -> Response {
    portal.lists.subscriptions.answer(&headers)
}

#[cfg(test)]
mod tests {
    use flashgate_testing::catalog::shipped;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_shipped_rates_are_listed_as_the_product_publishes_them() {
        let listed = serde_json::to_value(rates(&shipped())).expect("JSON");
        let numbers: Vec<_> =
            listed["data"].as_array().expect("list").iter().map(|item| &item["rate"]).collect();
        assert_eq!(json!(numbers), json!([10, 1, 1000, 50]));
        assert_eq!(
            listed["data"][3],
            json!({
                "id": "private-tokens-out", "type": "Private Node", "typeCode": "PRIVATE_NODE",
                "concept": "Per 1M LLM Tokens", "conceptCode": "PER_1M_TOKENS", "unit": "1M tokens", "rate": 50,
            })
        );
    }

    #[test]
    fn the_shipped_packs_and_plans_are_listed_with_ids_for_purchases() {
        let listed = serde_json::to_value(packs(&shipped())).expect("JSON");
        assert_eq!(
            listed["data"][1],
            json!({"id": "plus-500", "name": "+500 credits", "code": "plus-500", "credits": 500, "price": 50})
        );
        let listed = serde_json::to_value(subscriptions(&shipped())).expect("JSON");
        assert_eq!(
            listed["data"][2],
            json!({
                "id": "starter", "name": "Starter",
                "description": "1100 credits a month or 15000 credits a year; packs can be bought",
                "periods": [
                    {
                        "id": "starter-monthly", "subscriptionId": "starter", "periodType": "MONTHLY", "price": 100,
                        "creditsGranted": 1100,
                    },
                    {
                        "id": "starter-yearly", "subscriptionId": "starter", "periodType": "YEARLY", "price": 1000,
                        "creditsGranted": 15000,
                    },
                ],
                "capabilities": [],
            })
        );
        assert_eq!(listed["data"][0]["periods"].as_array().map(Vec::len), Some(1), "no yearly offer");
    }

    #[test]
    fn a_client_that_has_the_list_gets_304() {
        let list = FixedBody::of(&packs(&shipped()));
        let with = |tag: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(tag).expect("tag"));
            list.answer(&headers).status()
        };
        let first = list.answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].to_str().expect("tag").to_owned();
        assert_eq!(with(&tag), StatusCode::NOT_MODIFIED);
        assert_eq!(with(&format!("\"other\", {tag}")), StatusCode::NOT_MODIFIED);
        assert_eq!(with("\"other\""), StatusCode::OK);
    }
}
