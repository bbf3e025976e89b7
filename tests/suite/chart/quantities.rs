//! The policy that warns about quantities that are probably wrong.

use flashgate_api::UsageReport;
use serde_json::{Value, json};

use super::{list, render};
use crate::world::{Namespace, World, wait_until};

/// Creates a report with one line. Returns the warnings of the API server.
async fn create(namespace: &Namespace<'_>, name: &str, operation: &str, quantity: Value) -> String {
    let report = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "UsageReport", "metadata": {"name": name},
        "spec": {
            "subscriptionRef": {"name": "acme"}, "source": "gw",
            "window": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T01:00:00Z"},
            "usage": [
                {"nodeType": "Public", "operation": "TokensOut", "quantity": 1},
                {"nodeType": "Public", "operation": operation, "quantity": quantity},
            ],
        },
    });
    let created = namespace.kubectl(&["create", "-f", "-"], Some(&report.to_string())).await;
    assert!(created.success, "{name}: {}", created.stderr);
    assert!(namespace.get::<UsageReport>(name).await.is_some(), "{name} is there");
    created.stderr
}

#[tokio::test]
async fn probably_wrong_quantities_are_admitted_with_a_warning() {
    let world = World::start().await;
    let namespace = world.namespace("warned").await;
    let values = json!({
        "crds": {"enabled": false}, "userRoles": {"create": false}, "quantityWarnings": {"enabled": true},
    });
    let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&list(&render("warned", &values)))).await;
    assert!(applied.success, "{}", applied.stderr);
    let mut tried = 0;
    wait_until("the policy is in force", async || {
        tried += 1;
        let name = format!("tried-{tried}");
        let warned = create(&namespace, &name, "StorageEgress", json!("500m")).await;
        warned.contains("Warning:")
    })
    .await;
    for (name, operation, quantity, warning) in [
        (
            "half-a-byte",
            "StorageEgress",
            json!("500m"),
            Some("'500m' of StorageEgress is written in fractions of a byte or a token"),
        ),
        (
            "a-fraction",
            "TokensOut",
            json!("1.5"),
            Some("'1.5' of TokensOut is written in fractions of a byte or a token"),
        ),
        (
            "few",
            "StorageEgress",
            json!("12"),
            Some("'12' of StorageEgress means 12 bytes. Write 12G for 12 GB."),
        ),
        ("few-as-a-number", "StorageEgress", json!(12), Some("means 12 bytes")),
        ("much", "StorageEgress", json!("900T"), Some("'900T' of StorageEgress is more than 100T")),
        ("nothing", "StorageEgress", json!("0"), None),
        ("usual", "StorageEgress", json!("12G"), None),
        ("binary", "StorageEgress", json!("1.5Gi"), None),
        (
            "an-exponent-below-zero",
            "TokensOut",
            json!("5e-1"),
            Some("'5e-1' of TokensOut is written in fractions"),
        ),
        ("a-decimal", "StorageEgress", json!("2.5M"), None),
        ("an-exponent", "StorageEgress", json!("1e6"), None),
        ("few-tokens", "TokensOut", json!(12), None),
        ("many-tokens", "TokensOut", json!("2500000"), None),
    ] {
        let warned = create(&namespace, name, operation, quantity).await;
        match warning {
            Some(warning) => assert!(warned.contains(warning), "{name}: {warned}"),
            None => assert!(!warned.contains("Warning:"), "{name}: {warned}"),
        }
    }
}

#[tokio::test]
async fn a_report_of_a_thousand_lines_is_evaluated_and_admitted() {
    let world = World::start().await;
    let namespace = world.namespace("long").await;
    let values = json!({
        "crds": {"enabled": false}, "userRoles": {"create": false}, "quantityWarnings": {"enabled": true},
    });
    let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&list(&render("long", &values)))).await;
    assert!(applied.success, "{}", applied.stderr);
    let mut usage = vec![json!({"nodeType": "Public", "operation": "StorageEgress", "quantity": "12G"}); 999];
    usage.push(json!({"nodeType": "Public", "operation": "StorageEgress", "quantity": "7"}));
    let mut tried = 0;
    wait_until("the last of many lines is warned of", async || {
        tried += 1;
        let report = json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "UsageReport",
            "metadata": {"name": format!("long-{tried}")},
            "spec": {
                "subscriptionRef": {"name": "acme"}, "source": "gw",
                "window": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T01:00:00Z"},
                "usage": usage,
            },
        });
        let created = namespace.kubectl(&["create", "-f", "-"], Some(&report.to_string())).await;
        assert!(created.success, "{}", created.stderr);
        created.stderr.contains("means 7 bytes")
    })
    .await;
}
