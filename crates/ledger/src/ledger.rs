//! The ledger: the whole state of an account, its balance and its invariants (Law 21).

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::catalog::BillingPeriod;
use crate::coverage::Coverage;
use crate::credits::{AmountOverflow, Credits};
use crate::facts::{FactKind, Request};
use crate::grant::{Grant, GrantSource};
use crate::invoice::{Invoice, InvoiceState, Purpose};
use crate::month::Months;
use crate::peak::DailyPeak;
use crate::period::{Anchor, Window};
use crate::purchase::{OrderName, Purchase, PurchaseState, Purchases};
use crate::quantity::Quantity;
use crate::refusal::Refusal;
use crate::shared::Shared;
use crate::statement::Statements;
pub use crate::terms::Terms;
pub use crate::totals::Totals;

/// Most charges that can have an outstanding receipt.
pub const UNACKNOWLEDGED_LIMIT: usize = 128;

/// Refusals of each kind (packs, payments, adjustments) that are kept by name.
pub const REFUSALS_KEPT: usize = 64;

/// The state of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Commits so far.
    pub sequence: i64,
    /// Highest time up to which the operator has decided.
    pub clock_time: Timestamp,
    /// Id of the account, which is part of its invoice numbers.
    pub account_id: String,
    /// Name of the Subscription.
    pub name: String,
    /// Subscription at the last decision.
    pub subscription: SubscriptionIdentity,
    /// Current time of the test clock. Absent if the account has none.
    pub test_clock_time: Option<Timestamp>,
    /// Start of the account. It never changes.
    pub start_time: Timestamp,
    /// Terms in force. Absent while there is no plan.
    pub terms: Option<Terms>,
    /// Origin of the periods. Absent while there is no plan.
    pub anchor: Option<Anchor>,
    /// The current period, or the number of the last one.
    pub period: PeriodState,
    /// The last request, and its outcome.
    pub request: Option<DecidedRequest>,
    /// True if the plan in force follows a lapse, false if it was requested (Law 16).
    pub lapsed: bool,
    /// Pending change at the end of the period (Law 13).
    pub pending_change: Option<PendingChange>,
    /// Grants with remaining credits, in burn order.
    pub grants: Vec<Grant>,
    /// Consumption that no grant could pay.
    pub debt: Credits,
    /// The charged windows of each source.
    pub coverage: Coverage,
    /// Packs bought.
    pub purchases: Purchases,
    /// Arrival of the last pack that is pending until the first period. Its Subscription existed, and so it did
    /// for all earlier pending packs (Law 15).
    pub last_waiting_pack_time: Option<Timestamp>,
    /// Adjustments of the last months by name.
    pub adjustments: Shared<BTreeMap<String, AdjustmentRecord>>,
    /// Names of all earlier adjustments, with their credits.
    pub adjustment_names: Shared<Vec<OrderName>>,
    /// The last refusals of each kind, oldest first.
    pub refusals: Shared<Vec<RefusalRecord>>,
    /// Invoices, oldest first.
    pub invoices: Shared<Vec<Invoice>>,
    /// Number of the next invoice.
    pub next_invoice: u32,
    /// Usage booked in the current period, by rate.
    pub usage: Vec<RatedUsage>,
    /// Time since which the balance is at most -overdraft (Law 29). Absent while it is above.
    pub exhausted_since: Option<Timestamp>,
    /// Credits charged on each of the last days with a charge, oldest first (Law 24).
    pub daily_consumption: Vec<(Date, Credits)>,
    /// The most extreme charges of each of the last days with a charge that cost something, oldest first (Law 29).
    pub daily_peaks: Vec<DailyPeak>,
    /// Time of the last charge.
    pub last_charge_time: Option<Timestamp>,
    /// Time of the last change of the balance (Law 24).
    pub last_balance_change_time: Option<Timestamp>,
    /// Thresholds that are reached (Law 23), ascending.
    pub crossed_thresholds_percent: Vec<u32>,
    /// Sums since the start of the account.
    pub totals: Totals,
    /// Sums of the last calendar months (Law 28).
    pub months: Shared<Months>,
    /// Statements of the current and earlier periods.
    pub statements: Statements,
    /// Charges whose receipt is not confirmed, oldest first.
    pub unacknowledged: Vec<Charge>,
}

/// The identity and generation of a Subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionIdentity {
    /// UID of the object.
    pub uid: String,
    /// Generation of its spec.
    pub generation: i64,
}

