//! The table of all accounts: compact, because there can be hundreds of thousands.
//!
//! The state of an account has 64 bytes, and its name is stored once. Indexes hold only its number.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::Arc;

use flashgate_ledger::Credits;
use hashbrown::HashTable;

use crate::account::Account;
use crate::api_keys::{ApiKeys, KeyList};
use crate::compact_name::CompactName;
use crate::key_hash::KeyHash;
use crate::names::{Name, NameId, Names};

#[cfg(test)]
mod tests;

/// Value of a slot without a balance. It is beyond every amount.
const NO_BALANCE: i128 = i128::MIN;

/// Value of a slot without a time of renewal. Times are from 1970 to 2106.
const NO_RENEWAL: u32 = 0;

/// An account that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `namespace/name`.
    pub name: String,
    /// True if it may spend.
    pub is_open: bool,
    /// Why. Absent only if there are tens of thousands of reasons.
    pub reason: Option<Arc<Name>>,
    /// True if few credits are left.
    pub is_low: bool,
    /// Credits that can be used.
    pub balance: Option<Credits>,
    /// Plan in force.
    pub plan: Option<Arc<Name>>,
    /// Second at which the next period begins, since 1970.
    pub renewal: Option<i64>,
}

/// The state of an account. A slot without a name is free. It fills one line of the processor's cache, because most requests
/// are about an account that is not in the cache.
#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    /// Balance in units of 10^-9, without the option's flag, which would need another line.
    balance: i128,
    name: CompactName,
    renewal: u32,
    keys: KeyList,
    plan: NameId,
    reason: NameId,
    is_open: bool,
    is_low: bool,
    /// Whether the current list has the account.
    is_listed: bool,
}

/// The names of the other accounts that have an API key of an account.
pub type Sharing = Vec<String>;

/// All accounts.
#[derive(Debug, Default)]
pub struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_name: HashTable<u32>,
    keys: ApiKeys,
    names: Names,
    hasher: RandomState,
    closed: usize,
}

impl Table {
    /// Returns the number of accounts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Returns true if there is no account.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of closed accounts.
    #[must_use]
    pub fn closed(&self) -> usize {
        self.closed
    }

