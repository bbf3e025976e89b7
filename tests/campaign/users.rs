//! What users do, on the real server.

use flashgate_testing::simulated::ObjectKind;
use jiff::Timestamp;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::campaign::chronicle::{Annals, Objects};
use crate::script::{CLOCK, DELETE, annotation, text};

/// Name of the account that every workload has.
pub const ACCOUNT: &str = "acme";

/// An object that a user wrote, to be recognized where it is seen.
#[derive(Clone, Debug)]
pub struct Written {
    kind: String,
    name: String,
    /// The version that it has since; absent when it is gone.
    version: Option<u64>,
}

impl Written {
    fn of(kind: &str, object: &DynamicObject) -> Self {
        let metadata = &object.metadata;
        let version = metadata.resource_version.as_ref().and_then(|version| version.parse().ok());
        Self { kind: kind.to_owned(), name: metadata.name.clone().unwrap_or_default(), version }
    }

    /// Returns whether `objects` are those from the time at which it was written, or later.
    pub fn is_seen_in(&self, objects: &Objects) -> bool {
        let found = objects.iter().find(|((kind, name), _)| kind.as_str() == self.kind && *name == self.name);
        let found = found.and_then(|(_, object)| object.metadata().resource_version.as_ref()?.parse().ok());
        found >= self.version && found.is_some() == self.version.is_some()
    }
}

/// A Subscription whose clock was moved.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    /// Its generation, which is to be acknowledged.
    pub generation: i64,
    /// Its version.
    pub version: u64,
}

/// The users of one namespace.
pub struct Users {
    client: Client,
    namespace: String,
}

impl Users {
    /// Returns the users of a namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("billing.flashgate.dev", "v1alpha1", kind);
        Api::namespaced_with(self.client.clone(), &self.namespace, &ApiResource::from_gvk(&kind))
    }

    /// Moves the account's clock to `time`. Returns the Subscription since, if there is one.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn move_clock(&self, annals: &Annals, time: Timestamp) -> anyhow::Result<Option<Moved>> {
        if !annals.objects().contains_key(&(ObjectKind::Subscription, ACCOUNT.to_owned())) {
            return Ok(None);
        }
        // A change of the spec that nothing depends on is acknowledged, and the clock with it.
        let patch = json!({
            "metadata": {"annotations": {CLOCK: time.to_string()}},
            "spec": {"billingDetails": {"name": time.to_string()}},
        });
        let patched = self.patch(&patch).await?;
        let version = patched.metadata.resource_version.unwrap_or_default().parse()?;
        Ok(Some(Moved { generation: patched.metadata.generation.unwrap_or_default(), version }))
    }

    async fn patch(&self, patch: &Value) -> anyhow::Result<DynamicObject> {
        let api = self.api("Subscription");
        Ok(api.patch(ACCOUNT, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    /// Applies a manifest at `time`, as its annotations say.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn apply(&self, annals: &Annals, manifest: &Value, time: Timestamp) -> anyhow::Result<Written> {
        let (kind, name) = (text(manifest, "/kind"), text(manifest, "/metadata/name"));
        let api = self.api(&kind);
        if annotation(manifest, DELETE).is_some() {
            api.delete(&name, &DeleteParams::default()).await?;
            return Ok(Written { kind, name, version: None });
        }
        let mut spec = manifest["spec"].clone();
        if kind == "Subscription" && api.get_opt(&name).await?.is_some() {
            return Ok(Written::of(&kind, &self.patch(&json!({"spec": spec})).await?));
        }
        if kind == "Payment" {
            spec["invoice"] = json!(own_invoice(annals, &text(&spec, "/invoice")));
        }
        let clock = (kind == "Subscription").then(|| json!({CLOCK: time.to_string()}));
        let object = json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": kind, "spec": spec,
            "metadata": {"name": name, "annotations": clock},
        });
        let created = api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        Ok(Written::of(&kind, &created))
    }
}

/// Returns the number that an invoice of the simulation has in this account.
fn own_invoice(annals: &Annals, simulated: &str) -> String {
    let objects = annals.objects();
    let own = match objects.get(&(ObjectKind::CreditLedger, ACCOUNT.to_owned())) {
        Some(object) => object.typed().map(|ledger: flashgate_api::CreditLedger| ledger.spec.account),
        None => None,
    };
    let (_, index) = simulated.rsplit_once('-').unwrap_or_default();
    let account: String = own.unwrap_or_default().chars().take(8).collect();
    format!("{ACCOUNT}-{account}-{index}")
}
