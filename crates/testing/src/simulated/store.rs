//! The server: versions, UIDs, generations, the status subresource, and the rules of the CRDs.

use std::collections::{BTreeMap, HashMap};

use flashgate_api::CreditLedger;
use flashgate_api::usage_meter::MeterReport;
use flashgate_cluster::{CallError, Cursor, SettledReport, SettledReports, Version};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::{Call, Object, ObjectKey, ObjectKind, Reply, version_of};

/// Most reports in one page of a list.
const REPORTS_OF_A_PAGE: usize = 2;

/// The writer of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A user.
    User,
    /// The operator with this client.
    Operator(usize),
}

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// Version of the server after the change. It rises with every change.
    pub revision: u64,
    /// Time of the change.
    pub time: Timestamp,
    /// Writer of the change.
    pub writer: Writer,
    /// The object before the change. Absent if it was created.
    pub before: Option<Object>,
    /// The object after the change. Absent if it was deleted.
    pub after: Option<Object>,
}

impl Change {
    /// Returns the object before the change or, if it was created, after it.
    #[must_use]
    pub fn object(&self) -> Option<&Object> {
        self.before.as_ref().or(self.after.as_ref())
    }
}

/// All objects of the server, and their history.
#[derive(Clone, Debug)]
pub struct Store {
    now: Timestamp,
    objects: BTreeMap<ObjectKey, Object>,
    changes: Vec<Change>,
    /// Number of creations of each name. UIDs contain it, so that the same history gives the same UIDs.
    created: HashMap<ObjectKey, u64>,
    /// Time of the operator's last write of each report's status, by UID.
    verdict_times: HashMap<String, Timestamp>,
}

