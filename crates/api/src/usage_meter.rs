//! UsageMeter: a counter of Prometheus that becomes usage.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{
    MAX_INTEGER, NAME_LENGTH, NAME_PATTERN, RATE_NAME_PATTERN, form, rule, rule_at, stated_time,
};
use super::{AccountKey, condition};

/// Names of metrics.
const METRIC_PATTERN: &str = "^[a-zA-Z_:][a-zA-Z0-9_:]*$";
/// Names of labels in Prometheus.
const LABEL_PATTERN: &str = "^[a-zA-Z_][a-zA-Z0-9_]*$";
/// Most values of the account's label in `status.unmatched`, besides the sum of all others.
pub const UNMATCHED: u32 = 50;

/// Label of the reports of a meter, with the name of the meter.
pub const METER_LABEL: &str = "billing.flashgate.dev/meter";
/// Annotation of the reports of a meter with the UID of the meter.
pub const METER_UID: &str = "billing.flashgate.dev/meter-uid";
/// Annotation of the reports of a meter with the name of their Subscription.
pub const METER_ACCOUNT: &str = "billing.flashgate.dev/meter-account";
/// Annotation of the reports of a meter with their source.
pub const METER_SOURCE: &str = "billing.flashgate.dev/meter-source";
/// Annotation of the reports of a meter with the end of their window.
pub const METER_WINDOW_END: &str = "billing.flashgate.dev/meter-window-end";
/// Annotation of the reports of a meter with the hash of what it selects in Prometheus.
pub const METER_SELECTION: &str = "billing.flashgate.dev/meter-selection";
/// Annotation of the reports of a meter with the time from which these series are counted for the account.
pub const METER_SINCE: &str = "billing.flashgate.dev/meter-since";
/// Annotation of the reports of a meter with the largest usage of a window of the account so far.
pub const METER_LARGEST: &str = "billing.flashgate.dev/meter-largest";
/// Annotation of a UsageMeter that decides on accounts that are held with the reason `SeriesReplaced`: a list of
/// `NAMESPACE/ACCOUNT/START=from-zero` or `…=from-first-sample`, separated by commas. `START` is the start of the window
/// in the message, such as `20260131100000`.
pub const NEW_SERIES: &str = "billing.flashgate.dev/new-series";

/// A counter of Prometheus that becomes usage of accounts.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "billing.flashgate.dev",
    version = "v1alpha1",
    kind = "UsageMeter",
    plural = "usagemeters",
    namespaced,
    shortname = "fgmeter",
    category = "flashgate",
    status = "UsageMeterStatus",
    derive = "PartialEq",
    doc = "A UsageMeter turns a counter in Prometheus into UsageReports, so that what is charged equals what the \
           counter counted. Platform administrators write it.",
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63").message(Message::Message("the name of a UsageMeter must have lower-case letters, digits and '-', and at most 63 characters".into())),
    printcolumn(
        name = "Counter",
        type_ = "string",
        json_path = ".spec.counter",
        description = "Counter that is read"
    ),
    printcolumn(
        name = "Accounts",
        type_ = "integer",
        json_path = ".status.accounts",
        description = "Accounts that have series"
    ),
    printcolumn(
        name = "Window End",
        type_ = "string",
        json_path = ".status.lastWindowEndTime",
        description = "End of the last window that every account has reported"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether every window that is due is reported"
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
pub struct UsageMeterSpec {
    /// Server of Prometheus, by its name in the configuration of the meter. Default: `default`.
    #[serde(default = "default_server")]
    #[schemars(length(min = 1, max = NAME_LENGTH), extend("x-kubernetes-validations" = [form(
        NAME_PATTERN,
        "lower-case letters, digits and '-', starting and ending with a letter or digit, such as 'default'",
    )]))]
    pub prometheus: String,
    /// Name of the counter, such as `gen_ai_client_token_usage_token_sum`.
    #[schemars(length(min = 1, max = 200), extend("x-kubernetes-validations" = [form(
        METRIC_PATTERN,
        "the name of a metric: letters, digits, '_' and ':', such as 'istio_response_bytes_sum'",
    )]))]
    pub counter: String,
    /// Selector of the series to count, such as `{gen_ai_token_type="output"}`. Default: all series of the counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1024), extend("x-kubernetes-validations" = [rule(
        "self.startsWith('{') && self.endsWith('}')",
        "must be a selector in braces, such as '{gen_ai_token_type=\"output\"}'",
    )]))]
    pub selector: Option<String>,
    /// The label that names the account of a series.
    pub account: MeterAccount,
    /// The rate of the usage.
    pub usage: MeterUsage,
    /// Labels of the report's lines, each with the label of the series from which its value comes, such as
    /// `model: gen_ai_request_model`. At most 4.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 4, "x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = [
        rule("self.all(name, size(name) >= 1 && size(name) <= 63)", "must have names of 1 to 63 characters"),
        rule(
            "self.all(name, self[name].matches('^[a-zA-Z_][a-zA-Z0-9_]*$') && size(self[name]) <= 200)",
            "must have names of labels as values: letters, digits and '_', such as 'gen_ai_request_model'",
        ),
    ]), transform = describe_label)]
    pub labels: BTreeMap<String, String>,
    /// Lengths of the windows.
    #[serde(default)]
    pub window: MeterWindow,
    /// Seconds after the end of a window at which it is read. Samples that arrive later are counted in the next window.
    /// Default: 120.
    #[serde(default = "default_delay")]
    #[schemars(range(min = 0, max = 86_400))]
    pub delay_seconds: i32,
    /// Time from which usage is counted, such as `2026-01-31T10:00:00Z`. In the past, it must be within the time in which
    /// reports are accepted. Default: the creation of the meter.
    #[serde(
        default,
        deserialize_with = "super::stated_time::deserialize_optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(extend("x-kubernetes-validations" = [stated_time()]))]
    pub start_time: Option<Timestamp>,
    /// Most usage that the first values of new series may add to a window of an account. Above it the account is held,
    /// because a changed label would bill the whole life of a counter. Default: 10 times the account's largest window, and
    /// at least 1,000,000, or 100 GB for `StorageEgress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_i64))]
    pub new_series_limit: Option<i64>,
}

