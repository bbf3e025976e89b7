//! Facts: the objects that users wrote about an account, as the decision sees them.

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

/// All facts about one account at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Name of the account's Subscription.
    pub name: String,
    /// Id that the account gets with its first commit. It is part of the invoice numbers.
    pub new_account_id: String,
    /// True if a new account uses a test clock. The present time is then the time of that clock.
    pub has_test_clock: bool,
    /// True if more facts can arrive in the current second, as in a cluster. A wait that ends in this second
    /// then lasts until the second is over, because "within" and "at" include it (Law 0).
    pub instant_is_open: bool,
    /// The Subscription, if it exists.
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
    /// Names and UIDs of charged reports whose receipt is confirmed or not needed.
    pub acknowledged: Vec<(String, String)>,
    /// Size of the entries that are not known to be recorded in a history store, in bytes of a stored ledger. Absent
    /// if there is no store. While it is large, reports wait.
    pub unrecorded_bytes: Option<usize>,
}

/// The reports whose waits are to be reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// All of them.
    #[default]
    All,
    /// The reports with these names and UIDs. The status of the others is already correct.
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
    /// Time at which the account starts. Absent if it starts at the arrival.
    pub start_time: Option<Timestamp>,
    /// Thresholds of this account. Absent if those of the catalog apply.
    pub alert_thresholds_percent: Option<Vec<u32>>,
    /// Billing details that its next invoices carry. No amount depends on them.
    pub billing_details: Option<BillingDetails>,
}

/// The billing details of a customer, as they are on an invoice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(deny_unknown_fields))]
#[serde(rename_all = "camelCase")]
pub struct BillingDetails {
    /// Legal name of the organization or person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Email address for invoices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Tax number of the organization.
    #[serde(rename = "taxID", skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<String>,
    /// Postal address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
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
    /// The provider ended the payment: nothing more will be paid.
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
    /// Credits to give, above zero.
    pub credits: Credits,
    /// Reason for the credits.
    pub reason: String,
    /// Time at which the remaining credits expire. Absent if they never expire.
    pub expiration_time: Option<Timestamp>,
}
