//! Subscription: the plan of an organization or an individual, and its remaining credits.

use flashgate_ledger::catalog::BillingPeriod;
use flashgate_ledger::facts::Renewal;
use flashgate_ledger::gate::GateReason;
use flashgate_ledger::invoice::InvoiceState;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{
    CURRENCY_PATTERN, INVOICE_NUMBER_LENGTH, MAX_INTEGER, NAME_LENGTH, NAME_PATTERN, RATE_NAME_PATTERN, form,
    rule_at, stated_time,
};
use super::{Amount, condition};

/// Annotation of a Subscription with the time of its account, such as `2026-01-31T10:00:00Z`. The account then has a
/// test clock, which moves only when the annotation changes.
pub const TEST_CLOCK: &str = "billing.flashgate.dev/test-clock";

/// Label of a Subscription whose namespace is guarded: while its gate is closed, the admission policy of the chart refuses
/// new workloads in the namespace. The value is `true`.
pub const GATES_NAMESPACE: &str = "billing.flashgate.dev/gates-namespace";

/// Prefix of labels of a Subscription with the hash of an API key of the account, such as
/// `api-key.billing.flashgate.dev/production`. The value is the first 40 hexadecimal digits of the SHA-256 of the key.
pub const API_KEY_PREFIX: &str = "api-key.billing.flashgate.dev/";

/// The plan that the tenant requests.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "billing.flashgate.dev",
    version = "v1alpha1",
    kind = "Subscription",
    plural = "subscriptions",
    namespaced,
    shortname = "fgsub",
    category = "flashgate",
    status = "SubscriptionStatus",
    derive = "PartialEq",
    selectable = ".spec.plan",
    doc = "A Subscription is one account: the plan of an organization or an individual, and its remaining \
           credits. Namespace and name identify the account: deleting a Subscription keeps its ledger, \
           and creating one with the same name resumes the account.\n\nOther products define a kind of this name too; \
           `kubectl get subscriptions.billing.flashgate.dev` and the short name `fgsub` are always this one.",
    printcolumn(name = "Plan", type_ = "string", json_path = ".status.plan", description = "Plan in force"),
    printcolumn(
        name = "Period",
        type_ = "string",
        json_path = ".status.billingPeriod",
        description = "Billing period in force"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "True if the operator has done everything that the spec requests"
    ),
    printcolumn(
        name = "Balance",
        type_ = "string",
        json_path = ".status.credits.balance",
        description = "Credits left, minus debt"
    ),
    printcolumn(
        name = "Used %",
        type_ = "string",
        json_path = ".status.thisPeriod.usedPercent",
        description = "Share of this period's credits that is consumed"
    ),
    printcolumn(
        name = "Renews",
        type_ = "string",
        json_path = ".status.renewalTime",
        description = "Time at which the next period begins"
    ),
    printcolumn(
        name = "Packs",
        type_ = "string",
        json_path = ".status.packs.usedOfLimit",
        priority = 1,
        description = "Packs bought in the current month, of those allowed"
    ),
    printcolumn(
        name = "Exhausts",
        type_ = "string",
        json_path = ".status.forecast.exhaustionTime",
        priority = 1,
        description = "Time at which the balance reaches zero at the current rate"
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
    description = "The plan that the tenant requests. You can change every field except `startTime` at any time. An upgrade takes \
                   effect immediately, a downgrade at the end of the period.",
    extend("x-kubernetes-validations" = [rule_at(
        ".startTime",
        "has(self.startTime) == has(oldSelf.startTime) && (!has(self.startTime) || self.startTime == oldSelf.startTime)",
        "must not be added, changed or removed after creation, because all periods are counted from it",
    )])
)]
pub struct SubscriptionSpec {
    /// Name of a plan of the operator's catalog, such as `starter`. An upgrade begins a new period immediately,
    /// with the full credits and price of the plan. A downgrade begins when the current period ends, so paid
    /// credits are not lost.
    #[schemars(length(min = 1, max = NAME_LENGTH), extend("x-kubernetes-validations" = [form(
        NAME_PATTERN,
        "the name of a plan: lower-case letters, digits and '-', starting and ending with a letter or digit, such as \
         'starter'",
    )]))]
    pub plan: String,
    /// Length of a period: `Monthly` or `Yearly`. It selects the credits and the price of the plan. A plan can
    /// offer only one of the two.
    #[serde(default)]
    pub billing_period: BillingPeriod,
    /// Renewal at the end of the period. `Automatic` begins the next period. `None` changes to the plan that
    /// `lapsesTo` of the catalog names. Both keep the credits of packs.
    #[serde(default)]
    pub renewal: Renewal,
    /// Time at which the account starts, in UTC and whole seconds from 2000 to 2100, such as
    /// `2026-01-31T10:00:00Z`. Default: the creation of the Subscription. If it is in the future, nothing is
    /// granted or charged before it. If it is in the past, periods are counted from it, and the first grant is
    /// for the period that contains the creation. Monthly periods begin on its day of the month, or on the last
    /// day of a shorter month. Immutable.
    #[serde(
        default,
        deserialize_with = "super::stated_time::deserialize_optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(extend("x-kubernetes-validations" = [stated_time()]))]
    pub start_time: Option<Timestamp>,
    /// Billing details of the customer, for your own invoicing tools. The operator stores them; it does not
    /// print or send invoices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_details: Option<BillingDetails>,
    /// Shares of a period's credits in whole percent, from 1 to 1000, such as `[50, 80, 100]`. The operator
    /// writes an Event when consumption reaches one of them. The lowest one also sets the condition
    /// `CreditsLow`. Default: the thresholds of the catalog; the built-in catalog has 80 and 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10), extend("x-kubernetes-list-type" = "set"), inner(range(min = 1, max = 1000)),
        transform = describe_threshold)]
    pub alert_thresholds_percent: Option<Vec<i32>>,
}

