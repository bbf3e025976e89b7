//! Objects of all kinds of this product, as one type.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use flashgate_api::fact::{FactObject, FactState as _, FactStatus as _};
use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription, UsageReport};
use flashgate_cluster::Kind;
use kube::Resource;
use kube::core::ObjectMeta;

/// The kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Subscription.
    Subscription,
    /// CreditLedger.
    CreditLedger,
    /// UsageReport.
    UsageReport,
    /// CreditPack.
    CreditPack,
    /// Payment.
    Payment,
    /// CreditAdjustment.
    CreditAdjustment,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Subscription,
        Self::CreditLedger,
        Self::UsageReport,
        Self::CreditPack,
        Self::Payment,
        Self::CreditAdjustment,
    ];

    /// Returns the kind of `K`.
    #[must_use]
    pub fn of<K: Kind>() -> Option<Self> {
        let kind = K::kind(&());
        Self::ALL.into_iter().find(|other| other.as_str() == kind)
    }

    /// Returns the name of the kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscription => "Subscription",
            Self::CreditLedger => "CreditLedger",
            Self::UsageReport => "UsageReport",
            Self::CreditPack => "CreditPack",
            Self::Payment => "Payment",
            Self::CreditAdjustment => "CreditAdjustment",
        }
    }
}

/// The kind, namespace and name of an object, without its UID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Kind.
    pub kind: ObjectKind,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// Returns the key of the object of `kind` called `namespace`/`name`.
    #[must_use]
    pub fn new(kind: ObjectKind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

/// An object of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// A Subscription.
    Subscription(Arc<Subscription>),
    /// A CreditLedger.
    CreditLedger(Arc<CreditLedger>),
    /// A UsageReport.
    UsageReport(Arc<UsageReport>),
    /// A CreditPack.
    CreditPack(Arc<CreditPack>),
    /// A Payment.
    Payment(Arc<Payment>),
    /// A CreditAdjustment.
    CreditAdjustment(Arc<CreditAdjustment>),
}

/// Evaluates one expression for an object of any kind.
macro_rules! with_object {
    ($object:expr, $inner:ident => $body:expr) => {
        match $object {
            Object::Subscription($inner) => $body,
            Object::CreditLedger($inner) => $body,
            Object::UsageReport($inner) => $body,
            Object::CreditPack($inner) => $body,
            Object::Payment($inner) => $body,
            Object::CreditAdjustment($inner) => $body,
        }
    };
}

macro_rules! from_object {
    ($kind:ident) => {
        impl From<$kind> for Object {
            fn from(object: $kind) -> Self {
                Self::$kind(Arc::new(object))
            }
        }
    };
}

from_object!(Subscription);
from_object!(CreditLedger);
from_object!(UsageReport);
from_object!(CreditPack);
from_object!(Payment);
from_object!(CreditAdjustment);

impl Object {
    /// Returns its kind.
    #[must_use]
    pub const fn kind(&self) -> ObjectKind {
        match self {
            Self::Subscription(_) => ObjectKind::Subscription,
            Self::CreditLedger(_) => ObjectKind::CreditLedger,
            Self::UsageReport(_) => ObjectKind::UsageReport,
            Self::CreditPack(_) => ObjectKind::CreditPack,
            Self::Payment(_) => ObjectKind::Payment,
            Self::CreditAdjustment(_) => ObjectKind::CreditAdjustment,
        }
    }

    /// Returns its metadata.
    #[must_use]
    pub fn metadata(&self) -> &ObjectMeta {
        with_object!(self, object => object.meta())
    }

    /// Returns its metadata for changes.
    pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
        with_object!(self, object => Arc::make_mut(object).meta_mut())
    }

    /// Returns its name.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        let metadata = self.metadata();
        ObjectKey {
            kind: self.kind(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }

    /// Returns its UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }

    /// Returns its `status.state`, if it has one.
    #[must_use]
    pub fn state(&self) -> Option<&'static str> {
        match self {
            Self::Subscription(_) | Self::CreditLedger(_) => None,
            Self::UsageReport(report) => state(report.as_ref()),
            Self::CreditPack(pack) => state(pack.as_ref()),
            Self::Payment(payment) => state(payment.as_ref()),
            Self::CreditAdjustment(adjustment) => state(adjustment.as_ref()),
        }
    }

    /// Returns true if the operator's watch of its kind selects it: a fact without a final verdict, or an
    /// object that is not a fact.
    #[must_use]
    pub fn is_selected(&self) -> bool {
        match self {
            Self::Subscription(_) | Self::CreditLedger(_) => true,
            Self::UsageReport(report) => report.is_pending(),
            Self::CreditPack(pack) => pack.is_pending(),
            Self::Payment(payment) => payment.is_pending(),
            Self::CreditAdjustment(adjustment) => adjustment.is_pending(),
        }
    }

    /// Returns true if the CEL rules allow the change of its state to that of `after`.
    pub(super) fn may_become(&self, after: &Self) -> bool {
        let (Some(before), Some(after)) = (self.state(), after.state()) else { return true };
        before == after
            || match self.kind() {
                ObjectKind::UsageReport => (before, after) == ("Rejected", "Charged"),
                ObjectKind::CreditPack => matches!(
                    (before, after),
                    ("AwaitingPayment", "Granted" | "Refused") | ("Granted", "Refunded")
                ),
                _ => false,
            }
    }

    /// Returns the object as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        with_object!(self, object => serde_json::to_value(object.as_ref())).unwrap_or_default()
    }

    /// Returns the object as a `K`, if it is one.
    #[must_use]
    pub fn typed<K: Kind>(&self) -> Option<K> {
        let inner: &dyn Any = with_object!(self, object => object.as_ref());
        inner.downcast_ref::<K>().cloned()
    }

    /// Replaces its status by `status`. Returns an error if `status` cannot be decoded.
    pub(super) fn set_status(&mut self, status: serde_json::Value) -> Result<(), serde_json::Error> {
        match self {
            Self::Subscription(object) => Arc::make_mut(object).status = serde_json::from_value(status)?,
            Self::CreditLedger(_) => {}
            Self::UsageReport(object) => Arc::make_mut(object).status = serde_json::from_value(status)?,
            Self::CreditPack(object) => Arc::make_mut(object).status = serde_json::from_value(status)?,
            Self::Payment(object) => Arc::make_mut(object).status = serde_json::from_value(status)?,
            Self::CreditAdjustment(object) => Arc::make_mut(object).status = serde_json::from_value(status)?,
        }
        Ok(())
    }

    /// Returns true if `other` has an equal spec.
    pub(super) fn has_spec_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Subscription(one), Self::Subscription(other)) => one.spec == other.spec,
            (Self::CreditLedger(one), Self::CreditLedger(other)) => one.spec == other.spec,
            (Self::UsageReport(one), Self::UsageReport(other)) => one.spec == other.spec,
            (Self::CreditPack(one), Self::CreditPack(other)) => one.spec == other.spec,
            (Self::Payment(one), Self::Payment(other)) => one.spec == other.spec,
            (Self::CreditAdjustment(one), Self::CreditAdjustment(other)) => one.spec == other.spec,
            _ => false,
        }
    }
}

/// Returns the `status.state` of an object, if it has one.
fn state<K: FactObject>(object: &K) -> Option<&'static str> {
    Some(object.status()?.state()?.as_str())
}
