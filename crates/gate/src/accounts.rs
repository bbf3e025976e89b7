//! The accounts that requests and watches share.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::account::Account;
use crate::key_hash::KeyHash;
use crate::table::{Found, Table};

/// Slots that one lock covers at the begin and at the end of a list. Requests are answered in between.
const SLOTS_PER_LOCK: usize = 4_096;

/// All accounts. A request takes one read lock.
#[derive(Debug, Default)]
pub struct Accounts {
    table: RwLock<Table>,
}

impl Accounts {
    /// Returns the account with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Found> {
        self.read().find(name)
    }

    /// Returns the account with this API key, unless several have it.
    #[must_use]
    pub fn find_by_key(&self, hash: KeyHash) -> Option<Found> {
        self.read().find_by_key(hash)
    }

    /// Returns the number of accounts, and how many of them are closed.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let table = self.read();
        (table.len(), table.closed())
    }

    /// Stores an account.
    pub fn put(&self, account: &Account) {
        let sharing = self.write().put(account);
        if !sharing.is_empty() {
            tracing::warn!(
                account = account.name,
                others = sharing.join(", "),
                "several accounts have the same API key: requests with it count as unknown until one label remains"
            );
        }
    }

    /// Removes an account.
    pub fn remove(&self, name: &str) {
        self.write().remove(name);
    }

    /// Begins a list of the accounts of a namespace, or of all. The known ones stay in use.
    pub fn begin_list(&self, namespace: Option<&str>) {
        self.in_parts(|table, range| table.begin_list(range, namespace));
    }

    /// Ends the list: removes the accounts that were not stored since it began. Returns their number.
    pub fn end_list(&self, namespace: Option<&str>) -> usize {
        let mut removed = 0;
        self.in_parts(|table, range| removed += table.end_list(range, namespace));
        removed
    }

    fn in_parts(&self, mut change: impl FnMut(&mut Table, std::ops::Range<usize>)) {
        let slots = self.read().slots();
        for begin in (0..slots).step_by(SLOTS_PER_LOCK) {
            change(&mut self.write(), begin..slots.min(begin + SLOTS_PER_LOCK));
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::account;

    #[test]
    fn a_list_covers_all_parts_of_the_table() {
        let accounts = Accounts::default();
        let most = 2 * SLOTS_PER_LOCK + 1;
        (0..most).for_each(|number| accounts.put(&account(&format!("a/{number}"), number % 2 == 0, &[])));
        assert_eq!(accounts.counts(), (most, most / 2));
        accounts.begin_list(None);
        for number in [0, SLOTS_PER_LOCK] {
            accounts.put(&account(&format!("a/{number}"), true, &[]));
        }
        assert_eq!(accounts.end_list(None), most - 2);
        assert_eq!(accounts.counts(), (2, 0));
    }
}
