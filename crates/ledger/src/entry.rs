//! Entries: one line of the account's history for each thing that happened, with what explains it.

use jiff::Timestamp;

use crate::Credits;
use crate::catalog::BillingPeriod;
pub use crate::facts::FactKind;
use crate::invoice::{InvoiceReason, InvoiceState, VoidCause};
use crate::period::Window;
use crate::refusal::Refusal;

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
    /// Returns whether the entry is part of the ledger. The refusal of a report is not: it commits nothing, and
    /// only the report itself shows it (Law 10).
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
    /// Its name.
    pub name: String,
}

/// A plan with its billing period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanPeriod {
    /// Name of the plan.
    pub plan: String,
    /// Length of its periods.
    pub billing_period: BillingPeriod,
}

/// How much a grant paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidBy {
    /// Id of the grant, such as `plan/4`.
    pub grant: String,
    /// Credits that it paid.
    pub amount: Credits,
}

/// Why an account lapsed (Law 16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LapseCause {
    /// `renewal: None` at the period's end.
    RenewalNone,
    /// A renewal was not paid by its due time.
    PaymentOverdue,
    /// The catalog has neither the plan asked for nor the one in force (Law 20).
    PlanNotFound,
}

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

/// The kind of entry, with the keys that explain its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A plan's credits arrived (Law 4).
    Granted {
        /// Credits given.
        amount: Credits,
        /// Id of the grant.
        grant: String,
        /// Plan that gave them.
        plan: PlanPeriod,
        /// Period they are for.
        period_number: u32,
        /// When what is left of them expires.
        expiration_time: Timestamp,
        /// Part that repaid debt at once (Law 6).
        debt_repaid: Credits,
    },
    /// A pack's credits arrived (Law 14).
    Purchased {
        /// Credits given.
        amount: Credits,
        /// Id of the grant.
        grant: String,
        /// CreditPack that bought them.
        object: ObjectName,
        /// Pack of the catalog.
        pack: String,
        /// Invoice that paid for them, unless they were free.
        invoice: Option<String>,
        /// When what is left of them expires, if ever.
        expiration_time: Option<Timestamp>,
        /// Part that repaid debt at once (Law 6).
        debt_repaid: Credits,
    },
    /// An administrator's credits arrived (Law 25).
    Adjusted {
        /// Credits given.
        amount: Credits,
        /// Id of the grant.
        grant: String,
        /// CreditAdjustment that gave them.
        object: ObjectName,
        /// Why they were given.
        reason: String,
        /// When what is left of them expires, if ever.
        expiration_time: Option<Timestamp>,
        /// Part that repaid debt at once (Law 6).
        debt_repaid: Credits,
    },
    /// A report was charged (Laws 5 to 10).
    Charged {
        /// Credits consumed.
        amount: Credits,
        /// UsageReport that was charged.
        object: ObjectName,
        /// Its source.
        source: String,
        /// Its window.
        window: Window,
        /// Period in which it is booked (Law 22).
        period_number: Option<u32>,
        /// Grants that paid, in burn order.
        paid_by: Vec<PaidBy>,
        /// Part that no grant could pay (Law 6).
        debt: Credits,
    },
    /// The rest of a grant expired (Law 4).
    Expired {
        /// Credits that left the balance.
        amount: Credits,
        /// Id of the grant.
        grant: String,
    },
    /// Late usage can no longer consume the expired credits of a grant (Law 7).
    SettlementClosed {
        /// Credits that can no longer be claimed.
        amount: Credits,
        /// Id of the grant.
        grant: String,
    },
    /// The rest of a refunded grant was taken (Law 18).
    Refunded {
        /// Credits taken, settling included.
        amount: Credits,
        /// Id of the grant; absent when the invoice had given none.
        grant: Option<String>,
        /// Invoice that was refunded.
        invoice: String,
        /// Payment that reported it.
        object: ObjectName,
    },
    /// Another plan or billing period is in force (Laws 12, 13, 16).
    PlanChanged {
        /// Plan that was in force.
        from: Option<PlanPeriod>,
        /// Plan that is in force.
        to: PlanPeriod,
        /// Period that begins.
        period_number: u32,
    },
    /// A period followed another (Law 11).
    Renewed {
        /// Plan of the period that begins.
        plan: PlanPeriod,
        /// Its number.
        period_number: u32,
        /// Its window.
        period: Window,
    },
    /// The plan lapsed (Law 16).
    Lapsed {
        /// Plan that was in force.
        from: PlanPeriod,
        /// Plan that follows, if any.
        to: Option<PlanPeriod>,
        /// Why.
        cause: LapseCause,
    },
    /// An invoice was issued (Law 18).
    Invoiced {
        /// Money owed.
        amount: Credits,
        /// Currency of the amount.
        currency: String,
        /// Its number.
        invoice: String,
        /// Purpose of the invoice.
        reason: InvoiceReason,
        /// CreditPack it is for, if any.
        object: Option<ObjectName>,
        /// Due time, unless it is settled as it is issued.
        due_time: Option<Timestamp>,
    },
    /// An invoice was paid (Law 18).
    Settled {
        /// Money paid.
        amount: Credits,
        /// Currency of the amount.
        currency: String,
        /// Its number.
        invoice: String,
        /// `Settled`, or `RefundDue` when it was void.
        state: InvoiceState,
        /// Payment that reported it, if any.
        object: Option<ObjectName>,
    },
    /// An invoice is no longer owed (Law 18).
    Voided {
        /// Money no longer owed.
        amount: Credits,
        /// Currency of the amount.
        currency: String,
        /// Its number.
        invoice: String,
        /// Why.
        cause: VoidCause,
        /// Payment that reported its cancellation, if any.
        object: Option<ObjectName>,
    },
    /// The period's use reached a threshold (Law 23).
    Threshold {
        /// The threshold.
        percent: u32,
    },
    /// An administrator accepted the stored ledger as it is.
    Accepted {
        /// Commits that it stands for.
        sequence: i64,
    },
    /// A fact was refused.
    Refused {
        /// Object that stated it.
        object: ObjectName,
        /// Why, and what to do.
        refusal: Refusal,
    },
}

impl Detail {
    /// Every name of a kind.
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
