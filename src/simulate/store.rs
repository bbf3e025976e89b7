//! The objects, as an API server would store them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use flashgate_api::{
    CreditAdjustmentStatus, CreditPackStatus, PaymentStatus, SubscriptionStatus, UsageReportStatus,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::SimulateError;
use super::manifest::Place;
use super::step::{Kind, ObjectKey};
use crate::admission::Admission;

/// Every object that exists.
pub(super) struct Store {
    admission: Arc<Admission>,
    objects: HashMap<ObjectKey, Object>,
    /// Number of times that an object with each key was created.
    creations: HashMap<ObjectKey, u32>,
}

/// An object that exists.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// The admitted object, without its status.
    pub(super) content: Value,
    /// Its UID.
    pub(super) uid: String,
    /// Version of its spec, from 1.
    pub(super) generation: i64,
    /// Its creation time, which is its arrival.
    pub(super) creation_time: Timestamp,
    /// The status that the operator wrote, if there is one.
    pub(super) status: Option<Status>,
}

/// The status that the operator wrote for an object.
#[derive(Clone, Debug)]
pub(super) enum Status {
    /// Of a Subscription.
    Subscription(Box<SubscriptionStatus>),
    /// Of a CreditPack.
    Pack(CreditPackStatus),
    /// Of a UsageReport.
    Report(UsageReportStatus),
    /// Of a Payment.
    Payment(PaymentStatus),
    /// Of a CreditAdjustment.
    Adjustment(CreditAdjustmentStatus),
}

/// The status type of a kind, which is one variant of [`Status`].
pub(super) trait ShownStatus: Into<Status> {
    /// Returns `status` if it is of this kind.
    fn of(status: &Status) -> Option<&Self>;
}

macro_rules! shown_status {
    ($($variant:ident($status:ident)),+) => {$(
        impl From<$status> for Status {
            fn from(status: $status) -> Self {
                Self::$variant(status)
            }
        }

        impl ShownStatus for $status {
            fn of(status: &Status) -> Option<&Self> {
                if let Status::$variant(status) = status { Some(status) } else { None }
            }
        }
    )+};
}

shown_status!(
    Pack(CreditPackStatus),
    Report(UsageReportStatus),
    Payment(PaymentStatus),
    Adjustment(CreditAdjustmentStatus)
);

/// The effect of applying an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// It is new.
    Created,
    /// Its spec has changed.
    Changed,
    /// Nothing that the operator reads has changed.
    Unchanged,
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").field("objects", &self.objects).finish_non_exhaustive()
    }
}

impl Store {
    /// Returns a store without objects.
    pub(super) fn new(admission: Arc<Admission>) -> Self {
        Self { admission, objects: HashMap::new(), creations: HashMap::new() }
    }

    /// Creates or updates the object `key` at `now`, as the API server would.
    pub(super) fn apply(
        &mut self,
        place: &Place,
        key: &ObjectKey,
        content: &Value,
        now: Timestamp,
    ) -> Result<Applied, SimulateError> {
        let old = self.objects.get(key).map(|old| &old.content);
        let content = self
            .admission
            .admit(content, old)
            .map_err(|errors| SimulateError::of_object(place.clone(), key, one_line_each(&errors)))?;
        let (applied, mut object) = match self.objects.remove(key) {
            Some(old) if old.content.get("spec") == content.get("spec") => {
                (Applied::Unchanged, Object { content, ..old })
            }
            Some(old) => {
                (Applied::Changed, Object { content, generation: old.generation.saturating_add(1), ..old })
            }
            None => (Applied::Created, self.create(key, content, now)),
        };
        object.fill_metadata();
        self.objects.insert(key.clone(), object);
        Ok(applied)
    }

    /// Returns a new object with a new UID.
    fn create(&mut self, key: &ObjectKey, content: Value, now: Timestamp) -> Object {
        let count = self.creations.entry(key.clone()).or_default();
        *count = count.saturating_add(1);
        let uid = uid(&[key.kind.as_str(), &key.namespace, &key.name, &count.to_string()]);
        Object { content, uid, generation: 1, creation_time: now, status: None }
    }

