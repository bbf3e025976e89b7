//! The identity of an account.

use std::fmt;

/// The identity of an account: the namespace and name of its Subscription.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    /// Namespace.
    pub namespace: String,
    /// Name of the Subscription.
    pub name: String,
}

impl fmt::Display for AccountKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}
