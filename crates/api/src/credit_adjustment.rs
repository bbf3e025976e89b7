//! CreditAdjustment: credits given by hand.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::schema::{MAX_INTEGER, STATED_AMOUNT_PATTERN, immutable, rule, stated_amount, stated_time};
use super::{Amount, SubscriptionRef, condition};

/// Credits given by hand, and why.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "billing.flashgate.dev",
    version = "v1alpha1",
    kind = "CreditAdjustment",
    plural = "creditadjustments",
    namespaced,
    shortname = "fgadjust",
    category = "flashgate",
    status = "CreditAdjustmentStatus",
    derive = "PartialEq",
    selectable = ".spec.subscriptionRef.name",
    selectable = ".status.state",
    doc = "A CreditAdjustment gives an account credits by hand, with a reason. Administrators write it. Its name is \
           the idempotency key: applying the same name again gives nothing, and deleting it takes nothing back.",
    printcolumn(
        name = "Subscription",
        type_ = "string",
        json_path = ".spec.subscriptionRef.name",
        description = "Subscription that gets the credits"
    ),
    printcolumn(
        name = "Credits",
        type_ = "string",
        json_path = ".spec.credits",
        description = "Credits to give"
    ),
    printcolumn(
        name = "Expires",
        type_ = "string",
        json_path = ".spec.expirationTime",
        description = "Time at which the remaining credits expire"
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "The verdict"),
    printcolumn(
        name = "Why",
        type_ = "string",
        json_path = ".spec.reason",
        priority = 1,
        description = "Reason for the credits"
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
    description = "Credits that an administrator gives, with the reason. Immutable.",
    extend("x-kubernetes-validations" = [immutable("create another CreditAdjustment to give more")])
)]
pub struct CreditAdjustmentSpec {
    /// The Subscription that gets the credits.
    pub subscription_ref: SubscriptionRef,
    /// Credits to give, above 0 and below 10^15, such as `"250"`, with at most 9 decimals. Debt is repaid from
    /// them first.
    #[schemars(schema_with = "stated_credits")]
    pub credits: Amount,
    /// Why, in a sentence that the tenant may read, such as `outage 2026-11-02`.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// When what is left of the credits expires; must be later than the creation. Default: never.
    #[serde(
        default,
        deserialize_with = "super::stated_time::deserialize_optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(extend("x-kubernetes-validations" = [stated_time()]))]
    pub expiration_time: Option<Timestamp>,
}

/// Returns the schema of the credits that are given.
fn stated_credits(_: &mut SchemaGenerator) -> Schema {
    stated_amount(json!([rule(
        &format!("self.matches('{STATED_AMOUNT_PATTERN}') && quantity(self).isGreaterThan(quantity('0'))"),
        "must be a decimal greater than 0 and below 10^15 with at most 9 fractional digits, such as '250'",
    )]))
}

/// The verdict.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "The verdict. Written by the operator alone.")]
pub struct CreditAdjustmentStatus {
    /// The `metadata.generation` that this status speaks about; -1 before the operator has seen the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = MAX_INTEGER))]
    pub observed_generation: Option<i64>,
    /// `Granted` or `Refused`; final. Absent while the adjustment waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" =
        [rule("self == oldSelf", "must not change once it is set: a verdict is final")]))]
    pub state: Option<CreditAdjustmentState>,
    /// `Ready` says whether the credits were granted; `Reconciling` that the adjustment waits; `Stalled` that it
    /// was refused, with the reason and the remedy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,
}

/// The verdict on a CreditAdjustment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[schemars(transform = super::schema::without_description)]
pub enum CreditAdjustmentState {
    /// Its credits were granted.
    Granted,
    /// It changed nothing; the reason is in the condition Ready.
    Refused,
}
