//! Subscription: which plan an organization or an individual is on, and what it has left.

use flashgate_ledger::catalog::BillingPeriod;
use flashgate_ledger::facts::Renewal;
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

/// The plan that the tenant asks for.
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
    doc = "A Subscription is one account: the plan an organization or an individual is on, and the credits it has \
           left. Namespace and name are the identity of the account: deleting a Subscription keeps its ledger, \
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
        description = "Whether everything asked for is done"
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
        description = "When the next period begins"
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
        description = "When the balance reaches zero at the current rate"
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
    description = "The plan that the tenant asks for. Every field except `startTime` may be changed at any time: an upgrade takes \
                   effect at once, a downgrade at the end of the period.",
    extend("x-kubernetes-validations" = [rule_at(
        ".startTime",
        "has(self.startTime) == has(oldSelf.startTime) && (!has(self.startTime) || self.startTime == oldSelf.startTime)",
        "must not be added, changed or removed after creation, because all periods are counted from it",
    )])
)]
pub struct SubscriptionSpec {
    /// A plan of the operator's catalog, such as `starter`. A higher plan begins at once with its full credits
    /// and price; a lower one begins when the current period ends, and nothing already paid for is lost.
    #[schemars(length(min = 1, max = NAME_LENGTH), extend("x-kubernetes-validations" = [form(
        NAME_PATTERN,
        "the name of a plan: lower-case letters, digits and '-', starting and ending with a letter or digit, such as \
         'starter'",
    )]))]
    pub plan: String,
    /// How long a period is, and so which credits and price of the plan apply. A plan may offer only one of them.
    #[serde(default)]
    pub billing_period: BillingPeriod,
    /// Renewal at the end of the period: `Automatic` begins the next period, `None` changes to the plan that the
    /// catalog's `lapsesTo` names. Credits of packs are kept either way.
    #[serde(default)]
    pub renewal: Renewal,
    /// When the account starts, in UTC and whole seconds from 2000 to 2100, such as `2026-01-31T10:00:00Z`.
    /// Default: when the Subscription is created. In the future: nothing is granted or charged before it. In the
    /// past: periods are counted from it, and only the one that holds the creation, and later ones, are granted.
    /// Monthly periods begin on its day of the month, or on the month's last day where that is earlier.
    /// Immutable.
    #[serde(
        default,
        deserialize_with = "super::stated_time::deserialize_optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(extend("x-kubernetes-validations" = [stated_time()]))]
    pub start_time: Option<Timestamp>,
    /// The party to invoice. This version stores it for your own invoicing tools; it prints and sends no invoices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_details: Option<BillingDetails>,
    /// Shares of a period's credits, in whole percent from 1 to 1000, at which an event is given; the first one
    /// reached also sets the condition `CreditsLow`. Default: the catalog's, normally 80 and 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10), extend("x-kubernetes-list-type" = "set"), inner(range(min = 1, max = 1000)),
        transform = describe_threshold)]
    pub alert_thresholds_percent: Option<Vec<i32>>,
}

/// Says what an item of the list of thresholds is.
fn describe_threshold(schema: &mut schemars::Schema) {
    if let Some(items) = schema.get_mut("items").and_then(serde_json::Value::as_object_mut) {
        items.insert("description".to_owned(), "A share in percent; 80 means 80 %.".into());
    }
}

/// The party to invoice. This version stores it and uses it for nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BillingDetails {
    /// Legal name of the organization or person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub name: Option<String>,
    /// Address for invoices, such as `billing@example.com`. This version sends nothing to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 254), extend("x-kubernetes-validations" = [form(
        "^[^@ ]+@[^@ ]+$",
        "one address without spaces, such as 'billing@example.com'",
    )]))]
    pub email: Option<String>,
    /// Number under which the organization is known to its tax office, such as a VAT number.
    #[serde(rename = "taxID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub tax_id: Option<String>,
    /// Postal address, lines separated by line breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub address: Option<String>,
}

/// State of the account.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(
    description = "The plan in force and the credits left, as of the last commit. Only the operator writes \
                          it; all of it can be rebuilt from the CreditLedger of the same name."
)]
pub struct SubscriptionStatus {
    /// The `metadata.generation` that this status speaks about; -1 before the operator has seen the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = MAX_INTEGER))]
    pub observed_generation: Option<i64>,
    /// Plan in force. Absent while there is none: before the start or the first payment, or after a lapse of a
    /// plan that lapses to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_LENGTH))]
    pub plan: Option<String>,
    /// Billing period in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_period: Option<BillingPeriod>,
    /// The current period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// When the next period begins. Absent where none will.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Timestamp>,
    /// A downgrade that takes effect when the period ends. Asking for the plan in force again clears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_change: Option<PendingChange>,
    /// Credits that are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits: Option<CreditsLeft>,
    /// Credits that came and went in the current period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub this_period: Option<ThisPeriod>,
    /// How many packs may be bought in the current month, counted from the account's start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packs: Option<PackAllowance>,
    /// How long the credits will last, as of the last charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// All open invoices and the last 12, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub invoices: Vec<Invoice>,
    /// Statements of the last 3 periods, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub statements: Vec<Statement>,
    /// The CreditLedger that this status was taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerReference>,
    /// `Ready` says whether everything asked for is done; `Reconciling` and `Stalled` say why it is not;
    /// `Active` says whether a plan is in force; `CreditsLow` and `CreditsExhausted` warn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,
}

