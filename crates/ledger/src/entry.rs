//! Entries: the history of an account, one line for each change, with its explanation.

#[cfg(feature = "schema")]
mod schema;

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::Credits;
use crate::catalog::BillingPeriod;
pub use crate::facts::{BillingDetails, FactKind};
use crate::invoice::{InvoiceReason, InvoiceState, VoidCause};
use crate::period::Window;
use crate::refusal::Refusal;
use crate::schema::inline_schema;

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Instant at which it took effect.
    pub time: Timestamp,
    /// Signed change of the balance.
    pub credits: Credits,
    /// Balance after it.
    pub balance: Credits,
    /// The kind of entry, with its details.
    pub detail: Detail,
}

impl Entry {
    /// Returns true if the entry is part of the ledger. The refusal of a report is not, because it commits
    /// nothing: only the report itself shows it (Law 10).
    #[must_use]
    pub fn is_part_of_ledger(&self) -> bool {
        !matches!(&self.detail, Detail::Refused { object, .. } if object.kind == FactKind::UsageReport)
    }
}

/// An object that states a fact, such as `CreditPack/march-top-up`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName {
    /// Kind of the object.
    pub kind: FactKind,
    /// Name of the object.
    pub name: String,
}

inline_schema!(ObjectName: { "type": "string" });

impl fmt::Display for ObjectName {
    /// Writes the object as `Kind/name`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind.as_str(), self.name)
    }
}

impl Serialize for ObjectName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A plan with its billing period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[serde(rename_all = "camelCase")]
pub struct PlanPeriod {
    /// Name of the plan.
    pub plan: String,
    /// Length of its periods.
    pub billing_period: BillingPeriod,
}

/// The amount that a grant paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[serde(rename_all = "camelCase")]
pub struct PaidBy {
    /// Id of the grant.
    pub grant: String,
    /// Credits that it paid.
    pub amount: Credits,
}

/// An item of an invoice: a plan for one period, or a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[serde(rename_all = "camelCase")]
pub struct InvoiceLine {
    /// Plan. Absent if the item is a pack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Billing period of the plan. Absent if the item is a pack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_period: Option<BillingPeriod>,
    /// Pack of the catalog. Absent if the item is a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pack: Option<String>,
    /// Credits that it gives when the invoice is settled.
    pub credits: Credits,
    /// Money owed for it.
    pub amount: Credits,
}

/// The reason why an account lapsed (Law 16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum LapseCause {
    /// `renewal: None` at the period's end.
    RenewalNone,
    /// A renewal was not paid by its due time.
    PaymentOverdue,
    /// The catalog has neither the requested plan nor the plan in force (Law 20).
    PlanNotFound,
}

inline_schema!(LapseCause: { "type": "string" });

impl LapseCause {
    /// Every cause.
    pub const ALL: [Self; 3] = [Self::RenewalNone, Self::PaymentOverdue, Self::PlanNotFound];

    /// Returns the name of the cause.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RenewalNone => "RenewalNone",
            Self::PaymentOverdue => "PaymentOverdue",
            Self::PlanNotFound => "PlanNotFound",
        }
    }
}

