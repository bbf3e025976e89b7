//! Restores the objects of a backup in a cluster, ledgers first, and only if no other ledger conflicts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DynamicObject, PostParams, Request};
use kube::core::ApiResource;
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::archive::{Archive, ArchiveError};
use super::{FIELD_MANAGER, LEDGER, SUBSCRIPTION, objects, resources};

/// Number of objects that are written concurrently.
const AT_ONCE: usize = 8;

/// Metadata that an object keeps. Owner references are dropped, because the garbage collector deletes objects
/// whose owner does not exist.
const KEPT_METADATA: [&str; 4] = ["name", "namespace", "labels", "annotations"];

/// Why a restore must not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A namespace of the backup does not exist.
    NamespaceMissing {
        /// The namespace.
        namespace: String,
    },
    /// There is another ledger with that name.
    OtherLedger {
        /// Namespace and name.
        ledger: String,
        /// The account and sequence of the ledger in the cluster.
        found: (String, i64),
        /// The account and sequence of the ledger in the backup.
        held: (String, i64),
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NamespaceMissing { namespace } => write!(
                formatter,
                "namespace '{namespace}' does not exist: create it (kubectl create namespace {namespace})"
            ),
            Self::OtherLedger { ledger, found: (account, sequence), held: (held, at) } => {
                write!(formatter, "CreditLedger {ledger} exists at sequence {sequence}, ")?;
                if account != held {
                    write!(
                        formatter,
                        "of the account {account}; the backup has the account {held} at sequence {at}. The operator opened \
                         a new account before this ledger was restored"
                    )?;
                } else if sequence > at {
                    write!(formatter, "the backup is older, at sequence {at}: a restore would lose commits")?;
                } else {
                    write!(formatter, "with other content than the backup, at sequence {at}")?;
                }
                write!(
                    formatter,
                    ". Hold the operator, keep a copy of that ledger, delete it, and restore again; or leave it as it is \
                     and restore other namespaces (--namespace)"
                )
            }
        }
    }
}

/// Why a restore ended early. It can be run again: objects that exist are kept.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An object could not be read or written.
    #[error(
        "{object} cannot be {done}; fix the cause and run the restore again: objects that are already restored stay"
    )]
    Call {
        /// Kind, namespace and name.
        object: String,
        /// The action that failed.
        done: &'static str,
        /// The cause.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object of the backup has no name.
    #[error("a {kind} of the backup has no name or namespace; use another backup")]
    Nameless {
        /// Its kind.
        kind: String,
    },
    /// A ledger appeared while the restore ran.
    #[error("{0}")]
    Overtaken(Obstacle),
}

/// The result of a restore for the objects of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Objects that were created.
    pub created: u64,
    /// Objects that existed and were not changed.
    pub kept: u64,
}

/// A restore of some or all namespaces of a backup.
pub struct Restore<'a> {
    client: Client,
    archive: &'a Archive,
    namespaces: &'a [String],
}

/// An object of the backup with its namespace and name.
struct ArchivedObject {
    namespace: String,
    name: String,
    object: Value,
}

impl<'a> Restore<'a> {
    /// Returns a restore of `namespaces`. If there are none, restores all.
    #[must_use]
    pub fn new(client: Client, archive: &'a Archive, namespaces: &'a [String]) -> Self {
        Self { client, archive, namespaces }
    }

