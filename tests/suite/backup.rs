//! Backups by the `CronJob` of the chart, and restores, on a real control plane.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flashgate_api::{CreditLedger, CreditPack, UsageReport};
use flashgate_testing::catalog::monthly;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};

use crate::cluster_account::{ClusterAccount, LONG_AGO, egress};
use crate::suite::chart::{installed, kubeconfig_of, list, render};
use crate::suite::runbooks::Runbook;
use crate::world::{Namespace, World, wait_for};

/// Namespace of the release.
const RELEASE_NAMESPACE: &str = "billing";

/// Name of the `CronJob`, its `ServiceAccount` and its Lease.
const NAME: &str = "flashgate-billing-backup";

/// Returns the rendered objects with backups enabled.
fn rendered() -> Vec<Value> {
    let backup = json!({"enabled": true, "persistentVolumeClaim": "backups", "keep": 3});
    installed(&render(RELEASE_NAMESPACE, &json!({"crds": {"enabled": false}, "backup": backup})))
}

/// Applies the release without the operator's pods.
async fn install(world: &World) {
    let namespace = world.namespace(RELEASE_NAMESPACE).await;
    let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&list(&rendered()))).await;
    assert!(applied.success, "{}", applied.stderr);
}

fn run(kubeconfig: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flashgate-billing"));
    command.args(arguments).env("KUBECONFIG", kubeconfig).output().expect("runs")
}

/// Takes a backup as a pod of the `CronJob` does: with its arguments and a token of its `ServiceAccount`.
/// Returns the file.
async fn take(world: &World, folder: &Path) -> PathBuf {
    std::fs::create_dir_all(folder).expect("folder");
    let rendered = rendered();
    let job = rendered.iter().find(|object| object["kind"] == "CronJob").expect("CronJob");
    let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], NAME);
    let arguments = pod["containers"][0]["args"].as_array().expect("arguments").iter();
    let arguments = arguments.map(|argument| argument.as_str().expect("text"));
    let outside = format!("--output={}", folder.display());
    let arguments: Vec<&str> =
        arguments.map(|argument| if argument == "--output=/backups" { &outside } else { argument }).collect();
    let output = run(&kubeconfig_of(world, RELEASE_NAMESPACE, NAME).await, &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    PathBuf::from(said.lines().next().expect("a file"))
}

