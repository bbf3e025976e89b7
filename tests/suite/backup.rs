//! Backups by the `CronJob` of the chart, and restores, on a real control plane.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Subscription, UsageReport};
use flashgate_cluster::clock::Clock;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};

use crate::suite::accounts::{balance_is, create_account, hour_until, usage};
use crate::suite::chart::{installed, kubeconfig_of, list, render};
use crate::suite::runbooks::Runbook;
use crate::world::{Namespace, World, eventually};

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

/// Creates an account with 1,100 + 100 + 25 - 10 credits.
async fn use_account(namespace: &Namespace<'_>) {
    create_account(namespace, "acme", "starter").await;
    let pack = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"});
    namespace.create::<CreditPack>("order-1", pack).await;
    let gift = json!({"subscriptionRef": {"name": "acme"}, "credits": "25", "reason": "a test"});
    namespace.create::<CreditAdjustment>("gift", gift).await;
    balance_is(namespace, "1225").await;
    report(namespace, "report-1", 1).await;
    namespace.expect::<UsageReport>("report-1", "/status/state", "Charged").await;
    balance_is(namespace, "1215").await;
}

/// Reports usage of an hour that ended some hours ago.
async fn report(namespace: &Namespace<'_>, name: &str, hours: i64) {
    let hour = Clock::system().now().as_second() / 3_600 - hours;
    let end = Timestamp::from_second(hour * 3_600).expect("time");
    let spec = usage("acme", "gw", hour_until(end), "StorageEgress", "1G");
    namespace.create::<UsageReport>(name, spec).await;
}

async fn delete_namespace(namespace: &Namespace<'_>) {
    let delete = ["delete", "namespace", &namespace.name, "--timeout=60s"];
    namespace.kubectl(&delete, None).await.succeeded().expect("deleted");
}

#[tokio::test]
async fn a_deleted_namespace_continues_from_its_backup() {
    let world = World::start().await;
    install(&world).await;
    let namespace = world.namespace("team").await;
    let operator = world.operator(&[]);
    use_account(&namespace).await;
    let before = namespace.get::<CreditLedger>("acme").await.expect("ledger");
    let file = take(&world, &world.plane.folder().join("backups")).await;
    let file = file.display().to_string();

    // A restore needs an existing namespace. A dry run writes nothing into another namespace.
    operator.terminate().await;
    delete_namespace(&namespace).await;
    let (code, said) = restore(&world, &["--input", &file]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("namespace 'team' does not exist: create it"), "{said}");
    let namespace = world.namespace("team").await;
    let (code, said) = restore(&world, &["--input", &file, "--dry-run"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(namespace.get::<CreditLedger>("acme").await.is_none());

    let (code, said) = restore(&world, &["--input", &file]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("CreditLedger: 1 created, 0 already there"), "{said}");
    let ledger = namespace.get::<CreditLedger>("acme").await.expect("ledger");
    assert_eq!(ledger["spec"], before["spec"], "the spec is unchanged");
    // Statuses are restored before an operator runs.
    balance_is(&namespace, "1215").await;
    namespace.expect::<CreditPack>("order-1", "/status/state", "Granted").await;

    let _operator = world.operator(&[]);
    report(&namespace, "again", 1).await;
    namespace.expect::<UsageReport>("again", "/status/state", "Rejected").await;
    report(&namespace, "new", 2).await;
    namespace.expect::<UsageReport>("new", "/status/state", "Charged").await;
    balance_is(&namespace, "1205").await;
    namespace.expect::<Subscription>("acme", "/status/packs/used", 1).await;
    let after = namespace.get::<CreditLedger>("acme").await.expect("ledger");
    for total in ["granted", "purchased", "adjusted"] {
        assert_eq!(after["spec"]["totals"][total], before["spec"]["totals"][total], "{total}");
    }
    assert_eq!(after["spec"]["account"], before["spec"]["account"]);
}

#[tokio::test]
async fn a_restore_onto_a_new_ledger_is_refused_and_a_partial_restore_can_be_repeated() {
    let world = World::start().await;
    install(&world).await;
    let namespace = world.namespace("team").await;
    let operator = world.operator(&[]);
    use_account(&namespace).await;
    let file = take(&world, &world.plane.folder().join("backups")).await.display().to_string();
    // The ledger exists, and is later than the backup.
    report(&namespace, "later", 2).await;
    balance_is(&namespace, "1205").await;
    let (code, said) = restore(&world, &["--input", &file]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("a restore would lose commits") && said.contains("nothing was restored"), "{said}");

    // GitOps restores the Subscription before the ledger, and a running operator opens a new account.
    delete_namespace(&namespace).await;
    let namespace = world.namespace("team").await;
    namespace.create::<Subscription>("acme", json!({"plan": "starter"})).await;
    balance_is(&namespace, "1100").await;
    operator.terminate().await;
    let fresh = namespace.get::<CreditLedger>("acme").await.expect("ledger");
    let (code, said) = restore(&world, &["--input", &file]);
    assert_eq!(code, Some(1), "{said}");
    for says in ["CreditLedger team/acme exists at sequence", "opened a new account", "Hold the operator"] {
        assert!(said.contains(says), "{said}");
    }
    assert_eq!(namespace.get::<CreditLedger>("acme").await, Some(fresh));
    assert!(namespace.get::<CreditPack>("order-1").await.is_none(), "nothing was written");

    // As the message says, the restore continues with the Subscription from Git once the new ledger is
    // deleted.
    namespace.api::<CreditLedger>().delete("acme", &DeleteParams::default()).await.expect("deleted");
    for created in ["CreditLedger: 1 created, 0 already there", "CreditLedger: 0 created, 1 already there"] {
        let (code, said) = restore(&world, &["--input", &file]);
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains(created) && said.contains("Subscription: 0 created, 1 already there"),
            "{said}"
        );
    }
    let _operator = world.operator(&[]);
    namespace.expect::<Subscription>("acme", "/status/packs/used", 1).await;
    balance_is(&namespace, "1215").await;
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
        eventually(&expected, async || operator.get("/metrics")?.1.contains(&expected).then_some(()))
            .await_some()
            .await;
        operator.terminate().await;
        take(&world, &folder).await;
    }
}

#[tokio::test]
async fn backups_are_taken_and_restored_as_the_page_says() {
    let world = World::start().await;
    install(&world).await;
    let namespace = world.namespace("team").await;
    let operator = world.operator(&[]);
    use_account(&namespace).await;
    let folder = world.plane.folder().join("backups");
    let file = take(&world, &folder).await.display().to_string();
    operator.terminate().await;
    delete_namespace(&namespace).await;
    let program = Path::new(env!("CARGO_BIN_EXE_flashgate-billing")).parent().expect("folder");
    let variables =
        [("BACKUP", file), ("NAMESPACE", "team".to_owned()), ("PROGRAM", program.display().to_string())];
    let page = Runbook::how_to("backup-and-restore.md", &world, &variables);
    let said = page.walk("2. Restore").await;
    assert!(said.contains("Subscription: 1 created"), "{said}");
    let namespace = Namespace { world: &world, name: "team".to_owned(), client: world.client().await };
    let _operator = world.operator(&[]);
    namespace.expect::<Subscription>("acme", "/status/packs/used", 1).await;
    page.walk("4. Verify").await;
    balance_is(&namespace, "1215").await;
    page.assert_complete();
}
