//! Records objects in every state from a real control plane: the `testdata` of Argo CD's layout.

mod lives;
mod mask;
mod meters;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kube::api::DynamicObject;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::states::{KINDS, Row, STATES, State, named};
use super::{customizations, yaml};
use crate::cluster_account::ClusterAccount;
use crate::world::{Namespace, World, root, wait_for};

/// Recorded objects by kind and name of the state.
type Recordings = BTreeMap<(&'static str, &'static str), Value>;

/// Records objects of accounts.
struct Recorder<'a> {
    world: &'a World,
    client: Client,
    recordings: Recordings,
}

impl<'a> Recorder<'a> {
    /// Returns the account `acme` of a namespace.
    fn account_in(&self, namespace: &str) -> ClusterAccount<'a> {
        let (name, client) = (namespace.to_owned(), self.client.clone());
        Namespace { world: self.world, name, client }.account("acme")
    }

    fn objects(&self, namespace: &str, kind: &str) -> Api<DynamicObject> {
        self.account_in(namespace).objects(kind)
    }

    /// Returns an object as the API server returns it.
    async fn show(&self, namespace: &str, kind: &str, name: &str) -> Option<Value> {
        let object = self.objects(namespace, kind).get_opt(name).await.expect("read")?;
        Some(serde_json::to_value(object).expect("JSON"))
    }

    /// Waits until this generation of an object is ready, or not, for a reason.
    async fn reason(&self, namespace: &str, kind: &str, name: &str, reason: &str) {
        wait_for(&format!("{namespace} {kind} {name} is {reason}"), async || {
            let object = self.show(namespace, kind, name).await?;
            let is_so = condition(&object, "Ready")?["reason"] == reason && is_seen(&object);
            (is_so && self.shows_its_ledger(namespace, &object).await).then_some(())
        })
        .await;
    }

    /// Returns whether an object shows the ledger as it is. The status of an account may be a moment behind.
    async fn shows_its_ledger(&self, namespace: &str, object: &Value) -> bool {
        let Some(shown) = object.pointer("/status/ledger/hash") else { return true };
        let ledger = self.show(namespace, "CreditLedger", "acme").await;
        ledger.is_none_or(|ledger| ledger["spec"]["hash"] == *shown)
    }

    /// Waits until an object is in a state, and records it.
    async fn record(&mut self, namespace: &str, kind: &str, name: &str, state: &str) {
        let state = named(kind, state);
        let what = format!("{namespace} {kind} {name} is {}", state.name);
        let object = wait_for(&what, async || {
            let object = self.show(namespace, kind, name).await?;
            (is_in(&object, &state) && self.shows_its_ledger(namespace, &object).await).then_some(object)
        })
        .await;
        let ledger = self.show(namespace, "CreditLedger", "acme").await;
        let object = mask::mask(object, ledger.as_ref());
        assert_eq!(self.recordings.insert((state.kind, state.name), object), None, "{what}");
    }
}

/// Returns a condition of an object.
fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

/// Returns whether the operator has seen this generation, or the object has no status.
fn is_seen(object: &Value) -> bool {
    let seen = object.pointer("/status/observedGeneration");
    seen.is_none_or(|seen| *seen == object["metadata"]["generation"])
}

/// Returns whether an object is in a state.
fn is_in(object: &Value, state: &State) -> bool {
    let reason = condition(object, "Ready").map_or(&json!(""), |ready| &ready["reason"]).clone();
    let is_deleted = !object["metadata"]["deletionTimestamp"].is_null();
    let tells = |condition: &Value| state.telling == "Ready" || condition["status"] == "True";
    let wait_for_event = condition(object, state.telling).is_none_or(tells);
    let stands = match state.row {
        Row::Deleting => is_deleted,
        Row::Unseen => !is_seen(object),
        Row::Waits | Row::AwaitsPayment | Row::Done | Row::Inactive | Row::Refused => is_seen(object),
    };
    reason == state.reason && stands && wait_for_event
}

/// Returns the expected message of a recorded object.
fn told(state: &State, object: &Value) -> String {
    match (state.row, state.kind) {
        (Row::Unseen, "UsageMeter") => "Waiting for the meter to see this generation".to_owned(),
        (Row::Unseen, _) => "Waiting for the operator to see this generation".to_owned(),
        (Row::Deleting, _) => format!("Pending deletion; blocked by finalizers: {}", lives::FINALIZER),
        (_, "CreditLedger") => format!("Commit {}", object["spec"]["sequence"]),
        _ => {
            let condition = condition(object, state.telling).expect("the condition with the message");
            condition["message"].as_str().expect("message").to_owned()
        }
    }
}

/// Returns the health test of a kind, in Argo CD's format.
fn health_test(kind: &str, recordings: &Recordings) -> Value {
    let states = STATES.iter().filter(|state| state.kind == kind);
    let tests = states.map(|state| {
        let message = told(state, &recordings[&(state.kind, state.name)]);
        json!({
            "healthStatus": {"status": state.row.argo_cd(), "message": message},
            "inputPath": format!("testdata/{}.yaml", state.name),
        })
    });
    json!({"tests": tests.collect::<Vec<_>>()})
}

/// Returns every recorded file with its content.
fn files(recordings: &Recordings) -> BTreeMap<std::path::PathBuf, Value> {
    let objects = STATES.iter().map(|state| (state.file(), recordings[&(state.kind, state.name)].clone()));
    let tests =
        KINDS.map(|kind| (customizations(kind).join("health_test.yaml"), health_test(kind, recordings)));
    let acted = super::actions::RESULTS.iter().map(|(action, state, file)| {
        let mut object = recordings[&("Subscription", *state)].clone();
        object["spec"]["renewal"] = json!(super::actions::renewal_after(action));
        (super::actions::folder().join(file), object)
    });
    objects.chain(tests).chain(acted).collect()
}

#[tokio::test]
#[ignore = "writes resource_customizations/**/testdata, health_test.yaml"]
async fn record() {
    for (file, content) in files(&lives::play().await) {
        fs::create_dir_all(file.parent().expect("folder")).expect("folder");
        fs::write(&file, serde_yaml::to_string(&content).expect("YAML")).expect("written");
    }
}

#[tokio::test]
async fn the_recordings_match_a_control_plane() {
    for (file, content) in files(&lives::play().await) {
        let file: &Path = &file;
        let name = file.strip_prefix(root()).unwrap_or(file).display();
        assert_eq!(yaml(file), content, "{name}: run the ignored test `record` and read its diff");
    }
}
