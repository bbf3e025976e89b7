//! Refusals: a reason and a remedy. They are values, not errors.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Credits;
use crate::catalog::Catalog;
use crate::facts::FactKind;
use crate::period::{Window, utc_date};
use crate::schema::inline_schema;
use crate::text::as_text;

/// The reason why a fact was refused: a closed list for conditions, Events and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalReason {
    /// The usage lies before the account's start (Law 8).
    BeforeSubscription,
    /// The report's window ends too long after the report arrived (Law 8).
    TooEarly,
    /// The report came too long after its window started (Law 8).
    TooLate,
    /// A part of the window was already charged for this source (Law 9).
    DuplicateWindow,
    /// The window lies in a gap that was closed (Law 9).
    GapClosed,
    /// Too many sources of this account are active (Law 9).
    TooManySources,
    /// The catalog has no rate for a line (Law 10).
    UnknownRate,
    /// The amount exceeds the limit of one report or of an account (Laws 1 and 2).
    TooLarge,
    /// The catalog has no such pack (Law 14).
    UnknownPack,
    /// Packs cannot be bought under the plan in force (Law 14).
    PlanNotEligible,
    /// The limit of packs in the month is reached (Law 14).
    PackLimitReached,
    /// The name was used for another order (Laws 15, 25).
    NameAlreadyUsed,
    /// No Subscription of that name appeared in time (Laws 15, 25).
    SubscriptionNotFound,
    /// The payment of the order was cancelled (Law 18).
    PaymentCancelled,
    /// The payment of the order failed. Only version 0.1.0 refused orders for this reason.
    PaymentFailed,
    /// The order was not paid in time (Law 18).
    PaymentExpired,
    /// The account's ledger has no room for another record.
    LedgerFull,
    /// No invoice has that number (Law 18).
    UnknownInvoice,
    /// Amount or currency differ from the invoice (Law 18).
    WrongAmount,
    /// The invoice was settled before (Law 18).
    AlreadySettled,
    /// The invoice was never settled, so it cannot be refunded (Law 18).
    NotSettled,
    /// The credits would have expired before they arrived (Law 25).
    AlreadyExpired,
}

inline_schema!(RefusalReason: { "type": "string" });

impl RefusalReason {
    /// All reasons, in the order of the documentation.
    pub const ALL: [Self; 22] = [
        Self::BeforeSubscription,
        Self::TooEarly,
        Self::TooLate,
        Self::DuplicateWindow,
        Self::GapClosed,
        Self::TooManySources,
        Self::UnknownRate,
        Self::TooLarge,
        Self::UnknownPack,
        Self::PlanNotEligible,
        Self::PackLimitReached,
        Self::NameAlreadyUsed,
        Self::SubscriptionNotFound,
        Self::PaymentCancelled,
        Self::PaymentFailed,
        Self::PaymentExpired,
        Self::LedgerFull,
        Self::UnknownInvoice,
        Self::WrongAmount,
        Self::AlreadySettled,
        Self::NotSettled,
        Self::AlreadyExpired,
    ];

    /// Returns the name that conditions and events show.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeSubscription => "BeforeSubscription",
            Self::TooEarly => "TooEarly",
            Self::TooLate => "TooLate",
            Self::DuplicateWindow => "DuplicateWindow",
            Self::GapClosed => "GapClosed",
            Self::TooManySources => "TooManySources",
            Self::UnknownRate => "UnknownRate",
            Self::TooLarge => "TooLarge",
            Self::UnknownPack => "UnknownPack",
            Self::PlanNotEligible => "PlanNotEligible",
            Self::PackLimitReached => "PackLimitReached",
            Self::NameAlreadyUsed => "NameAlreadyUsed",
            Self::SubscriptionNotFound => "SubscriptionNotFound",
            Self::PaymentCancelled => "PaymentCancelled",
            Self::PaymentFailed => "PaymentFailed",
            Self::PaymentExpired => "PaymentExpired",
            Self::LedgerFull => "LedgerFull",
            Self::UnknownInvoice => "UnknownInvoice",
            Self::WrongAmount => "WrongAmount",
            Self::AlreadySettled => "AlreadySettled",
            Self::NotSettled => "NotSettled",
            Self::AlreadyExpired => "AlreadyExpired",
        }
    }

    /// Returns the kinds of facts that can be refused for this reason.
    #[must_use]
    pub const fn kinds(self) -> &'static [FactKind] {
        match self {
            Self::BeforeSubscription
            | Self::TooEarly
            | Self::TooLate
            | Self::DuplicateWindow
            | Self::GapClosed
            | Self::TooManySources
            | Self::UnknownRate => &[FactKind::UsageReport],
            Self::UnknownPack
            | Self::PlanNotEligible
            | Self::PackLimitReached
            | Self::PaymentCancelled
            | Self::PaymentFailed
            | Self::PaymentExpired => &[FactKind::CreditPack],
            Self::UnknownInvoice | Self::WrongAmount | Self::AlreadySettled | Self::NotSettled => {
                &[FactKind::Payment]
            }
            Self::AlreadyExpired => &[FactKind::CreditAdjustment],
            Self::NameAlreadyUsed | Self::SubscriptionNotFound => {
                &[FactKind::CreditPack, FactKind::CreditAdjustment]
            }
            Self::TooLarge | Self::LedgerFull => {
                &[FactKind::UsageReport, FactKind::CreditPack, FactKind::CreditAdjustment]
            }
        }
    }

    /// Returns the reason with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

