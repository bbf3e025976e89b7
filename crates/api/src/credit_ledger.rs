//! CreditLedger: the ledger of one account, and the only source of truth about it.

use std::collections::BTreeMap;

use flashgate_ledger::catalog::{BillingPeriod, PackPurchases};
use flashgate_ledger::facts::Renewal;
use flashgate_ledger::ledger::RequestState;
use jiff::Timestamp;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::Amount;
use super::schema::{MAX_INTEGER, NAME_LENGTH, OBJECT_NAME_LENGTH, rule};

/// CEL rule by which the API server rejects changes that rewrite history or go back, even from the operator.
///
/// It has to let the same sequence pass as long as the content is the same: annotations, storage migration and
/// deletion write the object too.
const FENCE: &str = "self.sequence == oldSelf.sequence ? self.hash == oldSelf.hash : \
                     (self.sequence == oldSelf.sequence + 1 && self.clockTime >= oldSelf.clockTime \
                     && self.period.number >= oldSelf.period.number)";
/// Message of a write that [`FENCE`] rejects.
const FENCE_MESSAGE: &str = "must continue the ledger by exactly one commit: the sequence rises by 1, and neither \
                             `clockTime` nor `period.number` goes back; read the ledger again";

/// Fields that this version does not know, with what they hold: the hash of a ledger covers them, too.
pub type Unknown = BTreeMap<String, serde_json::Value>;

/// The ledger of one account.
///
/// Records that only the operator reads are texts of compact JSON: what the API server charges for is nodes, not
/// bytes. No bound here is ever tightened, or stored ledgers could not be written any more.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "billing.flashgate.dev",
    version = "v1alpha1",
    kind = "CreditLedger",
    plural = "creditledgers",
    namespaced,
    shortname = "fgledger",
    category = "flashgate",
    derive = "PartialEq",
    doc = "A CreditLedger is the ledger of the account of the same name. Only the operator writes it, one commit at a \
           time; every status is derived from it. It outlives its Subscription. Include it in backups, and do \
           not edit or delete it: removing it is the explicit reset of an account.",
    printcolumn(
        name = "Sequence",
        type_ = "integer",
        json_path = ".spec.sequence",
        description = "Number of the last commit"
    ),
    printcolumn(
        name = "Plan",
        type_ = "string",
        json_path = ".spec.terms.plan",
        description = "Plan in force"
    ),
    printcolumn(
        name = "Period",
        type_ = "integer",
        json_path = ".spec.period.number",
        description = "Number of the current period"
    ),
    printcolumn(
        name = "Debt",
        type_ = "string",
        json_path = ".spec.debt",
        description = "Consumption that no credits could pay"
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
    description = "The content of the ledger as of its last commit.",
    extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = [rule(FENCE, FENCE_MESSAGE)])
)]
pub struct CreditLedgerSpec {
    /// Version of this format. An operator does not write a ledger of a version it does not know.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub format_version: i32,
    /// Number of the last commit; it rises by exactly 1 with each.
    #[schemars(range(min = 1, max = MAX_INTEGER))]
    pub sequence: i64,
    /// Hash of the commit before; empty for the first.
    #[schemars(length(max = 64), extend("pattern" = "^([0-9a-f]{64})?$"))]
    pub previous_hash: String,
    /// SHA-256 over everything else in this ledger, in lower-case hexadecimal.
    #[schemars(length(max = 64), extend("pattern" = "^[0-9a-f]{64}$"))]
    pub hash: String,
    /// The operator process that made the last commit.
    #[schemars(length(max = OBJECT_NAME_LENGTH))]
    pub writer: String,
    /// Latest time that was ever decided on; it never goes back.
    pub clock_time: Timestamp,
    /// The account's own identity, part of its invoice numbers: a reset account never meets old payments.
    #[schemars(length(max = 8), extend("pattern" = "^[0-9a-f]{8}$"))]
    pub account: String,
    /// The Subscription that was last decided on.
    pub subscription: LedgerSubscription,
    /// The account's own frozen time, where it was created under a test clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_clock_time: Option<Timestamp>,
    /// When the account started. The months of the pack limit are always counted from this time.
    pub start_time: Timestamp,
    /// The terms in force, as they were when they began. Absent while there is no plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<LedgerTerms>,
    /// Anchor from which the boundaries of periods are counted. Absent while there is no plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor: Option<LedgerAnchor>,
    /// The current period.
    pub period: LedgerPeriod,
    /// The request that was last decided on, and what came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<LedgerRequest>,
    /// Whether the plan in force was asked for or lapsed into.
    pub plan_origin: LedgerPlanOrigin,
    /// A downgrade that takes effect when the period ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_change: Option<LedgerPendingChange>,
    /// Consumption that no credits could pay.
    pub debt: Amount,
    /// Credits that can still pay something, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<256, 1024>")]
    pub grants: Vec<String>,
    /// Windows already charged, by source of usage, such as
    /// `2026-03-01T10:00:00Z|1767225600-1767229200,1767232800-1767236400`: the last charge, then the stretches of
    /// time as seconds since 1970, each without its end. Where gaps between them were closed, a third part has the
    /// last 16 of these, and a fourth the second before which more were closed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "coverage")]
    pub coverage: BTreeMap<String, String>,
    /// Windows that start before it are refused, whatever their source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_closed_before_time: Option<Timestamp>,
    /// Packs bought in the last 24 months, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<4096, 2048>")]
    pub purchases: Vec<String>,
    /// Hashes of all packs bought earlier, so that their names can never buy again: 20 hexadecimal digits each, 16 of
    /// the name and 4 of what it bought.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 262_144), extend("pattern" = "^([0-9a-f]{20})*$"))]
    pub purchase_names: String,
    /// Arrival of the last pack that waits for the first period: its Subscription was there when it was seen, so it
    /// waits on, as do those that arrived before it, should the Subscription be deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_waiting_pack_time: Option<Timestamp>,
    /// Adjustments of the last 24 months, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<16_384, 1024>")]
    pub adjustments: Vec<String>,
    /// Hashes of all adjustments given more than 24 months ago, so that their names can never give credits again: 20
    /// hexadecimal digits each, 16 of the name and 4 of the credits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 262_144), extend("pattern" = "^([0-9a-f]{20})*$"))]
    pub adjustment_names: String,
    /// Packs, payments and adjustments that were refused last, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<256, 65_536>")]
    pub refusals: Vec<String>,
    /// Invoices with the payments applied to them, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<1024, 131_072>")]
    pub invoices: Vec<String>,
    /// Number of the next invoice.
    #[schemars(range(min = 1, max = MAX_INTEGER))]
    pub next_invoice: i64,
    /// Usage of the current period by node type and operation, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<1024, 512>")]
    pub usage: Vec<String>,
    /// Credits consumed on each of the last days, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<64, 128>")]
    pub daily_consumption: Vec<String>,
    /// Alert thresholds that the current period has crossed, in percent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "percents")]
    pub crossed_thresholds_percent: Vec<i64>,
    /// Time of the charge that the forecast is made at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast_time: Option<Timestamp>,
    /// Time of the last change of the balance, from which the forecast counts if it is later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_balance_change_time: Option<Timestamp>,
    /// Sums of the time without a period, for the statement of the next period: one record.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub carried: Option<String>,
    /// Sums over the life of the account.
    pub totals: LedgerTotals,
    /// Statements of the last periods, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<64, 4096>")]
    pub statements: Vec<String>,
    /// The last facts, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<64, 131_072>")]
    pub entries: Vec<String>,
    /// Receipts of charged reports whose status is not known to be written, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<512, 262_144>")]
    pub unacknowledged: Vec<String>,
    /// The content that an administrator last accepted with the annotation
    /// `billing.flashgate.dev/accept-sequence`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<LedgerAcceptance>,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// Content that an administrator accepted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerAcceptance {
    /// Sequence of the ledger that was accepted.
    #[schemars(range(min = 1, max = MAX_INTEGER))]
    pub sequence: i64,
    /// Hash of the ledger that the Subscription's status named then: what it shows of a later one no longer counts.
    #[schemars(length(max = 64))]
    pub shown_hash: String,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// The Subscription that was last decided on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerSubscription {
    /// Its UID; another one under the same name is the account resumed.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Its generation; an older copy is not decided on.
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub generation: i64,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// The terms of a plan as they were when they began: later edits of the catalog do not change them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerTerms {
    /// Plan.
    #[schemars(length(max = NAME_LENGTH))]
    pub plan: String,
    /// Billing period.
    pub billing_period: BillingPeriod,
    /// Credits of a period.
    pub credits: Amount,
    /// Price of a period.
    pub price: Amount,
    /// Rank of the plan in the catalog; the lowest is 0.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub rank: i64,
    /// Plan that follows when it lapses.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_LENGTH))]
    pub lapses_to: Option<String>,
    /// Whether packs may be bought.
    pub pack_purchases: PackPurchases,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// Anchor from which the boundaries of periods are counted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerAnchor {
    /// First instant of the first period that is counted from it.
    pub time: Timestamp,
    /// Months from it to the start of the current period.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub months: i64,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// The current period; without times while there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerPeriod {
    /// Its number, or the last one's; it never goes back.
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub number: i64,
    /// Its first instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// The first instant after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// When its invoice becomes overdue. Absent once it is paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_due_time: Option<Timestamp>,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// A request and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerRequest {
    /// Plan asked for.
    #[schemars(length(max = NAME_LENGTH))]
    pub plan: String,
    /// Billing period asked for.
    pub billing_period: BillingPeriod,
    /// Renewal asked for.
    pub renewal: Renewal,
    /// The answer.
    pub state: RequestState,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// How the plan in force came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum LedgerPlanOrigin {
    /// It was asked for.
    Asked,
    /// A plan that was not renewed lapsed into it.
    LapsedInto,
}

