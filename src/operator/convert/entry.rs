//! Entries as they travel: in the ledger, in the log, in what `simulate` prints.

use flashgate_api::InvoiceState;
use flashgate_api::{Amount, BillingPeriod};
use flashgate_ledger::entry::{Detail, Entry, ObjectName, PaidBy, PlanPeriod};
use flashgate_ledger::invoice::InvoiceReason;
use flashgate_ledger::period::Window;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::ledger::amount;

/// Returns an entry as JSON: `{"time", "subscription", "kind", "credits", "balance", "detail"}`, amounts as decimals
/// in text, keys of `detail` that do not apply left out.
///
/// `subscription` is `namespace/name`. The schema of it is [`entry_schema`].
///
/// # Panics
/// Never: every entry has a form in JSON.
#[must_use]
pub fn entry_to_json(subscription: &str, entry: &Entry) -> Value {
    let Entry { time, credits, balance, detail } = entry;
    let entry = WireEntry {
        time: *time,
        subscription: subscription.to_owned(),
        credits: amount(*credits),
        balance: amount(*balance),
        what: WireDetail::of(detail),
    };
    serde_json::to_value(entry).expect("an entry has a form in JSON")
}

/// Returns the JSON Schema of an entry as text: `docs/reference/entries.schema.json`.
#[must_use]
pub fn entry_schema() -> String {
    format!("{:#}\n", schemars::schema_for!(WireEntry).to_value())
}

/// One line of an account's history.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "Entry")]
struct WireEntry {
    /// When it took effect.
    time: Timestamp,
    /// The account, as `namespace/name` of its Subscription.
    subscription: String,
    /// Signed change of the balance.
    credits: Amount,
    /// Balance after it.
    balance: Amount,
    #[serde(flatten)]
    what: WireDetail,
}