as_text!(RefusalReason, |name: &str| {
    RefusalReason::from_name(name).ok_or_else(|| format!("'{name}' is no reason of a refusal"))
});

/// A refusal of an object: the reason, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::without_description))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refusal {
    /// Reason in one word of the list of reasons.
    pub reason: RefusalReason,
    /// Reason and remedy in a sentence.
    pub message: String,
    /// Time from which the same request would be allowed. Absent if waiting does not help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_available_time: Option<Timestamp>,
}

/// Most characters of names in a message about packs or plans, because the ledger keeps the message.
const NAMES_LISTED: usize = 400;

/// Most characters of names in a message about rates.
const RATES_LISTED: usize = 2_000;

/// Returns as many of `names` as fit into `characters`, separated by commas, and the number of the others.
fn listed(names: impl Iterator<Item = String>, characters: usize) -> String {
    let mut list = String::new();
    let mut left_out = 0_usize;
    for name in names {
        let separator = if list.is_empty() { "" } else { ", " };
        if left_out > 0 || list.len().saturating_add(separator.len()).saturating_add(name.len()) > characters
        {
            left_out = left_out.saturating_add(1);
        } else {
            list.push_str(separator);
            list.push_str(&name);
        }
    }
    if left_out > 0 { format!("{list} and {left_out} more of the catalog") } else { list }
}

impl Refusal {
    fn new(reason: RefusalReason, message: String) -> Self {
        Self { reason, message, next_available_time: None }
    }

    pub(crate) fn before_subscription(window_end: Timestamp, start: Timestamp) -> Self {
        Self::new(
            RefusalReason::BeforeSubscription,
            format!(
                "the window ended at {window_end}, at or before the account's start at {start}; usage before the \
                 start cannot be charged"
            ),
        )
    }

    pub(crate) fn too_early(window_end: Timestamp, arrival: Timestamp, accept_ahead_seconds: u32) -> Self {
        Self::new(
            RefusalReason::TooEarly,
            format!(
                "the window ends at {window_end}, more than {accept_ahead_seconds} seconds after the report was created \
                 at {arrival}; check the clock and the time zone of the reporter, and send the report again under a new \
                 name when its window is over"
            ),
        )
    }

    pub(crate) fn too_late(window_start: Timestamp, accept_for_seconds: u32) -> Self {
        let until = crate::period::seconds_after(window_start, i64::from(accept_for_seconds));
        Self::new(
            RefusalReason::TooLate,
            format!(
                "usage from {window_start} was accepted until {until}; send reports sooner, or ask for a \
                 CreditAdjustment"
            ),
        )
    }

    pub(crate) fn duplicate_window(source: &str, charged: Window) -> Self {
        let Window { start_time, end_time } = charged;
        Self::new(
            RefusalReason::DuplicateWindow,
            format!(
                "usage of source '{source}' from {start_time} to {end_time} was charged already; windows of one \
                 source must not overlap: report the rest in a window that touches it, or use another source"
            ),
        )
    }

    pub(crate) fn window_forgotten(until: Timestamp) -> Self {
        Self::new(
            RefusalReason::DuplicateWindow,
            format!(
                "the account keeps no windows from before {until}, so usage from before it counts as charged already: \
                 send reports sooner"
            ),
        )
    }

    pub(crate) fn gap_closed(source: &str, gap: Window) -> Self {
        let Window { start_time, end_time } = gap;
        Self::new(
            RefusalReason::GapClosed,
            format!(
                "the gap of source '{source}' from {start_time} to {end_time} was closed, since there were too many \
                 gaps; usage in it was not charged: report it with another source"
            ),
        )
    }