/// Restores a backup. Returns the exit code and the output.
fn restore(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(&world.plane.kubeconfig(), &[&["restore"], arguments].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Opens an account, and lets it buy, get credits and use some: 1,100 + 100 + 25 - 10.
async fn live(account: &ClusterAccount<'_>) {
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.buy("order-1", "plus-100").await;
    account.adjust("gift", "25").await;
    account.balance("1225").await;
    account.report_hour("report-1", 1, egress("1G")).await;
    account.report_is("report-1", "Charged").await;
    account.balance("1215").await;
}

async fn delete_namespace(namespace: &Namespace<'_>) {
    let delete = ["delete", "namespace", &namespace.name, "--timeout=60s"];
    namespace.kubectl(&delete, None).await.succeeded().expect("deleted");
}

#[tokio::test]
async fn a_deleted_namespace_continues_from_its_backup() {
    let world = World::start().await;
    install(&world).await;
    let account = ClusterAccount::without_subscription(&world, "team").await;
    let operator = world.operator(&[]);
    live(&account).await;
    let before = account.get::<CreditLedger>("acme").await.expect("ledger");
    let file = take(&world, &world.plane.folder().join("backups")).await;
    let file = file.display().to_string();

    // Nothing is restored where there is no account, and into another one nothing is written by a dry run.
    operator.terminate().await;
    delete_namespace(&account).await;
    let (code, said) = restore(&world, &["--input", &file]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("namespace 'team' does not exist: create it"), "{said}");
    let account = ClusterAccount::without_subscription(&world, "team").await;
    let (code, said) = restore(&world, &["--input", &file, "--dry-run"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(account.get::<CreditLedger>("acme").await.is_none());

    let (code, said) = restore(&world, &["--input", &file]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("CreditLedger: 1 created, 0 already there"), "{said}");
    let ledger = account.get::<CreditLedger>("acme").await.expect("ledger");
    assert_eq!(ledger["spec"], before["spec"], "byte for byte");
    // Statuses are there before an operator is.
    account.balance("1215").await;
    account.state_is::<CreditPack>("order-1", "Granted").await;

    let _operator = world.operator(&[]);
    account.report_hour("again", 1, egress("1G")).await;
    account.state_is::<UsageReport>("again", "Rejected").await;
    account.report_hour("new", 2, egress("1G")).await;
    account.state_is::<UsageReport>("new", "Charged").await;
    account.balance("1205").await;
    account.status("/status/packs/used", 1).await;
    let after = account.get::<CreditLedger>("acme").await.expect("ledger");
    for total in ["granted", "purchased", "adjusted"] {
        assert_eq!(after["spec"]["totals"][total], before["spec"]["totals"][total], "{total}");
    }
    assert_eq!(after["spec"]["account"], before["spec"]["account"]);
}

#[tokio::test]
async fn a_restore_onto_a_new_ledger_is_refused_and_a_partial_restore_can_be_repeated() {
    let world = World::start().await;
    install(&world).await;
    let account = ClusterAccount::without_subscription(&world, "team").await;
    let operator = world.operator(&[]);
    live(&account).await;
    let file = take(&world, &world.plane.folder().join("backups")).await.display().to_string();
    // The ledger is there, and later than the backup.
    account.report_hour("later", 2, egress("1G")).await;
    account.balance("1205").await;
    let (code, said) = restore(&world, &["--input", &file]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("a restore would lose commits") && said.contains("nothing was restored"), "{said}");

    // Git brings the Subscription back before the ledger, and an operator that does not hold opens a new account.
    delete_namespace(&account).await;
    let account = ClusterAccount::subscribed(&world, "team", monthly("starter")).await;
    account.balance("1100").await;
    operator.terminate().await;
    let fresh = account.get::<CreditLedger>("acme").await.expect("ledger");
    let (code, said) = restore(&world, &["--input", &file]);
    assert_eq!(code, Some(1), "{said}");
    for says in ["CreditLedger team/acme exists at sequence", "opened a new account", "Hold the operator"] {
        assert!(said.contains(says), "{said}");
    }
    assert_eq!(account.get::<CreditLedger>("acme").await, Some(fresh));
    assert!(account.get::<CreditPack>("order-1").await.is_none(), "nothing was written");

    // As the message says: without it, the restore goes on beside the Subscription that Git made.
    account.api::<CreditLedger>().delete("acme", &DeleteParams::default()).await.expect("deleted");
    for created in ["CreditLedger: 1 created, 0 already there", "CreditLedger: 0 created, 1 already there"] {
        let (code, said) = restore(&world, &["--input", &file]);
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains(created) && said.contains("Subscription: 0 created, 1 already there"),
            "{said}"
        );
    }
    let _operator = world.operator(&[]);
    account.status("/status/packs/used", 1).await;
    account.balance("1215").await;
}

#[tokio::test]
async fn the_age_of_the_last_good_backup_is_a_metric_of_the_operator() {
    let world = World::start().await;
    install(&world).await;
    let deployed = rendered();
    let deployment = deployed.iter().find(|object| object["kind"] == "Deployment").expect("Deployment");
    let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array();
    let arguments = arguments.expect("arguments").iter().map(|argument| argument.as_str().expect("text"));
    let of_backups: Vec<&str> = arguments.filter(|argument| argument.starts_with("--backup-")).collect();
    assert_eq!(of_backups.len(), 3, "{of_backups:?}");
    let arguments = [&["--metrics-addr", "127.0.0.1:0"][..], &of_backups].concat();
    let kubeconfig = kubeconfig_of(&world, RELEASE_NAMESPACE, "flashgate-billing").await;
    let folder = world.plane.folder().join("backups");
    for times in ["none", "first"] {
        let log = world.plane.folder().join(format!("{times}.log"));
        let operator = crate::world::Operator::start_as(&kubeconfig, &arguments, &[], &log);
        let leases: Api<Lease> = Api::namespaced(world.client().await, RELEASE_NAMESPACE);
        let lease = leases.get_opt(NAME).await.expect("read");
        let spec = lease.and_then(|lease| lease.spec);
        let seconds = spec.and_then(|spec| Some(spec.renew_time?.0.as_second())).unwrap_or_default();
        assert_eq!(seconds > 0, times == "first");
        let expected = format!("flashgate_billing_backup_last_success_timestamp_seconds {seconds}\n");
        wait_for(&expected, async || operator.get("/metrics")?.1.contains(&expected).then_some(())).await;
        operator.terminate().await;
        take(&world, &folder).await;
    }
}

#[tokio::test]
async fn backups_are_taken_and_restored_as_the_page_says() {
    let world = World::start().await;
    install(&world).await;
    let account = ClusterAccount::without_subscription(&world, "team").await;
    let operator = world.operator(&[]);
    live(&account).await;
    let folder = world.plane.folder().join("backups");
    let file = take(&world, &folder).await.display().to_string();
    operator.terminate().await;
    delete_namespace(&account).await;
    let program = Path::new(env!("CARGO_BIN_EXE_flashgate-billing")).parent().expect("folder");
    let variables =
        [("BACKUP", file), ("NAMESPACE", "team".to_owned()), ("PROGRAM", program.display().to_string())];
    let page = Runbook::how_to("backup-and-restore.md", &world, &variables);
    let said = page.walk("2. Restore").await;
    assert!(said.contains("Subscription: 1 created"), "{said}");
    let namespace = Namespace { world: &world, name: "team".to_owned(), client: world.client().await };
    let account = namespace.account("acme");
    let _operator = world.operator(&[]);
    account.status("/status/packs/used", 1).await;
    page.walk("4. Verify").await;
    account.balance("1215").await;
    page.assert_complete();
}