/// The current period, or the number of the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeriodState {
    /// Number of the current period, or of the last one while there is none. It is 0 before the first.
    pub number: u32,
    /// Window of the current period.
    pub window: Option<Window>,
    /// Last instant at which the current period can be paid. Absent if it is paid.
    pub payment_due_time: Option<Timestamp>,
}

/// A request, and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedRequest {
    /// The request.
    pub request: Request,
    /// Its outcome.
    pub state: RequestState,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = crate::schema::without_description)
)]
pub enum RequestState {
    /// It is in force, pending, or its invoice is open.
    Decided,
    /// The account lapsed under it. Nothing more happens until the Subscription requests something else (Law
    /// 16).
    Lapsed,
    /// Its invoice became void. Nothing more happens until the Subscription requests something else (Law 18).
    Voided,
    /// The catalog has no such plan (Law 20).
    PlanNotFound,
    /// The plan is not offered for that billing period (Law 20).
    BillingPeriodNotOffered,
    /// The ledger has no room for its grant until other grants are used up or expire (Law 26).
    LedgerFull,
}

impl RequestState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Decided,
        Self::Lapsed,
        Self::Voided,
        Self::PlanNotFound,
        Self::BillingPeriodNotOffered,
        Self::LedgerFull,
    ];

    /// Returns the name of the state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decided => "Decided",
            Self::Lapsed => "Lapsed",
            Self::Voided => "Voided",
            Self::PlanNotFound => "PlanNotFound",
            Self::BillingPeriodNotOffered => "BillingPeriodNotOffered",
            Self::LedgerFull => "LedgerFull",
        }
    }

    /// Returns true if the request has no effect until the Subscription makes another one.
    #[must_use]
    pub const fn is_remembered(self) -> bool {
        matches!(self, Self::Lapsed | Self::Voided)
    }

    /// Returns true if the request is pending until another catalog or until there is room. Each decision tries
    /// it again.
    #[must_use]
    pub const fn waits(self) -> bool {
        matches!(self, Self::PlanNotFound | Self::BillingPeriodNotOffered | Self::LedgerFull)
    }
}

/// A change at the end of the period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingChange {
    /// Name of the plan.
    pub plan: String,
    /// Length of its periods.
    pub billing_period: BillingPeriod,
    /// Instant at which it takes effect.
    pub effective_time: Timestamp,
}

/// An adjustment that was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdjustmentRecord {
    /// Credits given.
    pub credits: Credits,
    /// When they took effect.
    pub time: Timestamp,
}

/// A refusal that is shown again for an object with the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefusalRecord {
    /// Kind of the object.
    pub kind: FactKind,
    /// Name of the object.
    pub name: String,
    /// Content of the object: the pack of a CreditPack, every field of a Payment.
    // The stored name is `pack`, because version 0.1.0 first stored it for CreditPacks only.
    #[serde(rename = "pack", skip_serializing_if = "Option::is_none")]
    pub stated: Option<String>,
    /// Reason and remedy.
    pub refusal: Refusal,
}

/// Usage and consumed credits of one rate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RatedUsage {
    /// Node type.
    pub node_type: String,
    /// Operation.
    pub operation: String,
    /// Quantity used.
    pub quantity: Quantity,
    /// Credits consumed.
    pub credits: Credits,
}

/// A charged report. Its receipt repeats these values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Charge {
    /// Name of the UsageReport.
    pub name: String,
    /// UID of the UsageReport.
    pub uid: String,
    /// Credits consumed.
    pub credits: Credits,
    /// Totals by rate.
    pub lines: Vec<RatedUsage>,
    /// Number of the period in which it is booked. Absent if there was no period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_number: Option<u32>,
    /// Instant of the charge.
    pub charge_time: Timestamp,
}