/// The kind of entry, with the fields that explain its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[serde(tag = "kind", content = "detail", rename_all_fields = "camelCase")]
pub enum Detail {
    // Laws 4 and 6.
    /// The credits of a plan arrived.
    Granted {
        /// Credits granted.
        amount: Credits,
        /// Id of the grant, such as `plan/4`.
        grant: String,
        /// Plan that granted them.
        #[serde(flatten)]
        #[cfg_attr(feature = "schema", schemars(schema_with = "schema::giving_plan"))]
        plan: PlanPeriod,
        /// Number of the period that they are for.
        period_number: u32,
        /// Time at which the remaining credits expire.
        expiration_time: Timestamp,
        /// Part of the credits that repaid debt.
        debt_repaid: Credits,
    },
    // Laws 6 and 14.
    /// The credits of a pack arrived.
    Purchased {
        /// Credits granted.
        amount: Credits,
        /// Id of the grant, such as `pack/march-top-up`.
        grant: String,
        /// CreditPack that bought them, such as `CreditPack/march-top-up`.
        object: ObjectName,
        /// Pack of the catalog.
        pack: String,
        /// Number of the invoice that paid for them. Absent if they were free.
        #[serde(skip_serializing_if = "Option::is_none")]
        invoice: Option<String>,
        /// Time at which the remaining credits expire. Absent if they never expire.
        #[serde(skip_serializing_if = "Option::is_none")]
        expiration_time: Option<Timestamp>,
        /// Part of the credits that repaid debt.
        debt_repaid: Credits,
    },
    // Laws 6 and 25.
    /// Credits of an administrator arrived.
    Adjusted {
        /// Credits granted.
        amount: Credits,
        /// Id of the grant, such as `adjustment/outage`.
        grant: String,
        /// CreditAdjustment that gave them, such as `CreditAdjustment/outage`.
        object: ObjectName,
        /// Reason for the credits.
        reason: String,
        /// Time at which the remaining credits expire. Absent if they never expire.
        #[serde(skip_serializing_if = "Option::is_none")]
        expiration_time: Option<Timestamp>,
        /// Part of the credits that repaid debt.
        debt_repaid: Credits,
    },
    // Laws 5 to 10 and 22.
    /// A report was charged.
    Charged {
        /// Credits consumed. Expired credits that are still settling pay without a change of the balance.
        amount: Credits,
        /// UsageReport that was charged, such as `UsageReport/gw-eu-1-0800`.
        object: ObjectName,
        /// Source of the report.
        source: String,
        /// Time window.
        window: Window,
        /// Number of the period in which it is booked. Absent if there is no period.
        #[serde(skip_serializing_if = "Option::is_none")]
        period_number: Option<u32>,
        /// Grants that paid, in burn order.
        paid_by: Vec<PaidBy>,
        /// Part that exceeded the credits and became debt.
        debt: Credits,
    },
    // Law 4.
    /// The rest of a grant expired.
    Expired {
        /// Credits that expired.
        amount: Credits,
        /// Id of the grant.
        grant: String,
    },
    // Law 7.
    /// Late usage can no longer consume the expired credits of a grant.
    SettlementClosed {
        /// Credits that can no longer be consumed.
        amount: Credits,
        /// Id of the grant.
        grant: String,
    },
    // Law 18.
    /// The remaining credits of a refunded grant were taken back.
    Refunded {
        /// Credits taken back, including credits that were settling.
        amount: Credits,
        /// Id of the grant. Absent if the invoice had given no grant.
        #[serde(skip_serializing_if = "Option::is_none")]
        grant: Option<String>,
        /// Number of the refunded invoice.
        invoice: String,
        /// Payment that reported it, such as `Payment/evt-124`.
        object: ObjectName,
    },
    // Laws 12, 13 and 16.
    /// Another plan or billing period is in force.
    PlanChanged {
        /// Plan that was in force. Absent if there was none.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<PlanPeriod>,
        /// Plan that is in force.
        to: PlanPeriod,
        /// Number of the period that begins.
        period_number: u32,
    },
    // Law 11.
    /// The next period began.
    Renewed {
        /// Plan of the period that begins.
        #[serde(flatten)]
        #[cfg_attr(feature = "schema", schemars(schema_with = "schema::beginning_plan"))]
        plan: PlanPeriod,
        /// Number of the period.
        period_number: u32,
        /// Time window.
        period: Window,
    },
    // Law 16.
    /// The plan lapsed.
    Lapsed {
        /// Plan that was in force.
        from: PlanPeriod,
        /// Plan that follows. Absent if there is none.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<PlanPeriod>,
        /// Reason: `RenewalNone`, `PaymentOverdue` or `PlanNotFound`.
        cause: LapseCause,
    },
    // Law 18.
    /// An invoice was issued.
    Invoiced {
        /// Money owed.
        amount: Credits,
        /// Currency of the amount.
        currency: String,
        /// Number of the invoice.
        invoice: String,
        /// Purpose of the invoice.
        reason: InvoiceReason,
        /// CreditPack that it is for. Absent if it is for a plan.
        #[serde(skip_serializing_if = "Option::is_none")]
        object: Option<ObjectName>,
        /// Time at which it is due. Absent if it was settled when it was issued.
        #[serde(skip_serializing_if = "Option::is_none")]
        due_time: Option<Timestamp>,
        /// Items that it is for.
        lines: Vec<InvoiceLine>,
        /// Billing details of the Subscription when it was issued. Absent if there were none.
        #[serde(skip_serializing_if = "Option::is_none")]
        billing_details: Option<BillingDetails>,
    },
    // Law 18.
    /// An invoice was paid.
    Settled {
        /// Money paid.
        amount: Credits,
        /// Currency of the amount.
        currency: String,
        /// Number of the invoice.
        invoice: String,
        /// `Settled`, or `RefundDue` if the invoice was void.
        state: InvoiceState,
        /// Payment that reported it. Absent if there was none.
        #[serde(skip_serializing_if = "Option::is_none")]
        object: Option<ObjectName>,
    },
    // Law 18.
    /// An invoice is no longer owed.
    Voided {
        /// Money no longer owed.
        amount: Credits,
        /// Currency of the amount.
        currency: String,
        /// Number of the invoice.
        invoice: String,
        /// Reason: `Superseded`, `PaymentCancelled` or `PaymentExpired`.
        cause: VoidCause,
        /// Payment that reported the cancellation. Absent if there was none.
        #[serde(skip_serializing_if = "Option::is_none")]
        object: Option<ObjectName>,
    },
    // Law 23.
    /// Consumption in the period reached an alert threshold.
    Threshold {
        /// The threshold in percent.
        percent: u32,
    },
    /// An administrator accepted the content of the stored ledger.
    Accepted {
        /// Sequence of the accepted ledger.
        sequence: i64,
    },
    /// A fact was refused.
    Refused {
        /// Object that stated it, such as `CreditPack/march-top-up`.
        object: ObjectName,
        /// Reason and remedy.
        #[serde(flatten)]
        refusal: Refusal,
    },
}