    /// Returns the number of slots: those of accounts and free ones.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Returns the account with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Found> {
        self.id_of(name).map(|id| self.found(id, name))
    }

    /// Returns the account with this API key, unless several have it.
    #[must_use]
    pub fn find_by_key(&self, hash: KeyHash) -> Option<Found> {
        let mut accounts = self.keys.accounts(hash);
        let account = accounts.next()?;
        accounts.next().is_none().then(|| self.found(account, self.slots[index(account)].name.as_str()))
    }

    /// Stores an account. Returns the accounts with which it now shares an API key and did not before.
    pub fn put(&mut self, account: &Account) -> Sharing {
        let Some(id) = self.id_of(&account.name).or_else(|| self.add(&account.name)) else {
            return Sharing::new();
        };
        let plan = account.plan.as_deref().map_or(NameId::NONE, |plan| self.names.id_of(plan));
        let reason = self.names.id_of(&account.reason);
        let slot = &mut self.slots[index(id)];
        self.closed -= usize::from(!slot.is_open);
        self.closed += usize::from(!account.is_open);
        slot.balance = account.balance.map_or(NO_BALANCE, Credits::nanos);
        slot.renewal = account.renewal.and_then(|second| u32::try_from(second).ok()).unwrap_or(NO_RENEWAL);
        slot.plan = plan;
        slot.reason = reason;
        slot.is_open = account.is_open;
        slot.is_low = account.is_low;
        slot.is_listed = true;
        self.set_keys(id, &account.key_hashes)
    }

    /// Removes an account.
    pub fn remove(&mut self, name: &str) {
        if let Some(id) = self.id_of(name) {
            self.free_slot(id);
        }
    }

    /// Marks the accounts of a namespace, or of all, as not listed.
    pub fn begin_list(&mut self, range: Range<usize>, namespace: Option<&str>) {
        for slot in self.slots.get_mut(range).unwrap_or_default() {
            if is_in(slot.name.as_str(), namespace) {
                slot.is_listed = false;
            }
        }
    }

    /// Removes the accounts of a namespace, or of all, that the list does not have. Returns their number.
    pub fn end_list(&mut self, range: Range<usize>, namespace: Option<&str>) -> usize {
        let slots = self.slots.get(range.clone()).unwrap_or_default();
        let is_not_listed = |slot: &Slot| {
            !slot.name.as_bytes().is_empty() && !slot.is_listed && is_in(slot.name.as_str(), namespace)
        };
        let gone = range.zip(slots).filter(|(_, slot)| is_not_listed(slot)).map(|(at, _)| at);
        let gone: Vec<u32> = gone.filter_map(|at| u32::try_from(at).ok()).collect();
        for id in &gone {
            self.free_slot(*id);
        }
        gone.len()
    }

    fn id_of(&self, name: &str) -> Option<u32> {
        let has_name = |id: &u32| self.slots[index(*id)].name.as_bytes() == name.as_bytes();
        self.by_name.find(self.hasher.hash_one(name.as_bytes()), has_name).copied()
    }

    fn found(&self, id: u32, name: &str) -> Found {
        let slot = &self.slots[index(id)];
        Found {
            name: name.to_owned(),
            is_open: slot.is_open,
            reason: self.names.get(slot.reason),
            is_low: slot.is_low,
            balance: Credits::from_nanos(slot.balance).ok(),
            plan: self.names.get(slot.plan),
            renewal: (slot.renewal != NO_RENEWAL).then(|| slot.renewal.into()),
        }
    }

    /// Adds a slot for an account. It is open until its state is set, so that it does not count as closed.
    fn add(&mut self, name: &str) -> Option<u32> {
        let slot = Slot {
            balance: NO_BALANCE,
            renewal: NO_RENEWAL,
            name: CompactName::from(name),
            keys: KeyList::EMPTY,
            plan: NameId::NONE,
            reason: NameId::NONE,
            is_open: true,
            is_low: false,
            is_listed: true,
        };
        let id = if let Some(id) = self.free.pop() {
            self.slots[index(id)] = slot;
            id
        } else {
            let id = u32::try_from(self.slots.len()).ok()?;
            self.slots.push(slot);
            id
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        let hash_again = |id: &u32| hasher.hash_one(slots[index(*id)].name.as_bytes());
        self.by_name.insert_unique(hasher.hash_one(name.as_bytes()), id, hash_again);
        Some(id)
    }

    fn free_slot(&mut self, id: u32) {
        self.set_keys(id, &[]);
        let slot = &mut self.slots[index(id)];
        self.closed -= usize::from(!slot.is_open);
        // A free slot does not count as closed.
        slot.is_open = true;
        let name = std::mem::replace(&mut slot.name, CompactName::EMPTY);
        if let Ok(entry) =
            self.by_name.find_entry(self.hasher.hash_one(name.as_bytes()), |other| *other == id)
        {
            entry.remove();
        }
        self.free.push(id);
    }

    /// Sets the API keys of an account. The hashes are sorted. Returns the accounts that share a new one.
    fn set_keys(&mut self, id: u32, hashes: &[KeyHash]) -> Sharing {
        let list = self.slots[index(id)].keys;
        if self.keys.hashes(list).eq(hashes.iter().copied()) {
            return Sharing::new();
        }
        let before: Vec<KeyHash> = self.keys.hashes(list).collect();
        self.keys.remove(list);
        let added = hashes.iter().filter(|hash| before.binary_search(hash).is_err());
        let others = added.flat_map(|hash| self.keys.accounts(*hash));
        let mut sharing: Sharing =
            others.map(|other| self.slots[index(other)].name.as_str().to_owned()).collect();
        sharing.sort_unstable();
        sharing.dedup();
        self.slots[index(id)].keys = self.keys.add(id, hashes);
        sharing
    }
}

/// Returns whether an account belongs to a namespace, or to any if it is none.
fn is_in(name: &str, namespace: Option<&str>) -> bool {
    namespace.is_none_or(|namespace| name.split_once('/').is_some_and(|(of, _)| of == namespace))
}

fn index(id: u32) -> usize {
    id as usize
}