    /// Adds an object of a cluster.
    pub(super) fn insert(&mut self, key: ObjectKey, object: Object) {
        self.objects.insert(key, object);
    }

    /// Deletes the object `key`. Returns whether it existed.
    pub(super) fn delete(&mut self, key: &ObjectKey) -> bool {
        self.objects.remove(key).is_some()
    }

    /// Returns the object `key`.
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(key)
    }

    /// Returns the object `key`, to write its status.
    pub(super) fn get_mut(&mut self, key: &ObjectKey) -> Option<&mut Object> {
        self.objects.get_mut(key)
    }

    /// Returns all objects with their statuses, by kind, namespace and name.
    pub(super) fn into_objects(self) -> impl Iterator<Item = Value> {
        let mut objects: Vec<_> = self.objects.into_iter().collect();
        objects.sort_by(|(key, _), (other, _)| key.cmp(other));
        objects.into_iter().map(|(_, object)| object.with_status())
    }
}

impl Object {
    /// Returns the object with its status.
    pub(super) fn with_status(&self) -> Value {
        let mut content = self.content.clone();
        if let (Some(status), Some(fields)) = (&self.status, content.as_object_mut()) {
            fields.insert("status".to_owned(), status.to_json());
        }
        content
    }

    /// Sets the fields of the metadata that the server writes.
    fn fill_metadata(&mut self) {
        if let Some(metadata) = self.content.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("uid".to_owned(), json!(self.uid));
            metadata.insert("generation".to_owned(), json!(self.generation));
            metadata.insert("creationTimestamp".to_owned(), json!(self.creation_time));
        }
    }
}

impl Status {
    /// Returns the status of an object of a cluster.
    pub(super) fn of(kind: Kind, status: Value) -> Result<Self, serde_json::Error> {
        Ok(match kind {
            Kind::Subscription => Self::Subscription(serde_json::from_value(status)?),
            Kind::CreditPack => Self::Pack(serde_json::from_value(status)?),
            Kind::UsageReport => Self::Report(serde_json::from_value(status)?),
            Kind::Payment => Self::Payment(serde_json::from_value(status)?),
            Kind::CreditAdjustment => Self::Adjustment(serde_json::from_value(status)?),
        })
    }

    fn to_json(&self) -> Value {
        let json = match self {
            Self::Subscription(status) => serde_json::to_value(status),
            Self::Pack(status) => serde_json::to_value(status),
            Self::Report(status) => serde_json::to_value(status),
            Self::Payment(status) => serde_json::to_value(status),
            Self::Adjustment(status) => serde_json::to_value(status),
        };
        json.unwrap_or_default()
    }
}

/// Returns a UID that is the same on every run: a hash of `parts`, which identify the object.
pub(super) fn uid(parts: &[&str]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha256::digest(parts.join("/").as_bytes());
    let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).take(32);
    let mut uid = String::with_capacity(36);
    for (index, nibble) in nibbles.enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            uid.push('-');
        }
        // Version 8 (RFC 9562: custom), variant 10.
        let nibble = match index {
            12 => 8,
            16 => 8 | (nibble & 0x3),
            _ => nibble,
        };
        uid.push(HEX.get(usize::from(nibble)).copied().map_or('0', char::from));
    }
    uid
}

/// Returns errors in the format of the API server: one line for one error, otherwise a list.
fn one_line_each(errors: &[crate::admission::AdmissionError]) -> String {
    match errors {
        [error] => error.to_string(),
        errors => errors.iter().fold(String::new(), |lines, error| lines + "\n  - " + &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_that_of_its_parts_and_shaped_like_one() {
        let first = uid(&["CreditPack", "default", "extra", "1"]);
        assert_eq!(first, uid(&["CreditPack", "default", "extra", "1"]));
        assert_ne!(first, uid(&["CreditPack", "default", "extra", "2"]));
        let shape: Vec<usize> = first.split('-').map(str::len).collect();
        assert_eq!(shape, [8, 4, 4, 4, 12]);
        assert!(first.chars().nth(14) == Some('8'), "{first}");
    }
}