    pub(crate) fn gap_forgotten(source: &str, until: Timestamp) -> Self {
        Self::new(
            RefusalReason::GapClosed,
            format!(
                "usage of source '{source}' before {until} may have been charged: the gaps there were closed, and \
                 which they were is no longer known; look for its receipt, and report it with another source if there \
                 is none"
            ),
        )
    }

    pub(crate) fn too_many_sources(limit: usize, accept_for_seconds: u32) -> Self {
        Self::new(
            RefusalReason::TooManySources,
            format!(
                "{limit} of {limit} sources of this account had a report charged in the last {accept_for_seconds} \
                 seconds; give `spec.source` a name that stays the same, such as the gateway's instead of its pod's, \
                 and create the report again"
            ),
        )
    }

    pub(crate) fn unknown_rate(line: usize, node_type: &str, operation: &str, catalog: &Catalog) -> Self {
        let known = catalog.rates.iter().map(|rate| format!("{}/{}", rate.node_type, rate.operation));
        let known = listed(known, RATES_LISTED);
        Self::new(
            RefusalReason::UnknownRate,
            format!(
                "`spec.usage[{line}]`: the catalog has no rate for '{node_type}/{operation}'; must be one of {known}. \
                 Nothing of this report was charged"
            ),
        )
    }

    pub(crate) fn too_large(limit: Credits) -> Self {
        Self::new(
            RefusalReason::TooLarge,
            format!(
                "the report is worth more than {limit} credits; must be less than or equal to that: split it into \
                 shorter windows"
            ),
        )
    }

    /// Returns the refusal with at most `characters` of its message, for the ledger.
    #[must_use]
    pub(crate) fn cut_to(mut self, characters: usize) -> Self {
        if let Some((end, _)) = self.message.char_indices().nth(characters) {
            self.message.truncate(end);
            self.message.push('…');
        }
        self
    }

    pub(crate) fn beyond_lifetime(what: &str, limit: Credits) -> Self {
        Self::new(
            RefusalReason::TooLarge,
            format!(
                "{what} would exceed {limit} credits; must be less than or equal to that: state a smaller amount under \
                 a new name"
            ),
        )
    }

    pub(crate) fn beyond_period(node_type: &str, operation: &str, period_end: Option<Timestamp>) -> Self {
        let when = period_end
            .map_or_else(|| "in a later period".to_owned(), |end| format!("after the period ends at {end}"));
        Self::new(
            RefusalReason::TooLarge,
            format!(
                "the period's usage of '{node_type}/{operation}' would exceed 10^18; must be less than or equal to \
                 that: state smaller quantities, or create the report again {when}"
            ),
        )
    }

    /// The message has no date, because the operator refuses a pending pack when it first sees the catalog
    /// without the pack.
    pub(crate) fn unknown_pack(pack: &str, catalog: &Catalog) -> Self {
        let known = listed(catalog.packs.iter().map(|pack| pack.name.clone()), NAMES_LISTED);
        Self::new(
            RefusalReason::UnknownPack,
            format!("the catalog had no pack '{pack}', only {known}; use a new name to buy one of them"),
        )
    }

    /// `cause` names the state in force, such as `under plan 'individual', which does not allow packs`.
    pub(crate) fn plan_not_eligible(time: Timestamp, cause: &str, catalog: &Catalog) -> Self {
        let eligible = catalog
            .plans
            .iter()
            .filter(|plan| plan.pack_purchases == crate::catalog::PackPurchases::Allowed)
            .map(|plan| plan.name.clone());
        let eligible = listed(eligible, NAMES_LISTED);
        Self::new(
            RefusalReason::PlanNotEligible,
            format!(
                "refused on {} {cause}; this name stays refused: use a new name to buy under a paid period of {}",
                utc_date(time),
                if eligible.is_empty() { "a plan that allows packs".to_owned() } else { eligible }
            ),
        )
    }

    pub(crate) fn pack_limit_reached(used: u32, max: u32, kind: &str, next: Timestamp) -> Self {
        Self {
            next_available_time: Some(next),
            ..Self::new(
                RefusalReason::PackLimitReached,
                format!(
                    "used {used} of {max} {kind} of this month; the next is allowed from {next}: create a CreditPack \
                     with another name then"
                ),
            )
        }
    }

    pub(crate) fn name_already_used(name: &str, used_for: &str) -> Self {
        Self::new(
            RefusalReason::NameAlreadyUsed,
            format!("order '{name}' was {used_for}; each name is valid for one order: use a new name"),
        )
    }

    pub(crate) fn subscription_not_found(subscription: &str, hours: i64) -> Self {
        Self::new(
            RefusalReason::SubscriptionNotFound,
            format!(
                "no account of Subscription '{subscription}' began within {hours} hours; create the Subscription \
                 first, then this under a new name"
            ),
        )
    }