fn default_server() -> String {
    "default".to_owned()
}

const fn default_delay() -> i32 {
    120
}

/// Describes and bounds the values of the map of labels.
fn describe_label(schema: &mut schemars::Schema) {
    if let Some(values) = schema.get_mut("additionalProperties").and_then(serde_json::Value::as_object_mut) {
        values.insert("description".to_owned(), "Label of the series.".into());
        values.insert("maxLength".to_owned(), 200.into());
    }
}

/// The label that names the account of a series.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeterAccount {
    /// Label whose value is the name of the Subscription, such as `org`.
    #[schemars(length(min = 1, max = 200), extend("x-kubernetes-validations" = [form(
        LABEL_PATTERN,
        "the name of a label: letters, digits and '_', such as 'org'",
    )]))]
    pub label: String,
    /// Namespace of the Subscription. Default: the namespace of the meter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<MeterNamespace>,
}

/// The namespace of an account: a label that has it, or a fixed one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [rule(
    "has(self.label) != has(self.value)",
    "must have either `label` or `value`",
)]))]
pub struct MeterNamespace {
    /// Label whose value is the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), extend("x-kubernetes-validations" = [form(
        LABEL_PATTERN,
        "the name of a label: letters, digits and '_', such as 'namespace'",
    )]))]
    pub label: Option<String>,
    /// The namespace of every account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME_LENGTH), extend("x-kubernetes-validations" = [form(
        NAME_PATTERN,
        "the name of a namespace: lower-case letters, digits and '-', such as 'team-a'",
    )]))]
    pub value: Option<String>,
}

/// The rate of the usage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeterUsage {
    /// Node type of the usage.
    pub node_type: RateName,
    /// Operation of the usage.
    pub operation: RateName,
    /// Factor from the unit of the counter to that of the rate (bytes or tokens): a positive decimal, such as `"1000"` for
    /// a counter in kilobytes. Default: `"1"`.
    #[serde(default = "default_multiplier")]
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = [rule(
        "self.matches('^[0-9]{1,12}([.][0-9]{1,9})?$') && quantity(self).isGreaterThan(quantity('0'))",
        "must be a decimal above 0 with at most 12 digits before and 9 after the point, such as '1000'",
    )]))]
    pub multiplier: String,
}

fn default_multiplier() -> String {
    "1".to_owned()
}

/// A node type or an operation: a fixed one, or one for each value of a label.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("has(self.value) != has(self.label)", "must have either `value` or `label`"),
    rule_at(".values", "!has(self.values) || has(self.label)", "must not be set without `label`"),
]))]
pub struct RateName {
    /// The name for every series, such as `Public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME_LENGTH), extend("x-kubernetes-validations" = [form(
        RATE_NAME_PATTERN,
        "letters and digits, starting with a capital letter, such as 'Public'",
    )]))]
    pub value: Option<String>,
    /// Label whose value decides, such as `node_type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), extend("x-kubernetes-validations" = [form(
        LABEL_PATTERN,
        "the name of a label: letters, digits and '_', such as 'node_type'",
    )]))]
    pub label: Option<String>,
    /// The name for each value of the label, such as `spot: Private`. Default: the values are names of the catalog.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = [rule(
        "self.all(value, self[value].matches('^[A-Z][A-Za-z0-9]*$') && size(self[value]) <= 63)",
        "must have names of the catalog as values: letters and digits, starting with a capital letter",
    )]), transform = describe_rate_name)]
    pub values: BTreeMap<String, String>,
}

