//! The credits of an account as the page shows them: from the ledger, or else from the status.

use flashgate_ledger::Credits;
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::grant::GrantSource;
use flashgate_ledger::ledger::Ledger;
use jiff::Timestamp;

use crate::account::Account;

/// Credits left, by their source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Credits that can be used, minus debt.
    pub balance: Credits,
    /// Credits of plans.
    pub plan: Credits,
    /// Credits of packs.
    pub packs: Credits,
    /// Credits of adjustments.
    pub adjustments: Credits,
    /// Consumption that exceeded the credits.
    pub debt: Credits,
    /// Expired credits that can still pay for late reports.
    pub settling: Credits,
}

impl Figures {
    /// Returns the credits of an account. The ledger is newer than the status.
    pub(crate) fn of(account: &Account) -> Self {
        let known = account.book.known();
        known.and_then(|book| Self::of_ledger(&book.ledger)).unwrap_or_else(|| Self::of_status(account))
    }

    fn of_ledger(ledger: &Ledger) -> Option<Self> {
        let left = |is_of: fn(&GrantSource) -> bool| {
            let grants = ledger.grants.iter().filter(|grant| grant.is_current() && is_of(&grant.source));
            Credits::sum(grants.map(|grant| grant.remaining)).ok()
        };
        Some(Self {
            balance: ledger.balance().ok()?,
            plan: left(|source| matches!(source, GrantSource::Plan { .. }))?,
            packs: left(|source| matches!(source, GrantSource::Pack { .. }))?,
            adjustments: left(|source| matches!(source, GrantSource::Adjustment { .. }))?,
            debt: ledger.debt,
            settling: ledger.settling().ok()?,
        })
    }

    fn of_status(account: &Account) -> Self {
        let Some(shown) = account.status().credits else { return Self::default() };
        let parsed = |amount: &flashgate_api::Amount| amount.as_str().parse().unwrap_or_default();
        Self {
            balance: parsed(&shown.balance),
            plan: parsed(&shown.plan),
            packs: parsed(&shown.packs),
            adjustments: parsed(&shown.adjustments),
            debt: parsed(&shown.debt),
            settling: parsed(&shown.settling),
        }
    }
}

/// The packs of the current month, of those allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackCount {
    /// Packs bought, including those that await payment.
    pub used: u32,
    /// Packs allowed.
    pub limit: u32,
    /// Start of the next month, which is counted from the start of the account.
    pub month_end: Timestamp,
    /// Time from which the next pack can be bought. Absent if one can be bought now.
    pub next_time: Option<Timestamp>,
}

impl PackCount {
    /// Returns the packs of an account's current month. They are unknown before the operator has seen the account.
    pub(crate) fn of(catalog: &Catalog, account: &Account) -> Option<Self> {
        if let Some(book) = account.book.known() {
            let allowance = book.ledger.pack_allowance(catalog.policies.pack_limit, None, account.now);
            return Some(Self {
                used: allowance.used,
                limit: allowance.max,
                month_end: allowance.month.end_time,
                next_time: allowance.next_available_time(),
            });
        }
        let shown = account.status().packs?;
        Some(Self {
            used: u32::try_from(shown.used).unwrap_or_default(),
            limit: u32::try_from(shown.limit).unwrap_or_default(),
            month_end: shown.window_end_time,
            next_time: shown.next_available_time.filter(|next| *next > account.now),
        })
    }
}