/// Adds a description of the items to the list of thresholds.
fn describe_threshold(schema: &mut schemars::Schema) {
    if let Some(items) = schema.get_mut("items").and_then(serde_json::Value::as_object_mut) {
        items.insert("description".to_owned(), "A share in percent; 80 means 80 %.".into());
    }
}

/// Billing details of the customer. The operator stores them and does not use them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BillingDetails {
    /// Legal name of the organization or person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub name: Option<String>,
    /// Email address for invoices, such as `billing@example.com`. The operator sends nothing to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 254), extend("x-kubernetes-validations" = [form(
        "^[^@ ]+@[^@ ]+$",
        "one address without spaces, such as 'billing@example.com'",
    )]))]
    pub email: Option<String>,
    /// Tax number of the organization, such as its VAT number.
    #[serde(rename = "taxID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub tax_id: Option<String>,
    /// Postal address. Separate its lines by line breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub address: Option<String>,
}

/// State of the account.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(
    description = "The plan in force and the remaining credits at the last commit. Only the operator writes \
                          it; all of it can be rebuilt from the CreditLedger of the same name."
)]
pub struct SubscriptionStatus {
    /// The `metadata.generation` that this status describes; -1 until the operator has seen the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = MAX_INTEGER))]
    pub observed_generation: Option<i64>,
    /// Plan in force. Absent while there is none: before the start or the first payment, or after the lapse of
    /// a plan without `lapsesTo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_LENGTH))]
    pub plan: Option<String>,
    /// Billing period in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_period: Option<BillingPeriod>,
    /// The current period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// Time at which the next period begins. Absent if no period follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Timestamp>,
    /// A downgrade that takes effect when the period ends. To cancel it, request the plan in force again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_change: Option<PendingChange>,
    /// Remaining credits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits: Option<CreditsLeft>,
    /// Credits received and consumed in the current period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub this_period: Option<ThisPeriod>,
    /// Limit of packs in the current month. Months are counted from the start of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packs: Option<PackAllowance>,
    /// Forecast of the time at which the credits are used up, computed at the last charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// Whether gates let the account through. The HTTP gate and the admission policy read only this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// All open invoices and the last 12, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub invoices: Vec<Invoice>,
    /// Statements of the last 3 periods, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub statements: Vec<Statement>,
    /// The CreditLedger that this status was computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerReference>,
    /// `Ready` is true when the operator has done everything that the spec requests. `Reconciling` is true
    /// while work is in progress. `Stalled` is true when someone must act. `Active` is true while a plan is in
    /// force. `CreditsLow` and `CreditsExhausted` are warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,
}

