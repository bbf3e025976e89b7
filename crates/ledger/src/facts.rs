//! Facts: the objects that others wrote about an account, as the decision sees them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Credits;
use crate::catalog::BillingPeriod;
pub use crate::report::{Report, UsageTotal};
use crate::reports::Reports;

/// Kinds of objects that state facts about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FactKind {
    /// UsageReport.
    UsageReport,
    /// CreditPack.
    CreditPack,
    /// Payment.
    Payment,
    /// CreditAdjustment.
    CreditAdjustment,
}

impl FactKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::UsageReport, Self::CreditPack, Self::Payment, Self::CreditAdjustment];

    /// Returns the name of the kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UsageReport => "UsageReport",
            Self::CreditPack => "CreditPack",
            Self::Payment => "Payment",
            Self::CreditAdjustment => "CreditAdjustment",
        }
    }
}

/// Everything that is stated about one account at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Name of the account's Subscription.
    pub name: String,
    /// Id that the account gets with its first commit; its invoice numbers carry it.
    pub new_account_id: String,
    /// Whether a new account is to live by a test clock: then now is that clock's time.
    pub has_test_clock: bool,
    /// Whether more facts may yet arrive at the very second of now, as they do in a cluster: what runs out at it waits
    /// until it is over, since "within" and "at" include it (Law 0).
    pub instant_is_open: bool,
    /// The Subscription, unless it does not exist.
    pub subscription: Option<Subscription>,
    /// Reports without a verdict.
    pub reports: Reports,
    /// Reports whose waits are to be reported.
    pub asked: Asked,
    /// Packs without a final state.
    pub packs: Vec<PackOrder>,
    /// Payments without a verdict.
    pub payments: Vec<Payment>,
    /// Adjustments without a verdict.
    pub adjustments: Vec<Adjustment>,
    /// Charged reports, by name and UID, whose receipt is confirmed or no longer wanted.
    pub acknowledged: Vec<(String, String)>,
}

/// The reports whose waits are to be reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// All of them.
    #[default]
    All,
    /// Those with these names and UIDs: the status of the others already shows it.
    Only(BTreeSet<(String, String)>),
}

impl Facts {
    /// Returns the reports whose waits are to be reported.
    pub(crate) fn asked_reports(&self) -> Box<dyn Iterator<Item = &Report> + '_> {
        match &self.asked {
            Asked::All => Box::new(self.reports.iter()),
            Asked::Only(names) => {
                Box::new(names.iter().filter_map(|(name, uid)| self.reports.get(name, uid)))
            }
        }
    }
}

/// The content of a Subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// UID of the object.
    pub uid: String,
    /// Generation of its spec.
    pub generation: i64,
    /// Creation of the object.
    pub arrival: Timestamp,
    /// The request.
    pub request: Request,
    /// When the account is to start, unless at the arrival.
    pub start_time: Option<Timestamp>,
    /// Thresholds of this account, unless the catalog's.
    pub alert_thresholds_percent: Option<Vec<u32>>,
}

/// The request of a Subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Name of the plan.
    pub plan: String,
    /// Length of its periods.
    pub billing_period: BillingPeriod,
    /// The renewal at a period's end.
    pub renewal: Renewal,
}

/// The renewal at a period's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = crate::schema::without_description)
)]
pub enum Renewal {
    /// Another period.
    #[default]
    Automatic,
    /// The plan lapses.
    None,
}

impl Renewal {
    /// Returns the name that a Subscription uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "Automatic",
            Self::None => "None",
        }
    }
}

/// A CreditPack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackOrder {
    /// Name of the object: the idempotency key.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// Creation of the object.
    pub arrival: Timestamp,
    /// Pack of the catalog.
    pub pack: String,
}

/// A Payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Name of the object: the provider's event.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// Creation of the object.
    pub arrival: Timestamp,
    /// Number of the invoice, such as `acme-1f3a9c2e-0007`.
    pub invoice: String,
    /// The reported state.
    pub state: PaymentState,
    /// Money that moved.
    pub amount: Credits,
    /// Currency of the amount.
    pub currency: String,
}

/// The reported state of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = crate::schema::without_description)
)]
pub enum PaymentState {
    /// It was paid.
    Settled,
    /// An attempt to pay failed; another can follow.
    Failed,
    /// The provider gave up: nothing more will be paid.
    Cancelled,
    /// The money was returned.
    Refunded,
}

impl PaymentState {
    /// Returns the name that a Payment uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "Settled",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::Refunded => "Refunded",
        }
    }
}

/// A CreditAdjustment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// Name of the object: the idempotency key.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// Creation of the object.
    pub arrival: Timestamp,
    /// Credits to give; above zero.
    pub credits: Credits,
    /// Why.
    pub reason: String,
    /// When what is left of them expires, if ever.
    pub expiration_time: Option<Timestamp>,
}
