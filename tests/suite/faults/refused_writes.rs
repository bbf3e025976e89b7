//! Writes that fail: denied by a policy, no space in etcd, or an expired token.

use std::time::Duration;

use flashgate_api::{CreditAdjustment, CreditLedger, Subscription, UsageReport};
use flashgate_control_plane::ControlPlane;
use flashgate_testing::catalog::monthly;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use serde_json::{Value, json};

use super::{Watched, open_account};
use crate::cluster_account::{ClusterAccount, LONG_AGO, egress, now, seconds};
use crate::world::{World, wait_until};

/// Reconciles whose commit has an unknown result.
const REFUSED: &str = "flashgate_billing_reconcile_total{kind=\"Subscription\",result=\"commit\"}";

/// A policy that denies all writes of ledgers. It is not part of the chart.
fn policy() -> String {
    let metadata = json!({"name": "no-ledgers"});
    let group = "admissionregistration.k8s.io/v1";
    let policy = json!({
        "apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": metadata,
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["billing.flashgate.dev"], "apiVersions": ["*"], "resources": ["creditledgers"],
                "operations": ["CREATE", "UPDATE"],
            }]},
            "validations": [{"expression": "false", "message": "no ledgers in this cluster"}],
        },
    });
    let binding = json!({
        "apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata,
        "spec": {"policyName": "no-ledgers", "validationActions": ["Deny"]},
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [policy, binding]}).to_string()
}