    /// Returns the obstacles to the restore. Nothing is written.
    ///
    /// # Errors
    /// When the backup or the cluster cannot be read.
    pub async fn obstacles(&self) -> Result<Vec<Obstacle>, RestoreError> {
        let mut obstacles = Vec::new();
        let mut places = BTreeSet::new();
        for resource in resources() {
            for held in self.objects(&resource)? {
                places.insert(held?.namespace);
            }
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        for namespace in places {
            let found = namespaces.get_opt(&namespace).await;
            let found = found.map_err(|source| call("Namespace", "", &namespace, "read", source))?;
            if found.is_none() {
                obstacles.push(Obstacle::NamespaceMissing { namespace });
            }
        }
        let ledgers = ledgers();
        for held in self.objects(&ledgers)? {
            let held = held?;
            let found = self.api(&ledgers, &held).get_opt(&held.name).await;
            let found = found.map_err(|source| called(&ledgers, &held, "read", source))?;
            obstacles.extend(found.and_then(|found| other_ledger(&found, &held)));
        }
        Ok(obstacles)
    }

    /// Creates the missing objects with their statuses, ledgers first. Returns the results by kind.
    ///
    /// # Errors
    /// When the backup cannot be read, a call fails, or another ledger appeared since [`Restore::obstacles`].
    pub async fn run(&self) -> Result<BTreeMap<String, Restored>, RestoreError> {
        let mut done = BTreeMap::new();
        let rest = resources().into_iter().filter(|resource| resource.kind != LEDGER);
        for resource in std::iter::once(ledgers()).chain(rest) {
            let objects = stream::iter(self.objects(&resource)?);
            let restored = objects
                .map(|held| async { self.restore(&resource, &held?).await })
                .buffer_unordered(AT_ONCE)
                .try_fold(Restored::default(), |restored, is_new| async move {
                    Ok(if is_new {
                        Restored { created: restored.created + 1, ..restored }
                    } else {
                        Restored { kept: restored.kept + 1, ..restored }
                    })
                });
            done.insert(resource.kind.clone(), restored.await?);
        }
        Ok(done)
    }

    /// Returns the objects of a resource to restore.
    fn objects(
        &self,
        resource: &ApiResource,
    ) -> Result<impl Iterator<Item = Result<ArchivedObject, RestoreError>>, RestoreError> {
        let kind = resource.kind.clone();
        let objects = self.archive.objects(&resource.kind)?.map(move |object| {
            let object = object?;
            let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
            let place = text("namespace").zip(text("name"));
            let (namespace, name) = place.ok_or_else(|| RestoreError::Nameless { kind: kind.clone() })?;
            Ok(ArchivedObject { namespace, name, object })
        });
        let namespaces = self.namespaces;
        Ok(objects.filter(move |held| {
            held.as_ref().map_or(true, |held| namespaces.is_empty() || namespaces.contains(&held.namespace))
        }))
    }

    fn api(&self, resource: &ApiResource, held: &ArchivedObject) -> Api<DynamicObject> {
        objects(&self.client, resource, Some(&held.namespace))
    }

    /// Restores an object with its status. Returns whether it was created.
    async fn restore(&self, resource: &ApiResource, held: &ArchivedObject) -> Result<bool, RestoreError> {
        let created = match self.create(resource, held).await {
            Ok(created) => Some(created),
            Err(kube::Error::Api(status)) if status.code == 409 => None,
            Err(source) => return Err(called(resource, held, "created", source)),
        };
        let is_new = created.is_some();
        let found = if let Some(created) = created {
            created
        } else {
            let found = self.api(resource, held).get(&held.name).await;
            found.map_err(|source| called(resource, held, "read", source))?
        };
        if resource.kind == LEDGER {
            return other_ledger(&found, held)
                .map_or(Ok(is_new), |other| Err(RestoreError::Overtaken(other)));
        }
        if !held.object["status"].is_null() && !is_seen(&found) {
            self.restore_status(resource, held, found).await?;
        }
        Ok(is_new)
    }

    /// Creates an object with strict field validation: a CRD that is older than the backup would otherwise drop
    /// fields silently.
    async fn create(
        &self,
        resource: &ApiResource,
        held: &ArchivedObject,
    ) -> Result<DynamicObject, kube::Error> {
        let metadata = held.object["metadata"].as_object().into_iter().flatten();
        let metadata: serde_json::Map<String, Value> = metadata
            .filter(|(field, _)| KEPT_METADATA.contains(&field.as_str()))
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect();
        let object = json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata,
            "spec": held.object["spec"],
        });
        let url = DynamicObject::url_path(resource, Some(&held.namespace));
        let body = serde_json::to_vec(&object).map_err(kube::Error::SerdeError)?;
        let mut request = Request::new(url).create(&params(), body).map_err(kube::Error::BuildRequest)?;
        if let Ok(uri) = format!("{}&fieldValidation=Strict", request.uri()).parse() {
            *request.uri_mut() = uri;
        }
        self.client.request(request).await
    }

    /// Writes the status of the backup to an object without one. A conflict means that the operator wrote it.
    async fn restore_status(
        &self,
        resource: &ApiResource,
        held: &ArchivedObject,
        mut found: DynamicObject,
    ) -> Result<(), RestoreError> {
        let mut status = held.object["status"].clone();
        if resource.kind == SUBSCRIPTION {
            // The generation of the new object starts at 1, and the operator has not processed it.
            status["observedGeneration"] = json!(-1);
        }
        found.data["status"] = status;
        let written = self.api(resource, held).replace_status(&held.name, &params(), &found).await;
        match written {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(source) => Err(called(resource, held, "given its status", source)),
            Ok(_) => Ok(()),
        }
    }
}

