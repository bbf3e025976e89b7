//! Metered quantities in the Kubernetes grammar, exact (Law 2).

/// An exact, non-negative quantity in units of 10^-18.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(u128);