/// The kind of entry, and the details that explain its numbers.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "kind", content = "detail", rename_all_fields = "camelCase")]
#[schemars(deny_unknown_fields)]
enum WireDetail {
    /// A plan's credits arrived.
    Granted {
        /// Credits given.
        amount: Amount,
        /// Id of the grant, such as `plan/4`.
        grant: String,
        /// Plan that gave them.
        plan: String,
        /// Billing period of the plan.
        billing_period: BillingPeriod,
        /// Period they are for.
        period_number: u32,
        /// When the remaining credits expire.
        expiration_time: Timestamp,
        /// Part that repaid debt at once.
        debt_repaid: Amount,
    },
    /// A pack's credits arrived.
    Purchased {
        /// Credits given.
        amount: Amount,
        /// Id of the grant, such as `pack/march-top-up`.
        grant: String,
        /// CreditPack that bought them, such as `CreditPack/march-top-up`.
        object: String,
        /// Pack of the catalog.
        pack: String,
        /// Invoice that paid for them, unless they were free.
        #[serde(skip_serializing_if = "Option::is_none")]
        invoice: Option<String>,
        /// When the remaining credits expire, if they do.
        #[serde(skip_serializing_if = "Option::is_none")]
        expiration_time: Option<Timestamp>,
        /// Part that repaid debt at once.
        debt_repaid: Amount,
    },
    /// An administrator's credits arrived.
    Adjusted {
        /// Credits given.
        amount: Amount,
        /// Id of the grant, such as `adjustment/outage`.
        grant: String,
        /// CreditAdjustment that gave them, such as `CreditAdjustment/outage`.
        object: String,
        /// Why they were given.
        reason: String,
        /// When the remaining credits expire, if they do.
        #[serde(skip_serializing_if = "Option::is_none")]
        expiration_time: Option<Timestamp>,
        /// Part that repaid debt at once.
        debt_repaid: Amount,
    },
    /// A report was charged.
    Charged {
        /// Credits consumed; settling credits pay without a change of the balance.
        amount: Amount,
        /// UsageReport that was charged, such as `UsageReport/gw-eu-1-0800`.
        object: String,
        /// Its source.
        source: String,
        /// Its window.
        window: WireWindow,
        /// Period in which it is booked, if there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        period_number: Option<u32>,
        /// Grants that paid, in burn order.
        paid_by: Vec<WirePaidBy>,
        /// Part that no grant could pay.
        debt: Amount,
    },
    /// The rest of a grant expired.
    Expired {
        /// Credits that expired.
        amount: Amount,
        /// Id of the grant.
        grant: String,
    },
    /// Late usage can no longer consume the expired credits of a grant.
    SettlementClosed {
        /// Credits that can no longer be consumed.
        amount: Amount,
        /// Id of the grant.
        grant: String,
    },
    /// The rest of a refunded grant was taken.
    Refunded {
        /// Credits taken, settling included.
        amount: Amount,
        /// Id of the grant; absent when the invoice had given none.
        #[serde(skip_serializing_if = "Option::is_none")]
        grant: Option<String>,
        /// Invoice that was refunded.
        invoice: String,
        /// Payment that reported it, such as `Payment/evt-124`.
        object: String,
    },
    /// Another plan or billing period is in force.
    PlanChanged {
        /// Plan that was in force, if any.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<WirePlan>,
        /// Plan that is in force.
        to: WirePlan,
        /// Period that begins.
        period_number: u32,
    },
    /// A period followed another.
    Renewed {
        /// Plan of the period that begins.
        plan: String,
        /// Billing period of the plan.
        billing_period: BillingPeriod,
        /// Its number.
        period_number: u32,
        /// Its window.
        period: WireWindow,
    },
    /// The plan lapsed.
    Lapsed {
        /// Plan that was in force.
        from: WirePlan,
        /// Plan that follows, if any.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<WirePlan>,
        /// Why: `RenewalNone`, `PaymentOverdue` or `PlanNotFound`.
        cause: String,
    },
    /// An invoice was issued.
    Invoiced {
        /// Money owed.
        amount: Amount,
        /// Currency of the amount.
        currency: String,
        /// Number of the invoice.
        invoice: String,
        /// Purpose of the invoice.
        reason: WireInvoiceReason,
        /// CreditPack it is for, if any.
        #[serde(skip_serializing_if = "Option::is_none")]
        object: Option<String>,
        /// When it is due, unless it is settled as it is issued.
        #[serde(skip_serializing_if = "Option::is_none")]
        due_time: Option<Timestamp>,
    },
    /// An invoice was paid.
    Settled {
        /// Money paid.
        amount: Amount,
        /// Currency of the amount.
        currency: String,
        /// Number of the invoice.
        invoice: String,
        /// `Settled`, or `RefundDue` when it was void.
        state: InvoiceState,
        /// Payment that reported it, if any.
        #[serde(skip_serializing_if = "Option::is_none")]
        object: Option<String>,
    },
    /// An invoice is no longer owed.
    Voided {
        /// Money no longer owed.
        amount: Amount,
        /// Currency of the amount.
        currency: String,
        /// Number of the invoice.
        invoice: String,
        /// Why: `Superseded`, `PaymentCancelled` or `PaymentExpired`.
        cause: String,
        /// Payment that reported its cancellation, if any.
        #[serde(skip_serializing_if = "Option::is_none")]
        object: Option<String>,
    },
    /// The period's use reached a threshold.
    Threshold {
        /// The threshold.
        percent: u32,
    },
    /// An administrator accepted the content of the stored ledger.
    Accepted {
        /// Commits that it stands for.
        sequence: i64,
    },
    /// A fact was refused.
    Refused {
        /// Object that stated it, such as `CreditPack/march-top-up`.
        object: String,
        /// Why, as one word of the list of reasons.
        reason: String,
        /// Why, and what to do.
        message: String,
        /// When the same would be allowed, where waiting helps.
        #[serde(skip_serializing_if = "Option::is_none")]
        next_available_time: Option<Timestamp>,
    },
}

/// A plan with its billing period.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "PlanPeriod")]
struct WirePlan {
    /// Name of the plan.
    plan: String,
    /// Length of its periods.
    billing_period: BillingPeriod,
}

/// A window of time.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "Window")]
struct WireWindow {
    /// First instant that belongs to it.
    start_time: Timestamp,
    /// First instant that no longer belongs to it.
    end_time: Timestamp,
}

/// How much a grant paid.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(rename = "PaidBy")]
struct WirePaidBy {
    /// Id of the grant.
    grant: String,
    /// Credits that it paid.
    amount: Amount,
}

/// Purpose of an invoice.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "InvoiceReason")]
enum WireInvoiceReason {
    /// The first period.
    Start,
    /// A further period.
    Renewal,
    /// A higher plan.
    Upgrade,
    /// A return after a lapse.
    Reactivation,
    /// A pack.
    Pack,
}