/// A window of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Period {
    /// Number of the period: 1 is the first of the account, and numbers only rise.
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub number: i64,
    /// First instant of the period.
    pub start_time: Timestamp,
    /// First instant after the period.
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
    /// When it begins.
    pub effective_time: Timestamp,
}

/// Credits that are left, by where they came from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreditsLeft {
    /// Credits that can be used: those of plan, packs and adjustments, minus debt. Negative while there is debt.
    pub balance: Amount,
    /// Credits left of plans; they expire when their period ends.
    pub plan: Amount,
    /// Credits left of packs.
    pub packs: Amount,
    /// Credits left of adjustments.
    pub adjustments: Amount,
    /// Consumption that no credits could pay; the next credits repay it first.
    pub debt: Amount,
    /// Expired credits that still pay for usage from before their expiration, for a short while. Not part of
    /// the balance.
    pub settling: Amount,
}

/// Credits that came and went in the current period.
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
    /// Share of the period's credits that is consumed, in percent with at most 2 decimals.
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
    /// Credits charged for them.
    pub credits: Amount,
}

/// How many packs may be bought.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackAllowance {
    /// Packs that may be bought in a month, by the catalog.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub limit: i32,
    /// Packs bought in the current month; one that awaits payment counts.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub used: i32,
    /// The two as `1/3`, for `kubectl get`.
    #[schemars(length(max = 32))]
    pub used_of_limit: String,
    /// First instant of the current month of the account.
    pub window_start_time: Timestamp,
    /// First instant after it.
    pub window_end_time: Timestamp,
    /// When the next pack may be bought. Absent where one may be bought now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_available_time: Option<Timestamp>,
}

/// How long the credits will last.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// Time of the charge that the forecast was made at.
    pub as_of_time: Timestamp,
    /// Credits consumed per day, over the last 7 days.
    pub credits_per_day: Amount,
    /// When the balance reaches zero at that rate. Absent where it does not, or has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exhaustion_time: Option<Timestamp>,
    /// Whether that is before the renewal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exhausts_before_renewal: Option<bool>,
}

/// The money owed for a period or a pack.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invoice {
    /// Number of the invoice, such as `acme-1f3a9c2e-0007`. An account's numbers have no gaps.
    #[schemars(length(max = INVOICE_NUMBER_LENGTH))]
    pub number: String,
    /// When it was issued.
    pub time: Timestamp,
    /// Reason of the invoice, such as `Renewal of starter Monthly` or `Pack plus-100`.
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// Amount owed, in units of the currency.
    pub amount: Amount,
    /// Currency, such as `USD`.
    #[schemars(length(max = 3), extend("pattern" = CURRENCY_PATTERN))]
    pub currency: String,
    /// `Open` waits for payment; `Settled` is paid; `Void` is not owed any more; `RefundDue` was paid although
    /// void; `Refunded` was paid back.
    pub state: InvoiceState,
    /// When an open invoice becomes overdue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_time: Option<Timestamp>,
}

/// The account of one period: opening + granted + purchased + adjusted - refunded - consumed - expired = closing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Number of the period.
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub number: i64,
    /// First instant of the period.
    pub start_time: Timestamp,
    /// First instant after the period.
    pub end_time: Timestamp,
    /// Plan of the period.
    #[schemars(length(max = NAME_LENGTH))]
    pub plan: String,
    /// Billing period of the period.
    pub billing_period: BillingPeriod,
    /// `Open` while usage of the period may still be charged; then `Final`.
    pub state: StatementState,
    /// Balance when the period began: the closing balance of the period before.
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

/// Whether a statement may still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[schemars(transform = super::schema::without_description)]
pub enum StatementState {
    /// Usage of the period may still be charged.
    Open,
    /// It never changes again.
    Final,
}

/// The CreditLedger that a status was taken from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerReference {
    /// UID of the CreditLedger.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Its sequence number.
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub sequence: i64,
    /// Its hash.
    #[schemars(length(max = 64))]
    pub hash: String,
}
