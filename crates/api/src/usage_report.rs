//! UsageReport: usage in a time window.

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

/// Most bytes of the readings of a report.
pub const READINGS_BYTES: u32 = 64 * 1_024;

/// Usage of one source in one time window.
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
    doc = "A UsageReport states the usage of a time window; the operator charges it once. Machines (gateways, \
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
        description = "End of the time window"
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
    description = "Usage of one source in one time window. Immutable.",
    extend("x-kubernetes-validations" =
        [immutable("create another report, whose window does not overlap one already charged")])
)]
pub struct UsageReportSpec {
    /// The Subscription that is charged.
    pub subscription_ref: SubscriptionRef,
    /// Process that writes this series of windows, such as `gw-eu-1`. The windows of a source never overlap. A
    /// window that overlaps a charged window is refused as `DuplicateWindow`, whatever the name of the report,
    /// so you can safely send a report again. Use another source, such as `gw-eu-1.2`, for a second process or
    /// for more than 1,000 lines.
    #[schemars(length(min = 1, max = NAME_LENGTH), extend("x-kubernetes-validations" = [form(
        SOURCE_PATTERN,
        "letters, digits, '-', '_' and '.', starting and ending with a letter or digit, such as 'gw-eu-1'",
    )]))]
    pub source: String,
    /// Time window of the usage.
    pub window: UsageWindow,
    /// Lines of usage, 1 to 1,000. Use at most 200, because larger objects are slow to write.
    #[schemars(length(min = 1, max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub usage: Vec<UsageLine>,
    /// Readings of a meter at the end of the window, from which its next window starts. Only the meter writes them; the
    /// operator does not read them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = READINGS_BYTES))]
    pub readings: Option<String>,
}

/// A time window. It includes its start and excludes its end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule_at(".endTime", "self.endTime > self.startTime", "must be later than `startTime`"),
    rule_at(".endTime", "self.endTime - self.startTime <= duration('744h')",
        "must be at most 31 days after `startTime`; split the report into shorter windows"),
]))]
pub struct UsageWindow {
    /// Start of the window in whole seconds, such as `2026-01-31T10:00:00Z`.
    #[serde(deserialize_with = "super::stated_time::deserialize")]
    #[schemars(extend("x-kubernetes-validations" = [stated_time()]))]
    pub start_time: Timestamp,
    /// End of the window in whole seconds, such as `2026-01-31T11:00:00Z`. It is later than `startTime` by at
    /// most 31 days and is not part of the window. A report whose window ends in the future is pending until
    /// that time.
    #[serde(deserialize_with = "super::stated_time::deserialize")]
    #[schemars(extend("x-kubernetes-validations" = [stated_time()]))]
    pub end_time: Timestamp,
}

/// One line of usage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageLine {
    /// Type of the node. It must be in the catalog; the built-in catalog has `Public` and `Private`.
    #[schemars(length(min = 1, max = NAME_LENGTH), extend("x-kubernetes-validations" = [form(
        RATE_NAME_PATTERN,
        "letters and digits, starting with a capital letter, such as 'Public'",
    )]))]
    pub node_type: String,
    /// Operation. It must be in the catalog; the built-in catalog has `StorageEgress` (bytes sent) and
    /// `TokensOut` (tokens generated). If a pair of node type and operation has no rate, the whole report is
    /// refused as `UnknownRate`.
    #[schemars(length(min = 1, max = NAME_LENGTH), extend("x-kubernetes-validations" = [form(
        RATE_NAME_PATTERN,
        "letters and digits, starting with a capital letter, such as 'StorageEgress'",
    )]))]
    pub operation: String,
    /// Quantity in bytes for `StorageEgress` and in tokens for `TokensOut`, from 0 to 10^15. Write a number or
    /// a Kubernetes quantity: `12G` is 12,000,000,000 and `1.5Gi` is 1,610,612,736. Other valid forms are
    /// `2500000`, `2.5M`, `1e3` and `500m`. Fractions are charged exactly. Quote a fraction that has no suffix:
    /// `"1.5"`.
    pub quantity: Quantity,
    /// At most 4 labels for your own evaluation, such as `repo` or `model`. Names and values have at most 63
    /// characters. Labels do not change the charge.
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

/// Describes and bounds the values of the map of labels.
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
    /// The `metadata.generation` that this status describes; -1 until the operator has seen the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = MAX_INTEGER))]
    pub observed_generation: Option<i64>,
    /// `Charged` or `Rejected`. Both are final. Absent while the report is pending. A rejected report is not
    /// charged at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rule(
        "self == oldSelf || (oldSelf == 'Rejected' && self == 'Charged')",
        "must not change once it is set: a verdict is final",
    )]))]
    pub state: Option<UsageReportState>,
    /// Total of the credits charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits: Option<Amount>,
    /// Credits charged, by node type and operation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub lines: Vec<RatedUsage>,
    /// Number of the period whose statement shows the charge. Absent if there is no period.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub period_number: Option<i64>,
    /// Time at which the charge took effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charge_time: Option<Timestamp>,
    /// `Ready` is true when the report is charged. `Reconciling` is true while it is pending. `Stalled` is true
    /// when it was rejected; its message has the remedy.
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