impl WireDetail {
    #[expect(clippy::too_many_lines, reason = "one arm a kind, one line a key; nothing is decided here")]
    fn of(detail: &Detail) -> Self {
        match detail.clone() {
            Detail::Granted {
                amount: given,
                grant,
                plan: PlanPeriod { plan, billing_period },
                period_number,
                expiration_time,
                debt_repaid,
            } => Self::Granted {
                amount: amount(given),
                grant,
                plan,
                billing_period,
                period_number,
                expiration_time,
                debt_repaid: amount(debt_repaid),
            },
            Detail::Purchased {
                amount: given,
                grant,
                object,
                pack,
                invoice,
                expiration_time,
                debt_repaid,
            } => {
                let (amount, debt_repaid) = (amount(given), amount(debt_repaid));
                Self::Purchased {
                    amount,
                    grant,
                    object: named(&object),
                    pack,
                    invoice,
                    expiration_time,
                    debt_repaid,
                }
            }
            Detail::Adjusted { amount: given, grant, object, reason, expiration_time, debt_repaid } => {
                let (amount, debt_repaid) = (amount(given), amount(debt_repaid));
                Self::Adjusted { amount, grant, object: named(&object), reason, expiration_time, debt_repaid }
            }
            Detail::Charged { amount: consumed, object, source, window, period_number, paid_by, debt } => {
                Self::Charged {
                    amount: amount(consumed),
                    object: named(&object),
                    source,
                    window: window.into(),
                    period_number,
                    paid_by: paid_by.into_iter().map(WirePaidBy::from).collect(),
                    debt: amount(debt),
                }
            }
            Detail::Expired { amount: left, grant } => Self::Expired { amount: amount(left), grant },
            Detail::SettlementClosed { amount: left, grant } => {
                Self::SettlementClosed { amount: amount(left), grant }
            }
            Detail::Refunded { amount: taken, grant, invoice, object } => {
                Self::Refunded { amount: amount(taken), grant, invoice, object: named(&object) }
            }
            Detail::PlanChanged { from, to, period_number } => {
                Self::PlanChanged { from: from.map(WirePlan::from), to: to.into(), period_number }
            }
            Detail::Renewed { plan: PlanPeriod { plan, billing_period }, period_number, period } => {
                Self::Renewed { plan, billing_period, period_number, period: period.into() }
            }
            Detail::Lapsed { from, to, cause } => Self::Lapsed {
                from: from.into(),
                to: to.map(WirePlan::from),
                cause: cause.as_str().to_owned(),
            },
            Detail::Invoiced { amount: owed, currency, invoice, reason, object, due_time } => {
                Self::Invoiced {
                    amount: amount(owed),
                    currency,
                    invoice,
                    reason: reason.into(),
                    object: object.as_ref().map(named),
                    due_time,
                }
            }
            Detail::Settled { amount: paid, currency, invoice, state, object } => Self::Settled {
                amount: amount(paid),
                currency,
                invoice,
                state,
                object: object.as_ref().map(named),
            },
            Detail::Voided { amount: owed, currency, invoice, cause, object } => Self::Voided {
                amount: amount(owed),
                currency,
                invoice,
                cause: cause.as_str().to_owned(),
                object: object.as_ref().map(named),
            },
            Detail::Threshold { percent } => Self::Threshold { percent },
            Detail::Accepted { sequence } => Self::Accepted { sequence },
            Detail::Refused { object, refusal } => Self::Refused {
                object: named(&object),
                reason: refusal.reason.as_str().to_owned(),
                message: refusal.message,
                next_available_time: refusal.next_available_time,
            },
        }
    }
}

/// Returns an object as `Kind/name`.
fn named(object: &ObjectName) -> String {
    let ObjectName { kind, name } = object;
    format!("{}/{name}", kind.as_str())
}

impl From<PlanPeriod> for WirePlan {
    fn from(PlanPeriod { plan, billing_period }: PlanPeriod) -> Self {
        Self { plan, billing_period }
    }
}

impl From<Window> for WireWindow {
    fn from(Window { start_time, end_time }: Window) -> Self {
        Self { start_time, end_time }
    }
}

impl From<PaidBy> for WirePaidBy {
    fn from(PaidBy { grant, amount: paid }: PaidBy) -> Self {
        Self { grant, amount: amount(paid) }
    }
}

impl From<InvoiceReason> for WireInvoiceReason {
    fn from(reason: InvoiceReason) -> Self {
        match reason {
            InvoiceReason::Start => Self::Start,
            InvoiceReason::Renewal => Self::Renewal,
            InvoiceReason::Upgrade => Self::Upgrade,
            InvoiceReason::Reactivation => Self::Reactivation,
            InvoiceReason::Pack => Self::Pack,
        }
    }
}
