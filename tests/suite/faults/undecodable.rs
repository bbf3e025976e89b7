//! An object that cannot be decoded is set aside, and other objects are processed.

use flashgate_api::{CreditAdjustment, UsageReport};
use serde_json::{Value, json};

use super::{Watched, definition, open_account, redefine};
use crate::cluster_account::ClusterAccount;
use crate::world::{World, wait_for, wait_until};

/// Installs CRDs that accept invalid objects, as CRDs of another version might.
async fn loosen(world: &World) {
    let mut adjustments = definition("creditadjustments");
    let field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/credits";
    *adjustments.pointer_mut(field).expect("field") = json!({"x-kubernetes-preserve-unknown-fields": true});
    redefine(world, &adjustments).await;
}

async fn give(account: &ClusterAccount<'_>, name: &str, credits: Value) {
    let manifest = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "CreditAdjustment", "metadata": {"name": name},
        "spec": {"subscriptionRef": {"name": "acme"}, "credits": credits, "reason": "a test"},
    });
    // A definition that has just changed is not in force at once.
    wait_for("it is admitted", async || {
        let applied = account.kubectl(&["create", "-f", "-"], Some(&manifest.to_string())).await;
        applied.success.then_some(())
    })
    .await;
}

/// Returns the messages of the events `Undecodable` about an object.
async fn told(account: &ClusterAccount<'_>, name: &str) -> Vec<String> {
    let output = account.kubectl(&["get", "events", "-o", "json"], None).await;
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
    let watched = Watched::start(&world);
    let account = open_account(&world, "undecodable").await;
    loosen(&world).await;
    // One that the laws do not understand, one that the wire does not.
    give(&account, "words", json!("a lot")).await;
    give(&account, "list", json!([10])).await;
    for (name, says) in [("words", "spec.credits"), ("list", "expected a string")] {
        let messages = wait_for(&format!("{name} has an Event"), async || {
            let messages = told(&account, name).await;
            (!messages.is_empty()).then_some(messages)
        })
        .await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(messages[0].contains(says), "{messages:?}");
    }
    // The watch lives: what comes later of the same kind, and of others, is taken.
    account.adjust("good", "10").await;
    account.state_is::<CreditAdjustment>("good", "Granted").await;
    let usage = crate::suite::faults::sizes::usage("gw", 1, 1);
    account.create::<UsageReport>("gw-1", usage).await;
    account.state_is::<UsageReport>("gw-1", "Charged").await;
    account.balance("1109").await;
    let counted = watched.metric("flashgate_billing_objects_set_aside_total{kind=\"CreditAdjustment\"}");
    assert!(counted >= 2.0, "{counted}");
    // A change that does not fix the object creates no second Event.
    let note = ["annotate", "creditadjustment", "words", "example.org/note=seen"];
    account.kubectl(&note, None).await.succeeded().expect("annotated");
    wait_until("it was seen again", async || {
        watched.metric("flashgate_billing_objects_set_aside_total{kind=\"CreditAdjustment\"}") > counted
    })
    .await;
    assert_eq!(told(&account, "words").await.len(), 1);
}