impl Detail {
    /// The names of all kinds of entries.
    pub const KINDS: [&'static str; 16] = [
        "Granted",
        "Purchased",
        "Adjusted",
        "Charged",
        "Expired",
        "SettlementClosed",
        "Refunded",
        "PlanChanged",
        "Renewed",
        "Lapsed",
        "Invoiced",
        "Settled",
        "Voided",
        "Threshold",
        "Accepted",
        "Refused",
    ];

    /// Returns the credits that an entry of this kind moves: those that arrived, were consumed, expired or were
    /// taken back. It is zero for other kinds, whose amounts are money or credits that moved before.
    #[must_use]
    pub const fn amount(&self) -> Credits {
        match self {
            Self::Granted { amount, .. }
            | Self::Purchased { amount, .. }
            | Self::Adjusted { amount, .. }
            | Self::Charged { amount, .. }
            | Self::Expired { amount, .. }
            | Self::Refunded { amount, .. } => *amount,
            Self::SettlementClosed { .. }
            | Self::PlanChanged { .. }
            | Self::Renewed { .. }
            | Self::Lapsed { .. }
            | Self::Invoiced { .. }
            | Self::Settled { .. }
            | Self::Voided { .. }
            | Self::Threshold { .. }
            | Self::Accepted { .. }
            | Self::Refused { .. } => Credits::ZERO,
        }
    }

    /// Returns the name of the kind of entry.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Granted { .. } => "Granted",
            Self::Purchased { .. } => "Purchased",
            Self::Adjusted { .. } => "Adjusted",
            Self::Charged { .. } => "Charged",
            Self::Expired { .. } => "Expired",
            Self::SettlementClosed { .. } => "SettlementClosed",
            Self::Refunded { .. } => "Refunded",
            Self::PlanChanged { .. } => "PlanChanged",
            Self::Renewed { .. } => "Renewed",
            Self::Lapsed { .. } => "Lapsed",
            Self::Invoiced { .. } => "Invoiced",
            Self::Settled { .. } => "Settled",
            Self::Voided { .. } => "Voided",
            Self::Threshold { .. } => "Threshold",
            Self::Accepted { .. } => "Accepted",
            Self::Refused { .. } => "Refused",
        }
    }
}
