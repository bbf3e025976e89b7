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

/// CEL rule by which the API server rejects updates that rewrite history or go back, even from the operator.
///
/// It must accept an unchanged sequence if the content is unchanged too, because annotations, storage migration
/// and deletion also write the object.
const FENCE: &str = "self.sequence == oldSelf.sequence ? self.hash == oldSelf.hash : \
                     (self.sequence == oldSelf.sequence + 1 && self.clockTime >= oldSelf.clockTime \
                     && self.period.number >= oldSelf.period.number)";
/// Message of a write that [`FENCE`] rejects.
const FENCE_MESSAGE: &str = "must continue the ledger by exactly one commit: the sequence rises by 1, and neither \
                             `clockTime` nor `period.number` goes back; read the ledger again";

/// Fields that this version does not know, with their values. The hash of a ledger covers them too.
pub type Unknown = BTreeMap<String, serde_json::Value>;

/// The ledger of one account.
///
/// Records that only the operator reads are texts of compact JSON, because the cost of the API server depends
/// on the number of nodes and not of bytes. Never lower a bound here: the API server would then reject updates
/// of stored ledgers.
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
        description = "Consumption that exceeded the credits"
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
    description = "The content of the ledger at its last commit.",
    extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = [rule(FENCE, FENCE_MESSAGE)])
)]
pub struct CreditLedgerSpec {
    /// Version of this format. An operator does not write a ledger whose version it does not know.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub format_version: i32,
    /// Number of the last commit. Each commit adds exactly 1.
    #[schemars(range(min = 1, max = MAX_INTEGER))]
    pub sequence: i64,
    /// Hash of the previous commit. Empty in the first commit.
    #[schemars(length(max = 64), extend("pattern" = "^([0-9a-f]{64})?$"))]
    pub previous_hash: String,
    /// SHA-256 of all other fields of this ledger, in lower-case hexadecimal.
    #[schemars(length(max = 64), extend("pattern" = "^[0-9a-f]{64}$"))]
    pub hash: String,
    /// The operator process that made the last commit.
    #[schemars(length(max = OBJECT_NAME_LENGTH))]
    pub writer: String,
    /// Latest time up to which the operator has decided. It never goes back.
    pub clock_time: Timestamp,
    /// Identifier of the account. It is part of each invoice number, so a payment for an account that was reset
    /// never settles an invoice of the new one.
    #[schemars(length(max = 8), extend("pattern" = "^[0-9a-f]{8}$"))]
    pub account: String,
    /// The Subscription at the last commit.
    pub subscription: LedgerSubscription,
    /// Current time of the test clock. Absent if the account has no test clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_clock_time: Option<Timestamp>,
    /// Time at which the account started. The months of the pack limit are counted from it.
    pub start_time: Timestamp,
    /// The terms in force, as they were when they began. Absent while there is no plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<LedgerTerms>,
    /// Anchor from which the boundaries of periods are counted. Absent while there is no plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor: Option<LedgerAnchor>,
    /// The current period.
    pub period: LedgerPeriod,
    /// The last request of the Subscription, and its outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<LedgerRequest>,
    /// `Asked` if the Subscription requested the plan in force, `LapsedInto` if it follows a plan that
    /// lapsed.
    pub plan_origin: LedgerPlanOrigin,
    /// A downgrade that takes effect when the period ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_change: Option<LedgerPendingChange>,
    /// Consumption that exceeded the credits. The next credits repay it first.
    pub debt: Amount,
    /// Grants whose credits are not used up, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<256, 1024>")]
    pub grants: Vec<String>,
    /// Charged windows by source of usage, such as
    /// `2026-03-01T10:00:00Z|1767225600-1767229200,1767232800-1767236400`. The first part is the time of the
    /// last charge. The second part has the charged ranges in seconds since 1970, each without its end. If gaps
    /// between ranges were closed, a third part has the last 16 of them. A fourth part then has the second
    /// before which earlier gaps were closed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "coverage")]
    pub coverage: BTreeMap<String, String>,
    /// The operator refuses windows of all sources that start before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_closed_before_time: Option<Timestamp>,
    /// Packs bought in the last 24 months, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<4096, 2048>")]
    pub purchases: Vec<String>,
    /// Hashes of all packs bought more than 24 months ago, so that their names can never buy again. Each has 20
    /// hexadecimal digits: 16 for the name and 4 for the pack.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 262_144), extend("pattern" = "^([0-9a-f]{20})*$"))]
    pub purchase_names: String,
    /// Creation time of the last pack that is pending until the first period. Its Subscription existed when the
    /// operator saw it. If the Subscription is deleted, this pack and all earlier ones stay pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_waiting_pack_time: Option<Timestamp>,
    /// Adjustments of the last 24 months, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<16_384, 1024>")]
    pub adjustments: Vec<String>,
    /// Hashes of all adjustments given more than 24 months ago, so that their names can never give credits
    /// again. Each has 20 hexadecimal digits: 16 for the name and 4 for the credits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 262_144), extend("pattern" = "^([0-9a-f]{20})*$"))]
    pub adjustment_names: String,
    /// The last packs, payments and adjustments that were refused, one record each.
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
    /// Time since which the credits are exhausted: the balance is at most zero minus the overdraft of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exhausted_since_time: Option<Timestamp>,
    /// Credits consumed on each of the last days (UTC), one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<64, 128>")]
    pub daily_consumption: Vec<String>,
    /// The highest rate of consumption, the longest window and the longest delay of the charges of each of the last days
    /// (UTC), one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<64, 512>")]
    pub daily_peaks: Vec<String>,
    /// Alert thresholds that the current period has reached, in percent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "percents")]
    pub crossed_thresholds_percent: Vec<i64>,
    /// Time of the last charge, from which the forecast is computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast_time: Option<Timestamp>,
    /// Time of the last change of the balance. The forecast starts from it if it is later than the last charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_balance_change_time: Option<Timestamp>,
    /// Sums of the time without a period, for the statement of the next period, as one record.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub carried: Option<String>,
    /// Sums since the start of the account.
    pub totals: LedgerTotals,
    /// Statements of the last periods, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<64, 4096>")]
    pub statements: Vec<String>,
    /// Sums of the last calendar months (UTC) in which credits moved, one record each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<64, 1024>")]
    pub months: Vec<String>,
    /// The last entries of the history, one record each. With a history store, also all entries that are not known
    /// to be recorded there, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "records::<1024, 131_072>")]
    pub entries: Vec<String>,
    /// Number of the last entry. Entries are numbered from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub entry_number: Option<i64>,
    /// Hash of the last entry: SHA-256, in lower-case hexadecimal, of the hash of the entry before it and the record
    /// of the entry. Empty before the first entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("pattern" = "^([0-9a-f]{64})?$"))]
    pub entry_hash: Option<String>,
    /// Branch of the history to which the next entries belong. A branch begins when an administrator accepts the
    /// content of a ledger. Absent before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("pattern" = "^[0-9a-f]{16}$"))]
    pub entry_branch: Option<String>,
    /// State before the first of the numbered `entries`, as one record. Absent if that is the state of a new account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub entries_opening: Option<String>,
    /// Id of the history store in which entries are recorded. Absent if there never was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub history_store: Option<String>,
    /// Sequence of the last commit whose entries are known to be recorded in that store.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub recorded_sequence: Option<i64>,
    /// Charged reports whose status update is not confirmed, one record each.
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
    /// Hash of the ledger that the Subscription's status named at that time. The operator no longer compares
    /// this ledger with a later one in the status.
    #[schemars(length(max = 64))]
    pub shown_hash: String,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// The Subscription at the last commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerSubscription {
    /// UID of the Subscription. A new Subscription with the same name resumes the account.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Generation of the Subscription. The operator does not decide on an older copy.
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
    /// Plan that follows when this plan lapses.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_LENGTH))]
    pub lapses_to: Option<String>,
    /// `Allowed` if packs can be bought, else `Refused`.
    pub pack_purchases: PackPurchases,
    /// Credits by which the balance can fall below zero until the credits count as exhausted. Absent if it is zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdraft: Option<Amount>,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// Anchor from which the boundaries of periods are counted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerAnchor {
    /// Start of the first period that is counted from this anchor.
    pub time: Timestamp,
    /// Months from the anchor to the start of the current period.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub months: i64,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// The current period. Without times while there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerPeriod {
    /// Number of the current period, or of the last one while there is none. It never goes back.
    #[schemars(range(min = 0, max = MAX_INTEGER))]
    pub number: i64,
    /// Start of the period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// End of the period; it is not part of the period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// Time at which its invoice becomes overdue. Absent when it is paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_due_time: Option<Timestamp>,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// A request of a Subscription, and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerRequest {
    /// Requested plan.
    #[schemars(length(max = NAME_LENGTH))]
    pub plan: String,
    /// Requested billing period.
    pub billing_period: BillingPeriod,
    /// Requested renewal.
    pub renewal: Renewal,
    /// Outcome of the request.
    pub state: RequestState,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// The origin of the plan in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum LedgerPlanOrigin {
    /// The Subscription requested it.
    Asked,
    /// It follows a plan that lapsed.
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
    /// Time at which it begins.
    pub effective_time: Timestamp,
    /// Fields that a later version of the operator added.
    #[serde(flatten)]
    #[schemars(skip)]
    pub other: Unknown,
}

/// Sums since the start of the account: granted + purchased + adjusted = consumed + expired + refunded +
/// remaining - debt.
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

impl CreditLedgerSpec {
    /// Returns the end of the last charged window of a source, or nothing if the source has none.
    #[must_use]
    pub fn covered_until(&self, source: &str) -> Option<Timestamp> {
        let (_, rest) = self.coverage.get(source)?.split_once('|')?;
        let stretches = rest.split('|').next()?;
        let (_, end) = stretches.rsplit(',').next()?.split_once('-')?;
        Timestamp::from_second(end.parse().ok()?).ok()
    }
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
            "description": "The charged ranges of this source.",
        },
    })
}

/// Returns the schema of a list of percentages.
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