/// A downgrade that takes effect when the period ends.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerPendingChange {
    /// Plan that begins.
    #[schemars(length(max = NAME_LENGTH))]
    pub plan: String,
    /// Billing period that begins.
    pub billing_period: BillingPeriod,
    /// When it begins.
    pub effective_time: Timestamp,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// Sums over the life of an account:
/// granted + purchased + adjusted = consumed + expired + refunded + remaining - debt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerTotals {
    /// Credits from plans.
    pub granted: Amount,
    /// Credits from packs.
    pub purchased: Amount,
    /// Credits from adjustments.
    pub adjusted: Amount,
    /// Credits consumed.
    pub consumed: Amount,
    /// Credits expired.
    pub expired: Amount,
    /// Credits taken back by refunds.
    pub refunded: Amount,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// Returns the schema of a list of at most `ITEMS` records of at most `LENGTH` characters.
fn records<const ITEMS: u32, const LENGTH: u32>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": ITEMS,
        "x-kubernetes-list-type": "atomic",
        "items": { "type": "string", "maxLength": LENGTH, "description": "A record as compact JSON." },
    })
}

/// Returns the schema of the windows charged, by source.
fn coverage(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 8192,
        "x-kubernetes-map-type": "atomic",
        "additionalProperties": {
            "type": "string",
            "maxLength": 262_144,
            "description": "The stretches of time charged for this source.",
        },
    })
}

/// Returns the schema of a list of shares in percent.
fn percents(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "integer",
            "format": "int64",
            "minimum": 0,
            "maximum": 1_000_000,
            "description": "A share in percent.",
        },
    })
}
