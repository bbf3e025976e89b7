//! An object that cannot be decoded is set aside, and other objects are processed.

use flashgate_api::{CreditAdjustment, UsageReport};
use serde_json::{Value, json};

use super::{Watched, adjust, balance_is, definition, open_account, redefine};
use crate::world::{Namespace, World, eventually};

/// Installs CRDs that accept invalid objects, as CRDs of another version might.
async fn loosen(world: &World) {
    let mut adjustments = definition("creditadjustments");
    let field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/credits";
    *adjustments.pointer_mut(field).expect("field") = json!({"x-kubernetes-preserve-unknown-fields": true});
    redefine(world, &adjustments).await;
}

async fn give(namespace: &Namespace<'_>, name: &str, credits: Value) {
    let manifest = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "CreditAdjustment", "metadata": {"name": name},
        "spec": {"subscriptionRef": {"name": "acme"}, "credits": credits, "reason": "a test"},
    });
    // A changed CRD is not in force at once.
    eventually("the object is admitted", async || {
        let applied = namespace.kubectl(&["create", "-f", "-"], Some(&manifest.to_string())).await;
        applied.success.then_some(())
    })
    .await_some()
    .await;
}

/// Returns the messages of the events `Undecodable` about an object.
async fn event_messages(namespace: &Namespace<'_>, name: &str) -> Vec<String> {
    let output = namespace.kubectl(&["get", "events", "-o", "json"], None).await;
    let events: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let events = events["items"].as_array().cloned().unwrap_or_default();
    let about = events
        .into_iter()
        .filter(|event| event["reason"] == "Undecodable" && event["involvedObject"]["name"] == *name);
    about.map(|event| event["message"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn an_undecodable_object_has_an_event_and_delays_no_other() {
    let world = World::start().await;
    let namespace = world.namespace("undecodable").await;
    let watched = Watched::start(&world);
    open_account(&namespace).await;
    loosen(&world).await;
    // The laws reject one object, and the decoder rejects the other.
    give(&namespace, "words", json!("a lot")).await;
    give(&namespace, "list", json!([10])).await;
    for (name, says) in [("words", "spec.credits"), ("list", "expected a string")] {
        let messages = eventually(&format!("{name} has an Event"), async || {
            let messages = event_messages(&namespace, name).await;
            (!messages.is_empty()).then_some(messages)
        })
        .await_some()
        .await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(messages[0].contains(says), "{messages:?}");
    }
    // The watch continues: later objects of the same kind and of other kinds are processed.
    adjust(&namespace, "good").await;
    namespace.expect::<CreditAdjustment>("good", "/status/state", "Granted").await;
    let usage = crate::suite::faults::sizes::usage("gw", 1, 1);
    namespace.create::<UsageReport>("gw-1", usage).await;
    namespace.expect::<UsageReport>("gw-1", "/status/state", "Charged").await;
    balance_is(&namespace, "1109").await;
    let counted = watched.metric("flashgate_billing_objects_set_aside_total{kind=\"CreditAdjustment\"}");
    assert!(counted >= 2.0, "{counted}");
    // A change that does not fix the object creates no second Event.
    let note = ["annotate", "creditadjustment", "words", "example.org/note=seen"];
    namespace.kubectl(&note, None).await.succeeded().expect("annotated");
    eventually("the operator has seen the change", async || {
        (watched.metric("flashgate_billing_objects_set_aside_total{kind=\"CreditAdjustment\"}") > counted)
            .then_some(())
    })
    .await_some()
    .await;
    assert_eq!(event_messages(&namespace, "words").await.len(), 1);
}