/// An invariant that does not hold. The cause is the program or the stored ledger, never a user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// An amount exceeded the exact range.
    #[error("an amount would exceed 10^18 credits")]
    AmountOverflow,
    /// Law 21 does not hold.
    #[error("conservation: {credited} came in, {debited} went out, {remaining} remain, {debt} are debt")]
    Conservation {
        /// Granted, purchased and adjusted.
        credited: Credits,
        /// Consumed, expired and refunded.
        debited: Credits,
        /// Remaining credits of unexpired grants.
        remaining: Credits,
        /// Debt.
        debt: Credits,
    },
    /// The rest of a grant is negative or exceeds its credits.
    #[error("grant {grant} has {remaining} of {credits} credits")]
    GrantOutOfBounds {
        /// Id of the grant.
        grant: String,
        /// Credits left.
        remaining: Credits,
        /// Credits given.
        credits: Credits,
    },
    /// Two grants have the same id.
    #[error("grant {grant} is held twice")]
    GrantTwice {
        /// Id of the grant.
        grant: String,
    },
    /// Charged windows of a source overlap.
    #[error("charged windows overlap or are out of order")]
    CoverageUnsound,
    /// A month has more packs than the limit in force allowed.
    #[error("{used} packs were bought in a month that allows {max}")]
    PackLimitExceeded {
        /// Packs of the month.
        used: u32,
        /// The limit.
        max: u32,
    },
    /// A number or clock went back.
    #[error("{what} went back")]
    WentBack {
        /// Number or clock that went back.
        what: &'static str,
    },
    /// A step needs a part that the ledger does not have. This is a bug in the program.
    #[error("{what} is missing in the ledger")]
    Absent {
        /// Missing part of the ledger.
        what: String,
    },
    /// The closing balance of the current statement differs from the balance.
    #[error("the statement closes at {closing}, the balance is {balance}")]
    StatementUnbalanced {
        /// Closing balance of the current statement.
        closing: Credits,
        /// The balance.
        balance: Credits,
    },
}

impl Violation {
    /// Returns the violation for a missing `what`.
    pub(crate) fn absent(what: impl Into<String>) -> Self {
        Self::Absent { what: what.into() }
    }
}

impl From<AmountOverflow> for Violation {
    fn from(_: AmountOverflow) -> Self {
        Self::AmountOverflow
    }
}

impl Ledger {
    /// Returns the empty ledger of an account that starts at `start_time`.
    #[must_use]
    pub fn open(
        name: String,
        account_id: String,
        subscription: SubscriptionIdentity,
        start_time: Timestamp,
    ) -> Self {
        Self {
            sequence: 0,
            clock_time: start_time,
            account_id,
            name,
            subscription,
            test_clock_time: None,
            start_time,
            terms: None,
            anchor: None,
            period: PeriodState::default(),
            request: None,
            lapsed: false,
            pending_change: None,
            grants: Vec::new(),
            debt: Credits::ZERO,
            coverage: Coverage::default(),
            purchases: Purchases::default(),
            last_waiting_pack_time: None,
            adjustments: Shared::default(),
            adjustment_names: Shared::default(),
            refusals: Shared::default(),
            invoices: Shared::default(),
            next_invoice: 1,
            usage: Vec::new(),
            exhausted_since: None,
            daily_consumption: Vec::new(),
            daily_peaks: Vec::new(),
            last_charge_time: None,
            last_balance_change_time: None,
            crossed_thresholds_percent: Vec::new(),
            totals: Totals::default(),
            months: Shared::default(),
            statements: Statements::default(),
            unacknowledged: Vec::new(),
        }
    }

    /// Returns the remaining credits of unexpired grants.
    ///
    /// # Errors
    /// Returns an error if the sum overflows.
    pub fn remaining(&self) -> Result<Credits, AmountOverflow> {
        Credits::sum(self.grants.iter().filter(|grant| grant.is_current()).map(|grant| grant.remaining))
    }

    /// Returns the expired credits that late usage may still claim.
    ///
    /// # Errors
    /// Returns an error if the sum overflows.
    pub fn settling(&self) -> Result<Credits, AmountOverflow> {
        Credits::sum(self.grants.iter().filter(|grant| grant.is_settling()).map(|grant| grant.remaining))
    }

    /// Returns the balance: the remaining credits of unexpired grants minus debt. It can be negative.
    ///
    /// # Errors
    /// Returns an error if the sum overflows.
    pub fn balance(&self) -> Result<Credits, AmountOverflow> {
        self.remaining()?.checked_sub(self.debt)
    }

    /// Returns the number that users see of the invoice with the count `number`.
    #[must_use]
    pub fn invoice_name(&self, number: u32) -> String {
        crate::invoice::invoice_name(&self.name, &self.account_id, number)
    }

    /// Returns the invoice whose displayed number is `name`.
    #[must_use]
    pub fn invoice(&self, name: &str) -> Option<&Invoice> {
        self.invoices.iter().find(|invoice| self.invoice_name(invoice.number) == name)
    }

    /// Returns the invoice that the Payment called `payment` was applied to.
    #[must_use]
    pub fn invoice_of_payment(&self, payment: &str) -> Option<&Invoice> {
        self.invoices.iter().find(|invoice| invoice.was_told_by(payment))
    }