fn ledgers() -> ApiResource {
    ApiResource::erase::<flashgate_api::CreditLedger>(&())
}

fn params() -> PostParams {
    PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.to_owned()) }
}

fn called(
    resource: &ApiResource,
    held: &ArchivedObject,
    done: &'static str,
    source: kube::Error,
) -> RestoreError {
    call(&resource.kind, &held.namespace, &held.name, done, source)
}

fn call(kind: &str, namespace: &str, name: &str, done: &'static str, source: kube::Error) -> RestoreError {
    let place = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
    RestoreError::Call { object: format!("{kind} {place}"), done, source: Box::new(source) }
}

/// Returns whether an object has a status that the operator or an earlier restore wrote.
fn is_seen(found: &DynamicObject) -> bool {
    found.data["status"]
        .as_object()
        .is_some_and(|status| status.keys().any(|field| field != "observedGeneration"))
}

/// Returns the ledger in the cluster as an obstacle, unless its content is that of the backup.
fn other_ledger(found: &DynamicObject, held: &ArchivedObject) -> Option<Obstacle> {
    let (there, backup) = (&found.data["spec"], &held.object["spec"]);
    let identity = |spec: &Value| {
        (
            spec["account"].as_str().unwrap_or_default().to_owned(),
            spec["sequence"].as_i64().unwrap_or_default(),
        )
    };
    (there["hash"] != backup["hash"] || identity(there) != identity(backup)).then(|| Obstacle::OtherLedger {
        ledger: format!("{}/{}", held.namespace, found.name_any()),
        found: identity(there),
        held: identity(backup),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(account: &str, sequence: i64) -> ArchivedObject {
        let spec = json!({"account": account, "sequence": sequence, "hash": format!("{account}{sequence}")});
        let object = json!({"metadata": {"namespace": "team", "name": "acme"}, "spec": spec});
        ArchivedObject { namespace: "team".to_owned(), name: "acme".to_owned(), object }
    }

    fn obstacle(found: &ArchivedObject, held: &ArchivedObject) -> Option<String> {
        let found: DynamicObject = serde_json::from_value(found.object.clone()).expect("object");
        other_ledger(&found, held).map(|obstacle| obstacle.to_string())
    }

    #[test]
    fn the_same_ledger_does_not_block_a_restore() {
        assert_eq!(obstacle(&held("a", 7), &held("a", 7)), None);
    }

    #[test]
    fn another_ledger_is_described_with_its_figures_and_a_way_out() {
        for (found, says) in [
            (held("b", 1), "The operator opened a new account"),
            (held("a", 9), "a restore would lose commits"),
            (held("a", 3), "with other content than the backup, at sequence 7"),
        ] {
            let message = obstacle(&found, &held("a", 7)).expect("an obstacle");
            assert!(message.contains(says) && message.contains("Hold the operator"), "{message}");
        }
    }
}
