//! The meter of the chart: its rights, and the policy that reserves its reports.

use flashgate_control_plane::Output;
use flashgate_testing::catalog::monthly;
use flashgate_testing::values::HOUR;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::pod::{kubeconfig_of, run_meter_once};
use super::roles::rights;
use super::{installed, list, render};
use crate::cluster_account::{LONG_AGO, now};
use crate::suite::meter::{charged_reports, create_meter, spec};
use crate::suite::prometheus::Prometheus;
use crate::world::{Namespace, World, wait_until};

/// Name of the meter's objects.
const METER: &str = "flashgate-billing-meter";

/// The message of the policy.
const RESERVED: &str = "reserved for the meter (ServiceAccount";

fn values(url: &str, change: &Value) -> Value {
    let mut values = json!({
        "crds": {"enabled": false},
        "meter": {"enabled": true, "servers": {"default": {"url": url}}},
    });
    values.as_object_mut().expect("values").extend(change.as_object().expect("change").clone());
    values
}

/// Creates a report as a dry run.
async fn report(namespace: &Namespace<'_>, kubeconfig: &str, change: &Value) -> Output {
    let mut report = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "UsageReport",
        "metadata": {"name": "report"},
        "spec": {
            "subscriptionRef": {"name": "acme"}, "source": "gw",
            "window": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T01:00:00Z"},
            "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": "1G"}],
        },
    });
    for part in ["metadata", "spec"] {
        let fields = change[part].as_object().cloned().unwrap_or_default();
        report[part].as_object_mut().expect("fields").extend(fields);
    }
    let kubeconfig = format!("--kubeconfig={kubeconfig}");
    let create = [&kubeconfig, "create", "--dry-run=server", "--filename", "-"];
    namespace.kubectl(&create, Some(&report.to_string())).await
}

#[tokio::test]
async fn the_meter_of_the_chart_charges_with_exactly_its_rights() {
    let world = World::start().await;
    let _operator = world.operator(&[]);
    let start = (now() - 3 * HOUR) / HOUR * HOUR;
    let time = Timestamp::from_second(start).expect("time").to_string();
    let folder = tempfile::tempdir().expect("folder");
    let sample = format!("tokens_total{{org=\"acme\"}} 1200 {}\n", start + 600);
    let prometheus = Prometheus::of_samples(folder.path(), &sample, &[]).await;
    // A role for all namespaces, and one for a single namespace.
    for (name, namespaces) in [("everywhere", json!([])), ("somewhere", json!(["somewhere"]))] {
        let namespace = world.namespace(name).await;
        let values = values(&prometheus.url(), &json!({"namespaces": namespaces, "fullnameOverride": name}));
        let mut rendered = installed(&render(name, &values));
        // The policy of one installation would refuse the reports of the other.
        rendered
            .retain(|object| !object["kind"].as_str().unwrap_or_default().starts_with("ValidatingAdmission"));
        let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&list(&rendered))).await;
        assert!(applied.success, "{}", applied.stderr);
        namespace.account("acme").subscribe(monthly("starter"), Some(LONG_AGO)).await;
        let of_label = spec(|spec| spec["startTime"] = time.clone().into());
        create_meter(&namespace, "tokens", of_label).await.expect("created");
        let output = run_meter_once(&world, &rendered).await;
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(charged_reports(&namespace, "tokens").await.len(), 1, "{name}");
        let meter = kubeconfig_of(&world, name, &format!("{name}-meter")).await;
        let granted = rights(&world, &meter, name);
        let granted: Vec<&str> = granted
            .iter()
            .map(String::as_str)
            .filter(|right| right.contains(".billing.flashgate.dev"))
            .collect();
        let expected = [
            "creditledgers.billing.flashgate.dev [] [] [get]",
            "subscriptions.billing.flashgate.dev [] [] [get list watch]",
            "usagemeters.billing.flashgate.dev [] [] [get list watch]",
            "usagemeters.billing.flashgate.dev/status [] [] [patch]",
            "usagereports.billing.flashgate.dev [] [] [get list create]",
        ];
        assert_eq!(granted, expected, "{name}");
    }
}

#[tokio::test]
async fn only_the_meter_may_create_its_reports() {
    let world = World::start_with_users(&["reporter"]).await;
    let namespace = world.namespace("billing").await;
    let change = json!({"sourceGuard": {"enabled": true, "exemptUsers": ["reporter", "admin"]}});
    let rendered = render("billing", &values("http://prometheus", &change));
    let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&list(&rendered))).await;
    assert!(applied.success, "{}", applied.stderr);
    let bind = ["create", "rolebinding", "reporter", "--clusterrole=flashgate-admin", "--user=reporter"];
    namespace.kubectl(&bind, None).await.succeeded().expect("bound");
    let user = world.plane.kubeconfig_for("reporter").expect("user").display().to_string();
    let meter = kubeconfig_of(&world, "billing", METER).await.display().to_string();
    let forged = [
        json!({"spec": {"source": "meter.tokens"}}),
        json!({"spec": {"readings": ""}}),
        json!({"metadata": {"labels": {"billing.flashgate.dev/meter": "tokens"}}}),
        json!({"metadata": {"annotations": {"billing.flashgate.dev/meter-window-end": "2099-01-01T00:00:00Z"}}}),
    ];
    wait_until("the policy is in force", async || {
        let refused = report(&namespace, &user, &forged[0]).await;
        !refused.success && refused.stderr.contains(RESERVED)
    })
    .await;
    for change in &forged {
        let refused = report(&namespace, &user, change).await;
        assert!(!refused.success && refused.stderr.contains(RESERVED), "{change}: {}", refused.stderr);
        let accepted = report(&namespace, &meter, change).await;
        assert!(accepted.success, "{change}: {}", accepted.stderr);
    }
    let own = report(&namespace, &user, &json!({})).await;
    assert!(own.success, "{}", own.stderr);

    // A report that exists cannot become one of the meter, and one of the meter stays one.
    let manifest = |name: &str, labels: Value| {
        json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "UsageReport",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "subscriptionRef": {"name": "acme"}, "source": if name == "own" { "gw" } else { "meter.tokens" },
                "window": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T01:00:00Z"},
                "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": "1G"}],
            },
        })
        .to_string()
    };
    let create = async |kubeconfig: &str, manifest: String| {
        let kubeconfig = format!("--kubeconfig={kubeconfig}");
        let output = namespace.kubectl(&[&kubeconfig, "create", "--filename", "-"], Some(&manifest)).await;
        output.succeeded().expect("created");
    };
    create(&user, manifest("own", json!({}))).await;
    create(&meter, manifest("metered", json!({"billing.flashgate.dev/meter": "tokens"}))).await;
    let kubeconfig = format!("--kubeconfig={user}");
    for (name, label) in
        [("own", "billing.flashgate.dev/meter=tokens"), ("metered", "billing.flashgate.dev/meter-")]
    {
        let changed = namespace.kubectl(&[&kubeconfig, "label", "usagereport", name, label], None).await;
        assert!(!changed.success && changed.stderr.contains(RESERVED), "{name}: {}", changed.stderr);
        let harmless = namespace.kubectl(&[&kubeconfig, "label", "usagereport", name, "team=a"], None).await;
        assert!(harmless.success, "{name}: {}", harmless.stderr);
    }
}