/// Describes and bounds the values of the map of names.
fn describe_rate_name(schema: &mut schemars::Schema) {
    if let Some(values) = schema.get_mut("additionalProperties").and_then(serde_json::Value::as_object_mut) {
        values.insert("description".to_owned(), "Name in the catalog.".into());
        values.insert("maxLength".to_owned(), NAME_LENGTH.into());
    }
}

/// Lengths of the windows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [rule_at(
    ".shortest",
    "duration(self.shortest) <= duration(self.length)",
    "must be at most `length`",
)]))]
pub struct MeterWindow {
    /// Length of a window while the account has enough credits, from `1m` to `24h`. Default: `1h`.
    #[serde(default = "default_length")]
    #[schemars(schema_with = "duration_schema")]
    pub length: String,
    /// Length of a window when the credits are nearly exhausted, from `1m`. Default: `1m`.
    #[serde(default = "default_shortest")]
    #[schemars(schema_with = "duration_schema")]
    pub shortest: String,
}

impl Default for MeterWindow {
    fn default() -> Self {
        Self { length: default_length(), shortest: default_shortest() }
    }
}

fn default_length() -> String {
    "1h".to_owned()
}

fn default_shortest() -> String {
    "1m".to_owned()
}

/// Returns the schema of a length: a duration of whole seconds.
fn duration_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "maxLength": 16,
        "x-kubernetes-validations": [rule(
            "self.matches('^([0-9]{1,2}h)?([0-9]{1,4}m)?([0-9]{1,5}s)?$') && size(self) > 0 \
             && duration(self) >= duration('1m') && duration(self) <= duration('24h')",
            "must be a duration from 1m to 24h, such as '1h', '15m' or '1h30m'",
        )],
    })
}

/// The state of the meter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "The state of the meter. Only the meter writes it.")]
pub struct UsageMeterStatus {
    /// The `metadata.generation` that this status describes; -1 until the meter has seen the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = MAX_INTEGER))]
    pub observed_generation: Option<i64>,
    /// End of the last window that every account has reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_window_end_time: Option<Timestamp>,
    /// Number of accounts that have series.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub accounts: Option<i64>,
    /// Number of series.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub series: Option<i64>,
    /// Seconds since the end of the oldest window that is due and not reported. 0 if none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub lag_seconds: Option<i64>,
    /// Usage of series whose account has no Subscription, by the value of the label. The values with the most usage, at
    /// most 50; an empty value is the sum of all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = UNMATCHED + 1), extend("x-kubernetes-list-type" = "atomic"))]
    pub unmatched: Vec<UnmatchedUsage>,
    /// Number of reports that the operator rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub rejected_reports: Option<i64>,
    /// `Ready` is true when every window that is due is reported. `Stalled` is true when that needs somebody's action; its
    /// message has the remedy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,
}

/// Usage of a value that is not the name of a Subscription.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnmatchedUsage {
    /// Value of the label, cut to 63 characters.
    #[schemars(length(max = NAME_LENGTH))]
    pub value: String,
    /// Usage of the last 24 hours, as a plain decimal in the unit of the rate.
    #[schemars(length(max = 64))]
    pub quantity: String,
}

/// A report of a meter by its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterReport {
    /// Namespace and name of the Subscription.
    pub account: AccountKey,
    /// Source.
    pub source: String,
    /// Name of the report.
    pub name: String,
    /// End of its window.
    pub window_end: Timestamp,
}

impl MeterReport {
    /// Returns the report of a meter with this metadata, or nothing if it is not one.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        metadata.labels.as_ref()?.get(METER_LABEL)?;
        let annotations = metadata.annotations.as_ref()?;
        let account = annotations.get(METER_ACCOUNT)?.clone();
        Some(Self {
            account: AccountKey { namespace: metadata.namespace.clone()?, name: account },
            source: annotations.get(METER_SOURCE)?.clone(),
            name: metadata.name.clone()?,
            window_end: annotations.get(METER_WINDOW_END)?.parse().ok()?,
        })
    }
}
