//! Steps: the action, object and time of a manifest.

use flashgate_api::{API_VERSION, GROUP, TEST_CLOCK, stated_time};
use flashgate_ledger::entry::FactKind;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::SimulateError;
use super::manifest::{Manifest, Place};

/// Annotation with the time at which a document is applied.
const AT: &str = "billing.flashgate.dev/at";
/// Annotation that turns a document into the deletion of its object.
const DELETE: &str = "billing.flashgate.dev/delete";
/// Namespace of objects without one.
const DEFAULT_NAMESPACE: &str = "default";
/// Fields of `metadata` that only the server writes. Manifests from a cluster have them.
const SERVER_METADATA: [&str; 7] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
];

/// Kinds of manifests, in the order in which objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Subscription.
    Subscription,
    /// CreditPack.
    CreditPack,
    /// UsageReport.
    UsageReport,
    /// Payment.
    Payment,
    /// CreditAdjustment.
    CreditAdjustment,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Subscription, Self::CreditPack, Self::UsageReport, Self::Payment, Self::CreditAdjustment];

    /// Returns the name of the kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscription => "Subscription",
            Self::CreditPack => "CreditPack",
            Self::UsageReport => "UsageReport",
            Self::Payment => "Payment",
            Self::CreditAdjustment => "CreditAdjustment",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl From<FactKind> for Kind {
    fn from(kind: FactKind) -> Self {
        match kind {
            FactKind::CreditPack => Self::CreditPack,
            FactKind::UsageReport => Self::UsageReport,
            FactKind::Payment => Self::Payment,
            FactKind::CreditAdjustment => Self::CreditAdjustment,
        }
    }
}

/// The identity of an object while it exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The action that a document requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its place.
    pub place: Place,
    /// The object.
    pub key: ObjectKey,
    /// The time of its annotation, if there is one.
    pub at: Option<Timestamp>,
    /// Whether it has the annotation for a test clock.
    pub has_test_clock: bool,
    /// The action.
    pub action: Action,
}

/// An action on an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The object is created, or updated if it exists.
    Apply(Value),
    /// The object is deleted.
    Delete,
}

impl Step {
    /// Returns the step of `manifest`.
    ///
    /// # Errors
    /// When it is not an object of this API group, has no name, or has an invalid annotation.
    pub fn new(manifest: Manifest) -> Result<Self, SimulateError> {
        let Stated { place, key, object } = Stated::of(manifest, DEFAULT_NAMESPACE)?;
        match Annotations::read(&object) {
            Ok(Annotations { at, has_test_clock, deletes }) => {
                let action = if deletes { Action::Delete } else { Action::Apply(object) };
                Ok(Self { place, key, at, has_test_clock, action })
            }
            Err(message) => Err(SimulateError::of_object(place, &key, message)),
        }
    }

    /// Returns the step that applies `manifest`, without the annotations of simulations. An object without a namespace gets
    /// `namespace`.
    ///
    /// # Errors
    /// When it is not an object of this API group, or has no name.
    pub fn applied(manifest: Manifest, namespace: &str) -> Result<Self, SimulateError> {
        let Stated { place, key, object } = Stated::of(manifest, namespace)?;
        let has_test_clock = annotation(&object, TEST_CLOCK).is_some();
        Ok(Self { place, key, at: None, has_test_clock, action: Action::Apply(object) })
    }

    /// Returns the start time of a Subscription. It is the time of the first document if that has no other.
    ///
    /// # Errors
    /// When it is not a time.
    pub fn start_time(&self) -> Result<Option<Timestamp>, SimulateError> {
        let (Kind::Subscription, Action::Apply(object)) = (self.key.kind, &self.action) else {
            return Ok(None);
        };
        let Some(start) = object.pointer("/spec/startTime") else { return Ok(None) };
        let time = parse_time("spec.startTime", start);
        time.map(Some).map_err(|message| SimulateError::of_object(self.place.clone(), &self.key, message))
    }
}

/// A manifest whose object can be identified.
struct Stated {
    place: Place,
    key: ObjectKey,
    /// The object, without its status and the fields that only the server writes.
    object: Value,
}

impl Stated {
    fn of(manifest: Manifest, namespace: &str) -> Result<Self, SimulateError> {
        let Manifest { place, object, .. } = manifest;
        let Value::Object(mut object) = object else {
            return Err(SimulateError::of_document(place, "must be an object with `apiVersion` and `kind`"));
        };
        let kind = match kind_of(&object) {
            Ok(kind) => kind,
            Err(message) => return Err(SimulateError::of_document(place, message)),
        };
        object.remove("status");
        let (metadata, key) = match identity(kind, &mut object, namespace) {
            Ok(identity) => identity,
            Err(message) => {
                return Err(SimulateError::of_document(place, format!("{}: {message}", kind.as_str())));
            }
        };
        metadata.retain(|field, _| !SERVER_METADATA.contains(&field.as_str()));
        Ok(Self { place, key, object: Value::Object(object) })
    }
}

fn kind_of(object: &Map<String, Value>) -> Result<Kind, String> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    Kind::from_name(text("kind")).filter(|_| text("apiVersion") == API_VERSION).ok_or_else(|| {
        let kinds: Vec<&str> = Kind::ALL.into_iter().map(Kind::as_str).collect();
        let written_by_operator = if text("kind") == "CreditLedger" && text("apiVersion").starts_with(GROUP) {
            " (the operator alone writes a CreditLedger)"
        } else {
            ""
        };
        format!(
            "`apiVersion` '{}' with `kind` '{}' cannot be simulated{written_by_operator}; must be '{API_VERSION}' with \
             one of {}",
            text("apiVersion"),
            text("kind"),
            kinds.join(", ")
        )
    })
}

