//! Copy on write: a ledger and its successor share the parts that a decision does not change.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A value that its clones share. A clone that is written to gets its own copy first.
///
/// ```
/// use flashgate_ledger::shared::Shared;
/// let before = Shared::from(vec![1, 2]);
/// let mut after = before.clone();
/// after.push(3);
/// assert_eq!((before.len(), after.len()), (2, 3));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// Returns an iterator over the elements.
    #[must_use]
    pub fn iter<'a>(&'a self) -> <&'a T as IntoIterator>::IntoIter
    where
        &'a T: IntoIterator,
    {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Shared<T>
where
    &'a T: IntoIterator,
{
    type Item = <&'a T as IntoIterator>::Item;
    type IntoIter = <&'a T as IntoIterator>::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    /// Returns the value for writing. Copies it first if another clone exists.
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}
