//! The objects that a caller applies, where this server does not write.

use flashgate_api::{API_VERSION, CreditPack, Subscription};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::portal::{Portal, Writes};
use crate::refused::{ErrorCode, Refused};

/// Returns an order as an object to apply.
#[must_use]
pub fn of_order(namespace: &str, order: &CreditPack) -> Value {
    object("CreditPack", namespace, &order.name_any(), &json!(order.spec))
}

/// Returns a Subscription with a changed spec as an object to apply. `changes` is a JSON merge patch of the spec.
#[must_use]
pub fn of_change(subscription: &Subscription, changes: &Value) -> Value {
    let mut spec = json!(subscription.spec);
    json_patch::merge(&mut spec, changes);
    let namespace = subscription.namespace().unwrap_or_default();
    object("Subscription", &namespace, &subscription.name_any(), &spec)
}

fn object(kind: &str, namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec,
    })
}

/// Returns an object as YAML. It is absent if the object has no such form.
#[must_use]
pub fn yaml(object: &Value) -> Option<String> {
    serde_yaml::to_string(object).ok()
}

impl Portal {
    /// Refuses a change with the object to apply instead, if this server does not write.
    ///
    /// # Errors
    /// When it does not write.
    pub(crate) fn check_writes(&self, manifest: impl FnOnce() -> Value) -> Result<(), Refused> {
        match self.settings.writes {
            Writes::Api => Ok(()),
            Writes::Manifests => {
                let message = "changes are made by manifests here: apply `manifest`";
                let manifest = yaml(&manifest());
                Err(Refused { manifest, ..Refused::new(ErrorCode::WritesByManifest, message) })
            }
        }
    }
}
