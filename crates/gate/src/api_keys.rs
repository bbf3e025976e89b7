//! The API keys of all accounts.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use crate::key_hash::KeyHash;

/// The API keys of one account: the number of the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyList(u32);

impl KeyList {
    /// No keys.
    pub const EMPTY: Self = Self(u32::MAX);
}

/// An API key of an account.
#[derive(Debug)]
struct ApiKey {
    hash: KeyHash,
    account: u32,
    next: KeyList,
}

/// The API keys of all accounts, by their hashes. Accounts are numbers.
#[derive(Debug, Default)]
pub struct ApiKeys {
    keys: Vec<ApiKey>,
    free: Vec<u32>,
    by_hash: HashTable<u32>,
    hasher: RandomState,
}

impl ApiKeys {
    /// Returns the accounts that have a key.
    pub fn accounts(&self, hash: KeyHash) -> impl Iterator<Item = u32> {
        let found = self.by_hash.iter_hash(self.hasher.hash_one(hash)).map(|id| &self.keys[*id as usize]);
        found.filter(move |key| key.hash == hash).map(|key| key.account)
    }

    /// Returns the hashes of a list.
    pub fn hashes(&self, list: KeyList) -> impl Iterator<Item = KeyHash> {
        let keys =
            std::iter::successors(self.keys.get(list.0 as usize), |key| self.keys.get(key.next.0 as usize));
        keys.map(|key| key.hash)
    }

    /// Adds keys of an account. Returns their list.
    pub fn add(&mut self, account: u32, hashes: &[KeyHash]) -> KeyList {
        hashes.iter().rev().fold(KeyList::EMPTY, |next, hash| {
            let key = ApiKey { hash: *hash, account, next };
            let id = if let Some(id) = self.free.pop() {
                self.keys[id as usize] = key;
                id
            } else {
                // The numbers of four billion keys would take more memory than there is.
                let id = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
                self.keys.push(key);
                id
            };
            let (keys, random) = (&self.keys, &self.hasher);
            let hash_again = |id: &u32| random.hash_one(keys[*id as usize].hash);
            self.by_hash.insert_unique(random.hash_one(hash), id, hash_again);
            KeyList(id)
        })
    }

    /// Removes the keys of a list.
    pub fn remove(&mut self, mut list: KeyList) {
        while let Some(key) = self.keys.get(list.0 as usize) {
            if let Ok(entry) = self.by_hash.find_entry(self.hasher.hash_one(key.hash), |id| *id == list.0) {
                entry.remove();
            }
            self.free.push(list.0);
            list = key.next;
        }
    }

    /// Returns the bytes in memory.
    #[cfg(test)]
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.keys.len() * size_of::<ApiKey>() + self.by_hash.allocation_size()
    }

    /// Returns the number of keys.
    #[cfg(test)]
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_hash.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(keys: &[&str]) -> Vec<KeyHash> {
        keys.iter().map(|key| KeyHash::of_key(key)).collect()
    }

    fn accounts(keys: &ApiKeys, key: &str) -> Vec<u32> {
        let mut accounts: Vec<u32> = keys.accounts(KeyHash::of_key(key)).collect();
        accounts.sort_unstable();
        accounts
    }

    #[test]
    fn a_list_has_its_keys_in_order_until_it_is_removed() {
        let mut keys = ApiKeys::default();
        assert_eq!(keys.add(7, &[]), KeyList::EMPTY);
        let first = keys.add(7, &hashes(&["a", "b", "c"]));
        let second = keys.add(8, &hashes(&["b"]));
        assert_eq!(keys.hashes(first).collect::<Vec<_>>(), hashes(&["a", "b", "c"]));
        assert_eq!(keys.hashes(second).collect::<Vec<_>>(), hashes(&["b"]));
        assert_eq!(keys.hashes(KeyList::EMPTY).count(), 0);
        assert_eq!(["a", "b", "d"].map(|key| accounts(&keys, key)), [vec![7], vec![7, 8], vec![]]);
        keys.remove(first);
        assert_eq!(["a", "b", "c"].map(|key| accounts(&keys, key)), [vec![], vec![8], vec![]]);
        let third = keys.add(9, &hashes(&["c", "d"]));
        assert_eq!(keys.hashes(third).collect::<Vec<_>>(), hashes(&["c", "d"]));
        assert_eq!(keys.hashes(second).collect::<Vec<_>>(), hashes(&["b"]));
        assert_eq!((keys.keys.len(), keys.count()), (4, 3));
    }
}
