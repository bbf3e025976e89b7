//! CreditPack: a purchase of credits in addition to a plan.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{
    CURRENCY_PATTERN, INVOICE_NUMBER_LENGTH, MAX_INTEGER, NAME_LENGTH, NAME_PATTERN, form, immutable, rule,
};
use super::{Amount, SubscriptionRef, condition};

/// The pack to buy, and the Subscription that buys it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "billing.flashgate.dev",
    version = "v1alpha1",
    kind = "CreditPack",
    plural = "creditpacks",
    namespaced,
    shortname = "fgpack",
    category = "flashgate",
    status = "CreditPackStatus",
    derive = "PartialEq",
    selectable = ".spec.subscriptionRef.name",
    selectable = ".status.state",
    doc = "A CreditPack is one purchase of credits in addition to a plan. Its name is the idempotency key: applying \
           the same name again shows the original purchase and buys nothing, also after a deletion. Deleting a \
           CreditPack neither refunds it nor makes room under the pack limit. A new name buys again, so a changed \
           name prefix (of Kustomize or a Helm release) or another namespace buys all packs again.",
    printcolumn(
        name = "Subscription",
        type_ = "string",
        json_path = ".spec.subscriptionRef.name",
        description = "Subscription that buys"
    ),
    printcolumn(
        name = "Pack",
        type_ = "string",
        json_path = ".spec.pack",
        description = "Pack of the catalog"
    ),
    printcolumn(
        name = "Credits",
        type_ = "string",
        json_path = ".status.credits",
        description = "Credits of the pack"
    ),
    printcolumn(
        name = "Price",
        type_ = "string",
        json_path = ".status.price",
        description = "Price of the pack"
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "State of the order"
    ),
    printcolumn(
        name = "Invoice",
        type_ = "string",
        json_path = ".status.invoice",
        priority = 1,
        description = "Number of its invoice"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1,
        description = "Reason of the Ready condition"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1,
        description = "Message of the Ready condition"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since creation"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(
    description = "The pack to buy, and the Subscription that buys it. Immutable.",
    extend("x-kubernetes-validations" =
        [immutable("a CreditPack is an order: create one with a new name to buy again")])
)]
pub struct CreditPackSpec {
    /// The Subscription that buys. Its plan must allow packs, and its current period must be paid.
    pub subscription_ref: SubscriptionRef,
    /// Name of a pack of the operator's catalog, such as `plus-100`.
    #[schemars(length(min = 1, max = NAME_LENGTH), extend("x-kubernetes-validations" = [form(
        NAME_PATTERN,
        "the name of a pack: lower-case letters, digits and '-', starting and ending with a letter or digit, such as \
         'plus-100'",
    )]))]
    pub pack: String,
}

/// State of the order.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "State of the order. Only the operator writes it.")]
pub struct CreditPackStatus {
    /// The `metadata.generation` that this status describes; -1 until the operator has seen the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = MAX_INTEGER))]
    pub observed_generation: Option<i64>,
    /// `AwaitingPayment`: the invoice is open, and the order counts towards the monthly limit. `Granted`: the
    /// credits are granted. `Refused`: the order was refused, for the reason in the condition `Ready`.
    /// `Refunded`: the price was paid back. `Refused` and `Refunded` are final. Absent while the order is
    /// pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rule(
        "self == oldSelf || (oldSelf == 'AwaitingPayment' && (self == 'Granted' || self == 'Refused')) \
         || (oldSelf == 'Granted' && self == 'Refunded')",
        "must only go from 'AwaitingPayment' to 'Granted' or 'Refused', or from 'Granted' to 'Refunded'",
    )]))]
    pub state: Option<CreditPackState>,
    /// Credits that the pack gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits: Option<Amount>,
    /// Price in units of the currency, such as `"300"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
    /// Currency of the price, such as `USD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 3), extend("pattern" = CURRENCY_PATTERN))]
    pub currency: Option<String>,
    /// Number of the invoice of the order. Absent for a free pack.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = INVOICE_NUMBER_LENGTH))]
    pub invoice: Option<String>,
    /// Time at which the credits were granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_time: Option<Timestamp>,
    /// Time from which the next pack can be bought. Set only if this one exceeded the monthly limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_available_time: Option<Timestamp>,
    /// `Ready` is true when the credits are granted. `Reconciling` is true while the order is pending.
    /// `Stalled` is true when it was refused; its message has the remedy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,
}

/// State of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[schemars(transform = super::schema::without_description)]
pub enum CreditPackState {
    /// Its invoice is open.
    AwaitingPayment,
    /// Its credits were granted.
    Granted,
    /// It was refused; final.
    Refused,
    /// It was granted, and its price was paid back; final.
    Refunded,
}
