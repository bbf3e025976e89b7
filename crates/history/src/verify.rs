//! Checks the chain of hashes and the sums of every account.

use std::collections::HashMap;

use flashgate_ledger::Credits;
use flashgate_ledger::ledger::Totals;
use futures::TryStreamExt;

use crate::chain;
use crate::error::StoreError;
use crate::read::{BranchUsage, Filter, Pages, Row, RowContent, StoredAccount};
use crate::record::{AccountId, EntryRecord, Gap, Opening};
use crate::store::Store;
use crate::totals;

/// Problems of one account that a report lists.
const PROBLEMS_LISTED: usize = 100;

/// The result for one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountReport {
    /// The account.
    pub account: AccountId,
    /// Entries that were checked.
    pub entries: u64,
    /// Number of the last entry. 0 if there is none.
    pub number: i64,
    /// Hash of the last entry. Empty if there is none.
    pub hash: String,
    /// Balance after the last entry.
    pub balance: Credits,
    /// Sums since the start of the account.
    pub totals: Totals,
    /// Number of the entry at which the history begins, if the account is older: its `Opening`, or the first row that
    /// retention kept.
    pub begins_after: Option<i64>,
    /// Entries that are lost, and recorded as such.
    pub gaps: Vec<Gap>,
    /// Contradictions, at most 100.
    pub problems: Vec<Problem>,
}

/// A contradiction in the history of an account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The row, or a row before it, was changed.
    #[error("entry {number} does not match its hash: the entry or one before it was changed")]
    Hash {
        /// Number of the entry.
        number: i64,
    },
    /// A balance is wrong.
    #[error(
        "entry {number} has balance {balance}, but the balance before it and its credits make {expected}"
    )]
    Balance {
        /// Number of the entry.
        number: i64,
        /// Recorded balance.
        balance: Credits,
        /// Balance before it plus its credits.
        expected: Credits,
    },
    /// Rows of usage do not add up.
    #[error("entry {number} charged {charged} credits, but its usage adds up to {sum}")]
    Usage {
        /// Number of the entry.
        number: i64,
        /// Credits that the entry charged.
        charged: Credits,
        /// Sum of its usage.
        sum: Credits,
    },
    /// Rows are missing, and no gap is recorded.
    #[error("{0} are missing without a gap row")]
    Missing(Gap),
    /// Two rows have the same number.
    #[error("entry {number} is stored twice")]
    Twice {
        /// Number of the entry.
        number: i64,
    },
    /// A sum exceeds the exact range.
    #[error("a sum exceeds the exact range at entry {number}")]
    Overflow {
        /// Number of the entry.
        number: i64,
    },
}

/// Checks every account of a store.
///
/// # Errors
/// Returns an error if the store is not available, or if a stored value cannot be read. Contradictions are part of the
/// reports.
pub async fn verify(store: &Store) -> Result<Vec<AccountReport>, StoreError> {
    let mut accounts = std::pin::pin!(store.accounts(None));
    let mut reports = Vec::new();
    while let Some(account) = accounts.try_next().await? {
        reports.push(verify_account(store, &account).await?);
    }
    Ok(reports)
}

/// Checks one account: the hash of each entry, each balance, and the usage of each charge.
///
/// # Errors
/// As [`verify`].
pub async fn verify_account(store: &Store, account: &StoredAccount) -> Result<AccountReport, StoreError> {
    let filter = Filter::default();
    let mut pages = Pages::new(store, account, &filter);
    let mut walk = Walk::new(account.id.clone());
    while let Some(page) = pages.next().await? {
        let usage = sums_of_usage(store.usage_of(account, &page).await?);
        for row in &page {
            walk.step(row, &usage);
        }
    }
    Ok(walk.report)
}

/// Credits of the usage of each entry, by branch and number. `None` if the sum exceeds the exact range.
type UsageSums = HashMap<(String, i64), Option<Credits>>;