/// A window of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Period {
    /// Number of the period, counted from the start of the account. Each later period has a higher number.
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub number: i64,
    /// Start of the period.
    pub start_time: Timestamp,
    /// End of the period; it is not part of the period.
    pub end_time: Timestamp,
}

/// A change that takes effect later.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingChange {
    /// Plan that begins.
    #[schemars(length(max = NAME_LENGTH))]
    pub plan: String,
    /// Billing period that begins.
    pub billing_period: BillingPeriod,
    /// Time at which it begins.
    pub effective_time: Timestamp,
}

/// Remaining credits by their source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreditsLeft {
    /// Credits that can be used: credits of plans, packs and adjustments, minus debt. Negative while there is
    /// debt.
    pub balance: Amount,
    /// Remaining credits of plans. They expire when their period ends.
    pub plan: Amount,
    /// Remaining credits of packs.
    pub packs: Amount,
    /// Remaining credits of adjustments.
    pub adjustments: Amount,
    /// Consumption that exceeded the credits. The next credits repay it first.
    pub debt: Amount,
    /// Expired credits that can still pay for late reports of usage from before their expiration. They are not
    /// part of the balance. The catalog limits the time.
    pub settling: Amount,
}

/// Credits received and consumed in the current period.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThisPeriod {
    /// Balance when the period began.
    pub opening: Amount,
    /// Credits from the plan.
    pub granted: Amount,
    /// Credits from packs.
    pub purchased: Amount,
    /// Credits from adjustments.
    pub adjusted: Amount,
    /// Credits consumed.
    pub consumed: Amount,
    /// Credits taken back by refunds.
    pub refunded: Amount,
    /// Credits expired.
    pub expired: Amount,
    /// Consumed share of the period's credits in percent, with at most 2 decimals, such as `"82.5"`.
    pub used_percent: Amount,
    /// Usage by node type and operation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "atomic"))]
    pub usage: Vec<RatedUsage>,
}

/// Usage that was charged at one rate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RatedUsage {
    /// Node type, such as `Public`.
    #[schemars(length(max = NAME_LENGTH), extend("pattern" = RATE_NAME_PATTERN))]
    pub node_type: String,
    /// Operation, such as `StorageEgress`.
    #[schemars(length(max = NAME_LENGTH), extend("pattern" = RATE_NAME_PATTERN))]
    pub operation: String,
    /// Sum of the quantities, as a plain decimal: bytes for `StorageEgress`, tokens for `TokensOut`.
    #[schemars(length(max = 64))]
    pub quantity: String,
    /// Credits charged for this usage.
    pub credits: Amount,
}

/// Limit of packs in a month, and its use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackAllowance {
    /// Packs that can be bought in a month, as set in the catalog.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub limit: i32,
    /// Packs bought in the current month, including packs that await payment.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub used: i32,
    /// `used` and `limit` as one text for `kubectl get`, such as `1/3`.
    #[schemars(length(max = 32))]
    pub used_of_limit: String,
    /// Start of the current month of the account.
    pub window_start_time: Timestamp,
    /// End of that month; it is not part of the month.
    pub window_end_time: Timestamp,
    /// Time from which the next pack can be bought. Absent if one can be bought now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_available_time: Option<Timestamp>,
}

