//! The rows of one account.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Row;

/// The rows of one account, by name. A clone shares everything with its original until one of both changes.
pub struct Rows<R: Row> {
    rows: Arc<BTreeMap<String, CachedRow<R>>>,
    /// The index over all rows.
    pub index: R::Index,
}

/// An index over all rows of an account.
pub trait Index<R>: Clone + Default + Send + Sync {
    /// Adds a row.
    fn insert(&mut self, row: &R);

    /// Removes a row.
    fn remove(&mut self, row: &R);
}

impl<R> Index<R> for () {
    fn insert(&mut self, _: &R) {}

    fn remove(&mut self, _: &R) {}
}

pub(super) struct CachedRow<R> {
    pub(super) row: Arc<R>,
    /// Whether the row was delivered since the last relist of its namespace began. Objects that a relist does
    /// not include are gone.
    pub(super) is_listed: bool,
    /// Whether the server's data went back since the row was delivered. The next delivery replaces it, even one
    /// with a lower version.
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

    /// Returns the number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Drops the index and every row whose name is not in `names`.
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

    /// Returns the cached row called `name`, to be marked.
    pub(super) fn mark(&mut self, name: &str) -> Option<&mut CachedRow<R>> {
        Arc::make_mut(&mut self.rows).get_mut(name)
    }

    /// Returns all cached rows, to be marked.
    pub(super) fn mark_all(&mut self) -> impl Iterator<Item = &mut CachedRow<R>> {
        Arc::make_mut(&mut self.rows).values_mut()
    }

    /// Drops the rows that the relist did not include.
    pub(super) fn drop_unlisted(&mut self) {
        let unlisted = self.rows.iter().filter(|(_, held)| !held.is_listed);
        let unlisted: Vec<String> = unlisted.map(|(name, _)| name.clone()).collect();
        for name in unlisted {
            self.remove(&name);
        }
    }
}