fn sums_of_usage(usage: Vec<BranchUsage>) -> UsageSums {
    let mut sums = UsageSums::new();
    for (branch, usage) in usage {
        let sum = sums.entry((branch, usage.entry)).or_insert(Some(Credits::ZERO));
        *sum = sum.and_then(|sum| sum.checked_add(usage.credits).ok());
    }
    sums
}

/// A walk over the rows of an account.
pub(crate) struct Walk {
    pub report: AccountReport,
    subscription: String,
    has_rows: bool,
}

impl Walk {
    pub fn new(account: AccountId) -> Self {
        let subscription = account.subscription();
        let report = AccountReport {
            account,
            entries: 0,
            number: 0,
            hash: String::new(),
            balance: Credits::ZERO,
            totals: Totals::default(),
            begins_after: None,
            gaps: Vec::new(),
            problems: Vec::new(),
        };
        Self { report, subscription, has_rows: false }
    }

    fn problem(&mut self, problem: Problem) {
        if self.report.problems.len() < PROBLEMS_LISTED {
            self.report.problems.push(problem);
        }
    }

    /// Checks the next row.
    fn step(&mut self, row: &Row, usage: &UsageSums) {
        match &row.content {
            RowContent::Opening(opening) => {
                self.report.begins_after = Some(opening.number);
                self.restart(opening);
            }
            RowContent::Gap(gap, opening) => {
                self.report.gaps.push(*gap);
                self.restart(opening);
            }
            RowContent::Entry { entry, totals } => {
                self.entry(entry, totals.as_ref());
                if let Some(sum) = usage.get(&(row.branch.clone(), entry.number)) {
                    self.usage(entry, *sum);
                }
            }
        }
        self.has_rows = true;
    }

    /// Continues from the state of an opening.
    fn restart(&mut self, opening: &Opening) {
        self.report.number = opening.number;
        self.report.hash.clone_from(&opening.hash);
        self.report.balance = opening.balance;
        self.report.totals = opening.totals;
    }

    fn entry(&mut self, entry: &EntryRecord, totals: Option<&Totals>) {
        self.report.entries = self.report.entries.saturating_add(1);
        let expected = self.report.number.saturating_add(1);
        if entry.number == expected {
            self.check(entry, totals);
        } else if !self.has_rows && totals.is_some() {
            // Retention kept this row as the first one.
            self.report.begins_after = Some(entry.number);
        } else if entry.number < expected {
            self.problem(Problem::Twice { number: entry.number });
        } else {
            self.problem(Problem::Missing(Gap { first: expected, last: entry.number.saturating_sub(1) }));
        }
        self.advance(entry, totals);
    }

    /// Checks an entry that follows the last one.
    fn check(&mut self, entry: &EntryRecord, totals: Option<&Totals>) {
        let number = entry.number;
        if chain::hash(&self.report.hash, &self.subscription, entry) != entry.hash {
            self.problem(Problem::Hash { number });
        }
        let expected = self.report.balance.checked_add(entry.credits);
        match expected {
            // The content that an administrator accepted can have any balance.
            Ok(expected) if expected == entry.balance || totals.is_some() => {}
            Ok(expected) => self.problem(Problem::Balance { number, balance: entry.balance, expected }),
            Err(_) => self.problem(Problem::Overflow { number }),
        }
    }

    /// Moves on to the state after an entry.
    fn advance(&mut self, entry: &EntryRecord, totals: Option<&Totals>) {
        let sums = totals.map_or_else(|| totals::after(self.report.totals, entry), |totals| Ok(*totals));
        match sums {
            Ok(totals) => self.report.totals = totals,
            Err(_) => self.problem(Problem::Overflow { number: entry.number }),
        }
        self.report.number = entry.number;
        self.report.hash.clone_from(&entry.hash);
        self.report.balance = entry.balance;
    }

    fn usage(&mut self, entry: &EntryRecord, sum: Option<Credits>) {
        let (number, charged) = (entry.number, totals::amount(entry));
        match sum {
            Some(sum) if sum == charged => {}
            Some(sum) => self.problem(Problem::Usage { number, charged, sum }),
            None => self.problem(Problem::Overflow { number }),
        }
    }
}