impl Store {
    /// Returns an empty server at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            objects: BTreeMap::new(),
            changes: Vec::new(),
            created: HashMap::new(),
            verdict_times: HashMap::new(),
        }
    }

    /// Returns the time of the server.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Sets the time of the server.
    pub const fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Returns the version of the server.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.changes.last().map_or(0, |change| change.revision)
    }

    /// Returns every change in order. The change of revision `n` is at index `n - 1`.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Returns every object, by kind, namespace and name.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    /// Returns an object.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(key)
    }

    /// Returns the objects of `kind` as they were at `revision`.
    #[must_use]
    pub fn list_at(&self, kind: ObjectKind, revision: u64) -> Vec<Object> {
        let mut objects: BTreeMap<ObjectKey, Object> = BTreeMap::new();
        for change in self.changes.iter().take_while(|change| change.revision <= revision) {
            let changed = change.object().filter(|object| object.kind() == kind);
            let Some(key) = changed.map(Object::key) else { continue };
            match &change.after {
                Some(object) => objects.insert(key, object.clone()),
                None => objects.remove(&key),
            };
        }
        objects.into_values().collect()
    }

    /// Creates an object as a user does.
    ///
    /// # Errors
    /// Returns an error if there is one of that name.
    pub fn create(&mut self, object: Object) -> Result<Object, CallError> {
        self.insert(object, Writer::User)
    }

    /// Creates an object as a user does, by an API server whose clock shows `time`.
    ///
    /// # Errors
    /// Returns the errors of an API server.
    pub fn create_at(&mut self, object: Object, time: Timestamp) -> Result<Object, CallError> {
        let now = std::mem::replace(&mut self.now, time);
        let created = self.create(object);
        self.now = now;
        created
    }

    /// Edits an object as a user does. It reads and writes the object in one step.
    ///
    /// # Errors
    /// Returns an error if there is none of that name.
    pub fn edit(&mut self, key: &ObjectKey, edit: impl FnOnce(&mut Object)) -> Result<Object, CallError> {
        let Some(before) = self.objects.get(key).cloned() else { return Err(not_found(key)) };
        let mut after = before.clone();
        edit(&mut after);
        Ok(self.update(before, after, Writer::User))
    }

    /// Removes the status of an object, as a user with this right does.
    ///
    /// # Errors
    /// Returns an error if there is none of that name.
    pub fn wipe_status(&mut self, key: &ObjectKey) -> Result<Object, CallError> {
        let Some(before) = self.objects.get(key).cloned() else { return Err(not_found(key)) };
        let mut after = before.clone();
        after
            .set_status(json!({"observedGeneration": -1}))
            .map_err(|source| CallError::Decode { call: format!("wipe {key}"), source })?;
        Ok(self.update(before, after, Writer::User))
    }

    /// Deletes an object as a user does.
    ///
    /// # Errors
    /// Returns an error if there is none of that name.
    pub fn delete(&mut self, key: &ObjectKey) -> Result<(), CallError> {
        self.remove(key, Writer::User)
    }

    /// Restores the state of `snapshot`, like an etcd that is restored from it. Revisions continue from the
    /// snapshot. Time does not go back, and UIDs are never reused.
    pub fn restore(&mut self, snapshot: Self) {
        let Self { objects, changes, verdict_times, now: _, created: _ } = snapshot;
        (self.objects, self.changes, self.verdict_times) = (objects, changes, verdict_times);
    }

    /// Applies a change of another server: the new state of the object called `key`, or `None` if it was
    /// deleted.
    pub fn take_over(&mut self, key: &ObjectKey, after: Option<Object>, writer: Writer) -> Change {
        let before = match &after {
            Some(object) => self.objects.insert(key.clone(), object.clone()),
            None => self.objects.remove(key),
        };
        let change = Change { revision: self.revision() + 1, time: self.now, writer, before, after };
        self.changes.push(change.clone());
        change
    }

    /// Executes `call` of `client`.
    pub(super) fn answer(&mut self, call: &Call, client: usize) -> Result<Reply, CallError> {
        let writer = Writer::Operator(client);
        match call {
            Call::Fetch(key) => {
                self.objects.get(key).cloned().map(Reply::Object).ok_or_else(|| not_found(key))
            }
            Call::CreateLedger(ledger) => self.insert((**ledger).clone().into(), writer).map(Reply::Object),
            Call::ReplaceLedger(ledger) => self.replace_ledger(ledger, writer).map(Reply::Object),
            Call::ReplaceStatus(kind, version, status) => {
                self.replace_status(*kind, version, status.clone(), writer).map(Reply::Object)
            }
            Call::DeleteReport(version) => self.delete_report(version, writer).map(|()| Reply::Done),
            Call::ListReports(state, cursor) => Ok(Reply::Reports(self.settled_reports(state, cursor))),
            Call::Publish => Ok(Reply::Done),
        }
    }

    fn insert(&mut self, mut object: Object, writer: Writer) -> Result<Object, CallError> {
        let key = object.key();
        if self.objects.contains_key(&key) {
            return Err(conflict(&key, "it already exists"));
        }
        let count = self.created.entry(key.clone()).or_default();
        *count += 1;
        let uid = format!("{}-{}-{count}", key.kind.as_str(), key.name).to_lowercase();
        let status = object.set_status(json!({"observedGeneration": -1}));
        status.map_err(|source| CallError::Decode { call: format!("create {key}"), source })?;
        let now = self.now;
        let metadata = object.metadata_mut();
        metadata.uid = Some(uid);
        metadata.generation = Some(1);
        metadata.creation_timestamp = Some(Time(now));
        Ok(self.record(None, object, writer))
    }

    fn replace_ledger(&mut self, ledger: &CreditLedger, writer: Writer) -> Result<Object, CallError> {
        let mut after = Object::from(ledger.clone());
        let key = after.key();
        let Some(before) = self.objects.get(&key).cloned() else { return Err(not_found(&key)) };
        check_version(&key, &before, &version_of(ledger))?;
        if after.uid() != before.uid() {
            return Err(conflict(&key, "another UID"));
        }
        if let Object::CreditLedger(before) = &before
            && !passes_fence(before, ledger)
        {
            return Err(refused(&key, "must continue the ledger by exactly one commit"));
        }
        let metadata = after.metadata_mut();
        metadata.generation = before.metadata().generation;
        metadata.creation_timestamp.clone_from(&before.metadata().creation_timestamp);
        Ok(self.update(before, after, writer))
    }

    fn replace_status(
        &mut self,
        kind: ObjectKind,
        version: &Version,
        status: Value,
        writer: Writer,
    ) -> Result<Object, CallError> {
        let key = ObjectKey::new(kind, &version.namespace, &version.name);
        let Some(before) = self.objects.get(&key).cloned() else { return Err(not_found(&key)) };
        check_version(&key, &before, &version.resource_version)?;
        let mut after = before.clone();
        after.set_status(status).map_err(|error| refused(&key, &error.to_string()))?;
        if !before.may_become(&after) {
            return Err(refused(&key, "must not change once it is set: a verdict is final"));
        }
        self.verdict_times.insert(before.uid().to_owned(), self.now);
        Ok(self.update(before, after, writer))
    }

    fn delete_report(&mut self, version: &Version, writer: Writer) -> Result<(), CallError> {
        let key = ObjectKey::new(ObjectKind::UsageReport, &version.namespace, &version.name);
        let Some(before) = self.objects.get(&key).cloned() else { return Err(not_found(&key)) };
        check_version(&key, &before, &version.resource_version)?;
        if before.uid() != version.uid {
            return Err(conflict(&key, "another UID"));
        }
        self.remove(&key, writer)
    }

    /// Returns a small page, so that many changes happen between two pages.
    fn settled_reports(&self, state: &str, cursor: &Cursor) -> SettledReports {
        let place = |version: &Version| format!("{}/{}", version.namespace, version.name);
        let reports = self.objects.values().filter_map(|object| match object {
            Object::UsageReport(report) if object.state() == Some(state) => Some(report),
            _ => None,
        });
        let settled = reports.map(|report| {
            let version = Version::of::<flashgate_api::UsageReport>(report);
            let verdict_time = self.verdict_times.get(&version.uid).copied().unwrap_or(Timestamp::MAX);
            let meter = MeterReport::of(&report.metadata);
            SettledReport { version, verdict_time, meter }
        });
        let mut rest = settled
            .filter(|report| {
                cursor.continue_token.as_ref().is_none_or(|token| place(&report.version) > *token)
            })
            .peekable();
        let reports: Vec<SettledReport> = rest.by_ref().take(REPORTS_OF_A_PAGE).collect();
        let last = reports.last().filter(|_| rest.peek().is_some());
        let next = last.map(|last| Cursor { continue_token: Some(place(&last.version)), ..cursor.clone() });
        SettledReports { reports, next }
    }

    /// Replaces `before` by `after`. If they are equal, writes nothing.
    fn update(&mut self, before: Object, mut after: Object, writer: Writer) -> Object {
        after.metadata_mut().resource_version.clone_from(&before.metadata().resource_version);
        if after == before {
            return before;
        }
        if !after.has_spec_of(&before) {
            let generation = before.metadata().generation.map(|generation| generation + 1);
            after.metadata_mut().generation = generation;
        }
        self.record(Some(before), after, writer)
    }

    fn remove(&mut self, key: &ObjectKey, writer: Writer) -> Result<(), CallError> {
        let before = self.objects.remove(key).ok_or_else(|| not_found(key))?;
        let (revision, time) = (self.revision() + 1, self.now);
        self.changes.push(Change { revision, time, writer, before: Some(before), after: None });
        Ok(())
    }

    fn record(&mut self, before: Option<Object>, mut after: Object, writer: Writer) -> Object {
        let (revision, time) = (self.revision() + 1, self.now);
        after.metadata_mut().resource_version = Some(revision.to_string());
        self.objects.insert(after.key(), after.clone());
        self.changes.push(Change { revision, time, writer, before, after: Some(after.clone()) });
        after
    }
}

/// The rule on ledgers: an update continues the history by exactly one commit, or does not change it.
fn passes_fence(before: &CreditLedger, after: &CreditLedger) -> bool {
    let (before, after) = (&before.spec, &after.spec);
    if after.sequence == before.sequence {
        after.hash == before.hash
    } else {
        after.sequence == before.sequence + 1
            && after.clock_time >= before.clock_time
            && after.period.number >= before.period.number
    }
}

fn check_version(key: &ObjectKey, stored: &Object, version: &str) -> Result<(), CallError> {
    if version.is_empty() {
        return Err(refused(key, "metadata.resourceVersion must be specified for an update"));
    }
    if stored.metadata().resource_version.as_deref() == Some(version) {
        Ok(())
    } else {
        Err(conflict(key, "the object has been modified; please apply your changes to the latest version"))
    }
}

fn not_found(key: &ObjectKey) -> CallError {
    CallError::NotFound { call: key.to_string() }
}

fn conflict(key: &ObjectKey, message: &str) -> CallError {
    CallError::Conflict { call: key.to_string(), message: message.to_owned() }
}

fn refused(key: &ObjectKey, message: &str) -> CallError {
    CallError::Refused { call: key.to_string(), code: 422, message: message.to_owned() }
}