/// Forecast of the time at which the credits are used up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// Time of the last charge, at which the forecast was computed.
    pub as_of_time: Timestamp,
    /// Average consumption in credits per day over the last 7 days (UTC), including today.
    pub credits_per_day: Amount,
    /// Time at which the balance reaches zero at this rate. Absent if it is zero already or will not reach
    /// zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exhaustion_time: Option<Timestamp>,
    /// True if that time is before the next renewal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exhausts_before_renewal: Option<bool>,
}

/// Whether gates let an account through.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// True if the account is let through.
    pub open: bool,
    /// Time since which the credits are exhausted, or since which there is no plan. The grace of the catalog counts from
    /// it. Absent while credits are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Open: `CreditsLeft`; `InGrace`: the credits are exhausted, and the grace of the catalog lasts. Closed:
    /// `CreditsExhausted`: the balance is at most zero minus the overdraft of the plan; `NoPlan`: no plan is in force;
    /// `NotStarted`: the account has not started; `Deleting`: the Subscription is being deleted.
    pub reason: GateReason,
    /// Most credits that one source of usage can consume after the credits are exhausted, before a gate stops it: the
    /// highest credits per second of a charge of the last 7 days, times the seconds until a gate knows of usage. These
    /// are the longest window of a report, the longest time from its end to its charge, and the time for which proxies
    /// keep an answer. Absent before the first charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst_overshoot: Option<Amount>,
}

/// The money owed for a period or a pack.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invoice {
    /// Number of the invoice, such as `acme-1f3a9c2e-0007`. The numbers of an account have no gaps.
    #[schemars(length(max = INVOICE_NUMBER_LENGTH))]
    pub number: String,
    /// Time at which it was issued.
    pub time: Timestamp,
    /// Reason of the invoice, such as `Renewal of starter Monthly` or `Pack plus-100`.
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// Amount owed, in units of the currency.
    pub amount: Amount,
    /// Currency, such as `USD`.
    #[schemars(length(max = 3), extend("pattern" = CURRENCY_PATTERN))]
    pub currency: String,
    /// `Open`: awaits payment. `Settled`: paid. `Void`: no longer owed. `RefundDue`: paid although it was void;
    /// pay the amount back. `Refunded`: paid back.
    pub state: InvoiceState,
    /// Time at which an open invoice becomes overdue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_time: Option<Timestamp>,
}

/// Statement of one period: opening + granted + purchased + adjusted - refunded - consumed - expired = closing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Number of the period.
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub number: i64,
    /// Start of the period.
    pub start_time: Timestamp,
    /// End of the period; it is not part of the period.
    pub end_time: Timestamp,
    /// Plan of the period.
    #[schemars(length(max = NAME_LENGTH))]
    pub plan: String,
    /// Billing period of the period.
    pub billing_period: BillingPeriod,
    /// `Open` while late usage of the period can be charged, then `Final`.
    pub state: StatementState,
    /// Balance when the period began. It equals the closing balance of the previous period.
    pub opening: Amount,
    /// Credits from the plan.
    pub granted: Amount,
    /// Credits from packs.
    pub purchased: Amount,
    /// Credits from adjustments.
    pub adjusted: Amount,
    /// Credits taken back by refunds.
    pub refunded: Amount,
    /// Credits consumed.
    pub consumed: Amount,
    /// Credits expired.
    pub expired: Amount,
    /// Balance when the period ended.
    pub closing: Amount,
}

/// State of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[schemars(transform = super::schema::without_description)]
pub enum StatementState {
    /// Late usage of the period can be charged.
    Open,
    /// It never changes again.
    Final,
}

/// The CreditLedger that a status was computed from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerReference {
    /// UID of the CreditLedger.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Sequence number of the CreditLedger.
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub sequence: i64,
    /// Hash of the CreditLedger.
    #[schemars(length(max = 64))]
    pub hash: String,
}
