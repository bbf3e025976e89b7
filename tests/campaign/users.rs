//! Applies the manifests of a workload to a real API server.

use flashgate_testing::simulated::ObjectKind;
use jiff::Timestamp;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::campaign::history::{History, Objects};
use crate::script::{CLOCK, DELETE, annotation, text};

/// Name of the account in every workload.
pub const ACCOUNT: &str = "acme";

/// An object that a user wrote, and its version.
#[derive(Clone, Debug)]
pub struct Written {
    kind: String,
    name: String,
    /// The new resource version; absent if the object was deleted.
    version: Option<u64>,
}

impl Written {
    fn of(kind: &str, object: &DynamicObject) -> Self {
        let metadata = &object.metadata;
        let version = metadata.resource_version.as_ref().and_then(|version| version.parse().ok());
        Self { kind: kind.to_owned(), name: metadata.name.clone().unwrap_or_default(), version }
    }

    /// Returns whether `objects` include this write or a later one.
    pub fn is_seen_in(&self, objects: &Objects) -> bool {
        let found = objects.iter().find(|((kind, name), _)| kind.as_str() == self.kind && *name == self.name);
        let found = found.and_then(|(_, object)| object.metadata().resource_version.as_ref()?.parse().ok());
        found >= self.version && found.is_some() == self.version.is_some()
    }
}

/// A Subscription whose test clock was advanced.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    /// The generation that the operator must observe.
    pub generation: i64,
    /// The resource version.
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

    /// Advances the account's test clock to `time`. Returns the updated Subscription, if there is one.
    ///
    /// # Errors
    /// When the server rejects the request.
    pub async fn move_clock(&self, history: &History, time: Timestamp) -> anyhow::Result<Option<Moved>> {
        if !history.objects().contains_key(&(ObjectKind::Subscription, ACCOUNT.to_owned())) {
            return Ok(None);
        }
        // A change of the spec makes the operator report the generation, and so that it has seen the clock.
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

    /// Applies a manifest at `time`, according to its annotations.
    ///
    /// # Errors
    /// When the server rejects the request.
    pub async fn apply(
        &self,
        history: &History,
        manifest: &Value,
        time: Timestamp,
    ) -> anyhow::Result<Written> {
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
            spec["invoice"] = json!(own_invoice(history, &text(&spec, "/invoice")));
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

/// Returns the invoice number in this account for an invoice number in the simulation.
fn own_invoice(history: &History, simulated: &str) -> String {
    let objects = history.objects();
    let own = match objects.get(&(ObjectKind::CreditLedger, ACCOUNT.to_owned())) {
        Some(object) => object.typed().map(|ledger: flashgate_api::CreditLedger| ledger.spec.account),
        None => None,
    };
    let (_, index) = simulated.rsplit_once('-').unwrap_or_default();
    let account: String = own.unwrap_or_default().chars().take(8).collect();
    format!("{ACCOUNT}-{account}-{index}")
}
