//! Invoices: amounts of money owed, and their states (Law 18).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Credits;
use crate::grant::GrantSource;
use crate::schema::inline_schema;
use crate::terms::Terms;

/// Invoices that the ledger keeps at any age, in addition to those that can still move money or credits.
pub const INVOICES_KEPT: usize = 36;

/// Months for which every invoice is kept: as long as the purchases.
pub const INVOICES_KEPT_MONTHS: u32 = 24;

/// Void invoices that are kept. Repeated changes of plan can issue many within one period.
pub const VOID_INVOICES_KEPT: usize = 128;

/// Number of attempts whose names an invoice keeps.
pub const ATTEMPTS_KEPT: usize = 16;

/// The money owed for a period or a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Invoice {
    /// Number in the account's own gap-free count, from 1.
    pub number: u32,
    /// Instant at which it was issued.
    pub time: Timestamp,
    /// Its purpose.
    #[serde(rename = "for")]
    pub purpose: Purpose,
    /// Money owed.
    pub amount: Credits,
    /// Currency of the amount.
    pub currency: String,
    /// Its state.
    pub state: InvoiceState,
    /// Last instant at which it can be paid in time. Absent if it was settled when it was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_time: Option<Timestamp>,
    /// Grant that resulted from its settlement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantSource>,
    /// Names of the Payments that moved money for it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<String>,
    /// Payments that moved no money: failed attempts and cancellations.
    #[serde(default, skip_serializing_if = "Attempts::is_empty")]
    pub attempts: Attempts,
}

/// Payments that reported a failed attempt or a cancellation of an invoice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attempts {
    /// Number of these payments.
    pub count: u32,
    /// Names of the last [`ATTEMPTS_KEPT`], oldest first.
    pub names: Vec<String>,
    /// Latest arrival of one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time: Option<Timestamp>,
}

impl Attempts {
    /// Returns true if there were none.
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns true if the Payment called `name` that arrived at `arrival` can be among them. Payments are
    /// decided in the order of their arrival, so an earlier one can be among them although its name is no
    /// longer kept.
    #[must_use]
    pub fn include(&self, name: &str, arrival: Timestamp) -> bool {
        let forgot_some = usize::try_from(self.count).unwrap_or(usize::MAX) > self.names.len();
        let is_kept = self.names.iter().any(|known| known == name);
        is_kept || (forgot_some && Some(arrival) < self.last_time)
    }

    /// Adds the Payment called `name` that arrived at `arrival`.
    pub(crate) fn add(&mut self, name: &str, arrival: Timestamp) {
        self.count = self.count.saturating_add(1);
        self.last_time = self.last_time.max(Some(arrival));
        self.names.retain(|known| known != name);
        self.names.push(name.to_owned());
        let surplus = self.names.len().saturating_sub(ATTEMPTS_KEPT);
        self.names.drain(..surplus);
    }
}

/// The purpose of an invoice, with the effect of its settlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Purpose {
    /// A period that begins with the settlement, under these terms.
    Change {
        /// Reason for the period.
        reason: ChangeReason,
        /// Terms of that period, as decided when the invoice was issued (Law 20).
        terms: Terms,
    },
    /// The credits of a period that has begun.
    Renewal {
        /// Number of the period.
        period_number: u32,
    },
    /// A pack.
    Pack {
        /// Name of the CreditPack.
        name: String,
    },
}

/// The reason why a period begins with a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeReason {
    /// It is the first period of the account.
    Start,
    /// The Subscription requested a higher plan (Law 12).
    Upgrade,
    /// The account had lapsed (Law 16).
    Reactivation,
}

/// Purpose of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum InvoiceReason {
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

impl InvoiceReason {
    /// Returns the name of the reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "Start",
            Self::Renewal => "Renewal",
            Self::Upgrade => "Upgrade",
            Self::Reactivation => "Reactivation",
            Self::Pack => "Pack",
        }
    }
}

/// The state of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::without_description))]
pub enum InvoiceState {
    /// It awaits payment.
    Open,
    /// It is paid.
    Settled,
    /// It is no longer owed.
    Void,
    /// It was paid although it was void: the money must be paid back.
    RefundDue,
    /// It was paid back.
    Refunded,
}

impl InvoiceState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Open, Self::Settled, Self::Void, Self::RefundDue, Self::Refunded];

    /// Returns the name of the state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Settled => "Settled",
            Self::Void => "Void",
            Self::RefundDue => "RefundDue",
            Self::Refunded => "Refunded",
        }
    }
}

/// The reason why an invoice is no longer owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum VoidCause {
    /// Another request, a boundary or a lapse replaced it.
    Superseded,
    /// The payment was cancelled.
    PaymentCancelled,
    /// It was not paid in time.
    PaymentExpired,
}

inline_schema!(VoidCause: { "type": "string" });

impl VoidCause {
    /// Returns the name of the cause.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "Superseded",
            Self::PaymentCancelled => "PaymentCancelled",
            Self::PaymentExpired => "PaymentExpired",
        }
    }
}

impl Invoice {
    /// Returns the purpose in one word.
    #[must_use]
    pub const fn reason(&self) -> InvoiceReason {
        match &self.purpose {
            Purpose::Change { reason: ChangeReason::Start, .. } => InvoiceReason::Start,
            Purpose::Change { reason: ChangeReason::Upgrade, .. } => InvoiceReason::Upgrade,
            Purpose::Change { reason: ChangeReason::Reactivation, .. } => InvoiceReason::Reactivation,
            Purpose::Renewal { .. } => InvoiceReason::Renewal,
            Purpose::Pack { .. } => InvoiceReason::Pack,
        }
    }

    /// Returns true if a Payment called `payment` was applied to it.
    #[must_use]
    pub fn was_told_by(&self, payment: &str) -> bool {
        self.payments.iter().chain(&self.attempts.names).any(|name| name == payment)
    }

    /// Returns true if it is an open invoice of a plan. An account has at most one.
    #[must_use]
    pub const fn is_open_plan_invoice(&self) -> bool {
        matches!(self.state, InvoiceState::Open) && !matches!(self.purpose, Purpose::Pack { .. })
    }
}

/// Returns the number that users see, such as `acme-1f3a9c2e-0007`.
#[must_use]
pub fn invoice_name(subscription: &str, account: &str, number: u32) -> String {
    format!("{subscription}-{account}-{number:04}")
}
