//! The rows of one account.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Row;

/// The rows of one account, by name. A clone shares everything with its original until one of both changes.
pub struct Rows<R: Row> {
    rows: Arc<BTreeMap<String, CachedRow<R>>>,
    /// What is kept of all rows together.
    pub index: R::Index,
}

/// What is kept of all rows of an account together.
pub trait Index<R>: Clone + Default + Send + Sync {
    /// Takes up a row.
    fn insert(&mut self, row: &R);

    /// Drops a row.
    fn remove(&mut self, row: &R);
}

impl<R> Index<R> for () {
    fn insert(&mut self, _: &R) {}

    fn remove(&mut self, _: &R) {}
}

pub(super) struct CachedRow<R> {
    pub(super) row: Arc<R>,
    /// Whether it came since the last relist of its namespace began: what a relist does not bring again is gone.
    pub(super) is_listed: bool,
    /// Whether the server's data went back since it came: what comes now replaces it, whatever the versions say.
    pub(super) is_outdated: bool,
}

impl<R> Clone for CachedRow<R> {
    fn clone(&self) -> Self {
        Self { row: Arc::clone(&self.row), ..*self }
    }
}

impl<R: Row> Clone for Rows<R> {
    fn clone(&self) -> Self {
        Self { rows: Arc::clone(&self.rows), index: self.index.clone() }
    }
}

impl<R: Row> Default for Rows<R> {
    fn default() -> Self {
        Self { rows: Arc::default(), index: R::Index::default() }
    }
}

impl<R: Row> Rows<R> {
    /// Returns the row called `name`, if there is one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<R>> {
        self.rows.get(name).map(|held| &held.row)
    }

    /// Returns the rows, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<R>> {
        self.rows.values().map(|held| &held.row)
    }

    /// Returns how many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Drops every row but those called one of `names`, and what is kept of all rows together.
    pub fn keep_only<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        let kept = names.filter_map(|name| Some((name.to_owned(), self.rows.get(name)?.clone())));
        *self = Self { rows: Arc::new(kept.collect()), index: R::Index::default() };
    }

    pub(super) fn held(&self) -> impl Iterator<Item = &CachedRow<R>> {
        self.rows.values()
    }

    pub(super) fn insert(&mut self, name: &str, held: CachedRow<R>) {
        self.remove(name);
        self.index.insert(&held.row);
        Arc::make_mut(&mut self.rows).insert(name.to_owned(), held);
    }

    pub(super) fn remove(&mut self, name: &str) {
        if self.rows.contains_key(name)
            && let Some(held) = Arc::make_mut(&mut self.rows).remove(name)
        {
            self.index.remove(&held.row);
        }
    }

    /// Returns what is held as `name`, to be marked.
    pub(super) fn mark(&mut self, name: &str) -> Option<&mut CachedRow<R>> {
        Arc::make_mut(&mut self.rows).get_mut(name)
    }

    /// Returns everything that is held, to be marked.
    pub(super) fn mark_all(&mut self) -> impl Iterator<Item = &mut CachedRow<R>> {
        Arc::make_mut(&mut self.rows).values_mut()
    }

    /// Drops what was not listed.
    pub(super) fn drop_unlisted(&mut self) {
        let unlisted = self.rows.iter().filter(|(_, held)| !held.is_listed);
        let unlisted: Vec<String> = unlisted.map(|(name, _)| name.clone()).collect();
        for name in unlisted {
            self.remove(&name);
        }
    }
}