/// Returns the metadata of an object, with its namespace set, and its key. An object without a namespace gets `default`.
fn identity<'o>(
    kind: Kind,
    object: &'o mut Map<String, Value>,
    default: &str,
) -> Result<(&'o mut Map<String, Value>, ObjectKey), String> {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    let metadata = metadata.ok_or("`metadata` is missing; must be an object with a `name`")?;
    let text = |field: &str| match metadata.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("`metadata.{field}` is {other}; must be a text")),
    };
    let name = text("name")?.ok_or("`metadata.name` is missing; must be the name of the object")?;
    let namespace = text("namespace")?.unwrap_or_else(|| default.to_owned());
    metadata.insert("namespace".to_owned(), namespace.clone().into());
    Ok((metadata, ObjectKey { kind, namespace, name }))
}

/// The simulation's annotations of an object.
struct Annotations {
    at: Option<Timestamp>,
    has_test_clock: bool,
    deletes: bool,
}

impl Annotations {
    fn read(object: &Value) -> Result<Self, String> {
        let deletes = match annotation(object, DELETE) {
            None => false,
            Some(Value::String(text)) if text == "true" => true,
            Some(Value::String(text)) if text == "false" => false,
            Some(other) => {
                return Err(format!("annotation `{DELETE}` is {other}; must be \"true\", in quotes"));
            }
        };
        let at =
            annotation(object, AT).map(|at| parse_time(&format!("annotation `{AT}`"), at)).transpose()?;
        Ok(Self { at, has_test_clock: annotation(object, TEST_CLOCK).is_some(), deletes })
    }
}

fn annotation<'o>(object: &'o Value, name: &str) -> Option<&'o Value> {
    object.get("metadata")?.get("annotations")?.get(name)
}

/// Parses a time as the CRDs do: whole seconds, from 2000 to 2100.
///
/// # Errors
/// When it is not such a time. `what` is its name in the message.
pub fn parse_time(what: &str, value: &Value) -> Result<Timestamp, String> {
    let time = value.as_str().and_then(stated_time::parse);
    time.filter(|time| time.subsec_nanosecond() == 0 && is_in_range(*time)).ok_or_else(|| {
        let shown = value.as_str().map_or_else(|| value.to_string(), |text| format!("'{text}'"));
        format!("{what} is {shown}; must be {}", stated_time::FORM)
    })
}

/// Returns whether `time` is in the range of the CRDs, in which time arithmetic cannot fail.
fn is_in_range(time: Timestamp) -> bool {
    const FROM_SECOND: i64 = 946_684_800; // 2000-01-01T00:00:00Z
    const UNTIL_SECOND: i64 = 4_133_980_800; // 2101-01-01T00:00:00Z
    (FROM_SECOND..UNTIL_SECOND).contains(&time.as_second())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(object: Value) -> Result<Step, String> {
        let place = Place { file: "acme.yaml".into(), line: 7, document: 2 };
        Step::new(Manifest { place, object, notes: Vec::new() }).map_err(|error| error.to_string())
    }

    #[test]
    fn the_range_of_times_is_that_of_the_crds() {
        let is_time = |text: &str| parse_time("it", &json!(text)).is_ok();
        assert!(is_time("2000-01-01T00:00:00Z") && is_time("2100-12-31T23:59:59Z"));
        assert!(is_time("2026-01-31T12:00:00+02:00"));
        assert!(!is_time("1999-12-31T23:59:59Z") && !is_time("2101-01-01T00:00:00Z"));
        assert!(!is_time("2026-01-31T10:00:00.5Z") && !is_time("2026-01-31"));
        assert!(!is_time("2026-12-31T23:59:60Z"), "the API server has no leap seconds");
    }

    #[test]
    fn server_fields_are_removed_and_the_namespace_defaults() {
        let step = step(json!({
            "apiVersion": API_VERSION, "kind": "CreditPack",
            "metadata": {"name": "extra", "uid": "1", "generation": 4, "labels": {"team": "a"}},
            "spec": {}, "status": {"state": "Granted"},
        }))
        .expect("is a step");
        let expected = json!({
            "apiVersion": API_VERSION, "kind": "CreditPack",
            "metadata": {"name": "extra", "namespace": "default", "labels": {"team": "a"}}, "spec": {},
        });
        assert_eq!((step.action, step.key.namespace.as_str()), (Action::Apply(expected), "default"));
    }

    #[test]
    fn other_kinds_are_refused_with_what_is_allowed() {
        let message = step(json!({"apiVersion": "v1", "kind": "ConfigMap"})).expect_err("is refused");
        assert_eq!(
            message,
            "acme.yaml:7: document 2: `apiVersion` 'v1' with `kind` 'ConfigMap' cannot be simulated; must be \
             'billing.flashgate.dev/v1alpha1' with one of Subscription, CreditPack, UsageReport, Payment, \
             CreditAdjustment"
        );
        let message =
            step(json!({"apiVersion": API_VERSION, "kind": "CreditLedger"})).expect_err("is refused");
        assert!(message.contains("the operator alone writes a CreditLedger"), "{message}");
    }

    #[test]
    fn an_annotation_that_is_no_time_is_refused_with_an_example() {
        let object = json!({
            "apiVersion": API_VERSION, "kind": "CreditPack",
            "metadata": {"name": "extra", "annotations": {"billing.flashgate.dev/at": "tomorrow"}},
        });
        assert_eq!(
            step(object).expect_err("is refused"),
            "acme.yaml:7: document 2: CreditPack default/extra: annotation `billing.flashgate.dev/at` is 'tomorrow'; \
             must be a time in whole seconds from 2000 to 2100, such as '2026-01-31T10:00:00Z'"
        );
    }
}
