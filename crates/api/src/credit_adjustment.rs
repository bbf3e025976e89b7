//! CreditAdjustment: credits that an administrator gives.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::schema::{MAX_INTEGER, STATED_AMOUNT_PATTERN, immutable, rule, stated_amount, stated_time};
use super::{Amount, SubscriptionRef, condition};

/// Credits that an administrator gives, and the reason.
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
    doc = "A CreditAdjustment gives credits to an account, with a reason. Administrators write it. Its name is \
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
    description = "Credits that an administrator gives, and the reason. Immutable.",
    extend("x-kubernetes-validations" = [immutable("create another CreditAdjustment to give more")])
)]
pub struct CreditAdjustmentSpec {
    /// The Subscription that gets the credits.
    pub subscription_ref: SubscriptionRef,
    /// Credits to give: a decimal above 0 and below 10^15 with at most 9 fractional digits, such as `"250"`.
    /// They repay debt first.
    #[schemars(schema_with = "stated_credits")]
    pub credits: Amount,
    /// Reason for the credits, such as `outage 2026-11-02`. The tenant can read it.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Time at which the remaining credits expire, such as `2027-01-31T00:00:00Z`. It must be later than the
    /// creation of the object. Default: the credits never expire.
    #[serde(
        default,
        deserialize_with = "super::stated_time::deserialize_optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(extend("x-kubernetes-validations" = [stated_time()]))]
    pub expiration_time: Option<Timestamp>,
}

/// Returns the schema of the credits to give.
fn stated_credits(_: &mut SchemaGenerator) -> Schema {
    stated_amount(json!([rule(
        &format!("self.matches('{STATED_AMOUNT_PATTERN}') && quantity(self).isGreaterThan(quantity('0'))"),
        "must be a decimal greater than 0 and below 10^15 with at most 9 fractional digits, such as '250'",
    )]))
}

/// The verdict.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "The verdict. Only the operator writes it.")]
pub struct CreditAdjustmentStatus {
    /// The `metadata.generation` that this status describes; -1 until the operator has seen the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = MAX_INTEGER))]
    pub observed_generation: Option<i64>,
    /// `Granted` or `Refused`. Both are final. Absent while the adjustment is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" =
        [rule("self == oldSelf", "must not change once it is set: a verdict is final")]))]
    pub state: Option<CreditAdjustmentState>,
    /// `Ready` is true when the credits are granted. `Reconciling` is true while the adjustment is pending.
    /// `Stalled` is true when it was refused; its message has the remedy.
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
    /// It changed nothing. The condition `Ready` has the reason.
    Refused,
}