    pub(crate) fn payment_cancelled(invoice: &str) -> Self {
        Self::new(
            RefusalReason::PaymentCancelled,
            format!("the payment of invoice {invoice} was cancelled; use a new name to buy again"),
        )
    }

    pub(crate) fn payment_failed(invoice: &str) -> Self {
        Self::new(
            RefusalReason::PaymentFailed,
            format!("the payment of invoice {invoice} failed; use a new name to buy again"),
        )
    }

    pub(crate) fn payment_expired(invoice: &str, due: Timestamp) -> Self {
        Self::new(
            RefusalReason::PaymentExpired,
            format!("invoice {invoice} was not paid by {due}; use a new name to buy again"),
        )
    }

    pub(crate) fn too_many_grants(grants: usize, orders: usize, limit: usize) -> Self {
        Self::new(
            RefusalReason::LedgerFull,
            format!(
                "the account has {grants} open grants and {orders} orders that wait or are not paid, and may have {limit} \
                 of them; usage frees room, and so does a grant that expires or an order whose payment is cancelled or \
                 overdue: create it again under a new name then"
            ),
        )
    }

    pub(crate) fn too_many_orders(bytes: usize, limit: usize) -> Self {
        Self::new(
            RefusalReason::LedgerFull,
            format!(
                "the account's packs and adjustments of the last 24 months take {bytes} of {limit} bytes; each that \
                 becomes older frees room: create it again under a new name then, or give more credits with each"
            ),
        )
    }

    pub(crate) fn too_many_refunds(invoice: &str, limit: usize) -> Self {
        Self::new(
            RefusalReason::LedgerFull,
            format!(
                "invoice {invoice} is void, and {limit} void invoices of this account were paid already whose money is \
                 to be returned; return the money of this one, too, and report what was returned with Payments of \
                 state 'Refunded'"
            ),
        )
    }

    /// `open` has the numbers of the open invoices.
    pub(crate) fn unknown_invoice(invoice: &str, open: &[String]) -> Self {
        let remedy = match shown_numbers(open) {
            Some(shown) => format!("open invoices are {shown}"),
            None => "no invoice is open, and those that are closed are in `status.invoices`".to_owned(),
        };
        Self::new(
            RefusalReason::UnknownInvoice,
            format!(
                "this account has no invoice '{invoice}'; {remedy}: report the payment again under a new name, with \
                 the number of its invoice"
            ),
        )
    }

    pub(crate) fn invoice_of_no_account(invoice: &str, subscription: &str, hours: i64) -> Self {
        Self::new(
            RefusalReason::UnknownInvoice,
            format!(
                "no account of Subscription '{subscription}' began within {hours} hours, so there is no invoice \
                 '{invoice}'; correct `spec.subscriptionRef.name` and report the payment under a new name"
            ),
        )
    }

    pub(crate) fn wrong_amount(invoice: &str, amount: Credits, currency: &str) -> Self {
        Self::new(
            RefusalReason::WrongAmount,
            format!(
                "invoice {invoice} asks for {amount} {currency}; `spec.amount` must be '{amount}' and `spec.currency` \
                 '{currency}'"
            ),
        )
    }

    pub(crate) fn already_settled(invoice: &str) -> Self {
        Self::new(
            RefusalReason::AlreadySettled,
            format!("invoice {invoice} was settled before; nothing more is to be paid for it"),
        )
    }

    pub(crate) fn not_settled(invoice: &str, state: &str) -> Self {
        Self::new(
            RefusalReason::NotSettled,
            format!("invoice {invoice} is {state}; only what is Settled or RefundDue can be refunded"),
        )
    }

    pub(crate) fn already_expired(expiration: Timestamp, arrival: Timestamp) -> Self {
        Self::new(
            RefusalReason::AlreadyExpired,
            format!(
                "`spec.expirationTime` {expiration} is at or before the creation at {arrival}; must be later: create \
                 it again under a new name"
            ),
        )
    }
}

/// Most characters of invoice numbers in a message, because the ledger keeps every refusal.
const SHOWN_NUMBERS_LENGTH: usize = 300;

/// Returns the first of `numbers` that fit into a message, and the number of the others.
fn shown_numbers(numbers: &[String]) -> Option<String> {
    let mut length = 0_usize;
    let fits = |number: &&String| {
        length = length.saturating_add(number.len());
        length <= SHOWN_NUMBERS_LENGTH
    };
    let shown: Vec<&str> = numbers.iter().take_while(fits).map(String::as_str).collect();
    let more = match numbers.len().saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!shown.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
}
