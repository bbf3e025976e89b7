//! UsageReport: what was used in a window of time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{
    MAX_INTEGER, NAME_LENGTH, RATE_NAME_PATTERN, SOURCE_PATTERN, form, immutable, rule, rule_at, stated_time,
};
use super::subscription::RatedUsage;
use super::{Amount, Quantity, SubscriptionRef, condition};

/// Usage of one source in one window of time.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "billing.flashgate.dev",
    version = "v1alpha1",
    kind = "UsageReport",
    plural = "usagereports",
    namespaced,
    shortname = "fgusage",
    category = "flashgate",
    status = "UsageReportStatus",
    derive = "PartialEq",
    selectable = ".spec.subscriptionRef.name",
    selectable = ".status.state",
    doc = "A UsageReport states the usage of a window of time; the operator charges it once. Machines (gateways, \
           collectors) write it, and it does not belong in Git: the operator deletes reports some days after their \
           verdict (7 by default). Keep your own copy until `status.state` is `Charged`: that is the receipt.",
    printcolumn(
        name = "Subscription",
        type_ = "string",
        json_path = ".spec.subscriptionRef.name",
        description = "Subscription that is charged"
    ),
    printcolumn(
        name = "Source",
        type_ = "string",
        json_path = ".spec.source",
        description = "Source of the usage"
    ),
    printcolumn(
        name = "Window End",
        type_ = "string",
        json_path = ".spec.window.endTime",
        description = "First instant after what is reported"
    ),
    printcolumn(
        name = "Credits",
        type_ = "string",
        json_path = ".status.credits",
        description = "Credits charged"
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "The verdict"),
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
    description = "Usage of one source in one window of time. Immutable.",
    extend("x-kubernetes-validations" =
        [immutable("create another report, whose window does not overlap one already charged")])
)]
pub struct UsageReportSpec {
    /// The Subscription that is charged.
    pub subscription_ref: SubscriptionRef,
    /// The one writer of this series of windows, such as `gw-eu-1`. Windows of a source never overlap: one that
    /// overlaps a charged one is refused as `DuplicateWindow`, whatever the report's name, so a report can be
    /// sent again without harm. A second process, or more than 1,000 lines, needs a source of its own, such as
    /// `gw-eu-1.2`.
    #[schemars(length(min = 1, max = NAME_LENGTH), extend("x-kubernetes-validations" = [form(
        SOURCE_PATTERN,
        "letters, digits, '-', '_' and '.', starting and ending with a letter or digit, such as 'gw-eu-1'",
    )]))]
    pub source: String,
    /// Window of time that the report covers.
    pub window: UsageWindow,
    /// Lines of usage, 1 to 1,000. At most 200 are recommended, since larger objects are slow to write.
    #[schemars(length(min = 1, max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub usage: Vec<UsageLine>,
}

/// A window of time: its start belongs to it, its end does not.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule_at(".endTime", "self.endTime > self.startTime", "must be later than `startTime`"),
    rule_at(".endTime", "self.endTime - self.startTime <= duration('744h')",
        "must be at most 31 days after `startTime`; split the report into shorter windows"),
]))]
pub struct UsageWindow {
    /// First instant of the window, in whole seconds, such as `2026-01-31T10:00:00Z`.
    #[serde(deserialize_with = "super::stated_time::deserialize")]
    #[schemars(extend("x-kubernetes-validations" = [stated_time()]))]
    pub start_time: Timestamp,
    /// First instant after the window: later than `startTime`, by at most 31 days. A window that ends in the
    /// future waits until it is over.
    #[serde(deserialize_with = "super::stated_time::deserialize")]
    #[schemars(extend("x-kubernetes-validations" = [stated_time()]))]
    pub end_time: Timestamp,
}

/// One line of usage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageLine {
    /// Type of the node, as listed in the catalog: `Public` or `Private` in the built-in one.
    #[schemars(length(min = 1, max = NAME_LENGTH), extend("x-kubernetes-validations" = [form(
        RATE_NAME_PATTERN,
        "letters and digits, starting with a capital letter, such as 'Public'",
    )]))]
    pub node_type: String,
    /// Operation, as listed in the catalog: `StorageEgress` (bytes sent) or `TokensOut` (tokens generated) in the
    /// built-in one. If a pair of node type and operation has no rate, the whole report is refused as `UnknownRate`.
    #[schemars(length(min = 1, max = NAME_LENGTH), extend("x-kubernetes-validations" = [form(
        RATE_NAME_PATTERN,
        "letters and digits, starting with a capital letter, such as 'StorageEgress'",
    )]))]
    pub operation: String,
    /// Quantity: bytes for `StorageEgress`, tokens for `TokensOut`. A number or a Kubernetes quantity, from 0 to
    /// 10^15: `12G` is 12,000,000,000, `1.5Gi` is 1,610,612,736, and `2500000`, `2.5M`, `1e3`, `500m` are fine
    /// too. Fractions are charged exactly; quote them where they have no suffix: `"1.5"`.
    pub quantity: Quantity,
    /// At most 4 labels of at most 63 characters for your own breakdowns, such as `repo` or `model`. They do
    /// not change what is charged.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        extend("maxProperties" = 4, "x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = [rule(
            "self.all(name, size(name) >= 1 && size(name) <= 63)",
            "must have names of 1 to 63 characters",
        )]),
        transform = describe_label
    )]
    pub labels: BTreeMap<String, String>,
}

/// Says what a value of the map of labels is, and bounds it.
fn describe_label(schema: &mut schemars::Schema) {
    if let Some(values) = schema.get_mut("additionalProperties").and_then(serde_json::Value::as_object_mut) {
        values.insert("description".to_owned(), "Value of the label.".into());
        values.insert("maxLength".to_owned(), NAME_LENGTH.into());
    }
}

/// The verdict.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "The verdict. Only the operator writes it.")]
pub struct UsageReportStatus {
    /// The `metadata.generation` that this status speaks about; -1 before the operator has seen the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = MAX_INTEGER))]
    pub observed_generation: Option<i64>,
    /// `Charged` or `Rejected`; final. Absent while the report waits. Nothing of a rejected report is charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rule(
        "self == oldSelf || (oldSelf == 'Rejected' && self == 'Charged')",
        "must not change once it is set: a verdict is final",
    )]))]
    pub state: Option<UsageReportState>,
    /// Credits charged in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits: Option<Amount>,
    /// Credits charged, by node type and operation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub lines: Vec<RatedUsage>,
    /// Number of the period whose statement shows the charge. Absent where there is no period.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub period_number: Option<i64>,
    /// When the charge took effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charge_time: Option<Timestamp>,
    /// `Ready` says whether the report was charged; `Reconciling` that it waits; `Stalled` that it was rejected,
    /// with the reason and the remedy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,
}

/// The verdict on a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[schemars(transform = super::schema::without_description)]
pub enum UsageReportState {
    /// It was charged in full.
    Charged,
    /// Nothing of it was charged.
    Rejected,
}