/// Waits until a write of the ledger is refused, as whoever tries it sees.
async fn in_force(account: &ClusterAccount<'_>) {
    wait_until("the policy is in force", async || {
        let note = ["annotate", "creditledger", "acme", "--overwrite", "example.org/tried=yes"];
        !account.kubectl(&note, None).await.success
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_denies_commits_causes_no_hot_loop_and_nothing_is_lost() {
    let world = World::start().await;
    let watched = Watched::start(&world);
    let account = open_account(&world, "refused").await;
    account.kubectl(&["apply", "-f", "-"], Some(&policy())).await.succeeded().expect("applied");
    in_force(&account).await;
    let before = account.get::<CreditLedger>("acme").await.expect("ledger");
    account.adjust("gift", "10").await;
    // The delays double: 0.1 seconds, 0.2, …; so five refusals take more than a second, and a hot loop would have
    // made thousands by then.
    let begun = tokio::time::Instant::now();
    wait_until("five commits are refused", async || watched.metric(REFUSED) >= 5.0).await;
    let (refusals, seconds) = (watched.metric(REFUSED), begun.elapsed().as_secs_f64());
    assert!(seconds > 0.5 && refusals < 5.0 + 10.0 * seconds, "{refusals} refusals in {seconds} seconds");
    let said = watched.read_log();
    assert!(said.contains("no ledgers in this cluster"), "{said}");
    assert!(said.lines().filter(|line| line.contains("no ledgers")).count() < 20, "{said}");
    assert_eq!(account.get::<CreditLedger>("acme").await.expect("ledger")["spec"], before["spec"]);
    assert_eq!(account.get::<CreditAdjustment>("gift").await.expect("gift").pointer("/status/state"), None);
    let shown = account.reason_is::<Subscription>("acme", "CommitRefused").await;
    assert_eq!(shown.pointer("/status/credits/balance"), Some(&json!("1100")), "{shown:#}");
    account.kubectl(&["delete", "-f", "-"], Some(&policy())).await.succeeded().expect("deleted");
    account.reason_is::<Subscription>("acme", "InForce").await;
    account.state_is::<CreditAdjustment>("gift", "Granted").await;
    account.balance("1110").await;
}

/// Sends a request to etcd's HTTP gateway.
pub fn etcd(world: &World, path: &str, body: &Value) -> Value {
    let socket = world.plane.folder().join("etcd.socket");
    let arguments = ["--silent", "--show-error", "--max-time", "30", "--unix-socket"];
    let output = std::process::Command::new("curl")
        .args(arguments)
        .arg(socket)
        .args(["--data", &body.to_string(), &format!("http://localhost{path}")])
        .output()
        .expect("curl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// Fills etcd until it takes nothing more.
async fn fill(fillers: &Api<ConfigMap>) -> usize {
    let mut count = 0;
    loop {
        let object = ConfigMap {
            metadata: ObjectMeta { name: Some(format!("filler-{count}")), ..ObjectMeta::default() },
            data: Some([("text".to_owned(), "x".repeat(900_000))].into()),
            ..ConfigMap::default()
        };
        if let Err(error) = fillers.create(&PostParams::default(), &object).await {
            assert!(error.to_string().contains("database space exceeded"), "{error}");
            return count;
        }
        count += 1;
        assert!(count < 200, "etcd has no limit");
    }
}

#[tokio::test]
async fn a_full_etcd_loses_nothing_and_billing_continues_when_it_has_space() {
    let builder = ControlPlane::builder().etcd_flag("--quota-backend-bytes=33554432");
    let world = World::start_with_builder(builder).await.with_definitions().await;
    let watched = Watched::start(&world);
    let account = open_account(&world, "full").await;
    account.adjust("before", "10").await;
    account.balance("1110").await;
    // A report with an open window exists before etcd is full. The window ends after it is.
    let now = now();
    let time = |second: i64| jiff::Timestamp::from_second(second).expect("time").to_string();
    let mut usage = crate::suite::faults::sizes::usage("gw", 1, 10);
    usage["window"] = json!({"startTime": time(now), "endTime": time(now + 40)});
    account.create::<UsageReport>("gw-1", usage).await;
    // A process for each object would take longer than the window.
    let fillers: Api<ConfigMap> = Api::namespaced(account.client.clone(), &account.name);
    let filled = fill(&fillers).await;
    wait_until("a commit found no room", async || watched.metric(REFUSED) >= 2.0).await;
    assert!(watched.read_log().contains("database space exceeded"), "{}", watched.read_log());
    for index in 0..filled {
        let name = format!("filler-{index}");
        fillers.delete(&name, &DeleteParams::default()).await.expect("deleted");
    }
    let status = etcd(&world, "/v3/maintenance/status", &json!({}));
    let revision = status["header"]["revision"].as_str().expect("revision").to_owned();
    etcd(&world, "/v3/kv/compaction", &json!({"revision": revision, "physical": true}));
    etcd(&world, "/v3/maintenance/defragment", &json!({}));
    let disarm =
        json!({"action": "DEACTIVATE", "alarm": "NOSPACE", "memberID": status["header"]["member_id"]});
    etcd(&world, "/v3/maintenance/alarm", &disarm);
    account.balance("1100").await;
    account.adjust("after", "10").await;
    account.balance("1110").await;
}

#[tokio::test]
async fn an_operator_with_an_expired_token_continues_with_the_next_one() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "tokens").await;
    for arguments in [
        "create serviceaccount operator",
        "create clusterrolebinding operator --clusterrole=cluster-admin --serviceaccount=tokens:operator",
        "create secret generic first",
        "create secret generic second",
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        account.kubectl(&arguments, None).await.succeeded().expect("made");
    }
    let file = world.plane.folder().join("token");
    write_token(&account, "first", &file).await;
    let kubeconfig = world.plane.write_kubeconfig("by-file", "").expect("kubeconfig");
    let text = std::fs::read_to_string(&kubeconfig).expect("kubeconfig");
    let by_file = serde_json::from_str::<Value>(&text).or_else(|_| serde_yaml::from_str::<Value>(&text));
    let mut by_file = by_file.expect("kubeconfig");
    by_file["users"][0]["user"] = json!({"tokenFile": file});
    std::fs::write(&kubeconfig, by_file.to_string()).expect("kubeconfig");
    let watched = Watched::start_as(&world, &kubeconfig);
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.balance("1100").await;
    account.status("/status/ledger/sequence", 1).await;
    // Its token is good while the object is there that it was made for.
    account.kubectl(&["delete", "secret", "first"], None).await.succeeded().expect("deleted");
    let now = now();
    let mut minutes_ago = 0;
    wait_until("the token is refused", async || {
        minutes_ago += 1;
        report(&account, now, minutes_ago).await;
        watched.read_log().contains("Unauthorized")
    })
    .await;
    write_token(&account, "second", &file).await;
    // The client reads the file again once a minute; a failed reconcile is retried within another minute.
    let mut is_charged = false;
    let begun = tokio::time::Instant::now();
    while !is_charged && begun.elapsed() < 3 * crate::world::PATIENCE {
        let report = account.get::<UsageReport>(&format!("gw-{minutes_ago}")).await.expect("report");
        is_charged = report.pointer("/status/state") == Some(&json!("Charged"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(is_charged, "{}", watched.read_log());
    account.balance(&(1_100 - minutes_ago).to_string()).await;
}

/// Reports 1 credit over the minute that is so many minutes before `now`.
async fn report(account: &ClusterAccount<'_>, now: i64, minutes_ago: i64) {
    let window = seconds(now - minutes_ago * 60, 60);
    account.report(&format!("gw-{minutes_ago}"), window, egress("100M")).await;
}

async fn write_token(account: &ClusterAccount<'_>, secret: &str, file: &std::path::Path) {
    let create = ["create", "token", "operator", "--bound-object-kind=Secret", "--bound-object-name", secret];
    let token = account.kubectl(&create, None).await.succeeded().expect("token");
    std::fs::write(file, token.trim()).expect("token");
}