    /// Returns the refunded purchase whose invoice the Payment called `payment` was applied to, if there is
    /// one. Its CreditPack has a final verdict and must now show the refund.
    #[must_use]
    pub fn refunded_purchase(&self, payment: &str) -> Option<&Purchase> {
        let is_refunded = |purchase: &&Purchase| matches!(purchase.state, PurchaseState::Refunded { .. });
        let mut told = self.invoices.iter().rev().filter(|invoice| invoice.was_told_by(payment));
        told.find_map(|invoice| match &invoice.purpose {
            Purpose::Pack { name } => self.purchases.record(name).filter(is_refunded),
            Purpose::Change { .. } | Purpose::Renewal { .. } => None,
        })
    }

    /// Returns the names of the other Payments for the same invoice, if the Payment called `payment` returned
    /// money for a void invoice.
    #[must_use]
    pub fn payments_returned_by(&self, payment: &str) -> Vec<&str> {
        let returned = |invoice: &&Invoice| {
            invoice.state == InvoiceState::Refunded
                && invoice.grant.is_none()
                && invoice.payments.last().is_some_and(|name| name == payment)
        };
        let invoice = self.invoices.iter().rev().find(returned);
        let names = invoice.into_iter().flat_map(|invoice| &invoice.payments);
        names.map(String::as_str).filter(|name| *name != payment).collect()
    }

    /// Returns the stored refusal of an object of `kind` called `name`.
    #[must_use]
    pub fn refusal(&self, kind: FactKind, name: &str) -> Option<&RefusalRecord> {
        self.refusals.iter().find(|record| record.kind == kind && record.name == name)
    }

    /// Checks the invariants of a single ledger (I1, I2, I3).
    ///
    /// # Errors
    /// Returns the first invariant that does not hold.
    pub fn check(&self) -> Result<(), Violation> {
        let Totals { granted, purchased, adjusted, consumed, expired, refunded } = self.totals;
        let credited = Credits::sum([granted, purchased, adjusted])?;
        let debited = Credits::sum([consumed, expired, refunded])?;
        let (remaining, debt) = (self.remaining()?, self.debt);
        let balance = remaining.checked_sub(debt)?;
        if credited.checked_sub(debited)? != balance || debt.is_negative() {
            return Err(Violation::Conservation { credited, debited, remaining, debt });
        }
        for grant in &self.grants {
            let Grant { remaining, credits, .. } = *grant;
            if remaining.is_negative() || remaining > credits {
                return Err(Violation::GrantOutOfBounds {
                    grant: grant.source.to_string(),
                    remaining,
                    credits,
                });
            }
        }
        if let Some(source) = self.source_held_twice() {
            return Err(Violation::GrantTwice { grant: source.to_string() });
        }
        if !self.coverage.is_sound() {
            return Err(Violation::CoverageUnsound);
        }
        if let Some(statement) = self.statements.current() {
            let closing = statement.book.closing()?;
            if closing != balance {
                return Err(Violation::StatementUnbalanced { closing, balance });
            }
        }
        Ok(())
    }

    /// Returns the identity that two grants share, if any do.
    fn source_held_twice(&self) -> Option<&GrantSource> {
        let mut fingerprints: Vec<u64> = self.grants.iter().map(|grant| grant.source.fingerprint()).collect();
        fingerprints.sort_unstable();
        if fingerprints.windows(2).all(|pair| matches!(pair, [one, other] if one != other)) {
            return None;
        }
        let mut sources: Vec<_> = self.grants.iter().map(|grant| &grant.source).collect();
        sources.sort_unstable();
        sources.windows(2).find_map(|pair| match pair {
            [one, other] if one == other => Some(*one),
            _ => None,
        })
    }

    /// Checks that this ledger may follow `before` (invariant I5).
    ///
    /// # Errors
    /// Returns the first invariant that does not hold.
    pub fn check_follows(&self, before: &Self) -> Result<(), Violation> {
        let what = if self.clock_time < before.clock_time {
            "the clock"
        } else if self.period.number < before.period.number {
            "the period number"
        } else if self.next_invoice < before.next_invoice {
            "the invoice number"
        } else if self.coverage.closed_before_time < before.coverage.closed_before_time {
            "the horizon of forgotten usage"
        } else {
            return Ok(());
        };
        Err(Violation::WentBack { what })
    }
}
